//! Paging: every list gives each item once, in order, whatever the size of its pages.

use super::{Api, check, create, relate};
use serde_json::{Value, json};

/// Follows the `Link` headers of a list and collects its items.
fn all_of(api: &Api, first: &str, member: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut next = Some(first.to_owned());
    while let Some(path) = next {
        let reply = api.send(&format!("GET {path}"), "");
        assert_eq!(reply.status, 200, "{path}");
        items.extend(reply.json()[member].as_array().expect("items").iter().cloned());
        next = reply.header("link").map(|link| {
            let (path, rest) = link.strip_prefix('<').and_then(|link| link.split_once('>')).expect("a link");
            assert_eq!(rest, "; rel=\"next\"");
            path.to_owned()
        });
        let cursor = reply.json()["next_cursor"].clone();
        match &next {
            Some(path) => assert!(path.ends_with(&format!("cursor={}", cursor.as_str().expect("a cursor")))),
            None => assert_eq!(cursor, Value::Null),
        }
    }
    items
}

#[test]
fn pages() {
    let api = Api::new();
    let ids: Vec<_> = (0..23).map(|index| create(&api, "constant", &index.to_string(), json!({}))).collect();
    for (index, id) in ids.iter().enumerate().skip(1) {
        relate(&api, if index % 2 == 0 { "SIBLING" } else { "CYCLE" }, &ids[0], id, json!({}));
    }
    let names = |items: Vec<Value>, member: &str| -> Vec<Value> {
        items.iter().map(|item| item[member].clone()).collect()
    };
    for limit in [1, 5, 22, 23, 24, 10_000] {
        let substrates = all_of(&api, &format!("/api/v1/substrates?limit={limit}"), "substrates");
        assert_eq!(json!(names(substrates, "substrate_id")), json!(ids), "limit {limit}");
        let outgoing = all_of(
            &api,
            &format!("/api/v1/relationships/outgoing/{}?limit={limit}&type=SIBLING", ids[0]),
            "relationships",
        );
        let expected: Vec<_> = ids.iter().skip(2).step_by(2).collect();
        assert_eq!(json!(names(outgoing, "target_id")), json!(expected), "limit {limit}");
        let every = all_of(&api, &format!("/api/v1/relationships?limit={limit}"), "relationships");
        assert_eq!(json!(names(every, "target_id")), json!(ids[1..]), "limit {limit}");
        let mut body = json!({"filter": {"expression_type": "constant"}, "limit": limit});
        let mut found = Vec::new();
        loop {
            let page = api.send("POST /api/v1/query/search", &body.to_string()).json();
            found.extend(page["substrates"].as_array().expect("substrates").iter().cloned());
            if page["next_cursor"].is_null() {
                break;
            }
            body["cursor"] = page["next_cursor"].clone();
        }
        assert_eq!(json!(names(found, "substrate_id")), json!(ids), "limit {limit}");
    }
    let default = api.send("GET /api/v1/substrates", "");
    assert_eq!(default.header("link"), None);
}

#[test]
fn pages_that_are_not_acceptable() {
    let api = Api::new();
    for path in ["/api/v1/substrates", "/api/v1/relationships"] {
        check(
            &api,
            &[
                (
                    &format!("GET {path}?limit=0"),
                    "",
                    422,
                    json!({"code": "validation_failed", "errors": [{"parameter": "limit"}]}),
                ),
                (&format!("GET {path}?limit=10001"), "", 422, json!("validation_failed")),
                (&format!("GET {path}?limit=ten"), "", 422, json!("validation_failed")),
                (&format!("GET {path}?limit=1&limit=2"), "", 422, json!("validation_failed")),
                (&format!("GET {path}?offset=1"), "", 422, json!({"errors": [{"parameter": "offset"}]})),
                (&format!("GET {path}?cursor=%21"), "", 400, json!("invalid_cursor")),
                (&format!("GET {path}?cursor="), "", 400, json!("invalid_cursor")),
                (&format!("GET {path}?cursor=AAAA"), "", 400, json!("invalid_cursor")),
                (&format!("GET {path}?limit=%ff"), "", 422, json!("validation_failed")),
            ],
        );
    }
    check(
        &api,
        &[
            ("POST /api/v1/query/search", r#"{"cursor":"?"}"#, 400, json!("invalid_cursor")),
            ("POST /api/v1/query/search", r#"{"cursor":"AAAA"}"#, 400, json!("invalid_cursor")),
            (
                "POST /api/v1/query/search",
                r#"{"limit":10001}"#,
                422,
                json!({"errors": [{"pointer": "/limit"}]}),
            ),
        ],
    );
}
