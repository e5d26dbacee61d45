//! The short way: requests that are whole, plain and answered at once are answered here, before
//! hyper sees them.
//!
//! An invocation of a short formula takes less time than hyper needs to read its request and to
//! write its answer. So the guard looks at what has arrived between two requests: where it is one
//! of a few plain requests, complete, and answered without waiting and without a refusal, the
//! answer is written at once. Everything else goes to hyper with the bytes untouched; whatever is
//! not certain is none of ours. In particular
//! - only heads that no two readers could read differently: `HTTP/1.1`, CR LF, one `Host`, at most
//!   one `Content-Length` of plain digits, plain characters;
//! - no header that asks for more than the plain answer (see [`Header::of`]);
//! - only answers with status 200. Refusals have one home, and it is not here.
//!
//! What holds around every request holds here too: the request's id, the counters, the limits, the
//! time that a connection may be quiet. With log lines for each request, or names of hosts to
//! check, there is no short way.

use super::activity::{Activity, to_ms};
use super::service::{Answers, Shared, is_sane};
use crate::clock;
use crate::http::etag::TagText;
use crate::http::http_date;
use crate::metrics::routes::Route;
use http::{Method, StatusCode};
use memchr::memchr;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

/// Heads and bodies larger than this take the long way.
const HEAD_BYTES_MAX: usize = 4 * 1024;
const BODY_BYTES_MAX: usize = 16 * 1024;

/// Answers collected before they are sent.
const ANSWERS_BYTES_MAX: usize = 64 * 1024;

/// A plain request.
#[derive(Clone, Copy, Debug)]
pub struct QuickRequest<'a> {
    /// POST; else GET.
    pub is_post: bool,
    /// The path, without a query.
    pub path: &'a str,
    /// All of the body.
    pub body: &'a [u8],
    /// Whether there is a `Cache-Control`, which says what may be answered out of the cache.
    pub has_cache_control: bool,
}

/// The answer to a plain request beside its body: status 200, JSON.
#[derive(Clone, Copy, Debug)]
pub struct QuickAnswer {
    pub(crate) route: Route,
    pub(crate) etag: Option<TagText>,
    /// When the answer was there.
    pub(crate) answered: Instant,
}

/// Whoever can answer plain requests at once.
pub(crate) trait Quick: Send + Sync {
    /// Answers the requests at the start of `piece` as far as they take the short way, and appends
    /// the answers to `out`. Gives back how many bytes of the piece they were.
    fn answer_quickly(&self, piece: &[u8], activity: &Activity, out: &mut Vec<u8>) -> usize;
}

thread_local! {
    /// Room for a body. Taken while in use, so that a panic leaves nothing half done behind.
    static BODY: Cell<String> = const { Cell::new(String::new()) };
    static DATE: Cell<Option<Date>> = const { Cell::new(None) };
}

impl<A: Answers> Quick for Shared<A> {
    fn answer_quickly(&self, piece: &[u8], activity: &Activity, out: &mut Vec<u8>) -> usize {
        if !self.is_quick || tracing::enabled!(tracing::Level::DEBUG) {
            return 0;
        }
        let mut body = BODY.take();
        let mut taken = 0;
        let mut started = None;
        while out.len() < ANSWERS_BYTES_MAX
            && let Some(head) = Head::read(&piece[taken..], self.headers_max, self.head_max)
        {
            let began = started.unwrap_or_else(Instant::now);
            body.clear();
            let answers = AssertUnwindSafe(|| self.answers.quick(&head.request, &mut body));
            // What panics here panics again on the long way, and is answered there.
            let Ok(Some(answer)) = catch_unwind(answers) else { break };
            let metrics = &self.app.metrics;
            metrics.request_began();
            self.write(&head, &answer, body.as_bytes(), out);
            let method = if head.request.is_post { &Method::POST } else { &Method::GET };
            metrics.answered(answer.route, method, StatusCode::OK, answer.answered - began);
            metrics.request_ended();
            started = Some(answer.answered);
            taken += head.bytes;
        }
        if let Some(at) = started {
            activity.answered_quickly(to_ms(at));
        }
        if body.capacity() <= ANSWERS_BYTES_MAX {
            BODY.set(body);
        }
        taken
    }
}

impl<A> Shared<A> {
    /// Appends an answer as hyper writes it.
    fn write(&self, head: &Head<'_>, answer: &QuickAnswer, body: &[u8], out: &mut Vec<u8>) {
        out.reserve(320 + body.len());
        out.extend_from_slice(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n");
        if let Some(tag) = &answer.etag {
            out.extend_from_slice(b"etag: ");
            out.extend_from_slice(tag.as_bytes());
            out.extend_from_slice(b"\r\n");
        }
        out.extend_from_slice(b"x-request-id: ");
        match head.request_id {
            Some(id) if is_sane(id) => out.extend_from_slice(id),
            _ => out.extend_from_slice(&self.ids.next()),
        }
        out.extend_from_slice(b"\r\nx-content-type-options: nosniff\r\ncontent-length: ");
        out.extend_from_slice(itoa::Buffer::new().format(body.len()).as_bytes());
        out.extend_from_slice(b"\r\ndate: ");
        out.extend_from_slice(&Date::at(answer.answered));
        out.extend_from_slice(b"\r\n\r\n");
        out.extend_from_slice(body);
    }
}

/// The text of the `Date` header, and until when it is right.
#[derive(Clone, Copy)]
struct Date {
    text: [u8; http_date::BYTES],
    until: Instant,
}

impl Date {
    /// The text at a moment that is about now: made once a second.
    fn at(moment: Instant) -> [u8; http_date::BYTES] {
        match DATE.get() {
            Some(date) if moment < date.until => date.text,
            _ => {
                let now = clock::now();
                let left_us = 1_000_000 - now.0.rem_euclid(1_000_000).unsigned_abs();
                let text = http_date::text(now);
                DATE.set(Some(Date { text, until: Instant::now() + Duration::from_micros(left_us) }));
                text
            }
        }
    }
}

/// A plain request, whole.
struct Head<'a> {
    request: QuickRequest<'a>,
    request_id: Option<&'a [u8]>,
    /// Bytes of head and body.
    bytes: usize,
}

/// What a header means to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    /// Nothing: on the long way, too, nobody looks at it.
    Nothing,
    Host,
    ContentLength,
    ContentType,
    CacheControl,
    Connection,
    RequestId,
    /// Not the plain answer.
    More,
}

impl Header {
    /// The meaning of a name. Whoever teaches the long way to look at another header names it here.
    fn of(name: &[u8]) -> Header {
        let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
        match name.len() {
            2 if is("te") => Header::More,
            4 if is("host") => Header::Host,
            6 if is("expect") || is("origin") || is("prefer") => Header::More,
            7 if is("upgrade") || is("trailer") => Header::More,
            10 if is("connection") => Header::Connection,
            12 if is("content-type") => Header::ContentType,
            12 if is("x-request-id") => Header::RequestId,
            13 if is("cache-control") => Header::CacheControl,
            13 if is("if-none-match") || is("authorization") => Header::More,
            14 if is("content-length") => Header::ContentLength,
            14 if is("http2-settings") => Header::More,
            15 if is("idempotency-key") => Header::More,
            16 if is("content-encoding") || is("proxy-connection") => Header::More,
            17 if is("transfer-encoding") => Header::More,
            _ => Header::Nothing,
        }
    }
}

impl<'a> Head<'a> {
    /// Reads the request at the start of a piece; `None` where it is not whole or not plain.
    fn read(piece: &'a [u8], headers_max: usize, head_max: usize) -> Option<Head<'a>> {
        let (is_post, start) = match piece {
            [b'P', b'O', b'S', b'T', b' ', b'/', ..] => (true, 5),
            [b'G', b'E', b'T', b' ', b'/', ..] => (false, 4),
            _ => return None,
        };
        let bytes_max = HEAD_BYTES_MAX.min(head_max);
        let piece_of_head = &piece[..piece.len().min(bytes_max)];
        let mut lines = Lines { rest: piece_of_head };
        let target = lines.next()?.get(start..)?.strip_suffix(b" HTTP/1.1")?;
        // Names of ours, and identities.
        if !target.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'/') {
            return None;
        }
        let path = std::str::from_utf8(target).ok()?;
        let mut headers = 0;
        let (mut host, mut length, mut kind, mut request_id) = (false, None, None, None);
        let mut has_cache_control = false;
        loop {
            let line = lines.next()?;
            if line.is_empty() {
                break;
            }
            headers += 1;
            let colon = memchr(b':', line)?;
            let (name, value) = (&line[..colon], trim(&line[colon + 1..]));
            let is_plain_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            let is_plain = |byte: &u8| (b' '..=b'~').contains(byte);
            if name.is_empty() || !name.iter().all(is_plain_name) || !value.iter().all(is_plain) {
                return None;
            }
            let is_new = match Header::of(name) {
                Header::Nothing => true,
                Header::Host => !std::mem::replace(&mut host, true),
                Header::ContentLength => length.replace(read_length(value)?).is_none(),
                Header::ContentType => kind.replace(value).is_none(),
                Header::CacheControl => {
                    has_cache_control = true;
                    true
                }
                Header::Connection => value.eq_ignore_ascii_case(b"keep-alive"),
                Header::RequestId => request_id.replace(value).is_none(),
                Header::More => false,
            };
            if !is_new {
                return None;
            }
        }
        let head_bytes = piece_of_head.len() - lines.rest.len();
        let length = length.unwrap_or(0);
        let body = piece.get(head_bytes..head_bytes + length)?;
        let is_json = kind.is_none_or(|kind| kind == b"application/json");
        if !host || headers > headers_max || !is_json || (!is_post && length > 0) {
            return None;
        }
        let request = QuickRequest { is_post, path, body, has_cache_control };
        Some(Head { request, request_id, bytes: head_bytes + length })
    }
}

/// The lines of a head, without their ends.
struct Lines<'a> {
    rest: &'a [u8],
}

impl<'a> Lines<'a> {
    /// The next line; `None` where it is not whole, or holds another carriage return.
    fn next(&mut self) -> Option<&'a [u8]> {
        let end = memchr(b'\r', self.rest)?;
        if self.rest.get(end + 1) != Some(&b'\n') {
            return None;
        }
        let (line, rest) = self.rest.split_at(end);
        self.rest = &rest[2..];
        // A bare line feed is no plain character, and is refused with those.
        Some(line)
    }
}

fn trim(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A length of plain digits, not larger than what is answered here.
fn read_length(value: &[u8]) -> Option<usize> {
    if !(1..=6).contains(&value.len()) {
        return None;
    }
    let digit =
        |length: usize, byte: &u8| byte.is_ascii_digit().then(|| length * 10 + usize::from(byte - b'0'));
    value.iter().try_fold(0, digit).filter(|length| *length <= BODY_BYTES_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INVOKE: &str = "POST /api/v1/substrates/0xAB/invoke HTTP/1.1\r\nHost: a\r\n";

    #[test]
    fn only_plain_whole_requests_are_taken() {
        let check = |text: &str, expected: Option<usize>| {
            let found = Head::read(text.as_bytes(), 100, 64 * 1024).map(|head| head.bytes);
            assert_eq!(found, expected, "{text:?}");
        };
        let whole = |text: &str| check(text, Some(text.len()));
        let not = |text: &str| check(text, None);
        whole("GET /x HTTP/1.1\r\nHost: a\r\n\r\n");
        whole("GET /x HTTP/1.1\r\nhOST:a\r\nAccept: */*\r\nConnection: Keep-Alive\r\n\r\n");
        whole(&format!("{INVOKE}\r\n"));
        whole(&format!("{INVOKE}Content-Length: 2\r\nContent-Type: application/json\r\n\r\n{{}}"));
        check(&format!("{INVOKE}Content-Length: 0\r\n\r\nGET"), Some(INVOKE.len() + 21));
        whole(&format!("{INVOKE}X-Request-Id: \t abc \r\n\r\n"));
        whole(&format!("{INVOKE}Cache-Control: no-cache\r\n\r\n"));
        let with = |header: &str| not(&format!("{INVOKE}{header}\r\nContent-Length: 2\r\n\r\n{{}}"));
        for header in [
            "Host: b",
            "Content-Length: 2",
            "Content-Length : 2",
            "Transfer-Encoding: chunked",
            "Content-Encoding: gzip",
            "Content-Type: text/plain",
            "Content-Type: application/json; charset=utf-8",
            "Connection: close",
            "Connection: keep-alive, upgrade",
            "Upgrade: h2c",
            "Expect: 100-continue",
            "Origin: http://a",
            "If-None-Match: *",
            "Idempotency-Key: a",
            "Prefer: respond-async",
            "X: a\u{e9}",
            "X: a\tb",
            "X: a\nb",
            "X: a\rb",
            "X\u{7f}: a",
            " X: a",
            ": a",
            "no colon",
        ] {
            with(header);
        }
        for length in ["", "+2", "-2", "0x2", "2 2", "2,2", "99999", "9999999", "3"] {
            not(&format!("{INVOKE}Content-Length: {length}\r\n\r\n{{}}"));
        }
        for line in [
            "GET  /x HTTP/1.1",
            "GET /x HTTP/1.0",
            "GET /x HTTP/1.1 ",
            "GET /x",
            "GET /x?a=b HTTP/1.1",
            "GET /%78 HTTP/1.1",
            "GET http://a/x HTTP/1.1",
            "HEAD /x HTTP/1.1",
            "get /x HTTP/1.1",
        ] {
            not(&format!("{line}\r\nHost: a\r\n\r\n"));
        }
        not("GET /x HTTP/1.1\r\n\r\n");
        not("GET /x HTTP/1.1\nHost: a\n\n");
        not("GET /x HTTP/1.1\r\nHost: a\r\n");
        not("GET /x HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\na");
        not("");
        let many = "X: y\r\n".repeat(100);
        not(&format!("GET /x HTTP/1.1\r\nHost: a\r\n{many}\r\n"));
        not(&format!("GET /x HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(HEAD_BYTES_MAX)));
    }

    proptest::proptest! {
        /// What is taken here the strict scanner in front of hyper takes too, and ends it at the
        /// same byte.
        #[test]
        fn the_scanner_agrees(
            parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..10),
            post in proptest::bool::ANY,
        ) {
            let line = if post { INVOKE } else { "GET /x HTTP/1.1\r\nHost: a\r\n" };
            let text = format!("{line}{}", parts.concat());
            if let Some(head) = Head::read(text.as_bytes(), 100, 64 * 1024) {
                let mut framing = crate::server::framing::Framing::new(64 * 1024);
                proptest::prop_assert_eq!(framing.scan(&text.as_bytes()[..head.bytes]), Ok(()));
                proptest::prop_assert_eq!(framing.position(), crate::server::framing::Position::Between);
                proptest::prop_assert_eq!(framing.heads(), 1);
            }
        }
    }

    const PARTS: &[&str] = &[
        "Content-Length: 2\r\n",
        "content-length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Accept: */*\r\n",
        "X: y\n",
        " folded\r\n",
        "\r\n",
        "\r\n{}",
        "{}",
        "\r",
        ": ",
    ];
}
