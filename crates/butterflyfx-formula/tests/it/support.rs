//! Evaluating a text the way a server does, with the answer as one line of text.

use butterflyfx_formula::error::{FormulaErrorKind, RaiseKind};
use butterflyfx_formula::formula::{ExpressionType, Formula, Templates};
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::meter::Cost;
use butterflyfx_formula::value::Value;

/// What came of a formula: the result as JSON, or the kind of error and its message.
#[derive(Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The result and what it cost.
    Result(String, Cost),
    /// Refused at creation: the class, the message.
    Refused(FormulaErrorKind, String),
    /// Stopped at evaluation: the class, the message.
    Raised(RaiseKind, String),
}

/// Creates and evaluates.
pub(crate) fn evaluate(kind: ExpressionType, text: &str, parameters: &str) -> Outcome {
    // Unoptimised test builds are slow: the clock must not bite before the limit that is tested.
    let limits = Limits { wall_clock_ms: 60_000, ..Limits::default() };
    let formula = match Formula::new(kind, text, &limits, &Templates::default()) {
        Ok(formula) => formula,
        Err(error) => return Outcome::Refused(error.kind, error.to_string()),
    };
    let parameters = match json::read_value(parameters.as_bytes(), limits.json_depth, limits.integer_bits) {
        Ok(Value::Dict(parameters)) => parameters,
        other => panic!("parameters must be a JSON object, not {other:?}"),
    };
    let mut vm = Interpreter::new(&limits);
    let mut out = String::new();
    let written = formula
        .evaluate(&mut vm, &parameters)
        .and_then(|value| json::write_value(&mut vm.meter, &value, &mut out));
    match written {
        Ok(()) => Outcome::Result(out, vm.meter.cost()),
        Err(raise) => Outcome::Raised(raise.kind, raise.message),
    }
}
