//! Values as a search compares them: by kind, numbers exactly whatever their form, text by code
//! point. Kinds never compare with each other; in a sort they follow one another.

use crate::state::encoding::{Reader, put_length, put_text};
use crate::state::metadata::{Shallow, decode, read_shallow};
use crate::state::vocabulary::Vocabulary;
use butterflyfx_formula::document::Document;
use std::cmp::Ordering;

/// A value to compare. Equal numbers are equal keys: what is whole and fits 64 bits is `Int`,
/// what is whole and does not is `BigInt`, and `Float` is never whole.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    /// `null`
    Null,
    /// `false` before `true`
    Bool(bool),
    /// whole, 64 bits
    Int(i64),
    /// has a fraction
    Float(f64),
    /// whole, beyond 64 bits: decimal digits, `-` first
    BigInt(Box<str>),
    /// a string
    Text(Box<str>),
    /// A list or object in a form that is equal for equal ones; its order means nothing.
    Composite(Box<[u8]>),
}

/// The same, borrowed where it can be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum KeyRef<'a> {
    /// [`Key::Null`]
    Null,
    /// [`Key::Bool`]
    Bool(bool),
    /// [`Key::Int`]
    Int(i64),
    /// [`Key::Float`]
    Float(f64),
    /// [`Key::BigInt`]
    BigInt(&'a str),
    /// [`Key::Text`]
    Text(&'a str),
    /// [`Key::Composite`]
    Composite(&'a [u8]),
}

impl Key {
    pub(crate) fn borrow(&self) -> KeyRef<'_> {
        match self {
            Key::Null => KeyRef::Null,
            Key::Bool(b) => KeyRef::Bool(*b),
            Key::Int(i) => KeyRef::Int(*i),
            Key::Float(x) => KeyRef::Float(*x),
            Key::BigInt(digits) => KeyRef::BigInt(digits),
            Key::Text(text) => KeyRef::Text(text),
            Key::Composite(bytes) => KeyRef::Composite(bytes),
        }
    }

    /// The key of a document.
    pub(crate) fn of(document: &Document) -> Key {
        match document {
            Document::Null => Key::Null,
            Document::Bool(b) => Key::Bool(*b),
            Document::Int(i) => Key::Int(*i),
            Document::Float(x) => of_float(*x),
            Document::BigInt(digits) => of_digits(digits),
            Document::Text(text) => Key::Text(text.clone()),
            Document::List(_) | Document::Map(_) => {
                let mut bytes = Vec::new();
                write_canonical(document, &mut bytes);
                Key::Composite(bytes.into())
            }
        }
    }

    /// The key of an encoded document.
    pub(crate) fn of_encoded(bytes: &[u8], vocabulary: &Vocabulary) -> Key {
        match read_shallow(&mut Reader::new(bytes), vocabulary) {
            Shallow::Null => Key::Null,
            Shallow::Bool(b) => Key::Bool(b),
            Shallow::Int(i) => Key::Int(i),
            Shallow::Float(x) => of_float(x),
            Shallow::BigInt(digits) => of_digits(digits),
            Shallow::Text(text) => Key::Text(text.into()),
            Shallow::List(_) | Shallow::Map(_) => Key::of(&decode(bytes, vocabulary)),
        }
    }

    /// Bytes it holds beyond itself.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Key::BigInt(text) | Key::Text(text) => text.len(),
            Key::Composite(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

impl<'a> KeyRef<'a> {
    pub(crate) fn to_key(self) -> Key {
        match self {
            KeyRef::Null => Key::Null,
            KeyRef::Bool(b) => Key::Bool(b),
            KeyRef::Int(i) => Key::Int(i),
            KeyRef::Float(x) => Key::Float(x),
            KeyRef::BigInt(digits) => Key::BigInt(digits.into()),
            KeyRef::Text(text) => Key::Text(text.into()),
            KeyRef::Composite(bytes) => Key::Composite(bytes.into()),
        }
    }

    /// The order of kinds in a sort; equal for what compares.
    pub(crate) fn kind(self) -> u8 {
        match self {
            KeyRef::Null => 0,
            KeyRef::Bool(_) => 1,
            KeyRef::Int(_) | KeyRef::Float(_) | KeyRef::BigInt(_) => 2,
            KeyRef::Text(_) => 3,
            KeyRef::Composite(_) => 4,
        }
    }

    /// The order under `$gt` and friends: none between kinds, none between lists or objects.
    pub(crate) fn compare(self, other: KeyRef<'_>) -> Option<Ordering> {
        if self.kind() != other.kind() || matches!(self, KeyRef::Composite(_)) {
            return None;
        }
        Some(self.cmp(&other))
    }
}

impl Ord for KeyRef<'_> {
    fn cmp(&self, other: &Self) -> Ordering {
        match (self, other) {
            (KeyRef::Bool(a), KeyRef::Bool(b)) => a.cmp(b),
            (KeyRef::Text(a), KeyRef::Text(b)) => a.cmp(b),
            (KeyRef::Composite(a), KeyRef::Composite(b)) => a.cmp(b),
            (KeyRef::Int(a), KeyRef::Int(b)) => a.cmp(b),
            (KeyRef::Float(a), KeyRef::Float(b)) => a.total_cmp(b),
            (KeyRef::BigInt(a), KeyRef::BigInt(b)) => compare_digits(a, b),
            (KeyRef::Int(a), KeyRef::Float(b)) => compare_int_float(*a, *b),
            (KeyRef::Float(a), KeyRef::Int(b)) => compare_int_float(*b, *a).reverse(),
            (KeyRef::BigInt(a), KeyRef::Int(_) | KeyRef::Float(_)) => sign_of(a),
            (KeyRef::Int(_) | KeyRef::Float(_), KeyRef::BigInt(b)) => sign_of(b).reverse(),
            _ => self.kind().cmp(&other.kind()),
        }
    }
}

impl PartialOrd for KeyRef<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for KeyRef<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for KeyRef<'_> {}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> Ordering {
        self.borrow().cmp(&other.borrow())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Key {}

/// A float that is whole becomes the integer that it is.
pub(crate) fn of_float(x: f64) -> Key {
    if !x.is_finite() || x.trunc() != x {
        return Key::Float(x);
    }
    // 2^63 itself is no i64, -2^63 is one.
    if (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&x) {
        Key::Int(x as i64)
    } else {
        // Zero digits after the point are exact for what is whole.
        Key::BigInt(format!("{x:.0}").into())
    }
}

fn of_digits(digits: &str) -> Key {
    match digits.parse() {
        Ok(small) => Key::Int(small),
        Err(_) => Key::BigInt(digits.into()),
    }
}

/// `x` is not whole, so never equal.
fn compare_int_float(i: i64, x: f64) -> Ordering {
    if x.is_nan() || x == f64::INFINITY {
        return Ordering::Less;
    }
    if x == f64::NEG_INFINITY || i > x.floor() as i64 { Ordering::Greater } else { Ordering::Less }
}

/// Beyond 64 bits the sign alone decides against anything within.
fn sign_of(digits: &str) -> Ordering {
    if digits.starts_with('-') { Ordering::Less } else { Ordering::Greater }
}

fn compare_digits(a: &str, b: &str) -> Ordering {
    match (a.strip_prefix('-'), b.strip_prefix('-')) {
        (None, None) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
        (Some(a), Some(b)) => b.len().cmp(&a.len()).then_with(|| b.cmp(a)),
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
    }
}

/// The same bytes for documents that are equal: numbers by value, objects by sorted key.
fn write_canonical(document: &Document, out: &mut Vec<u8>) {
    match document {
        Document::List(items) => {
            out.push(b'[');
            put_length(items.len() as u64, out);
            for item in items {
                write_canonical(item, out);
            }
        }
        Document::Map(members) => {
            out.push(b'{');
            put_length(members.len() as u64, out);
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            for (key, value) in sorted {
                put_text(key, out);
                write_canonical(value, out);
            }
        }
        scalar => match Key::of(scalar) {
            Key::Null => out.push(b'n'),
            Key::Bool(b) => out.push(if b { b't' } else { b'f' }),
            Key::Int(i) => {
                out.push(b'i');
                out.extend_from_slice(&i.to_le_bytes());
            }
            Key::Float(x) => {
                out.push(b'd');
                out.extend_from_slice(&x.to_bits().to_le_bytes());
            }
            Key::BigInt(text) => {
                out.push(b'b');
                put_text(&text, out);
            }
            Key::Text(text) => {
                out.push(b's');
                put_text(&text, out);
            }
            Key::Composite(_) => {}
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn big(digits: &str) -> Document {
        Document::BigInt(digits.into())
    }

    #[test]
    fn numbers_stand_in_their_order() {
        // Ascending; equal ones share a line. Orders checked with Python's ints and floats.
        let lines: Vec<Vec<Document>> = vec![
            vec![big("-100000000000000000000"), Document::Float(-1e20)],
            vec![big("-9223372036854775809")],
            vec![Document::Int(i64::MIN), Document::Float(-9_223_372_036_854_775_808.0)],
            vec![Document::Float(-1.5)],
            vec![Document::Int(-1), Document::Float(-1.0)],
            vec![Document::Float(-0.5)],
            vec![Document::Int(0), Document::Float(0.0), Document::Float(-0.0)],
            vec![Document::Float(5e-324)],
            vec![Document::Float(0.5)],
            vec![Document::Int(1)],
            vec![Document::Int(9_007_199_254_740_992), Document::Float(9_007_199_254_740_992.0)],
            vec![Document::Int(9_007_199_254_740_993)],
            vec![Document::Int(i64::MAX)],
            vec![big("9223372036854775808"), Document::Float(9_223_372_036_854_775_808.0)],
            vec![big("99999999999999999999")],
            vec![big("100000000000000000000"), Document::Float(1e20)],
            vec![Document::Float(1e23), big("99999999999999991611392")],
            vec![big("100000000000000000000000")],
        ];
        for (i, line) in lines.iter().enumerate() {
            for (j, other) in lines.iter().enumerate() {
                for a in line {
                    for b in other {
                        let (a_key, b_key) = (Key::of(a), Key::of(b));
                        assert_eq!(a_key.cmp(&b_key), i.cmp(&j), "{a:?} and {b:?}");
                        assert_eq!(a_key.borrow().compare(b_key.borrow()), Some(i.cmp(&j)));
                    }
                }
            }
        }
    }

    #[test]
    fn kinds_do_not_compare() {
        let list = |items: &[i64]| Document::List(items.iter().map(|&i| Document::Int(i)).collect());
        let kinds =
            [Document::Null, Document::Bool(true), Document::Int(1), Document::Text("1".into()), list(&[1])];
        for (i, a) in kinds.iter().enumerate() {
            for (j, b) in kinds.iter().enumerate() {
                let (a, b) = (Key::of(a), Key::of(b));
                assert_eq!(a.cmp(&b), i.cmp(&j));
                let expected = (i == j && i != 4).then_some(Ordering::Equal);
                assert_eq!(a.borrow().compare(b.borrow()), expected);
            }
        }
        assert_eq!(
            Key::of(&list(&[1, 2])),
            Key::of(&Document::List(vec![Document::Float(1.0), Document::Int(2)]))
        );
        assert_ne!(Key::of(&list(&[1, 2])), Key::of(&list(&[2, 1])));
    }
}
