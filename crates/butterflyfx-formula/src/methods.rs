//! Methods of str, dict, list, tuple, int, float and range.

mod case;
mod characters;
mod collection;
mod number;
mod search;
mod split;
mod strip;

use crate::builtins::arguments;
use crate::error::{ExceptionKind, Raise, Result};
use crate::interpret::{Arguments, Interpreter};
use crate::text::Text;
use crate::value::Value;

/// Declares the methods, each with its name, once for all functions of [`Method`].
macro_rules! methods {
    ($($method:ident $name:literal,)*) => {
        /// A method name that some type of the language has. Which type is known when it is called.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Method {
            $(#[doc = concat!("`.", $name, "`")] $method,)*
        }

        impl Method {
            const ALL: &[Method] = &[$(Method::$method,)*];

            /// The method with this name, if any type has it.
            pub fn from_name(name: &str) -> Option<Method> {
                match name {
                    $($name => Some(Method::$method),)*
                    _ => None,
                }
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Method::$method => $name,)*
                }
            }
        }
    };
}

methods! {
    BitCount "bit_count",
    BitLength "bit_length",
    Capitalize "capitalize",
    Center "center",
    Count "count",
    EndsWith "endswith",
    Find "find",
    Get "get",
    Index "index",
    IsAlnum "isalnum",
    IsAlpha "isalpha",
    IsDigit "isdigit",
    IsInteger "is_integer",
    IsLower "islower",
    IsSpace "isspace",
    IsUpper "isupper",
    Items "items",
    Join "join",
    Keys "keys",
    Ljust "ljust",
    Lower "lower",
    Lstrip "lstrip",
    Partition "partition",
    RemovePrefix "removeprefix",
    RemoveSuffix "removesuffix",
    Replace "replace",
    Rfind "rfind",
    Rindex "rindex",
    Rjust "rjust",
    Rsplit "rsplit",
    Rstrip "rstrip",
    Split "split",
    StartsWith "startswith",
    Strip "strip",
    Title "title",
    Upper "upper",
    Values "values",
    Zfill "zfill",
}

impl Method {
    /// The names of all methods, for advice in refusals.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Method::ALL.iter().map(|method| method.name())
    }
}

/// Whether the value's type has the method.
pub fn has(receiver: &Value, method: Method) -> bool {
    use Method::*;
    match receiver {
        Value::Str(_) => !matches!(method, BitCount | BitLength | Get | IsInteger | Items | Keys | Values),
        Value::Dict(_) => matches!(method, Get | Items | Keys | Values),
        Value::List(_) | Value::Tuple(_) | Value::Range(_) => matches!(method, Count | Index),
        Value::Bool(_) | Value::Int(_) | Value::BigInt(_) => {
            matches!(method, BitCount | BitLength | IsInteger)
        }
        Value::Float(_) => matches!(method, IsInteger),
        _ => false,
    }
}

/// Calls a method; `AttributeError` where the type has none of that name.
pub fn call(
    vm: &mut Interpreter,
    receiver: &Value,
    method: Method,
    arguments: Arguments<'_>,
) -> Result<Value> {
    if !has(receiver, method) {
        return Err(missing(receiver, method));
    }
    let meter = &mut vm.meter;
    match receiver {
        Value::Str(text) => string_method(vm, text, method, arguments),
        Value::Dict(dict) => collection::dict_method(meter, dict, method, arguments),
        Value::List(items) => collection::items_method(meter, "list", items, method, arguments),
        Value::Tuple(items) => collection::items_method(meter, "tuple", items, method, arguments),
        Value::Range(range) => collection::range_method(meter, range, method, arguments),
        _ => number::call(receiver, method, arguments),
    }
}

/// The refusal of a method that the value's type does not have. A type itself, as in
/// `str.upper`, has in CPython what is not supported here.
#[cold]
pub fn missing(receiver: &Value, method: Method) -> Box<Raise> {
    let name = method.name();
    if matches!(receiver, Value::Builtin(builtin) if builtin.type_name() == "type") {
        return Raise::type_error(format!("unbound methods are not supported: call .{name}() on a value"));
    }
    let message = format!("'{}' object has no attribute '{name}'", receiver.type_name());
    Raise::exception(ExceptionKind::AttributeError, message)
}

fn string_method(
    vm: &mut Interpreter,
    text: &Text,
    method: Method,
    arguments: Arguments<'_>,
) -> Result<Value> {
    let meter = &mut vm.meter;
    match method {
        Method::Upper => arguments::none("str.upper", arguments).and_then(|()| case::upper(meter, text)),
        Method::Lower => arguments::none("str.lower", arguments).and_then(|()| case::lower(meter, text)),
        Method::Title => arguments::none("str.title", arguments).and_then(|()| case::title(meter, text)),
        Method::Capitalize => {
            arguments::none("str.capitalize", arguments).and_then(|()| case::capitalize(meter, text))
        }
        Method::IsAlnum => characters::is_alnum(meter, text, arguments),
        Method::IsAlpha => characters::is_alpha(meter, text, arguments),
        Method::IsDigit => characters::is_digit(meter, text, arguments),
        Method::IsLower => characters::is_lower(meter, text, arguments),
        Method::IsSpace => characters::is_space(meter, text, arguments),
        Method::IsUpper => characters::is_upper(meter, text, arguments),
        Method::Strip => strip::strip(meter, text, strip::Sides::Both, arguments),
        Method::Lstrip => strip::strip(meter, text, strip::Sides::Left, arguments),
        Method::Rstrip => strip::strip(meter, text, strip::Sides::Right, arguments),
        Method::RemovePrefix => strip::remove_prefix(meter, text, arguments),
        Method::RemoveSuffix => strip::remove_suffix(meter, text, arguments),
        Method::Ljust => strip::pad(meter, text, strip::Sides::Right, arguments),
        Method::Rjust => strip::pad(meter, text, strip::Sides::Left, arguments),
        Method::Center => strip::pad(meter, text, strip::Sides::Both, arguments),
        Method::Zfill => strip::zfill(meter, text, arguments),
        Method::Find => search::find(meter, text, search::Way::Find, arguments),
        Method::Rfind => search::find(meter, text, search::Way::Rfind, arguments),
        Method::Index => search::find(meter, text, search::Way::Index, arguments),
        Method::Rindex => search::find(meter, text, search::Way::Rindex, arguments),
        Method::Count => search::count(meter, text, arguments),
        Method::StartsWith => search::affix(meter, text, search::Affix::Start, arguments),
        Method::EndsWith => search::affix(meter, text, search::Affix::End, arguments),
        Method::Replace => search::replace(meter, text, arguments),
        Method::Split => split::split(meter, text, arguments),
        Method::Rsplit => split::rsplit(meter, text, arguments),
        Method::Partition => split::partition(meter, text, arguments),
        Method::Join => split::join(vm, text, arguments),
        Method::BitCount
        | Method::BitLength
        | Method::Get
        | Method::IsInteger
        | Method::Items
        | Method::Keys
        | Method::Values => Err(missing(&Value::Str(text.clone()), method)),
    }
}

/// The argument as a str.
///
/// # Errors
/// `TypeError`: "find() argument 1 must be str, not int" with `what` for "find() argument 1".
fn str_argument<'a>(value: &'a Value, what: &str) -> Result<&'a Text> {
    match value {
        Value::Str(text) => Ok(text),
        _ => Err(Raise::type_error(format!("{what} must be str, not {}", arguments::kind(value)))),
    }
}
