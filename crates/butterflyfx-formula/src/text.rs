//! A Python str: shared UTF-8 that knows its length in code points.

use std::fmt;
use std::sync::Arc;

/// Immutable text. Indexed by code point, in constant time where it is ASCII.
#[derive(Clone)]
pub struct Text(Arc<Inner>);

struct Inner {
    /// Code points.
    length: usize,
    text: Box<str>,
}

impl Text {
    /// Takes a string; counts its code points once.
    pub fn new(text: String) -> Text {
        Text::from(text.as_str())
    }

    /// The text as UTF-8.
    #[inline]
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Code points.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.length
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.length == 0
    }

    /// Whether each code point is one byte.
    #[inline]
    pub fn is_ascii(&self) -> bool {
        self.0.length == self.0.text.len()
    }

    /// The byte offset of code point `index`; `index == len` gives the end.
    /// Linear for text that is not ASCII: charge steps for it.
    pub fn byte_offset(&self, index: usize) -> usize {
        if self.is_ascii() {
            return index;
        }
        self.as_str().char_indices().nth(index).map_or(self.as_str().len(), |(offset, _)| offset)
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        let length = if text.is_ascii() { text.len() } else { text.chars().count() };
        Text(Arc::new(Inner { length, text: text.into() }))
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.as_str() == other.as_str()
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(out)
    }
}
