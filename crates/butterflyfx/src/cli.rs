//! The command line: what is asked, with which settings, and with which code it ends.

pub mod is_ready;
pub mod serve;
mod store;
mod transfer;

use crate::app::VERSION;
use crate::config::{ConfigError, SETTINGS, Sources};
use clap::builder::styling::Styles;
use clap::parser::ValueSource;
use clap::{Arg, ArgAction, ArgMatches, Command};
use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Codes with which the program ends. `docs/configuration.md` explains them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// An error; `is-ready`: not ready.
    Error = 1,
    /// The command line or a setting is wrong.
    Usage = 2,
    /// The data folder is missing, in use, or holds a database where a new one is to be made.
    Folder = 3,
    /// The address cannot be listened on.
    Address = 4,
    /// A second signal cut the shutdown short.
    Interrupted = 5,
    /// The database is damaged, of a later release, or cannot be read or written.
    Store = 7,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

/// The whole command line, as clap sees it.
pub fn command() -> Command {
    let serve = Command::new("serve").about("Run the server (what plain `butterflyfx` does)");
    let is_ready = Command::new("is-ready")
        .about("Ask a running server whether it takes work: exit code 0 if it does, 1 if not")
        .args(settings_args(|name| matches!(name, "host" | "port")));
    let openapi = Command::new("openapi").about("Print the OpenAPI document");
    let completions = Command::new("completions")
        .about("Print a completion script for a shell")
        .arg(Arg::new("shell").required(true).value_parser(clap::value_parser!(clap_complete::Shell)));
    Command::new("butterflyfx")
        .version(VERSION)
        .about("A server for graphs of live formulas")
        .styles(Styles::plain())
        .args_conflicts_with_subcommands(true)
        .args(settings_args(|_| true))
        .subcommand(serve.args(settings_args(|_| true)))
        .subcommand(is_ready)
        .subcommand(openapi)
        .subcommand(crate::bench::command())
        .subcommands(store::commands())
        .subcommands(transfer::commands())
        .subcommand(completions)
}

/// A flag for each setting, and one for the file.
fn settings_args(wanted: fn(&str) -> bool) -> Vec<Arg> {
    let config = crate::config::Config::default();
    let file = Arg::new("config")
        .long("config")
        .value_name("FILE")
        .help("A settings file (TOML) [env: BUTTERFLYFX_CONFIG]")
        .help_heading("Settings file");
    let flags = SETTINGS.iter().filter(|setting| wanted(setting.name)).map(|setting| {
        let mut help = setting.doc.replace('`', "");
        let default = (setting.show)(&config);
        if !default.is_empty() && !setting.is_switch() {
            help.push_str(&format!(" [default: {default}]"));
        }
        let arg = Arg::new(setting.name).long(setting.name).help(help).help_heading(setting.section);
        if setting.is_switch() {
            arg.action(ArgAction::SetTrue)
        } else {
            arg.value_name(setting.value).allow_hyphen_values(true)
        }
    });
    std::iter::once(file).chain(flags).collect()
}

/// The settings given on the command line, with the environment behind them.
fn sources(matches: &ArgMatches) -> Sources {
    let mut sources = Sources::from_environment();
    let names = SETTINGS.iter().map(|setting| (setting.name, setting.is_switch()));
    for (name, is_switch) in names.chain([("config", false)]) {
        // Only `serve` has every flag.
        let is_given = matches.ids().any(|id| id == name)
            && matches.value_source(name) == Some(ValueSource::CommandLine);
        if !is_given {
            continue;
        }
        let value =
            if is_switch { Some("true".to_owned()) } else { matches.get_one::<String>(name).cloned() };
        if let Some(value) = value {
            sources.flags.insert(name.to_owned(), value);
        }
    }
    sources
}

/// Runs the program with these arguments (the program's name first).
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> Exit {
    let matches = match command().try_get_matches_from(arguments) {
        Ok(matches) => matches,
        Err(error) => {
            // Asked-for help and version are no errors.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Ok };
            let _ = error.print();
            return exit;
        }
    };
    if let Err(error) = handle_size_limits() {
        complain(&format!("cannot watch for signals: {error}"));
        return Exit::Error;
    }
    match matches.subcommand() {
        None => serve::run(&sources(&matches)),
        Some(("serve", matches)) => serve::run(&sources(matches)),
        Some(("is-ready", matches)) => is_ready::run(&sources(matches)),
        Some(("openapi", _)) => print(&openapi_json()),
        Some(("bench", matches)) => crate::bench::run(matches),
        Some((name @ ("backup" | "restore" | "verify" | "repair"), matches)) => {
            store::run(name, matches, &sources(matches))
        }
        Some((name @ ("export" | "import"), matches)) => transfer::run(name, matches, &sources(matches)),
        Some(("completions", matches)) => completions(matches),
        Some((other, _)) => {
            complain(&format!("there is no command {other:?}"));
            Exit::Usage
        }
    }
}

/// A write beyond the limit on the size of files (`ulimit -f`) sends a signal that ends the process, unless
/// something handles it: then the write fails, and is answered as on a full disk.
fn handle_size_limits() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _entered = runtime.enter();
    let too_large = SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw());
    // What handles it stays when this ends.
    signal(too_large).map(drop)
}

/// The OpenAPI document as `openapi` prints it and `/openapi.json` holds it.
pub fn openapi_json() -> String {
    match crate::http::openapi().to_pretty_json() {
        Ok(text) => text + "\n",
        // The document is made of plain strings and maps.
        Err(error) => format!("{{\"error\":\"{error}\"}}\n"),
    }
}

fn completions(matches: &ArgMatches) -> Exit {
    let Some(shell) = matches.get_one::<clap_complete::Shell>("shell").copied() else { return Exit::Usage };
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "butterflyfx", &mut script);
    print(&String::from_utf8_lossy(&script))
}

/// Prints data. A reader that has seen enough (`| head`) is no error.
pub(crate) fn print(text: &str) -> Exit {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Exit::Ok,
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Exit::Ok,
        Err(error) => {
            complain(&format!("cannot write: {error}"));
            Exit::Error
        }
    }
}

/// Says on stderr what went wrong.
pub(crate) fn complain(sentence: &str) {
    let _ = writeln!(std::io::stderr(), "butterflyfx: {sentence}");
}

/// Says which setting is wrong.
pub(crate) fn wrong_settings(error: &ConfigError) -> Exit {
    complain(&error.to_string());
    Exit::Usage
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }

    #[test]
    fn flags_become_settings() {
        let given = |arguments: &[&str]| {
            let words = std::iter::once(&"butterflyfx").chain(arguments);
            let matches = command().try_get_matches_from(words).expect("accepted");
            let matches = matches.subcommand().map_or(matches.clone(), |(_, matches)| matches.clone());
            sources(&matches).flags
        };
        assert!(given(&[]).is_empty());
        assert_eq!(given(&["--port", "0"]).get("port").map(String::as_str), Some("0"));
        assert_eq!(given(&["serve", "--port=0"]).get("port").map(String::as_str), Some("0"));
        let open = given(&["serve", "--insecure-no-auth"]);
        assert_eq!(open.get("insecure-no-auth").map(String::as_str), Some("true"));
        assert_eq!(given(&["--in-memory"]).get("in-memory").map(String::as_str), Some("true"));
        assert_eq!(given(&["is-ready", "--port", "81"]).get("port").map(String::as_str), Some("81"));
        assert_eq!(given(&["--workers", "-1"]).get("workers").map(String::as_str), Some("-1"));
    }
}
