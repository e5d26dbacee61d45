//! Big ints. The size of a result is bounded before it is computed, and its limbs are paid.

use super::{Number, float};
use crate::error::{Raise, Result};
use crate::meter::Meter;
use crate::operate::BinaryOp;
use crate::value::Value;
use num_bigint::{BigInt, BigUint, Sign};
use num_integer::Integer;
use num_traits::{One, Signed, ToPrimitive, Zero};

/// Word products that one step pays for.
const PRODUCTS_PER_STEP: u64 = 32;

fn limbs(bits: u64) -> u64 {
    bits.div_ceil(64)
}

/// Pays for a product or quotient whose factors have so many bits.
fn pay_products(meter: &mut Meter, a_bits: u64, b_bits: u64) -> Result<()> {
    meter.steps(limbs(a_bits).saturating_mul(limbs(b_bits)) / PRODUCTS_PER_STEP)
}

/// A computed int. What was checked before was the least size it could have; this is the size.
fn result(meter: &mut Meter, x: BigInt) -> Result<Value> {
    if x.bits() > meter.limits().integer_bits {
        meter.integer(x.bits())?;
    }
    Ok(Value::big(x))
}

/// `a op b`. Fits in 64 bits or not; the caller has tried the short way.
pub(super) fn binary(meter: &mut Meter, op: BinaryOp, a: &BigInt, b: &BigInt) -> Result<Value> {
    match op {
        BinaryOp::Add | BinaryOp::Subtract => {
            meter.integer(a.bits().max(b.bits()))?;
            result(meter, if op == BinaryOp::Add { a + b } else { a - b })
        }
        BinaryOp::Multiply => {
            if a.is_zero() || b.is_zero() {
                return Ok(Value::Int(0));
            }
            meter.integer(a.bits() + b.bits() - 1)?;
            pay_products(meter, a.bits(), b.bits())?;
            result(meter, a * b)
        }
        BinaryOp::Divide => true_divide(meter, a, b).map(Value::Float),
        BinaryOp::FloorDivide => Ok(divmod(meter, a, b)?.0),
        BinaryOp::Modulo if b.is_zero() => Err(Raise::zero_division("integer modulo by zero")),
        BinaryOp::Modulo => Ok(divmod(meter, a, b)?.1),
        BinaryOp::Power => power(meter, a, b),
        BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor => {
            meter.integer(a.bits().max(b.bits()))?;
            result(
                meter,
                match op {
                    BinaryOp::BitAnd => a & b,
                    BinaryOp::BitOr => a | b,
                    _ => a ^ b,
                },
            )
        }
        BinaryOp::ShiftLeft | BinaryOp::ShiftRight if b.is_negative() => {
            Err(Raise::value_error("negative shift count"))
        }
        BinaryOp::ShiftLeft => {
            if a.is_zero() {
                return Ok(Value::Int(0));
            }
            let count = b.to_u64().unwrap_or(u64::MAX);
            meter.integer(a.bits().saturating_add(count))?;
            result(meter, a << count)
        }
        BinaryOp::ShiftRight => {
            let count = b.to_u64().unwrap_or(u64::MAX);
            if count >= a.bits() {
                return Ok(Value::Int(if a.is_negative() { -1 } else { 0 }));
            }
            meter.integer(a.bits() - count)?;
            // Rounds down, as two's complement does.
            result(meter, a >> count)
        }
    }
}

/// `-a`
pub(super) fn negate(meter: &mut Meter, a: &BigInt) -> Result<Value> {
    meter.integer(a.bits())?;
    result(meter, -a)
}

/// `~a`
pub(super) fn invert(meter: &mut Meter, a: &BigInt) -> Result<Value> {
    meter.integer(a.bits())?;
    result(meter, !a)
}

/// Floor division and modulo.
pub(super) fn divmod(meter: &mut Meter, a: &BigInt, b: &BigInt) -> Result<(Value, Value)> {
    if b.is_zero() {
        return Err(Raise::zero_division("integer division or modulo by zero"));
    }
    meter.integer(a.bits().max(b.bits()))?;
    pay_products(meter, a.bits().saturating_sub(b.bits()), b.bits())?;
    let (quotient, remainder) = a.div_mod_floor(b);
    Ok((result(meter, quotient)?, result(meter, remainder)?))
}

/// `a / b`, correctly rounded.
fn true_divide(meter: &mut Meter, a: &BigInt, b: &BigInt) -> Result<f64> {
    if b.is_zero() {
        return Err(Raise::zero_division("division by zero"));
    }
    let negative = a.is_negative() != b.is_negative();
    let (a, b) = (a.magnitude(), b.magnitude());
    meter.integer(a.bits().max(b.bits()))?;
    pay_products(meter, a.bits().max(b.bits()), b.bits())?;
    let size = divide_magnitudes(a, b)
        .ok_or_else(|| Raise::overflow_error("integer division result too large for a float"))?;
    Ok(if negative { -size } else { size })
}

/// The float nearest to `a / b`; `None` beyond the range of floats. `b` is not 0.
fn divide_magnitudes(a: &BigUint, b: &BigUint) -> Option<f64> {
    /// Enough for the 53 bits of a float, a bit to round by, and one that a quotient may lack.
    const QUOTIENT_BITS: i64 = 55;
    let difference = a.bits() as i64 - b.bits() as i64;
    if a.is_zero() || difference < -1100 {
        return Some(0.0);
    }
    if difference > 1100 {
        return None;
    }
    // Scaled so that the whole quotient has 55 or 56 bits.
    let shift = difference - QUOTIENT_BITS;
    let (quotient, rest) =
        if shift < 0 { (a << -shift as u64).div_rem(b) } else { a.div_rem(&(b << shift as u64)) };
    round_to_f64(quotient.to_u64()?, !rest.is_zero(), shift)
}

/// The float nearest to `(mantissa + fraction) * 2**exponent`, ties to even, where `fraction` is 0
/// or, if `inexact`, between 0 and 1 (then `mantissa` has 55 bits or more). `None` beyond the range.
fn round_to_f64(mantissa: u64, inexact: bool, exponent: i64) -> Option<f64> {
    /// Exponent of the smallest subnormal float.
    const EXPONENT_MIN: i64 = -1074;
    if mantissa == 0 {
        return Some(0.0);
    }
    let bits = i64::from(u64::BITS - mantissa.leading_zeros());
    let top = exponent + bits;
    if top > i64::from(f64::MAX_EXP) {
        return None;
    }
    let kept = i64::from(f64::MANTISSA_DIGITS).min(top - EXPONENT_MIN);
    let cut = (bits - kept).max(0);
    if cut > 64 {
        return Some(0.0);
    }
    let wide = u128::from(mantissa);
    let (rest, half) = (wide & ((1 << cut) - 1), (1_u128 << cut) / 2);
    let mut rounded = (wide >> cut) as u64;
    if cut > 0 && (rest > half || (rest == half && (inexact || rounded % 2 == 1))) {
        rounded += 1;
    }
    // Exact: `rounded` has at most 53 bits, or is 2**53.
    let float = rounded as f64 * power_of_two(exponent + cut);
    float.is_finite().then_some(float)
}

/// `2.0 ** exponent`, from the smallest subnormal to the largest finite power.
fn power_of_two(exponent: i64) -> f64 {
    if exponent >= i64::from(f64::MIN_EXP) - 1 {
        f64::from_bits(((exponent + 1023) as u64) << 52)
    } else {
        f64::from_bits(1 << (exponent + 1074))
    }
}

/// The float nearest to an int, ties to even.
pub(super) fn to_f64(x: &BigInt) -> Result<f64> {
    let size = magnitude_to_f64(x.magnitude())
        .ok_or_else(|| Raise::overflow_error("int too large to convert to float"))?;
    Ok(if x.is_negative() { -size } else { size })
}

/// The float nearest to `x`; `None` beyond the range of floats.
pub(super) fn magnitude_to_f64(x: &BigUint) -> Option<f64> {
    let cut = x.bits().saturating_sub(64);
    let top = (x >> cut).to_u64()?;
    let inexact = x.trailing_zeros().is_some_and(|zeros| zeros < cut);
    round_to_f64(top, inexact, i64::try_from(cut).ok()?)
}

fn power(meter: &mut Meter, base: &BigInt, exponent: &BigInt) -> Result<Value> {
    if exponent.is_negative() {
        return float::power(to_f64(base)?, to_f64(exponent)?).map(Value::float);
    }
    if base.magnitude().is_one() || base.is_zero() || exponent.is_zero() {
        let negative = base.is_negative() && exponent.is_odd();
        let one = base.magnitude().is_one() || exponent.is_zero();
        return Ok(Value::Int(if negative { -1 } else { i64::from(one) }));
    }
    // base >= 2**(bits - 1), so this is the least size; the result has at most twice as many bits.
    let exponent = exponent.to_u64().unwrap_or(u64::MAX);
    let bits = (base.bits() - 1).saturating_mul(exponent).saturating_add(1);
    meter.integer(bits)?;
    pay_products(meter, bits, bits)?;
    result(meter, num_traits::pow(base.clone(), exponent as usize))
}

/// `pow(base, exponent, modulus)`, ints only.
pub fn pow_modulo(meter: &mut Meter, base: &Value, exponent: &Value, modulus: &Value) -> Result<Value> {
    if matches!(modulus, Value::None) {
        return crate::operate::binary(meter, BinaryOp::Power, base, exponent);
    }
    let numbers = [base, exponent, modulus].map(Number::of);
    if numbers.iter().any(|number| matches!(number, Some(Number::Float(_)))) {
        return Err(Raise::type_error("pow() 3rd argument not allowed unless all arguments are integers"));
    }
    let [Some(a), Some(b), Some(m)] = numbers.map(|number| number.and_then(Number::to_bigint)) else {
        return Err(Raise::type_error(format!(
            "unsupported operand type(s) for ** or pow(): '{}', '{}', '{}'",
            base.type_name(),
            exponent.type_name(),
            modulus.type_name()
        )));
    };
    if m.is_zero() {
        return Err(Raise::value_error("pow() 3rd argument cannot be 0"));
    }
    let size = BigInt::from(m.magnitude().clone());
    if size.is_one() {
        return Ok(Value::Int(0));
    }
    let words = limbs(size.bits());
    meter.integer(size.bits())?;
    pay_products(meter, a.bits(), size.bits())?;
    let mut base = a.mod_floor(&size);
    if b.is_negative() {
        meter.steps(words.saturating_mul(words).saturating_mul(4))?;
        base = base
            .modinv(&size)
            .ok_or_else(|| Raise::value_error("base is not invertible for the given modulus"))?;
    }
    // A square, a product and two reductions for each bit of the exponent.
    let products =
        words.saturating_add(1).saturating_add(words.saturating_mul(words) / (PRODUCTS_PER_STEP / 2));
    meter.steps(b.bits().saturating_mul(products))?;
    let mut power = base.modpow(&BigInt::from(b.magnitude().clone()), &size);
    if m.is_negative() && !power.is_zero() {
        power -= size;
    }
    result(meter, power)
}

/// `round(x, digits)` with `digits < 0`: to the nearest multiple of a power of ten, ties to even.
pub(super) fn round(meter: &mut Meter, x: &BigInt, digits: i64) -> Result<Value> {
    let places = digits.unsigned_abs();
    // 10**places is more than twice |x| then: three bits a digit is less than it has.
    if places > x.bits() / 3 + 1 {
        return Ok(Value::Int(0));
    }
    meter.integer(x.bits())?;
    pay_products(meter, x.bits(), x.bits())?;
    let unit = BigUint::from(10_u8).pow(places as u32);
    let (mut count, rest) = x.magnitude().div_rem(&unit);
    let half = rest * 2_u8;
    if half > unit || (half == unit && count.is_odd()) {
        count += 1_u8;
    }
    result(meter, BigInt::from_biguint(x.sign(), count * unit))
}

/// The int with these digit values, highest first and without leading zeros.
pub(super) fn from_digits(meter: &mut Meter, negative: bool, digits: &[u8], radix: u32) -> Result<Value> {
    // The first digit is at least 1. A little less than exact, as `result` looks again.
    let bits = ((digits.len() as f64 - 1.0) * f64::from(radix).log2() - 0.001).max(0.0) as u64 + 1;
    meter.integer(bits)?;
    pay_radix(meter, bits)?;
    let sign = if negative { Sign::Minus } else { Sign::Plus };
    result(meter, BigInt::from_radix_be(sign, digits, radix).unwrap_or_default())
}

/// Pays for a conversion between binary and decimal.
pub(crate) fn pay_radix(meter: &mut Meter, bits: u64) -> Result<()> {
    meter.steps(limbs(bits))?;
    pay_products(meter, bits, bits)
}

/// `x.bit_length()`; `None` for what is no int.
pub fn bit_length(x: &Value) -> Option<u64> {
    match Number::of(x)? {
        Number::Small(x) => Some(u64::from(u64::BITS - x.unsigned_abs().leading_zeros())),
        Number::Big(x) => Some(x.bits()),
        Number::Float(_) => None,
    }
}

/// `x.bit_count()`: the ones of the absolute value; `None` for what is no int.
pub fn bit_count(x: &Value) -> Option<u64> {
    match Number::of(x)? {
        Number::Small(x) => Some(u64::from(x.unsigned_abs().count_ones())),
        Number::Big(x) => Some(x.magnitude().count_ones()),
        Number::Float(_) => None,
    }
}
