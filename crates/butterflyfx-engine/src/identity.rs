//! 64-bit identities: their text form, and the hash they come from by default.

pub(crate) mod lanes;

use crate::relationship_type::RelationshipType;
use butterflyfx_formula::formula::ExpressionType;
use smallvec::SmallVec;
use std::fmt;

/// The identity of a substrate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubstrateId(pub u64);

/// The identity of a relationship.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RelationshipId(pub u64);

/// `0x` and 16 upper-case hex digits.
fn write_hex(identity: u64, out: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(out, "0x{identity:016X}")
}

/// What each byte is worth as a hex digit of either case; [`NO_DIGIT`] where it is none.
const DIGITS: [u8; 256] = {
    let mut digits = [NO_DIGIT; 256];
    let mut value = 0;
    while value < 16 {
        digits[b"0123456789abcdef"[value] as usize] = value as u8;
        digits[b"0123456789ABCDEF"[value] as usize] = value as u8;
        value += 1;
    }
    digits
};

/// Above all digits.
const NO_DIGIT: u8 = 16;

/// Reads 1 to 16 hex digits of either case, with or without `0x`.
#[inline]
fn read_hex(text: &str) -> Option<u64> {
    let text = text.as_bytes();
    let digits = if let [b'0', b'x' | b'X', digits @ ..] = text { digits } else { text };
    if !(1..=16).contains(&digits.len()) {
        return None;
    }
    // Batches have two identities a line: all digits first, and one look at whether each was good.
    let (identity, all) = digits.iter().fold((0, 0), |(identity, all), &byte| {
        let digit = DIGITS[usize::from(byte)];
        (identity << 4 | u64::from(digit & 15), all | digit)
    });
    (all < NO_DIGIT).then_some(identity)
}

impl fmt::Display for SubstrateId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(self.0, out)
    }
}

impl fmt::Display for RelationshipId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(self.0, out)
    }
}

impl SubstrateId {
    /// Reads the text form; `None` where it is none.
    ///
    /// ```
    /// use butterflyfx_engine::identity::SubstrateId;
    /// assert_eq!(SubstrateId::parse("0xab"), Some(SubstrateId(171)));
    /// assert_eq!(SubstrateId(171).to_string(), "0x00000000000000AB");
    /// assert_eq!(SubstrateId::parse("0x"), None);
    /// ```
    pub fn parse(text: &str) -> Option<SubstrateId> {
        read_hex(text).map(SubstrateId)
    }

    /// The identity of a formula that was given none: the first 8 bytes, big-endian, of BLAKE3
    /// over `"butterflyfx/substrate/1\0" + expression_type + "\0" + expression_code`.
    pub fn of_formula(kind: ExpressionType, code: &str) -> SubstrateId {
        let mut text: SmallVec<[u8; 256]> = SmallVec::from_slice(b"butterflyfx/substrate/1\0");
        text.extend_from_slice(kind.name().as_bytes());
        text.push(0);
        text.extend_from_slice(code.as_bytes());
        SubstrateId(first_8_bytes(&blake3::hash(&text)))
    }
}

impl RelationshipId {
    /// Reads the text form; `None` where it is none.
    pub fn parse(text: &str) -> Option<RelationshipId> {
        read_hex(text).map(RelationshipId)
    }

    /// The identity of a relationship: as [`SubstrateId::of_formula`] over
    /// `"butterflyfx/relationship/1\0" + TYPE + "\0" + source(8 BE) + target(8 BE)`.
    pub fn of(rel_type: RelationshipType, source: SubstrateId, target: SubstrateId) -> RelationshipId {
        let (text, length) = relationship_text(rel_type, source, target);
        RelationshipId(first_8_bytes(&blake3::hash(&text[..length])))
    }
}

/// What the identity of a relationship is hashed from, zeros after it, and its length. In one piece, of one block: half of the
/// time would go into putting pieces together.
#[inline]
fn relationship_text(
    rel_type: RelationshipType,
    source: SubstrateId,
    target: SubstrateId,
) -> ([u8; RELATIONSHIP_TEXT_BYTES_MAX], usize) {
    let (mut text, length) = RELATIONSHIP_BEGINNINGS[rel_type as usize];
    let mut ends = [0; 16];
    ends[..8].copy_from_slice(&source.0.to_be_bytes());
    ends[8..].copy_from_slice(&target.0.to_be_bytes());
    text[length..length + 16].copy_from_slice(&ends);
    (text, length + 16)
}

/// What stands before both ends, and its length, for each type.
static RELATIONSHIP_BEGINNINGS: [([u8; RELATIONSHIP_TEXT_BYTES_MAX], usize); RelationshipType::ALL.len()] = {
    let mut beginnings = [([0; RELATIONSHIP_TEXT_BYTES_MAX], 0); RelationshipType::ALL.len()];
    let mut at = 0;
    while at < beginnings.len() {
        let rel_type = RelationshipType::ALL[at];
        let mut text = [0; RELATIONSHIP_TEXT_BYTES_MAX];
        let prefix = RELATIONSHIP_PREFIX.len();
        text.split_at_mut(prefix).0.copy_from_slice(RELATIONSHIP_PREFIX);
        let name = rel_type.name().as_bytes();
        text.split_at_mut(prefix).1.split_at_mut(name.len()).0.copy_from_slice(name);
        // A zero follows.
        beginnings[rel_type as usize] = (text, prefix + name.len() + 1);
        at += 1;
    }
    beginnings
};

const RELATIONSHIP_PREFIX: &[u8] = b"butterflyfx/relationship/1\0";

/// The prefix, the longest name of a type, a zero, two identities.
const RELATIONSHIP_TEXT_BYTES_MAX: usize = RELATIONSHIP_PREFIX.len() + 16 + 1 + 8 + 8;

fn first_8_bytes(hash: &blake3::Hash) -> u64 {
    let mut first = [0; 8];
    first.copy_from_slice(&hash.as_bytes()[..8]);
    u64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_digits_of_either_case_are_read() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(read_hex(text), expected, "{text:?}");
        check("0", Some(0));
        check("0x0123456789aBcDeF", Some(0x0123_4567_89AB_CDEF));
        check("FFFFFFFFFFFFFFFF", Some(u64::MAX));
        check("0Xff", Some(255));
        check("x1", None);
        for text in [
            "",
            "0x",
            "0x0x1",
            "g",
            "0xG",
            "+1",
            "-1",
            " 1",
            "1 ",
            "1_0",
            "11111111111111111",
            "\u{661}",
            "@",
            "`",
            "/",
            ":",
        ] {
            check(text, None);
        }
        // Each byte by itself, as what parses digits elsewhere has it.
        for byte in 0..128_u8 {
            let text = char::from(byte).to_string();
            check(&text, char::from(byte).to_digit(16).map(u64::from));
        }
    }
}
