//! `Idempotency-Key`: done once, answered twice.

use super::{Api, create};
use crate::support::Folder;
use serde_json::json;
use std::io::{BufReader, Write};

const BODY: &str = r#"{"expression_type":"formula","expression_code":"a + b"}"#;

fn key(text: &str) -> [(&str, &str); 1] {
    [("idempotency-key", text)]
}

#[test]
fn a_request_is_done_once_and_answered_again() {
    let api = Api::new();
    let post = "POST /api/v1/substrates";
    let first = api.send_with(post, &key("k1"), BODY.as_bytes());
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let again = api.send_with(post, &key("k1"), BODY.as_bytes());
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
    assert_eq!(again.text(), first.text());
    for name in ["etag", "location", "content-type"] {
        assert_eq!(again.header(name), first.header(name), "{name}");
    }
    assert_ne!(again.header("x-request-id"), first.header("x-request-id"));
    // Without the key, or with another, it is another request.
    assert_eq!(api.send(post, BODY).status, 409);
    let other = api.send_with(post, &key("k2"), BODY.as_bytes());
    assert_eq!((other.status, &other.json()["code"]), (409, &json!("substrate_exists")));
    let other = api.send_with(post, &key("k2"), BODY.as_bytes());
    assert_eq!(
        (other.status, other.header("idempotency-replayed")),
        (409, Some("true")),
        "refusals are kept too"
    );
    // Another body, query or path.
    let reused =
        api.send_with(post, &key("k1"), br#"{"expression_type":"formula","expression_code":"a - b"}"#);
    assert_eq!((reused.status, &reused.json()["code"]), (422, &json!("idempotency_key_reused")));
    let reused = api.send_with("POST /api/v1/substrates?on_conflict=return", &key("k1"), BODY.as_bytes());
    assert_eq!(reused.status, 422);
    assert_eq!(api.send_with("POST /api/v1/query/search", &key("k1"), b"{}").status, 200);
    let id = create(&api, "constant", "5", json!({}));
    let invoke = format!("POST /api/v1/substrates/{id}/invoke");
    let one = api.send_with(&invoke, &key("k1"), b"");
    let two = api.send_with(&invoke, &key("k1"), b"");
    assert_eq!((one.status, one.text()), (two.status, two.text()));
    for bad in ["", &"k".repeat(256)] {
        assert_eq!(api.send_with(post, &key(bad), BODY.as_bytes()).status, 422, "{} bytes", bad.len());
    }
    assert_eq!(api.send_with(post, &key(&"k".repeat(255)), BODY.as_bytes()).status, 409);
}

#[test]
fn batches_too() {
    let api = Api::new();
    let lines: String = (0..5_000)
        .map(|index| format!("{{\"expression_type\":\"constant\",\"expression_code\":\"{index}\"}}\n"))
        .collect();
    let headers = [("idempotency-key", "b"), ("content-type", "application/x-ndjson")];
    let post = "POST /api/v1/substrates/batch?results=none";
    let first = api.send_with(post, &headers, lines.as_bytes());
    assert_eq!(first.json(), json!({"created": 5000, "failed": 0}));
    let again = api.send_with(post, &headers, lines.as_bytes());
    assert_eq!((again.text(), again.header("idempotency-replayed")), (first.text(), Some("true")));
    let other = api.send_with(post, &headers, lines.trim_end().as_bytes());
    assert_eq!(other.json()["code"], "idempotency_key_reused");
}

#[test]
fn while_it_runs_it_is_refused() {
    let api = Api::new();
    let mut slow = api.server.connect();
    let head = format!(
        "POST /api/v1/substrates HTTP/1.1\r\nhost: x\r\nidempotency-key: s\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        BODY.len()
    );
    slow.write_all(head.as_bytes()).expect("send");
    let app = &api.server.app;
    crate::support::until("the first request has begun", || app.metrics.summary(app).requests_in_flight > 0);
    let running = api.send_with("POST /api/v1/substrates", &key("s"), b"{}");
    assert_eq!((running.status, &running.json()["code"]), (409, &json!("idempotency_key_in_flight")));
    assert!(running.header("retry-after").is_some());
    slow.write_all(BODY.as_bytes()).expect("send");
    let reply = super::client::read_reply(&mut BufReader::new(slow), false);
    assert_eq!(reply.status, 201, "{}", reply.text());
}

#[test]
fn nothing_is_kept_without_memory() {
    let api = Api::with(&[("idempotency-memory", "0")]);
    let post = "POST /api/v1/substrates";
    assert_eq!(api.send_with(post, &key("k"), BODY.as_bytes()).status, 201);
    assert_eq!(api.send_with(post, &key("k"), BODY.as_bytes()).status, 409);
}

/// What is kept with its change is in one commit with it, and survives a restart as it was given.
#[test]
fn a_creation_and_its_answer_are_one_commit() {
    let folder = Folder::new();
    let start = || Api::with(&[("data-dir", folder.path())]);
    let commits = |api: &Api| {
        let text = api.send("GET /metrics", "").text();
        let line = text.lines().find(|line| line.starts_with("butterflyfx_write_groups_total "));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).expect("a number")
    };
    let check = |name: &str, path: &str, body: &str, status: u16| {
        let api = start();
        let before = commits(&api);
        let first = api.send_with(path, &key(name), body.as_bytes());
        assert_eq!((first.status, commits(&api) - before), (status, 1), "{}", first.text());
        drop(api);
        let again = start().send_with(path, &key(name), body.as_bytes());
        assert_eq!((again.status, again.text()), (first.status, first.text()));
        for header in ["content-type", "etag", "location"] {
            assert_eq!(again.header(header), first.header(header), "{header}");
        }
        assert_eq!(again.header("idempotency-replayed"), Some("true"));
    };
    let two =
        |id: &str| format!(r#"{{"identity":"{id}","expression_type":"constant","expression_code":"1"}}"#);
    check("a", "POST /api/v1/substrates", &two("0xA"), 201);
    check("b", "POST /api/v1/substrates?on_conflict=return", &two("0xB"), 201);
    let related = r#"{"rel_type":"DEPENDENCY","source_id":"0xA","target_id":"0xB"}"#;
    check("c", "POST /api/v1/relationships", related, 201);
    // What changes nothing is kept by itself.
    check("d", "POST /api/v1/substrates?on_conflict=return", &two("0xB"), 200);
    check("e", "POST /api/v1/substrates", &two("0xB"), 409);
}
