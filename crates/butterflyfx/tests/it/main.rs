//! The program over real sockets. One binary; a module for each promise.

mod support;
mod transport;
