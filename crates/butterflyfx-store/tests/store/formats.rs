//! A database that an earlier release wrote comes back as it was; one of a later release is left alone.
//!
//! `test_data/format-N` holds a database of each format, written once and never again.

use crate::records::{Model, index, json, open, reopen};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{RelationshipType, Substrate, Timestamp};
use butterflyfx_engine::record::{Change, RelationshipRecord, SubstrateRecord};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_store::{
    Counts, DATABASE_FILE, FORMAT_VERSION, KeptAnswer, Next, Options, Store, StoreError, backup, restore,
    verify,
};
use rusqlite::Connection;
use std::fs;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_128;

/// Microseconds since 1970 of 2026-10-01T00:00:00Z.
const BEGIN: i64 = 1_790_812_800_000_000;

/// The fixture of format 1 holds this digest, for ever.
const DIGEST_1: &str = "9aa18a36f04d8d7422744b50fc964b92";

fn fixture(format: u32) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("test_data/format-{format}"))
}

fn substrate(sequence: u64) -> SubstrateRecord {
    let expression_type = ExpressionType::ALL[sequence as usize % 3];
    let metadata = [
        "{}".to_owned(),
        format!(r#"{{"name": "node {sequence}", "layer": {}, "tags": ["a", "b"]}}"#, sequence % 5),
        r#"{"名前": "蝶 🦋", "naïve": {"é": [null, true, {"deep": [[[{}]]]}]}, "": "a\u0000b\n\"\\"}"#
            .to_owned(),
        format!(r#"{{"big": [{}, -{}, {}, {}]}}"#, "9".repeat(60), "1".repeat(25), i64::MAX, i64::MIN),
        r#"{"floats": [0.0, -0.0, 0.1, 1e308, 5e-324, 1.0], "b": 1, "a": 2}"#.to_owned(),
    ];
    SubstrateRecord {
        sequence,
        substrate: Substrate {
            // Large and small ones: half of them are negative in the file.
            id: SubstrateId((sequence + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            created_at: Timestamp(BEGIN + sequence.cast_signed() * 1_000_001),
            updated_at: Timestamp(BEGIN + sequence.cast_signed() * 1_000_003),
            version: 1 + sequence as u32 % 4,
            expression_type,
            expression_code: match expression_type {
                ExpressionType::Lambda => format!("lambda x, y={sequence}: x * y + 1"),
                ExpressionType::Formula => format!("price * {sequence} if name != 'é🦋' else 0"),
                ExpressionType::Constant => format!("{sequence}.5"),
            },
            metadata: json(&metadata[sequence as usize / 3 % metadata.len()]),
        },
    }
}

fn relationship(sequence: u64) -> RelationshipRecord {
    RelationshipRecord {
        sequence,
        rel_type: RelationshipType::ALL[sequence as usize % 15],
        bidirectional: sequence.is_multiple_of(4),
        source: sequence,
        target: sequence * 7 % 80,
        constraints: json(
            [
                "{}",
                r#"{"parameter": "x"}"#,
                r#"{"parameter": "y", "größe": {"max": 123456789012345678901234567890}}"#,
            ][sequence as usize % 3],
        ),
        lineage: match sequence % 5 {
            0 => json(r#"[1, "zwei", {"drei": 3.5}]"#),
            1 => json(r#"{"from": "0x1"}"#),
            _ => Document::Null,
        },
        created_at: Timestamp(BEGIN - sequence.cast_signed()),
    }
}

fn answer() -> KeptAnswer {
    KeptAnswer {
        name: "/api/v1/substrates\nschlüssel-1".to_owned(),
        expires_at: Timestamp(i64::MAX),
        request_hash: [0xA5; 32],
        status: 201,
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("etag".to_owned(), "\"1-é\"".to_owned()),
        ],
        body: b"{\"identity\":\"0x1\"}\0\xFF".to_vec().into(),
    }
}

/// What is in the database of format 1, transaction by transaction.
fn transactions() -> Vec<Vec<Change>> {
    let replaced = |sequence| {
        let mut after = substrate(sequence);
        after.substrate.version += 1;
        after.substrate.expression_code.push_str(" # again");
        Change::SubstrateReplaced { before: substrate(sequence), after }
    };
    vec![
        (0..130).map(|at| Change::SubstrateCreated(substrate(at))).collect(),
        (0..75).map(|at| Change::RelationshipCreated(relationship(at))).collect(),
        ["name", "layer", "größe", "dropped"].map(|key| Change::IndexDeclared(index(key))).into(),
        vec![Change::IndexDropped(index("dropped")), replaced(0), replaced(64)],
        // Gaps in the middle and at the end: the next number is not the last one and one.
        [3, 4, 5, 20, 40, 60, 73, 74].map(|at| Change::RelationshipDeleted(relationship(at))).into(),
        (90..100).chain([110, 129]).map(|at| Change::SubstrateDeleted(substrate(at))).collect(),
    ]
}

/// Writes that database.
fn write(folder: &Path) -> Model {
    let mut model = Model { answers: vec![answer()], ..Model::default() };
    let mut store = open(folder);
    for batch in transactions() {
        store.commit(&batch, &[]).unwrap();
        model.apply(&batch);
    }
    store.commit(&[], &[answer()]).unwrap();
    store.close().unwrap();
    model
}

/// Gives a database a fixed identity and time, so that to write it anew gives the same bytes.
fn settle(path: &Path) {
    let connection = Connection::open(path).unwrap();
    let set = "UPDATE meta SET value = ?2 WHERE key = ?1";
    connection.execute(set, ("database_id", "0123456789abcdef0123456789abcdef")).unwrap();
    connection.execute(set, ("created_at", BEGIN)).unwrap();
    let keys = [
        "database_id",
        "created_at",
        "transactions",
        "substrates",
        "relationships",
        "indexes",
        "answers",
        "digest",
        "answers_digest",
        "next_substrate",
        "next_relationship",
    ];
    let line = |key: &str| -> String {
        let sql = "SELECT key || '=' || value || char(10) FROM meta WHERE key = ?1";
        connection.query_row(sql, [key], |row| row.get(0)).unwrap()
    };
    let check = xxh3_128(keys.map(line).concat().as_bytes());
    connection.execute(set, ("check", format!("{check:032x}"))).unwrap();
    // Without a log it is one file.
    connection.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).unwrap();
}

/// How the database of format 1 was made; see its README. What is made now holds the same. Asked to by a variable
/// of the environment it puts it in place, and never replaces one.
#[test]
fn the_fixture_can_be_made_again() {
    let made = tempfile::tempdir().unwrap();
    write(made.path());
    settle(&made.path().join(DATABASE_FILE));
    assert_eq!(verify(made.path()).unwrap().digest.to_string(), DIGEST_1);
    if std::env::var_os("BUTTERFLYFX_WRITE_FIXTURE").is_none() {
        return;
    }
    let place = fixture(FORMAT_VERSION).join(DATABASE_FILE);
    assert!(!place.exists(), "{} is there; what was released is never written again", place.display());
    fs::create_dir_all(fixture(FORMAT_VERSION)).unwrap();
    fs::copy(made.path().join(DATABASE_FILE), place).unwrap();
}

/// A copy of the database of a format, in a folder that may be written to.
fn copy_of(format: u32) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::copy(fixture(format).join(DATABASE_FILE), folder.path().join(DATABASE_FILE)).unwrap();
    folder
}

#[test]
fn format_1_comes_back() {
    let folder = copy_of(1);
    assert!(fs::metadata(folder.path().join(DATABASE_FILE)).unwrap().len() < 100_000);
    let report = verify(folder.path()).unwrap();
    assert_eq!((report.problems, report.digest.to_string()), (vec![], DIGEST_1.to_owned()));

    let (model, recovered) = reopen(folder.path()).unwrap();
    let counts = Counts { substrates: 118, relationships: 67, indexes: 3, answers: 1 };
    assert_eq!((recovered.counts, recovered.digest.to_string()), (counts, DIGEST_1.to_owned()));
    assert_eq!(recovered.next, Next { substrate: 130, relationship: 75 });

    // Every record is what it was, and some of them are spelled out here.
    let mut expected = Model { answers: vec![answer()], ..Model::default() };
    transactions().iter().for_each(|batch| expected.apply(batch));
    assert_eq!(model, expected);
    let code = |at| model.substrates[&at].substrate.expression_code.as_str();
    assert_eq!(code(0), "lambda x, y=0: x * y + 1 # again");
    assert_eq!(code(1), "price * 1 if name != 'é🦋' else 0");
    assert_eq!(code(128), "128.5");
    assert_eq!(model.substrates[&1].substrate.id, SubstrateId(0x3C6E_F372_FE94_F82A));
    let text = "{\"名前\": \"蝶 🦋\", \"naïve\": {\"é\": [null, true, {\"deep\": [[[{}]]]}]}, \"\": \"a\\u0000b\\n\\\"\\\\\"}";
    assert_eq!(model.substrates[&6].substrate.metadata, json(text));
    let ends = &model.relationships[&44];
    assert_eq!((ends.source, ends.target, ends.rel_type), (44, 68, RelationshipType::ALL[14]));
    assert!(ends.bidirectional && !model.relationships.contains_key(&20));
    let keys: Vec<&str> = model.indexes.iter().map(|one| one.metadata_key.as_str()).collect();
    assert_eq!(keys, ["name", "layer", "größe"]);
}

/// It is a database to go on with, and a backup to restore.
#[test]
fn format_1_is_written_to_and_restored() {
    let folder = copy_of(1);
    let mut store = open(folder.path());
    let before = store.digest();
    store.commit(&[Change::SubstrateCreated(substrate(130))], &[]).unwrap();
    assert_ne!(store.digest(), before);
    store.commit(&[Change::SubstrateDeleted(substrate(130))], &[]).unwrap();
    store.close().unwrap();
    assert_eq!(reopen(folder.path()).unwrap().1.digest.to_string(), DIGEST_1);
    let restored = restore(&fixture(1).join(DATABASE_FILE), &folder.path().join("restored")).unwrap();
    assert_eq!(restored.digest.to_string(), DIGEST_1);
}

#[test]
fn a_later_format_is_left_byte_for_byte_as_it_was() {
    let folder = copy_of(FORMAT_VERSION);
    let path = folder.path().join(DATABASE_FILE);
    let connection = Connection::open(&path).unwrap();
    connection.pragma_update(None, "user_version", FORMAT_VERSION + 1).unwrap();
    drop(connection);
    let bytes = fs::read(&path).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let outcomes = [
        Store::open(folder.path(), &Options::default()).map(drop),
        verify(folder.path()).map(drop),
        backup(folder.path(), &elsewhere.path().join("backup")).map(drop),
        restore(folder.path(), &elsewhere.path().join("data")).map(drop),
    ];
    for outcome in outcomes {
        match outcome {
            Err(StoreError::NewerFormat { found, known, .. }) => {
                assert_eq!((found, known), (FORMAT_VERSION + 1, FORMAT_VERSION));
            }
            other => panic!("{other:?}"),
        }
        assert!(fs::read(&path).unwrap() == bytes);
    }
    assert!(!elsewhere.path().join("backup").exists());
}
