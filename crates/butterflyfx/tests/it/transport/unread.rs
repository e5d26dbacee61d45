//! A request that is refused before its body has come: the next one on its connection is answered, or the answer
//! says that there will be none.

use crate::support::{PATIENCE, TestServer, read_answer, read_to_end};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

/// Requests that are refused by what stands in the head: what they ask for, and the status.
const REFUSED: &[(&str, &str)] = &[
    ("POST /nothing HTTP/1.1\r\nHost: a\r\n", "404"),
    ("PUT /api/v1/substrates HTTP/1.1\r\nHost: a\r\n", "405"),
    ("POST /api/v1/substrates HTTP/1.1\r\nHost: a\r\nContent-Type: text/plain\r\n", "415"),
    ("POST /api/v1/substrates/batch?atomic=perhaps HTTP/1.1\r\nHost: a\r\n", "422"),
    ("POST /api/v1/substrates HTTP/1.1\r\nHost: a\r\nOrigin: http://evil.example\r\n", "403"),
];

/// Sends a head, reads nothing, and sends the body in two parts and the next request, apart.
fn check_goes_on(server: &TestServer, head: &str, status: &str, framing: &str, body: [&str; 2]) {
    let mut stream = server.connect();
    stream.set_nodelay(true).expect("no delay");
    for part in [&*format!("{head}{framing}\r\n"), body[0], body[1]] {
        stream.write_all(part.as_bytes()).expect("send");
        std::thread::sleep(Duration::from_millis(5));
    }
    let (answer, _) = read_answer(&mut stream);
    assert!(answer.starts_with(&format!("http/1.1 {status}")), "{head}: {answer}");
    assert!(!answer.contains("connection: close"), "{head}: {answer}");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").expect("send the next request");
    let (answer, _) = read_answer(&mut stream);
    assert!(answer.starts_with("http/1.1 200"), "after {head}: {answer}");
}

#[test]
fn a_small_body_behind_its_refusal_does_not_end_the_connection() {
    let server = TestServer::api(&[]);
    for (head, status) in REFUSED {
        check_goes_on(&server, head, status, "Content-Length: 10\r\n", ["01234", "56789"]);
        let half = "x".repeat(32 * 1024);
        check_goes_on(&server, head, status, "Content-Length: 65536\r\n", [&half, &half]);
        check_goes_on(
            &server,
            head,
            status,
            "Transfer-Encoding: chunked\r\n",
            ["5\r\n01", "234\r\n0\r\n\r\n"],
        );
    }
}

/// Expects an answer that says it is the last, and the connection's end; gives back how long it took.
fn check_last(stream: &mut TcpStream, status: &str) -> Duration {
    let started = Instant::now();
    let (answer, _) = read_answer(stream);
    let took = started.elapsed();
    assert!(answer.starts_with(&format!("http/1.1 {status}")), "{answer}");
    assert_eq!(answer.matches("connection: close").count(), 1, "{answer}");
    let mut rest = String::new();
    let _ = stream.read_to_string(&mut rest);
    assert_eq!(rest, "");
    took
}

#[test]
fn a_large_body_is_not_read_and_the_answer_says_so() {
    let server = TestServer::api(&[]);
    for (head, status) in REFUSED {
        let mut stream = server.connect();
        stream.write_all(format!("{head}Content-Length: 65537\r\n\r\n").as_bytes()).expect("send");
        check_last(&mut stream, status);
        let mut stream = server.connect();
        stream.write_all(format!("{head}Transfer-Encoding: chunked\r\n\r\n").as_bytes()).expect("send");
        let chunk = format!("8000\r\n{}\r\n", "x".repeat(0x8000));
        for _ in 0..3 {
            // The server may have closed already.
            let _ = stream.write_all(chunk.as_bytes());
        }
        check_last(&mut stream, status);
    }
}

#[test]
fn a_body_that_drips_does_not_keep_its_refusal_back() {
    let server = TestServer::api(&[]);
    for framing in ["Content-Length: 60000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\nEA60\r\n"] {
        let mut stream = server.connect();
        stream.write_all(format!("POST /nothing HTTP/1.1\r\nHost: a\r\n{framing}").as_bytes()).expect("send");
        let mut reader = stream.try_clone().expect("clone");
        let reading = std::thread::spawn(move || check_last(&mut reader, "404"));
        let started = Instant::now();
        while !reading.is_finished() {
            assert!(started.elapsed() < PATIENCE, "a dripping body is read for ever");
            let _ = stream.write_all(b"x");
            std::thread::sleep(Duration::from_millis(20));
        }
        // Far below the timeouts of a body that somebody wants.
        let took = reading.join().expect("the answer is the last");
        assert!(took < Duration::from_secs(5), "{took:?}");
    }
}

#[test]
fn a_body_that_waits_to_be_asked_for_is_not() {
    let server = TestServer::api(&[]);
    for (head, status) in REFUSED {
        let mut stream = server.connect();
        let head = format!("{head}Expect: 100-continue\r\nContent-Length: 10\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("send");
        // Not `HTTP/1.1 100`, and not after a wait for what nobody sends.
        check_last(&mut stream, status);
    }
    // One that is wanted is asked for.
    let mut stream = server.connect();
    let head =
        "POST /api/v1/substrates HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n";
    stream.write_all(head.as_bytes()).expect("send");
    let (asked, _) = read_answer(&mut stream);
    assert!(asked.starts_with("http/1.1 100"), "{asked}");
    stream.write_all(b"{}").expect("send the body");
    let (answer, _) = read_answer(&mut stream);
    assert!(answer.starts_with("http/1.1 422") && !answer.contains("connection: close"), "{answer}");
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").expect("send");
    assert!(read_to_end(&mut stream).starts_with("HTTP/1.1 200"));
}
