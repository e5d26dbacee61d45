//! Walking the graph, breadth first.

use crate::engine::{Engine, Result};
use crate::identity::RelationshipId;
use crate::identity::lanes::identify;
use crate::model::{Reached, Traversal, Traverse};
use crate::read::{Slices, Stop, read};
use crate::slot_set::SlotSet;
use crate::state::sides;

/// Relationships in one answer, about half a gigabyte of them; beyond, it is truncated too.
const EDGES_MAX: usize = 4_000_000;

/// Bytes of texts and documents, as they are stored, in the nodes or the edges of one answer;
/// beyond, it is truncated too.
const DOCUMENTS_BYTES_MAX: usize = if cfg!(test) { 4096 } else { 64 * 1024 * 1024 };

/// Ways into a level that are kept before those to the same node are thinned out.
const WAYS_MAX: usize = if cfg!(test) { 4 } else { 8_000_000 };

/// No relationship.
const NONE: u32 = u32::MAX;

/// A node on the way.
#[derive(Clone, Copy)]
struct Found {
    slot: u32,
    via: u32,
    depth: u64,
}

impl Engine {
    pub(crate) fn walk(&self, traverse: &Traverse) -> Result<Traversal> {
        read(&self.state, |state| {
            let (nodes, reached, truncated) = reach(state, traverse)?;
            let (edges, edges_cut) = edges_among(state, traverse, &nodes, &reached)?;
            answer(state, traverse, &nodes, &edges, truncated || edges_cut)
        })
    }
}

/// Finds the nodes, by depth and then by creation; and whether the limit bit.
fn reach(
    state: &mut Slices<'_>,
    traverse: &Traverse,
) -> std::result::Result<(Vec<Found>, SlotSet, bool), Stop> {
    let start = state.substrates.require(traverse.start)?;
    let limit = traverse.limit.max(1);
    let mut bytes = if traverse.include_substrates { state.substrates.stored_bytes(start) } else { 0 };
    let mut reached = SlotSet::default();
    let mut nodes = vec![Found { slot: start, via: NONE, depth: 0 }];
    reached.insert(start);
    let mut level_start = 0;
    let mut depth = 0;
    // Every way into the next level: slot and relationship.
    let mut ways: Vec<(u32, u32)> = Vec::new();
    let mut ways_max = WAYS_MAX;
    while depth < traverse.depth_max && level_start < nodes.len() {
        depth += 1;
        for node in &nodes[level_start..] {
            for &incoming in sides(traverse.direction) {
                let mut first = 0;
                loop {
                    let chunk = state.chunk(node.slot, incoming, first);
                    let Some(&last) = chunk.last() else { break };
                    for &one in &chunk {
                        if state.relationships.edge(one).kind.is_among(traverse.types) {
                            let other = state.other_end(one, node.slot);
                            if !reached.contains(other) {
                                ways.push((other, one));
                            }
                        }
                    }
                    let work = chunk.len() * 3;
                    first = last + 1;
                    state.pay(work)?;
                }
            }
            state.pay(1)?;
            if ways.len() > ways_max {
                oldest_ways(&mut ways);
                ways_max = WAYS_MAX.max(ways.len() * 2);
            }
        }
        oldest_ways(&mut ways);
        level_start = nodes.len();
        let is_cut = ways.len() > limit - nodes.len();
        for (slot, via) in ways.drain(..).take(limit - level_start) {
            if traverse.include_substrates {
                if bytes >= DOCUMENTS_BYTES_MAX {
                    return Ok((nodes, reached, true));
                }
                // A writer may have deleted it since it was found.
                if state.substrates.is_alive(slot) {
                    bytes += state.substrates.stored_bytes(slot);
                }
            }
            reached.insert(slot);
            nodes.push(Found { slot, via, depth });
        }
        if is_cut {
            return Ok((nodes, reached, true));
        }
    }
    Ok((nodes, reached, false))
}

/// Each slot once, by creation, with the oldest relationship that leads to it: slots ascend with
/// creation.
fn oldest_ways(ways: &mut Vec<(u32, u32)>) {
    ways.sort_unstable();
    ways.dedup_by_key(|&mut (slot, _)| slot);
}

/// All relationships of the asked types among the nodes, oldest first.
fn edges_among(
    state: &mut Slices<'_>,
    traverse: &Traverse,
    nodes: &[Found],
    reached: &SlotSet,
) -> std::result::Result<(Vec<u32>, bool), Stop> {
    let (mut edges, mut bytes) = (Vec::new(), 0);
    for node in nodes {
        let mut first = 0;
        loop {
            let chunk = state.chunk(node.slot, false, first);
            let Some(&last) = chunk.last() else { break };
            for &one in &chunk {
                let edge = state.relationships.edge(one);
                // A bidirectional one stands in this list at both ends; its source's counts.
                if edge.source == node.slot
                    && edge.kind.is_among(traverse.types)
                    && reached.contains(edge.target)
                {
                    if edges.len() >= EDGES_MAX || bytes >= DOCUMENTS_BYTES_MAX {
                        edges.sort_unstable();
                        return Ok((edges, true));
                    }
                    bytes += state.relationships.stored_bytes(one);
                    edges.push(one);
                }
            }
            let work = chunk.len() * 3;
            first = last + 1;
            state.pay(work)?;
        }
        state.pay(1)?;
    }
    edges.sort_unstable();
    Ok((edges, false))
}

/// Turns slots into the answer, without what was deleted on the way.
fn answer(
    state: &mut Slices<'_>,
    traverse: &Traverse,
    nodes: &[Found],
    edges: &[u32],
    truncated: bool,
) -> std::result::Result<Traversal, Stop> {
    let mut traversal = Traversal {
        nodes: Vec::with_capacity(nodes.len()),
        edges: Vec::with_capacity(edges.len()),
        truncated,
    };
    for found in nodes {
        if state.substrates.is_alive(found.slot) {
            traversal.nodes.push(Reached {
                id: state.substrates.id(found.slot),
                depth: found.depth,
                via: via(state, found),
                substrate: traverse.include_substrates.then(|| state.substrate(found.slot)),
            });
        }
        state.pay(if traverse.include_substrates { 10 } else { 1 })?;
    }
    for &edge in edges {
        if state.relationships.is_alive(edge) {
            traversal.edges.push(state.nameless_relationship(edge));
        }
        state.pay(3)?;
    }
    identify(&mut traversal.edges);
    Ok(traversal)
}

/// The relationship that reached a node, unless it is gone.
fn via(state: &Slices<'_>, found: &Found) -> Option<RelationshipId> {
    let is_there = found.via != NONE && state.relationships.is_alive(found.via);
    is_there.then(|| state.relationship_id(found.via))
}
