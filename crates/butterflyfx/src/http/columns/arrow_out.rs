//! An Arrow IPC stream on its way out: the column `result`, and the column `error` where errors are reported.
//!
//! A stream says the type of its columns before the first value. It follows the results of the first rows; a later row whose
//! result does not fit has an error in its place.

use crate::http::problem::{Code, Outcome, Problem, clip};
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int64Array, NullArray, RecordBatch, RecordBatchOptions, StringArray,
};
use arrow_buffer::NullBuffer;
use arrow_ipc::writer::StreamWriter;
use arrow_schema::{ArrowError, DataType, Field, Schema};
use butterflyfx_jit::columns::{FAILED, OTHER};
use butterflyfx_jit::kind::Kind;
use std::sync::Arc;

/// Rows without any result after which the column is one of nulls.
const UNDECIDED_ROWS_MAX: usize = 1_000_000;

/// Bytes of texts and errors that wait for a type.
const UNDECIDED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Characters of an error.
const ERROR_CHARACTERS_MAX: usize = 1_000;

const NONE: u8 = Kind::None as u8;
const BOOL: u8 = Kind::Bool as u8;
const INT: u8 = Kind::Int as u8;
const FLOAT: u8 = Kind::Float as u8;

/// The type of the results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Type {
    Null,
    Bool,
    Int64,
    Float64,
    Utf8,
}

impl Type {
    fn of_arrow(self) -> DataType {
        match self {
            Type::Null => DataType::Null,
            Type::Bool => DataType::Boolean,
            Type::Int64 => DataType::Int64,
            Type::Float64 => DataType::Float64,
            Type::Utf8 => DataType::Utf8,
        }
    }

    /// Whether a result of a kind can stand in this column.
    fn fits(self, kind: u8, payload: u64) -> bool {
        match (self, kind) {
            (_, NONE | FAILED) => true,
            (Type::Bool, BOOL) | (Type::Int64, INT) | (Type::Float64, FLOAT) | (Type::Utf8, OTHER) => true,
            (Type::Float64, INT) => is_exact(payload.cast_signed()),
            _ => false,
        }
    }
}

/// Whether an int is the same number as a float.
fn is_exact(int: i64) -> bool {
    int as f64 as i128 == i128::from(int)
}

/// An error as a column has it: what Python calls an exception, else the code and what it says.
pub(super) fn error_text(problem: &Problem) -> String {
    let detail = clip(&problem.detail, ERROR_CHARACTERS_MAX);
    match problem.code {
        Code::EvaluationFailed | Code::ValidationFailed => detail,
        code => format!("{}: {detail}", code.name()),
    }
}

/// Writes a stream. Rows wait until [`ArrowWriter::flush`].
#[derive(Default)]
pub(super) struct ArrowWriter {
    writer: Option<StreamWriter<Vec<u8>>>,
    result: Option<Type>,
    has_errors: bool,
    /// Of each row that waits its kind; that of a text is [`OTHER`].
    kinds: Vec<u8>,
    payloads: Vec<u64>,
    /// By row.
    texts: Vec<(usize, String)>,
    errors: Vec<(usize, String)>,
    bytes: usize,
}

impl ArrowWriter {
    pub(super) fn new(has_errors: bool) -> ArrowWriter {
        ArrowWriter { has_errors, ..ArrowWriter::default() }
    }

    /// Appends results of kinds that machine code knows.
    pub(super) fn plain(&mut self, kinds: &[u8], payloads: &[u64]) {
        self.kinds.extend_from_slice(kinds);
        self.payloads.extend_from_slice(payloads);
    }

    /// Appends a text.
    pub(super) fn text(&mut self, text: &str) {
        self.bytes += text.len();
        self.texts.push((self.kinds.len(), text.to_owned()));
        self.plain(&[OTHER], &[0]);
    }

    /// Appends a row without a result.
    pub(super) fn failed(&mut self, problem: &Problem) {
        let text = error_text(problem);
        self.bytes += text.len();
        self.errors.push((self.kinds.len(), text));
        self.plain(&[FAILED], &[0]);
    }

    /// Bytes of the rows that wait, beside what each row takes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.bytes
    }

    /// Whether rows wait.
    pub(super) fn is_waiting(&self) -> bool {
        !self.kinds.is_empty()
    }

    /// Bytes that were written.
    pub(super) fn written_bytes(&self) -> usize {
        self.writer.as_ref().map_or(0, |writer| writer.get_ref().len())
    }

    /// What was written.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.writer.as_mut().map(|writer| std::mem::take(writer.get_mut())).unwrap_or_default()
    }

    /// Writes the rows that wait as a record batch. `misfit` says what becomes of a row whose result does not fit, which is
    /// so many rows from the first that waits.
    pub(super) fn flush(
        &mut self,
        is_end: bool,
        misfit: &mut dyn FnMut(usize, &mut Problem) -> Outcome<()>,
    ) -> Outcome<()> {
        let result = match self.result {
            Some(result) => result,
            None => match self.decide()? {
                Some(result) => result,
                None if !is_end
                    && self.kinds.len() < UNDECIDED_ROWS_MAX
                    && self.bytes < UNDECIDED_BYTES_MAX =>
                {
                    return Ok(());
                }
                None => Type::Null,
            },
        };
        self.result = Some(result);
        for row in 0..self.kinds.len() {
            if result.fits(self.kinds[row], self.payloads[row]) {
                continue;
            }
            let mut problem = self.misfit(row, result);
            misfit(row, &mut problem)?;
            self.kinds[row] = FAILED;
            self.errors.push((row, problem.detail));
        }
        self.write(result).map_err(|error| Problem::new(Code::Internal, error.to_string()))?;
        self.kinds.clear();
        self.payloads.clear();
        self.texts.clear();
        self.errors.clear();
        self.bytes = 0;
        Ok(())
    }

    /// Ends the stream.
    pub(super) fn finish(
        &mut self,
        misfit: &mut dyn FnMut(usize, &mut Problem) -> Outcome<()>,
    ) -> Outcome<()> {
        self.flush(true, misfit)?;
        let finished = self.writer.as_mut().map_or(Ok(()), StreamWriter::finish);
        finished.map_err(|error| Problem::new(Code::Internal, error.to_string()))
    }

    fn misfit(&self, row: usize, result: Type) -> Box<Problem> {
        let what = match self.kinds[row] {
            BOOL => "a bool".to_owned(),
            INT => format!("the int {}", self.payloads[row].cast_signed()),
            FLOAT => "a float".to_owned(),
            _ => "a str".to_owned(),
        };
        Problem::new(
            Code::ValidationFailed,
            format!(
                "the result is {what}, and the column of results, by its first rows, is {}",
                result.of_arrow()
            ),
        )
    }

    /// The type of the rows that wait; `None` where none has a result.
    fn decide(&self) -> Outcome<Option<Type>> {
        let has = |kind: u8| self.kinds.contains(&kind);
        let found = [(BOOL, Type::Bool), (INT, Type::Int64), (FLOAT, Type::Float64), (OTHER, Type::Utf8)];
        let found: Vec<Type> = found.into_iter().filter(|(kind, _)| has(*kind)).map(|(_, one)| one).collect();
        match found[..] {
            [] => Ok(None),
            [one] => Ok(Some(one)),
            [Type::Int64, Type::Float64] => {
                let mut ints = self.kinds.iter().zip(&self.payloads).filter(|(kind, _)| **kind == INT);
                match ints.find(|(_, payload)| !is_exact(payload.cast_signed())) {
                    None => Ok(Some(Type::Float64)),
                    Some((_, payload)) => Err(Problem::new(
                        Code::ValidationFailed,
                        format!(
                            "the results are ints and floats, and the int {} is none of the floats: make them of \
                             one type in the formula, or ask for text/csv or application/json (Accept)",
                            payload.cast_signed()
                        ),
                    )),
                }
            }
            _ => {
                let names: Vec<String> = found.iter().map(|one| one.of_arrow().to_string()).collect();
                Err(Problem::new(
                    Code::ValidationFailed,
                    format!(
                        "the results are of several types ({}), and an Arrow column has one: make them of one type \
                         in the formula, or ask for text/csv or application/json (Accept)",
                        names.join(", ")
                    ),
                ))
            }
        }
    }

    fn write(&mut self, result: Type) -> Result<(), ArrowError> {
        let rows = self.kinds.len();
        let mut columns = vec![self.results(result)];
        if self.has_errors {
            let mut errors = vec![None; rows];
            for (row, text) in &self.errors {
                errors[*row] = Some(text.as_str());
            }
            columns.push(Arc::new(StringArray::from(errors)));
        }
        let mut fields = vec![Field::new("result", result.of_arrow(), true)];
        if self.has_errors {
            fields.push(Field::new("error", DataType::Utf8, true));
        }
        let schema = Arc::new(Schema::new(fields));
        let writer = match &mut self.writer {
            Some(writer) => writer,
            empty => empty.insert(StreamWriter::try_new(Vec::new(), &schema)?),
        };
        if rows == 0 {
            return Ok(());
        }
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        writer.write(&RecordBatch::try_new_with_options(schema, columns, &options)?)
    }

    fn results(&self, result: Type) -> ArrayRef {
        let rows = self.kinds.len();
        let is_some = |kind: &u8| *kind != NONE && *kind != FAILED;
        let nulls = match self.kinds.iter().all(is_some) {
            true => None,
            false => Some(NullBuffer::from_iter(self.kinds.iter().map(is_some))),
        };
        let both = self.kinds.iter().zip(&self.payloads);
        match result {
            Type::Null => Arc::new(NullArray::new(rows)),
            Type::Bool => Arc::new(BooleanArray::new(self.payloads.iter().map(|x| *x != 0).collect(), nulls)),
            Type::Int64 => {
                let values: Vec<i64> = self.payloads.iter().map(|x| x.cast_signed()).collect();
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Type::Float64 => {
                let value = |(kind, payload): (&u8, &u64)| match *kind {
                    INT => payload.cast_signed() as f64,
                    _ => f64::from_bits(*payload),
                };
                let values: Vec<f64> = both.map(value).collect();
                Arc::new(Float64Array::new(values.into(), nulls))
            }
            Type::Utf8 => {
                let mut values = vec![None; rows];
                for (row, text) in &self.texts {
                    values[*row] = Some(text.as_str());
                }
                Arc::new(StringArray::from(values))
            }
        }
    }
}
