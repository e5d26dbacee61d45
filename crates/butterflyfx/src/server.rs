//! Sockets, limits, timeouts, shutdown: everything between the kernel and the router.
//!
//! [`Server::bind`] listens, [`Server::run`] serves until it is told to stop:
//! 1. `/readyz` says no, so that load balancers look elsewhere;
//! 2. after a delay no connection is accepted any more, idle ones are closed, and requests being
//!    answered are finished;
//! 3. when all are done, or the time for that is over, `run` returns.

pub(crate) mod activity;
pub mod body;
mod browsers;
mod connection;
mod framing;
mod guard;
mod held;
mod listen;
pub mod quick;
pub mod service;
mod unread;

use crate::app::{App, Readiness};
use crate::config::ConfigError;
use crate::jobs::Jobs;
use axum::body::Body;
use connection::Builders;
use http::{Request, Response};
use quick::{QuickAnswer, QuickRequest};
use service::{Answers, Shared};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};

/// What all connections and the accept loops share beside [`Shared`].
#[derive(Debug)]
pub(crate) struct Connections {
    /// One for each connection that may be open.
    permits: Arc<Semaphore>,
    builders: Builders,
    /// Wakes the accept loops for the last time.
    closed_to_new: Notify,
    /// Wakes every connection so that it sees `stopping`.
    stop: Notify,
    stopping: AtomicBool,
    /// Counts connections.
    number: AtomicU64,
}

impl Connections {
    /// Whether connections are to end once their requests are answered.
    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }
}

/// Why the server does not listen.
#[derive(Debug)]
pub enum BindError {
    /// The host name has no address, or only such that need `--insecure-no-auth`.
    Host(String),
    /// The system refuses the address.
    Listen(SocketAddr, io::Error),
}

impl std::fmt::Display for BindError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            BindError::Host(sentence) => out.write_str(sentence),
            BindError::Listen(address, error) if error.kind() == io::ErrorKind::AddrInUse => {
                write!(out, "cannot listen on {address}: the port is in use; choose another with --port")
            }
            BindError::Listen(address, error) => write!(out, "cannot listen on {address}: {error}"),
        }
    }
}

impl std::error::Error for BindError {}

impl From<ConfigError> for BindError {
    fn from(error: ConfigError) -> BindError {
        BindError::Host(error.0)
    }
}

/// A server that listens.
#[derive(Debug)]
pub struct Server {
    app: Arc<App>,
    listeners: Vec<TcpListener>,
    address: SocketAddr,
}

impl Server {
    /// Listens on the configured host and port. Call inside a tokio runtime.
    ///
    /// # Errors
    /// What stands against it.
    pub async fn bind(app: Arc<App>) -> Result<Server, BindError> {
        let config = &app.config;
        let unknown =
            |error: io::Error| BindError::Host(format!("the host {:?} has no address: {error}", config.host));
        let addresses: Vec<SocketAddr> =
            tokio::net::lookup_host((config.host.as_str(), config.port)).await.map_err(unknown)?.collect();
        let mut listeners: Vec<TcpListener> = Vec::new();
        let mut port = config.port;
        let mut refused = None;
        for mut address in addresses {
            if !address.ip().to_canonical().is_loopback() && !config.insecure_no_auth {
                return Err(BindError::Host(format!(
                    "{} is {}, which others could reach: listen on 127.0.0.1, or say --insecure-no-auth",
                    config.host,
                    address.ip()
                )));
            }
            // A free port taken for the first address is wanted for the others too.
            address.set_port(port);
            match listen::listen(address, config.http.backlog) {
                Ok(listener) => {
                    port = listener.local_addr().map_err(|error| BindError::Listen(address, error))?.port();
                    listeners.push(listener);
                }
                Err(error) => refused = Some(BindError::Listen(address, error)),
            }
        }
        // `localhost` may name an IPv6 address on a machine without IPv6; one that works will do,
        // but a port in use by somebody else on either would split our clients.
        match refused {
            Some(BindError::Listen(address, error))
                if listeners.is_empty() || error.kind() == io::ErrorKind::AddrInUse =>
            {
                return Err(BindError::Listen(address, error));
            }
            _ => {}
        }
        let first = listeners.first().ok_or_else(|| {
            BindError::Host(format!("the host {:?} has no address to listen on", config.host))
        })?;
        let address =
            first.local_addr().map_err(|error| BindError::Listen(([0, 0, 0, 0], port).into(), error))?;
        // From here on the kernel takes connections, and `run` will serve them.
        app.set_readiness(Readiness::Ready);
        Ok(Server { app, listeners, address })
    }

    /// Where the server listens; with the real port where 0 was asked for.
    pub fn local_address(&self) -> SocketAddr {
        self.address
    }

    /// Serves the whole program's routes until `stop` is done.
    pub async fn run(self, stop: impl Future<Output = Stop>) {
        let program = Program::new(&self.app);
        self.run_with(program, stop).await;
    }

    /// Serves whatever answers until `stop` is done.
    pub async fn run_with(self, answers: impl Answers, stop: impl Future<Output = Stop>) {
        let Server { app, listeners, .. } = self;
        crate::tidying::start(&app);
        let settings = &app.config.http;
        let connections_max = settings.connections_max.min(Semaphore::MAX_PERMITS);
        let connections = Arc::new(Connections {
            permits: Arc::new(Semaphore::new(connections_max)),
            builders: Builders::new(settings),
            closed_to_new: Notify::new(),
            stop: Notify::new(),
            stopping: AtomicBool::new(false),
            number: AtomicU64::new(1),
        });
        let shared = Arc::new(Shared::new(Arc::clone(&app), answers));
        let loops: Vec<_> = listeners
            .into_iter()
            .map(|listener| {
                tokio::spawn(listen::accept(listener, Arc::clone(&shared), Arc::clone(&connections)))
            })
            .collect();

        let Stop { delay } = stop.await;
        app.set_readiness(Readiness::Stopping);
        tokio::time::sleep(delay).await;
        for accepting in loops {
            // The loop may be between two waits; a permit would be kept for it, a wake-up not.
            connections.closed_to_new.notify_one();
            let _ = accepting.await;
        }
        // Nobody could ask for their results any more; who waits for one is answered now.
        Jobs::stop(&app);
        connections.stopping.store(true, Ordering::Release);
        connections.stop.notify_waiters();
        // All permits are back when all connections are closed.
        let all = u32::try_from(connections_max).unwrap_or(u32::MAX);
        let drained = connections.permits.acquire_many(all);
        if tokio::time::timeout(settings.drain_timeout, drained).await.is_err() {
            let left = app.metrics.connections();
            tracing::warn!(connections = left, "stopped waiting for requests that take too long");
        }
    }
}

/// All that the program answers: the API, and the pages about it.
#[derive(Debug)]
pub struct Program {
    api: crate::http::Service,
    pages: axum::Router,
}

impl Program {
    /// The program over this state.
    pub fn new(app: &Arc<App>) -> Program {
        Program { api: crate::http::Service::new(Arc::clone(app)), pages: crate::docs_ui::router() }
    }
}

impl Answers for Program {
    async fn answer(&self, request: Request<Body>) -> Response<Body> {
        if crate::docs_ui::is_page(request.uri().path()) {
            Box::pin(self.pages.answer(request)).await
        } else {
            self.api.answer(request).await
        }
    }

    fn quick(&self, request: &QuickRequest<'_>, body: &mut String) -> Option<QuickAnswer> {
        self.api.quick(request, body)
    }
}

/// How to stop.
#[derive(Clone, Copy, Debug, Default)]
pub struct Stop {
    /// How long connections are still accepted while `/readyz` says no.
    pub delay: Duration,
}
