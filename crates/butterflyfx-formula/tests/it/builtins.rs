//! Built-ins, methods, subscripts and slices answer as CPython 3.13 does, down to the message.
//!
//! The cases are lines of `data/builtins.txt`; the script beside it fills in CPython's answers.

use crate::support::{Outcome, evaluate};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::error::RaiseKind;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limit;

/// The expression's repr, or its exception with the message.
fn answer(expression: &str) -> String {
    match evaluate(ExpressionType::Formula, &format!("str([{expression}])"), "{}") {
        Outcome::Result(result, _) => match json::read_document(result.as_bytes(), 8) {
            Ok(Document::Text(shown)) => shown[1..shown.len() - 1].to_owned(),
            other => format!("no text: {other:?}"),
        },
        Outcome::Raised(RaiseKind::Exception(kind), message) => {
            format!("{}: {message}", kind.name()).replace('\n', "\\n").replace('\t', "\\t")
        }
        other => format!("{other:?}"),
    }
}

#[test]
fn answers_equal_cpython() {
    let cases = include_str!("../data/builtins.txt").lines();
    let mut count = 0;
    let mut differences = String::new();
    for case in cases {
        let Some((expression, expected)) = case.split_once('\t') else { panic!("no tab: {case}") };
        let ours = answer(expression);
        if ours != expected {
            differences += &format!("\n{expression}\n  CPython: {expected}\n  ours:    {ours}");
        }
        count += 1;
    }
    assert!(count > 1_000, "only {count} cases");
    assert!(differences.is_empty(), "{differences}");
}

/// The expression is stopped by this limit.
#[track_caller]
fn check_limit(expression: &str, expected: Limit) {
    match evaluate(ExpressionType::Formula, expression, "{}") {
        Outcome::Raised(RaiseKind::Limit(limit), _) => assert_eq!(limit, expected, "{expression}"),
        other => panic!("{expression}: expected {expected:?}, got {other:?}"),
    }
}

#[test]
fn sizes_are_checked_before_the_work() {
    for (expression, expected) in [
        ("[0] * 10**12", Limit::ListLength),
        ("10**18 * (0, 1)", Limit::ListLength),
        ("'ab' * 10**18", Limit::StringLength),
        ("'a' * 10**10", Limit::StringLength),
        ("'a'.center(2**62, '😀')", Limit::StringLength),
        ("'a'.zfill(2**63 - 1)", Limit::StringLength),
        ("('a' * 10**6).replace('a', 'b' * 10**6)", Limit::StringLength),
        ("('a' * 10**6).replace('', 'bc')", Limit::StringLength),
        ("('ΐ' * 200000).upper()", Limit::StringLength),
        ("('ab' * 10**5).split('b')", Limit::ListLength),
        ("('a ' * 10**5 + 'a').rsplit()", Limit::ListLength),
        ("'x'.join(['y' * 10**5] * 100)", Limit::StringLength),
        ("[0] * 99999 + [0, 0]", Limit::ListLength),
        ("sorted(range(10**15))", Limit::ListLength),
        ("tuple(range(-2**63, 2**63 - 1))", Limit::ListLength),
        ("dict(zip(range(10**6), range(10**6)))", Limit::DictLength),
        ("range(2**63)", Limit::IntegerSize),
        ("range(0, 10)[::2**70]", Limit::IntegerSize),
        ("sum([[0] * 1000] * 1000, [])", Limit::Steps),
        ("sum(range(2**62))", Limit::Steps),
        ("any(0 for i in range(2**60))", Limit::Steps),
        ("max(range(2**60), key=lambda i: -i)", Limit::Steps),
        ("2**61 in (i for i in range(2**62))", Limit::Steps),
        ("[('é' * 500000).isalpha() for i in range(99)]", Limit::Steps),
        ("[('a' * 500000).strip('b' * 500000 + 'a') for i in range(99)]", Limit::Steps),
        ("[('ab' * 500000).count('a') for i in range(99)]", Limit::Steps),
        ("[s.find('é') for s in ['ab' * 400000] for i in range(10**6)]", Limit::Steps),
        ("[i.lower() for i in ['Σa' * 200000] * 9]", Limit::Steps),
    ] {
        check_limit(expression, expected);
    }
}

/// What would take long by brute force is answered well within the steps.
#[test]
fn large_inputs_are_fine() {
    for (expression, expected) in [
        ("10**15 in range(0, 2**62, 5)", "true"),
        ("range(0, 2**62, 5).index(10**15)", "200000000000000"),
        ("range(2**62)[-1]", "4611686018427387903"),
        ("len(range(0, 2**62)[::-3])", "1537228672809129302"),
        ("sum(len(s[i]) for s in ['é' * 20000] for i in range(20000))", "20000"),
        ("(('a' * 1000 + 'b') * 900).find('a' * 1000 + 'c')", "-1"),
        ("sorted(range(50000), reverse=True)[0]", "49999"),
        ("len(' '.join(map(str, range(20000))).split())", "20000"),
        ("list(reversed(range(-2**63, 2**63 - 1, 2**62)))[0]", "4611686018427387904"),
    ] {
        match evaluate(ExpressionType::Formula, expression, "{}") {
            Outcome::Result(result, _) => assert_eq!(result, expected, "{expression}"),
            other => panic!("{expression}: {other:?}"),
        }
    }
}
