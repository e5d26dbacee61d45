//! What a command will do to the state as it is, or why not. Nothing here changes anything: commands
//! that take effect at once (`change.rs`) and those that wait to be written down (`draft.rs`) ask the
//! same questions here.

use crate::engine::{Engine, Result};
use crate::error::EngineError;
use crate::identity::lanes::of_each;
use crate::identity::{RelationshipId, SubstrateId};
use crate::merge::merge;
use crate::model::*;
use crate::state::edges::{Edge, Kind};
use crate::state::relationships::{Binding, NewEdge};
use crate::state::substrates::NewRecord;
use crate::state::{State, binding_of, is_met};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::shape::Checked;

/// A substrate to store: its text is read and found to be a formula.
#[derive(Debug)]
pub struct PreparedSubstrate {
    pub(crate) id: SubstrateId,
    pub(crate) kind: ExpressionType,
    pub(crate) code: String,
    pub(crate) checked: Checked,
    pub(crate) metadata: Document,
}

/// A relationship to store: its constraints are read; its ends are looked up when its turn comes.
#[derive(Debug)]
pub struct PreparedRelationship {
    pub(crate) id: RelationshipId,
    pub(crate) new: NewRelationship,
    pub(crate) binding: Option<Binding>,
}

impl PreparedSubstrate {
    /// Its identity: the chosen one, or the hash of its formula.
    pub fn id(&self) -> SubstrateId {
        self.id
    }

    pub(crate) fn record(&self) -> NewRecord<'_> {
        let PreparedSubstrate { id, kind, code, checked, metadata } = self;
        NewRecord { id: *id, kind: *kind, code, checked, metadata }
    }

    /// The substrate as it is when it has just been created.
    pub(crate) fn created(self, now: Timestamp) -> (Substrate, Checked) {
        let PreparedSubstrate { id, kind, code, checked, metadata } = self;
        let substrate = Substrate {
            id,
            created_at: now,
            updated_at: now,
            version: 1,
            expression_type: kind,
            expression_code: code,
            metadata,
        };
        (substrate, checked)
    }
}

impl PreparedRelationship {
    pub(crate) fn edge(&self, (source, target): (u32, u32)) -> Edge {
        Edge { kind: Kind::new(self.new.rel_type, self.new.bidirectional), source, target }
    }

    /// What is stored, between ends in these slots.
    pub(crate) fn stored(&mut self, now: Timestamp, ends: (u32, u32)) -> NewEdge<'_> {
        NewEdge {
            edge: self.edge(ends),
            created_at: now,
            binding: self.binding.take(),
            constraints: &self.new.constraints,
            lineage: &self.new.lineage,
        }
    }

    /// The relationship as it is when it has been created.
    pub(crate) fn created(self, now: Timestamp) -> Relationship {
        Relationship {
            id: self.id,
            rel_type: self.new.rel_type,
            source: self.new.source,
            target: self.new.target,
            bidirectional: self.new.bidirectional,
            constraints: self.new.constraints,
            lineage: self.new.lineage,
            created_at: now,
        }
    }
}

impl Engine {
    /// Reads a new substrate's formula and finds its identity. Touches no state, so it may run on any
    /// thread before the command's turn comes.
    ///
    /// # Errors
    /// `Formula` for a text that is none, `InvalidQuery` for metadata that is no object.
    pub fn prepare_substrate(&self, new: NewSubstrate) -> Result<PreparedSubstrate> {
        let NewSubstrate { identity, expression_type: kind, expression_code: code, metadata } = new;
        require_object(&metadata)?;
        let checked = self.check(kind, &code)?;
        let id = identity.unwrap_or_else(|| SubstrateId::of_formula(kind, &code));
        Ok(PreparedSubstrate { id, kind, code, checked, metadata })
    }

    /// Reads a new relationship's constraints and finds its identity, as [`Engine::prepare_substrate`].
    ///
    /// # Errors
    /// `InvalidConstraints`.
    pub fn prepare_relationship(&self, new: NewRelationship) -> Result<PreparedRelationship> {
        let id = RelationshipId::of(new.rel_type, new.source, new.target);
        prepared(id, new)
    }

    /// As [`Engine::prepare_relationship`] for each of many, in order, which takes less time for each.
    pub fn prepare_relationships(&self, new: Vec<NewRelationship>) -> Vec<Result<PreparedRelationship>> {
        let mut ids = Vec::with_capacity(new.len());
        let ends: Vec<_> = new.iter().map(|one| (one.rel_type, one.source, one.target)).collect();
        of_each(&ends, |id| ids.push(id));
        ids.into_iter().zip(new).map(|(id, new)| prepared(id, new)).collect()
    }
}

fn prepared(id: RelationshipId, new: NewRelationship) -> Result<PreparedRelationship> {
    let binding = binding_of(&new.constraints)?;
    Ok(PreparedRelationship { id, new, binding })
}

/// What a creation meets under its identity.
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// The same formula, or the same relationship.
    Same,
    /// Something else.
    Other,
}

/// Whether a substrate may be created; `false`: the same one is there and is the answer.
pub(crate) fn may_create(found: &Found, id: SubstrateId, on_conflict: OnConflict) -> Result<bool> {
    match found {
        Found::Nothing => Ok(true),
        Found::Same if on_conflict == OnConflict::Return => Ok(false),
        Found::Same => Err(EngineError::SubstrateExists(id)),
        Found::Other => Err(EngineError::IdentityInUse(id)),
    }
}

/// Whether a relationship may be created; `false`: it is there and is the answer. Another triple with
/// the same 64 bits is never overwritten nor answered.
pub(crate) fn may_relate(found: &Found, id: RelationshipId, on_conflict: OnConflict) -> Result<bool> {
    match found {
        Found::Nothing => Ok(true),
        Found::Same if on_conflict == OnConflict::Return => Ok(false),
        _ => Err(EngineError::RelationshipExists(id)),
    }
}

/// What a new substrate meets, and in which slot.
pub(crate) fn find_substrate(state: &State, new: &PreparedSubstrate) -> (Found, Option<u32>) {
    match state.substrates.find(new.id) {
        None => (Found::Nothing, None),
        Some(slot) if state.substrates.holds_formula(slot, new.kind, &new.code) => (Found::Same, Some(slot)),
        Some(slot) => (Found::Other, Some(slot)),
    }
}

/// What a new relationship meets, and in which slot.
pub(crate) fn find_relationship(state: &State, new: &PreparedRelationship) -> (Found, Option<u32>) {
    let Some(slot) = state.find_relationship(new.id) else { return (Found::Nothing, None) };
    let edge = state.relationships.edge(slot);
    let (source, target) = (state.substrates.id(edge.source), state.substrates.id(edge.target));
    let triple = (new.new.rel_type, new.new.source, new.new.target);
    let found = if (edge.kind.rel_type(), source, target) == triple { Found::Same } else { Found::Other };
    (found, Some(slot))
}

/// The slot that a PUT replaces; `None` where it creates.
pub(crate) fn put(
    state: &State,
    new: &PreparedSubstrate,
    precondition: &Precondition,
) -> Result<Option<u32>> {
    let slot = state.substrates.find(new.id);
    is_met(state, slot, new.id, precondition)?;
    let Some(slot) = slot else { return Ok(None) };
    if !state.substrates.holds_formula(slot, new.kind, &new.code)
        && state.substrates.is_content_addressed(slot)
    {
        return Err(EngineError::IdentityIsContent(new.id));
    }
    Ok(Some(slot))
}

/// The slot that a delete empties.
pub(crate) fn delete(
    state: &State,
    id: SubstrateId,
    restrict: bool,
    precondition: &Precondition,
) -> Result<u32> {
    let slot = state.substrates.find(id);
    is_met(state, slot, id, precondition)?;
    let slot = slot.ok_or(EngineError::SubstrateNotFound(id))?;
    if restrict && state.degree(slot, false) + state.degree(slot, true) > 0 {
        return Err(EngineError::HasRelationships(id, state.relationship_count(slot)));
    }
    Ok(slot)
}

/// What a PATCH makes of a substrate.
pub(crate) struct Patched {
    pub(crate) kind: ExpressionType,
    pub(crate) code: String,
    /// Where the formula is another one.
    pub(crate) checked: Option<Checked>,
    pub(crate) metadata: Document,
}

/// What `patch` makes of `old`; `ready` is its text as it was read before for a type.
pub(crate) fn patched(
    engine: &Engine,
    old: Substrate,
    patch: &SubstratePatch,
    ready: Option<&(ExpressionType, Checked)>,
) -> Result<Patched> {
    if let Some(metadata) = &patch.metadata {
        require_object(metadata)?;
    }
    let kind = patch.expression_type.unwrap_or(old.expression_type);
    let code = patch.expression_code.as_deref().unwrap_or(&old.expression_code);
    let changes_formula = kind != old.expression_type || code != old.expression_code;
    if changes_formula && SubstrateId::of_formula(old.expression_type, &old.expression_code) == old.id {
        return Err(EngineError::IdentityIsContent(old.id));
    }
    let checked = match ready {
        _ if !changes_formula => None,
        Some((of_kind, checked)) if *of_kind == kind => Some(checked.clone()),
        _ => Some(engine.check(kind, code)?),
    };
    let code = code.to_owned();
    let metadata = match &patch.metadata {
        Some(changes) => merge(old.metadata, changes.clone()),
        None => old.metadata,
    };
    Ok(Patched { kind, code, checked, metadata })
}

/// Declared indexes: each is work on every change.
const INDEXES_MAX: usize = 64;

/// UTF-8 bytes of an index's key.
const METADATA_KEY_BYTES_MAX: usize = 1024;

/// Whether an index may be declared; `false`: it is there.
pub(crate) fn may_declare(state: &State, metadata_key: &str) -> Result<bool> {
    if metadata_key.len() > METADATA_KEY_BYTES_MAX {
        let sentence = format!("a metadata key to index may have at most {METADATA_KEY_BYTES_MAX} bytes");
        return Err(EngineError::InvalidQuery(String::new(), sentence));
    }
    if state.indexes.contains_key(metadata_key) {
        return Ok(false);
    }
    if state.indexes.len() >= INDEXES_MAX {
        return Err(EngineError::Full(format!("the engine holds at most {INDEXES_MAX} indexes")));
    }
    Ok(true)
}

pub(crate) fn require_object(metadata: &Document) -> Result<()> {
    match metadata {
        Document::Map(_) => Ok(()),
        _ => Err(EngineError::InvalidQuery("/metadata".into(), "metadata must be an object".into())),
    }
}
