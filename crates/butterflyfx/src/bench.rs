//! Benchmarks that are part of the product: an operator runs them on the machine that will serve.

use crate::cli::Exit;
use clap::{ArgMatches, Command};

/// The command line of `bench`.
pub fn command() -> Command {
    Command::new("bench").about("Measure this machine").subcommand_required(true).arg_required_else_help(true)
}

/// Runs the scenario that was asked for.
pub fn run(_matches: &ArgMatches) -> Exit {
    Exit::Usage
}
