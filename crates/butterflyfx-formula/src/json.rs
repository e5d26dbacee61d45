//! JSON text in and out, exactly: integers of any size, floats with a fraction or exponent.
//!
//! A reader and a writer of our own, because a formula's numbers must come in and go out as
//! they are (kind and every digit), a key that stands twice must be refused, depth and size are
//! bounded, each refusal names line, column and pointer, and all this is the hot path of an
//! invocation. One reader serves documents and values; the writer pays the meter as it goes.

mod column;
mod pull;
mod read;
mod write;

use std::fmt;

pub use column::{Column, ColumnValues};
pub use pull::{Members, Pull};
pub(crate) use read::integer_of_text;
pub use read::{read_document, read_value};
pub use write::{normalize, write_document, write_float, write_text, write_value};

/// Containers inside each other that reader and writer take at most, whatever depth is asked
/// for: both recurse, and the thread's stack must hold it.
pub const DEPTH_MAX: usize = 500;

/// Why a text is not acceptable JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonErrorKind {
    /// Not JSON: syntax, NaN, invalid UTF-8, lone surrogate.
    Syntax,
    /// A key twice in one object.
    DuplicateKey(String),
    /// Nested deeper than asked for.
    TooDeep,
    /// A number beyond the range of a float.
    NumberRange,
    /// An integer with more bits than asked for.
    IntegerSize,
}

/// A refused JSON text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonError {
    /// The class.
    pub kind: JsonErrorKind,
    /// One sentence a person can act on.
    pub message: String,
    /// Line from 1; 0 where there is no text (a document that was read before).
    pub line: u32,
    /// Column in code points from 1; 0 where there is no text.
    pub column: u32,
    /// JSON Pointer (RFC 6901) to the value where it is known, else empty. Where the pointer
    /// would grow long it names an enclosing value.
    pub pointer: String,
}

impl fmt::Display for JsonError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.pointer.as_str()) {
            (0, "") => out.write_str(&self.message),
            (0, pointer) => write!(out, "{pointer}: {}", self.message),
            (line, _) => write!(out, "line {line}, column {}: {}", self.column, self.message),
        }
    }
}

impl std::error::Error for JsonError {}

/// Bytes a pointer may grow to; a hostile text chooses its keys.
const POINTER_BYTES_MAX: usize = 1_024;

/// A step from a container to one of its values.
#[derive(Debug)]
pub(crate) enum Step {
    Element(usize),
    Member(String),
}

/// The JSON Pointer of a path that was collected from the inside out.
pub(crate) fn pointer(path: &[Step]) -> String {
    let mut pointer = String::new();
    for step in path.iter().rev() {
        let before = pointer.len();
        pointer.push('/');
        match step {
            Step::Element(index) => pointer.push_str(&index.to_string()),
            Step::Member(key) => pointer.push_str(&key.replace('~', "~0").replace('/', "~1")),
        }
        if pointer.len() > POINTER_BYTES_MAX {
            pointer.truncate(before);
            break;
        }
    }
    pointer
}

/// At most about 40 characters of a text, for a message.
fn clip(text: &str) -> String {
    const CHARACTERS_MAX: usize = 40;
    match text.char_indices().nth(CHARACTERS_MAX) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests;
