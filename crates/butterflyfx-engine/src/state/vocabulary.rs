//! What documents share: the keys of objects, and the patterns of texts.
//!
//! A text's *pattern* is the text with its numbers taken out: `substrate_17` is the pattern
//! `substrate_#` and 17. A pattern that repeats is kept once, and each text that has it as a number
//! and the numbers taken out; a text without numbers that repeats (`active`) is a pattern, too.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use smallvec::SmallVec;
use std::hash::BuildHasher;

/// Keys, and patterns, that are kept; what comes after them is written out. Bounds tables that
/// nothing shrinks: metadata with ever new keys costs their text, as any other text.
const SHARED_MAX: usize = 16_384;
/// Bytes of a key that is kept.
const KEY_BYTES_MAX: usize = 64;
/// Bytes of a text that may have a pattern: shorter ones are as short as their pattern's number.
const TEXT_BYTES: std::ops::RangeInclusive<usize> = 3..=128;
/// Numbers that are taken out of a text; further ones stay in the pattern.
pub(crate) const NUMBERS_MAX: usize = 7;
/// Digits of a number that is taken out; it fits 64 bits.
const DIGITS_MAX: usize = 18;
/// Stands for a number in a pattern; no text that holds it has a pattern.
const HOLE: u8 = 0x01;
/// Texts whose pattern was seen once.
const SEEN: usize = 1024;

/// Numbers of a text.
pub(crate) type Numbers = SmallVec<[u64; NUMBERS_MAX]>;

/// Texts by number.
#[derive(Debug, Default)]
struct Shared {
    texts: Vec<Box<str>>,
    numbers: HashTable<u32>,
}

impl Shared {
    fn find(&self, hash: u64, text: &[u8]) -> Option<u32> {
        self.numbers.find(hash, |&number| self.texts[number as usize].as_bytes() == text).copied()
    }

    fn add(&mut self, hash: u64, text: &str, seed: &RandomState) -> Option<u32> {
        if self.texts.len() >= SHARED_MAX {
            return None;
        }
        let number = self.texts.len() as u32;
        self.texts.push(text.into());
        let texts = &self.texts;
        self.numbers.insert_unique(hash, number, |&number| seed.hash_one(texts[number as usize].as_bytes()));
        Some(number)
    }

    fn allocated_bytes(&self) -> usize {
        self.texts.iter().map(|text| text.len()).sum::<usize>()
            + self.texts.capacity() * size_of::<Box<str>>()
            + self.numbers.allocation_size()
    }
}

/// The keys and patterns that repeat, by number.
#[derive(Debug, Default)]
pub(crate) struct Vocabulary {
    keys: Shared,
    patterns: Shared,
    /// Hashes of patterns that were seen once; a later one takes an earlier one's place.
    seen: Vec<u64>,
    seed: RandomState,
}

impl Vocabulary {
    /// The number of a key, given now if it is new.
    pub(crate) fn key(&mut self, key: &str) -> Option<u32> {
        let hash = self.seed.hash_one(key.as_bytes());
        let found = self.keys.find(hash, key.as_bytes());
        if found.is_some() || key.len() > KEY_BYTES_MAX {
            return found;
        }
        self.keys.add(hash, key, &self.seed)
    }

    /// The key with a number.
    #[inline]
    pub(crate) fn key_name(&self, number: u64) -> &str {
        self.keys.texts.get(number as usize).map_or("", |name| name)
    }

    /// The number of a text's pattern, and the numbers taken out, where the pattern is kept. It is
    /// kept from the second time on that it is seen.
    pub(crate) fn pattern(&mut self, text: &str) -> Option<(u32, Numbers)> {
        if !TEXT_BYTES.contains(&text.len()) {
            return None;
        }
        let mut buffer = [0; *TEXT_BYTES.end()];
        let (length, numbers) = split(text.as_bytes(), &mut buffer)?;
        let pattern = &buffer[..length];
        let hash = self.seed.hash_one(pattern);
        if let Some(number) = self.patterns.find(hash, pattern) {
            return Some((number, numbers));
        }
        self.seen.resize(SEEN, 0);
        let seen = &mut self.seen[hash as usize % SEEN];
        if *seen != hash {
            *seen = hash;
            return None;
        }
        let pattern = std::str::from_utf8(pattern).ok()?;
        self.patterns.add(hash, pattern, &self.seed).map(|number| (number, numbers))
    }

    /// The text with a pattern and numbers.
    pub(crate) fn text(&self, pattern: u64, numbers: &[u64]) -> String {
        let pattern = self.patterns.texts.get(pattern as usize).map_or("", |pattern| pattern);
        let mut text = String::with_capacity(pattern.len() + numbers.len() * 8);
        let mut numbers = numbers.iter();
        for (at, piece) in pattern.split(char::from(HOLE)).enumerate() {
            if at > 0 {
                put_decimal(numbers.next().copied().unwrap_or(0), &mut text);
            }
            text.push_str(piece);
        }
        text
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        (self.keys.allocated_bytes() + self.patterns.allocated_bytes() + self.seen.capacity() * 8) as u64
    }
}

/// Writes a text's pattern; its length, and the numbers taken out.
fn split(text: &[u8], pattern: &mut [u8]) -> Option<(usize, Numbers)> {
    let (mut at, mut length) = (0, 0);
    let mut numbers = Numbers::new();
    while let Some(&byte) = text.get(at) {
        if byte == HOLE {
            return None;
        }
        if byte.is_ascii_digit() {
            let digits = text[at..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            // Leading zeros would be lost.
            let is_plain = digits == 1 || byte != b'0' && digits <= DIGITS_MAX;
            if is_plain && numbers.len() < NUMBERS_MAX {
                let value = text[at..at + digits].iter();
                numbers.push(value.fold(0, |value, digit| value * 10 + u64::from(digit - b'0')));
                pattern[length] = HOLE;
                length += 1;
            } else {
                pattern[length..length + digits].copy_from_slice(&text[at..at + digits]);
                length += digits;
            }
            at += digits;
        } else {
            pattern[length] = byte;
            (at, length) = (at + 1, length + 1);
        }
    }
    Some((length, numbers))
}

fn put_decimal(mut number: u64, text: &mut String) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().map(|&digit| char::from(digit)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A text through its pattern, seen twice.
    fn through(text: &str) -> Option<String> {
        let mut vocabulary = Vocabulary::default();
        assert_eq!(vocabulary.pattern(text), None, "{text}");
        let (pattern, numbers) = vocabulary.pattern(text)?;
        Some(vocabulary.text(u64::from(pattern), &numbers))
    }

    proptest! {
        #[test]
        fn texts_come_back(text in "([a-c #\u{1}äß-]{0,4}[0-9]{0,20}){0,5}") {
            if let Some(back) = through(&text) {
                prop_assert_eq!(back, text);
            } else {
                let has_none = text.contains(char::from(HOLE)) || !TEXT_BYTES.contains(&text.len());
                prop_assert!(has_none);
            }
        }
    }

    #[test]
    fn texts_that_differ_in_numbers_share_a_pattern() {
        let check = |a: &str, b: &str, expected: Option<&[u64]>| {
            let mut vocabulary = Vocabulary::default();
            assert_eq!(vocabulary.pattern(a), None);
            let found = vocabulary.pattern(b).map(|(_, numbers)| numbers.to_vec());
            assert_eq!(found.as_deref(), expected, "{a} {b}");
        };
        check("substrate_1", "substrate_999999999999999999", Some(&[999_999_999_999_999_999]));
        check("1.2.3", "0.0.10", Some(&[0, 0, 10]));
        check("active", "active", Some(&[]));
        check("a_01", "a_02", None);
        check("a_1000000000000000000", "a_2000000000000000000", None);
        check("1 2 3 4 5 6 7 8", "7 6 5 4 3 2 1 8", Some(&[7, 6, 5, 4, 3, 2, 1]));
        check("1 2 3 4 5 6 7 8", "7 6 5 4 3 2 1 9", None);
    }

    #[test]
    fn tables_are_bounded() {
        let mut vocabulary = Vocabulary::default();
        for round in 0..SHARED_MAX + 100 {
            let word: String =
                format!("{round:x}").chars().map(|c| char::from(b'a' + c as u8 % 26)).collect();
            let text = format!("{word}/{}", "x".repeat(round % 100));
            vocabulary.key(&text);
            vocabulary.pattern(&text);
            vocabulary.pattern(&text);
        }
        assert!(vocabulary.allocated_bytes() < 6_000_000);
        assert!(vocabulary.keys.texts.len() <= SHARED_MAX && vocabulary.patterns.texts.len() <= SHARED_MAX);
    }
}
