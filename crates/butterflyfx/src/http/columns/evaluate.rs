//! Evaluates pieces of tables: as machine code or by the interpreter where the formula stands for itself, else row by row
//! through the engine, which collects what flows in.

use super::sink::Sink;
use super::table::Piece;
use crate::app::App;
use crate::http::budget::{Budget, Tally};
use crate::http::problem::{Outcome, Problem, clip, of_raise};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::error::{Raise, RaiseKind};
use butterflyfx_formula::formula::Formula;
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::text::Text;
use butterflyfx_jit::columns::{Column, ColumnEvaluation, Results, Stint};
use butterflyfx_jit::tier::Tiered;
use std::ops::Range;
use std::sync::Arc;

/// Rows between two looks at whether anybody still waits, where they run as machine code.
const SLICE_ROWS: usize = 4_096;

/// What the interpreter does between two looks, and the most that it keeps.
const STINT: Stint = Stint { steps: 1_000_000, bytes: 1024 * 1024 };

/// A piece of which so much was written has a break before its end.
const WRITTEN_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Evaluates one substrate over many rows.
pub(super) struct Evaluator {
    app: Arc<App>,
    id: SubstrateId,
    formula: Option<Tiered>,
    /// Whether columns and parameters were compared; all tables of a stream have the same columns.
    is_checked: bool,
    vm: Interpreter,
    results: Results,
}

impl Evaluator {
    pub(super) fn new(app: &Arc<App>, id: SubstrateId) -> Evaluator {
        Evaluator {
            // What is wrong with the substrate each row is told.
            formula: app.engine.unbound_formula(id).unwrap_or_default(),
            is_checked: false,
            vm: Interpreter::new(app.engine.limits()),
            results: Results::default(),
            app: Arc::clone(app),
            id,
        }
    }

    /// Evaluates the rows of a piece, and gives how many of them: there is a break where they give much. So many rows are
    /// known of, this piece's and others.
    pub(super) fn piece(
        &mut self,
        piece: &Piece<'_>,
        rows: usize,
        known: u64,
        sink: &mut Sink,
        budget: &mut Budget,
    ) -> Outcome<usize> {
        let columns = piece.columns();
        let Some(formula) = &mut self.formula else {
            return by_engine(&self.app, self.id, &columns, rows, sink, budget);
        };
        if !self.is_checked {
            check_columns(formula.formula(), &columns, self.id)?;
            self.is_checked = true;
        }
        let known = usize::try_from(known).unwrap_or(usize::MAX);
        let evaluation = ColumnEvaluation::new(formula, &columns, known);
        let mut run = Run {
            app: &self.app,
            id: self.id,
            evaluation,
            vm: &mut self.vm,
            results: &mut self.results,
            tally: Tally::default(),
        };
        let outcome = run.all(rows, sink, budget);
        run.tally.tell(&self.app);
        outcome
    }
}

/// Parameters that a refusal names.
const NAMED_MAX: usize = 20;

/// Refuses a column that the formula does not take, and a parameter that no column is for: each of a million rows would
/// fail for the same reason.
fn check_columns(formula: &Formula, columns: &[Column<'_>], id: SubstrateId) -> Outcome<()> {
    let template = &formula.template;
    let names = template.parameters();
    let is_column = |name: &str| columns.iter().any(|column| column.name == name);
    let refuse = |kind: RaiseKind, what: String| {
        let named: Vec<&str> = names.iter().take(NAMED_MAX).map(|name| &**name).collect();
        let takes = match named.join(", ") {
            none if none.is_empty() => "no parameters".to_owned(),
            named if names.len() > NAMED_MAX => format!("{named} and others"),
            named => named,
        };
        let message = format!("{what}; the formula takes {takes}");
        Err(of_raise(Raise { kind, message, at: None }, id, None))
    };
    let is_taken = |column: &&Column<'_>| names.iter().any(|name| **name == *column.name);
    if !template.accepts_any()
        && let Some(Column { name, .. }) = columns.iter().find(|column| !is_taken(column))
    {
        let shown = clip(name, 64);
        let what = format!(
            "the table has a column {shown:?}, which is no parameter: leave it out, or name it as one"
        );
        return refuse(RaiseKind::UnexpectedParameter((*name).to_owned()), what);
    }
    let is_missing = |(at, name): &(usize, &Arc<str>)| !template.has_default(*at) && !is_column(name);
    if let Some((_, name)) = names.iter().enumerate().find(is_missing) {
        let what = format!("the table has no column \"{name}\", which is a parameter without a default");
        return refuse(RaiseKind::MissingParameter(name.to_string()), what);
    }
    Ok(())
}

/// A piece that is being evaluated.
struct Run<'a> {
    app: &'a App,
    id: SubstrateId,
    evaluation: ColumnEvaluation<'a>,
    vm: &'a mut Interpreter,
    results: &'a mut Results,
    tally: Tally,
}

impl Run<'_> {
    fn all(&mut self, rows: usize, sink: &mut Sink, budget: &mut Budget) -> Outcome<usize> {
        for from in (0..rows).step_by(SLICE_ROWS) {
            let slice = from..rows.min(from + SLICE_ROWS);
            budget.check()?;
            self.evaluation.compute(slice.clone(), self.results);
            self.tally.steps += self.results.steps;
            budget.pay(self.results.steps)?;
            let mut done = 0;
            while done < slice.len() {
                budget.check()?;
                let before = self.results.steps;
                let failed_before = self.results.steps_failed;
                let to = self.evaluation.interpret(self.vm, slice.clone(), done, STINT, self.results);
                let steps = self.results.steps - before;
                self.tally.steps += steps;
                budget.pay(steps + self.results.steps_failed - failed_before)?;
                self.emit(done..to, sink)?;
                done = to;
                if sink.bytes() > WRITTEN_BYTES_MAX {
                    return Ok(from + done);
                }
            }
        }
        Ok(rows)
    }

    /// Hands on what some rows of a slice gave, and forgets what was kept of them.
    fn emit(&mut self, rows: Range<usize>, sink: &mut Sink) -> Outcome<()> {
        let results = &mut *self.results;
        let (others, errors) = (std::mem::take(&mut results.others), std::mem::take(&mut results.errors));
        self.tally.failures += errors.len() as u64;
        self.tally.evaluations += (rows.len() - errors.len()) as u64;
        let (mut others, mut errors) = (others.into_iter().peekable(), errors.into_iter().peekable());
        let mut at = rows.start;
        while at < rows.end {
            let other = others.peek().map_or(rows.end, |(row, _)| *row);
            let error = errors.peek().map_or(rows.end, |(row, _)| *row);
            let until = other.min(error);
            sink.plain(&results.kinds[at..until], &results.payloads[at..until])?;
            at = until + 1;
            if let Some((_, value)) = others.next_if(|(row, _)| *row == until) {
                sink.value(&value)?;
            } else if let Some((_, raise)) = errors.next_if(|(row, _)| *row == until) {
                let problem = problem_of(self.app, self.id, self.evaluation.formula(), raise, sink);
                sink.failed(problem)?;
            }
        }
        Ok(())
    }
}

/// The problem of a row. Where in the formula it was raised takes the text to be read again, for those who are told.
fn problem_of(app: &App, id: SubstrateId, formula: &Formula, raise: Box<Raise>, sink: &Sink) -> Box<Problem> {
    if sink.tells_problems() {
        app.engine.stopped(id, formula, raise).into()
    } else {
        of_raise(*raise, id, None)
    }
}

fn parameters(columns: &[Column<'_>], row: usize) -> Dict {
    let mut parameters = Dict::new();
    for column in columns {
        parameters.insert_str(Text::from(column.name), column.value(row));
    }
    parameters
}

/// Rows of a substrate with inputs that flow in.
fn by_engine(
    app: &App,
    id: SubstrateId,
    columns: &[Column<'_>],
    rows: usize,
    sink: &mut Sink,
    budget: &mut Budget,
) -> Outcome<usize> {
    for row in 0..rows {
        match budget.evaluate(app, id, &Arc::new(parameters(columns, row)))? {
            Ok(evaluation) => sink.value(&evaluation.value)?,
            Err(problem) => sink.failed(problem)?,
        }
        if sink.bytes() > WRITTEN_BYTES_MAX {
            return Ok(row + 1);
        }
    }
    Ok(rows)
}
