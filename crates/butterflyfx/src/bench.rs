//! Benchmarks that are part of the product: an operator runs them on the machine that will serve.
//!
//! Each figure is the median of several runs with its spread, and every scenario prints a hash of
//! its results, so that work cannot be left out unnoticed.

pub mod capacity;
pub mod closed_loop;
pub mod graph;
pub mod http;
pub mod kernel;
pub mod load;

use crate::cli::{Exit, complain, print};
use clap::{Arg, ArgAction, ArgMatches, Command, value_parser};
use comfy_table::{CellAlignment, Table};
use std::fmt::Write;

/// The command line of `bench`.
pub fn command() -> Command {
    let json = Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object");
    let number = |name: &'static str, default: &'static str, help: &'static str| {
        let parser = value_parser!(u64).range(1..=1_000_000_000);
        Arg::new(name).long(name).value_name("N").default_value(default).value_parser(parser).help(help)
    };
    let kernel = Command::new("kernel")
        .about("One thread, in memory: creating, querying, invoking")
        .arg(number("substrates", "10000", "Substrates of the graph"))
        .arg(number("relationships", "50000", "Relationships of the graph"))
        .arg(number("runs", "5", "Runs; the median counts"))
        .arg(json.clone());
    let size = |name: &'static str, default: &'static str, help: &'static str| {
        let argument = Arg::new(name).long(name).value_name("SIZE").default_value(default);
        argument.value_parser(capacity::read_size).help(help)
    };
    let percent = value_parser!(u64).range(0..=100);
    let capacity = Command::new("capacity")
        .about("Fill an empty engine, weigh it, and say what fits into a given memory")
        .arg(number("substrates", "1000000", "Substrates of the graph"))
        .arg(number("relationships", "5000000", "Relationships of the graph"))
        .arg(size("ram", "16GB", "Memory to say what fits into"))
        .arg(
            Arg::new("delete")
                .long("delete")
                .value_name("PERCENT")
                .default_value("0")
                .value_parser(percent)
                .help("Delete so many of the substrates in the end, and weigh again"),
        )
        .arg(json.clone());
    let http =
        Command::new("http")
            .about("Invocations over HTTP, beside a bare server in the same run")
            .arg(Arg::new("url").long("url").value_name("URL").help(
                "A running server, as http://127.0.0.1:8000; without it, one is started in this process",
            ))
            .arg(number("connections", "32", "Connections, each with one request at a time"))
            .arg(number("seconds", "3", "Length of a run"))
            .arg(number("runs", "5", "Runs; the median counts"))
            .arg(json);
    Command::new("bench")
        .about("Measure this machine")
        .subcommand_required(true)
        .arg_required_else_help(true)
        .subcommand(kernel)
        .subcommand(capacity)
        .subcommand(http)
        .subcommand(load::command())
}

/// Runs the scenario that was asked for.
pub fn run(matches: &ArgMatches) -> Exit {
    if let Some(("load", matches)) = matches.subcommand() {
        return load::run(matches);
    }
    let (report, is_json) = match matches.subcommand() {
        Some(("kernel", matches)) => (kernel::run(&kernel::Options::from(matches)), matches.get_flag("json")),
        Some(("capacity", matches)) => {
            (capacity::run(&capacity::Options::from(matches)), matches.get_flag("json"))
        }
        Some(("http", matches)) => (http::run(&http::Options::from(matches)), matches.get_flag("json")),
        _ => return Exit::Usage,
    };
    match report {
        Ok(report) => print(&if is_json { report.json() } else { report.table() }),
        Err(error) => {
            complain(&error);
            Exit::Error
        }
    }
}

/// The value of a whole-number argument.
fn number_of(matches: &ArgMatches, name: &str) -> u64 {
    matches.get_one::<u64>(name).copied().unwrap_or(1)
}

/// What a scenario found.
#[derive(Clone, Debug)]
pub struct Report {
    /// The scenario's name.
    pub scenario: &'static str,
    /// What was measured on: name and number.
    pub settings: Vec<(&'static str, u64)>,
    /// The figures.
    pub figures: Vec<Figure>,
    /// A hash of the results.
    pub result_hash: u64,
    /// Lines for people below the table.
    pub notes: Vec<String>,
}

/// One figure over all runs.
#[derive(Clone, Debug)]
pub struct Figure {
    /// Its key in JSON; the unit is the end of the name.
    pub key: &'static str,
    /// What it means, for people.
    pub meaning: &'static str,
    /// One value for each run.
    pub values: Vec<f64>,
}

impl Figure {
    /// The value in the middle, or between the two in the middle.
    pub fn median(&self) -> f64 {
        let mut sorted = self.values.clone();
        sorted.sort_by(f64::total_cmp);
        match sorted.as_slice() {
            [] => 0.0,
            values => {
                let low = values[(values.len() - 1) / 2];
                let high = values[values.len() / 2];
                (low + high) / 2.0
            }
        }
    }

    /// The smallest and the largest value.
    pub fn spread(&self) -> (f64, f64) {
        let low = self.values.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self.values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        if self.values.is_empty() { (0.0, 0.0) } else { (low, high) }
    }
}

impl Report {
    /// One JSON object and a line feed.
    pub fn json(&self) -> String {
        let mut out = format!("{{\"scenario\":\"{}\",\"version\":\"{}\"", self.scenario, crate::app::VERSION);
        for (name, value) in &self.settings {
            let _ = write!(out, ",\"{name}\":{value}");
        }
        for figure in &self.figures {
            let _ = write!(out, ",\"{}\":{}", figure.key, exact(figure.median()));
        }
        out.push_str(",\"spread\":{");
        for (at, figure) in self.figures.iter().enumerate() {
            let (low, high) = figure.spread();
            let comma = if at > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\"{}\":[{},{}]", figure.key, exact(low), exact(high));
        }
        let _ = writeln!(out, "}},\"result_hash\":\"{:016x}\"}}", self.result_hash);
        out
    }

    /// A table for people.
    pub fn table(&self) -> String {
        let mut table = Table::new();
        table.load_style(comfy_table::presets::UTF8_HORIZONTAL_ONLY);
        table.set_header(["what", "median", "lowest", "highest", "key"]);
        for figure in &self.figures {
            let (low, high) = figure.spread();
            let row = [readable(figure.median()), readable(low), readable(high)];
            let [median, low, high] = row;
            table.add_row([figure.meaning.to_owned(), median, low, high, figure.key.to_owned()]);
        }
        for column in 1..4 {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        let settings: Vec<String> =
            self.settings.iter().map(|(name, value)| format!("{name} {}", grouped(*value))).collect();
        let mut out = format!("bench {}: {}\n{table}\n", self.scenario, settings.join(", "));
        for note in &self.notes {
            let _ = writeln!(out, "{note}");
        }
        let _ = writeln!(out, "result hash {:016x}", self.result_hash);
        out
    }
}

/// A number as JSON, with what digits mean something.
fn exact(value: f64) -> String {
    if value.abs() >= 1_000.0 { format!("{value:.0}") } else { format!("{value:.3}") }
}

/// A number for people.
fn readable(value: f64) -> String {
    if value.abs() >= 1_000.0 {
        grouped(value.round() as u64)
    } else if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

/// Digits in groups of three.
fn grouped(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::with_capacity(digits.len() * 4 / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(' ');
        }
        out.push(digit);
    }
    out
}

/// A hash that takes in one result after the other (FNV-1a).
#[derive(Clone, Copy, Debug)]
pub struct ResultHash(pub u64);

impl Default for ResultHash {
    fn default() -> ResultHash {
        ResultHash(0xCBF2_9CE4_8422_2325)
    }
}

impl ResultHash {
    /// Takes in bytes.
    pub fn add(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01B3);
        }
    }

    /// Takes in a number.
    pub fn add_number(&mut self, number: u64) {
        self.add(&number.to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_and_groups() {
        let figure = |values: &[f64]| Figure { key: "k", meaning: "m", values: values.to_vec() };
        assert_eq!(figure(&[3.0, 1.0, 2.0]).median(), 2.0);
        assert_eq!(figure(&[4.0, 1.0]).median(), 2.5);
        assert_eq!(figure(&[]).median(), 0.0);
        assert_eq!(figure(&[3.0, 1.0, 2.0]).spread(), (1.0, 3.0));
        for (value, text) in [(0, "0"), (999, "999"), (1_000, "1 000"), (1_234_567, "1 234 567")] {
            assert_eq!(grouped(value), text);
        }
    }

    /// Small runs of the scenarios, so that they never rot; the hash says the work was done.
    #[test]
    fn the_kernel_scenario_runs_and_gives_the_same_results_each_time() {
        let options = kernel::Options { substrates: 50, relationships: 200, runs: 2, invocations: 100 };
        let report = kernel::run(&options).expect("runs");
        let again = kernel::run(&options).expect("runs");
        assert_eq!(report.result_hash, again.result_hash);
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        for key in [
            "substrates_from_text_per_s",
            "substrates_precompiled_per_s",
            "relationships_per_s",
            "query_outgoing_ns",
            "invoke_interpreted_ns",
        ] {
            assert!(json[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {json}");
        }
        assert!(report.table().contains("invoke"));
    }

    #[test]
    fn the_http_scenario_runs() {
        let options = http::Options { url: None, connections: 2, run_ms: 100, runs: 1 };
        let report = http::run(&options).expect("runs");
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        assert!(json["requests_per_s"].as_f64().is_some_and(|value| value > 0.0), "{json}");
        assert_eq!(json["errors"].as_f64(), Some(0.0), "{json}");
    }
}
