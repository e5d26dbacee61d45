//! What can still be read of a damaged database, as a new data folder.
//!
//! A table is read from its first row on. Where a page is broken, the numbers that follow the last good row are
//! asked for in pieces, and a piece that fails in halves, so that a broken page costs its own rows only. What was read is
//! judged as at a start: what another record needs or what is there already is left out.

use crate::backup::database_of;
use crate::digest::Digest;
use crate::error::StoreError;
use crate::folder::{self, DATABASE_FILE, FolderLock};
use crate::fresh::{Fresh, Purpose};
use crate::kept::KeptAnswer;
use crate::meta::{Counts, Meta, Next};
use crate::rows::Values;
use crate::scan::{IDEMPOTENCY, METADATA_INDEX, RELATIONSHIP, Ranges, SUBSTRATE, Table};
use crate::store::{check_marks, connect};
use crate::verify::{Progress, Tell, log_damage};
use butterflyfx_engine::record::Change;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags, Row, Statement};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

/// Complaints kept; one broken page can break thousands of rows.
const COMPLAINTS_MAX: usize = 20;

/// Numbers that are asked for together behind a broken page.
const PIECE: i64 = 1024;

/// Questions about a piece: enough to come down to single rows.
const QUESTIONS_MAX: u32 = 2 * PIECE as u32;

/// Pieces in a row that may give nothing before they become wider, which bounds the work: where the greatest
/// number is known, and where it is not.
const BARREN_MAX: (u32, u32) = (1000, 16);

/// Records, and bytes of their texts, that are written together.
const BATCH_ROWS: usize = 8192;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Greater than any creation number.
const LAST: i64 = i64::MAX - 1;

/// What a repair salvaged.
#[derive(Clone, Debug, PartialEq)]
pub struct Repaired {
    /// The new database.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Records in it.
    pub salvaged: Counts,
    /// Digest of the substrates, relationships and indexes in it.
    pub digest: Digest,
    /// Records that the damaged database should have; `None` where that cannot be read either.
    pub committed: Option<Counts>,
    /// Rows that were read and are of no use: they make no record, or lack an end, or are there already.
    pub left_out: u64,
    /// Whether all is as it was committed.
    pub is_whole: bool,
    /// What is wrong, a sentence each, the first 20.
    pub complaints: Vec<String>,
    /// How long it took, verification included.
    pub seconds: f64,
}

/// Makes a data folder of what can be read of a damaged database: a data folder, or a file such as a backup, which is not
/// changed. Formulas are not judged. `tell` is told how many records there are so far.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::Foreign`] and [`StoreError::NewerFormat`]; [`StoreError::Damaged`] where not even
/// the names of the tables can be read. [`StoreError::Exists`] where the new folder holds a database,
/// [`StoreError::Locked`] where a process uses it, [`StoreError::Full`], [`StoreError::Io`]. Then it holds no database.
pub fn repair(damaged: &Path, into: &Path, tell: &mut Tell<'_>) -> Result<Repaired, StoreError> {
    let started = Instant::now();
    let damaged = database_of(damaged)?;
    folder::check_header(&damaged)?;
    let connection = connect_to_damaged(&damaged)?;
    check_marks(&connection, &damaged)?;
    folder::make(into)?;
    let _lock = FolderLock::take(into)?;
    let place = into.join(DATABASE_FILE);
    if folder::holds_database(into) {
        return Err(StoreError::Exists { path: place });
    }
    let mut salvage = Salvage {
        connection: &connection,
        path: &damaged,
        fresh: Fresh::begin(&place)?,
        changes: Vec::new(),
        answers: Vec::new(),
        bytes: 0,
        expected: 0,
        left_out: 0,
        complaints: Vec::new(),
        tell,
    };
    if let Some(sentence) = log_damage(&damaged)? {
        salvage.complain(|| format!("{sentence}; what was committed after that is lost"));
    }
    let log_is_sound = salvage.complaints.is_empty();
    connection.execute_batch("BEGIN").map_err(|error| StoreError::of_sqlite(&error, &damaged, "reading"))?;
    let meta = salvage.everything()?;
    let Salvage { fresh, mut complaints, left_out, .. } = salvage;
    let (salvaged, digest, answers_digest) = {
        let found = fresh.meta();
        (found.counts, found.digest, found.answers_digest)
    };
    let mut is_whole = log_is_sound && left_out == 0;
    match &meta {
        Some(meta) if meta.counts != salvaged => is_whole = false,
        Some(meta) if (meta.digest, meta.answers_digest) != (digest, answers_digest) => {
            is_whole = false;
            complaints.insert(
                0,
                format!("not all is as it was committed: the digest is {digest}, not {}", meta.digest),
            );
        }
        Some(_) => {}
        None => is_whole = false,
    }
    complaints.truncate(COMPLAINTS_MAX);
    let report = fresh.finish(meta.as_ref().map(|meta| meta.next).unwrap_or_default(), Purpose::Folder)?;
    Ok(Repaired {
        path: place,
        bytes: report.bytes,
        salvaged,
        digest: report.digest,
        committed: meta.map(|meta| meta.counts),
        left_out,
        is_whole,
        complaints,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Opens it so that SQLite reads on where it would rather give up: a file that is shorter than it says, a schema with
/// something wrong in it, a page with one bad cell.
fn connect_to_damaged(path: &Path) -> Result<Connection, StoreError> {
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let relax = || -> rusqlite::Result<()> {
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false)?;
        connection.pragma_update(None, "cell_size_check", false)?;
        connection.pragma_update(None, "writable_schema", true)
    };
    relax().map_err(|error| StoreError::of_sqlite(&error, path, "opening"))?;
    Ok(connection)
}

/// A row: a record and the bytes of its texts, or why it is none.
type Read<R> = Result<(R, usize), String>;

/// What goes into the new database.
enum Good {
    Change(Change),
    Answer(KeptAnswer),
}

/// Says why a record is left out, where it is.
type Judge<'a, R> = dyn FnMut(R) -> Result<Good, String> + 'a;

struct Salvage<'a> {
    connection: &'a Connection,
    path: &'a Path,
    fresh: Fresh,
    changes: Vec<Change>,
    answers: Vec<KeptAnswer>,
    /// Of the texts in both.
    bytes: usize,
    expected: u64,
    left_out: u64,
    complaints: Vec<String>,
    tell: &'a mut Tell<'a>,
}

impl Salvage<'_> {
    /// Reads all tables; what the database says of itself, if that can be read.
    fn everything(&mut self) -> Result<Option<Meta>, StoreError> {
        let meta = match Meta::load(self.connection) {
            Ok(Ok(meta)) => Some(meta),
            Ok(Err(sentence)) => {
                self.complain(|| sentence);
                None
            }
            Err(error) => {
                self.broken("meta", &error)?;
                None
            }
        };
        let counts = meta.as_ref().map(|meta| meta.counts).unwrap_or_default();
        self.expected = counts.substrates + counts.relationships + counts.indexes;
        let next = meta.as_ref().map(|meta| meta.next);
        let last = |number: fn(Next) -> u64| {
            next.map(|next| i64::try_from(number(next)).unwrap_or(i64::MAX).saturating_sub(1).min(LAST))
        };

        let (mut ids, mut numbers) = (HashSet::new(), Ranges::default());
        let mut can_read = self.table(&SUBSTRATE, last(|next| next.substrate), &mut |record| {
            let id = record.substrate.id;
            if !ids.insert(id.0) {
                return Err(format!("its identity {id} is that of another row"));
            }
            numbers.push(record.sequence);
            Ok(Good::Change(Change::SubstrateCreated(record)))
        })?;
        drop(ids);
        // A hash of 64 bits, as an identity is.
        let mut edges = HashSet::new();
        can_read |= self.table(&RELATIONSHIP, last(|next| next.relationship), &mut |record| {
            if let Some(end) = [record.source, record.target].into_iter().find(|end| !numbers.contains(*end))
            {
                return Err(format!("its end, substrate {end}, is not there"));
            }
            let mut edge = [0; 17];
            edge[..8].copy_from_slice(&record.source.to_le_bytes());
            edge[8..16].copy_from_slice(&record.target.to_le_bytes());
            edge[16] = crate::schema::code_of_relationship_type(record.rel_type);
            if !edges.insert(xxh3_64(&edge)) {
                return Err("another row is the same relationship".to_owned());
            }
            Ok(Good::Change(Change::RelationshipCreated(record)))
        })?;
        drop(edges);
        let mut keys = HashSet::new();
        can_read |= self.table(&METADATA_INDEX, None, &mut |record| {
            if !keys.insert(record.metadata_key.clone()) {
                return Err("another row is the same index".to_owned());
            }
            Ok(Good::Change(Change::IndexDeclared(record)))
        })?;
        can_read |= self.table(&IDEMPOTENCY, None, &mut |answer| Ok(Good::Answer(answer)))?;
        match self.complaints.first() {
            Some(check) if !can_read && meta.is_none() => {
                Err(StoreError::Damaged { path: self.path.to_path_buf(), check: check.clone() })
            }
            _ => Ok(meta),
        }
    }

    /// Reads one table, whose greatest number is known or not; `false` where it cannot be asked for anything.
    fn table<R>(
        &mut self,
        table: &Table<R>,
        greatest: Option<i64>,
        judge: &mut Judge<'_, R>,
    ) -> Result<bool, StoreError> {
        let Table { name, columns, key, .. } = table;
        let select = format!("SELECT {columns}, {key} FROM {name} NOT INDEXED WHERE {key}");
        let prepare = |bounds: &str| self.connection.prepare(&format!("{select} {bounds} ORDER BY {key}"));
        let (mut onward, mut between) = match (prepare(">= ?1"), prepare("BETWEEN ?1 AND ?2")) {
            (Ok(onward), Ok(between)) => (onward, between),
            (Err(error), _) | (_, Err(error)) => {
                self.broken(name, &error)?;
                return Ok(false);
            }
        };
        let barren_max = if greatest.is_some() { BARREN_MAX.0 } else { BARREN_MAX.1 };
        let last = greatest.unwrap_or(LAST);
        let (mut from, mut width, mut barren) = (0, PIECE, 0);
        while from <= last {
            let Some(next) = self.walk(table, &mut onward, from, last, judge)? else { break };
            if next > from {
                barren = 0;
            }
            if next > last {
                break;
            }
            if barren == 0 {
                width = PIECE;
            }
            let end = next.saturating_add(width - 1).min(last);
            let found = self.piece(table, &mut between, next, end)?;
            barren = if found.is_empty() { barren + 1 } else { 0 };
            if barren > barren_max {
                width = width.saturating_mul(16);
            }
            for (number, read) in found {
                self.take(table, number, read, judge)?;
            }
            from = end + 1;
        }
        self.write()?;
        Ok(true)
    }

    /// Reads from a number on to the end, which answers `None`, or until a page is broken: then from where on nothing
    /// is known.
    fn walk<R>(
        &mut self,
        table: &Table<R>,
        onward: &mut Statement<'_>,
        from: i64,
        last: i64,
        judge: &mut Judge<'_, R>,
    ) -> Result<Option<i64>, StoreError> {
        let mut next = from;
        // A row counts once the number that follows is known: of a number that was changed, only the order tells.
        let mut waiting: Option<(i64, Read<R>)> = None;
        let mut rows = onward.query([from]).map_err(|error| self.failed(&error))?;
        loop {
            let row = match rows.next() {
                Ok(row) => row.map(|row| read(table, row)),
                Err(error) => {
                    self.broken(table.name, &error)?;
                    return Ok(Some(next));
                }
            };
            let is_end = row.is_none();
            let after = row.as_ref().map(|(number, _)| *number);
            if let Some((number, read)) = std::mem::replace(&mut waiting, row) {
                if number < next || number > last || after.is_some_and(|after| after <= number) {
                    self.leave_out(table.name, number, "its number is out of order");
                } else {
                    next = number + 1;
                    self.take(table, number, read, judge)?;
                }
            }
            if is_end {
                return Ok(None);
            }
        }
    }

    /// What can be read of the numbers in a piece, some of which cannot.
    fn piece<R>(
        &mut self,
        table: &Table<R>,
        between: &mut Statement<'_>,
        first: i64,
        last: i64,
    ) -> Result<BTreeMap<i64, Read<R>>, StoreError> {
        let mut found = BTreeMap::new();
        // The widest first, so that where there are too many questions, the answers are from all over the piece.
        let mut ranges = VecDeque::from([(first, last)]);
        let mut asked = 0;
        while let Some((first, last)) = ranges.pop_front()
            && asked < QUESTIONS_MAX
        {
            asked += 1;
            let mut rows = between.query([first, last]).map_err(|error| self.failed(&error))?;
            loop {
                match rows.next() {
                    Ok(None) => break,
                    Ok(Some(row)) => {
                        let (number, read) = read(table, row);
                        if (first..=last).contains(&number) {
                            found.entry(number).or_insert(read);
                        }
                    }
                    Err(error) => {
                        self.unless_broken(&error)?;
                        if first < last {
                            let middle = first + (last - first) / 2;
                            ranges.extend([(first, middle), (middle + 1, last)]);
                        }
                        break;
                    }
                }
            }
        }
        Ok(found)
    }

    fn take<R>(
        &mut self,
        table: &Table<R>,
        number: i64,
        read: Read<R>,
        judge: &mut Judge<'_, R>,
    ) -> Result<(), StoreError> {
        let judged = read.and_then(|(record, bytes)| judge(record).map(|good| (good, bytes)));
        match judged {
            Ok((good, bytes)) => {
                self.bytes += bytes;
                match good {
                    Good::Change(change) => self.changes.push(change),
                    Good::Answer(answer) => self.answers.push(answer),
                }
            }
            Err(sentence) => self.leave_out(table.name, number, &sentence),
        }
        if self.changes.len() + self.answers.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.write()?;
        }
        Ok(())
    }

    fn write(&mut self) -> Result<(), StoreError> {
        self.fresh.write(&self.changes, &self.answers)?;
        self.changes.clear();
        self.answers.clear();
        self.bytes = 0;
        let Counts { substrates, relationships, indexes, .. } = self.fresh.meta().counts;
        let done = substrates + relationships + indexes;
        (self.tell)(Progress { doing: "reading records", done, of: self.expected });
        Ok(())
    }

    fn leave_out(&mut self, table: &str, number: i64, sentence: &str) {
        self.left_out += 1;
        self.complain(|| format!("table {table}, row {number}: {sentence}"));
    }

    fn complain(&mut self, sentence: impl FnOnce() -> String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(sentence());
        }
    }

    /// Complains of a table that cannot be read on.
    fn broken(&mut self, table: &str, error: &rusqlite::Error) -> Result<(), StoreError> {
        self.unless_broken(error)?;
        self.complain(|| format!("reading table {table}: {error}"));
        Ok(())
    }

    /// An error of another kind than that a page is broken, or cannot be read from the disk.
    fn unless_broken(&self, error: &rusqlite::Error) -> Result<(), StoreError> {
        match self.failed(error) {
            StoreError::Damaged { .. } | StoreError::Io { .. } => Ok(()),
            other => Err(other),
        }
    }

    fn failed(&self, error: &rusqlite::Error) -> StoreError {
        StoreError::of_sqlite(error, self.path, "reading")
    }
}

/// A row and its number, which is its last column.
fn read<R>(table: &Table<R>, row: &Row<'_>) -> (i64, Read<R>) {
    let at = row.as_ref().column_count().saturating_sub(1);
    let mut bytes = 0;
    let read = (table.decode)(&Values::of(row), &mut bytes).map(|record| (record, bytes));
    (row.get(at).unwrap_or(-1), read)
}
