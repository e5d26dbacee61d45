//! `bench http`: invocations over HTTP, beside a bare hyper server in the same run, so that the
//! figure that matters is a ratio and not the machine's mood.

use super::closed_loop::{self as load, Load};
use super::{Figure, Report, ResultHash, number_of};
use crate::app::App;
use crate::config::Config;
use crate::server::{Server, Stop};
use bytes::Bytes;
use clap::ArgMatches;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

/// What to measure.
#[derive(Clone, Debug)]
pub struct Options {
    /// A running server; one of our own where `None`.
    pub url: Option<String>,
    /// Connections.
    pub connections: u64,
    /// Length of a run in milliseconds.
    pub run_ms: u64,
    /// Runs.
    pub runs: u64,
}

impl From<&ArgMatches> for Options {
    fn from(matches: &ArgMatches) -> Options {
        Options {
            url: matches.get_one::<String>("url").cloned(),
            connections: number_of(matches, "connections"),
            run_ms: number_of(matches, "seconds").saturating_mul(1_000),
            runs: number_of(matches, "runs"),
        }
    }
}

const FORMULA: &str = "lambda **kw: kw.get('x', 0) * kw.get('y', 0)";
const PARAMETERS: &str = "{\"parameters\":{\"x\":6,\"y\":7}}";

const FIGURES: [(&str, &str); 6] = [
    ("requests_per_s", "invocations answered, a second"),
    ("p50_us", "half of them were answered within, us"),
    ("p99_us", "99 of 100 were answered within, us"),
    ("errors", "other answers and broken connections"),
    ("bare_requests_per_s", "the same from a bare hyper server, a second"),
    ("ratio", "ours / bare"),
];

/// Measures.
///
/// # Errors
/// A sentence, where there is no server to measure.
pub fn run(options: &Options) -> Result<Report, String> {
    let config = Config::default();
    let said = |error: std::io::Error| format!("cannot start: {error}");
    let client = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(said)?;
    let servers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.network_threads())
        .thread_stack_size(crate::evaluation::STACK_BYTES)
        .enable_all()
        .build()
        .map_err(said)?;
    let (address, authority) = match &options.url {
        Some(url) => address_of(url)?,
        None => own_server(&servers)?,
    };
    let invocation = client.block_on(prepare(address, &authority))?;
    let length = Duration::from_millis(options.run_ms);
    let warm = client.block_on(load::run(address, &invocation, options.connections, length / 10));
    let bare = bare_server(&servers, "127.0.0.1:0", Bytes::from(warm.sample))?;

    let mut figures: Vec<Figure> =
        FIGURES.iter().map(|(key, meaning)| Figure { key, meaning, values: Vec::new() }).collect();
    let mut hash = ResultHash::default();
    for _ in 0..options.runs {
        let load = |address| client.block_on(load::run(address, &invocation, options.connections, length));
        let ours: Load = load(address);
        let theirs = load(bare);
        hash = ResultHash::default();
        hash.add(result_of(&ours.sample));
        let (rate, bare_rate) = (ours.per_second(), theirs.per_second());
        let values = [
            rate,
            ours.percentile_us(0.5),
            ours.percentile_us(0.99),
            ours.errors as f64,
            bare_rate,
            rate / bare_rate.max(1.0),
        ];
        for (figure, value) in figures.iter_mut().zip(values) {
            figure.values.push(value);
        }
    }
    servers.shutdown_background();
    Ok(Report {
        scenario: "http",
        settings: vec![
            ("connections", options.connections),
            ("run_ms", options.run_ms),
            ("runs", options.runs),
        ],
        figures,
        notes: Vec::new(),
        result_hash: hash.0,
    })
}

/// The result inside an answer: the rest of it holds times.
fn result_of(answer: &[u8]) -> &[u8] {
    const NAME: &[u8] = b"\"result\":";
    let Some(at) = memchr::memmem::find(answer, NAME) else { return answer };
    let rest = &answer[at + NAME.len()..];
    &rest[..memchr::memchr(b',', rest).unwrap_or(rest.len())]
}

/// The address and authority of `http://host:port`.
fn address_of(url: &str) -> Result<(SocketAddr, String), String> {
    let wrong = || format!("{url:?} must be like http://127.0.0.1:8000");
    let authority = url.strip_prefix("http://").ok_or_else(wrong)?.trim_end_matches('/');
    let with_port = if authority.contains(':') { authority.to_owned() } else { format!("{authority}:80") };
    let mut addresses = with_port.to_socket_addrs().map_err(|error| format!("{url:?}: {error}"))?;
    Ok((addresses.next().ok_or_else(wrong)?, authority.to_owned()))
}

/// Starts a server of our own on a free port.
fn own_server(runtime: &Runtime) -> Result<(SocketAddr, String), String> {
    let app = App::new(Config { port: 0, ..Config::default() }).map_err(|error| error.to_string())?;
    let server = runtime.block_on(Server::bind(app)).map_err(|error| error.to_string())?;
    let address = server.local_address();
    runtime.spawn(server.run(std::future::pending::<Stop>()));
    Ok((address, address.to_string()))
}

/// Creates the substrate to invoke; gives back the bytes of an invocation.
async fn prepare(address: SocketAddr, authority: &str) -> Result<Vec<u8>, String> {
    let create = format!("{{\"expression_type\":\"lambda\",\"expression_code\":\"{FORMULA}\"}}");
    let path = "/api/v1/substrates?on_conflict=return";
    let text = exchange(address, &post(authority, path, &create)).await?;
    let id = text
        .split_once("\"substrate_id\":\"")
        .and_then(|(_, rest)| rest.split_once('"'))
        .map(|(id, _)| id)
        .ok_or_else(|| format!("the server does not create substrates: {text}"))?;
    Ok(post(authority, &format!("/api/v1/substrates/{id}/invoke"), PARAMETERS))
}

fn post(authority: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: {authority}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// One request on a connection of its own; the text of the answer, as far as it comes at once.
async fn exchange(address: SocketAddr, request: &[u8]) -> Result<String, String> {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let talk = async {
        let mut stream = tokio::net::TcpStream::connect(address).await?;
        stream.write_all(request).await?;
        let mut answer = Vec::with_capacity(64 * 1024);
        while !answer.ends_with(b"}") && stream.read_buf(&mut answer).await? > 0 {}
        std::io::Result::Ok(answer)
    };
    match tokio::time::timeout(Duration::from_secs(10), talk).await {
        Ok(Ok(answer)) => Ok(String::from_utf8_lossy(&answer).into_owned()),
        Ok(Err(error)) => Err(format!("{address} does not answer: {error}")),
        Err(_) => Err(format!("{address} does not answer in time")),
    }
}

/// A server on `listen` that reads a request's body and answers a fixed one: what HTTP alone costs.
///
/// # Errors
/// A sentence, where it cannot listen.
pub fn bare_server(runtime: &Runtime, listen: &str, answer: Bytes) -> Result<SocketAddr, String> {
    let said = |error: std::io::Error| format!("cannot start a bare server: {error}");
    let listener = runtime.block_on(TcpListener::bind(listen)).map_err(said)?;
    let address = listener.local_addr().map_err(said)?;
    runtime.spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let _ = stream.set_nodelay(true);
            let answer = answer.clone();
            let service = service_fn(move |request: http::Request<Incoming>| {
                let answer = answer.clone();
                async move {
                    let _ = request.into_body().collect().await?;
                    let mut response = http::Response::new(Full::new(answer));
                    response.headers_mut().insert(
                        http::header::CONTENT_TYPE,
                        http::HeaderValue::from_static("application/json"),
                    );
                    Ok::<_, hyper::Error>(response)
                }
            });
            tokio::spawn(async move {
                // The load ends connections as it likes.
                let _ = http1::Builder::new()
                    .pipeline_flush(true)
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(address)
}
