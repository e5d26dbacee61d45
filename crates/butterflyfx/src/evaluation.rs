//! Where work runs: short evaluations on the network thread that asked, everything else on a few
//! threads of its own with bounded stacks and a bounded queue. A full queue answers at once.
//!
//! What is short by its form may be long by its values. So a network thread begins it briefly, and
//! gives it up when it takes longer: it is begun again on a worker, for an evaluation leaves nothing behind.
//! Who waits for a worker takes turns with others, see [`turns`].

mod turns;

use crate::app::App;
use crate::client::{self, Address, Client};
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::Evaluation;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::meter::Interrupt;
use parking_lot::{Condvar, Mutex};
use std::cell::Cell;
use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;
use tokio::sync::oneshot;
use turns::{Flow, Waiting};

pub(crate) use turns::may_wait;

/// The stack of a worker thread. Nesting limits keep recursion far below it.
pub const STACK_BYTES: usize = 8 * 1024 * 1024;

/// Why work was not done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OffloadFailure {
    /// The queue is full: 503 `overloaded`.
    Overloaded,
    /// The work panicked: 500 `internal`. The panic was logged.
    Panicked,
}

/// Why there is no evaluation.
#[derive(Clone, Debug, PartialEq)]
pub enum EvaluateFailure {
    /// The engine refused or the formula raised.
    Engine(EngineError),
    /// The queue is full: 503 `overloaded`.
    Overloaded,
    /// The evaluation panicked: 500 `internal`. The panic was logged.
    Panicked,
}

impl From<OffloadFailure> for EvaluateFailure {
    fn from(failure: OffloadFailure) -> EvaluateFailure {
        match failure {
            OffloadFailure::Overloaded => EvaluateFailure::Overloaded,
            OffloadFailure::Panicked => EvaluateFailure::Panicked,
        }
    }
}

impl From<EngineError> for EvaluateFailure {
    fn from(error: EngineError) -> EvaluateFailure {
        EvaluateFailure::Engine(error)
    }
}

/// Evaluates a substrate: on this thread where that is short, else on a worker.
///
/// # Errors
/// The engine's refusal; a full queue; a panic.
pub async fn evaluate(
    app: &Arc<App>,
    id: SubstrateId,
    parameters: Arc<Dict>,
    explain: bool,
) -> Result<Evaluation, EvaluateFailure> {
    let was_given_up = GIVEN_UP.take() == Some(id);
    let is_short = !was_given_up && app.engine.is_short(id)?;
    let brief = if is_short { begin(app, id, &parameters, explain) } else { None };
    let outcome = match brief {
        Some(outcome) => outcome,
        None => {
            let stop = StopOnDrop::default();
            let interrupt = stop.interrupt();
            offload(app, move |app| app.engine.evaluate_until(id, &parameters, explain, interrupt)).await?
        }
    };
    match &outcome {
        Ok(evaluation) => app.metrics.evaluated(evaluation.cost.steps),
        Err(_) => app.metrics.evaluation_failed(),
    }
    Ok(outcome?)
}

thread_local! {
    /// What this thread has given up last, for the same request comes by again on its long way.
    static GIVEN_UP: Cell<Option<SubstrateId>> = const { Cell::new(None) };
}

/// Evaluates on the short way what is short by its form; `None` where it is long, or raises.
pub(crate) fn evaluate_quickly(app: &App, id: SubstrateId, parameters: &Arc<Dict>) -> Option<Evaluation> {
    let outcome = begin(app, id, parameters, false);
    if outcome.is_none() {
        GIVEN_UP.set(Some(id));
    }
    outcome?.ok()
}

/// Begins an evaluation on a network thread, and gives it up where it is long.
fn begin(
    app: &App,
    id: SubstrateId,
    parameters: &Arc<Dict>,
    explain: bool,
) -> Option<Result<Evaluation, EngineError>> {
    match app.engine.evaluate_until(id, parameters, explain, Interrupt::WhenLong) {
        Err(error) if error.is_interrupted() => {
            app.metrics.turned_long();
            None
        }
        outcome => Some(outcome),
    }
}

/// Stops work when it is dropped: nobody waits for the answer any more.
#[derive(Debug, Default)]
pub(crate) struct StopOnDrop(Arc<AtomicBool>);

impl StopOnDrop {
    /// The flag that it sets.
    pub(crate) fn flag(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.0)
    }

    /// What tells an evaluation.
    pub(crate) fn interrupt(&self) -> Interrupt {
        Interrupt::When(self.flag())
    }
}

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs long work on a worker thread. Work whose asker has gone away is dropped unstarted.
///
/// # Errors
/// A full queue; a panic.
pub async fn offload<T, F>(app: &Arc<App>, work: F) -> Result<T, OffloadFailure>
where
    T: Send + 'static,
    F: FnOnce(&Arc<App>) -> T + Send + 'static,
{
    run(app, Lane::Ordinary, work).await
}

/// As [`offload`], for work that may take seconds: many evaluations in one request. It leaves a
/// worker free, where there is more than one, and stands behind what waits in [`offload`].
///
/// # Errors
/// A full queue; a panic.
pub async fn offload_bulk<T, F>(app: &Arc<App>, work: F) -> Result<T, OffloadFailure>
where
    T: Send + 'static,
    F: FnOnce(&Arc<App>) -> T + Send + 'static,
{
    run(app, Lane::Bulk, work).await
}

async fn run<T, F>(app: &Arc<App>, lane: Lane, work: F) -> Result<T, OffloadFailure>
where
    T: Send + 'static,
    F: FnOnce(&Arc<App>) -> T + Send + 'static,
{
    let (answer, answered) = oneshot::channel();
    let shared = Arc::clone(app);
    let submitted = Instant::now();
    let run = Box::new(move || {
        shared.metrics.evaluation_waited(submitted.elapsed());
        if !answer.is_closed() {
            // The asker may have gone away meanwhile; then nobody wants the answer.
            let _ = answer.send(work(&shared));
        }
    });
    if !app.workers.submit(lane, client::of_this_request(), run) {
        app.metrics.overloaded();
        return Err(OffloadFailure::Overloaded);
    }
    // The sender is dropped without an answer only when the work unwound.
    answered.await.map_err(|_| {
        app.metrics.panicked();
        OffloadFailure::Panicked
    })
}

/// How much less of a processor long work gets than short work, when both want it: a tenth.
const NICENESS: i32 = 10;

/// Lets the threads that answer short requests go before this one. Where processors are scarce, a
/// batch would otherwise keep one for whole time slices of milliseconds while short requests wait.
/// Nobody waits long for a lock that this thread holds: those who do leave the processor to it.
pub(crate) fn yield_to_short_work() {
    // On Linux the priority is the thread's, not the process's. Elsewhere it stays as it is.
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::setpriority_process(None, NICENESS) {
        tracing::debug!(%error, "long work keeps the priority of short work");
    }
}

/// After so many ordinary tasks in a row a bulk task that waits has its turn.
const ORDINARY_IN_A_ROW_MAX: u32 = 16;

type Run = Box<dyn FnOnce() + Send>;

/// What waits for a thread.
struct Task {
    run: Run,
    whose: Whose,
}

/// What a task is done for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    /// A request from there that waits for its answer.
    Request(Address),
    /// The job of this number.
    Job(u64),
}

/// Where a task waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Ordinary,
    /// Work of seconds; it never holds all the threads.
    Bulk,
}

/// The worker threads. They end when this is dropped.
#[derive(Debug)]
pub(crate) struct Workers {
    queue: Arc<Queue>,
}

struct Queue {
    state: Mutex<QueueState>,
    wake: Condvar,
    requests_max: usize,
    threads_max: usize,
}

#[derive(Default)]
struct QueueState {
    ordinary: Waiting<Task>,
    bulk: Waiting<Task>,
    /// Requests that wait, from each address; those without any are not here.
    requests_of: HashMap<Address, usize>,
    requests: usize,
    ordinary_in_a_row: u32,
    /// Threads that run a bulk task.
    bulk_running: usize,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl QueueState {
    fn waiting(&self) -> usize {
        self.ordinary.len() + self.bulk.len()
    }

    /// The next task that may run: ordinary ones before bulk ones, which run on at most `bulk_max`
    /// threads but do not wait for ever.
    fn next(&mut self, bulk_max: usize) -> Option<(Lane, Run)> {
        let bulk_may_run = self.bulk_running < bulk_max && !self.bulk.is_empty();
        let is_bulks_turn = self.ordinary.is_empty() || self.ordinary_in_a_row >= ORDINARY_IN_A_ROW_MAX;
        let (lane, task) = if bulk_may_run && is_bulks_turn {
            self.ordinary_in_a_row = 0;
            let task = self.bulk.pop()?;
            self.bulk_running += 1;
            (Lane::Bulk, task)
        } else {
            let task = self.ordinary.pop()?;
            self.ordinary_in_a_row = if bulk_may_run { self.ordinary_in_a_row + 1 } else { 0 };
            (Lane::Ordinary, task)
        };
        if let Whose::Request(address) = task.whose {
            self.requests -= 1;
            if let Some(count) = self.requests_of.get_mut(&address) {
                *count -= 1;
                if *count == 0 {
                    self.requests_of.remove(&address);
                }
            }
        }
        Some((lane, task.run))
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Queue").field("requests_max", &self.requests_max).finish_non_exhaustive()
    }
}

impl Workers {
    /// At most `threads_max` threads, started as they are needed, and `requests_max` waiting requests.
    pub(crate) fn new(threads_max: usize, requests_max: usize) -> Workers {
        Workers {
            queue: Arc::new(Queue {
                state: Mutex::default(),
                wake: Condvar::new(),
                requests_max,
                threads_max: threads_max.max(1),
            }),
        }
    }

    /// Requests that wait for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.state.lock().requests
    }

    /// Takes the work of a request, unless there is no room for it.
    fn submit(&self, lane: Lane, client: Client, run: Run) -> bool {
        let mut state = self.queue.state.lock();
        let of_client = state.requests_of.get(&client.address).copied().unwrap_or_default();
        if !may_wait(of_client, state.requests, self.queue.requests_max) || !self.has_thread(&mut state) {
            return false;
        }
        *state.requests_of.entry(client.address).or_default() += 1;
        state.requests += 1;
        let task = Task { run, whose: Whose::Request(client.address) };
        let flow = Flow::Connection(client.connection);
        match lane {
            Lane::Ordinary => state.ordinary.push(client, flow, task),
            Lane::Bulk => state.bulk.push(client, flow, task),
        }
        drop(state);
        self.queue.wake.notify_one();
        true
    }

    /// Takes the work of a job. Whoever knows all jobs bounds how many wait.
    pub(crate) fn submit_job(&self, client: Client, number: u64, run: Run) -> bool {
        let mut state = self.queue.state.lock();
        if !self.has_thread(&mut state) {
            return false;
        }
        state.bulk.push(client, Flow::Jobs, Task { run, whose: Whose::Job(number) });
        drop(state);
        self.queue.wake.notify_one();
        true
    }

    /// Forgets the work of a job that still waits.
    pub(crate) fn forget_job(&self, address: Address, number: u64) {
        let is_wanted = |task: &Task| task.whose == Whose::Job(number);
        let task = self.queue.state.lock().bulk.remove(address, Flow::Jobs, is_wanted);
        // What it holds may be large, and is given back without the lock.
        drop(task);
    }

    /// Starts a thread where one more task needs one; `false` where there is none at all.
    fn has_thread(&self, state: &mut QueueState) -> bool {
        if state.idle > state.waiting() || state.threads >= self.queue.threads_max {
            return true;
        }
        let queue = Arc::clone(&self.queue);
        let started = std::thread::Builder::new()
            .name("butterflyfx-work".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || queue.serve());
        match started {
            Ok(_) => state.threads += 1,
            // With no thread at all nobody would ever take the task.
            Err(error) if state.threads == 0 => {
                tracing::error!(%error, "cannot start a worker thread");
                return false;
            }
            Err(error) => tracing::warn!(%error, "cannot start another worker thread"),
        }
        true
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.closed = true;
        // Tasks hold the app, which holds these workers: none can be waiting here, but be sure.
        let left = (std::mem::take(&mut state.ordinary), std::mem::take(&mut state.bulk));
        drop(state);
        drop(left);
        self.queue.wake.notify_all();
    }
}

impl Queue {
    /// The life of a worker thread.
    fn serve(&self) {
        yield_to_short_work();
        let bulk_max = (self.threads_max - 1).max(1);
        let mut state = self.state.lock();
        loop {
            if let Some((lane, run)) = state.next(bulk_max) {
                drop(state);
                // The panic hook has logged it; the asker sees its channel closed.
                let _ = catch_unwind(AssertUnwindSafe(run));
                state = self.state.lock();
                if lane == Lane::Bulk {
                    state.bulk_running -= 1;
                }
            } else if state.closed {
                return;
            } else {
                state.idle += 1;
                self.wake.wait(&mut state);
                state.idle -= 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use std::sync::mpsc;

    fn app(threads: u64, queue: usize) -> Arc<App> {
        let config = Config { evaluation_threads: threads, evaluation_queue: queue, ..Config::default() };
        App::new(config).expect("threads")
    }

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("runtime").block_on(work)
    }

    #[test]
    fn a_panic_is_caught_and_the_thread_lives() {
        let app = app(1, 8);
        block_on(async {
            for _ in 0..3 {
                let failed = offload(&app, |_| -> u8 { panic!("on purpose") }).await;
                assert_eq!(failed, Err(OffloadFailure::Panicked));
                assert_eq!(offload(&app, |_| 7).await, Ok(7));
            }
        });
    }

    #[test]
    fn a_full_queue_refuses_at_once() {
        let app = app(1, 1);
        let (go, gate) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        block_on(async {
            let busy = offload(&app, move |_| {
                begun.send(()).expect("the test waits");
                gate.recv().is_ok()
            });
            let mut busy = std::pin::pin!(busy);
            // Polled once, it is with the worker.
            assert!(futures_util::poll!(busy.as_mut()).is_pending());
            begins.recv().expect("the worker begins");
            let mut waiting = std::pin::pin!(offload(&app, |_| 1));
            assert!(futures_util::poll!(waiting.as_mut()).is_pending());
            assert_eq!(offload(&app, |_| 2).await, Err(OffloadFailure::Overloaded));
            go.send(()).expect("the worker waits");
            assert_eq!(busy.await, Ok(true));
            assert_eq!(waiting.await, Ok(1));
            assert_eq!(offload(&app, |_| 3).await, Ok(3));
        });
    }

    fn from(last: u8) -> Client {
        Client { address: std::net::IpAddr::from([192, 0, 2, last]).into(), connection: u64::from(last) }
    }

    /// Lets each of these wait for the one thread, in order; the order in which they run. `b` stands for bulk.
    #[track_caller]
    fn check_order(asked: &[(u8, char)], expected: &str) {
        let app = app(1, 1_000);
        let (go, gate) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        let order = Arc::new(Mutex::new(String::new()));
        block_on(async {
            let busy = offload(&app, move |_| {
                begun.send(()).expect("the test waits");
                gate.recv().is_ok()
            });
            let mut busy = std::pin::pin!(busy);
            assert!(futures_util::poll!(busy.as_mut()).is_pending());
            begins.recv().expect("the worker begins");
            let mut all = Vec::new();
            for &(last, kind) in asked {
                let (app, order) = (Arc::clone(&app), Arc::clone(&order));
                let lane = if kind == 'b' { Lane::Bulk } else { Lane::Ordinary };
                let work = async move {
                    let note = move |_: &Arc<App>| order.lock().push(if last == 1 { kind } else { 'X' });
                    run(&app, lane, note).await
                };
                let mut work = Box::pin(client::serving(from(last), work));
                assert!(futures_util::poll!(work.as_mut()).is_pending());
                all.push(work);
            }
            go.send(()).expect("the worker waits");
            for work in all {
                assert_eq!(work.await, Ok(()));
            }
            assert_eq!(busy.await, Ok(true));
        });
        assert_eq!(*order.lock(), expected);
    }

    #[test]
    fn one_client_does_not_keep_another_waiting() {
        let mut asked = vec![(1, 'o'); 40];
        asked.push((2, 'o'));
        check_order(&asked, &format!("oX{}", "o".repeat(39)));
        let mut asked = vec![(1, 'b'); 40];
        asked.push((2, 'b'));
        check_order(&asked, &format!("bX{}", "b".repeat(39)));
    }

    #[test]
    fn bulk_work_has_its_turn_after_a_while() {
        let mut asked = vec![(1, 'b'), (1, 'b')];
        asked.extend([(1, 'o'); 40]);
        let some = "o".repeat(ORDINARY_IN_A_ROW_MAX as usize);
        check_order(&asked, &format!("{some}b{some}b{}", "o".repeat(8)));
    }

    #[test]
    fn one_client_leaves_room_in_the_queue() {
        let app = app(1, 8);
        let (go, gate) = mpsc::channel::<()>();
        let (begun, begins) = mpsc::channel();
        block_on(async {
            let mut busy = std::pin::pin!(offload(&app, move |_| {
                begun.send(()).expect("the test waits");
                gate.recv().is_ok()
            }));
            assert!(futures_util::poll!(busy.as_mut()).is_pending());
            begins.recv().expect("the worker begins");
            let mut all = Vec::new();
            let mut taken = [0, 0];
            for (place, last) in [(0, 1), (1, 2)] {
                loop {
                    let shared = Arc::clone(&app);
                    let work = async move { offload(&shared, |_| ()).await };
                    let mut work = Box::pin(client::serving(from(last), work));
                    match futures_util::poll!(work.as_mut()) {
                        std::task::Poll::Pending => all.push(work),
                        refused => {
                            assert_eq!(refused, std::task::Poll::Ready(Err(OffloadFailure::Overloaded)));
                            break;
                        }
                    }
                    taken[place] += 1;
                }
            }
            assert_eq!(taken, [4, 2]);
            go.send(()).expect("the worker waits");
            for work in all {
                assert_eq!(work.await, Ok(()));
            }
            assert_eq!(busy.await, Ok(true));
        });
        assert_eq!(app.workers.waiting(), 0);
        assert!(app.workers.queue.state.lock().requests_of.is_empty());
    }

    #[test]
    fn bulk_work_leaves_a_thread_to_the_others() {
        let app = app(2, 8);
        let (go, gate) = mpsc::channel::<()>();
        let (second, order) = mpsc::channel();
        block_on(async {
            let mut first = std::pin::pin!(offload_bulk(&app, move |_| gate.recv().is_ok()));
            assert!(futures_util::poll!(first.as_mut()).is_pending());
            let mut waiting = std::pin::pin!(offload_bulk(&app, move |_| second.send(()).is_ok()));
            assert!(futures_util::poll!(waiting.as_mut()).is_pending());
            for n in 0..20 {
                assert_eq!(offload(&app, move |_| n).await, Ok(n));
            }
            assert!(order.try_recv().is_err(), "a second bulk job took the last thread");
            go.send(()).expect("the first waits");
            assert_eq!(first.await, Ok(true));
            assert_eq!(waiting.await, Ok(true));
        });
    }

    #[test]
    fn work_that_nobody_waits_for_is_not_begun() {
        let app = app(1, 8);
        let (go, gate) = mpsc::channel::<()>();
        let (done, seen) = mpsc::channel();
        block_on(async {
            let mut busy = std::pin::pin!(offload(&app, move |_| gate.recv().is_ok()));
            assert!(futures_util::poll!(busy.as_mut()).is_pending());
            {
                let abandoned = offload(&app, move |_| done.send(()));
                let mut abandoned = std::pin::pin!(abandoned);
                assert!(futures_util::poll!(abandoned.as_mut()).is_pending());
            }
            go.send(()).expect("the worker waits");
            assert_eq!(busy.await, Ok(true));
            assert_eq!(offload(&app, |_| 1).await, Ok(1));
        });
        assert!(seen.try_recv().is_err());
    }
}
