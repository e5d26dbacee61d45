//! Values as text: `str`, `repr`, and `format` with its mini-language.

use crate::error::Result;
use crate::meter::Meter;
use crate::value::Value;

/// `repr(value)`, appended. Functions and iterators, whose repr shows an address, are a `TypeError`.
pub fn repr(_meter: &mut Meter, _value: &Value, _out: &mut String) -> Result<()> {
    todo!()
}

/// `str(value)`, appended.
pub fn str(_meter: &mut Meter, _value: &Value, _out: &mut String) -> Result<()> {
    todo!()
}

/// `format(value, spec)`, appended.
pub fn format(_meter: &mut Meter, _value: &Value, _spec: &str, _out: &mut String) -> Result<()> {
    todo!()
}

/// `repr` of a float, appended: shortest digits, `1e+16` style exponents, `nan`, `inf`.
pub fn float_repr(_x: f64, _out: &mut String) {
    todo!()
}
