//! Checked formulas as machine code.
//!
//! A template is compiled once for all formulas that differ only in constants, for the kinds of values (int, float, bool) that were
//! seen: [`compile`] turns its instructions into Cranelift's, [`code`] owns the memory that they run from, [`tier`] decides what is
//! worth it and falls back to the interpreter, [`columns`] does the same for many rows together.
//!
//! The interpreter is the reference. Machine code computes only what it computes the same way: whatever is out of the
//! ordinary (an int beyond 64 bits, an exception, another type) makes it hand over, and the interpreter begins from the
//! start. Formulas have no effects, so that nobody can tell, and steps are counted the same.
//!
//! This crate knows no registry, no files, no network. It is the one home of `unsafe`.

pub mod code;
pub mod columns;
pub mod compile;
pub mod kind;
mod support;
pub mod tier;
