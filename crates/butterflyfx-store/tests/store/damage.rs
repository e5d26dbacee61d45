//! A damaged file is refused, or what it gives is exactly what was committed. It is never replaced
//! by an empty one.

use crate::records::{Model, index, open, read_back, relationship, relationships, reopen, substrates};
use butterflyfx_engine::record::Change;
use butterflyfx_store::{DATABASE_FILE, KeptAnswer, LOCK_FILE, Options, Store, StoreError, verify};
use rusqlite::Connection;
use std::fs;
use std::path::Path;

/// A closed database of some pages, and what it holds.
fn filled(folder: &Path) -> Model {
    let mut store = open(folder);
    store.commit(&substrates(0, 300), &[]).unwrap();
    store.commit(&relationships(0, 600, 300), &[]).unwrap();
    let answer = KeptAnswer {
        name: "/a\nkey".to_owned(),
        expires_at: butterflyfx_engine::model::Timestamp(i64::MAX),
        request_hash: [3; 32],
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: vec![b'x'; 20_000].into(),
    };
    store.commit(&[Change::IndexDeclared(index("layer"))], &[answer]).unwrap();
    // Free pages, too.
    let gone: Vec<Change> = relationships(500, 100, 300)
        .into_iter()
        .map(|change| match change {
            Change::RelationshipCreated(record) => Change::RelationshipDeleted(record),
            other => other,
        })
        .collect();
    store.commit(&gone, &[]).unwrap();
    let (model, _) = read_back(&mut store).unwrap();
    store.close().unwrap();
    model
}

/// Writes the bytes as the only database of a fresh folder.
fn folder_of(bytes: &[u8]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(DATABASE_FILE), bytes).unwrap();
    folder
}

#[test]
fn a_flipped_byte_anywhere() {
    let folder = tempfile::tempdir().unwrap();
    let model = filled(folder.path());
    let bytes = fs::read(folder.path().join(DATABASE_FILE)).unwrap();
    let (mut refused, mut exact, mut found_by_verify) = (0, 0, 0);
    // All of the first page's header, and places all over the file at a step that meets every kind.
    let places = (0..120).chain((120..bytes.len()).step_by(331));
    for (at, place) in places.enumerate() {
        let mut damaged = bytes.clone();
        damaged[place] ^= [0xFF, 0x01, 0x80, 0x20][at % 4];
        let folder = folder_of(&damaged);
        match reopen(folder.path()) {
            Ok((found, _)) => {
                assert_eq!(found, model, "byte {place}");
                exact += 1;
            }
            Err(
                StoreError::Damaged { .. }
                | StoreError::Foreign { .. }
                | StoreError::NewerFormat { .. }
                | StoreError::Io { .. },
            ) => {
                refused += 1;
                found_by_verify += usize::from(!verify(folder.path()).is_ok_and(|report| report.is_sound()));
            }
            Err(other) => panic!("byte {place}: {other}"),
        }
    }
    println!("{refused} refused, of those {found_by_verify} found by verify; {exact} gave the exact state");
    assert_eq!(refused, found_by_verify);
    assert!(refused > 50 && exact > 0);
}

#[test]
fn a_truncated_file() {
    let folder = tempfile::tempdir().unwrap();
    let model = filled(folder.path());
    let bytes = fs::read(folder.path().join(DATABASE_FILE)).unwrap();
    for length in (0..bytes.len()).step_by(5_000).chain([1, 99, 100, bytes.len() - 1]) {
        let folder = folder_of(&bytes[..length]);
        match reopen(folder.path()) {
            Ok((found, _)) => assert_eq!(found, model, "length {length}"),
            Err(error) => assert!(matches!(error, StoreError::Damaged { .. }), "length {length}: {error}"),
        }
        let now = fs::metadata(folder.path().join(DATABASE_FILE)).unwrap().len();
        assert_eq!(now, length as u64, "it was not made anew");
    }
}

#[track_caller]
fn check_refused(bytes: &[u8], wanted: fn(&StoreError) -> bool, part: &str) {
    let folder = folder_of(bytes);
    let error = Store::open(folder.path(), &Options::default()).unwrap_err();
    assert!(wanted(&error) && error.to_string().contains(part), "{error}");
    assert_eq!(fs::read(folder.path().join(DATABASE_FILE)).unwrap(), bytes, "left as it was");
}

#[test]
fn garbage_and_the_files_of_others() {
    let damaged = |error: &StoreError| matches!(error, StoreError::Damaged { .. });
    check_refused(b"", damaged, "shorter than the header");
    check_refused(&[b'x'; 40_000], damaged, "not those of an SQLite database");

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("other.db");
    let other = Connection::open(&path).unwrap();
    other.execute_batch("CREATE TABLE t (x)").unwrap();
    drop(other);
    let foreign = |error: &StoreError| matches!(error, StoreError::Foreign { application_id: 0, .. });
    check_refused(&fs::read(&path).unwrap(), foreign, "belongs to another program");
}

#[test]
fn formats_that_are_not_known() {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let path = folder.path().join(DATABASE_FILE);
    let marked = |format: u32| {
        let connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "user_version", format).unwrap();
        connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).unwrap();
        drop(connection);
        fs::read(&path).unwrap()
    };
    let newer = |error: &StoreError| matches!(error, StoreError::NewerFormat { found: 2, known: 1, .. });
    check_refused(&marked(2), newer, "has format 2, this release reads up to 1");
    check_refused(&marked(0), |error| matches!(error, StoreError::Damaged { .. }), "format");
}

#[test]
fn a_log_without_its_database() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(format!("{DATABASE_FILE}-wal")), b"something").unwrap();
    match Store::open(folder.path(), &Options::default()) {
        Err(StoreError::Damaged { check, .. }) => assert!(check.contains("it is gone"), "{check}"),
        other => panic!("{other:?}"),
    }
}

/// Runs an SQL statement behind the store's back; recovery and verification name what is wrong.
#[track_caller]
fn check_tampered(sql: &str, part: &str) {
    let folder = tempfile::tempdir().unwrap();
    filled(folder.path());
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    connection.execute_batch(sql).unwrap();
    drop(connection);
    let report = verify(folder.path()).unwrap();
    assert!(report.problems.iter().any(|problem| problem.contains(part)), "{sql}: {:?}", report.problems);
    let error = reopen(folder.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{sql}: {error}");
}

#[test]
fn what_verification_names() {
    for (sql, part) in [
        ("UPDATE substrate SET id = 5 WHERE sequence = 7", "the digest of tables substrate"),
        ("DELETE FROM substrate WHERE sequence = 299", "table substrate has 299 rows, 300 were committed"),
        ("DELETE FROM substrate WHERE sequence = 7", "names substrate 7, which is not there"),
        (
            "UPDATE substrate SET metadata = '{' WHERE sequence = 7",
            "table substrate, row 7: metadata is no JSON",
        ),
        ("UPDATE substrate SET expression_type = 9 WHERE sequence = 7", "row 7: expression_type is 9"),
        (
            "UPDATE substrate SET expression_code = CAST(x'FF' AS TEXT) WHERE sequence = 7",
            "expression_code is not UTF-8",
        ),
        ("UPDATE substrate SET version = -1 WHERE sequence = 7", "version is beyond 32 bits"),
        (
            "UPDATE relationship SET rel_type = 15 WHERE sequence = 7",
            "table relationship, row 7: rel_type is 15",
        ),
        ("UPDATE relationship SET bidirectional = 2 WHERE sequence = 7", "row 7: bidirectional is 2"),
        ("UPDATE relationship SET source = -1 WHERE sequence = 7", "source is no creation number"),
        ("UPDATE relationship SET lineage = 'x' WHERE sequence = 8", "row 8: lineage is no JSON"),
        (
            "UPDATE relationship SET sequence = 100000 WHERE sequence = 8",
            "has the number 100000, the next one should be",
        ),
        ("DROP TABLE metadata_index", "reading table metadata_index"),
        ("UPDATE idempotency SET status = 500", "the digest of table idempotency"),
        ("UPDATE idempotency SET headers = '[1]'", "headers is no list of pairs of texts"),
        ("UPDATE meta SET value = value + 1 WHERE key = 'next_substrate'", "do not fit its row `check`"),
        ("DELETE FROM meta WHERE key = 'digest'", "table meta has no proper row `digest`"),
    ] {
        check_tampered(sql, part);
    }
}

#[test]
fn a_flipped_byte_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    // Before the last commit, and after it: a commit that a crash cuts short is not there.
    store.commit(&substrates(0, 50), &[]).unwrap();
    for at in 0..20 {
        store.commit(&relationships(at, 1, 50), &[]).unwrap();
    }
    let (before, length_before) = (read_back_without_checkpoint(folder.path()), store.wal_bytes());
    store.commit(&relationships(20, 1, 50), &[]).unwrap();
    let all = read_back_without_checkpoint(folder.path());
    assert_ne!(before, all);

    let names = [DATABASE_FILE.to_owned(), format!("{DATABASE_FILE}-wal"), LOCK_FILE.to_owned()];
    let [database, log, lock] = names.each_ref().map(|name| fs::read(folder.path().join(name)).unwrap());
    let (mut refused, mut exact, mut cut_short) = (0, 0, 0);
    for place in (0..56).chain((56..log.len()).step_by(1_013)) {
        let mut damaged = log.clone();
        damaged[place] ^= 0x10;
        let copy = tempfile::tempdir().unwrap();
        for (name, bytes) in names.iter().zip([&database, &damaged, &lock]) {
            fs::write(copy.path().join(name), bytes).unwrap();
        }
        match reopen(copy.path()) {
            Ok((found, _)) if found == all => exact += 1,
            Ok((found, _)) => {
                assert!(found == before && place as u64 >= length_before, "byte {place}");
                cut_short += 1;
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Damaged { .. }), "byte {place}: {error}");
                if refused % 40 == 0 {
                    check_log_at_rest(copy.path());
                }
                assert!(error.to_string().contains("-wal is not readable") || place < 32, "{error}");
                refused += 1;
            }
        }
    }
    println!("{refused} refused, {exact} gave the exact state, {cut_short} the one before the last commit");
    assert!(refused > 100 && cut_short > 0);
}

/// What a copy of the files gives, as after a crash.
fn read_back_without_checkpoint(folder: &Path) -> Model {
    let copy = tempfile::tempdir().unwrap();
    for name in [DATABASE_FILE.to_owned(), format!("{DATABASE_FILE}-wal"), LOCK_FILE.to_owned()] {
        fs::copy(folder.join(&name), copy.path().join(&name)).unwrap();
    }
    reopen(copy.path()).unwrap().0
}

/// Verification and backup see a damaged log, too, once it is at rest.
fn check_log_at_rest(folder: &Path) {
    let log = fs::File::options().write(true).open(folder.join(format!("{DATABASE_FILE}-wal"))).unwrap();
    log.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(60)).unwrap();
    let report = verify(folder).unwrap();
    assert!(report.problems.iter().any(|problem| problem.contains("not readable")), "{:?}", report.problems);
    let outcome = butterflyfx_store::backup(folder, &folder.join("backup"));
    assert!(matches!(outcome, Err(StoreError::Damaged { .. })), "{outcome:?}");
}

/// Two rows of a page change places: digest and counts are the same then, the order is not.
#[test]
fn rows_out_of_order() {
    for table in ["substrate", "relationship"] {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        store.commit(&substrates(0, 10), &[]).unwrap();
        store.commit(&relationships(0, 10, 10), &[]).unwrap();
        store.close().unwrap();
        let path = folder.path().join(DATABASE_FILE);
        let connection = Connection::open(&path).unwrap();
        let root: u32 = connection
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = ?1", [table], |row| row.get(0))
            .unwrap();
        drop(connection);
        let mut bytes = fs::read(&path).unwrap();
        // A leaf of a table: its kind, seven bytes of header, and two bytes for the place of each row.
        let page = &mut bytes[(root as usize - 1) * 8192..root as usize * 8192];
        assert_eq!((page[0], page[4]), (13, 10));
        let (one, next) = page[8 + 4 * 2..8 + 6 * 2].split_at_mut(2);
        one.swap_with_slice(next);
        fs::write(&path, bytes).unwrap();
        let error = reopen(folder.path()).unwrap_err();
        let part = format!("table {table}, row 4: the number is not greater than the one before");
        assert!(error.to_string().contains(&part), "{error}");
        assert!(!verify(folder.path()).unwrap().is_sound());
    }
}

/// A relationship that was never whole: everything that was committed is there, but not its end.
#[test]
fn an_end_that_was_never_there() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.commit(&substrates(0, 10), &[]).unwrap();
    store.commit(&[Change::RelationshipCreated(relationship(0, 3, 10))], &[]).unwrap();
    store.close().unwrap();
    let part = "table relationship, row 0: names substrate 10, which is not there";
    let error = reopen(folder.path()).unwrap_err();
    assert!(error.to_string().contains(part), "{error}");
    assert_eq!(verify(folder.path()).unwrap().problems, [part]);
}
