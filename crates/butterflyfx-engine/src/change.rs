//! What changes the state. Text is read before the lock is taken; what was read from the state
//! for that is checked again under it.

use crate::engine::{Engine, ItemResult, Result};
use crate::error::EngineError;
use crate::identity::{RelationshipId, SubstrateId};
use crate::merge::merge;
use crate::model::*;
use crate::state::relationships::Binding;
use crate::state::substrates::Prepared;
use crate::state::{State, binding_of, is_met};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::shape::Checked;
use hashbrown::HashMap;
use parking_lot::RwLockWriteGuard;

/// Items of a batch that are read together and then stored under one lock.
const BATCH_STEP: usize = if cfg!(test) { 3 } else { 64 };

/// Slots that one step of filling an index takes.
const FILL_STEP: u32 = if cfg!(test) { 3 } else { 4096 };

/// Declared indexes: each is work on every change.
const INDEXES_MAX: usize = 64;

/// UTF-8 bytes of an index's key.
const METADATA_KEY_BYTES_MAX: usize = 1024;

/// A relationship to store, checked; its ends are looked up under the lock.
struct PreparedRelationship {
    id: RelationshipId,
    new: NewRelationship,
    binding: Option<Binding>,
}

impl Engine {
    /// Reads a new substrate's formula and finds its identity.
    fn prepare(&self, new: NewSubstrate) -> Result<Prepared> {
        let NewSubstrate { identity, expression_type: kind, expression_code: code, metadata } = new;
        require_object(&metadata)?;
        let checked = self.check(kind, &code)?;
        let id = identity.unwrap_or_else(|| SubstrateId::of_formula(kind, &code));
        Ok(Prepared { id, kind, code, checked, metadata })
    }

    pub(crate) fn create_checked(
        &self,
        now: Timestamp,
        new: NewSubstrate,
        checked: Checked,
    ) -> Result<Created<Substrate>> {
        let NewSubstrate { identity, expression_type: kind, expression_code: code, metadata } = new;
        require_object(&metadata)?;
        let id = identity.unwrap_or_else(|| SubstrateId::of_formula(kind, &code));
        let prepared = Prepared { id, kind, code, checked, metadata };
        create(&mut self.state.write(), now, prepared, OnConflict::Refuse)
    }

    pub(crate) fn create_one(
        &self,
        now: Timestamp,
        new: NewSubstrate,
        on_conflict: OnConflict,
    ) -> Result<Created<Substrate>> {
        let prepared = self.prepare(new)?;
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
            let prepared: Vec<_> = step.map(|one| self.prepare(one)).collect();
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
            match self.prepare(one) {
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
        let mut fresh = 0;
        for (at, one) in prepared.iter().enumerate() {
            let same = match (state.substrates.find(one.id), earlier.get(&one.id.0)) {
                (Some(slot), _) => Some(state.substrates.holds_formula(slot, one.kind, &one.code)),
                (None, Some(&first)) => {
                    Some(prepared[first].kind == one.kind && prepared[first].code == one.code)
                }
                (None, None) => None,
            };
            let refusal = match same {
                None => {
                    earlier.insert(one.id.0, at);
                    fresh += 1;
                    state.substrates.check_room(fresh).err()
                }
                Some(true) if on_conflict == OnConflict::Return => None,
                Some(true) => Some(EngineError::SubstrateExists(one.id)),
                Some(false) => Some(EngineError::IdentityInUse(one.id)),
            };
            if let Some(error) = refusal {
                return Err(EngineError::Batch(at, Box::new(error)));
            }
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
        let prepared = self.prepare(new)?;
        let mut state = self.state.write();
        let slot = state.substrates.find(id);
        is_met(&state, slot, id, precondition)?;
        let Some(slot) = slot else { return create(&mut state, now, prepared, OnConflict::Refuse) };
        if !state.substrates.holds_formula(slot, prepared.kind, &prepared.code)
            && state.substrates.is_content_addressed(slot)
        {
            return Err(EngineError::IdentityIsContent(id));
        }
        state.replace_substrate(slot, now, &prepared);
        Ok(Created { item: state.substrate(slot), is_new: false })
    }

    pub(crate) fn patch(
        &self,
        now: Timestamp,
        id: SubstrateId,
        patch: SubstratePatch,
        precondition: &Precondition,
    ) -> Result<Substrate> {
        if let Some(metadata) = &patch.metadata {
            require_object(metadata)?;
        }
        // The new state is made from what a reader sees; if another writer was faster, again.
        loop {
            let (old, sequence) = {
                let state = self.state.read();
                let slot = state.substrates.find(id);
                is_met(&state, slot, id, precondition)?;
                let slot = slot.ok_or(EngineError::SubstrateNotFound(id))?;
                (state.substrate(slot), state.substrates.ages.sequence(slot))
            };
            let kind = patch.expression_type.unwrap_or(old.expression_type);
            let code = patch.expression_code.as_deref().unwrap_or(&old.expression_code);
            let changes_formula = kind != old.expression_type || code != old.expression_code;
            if changes_formula && SubstrateId::of_formula(old.expression_type, &old.expression_code) == id {
                return Err(EngineError::IdentityIsContent(id));
            }
            let checked = if changes_formula { Some(self.check(kind, code)?) } else { None };
            let code = code.to_owned();
            let metadata = match &patch.metadata {
                Some(changes) => merge(old.metadata, changes.clone()),
                None => old.metadata,
            };

            let mut state = self.state.write();
            let Some(slot) = state.substrates.find(id) else {
                is_met(&state, None, id, precondition)?;
                return Err(EngineError::SubstrateNotFound(id));
            };
            let is_same = state.substrates.ages.sequence(slot) == sequence
                && state.substrates.version(slot) == old.version;
            if !is_same {
                continue;
            }
            match checked {
                Some(checked) => {
                    state.replace_substrate(slot, now, &Prepared { id, kind, code, checked, metadata });
                }
                None if patch.metadata.is_some() => state.replace_metadata(slot, now, &metadata),
                None => state.substrates.touch_time(slot, now),
            }
            return Ok(state.substrate(slot));
        }
    }

    pub(crate) fn delete(&self, id: SubstrateId, restrict: bool, precondition: &Precondition) -> Result<()> {
        let mut state = self.state.write();
        let slot = state.substrates.find(id);
        is_met(&state, slot, id, precondition)?;
        let mut slot = slot.ok_or(EngineError::SubstrateNotFound(id))?;
        if restrict && state.degree(slot, false) + state.degree(slot, true) > 0 {
            return Err(EngineError::HasRelationships(id, state.relationship_count(slot)));
        }
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
        Ok(())
    }

    pub(crate) fn relate_one(
        &self,
        now: Timestamp,
        new: NewRelationship,
        on_conflict: OnConflict,
    ) -> Result<Created<Relationship>> {
        let prepared = prepare_relationship(new)?;
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
            let prepared: Vec<_> = step.map(prepare_relationship).collect();
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
        for one in new {
            match prepare_relationship(one) {
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
            let is_there = state.find_relationship(one.id).is_some() || earlier.contains_key(&one.id.0);
            let refusal = if let Err(error) = ends(&state, &one.new) {
                Some(error)
            } else if is_there {
                (on_conflict == OnConflict::Refuse).then_some(EngineError::RelationshipExists(one.id))
            } else {
                earlier.insert(one.id.0, at);
                state.relationships.check_room(earlier.len()).err()
            };
            if let Some(error) = refusal {
                return Err(EngineError::Batch(at, Box::new(error)));
            }
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
        Ok(())
    }

    pub(crate) fn declare_index(&self, now: Timestamp, metadata_key: &str) -> Result<bool> {
        if metadata_key.len() > METADATA_KEY_BYTES_MAX {
            let sentence = format!("a metadata key to index may have at most {METADATA_KEY_BYTES_MAX} bytes");
            return Err(EngineError::InvalidQuery(String::new(), sentence));
        }
        let mut state = self.state.write();
        if state.indexes.contains_key(metadata_key) {
            return Ok(false);
        }
        if state.indexes.len() >= INDEXES_MAX {
            return Err(EngineError::Full(format!("the engine holds at most {INDEXES_MAX} indexes")));
        }
        state.indexes.insert(metadata_key.to_owned(), crate::state::index::Index::new(now));
        while !state.fill_index(metadata_key, FILL_STEP) {
            RwLockWriteGuard::bump(&mut state);
        }
        Ok(true)
    }
}

fn create(
    state: &mut State,
    now: Timestamp,
    new: Prepared,
    on_conflict: OnConflict,
) -> Result<Created<Substrate>> {
    if let Some(slot) = state.substrates.find(new.id) {
        if !state.substrates.holds_formula(slot, new.kind, &new.code) {
            return Err(EngineError::IdentityInUse(new.id));
        }
        return match on_conflict {
            OnConflict::Refuse => Err(EngineError::SubstrateExists(new.id)),
            OnConflict::Return => Ok(Created { item: state.substrate(slot), is_new: false }),
        };
    }
    state.substrates.check_room(1)?;
    state.push_substrate(now, &new);
    let item = Substrate {
        id: new.id,
        created_at: now,
        updated_at: now,
        version: 1,
        expression_type: new.kind,
        expression_code: new.code,
        metadata: new.metadata,
    };
    Ok(Created { item, is_new: true })
}

fn prepare_relationship(new: NewRelationship) -> Result<PreparedRelationship> {
    let binding = binding_of(&new.constraints)?;
    let id = RelationshipId::of(new.rel_type, new.source, new.target);
    Ok(PreparedRelationship { id, new, binding })
}

/// The slots of both ends; the refusal names the missing one.
fn ends(state: &State, new: &NewRelationship) -> Result<(u32, u32)> {
    Ok((state.substrates.require(new.source)?, state.substrates.require(new.target)?))
}

fn relate(
    state: &mut State,
    now: Timestamp,
    prepared: PreparedRelationship,
    ends: (u32, u32),
    on_conflict: OnConflict,
) -> Result<Created<Relationship>> {
    let PreparedRelationship { id, new, binding } = prepared;
    if let Some(slot) = state.find_relationship(id) {
        let found = state.relationship(slot);
        // Another triple with the same 64 bits: nothing to return, and nothing is overwritten.
        let is_same = (found.rel_type, found.source, found.target) == (new.rel_type, new.source, new.target);
        return match on_conflict {
            OnConflict::Return if is_same => Ok(Created { item: found, is_new: false }),
            _ => Err(EngineError::RelationshipExists(id)),
        };
    }
    state.relationships.check_room(1)?;
    state.push_relationship(now, id, &new, binding, ends);
    let item = Relationship {
        id,
        rel_type: new.rel_type,
        source: new.source,
        target: new.target,
        bidirectional: new.bidirectional,
        constraints: new.constraints,
        lineage: new.lineage,
        created_at: now,
    };
    Ok(Created { item, is_new: true })
}

fn require_object(metadata: &Document) -> Result<()> {
    match metadata {
        Document::Map(_) => Ok(()),
        _ => Err(EngineError::InvalidQuery("/metadata".into(), "metadata must be an object".into())),
    }
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
