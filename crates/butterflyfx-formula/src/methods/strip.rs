//! What happens at the ends of a str: `strip`, `removeprefix`, `ljust`, `zfill` and their kin.

use super::characters::space;
use super::str_argument;
use crate::builtins::arguments;
use crate::error::{Raise, Result};
use crate::interpret::Arguments;
use crate::meter::Meter;
use crate::sequence::{copied, pay_search, size_argument};
use crate::text::Text;
use crate::value::Value;

/// The ends at which something is taken away or added.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sides {
    Left,
    Right,
    Both,
}

/// `strip`, `lstrip`, `rstrip`
pub(super) fn strip(meter: &mut Meter, text: &Text, sides: Sides, arguments: Arguments<'_>) -> Result<Value> {
    let name = match sides {
        Sides::Both => "str.strip",
        Sides::Left => "str.lstrip",
        Sides::Right => "str.rstrip",
    };
    let [what] = arguments::positional(name, arguments, 0)?;
    let source = text.as_str();
    pay_search(meter, source.len())?;
    let rest = match what {
        None | Some(Value::None) => trim(source, sides, space),
        Some(Value::Str(what)) => match what.as_str().as_bytes() {
            &[only] if only.is_ascii() => trim(source, sides, |c| c == char::from(only)),
            _ => {
                // Sorted, so that a long list of characters is not walked for each one tested.
                let what = what.as_str();
                meter.steps(what.len() as u64)?;
                meter.bytes(what.len() as u64 * size_of::<char>() as u64)?;
                let mut set: Vec<char> = what.chars().collect();
                set.sort_unstable();
                let mut stopped = None;
                let rest = trim(source, sides, |c| match meter.steps(1) {
                    Ok(()) => set.binary_search(&c).is_ok(),
                    Err(limit) => {
                        stopped = Some(limit);
                        false
                    }
                });
                if let Some(limit) = stopped {
                    return Err(limit);
                }
                rest
            }
        },
        Some(_) => {
            let short = name.trim_start_matches("str.");
            return Err(Raise::type_error(format!("{short} arg must be None or str")));
        }
    };
    if rest.len() == source.len() { Ok(Value::Str(text.clone())) } else { copied(meter, rest) }
}

fn trim(text: &str, sides: Sides, mut unwanted: impl FnMut(char) -> bool) -> &str {
    let text = if sides == Sides::Right { text } else { text.trim_start_matches(&mut unwanted) };
    if sides == Sides::Left { text } else { text.trim_end_matches(&mut unwanted) }
}

/// `str.removeprefix(prefix)`
pub(super) fn remove_prefix(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    let prefix = arguments::one("str.removeprefix", arguments)?;
    let prefix = str_argument(prefix, "removeprefix() argument")?.as_str();
    match text.as_str().strip_prefix(prefix) {
        Some(rest) if !prefix.is_empty() => copied(meter, rest),
        _ => Ok(Value::Str(text.clone())),
    }
}

/// `str.removesuffix(suffix)`
pub(super) fn remove_suffix(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    let suffix = arguments::one("str.removesuffix", arguments)?;
    let suffix = str_argument(suffix, "removesuffix() argument")?.as_str();
    match text.as_str().strip_suffix(suffix) {
        Some(rest) if !suffix.is_empty() => copied(meter, rest),
        _ => Ok(Value::Str(text.clone())),
    }
}

/// `ljust`, `rjust`, `center`; `sides` says where the padding goes.
pub(super) fn pad(meter: &mut Meter, text: &Text, sides: Sides, arguments: Arguments<'_>) -> Result<Value> {
    let name = match sides {
        Sides::Right => "str.ljust",
        Sides::Left => "str.rjust",
        Sides::Both => "str.center",
    };
    let [width, fill] = arguments::positional(name, arguments, 1)?;
    let width = size_argument(width.unwrap_or(&Value::None))?;
    let fill = match fill {
        None => ' ',
        Some(Value::Str(fill)) => {
            let mut fill = fill.as_str().chars();
            match (fill.next(), fill.next()) {
                (Some(fill), None) => fill,
                _ => {
                    return Err(Raise::type_error("The fill character must be exactly one character long"));
                }
            }
        }
        Some(other) => {
            return Err(Raise::type_error(format!(
                "The fill character must be a unicode character, not {}",
                other.type_name()
            )));
        }
    };
    let width = usize::try_from(width).unwrap_or(0);
    let padding = width.saturating_sub(text.len());
    // An odd one goes to the left where the width is odd, as CPython has it.
    let left = match sides {
        Sides::Right => 0,
        Sides::Left => padding,
        Sides::Both => padding / 2 + (padding & width & 1),
    };
    padded(meter, text, left, padding - left, fill)
}

fn padded(meter: &mut Meter, text: &Text, left: usize, right: usize, fill: char) -> Result<Value> {
    if left == 0 && right == 0 {
        return Ok(Value::Str(text.clone()));
    }
    let source = text.as_str();
    let len = left.saturating_add(right).saturating_mul(fill.len_utf8()).saturating_add(source.len());
    meter.string(len)?;
    let mut out = String::with_capacity(len);
    out.extend(std::iter::repeat_n(fill, left));
    out.push_str(source);
    out.extend(std::iter::repeat_n(fill, right));
    Ok(Value::str(out))
}

/// `str.zfill(width)`: a sign stays in front.
pub(super) fn zfill(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    let width = size_argument(arguments::one("str.zfill", arguments)?)?;
    let padding = usize::try_from(width).unwrap_or(0).saturating_sub(text.len());
    if padding == 0 {
        return Ok(Value::Str(text.clone()));
    }
    let source = text.as_str();
    let len = source.len().saturating_add(padding);
    meter.string(len)?;
    let (sign, digits) =
        source.split_at_checked(usize::from(source.starts_with(['+', '-']))).unwrap_or(("", source));
    let mut out = String::with_capacity(len);
    out.push_str(sign);
    out.extend(std::iter::repeat_n('0', padding));
    out.push_str(digits);
    Ok(Value::str(out))
}
