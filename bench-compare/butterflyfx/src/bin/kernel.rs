//! `compare-kernel DIRECTORY`: ButterflyFx's engine in this process, without HTTP.

use bench_compare_shared::{self as shared, Batches, FIRST_TIME_US, link};
use butterflyfx_engine::Engine;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{
    Direction, NewRelationship, NewSubstrate, OnConflict, PageRequest, RelationshipType, Timestamp, TypeSet,
};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::limits::Limits;
use std::error::Error;
use std::hint::black_box;
use std::path::PathBuf;
use std::time::Duration;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = PathBuf::from(std::env::args().nth(1).ok_or("compare-kernel DIRECTORY")?);
    let said = |error: EngineError| format!("the engine refuses: {error:?}");
    let engine = Engine::new(Limits::default());
    let empty = shared::resident_at_rest()?;
    let mut load = [Duration::ZERO; 2];
    let mut now = FIRST_TIME_US;

    let mut ids = Vec::new();
    let mut batches = Batches::<8>::open(&directory, "substrates")?;
    loop {
        let batch = batches.next_batch()?;
        if batch.is_empty() {
            break;
        }
        let new: Vec<NewSubstrate> = (ids.len()..).take(batch.len()).map(|i| substrate(i as u64)).collect();
        ids.extend(batch.into_iter().map(u64::from_le_bytes));
        // One call each, so that each has a time of its own.
        shared::timed(&mut load[0], || {
            new.into_iter().try_for_each(|new| {
                now += 1;
                engine
                    .create_substrate(Timestamp(now), new, OnConflict::Refuse)
                    .map(|made| drop(black_box(made)))
            })
        })
        .map_err(said)?;
    }
    // The loader's own identities are counted for nobody.
    let own = (ids.capacity() * 8) as u64;
    let loaded = shared::resident_at_rest()?.saturating_sub(own);

    let mut batches = Batches::<16>::open(&directory, "relationships")?;
    loop {
        let batch = batches.next_batch()?;
        if batch.is_empty() {
            break;
        }
        let new: Vec<NewRelationship> = batch.into_iter().map(|record| relationship(&ids, record)).collect();
        now += new.len() as i64;
        let made = shared::timed(&mut load[1], || {
            engine.create_relationships(Timestamp(now), new, OnConflict::Refuse, false)
        })
        .map_err(said)?;
        if made.iter().any(Result::is_err) {
            return Err("the engine refuses a relationship".into());
        }
    }
    drop(ids);
    let linked = shared::resident_at_rest()?;

    let page = PageRequest { limit: 10_000, after: None };
    let (found, latencies) = shared::ask(&shared::queries(&directory)?, |id, found| {
        let (page, _) =
            engine.relationships_of(SubstrateId(id), Direction::Outgoing, TypeSet::default(), &page)?;
        for one in &page.items {
            found.add(one.id.0, black_box(one).target.0);
        }
        Ok::<_, EngineError>(())
    })
    .map_err(said)?;
    println!("{}", shared::report("this tree", [empty, loaded, linked], load, found, &latencies));
    Ok(())
}

fn substrate(i: u64) -> NewSubstrate {
    let text = |text: String| Document::Text(text.into_boxed_str());
    NewSubstrate {
        identity: None,
        expression_type: ExpressionType::Lambda,
        expression_code: shared::code(i),
        metadata: Document::Map(vec![
            ("name".into(), text(shared::name(i))),
            ("description".into(), text(shared::description(i))),
        ]),
    }
}

fn relationship(ids: &[u64], record: [u8; 16]) -> NewRelationship {
    let link = link(record);
    NewRelationship {
        rel_type: RelationshipType::Dependency,
        source: SubstrateId(ids[link.source as usize]),
        target: SubstrateId(ids[link.target as usize]),
        bidirectional: false,
        constraints: Document::Map(Vec::new()),
        lineage: Document::Null,
    }
}
