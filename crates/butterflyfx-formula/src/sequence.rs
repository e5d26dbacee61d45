//! What str, list, tuple, dict and range share: subscripts, slices, `in`, `+`, `*`, `len`.

use crate::error::Result;
use crate::meter::Meter;
use crate::value::Value;

/// `receiver[index]`; also dict. `TypeError`, `IndexError`, `KeyError` with CPython's messages.
pub fn subscript(_meter: &mut Meter, _receiver: &Value, _index: &Value) -> Result<Value> {
    todo!()
}

/// `receiver[start:stop:step]`; absent bounds are `Value::None`.
pub fn slice(
    _meter: &mut Meter,
    _receiver: &Value,
    _start: &Value,
    _stop: &Value,
    _step: &Value,
) -> Result<Value> {
    todo!()
}

/// `len(value)`.
pub fn len(_meter: &mut Meter, _value: &Value) -> Result<u64> {
    todo!()
}

/// `a + b` of two strs, lists or tuples; `None` for other pairs.
pub fn concat(_meter: &mut Meter, _a: &Value, _b: &Value) -> Result<Option<Value>> {
    todo!()
}

/// `a * b` where one side is a sequence and the other an int; `None` for other pairs.
pub fn repeat(_meter: &mut Meter, _a: &Value, _b: &Value) -> Result<Option<Value>> {
    todo!()
}
