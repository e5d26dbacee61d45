//! A server process with a data folder of its own.

use super::wire::{Answer, Connection};
use crate::support::PATIENCE;
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Instant;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_butterflyfx");

/// A running server, ended when dropped.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// What it says on stderr is here.
    log: PathBuf,
}

/// How a server ended that did not listen, and what it said.
#[derive(Debug)]
pub(crate) struct End {
    pub(crate) code: Option<i32>,
    pub(crate) said: String,
}

/// The words before a program that make some of its system calls fail or take long; `None`, with a message, where
/// there is no `strace` or it may not trace. It counts calls for each thread. It is detached, so that the
/// server is the child and the tracer is not.
pub(crate) fn with_fault(fault: &str) -> Option<Vec<String>> {
    let calls = fault.split(':').next().unwrap_or_default();
    let words = ["strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e"].map(str::to_owned);
    let mut words = Vec::from(words);
    words.extend([format!("trace={calls}"), "-e".to_owned(), format!("inject={fault}")]);
    let mut attempt = words.clone();
    attempt.push("true".to_owned());
    let can = command(&attempt).stderr(Stdio::null()).status().is_ok_and(|status| status.success());
    if !can {
        println!("skipped: strace is not here, or may not trace");
    }
    can.then_some(words)
}

/// A command with nothing in its environment but `PATH`.
pub(crate) fn command(words: &[impl AsRef<OsStr>]) -> Command {
    let (program, arguments) = words.split_first().expect("a program");
    let mut command = Command::new(program);
    command.args(arguments).env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command
}

/// Runs the program to its end.
pub(crate) fn run(arguments: &[impl AsRef<OsStr>]) -> Output {
    let mut words = vec![OsStr::new(PROGRAM)];
    words.extend(arguments.iter().map(AsRef::as_ref));
    command(&words).output().expect("the program runs")
}

/// What a process said on stderr.
pub(crate) fn complaint(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Server {
    /// Starts the program on a data folder.
    #[track_caller]
    pub(crate) fn start(data: &Path, flags: &[&str]) -> Server {
        Server::start_below(&[], data, flags)
    }

    /// Starts it as the last arguments of other programs, each of which becomes the next.
    #[track_caller]
    pub(crate) fn start_below(wrappers: &[&str], data: &Path, flags: &[&str]) -> Server {
        let started = Server::try_start(wrappers, data, flags);
        started.unwrap_or_else(|end| panic!("it does not start: {end:?}"))
    }

    /// The end of a server that must not start on this folder.
    #[track_caller]
    pub(crate) fn refused(data: &Path) -> End {
        match Server::try_start(&[], data, &[]) {
            Ok(server) => panic!("it listens on {}: {}", server.address, server.said()),
            Err(end) => end,
        }
    }

    fn try_start(wrappers: &[&str], data: &Path, flags: &[&str]) -> Result<Server, End> {
        let mut words: Vec<&OsStr> = wrappers.iter().map(OsStr::new).collect();
        // Disks are filled to the last byte here.
        let own = ["serve", "--port=0", "--shutdown-delay=0s", "--disk-free-min=0", "--data-dir"];
        words.push(OsStr::new(PROGRAM));
        words.extend(own.map(OsStr::new));
        words.push(data.as_os_str());
        words.extend(flags.iter().map(OsStr::new));
        let log = data.with_extension("log");
        let said = File::create(&log).expect("a log file");
        let mut child = command(&words)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(said)
            .spawn()
            .map_err(|error| End { code: None, said: error.to_string() })?;
        let lines = BufReader::new(child.stdout.take().expect("stdout")).lines();
        for line in lines.map_while(Result::ok) {
            if let Some((_, address)) = line.split_once("listens on http://") {
                let address = address.parse().expect("an address");
                return Ok(Server { child, address, log });
            }
        }
        let code = child.wait().expect("it has ended").code();
        Err(End { code, said: std::fs::read_to_string(&log).unwrap_or_default() })
    }

    /// A connection to it.
    pub(crate) fn connection(&self) -> Connection {
        Connection::new(self.address)
    }

    /// Asks for something on a connection of its own.
    #[track_caller]
    pub(crate) fn ask(&self, request: &str, body: &str) -> Answer {
        self.connection()
            .ask(request, &[], body)
            .unwrap_or_else(|| panic!("{request} is not answered: {}", self.said()))
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it said on stderr.
    pub(crate) fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("signal");
    }

    /// Kills it as `kill -9` does, and waits until it is gone.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
    }

    /// Asks it to stop, and gives its code.
    pub(crate) fn stop(mut self) -> Option<i32> {
        self.signal(Signal::TERM);
        self.wait()
    }

    /// Waits for its end, and gives its code.
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let started = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("wait") {
                return status.code();
            }
            assert!(started.elapsed() < PATIENCE, "the program does not end: {}", self.said());
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
