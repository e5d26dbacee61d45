//! One formula over columns that come as JSON: read into columns, evaluated piece by piece as machine code, written at once.
//!
//! As in `rows`, it is taken as far as the body is as expected; where it is not, the body is read again the long way, which has the
//! words for what is wrong.

use super::budget::Budget;
use super::on_error::OnError;
use super::problem::Outcome;
use super::rows::{ROWS_LEVELS, Rows, is_ended};
use crate::app::App;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::json::{self, Pull};
use butterflyfx_formula::text::Text;
use butterflyfx_jit::code::Payloads;
use butterflyfx_jit::columns::{Column, ColumnEvaluation, Results, Stint, Values};
use std::borrow::Cow;
use std::sync::Arc;

/// Rows that are evaluated before their results are written: they stay in the processor's caches.
const PIECE_ROWS: usize = 1_024;

/// What the interpreter does of a piece before it looks whether it may go on.
const STINT: Stint = Stint { steps: 100_000, bytes: 1024 * 1024 };

/// The answer to `{"columns": {...}}`; `None` leaves it to the long way.
pub(super) fn columns(
    app: &App,
    id: SubstrateId,
    text: &[u8],
    budget: &Budget,
    on_error: OnError,
) -> Option<Outcome<String>> {
    let limits = app.engine.limits();
    let mut pull = Pull::new(text, limits.json_depth + ROWS_LEVELS, limits.integer_bits)?;
    let mut top = pull.object()?;
    if pull.key(&mut top)?? != "columns" {
        return None;
    }
    let mut members = pull.object()?;
    let mut read: Vec<(Cow<'_, str>, json::Column)> = Vec::new();
    while let Some(name) = pull.key(&mut members)? {
        let column = pull.column()?;
        let is_alike = read.first().is_none_or(|(_, first)| first.len() == column.len());
        if !is_alike || read.iter().any(|(other, _)| *other == name) {
            return None;
        }
        read.push((name, column));
    }
    is_ended(&mut pull, &mut top)?;
    let count = read.first().map_or(0, |(_, column)| column.len());
    let given: Vec<Column<'_>> = read
        .iter()
        .map(|(name, column)| Column { name, values: values(&column.values), is_null: &column.is_null })
        .collect();
    let mut all = Rows::new(app, id, budget.clone(), on_error, 16 * count);
    let mut formula = all.formula()?;
    let mut evaluation = ColumnEvaluation::new(&mut formula, &given, count);
    let mut vm = Interpreter::new(limits);
    vm.meter.set_interrupt(budget.interrupt());
    budget.set_total(count);
    let mut results = Results::default();
    // What is interpreted may take long, and somebody may watch how far it is.
    let piece = if evaluation.is_compiled() { PIECE_ROWS } else { 1 };
    let mut evaluate = || {
        for first in (0..count).step_by(piece) {
            let rows = first..count.min(first + piece);
            evaluation.compute(rows.clone(), &mut results);
            let mut done = 0;
            while done < rows.len() {
                all.check(&results)?;
                done = evaluation.interpret(&mut vm, rows.clone(), done, STINT, &mut results);
                // The first that fails ends it all.
                if on_error == OnError::Fail && !results.errors.is_empty() {
                    break;
                }
            }
            all.evaluated(&mut results, |at| parameters(&given, first + at))?;
        }
        Ok(())
    };
    let evaluated = evaluate();
    Some(match evaluated {
        Ok(()) => Ok(all.finish()),
        Err(problem) => {
            all.count();
            Err(problem)
        }
    })
}

fn values(column: &json::ColumnValues) -> Values<'_> {
    match column {
        json::ColumnValues::Ints(values) => Values::Of(Payloads::Ints(values)),
        json::ColumnValues::Floats(values) => Values::Of(Payloads::Floats(values)),
        json::ColumnValues::Bools(values) => Values::Of(Payloads::Bools(values)),
        json::ColumnValues::Any(values) => Values::Any(values),
    }
}

/// The parameters of one row.
fn parameters(columns: &[Column<'_>], row: usize) -> Arc<Dict> {
    let mut all = Dict::new();
    for column in columns {
        all.insert_str(Text::from(column.name), column.value(row));
    }
    Arc::new(all)
}
