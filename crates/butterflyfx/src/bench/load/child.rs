//! The server under load: one of our own in a process of its own, so that the memory measured is the server's
//! alone, or one that runs already.

use super::wire::{Connection, Target};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// A server to put load on. One of our own ends with this value.
#[derive(Debug)]
pub struct ServerUnderLoad {
    /// Where it listens.
    pub target: Target,
    pid: Option<u32>,
    child: Option<Child>,
}

impl ServerUnderLoad {
    /// The server at `url`, whose process is `pid` if that is on this machine; one of our own without.
    ///
    /// # Errors
    /// A sentence, where there is none.
    pub fn find(url: Option<&str>, pid: Option<u32>) -> Result<ServerUnderLoad, String> {
        let server = match url {
            Some(url) => ServerUnderLoad { target: Target::parse(url)?, pid, child: None },
            None => ServerUnderLoad::start()?,
        };
        let request = server.target.request("GET", "/api/v1/health", "");
        match Connection::new(server.target.address).exchange(&request) {
            Ok(answer) if answer.status == 200 => Ok(server),
            Ok(answer) => Err(format!("the server answers {} when asked for its health", answer.status)),
            Err(broken) => Err(format!("{}: {}", server.target.address, broken.name())),
        }
    }

    fn start() -> Result<ServerUnderLoad, String> {
        let said = |error: std::io::Error| format!("cannot start a server: {error}");
        let program = std::env::current_exe().map_err(said)?;
        let mut child = Command::new(program)
            .args(["serve", "--host", "127.0.0.1", "--port", "0", "--in-memory"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(said)?;
        let stdout = child.stdout.take();
        let pid = Some(child.id());
        // From here on the child ends with this value, also when something goes wrong.
        let target = Target { address: ([127, 0, 0, 1], 0).into(), authority: String::new() };
        let mut server = ServerUnderLoad { target, pid, child: Some(child) };
        let mut reader = BufReader::new(stdout.ok_or("the server has no output")?);
        let mut line = String::new();
        reader.read_line(&mut line).map_err(said)?;
        let url = line.split_whitespace().find(|word| word.starts_with("http://"));
        server.target =
            Target::parse(url.ok_or_else(|| format!("the server says {line:?} and no address"))?)?;
        // The pipe must be read until its end, or the server would find it broken.
        std::thread::spawn(move || for _ in reader.lines().map_while(Result::ok) {});
        Ok(server)
    }

    /// Whether it runs in a process whose memory can be read.
    pub fn has_memory(&self) -> bool {
        self.resident_bytes().is_some()
    }

    /// Its resident memory, `VmRSS`.
    pub fn resident_bytes(&self) -> Option<u64> {
        self.status_kib("VmRSS:").map(|kib| kib * 1024)
    }

    /// The most it ever had resident, `VmHWM`.
    pub fn peak_bytes(&self) -> Option<u64> {
        self.status_kib("VmHWM:").map(|kib| kib * 1024)
    }

    fn status_kib(&self, name: &str) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid?)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix(name))?;
        line.split_whitespace().next()?.parse().ok()
    }

    /// Waits until its memory no longer moves: less than 1 % or 1 MiB between the highest and the lowest of
    /// the last readings. Gives up after a minute and answers what there is.
    pub fn settled_bytes(&self, stop: &AtomicBool) -> Option<u64> {
        const READINGS: usize = 10;
        let mut last = std::collections::VecDeque::with_capacity(READINGS);
        for _ in 0..300 {
            if last.len() == READINGS {
                last.pop_front();
            }
            last.push_back(self.resident_bytes()?);
            let (low, high) = (last.iter().min().copied()?, last.iter().max().copied()?);
            if last.len() == READINGS && high - low <= (high / 100).max(1 << 20)
                || stop.load(Ordering::Relaxed)
            {
                break;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        last.back().copied()
    }
}

impl Drop for ServerUnderLoad {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
