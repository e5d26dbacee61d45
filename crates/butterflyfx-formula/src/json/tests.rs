//! Tables and properties of reader and writer. Expected texts of numbers come from CPython's
//! `repr` and `json.dumps`.

use super::*;
use crate::dict::Dict;
use crate::document::Document;
use crate::error::{Raise, RaiseKind};
use crate::limits::{Limit, Limits};
use crate::meter::Meter;
use crate::text::Text;
use crate::value::{Range, Value};
use num_bigint::BigInt;
use proptest::prelude::*;
use std::sync::Arc;

const DEPTH: usize = 64;
const BITS: u64 = 4_096;

/// Reads both ways and writes again; all three must agree with `expected`.
#[track_caller]
fn check(text: &str, expected: &str) {
    let document = read_document(text.as_bytes(), DEPTH).unwrap_or_else(|error| panic!("{text}: {error}"));
    let mut out = String::new();
    write_document(&document, &mut out);
    assert_eq!(out, expected, "document of {text}");
    let value = read_value(text.as_bytes(), DEPTH, BITS).unwrap_or_else(|error| panic!("{text}: {error}"));
    assert_eq!(written(&value).expect("writes"), expected, "value of {text}");
    let value = document.to_value(BITS).expect("converts");
    assert_eq!(written(&value).expect("writes"), expected, "value of the document of {text}");
}

/// The default limits; the clock is for release builds.
fn meter() -> Meter {
    Meter::new(&Limits { wall_clock_ms: 60_000, ..Limits::default() })
}

fn written(value: &Value) -> Result<String, Box<Raise>> {
    let mut out = String::new();
    write_value(&mut meter(), value, &mut out).map(|()| out)
}

/// Both readers refuse a text, equally.
#[track_caller]
fn check_refused(text: impl AsRef<[u8]>, kind: JsonErrorKind, place: (u32, u32, &str), message: &str) {
    let text = text.as_ref();
    let shown = String::from_utf8_lossy(text);
    let error = read_document(text, DEPTH).err().unwrap_or_else(|| panic!("{shown} was accepted"));
    assert_eq!(Some(&error), read_value(text, DEPTH, BITS).as_ref().err(), "{shown}: the readers differ");
    assert_eq!(error.kind, kind, "{shown}");
    assert_eq!((error.line, error.column, error.pointer.as_str()), place, "{shown}: {}", error.message);
    assert!(error.message.contains(message), "{shown}: {}", error.message);
}

#[test]
fn texts_come_back() {
    for (text, expected) in [
        ("null", "null"),
        (" true\n", "true"),
        ("\t[ false ]\r\n", "[false]"),
        ("[]", "[]"),
        ("{}", "{}"),
        ("[ ]", "[]"),
        ("{ }", "{}"),
        (r#"{"b":1,"a":2}"#, r#"{"b":1,"a":2}"#),
        (r#" { "a" : [ 1 , { "b" : null } ] } "#, r#"{"a":[1,{"b":null}]}"#),
        (r#""""#, r#""""#),
        (r#""plain, and longer than eight bytes""#, r#""plain, and longer than eight bytes""#),
        (r#""\"\\\/\b\f\n\r\t\u0041\u00e9\u4e2d""#, "\"\\\"\\\\/\\b\\f\\n\\r\\tAé中\""),
        (r#""\u0000\u001f\u007f\u2028""#, "\"\\u0000\\u001f\u{7f}\u{2028}\""),
        (r#""\ud83d\ude00 \uD83D\uDE00""#, "\"😀 😀\""),
        (r#""\ufffe\uffff""#, "\"\u{fffe}\u{ffff}\""),
        ("{\"é😀\": \"ü\"}", "{\"é😀\":\"ü\"}"),
        (r#"{"":{"":{}}}"#, r#"{"":{"":{}}}"#),
    ] {
        check(text, expected);
    }
}

#[test]
fn numbers_keep_value_and_kind() {
    for (text, expected) in [
        ("0", "0"),
        ("-0", "0"),
        ("-0.0", "-0.0"),
        ("0e5", "0.0"),
        ("-0e0", "-0.0"),
        ("10", "10"),
        ("10.0", "10.0"),
        ("1e1", "10.0"),
        ("1E+2", "100.0"),
        ("1.5", "1.5"),
        ("0.1", "0.1"),
        ("999999999999999999", "999999999999999999"),
        ("-999999999999999999", "-999999999999999999"),
        ("1000000000000000000", "1000000000000000000"),
        ("9223372036854775807", "9223372036854775807"),
        ("9223372036854775808", "9223372036854775808"),
        ("-9223372036854775808", "-9223372036854775808"),
        ("-9223372036854775809", "-9223372036854775809"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1e15", "1000000000000000.0"),
        ("9007199254740993.0", "9007199254740992.0"),
        ("9999999999999998.0", "9999999999999998.0"),
        ("1e16", "1e16"),
        ("12345678901234567890.0", "1.2345678901234567e19"),
        ("1e22", "1e22"),
        ("1.7976931348623157e308", "1.7976931348623157e308"),
        ("-1.7976931348623157e+308", "-1.7976931348623157e308"),
        ("5e-324", "5e-324"),
        ("2.2250738585072014e-308", "2.2250738585072014e-308"),
        ("1e-400", "0.0"),
        ("0.0001", "0.0001"),
        ("0.00012345", "0.00012345"),
        ("0.00001", "1e-05"),
        ("-0.000012345", "-1.2345e-05"),
        ("123456.789", "123456.789"),
        ("1234567890123456.7", "1234567890123456.8"),
        ("2251799813685248.5", "2251799813685248.5"),
        ("0e99999999999999999999", "0.0"),
        ("0.3000000000000000444089209850062616169452667236328125", "0.30000000000000004"),
    ] {
        check(text, expected);
    }
    assert_eq!(read_document(b"-0", DEPTH), Ok(Document::Int(0)));
    assert_eq!(read_document(b"-9223372036854775808", DEPTH), Ok(Document::Int(i64::MIN)));
    assert_eq!(
        read_document(b"9223372036854775808", DEPTH),
        Ok(Document::BigInt("9223372036854775808".into()))
    );
}

#[test]
fn what_is_not_json_is_refused_with_its_place() {
    use JsonErrorKind::Syntax;
    for (text, place, message) in [
        ("", (1, 1, ""), "the text is empty"),
        (" \n ", (2, 2, ""), "the text is empty"),
        ("[1,", (1, 4, "/1"), "the text ends where a value is expected"),
        ("[1", (1, 3, ""), "the text ends where a comma or ] is expected"),
        ("{\"a\"", (1, 5, ""), "the text ends where a colon"),
        ("{\"a\":", (1, 6, "/a"), "the text ends where a value"),
        ("{\"a\":1", (1, 7, ""), "the text ends where a comma or }"),
        ("[1 2]", (1, 4, ""), "a comma or ] is expected here, not 2"),
        ("[1;2]", (1, 3, ""), "not ';'"),
        ("[1,]", (1, 3, ""), "remove the comma before ]"),
        ("[,1]", (1, 2, "/0"), "a value is expected here, not ','"),
        ("{\"a\":1,}", (1, 7, ""), "remove the comma before }"),
        ("{a:1}", (1, 2, ""), "a key in double quotes is expected here, not a"),
        ("{'a':1}", (1, 2, ""), "double quotes"),
        ("{\"a\" 1}", (1, 6, ""), "a colon after the key"),
        ("['a']", (1, 2, "/0"), "double quotes"),
        ("[1, // one\n2]", (1, 5, "/1"), "no comments"),
        ("1 # one", (1, 3, ""), "no comments"),
        ("[NaN]", (1, 2, "/0"), "no NaN and no Infinity"),
        ("{\"x\":\n  Infinity}", (2, 3, "/x"), "no NaN and no Infinity"),
        ("-Infinity", (1, 2, ""), "no NaN and no Infinity"),
        ("nan", (1, 1, ""), "no NaN and no Infinity"),
        ("True", (1, 1, ""), "write true"),
        ("None", (1, 1, ""), "write null"),
        ("nulls", (1, 1, ""), "a value is expected here, not nulls"),
        ("tru", (1, 1, ""), "a value is expected here, not tru"),
        ("1 2", (1, 3, ""), "remove what follows"),
        ("{} {}", (1, 4, ""), "remove what follows"),
        ("01", (1, 1, ""), "may not begin with 0"),
        ("-01", (1, 1, ""), "may not begin with 0"),
        ("00", (1, 1, ""), "may not begin with 0"),
        ("+1", (1, 1, ""), "plus sign"),
        (".5", (1, 1, ""), "write 0.5"),
        ("5.", (1, 1, ""), "digits must follow the decimal point"),
        ("5.e3", (1, 1, ""), "digits must follow the decimal point"),
        ("5e", (1, 1, ""), "digits must follow the exponent"),
        ("5e+", (1, 1, ""), "digits must follow the exponent"),
        ("-", (1, 1, ""), "digits must follow the minus"),
        ("--1", (1, 1, ""), "digits must follow the minus"),
        ("0x10", (1, 2, ""), "the number to end is expected here, not x10"),
        ("1_000", (1, 2, ""), "the number to end"),
        ("1.5.2", (1, 4, ""), ""),
        ("\"abc", (1, 1, ""), "no closing quote"),
        ("[\"é\n\"]", (1, 4, "/0"), "write \\n instead"),
        ("\"a\tb\"", (1, 3, ""), "write \\t instead"),
        ("\"\u{1}\"", (1, 2, ""), "write \\u0001 instead"),
        (r#""\x41""#, (1, 2, ""), "escapes"),
        (r#""\"#, (1, 2, ""), "escapes"),
        (r#""\u12""#, (1, 2, ""), "four hex digits"),
        (r#""\u+123""#, (1, 2, ""), "four hex digits"),
        (r#""\u00é""#, (1, 2, ""), "four hex digits"),
        (r#"["é\ud800"]"#, (1, 4, "/0"), "half of a surrogate pair"),
        (r#""\udc00""#, (1, 2, ""), "half of a surrogate pair"),
        (r#""\ud800\u0041""#, (1, 2, ""), "half of a surrogate pair"),
        (r#""\ud800\ud800""#, (1, 2, ""), "half of a surrogate pair"),
        ("\u{feff}1", (1, 1, ""), "byte order mark"),
        ("{\"a~/b\":[0,{\"c\":?}]}", (1, 17, "/a~0~1b/1/c"), "not '?'"),
        ("{\"ü\":\n\n\"ü\" x", (3, 5, ""), "a comma or }"),
    ] {
        check_refused(text, Syntax, place, message);
    }
    check_refused(b"[\"ok\", \"\xff\"]", Syntax, (1, 9, ""), "0xFF is not valid UTF-8");
    check_refused(b"\n\xc3\xa9\xed\xa0\x80", Syntax, (2, 2, ""), "not valid UTF-8");
}

#[test]
fn keys_stand_once() {
    let duplicate = |key: &str| JsonErrorKind::DuplicateKey(key.to_owned());
    check_refused(r#"{"a":1,"a":1}"#, duplicate("a"), (1, 8, "/a"), "\"a\" stands twice");
    check_refused(r#"{"a":1,"\u0061":1}"#, duplicate("a"), (1, 8, "/a"), "stands twice");
    check_refused(r#"[{"x":{"":1,"b":2,"":3}}]"#, duplicate(""), (1, 19, "/0/x/"), "stands twice");
    // Beyond the members that are scanned, and fast enough for a hundred thousand.
    let mut many = String::from("{");
    for i in 0..100_000 {
        many.push_str(&format!("\"key{i}\":{i},"));
    }
    assert!(read_document(format!("{many}\"last\":0}}").as_bytes(), DEPTH).is_ok());
    check_refused(
        format!("{many}\n\"key77777\":0}}"),
        duplicate("key77777"),
        (2, 1, "/key77777"),
        "stands twice",
    );
}

#[test]
fn depth_is_bounded() {
    let tower = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
    check(&tower(64), &tower(64));
    let pointer = "/0".repeat(64);
    check_refused(tower(65), JsonErrorKind::TooDeep, (1, 65, &pointer), "at most 64 deep");
    check_refused("[".repeat(1_000_000), JsonErrorKind::TooDeep, (1, 65, &pointer), "at most 64 deep");
    check_refused(
        "{\"a\":".repeat(1_000_000),
        JsonErrorKind::TooDeep,
        (1, 64 * 5 + 1, &"/a".repeat(64)),
        "at most 64 deep",
    );
    // Whatever depth is asked for, the stack is safe.
    let error = read_document("[".repeat(1_000_000).as_bytes(), usize::MAX).expect_err("too deep");
    assert_eq!(error.kind, JsonErrorKind::TooDeep);
    assert!(read_document(tower(DEPTH_MAX).as_bytes(), usize::MAX).is_ok());
    // A pointer stays short whatever the keys are.
    let long = format!("{{\"{}\":{{\"b\":?}}}}", "k".repeat(5_000));
    check_refused(long, JsonErrorKind::Syntax, (1, 5_010, ""), "'?'");
}

#[test]
fn numbers_out_of_range_are_refused() {
    let range = JsonErrorKind::NumberRange;
    check_refused("[1e400]", range.clone(), (1, 2, "/0"), "1e400 is beyond the range of a float");
    check_refused("-1e309", range.clone(), (1, 1, ""), "beyond the range of a float");
    check_refused("1e99999999999999999999", range.clone(), (1, 1, ""), "beyond the range of a float");
    check_refused(format!("{}.0", "9".repeat(400)), range.clone(), (1, 1, ""), "...");

    let bits = |bits: u32| ((BigInt::from(1) << bits) - 1u32).to_string();
    for accepted in [bits(4_096), format!("-{}", bits(4_096))] {
        check(&accepted, &accepted);
    }
    for refused in [bits(4_097), format!("-{}", bits(4_097)), "9".repeat(2_000), "1".repeat(1_000_000)] {
        let text = format!("{{\"a\":[{refused}]}}");
        let document = read_document(text.as_bytes(), DEPTH).expect("a document holds any integer");
        let mut out = String::new();
        write_document(&document, &mut out);
        assert_eq!(out, text);
        let error = read_value(text.as_bytes(), DEPTH, BITS).expect_err("too large");
        assert_eq!(
            (error.kind, error.line, error.column, error.pointer.as_str()),
            (JsonErrorKind::IntegerSize, 1, 7, "/a/0")
        );
        assert!(error.message.len() < 120, "{}", error.message);
        let error = document.to_value(BITS).expect_err("too large");
        assert_eq!(
            (error.kind, error.line, error.column, error.pointer.as_str()),
            (JsonErrorKind::IntegerSize, 0, 0, "/a/0")
        );
    }
}

fn text(text: &str) -> Value {
    Value::str(text)
}

fn dict(pairs: Vec<(Value, Value)>) -> Value {
    let mut meter = meter();
    let mut dict = Dict::new();
    for (key, value) in pairs {
        dict.insert(&mut meter, key, value).expect("hashable");
    }
    Value::Dict(Arc::new(dict))
}

#[test]
fn results_are_written_as_json_dumps_writes_them() {
    let big = Value::big(BigInt::from(10).pow(20));
    for (value, expected) in [
        (Value::tuple(vec![Value::Int(1), Value::tuple(vec![])]), "[1,[]]"),
        (
            Value::list(vec![big.clone(), Value::Float(1e20), Value::Float(-0.0)]),
            "[100000000000000000000,1e20,-0.0]",
        ),
        (
            dict(vec![
                (Value::Bool(true), Value::Int(1)),
                (Value::None, Value::Int(2)),
                (Value::Int(-7), Value::Int(3)),
                (big, Value::Int(4)),
                (Value::Float(2.5), Value::Int(5)),
                (Value::Float(1e16), Value::Int(6)),
                (Value::Float(-0.0), Value::Int(7)),
                (text("True"), Value::Int(8)),
            ]),
            r#"{"true":1,"null":2,"-7":3,"100000000000000000000":4,"2.5":5,"1e+16":6,"-0.0":7,"True":8}"#,
        ),
    ] {
        assert_eq!(written(&value).expect("writes"), expected);
    }
}

#[track_caller]
fn check_not_json(value: &Value, message: &str) {
    for raise in [written(value).expect_err("no JSON"), normalize(&mut meter(), value).expect_err("no JSON")]
    {
        assert_eq!(raise.kind, RaiseKind::ResultNotJson);
        assert_eq!(raise.message, message);
    }
}

#[test]
fn what_json_cannot_hold_is_named_with_its_place() {
    let range = Value::Range(Arc::new(Range { start: 0, stop: 3, step: 1 }));
    let inside = |value: Value| dict(vec![(text("a"), Value::list(vec![Value::Int(0), value]))]);
    check_not_json(&Value::float(f64::NAN), "the result holds NaN, which JSON cannot hold");
    check_not_json(
        &inside(Value::Float(f64::INFINITY)),
        "the result holds infinity at /a/1, which JSON cannot hold",
    );
    check_not_json(
        &Value::tuple(vec![Value::Float(f64::NEG_INFINITY)]),
        "the result holds minus infinity at /0, which JSON cannot hold",
    );
    check_not_json(
        &inside(range),
        "the result holds a range (write list(...)) at /a/1, which JSON cannot hold",
    );
    check_not_json(
        &dict(vec![(Value::tuple(vec![]), Value::None)]),
        "the result holds a tuple as a key, which JSON cannot hold",
    );
    check_not_json(
        &Value::list(vec![dict(vec![(Value::float(f64::NAN), Value::None)])]),
        "the result holds NaN as a key at /0, which JSON cannot hold",
    );
    for (key, shown) in [
        (Value::Int(1), "1"),
        (Value::Float(1.0), "1.0"),
        (Value::Bool(false), "false"),
        (Value::None, "null"),
        (Value::Float(1e16), "1e+16"),
    ] {
        let kind = key.type_name();
        let expected = format!(
            "the result holds the key \"{shown}\" twice, once as a str and once as {kind}, which JSON cannot hold"
        );
        check_not_json(&dict(vec![(text(shown), Value::Int(1)), (key.clone(), Value::Int(2))]), &expected);
        check_not_json(&dict(vec![(key, Value::Int(1)), (text(shown), Value::Int(2))]), &expected);
    }
}

#[test]
fn results_are_bounded_as_they_grow() {
    let limit = |result: Result<String, Box<Raise>>| match result.expect_err("refused").kind {
        RaiseKind::Limit(limit) => limit,
        other => panic!("{other:?}"),
    };
    let exact = text(&"a".repeat(1024 * 1024 - 2));
    assert_eq!(written(&exact).expect("fits").len(), 1024 * 1024);
    assert_eq!(limit(written(&text(&"a".repeat(1024 * 1024 - 1)))), Limit::ResultSize);
    assert_eq!(limit(written(&text(&"\n".repeat(1024 * 1024 - 2)))), Limit::ResultSize);

    // One list named a thousand times at each of five levels.
    let mut value = Value::Int(0);
    for _ in 0..5 {
        value = Value::list(vec![value; 1_000]);
    }
    assert_eq!(limit(written(&value)), Limit::ResultSize);
    assert!(normalize(&mut meter(), &value).is_err());

    let tower = |depth: usize| (0..depth).fold(Value::list(vec![]), |inner, _| Value::list(vec![inner]));
    assert_eq!(written(&tower(63)).expect("fits").len(), 128);
    assert_eq!(limit(written(&tower(64))), Limit::JsonDepth);
    let deep = Limits { json_depth: usize::MAX, ..Limits::default() };
    let mut out = String::new();
    assert!(write_value(&mut Meter::new(&deep), &tower(10_000), &mut out).is_err());

    // The size is that of the value alone, whatever stood before it.
    let mut out = "x".repeat(2 * 1024 * 1024);
    assert!(write_value(&mut meter(), &Value::Int(1), &mut out).is_ok());
}

#[test]
fn normalize_gives_what_json_brings_back() {
    let mut meter = meter();
    let plain = Value::list(vec![Value::Int(1), dict(vec![(text("a"), Value::list(vec![]))])]);
    let same = normalize(&mut meter, &plain).expect("normal");
    assert!(same.same_object(&plain), "an unchanged value is shared");

    let mixed = dict(vec![
        (text("first"), plain.clone()),
        (Value::Int(1), Value::tuple(vec![Value::Float(1.0), plain.clone()])),
        (text("last"), Value::list(vec![Value::None, Value::tuple(vec![])])),
    ]);
    let new = normalize(&mut meter, &mixed).expect("normal");
    assert_eq!(
        written(&new).expect("writes"),
        r#"{"first":[1,{"a":[]}],"1":[1.0,[1,{"a":[]}]],"last":[null,[]]}"#
    );
    let Value::Dict(new) = new else { panic!("a dict") };
    assert!(matches!(new.get_str("1"), Some(Value::List(_))));
    assert!(new.get_str("first").is_some_and(|value| value.same_object(&plain)));
}

fn any_document() -> impl Strategy<Value = Document> {
    let leaf = prop_oneof![
        Just(Document::Null),
        any::<bool>().prop_map(Document::Bool),
        any::<i64>().prop_map(Document::Int),
        "-?[1-9][0-9]{19,60}".prop_map(|digits| Document::BigInt(digits.into())),
        any::<u64>()
            .prop_map(f64::from_bits)
            .prop_filter("JSON holds finite floats", |x| x.is_finite())
            .prop_map(Document::Float),
        any::<String>().prop_map(|text| Document::Text(text.into())),
    ];
    leaf.prop_recursive(5, 200, 40, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..40).prop_map(Document::List),
            prop::collection::hash_map("[a-z]{0,3}|.{0,12}", inner, 0..40).prop_map(|map| Document::Map(
                map.into_iter().map(|(key, value)| (key.into(), value)).collect()
            )),
        ]
    })
}

/// Whether two documents are the same bit for bit (`-0.0` is not `0.0` here).
fn same(a: &Document, b: &Document) -> bool {
    match (a, b) {
        (Document::Float(a), Document::Float(b)) => a.to_bits() == b.to_bits(),
        (Document::List(a), Document::List(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Document::Map(a), Document::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.0 == b.0 && same(&a.1, &b.1))
        }
        _ => a == b,
    }
}

/// What serde_json makes of a text, in our terms; it rounds integers beyond 64 bits.
fn same_as_serde(a: &Document, b: &serde_json::Value) -> bool {
    use serde_json::Value as Serde;
    match (a, b) {
        (Document::Null, Serde::Null) => true,
        (Document::Bool(a), Serde::Bool(b)) => a == b,
        (Document::Int(a), Serde::Number(b)) => {
            b.as_i64() == Some(*a) || (*a == 0 && b.as_f64() == Some(0.0))
        }
        (Document::BigInt(a), Serde::Number(b)) => b.as_f64() == a.parse().ok(),
        (Document::Float(a), Serde::Number(b)) => b.as_f64().map(f64::to_bits) == Some(a.to_bits()),
        (Document::Text(a), Serde::String(b)) => **a == **b,
        (Document::List(a), Serde::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same_as_serde(a, b))
        }
        (Document::Map(a), Serde::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| *a.0 == **b.0 && same_as_serde(&a.1, b.1))
        }
        _ => false,
    }
}

/// Compares acceptance and meaning of a text with serde_json's.
fn compare_with_serde(text: &[u8]) -> Result<(), TestCaseError> {
    let ours = read_document(text, DEPTH);
    let value = read_value(text, DEPTH, BITS);
    prop_assert_eq!(ours.is_ok(), value.is_ok());
    match (ours, serde_json::from_slice::<serde_json::Value>(text)) {
        (Ok(ours), Ok(theirs)) => prop_assert!(same_as_serde(&ours, &theirs), "{:?} {:?}", ours, theirs),
        (Ok(_), Err(error)) => prop_assert!(false, "serde_json refuses: {}", error),
        // serde_json keeps the last of equal keys.
        (Err(ours), Ok(_)) => prop_assert!(matches!(ours.kind, JsonErrorKind::DuplicateKey(_)), "{}", ours),
        (Err(ours), Err(_)) => prop_assert!(ours.line >= 1 && ours.column >= 1),
    }
    Ok(())
}

proptest! {
    #[test]
    fn documents_come_back(document in any_document()) {
        let mut text = String::new();
        write_document(&document, &mut text);
        let again = read_document(text.as_bytes(), DEPTH).expect("reads what it wrote");
        prop_assert!(same(&document, &again));
        compare_with_serde(text.as_bytes())?;

        let value = read_value(text.as_bytes(), DEPTH, BITS).expect("reads what it wrote");
        prop_assert_eq!(&written(&value).expect("writes"), &text);
        prop_assert_eq!(&written(&document.to_value(BITS).expect("converts")).expect("writes"), &text);
    }

    #[test]
    fn floats_come_back(bits in any::<u64>(), exponent in -330i32..310, digits in 1u64..1_000_000) {
        for x in [f64::from_bits(bits), format!("{digits}e{exponent}").parse().expect("a number")] {
            if x.is_finite() {
                let mut text = String::new();
                write_float(x, &mut text);
                prop_assert_eq!(text.parse::<f64>().expect("a number").to_bits(), x.to_bits());
                prop_assert!(text.contains(['.', 'e']));
            }
        }
    }

    #[test]
    fn bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        compare_with_serde(&bytes)?;
    }

    #[test]
    fn near_json_is_judged_as_serde_json_judges(text in r#"([\[\]{},:"\\0-9.eE+\-un tfrlsa]|\\u[dD][89abcdef][0-9]{2}|"a":|é){0,24}"#) {
        compare_with_serde(text.as_bytes())?;
    }

    #[test]
    fn damaged_json_never_panics(document in any_document(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut text = String::new();
        write_document(&document, &mut text);
        let mut bytes = text.into_bytes();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        compare_with_serde(&bytes)?;
        compare_with_serde(&bytes[..at])?;
    }

    #[test]
    fn strings_stop_at_the_right_byte(text in "[ -~éß中😀\\x00-\\x1f]{0,40}") {
        let mut out = String::new();
        write_text(&text, &mut out);
        prop_assert_eq!(&out, &serde_json::to_string(&text).expect("a string"));
        prop_assert_eq!(read_document(out.as_bytes(), DEPTH), Ok(Document::Text(text.into())));
    }
}

#[test]
fn text_is_shared_form() {
    let value = read_value("\"é\"".as_bytes(), DEPTH, BITS).expect("reads");
    let Value::Str(text) = value else { panic!("a str") };
    assert_eq!(text, Text::from("é"));
    assert_eq!(text.len(), 1);
}
