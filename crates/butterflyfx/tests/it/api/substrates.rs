//! Substrates: create, read, replace, change, delete, divide, multiply.

use super::{Api, check, create, create_as, relate};
use serde_json::{Value, json};

const CODE: &str = "lambda x, y: x * y";

#[test]
fn a_substrate_is_created_and_read() {
    let api = Api::new();
    let body =
        json!({"expression_type": "lambda", "expression_code": CODE, "metadata": {"b": 1, "a": [1.0, null]}});
    let made = api.send("POST /api/v1/substrates", &body.to_string());
    assert_eq!(made.status, 201);
    let substrate = made.json();
    let id = substrate["substrate_id"].as_str().expect("an identity");
    // BLAKE3 of "butterflyfx/substrate/1\0lambda\0lambda x, y: x * y", first eight bytes.
    let hash = butterflyfx_engine::identity::SubstrateId::of_formula(
        butterflyfx_formula::formula::ExpressionType::Lambda,
        CODE,
    );
    assert_eq!(id, hash.to_string());
    assert_eq!(made.header("location"), Some(format!("/api/v1/substrates/{id}").as_str()));
    assert_eq!(made.header("content-type"), Some("application/json"));
    let read = api.send(&format!("GET /api/v1/substrates/{id}"), "");
    assert_eq!(read.text(), made.text(), "what was created is what is read, byte for byte");
    assert_eq!(read.header("etag"), made.header("etag"));
    assert!(read.text().contains(&format!("\"identity\":{},", hash.0)), "the exact integer");
    assert!(
        read.text().ends_with("\"metadata\":{\"b\":1,\"a\":[1.0,null]}}"),
        "order and kind are kept: {}",
        read.text()
    );
    assert_eq!(substrate["created_at"], substrate["updated_at"]);
    let short = id.trim_start_matches("0x").to_ascii_lowercase();
    assert_eq!(api.send(&format!("GET /api/v1/substrates/{short}"), "").text(), read.text());
    assert_eq!(api.send(&format!("HEAD /api/v1/substrates/{id}"), "").header("etag"), read.header("etag"));
}

#[test]
fn conflicts() {
    let api = Api::new();
    let id = create(&api, "lambda", CODE, json!({}));
    let chosen = create_as(&api, "AB", "formula", "a + b", json!({}));
    assert_eq!(chosen, "0x00000000000000AB");
    let again =
        json!({"expression_type": "lambda", "expression_code": CODE, "metadata": {"other": 1}}).to_string();
    check(
        &api,
        &[
            ("POST /api/v1/substrates", &again, 409, json!({"code": "substrate_exists", "substrate_id": id})),
            ("POST /api/v1/substrates?on_conflict=refuse", &again, 409, json!("substrate_exists")),
            (
                "POST /api/v1/substrates?on_conflict=return",
                &again,
                200,
                json!({"substrate_id": id, "metadata": {}, "version": 1}),
            ),
            (
                "POST /api/v1/substrates",
                r#"{"expression_type":"formula","expression_code":"a - b","identity":"0xab"}"#,
                409,
                json!({"code": "identity_in_use", "substrate_id": chosen}),
            ),
            (
                "POST /api/v1/substrates?on_conflict=return",
                r#"{"expression_type":"formula","expression_code":"a - b","identity":"0xab"}"#,
                409,
                json!("identity_in_use"),
            ),
            // One formula under several chosen identities is fine.
            (
                "POST /api/v1/substrates",
                r#"{"expression_type":"formula","expression_code":"a + b","identity":"0"}"#,
                201,
                json!({"substrate_id": "0x0000000000000000", "identity": 0}),
            ),
            (
                "POST /api/v1/substrates",
                r#"{"expression_type":"formula","expression_code":"a + b"}"#,
                201,
                Value::Null,
            ),
        ],
    );
}

#[test]
fn bodies_that_are_not_acceptable() {
    let api = Api::new();
    let post = "POST /api/v1/substrates";
    let pointers = |body: &str, expected: &[&str]| {
        let reply = api.send(post, body);
        assert_eq!(reply.status, 422, "{body}");
        let errors = reply.json()["errors"].clone();
        let pointers: Vec<_> =
            errors.as_array().into_iter().flatten().map(|error| error["pointer"].clone()).collect();
        assert_eq!(json!(pointers), json!(expected), "{body}");
    };
    pointers("{}", &["/expression_type", "/expression_code"]);
    pointers("[]", &[""]);
    pointers("5", &[""]);
    pointers(
        r#"{"expression_type":1,"expression_code":null,"metadata":[],"identity":5,"x/y":0}"#,
        &["/expression_type", "/expression_code", "/metadata", "/identity", "/x~1y"],
    );
    check(
        &api,
        &[
            (post, "", 400, json!("invalid_json")),
            (post, "{", 400, json!({"code": "invalid_json", "errors": [{"line": 1, "column": 2}]})),
            (post, "{\"a\":1,\n \"a\":2}", 400, json!({"code": "invalid_json", "errors": [{"line": 2}]})),
            (post, "NaN", 400, json!("invalid_json")),
            (
                post,
                r#"{"expression_type":"lambda","expression_code":"lambda: 1","metadata":{"x":1e400}}"#,
                422,
                json!("validation_failed"),
            ),
            (
                post,
                r#"{"expression_type":"lambda","expression_code":"lambda: 1","identity":"0x"}"#,
                400,
                json!("invalid_identity"),
            ),
            (
                post,
                r#"{"expression_type":"lambda","expression_code":"lambda: 1","identity":"12345678901234567"}"#,
                400,
                json!("invalid_identity"),
            ),
            (
                post,
                r#"{"expression_type":"function","expression_code":"def f(): pass"}"#,
                422,
                json!({"code": "not_supported", "errors": [{"pointer": "/expression_type"}]}),
            ),
            (
                post,
                r#"{"expression_type":"Lambda","expression_code":"lambda: 1"}"#,
                422,
                json!("validation_failed"),
            ),
            (
                post,
                r#"{"expression_type":"lambda","expression_code":"lambda x: x +"}"#,
                422,
                json!({"code": "syntax_error", "errors": [{"pointer": "/expression_code", "line": 1}]}),
            ),
            (post, r#"{"expression_type":"lambda","expression_code":"1 + 1"}"#, 422, Value::Null),
            (
                post,
                r#"{"expression_type":"lambda","expression_code":"lambda x: open(x)"}"#,
                422,
                json!({"code": "not_supported", "errors": [{"pointer": "/expression_code", "line": 1, "column": 11}]}),
            ),
            (
                post,
                r#"{"expression_type":"lambda","expression_code":"lambda x=1/0: x"}"#,
                422,
                json!({"code": "evaluation_error", "exception": "ZeroDivisionError"}),
            ),
            (post, r#"{"expression_type":"constant","expression_code":"[1,"}"#, 422, json!("syntax_error")),
            ("POST /api/v1/substrates?x=1", "{}", 422, json!({"errors": [{"parameter": "x"}]})),
            (
                "POST /api/v1/substrates?on_conflict=replace",
                "{}",
                422,
                json!({"errors": [{"parameter": "on_conflict"}]}),
            ),
        ],
    );
    let long = json!({"expression_type": "formula", "expression_code": format!("'{}'", "a".repeat(9_000))})
        .to_string();
    let deep = json!({"expression_type": "formula", "expression_code": format!("{}1{}", "(".repeat(500), ")".repeat(500))}).to_string();
    check(
        &api,
        &[
            (post, &long, 422, json!({"code": "limit_exceeded", "limit": "source_text"})),
            (post, &deep, 422, json!({"code": "limit_exceeded", "limit": "nesting"})),
        ],
    );
    let broken = api.send_with(post, &[], b"{\"expression_type\":\"\xff\"}");
    assert_eq!((broken.status, broken.json()["code"].as_str()), (400, Some("invalid_json")));
}

#[test]
fn put_creates_and_replaces() {
    let api = Api::new();
    let put = "PUT /api/v1/substrates/0xAB";
    let one = r#"{"expression_type":"formula","expression_code":"a + b","metadata":{"k":1}}"#;
    let made = api.send(put, one);
    assert_eq!(made.status, 201);
    assert_eq!(made.header("location"), Some("/api/v1/substrates/0x00000000000000AB"));
    check(
        &api,
        &[
            (
                put,
                r#"{"expression_type":"formula","expression_code":"a - b"}"#,
                200,
                json!({"substrate_id": "0x00000000000000AB", "version": 2, "metadata": {}, "expression_code": "a - b", "created_at": made.json()["created_at"]}),
            ),
            (put, r#"{"expression_type":"formula","expression_code":"a -"}"#, 422, json!("syntax_error")),
            (
                put,
                r#"{"expression_type":"formula","expression_code":"a","identity":"0xAB"}"#,
                422,
                json!({"errors": [{"pointer": "/identity"}]}),
            ),
            (put, "{}", 422, json!("validation_failed")),
            ("PUT /api/v1/substrates/xyz", one, 400, json!("invalid_identity")),
        ],
    );
    let content = create(&api, "lambda", CODE, json!({}));
    let put = format!("PUT /api/v1/substrates/{content}");
    check(
        &api,
        &[
            (&put, one, 409, json!({"code": "identity_is_content", "substrate_id": content})),
            (
                &put,
                &json!({"expression_type": "lambda", "expression_code": CODE, "metadata": {"new": true}})
                    .to_string(),
                200,
                json!({"version": 2, "metadata": {"new": true}}),
            ),
        ],
    );
}

#[test]
fn patch_merges() {
    let api = Api::new();
    let id =
        create_as(&api, "AC", "formula", "a + b", json!({"keep": 1, "drop": 2, "deep": {"x": 1, "y": 2}}));
    let patch = format!("PATCH /api/v1/substrates/{id}");
    check(
        &api,
        &[
            (
                &patch,
                r#"{"metadata":{"drop":null,"deep":{"x":null,"z":3},"new":[1]}}"#,
                200,
                json!({"version": 2, "metadata": {"keep": 1, "deep": {"y": 2, "z": 3}, "new": [1]}}),
            ),
            (
                &patch,
                r#"{"expression_code":"a * b"}"#,
                200,
                json!({"version": 3, "expression_code": "a * b"}),
            ),
            (
                &patch,
                r#"{"expression_code":"lambda a: a","expression_type":"lambda"}"#,
                200,
                json!({"version": 4, "expression_type": "lambda"}),
            ),
            (&patch, "{}", 200, Value::Null),
            (
                &patch,
                r#"{"metadata":null,"expression_code":1,"expression_type":"x","other":2}"#,
                422,
                json!({"code": "validation_failed", "errors": [{"pointer": "/metadata"}, {"pointer": "/expression_code"}, {"pointer": "/expression_type"}, {"pointer": "/other"}]}),
            ),
            (&patch, r#"{"expression_code":"a +"}"#, 422, json!("syntax_error")),
            (
                "PATCH /api/v1/substrates/0x1",
                "{}",
                404,
                json!({"code": "substrate_not_found", "substrate_id": "0x0000000000000001"}),
            ),
            ("PATCH /api/v1/substrates/g", "{}", 400, json!("invalid_identity")),
        ],
    );
    let merge = api.send_with(
        &patch,
        &[("content-type", "application/merge-patch+json")],
        br#"{"metadata":{"m":1}}"#,
    );
    assert_eq!(merge.status, 200);
    let content = create(&api, "lambda", CODE, json!({}));
    let patch = format!("PATCH /api/v1/substrates/{content}");
    check(
        &api,
        &[
            (&patch, r#"{"expression_code":"lambda x: x"}"#, 409, json!("identity_is_content")),
            (&patch, r#"{"metadata":{"fine":true}}"#, 200, json!({"version": 2})),
        ],
    );
}

#[test]
fn delete_takes_relationships_along() {
    let api = Api::new();
    let ids: Vec<_> = ["1", "2", "3"].map(|code| create(&api, "constant", code, json!({}))).into();
    let relationship = relate(&api, "SIBLING", &ids[0], &ids[1], json!({}));
    let one = format!("/api/v1/substrates/{}", ids[0]);
    check(
        &api,
        &[
            (
                &format!("DELETE {one}?mode=restrict"),
                "",
                409,
                json!({"code": "has_relationships", "relationships": 1}),
            ),
            (&format!("DELETE {one}?mode=maybe"), "", 422, json!({"errors": [{"parameter": "mode"}]})),
            (&format!("DELETE {one}?mode=cascade"), "", 204, Value::Null),
            (&format!("GET {one}"), "", 404, json!("substrate_not_found")),
            (&format!("DELETE {one}"), "", 404, json!("substrate_not_found")),
            (&format!("GET /api/v1/relationships/{relationship}"), "", 404, json!("relationship_not_found")),
            (&format!("GET /api/v1/relationships/outgoing/{}", ids[1]), "", 200, json!({"count": 0})),
            (&format!("DELETE /api/v1/substrates/{}?mode=restrict", ids[2]), "", 204, Value::Null),
        ],
    );
}

#[test]
fn divide_and_multiply() {
    let api = Api::new();
    let id = create(&api, "constant", "1", json!({}));
    let divided = api.send(&format!("POST /api/v1/substrates/{id}/divide"), "");
    assert_eq!(
        divided.json(),
        json!({
            "substrate_id": id,
            "dimensions": [
                {"level": 0, "name": "Void", "description": "Potential"},
                {"level": 1, "name": "Identity", "description": "Who"},
                {"level": 1, "name": "Domain", "description": "What type"},
                {"level": 2, "name": "Length", "description": "Attributes"},
                {"level": 3, "name": "Area", "description": "Relationships"},
                {"level": 5, "name": "Volume", "description": "State + change"},
                {"level": 8, "name": "Frequency", "description": "Temporal patterns"},
                {"level": 13, "name": "System", "description": "Behaviors"},
                {"level": 21, "name": "Complete", "description": "Whole object"}
            ],
            "fibonacci_sequence": [0, 1, 1, 2, 3, 5, 8, 13, 21]
        })
    );
    let multiply = "POST /api/v1/substrates/multiply";
    check(
        &api,
        &[
            ("POST /api/v1/substrates/0x1/divide", "", 404, json!("substrate_not_found")),
            ("POST /api/v1/substrates/-/divide", "", 400, json!("invalid_identity")),
            (
                multiply,
                r#"{"dimension_values":[1,2,3]}"#,
                200,
                json!({"unity_value": 24, "operation": "multiply", "dimensions_collapsed": 3}),
            ),
            (
                multiply,
                r#"{"dimension_values":[]}"#,
                200,
                json!({"unity_value": 1, "dimensions_collapsed": 0}),
            ),
            (multiply, r#"{"dimension_values":[18446744073709551615, 5]}"#, 200, json!({"unity_value": 0})),
            (
                multiply,
                r#"{"dimension_values":[18446744073709551614]}"#,
                200,
                json!({"unity_value": u64::MAX}),
            ),
            (multiply, r#"{"dimension_values":[4294967295, 4294967295, 2]}"#, 200, json!({"unity_value": 0})),
            (
                multiply,
                r#"{"dimension_values":[-1, 1.0, 18446744073709551616, true, "1"]}"#,
                422,
                json!({"code": "validation_failed", "errors": [
                {"pointer": "/dimension_values/0"}, {"pointer": "/dimension_values/1"}, {"pointer": "/dimension_values/2"},
                {"pointer": "/dimension_values/3"}, {"pointer": "/dimension_values/4"}]}),
            ),
            (multiply, "{}", 422, json!({"errors": [{"pointer": "/dimension_values"}]})),
            (multiply, r#"{"dimension_values":5}"#, 422, json!("validation_failed")),
        ],
    );
}
