//! A database looked through without being changed: all that is wrong with it, in sentences.

use crate::digest::Digest;
use crate::error::StoreError;
use crate::folder::{DATABASE_FILE, beside, is_always_synced};
use crate::meta::{Counts, Meta};
use crate::scan::{Part, scan};
use crate::store::{check_marks, connect};
use crate::wal;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Problems listed at most; one broken page can break thousands of rows.
const PROBLEMS_MAX: usize = 100;

/// A log that has not changed for so long is at rest.
const AT_REST: Duration = Duration::from_secs(1);

/// What a verification found.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The database file.
    pub path: PathBuf,
    /// Bytes of the file.
    pub bytes: u64,
    /// Records found.
    pub counts: Counts,
    /// Digest of the substrates, relationships and indexes found.
    pub digest: Digest,
    /// What is wrong, a sentence each, at most 100; empty where the database is sound.
    pub problems: Vec<String>,
    /// How long it took.
    pub seconds: f64,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }
}

/// Checks a database: SQLite's own check of every page, every row and JSON text readable, the ends of
/// relationships there, numbers below the next ones, counts and digests as committed.
///
/// `path` is a data folder, in use or not, or a file such as a backup. Nothing is changed and no lock taken;
/// a server that uses it may go on writing, this sees one state of it.
///
/// # Errors
/// Damage is in the report. [`StoreError::Missing`], [`StoreError::Foreign`], [`StoreError::NewerFormat`] and
/// [`StoreError::Io`] are errors.
pub fn verify(path: &Path) -> Result<Report, StoreError> {
    verify_with(path, &mut |_| {})
}

/// How far something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Which part of it: it has several, one after the other.
    pub doing: &'static str,
    /// How much of that part is done.
    pub done: u64,
    /// How much there is of it; 0 where that is not known.
    pub of: u64,
}

/// Is told now and then how far something is.
pub type Tell<'a> = dyn FnMut(Progress) + 'a;

/// As [`verify`], and tells how far it is.
///
/// # Errors
/// As [`verify`].
pub fn verify_with(path: &Path, tell: &mut Tell<'_>) -> Result<Report, StoreError> {
    let path = if path.is_dir() { path.join(DATABASE_FILE) } else { path.to_path_buf() };
    let Ok(data) = fs::metadata(&path) else { return Err(StoreError::Missing { path }) };
    let started = Instant::now();
    let mut report = Report {
        path: path.clone(),
        bytes: data.len(),
        counts: Counts::default(),
        digest: Digest::default(),
        problems: Vec::new(),
        seconds: 0.0,
    };
    match look_through(&path, &mut report, tell) {
        Ok(()) => {}
        Err(StoreError::Damaged { check, .. }) => report.problems.push(check),
        Err(other) => return Err(other),
    }
    report.problems.truncate(PROBLEMS_MAX);
    report.seconds = started.elapsed().as_secs_f64();
    Ok(report)
}

fn look_through(path: &Path, report: &mut Report, tell: &mut Tell<'_>) -> Result<(), StoreError> {
    if report.bytes == 0 {
        return Err(StoreError::Damaged { path: path.to_path_buf(), check: "the file is empty".to_owned() });
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check_marks(&connection, path)?;
    report.problems.extend(log_damage(path)?);
    tell(Progress { doing: "checking pages", done: 0, of: 0 });
    report.problems.extend(pages(&connection, path)?);
    let of = match Meta::load(&connection) {
        Ok(Ok(Meta { counts, .. })) => {
            counts.substrates + counts.relationships + counts.indexes + counts.answers
        }
        // The scan has the words for that.
        _ => 0,
    };
    let mut done = 0;
    let mut emit = |part: Part| {
        done += part.len() as u64;
        tell(Progress { doing: "reading records", done, of });
    };
    let problems = Mutex::new(&mut report.problems);
    let complain = |sentence| {
        let mut problems = problems.lock().unwrap_or_else(PoisonError::into_inner);
        if problems.len() < PROBLEMS_MAX {
            problems.push(sentence);
        }
        Ok(())
    };
    let scanned = scan(&mut [connection], None, path, &mut emit, &complain)?;
    report.counts = scanned.counts;
    report.digest = scanned.digest;
    Ok(())
}

/// What is wrong with the log of a database that nobody writes to. A log that grows while it is read may look
/// damaged, so one that changed a moment ago is left out: its server would have refused to start.
pub(crate) fn log_damage(path: &Path) -> Result<Option<String>, StoreError> {
    let wal = beside(path, "-wal");
    let changed = || fs::metadata(&wal).and_then(|data| data.modified()).ok();
    let before = changed();
    let is_at_rest = before.and_then(|at| at.elapsed().ok()).is_some_and(|age| age >= AT_REST);
    if !is_at_rest || !is_always_synced(path.parent().unwrap_or(Path::new("."))) {
        return Ok(None);
    }
    let damage = wal::damage(&wal).map_err(|error| StoreError::of_io(&error, &wal, "reading the log"))?;
    Ok(damage.filter(|_| changed() == before))
}

/// SQLite's check of pages, cells, free list, indexes and column constraints.
fn pages(connection: &Connection, path: &Path) -> Result<Vec<String>, StoreError> {
    let check = || -> rusqlite::Result<Vec<String>> {
        let mut statement = connection.prepare(&format!("PRAGMA integrity_check({PROBLEMS_MAX})"))?;
        statement.query_map([], |row| row.get::<_, String>(0))?.collect()
    };
    match check() {
        Ok(found) => Ok(found.into_iter().filter(|line| line != "ok").collect()),
        Err(error) => match StoreError::of_sqlite(&error, path, "checking the pages") {
            StoreError::Damaged { check, .. } => Ok(vec![check]),
            other => Err(other),
        },
    }
}
