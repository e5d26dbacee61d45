//! CSV: what a value is, quotes, line ends, and what is wrong with its line.

use super::*;

#[track_caller]
fn check(api: &Api, request: &str, body: &str, expected: &str) {
    assert_eq!(sent(api, request, CSV, body.as_bytes()), expected, "{body:?}");
}

#[test]
fn a_value_is_what_it_shows() {
    let api = Api::new();
    let request = lambda(&api, "lambda x: [x]");
    for (text, expected) in [
        ("1", "1"),
        ("-0", "0"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1.0", "1.0"),
        ("-1e-7", "-1e-07"),
        ("true", "true"),
        ("", "null"),
        ("false", "false"),
        ("True", "true"),
        ("False", "false"),
        ("TRUE", r#""TRUE""#),
        ("False ", r#""False ""#),
        ("\"False\"", r#""False""#),
        ("yes", r#""yes""#),
        ("null", r#""null""#),
        ("NaN", r#""NaN""#),
        ("007", r#""007""#),
        ("2024-01-31", r#""2024-01-31""#),
        ("1 ", r#""1 ""#),
        (" 1", r#"" 1""#),
        ("+1", r#""+1""#),
        ("-", r#""-""#),
        ("\"1\"", r#""1""#),
        ("\"\"", r#""""#),
        ("\u{20ac}", "\"\u{20ac}\""),
        ("\"a\"\"b\"", r#""a\"b""#),
    ] {
        let told = |body: &str| {
            let headers = [("content-type", CSV), ("accept", "application/json")];
            shown(&api.send_with(&request, &headers, body.as_bytes()))
        };
        assert_eq!(told(&format!("x\n{text}\n")), format!("{{\"results\":[[{expected}]]}}"), "{text}");
        // Whatever stands in other rows.
        let body = format!("x\n5\n\n0.5\n{text}\n7\n");
        let expected = format!("{{\"results\":[[5],[null],[0.5],[{expected}],[7]]}}");
        assert_eq!(told(&body), expected, "{text}");
    }
}

#[test]
fn what_comes_out_reads_back_as_the_same() {
    let api = Api::new();
    let request = lambda(&api, "lambda x: x") + "?errors=null";
    let body = "result\n1\n-2.5\n1e16\n123456789012345678901234567890\ntrue\nfalse\n\"true\"\n\"True\"\n\"False\"\nTRUE\n\"1\"\n\"-1\"\n\"\"\n\n\
                text\n\"a,b\"\n\"say \"\"no\"\"\"\n\"two\nlines\"\n";
    check(&api, &request, &body.replacen("result", "x", 1), body);
    // A bool of Python is written as one of JSON, and not as its text.
    check(&api, &request, "x\nTrue\nFalse\n", "result\ntrue\nfalse\n");
    let priced = lambda(&api, "lambda flag, price: price if flag else 0") + "?errors=null";
    check(&api, &priced, "flag,price\nTrue,1.0\nFalse,2.0\n", "result\n1.0\n0\n");
    check(&api, &lambda(&api, "lambda x: [x, 'a']"), "x\n1\n", "result,error\n\"[1,\"\"a\"\"]\",\n");
}

#[test]
fn lines() {
    let api = Api::new();
    let request = lambda(&api, "lambda a, b: [a, b]");
    let both = "result,error\n\"[1,2]\",\n\"[3,null]\",\n";
    for body in [
        "a,b\n1,2\n3,\n",
        "a,b\n1,2\n3,",
        "a,b\r\n1,2\r\n3,\r\n",
        "a,b\r\n1,2\r\n\r\n3,\r\n\n",
        "\u{feff}a,b\n1,2\n3,\n",
        "\u{feff}\"a\",b\n1,2\n3,\n",
        "\n\na,\"b\"\n1,2\n3,\n",
    ] {
        check(&api, &request, body, both);
    }
    check(&api, &request, "a,b\n", "result,error\n");
    for (body, expected) in [
        ("", "1 of the CSV: the text is empty: its first line must name the parameters"),
        ("\n", "1 of the CSV: the text is empty: its first line must name the parameters"),
        ("a,b\n1,2\n3\n", "3 of the CSV: there are 1 values for 2 columns"),
        ("a,b\n\"x\ny\",2\n3,4,5\n", "4 of the CSV: there are 3 values for 2 columns"),
        ("a,b\n1,\"2\n3,4\n", "2 of the CSV: a quote is opened and not closed"),
        ("a,b\n1,\"2\"x\n", "2 of the CSV: there is more behind the closing quote of a value"),
        (
            "a,b\n1,x\"2\"\n",
            "2 of the CSV: there is a quote inside a value: put the whole value in quotes, and write the quote twice",
        ),
        ("a,a\n1,2\n", "1 of the CSV: two columns are called \"a\""),
        ("a,\n1,2\n", "1 of the CSV: a column has no name"),
        (
            "a, b\n1, 2\n",
            "1 of the CSV: there are blanks around the name \" b\": they count as part of it, and of values; leave them \
             out (a name that has them goes in quotes)",
        ),
        ("\"a\";\"b\"\n1;2\n", "1 of the CSV: commas separate values, semicolons and tabs do not"),
        ("a,b\n\"1\"\t2\n", "2 of the CSV: commas separate values, semicolons and tabs do not"),
    ] {
        check(&api, &request, body, &format!("422 validation_failed: line {expected}"));
    }
    let reply = api.send_with(&request, &[("content-type", CSV)], b"a,b\n1,2\n3\n").json();
    assert_eq!(reply["line"], json!(3));
    assert!(sent(&api, &request, CSV, b"a,b\n1,\xFF\n").contains("line 2 of the CSV: the text is not UTF-8"));
    assert!(sent(&api, &request, CSV, b"a,b\n1,1e999\n").contains("line 2 of the CSV: column \"b\": "));
    let many = format!("{}\n", (0..10_000).map(|at| format!("c{at}")).collect::<Vec<_>>().join(","));
    assert!(
        sent(&api, &request, CSV, many.as_bytes()).starts_with("422 limit_exceeded: a table may have 1000")
    );
}

#[test]
fn what_is_separated_otherwise_is_refused() {
    let api = Api::new();
    let any = lambda(&api, "lambda **kw: kw.get('a')");
    let one = |name: &str, other: &str| {
        format!(
            "422 validation_failed: line 1 of the CSV: the header is the one name {name:?}: commas separate values, \
             {other} do not (a name that has them goes in quotes)"
        )
    };
    check(&api, &any, "a;b\n1;2\n", &one("a;b", "semicolons"));
    check(&api, &any, "a;b\r\n1,5;2\r\n", &one("a;b", "semicolons"));
    check(&api, &any, "\u{feff}a\tb\n1\t2\n", &one("a\tb", "tabs"));
    check(&api, &any, "\"a;b\"\n1;2\n", "result,error\n,\n");
    check(&api, &any, "\" a\",a\n1,2\n", "result,error\n2,\n");
    let quotes = lambda(&api, "lambda **kw: kw['a;b']");
    check(&api, &quotes, "\"a;b\"\n1\n", "result,error\n1,\n");
    let line_end = |line: u64| {
        format!(
            "422 validation_failed: line {line} of the CSV: there is a CR without an LF behind it: end lines with LF or \
             CRLF, and put a value that has one in quotes"
        )
    };
    for (body, line) in [
        ("a,b\r1,2\r3,4\r", 1),
        ("a\r1\r2\r", 1),
        ("a\r1\r2", 1),
        ("\"a\",\"b\"\r\"1\",\"2\"\r", 1),
        ("a,b\r\"1\",\"2\"\r", 1),
        ("a\n1\r2\r3\n", 2),
        ("a,b\n1,2\nx\r,2\n", 3),
        ("a,b\n1,2\n3\r,4\n", 3),
    ] {
        check(&api, &any, body, &line_end(line));
    }
    check(&api, &any, "a\n\"1\r2\"\n", "result,error\n\"1\r2\",\n");
    // So long that what seems to be the header has more bytes, or names, than there may be.
    for (head, row) in [("a\r", "12345678\r"), ("a,b\r", "1,2\r")] {
        check(&api, &any, &(head.to_owned() + &row.repeat(1 << 20)), &line_end(1));
    }
}

#[test]
fn errors_are_told_left_out_or_end_it() {
    let api = Api::new();
    let request = lambda(&api, "lambda x: 4 / x");
    let body = "x\n1\n0\n8\n";
    check(&api, &request, body, "result,error\n4.0,\n,\"ZeroDivisionError: division by zero\"\n0.5,\n");
    check(&api, &format!("{request}?errors=null"), body, "result\n4.0\n\n0.5\n");
    let fail = format!("{request}?errors=fail");
    check(&api, &fail, body, "422 evaluation_error row 1: row 1: ZeroDivisionError: division by zero");
    check(&api, &fail, "x\n1\n", "result\n4.0\n");
    // And in JSON.
    let rows = r#"{"rows":[{"x":1},{"x":0},{"x":8}]}"#;
    for (rows, count) in [(rows, 3), (r#"{"columns":{"x":[1,0,8]}}"#, 3)] {
        let reply = api.send(&format!("{request}?errors=null"), rows).json();
        assert_eq!(reply, json!({"results": [4.0, null, 0.5]}), "{count}");
        let refused = shown(&api.send(&fail, rows));
        assert_eq!(refused, "422 evaluation_error row 1: row 1: ZeroDivisionError: division by zero");
    }
    // Rows are counted from 0 in what is told of each, too, and there the detail stays as it is.
    let told = api.send(&request, rows).json();
    assert_eq!(told["errors"][0]["row"], json!(1));
    assert_eq!(told["errors"][0]["detail"], json!("ZeroDivisionError: division by zero"));
    let bad = shown(&api.send(&fail, r#"{"rows":[{"x":1},7]}"#));
    assert!(bad.starts_with("422 validation_failed row 1: row 1: a row must be an object"), "{bad}");
}

#[test]
fn other_types_are_refused() {
    let api = Api::new();
    let request = lambda(&api, "lambda x: x");
    let all = "application/json, application/vnd.apache.arrow.stream or text/csv";
    for media in
        ["text/plain", "text/tab-separated-values", "application/csv", "application/vnd.apache.arrow.file"]
    {
        assert_eq!(
            sent(&api, &request, media, b"x\n1\n"),
            format!(
                "415 unsupported_media_type: this endpoint reads {all}, in UTF-8, not {media:?}; send the header \
                 Content-Type with the one that the body is"
            )
        );
    }
    for media in
        ["text/csv; charset=latin-1", "text/csv;CHARSET=\"iso-8859-1\"", "application/json;charset=utf-16"]
    {
        assert_eq!(
            sent(&api, &request, media, b"x\n1\n"),
            format!(
                "415 unsupported_media_type: this endpoint reads {all} in UTF-8, not {media:?}; send the body in UTF-8, \
                 and Content-Type without a charset or with charset=utf-8"
            )
        );
    }
    for media in ["text/csv; header=absent", "text/csv; charset=utf-8; Header=\"Absent\""] {
        assert_eq!(
            sent(&api, &request, media, b"1\n2\n"),
            format!(
                "415 unsupported_media_type: this endpoint reads text/csv with a header line that names the parameters, not \
                 {media:?}; put one before the values, and leave the header parameter out"
            )
        );
    }
    assert_eq!(sent(&api, &request, "text/csv; header=present", b"x\n1\n"), "result,error\n1,\n");
    assert_eq!(sent(&api, &request, "Text/CSV; charset=UTF-8", b"x\n1\n"), "result,error\n1,\n");
}
