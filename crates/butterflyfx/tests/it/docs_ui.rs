//! The pages about the API come from the binary and from nowhere else.

use crate::support::{TestServer, read_answer};
use std::io::Write;

fn get(server: &TestServer, path: &str, headers: &str) -> (String, String) {
    let mut stream = server.connect();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: a\r\n{headers}\r\n").expect("send");
    read_answer(&mut stream)
}

#[test]
fn pages_load_only_what_this_server_has() {
    let server = TestServer::api(&[]);
    for page in ["/api/v1/docs", "/api/v1/docs/", "/api/v1/redoc", "/api/v1/redoc/"] {
        let (head, body) = get(&server, page, "");
        assert!(head.starts_with("http/1.1 200") && head.contains("text/html"), "{head}");
        assert!(head.contains("content-security-policy: default-src 'none'"), "{head}");
        let mut links = 0;
        for link in body.split(['"', '\'']).filter(|link| link.contains('/') && !link.contains('<')) {
            if link.starts_with("image/") {
                continue;
            }
            links += 1;
            assert!(link.starts_with("/api/v1/"), "{page} names {link}");
            let (head, file) = get(&server, link, "");
            assert!(head.starts_with("http/1.1 200"), "{link}: {head}");
            assert!(!file.is_empty(), "{link}");
        }
        assert!(links >= 3, "{body}");
    }
    let (head, _) = get(&server, "/api/v1/docs/nothing.js", "");
    assert!(head.starts_with("http/1.1 404"), "{head}");
}

#[test]
fn files_are_compressed_and_asked_again_cheaply() {
    let server = TestServer::api(&[]);
    let path = "/api/v1/redoc/redoc.standalone.js";
    let tag_of =
        |head: &str| head.lines().find_map(|line| line.strip_prefix("etag: ")).expect("an ETag").to_owned();
    let length_of = |head: &str| -> usize {
        head.lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .expect("a length")
            .parse()
            .expect("number")
    };
    let (plain, _) = get(&server, path, "");
    let (gzip, _) = get(&server, path, "Accept-Encoding: gzip, br\r\n");
    assert!(gzip.contains("content-encoding: gzip") && !plain.contains("content-encoding"));
    assert!(length_of(&gzip) < length_of(&plain) / 2);
    assert_ne!(tag_of(&plain), tag_of(&gzip));
    let (known, _) = get(&server, path, &format!("If-None-Match: {}\r\n", tag_of(&plain)));
    assert!(known.starts_with("http/1.1 304"), "{known}");
    let (other, _) = get(&server, path, "If-None-Match: \"other\"\r\n");
    assert!(other.starts_with("http/1.1 200"), "{other}");
}

#[test]
fn the_root_leads_browsers_to_the_docs() {
    let server = TestServer::api(&[]);
    let (head, _) = get(&server, "/", "Accept: text/html,*/*;q=0.8\r\n");
    assert!(head.starts_with("http/1.1 307") && head.contains("location: /api/v1/docs"), "{head}");
    let (head, body) = get(&server, "/", "");
    assert!(head.contains("application/json"), "{head}");
    assert!(serde_json::from_str::<serde_json::Value>(&body).is_ok(), "{body}");
}
