//! `bench kernel`: the engine alone, on one thread, in memory.

use super::graph::{self, Random};
use super::{Figure, Report, ResultHash, number_of};
use crate::clock;
use butterflyfx_engine::Engine;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{Direction, NewSubstrate, OnConflict, PageRequest, TypeSet};
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::{ExpressionType, Formula, Templates};
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::shape::Checked;
use butterflyfx_formula::text::Text;
use butterflyfx_formula::value::Value;
use butterflyfx_jit::compile::Compiler;
use butterflyfx_jit::kind::{Facts, Kind, Signature};
use butterflyfx_jit::tier::{Jit, Mode, Tiered};
use clap::ArgMatches;
use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What to measure on.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Substrates of the graph.
    pub substrates: u64,
    /// Relationships of the graph.
    pub relationships: u64,
    /// Runs of everything.
    pub runs: u64,
    /// Queries and invocations of one measurement.
    pub invocations: u64,
}

impl From<&ArgMatches> for Options {
    fn from(matches: &ArgMatches) -> Options {
        Options {
            substrates: number_of(matches, "substrates"),
            relationships: number_of(matches, "relationships"),
            runs: number_of(matches, "runs"),
            invocations: 500_000,
        }
    }
}

/// The formulas whose invocation is measured.
const PRODUCT: &str = "lambda **kw: kw.get('x', 0) * kw.get('y', 0)";
const NAMED_PRODUCT: &str = "lambda x, y: x * y";
const BRANCH: &str = "lambda x, y: (x*1.08-y)*0.5 if x>y else x/2";

/// Relationships are created in batches of this size, as a client would.
const BATCH: usize = 1_000;

const FIGURES: [(&str, &str); 14] = [
    ("substrates_from_text_per_s", "substrates created from formula text, a second"),
    ("substrates_precompiled_per_s", "substrates created from checked formulas, a second"),
    ("relationships_per_s", "relationships created, a second"),
    ("query_outgoing_ns", "outgoing relationships of a random substrate, ns"),
    ("list_outgoing_ns", "the same, whole relationships with their identities, ns"),
    ("invoke_interpreted_ns", "invoke kw.get('x', 0) * kw.get('y', 0), ns"),
    ("invoke_branch_interpreted_ns", "invoke (x*1.08-y)*0.5 if x>y else x/2, ns"),
    ("interpret_ns", "the first formula in the interpreter alone, ns"),
    ("interpret_branch_ns", "the second formula in the interpreter alone, ns"),
    ("invoke_compiled_ns", "x * y as machine code, parameters in memory, ns"),
    ("invoke_branch_compiled_ns", "the second formula as machine code, parameters in memory, ns"),
    ("engine_compiled_ns", "the first formula compiled, found by identity, parameters by name, ns"),
    ("engine_branch_compiled_ns", "the second formula compiled, found by identity, parameters by name, ns"),
    ("compile_us", "compiling a template, microseconds"),
];

/// Measures.
///
/// # Errors
/// A sentence, where the engine refuses its own standard graph.
pub fn run(options: &Options) -> Result<Report, String> {
    let mut figures: Vec<Figure> =
        FIGURES.iter().map(|(key, meaning)| Figure { key, meaning, values: Vec::new() }).collect();
    let mut hash = ResultHash::default();
    for _ in 0..options.runs {
        // The last run's hash stands for all: they do the same.
        hash = ResultHash::default();
        let values = one_run(options, &mut hash)?;
        for (figure, value) in figures.iter_mut().zip(values) {
            figure.values.push(value);
        }
    }
    Ok(Report {
        scenario: "kernel",
        settings: vec![
            ("substrates", options.substrates),
            ("relationships", options.relationships),
            ("runs", options.runs),
        ],
        figures,
        result_hash: hash.0,
        notes: Vec::new(),
    })
}

fn one_run(options: &Options, hash: &mut ResultHash) -> Result<[f64; FIGURES.len()], String> {
    let said = |error: butterflyfx_engine::error::EngineError| format!("the engine refuses: {error:?}");
    let now = clock::now();
    let engine = Engine::with_jit(Limits::default(), Mode::Off);
    let n = options.substrates;

    let new: Vec<NewSubstrate> = (0..n).map(graph::substrate).collect();
    let (from_text, ids) = timed(|| {
        let mut ids = Vec::with_capacity(new.len());
        for one in new {
            let created = engine.create_substrate(now, one, OnConflict::Refuse).map_err(said)?;
            ids.push(created.item.id);
        }
        Ok::<_, String>(ids)
    });
    let ids = ids?;
    ids.iter().for_each(|id| hash.add_number(id.0));

    let other = Engine::new(Limits::default());
    let checked: Result<Vec<(NewSubstrate, Checked)>, String> = (0..n)
        .map(graph::substrate)
        .map(|new| other.check(new.expression_type, &new.expression_code).map(|formula| (new, formula)))
        .map(|checked| checked.map_err(said))
        .collect();
    let checked = checked?;
    let (precompiled, created) = timed(|| {
        checked.into_iter().try_for_each(|(new, formula)| {
            other.create_checked_substrate(now, new, formula).map(|created| drop(black_box(created)))
        })
    });
    created.map_err(said)?;
    hash.add_number(other.counts().0);
    drop(other);

    let mut relationships = graph::relationships(&ids, options.relationships);
    let related = relationships.len();
    let mut batches = Vec::new();
    while !relationships.is_empty() {
        batches.push(relationships.split_off(relationships.len().saturating_sub(BATCH)));
    }
    let (relating, created) = timed(|| {
        batches.into_iter().try_for_each(|batch| {
            engine
                .create_relationships(now, batch, OnConflict::Refuse, false)
                .map(|created| drop(black_box(created)))
        })
    });
    created.map_err(said)?;
    hash.add_number(engine.counts().1);

    let mut random = Random::new(7);
    let asked: Vec<SubstrateId> = (0..options.invocations).map(|_| ids[random.below(n) as usize]).collect();
    // What a walk reads of each: its type and where it leads.
    let (querying, found) = timed(|| {
        let mut sum = 0_u64;
        for &id in &asked {
            engine.links(id, Direction::Outgoing, |link| {
                sum = sum.wrapping_add(link.target().0 ^ link.rel_type() as u64);
            })?;
        }
        Ok(sum)
    });
    hash.add_number(found.map_err(said)?);
    let page = PageRequest { limit: 10_000, after: None };
    let (listing, found) = timed(|| {
        asked.iter().try_fold(0_u64, |found, id| {
            let (page, total) =
                engine.relationships_of(*id, Direction::Outgoing, TypeSet::default(), &page)?;
            Ok(found + total + black_box(page).items.len() as u64)
        })
    });
    hash.add_number(found.map_err(said)?);

    let hot = Engine::with_jit(Limits::default(), Mode::AtOnce);
    let mut invoke = |code: &str, x: Value, y: Value| -> Result<[f64; 4], String> {
        let new = NewSubstrate {
            identity: None,
            expression_type: ExpressionType::Lambda,
            expression_code: code.to_owned(),
            metadata: Document::Map(Vec::new()),
        };
        let id = engine.create_substrate(now, new.clone(), OnConflict::Return).map_err(said)?.item.id;
        hot.create_substrate(now, new, OnConflict::Return).map_err(said)?;
        let mut parameters = Dict::new();
        parameters.insert_str(Text::from("x"), x);
        parameters.insert_str(Text::from("y"), y);
        let parameters = Arc::new(parameters);
        let (whole, result) = repeated(options.invocations, || engine.evaluate(id, &parameters, false));
        let value = result.map_err(said)?.value;
        hash.add(format!("{value:?}").as_bytes());

        let limits = Limits::default();
        let formula = Formula::new(ExpressionType::Lambda, code, &limits, &Templates::default())
            .map_err(|error| error.to_string())?;
        let mut interpreter = Interpreter::new(&limits);
        let (alone, result) = repeated(options.invocations, || {
            interpreter.meter.reset();
            formula.evaluate(&mut interpreter, &parameters)
        });
        let value = result.map_err(|raise| raise.message)?;
        hash.add(format!("{value:?}").as_bytes());

        let (whole_compiled, result) = repeated(options.invocations, || hot.evaluate(id, &parameters, false));
        let value = result.map_err(said)?.value;
        hash.add(format!("{value:?}").as_bytes());
        let binding = formula.bind(&parameters).ok_or("the parameters do not fit")?;
        let mut compiled = Tiered::new(formula, &Jit::new(Mode::AtOnce));
        let (compiled_alone, result) = repeated(options.invocations, || {
            interpreter.meter.reset();
            compiled.evaluate_bound(&mut interpreter, &parameters, &binding)
        });
        let value = result.map_err(|raise| raise.message)?;
        hash.add(format!("{value:?}").as_bytes());
        Ok([whole, alone, whole_compiled, compiled_alone])
    };
    let [product, product_alone, product_hot, _] = invoke(PRODUCT, Value::Int(6), Value::Int(7))?;
    let [branch, branch_alone, branch_hot, branch_compiled] =
        invoke(BRANCH, Value::Float(3.5), Value::Float(2.25))?;
    let [.., product_compiled] = invoke(NAMED_PRODUCT, Value::Int(6), Value::Int(7))?;

    Ok([
        per_second(n, from_text),
        per_second(n, precompiled),
        per_second(related as u64, relating),
        querying.as_nanos() as f64 / options.invocations as f64,
        listing.as_nanos() as f64 / options.invocations as f64,
        product,
        branch,
        product_alone,
        branch_alone,
        product_compiled,
        branch_compiled,
        product_hot,
        branch_hot,
        compiling()?,
    ])
}

/// Microseconds that compiling the second formula takes, with a compiler that is warm.
fn compiling() -> Result<f64, String> {
    const TIMES: u64 = 200;
    let formula = Formula::new(ExpressionType::Lambda, BRANCH, &Limits::default(), &Templates::default())
        .map_err(|error| error.to_string())?;
    let code = formula.template.code().ok_or("the formula cannot be compiled")?;
    let facts: Vec<Facts> = formula.constants.iter().map(Facts::of).collect();
    let signature = Signature::default().with(0, Kind::Float).with(1, Kind::Float);
    let mut compiler = Compiler::new().map_err(|error| error.to_string())?;
    let (ns, result) = repeated(TIMES, || compiler.compile(code, signature, &facts));
    result.map_err(|error| error.to_string())?;
    Ok(ns / 1_000.0)
}

fn timed<T>(work: impl FnOnce() -> T) -> (Duration, T) {
    let started = Instant::now();
    let result = work();
    (started.elapsed(), result)
}

/// Does the same so many times; nanoseconds for one, and the last result.
fn repeated<T, E>(times: u64, mut work: impl FnMut() -> Result<T, E>) -> (f64, Result<T, E>) {
    let started = Instant::now();
    let mut last = work();
    for _ in 1..times {
        last = black_box(work());
    }
    (started.elapsed().as_nanos() as f64 / times.max(1) as f64, last)
}

fn per_second(count: u64, took: Duration) -> f64 {
    count as f64 / took.as_secs_f64().max(1e-9)
}
