//! Each error code is shown by a request, or stands in the list of those that cannot be yet.

use super::{Api, create, create_as, relate};
use butterflyfx::http::problem::Code;
use serde_json::json;
use std::collections::BTreeSet;

/// Codes that other tests show, or that nothing can raise yet.
const ELSEWHERE: &[(&str, &str)] = &[
    ("invalid_request", "the transport's tests"),
    ("request_timeout", "the transport's tests"),
    ("headers_too_large", "the transport's tests"),
    ("forbidden", "the transport's tests"),
    ("internal", "the transport's tests"),
    ("idempotency_key_in_flight", "api::idempotency"),
    ("body_too_large", "api::batch"),
    ("unauthorized", "there are no keys yet"),
    ("rate_limited", "there are no quotas yet"),
    ("read_only", "durable::disk"),
    ("durability_unknown", "durable::disk"),
    ("out_of_storage", "api::admin and durable::disk"),
];

#[test]
fn each_code_is_shown() {
    let api = Api::new();
    let id = create(&api, "lambda", "lambda x: 1 / x", json!({}));
    let nan = create(&api, "formula", "float('nan')", json!({}));
    let [a, b] = ["A", "B"].map(|id| create_as(&api, id, "formula", &format!("p + {}", id.len()), json!({})));
    relate(&api, "DEPENDENCY", &a, &b, json!({"parameter": "p"}));
    let relationship = relate(&api, "DEPENDENCY", &b, &a, json!({"parameter": "p"}));
    let invoke = format!("POST /api/v1/substrates/{id}/invoke");
    let new = |code: &str| json!({"expression_type": "lambda", "expression_code": code}).to_string();
    let rows: Vec<(&str, String, String)> = vec![
        ("invalid_json", "POST /api/v1/substrates".into(), "{".into()),
        ("invalid_identity", "GET /api/v1/substrates/!".into(), String::new()),
        ("invalid_cursor", "GET /api/v1/substrates?cursor=~".into(), String::new()),
        ("substrate_not_found", "GET /api/v1/substrates/1".into(), String::new()),
        ("relationship_not_found", "GET /api/v1/relationships/1".into(), String::new()),
        ("not_durable", "POST /api/v1/admin/backup".into(), String::new()),
        ("no_path", "POST /api/v1/query/path".into(), json!({"source_id": id, "target_id": a}).to_string()),
        ("job_not_found", "GET /api/v1/jobs/none".into(), String::new()),
        ("index_not_found", "GET /api/v1/indexes/none".into(), String::new()),
        ("route_not_found", "GET /nowhere".into(), String::new()),
        ("method_not_allowed", "PUT /api/v1/substrates".into(), String::new()),
        ("substrate_exists", "POST /api/v1/substrates".into(), new("lambda x: 1 / x")),
        (
            "identity_in_use",
            "POST /api/v1/substrates".into(),
            json!({"expression_type": "constant", "expression_code": "1", "identity": a}).to_string(),
        ),
        ("identity_is_content", format!("PUT /api/v1/substrates/{id}"), new("lambda y: y")),
        (
            "relationship_exists",
            "POST /api/v1/relationships".into(),
            json!({"rel_type": "dependency", "source_id": b, "target_id": a}).to_string(),
        ),
        ("has_relationships", format!("DELETE /api/v1/substrates/{a}?mode=restrict"), String::new()),
        ("validation_failed", "POST /api/v1/substrates".into(), "{}".into()),
        ("syntax_error", "POST /api/v1/substrates".into(), new("lambda x: x x")),
        ("not_supported", "POST /api/v1/substrates".into(), new("lambda x: {x}")),
        ("missing_parameter", invoke.clone(), "{}".into()),
        ("unexpected_parameter", invoke.clone(), r#"{"parameters":{"x":1,"y":1}}"#.into()),
        ("evaluation_error", invoke.clone(), r#"{"parameters":{"x":0}}"#.into()),
        ("limit_exceeded", invoke.clone(), format!("{{\"parameters\":{{\"x\":{}}}}}", "1".repeat(3_000))),
        ("result_not_json", format!("GET /api/v1/substrates/{nan}/value"), String::new()),
        ("dependency_cycle", format!("GET /api/v1/substrates/{a}/value"), String::new()),
    ];
    let mut shown: BTreeSet<&str> = ELSEWHERE.iter().map(|(code, _)| *code).collect();
    let mut expect = |code: &'static str, reply: &super::Reply| {
        assert_eq!(reply.json()["code"], code, "{}", reply.text());
        let known = Code::from_name(code).expect("a code");
        assert_eq!(reply.status, known.status());
        assert_eq!(reply.json()["title"], known.title());
        assert_eq!(reply.header("content-type"), Some("application/problem+json"));
        shown.insert(code);
    };
    for (code, request, body) in &rows {
        expect(code, &api.send(request, body));
    }
    let patch = format!("PATCH /api/v1/substrates/{a}");
    expect("precondition_failed", &api.send_with(&patch, &[("if-match", "\"x\"")], b"{}"));
    expect("unsupported_media_type", &api.send_with(&patch, &[("content-type", "text/plain")], b"{}"));
    let key = [("idempotency-key", "k")];
    let search = "POST /api/v1/query/search";
    assert_eq!(api.send_with(search, &key, b"{}").status, 200);
    expect("idempotency_key_reused", &api.send_with(search, &key, b"{ }"));
    assert_eq!(api.send(&format!("DELETE /api/v1/relationships/{relationship}"), "").status, 204);
    overload(|reply| expect("overloaded", reply));
    let all: BTreeSet<&str> = Code::ALL.iter().map(|code| code.name()).collect();
    assert_eq!(shown, all, "each code is shown here or named in ELSEWHERE");
}

/// Fills the only worker and its queue of one, and asks once more.
fn overload(mut expect: impl FnMut(&super::Reply)) {
    let api = Api::with(&[
        ("evaluation-threads", "1"),
        ("evaluation-queue", "1"),
        ("steps-max", "100000000"),
        ("wall-clock-max", "3s"),
    ]);
    let id = create(
        &api,
        "lambda",
        "lambda: sum([i for i in range(90000) for j in range(1000) if i < 0])",
        json!({}),
    );
    let invoke = format!("POST /api/v1/substrates/{id}/invoke");
    std::thread::scope(|scope| {
        let replies: Vec<_> = (0..4).map(|_| scope.spawn(|| api.send(&invoke, ""))).collect();
        let replies: Vec<_> = replies.into_iter().map(|reply| reply.join().expect("a reply")).collect();
        let refused = replies.iter().find(|reply| reply.status == 503).expect("one is refused");
        assert!(refused.header("retry-after").is_some());
        expect(refused);
    });
}
