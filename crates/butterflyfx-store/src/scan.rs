//! Rows back into records, checked on the way: every row readable, ends there, numbers below the next
//! ones, counts and digests as committed.
//!
//! Recovery stops at the first complaint; verification collects them.

use crate::digest::{Digest, Hasher};
use crate::error::StoreError;
use crate::kept::KeptAnswer;
use crate::meta::{Counts, Meta, Next};
use crate::pages::{Buffers, LEAVES, Odd, Pages};
use crate::rows::{self, Values};
use butterflyfx_engine::record::{IndexRecord, RelationshipRecord, SubstrateRecord};
use rusqlite::Connection;
use rusqlite::types::ValueRef;
use std::borrow::Cow;
use std::panic::resume_unwind;
use std::path::Path;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;

/// Records, and bytes of texts, of a part that is handed over before its block is done.
const PART_ROWS: usize = 8 * BLOCK_ROWS as usize;
const PART_BYTES: usize = 4 * 1024 * 1024;

/// Rows of a block, about: few enough to stay in the caches, many enough that handing over costs nothing.
const BLOCK_ROWS: u64 = 1024;

/// Parts of a reader that may wait to be taken.
const PARTS_WAITING_MAX: usize = 8;

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

impl Part {
    pub(crate) fn len(&self) -> usize {
        match self {
            Part::Substrates(records) => records.len(),
            Part::Relationships(records) => records.len(),
            Part::Indexes(records) => records.len(),
            Part::Answers(answers) => answers.len(),
        }
    }
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
pub(crate) type Complain<'a> = dyn Fn(String) -> Result<(), StoreError> + Sync + 'a;

/// Reads everything: substrates, relationships, indexes, answers, each in order of creation. Each connection reads on a
/// thread of its own, a block of rows after the other. With more than one, nobody may write meanwhile; one alone sees a
/// snapshot. Where there are `pages`, the file without a log, the large tables are read from them.
pub(crate) fn scan(
    connections: &mut [Connection],
    pages: Option<&Pages>,
    path: &Path,
    emit: &mut dyn FnMut(Part),
    complain: &Complain<'_>,
) -> Result<Scanned, StoreError> {
    let failed = |error: rusqlite::Error| StoreError::of_sqlite(&error, path, "reading");
    for connection in connections.iter() {
        connection.execute_batch("BEGIN").map_err(failed)?;
    }
    let scanned = Scan { connections, pages, path, emit, complain }.everything();
    for connection in connections.iter() {
        // Nothing was written; where the end of a read fails, the connection is of no use anyway.
        let _ = connection.execute_batch("ROLLBACK");
    }
    scanned
}

/// A table and how its rows become records.
pub(crate) struct Table<R> {
    pub(crate) name: &'static str,
    pub(crate) columns: &'static str,
    /// The column that orders the rows; a number, and split into blocks, where that is `sequence`.
    pub(crate) key: &'static str,
    /// Makes a record of a row, and adds up the bytes of its texts.
    pub(crate) decode: fn(&Values<'_>, &mut usize) -> Result<R, String>,
    part: fn(Vec<R>) -> Part,
    /// Looks at a record, and may complain.
    take: fn(&mut Tally<'_>, &R) -> Result<Option<String>, StoreError>,
}

pub(crate) const SUBSTRATE: Table<SubstrateRecord> = Table {
    name: "substrate",
    columns: "sequence, id, expression_type, expression_code, metadata, created_at, updated_at, version",
    key: "sequence",
    decode: rows::substrate,
    part: Part::Substrates,
    take: |tally, record| {
        tally.counts.substrates += 1;
        tally.digest.add(tally.hasher.substrate(record)?);
        let grows = record.sequence >= tally.next.substrate;
        if grows {
            tally.next.substrate = record.sequence + 1;
            tally.numbers.push(record.sequence);
        }
        Ok((!grows).then(|| OUT_OF_ORDER.to_owned()))
    },
};

pub(crate) const RELATIONSHIP: Table<RelationshipRecord> = Table {
    name: "relationship",
    columns: "sequence, source, target, rel_type, bidirectional, constraints, lineage, created_at",
    key: "sequence",
    decode: rows::relationship,
    part: Part::Relationships,
    take: |tally, record| {
        tally.counts.relationships += 1;
        tally.digest.add(tally.hasher.relationship(record)?);
        if record.sequence < tally.next.relationship {
            return Ok(Some(OUT_OF_ORDER.to_owned()));
        }
        tally.next.relationship = record.sequence + 1;
        let lost = [record.source, record.target].into_iter().find(|end| !tally.ends.contains(*end));
        Ok(lost.map(|end| format!("names substrate {end}, which is not there")))
    },
};

pub(crate) const METADATA_INDEX: Table<IndexRecord> = Table {
    name: "metadata_index",
    columns: "metadata_key, created_at",
    key: "rowid",
    decode: rows::index,
    part: Part::Indexes,
    take: |tally, record| {
        tally.counts.indexes += 1;
        tally.digest.add(tally.hasher.index(record));
        Ok(None)
    },
};

pub(crate) const IDEMPOTENCY: Table<KeptAnswer> = Table {
    name: "idempotency",
    columns: "name, expires_at, request_hash, status, headers, body",
    key: "rowid",
    decode: rows::answer,
    part: Part::Answers,
    take: |tally, record| {
        tally.counts.answers += 1;
        tally.answers_digest.add(tally.hasher.answer(record));
        Ok(None)
    },
};

/// What a reader found in a table.
#[derive(Default)]
struct Tally<'a> {
    hasher: Hasher,
    counts: Counts,
    digest: Digest,
    answers_digest: Digest,
    next: Next,
    /// Numbers of the substrates in this table.
    numbers: Ranges,
    /// Numbers that relationships may name.
    ends: Cow<'a, Ranges>,
    /// Records of the largest part so far: the next will have about as many.
    part_rows: usize,
}

/// A failure while reading a table.
enum Stop {
    Sqlite(rusqlite::Error),
    Odd(Odd),
    Store(StoreError),
}

impl From<Odd> for Stop {
    fn from(odd: Odd) -> Stop {
        Stop::Odd(odd)
    }
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
    connections: &'a mut [Connection],
    pages: Option<&'a Pages>,
    path: &'a Path,
    emit: &'a mut dyn FnMut(Part),
    complain: &'a Complain<'a>,
}

impl Scan<'_> {
    fn everything(&mut self) -> Result<Scanned, StoreError> {
        let meta = match Meta::load(&self.connections[0]) {
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
        let expected = meta.as_ref().map(|meta| meta.counts).unwrap_or_default();
        let mut all = Tally::default();
        let none = Ranges::default();
        self.table(&SUBSTRATE, expected.substrates, &none, &mut all)?;
        let ends = std::mem::take(&mut all.numbers);
        self.table(&RELATIONSHIP, expected.relationships, &ends, &mut all)?;
        self.table(&METADATA_INDEX, 0, &none, &mut all)?;
        self.table(&IDEMPOTENCY, 0, &none, &mut all)?;
        if let Some(meta) = &meta {
            self.compare(meta, &all)?;
        }
        Ok(Scanned { counts: all.counts, digest: all.digest, meta })
    }

    /// Compares what was found with what was committed.
    fn compare(&mut self, meta: &Meta, all: &Tally<'_>) -> Result<(), StoreError> {
        let (found, committed) = (all.counts, meta.counts);
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
            ("substrate", all.next.substrate, meta.next.substrate),
            ("relationship", all.next.relationship, meta.next.relationship),
        ] {
            if after_last > next {
                (self.complain)(format!(
                    "table {table} has the number {}, the next one should be {next}",
                    after_last - 1
                ))?;
            }
        }
        for (what, found, committed) in [
            ("tables substrate, relationship and metadata_index", all.digest, meta.digest),
            ("table idempotency", all.answers_digest, meta.answers_digest),
        ] {
            if found != committed {
                (self.complain)(format!("the digest of {what} is {found}, {committed} was committed"))?;
            }
        }
        Ok(())
    }

    fn table_failed(&self, table: &str, error: &rusqlite::Error) -> Result<(), StoreError> {
        failed(error, table, self.path, self.complain)
    }

    /// Reads one table of about so many rows with all readers, and emits its parts in order.
    fn table<R: Send>(
        &mut self,
        table: &Table<R>,
        rows: u64,
        ends: &Ranges,
        all: &mut Tally<'_>,
    ) -> Result<(), StoreError> {
        let (path, complain, emit) = (self.path, self.complain, &mut *self.emit);
        let mut work = Work { path, complain, emit, table, ends };
        if let Some(pages) = self.pages.filter(|_| table.key == "sequence") {
            let root = self.connections[0].query_row(
                "SELECT rootpage FROM sqlite_schema WHERE type = 'table' AND name = ?1",
                [table.name],
                |row| row.get(0),
            );
            let leaves = match root.map(|root| pages.leaves(root)) {
                Ok(Ok(leaves)) => leaves,
                Ok(Err(Odd(sentence))) => return complain(format!("table {}: {sentence}", table.name)),
                Err(error) => return failed(&error, table.name, path, complain),
            };
            let sources = self.connections.iter().map(|_| FromPages { pages, buffers: Buffers::default() });
            return work.share(sources.collect(), leaves.chunks(LEAVES).collect(), all);
        }
        match blocks(&self.connections[0], table, rows) {
            Ok(blocks) => work.share(self.connections.iter_mut().map(FromSqlite).collect(), blocks, all),
            Err(error) => failed(&error, table.name, path, complain),
        }
    }
}

/// Complains of damage; answers any other failure.
fn failed(
    error: &rusqlite::Error,
    table: &str,
    path: &Path,
    complain: &Complain<'_>,
) -> Result<(), StoreError> {
    match StoreError::of_sqlite(error, path, &format!("reading table {table}")) {
        StoreError::Damaged { check, .. } => complain(check),
        other => Err(other),
    }
}

/// Where a reader has rows from.
trait Source: Send {
    /// Some neighbouring rows.
    type Block: Sync;

    /// Hands each row of a block to `each`, in order.
    fn rows<R>(
        &mut self,
        table: &Table<R>,
        block: &Self::Block,
        each: impl FnMut(&Values<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop>;
}

struct FromSqlite<'a>(&'a mut Connection);

impl Source for FromSqlite<'_> {
    /// First and last number.
    type Block = (i64, i64);

    fn rows<R>(
        &mut self,
        table: &Table<R>,
        block: &(i64, i64),
        mut each: impl FnMut(&Values<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        let Table { name, columns, key, .. } = table;
        let sql = format!("SELECT {columns} FROM {name} WHERE {key} BETWEEN ?1 AND ?2 ORDER BY {key}");
        let mut statement = self.0.prepare_cached(&sql)?;
        let mut rows = statement.query([block.0, block.1])?;
        while let Some(row) = rows.next()? {
            each(&Values::of(row))?;
        }
        Ok(())
    }
}

struct FromPages<'a> {
    pages: &'a Pages,
    buffers: Buffers,
}

impl<'a> Source for FromPages<'a> {
    /// Leaves.
    type Block = &'a [u32];

    fn rows<R>(
        &mut self,
        _: &Table<R>,
        block: &&'a [u32],
        each: impl FnMut(&Values<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        self.pages.rows(block, &mut self.buffers, each)
    }
}

/// Reading one table.
struct Work<'a, R> {
    path: &'a Path,
    complain: &'a Complain<'a>,
    emit: &'a mut dyn FnMut(Part),
    table: &'a Table<R>,
    /// Numbers that relationships may name.
    ends: &'a Ranges,
}

impl<R: Send> Work<'_, R> {
    /// Each source reads every so manieth block on a thread of its own; parts are emitted in order.
    fn share<S: Source>(
        &mut self,
        sources: Vec<S>,
        blocks: Vec<S::Block>,
        all: &mut Tally<'_>,
    ) -> Result<(), StoreError> {
        let Work { path, complain, table, ends, .. } = *self;
        let readers = sources.len().min(blocks.len());
        let tallies = thread::scope(|scope| {
            let (parts, threads): (Vec<_>, Vec<_>) = sources
                .into_iter()
                .take(readers)
                .enumerate()
                .map(|(at, source)| {
                    let (sender, parts) = sync_channel(PARTS_WAITING_MAX);
                    let blocks = blocks.iter().skip(at).step_by(readers);
                    let reader = Reader { path, table, complain, sender };
                    (parts, scope.spawn(move || reader.read(source, blocks, ends)))
                })
                .unzip();
            for parts in parts.iter().cycle().take(blocks.len()) {
                // A block ends with nothing; a reader that has failed ends, and so do all that follow.
                while let Ok(Some(part)) = parts.recv() {
                    (self.emit)((table.part)(part));
                }
            }
            drop(parts);
            threads.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
        });
        let tallies: Vec<Result<Tally<'_>, StoreError>> = tallies;
        for tally in tallies {
            all.add(tally?);
        }
        Ok(())
    }
}

impl Tally<'_> {
    fn add(&mut self, other: Tally<'_>) {
        let Counts { substrates, relationships, indexes, answers } = &mut self.counts;
        *substrates += other.counts.substrates;
        *relationships += other.counts.relationships;
        *indexes += other.counts.indexes;
        *answers += other.counts.answers;
        self.digest.join(other.digest);
        self.answers_digest.join(other.answers_digest);
        self.next.substrate = self.next.substrate.max(other.next.substrate);
        self.next.relationship = self.next.relationship.max(other.next.relationship);
        self.numbers.join(other.numbers);
    }
}

/// First and last number of each block; together they hold every number. One block where a table has no numbers. There are
/// no more of them than rows ask for, however far apart the numbers are.
fn blocks<R>(connection: &Connection, table: &Table<R>, rows: u64) -> rusqlite::Result<Vec<(i64, i64)>> {
    let name = table.name;
    if table.key != "sequence" {
        return Ok(vec![(i64::MIN, i64::MAX)]);
    }
    let number = |sql: String| connection.query_row(&sql, [], |row| row.get::<_, Option<i64>>(0));
    let (Some(first), Some(last)) = (
        number(format!("SELECT min(sequence) FROM {name}"))?,
        number(format!("SELECT max(sequence) FROM {name}"))?,
    ) else {
        return Ok(vec![(i64::MIN, i64::MAX)]);
    };
    let span = u64::try_from(i128::from(last) - i128::from(first)).unwrap_or(u64::MAX);
    let width = (span / (rows / BLOCK_ROWS + 1)).saturating_add(1).max(BLOCK_ROWS);
    let mut blocks: Vec<(i64, i64)> = Vec::new();
    let mut from = i64::MIN;
    for at in 1..=span / width {
        // Not beyond the last number, so it fits.
        let next = first.wrapping_add_unsigned(at * width);
        blocks.push((from, next - 1));
        from = next;
    }
    blocks.push((from, i64::MAX));
    Ok(blocks)
}

/// Reads some blocks of a table.
struct Reader<'a, R> {
    path: &'a Path,
    table: &'a Table<R>,
    complain: &'a Complain<'a>,
    /// Takes the parts of each block, and `None` at its end.
    sender: SyncSender<Option<Vec<R>>>,
}

impl<R> Reader<'_, R> {
    fn read<'a, 'b, S: Source>(
        self,
        mut source: S,
        mut blocks: impl Iterator<Item = &'b S::Block>,
        ends: &'a Ranges,
    ) -> Result<Tally<'a>, StoreError>
    where
        S::Block: 'b,
    {
        let mut tally = Tally { ends: Cow::Borrowed(ends), ..Tally::default() };
        let name = self.table.name;
        match blocks.try_for_each(|block| self.block(&mut source, block, &mut tally)) {
            Ok(()) => Ok(tally),
            Err(Stop::Store(error)) => Err(error),
            Err(Stop::Odd(Odd(sentence))) => {
                (self.complain)(format!("table {name}: {sentence}")).map(|()| tally)
            }
            Err(Stop::Sqlite(error)) => failed(&error, name, self.path, self.complain).map(|()| tally),
        }
    }

    fn block<S: Source>(&self, source: &mut S, block: &S::Block, tally: &mut Tally<'_>) -> Result<(), Stop> {
        let mut records = Vec::with_capacity(tally.part_rows);
        let mut bytes = 0;
        source.rows(self.table, block, |row| {
            let complaint = match (self.table.decode)(row, &mut bytes) {
                Err(sentence) => Some(sentence),
                Ok(record) => {
                    let complaint = (self.table.take)(tally, &record)?;
                    records.push(record);
                    complaint
                }
            };
            if let Some(sentence) = complaint {
                (self.complain)(format!("table {}, row {}: {sentence}", self.table.name, key(row)))?;
            }
            if bytes >= PART_BYTES || records.len() == PART_ROWS {
                bytes = 0;
                tally.part_rows = tally.part_rows.max(records.len());
                let next = Vec::with_capacity(tally.part_rows);
                let _ = self.sender.send(Some(std::mem::replace(&mut records, next)));
            }
            Ok(())
        })?;
        tally.part_rows = tally.part_rows.max(records.len());
        if !records.is_empty() {
            let _ = self.sender.send(Some(records));
        }
        // Whoever takes parts may have had enough; that all rows are looked at counts more.
        let _ = self.sender.send(None);
        Ok(())
    }
}

/// The first column, for a message.
fn key(row: &Values<'_>) -> String {
    match row.0.first() {
        Some(ValueRef::Integer(number)) => number.to_string(),
        Some(ValueRef::Text(text)) => String::from_utf8_lossy(text).chars().take(80).collect(),
        _ => "?".to_owned(),
    }
}

/// A set of growing numbers, as ranges: creation numbers have few gaps.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ranges {
    /// First and last of each.
    ranges: Vec<(u64, u64)>,
}

impl Ranges {
    pub(crate) fn push(&mut self, number: u64) {
        match self.ranges.last_mut() {
            Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
            _ => self.ranges.push((number, number)),
        }
    }

    /// Takes in what another reader found, whose blocks lie between these.
    fn join(&mut self, other: Ranges) {
        self.ranges.extend(other.ranges);
        self.ranges.sort_unstable();
        self.ranges.dedup_by(|next, before| {
            let touches = before.1.checked_add(1) == Some(next.0);
            if touches {
                before.1 = next.1;
            }
            touches
        });
    }

    pub(crate) fn contains(&self, number: u64) -> bool {
        let after = self.ranges.partition_point(|(first, _)| *first <= number);
        after.checked_sub(1).and_then(|at| self.ranges.get(at)).is_some_and(|(_, last)| number <= *last)
    }
}
