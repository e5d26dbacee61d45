//! Bodies: a request's, which must arrive in time, and an answer's, whose end ends the request.

use super::activity::{Activity, now_ms, to_ms};
use super::held::Held;
use super::unread::Rest;
use bytes::Bytes;
use http::header::EXPECT;
use http::{Request, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// How fast a body must come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// The longest pause.
    pub(crate) timeout: Duration,
    /// Bytes a second on average, looked at once a body takes longer than `timeout`.
    pub(crate) rate_min: u64,
}

/// Why a request's body cannot be read to its end.
#[derive(Debug)]
pub enum BodyError {
    /// It came too slowly: the answer will be 408, whatever the handler says.
    TooSlow,
    /// Too many large bodies are held already: the answer will be 503, whatever the handler says.
    NoRoom,
    /// The connection broke, or the framing is malformed.
    Broken(hyper::Error),
}

impl fmt::Display for BodyError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BodyError::TooSlow => out.write_str("the request body comes too slowly"),
            BodyError::NoRoom => out.write_str("there is no room for the request body at the moment"),
            BodyError::Broken(_) => out.write_str("the request body is malformed or incomplete"),
        }
    }
}

impl std::error::Error for BodyError {}

/// A request's body. Costs a timer only if it has to be waited for.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// There until this is dropped.
    incoming: Option<Incoming>,
    activity: Arc<Activity>,
    /// The request's number on its connection.
    number: u64,
    /// Whether what is not read must be seen to.
    rest: RestUse,
    pace: Pace,
    received: u64,
    /// What a large body holds.
    held: Option<Arc<Held>>,
    waiting: Option<Waiting>,
}

/// What becomes of a body that is dropped before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RestUse {
    /// Nothing: it was read to its end, or failed, or its framing lets it be left.
    None,
    /// It is left to [`super::unread`].
    Leave,
    /// The same; and the client sends nothing before the body is asked for.
    LeaveHeldBack,
}

impl RestUse {
    /// What becomes of the body of this request.
    pub(crate) fn of<B>(request: &Request<B>) -> RestUse {
        if request.version() >= Version::HTTP_2 {
            return RestUse::None;
        }
        match request.headers().contains_key(EXPECT) {
            true => RestUse::LeaveHeldBack,
            false => RestUse::Leave,
        }
    }

    /// The rest of a body that no handler has seen.
    pub(crate) fn of_unseen(self, incoming: Incoming) -> Option<Rest> {
        (self != RestUse::None).then_some(Rest { incoming, is_held_back: self == RestUse::LeaveHeldBack })
    }
}

/// The first wait for a body, and the pause it is in.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    is_paused: bool,
    timer: Pin<Box<Sleep>>,
}

impl RequestBody {
    /// The body of request `number` on a connection.
    pub(crate) fn new(
        incoming: Incoming,
        activity: Arc<Activity>,
        number: u64,
        rest: RestUse,
        pace: Pace,
        held: Option<Arc<Held>>,
    ) -> RequestBody {
        RequestBody {
            incoming: Some(incoming),
            activity,
            number,
            rest,
            pace,
            received: 0,
            held,
            waiting: None,
        }
    }

    /// Whether the pause, or the whole body, takes too long. Registers for the moment it will.
    fn is_too_slow(&mut self, cx: &mut Context<'_>) -> bool {
        let timeout = self.pace.timeout;
        let waiting = self.waiting.get_or_insert_with(|| Waiting {
            since: Instant::now(),
            is_paused: true,
            timer: Box::pin(tokio::time::sleep(timeout)),
        });
        if !waiting.is_paused {
            waiting.is_paused = true;
            waiting.timer.as_mut().reset(tokio::time::Instant::now() + timeout);
            let taken = waiting.since.elapsed();
            let wanted = u128::from(self.pace.rate_min) * taken.as_millis() / 1_000;
            if taken > timeout && u128::from(self.received) < wanted {
                return true;
            }
        }
        waiting.timer.as_mut().poll(cx).is_ready()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let body = &mut *self;
        let Some(incoming) = &mut body.incoming else { return Poll::Ready(None) };
        if body.rest == RestUse::LeaveHeldBack {
            // With this hyper asks for it.
            body.rest = RestUse::Leave;
        }
        match Pin::new(incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(data) = frame.data_ref() {
                    body.received += data.len() as u64;
                    if body.held.as_ref().is_some_and(|held| !held.grow_to(body.received)) {
                        return Poll::Ready(Some(Err(BodyError::NoRoom)));
                    }
                }
                if let Some(waiting) = &mut body.waiting {
                    waiting.is_paused = false;
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                body.rest = RestUse::None;
                Poll::Ready(Some(Err(BodyError::Broken(error))))
            }
            Poll::Ready(None) => {
                body.rest = RestUse::None;
                Poll::Ready(None)
            }
            Poll::Pending if body.is_too_slow(cx) => {
                body.activity.set_slow_request(body.number);
                Poll::Ready(Some(Err(BodyError::TooSlow)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.rest != RestUse::None
            && let Some(incoming) = self.incoming.take()
        {
            let is_held_back = self.rest == RestUse::LeaveHeldBack;
            self.activity.unread.leave(Rest { incoming, is_held_back });
        }
    }
}

/// Counts a request as in flight until it is dropped.
#[derive(Debug)]
pub(crate) struct InFlight {
    activity: Arc<Activity>,
    /// When the answer was there, if all of it was there at once; else the end is looked at.
    ended: Option<Instant>,
}

impl InFlight {
    /// A request goes to its handler. Gives back its number on the connection, too.
    pub(crate) fn begin(activity: Arc<Activity>) -> (InFlight, u64) {
        let number = activity.request_began();
        (InFlight { activity, ended: None }, number)
    }

    /// The connection's activity.
    pub(crate) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.activity.request_ended(self.ended.map_or_else(now_ms, to_ms));
    }
}

/// An answer's body. The request is in flight until hyper drops it.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    body: axum::body::Body,
    _in_flight: InFlight,
    /// The request's body, or what was made of it, may be needed until then.
    _held: Option<Arc<Held>>,
}

impl AnswerBody {
    /// The body of an answer whose head was there at `now`.
    pub(crate) fn new(
        body: axum::body::Body,
        mut in_flight: InFlight,
        held: Option<Arc<Held>>,
        now: Instant,
    ) -> AnswerBody {
        in_flight.ended = body.size_hint().exact().map(|_| now);
        AnswerBody { body, _in_flight: in_flight, _held: held }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
