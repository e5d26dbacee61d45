//! Load over HTTP/1.1: connections that each send the same request again as soon as it is answered.
//!
//! Raw sockets and the least reading of answers that will do, because the client shares the
//! machine with the server and what it spends is missing there.

use memchr::memmem;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a run of load found.
#[derive(Clone, Debug, Default)]
pub struct Load {
    /// Requests answered with 200.
    pub answered: u64,
    /// Requests answered otherwise, and connections that broke.
    pub errors: u64,
    /// How long the run took.
    pub took: Duration,
    /// How long each answer took, in microseconds, sorted.
    pub latencies_us: Vec<u32>,
    /// The body of one answer.
    pub sample: Vec<u8>,
}

impl Load {
    /// Requests answered a second.
    pub fn per_second(&self) -> f64 {
        self.answered as f64 / self.took.as_secs_f64().max(1e-9)
    }

    /// The latency that this share of the answers did not exceed.
    pub fn percentile_us(&self, share: f64) -> f64 {
        let last = self.latencies_us.len().saturating_sub(1);
        let at = (last as f64 * share).round() as usize;
        self.latencies_us.get(at).copied().map_or(0.0, f64::from)
    }
}

/// Sends `request` over so many connections for so long.
pub async fn run(address: SocketAddr, request: &[u8], connections: u64, length: Duration) -> Load {
    let request: Arc<[u8]> = request.into();
    let started = Instant::now();
    let until = started + length;
    let clients: Vec<_> = (0..connections)
        .map(|_| tokio::spawn(one_connection(address, Arc::clone(&request), until)))
        .collect();
    let mut load = Load::default();
    for client in clients {
        match client.await {
            Ok(one) => {
                load.answered += one.answered;
                load.errors += one.errors;
                load.latencies_us.extend(one.latencies_us);
                load.sample = one.sample;
            }
            Err(_) => load.errors += 1,
        }
    }
    load.took = started.elapsed();
    load.latencies_us.sort_unstable();
    load
}

async fn one_connection(address: SocketAddr, request: Arc<[u8]>, until: Instant) -> Load {
    let mut load = Load::default();
    let Ok(mut stream) = TcpStream::connect(address).await else {
        load.errors = 1;
        return load;
    };
    let _ = stream.set_nodelay(true);
    let mut answer = Vec::with_capacity(16 * 1024);
    let mut sent = Instant::now();
    while sent < until {
        match exchange(&mut stream, &request, &mut answer).await {
            Some(body) if answer.starts_with(b"HTTP/1.1 200") => {
                load.answered += 1;
                if load.sample.is_empty() {
                    load.sample = answer[body..].to_vec();
                }
            }
            Some(_) => load.errors += 1,
            None => {
                load.errors += 1;
                return load;
            }
        }
        let now = Instant::now();
        load.latencies_us.push(u32::try_from((now - sent).as_micros()).unwrap_or(u32::MAX));
        sent = now;
    }
    load
}

/// One request and its whole answer; where its body begins, or `None` where the connection broke.
async fn exchange(stream: &mut TcpStream, request: &[u8], answer: &mut Vec<u8>) -> Option<usize> {
    stream.write_all(request).await.ok()?;
    answer.clear();
    loop {
        if stream.read_buf(answer).await.ok()? == 0 {
            return None;
        }
        let Some(end) = memmem::find(answer, b"\r\n\r\n") else { continue };
        let length = content_length(&answer[..end])?;
        let body = end + 4;
        while answer.len() < body + length {
            if stream.read_buf(answer).await.ok()? == 0 {
                return None;
            }
        }
        return Some(body);
    }
}

fn content_length(head: &[u8]) -> Option<usize> {
    const NAME: &[u8] = b"\r\ncontent-length: ";
    let at = memmem::find(head, NAME)? + NAME.len();
    let digits = head[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(
        digits.fold(0_usize, |length, digit| {
            length.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
        }),
    )
}
