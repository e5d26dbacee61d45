//! Where answers wait that are made faster than their clients take them: unnamed temporary files, bounded together.
//!
//! A client that sends its whole request before it reads takes nothing of an answer that is made meanwhile. Memory is no
//! place for what may be of any length, and to stop reading the request would make both sides wait for each other. A file has no
//! name, so that nothing is left behind however the process ends. Where there is no room, or the folder cannot be written to,
//! this says so and nothing fails: whoever asked has to wait for the client.
//!
//! All of it blocks, but for what is counted: call it on threads that may.

use crate::config::Config;
use butterflyfx_store::free_bytes;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bytes of the disk that are left to others, beside what `disk-free-min` keeps: the database and its log may stand on it.
const DISK_LEFT_BYTES: u64 = 1024 * 1024 * 1024;

/// What all temporary files share.
#[derive(Debug)]
pub(crate) struct Spool {
    folder: PathBuf,
    bytes_max: u64,
    disk_free_min: u64,
    /// Bytes of all files.
    bytes: AtomicU64,
    /// Whether the last attempt failed, for the log.
    is_failing: AtomicBool,
}

impl Spool {
    pub(crate) fn new(config: &Config) -> Arc<Spool> {
        Arc::new(Spool {
            folder: config.spool_dir.clone(),
            bytes_max: config.spool_max,
            disk_free_min: config.disk_free_min.saturating_add(DISK_LEFT_BYTES),
            bytes: AtomicU64::new(0),
            is_failing: AtomicBool::new(false),
        })
    }

    /// Whether there may be any file.
    pub(crate) fn is_on(&self) -> bool {
        self.bytes_max > 0
    }

    /// Bytes of all files.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// A new file that is empty; `None` where there cannot be one.
    pub(crate) fn open(self: &Arc<Spool>) -> Option<SpoolFile> {
        // That there is an empty one does not say that anything can be written to it.
        let opened = match tempfile::tempfile_in(&self.folder) {
            Ok(file) => file,
            Err(error) => return self.note(Err(error)),
        };
        let grant = Grant { spool: Arc::clone(self), bytes: AtomicU64::new(0) };
        Some(SpoolFile(Some(Inner { file: opened, grant })))
    }

    /// Writes a turn into the log, from what can be done to what cannot or back.
    fn note<T>(&self, outcome: io::Result<T>) -> Option<T> {
        match outcome {
            Ok(done) => {
                if self.is_failing.swap(false, Ordering::Relaxed) {
                    tracing::info!("answers can wait in temporary files again");
                }
                Some(done)
            }
            Err(error) => {
                if !self.is_failing.swap(true, Ordering::Relaxed) {
                    tracing::warn!(
                        folder = %self.folder.display(), %error,
                        "answers cannot wait in temporary files: clients that send everything before they read are cut off \
                         where their answer is long; see --spool-dir"
                    );
                }
                None
            }
        }
    }

    fn check_disk(&self) -> io::Result<()> {
        let free = free_bytes(&self.folder).map_err(io::Error::other)?;
        if free < self.disk_free_min {
            return Err(io::Error::new(io::ErrorKind::StorageFull, "the disk has too little room"));
        }
        Ok(())
    }
}

/// What a file takes of the room of all, until it is dropped.
#[derive(Debug)]
struct Grant {
    spool: Arc<Spool>,
    bytes: AtomicU64,
}

impl Grant {
    /// Takes more; `false` where there is no room.
    fn grow(&self, more: u64) -> bool {
        let bytes_max = self.spool.bytes_max;
        let grown = self.spool.bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |bytes| {
            bytes.checked_add(more).filter(|bytes| *bytes <= bytes_max)
        });
        if grown.is_ok() {
            self.bytes.fetch_add(more, Ordering::Relaxed);
        }
        grown.is_ok()
    }

    fn shrink(&self, less: u64) {
        self.bytes.fetch_sub(less, Ordering::Relaxed);
        self.spool.bytes.fetch_sub(less, Ordering::Relaxed);
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.spool.bytes.fetch_sub(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

/// A temporary file. Its bytes are given back once it is dropped and gone.
#[derive(Debug)]
pub(crate) struct SpoolFile(Option<Inner>);

#[derive(Debug)]
struct Inner {
    // Dropped in this order: what is given back is free.
    file: File,
    grant: Grant,
}

impl SpoolFile {
    /// Writes at the end, which is `at`; `false` where there is no room for it, and then nothing is written.
    pub(crate) fn append(&self, at: u64, bytes: &[u8]) -> bool {
        let Some(Inner { file, grant }) = &self.0 else { return false };
        let more = bytes.len() as u64;
        if !grant.grow(more) {
            return false;
        }
        let spool = &grant.spool;
        let written = spool.note(spool.check_disk().and_then(|()| file.write_all_at(bytes, at)));
        if written.is_none() {
            // What got to the disk is worth nothing without the rest.
            let _ = file.set_len(at);
            grant.shrink(more);
        }
        written.is_some()
    }

    /// Reads so many bytes.
    pub(crate) fn read(&self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let Some(Inner { file, .. }) = &self.0 else { return Err(io::ErrorKind::NotFound.into()) };
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, at)?;
        Ok(bytes)
    }
}

impl Drop for SpoolFile {
    fn drop(&mut self) {
        let Some(inner) = self.0.take() else { return };
        // To free gigabytes takes a disk its time, which is not a network thread's.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || drop(inner));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spool(folder: &str, bytes_max: u64) -> Arc<Spool> {
        Spool::new(&Config { spool_dir: folder.into(), spool_max: bytes_max, ..Config::default() })
    }

    #[test]
    fn files_share_their_room_and_give_it_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let spool = spool(folder.path().to_str().expect("text"), 10);
        let (one, other) = (spool.open().expect("a file"), spool.open().expect("a file"));
        assert!(one.append(0, b"012") && other.append(0, b"abcd") && one.append(3, b"345"));
        assert!(!one.append(6, b"6") && spool.bytes() == 10);
        assert_eq!(one.read(1, 4).expect("read"), b"1234");
        drop(other);
        assert_eq!(spool.bytes(), 6);
        assert!(one.append(6, b"6"));
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "a file has a name");
        drop(one);
        assert_eq!(spool.bytes(), 0);
    }

    /// A log for a test to read.
    #[derive(Clone, Default)]
    struct Log(Arc<parking_lot::Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What three attempts write into the log: one line.
    #[track_caller]
    fn check_log(spool: &Arc<Spool>, expected: &str) {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(subscriber, || {
            for _ in 0..3 {
                assert!(!spool.open().is_some_and(|file| file.append(0, b"012")));
            }
        });
        let text = String::from_utf8_lossy(&log.0.lock()).into_owned();
        assert!(text.contains(expected) && text.lines().count() == 1, "{text}");
    }

    #[test]
    fn the_log_tells_once_that_there_are_no_files() {
        check_log(&spool("/nowhere/at/all", 10), "/nowhere/at/all");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().to_owned();
        let config = Config { spool_dir: path, disk_free_min: u64::MAX, ..Config::default() };
        check_log(&Spool::new(&config), "the disk has too little room");
    }

    #[test]
    fn what_cannot_be_written_takes_no_room() {
        let folder = tempfile::tempdir().expect("a folder");
        let (path, mut config) = (folder.path().to_owned(), Config::default());
        config.disk_free_min = u64::MAX;
        let full = Spool::new(&Config { spool_dir: path, ..config });
        let file = full.open().expect("a file");
        assert!(!file.append(0, b"012") && full.bytes() == 0);
        assert!(full.is_failing.load(Ordering::Relaxed));
    }
}
