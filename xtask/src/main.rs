//! House rules and generated documents. Its checks are ordinary tests.
fn main() {}
