//! The generated documents are the committed ones, and the OpenAPI document is true.
//! `UPDATE_EXPECT=1` writes them anew.

use super::schema::DOCUMENT;
use super::{Api, create, create_as, relate};
use crate::support::Folder;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::path::Path;

#[track_caller]
fn committed(path: &str, generated: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path);
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, generated).expect("write");
        return;
    }
    let text = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        text == generated,
        "{} is not what the code generates: run the tests with UPDATE_EXPECT=1",
        path.display()
    );
}

#[test]
fn the_openapi_document_is_committed() {
    committed("openapi/butterflyfx-v1.json", butterflyfx::http::openapi::text());
    let api = Api::new();
    for path in ["/openapi.json", "/api/v1/openapi.json"] {
        let reply = api.send(&format!("GET {path}"), "");
        assert_eq!(reply.text(), butterflyfx::http::openapi::text());
    }
}

#[test]
fn the_page_of_problems_is_committed() {
    committed("docs/problems.md", &butterflyfx::http::problem::markdown());
}

#[test]
fn the_document_is_whole() {
    assert!(DOCUMENT["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")));
    let mut ids = BTreeSet::new();
    let mut references = Vec::new();
    collect(&DOCUMENT, &mut references);
    for reference in references {
        assert!(DOCUMENT.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    for (path, item) in DOCUMENT["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let name = format!("{method} {path}");
            assert!(ids.insert(operation["operationId"].clone().to_string()), "{name}: operationId");
            assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{name}: summary");
            assert!(operation["tags"].as_array().is_some_and(|tags| tags.len() == 1), "{name}: tag");
            let documented: BTreeSet<_> = operation["parameters"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| format!("{{{}}}", parameter["name"].as_str().unwrap_or("")))
                .collect();
            let wanted: BTreeSet<_> =
                path.split('/').filter(|part| part.starts_with('{')).map(str::to_owned).collect();
            assert_eq!(documented, wanted, "{name}: path parameters");
            for parameter in operation["parameters"].as_array().into_iter().flatten() {
                assert!(
                    parameter["description"].as_str().is_some_and(|text| !text.is_empty())
                        || parameter["in"] == "path",
                    "{name}: {}",
                    parameter["name"]
                );
            }
        }
    }
}

fn collect(value: &Value, references: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                match member {
                    Value::String(text) if name == "$ref" => references.push(text.clone()),
                    member => collect(member, references),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| collect(item, references)),
        _ => {}
    }
}

#[test]
fn each_operation_is_visited() {
    let folder = Folder::new();
    let api = Api::with(&[("data-dir", folder.path())]);
    let a = create_as(&api, "A", "formula", "p + 1", json!({"k": 1}));
    let b = create(&api, "constant", "1", json!({}));
    let ab = relate(&api, "DEPENDENCY", &a, &b, json!({"parameter": "p"}));
    let invoke = format!("POST /api/v1/substrates/{b}/invoke");
    let job = api.send_with(&invoke, &[("prefer", "respond-async")], b"").json();
    let job = job["job_id"].as_str().expect("an id");
    let put = r#"{"expression_type":"formula","expression_code":"p + 2"}"#;
    let rows: Vec<(String, String)> = vec![
        ("POST /api/v1/substrates".into(), r#"{"expression_type":"constant","expression_code":"7"}"#.into()),
        ("GET /api/v1/substrates".into(), String::new()),
        ("POST /api/v1/substrates/batch".into(), "[]".into()),
        ("POST /api/v1/substrates/batch/invoke".into(), r#"{"invocations":[]}"#.into()),
        ("POST /api/v1/substrates/multiply".into(), r#"{"dimension_values":[1]}"#.into()),
        (format!("GET /api/v1/substrates/{a}"), String::new()),
        (format!("PUT /api/v1/substrates/{a}"), put.into()),
        (format!("PATCH /api/v1/substrates/{a}"), "{}".into()),
        (format!("POST /api/v1/substrates/{a}/divide"), String::new()),
        (format!("POST /api/v1/substrates/{a}/invoke"), String::new()),
        (format!("POST /api/v1/substrates/{a}/invoke/batch"), r#"{"rows":[{}]}"#.into()),
        (format!("GET /api/v1/substrates/{a}/value?explain=true"), String::new()),
        (
            "POST /api/v1/relationships".into(),
            json!({"rel_type": "CYCLE", "source_id": a, "target_id": a}).to_string(),
        ),
        ("GET /api/v1/relationships".into(), String::new()),
        ("POST /api/v1/relationships/batch".into(), "[]".into()),
        (format!("GET /api/v1/relationships/graph?root={a}"), String::new()),
        (format!("GET /api/v1/relationships/outgoing/{a}"), String::new()),
        (format!("GET /api/v1/relationships/incoming/{a}"), String::new()),
        (format!("GET /api/v1/relationships/{ab}"), String::new()),
        ("POST /api/v1/query/search".into(), "{}".into()),
        (
            "POST /api/v1/query/traverse".into(),
            json!({"start_id": a, "include_substrates": true}).to_string(),
        ),
        ("POST /api/v1/query/path".into(), json!({"source_id": a, "target_id": b}).to_string()),
        ("GET /api/v1/query/stats".into(), String::new()),
        ("PUT /api/v1/indexes/k".into(), String::new()),
        ("GET /api/v1/indexes".into(), String::new()),
        ("GET /api/v1/indexes/k".into(), String::new()),
        ("DELETE /api/v1/indexes/k".into(), String::new()),
        (format!("DELETE /api/v1/relationships/{ab}"), String::new()),
        (format!("DELETE /api/v1/substrates/{a}"), String::new()),
        ("GET /api/v1/jobs".into(), String::new()),
        (format!("GET /api/v1/jobs/{job}"), String::new()),
        (format!("DELETE /api/v1/jobs/{job}"), String::new()),
        ("POST /api/v1/admin/backup".into(), String::new()),
        ("GET /api/v1/health".into(), String::new()),
        ("GET /api/v1/metrics".into(), String::new()),
        ("GET /metrics".into(), String::new()),
        ("GET /healthz".into(), String::new()),
        ("GET /livez".into(), String::new()),
        ("GET /readyz".into(), String::new()),
        ("GET /api/v1/openapi.json".into(), String::new()),
        ("GET /openapi.json".into(), String::new()),
        ("GET /problems".into(), String::new()),
        ("GET /problems/internal".into(), String::new()),
    ];
    let mut visited = BTreeSet::new();
    for (request, body) in &rows {
        let reply = api.send(request, body);
        assert!((200..300).contains(&reply.status), "{request}: {}", reply.text());
        let (method, path) = request.split_once(' ').expect("METHOD /path");
        let operation =
            super::schema::operation(method, path).unwrap_or_else(|| panic!("{request} is not documented"));
        visited.insert(operation["operationId"].to_string());
    }
    let mut all = BTreeSet::new();
    for item in DOCUMENT["paths"].as_object().expect("paths").values() {
        all.extend(
            item.as_object()
                .expect("operations")
                .values()
                .map(|operation| operation["operationId"].to_string()),
        );
    }
    assert_eq!(visited, all);
}
