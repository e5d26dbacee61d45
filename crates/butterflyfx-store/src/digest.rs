//! The digest of all records, and the bytes it is computed from.
//!
//! A record's hash is XXH3-128 over a canonical encoding of what the record *means*, so it does
//! not depend on how its JSON is spaced. The digest is the sum of all hashes modulo 2^128: it does not
//! depend on order, and a change costs two hashes. It finds damage and mistakes; it is no defence
//! against someone who writes the file on purpose.
//!
//! The encoding (integers little-endian, a length or count is a u64, a text is its length and UTF-8):
//!
//! | record | bytes |
//! |---|---|
//! | substrate | 1, sequence u64, id u64, type u8, version u32, created_at i64, updated_at i64, text, metadata |
//! | relationship | 2, sequence u64, type u8, bidirectional u8, source u64, target u64, created_at i64, constraints, lineage |
//! | index | 3, created_at i64, key |
//! | kept answer | 4, expires_at i64, status u16, request hash, name, headers as a document, body |
//!
//! A document is a tag and what follows: 0 null, 1 false, 2 true, 3 an i64, 4 a big integer's decimal
//! text, 5 a float's bits, 6 a text, 7 a list (count, items), 8 a map (count, key and value in order).

use crate::error::StoreError;
use crate::kept::KeptAnswer;
use butterflyfx_engine::record::{IndexRecord, RelationshipRecord, SubstrateRecord};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::json::DEPTH_MAX;
use std::fmt;
use xxhash_rust::xxh3::xxh3_128;

/// An order-independent digest of a set of records: the sum of their hashes modulo 2^128.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Digest(u128);

impl Digest {
    /// Takes a record's hash in.
    pub fn add(&mut self, hash: u128) {
        self.0 = self.0.wrapping_add(hash);
    }

    /// Takes in all that another digest holds.
    pub fn join(&mut self, other: Digest) {
        self.0 = self.0.wrapping_add(other.0);
    }

    /// Takes a record's hash out again.
    pub fn subtract(&mut self, hash: u128) {
        self.0 = self.0.wrapping_sub(hash);
    }

    /// Reads the 32 hex digits that Display writes; `None` where it is none.
    pub fn parse(text: &str) -> Option<Digest> {
        let good = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if good { u128::from_str_radix(text, 16).ok().map(Digest) } else { None }
    }
}

/// 32 lower-case hex digits.
impl fmt::Display for Digest {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{:032x}", self.0)
    }
}

/// The bytes of a relationship without constraints and lineage, which nearly all are, in one piece.
#[inline]
fn plain_relationship(record: &RelationshipRecord) -> Option<[u8; 45]> {
    let is_plain = matches!(&record.constraints, Document::Map(members) if members.is_empty())
        && record.lineage == Document::Null;
    if !is_plain {
        return None;
    }
    let mut bytes = [0; 45];
    bytes[0] = 2;
    bytes[1..9].copy_from_slice(&record.sequence.to_le_bytes());
    bytes[9] = crate::schema::code_of_relationship_type(record.rel_type);
    bytes[10] = u8::from(record.bidirectional);
    bytes[11..19].copy_from_slice(&record.source.to_le_bytes());
    bytes[19..27].copy_from_slice(&record.target.to_le_bytes());
    bytes[27..35].copy_from_slice(&record.created_at.0.to_le_bytes());
    // A map of none, and null.
    bytes[35] = 8;
    Some(bytes)
}

/// Computes hashes of records; holds the buffer they are encoded in.
#[derive(Debug, Default)]
pub(crate) struct Hasher {
    bytes: Vec<u8>,
}

impl Hasher {
    /// Fails where a document is nested deeper than could be read back.
    pub(crate) fn substrate(&mut self, record: &SubstrateRecord) -> Result<u128, StoreError> {
        let substrate = &record.substrate;
        self.begin(1);
        self.u64(record.sequence);
        self.u64(substrate.id.0);
        self.bytes.push(crate::schema::code_of_expression_type(substrate.expression_type));
        self.bytes.extend_from_slice(&substrate.version.to_le_bytes());
        self.i64(substrate.created_at.0);
        self.i64(substrate.updated_at.0);
        self.text(&substrate.expression_code);
        self.document(&substrate.metadata, DEPTH_MAX)?;
        Ok(xxh3_128(&self.bytes))
    }

    /// As [`Hasher::substrate`].
    pub(crate) fn relationship(&mut self, record: &RelationshipRecord) -> Result<u128, StoreError> {
        match plain_relationship(record) {
            Some(bytes) => Ok(xxh3_128(&bytes)),
            None => self.any_relationship(record),
        }
    }

    fn any_relationship(&mut self, record: &RelationshipRecord) -> Result<u128, StoreError> {
        self.begin(2);
        self.u64(record.sequence);
        self.bytes.push(crate::schema::code_of_relationship_type(record.rel_type));
        self.bytes.push(u8::from(record.bidirectional));
        self.u64(record.source);
        self.u64(record.target);
        self.i64(record.created_at.0);
        self.document(&record.constraints, DEPTH_MAX)?;
        self.document(&record.lineage, DEPTH_MAX)?;
        Ok(xxh3_128(&self.bytes))
    }

    pub(crate) fn index(&mut self, record: &IndexRecord) -> u128 {
        self.begin(3);
        self.i64(record.created_at.0);
        self.text(&record.metadata_key);
        xxh3_128(&self.bytes)
    }

    pub(crate) fn answer(&mut self, answer: &KeptAnswer) -> u128 {
        self.begin(4);
        self.i64(answer.expires_at.0);
        self.bytes.extend_from_slice(&answer.status.to_le_bytes());
        self.bytes.extend_from_slice(&answer.request_hash);
        self.text(&answer.name);
        self.u64(answer.headers.len() as u64);
        for (name, value) in &answer.headers {
            self.text(name);
            self.text(value);
        }
        self.u64(answer.body.len() as u64);
        self.bytes.extend_from_slice(&answer.body);
        let hash = xxh3_128(&self.bytes);
        // An answer may be large; records are small.
        self.bytes.shrink_to(64 * 1024);
        hash
    }

    fn begin(&mut self, tag: u8) {
        self.bytes.clear();
        self.bytes.push(tag);
    }

    fn u64(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    fn i64(&mut self, number: i64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }

    fn text(&mut self, text: &str) {
        self.u64(text.len() as u64);
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn document(&mut self, document: &Document, depth_left: usize) -> Result<(), StoreError> {
        match document {
            Document::Null => self.bytes.push(0),
            Document::Bool(truth) => self.bytes.push(1 + u8::from(*truth)),
            Document::Int(number) => {
                self.bytes.push(3);
                self.i64(*number);
            }
            Document::BigInt(digits) => {
                self.bytes.push(4);
                self.text(digits);
            }
            Document::Float(number) => {
                self.bytes.push(5);
                self.u64(number.to_bits());
            }
            Document::Text(text) => {
                self.bytes.push(6);
                self.text(text);
            }
            Document::List(items) => {
                let depth_left = deeper(depth_left)?;
                self.bytes.push(7);
                self.u64(items.len() as u64);
                for item in items {
                    self.document(item, depth_left)?;
                }
            }
            Document::Map(members) => {
                let depth_left = deeper(depth_left)?;
                self.bytes.push(8);
                self.u64(members.len() as u64);
                for (key, value) in members {
                    self.text(key);
                    self.document(value, depth_left)?;
                }
            }
        }
        Ok(())
    }
}

/// The depth inside a container.
fn deeper(depth_left: usize) -> Result<usize, StoreError> {
    depth_left.checked_sub(1).ok_or_else(|| StoreError::Unfit {
        detail: format!("a document is nested more than {DEPTH_MAX} deep"),
    })
}
