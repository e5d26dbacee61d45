//! Relationships in dense slots, in the order of creation.
//!
//! A relationship is its edge (both ends and the kind), its age, an entry in the table of identities
//! and one in a list at either end. Its identity is not stored but hashed again from its ends, which
//! costs some 80 ns where it is answered. Documents and bindings cost only those that have them.

use crate::error::EngineError;
use crate::identity::lanes::of_each;
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::{Relationship, Timestamp};
use crate::state::ages::Ages;
use crate::state::arena::{Arena, Blob};
use crate::state::edges::{Edge, Edges};
use crate::state::encoding::Reader;
use crate::state::identities::Identities;
use crate::state::metadata;
use crate::state::sparse::Sparse;
use crate::state::vocabulary::Vocabulary;
use crate::state::{RELATIONSHIP_BITS, RELATIONSHIPS_MAX};
use butterflyfx_formula::document::Document;
use foldhash::fast::RandomState;
use hashbrown::HashSet;
use smallvec::SmallVec;
use std::sync::Arc;

/// Fewer names of bindings are not worth giving back.
const NAMES_SMALL: usize = 64;

/// Which parameters of its source a relationship binds to its target's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binding {
    pub(crate) names: SmallVec<[Arc<str>; 1]>,
    /// A list even if it is the only one.
    pub(crate) collect: bool,
}

/// All relationships, but for their lists.
#[derive(Debug)]
pub(crate) struct Relationships {
    edges: Edges,
    pub(crate) ages: Ages,
    identities: Identities,
    arena: Arena,
    /// Constraints and lineage where there are any, by slot.
    documents: Sparse<Blob>,
    /// By slot.
    bindings: Sparse<Binding>,
    /// Slots of the binding relationships of a source, oldest first, by the source's slot.
    bindings_of: Sparse<SmallVec<[u32; 2]>>,
    /// Names that bindings share.
    names: HashSet<Arc<str>, RandomState>,
    alive: u32,
    by_type: [u64; 15],
}

/// The identity of an edge, hashed from its ends.
#[inline]
fn identity(edge: Edge, id_of: impl Fn(u32) -> SubstrateId) -> RelationshipId {
    RelationshipId::of(edge.kind.rel_type(), id_of(edge.source), id_of(edge.target))
}

/// The identities of many edges.
fn identities(
    edges: &Edges,
    slots: impl Iterator<Item = u32>,
    id_of: impl Fn(u32) -> SubstrateId,
    into: &mut Vec<u64>,
) {
    // First the ends of all, whose reads miss the caches and so run side by side.
    let mut ends: SmallVec<[_; 128]> = SmallVec::new();
    ends.extend(
        slots
            .map(|slot| edges.get(slot))
            .map(|edge| (edge.kind.rel_type(), id_of(edge.source), id_of(edge.target))),
    );
    of_each(&ends, |id| into.push(id.0));
}

impl Relationships {
    pub(crate) fn new() -> Relationships {
        Relationships {
            edges: Edges::default(),
            ages: Ages::default(),
            identities: Identities::new(RELATIONSHIP_BITS),
            arena: Arena::default(),
            documents: Sparse::default(),
            bindings: Sparse::default(),
            bindings_of: Sparse::default(),
            names: HashSet::default(),
            alive: 0,
            by_type: [0; 15],
        }
    }

    /// Slots given out, dead ones included.
    #[inline]
    pub(crate) fn slots(&self) -> u32 {
        self.edges.len()
    }

    pub(crate) fn alive(&self) -> u32 {
        self.alive
    }

    pub(crate) fn by_type(&self) -> [u64; 15] {
        self.by_type
    }

    pub(crate) fn edges(&self) -> &Edges {
        &self.edges
    }

    /// An edge that is alive.
    #[inline]
    pub(crate) fn edge(&self, slot: u32) -> Edge {
        self.edges.get(slot)
    }

    #[inline]
    pub(crate) fn is_alive(&self, slot: u32) -> bool {
        self.edges.is_alive(slot)
    }

    #[inline]
    pub(crate) fn id(&self, slot: u32, id_of: impl Fn(u32) -> SubstrateId) -> RelationshipId {
        identity(self.edges.get(slot), id_of)
    }

    pub(crate) fn find(&self, id: RelationshipId, id_of: impl Fn(u32) -> SubstrateId) -> Option<u32> {
        self.identities.find(id.0, |slot| identity(self.edges.get(slot), &id_of).0)
    }

    /// See [`Identities::touch`].
    pub(crate) fn touch(&self, ids: impl Iterator<Item = RelationshipId>) {
        self.identities.touch(ids.map(|id| id.0));
    }

    /// The binding relationships of a source, oldest first.
    pub(crate) fn bindings_of(&self, source: u32) -> &[u32] {
        self.bindings_of.get(source).map_or(&[], |slots| slots)
    }

    pub(crate) fn binding(&self, slot: u32) -> Option<&Binding> {
        self.bindings.get(slot)
    }

    /// The relationship, its ends' identities given by `id_of`, but without its own.
    pub(crate) fn nameless(
        &self,
        slot: u32,
        vocabulary: &Vocabulary,
        id_of: impl Fn(u32) -> SubstrateId,
    ) -> Relationship {
        let edge = self.edge(slot);
        // Put together in one place: most have no documents.
        let mut relationship = Relationship {
            id: RelationshipId(0),
            rel_type: edge.kind.rel_type(),
            source: id_of(edge.source),
            target: id_of(edge.target),
            bidirectional: edge.kind.is_bidirectional(),
            constraints: Document::Map(Vec::new()),
            lineage: Document::Null,
            created_at: Timestamp(self.ages.created_at(slot)),
        };
        if edge.kind.is_documented() {
            (relationship.constraints, relationship.lineage) = self.documents(slot, vocabulary);
        }
        relationship
    }

    /// Bytes of what is stored for a living relationship besides its edge.
    #[inline]
    pub(crate) fn stored_bytes(&self, slot: u32) -> usize {
        if !self.edge(slot).kind.is_documented() {
            return 0;
        }
        self.documents.get(slot).map_or(0, |&blob| self.arena.get(blob).len())
    }

    /// Constraints and lineage.
    #[cold]
    pub(crate) fn documents(&self, slot: u32, vocabulary: &Vocabulary) -> (Document, Document) {
        let Some(&blob) = self.documents.get(slot) else {
            return (Document::Map(Vec::new()), Document::Null);
        };
        let mut reader = Reader::new(self.arena.get(blob));
        let constraints = metadata::decode_next(&mut reader, vocabulary);
        (constraints, metadata::decode_next(&mut reader, vocabulary))
    }

    /// Room for `more` relationships, or a refusal.
    pub(crate) fn check_room(&self, more: usize) -> Result<(), EngineError> {
        if more > (RELATIONSHIPS_MAX - self.slots()) as usize {
            return Err(EngineError::Full(format!(
                "the engine holds at most {RELATIONSHIPS_MAX} relationships"
            )));
        }
        Ok(())
    }

    /// Stores a new relationship in the next slot, without listing it at its ends.
    pub(crate) fn push(
        &mut self,
        id: RelationshipId,
        new: NewEdge<'_>,
        vocabulary: &mut Vocabulary,
        id_of: impl Fn(u32) -> SubstrateId,
    ) -> u32 {
        let slot = self.push_nameless(new, vocabulary);
        let edges = &self.edges;
        self.identities.insert(id.0, slot, |slots, into| {
            identities(edges, slots.iter().copied(), &id_of, into);
        });
        slot
    }

    /// As [`Relationships::push`], but it is not found by its identity until
    /// [`Relationships::build_identities`].
    pub(crate) fn push_nameless(&mut self, new: NewEdge<'_>, vocabulary: &mut Vocabulary) -> u32 {
        let NewEdge { mut edge, created_at, constraints, lineage, binding } = new;
        let slot = self.slots();
        let is_plain =
            matches!(constraints, Document::Map(members) if members.is_empty()) && *lineage == Document::Null;
        if !is_plain {
            edge.kind = edge.kind.documented();
            let mut bytes = Vec::new();
            metadata::encode(constraints, vocabulary, &mut bytes);
            metadata::encode(lineage, vocabulary, &mut bytes);
            self.documents.insert(slot, self.arena.put(slot, &[&bytes]));
        }
        if let Some(binding) = &binding {
            edge.kind = edge.kind.binding();
            let names = binding.names.iter().map(|name| self.share(name)).collect();
            self.bindings.insert(slot, Binding { names, collect: binding.collect });
            match self.bindings_of.get_mut(edge.source) {
                Some(slots) => slots.push(slot),
                None => self.bindings_of.insert(edge.source, SmallVec::from_slice(&[slot])),
            }
        }
        self.edges.push(edge);
        self.ages.push(created_at.0);
        self.alive += 1;
        self.by_type[edge.kind.rel_type() as usize] += 1;
        slot
    }

    /// Makes all relationships known by their identities, where none is yet and all are alive.
    ///
    /// # Errors
    /// The slot of one that is there twice.
    pub(crate) fn build_identities(&mut self, id_of: impl Fn(u32) -> SubstrateId + Sync) -> Result<(), u32> {
        let edges = &self.edges;
        self.identities.build(edges.len(), |slots, into| identities(edges, slots, &id_of, into))
    }

    /// Deletes a relationship, but for its entries in the lists of its ends.
    pub(crate) fn remove(&mut self, slot: u32, id_of: impl Fn(u32) -> SubstrateId) {
        let edge = self.edge(slot);
        let edges = &self.edges;
        self.identities.remove(identity(edge, &id_of).0, |slot| identity(edges.get(slot), &id_of).0);
        self.edges.kill(slot);
        self.alive -= 1;
        self.by_type[edge.kind.rel_type() as usize] -= 1;
        if edge.kind.is_documented()
            && let Some(blob) = self.documents.remove(slot)
        {
            self.arena.free(blob);
            self.settle();
        }
        if edge.kind.is_binding() {
            self.unbind(slot, edge.source);
        }
    }

    /// Gives the slot `from` the lower number `to`, which is free; its lists follow apart.
    pub(crate) fn renumber(&mut self, from: u32, to: u32, id_of: impl Fn(u32) -> SubstrateId) {
        let edge = self.edge(from);
        self.identities.renumber(identity(edge, id_of).0, from, to);
        self.edges.set(to, edge);
        self.edges.pack(to);
        self.edges.kill(from);
        if edge.kind.is_documented()
            && let Some(blob) = self.documents.remove(from)
        {
            self.arena.set_owner(blob, to);
            self.documents.insert(to, blob);
        }
        if edge.kind.is_binding() {
            if let Some(binding) = self.bindings.remove(from) {
                self.bindings.insert(to, binding);
            }
            if let Some(slots) = self.bindings_of.get_mut(edge.source) {
                slots.iter_mut().filter(|slot| **slot == from).for_each(|slot| *slot = to);
            }
        }
    }

    /// Follows an end that got another number.
    pub(crate) fn renumber_end(&mut self, slot: u32, from: u32, to: u32) {
        let Edge { source, target, .. } = self.edge(slot);
        let after = |end: u32| if end == from { to } else { end };
        self.edges.set_ends(slot, after(source), after(target));
    }

    /// Follows a source that got another number.
    pub(crate) fn renumber_bindings(&mut self, from: u32, to: u32) {
        if let Some(slots) = self.bindings_of.remove(from) {
            self.bindings_of.insert(to, slots);
        }
    }

    /// Forgets the slots from `length` on, which are dead.
    pub(crate) fn truncate(&mut self, length: u32) {
        self.edges.truncate(length);
    }

    /// Gives back what is kept for more.
    pub(crate) fn fit(&mut self) {
        self.edges.fit();
        self.ages.fit();
        self.identities.fit();
        self.arena.fit();
    }

    pub(crate) fn identities_mut(&mut self) -> &mut Identities {
        &mut self.identities
    }

    pub(crate) fn wants_draining(&self) -> bool {
        self.identities.wants_draining()
    }

    pub(crate) fn memory(&self) -> [(&'static str, u64); 5] {
        let bindings = self.bindings.allocated_bytes() as usize
            + self.bindings_of.allocated_bytes() as usize
            + self.names.allocation_size()
            + self.names.iter().map(|name| name.len() + 16).sum::<usize>();
        [
            ("relationships", self.edges.allocated_bytes()),
            ("relationship_identities", self.identities.allocated_bytes()),
            ("relationship_ages", self.ages.allocated_bytes()),
            ("constraints_and_lineage", self.arena.allocated_bytes() + self.documents.allocated_bytes()),
            ("bindings", bindings as u64),
        ]
    }

    fn share(&mut self, name: &Arc<str>) -> Arc<str> {
        Arc::clone(self.names.get_or_insert_with(&**name, |_| Arc::clone(name)))
    }

    fn unbind(&mut self, slot: u32, source: u32) {
        if let Some(binding) = self.bindings.remove(slot) {
            for name in &binding.names {
                // The table's and this one.
                if Arc::strong_count(name) <= 2 {
                    self.names.remove(&**name);
                }
            }
            if self.names.len().max(NAMES_SMALL) * 4 < self.names.capacity() {
                self.names.shrink_to(self.names.len() * 2);
            }
        }
        if let Some(slots) = self.bindings_of.get_mut(source) {
            slots.retain(|one| *one != slot);
            if slots.is_empty() {
                self.bindings_of.remove(source);
            }
        }
    }

    /// See [`Substrates::settle`](super::substrates::Substrates).
    fn settle(&mut self) {
        let work = self.arena.owed();
        if work > 0 {
            self.empty(work);
        }
    }

    pub(crate) fn wants_mending(&self) -> bool {
        self.arena.wants_mending()
    }

    /// Mends holes between documents, a piece of work in bytes.
    pub(crate) fn mend(&mut self, work: usize) {
        self.arena.begin_mending();
        self.empty(work);
    }

    fn empty(&mut self, work: usize) {
        let documents = &self.documents;
        let moved = self.arena.empty(work, |owner, blob| documents.get(owner) == Some(&blob));
        for (owner, blob) in moved {
            self.documents.insert(owner, blob);
        }
    }
}

/// A relationship to store.
#[derive(Debug)]
pub(crate) struct NewEdge<'a> {
    /// Its kind says nothing yet of documents and binding.
    pub(crate) edge: Edge,
    pub(crate) created_at: Timestamp,
    pub(crate) constraints: &'a Document,
    pub(crate) lineage: &'a Document,
    pub(crate) binding: Option<Binding>,
}
