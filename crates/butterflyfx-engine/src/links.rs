//! Looking at the relationships of a substrate in place, without building them: what a walk over
//! the graph costs, and nothing more.

use crate::engine::{Engine, Result};
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::{Direction, RelationshipType, Timestamp};
use crate::state::State;
use crate::state::edges::Edge;

/// A relationship in its place. Each part is read when it is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    state: &'a State,
    slot: u32,
    edge: Edge,
}

impl Link<'_> {
    /// Its type.
    #[inline]
    pub fn rel_type(&self) -> RelationshipType {
        self.edge.kind.rel_type()
    }

    /// Where it starts.
    #[inline]
    pub fn source(&self) -> SubstrateId {
        self.state.substrates.id(self.edge.source)
    }

    /// Where it ends.
    #[inline]
    pub fn target(&self) -> SubstrateId {
        self.state.substrates.id(self.edge.target)
    }

    /// Whether it is outgoing and incoming at both ends.
    #[inline]
    pub fn is_bidirectional(&self) -> bool {
        self.edge.kind.is_bidirectional()
    }

    /// When it was created.
    pub fn created_at(&self) -> Timestamp {
        Timestamp(self.state.relationships.ages.created_at(self.slot))
    }

    /// Its identity, which is hashed from its type and ends now.
    pub fn id(&self) -> RelationshipId {
        self.state.relationship_id(self.slot)
    }
}

/// Substrates that are looked up together.
const TOGETHER: usize = 128;

impl Engine {
    /// Hands each relationship at a substrate to `visit`, oldest first. The state cannot change
    /// meanwhile, so `visit` should be quick; a page at a time
    /// ([`Engine::relationships_of`]) suits substrates with a hundred thousand of them better.
    ///
    /// ```
    /// use butterflyfx_engine::{Engine, model::*};
    /// use butterflyfx_formula::{document::Document, formula::ExpressionType, limits::Limits};
    ///
    /// let engine = Engine::new(Limits::default());
    /// let mut ids = Vec::new();
    /// for code in ["x + 1", "x + 2"] {
    ///     let new = NewSubstrate {
    ///         identity: None,
    ///         expression_type: ExpressionType::Formula,
    ///         expression_code: code.into(),
    ///         metadata: Document::Map(vec![]),
    ///     };
    ///     ids.push(engine.create_substrate(Timestamp(1), new, OnConflict::Refuse).unwrap().item.id);
    /// }
    /// let new = NewRelationship {
    ///     rel_type: RelationshipType::Dependency,
    ///     source: ids[0],
    ///     target: ids[1],
    ///     bidirectional: false,
    ///     constraints: Document::Map(vec![]),
    ///     lineage: Document::Null,
    /// };
    /// engine.create_relationship(Timestamp(2), new, OnConflict::Refuse).unwrap();
    /// let mut targets = Vec::new();
    /// engine.links(ids[0], Direction::Outgoing, |link| targets.push(link.target())).unwrap();
    /// assert_eq!(targets, [ids[1]]);
    /// ```
    ///
    /// # Errors
    /// `SubstrateNotFound`.
    pub fn links(
        &self,
        id: SubstrateId,
        direction: Direction,
        mut visit: impl FnMut(Link<'_>),
    ) -> Result<()> {
        let state = &*self.state.read();
        let slot = state.substrates.require(id)?;
        for &incoming in crate::state::sides(direction) {
            state.each_relationship(slot, incoming, |slot| {
                visit(Link { state, slot, edge: state.relationships.edge(slot) });
            });
        }
        Ok(())
    }

    /// The same for many substrates, `visit` with the place of each in `ids`. Their look-ups run
    /// side by side instead of waiting for memory one after the other, which on a graph that has
    /// outgrown the caches is several times as fast. Unknown ones have no relationships. With
    /// `Direction::Both` those of one substrate do not come one after the other.
    pub fn links_of_each(
        &self,
        ids: &[SubstrateId],
        direction: Direction,
        mut visit: impl FnMut(usize, Link<'_>),
    ) {
        let mut links: Vec<(usize, u32)> = Vec::with_capacity(TOGETHER * 8);
        let mut edges: Vec<Edge> = Vec::with_capacity(TOGETHER * 8);
        for (number, ids) in ids.chunks(TOGETHER).enumerate() {
            let state = &*self.state.read();
            let slots = state.substrates.find_each(ids.iter().copied());
            links.clear();
            for &incoming in crate::state::sides(direction) {
                state.touch_lists(slots.iter().flatten().copied(), incoming);
                for (at, slot) in slots.iter().enumerate() {
                    if let Some(slot) = *slot {
                        state.each_relationship(slot, incoming, |one| links.push((at, one)));
                    }
                }
            }
            edges.clear();
            edges.extend(links.iter().map(|&(_, slot)| state.relationships.edge(slot)));
            state.substrates.touch_ids(edges.iter().flat_map(|edge| [edge.source, edge.target]));
            for (&(at, slot), &edge) in links.iter().zip(&edges) {
                visit(number * TOGETHER + at, Link { state, slot, edge });
            }
        }
    }
}
