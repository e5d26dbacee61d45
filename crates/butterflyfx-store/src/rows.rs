//! The values of a row into a record, each looked at: types, ranges, texts in UTF-8, documents.

use crate::kept::KeptAnswer;
use crate::schema::{expression_type_of_code, relationship_type_of_code};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{Substrate, Timestamp};
use butterflyfx_engine::record::{IndexRecord, RelationshipRecord, SubstrateRecord};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::json::{DEPTH_MAX, read_document};
use bytes::Bytes;
use rusqlite::Row;
use rusqlite::types::ValueRef;

/// Columns of a row that are read at most.
pub(crate) const COLUMNS_MAX: usize = 8;

/// The values of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Values<'r>(pub(crate) [ValueRef<'r>; COLUMNS_MAX]);

impl Default for Values<'_> {
    fn default() -> Self {
        Values([ValueRef::Null; COLUMNS_MAX])
    }
}

impl<'r> Values<'r> {
    /// Those of a row that SQLite has read.
    pub(crate) fn of(row: &'r Row<'_>) -> Values<'r> {
        let mut values = Values::default();
        for (at, value) in values.0.iter_mut().enumerate().take(COLUMNS_MAX) {
            // A row may have fewer.
            let Ok(read) = row.get_ref(at) else { break };
            *value = read;
        }
        values
    }
}

pub(crate) fn substrate(row: &Values<'_>, bytes: &mut usize) -> Result<SubstrateRecord, String> {
    let kind = integer(row, 2, "expression_type")?;
    Ok(SubstrateRecord {
        sequence: number(row, 0, "sequence")?,
        substrate: Substrate {
            id: SubstrateId(integer(row, 1, "id")?.cast_unsigned()),
            created_at: Timestamp(integer(row, 5, "created_at")?),
            updated_at: Timestamp(integer(row, 6, "updated_at")?),
            version: u32::try_from(integer(row, 7, "version")?).map_err(|_| "version is beyond 32 bits")?,
            expression_type: expression_type_of_code(kind)
                .ok_or_else(|| format!("expression_type is {kind}, which is none"))?,
            expression_code: text(row, 3, "expression_code", bytes)?.to_owned(),
            metadata: document(text(row, 4, "metadata", bytes)?, "metadata")?,
        },
    })
}

pub(crate) fn relationship(row: &Values<'_>, bytes: &mut usize) -> Result<RelationshipRecord, String> {
    plain_relationship(row).map_or_else(|| any_relationship(row, bytes), Ok)
}

/// The greatest creation number.
const NUMBER_MAX: i64 = i64::MAX - 1;

/// What nearly every relationship is: without constraints and lineage, and nothing wrong with it.
#[inline]
fn plain_relationship(row: &Values<'_>) -> Option<RelationshipRecord> {
    use ValueRef::{Integer, Null};
    let &[
        Integer(sequence @ 0..=NUMBER_MAX),
        Integer(source @ 0..=NUMBER_MAX),
        Integer(target @ 0..=NUMBER_MAX),
        Integer(rel_type),
        Integer(bidirectional @ 0..=1),
        Null,
        Null,
        Integer(created_at),
    ] = &row.0
    else {
        return None;
    };
    Some(RelationshipRecord {
        sequence: sequence.cast_unsigned(),
        rel_type: relationship_type_of_code(rel_type)?,
        bidirectional: bidirectional == 1,
        source: source.cast_unsigned(),
        target: target.cast_unsigned(),
        constraints: Document::Map(Vec::new()),
        lineage: Document::Null,
        created_at: Timestamp(created_at),
    })
}

#[cold]
fn any_relationship(row: &Values<'_>, bytes: &mut usize) -> Result<RelationshipRecord, String> {
    let rel_type = integer(row, 3, "rel_type")?;
    let mut optional = |at, name, absent| match row.0.get(at) {
        Some(ValueRef::Null) => Ok(absent),
        _ => document(text(row, at, name, bytes)?, name),
    };
    Ok(RelationshipRecord {
        sequence: number(row, 0, "sequence")?,
        rel_type: relationship_type_of_code(rel_type)
            .ok_or_else(|| format!("rel_type is {rel_type}, which is none"))?,
        bidirectional: match integer(row, 4, "bidirectional")? {
            0 => false,
            1 => true,
            other => return Err(format!("bidirectional is {other}, not 0 or 1")),
        },
        source: number(row, 1, "source")?,
        target: number(row, 2, "target")?,
        constraints: optional(5, "constraints", Document::Map(Vec::new()))?,
        lineage: optional(6, "lineage", Document::Null)?,
        created_at: Timestamp(integer(row, 7, "created_at")?),
    })
}

pub(crate) fn index(row: &Values<'_>, bytes: &mut usize) -> Result<IndexRecord, String> {
    Ok(IndexRecord {
        metadata_key: text(row, 0, "metadata_key", bytes)?.to_owned(),
        created_at: Timestamp(integer(row, 1, "created_at")?),
    })
}

pub(crate) fn answer(row: &Values<'_>, bytes: &mut usize) -> Result<KeptAnswer, String> {
    let blob = |at, name: &str| match row.0.get(at) {
        Some(&ValueRef::Blob(blob)) => Ok(blob),
        _ => Err(format!("{name} is no blob")),
    };
    let body = blob(5, "body")?;
    *bytes += body.len();
    Ok(KeptAnswer {
        name: text(row, 0, "name", bytes)?.to_owned(),
        expires_at: Timestamp(integer(row, 1, "expires_at")?),
        request_hash: blob(2, "request_hash")?.try_into().map_err(|_| "request_hash has not 32 bytes")?,
        status: u16::try_from(integer(row, 3, "status")?).map_err(|_| "status is no HTTP status")?,
        headers: headers(document(text(row, 4, "headers", bytes)?, "headers")?)?,
        body: Bytes::copy_from_slice(body),
    })
}

fn headers(document: Document) -> Result<Vec<(String, String)>, String> {
    let wrong = || "headers is no list of pairs of texts".to_owned();
    let Document::List(pairs) = document else { return Err(wrong()) };
    let pair = |pair: Document| match pair {
        Document::List(pair) => match <[Document; 2]>::try_from(pair) {
            Ok([Document::Text(name), Document::Text(value)]) => Ok((name.into(), value.into())),
            _ => Err(wrong()),
        },
        _ => Err(wrong()),
    };
    pairs.into_iter().map(pair).collect()
}

fn integer(row: &Values<'_>, at: usize, name: &str) -> Result<i64, String> {
    match row.0.get(at) {
        Some(&ValueRef::Integer(number)) => Ok(number),
        _ => Err(format!("{name} is no integer")),
    }
}

/// A creation number.
fn number(row: &Values<'_>, at: usize, name: &str) -> Result<u64, String> {
    match u64::try_from(integer(row, at, name)?) {
        Ok(number) if number <= NUMBER_MAX.cast_unsigned() => Ok(number),
        _ => Err(format!("{name} is no creation number")),
    }
}

fn text<'r>(row: &Values<'r>, at: usize, name: &str, bytes: &mut usize) -> Result<&'r str, String> {
    match row.0.get(at) {
        Some(&ValueRef::Text(text)) => {
            *bytes += text.len();
            std::str::from_utf8(text).map_err(|_| format!("{name} is not UTF-8"))
        }
        _ => Err(format!("{name} is no text")),
    }
}

fn document(text: &str, name: &str) -> Result<Document, String> {
    if text == "{}" {
        return Ok(Document::Map(Vec::new()));
    }
    read_document(text.as_bytes(), DEPTH_MAX).map_err(|error| format!("{name} is no JSON: {error}"))
}
