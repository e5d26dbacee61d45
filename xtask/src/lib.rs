//! House rules: what every file of the project promises, as functions that list what breaks them.
//!
//! `cargo test -p xtask` runs each rule over the whole tree; a rule answers with one line a
//! breach, which says where and what to do. Rules read text, they parse no Rust: a rule that
//! would need to is clippy's.

pub mod code;
pub mod documents;
pub mod manifests;

use std::fs;
use std::path::{Path, PathBuf};

/// Directories that are not the project's own text.
const SKIPPED: [&str; 6] = ["target", "node_modules", "corpus", "artifacts", "vendor", "__pycache__"];

/// One text file of the project.
#[derive(Debug)]
pub struct TextFile {
    /// Where, from the top, with `/` between the parts.
    pub path: String,
    /// What it holds.
    pub text: String,
}

impl TextFile {
    /// Whether the name ends in `.` and this.
    pub fn has_extension(&self, extension: &str) -> bool {
        self.path.rsplit_once('.').is_some_and(|(_, last)| last == extension)
    }

    /// The directory, empty at the top.
    pub fn directory(&self) -> &str {
        self.path.rsplit_once('/').map_or("", |(directory, _)| directory)
    }
}

/// The top of the project.
pub fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().map(Path::to_path_buf).unwrap_or_default()
}

/// What tools keep for themselves begins with a dot.
fn is_skipped(name: &str) -> bool {
    SKIPPED.contains(&name) || (name.starts_with('.') && name != ".ci")
}

/// Every text file below the top, by path.
pub fn files() -> Vec<TextFile> {
    let top = top();
    let mut found = Vec::new();
    let mut waiting = vec![top.clone()];
    while let Some(directory) = waiting.pop() {
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                if !is_skipped(&name) {
                    waiting.push(path);
                }
            } else if kind.is_file()
                && name != ".git"
                && let Ok(text) = fs::read_to_string(&path)
                && let Ok(below) = path.strip_prefix(&top)
            {
                found.push(TextFile { path: below.to_string_lossy().replace('\\', "/"), text });
            }
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    found
}
