//! `compare-probe ADDRESS http|resp REQUESTS`: the latency of each request, one client, one connection.
//!
//! The same client for every server, so that no client library's own cost is in a figure. REQUESTS
//! is a file of requests, each behind its length (4 bytes, little-endian). An answer is read to its
//! end but not understood; whether answers are right is checked elsewhere.

use bench_compare_shared::percentile;
use std::error::Error;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, protocol, requests] = arguments.as_slice() else {
        return Err("compare-probe ADDRESS http|resp REQUESTS".into());
    };
    let length = match protocol.as_str() {
        "http" => http_length,
        "resp" => resp_length,
        other => return Err(format!("no protocol {other}").into()),
    };
    let bytes = std::fs::read(requests)?;
    let requests = split(&bytes);
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut answer = vec![0; 1 << 20];
    for request in &requests[..requests.len() / 10] {
        exchange(&mut stream, request, &mut answer, length)?;
    }
    let mut latencies = Vec::with_capacity(requests.len());
    for request in requests {
        let started = Instant::now();
        exchange(&mut stream, request, &mut answer, length)?;
        latencies.push(u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX));
    }
    latencies.sort_unstable();
    let (median, p99) = (percentile(&latencies, 0.5), percentile(&latencies, 0.99));
    println!("{{\"median_ns\":{median},\"p99_ns\":{p99}}}");
    Ok(())
}

fn split(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut requests = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (request, rest) = rest.split_at((u32::from_le_bytes(*length) as usize).min(rest.len()));
        requests.push(request);
        bytes = rest;
    }
    requests
}

/// The length of the answer that `bytes` begins with, `None` where it is not all there.
type Length = fn(&[u8]) -> Result<Option<usize>, String>;

fn exchange(
    stream: &mut TcpStream,
    request: &[u8],
    answer: &mut Vec<u8>,
    length: Length,
) -> Result<(), Box<dyn Error>> {
    stream.write_all(request)?;
    let mut filled = 0;
    loop {
        if filled == answer.len() {
            answer.resize(filled * 2, 0);
        }
        let read = stream.read(&mut answer[filled..])?;
        if read == 0 {
            return Err("the server closed the connection".into());
        }
        filled += read;
        match length(&answer[..filled])? {
            Some(length) if length == filled => return Ok(()),
            Some(_) => return Err("the server said more than was asked".into()),
            None => {}
        }
    }
}

fn http_length(bytes: &[u8]) -> Result<Option<usize>, String> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200") {
        return Err(format!("the server refuses: {head}"));
    }
    let said = head.lines().find_map(|line| line.strip_prefix("content-length:"));
    let length: usize = said.and_then(|digits| digits.trim().parse().ok()).ok_or("no content-length")?;
    Ok((bytes.len() >= end + 4 + length).then_some(end + 4 + length))
}

fn resp_length(bytes: &[u8]) -> Result<Option<usize>, String> {
    let mut at = 0;
    let mut values = 1_usize;
    while values > 0 {
        let Some(end) = bytes[at..].windows(2).position(|two| two == b"\r\n") else { return Ok(None) };
        let line = &bytes[at..at + end];
        at += end + 2;
        values -= 1;
        let number = || std::str::from_utf8(&line[1..]).ok().and_then(|digits| digits.parse::<i64>().ok());
        match line.first() {
            Some(b'+' | b':') => {}
            Some(b'$') => at += usize::try_from(number().ok_or("not RESP")?).map_or(0, |length| length + 2),
            Some(b'*') => values += usize::try_from(number().ok_or("not RESP")?).unwrap_or(0),
            _ => return Err(format!("the server refuses: {}", String::from_utf8_lossy(line))),
        }
        if at > bytes.len() {
            return Ok(None);
        }
    }
    Ok(Some(at))
}
