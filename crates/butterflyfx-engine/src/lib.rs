//! The state in memory: substrates, typed relationships, and evaluation along them.
//!
//! Same commands in the same order give the same state: time and requests come in as
//! arguments. This crate knows no I/O, no clock, no async, no JSON text.

pub mod engine;
pub mod error;
pub mod identity;
pub mod model;

pub use engine::Engine;
