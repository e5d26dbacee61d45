//! The constants and defaults of a formula as bytes, so that a substrate needs no object of its
//! own on the heap. Values without such a form (functions, ranges, huge integers, long lists)
//! stay values, in a map for the few that have them.

use crate::state::encoding::{Reader, put_int, put_length, put_text};
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::text::Text;
use butterflyfx_formula::value::Value;
use std::sync::Arc;

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const FLOAT: u8 = 4;
const STR: u8 = 5;
const LIST: u8 = 6;
const TUPLE: u8 = 7;
const DICT: u8 = 8;

/// Longer lists of constants are shared as values: reading them back would cost an evaluation
/// more than it is worth.
const ENCODED_BYTES_MAX: usize = 4096;

/// Levels of nesting in constants that are encoded.
const NESTING_MAX: usize = 64;

/// Appends constants and defaults; `false`, with nothing appended, where some value has no form.
pub(crate) fn encode(constants: &[Value], defaults: &[Value], out: &mut Vec<u8>) -> bool {
    if constants.is_empty() && defaults.is_empty() {
        return true;
    }
    let start = out.len();
    put_length(constants.len() as u64, out);
    for value in constants.iter().chain(defaults) {
        if !encode_value(value, start + ENCODED_BYTES_MAX, NESTING_MAX, out) {
            out.truncate(start);
            return false;
        }
    }
    true
}

fn encode_value(value: &Value, end_max: usize, nesting_left: usize, out: &mut Vec<u8>) -> bool {
    if out.len() > end_max || nesting_left == 0 {
        return false;
    }
    match value {
        Value::None => out.push(NONE),
        Value::Bool(false) => out.push(FALSE),
        Value::Bool(true) => out.push(TRUE),
        Value::Int(i) => {
            out.push(INT);
            put_int(*i, out);
        }
        Value::Float(x) => {
            out.push(FLOAT);
            out.extend_from_slice(&x.to_bits().to_le_bytes());
        }
        Value::Str(text) => {
            out.push(STR);
            put_text(text.as_str(), out);
        }
        Value::List(items) | Value::Tuple(items) => {
            out.push(if matches!(value, Value::List(_)) { LIST } else { TUPLE });
            put_length(items.len() as u64, out);
            return items.iter().all(|item| encode_value(item, end_max, nesting_left - 1, out));
        }
        Value::Dict(dict) => {
            out.push(DICT);
            put_length(dict.len() as u64, out);
            return dict.iter().all(|(key, value)| match key {
                Value::Str(key) => {
                    put_text(key.as_str(), out);
                    encode_value(value, end_max, nesting_left - 1, out)
                }
                _ => false,
            });
        }
        _ => return false,
    }
    out.len() <= end_max
}

/// Reads constants and defaults back.
pub(crate) fn decode(bytes: &[u8]) -> (Arc<[Value]>, Arc<[Value]>) {
    if bytes.is_empty() {
        return (Arc::default(), Arc::default());
    }
    let mut reader = Reader::new(bytes);
    let count = reader.length();
    let constants = (0..count).map(|_| decode_value(&mut reader)).collect();
    let mut defaults = smallvec::SmallVec::<[Value; 8]>::new();
    while !reader.rest().is_empty() {
        defaults.push(decode_value(&mut reader));
    }
    (constants, defaults.into_iter().collect())
}

fn decode_value(reader: &mut Reader<'_>) -> Value {
    match reader.byte() {
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        INT => Value::Int(reader.int()),
        FLOAT => Value::Float(reader.float()),
        STR => Value::Str(Text::from(reader.text())),
        tag @ (LIST | TUPLE) => {
            let length = reader.length();
            let items = (0..length).map(|_| decode_value(reader)).collect();
            if tag == LIST { Value::list(items) } else { Value::tuple(items) }
        }
        DICT => {
            let mut dict = Dict::new();
            for _ in 0..reader.length() {
                let key = Text::from(reader.text());
                let value = decode_value(reader);
                dict.insert_str(key, value);
            }
            Value::Dict(Arc::new(dict))
        }
        _ => Value::None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(constants: &[Value], defaults: &[Value], encodes: bool) {
        let mut bytes = vec![];
        assert_eq!(encode(constants, defaults, &mut bytes), encodes);
        if encodes {
            let (read_constants, read_defaults) = decode(&bytes);
            assert_eq!(format!("{read_constants:?}"), format!("{constants:?}"));
            assert_eq!(format!("{read_defaults:?}"), format!("{defaults:?}"));
        } else {
            assert!(bytes.is_empty());
        }
    }

    #[test]
    fn constants_come_back() {
        let mixed = [Value::None, Value::Bool(true), Value::Int(-5), Value::Float(-0.0), Value::str("kw")];
        check(&[], &[], true);
        check(&mixed, &[], true);
        check(&[], &mixed, true);
        check(&mixed, &[Value::list(mixed.to_vec()), Value::tuple(vec![])], true);
        check(&[Value::str("x".repeat(5000))], &[], false);
        check(&[Value::list(vec![Value::Int(1); 5000])], &[], false);
        let nested = (0..100).fold(Value::Int(1), |inner, _| Value::list(vec![inner]));
        check(&[nested], &[], false);
    }
}
