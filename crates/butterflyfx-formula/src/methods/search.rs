//! `find`, `index`, `count`, `startswith`, `replace` and their kin: a str looked for in a str.

use super::str_argument;
use crate::builtins::arguments::{self, Signature};
use crate::error::{Raise, Result};
use crate::interpret::Arguments;
use crate::meter::Meter;
use crate::sequence::{pay_search, size_argument, slice_bound};
use crate::text::Text;
use crate::value::Value;
use memchr::memmem;

/// Which of the four searches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Find,
    Rfind,
    Index,
    Rindex,
}

impl Way {
    fn name(self) -> &'static str {
        match self {
            Way::Find => "str.find",
            Way::Rfind => "str.rfind",
            Way::Index => "str.index",
            Way::Rindex => "str.rindex",
        }
    }
}

/// The part of a text between two optional bounds, and the byte where it starts.
/// `None` where the start lies behind the stop: there not even the empty str is found.
fn window<'a>(
    text: &'a Text,
    start: Option<&Value>,
    stop: Option<&Value>,
) -> Result<Option<(&'a str, usize)>> {
    let len = text.len() as i128;
    let bound = |bound: Option<&Value>, absent: i128| match bound {
        None | Some(Value::None) => Ok::<i128, Box<Raise>>(absent),
        Some(bound) => {
            let bound = slice_bound(bound, "integers or None or have an __index__ method")?;
            Ok(if bound < 0 { (bound + len).max(0) } else { bound })
        }
    };
    let start = bound(start, 0)?;
    let stop = bound(stop, len)?.min(len);
    if start > stop {
        return Ok(None);
    }
    let (start, stop) = (text.byte_offset(start as usize), text.byte_offset(stop as usize));
    Ok(text.as_str().get(start..stop).map(|part| (part, start)))
}

/// `find`, `rfind`, `index`, `rindex`
pub(super) fn find(meter: &mut Meter, text: &Text, way: Way, arguments: Arguments<'_>) -> Result<Value> {
    let [part, start, stop] = arguments::positional(way.name(), arguments, 1)?;
    let what = match way {
        Way::Find => "find() argument 1",
        Way::Rfind => "rfind() argument 1",
        Way::Index => "index() argument 1",
        Way::Rindex => "rindex() argument 1",
    };
    let part = str_argument(part.unwrap_or(&Value::None), what)?.as_str();
    let mut found = None;
    if let Some((window, start)) = window(text, start, stop)? {
        pay_search(meter, window.len().saturating_add(part.len()))?;
        let (window, part) = (window.as_bytes(), part.as_bytes());
        let offset = match way {
            Way::Find | Way::Index => memmem::find(window, part),
            Way::Rfind | Way::Rindex => memmem::rfind(window, part),
        };
        found = offset.map(|offset| text.code_point_index(start + offset));
    }
    match (found, way) {
        (Some(at), _) => Ok(Value::Int(at as i64)),
        (None, Way::Find | Way::Rfind) => Ok(Value::Int(-1)),
        (None, Way::Index | Way::Rindex) => Err(Raise::value_error("substring not found")),
    }
}

/// `str.count(sub[, start[, end]])`
pub(super) fn count(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    let [part, start, stop] = arguments::positional("str.count", arguments, 1)?;
    let part = str_argument(part.unwrap_or(&Value::None), "count() argument 1")?.as_str();
    let Some((window, start)) = window(text, start, stop)? else { return Ok(Value::Int(0)) };
    pay_search(meter, window.len().saturating_add(part.len()))?;
    let count = if part.is_empty() {
        // Once before each code point, and once at the end.
        text.code_point_index(start + window.len()) - text.code_point_index(start) + 1
    } else {
        occurrences(meter, &memmem::Finder::new(part), window, usize::MAX)?
    };
    Ok(Value::Int(count as i64))
}

/// Occurrences that one step pays for, besides the walk over the text.
const OCCURRENCES_PER_STEP: usize = 4;

/// Counts up to `most` occurrences that do not overlap.
fn occurrences(meter: &mut Meter, finder: &memmem::Finder<'_>, text: &str, most: usize) -> Result<usize> {
    let mut found = 0;
    for _ in finder.find_iter(text.as_bytes()).take(most) {
        if usize::is_multiple_of(found, OCCURRENCES_PER_STEP) {
            meter.steps(1)?;
        }
        found += 1;
    }
    Ok(found)
}

/// Which end of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affix {
    Start,
    End,
}

/// `startswith`, `endswith`
pub(super) fn affix(meter: &mut Meter, text: &Text, affix: Affix, arguments: Arguments<'_>) -> Result<Value> {
    let name = match affix {
        Affix::Start => "str.startswith",
        Affix::End => "str.endswith",
    };
    let [wanted, start, stop] = arguments::positional(name, arguments, 1)?;
    let wanted = wanted.unwrap_or(&Value::None);
    let short = name.trim_start_matches("str.");
    let window = window(text, start, stop)?;
    let mut fits = |part: &Text| -> Result<bool> {
        let Some((window, _)) = window else { return Ok(false) };
        let part = part.as_str();
        meter.steps(1 + part.len().min(window.len()) as u64 / 64)?;
        Ok(match affix {
            Affix::Start => window.starts_with(part),
            Affix::End => window.ends_with(part),
        })
    };
    match wanted {
        Value::Str(part) => Ok(Value::Bool(fits(part)?)),
        Value::Tuple(parts) => {
            for part in parts.iter() {
                let Value::Str(part) = part else {
                    return Err(Raise::type_error(format!(
                        "tuple for {short} must only contain str, not {}",
                        part.type_name()
                    )));
                };
                if fits(part)? {
                    return Ok(Value::Bool(true));
                }
            }
            Ok(Value::Bool(false))
        }
        _ => Err(Raise::type_error(format!(
            "{short} first arg must be str or a tuple of str, not {}",
            wanted.type_name()
        ))),
    }
}

/// `str.replace(old, new, /, count=-1)`
pub(super) fn replace(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    const SIGNATURE: Signature<3> = Signature {
        name: "replace",
        parameters: ["", "", "count"],
        positional_only: 2,
        positional: 3,
        required: 2,
    };
    let [old, new, count] = SIGNATURE.bind(arguments)?;
    let old = str_argument(old.unwrap_or(&Value::None), "replace() argument 1")?.as_str();
    let new = str_argument(new.unwrap_or(&Value::None), "replace() argument 2")?.as_str();
    let count = match count {
        Some(count) => size_argument(count)?,
        None => -1,
    };
    let most = usize::try_from(count).unwrap_or(usize::MAX);
    let source = text.as_str();
    // Searched twice: once to know the length, which is paid, and once more.
    pay_search(meter, source.len().saturating_add(old.len()).saturating_mul(2))?;
    if old.is_empty() {
        return interleave(meter, text, new, most);
    }
    let finder = memmem::Finder::new(old.as_bytes());
    let found = occurrences(meter, &finder, source, most)?;
    if found == 0 {
        return Ok(Value::Str(text.clone()));
    }
    let kept = source.len() - found * old.len();
    let len = kept.saturating_add(found.saturating_mul(new.len()));
    meter.string(len)?;
    meter.steps((found / OCCURRENCES_PER_STEP) as u64)?;
    let mut out = String::with_capacity(len);
    let mut from = 0;
    for at in finder.find_iter(source.as_bytes()).take(found) {
        out.push_str(source.get(from..at).unwrap_or_default());
        out.push_str(new);
        from = at + old.len();
    }
    out.push_str(source.get(from..).unwrap_or_default());
    Ok(Value::str(out))
}

/// The text with `new` before each of its code points and at the end, `most` times at most.
fn interleave(meter: &mut Meter, text: &Text, new: &str, most: usize) -> Result<Value> {
    let times = most.min(text.len() + 1);
    let source = text.as_str();
    let len = source.len().saturating_add(times.saturating_mul(new.len()));
    meter.string(len)?;
    meter.steps((times / OCCURRENCES_PER_STEP) as u64)?;
    let mut out = String::with_capacity(len);
    let mut from = 0;
    for (at, (offset, c)) in source.char_indices().enumerate() {
        if at == times {
            break;
        }
        out.push_str(new);
        out.push(c);
        from = offset + c.len_utf8();
    }
    if times > text.len() {
        out.push_str(new);
    }
    out.push_str(source.get(from..).unwrap_or_default());
    Ok(Value::str(out))
}
