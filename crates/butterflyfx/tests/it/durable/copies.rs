//! A backup made while clients write holds all that was acknowledged before it began, and is what it says it
//! is: `backup`, `restore` and `verify` name one digest. Damage of a copy is found.

use super::client::Client;
use super::model::{Model, everything};
use super::process::{Server, complaint, run};
use super::seed;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

/// A command from one path to another, or on one.
fn words(command: &str, paths: &[&Path]) -> Vec<OsString> {
    let path = |at: usize| paths[at].as_os_str().to_owned();
    match command {
        "backup" => vec![command.into(), "--data-dir".into(), path(0), path(1)],
        "restore" => vec![command.into(), path(0), "--data-dir".into(), path(1)],
        "repair" => vec![command.into(), path(0), "--into".into(), path(1)],
        _ => vec![command.into(), path(0)],
    }
}

/// Runs a command that prints JSON; its code and what it printed.
#[track_caller]
fn report(command: &str, paths: &[&Path]) -> (Option<i32>, Value) {
    let mut words = words(command, paths);
    words.push("--json".into());
    let output = run(&words);
    let printed = serde_json::from_slice(&output.stdout);
    let printed = printed.unwrap_or_else(|error| panic!("{command}: {error}: {}", complaint(&output)));
    (output.status.code(), printed)
}

#[test]
fn a_backup_while_clients_write() {
    let seed = seed();
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let server = Server::start(&path("data"), &[]);
    let mut clients: Vec<Client> = (0..4).map(|number| Client::new(number, seed)).collect();
    let (acknowledged, enough) = (AtomicU64::new(0), AtomicBool::new(false));
    for round in 0..3 {
        let (backup, copy) = (path(&format!("{round}.backup")), path(&format!("copy-{round}")));
        // What nobody touches while the backup is made is in it as it is. One client rests.
        let (resting, working) = clients.split_first_mut().expect("clients");
        resting.work(&server, &acknowledged, || acknowledged.load(Ordering::Relaxed) % 100 == 99);
        let before: Vec<Model> = working.iter().map(|client| client.model.clone()).collect();
        enough.store(false, Ordering::Relaxed);
        let (code, made) = thread::scope(|scope| {
            for client in working.iter_mut() {
                scope.spawn(|| client.work(&server, &acknowledged, || enough.load(Ordering::Relaxed)));
            }
            let begun = acknowledged.load(Ordering::Relaxed);
            while acknowledged.load(Ordering::Relaxed) < begun + 30 {
                thread::yield_now();
            }
            let made = report("backup", &[&path("data"), &backup]);
            enough.store(true, Ordering::Relaxed);
            made
        });
        assert_eq!(code, Some(0), "{made}");
        let (code, restored) = report("restore", &[&backup, &copy]);
        assert_eq!(
            (code, &restored["digest"], &restored["counts"]),
            (Some(0), &made["digest"], &made["counts"])
        );
        for place in [&backup, &copy] {
            let (code, verified) = report("verify", &[place]);
            assert_eq!((code, &verified["digest"]), (Some(0), &made["digest"]), "{verified}");
        }
        let restored = Server::start(&copy, &[]);
        let held = everything(&mut restored.connection());
        let own: Vec<_> = held.iter().filter(|(key, _)| resting.owns(key)).collect();
        assert_eq!(own.len(), resting.model.len());
        for (key, body) in own {
            let item = &resting.model[key];
            assert!(!item.whole || item.body == *body, "{key} is {body}, not {item:?}");
        }
        // Of the others: what they had and have unchanged is there.
        for (client, before) in working.iter().zip(&before) {
            for (key, item) in before {
                let unchanged = client.model.get(key).is_some_and(|now| now.whole && now.body == item.body);
                assert!(!unchanged || held.get(key) == Some(&item.body), "{key}: {:?}", held.get(key));
            }
        }
        assert_eq!(restored.stop(), Some(0));
        // A copy is never made over something, and a running server's folder is not written to.
        for (command, from, to, code) in [
            ("backup", path("data"), &backup, 3),
            ("restore", backup.clone(), &copy, 3),
            ("restore", backup.clone(), &path("data"), 3),
        ] {
            let output = run(&words(command, &[&from, to]));
            assert_eq!(output.status.code(), Some(code), "{}", complaint(&output));
        }
    }
    assert_eq!(server.stop(), Some(0));
    // The whole way round changes nothing.
    let digest = |place: &Path| report("verify", &[place]).1["digest"].clone();
    let (code, made) = report("backup", &[&path("data"), &path("last")]);
    assert_eq!((code, &made["digest"]), (Some(0), &digest(&path("data"))));
}

#[test]
fn verify_finds_a_flipped_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let server = Server::start(&path("data"), &[]);
    let body =
        r#"{"expression_type":"constant","expression_code":"1","metadata":{"text":"a text to be found"}}"#;
    assert_eq!(server.ask("POST /api/v1/substrates", body).status, 201);
    assert_eq!(report("backup", &[&path("data"), &path("copy")]).0, Some(0));
    assert_eq!(server.stop(), Some(0));
    for file in [path("copy"), path("data").join("butterflyfx.db")] {
        assert_eq!(report("verify", &[&file]).0, Some(0));
        let mut bytes = fs::read(&file).expect("read");
        let text = b"a text to be found";
        let at = bytes.windows(text.len()).position(|some| some == text).expect("the text is in the file");
        bytes[at] ^= 1;
        fs::write(&file, bytes).expect("write");
        let (code, found) = report("verify", &[&file]);
        assert_eq!((code, &found["sound"]), (Some(1), &Value::Bool(false)), "{found}");
        assert!(found["problems"].as_array().is_some_and(|problems| !problems.is_empty()), "{found}");
    }
    // Nothing is made of a damaged copy.
    let output = run(&words("restore", &[&path("copy"), &path("new")]));
    assert_eq!(output.status.code(), Some(7), "{}", complaint(&output));
    assert!(!path("new").join("butterflyfx.db").exists());
}

#[test]
fn repair_says_what_it_salvaged() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let server = Server::start(&path("data"), &[]);
    for number in 0..300 {
        let text = format!("text {number} {}", "to be found ".repeat(30));
        let code = number.to_string();
        let body =
            json!({"expression_type": "constant", "expression_code": code, "metadata": {"text": text}});
        assert_eq!(server.ask("POST /api/v1/substrates", &body.to_string()).status, 201);
    }
    // Of what is not damaged nothing is lost, though a server has it.
    let (code, whole) = report("repair", &[&path("data"), &path("whole")]);
    assert_eq!((code, &whole["whole"], &whole["left_out"]), (Some(0), &json!(true), &json!(0)), "{whole}");
    assert_eq!(server.stop(), Some(0));
    assert_eq!(report("verify", &[&path("data")]).1["digest"], whole["digest"]);

    let mut bytes = fs::read(path("data").join("butterflyfx.db")).expect("read");
    let at = bytes.windows(9).position(|some| some == b"text 150 ").expect("the text is in the file");
    let page = at / 8192 * 8192;
    bytes[page..page + 8192].fill(0);
    fs::write(path("damaged"), &bytes).expect("write");
    let (code, part) = report("repair", &[&path("damaged"), &path("part")]);
    assert_eq!(
        (code, &part["whole"], &part["committed"]["substrates"]),
        (Some(1), &json!(false), &json!(300))
    );
    let salvaged = part["salvaged"]["substrates"].as_u64().expect("a number");
    assert!((270..300).contains(&salvaged), "{part}");
    assert_eq!(report("verify", &[&path("part")]).1["digest"], part["digest"]);
    let server = Server::start(&path("part"), &[]);
    assert_eq!(everything(&mut server.connection()).len() as u64, salvaged);

    // What it says to a person, and what it refuses.
    for (from, to, code, part) in [
        ("damaged", "again", 1, "of 300 substrates salvaged"),
        ("damaged", "whole", 3, "is there already"),
        ("damaged", "part", 3, "has this data folder"),
        ("none", "new", 3, "there is no database"),
        ("data/lock", "new", 7, "is damaged"),
    ] {
        let output = run(&words("repair", &[&path(from), &path(to)]));
        let said = complaint(&output) + &String::from_utf8_lossy(&output.stdout);
        assert_eq!(output.status.code(), Some(code), "{said}");
        assert!(said.contains(part), "{said}");
    }
    assert!(!path("new").join("butterflyfx.db").exists());
}
