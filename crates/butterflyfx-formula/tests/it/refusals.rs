//! What the language leaves out is refused at creation, at its place, with what to write instead.

use crate::support::{Outcome, evaluate};
use butterflyfx_formula::error::FormulaErrorKind;
use butterflyfx_formula::formula::ExpressionType;

#[track_caller]
fn check(kind: ExpressionType, text: &str, expected: &str) {
    let Outcome::Refused(_, message) = evaluate(kind, text, "{}") else {
        panic!("{text} was accepted");
    };
    assert!(message.contains(expected), "{text}\n  expected: {expected}\n  got:      {message}");
}

#[test]
fn refused_constructs_are_named() {
    for (text, expected) in [
        ("import os", "line 1, column 1: an `import` statement is not supported"),
        ("x = 1", "an assignment is not supported"),
        ("def f(): return 1", "a `def` statement"),
        ("1; 2", "a second expression"),
        ("(y := 1)", "`:=` is not supported"),
        ("{1, 2}", "sets are not supported; use a list or a dict"),
        ("{v for v in x}", "set comprehensions are not supported"),
        ("b'ab'", "bytes are not supported"),
        ("1j", "complex numbers are not supported"),
        ("x @ y", "`@` is not supported"),
        ("...", "`...` is not supported"),
        ("[v async for v in x]", "`async for` is not supported"),
        ("x is y", "`is` is supported with None, True and False only; use `==`"),
        ("'%d' % x", "`%` formatting is not supported; use an f-string"),
        ("x.__class__", "begins with `_`"),
        ("x.real", "the attribute or method `real` is not supported"),
        ("x.uper()", "did you mean `.upper`?"),
        ("str.upper(x)", "the unbound `str.upper` is not supported"),
        ("math", "`math` is a module"),
        ("math.sqr(x)", "did you mean `math.sqrt`?"),
        ("math.sumprod(x, y)", "`math.sumprod` is not supported"),
        ("print(x)", "a formula reaches nothing outside"),
        ("f(x)", "the name `f` is no accepted built-in"),
        ("x + x(1)", "the parameter `x` is called; parameters are values"),
        ("set(x)", "use a list or a dict"),
        ("lambda x: x", "leave out `lambda ...:`"),
        ("'\\ud800'", "surrogate code points"),
        ("[v for x.y in z]", "a `for` binds names"),
        ("t'{x}'", "template strings are not supported"),
        ("x[1:2, 3]", "slices inside a tuple subscript"),
    ] {
        check(ExpressionType::Formula, text, expected);
    }
    for (text, expected) in [
        ("x * 2", "this is no lambda"),
        ("lambda *args: 1", "`*args` is not supported"),
        ("lambda x, /: x", "positional-only"),
        ("lambda x: y", "the name `y` is no parameter"),
        ("lambda price: prise", "did you mean `price`?"),
        ("lambda x, x: 1", "duplicate argument 'x'"),
        ("lambda x=1, y: 1", "parameter without a default"),
        ("lambda x=1/0: x", "a default value raised ZeroDivisionError: division by zero"),
        ("lambda x=(i for i in range(3)): x", "an iterator, which can be used only once"),
        ("lambda x=y: x", "the name `y` is no parameter"),
        ("lambda x: f(a=1, a=2)", "keyword argument repeated"),
    ] {
        check(ExpressionType::Lambda, text, expected);
    }
    for (text, expected) in [
        ("{'a': 1}", "a constant is the text of a JSON value"),
        ("NaN", "NaN"),
        ("[1,", "line 1"),
        ("", "a constant"),
    ] {
        check(ExpressionType::Constant, text, expected);
    }
}

#[test]
fn syntax_errors_have_a_place() {
    for (text, line, column) in [
        ("1 +", 1, 4),
        ("(1", 1, 3),
        ("x +\n1", 1, 4),
        ("é + )", 1, 5),
        ("[1,\n 2,\n é é]", 3, 4),
        ("", 1, 1),
        ("1 2", 1, 3),
        ("'abc", 1, 1),
        ("f'{x'", 1, 5),
        ("x\0", 1, 2),
    ] {
        let Outcome::Refused(kind, message) = evaluate(ExpressionType::Formula, text, "{}") else {
            panic!("{text:?} was accepted");
        };
        assert_eq!(kind, FormulaErrorKind::Syntax, "{text:?}: {message}");
        let place = format!("line {line}, column {column}:");
        assert!(message.starts_with(&place), "{text:?}: expected {place}, got {message}");
    }
}

#[test]
fn python_s_eval_reads_it_so_do_we() {
    for text in ["  \t1", "# a comment\n1", "1 # one\n", "(1 +\n 2)", "1 + \\\n 2", "\n\n1"] {
        let outcome = evaluate(ExpressionType::Formula, text, "{}");
        assert!(matches!(outcome, Outcome::Result(..)), "{text:?}: {outcome:?}");
    }
}
