//! Integer functions of any size: `gcd lcm isqrt factorial comb perm`.
//!
//! The size of a result is bounded before it is computed, and big-integer work is paid for
//! limb by limb: products by their limbs, gcd and square root by their square.

use crate::error::{Raise, Result};
use crate::meter::Meter;
use crate::value::Value;
use num_bigint::BigInt;
use num_integer::Integer;
use num_traits::{One, Signed, ToPrimitive, Zero};
use std::borrow::Cow;

/// An argument as an int; bool is one.
fn index(value: &Value) -> Result<Cow<'_, BigInt>> {
    match value {
        Value::Int(i) => Ok(Cow::Owned(BigInt::from(*i))),
        Value::Bool(b) => Ok(Cow::Owned(BigInt::from(i64::from(*b)))),
        Value::BigInt(big) => Ok(Cow::Borrowed(big)),
        other => Err(Raise::type_error(format!(
            "'{}' object cannot be interpreted as an integer",
            other.type_name()
        ))),
    }
}

/// An argument that fits in 64 bits, without a big integer.
fn small(value: &Value) -> Option<i64> {
    match value {
        Value::Int(i) => Some(*i),
        Value::Bool(b) => Some(i64::from(*b)),
        _ => None,
    }
}

fn limbs(x: &BigInt) -> u64 {
    x.bits().div_ceil(64)
}

/// Pays for a big result that was bounded before.
fn paid(meter: &mut Meter, x: BigInt) -> Result<Value> {
    meter.integer(x.bits())?;
    Ok(Value::big(x))
}

/// A positive int as a float from 0.5 up to 1 and a power of two, rounded half to even.
pub(super) fn mantissa_and_exponent(x: &BigInt) -> (f64, u64) {
    let bits = x.bits();
    let mut top: u64 = if bits > 64 {
        let shift = bits - 64;
        let top = (x.magnitude() >> shift).to_u64().unwrap_or(u64::MAX);
        // Whether anything lies below: it decides a tie, and 11 bits below the 53 are left.
        let exact = x.magnitude().trailing_zeros().is_some_and(|zeros| zeros >= shift);
        if exact { top } else { top | 1 }
    } else {
        x.magnitude().to_u64().unwrap_or(0)
    };
    if bits < 64 {
        top <<= 64 - bits;
    }
    let mantissa = top as f64 / 18_446_744_073_709_551_616.0;
    if mantissa < 1.0 { (mantissa, bits) } else { (0.5, bits + 1) }
}

/// `math.gcd(*integers)`
pub(super) fn gcd(meter: &mut Meter, numbers: &[Value]) -> Result<Value> {
    meter.steps(numbers.len() as u64)?;
    let mut result = BigInt::zero();
    for number in numbers {
        result = gcd_of(meter, &result, &*index(number)?)?;
    }
    Ok(Value::big(result))
}

fn gcd_of(meter: &mut Meter, a: &BigInt, b: &BigInt) -> Result<BigInt> {
    if let (Some(a), Some(b)) = (a.to_i64(), b.to_i64()) {
        return Ok(BigInt::from(a.unsigned_abs().gcd(&b.unsigned_abs())));
    }
    if a.is_zero() || b.is_zero() {
        return Ok(if a.is_zero() { b.abs() } else { a.abs() });
    }
    meter.steps(limbs(a) * limbs(b))?;
    // One division first: an Euclidean step makes a short number of a long one.
    let (long, short) = if a.bits() < b.bits() { (b, a) } else { (a, b) };
    Ok((long % short).gcd(short))
}

/// `math.gcd(a, b)`, where it fits in 64 bits, and so does what [`gcd`] has after its first argument: a step for limbs is
/// charged where that does not.
pub(super) fn small_gcd(a: i64, b: i64) -> Option<i64> {
    i64::try_from(a.checked_abs()?.unsigned_abs().gcd(&b.unsigned_abs())).ok()
}

/// `math.lcm(a, b)`, where [`lcm`] charges nothing for a product.
pub(super) fn small_lcm(a: i64, b: i64) -> Option<i64> {
    let (a, b) = (a.checked_abs()?, b.checked_abs()?);
    if a == 0 || b == 0 {
        return Some(0);
    }
    let bits = |x: i64| i64::BITS - x.leading_zeros();
    let factor = a / small_gcd(a, b)?;
    if bits(factor) + bits(b) > i64::BITS { None } else { factor.checked_mul(b) }
}

/// `math.lcm(*integers)`
pub(super) fn lcm(meter: &mut Meter, numbers: &[Value]) -> Result<Value> {
    meter.steps(numbers.len() as u64)?;
    let mut result = BigInt::one();
    for number in numbers {
        let number = index(number)?;
        if result.is_zero() || number.is_zero() {
            result = BigInt::zero();
            continue;
        }
        let factor = &result / gcd_of(meter, &result, &number)?;
        // A product has the bits of its factors together, or one less.
        meter.integer(factor.bits() + number.bits() - 1)?;
        result = (factor * &*number).abs();
    }
    paid(meter, result)
}

/// `math.isqrt(n)`
pub(super) fn isqrt(meter: &mut Meter, n: &Value) -> Result<Value> {
    let n = index(n)?;
    if n.is_negative() {
        return Err(Raise::value_error("isqrt() argument must be nonnegative"));
    }
    match n.to_u64() {
        Some(small) => Ok(Value::Int(i64::try_from(small.isqrt()).unwrap_or(i64::MAX))),
        None => {
            meter.steps(limbs(&n) * limbs(&n))?;
            paid(meter, n.sqrt())
        }
    }
}

/// The least bits that `n!` can have, close below the true number.
fn factorial_bits_min(n: u64) -> u64 {
    // Stirling's formula without its last terms, which are positive.
    let n = n as f64;
    let bits = n * (n.log2() - std::f64::consts::LOG2_E);
    if bits > 0.0 { (bits * (1.0 - 1e-9)) as u64 } else { 0 }
}

/// `math.factorial(n)`, where it fits in 64 bits.
pub(super) fn small_factorial(n: u64) -> Option<i64> {
    (n <= 20).then(|| (1..=n.cast_signed()).product())
}

/// `math.factorial(n)`
pub(super) fn factorial(meter: &mut Meter, n: &Value) -> Result<Value> {
    if matches!(n, Value::BigInt(big) if big.is_positive()) {
        return Err(Raise::overflow_error(format!("factorial() argument should not exceed {}", i64::MAX)));
    }
    let n = index(n)?;
    let Some(n) = n.to_u64() else {
        return Err(Raise::value_error("factorial() not defined for negative values"));
    };
    if let Some(product) = small_factorial(n) {
        return Ok(Value::Int(product));
    }
    falling_product(meter, &BigInt::from(n), n, factorial_bits_min(n))
}

/// `n * (n-1) * ...`, `count` factors; `bits_min` is known of the result. Refused as soon as the
/// limit is passed, which large factors do within as many steps as the limit has bits.
fn falling_product(meter: &mut Meter, n: &BigInt, count: u64, bits_min: u64) -> Result<Value> {
    within_limit(meter, bits_min)?;
    let mut product = BigInt::one();
    let mut factor = n.clone();
    for _ in 0..count {
        meter.steps(1 + limbs(&product))?;
        product *= &factor;
        factor -= 1;
        within_limit(meter, product.bits())?;
    }
    paid(meter, product)
}

/// Refuses a size beyond the limit; charges nothing.
fn within_limit(meter: &mut Meter, bits: u64) -> Result<()> {
    if bits > meter.limits().integer_bits { meter.integer(bits) } else { Ok(()) }
}

/// `n` and `k` of comb and perm, checked. Both fit in 64 bits where the second is `Some`.
fn choice<'a>(n: &'a Value, k: &'a Value) -> Result<(Cow<'a, BigInt>, Cow<'a, BigInt>)> {
    let (n, k) = (index(n)?, index(k)?);
    if n.is_negative() {
        return Err(Raise::value_error("n must be a non-negative integer"));
    }
    if k.is_negative() {
        return Err(Raise::value_error("k must be a non-negative integer"));
    }
    Ok((n, k))
}

/// `math.perm(n, k=None)`
pub(super) fn perm(meter: &mut Meter, n: &Value, k: &Value) -> Result<Value> {
    if matches!(k, Value::None) {
        return factorial(meter, n);
    }
    let (n, k) = choice(n, k)?;
    if n < k {
        return Ok(Value::Int(0));
    }
    let Some(k) = k.to_i64() else {
        return Err(Raise::overflow_error(format!("k must not exceed {}", i64::MAX)));
    };
    let k = k.unsigned_abs();
    falling_product(meter, &n, k, factorial_bits_min(k))
}

/// `math.comb(n, k)`
pub(super) fn comb(meter: &mut Meter, n: &Value, k: &Value) -> Result<Value> {
    if let (Some(n @ 0..), Some(k @ 0..)) = (small(n), small(k))
        && let Some(result) = small_comb(n.unsigned_abs(), k.unsigned_abs())
    {
        return Ok(Value::Int(result));
    }
    let (n, k) = choice(n, k)?;
    let rest = &*n - &*k;
    if rest.is_negative() {
        return Ok(Value::Int(0));
    }
    let k = if rest < *k { rest } else { k.into_owned() };
    let Some(k) = k.to_i64() else {
        return Err(Raise::overflow_error(format!("min(n - k, k) must not exceed {}", i64::MAX)));
    };
    let k = k.unsigned_abs();
    // comb(n, k) >= (n/k)**k >= 2**k, as k is at most half of n.
    within_limit(meter, k)?;
    let mut result = BigInt::one();
    let mut factor = n.into_owned();
    for divisor in 1..=k {
        meter.steps(1 + 2 * limbs(&result))?;
        result = result * &factor / divisor;
        factor -= 1;
        within_limit(meter, result.bits())?;
    }
    paid(meter, result)
}

/// `comb` where each step fits in 128 bits and the result in 63.
fn small_comb(n: u64, k: u64) -> Option<i64> {
    if k > n {
        return Some(0);
    }
    let k = k.min(n - k);
    if k > 64 {
        return None;
    }
    let mut result: u128 = 1;
    for divisor in 1..=k {
        result = result * u128::from(n - divisor + 1) / u128::from(divisor);
        if result > i64::MAX as u128 {
            return None;
        }
    }
    i64::try_from(result).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mantissas_round_half_to_even() {
        for (x, expected) in [
            (BigInt::one() << 2000, (0.5, 2001)),
            ((BigInt::one() << 2000) - 1, (0.5, 2001)),
            ((BigInt::one() << 2000) + 1, (0.5, 2001)),
            (BigInt::from(5), (0.625, 3)),
            (BigInt::from((1_u64 << 53) + 1), (0.5, 54)),
            (BigInt::from((1_u64 << 53) + 3), (0.500_000_000_000_000_2, 54)),
            ((BigInt::from((1_u64 << 53) + 1) << 1000) + 1, (0.500_000_000_000_000_1, 1054)),
        ] {
            assert_eq!(mantissa_and_exponent(&x), expected, "{x}");
        }
    }
}
