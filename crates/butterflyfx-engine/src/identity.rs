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

/// Reads 1 to 16 hex digits of either case, with or without `0x`.
fn read_hex(text: &str) -> Option<u64> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X")).unwrap_or(text);
    let good = (1..=16).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
    if good { u64::from_str_radix(digits, 16).ok() } else { None }
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
