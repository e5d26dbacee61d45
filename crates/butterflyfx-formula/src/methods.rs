//! Methods of str, dict, list, tuple, int, float and range.

use crate::error::Result;
use crate::interpret::{Arguments, Interpreter};
use crate::value::Value;

/// A method name that some type of the language has. Which type is known when it is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Method {
    /// `.get`
    Get,
}

impl Method {
    /// The method with this name, if any type has it.
    pub fn from_name(_name: &str) -> Option<Method> {
        todo!()
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        todo!()
    }

    /// The names of all methods, for advice in refusals.
    pub fn names() -> impl Iterator<Item = &'static str> {
        ["get"].into_iter()
    }
}

/// Whether the value's type has the method.
pub fn has(_receiver: &Value, _method: Method) -> bool {
    todo!()
}

/// Calls a method; `AttributeError` where the type has none of that name.
pub fn call(
    _vm: &mut Interpreter,
    _receiver: &Value,
    _method: Method,
    _arguments: Arguments<'_>,
) -> Result<Value> {
    todo!()
}
