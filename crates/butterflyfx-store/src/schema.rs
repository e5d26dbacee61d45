//! The tables and views of the database, and the numbers that stand for types in them.
//!
//! This is a promise: what is written here is read by later releases and by people with `sqlite3`.
//! `docs/storage.md` describes it. A change is a new format version with a migration.

use butterflyfx_engine::model::RelationshipType;
use butterflyfx_formula::formula::ExpressionType;

/// The format that this release writes: `PRAGMA user_version`.
pub const FORMAT_VERSION: u32 = 1;

/// Marks the file as ours, for `file` and for us: `PRAGMA application_id`, "BFfx".
pub(crate) const APPLICATION_ID: u32 = 0x4246_6678;

/// Bytes of a page. Measured against 4 and 16 KiB: 8 loads and scans a tenth faster than either; a commit of one
/// row computes a third longer than with 4 (which the sync hides) and half as long as with 16.
pub(crate) const PAGE_BYTES: u32 = 8192;

/// Rows are keyed by creation number, so loading only ever appends; nothing else is indexed.
const TABLES: &str = "
CREATE TABLE substrate (
    sequence INTEGER PRIMARY KEY,
    id INTEGER NOT NULL,
    expression_type INTEGER NOT NULL,
    expression_code TEXT NOT NULL,
    metadata TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    version INTEGER NOT NULL
) STRICT;
CREATE TABLE relationship (
    sequence INTEGER PRIMARY KEY,
    source INTEGER NOT NULL,
    target INTEGER NOT NULL,
    rel_type INTEGER NOT NULL,
    bidirectional INTEGER NOT NULL,
    constraints TEXT,
    lineage TEXT,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE metadata_index (
    metadata_key TEXT PRIMARY KEY,
    created_at INTEGER NOT NULL
) STRICT;
CREATE TABLE idempotency (
    name TEXT PRIMARY KEY,
    expires_at INTEGER NOT NULL,
    request_hash BLOB NOT NULL,
    status INTEGER NOT NULL,
    headers TEXT NOT NULL,
    body BLOB NOT NULL,
    hash BLOB NOT NULL
) STRICT;
CREATE INDEX idempotency_expires_at ON idempotency (expires_at);
CREATE TABLE meta (
    key TEXT PRIMARY KEY,
    value ANY NOT NULL
) STRICT, WITHOUT ROWID;
";

/// A time as ISO 8601, UTC, microseconds; the number itself where SQLite knows no such year.
fn iso(column: &str) -> String {
    format!(
        "coalesce(strftime('%Y-%m-%dT%H:%M:%S', ({column} - (({column} % 1000000) + 1000000) % 1000000) / 1000000, \
         'unixepoch') || printf('.%06dZ', (({column} % 1000000) + 1000000) % 1000000), {column})"
    )
}

fn hex(column: &str) -> String {
    format!("printf('0x%016X', {column})")
}

fn names<'a>(column: &str, names: impl Iterator<Item = (u8, &'a str)>) -> String {
    let cases: String = names.map(|(code, name)| format!(" WHEN {code} THEN '{name}'")).collect();
    format!("CASE {column}{cases} END")
}

/// The statements that make an empty database.
pub(crate) fn create_sql() -> String {
    let expression_type = names(
        "expression_type",
        ExpressionType::ALL.into_iter().map(|one| (code_of_expression_type(one), one.name())),
    );
    let rel_type = names(
        "r.rel_type",
        RelationshipType::ALL.into_iter().map(|one| (code_of_relationship_type(one), one.name())),
    );
    format!(
        "{TABLES}
CREATE VIEW substrates AS SELECT
    sequence, {id} AS substrate_id, {expression_type} AS expression_type, expression_code, metadata,
    {created_at} AS created_at, {updated_at} AS updated_at, version
FROM substrate;
CREATE VIEW relationships AS SELECT
    r.sequence AS sequence, {rel_type} AS rel_type, {source} AS source_id, {target} AS target_id,
    r.bidirectional AS bidirectional, coalesce(r.constraints, '{{}}') AS constraints,
    coalesce(r.lineage, 'null') AS lineage, {made_at} AS created_at,
    s.expression_code AS source_code, t.expression_code AS target_code
FROM relationship r
LEFT JOIN substrate s ON s.sequence = r.source
LEFT JOIN substrate t ON t.sequence = r.target;
CREATE VIEW indexes AS SELECT metadata_key, {created_at} AS created_at FROM metadata_index;
",
        id = hex("id"),
        created_at = iso("created_at"),
        updated_at = iso("updated_at"),
        source = hex("s.id"),
        target = hex("t.id"),
        made_at = iso("r.created_at"),
    )
}

/// The number of an expression type on disk.
pub(crate) fn code_of_expression_type(kind: ExpressionType) -> u8 {
    match kind {
        ExpressionType::Lambda => 0,
        ExpressionType::Formula => 1,
        ExpressionType::Constant => 2,
    }
}

/// The expression type with this number on disk.
pub(crate) fn expression_type_of_code(code: i64) -> Option<ExpressionType> {
    ExpressionType::ALL.into_iter().find(|one| i64::from(code_of_expression_type(*one)) == code)
}

/// The number of a relationship type on disk.
pub(crate) const fn code_of_relationship_type(rel_type: RelationshipType) -> u8 {
    match rel_type {
        RelationshipType::PartToWhole => 0,
        RelationshipType::WholeToPart => 1,
        RelationshipType::Sibling => 2,
        RelationshipType::Containment => 3,
        RelationshipType::Attribute => 4,
        RelationshipType::Dependency => 5,
        RelationshipType::Adjacency => 6,
        RelationshipType::Aggregation => 7,
        RelationshipType::Boundary => 8,
        RelationshipType::Cycle => 9,
        RelationshipType::Recursion => 10,
        RelationshipType::Lineage => 11,
        RelationshipType::Embedding => 12,
        RelationshipType::Extraction => 13,
        RelationshipType::Orthogonal => 14,
    }
}

/// The relationship type with this number on disk.
pub(crate) fn relationship_type_of_code(code: i64) -> Option<RelationshipType> {
    /// By number: this is asked of each row.
    const BY_CODE: [RelationshipType; RelationshipType::ALL.len()] = {
        let mut by_code = RelationshipType::ALL;
        let mut at = 0;
        while at < by_code.len() {
            let one = RelationshipType::ALL[at];
            by_code[code_of_relationship_type(one) as usize] = one;
            at += 1;
        }
        by_code
    };
    usize::try_from(code).ok().and_then(|code| BY_CODE.get(code).copied())
}
