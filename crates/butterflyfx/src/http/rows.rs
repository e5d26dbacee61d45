//! Many invocations in one request, read, evaluated and answered one after the other without a
//! tree of the body in between: the fast way of batches.
//!
//! It is taken as far as the body is as expected. Where it is not, what was done is forgotten (an
//! evaluation leaves nothing behind) and the body is read again the long way, in `invoke`, which
//! has the words for what is wrong. A body is refused for its form before it is refused for what
//! its evaluation takes, so a refusal waits here until the rest was read.

use super::budget::{Budget, Tally, check_answer};
use super::on_error::OnError;
use super::problem::{Outcome, Problem};
use super::written::write_result;
use crate::app::App;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::Evaluation;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::formula::Binding;
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::json::{Members, Pull};
use butterflyfx_formula::value::Value;
use butterflyfx_jit::columns::{FAILED, Results};
use butterflyfx_jit::tier::Tiered;
use std::sync::Arc;

/// Levels that stand around the parameters.
pub(super) const ROWS_LEVELS: usize = 2;

/// A refusal that ends the request; `None`: read it the long way.
type Stop = Option<Box<Problem>>;

/// The answer to `{"rows": [...]}`; `None` leaves it to the long way.
pub(super) fn rows(
    app: &App,
    id: SubstrateId,
    text: &[u8],
    budget: &Budget,
    on_error: OnError,
) -> Option<Outcome<String>> {
    if budget.is_watched() {
        budget.set_total(count(app, text, ROWS_LEVELS, "rows")?);
    }
    let limits = app.engine.limits();
    let mut pull = Pull::new(text, limits.json_depth + ROWS_LEVELS, limits.integer_bits)?;
    let mut top = pull.object()?;
    if pull.key(&mut top)?? != "rows" {
        return None;
    }
    let mut rows = pull.array()?;
    let mut all = Rows::new(app, id, budget.clone(), on_error, text.len() / 2);
    match all.read(&mut pull, &mut rows) {
        Ok(()) => {}
        Err(None) => return None,
        Err(Some(problem)) => {
            let mut rest = Arc::default();
            while pull.element(&mut rows)? {
                pull.dict(&mut rest)?;
            }
            is_ended(&mut pull, &mut top)?;
            all.count();
            return Some(Err(problem));
        }
    }
    is_ended(&mut pull, &mut top)?;
    Some(Ok(all.finish()))
}

/// How many objects the one array of the body has: a pass of its own, for those who watch how far it is.
pub(super) fn count(app: &App, text: &[u8], levels: usize, name: &str) -> Option<usize> {
    let limits = app.engine.limits();
    let mut pull = Pull::new(text, limits.json_depth + levels, limits.integer_bits)?;
    let mut top = pull.object()?;
    if pull.key(&mut top)?? != name {
        return None;
    }
    let mut items = pull.array()?;
    let mut item = Arc::default();
    let mut count = 0;
    while pull.element(&mut items)? {
        pull.dict(&mut item)?;
        count += 1;
    }
    is_ended(&mut pull, &mut top)?;
    Some(count)
}

pub(super) fn is_ended(pull: &mut Pull<'_>, top: &mut Members) -> Option<()> {
    (pull.key(top)?.is_none() && pull.is_at_end()).then_some(())
}

/// Evaluates the rows of one request, one after the other, and writes what they give.
pub(super) struct Rows<'a> {
    app: &'a App,
    id: SubstrateId,
    /// The formula, where it stands for itself; else the engine collects what flows in each time.
    formula: Option<Tiered>,
    /// Where its parameters stand in rows like the last; looked for once two rows are alike.
    binding: Option<Option<Binding>>,
    vm: Interpreter,
    budget: Budget,
    on_error: OnError,
    tally: Tally,
    index: u64,
    out: String,
    errors: String,
}

impl<'a> Rows<'a> {
    pub(super) fn new(
        app: &'a App,
        id: SubstrateId,
        budget: Budget,
        on_error: OnError,
        bytes: usize,
    ) -> Rows<'a> {
        let mut out = String::with_capacity(64 + bytes);
        out.push_str("{\"results\":[");
        let mut vm = Interpreter::new(app.engine.limits());
        vm.meter.set_interrupt(budget.interrupt());
        Rows {
            app,
            id,
            // What is wrong with the substrate each row is told.
            formula: app.engine.unbound_formula(id).unwrap_or_default(),
            binding: None,
            vm,
            budget,
            on_error,
            tally: Tally::default(),
            index: 0,
            out,
            errors: String::new(),
        }
    }

    /// The formula that all rows are evaluated with, where it stands for itself.
    pub(super) fn formula(&self) -> Option<Tiered> {
        self.formula.clone()
    }

    fn read(&mut self, pull: &mut Pull<'_>, rows: &mut Members) -> Result<(), Stop> {
        let mut row = Arc::default();
        while pull.element(rows).ok_or(None)? {
            let is_same = pull.dict(&mut row).ok_or(None)?;
            self.row(&row, is_same).map_err(Some)?;
        }
        Ok(())
    }

    /// Evaluates a row; `is_same` where its names are those of the row before, in the same order.
    /// A refusal ends the request.
    pub(super) fn row(&mut self, row: &Arc<Dict>, is_same: bool) -> Outcome<()> {
        self.budget.check()?;
        self.separate();
        if !is_same {
            self.binding = None;
        }
        let outcome = match self.evaluate(row, is_same) {
            Ok(evaluation) => {
                self.tally.evaluations += 1;
                self.tally.steps += evaluation.cost.steps;
                self.budget.pay(evaluation.cost.steps)?;
                write_result(self.app, self.id, &evaluation.value, &mut self.out)
            }
            Err(error) => Err(self.problem_of(error)?),
        };
        self.end_row(outcome)
    }

    /// Writes why a row failed.
    fn failed(&mut self, error: EngineError) -> Outcome<()> {
        self.budget.check()?;
        self.separate();
        let problem = self.problem_of(error)?;
        self.end_row(Err(problem))
    }

    fn problem_of(&mut self, error: EngineError) -> Outcome<Box<Problem>> {
        self.tally.failures += 1;
        self.budget.failed(self.app, error)
    }

    /// Takes rows that were evaluated together with the formula of these; what was not is evaluated now.
    pub(super) fn evaluated(
        &mut self,
        results: &mut Results,
        mut row_of: impl FnMut(usize) -> Arc<Dict>,
    ) -> Outcome<()> {
        self.budget.pay(results.steps)?;
        self.tally.steps += results.steps;
        let mut errors = std::mem::take(&mut results.errors).into_iter().peekable();
        for (at, &kind) in results.kinds.iter().enumerate() {
            if kind == FAILED {
                match (&self.formula, errors.next_if(|(row, _)| *row == at)) {
                    (Some(formula), Some((_, raise))) => {
                        let error = self.app.engine.stopped(self.id, formula.formula(), raise);
                        self.failed(error)?;
                    }
                    _ => self.row(&row_of(at), false)?,
                }
                continue;
            }
            self.separate();
            self.tally.evaluations += 1;
            let value = results.value(at).unwrap_or(Value::None);
            let outcome = write_result(self.app, self.id, &value, &mut self.out);
            self.end_row(outcome)?;
        }
        Ok(())
    }

    /// Refuses to go on where nobody waits, or what was found already takes more than there is.
    pub(super) fn check(&self, found: &Results) -> Outcome<()> {
        self.budget.check()?;
        self.budget.left_after(found.steps + found.steps_failed).map(|_| ())
    }

    /// Writes a problem in a row's place.
    pub(super) fn bad_row(&mut self, problem: Box<Problem>) -> Outcome<()> {
        self.separate();
        self.end_row(Err(problem))
    }

    fn separate(&mut self) {
        if self.index > 0 {
            self.out.push(',');
        }
    }

    fn end_row(&mut self, outcome: Outcome<()>) -> Outcome<()> {
        if let Err(problem) = outcome {
            self.out.push_str("null");
            match self.on_error {
                OnError::Fail => return Err(problem.ends_at_row(self.index)),
                OnError::Null => {}
                OnError::Report => {
                    if !self.errors.is_empty() {
                        self.errors.push(',');
                    }
                    problem.with_number("row", self.index).write(None, &mut self.errors);
                }
            }
        }
        self.index += 1;
        self.budget.advance();
        check_answer(self.out.len() + self.errors.len())
    }

    fn evaluate(&mut self, row: &Arc<Dict>, is_same: bool) -> Result<Evaluation, EngineError> {
        if let Some(formula) = &mut self.formula {
            if is_same && self.binding.is_none() {
                self.binding = Some(formula.formula().bind(row));
            }
            self.vm.meter.reset();
            let value = match &self.binding {
                Some(Some(binding)) => formula.evaluate_bound(&mut self.vm, row, binding),
                _ => formula.evaluate(&mut self.vm, row),
            };
            // Of this formula, whatever the substrate has become meanwhile: one answer is of one formula.
            return match value {
                Ok(value) => {
                    let cost = self.vm.meter.cost();
                    Ok(Evaluation { value, cost, inputs: None, edition: None })
                }
                Err(raise) => Err(self.app.engine.stopped(self.id, formula.formula(), raise)),
            };
        }
        self.app.engine.evaluate_until(self.id, row, false, self.budget.interrupt())
    }

    /// Tells the counters of what was evaluated.
    pub(super) fn count(&self) {
        self.budget.count(self.app, &self.tally);
    }

    /// The answer.
    pub(super) fn finish(self) -> String {
        self.count();
        let mut out = self.out;
        out.push(']');
        if !self.errors.is_empty() {
            out.push_str(",\"errors\":[");
            out.push_str(&self.errors);
            out.push(']');
        }
        out.push('}');
        out
    }
}
