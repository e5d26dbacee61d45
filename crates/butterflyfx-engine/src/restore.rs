//! Building the state again from records that were written down: substrates in the order of their
//! creation numbers, then relationships, then indexes. Nothing else may use the engine meanwhile.

use crate::change::FILL_STEP;
use crate::draft::{edge_of, record, relationship_record, substrate_record};
use crate::engine::{Engine, Result};
use crate::error::EngineError;
use crate::identity::RelationshipId;
use crate::record::{IndexRecord, RelationshipRecord, SubstrateRecord};
use crate::state::relationships::NewEdge;
use crate::state::{State, binding_of};
use butterflyfx_formula::shape::Checked;

/// Records that are read under one lock.
const READ_STEP: u32 = if cfg!(test) { 3 } else { 1024 };

fn damaged(sentence: String) -> EngineError {
    EngineError::Records(sentence)
}

impl Engine {
    /// Begins to restore all there is into this engine, which is empty. Until [`Engine::end_restoring`] nothing is
    /// found in it, and another call of this forgets what was restored by then. Without this each record takes its place at
    /// once, which takes longer for many.
    pub fn begin_restoring(&self) {
        self.state.write().begin_restoring();
    }

    /// Ends what [`Engine::begin_restoring`] began.
    ///
    /// # Errors
    /// `Records`: a substrate or relationship that is there twice. What was restored is of no use then.
    pub fn end_restoring(&self) -> Result<()> {
        self.state.write().end_restoring()
    }

    /// Restores the next substrates.
    ///
    /// # Errors
    /// `Records`: a number out of order, an identity that is there already, a text that is no formula
    /// (under the limits of this engine), or no room.
    pub fn restore_substrates(&self, records: &[SubstrateRecord]) -> Result<()> {
        let mut state = self.state.write();
        records.iter().try_for_each(|one| restore_substrate(&mut state, one, &self.check_record(one)?))
    }

    /// Reads the formulas of records, on any thread, before [`Engine::restore_checked`].
    ///
    /// # Errors
    /// `Records`: a text that is no formula under the limits of this engine.
    pub fn check_records(&self, records: Vec<SubstrateRecord>) -> Result<CheckedRecords> {
        let checked = records.iter().map(|one| self.check_record(one)).collect::<Result<_>>()?;
        Ok(CheckedRecords { records, checked })
    }

    /// Restores the next substrates, whose formulas are read.
    ///
    /// # Errors
    /// As [`Engine::restore_substrates`].
    pub fn restore_checked(&self, records: &CheckedRecords) -> Result<()> {
        let CheckedRecords { records, checked } = records;
        let mut state = self.state.write();
        records.iter().zip(checked).try_for_each(|(one, checked)| restore_substrate(&mut state, one, checked))
    }

    fn check_record(&self, one: &SubstrateRecord) -> Result<Checked> {
        let new = &one.substrate;
        self.check(new.expression_type, &new.expression_code)
            .map_err(|error| damaged(format!("the formula of substrate {} is refused: {error:?}", new.id)))
    }

    /// Restores the next relationships; all substrates are there.
    ///
    /// # Errors
    /// `Records`: a number out of order, an end that is missing, the same relationship twice,
    /// constraints that bind nothing readable, or no room.
    pub fn restore_relationships(&self, records: &[RelationshipRecord]) -> Result<()> {
        let mut state = self.state.write();
        for one in records {
            let edge = edge_of(&state, one);
            for (end, slot) in [(one.source, edge.source), (one.target, edge.target)] {
                if !is_there(&state, slot, end) {
                    let sentence = format!("relationship number {} has no end number {end}", one.sequence);
                    return Err(damaged(sentence));
                }
            }
            if one.sequence < state.relationships.ages.next_sequence() {
                let ends = [edge.source, edge.target].map(|end| state.substrates.id(end));
                return Err(damaged(format!(
                    "the relationship from {} to {} has number {}, out of order",
                    ends[0], ends[1], one.sequence
                )));
            }
            let RelationshipRecord { created_at, constraints, lineage, .. } = one;
            let binding = binding_of(constraints)?;
            let new = NewEdge { edge, created_at: *created_at, constraints, lineage, binding };
            state.relationships.check_room(1)?;
            if state.is_restoring() {
                state.relationships.ages.go_on_from(one.sequence);
                state.restore_relationship(new);
                continue;
            }
            let id = |slot| state.substrates.id(slot);
            let id = RelationshipId::of(one.rel_type, id(edge.source), id(edge.target));
            if state.find_relationship(id).is_some() {
                return Err(damaged(format!("relationship {id} is there twice")));
            }
            state.relationships.ages.go_on_from(one.sequence);
            state.push_relationship(id, new);
        }
        Ok(())
    }

    /// Restores an index and fills it.
    pub fn restore_index(&self, one: &IndexRecord) {
        let mut state = self.state.write();
        state.declare_index(&one.metadata_key, one.created_at);
        while !state.fill_index(&one.metadata_key, FILL_STEP) {}
    }

    /// Ends with the numbers that the next substrate and relationship will have: those of the newest
    /// that were deleted are not used again.
    pub fn restore_sequences(&self, substrates: u64, relationships: u64) {
        let mut state = self.state.write();
        state.substrates.ages.go_on_from(substrates);
        state.relationships.ages.go_on_from(relationships);
    }

    /// The numbers that the next substrate and relationship will have.
    pub fn next_sequences(&self) -> (u64, u64) {
        let state = self.state.read();
        (state.substrates.ages.next_sequence(), state.relationships.ages.next_sequence())
    }

    /// Some substrates as records, from a creation number on, in order; empty at the end.
    pub fn substrate_records(&self, from: u64) -> Vec<SubstrateRecord> {
        let state = self.state.read();
        let slots = state.substrates.ages.slot_of(from)..state.substrates.slots();
        let alive = slots.filter(|&slot| state.substrates.is_alive(slot)).take(READ_STEP as usize);
        alive.map(|slot| substrate_record(&state, slot)).collect()
    }

    /// Some relationships as records, as [`Engine::substrate_records`].
    pub fn relationship_records(&self, from: u64) -> Vec<RelationshipRecord> {
        let state = self.state.read();
        let slots = state.relationships.ages.slot_of(from)..state.relationships.slots();
        let alive = slots.filter(|&slot| state.relationships.is_alive(slot)).take(READ_STEP as usize);
        alive.map(|slot| relationship_record(&state, slot)).collect()
    }
}

/// Substrates to restore, their formulas read.
#[derive(Debug)]
pub struct CheckedRecords {
    records: Vec<SubstrateRecord>,
    checked: Vec<Checked>,
}

fn restore_substrate(state: &mut State, one: &SubstrateRecord, checked: &Checked) -> Result<()> {
    let new = &one.substrate;
    let id = new.id;
    if one.sequence < state.substrates.ages.next_sequence() {
        return Err(damaged(format!("substrate {id} has number {}, out of order", one.sequence)));
    }
    if !state.is_restoring() && state.substrates.find(id).is_some() {
        return Err(damaged(format!("substrate {id} is there twice")));
    }
    state.substrates.check_room(1)?;
    state.substrates.ages.go_on_from(one.sequence);
    let slot = state.push_substrate(new.created_at, record(one, checked));
    if new.version != 1 || new.updated_at != new.created_at {
        state.substrates.restore_change(slot, new.version, new.updated_at);
    }
    Ok(())
}

/// Whether a creation number names something alive in this slot. While restoring all are alive, and to ask would
/// mean a read that misses the caches.
fn is_there(state: &State, slot: u32, sequence: u64) -> bool {
    slot < state.substrates.slots()
        && (state.is_restoring() || state.substrates.is_alive(slot))
        && state.substrates.ages.sequence(slot) == sequence
}
