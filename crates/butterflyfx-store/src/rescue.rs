//! A copy of what is in memory, for when the database cannot be trusted to hold it: after a failed write or sync
//! nobody knows what the disk has, while memory has everything that was acknowledged.

use crate::backup::Backup;
use crate::error::StoreError;
use crate::fresh::{Fresh, Purpose};
use crate::kept::KeptAnswer;
use crate::meta::Next;
use butterflyfx_engine::Engine;
use butterflyfx_engine::record::{Change, IndexRecord};
use std::path::Path;
use std::time::Instant;

/// Writes everything an engine holds, and answers that go with it, into one new file, which is verified and synced
/// before it gets its name. Nothing may change the engine meanwhile, as when the store is read-only.
///
/// It is a database of its own, with another `database_id`; what it holds has the digest of what the engine holds.
///
/// # Errors
/// [`StoreError::Exists`] where `to` is there, [`StoreError::Full`], [`StoreError::Io`], [`StoreError::Damaged`] where
/// what was written does not read back. Then there is no file at `to`.
pub fn rescue(engine: &Engine, answers: &[KeptAnswer], to: &Path) -> Result<Backup, StoreError> {
    let started = Instant::now();
    let mut fresh = Fresh::begin(to)?;
    write_all(
        &mut fresh,
        |from| engine.substrate_records(from),
        |one| one.sequence,
        Change::SubstrateCreated,
    )?;
    let relationships = |from| engine.relationship_records(from);
    write_all(&mut fresh, relationships, |one| one.sequence, Change::RelationshipCreated)?;
    let index = |metadata_key, created_at| Change::IndexDeclared(IndexRecord { metadata_key, created_at });
    let indexes: Vec<Change> =
        engine.indexes().into_iter().map(|one| index(one.metadata_key, one.created_at)).collect();
    fresh.write(&indexes, answers)?;
    let (substrate, relationship) = engine.next_sequences();
    let report = fresh.finish(Next { substrate, relationship }, Purpose::Copy)?;
    Ok(Backup::of(report, to, started))
}

/// Writes all records of one kind; `some` gives the next of them from a creation number on, and none at the end.
fn write_all<R>(
    fresh: &mut Fresh,
    some: impl Fn(u64) -> Vec<R>,
    sequence: impl Fn(&R) -> u64,
    created: fn(R) -> Change,
) -> Result<(), StoreError> {
    let mut from = 0;
    loop {
        let records = some(from);
        let Some(last) = records.last() else { return Ok(()) };
        from = sequence(last) + 1;
        let changes: Vec<Change> = records.into_iter().map(created).collect();
        fresh.write(&changes, &[])?;
    }
}
