//! The functions and constants of `math`.

use crate::error::Result;
use crate::interpret::{Arguments, Interpreter};
use crate::value::Value;

/// A function of `math`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MathFunction {
    /// `math.sqrt`
    Sqrt,
}

impl MathFunction {
    /// The function with this name, if the language has it.
    pub fn from_name(_name: &str) -> Option<MathFunction> {
        todo!()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        todo!()
    }

    /// The names of all functions, for advice in refusals.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["sqrt"].into_iter()
    }
}

/// The constant with this name: `pi e tau inf nan`.
pub fn constant(_name: &str) -> Option<f64> {
    todo!()
}

/// Calls a function of `math`.
pub fn call(_vm: &mut Interpreter, _function: MathFunction, _arguments: Arguments<'_>) -> Result<Value> {
    todo!()
}
