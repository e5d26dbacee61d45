//! Documents that the program itself writes. `UPDATE_EXPECT=1` writes them anew.

use std::path::Path;

#[test]
fn the_settings_document_is_the_table_of_settings() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let expected = butterflyfx::config::document::configuration_markdown();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        std::fs::write(&path, &expected).expect("write");
    }
    let found = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(found == expected, "docs/configuration.md is out of date: run the tests with UPDATE_EXPECT=1");
}
