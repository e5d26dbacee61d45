//! Declared indexes.

use super::{Api, check, create};
use serde_json::{Value, json};

#[test]
fn indexes() {
    let api = Api::new();
    create(&api, "constant", "1", json!({"size": 1, "a b/c": 2}));
    create(&api, "constant", "2", json!({"size": 1}));
    create(&api, "constant", "3", json!({"size": 2}));
    create(&api, "constant", "4", json!({}));
    check(
        &api,
        &[
            ("GET /api/v1/indexes", "", 200, json!({"indexes": []})),
            (
                "PUT /api/v1/indexes/size",
                "",
                201,
                json!({"metadata_key": "size", "entries": 3, "distinct_values": 2}),
            ),
            ("PUT /api/v1/indexes/size", "", 200, json!({"metadata_key": "size"})),
            ("GET /api/v1/indexes/size", "", 200, json!({"entries": 3})),
            ("PUT /api/v1/indexes/a%20b%2Fc", "", 201, json!({"metadata_key": "a b/c", "entries": 1})),
            (
                "GET /api/v1/indexes",
                "",
                200,
                json!({"indexes": [{"metadata_key": "a b/c"}, {"metadata_key": "size"}]}),
            ),
            ("GET /api/v1/indexes/other", "", 404, json!("index_not_found")),
            ("DELETE /api/v1/indexes/size", "", 204, Value::Null),
            ("DELETE /api/v1/indexes/size", "", 404, json!("index_not_found")),
            ("PUT /api/v1/indexes/size?x=1", "", 422, json!("validation_failed")),
            (&format!("PUT /api/v1/indexes/{}", "k".repeat(256)), "", 422, json!("validation_failed")),
        ],
    );
    let made = api.send("PUT /api/v1/indexes/new", "");
    assert_eq!(made.header("location"), Some("/api/v1/indexes/new"));
}
