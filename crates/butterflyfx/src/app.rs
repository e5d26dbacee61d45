//! What the running program shares: the engine, the way to change it, the settings, the counters, the
//! worker threads.

use crate::clock;
use crate::config::Config;
use crate::evaluation::Workers;
use crate::jobs::Jobs;
use crate::metrics::Metrics;
use crate::restoring::restore;
use crate::results::ResultCache;
use crate::room::Room;
use crate::spool::Spool;
use butterflyfx_engine::Engine;
use butterflyfx_engine::model::Timestamp;
use butterflyfx_store::{Commit, CommitQueue, KeptAnswer, Recovered, Store, StoreError};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The state of one running program. Shared as `Arc<App>`.
#[derive(Debug)]
pub struct App {
    /// Substrates, relationships, evaluation. To be read; what changes it goes through `queue`.
    pub engine: Arc<Engine>,
    /// The one writer. See [`crate::writing`].
    pub queue: CommitQueue,
    /// The settings in force.
    pub config: Config,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// When the program started, for uptime.
    pub started: Instant,
    /// When the program started, by the clock.
    pub started_at: Timestamp,
    /// [`VERSION`]
    pub version: &'static str,
    /// Threads for work too long for a network thread. See [`crate::evaluation`].
    pub(crate) workers: Workers,
    /// Work that nobody waits for. See [`crate::jobs`].
    pub(crate) jobs: Jobs,
    /// Results of long evaluations; none where nothing is kept.
    pub(crate) results: Option<ResultCache>,
    /// Answers that wait for their clients on disk.
    pub(crate) spool: Arc<Spool>,
    /// Whether there is room for more.
    pub room: Room,
    /// Answers that the store had kept, until those who answer take them.
    pub(crate) kept_answers: Mutex<Vec<KeptAnswer>>,
    readiness: AtomicU8,
}

/// Whether the program takes work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Readiness {
    /// Not listening yet.
    Starting = 0,
    /// Takes work.
    Ready = 1,
    /// Shutting down: open requests are finished, `/readyz` says no.
    Stopping = 2,
}

impl App {
    /// An empty engine under these settings that keeps nothing when it ends, whatever they say of storage.
    /// Not ready until the server listens.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn new(config: Config) -> Result<Arc<App>, StoreError> {
        let engine = Arc::new(Engine::with_jit(config.limits.clone(), config.jit));
        App::start(config, engine, None, Vec::new())
    }

    /// An engine with what the data folder holds, and a store that writes down what changes.
    ///
    /// # Errors
    /// The folder is in use, damaged, of a later format, or cannot be read or written.
    pub fn open(config: Config) -> Result<(Arc<App>, Recovered), StoreError> {
        let mut store = Store::open(&config.data_dir, &config.store_options())?;
        let engine = Arc::new(Engine::with_jit(config.limits.clone(), config.jit));
        let (recovered, answers) = restore(&mut store, &engine)?;
        Ok((App::start(config, engine, Some(store), answers)?, recovered))
    }

    fn start(
        config: Config,
        engine: Arc<Engine>,
        store: Option<Store>,
        kept_answers: Vec<KeptAnswer>,
    ) -> Result<Arc<App>, StoreError> {
        let metrics = Arc::new(Metrics::new());
        let observer = {
            let metrics = Arc::clone(&metrics);
            Box::new(move |commit: &Commit| metrics.committed(commit))
        };
        let queue = CommitQueue::start(Arc::clone(&engine), store, observer)?;
        Ok(Arc::new(App {
            engine,
            queue,
            started: Instant::now(),
            started_at: clock::now(),
            version: VERSION,
            workers: Workers::new(config.evaluation_threads(), config.evaluation_queue),
            jobs: Jobs::new(config.jobs_room(), Arc::clone(&metrics)),
            results: ResultCache::new(config.result_cache),
            spool: Spool::new(&config),
            room: Room::default(),
            kept_answers: Mutex::new(kept_answers),
            readiness: AtomicU8::new(Readiness::Starting as u8),
            metrics,
            config,
        }))
    }

    /// Whether the program takes work: what `/readyz` answers.
    pub fn readiness(&self) -> Readiness {
        match self.readiness.load(Ordering::Relaxed) {
            0 => Readiness::Starting,
            1 => Readiness::Ready,
            _ => Readiness::Stopping,
        }
    }

    /// Says whether the program takes work. `Stopping` is final.
    pub fn set_readiness(&self, readiness: Readiness) {
        self.readiness.fetch_max(readiness as u8, Ordering::Relaxed);
    }
}
