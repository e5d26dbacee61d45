//! Syntax tree to template and constants: names resolved, scopes flattened, code emitted.
//!
//! Scoping is Python's. A list or dict comprehension runs in the unit around it with variables
//! of its own; a generator and an inner lambda are units. A variable that an inner unit sees lives
//! in a cell, so that it is seen as it is when the inner unit runs, not as it was.

mod calls;
mod scopes;

use crate::ast::*;
use crate::builtins::Builtin;
use crate::code::{MATH_CONSTANTS, Op};
use crate::error::{FormulaError, FormulaErrorKind};
use crate::expression_type::ExpressionType;
use crate::limits::{Limit, Limits};
use crate::math::MathFunction;
use crate::methods::Method;
use crate::operate::UnaryOp;
use crate::parse::{Parsed, too_many};
use crate::scan::span_between;
use crate::template::*;
use crate::value::Value;
use scopes::{Place, Scope, Variable};
use std::sync::Arc;

/// What lowering gives.
#[derive(Debug)]
pub(crate) struct Lowered {
    pub(crate) template: Template,
    pub(crate) constants: Vec<Value>,
    /// For each unit, for each instruction, its place in the text.
    pub(crate) spans: Vec<Vec<Bytes>>,
}

/// Lowers a formula of type `lambda` or `formula`.
///
/// # Errors
/// Unknown names, attributes and methods (`NotSupported`); limits on constants and names.
pub(crate) fn lower(kind: ExpressionType, text: &str, expr: &Expr, limits: &Limits) -> Parsed<Lowered> {
    let mut lowerer = Lowerer {
        text,
        limits,
        kind,
        units: vec![UnitBuilder::default()],
        unit: 0,
        scopes: vec![Scope::new(0)],
        variables: Vec::new(),
        constants: Vec::new(),
        names: Vec::new(),
        keyword_lists: Vec::new(),
        default_units: Vec::new(),
        distinct_names: Vec::new(),
    };
    match (kind, &expr.kind) {
        (ExpressionType::Lambda, ExprKind::Lambda(lambda)) => lowerer.main_lambda(lambda)?,
        (ExpressionType::Lambda, _) => {
            return Err(lowerer.refuse(
                expr.at,
                "this is no lambda; write `lambda x, y: ...`, or use the expression_type formula for a bare expression",
            ));
        }
        (_, ExprKind::Lambda(_)) => {
            return Err(lowerer.refuse(
                expr.at,
                "a formula is the body alone; leave out `lambda ...:`, or use the expression_type lambda",
            ));
        }
        _ => {
            lowerer.expression(expr)?;
            lowerer.emit(Op::Return, expr.at);
        }
    }
    Ok(lowerer.finish())
}

/// A unit under construction.
#[derive(Debug, Default)]
struct UnitBuilder {
    unit: Unit,
    spans: Vec<Bytes>,
    /// The variable behind each capture.
    capture_variables: Vec<usize>,
}

struct Lowerer<'a> {
    text: &'a str,
    limits: &'a Limits,
    kind: ExpressionType,
    units: Vec<UnitBuilder>,
    /// The unit that code goes to now.
    unit: usize,
    scopes: Vec<Scope>,
    variables: Vec<Variable>,
    constants: Vec<Value>,
    names: Vec<Arc<str>>,
    keyword_lists: Vec<Vec<u16>>,
    default_units: Vec<Option<u16>>,
    distinct_names: Vec<Box<str>>,
}

impl Lowerer<'_> {
    // --- errors and tables

    #[cold]
    fn refuse(&self, at: Bytes, message: impl Into<String>) -> FormulaError {
        FormulaError {
            kind: FormulaErrorKind::NotSupported,
            message: message.into(),
            span: Some(span_between(self.text, at.start as usize, at.end as usize)),
        }
    }

    fn emit(&mut self, op: Op, at: Bytes) -> usize {
        let builder = &mut self.units[self.unit];
        builder.unit.ops.push(op);
        builder.spans.push(at);
        builder.unit.ops.len() - 1
    }

    /// The offset of the next instruction.
    fn here(&self) -> u32 {
        self.units[self.unit].unit.ops.len() as u32
    }

    /// Lets the jump at `op` go to the next instruction.
    fn land(&mut self, op: usize) {
        let here = self.here();
        match &mut self.units[self.unit].unit.ops[op] {
            Op::Jump(target)
            | Op::JumpIfFalse(target)
            | Op::JumpIfFalseOrPop(target)
            | Op::JumpIfTrueOrPop(target)
            | Op::ForNext(target)
            | Op::CompareChain(_, target) => *target = here,
            _ => debug_assert!(false, "only jumps land"),
        }
    }

    fn constant(&mut self, value: &Value, at: Bytes) -> Parsed<u16> {
        if self.constants.len() >= self.limits.constants {
            return Err(too_many(Limit::Constants, "constants", self.limits.constants, self.text, at));
        }
        self.constants.push(value.clone());
        Ok((self.constants.len() - 1) as u16)
    }

    /// Counts a name against the limit, once.
    fn count_name(&mut self, name: &str, at: Bytes) -> Parsed<()> {
        if self.distinct_names.iter().any(|other| &**other == name) {
            return Ok(());
        }
        if self.distinct_names.len() >= self.limits.names {
            return Err(too_many(Limit::Names, "names", self.limits.names, self.text, at));
        }
        self.distinct_names.push(name.into());
        Ok(())
    }

    /// The number of a name in the template.
    fn name(&mut self, name: &str, at: Bytes) -> Parsed<u16> {
        self.count_name(name, at)?;
        if let Some(index) = self.names.iter().position(|other| &**other == name) {
            return Ok(index as u16);
        }
        self.names.push(name.into());
        Ok((self.names.len() - 1) as u16)
    }

    // --- functions

    fn main_lambda(&mut self, lambda: &Lambda) -> Parsed<()> {
        // Defaults see no parameter: they are lowered in units of their own, before any is declared.
        for parameter in &lambda.parameters {
            let unit = match &parameter.default {
                None => None,
                Some(default) => {
                    let unit = self.open_unit();
                    self.scopes.push(Scope::new(unit));
                    self.expression(default)?;
                    self.emit(Op::Return, default.at);
                    self.scopes.pop();
                    self.unit = 0;
                    Some(unit as u16)
                }
            };
            self.default_units.push(unit);
        }
        self.parameters(lambda)?;
        self.expression(&lambda.body)?;
        self.emit(Op::Return, lambda.body.at);
        Ok(())
    }

    /// Starts a unit and lets code go there; gives its number.
    fn open_unit(&mut self) -> usize {
        self.units.push(UnitBuilder::default());
        self.unit = self.units.len() - 1;
        self.unit
    }

    /// Declares a lambda's parameters in the current unit and scope.
    fn parameters(&mut self, lambda: &Lambda) -> Parsed<()> {
        for parameter in &lambda.parameters {
            self.count_name(&parameter.name, lambda.body.at)?;
            self.declare(&parameter.name, true);
            let unit = &mut self.units[self.unit].unit;
            unit.parameters.push(UnitParameter {
                name: (&*parameter.name).into(),
                has_default: parameter.default.is_some(),
                keyword_only: parameter.keyword_only,
            });
        }
        if let Some(rest) = &lambda.rest {
            self.count_name(rest, lambda.body.at)?;
            self.declare(rest, true);
            self.units[self.unit].unit.has_rest = true;
        }
        Ok(())
    }

    fn inner_lambda(&mut self, lambda: &Lambda, at: Bytes) -> Parsed<()> {
        for parameter in &lambda.parameters {
            if let Some(default) = &parameter.default {
                self.expression(default)?;
            }
        }
        let outer = self.unit;
        let unit = self.open_unit();
        self.scopes.push(Scope::new(unit));
        self.parameters(lambda)?;
        self.expression(&lambda.body)?;
        self.emit(Op::Return, lambda.body.at);
        self.scopes.pop();
        self.unit = outer;
        self.emit(Op::MakeFunction(unit as u16), at);
        Ok(())
    }

    // --- expressions

    fn expression(&mut self, expr: &Expr) -> Parsed<()> {
        let at = expr.at;
        match &expr.kind {
            ExprKind::Constant(value) => {
                let index = self.constant(value, at)?;
                self.emit(Op::Constant(index), at);
            }
            ExprKind::Name(name) => self.load(name, at)?,
            ExprKind::Unary(op, operand) => self.unary(*op, operand, at)?,
            ExprKind::Not(operand) => {
                self.expression(operand)?;
                self.emit(Op::Not, at);
            }
            ExprKind::Binary(op, left, right) => {
                self.expression(left)?;
                self.expression(right)?;
                self.emit(Op::Binary(*op), at);
            }
            ExprKind::And(operands) => self.logical(operands, Op::JumpIfFalseOrPop(0), at)?,
            ExprKind::Or(operands) => self.logical(operands, Op::JumpIfTrueOrPop(0), at)?,
            ExprKind::Compare(first, rest) => self.comparison(first, rest, at)?,
            ExprKind::Conditional { test, then, otherwise } => {
                self.expression(test)?;
                let to_otherwise = self.emit(Op::JumpIfFalse(0), test.at);
                self.expression(then)?;
                let to_end = self.emit(Op::Jump(0), at);
                self.land(to_otherwise);
                self.expression(otherwise)?;
                self.land(to_end);
            }
            ExprKind::List(elements) => self.display(elements, Op::BuildList(0), Op::FinishList, at)?,
            ExprKind::Tuple(elements) => self.display(elements, Op::BuildTuple(0), Op::FinishTuple, at)?,
            ExprKind::Dict(pairs) => self.dict_display(pairs, at)?,
            ExprKind::ListComprehension(element, clauses) => {
                self.emit(Op::NewList, at);
                self.comprehension(clauses, at, &mut |lowerer| {
                    lowerer.expression(element)?;
                    lowerer.emit(Op::Append, element.at);
                    Ok(())
                })?;
                self.emit(Op::FinishList, at);
            }
            ExprKind::DictComprehension(pair, clauses) => {
                self.emit(Op::NewDict, at);
                self.comprehension(clauses, at, &mut |lowerer| {
                    lowerer.expression(&pair.0)?;
                    lowerer.expression(&pair.1)?;
                    lowerer.emit(Op::Insert(1), pair.0.at);
                    Ok(())
                })?;
                self.emit(Op::FinishDict, at);
            }
            ExprKind::Generator(element, clauses) => self.generator(element, clauses, at)?,
            ExprKind::Subscript(value, index) => self.subscript(value, index, at)?,
            ExprKind::Slice(value, bounds) => {
                self.expression(value)?;
                for bound in bounds {
                    match bound {
                        Some(bound) => self.expression(bound)?,
                        // An absent bound is no constant of the text, but means None.
                        None => {
                            self.emit(Op::Nothing, at);
                        }
                    }
                }
                self.emit(Op::Slice, at);
            }
            ExprKind::Attribute(value, name) => self.attribute(value, name, at)?,
            ExprKind::Call(function, arguments) => self.call(function, arguments, at)?,
            ExprKind::Lambda(lambda) => self.inner_lambda(lambda, at)?,
            ExprKind::Formatted(parts) => self.formatted(parts, at)?,
        }
        Ok(())
    }

    fn unary(&mut self, op: UnaryOp, operand: &Expr, at: Bytes) -> Parsed<()> {
        self.expression(operand)?;
        self.emit(Op::Unary(op), at);
        Ok(())
    }

    fn logical(&mut self, operands: &[Expr], jump: Op, at: Bytes) -> Parsed<()> {
        let mut jumps = Vec::with_capacity(operands.len());
        for (index, operand) in operands.iter().enumerate() {
            self.expression(operand)?;
            if index + 1 < operands.len() {
                jumps.push(self.emit(jump, at));
            }
        }
        for jump in jumps {
            self.land(jump);
        }
        Ok(())
    }

    fn comparison(&mut self, first: &Expr, rest: &[(CompareOp, Expr)], at: Bytes) -> Parsed<()> {
        self.expression(first)?;
        let mut jumps = Vec::new();
        for (index, (op, operand)) in rest.iter().enumerate() {
            self.expression(operand)?;
            if index + 1 < rest.len() {
                jumps.push(self.emit(Op::CompareChain(*op, 0), at));
            } else {
                self.emit(Op::Compare(*op), at);
            }
        }
        for jump in jumps {
            self.land(jump);
        }
        Ok(())
    }

    fn display(&mut self, elements: &[Element], build: Op, finish: Op, at: Bytes) -> Parsed<()> {
        if elements.iter().any(|element| element.unpack) {
            self.emit(Op::NewList, at);
            for element in elements {
                self.expression(&element.value)?;
                self.emit(if element.unpack { Op::Extend } else { Op::Append }, element.value.at);
            }
            self.emit(finish, at);
        } else {
            for element in elements {
                self.expression(&element.value)?;
            }
            let count = elements.len() as u16;
            self.emit(
                if matches!(build, Op::BuildList(_)) { Op::BuildList(count) } else { Op::BuildTuple(count) },
                at,
            );
        }
        Ok(())
    }

    /// CPython evaluates up to 15 pairs in a row before it hashes a key, and more of them pair by
    /// pair; it shows in which of two exceptions is raised.
    fn dict_display(&mut self, pairs: &[(Option<Expr>, Expr)], at: Bytes) -> Parsed<()> {
        self.emit(Op::NewDict, at);
        for run in pairs.chunk_by(|left, right| left.0.is_some() && right.0.is_some()) {
            for part in run.chunks(DICT_DISPLAY_CHUNK) {
                let together = part.len() <= DICT_DISPLAY_TOGETHER;
                let mut waiting = 0;
                for (key, value) in part {
                    let Some(key) = key else {
                        self.expression(value)?;
                        self.emit(Op::Update, value.at);
                        continue;
                    };
                    self.expression(key)?;
                    self.expression(value)?;
                    waiting += 1;
                    if !together {
                        self.emit(Op::Insert(1), key.at);
                        waiting = 0;
                    }
                }
                if waiting > 0 {
                    self.emit(Op::Insert(waiting), at);
                }
            }
        }
        self.emit(Op::FinishDict, at);
        Ok(())
    }

    fn subscript(&mut self, value: &Expr, index: &Expr, at: Bytes) -> Parsed<()> {
        if let (ExprKind::Name(name), ExprKind::Constant(Value::Str(key))) = (&value.kind, &index.kind)
            && self.is_keywords(name)
        {
            let name = self.name(key.as_str(), at)?;
            self.emit(Op::Keyword(name), at);
            return Ok(());
        }
        self.expression(value)?;
        self.expression(index)?;
        self.emit(Op::Subscript, at);
        Ok(())
    }

    fn attribute(&mut self, value: &Expr, name: &str, at: Bytes) -> Parsed<()> {
        if let Some(member) = self.math_member(value, name, at)? {
            self.emit(member, at);
            return Ok(());
        }
        let method = self.method(value, name, at)?;
        self.expression(value)?;
        self.emit(Op::BindMethod(method), at);
        Ok(())
    }

    /// `math.name` as an instruction, where `value` is the module.
    fn math_member(&mut self, value: &Expr, name: &str, at: Bytes) -> Parsed<Option<Op>> {
        let is_math =
            matches!(&value.kind, ExprKind::Name(module) if &**module == "math" && !self.is_bound("math"));
        if !is_math {
            return Ok(None);
        }
        if let Some(index) = MATH_CONSTANTS.iter().position(|constant| *constant == name) {
            return Ok(Some(Op::MathConstant(index as u8)));
        }
        match MathFunction::from_name(name) {
            Some(function) => Ok(Some(Op::Math(function))),
            None => {
                let advice = did_you_mean(name, MathFunction::names().chain(MATH_CONSTANTS), "math.");
                Err(self.refuse(at, format!("`math.{name}` is not supported{advice}")))
            }
        }
    }

    /// The method a name means, or the refusal.
    fn method(&mut self, value: &Expr, name: &str, at: Bytes) -> Parsed<Method> {
        if name.starts_with('_') {
            return Err(
                self.refuse(at, format!("the attribute `{name}` begins with `_`; those are not supported"))
            );
        }
        if let ExprKind::Name(owner) = &value.kind
            && !self.is_bound(owner)
            && Builtin::from_name(owner).is_some()
        {
            return Err(self.refuse(
                at,
                format!("the unbound `{owner}.{name}` is not supported; call the method on a value, as in `lambda v: v.{name}()`"),
            ));
        }
        match Method::from_name(name) {
            Some(method) => Ok(method),
            None => {
                let advice = did_you_mean(name, Method::names(), ".");
                Err(self.refuse(at, format!("the attribute or method `{name}` is not supported{advice}")))
            }
        }
    }

    fn formatted(&mut self, parts: &[FormatPart], at: Bytes) -> Parsed<()> {
        let count = self.format_parts(parts, at)?;
        self.emit(Op::BuildText(count), at);
        Ok(())
    }

    fn format_parts(&mut self, parts: &[FormatPart], at: Bytes) -> Parsed<u16> {
        for part in parts {
            match part {
                FormatPart::Text(text) => {
                    let index = self.constant(&Value::str(&**text), at)?;
                    self.emit(Op::Constant(index), at);
                }
                FormatPart::Field { value, conversion, spec } => {
                    self.expression(value)?;
                    if spec.is_empty() {
                        self.emit(Op::Format(*conversion), value.at);
                    } else {
                        let count = self.format_parts(spec, value.at)?;
                        self.emit(Op::BuildText(count), value.at);
                        self.emit(Op::FormatSpec(*conversion), value.at);
                    }
                }
            }
        }
        Ok(parts.len() as u16)
    }

    // --- comprehensions

    fn generator(&mut self, element: &Expr, clauses: &[Clause], at: Bytes) -> Parsed<()> {
        let Some(first) = clauses.first() else { return Ok(()) };
        // The first iterable belongs to the scope around, and is evaluated at once.
        self.expression(&first.iterable)?;
        self.emit(Op::GetIter, first.iterable.at);
        let outer = self.unit;
        let unit = self.open_unit();
        self.scopes.push(Scope::new(unit));
        self.clauses(clauses, at, &mut |lowerer| {
            lowerer.expression(element)?;
            lowerer.emit(Op::Yield, element.at);
            Ok(())
        })?;
        self.emit(Op::Nothing, at);
        self.emit(Op::Return, at);
        self.scopes.pop();
        self.unit = outer;
        self.emit(Op::MakeGenerator(unit as u16), at);
        Ok(())
    }

    fn comprehension(&mut self, clauses: &[Clause], at: Bytes, body: Body<'_, Self>) -> Parsed<()> {
        let Some(first) = clauses.first() else { return Ok(()) };
        self.expression(&first.iterable)?;
        self.emit(Op::GetIter, first.iterable.at);
        self.scopes.push(Scope::new(self.unit));
        self.clauses(clauses, at, body)?;
        self.scopes.pop();
        Ok(())
    }

    /// The loops of a comprehension whose first iterator is on the loop stack.
    fn clauses(&mut self, clauses: &[Clause], at: Bytes, body: Body<'_, Self>) -> Parsed<()> {
        for clause in clauses {
            self.declare_target(&clause.target, at)?;
        }
        let mut loops = Vec::with_capacity(clauses.len());
        for (index, clause) in clauses.iter().enumerate() {
            if index > 0 {
                self.expression(&clause.iterable)?;
                self.emit(Op::GetIter, clause.iterable.at);
            }
            let next = self.emit(Op::ForNext(0), clause.iterable.at);
            loops.push(next);
            self.store(&clause.target)?;
            for condition in &clause.conditions {
                self.expression(condition)?;
                let holds = self.emit(Op::JumpIfFalse(0), condition.at);
                // Where it does not hold the loop goes on.
                if let Op::JumpIfFalse(target) = &mut self.units[self.unit].unit.ops[holds] {
                    *target = next as u32;
                }
            }
        }
        body(self)?;
        for next in loops.into_iter().rev() {
            self.emit(Op::Jump(next as u32), at);
            self.land(next);
        }
        Ok(())
    }

    fn declare_target(&mut self, target: &Target, at: Bytes) -> Parsed<()> {
        match target {
            Target::Name(name, _) => {
                self.count_name(name, at)?;
                if self.scopes.last().is_none_or(|scope| scope.get(name).is_none()) {
                    let variable = self.declare(name, false);
                    let slot = self.variables[variable].slot;
                    let clear = self.emit(Op::ClearLocal(slot), at);
                    self.variables[variable].uses.push(clear);
                }
            }
            Target::Tuple(targets, ..) => {
                for target in targets {
                    self.declare_target(target, at)?;
                }
            }
        }
        Ok(())
    }

    fn store(&mut self, target: &Target) -> Parsed<()> {
        match target {
            Target::Name(name, at) => {
                if let Some(Place::Here(variable)) = self.resolve(name) {
                    let slot = self.variables[variable].slot;
                    let op = self.emit(Op::StoreLocal(slot), *at);
                    self.variables[variable].uses.push(op);
                    self.variables[variable].is_bound = true;
                }
            }
            Target::Tuple(targets, star, at) => {
                let count = targets.len();
                self.emit(
                    match star {
                        None => Op::Unpack(count as u16),
                        Some(star) => Op::UnpackStar(*star as u16, (count - star - 1) as u16),
                    },
                    *at,
                );
                for target in targets {
                    self.store(target)?;
                }
            }
        }
        Ok(())
    }
}

/// Pairs of a dict display that CPython's compiler handles at once.
const DICT_DISPLAY_CHUNK: usize = 17;
/// Of them, how many at most are all evaluated before the first is inserted.
const DICT_DISPLAY_TOGETHER: usize = 15;

/// What a comprehension does with each round.
type Body<'b, L> = &'b mut dyn FnMut(&mut L) -> Parsed<()>;

/// `; did you mean ...?` for the nearest name, else the accepted names when they are few.
fn did_you_mean(name: &str, names: impl Iterator<Item = &'static str>, prefix: &str) -> String {
    let nearest = names.map(|other| (distance(name, other), other)).min();
    match nearest {
        Some((0..=2, other)) if name.len() > 2 => format!("; did you mean `{prefix}{other}`?"),
        _ => String::from("; docs/formula-language.md lists what is"),
    }
}

/// Levenshtein distance, for short names only.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 32 || b.len() > 32 {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let substituted = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
