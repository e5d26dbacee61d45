//! Relationships in dense slots, in the order of creation.

use crate::error::EngineError;
use crate::identity::RelationshipId;
use crate::model::{Relationship, RelationshipType, Timestamp, TypeSet};
use crate::state::RELATIONSHIPS_MAX;
use crate::state::adjacency::{Adjacency, List};
use crate::state::arena::{Arena, Blob};
use crate::state::column::Column;
use crate::state::encoding::Reader;
use crate::state::identities::Identities;
use crate::state::metadata::{self, Keys};
use crate::state::sequences::Sequences;
use butterflyfx_formula::document::Document;
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use smallvec::SmallVec;
use std::sync::Arc;

/// A relationship without its documents.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Edge {
    pub(crate) kind: Kind,
    pub(crate) id: u64,
    pub(crate) created_at: i64,
    pub(crate) source: u32,
    pub(crate) target: u32,
}

/// The same in 24 bytes, in one cache line mostly: a slot of a substrate takes 28 bits
/// ([`SUBSTRATES_MAX`](crate::state::SUBSTRATES_MAX)), and the type stands above the source, the
/// flags above the target.
#[derive(Clone, Copy, Debug)]
struct Packed {
    id: u64,
    created_at: i64,
    source: u32,
    target: u32,
}

const SLOT_BITS: u32 = 28;
const SLOT: u32 = (1 << SLOT_BITS) - 1;

impl Packed {
    #[inline]
    fn kind(self) -> Kind {
        Kind((self.source >> SLOT_BITS) as u8 | ((self.target >> SLOT_BITS) as u8) << 4)
    }

    #[inline]
    fn unpack(self) -> Edge {
        Edge {
            kind: self.kind(),
            id: self.id,
            created_at: self.created_at,
            source: self.source & SLOT,
            target: self.target & SLOT,
        }
    }
}

impl Edge {
    fn pack(self) -> Packed {
        let Edge { kind: Kind(kind), id, created_at, source, target } = self;
        debug_assert!(source <= SLOT && target <= SLOT);
        Packed {
            id,
            created_at,
            source: source | u32::from(kind & TYPE) << SLOT_BITS,
            target: target | u32::from(kind >> 4) << SLOT_BITS,
        }
    }
}

/// Type and flags in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u8);

const TYPE: u8 = 0x0F;
const BIDIRECTIONAL: u8 = 0x10;
const DOCUMENTED: u8 = 0x20;
const BINDING: u8 = 0x40;
/// The sixteenth type.
const DEAD: Kind = Kind(TYPE);

impl Kind {
    #[inline]
    pub(crate) fn is_alive(self) -> bool {
        self.0 & TYPE != TYPE
    }

    #[inline]
    pub(crate) fn is_bidirectional(self) -> bool {
        self.0 & BIDIRECTIONAL != 0
    }

    pub(crate) fn rel_type(self) -> RelationshipType {
        RelationshipType::ALL[usize::from(self.0 & TYPE) % RelationshipType::ALL.len()]
    }

    /// Without documents or binding yet.
    pub(crate) fn new(rel_type: RelationshipType, bidirectional: bool) -> Kind {
        Kind(rel_type as u8 | if bidirectional { BIDIRECTIONAL } else { 0 })
    }

    /// Alive, and of an asked type.
    #[inline]
    pub(crate) fn is_among(self, types: TypeSet) -> bool {
        self.is_alive() && (types.0 == 0 || types.0 & (1 << (self.0 & TYPE)) != 0)
    }
}

/// Which parameters of its source a relationship binds to its target's value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Binding {
    pub(crate) names: SmallVec<[Arc<str>; 1]>,
    /// A list even if it is the only one.
    pub(crate) collect: bool,
}

/// All relationships.
#[derive(Debug, Default)]
pub(crate) struct Relationships {
    edges: Column<Packed>,
    pub(crate) sequences: Sequences,
    identities: Identities,
    pub(crate) adjacency: Adjacency,
    arena: Arena,
    /// Constraints and lineage where there are any, by slot.
    documents: HashMap<u32, Blob, RandomState>,
    /// By slot.
    bindings: HashMap<u32, Binding, RandomState>,
    /// Slots of the binding relationships of a source, oldest first, by the source's slot.
    bindings_of: HashMap<u32, SmallVec<[u32; 2]>, RandomState>,
    /// Names that bindings share.
    names: HashSet<Arc<str>, RandomState>,
    alive: u32,
    by_type: [u64; 15],
}

impl Relationships {
    /// Slots given out, dead ones included.
    pub(crate) fn slots(&self) -> u32 {
        self.edges.len() as u32
    }

    pub(crate) fn alive(&self) -> u32 {
        self.alive
    }

    pub(crate) fn by_type(&self) -> [u64; 15] {
        self.by_type
    }

    #[inline]
    pub(crate) fn edge(&self, slot: u32) -> Edge {
        self.edges.get(slot).unpack()
    }

    #[inline]
    pub(crate) fn kind(&self, slot: u32) -> Kind {
        self.edges.get(slot).kind()
    }

    #[inline]
    pub(crate) fn id(&self, slot: u32) -> RelationshipId {
        RelationshipId(self.edges.get(slot).id)
    }

    pub(crate) fn find(&self, id: RelationshipId) -> Option<u32> {
        self.identities.find(id.0, |slot| self.edges.get(slot).id)
    }

    /// The binding relationships of a source, oldest first.
    pub(crate) fn bindings_of(&self, source: u32) -> &[u32] {
        self.bindings_of.get(&source).map_or(&[], |slots| slots)
    }

    pub(crate) fn binding(&self, slot: u32) -> Option<&Binding> {
        self.bindings.get(&slot)
    }

    /// The relationship, its ends' identities given by `id_of`.
    #[inline]
    pub(crate) fn relationship(
        &self,
        slot: u32,
        keys: &Keys,
        id_of: impl Fn(u32) -> crate::identity::SubstrateId,
    ) -> Relationship {
        let edge = self.edge(slot);
        let kind = edge.kind;
        // Put together in one place: most have no documents.
        let mut relationship = Relationship {
            id: RelationshipId(edge.id),
            rel_type: kind.rel_type(),
            source: id_of(edge.source),
            target: id_of(edge.target),
            bidirectional: kind.is_bidirectional(),
            constraints: Document::Map(Vec::new()),
            lineage: Document::Null,
            created_at: Timestamp(edge.created_at),
        };
        if kind.0 & DOCUMENTED != 0 {
            (relationship.constraints, relationship.lineage) = self.documents(slot, keys);
        }
        relationship
    }

    /// Bytes of what is stored for a living relationship besides its record.
    #[inline]
    pub(crate) fn stored_bytes(&self, slot: u32) -> usize {
        if self.edge(slot).kind.0 & DOCUMENTED == 0 {
            return 0;
        }
        self.documents.get(&slot).map_or(0, |&blob| self.arena.get(blob).len())
    }

    #[cold]
    fn documents(&self, slot: u32, keys: &Keys) -> (Document, Document) {
        let Some(&blob) = self.documents.get(&slot) else {
            return (Document::Map(Vec::new()), Document::Null);
        };
        let mut reader = Reader::new(self.arena.get(blob));
        let constraints = metadata::decode_next(&mut reader, keys);
        (constraints, metadata::decode_next(&mut reader, keys))
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
    pub(crate) fn push(&mut self, edge: Edge, new: &NewEdge<'_>, keys: &mut Keys) -> u32 {
        let slot = self.slots();
        let Kind(mut kind) = edge.kind;
        let is_plain = matches!(new.constraints, Document::Map(members) if members.is_empty())
            && *new.lineage == Document::Null;
        if !is_plain {
            kind |= DOCUMENTED;
            let mut bytes = Vec::new();
            metadata::encode(new.constraints, keys, &mut bytes);
            metadata::encode(new.lineage, keys, &mut bytes);
            self.documents.insert(slot, self.arena.put(slot, &[&bytes]));
        }
        if let Some(binding) = &new.binding {
            kind |= BINDING;
            let names = binding.names.iter().map(|name| self.share(name)).collect();
            self.bindings.insert(slot, Binding { names, collect: binding.collect });
            self.bindings_of.entry(edge.source).or_default().push(slot);
        }
        self.edges.push(Edge { kind: Kind(kind), ..edge }.pack());
        let edges = &self.edges;
        self.identities.insert(edge.id, slot, |slot| edges.get(slot).id);
        self.alive += 1;
        self.by_type[edge.kind.rel_type() as usize] += 1;
        slot
    }

    /// Deletes a relationship, but for its entries in the lists of its ends.
    pub(crate) fn remove(&mut self, slot: u32) {
        let edge = self.edge(slot);
        let kind = edge.kind;
        let edges = &self.edges;
        self.identities.remove(edge.id, |slot| edges.get(slot).id);
        *self.edges.get_mut(slot) = Edge { kind: DEAD, ..edge }.pack();
        self.alive -= 1;
        self.by_type[kind.rel_type() as usize] -= 1;
        if kind.0 & DOCUMENTED != 0
            && let Some(blob) = self.documents.remove(&slot)
        {
            self.arena.free(blob);
            self.settle();
        }
        if kind.0 & BINDING != 0 {
            self.unbind(slot, edge.source);
        }
    }

    /// Takes a relationship that was removed out of a list.
    pub(crate) fn unlist(&mut self, list: &mut List, slot: u32) {
        let edges = &self.edges;
        self.adjacency.remove(list, slot, |one| edges.get(one).kind().is_alive());
    }

    /// Drops the dead end of a hub, so that the next step of a cascade begins at a living one.
    pub(crate) fn trim(&mut self, list: List) {
        let edges = &self.edges;
        self.adjacency.trim(list, |one| edges.get(one).kind().is_alive());
    }

    /// Whether more than half of the slots, and enough to be worth it, are dead.
    pub(crate) fn wants_compaction(&self) -> bool {
        let dead = self.slots() - self.alive;
        dead > self.alive && dead >= super::COMPACTION_SLOTS_MIN
    }

    /// Follows a compaction of substrates.
    pub(crate) fn renumber_ends(&mut self, substrate_after: &[u32]) {
        for slot in 0..self.slots() {
            let edge = self.edge(slot);
            if edge.kind.is_alive() {
                let source = substrate_after[edge.source as usize];
                let target = substrate_after[edge.target as usize];
                *self.edges.get_mut(slot) = Edge { source, target, ..edge }.pack();
            }
        }
        self.bindings_of = self
            .bindings_of
            .drain()
            .map(|(source, slots)| (substrate_after[source as usize], slots))
            .collect();
    }

    /// Takes the dead slots out; the caller stores all lists anew.
    pub(crate) fn compact(&mut self, slot_after: &[u32]) {
        let keep = |slot: u32| slot_after[slot as usize] != u32::MAX;
        self.sequences.compact(self.slots(), keep);
        self.edges.retain_marked(keep);
        let edges = &self.edges;
        self.identities.refill(edges.len() as u32, |slot| edges.get(slot).id);
        self.documents =
            self.documents.drain().map(|(slot, blob)| (slot_after[slot as usize], blob)).collect();
        for (&slot, &blob) in &self.documents {
            self.arena.set_owner(blob, slot);
        }
        self.bindings =
            self.bindings.drain().map(|(slot, binding)| (slot_after[slot as usize], binding)).collect();
        for slots in self.bindings_of.values_mut() {
            slots.iter_mut().for_each(|slot| *slot = slot_after[*slot as usize]);
        }
    }

    pub(crate) fn memory(&self) -> [(&'static str, u64); 5] {
        let bindings = self.bindings.allocation_size()
            + self.bindings_of.allocation_size()
            + self.names.allocation_size()
            + self.names.iter().map(|name| name.len() + 16).sum::<usize>();
        [
            ("relationships", self.edges.allocated_bytes()),
            ("relationship_identities", self.identities.allocated_bytes() + self.sequences.allocated_bytes()),
            ("adjacency", self.adjacency.allocated_bytes()),
            (
                "constraints_and_lineage",
                self.arena.allocated_bytes() + self.documents.allocation_size() as u64,
            ),
            ("bindings", bindings as u64),
        ]
    }

    fn share(&mut self, name: &Arc<str>) -> Arc<str> {
        Arc::clone(self.names.get_or_insert_with(&**name, |_| Arc::clone(name)))
    }

    fn unbind(&mut self, slot: u32, source: u32) {
        if let Some(binding) = self.bindings.remove(&slot) {
            for name in &binding.names {
                // The table's and this one.
                if Arc::strong_count(name) <= 2 {
                    self.names.remove(&**name);
                }
            }
        }
        if let Some(slots) = self.bindings_of.get_mut(&source) {
            slots.retain(|one| *one != slot);
            if slots.is_empty() {
                self.bindings_of.remove(&source);
            }
        }
    }

    fn settle(&mut self) {
        while let Some(segment) = self.arena.next_sparse() {
            let documents = &self.documents;
            let moved = self.arena.empty(segment, |owner, blob| documents.get(&owner) == Some(&blob));
            for (owner, blob) in moved {
                self.documents.insert(owner, blob);
            }
        }
    }
}

/// The parts of a new relationship that do not go into [`Edge`].
#[derive(Debug)]
pub(crate) struct NewEdge<'a> {
    pub(crate) constraints: &'a Document,
    pub(crate) lineage: &'a Document,
    pub(crate) binding: Option<Binding>,
}
