//! HTTP/2 in clear text, known beforehand: it works, and its attacks end the connection.

use crate::support::{PATIENCE, TestServer, until};
use bytes::Bytes;
use h2::client::SendRequest;
use std::future::Future;
use std::io::Write;
use tokio::net::TcpStream;

/// Runs a test as an HTTP/2 client.
fn client<F: Future<Output = ()>>(server: &TestServer, test: impl FnOnce(SendRequest<Bytes>) -> F) {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
    runtime.block_on(async {
        let stream = TcpStream::connect(server.address).await.expect("connect");
        let (requests, connection) = h2::client::handshake(stream).await.expect("handshake");
        tokio::spawn(async move {
            // Tests see the connection's end by their requests.
            let _ = connection.await;
        });
        tokio::time::timeout(PATIENCE, test(requests)).await.expect("in time");
    });
}

fn request(method: &str, path: &str) -> http::Request<()> {
    http::Request::builder().method(method).uri(format!("http://a{path}")).body(()).expect("request")
}

async fn body_of(response: http::Response<h2::RecvStream>) -> Vec<u8> {
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.expect("data");
        let _ = body.flow_control().release_capacity(data.len());
        bytes.extend_from_slice(&data);
    }
    bytes
}

#[test]
fn requests_are_answered() {
    let server = TestServer::plain(&[]);
    client(&server, |requests| async {
        let mut requests = requests.ready().await.expect("ready");
        let (response, mut body) = requests.send_request(request("POST", "/echo"), false).expect("send");
        body.send_data(Bytes::from_static(b"hello"), true).expect("send");
        let response = response.await.expect("answer");
        assert_eq!(response.status(), 200);
        assert!(response.headers().contains_key("x-request-id"));
        assert_eq!(body_of(response).await, b"hello");
        let (response, _) = requests.send_request(request("GET", "/panic"), true).expect("send");
        assert_eq!(response.await.expect("answer").status(), 500);
        let mut many = Vec::new();
        for _ in 0..200 {
            requests = requests.ready().await.expect("ready");
            let (response, _) = requests.send_request(request("GET", "/ok"), true).expect("send");
            many.push(response);
        }
        for response in many {
            assert_eq!(response.await.expect("answer").status(), 200);
        }
    });
}

#[test]
fn a_slow_body_is_answered_408_while_others_go_on() {
    let server = TestServer::plain(&[("body-timeout", "150ms")]);
    client(&server, |requests| async {
        let mut requests = requests.ready().await.expect("ready");
        let (slow, _body) = requests.send_request(request("POST", "/echo"), false).expect("send");
        let (fast, _) = requests.send_request(request("GET", "/ok"), true).expect("send");
        assert_eq!(fast.await.expect("answer").status(), 200);
        assert_eq!(slow.await.expect("answer").status(), 408);
    });
}

#[test]
fn too_many_headers_are_refused() {
    let server = TestServer::plain(&[]);
    client(&server, |requests| async {
        let mut requests = requests.ready().await.expect("ready");
        let mut many = request("GET", "/ok");
        for number in 0..150 {
            let name = http::HeaderName::try_from(format!("x-{number}")).expect("name");
            many.headers_mut().insert(name, http::HeaderValue::from_static("y"));
        }
        let (response, _) = requests.send_request(many, true).expect("send");
        assert_eq!(response.await.expect("answer").status(), 431);
    });
}

#[test]
fn rapid_resets_end_the_connection() {
    let server = TestServer::plain(&[]);
    client(&server, |requests| async {
        let mut requests = requests;
        for _ in 0..100_000 {
            requests = match requests.ready().await {
                Ok(requests) => requests,
                Err(_) => return,
            };
            match requests.send_request(request("GET", "/wait"), false) {
                Ok((_, mut body)) => body.send_reset(h2::Reason::CANCEL),
                Err(_) => return,
            }
            tokio::task::yield_now().await;
        }
        panic!("a hundred thousand resets were taken");
    });
    until("the connection is closed", || server.app.metrics.connections() == 0);
    let answer = server.talk(b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn a_flood_of_continuations_ends_the_connection() {
    let server = TestServer::plain(&[]);
    let mut stream = server.connect();
    let frame = |kind: u8, flags: u8, stream: u32, payload: &[u8]| {
        let mut bytes = (payload.len() as u32).to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(payload);
        bytes
    };
    // Headers that never end: each continuation holds one more that is not indexed.
    let mut field = vec![0x00, 0x01, b'x', 0x7F, 0x80 | 0x01, 0x01];
    field.extend(std::iter::repeat_n(b'y', 256));
    let mut start = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    start.extend(frame(4, 0, 0, &[]));
    start.extend(frame(1, 0, 1, &[0x82, 0x86, 0x84]));
    stream.write_all(&start).expect("send");
    let continuation = frame(9, 0, 1, &field);
    let mut sent = 0;
    while sent < 64 << 20 && stream.write_all(&continuation).is_ok() {
        sent += continuation.len();
    }
    assert!(sent < 64 << 20, "a flood of continuations is taken");
    until("the connection is closed", || server.app.metrics.connections() == 0);
}

#[test]
fn an_idle_connection_is_closed() {
    let server = TestServer::plain(&[("idle-timeout", "150ms")]);
    client(&server, |requests| async {
        let mut requests = requests.ready().await.expect("ready");
        let (response, _) = requests.send_request(request("GET", "/ok"), true).expect("send");
        assert_eq!(response.await.expect("answer").status(), 200);
        until("the connection is closed", || server.app.metrics.connections() == 0);
    });
}
