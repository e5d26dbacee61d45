//! What is kept over a restart as a client sees it, backups through the API, and shortages.

use super::{Api, create, create_as, relate};
use crate::support::{Folder, until};
use serde_json::json;

#[test]
fn a_restarted_server_answers_as_before() {
    let folder = Folder::new();
    let start = || Api::with(&[("data-dir", folder.path())]);
    let api = start();
    let price =
        create_as(&api, "0xFEED", "constant", "24.5", json!({"name": "price", "tags": ["a", {"b": 1e300}]}));
    let total = create(
        &api,
        "lambda",
        "lambda price, qty=2: price * qty",
        json!({"é\u{0}": 12345678901234567890123_u128.to_string()}),
    );
    let gone = create(&api, "constant", "1", json!({}));
    relate(&api, "DEPENDENCY", &total, &price, json!({"parameter": "price"}));
    assert_eq!(api.send("PUT /api/v1/indexes/name", "").status, 201);
    assert_eq!(
        api.send(&format!("PATCH /api/v1/substrates/{price}"), r#"{"metadata":{"unit":"EUR"}}"#).status,
        200
    );
    assert_eq!(api.send(&format!("DELETE /api/v1/substrates/{gone}"), "").status, 204);
    let key = [("idempotency-key", "once")];
    let body = r#"{"expression_type":"constant","expression_code":"77"}"#;
    let first = api.send_with("POST /api/v1/substrates", &key, body.as_bytes());
    let questions = [
        "GET /api/v1/substrates".to_owned(),
        format!("GET /api/v1/substrates/{price}"),
        format!("GET /api/v1/substrates/{total}/value?explain=true"),
        "GET /api/v1/relationships".to_owned(),
        format!("GET /api/v1/relationships/incoming/{price}"),
        "GET /api/v1/indexes".to_owned(),
    ];
    let ask = |api: &Api| -> Vec<(String, Option<String>)> {
        let answer = |question: &String| {
            let reply = api.send(question, "");
            (reply.text(), reply.header("etag").map(str::to_owned))
        };
        questions.iter().map(answer).collect()
    };
    let before = ask(&api);
    drop(api);
    let api = start();
    assert_eq!(ask(&api), before);
    let again = api.send_with("POST /api/v1/substrates", &key, body.as_bytes());
    assert_eq!((again.status, again.text()), (first.status, first.text()));
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
    // Numbers go on behind what was deleted.
    let next = create(&api, "constant", "2", json!({}));
    let list = api.send("GET /api/v1/substrates", "").json();
    let last = list["substrates"].as_array().and_then(|all| all.last()).expect("some");
    assert_eq!(last["substrate_id"], next);
}

#[test]
fn a_backup_is_a_database_of_its_own() {
    let (folder, other) = (Folder::new(), Folder::new());
    let api = Api::with(&[("data-dir", folder.path())]);
    let id = create(&api, "formula", "1 + 1", json!({}));
    let reply = api.send("POST /api/v1/admin/backup", "");
    assert_eq!(reply.status, 201, "{}", reply.text());
    let made = reply.json();
    assert_eq!((&made["substrates"], &made["source"]), (&json!(1), &json!("database")));
    let later = create(&api, "formula", "2 + 2", json!({}));
    let file = std::path::Path::new(folder.path()).join(made["file"].as_str().expect("a name"));
    let to = std::path::Path::new(other.path()).join("data");
    let restored = butterflyfx_store::restore(&file, &to).expect("restored");
    assert_eq!(made["digest"], restored.digest.to_string());
    let api = Api::with(&[("data-dir", to.to_str().expect("text"))]);
    assert_eq!(api.send(&format!("GET /api/v1/substrates/{id}"), "").status, 200);
    assert_eq!(api.send(&format!("GET /api/v1/substrates/{later}"), "").status, 404);
}

#[test]
fn a_shortage_refuses_creating_and_lets_deleting_go_on() {
    let folder = Folder::new();
    let check = |settings: &[(&str, &str)], sentence: &str| {
        let api = Api::with(settings);
        let new =
            |n: u32| json!({"expression_type": "constant", "expression_code": n.to_string()}).to_string();
        let mut n = 0;
        let mut last = None;
        until("creating is refused", || {
            n += 1;
            let reply = api.send("POST /api/v1/substrates", &new(n));
            if reply.status == 201 {
                last = Some(reply.json()["substrate_id"].as_str().expect("an identity").to_owned());
            }
            reply.status == 507
        });
        let batch = api.send("POST /api/v1/substrates/batch", &format!("[{}]", new(n)));
        assert_eq!((batch.status, &batch.json()["code"]), (507, &json!("out_of_storage")));
        assert!(batch.text().contains(sentence), "{}", batch.text());
        let id = last.expect("it takes a moment until the shortage is seen");
        assert_eq!(api.send(&format!("GET /api/v1/substrates/{id}"), "").status, 200);
        assert_eq!(api.send(&format!("DELETE /api/v1/substrates/{id}"), "").status, 204);
    };
    check(&[("max-memory", "1MiB")], "max-memory");
    check(&[("data-dir", folder.path()), ("disk-free-min", "1048576MiB")], "disk-free-min");
}
