//! The program as a library, so that tests and tools can start it inside their own process.
//!
//! [`app::App`] is the running program's state; [`http::router`] answers requests;
//! [`server`] owns sockets, limits and shutdown; [`config`] defines every setting once.

pub mod app;
pub mod bench;
pub mod cli;
mod client;
pub mod clock;
pub mod config;
pub mod docs_ui;
pub mod evaluation;
pub mod http;
mod jobs;
pub mod log;
pub mod metrics;
mod restoring;
mod results;
pub mod room;
pub mod server;
mod spool;
mod tidying;
pub mod writing;
