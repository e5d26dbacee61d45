//! The state in memory: substrates, typed relationships, and evaluation along them.
//!
//! Same commands in the same order give the same state: time and requests come in as
//! arguments. This crate knows no I/O, no clock, no async, no JSON text.

mod change;
mod cursor;
pub mod decide;
pub mod draft;
pub mod engine;
pub mod error;
mod evaluate;
pub mod identity;
pub mod links;
mod lists;
mod merge;
pub mod model;
mod path;
mod read;
pub mod record;
mod relationship_type;
pub mod restore;
mod search;
mod slot_set;
mod state;
mod stats;
#[cfg(test)]
mod tests;
pub mod together;
mod traverse;

pub use engine::Engine;
