//! `butterflyfx backup`, `restore` and `verify`: what an operator does with a data folder.

use super::{Exit, complain, settings_args, wrong_settings};
use crate::config::Sources;
use butterflyfx_store::{Backup, Counts, Report, StoreError};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;
use std::io::Write;
use std::path::PathBuf;

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).value_parser(clap::value_parser!(PathBuf)).help(help)
}

fn as_json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object")
}

/// The commands.
pub(super) fn commands() -> [Command; 3] {
    [
        Command::new("backup")
            .about("Copy a database into one file, also while a server writes to it; the copy is verified")
            .args(data_dir())
            .arg(path("file", "The file to make; it must not be there").required(true))
            .arg(as_json()),
        Command::new("restore")
            .about("Make a data folder from a backup, which is verified first")
            .args(data_dir())
            .arg(path("file", "The backup").required(true))
            .arg(as_json()),
        Command::new("verify")
            .about("Read everything in a database and say all that is wrong with it")
            .args(data_dir())
            .arg(path("file", "A database file, such as a backup, instead of the data folder"))
            .arg(as_json()),
    ]
}

/// The flags by which a command knows the data folder.
pub(super) fn data_dir() -> Vec<Arg> {
    settings_args(|name| name == "data-dir")
}

/// Runs one of the commands.
pub(super) fn run(name: &str, matches: &ArgMatches, sources: &Sources) -> Exit {
    let folder = match sources.resolve() {
        Ok(config) => config.data_dir,
        Err(error) => return wrong_settings(&error),
    };
    let is_json = matches.get_flag("json");
    let file = matches.get_one::<PathBuf>("file");
    match (name, file) {
        ("backup", Some(file)) => copied(butterflyfx_store::backup(&folder, file), "backup", is_json),
        ("restore", Some(file)) => copied(butterflyfx_store::restore(file, &folder), "restored", is_json),
        _ => match butterflyfx_store::verify(file.unwrap_or(&folder)) {
            Ok(report) => verified(&report, is_json),
            Err(error) => failed(&error),
        },
    }
}

pub(super) fn failed(error: &StoreError) -> Exit {
    complain(&error.to_string());
    match error {
        StoreError::Locked { .. } | StoreError::Missing { .. } | StoreError::Exists { .. } => Exit::Folder,
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
    let exit = if report.is_sound() { Exit::Ok } else { Exit::Error };
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
