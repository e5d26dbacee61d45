//! The program as an operator meets it: start, say where, answer, stop, and with which code.

use crate::support::{PATIENCE, until};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program with these arguments and variables, and nothing else in its environment but that it keeps
/// nothing; `durable.rs` is for what it keeps.
fn program(arguments: &[&str], variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_butterflyfx"));
    command.args(arguments).env_clear().env("BUTTERFLYFX_IN_MEMORY", "true").envs(variables.iter().copied());
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    program(arguments, variables).output().expect("the program runs")
}

fn stderr_of(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A running program, ended when dropped.
struct Running {
    child: Child,
    greeting: String,
}

impl Running {
    fn start(arguments: &[&str], variables: &[(&str, &str)]) -> Running {
        Running::of(program(arguments, variables))
    }

    fn of(mut command: Command) -> Running {
        let mut child =
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        let mut greeting = String::new();
        while !greeting.contains("Try: ") {
            greeting.push_str(&lines.next().expect("a greeting").expect("text"));
            greeting.push('\n');
        }
        Running { child, greeting }
    }

    /// `127.0.0.1:port` as the greeting says it.
    fn address(&self) -> String {
        let (_, rest) = self.greeting.split_once("listens on http://").expect("an address");
        rest.lines().next().expect("a line").to_owned()
    }

    fn get(&self, path: &str) -> String {
        self.send(&format!("GET {path}"), "", "")
    }

    fn send(&self, line: &str, headers: &str, body: &str) -> String {
        let mut stream = TcpStream::connect(self.address()).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        let length = body.len();
        let head = format!(
            "{line} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}Content-Length: {length}\r\n\r\n"
        );
        stream.write_all(format!("{head}{body}").as_bytes()).expect("send");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn signal(&self, signal: rustix::process::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process id");
        rustix::process::kill_process(pid, signal).expect("signal");
    }

    fn wait(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "the program does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn it_says_where_it_listens_and_its_curl_works() {
    let running = Running::start(&["--port", "0"], &[]);
    assert!(running.greeting.contains("in memory only"), "{}", running.greeting);
    let url = format!("http://{}/api/v1/docs", running.address());
    assert!(running.greeting.contains(&url), "{}", running.greeting);
    assert!(running.get("/readyz").starts_with("HTTP/1.1 200"));
    let (_, curl) = running.greeting.split_once("Try: ").expect("something to try");
    match Command::new("sh").args(["-c", curl]).output() {
        Ok(output) if output.status.success() => {
            let answer = String::from_utf8_lossy(&output.stdout);
            assert!(answer.contains("\"substrate_id\""), "{answer}");
        }
        // A machine without curl can still run the tests.
        _ => assert!(curl.starts_with("curl "), "{curl}"),
    }
}

#[test]
fn it_stops_in_order_on_signals() {
    for (signal, arguments) in [
        (rustix::process::Signal::TERM, ["serve", "--port=0", "--shutdown-delay=300ms"]),
        (rustix::process::Signal::INT, ["serve", "--port=0", "--shutdown-delay=300ms"]),
    ] {
        let mut running = Running::start(&arguments, &[]);
        running.signal(signal);
        if signal == rustix::process::Signal::TERM {
            until("it is not ready any more", || running.get("/readyz").starts_with("HTTP/1.1 503"));
        }
        assert_eq!(running.wait(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let mut running = Running::start(&["--port", "0", "--shutdown-delay", "1h"], &[]);
    running.signal(rustix::process::Signal::TERM);
    until("it is not ready any more", || running.get("/readyz").starts_with("HTTP/1.1 503"));
    running.signal(rustix::process::Signal::TERM);
    assert_eq!(running.wait(), Some(5));
}

#[test]
fn is_ready_asks_the_server() {
    let running = Running::start(&["--port", "0"], &[]);
    let (_, port) =
        running.address().rsplit_once(':').map(|(a, b)| (a.to_owned(), b.to_owned())).expect("a port");
    assert_eq!(run(&["is-ready", "--port", &port], &[]).status.code(), Some(0));
    assert_eq!(run(&["is-ready"], &[("PORT", &port)]).status.code(), Some(0));
    drop(running);
    let output = run(&["is-ready", "--port", &port], &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr_of(&output).contains("not ready"), "{}", stderr_of(&output));
}

#[test]
fn it_outlives_a_lack_of_file_descriptors() {
    let mut command = Command::new("sh");
    command.env("BUTTERFLYFX_IN_MEMORY", "true").args([
        "-c",
        "ulimit -n 40; exec \"$0\" --port 0",
        env!("CARGO_BIN_EXE_butterflyfx"),
    ]);
    let running = Running::of(command);
    let many: Vec<TcpStream> =
        (0..100).map(|_| TcpStream::connect(running.address()).expect("the kernel accepts")).collect();
    drop(many);
    assert!(running.get("/livez").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_taken_port_has_its_own_code() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken.local_addr().expect("address").port().to_string();
    let output = run(&["--port", &port], &[]);
    assert_eq!(output.status.code(), Some(4));
    assert!(stderr_of(&output).contains("the port is in use"), "{}", stderr_of(&output));
}

#[test]
fn wrong_use_is_code_2_and_says_what_is_wrong() {
    let check = |arguments: &[&str], variables: &[(&str, &str)], sentence: &str| {
        let output = run(arguments, variables);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", stderr_of(&output));
        assert!(stderr_of(&output).contains(sentence), "{arguments:?}: {}", stderr_of(&output));
        assert!(output.stdout.is_empty());
    };
    check(&["--prot", "1"], &[], "--prot");
    check(&["serve", "--port", "99999"], &[], "--port is \"99999\"");
    check(&["unknown"], &[], "unknown");
    check(&["--host", "0.0.0.0"], &[], "--insecure-no-auth");
    check(&[], &[("HOST", "0.0.0.0")], "--insecure-no-auth");
    check(&[], &[("BUTTERFLYFX_WORKERS", "many")], "BUTTERFLYFX_WORKERS");
    check(&["--config", "/no/such/file.toml"], &[], "/no/such/file.toml");
    check(&["--data-dir", ""], &[], "--data-dir");
    check(&["--durability", "mostly"], &[], "always, interval or never");
}

#[test]
fn flags_beat_variables_beat_the_file() {
    let directory = std::env::temp_dir().join(format!("butterflyfx-settings-{}", std::process::id()));
    std::fs::create_dir_all(&directory).expect("a directory");
    let file = directory.join("settings.toml");
    let path = file.to_str().expect("text");
    std::fs::write(&file, "port = 0\nlog-format = \"json\"\nbody-max = \"1MiB\"\n").expect("write");
    let running = Running::start(&["--config", path], &[]);
    assert!(running.get("/livez").starts_with("HTTP/1.1 200"));
    let running = Running::start(&["--config", path, "--port", "0"], &[("BUTTERFLYFX_PORT", "1")]);
    assert!(running.get("/livez").starts_with("HTTP/1.1 200"));
    std::fs::write(&file, "prot = 1\n").expect("write");
    let output = run(&[], &[("BUTTERFLYFX_CONFIG", path)]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr_of(&output).contains("unknown setting \"prot\""), "{}", stderr_of(&output));
    std::fs::write(&file, "port = [").expect("write");
    assert!(stderr_of(&run(&["--config", path], &[])).contains("is not TOML"));
    std::fs::remove_dir_all(&directory).expect("remove");
}

#[test]
fn the_printed_openapi_document_is_the_served_one() {
    let running = Running::start(&["--port", "0"], &[]);
    let printed = run(&["openapi"], &[]);
    assert_eq!(printed.status.code(), Some(0));
    let printed: serde_json::Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    for path in ["/openapi.json", "/api/v1/openapi.json"] {
        let answer = running.get(path);
        let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
        let served: serde_json::Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(served, printed, "{path}");
    }
    let version = printed.get("openapi").and_then(serde_json::Value::as_str).unwrap_or_default();
    assert!(version.starts_with("3.1"), "{version}");
}

#[test]
fn version_help_and_completions_are_printed() {
    let version = run(&["--version"], &[]);
    assert_eq!(version.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&version.stdout).starts_with("butterflyfx "));
    let help = run(&["--help"], &[]);
    assert!(String::from_utf8_lossy(&help.stdout).contains("--idle-timeout"));
    let completions = run(&["completions", "bash"], &[]);
    assert_eq!(completions.status.code(), Some(0));
    assert!(String::from_utf8_lossy(&completions.stdout).contains("--idle-timeout"));
}

/// Results are kept until the bound is met some times over: first small ones, which fill the tables of
/// the cache, then large ones.
#[test]
fn kept_results_take_the_memory_they_may_and_no_more() {
    const BOUND: u64 = 16 << 20;
    let running = Running::start(
        &["--port", "0", "--result-cache", "16MiB", "--wall-clock-max", "60s", "--log-level", "error"],
        &[],
    );
    let resident = || {
        let text = running.get("/metrics");
        let line =
            text.lines().find_map(|line| line.strip_prefix("butterflyfx_process_resident_memory_bytes "));
        line.expect("a metric").parse::<u64>().expect("bytes")
    };
    let code =
        r#"{"expression_type":"formula","expression_code":"[(str(i) * n)[:n] for i in range(k, k + 1)]"}"#;
    running.send("PUT /api/v1/substrates/0x1", "", code);
    let flood = |headers: &str, count: usize, n: usize| {
        for k in 0..count {
            let body = format!("{{\"parameters\":{{\"k\":{k},\"n\":{n}}}}}");
            let answer = running.send("POST /api/v1/substrates/0x1/invoke", headers, &body);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        }
    };
    // What evaluating takes is no part of it.
    flood("Cache-Control: no-store\r\n", 50, 300_000);
    let before = resident();
    flood("", 200, 300_000);
    flood("", 3_000, 1);
    flood("", 200, 300_000);
    let grown = resident().saturating_sub(before);
    // Beside what is kept the allocator holds what it was given back a moment ago.
    assert!(grown < 2 * BOUND, "{grown} bytes more, of which {BOUND} may be kept results");
    assert!(grown > BOUND / 4, "{grown} bytes more: are any results kept?");
}

/// A request that takes longer than its connection might have been quiet before it costs no processor meanwhile.
#[test]
#[cfg(target_os = "linux")]
fn a_request_that_takes_long_does_not_keep_a_processor_busy() {
    let running = Running::start(
        &["--port", "0", "--first-byte-timeout", "50ms", "--idle-timeout", "50ms", "--body-timeout", "1s"],
        &[],
    );
    // In hundredths of a second, in user and in system mode.
    let used = || {
        let text = std::fs::read_to_string(format!("/proc/{}/stat", running.child.id())).expect("a process");
        let fields = text.rsplit(')').next().expect("what follows the name").split_whitespace();
        fields.skip(11).take(2).map(|ticks| ticks.parse::<u64>().expect("ticks")).sum::<u64>()
    };
    let before = used();
    // The body never comes.
    let mut stream = TcpStream::connect(running.address()).expect("connect");
    stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
    stream
        .write_all(b"POST /api/v1/substrates HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n")
        .expect("send");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    let used = used() - before;
    assert!(used < 20, "{used} hundredths of a second of a processor for a wait of one second");
}
