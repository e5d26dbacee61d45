//! Why the store refuses, by what the caller can do about it.
//!
//! Three questions decide: is it certain that nothing was stored, may writing go on later, and
//! does an operator have to look. Status codes are the program's business.

use rusqlite::ErrorCode;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// A refusal or failure.
#[derive(Debug)]
#[non_exhaustive]
pub enum StoreError {
    /// No room: disk, quota, file size limit or page limit. Nothing of the transaction was stored, and
    /// writing may go on when there is room.
    Full {
        /// The file that could not grow.
        path: PathBuf,
        /// What the system said.
        detail: String,
    },
    /// Reading, writing or syncing failed. Whether the transaction is stored is unknown until the
    /// file is opened again, so the store takes no further commit.
    Io {
        /// The file.
        path: PathBuf,
        /// What was tried, and what the system said.
        detail: String,
    },
    /// The store refuses because an earlier call failed with [`StoreError::Io`] or
    /// [`StoreError::Damaged`]; nothing of this transaction was stored.
    Poisoned {
        /// The sentence of that failure.
        cause: String,
    },
    /// The file does not hold what was committed.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which check failed, and where: a sentence.
        check: String,
    },
    /// Another process has the data folder.
    Locked {
        /// The lock file.
        path: PathBuf,
        /// Its process, where the lock file names one.
        pid: Option<u32>,
    },
    /// Another connection, such as a `sqlite3` session, is writing. Nothing was stored; trying again may work.
    Busy {
        /// The database.
        path: PathBuf,
    },
    /// A later release wrote the file.
    NewerFormat {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// The newest format that this release reads.
        known: u32,
    },
    /// An SQLite database, but not one of ours.
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its `application_id`.
        application_id: u32,
    },
    /// There is something where something new should be made.
    Exists {
        /// What is there.
        path: PathBuf,
    },
    /// There is no database where one is read.
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A change does not fit what is stored (a number used twice, a row that is not there) or cannot be
    /// stored at all. The transaction was taken back.
    Unfit {
        /// A sentence.
        detail: String,
    },
    /// The receiver of a recovery refused: its sentence.
    Refused(String),
}

impl StoreError {
    /// Whether it is certain that nothing of the transaction was stored.
    pub fn is_certainly_not_stored(&self) -> bool {
        !matches!(self, StoreError::Io { .. } | StoreError::Damaged { .. })
    }

    /// Whether no further commit may follow.
    pub(crate) fn poisons(&self) -> bool {
        !self.is_certainly_not_stored()
    }

    /// What SQLite said, for a call on the database at `path`; `doing` says what was tried.
    #[cold]
    pub(crate) fn of_sqlite(error: &rusqlite::Error, path: &Path, doing: &str) -> StoreError {
        let path = path.to_path_buf();
        let detail = format!("{doing}: {error}");
        let extended = error.sqlite_error().map(|error| error.extended_code);
        if extended == Some(rusqlite::ffi::SQLITE_IOERR_SHORT_READ) {
            return StoreError::Damaged { path, check: format!("{doing}: the file is too short") };
        }
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => StoreError::Full { path, detail },
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { path },
            Some(ErrorCode::ConstraintViolation | ErrorCode::TooBig | ErrorCode::TypeMismatch) => {
                StoreError::Unfit { detail }
            }
            // Everything that speaks of the content: a page, the schema, a type, a text.
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::Unknown) | None => {
                StoreError::Damaged { path, check: detail }
            }
            Some(_) => StoreError::Io { path, detail },
        }
    }

    /// What the system said of a file.
    #[cold]
    pub(crate) fn of_io(error: &io::Error, path: &Path, doing: &str) -> StoreError {
        let path = path.to_path_buf();
        let detail = format!("{doing}: {error}");
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                StoreError::Full { path, detail }
            }
            _ => StoreError::Io { path, detail },
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StoreError::Full { path, detail } => {
                write!(out, "no room to write {}: {detail}; nothing of it was stored", path.display())
            }
            StoreError::Io { path, detail } => write!(
                out,
                "{} failed: {detail}; whether the last transaction is stored shows when it is opened again",
                path.display()
            ),
            StoreError::Poisoned { cause } => {
                write!(out, "the store takes no more writes since an earlier failure: {cause}")
            }
            StoreError::Damaged { path, check } => write!(
                out,
                "{} is damaged: {check}; `butterflyfx verify` lists all that is wrong, \
                 `butterflyfx restore` makes a new data folder from a backup, \
                 `butterflyfx repair` one of what can still be read",
                path.display()
            ),
            StoreError::Locked { path, pid: Some(pid) } => {
                write!(out, "process {pid} has this data folder: it holds the lock {}", path.display())
            }
            StoreError::Locked { path, pid: None } => {
                write!(out, "another process has this data folder: it holds the lock {}", path.display())
            }
            StoreError::Busy { path } => write!(
                out,
                "another connection, such as a sqlite3 session, is writing to {}; nothing was stored",
                path.display()
            ),
            StoreError::NewerFormat { path, found, known } => write!(
                out,
                "{} has format {found}, this release reads up to {known}; use the release that wrote it or a later one",
                path.display()
            ),
            StoreError::Foreign { path, application_id } => write!(
                out,
                "{} belongs to another program (application_id {application_id}); name another data folder",
                path.display()
            ),
            StoreError::Exists { path } => {
                write!(out, "{} is there already and is not written over", path.display())
            }
            StoreError::Missing { path } => write!(out, "there is no database at {}", path.display()),
            StoreError::Unfit { detail } => write!(out, "this cannot be stored: {detail}"),
            StoreError::Refused(sentence) => write!(out, "what was read back is refused: {sentence}"),
        }
    }
}

impl std::error::Error for StoreError {}
