//! The contract of the HTTP API, over a real socket: a request in, status, headers and body out.
//! Every answer is also held against the OpenAPI document.

mod admin;
mod batch;
mod client;
mod columns;
mod conditions;
mod documents;
mod hostile;
mod idempotency;
mod indexes;
mod invoke;
mod jobs;
mod lists;
mod problems;
mod query;
mod relationships;
mod schema;
mod substrates;
mod system;

pub(crate) use client::Api;
use client::Reply;
use serde_json::{Value, json};

/// A row of a table: request line, body, expected status, expected part of the body. Where the
/// expectation is a text it is the problem's code.
pub(crate) type Row<'a> = (&'a str, &'a str, u16, Value);

/// Sends each row in order and compares.
#[track_caller]
pub(crate) fn check(api: &Api, rows: &[Row<'_>]) {
    for (request, body, status, expected) in rows {
        let reply = api.send(request, body);
        assert_eq!(reply.status, *status, "{request} {body}\n{}", reply.text());
        match expected {
            Value::String(code) => {
                assert_eq!(reply.json()["code"], json!(code), "{request} {body}\n{}", reply.text())
            }
            Value::Null => {}
            expected => assert_part(expected, &reply.json(), &format!("{request} {body}\n{}", reply.text())),
        }
    }
}

/// Whether all that is expected is there: members of objects may be more, arrays are whole.
#[track_caller]
pub(crate) fn assert_part(expected: &Value, actual: &Value, context: &str) {
    match (expected, actual) {
        (Value::Object(expected), Value::Object(members)) => {
            for (name, expected) in expected {
                let actual = members.get(name).unwrap_or_else(|| panic!("no member {name}: {context}"));
                assert_part(expected, actual, context);
            }
        }
        (Value::Array(expected), Value::Array(items)) => {
            assert_eq!(expected.len(), items.len(), "{expected:?} in {items:?}: {context}");
            for (expected, actual) in expected.iter().zip(items) {
                assert_part(expected, actual, context);
            }
        }
        _ => assert_eq!(expected, actual, "{context}"),
    }
}

/// Creates a substrate and gives its identity.
#[track_caller]
pub(crate) fn create(api: &Api, kind: &str, code: &str, metadata: Value) -> String {
    let body = json!({"expression_type": kind, "expression_code": code, "metadata": metadata});
    id_of(&api.send("POST /api/v1/substrates", &body.to_string()), "substrate_id")
}

/// Creates a lambda under a chosen identity.
#[track_caller]
pub(crate) fn create_as(api: &Api, identity: &str, kind: &str, code: &str, metadata: Value) -> String {
    let body =
        json!({"expression_type": kind, "expression_code": code, "metadata": metadata, "identity": identity});
    id_of(&api.send("POST /api/v1/substrates", &body.to_string()), "substrate_id")
}

/// Relates two substrates.
#[track_caller]
pub(crate) fn relate(api: &Api, kind: &str, source: &str, target: &str, constraints: Value) -> String {
    let body =
        json!({"rel_type": kind, "source_id": source, "target_id": target, "constraints": constraints});
    id_of(&api.send("POST /api/v1/relationships", &body.to_string()), "relationship_id")
}

#[track_caller]
fn id_of(reply: &Reply, member: &str) -> String {
    assert_eq!(reply.status, 201, "{}", reply.text());
    reply.json()[member].as_str().expect("an identity").to_owned()
}
