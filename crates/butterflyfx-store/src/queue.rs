//! One writer for everybody: commands wait in a queue, are written down together, and take effect
//! together (group commit).
//!
//! The writer takes all that waits, has each command planned in a [`Draft`], commits the changes of
//! the draft in one transaction, applies them to the engine and only then tells each asker. It waits
//! for nobody: a lone command is committed at once, and while one commit is synced the next group
//! gathers. Without a store it does the same but for the commit.

use crate::error::StoreError;
use crate::kept::KeptAnswer;
use crate::store::{Checkpointer, Durability, Store, now};
use butterflyfx_engine::Engine;
use butterflyfx_engine::draft::Draft;
use butterflyfx_engine::model::Timestamp;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Changes after which a group is closed; what is planned at once may go beyond.
const GROUP_CHANGES_MAX: usize = 8192;

/// The log is copied into the database, in the background, when it is longer than this.
const CHECKPOINT_BYTES: u64 = 32 * 1024 * 1024;

/// What is left after that is copied between two commits, when the log is longer than this, so that
/// it begins anew.
const RESTART_BYTES: u64 = 64 * 1024 * 1024;

/// How often the writer looks whether something is due.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// How often answers that have expired are removed.
const FORGET_INTERVAL: Duration = Duration::from_secs(600);

/// A command on its way: planned in the draft it is given, as often as it is told to come again.
pub type Job = Box<dyn FnMut(&mut Draft<'_>) -> Attempt + Send>;

/// Told when the command has taken effect, or why it never will.
pub type Completion = Box<dyn FnOnce(Result<(), CommitFailure>) + Send>;

/// Told why a command that was put off does not come again.
pub type Abandon = Box<dyn FnOnce(CommitFailure) + Send>;

/// Work on the store itself, between two groups.
type Errand = Box<dyn FnOnce(&mut Store) + Send>;

/// What became of planning a command.
pub enum Attempt {
    /// It is in the draft.
    Done(Completion),
    /// It changes nothing but has an answer kept.
    Keep(KeptAnswer, Completion),
    /// It has to come again with the next draft. It does not where this draft is not stored: it may have planned
    /// a part of itself there, or have been answered by what others had.
    Later(Abandon),
}

/// Why a command did not take effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommitFailure {
    /// No room on the disk: nothing was stored; later there may be room.
    Full(String),
    /// Somebody else writes to the database: nothing was stored; trying again may work.
    Busy(String),
    /// Writing failed: whether it is stored shows at the next start. Nothing can be written until then.
    Unknown(String),
    /// Nothing can be written since an earlier failure; nothing was stored.
    ReadOnly(String),
    /// A mistake of this program; nothing was stored.
    Internal(String),
}

/// A finished commit.
#[derive(Clone, Copy, Debug)]
pub struct Commit {
    /// Commands that were committed together.
    pub commands: u64,
    /// Changes that they made.
    pub changes: u64,
    /// How long the transaction took, syncing included; zero without a store.
    pub took: Duration,
}

/// Is told of each commit.
pub type Observer = Box<dyn Fn(&Commit) + Send + Sync>;

/// What can be said of a queue and its store at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Commands waiting.
    pub waiting: u64,
    /// Bytes of the database and its log.
    pub file_bytes: u64,
    /// Bytes of the log alone.
    pub log_bytes: u64,
    /// Why nothing can be written, if so.
    pub read_only: Option<String>,
    /// Whether the last commit found no room.
    pub is_full: bool,
}

/// The queue. Dropping it closes it.
pub struct CommitQueue {
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Shared {
    engine: Arc<Engine>,
    waiting: Mutex<Waiting>,
    wake: Condvar,
    observer: Observer,
    has_store: bool,
    read_only: OnceLock<String>,
    is_full: AtomicBool,
    file_bytes: AtomicU64,
    log_bytes: AtomicU64,
    log: Log,
}

/// What the writer and the thread that copies the log tell each other.
#[derive(Default)]
struct Log {
    state: Mutex<LogState>,
    wake: Condvar,
}

#[derive(Default)]
struct LogState {
    wants_copy: bool,
    closed: bool,
    /// Most of it was copied since the last commit but a few.
    is_copied: bool,
}

#[derive(Default)]
struct Waiting {
    jobs: VecDeque<Job>,
    errands: Vec<Errand>,
    closed: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing that is held under these locks is left half done by a panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for CommitQueue {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("CommitQueue").field("status", &self.status()).finish_non_exhaustive()
    }
}

impl CommitQueue {
    /// Starts the writer. The engine holds what the store holds, and from now on nothing else changes it.
    ///
    /// # Errors
    /// A thread cannot be started, or the store cannot be opened a second time.
    pub fn start(
        engine: Arc<Engine>,
        store: Option<Store>,
        observer: Observer,
    ) -> Result<CommitQueue, StoreError> {
        let checkpointer = store.as_ref().map(Store::checkpointer).transpose()?;
        let shared = Arc::new(Shared {
            engine,
            waiting: Mutex::default(),
            wake: Condvar::new(),
            observer,
            has_store: store.is_some(),
            read_only: OnceLock::new(),
            is_full: AtomicBool::new(false),
            file_bytes: AtomicU64::new(store.as_ref().map_or(0, Store::file_bytes)),
            log_bytes: AtomicU64::new(0),
            log: Log::default(),
        });
        let mut threads = Vec::new();
        let writer = Arc::clone(&shared);
        // The checkpointer's connection is closed before the store's.
        let copying = checkpointer
            .map(|checkpointer| {
                let shared = Arc::clone(&shared);
                spawn("checkpoint", move || copy_log(&shared.log, checkpointer))
            })
            .transpose()?;
        threads.push(spawn("writer", move || {
            let store = Writer::new(&writer, store).run();
            {
                lock(&writer.log.state).closed = true;
                writer.log.wake.notify_all();
            }
            if let Some(copying) = copying {
                let _ = copying.join();
            }
            if let Some(store) = store {
                // What is left in the log is read at the next start all the same.
                let _ = store.close();
            }
        })?);
        Ok(CommitQueue { shared, threads: Mutex::new(threads) })
    }

    /// Hands a command to the writer. `false`: the queue is closed, and the command is dropped.
    pub fn submit(&self, job: Job) -> bool {
        let mut waiting = lock(&self.shared.waiting);
        if waiting.closed {
            return false;
        }
        waiting.jobs.push_back(job);
        drop(waiting);
        self.shared.wake.notify_one();
        true
    }

    /// Has something done to the store between two groups. `false`: there is no store, or it is closed.
    pub fn run_errand(&self, errand: impl FnOnce(&mut Store) + Send + 'static) -> bool {
        let mut waiting = lock(&self.shared.waiting);
        if waiting.closed || !self.shared.has_store {
            return false;
        }
        waiting.errands.push(Box::new(errand));
        drop(waiting);
        self.shared.wake.notify_one();
        true
    }

    /// Why nothing can be written, if so.
    pub fn read_only(&self) -> Option<&str> {
        self.shared.read_only.get().map(String::as_str)
    }

    /// Whether there is a store.
    pub fn is_durable(&self) -> bool {
        self.shared.has_store
    }

    /// How things stand.
    pub fn status(&self) -> Status {
        Status {
            waiting: lock(&self.shared.waiting).jobs.len() as u64,
            file_bytes: self.shared.file_bytes.load(Ordering::Relaxed),
            log_bytes: self.shared.log_bytes.load(Ordering::Relaxed),
            read_only: self.shared.read_only.get().cloned(),
            is_full: self.shared.is_full.load(Ordering::Relaxed),
        }
    }

    /// Writes what waits, copies the log into the database and closes it; comes back when it is done.
    pub fn close(&self) {
        lock(&self.shared.waiting).closed = true;
        self.shared.wake.notify_all();
        for thread in lock(&self.threads).drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for CommitQueue {
    fn drop(&mut self) {
        self.close();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map_err(|error| StoreError::Io {
        path: name.into(),
        detail: format!("starting the thread: {error}"),
    })
}

/// Copies the log into the database whenever it has become long.
fn copy_log(log: &Log, mut checkpointer: Checkpointer) {
    loop {
        let mut state = lock(&log.state);
        while !state.wants_copy && !state.closed {
            state = log.wake.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.closed {
            return;
        }
        drop(state);
        // A failure poisons the store, and the next commit tells.
        let copied = checkpointer.run().is_ok();
        let mut state = lock(&log.state);
        state.wants_copy = false;
        state.is_copied = copied;
    }
}

/// The time of a group. Each has one of its own, also when the clock is set back: a substrate that is deleted and made
/// again must not have the tag that it had before.
fn next_time(last: Timestamp, clock: Timestamp) -> Timestamp {
    clock.max(Timestamp(last.0.saturating_add(1)))
}

/// The writer's thread.
struct Writer<'a> {
    shared: &'a Shared,
    store: Option<Store>,
    last: Timestamp,
    synced_at: Instant,
    is_dirty: bool,
    forgot_at: Instant,
}

impl Writer<'_> {
    fn new(shared: &Shared, store: Option<Store>) -> Writer<'_> {
        let started = Instant::now();
        Writer {
            shared,
            store,
            last: Timestamp(i64::MIN),
            synced_at: started,
            is_dirty: false,
            forgot_at: started,
        }
    }

    /// Works until the queue is closed and empty; gives the store back.
    fn run(mut self) -> Option<Store> {
        let mut jobs = VecDeque::new();
        loop {
            let Some(errands) = self.wait(&mut jobs) else { return self.store };
            if let Some(store) = &mut self.store {
                errands.into_iter().for_each(|errand| errand(store));
            }
            if !jobs.is_empty() {
                self.group(&mut jobs);
            }
            self.keep_house();
        }
    }

    /// Takes all that waits, behind what was put off; `None` when there will be no more.
    fn wait(&self, jobs: &mut VecDeque<Job>) -> Option<Vec<Errand>> {
        let mut waiting = lock(&self.shared.waiting);
        if jobs.is_empty() && waiting.jobs.is_empty() && waiting.errands.is_empty() {
            if waiting.closed {
                return None;
            }
            waiting = if self.store.is_some() {
                let (waiting, _) = self
                    .shared
                    .wake
                    .wait_timeout(waiting, LOOK_INTERVAL)
                    .unwrap_or_else(PoisonError::into_inner);
                waiting
            } else {
                self.shared.wake.wait(waiting).unwrap_or_else(PoisonError::into_inner)
            };
        }
        jobs.append(&mut waiting.jobs);
        Some(std::mem::take(&mut waiting.errands))
    }

    /// Plans, commits and applies what can be done together; what cannot stays in `jobs`.
    fn group(&mut self, jobs: &mut VecDeque<Job>) {
        self.last = next_time(self.last, now());
        let mut draft = self.shared.engine.draft(self.last);
        let mut done: Vec<Completion> = Vec::new();
        let (mut put_off, mut abandon) = (VecDeque::new(), Vec::new());
        let mut answers = Vec::new();
        // While there is no room each goes alone, so that a delete does not fail with a creation.
        let is_alone = self.shared.is_full.load(Ordering::Relaxed);
        while draft.changes().len() < GROUP_CHANGES_MAX
            && (!is_alone || draft.changes().is_empty())
            && let Some(mut job) = jobs.pop_front()
        {
            match catch_unwind(AssertUnwindSafe(|| job(&mut draft))) {
                Ok(Attempt::Done(completion)) => done.push(completion),
                Ok(Attempt::Keep(answer, completion)) => {
                    answers.push(answer);
                    done.push(completion);
                }
                Ok(Attempt::Later(tell)) => {
                    put_off.push_back(job);
                    abandon.push(tell);
                }
                Err(_) => {
                    // What the draft holds may be half of something.
                    let failure = CommitFailure::Internal("a command panicked while it was planned".into());
                    done.into_iter().for_each(|tell| tell(Err(failure.clone())));
                    abandon.into_iter().for_each(|tell| tell(failure.clone()));
                    return;
                }
            }
        }
        let changes = draft.changes().len() as u64;
        let began = Instant::now();
        let outcome = match &mut self.store {
            Some(store) if changes > 0 || !answers.is_empty() => store.commit(draft.changes(), &answers),
            _ => Ok(()),
        };
        match outcome {
            Ok(()) => {
                let took = if self.store.is_some() { began.elapsed() } else { Duration::ZERO };
                draft.apply();
                if changes > 0 || !answers.is_empty() {
                    self.shared.is_full.store(false, Ordering::Relaxed);
                    self.is_dirty = true;
                    (self.shared.observer)(&Commit { commands: done.len() as u64, changes, took });
                }
                done.into_iter().for_each(|tell| tell(Ok(())));
                put_off.append(jobs);
                *jobs = put_off;
            }
            Err(error) => {
                drop(draft);
                let failure = self.failure(&error);
                done.into_iter().for_each(|tell| tell(Err(failure.clone())));
                abandon.into_iter().for_each(|tell| tell(failure.clone()));
            }
        }
    }

    fn failure(&self, error: &StoreError) -> CommitFailure {
        let sentence = error.to_string();
        match error {
            StoreError::Full { .. } => {
                self.shared.is_full.store(true, Ordering::Relaxed);
                CommitFailure::Full(sentence)
            }
            StoreError::Busy { .. } => CommitFailure::Busy(sentence),
            StoreError::Poisoned { cause } => {
                let _ = self.shared.read_only.set(cause.clone());
                CommitFailure::ReadOnly(sentence)
            }
            StoreError::Unfit { .. } => CommitFailure::Internal(sentence),
            _ => {
                let _ = self.shared.read_only.set(sentence.clone());
                CommitFailure::Unknown(sentence)
            }
        }
    }

    /// What is due between two groups.
    fn keep_house(&mut self) {
        let Some(store) = &mut self.store else { return };
        if let Some(cause) = store.poisoned() {
            let _ = self.shared.read_only.set(cause.to_owned());
            return;
        }
        // A failure of any of this poisons the store where it matters, and the next commit tells.
        if let Durability::Interval(interval) = store.durability()
            && self.is_dirty
            && self.synced_at.elapsed() >= interval
        {
            let _ = store.sync();
            self.synced_at = Instant::now();
            self.is_dirty = false;
        }
        if self.forgot_at.elapsed() >= FORGET_INTERVAL {
            let _ = store.forget_expired_answers(now());
            self.forgot_at = Instant::now();
        }
        let log_bytes = store.wal_bytes();
        self.shared.log_bytes.store(log_bytes, Ordering::Relaxed);
        self.shared.file_bytes.store(store.file_bytes(), Ordering::Relaxed);
        if log_bytes > CHECKPOINT_BYTES {
            let mut state = lock(&self.shared.log.state);
            if state.is_copied && log_bytes > RESTART_BYTES {
                state.is_copied = false;
                drop(state);
                let _ = store.checkpoint();
            } else if !state.wants_copy {
                state.wants_copy = true;
                drop(state);
                self.shared.log.wake.notify_one();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_group_has_a_time_of_its_own() {
        for (last, clock, expected) in
            [(i64::MIN, 5, 5), (5, 9, 9), (5, 5, 6), (5, 1, 6), (i64::MAX, 1, i64::MAX)]
        {
            assert_eq!(next_time(Timestamp(last), Timestamp(clock)), Timestamp(expected), "{last}, {clock}");
        }
    }
}
