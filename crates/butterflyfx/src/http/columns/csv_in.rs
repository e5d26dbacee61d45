//! CSV on its way in: RFC 4180, with a header line that names the parameters.
//!
//! What a value is shows in the value alone, whatever stands in other rows: nothing is `None`, what JSON reads as a number is
//! that number, `true` and `false` are bools, `True` and `False` too (so pandas writes them), all else is text, and so is
//! whatever stands in quotes. No CSV library that tells whether a value was quoted is known to us, hence this one.

use super::table::{COLUMNS_MAX, Cells, Table};
use crate::http::problem::{Code, Outcome, Problem, clip};
use butterflyfx_formula::json::{self, JsonErrorKind};
use butterflyfx_formula::limits::{Limit, Limits};
use butterflyfx_formula::text::Text;
use butterflyfx_formula::value::Value;
use bytes::{Buf, Bytes, BytesMut};
use std::collections::HashSet;

/// Bytes that are read at a time.
const CHUNK_BYTES: usize = 256 * 1024;

/// Values that are taken at a time.
const CHUNK_CELLS_MAX: usize = 1 << 18;

/// Digits of an int that surely fits in 64 bits.
const SHORT_DIGITS: usize = 18;

/// What is said of lines that end as they did on old Macs.
const BARE_CR: &str = "there is a CR without an LF behind it: end lines with LF or CRLF, and put a value that has one in quotes";

/// What editors put before a text.
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads CSV some lines at a time.
#[derive(Debug)]
pub(super) struct CsvReader {
    pending: BytesMut,
    /// Bytes that should be there before lines are looked for.
    wanted: usize,
    line_bytes_max: usize,
    text_bytes_max: usize,
    integer_bits: u64,
    /// The number of the line at the start of `pending`.
    line: u64,
    names: Option<Vec<Text>>,
}

/// A value as it stands in the text.
struct Field<'a> {
    text: &'a [u8],
    is_quoted: bool,
    /// Quotes in it are doubled.
    has_quotes: bool,
}

impl Field<'_> {
    /// Whether lines seem to end in a CR alone.
    fn has_bare_cr(&self) -> bool {
        !self.is_quoted && self.text.contains(&b'\r')
    }
}

/// What was found where a record should be.
enum Found {
    /// A record of so many bytes, its line break included, over so many lines.
    Record(usize, u64),
    /// The text ends before the record does.
    Unfinished,
}

impl CsvReader {
    /// Lines are at most so long, and values within these limits.
    pub(super) fn new(line_bytes_max: u64, limits: &Limits) -> CsvReader {
        CsvReader {
            pending: BytesMut::new(),
            wanted: CHUNK_BYTES,
            line_bytes_max: usize::try_from(line_bytes_max).unwrap_or(usize::MAX),
            text_bytes_max: limits.parameters_json_bytes,
            integer_bits: limits.integer_bits,
            line: 1,
            names: None,
        }
    }

    /// Takes bytes until there are enough to look for lines.
    pub(super) fn feed(&mut self, data: &mut Bytes) {
        let count = data.len().min(self.wanted.saturating_sub(self.pending.len()));
        self.pending.extend_from_slice(&data[..count]);
        data.advance(count);
    }

    /// Whether there are enough bytes to look for lines.
    pub(super) fn is_ready(&self) -> bool {
        self.pending.len() >= self.wanted
    }

    /// Whether all that came was read.
    pub(super) fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Refuses a text without a header line.
    pub(super) fn finish(&self) -> Outcome<()> {
        match self.names {
            Some(_) => Ok(()),
            None => Err(refused(1, "the text is empty: its first line must name the parameters")),
        }
    }

    /// The rows that are whole; `None` where there is none.
    pub(super) fn table(&mut self, is_last: bool) -> Outcome<Option<Table>> {
        let pending = std::mem::take(&mut self.pending);
        let mut text: &[u8] = &pending;
        if self.names.is_none() && self.line == 1 {
            text = text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text);
        }
        let mut is_unfinished = false;
        let mut fields = Vec::new();
        let mut columns: Vec<Builder> = Vec::new();
        let mut rows = 0;
        while !text.is_empty() && rows * columns.len() < CHUNK_CELLS_MAX {
            fields.clear();
            let Found::Record(bytes, lines) = record(text, self.line, is_last, &mut fields)? else {
                is_unfinished = true;
                break;
            };
            // One column's empty line is a row whose value is nothing; else it is no row at all.
            let is_blank = fields.len() == 1 && fields[0].text.is_empty() && !fields[0].is_quoted;
            match &self.names {
                None if is_blank => {}
                None => self.names = Some(self.header(&fields)?),
                Some(names) if is_blank && names.len() > 1 => {}
                Some(names) => {
                    if fields.len() != names.len() {
                        let message =
                            format!("there are {} values for {} columns", fields.len(), names.len());
                        return Err(refused(self.line, &message));
                    }
                    columns.resize_with(names.len(), Builder::default);
                    for ((field, column), name) in fields.iter().zip(&mut columns).zip(names) {
                        column.push(self.cell(field, name)?, rows);
                    }
                    rows += 1;
                }
            }
            self.line += lines;
            text = &text[bytes..];
        }
        if is_unfinished && text.len() > self.line_bytes_max {
            if self.names.is_none() && text.contains(&b'\r') {
                return Err(refused(self.line, BARE_CR));
            }
            return Err(Problem::body_too_large("a line", self.line_bytes_max as u64));
        }
        self.wanted = match text.is_empty() || is_unfinished {
            // Twice, so that a long line is not looked through again and again.
            true => (2 * text.len()).max(CHUNK_BYTES),
            false => 0,
        };
        self.pending = BytesMut::from(text);
        let names = self.names.iter().flatten().cloned();
        let columns = names.zip(columns.into_iter().map(Builder::finish)).collect();
        Ok((rows > 0).then_some(Table { rows, columns }))
    }

    fn header(&self, fields: &[Field<'_>]) -> Outcome<Vec<Text>> {
        if fields.len() > COLUMNS_MAX {
            let detail = format!("a table may have {COLUMNS_MAX} columns; this one has {}", fields.len());
            return Err(Problem::limit("columns", detail));
        }
        let mut names = HashSet::new();
        for field in fields {
            let name = self.text(field)?;
            if name.is_empty() {
                return Err(refused(self.line, "a column has no name"));
            }
            if !field.is_quoted {
                self.check_name(&name, fields.len())?;
            }
            if !names.insert(name.clone()) {
                return Err(refused(self.line, &format!("two columns are called {:?}", clip(&name, 64))));
            }
        }
        fields.iter().map(|field| Ok(Text::new(self.text(field)?))).collect()
    }

    /// Refuses a name that shows that this is another kind of text. What is meant as it stands is in quotes.
    fn check_name(&self, name: &str, count: usize) -> Outcome<()> {
        let clipped = clip(name, 64);
        if count == 1
            && let Some(other) = name.chars().find(|one| matches!(one, ';' | '\t'))
        {
            let other = if other == ';' { "semicolons" } else { "tabs" };
            let message = format!(
                "the header is the one name {clipped:?}: commas separate values, {other} do not (a name that has them \
                 goes in quotes)"
            );
            return Err(refused(self.line, &message));
        }
        // Without its blanks the name would be right, and the values behind it, with blanks of their own, texts.
        if name.trim() != name {
            let message = format!(
                "there are blanks around the name {clipped:?}: they count as part of it, and of values; leave them out (a \
                 name that has them goes in quotes)"
            );
            return Err(refused(self.line, &message));
        }
        Ok(())
    }

    fn text(&self, field: &Field<'_>) -> Outcome<String> {
        if field.has_bare_cr() {
            return Err(refused(self.line, BARE_CR));
        }
        match std::str::from_utf8(field.text) {
            Ok(text) if field.has_quotes => Ok(text.replace("\"\"", "\"")),
            Ok(text) => Ok(text.to_owned()),
            Err(_) => Err(refused(self.line, "the text is not UTF-8")),
        }
    }

    fn cell(&self, field: &Field<'_>, name: &Text) -> Outcome<Value> {
        let text = field.text;
        if text.len() > self.text_bytes_max {
            let detail = format!(
                "line {} of the CSV: a value may have {} bytes; one in column {:?} has {}",
                self.line,
                self.text_bytes_max,
                clip(name.as_str(), 64),
                text.len()
            );
            return Err(Problem::limit(Limit::ParametersSize.name(), detail).with_number("line", self.line));
        }
        let first = match text {
            _ if field.is_quoted => b'"',
            [] => return Ok(Value::None),
            // As JSON and as Python write them.
            b"true" | b"True" => return Ok(Value::Bool(true)),
            b"false" | b"False" => return Ok(Value::Bool(false)),
            [b'-', first, ..] | [first, ..] => *first,
        };
        if first.is_ascii_digit() {
            if let Some(int) = short_int(text) {
                return Ok(Value::Int(int));
            }
            match json::read_value(text, 1, self.integer_bits) {
                // JSON has blanks around numbers, and this has not.
                Ok(value) if !text.last().is_some_and(u8::is_ascii_whitespace) => return Ok(value),
                Err(error) if !matches!(error.kind, JsonErrorKind::Syntax) => {
                    let message = format!("column {:?}: {}", clip(name.as_str(), 64), error.message);
                    return Err(refused(self.line, &message));
                }
                _ => {}
            }
        }
        Ok(Value::Str(Text::new(self.text(field)?)))
    }
}

fn refused(line: u64, message: &str) -> Box<Problem> {
    Problem::new(Code::ValidationFailed, format!("line {line} of the CSV: {message}"))
        .with_number("line", line)
}

/// An int of few digits, as JSON writes it.
fn short_int(text: &[u8]) -> Option<i64> {
    let (digits, sign) = match text {
        [b'-', digits @ ..] => (digits, -1),
        digits => (digits, 1),
    };
    let is_plain = match digits {
        [b'0'] => sign == 1,
        [b'1'..=b'9', ..] => digits.len() <= SHORT_DIGITS && digits.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    is_plain.then(|| sign * digits.iter().fold(0, |all, digit| all * 10 + i64::from(digit - b'0')))
}

/// Reads the record at the start of a text. It ends with a line break, or with the text where that is the last of it.
fn record<'a>(text: &'a [u8], line: u64, is_last: bool, fields: &mut Vec<Field<'a>>) -> Outcome<Found> {
    let mut at = 0;
    let mut lines = 1;
    loop {
        let (field, end) = if text.get(at) == Some(&b'"') {
            let start = at + 1;
            let mut from = start;
            let mut has_quotes = false;
            let end = loop {
                let Some(quote) = memchr::memchr(b'"', &text[from..]).map(|found| from + found) else {
                    return match is_last {
                        true => Err(refused(line, "a quote is opened and not closed")),
                        false => Ok(Found::Unfinished),
                    };
                };
                match text.get(quote + 1) {
                    Some(b'"') => {
                        has_quotes = true;
                        from = quote + 2;
                    }
                    None if !is_last => return Ok(Found::Unfinished),
                    _ => break quote,
                }
            };
            lines += memchr::memchr_iter(b'\n', &text[start..end]).count() as u64;
            (Field { text: &text[start..end], is_quoted: true, has_quotes }, end + 1)
        } else {
            let stop = memchr::memchr3(b',', b'\n', b'"', &text[at..]);
            let end = match stop.map(|found| at + found) {
                // Of lines that end in a CR alone all but the first may begin with a quote.
                Some(end) if text[end] == b'"' && text[at..end].contains(&b'\r') => {
                    return Err(refused(line, BARE_CR));
                }
                Some(end) if text[end] == b'"' => {
                    let message = "there is a quote inside a value: put the whole value in quotes, and write \
                                   the quote twice";
                    return Err(refused(line, message));
                }
                Some(end) => end,
                None if is_last => text.len(),
                None => return Ok(Found::Unfinished),
            };
            let value = &text[at..end];
            // Of a line break of two bytes the first stands here.
            let is_line_end = text.get(end) != Some(&b',');
            let value = if is_line_end { value.strip_suffix(b"\r").unwrap_or(value) } else { value };
            (Field { text: value, is_quoted: false, has_quotes: false }, end)
        };
        let is_quoted = field.is_quoted;
        fields.push(field);
        if fields.len() > COLUMNS_MAX + 1 {
            if fields.iter().any(Field::has_bare_cr) {
                return Err(refused(line, BARE_CR));
            }
            let detail = format!("a table may have {COLUMNS_MAX} columns; line {line} has more");
            return Err(Problem::limit("columns", detail));
        }
        at = match &text[end..] {
            [b',', ..] => end + 1,
            [b'\n', ..] => return Ok(Found::Record(end + 1, lines)),
            [b'\r', b'\n', ..] => return Ok(Found::Record(end + 2, lines)),
            [] if is_last => return Ok(Found::Record(end, lines)),
            [] | [b'\r'] if !is_last => return Ok(Found::Unfinished),
            [b'\r'] => return Ok(Found::Record(end + 1, lines)),
            [b'\r', ..] => return Err(refused(line, BARE_CR)),
            [b';' | b'\t', ..] => {
                return Err(refused(line, "commas separate values, semicolons and tabs do not"));
            }
            _ if is_quoted => {
                return Err(refused(line, "there is more behind the closing quote of a value"));
            }
            _ => end,
        };
    }
}

/// Collects a column: of one kind as long as it is.
#[derive(Debug, Default)]
struct Builder {
    kind: Kind,
    ints: Vec<i64>,
    floats: Vec<f64>,
    any: Vec<Value>,
    /// Empty where none is.
    nulls: Vec<bool>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Kind {
    #[default]
    Nothing,
    Ints,
    Floats,
    Any,
}

impl Builder {
    /// Appends the value of a row.
    fn push(&mut self, value: Value, row: usize) {
        let is_null = matches!(value, Value::None);
        match (self.kind, &value) {
            (Kind::Any, _) => return self.any.push(value),
            (Kind::Nothing, Value::Int(_)) => {
                self.kind = Kind::Ints;
                self.ints.resize(row, 0);
            }
            (Kind::Nothing, Value::Float(_)) => {
                self.kind = Kind::Floats;
                self.floats.resize(row, 0.0);
            }
            (_, Value::None) | (Kind::Ints, Value::Int(_)) | (Kind::Floats, Value::Float(_)) => {}
            _ => {
                self.any = (0..row).map(|at| self.value(at)).collect();
                self.kind = Kind::Any;
                return self.any.push(value);
            }
        }
        match (self.kind, value) {
            (Kind::Ints, Value::Int(x)) => self.ints.push(x),
            (Kind::Ints, _) => self.ints.push(0),
            (Kind::Floats, Value::Float(x)) => self.floats.push(x),
            (Kind::Floats, _) => self.floats.push(0.0),
            _ => {}
        }
        if is_null && self.nulls.is_empty() {
            self.nulls.resize(row, false);
        }
        if is_null || !self.nulls.is_empty() {
            self.nulls.push(is_null);
        }
    }

    fn value(&self, row: usize) -> Value {
        match self.kind {
            _ if self.nulls.get(row).is_some_and(|is_null| *is_null) => Value::None,
            Kind::Ints => Value::Int(self.ints[row]),
            Kind::Floats => Value::Float(self.floats[row]),
            Kind::Nothing | Kind::Any => Value::None,
        }
    }

    fn finish(self) -> Cells {
        match self.kind {
            Kind::Ints => Cells::Ints(self.ints, self.nulls),
            Kind::Floats => Cells::Floats(self.floats, self.nulls),
            Kind::Any => Cells::Any(self.any),
            Kind::Nothing => Cells::Any(vec![Value::None; self.nulls.len()]),
        }
    }
}
