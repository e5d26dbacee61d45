//! The `butterflyfx` program: all of it is in the library, see `cli`.

use std::process::ExitCode;

/// Given back to the system sooner, and faster, than by the system's own allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    butterflyfx::cli::run(std::env::args_os()).into()
}
