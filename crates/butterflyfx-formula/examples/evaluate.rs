//! Evaluates formulas from standard input: a JSON object a line with `code` and `parameters`,
//! `type` where it is not a lambda. Prints the outcome of each as a line of JSON.
//!
//! ```console
//! $ echo '{"code": "lambda x: x ** 100", "parameters": {"x": 2}}' |
//!       cargo run -q -p butterflyfx-formula --example evaluate
//! {"result":1267650600228229401496703205376}
//! ```

use butterflyfx_formula::document::Document;
use butterflyfx_formula::error::RaiseKind;
use butterflyfx_formula::formula::{ExpressionType, Formula, Templates};
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::value::Value;
use std::io::{BufRead, Write};
use std::sync::Arc;

/// The outcome of one line, as JSON text.
fn outcome(line: &str, limits: &Limits, templates: &Templates, vm: &mut Interpreter) -> String {
    let report = |name: &str, text: &str| {
        let mut out = format!("{{\"{name}\":");
        json::write_text(text, &mut out);
        out + "}"
    };
    let case = match json::read_document(line.as_bytes(), limits.json_depth) {
        Ok(case) => case,
        Err(error) => return report("invalid", &error.to_string()),
    };
    let Some(Document::Text(code)) = case.get("code") else { return report("invalid", "no code") };
    let kind = match case.get("type") {
        Some(Document::Text(name)) => ExpressionType::from_name(name).unwrap_or(ExpressionType::Lambda),
        _ => ExpressionType::Lambda,
    };
    let formula = match Formula::new(kind, code, limits, templates) {
        Ok(formula) => formula,
        Err(error) => return report("refused", &format!("{:?}: {error}", error.kind)),
    };
    let parameters = case.get("parameters").map(|parameters| parameters.to_value(limits.integer_bits));
    let parameters = match parameters {
        Some(Ok(Value::Dict(parameters))) => parameters,
        None => Arc::default(),
        _ => return report("invalid", "parameters are no object"),
    };
    vm.meter.reset();
    let mut out = String::from("{\"result\":");
    let result = formula
        .evaluate(vm, &parameters)
        .and_then(|value| json::write_value(&mut vm.meter, &value, &mut out));
    match result {
        Ok(()) => out + "}",
        Err(raise) => match raise.kind {
            RaiseKind::Exception(kind) => {
                let mut out = format!("{{\"exception\":\"{}\",\"message\":", kind.name());
                json::write_text(&raise.message, &mut out);
                out + "}"
            }
            RaiseKind::ResultNotJson => report("not_json", &raise.message),
            kind => report("stopped", &format!("{kind:?}: {}", raise.message)),
        },
    }
}

fn main() -> std::io::Result<()> {
    let (limits, templates) = (Limits::default(), Templates::default());
    let mut vm = Interpreter::new(&limits);
    let mut out = std::io::BufWriter::new(std::io::stdout().lock());
    for line in std::io::stdin().lock().lines() {
        writeln!(out, "{}", outcome(&line?, &limits, &templates, &mut vm))?;
    }
    out.flush()
}
