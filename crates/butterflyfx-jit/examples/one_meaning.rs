//! Evaluates formulas in every way there is, and says what they gave: for `scripts/fuzz_meaning`, which makes them and knows
//! what CPython answers.
//!
//! Each line of standard input is a case: `{"codes": [...], "tables": [{"names": [...], "columns": [[...], ...]}, ...]}`. The codes
//! differ in constants only, so that they share machine code. Each line of standard output has, for each code, each table and each
//! row, the outcome, or says how two ways differ: `{"different": "..."}`. Values are tagged texts: `i12`, `f3ff8000000000000` (the bits),
//! `b1`, `n`, `sabc`.

use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::document::Document;
use butterflyfx_formula::error::{Raise, RaiseKind, Result};
use butterflyfx_formula::formula::{ExpressionType, Formula, Templates};
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limits;
use butterflyfx_formula::text::Text;
use butterflyfx_formula::value::Value;
use butterflyfx_jit::code::Payloads;
use butterflyfx_jit::columns::{Column, ColumnEvaluation, Results, Values};
use butterflyfx_jit::tier::{Jit, Mode, Tiered};
use std::error::Error;
use std::io::{BufRead, Write};
use std::panic;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Levels of a case's JSON.
const DEPTH: usize = 8;

/// Tables of at least so many rows are so often repeated as columns: long enough for several blocks of rows.
const LONG_ROWS: usize = 40;
const REPEATED: usize = 8;

/// How often the rows of such a table are evaluated by who compiles when it is hot, and how long that is then waited for.
const HOT_ROUNDS: usize = 7;
const HOT_YIELDS: usize = 200;

/// Rows that are done together, so that blocks and what is left of them are met at several places.
const PIECES: [usize; 4] = [1, 8, 13, usize::MAX];

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    // The clock must not decide, and a formula must not take long: many are tried.
    let limits = Limits { steps: 100_000, wall_clock_ms: 3_600_000, ..Limits::default() };
    let (mut line, mut counts) = (Vec::new(), Counts::default());
    // One compiler for all cases: what it keeps of one must not show in another.
    let jits = Jits { at_once: Jit::new(Mode::AtOnce), when_hot: Jit::new(Mode::WhenHot) };
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        usual(info);
    }));
    while {
        line.clear();
        input.read_until(b'\n', &mut line)?
    } > 0
    {
        let case = json::read_document(&line, DEPTH).map_err(|error| format!("a case: {}", error.message))?;
        let mut answer = String::new();
        json::write_document(&evaluate(&case, &jits, &limits, &mut counts)?, &mut answer);
        answer.push('\n');
        output.write_all(answer.as_bytes())?;
        output.flush()?;
    }
    let Counts { rows, compiled, tables, in_columns } = counts;
    eprintln!(
        "machine code answered {compiled} of {rows} rows, and ran over the columns of {in_columns} of {tables} tables; \
         {} templates were compiled when they were hot",
        jits.when_hot.stats().compiled
    );
    Ok(())
}

/// Who compiles for the tests, and who does as a server does.
struct Jits {
    at_once: Jit,
    when_hot: Jit,
}

static PANICS: AtomicU64 = AtomicU64::new(0);

/// How much of it was machine code.
#[derive(Default)]
struct Counts {
    rows: u64,
    compiled: u64,
    tables: u64,
    in_columns: u64,
}

/// The answer to a case.
fn evaluate(
    case: &Document,
    jits: &Jits,
    limits: &Limits,
    counts: &mut Counts,
) -> std::result::Result<Document, Box<dyn Error>> {
    let tables =
        items(case, "tables")?.iter().map(Table::read).collect::<std::result::Result<Vec<_>, _>>()?;
    // Code hangs on templates, so that who compiles later needs others.
    let (templates, cold_templates) = (Templates::default(), Templates::default());
    let panics = PANICS.load(Ordering::Relaxed);
    let mut answers = Vec::new();
    for code in items(case, "codes")? {
        let code = text(code)?;
        let kind = if code.starts_with("lambda") { ExpressionType::Lambda } else { ExpressionType::Formula };
        let new = |templates| Formula::new(kind, code, limits, templates);
        let (formula, cold) = match (new(&templates), new(&cold_templates)) {
            (Ok(formula), Ok(cold)) => (formula, cold),
            (Err(refusal), _) | (_, Err(refusal)) => {
                answers.push(Document::Text(format!("refused: {refusal}").into()));
                continue;
            }
        };
        let mut of_code = Vec::new();
        for table in &tables {
            match table.evaluate([&formula, &cold], jits, limits, counts) {
                // Where the code generator panics, the interpreter goes on, and nobody would see it.
                Ok(_) if PANICS.load(Ordering::Relaxed) != panics => return Ok(different(code, "a panic")),
                Ok(rows) => of_code.push(Document::List(rows)),
                Err(difference) => return Ok(different(code, &difference)),
            }
        }
        answers.push(Document::List(of_code));
    }
    Ok(Document::List(answers))
}

fn different(code: &str, how: &str) -> Document {
    let told = format!("{code}\n{how}");
    Document::Map(vec![("different".into(), Document::Text(told.into()))])
}

fn items<'a>(of: &'a Document, name: &str) -> std::result::Result<&'a [Document], Box<dyn Error>> {
    match of.get(name) {
        Some(Document::List(items)) => Ok(items),
        _ => Err(format!("{name} is a list").into()),
    }
}

fn text(of: &Document) -> std::result::Result<&str, Box<dyn Error>> {
    match of {
        Document::Text(text) => Ok(text),
        other => Err(format!("{other:?} is no text").into()),
    }
}

/// Parameters of many invocations.
struct Table {
    names: Vec<String>,
    columns: Vec<Vec<Value>>,
    rows: usize,
}

impl Table {
    fn read(table: &Document) -> std::result::Result<Table, Box<dyn Error>> {
        let names = items(table, "names")?.iter().map(|name| text(name).map(str::to_owned));
        let names = names.collect::<std::result::Result<Vec<_>, _>>()?;
        let columns = items(table, "columns")?.iter().map(|column| match column {
            Document::List(values) => values.iter().map(|value| value_of(text(value)?)).collect(),
            _ => Err("a column is a list".into()),
        });
        let columns = columns.collect::<std::result::Result<Vec<Vec<Value>>, _>>()?;
        let rows = columns.first().map_or(0, Vec::len);
        if columns.len() != names.len() || columns.iter().any(|column| column.len() != rows) {
            return Err("there is a value for each name in each row".into());
        }
        Ok(Table { names, columns, rows })
    }

    fn row(&self, at: usize) -> Arc<Dict> {
        let mut row = Dict::new();
        for (name, column) in self.names.iter().zip(&self.columns) {
            row.insert_str(Text::from(&**name), column[at].clone());
        }
        Arc::new(row)
    }

    /// The outcome of each row, the same in all ways; else how they differ.
    fn evaluate(
        &self,
        [formula, cold]: [&Formula; 2],
        jits: &Jits,
        limits: &Limits,
        counts: &mut Counts,
    ) -> std::result::Result<Vec<Document>, String> {
        let mut vm = Interpreter::new(limits);
        let mut tiered = Tiered::new(formula.clone(), &jits.at_once);
        let binding = (self.rows > 0).then(|| formula.bind(&self.row(0))).flatten();
        let (mut outcomes, mut answers, mut all_expected) = (Vec::new(), Vec::new(), Vec::new());
        for at in 0..self.rows {
            let row = self.row(at);
            let mut same =
                |way: &str, expected: &str, run: &mut dyn FnMut(&mut Interpreter) -> Result<Value>| {
                    vm.meter.reset();
                    let found = exactly(&run(&mut vm), &vm);
                    if found == expected {
                        Ok(())
                    } else {
                        Err(format!("row {at} {row:?}\n  interpreted {expected}\n  {way} {found}"))
                    }
                };
            let mut own = Interpreter::new(limits);
            let outcome = formula.evaluate(&mut own, &row);
            let expected = exactly(&outcome, &own);
            same("as machine code", &expected, &mut |vm| tiered.evaluate(vm, &row))?;
            counts.rows += 1;
            counts.compiled += u64::from(tiered.compute(&mut Interpreter::new(limits), &row).is_some());
            if let Some(binding) = &binding {
                same("interpreted as a row", &expected, &mut |vm| formula.evaluate_bound(vm, &row, binding))?;
                same("as a row", &expected, &mut |vm| tiered.evaluate_bound(vm, &row, binding))?;
            }
            if formula.unexpected_parameter(&row).is_none() {
                same("with what flows", &expected, &mut |vm| match tiered
                    .compute_with(vm, |name| row.get_str(name))
                {
                    Some(value) => Ok(value),
                    None => formula.evaluate(vm, &row),
                })?;
            }
            let steps = if outcome.is_ok() { own.meter.cost().steps } else { 0 };
            all_expected.push((row, expected));
            answers.push(Document::Text(told(&outcome).into()));
            outcomes.push((outcome, steps));
        }
        self.over_columns(tiered, &mut vm, &outcomes, counts)?;
        if self.rows >= LONG_ROWS {
            when_hot(cold, &jits.when_hot, &mut vm, &all_expected)?;
        }
        Ok(answers)
    }

    /// All rows as columns.
    fn over_columns(
        &self,
        mut tiered: Tiered,
        vm: &mut Interpreter,
        outcomes: &[(Result<Value>, u64)],
        counts: &mut Counts,
    ) -> std::result::Result<(), String> {
        let rows = if self.rows < LONG_ROWS { self.rows } else { self.rows * REPEATED };
        let kept: Vec<Kept> = self.columns.iter().map(|column| Kept::new(column, rows)).collect();
        let columns: Vec<Column<'_>> =
            self.names.iter().zip(&kept).map(|(name, kept)| kept.column(name)).collect();
        let mut evaluation = ColumnEvaluation::new(&mut tiered, &columns, rows);
        counts.tables += 1;
        counts.in_columns += u64::from(evaluation.is_compiled());
        let mut results = Results::default();
        let mut first = 0_usize;
        for piece in PIECES {
            let end = rows.min(first.saturating_add(piece));
            evaluation.run(vm, first..end, &mut results);
            for row in first..end {
                let expected = match &outcomes[row % self.rows].0 {
                    Ok(value) => written(value),
                    Err(raise) => format!("{:?} {}", raise.kind, raise.message),
                };
                let found = match results.value(row - first) {
                    Some(value) => written(&value),
                    None => match results.errors.iter().find(|(at, _)| *at == row - first) {
                        Some((_, raise)) => format!("{:?} {}", raise.kind, raise.message),
                        None => "nothing".to_owned(),
                    },
                };
                if found != expected {
                    let row = self.row(row % self.rows);
                    return Err(format!("row {row:?}\n  interpreted {expected}\n  in a column {found}"));
                }
            }
            let steps = (first..end).map(|row| outcomes[row % self.rows].1).sum::<u64>();
            if results.steps != steps {
                return Err(format!("rows {first}..{end}: {steps} steps, in columns {}", results.steps));
            }
            first = end;
        }
        Ok(())
    }
}

/// As a server does it: compiled on another thread once it is hot, while it goes on.
fn when_hot(
    formula: &Formula,
    jit: &Jit,
    vm: &mut Interpreter,
    rows: &[(Arc<Dict>, String)],
) -> std::result::Result<(), String> {
    let mut tiered = Tiered::new(formula.clone(), jit);
    let before = jit.stats();
    for round in 0..HOT_ROUNDS {
        for (row, expected) in rows {
            vm.meter.reset();
            let found = exactly(&tiered.evaluate(vm, row), vm);
            if found != *expected {
                return Err(format!("row {row:?}\n  interpreted {expected}\n  in round {round} {found}"));
            }
        }
        if round + 2 >= HOT_ROUNDS {
            // It may never come: not all can be compiled.
            let has_come =
                || (jit.stats().compiled, jit.stats().refused) != (before.compiled, before.refused);
            (0..HOT_YIELDS).take_while(|_| !has_come()).for_each(|_| std::thread::yield_now());
        }
    }
    Ok(())
}

/// A column as its kind is kept.
enum Kept {
    Ints(Vec<i64>, Vec<bool>),
    Floats(Vec<f64>, Vec<bool>),
    Bools(Vec<u64>, Vec<bool>),
    Any(Vec<Value>),
}

impl Kept {
    /// So many rows, which begin anew when all values were there.
    fn new(values: &[Value], rows: usize) -> Kept {
        let values: Vec<Value> = values.iter().cycle().take(rows).cloned().collect();
        let nulls: Vec<bool> = values.iter().map(|value| matches!(value, Value::None)).collect();
        let nulls = if nulls.contains(&true) { nulls } else { Vec::new() };
        let is_all =
            |of: fn(&Value) -> bool| values.iter().all(|value| of(value) || matches!(value, Value::None));
        if is_all(|value| matches!(value, Value::Int(_))) {
            Kept::Ints(values.iter().map(|x| if let Value::Int(x) = x { *x } else { 0 }).collect(), nulls)
        } else if is_all(|value| matches!(value, Value::Float(_))) {
            Kept::Floats(
                values.iter().map(|x| if let Value::Float(x) = x { *x } else { 0.0 }).collect(),
                nulls,
            )
        } else if is_all(|value| matches!(value, Value::Bool(_))) {
            Kept::Bools(values.iter().map(|x| u64::from(matches!(x, Value::Bool(true)))).collect(), nulls)
        } else {
            Kept::Any(values)
        }
    }

    fn column<'a>(&'a self, name: &'a str) -> Column<'a> {
        let (values, is_null): (_, &[bool]) = match self {
            Kept::Ints(values, nulls) => (Values::Of(Payloads::Ints(values)), nulls),
            Kept::Floats(values, nulls) => (Values::Of(Payloads::Floats(values)), nulls),
            Kept::Bools(values, nulls) => (Values::Of(Payloads::Bools(values)), nulls),
            Kept::Any(values) => (Values::Any(values), &[]),
        };
        Column { name, values, is_null }
    }
}

/// A value out of a tagged text.
fn value_of(tagged: &str) -> std::result::Result<Value, Box<dyn Error>> {
    let wrong = || -> Box<dyn Error> { format!("{tagged:?} is no value").into() };
    let (tag, rest) = tagged.split_at_checked(1).ok_or_else(wrong)?;
    Ok(match tag {
        "i" => json::read_value(rest.as_bytes(), 1, u64::MAX).map_err(|_| wrong())?,
        "f" => Value::float(f64::from_bits(u64::from_str_radix(rest, 16)?)),
        "b" => Value::Bool(rest == "1"),
        "n" => Value::None,
        "s" => Value::str(rest),
        _ => return Err(wrong()),
    })
}

/// A value as a tagged text, to the last bit; NaNs are all one.
fn written(value: &Value) -> String {
    let all = |items: &[Value]| items.iter().map(written).collect::<Vec<_>>().join(",");
    match value {
        Value::None => "n".to_owned(),
        Value::Bool(x) => format!("b{}", u8::from(*x)),
        Value::Int(x) => format!("i{x}"),
        Value::BigInt(x) => format!("i{x}"),
        Value::Float(x) if x.is_nan() => "fnan".to_owned(),
        Value::Float(x) => format!("f{:016x}", x.to_bits()),
        Value::Str(text) => format!("s{}", text.as_str()),
        Value::List(items) => format!("[{}]", all(items)),
        Value::Tuple(items) => format!("({})", all(items)),
        other => format!("?{}", other.type_name()),
    }
}

/// What came, all of it, and what it cost: all ways agree in it.
fn exactly(outcome: &Result<Value>, vm: &Interpreter) -> String {
    match outcome {
        Ok(value) => format!("{} at {:?}", written(value), vm.meter.cost()),
        Err(raise) => format!("{raise:?} at {:?}", vm.meter.cost()),
    }
}

/// What came, as far as CPython would say the same.
fn told(outcome: &Result<Value>) -> String {
    let refused = |raise: &Raise| match &raise.kind {
        // A complex number is refused where it arises.
        RaiseKind::Exception(_) if raise.message.contains("is complex") => "-complex".to_owned(),
        RaiseKind::Exception(kind) => format!("!{}", kind.name()),
        RaiseKind::MissingParameter(_) | RaiseKind::UnexpectedParameter(_) => "!TypeError".to_owned(),
        RaiseKind::Limit(limit) => format!("-{}", limit.name()),
        RaiseKind::ResultNotJson | RaiseKind::Interrupted => "-other".to_owned(),
    };
    match outcome {
        Ok(value) => written(value),
        Err(raise) => refused(raise),
    }
}
