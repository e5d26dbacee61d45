//! Texts against the answers of CPython 3.13.

use super::*;
use crate::error::RaiseKind;
use crate::limits::{Limit, Limits};
use crate::testing::check;
use proptest::prelude::*;

#[test]
fn repr_of_numbers() {
    check(&[
        ("str(0)", "'0'"),
        ("str(-10**30)", "'-1000000000000000000000000000000'"),
        ("str(True)", "'True'"),
        ("str(1.0)", "'1.0'"),
        ("str(-0.0)", "'-0.0'"),
        ("str(0.1)", "'0.1'"),
        ("str(1e16)", "'1e+16'"),
        ("str(9999999999999998.0)", "'9999999999999998.0'"),
        ("str(123456789012345.0)", "'123456789012345.0'"),
        ("str(1e22)", "'1e+22'"),
        ("str(1.5e-07)", "'1.5e-07'"),
        ("str(0.0001)", "'0.0001'"),
        ("str(0.00001)", "'1e-05'"),
        ("str(5e-324)", "'5e-324'"),
        ("str(1.7976931348623157e308)", "'1.7976931348623157e+308'"),
        ("str(float('inf'))", "'inf'"),
        ("str(-float('inf'))", "'-inf'"),
        ("str(-float('nan'))", "'nan'"),
        // Between two shortest candidates CPython takes the even one.
        ("str(784238477566670.25)", "'784238477566670.2'"),
        ("str(124132474722.265625)", "'124132474722.26562'"),
        ("str(2.0**-44)", "'5.684341886080802e-14'"),
        ("str(9007199254740993.0)", "'9007199254740992.0'"),
    ]);
}

#[test]
fn repr_of_text() {
    check(&[
        (
            "[\"a\", \"it's\", 'say \"hi\"', 'it\\'s \"so\"']",
            "['a', \"it's\", 'say \"hi\"', 'it\\'s \"so\"']",
        ),
        (
            "['\\\\', '\\n\\r\\t', '\\x00\\x1f\\x7f', '\\x80\\xa0\\xad\\xff']",
            "['\\\\', '\\n\\r\\t', '\\x00\\x1f\\x7f', '\\x80\\xa0\\xadÿ']",
        ),
        (
            "['é', '\\u200b\\u2028\\u3000', '\\ue000', '\\U0001f600', '\\U000e0001', '\\u0378']",
            "['é', '\\u200b\\u2028\\u3000', '\\ue000', '😀', '\\U000e0001', '\\u0378']",
        ),
        ("f'{\"é\"!a}{\"a\"!r}{\"a\"!s}'", "\"'\\\\xe9''a'a\""),
    ]);
}

#[test]
fn repr_of_containers() {
    check(&[
        ("str([])", "'[]'"),
        ("str([1, 'a', None, 1.0])", "\"[1, 'a', None, 1.0]\""),
        ("str(())", "'()'"),
        ("str((1,))", "'(1,)'"),
        ("str((1, 2))", "'(1, 2)'"),
        ("str({})", "'{}'"),
        ("str({1: [2], 'a': (3,), None: {}})", "\"{1: [2], 'a': (3,), None: {}}\""),
        ("str(range(3))", "'range(0, 3)'"),
        ("str(range(1, 10, 3))", "'range(1, 10, 3)'"),
        ("str(range(5, 0, -1))", "'range(5, 0, -1)'"),
        ("str({1: 2}.keys())", "'dict_keys([1])'"),
        ("str({1: 2}.values())", "'dict_values([2])'"),
        ("str({1: 2, 'a': 'b'}.items())", "\"dict_items([(1, 2), ('a', 'b')])\""),
        (
            "str([int, str, abs, math.sqrt])",
            "\"[<class 'int'>, <class 'str'>, <built-in function abs>, <built-in function sqrt>]\"",
        ),
    ]);
}

#[test]
fn spec_of_text() {
    check(&[
        ("f'{\"abc\":5}|{\"abc\":<5}|{\"abc\":>5}|{\"abc\":^6}|'", "'abc  |abc  |  abc| abc  |'"),
        ("f'{\"abc\":*^7}'", "'**abc**'"),
        ("f'{\"abc\":é>5}'", "'ééabc'"),
        ("f'{\"abc\":05}'", "'abc00'"),
        ("f'{\"abc\":.2}|{\"abc\":5.1s}|{\"abc\":.0}|{\"abc\":.99}'", "'ab|a    ||abc'"),
        ("f'{\"héllo\":.2}{\"😀x\":^6}'", "'hé  😀x  '"),
        ("f'{\"abc\":٥}|'", "'abc  |'"),
        ("f'{\"a\":d}'", "ValueError: Unknown format code 'd' for object of type 'str'"),
        ("f'{\"a\":=5}'", "ValueError: '=' alignment not allowed in string format specifier"),
        ("f'{\"a\":+}'", "ValueError: Sign not allowed in string format specifier"),
        ("f'{\"a\": }'", "ValueError: Space not allowed in string format specifier"),
        ("f'{\"a\":z}'", "ValueError: Negative zero coercion (z) not allowed in string format specifier"),
        ("f'{\"a\":#}'", "ValueError: Alternate form (#) not allowed in string format specifier"),
        ("f'{\"a\":,}'", "ValueError: Cannot specify ',' with 's'."),
        ("f'{\"a\":.}'", "ValueError: Format specifier missing precision"),
        ("f'{\"a\":10ss}'", "ValueError: Invalid format specifier '10ss' for object of type 'str'"),
        ("f'{\"a\":99999999999999999999}'", "ValueError: Too many decimal digits in format string"),
    ]);
}

#[test]
fn spec_of_ints() {
    check(&[
        (
            "f'{42:d}|{42:5}|{42:<5}|{42:^5}|{42:=5}|{-42:=5}|{42:05}|{-42:05}'",
            "'42|   42|42   | 42  |   42|-  42|00042|-0042'",
        ),
        ("f'{42:+}|{42: }|{42:-}|{-42:+}'", "'+42| 42|42|-42'"),
        (
            "f'{255:b}|{255:o}|{255:x}|{255:X}|{255:#b}|{255:#o}|{255:#x}|{255:#X}'",
            "'11111111|377|ff|FF|0b11111111|0o377|0xff|0XFF'",
        ),
        ("f'{-255:#x}|{255:#010x}|{-255:#012b}|{255:>#8x}'", "'-0xff|0x000000ff|-0b011111111|    0xff'"),
        (
            "f'{1234567:,}|{1234567:_}|{2**40:_x}|{2**20:_b}|{-1234567:,}'",
            "'1,234,567|1_234_567|100_0000_0000|1_0000_0000_0000_0000_0000|-1,234,567'",
        ),
        (
            "f'{1234567:020,}|{1:08,}|{1:09,}|{1:010,}|{1:08_x}|{-1:09,}'",
            "'0,000,000,001,234,567|0,000,001|0,000,001|00,000,001|000_0001|-0,000,001'",
        ),
        ("f'{0:0=5,}|{0:0<5,}|{12:*=+8}|{12:x^+8}'", "'0,000|00000|+*****12|xx+12xxx'"),
        ("f'{97:c}|{97:5c}|{97:<5c}|{97:^5c}|{97:05c}|{0x1f600:c}'", "'a|    a|a    |  a  |0000a|😀'"),
        ("f'{1234567:n}'", "'1234567'"),
        (
            "f'{10**30:,}|{10**30:x}|{-10**30:e}'",
            "'1,000,000,000,000,000,000,000,000,000,000|c9f2c9cd04674edea40000000|-1.000000e+30'",
        ),
        (
            "f'{3:.2f}|{3:%}|{3:e}|{3:g}|{3:08.3f}|{10**15:g}'",
            "'3.00|300.000000%|3.000000e+00|3|0003.000|1e+15'",
        ),
        ("f'{True}|{True:d}|{True:5}|{True:x}|{True:.1f}|{True:c}'", "'True|1|    1|1|1.0|\\x01'"),
        ("f'{1:s}'", "ValueError: Unknown format code 's' for object of type 'int'"),
        ("f'{True:s}'", "ValueError: Unknown format code 's' for object of type 'bool'"),
        ("f'{1:.3}'", "ValueError: Precision not allowed in integer format specifier"),
        ("f'{1:.3d}'", "ValueError: Precision not allowed in integer format specifier"),
        ("f'{1:z}'", "ValueError: Negative zero coercion (z) not allowed in integer format specifier"),
        ("f'{1:+c}'", "ValueError: Sign not allowed with integer format specifier 'c'"),
        ("f'{1:#c}'", "ValueError: Alternate form (#) not allowed with integer format specifier 'c'"),
        ("f'{-1:c}'", "OverflowError: %c arg not in range(0x110000)"),
        ("f'{10**30:c}'", "OverflowError: Python int too large to convert to C long"),
        ("f'{0x110000:c}'", "OverflowError: %c arg not in range(0x110000)"),
        ("f'{1:,x}'", "ValueError: Cannot specify ',' with 'x'."),
        ("f'{1:,c}'", "ValueError: Cannot specify ',' with 'c'."),
        ("f'{1:,n}'", "ValueError: Cannot specify ',' with 'n'."),
        ("f'{1:,_}'", "ValueError: Cannot specify both ',' and '_'."),
        ("f'{1:_,}'", "ValueError: Cannot specify both ',' and '_'."),
        ("f'{1:,,}'", "ValueError: Cannot specify ',' with ','."),
        ("f'{1:é}'", "ValueError: Unknown format code '\\xe9' for object of type 'int'"),
        ("f'{1:ff}'", "ValueError: Invalid format specifier 'ff' for object of type 'int'"),
        ("f'{10**400:f}'", "OverflowError: int too large to convert to float"),
    ]);
}

#[test]
fn spec_of_floats() {
    check(&[
        (
            "f'{1.5:f}|{1.5:.0f}|{2.5:.0f}|{1.5:.3f}|{1e22:f}|{1e-10:f}|{0.0:f}|{-0.0:f}'",
            "'1.500000|2|2|1.500|10000000000000000000000.000000|0.000000|0.000000|-0.000000'",
        ),
        (
            "f'{1.5:e}|{1.5:.0e}|{12345.678:.3e}|{0.0:e}|{1e-300:.2E}|{9.99:.1e}'",
            "'1.500000e+00|2e+00|1.235e+04|0.000000e+00|1.00E-300|1.0e+01'",
        ),
        (
            "f'{1.5:g}|{1e5:g}|{1e6:g}|{123456.7:g}|{1e-4:g}|{1e-5:g}|{0.0:g}|{100000.0:.3g}|{1e100:G}'",
            "'1.5|100000|1e+06|123457|0.0001|1e-05|0|1e+05|1E+100'",
        ),
        (
            "f'{1.5:#g}|{1.0:#.3g}|{1e10:#g}|{1.0:#.0f}|{1.0:#.0e}|{1e16:#}|{0.0001234:#.3g}'",
            "'1.50000|1.00|1.00000e+10|1.|1.e+00|1.e+16|0.000123'",
        ),
        (
            "f'{1.0:.3}|{10.0:.1}|{123456.0:.3}|{1.0:.1}|{99.0:.2}|{100.0:.3}|{0.0:.5}|{1e16:.3}'",
            "'1.0|1e+01|1.23e+05|1e+00|9.9e+01|1e+02|0.0|1e+16'",
        ),
        ("f'{1.0:n}|{1234567.5:n}'", "'1|1.23457e+06'"),
        ("f'{0.5:%}|{0.1234:.1%}|{1e308:%}'", "'50.000000%|12.3%|inf%'"),
        (
            "f'{1234567.891:,}|{1234567.891:,.2f}|{1234567.891:_.1f}|{1e20:,}|{1234.5:012,.1f}|{1234567.0:020,}'",
            "'1,234,567.891|1,234,567.89|1_234_567.9|1e+20|00,001,234.5|00,000,001,234,567.0'",
        ),
        (
            "f'{1.5:10}|{1.5:<10}|{1.5:^10}|{-1.5:=10}|{-1.5:010}|{1.5:+}|{1.5: }|{-1.5:*^10}'",
            "'       1.5|1.5       |   1.5    |-      1.5|-0000001.5|+1.5| 1.5|***-1.5***'",
        ),
        (
            "f'{float(\"inf\"):f}|{float(\"inf\"):F}|{-float(\"inf\"):E}|{float(\"nan\"):f}|{float(\"inf\"):010}|{float(\"nan\"):=+8}|{-float(\"nan\")}|{float(\"inf\"):%}'",
            "'inf|INF|-INF|nan|0000000inf|+    nan|nan|inf%'",
        ),
        (
            "f'{-0.0:z}|{-0.001:z.1f}|{-0.0:.1f}|{-1.5:z.0f}|{-0.0:z+}|{-0.0:ze}|{-float(\"inf\"):z}'",
            "ValueError: Unknown format code '+' for object of type 'float'",
        ),
        (
            "f'{0.1:.20f}|{0.1:.30g}|{5e-324:.5g}|{2.675:.2f}|{0.125:.2f}|{0.375:.2f}|{1e23:.0f}'",
            "'0.10000000000000000555|0.100000000000000005551115123126|4.9407e-324|2.67|0.12|0.38|99999999999999991611392'",
        ),
        ("f'{1.5:d}'", "ValueError: Unknown format code 'd' for object of type 'float'"),
        ("f'{1.5:x}'", "ValueError: Unknown format code 'x' for object of type 'float'"),
        ("f'{1.5:s}'", "ValueError: Unknown format code 's' for object of type 'float'"),
        ("f'{1.5:.}'", "ValueError: Format specifier missing precision"),
        ("f'{1.5:,n}'", "ValueError: Cannot specify ',' with 'n'."),
        ("f'{1.5:,x}'", "ValueError: Cannot specify ',' with 'x'."),
        ("f'{1.5:%%}'", "ValueError: Invalid format specifier '%%' for object of type 'float'"),
        ("f'{1.5:.2147483648f}'", "ValueError: precision too big"),
    ]);
}

#[test]
fn spec_of_other_types() {
    check(&[
        ("f'{None}|{None!s:>6}|{[1]}|{[1]!r:>5}'", "'None|  None|[1]|  [1]'"),
        ("f'{[]:x}'", "TypeError: unsupported format string passed to list.__format__"),
        ("f'{None:5}'", "TypeError: unsupported format string passed to NoneType.__format__"),
        ("f'{ {} :5}'", "TypeError: unsupported format string passed to dict.__format__"),
        ("f'{range(3):5}'", "TypeError: unsupported format string passed to range.__format__"),
        (
            "f'{abs:5}'",
            "TypeError: unsupported format string passed to builtin_function_or_method.__format__",
        ),
        ("f'{int:5}'", "TypeError: unsupported format string passed to type.__format__"),
    ]);
}

#[test]
fn what_shows_an_address_has_no_text() {
    let refused = |name| format!("TypeError: a '{name}' object has no text: CPython would show its address");
    check(&[
        ("str(lambda: 1)", &refused("function")),
        ("str([(x for x in [])])", &refused("generator")),
        ("str({}.get)", &refused("builtin_function_or_method")),
        ("f'{map(abs, [])}'", &refused("map")),
    ]);
}

#[test]
fn length_is_bounded_before_the_work() {
    check(&[
        ("f'{1:9999999999}'", "limit string_length"),
        ("f'{\"a\":>9223372036854775807}'", "limit string_length"),
        ("f'{1:09999999999,}'", "limit string_length"),
        ("f'{1.5:.999999999f}'", "limit string_length"),
        ("f'{1.5:.999999999e}'", "limit string_length"),
        ("f'{1.5:#.999999999g}'", "limit string_length"),
        ("f'{1.5:.999999999g}'", "'1.5'"),
        ("len(f'{1.5:.5000f}')", "5002"),
        ("len(f'{1.5:#.5000}')", "5001"),
        ("len(f'{\"a\":1000000}')", "1000000"),
        ("str(['x' * 100000] * 1000)", "limit string_length"),
        ("str(['\\n' * 600000])", "limit string_length"),
    ]);
}

#[test]
fn nesting_is_bounded() {
    let deep = (0..500).fold(Value::None, |inner, _| Value::list(vec![inner]));
    let mut meter = Meter::new(&Limits::default());
    let raise = repr(&mut meter, &deep, &mut String::new()).expect_err("too deep");
    assert_eq!(raise.kind, RaiseKind::Limit(Limit::CallDepth));
}

#[test]
fn the_start_of_a_repr_is_cut_as_cpython_cuts_it() {
    for (text, length, expected) in
        [("abc", 200, "'abc'"), ("abc", 4, "'abc"), ("abc", 5, "'abc'"), ("a\nb", 3, "'a\\"), ("", 2, "''")]
    {
        assert_eq!(repr_text_start(text, length), expected);
    }
}

proptest! {
    #[test]
    fn no_specification_breaks(
        x in any::<f64>(),
        i in any::<i64>(),
        spec in "[a<>=^0*]?[<>=^]?[+ -]?z?#?0?[0-9]{0,3}[,_]?(\\.[0-9]{0,4})?[bcdeEfFgGnosxX%é]?",
    ) {
        for value in [Value::Float(x), Value::Int(i), Value::Bool(i > 0), Value::str("héllo")] {
            let mut meter = Meter::new(&Limits::default());
            let _ = format(&mut meter, &value, &spec, &mut String::new());
        }
    }

    #[test]
    fn width_is_kept(i in any::<i64>(), width in 0_usize..60, grouped in any::<bool>(), zero in any::<bool>()) {
        let spec = format!("{}{width}{}", if zero && width > 0 { "0" } else { "" }, if grouped { "," } else { "" });
        let mut out = String::new();
        format(&mut Meter::new(&Limits::default()), &Value::Int(i), &spec, &mut out).expect("valid");
        // One zero more where a separator would come first.
        prop_assert!(out.len() >= width);
        prop_assert_eq!(out.replace([',', ' '], "").parse::<i64>().ok(), Some(i));
    }
}
