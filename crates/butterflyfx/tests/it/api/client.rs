//! A small blocking HTTP/1.1 client that holds every answer against the OpenAPI document.

use super::schema;
use crate::support::TestServer;
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpStream;

/// A server of its own and a way to ask it.
pub(crate) struct Api {
    pub(crate) server: TestServer,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }
}

impl Api {
    pub(crate) fn new() -> Api {
        Api::with(&[])
    }

    pub(crate) fn with(settings: &[(&str, &str)]) -> Api {
        Api { server: TestServer::api(settings) }
    }

    /// Sends `METHOD /path` with a JSON body, or none where it is empty.
    #[track_caller]
    pub(crate) fn send(&self, request: &str, body: &str) -> Reply {
        self.send_with(request, &[], body.as_bytes())
    }

    /// The same with headers. A body is JSON unless they say otherwise.
    #[track_caller]
    pub(crate) fn send_with(&self, request: &str, headers: &[(&str, &str)], body: &[u8]) -> Reply {
        self.send_over(self.server.connect(), request, headers, body)
    }

    /// The same over this connection.
    #[track_caller]
    pub(crate) fn send_over(
        &self,
        mut stream: TcpStream,
        request: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let (method, path) = request.split_once(' ').expect("METHOD /path");
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n");
        for (name, value) in headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        let typed = headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
        if !body.is_empty() {
            head.push_str(&format!("content-length: {}\r\n", body.len()));
            if !typed {
                head.push_str("content-type: application/json\r\n");
            }
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).expect("send");
        // The server may answer and close before it has read a body that it refuses.
        let _ = stream.write_all(body);
        let reply = read_reply(&mut BufReader::new(stream), method == "HEAD");
        schema::check(method, path, &reply);
        reply
    }
}

/// Reads one answer.
pub(crate) fn read_reply(stream: &mut impl BufRead, is_head: bool) -> Reply {
    let mut line = String::new();
    stream.read_line(&mut line).expect("a status line");
    let status = line.split(' ').nth(1).and_then(|text| text.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status in {line:?}"));
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).expect("a header");
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_ascii_lowercase(), value.to_owned())),
            None => break,
        }
    }
    let mut reply = Reply { status, headers, body: Vec::new() };
    if is_head || matches!(status, 204 | 304) {
        return reply;
    }
    if reply.header("transfer-encoding") == Some("chunked") {
        loop {
            let mut size = String::new();
            stream.read_line(&mut size).expect("a chunk size");
            let size = usize::from_str_radix(size.trim(), 16).expect("a chunk size");
            let mut chunk = vec![0; size + 2];
            stream.read_exact(&mut chunk).expect("a chunk");
            if size == 0 {
                break;
            }
            reply.body.extend_from_slice(&chunk[..size]);
        }
    } else {
        let length = reply.header("content-length").and_then(|text| text.parse().ok()).unwrap_or(0);
        reply.body = vec![0; length];
        stream.read_exact(&mut reply.body).expect("the whole body");
    }
    reply
}
