//! What the running program shares: the engine, the settings, the counters, the worker threads.

use crate::clock;
use crate::config::Config;
use crate::evaluation::Workers;
use crate::metrics::Metrics;
use butterflyfx_engine::Engine;
use butterflyfx_engine::model::Timestamp;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Instant;

/// The version of the program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The state of one running program. Shared as `Arc<App>`.
#[derive(Debug)]
pub struct App {
    /// Substrates, relationships, evaluation.
    pub engine: Engine,
    /// The settings in force.
    pub config: Config,
    /// Counters.
    pub metrics: Metrics,
    /// When the program started, for uptime.
    pub started: Instant,
    /// When the program started, by the clock.
    pub started_at: Timestamp,
    /// [`VERSION`]
    pub version: &'static str,
    /// Threads for work too long for a network thread. See [`crate::evaluation`].
    pub(crate) workers: Workers,
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
    /// An empty engine under these settings. Not ready until the server listens.
    pub fn new(config: Config) -> Arc<App> {
        Arc::new(App {
            engine: Engine::new(config.limits.clone()),
            metrics: Metrics::new(),
            started: Instant::now(),
            started_at: clock::now(),
            version: VERSION,
            workers: Workers::new(config.evaluation_threads(), config.evaluation_queue),
            readiness: AtomicU8::new(Readiness::Starting as u8),
            config,
        })
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
