//! Operators over all types, against the answers of CPython 3.13.

use super::*;
use crate::error::RaiseKind;
use crate::limits::{Limit, Limits};
use crate::testing::check;

#[test]
fn operands_of_no_operator_raise_type_error() {
    check(&[
        ("1 + 'a'", "TypeError: unsupported operand type(s) for +: 'int' and 'str'"),
        ("'a' + 1", "TypeError: can only concatenate str (not \"int\") to str"),
        ("[1] + (1,)", "TypeError: can only concatenate list (not \"tuple\") to list"),
        ("(1,) + [1]", "TypeError: can only concatenate tuple (not \"list\") to tuple"),
        ("None + 1", "TypeError: unsupported operand type(s) for +: 'NoneType' and 'int'"),
        ("{} + {}", "TypeError: unsupported operand type(s) for +: 'dict' and 'dict'"),
        ("'a' * 1.5", "TypeError: can't multiply sequence by non-int of type 'float'"),
        ("1.5 * [1]", "TypeError: can't multiply sequence by non-int of type 'float'"),
        ("'a' * 'b'", "TypeError: can't multiply sequence by non-int of type 'str'"),
        ("[1] * None", "TypeError: can't multiply sequence by non-int of type 'NoneType'"),
        ("None * [1]", "TypeError: can't multiply sequence by non-int of type 'NoneType'"),
        ("{} * 2", "TypeError: unsupported operand type(s) for *: 'dict' and 'int'"),
        ("[1] - [1]", "TypeError: unsupported operand type(s) for -: 'list' and 'list'"),
        ("'a' / 2", "TypeError: unsupported operand type(s) for /: 'str' and 'int'"),
        ("'a' ** 2", "TypeError: unsupported operand type(s) for ** or pow(): 'str' and 'int'"),
        ("2 % 'a'", "TypeError: unsupported operand type(s) for %: 'int' and 'str'"),
        ("[1] % 2", "TypeError: unsupported operand type(s) for %: 'list' and 'int'"),
        ("1.5 | 2", "TypeError: unsupported operand type(s) for |: 'float' and 'int'"),
        ("1 & 1.5", "TypeError: unsupported operand type(s) for &: 'int' and 'float'"),
        ("10**400 & 1.5", "TypeError: unsupported operand type(s) for &: 'int' and 'float'"),
        ("1.5 << 1", "TypeError: unsupported operand type(s) for <<: 'float' and 'int'"),
        ("{} | 1", "TypeError: unsupported operand type(s) for |: 'dict' and 'int'"),
        ("1 | {}", "TypeError: unsupported operand type(s) for |: 'int' and 'dict'"),
        ("range(3) + range(3)", "TypeError: unsupported operand type(s) for +: 'range' and 'range'"),
        ("abs + 1", "TypeError: unsupported operand type(s) for +: 'builtin_function_or_method' and 'int'"),
        ("int + 1", "TypeError: unsupported operand type(s) for +: 'type' and 'int'"),
        ("-'a'", "TypeError: bad operand type for unary -: 'str'"),
        ("+[]", "TypeError: bad operand type for unary +: 'list'"),
        ("~1.5", "TypeError: bad operand type for unary ~: 'float'"),
        ("-None", "TypeError: bad operand type for unary -: 'NoneType'"),
    ]);
}

#[test]
fn dicts_merge() {
    check(&[
        ("{1: 'a', 2: 'b'} | {2: 'c', 3: 'd'}", "{1: 'a', 2: 'c', 3: 'd'}"),
        ("{1: 'a'} | {True: 'b', 1.0: 'c'}", "{1: 'c'}"),
        ("{} | {}", "{}"),
    ]);
}

#[test]
fn containers_are_equal_by_elements() {
    check(&[
        ("[1, 2] == [1, 2.0]", "True"),
        ("[1, 2] == [1, 2, 3]", "False"),
        ("[] == ()", "False"),
        ("(1, [2, {3: 4}]) == (True, [2.0, {3.0: 4}])", "True"),
        ("{1: 2, 3: 4} == {3: 4, 1: 2}", "True"),
        ("{1: 2} == {1: 3}", "False"),
        ("{1: 2} == {2: 2}", "False"),
        ("{1: 2} == {1: 2, 3: 4}", "False"),
        ("None == None", "True"),
        ("None == 0", "False"),
        ("'a' == 'b'", "False"),
        ("'1' == 1", "False"),
        ("range(0) == range(5, 1)", "True"),
        ("range(0, 3, 2) == range(0, 4, 2)", "True"),
        ("range(1) == range(0, 1, 5)", "True"),
        ("range(2) == range(0, 2, 3)", "False"),
        ("range(3) == [0, 1, 2]", "False"),
        ("abs == abs", "True"),
        ("abs == len", "False"),
        ("int == int", "True"),
        ("int == float", "False"),
    ]);
}

#[test]
fn nan_is_equal_to_itself_only_as_the_same_object() {
    check(&[
        ("(lambda nan: nan == nan)(float('nan'))", "False"),
        ("(lambda nan: [nan] == [nan])(float('nan'))", "True"),
        ("(lambda nan: nan in [nan])(float('nan'))", "True"),
        ("(lambda nan: {nan: 1}[nan])(float('nan'))", "1"),
        ("(lambda nan: len({nan: 1, nan: 2}))(float('nan'))", "1"),
        ("[float('nan')] == [float('nan')]", "False"),
        ("len({float('nan'): 1, float('nan'): 2})", "2"),
        ("(lambda nan: [nan] < [nan, 1])(float('nan'))", "True"),
        ("(lambda nan: [nan, 1] < [nan, 2])(float('nan'))", "True"),
        ("[float('nan'), 1] < [float('nan'), 2]", "False"),
    ]);
}

#[test]
fn views_compare_as_sets() {
    check(&[
        ("{1: 2}.keys() == {1.0: 3}.keys()", "True"),
        ("{1: 2}.keys() == {2: 2}.keys()", "False"),
        ("{1: 2}.items() == {1: 2}.items()", "True"),
        ("{1: 2}.items() == {1: 3}.items()", "False"),
        ("{(1, 2): 0}.keys() == {1: 2}.items()", "True"),
        ("{1: 2}.items() == {(1, 2): 0}.keys()", "True"),
        ("{1: [2]}.items() == {1: 0}.keys()", "TypeError: unhashable type: 'list'"),
        ("{1: [2]}.items() == {1: [2]}.items()", "True"),
        ("{1: 2}.values() == {1: 2}.values()", "False"),
        ("(lambda v: v == v)({1: 2}.values())", "True"),
        ("{1: 2}.keys() == [1]", "False"),
        ("{1: 2}.keys() < {1: 2, 3: 4}.keys()", "True"),
        ("{1: 2}.keys() < {1: 2}.keys()", "False"),
        ("{1: 2}.keys() <= {1: 2}.keys()", "True"),
        ("{1: 2}.keys() < {3: 2, 4: 4}.keys()", "False"),
        ("{1: 2, 3: 4}.keys() > {1: 2}.keys()", "True"),
        ("{1: 2, 3: 4}.keys() >= {5: 2}.keys()", "False"),
        ("{1: [2], 3: 4}.items() < {1: 2}.keys()", "False"),
        ("{1: [2]}.items() < {1: 2, 3: 4}.keys()", "TypeError: unhashable type: 'list'"),
        (
            "{1: 2}.values() < {1: 2}.values()",
            "TypeError: '<' not supported between instances of 'dict_values' and 'dict_values'",
        ),
    ]);
}

#[test]
fn methods_are_equal_by_receiver() {
    check(&[
        ("(lambda d: d.get == d.get)({})", "True"),
        ("{}.get == {}.get", "False"),
        ("(lambda d: d.get == d.keys)({})", "False"),
        ("'a'.upper == 'b'.upper", "False"),
        ("'a'.upper == 'a'.lower", "False"),
        ("(lambda s: s.upper == s.upper)('some text')", "True"),
        ("(1).bit_length == (2).bit_length", "False"),
        ("True.bit_length == True.bit_length", "True"),
        ("True.bit_length == (1).bit_length", "False"),
    ]);
}

#[test]
fn values_of_one_type_are_ordered() {
    check(&[
        ("'a' < 'b'", "True"),
        ("'Z' < 'a'", "True"),
        ("'' < 'a'", "True"),
        ("'é' > 'z'", "True"),
        ("'\\uffff' < '\\U00010000'", "True"),
        ("[1, 2] < [1, 3]", "True"),
        ("[1, 2] < [1]", "False"),
        ("[1] <= [1.0]", "True"),
        ("[] < [0]", "True"),
        ("(1, 'a') < (1, 'b')", "True"),
        ("(1, 'a') < (2, None)", "True"),
        ("[[1], 2] < [[1], 3]", "True"),
        ("1 < 'a'", "TypeError: '<' not supported between instances of 'int' and 'str'"),
        ("[1] < (1,)", "TypeError: '<' not supported between instances of 'list' and 'tuple'"),
        ("[1] < ['a']", "TypeError: '<' not supported between instances of 'int' and 'str'"),
        ("[None] < [None]", "False"),
        ("[None, 1] < [None, 2]", "True"),
        ("None < None", "TypeError: '<' not supported between instances of 'NoneType' and 'NoneType'"),
        ("{} < {}", "TypeError: '<' not supported between instances of 'dict' and 'dict'"),
        ("{}.keys() < 1", "TypeError: '<' not supported between instances of 'dict_keys' and 'int'"),
        ("range(3) < range(3)", "TypeError: '<' not supported between instances of 'range' and 'range'"),
        (
            "abs < abs",
            "TypeError: '<' not supported between instances of 'builtin_function_or_method' and 'builtin_function_or_method'",
        ),
        ("int < int", "TypeError: '<' not supported between instances of 'type' and 'type'"),
        ("(lambda: 1) < 1", "TypeError: '<' not supported between instances of 'function' and 'int'"),
        ("True < 2", "True"),
    ]);
}

#[test]
fn keys_are_equal_across_kinds() {
    check(&[
        ("{1: 'a', 1.0: 'b', True: 'c'}", "{1: 'c'}"),
        ("{2**64: 'a'}[2.0**64]", "'a'"),
        ("{2.0**100: 'a'}[2**100]", "'a'"),
        ("{-(2.0**63): 'a'}[-2**63]", "'a'"),
        ("{0.0: 'a'}[-0.0]", "'a'"),
        ("{(1, 2.0): 'a'}[(1.0, 2)]", "'a'"),
        ("{None: 1}[None]", "1"),
        ("{range(0, 3, 2): 1}[range(0, 4, 2)]", "1"),
        ("{abs: 1, int: 2}[int]", "2"),
        ("{(): 1}[()]", "1"),
        ("{'a': 1, 'é': 2}['é']", "2"),
        ("(lambda d: {d.get: 1}[d.get])({})", "1"),
        ("{float('inf'): 1}[float('inf')]", "1"),
    ]);
}

#[test]
fn unhashable_keys_raise() {
    check(&[
        ("{[]: 1}", "TypeError: unhashable type: 'list'"),
        ("{{}: 1}", "TypeError: unhashable type: 'dict'"),
        ("{(1, []): 1}", "TypeError: unhashable type: 'list'"),
        ("{{}.keys(): 1}", "TypeError: unhashable type: 'dict_keys'"),
        ("{{}.items(): 1}", "TypeError: unhashable type: 'dict_items'"),
        ("{1: 2}[[]]", "TypeError: unhashable type: 'list'"),
    ]);
}

#[test]
fn what_the_language_leaves_out_is_a_type_error() {
    let sets = |symbol, types| {
        format!("TypeError: '{symbol}' of dict views gives a set, which is not supported: {types}")
    };
    check(&[
        ("{1: 2}.keys() & {1: 3}.keys()", &sets("&", "'dict_keys' and 'dict_keys'")),
        ("{1: 2}.items() - [1]", &sets("-", "'dict_items' and 'list'")),
        ("{} | {}.keys()", &sets("|", "'dict' and 'dict_keys'")),
        ("{}.values() - 1", "TypeError: unsupported operand type(s) for -: 'dict_values' and 'int'"),
        ("(lambda s: s % 1)('%d')", "TypeError: '%' formatting of str is not supported; use an f-string"),
        ("'ab'.upper == ('a' + 'b').upper", "TypeError: methods of equal values cannot be compared"),
    ]);
}

fn deep(levels: usize) -> Value {
    (0..levels).fold(Value::None, |inner, _| Value::tuple(vec![inner]))
}

#[test]
fn nesting_is_bounded() {
    let mut meter = Meter::new(&Limits::default());
    let (a, b) = (deep(150), deep(150));
    assert!(equal(&mut meter, &a, &b).expect("within the bound"));
    assert_eq!(hash(&mut meter, &a).expect("within the bound"), hash(&mut meter, &b).expect("as before"));
    let (a, b) = (deep(500), deep(500));
    let refused = RaiseKind::Limit(Limit::CallDepth);
    assert_eq!(equal(&mut meter, &a, &b).expect_err("too deep").kind, refused);
    assert_eq!(order(&mut meter, &a, &b, "<").expect_err("too deep").kind, refused);
    assert_eq!(hash(&mut meter, &a).expect_err("too deep").kind, refused);
    // What was entered was left again.
    let (a, b) = (deep(150), deep(150));
    assert!(equal(&mut meter, &a, &b).expect("within the bound"));
}

#[test]
fn looking_costs_steps() {
    let numbers = |count: i64| Value::list((0..count).map(Value::Int).collect());
    let text = |count: usize| Value::str("x".repeat(count));
    let cases: &[(Value, Value, u64)] = &[
        (Value::Int(1), Value::Float(1.0), 0),
        (numbers(100), numbers(100), 100),
        (numbers(100), numbers(99), 0),
        (text(6400), text(6400), 100),
        (text(6400), text(6399), 0),
    ];
    for (a, b, steps) in cases {
        let mut meter = Meter::new(&Limits::default());
        equal(&mut meter, a, b).expect("cheap");
        assert_eq!(meter.cost().steps, *steps, "{a:?} == {b:?}");
    }
    let mut meter = Meter::new(&Limits::default());
    order(&mut meter, &text(6400), &text(12800), "<").expect("cheap");
    hash(&mut meter, &text(6400)).expect("cheap");
    assert_eq!(meter.cost().steps, 200);
}
