//! Logging: to stderr, as text or JSON, and panics too.

use crate::config::{Config, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::time::SystemTime;

/// Starts logging as the settings say. The first call of the process wins.
pub fn start(config: &Config) {
    let level = match config.log_level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let to_terminal = std::io::IsTerminal::is_terminal(&std::io::stderr());
    let is_colored = to_terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let builder =
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_timer(SystemTime);
    let started = match config.log_format {
        LogFormat::Text => builder.with_ansi(is_colored).with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    if started.is_ok() {
        std::panic::set_hook(Box::new(log_panic));
    }
}

/// A panic is one log line like any other; whoever catches it answers for it.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let message = panic.payload_as_str().unwrap_or("no message");
    let place = panic.location().map(ToString::to_string).unwrap_or_default();
    let thread = std::thread::current();
    tracing::error!(message, place, thread = thread.name().unwrap_or("?"), "panic");
}
