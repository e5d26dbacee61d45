//! Batches of substrates and relationships: arrays, objects, NDJSON; atomic or not.

use super::{Api, check, create};
use serde_json::{Value, json};
use std::io::{BufReader, Write};

const SUBSTRATES: &str = "POST /api/v1/substrates/batch";
const NDJSON: (&str, &str) = ("content-type", "application/x-ndjson");

fn formula(code: &str) -> Value {
    json!({"expression_type": "formula", "expression_code": code})
}

#[test]
fn arrays_and_objects() {
    let api = Api::new();
    let items = json!([formula("a"), formula("b +"), formula("a"), 5, formula("c")]);
    let expected = json!({
        "results": [
            {"expression_code": "a"},
            {"status": 422, "code": "syntax_error", "errors": [{"pointer": "/expression_code", "line": 1}]},
            {"status": 409, "code": "substrate_exists"},
            {"status": 422, "code": "validation_failed"},
            {"expression_code": "c"}],
        "created": 2, "failed": 3});
    check(
        &api,
        &[
            (SUBSTRATES, &items.to_string(), 200, expected),
            (
                &format!("{SUBSTRATES}?on_conflict=return"),
                &json!({"substrates": [formula("a"), formula("d")]}).to_string(),
                200,
                json!({"results": [{"expression_code": "a"}, {"expression_code": "d"}], "created": 1, "failed": 0}),
            ),
            (
                &format!("{SUBSTRATES}?results=none"),
                &json!([formula("e"), formula("e")]).to_string(),
                200,
                json!({"created": 1, "failed": 1}),
            ),
            (SUBSTRATES, "[]", 200, json!({"results": [], "created": 0, "failed": 0})),
            (SUBSTRATES, "{}", 422, json!("validation_failed")),
            (SUBSTRATES, r#"{"items":[]}"#, 422, json!("validation_failed")),
            (SUBSTRATES, r#"{"substrates":{}}"#, 422, json!("validation_failed")),
            (SUBSTRATES, r#"{"substrates":[],"more":1}"#, 422, json!({"errors": [{"pointer": "/more"}]})),
            (SUBSTRATES, r#"{"substrates":null}"#, 422, json!({"errors": [{"pointer": "/substrates"}]})),
            (
                SUBSTRATES,
                "null",
                422,
                json!({"detail": "the body must be an array, or an object with the array substrates, not null"}),
            ),
            (SUBSTRATES, "7", 422, json!("validation_failed")),
            (SUBSTRATES, "", 400, json!("invalid_json")),
            (SUBSTRATES, "[1,", 400, json!("invalid_json")),
            (&format!("{SUBSTRATES}?results=some"), "[]", 422, json!({"errors": [{"parameter": "results"}]})),
            (&format!("{SUBSTRATES}?atomic=yes"), "[]", 422, json!({"errors": [{"parameter": "atomic"}]})),
            // As a client in Python writes it.
            (&format!("{SUBSTRATES}?atomic=True"), "[5]", 422, json!({"errors": [{"pointer": "/0"}]})),
            (&format!("{SUBSTRATES}?atomic=False"), "[5]", 200, json!({"failed": 1})),
        ],
    );
    let counts = api.send(&format!("{SUBSTRATES}?results=none"), "[]").json();
    assert_eq!(counts, json!({"created": 0, "failed": 0}));
}

#[test]
fn all_or_nothing() {
    let api = Api::new();
    let atomic = format!("{SUBSTRATES}?atomic=true");
    let good = json!([formula("a"), formula("b")]).to_string();
    check(
        &api,
        &[
            (
                &atomic,
                &json!([formula("a"), formula("b"), formula("c +")]).to_string(),
                422,
                json!({"code": "syntax_error", "status": 422, "errors": [{"pointer": "/2", "line": 1}]}),
            ),
            (
                &atomic,
                &json!([formula("a"), {"expression_type": "formula"}]).to_string(),
                422,
                json!({"code": "validation_failed", "errors": [{"pointer": "/1"}]}),
            ),
            (
                &atomic,
                &json!([formula("a"), {"more": 1}]).to_string(),
                422,
                json!({"errors": [{"pointer": "/1"}, {"pointer": "/1/expression_code"}, {"pointer": "/1/more"}]}),
            ),
            (
                &atomic,
                &json!([formula("a"), formula("a")]).to_string(),
                422,
                json!({"code": "substrate_exists", "status": 422, "errors": [{"pointer": "/1"}]}),
            ),
            ("GET /api/v1/substrates", "", 200, json!({"substrates": []})),
            (
                &atomic,
                &good,
                200,
                json!({"results": [{"expression_code": "a"}, {"expression_code": "b"}], "created": 2, "failed": 0}),
            ),
            (
                &format!("{atomic}&on_conflict=return&results=none"),
                &good,
                200,
                json!({"created": 0, "failed": 0}),
            ),
        ],
    );
    let lines = "{\"expression_type\":\"formula\",\"expression_code\":\"x\"}\nnot json\n".repeat(3);
    let reply = api.send_with(&atomic, &[NDJSON], lines.as_bytes());
    assert_eq!((reply.status, &reply.json()["code"]), (422, &json!("invalid_json")));
    assert_eq!(reply.json()["errors"][0]["pointer"], "/1");
}

#[test]
fn lines() {
    let api = Api::new();
    let body =
        format!("{}\n\n  \r\n{}\nnot json\n{}\r\n{}", formula("a"), formula("b"), formula("a"), formula("c"));
    let reply = api.send_with(SUBSTRATES, &[NDJSON], body.as_bytes());
    assert_eq!(reply.status, 200);
    super::assert_part(
        &json!({
            "results": [
                {"expression_code": "a"}, {"expression_code": "b"},
                {"status": 400, "code": "invalid_json", "errors": [{"line": 5}]},
                {"code": "substrate_exists"}, {"expression_code": "c"}],
            "created": 3, "failed": 2}),
        &reply.json(),
        &reply.text(),
    );
    assert_eq!(
        api.send_with(SUBSTRATES, &[NDJSON], b"").json(),
        json!({"results": [], "created": 0, "failed": 0})
    );
}

#[test]
fn relationships_see_earlier_ones() {
    let api = Api::new();
    let [a, b] = ["1", "2"].map(|code| create(&api, "constant", code, json!({})));
    let one =
        |source: &str, target: &str| json!({"rel_type": "CYCLE", "source_id": source, "target_id": target});
    let batch = "POST /api/v1/relationships/batch";
    check(
        &api,
        &[
            (
                batch,
                &json!({"relationships": [one(&a, &b), one(&a, &b), one(&a, "0x1"), one("?", &b), {}]})
                    .to_string(),
                200,
                json!({
            "results": [
                {"rel_type": "CYCLE", "source_id": a},
                {"status": 409, "code": "relationship_exists"},
                {"status": 404, "code": "substrate_not_found", "errors": [{"pointer": "/target_id"}]},
                {"status": 400, "code": "invalid_identity"},
                {"status": 422, "code": "validation_failed"}],
            "created": 1, "failed": 4}),
            ),
            (
                &format!("{batch}?atomic=true"),
                &json!([one(&b, &a), one(&b, "0x1")]).to_string(),
                422,
                json!({"code": "substrate_not_found", "errors": [{"pointer": "/1"}]}),
            ),
            (&format!("GET /api/v1/relationships/outgoing/{b}"), "", 200, json!({"count": 0})),
            (
                &format!("{batch}?atomic=true&results=none"),
                &json!([one(&b, &a)]).to_string(),
                200,
                json!({"created": 1, "failed": 0}),
            ),
            (batch, r#"{"substrates":[]}"#, 422, json!("validation_failed")),
        ],
    );
}

#[test]
fn long_streams_are_applied_piece_by_piece() {
    let api = Api::new();
    let mut stream = api.server.connect();
    let head = "POST /api/v1/substrates/batch?results=none HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\
                content-type: application/x-ndjson\r\ntransfer-encoding: chunked\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("send");
    let mut send =
        |text: &str| stream.write_all(format!("{:x}\r\n{text}\r\n", text.len()).as_bytes()).expect("send");
    let line = |index: usize| {
        format!(
            "{{\"expression_type\":\"constant\",\"expression_code\":\"{index}\",\"metadata\":{{\"pad\":\"{}\"}}}}\n",
            "p".repeat(100)
        )
    };
    let text: String = (0..4_000).map(line).collect();
    // Cut without regard to lines.
    for piece in text.as_bytes().chunks(7_777) {
        send(std::str::from_utf8(piece).expect("ASCII"));
    }
    crate::support::until("the first pieces are applied", || api.server.app.engine.counts().0 > 0);
    send("{\"expression_type\":");
    send("\"constant\",\"expression_code\":\"-1\"}");
    stream.write_all(b"0\r\n\r\n").expect("send");
    let reply = super::client::read_reply(&mut BufReader::new(stream), false);
    assert_eq!(reply.json(), json!({"created": 4001, "failed": 0}));
}

#[test]
fn what_was_applied_before_a_break_stays() {
    let api = Api::new();
    for (query, stays) in [("", true), ("?atomic=true", false)] {
        let before = api.server.app.engine.counts().0;
        let mut stream = api.server.connect();
        let head = format!(
            "POST /api/v1/substrates/batch{query} HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-ndjson\r\ncontent-length: 10000000\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).expect("send");
        let text: String = (0..6_000)
            .map(|index| format!("{{\"expression_type\":\"formula\",\"expression_code\":\"x + {index}\",\"metadata\":{{\"pad\":\"{}\"}}}}\n", query.len()))
            .collect();
        stream.write_all(text.as_bytes()).expect("send");
        if stays {
            crate::support::until("some are applied", || api.server.app.engine.counts().0 > before);
        }
        let metrics = &api.server.app.metrics;
        crate::support::until("the request is in flight", || metrics.requests_in_flight() > 0);
        drop(stream);
        crate::support::until("the request has ended", || metrics.requests_in_flight() == 0);
        assert_eq!(api.server.app.engine.counts().0 > before, stays, "{query}");
        if stays {
            let all = api.send("POST /api/v1/query/search", "{\"limit\":10000}").json();
            for one in all["substrates"].as_array().expect("substrates") {
                api.send(
                    &format!("DELETE /api/v1/substrates/{}", one["substrate_id"].as_str().expect("id")),
                    "",
                );
            }
        }
    }
}

#[test]
fn long_answers_are_streamed() {
    let api = Api::new();
    let bad = "x\n".repeat(200_000);
    let reply = api.send_with(SUBSTRATES, &[NDJSON], bad.as_bytes());
    assert_eq!(reply.status, 200);
    assert!(reply.body.len() > 32 << 20);
    assert_eq!(reply.header("transfer-encoding"), Some("chunked"));
    assert!(reply.text().ends_with("}],\"created\":0,\"failed\":200000}"));
}

#[test]
fn sizes() {
    let api = Api::with(&[("body-max", "64KiB"), ("batch-body-max", "256KiB")]);
    let long = format!(
        "{{\"expression_type\":\"constant\",\"expression_code\":\"1\",\"metadata\":{{\"x\":\"{}\"}}}}",
        "a".repeat(70_000)
    );
    check(
        &api,
        &[(SUBSTRATES, &format!("[{long}]"), 413, json!({"code": "body_too_large", "limit_bytes": 65536}))],
    );
    let many = format!("{}\n", formula("x + 1")).repeat(5_000);
    let reply = api.send_with(SUBSTRATES, &[NDJSON], many.as_bytes());
    assert_eq!((reply.status, &reply.json()["limit_bytes"]), (413, &json!(262_144)));
    let api = Api::with(&[("body-max", "64KiB"), ("batch-body-max", "4MiB")]);
    let line = "a".repeat(600_000);
    let reply = api.send_with(SUBSTRATES, &[NDJSON], line.as_bytes());
    assert_eq!((reply.status, reply.json()["code"].clone()), (413, json!("body_too_large")));
}
