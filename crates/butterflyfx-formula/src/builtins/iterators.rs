//! The lazy ones: `map`, `filter`, `zip`, `enumerate`, `reversed`.

use super::{arguments, not_an_integer};
use crate::error::{Raise, Result};
use crate::interpret::{Arguments, Interpreter, Iter};
use crate::meter::Meter;
use crate::value::{Value, View, ViewKind};
use std::sync::{Arc, Mutex};

/// An iterator as a value; pays for it and its `sources`.
fn lazy(meter: &mut Meter, iter: Iter, sources: usize) -> Result<Value> {
    meter.bytes((sources as u64 + 1) * size_of::<Iter>() as u64)?;
    Ok(Value::Iterator(Arc::new(Mutex::new(iter))))
}

/// Iterators over each of the values.
fn iterate_each(vm: &mut Interpreter, values: &[Value]) -> Result<Vec<Iter>> {
    vm.meter.list(values.len())?;
    values.iter().map(|value| vm.iterate(value)).collect()
}

/// `map(function, iterable, /, *iterables)`
pub(super) fn map(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    arguments::no_keywords("map", arguments)?;
    let [function, sources @ ..] = arguments.positional else {
        return Err(Raise::type_error("map() must have at least two arguments."));
    };
    if sources.is_empty() {
        return Err(Raise::type_error("map() must have at least two arguments."));
    }
    let iters = iterate_each(vm, sources)?;
    lazy(&mut vm.meter, Iter::Map { function: function.clone(), sources: iters }, sources.len())
}

/// `filter(function, iterable, /)`
pub(super) fn filter(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    let [function, iterable] = arguments::positional("filter", arguments, 2)?;
    let source = Box::new(vm.iterate(iterable.unwrap_or(&Value::None))?);
    let function = function.cloned().unwrap_or(Value::None);
    lazy(&mut vm.meter, Iter::Filter { function, source }, 1)
}

/// `zip(*iterables, strict=False)`
pub(super) fn zip(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    let strict = match arguments.keywords {
        [] => false,
        [(name, strict)] if name.as_str() == "strict" => strict.truth(),
        [(name, _)] => {
            return Err(Raise::type_error(format!(
                "zip() got an unexpected keyword argument '{}'",
                name.as_str()
            )));
        }
        more => {
            let given = more.len();
            return Err(Raise::type_error(format!("zip() takes at most 1 keyword argument ({given} given)")));
        }
    };
    let sources = iterate_each(vm, arguments.positional)?;
    let count = sources.len();
    lazy(&mut vm.meter, Iter::Zip { sources, strict }, count)
}

/// `enumerate(iterable, start=0)`
pub(super) fn enumerate(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    let given = arguments.positional.len() + arguments.keywords.len();
    if given > 2 {
        return Err(Raise::type_error(format!("enumerate() takes at most 2 arguments ({given} given)")));
    }
    let by_name = |wanted: &str| {
        arguments.keywords.iter().find(|(name, _)| name.as_str() == wanted).map(|(_, value)| value)
    };
    let stray = |allowed: &[&str]| {
        let mut names = arguments.keywords.iter().map(|(name, _)| name.as_str());
        names
            .find(|name| !allowed.contains(name))
            .map(|name| Raise::type_error(format!("'{name}' is an invalid keyword argument for enumerate()")))
    };
    let (iterable, start) = match arguments.positional {
        [iterable, start, ..] => (iterable, Some(start)),
        [iterable] => match stray(&["start"]) {
            Some(raise) => return Err(raise),
            None => (iterable, by_name("start")),
        },
        [] => match (by_name("iterable"), stray(&["iterable", "start"])) {
            (_, Some(raise)) => return Err(raise),
            (Some(iterable), None) => (iterable, by_name("start")),
            (None, None) if arguments.keywords.is_empty() => {
                return Err(Raise::type_error("enumerate() missing required argument 'iterable'"));
            }
            (None, None) => {
                return Err(Raise::type_error("'start' is an invalid keyword argument for enumerate()"));
            }
        },
    };
    let number = match start {
        None => Value::Int(0),
        Some(Value::Bool(start)) => Value::Int(i64::from(*start)),
        Some(start @ (Value::Int(_) | Value::BigInt(_))) => start.clone(),
        Some(other) => return Err(not_an_integer(other)),
    };
    let source = Box::new(vm.iterate(iterable)?);
    lazy(&mut vm.meter, Iter::Enumerate { source, number }, 1)
}

/// `reversed(sequence, /)`
pub(super) fn reversed(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    let [sequence] = arguments::positional("reversed", arguments, 1)?;
    let sequence = sequence.unwrap_or(&Value::None);
    let backwards = |view: View| Iter::View { at: 0, end: view.dict.len(), reversed: true, view };
    let iter = match sequence {
        Value::List(items) | Value::Tuple(items) => {
            Iter::ItemsReversed { items: Arc::clone(items), left: items.len() }
        }
        Value::Str(text) => Iter::TextReversed { text: text.clone(), left: text.as_str().len() },
        Value::Range(range) => {
            let left = range.len();
            let next = left.checked_sub(1).map_or(range.start, |last| range.element(last));
            // The most negative step wraps to itself; with it a range has two elements at most,
            // and going from one to the other wraps alike.
            Iter::Range { next, step: range.step.wrapping_neg(), left }
        }
        Value::Dict(dict) => backwards(View { kind: ViewKind::Keys, dict: Arc::clone(dict) }),
        Value::View(view) => backwards((**view).clone()),
        _ => {
            return Err(Raise::type_error(format!("'{}' object is not reversible", sequence.type_name())));
        }
    };
    lazy(meter, iter, 0)
}
