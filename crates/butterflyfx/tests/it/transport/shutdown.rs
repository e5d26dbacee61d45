//! Stopping: not ready first, then no new connections, then every begun request is finished.

use crate::support::{TestServer, read_answer, read_to_end, until};
use butterflyfx::app::Readiness;
use butterflyfx::server::Stop;
use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

#[test]
fn a_request_in_flight_is_finished() {
    let mut server = TestServer::plain(&[]);
    let mut busy = server.connect();
    let mut idle = server.connect();
    idle.write_all(b"GET /ok HTTP/1.1\r\nHost: a\r\n\r\n").expect("send");
    assert_eq!(read_answer(&mut idle).1, "ok");
    let mut silent = server.connect();
    busy.write_all(b"GET /wait HTTP/1.1\r\nHost: a\r\n\r\n").expect("send");
    until("the request is in flight", || server.app.metrics.requests_in_flight() == 1);
    server.stop(Stop::default());
    // Idle connections are closed at once, whether they have said anything or not.
    assert_eq!(read_to_end(&mut idle), "");
    assert_eq!(read_to_end(&mut silent), "");
    let answer = read_to_end(&mut busy);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("waited"), "{answer}");
    assert!(answer.to_ascii_lowercase().contains("connection: close"), "{answer}");
    server.join();
    assert!(TcpStream::connect(server.address).is_err());
}

#[test]
fn not_ready_comes_before_not_listening() {
    let mut server = TestServer::plain(&[]);
    assert_eq!(server.app.readiness(), Readiness::Ready);
    server.stop(Stop { delay: Duration::from_millis(300) });
    until("it is not ready", || server.app.readiness() == Readiness::Stopping);
    let answer = server.talk(b"GET /ok HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    server.join();
}

#[test]
fn waiting_for_requests_has_an_end() {
    let mut server = TestServer::plain(&[("drain-timeout", "50ms"), ("body-timeout", "60s")]);
    let mut slow = server.connect();
    slow.write_all(b"POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhe").expect("send");
    until("the request is in flight", || server.app.metrics.requests_in_flight() == 1);
    let started = Instant::now();
    server.stop(Stop::default());
    server.join();
    assert!(started.elapsed() < Duration::from_secs(10));
}
