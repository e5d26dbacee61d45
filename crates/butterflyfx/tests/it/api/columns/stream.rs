//! Streams: bodies that come in pieces, answers that begin before the end, clients that leave.

use super::super::client::read_reply;
use super::*;
use arrow_array::{Float64Array, Int8Array, Int64Array};
use std::io::{BufReader, Read, Write};
use std::time::Instant;

/// Sends a body in chunks of a length and reads the answer.
fn chunked(api: &Api, request: &str, media: &str, body: &[u8], length: usize) -> Reply {
    let (method, path) = request.split_once(' ').expect("METHOD /path");
    let mut stream = api.server.connect();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {media}\r\n\
         transfer-encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).expect("send");
    for chunk in body.chunks(length) {
        stream.write_all(format!("{:x}\r\n", chunk.len()).as_bytes()).expect("send");
        stream.write_all(chunk).expect("send");
        stream.write_all(b"\r\n").expect("send");
    }
    stream.write_all(b"0\r\n\r\n").expect("send");
    read_reply(&mut BufReader::new(stream), false)
}

pub(super) fn counter(api: &Api, name: &str) -> u64 {
    let metrics = api.send("GET /metrics", "").text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
    line.and_then(|value| value.parse::<f64>().ok()).expect("a counter") as u64
}

#[test]
fn where_a_body_is_cut_does_not_matter() {
    let api = Api::new();
    let request = lambda(&api, "lambda x, y: x * y");
    let column = |from: i64| {
        vec![
            ("x", Arc::new(Int64Array::from(vec![Some(from), None, Some(from + 2)])) as ArrayRef),
            ("y", Arc::new(Float64Array::from(vec![0.5, 1.5, 2.5])) as ArrayRef),
        ]
    };
    let arrow = stream_of(&[column(1), column(10)]);
    let csv = "\u{feff}x,y\r\n1,0.5\r\n\"\u{20ac}\"\"\n\",1\n3,\"2.5\"\n".as_bytes();
    for (media, body) in [(ARROW, &arrow[..]), (CSV, csv)] {
        let whole = sent(&api, &request, media, body);
        for length in [1, 2, 3, 7, 64, 1000] {
            assert_eq!(shown(&chunked(&api, &request, media, body, length)), whole, "{length}");
        }
    }
}

#[test]
fn machine_code_and_nulls_give_what_json_gives() {
    let api = Api::new();
    let request = lambda(&api, "lambda x, y: x / y if x > 10 else x * 3 + y");
    let (rows, headers) = (10_000, [("content-type", ARROW), ("accept", "application/json")]);
    let x: Vec<Option<i64>> = (0..rows).map(|row| (row % 97 != 5).then_some(row % 41)).collect();
    let y: Vec<Option<f64>> =
        (0..rows).map(|row| (row % 89 != 7).then_some((row % 13) as f64 / 2.0)).collect();
    let json = api.send(&request, &json!({"columns": {"x": &x, "y": &y}}).to_string()).json();
    let columns = vec![
        ("x", Arc::new(Int64Array::from(x.clone())) as ArrayRef),
        ("y", Arc::new(Float64Array::from(y.clone())) as ArrayRef),
    ];
    let arrow = api.send_with(&request, &headers, &stream_of(&[columns])).json();
    assert_eq!(arrow, json);
    let mut csv = "x,y\n".to_owned();
    for (x, y) in x.iter().zip(&y) {
        let (x, y) =
            (x.map_or(String::new(), |x| x.to_string()), y.map_or(String::new(), |y| format!("{y:?}")));
        csv.push_str(&format!("{x},{y}\n"));
    }
    let headers = [("content-type", CSV), ("accept", "application/json")];
    assert_eq!(api.send_with(&request, &headers, csv.as_bytes()).json(), json);
    // The counters know of each row once a request.
    let failed = json["errors"].as_array().map_or(0, Vec::len) as u64;
    assert_eq!(counter(&api, "butterflyfx_evaluations_total"), 3 * (rows as u64 - failed));
    assert_eq!(counter(&api, "butterflyfx_evaluation_errors_total"), 3 * failed);
}

#[test]
fn millions_of_rows_take_no_more_room_than_thousands() {
    let process = Process::new("lambda x: x + 1");
    let path = &process.path;
    let column = vec![(
        "x",
        Arc::new(Int8Array::from_iter_values((0..100_000).map(|row| (row % 100) as i8))) as ArrayRef,
    )];
    let whole = stream_of(&[column.clone(), column]);
    let mut stream = process.connect();
    let mut reading = stream.try_clone().expect("a socket");
    let before = process.memory();
    let reader = std::thread::spawn(move || {
        let (mut read, mut buffer, mut head) = (0, vec![0; 1 << 16], Vec::new());
        loop {
            match reading.read(&mut buffer) {
                Ok(0) | Err(_) => return (read, String::from_utf8_lossy(&head).into_owned()),
                Ok(count) => {
                    if read == 0 {
                        head = buffer[..count.min(512)].to_vec();
                    }
                    read += count;
                }
            }
        }
    });
    let body = repeated(&whole, 30);
    let head = format!(
        "POST {path}?errors=null HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: {ARROW}\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("send");
    stream.write_all(&body).expect("send");
    let (read, head) = reader.join().expect("the answer");
    assert!(head.contains("transfer-encoding: chunked"), "the answer was held to its end: {head}");
    let after = process.memory();
    assert!(read > 3_000_000 * 8, "{read} bytes of 3 million results came");
    if let (Some(before), Some(after)) = (before, after) {
        // The answer is held to 16 MiB; 3 million results have 24.
        assert!(after.saturating_sub(before) < 64 << 20, "from {before} to {after} bytes");
    }
}

/// The first record batch of a stream so many times, in a stream.
fn repeated(stream: &[u8], times: usize) -> Vec<u8> {
    let length = |at: usize| {
        let bytes = stream[at + 4..at + 8].try_into().expect("four bytes");
        8 + u32::from_le_bytes(bytes) as usize
    };
    let schema = length(0);
    let batches = &stream[schema..stream.len() - 8];
    let batch = &batches[..batches.len() / 2];
    let mut out = stream[..schema].to_vec();
    for _ in 0..times {
        out.extend_from_slice(batch);
    }
    out.extend_from_slice(&stream[stream.len() - 8..]);
    out
}

#[test]
fn who_leaves_takes_the_work_along() {
    let api = Api::with(&[("evaluation-threads", "1")]);
    let slow = lambda(&api, "lambda x: sum([1 for i in range(90000)])");
    let fast = lambda(&api, "lambda x: x");
    let (_, path) = slow.split_once(' ').expect("METHOD /path");
    let column = |rows: usize| vec![("x", Arc::new(Int64Array::from(vec![1; rows])) as ArrayRef)];
    let body = stream_of(&[column(1), column(60_000)]);
    let mut stream = api.server.connect();
    let head = format!(
        "POST {path}?errors=null HTTP/1.1\r\nhost: localhost\r\ncontent-type: {ARROW}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).expect("send");
    stream.write_all(&body).expect("send");
    // When the first batch is done the worker begins with the second, which takes minutes.
    let started = Instant::now();
    let is_done = || {
        // Where the machine is busy, the row may have been stopped by the clock.
        counter(&api, "butterflyfx_evaluations_total") + counter(&api, "butterflyfx_evaluation_errors_total")
            > 0
    };
    while !is_done() {
        assert!(started.elapsed() < PATIENCE);
        std::thread::yield_now();
    }
    drop(stream);
    assert_eq!(sent(&api, &fast, ARROW, &stream_of(&[column(1)])), "Int64: 1");
}

/// What came before the end of a request is not worked off once it is known that the end does not come.
#[test]
fn who_leaves_in_the_middle_takes_along_what_was_sent() {
    let api = Api::with(&[("evaluation-threads", "1")]);
    let slow = lambda(&api, "lambda x: sum([1 for i in range(90000)])");
    let (_, path) = slow.split_once(' ').expect("METHOD /path");
    let column = |rows: usize| vec![("x", Arc::new(Int64Array::from(vec![1; rows])) as ArrayRef)];
    // Minutes of work in some hundred kilobytes.
    let mut batches = vec![column(1)];
    batches.extend((0..100).map(|_| column(400)));
    let body = stream_of(&batches);
    let mut stream = api.server.connect();
    let head = format!(
        "POST {path}?errors=null HTTP/1.1\r\nhost: localhost\r\ncontent-type: {ARROW}\r\ncontent-length: {}\r\n\r\n",
        2 * body.len()
    );
    stream.write_all(head.as_bytes()).expect("send");
    stream.write_all(&body).expect("send");
    let started = Instant::now();
    let until = |holds: &dyn Fn() -> bool| {
        while !holds() {
            assert!(started.elapsed() < PATIENCE);
            std::thread::yield_now();
        }
    };
    until(&|| {
        counter(&api, "butterflyfx_evaluations_total") + counter(&api, "butterflyfx_evaluation_errors_total")
            > 0
    });
    drop(stream);
    // The one that asks.
    until(&|| counter(&api, "butterflyfx_http_requests_in_flight") == 1);
}

#[test]
fn each_piece_may_take_what_a_request_may() {
    let api = Api::with(&[("steps-max", "10000")]);
    let request = lambda(&api, "lambda x: [1 for i in range(3000) if i < 0]") + "?errors=null";
    let column = |rows: usize| vec![("x", Arc::new(Int64Array::from(vec![1; rows])) as ArrayRef)];
    let refused = sent(&api, &request, ARROW, &stream_of(&[column(5_000)]));
    assert!(refused.starts_with("422 limit_exceeded: the evaluations of one request may take"), "{refused}");
    let batches: Vec<_> = (0..10).map(|_| column(500)).collect();
    let many = sent(&api, &request, ARROW, &stream_of(&batches));
    assert!(many.starts_with("Null: null"), "{many}");
}
