//! The data folder: its files, its lock, and making changes of it durable.

use crate::error::StoreError;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// The database in the data folder. SQLite keeps `-wal` and `-shm` beside it.
pub const DATABASE_FILE: &str = "butterflyfx.db";
/// The lock file in the data folder. It stays when the process ends; the lock on it does not.
pub const LOCK_FILE: &str = "lock";

/// What an SQLite database begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// A path with something after its last character: `x.db` and `-wal` give `x.db-wal`.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether the folder holds a database, or what is left of one. Such a folder is never written over.
pub fn holds_database(folder: &Path) -> bool {
    let database = folder.join(DATABASE_FILE);
    database.exists() || log_beside(&database).is_some()
}

/// A log or a journal that SQLite would apply to a database of this name, whatever it was written for.
pub(crate) fn log_beside(database: &Path) -> Option<PathBuf> {
    ["-wal", "-journal"].into_iter().map(|suffix| beside(database, suffix)).find(|path| path.exists())
}

/// Bytes that this process may still write where `path` lies, for disk watermarks.
///
/// # Errors
/// [`StoreError::Io`] where the system does not say, for one because `path` is not there.
pub fn free_bytes(path: &Path) -> Result<u64, StoreError> {
    let stat = rustix::fs::statvfs(path)
        .map_err(|error| StoreError::of_io(&error.into(), path, "asking for free space"))?;
    Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The size that files of this process may have (`ulimit -f`).
pub(crate) fn file_bytes_max() -> u64 {
    use rustix::process::{Resource, getrlimit};
    getrlimit(Resource::Fsize).current.unwrap_or(u64::MAX)
}

/// Makes the folder, and its parents, where it is not there, durably.
pub(crate) fn make(folder: &Path) -> Result<(), StoreError> {
    let missing: Vec<&Path> = folder.ancestors().take_while(|one| !one.exists()).collect();
    fs::create_dir_all(folder)
        .map_err(|error| StoreError::of_io(&error, folder, "making the data folder"))?;
    missing.into_iter().filter_map(Path::parent).try_for_each(sync_folder)
}

/// Makes names in a folder durable: a new file is not safe before its folder is synced too.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), StoreError> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| StoreError::of_io(&error, folder, "syncing the folder"))
}

/// Makes a closed file durable and gives it its name, which must be free.
///
/// The database must not be open in this process: closing any descriptor of a file gives up all
/// of the process's locks on it.
pub(crate) fn put_in_place(temporary: &Path, place: &Path) -> Result<(), StoreError> {
    File::open(temporary)
        .and_then(|file| file.sync_all())
        .map_err(|error| StoreError::of_io(&error, temporary, "syncing"))?;
    if place.exists() {
        return Err(StoreError::Exists { path: place.to_path_buf() });
    }
    fs::rename(temporary, place)
        .map_err(|error| StoreError::of_io(&error, place, "giving the new file its name"))?;
    sync_folder(place.parent().unwrap_or(Path::new(".")))
}

/// Why a file like the one at `path` cannot grow, where room is the reason.
///
/// SQLite tells "disk full" from other failures to write, but not a used up quota and not a limit
/// on the size of files. It does not hand out the system's error either, so a write at the same offset
/// of another file asks again.
pub(crate) fn growth_refused(path: &Path) -> Option<StoreError> {
    const BYTES: usize = 64 * 1024;
    let probe = beside(path, "-probe");
    let length = fs::metadata(path).map_or(0, |data| data.len());
    let outcome = File::create(&probe).and_then(|file| file.write_all_at(&[1; BYTES], length));
    let _ = fs::remove_file(&probe);
    let error = StoreError::of_io(&outcome.err()?, path, "writing");
    matches!(error, StoreError::Full { .. }).then_some(error)
}

/// Removes a file that may not be there, and SQLite's files beside it.
pub(crate) fn remove_with_companions(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let _ = fs::remove_file(beside(path, suffix));
    }
}

/// Looks at the first bytes of a database that no connection of this process has open.
pub(crate) fn check_header(path: &Path) -> Result<(), StoreError> {
    let mut header = [0; 100];
    let damaged = |check: &str| StoreError::Damaged { path: path.to_path_buf(), check: check.to_owned() };
    let mut file = File::open(path).map_err(|error| StoreError::of_io(&error, path, "opening"))?;
    file.read_exact(&mut header).map_err(|error| match error.kind() {
        std::io::ErrorKind::UnexpectedEof => {
            damaged("it is shorter than the header of a database (100 bytes)")
        }
        _ => StoreError::of_io(&error, path, "reading the header"),
    })?;
    if header.starts_with(MAGIC) {
        Ok(())
    } else {
        Err(damaged("its first bytes are not those of an SQLite database"))
    }
}

/// Reads what a lock file says under a key; `None` where it does not say it. The whole text is a hint.
fn said(file: &File, key: &str) -> Option<String> {
    let mut text = vec![0; 256];
    let length = file.read_at(&mut text, 0).ok()?;
    let text = std::str::from_utf8(text.get(..length)?).ok()?;
    text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(' ')).map(str::to_owned)
}

/// Whether the process that has a folder, or had it last, syncs every commit. Takes no lock.
pub(crate) fn is_always_synced(folder: &Path) -> bool {
    File::open(folder.join(LOCK_FILE)).is_ok_and(|file| said(&file, "durability").as_deref() == Some(ALWAYS))
}

/// The lock on a data folder, held until dropped; the kernel gives it up when the process dies.
#[derive(Debug)]
pub(crate) struct FolderLock {
    file: File,
    path: PathBuf,
    /// How the process before synced its commits, where it said so.
    durability_before: String,
}

impl FolderLock {
    pub(crate) fn take(folder: &Path) -> Result<FolderLock, StoreError> {
        let path = folder.join(LOCK_FILE);
        let failed = |error: std::io::Error| StoreError::of_io(&error, &path, "locking the data folder");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {
                let durability_before = said(&file, "durability").unwrap_or_default();
                Ok(FolderLock { file, path, durability_before })
            }
            Err(TryLockError::WouldBlock) => {
                let pid = said(&file, "pid").and_then(|pid| pid.parse().ok());
                Err(StoreError::Locked { path, pid })
            }
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Whether the process that had the folder before synced every commit.
    pub(crate) fn was_always_synced(&self) -> bool {
        self.durability_before == ALWAYS
    }

    /// Writes who has the folder, and how commits are synced from now on, durably: what the last process said is
    /// what its log is judged by after a crash.
    pub(crate) fn sign(&mut self, durability: &str) -> Result<(), StoreError> {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let text = format!(
            "pid {}\nstarted {started} (seconds since 1970)\ndurability {durability}\n",
            std::process::id()
        );
        let file = &mut self.file;
        let written = file
            .seek(SeekFrom::Start(0))
            .and_then(|_| file.write_all(text.as_bytes()))
            .and_then(|()| file.set_len(text.len() as u64))
            .and_then(|()| file.sync_all());
        match written.map_err(|error| StoreError::of_io(&error, &self.path, "writing the lock file")) {
            // A full disk must not keep a server from starting, which reads and deletes. That no more is
            // promised than before is all that is needed.
            Err(StoreError::Full { .. }) if durability == ALWAYS || !self.was_always_synced() => Ok(()),
            other => other,
        }
    }
}

/// What the lock file calls commits that are all synced.
pub(crate) const ALWAYS: &str = "always";
