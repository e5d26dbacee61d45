//! What happens around every request: is it acceptable at all, who may send it, its id, its
//! counters, its log line, its headers; and what if the handler panics.
//!
//! One function around the router, not a stack of layers: each layer would box a future.

use super::activity::{Activity, Excuse};
use super::body::{AnswerBody, InFlight, Pace, RequestBody, RestUse};
use super::browsers::Browsers;
use super::held::Bodies;
use super::quick::{QuickAnswer, QuickRequest};
use crate::app::App;
use crate::client;
use crate::http::problem::{Code, Problem};
use crate::metrics::routes::Route;
use axum::body::Body;
use futures_util::FutureExt;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body::Body as _;
use hyper::body::Incoming;
use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// The header that carries a request's id.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Longer ids from clients are replaced by ours.
const REQUEST_ID_BYTES_MAX: usize = 128;

/// Whatever answers requests behind the transport.
pub trait Answers: Send + Sync + 'static {
    /// Answers one request.
    fn answer(&self, request: Request<Body>) -> impl Future<Output = Response<Body>> + Send;

    /// Answers a plain request at once with status 200, its JSON appended to `body`; `None` where that
    /// cannot be, or not without waiting: then [`Answers::answer`] is asked, and nothing may have
    /// been done. See [`super::quick`].
    fn quick(&self, _request: &QuickRequest<'_>, _body: &mut String) -> Option<QuickAnswer> {
        None
    }
}

impl Answers for axum::Router {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        let Ok(response) = tower::ServiceExt::oneshot(self.clone(), request).await;
        response
    }
}

/// What all connections share.
#[derive(Debug)]
pub(crate) struct Shared<A> {
    pub(crate) app: Arc<App>,
    pub(super) answers: A,
    browsers: Browsers,
    pace: Pace,
    bodies: Arc<Bodies>,
    pub(super) headers_max: usize,
    pub(super) head_max: usize,
    body_max: u64,
    pub(super) ids: RequestIds,
    /// Whether plain requests may be answered before hyper sees them.
    pub(super) is_quick: bool,
}

impl<A: Answers> Shared<A> {
    pub(crate) fn new(app: Arc<App>, answers: A) -> Shared<A> {
        let http = &app.config.http;
        Shared {
            answers,
            browsers: Browsers::new(http),
            pace: Pace { timeout: http.body_timeout, rate_min: http.body_rate_min },
            bodies: Bodies::new(http.body_max),
            headers_max: http.headers_max,
            head_max: http.head_max,
            is_quick: http.allowed_hosts.is_empty(),
            body_max: http.batch_body_max.max(http.body_max),
            ids: RequestIds::new(app.started_at.0),
            app,
        }
    }
}

/// Answers a request.
pub(crate) async fn answer<A: Answers>(
    shared: Arc<Shared<A>>,
    activity: Arc<Activity>,
    request: Request<Incoming>,
) -> Result<Response<AnswerBody>, Infallible> {
    let started = Instant::now();
    let (in_flight, number) = InFlight::begin(activity);
    let activity = in_flight.activity();
    let route = Route::of_path(request.uri().path());
    let method = request.method().clone();
    let id = shared.ids.of(&request);

    let logged = tracing::enabled!(tracing::Level::DEBUG).then(|| request.uri().clone());
    let rest_use = RestUse::of(&request);
    let mut is_last = false;
    let mut held = None;
    let mut rest = None;
    let mut response = match shared.accept(&request) {
        Verdict::Go { origin } => {
            // The path is only needed for what goes wrong, but then the request is gone.
            let uri = request.uri().clone();
            let mut request = request.map(|incoming| {
                if incoming.is_end_stream() {
                    return Body::empty();
                }
                held = shared.bodies.open(incoming.size_hint().exact());
                if rest_use != RestUse::None {
                    activity.unread.expect();
                }
                Body::new(RequestBody::new(
                    incoming,
                    Arc::clone(activity),
                    number,
                    rest_use,
                    shared.pace,
                    held.clone(),
                ))
            });
            if held.is_some() {
                request.extensions_mut().insert(Excuse::new(Arc::clone(activity)));
            }
            let answering = client::serving(activity.client(), shared.answers.answer(request));
            let handled = AssertUnwindSafe(answering).catch_unwind().await;
            let mut response = match handled {
                Ok(response) => response,
                // The panic hook has logged it.
                Err(_) => {
                    shared.app.metrics.panicked();
                    Problem::new(Code::Internal, "the server failed to answer; its log has the details")
                        .response(Some(uri.path()))
                }
            };
            if rest_use != RestUse::None {
                rest = activity.unread.take();
            }
            if activity.is_slow_request(number) {
                is_last = true;
                response = Problem::new(
                    Code::RequestTimeout,
                    "the request body came too slowly; send it again, or in smaller parts",
                )
                .response(Some(uri.path()));
            }
            if held.as_ref().is_some_and(|held| held.is_refused()) {
                is_last = true;
                shared.app.metrics.overloaded();
                response = Problem::new(
                    Code::Overloaded,
                    "too many large request bodies are being read; send this one again later",
                )
                .response(Some(uri.path()));
            }
            if let Some(origin) = origin {
                shared.browsers.add_headers(origin, response.headers_mut());
            }
            response
        }
        Verdict::Answer(response) => {
            rest = rest_use.of_unseen(request.into_body());
            *response
        }
        Verdict::Refuse { problem, close } => {
            is_last = close;
            let response = problem.response(Some(request.uri().path()));
            rest = rest_use.of_unseen(request.into_body());
            response
        }
    };
    let took = started.elapsed();
    if !is_last && let Some(rest) = rest.take() {
        is_last = !Box::pin(rest.read_out()).await;
    }

    let headers = response.headers_mut();
    headers.insert(REQUEST_ID.clone(), id);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if is_last {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    let answered = Instant::now();
    shared.app.metrics.answered(route, &method, response.status(), took);
    if response.status() == StatusCode::INTERNAL_SERVER_ERROR {
        // What went wrong was logged where it was seen; this ties it to the answer.
        let id = response.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok());
        tracing::error!(request_id = id, route = route.template(), "answered 500");
    }
    if let Some(uri) = logged {
        tracing::debug!(
            method = %method,
            path = uri.path(),
            status = response.status().as_u16(),
            took_us = u64::try_from(took.as_micros()).unwrap_or(u64::MAX),
            request_id = response.headers().get(&REQUEST_ID).and_then(|id| id.to_str().ok()),
            "request"
        );
    }
    Ok(response.map(|body| AnswerBody::new(body, in_flight, held, answered)))
}

/// What becomes of a request before its handler sees it.
enum Verdict {
    /// It goes on; the answer names this origin to the browser.
    Go { origin: Option<HeaderValue> },
    /// It is answered here.
    Answer(Box<Response<Body>>),
    /// It is refused, and its connection perhaps closed.
    Refuse { problem: Box<Problem>, close: bool },
}

fn refuse(code: Code, detail: impl Into<String>) -> Verdict {
    Verdict::Refuse { problem: Problem::new(code, detail), close: true }
}

impl<A> Shared<A> {
    fn accept(&self, request: &Request<Incoming>) -> Verdict {
        let headers = request.headers();
        if headers.len() > self.headers_max {
            return refuse(
                Code::HeadersTooLarge,
                format!("a request may have at most {} headers", self.headers_max),
            );
        }
        let is_http1 = request.version() < Version::HTTP_2;
        let mut hosts = headers.get_all(HOST).iter();
        let host = hosts.next();
        if hosts.next().is_some() || (host.is_none() && request.version() == Version::HTTP_11) {
            return refuse(Code::InvalidRequest, "a request must have one Host header");
        }
        let path = request.uri().path();
        match *request.method() {
            Method::CONNECT | Method::TRACE => {
                let problem = Problem::method_not_allowed(
                    request.method().as_str(),
                    "DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT",
                );
                return Verdict::Refuse { problem, close: true };
            }
            Method::OPTIONS if path == "*" => {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = StatusCode::NO_CONTENT;
                let all = HeaderValue::from_static("DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT");
                response.headers_mut().insert(http::header::ALLOW, all);
                return Verdict::Answer(Box::new(response));
            }
            _ if !path.starts_with('/') => {
                return refuse(
                    Code::InvalidRequest,
                    "the request's target must be a path that begins with /",
                );
            }
            _ => {}
        }
        if is_http1
            && let Some(scheme) = request.uri().scheme_str()
            && scheme != "http"
            && scheme != "https"
        {
            return refuse(Code::InvalidRequest, "the request's target must be a path that begins with /");
        }
        if let Some(length) = headers.get(CONTENT_LENGTH)
            && let Some(length) = length.to_str().ok().and_then(|text| text.parse::<u64>().ok())
            && length > self.body_max
        {
            return Verdict::Refuse {
                problem: Problem::body_too_large("a request body", self.body_max),
                close: true,
            };
        }
        match self.browsers.check(request, host) {
            Ok(super::browsers::Leave::Go(origin)) => Verdict::Go { origin },
            Ok(super::browsers::Leave::Preflight(response)) => Verdict::Answer(response),
            Err(problem) => Verdict::Refuse { problem, close: false },
        }
    }
}

/// Makes ids: one part for the process, one for the request.
#[derive(Debug)]
pub(super) struct RequestIds {
    process: u64,
    number: AtomicU64,
}

impl RequestIds {
    /// Ids that differ from those of an earlier process.
    fn new(started_at_us: i64) -> RequestIds {
        let process = started_at_us.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15)
            ^ u64::from(std::process::id()) << 32;
        RequestIds { process, number: AtomicU64::new(1) }
    }

    /// The client's id where it is visible ASCII and short, else one of ours.
    fn of<B>(&self, request: &Request<B>) -> HeaderValue {
        match request.headers().get(&REQUEST_ID) {
            Some(id) if is_sane(id.as_bytes()) => id.clone(),
            _ => self.make(),
        }
    }

    fn make(&self) -> HeaderValue {
        HeaderValue::from_bytes(&self.next()).unwrap_or(HeaderValue::from_static("unknown"))
    }

    /// The text of a new id.
    pub(super) fn next(&self) -> [u8; 32] {
        let number = self.number.fetch_add(1, Ordering::Relaxed);
        let mut text = [0; 32];
        text[..16].copy_from_slice(&hex(self.process));
        text[16..].copy_from_slice(&hex(number));
        text
    }
}

/// The sixteen hex digits of a number: two for each byte.
fn hex(number: u64) -> [u8; 16] {
    let mut text = [0; 16];
    for (two, byte) in text.chunks_exact_mut(2).zip(number.to_be_bytes()) {
        let digit = |nibble: u8| nibble + if nibble < 10 { b'0' } else { b'a' - 10 };
        two.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    text
}

/// Whether a client's id is visible ASCII and short.
pub(super) fn is_sane(id: &[u8]) -> bool {
    (1..=REQUEST_ID_BYTES_MAX).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_clients_are_kept_where_they_are_harmless() {
        let ids = RequestIds::new(1);
        let check = |given: &str, kept: bool| {
            let request = Request::builder().header(&REQUEST_ID, given).body(()).expect("request");
            let id = ids.of(&request);
            assert_eq!(id.as_bytes() == given.as_bytes(), kept, "{given:?}");
            assert!(is_sane(id.as_bytes()));
        };
        check("abc-123", true);
        check(&"x".repeat(128), true);
        check(&"x".repeat(129), false);
        check("a b", false);
        check("", false);
        check("a\tb", false);
    }

    #[test]
    fn made_ids_differ() {
        let ids = RequestIds::new(1);
        assert_ne!(ids.make(), ids.make());
        assert_ne!(ids.make(), RequestIds::new(2).make());
        assert_eq!(ids.make().len(), 32);
    }
}
