//! A transaction that cannot be stored leaves everything as it was, and says whether to go on.

use crate::records::{json, open, read_back, relationship, reopen, substrate, substrates};
use butterflyfx_engine::record::Change;
use butterflyfx_formula::document::Document;
use butterflyfx_store::{DATABASE_FILE, StoreError, verify};
use rusqlite::Connection;
use std::path::PathBuf;
use std::process::Command;

#[test]
fn no_room_and_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.commit(&substrates(0, 1_000), &[]).unwrap();
    store.checkpoint().unwrap();
    let (before, digest) = (read_back(&mut store).unwrap().0, store.digest());
    store.limit_bytes(store.file_bytes() + 50_000).unwrap();
    for _ in 0..3 {
        match store.commit(&substrates(1_000, 10_000), &[]) {
            Err(error @ StoreError::Full { .. }) => {
                assert!(error.is_certainly_not_stored() && store.poisoned().is_none(), "{error}");
            }
            other => panic!("{other:?}"),
        }
        assert_eq!((read_back(&mut store).unwrap().0, store.digest()), (before.clone(), digest));
    }
    // Small things still fit, deletes above all.
    store.commit(&[Change::SubstrateDeleted(substrate(3))], &[]).unwrap();
    store.limit_bytes(u64::MAX).unwrap();
    store.commit(&substrates(1_000, 10_000), &[]).unwrap();
    store.close().unwrap();
    assert_eq!(reopen(folder.path()).unwrap().0.substrates.len(), 10_999);
    assert!(verify(folder.path()).unwrap().is_sound());
}

/// A batch with something unfit at its end: refused, nothing of it stored, the next one is.
#[track_caller]
fn check_unfit(last: Change, part: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.commit(&substrates(0, 10), &[]).unwrap();
    let (before, digest) = (read_back(&mut store).unwrap().0, store.digest());
    let mut batch = substrates(10, 100);
    batch.push(last);
    match store.commit(&batch, &[]) {
        Err(error @ StoreError::Unfit { .. }) => assert!(error.to_string().contains(part), "{error}"),
        other => panic!("{other:?}"),
    }
    assert_eq!((read_back(&mut store).unwrap().0, store.digest()), (before, digest));
    store.commit(&substrates(10, 100), &[]).unwrap();
    assert_eq!(read_back(&mut store).unwrap().0.substrates.len(), 110);
}

#[test]
fn what_does_not_fit() {
    check_unfit(Change::SubstrateCreated(substrate(3)), "UNIQUE constraint failed");
    check_unfit(Change::SubstrateDeleted(substrate(500)), "table substrate has no row 500");
    check_unfit(
        Change::SubstrateReplaced { before: substrate(500), after: substrate(500) },
        "table substrate has no row 500",
    );
    check_unfit(
        Change::SubstrateReplaced { before: substrate(1), after: substrate(2) },
        "substrate 1 is replaced by number 2",
    );
    check_unfit(Change::RelationshipDeleted(relationship(7, 1, 2)), "table relationship has no row 7");
    check_unfit(
        Change::RelationshipCreated(relationship(7, u64::MAX, 2)),
        "the creation number 18446744073709551615",
    );
    let mut record = relationship(0, 1, 2);
    record.lineage = (0..501).fold(json("1"), |inner, _| Document::List(vec![inner]));
    check_unfit(Change::RelationshipCreated(record), "nested more than 500 deep");
}

#[test]
fn damage_seen_while_writing_stops_all_writing() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.commit(&substrates(0, 10), &[]).unwrap();
    let other = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    other.execute_batch("DROP TABLE substrate").unwrap();
    let error = store.commit(&substrates(10, 10), &[]).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }) && !error.is_certainly_not_stored(), "{error}");
    for outcome in [
        store.commit(&[], &[]),
        store.commit(&substrates(10, 10), &[]),
        store.sync(),
        store.checkpoint().map(drop),
        store.forget_answers(&[]).map(drop),
    ] {
        match outcome {
            Err(StoreError::Poisoned { cause }) => assert_eq!(cause, error.to_string()),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_writing_session_of_someone_else_is_busy_not_harmful() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.commit(&substrates(0, 10), &[]).unwrap();
    let other = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let error = store.commit(&substrates(10, 10), &[]).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }) && error.is_certainly_not_stored(), "{error}");
    other.execute_batch("ROLLBACK").unwrap();
    store.commit(&substrates(10, 10), &[]).unwrap();
    assert_eq!(read_back(&mut store).unwrap().0.substrates.len(), 20);
}

/// Which folder the child process is to fill.
const FOLDER_VARIABLE: &str = "BUTTERFLYFX_TEST_SMALL_FILES_FOLDER";

/// A limit on the size of files, as a quota or a full disk would be met. It holds for a whole process, and its signal must
/// be ignored, hence the shell.
#[test]
fn a_limit_on_the_size_of_files() {
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 4000; exec \"$0\" --exact failures::in_a_child_process --nocapture",
        ])
        .arg(std::env::current_exe().unwrap())
        .env(FOLDER_VARIABLE, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(child.status.success(), "{said}{}", String::from_utf8_lossy(&child.stderr));
    let left: usize = said.lines().find_map(|line| line.strip_prefix("left ")?.parse().ok()).unwrap();
    let (model, recovered) = reopen(folder.path()).unwrap();
    assert_eq!((model.substrates.len(), recovered.next.substrate), (left, left as u64));
    open(folder.path()).commit(&substrates(left as u64, 50_000), &[]).unwrap();
    assert!(verify(folder.path()).unwrap().is_sound());
}

/// Does nothing but in the child process of the test above.
#[test]
fn in_a_child_process() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from) else { return };
    let mut store = open(&folder);
    store.commit(&substrates(0, 1_000), &[]).unwrap();
    let replaced = |version: u32| {
        let mut record = substrate(0);
        record.substrate.version = version;
        record.substrate.metadata = json(&format!("{{\"text\": \"{}\"}}", "x".repeat(10_000)));
        record
    };
    // The log reaches the limit again and again, the database has room for it: nobody notices.
    let mut before = substrate(0);
    for version in 2..800 {
        let after = replaced(version);
        store.commit(&[Change::SubstrateReplaced { before, after: after.clone() }], &[]).unwrap();
        before = after;
    }
    assert!(store.wal_bytes() > 1_000_000);
    // Until the database has none either.
    let mut at = 1_000;
    let error = loop {
        match store.commit(&substrates(at, 1_000), &[]) {
            Ok(()) => at += 1_000,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::Full { .. }) && store.poisoned().is_none(), "{error}");
    for _ in 0..3 {
        assert!(matches!(store.commit(&substrates(at, 50_000), &[]), Err(StoreError::Full { .. })));
    }
    assert_eq!((store.counts().substrates, store.next().substrate), (at, at));
    assert_eq!(read_back(&mut store).unwrap().0.substrates.len() as u64, at);
    println!("\nleft {at}");
}
