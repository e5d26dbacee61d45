//! A checked formula: what registering keeps and evaluating runs.

use crate::code::Op;
use crate::dict::Dict;
use crate::error::{FormulaError, FormulaErrorKind, Raise, RaiseKind, Result, Span};
use crate::interpret::Interpreter;
use crate::json::{self, JsonError, JsonErrorKind};
use crate::limits::{Limit, Limits};
use crate::lower::{self, Lowered};
use crate::parse;
use crate::scan::{self, span_between};
use crate::template::{Unit, UnitParameter};
use crate::value::Value;
use std::sync::Arc;

pub use crate::expression_type::ExpressionType;
pub use crate::template::{Template, Templates};

/// A checked formula.
///
/// ```
/// use butterflyfx_formula::formula::{ExpressionType, Formula, Templates};
/// use butterflyfx_formula::{interpret::Interpreter, json, limits::Limits, value::Value};
///
/// let (limits, templates) = (Limits::default(), Templates::default());
/// let double = Formula::new(ExpressionType::Formula, "x * 2", &limits, &templates).unwrap();
/// let triple = Formula::new(ExpressionType::Formula, "x * 3", &limits, &templates).unwrap();
/// assert!(std::sync::Arc::ptr_eq(&double.template, &triple.template));
///
/// let Value::Dict(parameters) = json::read_value(br#"{"x": 21}"#, 8, 4096).unwrap() else { panic!() };
/// let mut vm = Interpreter::new(&limits);
/// let value = double.evaluate(&mut vm, &parameters).unwrap();
/// assert!(matches!(value, Value::Int(42)));
/// ```
#[derive(Clone, Debug)]
pub struct Formula {
    /// Its code.
    pub template: Arc<Template>,
    /// Its constants, in the order the code numbers them.
    pub constants: Arc<[Value]>,
    /// Values of its defaults, evaluated at creation, in the order of the signature.
    pub defaults: Arc<[Value]>,
}

/// Where the parameters of a formula stand in rows that all have the same names in the same order,
/// found once for all of them.
#[derive(Clone, Debug)]
pub struct Binding {
    /// The place of each parameter; [`ABSENT`] where its default is used.
    pub(crate) parameters: Vec<u32>,
    /// The place of each name that is read out of `**kw`.
    pub(crate) names: Vec<u32>,
}

impl Binding {
    /// The place of each parameter, then of each of the template's names; one beyond every row where
    /// there is none.
    pub fn places(&self) -> impl Iterator<Item = u32> {
        self.parameters.iter().chain(&self.names).copied()
    }
}

/// No place.
const ABSENT: u32 = u32::MAX;

/// Text up to this many bytes is parsed on the thread's own stack.
const SHORT_TEXT_BYTES: usize = 256;
/// What short text needs of it at most: 64 brackets and 64 prefixes through the parser.
const SHORT_TEXT_STACK_BYTES: usize = 1024 * 1024;
/// Room for longer text, mapped for the parse alone: thousands of chained operators make a tree
/// of that depth.
const LONG_TEXT_STACK_BYTES: usize = 64 * 1024 * 1024;

impl Formula {
    /// Reads, checks and lowers a text.
    ///
    /// # Errors
    /// What is wrong, where, and what to write instead.
    pub fn new(
        kind: ExpressionType,
        text: &str,
        limits: &Limits,
        templates: &Templates,
    ) -> std::result::Result<Formula, FormulaError> {
        if kind == ExpressionType::Constant {
            return Formula::constant(text, limits, templates);
        }
        let Lowered { template, constants, spans } = lower_text(kind, text, limits)?;
        let template = templates.share(template);
        let mut defaults = Vec::new();
        if template.default_units.iter().any(Option::is_some) {
            let mut vm = Interpreter::new(limits);
            for unit in template.default_units.iter().flatten() {
                let value = vm
                    .evaluate_default(&template, &constants, *unit)
                    .and_then(|value| check_default(&value).map(|()| value))
                    .map_err(|raise| default_error(&raise, text, &spans))?;
                defaults.push(value);
            }
        }
        Ok(Formula { template, constants: constants.into(), defaults: defaults.into() })
    }

    fn constant(
        text: &str,
        limits: &Limits,
        templates: &Templates,
    ) -> std::result::Result<Formula, FormulaError> {
        if text.len() > limits.source_bytes {
            scan::check(text, limits)?;
        }
        let value = json::read_value(text.as_bytes(), limits.json_depth, limits.integer_bits)
            .map_err(|error| constant_error(&error))?;
        let unit = Unit { ops: vec![Op::Constant(0), Op::Return], ..Unit::default() };
        let template = Template::new(vec![unit], Vec::new(), Vec::new(), Vec::new(), true, 1);
        Ok(Formula { template: templates.share(template), constants: [value].into(), defaults: [].into() })
    }

    /// Evaluates with parameters by name. The interpreter's meter goes on from where it stands:
    /// reset it first, unless several formulas share one budget.
    ///
    /// # Errors
    /// What the formula raised, a missing or unexpected parameter, a limit.
    pub fn evaluate(&self, vm: &mut Interpreter, parameters: &Arc<Dict>) -> Result<Value> {
        if let Some(name) = self.unexpected_parameter(parameters) {
            return Err(Box::new(Raise {
                kind: RaiseKind::UnexpectedParameter(name.to_owned()),
                message: format!("the formula takes no parameter '{name}'"),
                at: None,
            }));
        }
        evaluate(&self.template, &self.constants, &self.defaults, vm, parameters)
    }

    /// Where this formula's parameters stand in rows with the names of this one; `None` where the
    /// formula would refuse the row, or sorts the names out anew for each.
    pub fn bind(&self, row: &Dict) -> Option<Binding> {
        let unit = &self.template.units[0];
        if self.unexpected_parameter(row).is_some() || (unit.has_rest && !unit.parameters.is_empty()) {
            return None;
        }
        let place = |name: &str| row.position(name).map_or(ABSENT, |at| at as u32);
        let parameters: Vec<u32> = unit.parameters.iter().map(|parameter| place(&parameter.name)).collect();
        let is_missing =
            |(place, parameter): (&u32, &UnitParameter)| *place == ABSENT && !parameter.has_default;
        if parameters.iter().zip(&unit.parameters).any(is_missing) {
            return None;
        }
        let names = self.template.names.iter().map(|name| place(name)).collect();
        Some(Binding { parameters, names })
    }

    /// As [`Formula::evaluate`] with a row that has the names of the row that was given to
    /// [`Formula::bind`], in the same order.
    ///
    /// # Errors
    /// What the formula raised, a limit.
    pub fn evaluate_bound(&self, vm: &mut Interpreter, row: &Arc<Dict>, binding: &Binding) -> Result<Value> {
        vm.evaluate_bound(&self.template, &self.constants, &self.defaults, row, binding)
    }

    /// The first name that the formula does not take.
    pub fn unexpected_parameter<'a>(&self, parameters: &'a Dict) -> Option<&'a str> {
        if self.template.accepts_any() {
            return None;
        }
        let names = self.template.parameters();
        parameters.iter().find_map(|(key, _)| match key {
            Value::Str(name) if !names.iter().any(|other| **other == *name.as_str()) => Some(name.as_str()),
            _ => None,
        })
    }

    /// Where a raise happened: the text is lowered again, for the spans that templates leave out.
    pub fn span_of(kind: ExpressionType, text: &str, raise: &Raise, limits: &Limits) -> Option<Span> {
        let at = raise.at?;
        if kind == ExpressionType::Constant {
            return None;
        }
        let lowered = lower_text(kind, text, limits).ok()?;
        span_at(&lowered.spans, text, at)
    }
}

/// Evaluates a template with constants and defaults that are kept elsewhere. Parameters that the
/// template does not take are ignored.
///
/// # Errors
/// What the formula raised, a missing parameter, a limit.
pub fn evaluate(
    template: &Arc<Template>,
    constants: &[Value],
    defaults: &[Value],
    vm: &mut Interpreter,
    parameters: &Arc<Dict>,
) -> Result<Value> {
    vm.evaluate(template, constants, defaults, parameters)
}

/// Template and constants of a text, not shared with any other.
pub(crate) fn lowered(
    kind: ExpressionType,
    text: &str,
    limits: &Limits,
) -> std::result::Result<(Template, Vec<Value>), FormulaError> {
    if kind == ExpressionType::Constant {
        let alone = Formula::constant(text, limits, &Templates::default())?;
        let template = Template::clone(&alone.template);
        return Ok((template, alone.constants.to_vec()));
    }
    lower_text(kind, text, limits).map(|lowered| (lowered.template, lowered.constants))
}

/// Scan, parse, lower: on a stack that is large enough for what the scan let through.
fn lower_text(
    kind: ExpressionType,
    text: &str,
    limits: &Limits,
) -> std::result::Result<Lowered, FormulaError> {
    scan::check(text, limits)?;
    let work = || {
        let expression = parse::expression(text, limits)?;
        lower::lower(kind, text, &expression, limits)
    };
    if text.len() <= SHORT_TEXT_BYTES {
        stacker::maybe_grow(SHORT_TEXT_STACK_BYTES, LONG_TEXT_STACK_BYTES, work)
    } else {
        stacker::grow(LONG_TEXT_STACK_BYTES, work)
    }
}

fn span_at(spans: &[Vec<crate::ast::Bytes>], text: &str, (unit, op): (u32, u32)) -> Option<Span> {
    let at = spans.get(unit as usize)?.get(op as usize)?;
    Some(span_between(text, at.start as usize, at.end as usize))
}

/// A default is evaluated once, so it must not be used up (an iterator) or look at variables that
/// live for one evaluation only (a function out of a comprehension).
fn check_default(value: &Value) -> Result<()> {
    let mut waiting = vec![value.clone()];
    while let Some(value) = waiting.pop() {
        match &value {
            Value::Iterator(_) => {
                return Err(not_supported_default(
                    "an iterator, which can be used only once; make it a list",
                ));
            }
            Value::Function(function) if function.captures() => {
                return Err(not_supported_default("a function that uses a comprehension's variable"));
            }
            Value::Function(function) => waiting.extend_from_slice(function.defaults()),
            Value::List(items) | Value::Tuple(items) => waiting.extend_from_slice(items),
            Value::Dict(dict) => waiting.extend(dict.iter().map(|(_, value)| value.clone())),
            Value::View(view) => waiting.push(Value::Dict(view.dict.clone())),
            Value::BoundMethod(bound) => waiting.push(bound.receiver.clone()),
            _ => {}
        }
    }
    Ok(())
}

fn not_supported_default(what: &str) -> Box<Raise> {
    Box::new(Raise {
        kind: RaiseKind::ResultNotJson,
        message: format!("a default value may not be {what}"),
        at: None,
    })
}

fn default_error(raise: &Raise, text: &str, spans: &[Vec<crate::ast::Bytes>]) -> FormulaError {
    let kind = match &raise.kind {
        RaiseKind::Exception(kind) => FormulaErrorKind::Evaluation(*kind),
        RaiseKind::Limit(limit) => FormulaErrorKind::Limit(*limit),
        _ => FormulaErrorKind::NotSupported,
    };
    let message = match &raise.kind {
        RaiseKind::Exception(kind) => format!("a default value raised {}: {}", kind.name(), raise.message),
        _ => raise.message.clone(),
    };
    FormulaError { kind, message, span: raise.at.and_then(|at| span_at(spans, text, at)) }
}

fn constant_error(error: &JsonError) -> FormulaError {
    let kind = match error.kind {
        JsonErrorKind::TooDeep => FormulaErrorKind::Limit(Limit::JsonDepth),
        JsonErrorKind::IntegerSize => FormulaErrorKind::Limit(Limit::IntegerSize),
        _ => FormulaErrorKind::Syntax,
    };
    FormulaError {
        kind,
        message: format!("a constant is the text of a JSON value: {}", error.message),
        span: Some(Span {
            line: error.line,
            column: error.column,
            end_line: error.line,
            end_column: error.column + 1,
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn formula(kind: ExpressionType, text: &str) -> std::result::Result<Formula, FormulaError> {
        Formula::new(kind, text, &Limits::default(), &Templates::default())
    }

    #[track_caller]
    fn run(kind: ExpressionType, text: &str, parameters: &str) -> String {
        let formula = match formula(kind, text) {
            Ok(formula) => formula,
            Err(error) => return format!("{:?} {error}", error.kind),
        };
        let Ok(Value::Dict(parameters)) = json::read_value(parameters.as_bytes(), 64, 4096) else {
            panic!("parameters are a JSON object: {parameters}");
        };
        let mut vm = Interpreter::new(&Limits::default());
        let mut out = String::new();
        let result = formula
            .evaluate(&mut vm, &parameters)
            .and_then(|value| json::write_value(&mut vm.meter, &value, &mut out));
        match result {
            Ok(()) => out,
            Err(raise) => match raise.kind {
                RaiseKind::Exception(kind) => format!("{}: {}", kind.name(), raise.message),
                kind => format!("{kind:?}: {}", raise.message),
            },
        }
    }

    #[track_caller]
    fn check(text: &str, parameters: &str, expected: &str) {
        let kind = if text.trim_start().starts_with("lambda") {
            ExpressionType::Lambda
        } else {
            ExpressionType::Formula
        };
        assert_eq!(run(kind, text, parameters), expected, "{text} with {parameters}");
    }

    #[test]
    fn parameters() {
        check("lambda **kw: kw.get('x', 0) * kw.get('y', 0)", r#"{"x": 6, "y": 7}"#, "42");
        check("lambda **kw: kw.get('x', 0) + kw.get('y', 5)", r#"{"x": 6}"#, "11");
        check("lambda **kw: kw.get('x')", "{}", "null");
        check("lambda **kw: kw['x']", "{}", "KeyError: 'x'");
        check("lambda **kw: kw", r#"{"b": 1, "a": [2.0]}"#, r#"{"b":1,"a":[2.0]}"#);
        check("lambda **kw: [kw.get('a'), kw, kw['a']]", r#"{"a": 1}"#, r#"[1,{"a":1},1]"#);
        check("lambda **kw: [kw.get('a'), (lambda: kw)()]", r#"{"a": 1}"#, r#"[1,{"a":1}]"#);
        check("lambda x, **kw: [kw.get('x', 5), kw.get('a')]", r#"{"a": 1, "x": 2}"#, "[5,1]");
        check(
            "lambda f=lambda **kw: kw.get('x', 7), **kw: [f(x=1), f(), kw.get('y')]",
            r#"{"y": 3}"#,
            "[1,7,3]",
        );
        check("lambda x, y=2: x + y", r#"{"x": 1}"#, "3");
        check("lambda x, y=2: x + y", r#"{"x": 1, "y": 5}"#, "6");
        check("lambda x: x", "{}", "MissingParameter(\"x\"): the parameter 'x' has no value");
        check(
            "lambda x: x",
            r#"{"x":1,"z":1}"#,
            "UnexpectedParameter(\"z\"): the formula takes no parameter 'z'",
        );
        check("lambda *, x, **rest: [x, rest]", r#"{"a": 1, "x": 2}"#, r#"[2,{"a":1}]"#);
        check("price * qty", r#"{"qty": 3, "price": 2}"#, "6");
        check("[i + k for i in xs]", r#"{"xs": [1, 2], "k": 10}"#, "[11,12]");
        check("list(f(k) for f in [lambda v: v + k + z])", r#"{"k": 1, "z": 5}"#, "[7]");
    }

    #[test]
    fn scopes() {
        check("[f() for f in [lambda: i for i in range(3)]]", "{}", "[2,2,2]");
        check("[(lambda v: lambda: v)(i)() for i in range(3)]", "{}", "[0,1,2]");
        check("[x for x in [1, 2, 3] if x > 1 for y in [x] if y < 3]", "{}", "[2]");
        check("[a for a in [[]] for _ in range(2) for a in [[a]]]", "{}", "[[[]],[[[]]]]");
        check(
            "[a for _ in range(2) for a in [a]]",
            "{}",
            "UnboundLocalError: cannot access local variable 'a' where it is not associated with a value",
        );
        check("[[i * j for j in range(i)] for i in range(4)]", "{}", "[[],[0],[0,2],[0,3,6]]");
        check("(lambda f, n: f(f, n))(lambda f, n: 1 if n < 2 else n * f(f, n - 1), 5)", "{}", "120");
        check("{k: v for k, v in [(1, 2), (3, 4)]}", "{}", r#"{"1":2,"3":4}"#);
        check("[[a, b, c] for a, *b, c in [[1, 2, 3, 4]]]", "{}", "[[1,[2,3],4]]");
        check("(lambda a, b=2, *, c=3, **d: [a, b, c, d])(1, c=5, e=6)", "{}", r#"[1,2,5,{"e":6}]"#);
        check("(lambda a, b: [a, b])(*[1], **{'b': 2})", "{}", "[1,2]");
        check("(lambda a: a)()", "{}", "TypeError: <lambda>() missing 1 required positional argument: 'a'");
    }

    #[test]
    fn lazy_iterators() {
        check("list(map(lambda v: v * 2, (i for i in range(3))))", "{}", "[0,2,4]");
        check("(lambda g: [list(g), list(g)])(i for i in range(2))", "{}", "[[0,1],[]]");
        check("any(1 / x for x in [1, 0])", "{}", "true");
        check("[g for x in [0] for g in [lambda: g]][0]() == 1", "{}", "false");
    }

    #[test]
    fn conditions() {
        check("1 < x < 3", r#"{"x": 2}"#, "true");
        check("1 < x < 3", r#"{"x": 3}"#, "false");
        check("x and y or 'z'", r#"{"x": 0, "y": 1}"#, "\"z\"");
        check("x if not y else -x", r#"{"x": 2, "y": 1}"#, "-2");
        check("x is None", r#"{"x": null}"#, "true");
    }

    #[test]
    fn dict_displays_evaluate_before_they_hash() {
        check("{[1]: 1, 1/0: 2}", "{}", "ZeroDivisionError: division by zero");
        check("{[1]: 1, **{}, 1/0: 2}", "{}", "TypeError: unhashable type: 'list'");
        let pairs = |n: u32| (0..n).map(|i| format!("{i}: {i}, ")).collect::<String>();
        check(&format!("{{[1]: 1, {} 1/0: 2}}", pairs(13)), "{}", "ZeroDivisionError: division by zero");
        check(&format!("{{[1]: 1, {} 1/0: 2}}", pairs(14)), "{}", "TypeError: unhashable type: 'list'");
        check(&format!("{{{} [1]: 1, 1/0: 2}}", pairs(17)), "{}", "ZeroDivisionError: division by zero");
        check("{1: 2, **{'a': 3}, 1: 4}", "{}", r#"{"1":4,"a":3}"#);
    }

    #[test]
    fn templates_are_shared_by_shape() {
        let templates = Templates::default();
        let new = |text: &str| {
            Formula::new(ExpressionType::Lambda, text, &Limits::default(), &templates)
                .map(|formula| formula.template)
        };
        let first = new("lambda **kw: kw.get('x', 0) * 1 + kw.get('y', 0)").ok();
        let second = new("lambda **kw: kw.get('x', 0)*12345 + kw.get('y', 9)").ok();
        let other = new("lambda **kw: kw.get('z', 0) * 1 + kw.get('y', 0)").ok();
        assert!(first.is_some() && other.is_some());
        assert_eq!(first.as_ref().map(Arc::as_ptr), second.as_ref().map(Arc::as_ptr));
        assert_ne!(first.as_ref().map(Arc::as_ptr), other.as_ref().map(Arc::as_ptr));
        assert_eq!(templates.len(), 2);
        drop((first, second, other));
        assert_eq!(templates.len(), 0);
    }
}
