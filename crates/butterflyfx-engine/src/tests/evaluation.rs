//! Parameters that flow along relationships.

use super::{add, document, engine, engine_with, new_relationship, new_substrate};
use crate::engine::Engine;
use crate::error::EngineError;
use crate::identity::SubstrateId;
use crate::model::*;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::error::RaiseKind;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::meter::{Interrupt, Meter};
use butterflyfx_formula::value::Value;
use butterflyfx_jit::tier::Mode;
use proptest::prelude::*;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

/// Substrates: identity and text; a text that begins with `lambda` is one, one in backticks is a
/// constant, any other a formula.
type Substrates<'a> = &'a [(u64, &'a str)];

/// Relationships: source, target, constraints.
type Bindings<'a> = &'a [(u64, u64, &'a str)];

fn build(substrates: Substrates<'_>, bindings: Bindings<'_>) -> Engine {
    build_with(engine(), substrates, bindings)
}

fn build_with(engine: Engine, substrates: Substrates<'_>, bindings: Bindings<'_>) -> Engine {
    for &(id, text) in substrates {
        let (kind, code) = match text.strip_prefix('`') {
            Some(code) => (ExpressionType::Constant, code.trim_end_matches('`')),
            None if text.starts_with("lambda") => (ExpressionType::Lambda, text),
            None => (ExpressionType::Formula, text),
        };
        let new = new_substrate(Some(id), kind, code, "{}");
        engine.create_substrate(Timestamp(0), new, OnConflict::Refuse).expect(text);
    }
    for &(source, target, constraints) in bindings {
        bind(&engine, source, target, constraints);
    }
    engine
}

/// Any type binds; so that one pair can be bound several times, each time takes the next free one.
fn bind(engine: &Engine, source: u64, target: u64, constraints: &str) {
    for rel_type in RelationshipType::ALL {
        let mut new = new_relationship(rel_type, source, target);
        new.constraints = document(constraints);
        match engine.create_relationship(Timestamp(0), new, OnConflict::Refuse) {
            Err(EngineError::RelationshipExists(_)) => continue,
            result => {
                result.expect(constraints);
                return;
            }
        }
    }
}

fn parameters(text: &str) -> Arc<Dict> {
    match json::read_value(text.as_bytes(), 64, 4096) {
        Ok(Value::Dict(parameters)) => parameters,
        other => panic!("parameters are an object: {other:?}"),
    }
}

fn text_of(value: &Value) -> String {
    let mut out = String::new();
    json::write_value(&mut Meter::new(&Limits::default()), value, &mut out).expect("the result is JSON");
    out
}

fn inputs_text(inputs: &[Input]) -> String {
    let source = |source: &InputSource| {
        let below = if source.inputs.is_empty() { String::new() } else { inputs_text(&source.inputs) };
        format!("{:X}={}{below}", source.substrate_id.0, text_of(&source.value))
    };
    let input = |input: &Input| {
        let sources: Vec<_> = input.sources.iter().map(source).collect();
        format!("{}: {}", input.name, sources.join(", "))
    };
    format!("({})", inputs.iter().map(input).collect::<Vec<_>>().join("; "))
}

fn outcome(result: Result<Evaluation, EngineError>) -> String {
    match result {
        Ok(Evaluation { value, inputs: None, .. }) => text_of(&value),
        Ok(Evaluation { value, inputs: Some(inputs), .. }) => {
            format!("{} {}", text_of(&value), inputs_text(&inputs))
        }
        Err(EngineError::Evaluation(stopped)) => {
            let at = stopped.span.map_or(String::new(), |span| format!(" at {}:{}", span.line, span.column));
            let kind = match &stopped.raise.kind {
                RaiseKind::Exception(kind) => kind.name().to_owned(),
                RaiseKind::Limit(limit) => format!("limit {}", limit.name()),
                RaiseKind::MissingParameter(name) => format!("missing {name}"),
                RaiseKind::UnexpectedParameter(name) => format!("unexpected {name}"),
                RaiseKind::ResultNotJson => "not JSON".to_owned(),
                RaiseKind::Interrupted => "interrupted".to_owned(),
            };
            format!("{:X}: {kind}{at}", stopped.substrate_id.0)
        }
        Err(EngineError::DependencyCycle(ids)) => {
            let ids: Vec<_> = ids.iter().map(|id| format!("{:X}", id.0)).collect();
            format!("cycle {}", ids.join(" "))
        }
        Err(error) => format!("{error:?}"),
    }
}

#[test]
fn an_evaluation_can_be_stopped_from_outside() {
    let long = "sum([x for x in range(50000)])";
    let engine = build(&[(1, "a + 1"), (2, long), (3, long), (4, "2")], &[(1, 2, r#"{"parameter": "a"}"#)]);
    let stop = || Interrupt::When(Arc::new(AtomicBool::new(true)));
    let run = |id, interrupt| engine.evaluate_until(SubstrateId(id), &Arc::default(), false, interrupt);
    // Alone, and as an input of another.
    for id in [3, 1] {
        for interrupt in [Interrupt::WhenLong, stop()] {
            let error = run(id, interrupt).expect_err("stopped");
            assert!(error.is_interrupted(), "{error:?}");
            assert!(matches!(error, EngineError::Evaluation(stopped) if stopped.span.is_none()));
        }
        // What stopped one says nothing of the next.
        let sum = if id == 3 { "1249975000" } else { "1249975001" };
        assert_eq!(outcome(engine.evaluate(SubstrateId(id), &Arc::default(), false)), sum);
        assert_eq!(outcome(run(id, Interrupt::When(Arc::default()))), sum, "nobody stops it");
    }
    assert_eq!(outcome(run(4, Interrupt::WhenLong)), "2");
    assert_eq!(outcome(run(4, stop())), "2", "what is short is done before anybody asks");
}

/// Invokes substrate 1.
#[track_caller]
fn check(substrates: Substrates<'_>, bindings: Bindings<'_>, given: &str, expected: &str) {
    let costs = [Mode::Off, Mode::WhenHot, Mode::AtOnce].map(|mode| {
        let engine = build_with(engine_with(mode), substrates, bindings);
        // Twice: the second time formulas come from at hand.
        [1, 2].map(|_| {
            let found = engine.evaluate(SubstrateId(1), &parameters(given), false);
            let cost = found.as_ref().ok().map(|found| found.cost);
            assert_eq!(outcome(found), expected, "{mode:?} {substrates:?} {bindings:?} {given}");
            cost
        })
    });
    assert!(costs.iter().flatten().all(|cost| *cost == costs[0][0]), "{costs:?} {substrates:?} {given}");
}

const PRICE: &str = r#"{"parameter":"price"}"#;

#[test]
fn without_bindings() {
    check(&[(1, "price * qty")], &[], r#"{"price":2,"qty":3}"#, "6");
    check(&[(1, "price * qty")], &[], r#"{"price":2}"#, "1: missing qty");
    check(&[(1, "price * qty")], &[], r#"{"price":2,"qty":1,"z":1}"#, "1: unexpected z");
    check(&[(1, "lambda **kw: kw")], &[], r#"{"z":1}"#, r#"{"z":1}"#);
    check(&[(1, "lambda x, y=5: [x, y]")], &[], r#"{"x":1}"#, "[1,5]");
    check(&[(1, "`[1,{\"a\":2.5}]`")], &[], r#"{"z":1}"#, r#"[1,{"a":2.5}]"#);
    check(&[(1, "lambda x: 1 / x")], &[], r#"{"x":0}"#, "1: ZeroDivisionError at 1:11");
    check(&[(1, "lambda xs, f=lambda v: v * 2: [f(x) for x in xs]")], &[], r#"{"xs":[1,2]}"#, "[2,4]");
    check(&[(1, "lambda x=12345678901234567890123: x")], &[], "{}", "12345678901234567890123");
    check(&[(2, "1")], &[], "{}", "SubstrateNotFound(SubstrateId(1))");
}

#[test]
fn precedence() {
    let total: Substrates<'_> = &[(1, "price * qty"), (2, "`10`")];
    check(total, &[(1, 2, PRICE)], r#"{"qty":3}"#, "30");
    check(total, &[(1, 2, PRICE)], r#"{"qty":3,"price":1}"#, "3");
    check(total, &[(1, 2, PRICE)], "{}", "1: missing qty");
    check(total, &[(1, 2, r#"{"weight":1}"#)], r#"{"qty":3}"#, "1: missing price");
    let defaulted: Substrates<'_> = &[(1, "lambda price=7: price"), (2, "`10`")];
    check(defaulted, &[(1, 2, PRICE)], "{}", "10");
    check(defaulted, &[], "{}", "7");
    // What the caller gives is not asked of the graph: neither its errors nor its cycles.
    check(&[(1, "price"), (2, "1 / 0")], &[(1, 2, PRICE)], r#"{"price":4}"#, "4");
    check(&[(1, "price"), (2, "price")], &[(1, 2, PRICE), (2, 1, PRICE)], r#"{"price":4}"#, "4");
    // A binding to a name that the formula lacks is not read, so its target is not evaluated.
    check(&[(1, "qty"), (2, "1 / 0")], &[(1, 2, PRICE)], r#"{"qty":4}"#, "4");
}

#[test]
fn lists() {
    let parts = r#"{"parameter":"parts"}"#;
    let collect = r#"{"parameter":"parts","collect":true}"#;
    let three: Substrates<'_> = &[(1, "lambda parts: parts"), (2, "`2`"), (3, "`3`"), (4, "`4`")];
    check(three, &[(1, 3, parts), (1, 2, parts), (1, 4, parts)], "{}", "[3,2,4]");
    check(three, &[(1, 3, parts)], "{}", "3");
    check(three, &[(1, 3, collect)], "{}", "[3]");
    check(three, &[(1, 3, collect), (1, 2, parts)], "{}", "[3,2]");
    check(three, &[(1, 3, parts), (1, 3, parts)], "{}", "[3,3]");
    check(three, &[(1, 3, r#"{"parameter":["parts"],"collect":false}"#)], "{}", "3");
    check(&[(1, "x - y"), (2, "`9`")], &[(1, 2, r#"{"parameter":["x","y"]}"#)], "{}", "0");
    check(&[(1, "sum(parts)"), (2, "`2`")], &[(1, 2, collect)], "{}", "2");
}

#[test]
fn keywords_read_all_bound_names() {
    let all: Substrates<'_> = &[(1, "lambda a=0, **kw: [a, kw]"), (2, "`2`"), (3, "`3`")];
    let bindings: Bindings<'_> = &[
        (1, 2, r#"{"parameter":["b","a"]}"#),
        (1, 3, r#"{"parameter":"c"}"#),
        (1, 2, r#"{"parameter":"c"}"#),
    ];
    check(all, bindings, "{}", r#"[2,{"b":2,"c":[3,2]}]"#);
    check(all, bindings, r#"{"z":1,"c":5}"#, r#"[2,{"z":1,"c":5,"b":2}]"#);
}

#[test]
fn the_caller_reaches_all_inputs() {
    let chain: Substrates<'_> =
        &[(1, "lambda net, tax: net * (1 + tax)"), (2, "lambda qty, price=2: qty * price")];
    let net = r#"{"parameter":"net"}"#;
    check(chain, &[(1, 2, net)], r#"{"tax":1,"qty":5}"#, "20");
    check(chain, &[(1, 2, net)], r#"{"tax":1,"qty":5,"price":3}"#, "30");
    check(chain, &[(1, 2, net)], r#"{"tax":1,"qty":5,"colour":3}"#, "1: unexpected colour");
    check(chain, &[(1, 2, net)], r#"{"tax":1}"#, "2: missing qty");
    // An input that is not evaluated takes nothing.
    check(chain, &[(1, 2, net)], r#"{"tax":1,"net":5,"qty":1}"#, "1: unexpected qty");
    // A constant takes none.
    check(&[(1, "net"), (2, "`1`")], &[(1, 2, net)], r#"{"z":1}"#, "1: unexpected z");
    check(&[(1, "`1`"), (2, "`2`")], &[(1, 2, net)], r#"{"z":1}"#, "1");
    check(&[(1, "net"), (2, "lambda **kw: kw['z']")], &[(1, 2, net)], r#"{"z":1}"#, "1");
}

#[test]
fn errors_carry_the_input() {
    let x = r#"{"parameter":"x"}"#;
    check(&[(1, "x"), (2, "1 / 0")], &[(1, 2, x)], "{}", "2: ZeroDivisionError at 1:1");
    check(&[(1, "x"), (2, "x + 1"), (3, "[][5]")], &[(1, 2, x), (2, 3, x)], "{}", "3: IndexError at 1:1");
    check(&[(1, "x"), (2, "range(3)")], &[(1, 2, x)], "{}", "2: not JSON");
    check(&[(1, "x"), (2, "9e999 - 9e999")], &[(1, 2, x)], "{}", "2: not JSON");
    check(&[(1, "x"), (2, "'a' * 10 ** 9")], &[(1, 2, x)], "{}", "2: limit string_length at 1:1");
}

#[test]
fn values_flow_as_json_brings_them() {
    let x = r#"{"parameter":"x"}"#;
    check(&[(1, "x == [1, [2]]"), (2, "(1, (2,))")], &[(1, 2, x)], "{}", "true");
    check(&[(1, "x['1']"), (2, "{1: 'one'}")], &[(1, 2, x)], "{}", "\"one\"");
}

#[test]
fn cycles() {
    let x = r#"{"parameter":"x"}"#;
    check(&[(1, "x")], &[(1, 1, x)], "{}", "cycle 1");
    let three: Substrates<'_> = &[(1, "x"), (2, "x"), (3, "x")];
    check(three, &[(1, 2, x), (2, 3, x), (3, 1, x)], "{}", "cycle 1 2 3");
    check(three, &[(1, 2, x), (2, 3, x), (3, 2, x)], "{}", "cycle 2 3");
    check(three, &[(1, 2, x), (2, 3, r#"{"parameter":"unread"}"#), (3, 1, x)], "{}", "2: missing x");
    check(three, &[(1, 2, x), (1, 3, x), (2, 3, x), (3, 2, x)], "{}", "cycle 2 3");
}

#[test]
fn only_source_to_target() {
    let engine = build(&[(1, "lambda x=0: x"), (2, "lambda x=5: x")], &[]);
    let mut new = new_relationship(RelationshipType::Sibling, 2, 1);
    new.constraints = document(r#"{"parameter":"x"}"#);
    new.bidirectional = true;
    engine.create_relationship(Timestamp(0), new, OnConflict::Refuse).unwrap();
    let invoke = |id| outcome(engine.evaluate(SubstrateId(id), &parameters("{}"), false));
    assert_eq!((invoke(1), invoke(2)), ("0".into(), "0".into()));
}

#[test]
fn bindings_follow_changes() {
    let engine = build(&[(1, "x + 1"), (2, "`2`"), (3, "`3`")], &[(1, 2, r#"{"parameter":"x"}"#)]);
    let invoke = || outcome(engine.evaluate(SubstrateId(1), &parameters("{}"), false));
    assert_eq!(invoke(), "3");
    assert_eq!(engine.is_short(SubstrateId(1)), Ok(false));
    let patch = SubstratePatch { expression_code: Some("20".into()), ..SubstratePatch::default() };
    engine.patch_substrate(Timestamp(1), SubstrateId(2), patch, &Precondition::None).unwrap();
    assert_eq!(invoke(), "21");
    let put = new_substrate(None, ExpressionType::Formula, "x * 100", "{}");
    engine.put_substrate(Timestamp(1), SubstrateId(1), put, &Precondition::None).unwrap();
    assert_eq!(invoke(), "2000");
    engine.delete_substrate(SubstrateId(2), false, &Precondition::None).unwrap();
    assert_eq!(invoke(), "1: missing x");
    assert_eq!(engine.is_short(SubstrateId(1)), Ok(true));
    // The same identity again is another substrate: nothing is bound to it.
    add(&engine, 2, "{}");
    assert_eq!(invoke(), "1: missing x");
    bind(&engine, 1, 3, r#"{"parameter":"x"}"#);
    assert_eq!(invoke(), "300");
}

#[test]
fn shared_inputs_are_evaluated_once() {
    // 40 diamonds one on the other: 2^40 ways, 81 substrates.
    let engine = build(&[(1000, "`1`")], &[]);
    let new = |id: u64, text: &str| {
        let new = new_substrate(Some(id), ExpressionType::Formula, text, "{}");
        engine.create_substrate(Timestamp(0), new, OnConflict::Refuse).unwrap();
    };
    for level in (1..=40u64).rev() {
        new(level, "x + y");
        let below = if level == 40 { 1000 } else { level + 1 };
        bind(&engine, level, below, r#"{"parameter":["x","y"]}"#);
    }
    let evaluation = engine.evaluate(SubstrateId(1), &parameters("{}"), false).unwrap();
    assert_eq!(text_of(&evaluation.value), (1u64 << 40).to_string());
    assert!(evaluation.cost.steps < 2000, "{:?}", evaluation.cost);
    // The tree would have 2^41 entries.
    assert_eq!(outcome(engine.evaluate(SubstrateId(1), &parameters("{}"), true)), "1: limit result_size");
}

#[test]
fn explained_inputs() {
    let x = r#"{"parameter":"x"}"#;
    let engine = build(
        &[(1, "x + sum(parts)"), (2, "x * 2"), (3, "`3`")],
        &[(1, 2, x), (2, 3, x), (1, 3, r#"{"parameter":"parts"}"#), (1, 2, r#"{"parameter":"parts"}"#)],
    );
    let explain = |id, given| outcome(engine.evaluate(SubstrateId(id), &parameters(given), true));
    assert_eq!(explain(1, "{}"), "15 (x: 2=6(x: 3=3); parts: 3=3, 2=6(x: 3=3))");
    assert_eq!(explain(1, r#"{"x":1}"#), "6 (parts: 3=3, 2=2)");
    assert_eq!(explain(3, "{}"), "3 ()");
}

/// A long chain needs no stack; one budget covers all of it.
#[test]
fn long_chains() {
    let engine = build(&[(1, "`1`")], &[]);
    let length = 10_000;
    for id in 2..=length {
        let new = new_substrate(Some(id), ExpressionType::Formula, "x + 1", "{}");
        engine.create_substrate(Timestamp(0), new, OnConflict::Refuse).unwrap();
        bind(&engine, id, id - 1, r#"{"parameter":"x"}"#);
    }
    let invoke = |explain| outcome(engine.evaluate(SubstrateId(length), &parameters("{}"), explain));
    assert_eq!(invoke(false), length.to_string());
    assert_eq!(invoke(true), format!("{length:X}: limit json_depth"));
    let heavy = new_substrate(None, ExpressionType::Formula, "x + sum(range(400)) - 79800", "{}");
    for id in 2..=length {
        engine.put_substrate(Timestamp(0), SubstrateId(id), heavy.clone(), &Precondition::None).unwrap();
    }
    assert!(
        invoke(false).ends_with("limit steps") || invoke(false).contains("limit steps at"),
        "{}",
        invoke(false)
    );
    // The whole chain is one cycle once it is closed.
    let put = new_substrate(None, ExpressionType::Formula, "x", "{}");
    engine.put_substrate(Timestamp(0), SubstrateId(1), put, &Precondition::None).unwrap();
    bind(&engine, 1, length, r#"{"parameter":"x"}"#);
    let cycle = engine.evaluate(SubstrateId(length), &parameters("{}"), false).unwrap_err();
    let EngineError::DependencyCycle(ids) = cycle else { panic!("{cycle:?}") };
    assert_eq!(ids, (1..=length).rev().map(SubstrateId).collect::<Vec<_>>());
}

#[test]
fn constraints_are_checked() {
    let engine = build(&[(1, "`1`"), (2, "`2`")], &[]);
    let check = |constraints: &str, is_good: bool| {
        let mut new = new_relationship(RelationshipType::Lineage, 1, 2);
        new.constraints = document(constraints);
        let result = engine.create_relationship(Timestamp(0), new, OnConflict::Return);
        assert_eq!(result.is_ok(), is_good, "{constraints}: {result:?}");
        assert!(is_good || matches!(result, Err(EngineError::InvalidConstraints(_))));
        if let Ok(created) = result {
            assert_eq!(created.item.constraints, document(constraints));
            engine.delete_relationship(created.item.id).unwrap();
        }
    };
    check(r#"{"parameter":"x"}"#, true);
    check(r#"{"parameter":"_größe1"}"#, true);
    check(r#"{"parameter":["x","y"],"collect":true,"note":[1,{}]}"#, true);
    check(r#"{"anything":"else"}"#, true);
    check(r#"{"parameter":""}"#, false);
    check(r#"{"parameter":"a b"}"#, false);
    check(r#"{"parameter":"1x"}"#, false);
    check(r#"{"parameter":[]}"#, false);
    check(r#"{"parameter":["x",1]}"#, false);
    check(r#"{"parameter":["x",""]}"#, false);
    check(r#"{"parameter":5}"#, false);
    check(r#"{"parameter":null}"#, false);
    check(r#"{"parameter":{"x":1}}"#, false);
    check(r#"{"parameter":"x","collect":1}"#, false);
    check(r#"{"collect":"yes"}"#, false);
    check("[]", false);
    check("null", false);
}

#[test]
fn short_formulas_are_known() {
    let engine = build(&[(1, "x * 2"), (2, "[i for i in xs]"), (3, "`5`")], &[]);
    let short = |id| engine.is_short(SubstrateId(id));
    assert_eq!((short(1), short(2), short(3)), (Ok(true), Ok(false), Ok(true)));
    assert_eq!(short(9), Err(EngineError::SubstrateNotFound(SubstrateId(9))));
}

/// Steps of a chain as long as this, compiled or not, take longer than until the first look at the clock.
const LONG_CHAIN: u64 = 2_000;

#[test]
fn a_long_chain_of_compiled_formulas_can_be_stopped() {
    for mode in [Mode::Off, Mode::AtOnce] {
        let engine = build_with(engine_with(mode), &[(1, "`1`")], &[]);
        for id in 2..=LONG_CHAIN {
            let new = new_substrate(Some(id), ExpressionType::Formula, "(x + 3 - 2) * 1 if x else x", "{}");
            engine.create_substrate(Timestamp(0), new, OnConflict::Refuse).unwrap();
            bind(&engine, id, id - 1, r#"{"parameter":"x"}"#);
        }
        let run = |interrupt| {
            outcome(engine.evaluate_until(SubstrateId(LONG_CHAIN), &Arc::default(), false, interrupt))
        };
        assert_eq!(run(Interrupt::Never), LONG_CHAIN.to_string());
        assert!(run(Interrupt::WhenLong).ends_with("interrupted"), "{mode:?}: {}", run(Interrupt::WhenLong));
        assert_eq!(engine.jit_stats().codes, u64::from(mode == Mode::AtOnce));
    }
}

#[test]
fn what_flows_in_runs_as_machine_code_once_it_is_hot() {
    let engine = build(
        &[(1, "x * y + 1"), (2, "lambda a=2: a * 3 if a < 10 else a"), (3, "`2.5`")],
        &[(1, 2, r#"{"parameter":"x"}"#), (1, 3, r#"{"parameter":"y"}"#)],
    );
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while engine.jit_stats().compiled < 2 {
        assert!(std::time::Instant::now() < patience, "both are compiled within a minute");
        assert_eq!(outcome(engine.evaluate(SubstrateId(1), &parameters("{}"), false)), "16.0");
    }
    let explained = || outcome(engine.evaluate(SubstrateId(1), &parameters(r#"{"a":12}"#), true));
    assert_eq!(explained(), "31.0 (x: 2=12; y: 3=2.5)");
}

/// Formulas that read some of `a`, `b` and `c`, and answer numbers and others.
const TEXTS: [&str; 16] = [
    "`3`",
    "`2.5`",
    "`null`",
    "`true`",
    "a + 1",
    "a * b",
    "lambda a=4: a * 2 if a < 50 else a - 50",
    "lambda a, b=2.5: a / b",
    "a ** 40",
    "lambda **kw: kw.get('a', 1) + kw.get('b', 2)",
    "lambda **kw: kw['c'] - 1",
    "lambda a, **kw: a",
    "lambda **kw: len(kw)",
    "[a, b]",
    "lambda a, c=1: (a > c, a)",
    "round(a, 1) if b else str(a)",
];

/// Relationships: what they bind.
const BINDINGS: [&str; 6] = [
    r#"{"parameter":"a"}"#,
    r#"{"parameter":"b"}"#,
    r#"{"parameter":["a","b"]}"#,
    r#"{"parameter":"c"}"#,
    r#"{"parameter":["b","c"],"collect":true}"#,
    r#"{"parameter":"unread"}"#,
];

const GIVEN: [&str; 6] =
    ["{}", r#"{"a":7}"#, r#"{"b":0}"#, r#"{"c":1.5,"a":null}"#, r#"{"z":1}"#, r#"{"b":"text"}"#];

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Whether compiled or interpreted, whatever flows gives the same value, tree, error and cost.
    #[test]
    fn machine_code_changes_nothing_in_a_graph(
        texts in prop::collection::vec(0..TEXTS.len(), 1..7),
        ends in prop::collection::vec((any::<u8>(), any::<u8>(), 0..BINDINGS.len()), 0..12),
        given in 0..GIVEN.len(),
        steps in prop_oneof![3 => Just(Limits::default().steps), 1 => 5..80_u64],
    ) {
        let count = texts.len() as u64;
        let substrates: Vec<_> = (1..).zip(&texts).map(|(id, &text)| (id, TEXTS[text])).collect();
        let bindings: Vec<_> = ends.iter().filter_map(|&(a, b, what)| {
            let (a, b) = (u64::from(a) % count + 1, u64::from(b) % count + 1);
            // Hardly ever a cycle.
            let (source, target) = if what == 3 { (a, b) } else { (a.min(b), a.max(b)) };
            (source != target).then(|| (source, target, BINDINGS[what]))
        }).collect();
        let limits = || Limits { wall_clock_ms: 60_000, steps, ..Limits::default() };
        let runs = [Mode::Off, Mode::AtOnce].map(|mode| {
            let engine = build_with(Engine::with_jit(limits(), mode), &substrates, &bindings);
            [false, true, false].map(|explain| {
                let found = engine.evaluate(SubstrateId(1), &parameters(GIVEN[given]), explain);
                let cost = found.as_ref().ok().map(|found| found.cost);
                (outcome(found), cost)
            })
        });
        prop_assert_eq!(&runs[0], &runs[1], "{:?} {:?} {} {}", substrates, bindings, GIVEN[given], steps);
    }
}
