//! `compare-grafeo DIRECTORY`: Grafeo in this process, through its Rust crate's direct calls.
//!
//! Loaded by its batch calls in memory, the index on `id` made afterwards; a query finds the node
//! by the index and reads properties directly, which is quicker than a query text.

use bench_compare_shared::{self as shared, Batches, FIRST_TIME_US, link};
use grafeo::database::BatchEdge;
use grafeo::{GrafeoDB, NodeId, Value};
use grafeo_common::types::PropertyKey;
use grafeo_core::graph::Direction;
use std::collections::HashMap;
use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

/// One of the allocators that Grafeo's documentation offers, and the same as ButterflyFx has.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).ok_or("compare-grafeo DIRECTORY")?);
    let db = GrafeoDB::new_in_memory();
    let empty = shared::resident_at_rest()?;
    let mut load = [Duration::ZERO; 2];
    let mut now = FIRST_TIME_US;
    let key = |name: &str| PropertyKey::from(name);

    let mut nodes: Vec<NodeId> = Vec::new();
    let mut batches = Batches::<8>::open(&directory, "substrates")?;
    loop {
        let batch = batches.next_batch()?;
        if batch.is_empty() {
            break;
        }
        let mut new = Vec::with_capacity(batch.len());
        for (i, identity) in (nodes.len() as u64..).zip(batch) {
            now += 1;
            new.push(HashMap::from([
                (key("id"), Value::Int64(i64::from_le_bytes(identity))),
                (key("type"), Value::from("lambda")),
                (key("code"), Value::from(shared::code(i))),
                (key("name"), Value::from(shared::name(i))),
                (key("description"), Value::from(shared::description(i))),
                (key("created_at"), Value::Int64(now)),
                (key("updated_at"), Value::Int64(now)),
                (key("version"), Value::Int64(1)),
            ]));
        }
        nodes.extend(shared::timed(&mut load[0], || db.batch_create_nodes_with_props("Substrate", new))?);
    }
    shared::timed(&mut load[0], || db.create_property_index("id"));
    // The loader's own node numbers are counted for nobody.
    let own = (nodes.capacity() * size_of::<NodeId>()) as u64;
    let loaded = shared::resident_at_rest()?.saturating_sub(own);

    let mut batches = Batches::<16>::open(&directory, "relationships")?;
    loop {
        let batch = batches.next_batch()?;
        if batch.is_empty() {
            break;
        }
        let mut new = Vec::with_capacity(batch.len());
        for link in batch.into_iter().map(link) {
            now += 1;
            new.push(
                BatchEdge::new(nodes[link.source as usize], nodes[link.target as usize], "DEPENDENCY")
                    .with_properties([("id", link.identity as i64), ("created_at", now)]),
            );
        }
        shared::timed(&mut load[1], || db.batch_create_edges(new))?;
    }
    drop(nodes);
    let linked = shared::resident_at_rest()?;

    let store = db.graph_store();
    let (id_key, time_key) = (key("id"), key("created_at"));
    let (found, latencies) = shared::ask(&shared::queries(&directory)?, |id, found| {
        let nodes = db.find_nodes_by_property("id", &Value::Int64(id as i64));
        let node = nodes.first().ok_or("a node is missing")?;
        for (target, edge) in store.edges_from(*node, Direction::Outgoing) {
            let identity = store.get_edge_property(edge, &id_key);
            let target = store.get_node_property(target, &id_key);
            let time = store.get_edge_property(edge, &time_key);
            let (Some(Value::Int64(identity)), Some(Value::Int64(target)), Some(_)) =
                (identity, target, black_box(time))
            else {
                return Err("a property is missing");
            };
            black_box(store.edge_type(edge));
            found.add(identity as u64, target as u64);
        }
        Ok(())
    })?;
    println!("{}", shared::report("0.5.44", [empty, loaded, linked], load, found, &latencies));
    Ok(())
}
