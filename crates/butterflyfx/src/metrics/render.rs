//! The OpenMetrics text. Families come whole and end with `# EOF`, as the format asks.

use super::routes::TEMPLATES;
use super::waits::Durations;
use super::{DURATION_BOUNDS_NS, METHODS, Metrics, resident_bytes};
use crate::app::{App, Readiness};
use std::fmt::{Display, Write};
use std::sync::atomic::Ordering;

/// The media type of the text.
pub const OPENMETRICS_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const CLASS_NAMES: [&str; super::CLASSES] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

/// The text so far. Writing to a string cannot fail, so results of `write!` are let go.
struct Text(String);

impl Text {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# TYPE butterflyfx_{name} {kind}");
        if name.ends_with("_seconds") {
            let _ = writeln!(self.0, "# UNIT butterflyfx_{name} seconds");
        } else if name.ends_with("_bytes") {
            let _ = writeln!(self.0, "# UNIT butterflyfx_{name} bytes");
        }
        let _ = writeln!(self.0, "# HELP butterflyfx_{name} {help}");
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.family(name, "counter", help);
        let _ = writeln!(self.0, "butterflyfx_{name}_total {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        let _ = writeln!(self.0, "butterflyfx_{name} {value}");
    }

    fn histogram(&mut self, name: &str, help: &str, durations: &Durations) {
        self.family(name, "histogram", help);
        let classes = durations.classes();
        let mut below = 0;
        for (count, bound) in classes.iter().zip(DURATION_BOUNDS_NS) {
            below += count;
            let _ = writeln!(self.0, "butterflyfx_{name}_bucket{{le=\"{}\"}} {below}", seconds(bound));
        }
        let count: u64 = classes.iter().sum();
        let _ = writeln!(self.0, "butterflyfx_{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(self.0, "butterflyfx_{name}_sum {}", seconds(durations.sum_ns()));
        let _ = writeln!(self.0, "butterflyfx_{name}_count {count}");
    }
}

/// Nanoseconds as seconds, exactly.
fn seconds(ns: u64) -> String {
    let text = format!("{}.{:09}", ns / 1_000_000_000, ns % 1_000_000_000);
    let trimmed = text.trim_end_matches('0');
    if trimmed.ends_with('.') { format!("{trimmed}0") } else { trimmed.to_owned() }
}

/// The whole text.
pub(super) fn openmetrics(metrics: &Metrics, app: &App) -> String {
    let mut text = Text(String::with_capacity(16 * 1024));
    requests(&mut text, metrics);
    text.gauge("http_requests_in_flight", "Requests being answered.", metrics.requests_in_flight());
    text.gauge("connections", "Open connections.", metrics.connections());
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    text.counter("connections_accepted", "Connections accepted.", load(&metrics.connections_total));
    text.counter(
        "connections_refused",
        "Connections refused because too many were open.",
        load(&metrics.connections_refused),
    );
    text.counter(
        "connections_timed_out",
        "Connections closed because the client was too slow.",
        load(&metrics.connections_timed_out),
    );
    text.counter("accept_errors", "Failed attempts to accept a connection.", load(&metrics.accept_errors));
    text.counter("overloads", "Requests refused because a queue was full.", load(&metrics.overloads));
    text.counter("panics", "Faults of the program that were caught.", load(&metrics.panics));

    let (substrates, relationships) = app.engine.counts();
    text.gauge("substrates", "Substrates stored.", substrates);
    text.gauge("relationships", "Relationships stored.", relationships);
    text.counter("evaluations", "Evaluations that gave a result.", metrics.sum(|part| &part.evaluations));
    text.counter(
        "evaluation_errors",
        "Evaluations that ended in an error.",
        metrics.sum(|part| &part.evaluation_errors),
    );
    text.counter("evaluation_steps", "Steps of all evaluations.", metrics.sum(|part| &part.evaluation_steps));
    let jit = app.engine.jit_stats();
    text.gauge(
        "compiled_formulas",
        "Formulas that run as machine code, each with a kind of parameters.",
        jit.codes,
    );
    text.gauge("compiled_bytes", "Executable memory of them.", jit.bytes);
    text.counter("compilations", "Times that a formula was compiled.", jit.compiled);
    text.counter(
        "compilations_refused",
        "Times that a formula was not covered by machine code.",
        jit.refused,
    );
    text.gauge(
        "evaluation_queue_length",
        "Evaluations and queries waiting for a thread.",
        app.workers.waiting(),
    );

    text.counter(
        "evaluations_turned_long",
        "Evaluations begun on a network thread and given up there, because they took longer than their form says.",
        load(&metrics.turned_long),
    );
    text.histogram(
        "evaluation_wait_seconds",
        "Time that the work of a request waited for a thread.",
        &metrics.waits,
    );

    text.gauge(
        "spool_bytes",
        "Bytes of answers in temporary files, because their clients do not read yet.",
        app.spool.bytes(),
    );

    results(&mut text, metrics, app);
    jobs(&mut text, metrics, app);
    store(&mut text, metrics, app);

    let is_ready = u8::from(app.readiness() == Readiness::Ready);
    text.gauge("ready", "1 while the server takes work.", is_ready);
    if let Some(bytes) = resident_bytes() {
        text.gauge("process_resident_memory_bytes", "Resident memory.", bytes);
    }
    let started = u64::try_from(app.started_at.0).unwrap_or_default().saturating_mul(1_000);
    text.gauge("process_start_time_seconds", "Start of the process since 1970.", seconds(started));
    text.gauge(
        "uptime_seconds",
        "Time since the start.",
        seconds(u64::try_from(app.started.elapsed().as_nanos()).unwrap_or(u64::MAX)),
    );
    text.family("build", "info", "The program.");
    let _ = writeln!(text.0, "butterflyfx_build_info{{version=\"{}\"}} 1", app.version);
    text.0.push_str("# EOF\n");
    text.0
}

/// Work that nobody waits for.
fn jobs(text: &mut Text, metrics: &Metrics, app: &App) {
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let jobs = &metrics.jobs;
    let counts = app.jobs.counts();
    text.gauge("jobs_queued", "Jobs waiting for a thread.", counts.queued);
    text.gauge("jobs_running", "Jobs being done.", counts.running);
    text.gauge("jobs_kept", "Jobs that have ended and are kept.", counts.ended);
    text.gauge("jobs_kept_bytes", "Bytes of requests and results of jobs.", counts.bytes);
    text.counter("jobs_submitted", "Jobs taken.", load(&jobs.submitted));
    text.family("jobs_ended", "counter", "Jobs that ended, by how.");
    for (state, ended) in
        [("succeeded", &jobs.succeeded), ("failed", &jobs.failed), ("cancelled", &jobs.cancelled)]
    {
        let _ = writeln!(text.0, "butterflyfx_jobs_ended_total{{state=\"{state}\"}} {}", load(ended));
    }
    text.counter(
        "jobs_pushed_out",
        "Jobs that were forgotten before their time because others needed the room.",
        load(&jobs.pushed_out),
    );
    text.histogram("jobs_wait_seconds", "Time that a job waited for a thread.", &jobs.waits);
}

/// Results that are kept, where any are.
fn results(text: &mut Text, metrics: &Metrics, app: &App) {
    let Some(results) = &app.results else { return };
    let (hits, misses) = metrics.results_looked_up();
    text.counter("result_cache_hits", "Invocations answered with a result that was kept.", hits);
    text.counter("result_cache_misses", "Invocations whose result was looked up in vain.", misses);
    text.counter("result_cache_evictions", "Results that had to go for others.", results.evictions());
    text.gauge("result_cache_entries", "Results kept.", results.entries());
    text.gauge("result_cache_bytes", "Bytes that they take.", results.bytes());
}

/// What is written down, and how fast.
fn store(text: &mut Text, metrics: &Metrics, app: &App) {
    let load = |counter: &std::sync::atomic::AtomicU64| counter.load(Ordering::Relaxed);
    let status = app.queue.status();
    text.counter(
        "write_groups",
        "Groups of changes that took effect together.",
        load(&metrics.store.commits),
    );
    text.counter("write_commands", "Commands in those groups.", load(&metrics.store.commands));
    text.counter("write_changes", "Records created, changed and deleted.", load(&metrics.store.changes));
    text.gauge("write_queue_length", "Commands waiting for the writer.", status.waiting);
    text.gauge(
        "store_durable",
        "1 where changes are written to a database.",
        u8::from(app.queue.is_durable()),
    );
    if !app.queue.is_durable() {
        return;
    }
    let name = "store_commit_duration_seconds";
    text.family(name, "histogram", "Time of a transaction, syncing included.");
    let mut below = 0;
    for (count, bound) in metrics.store.durations.iter().zip(DURATION_BOUNDS_NS) {
        below += load(count);
        let _ = writeln!(text.0, "butterflyfx_{name}_bucket{{le=\"{}\"}} {below}", seconds(bound));
    }
    let count: u64 = metrics.store.durations.iter().map(load).sum();
    let _ = writeln!(text.0, "butterflyfx_{name}_bucket{{le=\"+Inf\"}} {count}");
    let _ = writeln!(text.0, "butterflyfx_{name}_sum {}", seconds(load(&metrics.store.duration_sum_ns)));
    let _ = writeln!(text.0, "butterflyfx_{name}_count {count}");
    text.gauge("store_file_bytes", "Size of the database and its log.", status.file_bytes);
    text.gauge(
        "store_log_bytes",
        "Size of the log, which is copied into the database now and then.",
        status.log_bytes,
    );
    text.gauge(
        "store_read_only",
        "1 where nothing is written any more since a failure.",
        u8::from(status.read_only.is_some()),
    );
    let backed_up_at = load(&metrics.store.backed_up_at).saturating_mul(1_000);
    text.gauge(
        "store_last_backup_timestamp_seconds",
        "When the last backup was made through the API; 0 where there was none since the start.",
        seconds(backed_up_at),
    );
    text.gauge("store_full", "1 while the disk has no room.", u8::from(status.is_full));
}

fn requests(text: &mut Text, metrics: &Metrics) {
    let totals = metrics.route_totals();
    text.family("http_requests", "counter", "Requests answered.");
    for (total, route) in totals.iter().zip(TEMPLATES) {
        for (answers, method) in total.answers.iter().zip(METHODS) {
            for (answers, class) in answers.iter().zip(CLASS_NAMES) {
                if *answers > 0 {
                    let _ = writeln!(
                        text.0,
                        "butterflyfx_http_requests_total{{route=\"{route}\",method=\"{method}\",status=\"{class}\"}} {answers}"
                    );
                }
            }
        }
    }
    let name = "http_request_duration_seconds";
    text.family(name, "histogram", "Time from a request's head to its answer's.");
    for (total, route) in totals.iter().zip(TEMPLATES) {
        let count: u64 = total.durations.iter().sum();
        if count == 0 {
            continue;
        }
        let mut below = 0;
        for (durations, bound) in total.durations.iter().zip(DURATION_BOUNDS_NS) {
            below += durations;
            let bound = seconds(bound);
            let _ = writeln!(text.0, "butterflyfx_{name}_bucket{{route=\"{route}\",le=\"{bound}\"}} {below}");
        }
        let _ = writeln!(text.0, "butterflyfx_{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {count}");
        let sum = seconds(total.duration_sum_ns);
        let _ = writeln!(text.0, "butterflyfx_{name}_sum{{route=\"{route}\"}} {sum}");
        let _ = writeln!(text.0, "butterflyfx_{name}_count{{route=\"{route}\"}} {count}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nanoseconds_are_shown_exactly() {
        for (ns, expected) in [
            (0, "0.0"),
            (1, "0.000000001"),
            (50_000, "0.00005"),
            (1_000_000_000, "1.0"),
            (10_500_000_000, "10.5"),
        ] {
            assert_eq!(seconds(ns), expected);
        }
    }
}
