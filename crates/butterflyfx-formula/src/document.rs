//! A JSON value as text gave it: exact numbers, key order kept. Request bodies, metadata and
//! relationship constraints are documents; parameters become [`Value`]s.

use crate::dict::Dict;
use crate::json::{self, JsonError, JsonErrorKind, Step};
use crate::text::Text;
use crate::value::Value;
use std::sync::Arc;

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
    /// The offending number where an integer has more bits than `integer_bits` allows. There is
    /// no text any more, so the error has a pointer but no line.
    pub fn to_value(&self, integer_bits: u64) -> Result<Value, JsonError> {
        self.value(integer_bits).map_err(|refusal| JsonError {
            kind: JsonErrorKind::IntegerSize,
            message: refusal.message,
            line: 0,
            column: 0,
            pointer: json::pointer(&refusal.path),
        })
    }

    fn value(&self, integer_bits: u64) -> Result<Value, Box<Refusal>> {
        Ok(match self {
            Document::Null => Value::None,
            Document::Bool(b) => Value::Bool(*b),
            Document::Int(i) => Value::Int(*i),
            Document::BigInt(digits) => json::integer_of_text(digits, integer_bits)
                .map_err(|message| Box::new(Refusal { message, path: Vec::new() }))?,
            Document::Float(x) => Value::Float(*x),
            Document::Text(text) => Value::Str(Text::from(&**text)),
            Document::List(items) => {
                let mut list = Vec::with_capacity(items.len());
                for item in items {
                    match item.value(integer_bits) {
                        Ok(value) => list.push(value),
                        Err(refusal) => return Err(refusal.inside(Step::Element(list.len()))),
                    }
                }
                Value::list(list)
            }
            Document::Map(members) => {
                let mut dict = Dict::new();
                for (key, member) in members {
                    match member.value(integer_bits) {
                        Ok(value) => dict.insert_str(Text::from(&**key), value),
                        Err(refusal) => return Err(refusal.inside(Step::Member(key.to_string()))),
                    };
                }
                Value::Dict(Arc::new(dict))
            }
        })
    }
}

/// A refused number on its way out; the path grows from the inside out.
struct Refusal {
    message: String,
    path: Vec<Step>,
}

impl Refusal {
    fn inside(mut self: Box<Refusal>, step: Step) -> Box<Refusal> {
        self.path.push(step);
        self
    }
}
