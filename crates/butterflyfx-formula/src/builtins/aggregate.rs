//! Many values to one: `all`, `any`, `sum`, `min`, `max`; and `sorted`.

use super::arguments::{self, Signature};
use super::sort;
use crate::error::{Raise, Result};
use crate::interpret::{Arguments, Interpreter, Iter};
use crate::operate::{self, BinaryOp};
use crate::value::Value;
use std::cmp::Ordering;

/// `all(iterable, /)`
pub(super) fn all(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    let mut iter = vm.iterate(arguments::one("all", arguments)?)?;
    while let Some(value) = vm.next(&mut iter)? {
        if !value.truth() {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

/// `any(iterable, /)`
pub(super) fn any(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    let mut iter = vm.iterate(arguments::one("any", arguments)?)?;
    while let Some(value) = vm.next(&mut iter)? {
        if value.truth() {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

/// `sum(iterable, /, start=0)`
///
/// As in CPython 3.13, ints of 64 bits come first, then floats with a compensated sum, and from
/// the first value that is neither, plain additions to the end: which of the three adds a value
/// shows in the last bits of a float.
pub(super) fn sum(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    const SIGNATURE: Signature<2> =
        Signature { name: "sum", parameters: ["", "start"], positional_only: 1, positional: 2, required: 1 };
    let [iterable, start] = SIGNATURE.bind(arguments)?;
    let mut iter = vm.iterate(iterable.unwrap_or(&Value::None))?;
    let mut total = match start {
        None => Value::Int(0),
        Some(Value::Str(_)) => {
            return Err(Raise::type_error("sum() can't sum strings [use ''.join(seq) instead]"));
        }
        Some(start) => start.clone(),
    };
    if let Value::Int(start) = total {
        match sum_ints(vm, &mut iter, start)? {
            (sum, None) => return Ok(Value::Int(sum)),
            (sum, Some(value)) => total = add(vm, &Value::Int(sum), &value)?,
        }
    }
    if let Value::Float(start) = total {
        match sum_floats(vm, &mut iter, start)? {
            (sum, None) => return Ok(sum),
            (sum, Some(value)) => total = add(vm, &sum, &value)?,
        }
    }
    while let Some(value) = vm.next(&mut iter)? {
        total = add(vm, &total, &value)?;
    }
    Ok(total)
}

fn add(vm: &mut Interpreter, a: &Value, b: &Value) -> Result<Value> {
    operate::binary(&mut vm.meter, BinaryOp::Add, a, b)
}

/// Adds ints as long as they and the sum fit in 64 bits: the sum, and the value that stopped it.
fn sum_ints(vm: &mut Interpreter, iter: &mut Iter, mut sum: i64) -> Result<(i64, Option<Value>)> {
    while let Some(value) = vm.next(iter)? {
        let added = match value {
            Value::Int(value) => sum.checked_add(value),
            Value::Bool(value) => sum.checked_add(i64::from(value)),
            _ => None,
        };
        match added {
            Some(added) => sum = added,
            None => return Ok((sum, Some(value))),
        }
    }
    Ok((sum, None))
}

/// Adds floats, and ints of 64 bits among them, with Neumaier's compensation: the sum, and the
/// value that stopped it.
fn sum_floats(vm: &mut Interpreter, iter: &mut Iter, start: f64) -> Result<(Value, Option<Value>)> {
    let mut sum = start;
    // What the additions lost so far.
    let mut lost = 0.0;
    let mut stopped_by = None;
    while let Some(value) = vm.next(iter)? {
        match value {
            Value::Float(x) => {
                let rounded = sum + x;
                lost += if sum.abs() >= x.abs() { (sum - rounded) + x } else { (x - rounded) + sum };
                sum = rounded;
            }
            Value::Int(x) => sum += x as f64,
            Value::Bool(x) => sum += f64::from(u8::from(x)),
            other => {
                stopped_by = Some(other);
                break;
            }
        }
    }
    // A loss of 0 would turn -0.0 into 0.0, and one that is not finite is none.
    if lost != 0.0 && lost.is_finite() {
        sum += lost;
    }
    Ok((Value::float(sum), stopped_by))
}

/// Which end of the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extreme {
    Min,
    Max,
}

/// `min`, `max`: `(iterable, /, *, key=None, default=...)` or `(a, b, /, *rest, key=None)`
pub(super) fn extreme(vm: &mut Interpreter, extreme: Extreme, arguments: Arguments<'_>) -> Result<Value> {
    let (name, symbol, better) = match extreme {
        Extreme::Min => ("min", "<", Ordering::Less),
        Extreme::Max => ("max", ">", Ordering::Greater),
    };
    if arguments.positional.is_empty() {
        return Err(Raise::type_error(format!("{name} expected at least 1 argument, got 0")));
    }
    let signature =
        Signature { name, parameters: ["key", "default"], positional_only: 0, positional: 0, required: 0 };
    let [key, default] = signature.bind(Arguments { positional: &[], ..arguments })?;
    let key = key.filter(|key| !matches!(key, Value::None));
    let mut candidates = match arguments.positional {
        [iterable] => Candidates::Of(vm.iterate(iterable)?),
        _ if default.is_some() => {
            return Err(Raise::type_error(format!(
                "Cannot specify a default for {name}() with multiple positional arguments"
            )));
        }
        values => Candidates::Arguments(values.iter()),
    };
    let Some(mut best) = candidates.next(vm)? else {
        return match default {
            Some(default) => Ok(default.clone()),
            None => Err(Raise::value_error(format!("{name}() iterable argument is empty"))),
        };
    };
    // Of equals the first stays.
    let Some(key) = key else {
        while let Some(value) = candidates.next(vm)? {
            if operate::order(&mut vm.meter, &value, &best, symbol)? == Some(better) {
                best = value;
            }
        }
        return Ok(best);
    };
    let key_of = |vm: &mut Interpreter, value: &Value| {
        vm.call(key, Arguments::positional(std::slice::from_ref(value)))
    };
    let mut best_key = key_of(vm, &best)?;
    while let Some(value) = candidates.next(vm)? {
        let value_key = key_of(vm, &value)?;
        if operate::order(&mut vm.meter, &value_key, &best_key, symbol)? == Some(better) {
            (best, best_key) = (value, value_key);
        }
    }
    Ok(best)
}

/// What `min` and `max` choose from.
enum Candidates<'a> {
    /// The elements of one iterable.
    Of(Iter),
    /// Several arguments.
    Arguments(std::slice::Iter<'a, Value>),
}

impl Candidates<'_> {
    fn next(&mut self, vm: &mut Interpreter) -> Result<Option<Value>> {
        match self {
            Candidates::Of(iter) => vm.next(iter),
            Candidates::Arguments(values) => {
                vm.meter.steps(1)?;
                Ok(values.next().cloned())
            }
        }
    }
}

/// `sorted(iterable, /, *, key=None, reverse=False)`
pub(super) fn sorted(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    let [iterable] = arguments.positional else {
        let given = arguments.positional.len();
        return Err(Raise::type_error(format!("sorted expected 1 argument, got {given}")));
    };
    // CPython's `sorted` hands its names on to the list's `sort`, which shows in refusals.
    const SIGNATURE: Signature<2> = Signature {
        name: "sort",
        parameters: ["key", "reverse"],
        positional_only: 0,
        positional: 0,
        required: 0,
    };
    let values = vm.collect(iterable)?;
    let [key, reverse] = SIGNATURE.bind(Arguments { positional: &[], ..arguments })?;
    let reverse = reverse.is_some_and(Value::truth);
    let keys = match key {
        None | Some(Value::None) => None,
        Some(function) => {
            vm.meter.list(values.len())?;
            let mut keys = Vec::with_capacity(values.len());
            for value in &values {
                keys.push(vm.call(function, Arguments::positional(std::slice::from_ref(value)))?);
            }
            Some(keys)
        }
    };
    let order = sort::order(&mut vm.meter, keys.as_deref().unwrap_or(&values), reverse)?;
    drop(keys);
    let sorted = order.iter().filter_map(|&at| values.get(at as usize).cloned()).collect();
    Ok(Value::list(sorted))
}
