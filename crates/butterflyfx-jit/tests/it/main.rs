//! Tests of machine code: that it means what the interpreter means, and how it comes and goes.

mod columns;
mod covered;
mod grammar;
mod life;
mod one_meaning;
mod support;
