//! A checked formula: what registering keeps and evaluating runs.

use crate::dict::Dict;
use crate::error::{FormulaError, Raise, Result, Span};
use crate::interpret::Interpreter;
use crate::limits::Limits;
use crate::value::Value;
use std::sync::Arc;

/// How formula text is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExpressionType {
    /// A Python lambda.
    Lambda,
    /// The body alone; its free names are the parameters.
    Formula,
    /// The text of a JSON value.
    Constant,
}

impl ExpressionType {
    /// The name in answers.
    pub fn name(self) -> &'static str {
        match self {
            ExpressionType::Lambda => "lambda",
            ExpressionType::Formula => "formula",
            ExpressionType::Constant => "constant",
        }
    }

    /// The type with this name.
    pub fn from_name(name: &str) -> Option<ExpressionType> {
        [ExpressionType::Lambda, ExpressionType::Formula, ExpressionType::Constant]
            .into_iter()
            .find(|one| one.name() == name)
    }
}

/// Code shared by all formulas that differ only in constants.
#[derive(Debug)]
pub struct Template {}

impl Template {
    /// Names of the parameters in the signature's order, `**kw` aside.
    pub fn parameters(&self) -> &[Arc<str>] {
        todo!()
    }

    /// Whether parameter `index` has a default.
    pub fn has_default(&self, _index: usize) -> bool {
        todo!()
    }

    /// Whether any name is accepted (`**kw`; also a constant, which ignores them).
    pub fn accepts_any(&self) -> bool {
        todo!()
    }

    /// Whether an evaluation is short by its form alone: no loop, call of an inner lambda or
    /// growing value, so that it may run on a network thread.
    pub fn is_short(&self) -> bool {
        todo!()
    }
}

/// The templates in use, so that equal code is shared. One per process; safe to share.
#[derive(Debug, Default)]
pub struct Templates {}

impl Templates {
    /// The number of templates in use.
    pub fn len(&self) -> usize {
        todo!()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A checked formula.
#[derive(Clone, Debug)]
pub struct Formula {
    /// Its code.
    pub template: Arc<Template>,
    /// Its constants, in the order the code numbers them.
    pub constants: Arc<[Value]>,
    /// Values of its defaults, evaluated at creation, in the order of the signature.
    pub defaults: Arc<[Value]>,
}

impl Formula {
    /// Reads, checks and lowers a text.
    ///
    /// # Errors
    /// What is wrong, where, and what to write instead.
    pub fn new(
        _kind: ExpressionType,
        _text: &str,
        _limits: &Limits,
        _templates: &Templates,
    ) -> std::result::Result<Formula, FormulaError> {
        todo!()
    }

    /// Evaluates with parameters by name. Resets the interpreter's meter unless `go_on`, which
    /// lets several formulas share one budget.
    pub fn evaluate(&self, _vm: &mut Interpreter, _parameters: &Arc<Dict>) -> Result<Value> {
        todo!()
    }

    /// Where a raise happened; reads the text again.
    pub fn span_of(_kind: ExpressionType, _text: &str, _raise: &Raise, _limits: &Limits) -> Option<Span> {
        todo!()
    }
}
