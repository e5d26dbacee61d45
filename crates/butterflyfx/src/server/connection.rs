//! One connection from its first byte to its last: finds its protocol, lets hyper serve it, and
//! ends it when it is too slow, idle for too long, or the server stops.

use super::Connections;
use super::activity::{Activity, instant_of, ms_of, now_ms};
use super::guard::{Guard, Protocol};
use super::service::{self, Shared};
use crate::config::HttpSettings;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// After an idle connection is asked to close, it is closed anyway this much later.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

/// How much unread input is discarded, and for how long, so that a client sees its refusal.
const LINGER_BYTES_MAX: usize = 4 * 1024 * 1024;
const LINGER_TIME_MAX: Duration = Duration::from_secs(2);

/// HTTP/2 streams that a client opened and reset before they were accepted, and streams reset for
/// the client's own errors: more is an attack ("rapid reset") and ends the connection.
const HTTP2_PENDING_RESETS_MAX: usize = 20;
const HTTP2_ERROR_RESETS_MAX: usize = 256;

/// Bytes of an HTTP/2 answer that wait for the client to take them, for each stream.
const HTTP2_SEND_BUFFER_BYTES: usize = 256 * 1024;

/// Bytes an HTTP/2 client may send ahead: on one stream, and on the whole connection.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 256 * 1024;
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 1024 * 1024;

/// hyper's builders, set up once.
#[derive(Debug)]
pub(crate) struct Builders {
    http1: http1::Builder,
    http2: http2::Builder<TokioExecutor>,
}

impl Builders {
    pub(crate) fn new(settings: &HttpSettings) -> Builders {
        let mut http1 = http1::Builder::new();
        http1
            .pipeline_flush(true)
            // The driver below keeps time, more cheaply than a timer reset with each request.
            .header_read_timeout(None)
            .max_header_size(settings.head_max)
            .max_buf_size(settings.head_max.max(64 * 1024) + 8 * 1024);
        // hyper's own default is 100 and keeps them on the stack; asking for it would not.
        if settings.headers_max > 100 {
            http1.max_headers(settings.headers_max);
        }
        let mut http2 = http2::Builder::new(TokioExecutor::new());
        http2
            .timer(TokioTimer::new())
            .max_concurrent_streams(settings.http2_streams_max)
            .max_pending_accept_reset_streams(HTTP2_PENDING_RESETS_MAX)
            .max_local_error_reset_streams(HTTP2_ERROR_RESETS_MAX)
            .max_header_list_size(u32::try_from(settings.head_max).unwrap_or(u32::MAX))
            .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES)
            .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
            .keep_alive_interval(Duration::from_secs(20))
            .keep_alive_timeout(Duration::from_secs(20));
        Builders { http1, http2 }
    }
}

/// Serves a connection to its end.
pub(crate) async fn serve(stream: TcpStream, shared: Arc<Shared>, connections: Arc<Connections>) {
    let settings = &shared.app.config.http;
    let activity = Arc::new(Activity::new(now_ms() + ms_of(settings.first_byte_timeout)));
    let accepted = Guard::accept(stream, Arc::clone(&activity), settings.head_max, settings.header_timeout);
    let driver = Driver { activity: &activity, settings, connections: &connections };
    let (guard, protocol) = match driver.before_first_request(accepted).await {
        Some(accepted) => accepted,
        None => return shared.app.metrics.connection_timed_out(),
    };

    let numbers = AtomicU64::new(0);
    let service = {
        let (shared, activity) = (Arc::clone(&shared), Arc::clone(&activity));
        service_fn(move |request| {
            let number = numbers.fetch_add(1, Ordering::Relaxed) + 1;
            service::answer(Arc::clone(&shared), Arc::clone(&activity), number, request)
        })
    };
    let io = TokioIo::new(guard);
    match protocol {
        Protocol::Http1 => {
            let mut connection = connections.builders.http1.serve_connection(io, service);
            let end = driver.drive(&mut Http1(&mut connection)).await;
            let mut guard = connection.into_parts().io.into_inner();
            match end {
                End::Done if guard.has_unread_input() => guard.linger(LINGER_BYTES_MAX, LINGER_TIME_MAX).await,
                End::Done => {}
                End::TooSlow { in_head } => {
                    shared.app.metrics.connection_timed_out();
                    if in_head {
                        guard.say(TOO_SLOW_ANSWER).await;
                    }
                }
            }
        }
        Protocol::Http2 => {
            let mut connection = pin!(connections.builders.http2.serve_connection(io, service));
            if let End::TooSlow { .. } = driver.drive(&mut Http2(connection.as_mut())).await {
                shared.app.metrics.connection_timed_out();
            }
        }
    }
}

const TOO_SLOW_ANSWER: &[u8] =
    b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

/// How a connection came to its end.
enum End {
    /// By itself, or asked to.
    Done,
    /// The client was too slow.
    TooSlow { in_head: bool },
}

/// What differs between the protocols for the driver.
trait Connection {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    fn finish_requests_and_close(&mut self);
}

struct Http1<'a, S: hyper::service::HttpService<hyper::body::Incoming>>(
    &'a mut http1::Connection<TokioIo<Guard>, S>,
);

impl<S, B> Connection for Http1<'_, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    B: http_body::Body + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    http1::Connection<TokioIo<Guard>, S>: Unpin,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_without_shutdown(cx).map(|end| {
            if let Err(error) = end {
                tracing::debug!(%error, "connection ended");
            }
        })
    }

    fn finish_requests_and_close(&mut self) {
        Pin::new(&mut *self.0).graceful_shutdown();
    }
}

struct Http2<'a, S>(Pin<&'a mut http2::Connection<TokioIo<Guard>, S, TokioExecutor>>)
where
    S: hyper::service::HttpService<hyper::body::Incoming>;

impl<S, B> Connection for Http2<'_, S>
where
    S: hyper::service::HttpService<hyper::body::Incoming, ResBody = B>,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    S::Future: Send + 'static,
    B: http_body::Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.as_mut().poll(cx).map(|end| {
            if let Err(error) = end {
                tracing::debug!(%error, "connection ended");
            }
        })
    }

    fn finish_requests_and_close(&mut self) {
        self.0.as_mut().graceful_shutdown();
    }
}

/// Keeps time for one connection, with one timer that is moved only when it must fire earlier, or
/// has fired too early.
struct Driver<'a> {
    activity: &'a Activity,
    settings: &'a HttpSettings,
    connections: &'a Connections,
}

/// The one timer, and for when it is set.
struct Timer {
    sleep: Pin<Box<Sleep>>,
    due_ms: u64,
}

impl Timer {
    fn new(due_ms: u64) -> Timer {
        Timer { sleep: Box::pin(tokio::time::sleep_until(instant_of(due_ms).into())), due_ms }
    }

    fn set(&mut self, due_ms: u64) {
        self.due_ms = due_ms;
        self.sleep.as_mut().reset(instant_of(due_ms).into());
    }

    /// Whether it is due; registers to be woken when it is.
    fn poll(&mut self, cx: &mut Context<'_>) -> bool {
        self.sleep.as_mut().poll(cx).is_ready()
    }
}

impl Driver<'_> {
    /// Waits for the first bytes; `None` where they do not come in time or the server stops.
    async fn before_first_request<T>(
        &self,
        accepted: impl Future<Output = std::io::Result<T>>,
    ) -> Option<T> {
        let mut accepted = pin!(accepted);
        let mut stopped = pin!(self.connections.stop.notified());
        let mut timer = Timer::new(self.activity.deadline_ms());
        poll_fn(|cx| {
            if let Poll::Ready(accepted) = accepted.as_mut().poll(cx) {
                return Poll::Ready(accepted.ok());
            }
            if stopped.as_mut().poll(cx).is_ready() || self.connections.is_stopping() {
                return Poll::Ready(None);
            }
            loop {
                let deadline_ms = self.activity.deadline_ms();
                if now_ms() >= deadline_ms {
                    return Poll::Ready(None);
                }
                if timer.due_ms != deadline_ms {
                    timer.set(deadline_ms);
                }
                if !timer.poll(cx) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// Lets hyper serve until the connection ends or must end.
    async fn drive(&self, connection: &mut impl Connection) -> End {
        let mut stopped = pin!(self.connections.stop.notified());
        let mut is_stop_watched = false;
        let mut timer = Timer::new(self.activity.deadline_ms());
        let mut is_timer_watched = false;
        // Once the connection was asked to close: when it is closed anyway.
        let mut closing_ms: Option<u64> = None;
        poll_fn(|cx| {
            loop {
                if connection.poll(cx).is_ready() {
                    return Poll::Ready(End::Done);
                }
                if !is_stop_watched {
                    is_stop_watched = true;
                    let _ = stopped.as_mut().poll(cx);
                }
                if closing_ms.is_none() && self.connections.is_stopping() {
                    closing_ms = Some(u64::MAX);
                    connection.finish_requests_and_close();
                    continue;
                }
                let deadline_ms = closing_ms.unwrap_or(u64::MAX).min(self.activity.deadline_ms());
                if deadline_ms < timer.due_ms {
                    timer.set(deadline_ms);
                    is_timer_watched = false;
                }
                // A registered timer wakes this task; polling it again would only cost.
                if is_timer_watched && !timer.sleep.is_elapsed() {
                    return Poll::Pending;
                }
                is_timer_watched = true;
                if !timer.poll(cx) {
                    return Poll::Pending;
                }
                match self.on_time(closing_ms) {
                    Due::Later(due_ms) => {
                        timer.set(due_ms);
                        is_timer_watched = false;
                    }
                    Due::Close => {
                        let closing = now_ms() + ms_of(CLOSE_GRACE);
                        closing_ms = Some(closing);
                        timer.set(closing);
                        is_timer_watched = false;
                        connection.finish_requests_and_close();
                    }
                    Due::End(end) => return Poll::Ready(end),
                }
            }
        })
        .await
    }

    /// The timer is due: what now?
    fn on_time(&self, closing_ms: Option<u64>) -> Due {
        let now = now_ms();
        let write_timeout = ms_of(self.settings.write_timeout);
        if let Some(since) = self.activity.write_blocked_since_ms()
            && now >= since.saturating_add(write_timeout)
        {
            return Due::End(End::TooSlow { in_head: false });
        }
        let deadline = self.activity.deadline_ms();
        if self.activity.in_flight() > 0 {
            // The handler has no deadline of its own; look again later whether the client listens.
            return Due::Later(now + write_timeout.min(ms_of(self.settings.idle_timeout)));
        }
        match closing_ms {
            Some(closing) if closing != u64::MAX && now >= closing => {
                return Due::End(End::TooSlow { in_head: false });
            }
            _ if now < deadline => return Due::Later(deadline),
            Some(closing) if closing != u64::MAX => return Due::Later(closing),
            _ => {}
        }
        if self.activity.is_in_head() {
            return Due::End(End::TooSlow { in_head: true });
        }
        Due::Close
    }
}

/// What to do when the timer is due.
enum Due {
    /// Look again then.
    Later(u64),
    /// Ask the connection to close.
    Close,
    /// End it.
    End(End),
}
