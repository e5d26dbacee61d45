//! How long things take, in classes; and what becomes of jobs.

use super::{DURATION_BOUNDS_NS, count};
use crate::jobs::State;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Durations, counted by class.
#[derive(Debug, Default)]
pub(crate) struct Durations {
    classes: [AtomicU64; DURATION_BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

impl Durations {
    pub(super) fn add(&self, took: Duration) {
        let ns = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        count(&self.classes[DURATION_BOUNDS_NS.partition_point(|bound| *bound < ns)], 1);
        count(&self.sum_ns, ns);
    }

    pub(super) fn classes(&self) -> [u64; DURATION_BOUNDS_NS.len() + 1] {
        std::array::from_fn(|class| self.classes[class].load(Ordering::Relaxed))
    }

    pub(super) fn sum_ns(&self) -> u64 {
        self.sum_ns.load(Ordering::Relaxed)
    }
}

/// What is counted of jobs.
#[derive(Debug, Default)]
pub(crate) struct JobsPart {
    pub(super) submitted: AtomicU64,
    pub(super) succeeded: AtomicU64,
    pub(super) failed: AtomicU64,
    pub(super) cancelled: AtomicU64,
    pub(super) pushed_out: AtomicU64,
    pub(super) waits: Durations,
}

impl JobsPart {
    /// A job was taken.
    pub(crate) fn submitted(&self) {
        count(&self.submitted, 1);
    }

    /// A worker began with a job that had waited so long.
    pub(crate) fn waited(&self, waited: Duration) {
        self.waits.add(waited);
    }

    /// A job ended.
    pub(crate) fn ended(&self, state: State) {
        match state {
            State::Succeeded => count(&self.succeeded, 1),
            State::Failed => count(&self.failed, 1),
            State::Cancelled => count(&self.cancelled, 1),
            State::Queued | State::Running => {}
        }
    }

    /// So many jobs were forgotten before their time.
    pub(crate) fn pushed_out(&self, jobs: u64) {
        if jobs > 0 {
            count(&self.pushed_out, jobs);
        }
    }
}
