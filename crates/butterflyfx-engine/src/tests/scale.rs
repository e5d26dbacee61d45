//! Hubs, create and delete for ever, and many threads.

use super::{add, all_pages, document, engine, new_relationship, new_substrate};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::identity::SubstrateId;
use crate::model::*;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Quadratic work on a hub of this size would show as minutes.
#[test]
fn a_hub_comes_and_goes() {
    let engine = engine();
    let count = 60_000u64;
    for id in 0..=count {
        add(&engine, id, "{}");
    }
    let spokes = |rel_type| (1..=count).map(|id| new_relationship(rel_type, 0, id)).collect();
    let relate = |rel_type| {
        let results = engine.create_relationships(Timestamp(0), spokes(rel_type), OnConflict::Refuse, false);
        assert!(results.unwrap().iter().all(Result::is_ok));
    };
    relate(RelationshipType::Containment);
    relate(RelationshipType::Sibling);
    let all = TypeSet::default();
    let mut siblings = TypeSet::default();
    siblings.insert(RelationshipType::Sibling);
    let total = |types| {
        let page = PageRequest { limit: 1, after: None };
        engine.relationships_of(SubstrateId(0), Direction::Outgoing, types, &page).map(|(_, total)| total)
    };
    assert_eq!((total(all), total(siblings)), (Ok(2 * count), Ok(count)));
    // Spoke by spoke, with their relationships.
    for id in 1..=count / 2 {
        engine.delete_substrate(SubstrateId(id), false, &Precondition::None).unwrap();
    }
    assert_eq!((total(all), total(siblings)), (Ok(count), Ok(count / 2)));
    assert_eq!(engine.stats().out_degree_max, count);
    engine.delete_substrate(SubstrateId(0), false, &Precondition::None).unwrap();
    assert_eq!(total(all), Err(EngineError::SubstrateNotFound(SubstrateId(0))));
    assert_eq!(engine.counts(), (count / 2, 0));
    assert_eq!(engine.stats().in_degree_max, 0);
}

/// What comes and goes for ever leaves nothing behind.
#[test]
fn memory_is_flat_under_create_and_delete() {
    let engine = engine();
    engine.create_index(Timestamp(0), "name").unwrap();
    let bytes = || engine.stats().memory.iter().map(|(_, bytes)| bytes).sum::<u64>();
    let mut after_first = 0;
    for round in 0..30u64 {
        for at in 0..1000u64 {
            let id = round * 1000 + at;
            let code = format!("lambda **kw: kw.get('x', 0) * {id} + kw.get('y', {round})");
            let metadata =
                format!(r#"{{"name":"substrate_{id}","description":"multiplies x by {id}","key_{id}":1}}"#);
            let new = new_substrate(Some(id), ExpressionType::Lambda, &code, &metadata);
            engine.create_substrate(Timestamp(0), new, OnConflict::Refuse).unwrap();
            let mut new = new_relationship(RelationshipType::Dependency, id, round * 1000);
            new.constraints = document(&format!(r#"{{"parameter":"p{id}","note":"{id}"}}"#));
            engine.create_relationship(Timestamp(0), new, OnConflict::Refuse).unwrap();
        }
        for at in 0..1000u64 {
            engine.delete_substrate(SubstrateId(round * 1000 + at), false, &Precondition::None).unwrap();
        }
        if round == 2 {
            after_first = bytes();
        }
    }
    assert_eq!(engine.counts(), (0, 0));
    assert_eq!(engine.stats().templates, 0);
    // Object keys are kept once seen, up to their bound; everything else is as it was.
    let keys = 1_500_000;
    assert!(bytes() < after_first + keys, "{after_first} grew to {}: {:?}", bytes(), engine.stats().memory);
}

/// Readers of every kind while writers create, patch, delete and compact.
#[test]
fn readers_go_on_while_writers_write() {
    let engine = Arc::new(engine());
    engine.create_index(Timestamp(0), "a").unwrap();
    for id in 0..200u64 {
        add(&engine, id, &format!(r#"{{"a":{}}}"#, id % 9));
    }
    for id in 0..200u64 {
        let mut new = new_relationship(RelationshipType::Dependency, id, (id + 1) % 200);
        new.constraints = document(r#"{"parameter":"x"}"#);
        engine.create_relationship(Timestamp(0), new, OnConflict::Refuse).unwrap();
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let reader = |read: fn(&crate::Engine, u64)| {
        let (engine, is_over) = (Arc::clone(&engine), Arc::clone(&is_over));
        std::thread::spawn(move || {
            let mut rounds = 0;
            while !is_over.load(Ordering::Relaxed) {
                read(&engine, rounds);
                rounds += 1;
            }
            rounds
        })
    };
    let readers = [
        reader(|engine, round| {
            let traverse = Traverse {
                start: SubstrateId(round % 200),
                direction: Direction::Both,
                depth_max: 1000,
                types: TypeSet::default(),
                limit: 500,
                include_substrates: true,
            };
            let found = engine.traverse(&traverse).unwrap();
            // The ring is never touched, so all of it is found, once.
            assert!(found.nodes.len() >= 200 && found.edges.len() >= 200);
        }),
        reader(|engine, round| {
            let (from, to) = (SubstrateId(round % 200), SubstrateId(round * 7 % 200));
            let path = engine.path(from, to, TypeSet::default(), Direction::Outgoing).unwrap();
            assert_eq!(path.nodes.len(), path.edges.len() + 1);
        }),
        reader(|engine, round| {
            let sort =
                [None, Some((Field::Metadata("a".into()), round % 2 == 0))][round as usize % 2].clone();
            let steady = (Field::Version, Condition::Equal(document("1")));
            let search = Search { conditions: vec![steady], sort };
            let found = all_pages(50, |page| engine.search(&search, page)).unwrap();
            assert!(found.iter().filter(|one| one.id.0 < 200).count() == 200);
        }),
        reader(|engine, round| {
            let id = SubstrateId(round % 200);
            let value = engine.evaluate(id, &Arc::new(Dict::new()), false);
            assert!(value.is_ok());
            assert!(all_pages(64, |page| engine.substrates(page)).unwrap().len() >= 200);
            let _ = engine.stats();
        }),
    ];
    let writer = |base: u64| {
        let engine = Arc::clone(&engine);
        std::thread::spawn(move || {
            for round in 0..60u64 {
                let ids: Vec<u64> = (0..40).map(|at| base + (round * 40 + at) % 1000).collect();
                for &id in &ids {
                    add(&engine, id, &format!(r#"{{"a":{}}}"#, id % 11));
                    let new = new_relationship(RelationshipType::Sibling, id, id % 200);
                    engine.create_relationship(Timestamp(0), new, OnConflict::Refuse).unwrap();
                    let metadata = Some(document(&format!(r#"{{"a":{round}}}"#)));
                    let patch = SubstratePatch { metadata, ..SubstratePatch::default() };
                    engine
                        .patch_substrate(Timestamp(0), SubstrateId(id), patch, &Precondition::None)
                        .unwrap();
                }
                for &id in &ids {
                    engine.delete_substrate(SubstrateId(id), false, &Precondition::None).unwrap();
                }
            }
        })
    };
    let writers = [writer(10_000), writer(20_000)];
    for writer in writers {
        writer.join().unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    for reader in readers {
        assert!(reader.join().unwrap() > 0);
    }
    assert_eq!(engine.counts(), (200, 200));
}

/// Items of megabytes fill an answer before its limit does.
#[test]
fn large_documents_make_short_pages() {
    let engine = engine();
    let count = 40u64;
    let text = "x".repeat(1_000);
    for id in 0..count {
        add(&engine, id, &format!("{{\"text\":\"{text}\",\"rank\":{}}}", (id * 7) % count));
    }
    for id in 1..count {
        let mut new = new_relationship(RelationshipType::Containment, 0, id);
        new.constraints = document(&format!("{{\"text\":\"{text}\"}}"));
        engine.create_relationship(Timestamp(0), new, OnConflict::Refuse).unwrap();
    }
    let ids: Vec<u64> = (0..count).collect();
    let check = |what: &str, page: &dyn Fn(&PageRequest) -> crate::engine::Result<Page<u64>>| {
        let first = page(&PageRequest { limit: 10_000, after: None }).unwrap();
        assert!(first.items.len() <= 5 && first.next.is_some(), "{what}: {} items", first.items.len());
        let mut all = all_pages(10_000, page).unwrap();
        all.sort_unstable();
        assert_eq!(all, if what.starts_with("relationships") { &ids[1..] } else { &ids[..] }, "{what}");
    };
    let numbers = |page: Page<Substrate>| Page {
        items: page.items.iter().map(|one| one.id.0).collect(),
        next: page.next,
    };
    let targets = |page: Page<Relationship>| Page {
        items: page.items.iter().map(|one| one.target.0).collect(),
        next: page.next,
    };
    check("substrates", &|page| engine.substrates(page).map(numbers));
    let sorts = [
        None,
        Some((Field::CreatedAt, false)),
        Some((Field::CreatedAt, true)),
        Some((Field::Metadata("rank".to_owned()), true)),
    ];
    engine.create_index(Timestamp(0), "rank").unwrap();
    for sort in sorts {
        let search = Search { conditions: vec![], sort };
        check("search", &|page| engine.search(&search, page).map(numbers));
    }
    // Few enough candidates are sorted at once.
    let few = Condition::In((0..4).map(Document::Int).collect());
    let rank = || Field::Metadata("rank".to_owned());
    let search = Search { conditions: vec![(rank(), few)], sort: Some((Field::Version, false)) };
    assert_eq!(all_pages(10_000, |page| engine.search(&search, page)).unwrap().len(), 4);
    check("relationships", &|page| engine.relationships(&RelationshipFilter::default(), page).map(targets));
    for types in [TypeSet::default(), {
        let mut types = TypeSet::default();
        types.insert(RelationshipType::Containment);
        types
    }] {
        check("relationships of one", &|page| {
            engine.relationships_of(SubstrateId(0), Direction::Outgoing, types, page).map(|(page, total)| {
                assert_eq!(total, count - 1);
                targets(page)
            })
        });
    }
    let mut traverse = Traverse {
        start: SubstrateId(0),
        direction: Direction::Outgoing,
        depth_max: 3,
        types: TypeSet::default(),
        limit: 1_000,
        include_substrates: true,
    };
    let found = engine.traverse(&traverse).unwrap();
    assert!(found.truncated && (2..=6).contains(&found.nodes.len()), "{} nodes", found.nodes.len());
    traverse.include_substrates = false;
    let found = engine.traverse(&traverse).unwrap();
    assert_eq!(found.nodes.len() as u64, count);
    assert!(found.truncated && (1..=5).contains(&found.edges.len()), "{} edges", found.edges.len());
}

/// What deletes leave behind comes back: after nine of ten substrates are gone the rest takes about
/// what it takes in a fresh engine, and answers as it did.
#[test]
fn deleting_most_gives_memory_back() {
    const SUBSTRATES: u64 = 20_000;
    const RELATIONSHIPS: u64 = 60_000;
    let stays = |at: u64| at % 10 == 3;
    let load = |only_rest: bool| {
        let engine = engine();
        let is_in = |at: &u64| !only_rest || stays(*at);
        for at in (0..SUBSTRATES).filter(is_in) {
            let code = format!("x * {at} + 1");
            let metadata = format!(r#"{{"name": "substrate_{at}"}}"#);
            let new = new_substrate(Some(at), ExpressionType::Formula, &code, &metadata);
            engine.create_substrate(Timestamp(1000 + at as i64 / 100), new, OnConflict::Refuse).unwrap();
        }
        for at in 0..RELATIONSHIPS {
            let (source, target) = (at * 7919 % SUBSTRATES, at * 104_729 % SUBSTRATES);
            if is_in(&source) && is_in(&target) {
                let new = new_relationship(RelationshipType::Dependency, source, target);
                let _ =
                    engine.create_relationship(Timestamp(5000 + at as i64 / 100), new, OnConflict::Refuse);
            }
        }
        engine
    };
    let bytes = |engine: &Engine| engine.stats().memory.iter().map(|(_, bytes)| bytes).sum::<u64>();
    let (whole, rest) = (load(false), load(true));
    let before = bytes(&whole);
    for at in (0..SUBSTRATES).filter(|&at| !stays(at)) {
        whole.delete_substrate(SubstrateId(at), false, &Precondition::None).unwrap();
    }
    while whole.tidy() {}
    assert!(!whole.wants_tidying());
    while rest.tidy() {}
    let (left, fresh) = (bytes(&whole), bytes(&rest));
    let parts = || (whole.stats().memory, rest.stats().memory);
    assert!(left < before / 5 && fresh < before / 5, "{left} bytes are left of {before}: {:?}", parts());
    // What is counted for each slab and segment weighs more where these are small. Creation numbers and times of what was
    // far apart take more bits than those of neighbours.
    for ((part, left), (_, fresh)) in whole.stats().memory.into_iter().zip(rest.stats().memory) {
        let most = match part {
            "substrate_ages" | "relationship_ages" => fresh * 3,
            "texts_and_metadata" => fresh * 5 / 2,
            _ => fresh + fresh / 4,
        };
        assert!(
            left <= most + 8_000,
            "{part}: {left} bytes are left, and a fresh engine has {fresh}: {:?}",
            parts()
        );
    }
    let all = |engine: &Engine| all_pages(1000, |page| engine.substrates(page)).unwrap();
    assert_eq!(all(&whole), all(&rest));
    let filter = RelationshipFilter::default();
    let all = |engine: &Engine| all_pages(1000, |page| engine.relationships(&filter, page)).unwrap();
    assert_eq!(all(&whole), all(&rest));
}
