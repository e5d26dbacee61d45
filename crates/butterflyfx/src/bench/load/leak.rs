//! Whether memory comes back: all substrates created in batches and deleted one by one, over and over, and
//! the server's resident memory read when it no longer moves.

use super::child::ServerUnderLoad;
use super::recorder::Recorder;
use super::report::{LoadReport, Round, mebibytes};
use super::user::Wrong;
use super::wire::Connection;
use memchr::memmem;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Lines of a batch.
const BATCH: u64 = 10_000;
/// DELETEs on their way at once on one connection.
const WINDOW: u64 = 64;
/// What the last round may leave more than the first: a fifth, and 16 MiB.
const GROWTH_PER_CENT: u64 = 20;
const GROWTH_BYTES: u64 = 16 << 20;

/// How much to do.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Substrates of a round.
    pub substrates: u64,
    /// Rounds.
    pub rounds: u64,
    /// Connections to delete over.
    pub connections: u64,
}

/// Runs the rounds; fills the report's figures.
///
/// # Errors
/// A sentence, where the server's memory cannot be read.
pub fn run(
    server: &ServerUnderLoad,
    work: Work,
    stop: &AtomicBool,
    report: &mut LoadReport,
) -> Result<(), String> {
    let before = server.settled_bytes(stop);
    report.memory.before_bytes =
        before.ok_or("the server's memory cannot be read: give its process with --pid")?;
    let begun = Instant::now();
    let recorder = Mutex::new(Recorder::new(0.1));
    let is_done = AtomicBool::new(false);
    let (rounds, samples) = thread::scope(|scope| {
        let sampler = scope.spawn(|| {
            let mut samples = Vec::new();
            while !is_done.load(Ordering::Relaxed) {
                samples.extend(server.resident_bytes().map(|bytes| (begun.elapsed().as_secs_f64(), bytes)));
                thread::sleep(Duration::from_millis(100));
            }
            samples
        });
        let rounds: Vec<Round> = (1..=work.rounds)
            .map_while(|number| round(server, work, number, begun, &recorder, stop))
            .collect();
        is_done.store(true, Ordering::Relaxed);
        (rounds, sampler.join().unwrap_or_default())
    });
    report.seconds = begun.elapsed().as_secs_f64();
    report.is_cut_short = stop.load(Ordering::Relaxed);
    report.memory.samples = thinned(samples);
    report.memory.peak_bytes = server.peak_bytes().unwrap_or(0);
    report.memory.after_bytes = rounds.last().map_or(0, |round| round.settled_bytes);
    recorder.into_inner().fill(report);
    if let [first, .., last] = rounds.as_slice() {
        let most = first.settled_bytes * (100 + GROWTH_PER_CENT) / 100 + GROWTH_BYTES;
        let [first, last, most] =
            [(first.settled_bytes), last.settled_bytes, most].map(|bytes| (bytes, mebibytes(bytes)));
        if last.0 > most.0 {
            report.failures.push(format!(
                "memory grew from {} after the first round to {} after the last, and {} is the most",
                first.1, last.1, most.1
            ));
        }
        report
            .remarks
            .push(format!("Resident after the first round {}, after the last {}.", first.1, last.1));
    }
    report.rounds = rounds;
    Ok(())
}

/// One round; `None` where a signal ended it.
fn round(
    server: &ServerUnderLoad,
    work: Work,
    number: u64,
    begun: Instant,
    recorder: &Mutex<Recorder>,
    stop: &AtomicBool,
) -> Option<Round> {
    let begin_s = begun.elapsed().as_secs_f64();
    create(server, work.substrates, begun, recorder, stop);
    let created_s = begun.elapsed().as_secs_f64();
    let full_bytes = server.resident_bytes().unwrap_or(0);
    thread::scope(|scope| {
        for connection in 0..work.connections {
            let first = work.substrates * connection / work.connections;
            let end = work.substrates * (connection + 1) / work.connections;
            scope.spawn(move || delete(server, first..end, begun, recorder, stop));
        }
    });
    let deleted_s = begun.elapsed().as_secs_f64();
    let settled_bytes = server.settled_bytes(stop).unwrap_or(0);
    if stop.load(Ordering::Relaxed) {
        return None;
    }
    let substrates = work.substrates as f64;
    let round = Round {
        round: number,
        begin_s,
        created_per_s: substrates / (created_s - begin_s).max(1e-9),
        deleted_per_s: substrates / (deleted_s - created_s).max(1e-9),
        full_bytes,
        settled_at_s: begun.elapsed().as_secs_f64(),
        settled_bytes,
    };
    super::say(&format!(
        "round {number}: {} with all of them, {} after deleting",
        mebibytes(round.full_bytes),
        mebibytes(round.settled_bytes)
    ));
    Some(round)
}

/// The identity of a substrate, from 1 and spread over all 64 bits as hashes are.
fn identity(number: u64) -> u64 {
    (number + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

fn create(
    server: &ServerUnderLoad,
    substrates: u64,
    begun: Instant,
    recorder: &Mutex<Recorder>,
    stop: &AtomicBool,
) {
    let mut connection = Connection::new(server.target.address);
    let mut body = String::new();
    for first in (0..substrates).step_by(BATCH as usize) {
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let end = (first + BATCH).min(substrates);
        body.clear();
        for number in first..end {
            body.push_str(&format!(
                "{{\"identity\":\"{:x}\",\"expression_type\":\"lambda\",\"expression_code\":\"lambda **kw: kw.get('x', 0) * {number} + kw.get('y', 0)\",\"metadata\":{{\"name\":\"substrate_{number}\",\"description\":\"multiplies x by {number}\"}}}}\n",
                identity(number)
            ));
        }
        let path = "/api/v1/substrates/batch?results=none";
        let request = server.target.request_of_type("POST", path, "application/x-ndjson", &body);
        let wanted = format!("\"created\":{},\"failed\":0", end - first);
        let outcome = match connection.exchange(&request) {
            Ok(answer) if memmem::find(&answer.body, wanted.as_bytes()).is_some() => Ok(()),
            Ok(answer) => Err(Wrong {
                kind: format!("create_batch: status {} or not all created", answer.status),
                example: String::from_utf8_lossy(&answer.body).chars().take(300).collect(),
            }),
            Err(broken) => Err(Wrong { kind: broken.name().to_owned(), example: "create_batch".to_owned() }),
        };
        let mut recorder = recorder.lock();
        recorder.requests += 1;
        recorder.slice(begun.elapsed().as_secs_f64()).due += (end - first) as f64;
        if let Err(wrong) = outcome {
            recorder.error(wrong);
        }
    }
}

fn delete(
    server: &ServerUnderLoad,
    numbers: std::ops::Range<u64>,
    begun: Instant,
    recorder: &Mutex<Recorder>,
    stop: &AtomicBool,
) {
    let mut connection = Connection::new(server.target.address);
    let mut first = numbers.start;
    while first < numbers.end && !stop.load(Ordering::Relaxed) {
        let end = (first + WINDOW).min(numbers.end);
        let mut requests = Vec::new();
        for number in first..end {
            let path = format!("/api/v1/substrates/{:x}", identity(number));
            requests.extend(server.target.request("DELETE", &path, ""));
        }
        let sent = begun.elapsed().as_secs_f64();
        let mut results = Vec::with_capacity((end - first) as usize);
        let mut broken = connection.send(&requests).err();
        for _ in first..end {
            let answer = match broken {
                Some(broken) => Err(broken),
                None => connection.receive(),
            };
            broken = answer.as_ref().err().copied();
            let outcome = match answer {
                Ok(answer) if answer.status == 204 => Ok(()),
                Ok(answer) => Err(Wrong {
                    kind: format!("delete: status {}", answer.status),
                    example: String::from_utf8_lossy(&answer.body).chars().take(300).collect(),
                }),
                Err(broken) => Err(Wrong { kind: broken.name().to_owned(), example: "delete".to_owned() }),
            };
            results.push((begun.elapsed().as_secs_f64(), outcome));
        }
        let mut recorder = recorder.lock();
        for (done, outcome) in results {
            recorder.request(sent, done, outcome);
        }
        first = end;
    }
}

/// No more samples than a chart has room for, the highest of each group.
fn thinned(samples: Vec<(f64, u64)>) -> Vec<(f64, u64)> {
    let group = samples.len().div_ceil(600).max(1);
    samples.chunks(group).filter_map(|some| some.iter().max_by_key(|(_, bytes)| *bytes).copied()).collect()
}
