//! Where work runs: short evaluations on the network thread that asked, everything else on a few
//! threads of its own with bounded stacks and a bounded queue. A full queue answers at once.

use crate::app::App;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::Evaluation;
use butterflyfx_formula::dict::Dict;
use parking_lot::{Condvar, Mutex};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use tokio::sync::oneshot;

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

/// Evaluates a substrate: on this thread where the formula is short by its form, else on a worker.
///
/// # Errors
/// The engine's refusal; a full queue; a panic.
pub async fn evaluate(
    app: &Arc<App>,
    id: SubstrateId,
    parameters: Arc<Dict>,
    explain: bool,
) -> Result<Evaluation, EvaluateFailure> {
    let outcome = if app.engine.is_short(id)? {
        app.engine.evaluate(id, &parameters, explain)
    } else {
        offload(app, move |app| app.engine.evaluate(id, &parameters, explain)).await?
    };
    match &outcome {
        Ok(evaluation) => app.metrics.evaluated(evaluation.cost.steps),
        Err(_) => app.metrics.evaluation_failed(),
    }
    Ok(outcome?)
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
    let job = Box::new(move || {
        if !answer.is_closed() {
            // The asker may have gone away meanwhile; then nobody wants the answer.
            let _ = answer.send(work(&shared));
        }
    });
    let accepted = app.workers.submit(lane, job);
    if !accepted {
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

type Job = Box<dyn FnOnce() + Send>;

/// Where a job waits.
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
    jobs_max: usize,
    threads_max: usize,
}

#[derive(Default)]
struct QueueState {
    jobs: VecDeque<Job>,
    bulk: VecDeque<Job>,
    /// Threads that run a bulk job.
    bulk_running: usize,
    threads: usize,
    idle: usize,
    closed: bool,
}

impl QueueState {
    fn waiting(&self) -> usize {
        self.jobs.len() + self.bulk.len()
    }

    /// The next job that may run: ordinary ones first, bulk ones on at most `bulk_max` threads.
    fn next(&mut self, bulk_max: usize) -> Option<(Lane, Job)> {
        if let Some(job) = self.jobs.pop_front() {
            return Some((Lane::Ordinary, job));
        }
        if self.bulk_running >= bulk_max {
            return None;
        }
        let job = self.bulk.pop_front()?;
        self.bulk_running += 1;
        Some((Lane::Bulk, job))
    }
}

impl std::fmt::Debug for Queue {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Queue").field("jobs_max", &self.jobs_max).finish_non_exhaustive()
    }
}

impl Workers {
    /// At most `threads_max` threads, started as they are needed, and `jobs_max` waiting jobs.
    pub(crate) fn new(threads_max: usize, jobs_max: usize) -> Workers {
        Workers {
            queue: Arc::new(Queue {
                state: Mutex::default(),
                wake: Condvar::new(),
                jobs_max,
                threads_max: threads_max.max(1),
            }),
        }
    }

    /// Jobs that wait for a thread.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.state.lock().waiting()
    }

    /// Takes a job unless the queue is full.
    fn submit(&self, lane: Lane, job: Job) -> bool {
        let mut state = self.queue.state.lock();
        if state.waiting() >= self.queue.jobs_max {
            return false;
        }
        if state.idle <= state.waiting() && state.threads < self.queue.threads_max {
            let queue = Arc::clone(&self.queue);
            let started = std::thread::Builder::new()
                .name("butterflyfx-work".to_owned())
                .stack_size(STACK_BYTES)
                .spawn(move || queue.serve());
            match started {
                Ok(_) => state.threads += 1,
                // With no thread at all nobody would ever take the job.
                Err(error) if state.threads == 0 => {
                    tracing::error!(%error, "cannot start a worker thread");
                    return false;
                }
                Err(error) => tracing::warn!(%error, "cannot start another worker thread"),
            }
        }
        match lane {
            Lane::Ordinary => state.jobs.push_back(job),
            Lane::Bulk => state.bulk.push_back(job),
        }
        drop(state);
        self.queue.wake.notify_one();
        true
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        let mut state = self.queue.state.lock();
        state.closed = true;
        // Jobs hold the app, which holds these workers: none can be waiting here, but be sure.
        state.jobs.clear();
        state.bulk.clear();
        drop(state);
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
            if let Some((lane, job)) = state.next(bulk_max) {
                drop(state);
                // The panic hook has logged it; the asker sees its channel closed.
                let _ = catch_unwind(AssertUnwindSafe(job));
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
