//! A disk that fails: the change whose sync failed is answered as unknown, nothing more is written, reads go on,
//! everybody is told, and a restart brings back all that was acknowledged.
//!
//! `strace` makes the system calls of the thread that commits fail, and not those that open the folder: it counts
//! for each thread.

use super::model::everything;
use super::process::{Server, with_fault};
use super::wire::Answer;
use serde_json::{Value, json};

fn create(server: &Server, slot: u64) -> (String, Answer) {
    create_with(server, slot, &[])
}

fn create_with(server: &Server, slot: u64, headers: &[(&str, &str)]) -> (String, Answer) {
    let id = format!("0x{slot:016X}");
    let body = json!({"identity": id, "expression_type": "constant", "expression_code": slot.to_string()});
    let answer = server.connection().ask("POST /api/v1/substrates", headers, &body.to_string());
    (id, answer.expect("an answer"))
}

/// With this header an answer is kept.
const KEY: [(&str, &str); 1] = [("idempotency-key", "first")];

/// With this fault behind some commits, one change fails and the server reads only from then on.
#[track_caller]
fn check(fault: &str, flags: &[&str]) {
    let Some(wrapper) = with_fault(fault) else { return };
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // What is made once is made without faults.
    let server = Server::start(&data, flags);
    let (first, first_answer) = create_with(&server, 1, &KEY);
    assert_eq!((first_answer.status, server.stop()), (201, Some(0)));

    let server = Server::start_below(&wrapper, &data, flags);
    assert_eq!(server.ask("GET /readyz", "").status, 200, "{fault}");
    let mut acknowledged = vec![first.clone()];
    let mut slot = 2;
    let (unknown, failure) = loop {
        let (id, answer) = create(&server, slot);
        if answer.status != 201 {
            break (id, answer);
        }
        acknowledged.push(id);
        slot += 1;
        assert!(slot < 200, "{fault}: nothing fails");
    };
    assert_eq!(
        (failure.status, failure.code().as_str()),
        (503, "durability_unknown"),
        "{fault}: {}",
        failure.body
    );
    assert!(!failure.body.contains("butterflyfx.db"), "files are nobody's business: {}", failure.body);

    let content = json!({"expression_type": "constant", "expression_code": "5"});
    let relationship = json!({"rel_type": "LINEAGE", "source_id": first, "target_id": first});
    for (request, body) in [
        ("POST /api/v1/substrates".to_owned(), content.clone()),
        (format!("PUT /api/v1/substrates/{first}"), content.clone()),
        (format!("PATCH /api/v1/substrates/{first}"), json!({"metadata": {"a": 1}})),
        (format!("DELETE /api/v1/substrates/{first}"), json!(null)),
        ("POST /api/v1/relationships".to_owned(), relationship),
        ("POST /api/v1/substrates/batch".to_owned(), json!([content])),
        ("POST /api/v1/substrates/batch?atomic=true".to_owned(), json!([content])),
        ("PUT /api/v1/indexes/a".to_owned(), json!(null)),
    ] {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = server.ask(&request, &body);
        assert_eq!((answer.status, answer.code().as_str()), (503, "read_only"), "{request}: {}", answer.body);
    }

    // What is read is what was acknowledged, and no more.
    let held = everything(&mut server.connection());
    assert!(held.keys().eq(acknowledged.iter()), "{fault}: {acknowledged:?}, not {held:?}");
    assert_eq!(server.ask(&format!("GET /api/v1/substrates/{unknown}"), "").status, 404);
    assert_eq!(server.ask("GET /livez", "").status, 200);
    let ready = server.ask("GET /readyz", "");
    assert_eq!((ready.status, ready.code().as_str()), (503, "read_only"), "{}", ready.body);
    let metrics = server.ask("GET /metrics", "").body;
    assert!(metrics.contains("butterflyfx_store_read_only 1\n"), "{metrics}");
    assert!(server.said().contains("could not be written down"), "{}", server.said());

    // What memory has can still be taken elsewhere, whatever the disk has.
    let made = server.ask("POST /api/v1/admin/backup", "");
    assert_eq!(made.status, 201, "{fault}: {}\n{}", made.body, server.said());
    let made: Value = serde_json::from_str(&made.body).expect("JSON");
    assert_eq!((&made["source"], &made["substrates"]), (&json!("memory"), &json!(acknowledged.len())));
    let copy = data.join(made["file"].as_str().expect("a name"));
    let rescued = folder.path().join("rescued");
    let restored = butterflyfx_store::restore(&copy, &rescued).expect("restored");
    assert_eq!(made["digest"], restored.digest.to_string());
    assert_eq!(server.stop(), Some(7), "{fault}: a supervisor is told");

    let again = Server::start(&rescued, flags);
    assert!(everything(&mut again.connection()) == held, "{fault}: the rescued copy");
    assert_eq!(again.ask(&format!("GET /api/v1/substrates/{unknown}"), "").status, 404);
    assert_eq!(create_with(&again, 1, &KEY).1.body, first_answer.body, "{fault}: the kept answer");
    assert_eq!((create(&again, 1000).1.status, again.stop()), (201, Some(0)));

    let server = Server::start(&data, flags);
    let mut held_again = everything(&mut server.connection());
    held_again.remove(&unknown);
    assert_eq!(held_again, held, "{fault}");
    assert_eq!(server.ask("GET /readyz", "").status, 200);
    assert_eq!(create(&server, 1000).1.status, 201);
}

#[test]
fn a_sync_that_fails_once() {
    check("fsync,fdatasync:error=EIO:when=4", &[]);
}

#[test]
fn syncs_that_fail_for_ever() {
    check("fsync,fdatasync:error=EIO:when=6+", &[]);
}

#[test]
fn writes_that_fail() {
    check("pwrite64:error=EIO:when=30+", &[]);
}
