//! Built-in functions and types.

pub mod arguments;

use crate::error::Result;
use crate::interpret::{Arguments, Interpreter};
use crate::value::Value;

/// A built-in function or type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Builtin {
    /// `abs`
    Abs,
}

impl Builtin {
    /// The built-in with this name, if the language has it.
    pub fn from_name(_name: &str) -> Option<Builtin> {
        todo!()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        todo!()
    }

    /// The names of all built-ins, for advice in refusals.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["abs"].into_iter()
    }

    /// `type` for a type such as `int`, else `builtin_function_or_method`.
    pub fn type_name(self) -> &'static str {
        todo!()
    }
}

/// Calls a built-in.
pub fn call(_vm: &mut Interpreter, _builtin: Builtin, _arguments: Arguments<'_>) -> Result<Value> {
    todo!()
}
