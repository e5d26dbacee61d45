//! A shortest path, searched from both ends at once.
//!
//! Whole levels are taken in turn from the end with the smaller frontier. Where several paths are
//! shortest the choice follows creation: nodes of a level oldest first, relationships of a node
//! oldest first; so the same state gives the same path.

use crate::engine::{Engine, Result};
use crate::error::EngineError;
use crate::identity::SubstrateId;
use crate::model::{Direction, Path, TypeSet};
use crate::read::{Slices, Stop, read};
use crate::state::sides;
use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// What one end has reached.
struct Half {
    sides: &'static [bool],
    /// From each slot one step back: the slot, and the relationship between them.
    back: HashMap<u32, (u32, u32), RandomState>,
    frontier: Vec<u32>,
}

impl Half {
    fn new(slot: u32, sides: &'static [bool]) -> Half {
        let mut back = HashMap::default();
        back.insert(slot, (slot, 0));
        Half { sides, back, frontier: vec![slot] }
    }

    /// The steps from a slot back to this half's end: next slot and relationship.
    fn steps_back(&self, from: u32) -> Vec<(u32, u32)> {
        let mut steps = Vec::new();
        let mut slot = from;
        while let Some(&(next, relationship)) = self.back.get(&slot) {
            if next == slot {
                break;
            }
            steps.push((next, relationship));
            slot = next;
        }
        steps
    }
}

impl Engine {
    pub(crate) fn find_path(
        &self,
        source: SubstrateId,
        target: SubstrateId,
        types: TypeSet,
        direction: Direction,
    ) -> Result<Path> {
        read(&self.state, |state| {
            let start = state.substrates.require(source)?;
            let end = state.substrates.require(target)?;
            if start == end {
                return Ok(Path { nodes: vec![source], edges: Vec::new() });
            }
            let against = match direction {
                Direction::Outgoing => Direction::Incoming,
                Direction::Incoming => Direction::Outgoing,
                Direction::Both => Direction::Both,
            };
            let mut forward = Half::new(start, sides(direction));
            let mut backward = Half::new(end, sides(against));
            while !forward.frontier.is_empty() && !backward.frontier.is_empty() {
                let (near, far) = if forward.frontier.len() <= backward.frontier.len() {
                    (&mut forward, &backward)
                } else {
                    (&mut backward, &forward)
                };
                if let Some(meeting) = expand(state, near, far, types)? {
                    return answer(state, &forward, &backward, meeting);
                }
            }
            Err(Stop::Refused(EngineError::NoPath))
        })
    }
}

/// Takes one level more; answers a slot that the other half has reached.
fn expand(
    state: &mut Slices<'_>,
    near: &mut Half,
    far: &Half,
    types: TypeSet,
) -> std::result::Result<Option<u32>, Stop> {
    let mut next = Vec::new();
    for slot in std::mem::take(&mut near.frontier) {
        for &incoming in near.sides {
            let mut first = 0;
            loop {
                let chunk = state.chunk(slot, incoming, first);
                let Some(&last) = chunk.last() else { break };
                for &one in &chunk {
                    if !state.relationships.edge(one).kind.is_among(types) {
                        continue;
                    }
                    let other = state.other_end(one, slot);
                    if near.back.contains_key(&other) {
                        continue;
                    }
                    near.back.insert(other, (slot, one));
                    if far.back.contains_key(&other) {
                        return Ok(Some(other));
                    }
                    next.push(other);
                }
                let work = chunk.len() * 3;
                first = last + 1;
                state.pay(work)?;
            }
        }
        state.pay(1)?;
    }
    next.sort_unstable();
    near.frontier = next;
    Ok(None)
}

fn answer(
    state: &Slices<'_>,
    forward: &Half,
    backward: &Half,
    meeting: u32,
) -> std::result::Result<Path, Stop> {
    let mut to_start = forward.steps_back(meeting);
    to_start.reverse();
    let to_end = backward.steps_back(meeting);
    let slots =
        to_start.iter().map(|&(slot, _)| slot).chain([meeting]).chain(to_end.iter().map(|&(slot, _)| slot));
    let relationships = to_start.iter().chain(&to_end).map(|&(_, relationship)| relationship);
    // A piece may have been deleted while others were searched.
    if relationships.clone().any(|one| !state.relationships.is_alive(one)) {
        return Err(Stop::Changed);
    }
    Ok(Path {
        nodes: slots.map(|slot| state.substrates.id(slot)).collect(),
        edges: relationships.map(|one| state.relationship(one)).collect(),
    })
}
