//! Slow clients are let go in time, and harm nobody else.

use crate::support::{PATIENCE, TestServer, read_answer, read_to_end, until};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

fn is_alive(server: &TestServer) {
    let answer = server.talk(b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_connection_that_says_nothing_is_closed() {
    let server = TestServer::plain(&[("first-byte-timeout", "100ms")]);
    let mut silent: Vec<TcpStream> = (0..100).map(|_| server.connect()).collect();
    is_alive(&server);
    for stream in &mut silent {
        assert_eq!(read_to_end(stream), "");
    }
    until("all are counted as closed", || server.app.metrics.connections() == 0);
}

#[test]
fn a_head_that_never_ends_is_closed() {
    let server = TestServer::plain(&[("header-timeout", "200ms")]);
    for beginning in ["G", "PRI * HT", "GET /ok HTTP/1.1\r\nHost: a\r\n", "GET /ok HTTP/1.1\r\nX: "] {
        let mut stream = server.connect();
        stream.write_all(beginning.as_bytes()).expect("send");
        let started = Instant::now();
        // A drop each 20 ms keeps an idle timer alive for ever; a deadline it does not.
        let mut reader = stream.try_clone().expect("clone");
        let reading = std::thread::spawn(move || read_to_end(&mut reader));
        while !reading.is_finished() {
            assert!(started.elapsed() < PATIENCE, "{beginning:?} is not closed");
            let _ = stream.write_all(b"x");
            std::thread::sleep(Duration::from_millis(20));
        }
        let answer = reading.join().expect("read");
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    is_alive(&server);
}

#[test]
fn a_head_begun_on_a_kept_alive_connection_has_the_same_deadline() {
    let server = TestServer::plain(&[("header-timeout", "200ms")]);
    let mut stream = server.connect();
    stream.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\nGET /ok HT").expect("send");
    let answers = read_to_end(&mut stream);
    assert!(answers.starts_with("HTTP/1.1 200"), "{answers}");
    assert!(answers.contains("HTTP/1.1 408"), "{answers}");
}

#[test]
fn an_idle_connection_is_closed_and_a_busy_one_is_not() {
    let server = TestServer::plain(&[("idle-timeout", "150ms")]);
    let mut stream = server.connect();
    // /wait takes twice the timeout: waiting for an answer is not being idle.
    stream.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").expect("send");
    assert_eq!(read_answer(&mut stream).1, "waited");
    for _ in 0..3 {
        stream.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").expect("send");
        assert_eq!(read_answer(&mut stream).1, "ok");
        std::thread::sleep(Duration::from_millis(60));
    }
    assert_eq!(read_to_end(&mut stream), "");
}

#[test]
fn a_body_that_stops_coming_is_answered_408() {
    let server = TestServer::plain(&[("body-timeout", "150ms")]);
    for head in ["Content-Length: 1000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\nhe"] {
        let answer = server.talk(format!("POST /echo HTTP/1.1\r\nHost: a\r\n{head}").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("\"code\":\"request_timeout\""), "{answer}");
    }
    is_alive(&server);
}

#[test]
fn a_body_that_only_drips_is_answered_408() {
    let server = TestServer::plain(&[("body-timeout", "200ms"), ("body-rate-min", "1KiB")]);
    let mut stream = server.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").expect("send");
    let mut reader = stream.try_clone().expect("clone");
    let reading = std::thread::spawn(move || read_to_end(&mut reader));
    let started = Instant::now();
    while !reading.is_finished() {
        assert!(started.elapsed() < PATIENCE, "a dripping body is read for ever");
        let _ = stream.write_all(b"x");
        std::thread::sleep(Duration::from_millis(20));
    }
    let answer = reading.join().expect("read");
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[test]
fn a_client_that_does_not_read_its_answer_is_let_go() {
    let server = TestServer::plain(&[("write-timeout", "200ms"), ("idle-timeout", "200ms")]);
    let mut stream = server.connect();
    stream.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").expect("send");
    until("the request is in flight", || server.app.metrics.requests_in_flight() == 1);
    until("the connection is given up", || server.app.metrics.connections() == 0);
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
    assert!(rest.len() < 64 << 20);
    is_alive(&server);
}
