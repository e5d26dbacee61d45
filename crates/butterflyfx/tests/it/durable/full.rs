//! No room: what would grow is answered 507, reads and deletes go on, writing resumes by itself when there is
//! room, and a restart finds all that was acknowledged.

use super::model::everything;
use super::process::{Server, command};
use super::wire::Answer;
use crate::support::until;
use serde_json::json;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

/// A small disk in a mount namespace of its own, gone with the process that holds it.
struct SmallDisk {
    holder: Child,
    folder: tempfile::TempDir,
    as_root: bool,
}

impl SmallDisk {
    /// `None`, with a message, where there may be none.
    fn new(size: &str) -> Option<SmallDisk> {
        for as_root in [true, false] {
            let folder = tempfile::tempdir().expect("a folder");
            let script = "mount -t tmpfs -o size=$1 small \"$0\" && echo mounted && exec cat";
            let mut words = vec!["unshare", "--mount", "sh", "-c", script];
            if !as_root {
                words.insert(1, "--map-root-user");
            }
            words.extend([folder.path().to_str().expect("text"), size]);
            let holder =
                command(&words).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
            let Ok(mut holder) = holder else { continue };
            let mut line = String::new();
            let _ = BufReader::new(holder.stdout.take().expect("stdout")).read_line(&mut line);
            let disk = SmallDisk { holder, folder, as_root };
            if line == "mounted\n" {
                return Some(disk);
            }
        }
        println!("skipped: no mount namespace may be made here");
        None
    }

    /// A server on it.
    fn serve(&self, flags: &[&str]) -> Server {
        let pid = self.holder.id().to_string();
        let mut wrapper = vec!["nsenter", "--target", &pid, "--mount"];
        if !self.as_root {
            wrapper.extend(["--user", "--preserve-credentials"]);
        }
        wrapper.push("--");
        Server::start_below(&wrapper, &self.folder.path().join("data"), flags)
    }

    /// How this process gets to a file on it.
    fn reach(&self, name: &str) -> PathBuf {
        let path = self.folder.path().strip_prefix("/").expect("a whole path");
        Path::new("/proc").join(self.holder.id().to_string()).join("root").join(path).join(name)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

fn identity(slot: u64) -> String {
    format!("0x{slot:016X}")
}

fn create(server: &Server, slot: u64, bytes: usize) -> Answer {
    let body = json!({
        "identity": identity(slot),
        "expression_type": "constant",
        "expression_code": slot.to_string(),
        "metadata": {"text": "x".repeat(bytes)},
    });
    server.ask("POST /api/v1/substrates", &body.to_string())
}

/// Creates until there is no room; how many there are then, the first at `slot`.
#[track_caller]
fn fill(server: &Server, slot: u64, bytes: usize) -> u64 {
    for next in slot.. {
        let answer = create(server, next, bytes);
        if answer.status == 507 {
            assert_eq!(answer.code(), "out_of_storage");
            assert!(!answer.body.contains("butterflyfx.db"), "files are nobody's business: {}", answer.body);
            return next - slot;
        }
        assert_eq!(answer.status, 201, "{}", answer.body);
        assert!(next - slot < 10_000, "there is always room");
    }
    0
}

/// The server holds these, and no others.
#[track_caller]
fn assert_holds(server: &Server, expected: &BTreeSet<String>) {
    let found: BTreeSet<String> = everything(&mut server.connection()).into_keys().collect();
    assert!(found == *expected, "missing {:?}, too many {:?}", expected - &found, &found - expected);
}

fn metric(server: &Server, line: &str) -> bool {
    server.ask("GET /metrics", "").body.lines().any(|other| other == line)
}

#[test]
fn a_full_disk() {
    let Some(disk) = SmallDisk::new("3m") else { return };
    let server = disk.serve(&[]);
    // Something else takes a part of the disk, and gives it back later.
    std::fs::write(disk.reach("other"), vec![1; 1 << 20]).expect("room for now");
    let count = fill(&server, 1, 3000);
    let mut held: BTreeSet<String> = (1..=count).map(identity).collect();
    assert!(count > 50, "{count}");
    assert_holds(&server, &held);
    assert!(metric(&server, "butterflyfx_store_full 1") && metric(&server, "butterflyfx_store_read_only 0"));
    // It still does something, so it is in service.
    assert_eq!(server.ask("GET /readyz", "").status, 200);
    // An atomic batch as large as the disk is refused whole; others tell of what was stored.
    let many: Vec<_> = (0..2000)
        .map(|slot| json!({"identity": identity(9_000_000 + slot), "expression_type": "constant", "expression_code": "1", "metadata": {"text": "x".repeat(2000)}}))
        .collect();
    let answer = server.ask("POST /api/v1/substrates/batch?atomic=true", &json!(many).to_string());
    assert_eq!((answer.status, answer.code().as_str()), (507, "out_of_storage"), "{}", answer.body);
    assert_holds(&server, &held);

    // Deletes go on: enough of them, and there is room again without anybody's help.
    for slot in 1..=count / 2 {
        let answer = server.ask(&format!("DELETE /api/v1/substrates/{}", identity(slot)), "");
        assert_eq!(answer.status, 204, "{slot} of {count}: {}", answer.body);
        held.remove(&identity(slot));
    }
    assert_eq!(create(&server, 1_000_000, 3000).status, 201);
    held.insert(identity(1_000_000));
    assert!(metric(&server, "butterflyfx_store_full 0"));
    let again = fill(&server, 2_000_000, 3000);
    assert!(again > 5, "the room of what was deleted is used: {again}");
    held.extend((2_000_000..2_000_000 + again).map(identity));
    assert_holds(&server, &held);

    // Killed while full: all is there, and it is still full.
    server.kill();
    let server = disk.serve(&[]);
    assert_holds(&server, &held);
    // Room comes from elsewhere: writing goes on in the same process.
    std::fs::remove_file(disk.reach("other")).expect("remove");
    until("writing goes on", || create(&server, 3_000_000, 3000).status == 201);
    held.insert(identity(3_000_000));
    assert_eq!(server.stop(), Some(0));
    let server = disk.serve(&[]);
    assert_holds(&server, &held);
}

/// A batch that is stored piece by piece says how far it came.
#[test]
fn a_disk_that_fills_up_during_a_batch() {
    let Some(disk) = SmallDisk::new("12m") else { return };
    let server = disk.serve(&[]);
    let mut slots = 1..;
    for path in ["POST /api/v1/substrates/batch", "POST /api/v1/substrates/batch?results=none"] {
        let items: Vec<String> = slots.by_ref().take(4000).map(identity).collect();
        let line = |id: &String| json!({"identity": id, "expression_type": "constant", "expression_code": "1", "metadata": {"text": "x".repeat(3000)}});
        let lines: Vec<String> = items.iter().map(|id| line(id).to_string()).collect();
        let kind = [("content-type", "application/x-ndjson")];
        let answer = server.connection().ask(path, &kind, &lines.join("\n")).expect("is answered");
        assert_eq!((answer.status, answer.code().as_str()), (507, "out_of_storage"), "{}", answer.body);
        let words = answer.body.split_whitespace();
        let stored = words.filter_map(|word| word.parse().ok()).next().expect("says how many");
        assert!(stored > 0 && answer.body.contains("items of the batch were dealt with"), "{}", answer.body);
        assert_holds(&server, &items[..stored].iter().cloned().collect());
        for id in &items[..stored] {
            assert_eq!(server.ask(&format!("DELETE /api/v1/substrates/{id}"), "").status, 204);
        }
    }
}

#[test]
fn a_limit_on_the_size_of_files() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    // In blocks of 512 bytes.
    let wrapper = ["sh", "-c", "ulimit -f 2048; exec \"$@\"", "sh"];
    let server = Server::start_below(&wrapper, &data, &[]);
    let count = fill(&server, 1, 3000);
    let mut held: BTreeSet<String> = (1..=count).map(identity).collect();
    assert!(count > 50, "{count}");
    assert_holds(&server, &held);
    let answer = server.ask(&format!("DELETE /api/v1/substrates/{}", identity(1)), "");
    assert_eq!(answer.status, 204, "{}", answer.body);
    held.remove(&identity(1));
    assert_holds(&server, &held);
    assert_eq!(server.stop(), Some(0));
    let server = Server::start(&data, &[]);
    assert_holds(&server, &held);
    assert_eq!(create(&server, 1_000_000, 3000).status, 201);
}

/// Copies that hit the limit on the size of files say so, leave nothing half made, and the process ends by itself.
#[test]
fn a_copy_larger_than_files_may_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let server = Server::start(&folder.path().join("data"), &[]);
    for slot in 0..400 {
        assert_eq!(create(&server, slot, 3000).status, 201);
    }
    assert_eq!(server.stop(), Some(0));
    let check = |blocks: u32, words: &[&str], file: &str, code: i32| {
        let limit = format!("ulimit -f {blocks}; exec \"$@\"");
        let program = env!("CARGO_BIN_EXE_butterflyfx");
        let output = command(&[&["sh", "-c", &limit, "sh", program], words].concat()).output().expect("runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{words:?}: {said}");
        assert_eq!(Path::new(file).exists(), code == 0, "{words:?}");
        let reason = ["no room", "File too large"].iter().find(|reason| said.contains(**reason));
        assert!(code == 0 || reason.is_some(), "{words:?}: {said}");
    };
    let (data, backup, copy, export) = (path("data"), path("backup"), path("copy"), path("export"));
    let database = format!("{copy}/butterflyfx.db");
    let copy_words = ["backup", "--data-dir", &data, &backup];
    let restore_words = ["restore", "--data-dir", &copy, &backup];
    check(1000, &copy_words, &backup, 7);
    check(100_000, &copy_words, &backup, 0);
    check(1000, &restore_words, &database, 7);
    check(100_000, &restore_words, &database, 0);
    let export_words = ["export", "--data-dir", &data, &export];
    check(1000, &export_words, &export, 1);
    check(100_000, &export_words, &export, 0);
}
