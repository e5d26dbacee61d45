//! Counters of the running program, and their OpenMetrics text.
//!
//! Each network thread counts in a part of its own, so that counting costs no cache line another
//! thread wants; reading adds the parts up.

mod render;
pub(crate) mod routes;
mod waits;

use crate::app::App;
use butterflyfx_engine::model::Timestamp;
use butterflyfx_store::Commit;
use routes::{ROUTES, Route};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;
use waits::{Durations, JobsPart};

pub use render::OPENMETRICS_TYPE;

/// Parts to count in. Threads beyond this share.
const PARTS: usize = 8;

/// Upper bounds of the classes of request durations, in nanoseconds; one more class has no bound.
pub(crate) const DURATION_BOUNDS_NS: [u64; 16] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_500_000_000,
    10_000_000_000,
];

/// Methods that are counted by name; others count as one.
pub(crate) const METHODS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "other"];

/// Classes of status: `1xx` to `5xx`.
pub(crate) const CLASSES: usize = 5;

/// The counters. Updated with relaxed atomics: each number is right by itself.
#[derive(Debug)]
pub struct Metrics {
    parts: Box<[Part]>,
    connections: AtomicU64,
    connections_total: AtomicU64,
    connections_refused: AtomicU64,
    connections_timed_out: AtomicU64,
    accept_errors: AtomicU64,
    overloads: AtomicU64,
    panics: AtomicU64,
    turned_long: AtomicU64,
    waits: Durations,
    pub(crate) jobs: JobsPart,
    store: StorePart,
}

/// What the writer counts.
#[derive(Debug, Default)]
pub(crate) struct StorePart {
    pub(crate) commits: AtomicU64,
    pub(crate) commands: AtomicU64,
    pub(crate) changes: AtomicU64,
    pub(crate) durations: [AtomicU64; DURATION_BOUNDS_NS.len() + 1],
    pub(crate) duration_sum_ns: AtomicU64,
    /// Microseconds since 1970 of the last backup through the API; 0 where there was none.
    pub(crate) backed_up_at: AtomicU64,
}

/// What one thread counts.
#[derive(Debug)]
#[repr(align(128))]
struct Part {
    routes: [RoutePart; ROUTES],
    requests_begun: AtomicU64,
    requests_ended: AtomicU64,
    evaluations: AtomicU64,
    evaluation_errors: AtomicU64,
    evaluation_steps: AtomicU64,
    results_found: AtomicU64,
    results_missed: AtomicU64,
}

#[derive(Debug)]
struct RoutePart {
    answers: [[AtomicU64; CLASSES]; METHODS.len()],
    durations: [AtomicU64; DURATION_BOUNDS_NS.len() + 1],
    duration_sum_ns: AtomicU64,
}

impl Default for Part {
    fn default() -> Part {
        Part {
            routes: std::array::from_fn(|_| RoutePart {
                answers: Default::default(),
                durations: Default::default(),
                duration_sum_ns: AtomicU64::new(0),
            }),
            requests_begun: AtomicU64::new(0),
            requests_ended: AtomicU64::new(0),
            evaluations: AtomicU64::new(0),
            evaluation_errors: AtomicU64::new(0),
            evaluation_steps: AtomicU64::new(0),
            results_found: AtomicU64::new(0),
            results_missed: AtomicU64::new(0),
        }
    }
}

/// The counters of one route, added up.
#[derive(Clone, Debug, Default)]
pub(crate) struct RouteTotals {
    pub(crate) answers: [[u64; CLASSES]; METHODS.len()],
    pub(crate) durations: [u64; DURATION_BOUNDS_NS.len() + 1],
    pub(crate) duration_sum_ns: u64,
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

fn count(counter: &AtomicU64, n: u64) {
    counter.fetch_add(n, Ordering::Relaxed);
}

impl Default for Metrics {
    fn default() -> Metrics {
        Metrics::new()
    }
}

impl Metrics {
    /// All zero.
    pub fn new() -> Metrics {
        Metrics {
            parts: (0..PARTS).map(|_| Part::default()).collect(),
            connections: AtomicU64::new(0),
            connections_total: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            connections_timed_out: AtomicU64::new(0),
            accept_errors: AtomicU64::new(0),
            overloads: AtomicU64::new(0),
            panics: AtomicU64::new(0),
            turned_long: AtomicU64::new(0),
            waits: Durations::default(),
            jobs: JobsPart::default(),
            store: StorePart::default(),
        }
    }

    /// The part this thread counts in.
    fn part(&self) -> &Part {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static INDEX: Cell<usize> = Cell::new(NEXT.fetch_add(1, Ordering::Relaxed) % PARTS);
        }
        &self.parts[INDEX.get()]
    }

    fn sum(&self, counter: fn(&Part) -> &AtomicU64) -> u64 {
        self.parts.iter().fold(0, |sum: u64, part| sum.wrapping_add(counter(part).load(Ordering::Relaxed)))
    }

    /// An evaluation gave a result after so many steps.
    pub fn evaluated(&self, steps: u64) {
        let part = self.part();
        count(&part.evaluations, 1);
        count(&part.evaluation_steps, steps);
    }

    /// So many evaluations gave a result, so many ended in an error.
    pub(crate) fn evaluated_many(&self, evaluations: u64, failures: u64, steps: u64) {
        let part = self.part();
        count(&part.evaluations, evaluations);
        count(&part.evaluation_errors, failures);
        count(&part.evaluation_steps, steps);
    }

    /// An evaluation ended in an error.
    pub fn evaluation_failed(&self) {
        count(&self.part().evaluation_errors, 1);
    }

    /// An evaluation that was short by its form was given up on a network thread.
    pub(crate) fn turned_long(&self) {
        count(&self.turned_long, 1);
    }

    /// A worker began with the work of a request that had waited so long.
    pub(crate) fn evaluation_waited(&self, waited: Duration) {
        self.waits.add(waited);
    }

    /// A result was looked up in the cache.
    pub(crate) fn result_looked_up(&self, is_found: bool) {
        let part = self.part();
        count(if is_found { &part.results_found } else { &part.results_missed }, 1);
    }

    /// How often a result was there, and how often not.
    pub(crate) fn results_looked_up(&self) -> (u64, u64) {
        (self.sum(|part| &part.results_found), self.sum(|part| &part.results_missed))
    }

    /// Work was refused because a queue was full.
    pub fn overloaded(&self) {
        count(&self.overloads, 1);
    }

    /// A handler or an evaluation panicked.
    pub fn panicked(&self) {
        count(&self.panics, 1);
    }

    /// Notes a backup.
    pub(crate) fn backed_up(&self, at: Timestamp) {
        self.store.backed_up_at.store(u64::try_from(at.0).unwrap_or_default(), Ordering::Relaxed);
    }

    /// Counts a commit.
    pub(crate) fn committed(&self, commit: &Commit) {
        count(&self.store.commits, 1);
        count(&self.store.commands, commit.commands);
        count(&self.store.changes, commit.changes);
        let ns = u64::try_from(commit.took.as_nanos()).unwrap_or(u64::MAX);
        let class = DURATION_BOUNDS_NS.partition_point(|bound| *bound < ns);
        count(&self.store.durations[class], 1);
        count(&self.store.duration_sum_ns, ns);
    }

    /// Panics so far.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    pub(crate) fn connection_opened(&self) {
        count(&self.connections, 1);
        count(&self.connections_total, 1);
    }

    pub(crate) fn connection_closed(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    pub(crate) fn connection_refused(&self) {
        count(&self.connections_refused, 1);
    }

    pub(crate) fn connection_timed_out(&self) {
        count(&self.connections_timed_out, 1);
    }

    pub(crate) fn accept_failed(&self) {
        count(&self.accept_errors, 1);
    }

    pub(crate) fn request_began(&self) {
        count(&self.part().requests_begun, 1);
    }

    pub(crate) fn request_ended(&self) {
        count(&self.part().requests_ended, 1);
    }

    /// A request got its answer.
    pub(crate) fn answered(
        &self,
        route: Route,
        method: &http::Method,
        status: http::StatusCode,
        took: Duration,
    ) {
        let part = &self.part().routes[route as usize];
        let class = usize::from(status.as_u16() / 100).clamp(1, CLASSES) - 1;
        count(&part.answers[method_index(method)][class], 1);
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        count(&part.durations[DURATION_BOUNDS_NS.partition_point(|bound| *bound < ns)], 1);
        count(&part.duration_sum_ns, ns);
    }

    /// Connections open now.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Requests being answered now.
    pub fn requests_in_flight(&self) -> u64 {
        // Ended first: a request that begins in between must not make the difference negative.
        let ended = self.sum(|part| &part.requests_ended);
        self.sum(|part| &part.requests_begun).saturating_sub(ended)
    }

    /// Requests answered since the start.
    pub fn requests_total(&self) -> u64 {
        let of_route = |route: &RoutePart| -> u64 {
            route.durations.iter().map(|one| one.load(Ordering::Relaxed)).sum()
        };
        self.parts.iter().flat_map(|part| &part.routes).map(of_route).sum()
    }

    /// The counters of each route, by index.
    pub(crate) fn route_totals(&self) -> Vec<RouteTotals> {
        let mut totals = vec![RouteTotals::default(); ROUTES];
        for part in &self.parts {
            for (total, route) in totals.iter_mut().zip(&part.routes) {
                for (sums, counters) in total.answers.iter_mut().zip(&route.answers) {
                    for (sum, counter) in sums.iter_mut().zip(counters) {
                        *sum += counter.load(Ordering::Relaxed);
                    }
                }
                for (sum, counter) in total.durations.iter_mut().zip(&route.durations) {
                    *sum += counter.load(Ordering::Relaxed);
                }
                total.duration_sum_ns += route.duration_sum_ns.load(Ordering::Relaxed);
            }
        }
        totals
    }

    /// The OpenMetrics text of everything. Its type is [`OPENMETRICS_TYPE`].
    pub fn render_openmetrics(&self, app: &App) -> String {
        render::openmetrics(self, app)
    }

    /// The short form for `/api/v1/metrics`.
    pub fn summary(&self, app: &App) -> MetricsSummary {
        let (total_substrates, total_relationships) = app.engine.counts();
        MetricsSummary {
            total_substrates,
            total_relationships,
            uptime_seconds: app.started.elapsed().as_secs_f64(),
            version: app.version,
            requests_total: self.requests_total(),
            requests_in_flight: self.requests_in_flight(),
            connections: self.connections(),
            evaluations_total: self.sum(|part| &part.evaluations),
            evaluation_errors_total: self.sum(|part| &part.evaluation_errors),
            evaluation_steps_total: self.sum(|part| &part.evaluation_steps),
            resident_memory_bytes: resident_bytes().unwrap_or(0),
        }
    }
}

fn method_index(method: &http::Method) -> usize {
    match *method {
        http::Method::GET => 0,
        http::Method::HEAD => 1,
        http::Method::POST => 2,
        http::Method::PUT => 3,
        http::Method::PATCH => 4,
        http::Method::DELETE => 5,
        http::Method::OPTIONS => 6,
        _ => 7,
    }
}

/// Bytes of memory this process has resident, where the system tells.
pub fn resident_bytes() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
