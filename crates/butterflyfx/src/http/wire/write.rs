//! The objects of answers, written by hand: exact numbers, members in the contract's order.

use crate::http::{paging, time};
use butterflyfx_engine::identity::{RelationshipId, SubstrateId};
use butterflyfx_engine::model::{Cursor, Relationship, Substrate};
use butterflyfx_formula::json;
use std::time::Duration;

/// Appends a whole number.
pub(in crate::http) fn unsigned(number: u64, out: &mut String) {
    out.push_str(itoa::Buffer::new().format(number));
}

/// Appends an identity as a JSON string.
pub(in crate::http) fn substrate_id(id: SubstrateId, out: &mut String) {
    hex(id.0, out);
}

/// Appends an identity as a JSON string.
pub(in crate::http) fn relationship_id(id: RelationshipId, out: &mut String) {
    hex(id.0, out);
}

fn hex(number: u64, out: &mut String) {
    let mut line = Line::<20>::default();
    line.put(b"\"0x");
    line.hex(number);
    line.put(b"\"");
    line.append_to(out);
}

/// Appends bytes that are ASCII.
pub(in crate::http) fn push_ascii(bytes: &[u8], out: &mut String) {
    out.push_str(std::str::from_utf8(bytes).unwrap_or_default());
}

/// The two upper-case hex digits of each byte.
const HEX: [[u8; 2]; 256] = {
    let digits = b"0123456789ABCDEF";
    let mut all = [[0; 2]; 256];
    let mut byte = 0;
    while byte < 256 {
        all[byte] = [digits[byte >> 4], digits[byte & 15]];
        byte += 1;
    }
    all
};

/// A piece of an answer that is put together here and appended in one go: a growing text asks for room with each part.
/// It has at most `N` bytes of ASCII; parts beyond are left out.
pub(in crate::http) struct Line<const N: usize> {
    bytes: [u8; N],
    length: usize,
}

impl<const N: usize> Default for Line<N> {
    fn default() -> Line<N> {
        Line { bytes: [0; N], length: 0 }
    }
}

impl<const N: usize> Line<N> {
    /// Puts text of a length known beforehand.
    #[inline]
    pub(in crate::http) fn put<const M: usize>(&mut self, part: &[u8; M]) {
        let room = self.bytes.get_mut(self.length..).and_then(<[u8]>::first_chunk_mut);
        if let Some(room) = room {
            *room = *part;
            self.length += M;
        }
    }

    /// Puts a whole number.
    #[inline]
    pub(in crate::http) fn unsigned(&mut self, number: u64) {
        let mut digits = itoa::Buffer::new();
        let digits = digits.format(number).as_bytes();
        if let Some(room) = self.bytes.get_mut(self.length..self.length + digits.len()) {
            room.copy_from_slice(digits);
            self.length += digits.len();
        }
    }

    /// Puts the sixteen digits of an identity.
    #[inline]
    pub(in crate::http) fn hex(&mut self, number: u64) {
        let mut text = [0; 16];
        for (two, byte) in text.as_chunks_mut::<2>().0.iter_mut().zip(number.to_be_bytes()) {
            *two = HEX[usize::from(byte)];
        }
        self.put(&text);
    }

    /// Puts a duration in milliseconds, with six decimals: `0.001250`.
    #[inline]
    pub(in crate::http) fn milliseconds(&mut self, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        self.unsigned(nanos / 1_000_000);
        let mut text = *b".000000";
        let mut rest = (nanos % 1_000_000) as u32;
        for digit in text[1..].iter_mut().rev() {
            *digit = b'0' + (rest % 10) as u8;
            rest /= 10;
        }
        self.put(&text);
    }

    /// Appends it.
    pub(in crate::http) fn append_to(&self, out: &mut String) {
        push_ascii(self.bytes.get(..self.length).unwrap_or_default(), out);
    }
}

/// Appends a substrate.
pub(in crate::http) fn substrate(substrate: &Substrate, out: &mut String) {
    out.push_str("{\"substrate_id\":");
    substrate_id(substrate.id, out);
    out.push_str(",\"identity\":");
    unsigned(substrate.id.0, out);
    out.push_str(",\"created_at\":\"");
    time::write(substrate.created_at, out);
    out.push_str("\",\"updated_at\":\"");
    time::write(substrate.updated_at, out);
    out.push_str("\",\"version\":");
    unsigned(u64::from(substrate.version), out);
    out.push_str(",\"expression_type\":\"");
    out.push_str(substrate.expression_type.name());
    out.push_str("\",\"expression_code\":");
    json::write_text(&substrate.expression_code, out);
    out.push_str(",\"metadata\":");
    json::write_document(&substrate.metadata, out);
    out.push('}');
}

/// Appends a relationship.
pub(in crate::http) fn relationship(relationship: &Relationship, out: &mut String) {
    out.push_str("{\"relationship_id\":");
    relationship_id(relationship.id, out);
    out.push_str(",\"rel_type\":\"");
    out.push_str(relationship.rel_type.name());
    out.push_str("\",\"source_id\":");
    substrate_id(relationship.source, out);
    out.push_str(",\"target_id\":");
    substrate_id(relationship.target, out);
    out.push_str(",\"bidirectional\":");
    out.push_str(if relationship.bidirectional { "true" } else { "false" });
    out.push_str(",\"constraints\":");
    json::write_document(&relationship.constraints, out);
    out.push_str(",\"lineage\":");
    json::write_document(&relationship.lineage, out);
    out.push_str(",\"created_at\":\"");
    time::write(relationship.created_at, out);
    out.push_str("\"}");
}

/// Appends an array.
pub(in crate::http) fn list<T>(items: &[T], out: &mut String, mut write: impl FnMut(&T, &mut String)) {
    out.push('[');
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(']');
}

/// Appends `"next_cursor":...`.
pub(in crate::http) fn next_cursor(next: Option<&Cursor>, out: &mut String) {
    out.push_str("\"next_cursor\":");
    match next {
        None => out.push_str("null"),
        Some(cursor) => {
            out.push('"');
            out.push_str(&paging::encode(cursor));
            out.push('"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use butterflyfx_engine::model::{RelationshipType, Timestamp};
    use butterflyfx_formula::document::Document;
    use butterflyfx_formula::formula::ExpressionType;

    #[test]
    fn durations() {
        for (nanos, expected) in [(0, "0.000000"), (1_250, "0.001250"), (12_345_678_901, "12345.678901")] {
            let mut out = String::new();
            let mut line = Line::<32>::default();
            line.milliseconds(Duration::from_nanos(nanos));
            line.append_to(&mut out);
            assert_eq!(out, expected);
        }
    }

    #[test]
    fn a_substrate() {
        let mut out = String::new();
        let one = Substrate {
            id: SubstrateId(u64::MAX),
            created_at: Timestamp(0),
            updated_at: Timestamp(1),
            version: 2,
            expression_type: ExpressionType::Lambda,
            expression_code: "lambda: \"a\"".into(),
            metadata: Document::Map(vec![("size".into(), Document::Float(10.0))]),
        };
        substrate(&one, &mut out);
        assert_eq!(
            out,
            "{\"substrate_id\":\"0xFFFFFFFFFFFFFFFF\",\"identity\":18446744073709551615,\
             \"created_at\":\"1970-01-01T00:00:00.000000Z\",\"updated_at\":\"1970-01-01T00:00:00.000001Z\",\
             \"version\":2,\"expression_type\":\"lambda\",\"expression_code\":\"lambda: \\\"a\\\"\",\
             \"metadata\":{\"size\":10.0}}"
        );
    }

    #[test]
    fn a_relationship() {
        let mut out = String::new();
        let one = Relationship {
            id: RelationshipId(0),
            rel_type: RelationshipType::PartToWhole,
            source: SubstrateId(1),
            target: SubstrateId(0xAB),
            bidirectional: true,
            constraints: Document::Map(vec![]),
            lineage: Document::Null,
            created_at: Timestamp(0),
        };
        relationship(&one, &mut out);
        assert_eq!(
            out,
            "{\"relationship_id\":\"0x0000000000000000\",\"rel_type\":\"PART_TO_WHOLE\",\
             \"source_id\":\"0x0000000000000001\",\"target_id\":\"0x00000000000000AB\",\
             \"bidirectional\":true,\"constraints\":{},\"lineage\":null,\
             \"created_at\":\"1970-01-01T00:00:00.000000Z\"}"
        );
    }
}
