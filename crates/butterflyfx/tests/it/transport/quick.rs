//! The short way answers as the long one does, byte for byte but for what differs anyhow.

use crate::support::{TestServer, answers_in, read_answer};
use std::io::Write;

/// A header that nobody looks at, but that leads the long way.
const LONG: &str = "TE: trailers\r\n";

fn request(line: &str, headers: &str, body: &str) -> String {
    let length = if body.is_empty() { String::new() } else { format!("Content-Length: {}\r\n", body.len()) };
    format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}{length}\r\n{body}")
}

/// An answer without the ids and times in it.
fn plain((head, body): (String, String)) -> (String, String) {
    let head = head.lines().filter(|line| !line.starts_with("x-request-id: ") && !line.starts_with("date: "));
    let mut head: Vec<&str> = head.collect();
    // hyper writes a length where it likes.
    head.sort_unstable();
    let body = match body.split_once("\"invocation_time_ms\":") {
        Some((before, after)) => format!("{before}{}", after.split_once(',').map_or("", |(_, rest)| rest)),
        None => body,
    };
    let head =
        head.into_iter().filter(|line| !line.starts_with("content-length: ") || !body.contains("\"cost\""));
    (head.collect::<Vec<_>>().join("\n"), body)
}

fn create(server: &TestServer, body: &str) {
    let mut stream = server.connect();
    let text = request("PUT /api/v1/substrates/0xAB", "Content-Type: application/json\r\n", body);
    stream.write_all(text.as_bytes()).expect("send");
    assert!(read_answer(&mut stream).0.starts_with("http/1.1 20"));
}

const PRODUCT: &str =
    r#"{"expression_type":"lambda","expression_code":"lambda x, y=2: x * y","metadata":{"a":[1,2.0]}}"#;

#[test]
fn kept_results_are_given_on_both_ways() {
    let server = TestServer::api(&[]);
    create(&server, r#"{"expression_type":"lambda","expression_code":"lambda xs: [str(x) for x in xs]"}"#);
    let mut stream = server.connect();
    let mut ask = |headers: &str, body: &str| {
        let text = request("POST /api/v1/substrates/0xAB/invoke", headers, body);
        stream.write_all(text.as_bytes()).expect("send");
        let (head, body) = plain(read_answer(&mut stream));
        let (body, cached) = body.split_once(",\"cached\":").expect("a member");
        (head, body.to_owned(), cached == "true}")
    };
    let body = r#"{"parameters":{"xs":[1,-0.0,true,36893488147419103232]}}"#;
    let evaluated = ask("", body);
    assert!(!evaluated.2);
    for headers in ["", LONG, "Cache-Control: max-age=1\r\n", "Cache-Control: no-cache\r\n"] {
        let (head, body, cached) = ask(headers, body);
        assert_eq!((&head, &body), (&evaluated.0, &evaluated.1), "{headers}");
        assert_eq!(cached, !headers.contains("no-cache"), "{headers}");
    }
    // A body that is too long for the short way is found on the long one.
    let long = format!("{{\"parameters\":{{\"xs\":[{}0]}}}}", "10,".repeat(1_000));
    assert_eq!([ask("", &long).2, ask("", &long).2], [false, true]);
}

#[test]
fn both_ways_answer_alike() {
    let server = TestServer::api(&[]);
    create(&server, PRODUCT);
    let id = "X-Request-Id: mine\r\nContent-Type: application/json\r\n";
    let cases = [
        ("GET /api/v1/substrates/0xAB", "", ""),
        ("GET /api/v1/substrates/ab", "Accept: */*\r\n", ""),
        ("GET /api/v1/substrates/0xAC", "", ""),
        ("GET /api/v1/substrates/batch", "", ""),
        ("GET /api/v1/substrates/0xAB/invoke", "", ""),
        ("POST /api/v1/substrates/0xAB/invoke", id, r#"{"parameters":{"x":6,"y":7}}"#),
        ("POST /api/v1/substrates/0xAB/invoke", id, r#" { "parameters" : { "y" : 0.5 , "x" : 6 } } "#),
        ("POST /api/v1/substrates/0xAB/invoke", id, r#"{"parameters":{"x":"a\u00e9"}}"#),
        ("POST /api/v1/substrates/0xAB/invoke", id, r#"{"parameters":{"x":1,"x":2}}"#),
        ("POST /api/v1/substrates/0xAB/invoke", id, r#"{"parameters":{"x":1},"more":2}"#),
        ("POST /api/v1/substrates/0xAB/invoke", id, r#"{"parameters":{"z":1}}"#),
        ("POST /api/v1/substrates/0xAB/invoke", id, r#"{"parameters":null}"#),
        ("POST /api/v1/substrates/0xAB/invoke", id, r#"{"parameters":{"x":null}}"#),
        ("POST /api/v1/substrates/0xAB/invoke", id, r#"{"parameters":{"x":1}} x"#),
        ("POST /api/v1/substrates/0xAB/invoke", id, "[1"),
        ("POST /api/v1/substrates/0xAB/invoke", id, "{}"),
        ("POST /api/v1/substrates/0xAB/invoke", "", ""),
        ("POST /api/v1/substrates/0xAC/invoke", id, "{}"),
        ("POST /api/v1/substrates/0xAB/invoke", "Content-Type: text/plain\r\n", "{}"),
        ("POST /api/v1/substrates/0xAB", id, "{}"),
    ];
    let mut streams = [server.connect(), server.connect()];
    for (line, headers, body) in cases {
        let ask = |stream: &mut std::net::TcpStream, more: &str| {
            let text = request(line, &format!("{headers}{more}"), body);
            stream.write_all(text.as_bytes()).expect("send");
            let answer = read_answer(stream);
            assert!(
                headers.is_empty() || !headers.contains("mine") || answer.0.contains("x-request-id: mine")
            );
            plain(answer)
        };
        let [one, other] = &mut streams;
        assert_eq!(ask(one, ""), ask(other, LONG), "{line} {body}");
    }
}

#[test]
fn both_ways_take_turns_on_a_connection() {
    let server = TestServer::api(&[]);
    create(&server, PRODUCT);
    let ask = |x: i32, headers: &str| {
        request("POST /api/v1/substrates/0xAB/invoke", headers, &format!("{{\"parameters\":{{\"x\":{x}}}}}"))
    };
    let mut all = String::new();
    for x in 0..300 {
        all.push_str(&ask(x, if x % 7 == 3 { LONG } else { "" }));
        if x % 11 == 5 {
            all.push_str(&request("GET /api/v1/substrates/0xAB/value", "", ""));
        }
    }
    all.push_str(&ask(300, "Connection: close\r\n"));
    // All at once, and in pieces that end anywhere.
    for size in [all.len(), 4_001, 997, 61] {
        let mut stream = server.connect();
        let mut writer = stream.try_clone().expect("clone");
        let bytes = all.clone().into_bytes();
        let sender = std::thread::spawn(move || {
            for piece in bytes.chunks(size) {
                writer.write_all(piece).expect("send");
                std::thread::yield_now();
            }
        });
        let answers = crate::support::read_to_end(&mut stream);
        sender.join().expect("sent");
        let results: Vec<i32> = answers
            .split("\"result\":")
            .skip(1)
            .map(|rest| rest.split(',').next().unwrap_or_default().parse().expect("a number"))
            .collect();
        assert_eq!(results, (0..=300).map(|x| 2 * x).collect::<Vec<_>>());
        assert_eq!(answers_in(&answers), 301 + 27);
    }
    let requests = server.app.metrics.requests_total();
    assert_eq!(requests, 1 + 4 * 328);
    assert_eq!(server.app.metrics.requests_in_flight(), 0);
}

#[test]
fn a_client_that_does_not_read_is_not_answered_for_ever() {
    let server = TestServer::api(&[]);
    create(&server, PRODUCT);
    let one = request("GET /api/v1/substrates/0xAB", "", "").repeat(100);
    let mut stream = server.connect();
    stream.set_nonblocking(true).expect("non-blocking");
    let mut sent = 0;
    let begun = std::time::Instant::now();
    // Until neither side has room.
    while begun.elapsed() < std::time::Duration::from_millis(700) {
        match stream.write(one.as_bytes()) {
            Ok(n) => sent += n,
            Err(_) => std::thread::sleep(std::time::Duration::from_millis(5)),
        }
    }
    assert!(sent < 64 << 20, "{sent} bytes were taken without a reader");
    // Others are served meanwhile.
    let mut other = server.connect();
    other.write_all(request("GET /readyz", "", "").as_bytes()).expect("send");
    assert!(read_answer(&mut other).0.starts_with("http/1.1 200"));
}

#[test]
fn a_quick_connection_is_closed_when_it_is_idle() {
    let server = TestServer::api(&[("idle-timeout", "300ms")]);
    create(&server, PRODUCT);
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(request("GET /api/v1/substrates/0xAB", "", "").as_bytes()).expect("send");
        assert!(read_answer(&mut stream).0.starts_with("http/1.1 200"));
        std::thread::sleep(std::time::Duration::from_millis(150));
    }
    assert_eq!(crate::support::read_to_end(&mut stream), "");
}
