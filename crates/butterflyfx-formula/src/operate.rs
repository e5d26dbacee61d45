//! Operators over all types: numbers first, then sequences and dicts, then the `TypeError`.

use crate::dict::Dict;
use crate::error::{Raise, Result};
use crate::meter::Meter;
use crate::value::{BoundMethod, Range, Value, View, ViewKind};
use crate::{number, sequence};
use std::cmp::Ordering;
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::{Arc, LazyLock};

/// A binary arithmetic or bit operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `//`
    FloorDivide,
    /// `%`
    Modulo,
    /// `**`
    Power,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
}

impl BinaryOp {
    /// The operator's text; `** or pow()` for power, as CPython's messages have it.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::FloorDivide => "//",
            BinaryOp::Modulo => "%",
            BinaryOp::Power => "** or pow()",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "^",
            BinaryOp::ShiftLeft => "<<",
            BinaryOp::ShiftRight => ">>",
        }
    }
}

/// A unary operator but `not`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-`
    Negate,
    /// `+`
    Plus,
    /// `~`
    Invert,
}

impl UnaryOp {
    /// The operator's text.
    pub fn symbol(self) -> &'static str {
        match self {
            UnaryOp::Negate => "-",
            UnaryOp::Plus => "+",
            UnaryOp::Invert => "~",
        }
    }
}

/// `a op b`.
#[inline]
pub fn binary(meter: &mut Meter, op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    let fast = match (a, b) {
        (&Value::Int(a), &Value::Int(b)) => binary_int(op, a, b),
        (&Value::Float(a), &Value::Float(b)) => binary_float(op, a, b),
        _ => None,
    };
    match fast {
        Some(value) => Ok(value),
        None => binary_any(meter, op, a, b),
    }
}

/// What fits in 64 bits and raises nothing; `None` leaves the rest to [`binary_any`].
#[inline]
pub(crate) fn binary_int(op: BinaryOp, a: i64, b: i64) -> Option<Value> {
    /// Ints up to here are exact as floats, so that one division rounds once.
    const EXACT_AS_FLOAT_MAX: u64 = 1 << 53;
    let value = match op {
        BinaryOp::Add => a.checked_add(b)?,
        BinaryOp::Subtract => a.checked_sub(b)?,
        BinaryOp::Multiply => a.checked_mul(b)?,
        BinaryOp::Divide => {
            if b == 0 || a.unsigned_abs() > EXACT_AS_FLOAT_MAX || b.unsigned_abs() > EXACT_AS_FLOAT_MAX {
                return None;
            }
            return Some(Value::Float(a as f64 / b as f64));
        }
        BinaryOp::FloorDivide => {
            let quotient = a.checked_div(b)?;
            if a % b != 0 && (a < 0) != (b < 0) { quotient - 1 } else { quotient }
        }
        BinaryOp::Modulo => {
            let remainder = a.checked_rem(b)?;
            if remainder != 0 && (remainder < 0) != (b < 0) { remainder + b } else { remainder }
        }
        BinaryOp::Power => a.checked_pow(u32::try_from(b).ok()?)?,
        BinaryOp::BitAnd => a & b,
        BinaryOp::BitOr => a | b,
        BinaryOp::BitXor => a ^ b,
        BinaryOp::ShiftLeft => {
            let count = u32::try_from(b).ok().filter(|&count| count < i64::BITS)?;
            let shifted = a << count;
            if shifted >> count != a {
                return None;
            }
            shifted
        }
        BinaryOp::ShiftRight => a >> u32::try_from(b).ok()?.min(i64::BITS - 1),
    };
    Some(Value::Int(value))
}

#[inline]
fn binary_float(op: BinaryOp, a: f64, b: f64) -> Option<Value> {
    match op {
        BinaryOp::Add => Some(Value::float(a + b)),
        BinaryOp::Subtract => Some(Value::float(a - b)),
        BinaryOp::Multiply => Some(Value::float(a * b)),
        BinaryOp::Divide if b != 0.0 => Some(Value::float(a / b)),
        _ => None,
    }
}

fn binary_any(meter: &mut Meter, op: BinaryOp, a: &Value, b: &Value) -> Result<Value> {
    if let Some(value) = number::binary(meter, op, a, b)? {
        return Ok(value);
    }
    let found = match (op, a, b) {
        (BinaryOp::Add, _, _) => sequence::concat(meter, a, b)?,
        (BinaryOp::Multiply, _, _) => sequence::repeat(meter, a, b)?,
        (BinaryOp::BitOr, Value::Dict(a), Value::Dict(b)) => Some(merge(meter, a, b)?),
        _ => None,
    };
    found.ok_or_else(|| unsupported(op, a, b))
}

/// `a | b` of dicts: the keys of `a` in their order with the values of `b`, then what `b` adds.
fn merge(meter: &mut Meter, a: &Dict, b: &Dict) -> Result<Value> {
    let mut merged = Dict::new();
    for (key, value) in a.iter().chain(b.iter()) {
        merged.insert(meter, key.clone(), value.clone())?;
    }
    Ok(Value::Dict(Arc::new(merged)))
}

/// The `TypeError` for operands that no type's operator takes, as CPython words it.
#[cold]
fn unsupported(op: BinaryOp, a: &Value, b: &Value) -> Box<Raise> {
    let is_sequence = |value: &Value| matches!(value, Value::Str(_) | Value::List(_) | Value::Tuple(_));
    let (a_type, b_type) = (a.type_name(), b.type_name());
    Raise::type_error(match op {
        BinaryOp::Add if is_sequence(a) => {
            format!("can only concatenate {a_type} (not \"{b_type}\") to {a_type}")
        }
        BinaryOp::Multiply if is_sequence(a) => {
            format!("can't multiply sequence by non-int of type '{b_type}'")
        }
        BinaryOp::Multiply if is_sequence(b) => {
            format!("can't multiply sequence by non-int of type '{a_type}'")
        }
        BinaryOp::Modulo if matches!(a, Value::Str(_)) => {
            "'%' formatting of str is not supported; use an f-string".to_owned()
        }
        BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor | BinaryOp::Subtract
            if [a, b].iter().any(|value| matches!(value, Value::View(view) if is_set(view))) =>
        {
            format!(
                "'{}' of dict views gives a set, which is not supported: '{a_type}' and '{b_type}'",
                op.symbol()
            )
        }
        _ => format!("unsupported operand type(s) for {}: '{a_type}' and '{b_type}'", op.symbol()),
    })
}

/// `-a`, `+a`, `~a`.
#[inline]
pub fn unary(meter: &mut Meter, op: UnaryOp, a: &Value) -> Result<Value> {
    let fast = match (op, a) {
        (UnaryOp::Negate, &Value::Int(a)) => a.checked_neg().map(Value::Int),
        (UnaryOp::Invert, &Value::Int(a)) => Some(Value::Int(!a)),
        (UnaryOp::Negate, &Value::Float(a)) => Some(Value::float(-a)),
        _ => None,
    };
    match fast {
        Some(value) => Ok(value),
        None => unary_any(meter, op, a),
    }
}

fn unary_any(meter: &mut Meter, op: UnaryOp, a: &Value) -> Result<Value> {
    number::unary(meter, op, a)?.ok_or_else(|| {
        Raise::type_error(format!("bad operand type for unary {}: '{}'", op.symbol(), a.type_name()))
    })
}

/// `a == b`. Pays a step for each pair of elements looked at, and for each 64 bytes of text.
#[inline]
pub fn equal(meter: &mut Meter, a: &Value, b: &Value) -> Result<bool> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Str(a), Value::Str(b)) => equal_text(meter, a.as_str(), b.as_str()),
        _ => equal_any(meter, a, b),
    }
}

/// `a is b or a == b`: how CPython compares elements of containers and keys.
#[inline]
pub fn same_or_equal(meter: &mut Meter, a: &Value, b: &Value) -> Result<bool> {
    if a.same_object(b) { Ok(true) } else { equal(meter, a, b) }
}

#[inline]
fn equal_text(meter: &mut Meter, a: &str, b: &str) -> Result<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    meter.steps(a.len() as u64 / 64)?;
    Ok(a == b)
}

fn equal_any(meter: &mut Meter, a: &Value, b: &Value) -> Result<bool> {
    if let Some(order) = number::compare(a, b) {
        return Ok(order == Some(Ordering::Equal));
    }
    match (a, b) {
        (Value::None, Value::None) => Ok(true),
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            Ok(a.len() == b.len() && first_difference(meter, a, b)?.is_none())
        }
        (Value::Dict(a), Value::Dict(b)) => nested(meter, |meter| equal_dicts(meter, a, b)),
        (Value::Range(a), Value::Range(b)) => Ok(range_identity(a) == range_identity(b)),
        (Value::View(left), Value::View(right)) if is_set(left) && is_set(right) => {
            Ok(left.dict.len() == right.dict.len() && subset(meter, left, right)?)
        }
        (Value::Builtin(a), Value::Builtin(b)) => Ok(a == b),
        (Value::Math(a), Value::Math(b)) => Ok(a == b),
        (Value::BoundMethod(a), Value::BoundMethod(b)) => equal_methods(meter, a, b),
        // What is left compares by identity.
        _ => Ok(a.same_object(b)),
    }
}

/// Runs one level of a comparison, with the meter's bound on native recursion.
fn nested<T>(meter: &mut Meter, work: impl FnOnce(&mut Meter) -> Result<T>) -> Result<T> {
    meter.enter_nested()?;
    let result = work(meter);
    meter.leave_nested();
    result
}

/// The first pair of elements that are neither the same object nor equal, as far as both go.
fn first_difference<'a>(
    meter: &mut Meter,
    a: &'a [Value],
    b: &'a [Value],
) -> Result<Option<(&'a Value, &'a Value)>> {
    nested(meter, |meter| {
        for (a, b) in a.iter().zip(b) {
            meter.steps(1)?;
            if !same_or_equal(meter, a, b)? {
                return Ok(Some((a, b)));
            }
        }
        Ok(None)
    })
}

fn equal_dicts(meter: &mut Meter, a: &Dict, b: &Dict) -> Result<bool> {
    if a.len() != b.len() {
        return Ok(false);
    }
    for (key, value) in a.iter() {
        meter.steps(1)?;
        let equal = match b.get(meter, key)? {
            Some(other) => same_or_equal(meter, other, value)?,
            None => false,
        };
        if !equal {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Ranges are equal as sequences: what tells two of them apart is this.
fn range_identity(range: &Range) -> (u64, Option<i64>, Option<i64>) {
    match range.len() {
        0 => (0, None, None),
        1 => (1, Some(range.start), None),
        len => (len, Some(range.start), Some(range.step)),
    }
}

/// Whether a view compares as a set; `d.values()` compares by identity.
fn is_set(view: &View) -> bool {
    view.kind != ViewKind::Values
}

/// Whether each element of one set-like view is in the other.
fn subset(meter: &mut Meter, inner: &View, outer: &View) -> Result<bool> {
    nested(meter, |meter| {
        for (key, value) in inner.dict.iter() {
            meter.steps(1)?;
            let found = match (inner.kind, outer.kind) {
                (ViewKind::Keys, ViewKind::Keys) => outer.dict.get(meter, key)?.is_some(),
                (ViewKind::Keys, _) => match key {
                    Value::Tuple(pair) => match &pair[..] {
                        [key, value] => has_item(meter, outer, key, value)?,
                        _ => false,
                    },
                    _ => false,
                },
                (_, ViewKind::Keys) => {
                    meter.list(2)?;
                    let pair = Value::tuple(vec![key.clone(), value.clone()]);
                    outer.dict.get(meter, &pair)?.is_some()
                }
                _ => has_item(meter, outer, key, value)?,
            };
            if !found {
                return Ok(false);
            }
        }
        Ok(true)
    })
}

fn has_item(meter: &mut Meter, view: &View, key: &Value, value: &Value) -> Result<bool> {
    match view.dict.get(meter, key)? {
        Some(found) => same_or_equal(meter, found, value),
        None => Ok(false),
    }
}

/// CPython: the same method of the same object. Where the receivers are equal but their type's
/// identity is not kept here (`x.upper == y.upper` of equal strs), no answer would be safe.
fn equal_methods(meter: &mut Meter, a: &BoundMethod, b: &BoundMethod) -> Result<bool> {
    if a.method != b.method {
        return Ok(false);
    }
    let known = match (&a.receiver, &b.receiver) {
        (Value::List(_), _) | (Value::Tuple(_), _) | (Value::Dict(_), _) => {
            Some(a.receiver.same_object(&b.receiver))
        }
        (Value::Float(x), Value::Float(y)) if x.is_nan() || y.is_nan() => {
            Some(a.receiver.same_object(&b.receiver))
        }
        (Value::Str(a), Value::Str(b)) if std::ptr::eq(a.as_str(), b.as_str()) => Some(true),
        (Value::Range(a), Value::Range(b)) if Arc::ptr_eq(a, b) => Some(true),
        (Value::BigInt(a), Value::BigInt(b)) if Arc::ptr_eq(a, b) => Some(true),
        _ => None,
    };
    match known {
        Some(answer) => Ok(answer),
        None if a.receiver.type_name() != b.receiver.type_name() => Ok(false),
        None if !equal(meter, &a.receiver, &b.receiver)? => Ok(false),
        None if matches!(a.receiver, Value::Bool(_)) => Ok(true),
        None => Err(Raise::type_error("methods of equal values cannot be compared")),
    }
}

/// Ordering for `<` and friends, with the operator's text for the `TypeError`.
/// `None` where none of them is true (NaN).
#[inline]
pub fn order(meter: &mut Meter, a: &Value, b: &Value, symbol: &str) -> Result<Option<Ordering>> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Str(a), Value::Str(b)) => {
            let (a, b) = (a.as_str(), b.as_str());
            meter.steps(a.len().min(b.len()) as u64 / 64)?;
            // The order of UTF-8 bytes is the order of code points.
            Ok(Some(a.cmp(b)))
        }
        _ => order_any(meter, a, b, symbol),
    }
}

fn order_any(meter: &mut Meter, a: &Value, b: &Value, symbol: &str) -> Result<Option<Ordering>> {
    if let Some(order) = number::compare(a, b) {
        return Ok(order);
    }
    match (a, b) {
        (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => {
            match first_difference(meter, a, b)? {
                Some((a, b)) => nested(meter, |meter| order(meter, a, b, symbol)),
                None => Ok(Some(a.len().cmp(&b.len()))),
            }
        }
        (Value::View(a), Value::View(b)) if is_set(a) && is_set(b) => order_views(meter, a, b, symbol),
        _ => Err(Raise::type_error(format!(
            "'{symbol}' not supported between instances of '{}' and '{}'",
            a.type_name(),
            b.type_name()
        ))),
    }
}

/// `a < b` is "proper subset". The lengths alone may answer; elements are then not looked at,
/// as one that cannot be hashed would raise.
fn order_views(meter: &mut Meter, a: &View, b: &View, symbol: &str) -> Result<Option<Ordering>> {
    let lengths = a.dict.len().cmp(&b.dict.len());
    let possible = match symbol {
        "<" => lengths == Ordering::Less,
        "<=" => lengths != Ordering::Greater,
        ">" => lengths == Ordering::Greater,
        _ => lengths != Ordering::Less,
    };
    let (inner, outer) = if symbol.starts_with('<') { (a, b) } else { (b, a) };
    Ok(if possible && subset(meter, inner, outer)? { Some(lengths) } else { None })
}

/// Seeds the hashes of this process, so that nobody outside can prepare keys that collide.
static HASH_SEED: LazyLock<foldhash::quality::RandomState> =
    LazyLock::new(foldhash::quality::RandomState::default);

/// Hashes `content` with the process's seed.
pub(crate) fn hash_content(content: &(impl Hash + ?Sized)) -> u64 {
    HASH_SEED.hash_one(content)
}

/// [`hash`] of a str.
#[inline]
pub fn hash_text(text: &str) -> u64 {
    hash_content(text)
}

/// `hash(value)`, for use inside this process only. Pays a step for each 64 bytes of text.
///
/// # Errors
/// `TypeError`: unhashable type.
pub fn hash(meter: &mut Meter, value: &Value) -> Result<u64> {
    if let Value::Str(text) = value {
        meter.steps(text.as_str().len() as u64 / 64)?;
        return Ok(hash_text(text.as_str()));
    }
    if let Some(hash) = number::hash(value) {
        return Ok(hash);
    }
    // The first member keeps apart types whose contents hash alike.
    Ok(match value {
        Value::None => hash_content(&0_u8),
        Value::Tuple(items) => nested(meter, |meter| {
            let mut state = HASH_SEED.build_hasher();
            state.write_usize(items.len());
            for item in items.iter() {
                meter.steps(1)?;
                state.write_u64(hash(meter, item)?);
            }
            Ok(state.finish())
        })?,
        Value::Range(range) => hash_content(&(1_u8, range_identity(range))),
        Value::Builtin(builtin) => hash_content(&(2_u8, builtin)),
        Value::Math(function) => hash_content(&(3_u8, function)),
        Value::Function(function) => hash_content(&(4_u8, Arc::as_ptr(function))),
        Value::Iterator(iterator) => hash_content(&(5_u8, Arc::as_ptr(iterator))),
        Value::View(view) if view.kind == ViewKind::Values => hash_content(&(6_u8, Arc::as_ptr(view))),
        Value::BoundMethod(bound) => {
            let receiver = match &bound.receiver {
                Value::List(items) | Value::Tuple(items) => hash_content(&Arc::as_ptr(items)),
                Value::Dict(dict) => hash_content(&Arc::as_ptr(dict)),
                other => hash(meter, other)?,
            };
            hash_content(&(7_u8, bound.method, receiver))
        }
        _ => return Err(Raise::type_error(format!("unhashable type: '{}'", value.type_name()))),
    })
}

#[cfg(test)]
mod tests;
