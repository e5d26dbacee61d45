//! What is found, what is not kept, and that all of it stays within the bound.

use super::*;
use butterflyfx_formula::formula::{ExpressionType, Templates};
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::value::Value;

const EDITION: Edition = Edition { sequence: 7, version: 1 };
const MIB: u64 = 1024 * 1024;

fn formula(templates: &Templates, text: &str) -> Formula {
    Formula::new(ExpressionType::Formula, text, &Limits::default(), templates).expect("accepted")
}

fn parameters(text: &str) -> Arc<Dict> {
    match json::read_value(text.as_bytes(), 64, 4096) {
        Ok(Value::Dict(parameters)) => parameters,
        other => panic!("an object: {other:?}"),
    }
}

fn evaluation(edition: Option<Edition>, steps: u64) -> Evaluation {
    Evaluation { value: Value::None, cost: Cost { steps, bytes: 0 }, inputs: None, edition }
}

/// Keeps a text for a question that took a million steps.
fn keep(results: &ResultCache, formula: &Formula, asked: &str, text: &str) {
    let question = results.question(EDITION, formula, &parameters(asked)).expect("a question");
    results.keep(question, &evaluation(Some(EDITION), 1_000_000), text);
}

fn find(results: &ResultCache, formula: &Formula, asked: &str) -> Option<String> {
    let question = results.question(EDITION, formula, &parameters(asked)).expect("a question");
    results.find(&question).map(|kept| kept.text.to_string())
}

#[test]
fn what_is_found_is_what_was_asked() {
    let templates = Templates::default();
    let results = ResultCache::new(MIB).expect("room");
    let sum = formula(&templates, "sum(xs) + 1");
    keep(&results, &sum, r#"{"xs":[1]}"#, "2");
    let check = |formula: &Formula, asked: &str, expected: Option<&str>| {
        assert_eq!(find(&results, formula, asked).as_deref(), expected, "{asked}");
    };
    check(&sum, r#"{"xs":[1]}"#, Some("2"));
    keep(&results, &sum, r#"{"xs":[1]}"#, "2");
    assert_eq!((results.entries(), results.evictions()), (1, 0));
    check(&formula(&templates, "sum( xs ) + 1"), r#"{ "xs": [ 1 ] }"#, Some("2"));
    check(&sum, r#"{"xs":[1.0]}"#, None);
    check(&sum, r#"{"xs":[true]}"#, None);
    check(&sum, r#"{"xs":[]}"#, None);
    check(&formula(&templates, "sum(xs) + 2"), r#"{"xs":[1]}"#, None);
    check(&formula(&templates, "sum(xs) + 1.0"), r#"{"xs":[1]}"#, None);
    check(&formula(&templates, "max(xs) + 1"), r#"{"xs":[1]}"#, None);
}

#[test]
fn questions_with_one_hash_are_told_apart() {
    let templates = Templates::default();
    let results = ResultCache::new(MIB).expect("room");
    let ask = |text: &str, asked: &str| {
        let asked = results.question(EDITION, &formula(&templates, text), &parameters(asked));
        Question { hash: 1, ..asked.expect("a question") }
    };
    let all = || {
        [("sum(xs)", r#"{"xs":[1]}"#), ("sum(xs)", r#"{"xs":[2]}"#), ("max(xs)", r#"{"xs":[1]}"#)]
            .map(|(text, asked)| ask(text, asked))
    };
    let held = all();
    for (question, text) in all().into_iter().zip(["one", "two", "three"]) {
        results.keep(question, &evaluation(Some(EDITION), 1_000), text);
    }
    for (question, text) in held.iter().zip(["one", "two", "three"]) {
        assert_eq!(results.find(question).map(|kept| kept.text.to_string()).as_deref(), Some(text));
    }
}

#[test]
fn a_result_of_another_edition_is_not_kept() {
    let templates = Templates::default();
    let results = ResultCache::new(MIB).expect("room");
    let sum = formula(&templates, "sum(xs)");
    let others = [None, Some(Edition { version: 2, ..EDITION }), Some(Edition { sequence: 8, ..EDITION })];
    for edition in others {
        let question = results.question(EDITION, &sum, &parameters("{}")).expect("a question");
        results.keep(question, &evaluation(edition, 1_000_000), "0");
        assert_eq!(find(&results, &sum, "{}"), None, "{edition:?}");
    }
    keep(&results, &sum, "{}", "0");
    assert_eq!(find(&results, &sum, "{}").as_deref(), Some("0"));
}

#[test]
fn a_template_that_is_gone_leaves_its_place_to_no_other() {
    let results = ResultCache::new(MIB).expect("room");
    for round in 0..200 {
        let templates = Templates::default();
        let one = formula(&templates, &format!("sum(xs{round})"));
        assert_eq!(find(&results, &one, "{}"), None, "round {round}");
        keep(&results, &one, "{}", "0");
        assert!(find(&results, &one, "{}").is_some());
    }
}

#[test]
fn what_is_not_worth_its_bytes_is_not_kept() {
    let templates = Templates::default();
    let results = ResultCache::new(8 * MIB).expect("room");
    let formula = formula(&templates, "sum(xs)");
    let long = parameters(&format!("{{\"xs\":[{}0]}}", "0,".repeat(5_000)));
    for (steps, is_kept) in [(10, false), (100, false), (5_000, true)] {
        let ask = || results.question(EDITION, &formula, &long).expect("a question");
        results.keep(ask(), &evaluation(Some(EDITION), steps), "0");
        assert_eq!(results.find(&ask()).is_some(), is_kept, "{steps} steps");
    }
    keep(&results, &formula, "{}", &"0".repeat(4 * MIB as usize));
    assert_eq!(find(&results, &formula, "{}"), None, "too large an entry");
    assert_eq!((results.entries(), results.evictions()), (1, 0));
}

#[test]
fn a_cache_may_be_none() {
    for (bytes, is_some) in [(0, false), (1, false), (1_000, false), (4_096, true), (MIB, true)] {
        assert_eq!(ResultCache::new(bytes).is_some(), is_some, "{bytes}");
    }
    assert!(ResultCache::new(1024 * 1024 * MIB).is_some());
}

/// Small results fill the tables, large ones follow: the tables stay as large as they have become.
#[test]
fn entries_and_tables_together_stay_within_the_bound() {
    let templates = Templates::default();
    let formula = formula(&templates, "sum(xs)");
    for bytes_max in [64 * 1024, MIB, 16 * MIB] {
        let results = ResultCache::new(bytes_max).expect("room");
        let large = (results.entry_bytes_max / 2) as usize;
        for (length, count) in [(1, 2 * bytes_max / ENTRY_BYTES_MIN), (large, 40), (1, 100), (large, 40)] {
            for n in 0..count {
                keep(&results, &formula, &format!("{{\"xs\":{n},\"length\":{length}}}"), &"0".repeat(length));
            }
            // The tables tell what they use; they may have grown to twice that.
            let tables = 2 * results.cache.memory_used().total() as u64;
            assert!(results.bytes() + tables <= bytes_max, "{} + {tables} of {bytes_max}", results.bytes());
            assert!(results.bytes() > bytes_max / 2, "{} of {bytes_max}", results.bytes());
        }
        assert!(results.evictions() > 0);
    }
}

#[test]
fn an_entry_weighs_what_an_allocator_spends() {
    // As jemalloc rounds.
    for (bytes, expected) in [
        (0, 16),
        (16, 16),
        (17, 32),
        (128, 128),
        (129, 160),
        (161, 192),
        (1_000, 1_024),
        (5_000, 5_120),
        (1_100_000, 1_310_720),
    ] {
        assert_eq!(allocated(bytes), expected, "{bytes}");
    }
    assert!(weight(0, 0) >= ENTRY_BYTES_MIN);
    assert!(weight(10_000, 20_000) > 30_000);
}
