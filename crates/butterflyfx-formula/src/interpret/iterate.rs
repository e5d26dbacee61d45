//! Iteration: over sequences in place, over lazy iterators by steps.

use super::frame::Frame;
use super::{Arguments, Cell, Interpreter, Program};
use crate::error::{Raise, Result};
use crate::operate::{self, BinaryOp};
use crate::teardown::drop_children;
use crate::template::Template;
use crate::text::Text;
use crate::value::{Items, Value, View, ViewKind};
use std::cell::OnceCell;
use std::sync::{Arc, Mutex, TryLockError};

/// An iterator's state. The plain variants serve `for` loops and built-ins without a lock;
/// [`Iter::Shared`] steps an iterator that is a value.
#[derive(Debug)]
pub enum Iter {
    /// A list or tuple from `at` on.
    Items {
        /// The elements.
        items: Arc<Items>,
        /// The next.
        at: usize,
    },
    /// A list or tuple backwards.
    ItemsReversed {
        /// The elements.
        items: Arc<Items>,
        /// How many are to come.
        left: usize,
    },
    /// A range.
    Range {
        /// The next element.
        next: i64,
        /// The distance.
        step: i64,
        /// How many are to come.
        left: u64,
    },
    /// The code points of a str.
    Text {
        /// The text.
        text: Text,
        /// Byte offset of the next.
        at: usize,
    },
    /// The code points of a str backwards.
    TextReversed {
        /// The text.
        text: Text,
        /// Those before this byte offset are to come.
        left: usize,
    },
    /// Keys, values or items of a dict.
    View {
        /// The view.
        view: View,
        /// First position to come.
        at: usize,
        /// Position after the last to come.
        end: usize,
        /// Whether it goes from the end.
        reversed: bool,
    },
    /// `map(function, *sources)`
    Map {
        /// What is called.
        function: Value,
        /// Where its arguments come from.
        sources: Vec<Iter>,
    },
    /// `filter(function, source)`; `None` keeps what is true.
    Filter {
        /// The test.
        function: Value,
        /// Where elements come from.
        source: Box<Iter>,
    },
    /// `zip(*sources, strict=)`
    Zip {
        /// Where elements come from.
        sources: Vec<Iter>,
        /// Whether all must end together.
        strict: bool,
    },
    /// `enumerate(source, start)`
    Enumerate {
        /// Where elements come from.
        source: Box<Iter>,
        /// The next number, an int of any size.
        number: Value,
    },
    /// A generator expression.
    Generator(Box<Generator>),
    /// An iterator that is a value.
    Shared(Arc<Mutex<Iter>>),
    /// Nothing more.
    Exhausted,
}

/// A suspended generator: its frame without the interpreter.
#[derive(Debug)]
pub struct Generator {
    pub(super) template: Arc<Template>,
    pub(super) constants: Arc<[Value]>,
    pub(super) unit: u16,
    pub(super) at: usize,
    pub(super) captured: Box<[Cell]>,
    /// Made when it first runs.
    pub(super) cells: Option<Vec<Cell>>,
    pub(super) locals: Vec<Value>,
    pub(super) loops: Vec<Iter>,
}

impl Iter {
    /// The name of the iterator's type in CPython.
    pub fn type_name(&self) -> &'static str {
        match self {
            Iter::Items { .. } => "list_iterator",
            Iter::ItemsReversed { .. } => "list_reverseiterator",
            Iter::Range { .. } => "range_iterator",
            Iter::Text { .. } => "str_iterator",
            Iter::TextReversed { .. } => "reversed",
            Iter::View { view, reversed, .. } => match (view.kind, reversed) {
                (ViewKind::Keys, false) => "dict_keyiterator",
                (ViewKind::Values, false) => "dict_valueiterator",
                (ViewKind::Items, false) => "dict_itemiterator",
                (ViewKind::Keys, true) => "dict_reversekeyiterator",
                (ViewKind::Values, true) => "dict_reversevalueiterator",
                (ViewKind::Items, true) => "dict_reverseitemiterator",
            },
            Iter::Map { .. } => "map",
            Iter::Filter { .. } => "filter",
            Iter::Zip { .. } => "zip",
            Iter::Enumerate { .. } => "enumerate",
            Iter::Generator(_) => "generator",
            Iter::Shared(_) | Iter::Exhausted => "iterator",
        }
    }

    /// Takes out what it holds, for dropping without deep recursion.
    fn children(&mut self) -> Vec<Value> {
        let as_value = |iter: Iter| Value::Iterator(Arc::new(Mutex::new(iter)));
        match self {
            Iter::Map { function, sources } => {
                let mut children: Vec<Value> = std::mem::take(sources).into_iter().map(as_value).collect();
                children.push(std::mem::replace(function, Value::None));
                children
            }
            Iter::Filter { function, source } => {
                let source = std::mem::replace(&mut **source, Iter::Exhausted);
                vec![as_value(source), std::mem::replace(function, Value::None)]
            }
            Iter::Zip { sources, .. } => std::mem::take(sources).into_iter().map(as_value).collect(),
            Iter::Enumerate { source, .. } => {
                vec![as_value(std::mem::replace(&mut **source, Iter::Exhausted))]
            }
            Iter::Generator(generator) => {
                let mut children = std::mem::take(&mut generator.locals);
                children.extend(std::mem::take(&mut generator.loops).into_iter().map(as_value));
                let cells = generator.cells.take().unwrap_or_default();
                for cell in std::mem::take(&mut generator.captured).into_iter().chain(cells) {
                    if let Some(cell) = Arc::into_inner(cell)
                        && let Ok(Some(value)) = cell.into_inner()
                    {
                        children.push(value);
                    }
                }
                children
            }
            _ => Vec::new(),
        }
    }
}

impl Drop for Iter {
    fn drop(&mut self) {
        if let Iter::Map { .. }
        | Iter::Filter { .. }
        | Iter::Zip { .. }
        | Iter::Enumerate { .. }
        | Iter::Generator(_) = self
        {
            drop_children(self.children());
        }
    }
}

impl Interpreter {
    /// `iter(value)`.
    ///
    /// # Errors
    /// `TypeError` ("'int' object is not iterable").
    pub fn iterate(&mut self, value: &Value) -> Result<Iter> {
        Ok(match value {
            Value::List(items) | Value::Tuple(items) => Iter::Items { items: items.clone(), at: 0 },
            Value::Range(range) => Iter::Range { next: range.start, step: range.step, left: range.len() },
            Value::Str(text) => Iter::Text { text: text.clone(), at: 0 },
            Value::Dict(dict) => Iter::View {
                view: View { kind: ViewKind::Keys, dict: dict.clone() },
                at: 0,
                end: dict.len(),
                reversed: false,
            },
            Value::View(view) => {
                Iter::View { view: (**view).clone(), at: 0, end: view.dict.len(), reversed: false }
            }
            Value::Iterator(iterator) => Iter::Shared(iterator.clone()),
            other => {
                return Err(Raise::type_error(format!("'{}' object is not iterable", other.type_name())));
            }
        })
    }

    /// The next element; pays one step.
    ///
    /// # Errors
    /// What a lazy iterator raises; limits.
    pub fn next(&mut self, iter: &mut Iter) -> Result<Option<Value>> {
        self.meter.steps(1)?;
        match iter {
            Iter::Items { items, at } => {
                let element = items.get(*at).cloned();
                *at += 1;
                Ok(element)
            }
            Iter::Range { next, step, left } => {
                if *left == 0 {
                    return Ok(None);
                }
                let element = *next;
                *left -= 1;
                *next = next.wrapping_add(*step);
                Ok(Some(Value::Int(element)))
            }
            Iter::ItemsReversed { items, left } => {
                let Some(before) = left.checked_sub(1) else { return Ok(None) };
                *left = before;
                Ok(items.get(before).cloned())
            }
            Iter::Text { text, at } => {
                let Some(c) = text.as_str()[*at..].chars().next() else { return Ok(None) };
                *at += c.len_utf8();
                self.meter.bytes(40)?;
                Ok(Some(character(c)))
            }
            Iter::TextReversed { text, left } => {
                let Some(c) = text.as_str()[..*left].chars().next_back() else { return Ok(None) };
                *left -= c.len_utf8();
                self.meter.bytes(40)?;
                Ok(Some(character(c)))
            }
            Iter::View { view, at, end, reversed } => {
                if at >= end {
                    return Ok(None);
                }
                let position = if *reversed {
                    *end -= 1;
                    *end
                } else {
                    *at += 1;
                    *at - 1
                };
                let Some((key, value)) = view.dict.entry(position) else { return Ok(None) };
                Ok(Some(match view.kind {
                    ViewKind::Keys => key.clone(),
                    ViewKind::Values => value.clone(),
                    ViewKind::Items => {
                        self.meter.list(2)?;
                        Value::tuple(vec![key.clone(), value.clone()])
                    }
                }))
            }
            Iter::Exhausted => Ok(None),
            _ => {
                self.meter.enter_nested()?;
                let result = self.next_lazy(iter);
                self.meter.leave_nested();
                // What has ended or raised stays ended, and lets go of what it held. But CPython's
                // `map` and `zip` do not know that they ended: asked again, they advance their
                // first iterators once more.
                if !matches!(result, Ok(Some(_)))
                    && !matches!(iter, Iter::Shared(_) | Iter::Map { .. } | Iter::Zip { .. })
                {
                    *iter = Iter::Exhausted;
                }
                result
            }
        }
    }

    fn next_lazy(&mut self, iter: &mut Iter) -> Result<Option<Value>> {
        match iter {
            Iter::Map { function, sources } => {
                let mut arguments = smallvec::SmallVec::<[Value; 2]>::new();
                for source in sources.iter_mut() {
                    match self.next(source)? {
                        Some(value) => arguments.push(value),
                        None => return Ok(None),
                    }
                }
                let function = function.clone();
                self.call(&function, Arguments::positional(&arguments)).map(Some)
            }
            Iter::Filter { function, source } => {
                let function = function.clone();
                while let Some(value) = self.next(source)? {
                    let keep = match &function {
                        Value::None => value.truth(),
                        function => {
                            self.call(function, Arguments::positional(std::slice::from_ref(&value)))?.truth()
                        }
                    };
                    if keep {
                        return Ok(Some(value));
                    }
                }
                Ok(None)
            }
            Iter::Zip { sources, strict } => self.next_zip(sources, *strict),
            Iter::Enumerate { source, number } => {
                let Some(value) = self.next(source)? else { return Ok(None) };
                self.meter.list(2)?;
                let after = operate::binary(&mut self.meter, BinaryOp::Add, number, &Value::Int(1))?;
                let number = std::mem::replace(number, after);
                Ok(Some(Value::tuple(vec![number, value])))
            }
            Iter::Generator(generator) => self.next_of_generator(generator),
            Iter::Shared(shared) => {
                let shared = shared.clone();
                let mut inner = match shared.try_lock() {
                    Ok(inner) => inner,
                    Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                    Err(TryLockError::WouldBlock) => {
                        return Err(Raise::value_error("generator already executing"));
                    }
                };
                self.next(&mut inner)
            }
            _ => Ok(None),
        }
    }

    fn next_zip(&mut self, sources: &mut [Iter], strict: bool) -> Result<Option<Value>> {
        if sources.is_empty() {
            return Ok(None);
        }
        self.meter.list(sources.len())?;
        let mut values = Vec::with_capacity(sources.len());
        for index in 0..sources.len() {
            match self.next(&mut sources[index])? {
                Some(value) => values.push(value),
                None if !strict => return Ok(None),
                None if index > 0 => return Err(zip_error("shorter", index)),
                None => {
                    for (later, source) in sources.iter_mut().enumerate().skip(1) {
                        if self.next(source)?.is_some() {
                            return Err(zip_error("longer", later));
                        }
                    }
                    return Ok(None);
                }
            }
        }
        Ok(Some(Value::tuple(values)))
    }

    fn next_of_generator(&mut self, generator: &mut Generator) -> Result<Option<Value>> {
        let base = self.stack.len();
        let loops = self.loops.len();
        let shared = OnceCell::from(generator.constants.clone());
        let program =
            Program { template: &generator.template, constants: &generator.constants, shared: &shared };
        let mut frame = Frame::new(&program, generator.unit, base, &generator.captured);
        match generator.cells.take() {
            None => self.enter(&mut frame)?,
            Some(cells) => {
                self.stack.append(&mut generator.locals);
                frame.cells = cells;
                frame.at = generator.at;
            }
        }
        self.loops.append(&mut generator.loops);
        let value = self.run(&mut frame)?;
        if frame.has_yielded {
            generator.at = frame.at;
            generator.cells = Some(frame.cells);
            generator.locals.extend(self.stack.drain(base..));
            generator.loops.extend(self.loops.drain(loops..));
            Ok(Some(value))
        } else {
            self.stack.truncate(base);
            Ok(None)
        }
    }

    /// All elements; pays a step and memory for each, as [`Meter::list`](crate::meter::Meter::list).
    ///
    /// # Errors
    /// `TypeError` where the value is not iterable; what a lazy iterator raises; limits.
    pub fn collect(&mut self, value: &Value) -> Result<Vec<Value>> {
        if let Value::List(items) | Value::Tuple(items) = value {
            self.meter.list(items.len())?;
            self.meter.steps(items.len() as u64)?;
            return Ok(items.to_vec());
        }
        let mut iter = self.iterate(value)?;
        let mut collected = Vec::new();
        if let Iter::Range { left, .. } = &iter {
            // A range that is too long is refused before its first element.
            self.meter.list_length(usize::try_from(*left).unwrap_or(usize::MAX))?;
        }
        while let Some(element) = self.next(&mut iter)? {
            self.meter.list_length(collected.len() + 1)?;
            self.meter.bytes(16)?;
            collected.push(element);
        }
        Ok(collected)
    }
}

fn character(c: char) -> Value {
    let mut buffer = [0; 4];
    Value::Str(Text::from(&*c.encode_utf8(&mut buffer)))
}

/// CPython's message: `which` argument of `zip(strict=True)` ended early or late.
#[cold]
fn zip_error(what: &str, index: usize) -> Box<Raise> {
    let others = if index == 1 { "argument 1".to_owned() } else { format!("arguments 1-{index}") };
    Raise::value_error(format!("zip() argument {} is {what} than {others}", index + 1))
}
