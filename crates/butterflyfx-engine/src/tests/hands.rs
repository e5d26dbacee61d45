//! Two ways to change an engine: at once, or through drafts that are written down first.

use crate::draft::{Draft, Later};
use crate::engine::{Engine, ItemResult, Result};
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::*;
use crate::record::{Change, IndexRecord, RelationshipRecord, SubstrateRecord};
use std::collections::BTreeMap;

/// Records as a store would hold them.
#[derive(Default)]
struct Written {
    substrates: BTreeMap<u64, SubstrateRecord>,
    relationships: BTreeMap<u64, RelationshipRecord>,
    indexes: BTreeMap<String, IndexRecord>,
    next: (u64, u64),
}

impl Written {
    fn write(&mut self, change: &Change) {
        match change.clone() {
            Change::SubstrateCreated(one) => {
                assert!(one.sequence >= self.next.0, "a number was used twice");
                self.next.0 = one.sequence + 1;
                self.substrates.insert(one.sequence, one);
            }
            Change::SubstrateReplaced { before, after } => {
                assert_eq!(self.substrates.insert(after.sequence, after), Some(before));
            }
            Change::SubstrateDeleted(one) => {
                assert_eq!(self.substrates.remove(&one.sequence), Some(one));
            }
            Change::RelationshipCreated(one) => {
                assert!(one.sequence >= self.next.1, "a number was used twice");
                self.next.1 = one.sequence + 1;
                self.relationships.insert(one.sequence, one);
            }
            Change::RelationshipDeleted(one) => {
                assert_eq!(self.relationships.remove(&one.sequence), Some(one));
            }
            Change::IndexDeclared(one) => {
                self.indexes.insert(one.metadata_key.clone(), one);
            }
            Change::IndexDropped(one) => {
                assert_eq!(self.indexes.remove(&one.metadata_key), Some(one));
            }
        }
    }

    fn restore(&self) -> Engine {
        let engine = super::engine();
        if self.next.0.is_multiple_of(2) {
            engine.begin_restoring();
        }
        let substrates: Vec<_> = self.substrates.values().cloned().collect();
        substrates.chunks(4).for_each(|some| engine.restore_substrates(some).unwrap());
        let relationships: Vec<_> = self.relationships.values().cloned().collect();
        relationships.chunks(7).for_each(|some| engine.restore_relationships(some).unwrap());
        engine.end_restoring().unwrap();
        self.indexes.values().for_each(|one| engine.restore_index(one));
        engine.restore_sequences(self.next.0, self.next.1);
        engine
    }
}

/// An engine and the way it is changed. Engines are leaked: drafts borrow them, and tests are short.
pub(super) struct Hands {
    pub(super) engine: &'static Engine,
    draft: Option<(Timestamp, Draft<'static>)>,
    written: Option<Written>,
    commands: u32,
}

impl Hands {
    pub(super) fn new(writes_down: bool) -> Hands {
        let engine = Box::leak(Box::new(super::engine()));
        Hands { engine, draft: None, written: writes_down.then(Written::default), commands: 0 }
    }

    /// Writes the open draft down and applies it.
    pub(super) fn settle(&mut self) {
        if let (Some((_, draft)), Some(written)) = (self.draft.take(), &mut self.written) {
            draft.changes().iter().for_each(|change| written.write(change));
            draft.apply();
            assert_eq!(self.engine.next_sequences(), written.next);
            self.check_records();
        }
    }

    /// Whether all that was done is visible.
    pub(super) fn is_settled(&self) -> bool {
        self.draft.is_none()
    }

    /// Goes on with an engine that is built from what was written down.
    pub(super) fn restart(&mut self) {
        self.settle();
        if let Some(written) = &self.written {
            self.engine = Box::leak(Box::new(written.restore()));
            self.check_records();
        }
    }

    fn check_records(&self) {
        let Some(written) = &self.written else { return };
        let (mut from, mut all) = (0, Vec::new());
        loop {
            let some = self.engine.substrate_records(from);
            let Some(last) = some.last() else { break };
            from = last.sequence + 1;
            all.extend(some);
        }
        assert!(all.iter().eq(written.substrates.values()));
        let (mut from, mut all) = (0, Vec::new());
        loop {
            let some = self.engine.relationship_records(from);
            let Some(last) = some.last() else { break };
            from = last.sequence + 1;
            all.extend(some);
        }
        assert!(all.iter().eq(written.relationships.values()));
    }

    /// Runs a command in the open draft, or in the next where it has to come later.
    fn write<T>(
        &mut self,
        now: Timestamp,
        mut command: impl FnMut(&mut Draft<'_>) -> std::result::Result<T, Later>,
    ) -> T {
        self.commands += 1;
        if self.draft.as_ref().is_some_and(|(then, _)| *then != now) {
            self.settle();
        }
        loop {
            let (_, draft) = self.draft.get_or_insert_with(|| (now, self.engine.draft(now)));
            if let Ok(done) = command(draft) {
                if self.commands.is_multiple_of(4) {
                    self.settle();
                }
                return done;
            }
            self.settle();
        }
    }

    pub(super) fn create_substrate(
        &mut self,
        now: Timestamp,
        new: NewSubstrate,
        on_conflict: OnConflict,
    ) -> Result<Created<Substrate>> {
        if self.written.is_none() {
            return self.engine.create_substrate(now, new, on_conflict);
        }
        let mut new = Some(self.engine.prepare_substrate(new)?);
        self.write(now, |draft| draft.create_substrate(&mut new, on_conflict)).expect("its first time")
    }

    pub(super) fn create_substrates(
        &mut self,
        now: Timestamp,
        new: Vec<NewSubstrate>,
        on_conflict: OnConflict,
        atomic: bool,
    ) -> Result<Vec<ItemResult<Substrate>>> {
        if self.written.is_none() {
            return self.engine.create_substrates(now, new, on_conflict, atomic);
        }
        let prepared = new.into_iter().map(|one| self.engine.prepare_substrate(one));
        if atomic {
            let mut new = prepared.collect::<Result<Vec<_>>>().expect("all are formulas");
            let all = self
                .write(now, |draft| draft.create_all_substrates(&mut new, on_conflict, Substrate::clone))?;
            return Ok(all.into_iter().map(Ok).collect());
        }
        let mut new = prepared.collect::<Vec<_>>().into_iter().peekable();
        let mut results = Vec::new();
        self.write(now, |draft| {
            draft.create_substrates(&mut new, on_conflict, Substrate::clone, &mut results)
        });
        Ok(results)
    }

    pub(super) fn put_substrate(
        &mut self,
        now: Timestamp,
        id: SubstrateId,
        new: NewSubstrate,
        precondition: &Precondition,
    ) -> Result<Created<Substrate>> {
        if self.written.is_none() {
            return self.engine.put_substrate(now, id, new, precondition);
        }
        let new = NewSubstrate { identity: Some(id), ..new };
        let mut new = Some(self.engine.prepare_substrate(new)?);
        self.write(now, |draft| draft.put_substrate(&mut new, precondition)).expect("its first time")
    }

    pub(super) fn patch_substrate(
        &mut self,
        now: Timestamp,
        id: SubstrateId,
        patch: SubstratePatch,
        precondition: &Precondition,
    ) -> Result<Substrate> {
        if self.written.is_none() {
            return self.engine.patch_substrate(now, id, patch, precondition);
        }
        self.write(now, |draft| draft.patch_substrate(id, &patch, None, precondition))
    }

    pub(super) fn delete_substrate(
        &mut self,
        now: Timestamp,
        id: SubstrateId,
        restrict: bool,
        precondition: &Precondition,
    ) -> Result<()> {
        if self.written.is_none() {
            return self.engine.delete_substrate(id, restrict, precondition);
        }
        let mut begun = None;
        self.write(now, |draft| draft.delete_substrate(id, restrict, precondition, &mut begun))
    }

    pub(super) fn create_relationship(
        &mut self,
        now: Timestamp,
        new: NewRelationship,
        on_conflict: OnConflict,
    ) -> Result<Created<Relationship>> {
        if self.written.is_none() {
            return self.engine.create_relationship(now, new, on_conflict);
        }
        let mut new = Some(self.engine.prepare_relationship(new)?);
        self.write(now, |draft| draft.create_relationship(&mut new, on_conflict)).expect("its first time")
    }

    pub(super) fn create_relationships(
        &mut self,
        now: Timestamp,
        new: Vec<NewRelationship>,
        on_conflict: OnConflict,
        atomic: bool,
    ) -> Result<Vec<ItemResult<Relationship>>> {
        if self.written.is_none() {
            return self.engine.create_relationships(now, new, on_conflict, atomic);
        }
        let prepared = new.into_iter().map(|one| self.engine.prepare_relationship(one));
        if atomic {
            let mut new = prepared.collect::<Result<Vec<_>>>().expect("all are readable");
            let all =
                self.write(now, |draft| draft.create_all_relationships(&mut new, on_conflict, |one| one))?;
            return Ok(all.into_iter().map(Ok).collect());
        }
        let mut new = prepared.collect::<Vec<_>>().into_iter().peekable();
        let mut results = Vec::new();
        self.write(now, |draft| draft.create_relationships(&mut new, on_conflict, |one| one, &mut results));
        Ok(results)
    }

    pub(super) fn delete_relationship(&mut self, now: Timestamp, id: RelationshipId) -> Result<()> {
        if self.written.is_none() {
            return self.engine.delete_relationship(id);
        }
        self.write(now, |draft| draft.delete_relationship(id))
    }

    pub(super) fn create_index(&mut self, now: Timestamp, metadata_key: &str) -> Result<bool> {
        if self.written.is_none() {
            return self.engine.create_index(now, metadata_key);
        }
        self.write(now, |draft| draft.create_index(metadata_key))
    }

    pub(super) fn drop_index(&mut self, now: Timestamp, metadata_key: &str) -> bool {
        if self.written.is_none() {
            return self.engine.drop_index(metadata_key);
        }
        self.write(now, |draft| draft.drop_index(metadata_key))
    }
}
