//! The stream between a socket and hyper: tells HTTP/1 from HTTP/2, watches HTTP/1 framing, and
//! notes what the connection is doing.
//!
//! It also sends the answers to pipelined requests together: while hyper holds complete requests
//! that have not begun, what it writes is kept here. hyper can do that too (`pipeline_flush`), but
//! decides by whether it has unread bytes, and so keeps an answer back for the rest of a head or
//! body that may never come.
//!
//! Bad framing is made visible to hyper instead of answered here, because answers to earlier
//! requests may still be on their way: in a head the bytes from the violation on are replaced by a
//! zero and the head's end, which hyper answers with 400 in its turn and closes; in a body the
//! read fails, which hyper gives to the handler and then closes.

use super::activity::{Activity, ms_of, now_ms};
use super::framing::{Framing, Position};
use super::quick::Quick;
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// What an HTTP/2 client sends first.
const HTTP2_PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What follows a violation in a head, so that hyper finds the head complete, and bad.
const BAD_END: &[u8] = b"\0\r\n\r\n";

/// How a connection speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// HTTP/1.0 or 1.1
    Http1,
    /// HTTP/2 with prior knowledge
    Http2,
}

/// A socket, watched.
pub(crate) struct Guard {
    stream: TcpStream,
    /// Answers what takes the short way.
    quick: Arc<dyn Quick>,
    activity: Arc<Activity>,
    header_timeout: Duration,
    /// Bytes read while the protocol was found out, and how many of them were handed on.
    first: Vec<u8>,
    first_read: usize,
    /// `None`: HTTP/2, whose framing leaves no doubt.
    framing: Option<Framing>,
    state: State,
    linger: Option<Linger>,
    /// Answers that wait for the next one, and how many bytes of them were sent.
    kept: Vec<u8>,
    kept_sent: usize,
    /// Requests that had begun when hyper last had nothing left to send.
    flushed: u64,
}

thread_local! {
    /// Room for the answers to one piece.
    static ANSWERS: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Answers are kept up to this many bytes.
const KEPT_BYTES_MAX: usize = 64 * 1024;

/// Reading on after the last answer, see [`Guard::poll_linger`].
#[derive(Debug)]
struct Linger {
    timer: Pin<Box<Sleep>>,
    left: usize,
}

/// How much unread input is discarded, and for how long. Many clients look for an answer only when
/// they have sent all, so that a body somewhat too large has to fit.
const LINGER_BYTES_MAX: usize = 32 * 1024 * 1024;
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// What a client is told that does not finish the head of its request.
const TOO_SLOW_ANSWER: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Open,
    /// A violation was found; this much of [`BAD_END`] has been handed on.
    Bad(usize),
    /// The client has ended its side.
    Ended,
}

impl Guard {
    /// Waits for the first bytes and tells by them how the client speaks.
    ///
    /// # Errors
    /// The socket's; an end before the first byte.
    pub(crate) async fn accept(
        mut stream: TcpStream,
        quick: Arc<dyn Quick>,
        activity: Arc<Activity>,
        head_max: usize,
        header_timeout: Duration,
    ) -> io::Result<(Guard, Protocol)> {
        let mut first = Vec::with_capacity(1024);
        let protocol = loop {
            if stream.read_buf(&mut first).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if first.len() >= HTTP2_PREFACE.len() || !HTTP2_PREFACE.starts_with(&first) {
                let is_http2 = first.starts_with(HTTP2_PREFACE);
                break if is_http2 { Protocol::Http2 } else { Protocol::Http1 };
            }
            if !activity.is_in_head() {
                activity.head_began(now_ms() + ms_of(header_timeout));
            }
        };
        activity.head_ended();
        let framing = (protocol == Protocol::Http1).then(|| Framing::new(head_max));
        let mut guard = Guard {
            stream,
            quick,
            activity,
            header_timeout,
            first,
            first_read: 0,
            framing,
            state: State::Open,
            linger: None,
            kept: Vec::new(),
            kept_sent: 0,
            flushed: 0,
        };
        let mut first = std::mem::take(&mut guard.first);
        if protocol == Protocol::Http1 {
            // hyper reads at once, and with that they are sent.
            let taken = guard.quick.answer_quickly(&first, &guard.activity, &mut guard.kept);
            first.drain(..taken);
        }
        let good = guard.inspect(&first)?;
        first.truncate(good);
        guard.first = first;
        Ok((guard, protocol))
    }

    /// Whether the client may still be sending what nobody will read.
    fn has_unread_input(&self) -> bool {
        let is_inside = self.framing.as_ref().is_some_and(|framing| framing.position() != Position::Between);
        matches!(self.state, State::Bad(_)) || (self.state == State::Open && is_inside)
    }

    /// Reads and forgets what the client still sends, for a moment, so that it can see its
    /// answer: a socket closed with unread input is reset, and a reset discards what was sent.
    fn poll_linger(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let linger = self.linger.get_or_insert_with(|| Linger {
            timer: Box::pin(tokio::time::sleep(LINGER_TIME_MAX)),
            left: LINGER_BYTES_MAX,
        });
        let mut space = [0; 4 * 1024];
        while linger.left > 0 {
            let mut buffer = ReadBuf::new(&mut space);
            match Pin::new(&mut self.stream).poll_read(cx, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    linger.left = linger.left.saturating_sub(buffer.filled().len());
                }
                Poll::Ready(_) => return Poll::Ready(()),
                Poll::Pending => return linger.timer.as_mut().poll(cx),
            }
        }
        Poll::Ready(())
    }

    /// Looks at bytes from the socket; gives back how many of them to hand on.
    fn inspect(&mut self, piece: &[u8]) -> io::Result<usize> {
        let Some(framing) = &mut self.framing else { return Ok(piece.len()) };
        let was_in_head = framing.position() == Position::Head;
        match framing.scan(piece) {
            Ok(()) => {
                let is_in_head = framing.position() == Position::Head;
                if is_in_head && !self.activity.is_in_head() {
                    self.activity.head_began(now_ms() + ms_of(self.header_timeout));
                } else if was_in_head && !is_in_head {
                    self.activity.head_ended();
                }
                Ok(piece.len())
            }
            Err(violation) => {
                tracing::debug!(reason = violation.reason, "refused bad framing");
                self.activity.head_ended();
                self.state = State::Bad(if violation.in_head { 0 } else { BAD_END.len() });
                if !violation.in_head && violation.at == 0 {
                    return Err(bad_body());
                }
                Ok(violation.at)
            }
        }
    }
}

fn bad_body() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the body's framing is malformed")
}

impl AsyncRead for Guard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.kept.is_empty()
            && !self.is_more_to_come()
            && let Poll::Ready(Err(error)) = self.poll_send_kept(cx)
        {
            return Poll::Ready(Err(error));
        }
        if self.first_read < self.first.len() {
            let rest = &self.first[self.first_read..];
            let taken = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..taken]);
            self.first_read += taken;
            if self.first_read == self.first.len() {
                self.first = Vec::new();
                self.first_read = 0;
            }
            return Poll::Ready(Ok(()));
        }
        if let State::Bad(sent) = self.state {
            let rest = &BAD_END[sent..];
            if rest.is_empty() {
                return Poll::Ready(Err(bad_body()));
            }
            let taken = rest.len().min(buffer.remaining());
            buffer.put_slice(&rest[..taken]);
            self.state = State::Bad(sent + taken);
            return Poll::Ready(Ok(()));
        }
        if self.activity.is_given_up() {
            // Only in an HTTP/1 head is it certain that no other answer is on its way.
            if self.activity.is_in_head() && self.framing.is_some() {
                let _ = self.stream.try_write(TOO_SLOW_ANSWER);
            }
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        let before = buffer.filled().len();
        let guard = &mut *self;
        loop {
            ready!(Pin::new(&mut guard.stream).poll_read(cx, buffer))?;
            if buffer.filled().len() == before {
                guard.state = State::Ended;
                return Poll::Ready(Ok(()));
            }
            if !guard.may_answer_quickly() {
                break;
            }
            let taken = guard.answer_quickly(&buffer.filled()[before..], cx)?;
            let end = buffer.filled().len();
            buffer.filled_mut().copy_within(before + taken..end, before);
            buffer.set_filled(end - taken);
            // hyper need not know that there was anything.
            if buffer.filled().len() > before {
                break;
            }
        }
        let piece = &buffer.filled()[before..];
        let good = guard.inspect(piece)?;
        buffer.set_filled(before + good);
        if good == 0 {
            // Nothing of the piece may be handed on, but nothing handed on means the end: go on
            // with what follows a violation at once.
            return self.poll_read(cx, buffer);
        }
        Poll::Ready(Ok(()))
    }
}

impl Guard {
    /// Whether hyper holds complete requests that have not begun, so that another answer follows
    /// at once, or the connection's end.
    fn is_more_to_come(&self) -> bool {
        self.framing.as_ref().is_some_and(|framing| framing.heads() > self.activity.begun())
    }

    /// Whether hyper is at rest: it holds no request and no answer, so that answers may pass it by.
    fn may_answer_quickly(&self) -> bool {
        let Some(framing) = &self.framing else { return false };
        let begun = self.activity.begun();
        self.state == State::Open
            && self.kept.is_empty()
            && framing.position() == Position::Between
            && framing.heads() == begun
            && self.flushed == begun
            && self.activity.in_flight() == 0
    }

    /// Answers the requests at the start of a piece that take the short way; gives back how many
    /// bytes they were.
    fn answer_quickly(&mut self, piece: &[u8], cx: &mut Context<'_>) -> io::Result<usize> {
        let mut answers = ANSWERS.take();
        answers.clear();
        let taken = self.quick.answer_quickly(piece, &self.activity, &mut answers);
        let mut sent = 0;
        while sent < answers.len() {
            match self.poll_send(cx, &answers[sent..]) {
                Poll::Ready(Ok(0)) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(Ok(n)) => sent += n,
                Poll::Ready(Err(error)) => return Err(error),
                // The task is woken when there is room, and begins with what is kept.
                Poll::Pending => {
                    self.kept.extend_from_slice(&answers[sent..]);
                    break;
                }
            }
        }
        ANSWERS.set(answers);
        Ok(taken)
    }

    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(cx, bytes);
        match outcome {
            Poll::Ready(_) => self.activity.write_moved(),
            Poll::Pending => self.activity.write_blocked(),
        }
        outcome
    }

    /// Sends what was kept.
    fn poll_send_kept(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.kept_sent < self.kept.len() {
            let kept = std::mem::take(&mut self.kept);
            let outcome = self.poll_send(cx, &kept[self.kept_sent..]);
            self.kept = kept;
            match ready!(outcome)? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                n => self.kept_sent += n,
            }
        }
        self.kept.clear();
        self.kept_sent = 0;
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Guard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let is_room = self.kept.len() + bytes.len() <= KEPT_BYTES_MAX;
        if is_room && (!self.kept.is_empty() || self.is_more_to_come()) {
            self.kept.extend_from_slice(bytes);
            return Poll::Ready(Ok(bytes.len()));
        }
        ready!(self.poll_send_kept(cx))?;
        self.poll_send(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.kept.is_empty() {
            if self.is_more_to_come() {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_send_kept(cx))?;
        }
        // hyper flushes only what it has handed on; a request that has ended is all there.
        if self.activity.in_flight() == 0 {
            self.flushed = self.activity.begun();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.linger.is_none() {
            ready!(self.poll_send_kept(cx))?;
            ready!(Pin::new(&mut self.stream).poll_shutdown(cx))?;
        }
        if self.has_unread_input() {
            ready!(self.poll_linger(cx));
        }
        Poll::Ready(Ok(()))
    }
}
