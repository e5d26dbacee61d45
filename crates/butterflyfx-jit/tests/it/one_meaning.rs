//! Machine code answers what the interpreter answers: the same value to the last bit, the same error, the same cost.

use crate::grammar::Choices;
use crate::support::{asked_for, compare, formula, parameters};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::Templates;
use butterflyfx_formula::json;
use butterflyfx_jit::tier::{Jit, Mode, Tiered};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::cell::Cell;

#[test]
fn the_cases_of_cpython() {
    let data = include_bytes!("../../../butterflyfx-formula/tests/data/python-cases.json");
    let Ok(Document::List(cases)) = json::read_document(data, 64) else { panic!("the cases are a list") };
    let (templates, jit) = (Templates::default(), Jit::new(Mode::AtOnce));
    let mut compiled = 0;
    let mut differences = Vec::new();
    for case in &cases {
        let Some(Document::Text(code)) = case.get("code") else { panic!("code is text") };
        let Some(formula) = formula(code, &templates) else { continue };
        let mut given = String::new();
        match case.get("parameters") {
            Some(parameters) => json::write_document(parameters, &mut given),
            None => given.push_str("{}"),
        }
        let (is_compiled, same) = compare(&mut Tiered::new(formula, &jit), &parameters(&given));
        compiled += usize::from(is_compiled);
        if let Err(difference) = same {
            differences.push(format!("{code} {given}\n{difference}"));
        }
    }
    assert!(differences.is_empty(), "{} differ:\n{}", differences.len(), differences.join("\n"));
    assert!(compiled >= 70, "machine code answered only {compiled} of {}", cases.len());
}

/// Formulas that are tried at random, if nobody asks for more.
const FORMULAS: u32 = 3_000;

#[test]
fn random_formulas() {
    let config =
        ProptestConfig { cases: asked_for(FORMULAS), failure_persistence: None, ..ProptestConfig::default() };
    let (tried, compiled) = (Cell::new(0), Cell::new(0));
    let run = TestRunner::new(config).run(&prop::collection::vec(any::<u8>(), 20..160), |bytes| {
        let mut choices = Choices::new(&bytes);
        let text = choices.formula();
        let templates = Templates::default();
        let Some(formula) = formula(&text, &templates) else { return Ok(()) };
        let mut tiered = Tiered::new(formula, &Jit::new(Mode::AtOnce));
        for _ in 0..4 {
            let given = choices.parameters();
            let (is_compiled, same) = compare(&mut tiered, &parameters(&given));
            tried.set(tried.get() + 1);
            compiled.set(compiled.get() + u32::from(is_compiled));
            prop_assert!(same.is_ok(), "{text}\n{given}\n{}", same.unwrap_err());
        }
        Ok(())
    });
    if let Err(failure) = run {
        panic!("{failure}");
    }
    let (tried, compiled) = (tried.get(), compiled.get());
    assert!(compiled * 5 > tried, "machine code answered only {compiled} of {tried}");
}
