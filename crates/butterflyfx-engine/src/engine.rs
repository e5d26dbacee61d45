//! The engine: one writer, many readers, over the packed state.

use crate::error::EngineError;
use crate::identity::{RelationshipId, SubstrateId};
use crate::model::*;
use crate::state::State;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::formula::{ExpressionType, Formula, Templates};
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::meter::Interrupt;
use butterflyfx_formula::shape::Checked;
use butterflyfx_jit::tier::{Jit, Mode, Tiered};
use parking_lot::{RwLock, RwLockWriteGuard};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The result of every call.
pub type Result<T> = std::result::Result<T, EngineError>;

/// The result of each item of a batch that is not atomic.
pub type ItemResult<T> = Result<Created<T>>;

/// The whole state. Safe to share; readers do not block each other, and a writer holds the lock
/// only for the change itself: text is parsed before.
#[derive(Debug)]
pub struct Engine {
    limits: Limits,
    templates: Templates,
    pub(crate) jit: Jit,
    pub(crate) state: RwLock<State>,
    /// Tells engines of one process apart where threads keep formulas at hand.
    pub(crate) number: u64,
}

/// Slots that one call of [`Engine::tidy`] looks at.
const TIDY_SLOTS: u32 = if cfg!(test) { 7 } else { 128 };

/// Times that this is done in one call, others going first in between.
const TIDY_STEPS: u32 = 16;

/// Counts engines.
static ENGINES: AtomicU64 = AtomicU64::new(1);

impl Engine {
    /// An empty engine that compiles formulas when they are hot.
    pub fn new(limits: Limits) -> Engine {
        Engine::with_jit(limits, Mode::WhenHot)
    }

    /// An empty engine that compiles formulas in this mode. Answers are the same in all of them.
    pub fn with_jit(limits: Limits, mode: Mode) -> Engine {
        Engine {
            limits,
            templates: Templates::default(),
            jit: Jit::new(mode),
            state: RwLock::new(State::new()),
            number: ENGINES.fetch_add(1, Ordering::Relaxed),
        }
    }

    /// The formula limits in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads and checks a formula without storing it.
    pub fn check(&self, kind: ExpressionType, code: &str) -> Result<Checked> {
        self.templates.check(kind, code, &self.limits).map_err(EngineError::Formula)
    }

    /// Creates a substrate; nothing is ever overwritten.
    pub fn create_substrate(
        &self,
        now: Timestamp,
        new: NewSubstrate,
        on_conflict: OnConflict,
    ) -> Result<Created<Substrate>> {
        self.create_one(now, new, on_conflict)
    }

    /// Creates a substrate from a formula that [`Engine::check`] of this engine has given for the
    /// same text; the text is not read again.
    pub fn create_checked_substrate(
        &self,
        now: Timestamp,
        new: NewSubstrate,
        checked: Checked,
    ) -> Result<Created<Substrate>> {
        self.create_checked(now, new, checked)
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
        self.create_many(now, new, on_conflict, atomic)
    }

    /// Creates or replaces under a chosen identity.
    pub fn put_substrate(
        &self,
        now: Timestamp,
        id: SubstrateId,
        new: NewSubstrate,
        precondition: &Precondition,
    ) -> Result<Created<Substrate>> {
        self.put(now, id, new, precondition)
    }

    /// Changes parts of a substrate.
    pub fn patch_substrate(
        &self,
        now: Timestamp,
        id: SubstrateId,
        patch: SubstratePatch,
        precondition: &Precondition,
    ) -> Result<Substrate> {
        self.patch(now, id, patch, precondition)
    }

    /// Deletes a substrate and its relationships; with `restrict` only if it has none.
    pub fn delete_substrate(
        &self,
        id: SubstrateId,
        restrict: bool,
        precondition: &Precondition,
    ) -> Result<()> {
        self.delete(id, restrict, precondition)
    }

    /// One substrate.
    pub fn substrate(&self, id: SubstrateId) -> Result<Substrate> {
        let state = self.state.read();
        Ok(state.substrate(state.substrates.require(id)?))
    }

    /// Whether it exists.
    pub fn contains(&self, id: SubstrateId) -> bool {
        self.state.read().substrates.find(id).is_some()
    }

    /// All substrates, oldest first.
    pub fn substrates(&self, page: &PageRequest) -> Result<Page<Substrate>> {
        self.list_substrates(page)
    }

    /// Creates a relationship.
    pub fn create_relationship(
        &self,
        now: Timestamp,
        new: NewRelationship,
        on_conflict: OnConflict,
    ) -> Result<Created<Relationship>> {
        self.relate_one(now, new, on_conflict)
    }

    /// Creates many, as [`Engine::create_substrates`].
    pub fn create_relationships(
        &self,
        now: Timestamp,
        new: Vec<NewRelationship>,
        on_conflict: OnConflict,
        atomic: bool,
    ) -> Result<Vec<ItemResult<Relationship>>> {
        self.relate_many(now, new, on_conflict, atomic)
    }

    /// Deletes a relationship.
    pub fn delete_relationship(&self, id: RelationshipId) -> Result<()> {
        self.unrelate(id)
    }

    /// One relationship.
    pub fn relationship(&self, id: RelationshipId) -> Result<Relationship> {
        let state = self.state.read();
        let slot = state.find_relationship(id).ok_or(EngineError::RelationshipNotFound(id))?;
        Ok(state.relationship(slot))
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
        self.list_relationships_of(id, direction, types, page)
    }

    /// Relationships by stored source, target and type, oldest first.
    pub fn relationships(
        &self,
        filter: &RelationshipFilter,
        page: &PageRequest,
    ) -> Result<Page<Relationship>> {
        self.list_relationships(filter, page)
    }

    /// Declares an index over a metadata key and fills it. `false`: it was there.
    pub fn create_index(&self, now: Timestamp, metadata_key: &str) -> Result<bool> {
        self.declare_index(now, metadata_key)
    }

    /// Drops an index. `false`: there was none.
    pub fn drop_index(&self, metadata_key: &str) -> bool {
        let dropped = self.state.write().indexes.remove(metadata_key);
        // A large index is freed after the lock.
        dropped.is_some()
    }

    /// The declared indexes, by key.
    pub fn indexes(&self) -> Vec<IndexInfo> {
        let state = self.state.read();
        let describe = |(metadata_key, index): (&String, &crate::state::index::Index)| IndexInfo {
            metadata_key: metadata_key.clone(),
            entries: index.entries(),
            distinct_values: index.distinct_values(),
            created_at: index.created_at,
        };
        state.indexes.iter().map(describe).collect()
    }

    /// Finds substrates. Uses a declared index where a condition allows it, else a bounded scan.
    pub fn search(&self, search: &Search, page: &PageRequest) -> Result<Page<Substrate>> {
        self.find(search, page)
    }

    /// Walks the graph, breadth first.
    pub fn traverse(&self, traverse: &Traverse) -> Result<Traversal> {
        self.walk(traverse)
    }

    /// A shortest path.
    pub fn path(
        &self,
        source: SubstrateId,
        target: SubstrateId,
        types: TypeSet,
        direction: Direction,
    ) -> Result<Path> {
        self.find_path(source, target, types, direction)
    }

    /// Evaluates a substrate with the caller's parameters and what flows in along its relationships.
    pub fn evaluate(&self, id: SubstrateId, parameters: &Arc<Dict>, explain: bool) -> Result<Evaluation> {
        self.invoke(id, parameters, explain)
    }

    /// As [`Engine::evaluate`], but `interrupt` may end it early.
    pub fn evaluate_until(
        &self,
        id: SubstrateId,
        parameters: &Arc<Dict>,
        explain: bool,
        interrupt: Interrupt,
    ) -> Result<Evaluation> {
        self.invoke_until(id, parameters, explain, interrupt)
    }

    /// The formula of a substrate into which nothing flows along relationships, for whoever evaluates
    /// it with many rows of parameters; `None` where something flows in.
    ///
    /// # Errors
    /// `SubstrateNotFound`.
    pub fn unbound_formula(&self, id: SubstrateId) -> Result<Option<Tiered>> {
        let state = self.state.read();
        let slot = state.substrates.require(id)?;
        let formula = if state.substrates.is_bound(slot) { None } else { state.substrates.formula(slot) };
        Ok(formula.map(|formula| Tiered::new(formula, &self.jit)))
    }

    /// What was compiled.
    pub fn jit_stats(&self) -> butterflyfx_jit::tier::Stats {
        self.jit.stats()
    }

    /// As [`Engine::unbound_formula`], where an evaluation of it may be worth remembering: `None` also
    /// where it is short by its form. With the edition that it belongs to.
    ///
    /// # Errors
    /// `SubstrateNotFound`.
    pub fn long_formula(&self, id: SubstrateId) -> Result<Option<(Edition, Formula)>> {
        let state = self.state.read();
        let slot = state.substrates.require(id)?;
        let is_short = state.substrates.template(slot).is_none_or(|code| code.is_short());
        if is_short || state.substrates.is_bound(slot) {
            return Ok(None);
        }
        let sequence = state.substrates.ages.sequence(slot);
        let version = state.substrates.version(slot);
        Ok(state.substrates.formula(slot).map(|formula| (Edition { sequence, version }, formula)))
    }

    /// Whether an evaluation is short by its form (a formula without loops and without bound
    /// inputs), so that it may run on a network thread.
    pub fn is_short(&self, id: SubstrateId) -> Result<bool> {
        let state = self.state.read();
        let slot = state.substrates.require(id)?;
        Ok(!state.substrates.is_bound(slot)
            && state.substrates.template(slot).is_some_and(|code| code.is_short()))
    }

    /// Whether deletes have left memory to give back that [`Engine::tidy`] would free.
    pub fn wants_tidying(&self) -> bool {
        self.state.read().wants_tidying()
    }

    /// Gives some of that memory back, in about a millisecond; whether there is more to do. Deletes
    /// do most of it as they go: this is for the rest, when there is time.
    pub fn tidy(&self) -> bool {
        (0..TIDY_STEPS).all(|_| {
            let mut state = self.state.write();
            let has_more = state.tidy(TIDY_SLOTS, true);
            RwLockWriteGuard::unlock_fair(state);
            std::thread::yield_now();
            has_more
        })
    }

    /// Counts and memory by part.
    pub fn stats(&self) -> Stats {
        self.count_all()
    }

    /// The numbers of substrates and relationships, cheap.
    pub fn counts(&self) -> (u64, u64) {
        let state = self.state.read();
        (u64::from(state.substrates.alive()), u64::from(state.relationships.alive()))
    }
}
