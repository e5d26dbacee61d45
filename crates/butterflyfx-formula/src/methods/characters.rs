//! What kind of code points a str is made of: `isalpha`, `isdigit`, `isspace`, ...
//!
//! CPython reads these from Unicode 15.1: letters and decimal digits by general category, cased
//! letters by the derived properties `Lowercase` and `Uppercase`, digits by `Numeric_Type`.

use crate::builtins::arguments;
use crate::error::Result;
use crate::interpret::Arguments;
use crate::meter::Meter;
use crate::sequence::pay_search;
use crate::text::Text;
use crate::value::Value;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Code points with `Numeric_Type=Digit`: those of `str.isdigit` that are no decimal digits.
/// From DerivedNumericType.txt of Unicode 15.1.
#[rustfmt::skip]
const DIGITS: [(u32, u32); 20] = [
    (0xB2, 0xB3), (0xB9, 0xB9), (0x1369, 0x1371), (0x19DA, 0x19DA), (0x2070, 0x2070),
    (0x2074, 0x2079), (0x2080, 0x2089), (0x2460, 0x2468), (0x2474, 0x247C), (0x2488, 0x2490),
    (0x24EA, 0x24EA), (0x24F5, 0x24FD), (0x24FF, 0x24FF), (0x2776, 0x277E), (0x2780, 0x2788),
    (0x278A, 0x2792), (0x10A40, 0x10A43), (0x10E60, 0x10E68), (0x11052, 0x1105A), (0x1F100, 0x1F10A),
];

fn letter(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphabetic()
    } else {
        c.general_category_group() == GeneralCategoryGroup::Letter
    }
}

fn letter_or_number(c: char) -> bool {
    if c.is_ascii() {
        c.is_ascii_alphanumeric()
    } else {
        matches!(c.general_category_group(), GeneralCategoryGroup::Letter | GeneralCategoryGroup::Number)
    }
}

fn digit(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_digit();
    }
    let code = u32::from(c);
    c.general_category() == GeneralCategory::DecimalNumber
        || DIGITS.iter().any(|&(first, last)| (first..=last).contains(&code))
}

/// White space of `str.isspace`, `str.strip` and `str.split`: Unicode's and four separators more.
pub(super) fn space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1C}'..='\u{1F}')
}

/// The derived property `Lowercase`. The compiler's tables are newer than Unicode 15.1, where
/// U+0295 was still a small letter.
pub(super) fn lowercase(c: char) -> bool {
    c.is_lowercase() || c == '\u{295}'
}

/// A letter that is big at the start of a word and small after it, such as U+01C5.
pub(super) fn titlecase(c: char) -> bool {
    !c.is_ascii() && c.general_category() == GeneralCategory::TitlecaseLetter
}

/// Small, big or titlecase.
pub(super) fn cased(c: char) -> bool {
    lowercase(c) || c.is_uppercase() || titlecase(c)
}

/// Pays for a walk over a text that may look up each code point in Unicode's tables.
pub(super) fn pay_look_ups(meter: &mut Meter, text: &Text) -> Result<()> {
    if text.is_ascii() { pay_search(meter, text.len()) } else { meter.steps(text.len() as u64) }
}

/// Whether there are code points and all are of a kind.
fn all(
    meter: &mut Meter,
    name: &str,
    text: &Text,
    arguments: Arguments<'_>,
    kind: impl Fn(char) -> bool,
) -> Result<Value> {
    arguments::none(name, arguments)?;
    pay_look_ups(meter, text)?;
    Ok(Value::Bool(!text.is_empty() && text.as_str().chars().all(kind)))
}

/// Whether there is a code point that has the wanted case and none that has another.
fn one_case(
    meter: &mut Meter,
    name: &str,
    text: &Text,
    arguments: Arguments<'_>,
    wanted: impl Fn(char) -> bool,
) -> Result<Value> {
    arguments::none(name, arguments)?;
    pay_look_ups(meter, text)?;
    let mut found = false;
    for c in text.as_str().chars() {
        if wanted(c) {
            found = true;
        } else if cased(c) {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(found))
}

/// `str.isalnum()`
pub(super) fn is_alnum(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    all(meter, "str.isalnum", text, arguments, letter_or_number)
}

/// `str.isalpha()`
pub(super) fn is_alpha(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    all(meter, "str.isalpha", text, arguments, letter)
}

/// `str.isdigit()`
pub(super) fn is_digit(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    all(meter, "str.isdigit", text, arguments, digit)
}

/// `str.isspace()`
pub(super) fn is_space(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    all(meter, "str.isspace", text, arguments, space)
}

/// `str.islower()`
pub(super) fn is_lower(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    one_case(meter, "str.islower", text, arguments, lowercase)
}

/// `str.isupper()`
pub(super) fn is_upper(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    one_case(meter, "str.isupper", text, arguments, char::is_uppercase)
}
