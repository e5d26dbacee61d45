//! Many invocations in one request, read, evaluated and answered one after the other without a
//! tree of the body in between: the fast way of batches.
//!
//! It is taken as far as the body is as expected. Where it is not, what was done is forgotten (an
//! evaluation leaves nothing behind) and the body is read again the long way, in `invoke`, which
//! has the words for what is wrong. A body is refused for its form before it is refused for what
//! its evaluation takes, so a refusal waits here until the rest was read.

use super::invoke::{self, Budget, check_answer, write_invocation, write_result};
use super::problem::{Outcome, Problem};
use crate::app::App;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::json::{Members, Pull};
use std::sync::Arc;
use std::time::Instant;

/// A refusal that ends the request; `None`: read it the long way.
type Stop = Option<Box<Problem>>;

/// What the counters are told once it is certain that all of it counts.
#[derive(Default)]
struct Tally {
    evaluations: u64,
    failures: u64,
    steps: u64,
}

impl Tally {
    fn count(&self, app: &App) {
        app.metrics.evaluated_many(self.evaluations, self.failures, self.steps);
    }
}

/// The answer to `{"rows": [...]}`; `None` leaves it to the long way.
pub(super) fn rows(app: &App, id: SubstrateId, text: &[u8], budget: &Budget) -> Option<Outcome<String>> {
    let limits = app.engine.limits();
    let mut pull = Pull::new(text, limits.json_depth + invoke::ROWS_LEVELS, limits.integer_bits)?;
    let mut top = pull.object()?;
    if pull.key(&mut top)?? != "rows" {
        return None;
    }
    let mut rows = pull.array()?;
    let mut all = Rows {
        app,
        id,
        budget: budget.clone(),
        tally: Tally::default(),
        row: Arc::default(),
        out: String::with_capacity(64 + text.len() / 2),
        errors: String::new(),
    };
    all.out.push_str("{\"results\":[");
    match all.run(&mut pull, &mut rows) {
        Ok(()) => {}
        Err(None) => return None,
        Err(Some(problem)) => {
            while pull.element(&mut rows)? {
                pull.dict(&mut all.row)?;
            }
            is_ended(&mut pull, &mut top)?;
            all.tally.count(app);
            return Some(Err(problem));
        }
    }
    is_ended(&mut pull, &mut top)?;
    all.tally.count(app);
    Some(Ok(invoke::end_rows(all.out, &all.errors)))
}

fn is_ended(pull: &mut Pull<'_>, top: &mut Members) -> Option<()> {
    (pull.key(top)?.is_none() && pull.is_at_end()).then_some(())
}

struct Rows<'a> {
    app: &'a App,
    id: SubstrateId,
    budget: Budget,
    tally: Tally,
    row: Arc<Dict>,
    out: String,
    errors: String,
}

impl Rows<'_> {
    fn run(&mut self, pull: &mut Pull<'_>, rows: &mut Members) -> Result<(), Stop> {
        let mut index = 0;
        while pull.element(rows).ok_or(None)? {
            pull.dict(&mut self.row).ok_or(None)?;
            self.one(index).map_err(Some)?;
            index += 1;
        }
        Ok(())
    }

    fn one(&mut self, index: u64) -> Outcome<()> {
        if index > 0 {
            self.out.push(',');
        }
        self.budget.check()?;
        let outcome = match self.app.engine.evaluate(self.id, &self.row, false) {
            Ok(evaluation) => {
                self.tally.evaluations += 1;
                self.tally.steps += evaluation.cost.steps;
                self.budget.pay(evaluation.cost.steps)?;
                write_result(self.app, self.id, &evaluation.value, &mut self.out)
            }
            Err(error) => {
                self.tally.failures += 1;
                Err(self.budget.failed(self.app, error)?)
            }
        };
        if let Err(problem) = outcome {
            invoke::write_row_error(problem, index, &mut self.out, &mut self.errors);
        }
        check_answer(self.out.len() + self.errors.len())
    }
}

/// The answer to `{"invocations": [...]}`; `None` leaves it to the long way.
pub(super) fn invocations(app: &App, text: &[u8], budget: &Budget) -> Option<Outcome<String>> {
    let limits = app.engine.limits();
    let mut pull = Pull::new(text, limits.json_depth + invoke::INVOCATIONS_LEVELS, limits.integer_bits)?;
    let mut top = pull.object()?;
    if pull.key(&mut top)?? != "invocations" {
        return None;
    }
    let mut items = pull.array()?;
    let mut budget = budget.clone();
    let mut tally = Tally::default();
    let mut parameters = Arc::default();
    let mut out = String::with_capacity(64 + 2 * text.len());
    out.push_str("{\"results\":[");
    let mut refusal = None;
    let mut is_first = true;
    while pull.element(&mut items)? {
        let id = invocation(&mut pull, &mut parameters)?;
        if refusal.is_some() {
            continue;
        }
        if !std::mem::replace(&mut is_first, false) {
            out.push(',');
        }
        refusal = one(app, id, &parameters, &mut budget, &mut tally, &mut out).err();
    }
    is_ended(&mut pull, &mut top)?;
    tally.count(app);
    out.push_str("]}");
    Some(refusal.map_or(Ok(out), Err))
}

/// Reads `{"substrate_id": ..., "parameters": {...}}`.
fn invocation(pull: &mut Pull<'_>, parameters: &mut Arc<Dict>) -> Option<SubstrateId> {
    let mut members = pull.object()?;
    let (mut id, mut has_parameters) = (None, false);
    while let Some(key) = pull.key(&mut members)? {
        match &*key {
            "substrate_id" if id.is_none() => id = Some(SubstrateId::parse(&pull.text()?)?),
            "parameters" if !has_parameters => {
                has_parameters = true;
                pull.dict(parameters)?;
            }
            _ => return None,
        }
    }
    if !has_parameters {
        *parameters = Arc::default();
    }
    id
}

fn one(
    app: &App,
    id: SubstrateId,
    parameters: &Arc<Dict>,
    budget: &mut Budget,
    tally: &mut Tally,
    out: &mut String,
) -> Outcome<()> {
    budget.check()?;
    let before = out.len();
    let started = Instant::now();
    let outcome = match app.engine.evaluate(id, parameters, false) {
        Ok(evaluation) => {
            tally.evaluations += 1;
            tally.steps += evaluation.cost.steps;
            budget.pay(evaluation.cost.steps)?;
            write_invocation(app, id, &evaluation, started.elapsed(), out)
        }
        Err(error) => {
            tally.failures += 1;
            Err(budget.failed(app, error)?)
        }
    };
    if let Err(problem) = outcome {
        out.truncate(before);
        problem.write(None, out);
    }
    check_answer(out.len())
}
