//! The writer: values as `json.dumps` writes them, floats always with fraction or exponent.
//!
//! Size is checked as the text grows, so that a small value that names one list many times
//! cannot grow into a large answer. No number allocates.

use super::read::plain_end;
use super::{DEPTH_MAX, Step, clip, pointer};
use crate::dict::Dict;
use crate::document::Document;
use crate::error::{Raise, RaiseKind, Result as Evaluated};
use crate::format::{Exponent, push_float};
use crate::limits::Limit;
use crate::meter::Meter;
use crate::text::Text;
use crate::value::Value;
use std::sync::Arc;

/// Appends a finite float: shortest digits that read back to the same float, always with a
/// fraction or exponent (`10.0`, `1e16`, `1e-05`, `-0.0`).
pub fn write_float(x: f64, out: &mut String) {
    push_float(x, Exponent::Plain, out);
}

/// Writes a result, appended. Pays a step for each element, each 64 bytes of text and each limb
/// of a big integer.
///
/// # Errors
/// [`RaiseKind::ResultNotJson`] for NaN, infinity, functions, iterators, ranges, views, keys
/// that JSON does not have and keys that are equal as text; limits for size and depth. What was
/// appended until then stays.
pub fn write_value(meter: &mut Meter, value: &Value, out: &mut String) -> Evaluated<()> {
    let size_max = out.len().saturating_add(meter.limits().result_json_bytes);
    let depth_left = depth_max(meter);
    Writer { meter, out, size_max }.value(value, depth_left).map_err(|stop| raised(*stop))
}

/// The value that JSON would bring back: tuples become lists, dict keys text. Values that flow
/// from one formula to another take this way. A value that stays the same is shared, not copied.
///
/// # Errors
/// As [`write_value`], but for the size.
pub fn normalize(meter: &mut Meter, value: &Value) -> Evaluated<Value> {
    let depth_left = depth_max(meter);
    match changed(meter, value, depth_left).map_err(|stop| raised(*stop))? {
        Some(value) => Ok(value),
        None => Ok(value.clone()),
    }
}

/// Writes a document.
pub fn write_document(document: &Document, out: &mut String) {
    match document {
        Document::Null => out.push_str("null"),
        Document::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Document::Int(i) => out.push_str(itoa::Buffer::new().format(*i)),
        Document::BigInt(digits) => out.push_str(digits),
        Document::Float(x) => write_float(*x, out),
        Document::Text(text) => write_text(text, out),
        Document::List(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_document(item, out);
            }
            out.push(']');
        }
        Document::Map(members) => {
            out.push('{');
            for (index, (key, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write_text(key, out);
                out.push(':');
                write_document(value, out);
            }
            out.push('}');
        }
    }
}

/// Writes a JSON string with quotes. Escapes what must be escaped and nothing else.
pub fn write_text(text: &str, out: &mut String) {
    out.reserve(text.len() + 2);
    out.push('"');
    let mut plain = 0;
    loop {
        let end = plain_end(text.as_bytes(), plain);
        out.push_str(text.get(plain..end).unwrap_or_default());
        let Some(&byte) = text.as_bytes().get(end) else { break };
        plain = end + 1;
        match byte {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0C => out.push_str("\\f"),
            _ => {
                out.push_str("\\u00");
                for nibble in [byte >> 4, byte & 15] {
                    out.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
                }
            }
        }
    }
    out.push('"');
}

/// Why writing stopped. The path of a value that has no JSON form grows from the inside out.
enum Stop {
    Raised(Box<Raise>),
    NotJson { what: String, path: Vec<Step> },
}

impl From<Box<Raise>> for Box<Stop> {
    fn from(raise: Box<Raise>) -> Box<Stop> {
        Box::new(Stop::Raised(raise))
    }
}

type Written<T> = Result<T, Box<Stop>>;

#[cold]
fn not_json(what: impl Into<String>) -> Box<Stop> {
    Box::new(Stop::NotJson { what: what.into(), path: Vec::new() })
}

#[cold]
fn inside(mut stop: Box<Stop>, step: impl FnOnce() -> Step) -> Box<Stop> {
    if let Stop::NotJson { path, .. } = &mut *stop {
        path.push(step());
    }
    stop
}

#[cold]
fn raised(stop: Stop) -> Box<Raise> {
    match stop {
        Stop::Raised(raise) => raise,
        Stop::NotJson { what, path } => {
            let place = if path.is_empty() { String::new() } else { format!(" at {}", pointer(&path)) };
            let message = format!("the result holds {what}{place}, which JSON cannot hold");
            Box::new(Raise { kind: RaiseKind::ResultNotJson, message, at: None })
        }
    }
}

fn depth_max(meter: &Meter) -> usize {
    meter.limits().json_depth.min(DEPTH_MAX)
}

/// The depth inside a container.
#[inline]
fn deeper(meter: &Meter, depth_left: usize) -> Evaluated<usize> {
    depth_left.checked_sub(1).ok_or_else(|| {
        Raise::limit(
            Limit::JsonDepth,
            format!("a result may have lists and dicts at most {} deep inside each other", depth_max(meter)),
        )
    })
}

/// What a value without JSON form is called in the message.
#[cold]
fn name_of(value: &Value) -> String {
    match value {
        Value::Float(x) if x.is_nan() => "NaN".to_owned(),
        Value::Float(x) if *x < 0.0 => "minus infinity".to_owned(),
        Value::Float(_) => "infinity".to_owned(),
        Value::Range(_) => "a range (write list(...))".to_owned(),
        Value::View(_) => format!("a {} view (write list(...))", value.type_name()),
        Value::Iterator(_) => format!("a {} iterator (write list(...))", value.type_name()),
        Value::Function(_) | Value::Math(_) | Value::BoundMethod(_) => "a function".to_owned(),
        Value::Builtin(builtin) => format!(
            "the {} {}",
            builtin.name(),
            if builtin.type_name() == "type" { "type" } else { "function" }
        ),
        _ => format!("a value of type {}", value.type_name()),
    }
}

/// The text of a key that is no str, as `json.dumps` makes it.
fn push_key(meter: &mut Meter, key: &Value, out: &mut String) -> Written<()> {
    match key {
        Value::Str(text) => out.push_str(text.as_str()),
        Value::None => out.push_str("null"),
        Value::Bool(b) => out.push_str(if *b { "true" } else { "false" }),
        Value::Int(i) => out.push_str(itoa::Buffer::new().format(*i)),
        Value::BigInt(big) => {
            meter.steps(big.bits().div_ceil(64))?;
            out.push_str(&big.to_string());
        }
        Value::Float(x) if x.is_finite() => push_float(*x, Exponent::Signed, out),
        Value::Float(_) => return Err(not_json(format!("{} as a key", name_of(key)))),
        _ => return Err(not_json(format!("a {} as a key", key.type_name()))),
    }
    Ok(())
}

/// [`push_key`] for a key that is no str; refuses it where the dict has that text as a key too.
/// Keys that are no str cannot become equal to each other: equal numbers are one key.
fn key_text(meter: &mut Meter, dict: &Dict, key: &Value) -> Written<String> {
    let mut text = String::new();
    push_key(meter, key, &mut text)?;
    if dict.get_str(&text).is_some() {
        return Err(not_json(format!(
            "the key {text:?} twice, once as a str and once as {}",
            key.type_name()
        )));
    }
    Ok(text)
}

/// The step to a dict's value, clipped: it goes into a message.
fn member(key: &Value) -> Step {
    Step::Member(match key {
        Value::Str(text) => clip(text.as_str()),
        Value::None => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Int(i) => i.to_string(),
        other => other.type_name().to_owned(),
    })
}

struct Writer<'a> {
    meter: &'a mut Meter,
    out: &'a mut String,
    /// The length `out` may reach.
    size_max: usize,
}

impl Writer<'_> {
    fn value(&mut self, value: &Value, depth_left: usize) -> Written<()> {
        match value {
            Value::None => self.out.push_str("null"),
            Value::Bool(b) => self.out.push_str(if *b { "true" } else { "false" }),
            Value::Int(i) => self.out.push_str(itoa::Buffer::new().format(*i)),
            Value::Float(x) if x.is_finite() => write_float(*x, self.out),
            Value::Str(text) => self.text(text.as_str())?,
            Value::List(items) | Value::Tuple(items) => self.list(items, depth_left)?,
            Value::Dict(dict) => self.dict(dict, depth_left)?,
            Value::BigInt(big) => {
                // Digits are known up to one before they are made.
                self.room((big.bits() as usize).saturating_mul(3) / 10)?;
                self.meter.steps(big.bits().div_ceil(64))?;
                self.out.push_str(&big.to_string());
            }
            Value::Float(_)
            | Value::Range(_)
            | Value::View(_)
            | Value::Function(_)
            | Value::Builtin(_)
            | Value::Math(_)
            | Value::BoundMethod(_)
            | Value::Iterator(_) => return Err(not_json(name_of(value))),
        }
        self.room(0)
    }

    /// Refuses unless `more` bytes fit.
    #[inline]
    fn room(&self, more: usize) -> Written<()> {
        if self.out.len().saturating_add(more) > self.size_max { Err(self.too_large()) } else { Ok(()) }
    }

    #[cold]
    fn too_large(&self) -> Box<Stop> {
        let bytes = self.meter.limits().result_json_bytes;
        Raise::limit(Limit::ResultSize, format!("a result may have at most {bytes} bytes as JSON")).into()
    }

    fn text(&mut self, text: &str) -> Written<()> {
        self.room(text.len() + 2)?;
        self.meter.steps(text.len() as u64 / 64)?;
        write_text(text, self.out);
        Ok(())
    }

    fn list(&mut self, items: &[Value], depth_left: usize) -> Written<()> {
        let depth_left = deeper(self.meter, depth_left)?;
        self.meter.steps(items.len() as u64)?;
        self.out.push('[');
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.value(item, depth_left).map_err(|stop| inside(stop, || Step::Element(index)))?;
        }
        self.out.push(']');
        Ok(())
    }

    fn dict(&mut self, dict: &Dict, depth_left: usize) -> Written<()> {
        let depth_left = deeper(self.meter, depth_left)?;
        self.meter.steps(dict.len() as u64)?;
        self.out.push('{');
        for (index, (key, value)) in dict.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            match key {
                Value::Str(text) => self.text(text.as_str())?,
                _ => {
                    let text = key_text(self.meter, dict, key)?;
                    self.text(&text)?;
                }
            }
            self.out.push(':');
            self.value(value, depth_left).map_err(|stop| inside(stop, || member(key)))?;
        }
        self.out.push('}');
        Ok(())
    }
}

/// What [`normalize`] makes of a value; `None` where it stays the same.
fn changed(meter: &mut Meter, value: &Value, depth_left: usize) -> Written<Option<Value>> {
    match value {
        Value::None | Value::Bool(_) | Value::Int(_) | Value::BigInt(_) | Value::Str(_) => Ok(None),
        Value::Float(x) if x.is_finite() => Ok(None),
        Value::List(items) => Ok(changed_items(meter, items, depth_left)?.map(Value::list)),
        Value::Tuple(items) => match changed_items(meter, items, depth_left)? {
            Some(items) => Ok(Some(Value::list(items))),
            None => Ok(Some(Value::List(Arc::clone(items)))),
        },
        Value::Dict(dict) => changed_dict(meter, dict, depth_left),
        _ => Err(not_json(name_of(value))),
    }
}

fn changed_items(meter: &mut Meter, items: &[Value], depth_left: usize) -> Written<Option<Vec<Value>>> {
    let depth_left = deeper(meter, depth_left)?;
    meter.steps(items.len() as u64)?;
    let mut copy: Option<Vec<Value>> = None;
    for (index, item) in items.iter().enumerate() {
        let new = changed(meter, item, depth_left).map_err(|stop| inside(stop, || Step::Element(index)))?;
        if new.is_some() && copy.is_none() {
            meter.list(items.len())?;
            let mut start = Vec::with_capacity(items.len());
            start.extend(items.iter().take(index).cloned());
            copy = Some(start);
        }
        if let Some(copy) = &mut copy {
            copy.push(new.unwrap_or_else(|| item.clone()));
        }
    }
    Ok(copy)
}

fn changed_dict(meter: &mut Meter, dict: &Arc<Dict>, depth_left: usize) -> Written<Option<Value>> {
    let depth_left = deeper(meter, depth_left)?;
    meter.steps(dict.len() as u64)?;
    let mut copy: Option<Dict> = None;
    for (index, (key, value)) in dict.iter().enumerate() {
        let new_key = match key {
            Value::Str(_) => None,
            _ => {
                let text = key_text(meter, dict, key)?;
                meter.string(text.len())?;
                Some(Text::from(text.as_str()))
            }
        };
        let new = changed(meter, value, depth_left).map_err(|stop| inside(stop, || member(key)))?;
        if copy.is_none() && (new.is_some() || new_key.is_some()) {
            let mut start = Dict::new();
            // All keys before this one are str, else there were a copy.
            for (key, value) in dict.iter().take(index) {
                if let Value::Str(key) = key {
                    meter.dict_entry(start.len() + 1)?;
                    start.insert_str(key.clone(), value.clone());
                }
            }
            copy = Some(start);
        }
        if let Some(copy) = &mut copy {
            let key = match (new_key, key) {
                (Some(key), _) => key,
                (None, Value::Str(key)) => key.clone(),
                (None, _) => continue,
            };
            meter.dict_entry(copy.len() + 1)?;
            copy.insert_str(key, new.unwrap_or_else(|| value.clone()));
        }
    }
    Ok(copy.map(|dict| Value::Dict(Arc::new(dict))))
}
