//! The table of settings. To add one: a field in [`Config`] with its default, and a row here.

use super::values::*;
use super::{Config, KIB, MIB};
use std::time::Duration;

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The flag without `--`; also the key in the settings file. In upper case with underscores
    /// and `BUTTERFLYFX_` in front it is the environment variable.
    pub name: &'static str,
    /// The heading it stands under.
    pub section: &'static str,
    /// What a value looks like; empty for a switch.
    pub value: &'static str,
    /// What it is for.
    pub doc: &'static str,
    /// The environment variable of the old Python server, honoured where ours is not set.
    pub old_variable: Option<&'static str>,
    /// The value in force, as it would be written.
    pub show: fn(&Config) -> String,
    /// Sets it from text, or says what would be acceptable.
    pub set: fn(&mut Config, &str) -> Result<(), String>,
}

impl Setting {
    /// The name of its environment variable.
    pub fn variable(&self) -> String {
        format!("BUTTERFLYFX_{}", self.name.to_ascii_uppercase().replace('-', "_"))
    }

    /// Whether the flag takes no value.
    pub fn is_switch(&self) -> bool {
        self.value.is_empty()
    }
}

/// A row: how to read and show a field, by the kind of its value.
macro_rules! setting {
    (@row $section:expr, $name:literal, $value:expr, $old:expr, $show:expr, $set:expr, $doc:expr) => {
        Setting {
            name: $name,
            section: $section,
            value: $value,
            doc: $doc,
            old_variable: $old,
            show: $show,
            set: $set,
        }
    };
    ($section:expr, $name:literal, count $($field:ident).+ : $type:ty, $low:expr, $high:expr, $old:expr, $doc:expr) => {
        setting!(@row $section, $name, "N", $old, |config| config.$($field).+.to_string(), |config, text| {
            config.$($field).+ = read_count(text, $low, $high)? as $type;
            Ok(())
        }, $doc)
    };
    ($section:expr, $name:literal, bytes $($field:ident).+ : $type:ty, $low:expr, $high:expr, $doc:expr) => {
        setting!(@row $section, $name, "BYTES", None, |config| show_bytes(config.$($field).+ as u64), |config, text| {
            config.$($field).+ = read_bytes(text, $low, $high)? as $type;
            Ok(())
        }, $doc)
    };
    ($section:expr, $name:literal, duration $($field:ident).+, $low:expr, $high:expr, $doc:expr) => {
        setting!(@row $section, $name, "DURATION", None, |config| show_duration(config.$($field).+), |config, text| {
            config.$($field).+ = read_duration(text, $low, $high)?;
            Ok(())
        }, $doc)
    };
    ($section:expr, $name:literal, duration_ms $($field:ident).+, $low:expr, $high:expr, $doc:expr) => {
        setting!(@row $section, $name, "DURATION", None, |config| {
            show_duration(Duration::from_millis(config.$($field).+))
        }, |config, text| {
            config.$($field).+ = read_duration(text, $low, $high)?.as_millis() as u64;
            Ok(())
        }, $doc)
    };
    ($section:expr, $name:literal, list $($field:ident).+, $doc:expr) => {
        setting!(@row $section, $name, "NAMES", None, |config| config.$($field).+.join(","), |config, text| {
            config.$($field).+ = read_list(text);
            Ok(())
        }, $doc)
    };
}

const LISTENING: &str = "Listening";
const STORAGE: &str = "Storage";
const LOGGING: &str = "Logging";
const TIMEOUTS: &str = "Timeouts";
const SIZES: &str = "Sizes";
const BROWSERS: &str = "Browsers";
const WORK: &str = "Work";
const FORMULAS: &str = "Formula limits";

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(86_400);

/// Recursion over nested text, values and calls is bounded by these settings; a worker's stack
/// (8 MiB) is sized for this much.
const LEVELS_MAX: u64 = 128;

/// All settings, in the order they are documented.
pub static SETTINGS: &[Setting] = &[
    setting!(@row LISTENING, "host", "ADDRESS", Some("HOST"), |config| config.host.clone(), |config, text| {
        if text.is_empty() || text.contains(char::is_whitespace) {
            return Err("must be an address or a host name, such as 127.0.0.1, ::1 or localhost".to_owned());
        }
        config.host = text.trim_start_matches('[').trim_end_matches(']').to_owned();
        Ok(())
    }, "The address to listen on. Any but a loopback address needs `--insecure-no-auth`, because nobody is asked who they are."),
    setting!(LISTENING, "port", count port: u16, 0, 65_535, Some("PORT"),
        "The port to listen on. 0 takes a free one and prints it."),
    setting!(@row LISTENING, "insecure-no-auth", "", None, |config| config.insecure_no_auth.to_string(), |config, text| {
        config.insecure_no_auth = read_switch(text)?;
        Ok(())
    }, "Listen on an address that others can reach although anyone who reaches it may read, change and delete everything."),
    setting!(LISTENING, "workers", count workers: u64, 0, 1_024, Some("WORKERS"),
        "Network threads. 0 means one for each processor. (The old server's workers were processes, each with data of its own; these share one.)"),
    setting!(LISTENING, "connections-max", count http.connections_max: usize, 1, 1_000_000, None,
        "Connections open at once. One more is answered 503 with `Retry-After`."),
    setting!(LISTENING, "backlog", count http.backlog: u32, 1, 65_535, None,
        "Connections the kernel may hold until they are accepted."),
    setting!(@row STORAGE, "data-dir", "FOLDER", None, |config| config.data_dir.display().to_string(), |config, text| {
        if text.is_empty() {
            return Err("must name a folder, such as /var/lib/butterflyfx".to_owned());
        }
        config.data_dir = text.into();
        Ok(())
    }, "The folder that holds the database. It is made where it is not there, and belongs to one server at a time."),
    setting!(@row STORAGE, "in-memory", "", None, |config| config.in_memory.to_string(), |config, text| {
        config.in_memory = read_switch(text)?;
        Ok(())
    }, "Keep the state in memory only, so that it is gone when the program ends. No data folder is touched."),
    setting!(@row STORAGE, "durability", "LEVEL", None, |config| show_durability(config.durability), |config, text| {
        config.durability = read_durability(text)?;
        Ok(())
    }, "What an acknowledged change survives. `always`: power loss, because it is synced to the disk before the answer. `interval`: the death of the process, and power loss but for the last `durability-interval`. `never`: the death of the process only; power loss may damage the database."),
    setting!(STORAGE, "durability-interval", duration durability_interval, MS, HOUR,
        "How often changes are synced to the disk with `--durability interval`."),
    setting!(STORAGE, "store-cache", bytes store_cache: u64, MIB, 64 * 1024 * MIB,
        "Bytes of pages that the database keeps in memory. The state is in memory anyway, so this only speeds up deletes and changes of what is old."),
    setting!(STORAGE, "disk-free-min", bytes disk_free_min: u64, 0, 1024 * 1024 * MIB,
        "Bytes that stay free on the disk of the data folder, beside what the database's log needs. Below that, what creates or changes is answered 507, while reading and deleting go on. 0 tries until the disk is full."),
    setting!(STORAGE, "max-memory", bytes max_memory: u64, 0, 1024 * 1024 * MIB,
        "Resident bytes of the process from which on what creates or changes is answered 507, so that the kernel does not end it. 0 means no bound. Leave a few hundred megabytes to the machine."),
    setting!(@row LOGGING, "log-level", "LEVEL", Some("LOG_LEVEL"), |config| show_log_level(config.log_level), |config, text| {
        config.log_level = read_log_level(text)?;
        Ok(())
    }, "How much is logged: error, warn, info, debug (one line for each request) or trace."),
    setting!(@row LOGGING, "log-format", "FORMAT", None, |config| show_log_format(config.log_format), |config, text| {
        config.log_format = read_log_format(text)?;
        Ok(())
    }, "`text` for people, `json` for one JSON object a line. Logs go to stderr."),
    setting!(TIMEOUTS, "first-byte-timeout", duration http.first_byte_timeout, MS, HOUR,
        "A new connection that sends nothing for this long is closed."),
    setting!(TIMEOUTS, "header-timeout", duration http.header_timeout, MS, HOUR,
        "The head of a request must be complete this long after its first byte."),
    setting!(TIMEOUTS, "body-timeout", duration http.body_timeout, MS, HOUR,
        "A request body that makes no progress for this long is answered 408."),
    setting!(TIMEOUTS, "body-rate-min", bytes http.body_rate_min: u64, 0, 1024 * MIB,
        "Bytes a second that a request body must average once it has taken longer than `body-timeout`. 0 means any rate will do."),
    setting!(TIMEOUTS, "write-timeout", duration http.write_timeout, MS, HOUR,
        "A client that takes nothing of its answer for this long is disconnected."),
    setting!(TIMEOUTS, "idle-timeout", duration http.idle_timeout, MS, DAY,
        "A kept-alive connection without a request for this long is closed."),
    setting!(TIMEOUTS, "shutdown-delay", duration http.shutdown_delay, Duration::ZERO, HOUR,
        "After SIGTERM, `/readyz` says no for this long before connections are refused, so that a load balancer can notice."),
    setting!(TIMEOUTS, "drain-timeout", duration http.drain_timeout, Duration::ZERO, HOUR,
        "At shutdown, requests being answered get this long to finish."),
    setting!(SIZES, "head-max", bytes http.head_max: usize, 8 * KIB, MIB,
        "Bytes of a request's line and headers. More is answered 431."),
    setting!(SIZES, "headers-max", count http.headers_max: usize, 10, 1_000, None,
        "Headers of a request. More is answered 431."),
    setting!(SIZES, "body-max", bytes http.body_max: u64, KIB, 1024 * MIB,
        "Bytes of a request body. More is answered 413."),
    setting!(SIZES, "batch-body-max", bytes http.batch_body_max: u64, KIB, 1024 * 1024 * MIB,
        "Bytes of a streamed body: a batch (NDJSON) or a table (Arrow, CSV). More is answered 413."),
    setting!(SIZES, "http2-streams-max", count http.http2_streams_max: u32, 1, 10_000, None,
        "HTTP/2 requests open at once on one connection."),
    setting!(BROWSERS, "allowed-hosts", list http.allowed_hosts,
        "Host names that requests may be addressed to, separated by commas; others are answered 403. Empty allows any."),
    setting!(BROWSERS, "cors-origins", list http.cors_origins,
        "Origins whose pages may call this server from a browser (CORS), separated by commas, such as `https://app.example.com`. Empty allows none but the server's own pages; credentials are never allowed."),
    setting!(WORK, "evaluation-threads", count evaluation_threads: u64, 0, 1_024, None,
        "Threads for evaluations and queries that may take long. 0 means one for each processor."),
    setting!(WORK, "evaluation-queue", count evaluation_queue: usize, 1, 1_000_000, None,
        "Evaluations and queries that may wait for a thread. One more is answered 503 with `Retry-After`. One address may have as many waiting as there is room left, so that there is always room for others: half of these when it is alone."),
    setting!(WORK, "jobs-max", count jobs_max: usize, 1, 100_000, None,
        "Jobs (invocations with `Prefer: respond-async`) that are known at once, those that have ended included. Of those that have not ended one address may have as many as there is room left; one more is answered 503 with `Retry-After`. Where a new one needs the room of one that has ended, the oldest of the address that has most is forgotten."),
    setting!(WORK, "jobs-memory", bytes jobs_memory: u64, 64 * KIB, 1024 * 1024 * MIB,
        "Bytes of what is kept of jobs: requests until they are done, which may have half of it, and results. Where a result needs room, the oldest of the address that keeps most is forgotten."),
    setting!(WORK, "jobs-keep", duration jobs_keep, MS, Duration::from_secs(30 * 86_400),
        "How long a job and its result are kept after its end."),
    setting!(WORK, "result-cache", bytes result_cache: u64, 0, 1024 * 1024 * MIB,
        "Bytes for results of long evaluations, kept so that the same formula with the same parameters is not evaluated again. When they are used up, what is asked least goes. 0 keeps none."),
    setting!(WORK, "idempotency-memory", bytes idempotency_memory: u64, 0, 1024 * 1024 * MIB,
        "Bytes of answers kept for requests with an `Idempotency-Key`. When they are used up, the oldest answers are forgotten."),
    setting!(WORK, "idempotency-keep", duration idempotency_keep, Duration::from_secs(1), Duration::from_secs(30 * 86_400),
        "How long an answer is kept for its `Idempotency-Key`."),
    setting!(WORK, "spool-max", bytes spool_max: u64, 0, 1024 * 1024 * MIB,
        "Bytes of all temporary files together. What is made of the answer to a table (Arrow, CSV) beyond 16 MiB waits in one where the client does not take it yet, because it is still sending. When they are used up, such a request is read no further until its client reads. 0 means no files."),
    setting!(@row WORK, "spool-dir", "FOLDER", None, |config| config.spool_dir.display().to_string(), |config, text| {
        if text.is_empty() {
            return Err("must name a folder, such as /var/tmp".to_owned());
        }
        config.spool_dir = text.into();
        Ok(())
    }, "The folder of the temporary files, which have no names in it and are gone with the process. It should be on a disk: `/tmp` is often memory. On the disk 1 GiB more than `disk-free-min` stays free, for the database may stand there, too. If it cannot be written to, a line in the log says so, and it is as with `--spool-max 0`."),
    setting!(@row WORK, "jit", "on|off", None, |config| show_jit(config.jit), |config, text| {
        config.jit = read_jit(text)?;
        Ok(())
    }, "Whether formulas that are invoked often are compiled to machine code. Answers are the same either way; `off` is for machines that forbid executable memory, and for finding out whether a fault is there."),
    setting!(FORMULAS, "formula-source-max", bytes limits.source_bytes: usize, 1, MIB,
        "Bytes of formula text (`source_text`)."),
    setting!(FORMULAS, "formula-nesting-max", count limits.nesting: usize, 1, LEVELS_MAX, None,
        "Levels of nesting in a formula (`nesting`)."),
    setting!(FORMULAS, "formula-nodes-max", count limits.nodes: usize, 1, 1_000_000, None,
        "Syntax nodes of a formula (`syntax_nodes`)."),
    setting!(FORMULAS, "formula-constants-max", count limits.constants: usize, 1, 60_000, None,
        "Constants of a formula (`constants`)."),
    setting!(FORMULAS, "formula-names-max", count limits.names: usize, 1, 60_000, None,
        "Names in a formula (`names`)."),
    setting!(FORMULAS, "steps-max", count limits.steps: u64, 1, 1_000_000_000_000, None,
        "Steps of one invocation (`steps`)."),
    setting!(FORMULAS, "memory-max", bytes limits.memory_bytes: u64, KIB, 1024 * 1024 * MIB,
        "Bytes one invocation may allocate (`memory`)."),
    setting!(FORMULAS, "wall-clock-max", duration_ms limits.wall_clock_ms, MS, HOUR,
        "How long one invocation may run (`wall_clock`); a backstop, `steps-max` should be met first."),
    setting!(FORMULAS, "integer-bits-max", count limits.integer_bits: u64, 64, 1_000_000, None,
        "Bits of an integer (`integer_size`)."),
    setting!(FORMULAS, "string-max", bytes limits.string_bytes: usize, 1, 1024 * MIB,
        "Bytes of a string (`string_length`)."),
    setting!(FORMULAS, "elements-max", count limits.elements: usize, 1, 100_000_000, None,
        "Elements of a list, tuple or dict (`list_length`, `dict_length`)."),
    setting!(FORMULAS, "call-depth-max", count limits.call_depth: usize, 1, LEVELS_MAX, None,
        "Calls of inner lambdas inside each other (`call_depth`)."),
    setting!(FORMULAS, "parameters-max", bytes limits.parameters_json_bytes: usize, 2, 1024 * MIB,
        "Bytes of an invocation's parameters as JSON (`parameters_size`)."),
    setting!(FORMULAS, "result-max", bytes limits.result_json_bytes: usize, 2, 1024 * MIB,
        "Bytes of a result as JSON (`result_size`)."),
    setting!(FORMULAS, "json-depth-max", count limits.json_depth: usize, 1, LEVELS_MAX, None,
        "Levels of nesting in parameters and results as JSON (`json_depth`)."),
];
