//! JSON text in and out, exactly: integers of any size, floats with a fraction or exponent.

use crate::document::Document;
use crate::error::Result as Evaluated;
use crate::meter::Meter;
use crate::value::Value;
use std::fmt;

/// Why a text is not acceptable JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonErrorKind {
    /// Not JSON: syntax, NaN, invalid UTF-8, lone surrogate.
    Syntax,
    /// A key twice in one object.
    DuplicateKey(String),
    /// Nested deeper than asked for.
    TooDeep,
    /// A number beyond the range of a float, or an integer beyond a limit.
    NumberRange,
}

/// A refused JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The class.
    pub kind: JsonErrorKind,
    /// One sentence a person can act on.
    pub message: String,
    /// Line from 1.
    pub line: u32,
    /// Column in code points from 1.
    pub column: u32,
    /// JSON Pointer (RFC 6901) to the value where it is known, else empty.
    pub pointer: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for JsonError {}

/// Reads a whole JSON text.
pub fn read_document(_text: &[u8], _depth_max: usize) -> Result<Document, JsonError> {
    todo!()
}

/// Reads a whole JSON text straight into a value (the hot path of parameters).
pub fn read_value(_text: &[u8], _depth_max: usize, _integer_bits: u64) -> Result<Value, JsonError> {
    todo!()
}

/// Writes a result. `result_not_json` for NaN, infinity, functions, iterators, ranges, views,
/// keys that are equal as text; limits for size and depth.
pub fn write_value(_meter: &mut Meter, _value: &Value, _out: &mut String) -> Evaluated<()> {
    todo!()
}

/// Writes a document.
pub fn write_document(_document: &Document, _out: &mut String) {
    todo!()
}

/// Writes a JSON string with quotes.
pub fn write_text(_text: &str, _out: &mut String) {
    todo!()
}
