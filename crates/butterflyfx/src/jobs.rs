//! Jobs: work that is asked for once, done by a worker while nobody waits, and whose result is
//! kept for a while under an id that cannot be guessed.
//!
//! [`Jobs::submit`] takes a job and hands its work to the workers; the worker brings back an
//! [`Ending`]. Who asks sees a [`View`]. What is kept is bounded in number, bytes and time, and
//! bounded fairly: see [`table`]. Jobs live in memory only, and end with the program.

mod id;
mod table;

use crate::app::App;
use crate::client::Client;
use crate::metrics::Metrics;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::Timestamp;
use butterflyfx_formula::meter::Interrupt;
use bytes::Bytes;
use parking_lot::Mutex;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use table::{Cancelled, Table};
use tokio::sync::Notify;

pub(crate) use id::JobId;
pub(crate) use table::{Counts, Room};

/// What a job invokes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// A substrate.
    Substrate(SubstrateId),
    /// Many of them.
    Many,
    /// A substrate over many rows.
    Rows(SubstrateId),
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// It waits for a worker.
    Queued,
    /// A worker is at it.
    Running,
    /// It has a result.
    Succeeded,
    /// It has a problem.
    Failed,
    /// Somebody did not want it any more.
    Cancelled,
}

/// How a job ended. The texts are JSON.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// What the request would have been answered with.
    Succeeded(Bytes),
    /// The problem that the request would have been refused with.
    Failed(Bytes),
    /// The work panicked. The panic was logged.
    Panicked,
    /// The result was larger than all that may be kept.
    TooLarge,
    /// Somebody did not want it any more.
    Cancelled,
}

impl Ending {
    fn state(&self) -> State {
        match self {
            Ending::Succeeded(_) => State::Succeeded,
            Ending::Failed(_) | Ending::Panicked | Ending::TooLarge => State::Failed,
            Ending::Cancelled => State::Cancelled,
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Ending::Succeeded(text) | Ending::Failed(text) => text.len(),
            Ending::Panicked | Ending::TooLarge | Ending::Cancelled => 0,
        }
    }
}

/// A job as it was when somebody looked.
#[derive(Clone, Debug)]
pub(crate) struct View {
    pub(crate) id: JobId,
    /// Counts jobs; a list is in this order.
    pub(crate) number: u64,
    pub(crate) operation: Operation,
    pub(crate) state: State,
    pub(crate) created_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    /// When it will be forgotten, if not earlier.
    pub(crate) expires_at: Option<Timestamp>,
    /// Evaluations done, and how many there are once that is known.
    pub(crate) done: u64,
    pub(crate) total: Option<u64>,
    /// Once it has ended.
    pub(crate) ending: Option<Ending>,
}

/// What the worker and those who ask share while a job is known.
#[derive(Debug)]
pub(crate) struct Ticket {
    stop: Arc<AtomicBool>,
    done: AtomicU64,
    /// `u64::MAX` while it is not known.
    total: AtomicU64,
    ended: Notify,
}

impl Ticket {
    fn new() -> Ticket {
        Ticket {
            stop: Arc::default(),
            done: AtomicU64::new(0),
            total: AtomicU64::new(u64::MAX),
            ended: Notify::new(),
        }
    }

    /// The flag that is set when nobody wants the job any more.
    pub(crate) fn stop_flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.stop)
    }

    /// What tells an evaluation.
    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt::When(self.stop_flag())
    }

    /// Says how many evaluations there are.
    pub(crate) fn set_total(&self, total: u64) {
        self.total.store(total, Ordering::Relaxed);
    }

    /// Says how many evaluations are done.
    pub(crate) fn set_done(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    fn progress(&self) -> (u64, Option<u64>) {
        let total = self.total.load(Ordering::Relaxed);
        (self.done.load(Ordering::Relaxed), (total != u64::MAX).then_some(total))
    }
}

/// Why a job was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum JobRefusal {
    /// Too many jobs wait, or their requests have too many bytes.
    Full,
    /// The request alone has more bytes than all requests together may have, which is this many.
    TooLarge(u64),
    /// The server stops.
    Stopping,
    /// The system gives no random bits.
    NoId,
}

/// All jobs that are known.
#[derive(Debug)]
pub(crate) struct Jobs {
    table: Mutex<Table>,
    metrics: Arc<Metrics>,
}

impl Jobs {
    pub(crate) fn new(room: Room, metrics: Arc<Metrics>) -> Jobs {
        Jobs { table: Mutex::new(Table::new(room)), metrics }
    }

    /// Takes a job whose request has so many bytes, and has it done by a worker.
    pub(crate) fn submit(
        app: &Arc<App>,
        client: Client,
        operation: Operation,
        bytes: usize,
        work: impl FnOnce(&Arc<App>, &Arc<Ticket>) -> Ending + Send + 'static,
    ) -> Result<View, JobRefusal> {
        let jobs = &app.jobs;
        let id = JobId::new().ok_or(JobRefusal::NoId)?;
        let mut table = jobs.table.lock();
        let before = table.pushed_out();
        let added = table.add(Instant::now(), id, client.address, operation, bytes);
        let pushed_out = table.pushed_out() - before;
        drop(table);
        jobs.metrics.jobs.pushed_out(pushed_out);
        if added.as_ref().is_err_and(|refusal| *refusal == JobRefusal::Full) {
            app.metrics.overloaded();
        }
        let (number, ticket, view) = added?;
        let shared = Arc::clone(app);
        let run = Box::new(move || shared.jobs.run(&shared, number, &ticket, work));
        if !app.workers.submit_job(client, number, run) {
            jobs.table.lock().remove(number);
            app.metrics.overloaded();
            return Err(JobRefusal::Full);
        }
        jobs.metrics.jobs.submitted();
        Ok(view)
    }

    /// Does the work of a job, unless it is cancelled already.
    fn run(
        &self,
        app: &Arc<App>,
        number: u64,
        ticket: &Arc<Ticket>,
        work: impl FnOnce(&Arc<App>, &Arc<Ticket>) -> Ending,
    ) {
        let Some(waited) = self.table.lock().begin(number) else { return };
        self.metrics.jobs.waited(waited);
        let ending = catch_unwind(AssertUnwindSafe(|| work(app, ticket))).unwrap_or_else(|_| {
            self.metrics.panicked();
            Ending::Panicked
        });
        self.end(number, ending);
    }

    fn end(&self, number: u64, ending: Ending) {
        let mut table = self.table.lock();
        let before = table.pushed_out();
        let ended = table.end(Instant::now(), number, ending);
        let pushed_out = table.pushed_out() - before;
        drop(table);
        self.metrics.jobs.pushed_out(pushed_out);
        if let Some(state) = ended {
            self.metrics.jobs.ended(state);
        }
    }

    /// The job of this id.
    pub(crate) fn view(&self, id: JobId) -> Option<View> {
        let mut table = self.table.lock();
        table.forget_old(Instant::now());
        table.view(id)
    }

    /// The job of this id, when it has ended or so much time is over.
    pub(crate) async fn view_at_end(&self, id: JobId, patience: Duration) -> Option<View> {
        let ticket = self.table.lock().ticket(id)?;
        let mut ended = std::pin::pin!(ticket.ended.notified());
        // From here on no end is missed.
        ended.as_mut().enable();
        let view = self.view(id)?;
        if view.ending.is_some() {
            return Some(view);
        }
        let _ = tokio::time::timeout(patience, ended).await;
        self.view(id)
    }

    /// Up to so many jobs behind this number, oldest first, and whether there are more.
    pub(crate) fn list(&self, after: u64, limit: usize) -> (Vec<View>, bool) {
        let mut table = self.table.lock();
        table.forget_old(Instant::now());
        table.list(after, limit)
    }

    /// Cancels a job that has not ended, forgets one that has. `false` where there is none.
    pub(crate) fn cancel_or_forget(app: &App, id: JobId) -> bool {
        let mut table = app.jobs.table.lock();
        let now = Instant::now();
        table.forget_old(now);
        let cancelled = table.cancel_or_forget(now, id);
        drop(table);
        match cancelled {
            None => return false,
            Some(Cancelled::Ended) => {}
            Some(Cancelled::Queued { address, number }) => {
                app.workers.forget_job(address, number);
                app.metrics.jobs.ended(State::Cancelled);
            }
            Some(Cancelled::Running) => app.metrics.jobs.ended(State::Cancelled),
        }
        true
    }

    /// Forgets what has been kept for long enough.
    pub(crate) fn forget_old(&self) {
        self.table.lock().forget_old(Instant::now());
    }

    /// Cancels all that has not ended and takes no more: the server stops.
    pub(crate) fn stop(app: &App) {
        let ids = app.jobs.table.lock().close();
        for id in ids {
            // One that has ended meanwhile is forgotten: nobody can ask for it any more.
            Jobs::cancel_or_forget(app, id);
        }
    }

    /// How many there are.
    pub(crate) fn counts(&self) -> Counts {
        self.table.lock().counts()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::sync::mpsc;

    fn app() -> Arc<App> {
        App::new(Config { evaluation_threads: 1, ..Config::default() }).expect("threads")
    }

    fn submit(app: &Arc<App>, work: impl FnOnce(&Arc<Ticket>) -> Ending + Send + 'static) -> JobId {
        let work = |_: &Arc<App>, ticket: &Arc<Ticket>| work(ticket);
        Jobs::submit(app, Client::default(), Operation::Many, 10, work).expect("room").id
    }

    fn ended(app: &Arc<App>, id: JobId) -> Option<Ending> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("runtime");
        runtime.block_on(app.jobs.view_at_end(id, Duration::from_secs(20)))?.ending
    }

    #[test]
    fn a_panic_is_the_end_of_a_job_only() {
        let app = app();
        let done = || Ending::Succeeded(Bytes::from_static(b"{}"));
        let bad = submit(&app, |_| panic!("on purpose"));
        let good = submit(&app, move |_| done());
        assert_eq!(ended(&app, bad), Some(Ending::Panicked));
        assert_eq!(ended(&app, good), Some(done()));
        assert_eq!(app.metrics.panics(), 1);
    }

    #[test]
    fn a_cancelled_job_gives_back_what_it_holds() {
        let app = app();
        let (go, gate) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let busy = submit(&app, move |ticket| {
            begun.send(()).expect("the test waits");
            gate.recv().expect("the test says go");
            assert!(ticket.stop.load(Ordering::Relaxed));
            Ending::Succeeded(Bytes::new())
        });
        begins.recv().expect("it begins");
        let held = Arc::new(());
        let holds = Arc::clone(&held);
        let waiting = submit(&app, move |_| {
            drop(holds);
            Ending::Succeeded(Bytes::new())
        });
        assert_eq!(Arc::strong_count(&held), 2);
        assert!(Jobs::cancel_or_forget(&app, waiting));
        assert_eq!(Arc::strong_count(&held), 1, "its work still waits");
        assert!(Jobs::cancel_or_forget(&app, busy));
        go.send(()).expect("it waits");
        // What comes too late changes nothing.
        let last = submit(&app, |_| Ending::Succeeded(Bytes::new()));
        assert_eq!(ended(&app, last), Some(Ending::Succeeded(Bytes::new())));
        assert_eq!(
            [ended(&app, busy), ended(&app, waiting)],
            [Some(Ending::Cancelled), Some(Ending::Cancelled)]
        );
    }

    #[test]
    fn a_stopped_program_takes_no_jobs() {
        let app = app();
        Jobs::stop(&app);
        let refused = Jobs::submit(&app, Client::default(), Operation::Many, 0, |_, _| Ending::Panicked);
        assert_eq!(refused.err(), Some(JobRefusal::Stopping));
    }
}
