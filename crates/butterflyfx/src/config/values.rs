//! How the values of settings are written and read: counts, bytes with units, durations with
//! units, names, lists.

use super::{DurabilityLevel, LogFormat, LogLevel};
use butterflyfx_jit::tier::Mode;
use std::time::Duration;

/// A whole number within bounds. Underscores are fine: `1_000_000`.
pub fn read_count(text: &str, low: u64, high: u64) -> Result<u64, String> {
    let number = text.replace('_', "").parse::<u64>();
    match number {
        Ok(number) if (low..=high).contains(&number) => Ok(number),
        _ => Err(format!("must be a whole number from {low} to {high}")),
    }
}

const BYTE_UNITS: [(&str, u64); 8] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("KB", 1_000),
    ("B", 1),
];

/// Bytes within bounds: `8MiB`, `64KiB`, `1000`.
pub fn read_bytes(text: &str, low: u64, high: u64) -> Result<u64, String> {
    let (digits, unit) = BYTE_UNITS
        .iter()
        .find_map(|(name, unit)| text.strip_suffix(name).map(|digits| (digits.trim_end(), *unit)))
        .unwrap_or((text, 1));
    let bytes = digits.replace('_', "").parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match bytes {
        Some(bytes) if (low..=high).contains(&bytes) => Ok(bytes),
        _ => Err(format!(
            "must be a number of bytes from {} to {}, such as 64KiB, 8MiB or 1000",
            show_bytes(low),
            show_bytes(high)
        )),
    }
}

/// The shortest exact form of a number of bytes.
pub fn show_bytes(bytes: u64) -> String {
    match BYTE_UNITS[..3].iter().find(|(_, unit)| bytes >= *unit && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

const TIME_UNITS: [(&str, u64); 4] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000)];

/// A duration within bounds: `10s`, `500ms`, `2m`, `24h`; a bare number is seconds.
pub fn read_duration(text: &str, low: Duration, high: Duration) -> Result<Duration, String> {
    let (digits, unit) = TIME_UNITS
        .iter()
        .find_map(|(name, unit)| text.strip_suffix(name).map(|digits| (digits.trim_end(), *unit)))
        .unwrap_or((text, 1_000));
    let millis = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(unit));
    match millis.map(Duration::from_millis) {
        Some(duration) if (low..=high).contains(&duration) => Ok(duration),
        _ => Err(format!(
            "must be a duration from {} to {}, such as 500ms, 10s or 2m",
            show_duration(low),
            show_duration(high)
        )),
    }
}

/// The shortest exact form of a duration.
pub fn show_duration(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let largest = TIME_UNITS.iter().rev().find(|(_, unit)| millis >= *unit && millis.is_multiple_of(*unit));
    match largest {
        Some((name, unit)) => format!("{}{name}", millis / unit),
        None => format!("{millis}ms"),
    }
}

/// `true`, `yes`, `on`, `1`, and their opposites.
pub fn read_switch(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "1" => Ok(true),
        "false" | "no" | "off" | "0" => Ok(false),
        _ => Err("must be true or false".to_owned()),
    }
}

/// Names separated by commas; blanks around them do not count.
pub fn read_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

/// A level of logging, by our names and by those of Python's `logging`.
pub fn read_log_level(text: &str) -> Result<LogLevel, String> {
    match text.to_ascii_lowercase().as_str() {
        "error" | "critical" | "fatal" => Ok(LogLevel::Error),
        "warn" | "warning" => Ok(LogLevel::Warn),
        "info" => Ok(LogLevel::Info),
        "debug" => Ok(LogLevel::Debug),
        "trace" => Ok(LogLevel::Trace),
        _ => Err("must be error, warn, info, debug or trace".to_owned()),
    }
}

/// The name of a level.
pub fn show_log_level(level: LogLevel) -> String {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
    .to_owned()
}

/// Whether formulas are compiled.
pub fn read_jit(text: &str) -> Result<Mode, String> {
    match text {
        "on" => Ok(Mode::WhenHot),
        "off" => Ok(Mode::Off),
        _ => Err("must be on or off".to_owned()),
    }
}

/// As [`read_jit`] reads it.
pub fn show_jit(mode: Mode) -> String {
    if mode == Mode::Off { "off" } else { "on" }.to_owned()
}

/// A level of durability.
pub fn read_durability(text: &str) -> Result<DurabilityLevel, String> {
    match text {
        "always" => Ok(DurabilityLevel::Always),
        "interval" => Ok(DurabilityLevel::Interval),
        "never" => Ok(DurabilityLevel::Never),
        _ => Err("must be always, interval or never".to_owned()),
    }
}

/// As it is written.
pub fn show_durability(level: DurabilityLevel) -> String {
    match level {
        DurabilityLevel::Always => "always",
        DurabilityLevel::Interval => "interval",
        DurabilityLevel::Never => "never",
    }
    .to_owned()
}

/// A form of log lines.
pub fn read_log_format(text: &str) -> Result<LogFormat, String> {
    match text.to_ascii_lowercase().as_str() {
        "text" => Ok(LogFormat::Text),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be text or json".to_owned()),
    }
}

/// The name of a form.
pub fn show_log_format(format: LogFormat) -> String {
    match format {
        LogFormat::Text => "text",
        LogFormat::Json => "json",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_read_with_and_without_units() {
        let check = |text: &str, expected: Option<u64>| {
            assert_eq!(read_bytes(text, 1, 1 << 40).ok(), expected, "{text}");
        };
        check("1000", Some(1000));
        check("1_000", Some(1000));
        check("64KiB", Some(65_536));
        check("64 KiB", Some(65_536));
        check("8MiB", Some(8 << 20));
        check("1GB", Some(1_000_000_000));
        check("12B", Some(12));
        check("0", None);
        check("", None);
        check("-1", None);
        check("1.5MiB", None);
        check("99999999999999999999", None);
        check("18446744073709551615GiB", None);
    }

    #[test]
    fn durations_are_read_with_and_without_units() {
        let check = |text: &str, expected: Option<u64>| {
            let read = read_duration(text, Duration::from_millis(1), Duration::from_secs(86_400));
            assert_eq!(read.ok(), expected.map(Duration::from_millis), "{text}");
        };
        check("10s", Some(10_000));
        check("10", Some(10_000));
        check("500ms", Some(500));
        check("2m", Some(120_000));
        check("24h", Some(86_400_000));
        check("25h", None);
        check("0s", None);
        check("fast", None);
        check("s", None);
    }

    #[test]
    fn what_is_shown_is_read_back() {
        for bytes in [1, 1000, 1024, 1 << 20, 3 << 20, 1 << 30, 1_000_001] {
            assert_eq!(read_bytes(&show_bytes(bytes), 0, u64::MAX), Ok(bytes));
        }
        for millis in [1, 999, 1_000, 60_000, 61_000, 86_400_000] {
            let duration = Duration::from_millis(millis);
            assert_eq!(read_duration(&show_duration(duration), Duration::ZERO, Duration::MAX), Ok(duration));
        }
    }
}
