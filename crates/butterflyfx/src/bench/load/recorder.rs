//! Where the connections of a run put down what they met.

use super::histogram::Histogram;
use super::report::{ErrorKind, Latency, LoadReport, Point};
use super::user::Wrong;
use std::collections::BTreeMap;

/// Points that a chart has room for.
const CURVE_POINTS: usize = 240;
/// Kinds of errors that are told apart.
const KINDS_MAX: usize = 50;

/// A stretch of the run, a second or less.
#[derive(Clone, Debug, Default)]
pub struct Slice {
    /// Requests that were due in it (or, in rounds, substrates created).
    pub due: f64,
    /// Requests answered in it.
    pub answered: u64,
    /// Errors in it.
    pub errors: u64,
    /// Latencies of those due in it.
    pub latencies: Histogram,
}

/// All slices of a run, and its errors.
#[derive(Debug)]
pub struct Recorder {
    /// Seconds in a slice.
    width: f64,
    slices: Vec<Slice>,
    /// Errors: count and first example, by kind.
    errors: BTreeMap<String, (u64, String)>,
    /// Requests answered, rightly or not.
    pub requests: u64,
}

impl Recorder {
    /// One with slices this wide.
    pub fn new(width: f64) -> Recorder {
        Recorder { width, slices: Vec::new(), errors: BTreeMap::new(), requests: 0 }
    }

    /// The slice of a moment, which a run does not exceed by much.
    pub fn slice(&mut self, seconds: f64) -> &mut Slice {
        let at = (seconds.max(0.0) / self.width) as usize;
        if at >= self.slices.len() {
            self.slices.resize_with(at + 1, Slice::default);
        }
        &mut self.slices[at]
    }

    /// A request that was due at `due` and done at `done`.
    pub fn request(&mut self, due: f64, done: f64, outcome: Result<(), Wrong>) {
        self.requests += 1;
        let latency_us = ((done - due).max(0.0) * 1e6) as u64;
        self.slice(due).latencies.add(latency_us);
        self.slice(done).answered += 1;
        if let Err(wrong) = outcome {
            self.slice(done).errors += 1;
            self.error(wrong);
        }
    }

    /// An error.
    pub fn error(&mut self, wrong: Wrong) {
        let kind = if self.errors.len() < KINDS_MAX || self.errors.contains_key(&wrong.kind) {
            wrong.kind
        } else {
            "others".to_owned()
        };
        self.errors.entry(kind).or_insert((0, wrong.example)).0 += 1;
    }

    /// Errors so far.
    pub fn errors(&self) -> u64 {
        self.errors.values().map(|(count, _)| count).sum()
    }

    /// The latencies of those due from one moment to another.
    pub fn latencies(&self, begin: f64, end: f64) -> Histogram {
        let mut all = Histogram::default();
        let (first, last) = ((begin / self.width).ceil() as usize, (end / self.width).round() as usize);
        for slice in self.slices.iter().take(last).skip(first) {
            all.add_all(&slice.latencies);
        }
        all
    }

    /// Puts everything into a report that knows how long the run took.
    pub fn fill(&self, report: &mut LoadReport) {
        report.requests = self.requests;
        report.requests_per_s = self.requests as f64 / report.seconds.max(1e-9);
        report.errors = self.errors();
        let kinds = self.errors.iter().map(|(kind, (count, example))| ErrorKind {
            kind: kind.clone(),
            count: *count,
            example: example.clone(),
        });
        report.errors_by_kind = kinds.collect();
        report.latency = Latency::from(&self.latencies(0.0, f64::MAX));
        let in_a_second = ((1.0 / self.width).round() as usize).max(1);
        report.timeline = self.points(in_a_second);
        report.curve = self.points(self.slices.len().div_ceil(CURVE_POINTS).max(1));
    }

    /// Points of so many slices each.
    fn points(&self, slices: usize) -> Vec<Point> {
        let width = self.width * slices as f64;
        let point = |(at, group): (usize, &[Slice])| {
            let mut latencies = Histogram::default();
            for slice in group {
                latencies.add_all(&slice.latencies);
            }
            let seconds = self.width * group.len() as f64;
            Point {
                second: at as f64 * width,
                due_per_s: group.iter().map(|slice| slice.due).sum::<f64>() / seconds,
                answered_per_s: group.iter().map(|slice| slice.answered).sum::<u64>() as f64 / seconds,
                errors: group.iter().map(|slice| slice.errors).sum(),
                latency: Latency::from(&latencies),
            }
        };
        self.slices.chunks(slices).enumerate().map(point).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latency_counts_where_a_request_was_due_and_answers_where_they_came() {
        let mut recorder = Recorder::new(1.0);
        recorder.request(0.5, 2.5, Ok(()));
        recorder.request(1.5, 1.6, Err(Wrong { kind: "k".into(), example: "e".into() }));
        recorder.request(1.7, 1.6, Ok(()));
        let mut report = LoadReport { seconds: 3.0, ..LoadReport::default() };
        recorder.fill(&mut report);
        assert_eq!((report.requests, report.errors, report.requests_per_s), (3, 1, 1.0));
        let answered: Vec<f64> = report.timeline.iter().map(|point| point.answered_per_s).collect();
        assert_eq!(answered, [0.0, 2.0, 1.0]);
        let slowest: Vec<u64> = report.timeline.iter().map(|point| point.latency.max_us).collect();
        assert!(slowest[0].abs_diff(2_000_000) < 2 && slowest[1].abs_diff(100_000) < 2 && slowest[2] == 0);
        assert_eq!(recorder.latencies(1.0, 2.0).total(), 2);
        assert_eq!(report.errors_by_kind[0].example, "e");
    }

    #[test]
    fn a_long_run_has_each_second_and_a_short_curve() {
        let mut recorder = Recorder::new(0.5);
        for second in 0..3_600 {
            recorder.request(f64::from(second), f64::from(second) + 0.001, Ok(()));
        }
        let mut report = LoadReport { seconds: 3_600.0, ..LoadReport::default() };
        recorder.fill(&mut report);
        assert_eq!(report.timeline.len(), 3_600);
        assert!(report.curve.len() <= CURVE_POINTS && report.curve.len() > CURVE_POINTS / 2);
        assert!(report.timeline.iter().all(|point| point.answered_per_s == 1.0 || point.second > 3_598.0));
        for kind in 0..100 {
            recorder.error(Wrong { kind: kind.to_string(), example: String::new() });
        }
        assert!(recorder.errors.len() <= KINDS_MAX + 1);
        assert_eq!(recorder.errors(), 100);
    }
}
