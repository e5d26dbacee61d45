//! One formula over many rows gives each row what an invocation of its own gives it.

use crate::grammar::Choices;
use crate::support::{asked_for, exactly, formula, limits};
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::formula::Templates;
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::text::Text;
use butterflyfx_formula::value::Value;
use butterflyfx_jit::code::Payloads;
use butterflyfx_jit::columns::{Column, ColumnEvaluation, Results, Values};
use butterflyfx_jit::tier::{Jit, Mode, Tiered};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;
use std::sync::Arc;

const INTS: [i64; 12] = [0, 1, -1, 2, 3, 64, -7, 1 << 53, (1 << 53) + 1, i64::MAX, i64::MIN, 1_000_000_007];
const FLOATS: [f64; 14] = [
    0.0,
    -0.0,
    1.0,
    -1.5,
    2.5,
    0.1,
    1e308,
    -1e308,
    5e-324,
    1e16,
    9007199254740993.0,
    f64::INFINITY,
    f64::NAN,
    3.0,
];

/// A column as it is kept for a test.
enum Kept {
    Ints(Vec<i64>),
    Floats(Vec<f64>),
    Bools(Vec<u64>),
}

impl Kept {
    /// A column of one kind, out of a seed.
    fn new(kind: u8, seed: u64, rows: usize) -> Kept {
        let mut state = seed | 1;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        let mut small = |is_edge: bool, n: usize| (is_edge, next() as usize % n, next() as f64 / 1e7 - 100.0);
        match kind % 4 {
            0 => Kept::Ints((0..rows).map(|_| INTS[small(true, INTS.len()).1]).collect()),
            1 => Kept::Bools((0..rows).map(|_| small(true, 2).1 as u64).collect()),
            2 => Kept::Floats((0..rows).map(|_| FLOATS[small(true, FLOATS.len()).1]).collect()),
            _ => Kept::Floats((0..rows).map(|_| small(false, 1).2).collect()),
        }
    }

    fn values(&self) -> Values<'_> {
        Values::Of(match self {
            Kept::Ints(values) => Payloads::Ints(values),
            Kept::Floats(values) => Payloads::Floats(values),
            Kept::Bools(values) => Payloads::Bools(values),
        })
    }

    fn value(&self, row: usize) -> Value {
        match self {
            Kept::Ints(values) => Value::Int(values[row]),
            Kept::Floats(values) => Value::Float(values[row]),
            Kept::Bools(values) => Value::Bool(values[row] != 0),
        }
    }
}

/// Compares all rows with the interpreter; gives whether machine code ran, and whether several rows at once.
fn compare(text: &str, columns: &[(&str, Kept, Vec<bool>)], rows: usize) -> Result<bool, String> {
    let templates = Templates::default();
    let Some(formula) = formula(text, &templates) else { return Ok(false) };
    let mut tiered = Tiered::new(formula.clone(), &Jit::new(Mode::AtOnce));
    let given: Vec<Column<'_>> =
        columns.iter().map(|(name, kept, is_null)| Column { name, values: kept.values(), is_null }).collect();
    let mut evaluation = ColumnEvaluation::new(&mut tiered, &given, rows);
    let is_compiled = evaluation.is_compiled();
    let mut vm = Interpreter::new(&limits());
    let mut results = Results::default();
    let mut first = 0;
    for piece in [1, 3, 8, 5, rows] {
        let end = rows.min(first + piece);
        evaluation.run(&mut vm, first..end, &mut results);
        let mut steps = 0;
        for row in first..end {
            let mut parameters = Dict::new();
            for (name, kept, is_null) in columns {
                let value = if is_null.get(row) == Some(&true) { Value::None } else { kept.value(row) };
                parameters.insert_str(Text::from(*name), value);
            }
            vm.meter.reset();
            let expected = match formula.evaluate(&mut vm, &Arc::new(parameters)) {
                Ok(value) => {
                    steps += vm.meter.cost().steps;
                    exactly(&value)
                }
                Err(raise) => format!("{:?}", raise.message),
            };
            let found = match results.value(row - first) {
                Some(value) => exactly(&value),
                None => {
                    let error = results.errors.iter().find(|(at, _)| *at == row - first);
                    format!("{:?}", error.map_or("no error", |(_, raise)| raise.message.as_str()))
                }
            };
            if found != expected {
                return Err(format!("{text}\nrow {row}: expected {expected}\n   found {found}"));
            }
        }
        if results.steps != steps {
            return Err(format!("{text}: {} steps, not {steps}", results.steps));
        }
        first = end;
    }
    Ok(is_compiled)
}

#[track_caller]
fn check(text: &str, kinds: [u8; 2]) {
    let rows = 50;
    let columns = [
        ("x", Kept::new(kinds[0], 5, rows), Vec::new()),
        ("y", Kept::new(kinds[1], 9, rows), (0..rows).map(|row| row % 7 == 3).collect()),
    ];
    match compare(text, &columns, rows) {
        Ok(is_compiled) => assert!(is_compiled, "{text} is compiled"),
        Err(difference) => panic!("{difference}"),
    }
}

#[test]
fn formulas_over_columns() {
    for kinds in [[3, 3], [2, 2], [0, 0], [0, 3], [1, 2]] {
        check("(x*1.08-y)*0.5 if x>y else x/2", kinds);
        check("x * y", kinds);
        check("x / y", kinds);
        check("max(x, y) - min(x, 0.5)", kinds);
        check("lambda **kw: kw.get('x', 0) * 2 + kw.get('z', 3) - kw['y']", kinds);
        check("x + 1 if 0 < x < y else (y if y > 2 else x)", kinds);
        check("math.sqrt(abs(x)) + y", kinds);
        check("x ** 2 + x // y if y else x", kinds);
    }
    for kinds in [[0, 0], [0, 1], [1, 0]] {
        // What one of them hands over would hide the cost of the others.
        check("math.gcd(x, 5) if y == y else 0", kinds);
        check("math.gcd(6, y) if x == x else 0", kinds);
        check("math.lcm(x, 3) if y == y else 0", kinds);
    }
}

/// What is not given in any row is the same in all: blocks of them, and what is left of one.
#[test]
fn defaults_of_all_rows() {
    let rows = 300;
    for (kind, formula) in [
        (3, "lambda x, y, vat=0.19: x * y * (1 + vat)"),
        (3, "lambda x, y, n=2, flag=True: x ** n if flag else y"),
        (0, "lambda x, y=None, z=-1, *, w=2.5: x + z if y is None else w"),
        (2, "lambda x=7, y=1.5, *, z=0.5: x * y - z"),
        (1, "lambda y, x=2, **kw: x * kw.get('a', 3) + kw.get('b', y)"),
    ] {
        let given: Vec<&str> = if formula.contains("x, y, ") {
            vec!["x", "y"]
        } else {
            vec![if formula.contains("lambda y") { "y" } else { "x" }]
        };
        let columns: Vec<_> = given
            .iter()
            .map(|name| (*name, Kept::new(kind, 5, rows), (0..rows).map(|row| row == 140).collect()))
            .collect();
        assert_eq!(compare(formula, &columns, rows), Ok(true), "{formula}");
    }
    let text = [("x", Kept::new(3, 5, rows), Vec::new())];
    assert_eq!(
        compare("lambda x, unit='m': str(x) + unit", &text, rows),
        Ok(false),
        "a text is no input of code"
    );
    assert_eq!(compare("lambda x, y: x * y", &text, rows), Ok(false), "each row misses y");
}

/// Many rows are done block by block, and what one of them hands over changes nothing for the others.
#[test]
fn single_rows_fail_in_many() {
    let rows = 1_000;
    let column = |seed, odd: &[(usize, f64)]| {
        let Kept::Floats(mut values) = Kept::new(3, seed, rows) else { panic!("floats") };
        for &(row, value) in odd {
            values[row] = value;
        }
        Kept::Floats(values)
    };
    let odd: [&[(usize, f64)]; 4] =
        [&[], &[(0, 0.0)], &[(17, 0.0), (400, -0.0), (999, 0.0)], &[(127, 0.0), (128, f64::NAN)]];
    for odd in odd {
        for nulls in [&[][..], &[130], &[0, 511, 512, 999]] {
            for text in
                ["x / y", "x / y if x > 0 else y", "math.sqrt(y) if x > 10 else (x if x < 0 else 1 / y)"]
            {
                let is_null = (0..rows).map(|row| nulls.contains(&row)).collect();
                let columns = [("x", column(5, &[]), Vec::new()), ("y", column(9, odd), is_null)];
                assert_eq!(compare(text, &columns, rows), Ok(true), "{odd:?} {nulls:?}");
            }
        }
    }
}

#[test]
fn plain_arithmetic_of_floats_runs_several_rows_at_once() {
    let wide = |text: &str, kind: u8| {
        let column = Kept::new(kind, 1, 10);
        let columns = ["x", "y"].map(|name| Column { name, values: column.values(), is_null: &[] });
        let formula = formula(text, &Templates::default()).expect("a formula");
        let mut tiered = Tiered::new(formula, &Jit::new(Mode::AtOnce));
        ColumnEvaluation::new(&mut tiered, &columns, 10).is_wide()
    };
    assert!(wide("(x*1.08-y)*0.5 if x>y else x/2", 3));
    assert!(wide("max(abs(x), y) / 3 - math.sqrt(x) * y", 3));
    assert!(!wide("x * y", 0), "ints may overflow");
    assert!(!wide("x + y if x > y else 0", 3), "results of two kinds");
    assert!(!wide("x ** y", 3));
}

#[test]
fn random_formulas_over_columns() {
    let config =
        ProptestConfig { cases: asked_for(1_500), failure_persistence: None, ..ProptestConfig::default() };
    let compiled = Cell::new(0);
    let bytes = prop::collection::vec(any::<u8>(), 20..120);
    let run =
        TestRunner::new(config).run(&(bytes, any::<[u8; 4]>(), any::<u64>()), |(bytes, kinds, seed)| {
            let text = Choices::new(&bytes).formula();
            let rows = 45;
            let columns: Vec<_> = ["x", "y", "z", "w"]
                .into_iter()
                .zip(kinds)
                .map(|(name, kind)| {
                    let is_null = if kind & 0x30 == 0 {
                        (0..rows).map(|row| row % 5 == 2).collect()
                    } else {
                        Vec::new()
                    };
                    // Mostly plain floats, so that several rows at once are tried, too.
                    let kind = if kind >= 0x80 { 2 + kind % 2 } else { kind };
                    (name, Kept::new(kind, seed.rotate_left(u32::from(kind)), rows), is_null)
                })
                .collect();
            match compare(&text, &columns, rows) {
                Ok(is_compiled) => compiled.set(compiled.get() + u32::from(is_compiled)),
                Err(difference) => prop_assert!(false, "{difference}"),
            }
            Ok(())
        });
    if let Err(failure) = run {
        panic!("{failure}");
    }
    assert!(compiled.get() > 300, "only {} were compiled", compiled.get());
}
