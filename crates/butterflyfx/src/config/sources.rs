//! Where values of settings come from, and which wins: flag, environment, file, default.

use super::settings::{SETTINGS, Setting};
use super::{Config, HttpSettings};
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;

/// What was given, before it is resolved.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    /// Flags, by the setting's name. The file's path is `config`.
    pub flags: BTreeMap<String, String>,
    /// Environment variables, by their whole name.
    pub environment: BTreeMap<String, String>,
}

/// A setting that cannot be used, and where it came from. One sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// The environment variable that names the settings file.
pub const FILE_VARIABLE: &str = "BUTTERFLYFX_CONFIG";

impl Sources {
    /// The environment of this process, without flags.
    pub fn from_environment() -> Sources {
        let text = |os: std::ffi::OsString| os.to_string_lossy().into_owned();
        Sources {
            flags: BTreeMap::new(),
            environment: std::env::vars_os().map(|(name, value)| (text(name), text(value))).collect(),
        }
    }

    /// The settings in force.
    ///
    /// # Errors
    /// The first value that is not acceptable, with its source; an unreadable or unknown part of the file.
    pub fn resolve(&self) -> Result<Config, ConfigError> {
        let mut config = Config::default();
        let file = self.file()?;
        for setting in SETTINGS {
            let Some((value, source)) = self.value_of(setting, &file) else { continue };
            (setting.set)(&mut config, &value).map_err(|wanted| {
                ConfigError(format!("{source} is {value:?}, but {} {wanted}", setting.name))
            })?;
        }
        check_whole(&config)?;
        Ok(config)
    }

    /// Variables that begin like ours but name no setting: most likely misspelt.
    pub fn unknown_variables(&self) -> Vec<&str> {
        self.environment
            .keys()
            .map(String::as_str)
            .filter(|name| name.starts_with("BUTTERFLYFX_") && *name != FILE_VARIABLE)
            .filter(|name| !SETTINGS.iter().any(|setting| setting.variable() == *name))
            // Container platforms announce the address of a service of our name this way.
            .filter(|name| {
                !name.starts_with("BUTTERFLYFX_SERVICE_") && !name.starts_with("BUTTERFLYFX_PORT_")
            })
            .collect()
    }

    /// The value that wins, and a name for where it stood.
    fn value_of(&self, setting: &Setting, file: &BTreeMap<String, String>) -> Option<(String, String)> {
        if let Some(value) = self.flags.get(setting.name) {
            return Some((value.clone(), format!("--{}", setting.name)));
        }
        let variables = [Some(setting.variable()), setting.old_variable.map(str::to_owned)];
        for name in variables.into_iter().flatten() {
            match self.environment.get(&name) {
                // Container platforms set BUTTERFLYFX_PORT=tcp://10.0.0.1:8000 beside a service of our name.
                Some(value) if value.is_empty() || value.starts_with("tcp://") => {}
                Some(value) => return Some((value.clone(), format!("the environment variable {name}"))),
                None => {}
            }
        }
        file.get(setting.name)
            .map(|value| (value.clone(), format!("{:?} in the settings file", setting.name)))
    }

    /// The keys and values of the settings file; none where no file is named.
    fn file(&self) -> Result<BTreeMap<String, String>, ConfigError> {
        let from_environment = || self.environment.get(FILE_VARIABLE).filter(|path| !path.is_empty());
        let Some(path) = self.flags.get("config").or_else(from_environment) else {
            return Ok(BTreeMap::new());
        };
        let text = std::fs::read_to_string(path)
            .map_err(|error| ConfigError(format!("cannot read the settings file {path:?}: {error}")))?;
        let table = text.parse::<toml::Table>().map_err(|error| {
            ConfigError(format!("the settings file {path:?} is not TOML: {}", error.message()))
        })?;
        let mut values = BTreeMap::new();
        for (key, value) in table {
            if !SETTINGS.iter().any(|setting| setting.name == key) {
                return Err(ConfigError(format!(
                    "the settings file {path:?} has an unknown setting {key:?}"
                )));
            }
            let value = text_of(&value).ok_or_else(|| {
                ConfigError(format!(
                    "{key:?} in the settings file {path:?} must be a string, a number, true, false or a list of strings"
                ))
            })?;
            values.insert(key, value);
        }
        Ok(values)
    }
}

/// A TOML value as a flag would give it.
fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Boolean(switch) => Some(switch.to_string()),
        toml::Value::Array(items) => {
            let texts: Option<Vec<&str>> = items.iter().map(toml::Value::as_str).collect();
            Some(texts?.join(","))
        }
        _ => None,
    }
}

/// Whether a host name or address is this machine only.
pub fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

/// What no setting can see by itself.
fn check_whole(config: &Config) -> Result<(), ConfigError> {
    if !is_loopback(&config.host) && !config.insecure_no_auth {
        return Err(ConfigError(format!(
            "others could reach {}, and nobody is asked who they are: listen on 127.0.0.1 (and put a \
             proxy that checks callers in front), or say --insecure-no-auth if everyone who can reach \
             it may read, change and delete everything",
            config.host
        )));
    }
    let HttpSettings { body_max, batch_body_max, .. } = &config.http;
    if batch_body_max < body_max {
        return Err(ConfigError("batch-body-max must not be smaller than body-max".to_owned()));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(flags: &[(&str, &str)], environment: &[(&str, &str)]) -> Sources {
        let map = |pairs: &[(&str, &str)]| {
            pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
        };
        Sources { flags: map(flags), environment: map(environment) }
    }

    #[test]
    fn a_flag_beats_the_environment_beats_the_old_name_beats_the_default() {
        let check = |flags: &[(&str, &str)], environment: &[(&str, &str)], port: u16| {
            assert_eq!(sources(flags, environment).resolve().map(|config| config.port), Ok(port));
        };
        check(&[], &[], 8000);
        check(&[], &[("PORT", "8001")], 8001);
        check(&[], &[("PORT", "8001"), ("BUTTERFLYFX_PORT", "8002")], 8002);
        check(&[("port", "8003")], &[("PORT", "8001"), ("BUTTERFLYFX_PORT", "8002")], 8003);
        check(&[], &[("BUTTERFLYFX_PORT", "")], 8000);
        check(&[], &[("BUTTERFLYFX_PORT", "tcp://10.0.0.1:8000"), ("PORT", "8001")], 8001);
    }

    #[test]
    fn a_bad_value_names_its_source() {
        let check = |flags: &[(&str, &str)], environment: &[(&str, &str)], expected: &str| {
            let error = sources(flags, environment).resolve().expect_err(expected);
            assert!(error.0.contains(expected), "{error}");
        };
        check(
            &[("port", "http")],
            &[],
            "--port is \"http\", but port must be a whole number from 0 to 65535",
        );
        check(&[], &[("WORKERS", "-1")], "the environment variable WORKERS is \"-1\"");
        check(&[], &[("LOG_LEVEL", "loud")], "must be error, warn, info, debug or trace");
        check(&[("head-max", "1KiB")], &[], "from 8KiB to 1MiB");
        check(&[], &[("BUTTERFLYFX_IN_MEMORY", "perhaps")], "BUTTERFLYFX_IN_MEMORY");
        check(&[("durability", "sometimes")], &[], "must be always, interval or never");
        check(&[("host", "0.0.0.0")], &[], "--insecure-no-auth");
        check(&[("host", "::")], &[], "--insecure-no-auth");
        check(&[("host", "example.com")], &[], "--insecure-no-auth");
        check(&[("config", "/no/such/file")], &[], "cannot read the settings file");
        check(&[("body-max", "16MiB"), ("batch-body-max", "1MiB")], &[], "must not be smaller");
    }

    #[test]
    fn loopback_addresses_need_no_leave() {
        for host in ["127.0.0.1", "127.8.8.8", "::1", "[::1]", "localhost", "::ffff:127.0.0.1"] {
            let resolved = sources(&[("host", host)], &[]).resolve();
            assert!(resolved.is_ok(), "{host}: {resolved:?}");
        }
        let open = sources(&[("host", "0.0.0.0"), ("insecure-no-auth", "true")], &[]).resolve();
        assert!(open.is_ok());
    }

    #[test]
    fn misspelt_variables_are_found() {
        let given = sources(
            &[],
            &[
                ("BUTTERFLYFX_PROT", "1"),
                ("BUTTERFLYFX_PORT", "1"),
                ("BUTTERFLYFX_SERVICE_HOST", "10.0.0.1"),
                ("PATH", "/bin"),
            ],
        );
        assert_eq!(given.unknown_variables(), ["BUTTERFLYFX_PROT"]);
    }

    #[test]
    fn each_default_is_acceptable_and_reads_back() {
        for setting in SETTINGS {
            let mut config = Config::default();
            let shown = (setting.show)(&config);
            assert_eq!((setting.set)(&mut config, &shown), Ok(()), "{}", setting.name);
            assert_eq!(config, Config::default(), "{}", setting.name);
        }
    }
}
