//! The rules of identity, versions and search, one by one.

use super::{add, all_pages, document, engine, new_relationship, new_substrate};
use crate::engine::ItemResult;
use crate::error::EngineError;
use crate::identity::SubstrateId;
use crate::model::*;
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;

const LAMBDA: ExpressionType = ExpressionType::Lambda;
const CONSTANT: ExpressionType = ExpressionType::Constant;

#[test]
fn identities() {
    let engine = engine();
    let text = "lambda x: x";
    let hash = SubstrateId::of_formula(LAMBDA, text);
    let create = |identity: Option<u64>, text: &str, on_conflict| {
        let result =
            engine.create_substrate(Timestamp(1), new_substrate(identity, LAMBDA, text, "{}"), on_conflict);
        result.map(|created| (created.item.id, created.is_new))
    };
    assert_eq!(create(None, text, OnConflict::Refuse), Ok((hash, true)));
    assert_eq!(create(None, text, OnConflict::Refuse), Err(EngineError::SubstrateExists(hash)));
    assert_eq!(create(None, text, OnConflict::Return), Ok((hash, false)));
    // A chosen identity that is the hash is the same substrate.
    assert_eq!(create(Some(hash.0), text, OnConflict::Refuse), Err(EngineError::SubstrateExists(hash)));
    // One formula under several chosen identities is fine; 0 is one.
    assert_eq!(create(Some(0), text, OnConflict::Refuse), Ok((SubstrateId(0), true)));
    assert_eq!(create(Some(7), text, OnConflict::Refuse), Ok((SubstrateId(7), true)));
    // Another formula under an identity in use is refused, whatever is asked for.
    for on_conflict in [OnConflict::Refuse, OnConflict::Return] {
        assert_eq!(
            create(Some(7), "lambda y: y", on_conflict),
            Err(EngineError::IdentityInUse(SubstrateId(7)))
        );
    }
    // The type is part of the formula.
    let as_formula = new_substrate(Some(7), ExpressionType::Constant, "1", "{}");
    let refused = engine.create_substrate(Timestamp(1), as_formula, OnConflict::Return);
    assert_eq!(refused.unwrap_err(), EngineError::IdentityInUse(SubstrateId(7)));

    let patch = |id: SubstrateId, code: &str| {
        let patch = SubstratePatch { expression_code: Some(code.into()), ..SubstratePatch::default() };
        engine.patch_substrate(Timestamp(2), id, patch, &Precondition::None).map(|one| one.version)
    };
    assert_eq!(patch(hash, "lambda y: y"), Err(EngineError::IdentityIsContent(hash)));
    assert_eq!(patch(hash, text), Ok(2));
    assert_eq!(patch(SubstrateId(7), "lambda y: y"), Ok(2));
    assert!(matches!(patch(SubstrateId(7), "lambda y: "), Err(EngineError::Formula(_))));
    let put = |id: SubstrateId, code: &str| {
        let new = new_substrate(None, LAMBDA, code, "{}");
        engine
            .put_substrate(Timestamp(3), id, new, &Precondition::None)
            .map(|one| (one.item.version, one.is_new))
    };
    assert_eq!(put(hash, "lambda y: y"), Err(EngineError::IdentityIsContent(hash)));
    assert_eq!(put(hash, text), Ok((3, false)));
    assert_eq!(put(SubstrateId(8), "lambda: 1"), Ok((1, true)));
}

#[test]
fn preconditions() {
    let engine = engine();
    let id = SubstrateId(5);
    let failed = Err(EngineError::PreconditionFailed(id));
    let put = |precondition: &Precondition| {
        let new = new_substrate(None, CONSTANT, "1", "{}");
        engine.put_substrate(Timestamp(3), id, new, precondition).map(|one| one.item.version)
    };
    let exists = Precondition::Exists;
    assert_eq!(put(&exists), failed);
    assert_eq!(put(&Precondition::OneOf(vec![])), failed);
    assert_eq!(engine.delete_substrate(id, false, &exists), Err(EngineError::PreconditionFailed(id)));
    assert_eq!(
        engine.patch_substrate(Timestamp(3), id, SubstratePatch::default(), &exists),
        Err(EngineError::PreconditionFailed(id))
    );
    assert_eq!(
        engine.delete_substrate(id, false, &Precondition::None),
        Err(EngineError::SubstrateNotFound(id))
    );
    assert_eq!(put(&Precondition::None), Ok(1));
    let revision = engine.substrate(id).unwrap().revision();
    assert_eq!(put(&Precondition::OneOf(vec![revision])), Ok(2));
    assert_eq!(put(&Precondition::OneOf(vec![revision])), failed);
    assert_eq!(put(&Precondition::OneOf(vec![])), failed);
    assert_eq!(put(&exists), Ok(3));
    assert_eq!(engine.delete_substrate(id, true, &exists), Ok(()));
}

#[test]
fn put_replaces_all_but_creation() {
    let engine = engine();
    add(&engine, 5, r#"{"a":1}"#);
    let new = new_substrate(Some(99), CONSTANT, "2", r#"{"b":2}"#);
    let put = engine.put_substrate(Timestamp(50), SubstrateId(5), new, &Precondition::None).unwrap();
    let expected = Substrate {
        id: SubstrateId(5),
        created_at: Timestamp(5),
        updated_at: Timestamp(50),
        version: 2,
        expression_type: CONSTANT,
        expression_code: "2".into(),
        metadata: document(r#"{"b":2}"#),
    };
    assert_eq!((put.is_new, &put.item), (false, &expected));
    assert_eq!(engine.substrate(SubstrateId(5)), Ok(expected));
    let list = document("[1]");
    let patch = SubstratePatch { metadata: Some(list.clone()), ..SubstratePatch::default() };
    let patched = engine.patch_substrate(Timestamp(51), SubstrateId(5), patch, &Precondition::None);
    assert!(matches!(patched, Err(EngineError::InvalidQuery(pointer, _)) if pointer == "/metadata"));
    let bad = NewSubstrate { metadata: list, ..new_substrate(None, CONSTANT, "3", "{}") };
    assert!(engine.create_substrate(Timestamp(0), bad, OnConflict::Refuse).is_err());
}

#[test]
fn relationships_name_the_missing_end() {
    let engine = engine();
    add(&engine, 1, "{}");
    let relate = |source, target| {
        let new = new_relationship(RelationshipType::Dependency, source, target);
        engine.create_relationship(Timestamp(0), new, OnConflict::Refuse).map(|created| created.is_new)
    };
    assert_eq!(relate(1, 2), Err(EngineError::SubstrateNotFound(SubstrateId(2))));
    assert_eq!(relate(3, 1), Err(EngineError::SubstrateNotFound(SubstrateId(3))));
    assert_eq!(relate(1, 1), Ok(true));
    assert!(matches!(relate(1, 1), Err(EngineError::RelationshipExists(_))));
    let restricted = engine.delete_substrate(SubstrateId(1), true, &Precondition::None);
    assert_eq!(restricted, Err(EngineError::HasRelationships(SubstrateId(1), 1)));
}

/// Ten substrates whose metadata `v` is each of these, in order; the last has none.
const VALUES: [&str; 10] =
    ["1", "1.5", "\"a\"", "true", "null", "[1,2]", "12345678901234567890", r#"{"x":{"y":2}}"#, "\"ab\"", ""];

#[test]
fn search_tells_kinds_apart() {
    for indexed in [false, true] {
        let engine = engine();
        if indexed {
            assert_eq!(engine.create_index(Timestamp(0), "v"), Ok(true));
        }
        for (at, value) in VALUES.iter().enumerate() {
            let metadata = if value.is_empty() { "{}".to_owned() } else { format!("{{\"v\":{value}}}") };
            add(&engine, at as u64, &metadata);
        }
        let check = |key: &str, condition: Condition, expected: &[u64]| {
            let field = Field::Metadata(key.to_owned());
            let search = Search { conditions: vec![(field, condition.clone())], sort: None };
            let found = all_pages(2, |page| engine.search(&search, page)).unwrap();
            let ids: Vec<_> = found.iter().map(|one| one.id.0).collect();
            assert_eq!(ids, expected, "{key} {condition:?}, indexed: {indexed}");
        };
        let read = document;
        check("v", Condition::Equal(read("1")), &[0]);
        check("v", Condition::Equal(read("1.0")), &[0]);
        check("v", Condition::Equal(read("true")), &[3]);
        check("v", Condition::Equal(Document::Null), &[4]);
        check("v", Condition::Equal(read("[1.0,2]")), &[5]);
        check("v", Condition::Equal(read("[2,1]")), &[]);
        check("v", Condition::Equal(read(r#"{"x":{"y":2.0}}"#)), &[7]);
        check("v", Condition::Equal(read("12345678901234567890")), &[6]);
        check("v", Condition::Equal(read("\"1\"")), &[]);
        check("v", Condition::NotEqual(read("1")), &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
        check("v", Condition::Greater(read("1")), &[1, 6]);
        check("v", Condition::GreaterOrEqual(read("1")), &[0, 1, 6]);
        check("v", Condition::Less(read("1.5")), &[0]);
        check("v", Condition::LessOrEqual(read("1e30")), &[0, 1, 6]);
        check("v", Condition::Greater(read("\"\"")), &[2, 8]);
        check("v", Condition::Greater(read("[0]")), &[]);
        check("v", Condition::GreaterOrEqual(Document::Null), &[4]);
        check("v", Condition::In(vec![read("1"), read("\"ab\""), read("null")]), &[0, 4, 8]);
        check("v", Condition::In(vec![]), &[]);
        check("v", Condition::Exists(true), &[0, 1, 2, 3, 4, 5, 6, 7, 8]);
        check("v", Condition::Exists(false), &[9]);
        check("v", Condition::Prefix("a".into()), &[2, 8]);
        check("v", Condition::Prefix("".into()), &[2, 8]);
        check("v", Condition::Prefix("\u{10FFFF}".into()), &[]);
        check("v.x.y", Condition::Equal(read("2")), &[7]);
        check("v.x.z", Condition::Exists(true), &[]);
        check("v.x", Condition::Exists(true), &[7]);
    }
}

#[test]
fn large_sorts_want_an_index() {
    let engine = engine();
    for at in 0..30u64 {
        add(&engine, at, &format!(r#"{{"size":{},"colour":"{}"}}"#, at % 7, at % 3));
    }
    let size = || Field::Metadata("size".into());
    let search = Search { conditions: vec![], sort: Some((size(), true)) };
    let page = PageRequest { limit: 100, after: None };
    assert_eq!(engine.search(&search, &page), Err(EngineError::ScanTooLarge("size".into(), 30)));
    engine.create_index(Timestamp(9), "size").unwrap();
    let found = all_pages(100, |page| engine.search(&search, page)).unwrap();
    assert_eq!(found.iter().take(6).map(|one| one.id.0).collect::<Vec<_>>(), [6, 13, 20, 27, 5, 12]);
    let info = &engine.indexes()[0];
    assert_eq!((info.entries, info.distinct_values, info.created_at), (30, 7, Timestamp(9)));
    // A cursor of one order is refused by another.
    let first = engine.search(&search, &PageRequest { limit: 2, after: None }).unwrap();
    let ascending = Search { conditions: vec![], sort: Some((size(), false)) };
    let page = PageRequest { limit: 2, after: first.next };
    assert_eq!(engine.search(&ascending, &page), Err(EngineError::InvalidCursor));
    // An order that no index serves names itself.
    let updated = Search { conditions: vec![], sort: Some((Field::UpdatedAt, false)) };
    let refused = engine.search(&updated, &PageRequest { limit: 2, after: None });
    assert_eq!(refused, Err(EngineError::ScanTooLarge("updated_at".into(), 30)));
}

#[test]
fn long_sort_keys_page_too() {
    let engine = engine();
    engine.create_index(Timestamp(0), "text").unwrap();
    let mut expected = Vec::new();
    for at in 0..9u64 {
        let text = format!("{}{}", "x".repeat(400), 9 - at % 4);
        add(&engine, at, &format!(r#"{{"text":"{text}"}}"#));
        expected.push((text, at));
    }
    expected.sort();
    let search = Search { conditions: vec![], sort: Some((Field::Metadata("text".into()), false)) };
    let found = all_pages(2, |page| {
        assert!(page.after.as_ref().is_none_or(|cursor| cursor.0.len() < 400));
        engine.search(&search, page)
    });
    let ids: Vec<_> = found.unwrap().iter().map(|one| one.id.0).collect();
    assert_eq!(ids, expected.iter().map(|(_, at)| *at).collect::<Vec<_>>());
}

#[test]
fn atomic_batches_name_the_first_bad_item() {
    let engine = engine();
    add(&engine, 1, "{}");
    let good = || new_substrate(Some(2), CONSTANT, "2", "{}");
    let taken = || new_substrate(Some(1), CONSTANT, "2", "{}");
    let unreadable = || new_substrate(Some(3), LAMBDA, "lambda x:", "{}");
    let create =
        |new: Vec<NewSubstrate>| engine.create_substrates(Timestamp(0), new, OnConflict::Refuse, true);
    let at = |result: Result<_, EngineError>| match result {
        Err(EngineError::Batch(at, _)) => Some(at),
        Ok(results) => {
            let results: Vec<ItemResult<Substrate>> = results;
            assert!(results.iter().all(Result::is_ok));
            None
        }
        Err(error) => panic!("{error:?}"),
    };
    assert_eq!(at(create(vec![good(), taken(), unreadable()])), Some(1));
    assert_eq!(at(create(vec![good(), unreadable(), taken()])), Some(1));
    assert_eq!(at(create(vec![good(), good()])), Some(1));
    assert_eq!(engine.counts(), (1, 0));
    assert_eq!(at(create(vec![good()])), None);
    assert_eq!(engine.counts(), (2, 0));
}
