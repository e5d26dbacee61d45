//! What machine code covers, and where it hands over.

use crate::support::{at_once, compare, parameters};

/// Each formula with parameters, and whether machine code answers.
#[track_caller]
fn check(cases: &[(&str, &str, bool)]) {
    let mut wrong = Vec::new();
    for (text, given, expected) in cases {
        let (is_compiled, same) = compare(&mut at_once(text), &parameters(given));
        if is_compiled != *expected {
            wrong.push(format!("{text} {given}: machine code answers: {is_compiled}"));
        }
        if let Err(difference) = same {
            wrong.push(format!("{text} {given}\n{difference}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn arithmetic() {
    let two_ints = r#"{"x": -7, "y": 2}"#;
    let mixed = r#"{"x": -7, "y": 2.5}"#;
    for op in ["+", "-", "*", "/", "//", "%"] {
        check(&[(&format!("x {op} y"), two_ints, true), (&format!("x {op} y"), mixed, true)]);
    }
    for op in ["&", "|", "^", "<<", ">>", "**"] {
        check(&[(&format!("x {op} y"), two_ints, true)]);
    }
    check(&[
        ("x ** y", r#"{"x": 2.0, "y": 0.5}"#, true),
        ("-x + +y - ~x", two_ints, true),
        ("x * 1.08 - 3", r#"{"x": true}"#, true),
        ("x & y", r#"{"x": true, "y": false}"#, true),
    ]);
}

#[test]
fn what_is_out_of_the_ordinary_is_handed_over() {
    check(&[
        ("x * y", r#"{"x": 9223372036854775807, "y": 2}"#, false),
        ("x + 1", r#"{"x": 9223372036854775807}"#, false),
        ("-x", r#"{"x": -9223372036854775808}"#, false),
        ("x // y", r#"{"x": -9223372036854775808, "y": -1}"#, false),
        ("x % y", r#"{"x": -9223372036854775808, "y": -1}"#, false),
        ("x % y", r#"{"x": 1, "y": 0}"#, false),
        ("x / y", r#"{"x": 1, "y": 0.0}"#, false),
        ("x / 3", r#"{"x": 9007199254740993}"#, false),
        ("x < 0.5", r#"{"x": 9007199254740993}"#, false),
        ("x << 60", r#"{"x": 64}"#, false),
        ("x ** y", r#"{"x": 10, "y": 30}"#, false),
        ("x ** 0.5", r#"{"x": -8}"#, false),
        ("x + 1", r#"{"x": "a"}"#, false),
        ("x + 1", r#"{"x": null}"#, false),
        ("x + 1", "{}", false),
        ("lambda x: x + 1", r#"{"x": 1, "y": 2}"#, false),
        ("math.sqrt(x)", r#"{"x": -1}"#, false),
        ("math.exp(x)", r#"{"x": 1000}"#, false),
        ("int(x)", r#"{"x": 1e19}"#, false),
        ("[x]", r#"{"x": 1}"#, false),
        ("x * 1e308", r#"{"x": 1e308}"#, true),
    ]);
}

#[test]
fn ways_that_meet_with_different_kinds() {
    check(&[
        ("(x if x > 0 else 0) * y", r#"{"x": 2.5, "y": 3}"#, true),
        ("(x if x > 0 else 0) * y", r#"{"x": -2.5, "y": 3}"#, true),
        ("max(x, 0) + min(y, 1.5)", r#"{"x": -2.5, "y": 3}"#, true),
        ("max(x, y, 3)", r#"{"x": 1, "y": 7}"#, true),
        ("x * 2 if x > 0 else str(x)", r#"{"x": 3}"#, true),
        ("x * 2 if x > 0 else str(x)", r#"{"x": -3}"#, false),
        ("0 < x < 10 and y", r#"{"x": 3, "y": 2.5}"#, true),
        ("0 < x < 10 and y", r#"{"x": 30, "y": 2.5}"#, true),
        ("x or y or None", r#"{"x": 0, "y": 0.0}"#, true),
        ("x is None", r#"{"x": null}"#, true),
        ("1 if x is None else x + 1", r#"{"x": 4}"#, true),
    ]);
}

#[test]
fn parameters_and_functions() {
    check(&[
        ("lambda **kw: kw.get('x', 0) * kw.get('y', 0)", r#"{"x": 6, "y": 7}"#, true),
        ("lambda **kw: kw.get('x', 0) * kw.get('y', 0)", r#"{"x": 6}"#, true),
        ("lambda **kw: kw.get('x', -1) * kw['y']", r#"{"y": 6, "other": [1]}"#, true),
        ("lambda **kw: kw['y']", r#"{"x": 6}"#, false),
        ("lambda **kw: kw.get('x') is None", "{}", true),
        ("lambda x, y=2.5, *, z=3: x * y + z", r#"{"x": 6}"#, true),
        ("lambda x, **kw: x + kw.get('x', 5)", r#"{"x": 6}"#, true),
        ("lambda **kw: len(kw)", r#"{"x": 6}"#, false),
        ("abs(x) + round(x) + int(x) + float(x)", r#"{"x": -2.5}"#, true),
        ("round(x, 2)", r#"{"x": 2.675}"#, true),
        ("math.floor(x) + math.ceil(x) + math.trunc(x)", r#"{"x": -2.5}"#, true),
        ("math.hypot(x, 1)", r#"{"x": 2.5}"#, true),
        ("math.hypot(x, y)", r#"{"x": -3, "y": true}"#, true),
        ("math.hypot(x, x)", r#"{"x": 1.5e308}"#, false),
        ("math.hypot(x, 1, 2)", r#"{"x": 2.5}"#, false),
        ("math.isclose(x, y)", r#"{"x": 1, "y": 1.0000000001}"#, true),
        ("math.isclose(x, y)", r#"{"x": 1, "y": 1.00000001}"#, true),
        ("math.isclose(x, math.inf) or math.isclose(math.inf, math.inf)", r#"{"x": 1e308}"#, true),
        ("math.isclose(x, 5e-324)", r#"{"x": 0.0}"#, true),
        ("math.isclose(x, y, rel_tol=0.5)", r#"{"x": 1, "y": 2}"#, false),
        ("math.gcd(x, y) + math.lcm(x, y)", r#"{"x": -12, "y": 18}"#, true),
        ("math.gcd(x, 0) + math.lcm(x, 0)", r#"{"x": true}"#, true),
        ("math.gcd(x, x)", r#"{"x": -9223372036854775808}"#, false),
        ("math.lcm(x, 2)", r#"{"x": 4611686018427387903}"#, true),
        ("math.lcm(x, 3)", r#"{"x": 4611686018427387901}"#, false),
        ("math.gcd(x, y)", r#"{"x": 12.0, "y": 18}"#, false),
        ("math.isqrt(x) + math.factorial(y)", r#"{"x": 9223372036854775807, "y": 20}"#, true),
        ("math.isqrt(x)", r#"{"x": -1}"#, false),
        ("math.factorial(x)", r#"{"x": 21}"#, false),
        ("math.factorial(x)", r#"{"x": -1}"#, false),
        ("math.sin(x) + math.atan2(x, 2) + math.log(x, 2)", r#"{"x": 2.5}"#, true),
        ("math.gamma(x) + math.erf(x) + math.cbrt(x)", r#"{"x": 2.5}"#, true),
        ("math.isnan(x) or math.isinf(x)", r#"{"x": 2.5}"#, true),
        ("math.pi * x ** 2", r#"{"x": 2}"#, true),
    ]);
}
