//! Documents as bytes: metadata, constraints, lineage.
//!
//! A value is a tag and its content; what repeats, keys of objects and patterns of texts, are
//! numbers of the [`Vocabulary`]. An empty object costs two bytes, `{"name": "substrate_7"}` six
//! where there are more like it.

use crate::state::encoding::{Reader, put_int, put_length, put_text};
use crate::state::vocabulary::{NUMBERS_MAX, Numbers, Vocabulary};
use butterflyfx_formula::document::Document;
use std::borrow::Cow;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const BIG_INT: u8 = 4;
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
const LIST: u8 = 7;
const MAP: u8 = 8;
/// A text of up to 63 bytes: its length is in the tag.
const SHORT_TEXT: u8 = 0x40;
/// An integer from 0 to 127, in the tag.
const SMALL_INT: u8 = 0x80;

/// A text by the number of its pattern and the numbers taken out, which the tag counts.
const PATTERN: u8 = 0x10;
const PATTERN_LAST: u8 = PATTERN + NUMBERS_MAX as u8;

/// Appends a document. Nesting is bounded by whoever read the text.
pub(crate) fn encode(document: &Document, vocabulary: &mut Vocabulary, out: &mut Vec<u8>) {
    match document {
        Document::Null => out.push(NULL),
        Document::Bool(false) => out.push(FALSE),
        Document::Bool(true) => out.push(TRUE),
        Document::Int(i @ 0..=127) => out.push(SMALL_INT | *i as u8),
        Document::Int(i) => {
            out.push(INT);
            put_int(*i, out);
        }
        Document::BigInt(digits) => {
            out.push(BIG_INT);
            put_text(digits, out);
        }
        Document::Float(x) => {
            out.push(FLOAT);
            out.extend_from_slice(&x.to_bits().to_le_bytes());
        }
        Document::Text(text) => encode_text(text, vocabulary, out),
        Document::List(items) => {
            out.push(LIST);
            put_length(items.len() as u64, out);
            for item in items {
                encode(item, vocabulary, out);
            }
        }
        Document::Map(members) => {
            out.push(MAP);
            put_length(members.len() as u64, out);
            for (key, value) in members {
                match vocabulary.key(key) {
                    Some(number) => put_length(u64::from(number) + 1, out),
                    None => {
                        out.push(0);
                        put_text(key, out);
                    }
                }
                encode(value, vocabulary, out);
            }
        }
    }
}

fn encode_text(text: &str, vocabulary: &mut Vocabulary, out: &mut Vec<u8>) {
    if let Some((pattern, numbers)) = vocabulary.pattern(text) {
        out.push(PATTERN + numbers.len() as u8);
        put_length(u64::from(pattern), out);
        numbers.into_iter().for_each(|number| put_length(number, out));
    } else if text.len() < 0x40 {
        out.push(SHORT_TEXT | text.len() as u8);
        out.extend_from_slice(text.as_bytes());
    } else {
        out.push(TEXT);
        put_text(text, out);
    }
}

/// Reads a document back.
pub(crate) fn decode(bytes: &[u8], vocabulary: &Vocabulary) -> Document {
    decode_next(&mut Reader::new(bytes), vocabulary)
}

/// Reads one document and leaves the reader behind it.
pub(crate) fn decode_next(reader: &mut Reader<'_>, vocabulary: &Vocabulary) -> Document {
    match read_shallow(reader, vocabulary) {
        Shallow::Null => Document::Null,
        Shallow::Bool(b) => Document::Bool(b),
        Shallow::Int(i) => Document::Int(i),
        Shallow::BigInt(digits) => Document::BigInt(digits.into()),
        Shallow::Float(x) => Document::Float(x),
        Shallow::Text(text) => Document::Text(text.into()),
        Shallow::List(length) => {
            Document::List((0..length).map(|_| decode_next(reader, vocabulary)).collect())
        }
        Shallow::Map(length) => Document::Map(
            (0..length)
                .map(|_| {
                    let key = match reader.length() {
                        0 => reader.text().into(),
                        number => vocabulary.key_name(number - 1).into(),
                    };
                    (key, decode_next(reader, vocabulary))
                })
                .collect(),
        ),
    }
}

/// A value without its elements, borrowed from the bytes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shallow<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// 64 bits
    Int(i64),
    /// decimal text
    BigInt(&'a str),
    /// finite
    Float(f64),
    /// a string
    Text(Cow<'a, str>),
    /// its number of elements, which follow
    List(u64),
    /// its number of members, which follow
    Map(u64),
}

/// Reads one value up to its elements.
pub(crate) fn read_shallow<'a>(reader: &mut Reader<'a>, vocabulary: &Vocabulary) -> Shallow<'a> {
    match reader.byte() {
        FALSE => Shallow::Bool(false),
        TRUE => Shallow::Bool(true),
        INT => Shallow::Int(reader.int()),
        BIG_INT => Shallow::BigInt(reader.text()),
        FLOAT => Shallow::Float(reader.float()),
        TEXT => Shallow::Text(Cow::Borrowed(reader.text())),
        LIST => Shallow::List(reader.length()),
        MAP => Shallow::Map(reader.length()),
        small if small & SMALL_INT != 0 => Shallow::Int(i64::from(small & !SMALL_INT)),
        short if short & SHORT_TEXT != 0 => {
            Shallow::Text(Cow::Borrowed(reader.text_of(usize::from(short & !SHORT_TEXT))))
        }
        tag @ PATTERN..=PATTERN_LAST => {
            let pattern = reader.length();
            let numbers: Numbers = (PATTERN..tag).map(|_| reader.length()).collect();
            Shallow::Text(Cow::Owned(vocabulary.text(pattern, &numbers)))
        }
        _ => Shallow::Null,
    }
}

fn read_key<'a>(reader: &mut Reader<'a>, vocabulary: &'a Vocabulary) -> &'a str {
    match reader.length() {
        0 => reader.text(),
        number => vocabulary.key_name(number - 1),
    }
}

/// Steps over one value, whatever its nesting, without recursion.
fn skip(reader: &mut Reader<'_>) {
    // What is still to step over: values, and for members of objects a key before the value.
    let mut open: smallvec::SmallVec<[(u64, bool); 8]> = smallvec::smallvec![(1, false)];
    while let Some((left, is_map)) = open.last_mut() {
        if *left == 0 {
            open.pop();
            continue;
        }
        *left -= 1;
        if *is_map && reader.length() == 0 {
            reader.text();
        }
        match reader.byte() {
            LIST => open.push((reader.length(), false)),
            MAP => open.push((reader.length(), true)),
            FLOAT => _ = reader.bytes(8),
            TEXT | BIG_INT => _ = reader.text(),
            small if small & SMALL_INT != 0 => {}
            short if short & SHORT_TEXT != 0 => _ = reader.bytes(usize::from(short & !SHORT_TEXT)),
            INT => _ = reader.length(),
            tag @ PATTERN..=PATTERN_LAST => (PATTERN..=tag).for_each(|_| _ = reader.length()),
            _ => {}
        }
    }
}

/// The bytes of the member that a dotted path names: the key of that whole name first, else the
/// longest head before a dot that is a key and holds an object, and the rest of the path in it.
pub(crate) fn find<'a>(map: &'a [u8], path: &str, vocabulary: &'a Vocabulary) -> Option<&'a [u8]> {
    let mut map = map;
    let mut path = path;
    loop {
        let mut reader = Reader::new(map);
        if reader.byte() != MAP {
            return None;
        }
        let length = reader.length();
        let mut inner: Option<(&[u8], usize)> = None;
        for _ in 0..length {
            let key = read_key(&mut reader, vocabulary);
            let value = reader.rest();
            if key == path {
                return Some(value);
            }
            let is_head = path.len() > key.len()
                && path.as_bytes()[key.len()] == b'.'
                && path.starts_with(key)
                && inner.is_none_or(|(_, length)| key.len() > length)
                && value.first() == Some(&MAP);
            if is_head {
                inner = Some((value, key.len()));
            }
            skip(&mut reader);
        }
        let (value, head) = inner?;
        map = value;
        path = &path[head + 1..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn documents() -> impl Strategy<Value = Document> {
        let leaf = prop_oneof![
            Just(Document::Null),
            any::<bool>().prop_map(Document::Bool),
            any::<i64>().prop_map(Document::Int),
            (-200i64..200).prop_map(Document::Int),
            "-?[1-9][0-9]{19,30}".prop_map(|digits| Document::BigInt(digits.into())),
            prop::num::f64::NORMAL.prop_map(Document::Float),
            ".{0,80}".prop_map(|text| Document::Text(text.into())),
            "[ab]{0,2}[0-9]{1,3}_[0-9]{0,4}".prop_map(|text| Document::Text(text.into())),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Document::List),
                prop::collection::btree_map("[a-c.]{0,3}|.{60,70}", inner, 0..6).prop_map(|members| {
                    Document::Map(members.into_iter().map(|(key, value)| (key.into(), value)).collect())
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn documents_come_back(document in documents(), other in documents()) {
            let mut vocabulary = Vocabulary::default();
            let mut bytes = Vec::new();
            // Twice, so that texts have patterns.
            encode(&document, &mut vocabulary, &mut bytes);
            prop_assert_eq!(decode(&bytes, &vocabulary), document.clone());
            bytes.clear();
            encode(&document, &mut vocabulary, &mut bytes);
            let end = bytes.len();
            encode(&other, &mut vocabulary, &mut bytes);
            prop_assert_eq!(decode(&bytes, &vocabulary), document);
            prop_assert_eq!(decode(&bytes[end..], &vocabulary), other);
            let mut reader = Reader::new(&bytes);
            skip(&mut reader);
            prop_assert_eq!(reader.rest(), &bytes[end..]);
        }
    }

    fn text(text: &str) -> Document {
        Document::Text(text.into())
    }

    fn map(members: &[(&str, Document)]) -> Document {
        Document::Map(members.iter().map(|(key, value)| ((*key).into(), value.clone())).collect())
    }

    #[test]
    fn paths_prefer_whole_keys() {
        let mut vocabulary = Vocabulary::default();
        let document = map(&[
            (
                "a",
                map(&[("b", text("nested")), ("b.c", text("dotted inside")), ("e", Document::List(vec![]))]),
            ),
            ("a.b", text("whole")),
            ("x.y", map(&[("z", text("under dotted"))])),
            ("x", map(&[("y", map(&[("z", text("never"))])), ("w", text("w"))])),
            ("", map(&[("", text("empty"))])),
        ]);
        let mut bytes = Vec::new();
        encode(&document, &mut vocabulary, &mut bytes);
        let check = |path: &str, expected: Option<&str>| {
            let found = find(&bytes, path, &vocabulary).map(|value| decode(value, &vocabulary));
            assert_eq!(found, expected.map(text), "{path}");
        };
        check("a.b", Some("whole"));
        check("a.b.c", Some("dotted inside"));
        check("x.y.z", Some("under dotted"));
        check("x.w", Some("w"));
        check(".", Some("empty"));
        check("a.c", None);
        check("a.b.c.d", None);
        check("a.e.f", None);
        check("nothing", None);
        check("ä.b", None);
    }

    #[test]
    fn small_things_are_small() {
        let check = |document: Document, bytes_max: usize| {
            let mut bytes = Vec::new();
            encode(&document, &mut Vocabulary::default(), &mut bytes);
            assert!(bytes.len() <= bytes_max, "{document:?}: {} bytes", bytes.len());
        };
        check(Document::Map(vec![]), 2);
        check(map(&[("name", text("substrate_7"))]), 15);
        check(Document::Int(100), 1);
        check(Document::Int(-100_000), 4);
    }
}
