//! Integration tests of the formula language, a module for each promise.

mod builtins;
mod hostile;
mod python_cases;
mod refusals;
mod support;
