//! Numbers: bool, int of any size and float, mixed as Python mixes them.
//!
//! Every function takes any value and answers `None` where an operand is no number, so that
//! [`operate`] can go on to sequences and then to the `TypeError`.
//!
//! `integer` computes with big ints and bounds their size, `float` has what floats do
//! otherwise than the processor, `text` reads and writes digits.

mod float;
mod integer;
mod text;

pub(crate) use integer::pay_radix;
pub use integer::{bit_count, bit_length, pow_modulo};
pub(crate) use text::decimal_digit;
pub use text::{int_to_decimal, int_to_radix, parse_float, parse_int};

use crate::error::{Raise, Result};
use crate::meter::Meter;
use crate::operate::{self, BinaryOp, UnaryOp};
use crate::value::Value;
use num_bigint::{BigInt, Sign};
use num_traits::{FromPrimitive, Signed, ToPrimitive};
use std::borrow::Cow;
use std::cmp::Ordering;

/// A number seen without its type: a bool is the int 0 or 1.
#[derive(Clone, Copy, Debug)]
enum Number<'a> {
    Small(i64),
    Big(&'a BigInt),
    Float(f64),
}

impl<'a> Number<'a> {
    #[inline]
    fn of(value: &'a Value) -> Option<Number<'a>> {
        match value {
            Value::Bool(b) => Some(Number::Small(i64::from(*b))),
            Value::Int(i) => Some(Number::Small(*i)),
            Value::BigInt(i) => Some(Number::Big(i)),
            Value::Float(f) => Some(Number::Float(*f)),
            _ => None,
        }
    }

    fn to_f64(self) -> Result<f64> {
        match self {
            Number::Small(i) => Ok(i as f64),
            Number::Big(i) => integer::to_f64(i),
            Number::Float(f) => Ok(f),
        }
    }

    /// The int; `None` for a float.
    fn to_bigint(self) -> Option<Cow<'a, BigInt>> {
        match self {
            Number::Small(i) => Some(Cow::Owned(BigInt::from(i))),
            Number::Big(i) => Some(Cow::Borrowed(i)),
            Number::Float(_) => None,
        }
    }
}

/// The int that a value is, a bool included, as `__index__` gives it; `None` for other types.
pub fn as_index(value: &Value) -> Option<Cow<'_, BigInt>> {
    Number::of(value)?.to_bigint()
}

/// [`as_index`], with values beyond 64 bits moved to the nearest bound, as CPython does for
/// slices and digit counts.
#[inline]
pub fn as_index_clamped(value: &Value) -> Option<i64> {
    match Number::of(value)? {
        Number::Small(i) => Some(i),
        Number::Big(i) => Some(if i.is_negative() { i64::MIN } else { i64::MAX }),
        Number::Float(_) => None,
    }
}

/// `a op b` for two numbers. Sizes are checked (`Meter::integer`) before big integers compute.
pub fn binary(meter: &mut Meter, op: BinaryOp, a: &Value, b: &Value) -> Result<Option<Value>> {
    if let (&Value::Bool(a), &Value::Bool(b)) = (a, b) {
        match op {
            BinaryOp::BitAnd => return Ok(Some(Value::Bool(a & b))),
            BinaryOp::BitOr => return Ok(Some(Value::Bool(a | b))),
            BinaryOp::BitXor => return Ok(Some(Value::Bool(a ^ b))),
            _ => {}
        }
    }
    let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) else { return Ok(None) };
    if let (Number::Small(a), Number::Small(b)) = (a, b)
        && let Some(value) = operate::binary_int(op, a, b)
    {
        return Ok(Some(value));
    }
    match (a.to_bigint(), b.to_bigint()) {
        (Some(a), Some(b)) => integer::binary(meter, op, &a, &b).map(Some),
        _ if !float::has(op) => Ok(None),
        _ => float::binary(op, a.to_f64()?, b.to_f64()?).map(|x| Some(Value::float(x))),
    }
}

/// `a op b` of two floats; `None` where that is an exception, or no operator of floats.
pub fn binary_float(op: BinaryOp, a: f64, b: f64) -> Option<f64> {
    if float::has(op) { float::binary(op, a, b).ok() } else { None }
}

/// `round(x, digits)` of a float, and the steps that it costs.
pub fn round_to_digits(x: f64, digits: u64) -> (f64, u64) {
    float::round_to_digits(x, digits)
}

/// `-a`, `+a`, `~a` for a number.
pub fn unary(meter: &mut Meter, op: UnaryOp, a: &Value) -> Result<Option<Value>> {
    let Some(number) = Number::of(a) else { return Ok(None) };
    Ok(Some(match (op, number) {
        (UnaryOp::Plus, Number::Small(a)) => Value::Int(a),
        (UnaryOp::Plus, _) => a.clone(),
        (UnaryOp::Invert, Number::Small(a)) => Value::Int(!a),
        (UnaryOp::Negate, Number::Float(a)) => Value::float(-a),
        (UnaryOp::Invert, Number::Float(_)) => return Ok(None),
        (UnaryOp::Negate, Number::Small(a)) if a != i64::MIN => Value::Int(-a),
        (UnaryOp::Negate, Number::Small(a)) => integer::negate(meter, &BigInt::from(a))?,
        (UnaryOp::Negate, Number::Big(a)) => integer::negate(meter, a)?,
        (UnaryOp::Invert, Number::Big(a)) => integer::invert(meter, a)?,
    }))
}

/// Exact comparison, int with float without rounding. Outer `None`: an operand is no number;
/// inner `None`: a NaN.
pub fn compare(a: &Value, b: &Value) -> Option<Option<Ordering>> {
    Some(match (Number::of(a)?, Number::of(b)?) {
        (Number::Small(a), Number::Small(b)) => Some(a.cmp(&b)),
        (Number::Float(a), Number::Float(b)) => a.partial_cmp(&b),
        (Number::Big(a), Number::Big(b)) => Some(a.cmp(b)),
        (Number::Small(_), Number::Big(b)) => Some(zero_against(b)),
        (Number::Big(a), Number::Small(_)) => Some(zero_against(a).reverse()),
        (Number::Small(a), Number::Float(b)) => compare_small(a, b),
        (Number::Float(a), Number::Small(b)) => compare_small(b, a).map(Ordering::reverse),
        (Number::Big(a), Number::Float(b)) => compare_big(a, b),
        (Number::Float(a), Number::Big(b)) => compare_big(b, a).map(Ordering::reverse),
    })
}

/// Any small int against a big one: only the big one's sign counts.
fn zero_against(big: &BigInt) -> Ordering {
    if big.is_negative() { Ordering::Greater } else { Ordering::Less }
}

/// 2**63, where floats leave the range of `i64`.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

fn compare_small(a: i64, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    Some(if b >= TWO_TO_63 {
        Ordering::Less
    } else if b < -TWO_TO_63 {
        Ordering::Greater
    } else {
        // Exact: the whole part fits. A fraction decides between equal whole parts.
        let whole = b.trunc();
        a.cmp(&(whole as i64)).then(whole.partial_cmp(&b)?)
    })
}

fn compare_big(a: &BigInt, b: f64) -> Option<Ordering> {
    if b.is_nan() {
        return None;
    }
    match BigInt::from_f64(b) {
        // A big int lies beyond 64 bits, so a fraction of `b` can decide nothing.
        Some(whole) => Some(a.cmp(&whole)),
        None => Some(if b > 0.0 { Ordering::Less } else { Ordering::Greater }),
    }
}

/// A hash that is equal for equal numbers of any kind (`1 == 1.0 == True`).
#[inline]
pub fn hash(a: &Value) -> Option<u64> {
    Some(match Number::of(a)? {
        Number::Small(a) => operate::hash_content(&a),
        Number::Float(a) => hash_float(a),
        Number::Big(a) => {
            // As the float, where one equals it.
            let significant = a.bits() - a.trailing_zeros().unwrap_or(0);
            match a.to_f64() {
                Some(float) if significant <= u64::from(f64::MANTISSA_DIGITS) && float.is_finite() => {
                    hash_float(float)
                }
                _ => operate::hash_content(a),
            }
        }
    })
}

fn hash_float(a: f64) -> u64 {
    if a.trunc() == a && (-TWO_TO_63..TWO_TO_63).contains(&a) {
        operate::hash_content(&(a as i64))
    } else {
        // NaN too: its bits are its identity.
        operate::hash_content(&a.to_bits())
    }
}

/// `divmod(a, b)`; `None` where an operand is no number.
pub fn divmod(meter: &mut Meter, a: &Value, b: &Value) -> Result<Option<(Value, Value)>> {
    let (Some(a), Some(b)) = (Number::of(a), Number::of(b)) else { return Ok(None) };
    if let (Number::Small(a), Number::Small(b)) = (a, b)
        && let Some(quotient) = operate::binary_int(BinaryOp::FloorDivide, a, b)
        && let Some(remainder) = operate::binary_int(BinaryOp::Modulo, a, b)
    {
        return Ok(Some((quotient, remainder)));
    }
    match (a.to_bigint(), b.to_bigint()) {
        (Some(a), Some(b)) => integer::divmod(meter, &a, &b).map(Some),
        _ => {
            let (a, b) = (a.to_f64()?, b.to_f64()?);
            if b == 0.0 {
                return Err(Raise::zero_division("float divmod()"));
            }
            let (quotient, remainder) = float::divmod(a, b);
            Ok(Some((Value::float(quotient), Value::float(remainder))))
        }
    }
}

/// `round(x)` and `round(x, digits)`.
pub fn round(meter: &mut Meter, x: &Value, digits: Option<&Value>) -> Result<Value> {
    let Some(number) = Number::of(x) else {
        return Err(Raise::type_error(format!("type {} doesn't define __round__ method", x.type_name())));
    };
    let digits = match digits {
        None | Some(Value::None) => None,
        Some(digits) => Some(as_index_clamped(digits).ok_or_else(|| {
            let name = digits.type_name();
            Raise::type_error(format!("'{name}' object cannot be interpreted as an integer"))
        })?),
    };
    match (number, digits) {
        (Number::Float(x), None) => float_to_int(meter, x.round_ties_even()),
        (Number::Float(x), Some(digits)) => float::round(meter, x, digits).map(Value::float),
        (Number::Small(x), None) => Ok(Value::Int(x)),
        (Number::Small(x), Some(digits)) if digits >= 0 => Ok(Value::Int(x)),
        (Number::Small(x), Some(digits)) => integer::round(meter, &BigInt::from(x), digits),
        (Number::Big(x), Some(digits)) if digits < 0 => integer::round(meter, x, digits),
        (Number::Big(_), _) => Ok(x.clone()),
    }
}

/// `abs(x)`; `None` where it is no number.
pub fn abs(meter: &mut Meter, x: &Value) -> Result<Option<Value>> {
    Ok(Some(match Number::of(x) {
        None => return Ok(None),
        Some(Number::Float(x)) => Value::float(x.abs()),
        Some(Number::Small(x)) if x >= 0 => Value::Int(x),
        Some(Number::Big(big)) if big.sign() == Sign::Plus => x.clone(),
        Some(_) => return unary(meter, UnaryOp::Negate, x),
    }))
}

/// `int(x)` of a number: truncation; `OverflowError`/`ValueError` for inf and NaN.
pub fn truncate(meter: &mut Meter, x: &Value) -> Result<Option<Value>> {
    Ok(Some(match Number::of(x) {
        None => return Ok(None),
        Some(Number::Small(x)) => Value::Int(x),
        Some(Number::Big(_)) => x.clone(),
        Some(Number::Float(x)) => float_to_int(meter, x)?,
    }))
}

/// The int that a float is when its fraction is cut off.
///
/// # Errors
/// `OverflowError` for an infinity, `ValueError` for a NaN.
pub fn float_to_int(meter: &mut Meter, x: f64) -> Result<Value> {
    if (-TWO_TO_63..TWO_TO_63).contains(&x) {
        return Ok(Value::Int(x as i64));
    }
    match BigInt::from_f64(x) {
        Some(whole) => {
            meter.integer(whole.bits())?;
            Ok(Value::big(whole))
        }
        None if x.is_nan() => Err(Raise::value_error("cannot convert float NaN to integer")),
        None => Err(Raise::overflow_error("cannot convert float infinity to integer")),
    }
}

/// The float nearest to a number; `OverflowError` ("int too large to convert to float").
pub fn to_f64(x: &Value) -> Result<Option<f64>> {
    Number::of(x).map(Number::to_f64).transpose()
}

#[cfg(test)]
mod tests;
