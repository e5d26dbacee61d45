//! `butterflyfx serve`: start, say where, run, stop on a signal.

use super::{Exit, complain, wrong_settings};
use crate::app::{App, VERSION};
use crate::config::{Config, DurabilityLevel, Sources};
use crate::server::{BindError, Server, Stop};
use crate::{evaluation, log};
use butterflyfx_store::StoreError;
use std::io::Write;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs the server until a signal.
pub fn run(sources: &Sources) -> Exit {
    let config = match sources.resolve() {
        Ok(config) => config,
        Err(error) => return wrong_settings(&error),
    };
    log::start(&config);
    for name in sources.unknown_variables() {
        tracing::warn!(name, "an environment variable begins like a setting, but names none");
    }
    raise_file_limit(config.http.connections_max);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.network_threads())
        .thread_name("butterflyfx-net")
        // Short formulas run here, with the same limits on nesting as on the worker threads.
        .thread_stack_size(evaluation::STACK_BYTES)
        .enable_all()
        .build();
    match runtime {
        Ok(runtime) => {
            let exit = runtime.block_on(serve(config));
            // Work on other threads may still run; nobody waits for it.
            runtime.shutdown_timeout(Duration::from_millis(100));
            exit
        }
        Err(error) => {
            complain(&format!("cannot start: {error}"));
            Exit::Error
        }
    }
}

async fn serve(config: Config) -> Exit {
    let (mut terminate, mut interrupt) =
        match (signal(SignalKind::terminate()), signal(SignalKind::interrupt())) {
            (Ok(terminate), Ok(interrupt)) => (terminate, interrupt),
            (Err(error), _) | (_, Err(error)) => {
                complain(&format!("cannot watch for signals: {error}"));
                return Exit::Error;
            }
        };
    let app = match open(config) {
        Ok(app) => app,
        Err(error) => {
            complain(&error.to_string());
            return match error {
                StoreError::Locked { .. } => Exit::Folder,
                _ => Exit::Store,
            };
        }
    };
    let server = match Server::bind(Arc::clone(&app)).await {
        Ok(server) => server,
        Err(error) => {
            complain(&error.to_string());
            return match error {
                BindError::Host(_) => Exit::Usage,
                BindError::Listen(..) => Exit::Address,
            };
        }
    };
    greet(server.local_address(), &app.config);
    let delay = app.config.http.shutdown_delay;
    let (stop, stopped) = tokio::sync::oneshot::channel();
    let running = server.run(async move { stopped.await.unwrap_or_default() });
    let stopping = async {
        // Somebody at a terminal wants it to end now; a supervisor wants it to end well.
        let stop_now = tokio::select! {
            () = received(&mut terminate) => Stop { delay },
            () = received(&mut interrupt) => Stop::default(),
        };
        tracing::info!("stopping: requests being answered are finished");
        let _ = stop.send(stop_now);
        tokio::select! {
            () = received(&mut terminate) => {}
            () = received(&mut interrupt) => {}
        }
    };
    tokio::select! {
        () = running => {
            // Off this thread: the last changes and the log are written now.
            let closing = Arc::clone(&app);
            let closed = tokio::task::spawn_blocking(move || closing.queue.close()).await;
            if closed.is_err() || app.queue.read_only().is_some() {
                tracing::error!("stopped, and the database needs a look: the next start says more");
                return Exit::Store;
            }
            tracing::info!("stopped");
            Exit::Ok
        }
        () = stopping => {
            tracing::warn!("a second signal: stopped without waiting");
            Exit::Interrupted
        }
    }
}

/// The state from the data folder, or an empty one in memory.
fn open(config: Config) -> Result<Arc<App>, StoreError> {
    if config.in_memory {
        return App::new(config);
    }
    let folder = config.data_dir.clone();
    tracing::info!(folder = %folder.display(), "reading the database");
    let (app, recovered) = App::open(config)?;
    tracing::info!(
        substrates = recovered.counts.substrates,
        relationships = recovered.counts.relationships,
        digest = %recovered.digest,
        from_pages = recovered.from_pages,
        seconds = recovered.seconds,
        "the database is read, and its digest holds"
    );
    Ok(app)
}

async fn received(signal: &mut Signal) {
    if signal.recv().await.is_none() {
        // No more signals can come by this way.
        std::future::pending::<()>().await;
    }
}

/// Says where the server listens, and what to try.
fn greet(address: SocketAddr, config: &Config) {
    let url = format!("http://{}", reachable(address));
    let mut text = format!(
        "ButterflyFx {VERSION} listens on {url}\n\
         Docs: {url}/api/v1/docs  (also {url}/api/v1/redoc and {url}/openapi.json)\n\
         {}\n",
        storage(config)
    );
    if config.insecure_no_auth && !address.ip().is_loopback() {
        text.push_str("Anyone who can reach this address may read, change and delete everything.\n");
    }
    text.push_str(&format!(
        "Try: curl -s {url}/api/v1/substrates -d '{{\"expression_type\":\"lambda\",\"expression_code\":\"lambda x, y: x * y\"}}' -H 'Content-Type: application/json'\n"
    ));
    // Whoever started us reads the port from stdout; logs are apart, on stderr.
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// Where the state is kept, in a sentence.
fn storage(config: &Config) -> String {
    if config.in_memory {
        return "The state is kept in memory only and is gone when the program ends.".to_owned();
    }
    let when = match config.durability {
        DurabilityLevel::Always => "each change is synced before it is answered",
        DurabilityLevel::Interval => "a power failure may take the last moments",
        DurabilityLevel::Never => "a power failure may take all of it",
    };
    format!("The state is kept in {}; {when}.", config.data_dir.display())
}

/// The address as a client on this machine would write it.
fn reachable(address: SocketAddr) -> SocketAddr {
    match address {
        SocketAddr::V4(v4) if v4.ip().is_unspecified() => ([127, 0, 0, 1], v4.port()).into(),
        SocketAddr::V6(v6) if v6.ip().is_unspecified() => (std::net::Ipv6Addr::LOCALHOST, v6.port()).into(),
        address => address,
    }
}

/// Takes as many file descriptors as the system lets us: each connection needs one.
fn raise_file_limit(connections_max: usize) {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "cannot raise the limit of open files");
        }
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // A few are needed for listening, logs and the like.
    if files < connections_max as u64 + 32 {
        tracing::warn!(
            files,
            connections_max,
            "the system allows fewer open files than connections-max connections need"
        );
    }
}
