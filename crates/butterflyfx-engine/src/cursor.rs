//! Positions in lists, as opaque bytes.
//!
//! A position is the creation number of the last item seen: numbers are never used twice and
//! outlive compaction, so whatever is deleted or created meanwhile, nothing else is skipped or
//! repeated. A sorted list adds the last item's sort key.

use crate::error::EngineError;
use crate::model::Cursor;
use crate::state::encoding::{Reader, put_text};
use crate::state::key::Key;

/// Which list a cursor belongs to: its first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum CursorKind {
    /// Substrates by creation.
    Substrates = 1,
    /// Relationships by creation.
    Relationships = 2,
    /// Substrates by a sort key, then creation.
    Sorted = 3,
}

/// Longer texts in sort keys are cut, so that a cursor fits into a URL.
const TEXT_BYTES_MAX: usize = 256;

/// Writes a position in order of creation.
pub(crate) fn by_creation(kind: CursorKind, sequence: u64) -> Cursor {
    let mut bytes = vec![kind as u8];
    bytes.extend_from_slice(&sequence.to_be_bytes());
    Cursor(bytes)
}

/// Reads a position in order of creation.
pub(crate) fn read_by_creation(cursor: &Cursor, kind: CursorKind) -> Result<u64, EngineError> {
    let (&first, rest) = cursor.0.split_first().ok_or(EngineError::InvalidCursor)?;
    let bytes: [u8; 8] = rest.try_into().map_err(|_| EngineError::InvalidCursor)?;
    if first == kind as u8 { Ok(u64::from_be_bytes(bytes)) } else { Err(EngineError::InvalidCursor) }
}

/// A position in a sorted list.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SortedPosition {
    /// Creation number of the last item.
    pub(crate) sequence: u64,
    /// Its sort key; `None` among those without, which come last.
    pub(crate) key: Option<Key>,
    /// Whether `key` is only the beginning of a long text, or stands for a list or object.
    pub(crate) is_cut: bool,
}

/// Writes a position in a sorted list; `order` is any number that tells orders apart.
pub(crate) fn sorted(order: u32, sequence: u64, key: Option<&Key>) -> Cursor {
    let mut bytes = vec![CursorKind::Sorted as u8];
    bytes.extend_from_slice(&order.to_be_bytes());
    bytes.extend_from_slice(&sequence.to_be_bytes());
    match key {
        None => bytes.push(b'-'),
        Some(Key::Null) => bytes.push(b'n'),
        Some(Key::Bool(b)) => bytes.push(if *b { b't' } else { b'f' }),
        Some(Key::Int(i)) => {
            bytes.push(b'i');
            bytes.extend_from_slice(&i.to_be_bytes());
        }
        Some(Key::Float(x)) => {
            bytes.push(b'd');
            bytes.extend_from_slice(&x.to_bits().to_le_bytes());
        }
        Some(Key::BigInt(text)) => put_cut(b'b', text, &mut bytes),
        Some(Key::Text(text)) => put_cut(b's', text, &mut bytes),
        Some(Key::Composite(_)) => bytes.push(b'c'),
    }
    Cursor(bytes)
}

/// Reads what [`sorted`] wrote for the same order.
pub(crate) fn read_sorted(cursor: &Cursor, order: u32) -> Result<SortedPosition, EngineError> {
    let bytes = cursor.0.as_slice();
    let (head, rest) = bytes.split_at_checked(13).ok_or(EngineError::InvalidCursor)?;
    let (&tag, rest) = rest.split_first().ok_or(EngineError::InvalidCursor)?;
    let mut sequence = [0; 8];
    sequence.copy_from_slice(&head[5..]);
    if head[0] != CursorKind::Sorted as u8 || head[1..5] != order.to_be_bytes() {
        return Err(EngineError::InvalidCursor);
    }
    let eight = || <[u8; 8]>::try_from(rest).map_err(|_| EngineError::InvalidCursor);
    let mut is_cut = false;
    let key = match tag {
        b'i' => Some(Key::Int(i64::from_be_bytes(eight()?))),
        b'd' => Some(Key::Float(f64::from_bits(u64::from_le_bytes(eight()?)))),
        b's' | b'S' | b'b' | b'B' => {
            is_cut = tag.is_ascii_uppercase();
            let text = read_text(rest)?;
            Some(if tag.eq_ignore_ascii_case(&b's') { Key::Text(text) } else { Key::BigInt(digits(text)?) })
        }
        _ if !rest.is_empty() => return Err(EngineError::InvalidCursor),
        b'-' => None,
        b'n' => Some(Key::Null),
        b't' => Some(Key::Bool(true)),
        b'f' => Some(Key::Bool(false)),
        b'c' => {
            is_cut = true;
            Some(Key::Composite(Box::default()))
        }
        _ => return Err(EngineError::InvalidCursor),
    };
    Ok(SortedPosition { sequence: u64::from_be_bytes(sequence), key, is_cut })
}

/// Upper case where the text had to be cut.
fn put_cut(tag: u8, text: &str, bytes: &mut Vec<u8>) {
    if text.len() <= TEXT_BYTES_MAX {
        bytes.push(tag);
        put_text(text, bytes);
    } else {
        bytes.push(tag.to_ascii_uppercase());
        put_text(&text[..text.floor_char_boundary(TEXT_BYTES_MAX)], bytes);
    }
}

fn read_text(bytes: &[u8]) -> Result<Box<str>, EngineError> {
    // One or two bytes of length, then exactly the text.
    let is_length = bytes.iter().take(2).any(|&byte| byte < 0x80);
    if !is_length {
        return Err(EngineError::InvalidCursor);
    }
    let mut reader = Reader::new(bytes);
    let length = reader.length() as usize;
    if length != reader.rest().len() {
        return Err(EngineError::InvalidCursor);
    }
    let text = std::str::from_utf8(reader.rest()).map_err(|_| EngineError::InvalidCursor)?;
    Ok(text.into())
}

fn digits(text: Box<str>) -> Result<Box<str>, EngineError> {
    let digits = text.strip_prefix('-').unwrap_or(&text);
    let good = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if good { Ok(text) } else { Err(EngineError::InvalidCursor) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn positions_come_back() {
        let cursor = by_creation(CursorKind::Substrates, 77);
        assert_eq!(read_by_creation(&cursor, CursorKind::Substrates), Ok(77));
        assert_eq!(read_by_creation(&cursor, CursorKind::Relationships), Err(EngineError::InvalidCursor));
        let check = |key: Option<Key>| {
            let cursor = sorted(5, u64::MAX, key.as_ref());
            let position = SortedPosition { sequence: u64::MAX, key, is_cut: false };
            assert_eq!(read_sorted(&cursor, 5), Ok(position));
            assert_eq!(read_sorted(&cursor, 6), Err(EngineError::InvalidCursor));
        };
        check(None);
        check(Some(Key::Null));
        check(Some(Key::Bool(true)));
        check(Some(Key::Int(-5)));
        check(Some(Key::Float(0.5)));
        check(Some(Key::BigInt("-123456789012345678901".into())));
        check(Some(Key::Text("".into())));
        check(Some(Key::Text("x".repeat(256).into())));
        let long = sorted(5, 1, Some(&Key::Text("ä".repeat(300).into())));
        let read = read_sorted(&long, 5).unwrap();
        assert_eq!((read.key, read.is_cut), (Some(Key::Text("ä".repeat(128).into())), true));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..40), tag in 0u8..4) {
            if let Some(first) = bytes.first_mut() { *first = tag; }
            let cursor = Cursor(bytes);
            let _ = read_by_creation(&cursor, CursorKind::Substrates);
            let order = cursor.0.get(1..5).map_or(0, |b| u32::from_be_bytes([b[0], b[1], b[2], b[3]]));
            let _ = read_sorted(&cursor, order);
        }
    }
}
