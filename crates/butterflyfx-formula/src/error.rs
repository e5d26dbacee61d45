//! What can go wrong: with a formula's text ([`FormulaError`]) and while it runs ([`Raise`]).

use crate::limits::Limit;
use std::fmt;

/// A place in formula text: code points, both from 1, end exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// Line of the first code point, from 1.
    pub line: u32,
    /// Column of the first code point, in code points from 1.
    pub column: u32,
    /// Line of the code point after the last.
    pub end_line: u32,
    /// Column of the code point after the last.
    pub end_column: u32,
}

/// Why a text is not a formula.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FormulaErrorKind {
    /// Not Python.
    Syntax,
    /// Python, but a construct that the language leaves out.
    NotSupported,
    /// A bound refused.
    Limit(Limit),
    /// A default value raised when it was evaluated at creation.
    Evaluation(ExceptionKind),
}

/// A refused formula: what is wrong, where, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FormulaError {
    /// The class of refusal.
    pub kind: FormulaErrorKind,
    /// One sentence a person can act on.
    pub message: String,
    /// Where; `None` when the whole text is meant.
    pub span: Option<Span>,
}

impl fmt::Display for FormulaError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.span {
            Some(span) => write!(out, "line {}, column {}: {}", span.line, span.column, self.message),
            None => out.write_str(&self.message),
        }
    }
}

impl std::error::Error for FormulaError {}

/// The exception types that formulas can raise, named as in Python.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExceptionKind {
    /// `TypeError`
    TypeError,
    /// `ValueError`
    ValueError,
    /// `ZeroDivisionError`
    ZeroDivisionError,
    /// `OverflowError`
    OverflowError,
    /// `KeyError`
    KeyError,
    /// `IndexError`
    IndexError,
    /// `AttributeError`
    AttributeError,
    /// `NameError` (an unbound comprehension variable)
    NameError,
    /// `UnboundLocalError`
    UnboundLocalError,
    /// `StopIteration`
    StopIteration,
    /// `RuntimeError`
    RuntimeError,
}

impl ExceptionKind {
    /// The exception's name in Python.
    pub fn name(self) -> &'static str {
        match self {
            ExceptionKind::TypeError => "TypeError",
            ExceptionKind::ValueError => "ValueError",
            ExceptionKind::ZeroDivisionError => "ZeroDivisionError",
            ExceptionKind::OverflowError => "OverflowError",
            ExceptionKind::KeyError => "KeyError",
            ExceptionKind::IndexError => "IndexError",
            ExceptionKind::AttributeError => "AttributeError",
            ExceptionKind::NameError => "NameError",
            ExceptionKind::UnboundLocalError => "UnboundLocalError",
            ExceptionKind::StopIteration => "StopIteration",
            ExceptionKind::RuntimeError => "RuntimeError",
        }
    }
}

/// Why an evaluation stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RaiseKind {
    /// A Python exception.
    Exception(ExceptionKind),
    /// A bound refused.
    Limit(Limit),
    /// A parameter without value: its name.
    MissingParameter(String),
    /// A value for a name that is no parameter: the name.
    UnexpectedParameter(String),
    /// The result has no JSON form.
    ResultNotJson,
    /// Whoever asked for it stopped it ([`Interrupt`](crate::meter::Interrupt)): this says nothing of the formula.
    Interrupted,
}

/// A stopped evaluation. Boxed inside [`Result`] so that the good path stays 16 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Raise {
    /// The reason.
    pub kind: RaiseKind,
    /// CPython's message where it is stable, else one sentence.
    pub message: String,
    /// The instruction that raised, set by the interpreter: function index and offset in its
    /// code. The text is read again to turn it into a [`Span`], so that templates hold none.
    pub at: Option<(u32, u32)>,
}

/// The result of everything that evaluates.
pub type Result<T> = std::result::Result<T, Box<Raise>>;

impl Raise {
    /// A Python exception with its message.
    #[cold]
    pub fn exception(kind: ExceptionKind, message: impl Into<String>) -> Box<Raise> {
        Box::new(Raise { kind: RaiseKind::Exception(kind), message: message.into(), at: None })
    }

    /// A `TypeError`.
    #[cold]
    pub fn type_error(message: impl Into<String>) -> Box<Raise> {
        Raise::exception(ExceptionKind::TypeError, message)
    }

    /// A `ValueError`.
    #[cold]
    pub fn value_error(message: impl Into<String>) -> Box<Raise> {
        Raise::exception(ExceptionKind::ValueError, message)
    }

    /// An `OverflowError`.
    #[cold]
    pub fn overflow_error(message: impl Into<String>) -> Box<Raise> {
        Raise::exception(ExceptionKind::OverflowError, message)
    }

    /// A `ZeroDivisionError`.
    #[cold]
    pub fn zero_division(message: impl Into<String>) -> Box<Raise> {
        Raise::exception(ExceptionKind::ZeroDivisionError, message)
    }

    /// A refusal by a bound; the sentence says the bound and its value.
    #[cold]
    pub fn limit(limit: Limit, message: impl Into<String>) -> Box<Raise> {
        Box::new(Raise { kind: RaiseKind::Limit(limit), message: message.into(), at: None })
    }

    /// A stop from outside.
    #[cold]
    pub fn interrupted() -> Box<Raise> {
        let message = "the evaluation was stopped by whoever asked for it".to_owned();
        Box::new(Raise { kind: RaiseKind::Interrupted, message, at: None })
    }
}
