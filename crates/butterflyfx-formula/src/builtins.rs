//! Built-in functions and types.

pub mod arguments;

mod aggregate;
mod convert;
mod iterators;
mod sort;

use crate::error::{Raise, Result};
use crate::interpret::{Arguments, Interpreter};
use crate::meter::Meter;
use crate::number;
use crate::operate::{self, BinaryOp};
use crate::sequence;
use crate::value::Value;
use arguments::Signature;

/// Declares the built-ins, each with its name and kind, once for all functions of [`Builtin`].
macro_rules! builtins {
    ($($builtin:ident $name:literal $kind:ident,)*) => {
        /// A built-in function or type.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Builtin {
            $(#[doc = concat!("`", $name, "`")] $builtin,)*
        }

        impl Builtin {
            const ALL: &[Builtin] = &[$(Builtin::$builtin,)*];

            /// The built-in with this name, if the language has it.
            pub fn from_name(name: &str) -> Option<Builtin> {
                match name {
                    $($name => Some(Builtin::$builtin),)*
                    _ => None,
                }
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Builtin::$builtin => $name,)*
                }
            }

            /// `type` for a type such as `int`, else `builtin_function_or_method`.
            pub fn type_name(self) -> &'static str {
                match self {
                    $(Builtin::$builtin => builtins!(@$kind),)*
                }
            }
        }
    };
    (@function) => { "builtin_function_or_method" };
    (@class) => { "type" };
}

builtins! {
    Abs "abs" function,
    All "all" function,
    Any "any" function,
    Bin "bin" function,
    Bool "bool" class,
    Chr "chr" function,
    Dict "dict" class,
    Divmod "divmod" function,
    Enumerate "enumerate" class,
    Filter "filter" class,
    Float "float" class,
    Hex "hex" function,
    Int "int" class,
    Len "len" function,
    List "list" class,
    Map "map" class,
    Max "max" function,
    Min "min" function,
    Oct "oct" function,
    Ord "ord" function,
    Pow "pow" function,
    Range "range" class,
    Reversed "reversed" class,
    Round "round" function,
    Sorted "sorted" function,
    Str "str" class,
    Sum "sum" function,
    Tuple "tuple" class,
    Zip "zip" class,
}

impl Builtin {
    /// The names of all built-ins, for advice in refusals.
    pub fn names() -> impl Iterator<Item = &'static str> {
        Builtin::ALL.iter().map(|builtin| builtin.name())
    }
}

/// Calls a built-in.
///
/// # Errors
/// `TypeError` for arguments that it does not take; what it raises; limits.
pub fn call(vm: &mut Interpreter, builtin: Builtin, arguments: Arguments<'_>) -> Result<Value> {
    let meter = &mut vm.meter;
    match builtin {
        Builtin::Abs => abs(meter, arguments),
        Builtin::All => aggregate::all(vm, arguments),
        Builtin::Any => aggregate::any(vm, arguments),
        Builtin::Bin => radix(meter, "bin", 2, arguments),
        Builtin::Bool => convert::bool(arguments),
        Builtin::Chr => chr(meter, arguments),
        Builtin::Dict => convert::dict(vm, arguments),
        Builtin::Divmod => divmod(meter, arguments),
        Builtin::Enumerate => iterators::enumerate(vm, arguments),
        Builtin::Filter => iterators::filter(vm, arguments),
        Builtin::Float => convert::float(meter, arguments),
        Builtin::Hex => radix(meter, "hex", 16, arguments),
        Builtin::Int => convert::int(meter, arguments),
        Builtin::Len => len(meter, arguments),
        Builtin::List => convert::list(vm, arguments),
        Builtin::Map => iterators::map(vm, arguments),
        Builtin::Max => aggregate::extreme(vm, aggregate::Extreme::Max, arguments),
        Builtin::Min => aggregate::extreme(vm, aggregate::Extreme::Min, arguments),
        Builtin::Oct => radix(meter, "oct", 8, arguments),
        Builtin::Ord => ord(arguments),
        Builtin::Pow => pow(meter, arguments),
        Builtin::Range => convert::range(meter, arguments),
        Builtin::Reversed => iterators::reversed(meter, arguments),
        Builtin::Round => round(meter, arguments),
        Builtin::Sorted => aggregate::sorted(vm, arguments),
        Builtin::Str => convert::str(meter, arguments),
        Builtin::Sum => aggregate::sum(vm, arguments),
        Builtin::Tuple => convert::tuple(vm, arguments),
        Builtin::Zip => iterators::zip(vm, arguments),
    }
}

fn abs(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    let x = arguments::one("abs", arguments)?;
    number::abs(meter, x)?
        .ok_or_else(|| Raise::type_error(format!("bad operand type for abs(): '{}'", x.type_name())))
}

/// `bin`, `oct`, `hex`
fn radix(meter: &mut Meter, name: &str, radix: u32, arguments: Arguments<'_>) -> Result<Value> {
    let x = arguments::one(name, arguments)?;
    match x {
        Value::Int(_) | Value::BigInt(_) | Value::Bool(_) => {
            Ok(Value::str(number::int_to_radix(meter, x, radix)?))
        }
        _ => Err(not_an_integer(x)),
    }
}

fn chr(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    let code = arguments::one("chr", arguments)?;
    let code = match code {
        Value::Int(code) => u32::try_from(*code).ok(),
        Value::Bool(code) => Some(u32::from(*code)),
        Value::BigInt(_) => None,
        _ => return Err(not_an_integer(code)),
    };
    match code {
        Some(0xD800..=0xDFFF) => {
            Err(Raise::value_error("chr() arg is a surrogate; a str holds whole characters only"))
        }
        Some(code) if let Some(c) = char::from_u32(code) => {
            let mut buffer = [0; 4];
            sequence::copied(meter, c.encode_utf8(&mut buffer))
        }
        _ => Err(Raise::value_error("chr() arg not in range(0x110000)")),
    }
}

fn ord(arguments: Arguments<'_>) -> Result<Value> {
    let Value::Str(text) = arguments::one("ord", arguments)? else {
        let kind = arguments.positional.first().map_or("", Value::type_name);
        return Err(Raise::type_error(format!("ord() expected string of length 1, but {kind} found")));
    };
    let mut code_points = text.as_str().chars();
    match (code_points.next(), code_points.next()) {
        (Some(c), None) => Ok(Value::Int(i64::from(u32::from(c)))),
        _ => Err(Raise::type_error(format!(
            "ord() expected a character, but string of length {} found",
            text.len()
        ))),
    }
}

fn divmod(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    let [Some(a), Some(b)] = arguments::positional("divmod", arguments, 2)? else {
        return Ok(Value::None);
    };
    let Some((quotient, remainder)) = number::divmod(meter, a, b)? else {
        return Err(Raise::type_error(format!(
            "unsupported operand type(s) for divmod(): '{}' and '{}'",
            a.type_name(),
            b.type_name()
        )));
    };
    meter.list(2)?;
    Ok(Value::tuple(vec![quotient, remainder]))
}

fn len(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    let value = arguments::one("len", arguments)?;
    sequence::len(meter, value).map(|len| Value::big(len.into()))
}

fn pow(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    const SIGNATURE: Signature<3> = Signature {
        name: "pow",
        parameters: ["base", "exp", "mod"],
        positional_only: 0,
        positional: 3,
        required: 2,
    };
    match SIGNATURE.bind(arguments)? {
        [Some(base), Some(exponent), None | Some(Value::None)] => {
            operate::binary(meter, BinaryOp::Power, base, exponent)
        }
        [Some(base), Some(exponent), Some(modulus)] => number::pow_modulo(meter, base, exponent, modulus),
        _ => Ok(Value::None),
    }
}

fn round(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    const SIGNATURE: Signature<2> = Signature {
        name: "round",
        parameters: ["number", "ndigits"],
        positional_only: 0,
        positional: 2,
        required: 1,
    };
    let [number, digits] = SIGNATURE.bind(arguments)?;
    let digits = digits.filter(|digits| !matches!(digits, Value::None));
    number::round(meter, number.unwrap_or(&Value::None), digits)
}

#[cold]
fn not_an_integer(value: &Value) -> Box<Raise> {
    Raise::type_error(format!("'{}' object cannot be interpreted as an integer", value.type_name()))
}
