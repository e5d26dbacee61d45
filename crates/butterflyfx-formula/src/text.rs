//! A Python str: shared UTF-8 that knows its length in code points.

use std::fmt;
use std::sync::Arc;

/// Immutable text. Indexed by code point in constant time.
#[derive(Clone)]
pub struct Text(Arc<Inner>);

struct Inner {
    /// Code points.
    length: usize,
    /// Byte offsets of the code points [`MARK_DISTANCE`], 2 * [`MARK_DISTANCE`], ...;
    /// empty where each code point is one byte.
    marks: Box<[usize]>,
    text: Box<str>,
}

/// Code points from one remembered byte offset to the next: an index walks over fewer than these.
const MARK_DISTANCE: usize = 128;

impl Text {
    /// Takes a string; counts its code points once.
    pub fn new(text: String) -> Text {
        Text::from_box(text.into_boxed_str())
    }

    fn from_box(text: Box<str>) -> Text {
        if text.is_ascii() {
            return Text(Arc::new(Inner { length: text.len(), marks: Box::default(), text }));
        }
        let mut length = 0;
        let mut marks = Vec::new();
        for (offset, _) in text.char_indices() {
            if length > 0 && length % MARK_DISTANCE == 0 {
                marks.push(offset);
            }
            length += 1;
        }
        Text(Arc::new(Inner { length, marks: marks.into_boxed_slice(), text }))
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
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.length == 0
    }

    /// Whether each code point is one byte.
    #[inline]
    pub fn is_ascii(&self) -> bool {
        self.0.length == self.0.text.len()
    }

    /// The byte offset of code point `index`; of what is past the end, the end.
    #[inline]
    pub fn byte_offset(&self, index: usize) -> usize {
        if self.is_ascii() { index.min(self.0.length) } else { self.marked_byte_offset(index) }
    }

    fn marked_byte_offset(&self, index: usize) -> usize {
        let text = self.as_str();
        if index >= self.0.length {
            return text.len();
        }
        let mark = match index / MARK_DISTANCE {
            0 => 0,
            marks_before => self.0.marks.get(marks_before - 1).copied().unwrap_or(0),
        };
        let rest = text.get(mark..).unwrap_or_default();
        mark + rest.char_indices().nth(index % MARK_DISTANCE).map_or(rest.len(), |(offset, _)| offset)
    }

    /// How many code points begin before byte `offset`; the inverse of
    /// [`byte_offset`](Text::byte_offset).
    pub fn code_point_index(&self, offset: usize) -> usize {
        if self.is_ascii() {
            return offset.min(self.0.length);
        }
        let marks_before = self.0.marks.partition_point(|&mark| mark <= offset);
        let mark = marks_before.checked_sub(1).and_then(|at| self.0.marks.get(at)).copied().unwrap_or(0);
        let between = self.as_str().get(mark..offset).unwrap_or_default();
        marks_before * MARK_DISTANCE + between.chars().count()
    }

    /// The code points from `start` to `stop`, exclusive; none where `start >= stop`.
    pub fn code_points(&self, start: usize, stop: usize) -> &str {
        if start >= stop {
            return "";
        }
        self.as_str().get(self.byte_offset(start)..self.byte_offset(stop)).unwrap_or_default()
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Text {
        Text::from_box(text.into())
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Offsets and indices agree with a walk over all code points.
        #[test]
        fn offsets(text in "[a-cé€😀]{0,600}", start in 0usize..700, stop in 0usize..700) {
            let offsets: Vec<usize> =
                text.char_indices().map(|(offset, _)| offset).chain([text.len()]).collect();
            let value = Text::from(text.as_str());
            prop_assert_eq!(value.len(), offsets.len() - 1);
            for (index, &offset) in offsets.iter().enumerate() {
                prop_assert_eq!(value.byte_offset(index), offset);
                prop_assert_eq!(value.code_point_index(offset), index);
            }
            let expected: String = text.chars().skip(start).take(stop.saturating_sub(start)).collect();
            prop_assert_eq!(value.code_points(start, stop), expected);
        }
    }
}
