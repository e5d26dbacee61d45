//! What happens around each request: ids, panics, counters, origins, pipelining.

use crate::support::{TestServer, answers_in, read_answer};
use std::io::Write;

fn get(server: &TestServer, path: &str, headers: &str) -> String {
    server.talk(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{headers}\r\n").as_bytes())
}

#[test]
fn a_request_id_is_echoed_or_made() {
    let server = TestServer::plain(&[]);
    assert!(get(&server, "/ok", "X-Request-Id: my-id\r\n").contains("x-request-id: my-id\r\n"));
    let made = get(&server, "/ok", "X-Request-Id: not sane\r\n");
    let id = made.lines().find_map(|line| line.strip_prefix("x-request-id: ")).expect("an id");
    assert_eq!(id.len(), 32, "{id}");
    assert!(get(&server, "/nothing", "").contains("x-request-id: "));
}

#[test]
fn a_panic_is_answered_and_the_process_lives() {
    let server = TestServer::plain(&[]);
    let mut stream = server.connect();
    for _ in 0..3 {
        stream.write_all(b"GET /panic HTTP/1.1\r\nHost: a\r\nX-Request-Id: p\r\n\r\n").expect("send");
        let (head, body) = read_answer(&mut stream);
        assert!(head.starts_with("http/1.1 500"), "{head}");
        assert!(head.contains("application/problem+json") && head.contains("x-request-id: p"), "{head}");
        assert!(body.contains("\"code\":\"internal\"") && !body.contains("on purpose"), "{body}");
    }
    stream.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").expect("send");
    assert_eq!(read_answer(&mut stream).1, "ok");
    assert_eq!(server.app.metrics.panics(), 3);
    assert_eq!(server.app.metrics.requests_in_flight(), 0);
}

#[test]
fn answers_name_no_server_and_are_not_sniffed() {
    let server = TestServer::plain(&[]);
    let answer = get(&server, "/ok", "").to_ascii_lowercase();
    assert!(answer.contains("x-content-type-options: nosniff\r\n"), "{answer}");
    assert!(!answer.contains("\r\nserver:"), "{answer}");
    assert!(!answer.contains("access-control"), "{answer}");
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = TestServer::plain(&[]);
    let mut requests = String::new();
    for number in 0..100 {
        let body = format!("number {number}");
        requests.push_str(&format!(
            "POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ));
    }
    requests.push_str("GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let answers = server.talk(requests.as_bytes());
    assert_eq!(answers_in(&answers), 101);
    let places: Vec<Option<usize>> =
        (0..100).map(|number| answers.find(&format!("\r\n\r\nnumber {number}HTTP"))).collect();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{places:?}");
}

#[test]
fn requests_are_counted_by_route_and_class() {
    let server = TestServer::plain(&[]);
    get(&server, "/metrics", "");
    get(&server, "/api/v1/substrates/0xAB", "");
    get(&server, "/ok", "");
    let text = server.app.metrics.render_openmetrics(&server.app);
    for line in [
        "butterflyfx_http_requests_total{route=\"/api/v1/substrates/{id}\",method=\"GET\",status=\"4xx\"} 1",
        "butterflyfx_http_requests_total{route=\"other\",method=\"GET\",status=\"2xx\"} 1",
        "butterflyfx_http_request_duration_seconds_count{route=\"/metrics\"} 1",
        "butterflyfx_connections_accepted_total 3",
        "butterflyfx_build_info{version=",
    ] {
        assert!(text.contains(line), "{line} is missing in {text}");
    }
    assert!(text.ends_with("# EOF\n"));
    assert!(text.lines().all(|line| line.starts_with('#') || line.starts_with("butterflyfx_")));
}

#[test]
fn pages_of_other_origins_cannot_write() {
    let server = TestServer::plain(&[]);
    let post = |origin: &str| {
        server.talk(
            format!("POST /ignore HTTP/1.1\r\nHost: a\r\nConnection: close\r\nOrigin: {origin}\r\n\r\n")
                .as_bytes(),
        )
    };
    assert!(post("http://evil.example").starts_with("HTTP/1.1 403"));
    assert!(post("http://a").starts_with("HTTP/1.1 200"));
    let read = get(&server, "/ok", "Origin: http://evil.example\r\n");
    assert!(read.starts_with("HTTP/1.1 200") && !read.contains("access-control-allow-origin"), "{read}");
}

#[test]
fn listed_origins_are_let_in_and_asked_beforehand() {
    let server = TestServer::plain(&[("cors-origins", "https://app.example"), ("allowed-hosts", "a")]);
    let read = get(&server, "/ok", "Origin: https://app.example\r\n");
    assert!(read.contains("access-control-allow-origin: https://app.example\r\n"), "{read}");
    assert!(!read.contains("allow-credentials"), "{read}");
    let asked = server.talk(
        b"OPTIONS /ignore HTTP/1.1\r\nHost: a\r\nConnection: close\r\nOrigin: https://app.example\r\n\
          Access-Control-Request-Method: PUT\r\n\r\n",
    );
    assert!(asked.starts_with("HTTP/1.1 204"), "{asked}");
    assert!(asked.contains("access-control-allow-methods: PUT\r\n"), "{asked}");
    let other = server.talk(b"GET /ok HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
    assert!(other.starts_with("HTTP/1.1 403"), "{other}");
}
