//! A request's body as it comes: frame by frame where it is needed, and a little ahead while a worker has what came before.
//!
//! That a client has left shows at the end of what it sent, so that nobody would know of it who does not read on.

use crate::http::problem::{Outcome, Problem};
use crate::http::wire;
use axum::body::Body;
use bytes::Bytes;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::pin::pin;

/// Bytes from which on no more is read ahead.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;

/// A body on its way.
pub(super) struct Incoming {
    body: Body,
    /// All that came.
    bytes: u64,
    bytes_max: u64,
    ahead: VecDeque<Bytes>,
    ahead_bytes: usize,
    has_ended: bool,
}

impl Incoming {
    /// A body that may have so many bytes.
    pub(super) fn new(body: Body, bytes_max: u64) -> Incoming {
        Incoming { body, bytes: 0, bytes_max, ahead: VecDeque::new(), ahead_bytes: 0, has_ended: false }
    }

    /// Whether there is no more of it.
    pub(super) fn is_over(&self) -> bool {
        self.has_ended && self.ahead.is_empty()
    }

    /// Whether the client still has some of it to send, as far as one knows.
    pub(super) fn is_awaited(&self) -> bool {
        !self.has_ended
    }

    /// What comes next; nothing at the end.
    pub(super) async fn next(&mut self) -> Outcome<Bytes> {
        match self.ahead.pop_front() {
            Some(data) => {
                self.ahead_bytes -= data.len();
                Ok(data)
            }
            None => self.read().await,
        }
    }

    /// Waits for work, and reads on meanwhile. The work is dropped where the body breaks off.
    pub(super) async fn read_during<T>(&mut self, work: impl Future<Output = T>) -> Outcome<T> {
        let mut work = pin!(work);
        while !self.has_ended && self.ahead_bytes < AHEAD_BYTES_MAX {
            tokio::select! {
                biased;
                done = &mut work => return Ok(done),
                data = self.read() => {
                    let data = data?;
                    self.ahead_bytes += data.len();
                    self.ahead.push_back(data);
                }
            }
        }
        Ok(work.await)
    }

    /// Reads one frame. What is dropped before it is ready has read nothing.
    async fn read(&mut self) -> Outcome<Bytes> {
        let Some(frame) = self.body.frame().await else {
            self.has_ended = true;
            return Ok(Bytes::new());
        };
        // Trailers say nothing here.
        let data = frame.map_err(|error| wire::broken_body(&error))?.into_data().unwrap_or_default();
        self.bytes += data.len() as u64;
        if self.bytes > self.bytes_max {
            return Err(Problem::body_too_large("a table", self.bytes_max));
        }
        Ok(data)
    }
}
