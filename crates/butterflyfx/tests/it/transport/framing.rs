//! Bytes that two readers could understand differently: one 400 and the connection is closed.
//! A request smuggled behind them must never be answered.

use crate::support::{TestServer, answers_in, read_answer};
use std::io::Write;

const SMUGGLED: &str = "GET /ok HTTP/1.1\r\nHost: a\r\nX-Smuggled: yes\r\n\r\n";

/// Sends the bytes with a request hidden behind them and expects one answer with this status.
fn check(server: &TestServer, bytes: &str, status: &str) {
    let answers = server.talk(format!("{bytes}{SMUGGLED}").as_bytes());
    assert!(answers.starts_with(&format!("HTTP/1.1 {status}")), "{bytes:?} is answered {answers:?}");
    assert_eq!(answers_in(&answers), 1, "{bytes:?} is answered {answers:?}");
    assert!(!answers.contains("\r\n\r\nok"), "{bytes:?} smuggles: {answers:?}");
}

#[test]
fn ambiguous_requests_are_refused_and_the_connection_closed() {
    let server = TestServer::plain(&[]);
    let post = "POST /echo HTTP/1.1\r\nHost: a\r\n";
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n";
    let bad = [
        // Both lengths, in either order and in odd spellings.
        format!("{post}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\ncontent-LENGTH: 4\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding : chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding:\tchunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        format!("{post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        "POST /echo HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n".to_owned(),
        // Lengths that are no plain number, or two.
        format!("{post}Content-Length: 0\r\nContent-Length: 4\r\n\r\n"),
        format!("{post}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"),
        format!("{post}Content-Length: 4, 4\r\n\r\nabcd"),
        format!("{post}Content-Length: +4\r\n\r\nabcd"),
        format!("{post}Content-Length: -4\r\n\r\nabcd"),
        format!("{post}Content-Length: 0x4\r\n\r\nabcd"),
        format!("{post}Content-Length: 4 4\r\n\r\nabcd"),
        format!("{post}Content-Length: \r\n\r\n"),
        format!("{post}Content-Length: 18446744073709551616\r\n\r\n"),
        format!("{post}Content-Length : 4\r\n\r\nabcd"),
        // Line ends.
        "GET /ok HTTP/1.1\nHost: a\n\n".to_owned(),
        "GET /ok HTTP/1.1\r\nHost: a\n\r\n".to_owned(),
        "GET /ok HTTP/1.1\r\nHost: a\r\n\n".to_owned(),
        "GET /ok HTTP/1.1\r\nHost: a\r\nX: b\rContent-Length: 5\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.1\rHost: a\r\n\r\n".to_owned(),
        // Headers.
        "GET /ok HTTP/1.1\r\nHost: a\r\n folded: yes\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.1\r\nHost: a\r\nX: b\r\n\tc\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.1\r\n Host: a\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.1\r\nHost: a\r\n: no name\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.1\r\nHost: a\r\nX: a\0b\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.1\r\nHost: a\r\nX\x7f: a\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.1\r\n\r\n".to_owned(),
        // Request lines.
        "GET  /ok HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.1 \r\nHost: a\r\n\r\n".to_owned(),
        "GET /ok\r\nHost: a\r\n\r\n".to_owned(),
        "GET /ok HTTP/2.0\r\nHost: a\r\n\r\n".to_owned(),
        "GET /ok HTTP/1.9\r\nHost: a\r\n\r\n".to_owned(),
        "GET /o k HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GE\tT /ok HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "\0GET /ok HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET ok HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET * HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        "GET ftp://a/ok HTTP/1.1\r\nHost: a\r\n\r\n".to_owned(),
        // Chunks.
        format!("{chunked}\r\n5;a\nb\r\nhello\r\n0\r\n\r\n"),
        format!("{chunked}\r\n5\nhello\r\n0\r\n\r\n"),
        format!("{chunked}\r\n0x5\r\nhello\r\n0\r\n\r\n"),
        format!("{chunked}\r\n+5\r\nhello\r\n0\r\n\r\n"),
        format!("{chunked}\r\n 5\r\nhello\r\n0\r\n\r\n"),
        format!("{chunked}\r\n5 \r\nhello\r\n0\r\n\r\n"),
        format!("{chunked}\r\n5\r\nhelloX\r\n0\r\n\r\n"),
        format!("{chunked}\r\n5\r\nhello\n0\r\n\r\n"),
        format!("{chunked}\r\nFFFFFFFFFFFFFFFFF\r\nhello"),
        format!("{chunked}\r\n5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(300)),
        format!("{chunked}\r\n0\r\nContent-Length: 50\r\n\r\n"),
        format!("{chunked}\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"),
    ];
    for bytes in &bad {
        check(&server, bytes, "400");
    }
    let alive = server.talk(b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(alive.starts_with("HTTP/1.1 200"), "{alive}");
}

#[test]
fn good_requests_before_a_bad_one_are_answered_in_order() {
    let server = TestServer::plain(&[]);
    let good = "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nfirst";
    let answers = server.talk(format!("{good}GET /ok HTTP/1.1\nHost: a\r\n\r\n{SMUGGLED}").as_bytes());
    assert_eq!(answers_in(&answers), 2, "{answers}");
    assert!(answers.starts_with("HTTP/1.1 200") && answers.contains("first"), "{answers}");
    assert!(answers.contains("HTTP/1.1 400"), "{answers}");
}

#[test]
fn an_answer_does_not_wait_for_the_rest_of_the_next_request() {
    let server = TestServer::plain(&[]);
    let mut stream = server.connect();
    stream.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\nGET /ok HT").expect("send");
    assert_eq!(read_answer(&mut stream).1, "ok");
    stream
        .write_all(b"TP/1.1\r\nHost: a\r\n\r\nPOST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nh")
        .expect("send");
    assert_eq!(read_answer(&mut stream).1, "ok");
    stream.write_all(b"i").expect("send");
    assert_eq!(read_answer(&mut stream).1, "hi");
}

#[test]
fn the_last_answer_is_sent_although_more_was_asked() {
    let server = TestServer::plain(&[]);
    let last = "GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answers = server.talk(format!("{last}{SMUGGLED}{SMUGGLED}").as_bytes());
    assert!(answers.starts_with("HTTP/1.1 200") && answers.ends_with("ok"), "{answers}");
    assert_eq!(answers_in(&answers), 1);
}

#[test]
fn the_same_bytes_in_single_pieces_get_the_same_answer() {
    let server = TestServer::plain(&[]);
    let bytes = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n";
    let mut stream = server.connect();
    for byte in bytes {
        // The server closes as soon as it has seen enough.
        if stream.write_all(&[*byte]).is_err() {
            break;
        }
    }
    let answers = crate::support::read_to_end(&mut stream);
    assert!(answers.starts_with("HTTP/1.1 400"), "{answers}");
}

#[test]
fn well_formed_oddities_are_accepted() {
    let server = TestServer::plain(&[]);
    let check = |bytes: &str, body: &str| {
        let mut stream = server.connect();
        stream.write_all(bytes.as_bytes()).expect("send");
        let (head, answer) = read_answer(&mut stream);
        assert!(head.starts_with("http/1.") && head.contains(" 200 "), "{bytes:?} is answered {head}");
        assert_eq!(answer, body, "{bytes:?}");
    };
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    check(&format!("{chunked}5\r\nhello\r\n0\r\n\r\n"), "hello");
    check(&format!("{chunked}5;name=\"value\"\r\nhello\r\n0\r\n\r\n"), "hello");
    check(&format!("{chunked}05\r\nhello\r\n1\r\n!\r\n0\r\nX-Sum: 1\r\n\r\n"), "hello!");
    check("\r\nGET /ok HTTP/1.1\r\nHost: a\r\n\r\n", "ok");
    check("GET http://a/ok HTTP/1.1\r\nHost: a\r\n\r\n", "ok");
    check("GET /ok HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", "ok");
    check("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n\n\n", "\n\n");
    let asterisk = server.talk(b"OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(asterisk.starts_with("HTTP/1.1 204") && asterisk.contains("allow: "), "{asterisk}");
}

#[test]
fn tunnels_and_traces_are_refused() {
    let server = TestServer::plain(&[]);
    check(&server, "CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n", "405");
    check(&server, "TRACE /ok HTTP/1.1\r\nHost: a\r\n\r\n", "405");
}

#[test]
fn expect_continue_is_honoured_and_not_when_the_body_is_refused() {
    let server = TestServer::plain(&[]);
    let mut stream = server.connect();
    let head = "POST /echo HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nConnection: close\r\n";
    stream.write_all(format!("{head}Content-Length: 2\r\n\r\n").as_bytes()).expect("send");
    let (interim, _) = read_answer(&mut stream);
    assert!(interim.starts_with("http/1.1 100"), "{interim}");
    stream.write_all(b"hi").expect("send");
    assert!(crate::support::read_to_end(&mut stream).ends_with("hi"));
    let refused = server.talk(format!("{head}Content-Length: 1073741824\r\n\r\n").as_bytes());
    assert!(refused.starts_with("HTTP/1.1 413"), "{refused}");
}
