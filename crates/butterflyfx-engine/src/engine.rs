//! The engine: one writer, many readers, over the packed state.

use crate::error::EngineError;
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::*;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::formula::{ExpressionType, Formula};
use butterflyfx_formula::limits::Limits;
use std::sync::Arc;

/// The result of every call.
pub type Result<T> = std::result::Result<T, EngineError>;

/// The whole state. Safe to share; readers do not block each other, and a writer holds the lock
/// only for the change itself: text is parsed before.
#[derive(Debug)]
pub struct Engine {}

#[allow(unused_variables, reason = "the bodies come next")]
impl Engine {
    /// An empty engine.
    pub fn new(limits: Limits) -> Engine {
        todo!()
    }

    /// The formula limits in force.
    pub fn limits(&self) -> &Limits {
        todo!()
    }

    /// Reads and checks a formula without storing it.
    pub fn check(&self, kind: ExpressionType, code: &str) -> Result<Formula> {
        todo!()
    }

    /// Creates a substrate; nothing is ever overwritten.
    pub fn create_substrate(
        &self,
        now: Timestamp,
        new: NewSubstrate,
        on_conflict: OnConflict,
    ) -> Result<Created<Substrate>> {
        todo!()
    }

    /// Creates many in order; earlier ones are visible to later ones. Atomic: all, or none and
    /// `EngineError::Batch`. Takes the write lock in slices unless atomic.
    pub fn create_substrates(
        &self,
        now: Timestamp,
        new: Vec<NewSubstrate>,
        on_conflict: OnConflict,
        atomic: bool,
    ) -> Result<Vec<ItemResult<Substrate>>> {
        todo!()
    }

    /// Creates or replaces under a chosen identity.
    pub fn put_substrate(
        &self,
        now: Timestamp,
        id: SubstrateId,
        new: NewSubstrate,
        precondition: &Precondition,
    ) -> Result<Created<Substrate>> {
        todo!()
    }

    /// Changes parts of a substrate.
    pub fn patch_substrate(
        &self,
        now: Timestamp,
        id: SubstrateId,
        patch: SubstratePatch,
        precondition: &Precondition,
    ) -> Result<Substrate> {
        todo!()
    }

    /// Deletes a substrate and its relationships; with `restrict` only if it has none.
    pub fn delete_substrate(
        &self,
        id: SubstrateId,
        restrict: bool,
        precondition: &Precondition,
    ) -> Result<()> {
        todo!()
    }

    /// One substrate.
    pub fn substrate(&self, id: SubstrateId) -> Result<Substrate> {
        todo!()
    }

    /// Whether it exists.
    pub fn contains(&self, id: SubstrateId) -> bool {
        todo!()
    }

    /// All substrates, oldest first.
    pub fn substrates(&self, page: &PageRequest) -> Result<Page<Substrate>> {
        todo!()
    }

    /// Creates a relationship.
    pub fn create_relationship(
        &self,
        now: Timestamp,
        new: NewRelationship,
        on_conflict: OnConflict,
    ) -> Result<Created<Relationship>> {
        todo!()
    }

    /// Creates many, as [`Engine::create_substrates`].
    pub fn create_relationships(
        &self,
        now: Timestamp,
        new: Vec<NewRelationship>,
        on_conflict: OnConflict,
        atomic: bool,
    ) -> Result<Vec<ItemResult<Relationship>>> {
        todo!()
    }

    /// Deletes a relationship.
    pub fn delete_relationship(&self, id: RelationshipId) -> Result<()> {
        todo!()
    }

    /// One relationship.
    pub fn relationship(&self, id: RelationshipId) -> Result<Relationship> {
        todo!()
    }

    /// The relationships at a substrate, oldest first, with their total number under the filter.
    /// `Direction::Both` is not used here. A bidirectional one is listed at both ends either way.
    pub fn relationships_of(
        &self,
        id: SubstrateId,
        direction: Direction,
        types: TypeSet,
        page: &PageRequest,
    ) -> Result<(Page<Relationship>, u64)> {
        todo!()
    }

    /// Relationships by stored source, target and type, oldest first.
    pub fn relationships(
        &self,
        filter: &RelationshipFilter,
        page: &PageRequest,
    ) -> Result<Page<Relationship>> {
        todo!()
    }

    /// Declares an index over a metadata key and fills it. `false`: it was there.
    pub fn create_index(&self, now: Timestamp, metadata_key: &str) -> Result<bool> {
        todo!()
    }

    /// Drops an index. `false`: there was none.
    pub fn drop_index(&self, metadata_key: &str) -> bool {
        todo!()
    }

    /// The declared indexes, by key.
    pub fn indexes(&self) -> Vec<IndexInfo> {
        todo!()
    }

    /// Finds substrates. Uses a declared index where a condition allows it, else a bounded scan.
    pub fn search(&self, search: &Search, page: &PageRequest) -> Result<Page<Substrate>> {
        todo!()
    }

    /// Walks the graph, breadth first.
    pub fn traverse(&self, traverse: &Traverse) -> Result<Traversal> {
        todo!()
    }

    /// A shortest path.
    pub fn path(
        &self,
        source: SubstrateId,
        target: SubstrateId,
        types: TypeSet,
        direction: Direction,
    ) -> Result<Path> {
        todo!()
    }

    /// Evaluates a substrate with the caller's parameters and what flows in along its relationships.
    pub fn evaluate(&self, id: SubstrateId, parameters: &Arc<Dict>, explain: bool) -> Result<Evaluation> {
        todo!()
    }

    /// Whether an evaluation is short by its form (a formula without loops and without bound
    /// inputs), so that it may run on a network thread.
    pub fn is_short(&self, id: SubstrateId) -> Result<bool> {
        todo!()
    }

    /// Counts and memory by part.
    pub fn stats(&self) -> Stats {
        todo!()
    }

    /// The numbers of substrates and relationships, cheap.
    pub fn counts(&self) -> (u64, u64) {
        todo!()
    }
}
