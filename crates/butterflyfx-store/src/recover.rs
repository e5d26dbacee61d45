//! Everything back from the file, checked, into whoever keeps it in memory.
//!
//! Rows are read and decoded on threads of their own while the receiver takes what was read before. Where the whole
//! database is in its file, they are read from its pages; should that come to anything but what was committed, SQLite
//! reads, and judges.

use crate::digest::Digest;
use crate::error::StoreError;
use crate::folder::DATABASE_FILE;
use crate::kept::KeptAnswer;
use crate::meta::{Counts, Next};
use crate::pages::Pages;
use crate::scan::{Part, scan};
use crate::store::{check_marks, connect, now};
use butterflyfx_engine::model::Timestamp;
use butterflyfx_engine::record::{IndexRecord, RelationshipRecord, SubstrateRecord};
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::time::Instant;

/// Takes what was stored, in this order: all substrates, all relationships, all indexes, all answers.
///
/// What it was given counts only when the recovery ends well: damage may show at the end.
/// Each method may refuse with a sentence.
#[allow(clippy::missing_errors_doc, reason = "the line above")]
pub trait Receive {
    /// Forgets what it was given: all of it comes again.
    fn begin_again(&mut self) -> Result<(), String>;
    /// The next substrates by creation number.
    fn substrates(&mut self, records: Vec<SubstrateRecord>) -> Result<(), String>;
    /// The next relationships by creation number.
    fn relationships(&mut self, records: Vec<RelationshipRecord>) -> Result<(), String>;
    /// The next index by declaration.
    fn index(&mut self, record: IndexRecord) -> Result<(), String>;
    /// Answers that have not expired, in the order in which they were kept.
    fn kept_answers(&mut self, answers: Vec<KeptAnswer>) -> Result<(), String>;
}

/// What was read back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recovered {
    /// Records read; among the answers those that have expired are counted too.
    pub counts: Counts,
    /// Their digest, which equals the committed one.
    pub digest: Digest,
    /// The numbers to go on with.
    pub next: Next,
    /// Whether rows came from the pages of the file, and not through SQLite.
    pub from_pages: bool,
    /// How long it took.
    pub seconds: f64,
}

/// See [`crate::Store::recover`] and [`scan`].
pub(crate) fn recover(
    connections: &mut [Connection],
    pages: Option<&Pages>,
    path: &Path,
    now: Timestamp,
    receiver: &mut impl Receive,
) -> Result<Recovered, StoreError> {
    let started = Instant::now();
    let mut received = Ok(());
    // Once the receiver has refused, the rest is read all the same: where the file is damaged, that is the
    // better answer.
    let mut emit = |part| {
        if received.is_ok() {
            received = receive(part, now, receiver);
        }
    };
    let complain = |check| Err(StoreError::Damaged { path: path.to_path_buf(), check });
    let mut from_pages = pages.is_some();
    let mut scanned = scan(connections, pages, path, &mut emit, &complain);
    if from_pages && matches!(scanned, Err(StoreError::Damaged { .. })) {
        from_pages = false;
        received = receiver.begin_again();
        let mut emit = |part| {
            if received.is_ok() {
                received = receive(part, now, receiver);
            }
        };
        scanned = scan(connections, None, path, &mut emit, &complain);
    }
    let scanned = scanned?;
    received.map_err(StoreError::Refused)?;
    let next = scanned.meta.map(|meta| meta.next).unwrap_or_default();
    Ok(Recovered {
        counts: scanned.counts,
        digest: scanned.digest,
        next,
        from_pages,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Reads everything in a database without changing it: as [`crate::Store::recover`], but from a data folder, in use
/// or not, or a file such as a backup.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::Foreign`], [`StoreError::NewerFormat`], [`StoreError::Damaged`], [`StoreError::Refused`],
/// [`StoreError::Io`].
pub fn read(path: &Path, receiver: &mut impl Receive) -> Result<Recovered, StoreError> {
    let path = if path.is_dir() { path.join(DATABASE_FILE) } else { path.to_path_buf() };
    if !path.exists() {
        return Err(StoreError::Missing { path });
    }
    let connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check_marks(&connection, &path)?;
    recover(&mut [connection], None, &path, now(), receiver)
}

fn receive(part: Part, now: Timestamp, receiver: &mut impl Receive) -> Result<(), String> {
    match part {
        Part::Substrates(records) => receiver.substrates(records),
        Part::Relationships(records) => receiver.relationships(records),
        Part::Indexes(records) => records.into_iter().try_for_each(|record| receiver.index(record)),
        Part::Answers(mut answers) => {
            answers.retain(|answer| answer.expires_at > now);
            receiver.kept_answers(answers)
        }
    }
}
