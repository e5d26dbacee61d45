//! The formula language: untrusted text becomes a checked formula here, with one meaning.
//!
//! A formula is a Python expression and means what CPython 3.13 means. The way of a formula:
//! [`scan`] bounds its nesting, [`parse`] turns text into our own syntax tree and refuses what
//! the language leaves out, [`lower`] resolves names and emits a [`template`] (instructions
//! without constants) and the formula's constants; [`interpret`] runs the two with parameters.
//! Formulas that differ only in constants share one template.
//!
//! This crate knows no files, no sockets, no machine code.

mod ast;
pub mod builtins;
pub mod code;
pub mod dict;
pub mod document;
pub mod error;
mod expression_type;
pub mod format;
pub mod formula;
pub mod interpret;
pub mod json;
pub mod limits;
mod lower;
pub mod math;
pub mod meter;
pub mod methods;
pub mod number;
pub mod operate;
mod parse;
mod scan;
pub mod sequence;
pub mod shape;
mod teardown;
mod template;
#[cfg(test)]
mod testing;
pub mod text;
pub mod value;
