//! The reader: strict JSON (RFC 8259), one pass, bounded recursion.
//!
//! UTF-8 is checked once for the whole text, so that strings without escapes are taken as
//! slices. What is built (documents or values) is the [`Build`] behind the one grammar.

use super::{DEPTH_MAX, JsonError, JsonErrorKind, Step, clip, pointer};
use crate::dict::Dict;
use crate::document::Document;
use crate::text::Text;
use crate::value::Value;
use foldhash::fast::RandomState;
use hashbrown::HashTable;
use num_bigint::BigInt;
use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Reads a whole JSON text. Integers beyond 64 bits stay decimal text, so this takes linear time.
///
/// # Errors
/// What is wrong with the text, and where.
pub fn read_document(text: &[u8], depth_max: usize) -> Result<Document, JsonError> {
    read(text, depth_max, &Documents)
}

/// Reads a whole JSON text straight into a value (the hot path of parameters).
///
/// # Errors
/// What is wrong with the text, and where; an integer of more than `integer_bits` bits.
pub fn read_value(text: &[u8], depth_max: usize, integer_bits: u64) -> Result<Value, JsonError> {
    read(text, depth_max, &Values { integer_bits })
}

/// An int from its checked decimal text (a sign, no leading zeros).
///
/// # Errors
/// A sentence, where it has more than `integer_bits` bits; decided before the digits are
/// converted, which takes quadratic time.
pub(crate) fn integer_of_text(text: &str, integer_bits: u64) -> Result<Value, String> {
    if let Ok(small) = text.parse::<i64>() {
        return Ok(Value::Int(small));
    }
    let refused = || format!("an integer may have at most {integer_bits} bits, {} has more", clip(text));
    // 10^(digits-1) has more than 3.32 bits for each digit but the first.
    let digits = text.len() as u64 - u64::from(text.starts_with('-'));
    if digits.saturating_sub(1).saturating_mul(332) / 100 > integer_bits {
        return Err(refused());
    }
    match BigInt::parse_bytes(text.as_bytes(), 10) {
        Some(big) if big.bits() <= integer_bits => Ok(Value::big(big)),
        _ => Err(refused()),
    }
}

/// What the grammar's parts become.
pub(super) trait Build {
    type Node;
    type Members;
    fn null(&self) -> Self::Node;
    fn bool(&self, b: bool) -> Self::Node;
    fn int(&self, i: i64) -> Self::Node;
    fn big_int(&self, text: &str) -> Result<Self::Node, String>;
    fn float(&self, x: f64) -> Self::Node;
    fn text(&self, text: Cow<'_, str>) -> Self::Node;
    fn list(&self, items: Vec<Self::Node>) -> Self::Node;
    fn members(&self) -> Self::Members;
    /// Adds a member; false where the key is there already.
    fn insert(&self, members: &mut Self::Members, key: Cow<'_, str>, node: Self::Node) -> bool;
    fn map(&self, members: Self::Members) -> Self::Node;
}

pub(super) struct Documents;

/// Up to this many members a key is compared with each one before it.
const SCANNED_MEMBERS_MAX: usize = 16;

/// Members in the text's order, with a table of keys once there are many.
#[derive(Default)]
pub(super) struct Members {
    pairs: Vec<(Box<str>, Document)>,
    /// Positions in `pairs`, by a hash seeded afresh for each object.
    table: Option<(RandomState, HashTable<u32>)>,
}

impl Members {
    fn insert(&mut self, key: Cow<'_, str>, node: Document) -> bool {
        let pairs = &mut self.pairs;
        if pairs.len() < SCANNED_MEMBERS_MAX {
            if pairs.iter().any(|(other, _)| **other == *key) {
                return false;
            }
        } else {
            let (state, table) = self.table.get_or_insert_with(|| {
                let state = RandomState::default();
                let mut table = HashTable::with_capacity(SCANNED_MEMBERS_MAX * 2);
                for (at, (key, _)) in pairs.iter().enumerate() {
                    table.insert_unique(hash(&state, key), at as u32, |&at| rehash(&state, pairs, at));
                }
                (state, table)
            });
            let hashed = hash(state, &key);
            if table
                .find(hashed, |&at| pairs.get(at as usize).is_some_and(|(other, _)| **other == *key))
                .is_some()
            {
                return false;
            }
            table.insert_unique(hashed, pairs.len() as u32, |&at| rehash(state, pairs, at));
        }
        pairs.push((key.into(), node));
        true
    }
}

fn hash(state: &RandomState, key: &str) -> u64 {
    state.hash_one(key)
}

fn rehash(state: &RandomState, pairs: &[(Box<str>, Document)], at: u32) -> u64 {
    pairs.get(at as usize).map_or(0, |(key, _)| hash(state, key))
}

impl Build for Documents {
    type Node = Document;
    type Members = Members;
    fn null(&self) -> Document {
        Document::Null
    }
    fn bool(&self, b: bool) -> Document {
        Document::Bool(b)
    }
    fn int(&self, i: i64) -> Document {
        Document::Int(i)
    }
    fn big_int(&self, text: &str) -> Result<Document, String> {
        Ok(match text.parse::<i64>() {
            Ok(small) => Document::Int(small),
            Err(_) => Document::BigInt(text.into()),
        })
    }
    fn float(&self, x: f64) -> Document {
        Document::Float(x)
    }
    fn text(&self, text: Cow<'_, str>) -> Document {
        Document::Text(text.into())
    }
    fn list(&self, items: Vec<Document>) -> Document {
        Document::List(items)
    }
    fn members(&self) -> Members {
        Members::default()
    }
    fn insert(&self, members: &mut Members, key: Cow<'_, str>, node: Document) -> bool {
        members.insert(key, node)
    }
    fn map(&self, members: Members) -> Document {
        Document::Map(members.pairs)
    }
}

pub(super) struct Values {
    pub(super) integer_bits: u64,
}

impl Build for Values {
    type Node = Value;
    type Members = Dict;
    fn null(&self) -> Value {
        Value::None
    }
    fn bool(&self, b: bool) -> Value {
        Value::Bool(b)
    }
    fn int(&self, i: i64) -> Value {
        Value::Int(i)
    }
    fn big_int(&self, text: &str) -> Result<Value, String> {
        integer_of_text(text, self.integer_bits)
    }
    fn float(&self, x: f64) -> Value {
        Value::Float(x)
    }
    fn text(&self, text: Cow<'_, str>) -> Value {
        Value::Str(Text::from(&*text))
    }
    fn list(&self, items: Vec<Value>) -> Value {
        Value::list(items)
    }
    fn members(&self) -> Dict {
        Dict::new()
    }
    fn insert(&self, members: &mut Dict, key: Cow<'_, str>, node: Value) -> bool {
        members.insert_str(Text::from(&*key), node)
    }
    fn map(&self, members: Dict) -> Value {
        Value::Dict(Arc::new(members))
    }
}

/// A refusal on its way out; the path grows from the inside out.
pub(super) struct Refusal {
    kind: JsonErrorKind,
    message: String,
    /// Byte offset.
    at: usize,
    path: Vec<Step>,
}

pub(super) type Read<T> = Result<T, Box<Refusal>>;

fn read<B: Build>(text: &[u8], depth_max: usize, build: &B) -> Result<B::Node, JsonError> {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(invalid) => {
            let message = format!(
                "the byte 0x{:02X} is not valid UTF-8 here",
                text.get(invalid.valid_up_to()).unwrap_or(&0)
            );
            return Err(refused(
                text,
                &Refusal {
                    kind: JsonErrorKind::Syntax,
                    message,
                    at: invalid.valid_up_to(),
                    path: Vec::new(),
                },
            ));
        }
    };
    let mut reader =
        Reader { text, bytes: text.as_bytes(), at: 0, depth_left: depth_max.min(DEPTH_MAX), depth_max };
    reader.whole(build).map_err(|refusal| refused(text.as_bytes(), &refusal))
}

#[cold]
fn refused(text: &[u8], refusal: &Refusal) -> JsonError {
    let before = text.get(..refusal.at).unwrap_or(text);
    let line_start = memchr::memrchr(b'\n', before).map_or(0, |newline| newline + 1);
    let lines = memchr::memchr_iter(b'\n', before).count();
    // Continuation bytes of UTF-8 are 10xxxxxx: the others are as many as code points.
    let columns = before.iter().skip(line_start).filter(|&&byte| byte & 0xC0 != 0x80).count();
    JsonError {
        kind: refusal.kind.clone(),
        message: refusal.message.clone(),
        line: u32::try_from(lines + 1).unwrap_or(u32::MAX),
        column: u32::try_from(columns + 1).unwrap_or(u32::MAX),
        pointer: pointer(&refusal.path),
    }
}

#[cold]
fn syntax(at: usize, message: impl Into<String>) -> Box<Refusal> {
    refusal(JsonErrorKind::Syntax, at, message)
}

#[cold]
fn refusal(kind: JsonErrorKind, at: usize, message: impl Into<String>) -> Box<Refusal> {
    Box::new(Refusal { kind, message: message.into(), at, path: Vec::new() })
}

pub(super) struct Reader<'a> {
    pub(super) text: &'a str,
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
    pub(super) depth_left: usize,
    pub(super) depth_max: usize,
}

impl<'a> Reader<'a> {
    fn whole<B: Build>(&mut self, build: &B) -> Read<B::Node> {
        if self.text.starts_with('\u{FEFF}') {
            return Err(syntax(0, "the text begins with a byte order mark; send UTF-8 without one"));
        }
        self.skip_blanks();
        let node = self.value(build)?;
        self.skip_blanks();
        match self.peek() {
            None => Ok(node),
            Some(b'/' | b'#') => Err(self.unexpected("the end of the text")),
            Some(_) => Err(syntax(self.at, "the JSON value has ended; remove what follows it")),
        }
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    pub(super) fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    pub(super) fn value<B: Build>(&mut self, build: &B) -> Read<B::Node> {
        match self.peek() {
            Some(b'"') => Ok(build.text(self.string()?)),
            Some(b'-' | b'0'..=b'9') => self.number(build),
            Some(b'{') => self.map(build),
            Some(b'[') => self.list(build),
            Some(b't') => self.word("true", build.bool(true)),
            Some(b'f') => self.word("false", build.bool(false)),
            Some(b'n') => self.word("null", build.null()),
            _ => Err(self.unexpected("a value")),
        }
    }

    #[inline]
    fn word<T>(&mut self, word: &str, node: T) -> Read<T> {
        let end = self.at + word.len();
        if self.bytes.get(self.at..end) != Some(word.as_bytes())
            || self.bytes.get(end).is_some_and(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
        {
            return Err(self.unexpected("a value"));
        }
        self.at = end;
        Ok(node)
    }

    pub(super) fn enter(&mut self) -> Read<()> {
        if self.depth_left == 0 {
            let depth = self.depth_max.min(DEPTH_MAX);
            return Err(refusal(
                JsonErrorKind::TooDeep,
                self.at,
                format!("arrays and objects may be at most {depth} deep inside each other"),
            ));
        }
        self.depth_left -= 1;
        Ok(())
    }

    fn list<B: Build>(&mut self, build: &B) -> Read<B::Node> {
        self.enter()?;
        self.at += 1;
        let mut items = Vec::new();
        self.skip_blanks();
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                let item = match self.value(build) {
                    Ok(item) => item,
                    Err(mut refusal) => {
                        refusal.path.push(Step::Element(items.len()));
                        return Err(refusal);
                    }
                };
                items.push(item);
                self.skip_blanks();
                match self.peek() {
                    Some(b',') => {
                        let comma = self.at;
                        self.at += 1;
                        self.skip_blanks();
                        if self.peek() == Some(b']') {
                            return Err(syntax(comma, "remove the comma before ]: JSON takes none there"));
                        }
                    }
                    Some(b']') => {
                        self.at += 1;
                        break;
                    }
                    _ => return Err(self.unexpected("a comma or ]")),
                }
            }
        }
        self.depth_left += 1;
        Ok(build.list(items))
    }

    fn map<B: Build>(&mut self, build: &B) -> Read<B::Node> {
        self.enter()?;
        self.at += 1;
        let mut members = build.members();
        self.skip_blanks();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                let key_at = self.at;
                if self.peek() != Some(b'"') {
                    return Err(self.unexpected("a key in double quotes"));
                }
                let key = self.string()?;
                self.skip_blanks();
                if self.peek() != Some(b':') {
                    return Err(self.unexpected("a colon after the key"));
                }
                self.at += 1;
                self.skip_blanks();
                let node = match self.value(build) {
                    Ok(node) => node,
                    Err(mut refusal) => {
                        refusal.path.push(Step::Member(key.into_owned()));
                        return Err(refusal);
                    }
                };
                if !build.insert(&mut members, key, node) {
                    return Err(self.duplicate(key_at));
                }
                self.skip_blanks();
                match self.peek() {
                    Some(b',') => {
                        let comma = self.at;
                        self.at += 1;
                        self.skip_blanks();
                        if self.peek() == Some(b'}') {
                            return Err(syntax(comma, "remove the comma before }: JSON takes none there"));
                        }
                    }
                    Some(b'}') => {
                        self.at += 1;
                        break;
                    }
                    _ => return Err(self.unexpected("a comma or }")),
                }
            }
        }
        self.depth_left += 1;
        Ok(build.map(members))
    }

    #[cold]
    fn duplicate(&mut self, key_at: usize) -> Box<Refusal> {
        self.at = key_at;
        let key = match self.string() {
            Ok(key) => key.into_owned(),
            Err(refusal) => return refusal,
        };
        let message = format!("the key {:?} stands twice in one object; keep one", clip(&key));
        let mut refusal = refusal(JsonErrorKind::DuplicateKey(key.clone()), key_at, message);
        refusal.path.push(Step::Member(key));
        refusal
    }

    /// A string; `at` is on its opening quote.
    #[inline]
    pub(super) fn string(&mut self) -> Read<Cow<'a, str>> {
        let start = self.at + 1;
        let end = plain_end(self.bytes, start);
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end + 1;
            // Both ends are beside ASCII bytes of valid UTF-8.
            return Ok(Cow::Borrowed(self.text.get(start..end).unwrap_or_default()));
        }
        self.string_with_escapes(start, end).map(Cow::Owned)
    }

    #[cold]
    fn string_with_escapes(&mut self, start: usize, mut end: usize) -> Read<String> {
        let mut text = String::new();
        let mut plain = start;
        loop {
            text.push_str(self.text.get(plain..end).unwrap_or_default());
            match self.bytes.get(end) {
                None => {
                    return Err(syntax(start - 1, "the string that begins here has no closing quote"));
                }
                Some(b'"') => {
                    self.at = end + 1;
                    return Ok(text);
                }
                Some(b'\\') => {
                    let (escaped, after) = self.escape(end)?;
                    text.push(escaped);
                    plain = after;
                }
                Some(&control) => {
                    let escape = match control {
                        b'\n' => "\\n".to_owned(),
                        b'\r' => "\\r".to_owned(),
                        b'\t' => "\\t".to_owned(),
                        _ => format!("\\u{control:04x}"),
                    };
                    return Err(syntax(
                        end,
                        format!("a control character stands in a string; write {escape} instead"),
                    ));
                }
            }
            end = plain_end(self.bytes, plain);
        }
    }

    /// The character of the escape at `at`, and the offset after it.
    fn escape(&self, at: usize) -> Read<(char, usize)> {
        let plain = match self.bytes.get(at + 1) {
            Some(b'"') => '"',
            Some(b'\\') => '\\',
            Some(b'/') => '/',
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(at),
            _ => {
                return Err(syntax(
                    at,
                    "JSON knows the escapes \\\" \\\\ \\/ \\b \\f \\n \\r \\t and \\u with four hex digits",
                ));
            }
        };
        Ok((plain, at + 2))
    }

    fn unicode_escape(&self, at: usize) -> Read<(char, usize)> {
        let unit = self.four_digits(at)?;
        if let Some(scalar) = char::from_u32(unit) {
            return Ok((scalar, at + 6));
        }
        if unit < 0xDC00 && self.bytes.get(at + 6..at + 8) == Some(br"\u") {
            let low = self.four_digits(at + 6)?;
            if (0xDC00..0xE000).contains(&low)
                && let Some(scalar) = char::from_u32(0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00))
            {
                return Ok((scalar, at + 12));
            }
        }
        Err(syntax(at, format!("\\u{unit:04x} is half of a surrogate pair; write the whole character")))
    }

    fn four_digits(&self, at: usize) -> Read<u32> {
        let digits = self.bytes.get(at + 2..at + 6).unwrap_or_default();
        let value =
            digits.iter().try_fold(0, |value, &digit| Some(value << 4 | char::from(digit).to_digit(16)?));
        match value {
            Some(value) if digits.len() == 4 => Ok(value),
            _ => Err(syntax(at, "\\u takes exactly four hex digits")),
        }
    }

    fn number<B: Build>(&mut self, build: &B) -> Read<B::Node> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        self.at += usize::from(negative);
        let digits_start = self.at;
        let mut magnitude: i64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            // Wraps from the 20th digit on; such numbers take the slow path below.
            magnitude = magnitude.wrapping_mul(10).wrapping_add(i64::from(digit - b'0'));
            self.at += 1;
        }
        let digits = self.at - digits_start;
        if digits == 0 {
            return Err(match self.peek() {
                Some(b'I') if negative => self.unexpected("a number"),
                _ => syntax(start, "digits must follow the minus sign"),
            });
        }
        if digits > 1 && self.bytes.get(digits_start) == Some(&b'0') {
            return Err(syntax(start, "a number may not begin with 0"));
        }
        match self.peek() {
            Some(b'.' | b'e' | b'E') => return self.float(start, build),
            Some(b'a'..=b'z' | b'A'..=b'Z' | b'_') => return Err(self.unexpected("the number to end")),
            _ => {}
        }
        if digits <= 18 {
            return Ok(build.int(if negative { -magnitude } else { magnitude }));
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        build.big_int(text).map_err(|message| refusal(JsonErrorKind::IntegerSize, start, message))
    }

    /// The rest of a number after its whole digits.
    fn float<B: Build>(&mut self, start: usize, build: &B) -> Read<B::Node> {
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.skip_digits() == 0 {
                return Err(syntax(start, "digits must follow the decimal point"));
            }
        }
        if let Some(b'e' | b'E') = self.peek() {
            self.at += 1;
            if let Some(b'+' | b'-') = self.peek() {
                self.at += 1;
            }
            if self.skip_digits() == 0 {
                return Err(syntax(start, "digits must follow the exponent's e"));
            }
        }
        if let Some(b'a'..=b'z' | b'A'..=b'Z' | b'_' | b'.') = self.peek() {
            return Err(self.unexpected("the number to end"));
        }
        let text = self.text.get(start..self.at).unwrap_or_default();
        match text.parse::<f64>() {
            Ok(x) if x.is_finite() => Ok(build.float(x)),
            _ => Err(refusal(
                JsonErrorKind::NumberRange,
                start,
                format!("{} is beyond the range of a float (about 1.8e308)", clip(text)),
            )),
        }
    }

    fn skip_digits(&mut self) -> usize {
        let start = self.at;
        while let Some(b'0'..=b'9') = self.peek() {
            self.at += 1;
        }
        self.at - start
    }

    /// The refusal of what stands at `at`, with advice where the mistake is a known one.
    #[cold]
    fn unexpected(&self, expected: &str) -> Box<Refusal> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let Some(found) = rest.chars().next() else {
            return syntax(
                self.at,
                if self.text.trim().is_empty() {
                    "the text is empty; a JSON value is expected".to_owned()
                } else {
                    format!("the text ends where {expected} is expected")
                },
            );
        };
        let word_end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(rest.len());
        let word = rest.get(..word_end).unwrap_or_default();
        let message = match (word, found) {
            ("NaN" | "nan" | "Infinity" | "inf" | "Inf", _) => {
                "JSON has no NaN and no Infinity; send null or leave the value out".to_owned()
            }
            ("True" | "False", _) => format!("write {} in small letters", word.to_ascii_lowercase()),
            ("None" | "undefined" | "nil" | "Null" | "NULL", _) => "write null".to_owned(),
            (_, '\'') => "strings and keys stand in double quotes".to_owned(),
            (_, '/' | '#') => "JSON has no comments; remove this".to_owned(),
            (_, '+') => "a number takes no plus sign".to_owned(),
            (_, '.') => "a number begins with a digit: write 0.5, not .5".to_owned(),
            ("", _) => format!("{expected} is expected here, not {found:?}"),
            _ => format!("{expected} is expected here, not {}", clip(word)),
        };
        syntax(self.at, message)
    }
}

/// The offset of the next byte from `at` on that ends or interrupts a string: a quote, a
/// backslash or a control character; the text's length if there is none.
#[inline]
pub(super) fn plain_end(bytes: &[u8], mut at: usize) -> usize {
    // Eight bytes at once; a byte's high bit in `stops` marks one that may stop us.
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGHS: u64 = 0x8080_8080_8080_8080;
    while let Some(chunk) = bytes.get(at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*chunk);
        let quote = word ^ (ONES * b'"' as u64);
        let backslash = word ^ (ONES * b'\\' as u64);
        // Borrows may mark a byte after a true stop, never one before it.
        let stops = (quote.wrapping_sub(ONES) & !quote
            | backslash.wrapping_sub(ONES) & !backslash
            | word.wrapping_sub(ONES * 0x20) & !word)
            & HIGHS;
        if stops != 0 {
            return at + stops.trailing_zeros() as usize / 8;
        }
        at += 8;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte == b'"' || byte == b'\\' || byte < 0x20 {
            break;
        }
        at += 1;
    }
    at
}
