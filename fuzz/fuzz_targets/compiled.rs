//! One meaning: random typed formulas with random parameters, and columns of them, come out the same interpreted and as machine code, to the last
//! bit, with the same error and the same cost.
//!
//! An input decides the formula and the parameters, choice by choice.
#![no_main]

#[path = "../../crates/butterflyfx-jit/tests/it/grammar.rs"]
mod grammar;

use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::error::Result;
use butterflyfx_formula::formula::{ExpressionType, Formula, Templates};
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::value::Value;
use butterflyfx_jit::code::Payloads;
use butterflyfx_jit::columns::{Column, ColumnEvaluation, Results, Values};
use butterflyfx_jit::tier::{Jit, Mode, Tiered};
use grammar::Choices;
use libfuzzer_sys::fuzz_target;
use std::sync::{Arc, LazyLock};

/// One for all inputs: what its compiler keeps of one formula must not show in another.
static JIT: LazyLock<Jit> = LazyLock::new(|| Jit::new(Mode::AtOnce));

/// Rows of the columns.
const ROWS: usize = 9;

fuzz_target!(|input: &[u8]| {
    // Few steps keep the fuzzer quick; the clock must not decide.
    let limits = Limits { steps: 20_000, wall_clock_ms: 3_600_000, ..Limits::default() };
    let mut choices = Choices::new(input);
    let text = choices.formula();
    let Ok(formula) = Formula::new(ExpressionType::Lambda, &text, &limits, &Templates::default()) else {
        return;
    };
    let mut tiered = Tiered::new(formula, &JIT);
    let mut vm = Interpreter::new(&limits);
    let mut rows: Vec<Arc<Dict>> = Vec::new();
    for _ in 0..ROWS {
        let given = choices.parameters();
        let Ok(Value::Dict(parameters)) = json::read_value(given.as_bytes(), 64, 4096) else { continue };
        vm.meter.reset();
        let expected = told(tiered.formula().evaluate(&mut vm, &parameters), &vm);
        vm.meter.reset();
        let found = told(tiered.evaluate(&mut vm, &parameters), &vm);
        assert_eq!(found, expected, "{text} with {given}");
        rows.push(parameters);
    }
    columns(&mut tiered, &mut vm, &rows, &text);
});

/// The numbers of all rows as columns of floats, and of ints.
fn columns(tiered: &mut Tiered, vm: &mut Interpreter, rows: &[Arc<Dict>], text: &str) {
    let names = ["x", "y", "z", "w"];
    let floats = names
        .map(|name| rows.iter().map(|row| row.get_str(name).map_or(0.5, as_float)).collect::<Vec<f64>>());
    let ints =
        names.map(|name| rows.iter().map(|row| row.get_str(name).map_or(3, as_int)).collect::<Vec<i64>>());
    let formula = tiered.formula().clone();
    for kinds in 0..4_u8 {
        let given: Vec<Column<'_>> = (0..4)
            .map(|at| {
                let is_float = kinds == 0 || (kinds >> (at % 2)) & 1 == 0;
                let values = if is_float { Payloads::Floats(&floats[at]) } else { Payloads::Ints(&ints[at]) };
                Column { name: names[at], values: Values::Of(values), is_null: &[] }
            })
            .collect();
        let mut results = Results::default();
        ColumnEvaluation::new(tiered, &given, rows.len()).run(vm, 0..rows.len(), &mut results);
        for row in 0..rows.len() {
            let mut parameters = Dict::new();
            for column in &given {
                parameters.insert_str(column.name.into(), column.value(row));
            }
            vm.meter.reset();
            let expected = formula.evaluate(vm, &Arc::new(parameters));
            match (results.value(row), &expected) {
                (Some(found), Ok(expected)) => {
                    assert_eq!(exactly(&found), exactly(expected), "{text}, row {row}")
                }
                (None, Err(_)) => {}
                (found, _) => panic!("{text}, row {row}: {expected:?} but {found:?}"),
            }
        }
    }
}

fn as_float(value: &Value) -> f64 {
    match value {
        Value::Float(x) => *x,
        Value::Int(x) => *x as f64,
        _ => f64::INFINITY,
    }
}

fn as_int(value: &Value) -> i64 {
    match value {
        Value::Int(x) => *x,
        Value::Float(x) => *x as i64,
        _ => i64::MIN,
    }
}

/// A value to the last bit; NaNs are all one.
fn exactly(value: &Value) -> String {
    match value {
        Value::Float(x) if x.is_nan() => "nan".to_owned(),
        Value::Float(x) => format!("float {:016x}", x.to_bits()),
        other => format!("{other:?}"),
    }
}

fn told(result: Result<Value>, vm: &Interpreter) -> String {
    match result {
        Ok(value) => format!("{} at {:?}", exactly(&value), vm.meter.cost()),
        Err(raise) => format!("{raise:?} at {:?}", vm.meter.cost()),
    }
}
