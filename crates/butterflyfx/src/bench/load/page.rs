//! What a run found, for people: the charts, and `report.html`, one page with nothing from outside.

use super::chart::{Chart, Look, Series, escaped};
use super::report::{Latency, LoadReport, Point, mebibytes, milliseconds};
use crate::bench::grouped;
use std::fmt::Write;

const MEBIBYTE: f64 = (1 << 20) as f64;

const STYLE: &str = "\
:root{color-scheme:light dark;--ground:#f6f8fa;--card:#fff;--text:#1f2328;--soft:#59636e;--line:#d8dee4;--good:#1a7f37;--bad:#cf222e}\
@media(prefers-color-scheme:dark){:root{--ground:#010409;--card:#0d1117;--text:#e6edf3;--soft:#9ea7b3;--line:#30363d;--good:#56d364;--bad:#ff7b72}}\
*{box-sizing:border-box}body{margin:0;background:var(--ground);color:var(--text);font:15px/1.5 system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif}\
main{max-width:868px;margin:0 auto;padding:24px}h1{font-size:24px;margin:0 0 4px}h2{font-size:17px;margin:28px 0 10px}p{margin:4px 0}\
.soft{color:var(--soft)}.verdict{border:1px solid var(--line);border-left:5px solid var(--good);background:var(--card);border-radius:6px;padding:12px 16px;margin:16px 0;font-weight:600}\
.bad .verdict{border-left-color:var(--bad)}.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:10px;margin:16px 0}\
.tile{background:var(--card);border:1px solid var(--line);border-radius:6px;padding:10px 14px}.tile b{display:block;font-size:19px;white-space:nowrap}\
.tile span{color:var(--soft);font-size:13px}figure{margin:0 0 14px}figure svg{display:block;width:100%;height:auto}\
.wide{overflow-x:auto;background:var(--card);border:1px solid var(--line);border-radius:6px}table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\
th,td{padding:6px 12px;text-align:right;white-space:nowrap}th{color:var(--soft);font-weight:600;font-size:13px}td:first-child,th:first-child{text-align:left}\
tr+tr td{border-top:1px solid var(--line)}td.text{white-space:normal;text-align:left;overflow-wrap:anywhere}code{font:13px ui-monospace,Menlo,Consolas,monospace}";

/// The charts of a run, each with the name of its file.
pub fn charts(report: &LoadReport) -> Vec<(&'static str, String)> {
    let mut charts = vec![("throughput.svg", throughput(report).svg())];
    charts.push(("latency.svg", latency(report).svg()));
    if !report.memory.samples.is_empty() {
        charts.push(("memory.svg", memory(report).svg()));
    }
    charts
}

fn titled(report: &LoadReport, what: &str) -> String {
    format!("{what}: {}", report.scenario)
}

/// Phases, or rounds, as marks on the time axis.
fn marks(report: &LoadReport) -> Vec<(String, f64)> {
    if report.rounds.is_empty() {
        let phases = if report.phases.len() > 1 { report.phases.as_slice() } else { &[] };
        return phases.iter().map(|phase| (phase.name.clone(), phase.begin_s)).collect();
    }
    report.rounds.iter().map(|round| (format!("round {}", round.round), round.begin_s)).collect()
}

/// A value of each point of the curve, in its middle.
fn points(report: &LoadReport, value: impl Fn(&Point) -> f64) -> Vec<(f64, f64)> {
    let curve = &report.curve;
    let width = curve.get(1).map_or(report.seconds, |second| second.second - curve[0].second);
    let middle = |point: &Point| (point.second + width / 2.0).min(report.seconds);
    curve.iter().map(|point| (middle(point), value(point))).collect()
}

fn throughput(report: &LoadReport) -> Chart {
    let mut series = vec![Series {
        name: "answered".to_owned(),
        colour: 0,
        look: Look::Area,
        points: points(report, |point| point.answered_per_s),
    }];
    if report.rounds.is_empty() {
        let due = points(report, |point| point.due_per_s);
        series.push(Series { name: "due".to_owned(), colour: 2, look: Look::Dashed, points: due });
    } else {
        // Creating is a few large requests, deleting many small ones.
        series[0].name = "deleted".to_owned();
        let due = points(report, |point| point.due_per_s);
        series.push(Series { name: "created".to_owned(), colour: 1, look: Look::Line, points: due });
    }
    let what = if report.rounds.is_empty() { "Requests" } else { "Substrates created and deleted" };
    Chart {
        title: titled(report, what),
        unit: "a second",
        seconds: report.seconds,
        series,
        marks: marks(report),
        ..Chart::default()
    }
}

/// The name of a percentile, and the percentile.
type Percentile = (&'static str, fn(&Latency) -> u64);

fn latency(report: &LoadReport) -> Chart {
    let percentiles: [Percentile; 5] = [
        ("slowest", |latency| latency.max_us),
        ("p99.9", |latency| latency.p99_9_us),
        ("p99", |latency| latency.p99_us),
        ("p95", |latency| latency.p95_us),
        ("p50", |latency| latency.p50_us),
    ];
    let series = percentiles.into_iter().enumerate().map(|(at, (name, of))| {
        let points = points(report, |point| {
            let us = of(&point.latency);
            // Where nothing was asked the line has a gap.
            if us > 0 { us as f64 / 1e3 } else { f64::NAN }
        });
        let look = if name == "slowest" { Look::Dashed } else { Look::Line };
        Series { name: name.to_owned(), colour: 4 - at, look, points }
    });
    let what = if report.rounds.is_empty() { "Latency" } else { "Latency of pipelined deletes" };
    Chart {
        title: titled(report, what),
        unit: "ms",
        is_log: true,
        seconds: report.seconds,
        series: series.collect(),
        marks: marks(report),
    }
}

fn memory(report: &LoadReport) -> Chart {
    let samples = report.memory.samples.iter().map(|(at, bytes)| (*at, *bytes as f64 / MEBIBYTE));
    let mut series =
        vec![Series { name: "resident".to_owned(), colour: 0, look: Look::Area, points: samples.collect() }];
    if !report.rounds.is_empty() {
        let settled =
            report.rounds.iter().map(|round| (round.settled_at_s, round.settled_bytes as f64 / MEBIBYTE));
        let name = "all deleted, settled".to_owned();
        series.push(Series { name, colour: 2, look: Look::Dots, points: settled.collect() });
    }
    Chart {
        title: titled(report, "Resident memory of the server"),
        unit: "MiB",
        seconds: report.seconds,
        series,
        marks: marks(report),
        ..Chart::default()
    }
}

/// The page.
pub fn html(report: &LoadReport) -> String {
    let class = if report.is_good() { "" } else { " class=\"bad\"" };
    let mut out = format!(
        "<!doctype html>\n<html lang=\"en\"{class}><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>Load test: {0}</title><style>{STYLE}</style></head><body><main>\n\
         <h1>Load test: {0}</h1><p class=\"soft\">ButterflyFx {1}, {2}, {3} s, {4} connections, load and server on {5} \
         processors</p>\n<div class=\"verdict\">{6}</div>\n",
        escaped(&report.scenario),
        escaped(&report.version),
        escaped(&report.started_at),
        report.seconds.round(),
        report.connections,
        report.processors,
        escaped(&report.verdict())
    );
    for remark in &report.remarks {
        let _ = writeln!(out, "<p>{}</p>", escaped(remark));
    }
    tiles(&mut out, report);
    for (_, svg) in charts(report) {
        let _ = write!(out, "<figure>{svg}</figure>");
    }
    rounds(&mut out, report);
    if report.phases.len() > 1 {
        stretches(&mut out, "Phases", &report.phases);
    }
    if !report.operations.is_empty() {
        stretches(&mut out, "Operations", &report.operations);
    }
    errors(&mut out, report);
    reading(&mut out, report);
    out.push_str("</main></body></html>\n");
    out
}

fn tiles(out: &mut String, report: &LoadReport) {
    let latency = &report.latency;
    let tiles = [
        (grouped(report.requests_per_s.round() as u64), "requests a second"),
        (grouped(report.errors), "errors"),
        (milliseconds(latency.p50_us), "p50"),
        (milliseconds(latency.p95_us), "p95"),
        (milliseconds(latency.p99_us), "p99"),
        (milliseconds(latency.p99_9_us), "p99.9"),
        (milliseconds(latency.max_us), "slowest"),
        (mebibytes(report.memory.before_bytes), "memory before"),
        (mebibytes(report.memory.peak_bytes), "memory, most"),
        (mebibytes(report.memory.after_bytes), "memory after"),
    ];
    out.push_str("<div class=\"tiles\">");
    for (value, name) in tiles {
        let _ = write!(out, "<div class=\"tile\"><b>{value}</b><span>{name}</span></div>");
    }
    out.push_str("</div>\n");
}

fn rounds(out: &mut String, report: &LoadReport) {
    if report.rounds.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Rounds</h2><div class=\"wide\"><table><tr><th>round</th><th>created a second</th>\
         <th>deleted a second</th><th>resident, all there</th><th>resident, all deleted</th></tr>",
    );
    for round in &report.rounds {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td></tr>",
            round.round,
            grouped(round.created_per_s as u64),
            grouped(round.deleted_per_s as u64),
            mebibytes(round.full_bytes),
            mebibytes(round.settled_bytes)
        );
    }
    out.push_str("</table></div>\n");
}

fn stretches(out: &mut String, title: &str, all: &[super::report::Stretch]) {
    let _ = write!(
        out,
        "<h2>{title}</h2><div class=\"wide\"><table><tr><th></th><th>requests</th><th>errors</th><th>p50</th>\
         <th>p95</th><th>p99</th><th>p99.9</th><th>slowest</th></tr>"
    );
    for one in all {
        let latency = &one.latency;
        let times = [latency.p50_us, latency.p95_us, latency.p99_us, latency.p99_9_us, latency.max_us];
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td>{}</td>",
            escaped(&one.name),
            grouped(one.requests),
            grouped(one.errors)
        );
        for us in times {
            let text = if one.requests == 0 { "-".to_owned() } else { milliseconds(us) };
            let _ = write!(out, "<td>{text}</td>");
        }
        out.push_str("</tr>");
    }
    out.push_str("</table></div>\n");
}

fn errors(out: &mut String, report: &LoadReport) {
    if report.errors_by_kind.is_empty() {
        return;
    }
    out.push_str(
        "<h2>Errors</h2><div class=\"wide\"><table><tr><th>kind</th><th>count</th><th>the first</th></tr>",
    );
    for one in &report.errors_by_kind {
        let _ = write!(
            out,
            "<tr><td>{}</td><td>{}</td><td class=\"text\"><code>{}</code></td></tr>",
            escaped(&one.kind),
            grouped(one.count),
            escaped(&one.example)
        );
    }
    out.push_str("</table></div>\n");
}

fn reading(out: &mut String, report: &LoadReport) {
    out.push_str("<h2>How to read this</h2>");
    if report.rounds.is_empty() {
        let _ = write!(
            out,
            "<p>Requests are sent on a fixed schedule, whether or not earlier ones have been answered, and latency is \
             counted from the moment a request was <em>due</em>: a stall shows in every request that had to wait for \
             it. Of each latency, up to {} (p50) or {} (p99) is the runner's own lag in sending. Percentiles are at \
             most one part in 64 too high.</p>",
            milliseconds(report.runner_lag.p50_us),
            milliseconds(report.runner_lag.p99_us)
        );
    } else {
        out.push_str(
            "<p>Each round creates all substrates in batches and deletes them one by one, pipelined; then memory is \
             read until it no longer moves. What a round leaves behind that the first did not leave is a leak.</p>",
        );
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::sample;
    use super::*;

    #[test]
    fn the_page_needs_nothing_from_outside_and_tells_the_verdict() {
        let mut report = sample();
        let page = html(&report);
        assert!(page.contains("12 345 requests, no errors") && !page.contains("class=\"bad\""));
        assert_eq!(page.matches("<svg ").count(), 3);
        for outside in ["<script", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
        report.errors = 2;
        report.errors_by_kind.push(super::super::report::ErrorKind {
            kind: "get: status 500".to_owned(),
            count: 2,
            example: "<b>".to_owned(),
        });
        let page = html(&report);
        assert!(page.contains("class=\"bad\"") && page.contains("&lt;b&gt;") && !page.contains("<b>&"));
    }

    #[test]
    fn charts_leave_out_memory_that_nobody_read() {
        let mut report = sample();
        report.memory.samples.clear();
        let names: Vec<_> = charts(&report).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["throughput.svg", "latency.svg"]);
    }
}
