//! The whole state, packed: what changes it and keeps its parts consistent with each other.
//!
//! Nothing here takes locks, evaluates or knows pages. Bytes for each thing are counted in
//! `docs/decisions/0004-engine-state.md`.

pub(crate) mod adjacency;
pub(crate) mod arena;
pub(crate) mod column;
mod constants;
pub(crate) mod encoding;
mod identities;
pub(crate) mod index;
pub(crate) mod key;
pub(crate) mod metadata;
pub(crate) mod relationships;
mod sequences;
pub(crate) mod substrates;
mod templates;

use crate::error::EngineError;
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::{Direction, NewRelationship, Relationship, Substrate, Timestamp};
use adjacency::{Adjacency, List};
use butterflyfx_formula::document::Document;
use index::Index;
use key::Key;
use metadata::Keys;
use relationships::{Binding, Edge, Kind, NewEdge, Relationships};
use std::collections::BTreeMap;
use substrates::{Prepared, Substrates};

/// Slots of substrates: 28 bits, and `2^28 - 1` is one too many.
pub(crate) const SUBSTRATES_MAX: u32 = (1 << 28) - 1;

/// Slots of relationships; `u32::MAX` marks none.
pub(crate) const RELATIONSHIPS_MAX: u32 = u32::MAX - 1;

/// Fewer dead slots are not worth a compaction.
pub(crate) const COMPACTION_SLOTS_MIN: u32 = if cfg!(test) { 8 } else { 1024 };

/// Relationships that one step of a cascade deletes.
const CASCADE_STEP: usize = if cfg!(test) { 5 } else { 2000 };

/// Substrates, relationships, indexes.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) substrates: Substrates,
    pub(crate) relationships: Relationships,
    pub(crate) indexes: BTreeMap<String, Index>,
    pub(crate) keys: Keys,
    /// Grows with each compaction: slots mean something else from then on.
    pub(crate) epoch: u64,
}

impl State {
    pub(crate) fn new() -> State {
        State {
            substrates: Substrates::new(),
            relationships: Relationships::default(),
            indexes: BTreeMap::new(),
            keys: Keys::default(),
            epoch: 0,
        }
    }

    pub(crate) fn substrate(&self, slot: u32) -> Substrate {
        self.substrates.substrate(slot, &self.keys)
    }

    #[inline]
    pub(crate) fn relationship(&self, slot: u32) -> Relationship {
        self.relationships.relationship(slot, &self.keys, |slot| self.substrates.id(slot))
    }

    /// The list of relationships at a substrate.
    #[inline]
    pub(crate) fn list(&self, slot: u32, incoming: bool) -> List {
        let node = self.substrates.nodes.get(slot);
        if incoming { node.incoming } else { node.outgoing }
    }

    /// Its entries, oldest first; those of a hub may be dead.
    #[inline]
    pub(crate) fn entries(&self, slot: u32, incoming: bool) -> &[u32] {
        self.relationships.adjacency.entries(self.list(slot, incoming))
    }

    /// How many relationships run out of or into a substrate.
    #[inline]
    pub(crate) fn degree(&self, slot: u32, incoming: bool) -> u32 {
        self.relationships.adjacency.count(self.list(slot, incoming))
    }

    /// How many relationships a substrate has, each once.
    pub(crate) fn relationship_count(&self, slot: u32) -> u64 {
        let both = u64::from(self.degree(slot, false)) + u64::from(self.degree(slot, true));
        // What stands in both lists: bidirectional ones and self-relationships.
        let incoming_is_shorter = self.degree(slot, true) < self.degree(slot, false);
        let twice = self.entries(slot, incoming_is_shorter).iter().filter(|&&one| {
            let edge = self.relationships.edge(one);
            edge.kind.is_alive() && (edge.kind.is_bidirectional() || edge.source == edge.target)
        });
        both - twice.count() as u64
    }

    /// The other end of a relationship at a substrate.
    #[inline]
    pub(crate) fn other_end(&self, relationship: u32, slot: u32) -> u32 {
        let edge = self.relationships.edge(relationship);
        if edge.source == slot { edge.target } else { edge.source }
    }

    /// Stores a substrate whose identity is free; there is room.
    pub(crate) fn push_substrate(&mut self, now: Timestamp, new: &Prepared) -> u32 {
        let slot = self.substrates.push(now, new, &mut self.keys);
        self.index(slot);
        slot
    }

    /// Replaces formula and metadata of a substrate.
    pub(crate) fn replace_substrate(&mut self, slot: u32, now: Timestamp, new: &Prepared) {
        self.unindex(slot);
        self.substrates.replace(slot, now, new, &mut self.keys);
        self.index(slot);
    }

    /// Replaces the metadata of a substrate.
    pub(crate) fn replace_metadata(&mut self, slot: u32, now: Timestamp, metadata: &Document) {
        self.unindex(slot);
        self.substrates.replace_metadata(slot, now, metadata, &mut self.keys);
        self.index(slot);
    }

    /// Deletes some of a substrate's relationships, newest first; `true` when none is left.
    pub(crate) fn cascade(&mut self, slot: u32) -> bool {
        let mut left = CASCADE_STEP;
        for incoming in [false, true] {
            let doomed: Vec<u32> = self.entries(slot, incoming).iter().rev().copied().take(left).collect();
            for one in doomed {
                left -= 1;
                if self.relationships.kind(one).is_alive() {
                    self.remove_relationship(one);
                }
            }
            self.relationships.trim(self.list(slot, incoming));
        }
        self.degree(slot, false) == 0 && self.degree(slot, true) == 0
    }

    /// Deletes a substrate without relationships.
    pub(crate) fn remove_substrate(&mut self, slot: u32) {
        self.unindex(slot);
        for incoming in [false, true] {
            self.change_list(slot, incoming, |adjacency, list| adjacency.clear(list));
        }
        self.substrates.remove(slot);
        self.compact_if_worth_it();
    }

    /// Stores a relationship that is not there; there is room.
    pub(crate) fn push_relationship(
        &mut self,
        now: Timestamp,
        id: RelationshipId,
        new: &NewRelationship,
        binding: Option<Binding>,
        ends: (u32, u32),
    ) -> u32 {
        let (source, target) = ends;
        let binds = binding.is_some();
        let kind = Kind::new(new.rel_type, new.bidirectional);
        let edge = Edge { kind, id: id.0, created_at: now.0, source, target };
        let parts = NewEdge { constraints: &new.constraints, lineage: &new.lineage, binding };
        let slot = self.relationships.push(edge, &parts, &mut self.keys);
        for (end, incoming) in listed_at(edge) {
            self.change_list(end, incoming, |adjacency, list| adjacency.push(list, slot));
        }
        if binds {
            self.substrates.set_bound(source, true);
        }
        slot
    }

    /// Deletes a relationship.
    pub(crate) fn remove_relationship(&mut self, slot: u32) {
        let edge = self.relationships.edge(slot);
        self.relationships.remove(slot);
        for (end, incoming) in listed_at(edge) {
            let mut list = self.list(end, incoming);
            self.relationships.unlist(&mut list, slot);
            self.set_list(end, incoming, list);
        }
        if self.substrates.is_bound(edge.source) && self.relationships.bindings_of(edge.source).is_empty() {
            self.substrates.set_bound(edge.source, false);
        }
    }

    /// Renumbers slots when over half of them are dead. The order of creation stays. This is the
    /// one pause that grows with the state: up to a second for a million substrates with five
    /// million relationships, once in as many deletes.
    pub(crate) fn compact_if_worth_it(&mut self) {
        if self.relationships.wants_compaction() {
            let total = self.relationships.slots();
            let after = numbers_after(total, |slot| self.relationships.kind(slot).is_alive());
            let old = std::mem::take(&mut self.relationships.adjacency);
            let mut entries = Vec::new();
            for slot in 0..self.substrates.slots() {
                for incoming in [false, true] {
                    entries.clear();
                    let all = old.entries(self.list(slot, incoming)).iter();
                    entries.extend(all.map(|&one| after[one as usize]).filter(|&one| one != u32::MAX));
                    let mut list = List::default();
                    self.relationships.adjacency.store(&mut list, &entries);
                    self.set_list(slot, incoming, list);
                }
            }
            self.relationships.compact(&after);
            self.epoch += 1;
        }
        if self.substrates.wants_compaction() {
            let total = self.substrates.slots();
            let after = numbers_after(total, |slot| self.substrates.is_alive(slot));
            for index in self.indexes.values_mut() {
                index.renumber(|slot| after[slot as usize]);
                if !index.ready {
                    index.filled =
                        after[..index.filled as usize].iter().filter(|&&slot| slot != u32::MAX).count()
                            as u32;
                }
            }
            self.relationships.renumber_ends(&after);
            self.substrates.compact(&after);
            self.epoch += 1;
        }
    }

    /// Puts more substrates into an index that is being filled; `true` when it is complete.
    pub(crate) fn fill_index(&mut self, metadata_key: &str, slots: u32) -> bool {
        let Some(index) = self.indexes.get_mut(metadata_key) else { return true };
        let end = index.filled.saturating_add(slots).min(self.substrates.slots());
        for slot in index.filled..end {
            if self.substrates.is_alive(slot)
                && let Some(value) = metadata::find(self.substrates.metadata(slot), metadata_key, &self.keys)
            {
                index.insert(Key::of_encoded(value, &self.keys), slot);
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
                && let Some(value) = metadata::find(self.substrates.metadata(slot), metadata_key, &self.keys)
            {
                change(index, Key::of_encoded(value, &self.keys));
            }
        }
    }

    fn set_list(&mut self, slot: u32, incoming: bool, list: List) {
        let node = self.substrates.nodes.get_mut(slot);
        if incoming {
            node.incoming = list;
        } else {
            node.outgoing = list;
        }
    }

    fn change_list(&mut self, slot: u32, incoming: bool, change: impl FnOnce(&mut Adjacency, &mut List)) {
        let node = self.substrates.nodes.get_mut(slot);
        let list = if incoming { &mut node.incoming } else { &mut node.outgoing };
        change(&mut self.relationships.adjacency, list);
    }
}

/// The lists that a relationship stands in: whose, and whether the incoming one.
fn listed_at(edge: Edge) -> impl Iterator<Item = (u32, bool)> {
    let mirrored = edge.kind.is_bidirectional() && edge.source != edge.target;
    let own = [(edge.source, false), (edge.target, true)];
    own.into_iter().chain([(edge.target, false), (edge.source, true)].into_iter().filter(move |_| mirrored))
}

/// New numbers of the slots that stay, in order; `u32::MAX` for the others.
fn numbers_after(total: u32, is_alive: impl Fn(u32) -> bool) -> Vec<u32> {
    let mut next = 0;
    (0..total)
        .map(|slot| {
            if !is_alive(slot) {
                return u32::MAX;
            }
            next += 1;
            next - 1
        })
        .collect()
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
