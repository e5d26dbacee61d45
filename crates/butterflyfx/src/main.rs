//! The `butterflyfx` program.
fn main() {}
