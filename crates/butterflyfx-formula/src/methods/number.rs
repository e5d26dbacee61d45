//! Methods of int (and bool, which is one) and float.

use super::{Method, missing};
use crate::builtins::arguments;
use crate::error::Result;
use crate::interpret::Arguments;
use crate::value::Value;

/// Calls a method of a number.
pub(super) fn call(receiver: &Value, method: Method, arguments: Arguments<'_>) -> Result<Value> {
    match (method, receiver) {
        (Method::IsInteger, Value::Float(x)) => {
            arguments::none("float.is_integer", arguments)?;
            Ok(Value::Bool(x.is_finite() && x.fract() == 0.0))
        }
        (Method::IsInteger, _) => {
            arguments::none("int.is_integer", arguments)?;
            Ok(Value::Bool(true))
        }
        (Method::BitLength, _) => {
            arguments::none("int.bit_length", arguments)?;
            let bits = match receiver {
                Value::BigInt(big) => big.bits(),
                small => u64::from(u64::BITS - small_magnitude(small).leading_zeros()),
            };
            Ok(Value::Int(bits as i64))
        }
        (Method::BitCount, _) => {
            arguments::none("int.bit_count", arguments)?;
            let ones = match receiver {
                Value::BigInt(big) => big.iter_u64_digits().map(|digit| u64::from(digit.count_ones())).sum(),
                small => u64::from(small_magnitude(small).count_ones()),
            };
            Ok(Value::Int(ones as i64))
        }
        _ => Err(missing(receiver, method)),
    }
}

/// The magnitude of an int that fits in 64 bits.
fn small_magnitude(value: &Value) -> u64 {
    match value {
        Value::Int(value) => value.unsigned_abs(),
        Value::Bool(value) => u64::from(*value),
        _ => 0,
    }
}
