//! What the tests share: a formula and parameters in, what both executions say out.

use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::error::Result;
use butterflyfx_formula::formula::{ExpressionType, Formula, Templates};
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::value::Value;
use butterflyfx_jit::tier::{Jit, Mode, Tiered};
use std::sync::Arc;

/// How many random cases to try: `BUTTERFLYFX_RANDOM_CASES` for a long run, else so many.
pub(crate) fn asked_for(usual: u32) -> u32 {
    std::env::var("BUTTERFLYFX_RANDOM_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(usual)
}

/// Limits under which no clock decides.
pub(crate) fn limits() -> Limits {
    Limits { steps: 100_000, wall_clock_ms: 3_600_000, ..Limits::default() }
}

pub(crate) fn formula(text: &str, templates: &Templates) -> Option<Formula> {
    let kind = if text.starts_with("lambda") { ExpressionType::Lambda } else { ExpressionType::Formula };
    Formula::new(kind, text, &limits(), templates).ok()
}

pub(crate) fn at_once(text: &str) -> Tiered {
    let formula = formula(text, &Templates::default()).unwrap_or_else(|| panic!("{text} is a formula"));
    Tiered::new(formula, &Jit::new(Mode::AtOnce))
}

pub(crate) fn parameters(text: &str) -> Arc<Dict> {
    match json::read_value(text.as_bytes(), 64, 4096) {
        Ok(Value::Dict(parameters)) => parameters,
        other => panic!("parameters are an object: {text}: {other:?}"),
    }
}

/// A value to the last bit; NaNs are all one.
pub(crate) fn exactly(value: &Value) -> String {
    match value {
        Value::Float(x) if x.is_nan() => "nan".to_owned(),
        Value::Float(x) => format!("float {x:?} {:016x}", x.to_bits()),
        other => format!("{other:?}"),
    }
}

/// Outcome and cost, so that two executions can be compared.
pub(crate) fn told(result: Result<Value>, vm: &Interpreter) -> String {
    match result {
        Ok(value) => format!("{} at {:?}", exactly(&value), vm.meter.cost()),
        Err(raise) => format!("{raise:?} at {:?}", vm.meter.cost()),
    }
}

/// Compares both executions; gives whether machine code answered.
pub(crate) fn compare(
    tiered: &mut Tiered,
    parameters: &Arc<Dict>,
) -> (bool, std::result::Result<(), String>) {
    let mut vm = Interpreter::new(&limits());
    let expected = told(tiered.formula().evaluate(&mut vm, parameters), &vm);
    vm.meter.reset();
    let is_compiled = tiered.compute(&mut vm, parameters).is_some();
    vm.meter.reset();
    let found = told(tiered.evaluate(&mut vm, parameters), &vm);
    let same = found == expected;
    (is_compiled, if same { Ok(()) } else { Err(format!("interpreted {expected}\n   compiled {found}")) })
}
