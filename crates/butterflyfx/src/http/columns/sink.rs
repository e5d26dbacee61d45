//! The answers on their way out, in each of the forms that they have.

use super::arrow_out::{ArrowWriter, error_text};
use crate::app::App;
use crate::http::budget::check_answer;
use crate::http::on_error::OnError;
use crate::http::problem::{Code, Outcome, Problem, clip};
use crate::http::written::write_result;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_formula::json;
use butterflyfx_formula::value::Value;
use butterflyfx_jit::kind::Kind;
use std::sync::Arc;

/// Bytes of texts and errors that are collected before they are written.
const WAITING_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What an answer is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Arrow,
    Csv,
    Json,
}

impl Form {
    /// The media type.
    pub(super) fn media(self) -> &'static str {
        match self {
            Form::Arrow => "application/vnd.apache.arrow.stream",
            Form::Csv => "text/csv; charset=utf-8",
            Form::Json => "application/json",
        }
    }
}

enum Writer {
    Arrow(Box<ArrowWriter>),
    Csv(String),
    /// The results, and the errors, which stand behind them.
    Json(String, String),
}

/// Takes results row by row.
pub(super) struct Sink {
    app: Arc<App>,
    id: SubstrateId,
    on_error: OnError,
    /// Rows until now.
    rows: u64,
    /// The row that the waiting ones begin with.
    first_waiting: u64,
    writer: Writer,
}

impl Sink {
    pub(super) fn new(app: Arc<App>, id: SubstrateId, form: Form, on_error: OnError) -> Sink {
        let has_errors = on_error == OnError::Report;
        let writer = match form {
            Form::Arrow => Writer::Arrow(Box::new(ArrowWriter::new(has_errors))),
            Form::Csv => Writer::Csv(if has_errors { "result,error\n" } else { "result\n" }.to_owned()),
            Form::Json => Writer::Json("{\"results\":[".to_owned(), String::new()),
        };
        Sink { app, id, on_error, rows: 0, first_waiting: 0, writer }
    }

    /// Rows until now.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Whether the words of an error are told as a problem, and its place in the formula with them.
    pub(super) fn tells_problems(&self) -> bool {
        match self.on_error {
            OnError::Fail => true,
            OnError::Report => matches!(self.writer, Writer::Json(..)),
            OnError::Null => false,
        }
    }

    /// Appends results of kinds that machine code knows.
    pub(super) fn plain(&mut self, kinds: &[u8], payloads: &[u64]) -> Outcome<()> {
        if let Writer::Arrow(writer) = &mut self.writer {
            writer.plain(kinds, payloads);
            self.rows += kinds.len() as u64;
            return Ok(());
        }
        for (kind, payload) in kinds.iter().zip(payloads) {
            let value = match *kind {
                kind if kind == Kind::Int as u8 => Value::Int(payload.cast_signed()),
                kind if kind == Kind::Float as u8 => Value::float(f64::from_bits(*payload)),
                kind if kind == Kind::Bool as u8 => Value::Bool(*payload != 0),
                _ => Value::None,
            };
            self.value(&value)?;
        }
        Ok(())
    }

    /// Appends any result.
    pub(super) fn value(&mut self, value: &Value) -> Outcome<()> {
        let written = match &mut self.writer {
            Writer::Arrow(writer) => match (Kind::of(value), value) {
                (Some((kind, payload)), _) => {
                    writer.plain(&[kind as u8], &[payload]);
                    Ok(())
                }
                (_, Value::Str(text)) => {
                    writer.text(text.as_str());
                    Ok(())
                }
                _ => Err(not_columnar(value)),
            },
            Writer::Csv(out) => {
                let written = write_csv(&self.app, self.id, value, out);
                if written.is_ok() {
                    out.push_str(if self.on_error == OnError::Report { ",\n" } else { "\n" });
                }
                written
            }
            Writer::Json(out, _) => {
                if self.rows > 0 {
                    out.push(',');
                }
                let written = write_result(&self.app, self.id, value, out);
                if written.is_err() && self.rows > 0 {
                    out.pop();
                }
                written
            }
        };
        match written {
            Ok(()) => {
                self.rows += 1;
                self.yield_room()
            }
            Err(problem) => self.failed(problem),
        }
    }

    /// Appends a row that failed.
    pub(super) fn failed(&mut self, problem: Box<Problem>) -> Outcome<()> {
        if self.on_error == OnError::Fail {
            return Err(problem.ends_at_row(self.rows));
        }
        match &mut self.writer {
            Writer::Arrow(writer) => writer.failed(&problem),
            Writer::Csv(out) => {
                if self.on_error == OnError::Report {
                    out.push(',');
                    write_quoted(&error_text(&problem), out);
                }
                out.push('\n');
            }
            Writer::Json(out, errors) => {
                out.push_str(if self.rows > 0 { ",null" } else { "null" });
                if self.on_error == OnError::Report {
                    if !errors.is_empty() {
                        errors.push(',');
                    }
                    problem.with_number("row", self.rows).write(None, errors);
                    check_answer(errors.len())?;
                }
            }
        }
        self.rows += 1;
        self.yield_room()
    }

    fn yield_room(&mut self) -> Outcome<()> {
        match &self.writer {
            Writer::Arrow(writer) if writer.waiting_bytes() > WAITING_BYTES_MAX => self.end_piece(),
            _ => Ok(()),
        }
    }

    /// Writes what waits.
    pub(super) fn end_piece(&mut self) -> Outcome<()> {
        self.flush(false)
    }

    fn flush(&mut self, is_end: bool) -> Outcome<()> {
        let Writer::Arrow(writer) = &mut self.writer else { return Ok(()) };
        let (first, fails) = (self.first_waiting, self.on_error == OnError::Fail);
        let mut misfit = |row: usize, problem: &mut Problem| match fails {
            true => Err(Box::new(problem.clone()).ends_at_row(first + row as u64)),
            false => Ok(()),
        };
        if is_end {
            writer.finish(&mut misfit)?;
        } else {
            writer.flush(false, &mut misfit)?;
        }
        if !writer.is_waiting() {
            self.first_waiting = self.rows;
        }
        Ok(())
    }

    /// Ends the answer.
    pub(super) fn finish(&mut self) -> Outcome<()> {
        self.flush(true)?;
        if let Writer::Json(out, errors) = &mut self.writer {
            out.push(']');
            if !errors.is_empty() {
                out.push_str(",\"errors\":[");
                out.push_str(errors);
                out.push(']');
            }
            out.push('}');
        }
        Ok(())
    }

    /// Bytes that [`Sink::take`] would give, and those that wait.
    pub(super) fn bytes(&self) -> usize {
        match &self.writer {
            Writer::Arrow(writer) => writer.waiting_bytes() + writer.written_bytes(),
            Writer::Csv(out) | Writer::Json(out, _) => out.len(),
        }
    }

    /// What was written since the last time.
    pub(super) fn take(&mut self) -> Vec<u8> {
        match &mut self.writer {
            Writer::Arrow(writer) => writer.take(),
            Writer::Csv(out) | Writer::Json(out, _) => std::mem::take(out).into_bytes(),
        }
    }
}

/// The problem of a result that no column can hold.
fn not_columnar(value: &Value) -> Box<Problem> {
    let detail = match value {
        Value::BigInt(_) => {
            "the result is an int beyond int64, and an Arrow column of results holds no larger ones: ask for text/csv or \
             application/json (Accept)"
                .to_owned()
        }
        other => format!(
            "the result is a {}; an Arrow column holds ints, floats, bools or texts",
            clip(other.type_name(), 64)
        ),
    };
    Problem::new(Code::ValidationFailed, detail)
}

/// Writes a result as a value of CSV: so that it reads back as the same where it is none of several values.
fn write_csv(app: &App, id: SubstrateId, value: &Value, out: &mut String) -> Outcome<()> {
    match value {
        Value::None => {}
        Value::Str(text) => {
            let text = text.as_str();
            let is_plain = !matches!(text, "" | "true" | "false" | "True" | "False")
                && !text.trim_start_matches('-').starts_with(|first: char| first.is_ascii_digit())
                && !text.contains(['"', ',', '\n', '\r']);
            if is_plain { out.push_str(text) } else { write_quoted(text, out) }
        }
        Value::Int(_) | Value::BigInt(_) | Value::Bool(_) => write_result(app, id, value, out)?,
        Value::Float(x) if x.is_finite() => json::write_float(*x, out),
        other => {
            let mut text = String::new();
            write_result(app, id, other, &mut text)?;
            write_quoted(&text, out);
        }
    }
    Ok(())
}

fn write_quoted(text: &str, out: &mut String) {
    out.push('"');
    for (at, part) in text.split('"').enumerate() {
        if at > 0 {
            out.push_str("\"\"");
        }
        out.push_str(part);
    }
    out.push('"');
}
