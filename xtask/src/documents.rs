//! Rules for documents: links lead somewhere, and every page can be found.

use crate::TextFile;
use std::collections::{BTreeMap, BTreeSet};

/// A link in Markdown to somewhere in the project.
#[derive(Debug, PartialEq, Eq)]
pub struct Link {
    /// Line, from 1.
    pub line: usize,
    /// Path from the top.
    pub path: String,
    /// What stands behind `#`; empty without.
    pub anchor: String,
}

/// The links of a page that stay inside the project.
pub fn links(page: &TextFile) -> Vec<Link> {
    let mut found = Vec::new();
    for (line, text) in prose(&page.text) {
        let mut rest = text.as_str();
        while let Some(at) = rest.find("](") {
            rest = &rest[at + 2..];
            let Some(end) = rest.find(')') else { break };
            let target = &rest[..end];
            rest = &rest[end..];
            if target.contains("://") || target.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
            let path = if path.is_empty() { page.path.clone() } else { join(page.directory(), path) };
            found.push(Link { line, path, anchor: anchor.into() });
        }
    }
    found
}

/// The lines of a page that are not inside a code block, inline code left out, with their numbers.
fn prose(text: &str) -> Vec<(usize, String)> {
    let mut lines = Vec::new();
    let mut in_block = false;
    for (at, line) in text.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            let outside: String = line.split('`').step_by(2).collect();
            lines.push((at + 1, outside));
        }
    }
    lines
}

fn join(directory: &str, path: &str) -> String {
    let mut parts: Vec<&str> = directory.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// The anchors that a page's headings make, as code hosts make them.
pub fn anchors(page: &TextFile) -> BTreeSet<String> {
    let mut made: BTreeSet<String> = BTreeSet::new();
    let mut in_block = false;
    for line in page.text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        let title = line.trim_start_matches('#');
        if in_block || title.len() == line.len() || !title.starts_with(' ') {
            continue;
        }
        let plain: String = title
            .trim()
            .to_lowercase()
            .chars()
            .filter_map(|one| match one {
                ' ' => Some('-'),
                one if one.is_alphanumeric() || one == '-' || one == '_' => Some(one),
                _ => None,
            })
            .collect();
        let again = (1..).map(|number| format!("{plain}-{number}"));
        let name = std::iter::once(plain.clone()).chain(again).find(|name| !made.contains(name));
        made.extend(name);
    }
    made
}

/// Links that lead nowhere.
pub fn broken_links(files: &[TextFile]) -> Vec<String> {
    let by_path: BTreeMap<&str, &TextFile> = files.iter().map(|file| (file.path.as_str(), file)).collect();
    let mut broken = Vec::new();
    for page in files.iter().filter(|file| file.has_extension("md")) {
        for link in links(page) {
            let is_directory = files
                .iter()
                .any(|file| file.path.strip_prefix(&link.path).is_some_and(|below| below.starts_with('/')));
            let target = by_path.get(link.path.as_str());
            let place = format!("{}:{}", page.path, link.line);
            if target.is_none() && !is_directory && !crate::top().join(&link.path).exists() {
                broken.push(format!("{place}: there is no {}", link.path));
            } else if let Some(target) = target
                && target.has_extension("md")
                && !link.anchor.is_empty()
                && !anchors(target).contains(&link.anchor)
            {
                broken.push(format!("{place}: {} has no heading #{}", link.path, link.anchor));
            }
        }
    }
    broken
}

/// Pages below `docs/` that no chain of links reaches from `docs/README.md`.
pub fn lost_pages(files: &[TextFile]) -> Vec<String> {
    let pages: BTreeMap<&str, &TextFile> =
        files.iter().filter(|file| file.has_extension("md")).map(|file| (file.path.as_str(), file)).collect();
    let mut reached: BTreeSet<String> = BTreeSet::new();
    let mut waiting = vec![String::from("docs/README.md")];
    while let Some(path) = waiting.pop() {
        if let Some(page) = pages.get(path.as_str())
            && reached.insert(path)
        {
            waiting.extend(links(page).into_iter().map(|link| link.path));
        }
    }
    pages
        .keys()
        .filter(|path| path.starts_with("docs/") && !reached.contains(**path))
        .map(|path| format!("{path}: link it from docs/README.md or a page that is linked there"))
        .collect()
}
