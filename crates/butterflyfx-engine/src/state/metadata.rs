//! Documents as bytes: metadata, constraints, lineage.
//!
//! A value is a tag and its content; keys of objects are numbers of a table where they repeat,
//! else text. An empty object costs one byte, `{"name": "substrate_7"}` 14.

use crate::state::encoding::{Reader, put_int, put_length, put_text};
use butterflyfx_formula::document::Document;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

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

/// Keys kept in the table; what comes after them is written out. Bounds a table that nothing
/// shrinks: metadata with ever new keys costs their text, as any other text.
const KEYS_MAX: usize = 16_384;
/// Bytes of a key in the table.
const KEY_BYTES_MAX: usize = 64;

/// The object keys that repeat, by number.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    names: Vec<Box<str>>,
    numbers: HashTable<u32>,
    seed: RandomState,
}

impl Keys {
    /// The number of a key, given now if it is new.
    fn number(&mut self, key: &str) -> Option<u32> {
        let hash = self.seed.hash_one(key);
        if let Some(&number) = self.numbers.find(hash, |&number| &*self.names[number as usize] == key) {
            return Some(number);
        }
        if key.len() > KEY_BYTES_MAX || self.names.len() >= KEYS_MAX {
            return None;
        }
        let number = self.names.len() as u32;
        self.names.push(key.into());
        let (names, seed) = (&self.names, &self.seed);
        self.numbers.insert_unique(hash, number, |&number| seed.hash_one(&*names[number as usize]));
        Some(number)
    }

    /// The key with a number that counts from 1.
    #[inline]
    fn name(&self, number: u64) -> &str {
        self.names.get(number as usize - 1).map_or("", |name| name)
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        let texts: usize = self.names.iter().map(|name| name.len()).sum();
        (texts + self.names.capacity() * size_of::<Box<str>>() + self.numbers.allocation_size()) as u64
    }
}

/// Appends a document. Nesting is bounded by whoever read the text.
pub(crate) fn encode(document: &Document, keys: &mut Keys, out: &mut Vec<u8>) {
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
        Document::Text(text) if text.len() < 0x40 => {
            out.push(SHORT_TEXT | text.len() as u8);
            out.extend_from_slice(text.as_bytes());
        }
        Document::Text(text) => {
            out.push(TEXT);
            put_text(text, out);
        }
        Document::List(items) => {
            out.push(LIST);
            put_length(items.len() as u64, out);
            for item in items {
                encode(item, keys, out);
            }
        }
        Document::Map(members) => {
            out.push(MAP);
            put_length(members.len() as u64, out);
            for (key, value) in members {
                match keys.number(key) {
                    Some(number) => put_length(u64::from(number) + 1, out),
                    None => {
                        out.push(0);
                        put_text(key, out);
                    }
                }
                encode(value, keys, out);
            }
        }
    }
}

/// Reads a document back.
pub(crate) fn decode(bytes: &[u8], keys: &Keys) -> Document {
    decode_next(&mut Reader::new(bytes), keys)
}

/// Reads one document and leaves the reader behind it.
pub(crate) fn decode_next(reader: &mut Reader<'_>, keys: &Keys) -> Document {
    match read_shallow(reader) {
        Shallow::Null => Document::Null,
        Shallow::Bool(b) => Document::Bool(b),
        Shallow::Int(i) => Document::Int(i),
        Shallow::BigInt(digits) => Document::BigInt(digits.into()),
        Shallow::Float(x) => Document::Float(x),
        Shallow::Text(text) => Document::Text(text.into()),
        Shallow::List(length) => Document::List((0..length).map(|_| decode_next(reader, keys)).collect()),
        Shallow::Map(length) => Document::Map(
            (0..length)
                .map(|_| {
                    let key = match reader.length() {
                        0 => reader.text().into(),
                        number => keys.name(number).into(),
                    };
                    (key, decode_next(reader, keys))
                })
                .collect(),
        ),
    }
}

/// A value without its elements, borrowed from the bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
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
    Text(&'a str),
    /// its number of elements, which follow
    List(u64),
    /// its number of members, which follow
    Map(u64),
}

/// Reads one value up to its elements.
pub(crate) fn read_shallow<'a>(reader: &mut Reader<'a>) -> Shallow<'a> {
    match reader.byte() {
        FALSE => Shallow::Bool(false),
        TRUE => Shallow::Bool(true),
        INT => Shallow::Int(reader.int()),
        BIG_INT => Shallow::BigInt(reader.text()),
        FLOAT => Shallow::Float(reader.float()),
        TEXT => Shallow::Text(reader.text()),
        LIST => Shallow::List(reader.length()),
        MAP => Shallow::Map(reader.length()),
        small if small & SMALL_INT != 0 => Shallow::Int(i64::from(small & !SMALL_INT)),
        short if short & SHORT_TEXT != 0 => Shallow::Text(reader.text_of(usize::from(short & !SHORT_TEXT))),
        _ => Shallow::Null,
    }
}

fn read_key<'a>(reader: &mut Reader<'a>, keys: &'a Keys) -> &'a str {
    match reader.length() {
        0 => reader.text(),
        number => keys.name(number),
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
        match read_shallow(reader) {
            Shallow::List(length) => open.push((length, false)),
            Shallow::Map(length) => open.push((length, true)),
            _ => {}
        }
    }
}

/// The bytes of the member that a dotted path names: the key of that whole name first, else the
/// longest head before a dot that is a key and holds an object, and the rest of the path in it.
pub(crate) fn find<'a>(map: &'a [u8], path: &str, keys: &'a Keys) -> Option<&'a [u8]> {
    let mut map = map;
    let mut path = path;
    loop {
        let mut reader = Reader::new(map);
        let Shallow::Map(length) = read_shallow(&mut reader) else { return None };
        let mut inner: Option<(&[u8], usize)> = None;
        for _ in 0..length {
            let key = read_key(&mut reader, keys);
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
            let mut keys = Keys::default();
            let mut bytes = Vec::new();
            encode(&document, &mut keys, &mut bytes);
            let end = bytes.len();
            encode(&other, &mut keys, &mut bytes);
            prop_assert_eq!(decode(&bytes, &keys), document);
            prop_assert_eq!(decode(&bytes[end..], &keys), other);
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
        let mut keys = Keys::default();
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
        encode(&document, &mut keys, &mut bytes);
        let check = |path: &str, expected: Option<&str>| {
            let found = find(&bytes, path, &keys).map(|value| decode(value, &keys));
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
            encode(&document, &mut Keys::default(), &mut bytes);
            assert!(bytes.len() <= bytes_max, "{document:?}: {} bytes", bytes.len());
        };
        check(Document::Map(vec![]), 2);
        check(map(&[("name", text("substrate_7"))]), 15);
        check(Document::Int(100), 1);
        check(Document::Int(-100_000), 4);
    }
}
