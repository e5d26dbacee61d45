//! A blocking HTTP/1.1 client for load: whole requests out, whole answers in, several on their way at once if
//! wanted. It reads of an answer's head no more than the status and the length.

use memchr::memmem;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

/// No answer takes longer than this, or it is an error.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// Servers close connections that have been idle for a minute, ours among them; before that we do.
const IDLE_MAX: Duration = Duration::from_secs(20);
/// An answer that needs more is an error: nothing here asks for as much.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Where the server is.
#[derive(Clone, Debug)]
pub struct Target {
    /// The address to connect to.
    pub address: SocketAddr,
    /// The text for the `Host` header.
    pub authority: String,
}

impl Target {
    /// The target of `http://host:port`.
    ///
    /// # Errors
    /// A sentence, where it is no such text or the name is unknown.
    pub fn parse(url: &str) -> Result<Target, String> {
        let wrong = || format!("{url:?} must be like http://127.0.0.1:8000");
        let authority = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
        let with_port =
            if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
        let mut addresses = with_port.to_socket_addrs().map_err(|error| format!("{url:?}: {error}"))?;
        Ok(Target { address: addresses.next().ok_or_else(wrong)?, authority: authority.to_owned() })
    }

    /// The bytes of a request; a body is JSON.
    pub fn request(&self, method: &str, path: &str, body: &str) -> Vec<u8> {
        self.request_of_type(method, path, "application/json", body)
    }

    /// The bytes of a request with a body of this type.
    pub fn request_of_type(&self, method: &str, path: &str, content_type: &str, body: &str) -> Vec<u8> {
        let authority = &self.authority;
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: {authority}\r\n");
        if !body.is_empty() {
            request.push_str(&format!("Content-Type: {content_type}\r\nContent-Length: {}\r\n", body.len()));
        } else if method == "POST" {
            request.push_str("Content-Length: 0\r\n");
        }
        request.push_str("\r\n");
        request.push_str(body);
        request.into_bytes()
    }
}

/// An answer's status and body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body.
    pub body: Vec<u8>,
}

/// What can go wrong on the way; the kinds of errors in reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Nobody took the connection.
    Connect,
    /// The other side closed or reset it.
    Closed,
    /// No answer in time.
    Timeout,
    /// What came is no HTTP that we understand.
    Protocol,
}

impl Broken {
    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Broken::Connect => "cannot connect",
            Broken::Closed => "connection closed",
            Broken::Timeout => "no answer in time",
            Broken::Protocol => "not understood",
        }
    }
}

/// A connection, opened when it is needed and again after it broke.
#[derive(Debug)]
pub struct Connection {
    address: SocketAddr,
    stream: Option<TcpStream>,
    used: Instant,
    /// What has been read; answers begin at `read`.
    buffer: Vec<u8>,
    read: usize,
}

impl Connection {
    /// One to this address.
    pub fn new(address: SocketAddr) -> Connection {
        Connection { address, stream: None, used: Instant::now(), buffer: Vec::new(), read: 0 }
    }

    /// One request and its answer.
    ///
    /// # Errors
    /// What broke; the next request opens a new connection.
    pub fn exchange(&mut self, request: &[u8]) -> Result<Answer, Broken> {
        self.send(request)?;
        self.receive()
    }

    /// Sends requests, one or many.
    ///
    /// # Errors
    /// What broke; the next request opens a new connection.
    pub fn send(&mut self, requests: &[u8]) -> Result<(), Broken> {
        let now = Instant::now();
        if self.stream.is_none() || now - self.used > IDLE_MAX {
            let stream = TcpStream::connect_timeout(&self.address, ANSWER_TIMEOUT);
            let stream = stream.map_err(|_| Broken::Connect)?;
            let ready = stream
                .set_nodelay(true)
                .and_then(|()| stream.set_read_timeout(Some(ANSWER_TIMEOUT)))
                .and_then(|()| stream.set_write_timeout(Some(ANSWER_TIMEOUT)));
            ready.map_err(|_| Broken::Connect)?;
            self.stream = Some(stream);
            self.buffer.clear();
            self.read = 0;
        }
        self.used = now;
        let Some(stream) = &mut self.stream else { return Err(Broken::Connect) };
        let sent = stream.write_all(requests);
        sent.map_err(|error| self.broke(kind_of(&error)))
    }

    /// The next answer.
    ///
    /// # Errors
    /// What broke; the next request opens a new connection.
    pub fn receive(&mut self) -> Result<Answer, Broken> {
        loop {
            match parse(&self.buffer[self.read..]) {
                Ok(Some((answer, length))) => {
                    self.read += length;
                    if self.read == self.buffer.len() {
                        self.buffer.clear();
                        self.read = 0;
                    }
                    return Ok(answer);
                }
                Ok(None) if self.buffer.len() < ANSWER_BYTES_MAX => self.fill()?,
                _ => return Err(self.broke(Broken::Protocol)),
            }
        }
    }

    fn fill(&mut self) -> Result<(), Broken> {
        self.buffer.drain(..self.read);
        self.read = 0;
        let Some(stream) = &mut self.stream else { return Err(Broken::Closed) };
        let mut piece = [0; 16 * 1024];
        match stream.read(&mut piece) {
            Ok(0) => Err(self.broke(Broken::Closed)),
            Ok(length) => {
                self.buffer.extend_from_slice(&piece[..length]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(self.broke(kind_of(&error))),
        }
    }

    fn broke(&mut self, broken: Broken) -> Broken {
        self.stream = None;
        broken
    }
}

fn kind_of(error: &std::io::Error) -> Broken {
    match error.kind() {
        ErrorKind::WouldBlock | ErrorKind::TimedOut => Broken::Timeout,
        _ => Broken::Closed,
    }
}

/// The first answer in `bytes` and its length; `None` where it is not all there; an error where it is none.
fn parse(bytes: &[u8]) -> Result<Option<(Answer, usize)>, ()> {
    let Some(head_length) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let head = &bytes[..head_length];
    let status = head.strip_prefix(b"HTTP/1.1 ").and_then(|rest| rest.get(..3)).ok_or(())?;
    let status: u16 = std::str::from_utf8(status).map_err(drop)?.parse().map_err(drop)?;
    let begin = head_length + 4;
    if let Some(length) = header(head, b"content-length") {
        let length: usize = std::str::from_utf8(length).map_err(drop)?.trim().parse().map_err(drop)?;
        if length > ANSWER_BYTES_MAX {
            return Err(());
        }
        let Some(body) = bytes.get(begin..begin + length) else { return Ok(None) };
        return Ok(Some((Answer { status, body: body.to_vec() }, begin + length)));
    }
    if header(head, b"transfer-encoding").is_some() {
        let Some((body, length)) = chunks(&bytes[begin..])? else { return Ok(None) };
        return Ok(Some((Answer { status, body }, begin + length)));
    }
    // Only these have no body without saying so.
    let has_none = matches!(status, 204 | 304);
    if has_none { Ok(Some((Answer { status, body: Vec::new() }, begin))) } else { Err(()) }
}

/// The value of a header, its name in lower case.
fn header<'a>(head: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    head.split(|byte| *byte == b'\n').find_map(|line| {
        let (found, rest) = line.split_at_checked(name.len())?;
        let value = rest.strip_prefix(b":")?;
        found.eq_ignore_ascii_case(name).then(|| value.trim_ascii())
    })
}

/// A chunked body and how many bytes it took.
fn chunks(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, ()> {
    let mut body = Vec::new();
    let mut at = 0;
    loop {
        let Some(line) = memmem::find(&bytes[at..], b"\r\n") else { return Ok(None) };
        let digits = std::str::from_utf8(&bytes[at..at + line]).map_err(drop)?;
        let digits = digits.split(';').next().unwrap_or_default().trim();
        let length = usize::from_str_radix(digits, 16).map_err(drop)?;
        at += line + 2;
        if length > ANSWER_BYTES_MAX {
            return Err(());
        }
        let Some(piece) = bytes.get(at..at + length + 2) else { return Ok(None) };
        body.extend_from_slice(&piece[..length]);
        at += length + 2;
        if length == 0 {
            return Ok(Some((body, at)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_found_one_after_the_other_and_only_when_whole() {
        let cases: [(&[u8], u16, &[u8]); 4] = [
            (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}", 200, b"{}"),
            (b"HTTP/1.1 204 No Content\r\nx: y\r\n\r\n", 204, b""),
            (b"HTTP/1.1 503 Busy\r\nContent-Length:0\r\n\r\n", 503, b""),
            (
                b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n1;x\r\nd\r\n0\r\n\r\n",
                200,
                b"abcd",
            ),
        ];
        for (bytes, status, body) in cases {
            for length in 0..bytes.len() {
                assert_eq!(parse(&bytes[..length]), Ok(None), "{length} of {bytes:?}");
            }
            let two = [bytes, b"HTTP/1.1 2"].concat();
            assert_eq!(parse(&two), Ok(Some((Answer { status, body: body.to_vec() }, bytes.len()))));
        }
        for wrong in ["SSH-2.0\r\n\r\n", "HTTP/1.1 abc\r\n\r\n", "HTTP/1.1 200 OK\r\nx: y\r\n\r\n"] {
            assert!(parse(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_url_gives_an_address() {
        let target = Target::parse("http://127.0.0.1:8000/").expect("parses");
        assert_eq!((target.address.port(), target.authority.as_str()), (8000, "127.0.0.1:8000"));
        assert_eq!(Target::parse("http://127.0.0.1").expect("parses").address.port(), 80);
        assert!(Target::parse("https://127.0.0.1").is_err());
    }
}
