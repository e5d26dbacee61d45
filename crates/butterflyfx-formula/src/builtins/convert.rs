//! The types as functions that convert: `int(..)`, `str(..)`, `list(..)`, `dict(..)`, ...

use super::arguments::{self, Signature};
use crate::dict::Dict;
use crate::error::{Raise, Result};
use crate::format;
use crate::interpret::{Arguments, Interpreter};
use crate::meter::Meter;
use crate::number;
use crate::sequence::{make_range, size_argument};
use crate::value::{Items, Value};
use std::sync::Arc;

/// `bool(x=False, /)`
pub(super) fn bool(arguments: Arguments<'_>) -> Result<Value> {
    let [x] = arguments::positional("bool", arguments, 0)?;
    Ok(Value::Bool(x.is_some_and(Value::truth)))
}

/// `float(x=0, /)`
pub(super) fn float(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    let [x] = arguments::positional("float", arguments, 0)?;
    match x {
        None => Ok(Value::Float(0.0)),
        // The same object, which shows where it is a NaN.
        Some(Value::Float(x)) => Ok(Value::Float(*x)),
        Some(Value::Str(text)) => number::parse_float(meter, text.as_str()).map(Value::float),
        Some(x) => number::to_f64(x)?.map(Value::float).ok_or_else(|| {
            Raise::type_error(format!(
                "float() argument must be a string or a real number, not '{}'",
                x.type_name()
            ))
        }),
    }
}

/// `int(x=0, /)`, `int(x, /, base=10)`
pub(super) fn int(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    let [x, base] = match arguments.keywords {
        [] => arguments::positional("int", arguments, 0)?,
        [(name, base)] if name.as_str() == "base" && arguments.positional.len() < 2 => {
            [arguments.positional.first(), Some(base)]
        }
        _ => {
            let signature = Signature {
                name: "int",
                parameters: ["", "base"],
                positional_only: 1,
                positional: 2,
                required: 0,
            };
            signature.bind(arguments)?
        }
    };
    match (x, base) {
        (None, None) => Ok(Value::Int(0)),
        (None, Some(_)) => Err(Raise::type_error("int() missing string argument")),
        (Some(Value::Str(text)), None) => number::parse_int(meter, text.as_str(), 10),
        (Some(x), None) => number::truncate(meter, x)?.ok_or_else(|| {
            Raise::type_error(format!(
                "int() argument must be a string, a bytes-like object or a real number, not '{}'",
                x.type_name()
            ))
        }),
        (Some(x), Some(base)) => {
            let base = match base {
                // Clamped by CPython: no such base anyhow.
                Value::BigInt(_) => i64::MAX,
                base => size_argument(base)?,
            };
            let Some(base) = u32::try_from(base).ok().filter(|base| matches!(base, 0 | 2..=36)) else {
                return Err(Raise::value_error("int() base must be >= 2 and <= 36, or 0"));
            };
            match x {
                Value::Str(text) => number::parse_int(meter, text.as_str(), base),
                _ => Err(Raise::type_error("int() can't convert non-string with explicit base")),
            }
        }
    }
}

/// `str(object='', encoding='utf-8', errors='strict')`; the last two are for bytes, which the
/// language does not have.
pub(super) fn str(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    arguments::positional_count("str", arguments.positional.len(), 0, 3)?;
    const SIGNATURE: Signature<3> = Signature {
        name: "str",
        parameters: ["object", "encoding", "errors"],
        positional_only: 0,
        positional: 3,
        required: 0,
    };
    let [object, encoding, errors] = SIGNATURE.bind(arguments)?;
    for (name, value) in [("encoding", encoding), ("errors", errors)] {
        if let Some(value) = value
            && !matches!(value, Value::Str(_))
        {
            let kind = arguments::kind(value);
            return Err(Raise::type_error(format!("str() argument '{name}' must be str, not {kind}")));
        }
    }
    let decoded = encoding.is_some() || errors.is_some();
    match object {
        Some(Value::Str(_)) if decoded => Err(Raise::type_error("decoding str is not supported")),
        Some(object) if decoded => Err(Raise::type_error(format!(
            "decoding to str: need a bytes-like object, {} found",
            object.type_name()
        ))),
        None => {
            meter.string(0)?;
            Ok(Value::str(""))
        }
        Some(Value::Str(text)) => Ok(Value::Str(text.clone())),
        Some(object) => {
            let mut shown = String::new();
            format::str(meter, object, &mut shown)?;
            Ok(Value::str(shown))
        }
    }
}

/// The elements for a list or tuple. Those of a list or tuple are shared: nothing can change them.
fn elements(vm: &mut Interpreter, iterable: Option<&Value>) -> Result<Arc<Items>> {
    match iterable {
        Some(Value::List(items) | Value::Tuple(items)) => Ok(Arc::clone(items)),
        Some(iterable) => vm.collect(iterable).map(|items| Arc::new(Items(items))),
        None => {
            vm.meter.list(0)?;
            Ok(Arc::default())
        }
    }
}

/// `list(iterable=(), /)`
pub(super) fn list(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    let [iterable] = arguments::positional("list", arguments, 0)?;
    elements(vm, iterable).map(Value::List)
}

/// `tuple(iterable=(), /)`
pub(super) fn tuple(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    let [iterable] = arguments::positional("tuple", arguments, 0)?;
    elements(vm, iterable).map(Value::Tuple)
}

/// `dict(**kw)`, `dict(mapping, **kw)`, `dict(iterable, **kw)`
pub(super) fn dict(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    arguments::positional_count("dict", arguments.positional.len(), 0, 1)?;
    let mut dict = Dict::new();
    match arguments.positional.first() {
        None => vm.meter.bytes(size_of::<Dict>() as u64)?,
        Some(Value::Dict(whole)) if arguments.keywords.is_empty() => {
            return Ok(Value::Dict(Arc::clone(whole)));
        }
        Some(Value::Dict(mapping)) => {
            for (key, value) in mapping.iter() {
                dict.insert(&mut vm.meter, key.clone(), value.clone())?;
            }
        }
        Some(pairs) => {
            let mut iter = vm.iterate(pairs)?;
            let mut at = 0;
            while let Some(pair) = vm.next(&mut iter)? {
                let (key, value) = key_and_value(vm, &pair, at)?;
                dict.insert(&mut vm.meter, key, value)?;
                at += 1;
            }
        }
    }
    for (name, value) in arguments.keywords {
        dict.insert(&mut vm.meter, Value::Str(name.clone()), value.clone())?;
    }
    Ok(Value::Dict(Arc::new(dict)))
}

/// Reads element `at` of what a dict is made from.
fn key_and_value(vm: &mut Interpreter, pair: &Value, at: usize) -> Result<(Value, Value)> {
    let collected;
    let pair: &[Value] = match pair {
        Value::List(items) | Value::Tuple(items) => items,
        Value::Str(_) | Value::Dict(_) | Value::Range(_) | Value::View(_) | Value::Iterator(_) => {
            collected = vm.collect(pair)?;
            &collected
        }
        _ => {
            return Err(Raise::type_error(format!(
                "cannot convert dictionary update sequence element #{at} to a sequence"
            )));
        }
    };
    match pair {
        [key, value] => Ok((key.clone(), value.clone())),
        other => Err(Raise::value_error(format!(
            "dictionary update sequence element #{at} has length {}; 2 is required",
            other.len()
        ))),
    }
}

/// `range(stop)`, `range(start, stop, step=1)`
pub(super) fn range(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    let [first, second, step] = arguments::positional("range", arguments, 1)?;
    meter.bytes(40)?;
    let first = first.unwrap_or(&Value::None);
    match second {
        None => make_range(&Value::Int(0), first, &Value::Int(1)),
        Some(stop) => make_range(first, stop, step.unwrap_or(&Value::Int(1))),
    }
}
