//! What str, list, tuple, dict and range share: subscripts, slices, `in`, `+`, `*`, `len`.

mod slices;

pub(crate) use slices::slice_bound;

use crate::dict::Dict;
use crate::error::{ExceptionKind, Raise, Result};
use crate::format;
use crate::interpret::{Interpreter, Iter};
use crate::limits::Limit;
use crate::meter::Meter;
use crate::operate;
use crate::text::Text;
use crate::value::{Items, Range, Value, View, ViewKind};
use num_traits::ToPrimitive;
use std::sync::Arc;

/// Text that is searched costs a step for each so many bytes: a search looks at each byte more
/// than once, so it costs more than the copy that [`Meter::copy`] charges.
const SEARCHED_BYTES_PER_STEP: usize = 16;

/// Pays for a walk over `bytes` of text.
#[inline]
pub(crate) fn pay_search(meter: &mut Meter, bytes: usize) -> Result<()> {
    meter.steps((bytes / SEARCHED_BYTES_PER_STEP) as u64)
}

/// A str that is a part of another or was put together: pays for it and copies it.
#[inline]
pub(crate) fn copied(meter: &mut Meter, text: &str) -> Result<Value> {
    meter.string(text.len())?;
    Ok(Value::Str(Text::from(text)))
}

/// A list or tuple under construction that pays for each element as it comes.
#[derive(Debug, Default)]
pub(crate) struct ItemsBuilder {
    items: Vec<Value>,
}

impl ItemsBuilder {
    /// Pays for an empty one.
    pub(crate) fn new(meter: &mut Meter) -> Result<ItemsBuilder> {
        meter.list(0)?;
        Ok(ItemsBuilder::default())
    }

    /// Pays a step and the memory of one element, and adds it.
    #[inline]
    pub(crate) fn push(&mut self, meter: &mut Meter, value: Value) -> Result<()> {
        meter.list_length(self.items.len() + 1)?;
        meter.steps(1)?;
        meter.bytes(size_of::<Value>() as u64)?;
        self.items.push(value);
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.items.len()
    }

    /// The elements.
    pub(crate) fn finish(self) -> Vec<Value> {
        self.items
    }
}

/// `receiver[index]`; also dict. `TypeError`, `IndexError`, `KeyError` with CPython's messages.
#[inline]
pub fn subscript(meter: &mut Meter, receiver: &Value, index: &Value) -> Result<Value> {
    if let (Value::List(items), &Value::Int(index)) = (receiver, index)
        && let Some(item) =
            position(i128::from(index), items.len() as u64).and_then(|at| items.get(at as usize))
    {
        return Ok(item.clone());
    }
    if let (Value::Dict(dict), Value::Str(key)) = (receiver, index)
        && let Some(value) = dict.get_str(key.as_str())
    {
        return Ok(value.clone());
    }
    subscript_any(meter, receiver, index)
}

fn subscript_any(meter: &mut Meter, receiver: &Value, index: &Value) -> Result<Value> {
    match receiver {
        Value::List(items) => item(items, "list", index),
        Value::Tuple(items) => item(items, "tuple", index),
        Value::Str(text) => code_point(meter, text, index),
        Value::Range(range) => range_element(range, index),
        Value::Dict(dict) => match dict.get(meter, index)? {
            Some(value) => Ok(value.clone()),
            None => Err(missing_key(meter, index)),
        },
        _ => Err(not_subscriptable(receiver)),
    }
}

/// Where index `index`, counted from the end where it is negative, lies; `None` outside.
#[inline]
fn position(index: i128, len: u64) -> Option<u64> {
    let at = if index < 0 { index.checked_add(i128::from(len))? } else { index };
    u64::try_from(at).ok().filter(|&at| at < len)
}

/// An index as CPython's `__index__` reads it.
enum Index {
    Small(i64),
    Huge,
    NoInt,
}

fn index_of(value: &Value) -> Index {
    match value {
        Value::Int(index) => Index::Small(*index),
        Value::Bool(index) => Index::Small(i64::from(*index)),
        Value::BigInt(_) => Index::Huge,
        _ => Index::NoInt,
    }
}

fn item(items: &Items, kind: &str, index: &Value) -> Result<Value> {
    match index_of(index) {
        Index::Small(at) => position(i128::from(at), items.len() as u64)
            .and_then(|at| items.get(at as usize))
            .cloned()
            .ok_or_else(|| index_error(format!("{kind} index out of range"))),
        Index::Huge => Err(index_too_big()),
        Index::NoInt => Err(Raise::type_error(format!(
            "{kind} indices must be integers or slices, not {}",
            index.type_name()
        ))),
    }
}

fn code_point(meter: &mut Meter, text: &Text, index: &Value) -> Result<Value> {
    match index_of(index) {
        Index::Small(at) => match position(i128::from(at), text.len() as u64) {
            Some(at) => copied(meter, text.code_points(at as usize, at as usize + 1)),
            None => Err(index_error("string index out of range")),
        },
        Index::Huge => Err(index_too_big()),
        Index::NoInt => {
            Err(Raise::type_error(format!("string indices must be integers, not '{}'", index.type_name())))
        }
    }
}

fn range_element(range: &Range, index: &Value) -> Result<Value> {
    let at = match index_of(index) {
        Index::Small(at) => position(i128::from(at), range.len()),
        // A range may have more elements than an int of 64 bits can count.
        Index::Huge => match index {
            Value::BigInt(big) => big.to_i128().and_then(|at| position(at, range.len())),
            _ => None,
        },
        Index::NoInt => {
            return Err(Raise::type_error(format!(
                "range indices must be integers or slices, not {}",
                index.type_name()
            )));
        }
    };
    match at {
        Some(at) => Ok(Value::Int(range.element(at))),
        None => Err(index_error("range object index out of range")),
    }
}

#[cold]
fn index_error(message: impl Into<String>) -> Box<Raise> {
    Raise::exception(ExceptionKind::IndexError, message)
}

#[cold]
fn index_too_big() -> Box<Raise> {
    index_error("cannot fit 'int' into an index-sized integer")
}

/// The `KeyError`, whose message is the key's repr.
#[cold]
fn missing_key(meter: &mut Meter, key: &Value) -> Box<Raise> {
    match repr_or_type(meter, key) {
        Ok(message) => Raise::exception(ExceptionKind::KeyError, message),
        Err(limit) => limit,
    }
}

/// The value's repr for a message; its type in brackets where there is no repr to show.
pub(crate) fn repr_or_type(meter: &mut Meter, value: &Value) -> Result<String> {
    let mut shown = String::new();
    match format::repr(meter, value, &mut shown) {
        Ok(()) => Ok(shown),
        Err(raise) if matches!(raise.kind, crate::error::RaiseKind::Exception(_)) => {
            Ok(format!("<{}>", value.type_name()))
        }
        Err(limit) => Err(limit),
    }
}

#[cold]
fn not_subscriptable(value: &Value) -> Box<Raise> {
    Raise::type_error(match value {
        Value::Builtin(builtin) if builtin.type_name() == "type" => {
            format!("type '{}' is not subscriptable", builtin.name())
        }
        _ => format!("'{}' object is not subscriptable", value.type_name()),
    })
}

/// `receiver[start:stop:step]`; absent bounds are `Value::None`.
pub fn slice(
    meter: &mut Meter,
    receiver: &Value,
    start: &Value,
    stop: &Value,
    step: &Value,
) -> Result<Value> {
    match receiver {
        Value::List(items) => match slices::items(meter, items, start, stop, step)? {
            Some(part) => Ok(Value::list(part)),
            None => Ok(receiver.clone()),
        },
        Value::Tuple(items) => match slices::items(meter, items, start, stop, step)? {
            Some(part) => Ok(Value::tuple(part)),
            None => Ok(receiver.clone()),
        },
        Value::Str(text) => slices::text(meter, text, start, stop, step),
        Value::Range(range) => slices::range(range, start, stop, step),
        Value::Dict(_) => {
            // A slice is a key that no dict of the language can have.
            let mut shown = Vec::new();
            for bound in [start, stop, step] {
                operate::hash(meter, bound)?;
                shown.push(repr_or_type(meter, bound)?);
            }
            Err(Raise::exception(ExceptionKind::KeyError, format!("slice({})", shown.join(", "))))
        }
        _ => Err(not_subscriptable(receiver)),
    }
}

/// `len(value)`.
pub fn len(_meter: &mut Meter, value: &Value) -> Result<u64> {
    match value {
        Value::Str(text) => Ok(text.len() as u64),
        Value::List(items) | Value::Tuple(items) => Ok(items.len() as u64),
        Value::Dict(dict) => Ok(dict.len() as u64),
        Value::View(view) => Ok(view.dict.len() as u64),
        Value::Range(range) => {
            let len = range.len();
            if i64::try_from(len).is_err() {
                return Err(Raise::overflow_error("Python int too large to convert to C ssize_t"));
            }
            Ok(len)
        }
        _ => Err(Raise::type_error(format!("object of type '{}' has no len()", value.type_name()))),
    }
}

/// `item in container`.
pub fn contains(vm: &mut Interpreter, container: &Value, item: &Value) -> Result<bool> {
    let meter = &mut vm.meter;
    match container {
        Value::List(items) | Value::Tuple(items) => contains_item(meter, items.iter(), item),
        Value::Str(text) => match item {
            Value::Str(part) => {
                pay_search(meter, text.as_str().len() + part.as_str().len())?;
                Ok(memchr::memmem::find(text.as_str().as_bytes(), part.as_str().as_bytes()).is_some())
            }
            _ => Err(Raise::type_error(format!(
                "'in <string>' requires string as left operand, not {}",
                item.type_name()
            ))),
        },
        Value::Dict(dict) => Ok(dict.get(meter, item)?.is_some()),
        Value::Range(range) => Ok(range_position(range, item).is_some()),
        Value::View(view) => view_contains(meter, view, item),
        Value::Iterator(iterator) => {
            let mut iter = Iter::Shared(Arc::clone(iterator));
            while let Some(candidate) = vm.next(&mut iter)? {
                if operate::same_or_equal(&mut vm.meter, &candidate, item)? {
                    return Ok(true);
                }
            }
            Ok(false)
        }
        _ => Err(Raise::type_error(format!("argument of type '{}' is not iterable", container.type_name()))),
    }
}

fn contains_item<'a>(
    meter: &mut Meter,
    items: impl Iterator<Item = &'a Value>,
    item: &Value,
) -> Result<bool> {
    for candidate in items {
        meter.steps(1)?;
        if operate::same_or_equal(meter, candidate, item)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn view_contains(meter: &mut Meter, view: &View, item: &Value) -> Result<bool> {
    let dict: &Dict = &view.dict;
    match view.kind {
        ViewKind::Keys => Ok(dict.get(meter, item)?.is_some()),
        ViewKind::Values => contains_item(meter, dict.iter().map(|(_, value)| value), item),
        ViewKind::Items => {
            let Value::Tuple(pair) = item else { return Ok(false) };
            let [key, value] = &pair[..] else { return Ok(false) };
            match dict.get(meter, key)? {
                Some(found) => operate::same_or_equal(meter, found, value),
                None => Ok(false),
            }
        }
    }
}

/// Where a range has an element equal to the value; `None` where it has none.
pub(crate) fn range_position(range: &Range, value: &Value) -> Option<u64> {
    let wanted = match value {
        Value::Int(value) => *value as i128,
        Value::Bool(value) => i128::from(*value),
        // Floats in this range convert exactly; others are not in any range.
        Value::Float(value) if value.fract() == 0.0 && value.abs() <= i64::MAX as f64 => *value as i128,
        _ => return None,
    };
    let distance = wanted - range.start as i128;
    let step = range.step as i128;
    if distance % step != 0 {
        return None;
    }
    u64::try_from(distance / step).ok().filter(|&at| at < range.len())
}

/// `a + b` of two strs, lists or tuples; `None` for other pairs.
pub fn concat(meter: &mut Meter, a: &Value, b: &Value) -> Result<Option<Value>> {
    Ok(Some(match (a, b) {
        (Value::Str(a), Value::Str(b)) => {
            let (a, b) = (a.as_str(), b.as_str());
            meter.string(a.len().saturating_add(b.len()))?;
            let mut joined = String::with_capacity(a.len() + b.len());
            joined.push_str(a);
            joined.push_str(b);
            Value::str(joined)
        }
        (Value::List(a), Value::List(b)) => Value::list(joined_items(meter, a, b)?),
        (Value::Tuple(a), Value::Tuple(b)) => Value::tuple(joined_items(meter, a, b)?),
        _ => return Ok(None),
    }))
}

fn joined_items(meter: &mut Meter, a: &[Value], b: &[Value]) -> Result<Vec<Value>> {
    let len = a.len().saturating_add(b.len());
    meter.list(len)?;
    meter.steps(len as u64)?;
    Ok(a.iter().chain(b).cloned().collect())
}

/// `a * b` where one side is a sequence and the other an int; `None` for other pairs.
pub fn repeat(meter: &mut Meter, a: &Value, b: &Value) -> Result<Option<Value>> {
    let is_sequence = |value: &Value| matches!(value, Value::Str(_) | Value::List(_) | Value::Tuple(_));
    let (sequence, count) = if is_sequence(a) {
        (a, b)
    } else if is_sequence(b) {
        (b, a)
    } else {
        return Ok(None);
    };
    let count = match index_of(count) {
        Index::Small(count) => usize::try_from(count).unwrap_or(0),
        Index::Huge => return Err(Raise::overflow_error("cannot fit 'int' into an index-sized integer")),
        Index::NoInt => return Ok(None),
    };
    Ok(Some(match sequence {
        Value::Str(text) => {
            let text = text.as_str();
            let len = text.len().saturating_mul(count);
            meter.string(len)?;
            // An empty text repeats nothing, however often.
            Value::str(if len == 0 { String::new() } else { text.repeat(count) })
        }
        Value::List(items) => Value::list(repeated_items(meter, items, count)?),
        Value::Tuple(items) => Value::tuple(repeated_items(meter, items, count)?),
        _ => return Ok(None),
    }))
}

fn repeated_items(meter: &mut Meter, items: &[Value], count: usize) -> Result<Vec<Value>> {
    let len = items.len().saturating_mul(count);
    meter.list(len)?;
    meter.steps(len as u64)?;
    let mut repeated = Vec::with_capacity(len);
    if len > 0 {
        for _ in 0..count {
            repeated.extend_from_slice(items);
        }
    }
    Ok(repeated)
}

/// `range(start, stop, step)`.
///
/// # Errors
/// `TypeError` for what is no int, `ValueError` for step 0, a limit for bounds beyond 64 bits.
pub(crate) fn make_range(start: &Value, stop: &Value, step: &Value) -> Result<Value> {
    let mut bounds = [0; 3];
    let mut too_big = false;
    for (bound, value) in bounds.iter_mut().zip([start, stop, step]) {
        match index_of(value) {
            Index::Small(value) => *bound = value,
            Index::Huge => too_big = true,
            Index::NoInt => {
                return Err(Raise::type_error(format!(
                    "'{}' object cannot be interpreted as an integer",
                    value.type_name()
                )));
            }
        }
    }
    if too_big {
        return Err(range_too_big());
    }
    let [start, stop, step] = bounds;
    if step == 0 {
        return Err(Raise::value_error("range() arg 3 must not be zero"));
    }
    Ok(Value::Range(Arc::new(Range { start, stop, step })))
}

#[cold]
fn range_too_big() -> Box<Raise> {
    Raise::limit(Limit::IntegerSize, "the bounds and the step of a range must fit in 64 bits")
}

/// An int or bool as CPython's `Py_ssize_t` argument.
///
/// # Errors
/// `TypeError` for what is no int, `OverflowError` for what does not fit.
pub(crate) fn size_argument(value: &Value) -> Result<i64> {
    match index_of(value) {
        Index::Small(size) => Ok(size),
        Index::Huge => Err(Raise::overflow_error("Python int too large to convert to C ssize_t")),
        Index::NoInt => Err(Raise::type_error(format!(
            "'{}' object cannot be interpreted as an integer",
            value.type_name()
        ))),
    }
}
