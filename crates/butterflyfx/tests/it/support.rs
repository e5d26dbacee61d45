//! Starts a server inside the test process, on a port of its own.
