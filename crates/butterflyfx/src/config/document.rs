//! `docs/configuration.md`, made from the table of settings.

use super::{Config, SETTINGS};
use std::fmt::Write;

/// The text of the document.
pub fn configuration_markdown() -> String {
    let mut out = String::from(INTRODUCTION);
    let config = Config::default();
    let mut section = "";
    for setting in SETTINGS {
        if setting.section != section {
            section = setting.section;
            let _ = write!(out, "\n## {section}\n");
        }
        let value = if setting.is_switch() { String::new() } else { format!(" {}", setting.value) };
        let _ = write!(out, "\n### `--{}{value}`\n\n{}\n\n", setting.name, setting.doc);
        let default = (setting.show)(&config);
        let default = if default.is_empty() { "empty".to_owned() } else { format!("`{default}`") };
        let _ = write!(out, "Default: {default}. Environment: `{}`", setting.variable());
        match setting.old_variable {
            Some(old) => {
                let _ = writeln!(out, ", or `{old}` as the old server had it.");
            }
            None => out.push_str(".\n"),
        }
    }
    out
}

const INTRODUCTION: &str = "\
# Settings

This file is made from the program's own table of settings, and a test compares them.

A setting is looked for in this order: a flag (`--port 8001`), an environment variable
(`BUTTERFLYFX_PORT=8001`), the settings file, the default. `butterflyfx --help` shows the flags.

The settings file is TOML with the flags' names as keys. It is named by `--config FILE` or
`BUTTERFLYFX_CONFIG`; without either, no file is read. An unknown key is an error.

```toml
host = \"127.0.0.1\"
port = 8001
log-format = \"json\"
idle-timeout = \"2m\"
body-max = \"16MiB\"
cors-origins = [\"https://app.example.com\"]
```

Bytes are written `1000`, `64KiB` or `8MiB`; durations `500ms`, `10s`, `2m` or `24h`, and a bare
number is seconds. An environment variable that is set but empty counts as not set.

The state is kept in the folder that `--data-dir` names ([storage](storage.md)); with `--in-memory` it is gone when
the program ends.

## Exit codes

| code | meaning |
|---|---|
| 0 | done; for `serve`: shut down in order; for `is-ready`: ready |
| 1 | an error; for `is-ready`: not ready; for `verify`: something is wrong with the database; for `repair`: something was lost |
| 2 | the command line or a setting is wrong, or a public address was asked for without `--insecure-no-auth` |
| 3 | the data folder is missing, or in use by another process, or holds a database where a new one is to be made |
| 4 | the address cannot be listened on: the port is taken, or not ours to take |
| 5 | a second signal cut the shutdown short |
| 7 | the database is damaged, of a later release, or cannot be read or written |
";
