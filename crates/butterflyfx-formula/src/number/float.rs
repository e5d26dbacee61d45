//! Float operators where Python's meaning is not the processor's: floor division, modulo,
//! power, rounding to decimal digits.

use super::integer;
use crate::error::{Raise, Result};
use crate::meter::Meter;
use crate::operate::BinaryOp;
use num_bigint::BigUint;
use num_integer::Integer;
use num_traits::FromPrimitive;
use std::cmp::Ordering;

/// Whether floats have the operator.
pub(super) fn has(op: BinaryOp) -> bool {
    match op {
        BinaryOp::Add
        | BinaryOp::Subtract
        | BinaryOp::Multiply
        | BinaryOp::Divide
        | BinaryOp::FloorDivide
        | BinaryOp::Modulo
        | BinaryOp::Power => true,
        BinaryOp::BitAnd
        | BinaryOp::BitOr
        | BinaryOp::BitXor
        | BinaryOp::ShiftLeft
        | BinaryOp::ShiftRight => false,
    }
}

/// `a op b`, for operators that [`has`] knows.
pub(super) fn binary(op: BinaryOp, a: f64, b: f64) -> Result<f64> {
    let zero_division = |message| if b == 0.0 { Err(Raise::zero_division(message)) } else { Ok(()) };
    Ok(match op {
        BinaryOp::Add => a + b,
        BinaryOp::Subtract => a - b,
        BinaryOp::Multiply => a * b,
        BinaryOp::Divide => {
            zero_division("float division by zero")?;
            a / b
        }
        BinaryOp::FloorDivide => {
            zero_division("float floor division by zero")?;
            divmod(a, b).0
        }
        BinaryOp::Modulo => {
            zero_division("float modulo by zero")?;
            divmod(a, b).1
        }
        _ => power(a, b)?,
    })
}

/// Floor division and modulo; `b` is not 0. The remainder has the sign of `b`, zeros included.
pub(super) fn divmod(a: f64, b: f64) -> (f64, f64) {
    let mut remainder = a % b;
    // Exact but for the rounding of the division: `a - remainder` is a multiple of `b`.
    let mut quotient = (a - remainder) / b;
    if remainder == 0.0 {
        remainder = 0.0_f64.copysign(b);
    } else if (b < 0.0) != (remainder < 0.0) {
        remainder += b;
        quotient -= 1.0;
    }
    if quotient == 0.0 {
        return (0.0_f64.copysign(a / b), remainder);
    }
    // The division may have missed the whole number by a little.
    let floor = quotient.floor();
    (if quotient - floor > 0.5 { floor + 1.0 } else { floor }, remainder)
}

/// `a ** b`: the C library's `pow`, with the special cases as Python has them.
pub(super) fn power(a: f64, b: f64) -> Result<f64> {
    let b_is_odd = || (b.abs() % 2.0) == 1.0;
    if b == 0.0 || a == 1.0 {
        return Ok(1.0);
    }
    if a.is_nan() || b.is_nan() {
        return Ok(if a.is_nan() { a } else { b });
    }
    if b.is_infinite() {
        return Ok(match a.abs().partial_cmp(&1.0) {
            Some(Ordering::Equal) => 1.0,
            size if (size == Some(Ordering::Greater)) == (b > 0.0) => f64::INFINITY,
            _ => 0.0,
        });
    }
    if a.is_infinite() {
        let size = if b > 0.0 { f64::INFINITY } else { 0.0 };
        return Ok(if b_is_odd() { size.copysign(a) } else { size });
    }
    if a == 0.0 {
        if b < 0.0 {
            return Err(Raise::zero_division("0.0 cannot be raised to a negative power"));
        }
        return Ok(if b_is_odd() { a } else { 0.0 });
    }
    let size = a.abs().powf(b);
    if a < 0.0 && b.floor() != b {
        return Err(if size.is_infinite() {
            Raise::overflow_error("complex exponentiation")
        } else {
            Raise::value_error(
                "a negative number raised to a fractional power is complex, which is not supported",
            )
        });
    }
    if size.is_infinite() {
        return Err(Raise::overflow_error("(34, 'Numerical result out of range')"));
    }
    Ok(if a < 0.0 && b_is_odd() { -size } else { size })
}

/// Beyond this many decimal digits every float is itself.
const ROUND_DIGITS_MAX: u64 = 323;
/// Below this, every float rounds to 0.
const ROUND_DIGITS_MIN: i64 = -308;
/// From 2**52 on, floats have no fraction.
const WHOLE_FROM: f64 = 4_503_599_627_370_496.0;

/// To so many digits behind the point, and the steps that it costs.
pub(super) fn round_to_digits(x: f64, digits: u64) -> (f64, u64) {
    let has_no_such_digits = !x.is_finite() || x == 0.0 || digits > ROUND_DIGITS_MAX || x.abs() >= WHOLE_FROM;
    if has_no_such_digits {
        return (x, 0);
    }
    let decimal = format!("{x:.*}", digits as usize);
    (decimal.parse().unwrap_or(x), digits)
}

/// `round(x, digits)`: the float nearest to the decimal number nearest to `x`, exact ties to even.
pub(super) fn round(meter: &mut Meter, x: f64, digits: i64) -> Result<f64> {
    if let Ok(digits) = u64::try_from(digits) {
        // At most some hundred steps of work, paid right after.
        let (rounded, steps) = round_to_digits(x, digits);
        return meter.steps(steps).map(|()| rounded);
    }
    if !x.is_finite() || x == 0.0 {
        return Ok(x);
    }
    if digits < ROUND_DIGITS_MIN {
        return Ok(0.0_f64.copysign(x));
    }
    meter.steps(digits.unsigned_abs() / 16)?;
    let unit = BigUint::from(10_u8).pow(digits.unsigned_abs() as u32);
    let Some(whole) = BigUint::from_f64(x.abs()) else { return Ok(x) };
    let (mut count, rest) = whole.div_rem(&unit);
    let half =
        (rest * 2_u8).cmp(&unit).then(if x.fract() == 0.0 { Ordering::Equal } else { Ordering::Greater });
    if half == Ordering::Greater || (half == Ordering::Equal && count.is_odd()) {
        count += 1_u8;
    }
    match integer::magnitude_to_f64(&(count * unit)) {
        Some(size) => Ok(size.copysign(x)),
        None => Err(Raise::overflow_error("rounded value too large to represent")),
    }
}
