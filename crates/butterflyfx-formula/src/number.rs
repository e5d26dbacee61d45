//! Numbers: bool, int of any size and float, mixed as Python mixes them.
//!
//! Every function takes any value and answers `None` where an operand is no number, so that
//! [`operate`](crate::operate) can go on to sequences and then to the `TypeError`.

use crate::error::Result;
use crate::meter::Meter;
use crate::operate::{BinaryOp, UnaryOp};
use crate::value::Value;
use std::cmp::Ordering;

/// `a op b` for two numbers. Sizes are checked (`Meter::integer`) before big integers compute.
pub fn binary(_meter: &mut Meter, _op: BinaryOp, _a: &Value, _b: &Value) -> Result<Option<Value>> {
    todo!()
}

/// `-a`, `+a`, `~a` for a number.
pub fn unary(_meter: &mut Meter, _op: UnaryOp, _a: &Value) -> Result<Option<Value>> {
    todo!()
}

/// Exact comparison, int with float without rounding. Outer `None`: an operand is no number;
/// inner `None`: a NaN.
pub fn compare(_a: &Value, _b: &Value) -> Option<Option<Ordering>> {
    todo!()
}

/// A hash that is equal for equal numbers of any kind (`1 == 1.0 == True`).
pub fn hash(_a: &Value) -> Option<u64> {
    todo!()
}

/// `divmod(a, b)`; `None` where an operand is no number.
pub fn divmod(_meter: &mut Meter, _a: &Value, _b: &Value) -> Result<Option<(Value, Value)>> {
    todo!()
}

/// `pow(base, exponent, modulus)`, ints only.
pub fn pow_modulo(_meter: &mut Meter, _base: &Value, _exponent: &Value, _modulus: &Value) -> Result<Value> {
    todo!()
}

/// `round(x)` and `round(x, digits)`.
pub fn round(_meter: &mut Meter, _x: &Value, _digits: Option<&Value>) -> Result<Value> {
    todo!()
}

/// `abs(x)`; `None` where it is no number.
pub fn abs(_meter: &mut Meter, _x: &Value) -> Result<Option<Value>> {
    todo!()
}

/// `int(x)` of a number: truncation; `OverflowError`/`ValueError` for inf and NaN.
pub fn truncate(_meter: &mut Meter, _x: &Value) -> Result<Option<Value>> {
    todo!()
}

/// The float nearest to a number; `OverflowError` ("int too large to convert to float").
pub fn to_f64(_x: &Value) -> Result<Option<f64>> {
    todo!()
}

/// `int(text, base)`; base 10 unless given. The value's repr goes into the message.
pub fn parse_int(_meter: &mut Meter, _text: &str, _base: u32) -> Result<Value> {
    todo!()
}

/// `float(text)`.
pub fn parse_float(_text: &str) -> Result<f64> {
    todo!()
}

/// Decimal digits of an int value (`str`), appended; pays for it.
pub fn int_to_decimal(_meter: &mut Meter, _x: &Value, _out: &mut String) -> Result<()> {
    todo!()
}

/// `bin`, `oct`, `hex` (radix 2, 8, 16) with prefix and sign.
pub fn int_to_radix(_meter: &mut Meter, _x: &Value, _radix: u32) -> Result<String> {
    todo!()
}
