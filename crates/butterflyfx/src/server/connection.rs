//! One connection from its first byte to its last: finds its protocol, lets hyper serve it, and
//! ends it when it is too slow, idle for too long, or the server stops.

use super::Connections;
use super::activity::{Activity, instant_of, ms_of, now_ms};
use super::guard::{Guard, Protocol};
use super::quick::Quick;
use super::service::{self, Answers, Shared};
use crate::client::Client;
use crate::config::HttpSettings;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::Sleep;

/// After an idle connection is asked to close, it is closed anyway this much later.
const CLOSE_GRACE: Duration = Duration::from_secs(5);

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
            // The guard puts answers to pipelined requests together, see there why.
            .pipeline_flush(false)
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
pub(crate) async fn serve<A: Answers>(
    stream: TcpStream,
    shared: Arc<Shared<A>>,
    connections: Arc<Connections>,
) {
    let settings = &shared.app.config.http;
    // Who is gone already shares a turn with others who are.
    let address = stream.peer_addr().map(|peer| peer.ip().into()).unwrap_or_default();
    let client = Client { address, connection: connections.number.fetch_add(1, Ordering::Relaxed) };
    let activity = Arc::new(Activity::new(Arc::clone(&shared.app), client));
    let quick: Arc<dyn Quick> = Arc::clone(&shared) as Arc<dyn Quick>;
    let accepted =
        Guard::accept(stream, quick, Arc::clone(&activity), settings.head_max, settings.header_timeout);
    let driver = Driver { activity: &activity, settings, connections: &connections };
    let (guard, protocol) = match driver.before_first_request(accepted).await {
        Ok(accepted) => accepted,
        Err(End::Done) => return,
        Err(End::TooSlow) => return shared.app.metrics.connection_timed_out(),
    };

    let service = {
        let (shared, activity) = (Arc::clone(&shared), Arc::clone(&activity));
        service_fn(move |request| service::answer(Arc::clone(&shared), Arc::clone(&activity), request))
    };
    let io = TokioIo::new(guard);
    let end = match protocol {
        Protocol::Http1 => {
            let connection = connections.builders.http1.serve_connection(io, service);
            driver.drive(pin!(connection), |connection| connection.graceful_shutdown()).await
        }
        Protocol::Http2 => {
            let connection = connections.builders.http2.serve_connection(io, service);
            driver.drive(pin!(connection), |connection| connection.graceful_shutdown()).await
        }
    };
    if matches!(end, End::TooSlow) {
        shared.app.metrics.connection_timed_out();
    }
}

/// How a connection came to its end.
enum End {
    /// By itself, or asked to.
    Done,
    /// The client was too slow.
    TooSlow,
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
    /// Waits for the first bytes.
    async fn before_first_request<T>(
        &self,
        accepted: impl Future<Output = std::io::Result<T>>,
    ) -> Result<T, End> {
        let mut accepted = pin!(accepted);
        let mut stopped = pin!(self.connections.stop.notified());
        let mut timer = Timer::new(self.activity.deadline_ms());
        poll_fn(|cx| {
            if let Poll::Ready(accepted) = accepted.as_mut().poll(cx) {
                return Poll::Ready(accepted.map_err(|_| End::Done));
            }
            if stopped.as_mut().poll(cx).is_ready() || self.connections.is_stopping() {
                return Poll::Ready(Err(End::Done));
            }
            loop {
                let deadline_ms = self.activity.deadline_ms();
                if now_ms() >= deadline_ms {
                    return Poll::Ready(Err(End::TooSlow));
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
    async fn drive<C, E>(&self, mut connection: Pin<&mut C>, close: impl Fn(Pin<&mut C>)) -> End
    where
        C: Future<Output = Result<(), E>>,
        E: std::fmt::Display,
    {
        let mut stopped = pin!(self.connections.stop.notified());
        let mut is_stop_watched = false;
        let mut timer = Timer::new(self.activity.deadline_ms());
        let mut is_timer_watched = false;
        // Once the connection was asked to close: when it is closed anyway.
        let mut closing_ms: Option<u64> = None;
        poll_fn(|cx| {
            loop {
                if let Poll::Ready(end) = connection.as_mut().poll(cx) {
                    if let Err(error) = end {
                        tracing::debug!(%error, "connection ended");
                    }
                    return Poll::Ready(End::Done);
                }
                if !is_stop_watched {
                    is_stop_watched = true;
                    let _ = stopped.as_mut().poll(cx);
                }
                if closing_ms.is_none() && self.connections.is_stopping() {
                    closing_ms = Some(u64::MAX);
                    close(connection.as_mut());
                    continue;
                }
                // The deadline in force is of the wait before the request in flight. It has passed or will, and says nothing
                // any more: to set the timer to it would wake this task again and again until the answer is there.
                let is_busy = self.activity.in_flight() > 0;
                let deadline_ms = closing_ms.unwrap_or(u64::MAX).min(self.activity.deadline_ms());
                if !is_busy && deadline_ms < timer.due_ms {
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
                        close(connection.as_mut());
                    }
                    Due::End => {
                        // The guard says why, where that is possible, when hyper reads again.
                        self.activity.give_up();
                        let _ = connection.as_mut().poll(cx);
                        return Poll::Ready(End::TooSlow);
                    }
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
            return Due::End;
        }
        let deadline = self.activity.deadline_ms();
        if self.activity.in_flight() > 0 {
            // The handler has no deadline of its own; look again later whether the client listens.
            return Due::Later(now + write_timeout.min(ms_of(self.settings.idle_timeout)));
        }
        match closing_ms {
            Some(closing) if closing != u64::MAX && now >= closing => {
                return Due::End;
            }
            _ if now < deadline => return Due::Later(deadline),
            Some(closing) if closing != u64::MAX => return Due::Later(closing),
            _ => {}
        }
        if self.activity.is_in_head() {
            return Due::End;
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
    End,
}
