//! Arrow: each type in and out, nulls, errors, several batches.

use super::*;
use arrow_array::ArrowPrimitiveType;
use arrow_array::types::{Float16Type, Int8Type};
use arrow_array::{
    BooleanArray, DictionaryArray, Float16Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, LargeStringArray, NullArray, StringArray, StringViewArray, UInt8Array,
    UInt16Array, UInt32Array, UInt64Array,
};
use arrow_schema::TimeUnit;

/// A float of 16 bits.
type Half = <Float16Type as ArrowPrimitiveType>::Native;

fn array(array: impl Array + 'static) -> ArrayRef {
    Arc::new(array)
}

/// One formula of `x` over batches of one column.
#[track_caller]
fn check(api: &Api, formula: &str, query: &str, columns: &[ArrayRef], expected: &str) {
    let batches: Vec<_> = columns.iter().map(|column| vec![("x", Arc::clone(column))]).collect();
    let shown = sent(api, &(lambda_once(api, formula) + query), ARROW, &stream_of(&batches));
    assert_eq!(shown, expected, "{formula} {query}");
}

/// As [`lambda`], for a formula that may be there.
fn lambda_once(api: &Api, code: &str) -> String {
    let body = json!({"expression_type": "lambda", "expression_code": code}).to_string();
    let reply = api.send("POST /api/v1/substrates?on_conflict=return", &body);
    let id = reply.json()["substrate_id"].as_str().expect("an identity").to_owned();
    format!("POST /api/v1/substrates/{id}/invoke/batch")
}

#[test]
fn each_type_goes_in_and_comes_out() {
    for jit in ["on", "off"] {
        let api = Api::with(&[("jit", jit)]);
        let same = |column: ArrayRef, expected: &str| check(&api, "lambda x: x", "", &[column], expected);
        same(array(Int8Array::from(vec![Some(-128), None, Some(127)])), "Int64: -128 null 127");
        same(array(Int16Array::from(vec![-32768, 2])), "Int64: -32768 2");
        same(array(Int32Array::from(vec![i32::MIN, 2])), "Int64: -2147483648 2");
        same(array(Int64Array::from(vec![i64::MIN, i64::MAX])), &format!("Int64: {} {}", i64::MIN, i64::MAX));
        same(array(UInt8Array::from(vec![255, 0])), "Int64: 255 0");
        same(array(UInt16Array::from(vec![65535, 0])), "Int64: 65535 0");
        same(array(UInt32Array::from(vec![u32::MAX, 0])), "Int64: 4294967295 0");
        same(array(UInt64Array::from(vec![1, 2])), "Int64: 1 2");
        same(
            array(UInt64Array::from(vec![1, u64::MAX])),
            "Int64: 1 null | 1: the result is an int beyond int64, and an Arrow column of results holds no larger ones: ask \
             for text/csv or application/json (Accept)",
        );
        let exact = array(UInt64Array::from(vec![Some(u64::MAX), None, Some(0)]));
        check(
            &api,
            "lambda x: None if x is None else str(x * 10)",
            "",
            &[exact],
            "Utf8: 184467440737095516150 null 0",
        );
        same(
            array(Float32Array::from(vec![Some(0.5), None, Some(0.1)])),
            "Float64: 0.5 null 0.10000000149011612",
        );
        same(
            array(Float64Array::from(vec![Some(-0.0), None, Some(f64::INFINITY), Some(f64::NAN)])),
            "Float64: -0.0 null inf NaN",
        );
        same(array(BooleanArray::from(vec![Some(true), None, Some(false)])), "Boolean: true null false");
        same(array(StringArray::from(vec![Some("a"), None, Some("")])), "Utf8: a null ");
        same(array(LargeStringArray::from(vec![Some("\u{20ac}"), None])), "Utf8: \u{20ac} null");
        same(
            array(StringViewArray::from(vec![Some("longer than a view holds"), None])),
            "Utf8: longer than a view holds null",
        );
        let dictionary: DictionaryArray<Int8Type> =
            vec![Some("a"), Some("b"), None, Some("a")].into_iter().collect();
        same(array(dictionary), "Utf8: a b null a");
        same(
            array(Float16Array::from(vec![Some(Half::from_f64(0.5)), None, Some(Half::from_f64(0.1))])),
            "Float64: 0.5 null 0.0999755859375",
        );
        for (values, expected) in [
            (array(Int64Array::from(vec![Some(-7), Some(8), None])), "Int64: 8 null -7 null 8"),
            (array(Int8Array::from(vec![Some(-7), Some(8), None])), "Int64: 8 null -7 null 8"),
            (array(UInt64Array::from(vec![Some(7), Some(8), None])), "Int64: 8 null 7 null 8"),
            (
                array(Float64Array::from(vec![Some(0.5), Some(-0.0), None])),
                "Float64: -0.0 null 0.5 null -0.0",
            ),
            (array(Float32Array::from(vec![Some(0.5), Some(1.5), None])), "Float64: 1.5 null 0.5 null 1.5"),
            (
                array(BooleanArray::from(vec![Some(false), Some(true), None])),
                "Boolean: true null false null true",
            ),
            (array(LargeStringArray::from(vec![Some("a"), Some("b"), None])), "Utf8: b null a null b"),
        ] {
            let keys = UInt16Array::from(vec![Some(1), None, Some(0), Some(2), Some(1)]);
            same(array(DictionaryArray::new(keys, values)), expected);
        }
        let nothing = Int64Array::from(Vec::<i64>::new());
        for values in [array(nothing), array(NullArray::new(0)), array(NullArray::new(2))] {
            let keys = Int8Array::from(vec![None, None]);
            same(array(DictionaryArray::new(keys, values)), "Null: null null");
        }
        same(array(NullArray::new(2)), "Null: null null");
    }
}

/// A stream of no rows, with a column of this field.
fn column_of(field: Field) -> Vec<u8> {
    let mut writer = StreamWriter::try_new(Vec::new(), &Schema::new(vec![field])).expect("a writer");
    writer.finish().expect("ended");
    writer.into_inner().expect("the stream")
}

#[test]
fn what_is_refused_says_what_to_do() {
    let api = Api::new();
    let request = lambda(&api, "lambda x: x");
    let item = || Arc::new(Field::new("item", DataType::Int64, true));
    let dictionary = |values| DataType::Dictionary(Box::new(DataType::Int8), Box::new(values));
    let runs = DataType::RunEndEncoded(Arc::new(Field::new("run_ends", DataType::Int32, false)), item());
    for (data_type, expected) in [
        (DataType::Timestamp(TimeUnit::Microsecond, None), "Timestamp(µs)|cast it to int64 or utf8"),
        (
            DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())),
            "Timestamp(ns, \"UTC\")|cast it to int64 or utf8",
        ),
        (DataType::Date64, "Date64|cast it to int64 or utf8"),
        (DataType::Time32(TimeUnit::Second), "Time32(s)|cast it to int32 or utf8"),
        (DataType::Duration(TimeUnit::Second), "Duration(s)|cast it to int64"),
        (DataType::Decimal128(10, 2), "Decimal128(10, 2)|cast it to float64 or utf8"),
        (DataType::Binary, "Binary|cast it to utf8"),
        (DataType::List(item()), "List(Int64)|make columns of its single values"),
        (
            DataType::Struct(vec![item()].into()),
            "Struct(\"item\": Int64)|make a column of each of its fields",
        ),
        (dictionary(DataType::Date32), "Dictionary(Int8, Date32)|cast it to int32 or utf8"),
        (dictionary(DataType::Binary), "Dictionary(Int8, Binary)|cast it to utf8"),
        (runs, "RunEndEncoded(\"run_ends\": non-null Int32, \"item\": Int64)|cast it to its value type"),
    ] {
        let (name, advice) = expected.split_once('|').expect("both");
        assert_eq!(
            sent(&api, &request, ARROW, &column_of(Field::new("x", data_type, true))),
            format!(
                "422 validation_failed: column \"x\" is of type {name}, which is no value of formulas: {advice}"
            )
        );
    }
    // Whose values are not what they are stored as.
    for (name, data_type, advice) in [
        ("pandas.period", DataType::Int64, "cast it to what it is stored as, Int64, or to utf8"),
        ("arrow.uuid", DataType::FixedSizeBinary(16), "cast it to utf8"),
    ] {
        let metadata = [("ARROW:extension:name", name)];
        let field = Field::new("x", data_type, true).with_metadata(metadata);
        assert_eq!(
            sent(&api, &request, ARROW, &column_of(field)),
            format!(
                "422 validation_failed: column \"x\" is of the extension type {name:?}, which is no value of formulas: \
                 {advice}"
            )
        );
    }
    let other = [("unit", "euro")];
    let field = Field::new("x", DataType::Int64, true).with_metadata(other);
    assert_eq!(
        sent(&api, &request, ARROW, &column_of(field)),
        "Null:",
        "other words about a column do no harm"
    );
}

#[test]
fn the_type_of_the_results_follows_the_first_rows() {
    let api = Api::new();
    let ints = |values: &[i64]| array(Int64Array::from(values.to_vec()));
    let mixed = "lambda x: x if x > 0 else x / 2";
    check(&api, mixed, "", &[ints(&[1, -1])], "Float64: 1.0 -0.5");
    check(&api, mixed, "", &[ints(&[-1]), ints(&[1 << 53])], "Float64: -0.5 9007199254740992.0");
    check(
        &api,
        mixed,
        "",
        &[ints(&[1]), ints(&[-1, 2])],
        "Int64: 1 null 2 | 1: the result is a float, and the column of results, by its first rows, is Int64",
    );
    check(
        &api,
        mixed,
        "",
        &[ints(&[-1]), ints(&[(1 << 53) + 1])],
        "Float64: -0.5 null | 1: the result is the int 9007199254740993, and the column of results, by its first \
         rows, is Float64",
    );
    check(
        &api,
        mixed,
        "?errors=fail",
        &[ints(&[1]), ints(&[2, -1])],
        "422 validation_failed row 2: row 2: the result is a float, and the column of results, by its first rows, is Int64",
    );
    let api_text = |expected: &str, columns: &[ArrayRef]| {
        check(&api, "lambda x: 'text' if x > 1 else True if x > 0 else None", "", columns, expected);
    };
    api_text("Null: null null", &[ints(&[0]), ints(&[0])]);
    // Rows without a result say nothing of the type.
    api_text("Utf8: null null text", &[ints(&[0, 0]), ints(&[2])]);
    api_text(
        "422 validation_failed: the results are of several types (Boolean, Utf8), and an Arrow column has one: make \
         them of one type in the formula, or ask for text/csv or application/json (Accept)",
        &[ints(&[1, 2])],
    );
    check(
        &api,
        mixed,
        "",
        &[ints(&[-1, (1 << 53) + 1])],
        "422 validation_failed: the results are ints and floats, and the int 9007199254740993 is none of the floats: \
         make them of one type in the formula, or ask for text/csv or application/json (Accept)",
    );
    check(
        &api,
        "lambda x: [x] if x > 1 else x",
        "",
        &[ints(&[1, 2])],
        "Int64: 1 null | 1: the result is a list; an Arrow column holds ints, floats, bools or texts",
    );
}

#[test]
fn errors_are_told_left_out_or_end_it() {
    let api = Api::new();
    let column = array(Int64Array::from(vec![Some(1), Some(0), None, Some(-4)]));
    let told = "Float64: 4.0 null null -1.0 | 1: ZeroDivisionError: division by zero | 2: TypeError: unsupported \
                operand type(s) for /: 'int' and 'NoneType'";
    for (query, expected) in [
        ("", told),
        ("?errors=report", told),
        ("?errors=null", "Float64: 4.0 null null -1.0"),
        ("?errors=fail", "422 evaluation_error row 1: row 1: ZeroDivisionError: division by zero"),
        ("?errors=raise", "422 validation_failed: errors must be report or null or fail"),
        (
            "?error=null",
            "422 validation_failed: unknown query parameter \"error\"; this endpoint takes errors",
        ),
    ] {
        check(&api, "lambda x: 4 / x", query, &[Arc::clone(&column)], expected);
    }
}

/// Each row would fail for the same reason: the table is refused.
#[test]
fn columns_that_do_not_fit_the_formula_are_refused_at_once() {
    let unexpected = r#"422 unexpected_parameter: the table has a column "x", which is no parameter: leave it out, or name it as one; the formula takes "#;
    let missing = r#"422 missing_parameter: the table has no column "y", which is a parameter without a default; the formula takes "#;
    let names: Vec<String> = (0..30).map(|at| format!("p{at}=0")).collect();
    let many = format!("lambda {}: 0", names.join(", "));
    let first: Vec<String> = (0..20).map(|at| format!("p{at}")).collect();
    for (formula, expected) in [
        ("lambda y: y", format!("{unexpected}y")),
        ("lambda: 7", format!("{unexpected}no parameters")),
        (&many, format!("{unexpected}{} and others", first.join(", "))),
        ("lambda x, y: y", format!("{missing}x, y")),
        ("lambda y, **kw: y", format!("{missing}y")),
        ("lambda x, y=2: y", "Int64: 2".to_owned()),
        ("lambda **kw: kw.get('y', 3)", "Int64: 3".to_owned()),
    ] {
        for query in ["", "?errors=null", "?errors=fail"] {
            let api = Api::new();
            check(&api, formula, query, &[array(Int64Array::from(vec![1]))], &expected);
        }
    }
    let api = Api::new();
    let empty = vec![("x", array(Int64Array::from(Vec::<i64>::new())))];
    let request = lambda(&api, "lambda y: y");
    assert_eq!(sent(&api, &request, ARROW, &stream_of(&[empty])), format!("{unexpected}y"));
    assert_eq!(sent(&api, &request, CSV, b"x\n1\n"), format!("{unexpected}y"));
    let long = format!("{}\n1\n", "n".repeat(10_000));
    let refused = sent(&api, &request, CSV, long.as_bytes());
    assert!(refused.starts_with("422 unexpected_parameter") && refused.len() < 300, "{refused}");
}

#[test]
fn batches_are_one_table() {
    let api = Api::new();
    let request = lambda(&api, "lambda x, y: x + y");
    let batch = |from: i64| {
        let (x, y) =
            (Int64Array::from_iter_values(from..from + 3), Int64Array::from_iter_values([10, 20, 30]));
        vec![("x", array(x)), ("y", array(y))]
    };
    assert_eq!(sent(&api, &request, ARROW, &stream_of(&[batch(0), batch(3)])), "Int64: 10 21 32 13 24 35");
    let nothing = lambda(&api, "lambda: 7");
    assert_eq!(sent(&api, &nothing, ARROW, &stream_of(&[vec![]])), "Int64: 7 7 7");
    let empty = vec![("x", array(Int64Array::from(Vec::<i64>::new())))];
    assert_eq!(sent(&api, &lambda(&api, "lambda x: -x"), ARROW, &stream_of(&[empty])), "Null:");
}

#[test]
fn what_flows_in_flows_into_each_row() {
    let api = Api::new();
    let total = create(&api, "lambda", "lambda price, quantity: price * quantity", json!({}));
    let price = create(&api, "constant", "2.5", json!({}));
    relate(&api, "DEPENDENCY", &total, &price, json!({"parameter": "price"}));
    let request = format!("POST /api/v1/substrates/{total}/invoke/batch");
    let stream = stream_of(&[vec![("quantity", array(Int64Array::from(vec![Some(2), None, Some(4)])))]]);
    assert_eq!(
        sent(&api, &request, ARROW, &stream),
        "Float64: 5.0 null 10.0 | 1: TypeError: unsupported operand type(s) for *: 'float' and 'NoneType'"
    );
}

#[test]
fn accept_chooses_what_comes_out() {
    let api = Api::new();
    let request = lambda(&api, "lambda x: 1 / x");
    let stream = stream_of(&[vec![("x", array(Float64Array::from(vec![2.0, 0.0, 1e-320])))]]);
    let told = |accept: &str, expected: &str| {
        let headers = [("content-type", ARROW), ("accept", accept)];
        assert_eq!(shown(&api.send_with(&request, &headers, &stream)), expected, "{accept}");
    };
    let infinite = "result_not_json: the result holds infinity, which JSON cannot hold";
    told(
        "text/csv",
        &format!("result,error\n0.5,\n,\"ZeroDivisionError: float division by zero\"\n,\"{infinite}\"\n"),
    );
    for accept in ["*/*", "image/png", "", "application/vnd.apache.arrow.stream;q=0.5, text/csv"] {
        told(accept, "Float64: 0.5 null inf | 1: ZeroDivisionError: float division by zero");
    }
    let headers = [("content-type", ARROW), ("accept", "application/json")];
    let reply = api.send_with(&request, &headers, &stream).json();
    let json = api.send(&request, r#"{"columns":{"x":[2.0,0.0,1e-320]}}"#).json();
    assert_eq!(reply, json, "as JSON is answered");
    assert_eq!(reply["results"], json!([0.5, null, null]));
}
