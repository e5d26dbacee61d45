//! `butterflyfx backup`, `restore`, `verify` and `repair`: what an operator does with a data folder.

use super::transfer::bar;
use super::{Exit, complain, settings_args, wrong_settings};
use crate::config::Sources;
use butterflyfx_store::{Backup, Counts, Progress, Repaired, Report, StoreError, Tell};
use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::json;
use std::io::Write;
use std::path::{Path, PathBuf};

fn path(name: &'static str, help: &'static str) -> Arg {
    Arg::new(name).value_name(name).value_parser(clap::value_parser!(PathBuf)).help(help)
}

fn as_json() -> Arg {
    Arg::new("json").long("json").action(ArgAction::SetTrue).help("Print one JSON object")
}

/// The commands.
pub(super) fn commands() -> [Command; 4] {
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
        Command::new("repair")
            .about("Make a data folder of what can still be read of a damaged database, which is not changed")
            .arg(path("damaged", "The damaged data folder or database file").required(true))
            .arg(path("into", "The new data folder; it must not hold a database").long("into").required(true))
            .arg(as_json()),
    ]
}

/// The flags by which a command knows the data folder.
pub(super) fn data_dir() -> Vec<Arg> {
    settings_args(|name| name == "data-dir")
}

/// Runs one of the commands.
pub(super) fn run(name: &str, matches: &ArgMatches, sources: &Sources) -> Exit {
    if let ("repair", Some(damaged), Some(into)) = (name, given(matches, "damaged"), given(matches, "into")) {
        return repair(damaged, into, matches.get_flag("json"));
    }
    let folder = match sources.resolve() {
        Ok(config) => config.data_dir,
        Err(error) => return wrong_settings(&error),
    };
    let is_json = matches.get_flag("json");
    let file = given(matches, "file");
    match (name, file) {
        ("backup", Some(file)) => {
            copied(shown(|tell| butterflyfx_store::backup_with(&folder, file, tell)), "backup", is_json)
        }
        ("restore", Some(file)) => {
            copied(shown(|tell| butterflyfx_store::restore_with(file, &folder, tell)), "restored", is_json)
        }
        _ => match shown(|tell| butterflyfx_store::verify_with(file.unwrap_or(&folder), tell)) {
            Ok(report) => verified(&report, is_json),
            Err(error) => failed(&error),
        },
    }
}

/// A path, of a command that knows one by this name.
fn given<'a>(matches: &'a ArgMatches, name: &str) -> Option<&'a Path> {
    matches.try_get_one::<PathBuf>(name).ok().flatten().map(PathBuf::as_path)
}

/// Shows on a terminal how far work is.
fn shown<T>(work: impl FnOnce(&mut Tell<'_>) -> T) -> T {
    let bar = bar(0, "{msg:16} {wide_bar} {human_pos} of {human_len}, {elapsed}");
    let outcome = work(&mut |Progress { doing, done, of }| {
        bar.set_message(doing);
        bar.set_length(of.max(done));
        bar.set_position(done);
    });
    bar.finish_and_clear();
    outcome
}

fn repair(damaged: &Path, into: &Path, is_json: bool) -> Exit {
    match shown(|tell| butterflyfx_store::repair(damaged, into, tell)) {
        Ok(repaired) => salvaged(&repaired, is_json),
        Err(error) => failed(&error),
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
            "damaged: restore a backup with `butterflyfx restore`, or salvage what can be read with `butterflyfx repair`"
        }
    ));
    let printed = print(&text);
    if printed == Exit::Ok { exit } else { printed }
}

fn salvaged(repaired: &Repaired, is_json: bool) -> Exit {
    let exit = if repaired.is_whole { Exit::Ok } else { Exit::Error };
    let Repaired { path, bytes, salvaged, digest, committed, left_out, is_whole, complaints, seconds } =
        repaired;
    let printed = if is_json {
        print(
            &json!({
                "file": path,
                "whole": is_whole,
                "salvaged": counts(salvaged),
                "committed": committed.as_ref().map(counts),
                "left_out": left_out,
                "complaints": complaints,
                "bytes": bytes,
                "digest": digest.to_string(),
                "seconds": seconds,
            })
            .to_string(),
        )
    } else {
        let mut text = format!("repaired: {}\n", path.display());
        for complaint in complaints {
            text.push_str(&format!("  wrong: {complaint}\n"));
        }
        for (what, part) in PARTS {
            let found = part(salvaged);
            let line = match committed.as_ref().map(part) {
                Some(all) => {
                    format!("{found} of {all} {what} salvaged, {} lost\n", all.saturating_sub(found))
                }
                None => format!("{found} {what} salvaged\n"),
            };
            text.push_str(&line);
        }
        text.push_str(&format!(
            "{left_out} rows were read and left out\n{bytes} bytes, in {seconds:.1} s, digest {digest}\n{}",
            match (is_whole, committed) {
                (true, _) => "whole: all is as it was committed",
                (false, Some(_)) => "not whole: something was lost or is not as it was",
                (false, None) => "how many there were cannot be read, so something may be lost",
            }
        ));
        print(&text)
    };
    if printed == Exit::Ok { exit } else { printed }
}

/// What there may be of each kind of record.
type Part = fn(&Counts) -> u64;

const PARTS: [(&str, Part); 4] = [
    ("substrates", |counts| counts.substrates),
    ("relationships", |counts| counts.relationships),
    ("indexes", |counts| counts.indexes),
    ("kept answers", |counts| counts.answers),
];

fn print(text: &str) -> Exit {
    match writeln!(std::io::stdout(), "{text}") {
        Ok(()) => Exit::Ok,
        // Whoever reads has seen enough.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(_) => Exit::Error,
    }
}
