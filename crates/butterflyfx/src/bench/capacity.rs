//! `bench capacity`: fills an empty engine with the standard graph, weighs it, and says what would
//! fit into a given memory.
//!
//! Bytes are the process's resident memory, as the operating system counts it, before and after;
//! the benchmark's own lists are let go of before the last weighing.

use super::graph::{self, Random};
use super::{Figure, Report, ResultHash, grouped, number_of};
use crate::clock;
use butterflyfx_engine::Engine;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{Direction, NewRelationship, OnConflict, Precondition};
use butterflyfx_formula::limits::Limits;
use clap::ArgMatches;
use std::fmt::Write;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// What to fill in.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Substrates of the graph.
    pub substrates: u64,
    /// Relationships of the graph.
    pub relationships: u64,
    /// The memory that the projection is made for, in bytes.
    pub ram_bytes: u64,
    /// Per cent of the substrates that are deleted in the end; 0 leaves the graph whole.
    pub delete_percent: u64,
    /// Queries of one measurement.
    pub queries: u64,
}

impl From<&ArgMatches> for Options {
    fn from(matches: &ArgMatches) -> Options {
        Options {
            substrates: number_of(matches, "substrates"),
            relationships: number_of(matches, "relationships"),
            ram_bytes: matches.get_one::<u64>("ram").copied().unwrap_or(0),
            delete_percent: matches.get_one::<u64>("delete").copied().unwrap_or(0),
            queries: 1_000_000,
        }
    }
}

/// Reads a size such as `15GB`, `512MiB`, `2000000000`.
///
/// # Errors
/// A sentence about what is not a size.
pub fn read_size(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1.0,
        "k" | "kb" => 1e3,
        "m" | "mb" => 1e6,
        "g" | "gb" => 1e9,
        "t" | "tb" => 1e12,
        "kib" => 1024.0,
        "mib" => 1_048_576.0,
        "gib" => 1_073_741_824.0,
        "tib" => 1_099_511_627_776.0,
        _ => return Err(format!("{unit:?} is no unit of memory; write a size such as 15GB or 512MiB")),
    };
    match number.parse::<f64>() {
        Ok(number) if number * factor >= 1.0 => Ok((number * factor) as u64),
        _ => Err(format!("{text:?} is no size; write one such as 15GB or 512MiB")),
    }
}

/// Resident memory of this process in bytes; 0 where the system does not say.
pub fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Items of a batch.
const BATCH: u64 = 1_000;

/// Measures.
///
/// # Errors
/// A sentence, where the engine refuses its own standard graph.
pub fn run(options: &Options) -> Result<Report, String> {
    let said = |error: EngineError| format!("the engine refuses: {error:?}");
    let engine = Engine::new(Limits::default());
    let n = options.substrates;
    let mut hash = ResultHash::default();
    // Written to, so that it is resident before the first weighing.
    let mut ids: Vec<u64> = (1..=n).collect();
    let empty = resident_bytes();

    let started = Instant::now();
    let mut making = Duration::ZERO;
    for first in (0..n).step_by(BATCH as usize) {
        let begun = Instant::now();
        let new: Vec<_> = (first..n.min(first + BATCH)).map(graph::substrate).collect();
        making += begun.elapsed();
        let created = engine.create_substrates(clock::now(), new, OnConflict::Refuse, false).map_err(said)?;
        for (at, created) in created.into_iter().enumerate() {
            ids[first as usize + at] = created.map_err(said)?.item.id.0;
        }
    }
    let substrates_s = (started.elapsed() - making).as_secs_f64();
    // What the server does by itself when it has time.
    while engine.tidy() {}
    let with_substrates = settled();

    let (started, mut making) = (Instant::now(), Duration::ZERO);
    let mut random = Random::new(42);
    let wanted = options.relationships.min(n.saturating_mul(n) / 2);
    let mut made = 0;
    while made < wanted {
        let begun = Instant::now();
        let batch: Vec<NewRelationship> =
            (0..BATCH.min(wanted - made)).map(|_| graph::relationship(&ids, &mut random)).collect();
        making += begun.elapsed();
        let created =
            engine.create_relationships(clock::now(), batch, OnConflict::Return, false).map_err(said)?;
        for created in created {
            made += u64::from(created.map_err(said)?.is_new);
        }
    }
    let relationships_s = (started.elapsed() - making).as_secs_f64();
    let load_s = substrates_s + relationships_s;
    let tidied = Instant::now();
    while engine.tidy() {}
    let tidy_s = tidied.elapsed().as_secs_f64();
    let with_relationships = settled();
    hash.add_number(engine.counts().0);
    hash.add_number(engine.counts().1);

    let (single_ns, batch_ns) = query(&engine, &ids, options.queries, &mut hash);
    let own_bytes = (ids.len() * size_of::<u64>()) as u64;
    let deletion =
        if options.delete_percent > 0 { Some(delete(&engine, &ids, options, &mut hash)?) } else { None };
    drop(ids);
    let settled_bytes = settled();
    let rss_bytes = if deletion.is_some() { with_relationships - own_bytes } else { settled_bytes };

    let bytes_per_substrate = with_substrates.saturating_sub(empty) as f64 / n as f64;
    let bytes_per_relationship =
        with_relationships.saturating_sub(with_substrates) as f64 / wanted.max(1) as f64;
    let figure = |key, meaning, value| Figure { key, meaning, values: vec![value] };
    let mut figures = vec![
        figure("rss_bytes", "resident memory, all of the process", rss_bytes as f64),
        figure("bytes_per_substrate", "bytes a substrate", bytes_per_substrate),
        figure("bytes_per_relationship", "bytes a relationship", bytes_per_relationship),
        figure("load_s", "loading, s", load_s),
        figure("tidy_s", "tidying afterwards, s", tidy_s),
        figure(
            "substrates_from_text_per_s",
            "substrates created from formula text, a second",
            n as f64 / substrates_s,
        ),
        figure("relationships_per_s", "relationships created, a second", wanted as f64 / relationships_s),
        figure("query_outgoing_ns", "outgoing relationships of a random substrate, ns", single_ns),
        figure("query_outgoing_batch_ns", "the same, 64 substrates together, ns each", batch_ns),
    ];
    if let Some((seconds, pause)) = deletion {
        figures.push(figure("deleted_rss_bytes", "resident memory after deleting", settled_bytes as f64));
        figures.push(figure("delete_s", "deleting, s", seconds));
        figures.push(figure("delete_pause_max_ms", "longest wait of a reader meanwhile, ms", pause));
    }
    let mut settings = vec![("substrates", n), ("relationships", wanted)];
    if options.delete_percent > 0 {
        settings.push(("delete_percent", options.delete_percent));
    }
    let notes = projection(options, bytes_per_substrate, bytes_per_relationship);
    Ok(Report { scenario: "capacity", settings, figures, result_hash: hash.0, notes })
}

/// Resident memory once it stays the same: an allocator gives memory back a little later.
fn settled() -> u64 {
    let mut last = resident_bytes();
    for _ in 0..40 {
        std::thread::sleep(Duration::from_millis(50));
        // Allocators look at what they could give back when they are asked for memory.
        drop(std::hint::black_box(vec![1_u8; 1 << 20]));
        let now = resident_bytes();
        if now.abs_diff(last) < 1 << 16 {
            break;
        }
        last = now;
    }
    resident_bytes()
}

/// Nanoseconds for the outgoing relationships of a random substrate: one by one, and many together.
fn query(engine: &Engine, ids: &[u64], queries: u64, hash: &mut ResultHash) -> (f64, f64) {
    let mut random = Random::new(7);
    let n = ids.len() as u64;
    let asked: Vec<SubstrateId> = (0..queries).map(|_| SubstrateId(ids[random.below(n) as usize])).collect();
    let mut sum = 0_u64;
    let started = Instant::now();
    for &id in &asked {
        let found = engine.links(id, Direction::Outgoing, |link| {
            sum = sum.wrapping_add(link.target().0 ^ link.rel_type() as u64);
        });
        sum = sum.wrapping_add(u64::from(found.is_err()));
    }
    let single = started.elapsed().as_nanos() as f64 / queries as f64;
    hash.add_number(sum);
    let mut sum = 0_u64;
    let started = Instant::now();
    engine.links_of_each(&asked, Direction::Outgoing, |_, link| {
        sum = sum.wrapping_add(link.target().0 ^ link.rel_type() as u64);
    });
    let together = started.elapsed().as_nanos() as f64 / queries as f64;
    hash.add_number(sum);
    (single, together)
}

/// Deletes a share of the substrates, spread evenly, with their relationships, while a reader asks
/// all the time; seconds, and the longest that the reader waited in milliseconds.
fn delete(
    engine: &Engine,
    ids: &[u64],
    options: &Options,
    hash: &mut ResultHash,
) -> Result<(f64, f64), String> {
    let (ended, longest_ns) = (AtomicBool::new(false), AtomicU64::new(0));
    let started = Instant::now();
    let result = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut random = Random::new(11);
            while !ended.load(Ordering::Relaxed) {
                let id = SubstrateId(ids[random.below(ids.len() as u64) as usize]);
                let asked = Instant::now();
                let _ = engine.links(id, Direction::Outgoing, |_| {});
                longest_ns.fetch_max(asked.elapsed().as_nanos() as u64, Ordering::Relaxed);
                std::thread::sleep(Duration::from_micros(200));
            }
        });
        let doomed =
            ids.iter().enumerate().filter(|(at, _)| (*at as u64 * 7919 % 100) < options.delete_percent);
        let result = doomed
            .map(|(_, &id)| engine.delete_substrate(SubstrateId(id), false, &Precondition::None))
            .find(Result::is_err);
        while engine.tidy() {}
        ended.store(true, Ordering::Relaxed);
        result
    });
    if let Some(Err(error)) = result {
        return Err(format!("the engine refuses: {error:?}"));
    }
    hash.add_number(engine.counts().0);
    hash.add_number(engine.counts().1);
    Ok((started.elapsed().as_secs_f64(), longest_ns.load(Ordering::Relaxed) as f64 / 1e6))
}

/// What fits into the memory asked for, from the bytes measured: a table for people.
///
/// Realistic are the bytes measured, with a fifth of the memory left for requests and the system.
/// Conservative doubles them, for metadata that shares nothing, and leaves a third; optimistic leaves
/// a twentieth.
fn projection(options: &Options, substrate: f64, relationship: f64) -> Vec<String> {
    if options.ram_bytes == 0 {
        return Vec::new();
    }
    let mut lines = vec![format!(
        "what fits into {} of memory, with {:.0} relationships a substrate:",
        gigabytes(options.ram_bytes),
        options.relationships as f64 / options.substrates as f64
    )];
    let degree = options.relationships as f64 / options.substrates as f64;
    for (name, weight, share) in
        [("conservative", 2.0, 0.67), ("realistic", 1.0, 0.8), ("optimistic", 1.0, 0.95)]
    {
        let each = weight * (substrate + degree * relationship);
        let fits = (options.ram_bytes as f64 * share / each) as u64;
        let mut line = String::new();
        let _ = write!(
            line,
            "  {name:<13} {:>14} substrates {:>16} relationships   ({each:.0} B for a substrate with its relationships, {:.0} % of memory used)",
            grouped(fits),
            grouped((fits as f64 * degree) as u64),
            share * 100.0
        );
        lines.push(line);
    }
    lines
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        let check = |text: &str, expected: Option<u64>| assert_eq!(read_size(text).ok(), expected, "{text}");
        check("15GB", Some(15_000_000_000));
        check("1.5 GiB", Some(1_610_612_736));
        check("512MiB", Some(536_870_912));
        check("1000", Some(1000));
        check("", None);
        check("0", None);
        check("GB", None);
        check("15 apples", None);
        check("-1GB", None);
    }

    #[test]
    fn a_small_capacity_run_weighs_deletes_and_projects() {
        let options = Options {
            substrates: 3_000,
            relationships: 9_000,
            ram_bytes: 15_000_000_000,
            delete_percent: 90,
            queries: 1_000,
        };
        let report = run(&options).expect("runs");
        assert_eq!(report.result_hash, run(&options).expect("runs").result_hash);
        let json: serde_json::Value = serde_json::from_str(&report.json()).expect("JSON");
        for key in
            ["rss_bytes", "load_s", "query_outgoing_ns", "query_outgoing_batch_ns", "deleted_rss_bytes"]
        {
            assert!(json[key].as_f64().is_some_and(|value| value > 0.0), "{key}: {json}");
        }
        assert!(report.table().contains("conservative"), "{}", report.table());
    }
}
