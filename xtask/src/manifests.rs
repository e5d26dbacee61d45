//! Rules for manifests: each crate uses only what stands to its left.

use crate::TextFile;

/// The crates in the order of their dependencies.
pub const CHAIN: [&str; 5] =
    ["butterflyfx-formula", "butterflyfx-jit", "butterflyfx-engine", "butterflyfx-store", "butterflyfx"];

/// Dependencies that point the wrong way, and crates that the chain does not know.
pub fn wrong_dependencies(files: &[TextFile]) -> Vec<String> {
    let mut wrong = Vec::new();
    for manifest in files {
        let Some(name) =
            manifest.path.strip_prefix("crates/").and_then(|path| path.strip_suffix("/Cargo.toml"))
        else {
            continue;
        };
        let Some(place) = CHAIN.iter().position(|one| *one == name) else {
            wrong.push(format!("{}: give the crate its place in xtask's CHAIN", manifest.path));
            continue;
        };
        for used in dependencies(&manifest.text) {
            if CHAIN.iter().position(|one| *one == used).is_some_and(|other| other >= place) {
                wrong.push(format!("{}: {name} may not use {used}", manifest.path));
            }
        }
    }
    wrong
}

/// The names in the sections that hold dependencies.
fn dependencies(manifest: &str) -> Vec<&str> {
    let mut names = Vec::new();
    let mut in_section = false;
    for line in manifest.lines() {
        if let Some(section) = line.strip_prefix('[') {
            in_section = section.trim_end().trim_end_matches(']').ends_with("dependencies");
        } else if in_section {
            let name: &str = line
                .split(|one: char| !(one.is_ascii_alphanumeric() || one == '-' || one == '_'))
                .next()
                .unwrap_or_default();
            names.extend((!name.is_empty()).then_some(name));
        }
    }
    names
}
