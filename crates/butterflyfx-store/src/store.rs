//! The database of a data folder, open for writing.

use crate::digest::{Digest, Hasher};
use crate::error::StoreError;
use crate::folder::{self, DATABASE_FILE, FolderLock, beside};
use crate::kept::KeptAnswer;
use crate::meta::{Counts, Meta, Next};
use crate::migrate;
use crate::pages::Pages;
use crate::recover::{self, Receive, Recovered};
use crate::schema::{APPLICATION_ID, FORMAT_VERSION, PAGE_BYTES, create_sql};
use crate::wal;
use crate::write::{Sql, Writer};
use butterflyfx_engine::model::Timestamp;
use butterflyfx_engine::record::Change;
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long another connection that writes is waited for before [`StoreError::Busy`].
const BUSY_WAIT: Duration = Duration::from_secs(5);

/// The log is cut to this size when it is begun anew after a checkpoint.
const WAL_BYTES_KEPT: u64 = 64 * 1024 * 1024;

/// With less room on the disk than this, and twice the log, commits are made with care: see [`Store::commit`]. More
/// than what is committed together at most.
const ROOM_BYTES: u64 = 256 * 1024 * 1024;

/// Threads that read the database at a start.
const READERS_MAX: usize = 4;

/// Prepared statements kept.
const STATEMENTS_KEPT: usize = 32;

/// What an acknowledged commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// Power loss: each commit is synced before [`Store::commit`] returns.
    #[default]
    Always,
    /// The death of the process; power loss but for what was committed since the last [`Store::sync`],
    /// which the caller is to call this often.
    Interval(Duration),
    /// The death of the process, mostly. Nothing is ever synced: power loss may damage the file.
    Never,
}

impl Durability {
    /// As in the lock file.
    fn name(self) -> &'static str {
        match self {
            Durability::Always => folder::ALWAYS,
            Durability::Interval(_) => "interval",
            Durability::Never => "never",
        }
    }
}

/// How a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What a commit survives.
    pub durability: Durability,
    /// Bytes of pages that SQLite may keep in memory.
    pub cache_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options { durability: Durability::Always, cache_bytes: 32 * 1024 * 1024 }
    }
}

/// What a checkpoint did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Pages in the log.
    pub pages: u64,
    /// Pages of those that are in the database by now. Fewer than `pages` where a reader (a backup, a
    /// `sqlite3` session) still needs what was there before.
    pub copied: u64,
}

/// The database of a data folder, open for writing by one caller at a time.
///
/// Dropping it closes it; [`Store::close`] does the same and says what went wrong.
#[derive(Debug)]
pub struct Store {
    // Fields drop in this order: the lock goes last.
    connection: Connection,
    path: PathBuf,
    options: Options,
    meta: Meta,
    sql: Sql,
    hasher: Hasher,
    text: String,
    /// The first failure after which nothing may be written; shared with checkpointers.
    poison: Arc<OnceLock<String>>,
    /// Whether a checkpoint has copied the whole log since the last commit.
    log_is_copied: bool,
    /// Whether the size of the database is limited to what there is room for.
    is_careful: bool,
    /// The log, for [`Store::sync`]: open all the time, so that no error in writing it goes unnoticed.
    wal: File,
    _lock: FolderLock,
}

impl Store {
    /// Opens the database of a data folder, and makes both where there is none.
    ///
    /// This reads little; [`Store::recover`] reads and checks everything.
    ///
    /// # Errors
    /// [`StoreError::Locked`], [`StoreError::Damaged`], [`StoreError::NewerFormat`], [`StoreError::Foreign`],
    /// [`StoreError::Full`], [`StoreError::Io`].
    pub fn open(folder: &Path, options: &Options) -> Result<Store, StoreError> {
        folder::make(folder)?;
        let mut lock = FolderLock::take(folder)?;
        let path = folder.join(DATABASE_FILE);
        if !folder::holds_database(folder) {
            create(&path)?;
        } else if !path.exists() {
            let log = folder::log_beside(&path).unwrap_or_else(|| beside(&path, "-wal"));
            let check = format!("it is gone, but its log {} is there", log.display());
            return Err(StoreError::Damaged { path, check });
        }
        folder::check_header(&path)?;
        check_log(&path, &lock)?;
        lock.sign(options.durability.name())?;
        let mut connection = connect(&path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        let format = check_marks(&connection, &path)?;
        let failed = |error: rusqlite::Error| StoreError::of_sqlite(&error, &path, "opening");
        configure(&connection, options).map_err(failed)?;
        migrate::migrate(&mut connection, &path, format, &migrate::STEPS)?;
        let meta = Meta::load(&connection)
            .map_err(failed)?
            .map_err(|check| StoreError::Damaged { path: path.clone(), check })?;
        let wal = open_log(&path)?;
        let mut store = Store {
            connection,
            path,
            options: *options,
            meta,
            sql: Sql::new(),
            hasher: Hasher::default(),
            text: String::new(),
            poison: Arc::new(OnceLock::new()),
            log_is_copied: false,
            is_careful: false,
            wal,
            _lock: lock,
        };
        store.limit_bytes(folder::file_bytes_max())?;
        Ok(store)
    }

    /// Reads everything back into `receiver`, checked against the committed counts and digest.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] naming the first check that failed, [`StoreError::Refused`] with the
    /// receiver's sentence, [`StoreError::Io`]. What the receiver got by then is not to be used, and the file
    /// is left as it is.
    pub fn recover(&mut self, receiver: &mut impl Receive) -> Result<Recovered, StoreError> {
        // The lock keeps everybody else from writing meanwhile, so all of them see the same.
        let readers = thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX);
        let mut connections = (0..readers)
            .map(|_| connect(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY))
            .collect::<Result<Vec<_>, _>>()?;
        // SQLite judges whether there is anything beside the file: its readers, who begin after this, do not look at a log that
        // is copied, and keep whoever writes from copying more.
        let is_whole = match self.checkpoint() {
            Ok(done) => done.copied == done.pages,
            Err(StoreError::Full { .. } | StoreError::Busy { .. }) => false,
            Err(other) => return Err(other),
        };
        let pages = if is_whole { Pages::open(&self.path).ok() } else { None };
        let outcome = recover::recover(&mut connections, pages.as_ref(), &self.path, now(), receiver);
        drop(connections);
        let recovered = self.poison_on(outcome)?;
        // Begin with an empty log: what a crash cut short does not stay in it to be judged again.
        // Where there is no room or someone reads, it stays for now, which does no harm.
        let emptied =
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).map_err(|error| {
                of_sqlite_growing(&error, &self.path, &self.path, "copying the log into the database")
            });
        match emptied {
            Err(StoreError::Full { .. } | StoreError::Busy { .. }) | Ok(()) => Ok(recovered),
            Err(other) => self.poison_on(Err(other)),
        }
    }

    /// Writes changes, in order, and answers that go with them, all or nothing.
    ///
    /// Where there is no room, the log is copied into the database first, so that its space can be used again,
    /// and the commit is tried once more: deletes and small changes go on when a disk is full. So that this can be
    /// done, the log must not hold more than the database has room for: while there is little room, the log
    /// is copied before each commit, and the database may grow by half of the room only, for what is written to
    /// the log takes as much.
    ///
    /// # Errors
    /// Where [`StoreError::is_certainly_not_stored`] holds, nothing of it was stored and the state
    /// is as before; [`StoreError::Full`] and [`StoreError::Busy`] may pass. After any other error all
    /// further calls that write answer [`StoreError::Poisoned`].
    pub fn commit(&mut self, changes: &[Change], answers: &[KeptAnswer]) -> Result<(), StoreError> {
        if changes.is_empty() && answers.is_empty() {
            return self.refuse_if_poisoned();
        }
        self.mind_the_room()?;
        let outcome = self.transact(|writer| writer.write(changes, answers));
        if matches!(outcome, Err(StoreError::Full { .. })) && !self.log_is_copied && self.checkpoint().is_ok()
        {
            return self.transact(|writer| writer.write(changes, answers));
        }
        outcome
    }

    /// Removes answers that have expired; tells how many.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn forget_expired_answers(&mut self, now: Timestamp) -> Result<u64, StoreError> {
        self.transact(|writer| {
            writer.forget_answers("DELETE FROM idempotency WHERE expires_at <= ?1 RETURNING hash", now.0)
        })
    }

    /// Removes answers by name, such as those that the caller has no memory for; names that are not there
    /// do not matter. Tells how many.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn forget_answers(&mut self, names: &[&str]) -> Result<u64, StoreError> {
        self.transact(|writer| {
            let mut forgotten = 0;
            for name in names {
                forgotten +=
                    writer.forget_answers("DELETE FROM idempotency WHERE name = ?1 RETURNING hash", *name)?;
            }
            Ok(forgotten)
        })
    }

    /// Makes all commits until now durable, for [`Durability::Interval`]. With [`Durability::Always`] they are, with
    /// [`Durability::Never`] nobody asked for it: then this does nothing.
    ///
    /// # Errors
    /// [`StoreError::Io`], which poisons the store.
    pub fn sync(&mut self) -> Result<(), StoreError> {
        self.refuse_if_poisoned()?;
        self.poison_on(sync_log(&self.wal, &self.path, self.options.durability))
    }

    /// Copies the log into the database, which SQLite is told not to do by itself. Commits wait.
    ///
    /// # Errors
    /// [`StoreError::Full`] where the database cannot grow, which loses nothing. [`StoreError::Io`] and
    /// [`StoreError::Damaged`] poison the store.
    pub fn checkpoint(&mut self) -> Result<Checkpoint, StoreError> {
        self.refuse_if_poisoned()?;
        let done = self.poison_on(checkpoint(&self.connection, &self.path))?;
        self.log_is_copied = done.copied == done.pages;
        Ok(done)
    }

    /// Raises the smallest numbers never used, so that a copy that is made record by record (a rescue of what
    /// is in memory, an import) does not use those again that were deleted in the original.
    ///
    /// # Errors
    /// As [`Store::commit`].
    pub fn raise_next(&mut self, next: Next) -> Result<(), StoreError> {
        self.transact(|writer| {
            let now = &mut writer.meta.next;
            now.substrate = now.substrate.max(next.substrate);
            now.relationship = now.relationship.max(next.relationship);
            Ok(())
        })
    }

    /// Checkpoints and syncs from another thread, while commits go on.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`] where the second connection cannot be opened.
    pub fn checkpointer(&self) -> Result<Checkpointer, StoreError> {
        let connection = connect(&self.path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        configure(&connection, &Options { cache_bytes: 1024 * 1024, ..self.options })
            .map_err(|error| StoreError::of_sqlite(&error, &self.path, "opening"))?;
        Ok(Checkpointer {
            connection,
            path: self.path.clone(),
            wal: open_log(&self.path)?,
            durability: self.options.durability,
            poison: Arc::clone(&self.poison),
        })
    }

    /// Copies the log into the database and closes it: the folder then holds one file and the lock.
    ///
    /// # Errors
    /// As [`Store::checkpoint`]; it is closed all the same, and the log is there at the next open.
    pub fn close(mut self) -> Result<(), StoreError> {
        self.checkpoint().map(|_| ())
    }

    /// The database file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Bytes of the database and its log.
    pub fn file_bytes(&self) -> u64 {
        fs::metadata(&self.path).map_or(0, |data| data.len()) + self.wal_bytes()
    }

    /// Bytes of the log alone: what a checkpoint would have to copy, at most.
    pub fn wal_bytes(&self) -> u64 {
        fs::metadata(beside(&self.path, "-wal")).map_or(0, |data| data.len())
    }

    /// Records committed.
    pub fn counts(&self) -> Counts {
        self.meta.counts
    }

    /// The digest of substrates, relationships and indexes committed.
    pub fn digest(&self) -> Digest {
        self.meta.digest
    }

    /// The smallest creation numbers never used.
    pub fn next(&self) -> Next {
        self.meta.next
    }

    /// Transactions committed since the database was made.
    pub fn transactions(&self) -> u64 {
        self.meta.transactions
    }

    /// 32 hex digits drawn when the database was made; a restored copy keeps them.
    pub fn database_id(&self) -> &str {
        &self.meta.database_id
    }

    /// As opened.
    pub fn durability(&self) -> Durability {
        self.options.durability
    }

    /// Why the store takes no more writes, if so.
    pub fn poisoned(&self) -> Option<&str> {
        self.poison.get().map(String::as_str)
    }

    /// Lets the database grow to so many bytes at most; beyond, commits answer [`StoreError::Full`]. The size of now is
    /// the least that can be set, `u64::MAX` the greatest.
    ///
    /// # Errors
    /// [`StoreError::Io`], [`StoreError::Damaged`].
    pub fn limit_bytes(&mut self, bytes_max: u64) -> Result<(), StoreError> {
        let pages = (bytes_max / u64::from(PAGE_BYTES)).clamp(1, u64::from(u32::MAX - 1));
        self.connection
            .pragma_update_and_check(None, "max_page_count", pages.cast_signed(), |_| Ok(()))
            .map_err(|error| StoreError::of_sqlite(&error, &self.path, "setting the greatest size"))
    }

    /// Sees to it that what the next commit writes to the log can be copied into the database.
    fn mind_the_room(&mut self) -> Result<(), StoreError> {
        let room = folder::free_bytes(&self.path).unwrap_or(u64::MAX);
        if room >= self.wal_bytes().saturating_mul(2).saturating_add(ROOM_BYTES) {
            if self.is_careful {
                self.limit_bytes(folder::file_bytes_max())?;
                self.is_careful = false;
            }
            return Ok(());
        }
        self.is_careful = true;
        if !self.log_is_copied
            && let Err(error) = self.checkpoint()
            && error.poisons()
        {
            return Err(error);
        }
        let length = fs::metadata(&self.path).map_or(0, |data| data.len());
        let room = folder::free_bytes(&self.path).unwrap_or(u64::MAX);
        self.limit_bytes(folder::file_bytes_max().min(length.saturating_add(room / 2)))
    }

    fn refuse_if_poisoned(&self) -> Result<(), StoreError> {
        refuse_if_poisoned(&self.poison)
    }

    fn poison_on<T>(&self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        poison_on(&self.poison, outcome)
    }

    /// Runs `write` in a transaction and takes over what it made of `meta`.
    fn transact<T>(
        &mut self,
        write: impl FnOnce(&mut Writer<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.refuse_if_poisoned()?;
        let mut meta = self.meta.clone();
        meta.transactions += 1;
        let mut writer = Writer {
            connection: &self.connection,
            path: &self.path,
            sql: &self.sql,
            hasher: &mut self.hasher,
            text: &mut self.text,
            meta: &mut meta,
        };
        let outcome = transaction(&self.connection, &self.path, || {
            let written = write(&mut writer)?;
            writer
                .meta
                .save(&self.connection)
                .map_err(|error| StoreError::of_sqlite(&error, &self.path, "writing table meta"))?;
            Ok(written)
        });
        let written = self.poison_on(outcome)?;
        self.meta = meta;
        self.log_is_copied = false;
        Ok(written)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if self.poison.get().is_some() {
            // What the log holds may not be what the disk holds: leave it for the next open to judge.
            let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
    }
}

/// A second connection that checkpoints and syncs while the store commits; see [`Store::checkpointer`].
///
/// It is to be dropped before the store, or else the store's folder is unlocked while it is open.
#[derive(Debug)]
pub struct Checkpointer {
    connection: Connection,
    path: PathBuf,
    wal: File,
    durability: Durability,
    poison: Arc<OnceLock<String>>,
}

impl Checkpointer {
    /// As [`Store::sync`], but commits do not wait.
    ///
    /// # Errors
    /// As [`Store::sync`].
    pub fn sync(&mut self) -> Result<(), StoreError> {
        refuse_if_poisoned(&self.poison)?;
        poison_on(&self.poison, sync_log(&self.wal, &self.path, self.durability))
    }

    /// As [`Store::checkpoint`], but commits do not wait.
    ///
    /// # Errors
    /// As [`Store::checkpoint`]; it poisons the store, too.
    pub fn run(&mut self) -> Result<Checkpoint, StoreError> {
        refuse_if_poisoned(&self.poison)?;
        poison_on(&self.poison, checkpoint(&self.connection, &self.path))
    }
}

impl Drop for Checkpointer {
    fn drop(&mut self) {
        // The store's own connection closes last and decides.
        let _ = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
    }
}

fn refuse_if_poisoned(poison: &OnceLock<String>) -> Result<(), StoreError> {
    match poison.get() {
        None => Ok(()),
        Some(cause) => Err(StoreError::Poisoned { cause: cause.clone() }),
    }
}

fn poison_on<T>(poison: &OnceLock<String>, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
    if let Err(error) = &outcome
        && error.poisons()
    {
        let _ = poison.set(error.to_string());
    }
    outcome
}

/// Opens the log of an open database for syncing. SQLite locks the database, not the log, so closing this
/// gives up no lock.
fn open_log(path: &Path) -> Result<File, StoreError> {
    let wal = beside(path, "-wal");
    File::open(&wal).map_err(|error| StoreError::of_io(&error, &wal, "opening the log"))
}

fn sync_log(log: &File, path: &Path, durability: Durability) -> Result<(), StoreError> {
    match durability {
        Durability::Always | Durability::Never => Ok(()),
        Durability::Interval(_) => log.sync_data().map_err(|error| StoreError::Io {
            path: beside(path, "-wal"),
            detail: format!("syncing the log: {error}"),
        }),
    }
}

fn checkpoint(connection: &Connection, path: &Path) -> Result<Checkpoint, StoreError> {
    let count = |number: i64| u64::try_from(number).unwrap_or(0);
    connection
        .query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |row| {
            Ok(Checkpoint { pages: count(row.get(1)?), copied: count(row.get(2)?) })
        })
        .map_err(|error| of_sqlite_growing(&error, path, path, "copying the log into the database"))
}

/// Begins, runs, commits; takes everything back where something fails.
fn transaction<T>(
    connection: &Connection,
    path: &Path,
    run: impl FnOnce() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    let execute = |sql: &str| connection.prepare_cached(sql)?.execute([]);
    let wal = beside(path, "-wal");
    execute("BEGIN IMMEDIATE")
        .map_err(|error| of_sqlite_growing(&error, path, &wal, "beginning a transaction"))?;
    let outcome = run().and_then(|value| match execute("COMMIT") {
        Ok(_) => Ok(value),
        Err(error) => Err(of_sqlite_growing(&error, path, &wal, "committing")),
    });
    if outcome.is_err() && !connection.is_autocommit() {
        // Some errors have taken it back already, hence the question.
        execute("ROLLBACK")
            .map_err(|error| StoreError::of_sqlite(&error, path, "taking back a transaction"))?;
    }
    outcome
}

/// As [`StoreError::of_sqlite`], but asks whether the file at `growing` has no room where SQLite only says that a write
/// failed.
pub(crate) fn of_sqlite_growing(
    error: &rusqlite::Error,
    path: &Path,
    growing: &Path,
    doing: &str,
) -> StoreError {
    let write_failed = error.sqlite_error().is_some_and(|error| {
        error.code == ErrorCode::SystemIoFailure && error.extended_code == rusqlite::ffi::SQLITE_IOERR_WRITE
    });
    let full = if write_failed { folder::growth_refused(growing) } else { None };
    full.unwrap_or_else(|| StoreError::of_sqlite(error, path, doing))
}

/// Refuses a log that SQLite would read only in part; makes the log durable that it will go on with.
fn check_log(path: &Path, lock: &FolderLock) -> Result<(), StoreError> {
    let wal = beside(path, "-wal");
    if lock.was_always_synced() {
        let damage = wal::damage(&wal).map_err(|error| StoreError::of_io(&error, &wal, "reading the log"))?;
        if let Some(check) = damage {
            return Err(StoreError::Damaged { path: path.to_path_buf(), check });
        }
    }
    match File::open(&wal).and_then(|file| file.sync_data()) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(StoreError::of_io(&error, &wal, "syncing the log"))
        }
        _ => Ok(()),
    }
}

/// Makes an empty database under a temporary name first: a crash in between leaves none.
fn create(path: &Path) -> Result<(), StoreError> {
    let temporary = beside(path, ".new");
    folder::remove_with_companions(&temporary);
    let make = || -> rusqlite::Result<()> {
        let connection = Connection::open(&temporary)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        make_empty(&connection, now()).map(|_| ())
    };
    make().map_err(|error| StoreError::of_sqlite(&error, &temporary, "making the database"))?;
    mark_as_logged(&temporary)?;
    folder::put_in_place(&temporary, path)
}

/// Makes a database that nobody uses one that has a log, while it has its temporary name. The first open would do it, but a
/// crash in the middle of that leaves a journal, and nothing that only reads gets past one.
pub(crate) fn mark_as_logged(path: &Path) -> Result<(), StoreError> {
    let mark = || -> rusqlite::Result<()> {
        let connection = Connection::open(path)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.close().map_err(|(_, error)| error)
    };
    mark().map_err(|error| StoreError::of_sqlite(&error, path, "giving the database a log"))
}

/// Makes the tables in an empty file; answers what it says of itself.
pub(crate) fn make_empty(connection: &Connection, now: Timestamp) -> rusqlite::Result<Meta> {
    connection.execute_batch(&format!(
        "PRAGMA page_size = {PAGE_BYTES}; BEGIN; {} PRAGMA application_id = {APPLICATION_ID}; \
         PRAGMA user_version = {FORMAT_VERSION};",
        create_sql()
    ))?;
    let id: String = connection.query_row("SELECT lower(hex(randomblob(16)))", [], |row| row.get(0))?;
    let meta = Meta::new(id, now);
    meta.save_new(connection)?;
    connection.execute_batch("COMMIT")?;
    Ok(meta)
}

/// Opens a connection. Nothing is read yet.
pub(crate) fn connect(path: &Path, access: OpenFlags) -> Result<Connection, StoreError> {
    let open = || -> rusqlite::Result<Connection> {
        let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(BUSY_WAIT)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(())).or_else(
            |error| match error {
                rusqlite::Error::QueryReturnedNoRows => Ok(()),
                other => Err(other),
            },
        )?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(connection)
    };
    open().map_err(|error| StoreError::of_sqlite(&error, path, "opening"))
}

/// Whether the database is ours and not too new; answers its format.
pub(crate) fn check_marks(connection: &Connection, path: &Path) -> Result<u32, StoreError> {
    let mark = |name: &str| {
        connection
            .pragma_query_value(None, name, |row| row.get::<_, i32>(0))
            .map(i32::cast_unsigned)
            .map_err(|error| StoreError::of_sqlite(&error, path, &format!("reading {name}")))
    };
    let path = path.to_path_buf();
    let (application_id, found) = (mark("application_id")?, mark("user_version")?);
    if application_id != APPLICATION_ID {
        return Err(StoreError::Foreign { path, application_id });
    }
    match found {
        0 => Err(StoreError::Damaged { path, check: "its format (user_version) is 0".to_owned() }),
        1..=FORMAT_VERSION => Ok(found),
        _ => Err(StoreError::NewerFormat { path, found, known: FORMAT_VERSION }),
    }
}

fn configure(connection: &Connection, options: &Options) -> rusqlite::Result<()> {
    let mode: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    if mode != "wal" {
        return Err(rusqlite::Error::SqliteFailure(
            rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_IOERR),
            Some(format!("the file system does not carry a write-ahead log (mode {mode})")),
        ));
    }
    let synchronous = match options.durability {
        Durability::Always => "FULL",
        Durability::Interval(_) => "NORMAL",
        Durability::Never => "OFF",
    };
    connection.pragma_update(None, "synchronous", synchronous)?;
    let kibibytes = i64::try_from(options.cache_bytes / 1024).unwrap_or(i64::MAX);
    connection.pragma_update(None, "cache_size", -kibibytes)?;
    connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
    connection.pragma_update_and_check(None, "journal_size_limit", WAL_BYTES_KEPT.cast_signed(), |_| Ok(()))
}

/// Now. A clock before 1970 reads as 1970.
pub(crate) fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX))
}
