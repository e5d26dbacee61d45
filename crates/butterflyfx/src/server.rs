//! Sockets
mod framing;
