//! What a server does not start on: a folder that another has, a file that is not what was committed, a later
//! format. It says so in a sentence, ends with a code of its own, and leaves everything as it was.

use super::model::everything;
use super::process::{End, Server};
use serde_json::json;
use std::fs;

/// A folder with some content, and its database.
fn filled() -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let items: Vec<_> = (0..300)
        .map(|n| json!({"expression_type": "constant", "expression_code": n.to_string(), "metadata": {"text": format!("the text of number {n}")}}))
        .collect();
    let answer = server.ask("POST /api/v1/substrates/batch", &json!(items).to_string());
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(server.stop(), Some(0));
    let bytes = fs::read(data.join("butterflyfx.db")).expect("a database");
    (folder, data, bytes)
}

#[test]
fn a_folder_that_another_process_has() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let End { code, said } = Server::refused(&data);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains(&format!("process {} has this data folder", server.pid())), "{said}");
    // The first has noticed nothing.
    let body = r#"{"expression_type":"constant","expression_code":"1"}"#;
    assert_eq!(server.ask("POST /api/v1/substrates", body).status, 201);
    // A killed process has no folder any more.
    server.kill();
    let server = Server::start(&data, &[]);
    assert_eq!(everything(&mut server.connection()).len(), 1);
}

/// A server is not started on this database; the sentence names the file, the trouble, and what to do.
#[track_caller]
fn check(what: &str, parts: &[&str], damage: impl FnOnce(&mut Vec<u8>)) {
    let (_folder, data, mut bytes) = filled();
    damage(&mut bytes);
    let database = data.join("butterflyfx.db");
    fs::write(&database, &bytes).expect("write");
    let End { code, said } = Server::refused(&data);
    assert_eq!(code, Some(7), "{what}: {said}");
    for part in [database.to_str().expect("text")].iter().chain(parts) {
        assert!(said.contains(part), "{what}: no {part:?} in {said}");
    }
    // Nothing was mended, nothing begun anew.
    assert!(fs::read(&database).expect("read") == bytes, "{what}: the file was changed");
    assert_eq!(Server::refused(&data).code, Some(7), "{what}: the second time");
}

const DAMAGED: [&str; 4] = ["is damaged", "butterflyfx verify", "butterflyfx restore", "butterflyfx repair"];

fn position(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).position(|some| some == text.as_bytes()).expect("the text is in the file")
}

#[test]
fn a_damaged_file() {
    check("a byte of a text", &DAMAGED, |bytes| {
        let at = position(bytes, "the text of number 123");
        bytes[at] ^= 1;
    });
    check("a byte of a page's head", &DAMAGED, |bytes| bytes[2 * 8192] ^= 0xFF);
    check("cut short", &DAMAGED, |bytes| bytes.truncate(bytes.len() / 2));
    check("a page is gone", &DAMAGED, |bytes| bytes.truncate(bytes.len() - 8192));
    check("empty", &DAMAGED, Vec::clear);
    check("text", &DAMAGED, |bytes| *bytes = b"Dear database, how are you? ".repeat(1000));
    check("zeros", &DAMAGED, |bytes| bytes.fill(0));
}

/// Where the head of an SQLite file has `user_version` and `application_id`.
const USER_VERSION: usize = 60;
const APPLICATION_ID: usize = 68;

#[test]
fn a_later_format_and_a_file_of_others() {
    check("a later format", &["has format 99", "use the release that wrote it"], |bytes| {
        bytes[USER_VERSION..USER_VERSION + 4].copy_from_slice(&99_u32.to_be_bytes());
    });
    check("another program's", &["belongs to another program", "name another data folder"], |bytes| {
        bytes[APPLICATION_ID..APPLICATION_ID + 4].copy_from_slice(&7_u32.to_be_bytes());
    });
}

#[test]
fn a_log_without_its_database() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = Server::start(&data, &[]);
    let body = r#"{"expression_type":"constant","expression_code":"1"}"#;
    assert_eq!(server.ask("POST /api/v1/substrates", body).status, 201);
    server.kill();
    let database = data.join("butterflyfx.db");
    let elsewhere = data.join("moved");
    fs::rename(&database, &elsewhere).expect("move");
    let End { code, said } = Server::refused(&data);
    assert_eq!(code, Some(7), "{said}");
    assert!(!database.exists(), "a new one was begun beside the log of the old");
    fs::rename(&elsewhere, &database).expect("move back");
    let server = Server::start(&data, &[]);
    assert_eq!(everything(&mut server.connection()).len(), 1);
}
