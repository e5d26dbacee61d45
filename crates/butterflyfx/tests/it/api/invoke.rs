//! Evaluations: one, many, over rows, and along relationships.

use super::{Api, check, create, create_as, relate};
use serde_json::{Value, json};

#[test]
fn invocations() {
    let api = Api::new();
    let id = create(&api, "lambda", "lambda x, y=2: x * y", json!({}));
    let invoke = format!("POST /api/v1/substrates/{id}/invoke");
    let reply = api.send(&invoke, r#"{"parameters":{"x":21}}"#);
    assert_eq!(reply.status, 200);
    let answer = reply.json();
    assert_eq!(
        (&answer["substrate_id"], &answer["result"], &answer["cached"]),
        (&json!(id), &json!(42), &json!(false))
    );
    assert!(
        answer["invocation_time_ms"].is_f64()
            && answer["cost"]["steps"].as_u64().is_some_and(|steps| steps > 0)
    );
    check(
        &api,
        &[
            (&invoke, r#"{"parameters":{"x":"ab","y":3}}"#, 200, json!({"result": "ababab"})),
            (&invoke, r#"{"parameters":{"x":1.5}}"#, 200, json!({"result": 3.0})),
            (
                &invoke,
                r#"{"parameters":{"x":[1,null,{"k":true}]}}"#,
                200,
                json!({"result": [1, null, {"k": true}, 1, null, {"k": true}]}),
            ),
            (
                &invoke,
                r#"{"parameters":{}}"#,
                422,
                json!({"code": "missing_parameter", "parameter": "x", "substrate_id": id}),
            ),
            (&invoke, r#"{"parameters":null}"#, 422, json!("missing_parameter")),
            (&invoke, "", 422, json!("missing_parameter")),
            (&invoke, " \n", 422, json!("missing_parameter")),
            (&invoke, "{}", 422, json!("missing_parameter")),
            (
                &invoke,
                r#"{"parameters":{"x":1,"z":1}}"#,
                422,
                json!({"code": "unexpected_parameter", "parameter": "z"}),
            ),
            (
                &invoke,
                r#"{"parameters":{"x":{},"y":{}}}"#,
                422,
                json!({"code": "evaluation_error", "exception": "TypeError", "errors": [{"line": 1, "column": 16, "end_column": 21}]}),
            ),
            (
                &invoke,
                r#"{"parameters":5}"#,
                422,
                json!({"code": "validation_failed", "errors": [{"pointer": "/parameters"}]}),
            ),
            (
                &invoke,
                r#"{"params":{}}"#,
                422,
                json!({"code": "validation_failed", "errors": [{"pointer": "/params"}]}),
            ),
            (&invoke, "[]", 422, json!("validation_failed")),
            (&invoke, "{\"parameters\":{\"x\":1,}}", 400, json!("invalid_json")),
            (&invoke, r#"{"parameters":{"x":1,"x":2}}"#, 400, json!("invalid_json")),
            (&invoke, r#"{"parameters":{"x":1e400}}"#, 422, json!("validation_failed")),
            (&format!("{invoke}?x=1"), "{}", 422, json!("validation_failed")),
            (
                "POST /api/v1/substrates/0x1/invoke",
                "{}",
                404,
                json!({"code": "substrate_not_found", "instance": "/api/v1/substrates/0x1/invoke"}),
            ),
            ("POST /api/v1/substrates/nope/invoke", "{}", 400, json!("invalid_identity")),
        ],
    );
}

#[test]
fn numbers_are_exact() {
    let api = Api::new();
    let id = create(&api, "formula", "[x, y]", json!({}));
    for (x, y) in [
        ("123456789012345678901234567890", "-9223372036854775809"),
        ("10.0", "1e16"),
        ("-0.0", "0.1"),
        ("5e-324", "1.7976931348623157e308"),
    ] {
        let reply = api.send(
            &format!("POST /api/v1/substrates/{id}/invoke"),
            &format!("{{\"parameters\":{{\"x\":{x},\"y\":{y}}}}}"),
        );
        let expected =
            format!("\"result\":[{x},{}],", if y.contains("e308") { "1.7976931348623157e+308" } else { y });
        let expected = expected.replace("1e16", "1e+16");
        let text = reply.text().replace("1e16", "1e+16").replace("e308", "e+308").replace("e++", "e+");
        assert!(text.contains(&expected), "{text} has no {expected}");
    }
}

#[test]
fn limits_of_evaluation() {
    // A slow machine must not meet the clock before the limits.
    let api = Api::with(&[("wall-clock-max", "60s")]);
    let run = |code: &str, body: &str, expected: Value| {
        let id = create(&api, "lambda", code, json!({}));
        check(&api, &[(&format!("POST /api/v1/substrates/{id}/invoke"), body, 422, expected)]);
    };
    let limit = |name: &str| json!({"code": "limit_exceeded", "limit": name});
    run("lambda: 9**9**9", "", limit("integer_size"));
    run("lambda: [0]*10**12", "", limit("list_length"));
    run("lambda: 'a'*10**10", "", limit("string_length"));
    run("lambda: [1 for i in range(1000) for j in range(10000) if i < 0]", "", limit("steps"));
    run("lambda: (lambda f: f(f))(lambda f: f(f))", "", limit("call_depth"));
    run("lambda: ['a' * 1000000, 'b' * 1000000]", "", limit("result_size"));
    run("lambda: float('nan')", "", json!("result_not_json"));
    run("lambda: [1, range(3)]", "", json!("result_not_json"));
    run("lambda: {1: 2, '1': 3}", "", json!("result_not_json"));
    let deep = format!("{{\"parameters\":{{\"x\":{}{}}}}}", "[".repeat(64), "]".repeat(64));
    run("lambda x: 1", &deep, limit("json_depth"));
    let million = format!("{{\"parameters\":{{\"x\":{}", "[".repeat(60_000));
    run("lambda x: 2", &million, limit("json_depth"));
    let long = format!("{{\"parameters\":{{\"x\":\"{}\"}}}}", "a".repeat(70_000));
    run("lambda x: 3", &long, limit("parameters_size"));
    let big = format!("{{\"parameters\":{{\"x\":{}}}}}", "9".repeat(2_000));
    run("lambda x: 4", &big, limit("integer_size"));
    let id = create(&api, "lambda", "lambda x: 5", json!({}));
    let fits = format!("{{\"parameters\":{{\"x\":{}{}}}}}", "[".repeat(63), "]".repeat(63));
    check(&api, &[(&format!("POST /api/v1/substrates/{id}/invoke"), &fits, 200, json!({"result": 5}))]);
}

#[test]
fn many_invocations() {
    let api = Api::new();
    let id = create(&api, "lambda", "lambda x: 10 // x", json!({}));
    let request = "POST /api/v1/substrates/batch/invoke";
    let body = json!({"invocations": [
        {"substrate_id": id, "parameters": {"x": 3}},
        {"substrate_id": id, "parameters": {"x": 0}},
        {"substrate_id": "0x1"},
        {"substrate_id": "zz"},
        {"substrate_id": 5},
        {"parameters": {}},
        7,
        {"substrate_id": id, "parameters": null, "other": 1}
    ]});
    check(
        &api,
        &[
            (
                request,
                &body.to_string(),
                200,
                json!({"results": [
                    {"substrate_id": id, "result": 3},
                    {"status": 422, "code": "evaluation_error", "exception": "ZeroDivisionError", "substrate_id": id},
                    {"status": 404, "code": "substrate_not_found"},
                    {"status": 400, "code": "invalid_identity", "errors": [{"pointer": "/substrate_id"}]},
                    {"code": "validation_failed", "errors": [{"pointer": "/substrate_id"}]},
                    {"code": "validation_failed", "errors": [{"pointer": "/substrate_id"}]},
                    {"code": "validation_failed"},
                    {"code": "validation_failed", "errors": [{"pointer": "/other"}]}
                ]}),
            ),
            (request, r#"{"invocations":[]}"#, 200, json!({"results": []})),
            (
                request,
                "{}",
                422,
                json!({"code": "validation_failed", "errors": [{"pointer": "/invocations"}]}),
            ),
            (
                request,
                r#"{"invocations":{}}"#,
                422,
                json!({"detail": "invocations must be an array of {substrate_id, parameters}, not an object"}),
            ),
            (request, "[]", 422, json!({"detail": "the body must be an object, not an array"})),
            (request, "", 400, json!("invalid_json")),
            (request, "[", 400, json!("invalid_json")),
        ],
    );
}

#[test]
fn rows_and_columns() {
    let api = Api::new();
    let id = create(&api, "lambda", "lambda x, y=1: x / y", json!({}));
    let request = format!("POST /api/v1/substrates/{id}/invoke/batch");
    check(
        &api,
        &[
            (
                &request,
                r#"{"rows":[{"x":1,"y":2},{"x":1,"y":0},5,{"x":3}]}"#,
                200,
                json!({
                    "results": [0.5, null, null, 3.0],
                    "errors": [{"row": 1, "code": "evaluation_error", "exception": "ZeroDivisionError"}, {"row": 2, "code": "validation_failed"}]
                }),
            ),
            (&request, r#"{"columns":{"x":[1,4],"y":[2,2]}}"#, 200, json!({"results": [0.5, 2.0]})),
            (&request, r#"{"columns":{}}"#, 200, json!({"results": []})),
            (&request, r#"{"rows":null,"columns":{"x":[1]}}"#, 200, json!({"results": [1.0]})),
            (&request, r#"{"rows":[{"x":1}],"columns":null}"#, 200, json!({"results": [1.0]})),
            (&request, r#"{"rows":null}"#, 422, json!("validation_failed")),
            (&request, r#"{"rows":[]}"#, 200, json!({"results": []})),
            (
                &request,
                r#"{"columns":{"x":[1,4],"y":[2]}}"#,
                422,
                json!({"code": "validation_failed", "errors": [{"pointer": "/columns/y"}]}),
            ),
            (&request, r#"{"columns":{"x":5}}"#, 422, json!({"errors": [{"pointer": "/columns/x"}]})),
            (&request, r#"{"columns":[]}"#, 422, json!("validation_failed")),
            (&request, r#"{"rows":{}}"#, 422, json!("validation_failed")),
            (&request, r#"{"rows":[],"columns":{}}"#, 422, json!("validation_failed")),
            (&request, "{}", 422, json!("validation_failed")),
            (&request, "", 400, json!("invalid_json")),
            ("POST /api/v1/substrates/0x1/invoke/batch", r#"{"rows":[]}"#, 404, json!("substrate_not_found")),
            ("POST /api/v1/substrates/x/invoke/batch", r#"{"rows":[]}"#, 400, json!("invalid_identity")),
        ],
    );
    let good = api.send(&request, r#"{"rows":[{"x":1}]}"#);
    assert_eq!(good.json().get("errors"), None, "errors are there only where there are some");
}

/// As machine code, with nulls and defaults, columns answer what rows do.
#[test]
fn many_rows_as_columns() {
    let api = Api::new();
    let id = create(
        &api,
        "lambda",
        "lambda x, y=None, vat=0.19: x * (1 + vat) if y is None else x / y",
        json!({}),
    );
    let request = format!("POST /api/v1/substrates/{id}/invoke/batch");
    let row = |at: usize| {
        let y = match at % 7 {
            0 => Value::Null,
            1 => json!(0.0),
            _ => json!(at as f64 / 8.0),
        };
        json!({"x": if at.is_multiple_of(11) { Value::Null } else { json!(at) }, "y": y})
    };
    let rows: Vec<Value> = (0..5_000).map(row).collect();
    let columns = |names: &[&str]| {
        let column = |name: &&str| (name.to_string(), rows.iter().map(|row| row[*name].clone()).collect());
        json!({"columns": names.iter().map(column).collect::<serde_json::Map<_, _>>()}).to_string()
    };
    let all = api.send(&request, &json!({"rows": rows}).to_string()).json();
    assert_eq!(all["errors"].as_array().map(|errors| errors.len() > 1_000), Some(true));
    assert_eq!(api.send(&request, &columns(&["x", "y"])).json(), all);
    let only_x: Vec<Value> = rows.iter().map(|row| json!({"x": row["x"]})).collect();
    let all = api.send(&request, &json!({"rows": only_x}).to_string()).json();
    assert_eq!(api.send(&request, &columns(&["x"])).json(), all);
}

#[test]
fn one_request_cannot_take_all_the_time() {
    let api = Api::with(&[("steps-max", "10000")]);
    let id = create(&api, "lambda", "lambda x: [1 for i in range(3000) if i < 0]", json!({}));
    let request = format!("POST /api/v1/substrates/{id}/invoke/batch");
    let rows = |count: usize| json!({"columns": {"x": vec![1; count]}}).to_string();
    check(
        &api,
        &[
            (&request, &rows(100), 200, Value::Null),
            (&request, &rows(5_000), 422, json!({"code": "limit_exceeded", "limit": "batch_steps"})),
        ],
    );
}

#[test]
fn values_flow_along_relationships() {
    let api = Api::new();
    let total = create(&api, "formula", "price * quantity", json!({}));
    let price = create(&api, "constant", "2.5", json!({}));
    let quantity = create(&api, "formula", "boxes * 10", json!({}));
    let boxes = create(&api, "constant", "4", json!({}));
    relate(&api, "DEPENDENCY", &total, &price, json!({"parameter": "price"}));
    relate(&api, "DEPENDENCY", &total, &quantity, json!({"parameter": "quantity"}));
    relate(&api, "DEPENDENCY", &quantity, &boxes, json!({"parameter": ["boxes"]}));
    let value = format!("GET /api/v1/substrates/{total}/value");
    check(
        &api,
        &[
            (&value, "", 200, json!({"substrate_id": total, "value": 100.0})),
            (
                &format!("{value}?explain=true"),
                "",
                200,
                json!({"value": 100.0, "inputs": {
                    "price": [{"substrate_id": price, "value": 2.5, "inputs": {}}],
                    "quantity": [{"substrate_id": quantity, "value": 40, "inputs": {
                        "boxes": [{"substrate_id": boxes, "value": 4, "inputs": {}}]}}]
                }}),
            ),
            (&format!("{value}?explain=false"), "", 200, json!({"value": 100.0})),
            (&format!("{value}?explain=False"), "", 200, json!({"value": 100.0})),
            // As Python's `requests` writes it.
            (
                &format!("{value}?explain=True"),
                "",
                200,
                json!({"value": 100.0, "inputs": {"price": [{"value": 2.5}]}}),
            ),
            (&format!("{value}?explain=1"), "", 422, json!({"errors": [{"parameter": "explain"}]})),
            (
                &format!("POST /api/v1/substrates/{total}/invoke"),
                r#"{"parameters":{"boxes":1}}"#,
                200,
                json!({"result": 25.0}),
            ),
            (
                &format!("POST /api/v1/substrates/{total}/invoke"),
                r#"{"parameters":{"nobody":1}}"#,
                422,
                json!({"code": "unexpected_parameter", "parameter": "nobody"}),
            ),
            ("GET /api/v1/substrates/0x1/value", "", 404, json!("substrate_not_found")),
            ("GET /api/v1/substrates/q/value", "", 400, json!("invalid_identity")),
        ],
    );
    assert_eq!(api.send(&value, "").json().get("inputs"), None);
    // An input's error is the answer's error, with that input's identity.
    let broken = create(&api, "formula", "1 / 0", json!({}));
    let reader = create(&api, "formula", "a + 1", json!({}));
    relate(&api, "DEPENDENCY", &reader, &broken, json!({"parameter": "a"}));
    check(
        &api,
        &[(
            &format!("GET /api/v1/substrates/{reader}/value"),
            "",
            422,
            json!({"code": "evaluation_error", "exception": "ZeroDivisionError", "substrate_id": broken}),
        )],
    );
}

#[test]
fn cycles_are_found() {
    let api = Api::new();
    let a = create_as(&api, "A", "formula", "b + 1", json!({}));
    let b = create_as(&api, "B", "formula", "a + 1", json!({}));
    relate(&api, "DEPENDENCY", &a, &b, json!({"parameter": "b"}));
    relate(&api, "DEPENDENCY", &b, &a, json!({"parameter": "a"}));
    let reply = api.send(&format!("GET /api/v1/substrates/{a}/value"), "");
    assert_eq!(
        (reply.status, reply.json()["code"].as_str()),
        (422, Some("dependency_cycle")),
        "{}",
        reply.text()
    );
    let ids: Vec<_> = reply.json()["errors"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|error| error["substrate_id"].clone())
        .collect();
    assert!(ids.contains(&json!(a)) && ids.contains(&json!(b)), "{ids:?}");
    check(
        &api,
        &[(
            &format!("POST /api/v1/substrates/{a}/invoke"),
            r#"{"parameters":{"b":1}}"#,
            200,
            json!({"result": 2}),
        )],
    );
}
