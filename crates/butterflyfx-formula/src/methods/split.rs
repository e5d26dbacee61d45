//! `split`, `rsplit`, `partition`, `join`: between one str and several.

use super::characters::space;
use crate::builtins::arguments::{self, Signature};
use crate::error::{Raise, Result};
use crate::interpret::{Arguments, Interpreter};
use crate::meter::Meter;
use crate::sequence::{ItemsBuilder, copied, pay_search, size_argument};
use crate::text::Text;
use crate::value::Value;
use memchr::memmem;

/// The arguments of `split` and `rsplit`.
struct Cut<'a> {
    /// `None` for white space.
    separator: Option<&'a str>,
    /// Cuts to make at most.
    most: usize,
}

impl<'a> Cut<'a> {
    fn new(name: &'static str, arguments: Arguments<'a>) -> Result<Cut<'a>> {
        let signature = Signature {
            name,
            parameters: ["sep", "maxsplit"],
            positional_only: 0,
            positional: 2,
            required: 0,
        };
        let [separator, most] = signature.bind(arguments)?;
        let most = match most {
            Some(most) => usize::try_from(size_argument(most)?).unwrap_or(usize::MAX),
            None => usize::MAX,
        };
        let separator = match separator {
            None | Some(Value::None) => None,
            Some(Value::Str(separator)) if separator.is_empty() => {
                return Err(Raise::value_error("empty separator"));
            }
            Some(Value::Str(separator)) => Some(separator.as_str()),
            Some(other) => {
                return Err(Raise::type_error(format!("must be str or None, not {}", other.type_name())));
            }
        };
        Ok(Cut { separator, most })
    }
}

/// Adds a piece, with its own price: a step to find it, a copy, and its place.
fn push(meter: &mut Meter, pieces: &mut ItemsBuilder, piece: &str) -> Result<()> {
    meter.steps(1)?;
    let piece = copied(meter, piece)?;
    pieces.push(meter, piece)
}

/// `str.split(sep=None, maxsplit=-1)`
pub(super) fn split(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    let Cut { separator, most } = Cut::new("split", arguments)?;
    let mut rest = text.as_str();
    pay_search(meter, rest.len() + separator.map_or(0, str::len))?;
    let mut pieces = ItemsBuilder::new(meter)?;
    match separator {
        Some(separator) => {
            let source = rest;
            let mut from = 0;
            for at in memmem::find_iter(source.as_bytes(), separator.as_bytes()).take(most) {
                push(meter, &mut pieces, source.get(from..at).unwrap_or_default())?;
                from = at + separator.len();
            }
            push(meter, &mut pieces, source.get(from..).unwrap_or_default())?;
        }
        None => loop {
            rest = rest.trim_start_matches(space);
            if rest.is_empty() {
                break;
            }
            let end = if pieces.len() < most { rest.find(space).unwrap_or(rest.len()) } else { rest.len() };
            let (piece, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
            push(meter, &mut pieces, piece)?;
            rest = after;
        },
    }
    Ok(Value::list(pieces.finish()))
}

/// `str.rsplit(sep=None, maxsplit=-1)`: the cuts that are not made are those on the left.
pub(super) fn rsplit(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    let Cut { separator, most } = Cut::new("rsplit", arguments)?;
    let mut rest = text.as_str();
    pay_search(meter, rest.len() + separator.map_or(0, str::len))?;
    let mut pieces = ItemsBuilder::new(meter)?;
    match separator {
        Some(separator) => {
            let source = rest;
            let mut end = source.len();
            let finder = memmem::FinderRev::new(separator.as_bytes());
            for at in finder.rfind_iter(source.as_bytes()).take(most) {
                push(meter, &mut pieces, source.get(at + separator.len()..end).unwrap_or_default())?;
                end = at;
            }
            push(meter, &mut pieces, source.get(..end).unwrap_or_default())?;
        }
        None => loop {
            rest = rest.trim_end_matches(space);
            if rest.is_empty() {
                break;
            }
            let mut start = 0;
            if pieces.len() < most
                && let Some((at, c)) = rest.char_indices().rev().find(|&(_, c)| space(c))
            {
                start = at + c.len_utf8();
            }
            let (before, piece) = rest.split_at_checked(start).unwrap_or(("", rest));
            push(meter, &mut pieces, piece)?;
            rest = before;
        },
    }
    let mut pieces = pieces.finish();
    pieces.reverse();
    Ok(Value::list(pieces))
}

/// `str.partition(sep)`
pub(super) fn partition(meter: &mut Meter, text: &Text, arguments: Arguments<'_>) -> Result<Value> {
    let separator = arguments::one("str.partition", arguments)?;
    let Value::Str(separator) = separator else {
        return Err(Raise::type_error(format!("must be str, not {}", separator.type_name())));
    };
    if separator.is_empty() {
        return Err(Raise::value_error("empty separator"));
    }
    let (source, separator_text) = (text.as_str(), separator.as_str());
    pay_search(meter, source.len() + separator_text.len())?;
    meter.list(3)?;
    Ok(Value::tuple(match memmem::find(source.as_bytes(), separator_text.as_bytes()) {
        Some(at) => {
            let before = copied(meter, source.get(..at).unwrap_or_default())?;
            let after = copied(meter, source.get(at + separator_text.len()..).unwrap_or_default())?;
            vec![before, Value::Str(separator.clone()), after]
        }
        None => vec![Value::Str(text.clone()), copied(meter, "")?, copied(meter, "")?],
    }))
}

/// `str.join(iterable)`
pub(super) fn join(vm: &mut Interpreter, separator: &Text, arguments: Arguments<'_>) -> Result<Value> {
    let iterable = arguments::one("str.join", arguments)?;
    let collected;
    let items: &[Value] = match iterable {
        Value::List(items) | Value::Tuple(items) => items,
        Value::Str(_) | Value::Dict(_) | Value::Range(_) | Value::View(_) | Value::Iterator(_) => {
            collected = vm.collect(iterable)?;
            &collected
        }
        _ => return Err(Raise::type_error("can only join an iterable")),
    };
    let meter = &mut vm.meter;
    meter.steps(items.len() as u64)?;
    let mut len = separator.as_str().len().saturating_mul(items.len().saturating_sub(1));
    for (at, item) in items.iter().enumerate() {
        match item {
            Value::Str(text) => len = len.saturating_add(text.as_str().len()),
            _ => {
                return Err(Raise::type_error(format!(
                    "sequence item {at}: expected str instance, {} found",
                    item.type_name()
                )));
            }
        }
    }
    meter.string(len)?;
    let mut out = String::with_capacity(len);
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            out.push_str(separator.as_str());
        }
        // All are strs, see above.
        if let Value::Str(text) = item {
            out.push_str(text.as_str());
        }
    }
    Ok(Value::str(out))
}
