//! What the programs of the comparison share: the graph's files, resident bytes, latencies, the report.
//!
//! The files lie in one directory: `substrates` holds each identity (8 bytes, little-endian),
//! `relationships` holds source (4 bytes, a number of a substrate), target (4) and identity (8) of
//! each, `queries` the numbers (4) of the substrates to ask for.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;
use std::time::{Duration, Instant};

/// The time of the first substrate, in microseconds since 1970; each record is one later.
pub const FIRST_TIME_US: i64 = 1_800_000_000_000_000;

/// Records handed over at once.
pub const BATCH: usize = 10_000;

/// One relationship of the standard graph.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Number of the source.
    pub source: u32,
    /// Number of the target.
    pub target: u32,
    /// Identity.
    pub identity: u64,
}

/// The formula of substrate `i`.
pub fn code(i: u64) -> String {
    format!("lambda **kw: kw.get('x', 0) * {i} + kw.get('y', 0)")
}

/// The name of substrate `i`.
pub fn name(i: u64) -> String {
    format!("substrate_{i}")
}

/// The description of substrate `i`.
pub fn description(i: u64) -> String {
    format!("multiplies x by {i}")
}

/// The records of a file, batch by batch, so that a loader holds no more than one.
#[derive(Debug)]
pub struct Batches<const SIZE: usize> {
    file: BufReader<File>,
}

impl<const SIZE: usize> Batches<SIZE> {
    /// The records of this file.
    ///
    /// # Errors
    /// The file cannot be opened.
    pub fn open(directory: &Path, name: &str) -> io::Result<Batches<SIZE>> {
        Ok(Batches { file: BufReader::new(File::open(directory.join(name))?) })
    }

    /// The next records; none at the end.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn next_batch(&mut self) -> io::Result<Vec<[u8; SIZE]>> {
        let mut records = Vec::new();
        while records.len() < BATCH {
            let mut record = [0; SIZE];
            match self.file.read_exact(&mut record) {
                Ok(()) => records.push(record),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => break,
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    }
}

/// The relationship in a record.
pub fn link(record: [u8; 16]) -> Link {
    let all = u128::from_le_bytes(record);
    Link { source: all as u32, target: (all >> 32) as u32, identity: (all >> 64) as u64 }
}

/// The identities that the queries ask for.
///
/// # Errors
/// A file cannot be read.
pub fn queries(directory: &Path) -> io::Result<Vec<u64>> {
    let ids: Vec<u64> = whole(directory, "substrates")?.into_iter().map(u64::from_le_bytes).collect();
    let asked = whole(directory, "queries")?;
    Ok(asked.into_iter().filter_map(|one| ids.get(u32::from_le_bytes(one) as usize).copied()).collect())
}

fn whole<const SIZE: usize>(directory: &Path, name: &str) -> io::Result<Vec<[u8; SIZE]>> {
    let mut batches = Batches::open(directory, name)?;
    let mut all = Vec::new();
    loop {
        let batch = batches.next_batch()?;
        if batch.is_empty() {
            return Ok(all);
        }
        all.extend(batch);
    }
}

/// `VmRSS` of this process in bytes, once it has come to rest (ten seconds at most).
///
/// # Errors
/// There is no such figure here.
pub fn resident_at_rest() -> io::Result<u64> {
    let mut last = resident()?;
    for _ in 0..10 {
        std::thread::sleep(Duration::from_secs(1));
        let now = resident()?;
        if now.abs_diff(last) < 1 << 20 {
            return Ok(now);
        }
        last = now;
    }
    Ok(last)
}

fn resident() -> io::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib =
        line.and_then(|rest| rest.split_whitespace().next()).and_then(|digits| digits.parse::<u64>().ok());
    kib.map(|kib| kib * 1024).ok_or_else(|| io::Error::other("no VmRSS in /proc/self/status"))
}

/// Adds up how long some work takes.
pub fn timed<T>(sum: &mut Duration, work: impl FnOnce() -> T) -> T {
    let started = Instant::now();
    let result = work();
    *sum += started.elapsed();
    result
}

/// What the queries found: compared with the graph's files, so that a wrong answer is no fast one.
#[derive(Clone, Copy, Debug, Default)]
pub struct Found {
    /// Relationships.
    pub count: u64,
    /// Exclusive or of the relationships' identities.
    pub identities: u64,
    /// Exclusive or of the targets' identities.
    pub targets: u64,
}

impl Found {
    /// Counts one relationship.
    pub fn add(&mut self, identity: u64, target: u64) {
        self.count += 1;
        self.identities ^= identity;
        self.targets ^= target;
    }
}

/// Asks each, the first tenth also once before to warm up; what was found, and the latencies in
/// nanoseconds, sorted.
///
/// # Errors
/// A query failed.
pub fn ask<E>(
    asked: &[u64],
    mut query: impl FnMut(u64, &mut Found) -> Result<(), E>,
) -> Result<(Found, Vec<u64>), E> {
    for id in &asked[..asked.len() / 10] {
        query(*id, &mut Found::default())?;
    }
    let mut found = Found::default();
    let mut latencies = Vec::with_capacity(asked.len());
    for id in asked {
        let started = Instant::now();
        query(*id, &mut found)?;
        latencies.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    latencies.sort_unstable();
    Ok((found, latencies))
}

/// The value that this share does not exceed.
pub fn percentile(sorted: &[u64], share: f64) -> u64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or(0)
}

/// The report of an embedded library on one line, as `bench-compare/run` reads it.
pub fn report(
    version: &str,
    resident: [u64; 3],
    load: [Duration; 2],
    found: Found,
    latencies: &[u64],
) -> String {
    format!(
        "{{\"version\":\"{version}\",\"resident\":{resident:?},\"seconds\":[{},{}],\"median_ns\":{},\"p99_ns\":{},\
         \"found\":[{},{},{}]}}",
        load[0].as_secs_f64(),
        load[1].as_secs_f64(),
        percentile(latencies, 0.5),
        percentile(latencies, 0.99),
        found.count,
        found.identities,
        found.targets,
    )
}
