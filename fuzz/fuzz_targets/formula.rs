//! Any text, read as each expression type and evaluated with any parameters: never a panic, and
//! the same outcome at the same cost when it is done twice.
//!
//! An input is formula text, a zero byte, and the parameters as a JSON object.
#![no_main]

use butterflyfx_formula::error::Raise;
use butterflyfx_formula::formula::{ExpressionType, Formula, Templates};
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::meter::Cost;
use butterflyfx_formula::value::Value;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let (code, parameters) = match input.iter().position(|byte| *byte == 0) {
        Some(at) => (&input[..at], &input[at + 1..]),
        None => (input, &b"{}"[..]),
    };
    let Ok(code) = std::str::from_utf8(code) else { return };
    for kind in [ExpressionType::Lambda, ExpressionType::Formula, ExpressionType::Constant] {
        let first = run(kind, code, parameters);
        let second = run(kind, code, parameters);
        assert_eq!(first, second, "{kind:?} differs between two runs");
    }
});

/// What a formula came to.
#[derive(Debug, PartialEq)]
enum Outcome {
    /// Not a formula, or no parameters.
    Refused(String),
    Evaluated(Result<String, Box<Raise>>, Cost),
}

fn run(kind: ExpressionType, code: &str, parameters: &[u8]) -> Outcome {
    // Few steps keep the fuzzer quick; the clock must not decide, or two runs could differ.
    let limits = Limits { steps: 50_000, wall_clock_ms: 3_600_000, ..Limits::default() };
    let templates = Templates::default();
    let formula = match Formula::new(kind, code, &limits, &templates) {
        Ok(formula) => formula,
        Err(refusal) => return Outcome::Refused(refusal.to_string()),
    };
    let parameters = match json::read_value(parameters, limits.json_depth, limits.integer_bits) {
        Ok(Value::Dict(parameters)) => parameters,
        _ => return Outcome::Refused("no parameters".into()),
    };
    let mut interpreter = Interpreter::new(&limits);
    let result = formula.evaluate(&mut interpreter, &parameters).and_then(|value| {
        let mut text = String::new();
        json::write_value(&mut interpreter.meter, &value, &mut text)?;
        Ok(text)
    });
    if let Err(raise) = &result {
        // The place is looked up in the text; any text must do.
        let _ = Formula::span_of(kind, code, raise, &limits);
    }
    Outcome::Evaluated(result, interpreter.meter.cost())
}
