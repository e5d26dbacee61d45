//! What one connection is doing, as its driver needs to know to end it in time.
//!
//! Timers cost more than clocks: nothing here touches a timer. Events move a deadline, which the
//! driver compares with the one timer it has armed.

use super::unread::Unread;
use crate::app::App;
use crate::client::Client;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

/// What deadlines are measured from.
static BASE: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Milliseconds since some moment early in the life of the process; never 0.
pub(crate) fn now_ms() -> u64 {
    to_ms(Instant::now())
}

/// A moment as [`now_ms`] would have called it.
pub(crate) fn to_ms(at: Instant) -> u64 {
    let millis = at.saturating_duration_since(*BASE).as_millis();
    u64::try_from(millis).unwrap_or(u64::MAX).saturating_add(1)
}

/// The moment that [`now_ms`] calls this.
pub(crate) fn instant_of(ms: u64) -> Instant {
    *BASE + Duration::from_millis(ms.saturating_sub(1))
}

/// A duration in whole milliseconds, at least one.
pub(crate) fn ms_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// The shared state of one connection.
#[derive(Debug)]
pub(crate) struct Activity {
    app: Arc<App>,
    /// Whose connection it is.
    client: Client,
    /// How long the connection may be quiet between requests.
    idle_ms: u64,
    /// When the connection has been quiet for too long, unless requests are in flight.
    deadline_ms: AtomicU64,
    /// Requests that went to a handler so far.
    begun: AtomicU64,
    /// Requests whose answers are not finished.
    in_flight: AtomicU32,
    /// Since when the client takes nothing of what is sent; 0 while it does.
    write_blocked_since_ms: AtomicU64,
    /// Requests whose clients need not take their answers yet.
    excused: AtomicU32,
    /// Whether a head has begun and is not complete.
    in_head: AtomicBool,
    /// Whether the connection is given up because the client is too slow.
    given_up: AtomicBool,
    /// The number of the latest request whose body came too slowly; 0 for none.
    slow_request: AtomicU64,
    /// What a handler leaves of the body of the request in flight; of HTTP/1 alone, where there is but one.
    pub(super) unread: Unread,
}

impl Activity {
    /// A new connection, which must say something soon.
    pub(crate) fn new(app: Arc<App>, client: Client) -> Activity {
        let settings = &app.config.http;
        let deadline_ms = now_ms().saturating_add(ms_of(settings.first_byte_timeout));
        Activity {
            idle_ms: ms_of(settings.idle_timeout),
            app,
            client,
            deadline_ms: AtomicU64::new(deadline_ms),
            begun: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            write_blocked_since_ms: AtomicU64::new(0),
            excused: AtomicU32::new(0),
            in_head: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
            slow_request: AtomicU64::new(0),
            unread: Unread::default(),
        }
    }

    /// Whose connection it is.
    pub(crate) fn client(&self) -> Client {
        self.client
    }

    /// See [`Activity::deadline_ms`](field@Activity::deadline_ms).
    pub(crate) fn deadline_ms(&self) -> u64 {
        self.deadline_ms.load(Ordering::Relaxed)
    }

    /// A head has begun: it must be complete in time.
    pub(crate) fn head_began(&self, deadline_ms: u64) {
        self.deadline_ms.store(deadline_ms, Ordering::Relaxed);
        self.in_head.store(true, Ordering::Relaxed);
    }

    /// The head that had begun is complete.
    pub(crate) fn head_ended(&self) {
        self.in_head.store(false, Ordering::Relaxed);
    }

    /// Whether a head is incomplete.
    pub(crate) fn is_in_head(&self) -> bool {
        self.in_head.load(Ordering::Relaxed)
    }

    /// The client is too slow; nothing more is read.
    pub(crate) fn give_up(&self) {
        self.given_up.store(true, Ordering::Relaxed);
    }

    /// Whether nothing more is read.
    pub(crate) fn is_given_up(&self) -> bool {
        self.given_up.load(Ordering::Relaxed)
    }

    /// A request goes to its handler. Gives back its number, from 1.
    pub(crate) fn request_began(&self) -> u64 {
        self.app.metrics.request_began();
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        self.begun.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Requests that went to a handler so far.
    pub(crate) fn begun(&self) -> u64 {
        self.begun.load(Ordering::Relaxed)
    }

    /// An answer was finished or given up at this moment.
    pub(crate) fn request_ended(&self, at_ms: u64) {
        self.app.metrics.request_ended();
        // A pipelined head that has begun keeps its own deadline.
        if !self.is_in_head() {
            self.deadline_ms.store(at_ms.saturating_add(self.idle_ms), Ordering::Relaxed);
        }
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
    }

    /// A request was answered the short way, at this moment. Only between requests.
    pub(crate) fn answered_quickly(&self, at_ms: u64) {
        self.deadline_ms.store(at_ms.saturating_add(self.idle_ms), Ordering::Relaxed);
    }

    /// Requests whose answers are not finished.
    pub(crate) fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The client takes nothing at the moment.
    pub(crate) fn write_blocked(&self) {
        if self.write_blocked_since_ms.load(Ordering::Relaxed) == 0 {
            self.write_blocked_since_ms.store(now_ms(), Ordering::Relaxed);
        }
    }

    /// The client took something.
    pub(crate) fn write_moved(&self) {
        if self.write_blocked_since_ms.load(Ordering::Relaxed) != 0 {
            self.write_blocked_since_ms.store(0, Ordering::Relaxed);
        }
    }

    /// Since when the client takes nothing, if it does not and should.
    pub(crate) fn write_blocked_since_ms(&self) -> Option<u64> {
        if self.excused.load(Ordering::Relaxed) > 0 {
            return None;
        }
        Some(self.write_blocked_since_ms.load(Ordering::Relaxed)).filter(|since| *since != 0)
    }

    /// The body of this request came too slowly.
    pub(crate) fn set_slow_request(&self, number: u64) {
        self.slow_request.store(number, Ordering::Relaxed);
    }

    /// Whether the body of this request came too slowly.
    pub(crate) fn is_slow_request(&self, number: u64) -> bool {
        self.slow_request.load(Ordering::Relaxed) == number
    }
}

/// Lets a handler excuse a client that takes nothing of its answer, because the server takes all of the request first. A
/// client that sends nothing either has [`super::body::Pace`] to answer to. In the extensions of requests with large bodies.
#[derive(Clone, Debug)]
pub(crate) struct Excuse(Arc<Activity>);

impl Excuse {
    pub(super) fn new(activity: Arc<Activity>) -> Excuse {
        Excuse(activity)
    }

    /// From now on the client need not take anything, until what this gives is dropped.
    pub(crate) fn hold(&self) -> Excused {
        self.0.excused.fetch_add(1, Ordering::Relaxed);
        Excused(Arc::clone(&self.0))
    }
}

/// See [`Excuse::hold`].
#[derive(Debug)]
pub(crate) struct Excused(Arc<Activity>);

impl Drop for Excused {
    fn drop(&mut self) {
        // What the client did not take until now is not held against it.
        if self.0.write_blocked_since_ms.load(Ordering::Relaxed) != 0 {
            self.0.write_blocked_since_ms.store(now_ms(), Ordering::Relaxed);
        }
        self.0.excused.fetch_sub(1, Ordering::Relaxed);
    }
}
