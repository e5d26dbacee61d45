//! One activation of a unit, and the loop over its instructions.

use super::{Builder, Cell, Generator, Interpreter, Iter, Program, UNBOUND, is_unbound};
use crate::ast::{CompareOp, Conversion};
use crate::code::{MATH_CONSTANTS, Op};
use crate::dict::Dict;
use crate::error::{ExceptionKind, Raise, Result};
use crate::interpret::Function;
use crate::operate::BinaryOp;
use crate::template::{Capture, Unit};
use crate::value::{BoundMethod, Value};
use crate::{builtins, format, math, methods, operate, sequence};
use std::cmp::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

/// An activation. Its locals begin at `base` on the interpreter's stack, operands follow.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) program: &'a Program<'a>,
    pub(crate) unit: u16,
    pub(crate) base: usize,
    /// The next instruction.
    pub(crate) at: usize,
    pub(crate) cells: Vec<Cell>,
    pub(crate) captured: &'a [Cell],
    /// The formula's parameters where they are its `**kw` as they stand.
    pub(crate) keywords: Option<&'a Dict>,
    /// Where the template's names stand in `keywords`, if that is known.
    pub(crate) places: Option<&'a [u32]>,
    /// Whether the last run handed out an element of a generator rather than returned.
    pub(crate) has_yielded: bool,
}

impl<'a> Frame<'a> {
    /// A frame whose parameters lie on the stack from `base` on. [`Interpreter::enter`] it next.
    #[inline]
    pub(crate) fn new(program: &'a Program<'a>, unit: u16, base: usize, captured: &'a [Cell]) -> Frame<'a> {
        Frame {
            program,
            unit,
            base,
            at: 0,
            cells: Vec::new(),
            captured,
            keywords: None,
            places: None,
            has_yielded: false,
        }
    }

    fn code(&self) -> &'a Unit {
        &self.program.template.units[usize::from(self.unit)]
    }

    fn name(&self, index: u16) -> &'a str {
        &self.program.template.names[usize::from(index)]
    }
}

/// Clones a value; those without a reference count without a call.
#[inline(always)]
pub(super) fn copy(value: &Value) -> Value {
    match value {
        Value::Int(x) => Value::Int(*x),
        Value::Float(x) => Value::Float(*x),
        other => other.clone(),
    }
}

fn set_cell(cell: &Cell, value: Value) {
    // The old value is dropped after the lock: dropping may reach this cell again.
    let old = cell.lock().unwrap_or_else(PoisonError::into_inner).replace(value);
    drop(old);
}

impl Interpreter {
    /// Makes room for a new frame's other locals, and cells for the parameters that inner
    /// functions see.
    #[inline]
    pub(crate) fn enter(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        let code = frame.code();
        let locals_end = frame.base + usize::from(code.locals);
        if self.stack.len() < locals_end {
            self.stack.resize(locals_end, UNBOUND);
        }
        if code.cells > 0 { self.enter_cells(frame) } else { Ok(()) }
    }

    fn enter_cells(&mut self, frame: &mut Frame<'_>) -> Result<()> {
        let code = frame.code();
        for _ in 0..code.cells {
            frame.cells.push(self.new_cell()?);
        }
        for (local, cell) in &code.parameter_cells {
            let value = self.stack[frame.base + usize::from(*local)].clone();
            set_cell(&frame.cells[usize::from(*cell)], value);
        }
        Ok(())
    }

    fn new_cell(&mut self) -> Result<Cell> {
        self.meter.bytes(64)?;
        let cell = Cell::default();
        self.cells.push(cell.clone());
        Ok(cell)
    }

    /// Runs a frame until it returns or yields ([`Frame::has_yielded`]). An error is marked with the instruction it came
    /// from, unless an inner frame has done so.
    pub(crate) fn run(&mut self, frame: &mut Frame<'_>) -> Result<Value> {
        self.run_ops(frame).map_err(|mut raise| {
            if raise.at.is_none() {
                raise.at = Some((u32::from(frame.unit), frame.at.saturating_sub(1) as u32));
            }
            raise
        })
    }

    #[inline]
    fn pop(&mut self) -> Value {
        // Lowering keeps the stack balanced, so it is never empty here.
        self.stack.pop().unwrap_or(Value::None)
    }

    #[inline]
    fn top(&mut self) -> &mut Value {
        if self.stack.is_empty() {
            self.stack.push(Value::None);
        }
        let last = self.stack.len() - 1;
        &mut self.stack[last]
    }

    fn run_ops(&mut self, frame: &mut Frame<'_>) -> Result<Value> {
        let code = frame.code();
        let base = frame.base;
        loop {
            let op = code.ops[frame.at];
            frame.at += 1;
            self.meter.steps(1)?;
            match op {
                Op::Constant(index) => self.stack.push(copy(&frame.program.constants[usize::from(index)])),
                Op::Local(slot) => {
                    let value = copy(&self.stack[base + usize::from(slot)]);
                    self.stack.push(value);
                }
                Op::KeywordOrConstant { name, constant } => {
                    let value = match self.keyword(frame, name) {
                        Some(value) => copy(value),
                        None => copy(&frame.program.constants[usize::from(constant)]),
                    };
                    self.stack.push(value);
                }
                Op::Binary(op) => self.binary(op)?,
                Op::Compare(op) => {
                    let right = self.pop();
                    let left = self.pop();
                    let holds = self.compare(op, &left, &right)?;
                    self.stack.push(Value::Bool(holds));
                }
                Op::JumpIfFalse(target) => {
                    let holds = match self.pop() {
                        Value::Bool(holds) => holds,
                        other => other.truth(),
                    };
                    if !holds {
                        frame.at = target as usize;
                    }
                }
                Op::Jump(target) => frame.at = target as usize,
                Op::StoreLocal(slot) => {
                    let value = self.pop();
                    self.stack[base + usize::from(slot)] = value;
                }
                Op::ForNext(target) => {
                    // The iterator is taken out while it runs: it may use the loop stack itself.
                    let Some(mut iter) = self.loops.pop() else { continue };
                    match self.next(&mut iter)? {
                        Some(element) => {
                            self.loops.push(iter);
                            self.stack.push(element);
                        }
                        None => frame.at = target as usize,
                    }
                }
                Op::Append => {
                    let value = self.pop();
                    if let Some(Builder::List(items)) = self.builders.last_mut() {
                        self.meter.list_length(items.len() + 1)?;
                        self.meter.bytes(16)?;
                        items.push(value);
                    }
                }
                Op::Return => {
                    frame.has_yielded = false;
                    return Ok(self.pop());
                }
                Op::Yield => {
                    frame.has_yielded = true;
                    return Ok(self.pop());
                }
                _ => self.run_rare(frame, op)?,
            }
        }
    }

    /// `a op b` of the two topmost values. The common case writes the result in place of `a` and
    /// drops nothing.
    #[inline]
    fn binary(&mut self, op: BinaryOp) -> Result<()> {
        let right = self.pop();
        let left = self.top();
        match (&mut *left, &right) {
            (Value::Int(a), Value::Int(b)) => {
                let result = match op {
                    BinaryOp::Add => a.checked_add(*b),
                    BinaryOp::Subtract => a.checked_sub(*b),
                    BinaryOp::Multiply => a.checked_mul(*b),
                    _ => None,
                };
                if let Some(result) = result {
                    *a = result;
                    std::mem::forget(right);
                    return Ok(());
                }
            }
            (Value::Float(a), Value::Float(b)) => {
                let result = match op {
                    BinaryOp::Add => *a + *b,
                    BinaryOp::Subtract => *a - *b,
                    BinaryOp::Multiply => *a * *b,
                    _ => f64::NAN,
                };
                // Each NaN is an object of its own; `operate` makes it.
                if !result.is_nan() {
                    *a = result;
                    std::mem::forget(right);
                    return Ok(());
                }
            }
            _ => {}
        }
        let left = std::mem::replace(left, Value::None);
        let result = operate::binary(&mut self.meter, op, &left, &right)?;
        *self.top() = result;
        Ok(())
    }

    /// The parameter of `**kw` with a name, `None` where there is none.
    #[inline]
    fn keyword<'v>(&'v self, frame: &Frame<'v>, name: u16) -> Option<&'v Value> {
        if let Some(keywords) = frame.keywords {
            return match frame.places {
                Some(places) => keywords.value_at(*places.get(usize::from(name))? as usize),
                None => keywords.get_str(frame.name(name)),
            };
        }
        let rest = frame.code().parameters.len();
        match self.stack.get(frame.base + rest) {
            Some(Value::Dict(given)) => given.get_str(frame.name(name)),
            _ => None,
        }
    }

    /// The instructions that are not in the innermost loops of common formulas. Apart, so that
    /// the loop above stays small.
    fn run_rare(&mut self, frame: &mut Frame<'_>, op: Op) -> Result<()> {
        let base = frame.base;
        match op {
            Op::Nothing => self.stack.push(Value::None),
            Op::MathConstant(index) => {
                let name = MATH_CONSTANTS[usize::from(index)];
                // math.nan is one object: its bits stay the same.
                self.stack.push(Value::Float(math::constant(name).unwrap_or(f64::NAN)));
            }
            Op::Builtin(builtin) => self.stack.push(Value::Builtin(builtin)),
            Op::Math(function) => self.stack.push(Value::Math(function)),
            Op::LocalChecked(slot) => {
                let value = self.stack[base + usize::from(slot)].clone();
                if is_unbound(&value) {
                    return Err(unbound_local(&frame.code().local_names[usize::from(slot)]));
                }
                self.stack.push(value);
            }
            Op::Cell(index) => {
                let value =
                    frame.cells[usize::from(index)].lock().unwrap_or_else(PoisonError::into_inner).clone();
                self.stack.push(value.ok_or_else(|| unbound_local("a comprehension's variable"))?);
            }
            Op::Captured(index) => {
                let value =
                    frame.captured[usize::from(index)].lock().unwrap_or_else(PoisonError::into_inner).clone();
                let name = &frame.code().captured_names[usize::from(index)];
                self.stack.push(value.ok_or_else(|| {
                    Raise::exception(
                        ExceptionKind::NameError,
                        format!("cannot access free variable '{name}' where it is not associated with a value in enclosing scope"),
                    )
                })?);
            }
            Op::StoreCell(index) => {
                let value = self.pop();
                set_cell(&frame.cells[usize::from(index)], value);
            }
            Op::ClearLocal(slot) => self.stack[base + usize::from(slot)] = UNBOUND,
            Op::MakeCell(index) => frame.cells[usize::from(index)] = self.new_cell()?,
            Op::KeywordOr(name) => {
                if let Some(value) = self.keyword(frame, name).cloned() {
                    *self.top() = value;
                }
            }
            Op::KeywordOrNone(name) => {
                let value = self.keyword(frame, name).cloned().unwrap_or(Value::None);
                self.stack.push(value);
            }
            Op::Keyword(name) => match self.keyword(frame, name).cloned() {
                Some(value) => self.stack.push(value),
                None => {
                    let mut message = String::new();
                    format::repr(&mut self.meter, &Value::str(frame.name(name)), &mut message)?;
                    return Err(Raise::exception(ExceptionKind::KeyError, message));
                }
            },
            Op::Unary(op) => {
                let operand = self.pop();
                let result = operate::unary(&mut self.meter, op, &operand)?;
                self.stack.push(result);
            }
            Op::Not => {
                let truth = self.pop().truth();
                self.stack.push(Value::Bool(!truth));
            }
            Op::CompareChain(op, target) => {
                let right = self.pop();
                let left = self.pop();
                if self.compare(op, &left, &right)? {
                    self.stack.push(right);
                } else {
                    self.stack.push(Value::Bool(false));
                    frame.at = target as usize;
                }
            }
            Op::JumpIfFalseOrPop(target) => {
                if self.top().truth() {
                    self.pop();
                } else {
                    frame.at = target as usize;
                }
            }
            Op::JumpIfTrueOrPop(target) => {
                if self.top().truth() {
                    frame.at = target as usize;
                } else {
                    self.pop();
                }
            }
            Op::BuildList(count) => {
                let items = self.take(count)?;
                self.stack.push(Value::list(items));
            }
            Op::BuildTuple(count) => {
                let items = self.take(count)?;
                self.stack.push(Value::tuple(items));
            }
            Op::NewList => self.builders.push(Builder::List(Vec::new())),
            Op::NewDict => self.builders.push(Builder::Dict(Dict::new())),
            Op::Extend => {
                let iterable = self.pop();
                let mut iter = self.iterate(&iterable)?;
                while let Some(value) = self.next(&mut iter)? {
                    if let Some(Builder::List(items)) = self.builders.last_mut() {
                        self.meter.list_length(items.len() + 1)?;
                        self.meter.bytes(16)?;
                        items.push(value);
                    }
                }
            }
            Op::FinishList | Op::FinishTuple => {
                let items = match self.builders.pop() {
                    Some(Builder::List(items)) => items,
                    _ => Vec::new(),
                };
                self.stack.push(if op == Op::FinishList { Value::list(items) } else { Value::tuple(items) });
            }
            Op::Insert(pairs) => {
                let mut values = self.arguments_from(self.stack.len() - 2 * usize::from(pairs)).into_iter();
                while let (Some(key), Some(value)) = (values.next(), values.next()) {
                    if let Some(Builder::Dict(dict)) = self.builders.last_mut() {
                        dict.insert(&mut self.meter, key, value)?;
                    }
                }
            }
            Op::Update => {
                let mapping = self.pop();
                let Value::Dict(mapping) = mapping else {
                    return Err(Raise::type_error(format!(
                        "'{}' object is not a mapping",
                        mapping.type_name()
                    )));
                };
                if let Some(Builder::Dict(dict)) = self.builders.last_mut() {
                    for (key, value) in mapping.iter() {
                        dict.insert(&mut self.meter, key.clone(), value.clone())?;
                    }
                }
            }
            Op::UpdateKeywords => self.update_keywords()?,
            Op::InsertKeyword(name) => {
                let value = self.pop();
                self.insert_keyword(frame.name(name), value)?;
            }
            Op::FinishDict => {
                let dict = match self.builders.pop() {
                    Some(Builder::Dict(dict)) => dict,
                    _ => Dict::new(),
                };
                self.stack.push(Value::Dict(Arc::new(dict)));
            }
            Op::GetIter => {
                let iterable = self.pop();
                let iter = self.iterate(&iterable)?;
                self.loops.push(iter);
            }
            Op::Unpack(count) => self.unpack(usize::from(count))?,
            Op::UnpackStar(before, after) => self.unpack_star(usize::from(before), usize::from(after))?,
            Op::Subscript => {
                let index = self.pop();
                let value = self.pop();
                let result = sequence::subscript(&mut self.meter, &value, &index)?;
                self.stack.push(result);
            }
            Op::Slice => {
                let (step, stop, start, value) = (self.pop(), self.pop(), self.pop(), self.pop());
                let result = sequence::slice(&mut self.meter, &value, &start, &stop, &step)?;
                self.stack.push(result);
            }
            Op::BindMethod(method) => {
                let receiver = self.pop();
                self.check_method(&receiver, method)?;
                self.meter.bytes(48)?;
                self.stack.push(Value::BoundMethod(Arc::new(BoundMethod { receiver, method })));
            }
            Op::CheckMethod(method) => {
                let receiver = self.top().clone();
                self.check_method(&receiver, method)?;
            }
            Op::CallMethod(method, count) => {
                let from = self.stack.len() - usize::from(count);
                let arguments = self.arguments_from(from);
                let receiver = self.pop();
                let result =
                    methods::call(self, &receiver, method, super::Arguments::positional(&arguments))?;
                self.stack.push(result);
            }
            Op::CallBuiltin(builtin, count) => {
                let from = self.stack.len() - usize::from(count);
                let arguments = self.arguments_from(from);
                let result = builtins::call(self, builtin, super::Arguments::positional(&arguments))?;
                self.stack.push(result);
            }
            Op::CallMath(function, count) => {
                let from = self.stack.len() - usize::from(count);
                let arguments = self.arguments_from(from);
                let result = math::call(self, function, super::Arguments::positional(&arguments))?;
                self.stack.push(result);
            }
            Op::Call(count) => {
                let from = self.stack.len() - usize::from(count);
                let arguments = self.arguments_from(from);
                let function = self.pop();
                let result = self.call(&function, super::Arguments::positional(&arguments))?;
                self.stack.push(result);
            }
            Op::CallKeywords { positional, names } => {
                let names = &frame.program.template.keyword_lists[usize::from(names)];
                let values = self.arguments_from(self.stack.len() - names.len());
                let keywords: Vec<_> =
                    names.iter().map(|name| frame.name(*name).into()).zip(values).collect();
                let arguments = self.arguments_from(self.stack.len() - usize::from(positional));
                let function = self.pop();
                let result =
                    self.call(&function, super::Arguments { positional: &arguments, keywords: &keywords })?;
                self.stack.push(result);
            }
            Op::CallUnpacked => {
                let (keywords, positional, function) = (self.pop(), self.pop(), self.pop());
                let result = self.call_unpacked(&function, &positional, &keywords)?;
                self.stack.push(result);
            }
            Op::MakeFunction(unit) => {
                let code = &frame.program.template.units[usize::from(unit)];
                let defaults = code.parameters.iter().filter(|parameter| parameter.has_default).count();
                self.meter.bytes(128 + 16 * (defaults + code.captures.len()) as u64)?;
                let function = Function {
                    template: frame.program.template.clone(),
                    constants: frame.program.shared_constants(),
                    unit,
                    captured: capture(frame, code),
                    defaults: self.arguments_from(self.stack.len() - defaults).into_vec(),
                };
                self.stack.push(Value::Function(Arc::new(function)));
            }
            Op::MakeGenerator(unit) => {
                let code = &frame.program.template.units[usize::from(unit)];
                self.meter.bytes(256 + 16 * (usize::from(code.locals) + code.captures.len()) as u64)?;
                let generator = Generator {
                    template: frame.program.template.clone(),
                    constants: frame.program.shared_constants(),
                    unit,
                    at: 0,
                    captured: capture(frame, code),
                    cells: None,
                    locals: Vec::new(),
                    loops: self.loops.pop().into_iter().collect(),
                };
                let iter = Iter::Generator(Box::new(generator));
                self.stack.push(Value::Iterator(Arc::new(Mutex::new(iter))));
            }
            Op::Format(conversion) => {
                let value = self.pop();
                let text = self.format(&value, conversion, None)?;
                self.stack.push(text);
            }
            Op::FormatSpec(conversion) => {
                let (spec, value) = (self.pop(), self.pop());
                let text = self.format(&value, conversion, Some(&spec))?;
                self.stack.push(text);
            }
            Op::BuildText(count) => {
                let parts = self.arguments_from(self.stack.len() - usize::from(count));
                let bytes = parts
                    .iter()
                    .map(|part| if let Value::Str(text) = part { text.as_str().len() } else { 0 })
                    .sum();
                self.meter.string(bytes)?;
                let mut joined = String::with_capacity(bytes);
                for part in &parts {
                    if let Value::Str(text) = part {
                        joined.push_str(text.as_str());
                    }
                }
                self.stack.push(Value::str(joined));
            }
            // The loop in `run_ops` has the rest.
            _ => debug_assert!(false, "{op:?}"),
        }
        Ok(())
    }

    fn take(&mut self, count: u16) -> Result<Vec<Value>> {
        self.meter.list(usize::from(count))?;
        let from = self.stack.len() - usize::from(count);
        Ok(self.stack.drain(from..).collect())
    }

    fn arguments_from(&mut self, from: usize) -> smallvec::SmallVec<[Value; 4]> {
        self.stack.drain(from..).collect()
    }

    fn check_method(&mut self, receiver: &Value, method: methods::Method) -> Result<()> {
        if methods::has(receiver, method) {
            return Ok(());
        }
        Err(methods::missing(receiver, method))
    }

    pub(crate) fn compare(&mut self, op: CompareOp, left: &Value, right: &Value) -> Result<bool> {
        if let (Value::Int(a), Value::Int(b)) = (left, right) {
            match op {
                CompareOp::Equal => return Ok(a == b),
                CompareOp::NotEqual => return Ok(a != b),
                CompareOp::Less => return Ok(a < b),
                CompareOp::LessOrEqual => return Ok(a <= b),
                CompareOp::Greater => return Ok(a > b),
                CompareOp::GreaterOrEqual => return Ok(a >= b),
                _ => {}
            }
        }
        let meter = &mut self.meter;
        Ok(match op {
            CompareOp::Equal => operate::equal(meter, left, right)?,
            CompareOp::NotEqual => !operate::equal(meter, left, right)?,
            CompareOp::Less => operate::order(meter, left, right, "<")? == Some(Ordering::Less),
            CompareOp::Greater => operate::order(meter, left, right, ">")? == Some(Ordering::Greater),
            CompareOp::LessOrEqual => {
                matches!(operate::order(meter, left, right, "<=")?, Some(Ordering::Less | Ordering::Equal))
            }
            CompareOp::GreaterOrEqual => {
                matches!(operate::order(meter, left, right, ">=")?, Some(Ordering::Greater | Ordering::Equal))
            }
            CompareOp::In => sequence::contains(self, right, left)?,
            CompareOp::NotIn => !sequence::contains(self, right, left)?,
            CompareOp::Is => is_same_singleton(left, right),
            CompareOp::IsNot => !is_same_singleton(left, right),
        })
    }

    fn format(&mut self, value: &Value, conversion: Conversion, spec: Option<&Value>) -> Result<Value> {
        let spec = match spec {
            Some(Value::Str(text)) => text.as_str(),
            _ => "",
        };
        let mut out = String::new();
        match conversion {
            Conversion::None => format::format(&mut self.meter, value, spec, &mut out)?,
            Conversion::Str | Conversion::Repr | Conversion::Ascii => {
                let mut text = String::new();
                match conversion {
                    Conversion::Str => format::str(&mut self.meter, value, &mut text)?,
                    _ => format::repr(&mut self.meter, value, &mut text)?,
                }
                if conversion == Conversion::Ascii {
                    text = escape_non_ascii(&text);
                    self.meter.string(text.len())?;
                }
                if spec.is_empty() {
                    out = text;
                } else {
                    format::format(&mut self.meter, &Value::str(text), spec, &mut out)?;
                }
            }
        }
        self.meter.string(out.len())?;
        Ok(Value::str(out))
    }

    /// `v1, .., vn = iterable`, the first on top.
    fn unpack(&mut self, count: usize) -> Result<()> {
        let iterable = self.pop();
        let mut iter = self.iterate_to_unpack(&iterable)?;
        let mut values = Vec::with_capacity(count);
        while let Some(value) = self.next(&mut iter)? {
            if values.len() == count {
                return Err(Raise::value_error(format!("too many values to unpack (expected {count})")));
            }
            values.push(value);
        }
        if values.len() < count {
            let got = values.len();
            return Err(Raise::value_error(format!(
                "not enough values to unpack (expected {count}, got {got})"
            )));
        }
        self.stack.extend(values.into_iter().rev());
        Ok(())
    }

    fn unpack_star(&mut self, before: usize, after: usize) -> Result<()> {
        let iterable = self.pop();
        let mut iter = self.iterate_to_unpack(&iterable)?;
        let mut values = Vec::new();
        while let Some(value) = self.next(&mut iter)? {
            self.meter.list_length(values.len() + 1)?;
            self.meter.bytes(16)?;
            values.push(value);
        }
        let fixed = before + after;
        if values.len() < fixed {
            let got = values.len();
            return Err(Raise::value_error(format!(
                "not enough values to unpack (expected at least {fixed}, got {got})"
            )));
        }
        let last = values.split_off(values.len() - after);
        let middle = values.split_off(before);
        self.stack.extend(last.into_iter().rev());
        self.stack.push(Value::list(middle));
        self.stack.extend(values.into_iter().rev());
        Ok(())
    }

    fn iterate_to_unpack(&mut self, iterable: &Value) -> Result<Iter> {
        self.iterate(iterable).map_err(|raise| match raise.kind {
            crate::error::RaiseKind::Exception(ExceptionKind::TypeError) => {
                Raise::type_error(format!("cannot unpack non-iterable {} object", iterable.type_name()))
            }
            _ => raise,
        })
    }

    /// `**mapping` in a call.
    fn update_keywords(&mut self) -> Result<()> {
        let mapping = self.pop();
        let Value::Dict(mapping) = mapping else {
            return Err(Raise::type_error(format!(
                "argument after ** must be a mapping, not {}",
                mapping.type_name()
            )));
        };
        for (key, value) in mapping.iter() {
            let Value::Str(name) = key else {
                return Err(Raise::type_error("keywords must be strings"));
            };
            self.insert_keyword(name.as_str(), value.clone())?;
        }
        Ok(())
    }

    fn insert_keyword(&mut self, name: &str, value: Value) -> Result<()> {
        let Some(Builder::Dict(dict)) = self.builders.last_mut() else { return Ok(()) };
        self.meter.steps(1)?;
        self.meter.dict_entry(dict.len() + 1)?;
        if !dict.insert_str(name.into(), value) {
            return Err(Raise::type_error(format!("got multiple values for keyword argument '{name}'")));
        }
        Ok(())
    }
}

fn capture(frame: &Frame<'_>, code: &Unit) -> Box<[Cell]> {
    code.captures
        .iter()
        .map(|capture| match capture {
            Capture::Cell(index) => frame.cells[usize::from(*index)].clone(),
            Capture::Captured(index) => frame.captured[usize::from(*index)].clone(),
        })
        .collect()
}

#[cold]
fn unbound_local(name: &str) -> Box<Raise> {
    Raise::exception(
        ExceptionKind::UnboundLocalError,
        format!("cannot access local variable '{name}' where it is not associated with a value"),
    )
}

fn is_same_singleton(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::None, Value::None) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        _ => false,
    }
}

/// `ascii()` of a repr: the remaining non-ASCII characters as escapes.
fn escape_non_ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c as u32 {
            code if code < 0x80 => out.push(c),
            code if code < 0x100 => out.push_str(&format!("\\x{code:02x}")),
            code if code < 0x1_0000 => out.push_str(&format!("\\u{code:04x}")),
            code => out.push_str(&format!("\\U{code:08x}")),
        }
    }
    out
}
