//! Starts a server inside the test process, on a port of its own, and talks to it over raw sockets.

use axum::Router;
use axum::body::Body;
use axum::routing::{get, post};
use butterflyfx::app::App;
use butterflyfx::config::Sources;
use butterflyfx::server::service::Answers;
use butterflyfx::server::{Program, Server, Stop};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// No test waits longer than this for what must happen.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A folder of a test's own, removed when dropped.
pub(crate) struct Folder(String);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("butterflyfx-it-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a folder");
        Folder(path.to_str().expect("text").to_owned())
    }

    pub(crate) fn path(&self) -> &str {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A running server. Stops, and waits for its end, when dropped.
pub(crate) struct TestServer {
    pub(crate) address: SocketAddr,
    pub(crate) app: Arc<App>,
    stop: Option<oneshot::Sender<Stop>>,
    thread: Option<JoinHandle<()>>,
}

impl TestServer {
    /// The whole program with these settings.
    pub(crate) fn api(settings: &[(&str, &str)]) -> TestServer {
        TestServer::start(settings, Program::new)
    }

    /// A few endpoints that do what transport tests need, with these settings.
    pub(crate) fn plain(settings: &[(&str, &str)]) -> TestServer {
        TestServer::start(settings, |_| plain_router())
    }

    fn start<A: Answers>(settings: &[(&str, &str)], answers: fn(&Arc<App>) -> A) -> TestServer {
        let mut sources = Sources::default();
        for (name, value) in
            [("port", "0"), ("shutdown-delay", "0s"), ("drain-timeout", "5s")].iter().chain(settings)
        {
            sources.flags.insert((*name).to_owned(), (*value).to_owned());
        }
        let config = sources.resolve().expect("settings");
        // In memory, unless a test names a folder.
        let app = match settings.iter().any(|(name, _)| *name == "data-dir") {
            true => App::open(config).expect("a database").0,
            false => App::new(config).expect("threads"),
        };
        let (stop, stopped) = oneshot::channel();
        let (listening, listens) = std::sync::mpsc::channel();
        let shared = Arc::clone(&app);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .thread_stack_size(butterflyfx::evaluation::STACK_BYTES)
                .enable_all()
                .build()
                .expect("runtime");
            runtime.block_on(async move {
                let answers = answers(&shared);
                let server = Server::bind(shared).await.expect("a free port");
                listening.send(server.local_address()).expect("the test waits");
                server.run_with(answers, async { stopped.await.unwrap_or_default() }).await;
            });
        });
        let address = listens.recv_timeout(PATIENCE).expect("the server listens");
        TestServer { address, app, stop: Some(stop), thread: Some(thread) }
    }

    /// Begins to stop.
    pub(crate) fn stop(&mut self, stop: Stop) {
        if let Some(sender) = self.stop.take() {
            let _ = sender.send(stop);
        }
    }

    /// Waits until the server has stopped.
    pub(crate) fn join(&mut self) {
        if let Some(thread) = self.thread.take() {
            thread.join().expect("the server ends well");
        }
    }

    /// A connection that gives up after [`PATIENCE`].
    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).expect("connect");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        stream
    }

    /// The same from another address of this machine.
    pub(crate) fn connect_from(&self, address: &str) -> TcpStream {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        let connecting = async {
            let socket = tokio::net::TcpSocket::new_v4()?;
            socket.bind(SocketAddr::new(address.parse().expect("an address"), 0))?;
            socket.connect(self.address).await?.into_std()
        };
        let stream = runtime.block_on(connecting).expect("connect");
        stream.set_nonblocking(false).expect("blocking");
        stream.set_read_timeout(Some(PATIENCE)).expect("timeout");
        stream.set_write_timeout(Some(PATIENCE)).expect("timeout");
        stream
    }

    /// Sends these bytes and reads all answers until the server closes.
    pub(crate) fn talk(&self, bytes: &[u8]) -> String {
        let mut stream = self.connect();
        stream.write_all(bytes).expect("send");
        read_to_end(&mut stream)
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.stop(Stop::default());
        if !std::thread::panicking() {
            self.join();
            // Others may hold the app for a moment longer; the folder is free from here on.
            self.app.queue.close();
        }
    }
}

/// Reads until the server closes; a reset counts as the end.
pub(crate) fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => answer.extend_from_slice(&buffer[..n]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => {
                panic!("the server does not close: {error}; so far: {}", String::from_utf8_lossy(&answer))
            }
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with a `Content-Length`: head and body.
pub(crate) fn read_answer(stream: &mut TcpStream) -> (String, String) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        if let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse::<usize>().expect("length"));
            if bytes.len() >= end + 4 + length {
                let body = String::from_utf8_lossy(&bytes[end + 4..end + 4 + length]).into_owned();
                return (head, body);
            }
        }
        match stream.read(&mut buffer).expect("an answer") {
            0 => panic!("closed too early: {}", String::from_utf8_lossy(&bytes)),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    }
}

/// How many answers a text of answers holds.
pub(crate) fn answers_in(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

/// Waits until something is true.
pub(crate) fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let started = Instant::now();
    while !is_true() {
        assert!(started.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

fn plain_router() -> Router {
    async fn echo(body: Body) -> Result<Body, http::StatusCode> {
        match axum::body::to_bytes(body, usize::MAX).await {
            Ok(bytes) => Ok(Body::from(bytes)),
            Err(_) => Err(http::StatusCode::BAD_REQUEST),
        }
    }
    async fn wait() -> &'static str {
        tokio::time::sleep(Duration::from_millis(300)).await;
        "waited"
    }
    async fn large() -> Vec<u8> {
        vec![b'x'; 64 << 20]
    }
    async fn panics() -> &'static str {
        panic!("on purpose")
    }
    Router::new()
        .route("/ok", get(|| async { "ok" }))
        .route("/echo", post(echo))
        .route("/ignore", post(|| async { "ignored" }))
        .route("/wait", get(wait))
        .route("/large", get(large))
        .route("/panic", get(panics))
}
