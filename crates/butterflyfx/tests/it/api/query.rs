//! Queries: the filter language, traversals, paths, statistics.

use super::{Api, check, create, create_as, relate};
use serde_json::{Value, json};

/// The metadata names of what a search finds.
fn found(api: &Api, body: &Value) -> Value {
    let reply = api.send("POST /api/v1/query/search", &body.to_string());
    assert_eq!(reply.status, 200, "{body}\n{}", reply.text());
    let names: Vec<_> = reply.json()["substrates"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|one| one["metadata"]["name"].clone())
        .collect();
    json!(names)
}

#[test]
fn searches() {
    let api = Api::new();
    let a = create(
        &api,
        "lambda",
        "lambda x: x",
        json!({"name": "a", "size": 3, "tags": {"kind": "good"}, "odd": null}),
    );
    create(&api, "formula", "x + 1", json!({"name": "b", "size": 3.5, "title": "butter"}));
    create(
        &api,
        "constant",
        "1",
        json!({"name": "c", "size": "3", "title": "butterfly", "tags": {"kind": "bad"}}),
    );
    create(
        &api,
        "constant",
        "2",
        json!({"name": "d", "size": 12345678901234567890_u64, "tags.kind": "good"}),
    );
    for (filter, expected) in [
        (json!({}), json!(["a", "b", "c", "d"])),
        (json!({"expression_type": "constant"}), json!(["c", "d"])),
        (json!({"expression_type": {"$in": ["lambda", "formula"]}}), json!(["a", "b"])),
        (json!({"expression_type": {"$ne": "constant"}}), json!(["a", "b"])),
        (json!({"expression_code": "x + 1"}), json!(["b"])),
        (json!({"expression_code": {"$prefix": "lambda"}}), json!(["a"])),
        (json!({"metadata.size": 3}), json!(["a"])),
        (json!({"metadata.size": 3.0}), json!(["a"])),
        (json!({"metadata.size": "3"}), json!(["c"])),
        (json!({"metadata.size": {"$gte": 3}}), json!(["a", "b", "d"])),
        (json!({"metadata.size": {"$gt": 3, "$lt": 4}}), json!(["b"])),
        (json!({"metadata.size": {"$lte": 3.5}}), json!(["a", "b"])),
        (json!({"metadata.size": {"$ne": 3}}), json!(["b", "c", "d"])),
        (json!({"metadata.title": {"$exists": true}}), json!(["b", "c"])),
        (json!({"metadata.title": {"$exists": false}}), json!(["a", "d"])),
        (json!({"metadata.title": {"$ne": "butter"}}), json!(["a", "c", "d"])),
        (json!({"metadata.title": {"$prefix": "butterf"}}), json!(["c"])),
        (json!({"metadata.tags.kind": "good"}), json!(["a", "d"])),
        (json!({"metadata.tags": {"$eq": {"kind": "bad"}}}), json!(["c"])),
        (json!({"metadata.odd": null}), json!(["a"])),
        (json!({"metadata.name": {"$in": []}}), json!([])),
        (json!({"metadata.title": {"$exists": true}, "expression_type": "formula"}), json!(["b"])),
        (json!({"substrate_id": a.to_lowercase()}), json!(["a"])),
        (json!({"version": 1}), json!(["a", "b", "c", "d"])),
        (json!({"version": {"$gt": 1}}), json!([])),
        (json!({"created_at": {"$gt": "2020-01-01T00:00:00+02:00"}}), json!(["a", "b", "c", "d"])),
        (json!({"updated_at": {"$lt": "2020-01-01T00:00:00Z"}}), json!([])),
    ] {
        assert_eq!(found(&api, &json!({"filter": filter})), expected, "{filter}");
    }
    assert_eq!(found(&api, &json!({"sort": "-created_at"})), json!(["d", "c", "b", "a"]));
    assert_eq!(
        found(&api, &json!({"filter": {"metadata.size": {"$gte": 0}}, "sort": "-metadata.size"})),
        json!(["d", "b", "a"])
    );
    assert_eq!(
        found(&api, &json!({"filter": {"metadata.size": {"$gte": 0}}, "sort": "metadata.size", "limit": 2})),
        json!(["a", "b"])
    );
    assert_eq!(
        found(&api, &json!({"filter": null, "sort": null, "limit": null, "cursor": null})),
        json!(["a", "b", "c", "d"])
    );
    // An index makes no difference but for speed.
    assert_eq!(api.send("PUT /api/v1/indexes/size", "").status, 201);
    assert_eq!(found(&api, &json!({"filter": {"metadata.size": {"$gte": 3}}})), json!(["a", "b", "d"]));
}

#[test]
fn searches_that_are_not_acceptable() {
    let api = Api::new();
    create(&api, "constant", "1", json!({}));
    let search = "POST /api/v1/query/search";
    let at = |pointer: &str| json!({"code": "validation_failed", "errors": [{"pointer": pointer}]});
    check(
        &api,
        &[
            (search, r#"{"filter":{"name":1}}"#, 422, at("/filter/name")),
            (search, r#"{"filter":{"metadata":1}}"#, 422, at("/filter/metadata")),
            (search, r#"{"filter":{"metadata.":1}}"#, 422, at("/filter/metadata.")),
            (search, r#"{"filter":{"metadata.a/b":{"$like":1}}}"#, 422, at("/filter/metadata.a~1b/$like")),
            (search, r#"{"filter":{"metadata.a":{"gte":1}}}"#, 422, at("/filter/metadata.a/gte")),
            (search, r#"{"filter":{"metadata.a":{}}}"#, 422, at("/filter/metadata.a")),
            (search, r#"{"filter":{"metadata.a":{"$in":1}}}"#, 422, at("/filter/metadata.a/$in")),
            (search, r#"{"filter":{"metadata.a":{"$exists":1}}}"#, 422, at("/filter/metadata.a/$exists")),
            (search, r#"{"filter":{"metadata.a":{"$prefix":1}}}"#, 422, at("/filter/metadata.a/$prefix")),
            (search, r#"{"filter":{"created_at":"yesterday"}}"#, 422, at("/filter/created_at")),
            (search, r#"{"filter":{"created_at":{"$gt":5}}}"#, 422, at("/filter/created_at/$gt")),
            (
                search,
                r#"{"filter":{"created_at":{"$prefix":"2026"}}}"#,
                422,
                at("/filter/created_at/$prefix"),
            ),
            (search, r#"{"filter":{"substrate_id":"zz"}}"#, 400, json!("invalid_identity")),
            (search, r#"{"filter":[]}"#, 422, at("/filter")),
            (search, r#"{"sort":"name"}"#, 422, at("/sort")),
            (search, r#"{"sort":"--created_at"}"#, 422, at("/sort")),
            (search, r#"{"sort":["created_at"]}"#, 422, at("/sort")),
            (search, r#"{"limit":0}"#, 422, at("/limit")),
            (search, r#"{"limit":1.0}"#, 422, at("/limit")),
            (search, r#"{"cursor":5}"#, 422, at("/cursor")),
            (search, r#"{"where":{}}"#, 422, at("/where")),
            (search, "[]", 422, at("")),
            (search, "", 400, json!("invalid_json")),
            ("POST /api/v1/query/search?limit=5", "{}", 422, json!("validation_failed")),
        ],
    );
}

#[test]
fn traversals_and_paths() {
    let api = Api::new();
    let [a, b, c, d, lone] = ["0", "1", "2", "3", "4"].map(|code| create(&api, "constant", code, json!({})));
    let ab = relate(&api, "DEPENDENCY", &a, &b, json!({}));
    let ac = relate(&api, "DEPENDENCY", &a, &c, json!({}));
    let bd = relate(&api, "SIBLING", &b, &d, json!({}));
    let cd = relate(&api, "DEPENDENCY", &c, &d, json!({}));
    let (traverse, path) = ("POST /api/v1/query/traverse", "POST /api/v1/query/path");
    let body = |more: Value| {
        let mut body = json!({"start_id": a});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body.to_string()
    };
    let ends = |source: &str, target: &str| json!({"source_id": source, "target_id": target}).to_string();
    check(
        &api,
        &[
            (
                traverse,
                &body(json!({})),
                200,
                json!({
            "nodes": [
                {"substrate_id": a, "depth": 0, "via": null}, {"substrate_id": b, "depth": 1, "via": ab},
                {"substrate_id": c, "depth": 1, "via": ac}, {"substrate_id": d, "depth": 2}],
            "edges": [{"relationship_id": ab}, {"relationship_id": ac}, {"relationship_id": bd}, {"relationship_id": cd}],
            "truncated": false}),
            ),
            (
                traverse,
                &body(json!({"max_depth": 1})),
                200,
                json!({"nodes": [{"depth": 0}, {"depth": 1}, {"depth": 1}]}),
            ),
            (
                traverse,
                &body(json!({"max_depth": 0})),
                200,
                json!({"nodes": [{"substrate_id": a}], "edges": [], "truncated": false}),
            ),
            (
                traverse,
                &body(json!({"rel_types": ["dependency"]})),
                200,
                json!({"nodes": [{}, {}, {}, {"via": cd}]}),
            ),
            (traverse, &body(json!({"direction": "incoming"})), 200, json!({"nodes": [{"substrate_id": a}]})),
            (
                traverse,
                &body(json!({"start_id": d, "direction": "incoming", "max_depth": 1})),
                200,
                json!({"nodes": [{"substrate_id": d}, {"substrate_id": b, "via": bd}, {"substrate_id": c, "via": cd}]}),
            ),
            (
                traverse,
                &body(json!({"start_id": b, "direction": "both", "max_depth": 1})),
                200,
                json!({"nodes": [{"substrate_id": b}, {"substrate_id": a}, {"substrate_id": d}]}),
            ),
            (traverse, &body(json!({"limit": 2})), 200, json!({"nodes": [{}, {}], "truncated": true})),
            (
                traverse,
                &body(json!({"include_substrates": true, "limit": 1})),
                200,
                json!({"nodes": [{"substrate": {"substrate_id": a, "expression_code": "0"}}]}),
            ),
            (traverse, &body(json!({"start_id": "0x1"})), 404, json!("substrate_not_found")),
            (traverse, &body(json!({"start_id": "x"})), 400, json!("invalid_identity")),
            (traverse, "{}", 422, json!({"errors": [{"pointer": "/start_id"}]})),
            (
                traverse,
                &body(
                    json!({"direction": "up", "max_depth": -1, "rel_types": ["x"], "include_substrates": 1, "limit": 1000001, "more": 1}),
                ),
                422,
                json!({"errors": [{"pointer": "/direction"}, {"pointer": "/max_depth"}, {"pointer": "/rel_types/0"}, {"pointer": "/include_substrates"}, {"pointer": "/limit"}, {"pointer": "/more"}]}),
            ),
            (traverse, "", 400, json!("invalid_json")),
            (
                path,
                &ends(&a, &d),
                200,
                json!({"nodes": [a, b, d], "edges": [{"relationship_id": ab}, {"relationship_id": bd}], "length": 2}),
            ),
            (path, &ends(&a, &a), 200, json!({"nodes": [a], "edges": [], "length": 0})),
            (path, &ends(&d, &a), 404, json!("no_path")),
            (path, &ends(&a, &lone), 404, json!("no_path")),
            (
                path,
                &json!({"source_id": d, "target_id": a, "direction": "incoming"}).to_string(),
                200,
                json!({"length": 2}),
            ),
            (
                path,
                &json!({"source_id": a, "target_id": d, "rel_types": ["DEPENDENCY"]}).to_string(),
                200,
                json!({"nodes": [a, c, d]}),
            ),
            (path, &ends(&a, "0x1"), 404, json!("substrate_not_found")),
            (path, &ends("zz", &a), 400, json!("invalid_identity")),
            (path, "{}", 422, json!({"errors": [{"pointer": "/source_id"}, {"pointer": "/target_id"}]})),
            (path, "5", 422, json!("validation_failed")),
            (path, "", 400, json!("invalid_json")),
        ],
    );
    let huge = format!("{{\"start_id\":\"{a}\",\"max_depth\":{}}}", "9".repeat(40));
    check(&api, &[(traverse, &huge, 200, json!({"truncated": false}))]);
}

#[test]
fn statistics() {
    let api = Api::new();
    let [a, b] = ["lambda: 1", "lambda: 2"].map(|code| create(&api, "lambda", code, json!({})));
    create_as(&api, "1", "constant", "5", json!({}));
    relate(&api, "CYCLE", &a, &b, json!({}));
    check(
        &api,
        &[
            (
                "GET /api/v1/query/stats",
                "",
                200,
                json!({
            "total_substrates": 3, "total_relationships": 1,
            "substrates_by_type": {"lambda": 2, "formula": 0, "constant": 1},
            "relationships_by_type": {"CYCLE": 1, "SIBLING": 0},
            "degrees": {"outgoing": {"max": 1, "distribution": [{"from": 0, "to": 0, "substrates": 2}, {"from": 1, "to": 1, "substrates": 1}]}},
            "storage": {"kind": "memory", "durable": false}}),
            ),
            ("GET /api/v1/query/stats?x=1", "", 422, json!("validation_failed")),
        ],
    );
}
