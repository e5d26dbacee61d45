//! A JSON value as text gave it: exact numbers, key order kept. Request bodies, metadata and
//! relationship constraints are documents; parameters become [`Value`]s.

use crate::value::Value;

/// A JSON value.
#[derive(Clone, Debug, PartialEq)]
pub enum Document {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number without fraction or exponent that fits in 64 bits.
    Int(i64),
    /// Any other number without fraction or exponent: its decimal text, `-` or first digit first.
    BigInt(Box<str>),
    /// A number with fraction or exponent. Never NaN or infinite.
    Float(f64),
    /// A string.
    Text(Box<str>),
    /// An array.
    List(Vec<Document>),
    /// An object. Keys are unique; order is the text's.
    Map(Vec<(Box<str>, Document)>),
}

impl Document {
    /// The member of an object with this key.
    pub fn get(&self, key: &str) -> Option<&Document> {
        match self {
            Document::Map(members) => members.iter().find(|(name, _)| &**name == key).map(|(_, value)| value),
            _ => None,
        }
    }

    /// The value a formula sees. Unmetered: the text's size was bounded before.
    ///
    /// # Errors
    /// The offending number where an integer has more bits than `integer_bits` allows.
    pub fn to_value(&self, _integer_bits: u64) -> Result<Value, crate::json::JsonError> {
        todo!()
    }
}
