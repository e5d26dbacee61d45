//! What tests of the crate share: a formula's text in, its result's `repr` or its error out.

use crate::dict::Dict;
use crate::error::RaiseKind;
use crate::format;
use crate::formula::{ExpressionType, Formula, Templates};
use crate::interpret::Interpreter;
use crate::limits::Limits;
use std::sync::Arc;

/// The `repr` of a formula's result, or `TypeError: message`, or `limit name`.
pub(crate) fn evaluate(text: &str) -> String {
    // What a slow build needs longer for must not look like a refusal.
    let limits = Limits { wall_clock_ms: 60_000, ..Limits::default() };
    let formula = match Formula::new(ExpressionType::Formula, text, &limits, &Templates::default()) {
        Ok(formula) => formula,
        Err(error) => return format!("refused: {}", error.message),
    };
    let mut vm = Interpreter::new(&limits);
    let mut out = String::new();
    let shown = formula
        .evaluate(&mut vm, &Arc::new(Dict::new()))
        .and_then(|value| format::repr(&mut vm.meter, &value, &mut out));
    match shown {
        Ok(()) => out,
        Err(raise) => match raise.kind {
            RaiseKind::Exception(kind) => format!("{}: {}", kind.name(), raise.message),
            RaiseKind::Limit(limit) => format!("limit {}", limit.name()),
            other => format!("{other:?}"),
        },
    }
}

/// Compares formulas with the answers that stand beside them, and shows all that differ.
#[track_caller]
pub(crate) fn check(cases: &[(&str, &str)]) {
    let differences: Vec<String> = cases
        .iter()
        .filter_map(|(text, expected)| {
            let answer = evaluate(text);
            (answer != *expected).then(|| format!("{text}\n  expected {expected}\n  answered {answer}"))
        })
        .collect();
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}
