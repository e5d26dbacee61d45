//! `bench load`: load tests as an operator runs them, each with a report for people and one for machines.
//!
//! `sustained`, `spike` and `endurance` send the realistic mix of `tests/load/mix.json` on a fixed schedule;
//! `leak` creates and deletes over and over. Every answer is checked. A run fails on a wrong answer, a broken
//! connection or memory that does not come back, never on slowness: that is for the reader of the report.

pub mod chart;
pub mod child;
pub mod histogram;
pub mod leak;
pub mod mix;
pub mod open_loop;
pub mod page;
pub mod random;
pub mod recorder;
pub mod report;
pub mod schedule;
pub mod user;
pub mod wire;

use crate::cli::{Exit, complain, print};
use child::ServerUnderLoad;
use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use report::{LoadReport, mebibytes, milliseconds};
use schedule::Schedule;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A scenario's name, what it is, requests a second, seconds.
const SCENARIOS: [(&str, &str, u64, u64); 4] = [
    ("sustained", "1,000 requests a second for 10 minutes", 1_000, 600),
    ("spike", "From nothing to 5,000 requests a second within 30 s, held 10 s, and calm again", 5_000, 70),
    ("endurance", "500 requests a second for an hour", 500, 3_600),
    ("leak", "1,000,000 substrates created and deleted, 5 rounds", 0, 0),
];

/// The command line of `bench load`.
pub fn command() -> Command {
    let number = |name: &'static str, help: &'static str| {
        let parser = value_parser!(u64).range(1..=1_000_000_000);
        Arg::new(name).long(name).value_name("N").value_parser(parser).help(help)
    };
    let scenarios = SCENARIOS.map(|(name, about, ..)| PossibleValue::new(name).help(about));
    let file = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).value_parser(value_parser!(PathBuf)).help(help)
    };
    Command::new("load")
        .about("Load tests: sustained, spike, endurance, leak")
        .arg(
            Arg::new("scenario").value_parser(scenarios).required_unless_present("table").help("What to run"),
        )
        .arg(Arg::new("url").long("url").value_name("URL").help(
            "A running server, as http://127.0.0.1:8000; without it, one is started as a process of its own",
        ))
        .arg(number("pid", "The process of that server, to read its memory").requires("url"))
        .arg(number("seconds", "Length of the run, instead of the scenario's own"))
        .arg(number("rate", "Requests a second (spike: at its peak), instead of the scenario's own"))
        .arg(
            number(
                "connections",
                "Connections, each one user (leak: those that delete) [default: 64, leak: 4]",
            )
            .value_parser(value_parser!(u64).range(1..=900)),
        )
        .arg(number("substrates", "leak: substrates of a round [default: 1000000]"))
        .arg(number("rounds", "leak: rounds [default: 5]"))
        .arg(file("out", "DIR", "Where reports are written [default: butterflyfx-load/SCENARIO]"))
        .arg(
            file("table", "FILE", "Run nothing: print the Markdown table of a report.json")
                .conflicts_with("scenario"),
        )
        .arg(Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object"))
}

/// Runs a scenario, or prints a report's table.
pub fn run(matches: &ArgMatches) -> Exit {
    match run_or_say_why(matches) {
        Ok((text, is_good)) => match print(&text) {
            Exit::Ok if !is_good => Exit::Error,
            exit => exit,
        },
        Err(error) => {
            complain(&error);
            Exit::Error
        }
    }
}

/// What to print, and whether the run was good.
fn run_or_say_why(matches: &ArgMatches) -> Result<(String, bool), String> {
    if let Some(path) = matches.get_one::<PathBuf>("table") {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        return Ok((LoadReport::read(&text)?.markdown(), true));
    }
    let wanted = matches.get_one::<String>("scenario").map_or("", String::as_str);
    let (scenario, _, rate, seconds) =
        SCENARIOS.into_iter().find(|(name, ..)| *name == wanted).ok_or("there is no such scenario")?;
    let given = |name: &str, default: u64| matches.get_one::<u64>(name).copied().unwrap_or(default);
    let out = matches.get_one::<PathBuf>("out").cloned();
    let out = out.unwrap_or_else(|| Path::new("butterflyfx-load").join(scenario));
    // Now, so that a run of an hour is not in vain.
    std::fs::create_dir_all(&out).map_err(|error| format!("cannot write to {}: {error}", out.display()))?;

    let stop = stop_on_signals()?;
    let pid = matches.get_one::<u64>("pid").and_then(|pid| u32::try_from(*pid).ok());
    let server = ServerUnderLoad::find(matches.get_one::<String>("url").map(String::as_str), pid)?;
    let mut report = LoadReport {
        scenario: scenario.to_owned(),
        version: crate::app::VERSION.to_owned(),
        started_at: started_at(),
        processors: std::thread::available_parallelism().map_or(0, |count| count.get() as u64),
        ..LoadReport::default()
    };
    if scenario == "leak" {
        let work = leak::Work {
            substrates: given("substrates", 1_000_000),
            rounds: given("rounds", 5),
            connections: given("connections", 4),
        };
        report.connections = work.connections;
        leak::run(&server, work, &stop, &mut report)?;
    } else {
        report.connections = given("connections", 64);
        report.rate = given("rate", rate);
        let (rate, seconds) = (report.rate as f64, given("seconds", seconds) as f64);
        let is_spike = scenario == "spike";
        let schedule =
            if is_spike { Schedule::spike(rate, seconds) } else { Schedule::steady(rate, seconds) };
        open_loop::run(&server, &schedule, report.connections, &stop, &mut report)?;
        if is_spike {
            remark_on_recovery(&mut report);
        }
    }
    if !server.has_memory() && matches.get_one::<String>("url").is_none() {
        report.failures.push("the server ended during the run".to_owned());
    }
    drop(server);
    write(&out, &report)?;
    let is_json = matches.get_flag("json");
    let text = if is_json { report.json_summary()? } else { summary(&report, &out) };
    Ok((text, report.is_good()))
}

/// Says something about a run that is going on.
fn say(sentence: &str) {
    complain(sentence);
}

/// Now, in UTC, to the second.
fn started_at() -> String {
    date_and_time(crate::clock::now().0.div_euclid(1_000_000))
}

/// Seconds since 1970 as RFC 3339, by counting days from 1 March of the year 0.
fn date_and_time(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400) + 719_468, seconds.rem_euclid(86_400));
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// A flag that SIGINT and SIGTERM raise: the run then ends early, with its report, and takes its server along.
fn stop_on_signals() -> Result<Arc<AtomicBool>, String> {
    use tokio::signal::unix::{SignalKind, signal};
    let stop = Arc::new(AtomicBool::new(false));
    let raised = Arc::clone(&stop);
    let said = |error: std::io::Error| format!("cannot listen to signals: {error}");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(said)?;
    let (mut interrupt, mut terminate) = {
        let _inside = runtime.enter();
        (signal(SignalKind::interrupt()).map_err(said)?, signal(SignalKind::terminate()).map_err(said)?)
    };
    std::thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
        });
        raised.store(true, Ordering::Relaxed);
    });
    Ok(stop)
}

/// Whether latency is again what it was before the spike.
fn remark_on_recovery(report: &mut LoadReport) {
    let p99 =
        |name: &str| report.phases.iter().find(|phase| phase.name == name).map(|phase| phase.latency.p99_us);
    let (Some(before), Some(after)) = (p99("before"), p99("after")) else { return };
    // Twice as much, and a millisecond for what the machine does besides.
    let is_back = after <= 2 * before + 1_000;
    let word = if is_back { "came back" } else { "has not come back" };
    report.remarks.push(format!(
        "Latency {word} after the spike: p99 {} before, {} after.",
        milliseconds(before),
        milliseconds(after)
    ));
}

fn write(out: &Path, report: &LoadReport) -> Result<(), String> {
    let mut files = vec![("report.json", report.json()?), ("report.html", page::html(report))];
    files.extend(page::charts(report));
    for (name, text) in files {
        let path = out.join(name);
        std::fs::write(&path, text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    Ok(())
}

/// The figures for a terminal.
fn summary(report: &LoadReport, out: &Path) -> String {
    let latency = &report.latency;
    let mut text = format!("bench load {}: {}\n", report.scenario, report.verdict());
    let _ = writeln!(
        text,
        "{:.0} s, {:.0} requests a second over {} connections",
        report.seconds, report.requests_per_s, report.connections
    );
    let _ = writeln!(
        text,
        "latency: p50 {}, p95 {}, p99 {}, p99.9 {}, slowest {}",
        milliseconds(latency.p50_us),
        milliseconds(latency.p95_us),
        milliseconds(latency.p99_us),
        milliseconds(latency.p99_9_us),
        milliseconds(latency.max_us)
    );
    let memory = &report.memory;
    let _ = writeln!(
        text,
        "resident memory: {} before, {} at most, {} after",
        mebibytes(memory.before_bytes),
        mebibytes(memory.peak_bytes),
        mebibytes(memory.after_bytes)
    );
    for remark in &report.remarks {
        let _ = writeln!(text, "{remark}");
    }
    for error in &report.errors_by_kind {
        let _ = writeln!(text, "{} x {}: {}", error.count, error.kind, error.example);
    }
    let _ = writeln!(text, "report: {}", out.join("report.html").display());
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_told() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_795_737_599, "2026-11-26T23:59:59Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(date_and_time(seconds), text);
        }
    }

    #[test]
    fn recovery_is_remarked_on_and_never_a_failure() {
        let phase = |name: &str, p99_us| report::Stretch {
            name: name.to_owned(),
            begin_s: 0.0,
            end_s: 1.0,
            requests: 1,
            errors: 0,
            latency: report::Latency { p99_us, ..report::Latency::default() },
        };
        for (after, word) in [(500, "came back"), (50_000, "has not come back")] {
            let mut report = LoadReport { requests: 1, ..LoadReport::default() };
            report.phases = vec![phase("before", 400), phase("after", after)];
            remark_on_recovery(&mut report);
            assert!(report.remarks[0].contains(word), "{:?}", report.remarks);
            assert!(report.is_good());
        }
    }
}
