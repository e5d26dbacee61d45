//! Changes into rows, and into the digest, counts and next numbers that go with them.
//!
//! The cost of a bulk load is here: new rows wait until there are enough for a statement of many, which
//! keeps SQLite's cursor at the end of the table and saves a descent for each row.

use crate::digest::Hasher;
use crate::error::StoreError;
use crate::kept::KeptAnswer;
use crate::meta::Meta;
use crate::schema::{code_of_expression_type, code_of_relationship_type};
use butterflyfx_engine::record::{Change, IndexRecord, RelationshipRecord, SubstrateRecord};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::json::{write_document, write_text};
use rusqlite::{Connection, Statement};
use std::path::Path;

/// Rows of one INSERT statement: the largest that fit are used. Measured: of 1, 8, 32 and 128, each takes less
/// time a row than the one before, 128 half of what 1 does; beyond that nothing is gained.
const ROWS: [usize; 3] = [128, 16, 1];

/// New rows that wait at most.
const ROWS_WAITING_MAX: usize = ROWS[0];

const SUBSTRATE_COLUMNS: usize = 8;
const RELATIONSHIP_COLUMNS: usize = 8;

/// The texts of the INSERT statements, one for each size of [`ROWS`].
#[derive(Debug)]
pub(crate) struct Sql {
    substrate: [String; ROWS.len()],
    relationship: [String; ROWS.len()],
}

impl Sql {
    pub(crate) fn new() -> Sql {
        let insert = |into: &str, columns: usize| {
            let row = format!("({})", vec!["?"; columns].join(","));
            ROWS.map(|rows| format!("INSERT INTO {into} VALUES {}", vec![row.as_str(); rows].join(",")))
        };
        let substrate = "substrate (sequence, id, expression_type, expression_code, metadata, \
                         created_at, updated_at, version)";
        let relationship = "relationship (sequence, source, target, rel_type, bidirectional, \
                            constraints, lineage, created_at)";
        Sql {
            substrate: insert(substrate, SUBSTRATE_COLUMNS),
            relationship: insert(relationship, RELATIONSHIP_COLUMNS),
        }
    }
}

/// Writes the changes of one transaction. `meta` is what will hold after it.
pub(crate) struct Writer<'a> {
    pub(crate) connection: &'a Connection,
    pub(crate) path: &'a Path,
    pub(crate) sql: &'a Sql,
    pub(crate) hasher: &'a mut Hasher,
    /// JSON is written here.
    pub(crate) text: &'a mut String,
    pub(crate) meta: &'a mut Meta,
}

impl Writer<'_> {
    /// Everything of a transaction but its begin and end.
    pub(crate) fn write(&mut self, changes: &[Change], answers: &[KeptAnswer]) -> Result<(), StoreError> {
        let mut substrates: Vec<&SubstrateRecord> = Vec::with_capacity(ROWS_WAITING_MAX);
        let mut relationships: Vec<&RelationshipRecord> = Vec::with_capacity(ROWS_WAITING_MAX);
        for change in changes {
            match change {
                Change::SubstrateCreated(record) => {
                    self.count_substrate(record)?;
                    substrates.push(record);
                    if substrates.len() == ROWS_WAITING_MAX {
                        self.insert_substrates(&mut substrates)?;
                    }
                }
                Change::RelationshipCreated(record) => {
                    self.count_relationship(record)?;
                    relationships.push(record);
                    if relationships.len() == ROWS_WAITING_MAX {
                        self.insert_relationships(&mut relationships)?;
                    }
                }
                // A row may have been created in this very batch.
                Change::SubstrateReplaced { before, after } => {
                    self.insert_substrates(&mut substrates)?;
                    self.replace_substrate(before, after)?;
                }
                Change::SubstrateDeleted(record) => {
                    self.insert_substrates(&mut substrates)?;
                    self.delete_substrate(record)?;
                }
                Change::RelationshipDeleted(record) => {
                    self.insert_relationships(&mut relationships)?;
                    self.delete_relationship(record)?;
                }
                Change::IndexDeclared(record) => self.declare_index(record)?,
                Change::IndexDropped(record) => self.drop_index(record)?,
            }
        }
        self.insert_substrates(&mut substrates)?;
        self.insert_relationships(&mut relationships)?;
        for answer in answers {
            self.keep_answer(answer)?;
        }
        Ok(())
    }

    fn count_substrate(&mut self, record: &SubstrateRecord) -> Result<(), StoreError> {
        storable(record.sequence)?;
        self.meta.digest.add(self.hasher.substrate(record)?);
        self.meta.counts.substrates += 1;
        self.meta.next.substrate = self.meta.next.substrate.max(record.sequence + 1);
        Ok(())
    }

    fn count_relationship(&mut self, record: &RelationshipRecord) -> Result<(), StoreError> {
        for number in [record.sequence, record.source, record.target] {
            storable(number)?;
        }
        self.meta.digest.add(self.hasher.relationship(record)?);
        self.meta.counts.relationships += 1;
        self.meta.next.relationship = self.meta.next.relationship.max(record.sequence + 1);
        Ok(())
    }

    /// Inserts what waits, and empties it.
    fn insert_substrates(&mut self, waiting: &mut Vec<&SubstrateRecord>) -> Result<(), StoreError> {
        let (connection, path, sql, text) = (self.connection, self.path, self.sql, &mut *self.text);
        insert(connection, &sql.substrate, waiting, |statement, at, record| {
            bind_substrate(statement, at * SUBSTRATE_COLUMNS + 1, record, text)
        })
        .map_err(|error| StoreError::of_sqlite(&error, path, "adding to table substrate"))
    }

    /// Inserts what waits, and empties it.
    fn insert_relationships(&mut self, waiting: &mut Vec<&RelationshipRecord>) -> Result<(), StoreError> {
        let (connection, path, sql, text) = (self.connection, self.path, self.sql, &mut *self.text);
        insert(connection, &sql.relationship, waiting, |statement, at, record| {
            bind_relationship(statement, at * RELATIONSHIP_COLUMNS + 1, record, text)
        })
        .map_err(|error| StoreError::of_sqlite(&error, path, "adding to table relationship"))
    }

    fn replace_substrate(
        &mut self,
        before: &SubstrateRecord,
        after: &SubstrateRecord,
    ) -> Result<(), StoreError> {
        if before.sequence != after.sequence {
            return Err(StoreError::Unfit {
                detail: format!("substrate {} is replaced by number {}", before.sequence, after.sequence),
            });
        }
        self.meta.digest.subtract(self.hasher.substrate(before)?);
        self.meta.digest.add(self.hasher.substrate(after)?);
        let text = &mut *self.text;
        let mut replace = |connection: &Connection| {
            let mut statement = connection.prepare_cached(
                "UPDATE substrate SET id = ?2, expression_type = ?3, expression_code = ?4, metadata = ?5, \
                 created_at = ?6, updated_at = ?7, version = ?8 WHERE sequence = ?1",
            )?;
            bind_substrate(&mut statement, 1, after, text)?;
            statement.raw_execute()
        };
        let changed = replace(self.connection);
        self.exactly_one(changed, "substrate", &before.sequence)
    }

    fn delete_substrate(&mut self, record: &SubstrateRecord) -> Result<(), StoreError> {
        self.meta.digest.subtract(self.hasher.substrate(record)?);
        self.meta.counts.substrates = self.meta.counts.substrates.saturating_sub(1);
        let changed = delete(self.connection, "DELETE FROM substrate WHERE sequence = ?1", record.sequence);
        self.exactly_one(changed, "substrate", &record.sequence)
    }

    fn delete_relationship(&mut self, record: &RelationshipRecord) -> Result<(), StoreError> {
        self.meta.digest.subtract(self.hasher.relationship(record)?);
        self.meta.counts.relationships = self.meta.counts.relationships.saturating_sub(1);
        let changed =
            delete(self.connection, "DELETE FROM relationship WHERE sequence = ?1", record.sequence);
        self.exactly_one(changed, "relationship", &record.sequence)
    }

    fn declare_index(&mut self, record: &IndexRecord) -> Result<(), StoreError> {
        self.meta.digest.add(self.hasher.index(record));
        self.meta.counts.indexes += 1;
        let changed = self.connection.execute(
            "INSERT INTO metadata_index (metadata_key, created_at) VALUES (?1, ?2)",
            (&record.metadata_key, record.created_at.0),
        );
        self.exactly_one(changed, "metadata_index", &record.metadata_key)
    }

    fn drop_index(&mut self, record: &IndexRecord) -> Result<(), StoreError> {
        self.meta.digest.subtract(self.hasher.index(record));
        self.meta.counts.indexes = self.meta.counts.indexes.saturating_sub(1);
        let changed = self
            .connection
            .execute("DELETE FROM metadata_index WHERE metadata_key = ?1", [&record.metadata_key]);
        self.exactly_one(changed, "metadata_index", &record.metadata_key)
    }

    fn keep_answer(&mut self, answer: &KeptAnswer) -> Result<(), StoreError> {
        self.forget_answers("DELETE FROM idempotency WHERE name = ?1 RETURNING hash", &answer.name)?;
        let hash = self.hasher.answer(answer);
        self.meta.answers_digest.add(hash);
        self.meta.counts.answers += 1;
        self.text.clear();
        write_headers(&answer.headers, self.text);
        let keep = |connection: &Connection, headers: &str| {
            connection
                .prepare_cached(
                    "INSERT INTO idempotency (name, expires_at, request_hash, status, headers, body, hash) \
                     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
                )?
                .execute((
                    &answer.name,
                    answer.expires_at.0,
                    answer.request_hash,
                    answer.status,
                    headers,
                    &*answer.body,
                    hash.to_le_bytes(),
                ))
        };
        let changed = keep(self.connection, self.text);
        self.exactly_one(changed, "idempotency", &answer.name)
    }

    /// Deletes kept answers by a statement that returns their hashes; tells how many.
    pub(crate) fn forget_answers(
        &mut self,
        sql: &str,
        parameter: impl rusqlite::ToSql,
    ) -> Result<u64, StoreError> {
        let forget = || -> rusqlite::Result<Vec<[u8; 16]>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_map([parameter], |row| row.get(0))?.collect()
        };
        let hashes = forget()
            .map_err(|error| StoreError::of_sqlite(&error, self.path, "removing from table idempotency"))?;
        for hash in &hashes {
            self.meta.answers_digest.subtract(u128::from_le_bytes(*hash));
        }
        let forgotten = hashes.len() as u64;
        self.meta.counts.answers = self.meta.counts.answers.saturating_sub(forgotten);
        Ok(forgotten)
    }

    fn exactly_one(
        &self,
        changed: rusqlite::Result<usize>,
        table: &str,
        key: &dyn std::fmt::Display,
    ) -> Result<(), StoreError> {
        match changed {
            Ok(1) => Ok(()),
            Ok(_) => Err(StoreError::Unfit { detail: format!("table {table} has no row {key}") }),
            Err(error) => {
                Err(StoreError::of_sqlite(&error, self.path, &format!("writing row {key} of table {table}")))
            }
        }
    }
}

/// A number must stay below 2^63, so that SQLite's order of rows is the order of creation.
fn storable(number: u64) -> Result<(), StoreError> {
    if number < i64::MAX.cast_unsigned() {
        Ok(())
    } else {
        Err(StoreError::Unfit { detail: format!("the creation number {number} is not below 2^63 - 1") })
    }
}

fn delete(connection: &Connection, sql: &str, sequence: u64) -> rusqlite::Result<usize> {
    connection.prepare_cached(sql)?.execute([sequence.cast_signed()])
}

/// Inserts rows, many in a statement where there are enough; `bind` binds the row at a place in it.
fn insert<R>(
    connection: &Connection,
    sql: &[String; ROWS.len()],
    waiting: &mut Vec<&R>,
    mut bind: impl FnMut(&mut Statement<'_>, usize, &R) -> rusqlite::Result<()>,
) -> rusqlite::Result<()> {
    let mut rest = waiting.as_slice();
    for (rows, sql) in ROWS.into_iter().zip(sql) {
        if rest.len() < rows {
            continue;
        }
        let mut statement = connection.prepare_cached(sql)?;
        while let Some((these, others)) = rest.split_at_checked(rows) {
            for (at, record) in these.iter().enumerate() {
                bind(&mut statement, at, record)?;
            }
            statement.raw_execute()?;
            rest = others;
            if rest.is_empty() {
                break;
            }
        }
    }
    waiting.clear();
    Ok(())
}

/// Binds the columns in the order of the table, the first at parameter `first`.
fn bind_substrate(
    statement: &mut Statement<'_>,
    first: usize,
    record: &SubstrateRecord,
    text: &mut String,
) -> rusqlite::Result<()> {
    let substrate = &record.substrate;
    text.clear();
    write_document(&substrate.metadata, text);
    statement.raw_bind_parameter(first, record.sequence.cast_signed())?;
    statement.raw_bind_parameter(first + 1, substrate.id.0.cast_signed())?;
    statement.raw_bind_parameter(first + 2, code_of_expression_type(substrate.expression_type))?;
    statement.raw_bind_parameter(first + 3, substrate.expression_code.as_str())?;
    statement.raw_bind_parameter(first + 4, text.as_str())?;
    statement.raw_bind_parameter(first + 5, substrate.created_at.0)?;
    statement.raw_bind_parameter(first + 6, substrate.updated_at.0)?;
    statement.raw_bind_parameter(first + 7, substrate.version)
}

/// As [`bind_substrate`].
fn bind_relationship(
    statement: &mut Statement<'_>,
    first: usize,
    record: &RelationshipRecord,
    text: &mut String,
) -> rusqlite::Result<()> {
    let constraints = match &record.constraints {
        Document::Map(members) if members.is_empty() => None,
        constraints => Some(constraints),
    };
    let lineage = match &record.lineage {
        Document::Null => None,
        lineage => Some(lineage),
    };
    statement.raw_bind_parameter(first, record.sequence.cast_signed())?;
    statement.raw_bind_parameter(first + 1, record.source.cast_signed())?;
    statement.raw_bind_parameter(first + 2, record.target.cast_signed())?;
    statement.raw_bind_parameter(first + 3, code_of_relationship_type(record.rel_type))?;
    statement.raw_bind_parameter(first + 4, record.bidirectional)?;
    for (place, document) in [(first + 5, constraints), (first + 6, lineage)] {
        match document {
            None => statement.raw_bind_parameter(place, rusqlite::types::Null)?,
            Some(document) => {
                text.clear();
                write_document(document, text);
                statement.raw_bind_parameter(place, text.as_str())?;
            }
        }
    }
    statement.raw_bind_parameter(first + 7, record.created_at.0)
}

/// `[["name","value"],...]`
fn write_headers(headers: &[(String, String)], out: &mut String) {
    out.push('[');
    for (at, (name, value)) in headers.iter().enumerate() {
        out.push_str(if at > 0 { ",[" } else { "[" });
        write_text(name, out);
        out.push(',');
        write_text(value, out);
        out.push(']');
    }
    out.push(']');
}
