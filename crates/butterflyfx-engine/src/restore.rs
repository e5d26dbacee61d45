//! Building the state again from records that were written down: substrates in the order of their
//! creation numbers, then relationships, then indexes. Nothing else may use the engine meanwhile.

use crate::change::FILL_STEP;
use crate::draft::{edge_of, record, relationship_record, substrate_record};
use crate::engine::{Engine, Result};
use crate::error::EngineError;
use crate::identity::RelationshipId;
use crate::record::{IndexRecord, RelationshipRecord, SubstrateRecord};
use crate::state::edges::Edge;
use crate::state::relationships::NewEdge;
use crate::state::{RELATIONSHIPS_MAX, SUBSTRATES_MAX, State, binding_of};

/// Relationships whose ends are looked up together.
const STEP: usize = 128;

/// Records that are read under one lock.
const READ_STEP: u32 = if cfg!(test) { 3 } else { 1024 };

fn damaged(sentence: String) -> EngineError {
    EngineError::Records(sentence)
}

impl Engine {
    /// Restores the next substrates.
    ///
    /// # Errors
    /// `Records`: a number out of order, an identity that is there already, a text that is no formula
    /// (under the limits of this engine), or no room.
    pub fn restore_substrates(&self, records: &[SubstrateRecord]) -> Result<()> {
        let mut state = self.state.write();
        for one in records {
            let new = &one.substrate;
            let id = new.id;
            if one.sequence < state.substrates.ages.next_sequence() {
                return Err(damaged(format!("substrate {id} has number {}, out of order", one.sequence)));
            }
            if state.substrates.find(id).is_some() {
                return Err(damaged(format!("substrate {id} is there twice")));
            }
            let checked = self
                .check(new.expression_type, &new.expression_code)
                .map_err(|error| damaged(format!("the formula of substrate {id} is refused: {error:?}")))?;
            state.substrates.check_room(1)?;
            state.substrates.ages.go_on_from(one.sequence);
            let slot = state.push_substrate(new.created_at, record(one, &checked));
            if new.version != 1 || new.updated_at != new.created_at {
                state.substrates.restore_change(slot, new.version, new.updated_at);
            }
        }
        Ok(())
    }

    /// Restores the next relationships; all substrates are there. They are listed at their ends by
    /// [`Engine::finish_relationships`].
    ///
    /// # Errors
    /// `Records`: a number out of order, an end that is missing, the same relationship twice,
    /// constraints that bind nothing readable, or no room.
    pub fn restore_relationships(&self, records: &[RelationshipRecord]) -> Result<()> {
        let mut state = self.state.write();
        for step in records.chunks(STEP) {
            // One question after the other for all of them, so that the reads of each, which nearly always
            // miss the caches, run side by side.
            let edges: Vec<Edge> = step.iter().map(|one| edge_of(&state, one)).collect();
            for (one, edge) in step.iter().zip(&edges) {
                for (end, slot) in [(one.source, edge.source), (one.target, edge.target)] {
                    if !is_there(&state, slot, end) {
                        let sentence =
                            format!("relationship number {} has no end number {end}", one.sequence);
                        return Err(damaged(sentence));
                    }
                }
            }
            let id = |slot| state.substrates.id(slot);
            let ends: Vec<_> = edges.iter().map(|edge| (id(edge.source), id(edge.target))).collect();
            let identities = step
                .iter()
                .zip(ends)
                .map(|(one, (source, target))| RelationshipId::of(one.rel_type, source, target));
            let found: Vec<_> = edges.into_iter().zip(identities).collect();
            state.touch_new(&found);
            for (one, (edge, id)) in step.iter().zip(found) {
                if one.sequence < state.relationships.ages.next_sequence() {
                    return Err(damaged(format!(
                        "relationship {id} has number {}, out of order",
                        one.sequence
                    )));
                }
                if state.find_relationship(id).is_some() {
                    return Err(damaged(format!("relationship {id} is there twice")));
                }
                state.relationships.check_room(1)?;
                state.relationships.ages.go_on_from(one.sequence);
                state.restore_relationship(NewEdge {
                    edge,
                    id,
                    created_at: one.created_at,
                    constraints: &one.constraints,
                    lineage: &one.lineage,
                    binding: binding_of(&one.constraints)?,
                });
            }
        }
        Ok(())
    }

    /// Room in the tables for what is going to be restored; makes it faster.
    pub fn expect_records(&self, substrates: u64, relationships: u64) {
        let mut state = self.state.write();
        // A count that is wrong must not take all memory.
        state.substrates.identities_mut().reserve(substrates.min(u64::from(SUBSTRATES_MAX)));
        state.relationships.identities_mut().reserve(relationships.min(u64::from(RELATIONSHIPS_MAX)));
    }

    /// Lists the restored relationships at their ends. To be called once, after the last of them.
    pub fn finish_relationships(&self) {
        self.state.write().build_lists();
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

/// Whether a creation number names something alive in this slot.
fn is_there(state: &State, slot: u32, sequence: u64) -> bool {
    slot < state.substrates.slots()
        && state.substrates.is_alive(slot)
        && state.substrates.ages.sequence(slot) == sequence
}
