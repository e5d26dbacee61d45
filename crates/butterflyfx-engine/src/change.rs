//! What changes the state. Text is read before the lock is taken; what was read from the state
//! for that is checked again under it.

use crate::decide::{self, Found, Patched, PreparedRelationship, PreparedSubstrate};
use crate::engine::{Engine, ItemResult, Result};
use crate::error::EngineError;
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::*;
use crate::state::{State, is_met};
use butterflyfx_formula::shape::Checked;
use hashbrown::HashMap;
use parking_lot::RwLockWriteGuard;

/// Items of a batch that are read together and then stored under one lock.
const BATCH_STEP: usize = if cfg!(test) { 3 } else { 64 };

/// Slots that one step of filling an index takes.
pub(crate) const FILL_STEP: u32 = if cfg!(test) { 3 } else { 512 };

impl Engine {
    pub(crate) fn create_checked(
        &self,
        now: Timestamp,
        new: NewSubstrate,
        checked: Checked,
    ) -> Result<Created<Substrate>> {
        let NewSubstrate { identity, expression_type: kind, expression_code: code, metadata } = new;
        decide::require_object(&metadata)?;
        let id = identity.unwrap_or_else(|| SubstrateId::of_formula(kind, &code));
        let prepared = PreparedSubstrate { id, kind, code, checked, metadata };
        create(&mut self.state.write(), now, prepared, OnConflict::Refuse)
    }

    pub(crate) fn create_one(
        &self,
        now: Timestamp,
        new: NewSubstrate,
        on_conflict: OnConflict,
    ) -> Result<Created<Substrate>> {
        let prepared = self.prepare_substrate(new)?;
        create(&mut self.state.write(), now, prepared, on_conflict)
    }

    pub(crate) fn create_many(
        &self,
        now: Timestamp,
        new: Vec<NewSubstrate>,
        on_conflict: OnConflict,
        atomic: bool,
    ) -> Result<Vec<ItemResult<Substrate>>> {
        if atomic {
            return self.create_all(now, new, on_conflict);
        }
        let mut results = Vec::with_capacity(new.len());
        in_steps(new, |step| {
            let prepared: Vec<_> = step.map(|one| self.prepare_substrate(one)).collect();
            let mut state = self.state.write();
            state.substrates.touch(prepared.iter().flatten().map(|one| one.id));
            results.extend(
                prepared.into_iter().map(|one| one.and_then(|one| create(&mut state, now, one, on_conflict))),
            );
            RwLockWriteGuard::unlock_fair(state);
        });
        Ok(results)
    }

    fn create_all(
        &self,
        now: Timestamp,
        new: Vec<NewSubstrate>,
        on_conflict: OnConflict,
    ) -> Result<Vec<ItemResult<Substrate>>> {
        let mut prepared = Vec::with_capacity(new.len());
        let mut unreadable = None;
        for one in new {
            match self.prepare_substrate(one) {
                Ok(one) => prepared.push(one),
                Err(error) => {
                    unreadable = Some(error);
                    break;
                }
            }
        }
        // Every conflict is seen before anything is stored, so there is nothing to undo.
        let mut state = self.state.write();
        let mut earlier: HashMap<u64, usize, foldhash::fast::RandomState> = HashMap::default();
        for (at, one) in prepared.iter().enumerate() {
            let found = match earlier.get(&one.id.0) {
                Some(&first) => {
                    let first: &PreparedSubstrate = &prepared[first];
                    if (first.kind, &first.code) == (one.kind, &one.code) {
                        Found::Same
                    } else {
                        Found::Other
                    }
                }
                None => decide::find_substrate(&state, one).0,
            };
            let decided = decide::may_create(&found, one.id, on_conflict).and_then(|is_new| {
                if is_new {
                    earlier.insert(one.id.0, at);
                    state.substrates.check_room(earlier.len())?;
                }
                Ok(())
            });
            decided.map_err(|error| EngineError::Batch(at, Box::new(error)))?;
        }
        if let Some(error) = unreadable {
            return Err(EngineError::Batch(prepared.len(), Box::new(error)));
        }
        Ok(prepared.into_iter().map(|one| create(&mut state, now, one, on_conflict)).collect())
    }

    pub(crate) fn put(
        &self,
        now: Timestamp,
        id: SubstrateId,
        mut new: NewSubstrate,
        precondition: &Precondition,
    ) -> Result<Created<Substrate>> {
        new.identity = Some(id);
        let prepared = self.prepare_substrate(new)?;
        let mut state = self.state.write();
        let Some(slot) = decide::put(&state, &prepared, precondition)? else {
            return create(&mut state, now, prepared, OnConflict::Refuse);
        };
        state.replace_substrate(slot, now, prepared.record());
        Ok(Created { item: state.substrate(slot), is_new: false })
    }

    pub(crate) fn patch(
        &self,
        now: Timestamp,
        id: SubstrateId,
        patch: SubstratePatch,
        precondition: &Precondition,
    ) -> Result<Substrate> {
        // The new state is made from what a reader sees; if another writer was faster, again.
        loop {
            let (old, sequence) = {
                let state = self.state.read();
                let slot = state.substrates.find(id);
                is_met(&state, slot, id, precondition)?;
                let slot = slot.ok_or(EngineError::SubstrateNotFound(id))?;
                (state.substrate(slot), state.substrates.ages.sequence(slot))
            };
            let version = old.version;
            let Patched { kind, code, checked, metadata } = decide::patched(self, old, &patch, None)?;

            let mut state = self.state.write();
            let Some(slot) = state.substrates.find(id) else {
                is_met(&state, None, id, precondition)?;
                return Err(EngineError::SubstrateNotFound(id));
            };
            let is_same =
                state.substrates.ages.sequence(slot) == sequence && state.substrates.version(slot) == version;
            if !is_same {
                continue;
            }
            match checked {
                Some(checked) => {
                    let new = PreparedSubstrate { id, kind, code, checked, metadata };
                    state.replace_substrate(slot, now, new.record());
                }
                None if patch.metadata.is_some() => state.replace_metadata(slot, now, &metadata),
                None => state.substrates.touch_time(slot, now),
            }
            return Ok(state.substrate(slot));
        }
    }

    pub(crate) fn delete(&self, id: SubstrateId, restrict: bool, precondition: &Precondition) -> Result<()> {
        let mut state = self.state.write();
        let mut slot = decide::delete(&state, id, restrict, precondition)?;
        // A hub goes in steps, its relationships first. Readers in between see fewer of them;
        // what another writer adds meanwhile goes too.
        let sequence = state.substrates.ages.sequence(slot);
        while !state.cascade(slot) {
            state.tidy_owed();
            RwLockWriteGuard::bump(&mut state);
            match state.substrates.find(id) {
                Some(found) if state.substrates.ages.sequence(found) == sequence => slot = found,
                _ => return Ok(()),
            }
        }
        state.remove_substrate(slot);
        state.tidy_owed();
        give_way(state);
        Ok(())
    }

    pub(crate) fn relate_one(
        &self,
        now: Timestamp,
        new: NewRelationship,
        on_conflict: OnConflict,
    ) -> Result<Created<Relationship>> {
        let prepared = self.prepare_relationship(new)?;
        let mut state = self.state.write();
        let ends = ends(&state, &prepared.new)?;
        relate(&mut state, now, prepared, ends, on_conflict)
    }

    pub(crate) fn relate_many(
        &self,
        now: Timestamp,
        new: Vec<NewRelationship>,
        on_conflict: OnConflict,
        atomic: bool,
    ) -> Result<Vec<ItemResult<Relationship>>> {
        if atomic {
            return self.relate_all(now, new, on_conflict);
        }
        let mut results = Vec::with_capacity(new.len());
        in_steps(new, |step| {
            let prepared = self.prepare_relationships(step.collect());
            let mut state = self.state.write();
            let good = prepared.iter().flatten().map(|one| (one.id, &one.new));
            // Slots stay what they are as long as the lock is held.
            let mut ends = state.ends_of_each(good).into_iter();
            results.extend(prepared.into_iter().map(|one| {
                let one = one?;
                let (source, target) = (ends.next().flatten(), ends.next().flatten());
                let source = source.ok_or(EngineError::SubstrateNotFound(one.new.source))?;
                let target = target.ok_or(EngineError::SubstrateNotFound(one.new.target))?;
                relate(&mut state, now, one, (source, target), on_conflict)
            }));
            RwLockWriteGuard::unlock_fair(state);
        });
        Ok(results)
    }

    fn relate_all(
        &self,
        now: Timestamp,
        new: Vec<NewRelationship>,
        on_conflict: OnConflict,
    ) -> Result<Vec<ItemResult<Relationship>>> {
        let mut prepared = Vec::with_capacity(new.len());
        let mut unreadable = None;
        for one in self.prepare_relationships(new) {
            match one {
                Ok(one) => prepared.push(one),
                Err(error) => {
                    unreadable = Some(error);
                    break;
                }
            }
        }
        let mut state = self.state.write();
        let mut earlier: HashMap<u64, usize, foldhash::fast::RandomState> = HashMap::default();
        for (at, one) in prepared.iter().enumerate() {
            let decided = ends(&state, &one.new).and_then(|_| {
                let found = match earlier.get(&one.id.0) {
                    Some(&first) => {
                        let first: &PreparedRelationship = &prepared[first];
                        if triple(&first.new) == triple(&one.new) { Found::Same } else { Found::Other }
                    }
                    None => decide::find_relationship(&state, one).0,
                };
                if decide::may_relate(&found, one.id, on_conflict)? {
                    earlier.insert(one.id.0, at);
                    state.relationships.check_room(earlier.len())?;
                }
                Ok(())
            });
            decided.map_err(|error| EngineError::Batch(at, Box::new(error)))?;
        }
        if let Some(error) = unreadable {
            return Err(EngineError::Batch(prepared.len(), Box::new(error)));
        }
        let relate_one = |one: PreparedRelationship| {
            let ends = ends(&state, &one.new)?;
            relate(&mut state, now, one, ends, on_conflict)
        };
        Ok(prepared.into_iter().map(relate_one).collect())
    }

    pub(crate) fn unrelate(&self, id: RelationshipId) -> Result<()> {
        let mut state = self.state.write();
        let slot = state.find_relationship(id).ok_or(EngineError::RelationshipNotFound(id))?;
        state.remove_relationship(slot);
        state.tidy_owed();
        give_way(state);
        Ok(())
    }

    pub(crate) fn declare_index(&self, now: Timestamp, metadata_key: &str) -> Result<bool> {
        let mut state = self.state.write();
        if !decide::may_declare(&state, metadata_key)? {
            return Ok(false);
        }
        state.declare_index(metadata_key, now);
        while !state.fill_index(metadata_key, FILL_STEP) {
            RwLockWriteGuard::bump(&mut state);
        }
        Ok(true)
    }
}

fn create(
    state: &mut State,
    now: Timestamp,
    new: PreparedSubstrate,
    on_conflict: OnConflict,
) -> Result<Created<Substrate>> {
    let (found, slot) = decide::find_substrate(state, &new);
    let is_new = decide::may_create(&found, new.id, on_conflict)?;
    if let (false, Some(slot)) = (is_new, slot) {
        return Ok(Created { item: state.substrate(slot), is_new });
    }
    state.substrates.check_room(1)?;
    state.push_substrate(now, new.record());
    Ok(Created { item: new.created(now).0, is_new })
}

/// What makes a relationship what it is.
fn triple(new: &NewRelationship) -> (RelationshipType, SubstrateId, SubstrateId) {
    (new.rel_type, new.source, new.target)
}

/// The slots of both ends; the refusal names the missing one.
fn ends(state: &State, new: &NewRelationship) -> Result<(u32, u32)> {
    Ok((state.substrates.require(new.source)?, state.substrates.require(new.target)?))
}

fn relate(
    state: &mut State,
    now: Timestamp,
    mut new: PreparedRelationship,
    ends: (u32, u32),
    on_conflict: OnConflict,
) -> Result<Created<Relationship>> {
    let (found, slot) = decide::find_relationship(state, &new);
    let is_new = decide::may_relate(&found, new.id, on_conflict)?;
    if let (false, Some(slot)) = (is_new, slot) {
        return Ok(Created { item: state.relationship(slot), is_new });
    }
    state.relationships.check_room(1)?;
    state.push_relationship(new.id, new.stored(now, ends));
    Ok(Created { item: new.created(now), is_new })
}

/// Lets the lock go to whoever waits for it, and the processor to whoever has been waiting for that: whoever deletes
/// very many one after the other would else be interrupted with the lock in hand, for as long as others have the processor.
fn give_way(state: RwLockWriteGuard<'_, State>) {
    RwLockWriteGuard::unlock_fair(state);
    std::thread::yield_now();
}

fn in_steps<T>(items: Vec<T>, mut step: impl FnMut(std::iter::Take<&mut std::vec::IntoIter<T>>)) {
    let mut items = items.into_iter();
    while items.len() > 0 {
        step(items.by_ref().take(BATCH_STEP));
        // Whoever answers a short request on this processor goes first: without this it would wait
        // for the end of a time slice, which is milliseconds.
        std::thread::yield_now();
    }
}
