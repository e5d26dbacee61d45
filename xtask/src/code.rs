//! Rules for source files.

use crate::TextFile;

/// Lines a file may have. Beyond that it is two subjects.
pub const LINES_MAX: usize = 900;

/// Files that may be longer, each with the reason.
pub const LONG_FILES: [(&str, &str); 0] = [];

/// Words that no source file holds, put together here so that this file does not hold them.
fn unfinished() -> [String; 4] {
    [["to", "do!("], ["unimpl", "emented!("], ["db", "g!("], ["#[ig", "nore"]].map(|parts| parts.concat())
}

/// Places and hosts that only one machine or one registry knows.
fn local_names() -> Vec<String> {
    [
        ["/ro", "ot/"],
        ["/wo", "rk/"],
        ["/ho", "me/"],
        ["/tmp/ba", "sh_jobs"],
        ["static.", "crates.io"],
        ["index.", "crates.io"],
        ["py", "pi.org"],
        ["registry.", "npmjs.org"],
        ["deb.", "debian.org"],
    ]
    .iter()
    .map(|parts| parts.concat())
    .collect()
}

/// Every Rust file opens by saying what it is for.
pub fn opens_with_purpose(file: &TextFile) -> Option<String> {
    let opens = file.text.lines().next().is_some_and(|line| line.starts_with("//!"));
    (file.has_extension("rs") && !opens)
        .then(|| format!("{}:1: open the file with a //! paragraph on what it is for", file.path))
}

/// No source file is long.
pub fn is_short(file: &TextFile) -> Option<String> {
    let lines = file.text.lines().count();
    let counted = ["rs", "py", "ts", "svelte"].iter().any(|one| file.has_extension(one));
    let excepted = LONG_FILES.iter().any(|(path, _)| *path == file.path);
    (counted && lines > LINES_MAX && !excepted)
        .then(|| format!("{}: {lines} lines, more than {LINES_MAX}: split it by subject", file.path))
}

/// Nothing is left open, printed for debugging, or switched off.
pub fn is_finished(file: &TextFile) -> Vec<String> {
    if !file.has_extension("rs") {
        return Vec::new();
    }
    find(file, &unfinished(), "finish it, or say in an error what is not supported")
}

/// The word that opens what the compiler cannot check stands in no file but those of `butterflyfx-jit`.
pub fn is_safe(file: &TextFile) -> Vec<String> {
    if !file.has_extension("rs") || file.path.starts_with("crates/butterflyfx-jit/") {
        return Vec::new();
    }
    let openings = ["{", "fn", "impl", "extern", "trait"].map(|next| ["unsa", "fe ", next].concat());
    find(file, &openings, "write it in safe Rust")
}

/// No name of one machine or registry host.
pub fn is_at_home_anywhere(file: &TextFile) -> Vec<String> {
    if file.path.ends_with("Cargo.lock") {
        return Vec::new();
    }
    find(file, &local_names(), "name no path or host that others do not have")
}

fn find(file: &TextFile, needles: &[String], advice: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, line) in file.text.lines().enumerate() {
        for needle in needles {
            if line.contains(needle.as_str()) {
                found.push(format!("{}:{}: `{needle}`: {advice}", file.path, at + 1));
            }
        }
    }
    found
}
