//! Bounds on connections, heads and bodies.

use crate::support::{TestServer, read_answer, read_to_end, until};
use std::io::Write;
use std::net::TcpStream;

#[test]
fn one_connection_too_many_is_told_so() {
    let server = TestServer::plain(&[("connections-max", "3")]);
    let mut open: Vec<TcpStream> = (0..3).map(|_| server.connect()).collect();
    until("three are open", || server.app.metrics.connections() == 3);
    let refused = server.talk(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n");
    assert!(refused.starts_with("HTTP/1.1 503"), "{refused}");
    assert!(refused.contains("retry-after: 1\r\n"), "{refused}");
    assert!(refused.contains("\"code\":\"overloaded\""), "{refused}");
    for stream in &mut open {
        stream.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").expect("send");
        assert_eq!(read_answer(stream).1, "ok");
    }
    open.pop();
    until("there is room again", || server.app.metrics.connections() == 2);
    let answer = server.talk(b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn large_heads_are_refused() {
    let server = TestServer::plain(&[]);
    let check = |head: String, status: &str| {
        let mut stream = server.connect();
        // The server may close while the rest is still being sent.
        let _ = stream.write_all(head.as_bytes());
        let answer = read_to_end(&mut stream);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer:.300}");
    };
    let get = "GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n";
    check(format!("{get}X: {}\r\n\r\n", "x".repeat(60 * 1024)), "200");
    check(format!("{get}X: {}\r\n\r\n", "x".repeat(65 * 1024)), "431");
    check(format!("{get}X: {}", "x".repeat(10 << 20)), "431");
    check(format!("{get}{}\r\n", "X: y\r\n".repeat(98)), "200");
    check(format!("{get}{}\r\n", "X: y\r\n".repeat(99)), "431");
    check(format!("GET /{} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", "x".repeat(60_000)), "404");
    check(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000)), "4");
}

#[test]
fn a_gigabyte_is_refused_before_it_is_read() {
    let server = TestServer::plain(&[]);
    let before = butterflyfx::metrics::resident_bytes();
    let mut stream = server.connect();
    stream.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n").expect("send");
    let piece = vec![b'x'; 1 << 20];
    let mut reader = stream.try_clone().expect("clone");
    let reading = std::thread::spawn(move || read_to_end(&mut reader));
    let mut sent = 0;
    while sent < 1 << 30 && stream.write_all(&piece).is_ok() {
        sent += piece.len();
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    let answer = reading.join().expect("read");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(answer.contains("\"limit_bytes\":268435456"), "{answer}");
    if let (Some(before), Some(after)) = (before, butterflyfx::metrics::resident_bytes()) {
        // Other tests run beside this one; a gigabyte would still show.
        assert!(after < before + (400 << 20), "{before} -> {after}");
    }
}

#[test]
fn large_bodies_share_bounded_room() {
    let server = TestServer::plain(&[("body-max", "1MiB")]);
    let head = |bytes: usize| {
        format!("POST /echo HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {bytes}\r\n\r\n")
    };
    let post = |bytes: usize| {
        let mut stream = server.connect();
        // The server may answer and close while the rest is still being sent.
        let _ = stream.write_all((head(bytes) + &"x".repeat(bytes)).as_bytes());
        read_to_end(&mut stream)
    };
    // Clients that send all that a handler may hold, and never finish: sixteen, and one more for
    // each that a post took the place of.
    let hang = || {
        let mut stream = server.connect();
        // One too many is closed while it sends.
        let _ = stream.write_all((head(2 << 20) + &"x".repeat(3 << 19)).as_bytes());
        stream
    };
    let mut hanging: Vec<TcpStream> = (0..16).map(|_| hang()).collect();
    let mut answer = String::new();
    until("there is no room", || {
        answer = post(1 << 20);
        let is_taken = answer.starts_with("HTTP/1.1 200");
        if is_taken {
            hanging.push(hang());
        }
        !is_taken
    });
    assert!(
        answer.starts_with("HTTP/1.1 503") && answer.contains("\"code\":\"overloaded\""),
        "{answer:.300}"
    );
    assert!(answer.to_ascii_lowercase().contains("retry-after:"), "{answer:.300}");
    let small = post(1_000);
    assert!(small.starts_with("HTTP/1.1 200"), "{small:.300}");
    drop(hanging);
    until("there is room again", || post(1 << 20).starts_with("HTTP/1.1 200"));
}

#[test]
fn an_unread_body_does_not_hide_the_answer() {
    let server = TestServer::plain(&[]);
    let body = "x".repeat(1 << 20);
    let request = format!("POST /ignore HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}", body.len());
    for _ in 0..20 {
        let answer = server.talk(request.as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.ends_with("ignored"), "{answer}");
    }
}

#[test]
fn hostile_json_is_refused_quickly() {
    let server = TestServer::api(&[]);
    let check = |body: &[u8], statuses: &[&str]| {
        let mut stream = server.connect();
        let head = format!(
            "POST /api/v1/substrates HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut request = head.into_bytes();
        request.extend_from_slice(body);
        // The server may answer and close before it has taken everything.
        let _ = stream.write_all(&request);
        let answer = read_to_end(&mut stream);
        let start = String::from_utf8_lossy(&body[..body.len().min(40)]).into_owned();
        assert!(
            statuses.iter().any(|status| answer.starts_with(&format!("HTTP/1.1 {status}"))),
            "{start}: {answer:.300}"
        );
        assert!(answer.contains("application/problem+json"), "{start}: {answer:.300}");
    };
    let deep = |open: &str, n: usize| open.repeat(n).into_bytes();
    check(&deep("[", 1_000_000), &["400", "422"]);
    check(&deep("{\"a\":", 1_000_000), &["400", "422"]);
    check(&[b"{\"metadata\":".as_slice(), &deep("[", 1_000_000)].concat(), &["400", "422"]);
    check(b"{\"expression_type\":\"lambda\",\"expression_code\":\"\xff\"}", &["400"]);
    check(b"{\"expression_type\":NaN}", &["400"]);
    check(b"{\"expression_type\":\"lambda\",\"expression_type\":\"lambda\"}", &["400"]);
    check(b"\"\\ud800\"", &["400"]);
    check(&vec![b' '; (8 << 20) + 1], &["413"]);
    check(&[b"{\"expression_code\":\"".as_slice(), &vec![b'x'; 7 << 20], b"\"}"].concat(), &["422"]);
}

#[test]
fn a_client_that_sends_all_before_it_reads_sees_the_refusal() {
    let server = TestServer::api(&[]);
    for megabytes in [9, 20] {
        let mut stream = server.connect();
        let length = megabytes << 20;
        let head = format!("POST /api/v1/substrates HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        stream.write_all(head.as_bytes()).expect("send the head");
        stream.write_all(&vec![b' '; length]).expect("send the body");
        let answer = read_to_end(&mut stream);
        assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    }
}

#[test]
fn a_chunked_gigabyte_is_refused_at_the_limit() {
    let server = TestServer::api(&[]);
    let mut stream = server.connect();
    stream
        .write_all(b"POST /api/v1/substrates HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        .expect("send");
    let mut piece = b"100000\r\n".to_vec();
    piece.resize(piece.len() + (1 << 20), b' ');
    piece.extend_from_slice(b"\r\n");
    let mut reader = stream.try_clone().expect("clone");
    let reading = std::thread::spawn(move || read_to_end(&mut reader));
    let mut sent = 0;
    while sent < 1 << 30 && stream.write_all(&piece).is_ok() {
        sent += piece.len();
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken");
    let answer = reading.join().expect("read");
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
}
