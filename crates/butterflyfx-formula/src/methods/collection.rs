//! Methods of dict, list, tuple and range.

use super::{Method, missing};
use crate::builtins::arguments;
use crate::dict::Dict;
use crate::error::{Raise, Result};
use crate::interpret::Arguments;
use crate::meter::Meter;
use crate::operate;
use crate::sequence::{range_position, repr_or_type, slice_bound};
use crate::value::{Items, Range, Value, View, ViewKind};
use std::sync::Arc;

/// Calls a method of a dict.
pub(super) fn dict_method(
    meter: &mut Meter,
    dict: &Arc<Dict>,
    method: Method,
    arguments: Arguments<'_>,
) -> Result<Value> {
    let (name, kind) = match method {
        Method::Get => {
            let [key, default] = arguments::positional("dict.get", arguments, 1)?;
            let found = match key {
                Some(key) => dict.get(meter, key)?,
                None => None,
            };
            return Ok(found.or(default).cloned().unwrap_or(Value::None));
        }
        Method::Keys => ("dict.keys", ViewKind::Keys),
        Method::Values => ("dict.values", ViewKind::Values),
        Method::Items => ("dict.items", ViewKind::Items),
        _ => return Err(missing(&Value::Dict(Arc::clone(dict)), method)),
    };
    arguments::none(name, arguments)?;
    meter.bytes(size_of::<View>() as u64)?;
    Ok(Value::View(Arc::new(View { kind, dict: Arc::clone(dict) })))
}

/// Calls a method of a list or tuple.
pub(super) fn items_method(
    meter: &mut Meter,
    kind: &str,
    items: &Items,
    method: Method,
    arguments: Arguments<'_>,
) -> Result<Value> {
    if method == Method::Count {
        let value = arguments::one(if kind == "list" { "list.count" } else { "tuple.count" }, arguments)?;
        let mut count = 0;
        for item in items.iter() {
            meter.steps(1)?;
            count += i64::from(operate::same_or_equal(meter, item, value)?);
        }
        return Ok(Value::Int(count));
    }
    let name = if kind == "list" { "list.index" } else { "tuple.index" };
    let [value, start, stop] = arguments::positional(name, arguments, 1)?;
    let value = value.unwrap_or(&Value::None);
    let len = items.len() as i128;
    let bound = |bound: Option<&Value>, absent: i128| -> Result<usize> {
        let Some(bound) = bound else { return Ok(absent as usize) };
        let bound = slice_bound(bound, "integers or have an __index__ method")?;
        let bound = if bound < 0 { (bound + len).max(0) } else { bound.min(len) };
        Ok(bound as usize)
    };
    let (start, stop) = (bound(start, 0)?, bound(stop, len)?);
    for (at, item) in items.iter().enumerate().take(stop).skip(start) {
        meter.steps(1)?;
        if operate::same_or_equal(meter, item, value)? {
            return Ok(Value::Int(at as i64));
        }
    }
    Err(Raise::value_error(match kind {
        "list" => format!("{} is not in list", repr_or_type(meter, value)?),
        _ => "tuple.index(x): x not in tuple".to_owned(),
    }))
}

/// Calls a method of a range.
pub(super) fn range_method(
    meter: &mut Meter,
    range: &Range,
    method: Method,
    arguments: Arguments<'_>,
) -> Result<Value> {
    if method == Method::Count {
        let value = arguments::one("range.count", arguments)?;
        return Ok(Value::Int(i64::from(range_position(range, value).is_some())));
    }
    let value = arguments::one("range.index", arguments)?;
    match range_position(range, value) {
        Some(at) => Ok(Value::big(at.into())),
        None => Err(Raise::value_error(match value {
            Value::Int(_) | Value::BigInt(_) | Value::Bool(_) => {
                format!("{} is not in range", repr_or_type(meter, value)?)
            }
            _ => "sequence.index(x): x not in sequence".to_owned(),
        })),
    }
}
