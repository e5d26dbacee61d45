//! What is in memory, written to a fresh file, is what the engine holds.

use crate::records::{Model, index, open, relationships, reopen, substrates};
use butterflyfx_engine::Engine;
use butterflyfx_engine::model::{RelationshipType, Timestamp};
use butterflyfx_engine::record::Change;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::limits::Limits;
use butterflyfx_store::{KeptAnswer, Next, StoreError, rescue, restore};
use std::fs;

/// An engine with these records.
fn engine_of(model: &Model, next: Next) -> Engine {
    let engine = Engine::new(Limits::default());
    let substrates: Vec<_> = model.substrates.values().cloned().collect();
    let relationships: Vec<_> = model.relationships.values().cloned().collect();
    engine.restore_substrates(&substrates).unwrap();
    engine.restore_relationships(&relationships).unwrap();
    model.indexes.iter().for_each(|one| engine.restore_index(one));
    engine.restore_sequences(next.substrate, next.relationship);
    engine
}

/// A rescue of these changes and answers is what a store of the same has.
#[track_caller]
fn check(changes: &[Change], answers: &[KeptAnswer], next: Next) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(&folder.path().join("data"));
    store.commit(changes, answers).unwrap();
    store.raise_next(next).unwrap();
    let mut model = Model { answers: answers.to_vec(), ..Model::default() };
    model.apply(changes);
    model.indexes.sort_by(|one, other| one.metadata_key.cmp(&other.metadata_key));
    let engine = engine_of(&model, store.next());

    let (file, restored) = (folder.path().join("rescued"), folder.path().join("restored"));
    let made = rescue(&engine, answers, &file).unwrap();
    assert_eq!((made.digest, made.counts), (store.digest(), store.counts()));
    assert_eq!(made.bytes, fs::metadata(&file).unwrap().len());
    assert_eq!(restore(&file, &restored).unwrap().digest, store.digest());
    let (found, recovered) = reopen(&restored).unwrap();
    assert_eq!((found, recovered.next), (model, store.next()));
    assert!(matches!(rescue(&engine, answers, &file), Err(StoreError::Exists { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 3, "nothing else is left");
}

#[test]
fn a_rescue_is_what_the_engine_holds() {
    check(&[], &[], Next::default());
    let answer = KeptAnswer {
        name: "/a\nkey".to_owned(),
        expires_at: Timestamp(i64::MAX),
        request_hash: [3; 32],
        status: 200,
        headers: vec![("content-type".to_owned(), "application/json".to_owned())],
        body: vec![b'x'; 20_000].into(),
    };
    let mut changes = substrates(0, 5_000);
    changes.extend(relationships(7, 3_000, 5_000));
    for change in &mut changes {
        // What an engine takes.
        match change {
            Change::SubstrateCreated(one) => one.substrate.expression_type = ExpressionType::Lambda,
            Change::RelationshipCreated(one) => one.rel_type = RelationshipType::Lineage,
            _ => {}
        }
    }
    changes.extend(["layer", "a"].map(|key| Change::IndexDeclared(index(key))));
    check(&changes, &[answer], Next { substrate: 9_000, relationship: 8_000 });
}
