//! How machine code comes and goes: shared by template, made on a thread of its own, given back.

use crate::support::{compare, formula, limits, parameters};
use butterflyfx_formula::formula::Templates;
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_jit::code::Payloads;
use butterflyfx_jit::columns::{Column, ColumnEvaluation, Values};
use butterflyfx_jit::tier::{Jit, Mode, Tiered};
use std::time::{Duration, Instant};

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < patience, "{what} within a minute");
        std::thread::yield_now();
    }
}

#[test]
fn formulas_that_differ_in_constants_share_code() {
    let (templates, jit) = (Templates::default(), Jit::new(Mode::AtOnce));
    let mut vm = Interpreter::new(&limits());
    let given = parameters(r#"{"x": 3}"#);
    let mut formulas: Vec<Tiered> = (1..=100)
        .map(|i| formula(&format!("x * {i} + 1"), &templates).expect("a formula"))
        .map(|formula| Tiered::new(formula, &jit))
        .collect();
    for (tiered, i) in formulas.iter_mut().zip(1..) {
        let value = tiered.compute(&mut vm, &given);
        assert!(matches!(value, Some(butterflyfx_formula::value::Value::Int(x)) if x == 3 * i + 1));
    }
    assert_eq!(jit.stats().codes, 1);
    assert_eq!(jit.stats().bytes, 4096);
    drop(formulas);
    assert_eq!(jit.stats().codes, 0, "code goes with the last formula of its template");
    assert_eq!(jit.stats().bytes, 0);
    assert_eq!(jit.stats().compiled, 1);
}

#[test]
fn a_hot_template_is_compiled_in_the_background() {
    let (templates, jit) = (Templates::default(), Jit::new(Mode::WhenHot));
    let mut vm = Interpreter::new(&limits());
    let given = parameters(r#"{"x": 3, "y": 4}"#);
    let mut tiered = Tiered::new(formula("x * y", &templates).expect("a formula"), &jit);
    for _ in 0..100 {
        vm.meter.reset();
        tiered.evaluate(&mut vm, &given).expect("a product");
    }
    assert_eq!(jit.stats().compiled, 0, "not yet hot");
    wait_for("code", || {
        vm.meter.reset();
        tiered.evaluate(&mut vm, &given).expect("a product");
        jit.stats().compiled == 1
    });
    wait_for("its use", || tiered.compute(&mut vm, &given).is_some());
}

/// What a refusal left of a formula once became part of the next one, which then answered anything, or jumped anywhere.
#[test]
fn a_refusal_leaves_nothing_to_the_next_formula() {
    let conditions: String = (0..9).map(|i| format!("(x if x > {i} else y) + ")).collect();
    let too_large = format!("{conditions}x");
    let refused = [
        // All ways end where it is not covered: at once, and behind blocks that are there by then.
        ("x * y", r#"{"x": 9, "y": null}"#),
        ("lambda x, y: abs((2 and y) + (x * y)) + None", r#"{"x": 9, "y": 1.5}"#),
        // Not for several rows at once, and too much.
        ("x ** y if x > y else 2", r#"{"x": 9.5, "y": 1.5}"#),
        (&too_large, r#"{"x": 9, "y": 1.5}"#),
    ];
    let fine = [
        ("lambda x, y: x or y", r#"{"x": 9, "y": null}"#),
        ("lambda x, y: x and x", r#"{"x": 9, "y": 1.5}"#),
        ("(x + y if x > y else x - y) * (2 if x else y)", r#"{"x": 1.5, "y": 9}"#),
    ];
    let (templates, jit) = (Templates::default(), Jit::new(Mode::AtOnce));
    for (refused, given) in refused {
        for (code, fine_given) in fine {
            // Formulas go with their code, so that each is compiled anew.
            let mut one = Tiered::new(formula(refused, &templates).expect("a formula"), &jit);
            let (_, same) = compare(&mut one, &parameters(given));
            assert_eq!(same, Ok(()), "{refused}");
            let column = [1.5, 2.5, 0.0];
            let of = |name| Column { name, values: Values::Of(Payloads::Floats(&column)), is_null: &[] };
            let columns = [of("x"), of("y")];
            let _ = ColumnEvaluation::new(&mut one, &columns, 3);
            let before = jit.stats();
            let mut other = Tiered::new(formula(code, &templates).expect("a formula"), &jit);
            assert_eq!(
                compare(&mut other, &parameters(fine_given)),
                (true, Ok(())),
                "{code} after {refused}"
            );
            assert_eq!(jit.stats().refused, before.refused, "{code} after {refused}");
        }
    }
    assert!(jit.stats().refused >= 3, "{:?}", jit.stats());
}

#[test]
fn nothing_is_compiled_when_it_is_off() {
    let (templates, jit) = (Templates::default(), Jit::new(Mode::Off));
    let mut vm = Interpreter::new(&limits());
    let given = parameters(r#"{"x": 3, "y": 4}"#);
    let mut tiered = Tiered::new(formula("x * y", &templates).expect("a formula"), &jit);
    for _ in 0..1_000 {
        vm.meter.reset();
        assert!(tiered.compute(&mut vm, &given).is_none());
        tiered.evaluate(&mut vm, &given).expect("a product");
    }
    assert_eq!(jit.stats(), butterflyfx_jit::tier::Stats::default());
}

#[test]
fn all_code_together_is_bounded() {
    let (templates, jit) = (Templates::default(), Jit::new(Mode::AtOnce));
    let mut vm = Interpreter::new(&limits());
    let given = parameters(r#"{"x": 3}"#);
    let mut all = Vec::new();
    let bound = butterflyfx_jit::tier::CODE_BYTES_MAX;
    for at in 0..bound / 4096 + 200 {
        // As many templates: each has other operators.
        let text: String = (0..14).map(|bit| if at >> bit & 1 == 1 { " + x" } else { " - x" }).collect();
        let mut tiered = Tiered::new(formula(&format!("x{text}"), &templates).expect("a formula"), &jit);
        vm.meter.reset();
        tiered.evaluate(&mut vm, &given).expect("a sum");
        assert!(jit.stats().bytes <= bound, "{} bytes of code", jit.stats().bytes);
        all.push(tiered);
    }
    assert!(jit.stats().codes > 100);
}

#[test]
fn a_small_budget_is_kept_to_the_step() {
    let templates = Templates::default();
    let jit = Jit::new(Mode::AtOnce);
    let given = parameters(r#"{"x": 3.5, "y": 2.25}"#);
    for steps in 0..20 {
        let limits = butterflyfx_formula::limits::Limits { steps, ..limits() };
        let formula = formula("(x*1.08-y)*0.5 if x>y else x/2", &templates).expect("a formula");
        let mut vm = Interpreter::new(&limits);
        let expected = crate::support::told(formula.evaluate(&mut vm, &given), &vm);
        vm.meter.reset();
        let found = crate::support::told(Tiered::new(formula, &jit).evaluate(&mut vm, &given), &vm);
        assert_eq!(found, expected, "{steps} steps");
    }
}

#[test]
fn no_memory_is_writable_and_executable() {
    let templates = Templates::default();
    let mut vm = Interpreter::new(&limits());
    let mut tiered = Tiered::new(formula("x * 3", &templates).expect("a formula"), &Jit::new(Mode::AtOnce));
    assert!(tiered.compute(&mut vm, &parameters(r#"{"x": 3}"#)).is_some());
    let Ok(maps) = std::fs::read_to_string("/proc/self/maps") else { return };
    let maps: Vec<Vec<&str>> = maps.lines().map(|line| line.split_whitespace().collect()).collect();
    // Code of ours is in no file, so that its line has no sixth part.
    assert!(maps.iter().any(|line| line[1] == "r-xp" && line.len() == 5), "code has pages of its own");
    assert!(!maps.iter().any(|line| line[1].contains("wx")), "{maps:?}");
}

/// Invokes a formula until machine code answers.
fn heat(text: &str, templates: &Templates, jit: &Jit, given: &[&str]) -> Tiered {
    let mut vm = Interpreter::new(&limits());
    let mut tiered = Tiered::new(formula(text, templates).expect("a formula"), jit);
    let given: Vec<_> = given.iter().map(|given| parameters(given)).collect();
    wait_for("code", || {
        given.iter().any(|given| {
            vm.meter.reset();
            let is_compiled = tiered.compute(&mut vm, given).is_some();
            vm.meter.reset();
            let _ = tiered.evaluate(&mut vm, given);
            is_compiled
        })
    });
    tiered
}

#[test]
fn formulas_of_one_template_heat_up_each_for_their_constants() {
    let (templates, jit) = (Templates::default(), Jit::new(Mode::WhenHot));
    let _ints = heat("x * 2", &templates, &jit, &[r#"{"x": 3}"#]);
    let _floats = heat("x * 2.5", &templates, &jit, &[r#"{"x": 3}"#]);
    assert_eq!(templates.len(), 1);
}

#[test]
fn odd_parameters_do_not_keep_a_template_cold() {
    let (templates, jit) = (Templates::default(), Jit::new(Mode::WhenHot));
    // Whichever invocation is the one that makes it hot, half of them have no number.
    for odd_first in [true, false] {
        let mut given = [r#"{"x": "a", "y": 2}"#, r#"{"x": 3, "y": 2}"#, r#"{"x": "b", "y": 2}"#];
        given[..2].rotate_left(usize::from(odd_first));
        let text = if odd_first { "x * y" } else { "x + y" };
        let _tiered = heat(text, &templates, &jit, &given);
    }
}

#[test]
fn code_for_rows_makes_room_too() {
    let (templates, jit) = (Templates::default(), Jit::new(Mode::AtOnce));
    let values = [1_i64, 2, 3];
    let column = Column { name: "x", values: Values::Of(Payloads::Ints(&values)), is_null: &[] };
    let mut all = Vec::new();
    let bound = butterflyfx_jit::tier::CODE_BYTES_MAX;
    for at in 0..bound / 4096 + 200 {
        let text: String = (0..14).map(|bit| if at >> bit & 1 == 1 { " + x" } else { " - x" }).collect();
        let mut tiered = Tiered::new(formula(&format!("x{text}"), &templates).expect("a formula"), &jit);
        let is_compiled = ColumnEvaluation::new(&mut tiered, &[column], 3).is_compiled();
        assert!(is_compiled, "formula {at} finds room");
        assert!(jit.stats().bytes <= bound + 8192, "{} bytes of code", jit.stats().bytes);
        all.push(tiered);
    }
}
