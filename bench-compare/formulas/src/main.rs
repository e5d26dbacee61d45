//! How long an invocation of two formulas takes, and a row of the second over columns: machine code, our interpreter, a Rust closure, and
//! four expression libraries, one after the other in one process. Prints one JSON object.
//!
//! Each system has its two formulas compiled beforehand and two parameters in memory in the form that it likes best. Results are
//! compared with those of plain Rust.

use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::formula::{ExpressionType, Formula, Templates};
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::value::Value;
use butterflyfx_jit::code::{MachineCode, Payloads};
use butterflyfx_jit::columns::{Column, ColumnEvaluation, Results, Values};
use butterflyfx_jit::compile::Compiler;
use butterflyfx_jit::kind::{Facts, Kind, Signature, payloads};
use butterflyfx_jit::tier::{Jit, Mode, Tiered};
use fasteval::{Compiler as _, Evaler as _};
use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

type Outcome<T> = Result<T, Box<dyn Error>>;

const PRODUCT: &str = "lambda x, y: x * y";
const BRANCH: &str = "lambda x, y: (x*1.08-y)*0.5 if x>y else x/2";
const ROWS: usize = 10_000_000;
const ROUNDS: usize = 7;

fn product(x: f64, y: f64) -> f64 {
    x * y
}

fn branch(x: f64, y: f64) -> f64 {
    if x > y { (x * 1.08 - y) * 0.5 } else { x / 2.0 }
}

/// The median of some rounds, in nanoseconds for one of `times`; every result is compared.
fn measure(times: u64, expected: f64, mut work: impl FnMut() -> Outcome<f64>) -> Outcome<f64> {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let started = Instant::now();
        let mut last = 0.0;
        for _ in 0..times {
            last = black_box(work()?);
        }
        rounds.push(started.elapsed().as_nanos() as f64 / times as f64);
        // One of the libraries counts in decimals.
        if (last - expected).abs() > 1e-12 * expected.abs() {
            return Err(format!("{last}, not {expected}").into());
        }
    }
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

fn ours(text: &str) -> Outcome<Formula> {
    Formula::new(ExpressionType::Lambda, text, &Limits::default(), &Templates::default())
        .map_err(|error| error.to_string().into())
}

fn as_float(value: &Value) -> f64 {
    match value {
        Value::Int(x) => *x as f64,
        Value::Float(x) => *x,
        _ => f64::NAN,
    }
}

fn parameters(x: Value, y: Value) -> Arc<Dict> {
    let mut parameters = Dict::new();
    parameters.insert_str("x".into(), x);
    parameters.insert_str("y".into(), y);
    Arc::new(parameters)
}

/// Our formula: interpreted, compiled with values and costs, and its code alone.
fn butterflyfx(text: &str, x: Value, y: Value, expected: f64) -> Outcome<[f64; 3]> {
    const TIMES: u64 = 1_000_000;
    let formula = ours(text)?;
    let (kind, _) = Kind::of(&x).ok_or("no number")?;
    let inputs = [&x, &y].map(|value| Kind::of(value).map_or(0, |(_, payload)| payload));
    let row = parameters(x, y);
    let binding = formula.bind(&row).ok_or("the parameters do not fit")?;
    let mut vm = Interpreter::new(&Limits::default());
    let interpreted = measure(TIMES, expected, || {
        vm.meter.reset();
        let value = formula.evaluate_bound(&mut vm, black_box(&row), &binding);
        value.map(|value| as_float(&value)).map_err(|raise| raise.message.into())
    })?;
    let mut tiered = Tiered::new(formula.clone(), &Jit::new(Mode::AtOnce));
    let compiled = measure(TIMES, expected, || {
        vm.meter.reset();
        let value = tiered.evaluate_bound(&mut vm, black_box(&row), &binding);
        value.map(|value| as_float(&value)).map_err(|raise| raise.message.into())
    })?;
    let signature = Signature::default().with(0, kind).with(1, kind);
    let template = formula.template.code().ok_or("not covered")?;
    let facts = Facts::of_constants(template, &formula.constants);
    let assembled = Compiler::new()?.compile(template, signature, &facts)?;
    let code = MachineCode::new(&assembled, 2, signature, facts, &Arc::default())?;
    let constants = payloads(&formula.constants);
    let alone = measure(TIMES, expected, || {
        let computed = code.call(black_box(&inputs), &constants).ok_or("handed over")?;
        Ok(as_float(&computed.kind.value(computed.payload)))
    })?;
    Ok([interpreted, compiled, alone])
}

fn fast_eval(text: &str, x: f64, y: f64, expected: f64) -> Outcome<f64> {
    let mut slab = fasteval::Slab::new();
    let parsed = fasteval::Parser::new().parse(text, &mut slab.ps)?;
    let compiled = parsed.from(&slab.ps).compile(&slab.ps, &mut slab.cs);
    let mut names = |name: &str, _: Vec<f64>| match name {
        "x" => Some(x),
        "y" => Some(y),
        _ => None,
    };
    measure(500_000, expected, || Ok(compiled.eval(&slab, &mut names)?))
}

fn rhai_script(text: &str, x: rhai::Dynamic, y: rhai::Dynamic, expected: f64) -> Outcome<f64> {
    let engine = rhai::Engine::new();
    let mut scope = rhai::Scope::new();
    scope.push("x", x).push("y", y);
    let tree = engine.compile_with_scope(&scope, text)?;
    measure(200_000, expected, || {
        let value: rhai::Dynamic = engine.eval_ast_with_scope(&mut scope, &tree)?;
        Ok(value.as_float().or_else(|_| value.as_int().map(|x| x as f64))?)
    })
}

fn cel_program(text: &str, x: cel::Value, y: cel::Value, expected: f64) -> Outcome<f64> {
    let program = cel::Program::compile(text)?;
    let mut context = cel::Context::default();
    context.add_variable_from_value("x", x);
    context.add_variable_from_value("y", y);
    measure(200_000, expected, || match program.execute(&context)? {
        cel::Value::Int(x) => Ok(x as f64),
        cel::Value::Float(x) => Ok(x),
        other => Err(format!("{other:?}").into()),
    })
}

fn zen(text: &str, given: serde_json::Value, expected: f64) -> Outcome<f64> {
    let expression = zen_expression::compile_expression(text).map_err(|error| error.to_string())?;
    let given: zen_expression::Variable = given.into();
    measure(200_000, expected, || {
        let value = expression.evaluate(given.clone()).map_err(|error| error.to_string())?;
        let number = value.as_number().ok_or("no number")?;
        Ok(number.to_string().parse()?)
    })
}

/// Nanoseconds a row of the second formula over ten million rows: into memory that is there already, and into fresh memory.
struct Columns {
    ours: [f64; 2],
    plain: [f64; 2],
}

/// The median of some rounds, in nanoseconds a row, without the first one.
fn measure_rows(mut work: impl FnMut() -> Outcome<()>) -> Outcome<f64> {
    let mut rounds = Vec::new();
    for _ in 0..=ROUNDS {
        let started = Instant::now();
        work()?;
        rounds.push(started.elapsed().as_nanos() as f64 / ROWS as f64);
    }
    rounds.remove(0);
    rounds.sort_by(f64::total_cmp);
    Ok(rounds[ROUNDS / 2])
}

fn columns() -> Outcome<Columns> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut random = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 11) as f64 / 1e13
    };
    let x: Vec<f64> = (0..ROWS).map(|_| random()).collect();
    let y: Vec<f64> = (0..ROWS).map(|_| random()).collect();
    let of = |name, values| Column { name, values: Values::Of(Payloads::Floats(values)), is_null: &[] };
    let given = [of("x", &x), of("y", &y)];
    let mut formula = Tiered::new(ours(BRANCH)?, &Jit::new(Mode::AtOnce));
    let mut vm = Interpreter::new(&Limits::default());
    let mut evaluation = ColumnEvaluation::new(&mut formula, &given, ROWS);
    let mut results = Results::default();
    let reused = measure_rows(|| {
        evaluation.run(&mut vm, 0..ROWS, &mut results);
        Ok(())
    })?;
    let is_same = |((found, x), y): ((&u64, &f64), &f64)| *found == branch(*x, *y).to_bits();
    if !results.payloads.iter().zip(&x).zip(&y).all(is_same) {
        return Err("a row differs".into());
    }
    drop(results);
    let fresh = measure_rows(|| {
        evaluation.run(&mut vm, 0..ROWS, black_box(&mut Results::default()));
        Ok(())
    })?;
    let fill = |out: &mut [f64]| {
        for ((out, x), y) in out.iter_mut().zip(&x).zip(&y) {
            *out = branch(*x, *y);
        }
        black_box(out);
    };
    let mut out = vec![0.0; ROWS];
    let plain_reused = measure_rows(|| {
        fill(&mut out);
        Ok(())
    })?;
    drop(out);
    let plain_fresh = measure_rows(|| {
        fill(&mut vec![0.0; ROWS]);
        Ok(())
    })?;
    Ok(Columns { ours: [reused, fresh], plain: [plain_reused, plain_fresh] })
}

fn main() -> Outcome<()> {
    let (x, y) = (3.5, 2.25);
    let expected = branch(x, y);
    let closure = |compute: fn(f64, f64) -> f64, x: f64, y: f64| {
        let compute: Box<dyn Fn(f64, f64) -> f64> = Box::new(compute);
        let compute = black_box(compute);
        measure(2_000_000, compute(x, y), || Ok(compute(black_box(x), black_box(y))))
    };
    let [interpreted, compiled, alone] = butterflyfx(PRODUCT, Value::Int(6), Value::Int(7), 42.0)?;
    let [interpreted_2, compiled_2, alone_2] =
        butterflyfx(BRANCH, Value::Float(x), Value::Float(y), expected)?;
    let columns = columns()?;
    let conditional = "x > y ? (x * 1.08 - y) * 0.5 : x / 2.0";
    let told = serde_json::json!({
        "ButterflyFx, machine code alone": [alone, alone_2, null],
        "ButterflyFx, compiled": [compiled, compiled_2, columns.ours[0], columns.ours[1]],
        "ButterflyFx, interpreted": [interpreted, interpreted_2, null],
        "Rust closure": [closure(product, 6.0, 7.0)?, closure(branch, x, y)?, columns.plain[0], columns.plain[1]],
        "fasteval": [
            fast_eval("x * y", 6.0, 7.0, 42.0)?,
            fast_eval("(x > y) * ((x * 1.08 - y) * 0.5) + (x <= y) * (x / 2)", x, y, expected)?,
            null,
        ],
        "zen-expression": [
            zen("x * y", serde_json::json!({"x": 6, "y": 7}), 42.0)?,
            zen("x > y ? (x * 1.08 - y) * 0.5 : x / 2", serde_json::json!({"x": x, "y": y}), expected)?,
            null,
        ],
        "cel": [
            cel_program("x * y", 6_i64.into(), 7_i64.into(), 42.0)?,
            cel_program(conditional, x.into(), y.into(), expected)?,
            null,
        ],
        "rhai": [
            rhai_script("x * y", 6_i64.into(), 7_i64.into(), 42.0)?,
            rhai_script("if x > y { (x * 1.08 - y) * 0.5 } else { x / 2.0 }", x.into(), y.into(), expected)?,
            null,
        ],
    });
    println!("{told}");
    Ok(())
}
