//! What a run found, for machines: `report.json` and its way back, the lines for a table in the documents, and
//! the exit code.

use super::histogram::Histogram;
use crate::bench::grouped;
use serde::{Deserialize, Serialize};
use std::fmt::Write;

/// Everything a run found.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct LoadReport {
    /// The scenario.
    pub scenario: String,
    /// The version of the program that ran it.
    pub version: String,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long it took.
    pub seconds: f64,
    /// Whether a signal ended it before its time.
    pub is_cut_short: bool,
    /// Processors that load and server had.
    pub processors: u64,
    /// Connections, each one user.
    pub connections: u64,
    /// Requests a second, the most that were due.
    pub rate: u64,
    /// Requests sent.
    pub requests: u64,
    /// Requests answered a second, over the whole run.
    pub requests_per_s: f64,
    /// Wrong answers and broken connections.
    pub errors: u64,
    /// The same by kind.
    pub errors_by_kind: Vec<ErrorKind>,
    /// What the run asserts and does not hold, such as a bound on memory.
    pub failures: Vec<String>,
    /// Remarks for the reader.
    pub remarks: Vec<String>,
    /// Latencies over the whole run.
    pub latency: Latency,
    /// How much later than due requests were sent though a connection was free: the runner's own share.
    pub runner_lag: Latency,
    /// Resident memory of the server.
    pub memory: Memory,
    /// Each operation of the mix.
    pub operations: Vec<Stretch>,
    /// Each phase of the schedule.
    pub phases: Vec<Stretch>,
    /// Each round of creating and deleting.
    pub rounds: Vec<Round>,
    /// Each second.
    pub timeline: Vec<Point>,
    /// The timeline in as few points as a chart has room for.
    #[serde(skip)]
    pub curve: Vec<Point>,
}

/// Percentiles in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// Half were answered within.
    pub p50_us: u64,
    /// 95 of 100.
    pub p95_us: u64,
    /// 99 of 100.
    pub p99_us: u64,
    /// 999 of 1,000.
    pub p99_9_us: u64,
    /// The slowest.
    pub max_us: u64,
}

impl From<&Histogram> for Latency {
    fn from(histogram: &Histogram) -> Latency {
        Latency {
            p50_us: histogram.percentile(0.5),
            p95_us: histogram.percentile(0.95),
            p99_us: histogram.percentile(0.99),
            p99_9_us: histogram.percentile(0.999),
            max_us: histogram.max(),
        }
    }
}

/// Errors of one kind.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ErrorKind {
    /// The kind.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub example: String,
}

/// Resident memory in bytes; zeros where it could not be read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Memory {
    /// Before the first request.
    pub before_bytes: u64,
    /// After the last, settled.
    pub after_bytes: u64,
    /// The most at any time.
    pub peak_bytes: u64,
    /// Over time: seconds and bytes.
    pub samples: Vec<(f64, u64)>,
}

/// A part of all requests: one operation, or one phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Stretch {
    /// Its name.
    pub name: String,
    /// When it began, for a phase.
    pub begin_s: f64,
    /// When it ended, for a phase.
    pub end_s: f64,
    /// Requests.
    pub requests: u64,
    /// Errors among them.
    pub errors: u64,
    /// Their latencies.
    pub latency: Latency,
}

/// A round of creating and deleting.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Round {
    /// From 1.
    pub round: u64,
    /// When it began.
    pub begin_s: f64,
    /// Substrates created a second.
    pub created_per_s: f64,
    /// Substrates deleted a second.
    pub deleted_per_s: f64,
    /// Resident memory when all were there.
    pub full_bytes: u64,
    /// When it was empty again and memory had settled.
    pub settled_at_s: f64,
    /// Resident memory then.
    pub settled_bytes: u64,
}

/// A second, or a few in one.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub struct Point {
    /// Its beginning.
    pub second: f64,
    /// Requests that were due in it, a second.
    pub due_per_s: f64,
    /// Requests answered in it, a second.
    pub answered_per_s: f64,
    /// Errors in it.
    pub errors: u64,
    /// Latencies of the requests that were due in it; all 0 where there were none.
    pub latency: Latency,
}

impl LoadReport {
    /// Whether everything was as it must be. Time never makes a run fail.
    pub fn is_good(&self) -> bool {
        self.errors == 0 && self.failures.is_empty() && self.requests > 0
    }

    /// The whole of it as JSON.
    ///
    /// # Errors
    /// What serde says.
    pub fn json(&self) -> Result<String, String> {
        serde_json::to_string(self).map(|text| text + "\n").map_err(|error| error.to_string())
    }

    /// The figures as one JSON object, without what is told over time.
    ///
    /// # Errors
    /// What serde says.
    pub fn json_summary(&self) -> Result<String, String> {
        let mut short = self.clone();
        short.timeline.clear();
        short.memory.samples.clear();
        short.json()
    }

    /// Reads `report.json`.
    ///
    /// # Errors
    /// A sentence, where it is none.
    pub fn read(text: &str) -> Result<LoadReport, String> {
        serde_json::from_str(text).map_err(|error| format!("no report of bench load: {error}"))
    }

    /// The one line to read first.
    pub fn verdict(&self) -> String {
        let errors = match self.errors {
            0 => "no errors".to_owned(),
            1 => "1 error".to_owned(),
            count => format!("{} errors", grouped(count)),
        };
        let cut = if self.is_cut_short { ", cut short by a signal" } else { "" };
        let mut verdict = format!("{} requests, {errors}{cut}", grouped(self.requests));
        for failure in &self.failures {
            let _ = write!(verdict, "; {failure}");
        }
        verdict
    }

    /// Lines of a Markdown table for the documents.
    pub fn markdown(&self) -> String {
        let ms = |us: u64| milliseconds(us);
        if self.rounds.is_empty() {
            let phases = if self.phases.len() > 1 { self.phases.as_slice() } else { &[] };
            let mut out = String::from(
                "| run | requests | errors | p50 | p95 | p99 | p99.9 | max | memory before, peak, after |\n\
                 |---|---|---|---|---|---|---|---|---|\n",
            );
            let mut line = |name: &str, requests, errors, latency: &Latency, memory: &str| {
                let _ = writeln!(
                    out,
                    "| {name} | {} | {errors} | {} | {} | {} | {} | {} | {memory} |",
                    grouped(requests),
                    ms(latency.p50_us),
                    ms(latency.p95_us),
                    ms(latency.p99_us),
                    ms(latency.p99_9_us),
                    ms(latency.max_us),
                );
            };
            let memory = &self.memory;
            let bytes =
                [memory.before_bytes, memory.peak_bytes, memory.after_bytes].map(mebibytes).join(", ");
            let name = format!("{}, {} s", self.scenario, self.seconds.round());
            line(&name, self.requests, self.errors, &self.latency, &bytes);
            for phase in phases {
                line(&format!("- {}", phase.name), phase.requests, phase.errors, &phase.latency, "");
            }
            return out;
        }
        let mut out = String::from(
            "| round | created a second | deleted a second | resident, all there | resident, all deleted |\n\
             |---|---|---|---|---|\n",
        );
        for round in &self.rounds {
            let _ = writeln!(
                out,
                "| {} | {} | {} | {} | {} |",
                round.round,
                grouped(round.created_per_s as u64),
                grouped(round.deleted_per_s as u64),
                mebibytes(round.full_bytes),
                mebibytes(round.settled_bytes)
            );
        }
        out
    }
}

/// Microseconds as milliseconds, with the digits that mean something.
pub fn milliseconds(us: u64) -> String {
    match us {
        0..1_000 => format!("{:.2} ms", us as f64 / 1e3),
        1_000..100_000 => format!("{:.1} ms", us as f64 / 1e3),
        _ => format!("{} ms", grouped(us / 1_000)),
    }
}

/// Bytes as MiB; a dash where nothing was read.
pub fn mebibytes(bytes: u64) -> String {
    match bytes {
        0 => "-".to_owned(),
        _ => format!("{:.1} MiB", bytes as f64 / (1 << 20) as f64),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A report with something in every part.
    pub(in crate::bench::load) fn sample() -> LoadReport {
        let latency = Latency { p50_us: 120, p95_us: 480, p99_us: 1_900, p99_9_us: 9_000, max_us: 120_000 };
        let point = |second: u32| Point {
            second: f64::from(second),
            due_per_s: 100.0,
            answered_per_s: 99.0,
            errors: 0,
            latency,
        };
        let stretch = |name: &str| Stretch {
            name: name.to_owned(),
            begin_s: 0.0,
            end_s: 2.0,
            requests: 100,
            errors: 0,
            latency,
        };
        LoadReport {
            scenario: "spike".to_owned(),
            version: "0".to_owned(),
            started_at: "2026-11-27T00:00:00Z".to_owned(),
            seconds: 4.0,
            processors: 2,
            connections: 8,
            rate: 100,
            requests: 12_345,
            requests_per_s: 99.0,
            latency,
            memory: Memory {
                before_bytes: 1 << 20,
                after_bytes: 3 << 20,
                peak_bytes: 4 << 20,
                samples: vec![(0.0, 1 << 20), (4.0, 3 << 20)],
            },
            operations: vec![stretch("get"), stretch("value")],
            phases: vec![stretch("before"), stretch("peak")],
            timeline: (0..4).map(point).collect(),
            curve: (0..4).map(point).collect(),
            ..LoadReport::default()
        }
    }

    #[test]
    fn a_report_comes_back_from_its_json() {
        let report = sample();
        let again = LoadReport::read(&report.json().expect("JSON")).expect("reads");
        assert_eq!(again.markdown(), report.markdown());
        assert_eq!(again.timeline.len(), 4);
        assert_eq!(again.latency, report.latency);
        let short: serde_json::Value =
            serde_json::from_str(&report.json_summary().expect("JSON")).expect("JSON");
        assert_eq!(short["timeline"].as_array().map(Vec::len), Some(0));
        assert_eq!(short["latency"]["p99_us"], 1_900);
        assert!(LoadReport::read("{}").is_err());
    }

    #[test]
    fn errors_and_failures_are_bad_and_slowness_is_not() {
        let mut report = sample();
        assert!(report.is_good());
        assert_eq!(report.verdict(), "12 345 requests, no errors");
        report.failures.push("memory grew".to_owned());
        assert!(!report.is_good());
        report.failures.clear();
        report.errors = 1;
        assert!(!report.is_good());
        assert_eq!(report.verdict(), "12 345 requests, 1 error");
        assert!(!LoadReport::default().is_good(), "nothing was asked");
    }

    #[test]
    fn tables_have_a_line_for_each_phase_or_round() {
        let mut report = sample();
        assert_eq!(report.markdown().lines().count(), 5);
        assert!(report.markdown().contains("| spike, 4 s | 12 345 | 0 | 0.12 ms |"), "{}", report.markdown());
        report.rounds.push(Round {
            round: 1,
            begin_s: 0.0,
            created_per_s: 200_000.0,
            deleted_per_s: 100_000.0,
            full_bytes: 5 << 20,
            settled_at_s: 3.0,
            settled_bytes: 2 << 20,
        });
        assert!(report.markdown().contains("| 1 | 200 000 | 100 000 | 5.0 MiB | 2.0 MiB |"));
    }
}
