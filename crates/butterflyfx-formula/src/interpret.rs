//! The reference interpreter.

use crate::error::Result;
use crate::meter::Meter;
use crate::text::Text;
use crate::value::{Items, Value};
use std::sync::{Arc, Mutex};

/// What a call is given.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// In order.
    pub positional: &'a [Value],
    /// By name, in order, each name once.
    pub keywords: &'a [(Text, Value)],
}

/// An inner lambda with what it captured.
#[derive(Debug)]
pub struct Function {}

/// An iterator's state. The plain variants serve `for` loops and built-ins without a lock;
/// [`Iter::Shared`] steps an iterator that is a value.
#[derive(Debug)]
pub enum Iter {
    /// A list or tuple from `at` on.
    Items {
        /// elements
        items: Arc<Items>,
        /// next
        at: usize,
    },
    /// A list or tuple backwards; `left` elements to go.
    ItemsReversed {
        /// elements
        items: Arc<Items>,
        /// to go
        left: usize,
    },
    /// A range: next element, step, elements to go.
    Range {
        /// next
        next: i64,
        /// step
        step: i64,
        /// to go
        left: u64,
    },
    /// The code points of a str from byte `at` on.
    Text {
        /// text
        text: Text,
        /// byte offset
        at: usize,
    },
    /// The code points of a str backwards, those before byte `left`.
    TextReversed {
        /// text
        text: Text,
        /// byte offset
        left: usize,
    },
    /// Keys, values or items of a dict, forwards from `at` (or backwards with `left` to go).
    View {
        /// view
        view: crate::value::View,
        /// next
        at: usize,
        /// end
        end: usize,
        /// reversed
        reversed: bool,
    },
    /// `map(function, *sources)`
    Map {
        /// called
        function: Value,
        /// arguments
        sources: Vec<Iter>,
    },
    /// `filter(function, source)`; `None` keeps what is true.
    Filter {
        /// called
        function: Value,
        /// elements
        source: Box<Iter>,
    },
    /// `zip(*sources, strict=)`
    Zip {
        /// elements
        sources: Vec<Iter>,
        /// all the same length
        strict: bool,
    },
    /// `enumerate(source, start)`
    Enumerate {
        /// elements
        source: Box<Iter>,
        /// next number, an int of any size
        number: Value,
    },
    /// An iterator that is a value.
    Shared(Arc<Mutex<Iter>>),
    /// Nothing more.
    Exhausted,
}

impl Iter {
    /// The name of the iterator's type in CPython.
    pub fn type_name(&self) -> &'static str {
        todo!()
    }
}

/// Runs templates. Holds the stack and the meter, so one per thread is kept and used again.
#[derive(Debug)]
pub struct Interpreter {
    /// The account of the running invocation.
    pub meter: Meter,
}

impl Interpreter {
    /// Calls any callable value; `TypeError` ("'int' object is not callable") for others.
    pub fn call(&mut self, _function: &Value, _arguments: Arguments<'_>) -> Result<Value> {
        todo!()
    }

    /// `iter(value)`; `TypeError` ("'int' object is not iterable").
    pub fn iterate(&mut self, _value: &Value) -> Result<Iter> {
        todo!()
    }

    /// The next element; pays one step.
    pub fn next(&mut self, _iter: &mut Iter) -> Result<Option<Value>> {
        todo!()
    }

    /// All elements; pays a step and memory for each, as [`Meter::list`].
    pub fn collect(&mut self, _value: &Value) -> Result<Vec<Value>> {
        todo!()
    }
}
