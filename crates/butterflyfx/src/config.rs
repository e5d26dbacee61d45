//! Every setting of the program, each defined once: name, default, bounds, and what it is for.
//!
//! The command line, the environment, the settings file and `docs/configuration.md` all follow
//! from the one table in [`settings`]. Order of precedence: flag, environment, file, default.

pub mod document;
pub mod settings;
pub mod sources;
pub mod values;

use crate::jobs::Room;
use butterflyfx_formula::limits::Limits;
use butterflyfx_jit::tier::Mode;
use butterflyfx_store::{Durability, Options};
use std::path::PathBuf;
use std::time::Duration;

pub use settings::{SETTINGS, Setting};
pub use sources::{ConfigError, Sources};

/// The settings in force. What each is for stands in [`settings`].
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the table of settings says it all, once")]
pub struct Config {
    pub host: String,
    pub port: u16,
    pub workers: u64,
    pub insecure_no_auth: bool,
    pub in_memory: bool,
    pub data_dir: PathBuf,
    pub durability: DurabilityLevel,
    pub durability_interval: Duration,
    pub store_cache: u64,
    pub disk_free_min: u64,
    pub max_memory: u64,
    pub log_level: LogLevel,
    pub log_format: LogFormat,
    pub http: HttpSettings,
    pub evaluation_threads: u64,
    pub evaluation_queue: usize,
    pub jobs_max: usize,
    pub jobs_memory: u64,
    pub jobs_keep: Duration,
    pub result_cache: u64,
    pub idempotency_memory: u64,
    pub idempotency_keep: Duration,
    pub spool_max: u64,
    pub spool_dir: PathBuf,
    pub jit: Mode,
    /// The bounds of the formula language.
    pub limits: Limits,
}

/// Bounds on what clients may send and how long they may take.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the table of settings says it all, once")]
pub struct HttpSettings {
    pub connections_max: usize,
    pub backlog: u32,
    pub first_byte_timeout: Duration,
    pub header_timeout: Duration,
    pub idle_timeout: Duration,
    pub body_timeout: Duration,
    pub body_rate_min: u64,
    pub write_timeout: Duration,
    pub shutdown_delay: Duration,
    pub drain_timeout: Duration,
    pub head_max: usize,
    pub headers_max: usize,
    pub body_max: u64,
    pub batch_body_max: u64,
    pub http2_streams_max: u32,
    pub allowed_hosts: Vec<String>,
    pub cors_origins: Vec<String>,
}

/// What an acknowledged change survives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DurabilityLevel {
    /// Power loss.
    Always,
    /// The death of the process; power loss but for the last interval.
    Interval,
    /// The death of the process, mostly.
    Never,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

const KIB: u64 = 1024;
const MIB: u64 = 1024 * KIB;

impl Default for Config {
    fn default() -> Config {
        Config {
            host: "127.0.0.1".to_owned(),
            port: 8000,
            workers: 0,
            insecure_no_auth: false,
            in_memory: false,
            data_dir: PathBuf::from("butterflyfx-data"),
            durability: DurabilityLevel::Always,
            durability_interval: Duration::from_secs(1),
            store_cache: 32 * MIB,
            disk_free_min: 64 * MIB,
            max_memory: 0,
            log_level: LogLevel::Info,
            log_format: LogFormat::Text,
            http: HttpSettings {
                connections_max: 10_240,
                backlog: 1_024,
                first_byte_timeout: Duration::from_secs(5),
                header_timeout: Duration::from_secs(10),
                idle_timeout: Duration::from_secs(60),
                body_timeout: Duration::from_secs(20),
                body_rate_min: KIB,
                write_timeout: Duration::from_secs(60),
                shutdown_delay: Duration::from_millis(500),
                drain_timeout: Duration::from_secs(30),
                head_max: 64 * KIB as usize,
                headers_max: 100,
                body_max: 8 * MIB,
                batch_body_max: 256 * MIB,
                http2_streams_max: 100,
                allowed_hosts: Vec::new(),
                cors_origins: Vec::new(),
            },
            evaluation_threads: 0,
            evaluation_queue: 1_024,
            jobs_max: 1_000,
            jobs_memory: 256 * MIB,
            jobs_keep: Duration::from_secs(15 * 60),
            result_cache: 64 * MIB,
            idempotency_memory: 64 * MIB,
            idempotency_keep: Duration::from_secs(24 * 60 * 60),
            spool_max: 8 * 1024 * MIB,
            spool_dir: PathBuf::from("/var/tmp"),
            jit: Mode::WhenHot,
            limits: Limits::default(),
        }
    }
}

impl Config {
    /// Network threads: as set, or one for each processor.
    pub fn network_threads(&self) -> usize {
        or_one_a_processor(self.workers)
    }

    /// How the store is opened.
    pub fn store_options(&self) -> Options {
        let durability = match self.durability {
            DurabilityLevel::Always => Durability::Always,
            DurabilityLevel::Interval => Durability::Interval(self.durability_interval),
            DurabilityLevel::Never => Durability::Never,
        };
        Options { durability, cache_bytes: self.store_cache }
    }

    /// What may be kept of jobs.
    pub(crate) fn jobs_room(&self) -> Room {
        Room {
            jobs_max: self.jobs_max,
            bytes_max: usize::try_from(self.jobs_memory).unwrap_or(usize::MAX),
            keep: self.jobs_keep,
        }
    }

    /// Threads for long work: as set, or one for each processor.
    pub fn evaluation_threads(&self) -> usize {
        or_one_a_processor(self.evaluation_threads)
    }
}

fn or_one_a_processor(threads: u64) -> usize {
    match usize::try_from(threads) {
        Ok(0) | Err(_) => std::thread::available_parallelism().map_or(1, |n| n.get()),
        Ok(threads) => threads,
    }
}
