//! Walking the graph, breadth first.

use crate::engine::{Engine, Result};
use crate::model::{Reached, Traversal, Traverse};
use crate::read::{Slices, Stop, read};
use crate::state::sides;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use hashbrown::hash_map::Entry;

/// Relationships in one answer, about half a gigabyte of them; beyond, it is truncated too.
const EDGES_MAX: usize = 4_000_000;

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
            let (nodes, places, truncated) = reach(state, traverse)?;
            let (edges, edges_cut) = edges_among(state, traverse, &nodes, &places)?;
            answer(state, traverse, &nodes, &edges, truncated || edges_cut)
        })
    }
}

/// Slots on the way, and where each stands among the nodes.
type Places = HashMap<u32, u32, RandomState>;

/// Finds the nodes, by depth and then by creation; and whether the limit bit.
fn reach(
    state: &mut Slices<'_>,
    traverse: &Traverse,
) -> std::result::Result<(Vec<Found>, Places, bool), Stop> {
    let start = state.substrates.require(traverse.start)?;
    let limit = traverse.limit.max(1);
    let mut places = Places::default();
    let mut nodes = vec![Found { slot: start, via: NONE, depth: 0 }];
    places.insert(start, 0);
    let mut level_start = 0;
    let mut depth = 0;
    while depth < traverse.depth_max && level_start < nodes.len() {
        depth += 1;
        let level_end = nodes.len();
        for at in level_start..level_end {
            let slot = nodes[at].slot;
            for &incoming in sides(traverse.direction) {
                let mut first = 0;
                loop {
                    let chunk = state.chunk(slot, incoming, first);
                    let Some(&last) = chunk.last() else { break };
                    for &one in chunk {
                        if !state.relationships.kind(one).is_among(traverse.types) {
                            continue;
                        }
                        let other = state.other_end(one, slot);
                        match places.entry(other) {
                            Entry::Vacant(vacant) => {
                                vacant.insert(nodes.len() as u32);
                                nodes.push(Found { slot: other, via: one, depth });
                            }
                            Entry::Occupied(place) => {
                                // Of several ways into this level the oldest counts.
                                let place = *place.get() as usize;
                                if place >= level_end && one < nodes[place].via {
                                    nodes[place].via = one;
                                }
                            }
                        }
                    }
                    let work = chunk.len() * 3;
                    first = last + 1;
                    state.pay(work)?;
                }
            }
            state.pay(1)?;
        }
        // Slots ascend with creation. Places of this level are out of date from here on, but still
        // below the next level's, which is all that is asked of them.
        nodes[level_end..].sort_unstable_by_key(|found| found.slot);
        if nodes.len() > limit {
            for cut in nodes.drain(limit..) {
                places.remove(&cut.slot);
            }
            return Ok((nodes, places, true));
        }
        level_start = level_end;
    }
    Ok((nodes, places, false))
}

/// All relationships of the asked types among the nodes, oldest first.
fn edges_among(
    state: &mut Slices<'_>,
    traverse: &Traverse,
    nodes: &[Found],
    places: &Places,
) -> std::result::Result<(Vec<u32>, bool), Stop> {
    let mut edges = Vec::new();
    for node in nodes {
        let mut first = 0;
        loop {
            let chunk = state.chunk(node.slot, false, first);
            let Some(&last) = chunk.last() else { break };
            for &one in chunk {
                let edge = state.relationships.edge(one);
                // A bidirectional one stands in this list at both ends; its source's counts.
                if edge.source == node.slot
                    && state.relationships.kind(one).is_among(traverse.types)
                    && places.contains_key(&edge.target)
                {
                    if edges.len() >= EDGES_MAX {
                        edges.sort_unstable();
                        return Ok((edges, true));
                    }
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
    let mut traversal = Traversal { nodes: Vec::with_capacity(nodes.len()), edges: Vec::new(), truncated };
    for found in nodes {
        if state.substrates.is_alive(found.slot) {
            traversal.nodes.push(Reached {
                id: state.substrates.id(found.slot),
                depth: found.depth,
                via: (found.via != NONE).then(|| state.relationships.id(found.via)),
                substrate: traverse.include_substrates.then(|| state.substrate(found.slot)),
            });
        }
        state.pay(if traverse.include_substrates { 10 } else { 1 })?;
    }
    for &edge in edges {
        if state.relationships.kind(edge).is_alive() {
            traversal.edges.push(state.relationship(edge));
        }
        state.pay(3)?;
    }
    Ok(traversal)
}
