//! `bench load` as an operator runs it: the files it leaves, and its exit code.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn bench_load(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_butterflyfx"));
    command.args(["bench", "load"]).args(arguments).env_clear().output().expect("the program runs")
}

/// A directory of a test's own, below the one that cargo gives.
fn directory(name: &str) -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = std::fs::remove_dir_all(&directory);
    directory
}

fn json_of(output: &Output) -> serde_json::Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text} {output:?}"))
}

#[test]
fn a_short_run_is_right_and_leaves_a_report() {
    let out = directory("load-sustained");
    let place = out.to_str().expect("text");
    let flags = ["--seconds", "1", "--rate", "200", "--connections", "4", "--json", "--out", place];
    let output = bench_load(&[&["sustained"], &flags[..]].concat());
    let found = json_of(&output);
    assert!(output.status.success(), "{output:?}");
    assert_eq!((found["requests"].as_u64(), found["errors"].as_u64()), (Some(200), Some(0)), "{found}");
    for name in ["report.html", "throughput.svg", "latency.svg", "memory.svg"] {
        assert!(std::fs::read_to_string(out.join(name)).expect(name).contains("</svg>"), "{name}");
    }
    let json = out.join("report.json");
    let table = bench_load(&["--table", json.to_str().expect("text")]);
    assert!(String::from_utf8_lossy(&table.stdout).contains("| sustained, 1 s | 200 | 0 |"), "{table:?}");
}

#[test]
fn rounds_of_creating_and_deleting_leave_nothing() {
    let out = directory("load-leak");
    let place = out.to_str().expect("text");
    let output = bench_load(&["leak", "--substrates", "500", "--rounds", "2", "--json", "--out", place]);
    let found = json_of(&output);
    assert_eq!(found["errors"].as_u64(), Some(0), "{found}");
    assert_eq!(found["rounds"].as_array().map(Vec::len), Some(2), "{found}");
}

#[test]
fn without_a_server_there_is_a_sentence() {
    let out = directory("load-nothing");
    let place = out.to_str().expect("text");
    // Port 1 is nobody's.
    let output = bench_load(&["spike", "--url", "http://127.0.0.1:1", "--out", place]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("cannot connect"), "{output:?}");
}
