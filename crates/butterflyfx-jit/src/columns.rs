//! One formula over many rows that come in columns.
//!
//! Columns of one kind run as machine code, piece by piece; rows that it hands over, rows with nulls and columns of mixed values are
//! interpreted, so that each row has the answer, the error and the cost of an invocation of its own. A null is `None`.

use crate::code::{HANDED_OVER, Input, Payloads, RowCode};
use crate::kind::{INPUTS_MAX, Kind, Signature};
use crate::tier::{Otherwise, Tiered};
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::error::Raise;
use butterflyfx_formula::formula::Formula;
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::text::Text;
use butterflyfx_formula::value::Value;
use memchr::memchr;
use std::ops::Range;
use std::sync::Arc;

/// In [`Results::kinds`]: the result is among the others.
pub const OTHER: u8 = 0xFE;

/// In [`Results::kinds`]: the row failed.
pub const FAILED: u8 = HANDED_OVER;

/// Rows that are worth compiling for: the compiler takes as long as some thousand interpreted rows.
const ROWS_WORTH_COMPILING: usize = 2_000;

/// The values of a column.
#[derive(Clone, Copy, Debug)]
pub enum Values<'a> {
    /// All of one kind.
    Of(Payloads<'a>),
    /// Any.
    Any(&'a [Value]),
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub struct Column<'a> {
    /// The name of the parameter.
    pub name: &'a str,
    /// The values, one a row.
    pub values: Values<'a>,
    /// Which rows are null whatever their value is; empty where none is.
    pub is_null: &'a [bool],
}

impl Column<'_> {
    /// The value in a row.
    pub fn value(&self, row: usize) -> Value {
        if self.is_null.get(row).is_some_and(|is_null| *is_null) {
            return Value::None;
        }
        match self.values {
            Values::Of(Payloads::Ints(values)) => Value::Int(values[row]),
            Values::Of(Payloads::Floats(values)) => Value::Float(values[row]),
            Values::Of(Payloads::Bools(values)) => Value::Bool(values[row] != 0),
            Values::Any(values) => values[row].clone(),
        }
    }
}

/// What some rows gave.
#[derive(Debug, Default)]
pub struct Results {
    /// The kind of each row's result as its number, or [`OTHER`], or [`FAILED`].
    pub kinds: Vec<u8>,
    /// The payload of each row's result, where its kind has one.
    pub payloads: Vec<u64>,
    /// Results of other kinds: big ints, texts, lists. By row.
    pub others: Vec<(usize, Value)>,
    /// What was raised, by row.
    pub errors: Vec<(usize, Box<Raise>)>,
    /// Steps of all rows that have a result.
    pub steps: u64,
    /// Steps of the rows that failed, until they did.
    pub steps_failed: u64,
    /// Whether machine code gave all rows a result.
    is_complete: bool,
}

/// What the interpreter may take before it comes back: results that are kept, say texts, are many bytes.
#[derive(Clone, Copy, Debug)]
pub struct Stint {
    /// Steps.
    pub steps: u64,
    /// Bytes that formulas allocated.
    pub bytes: u64,
}

impl Stint {
    /// To the end.
    pub const ENDLESS: Stint = Stint { steps: u64::MAX, bytes: u64::MAX };
}

impl Results {
    /// Makes room; what stands in it is never looked at before it is written.
    fn clear(&mut self, rows: usize) {
        make_room(&mut self.kinds, rows);
        make_room(&mut self.payloads, rows);
        self.others.clear();
        self.errors.clear();
        self.steps = 0;
        self.steps_failed = 0;
        self.is_complete = false;
    }

    fn set(&mut self, row: usize, value: Value) {
        match Kind::of(&value) {
            Some((kind, payload)) => {
                self.kinds[row] = kind as u8;
                self.payloads[row] = payload;
            }
            None => {
                self.kinds[row] = OTHER;
                self.others.push((row, value));
            }
        }
    }

    /// The value of a row that has one; [`OTHER`] ones are looked up.
    pub fn value(&self, row: usize) -> Option<Value> {
        match self.kinds.get(row).copied()? {
            FAILED => None,
            OTHER => {
                let at = self.others.binary_search_by_key(&row, |(row, _)| *row).ok()?;
                Some(self.others[at].1.clone())
            }
            1 => Some(Value::None),
            2 => Some(Value::Bool(self.payloads[row] != 0)),
            3 => Some(Value::Int(self.payloads[row].cast_signed())),
            _ => Some(Value::float(f64::from_bits(self.payloads[row]))),
        }
    }
}

/// Gives a vector a length. Where it has to grow, it gets new memory, which the system has emptied already.
fn make_room<T: Clone + Default>(values: &mut Vec<T>, length: usize) {
    if length > values.capacity() {
        *values = vec![T::default(); length];
    } else {
        values.resize(length, T::default());
    }
}

/// A formula and the columns that it is evaluated over, a piece at a time.
pub struct ColumnEvaluation<'a> {
    tiered: &'a mut Tiered,
    columns: &'a [Column<'a>],
    code: Option<Arc<RowCode>>,
    /// Of each input of the formula.
    inputs: [Option<Input<'a>>; INPUTS_MAX],
    /// Columns in which a null makes a row one for the interpreter.
    nulls: Vec<&'a [bool]>,
    row: Arc<Dict>,
}

impl<'a> ColumnEvaluation<'a> {
    /// Prepares to evaluate over columns of so many rows.
    ///
    /// # Panics
    /// Later, where a column is shorter.
    pub fn new(tiered: &'a mut Tiered, columns: &'a [Column<'a>], rows: usize) -> ColumnEvaluation<'a> {
        let mut evaluation = ColumnEvaluation {
            tiered,
            columns,
            code: None,
            inputs: [None; INPUTS_MAX],
            nulls: Vec::new(),
            row: Arc::default(),
        };
        if rows >= ROWS_WORTH_COMPILING || evaluation.tiered.compiles_at_once() {
            evaluation.prepare();
        }
        evaluation
    }

    /// Whether rows run as machine code.
    pub fn is_compiled(&self) -> bool {
        self.code.is_some()
    }

    /// The formula.
    pub fn formula(&self) -> &Formula {
        self.tiered.formula()
    }

    /// Whether it runs several rows at once, without a branch.
    pub fn is_wide(&self) -> bool {
        self.code.as_ref().is_some_and(|code| code.is_wide())
    }

    fn prepare(&mut self) {
        let Some(names) = self.tiered.input_names() else { return };
        let mut signature = Signature::default();
        let mut used = 0;
        for (at, input) in names.enumerate() {
            let Some(name) = input.name else { continue };
            match self.columns.iter().find(|column| column.name == name) {
                Some(column) => {
                    used += 1;
                    let Values::Of(payloads) = column.values else { return };
                    signature = signature.with(at, payloads.kind());
                    self.inputs[at] = Some(Input::Column(payloads));
                    if !column.is_null.is_empty() {
                        self.nulls.push(column.is_null);
                    }
                }
                None => match input.otherwise {
                    Otherwise::Default(value) => {
                        let Some((kind, payload)) = Kind::of(value) else { return };
                        signature = signature.with(at, kind);
                        self.inputs[at] = Some(Input::Same(kind, payload));
                    }
                    // Each row says so.
                    Otherwise::Missing => return,
                    Otherwise::Absent => {}
                },
            }
        }
        if used == self.columns.len() || self.tiered.formula().template.accepts_any() {
            self.code = self.tiered.row_code(signature);
        }
    }

    /// Evaluates some rows; `results` has them from 0 on.
    pub fn run(&mut self, vm: &mut Interpreter, rows: Range<usize>, results: &mut Results) {
        self.compute(rows.clone(), results);
        self.interpret(vm, rows, 0, Stint::ENDLESS, results);
    }

    /// The first half of [`ColumnEvaluation::run`]: what machine code can do. The other rows are [`FAILED`] until they
    /// are interpreted.
    pub fn compute(&mut self, rows: Range<usize>, results: &mut Results) {
        let first = rows.start;
        results.clear(rows.len());
        let Some(code) = self.code.clone() else { return results.kinds.fill(FAILED) };
        results.is_complete = true;
        let mut from = 0;
        while from < rows.len() {
            let to = self.next_null(first + from..rows.end) - first;
            let (payloads, kinds) = (&mut results.payloads[from..to], &mut results.kinds[from..to]);
            let constants = self.tiered.constants();
            let ran = code.run(&self.inputs, constants, first + from, payloads, kinds);
            results.steps += ran.steps;
            results.is_complete &= ran.is_complete;
            // Machine code does not know of nulls.
            if let Some(kind) = results.kinds.get_mut(to) {
                *kind = FAILED;
                results.is_complete = false;
            }
            from = to + 1;
        }
    }

    /// The other half, from a row of `results` on: the rows that machine code left. Gives the row that it came to, the last
    /// one's successor at the end; with what it found until then taken out of `results.others` and `results.errors`, it may
    /// go on from there.
    pub fn interpret(
        &mut self,
        vm: &mut Interpreter,
        rows: Range<usize>,
        from: usize,
        stint: Stint,
        results: &mut Results,
    ) -> usize {
        if results.is_complete {
            return rows.len();
        }
        let (mut steps, mut bytes) = (0, 0);
        let mut from = from;
        while let Some(found) = memchr(FAILED, &results.kinds[from..]) {
            let row = from + found;
            from = row + 1;
            if steps > stint.steps || bytes > stint.bytes {
                return row;
            }
            self.fill_row(rows.start + row);
            vm.meter.reset();
            let outcome = self.tiered.formula().evaluate(vm, &self.row);
            let cost = vm.meter.cost();
            steps += cost.steps;
            bytes += cost.bytes;
            match outcome {
                Ok(value) => {
                    results.steps += cost.steps;
                    results.set(row, value);
                }
                Err(raise) => {
                    results.steps_failed += cost.steps;
                    results.errors.push((row, raise));
                }
            }
        }
        rows.len()
    }

    /// The first row with a null, or the end.
    fn next_null(&self, rows: Range<usize>) -> usize {
        let end = rows.end;
        let first_of = |nulls: &&[bool]| {
            nulls[rows.clone()].iter().position(|is_null| *is_null).map_or(end, |at| rows.start + at)
        };
        self.nulls.iter().map(first_of).min().unwrap_or(end)
    }

    /// The parameters of a row, in room that is used again.
    fn fill_row(&mut self, row: usize) {
        if let Some(parameters) = Arc::get_mut(&mut self.row)
            && parameters.len() == self.columns.len()
        {
            for (at, column) in self.columns.iter().enumerate() {
                parameters.set_value_at(at, column.value(row));
            }
            return;
        }
        let mut parameters = Dict::new();
        for column in self.columns {
            parameters.insert_str(Text::from(column.name), column.value(row));
        }
        self.row = Arc::new(parameters);
    }
}
