//! A table on its way in, and the pieces of it that are evaluated at a time.
//!
//! A piece is bounded in rows, cells and bytes of text whatever the table is, so that a batch of millions of rows takes no
//! more room beside its own bytes than a small one does.

use crate::http::problem::{Outcome, Problem, clip};
use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowDictionaryKeyType, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
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
    Dictionary(Key<'a>, Box<Texts<'a>>),
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
        DataType::Dictionary(_, value) if is_text(value) => {
            let (key, values) = keyed(array)?;
            Texts::Dictionary(key, Box::new(texts_of(values)?))
        }
        _ => return None,
    })
}

/// Where the value of a row stands in a dictionary; `None` where it is null.
type Key<'a> = Box<dyn Fn(usize) -> Option<usize> + 'a>;

/// The keys of a dictionary, and its values.
fn keyed(array: &dyn Array) -> Option<(Key<'_>, &dyn Array)> {
    fn of<K: ArrowDictionaryKeyType>(array: &dyn Array) -> Option<(Key<'_>, &dyn Array)> {
        let array = array.as_dictionary_opt::<K>()?;
        Some((Box::new(|row| array.key(row)), array.values().as_ref()))
    }
    let DataType::Dictionary(key, _) = array.data_type() else { return None };
    match **key {
        DataType::Int8 => of::<Int8Type>(array),
        DataType::Int16 => of::<Int16Type>(array),
        DataType::Int32 => of::<Int32Type>(array),
        DataType::Int64 => of::<Int64Type>(array),
        DataType::UInt8 => of::<UInt8Type>(array),
        DataType::UInt16 => of::<UInt16Type>(array),
        DataType::UInt32 => of::<UInt32Type>(array),
        DataType::UInt64 => of::<UInt64Type>(array),
        _ => None,
    }
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

/// Which values of an array are meant.
enum Places {
    Range(Range<usize>),
    /// Each where it stands: a dictionary's. Only those of the piece, as the dictionary may be of any size.
    Each(Vec<usize>),
}

/// Some rows of an array whose type is one that is taken.
fn of_arrow(array: &dyn Array, rows: Range<usize>) -> (Part<'_>, Cow<'_, [bool]>) {
    if let Some(texts) = texts_of(array) {
        let value = |row| texts.get(row).map_or(Value::None, |text| Value::Str(Text::from(text)));
        // Nulls are `None` here already, those of a dictionary's values too.
        return (Part::Any(rows.map(value).collect()), Cow::default());
    }
    let (values, nulls, places) = match keyed(array) {
        Some((key, values)) => {
            let places: Vec<Option<usize>> =
                rows.map(|row| key(row).filter(|place| values.is_valid(*place))).collect();
            let nulls: Vec<bool> = places.iter().map(Option::is_none).collect();
            (values, nulls, Places::Each(places.into_iter().map(Option::unwrap_or_default).collect()))
        }
        None => {
            let nulls = match array.nulls().filter(|nulls| nulls.null_count() > 0) {
                Some(nulls) => rows.clone().map(|row| nulls.is_null(row)).collect(),
                None => Vec::new(),
            };
            (array, nulls, Places::Range(rows))
        }
    };
    // Where none of these is null they need not be looked at.
    let nulls = if nulls.contains(&true) { nulls } else { Vec::new() };
    match plain(values, &places) {
        Some(part) => (part, nulls.into()),
        None => (Part::Any(vec![Value::None; places.len()].into()), Cow::default()),
    }
}

impl Places {
    fn len(&self) -> usize {
        match self {
            Places::Range(rows) => rows.len(),
            Places::Each(places) => places.len(),
        }
    }
}

/// Numbers or bools; `None` where they are neither.
fn plain<'a>(array: &'a dyn Array, places: &Places) -> Option<Part<'a>> {
    Some(match array.data_type() {
        DataType::Int64 => Part::Ints(values::<Int64Type>(array, places)),
        DataType::Float64 => Part::Floats(values::<Float64Type>(array, places)),
        DataType::Int8 => ints::<Int8Type>(array, places),
        DataType::Int16 => ints::<Int16Type>(array, places),
        DataType::Int32 => ints::<Int32Type>(array, places),
        DataType::UInt8 => ints::<UInt8Type>(array, places),
        DataType::UInt16 => ints::<UInt16Type>(array, places),
        DataType::UInt32 => ints::<UInt32Type>(array, places),
        DataType::UInt64 => unsigned(&values::<UInt64Type>(array, places)),
        DataType::Float16 => floats::<Float16Type>(array, places),
        DataType::Float32 => floats::<Float32Type>(array, places),
        DataType::Boolean => {
            let array = array.as_boolean();
            let value = |row: usize| u64::from(row < array.len() && array.value(row));
            Part::Bools(match places {
                Places::Range(rows) => rows.clone().map(value).collect(),
                Places::Each(places) => places.iter().map(|place| value(*place)).collect(),
            })
        }
        _ => return None,
    })
}

fn values<'a, T: ArrowPrimitiveType>(array: &'a dyn Array, places: &Places) -> Cow<'a, [T::Native]> {
    let Some(array) = array.as_primitive_opt::<T>() else { return Cow::default() };
    match places {
        Places::Range(rows) => Cow::Borrowed(&array.values()[rows.clone()]),
        // What is null stands nowhere, and the dictionary may be empty.
        Places::Each(places) => {
            let value = |place: &usize| array.values().get(*place).copied().unwrap_or_default();
            places.iter().map(value).collect()
        }
    }
}

fn ints<'a, T: ArrowPrimitiveType<Native: Into<i64>>>(array: &'a dyn Array, places: &Places) -> Part<'a> {
    Part::Ints(values::<T>(array, places).iter().map(|x| (*x).into()).collect())
}

fn floats<'a, T: ArrowPrimitiveType<Native: Into<f64>>>(array: &'a dyn Array, places: &Places) -> Part<'a> {
    Part::Floats(values::<T>(array, places).iter().map(|x| (*x).into()).collect())
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

/// What to do with a column of a type that is not taken; `None` where it is taken.
pub(super) fn advice(data_type: &DataType) -> Option<&'static str> {
    Some(match data_type {
        DataType::Null => return None,
        // What pandas makes of categories that are all missing has values of type null.
        DataType::Dictionary(_, value) if is_plain(value) || **value == DataType::Null => return None,
        other if is_plain(other) => return None,
        DataType::Dictionary(_, value) => advice(value).unwrap_or("cast it to its value type"),
        DataType::RunEndEncoded(..) => "cast it to its value type",
        DataType::Date32 | DataType::Time32(_) => "cast it to int32 or utf8",
        DataType::Date64 | DataType::Time64(_) | DataType::Timestamp(..) => "cast it to int64 or utf8",
        DataType::Duration(_) => "cast it to int64",
        DataType::Decimal32(..)
        | DataType::Decimal64(..)
        | DataType::Decimal128(..)
        | DataType::Decimal256(..) => "cast it to float64 or utf8",
        DataType::Struct(_) => "make a column of each of its fields",
        other if other.is_nested() => "make columns of its single values",
        _ => "cast it to utf8",
    })
}

/// Whether its values are ints, floats, bools or texts.
fn is_plain(data_type: &DataType) -> bool {
    data_type.is_integer() || data_type.is_floating() || *data_type == DataType::Boolean || is_text(data_type)
}

/// Whether it is one of the forms of text.
fn is_text(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View)
}
