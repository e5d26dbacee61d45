//! A copy of the database while it is in use, and a data folder from such a copy.
//!
//! Either way the result is verified under a temporary name, synced, and only then given its
//! name: what has the name is whole.

use crate::digest::Digest;
use crate::error::StoreError;
use crate::folder::{self, DATABASE_FILE, FolderLock, beside};
use crate::meta::Counts;
use crate::store::{check_marks, connect, mark_as_logged, of_sqlite_growing};
use crate::verify::{Progress, Report, Tell, log_damage, verify_with};
use rusqlite::backup::StepResult;
use rusqlite::{Connection, OpenFlags};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Pages copied before a pause.
const PAGES_PER_STEP: i32 = 512;
/// The pause, which leaves the disk to the server: some 400 MB/s at most are read.
const PAUSE: Duration = Duration::from_millis(10);

/// A finished copy.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    /// The file.
    pub path: PathBuf,
    /// Its size.
    pub bytes: u64,
    /// Records in it.
    pub counts: Counts,
    /// Digest of the substrates, relationships and indexes in it.
    pub digest: Digest,
    /// How long it took, verification included.
    pub seconds: f64,
}

impl Backup {
    pub(crate) fn of(report: Report, path: &Path, started: Instant) -> Backup {
        Backup {
            path: path.to_path_buf(),
            bytes: report.bytes,
            counts: report.counts,
            digest: report.digest,
            seconds: started.elapsed().as_secs_f64(),
        }
    }
}

/// Copies the database at `from` (a data folder, in use or not, or a file) into one new file.
///
/// The copy is the state at one moment. The server may go on writing; its log grows until the copy is done,
/// for a checkpoint cannot pass that moment.
///
/// # Errors
/// [`StoreError::Missing`], [`StoreError::Exists`] where `to` is there, [`StoreError::Damaged`] where what was copied is
/// not sound, [`StoreError::Full`], [`StoreError::Io`]. Then there is no file at `to`.
pub fn backup(from: &Path, to: &Path) -> Result<Backup, StoreError> {
    backup_with(from, to, &mut |_| {})
}

/// As [`backup`], and tells how far it is.
///
/// # Errors
/// As [`backup`].
pub fn backup_with(from: &Path, to: &Path, tell: &mut Tell<'_>) -> Result<Backup, StoreError> {
    let started = Instant::now();
    let from = database_of(from)?;
    if let Some(check) = log_damage(&from)? {
        return Err(StoreError::Damaged { path: from, check });
    }
    let report = put_copy(&from, to, |_| Ok(()), tell)?;
    Ok(Backup::of(report, to, started))
}

/// Makes a data folder from a backup, or from another data folder.
///
/// # Errors
/// [`StoreError::Exists`] where the folder holds a database, [`StoreError::Locked`] where a process uses it,
/// [`StoreError::Damaged`] where the backup is not sound, [`StoreError::Foreign`], [`StoreError::NewerFormat`],
/// [`StoreError::Missing`], [`StoreError::Full`], [`StoreError::Io`]. Then the folder holds no database.
pub fn restore(backup: &Path, folder: &Path) -> Result<Backup, StoreError> {
    restore_with(backup, folder, &mut |_| {})
}

/// As [`restore`], and tells how far it is.
///
/// # Errors
/// As [`restore`].
pub fn restore_with(backup: &Path, folder: &Path, tell: &mut Tell<'_>) -> Result<Backup, StoreError> {
    let started = Instant::now();
    let backup = database_of(backup)?;
    sound(verify_with(&backup, tell)?)?;
    folder::make(folder)?;
    let _lock = FolderLock::take(folder)?;
    let place = folder.join(DATABASE_FILE);
    let report = put_copy(&backup, &place, mark_as_logged, tell)?;
    Ok(Backup::of(report, &place, started))
}

/// The database file of a data folder, or the file itself.
pub(crate) fn database_of(path: &Path) -> Result<PathBuf, StoreError> {
    let path = if path.is_dir() { path.join(DATABASE_FILE) } else { path.to_path_buf() };
    if path.exists() { Ok(path) } else { Err(StoreError::Missing { path }) }
}

/// Copies under a temporary name, verifies, finishes, syncs, and gives the copy its name.
fn put_copy(
    from: &Path,
    to: &Path,
    finish: fn(&Path) -> Result<(), StoreError>,
    tell: &mut Tell<'_>,
) -> Result<Report, StoreError> {
    let in_the_way = if to.exists() { Some(to.to_path_buf()) } else { folder::log_beside(to) };
    if let Some(path) = in_the_way {
        return Err(StoreError::Exists { path });
    }
    let temporary = beside(to, ".new");
    folder::remove_with_companions(&temporary);
    let mut put = || {
        copy(from, &temporary, tell)?;
        let report = sound(verify_with(&temporary, tell)?)?;
        finish(&temporary)?;
        folder::put_in_place(&temporary, to)?;
        Ok(report)
    };
    let outcome = put();
    if outcome.is_err() {
        folder::remove_with_companions(&temporary);
    }
    outcome
}

/// The report, or the first problem that it names.
pub(crate) fn sound(report: Report) -> Result<Report, StoreError> {
    match report.problems.first() {
        None => Ok(report),
        Some(first) => Err(StoreError::Damaged { path: report.path, check: first.clone() }),
    }
}

/// Copies page by page, from one snapshot, with pauses.
fn copy(from: &Path, to: &Path, tell: &mut Tell<'_>) -> Result<(), StoreError> {
    let source = connect(from, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    check_marks(&source, from)?;
    let reading = |error: rusqlite::Error| StoreError::of_sqlite(&error, from, "copying");
    // A read transaction of our own: without one the copy would begin anew with every commit.
    source.execute_batch("BEGIN; SELECT count(*) FROM meta;").map_err(reading)?;
    let writing = |error: rusqlite::Error| of_sqlite_growing(&error, to, to, "writing the copy");
    let mut target = Connection::open(to).map_err(writing)?;
    // It is synced once, when it is whole.
    target.pragma_update(None, "synchronous", "OFF").map_err(writing)?;
    {
        let copy = rusqlite::backup::Backup::new(&source, &mut target).map_err(writing)?;
        loop {
            let result = copy.step(PAGES_PER_STEP).map_err(writing)?;
            let pages = copy.progress();
            let [all, left] =
                [pages.pagecount, pages.remaining].map(|pages| pages.max(0).unsigned_abs().into());
            tell(Progress { doing: "copying pages", done: all - left, of: all });
            if result == StepResult::Done {
                break;
            }
            std::thread::sleep(PAUSE);
        }
    }
    // The source's mode came along; without a log the copy is one file, readable from anywhere.
    let mode: String =
        target.pragma_update_and_check(None, "journal_mode", "DELETE", |row| row.get(0)).map_err(writing)?;
    if mode != "delete" {
        return Err(StoreError::Io {
            path: to.to_path_buf(),
            detail: format!("the copy stays in journal mode {mode}"),
        });
    }
    target.close().map_err(|(_, error)| writing(error))?;
    if !fs::metadata(to).is_ok_and(|data| data.is_file()) {
        return Err(StoreError::Missing { path: to.to_path_buf() });
    }
    Ok(())
}
