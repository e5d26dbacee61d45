//! `butterflyfx is-ready`: asks `/readyz` of a running server, for scripts and supervisors.

use super::{Exit, complain, wrong_settings};
use crate::config::{Config, Sources};
use std::io::{self, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long the answer may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Bytes of the answer that matter: its status line.
const ANSWER_BYTES: u64 = 64;

/// Asks, says why not, and gives the code.
pub fn run(sources: &Sources) -> Exit {
    // Asking a public address puts nobody at risk.
    let mut sources = sources.clone();
    sources.flags.insert("insecure-no-auth".to_owned(), "true".to_owned());
    let config = match sources.resolve() {
        Ok(config) => config,
        Err(error) => return wrong_settings(&error),
    };
    match ask(&config) {
        Ok(status) if status.contains(" 200") => Exit::Ok,
        Ok(status) => {
            complain(&format!("not ready: the server answers {status:?}"));
            Exit::Error
        }
        Err(error) => {
            complain(&format!("not ready: {}:{}: {error}", config.host, config.port));
            Exit::Error
        }
    }
}

/// The status line of `/readyz`.
fn ask(config: &Config) -> io::Result<String> {
    let host = match config.host.as_str() {
        "0.0.0.0" => "127.0.0.1",
        "::" => "::1",
        host => host,
    };
    let mut refused = io::Error::new(io::ErrorKind::NotFound, "the host has no address");
    for address in (host, config.port).to_socket_addrs()? {
        match ask_at(&address, host, config.port) {
            Ok(status) => return Ok(status),
            Err(error) => refused = error,
        }
    }
    Err(refused)
}

fn ask_at(address: &std::net::SocketAddr, host: &str, port: u16) -> io::Result<String> {
    let mut stream = TcpStream::connect_timeout(address, TIMEOUT)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    stream.set_write_timeout(Some(TIMEOUT))?;
    let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
    write!(stream, "GET /readyz HTTP/1.1\r\nHost: {host}:{port}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(ANSWER_BYTES).read_to_end(&mut answer)?;
    let answer = String::from_utf8_lossy(&answer);
    Ok(answer.lines().next().unwrap_or_default().to_owned())
}
