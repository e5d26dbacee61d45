//! Many invocations together give what each gives alone.

use super::{document, new_relationship, new_substrate};
use crate::engine::Engine;
use crate::identity::SubstrateId;
use crate::model::*;
use crate::together::TOGETHER;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::meter::Interrupt;
use butterflyfx_formula::value::Value;
use butterflyfx_jit::tier::Mode;
use std::sync::Arc;

/// What stands in the state: formulas of a few shapes in turns, so that they take each other's place; one that has
/// defaults, one that raises, one that is no shape, one into which a value flows.
fn build(mode: Mode) -> Engine {
    let engine = Engine::with_jit(Limits::default(), mode);
    let texts = |i: u64| {
        [
            format!("lambda x: x * {i} + 1"),
            format!("lambda x: x / {i} - 0.{i}"),
            format!("lambda x, y={i}: x * y"),
            format!("lambda **kw: kw.get('a', {i}) % 4 + kw.get('x', 2)"),
            format!("lambda **kw: kw.get('b', {i}) % 4 + kw.get('x', 2)"),
            format!("lambda x: {i} if x > 1 else 'text of {i}'"),
            format!("lambda x: [x, {i}, '\\n']"),
        ]
    };
    for (at, text) in (0..12).flat_map(texts).enumerate() {
        create(&engine, at as u64, &text);
    }
    create(&engine, 1_000, "lambda x: x + 1000");
    let mut flows = new_relationship(RelationshipType::Dependency, 1_000, 0);
    flows.constraints = document(r#"{"parameter": "x"}"#);
    engine.create_relationship(Timestamp(0), flows, OnConflict::Refuse).expect("it binds");
    engine
}

fn create(engine: &Engine, id: u64, text: &str) {
    let new = new_substrate(Some(id), ExpressionType::Lambda, text, "{}");
    engine.create_substrate(Timestamp(0), new, OnConflict::Refuse).expect(text);
}

/// Invocations of these substrates, together, are what they are one by one; `between` happens after they were
/// looked up, and then both answers are of before or after it.
fn check(engine: &Engine, ids: &[u64], between: impl Fn()) {
    let ids: Vec<_> = ids.iter().map(|&id| SubstrateId(id)).collect();
    let one_by_one = |parameters: &Arc<Dict>| -> Vec<String> {
        let one = |&id| {
            let evaluation = engine.evaluate(id, parameters, false);
            format!("{:?}", evaluation.map(|one| (one.value, one.cost)))
        };
        ids.iter().map(one).collect()
    };
    for x in [Value::Int(0), Value::Int(3), Value::Float(2.5), Value::Str("a".into())] {
        let mut parameters = Dict::new();
        parameters.insert_str("x".into(), x);
        let parameters = Arc::new(parameters);
        let before = one_by_one(&parameters);
        let mut together = engine.together(Interrupt::Never);
        together.look_up(&ids);
        between();
        let after = one_by_one(&parameters);
        for (at, id) in ids.iter().enumerate() {
            let found = format!("{:?}", together.evaluate(at, &parameters));
            assert!(found == before[at] || found == after[at], "{id}: {found}, not {}", before[at]);
        }
    }
}

#[test]
fn together_is_one_by_one() {
    for mode in [Mode::Off, Mode::AtOnce] {
        let engine = build(mode);
        let all: Vec<u64> = (0..84).chain([1_000, 7_777, 0, 0, 1, 7, 14]).collect();
        // Twice: the second time formulas are at hand.
        for _ in 0..2 {
            for ids in all.chunks(TOGETHER) {
                check(&engine, ids, || ());
            }
            check(&engine, &all, || ());
            let backwards: Vec<u64> = all.iter().rev().copied().take(TOGETHER).collect();
            check(&engine, &backwards, || ());
        }
    }
}

#[test]
fn what_changes_meanwhile_is_found_before_or_after() {
    let engine = build(Mode::AtOnce);
    let ids: Vec<u64> = (0..28).collect();
    let patch =
        |text: &str| SubstratePatch { expression_code: Some(text.to_owned()), ..SubstratePatch::default() };
    check(&engine, &ids, || {
        for id in [0, 7, 14] {
            let text = format!("lambda x: x * 7{id} + 1");
            let patched =
                engine.patch_substrate(Timestamp(1), SubstrateId(id), patch(&text), &Precondition::default());
            patched.expect("it is there");
        }
    });
    check(&engine, &ids, || {
        let _ = engine.delete_substrate(SubstrateId(21), false, &Precondition::default());
    });
}
