//! A table on its way in, and the pieces of it that are evaluated at a time.
//!
//! A piece is bounded in rows, cells and bytes of text whatever the table is, so that a batch of millions of rows takes no
//! more room beside its own bytes than a small one does.

use crate::http::problem::{Outcome, Problem, clip};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type,
    UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrayRef, ArrowPrimitiveType};
use arrow_schema::DataType;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limit;
use butterflyfx_formula::text::Text;
use butterflyfx_formula::value::Value;
use butterflyfx_jit::code::Payloads;
use butterflyfx_jit::columns::{Column, Values};
use std::borrow::Cow;
use std::ops::Range;

/// Rows that are evaluated at a time.
pub(super) const PIECE_ROWS_MAX: usize = 65_536;

/// Values that are evaluated at a time.
const PIECE_CELLS_MAX: usize = 1 << 20;

/// Bytes of text that are evaluated at a time: a column of views may show the same text many times.
const PIECE_TEXT_BYTES_MAX: usize = 4 * 1024 * 1024;

/// Columns of a table.
pub(super) const COLUMNS_MAX: usize = 1_000;

/// Bits of the ints that come in columns of their own.
const INT_BITS: u64 = 64;

/// The values of a column.
#[derive(Debug)]
pub(super) enum Cells {
    /// Of Arrow, where they lie.
    Arrow(ArrayRef),
    /// Ints, and which are null.
    Ints(Vec<i64>, Vec<bool>),
    /// Floats, and which are null.
    Floats(Vec<f64>, Vec<bool>),
    /// Any.
    Any(Vec<Value>),
}

/// Columns of equal length.
#[derive(Debug)]
pub(super) struct Table {
    /// How many rows.
    pub(super) rows: usize,
    /// Each with the name of its parameter; names are unique.
    pub(super) columns: Vec<(Text, Cells)>,
}

/// The values of a column in a piece.
enum Part<'a> {
    Ints(Cow<'a, [i64]>),
    Floats(Cow<'a, [f64]>),
    Bools(Vec<u64>),
    Any(Cow<'a, [Value]>),
}

/// Some rows of a table.
pub(super) struct Piece<'a> {
    parts: Vec<(&'a str, Part<'a>, Cow<'a, [bool]>)>,
}

impl Piece<'_> {
    /// As the engine takes them.
    pub(super) fn columns(&self) -> Vec<Column<'_>> {
        self.parts
            .iter()
            .map(|(name, part, is_null)| Column {
                name,
                values: match part {
                    Part::Ints(values) => Values::Of(Payloads::Ints(values)),
                    Part::Floats(values) => Values::Of(Payloads::Floats(values)),
                    Part::Bools(values) => Values::Of(Payloads::Bools(values)),
                    Part::Any(values) => Values::Any(values),
                },
                is_null,
            })
            .collect()
    }
}

impl Table {
    /// The next piece from a row on, and how many rows it has. `first` is the number of the table's first row among
    /// all that came; a text is at most so long.
    pub(super) fn piece(
        &self,
        from: usize,
        first: u64,
        text_bytes_max: usize,
    ) -> Outcome<(Piece<'_>, usize)> {
        let rows =
            (PIECE_CELLS_MAX / self.columns.len().max(1)).clamp(1, PIECE_ROWS_MAX).min(self.rows - from);
        let rows = self.rows_by_text(from..from + rows, first, text_bytes_max)?;
        let parts = self.columns.iter().map(|(name, cells)| {
            let (part, is_null) = cells.part(from..from + rows);
            (name.as_str(), part, is_null)
        });
        Ok((Piece { parts: parts.collect() }, rows))
    }

    /// How many of these rows have no more text than a piece may have; at least one.
    fn rows_by_text(&self, rows: Range<usize>, first: u64, text_bytes_max: usize) -> Outcome<usize> {
        let texts: Vec<(&Text, Texts<'_>)> =
            self.columns.iter().filter_map(|(name, cells)| Some((name, cells.texts()?))).collect();
        if texts.is_empty() {
            return Ok(rows.len());
        }
        let mut bytes = 0;
        for row in rows.clone() {
            for (name, texts) in &texts {
                let length = texts.get(row).map_or(0, str::len);
                if length > text_bytes_max {
                    let detail = format!(
                        "the text in row {} of column {:?} has {length} bytes; it may have {text_bytes_max}",
                        first + row as u64,
                        clip(name.as_str(), 64)
                    );
                    return Err(Problem::limit(Limit::ParametersSize.name(), detail));
                }
                bytes += length;
            }
            if bytes > PIECE_TEXT_BYTES_MAX && row > rows.start {
                return Ok(row - rows.start);
            }
        }
        Ok(rows.len())
    }
}

/// A column of text, in one of the forms that Arrow has.
enum Texts<'a> {
    Small(&'a arrow_array::StringArray),
    Large(&'a arrow_array::LargeStringArray),
    Views(&'a arrow_array::StringViewArray),
    Dictionary(Box<dyn Fn(usize) -> Option<usize> + 'a>, Box<Texts<'a>>),
}

impl Texts<'_> {
    /// `None` where it is null.
    fn get(&self, row: usize) -> Option<&str> {
        match self {
            Texts::Small(array) => (!array.is_null(row)).then(|| array.value(row)),
            Texts::Large(array) => (!array.is_null(row)).then(|| array.value(row)),
            Texts::Views(array) => (!array.is_null(row)).then(|| array.value(row)),
            Texts::Dictionary(key, values) => values.get(key(row)?),
        }
    }
}

fn texts_of(array: &dyn Array) -> Option<Texts<'_>> {
    Some(match array.data_type() {
        DataType::Utf8 => Texts::Small(array.as_string()),
        DataType::LargeUtf8 => Texts::Large(array.as_string()),
        DataType::Utf8View => Texts::Views(array.as_string_view()),
        DataType::Dictionary(key, _) => match **key {
            DataType::Int8 => dictionary::<Int8Type>(array)?,
            DataType::Int16 => dictionary::<Int16Type>(array)?,
            DataType::Int32 => dictionary::<Int32Type>(array)?,
            DataType::Int64 => dictionary::<Int64Type>(array)?,
            DataType::UInt8 => dictionary::<UInt8Type>(array)?,
            DataType::UInt16 => dictionary::<UInt16Type>(array)?,
            DataType::UInt32 => dictionary::<UInt32Type>(array)?,
            DataType::UInt64 => dictionary::<UInt64Type>(array)?,
            _ => return None,
        },
        _ => return None,
    })
}

fn dictionary<K: ArrowDictionaryKeyType>(array: &dyn Array) -> Option<Texts<'_>> {
    let array = array.as_dictionary_opt::<K>()?;
    let values = texts_of(array.values().as_ref())?;
    Some(Texts::Dictionary(Box::new(|row| array.key(row)), Box::new(values)))
}

impl Cells {
    fn texts(&self) -> Option<Texts<'_>> {
        match self {
            Cells::Arrow(array) => texts_of(array.as_ref()),
            _ => None,
        }
    }

    fn part(&self, rows: Range<usize>) -> (Part<'_>, Cow<'_, [bool]>) {
        let some = |nulls: &'_ [bool]| match nulls.is_empty() {
            true => Vec::new(),
            false => nulls[rows.clone()].to_vec(),
        };
        match self {
            Cells::Arrow(array) => of_arrow(array.as_ref(), rows),
            Cells::Ints(values, nulls) => {
                (Part::Ints(Cow::Borrowed(&values[rows.clone()])), some(nulls).into())
            }
            Cells::Floats(values, nulls) => {
                (Part::Floats(Cow::Borrowed(&values[rows.clone()])), some(nulls).into())
            }
            Cells::Any(values) => (Part::Any(Cow::Borrowed(&values[rows])), Cow::default()),
        }
    }
}

/// Some rows of an array whose type is one of those that [`is_supported`].
fn of_arrow(array: &dyn Array, rows: Range<usize>) -> (Part<'_>, Cow<'_, [bool]>) {
    let nulls = match array.nulls().filter(|nulls| nulls.null_count() > 0) {
        Some(nulls) => rows.clone().map(|row| nulls.is_null(row)).collect(),
        None => Vec::new(),
    };
    // Where none of these is null they need not be looked at.
    let nulls = if nulls.contains(&true) { nulls } else { Vec::new() };
    let part = match array.data_type() {
        DataType::Int64 => Part::Ints(values::<Int64Type>(array, &rows).into()),
        DataType::Float64 => Part::Floats(values::<Float64Type>(array, &rows).into()),
        DataType::Int8 => ints::<Int8Type>(array, &rows),
        DataType::Int16 => ints::<Int16Type>(array, &rows),
        DataType::Int32 => ints::<Int32Type>(array, &rows),
        DataType::UInt8 => ints::<UInt8Type>(array, &rows),
        DataType::UInt16 => ints::<UInt16Type>(array, &rows),
        DataType::UInt32 => ints::<UInt32Type>(array, &rows),
        DataType::UInt64 => unsigned(values::<UInt64Type>(array, &rows)),
        DataType::Float32 => {
            Part::Floats(values::<Float32Type>(array, &rows).iter().map(|x| f64::from(*x)).collect())
        }
        DataType::Boolean => {
            let array = array.as_boolean();
            Part::Bools(rows.map(|row| u64::from(array.value(row))).collect())
        }
        _ => match texts_of(array) {
            Some(texts) => {
                let value = |row| texts.get(row).map_or(Value::None, |text| Value::Str(Text::from(text)));
                // Nulls are `None` here already, those of a dictionary's values too.
                return (Part::Any(rows.map(value).collect()), Cow::default());
            }
            None => return (Part::Any(vec![Value::None; rows.len()].into()), Cow::default()),
        },
    };
    (part, nulls.into())
}

fn values<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, rows: &Range<usize>) -> &'a [T::Native] {
    array.as_primitive_opt::<T>().map_or(&[], |array| &array.values()[rows.clone()])
}

fn ints<'a, T: ArrowPrimitiveType<Native: Into<i64>>>(array: &'a dyn Array, rows: &Range<usize>) -> Part<'a> {
    Part::Ints(values::<T>(array, rows).iter().map(|x| (*x).into()).collect())
}

fn unsigned(values: &[u64]) -> Part<'static> {
    if let Ok(ints) = values.iter().map(|x| i64::try_from(*x)).collect::<Result<Vec<i64>, _>>() {
        return Part::Ints(ints.into());
    }
    let value = |x: &u64| match i64::try_from(*x) {
        Ok(x) => Value::Int(x),
        Err(_) => json::read_value(x.to_string().as_bytes(), 1, INT_BITS).unwrap_or(Value::None),
    };
    Part::Any(values.iter().map(value).collect())
}

/// Whether columns of this type are taken.
pub(super) fn is_supported(data_type: &DataType) -> bool {
    match data_type {
        DataType::Dictionary(key, value) => key.is_integer() && is_text(value),
        DataType::Null | DataType::Boolean | DataType::Float32 | DataType::Float64 => true,
        other => other.is_integer() || is_text(other),
    }
}

/// Whether it is one of the forms of text.
fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
