//! Hostile input is refused quickly, and the server goes on.

use super::{Api, check, create};
use serde_json::json;
use std::time::{Duration, Instant};

/// Endpoints that read JSON.
const POSTS: [&str; 9] = [
    "POST /api/v1/substrates",
    "POST /api/v1/substrates/batch",
    "POST /api/v1/substrates/batch/invoke",
    "POST /api/v1/substrates/multiply",
    "POST /api/v1/relationships",
    "POST /api/v1/relationships/batch",
    "POST /api/v1/query/search",
    "POST /api/v1/query/traverse",
    "POST /api/v1/query/path",
];

#[test]
fn bodies() {
    let api = Api::new();
    let id = create(&api, "lambda", "lambda **kw: 1", json!({}));
    let mut requests: Vec<String> = POSTS.iter().map(|one| (*one).to_owned()).collect();
    requests.extend(["invoke", "invoke/batch"].map(|one| format!("POST /api/v1/substrates/{id}/{one}")));
    requests.extend(["PUT", "PATCH"].map(|one| format!("{one} /api/v1/substrates/{id}")));
    let deep = "[".repeat(1_000_000);
    let objects = "{\"a\":".repeat(200_000);
    let long_key = format!("{{\"{}\":1}}", "k".repeat(1_000_000));
    let members: String = (0..50_000).map(|index| format!("\"k{index}\":1,")).collect();
    let many = format!("{{{}\"z\":1}}", members);
    for request in &requests {
        for (body, statuses) in [
            (deep.as_bytes(), &[422, 400][..]),
            (objects.as_bytes(), &[422, 400]),
            (long_key.as_bytes(), &[422]),
            (many.as_bytes(), &[422]),
            (&b"\xff\xfe\x00"[..], &[400]),
            (b"{\"a\":\"\xed\xa0\x80\"}", &[400]),
            (b"{\"a\":\"\\ud800\"}", &[400]),
            (b"\xef\xbb\xbf{}", &[400]),
            (b"nul", &[400]),
            (b"{\"a\":01}", &[400]),
            (b"{\"a\":1}{", &[400]),
            (b"{\"a\":Infinity}", &[400]),
            (b"1e999", &[422]),
            (b"\"\x00\"", &[400]),
        ] {
            let started = Instant::now();
            let reply = api.send_with(request, &[], body);
            let shown = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
            assert!(statuses.contains(&reply.status), "{request} {shown}: {}", reply.text());
            assert!(reply.body.len() < 50_000, "{request} {shown}: {} bytes", reply.body.len());
            assert!(started.elapsed() < Duration::from_secs(5), "{request} {shown}");
        }
    }
    let too_large = vec![b' '; (8 << 20) + 1];
    for request in &requests {
        let reply = api.send_with(request, &[], &too_large);
        assert_eq!((reply.status, reply.json()["code"].as_str()), (413, Some("body_too_large")), "{request}");
    }
    check(&api, &[("GET /api/v1/health", "", 200, json!({"status": "healthy"}))]);
}

#[test]
fn paths_and_queries() {
    let api = Api::new();
    let long = "a".repeat(20_000);
    let pairs = "x=1&".repeat(5_000);
    for (request, status) in [
        ("GET /api/v1/substrates/%00", 400),
        ("GET /api/v1/substrates/%ff", 400),
        ("GET /api/v1/substrates/%", 400),
        ("GET /api/v1/substrates/..%2f..", 400),
        ("GET /api/v1/substrates/0x0000000000000000A", 400),
        ("GET /api/v1/substrates/-1", 400),
        ("GET /api/v1/substrates/0x+1", 400),
        ("GET /api/v1/indexes/%ff", 404),
        (&format!("GET /api/v1/substrates/{long}"), 400),
        (&format!("GET /{long}"), 404),
        (&format!("GET /api/v1/substrates?{pairs}"), 422),
        (&format!("GET /api/v1/substrates?{long}={long}"), 422),
        (&format!("GET /api/v1/substrates?cursor={long}"), 400),
        (&format!("GET /api/v1/relationships?type={long}"), 422),
        ("BREW /api/v1/substrates", 405),
    ] {
        let reply = api.send(request, "");
        assert_eq!(reply.status, status, "{}: {}", &request[..request.len().min(60)], reply.text());
        assert!(reply.body.len() < 20_000);
    }
}

#[test]
fn a_deep_chain_is_evaluated() {
    let api = Api::new();
    // 0 is a constant; each next one reads the one before.
    let count = 3_000;
    let mut lines =
        String::from("{\"expression_type\":\"constant\",\"expression_code\":\"0\",\"identity\":\"0\"}\n");
    let mut edges = String::new();
    for index in 1..count {
        lines.push_str(&format!(
            "{{\"expression_type\":\"formula\",\"expression_code\":\"p + 1\",\"identity\":\"{index:x}\"}}\n"
        ));
        edges.push_str(&format!(
            "{{\"rel_type\":\"DEPENDENCY\",\"source_id\":\"{index:x}\",\"target_id\":\"{:x}\",\"constraints\":{{\"parameter\":\"p\"}}}}\n",
            index - 1
        ));
    }
    let ndjson = [("content-type", "application/x-ndjson")];
    for (kind, text) in [("substrates", &lines), ("relationships", &edges)] {
        let reply =
            api.send_with(&format!("POST /api/v1/{kind}/batch?results=none"), &ndjson, text.as_bytes());
        assert_eq!(reply.json()["failed"], 0, "{}", reply.text());
    }
    let last = format!("GET /api/v1/substrates/{:x}/value", count - 1);
    check(&api, &[(&last, "", 200, json!({"value": count - 1}))]);
    // The tree behind it would be nested deeper than answers may be.
    let explain = format!("{last}?explain=true");
    check(&api, &[(&explain, "", 422, json!({"code": "limit_exceeded"}))]);
    let near = "GET /api/v1/substrates/1e/value?explain=true";
    assert_eq!(api.send(near, "").text().matches("\"inputs\":").count(), 31);
}

#[test]
fn a_long_cycle_is_called_one() {
    let api = Api::new();
    let count = 20_000;
    let mut lines = String::new();
    let mut edges = String::new();
    for index in 0..count {
        lines.push_str(&format!(
            "{{\"expression_type\":\"formula\",\"expression_code\":\"p + 1\",\"identity\":\"{index:x}\"}}\n"
        ));
        edges.push_str(&format!(
            "{{\"rel_type\":\"CYCLE\",\"source_id\":\"{index:x}\",\"target_id\":\"{:x}\",\"constraints\":{{\"parameter\":\"p\"}}}}\n",
            (index + 1) % count
        ));
    }
    let ndjson = [("content-type", "application/x-ndjson")];
    for (kind, text) in [("substrates", &lines), ("relationships", &edges)] {
        let reply =
            api.send_with(&format!("POST /api/v1/{kind}/batch?results=none"), &ndjson, text.as_bytes());
        assert_eq!(reply.json()["failed"], 0, "{}", reply.text());
    }
    // A build without optimisation needs longer than formulas may run to walk around it.
    let reply = api.send("GET /api/v1/substrates/7/value", "").json();
    assert_eq!(reply["code"], "dependency_cycle", "{}", reply["detail"]);
    let ids = reply["errors"].as_array().map_or(&[][..], |errors| errors);
    assert_eq!(ids.len(), count);
    assert_eq!(ids[0]["substrate_id"], "0x0000000000000007");
    assert_eq!(ids[count - 1]["substrate_id"], "0x0000000000000006");
    let rows = api.send("POST /api/v1/substrates/7/invoke/batch", r#"{"rows":[{},{"p":1}]}"#).json();
    assert_eq!(rows["results"], json!([null, 2]));
    assert_eq!(rows["errors"][0]["errors"].as_array().map(Vec::len), Some(100));
}

#[test]
fn shared_inputs_do_not_explode() {
    let api = Api::new();
    // Each reads the one before twice: the tree behind the last would have 2^40 leaves.
    create_constant(&api);
    for index in 1..=40 {
        let body = json!({"expression_type": "formula", "expression_code": "a + b", "identity": format!("{index:x}")});
        assert_eq!(api.send("POST /api/v1/substrates", &body.to_string()).status, 201);
        for (kind, name) in [("DEPENDENCY", "a"), ("AGGREGATION", "b")] {
            super::relate(
                &api,
                kind,
                &format!("{index:x}"),
                &format!("{:x}", index - 1),
                json!({"parameter": name}),
            );
        }
    }
    check(
        &api,
        &[
            ("GET /api/v1/substrates/28/value", "", 200, json!({"value": 1_u64 << 40})),
            ("GET /api/v1/substrates/28/value?explain=true", "", 422, json!({"code": "limit_exceeded"})),
            ("GET /api/v1/health", "", 200, json!({"status": "healthy"})),
        ],
    );
}

fn create_constant(api: &Api) {
    super::create_as(api, "0", "constant", "1", json!({}));
}
