//! Relationships: create, read, delete, list by end and type, draw.

use super::{Api, check, create, relate};
use serde_json::{Value, json};

fn constants<const N: usize>(api: &Api) -> [String; N] {
    std::array::from_fn(|index| create(api, "constant", &index.to_string(), json!({})))
}

#[test]
fn a_relationship_is_created_read_and_deleted() {
    let api = Api::new();
    let [a, b] = constants(&api);
    let body = json!({"rel_type": "part_to_whole", "source_id": a, "target_id": b.to_lowercase(), "bidirectional": true,
        "constraints": {"parameter": "p", "weight": 1.0}, "lineage": ["x"]}).to_string();
    let made = api.send("POST /api/v1/relationships", &body);
    assert_eq!(made.status, 201);
    let relationship = made.json();
    assert_eq!(relationship["rel_type"], "PART_TO_WHOLE");
    assert_eq!((&relationship["source_id"], &relationship["target_id"]), (&json!(a), &json!(b)));
    let id = relationship["relationship_id"].as_str().expect("an identity");
    assert_eq!(made.header("location"), Some(format!("/api/v1/relationships/{id}").as_str()));
    assert!(made.text().contains("\"constraints\":{\"parameter\":\"p\",\"weight\":1.0},\"lineage\":[\"x\"]"));
    let read = api.send(&format!("GET /api/v1/relationships/{id}"), "");
    assert_eq!(read.text(), made.text());
    let other = json!({"rel_type": "PART_TO_WHOLE", "source_id": a, "target_id": b}).to_string();
    check(
        &api,
        &[
            (
                "POST /api/v1/relationships",
                &other,
                409,
                json!({"code": "relationship_exists", "relationship_id": id}),
            ),
            (
                "POST /api/v1/relationships?on_conflict=return",
                &other,
                200,
                json!({"relationship_id": id, "bidirectional": true}),
            ),
            // Another type is another relationship, and so is the other way round; one to itself is fine.
            (
                "POST /api/v1/relationships",
                &other.replace("PART_TO_WHOLE", "Whole_To_Part"),
                201,
                json!({"constraints": {}, "lineage": null, "bidirectional": false}),
            ),
            (
                "POST /api/v1/relationships",
                &json!({"rel_type": "CYCLE", "source_id": a, "target_id": a}).to_string(),
                201,
                Value::Null,
            ),
            (&format!("DELETE /api/v1/relationships/{id}"), "", 204, Value::Null),
            (
                &format!("DELETE /api/v1/relationships/{id}"),
                "",
                404,
                json!({"code": "relationship_not_found", "relationship_id": id}),
            ),
            (&format!("GET /api/v1/relationships/{id}"), "", 404, json!("relationship_not_found")),
            ("GET /api/v1/relationships/what", "", 400, json!("invalid_identity")),
            ("DELETE /api/v1/relationships/what", "", 400, json!("invalid_identity")),
        ],
    );
}

#[test]
fn relationships_that_are_not_acceptable() {
    let api = Api::new();
    let [a, b] = constants(&api);
    let post = "POST /api/v1/relationships";
    let body = |rel_type: &str, source: &str, target: &str| {
        json!({"rel_type": rel_type, "source_id": source, "target_id": target}).to_string()
    };
    check(
        &api,
        &[
            (
                post,
                &body("CYCLE", "0x1", &b),
                404,
                json!({"code": "substrate_not_found", "substrate_id": "0x0000000000000001", "errors": [{"pointer": "/source_id"}]}),
            ),
            (
                post,
                &body("CYCLE", &a, "0x2"),
                404,
                json!({"code": "substrate_not_found", "substrate_id": "0x0000000000000002", "errors": [{"pointer": "/target_id"}]}),
            ),
            (
                post,
                &body("FRIEND", &a, &b),
                422,
                json!({"code": "validation_failed", "errors": [{"pointer": "/rel_type"}]}),
            ),
            (
                post,
                &body("CYCLE", "zz", &b),
                400,
                json!({"code": "invalid_identity", "errors": [{"pointer": "/source_id"}]}),
            ),
            (
                post,
                "{}",
                422,
                json!({"errors": [{"pointer": "/rel_type"}, {"pointer": "/source_id"}, {"pointer": "/target_id"}]}),
            ),
            (
                post,
                r#"{"rel_type":1,"source_id":2,"target_id":[],"bidirectional":"yes","constraints":5,"more":0}"#,
                422,
                json!({"errors": [{"pointer": "/rel_type"}, {"pointer": "/source_id"}, {"pointer": "/target_id"}, {"pointer": "/bidirectional"}, {"pointer": "/constraints"}, {"pointer": "/more"}]}),
            ),
            (post, "nonsense", 400, json!("invalid_json")),
            (post, "", 400, json!("invalid_json")),
            ("POST /api/v1/relationships?on_conflict=x", "{}", 422, json!("validation_failed")),
        ],
    );
    let bound = json!({"rel_type": "CYCLE", "source_id": a, "target_id": b, "constraints": {"parameter": 5}})
        .to_string();
    check(
        &api,
        &[(
            post,
            &bound,
            422,
            json!({"code": "validation_failed", "errors": [{"pointer": "/constraints/parameter"}]}),
        )],
    );
}

#[test]
fn lists_at_both_ends() {
    let api = Api::new();
    let [a, b, c] = constants(&api);
    let ab = relate(&api, "SIBLING", &a, &b, json!({}));
    let ac = relate(&api, "DEPENDENCY", &a, &c, json!({}));
    let both =
        json!({"rel_type": "ADJACENCY", "source_id": b, "target_id": a, "bidirectional": true}).to_string();
    let ba = api.send("POST /api/v1/relationships", &both).json()["relationship_id"].clone();
    let ids = |path: &str| {
        let reply = api.send(&format!("GET /api/v1/relationships{path}"), "");
        assert_eq!(reply.status, 200, "{path} {}", reply.text());
        let ids: Vec<_> = reply.json()["relationships"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|one| one["relationship_id"].clone())
            .collect();
        json!(ids)
    };
    assert_eq!(ids(&format!("/outgoing/{a}")), json!([ab, ac, ba]));
    assert_eq!(ids(&format!("/incoming/{a}")), json!([ba]));
    assert_eq!(ids(&format!("/outgoing/{b}")), json!([ba]));
    assert_eq!(ids(&format!("/incoming/{b}")), json!([ab, ba]));
    assert_eq!(ids(&format!("/outgoing/{a}?type=dependency")), json!([ac]));
    assert_eq!(ids(&format!("/outgoing/{a}?type=dependency,SIBLING")), json!([ab, ac]));
    assert_eq!(ids(&format!("/outgoing/{a}?type=dependency&type=ADJACENCY")), json!([ac, ba]));
    assert_eq!(ids(""), json!([ab, ac, ba]));
    assert_eq!(ids(&format!("?source_id={a}")), json!([ab, ac]));
    assert_eq!(ids(&format!("?target_id={a}")), json!([ba]));
    assert_eq!(ids(&format!("?source_id={a}&target_id={c}&type=DEPENDENCY")), json!([ac]));
    assert_eq!(ids("?source_id=0x1"), json!([]));
    let first = api.send(&format!("GET /api/v1/relationships/outgoing/{a}?limit=2"), "").json();
    assert_eq!((&first["count"], first["relationships"].as_array().map(Vec::len)), (&json!(3), Some(2)));
    check(
        &api,
        &[
            ("GET /api/v1/relationships/outgoing/0x1", "", 404, json!("substrate_not_found")),
            ("GET /api/v1/relationships/incoming/0x1", "", 404, json!("substrate_not_found")),
            ("GET /api/v1/relationships/incoming/x", "", 400, json!("invalid_identity")),
            (
                &format!("GET /api/v1/relationships/outgoing/{a}?type=FRIEND"),
                "",
                422,
                json!({"errors": [{"parameter": "type"}]}),
            ),
            ("GET /api/v1/relationships?source_id=x", "", 400, json!("invalid_identity")),
            ("GET /api/v1/relationships?type=", "", 422, json!("validation_failed")),
        ],
    );
}

#[test]
fn the_graph_around_a_substrate() {
    let api = Api::new();
    let [a, b, c, d] = constants(&api);
    let ab = relate(&api, "SIBLING", &a, &b, json!({}));
    let ca = relate(&api, "DEPENDENCY", &c, &a, json!({}));
    relate(&api, "SIBLING", &b, &d, json!({}));
    let graph = format!("GET /api/v1/relationships/graph?root={a}");
    check(
        &api,
        &[
            (
                &graph,
                "",
                200,
                json!({
            "nodes": [{"substrate_id": a}, {"substrate_id": b}, {"substrate_id": c}],
            "edges": [{"relationship_id": ab}, {"relationship_id": ca}], "truncated": false}),
            ),
            (
                &format!("{graph}&depth=0"),
                "",
                200,
                json!({"nodes": [{"substrate_id": a}], "edges": [], "truncated": false}),
            ),
            (
                &format!("{graph}&depth=2&type=SIBLING"),
                "",
                200,
                json!({"nodes": [{"substrate_id": a}, {"substrate_id": b}, {"substrate_id": d}]}),
            ),
            (
                &format!("{graph}&limit=2"),
                "",
                200,
                json!({"nodes": [{"substrate_id": a}, {"substrate_id": b}], "truncated": true}),
            ),
            (&format!("{graph}&limit=0"), "", 422, json!("validation_failed")),
            (&format!("{graph}&depth=-1"), "", 422, json!("validation_failed")),
            ("GET /api/v1/relationships/graph", "", 422, json!({"errors": [{"parameter": "root"}]})),
            ("GET /api/v1/relationships/graph?root=zz", "", 400, json!("invalid_identity")),
            ("GET /api/v1/relationships/graph?root=1", "", 404, json!("substrate_not_found")),
        ],
    );
}
