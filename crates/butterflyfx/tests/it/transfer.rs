//! `export` and `import` as an operator runs them: the same text again, over interruptions, and clear words
//! for what is no export.

use crate::api::{Api, create, create_as, relate};
use crate::support::Folder;
use serde_json::json;
use std::path::Path;
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_butterflyfx"));
    command.args(arguments).env_clear().output().expect("the program runs")
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An export of a small graph in which something was changed and deleted.
fn exported(folder: &Folder) -> String {
    let data = format!("{}/data", folder.path());
    let api = Api::with(&[("data-dir", &data)]);
    let price = create_as(
        &api,
        "0xFFFFFFFFFFFFFFFF",
        "constant",
        "24.5",
        json!({"n": 1e300, "é": [null, {"a": "\u{1F600}\n"}]}),
    );
    let gone = create(&api, "constant", "0", json!({}));
    let total = create(&api, "lambda", "lambda price, qty=2: price * qty", json!({}));
    relate(&api, "CYCLE", &gone, &total, json!({}));
    relate(&api, "DEPENDENCY", &total, &price, json!({"parameter": "price"}));
    assert_eq!(api.send("PUT /api/v1/indexes/n", "").status, 201);
    assert_eq!(
        api.send(&format!("PATCH /api/v1/substrates/{price}"), r#"{"metadata":{"unit":"EUR"}}"#).status,
        200
    );
    assert_eq!(api.send(&format!("DELETE /api/v1/substrates/{gone}"), "").status, 204);
    let newest = create(&api, "constant", "1", json!({}));
    assert_eq!(api.send(&format!("DELETE /api/v1/substrates/{newest}"), "").status, 204);
    drop(api);
    text_of(&data)
}

fn text_of(data: &str) -> String {
    let output = run(&["export", "--data-dir", data]);
    assert!(output.status.success(), "{}", stderr_of(&output));
    String::from_utf8(output.stdout).expect("text")
}

#[test]
fn what_is_exported_comes_back_the_same() {
    let folder = Folder::new();
    let text = exported(&folder);
    let (file, part, copy) = (
        format!("{}/all", folder.path()),
        format!("{}/part", folder.path()),
        format!("{}/copy", folder.path()),
    );
    std::fs::write(&file, &text).expect("written");
    // Up to each line, then all of it: the interrupted import goes on.
    let lines: Vec<&str> = text.lines().collect();
    for end in 1..lines.len() {
        std::fs::write(&part, lines[..end].join("\n")).expect("written");
        let output = run(&["import", &part, "--data-dir", &copy]);
        assert_eq!(output.status.code(), Some(1));
        assert!(stderr_of(&output).contains("ends before the last line"), "{}", stderr_of(&output));
    }
    let output = run(&["import", &file, "--data-dir", &copy]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
    assert!(stderr_of(&output).contains("(4 were there already)"), "{}", stderr_of(&output));
    assert_eq!(text_of(&copy), text);
    let output = run(&["verify", "--data-dir", &copy]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr_of(&output));
}

#[test]
fn what_is_no_export_is_refused_with_its_line() {
    let folder = Folder::new();
    let text = exported(&folder);
    let lines: Vec<&str> = text.lines().collect();
    let file = format!("{}/file", folder.path());
    let mut number = 0;
    let mut check = |content: String, sentence: &str| {
        number += 1;
        let into = format!("{}/into{number}", folder.path());
        std::fs::write(&file, content).expect("written");
        let output = run(&["import", &file, "--data-dir", &into]);
        assert_eq!(output.status.code(), Some(1), "{}", stderr_of(&output));
        assert!(stderr_of(&output).contains(sentence), "{sentence}: {}", stderr_of(&output));
    };
    check(String::new(), "ends before the last line");
    check("{}\n".into(), "line 1: this is no export");
    check("nonsense\n".into(), "line 1: ");
    check(lines[1..].join("\n"), "line 1: ");
    check(format!("{}\n{{\"number\":1}}\n", lines[0]), "line 2: this is neither");
    check(format!("{}\n{}\n", lines[0], lines[3]), "line 2: relationship number 1 has no end");
    check(format!("{}\n{}\n{}\n", lines[0], lines[1], lines[1]), "line 3: ");
    check(format!("{text}{}\n", lines[1]), "there is more after the last line");
    check(text.replace("24.5", "24.6"), "the digest is");
    check(text.replace("price * qty", "price *"), "the formula of substrate");
    let output = run(&["import", "/no/such/file", "--data-dir", &format!("{}/x", folder.path())]);
    assert!(stderr_of(&output).contains("/no/such/file"), "{}", stderr_of(&output));
    let output = run(&["export", "--data-dir", &format!("{}/none", folder.path())]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr_of(&output));
    assert!(!Path::new(&format!("{}/none", folder.path())).exists());
}
