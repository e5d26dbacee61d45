//! The program over real sockets. One binary; a module for each promise.

mod api;
mod docs_ui;
mod documents;
mod durable;
mod load;
mod program;
mod results;
mod support;
mod transfer;
mod transport;
