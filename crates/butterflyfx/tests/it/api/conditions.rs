//! Conditional requests and media types.

use super::{Api, create_as};
use serde_json::json;

#[test]
fn etags() {
    let api = Api::new();
    let id = create_as(&api, "AB", "formula", "a", json!({}));
    let path = format!("/api/v1/substrates/{id}");
    let etag = |reply: &super::Reply| reply.header("etag").expect("an ETag").to_owned();
    let first = etag(&api.send(&format!("GET {path}"), ""));
    assert!(first.starts_with('"') && first.ends_with('"'));
    let send = |method: &str, header: (&str, &str), body: &str| {
        api.send_with(&format!("{method} {path}"), &[header], body.as_bytes())
    };
    for (header, status) in [(first.as_str(), 304), ("\"other\"", 200), ("*", 304)] {
        let reply = send("GET", ("if-none-match", header), "");
        assert_eq!((reply.status, etag(&reply)), (status, first.clone()), "{header}");
    }
    let patch = r#"{"metadata":{"n":1}}"#;
    let weak = format!("W/{first}");
    let bare = first.trim_matches('"');
    for wrong in ["\"other\"", weak.as_str(), "\"1-0\", \"2-0\"", "no quotes", bare, "*, \"a\"", ""] {
        let reply = send("PATCH", ("if-match", wrong), patch);
        assert_eq!(
            (reply.status, reply.json()["code"].as_str()),
            (412, Some("precondition_failed")),
            "{wrong}"
        );
    }
    let patched = send("PATCH", ("if-match", &format!("\"x\", {first}")), patch);
    assert_eq!(patched.status, 200);
    let second = etag(&patched);
    assert_ne!(first, second);
    let put = r#"{"expression_type":"formula","expression_code":"b"}"#;
    assert_eq!(send("PUT", ("if-match", &first), put).status, 412);
    assert_eq!(send("PUT", ("if-match", &second), put).status, 200);
    assert_eq!(send("DELETE", ("if-match", &second), "").status, 412);
    assert_eq!(send("DELETE", ("if-match", "*"), "").status, 204);
    for (method, body) in [("PUT", put), ("PATCH", patch), ("DELETE", "")] {
        assert_eq!(send(method, ("if-match", "*"), body).status, 412, "{method} on a missing one");
    }
    // A substrate made again is another state.
    let again = api.send(&format!("PUT {path}"), put);
    assert_eq!(again.status, 201);
    assert_eq!(send("PATCH", ("if-match", &first), patch).status, 412);
}

#[test]
fn a_put_that_creates_only() {
    let api = Api::new();
    let put = |headers: &[(&str, &str)], code: &str| {
        let body = json!({"expression_type": "formula", "expression_code": code}).to_string();
        let reply = api.send_with("PUT /api/v1/substrates/AB", headers, body.as_bytes());
        (reply.status, reply.json()["code"].as_str().map(str::to_owned))
    };
    let failed = (412, Some("precondition_failed".to_owned()));
    let create = ("if-none-match", "*");
    assert_eq!(put(&[create, ("if-match", "*")], "a"), failed);
    assert_eq!(put(&[create], "a"), (201, None));
    assert_eq!(put(&[create], "b"), failed);
    assert_eq!(put(&[create, ("if-match", "*")], "b"), failed);
    let kept = api.send("GET /api/v1/substrates/AB", "").json();
    assert_eq!((&kept["expression_code"], &kept["version"]), (&json!("a"), &json!(1)));
    assert_eq!(put(&[], "b"), (200, None));
}

#[test]
fn media_types() {
    let api = Api::new();
    create_as(&api, "AB", "formula", "a", json!({}));
    let body = br#"{"dimension_values":[1]}"#;
    for (content_type, status) in [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("APPLICATION/JSON;charset=UTF8", 200),
        ("application/json; charset=iso-8859-1", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/x-ndjson", 415),
        ("application/merge-patch+json", 415),
        ("nonsense", 415),
    ] {
        let reply =
            api.send_with("POST /api/v1/substrates/multiply", &[("content-type", content_type)], body);
        assert_eq!(reply.status, status, "{content_type}");
        if status == 415 {
            let problem = reply.json();
            assert_eq!(problem["code"], "unsupported_media_type");
            let detail = problem["detail"].as_str().expect("detail");
            assert!(detail.contains("send the header Content-Type: application/json"), "{detail}");
            assert_eq!(detail.contains("curl: --json"), content_type.contains("form"), "{detail}");
        }
    }
    let put = br#"{"expression_type":"formula","expression_code":"b"}"#;
    for (request, content_type, body, status) in [
        ("PUT /api/v1/substrates/AB", "application/merge-patch+json", &put[..], 415),
        ("PATCH /api/v1/substrates/AB", "text/plain", b"{}", 415),
        ("POST /api/v1/substrates/AB/invoke", "text/plain", b"{}", 415),
        ("POST /api/v1/substrates/batch", "text/csv", b"{}", 415),
        ("POST /api/v1/substrates/batch", "application/x-ndjson", b"", 200),
        ("POST /api/v1/query/search", "text/plain", b"{}", 415),
        ("POST /api/v1/substrates", "text/plain", b"{}", 415),
        ("POST /api/v1/relationships", "text/plain", b"{}", 415),
    ] {
        assert_eq!(
            api.send_with(request, &[("content-type", content_type)], body).status,
            status,
            "{request}"
        );
    }
}

#[test]
fn compressed_bodies_are_refused() {
    let api = Api::new();
    let body = br#"{"dimension_values":[1]}"#;
    for (coding, status) in [("identity", 200), ("gzip", 415), ("br, gzip", 415)] {
        let reply = api.send_with("POST /api/v1/substrates/multiply", &[("content-encoding", coding)], body);
        assert_eq!(reply.status, status, "{coding}");
        if status == 415 {
            assert_eq!(reply.json()["code"], "unsupported_media_type");
        }
    }
}

#[test]
fn methods_and_paths() {
    let api = Api::new();
    for (request, status, allow) in [
        ("DELETE /api/v1/substrates", 405, "GET"),
        ("GET /api/v1/substrates/batch", 405, "POST"),
        ("POST /api/v1/substrates/0x1", 405, "PATCH"),
        ("GET /api/v1/substrates/0x1/invoke", 405, "POST"),
        ("POST /api/v1/health", 405, "GET"),
        ("OPTIONS /api/v1/substrates/0x1", 204, "PATCH"),
        ("OPTIONS /api/v1/substrates/0x1/invoke", 204, "POST"),
    ] {
        let reply = api.send(request, "");
        assert_eq!(reply.status, status, "{request}");
        assert!(
            reply.header("allow").is_some_and(|list| list.contains(allow)),
            "{request}: {:?}",
            reply.headers
        );
        if status == 405 {
            assert_eq!(reply.json()["code"], "method_not_allowed");
        }
    }
    for request in ["GET /api/v1", "GET /api/v1/substrates/", "POST /x", "GET /api/v2/health"] {
        let reply = api.send(request, "");
        assert_eq!(
            (reply.status, reply.json()["code"].as_str()),
            (404, Some("route_not_found")),
            "{request}"
        );
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
    }
    let instance = api.send("GET /api/v1/substrates/zz", "").json()["instance"].clone();
    assert_eq!(instance, "/api/v1/substrates/zz");
}
