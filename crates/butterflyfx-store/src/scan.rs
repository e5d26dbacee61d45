//! Rows back into records, checked on the way: every row readable, ends there, numbers below the next
//! ones, counts and digests as committed.
//!
//! Recovery stops at the first complaint; verification collects them.

use crate::digest::{Digest, Hasher};
use crate::error::StoreError;
use crate::kept::KeptAnswer;
use crate::meta::{Counts, Meta, Next};
use crate::schema::{expression_type_of_code, relationship_type_of_code};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{Substrate, Timestamp};
use butterflyfx_engine::record::{IndexRecord, RelationshipRecord, SubstrateRecord};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::json::{DEPTH_MAX, read_document};
use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};
use std::path::Path;

/// Records of one part: few enough to stay in the caches, many enough that handing over costs nothing.
const PART_ROWS: usize = 1024;
/// Bytes of texts in a part, beyond which it is handed over before it is full.
const PART_BYTES: usize = 4 * 1024 * 1024;

/// What only a damaged page can bring about.
const OUT_OF_ORDER: &str = "the number is not greater than the one before";

/// Some of what was read.
#[derive(Debug)]
pub(crate) enum Part {
    Substrates(Vec<SubstrateRecord>),
    Relationships(Vec<RelationshipRecord>),
    Indexes(Vec<IndexRecord>),
    Answers(Vec<KeptAnswer>),
}

/// What was found, and what should have been.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) counts: Counts,
    pub(crate) digest: Digest,
    /// Of table `meta`; `None` where that is damaged, which was complained of.
    pub(crate) meta: Option<Meta>,
}

/// Takes a sentence about something wrong; an error stops the scan.
pub(crate) type Complain<'a> = dyn FnMut(String) -> Result<(), StoreError> + 'a;

/// Reads everything in one snapshot: substrates, relationships, indexes, answers, each in order of creation.
pub(crate) fn scan(
    connection: &Connection,
    path: &Path,
    emit: &mut dyn FnMut(Part) -> Result<(), StoreError>,
    complain: &mut Complain<'_>,
) -> Result<Scanned, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::of_sqlite(&error, path, "reading");
    connection.execute_batch("BEGIN").map_err(failed)?;
    let scanned = Scan { connection, path, emit, complain }.everything();
    // Nothing was written; where the end of a read fails, the connection is of no use anyway.
    let _ = connection.execute_batch("ROLLBACK");
    scanned
}

/// A failure while reading a table.
enum Stop {
    Sqlite(rusqlite::Error),
    Store(StoreError),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Stop {
        Stop::Sqlite(error)
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Stop {
        Stop::Store(error)
    }
}

struct Scan<'a> {
    connection: &'a Connection,
    path: &'a Path,
    emit: &'a mut dyn FnMut(Part) -> Result<(), StoreError>,
    complain: &'a mut Complain<'a>,
}

impl Scan<'_> {
    fn everything(&mut self) -> Result<Scanned, StoreError> {
        let mut hasher = Hasher::default();
        let (mut digest, mut answers_digest) = (Digest::default(), Digest::default());
        let (mut counts, mut next, mut ends) = (Counts::default(), Next::default(), Ranges::default());
        let meta = match Meta::load(self.connection) {
            Ok(Ok(meta)) => Some(meta),
            Ok(Err(sentence)) => {
                (self.complain)(sentence)?;
                None
            }
            Err(error) => {
                self.table_failed("meta", &error)?;
                None
            }
        };

        let sql = "SELECT sequence, id, expression_type, expression_code, metadata, created_at, updated_at, \
                   version FROM substrate ORDER BY sequence";
        self.table("substrate", sql, &[3, 4], &mut substrate, Part::Substrates, &mut |record| {
            counts.substrates += 1;
            digest.add(hasher.substrate(record)?);
            let grows = record.sequence >= next.substrate;
            if grows {
                next.substrate = record.sequence + 1;
                ends.push(record.sequence);
            }
            Ok((!grows).then(|| OUT_OF_ORDER.to_owned()))
        })?;

        let sql = "SELECT sequence, source, target, rel_type, bidirectional, constraints, lineage, created_at \
                   FROM relationship ORDER BY sequence";
        self.table("relationship", sql, &[5, 6], &mut relationship, Part::Relationships, &mut |record| {
            counts.relationships += 1;
            digest.add(hasher.relationship(record)?);
            if record.sequence < next.relationship {
                return Ok(Some(OUT_OF_ORDER.to_owned()));
            }
            next.relationship = record.sequence + 1;
            let lost = [record.source, record.target].into_iter().find(|end| !ends.contains(*end));
            Ok(lost.map(|end| format!("names substrate {end}, which is not there")))
        })?;

        let sql = "SELECT metadata_key, created_at FROM metadata_index ORDER BY rowid";
        self.table("metadata_index", sql, &[], &mut index, Part::Indexes, &mut |record| {
            counts.indexes += 1;
            digest.add(hasher.index(record));
            Ok(None)
        })?;

        let sql =
            "SELECT name, expires_at, request_hash, status, headers, body FROM idempotency ORDER BY rowid";
        self.table("idempotency", sql, &[4, 5], &mut answer, Part::Answers, &mut |record| {
            counts.answers += 1;
            answers_digest.add(hasher.answer(record));
            Ok(None)
        })?;

        if let Some(meta) = &meta {
            self.compare(meta, counts, [digest, answers_digest], next)?;
        }
        Ok(Scanned { counts, digest, meta })
    }

    /// Compares what was found with what was committed.
    fn compare(
        &mut self,
        meta: &Meta,
        found: Counts,
        [digest, answers_digest]: [Digest; 2],
        next: Next,
    ) -> Result<(), StoreError> {
        let committed = meta.counts;
        for (table, found, committed) in [
            ("substrate", found.substrates, committed.substrates),
            ("relationship", found.relationships, committed.relationships),
            ("metadata_index", found.indexes, committed.indexes),
            ("idempotency", found.answers, committed.answers),
        ] {
            if found != committed {
                (self.complain)(format!("table {table} has {found} rows, {committed} were committed"))?;
            }
        }
        for (table, after_last, next) in [
            ("substrate", next.substrate, meta.next.substrate),
            ("relationship", next.relationship, meta.next.relationship),
        ] {
            if after_last > next {
                (self.complain)(format!(
                    "table {table} has the number {}, the next one should be {next}",
                    after_last - 1
                ))?;
            }
        }
        for (what, found, committed) in [
            ("tables substrate, relationship and metadata_index", digest, meta.digest),
            ("table idempotency", answers_digest, meta.answers_digest),
        ] {
            if found != committed {
                (self.complain)(format!("the digest of {what} is {found}, {committed} was committed"))?;
            }
        }
        Ok(())
    }

    fn table_failed(&mut self, table: &str, error: &rusqlite::Error) -> Result<(), StoreError> {
        match StoreError::of_sqlite(error, self.path, &format!("reading table {table}")) {
            StoreError::Damaged { check, .. } => (self.complain)(check),
            other => Err(other),
        }
    }

    /// Reads one table: `decode` makes a record of a row, `take` looks at it and may complain. `texts` are
    /// the columns that may be large.
    fn table<R>(
        &mut self,
        name: &str,
        sql: &str,
        texts: &[usize],
        decode: &mut dyn FnMut(&Row<'_>) -> Result<R, String>,
        part: fn(Vec<R>) -> Part,
        take: &mut dyn FnMut(&R) -> Result<Option<String>, StoreError>,
    ) -> Result<(), StoreError> {
        match self.rows(name, sql, texts, decode, part, take) {
            Ok(()) => Ok(()),
            Err(Stop::Sqlite(error)) => self.table_failed(name, &error),
            Err(Stop::Store(error)) => Err(error),
        }
    }

    fn rows<R>(
        &mut self,
        name: &str,
        sql: &str,
        texts: &[usize],
        decode: &mut dyn FnMut(&Row<'_>) -> Result<R, String>,
        part: fn(Vec<R>) -> Part,
        take: &mut dyn FnMut(&R) -> Result<Option<String>, StoreError>,
    ) -> Result<(), Stop> {
        let mut statement = self.connection.prepare(sql)?;
        let mut rows = statement.raw_query();
        let mut records = Vec::with_capacity(PART_ROWS);
        let mut bytes = 0;
        while let Some(row) = rows.next()? {
            let complaint = match decode(row) {
                Err(sentence) => Some(sentence),
                Ok(record) => {
                    let complaint = take(&record)?;
                    records.push(record);
                    complaint
                }
            };
            if let Some(sentence) = complaint {
                (self.complain)(format!("table {name}, row {}: {sentence}", key(row)))?;
            }
            bytes += texts.iter().map(|column| row.get_ref(*column).map_or(0, length)).sum::<usize>();
            if records.len() == PART_ROWS || bytes >= PART_BYTES {
                bytes = 0;
                (self.emit)(part(std::mem::replace(&mut records, Vec::with_capacity(PART_ROWS))))?;
            }
        }
        if !records.is_empty() {
            (self.emit)(part(records))?;
        }
        Ok(())
    }
}

fn length(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        _ => 0,
    }
}

/// The first column, for a message.
fn key(row: &Row<'_>) -> String {
    match row.get_ref(0) {
        Ok(ValueRef::Integer(number)) => number.to_string(),
        Ok(ValueRef::Text(text)) => String::from_utf8_lossy(text).chars().take(80).collect(),
        _ => "?".to_owned(),
    }
}

fn substrate(row: &Row<'_>) -> Result<SubstrateRecord, String> {
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
            expression_code: text(row, 3, "expression_code")?.to_owned(),
            metadata: document(text(row, 4, "metadata")?, "metadata")?,
        },
    })
}

fn relationship(row: &Row<'_>) -> Result<RelationshipRecord, String> {
    let rel_type = integer(row, 3, "rel_type")?;
    let optional = |at, name, absent| match row.get_ref(at) {
        Ok(ValueRef::Null) => Ok(absent),
        _ => document(text(row, at, name)?, name),
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

fn index(row: &Row<'_>) -> Result<IndexRecord, String> {
    Ok(IndexRecord {
        metadata_key: text(row, 0, "metadata_key")?.to_owned(),
        created_at: Timestamp(integer(row, 1, "created_at")?),
    })
}

fn answer(row: &Row<'_>) -> Result<KeptAnswer, String> {
    let bytes = |at, name: &str| match row.get_ref(at) {
        Ok(ValueRef::Blob(bytes)) => Ok(bytes),
        _ => Err(format!("{name} is no blob")),
    };
    Ok(KeptAnswer {
        name: text(row, 0, "name")?.to_owned(),
        expires_at: Timestamp(integer(row, 1, "expires_at")?),
        request_hash: bytes(2, "request_hash")?.try_into().map_err(|_| "request_hash has not 32 bytes")?,
        status: u16::try_from(integer(row, 3, "status")?).map_err(|_| "status is no HTTP status")?,
        headers: headers(document(text(row, 4, "headers")?, "headers")?)?,
        body: Bytes::copy_from_slice(bytes(5, "body")?),
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

fn integer(row: &Row<'_>, at: usize, name: &str) -> Result<i64, String> {
    match row.get_ref(at) {
        Ok(ValueRef::Integer(number)) => Ok(number),
        _ => Err(format!("{name} is no integer")),
    }
}

/// A creation number.
fn number(row: &Row<'_>, at: usize, name: &str) -> Result<u64, String> {
    match u64::try_from(integer(row, at, name)?) {
        Ok(number) if number < i64::MAX.cast_unsigned() => Ok(number),
        _ => Err(format!("{name} is no creation number")),
    }
}

fn text<'r>(row: &'r Row<'_>, at: usize, name: &str) -> Result<&'r str, String> {
    match row.get_ref(at) {
        Ok(ValueRef::Text(text)) => std::str::from_utf8(text).map_err(|_| format!("{name} is not UTF-8")),
        _ => Err(format!("{name} is no text")),
    }
}

fn document(text: &str, name: &str) -> Result<Document, String> {
    if text == "{}" {
        return Ok(Document::Map(Vec::new()));
    }
    read_document(text.as_bytes(), DEPTH_MAX).map_err(|error| format!("{name} is no JSON: {error}"))
}

/// A set of growing numbers, as ranges: creation numbers have few gaps.
#[derive(Debug, Default)]
struct Ranges {
    /// First and last of each.
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    fn push(&mut self, number: u64) {
        match self.ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => self.ranges.push((number, number)),
        }
    }

    fn contains(&self, number: u64) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|(_, last)| number <= *last)
    }
}
