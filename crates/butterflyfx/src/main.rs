//! The `butterflyfx` program: all of it is in the library, see `cli`.

use std::process::ExitCode;

/// Keeps little beside what is in use, and gives back the rest while the server is idle; see
/// `docs/decisions/0010-jemalloc.md`.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    butterflyfx::cli::run(std::env::args_os()).into()
}
