//! Digits in and out: `int(text)`, `float(text)`, and ints as decimal, binary, octal, hexadecimal.

use super::{as_index, integer};
use crate::error::{Raise, Result};
use crate::format;
use crate::meter::Meter;
use crate::value::Value;
use num_bigint::BigInt;
use num_traits::Signed;
use std::borrow::Cow;
use unicode_properties::{GeneralCategory, UnicodeGeneralCategory};

/// Characters of the refused text's repr that `int` puts into its message.
const REPR_SHOWN_MAX: usize = 200;

/// `int(text, base)`; base 10 unless given. The text's repr goes into the message.
pub fn parse_int(meter: &mut Meter, text: &str, base: u32) -> Result<Value> {
    meter.steps(text.len() as u64 / 64)?;
    if base == 10
        && let Ok(small) = text.parse()
    {
        return Ok(Value::Int(small));
    }
    if base != 0 && !(2..=36).contains(&base) {
        return Err(Raise::value_error("int() base must be >= 2 and <= 36, or 0"));
    }
    pay_scan(meter, text)?;
    let Some(literal) = Literal::scan(to_ascii(text).as_bytes(), base) else {
        let shown = format::repr_text_start(text, REPR_SHOWN_MAX);
        return Err(Raise::value_error(format!("invalid literal for int() with base {base}: {shown}")));
    };
    integer::from_digits(meter, literal.negative, &literal.digits, literal.radix)
}

/// What `int` reads.
struct Literal {
    negative: bool,
    radix: u32,
    /// Digit values, without leading zeros.
    digits: Vec<u8>,
}

impl Literal {
    fn scan(text: &[u8], base: u32) -> Option<Literal> {
        let text = trim(text);
        let (negative, unsigned) = match text.split_first()? {
            (b'-', rest) => (true, rest),
            (b'+', rest) => (false, rest),
            _ => (false, text),
        };
        let prefix = match unsigned {
            [b'0', b'x' | b'X', ..] => Some(16),
            [b'0', b'o' | b'O', ..] => Some(8),
            [b'0', b'b' | b'B', ..] => Some(2),
            _ => None,
        };
        let (radix, body) = match prefix {
            // `0b1` is also a number in base 16, so the prefix must be the base's own.
            Some(radix) if base == 0 || base == radix => {
                let body = &unsigned[2..];
                (radix, body.strip_prefix(b"_").unwrap_or(body))
            }
            _ => (if base == 0 { 10 } else { base }, unsigned),
        };
        let mut digits = Vec::new();
        let mut after_digit = false;
        for &byte in body {
            if byte == b'_' {
                if !after_digit {
                    return None;
                }
                after_digit = false;
                continue;
            }
            let digit = char::from(byte).to_digit(radix)?;
            after_digit = true;
            if digit != 0 || !digits.is_empty() {
                digits.push(digit as u8);
            }
        }
        // In base 0, `010` is no number: Python 2 read it as octal.
        let old_octal = base == 0 && prefix.is_none() && body.first() == Some(&b'0') && !digits.is_empty();
        (after_digit && !old_octal).then_some(Literal { negative, radix, digits })
    }
}

/// The blanks that CPython's number parsers skip.
fn trim(text: &[u8]) -> &[u8] {
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let start = text.iter().position(|byte| !is_blank(byte)).unwrap_or(text.len());
    let end = text.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    &text[start..end]
}

/// Pays for [`to_ascii`] and a scan of what it gives. Tables are asked about characters that are
/// not ASCII.
fn pay_scan(meter: &mut Meter, text: &str) -> Result<()> {
    meter.copy(text.len().saturating_mul(2))?;
    meter.steps(if text.is_ascii() { 0 } else { text.len() as u64 / 2 })
}

/// The text with other scripts' digits and blanks as ASCII; what is neither becomes `?`, which no
/// number has.
fn to_ascii(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    let ascii = |c: char| match c {
        _ if c.is_ascii() => c,
        _ if c.is_whitespace() => ' ',
        _ => decimal_digit(c).and_then(|digit| char::from_digit(digit, 10)).unwrap_or('?'),
    };
    Cow::Owned(text.chars().map(ascii).collect())
}

/// The value of a decimal digit of any script.
pub(crate) fn decimal_digit(c: char) -> Option<u32> {
    if c.is_ascii() {
        return c.to_digit(10);
    }
    let is_digit = |c: char| c.general_category() == GeneralCategory::DecimalNumber;
    if !is_digit(c) {
        return None;
    }
    /// Bold, double-struck and other digits of mathematics: five runs that touch.
    const MATHEMATICAL_DIGITS: std::ops::RangeInclusive<u32> = 0x1d7ce..=0x1d7ff;
    let code = u32::from(c);
    if MATHEMATICAL_DIGITS.contains(&code) {
        return Some((code - MATHEMATICAL_DIGITS.start()) % 10);
    }
    // All other runs go from 0 to 9, or from 6 to 15, in a row of sixteen.
    let column = code % 16;
    let row_starts_with_digit = char::from_u32(code - column).is_some_and(is_digit);
    if row_starts_with_digit { Some(column) } else { column.checked_sub(6) }
}

/// `float(text)`.
pub fn parse_float(meter: &mut Meter, text: &str) -> Result<f64> {
    meter.steps(text.len() as u64 / 32)?;
    // Rust reads the grammar that CPython reads, names of infinity and NaN included.
    if let Ok(x) = text.parse() {
        return Ok(x);
    }
    pay_scan(meter, text)?;
    let ascii = to_ascii(text);
    let body = trim(ascii.as_bytes());
    let without = without_underscores(body);
    without.and_then(|digits| std::str::from_utf8(&digits).ok()?.parse().ok()).ok_or_else(|| {
        let shown = format::repr_text_start(text, REPR_SHOWN_MAX);
        Raise::value_error(format!("could not convert string to float: {shown}"))
    })
}

/// The text without its underscores; `None` where one does not stand between digits.
fn without_underscores(text: &[u8]) -> Option<Cow<'_, [u8]>> {
    if !text.contains(&b'_') {
        return Some(Cow::Borrowed(text));
    }
    let is_digit = |at: Option<usize>| at.and_then(|at| text.get(at)).is_some_and(u8::is_ascii_digit);
    let mut kept = Vec::with_capacity(text.len());
    for (at, &byte) in text.iter().enumerate() {
        if byte != b'_' {
            kept.push(byte);
        } else if !is_digit(at.checked_sub(1)) || !is_digit(Some(at + 1)) {
            return None;
        }
    }
    Some(Cow::Owned(kept))
}

/// Decimal digits of an int value (`str`), appended; pays for it.
pub fn int_to_decimal(meter: &mut Meter, x: &Value, out: &mut String) -> Result<()> {
    if let Value::Int(x) = x {
        return format::append(meter, out, itoa::Buffer::new().format(*x));
    }
    let x = index(x)?;
    integer::pay_radix(meter, x.bits())?;
    format::append(meter, out, &x.to_str_radix(10))
}

/// `bin`, `oct`, `hex` (radix 2, 8, 16) with prefix and sign.
pub fn int_to_radix(meter: &mut Meter, x: &Value, radix: u32) -> Result<String> {
    let prefix = match radix {
        2 => "0b",
        8 => "0o",
        _ => "0x",
    };
    let x = index(x)?;
    meter.string(x.bits() as usize + 3)?;
    let sign = if x.is_negative() { "-" } else { "" };
    Ok(format!("{sign}{prefix}{}", x.magnitude().to_str_radix(radix)))
}

fn index(x: &Value) -> Result<Cow<'_, BigInt>> {
    as_index(x).ok_or_else(|| {
        let name = x.type_name();
        Raise::type_error(format!("'{name}' object cannot be interpreted as an integer"))
    })
}
