//! `butterflyfx backup`, `restore` and `verify`: what an operator does with a data folder.

use super::{Exit, complain};
use butterflyfx_store::{Backup, Counts, Report, StoreError};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).required(true).value_parser(clap::value_parser!(PathBuf)).help(help)
}

fn as_json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object")
}

/// The commands.
pub(super) fn commands() -> [Command; 3] {
    [
        Command::new("backup")
            .about("Copy a database into one file, also while a server writes to it; the copy is verified")
            .arg(path("from", "The data folder (or a database file)"))
            .arg(path("to", "The file to make; it must not be there"))
            .arg(as_json()),
        Command::new("restore")
            .about("Make a data folder from a backup, which is verified first")
            .arg(path("backup", "The backup"))
            .arg(path("folder", "The data folder to make; it must hold no database"))
            .arg(as_json()),
        Command::new("verify")
            .about("Read everything in a database and say all that is wrong with it")
            .arg(path("from", "The data folder, or a database file"))
            .arg(as_json()),
    ]
}

fn given(matches: &ArgMatches, name: &str) -> PathBuf {
    matches.get_one::<PathBuf>(name).cloned().unwrap_or_default()
}

/// Runs one of the commands.
pub(super) fn run(name: &str, matches: &ArgMatches) -> Exit {
    let is_json = matches.get_flag("json");
    match name {
        "backup" => copied(
            butterflyfx_store::backup(&given(matches, "from"), &given(matches, "to")),
            "backup",
            is_json,
        ),
        "restore" => copied(
            butterflyfx_store::restore(&given(matches, "backup"), &given(matches, "folder")),
            "restored",
            is_json,
        ),
        _ => match butterflyfx_store::verify(&given(matches, "from")) {
            Ok(report) => verified(&report, is_json),
            Err(error) => failed(&error),
        },
    }
}

pub(super) fn failed(error: &StoreError) -> Exit {
    complain(&error.to_string());
    match error {
        StoreError::Locked { .. } => Exit::InUse,
        StoreError::Missing { .. } | StoreError::Exists { .. } => Exit::Usage,
        _ => Exit::Store,
    }
}

fn counts(counts: &Counts) -> serde_json::Value {
    json!({
        "substrates": counts.substrates,
        "relationships": counts.relationships,
        "indexes": counts.indexes,
        "kept_answers": counts.answers,
    })
}

fn copied(outcome: Result<Backup, StoreError>, what: &str, is_json: bool) -> Exit {
    let copy = match outcome {
        Ok(copy) => copy,
        Err(error) => return failed(&error),
    };
    if is_json {
        return print(
            &json!({
                "file": copy.path,
                "bytes": copy.bytes,
                "counts": counts(&copy.counts),
                "digest": copy.digest.to_string(),
                "seconds": copy.seconds,
            })
            .to_string(),
        );
    }
    let Counts { substrates, relationships, .. } = copy.counts;
    print(&format!(
        "{what}: {}\n{substrates} substrates, {relationships} relationships, {} bytes, in {:.1} s\ndigest {}",
        copy.path.display(),
        copy.bytes,
        copy.seconds,
        copy.digest
    ))
}

fn verified(report: &Report, is_json: bool) -> Exit {
    let exit = if report.problems.is_empty() { Exit::Ok } else { Exit::Store };
    if is_json {
        let printed = print(
            &json!({
                "file": report.path,
                "sound": report.problems.is_empty(),
                "problems": report.problems,
                "bytes": report.bytes,
                "counts": counts(&report.counts),
                "digest": report.digest.to_string(),
            })
            .to_string(),
        );
        return if printed == Exit::Ok { exit } else { printed };
    }
    let mut text = format!("{}\n", report.path.display());
    for problem in &report.problems {
        text.push_str(&format!("  wrong: {problem}\n"));
    }
    let Counts { substrates, relationships, indexes, .. } = report.counts;
    text.push_str(&format!(
        "{substrates} substrates, {relationships} relationships, {indexes} indexes read, digest {}\n{}",
        report.digest,
        if report.problems.is_empty() {
            "sound: all is as it was committed"
        } else {
            "damaged: restore a backup with `butterflyfx restore`"
        }
    ));
    let printed = print(&text);
    if printed == Exit::Ok { exit } else { printed }
}

fn print(text: &str) -> Exit {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Exit::Ok,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(_) => Exit::Error,
    }
}
