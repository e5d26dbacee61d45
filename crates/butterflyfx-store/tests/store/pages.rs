//! A start reads the pages of the file where all is in it, and SQLite reads where not: what comes back is the same.

use crate::records::{Model, open, read_back, relationships, substrates};
use butterflyfx_engine::model::Timestamp;
use butterflyfx_engine::record::Change;
use butterflyfx_store::DATABASE_FILE;
use rusqlite::Connection;
use std::fs;
use std::path::Path;

/// Commits some records, all relationships of one time, and leaves them in the log.
fn fill(folder: &Path) -> Model {
    let mut store = open(folder);
    let mut model = Model::default();
    let mut related = relationships(0, 3_000, 2_000);
    for change in &mut related {
        if let Change::RelationshipCreated(record) = change {
            record.created_at = Timestamp(77);
        }
    }
    for changes in [substrates(0, 2_000), related] {
        store.commit(&changes, &[]).unwrap();
        model.apply(&changes);
    }
    // As a crash leaves it: nothing is closed. The lock goes with the copy of the folder.
    let copy = folder.with_extension("crashed");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    model
}

#[track_caller]
fn check(prepare: impl FnOnce(&Path) -> Option<Connection>, from_pages: bool) {
    let folder = tempfile::tempdir().unwrap();
    let first = folder.path().join("data");
    fs::create_dir(&first).unwrap();
    let model = fill(&first);
    let crashed = first.with_extension("crashed");
    assert!(fs::metadata(crashed.join(format!("{DATABASE_FILE}-wal"))).unwrap().len() > 0);
    let session = prepare(&crashed);
    let mut store = open(&crashed);
    let (found, recovered) = read_back(&mut store).unwrap();
    assert_eq!((found == model, recovered.from_pages), (true, from_pages));
    drop(session);
}

#[test]
fn a_log_is_copied_first() {
    check(|_| None, true);
}

#[test]
fn a_session_that_keeps_the_log_from_being_copied() {
    let begin = |folder: &Path| {
        let path = folder.join(DATABASE_FILE);
        let session = Connection::open(&path).unwrap();
        // It sees the state before this, so that must not be overwritten.
        session.execute_batch("BEGIN; SELECT count(*) FROM meta").unwrap();
        let other = Connection::open(&path).unwrap();
        other.pragma_update(None, "wal_autocheckpoint", 0).unwrap();
        other.execute_batch("CREATE TABLE another (x); DROP TABLE another").unwrap();
        Some(session)
    };
    check(begin, false);
}

/// Rows without the value of a column that was added later, which SQLite fills in: none that a release has written, and
/// not what pages alone can tell.
#[test]
fn rows_that_only_sqlite_understands() {
    let rebuild = |folder: &Path| {
        let connection = Connection::open(folder.join(DATABASE_FILE)).unwrap();
        let statements = "
            ALTER TABLE relationship RENAME TO before;
            CREATE TABLE relationship (
                sequence INTEGER PRIMARY KEY, source INTEGER NOT NULL, target INTEGER NOT NULL, rel_type INTEGER NOT NULL,
                bidirectional INTEGER NOT NULL, constraints TEXT, lineage TEXT
            ) STRICT;
            INSERT INTO relationship
                SELECT sequence, source, target, rel_type, bidirectional, constraints, lineage FROM before;
            ALTER TABLE relationship ADD COLUMN created_at INTEGER NOT NULL DEFAULT 77;
            DROP TABLE before;";
        connection.execute_batch(statements).unwrap();
        None
    };
    check(rebuild, false);
}
