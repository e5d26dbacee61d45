//! The whole state, packed: what changes it and keeps its parts consistent with each other.
//!
//! Nothing here takes locks, evaluates or knows pages. Bytes for each thing are counted in
//! `docs/decisions/0008-dense-state.md`.

pub(crate) mod adjacency;
mod ages;
mod arena;
mod bits;
mod blocks;
mod column;
mod constants;
mod counted;
pub(crate) mod edges;
pub(crate) mod encoding;
mod hub;
mod identities;
pub(crate) mod index;
pub(crate) mod key;
mod large;
pub(crate) mod metadata;
mod numbers;
pub(crate) mod relationships;
mod sparse;
pub(crate) mod substrates;
pub(crate) mod tidy;
pub(crate) mod vocabulary;

use crate::error::EngineError;
use crate::identity::lanes::identify;
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::{Direction, NewRelationship, Relationship, Substrate, Timestamp};
use adjacency::{Adjacency, Chunk, List, each_list_of};
use butterflyfx_formula::document::Document;
use index::Index;
use key::Key;
use large::LargeCopy;
use relationships::{Binding, NewEdge, Relationships};
use std::collections::BTreeMap;
use std::ops::Range;
use std::panic::resume_unwind;
use std::sync::atomic::AtomicU32;
use std::thread;
use substrates::{NewRecord, Substrates};
use tidy::Tidying;
use vocabulary::Vocabulary;

/// Bits of a substrate's slot, and of a relationship's.
const SUBSTRATE_BITS: u32 = 28;
const RELATIONSHIP_BITS: u32 = 30;

/// Slots of substrates; the highest marks none.
pub(crate) const SUBSTRATES_MAX: u32 = (1 << SUBSTRATE_BITS) - 1;

/// Slots of relationships; the highest marks none.
pub(crate) const RELATIONSHIPS_MAX: u32 = (1 << RELATIONSHIP_BITS) - 1;

/// Fewer things are not worth a second thread.
const RUN_MIN: u32 = if cfg!(test) { 4 } else { 1 << 12 };

/// Relationships that one step of a cascade deletes, which takes about a millisecond.
const CASCADE_STEP: usize = if cfg!(test) { 5 } else { 500 };

/// Substrates, relationships, indexes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) substrates: Substrates,
    pub(crate) relationships: Relationships,
    adjacency: Adjacency,
    pub(crate) indexes: BTreeMap<String, Index>,
    pub(crate) vocabulary: Vocabulary,
    tidying: Tidying,
    is_restoring: bool,
    /// Grows whenever slots are renumbered: they mean something else from then on.
    pub(crate) epoch: u64,
    /// Long reads that have let the lock go and keep slots meanwhile.
    pub(crate) suspended_reads: AtomicU32,
}

impl State {
    pub(crate) fn new() -> State {
        State {
            substrates: Substrates::new(),
            relationships: Relationships::new(),
            adjacency: Adjacency::default(),
            indexes: BTreeMap::new(),
            vocabulary: Vocabulary::default(),
            tidying: Tidying::default(),
            is_restoring: false,
            epoch: 0,
            suspended_reads: AtomicU32::new(0),
        }
    }

    pub(crate) fn substrate(&self, slot: u32) -> Substrate {
        self.substrates.substrate(slot, &self.vocabulary)
    }

    pub(crate) fn relationship(&self, slot: u32) -> Relationship {
        let mut relationship = self.nameless_relationship(slot);
        identify(std::slice::from_mut(&mut relationship));
        relationship
    }

    /// The relationship without its identity, which [`identify`] gives to many together.
    pub(crate) fn nameless_relationship(&self, slot: u32) -> Relationship {
        self.relationships.nameless(slot, &self.vocabulary, |slot| self.substrates.id(slot))
    }

    pub(crate) fn relationship_id(&self, slot: u32) -> RelationshipId {
        self.relationships.id(slot, |slot| self.substrates.id(slot))
    }

    pub(crate) fn find_relationship(&self, id: RelationshipId) -> Option<u32> {
        self.relationships.find(id, |slot| self.substrates.id(slot))
    }

    /// Hands each relationship at a substrate to `visit`, oldest first.
    #[inline]
    pub(crate) fn each_relationship(&self, slot: u32, incoming: bool, visit: impl FnMut(u32)) {
        self.adjacency.each(List::of(slot, incoming), visit);
    }

    /// Loads the outgoing or incoming lists of many substrates.
    pub(crate) fn touch_lists(&self, slots: impl Iterator<Item = u32>, incoming: bool) {
        self.adjacency.touch(slots.map(|slot| List::of(slot, incoming)));
    }

    /// Some of the relationships at a substrate, from slot `first` on, oldest first; empty at the end.
    pub(crate) fn chunk(&self, slot: u32, incoming: bool, first: u32) -> Chunk {
        self.adjacency.chunk(List::of(slot, incoming), first)
    }

    /// The newest relationships in one of a substrate's lists, newest first, at most `most`.
    pub(crate) fn newest_relationships(&self, slot: u32, incoming: bool, most: usize) -> Vec<u32> {
        self.adjacency.newest(List::of(slot, incoming), most)
    }

    /// Whether a relationship at a substrate stands in its outgoing list.
    pub(crate) fn is_listed_outgoing(&self, slot: u32, relationship: u32) -> bool {
        let edge = self.relationships.edge(relationship);
        edge.source == slot || edge.kind.is_bidirectional()
    }

    /// Constraints and lineage.
    pub(crate) fn relationship_documents(&self, slot: u32) -> (Document, Document) {
        self.relationships.documents(slot, &self.vocabulary)
    }

    /// How many relationships run out of or into a substrate.
    #[inline]
    pub(crate) fn degree(&self, slot: u32, incoming: bool) -> u32 {
        self.adjacency.count(List::of(slot, incoming))
    }

    /// How many relationships a substrate has, each once.
    pub(crate) fn relationship_count(&self, slot: u32) -> u64 {
        let (out, into) = (self.degree(slot, false), self.degree(slot, true));
        // What stands in both lists: bidirectional ones and self-relationships.
        let mut twice = 0;
        self.each_relationship(slot, into < out, |one| {
            let edge = self.relationships.edge(one);
            twice += u64::from(edge.kind.is_bidirectional() || edge.source == edge.target);
        });
        u64::from(out) + u64::from(into) - twice
    }

    /// The other end of a relationship at a substrate.
    #[inline]
    pub(crate) fn other_end(&self, relationship: u32, slot: u32) -> u32 {
        let edge = self.relationships.edge(relationship);
        if edge.source == slot { edge.target } else { edge.source }
    }

    /// Stores a substrate whose identity is free; there is room.
    pub(crate) fn push_substrate(&mut self, now: Timestamp, new: NewRecord<'_>) -> u32 {
        let slot = if self.is_restoring {
            self.substrates.push_nameless(now, new, &mut self.vocabulary)
        } else {
            self.substrates.push(now, new, &mut self.vocabulary)
        };
        self.index(slot);
        slot
    }

    /// Replaces formula and metadata of a substrate.
    pub(crate) fn replace_substrate(&mut self, slot: u32, now: Timestamp, new: NewRecord<'_>) {
        self.unindex(slot);
        self.substrates.replace(slot, now, new, &mut self.vocabulary);
        self.index(slot);
    }

    /// Replaces the metadata of a substrate.
    pub(crate) fn replace_metadata(&mut self, slot: u32, now: Timestamp, metadata: &Document) {
        self.unindex(slot);
        self.substrates.replace_metadata(slot, now, metadata, &mut self.vocabulary);
        self.index(slot);
    }

    /// Deletes some of a substrate's relationships, newest first; `true` when none is left.
    pub(crate) fn cascade(&mut self, slot: u32) -> bool {
        let mut left = CASCADE_STEP;
        for incoming in [false, true] {
            for one in self.adjacency.newest(List::of(slot, incoming), left) {
                left -= 1;
                // One that stands in both lists is gone from the second.
                if self.relationships.is_alive(one) {
                    self.remove_relationship(one);
                }
            }
        }
        self.degree(slot, false) == 0 && self.degree(slot, true) == 0
    }

    /// Deletes a substrate without relationships.
    pub(crate) fn remove_substrate(&mut self, slot: u32) {
        self.unindex(slot);
        self.substrates.remove(slot);
        self.owe();
    }

    /// The slots of both ends of each new relationship, in order, and all else loaded that creating
    /// them will read.
    pub(crate) fn ends_of_each<'a>(
        &self,
        new: impl Iterator<Item = (RelationshipId, &'a NewRelationship)> + Clone,
    ) -> Vec<Option<u32>> {
        let ends = self.substrates.find_each(new.clone().flat_map(|(_, new)| [new.source, new.target]));
        self.relationships.touch(new.map(|(id, _)| id));
        let lists = ends.iter().enumerate().filter_map(|(at, end)| Some(List::of((*end)?, at % 2 == 1)));
        self.adjacency.touch(lists);
        ends
    }

    /// Stores a relationship that is not there; there is room.
    pub(crate) fn push_relationship(&mut self, id: RelationshipId, new: NewEdge<'_>) -> u32 {
        let edge = new.edge;
        if new.binding.is_some() {
            self.substrates.set_bound(edge.source, true);
        }
        let slot = self.relationships.push(id, new, &mut self.vocabulary, |slot| self.substrates.id(slot));
        each_list_of(edge, |list| self.adjacency.push(list, slot));
        slot
    }

    /// Deletes a relationship.
    pub(crate) fn remove_relationship(&mut self, slot: u32) {
        let edge = self.relationships.edge(slot);
        self.relationships.remove(slot, |slot| self.substrates.id(slot));
        self.owe();
        each_list_of(edge, |list| self.adjacency.remove(list, slot));
        if edge.kind.is_binding() && self.relationships.bindings_of(edge.source).is_empty() {
            self.substrates.set_bound(edge.source, false);
        }
    }

    /// While it restores, what comes is neither found by identity nor listed: the tables are made at the end, in
    /// their order, for putting each record into its place misses the caches each time.
    pub(crate) fn begin_restoring(&mut self) {
        if self.is_restoring {
            *self = State::new();
        }
        self.is_restoring = self.substrates.slots() == 0 && self.relationships.slots() == 0;
    }

    pub(crate) fn is_restoring(&self) -> bool {
        self.is_restoring
    }

    /// Stores a relationship while restoring.
    pub(crate) fn restore_relationship(&mut self, new: NewEdge<'_>) {
        if new.binding.is_some() {
            self.substrates.set_bound(new.edge.source, true);
        }
        self.relationships.push_nameless(new, &mut self.vocabulary);
    }

    /// Makes the tables that were left out while restoring.
    ///
    /// # Errors
    /// `Records`: something is there twice.
    pub(crate) fn end_restoring(&mut self) -> Result<(), EngineError> {
        if !std::mem::take(&mut self.is_restoring) {
            return Ok(());
        }
        let twice = |what: String| EngineError::Records(format!("{what} is there twice"));
        self.substrates
            .build_identities()
            .map_err(|slot| twice(format!("substrate {}", self.substrates.id(slot))))?;
        let substrates = &self.substrates;
        let ids = LargeCopy::of((0..substrates.slots()).map(|slot| substrates.id(slot).0));
        match &ids {
            Some(ids) => self.relationships.build_identities(|slot| SubstrateId(ids.get(slot))),
            None => self.relationships.build_identities(|slot| substrates.id(slot)),
        }
        .map_err(|slot| twice(format!("relationship {}", self.relationship_id(slot))))?;
        self.adjacency.build(self.substrates.slots(), self.relationships.edges());
        Ok(())
    }

    /// Adds an empty index, to be filled.
    pub(crate) fn declare_index(&mut self, metadata_key: &str, now: Timestamp) {
        self.indexes.insert(metadata_key.to_owned(), Index::new(now));
    }

    /// Puts more substrates into an index that is being filled; `true` when it is complete.
    pub(crate) fn fill_index(&mut self, metadata_key: &str, slots: u32) -> bool {
        let Some(index) = self.indexes.get_mut(metadata_key) else { return true };
        let end = index.filled.saturating_add(slots).min(self.substrates.slots());
        for slot in index.filled..end {
            if self.substrates.is_alive(slot)
                && let Some(value) =
                    metadata::find(self.substrates.metadata(slot), metadata_key, &self.vocabulary)
            {
                index.insert(Key::of_encoded(value, &self.vocabulary), slot);
            }
        }
        index.filled = end;
        if end == self.substrates.slots() {
            index.filled = u32::MAX;
            index.ready = true;
        }
        index.ready
    }

    fn index(&mut self, slot: u32) {
        self.each_indexed(slot, |index, key| index.insert(key, slot));
    }

    fn unindex(&mut self, slot: u32) {
        self.each_indexed(slot, |index, key| index.remove(&key, slot));
    }

    fn each_indexed(&mut self, slot: u32, change: impl Fn(&mut Index, Key)) {
        for (metadata_key, index) in &mut self.indexes {
            if slot < index.filled
                && let Some(value) =
                    metadata::find(self.substrates.metadata(slot), metadata_key, &self.vocabulary)
            {
                change(index, Key::of_encoded(value, &self.vocabulary));
            }
        }
    }

    pub(crate) fn memory(&self) -> Vec<(&'static str, u64)> {
        let mut memory = self.substrates.memory().to_vec();
        memory.extend(self.relationships.memory());
        memory.push(("adjacency", self.adjacency.allocated_bytes()));
        memory.push(("vocabulary", self.vocabulary.allocated_bytes()));
        memory.push(("indexes", self.indexes.values().map(|index| index.allocated_bytes()).sum()));
        memory
    }
}

/// Does something with each of a few runs of numbers, one for each processor, that together are all below `end`.
fn in_runs<T: Send>(end: u32, work: impl Fn(Range<u32>) -> T + Sync) -> Vec<T> {
    let threads = if end < RUN_MIN { 1 } else { thread::available_parallelism().map_or(1, usize::from) };
    let (share, work) = (end.div_ceil(threads as u32).max(1), &work);
    thread::scope(|scope| {
        let threads: Vec<_> = (0..end)
            .step_by(share as usize)
            .map(|first| scope.spawn(move || work(first..first.saturating_add(share).min(end))))
            .collect();
        threads.into_iter().map(|one| one.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    })
}

/// What relationship constraints bind, where they do.
///
/// # Errors
/// A `parameter` that is no name or list of names, a `collect` that is no bool.
pub(crate) fn binding_of(constraints: &Document) -> Result<Option<Binding>, EngineError> {
    let refuse = |sentence: &str| Err(EngineError::InvalidConstraints(sentence.to_owned()));
    if !matches!(constraints, Document::Map(_)) {
        return refuse("constraints must be an object");
    }
    let collect = match constraints.get("collect") {
        None => false,
        Some(Document::Bool(collect)) => *collect,
        Some(_) => return refuse("constraints.collect must be true or false"),
    };
    let names = match constraints.get("parameter") {
        None => return Ok(None),
        Some(Document::Text(name)) if is_identifier(name) => {
            smallvec::smallvec![std::sync::Arc::from(&**name)]
        }
        Some(Document::List(items)) if !items.is_empty() => {
            let mut names = smallvec::SmallVec::new();
            for item in items {
                match item {
                    Document::Text(name) if is_identifier(name) => {
                        if !names.iter().any(|one: &std::sync::Arc<str>| **one == **name) {
                            names.push(std::sync::Arc::from(&**name));
                        }
                    }
                    _ => return refuse("each name in constraints.parameter must be a Python identifier"),
                }
                if names.len() > PARAMETERS_MAX {
                    return refuse("constraints.parameter may hold at most 200 names");
                }
            }
            names
        }
        Some(Document::Text(_)) => return refuse("constraints.parameter must be a Python identifier"),
        Some(_) => {
            return refuse("constraints.parameter must be a parameter's name or a list of at least one name");
        }
    };
    Ok(Some(Binding { names, collect }))
}

/// As many names as a formula may have.
const PARAMETERS_MAX: usize = 200;

/// The shape of a Python identifier: letters, digits, underscores, no digit first. Which letters
/// exactly is the formula language's business: a name that no formula has is simply not read.
fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(|first| first == '_' || first.is_alphabetic())
        && chars.all(|one| one == '_' || one.is_alphanumeric())
}

/// The identity and revision checks that writers share.
pub(crate) fn is_met(
    state: &State,
    slot: Option<u32>,
    id: SubstrateId,
    precondition: &crate::model::Precondition,
) -> Result<(), EngineError> {
    use crate::model::Precondition;
    let met = match (precondition, slot) {
        (Precondition::None, _) => true,
        (Precondition::Absent, slot) => slot.is_none(),
        (_, None) => false,
        (Precondition::Exists, Some(_)) => true,
        (Precondition::OneOf(revisions), Some(slot)) => revisions.contains(&state.substrates.revision(slot)),
    };
    if met { Ok(()) } else { Err(EngineError::PreconditionFailed(id)) }
}

/// The lists that a direction reads: outgoing, incoming or both.
pub(crate) fn sides(direction: Direction) -> &'static [bool] {
    match direction {
        Direction::Outgoing => &[false],
        Direction::Incoming => &[true],
        Direction::Both => &[false, true],
    }
}
