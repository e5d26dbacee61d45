//! Constants and parameters as bytes that are equal only where no formula can tell them apart:
//! each kind of number has a tag of its own, floats are their bits, and dicts keep their order.
//!
//! A tag tells how long what follows is, so one text of bytes can be read in one way only.

use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::json;
use butterflyfx_formula::value::Value;

const NONE: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const BIG_INT: u8 = 4;
const FLOAT: u8 = 5;
const STR: u8 = 6;
const LIST: u8 = 7;
const TUPLE: u8 = 8;
const DICT: u8 = 9;

/// The bytes of constants and parameters; `None` where they are more than asked for, or where a
/// value has no such form.
pub(super) fn key(constants: &[Value], parameters: &Dict, bytes_max: usize) -> Option<Vec<u8>> {
    let bytes = Vec::with_capacity(16 * (constants.len() + parameters.len()).min(1_000));
    let mut writer = Writer { bytes, bytes_max };
    writer.items(LIST, constants, json::DEPTH_MAX)?;
    writer.dict(parameters, json::DEPTH_MAX)?;
    Some(writer.bytes)
}

struct Writer {
    bytes: Vec<u8>,
    bytes_max: usize,
}

impl Writer {
    fn value(&mut self, value: &Value, depth_left: usize) -> Option<()> {
        if self.bytes.len() > self.bytes_max {
            return None;
        }
        match value {
            Value::None => self.bytes.push(NONE),
            Value::Bool(false) => self.bytes.push(FALSE),
            Value::Bool(true) => self.bytes.push(TRUE),
            Value::Int(number) => self.tagged(INT, number.to_le_bytes()),
            Value::BigInt(number) => self.text(BIG_INT, &number.to_signed_bytes_le())?,
            // No JSON has one, and which of them it is would show.
            Value::Float(number) if number.is_nan() => return None,
            Value::Float(number) => self.tagged(FLOAT, number.to_bits().to_le_bytes()),
            Value::Str(text) => self.text(STR, text.as_str().as_bytes())?,
            Value::List(items) => self.items(LIST, items, depth_left)?,
            Value::Tuple(items) => self.items(TUPLE, items, depth_left)?,
            Value::Dict(dict) => self.dict(dict, depth_left)?,
            // Functions and what has a state.
            _ => return None,
        }
        Some(())
    }

    fn tagged(&mut self, tag: u8, number: [u8; 8]) {
        self.bytes.push(tag);
        self.bytes.extend_from_slice(&number);
    }

    fn text(&mut self, tag: u8, text: &[u8]) -> Option<()> {
        self.tagged(tag, (text.len() as u64).to_le_bytes());
        if self.bytes.len() + text.len() > self.bytes_max {
            return None;
        }
        self.bytes.extend_from_slice(text);
        Some(())
    }

    fn items(&mut self, tag: u8, items: &[Value], depth_left: usize) -> Option<()> {
        let depth_left = depth_left.checked_sub(1)?;
        self.tagged(tag, (items.len() as u64).to_le_bytes());
        items.iter().try_for_each(|item| self.value(item, depth_left))
    }

    fn dict(&mut self, dict: &Dict, depth_left: usize) -> Option<()> {
        let depth_left = depth_left.checked_sub(1)?;
        self.tagged(DICT, (dict.len() as u64).to_le_bytes());
        dict.iter().try_for_each(|(key, value)| {
            self.value(key, depth_left)?;
            self.value(value, depth_left)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn key_of(text: &str, bytes_max: usize) -> Option<Vec<u8>> {
        let Ok(Value::Dict(parameters)) = json::read_value(text.as_bytes(), 500, 100_000) else {
            panic!("an object: {text}");
        };
        key(&[], &parameters, bytes_max)
    }

    /// Each text is another question than all others, and the same as itself.
    fn check(texts: &[&str]) {
        for one in texts {
            for other in texts {
                let is_equal = key_of(one, usize::MAX) == key_of(other, usize::MAX);
                assert_eq!(is_equal, one == other, "{one} {other}");
            }
            assert!(key_of(one, usize::MAX).is_some(), "{one}");
        }
    }

    #[test]
    fn what_a_formula_can_tell_apart_differs() {
        check(&[
            "{}",
            r#"{"x":1}"#,
            r#"{"x":1.0}"#,
            r#"{"x":true}"#,
            r#"{"x":"1"}"#,
            r#"{"x":[1]}"#,
            r#"{"x":{"1":1}}"#,
            r#"{"x":0}"#,
            r#"{"x":0.0}"#,
            r#"{"x":-0.0}"#,
            r#"{"x":false}"#,
            r#"{"x":null}"#,
            r#"{"x":""}"#,
            r#"{"x":[]}"#,
            r#"{"x":{}}"#,
            r#"{"x":18446744073709551616}"#,
            r#"{"x":18446744073709551617}"#,
            r#"{"x":18446744073709551616.0}"#,
            r#"{"x":-18446744073709551616}"#,
            r#"{"x":9223372036854775807}"#,
            r#"{"x":9223372036854775808}"#,
            r#"{"x":1,"y":2}"#,
            r#"{"y":2,"x":1}"#,
            r#"{"x":{"a":1,"b":2}}"#,
            r#"{"x":{"b":2,"a":1}}"#,
            r#"{"x":[[1],2]}"#,
            r#"{"x":[[1,2]]}"#,
            r#"{"x":["a","b"]}"#,
            r#"{"x":["ab",""]}"#,
            r#"{"x":5e-324}"#,
            r#"{"x":1e-323}"#,
        ]);
        // Blanks and other ways to write a number are not told apart.
        assert_eq!(key_of(r#"{"x":1e2}"#, 100), key_of(r#"{ "x" : 100.0 }"#, 100));
    }

    #[test]
    fn constants_and_parameters_do_not_run_together() {
        let parameters = Dict::new();
        let of = |constants: &[Value]| key(constants, &parameters, 1_000);
        let (one, list) = (Value::Int(1), Value::list(vec![Value::Int(1)]));
        let tuple = Value::tuple(vec![Value::Int(1)]);
        let all =
            [of(&[]), of(std::slice::from_ref(&one)), of(&[one.clone(), one]), of(&[list]), of(&[tuple])];
        for (at, one) in all.iter().enumerate() {
            assert!(one.is_some());
            assert!(all[at + 1..].iter().all(|other| other != one));
        }
        assert_eq!(of(&[Value::float(f64::NAN)]), None);
        assert!(of(&[Value::Float(f64::INFINITY)]).is_some());
    }

    #[test]
    fn a_key_is_bounded() {
        for text in [
            format!("{{\"x\":\"{}\"}}", "a".repeat(2_000)),
            format!("{{\"x\":[{}0]}}", "0,".repeat(2_000)),
            format!("{{\"x\":{}}}", "9".repeat(5_000)),
        ] {
            assert_eq!(key_of(&text, 1_000), None);
            assert!(key_of(&text, 100_000).is_some());
        }
    }

    /// JSON values that differ in little.
    fn values() -> impl Strategy<Value = String> {
        let numbers = ["0", "0.0", "-0.0", "1", "1.0", "-1", "9223372036854775808", "1e300"];
        let others = ["true", "false", "null", "\"\"", "\"1\"", "\"ab\""];
        let leaf = proptest::sample::select([&numbers[..], &others[..]].concat()).prop_map(str::to_owned);
        leaf.prop_recursive(3, 12, 3, |inner| {
            let keys = proptest::sample::subsequence(vec!["a", "b", "1"], 0..3).prop_shuffle();
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..3).prop_map(|all| format!("[{}]", all.join(","))),
                (keys, proptest::collection::vec(inner, 3)).prop_map(|(keys, values)| {
                    let members: Vec<String> =
                        keys.iter().zip(values).map(|(key, value)| format!("\"{key}\":{value}")).collect();
                    format!("{{{}}}", members.join(","))
                }),
            ]
        })
    }

    proptest! {
        /// Two values have one key where they are one text, and only there.
        #[test]
        fn keys_are_as_exact_as_texts(one in values(), other in values()) {
            let (one, other) = (format!("{{\"x\":{one}}}"), format!("{{\"x\":{other}}}"));
            prop_assert_eq!(key_of(&one, 10_000) == key_of(&other, 10_000), one == other);
        }
    }
}
