//! Values as text: `str`, `repr`, and `format` with its mini-language.
//!
//! Text grows in one `String` that the caller owns. Whatever is appended is first held against
//! the bound of a string and paid, so that a small list of large strings cannot fill the memory.

mod digits;
mod number;
mod spec;

pub(crate) use digits::{Exponent, push_float};

use crate::error::{Raise, Result};
use crate::meter::Meter;
use crate::number as numbers;
use crate::value::{Value, View, ViewKind};
use spec::{Align, Spec};
use std::fmt::Write as _;
use unicode_properties::{GeneralCategoryGroup, UnicodeGeneralCategory};

/// Pays for `bytes` more of text and makes room for them.
fn reserve(meter: &mut Meter, out: &mut String, bytes: usize) -> Result<()> {
    let total = out.len().saturating_add(bytes);
    if total > meter.limits().string_bytes {
        meter.string(total)?;
    }
    meter.copy(bytes)?;
    out.reserve(bytes);
    Ok(())
}

/// Appends text and pays for it.
pub(crate) fn append(meter: &mut Meter, out: &mut String, text: &str) -> Result<()> {
    reserve(meter, out, text.len())?;
    out.push_str(text);
    Ok(())
}

/// `str(value)`, appended.
pub fn str(meter: &mut Meter, value: &Value, out: &mut String) -> Result<()> {
    match value {
        Value::Str(text) => append(meter, out, text.as_str()),
        _ => repr(meter, value, out),
    }
}

/// `repr(value)`, appended. Functions and iterators, whose repr shows an address, are a `TypeError`.
pub fn repr(meter: &mut Meter, value: &Value, out: &mut String) -> Result<()> {
    match value {
        Value::None => append(meter, out, "None"),
        Value::Bool(true) => append(meter, out, "True"),
        Value::Bool(false) => append(meter, out, "False"),
        Value::Int(_) | Value::BigInt(_) => numbers::int_to_decimal(meter, value, out),
        Value::Float(x) => {
            reserve(meter, out, FLOAT_REPR_BYTES_MAX)?;
            float_repr(*x, out);
            Ok(())
        }
        Value::Str(text) => repr_text(meter, text.as_str(), out),
        Value::List(items) => {
            append(meter, out, "[")?;
            repr_items(meter, items.iter(), out, repr)?;
            append(meter, out, "]")
        }
        Value::Tuple(items) => {
            append(meter, out, "(")?;
            repr_items(meter, items.iter(), out, repr)?;
            append(meter, out, if items.len() == 1 { ",)" } else { ")" })
        }
        Value::Dict(dict) => {
            append(meter, out, "{")?;
            repr_items(meter, dict.iter(), out, |meter, (key, value), out| {
                repr(meter, key, out)?;
                append(meter, out, ": ")?;
                repr(meter, value, out)
            })?;
            append(meter, out, "}")
        }
        Value::Range(range) => {
            append(meter, out, &format!("range({}, {}", range.start, range.stop))?;
            let step = if range.step == 1 { ")".to_owned() } else { format!(", {})", range.step) };
            append(meter, out, &step)
        }
        Value::View(view) => repr_view(meter, view, out),
        Value::Builtin(builtin) if builtin.type_name() == "type" => {
            append(meter, out, &format!("<class '{}'>", builtin.name()))
        }
        Value::Builtin(builtin) => append(meter, out, &format!("<built-in function {}>", builtin.name())),
        Value::Math(function) => append(meter, out, &format!("<built-in function {}>", function.name())),
        Value::Function(_) | Value::BoundMethod(_) | Value::Iterator(_) => Err(Raise::type_error(format!(
            "a '{}' object has no text: CPython would show its address",
            value.type_name()
        ))),
    }
}

/// Elements with `, ` between them; a step for each.
fn repr_items<T>(
    meter: &mut Meter,
    items: impl Iterator<Item = T>,
    out: &mut String,
    mut one: impl FnMut(&mut Meter, T, &mut String) -> Result<()>,
) -> Result<()> {
    let all = |meter: &mut Meter| {
        for (at, item) in items.enumerate() {
            meter.steps(1)?;
            if at > 0 {
                append(meter, out, ", ")?;
            }
            one(meter, item, out)?;
        }
        Ok(())
    };
    meter.enter_nested()?;
    let result = all(meter);
    meter.leave_nested();
    result
}

fn repr_view(meter: &mut Meter, view: &View, out: &mut String) -> Result<()> {
    let open = match view.kind {
        ViewKind::Keys => "dict_keys([",
        ViewKind::Values => "dict_values([",
        ViewKind::Items => "dict_items([",
    };
    append(meter, out, open)?;
    repr_items(meter, view.dict.iter(), out, |meter, (key, value), out| match view.kind {
        ViewKind::Keys => repr(meter, key, out),
        ViewKind::Values => repr(meter, value, out),
        ViewKind::Items => {
            append(meter, out, "(")?;
            repr(meter, key, out)?;
            append(meter, out, ", ")?;
            repr(meter, value, out)?;
            append(meter, out, ")")
        }
    })?;
    append(meter, out, "])")
}

/// `repr` of a str: quotes as CPython chooses them, escapes for what cannot be printed.
fn repr_text(meter: &mut Meter, text: &str, out: &mut String) -> Result<()> {
    // Tables are asked about each character that is not ASCII.
    meter.steps(if text.is_ascii() { 0 } else { text.len() as u64 / 4 })?;
    let quote = quote_for(text);
    reserve(meter, out, text.len() + 2)?;
    out.push(quote);
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~') && byte != b'\\' && char::from(byte) != quote;
    let mut rest = text;
    loop {
        let plain = rest.bytes().position(|byte| !is_plain(byte)).unwrap_or(rest.len());
        out.push_str(&rest[..plain]);
        rest = &rest[plain..];
        let Some(c) = rest.chars().next() else { break };
        rest = &rest[c.len_utf8()..];
        let escape = Escape::of(c, quote);
        if !matches!(escape, Escape::None) {
            meter.steps(1)?;
            reserve(meter, out, ESCAPE_BYTES_MAX)?;
        }
        escape.push(c, out);
    }
    reserve(meter, out, 1)?;
    out.push(quote);
    Ok(())
}

/// The first characters of the `repr` of a str, for messages.
pub(crate) fn repr_text_start(text: &str, characters_max: usize) -> String {
    let quote = quote_for(text);
    let mut out = String::from(quote);
    for c in text.chars().take(characters_max) {
        Escape::of(c, quote).push(c, &mut out);
    }
    out.push(quote);
    match out.char_indices().nth(characters_max) {
        // More characters follow, or an escape was cut: the closing quote is cut off too.
        Some((end, _)) => out[..end].to_owned(),
        None => out,
    }
}

fn quote_for(text: &str) -> char {
    if text.contains('\'') && !text.contains('"') { '"' } else { '\'' }
}

/// `\U0001f600`
const ESCAPE_BYTES_MAX: usize = 10;

/// How a character stands in the `repr` of a str.
#[derive(Clone, Copy)]
enum Escape {
    None,
    /// A backslash and this.
    Short(char),
    /// `\x`, `\u` or `\U` and so many hexadecimal digits.
    Code(char, usize),
}

impl Escape {
    fn of(c: char, quote: char) -> Escape {
        match c {
            '\\' => Escape::Short('\\'),
            '\t' => Escape::Short('t'),
            '\n' => Escape::Short('n'),
            '\r' => Escape::Short('r'),
            _ if c == quote => Escape::Short(quote),
            ' '..='~' => Escape::None,
            _ if is_printable(c) => Escape::None,
            '\0'..='\u{ff}' => Escape::Code('x', 2),
            '\u{100}'..='\u{ffff}' => Escape::Code('u', 4),
            _ => Escape::Code('U', 8),
        }
    }

    fn push(self, c: char, out: &mut String) {
        match self {
            Escape::None => out.push(c),
            Escape::Short(letter) => out.extend(['\\', letter]),
            Escape::Code(letter, digits) => {
                // Writing to a String cannot fail.
                let _ = write!(out, "\\{letter}{:0digits$x}", u32::from(c));
            }
        }
    }
}

/// `str.isprintable` of a character: no control, format, private or unassigned character, and no
/// separator but the space.
pub(crate) fn is_printable(c: char) -> bool {
    c == ' '
        || !matches!(
            c.general_category_group(),
            GeneralCategoryGroup::Other | GeneralCategoryGroup::Separator
        )
}

/// Sign, 17 digits, point, `e`, sign and three digits; or `0.000` and 17 digits.
const FLOAT_REPR_BYTES_MAX: usize = 24;

/// `repr` of a float, appended: shortest digits, `1e+16` style exponents, `nan`, `inf`.
pub fn float_repr(x: f64, out: &mut String) {
    if x.is_nan() {
        out.push_str("nan");
    } else if x.is_infinite() {
        out.push_str(if x > 0.0 { "inf" } else { "-inf" });
    } else {
        push_float(x, Exponent::Signed, out);
    }
}

/// `format(value, spec)`, appended.
pub fn format(meter: &mut Meter, value: &Value, spec: &str, out: &mut String) -> Result<()> {
    if spec.is_empty() {
        return str(meter, value, out);
    }
    match value {
        Value::Str(text) => {
            let spec = Spec::parse(meter, spec, "str", 's', Align::Left)?;
            if spec.kind != 's' {
                return Err(spec.unknown_kind());
            }
            format_text(meter, text.as_str(), text.len(), &spec, out)
        }
        Value::Bool(_) | Value::Int(_) | Value::BigInt(_) => {
            let spec = Spec::parse(meter, spec, value.type_name(), 'd', Align::Right)?;
            number::format_int(meter, value, &spec, out)
        }
        Value::Float(x) => {
            let spec = Spec::parse(meter, spec, "float", spec::NO_KIND, Align::Right)?;
            number::format_float(meter, *x, &spec, out)
        }
        _ => Err(Raise::type_error(format!(
            "unsupported format string passed to {}.__format__",
            value.type_name()
        ))),
    }
}

/// A str of `length` code points, cut and padded.
fn format_text(meter: &mut Meter, text: &str, length: usize, spec: &Spec, out: &mut String) -> Result<()> {
    let refused = match () {
        () if spec.sign == Some(' ') => Some("Space not allowed"),
        () if spec.sign.is_some() => Some("Sign not allowed"),
        () if spec.no_negative_zero => Some("Negative zero coercion (z) not allowed"),
        () if spec.alternate => Some("Alternate form (#) not allowed"),
        () if spec.align == Align::AfterSign => Some("'=' alignment not allowed"),
        () => None,
    };
    if let Some(refused) = refused {
        return Err(Raise::value_error(format!("{refused} in string format specifier")));
    }
    let (text, length) = match spec.precision {
        Some(precision) if precision < length => {
            meter.steps(precision as u64 / 64)?;
            let end = text.char_indices().nth(precision).map_or(text.len(), |(at, _)| at);
            (&text[..end], precision)
        }
        _ => (text, length),
    };
    let padding = spec.width.unwrap_or(0).saturating_sub(length);
    let left = match spec.align {
        Align::Right => padding,
        Align::Center => padding / 2,
        Align::Left | Align::AfterSign => 0,
    };
    reserve(meter, out, padding.saturating_mul(spec.fill.len_utf8()).saturating_add(text.len()))?;
    push_fill(out, spec.fill, left);
    out.push_str(text);
    push_fill(out, spec.fill, padding - left);
    Ok(())
}

fn push_fill(out: &mut String, fill: char, count: usize) {
    out.extend(std::iter::repeat_n(fill, count));
}

#[cfg(test)]
mod tests;
