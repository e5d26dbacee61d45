//! The open loop: requests go out when they are due, and latency is counted from then.
//!
//! Each connection is a thread that takes the next arrival, sleeps until it is due, sends it, and reads the answer.
//! Threads and not tasks, because the timers of an asynchronous runtime are as coarse as a millisecond, many
//! times what is measured. While all connections wait for answers arrivals wait too, and what they wait counts.

use super::child::ServerUnderLoad;
use super::histogram::Histogram;
use super::mix::{Mix, Operation};
use super::recorder::Recorder;
use super::report::{Latency, LoadReport, Stretch};
use super::schedule::Schedule;
use super::user::{OWNER_KEY, User};
use super::wire::Connection;
use parking_lot::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Barrier, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

/// Requests of each connection before the clock starts.
const WARM_UP: u64 = 5;

/// What the connections share.
struct Shared<'a> {
    schedule: &'a Schedule,
    mix: &'a Mix,
    /// Set when all connections are ready.
    begun: OnceLock<Instant>,
    ready: Barrier,
    next: AtomicU64,
    working: AtomicU64,
    stop: &'a AtomicBool,
    recorder: Mutex<Recorder>,
    /// For each operation its latencies and errors.
    operations: Vec<Mutex<(Histogram, u64)>>,
    lag: Mutex<Histogram>,
}

impl Shared<'_> {
    /// When the run begins, or began.
    fn begun(&self) -> Instant {
        *self.begun.get_or_init(Instant::now)
    }
}

/// Puts load on a server by this schedule; fills the report's figures.
///
/// # Errors
/// A sentence, where the run cannot begin.
pub fn run(
    server: &ServerUnderLoad,
    schedule: &Schedule,
    connections: u64,
    stop: &AtomicBool,
    report: &mut LoadReport,
) -> Result<(), String> {
    let mix = Mix::read()?;
    let mut users = set_up(server, connections)?;
    report.memory.before_bytes = server.settled_bytes(stop).unwrap_or(0);
    // Narrow enough that a short run has a curve, and that a second is a whole number of them.
    let width = if schedule.seconds() < 60.0 { 0.1 } else { 1.0 };
    let mut recorder = Recorder::new(width);
    let slices = (schedule.seconds() / width).round() as u64;
    for slice in 0..slices {
        let (begin, end) = (slice as f64 * width, (slice + 1) as f64 * width);
        recorder.slice(begin + width / 2.0).due = schedule.due_before(end) - schedule.due_before(begin);
    }
    let shared = Shared {
        schedule,
        mix: &mix,
        begun: OnceLock::new(),
        ready: Barrier::new(users.len() + 1),
        next: AtomicU64::new(0),
        working: AtomicU64::new(users.len() as u64),
        stop,
        recorder: Mutex::new(recorder),
        operations: Operation::ALL.iter().map(|_| Mutex::default()).collect(),
        lag: Mutex::default(),
    };
    thread::scope(|scope| {
        for (user, connection) in &mut users {
            let shared = &shared;
            scope.spawn(move || {
                // The first requests of a thread touch its memory for the first time, which is no part of the load.
                for _ in 0..WARM_UP {
                    let _ = user.step(shared.mix, connection);
                }
                shared.ready.wait();
                shared.ready.wait();
                work(shared, user, connection);
                shared.working.fetch_sub(1, Ordering::Relaxed);
            });
        }
        shared.ready.wait();
        let _ = shared.begun.set(Instant::now() + Duration::from_millis(20));
        shared.ready.wait();
        watch(&shared, server, report);
    });
    report.seconds = shared.begun().elapsed().as_secs_f64();
    let recorder = shared.recorder.into_inner();
    if stop.load(Ordering::Relaxed) {
        report.is_cut_short = true;
    } else {
        // The last answer comes a little after the end; a chart needs no room for that.
        let is_late = report.seconds > schedule.seconds() + 1.0;
        report.seconds = if is_late { report.seconds } else { schedule.seconds() };
    }
    report.memory.peak_bytes = server.peak_bytes().unwrap_or(0);
    report.memory.after_bytes = server.settled_bytes(stop).unwrap_or(0);
    recorder.fill(report);
    report.runner_lag = Latency::from(&shared.lag.into_inner());
    report.operations = Operation::ALL
        .iter()
        .zip(shared.operations)
        .map(|(operation, found)| {
            let (latencies, errors) = found.into_inner();
            stretch(operation.name(), (0.0, 0.0), errors, &latencies)
        })
        .collect();
    for (name, begin, end) in schedule.phases() {
        let points = report.timeline.iter().filter(|point| point.second >= begin && point.second < end);
        let errors = points.map(|point| point.errors).sum();
        report.phases.push(stretch(name, (begin, end), errors, &recorder.latencies(begin, end)));
    }
    Ok(())
}

fn stretch(name: &str, (begin_s, end_s): (f64, f64), errors: u64, latencies: &Histogram) -> Stretch {
    let requests = latencies.total();
    Stretch { name: name.to_owned(), begin_s, end_s, requests, errors, latency: Latency::from(latencies) }
}

/// Users with their connections and all that they need on the server.
fn set_up(server: &ServerUnderLoad, connections: u64) -> Result<Vec<(User, Connection)>, String> {
    let target = &server.target;
    let mut connection = Connection::new(target.address);
    let index = target.request("PUT", &format!("/api/v1/indexes/{OWNER_KEY}"), "");
    match connection.exchange(&index) {
        Ok(answer) if answer.status < 300 => {}
        Ok(answer) => return Err(format!("the server does not take an index: {}", answer.status)),
        Err(broken) => return Err(broken.name().to_owned()),
    }
    let run = (crate::clock::now().0 / 1_000_000) as u16;
    (0..connections)
        .map(|number| {
            let mut user = User::new(target.clone(), run, number);
            let mut connection = Connection::new(target.address);
            user.set_up(&mut connection)?;
            Ok((user, connection))
        })
        .collect()
}

/// One connection's work.
fn work(shared: &Shared, user: &mut User, connection: &mut Connection) {
    let begun = shared.begun();
    while let Some(due) = shared.schedule.moment(shared.next.fetch_add(1, Ordering::Relaxed)) {
        let moment = begun + due;
        let was_free = Instant::now() < moment;
        loop {
            if shared.stop.load(Ordering::Relaxed) {
                return;
            }
            match moment.checked_duration_since(Instant::now()) {
                Some(left) if !left.is_zero() => thread::sleep(left.min(Duration::from_millis(200))),
                _ => break,
            }
        }
        let sent = begun.elapsed();
        let (operation, outcome) = user.step(shared.mix, connection);
        let done = begun.elapsed();
        if was_free {
            shared.lag.lock().add(sent.saturating_sub(due).as_micros() as u64);
        }
        if let Some(found) = shared.operations.get(operation as usize) {
            let mut found = found.lock();
            found.0.add(done.saturating_sub(due).as_micros() as u64);
            found.1 += u64::from(outcome.is_err());
        }
        shared.recorder.lock().request(due.as_secs_f64(), done.as_secs_f64(), outcome);
    }
}

/// Reads the server's memory while the connections work, and says now and then how far they are.
fn watch(shared: &Shared, server: &ServerUnderLoad, report: &mut LoadReport) {
    let seconds = shared.schedule.seconds();
    let interval = Duration::from_secs_f64((seconds / 600.0).clamp(0.05, 5.0));
    let mut said = 0;
    while shared.working.load(Ordering::Relaxed) > 0 {
        let at = shared.begun().elapsed().as_secs_f64();
        if let Some(bytes) = server.resident_bytes() {
            report.memory.samples.push((at, bytes));
        }
        let tenth = (at / seconds * 10.0) as u64;
        if tenth > said && seconds >= 30.0 {
            said = tenth;
            let recorder = shared.recorder.lock();
            let (requests, errors) = (recorder.requests, recorder.errors());
            super::say(&format!("{at:.0} of {seconds:.0} s: {requests} requests, {errors} errors"));
        }
        thread::sleep(interval);
    }
}
