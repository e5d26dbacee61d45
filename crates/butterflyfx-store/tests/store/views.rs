//! What a person with `sqlite3` sees.

use crate::records::{index, json, open, relationship, substrate};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{RelationshipType, Timestamp};
use butterflyfx_engine::record::Change;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_store::DATABASE_FILE;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;

/// Runs a query from another connection, while the store is open; columns joined by ` | `, a line each row.
#[track_caller]
fn check(folder: &Path, sql: &str, expected: &str) {
    let connection =
        Connection::open_with_flags(folder.join(DATABASE_FILE), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let mut statement = connection.prepare(sql).unwrap();
    let columns = statement.column_count();
    let mut rows = statement.query([]).unwrap();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let texts = (0..columns).map(|column| match row.get_ref(column).unwrap() {
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            rusqlite::types::ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
            other => format!("{other:?}"),
        });
        lines.push(texts.collect::<Vec<_>>().join(" | "));
    }
    assert_eq!(lines.join("\n"), expected, "{sql}");
}

#[test]
fn hex_names_and_times() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let one = |sequence: u64, id: u64, created_at: i64| {
        let mut record = substrate(sequence);
        record.substrate.id = SubstrateId(id);
        record.substrate.created_at = Timestamp(created_at);
        record.substrate.metadata = json(r#"{"name": "area"}"#);
        Change::SubstrateCreated(record)
    };
    store
        .commit(
            &[
                one(0, u64::MAX, 0),
                one(1, 0xAB, 1_790_000_000_123_456),
                one(2, 1 << 63, -1),
                one(3, 7, i64::MAX),
                Change::RelationshipCreated(relationship(5, 1, 2)),
                Change::RelationshipCreated(relationship(12, 0, 1)),
                Change::IndexDeclared(index("name")),
            ],
            &[],
        )
        .unwrap();
    let check = |sql: &str, expected: &str| check(folder.path(), sql, expected);
    check(
        "SELECT substrate_id, expression_type, expression_code, created_at, version FROM substrates",
        "0xFFFFFFFFFFFFFFFF | lambda | lambda x: x * 0 | 1970-01-01T00:00:00.000000Z | 1\n\
         0x00000000000000AB | formula | lambda x: x * 1 | 2026-09-21T14:13:20.123456Z | 1\n\
         0x8000000000000000 | constant | lambda x: x * 2 | 1969-12-31T23:59:59.999999Z | 1\n\
         0x0000000000000007 | lambda | lambda x: x * 3 | 9223372036854775807 | 1",
    );
    check(
        "SELECT rel_type, source_id, target_id, bidirectional, constraints, lineage, source_code FROM relationships",
        "DEPENDENCY | 0x00000000000000AB | 0x8000000000000000 | 0 | {} | null | lambda x: x * 1\n\
         EMBEDDING | 0xFFFFFFFFFFFFFFFF | 0x00000000000000AB | 1 | {\"parameter\":\"x\"} | [1,\"two\"] | lambda x: x * 0",
    );
    check("SELECT * FROM indexes", "name | 1970-01-01T00:00:00.000005Z");
    check("SELECT metadata ->> 'name', count(*) FROM substrates GROUP BY 1", "area | 4");
    check("SELECT value FROM meta WHERE key IN ('substrates', 'next_relationship')", "13\n4");
    check("PRAGMA application_id", &0x4246_6678.to_string());
    check("PRAGMA user_version", "1");
}

/// The numbers on disk are for ever.
#[test]
fn numbers_of_types() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let mut changes: Vec<Change> =
        (0..3).map(|sequence| Change::SubstrateCreated(substrate(sequence))).collect();
    changes.extend((0..15).map(|sequence| Change::RelationshipCreated(relationship(sequence, 0, 1))));
    store.commit(&changes, &[]).unwrap();
    let expected: Vec<String> = ["lambda", "formula", "constant"]
        .iter()
        .enumerate()
        .map(|(code, name)| {
            assert_eq!(ExpressionType::ALL[code].name(), *name);
            format!("{code} | {name}")
        })
        .collect();
    check(
        folder.path(),
        "SELECT a.expression_type, b.expression_type FROM substrate a JOIN substrates b USING (sequence)",
        &expected.join("\n"),
    );
    let names = [
        "PART_TO_WHOLE",
        "WHOLE_TO_PART",
        "SIBLING",
        "CONTAINMENT",
        "ATTRIBUTE",
        "DEPENDENCY",
        "ADJACENCY",
        "AGGREGATION",
        "BOUNDARY",
        "CYCLE",
        "RECURSION",
        "LINEAGE",
        "EMBEDDING",
        "EXTRACTION",
        "ORTHOGONAL",
    ];
    let expected: Vec<String> = names
        .iter()
        .enumerate()
        .map(|(code, name)| {
            assert_eq!(RelationshipType::ALL[code].name(), *name);
            format!("{code} | {name}")
        })
        .collect();
    check(
        folder.path(),
        "SELECT a.rel_type, b.rel_type FROM relationship a JOIN relationships b USING (sequence)",
        &expected.join("\n"),
    );
}

/// `docs/storage.md` shows queries that run, and names every table and column.
#[test]
fn the_page_on_storage() {
    let page = include_str!("../../../../docs/storage.md");
    let folder = tempfile::tempdir().unwrap();
    drop(open(folder.path()));
    let connection = Connection::open(folder.path().join(DATABASE_FILE)).unwrap();
    let queries = page.split("```sql\n").nth(1).unwrap().split("```").next().unwrap();
    let mut ran = 0;
    for query in queries.split_inclusive(';').filter(|text| text.contains(';')) {
        connection.prepare(query).unwrap_or_else(|error| panic!("{query}: {error}"));
        ran += 1;
    }
    assert!(ran > 4);
    let names =
        "SELECT m.name, c.name FROM sqlite_schema m JOIN pragma_table_info(m.name) c WHERE m.type = 'table'";
    let mut statement = connection.prepare(names).unwrap();
    let names = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?])).unwrap();
    for name in names.flat_map(|pair: rusqlite::Result<[String; 2]>| pair.unwrap()) {
        assert!(name == "key" || name == "value" || page.contains(&format!("`{name}`")), "{name}");
    }
    let mut statement = connection.prepare("SELECT key FROM meta").unwrap();
    for key in statement.query_map([], |row| row.get::<_, String>(0)).unwrap() {
        let key = key.unwrap();
        assert!(page.contains(&format!("`{key}`")), "{key}");
    }
}
