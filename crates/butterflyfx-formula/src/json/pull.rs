//! Reading JSON piece by piece, straight into where it goes: the fast way of bodies whose form is
//! known beforehand.
//!
//! It takes what [`read_document`](super::read_document) takes where all is as expected, and says
//! nothing but `None` where anything is not: the caller reads the text again the other way, which
//! finds the error, its words and its place. One grammar serves both ([`Reader`]), so the two
//! cannot come to different values.

use super::DEPTH_MAX;
use super::read::{Documents, Reader, Values};
use crate::dict::Dict;
use crate::document::Document;
use crate::text::Text;
use crate::value::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// A JSON text that is read from its start.
pub struct Pull<'a> {
    reader: Reader<'a>,
    values: Values,
}

/// Where the reading of an object or array stands: before its first member, or behind one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Members {
    is_first: bool,
    close: u8,
}

impl<'a> Pull<'a> {
    /// At the start of a text; `None` where it is not UTF-8.
    pub fn new(text: &'a [u8], depth_max: usize, integer_bits: u64) -> Option<Pull<'a>> {
        let text = std::str::from_utf8(text).ok()?;
        let bytes = text.as_bytes();
        let mut reader = Reader { text, bytes, at: 0, depth_left: depth_max.min(DEPTH_MAX), depth_max };
        reader.skip_blanks();
        Some(Pull { reader, values: Values { integer_bits } })
    }

    /// Opens an object.
    #[inline]
    pub fn object(&mut self) -> Option<Members> {
        self.open(b'{', b'}')
    }

    /// Opens an array.
    #[inline]
    pub fn array(&mut self) -> Option<Members> {
        self.open(b'[', b']')
    }

    #[inline]
    fn open(&mut self, open: u8, close: u8) -> Option<Members> {
        if self.reader.peek() != Some(open) {
            return None;
        }
        self.reader.enter().ok()?;
        self.reader.at += 1;
        self.reader.skip_blanks();
        Some(Members { is_first: true, close })
    }

    /// Goes to the next element of an array: `Some(true)`, or `Some(false)` past its end.
    #[inline]
    pub fn element(&mut self, members: &mut Members) -> Option<bool> {
        let is_first = std::mem::replace(&mut members.is_first, false);
        self.reader.skip_blanks();
        match self.reader.peek()? {
            close if close == members.close => {
                self.reader.at += 1;
                self.reader.depth_left += 1;
                Some(false)
            }
            _ if is_first => Some(true),
            b',' => {
                self.reader.at += 1;
                self.reader.skip_blanks();
                // A comma before the end is an error.
                (self.reader.peek()? != members.close).then_some(true)
            }
            _ => None,
        }
    }

    /// The key of an object's next member, read up to its value: `Some(None)` past the end.
    #[inline]
    pub fn key(&mut self, members: &mut Members) -> Option<Option<Cow<'a, str>>> {
        if !self.element(members)? {
            return Some(None);
        }
        let key = self.text()?;
        self.reader.skip_blanks();
        if self.reader.peek()? != b':' {
            return None;
        }
        self.reader.at += 1;
        self.reader.skip_blanks();
        Some(Some(key))
    }

    /// A string.
    #[inline]
    pub fn text(&mut self) -> Option<Cow<'a, str>> {
        if self.reader.peek()? != b'"' {
            return None;
        }
        self.reader.string().ok()
    }

    /// `true` or `false`.
    pub fn boolean(&mut self) -> Option<bool> {
        match self.reader.value(&self.values).ok()? {
            Value::Bool(truth) => Some(truth),
            _ => None,
        }
    }

    /// An object, as a document.
    pub fn map(&mut self) -> Option<Document> {
        if self.reader.peek()? != b'{' {
            return None;
        }
        self.document()
    }

    /// Any value, as a document.
    pub fn document(&mut self) -> Option<Document> {
        self.reader.value(&Documents).ok()
    }

    /// Any value, as a formula sees it.
    #[inline]
    pub fn value(&mut self) -> Option<Value> {
        self.reader.value(&self.values).ok()
    }

    /// An object into a dict that held another: where the keys are the same nothing is allocated.
    /// A dict that somebody else still holds is left to them.
    pub fn dict(&mut self, into: &mut Arc<Dict>) -> Option<()> {
        if Arc::get_mut(into).is_none() {
            *into = Arc::new(Dict::new());
        }
        let dict = Arc::get_mut(into)?;
        let mut members = self.object()?;
        let mut count = 0;
        while let Some(key) = self.key(&mut members)? {
            let value = self.reader.value(&self.values).ok()?;
            if !dict.is_key_at(count, &key) {
                dict.truncate(count);
                if !dict.insert_str(Text::from(&*key), value) {
                    return None;
                }
            } else {
                dict.set_value_at(count, value);
            }
            count += 1;
        }
        dict.truncate(count);
        Some(())
    }

    /// Whether nothing but blanks is left.
    pub fn is_at_end(&mut self) -> bool {
        self.reader.skip_blanks();
        self.reader.peek().is_none()
    }
}

impl std::fmt::Debug for Pull<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Pull").field("at", &self.reader.at).finish_non_exhaustive()
    }
}
