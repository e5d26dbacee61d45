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
        self.member_key().map(Some)
    }

    /// The colon behind a key, and the blanks around it.
    #[inline]
    fn colon(&mut self) -> Option<()> {
        self.reader.skip_blanks();
        if self.reader.peek()? != b':' {
            return None;
        }
        self.reader.at += 1;
        self.reader.skip_blanks();
        Some(())
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

    /// An object into a dict that held another: where the keys are the same nothing is allocated,
    /// and the answer is true. A dict that somebody else still holds is left to them.
    pub fn dict(&mut self, into: &mut Arc<Dict>) -> Option<bool> {
        let mut is_same = true;
        if Arc::get_mut(into).is_none() {
            *into = Arc::default();
            is_same = false;
        }
        let dict = Arc::get_mut(into)?;
        let mut members = self.object()?;
        let mut count = 0;
        loop {
            let is_key_there = self.element(&mut members)? && {
                match dict.key_at(count) {
                    Some(key) if self.skip_key(key) => true,
                    _ => {
                        is_same = false;
                        self.other_key(dict, count)?;
                        count += 1;
                        continue;
                    }
                }
            };
            if !is_key_there {
                break;
            }
            dict.set_value_at(count, self.plain_value()?);
            count += 1;
        }
        if count < dict.len() {
            dict.truncate(count);
            is_same = false;
        }
        Some(is_same)
    }

    /// Passes over a key with its colon, if this is the key and it is written plainly.
    #[inline]
    fn skip_key(&mut self, key: &str) -> bool {
        let start = self.reader.at;
        let Some([b'"', rest @ ..]) = self.reader.bytes.get(start..) else { return false };
        let Some((text, [b'"', after @ ..])) = rest.split_at_checked(key.len()) else { return false };
        // Most names are shorter than a call of a comparison is worth. What had to be escaped in a
        // key is left to the reader: written plainly it would end the string, or be refused.
        let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
        if !text.iter().zip(key.as_bytes()).all(|(a, b)| a == b && is_plain(*a)) {
            return false;
        }
        match after {
            [b':', b' ', next, ..] if *next > b' ' => self.reader.at = start + key.len() + 4,
            [b':', next, ..] if *next > b' ' => self.reader.at = start + key.len() + 3,
            _ => return false,
        }
        true
    }

    /// Which of these is the name of an object's next member, read up to its value: `Some(None)` past the end, `None` where
    /// it is none of them. Names written plainly are compared in place.
    #[inline]
    pub fn member<const N: usize>(
        &mut self,
        members: &mut Members,
        names: [&'static str; N],
    ) -> Option<Option<usize>> {
        if !self.element(members)? {
            return Some(None);
        }
        match names.iter().position(|name| self.passes(name)) {
            Some(at) => Some(Some(at)),
            None => self.other_member(&names).map(Some),
        }
    }

    /// Passes over a name with its colon, where it stands here and its value follows at once.
    #[inline]
    fn passes(&mut self, name: &str) -> bool {
        let Some([b'"', rest @ ..]) = self.reader.bytes.get(self.reader.at..) else { return false };
        let blanks = match rest.strip_prefix(name.as_bytes()) {
            Some([b'"', b':', b' ', next, ..]) if *next > b' ' => 1,
            Some([b'"', b':', next, ..]) if *next > b' ' => 0,
            _ => return false,
        };
        self.reader.at += name.len() + 3 + blanks;
        true
    }

    #[cold]
    fn other_member(&mut self, names: &[&str]) -> Option<usize> {
        let key = self.member_key()?;
        names.iter().position(|name| **name == *key)
    }

    /// The key that stands here, read up to its value; behind [`Pull::element`].
    fn member_key(&mut self) -> Option<Cow<'a, str>> {
        let key = self.text()?;
        self.colon()?;
        Some(key)
    }

    /// A member whose key is not the one that stood here before.
    fn other_key(&mut self, dict: &mut Dict, count: usize) -> Option<()> {
        let key = self.text()?;
        self.colon()?;
        let value = self.reader.value(&self.values).ok()?;
        dict.truncate(count);
        dict.insert_str(Text::from(&*key), value).then_some(())
    }

    /// An element of an array, with a short way for small whole numbers.
    #[inline]
    pub(super) fn element_value(&mut self) -> Option<Value> {
        self.plain_value_before(b']')
    }

    /// A member's value.
    #[inline]
    fn plain_value(&mut self) -> Option<Value> {
        self.plain_value_before(b'}')
    }

    /// A value, with a short way for small whole numbers that a comma or `close` follows.
    #[inline]
    fn plain_value_before(&mut self, close: u8) -> Option<Value> {
        let mut number: i64 = 0;
        let digits = self.reader.bytes.get(self.reader.at..)?;
        for (count, &byte) in digits.iter().enumerate() {
            match byte {
                // A leading zero and what follows it is for the reader to judge.
                b'0'..=b'9' if count < 17 && (number > 0 || count == 0) => {
                    number = number * 10 + i64::from(byte - b'0');
                }
                _ if (byte == b',' || byte == close) && count > 0 => {
                    self.reader.at += count;
                    return Some(Value::Int(number));
                }
                _ => break,
            }
        }
        self.reader.value(&self.values).ok()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::{read_value, write_value};
    use crate::limits::Limits;
    use crate::meter::Meter;
    use proptest::prelude::*;

    fn written(value: &Value) -> String {
        let mut out = String::new();
        write_value(&mut Meter::new(&Limits::default()), value, &mut out).expect("JSON");
        out
    }

    /// Reads `[row, ...]` both ways.
    fn check(text: &str) {
        let read = || -> Option<Vec<String>> {
            let mut pull = Pull::new(text.as_bytes(), 8, 4096)?;
            let mut rows = pull.array()?;
            let (mut all, mut row) = (Vec::new(), Arc::default());
            let mut names: Vec<String> = Vec::new();
            while pull.element(&mut rows)? {
                let is_same = pull.dict(&mut row)?;
                let new: Vec<String> = row.iter().map(|(key, _)| written(key)).collect();
                assert!(!is_same || names == new, "{text}");
                names = new;
                all.push(written(&Value::Dict(Arc::clone(&row))));
            }
            pull.is_at_end().then_some(all)
        };
        if let Some(rows) = read() {
            let Ok(Value::List(items)) = read_value(text.as_bytes(), 8, 4096) else {
                panic!("only one way takes {text}")
            };
            assert_eq!(rows, items.iter().map(written).collect::<Vec<_>>(), "{text}");
        }
    }

    #[test]
    fn keys_that_look_like_text_around_them() {
        check(r#"[{"a\":1,\"b":2},{"a":1,"b":3}]"#);
        check(r#"[{"a\\":2},{"a\":3}]"#);
        check("[{\"a\\n\":2},{\"a\n\":3}]");
        check(r#"[{"a":1,"b":2},{"a":1,"a":2}]"#);
        check(r#"[{"a":1,"b":2},{"a":1}, {}, {"b":1,"a":01}]"#);
        check(r#"[{"a":1,"b":2,"c":3,"d":4,"e":5,"f":6,"g":7,"h":8,"i":9,"j":0},{"a":1,"j":2}]"#);
        check(r#"[{"a":99999999999999999},{"a":100000000000000000},{"a":9999999999999999999}]"#);
    }

    #[test]
    fn members_are_told_by_name() {
        let check = |text: &str, expected: Option<&[usize]>| {
            let read = || -> Option<Vec<usize>> {
                let mut pull = Pull::new(text.as_bytes(), 8, 4096)?;
                let (mut members, mut found) = (pull.object()?, Vec::new());
                while let Some(member) = pull.member(&mut members, ["a", "ab", "c"])? {
                    pull.value()?;
                    found.push(member);
                }
                pull.is_at_end().then_some(found)
            };
            assert_eq!(read().as_deref(), expected, "{text}");
        };
        check(r#"{"a":1,"ab":2,"c":3}"#, Some(&[0, 1, 2]));
        check(r#" { "c" : 1 , "ab" : 2, "a": "x" , "c":{"a":1}, "a":  7 } "#, Some(&[2, 1, 0, 2, 0]));
        check(r#"{"\u0061":1,"a\u0062":2}"#, Some(&[0, 1]));
        check("{}", Some(&[]));
        for text in [
            r#"{"b":1}"#,
            r#"{"abc":1}"#,
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a" 1}"#,
            r#"{a:1}"#,
            r#"{"a":"#,
            r#"{"a"#,
        ] {
            check(text, None);
        }
    }

    const PARTS: &[&str] = &[
        "{",
        "}",
        "{}",
        ",",
        ":",
        "\"a\"",
        "\"b\"",
        "\"a\\u0062\"",
        "1",
        "0",
        "-5",
        "2.5",
        "null",
        "[1]",
        " ",
        "\"",
        "{\"a\":1,\"b\":2}",
        "{\"a\": 3, \"b\": -4}",
        "{\"b\":1}",
        "12345678901234567890",
    ];

    proptest! {
        #[test]
        fn both_ways_agree(
            rows in proptest::collection::vec(proptest::sample::select(PARTS), 0..8),
            separator in proptest::sample::select(&[",", "", " , "][..]),
        ) {
            check(&format!("[{}]", rows.join(separator)));
        }

        #[test]
        fn rows_of_any_names(
            rows in proptest::collection::vec(proptest::collection::vec(("[ab\"\\\\\n]{0,3}", 0..3_i64), 0..12), 0..6),
        ) {
            let member = |(name, value): &(String, i64)| {
                let mut text = String::new();
                crate::json::write_text(name, &mut text);
                format!("{text}:{value}")
            };
            let row = |members: &Vec<(String, i64)>| {
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            };
            check(&format!("[{}]", rows.iter().map(row).collect::<Vec<_>>().join(",")));
        }
    }
}
