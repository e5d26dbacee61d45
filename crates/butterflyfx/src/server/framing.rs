//! Where HTTP/1 requests begin and end in a stream of bytes, read strictly.
//!
//! hyper reads requests well but forgives: it takes a bare line feed for a line's end and drops
//! `Content-Length` beside `Transfer-Encoding`. A proxy in front may read the same bytes
//! otherwise, and then one request becomes two (request smuggling). So this scanner looks at the
//! bytes before hyper does and refuses what two readers could understand differently:
//! - a line that ends in anything but CR LF, and a CR inside a line;
//! - a header line that begins with a blank (obsolete folding);
//! - `Content-Length` twice, as a list, or not plain digits;
//! - `Transfer-Encoding` twice or other than `chunked`, or together with `Content-Length`;
//! - a chunk size that is not 1 to 16 hex digits followed by the line's end or `;`, a chunk
//!   extension with control characters, chunk data that is not followed by CR LF;
//! - trailers that name a length.
//!
//! All else (method, target, version, header names and values) hyper checks itself.

use memchr::memchr;

/// Bytes of a chunk's size line, extensions included. Real clients send fewer than 10.
const CHUNK_LINE_BYTES_MAX: usize = 256;

/// Bytes of all trailers of a request.
const TRAILER_BYTES_MAX: usize = 8 * 1024;

/// Where the stream stands after the bytes seen so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Position {
    /// Between two requests.
    Between,
    /// Inside a request's line and headers.
    Head,
    /// Inside a request's body.
    Body,
}

/// What must not be passed on, and from which byte of the piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Index in the piece given to [`Framing::scan`]; what stands before it is good.
    pub(crate) at: usize,
    /// Whether it stands in a head, so that no handler has seen the request.
    pub(crate) in_head: bool,
    /// What is wrong, for the log.
    pub(crate) reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Before or in a request line (whose beginning is in `line`); blank lines may come first.
    Start,
    /// After the request line.
    Headers,
    /// Bytes of a body of known length to go.
    Length(u64),
    ChunkSize,
    /// Bytes of a chunk to go.
    ChunkData(u64),
    /// The CR LF after a chunk: how many of its bytes were seen.
    ChunkEnd(u8),
    Trailers,
    /// After a request for a tunnel: nothing that follows is HTTP.
    Tunnel,
}

/// The scanner's memory between pieces.
#[derive(Debug)]
pub(crate) struct Framing {
    state: State,
    /// The beginning of a line whose end has not come yet.
    line: Vec<u8>,
    /// Bytes a head may have; the rest is hyper's to refuse.
    head_max: usize,
    trailer_bytes: usize,
    content_length: Option<u64>,
    chunked: bool,
    is_tunnel: bool,
    /// Complete heads seen so far.
    heads: u64,
}

impl Framing {
    /// At the start of a connection.
    pub(crate) fn new(head_max: usize) -> Framing {
        Framing {
            state: State::Start,
            line: Vec::new(),
            head_max,
            trailer_bytes: 0,
            content_length: None,
            chunked: false,
            is_tunnel: false,
            heads: 0,
        }
    }

    /// Complete heads seen so far.
    pub(crate) fn heads(&self) -> u64 {
        self.heads
    }

    /// Where the stream stands.
    pub(crate) fn position(&self) -> Position {
        match self.state {
            State::Tunnel => Position::Between,
            State::Start if self.line.is_empty() => Position::Between,
            State::Start | State::Headers => Position::Head,
            _ => Position::Body,
        }
    }

    /// Looks at the next bytes. After a violation the stream is lost.
    pub(crate) fn scan(&mut self, piece: &[u8]) -> Result<(), Violation> {
        let mut at = 0;
        while at < piece.len() {
            let rest = &piece[at..];
            match self.state {
                State::Tunnel => return Err(self.violation(at, "something follows a request for a tunnel")),
                State::Length(left) => at += self.skip(rest, left, State::Length),
                State::ChunkData(left) => at += self.skip(rest, left, State::ChunkData),
                State::ChunkEnd(seen) => {
                    if rest[0] != b"\r\n"[usize::from(seen)] {
                        return Err(self.violation(at, "chunk data is longer than its size says"));
                    }
                    at += 1;
                    self.state = if seen == 0 { State::ChunkEnd(1) } else { State::ChunkSize };
                }
                State::Start | State::Headers | State::ChunkSize | State::Trailers => {
                    let Some(end) = memchr(b'\n', rest) else {
                        return self.keep(rest).map_err(|reason| self.violation(at, reason));
                    };
                    let outcome = if self.line.is_empty() {
                        self.whole_line(&rest[..end])
                    } else {
                        let mut line = std::mem::take(&mut self.line);
                        line.extend_from_slice(&rest[..end]);
                        let outcome = self.whole_line(&line);
                        line.clear();
                        self.line = line;
                        outcome
                    };
                    // The line feed is held back, so hyper never sees this line end well.
                    outcome.map_err(|reason| self.violation(at + end, reason))?;
                    at += end + 1;
                }
            }
        }
        Ok(())
    }

    fn violation(&self, at: usize, reason: &'static str) -> Violation {
        let in_head = matches!(self.state, State::Start | State::Headers | State::Tunnel);
        Violation { at, in_head, reason }
    }

    /// Passes over up to `left` bytes of data; gives back how many there were.
    fn skip(&mut self, rest: &[u8], left: u64, state: fn(u64) -> State) -> usize {
        let seen = usize::try_from(left).unwrap_or(usize::MAX).min(rest.len());
        let left = left - seen as u64;
        self.state = match state(left) {
            State::Length(0) => State::Start,
            State::ChunkData(0) => State::ChunkEnd(0),
            state => state,
        };
        seen
    }

    /// Keeps the beginning of a line until its end comes.
    fn keep(&mut self, rest: &[u8]) -> Result<(), &'static str> {
        let length = self.line.len() + rest.len();
        match self.state {
            State::ChunkSize if length > CHUNK_LINE_BYTES_MAX => {
                return Err("a chunk's size line is too long");
            }
            State::Trailers if length > TRAILER_BYTES_MAX => return Err("trailers are too long"),
            // hyper answers 431 by itself as soon as it has this much; no more need be kept.
            State::Start | State::Headers if length > self.head_max + 2 => return Ok(()),
            _ => {}
        }
        self.line.extend_from_slice(rest);
        Ok(())
    }

    /// Takes a line without its line feed.
    fn whole_line(&mut self, line: &[u8]) -> Result<(), &'static str> {
        let Some((b'\r', line)) = line.split_last().map(|(last, line)| (*last, line)) else {
            return Err("a line ends in a bare line feed");
        };
        if memchr(b'\r', line).is_some() {
            return Err("a line holds a carriage return");
        }
        match self.state {
            State::Start => {
                if !line.is_empty() {
                    self.content_length = None;
                    self.chunked = false;
                    self.is_tunnel = line.starts_with(b"CONNECT ");
                    self.state = State::Headers;
                }
                Ok(())
            }
            State::Headers if line.is_empty() => {
                self.heads += 1;
                if self.is_tunnel {
                    self.state = State::Tunnel;
                    return Ok(());
                }
                self.state = match (self.chunked, self.content_length) {
                    (true, _) => State::ChunkSize,
                    (false, Some(length)) if length > 0 => State::Length(length),
                    (false, _) => State::Start,
                };
                Ok(())
            }
            State::Headers => self.header(line),
            State::ChunkSize => self.chunk_size(line),
            State::Trailers if line.is_empty() => {
                self.trailer_bytes = 0;
                self.state = State::Start;
                Ok(())
            }
            State::Trailers => self.trailer(line),
            State::Length(_) | State::ChunkData(_) | State::ChunkEnd(_) | State::Tunnel => Ok(()),
        }
    }

    fn header(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err("a header is folded");
        }
        if let Some(value) = value_of(line, b"content-length") {
            if self.content_length.is_some() {
                return Err("content-length comes twice");
            }
            self.content_length = Some(read_length(value).ok_or("content-length is no plain number")?);
        } else if let Some(value) = value_of(line, b"transfer-encoding") {
            if self.chunked {
                return Err("transfer-encoding comes twice");
            }
            if !value.eq_ignore_ascii_case(b"chunked") {
                return Err("transfer-encoding is not chunked");
            }
            self.chunked = true;
        } else {
            return Ok(());
        }
        if self.chunked && self.content_length.is_some() {
            return Err("content-length and transfer-encoding come together");
        }
        Ok(())
    }

    fn chunk_size(&mut self, line: &[u8]) -> Result<(), &'static str> {
        if line.len() > CHUNK_LINE_BYTES_MAX {
            return Err("a chunk's size line is too long");
        }
        let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let (size, extension) = line.split_at(digits);
        let is_plain = |byte: &u8| *byte == b'\t' || (b' '..=b'~').contains(byte);
        if !(1..=16).contains(&digits) || !matches!(extension.first(), None | Some(b';')) {
            return Err("a chunk's size is no plain hex number");
        }
        if !extension.iter().all(is_plain) {
            return Err("a chunk extension holds control characters");
        }
        let size = size.iter().fold(0_u64, |size, digit| {
            size << 4 | u64::from(char::from(*digit).to_digit(16).unwrap_or_default())
        });
        self.state = if size == 0 { State::Trailers } else { State::ChunkData(size) };
        Ok(())
    }

    fn trailer(&mut self, line: &[u8]) -> Result<(), &'static str> {
        self.trailer_bytes += line.len() + 2;
        if self.trailer_bytes > TRAILER_BYTES_MAX {
            return Err("trailers are too long");
        }
        if matches!(line.first(), Some(b' ' | b'\t')) {
            return Err("a trailer is folded");
        }
        if value_of(line, b"content-length").is_some() || value_of(line, b"transfer-encoding").is_some() {
            return Err("a trailer names a length");
        }
        Ok(())
    }
}

/// The value of a header line, without blanks around it, if it has this (lower-case) name.
/// A blank before the colon is not forgiven here, hyper refuses it.
fn value_of<'a>(line: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    // The name may be followed by blanks that hyper refuses later; look at them as part of it.
    let (start, rest) = line.split_at_checked(name.len())?;
    if !start.eq_ignore_ascii_case(name) {
        return None;
    }
    let value = rest.trim_ascii_start().strip_prefix(b":")?;
    Some(trim_blanks(value))
}

fn trim_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// A length of plain digits that fits.
fn read_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return None;
    }
    std::str::from_utf8(value).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans the text in one piece, byte by byte and in pieces of 7, and expects the same each time:
    /// the position at the end, or what is wrong.
    fn check(text: &str, expected: Result<Position, &str>) {
        for size in [text.len().max(1), 1, 7] {
            let mut framing = Framing::new(64 * 1024);
            let found = text
                .as_bytes()
                .chunks(size)
                .try_for_each(|piece| framing.scan(piece))
                .map(|()| framing.position())
                .map_err(|violation| violation.reason);
            assert_eq!(found, expected, "{text:?} in pieces of {size}");
        }
    }

    const POST: &str = "POST / HTTP/1.1\r\nHost: a\r\n";

    #[test]
    fn good_requests_are_followed_to_their_end() {
        check("", Ok(Position::Between));
        check("GET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Position::Between));
        check("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", Ok(Position::Between));
        check("GET / HTTP/1.1\r\nHost: a\r\n", Ok(Position::Head));
        check("G", Ok(Position::Head));
        check(&format!("{POST}Content-Length: 5\r\n\r\nhello"), Ok(Position::Between));
        check(&format!("{POST}Content-Length: 5\r\n\r\nhell"), Ok(Position::Body));
        check(&format!("{POST}content-length:0\r\n\r\nGET / HTTP/1.1\r\n\r\n"), Ok(Position::Between));
        check(&format!("{POST}Content-Length: 2\r\n\r\n\n\n"), Ok(Position::Between));
        let chunked = format!("{POST}Transfer-Encoding: Chunked\r\n\r\n");
        check(&format!("{chunked}5\r\nhello\r\n0\r\n\r\n"), Ok(Position::Between));
        check(&format!("{chunked}5;a=b; c=\"d\"\r\nhello\r\n0\r\n\r\n"), Ok(Position::Between));
        check(&format!("{chunked}00A\r\n0123456789\r\n0\r\nX: y\r\n\r\n"), Ok(Position::Between));
        check(&format!("{chunked}5\r\nhello\r\n"), Ok(Position::Body));
        check(&format!("{chunked}0\r\n\r\n{chunked}1\r\na\r\n0\r\n"), Ok(Position::Body));
    }

    #[test]
    fn what_two_readers_could_read_differently_is_refused() {
        let both = "content-length and transfer-encoding come together";
        check(&format!("{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"), Err(both));
        check(&format!("{POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n"), Err(both));
        check(&format!("{POST}Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n"), Err(both));
        let twice = "content-length comes twice";
        check(&format!("{POST}Content-Length: 5\r\nContent-Length: 6\r\n\r\n"), Err(twice));
        check(&format!("{POST}Content-Length: 5\r\nCONTENT-LENGTH: 5\r\n\r\n"), Err(twice));
        for value in ["5, 5", "+5", "-1", "0x5", "5 5", "", "99999999999999999999", "٥"] {
            let plain = "content-length is no plain number";
            check(&format!("{POST}Content-Length: {value}\r\n\r\n"), Err(plain));
        }
        for value in ["gzip, chunked", "chunked, identity", "identity", "xchunked", "", "\"chunked\""] {
            let other = "transfer-encoding is not chunked";
            check(&format!("{POST}Transfer-Encoding: {value}\r\n\r\n"), Err(other));
        }
        let te_twice = "transfer-encoding comes twice";
        check(&format!("{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"), Err(te_twice));
        let bare = "a line ends in a bare line feed";
        check("GET / HTTP/1.1\nHost: a\r\n\r\n", Err(bare));
        check("GET / HTTP/1.1\r\nHost: a\n\r\n", Err(bare));
        check("GET / HTTP/1.1\r\nHost: a\r\n\n", Err(bare));
        check("\nGET / HTTP/1.1\r\n\r\n", Err(bare));
        check("GET / HTTP/1.1\r\nX: a\rb\r\n\r\n", Err("a line holds a carriage return"));
        check("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n", Err("a header is folded"));
    }

    #[test]
    fn odd_chunks_are_refused() {
        let chunked = format!("{POST}Transfer-Encoding: chunked\r\n\r\n");
        let size = "a chunk's size is no plain hex number";
        for line in ["", " 5", "5 ", "5 ;a", "0x5", "+5", "-5", "5,5", "g", "00000000000000005"] {
            check(&format!("{chunked}{line}\r\nhello\r\n"), Err(size));
        }
        check(&format!("{chunked}5\nhello\r\n"), Err("a line ends in a bare line feed"));
        check(&format!("{chunked}5;a\rb\r\nhello\r\n"), Err("a line holds a carriage return"));
        check(&format!("{chunked}5;a\0b\r\nhello\r\n"), Err("a chunk extension holds control characters"));
        check(
            &format!("{chunked}5;{}\r\nhello\r\n", "a".repeat(300)),
            Err("a chunk's size line is too long"),
        );
        let longer = "chunk data is longer than its size says";
        check(&format!("{chunked}4\r\nhello\r\n"), Err(longer));
        check(&format!("{chunked}5\r\nhello\n0\r\n\r\n"), Err(longer));
        check(&format!("{chunked}0\r\nContent-Length: 3\r\n\r\n"), Err("a trailer names a length"));
        check(&format!("{chunked}0\r\nX: a\r\n b\r\n\r\n"), Err("a trailer is folded"));
    }

    proptest::proptest! {
        /// However the bytes are cut into pieces, the same violation is found at the same place.
        #[test]
        fn pieces_make_no_difference(
            parts in proptest::collection::vec(proptest::sample::select(PARTS), 0..12),
            cuts in proptest::collection::vec(1_usize..20, 1..40),
        ) {
            let bytes: Vec<u8> = parts.concat().into_bytes();
            let mut whole = Framing::new(1024);
            let expected = whole.scan(&bytes);
            let mut pieces = Framing::new(1024);
            let mut found = Ok(());
            let (mut at, mut cuts) = (0, cuts.iter().cycle());
            while at < bytes.len() && found.is_ok() {
                let end = bytes.len().min(at + cuts.next().copied().unwrap_or(1));
                found = pieces.scan(&bytes[at..end]).map_err(|violation| Violation { at: violation.at + at, ..violation });
                at = end;
            }
            proptest::prop_assert_eq!(found, expected);
            if expected.is_ok() {
                proptest::prop_assert_eq!(pieces.position(), whole.position());
                proptest::prop_assert_eq!(pieces.heads(), whole.heads());
            }
        }
    }

    /// What random streams are made of.
    const PARTS: &[&str] = &[
        "GET / HTTP/1.1\r\n",
        "CONNECT a:1 HTTP/1.1\r\n",
        "Host: a\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "\r\n",
        "\r\n",
        "hello",
        "5\r\nhello\r\n",
        "0\r\n",
        "\n",
        " ",
        "\r",
        "\0",
    ];

    #[test]
    fn a_violation_says_how_much_is_good() {
        let good = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let text = format!("{good}GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n");
        let violation = Framing::new(1024).scan(text.as_bytes()).expect_err("bare line feed");
        assert!(violation.in_head);
        assert_eq!(&text[violation.at..violation.at + 2], "\nX");
    }
}
