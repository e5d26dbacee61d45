//! Changes that are written down before they take effect.
//!
//! Whoever keeps the state on disk collects commands in a [`Draft`]: each is checked against the state
//! and against what the draft holds already, and its answer is known at once. Then the changes are
//! written, and only then [`Draft::apply`] makes them visible: a reader never sees what a crash could
//! take back. A command that depends on an earlier one of the same draft in more than simple ways is
//! put [`off`](Later) to the next draft, whose state holds the earlier one.
//!
//! There may be one draft at a time, and nothing else may change the state between its first command
//! and `apply` (tidying may: it changes no record). Creation numbers are foretold, so a draft whose
//! changes were not written must be dropped without `apply`.

use crate::change::FILL_STEP;
use crate::decide::{self, Found, Patched, PreparedRelationship, PreparedSubstrate};
use crate::engine::{Engine, ItemResult, Result};
use crate::error::EngineError;
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::*;
use crate::record::{Change, IndexRecord, RelationshipRecord, SubstrateRecord};
use crate::state::State;
use crate::state::edges::{Edge, Kind};
use crate::state::relationships::{Binding, NewEdge};
use crate::state::substrates::NewRecord;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::shape::Checked;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use parking_lot::{RwLockReadGuard, RwLockWriteGuard};

/// Items that are looked up together.
const STEP: usize = if cfg!(test) { 3 } else { 64 };

/// Changes that are applied under one lock, which takes some ten microseconds.
const PAUSE: usize = if cfg!(test) { 2 } else { 16 };

/// Relationships that a delete takes along in one draft; the rest follows in the next.
const CASCADE_MAX: usize = if cfg!(test) { 5 } else { 4096 };

/// Ends of relationships that a draft remembers one by one; beyond that it only knows that there are
/// many, and a delete of any substrate comes later.
const ENDS_MAX: usize = if cfg!(test) { 4 } else { 256 };

/// The command has to come again, with the next draft.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Later;

/// What a draft does to a substrate.
#[derive(Clone, Copy, Debug)]
enum Touched {
    /// Creates it, by the change of this number.
    Made(usize),
    /// Replaces it.
    Changed,
    /// Deletes it, or begins to.
    Deleted,
}

/// What applying a change takes beside the change.
#[derive(Debug)]
enum Step {
    Create(Checked),
    /// Another formula, too.
    Replace(Checked),
    /// Other metadata alone.
    ReplaceMetadata,
    /// Nothing but a new version.
    Touch,
    Relate(RelationshipId, Option<Binding>),
    /// A deletion, or a change of indexes: all is in the change.
    Plain,
}

/// Commands that will take effect together.
#[derive(Debug)]
pub struct Draft<'a> {
    engine: &'a Engine,
    now: Timestamp,
    changes: Vec<Change>,
    /// One for each change.
    steps: Vec<Step>,
    /// Numbers of changes after which others may read.
    pauses: Vec<usize>,
    substrates: HashMap<u64, Touched, RandomState>,
    /// Relationships by identity: the change that makes it, or none where it is deleted.
    relationships: HashMap<u64, Option<usize>, RandomState>,
    /// Substrates whose relationships become more or fewer, unless there are too many to tell.
    ends: HashSet<u64, RandomState>,
    has_many_ends: bool,
    indexes: HashSet<String, RandomState>,
    substrates_made: usize,
    relationships_made: usize,
}

impl Engine {
    /// An empty draft. `now` must not be earlier than that of any draft before.
    pub fn draft(&self, now: Timestamp) -> Draft<'_> {
        Draft {
            engine: self,
            now,
            changes: Vec::new(),
            steps: Vec::new(),
            pauses: Vec::new(),
            substrates: HashMap::default(),
            relationships: HashMap::default(),
            ends: HashSet::default(),
            has_many_ends: false,
            indexes: HashSet::default(),
            substrates_made: 0,
            relationships_made: 0,
        }
    }
}

impl Draft<'_> {
    /// What is to be written down, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }

    /// Creates many substrates in order, as far as it can be done in this draft; what `keep` makes of each
    /// goes to `results`, and what is left stays in `new`.
    ///
    /// # Errors
    /// `Later` where something is left.
    pub fn create_substrates<T>(
        &mut self,
        new: &mut std::iter::Peekable<std::vec::IntoIter<Result<PreparedSubstrate>>>,
        on_conflict: OnConflict,
        keep: impl Fn(&Substrate) -> T,
        results: &mut Vec<ItemResult<T>>,
    ) -> std::result::Result<(), Later> {
        let engine = self.engine;
        let mut state = engine.state.read();
        // Records are large, and would be moved again and again.
        self.substrates.reserve(new.len());
        self.changes.reserve(new.len());
        self.steps.reserve(new.len());
        while let Some(one) = new.peek() {
            if let Ok(one) = one
                && matches!(self.substrates.get(&one.id.0), Some(Touched::Changed | Touched::Deleted))
            {
                return Err(Later);
            }
            let Some(one) = new.next() else { break };
            results.push(one.and_then(|one| self.create(&state, one, on_conflict, &keep)));
            if results.len().is_multiple_of(PAUSE) {
                self.pauses.push(self.changes.len());
            }
            if results.len().is_multiple_of(STEP) {
                rest(&mut state);
            }
        }
        self.pauses.push(self.changes.len());
        Ok(())
    }

    /// Creates all of many substrates or none.
    ///
    /// # Errors
    /// `Later`; then `new` is as it was. Within: `EngineError::Batch`.
    pub fn create_all_substrates<T>(
        &mut self,
        new: &mut Vec<PreparedSubstrate>,
        on_conflict: OnConflict,
        keep: impl Fn(&Substrate) -> T,
    ) -> std::result::Result<Result<Vec<Created<T>>>, Later> {
        let is_touched = |one: &PreparedSubstrate| self.substrates.contains_key(&one.id.0);
        if new.iter().any(is_touched) {
            return Err(Later);
        }
        let engine = self.engine;
        let state = engine.state.read();
        let mark = self.changes.len();
        let mut created = Vec::with_capacity(new.len());
        for (at, one) in std::mem::take(new).into_iter().enumerate() {
            match self.create(&state, one, on_conflict, &keep) {
                Ok(one) => created.push(one),
                Err(error) => {
                    self.take_back(mark);
                    return Ok(Err(EngineError::Batch(at, Box::new(error))));
                }
            }
        }
        self.pauses.push(self.changes.len());
        Ok(Ok(created))
    }

    /// Creates a substrate.
    ///
    /// # Errors
    /// `Later`; then `new` is as it was.
    pub fn create_substrate(
        &mut self,
        new: &mut Option<PreparedSubstrate>,
        on_conflict: OnConflict,
    ) -> std::result::Result<Option<Result<Created<Substrate>>>, Later> {
        let Some(one) = new.take() else { return Ok(None) };
        if let Some(Touched::Changed | Touched::Deleted) = self.substrates.get(&one.id.0) {
            *new = Some(one);
            return Err(Later);
        }
        let engine = self.engine;
        let state = engine.state.read();
        let created = self.create(&state, one, on_conflict, Substrate::clone);
        self.pauses.push(self.changes.len());
        Ok(Some(created))
    }

    /// Creates or replaces a substrate under its identity.
    ///
    /// # Errors
    /// `Later`; then `new` is as it was.
    pub fn put_substrate(
        &mut self,
        new: &mut Option<PreparedSubstrate>,
        precondition: &Precondition,
    ) -> std::result::Result<Option<Result<Created<Substrate>>>, Later> {
        let Some(one) = new.take() else { return Ok(None) };
        if self.substrates.contains_key(&one.id.0) {
            *new = Some(one);
            return Err(Later);
        }
        let engine = self.engine;
        let state = engine.state.read();
        let put = match decide::put(&state, &one, precondition) {
            Err(error) => Err(error),
            Ok(None) => self.create(&state, one, OnConflict::Refuse, Substrate::clone),
            Ok(Some(slot)) => {
                let before = substrate_record(&state, slot);
                let PreparedSubstrate { kind, code, checked, metadata, .. } = one;
                let patched = Patched { kind, code, checked: None, metadata };
                Ok(self.replace(before, patched, Step::Replace(checked)))
            }
        };
        self.pauses.push(self.changes.len());
        Ok(Some(put))
    }

    /// Changes parts of a substrate. `checked` is the new text as it was read before for a type, so that a
    /// long text need not be read here.
    ///
    /// # Errors
    /// `Later`.
    pub fn patch_substrate(
        &mut self,
        id: SubstrateId,
        patch: &SubstratePatch,
        checked: Option<&(ExpressionType, Checked)>,
        precondition: &Precondition,
    ) -> std::result::Result<Result<Substrate>, Later> {
        if self.substrates.contains_key(&id.0) {
            return Err(Later);
        }
        let before = {
            let state = self.engine.state.read();
            let slot = state.substrates.find(id);
            let met = crate::state::is_met(&state, slot, id, precondition);
            match met.and_then(|()| slot.ok_or(EngineError::SubstrateNotFound(id))) {
                Ok(slot) => substrate_record(&state, slot),
                Err(error) => return Ok(Err(error)),
            }
        };
        let mut patched = match decide::patched(self.engine, before.substrate.clone(), patch, checked) {
            Ok(patched) => patched,
            Err(error) => return Ok(Err(error)),
        };
        let step = match patched.checked.take() {
            Some(checked) => Step::Replace(checked),
            None if patch.metadata.is_some() => Step::ReplaceMetadata,
            None => Step::Touch,
        };
        let created = self.replace(before, patched, step);
        self.pauses.push(self.changes.len());
        Ok(Ok(created.item))
    }

    /// Deletes a substrate and its relationships, so many of them in one draft; `begun` holds its
    /// creation number in between, when others may see fewer of them.
    ///
    /// # Errors
    /// `Later`.
    pub fn delete_substrate(
        &mut self,
        id: SubstrateId,
        restrict: bool,
        precondition: &Precondition,
        begun: &mut Option<u64>,
    ) -> std::result::Result<Result<()>, Later> {
        if self.substrates.contains_key(&id.0) || self.has_many_ends || self.ends.contains(&id.0) {
            return Err(Later);
        }
        let engine = self.engine;
        let state = engine.state.read();
        let slot = match begun {
            None => match decide::delete(&state, id, restrict, precondition) {
                Ok(slot) => slot,
                Err(error) => return Ok(Err(error)),
            },
            Some(sequence) => match state.substrates.find(id) {
                Some(slot) if state.substrates.ages.sequence(slot) == *sequence => slot,
                // Somebody else has deleted it meanwhile.
                _ => return Ok(Ok(())),
            },
        };
        let mut cascade: Vec<(u32, RelationshipId)> = Vec::new();
        let mut is_last = true;
        for incoming in [false, true] {
            // One more than there is room for, beside those that stand in the first list, too.
            for one in state.newest_relationships(slot, incoming, CASCADE_MAX + 1) {
                if cascade.len() == CASCADE_MAX {
                    is_last = false;
                } else if !incoming || !state.is_listed_outgoing(slot, one) {
                    cascade.push((one, state.relationship_id(one)));
                }
            }
        }
        if cascade.iter().any(|(_, id)| self.relationships.contains_key(&id.0)) {
            return Err(Later);
        }
        for (at, (one, id)) in cascade.into_iter().enumerate() {
            self.unrelate(&state, one, id);
            if at % PAUSE == PAUSE - 1 {
                self.pauses.push(self.changes.len());
            }
        }
        self.substrates.insert(id.0, Touched::Deleted);
        if is_last {
            self.push(Change::SubstrateDeleted(substrate_record(&state, slot)), Step::Plain);
        } else {
            *begun = Some(state.substrates.ages.sequence(slot));
        }
        self.pauses.push(self.changes.len());
        if is_last { Ok(Ok(())) } else { Err(Later) }
    }

    /// Creates a relationship.
    ///
    /// # Errors
    /// `Later`; then `new` is as it was.
    pub fn create_relationship(
        &mut self,
        new: &mut Option<PreparedRelationship>,
        on_conflict: OnConflict,
    ) -> std::result::Result<Option<Result<Created<Relationship>>>, Later> {
        let Some(one) = new.take() else { return Ok(None) };
        if self.must_wait(&one) {
            *new = Some(one);
            return Err(Later);
        }
        let engine = self.engine;
        let state = engine.state.read();
        let ends = [one.new.source, one.new.target].map(|end| state.substrates.find(end));
        let created = self.relate(&state, one, ends, on_conflict, |one| one);
        self.pauses.push(self.changes.len());
        Ok(Some(created))
    }

    /// Creates many relationships, as [`Draft::create_substrates`].
    ///
    /// # Errors
    /// `Later` where something is left.
    pub fn create_relationships<T>(
        &mut self,
        new: &mut std::iter::Peekable<std::vec::IntoIter<Result<PreparedRelationship>>>,
        on_conflict: OnConflict,
        keep: impl Fn(Relationship) -> T,
        results: &mut Vec<ItemResult<T>>,
    ) -> std::result::Result<(), Later> {
        let engine = self.engine;
        let mut state = engine.state.read();
        let mut step: Vec<Result<PreparedRelationship>> = Vec::with_capacity(STEP);
        self.relationships.reserve(new.len());
        self.changes.reserve(new.len());
        self.steps.reserve(new.len());
        loop {
            let mut is_stopped = false;
            while step.len() < STEP
                && let Some(one) = new.peek()
            {
                if one.as_ref().is_ok_and(|one| self.must_wait(one)) {
                    is_stopped = true;
                    break;
                }
                step.extend(new.next());
            }
            let good = step.iter().flatten().map(|one| (one.id, &one.new));
            let mut ends = state.ends_of_each(good).into_iter();
            let is_end = step.is_empty();
            for one in step.drain(..) {
                results.push(one.and_then(|one| {
                    let ends = [ends.next().flatten(), ends.next().flatten()];
                    self.relate(&state, one, ends, on_conflict, &keep)
                }));
                if results.len().is_multiple_of(PAUSE) {
                    self.pauses.push(self.changes.len());
                }
            }
            self.pauses.push(self.changes.len());
            if is_stopped {
                return Err(Later);
            }
            if is_end {
                return Ok(());
            }
            rest(&mut state);
        }
    }

    /// Creates all of many relationships or none.
    ///
    /// # Errors
    /// `Later`; then `new` is as it was. Within: `EngineError::Batch`.
    pub fn create_all_relationships<T>(
        &mut self,
        new: &mut Vec<PreparedRelationship>,
        on_conflict: OnConflict,
        keep: impl Fn(Relationship) -> T,
    ) -> std::result::Result<Result<Vec<Created<T>>>, Later> {
        let is_touched = |one: &PreparedRelationship| self.relationships.contains_key(&one.id.0);
        if new.iter().any(|one| self.must_wait(one) || is_touched(one)) {
            return Err(Later);
        }
        let engine = self.engine;
        let state = engine.state.read();
        let mark = self.changes.len();
        let mut created = Vec::with_capacity(new.len());
        for (at, one) in std::mem::take(new).into_iter().enumerate() {
            let ends = [one.new.source, one.new.target].map(|end| state.substrates.find(end));
            match self.relate(&state, one, ends, on_conflict, &keep) {
                Ok(one) => created.push(one),
                Err(error) => {
                    self.take_back(mark);
                    return Ok(Err(EngineError::Batch(at, Box::new(error))));
                }
            }
        }
        self.pauses.push(self.changes.len());
        Ok(Ok(created))
    }

    /// Deletes a relationship.
    ///
    /// # Errors
    /// `Later`.
    pub fn delete_relationship(&mut self, id: RelationshipId) -> std::result::Result<Result<()>, Later> {
        if self.relationships.contains_key(&id.0) {
            return Err(Later);
        }
        let engine = self.engine;
        let state = engine.state.read();
        let Some(slot) = state.find_relationship(id) else {
            return Ok(Err(EngineError::RelationshipNotFound(id)));
        };
        self.unrelate(&state, slot, id);
        self.pauses.push(self.changes.len());
        Ok(Ok(()))
    }

    /// Declares an index. `false`: it was there.
    ///
    /// # Errors
    /// `Later`.
    pub fn create_index(&mut self, metadata_key: &str) -> std::result::Result<Result<bool>, Later> {
        // One at a time, so that their number is known.
        if !self.indexes.is_empty() {
            return Err(Later);
        }
        let declared = decide::may_declare(&self.engine.state.read(), metadata_key);
        if let Ok(true) = declared {
            self.indexes.insert(metadata_key.to_owned());
            let record = IndexRecord { metadata_key: metadata_key.to_owned(), created_at: self.now };
            self.push(Change::IndexDeclared(record), Step::Plain);
            self.pauses.push(self.changes.len());
        }
        Ok(declared)
    }

    /// Drops an index. `false`: there was none.
    ///
    /// # Errors
    /// `Later`.
    pub fn drop_index(&mut self, metadata_key: &str) -> std::result::Result<bool, Later> {
        if !self.indexes.is_empty() {
            return Err(Later);
        }
        let engine = self.engine;
        let state = engine.state.read();
        let Some(index) = state.indexes.get(metadata_key) else { return Ok(false) };
        let record = IndexRecord { metadata_key: metadata_key.to_owned(), created_at: index.created_at };
        self.indexes.insert(metadata_key.to_owned());
        self.push(Change::IndexDropped(record), Step::Plain);
        self.pauses.push(self.changes.len());
        Ok(true)
    }

    /// Makes the changes visible, in order; readers get their turn in between.
    pub fn apply(self) {
        let Draft { engine, mut changes, steps, pauses, .. } = self;
        let mut pauses = pauses.into_iter().peekable();
        let mut steps = steps.into_iter();
        let mut done = 0;
        let declared: Vec<String> = changes
            .iter()
            .filter_map(|change| match change {
                Change::IndexDeclared(one) => Some(one.metadata_key.clone()),
                _ => None,
            })
            .collect();
        let mut left = changes.drain(..);
        let mut loaded = 0;
        while left.len() > 0 {
            // A few changes, up to where a pause is allowed.
            let mut end = done;
            while end < done + PAUSE
                && let Some(pause) = pauses.next()
            {
                end = pause;
            }
            let count = if end == done { left.len() } else { end - done };
            if loaded < done + count {
                // While others may read, too: what is loaded ahead need not be waited for under the lock.
                let ahead = count.max(STEP).min(left.len());
                touch(&engine.state.read(), &left.as_slice()[..ahead], &steps.as_slice()[..ahead]);
                loaded = done + ahead;
            }
            let mut state = engine.state.write();
            for (change, step) in left.by_ref().take(count).zip(steps.by_ref()) {
                apply(&mut state, change, step);
            }
            state.tidy_owed();
            RwLockWriteGuard::unlock_fair(state);
            done += count;
            // Not once all is done: those who wait for the answer would wait for a processor first.
            if left.len() > 0 {
                std::thread::yield_now();
            }
        }
        for metadata_key in declared {
            while !engine.state.write().fill_index(&metadata_key, FILL_STEP) {
                std::thread::yield_now();
            }
        }
    }

    fn push(&mut self, change: Change, step: Step) {
        self.changes.push(change);
        self.steps.push(step);
    }

    /// Takes back creations from a mark on.
    fn take_back(&mut self, mark: usize) {
        self.steps.truncate(mark);
        for change in self.changes.drain(mark..) {
            match change {
                Change::SubstrateCreated(one) => {
                    self.substrates.remove(&one.substrate.id.0);
                    self.substrates_made -= 1;
                }
                Change::RelationshipCreated(_) => self.relationships_made -= 1,
                _ => {}
            }
        }
        // What they ran between stays marked: that only puts commands off.
        self.relationships.retain(|_, made| made.is_none_or(|at| at < mark));
    }

    fn create<T>(
        &mut self,
        state: &State,
        new: PreparedSubstrate,
        on_conflict: OnConflict,
        keep: impl Fn(&Substrate) -> T,
    ) -> Result<Created<T>> {
        let made = match self.substrates.get(&new.id.0) {
            Some(Touched::Made(at)) => self.changes.get(*at),
            _ => None,
        };
        if let Some(Change::SubstrateCreated(SubstrateRecord { substrate: there, .. })) = made {
            let is_same = (there.expression_type, &there.expression_code) == (new.kind, &new.code);
            let found = if is_same { Found::Same } else { Found::Other };
            decide::may_create(&found, new.id, on_conflict)?;
            return Ok(Created { item: keep(there), is_new: false });
        }
        let (found, slot) = decide::find_substrate(state, &new);
        let is_new = decide::may_create(&found, new.id, on_conflict)?;
        if let (false, Some(slot)) = (is_new, slot) {
            return Ok(Created { item: keep(&state.substrate(slot)), is_new });
        }
        state.substrates.check_room(self.substrates_made + 1)?;
        let sequence = state.substrates.ages.next_sequence() + self.substrates_made as u64;
        self.substrates_made += 1;
        self.substrates.insert(new.id.0, Touched::Made(self.changes.len()));
        let (substrate, checked) = new.created(self.now);
        let item = keep(&substrate);
        self.push(Change::SubstrateCreated(SubstrateRecord { sequence, substrate }), Step::Create(checked));
        Ok(Created { item, is_new })
    }

    fn note_ends(&mut self, ends: [SubstrateId; 2]) {
        if !self.has_many_ends {
            self.ends.extend(ends.map(|end| end.0));
            self.has_many_ends = self.ends.len() > ENDS_MAX;
        }
    }

    fn unrelate(&mut self, state: &State, slot: u32, id: RelationshipId) {
        self.relationships.insert(id.0, None);
        let edge = state.relationships.edge(slot);
        self.note_ends([edge.source, edge.target].map(|end| state.substrates.id(end)));
        self.push(Change::RelationshipDeleted(relationship_record(state, slot)), Step::Plain);
    }

    fn replace(&mut self, before: SubstrateRecord, patched: Patched, step: Step) -> Created<Substrate> {
        let Patched { kind, code, metadata, .. } = patched;
        let old = &before.substrate;
        let item = Substrate {
            id: old.id,
            created_at: old.created_at,
            updated_at: self.now,
            version: old.version.saturating_add(1),
            expression_type: kind,
            expression_code: code,
            metadata,
        };
        self.substrates.insert(item.id.0, Touched::Changed);
        let after = SubstrateRecord { sequence: before.sequence, substrate: item.clone() };
        self.push(Change::SubstrateReplaced { before, after }, step);
        Created { item, is_new: false }
    }

    /// Whether a relationship meets a deletion of this draft.
    fn must_wait(&self, new: &PreparedRelationship) -> bool {
        let is_deleted = |end: SubstrateId| {
            !self.substrates.is_empty() && matches!(self.substrates.get(&end.0), Some(Touched::Deleted))
        };
        is_deleted(new.new.source)
            || is_deleted(new.new.target)
            || matches!(self.relationships.get(&new.id.0), Some(None))
    }

    fn relate<T>(
        &mut self,
        state: &State,
        new: PreparedRelationship,
        slots: [Option<u32>; 2],
        on_conflict: OnConflict,
        keep: impl Fn(Relationship) -> T,
    ) -> Result<Created<T>> {
        let of = |end: SubstrateId, slot: Option<u32>| match (slot, self.substrates.get(&end.0)) {
            (Some(slot), _) => Ok(state.substrates.ages.sequence(slot)),
            (None, Some(Touched::Made(at))) => match self.changes.get(*at) {
                Some(Change::SubstrateCreated(one)) => Ok(one.sequence),
                _ => Err(EngineError::SubstrateNotFound(end)),
            },
            _ => Err(EngineError::SubstrateNotFound(end)),
        };
        let (source, target) = (of(new.new.source, slots[0])?, of(new.new.target, slots[1])?);
        if let Some(Some(at)) = self.relationships.get(&new.id.0)
            && let Some(Change::RelationshipCreated(made)) = self.changes.get(*at)
        {
            let is_same = (made.rel_type, made.source, made.target) == (new.new.rel_type, source, target);
            let found = if is_same { Found::Same } else { Found::Other };
            decide::may_relate(&found, new.id, on_conflict)?;
            let item = Relationship {
                id: new.id,
                rel_type: made.rel_type,
                source: new.new.source,
                target: new.new.target,
                bidirectional: made.bidirectional,
                constraints: made.constraints.clone(),
                lineage: made.lineage.clone(),
                created_at: made.created_at,
            };
            return Ok(Created { item: keep(item), is_new: false });
        }
        let (found, slot) = decide::find_relationship(state, &new);
        let is_new = decide::may_relate(&found, new.id, on_conflict)?;
        if let (false, Some(slot)) = (is_new, slot) {
            return Ok(Created { item: keep(state.relationship(slot)), is_new });
        }
        state.relationships.check_room(self.relationships_made + 1)?;
        let sequence = state.relationships.ages.next_sequence() + self.relationships_made as u64;
        self.relationships_made += 1;
        self.relationships.insert(new.id.0, Some(self.changes.len()));
        self.note_ends([new.new.source, new.new.target]);
        let mut new = new;
        let binding = new.binding.take();
        let id = new.id;
        let item = new.created(self.now);
        let record = RelationshipRecord {
            sequence,
            rel_type: item.rel_type,
            bidirectional: item.bidirectional,
            source,
            target,
            constraints: item.constraints.clone(),
            lineage: item.lineage.clone(),
            created_at: self.now,
        };
        self.push(Change::RelationshipCreated(record), Step::Relate(id, binding));
        Ok(Created { item: keep(item), is_new })
    }
}

/// Lets others have the lock, and short requests this processor, in the middle of planning a batch.
fn rest(state: &mut RwLockReadGuard<'_, State>) {
    RwLockReadGuard::bump(state);
    std::thread::yield_now();
}

/// A stored substrate as a record.
pub(crate) fn substrate_record(state: &State, slot: u32) -> SubstrateRecord {
    SubstrateRecord { sequence: state.substrates.ages.sequence(slot), substrate: state.substrate(slot) }
}

/// A stored relationship as a record.
pub(crate) fn relationship_record(state: &State, slot: u32) -> RelationshipRecord {
    let edge = state.relationships.edge(slot);
    let (constraints, lineage) = state.relationship_documents(slot);
    RelationshipRecord {
        sequence: state.relationships.ages.sequence(slot),
        rel_type: edge.kind.rel_type(),
        bidirectional: edge.kind.is_bidirectional(),
        source: state.substrates.ages.sequence(edge.source),
        target: state.substrates.ages.sequence(edge.target),
        constraints,
        lineage,
        created_at: Timestamp(state.relationships.ages.created_at(slot)),
    }
}

/// Loads what creations among the changes will read.
fn touch(state: &State, changes: &[Change], steps: &[Step]) {
    state.substrates.touch(changes.iter().filter_map(|change| match change {
        Change::SubstrateCreated(one) => Some(one.substrate.id),
        _ => None,
    }));
    state.relationships.touch(steps.iter().filter_map(|step| match step {
        Step::Relate(id, _) => Some(*id),
        _ => None,
    }));
    let related = || {
        changes.iter().filter_map(|change| match change {
            Change::RelationshipCreated(one) => Some(one),
            _ => None,
        })
    };
    let slot = |sequence| state.substrates.ages.slot_of(sequence);
    state.touch_lists(related().map(|one| slot(one.source)), false);
    state.touch_lists(related().map(|one| slot(one.target)), true);
}

fn apply(state: &mut State, change: Change, step: Step) {
    match (change, step) {
        (Change::SubstrateCreated(one), Step::Create(checked)) => {
            debug_assert_eq!(one.sequence, state.substrates.ages.next_sequence());
            let created_at = one.substrate.created_at;
            state.push_substrate(created_at, record(&one, &checked));
        }
        (Change::SubstrateReplaced { after, .. }, step) => {
            let slot = state.substrates.ages.slot_of(after.sequence);
            let now = after.substrate.updated_at;
            match step {
                Step::Replace(checked) => state.replace_substrate(slot, now, record(&after, &checked)),
                Step::ReplaceMetadata => state.replace_metadata(slot, now, &after.substrate.metadata),
                _ => state.substrates.touch_time(slot, now),
            }
        }
        (Change::SubstrateDeleted(one), _) => {
            let slot = state.substrates.ages.slot_of(one.sequence);
            state.remove_substrate(slot);
        }
        (Change::RelationshipCreated(one), Step::Relate(id, binding)) => {
            debug_assert_eq!(one.sequence, state.relationships.ages.next_sequence());
            let edge = edge_of(state, &one);
            let RelationshipRecord { created_at, constraints, lineage, .. } = &one;
            let created_at = *created_at;
            state.push_relationship(id, NewEdge { edge, created_at, constraints, lineage, binding });
        }
        (Change::RelationshipDeleted(one), _) => {
            let slot = state.relationships.ages.slot_of(one.sequence);
            state.remove_relationship(slot);
        }
        (Change::IndexDeclared(one), _) => state.declare_index(&one.metadata_key, one.created_at),
        (Change::IndexDropped(one), _) => drop(state.indexes.remove(&one.metadata_key)),
        // A draft pairs each change with its step.
        (change, step) => debug_assert!(false, "{change:?} with {step:?}"),
    }
}

/// The ends of a record as slots.
pub(crate) fn edge_of(state: &State, one: &RelationshipRecord) -> Edge {
    let slot = |sequence| state.substrates.ages.slot_of(sequence);
    let kind = Kind::new(one.rel_type, one.bidirectional);
    Edge { kind, source: slot(one.source), target: slot(one.target) }
}

/// What is stored of a record.
pub(crate) fn record<'a>(one: &'a SubstrateRecord, checked: &'a Checked) -> NewRecord<'a> {
    let Substrate { id, expression_type: kind, expression_code: code, metadata, .. } = &one.substrate;
    NewRecord { id: *id, kind: *kind, code, checked, metadata }
}
