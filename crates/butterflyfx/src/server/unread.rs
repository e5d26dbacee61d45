//! What a handler leaves of an HTTP/1 request's body, as a refusal does that needs only the head.
//!
//! The next request on the connection stands behind it. hyper goes on only where it was read to its end, and closes
//! otherwise, without a word where the answer's head is written first: a client that sends head and body apart would see its
//! next request fail. So a small rest is read and forgotten before the answer, and all else is answered with
//! `Connection: close`. HTTP/2 has streams, and needs none of this.

use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use parking_lot::Mutex;
use std::time::Duration;

/// A rest larger than this is not read: a new connection costs less.
const REST_BYTES_MAX: u64 = 64 * 1024;

/// An answer waits for a rest no longer than this.
const REST_TIME_MAX: Duration = Duration::from_millis(500);

/// Where the body of a connection's request is left.
#[derive(Debug, Default)]
pub(crate) struct Unread(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    /// Nobody would take a rest: no body, or its answer has begun.
    #[default]
    Unwanted,
    /// A handler has it, or has read it to its end.
    Wanted,
    Left(Rest),
}

/// A body that was not read to its end.
#[derive(Debug)]
pub(crate) struct Rest {
    pub(crate) incoming: Incoming,
    /// Whether the client waits for a `100 Continue`, which it will not get.
    pub(crate) is_held_back: bool,
}

impl Unread {
    /// A handler gets the body of a request.
    pub(crate) fn expect(&self) {
        *self.0.lock() = State::Wanted;
    }

    /// A handler does not want the rest. Where the answer has begun, hyper sees to it.
    pub(crate) fn leave(&self, rest: Rest) {
        let mut state = self.0.lock();
        if matches!(*state, State::Wanted) {
            *state = State::Left(rest);
        }
    }

    /// What was left, before the answer begins.
    pub(crate) fn take(&self) -> Option<Rest> {
        match std::mem::take(&mut *self.0.lock()) {
            State::Left(rest) => Some(rest),
            State::Unwanted | State::Wanted => None,
        }
    }
}

impl Rest {
    /// Reads to the end; `false` where that takes too long or is too much, so that the connection cannot go on.
    pub(crate) async fn read_out(mut self) -> bool {
        if self.incoming.is_end_stream() {
            return true;
        }
        // To read is to ask for it. A client that holds its body back may send it or not, so nobody knows what comes next.
        if self.is_held_back || self.incoming.size_hint().lower() > REST_BYTES_MAX {
            return false;
        }
        let reading = async {
            let mut left = REST_BYTES_MAX;
            while let Some(frame) = self.incoming.frame().await {
                let Ok(frame) = frame else { return false };
                let bytes = frame.data_ref().map_or(0, |data| data.len() as u64);
                let Some(fewer) = left.checked_sub(bytes) else { return false };
                left = fewer;
            }
            true
        };
        tokio::time::timeout(REST_TIME_MAX, reading).await.unwrap_or(false)
    }
}
