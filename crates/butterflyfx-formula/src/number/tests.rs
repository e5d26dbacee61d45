//! Numbers against the answers of CPython 3.13, and against their own laws.

use super::*;
use crate::format;
use crate::limits::Limits;
use crate::testing::check;
use proptest::prelude::*;

#[test]
fn bools_are_ints() {
    check(&[
        ("True + True", "2"),
        ("-True", "-1"),
        ("+True", "1"),
        ("True * 2.5", "2.5"),
        ("True / 2", "0.5"),
        ("True & True", "True"),
        ("True | 2", "3"),
        ("True ^ True", "False"),
        ("~0", "-1"),
        ("True << 3", "8"),
        ("True ** False", "1"),
        ("abs(True)", "1"),
    ]);
}

#[test]
fn ints_leave_64_bits_and_come_back() {
    check(&[
        ("9223372036854775807 + 1", "9223372036854775808"),
        ("-9223372036854775808 - 1", "-9223372036854775809"),
        ("9223372036854775808 - 1", "9223372036854775807"),
        ("4611686018427387904 * 2", "9223372036854775808"),
        ("-4611686018427387904 * 2", "-9223372036854775808"),
        ("-(-9223372036854775808)", "9223372036854775808"),
        ("abs(-9223372036854775808)", "9223372036854775808"),
        ("-9223372036854775808 // -1", "9223372036854775808"),
        ("-9223372036854775808 % -1", "0"),
        ("divmod(-9223372036854775808, -1)", "(9223372036854775808, 0)"),
        ("2 ** 63", "9223372036854775808"),
        ("(-2) ** 63", "-9223372036854775808"),
        ("3 ** 40", "12157665459056928801"),
        ("1 << 63", "9223372036854775808"),
        ("-1 << 63", "-9223372036854775808"),
        ("1 << 62", "4611686018427387904"),
        ("(1 << 64) >> 1", "9223372036854775808"),
        ("2**64 // 2**60", "16"),
        ("~(2**64)", "-18446744073709551617"),
        ("-(2**64)", "-18446744073709551616"),
        ("2**64 & -2**70", "0"),
        ("2**64 | -1", "-1"),
        ("2**64 ^ -1", "-18446744073709551617"),
        ("-2**64 >> 3", "-2305843009213693952"),
    ]);
}

#[test]
fn floor_division_and_modulo_round_down() {
    check(&[
        ("7 // 2", "3"),
        ("-7 // 2", "-4"),
        ("7 // -2", "-4"),
        ("-7 // -2", "3"),
        ("7 % -3", "-2"),
        ("-7 % 3", "2"),
        ("divmod(-7, 2)", "(-4, 1)"),
        ("-10**30 // 7", "-142857142857142857142857142858"),
        ("-10**30 % 7", "6"),
        ("10**30 % -7", "-6"),
        ("7.5 // 2", "3.0"),
        ("-7.5 // 2", "-4.0"),
        ("-7.5 % 2", "0.5"),
        ("7.5 % -2", "-0.5"),
        ("0.0 // -1", "-0.0"),
        ("-0.0 // 1", "-0.0"),
        ("-0.0 % 3", "0.0"),
        ("0.0 % -3", "-0.0"),
        ("6.0 % -3.0", "-0.0"),
        ("1.0 // 0.1", "9.0"),
        ("1.0 % 0.1", "0.09999999999999995"),
        ("1e308 // 1e-308", "inf"),
        ("5 // float('inf')", "0.0"),
        ("-5 // float('inf')", "-1.0"),
        ("-5 % float('inf')", "inf"),
        ("float('inf') // 1", "nan"),
        ("float('inf') % 2", "nan"),
        ("divmod(1e300, -3.7)", "(-2.7027027027027026e+299, -1.9342383738006452)"),
        ("divmod(-0.0, 2.0)", "(-0.0, 0.0)"),
    ]);
}

#[test]
fn true_division_rounds_once() {
    check(&[
        ("1 / 3", "0.3333333333333333"),
        ("0 / -5", "-0.0"),
        ("0 / -10**400", "-0.0"),
        ("7 / 7", "1.0"),
        ("9007199254740993 / 1", "9007199254740992.0"),
        ("9007199254740993 / 3", "3002399751580331.0"),
        ("(2**53 + 1) / 2**53", "1.0"),
        ("10**400 / 10**399", "10.0"),
        ("(10**400 + 1) / 10**400", "1.0"),
        ("1 / 10**308", "1e-308"),
        ("1 / 2**1074", "5e-324"),
        ("1 / 2**1075", "0.0"),
        ("3 / 2**1076", "5e-324"),
        ("-1 / 2**1080", "-0.0"),
        ("(2**1024 - 2**970 - 1) / 1", "1.7976931348623157e+308"),
        ("(2**1024 - 2**970) / 1", "OverflowError: integer division result too large for a float"),
        ("10**400 / 3", "OverflowError: integer division result too large for a float"),
        ("(2**1074 + 1) / 2**2148", "5e-324"),
    ]);
}

#[test]
fn division_by_zero() {
    check(&[
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("1 // 0", "ZeroDivisionError: integer division or modulo by zero"),
        ("1 % 0", "ZeroDivisionError: integer modulo by zero"),
        ("divmod(1, 0)", "ZeroDivisionError: integer division or modulo by zero"),
        ("10**40 / 0", "ZeroDivisionError: division by zero"),
        ("10**40 // 0", "ZeroDivisionError: integer division or modulo by zero"),
        ("10**40 % 0", "ZeroDivisionError: integer modulo by zero"),
        ("1.0 / 0", "ZeroDivisionError: float division by zero"),
        ("1.0 // 0", "ZeroDivisionError: float floor division by zero"),
        ("1.0 % 0.0", "ZeroDivisionError: float modulo by zero"),
        ("divmod(1.0, 0)", "ZeroDivisionError: float divmod()"),
        ("0 ** -1", "ZeroDivisionError: 0.0 cannot be raised to a negative power"),
        ("0.0 ** -1", "ZeroDivisionError: 0.0 cannot be raised to a negative power"),
        ("False ** -1", "ZeroDivisionError: 0.0 cannot be raised to a negative power"),
        ("(-0.0) ** -3.5", "ZeroDivisionError: 0.0 cannot be raised to a negative power"),
    ]);
}

#[test]
fn powers() {
    check(&[
        ("2 ** 10", "1024"),
        ("(-2) ** 3", "-8"),
        ("2 ** -2", "0.25"),
        ("(-2) ** -3", "-0.125"),
        ("10 ** -400", "0.0"),
        ("2 ** 0.5", "1.4142135623730951"),
        ("0 ** 0", "1"),
        ("0.0 ** 0", "1.0"),
        ("1 ** 10**30", "1"),
        ("(-1) ** (10**30 + 1)", "-1"),
        ("0 ** 10**30", "0"),
        ("(-8.0) ** 3", "-512.0"),
        ("(-8.0) ** -3", "-0.001953125"),
        ("(-0.0) ** 3", "-0.0"),
        ("(-0.0) ** 2", "0.0"),
        ("float('inf') ** -1", "0.0"),
        ("(-float('inf')) ** 3", "-inf"),
        ("(-float('inf')) ** -3", "-0.0"),
        ("(-float('inf')) ** 2", "inf"),
        ("2.0 ** float('inf')", "inf"),
        ("0.5 ** float('inf')", "0.0"),
        ("(-1.0) ** float('inf')", "1.0"),
        ("0.5 ** -float('inf')", "inf"),
        ("float('nan') ** 0", "1.0"),
        ("1.0 ** float('nan')", "1.0"),
        ("float('nan') ** 1", "nan"),
        ("10.0 ** 308", "1e+308"),
        ("10.0 ** 309", "OverflowError: (34, 'Numerical result out of range')"),
        ("(-10.0) ** 309", "OverflowError: (34, 'Numerical result out of range')"),
        ("10.0 ** -400", "0.0"),
        ("10**400 ** 1.0", "OverflowError: (34, 'Numerical result out of range')"),
        ("(-8.0) ** 400.5", "OverflowError: complex exponentiation"),
    ]);
}

#[test]
fn shifts() {
    check(&[
        ("1 << -1", "ValueError: negative shift count"),
        ("1 >> -1", "ValueError: negative shift count"),
        ("2**70 << -1", "ValueError: negative shift count"),
        ("0 << 10**30", "0"),
        ("5 >> 10**30", "0"),
        ("-5 >> 10**30", "-1"),
        ("2**100 >> 99", "2"),
        ("-1 >> 1", "-1"),
    ]);
}

#[test]
fn int_and_float_compare_exactly() {
    check(&[
        ("2**53 + 1 == 2.0**53", "False"),
        ("2**53 == 2.0**53", "True"),
        ("2**53 + 1 > 2.0**53", "True"),
        ("2**63 == 2.0**63", "True"),
        ("2**63 - 1 < 2.0**63", "True"),
        ("-2**63 == -(2.0**63)", "True"),
        ("-2**63 - 1 < -(2.0**63)", "True"),
        ("10**400 < float('inf')", "True"),
        ("-10**400 > -float('inf')", "True"),
        ("10**400 > 1.7976931348623157e308", "True"),
        ("1 < 1.5", "True"),
        ("-1 > -1.5", "True"),
        ("1 == 1.0", "True"),
        ("0 == -0.0", "True"),
        ("1 < float('nan')", "False"),
        ("1 == float('nan')", "False"),
        ("10**30 == float('nan')", "False"),
        ("True < 1.5", "True"),
    ]);
}

#[test]
fn ints_become_floats_exactly_rounded() {
    check(&[
        ("float(2**53 + 1)", "9007199254740992.0"),
        ("float(2**54 + 3)", "1.8014398509481988e+16"),
        ("float(2**64 + 2**11)", "1.8446744073709552e+19"),
        ("float(2**64 + 2**11 + 1)", "1.8446744073709556e+19"),
        ("float(2**1024 - 2**970 - 1)", "1.7976931348623157e+308"),
        ("float(2**1024 - 2**970)", "OverflowError: int too large to convert to float"),
        ("1.0 + 10**400", "OverflowError: int too large to convert to float"),
        ("10**400 / 1.5", "OverflowError: int too large to convert to float"),
    ]);
}

#[test]
fn rounding() {
    check(&[
        ("round(0.5)", "0"),
        ("round(1.5)", "2"),
        ("round(2.5)", "2"),
        ("round(-0.5)", "0"),
        ("round(-2.5)", "-2"),
        (
            "round(1e300)",
            "1000000000000000052504760255204420248704468581108159154915854115511802457988908195786371375080447864043704443832883878176942523235360430575644792184786706982848387200926575803737830233794788090059368953234970799945081119038967640880074652742780142494579258788820056842838115669472196386865459400540160",
        ),
        ("round(2.675, 2)", "2.67"),
        ("round(1.005, 2)", "1.0"),
        ("round(0.125, 2)", "0.12"),
        ("round(0.375, 2)", "0.38"),
        ("round(2.5, 0)", "2.0"),
        ("round(-0.4, 0)", "-0.0"),
        ("round(1234.5678, -2)", "1200.0"),
        ("round(1250.0, -2)", "1200.0"),
        ("round(1350.0, -2)", "1400.0"),
        ("round(50.0, -2)", "0.0"),
        ("round(51.0, -2)", "100.0"),
        ("round(-0.0, -1)", "-0.0"),
        ("round(1e308, -308)", "1e+308"),
        ("round(1.7e308, -308)", "OverflowError: rounded value too large to represent"),
        ("round(1e22, -22)", "1e+22"),
        ("round(5e-324, 323)", "0.0"),
        ("round(5e-324, 400)", "5e-324"),
        ("round(1.5, None)", "2"),
        ("round(1.5, True)", "1.5"),
        ("round(1.5, 10**30)", "1.5"),
        ("round(-1.5, -10**30)", "-0.0"),
        ("round(15, -1)", "20"),
        ("round(25, -1)", "20"),
        ("round(-15, -1)", "-20"),
        ("round(5, -1)", "0"),
        ("round(6, -1)", "10"),
        ("round(5, -30)", "0"),
        ("round(10**30 + 5 * 10**9, -10)", "1000000000000000000000000000000"),
        ("round(10**30 + 15 * 10**9, -10)", "1000000000000000000020000000000"),
        ("round(12345, 2)", "12345"),
        ("round(True)", "1"),
        ("round(True, -1)", "0"),
        ("round(float('inf'))", "OverflowError: cannot convert float infinity to integer"),
        ("round(float('nan'))", "ValueError: cannot convert float NaN to integer"),
        ("round(float('inf'), 2)", "inf"),
        ("round(1.5, 'a')", "TypeError: 'str' object cannot be interpreted as an integer"),
        ("round(1.5, 1.5)", "TypeError: 'float' object cannot be interpreted as an integer"),
        ("round('a')", "TypeError: type str doesn't define __round__ method"),
    ]);
}

#[test]
fn truncation() {
    check(&[
        ("int(1.9)", "1"),
        ("int(-1.9)", "-1"),
        ("int(-0.0)", "0"),
        ("int(1e20)", "100000000000000000000"),
        ("int(1e308) == 10**308", "False"),
        ("int(9.3e18)", "9300000000000000000"),
        ("int(float('inf'))", "OverflowError: cannot convert float infinity to integer"),
        ("int(-float('inf'))", "OverflowError: cannot convert float infinity to integer"),
        ("int(float('nan'))", "ValueError: cannot convert float NaN to integer"),
    ]);
}

#[test]
fn pow_with_modulus() {
    check(&[
        ("pow(2, 10, 1000)", "24"),
        ("pow(-3, 5, 7)", "2"),
        ("pow(3, 5, -7)", "-2"),
        ("pow(2, -1, 5)", "3"),
        ("pow(2, -3, -5)", "-3"),
        ("pow(2, -1, 4)", "ValueError: base is not invertible for the given modulus"),
        ("pow(0, -1, 1)", "0"),
        ("pow(5, 0, 1)", "0"),
        ("pow(3, 10**20, 10**15 + 37)", "920737642770184"),
        ("pow(10**20, 3, 10**19 + 1)", "9999999999999999001"),
        ("pow(True, True, True)", "0"),
        ("pow(2, 3, 0)", "ValueError: pow() 3rd argument cannot be 0"),
        ("pow(2.0, 3, 5)", "TypeError: pow() 3rd argument not allowed unless all arguments are integers"),
        ("pow(2, 3, 5.0)", "TypeError: pow() 3rd argument not allowed unless all arguments are integers"),
        ("pow('a', 2, 3)", "TypeError: unsupported operand type(s) for ** or pow(): 'str', 'int', 'int'"),
        ("pow(2, 3, None)", "8"),
    ]);
}

#[test]
fn bits_of_ints() {
    check(&[
        ("(0).bit_length()", "0"),
        ("(-8).bit_length()", "4"),
        ("(-2**63).bit_length()", "64"),
        ("(2**64).bit_length()", "65"),
        ("True.bit_length()", "1"),
        ("(-7).bit_count()", "3"),
        ("(2**64 - 1).bit_count()", "64"),
        ("bin(10)", "'0b1010'"),
        ("bin(-2**70)", "'-0b10000000000000000000000000000000000000000000000000000000000000000000000'"),
        ("oct(-8)", "'-0o10'"),
        ("hex(255)", "'0xff'"),
        ("hex(True)", "'0x1'"),
        ("hex(2**64)", "'0x10000000000000000'"),
        ("hex(1.5)", "TypeError: 'float' object cannot be interpreted as an integer"),
    ]);
}

#[test]
fn int_of_text() {
    check(&[
        ("int('42')", "42"),
        ("int(' -42\\n')", "-42"),
        ("int('+1_000')", "1000"),
        ("int('9223372036854775808')", "9223372036854775808"),
        ("int('-9223372036854775809')", "-9223372036854775809"),
        ("int('000000000000000000000000000001')", "1"),
        ("int('٤٢')", "42"),
        ("int('\\u00a01\\u2003')", "1"),
        ("int('𝟘𝟙𝟟')", "17"),
        ("int('ff', 16)", "255"),
        ("int('0xFF', 16)", "255"),
        ("int('0b1', 16)", "177"),
        ("int('0x_ff', 0)", "255"),
        ("int('0o17', 0)", "15"),
        ("int('0_0', 0)", "0"),
        ("int('z', 36)", "35"),
        ("int('Zz', 36)", "1295"),
        ("int('-0b101', 2)", "-5"),
        ("int('')", "ValueError: invalid literal for int() with base 10: ''"),
        ("int('abc')", "ValueError: invalid literal for int() with base 10: 'abc'"),
        ("int('_1')", "ValueError: invalid literal for int() with base 10: '_1'"),
        ("int('1_')", "ValueError: invalid literal for int() with base 10: '1_'"),
        ("int('1__0')", "ValueError: invalid literal for int() with base 10: '1__0'"),
        ("int('+ 1')", "ValueError: invalid literal for int() with base 10: '+ 1'"),
        ("int('--1')", "ValueError: invalid literal for int() with base 10: '--1'"),
        ("int('1.0')", "ValueError: invalid literal for int() with base 10: '1.0'"),
        ("int('0x', 16)", "ValueError: invalid literal for int() with base 16: '0x'"),
        ("int('0x__f', 16)", "ValueError: invalid literal for int() with base 16: '0x__f'"),
        ("int('010', 0)", "ValueError: invalid literal for int() with base 0: '010'"),
        ("int('²')", "ValueError: invalid literal for int() with base 10: '²'"),
        ("int('\\x1c1')", "ValueError: invalid literal for int() with base 10: '\\x1c1'"),
        ("int('1\\x00')", "ValueError: invalid literal for int() with base 10: '1\\x00'"),
        ("int(\"it's\")", "ValueError: invalid literal for int() with base 10: \"it's\""),
        (
            "int('x' * 300)",
            "ValueError: invalid literal for int() with base 10: 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        ),
        ("int('1', 1)", "ValueError: int() base must be >= 2 and <= 36, or 0"),
        ("int('1', 37)", "ValueError: int() base must be >= 2 and <= 36, or 0"),
    ]);
}

#[test]
fn float_of_text() {
    check(&[
        ("float('1.5')", "1.5"),
        ("float(' -1e3\\t')", "-1000.0"),
        ("float('.5')", "0.5"),
        ("float('5.')", "5.0"),
        ("float('1_0.0_1e1_0')", "100100000000.0"),
        ("float('inf')", "inf"),
        ("float('-Infinity')", "-inf"),
        ("float('nan')", "nan"),
        ("float('1e400')", "inf"),
        ("float('1e-400')", "0.0"),
        ("float('-0')", "-0.0"),
        ("float('٣.٥')", "3.5"),
        ("float('9007199254740993')", "9007199254740992.0"),
        ("float('2.2250738585072011e-308')", "2.225073858507201e-308"),
        ("float('')", "ValueError: could not convert string to float: ''"),
        ("float('.')", "ValueError: could not convert string to float: '.'"),
        ("float('1e')", "ValueError: could not convert string to float: '1e'"),
        ("float('_1')", "ValueError: could not convert string to float: '_1'"),
        ("float('1_')", "ValueError: could not convert string to float: '1_'"),
        ("float('1_.5')", "ValueError: could not convert string to float: '1_.5'"),
        ("float('1e_1')", "ValueError: could not convert string to float: '1e_1'"),
        ("float('infi')", "ValueError: could not convert string to float: 'infi'"),
        ("float('0x10')", "ValueError: could not convert string to float: '0x10'"),
        ("float('1 2')", "ValueError: could not convert string to float: '1 2'"),
        ("float(\"a'\\n\")", "ValueError: could not convert string to float: \"a'\\n\""),
    ]);
}

#[test]
fn what_would_be_complex_is_a_value_error() {
    let complex =
        "ValueError: a negative number raised to a fractional power is complex, which is not supported";
    check(&[("(-8) ** 0.5", complex), ("(-8.0) ** -0.5", complex), ("(-2) ** 1e-300", complex)]);
}

#[test]
fn size_is_bounded_before_the_work() {
    check(&[
        ("9 ** 9 ** 9", "limit integer_size"),
        ("(-3) ** 10 ** 30", "limit integer_size"),
        ("2 ** 4096", "limit integer_size"),
        ("(2 ** 4095).bit_length()", "4096"),
        ("1 << 4096", "limit integer_size"),
        ("1 << 10 ** 30", "limit integer_size"),
        ("(1 << 4095).bit_length()", "4096"),
        ("2 ** 2048 * 2 ** 2048", "limit integer_size"),
        ("(2 ** 2048 * 2 ** 2047).bit_length()", "4096"),
        ("(2 ** 4095 + (2 ** 4095 - 1)).bit_length()", "4096"),
        ("2 ** 4095 + 2 ** 4095", "limit integer_size"),
        ("int('9' * 1000000)", "limit integer_size"),
        ("int('1' + '0' * 1234)", "limit integer_size"),
        ("int('1' + '0' * 1233).bit_length()", "4096"),
        ("int('0' * 1000000 + '7')", "7"),
        ("int('f' * 1024, 16).bit_length()", "4096"),
        ("int('f' * 1025, 16)", "limit integer_size"),
    ]);
}

#[test]
fn long_work_costs_steps() {
    let mut meter = Meter::new(&Limits { integer_bits: 1 << 40, ..Limits::default() });
    let big = Value::big(BigInt::from(1) << 65_536);
    for (work, least) in [(BinaryOp::Add, 1_000), (BinaryOp::Multiply, 30_000), (BinaryOp::Modulo, 1_000)] {
        let before = meter.cost().steps;
        binary(&mut meter, work, &big, &big).expect("within the bound");
        assert!(meter.cost().steps - before > least, "{work:?}");
    }
    let modulus = Value::big((BigInt::from(1) << 65_536) + 1);
    assert!(pow_modulo(&mut meter, &Value::Int(3), &big, &modulus).is_err());
}

/// Ints of all sizes, most near a power of two.
fn ints() -> impl Strategy<Value = BigInt> {
    prop_oneof![
        any::<i64>().prop_map(BigInt::from),
        (-100_i64..100).prop_map(BigInt::from),
        (0_u32..1100, -3_i64..4, any::<bool>()).prop_map(|(shift, near, negative)| {
            let x = (BigInt::from(1) << shift) + near;
            if negative { -x } else { x }
        }),
        (any::<i64>(), any::<i64>(), any::<i64>()).prop_map(|(a, b, c)| BigInt::from(a) * b * c),
    ]
}

fn floats() -> impl Strategy<Value = f64> {
    prop_oneof![any::<u64>().prop_map(f64::from_bits), any::<i32>().prop_map(|x| f64::from(x) / 1024.0)]
}

fn run(op: BinaryOp, a: &Value, b: &Value) -> Value {
    let mut meter = Meter::new(&Limits { integer_bits: 1 << 20, ..Limits::default() });
    operate::binary(&mut meter, op, a, b).expect("defined")
}

fn int(x: &Value) -> BigInt {
    as_index(x).expect("int").into_owned()
}

fn shown(x: &Value) -> String {
    let mut out = String::new();
    format::repr(&mut Meter::new(&Limits::default()), x, &mut out).expect("number");
    out
}

proptest! {
    #[test]
    fn arithmetic_follows_big_ints(a in ints(), b in ints()) {
        let (x, y) = (Value::big(a.clone()), Value::big(b.clone()));
        prop_assert_eq!(int(&run(BinaryOp::Add, &x, &y)), &a + &b);
        prop_assert_eq!(int(&run(BinaryOp::Subtract, &x, &y)), &a - &b);
        prop_assert_eq!(int(&run(BinaryOp::Multiply, &x, &y)), &a * &b);
        prop_assert_eq!(int(&run(BinaryOp::BitAnd, &x, &y)), &a & &b);
        prop_assert_eq!(int(&run(BinaryOp::BitOr, &x, &y)), &a | &b);
        prop_assert_eq!(int(&run(BinaryOp::BitXor, &x, &y)), &a ^ &b);
    }

    #[test]
    fn quotient_and_remainder_make_the_whole(a in ints(), b in ints()) {
        prop_assume!(b != BigInt::from(0));
        let (x, y) = (Value::big(a.clone()), Value::big(b.clone()));
        let (quotient, remainder) = (int(&run(BinaryOp::FloorDivide, &x, &y)), int(&run(BinaryOp::Modulo, &x, &y)));
        prop_assert_eq!(&quotient * &b + &remainder, a);
        prop_assert!(remainder.magnitude() < b.magnitude());
        prop_assert!(remainder == BigInt::from(0) || remainder.sign() == b.sign());
    }

    #[test]
    fn an_int_fits_its_variant(a in ints()) {
        let value = Value::big(a.clone());
        prop_assert_eq!(matches!(value, Value::Int(_)), a.to_i64().is_some());
        let negated = operate::unary(&mut Meter::new(&Limits::default()), UnaryOp::Negate, &value);
        prop_assert_eq!(int(&negated.expect("small")), -a);
    }

    #[test]
    fn digits_read_back(a in ints(), base in prop::sample::select(vec![2_u32, 8, 10, 16, 36])) {
        let mut meter = Meter::new(&Limits::default());
        let read = parse_int(&mut meter, &a.to_str_radix(base), base).expect("digits");
        prop_assert_eq!(int(&read), a.clone());
        prop_assert_eq!(shown(&Value::big(a.clone())), a.to_string());
    }

    #[test]
    fn the_float_of_an_int_is_the_nearest(a in ints()) {
        // The decimal reader rounds once, too.
        let nearest: f64 = a.to_string().parse().expect("digits");
        match to_f64(&Value::big(a)) {
            Ok(x) => prop_assert_eq!(x, Some(nearest)),
            Err(_) => prop_assert!(nearest.is_infinite()),
        }
    }

    #[test]
    fn division_by_a_power_of_ten_reads_as_decimal(a in ints(), places in 0_u32..300) {
        let unit = Value::big(BigInt::from(10).pow(places));
        let nearest: f64 = format!("{a}e-{places}").parse().expect("digits");
        let mut meter = Meter::new(&Limits::default());
        match operate::binary(&mut meter, BinaryOp::Divide, &Value::big(a), &unit) {
            Ok(Value::Float(x)) => prop_assert_eq!(x, nearest),
            other => prop_assert!(nearest.is_infinite() && other.is_err()),
        }
    }

    #[test]
    fn floats_read_back(x in floats()) {
        prop_assume!(!x.is_nan());
        let text = shown(&Value::Float(x));
        let read = parse_float(&mut Meter::new(&Limits::default()), &text).expect("float");
        prop_assert_eq!(read.to_bits(), x.to_bits(), "{}", text);
    }

    #[test]
    fn comparison_is_exact(a in ints(), x in floats()) {
        prop_assume!(x.is_finite());
        let exact = if x.fract() == 0.0 {
            a.cmp(&BigInt::from_f64(x).expect("finite"))
        } else {
            // Between two ints: the lower one decides.
            let floor = BigInt::from_f64(x.floor()).expect("finite");
            if a <= floor { Ordering::Less } else { Ordering::Greater }
        };
        let (a, x) = (Value::big(a), Value::Float(x));
        prop_assert_eq!(compare(&a, &x), Some(Some(exact)));
        prop_assert_eq!(compare(&x, &a), Some(Some(exact.reverse())));
    }

    #[test]
    fn equal_numbers_hash_alike(a in ints()) {
        let float = a.to_f64().expect("any int has one");
        prop_assume!(float.is_finite());
        let back = Value::big(BigInt::from_f64(float).expect("finite"));
        prop_assert_eq!(hash(&back), hash(&Value::Float(float)));
    }

    #[test]
    fn rounding_to_digits_reads_as_decimal(x in floats(), digits in 0_i64..20) {
        prop_assume!(x.is_finite());
        let mut meter = Meter::new(&Limits::default());
        let rounded = round(&mut meter, &Value::Float(x), Some(&Value::Int(digits))).expect("finite");
        let expected: f64 = format!("{x:.*}", digits as usize).parse().expect("decimal");
        prop_assert!(matches!(rounded, Value::Float(y) if y.to_bits() == expected.to_bits()));
    }

    #[test]
    fn no_text_breaks_the_parsers(text in any::<String>(), base in 0_u32..40) {
        let mut meter = Meter::new(&Limits::default());
        let _ = parse_int(&mut meter, &text, base);
        let _ = parse_float(&mut meter, &text);
    }
}
