//! Each house rule over the whole tree, and over texts that break it.

use xtask::{TextFile, code, documents, files, manifests};

/// Fails with every breach, so that one run shows all of them.
fn check(breaches: Vec<String>) {
    assert!(breaches.is_empty(), "\n{}\n", breaches.join("\n"));
}

fn file(path: &str, text: &str) -> TextFile {
    TextFile { path: path.into(), text: text.into() }
}

#[test]
fn every_module_says_what_it_is_for() {
    check(files().iter().filter_map(code::opens_with_purpose).collect());
}

#[test]
fn no_file_is_long() {
    check(files().iter().filter_map(code::is_short).collect());
}

#[test]
fn nothing_is_left_open() {
    check(files().iter().flat_map(code::is_finished).collect());
}

#[test]
fn all_code_is_safe() {
    check(files().iter().flat_map(code::is_safe).collect());
}

#[test]
fn no_machine_is_named() {
    check(files().iter().flat_map(code::is_at_home_anywhere).collect());
}

#[test]
fn links_lead_somewhere() {
    check(documents::broken_links(&files()));
}

#[test]
fn every_page_can_be_found() {
    check(documents::lost_pages(&files()));
}

#[test]
fn crates_depend_in_one_direction() {
    check(manifests::wrong_dependencies(&files()));
}

#[test]
fn changelog_has_an_unreleased_section() {
    let has = files()
        .iter()
        .any(|file| file.path == "CHANGELOG.md" && file.text.lines().any(|line| line == "## Unreleased"));
    assert!(has, "CHANGELOG.md needs a line `## Unreleased`");
}

#[test]
fn breaches_are_seen() {
    let bad = file("crates/x/src/a.rs", &format!("fn a() {{ {}) }}\n", ["to", "do!("].concat()));
    assert!(code::opens_with_purpose(&bad).is_some());
    assert_eq!(code::is_finished(&bad).len(), 1);
    let bad = file("crates/x/src/b.rs", &["//! b\nuns", "afe fn b() {}\n"].concat());
    assert!(code::opens_with_purpose(&bad).is_none());
    assert_eq!(code::is_safe(&bad).len(), 1);
    let bad = file("docs/c.md", &["see /ro", "ot/c"].concat());
    assert_eq!(code::is_at_home_anywhere(&bad).len(), 1);
    let long = file("crates/x/src/d.rs", &"\n".repeat(code::LINES_MAX + 1));
    assert!(code::is_short(&long).is_some());
}

#[test]
fn links_are_read_as_pages_mean_them() {
    let readme = file("docs/README.md", "[a](a.md) [b](../X.md#two-words) [c](https://x/y)\n`[d](d.md)`\n");
    let found: Vec<(String, String)> =
        documents::links(&readme).into_iter().map(|link| (link.path, link.anchor)).collect();
    assert_eq!(found, [("docs/a.md".into(), "".into()), ("X.md".into(), "two-words".into())]);
    let lost = [readme, file("docs/a.md", ""), file("docs/lost.md", ""), file("X.md", "# Two `words`!\n")];
    assert_eq!(documents::lost_pages(&lost).len(), 1);
    assert_eq!(documents::broken_links(&lost), Vec::<String>::new());
}

#[test]
fn dependencies_the_wrong_way_are_seen() {
    let up = file(
        "crates/butterflyfx-formula/Cargo.toml",
        "[dependencies]\nbutterflyfx-engine.workspace = true\n",
    );
    let down =
        file("crates/butterflyfx/Cargo.toml", "[dependencies]\nbutterflyfx-engine = { path = \"\" }\n");
    let unknown = file("crates/other/Cargo.toml", "");
    assert_eq!(manifests::wrong_dependencies(&[up, down, unknown]).len(), 2);
}
