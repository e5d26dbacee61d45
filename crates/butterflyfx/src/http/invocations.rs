//! Many invocations of many substrates in one request: read, looked up, evaluated and answered a few at a time, without
//! a tree of the body in between. As in `rows`, what is not as expected is left to the long way in `invoke`.
//!
//! A few together, because their look-ups in a large graph then run side by side. Plain results wait until all of the
//! few are evaluated, so that one look at the clock ends an evaluation and begins the next.

use super::budget::{Budget, Tally, check_answer};
use super::problem::{Outcome, Problem};
use super::rows::{count, is_ended};
use super::written::write_invocation;
use crate::app::App;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::together::{TOGETHER, Together};
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::json::Pull;
use butterflyfx_formula::meter::Cost;
use butterflyfx_formula::value::Value;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Levels that stand around the parameters.
pub(super) const INVOCATIONS_LEVELS: usize = 3;

/// The answer to `{"invocations": [...]}`; `None` leaves it to the long way.
pub(super) fn invocations(app: &App, text: &[u8], budget: &Budget) -> Option<Outcome<String>> {
    if budget.is_watched() {
        budget.set_total(count(app, text, INVOCATIONS_LEVELS, "invocations")?);
    }
    let limits = app.engine.limits();
    let mut pull = Pull::new(text, limits.json_depth + INVOCATIONS_LEVELS, limits.integer_bits)?;
    let mut top = pull.object()?;
    if pull.key(&mut top)?? != "invocations" {
        return None;
    }
    let mut items = pull.array()?;
    let mut all = Invocations {
        app,
        budget: budget.clone(),
        together: app.engine.together(budget.interrupt()),
        ids: Vec::new(),
        parameters: Vec::new(),
        waiting: Vec::new(),
        tally: Tally::default(),
        out: String::with_capacity(64 + 2 * text.len()),
    };
    all.out.push_str("{\"results\":[");
    // A body is refused for its form before it is refused for what its evaluation takes.
    let mut refusal = None;
    while pull.element(&mut items)? {
        all.read(&mut pull)?;
        if all.ids.len() == TOGETHER {
            all.evaluate(&mut refusal);
        }
    }
    is_ended(&mut pull, &mut top)?;
    all.evaluate(&mut refusal);
    all.budget.count(app, &all.tally);
    let mut out = all.out;
    out.push_str("]}");
    Some(refusal.map_or(Ok(out), Err))
}

/// The invocations of one request on their way.
struct Invocations<'a> {
    app: &'a App,
    budget: Budget,
    together: Together<'a>,
    /// Those that were read and not evaluated yet.
    ids: Vec<SubstrateId>,
    /// Their parameters, in dicts that are used again and again.
    parameters: Vec<Arc<Dict>>,
    /// Those that were evaluated and not written yet.
    waiting: Vec<Evaluated>,
    tally: Tally,
    out: String,
}

/// A plain result: no str, no list, nothing that takes memory.
struct Evaluated {
    id: SubstrateId,
    value: Value,
    cost: Cost,
    elapsed: Duration,
}

impl Invocations<'_> {
    /// Reads `{"substrate_id": ..., "parameters": {...}}`.
    fn read(&mut self, pull: &mut Pull<'_>) -> Option<()> {
        let at = self.ids.len();
        if at == self.parameters.len() {
            self.parameters.push(Arc::default());
        }
        let parameters = self.parameters.get_mut(at)?;
        let mut members = pull.object()?;
        let (mut id, mut has_parameters) = (None, false);
        while let Some(member) = pull.member(&mut members, ["substrate_id", "parameters"])? {
            match member {
                0 if id.is_none() => id = Some(SubstrateId::parse(&pull.text()?)?),
                1 if !has_parameters => {
                    has_parameters = true;
                    pull.dict(parameters)?;
                }
                _ => return None,
            }
        }
        if !has_parameters {
            *parameters = Arc::default();
        }
        self.ids.push(id?);
        Some(())
    }

    /// Evaluates what was read, up to a refusal.
    fn evaluate(&mut self, refusal: &mut Option<Box<Problem>>) {
        if refusal.is_none() {
            self.together.look_up(&self.ids);
            let mut began = Instant::now();
            *refusal = (0..self.ids.len()).try_for_each(|at| self.evaluate_one(at, &mut began)).err();
            self.write_waiting();
            if refusal.is_none() {
                *refusal = check_answer(self.out.len()).err();
            }
        }
        self.ids.clear();
    }

    /// Evaluates one, which began when the one before it had ended.
    fn evaluate_one(&mut self, at: usize, began: &mut Instant) -> Outcome<()> {
        let (Some(&id), Some(parameters)) = (self.ids.get(at), self.parameters.get(at)) else {
            return Ok(());
        };
        self.budget.check()?;
        let outcome = self.together.evaluate(at, parameters);
        let ended = Instant::now();
        let elapsed = ended - *began;
        *began = ended;
        match outcome {
            Ok((value, cost)) => {
                self.tally.evaluations += 1;
                self.tally.steps += cost.steps;
                self.budget.pay(cost.steps)?;
                let evaluated = Evaluated { id, value, cost, elapsed };
                if matches!(evaluated.value, Value::None | Value::Bool(_) | Value::Int(_) | Value::Float(_)) {
                    self.waiting.push(evaluated);
                } else {
                    self.write_waiting();
                    self.write(&evaluated);
                    *began = Instant::now();
                }
            }
            Err(error) => {
                self.write_waiting();
                self.fail(error)?;
                *began = Instant::now();
            }
        }
        self.budget.advance();
        check_answer(self.out.len())
    }

    fn write_waiting(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        waiting.drain(..).for_each(|one| self.write(&one));
        self.waiting = waiting;
    }

    fn separate(&mut self) {
        if !self.out.ends_with('[') {
            self.out.push(',');
        }
    }

    fn write(&mut self, Evaluated { id, value, cost, elapsed }: &Evaluated) {
        self.separate();
        let before = self.out.len();
        if let Err(problem) = write_invocation(self.app, *id, value, *cost, *elapsed, &mut self.out) {
            self.out.truncate(before);
            problem.write(None, &mut self.out);
        }
    }

    /// Pays for one that failed, and writes its problem.
    fn fail(&mut self, error: EngineError) -> Outcome<()> {
        self.tally.failures += 1;
        let problem = self.budget.failed(self.app, error)?;
        self.separate();
        problem.write(None, &mut self.out);
        Ok(())
    }
}
