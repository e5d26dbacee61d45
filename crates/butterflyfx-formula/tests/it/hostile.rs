//! Formulas that try to take the server down get a limit, quickly and with the process alive.

use crate::support::{Outcome, evaluate};
use butterflyfx_formula::error::{FormulaErrorKind, RaiseKind};
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::limits::Limit;

/// The formula is stopped by this limit, at creation or at evaluation.
#[track_caller]
fn check(text: &str, parameters: &str, expected: Limit) {
    let stopped_by = match evaluate(ExpressionType::Formula, text, parameters) {
        Outcome::Refused(FormulaErrorKind::Limit(limit), _) | Outcome::Raised(RaiseKind::Limit(limit), _) => {
            limit
        }
        other => panic!("{text:.100}: expected {expected:?}, got {other:?}"),
    };
    assert_eq!(stopped_by, expected, "{text:.100}");
}

#[test]
fn size_is_refused_before_the_work() {
    check("9**9**9", "{}", Limit::IntegerSize);
    check("[0]*10**12", "{}", Limit::ListLength);
    check("(0,)*10**12", "{}", Limit::ListLength);
    check("'a'*10**10", "{}", Limit::StringLength);
    check("1 << 10**9", "{}", Limit::IntegerSize);
    check("1 << 10**18", "{}", Limit::IntegerSize);
    check("f'{1:1000000000}'", "{}", Limit::StringLength);
    check("f'{1.5:.1000000000f}'", "{}", Limit::StringLength);
    check("'a'.ljust(10**9)", "{}", Limit::StringLength);
    check("'a'.zfill(10**9)", "{}", Limit::StringLength);
    check("math.factorial(10**6)", "{}", Limit::IntegerSize);
    check("math.comb(10**6, 5*10**5)", "{}", Limit::IntegerSize);
    check("list(range(10**12))", "{}", Limit::ListLength);
    check("'ab'.replace('', 'x' * 1000000)", "{}", Limit::StringLength);
    check("','.join(['x' * 100000] * 100)", "{}", Limit::StringLength);
    check("int('9' * 100000)", "{}", Limit::IntegerSize);
}

#[test]
fn work_is_bounded_by_steps() {
    check("sum(range(10**12))", "{}", Limit::Steps);
    check("[1 for a in range(10**6) if 0]", "{}", Limit::Steps);
    check("max(range(10**9))", "{}", Limit::Steps);
    check("10**9 in (i for i in range(10**12))", "{}", Limit::Steps);
    check("all(map(lambda v: True, range(10**12)))", "{}", Limit::Steps);
    check("[x for x in 'ab' * 500000 for y in 'ab' * 500000 if y == 'c']", "{}", Limit::Steps);
}

#[test]
fn memory_is_bounded() {
    check("[[0] * 90000 for i in range(1000)]", "{}", Limit::Memory);
    check("['x' * 1000000 + str(i) for i in range(100)]", "{}", Limit::Memory);
    check("[x + x for x in [[0] * 50000 for i in range(9)] for j in range(9)]", "{}", Limit::Memory);
}

#[test]
fn recursion_is_bounded() {
    check("(lambda f: f(f))(lambda f: f(f))", "{}", Limit::CallDepth);
    check("(lambda f, n: f(f, n))(lambda f, n: f(f, n + 1), 0)", "{}", Limit::CallDepth);
    check("sorted([1], key=(lambda f: lambda v: f(f, v))(lambda f, v: f(f, v)))", "{}", Limit::CallDepth);
    // Nested values are easily made 30,000 deep; what walks them must stop, and dropping them must not crash.
    let deep = "[a for a in [0] for _ in range(30000) for a in [[a]]]";
    check(&format!("{deep}[-1] == {deep}[-1]"), "{}", Limit::CallDepth);
    check(&format!("str({deep}[-1])"), "{}", Limit::CallDepth);
    check(&format!("{deep}[-1]"), "{}", Limit::JsonDepth);
    check(&format!("{{tuple({deep}): 1}}").replace("[[a]]", "[(a,)]"), "{}", Limit::CallDepth);
    let maps = "[a for a in [[1]] for _ in range(30000) for a in [map(abs, a)]]";
    check(&format!("list({maps}[-1])"), "{}", Limit::CallDepth);
    // Closures hold each other as deep; they are only dropped.
    let closures = "len([a for a in [0] for _ in range(20000) for a in [(lambda v: lambda: v)(a)]])";
    let outcome = evaluate(ExpressionType::Formula, closures, "{}");
    assert!(matches!(&outcome, Outcome::Result(length, _) if length == "20000"), "{outcome:?}");
    // A function in the cell that it captured is a ring; the end of the invocation breaks it.
    let ring = "len([g for x in range(1000) for g in [lambda: g]])";
    assert!(matches!(evaluate(ExpressionType::Formula, ring, "{}"), Outcome::Result(..)));
}

#[test]
fn text_is_bounded_before_the_parser() {
    for (open, close) in
        [("(", ")"), ("[", "]"), ("-", ""), ("not ", ""), ("lambda: ", ""), ("f(", ")"), ("2**", "")]
    {
        check(&format!("{}1{}", open.repeat(500), close.repeat(500)), "{}", Limit::Nesting);
    }
    check(&"x".repeat(9000), "{}", Limit::SourceText);
    check(&format!("[{}]", "x,".repeat(2001)), "{}", Limit::SyntaxNodes);
    check(&format!("[{}]", "1,".repeat(501)), "{}", Limit::Constants);
    let names: Vec<String> = (0..201).map(|n| format!("n{n}")).collect();
    check(&names.join("+"), "{}", Limit::Names);
    check(&format!("0x{}", "f".repeat(2000)), "{}", Limit::IntegerSize);
    check(&"9".repeat(8000), "{}", Limit::IntegerSize);
}

#[test]
fn long_chains_are_fine() {
    let fine = |text: &str| match evaluate(ExpressionType::Formula, text, r#"{"x": 1}"#) {
        Outcome::Result(result, _) => result,
        other => panic!("{text:.60}: {other:?}"),
    };
    assert_eq!(fine(&format!("x{}", "+x".repeat(900))), "901");
    assert_eq!(fine(&format!("x{}", "<=x".repeat(900))), "true");
    assert_eq!(fine(&format!("{}x", "x and ".repeat(900))), "1");
    assert_eq!(fine(&format!("{}2", "0 if x > 1 else ".repeat(200))), "2");
    assert_eq!(fine(&format!("{}6 + x{}", "(".repeat(64), ")".repeat(64))), "7");
}
