//! Numbers by specification: digits, sign, grouping and padding.

use super::digits::{Digits, Exponent, Layout, push_exponent, split_exponent};
use super::spec::{Align, NO_KIND, Spec};
use super::{push_fill, reserve};
use crate::error::{Raise, Result};
use crate::meter::Meter;
use crate::number as numbers;
use crate::value::Value;
use num_traits::{Signed, ToPrimitive};

/// A number's text in the parts that padding and grouping treat differently.
struct Parts<'a> {
    negative: bool,
    /// `0x` and the like.
    prefix: &'a str,
    /// What is grouped: the digits before the point. None for infinity, NaN and `c`.
    whole: &'a str,
    /// The rest: point, fraction, exponent, percent sign.
    rest: &'a str,
}

impl Parts<'_> {
    fn push(&self, meter: &mut Meter, spec: &Spec, out: &mut String) -> Result<()> {
        let sign = match spec.sign {
            _ if self.negative => "-",
            Some('+') => "+",
            Some(' ') => " ",
            _ => "",
        };
        let around = sign.len() + self.prefix.len() + self.rest.chars().count();
        let width = spec.width.unwrap_or(0);
        let zeros_to =
            if spec.fill == '0' && spec.align == Align::AfterSign { width.saturating_sub(around) } else { 0 };
        let whole = Whole::new(self.whole.len(), zeros_to, spec.grouping);
        let padding = width.saturating_sub(around.saturating_add(whole.characters));
        let text = sign.len() + self.prefix.len() + self.rest.len();
        let bytes = padding.saturating_mul(spec.fill.len_utf8()).saturating_add(whole.characters);
        reserve(meter, out, bytes.saturating_add(text))?;

        let (left, inside) = match spec.align {
            Align::Left => (0, 0),
            Align::Right => (padding, 0),
            Align::Center => (padding / 2, 0),
            Align::AfterSign => (0, padding),
        };
        push_fill(out, spec.fill, left);
        out.push_str(sign);
        out.push_str(self.prefix);
        push_fill(out, spec.fill, inside);
        whole.push(self.whole, out);
        out.push_str(self.rest);
        push_fill(out, spec.fill, padding - left - inside);
        Ok(())
    }
}

/// The digits before the point, with leading zeros and separators.
struct Whole {
    /// Digits, zeros included.
    digits: usize,
    /// Digits and separators.
    characters: usize,
    grouping: Option<(char, usize)>,
}

impl Whole {
    /// Leading zeros fill up to `zeros_to` characters; a separator is never the first of them.
    fn new(digits: usize, zeros_to: usize, grouping: Option<(char, usize)>) -> Whole {
        let Some((_, size)) = grouping.filter(|_| digits > 0) else {
            let digits = if digits == 0 { 0 } else { digits.max(zeros_to) };
            return Whole { digits, characters: digits, grouping: None };
        };
        let separators = |digits: usize| (digits - 1) / size;
        // So many digits fill `zeros_to` characters. Where a separator would come first, one more
        // digit comes before it.
        let filled = zeros_to - zeros_to.saturating_sub(1) / (size + 1);
        let digits = digits.max(filled);
        Whole { digits, characters: digits.saturating_add(separators(digits)), grouping }
    }

    fn push(&self, text: &str, out: &mut String) {
        let zeros = self.digits - text.len();
        let digits = std::iter::repeat_n('0', zeros).chain(text.chars());
        match self.grouping {
            None => out.extend(digits),
            Some((separator, size)) => {
                for (at, digit) in digits.enumerate() {
                    if at > 0 && (self.digits - at).is_multiple_of(size) {
                        out.push(separator);
                    }
                    out.push(digit);
                }
            }
        }
    }
}

/// An int or bool by specification.
pub(super) fn format_int(meter: &mut Meter, value: &Value, spec: &Spec, out: &mut String) -> Result<()> {
    if matches!(spec.kind, 'e' | 'E' | 'f' | 'F' | 'g' | 'G' | '%') {
        let x = numbers::to_f64(value)?.unwrap_or(f64::NAN);
        return format_float(meter, x, spec, out);
    }
    if !matches!(spec.kind, 'b' | 'c' | 'd' | 'n' | 'o' | 'x' | 'X') {
        return Err(spec.unknown_kind());
    }
    if spec.precision.is_some() {
        return Err(Raise::value_error("Precision not allowed in integer format specifier"));
    }
    if spec.no_negative_zero {
        return Err(Raise::value_error("Negative zero coercion (z) not allowed in integer format specifier"));
    }
    let x = numbers::as_index(value).unwrap_or_default();
    if spec.kind == 'c' {
        let refused = match () {
            () if spec.sign.is_some() => "Sign",
            () if spec.alternate => "Alternate form (#)",
            () => return format_character(meter, &x, spec, out),
        };
        return Err(Raise::value_error(format!("{refused} not allowed with integer format specifier 'c'")));
    }
    let (radix, prefix) = match spec.kind {
        'b' => (2, "0b"),
        'o' => (8, "0o"),
        'x' => (16, "0x"),
        'X' => (16, "0X"),
        _ => (10, ""),
    };
    numbers::pay_radix(meter, x.bits())?;
    let mut digits = x.magnitude().to_str_radix(radix);
    if spec.kind == 'X' {
        digits.make_ascii_uppercase();
    }
    let prefix = if spec.alternate { prefix } else { "" };
    Parts { negative: x.is_negative(), prefix, whole: &digits, rest: "" }.push(meter, spec, out)
}

fn format_character(
    meter: &mut Meter,
    code: &num_bigint::BigInt,
    spec: &Spec,
    out: &mut String,
) -> Result<()> {
    let Some(code) = code.to_i64() else {
        return Err(Raise::overflow_error("Python int too large to convert to C long"));
    };
    let Some(code) = u32::try_from(code).ok().filter(|&code| code <= u32::from(char::MAX)) else {
        return Err(Raise::overflow_error("%c arg not in range(0x110000)"));
    };
    let Some(c) = char::from_u32(code) else {
        return Err(Raise::value_error(format!("surrogates are not supported: {code:#x}")));
    };
    let character = c.to_string();
    Parts { negative: false, prefix: "", whole: "", rest: &character }.push(meter, spec, out)
}

/// A float has no more digits than this after its point that are not 0, and fewer before it.
const FRACTION_DIGITS_MAX: usize = 1074;

/// A float by specification.
pub(super) fn format_float(meter: &mut Meter, x: f64, spec: &Spec, out: &mut String) -> Result<()> {
    let upper = spec.kind.is_ascii_uppercase();
    let kind = match spec.kind {
        'e' | 'E' => 'e',
        'f' | 'F' => 'f',
        'g' | 'G' | 'n' => 'g',
        '%' | NO_KIND => spec.kind,
        _ => return Err(spec.unknown_kind()),
    };
    if spec.precision.is_some_and(|precision| precision > i32::MAX as usize) {
        return Err(Raise::value_error("precision too big"));
    }
    let x = if kind == '%' { x * 100.0 } else { x };
    let mut text = String::new();
    if x.is_nan() {
        text.push_str("nan");
    } else if x.is_infinite() {
        text.push_str("inf");
    } else {
        push_finite(meter, x.abs(), kind, spec, &mut text)?;
    }
    if upper {
        text.make_ascii_uppercase();
    }
    let is_zero = || {
        !text
            .bytes()
            .take_while(|byte| *byte != b'e' && *byte != b'E')
            .any(|byte| matches!(byte, b'1'..=b'9'))
    };
    let negative =
        x.is_sign_negative() && !x.is_nan() && !(spec.no_negative_zero && x.is_finite() && is_zero());
    if kind == '%' {
        text.push('%');
    }
    let whole = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (whole, rest) = text.split_at(whole);
    Parts { negative, prefix: "", whole, rest }.push(meter, spec, out)
}

/// The digits of a finite float that is not negative, laid out but not padded.
fn push_finite(meter: &mut Meter, x: f64, kind: char, spec: &Spec, text: &mut String) -> Result<()> {
    if kind == NO_KIND && spec.precision.is_none() {
        let digits = Digits::shortest(x);
        let style = Layout { alternate: spec.alternate, ..Layout::REPR };
        style.push(digits.as_str(), digits.point, text);
        return Ok(());
    }
    let precision = spec.precision.unwrap_or(6);
    // The text has at least this length, unless zeros are cut off: then it has no more than the
    // digits that a float has.
    let cuts_zeros = matches!(kind, 'g' | NO_KIND) && !spec.alternate;
    let exact = precision.min(FRACTION_DIGITS_MAX);
    // Exact digits are slow to make: about a step each, those before the point included.
    let whole = if matches!(kind, 'f' | '%') { x.log2().max(0.0) as u64 / 2 } else { 0 };
    meter.steps(exact as u64 + whole)?;
    let missing = if cuts_zeros { 0 } else { precision - exact };
    reserve(meter, text, exact.saturating_add(missing))?;
    match kind {
        'f' | '%' => {
            text.push_str(&format!("{x:.exact$}"));
            if precision == 0 && spec.alternate {
                text.push('.');
            }
            push_fill(text, '0', missing);
        }
        'e' => {
            let digits = format!("{x:.exact$e}");
            let (mantissa, exponent) = split_exponent(digits.as_bytes());
            text.push_str(&digits[..mantissa.len()]);
            if precision == 0 && spec.alternate {
                text.push('.');
            }
            push_fill(text, '0', missing);
            push_exponent(exponent, Exponent::Signed, text);
        }
        _ => {
            let significant = precision.max(1);
            let exact = significant.min(FRACTION_DIGITS_MAX);
            let digits = format!("{x:.*e}", exact - 1);
            let (mantissa, exponent) = split_exponent(digits.as_bytes());
            let mut digits: String = digits[..mantissa.len()].chars().filter(|&c| c != '.').collect();
            if cuts_zeros {
                digits.truncate(digits.trim_end_matches('0').len().max(1));
            } else {
                push_fill(&mut digits, '0', significant - exact);
            }
            let dot_zero = kind == NO_KIND;
            let point_max = i32::try_from(significant).unwrap_or(i32::MAX) - i32::from(dot_zero);
            let style = Layout { point_max, dot_zero, alternate: spec.alternate, ..Layout::REPR };
            style.push(&digits, exponent + 1, text);
        }
    }
    Ok(())
}
