//! Clients that send all of a request before they read anything, and whose answers are longer than what is held: they get
//! them whole, and what waits on disk meanwhile is given back however the request ends.

use super::super::client::read_reply;
use super::stream::counter;
use super::*;
use crate::support::until;
use arrow_array::Int64Array;
use std::io::{BufRead, BufReader, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Rows of a batch.
const ROWS: usize = 100_000;

/// More than is held and more than all buffers of a socket take, in and out.
const MANY: usize = 70;

/// Cut off soon. A new connection is looked at for the first time when it would have had to say something.
const SOON: [(&str, &str); 2] = [("write-timeout", "300ms"), ("first-byte-timeout", "1s")];

/// These tests take turns: each holds a large body, and others beside them look at the memory of the process.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The rows of so many batches: each its own number.
fn table(batches: usize) -> Vec<u8> {
    let batch = |at: usize| {
        let numbers = (at * ROWS) as i64..((at + 1) * ROWS) as i64;
        stream_of(&[vec![("x", Arc::new(Int64Array::from_iter_values(numbers)) as ArrayRef)]])
    };
    let first = batch(0);
    let bytes = |at: usize| first[at..at + 4].try_into().expect("four bytes");
    let schema = 8 + u32::from_le_bytes(bytes(4)) as usize;
    let end = first.len() - 8;
    let mut body = Vec::with_capacity(batches * first.len());
    body.extend_from_slice(&first[..schema]);
    for at in 0..batches {
        body.extend_from_slice(&batch(at)[schema..end]);
    }
    body.extend_from_slice(&first[end..]);
    body
}

/// A request on its way to the server, up to its body.
fn begin(api: &Api, request: &str, body_bytes: usize) -> TcpStream {
    let (_, path) = request.split_once(' ').expect("METHOD /path");
    begin_on(api.server.connect(), path, body_bytes)
}

fn begin_on(mut stream: TcpStream, path: &str, body_bytes: usize) -> TcpStream {
    let head = format!(
        "POST {path}?errors=null HTTP/1.1\r\nhost: localhost\r\ncontent-type: {ARROW}\r\n\
         content-length: {body_bytes}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("send");
    stream
}

fn plus_one(api: &Api) -> String {
    lambda(api, "lambda x: x + 1")
}

fn spooled(api: &Api) -> u64 {
    counter(api, "butterflyfx_spool_bytes")
}

/// The body of an answer in chunks, as it comes.
struct Chunked<'a, R> {
    reading: &'a mut R,
    /// Bytes left of a chunk, its end included; `None` behind the last one.
    left: Option<usize>,
}

impl<R: BufRead> Read for Chunked<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let Some(left) = &mut self.left else { return Ok(0) };
        if *left <= 2 {
            let mut line = String::new();
            if *left == 2 {
                self.reading.read_line(&mut line)?;
                line.clear();
            }
            self.reading.read_line(&mut line)?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
            if size == 0 {
                self.reading.read_line(&mut line)?;
                self.left = None;
                return Ok(0);
            }
            *left = size + 2;
        }
        let length = buffer.len().min(*left - 2);
        let read = self.reading.read(&mut buffer[..length])?;
        *left -= read;
        Ok(read)
    }
}

/// Reads an answer: each row of so many batches, in order.
#[track_caller]
fn check_rows(reading: &mut impl BufRead, batches: usize) {
    let mut line = String::new();
    while line != "\r\n" {
        assert!(line.is_empty() || !line.starts_with("HTTP") || line.starts_with("HTTP/1.1 200"), "{line}");
        line.clear();
        assert!(reading.read_line(&mut line).expect("a head") > 0);
    }
    let mut body = Chunked { reading, left: Some(0) };
    check_results(&mut body, batches);
    assert_eq!(body.read(&mut [0]).expect("the end"), 0);
    assert_eq!(body.left, None);
}

#[track_caller]
fn check_results(answer: impl Read, batches: usize) {
    let mut next = 1;
    for batch in StreamReader::try_new(answer, None).expect("a stream") {
        let batch = batch.expect("a batch");
        for result in batch.column(0).as_primitive::<Int64Type>().iter() {
            assert_eq!(result, Some(next));
            next += 1;
        }
    }
    assert_eq!(next as usize, batches * ROWS + 1);
}

/// Under these settings a client that sends all before it reads gets every row, or is cut off before it has sent all.
#[track_caller]
fn check(settings: &[(&str, &str)], is_whole: bool) {
    let _turn = turn();
    let api = Api::with(settings);
    let request = plus_one(&api);
    let body = table(MANY);
    let mut stream = begin(&api, &request, body.len());
    let sent = stream.write_all(&body);
    assert_eq!(sent.is_ok(), is_whole, "{settings:?}: {sent:?}");
    if !is_whole {
        until("the request has ended", || api.server.app.metrics.requests_in_flight() == 0);
        return;
    }
    let mut reading = BufReader::new(stream.try_clone().expect("a socket"));
    check_rows(&mut reading, MANY);
    until("what waited is given back", || spooled(&api) == 0);
    // The connection is as good as before.
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n").expect("send");
    assert_eq!(read_reply(&mut reading, false).status, 200);
}

#[test]
fn who_sends_all_before_reading_gets_every_row() {
    check(&[], true);
}

#[test]
fn without_a_file_the_request_is_read_no_further() {
    let folder = Folder::new();
    let file = format!("{}/file", folder.path());
    std::fs::write(&file, "").expect("a file");
    for setting in
        [("spool-max", "0"), ("spool-max", "4MiB"), ("spool-dir", "/nowhere/at/all"), ("spool-dir", &file)]
    {
        check(&[SOON[0], SOON[1], setting], false);
    }
}

#[test]
fn what_waits_takes_no_memory() {
    let _turn = turn();
    let process = Process::new("lambda x: x + 1");
    let body = table(2 * MANY);
    let mut stream = begin_on(process.connect(), &process.path, body.len());
    let before = process.memory();
    stream.write_all(&body).expect("send");
    let after = process.memory();
    assert!(process.gauge("butterflyfx_spool_bytes") > Some(64 << 20));
    if let (Some(before), Some(after)) = (before, after) {
        // What is held has 16 MiB, and may have room for twice as much.
        assert!(after.saturating_sub(before) < 64 << 20, "from {before} to {after} bytes");
    }
    drop(body);
    check_rows(&mut BufReader::new(stream), 2 * MANY);
}

#[test]
fn who_reads_gets_every_row_where_the_room_is_used_up() {
    let _turn = turn();
    for max in ["0", "4MiB", "1000"] {
        let api = Api::with(&[("spool-max", max)]);
        let request = plus_one(&api);
        let body = table(MANY);
        let mut stream = begin(&api, &request, body.len());
        let reading = stream.try_clone().expect("a socket");
        let sender = std::thread::spawn(move || stream.write_all(&body).expect("send"));
        if max == "4MiB" {
            until("the room is used up", || spooled(&api) > 2 << 20);
        }
        check_rows(&mut BufReader::new(reading), MANY);
        sender.join().expect("sent");
        until("what waited is given back", || spooled(&api) == 0);
    }
}

#[test]
fn who_leaves_leaves_nothing_on_the_disk() {
    let _turn = turn();
    let folder = Folder::new();
    let api = Api::with(&[("spool-dir", folder.path()), ("evaluation-threads", "1")]);
    let request = plus_one(&api);
    let body = table(MANY);
    // With part of the request to come, and with all of it there.
    for sent in [body.len() - 1, body.len()] {
        let mut stream = begin(&api, &request, body.len());
        stream.write_all(&body[..sent]).expect("send");
        until("something waits", || spooled(&api) > 0);
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "a file has a name");
        drop(stream);
        until("what waited is given back", || spooled(&api) == 0);
        until("no request but this is answered", || api.server.app.metrics.requests_in_flight() == 0);
    }
    let fast = lambda(&api, "lambda x: x");
    let column = vec![("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef)];
    assert_eq!(sent(&api, &fast, ARROW, &stream_of(&[column])), "Int64: 1");
}

#[test]
fn who_still_sends_need_not_read_yet_and_who_does_neither_is_cut_off() {
    let _turn = turn();
    let settings = [("write-timeout", "1s"), ("body-timeout", "2s"), ("first-byte-timeout", "1s")];
    let api = Api::with(&settings);
    let request = plus_one(&api);
    let body = table(MANY);
    let mut stream = begin(&api, &request, body.len());
    let (most, last) = body.split_at(body.len() - 1_000);
    stream.write_all(most).expect("send");
    until("something waits", || spooled(&api) > 0);
    let started = Instant::now();
    let mut last = last.iter();
    while started.elapsed() < Duration::from_secs(3) {
        stream.write_all(&[*last.next().expect("a byte")]).expect("send");
        std::thread::sleep(Duration::from_millis(20));
    }
    stream.write_all(last.as_slice()).expect("send");
    check_rows(&mut BufReader::new(stream), MANY);

    // All but the end is sent, or all of it: nothing is read either way.
    for sent in [body.len() - 1, body.len()] {
        let mut stream = begin(&api, &request, body.len());
        stream.write_all(&body[..sent]).expect("send");
        until("something waits", || spooled(&api) > 0);
        until("the client is cut off", || spooled(&api) == 0);
        until("the connection is closed", || api.server.app.metrics.connections() == 0);
    }
}

#[test]
fn a_refusal_cuts_the_answer_short_once_all_is_sent() {
    let _turn = turn();
    let api = Api::new();
    let request = plus_one(&api);
    let mut body = table(MANY);
    let middle = body.len() / 2;
    body[middle..middle + 4_000_000].fill(0xAA);
    let mut stream = begin(&api, &request, body.len());
    let started = Instant::now();
    stream.write_all(&body).expect("send");
    let mut answer = Vec::new();
    let read = stream.read_to_end(&mut answer);
    assert!(started.elapsed() < PATIENCE, "{read:?}");
    assert!(answer.starts_with(b"HTTP/1.1 200") && answer.len() > 20 << 20, "{} bytes", answer.len());
    assert!(!answer.ends_with(b"\r\n0\r\n\r\n"), "the answer looks whole");
    until("what waited is given back", || spooled(&api) == 0);
}

#[test]
fn streams_of_http2_need_not_be_read_yet_either() {
    let _turn = turn();
    let api = Api::new();
    let request = plus_one(&api);
    let (_, path) = request.split_once(' ').expect("METHOD /path");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
    let answer = runtime.expect("runtime").block_on(async {
        let stream = tokio::net::TcpStream::connect(api.server.address).await.expect("connect");
        let (requests, connection) = h2::client::handshake(stream).await.expect("handshake");
        tokio::spawn(connection);
        let mut requests = requests.ready().await.expect("ready");
        let request = http::Request::builder()
            .method("POST")
            .uri(format!("http://a{path}?errors=null"))
            .header("content-type", ARROW)
            .body(())
            .expect("request");
        let (response, mut sending) = requests.send_request(request, false).expect("send");
        sending.send_data(table(MANY).into(), true).expect("send");
        // It is far more than what comes before the last of the request.
        until("most of the answer waits", || spooled(&api) > 24 << 20);
        let mut body = response.await.expect("answer").into_body();
        let mut answer = Vec::new();
        while let Some(data) = body.data().await {
            let data = data.expect("data");
            let _ = body.flow_control().release_capacity(data.len());
            answer.extend_from_slice(&data);
        }
        answer
    });
    check_results(&answer[..], MANY);
    until("what waited is given back", || spooled(&api) == 0);
}

#[test]
fn who_leaves_takes_the_work_along_while_something_waits() {
    let _turn = turn();
    let api = Api::with(&[("evaluation-threads", "1"), ("steps-max", "1000000000")]);
    let slow = "lambda x: x + 1 if x < 5000000 else sum([1 for i in range(90000)])";
    let (request, fast) = (lambda(&api, slow), lambda(&api, "lambda x: x"));
    let body = table(MANY);
    let mut stream = begin(&api, &request, body.len());
    // The last rows take hours, and the server reads no further meanwhile.
    stream.set_write_timeout(Some(Duration::from_millis(500))).expect("timeout");
    assert!(stream.write_all(&body).is_err());
    until("something waits", || spooled(&api) > 0);
    drop(stream);
    let column = vec![("x", Arc::new(Int64Array::from(vec![1])) as ArrayRef)];
    assert_eq!(sent(&api, &fast, ARROW, &stream_of(&[column])), "Int64: 1");
    until("what waited is given back", || spooled(&api) == 0);
}
