//! What one request with many evaluations may use, and what tells it that nobody waits for it any more.

use super::problem::{Code, ERRORS_MAX, Outcome, Problem};
use crate::app::App;
use crate::evaluation::StopOnDrop;
use crate::jobs::Ticket;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::Evaluation;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::meter::Interrupt;
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// All evaluations of one request may take so many times the steps of one: some ten seconds of a
/// worker.
const BATCH_STEPS_FACTOR: u64 = 500;

/// Steps of a batch that is tried among single invocations: about what one of them may take.
const BRIEF_STEPS: u64 = 100_000;

/// Bytes of one answer with many results.
const BATCH_ANSWER_BYTES_MAX: usize = 64 * 1024 * 1024;

/// What the counters are told.
#[derive(Debug, Default)]
pub(super) struct Tally {
    pub(super) evaluations: u64,
    pub(super) failures: u64,
    pub(super) steps: u64,
}

impl Tally {
    /// Tells the counters.
    pub(super) fn tell(&self, app: &App) {
        app.metrics.evaluated_many(self.evaluations, self.failures, self.steps);
    }
}

/// What one request with many evaluations may still use.
#[derive(Clone)]
pub(super) struct Budget {
    steps_max: u64,
    steps: u64,
    cancelled: Arc<AtomicBool>,
    /// Where it is given up if it turns out long: what is to be counted if it does not.
    brief: Option<Arc<Mutex<Tally>>>,
    /// Evaluations done, and who is told of it.
    done: u64,
    ticket: Option<Arc<Ticket>>,
}

impl Budget {
    /// For a request, and what tells the worker that nobody waits any more.
    pub(super) fn new(app: &App) -> (Budget, StopOnDrop) {
        let stop = StopOnDrop::default();
        (Budget::until(app, stop.flag(), None), stop)
    }

    /// For a job.
    pub(super) fn of_job(app: &App, ticket: &Arc<Ticket>) -> Budget {
        Budget::until(app, ticket.stop_flag(), Some(Arc::clone(ticket)))
    }

    fn until(app: &App, cancelled: Arc<AtomicBool>, ticket: Option<Arc<Ticket>>) -> Budget {
        let steps_max = app.engine.limits().steps.saturating_mul(BATCH_STEPS_FACTOR);
        Budget { steps_max, steps: steps_max, cancelled, brief: None, done: 0, ticket }
    }

    /// For a first try, which [`Budget::is_given_up`] where it turns out long.
    pub(super) fn brief(&self) -> Budget {
        Budget { steps: BRIEF_STEPS, brief: Some(Arc::default()), ..self.clone() }
    }

    /// Counts what was evaluated; of a first try only when it is [`Budget::settle`]d.
    pub(super) fn count(&self, app: &App, tally: &Tally) {
        let Some(brief) = &self.brief else { return tally.tell(app) };
        let mut all = brief.lock();
        all.evaluations += tally.evaluations;
        all.failures += tally.failures;
        all.steps += tally.steps;
    }

    /// Counts what a first try evaluated: it was not in vain.
    pub(super) fn settle(&self, app: &App) {
        if let Some(brief) = &self.brief {
            std::mem::take(&mut *brief.lock()).tell(app);
        }
    }

    /// Whether what was tried briefly is to be begun again, with all that it may use.
    pub(super) fn is_given_up<T>(outcome: &Outcome<T>) -> bool {
        matches!(outcome, Err(problem) if problem.code == Code::Overloaded)
    }

    /// What ends an evaluation when nobody waits any more, or it turns out long.
    pub(super) fn interrupt(&self) -> Interrupt {
        if self.brief.is_some() { Interrupt::WhenLong } else { Interrupt::When(Arc::clone(&self.cancelled)) }
    }

    /// Tells how many evaluations there are.
    pub(super) fn set_total(&self, total: usize) {
        if let Some(ticket) = &self.ticket {
            ticket.set_total(total as u64);
        }
    }

    /// Whether somebody is told how far it is.
    pub(super) fn is_watched(&self) -> bool {
        self.ticket.is_some()
    }

    /// One more is done.
    pub(super) fn advance(&mut self) {
        self.done += 1;
        if let Some(ticket) = &self.ticket {
            ticket.set_done(self.done);
        }
    }

    #[cfg(test)]
    pub(super) fn limit_to(&mut self, steps: u64) {
        self.steps = steps;
        self.cancelled = Arc::default();
    }

    /// Evaluates within the budget. The outer refusal ends the request, the inner one is an item's.
    pub(super) fn evaluate(
        &mut self,
        app: &App,
        id: SubstrateId,
        parameters: &Arc<Dict>,
    ) -> Outcome<Outcome<Evaluation>> {
        self.check()?;
        match app.engine.evaluate_until(id, parameters, false, self.interrupt()) {
            Ok(evaluation) => {
                let steps = evaluation.cost.steps;
                self.count(app, &Tally { evaluations: 1, failures: 0, steps });
                self.pay(steps)?;
                Ok(Ok(evaluation))
            }
            Err(error) => {
                self.count(app, &Tally { evaluations: 0, failures: 1, steps: 0 });
                Ok(Err(self.failed(app, error)?))
            }
        }
    }

    /// Refuses to go on where nobody waits.
    pub(super) fn check(&self) -> Outcome<()> {
        if self.cancelled.load(Ordering::Relaxed) { Err(Budget::unwanted()) } else { Ok(()) }
    }

    #[cold]
    fn unwanted() -> Box<Problem> {
        Problem::new(Code::Overloaded, "nobody waits for the answer any more")
    }

    /// Pays for an evaluation that failed; gives back the item's problem.
    pub(super) fn failed(&mut self, app: &App, error: EngineError) -> Outcome<Box<Problem>> {
        if error.is_interrupted() {
            return Err(Budget::unwanted());
        }
        // What a failed evaluation took is not told; a budget that ran out took all of it.
        let mut problem = Box::<Problem>::from(error);
        self.pay(if problem.code == Code::LimitExceeded {
            app.engine.limits().steps
        } else {
            // A long cycle took long to walk around.
            1_000 + 8 * problem.errors.len() as u64
        })?;
        // Whoever asks for many at once is told of a cycle's beginning many times.
        problem.errors.truncate(ERRORS_MAX);
        Ok(problem)
    }

    /// Pays for steps.
    pub(super) fn pay(&mut self, steps: u64) -> Outcome<()> {
        self.steps = self.left_after(steps)?;
        Ok(())
    }

    /// What would be left after so many steps.
    pub(super) fn left_after(&self, steps: u64) -> Outcome<u64> {
        match self.steps.checked_sub(steps) {
            Some(left) => Ok(left),
            None if self.brief.is_some() => Err(Budget::unwanted()),
            None => Err(Problem::limit(
                "batch_steps",
                format!(
                    "the evaluations of one request may take {} steps together; send fewer at a time",
                    self.steps_max
                ),
            )),
        }
    }
}

/// Bounds the answer.
pub(super) fn check_answer(bytes: usize) -> Outcome<()> {
    if bytes > BATCH_ANSWER_BYTES_MAX {
        return Err(Problem::limit(
            "batch_result_size",
            format!("the answer would have more than {BATCH_ANSWER_BYTES_MAX} bytes; send fewer at a time"),
        ));
    }
    Ok(())
}
