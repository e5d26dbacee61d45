//! What browsers may do on behalf of pages: which names the server answers to, which origins may
//! call it.
//!
//! A page of another origin can make a visitor's browser send requests here. Reading the answers
//! needs leave by CORS, which is off by default; writing needs none for some kinds of request, so
//! requests that change things are refused when they carry another origin than our own.

use crate::config::HttpSettings;
use crate::http::problem::{Code, Problem};
use axum::body::Body;
use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_METHOD, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};

/// The rules for browsers.
#[derive(Debug)]
pub(crate) struct Browsers {
    allowed_hosts: Vec<String>,
    origins: Vec<String>,
}

/// What an acceptable request gets.
pub(crate) enum Leave {
    /// It goes on; its answer names this origin.
    Go(Option<HeaderValue>),
    /// It was a question whether another request may be sent; this is the answer.
    Preflight(Box<Response<Body>>),
}

impl Browsers {
    pub(crate) fn new(settings: &HttpSettings) -> Browsers {
        let lower = |names: &[String]| names.iter().map(|name| name.to_ascii_lowercase()).collect();
        Browsers {
            allowed_hosts: lower(&settings.allowed_hosts),
            origins: settings
                .cors_origins
                .iter()
                .map(|origin| origin.trim_end_matches('/').to_ascii_lowercase())
                .collect(),
        }
    }

    /// Whether a request may go on.
    pub(crate) fn check<B>(
        &self,
        request: &Request<B>,
        host: Option<&HeaderValue>,
    ) -> Result<Leave, Box<Problem>> {
        // The target's authority goes before the header (RFC 9112, 3.2.2).
        let authority = match request.uri().authority() {
            Some(authority) => Some(authority.as_str()),
            None => host.and_then(|host| host.to_str().ok()),
        };
        if !self.allowed_hosts.is_empty() {
            let name = authority.map(host_name).unwrap_or_default().to_ascii_lowercase();
            if !self.allowed_hosts.contains(&name) {
                return Err(Problem::new(
                    Code::Forbidden,
                    "this server does not answer to the host name of the request (setting allowed-hosts)",
                ));
            }
        }
        let Some(origin) = request.headers().get(ORIGIN) else { return Ok(Leave::Go(None)) };
        let is_listed = self.lists(origin);
        if request.method() == Method::OPTIONS
            && let Some(wanted) = request.headers().get(ACCESS_CONTROL_REQUEST_METHOD)
            && is_listed
        {
            return Ok(Leave::Preflight(Box::new(self.preflight(origin, wanted))));
        }
        let is_read = matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
        if is_listed {
            return Ok(Leave::Go(Some(origin.clone())));
        }
        if is_read || is_own(origin, authority) {
            return Ok(Leave::Go(None));
        }
        Err(Problem::new(
            Code::Forbidden,
            "pages of this origin may not change anything here (setting cors-origins)",
        ))
    }

    fn lists(&self, origin: &HeaderValue) -> bool {
        let origin = origin.to_str().unwrap_or_default();
        self.origins.iter().any(|listed| listed.eq_ignore_ascii_case(origin) || listed == "*")
    }

    /// Lets the page read the answer.
    pub(crate) fn add_headers(&self, origin: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        headers.append(VARY, HeaderValue::from_static("Origin"));
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static(
                "ETag, Link, Location, Preference-Applied, Retry-After, X-Request-Id, Idempotency-Replayed",
            ),
        );
    }

    fn preflight(&self, origin: &HeaderValue, wanted: &HeaderValue) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NO_CONTENT;
        self.add_headers(origin.clone(), response.headers_mut());
        let headers = response.headers_mut();
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, wanted.clone());
        headers.insert(
            ACCESS_CONTROL_ALLOW_HEADERS,
            HeaderValue::from_static(
                "Cache-Control, Content-Type, Idempotency-Key, If-Match, If-None-Match, Prefer, X-Request-Id",
            ),
        );
        headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("600"));
        response
    }
}

/// The host of `host:port`, brackets of an IPv6 address included.
fn host_name(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => authority,
    }
}

/// Whether an origin is the server itself, as the browser addressed it.
fn is_own(origin: &HeaderValue, authority: Option<&str>) -> bool {
    let origin = origin.to_str().unwrap_or_default();
    let own = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    matches!((own, authority), (Some(own), Some(authority)) if own.eq_ignore_ascii_case(authority))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn status(hosts: &str, origins: &str, method: &str, host: &str, origin: &str) -> String {
        let mut settings = Config::default().http;
        settings.allowed_hosts = crate::config::values::read_list(hosts);
        settings.cors_origins = crate::config::values::read_list(origins);
        let mut request = Request::builder().method(method).uri("/");
        if !origin.is_empty() {
            request = request.header(ORIGIN, origin).header(ACCESS_CONTROL_REQUEST_METHOD, "PUT");
        }
        let request = request.body(()).expect("request");
        let host = HeaderValue::from_str(host).expect("host");
        match Browsers::new(&settings).check(&request, Some(&host)) {
            Ok(Leave::Go(None)) => "go".to_owned(),
            Ok(Leave::Go(Some(origin))) => format!("go {}", origin.to_str().expect("text")),
            Ok(Leave::Preflight(response)) => format!("preflight {}", response.status().as_u16()),
            Err(problem) => problem.status().to_string(),
        }
    }

    #[test]
    fn other_origins_may_only_read_unless_listed() {
        let check = |origins: &str, method: &str, origin: &str, expected: &str| {
            assert_eq!(status("", origins, method, "localhost:8000", origin), expected, "{method} {origin}");
        };
        check("", "POST", "", "go");
        check("", "POST", "http://localhost:8000", "go");
        check("", "POST", "http://LOCALHOST:8000", "go");
        check("", "POST", "http://evil.example", "403");
        check("", "POST", "null", "403");
        check("", "DELETE", "http://localhost:8001", "403");
        check("", "GET", "http://evil.example", "go");
        check("", "OPTIONS", "http://evil.example", "go");
        check("https://a.example", "POST", "https://a.example", "go https://a.example");
        check("https://a.example/", "OPTIONS", "https://a.example", "preflight 204");
        check("https://a.example", "POST", "http://a.example", "403");
        check("*", "POST", "http://any.example", "go http://any.example");
    }

    #[test]
    fn only_allowed_hosts_are_answered() {
        let check = |hosts: &str, host: &str, expected: &str| {
            assert_eq!(status(hosts, "", "GET", host, ""), expected, "{host}");
        };
        check("", "anything", "go");
        check("localhost,127.0.0.1,[::1]", "localhost:8000", "go");
        check("localhost,127.0.0.1,[::1]", "LocalHost", "go");
        check("localhost,127.0.0.1,[::1]", "[::1]:8000", "go");
        check("localhost,127.0.0.1,[::1]", "[::1]", "go");
        check("localhost,127.0.0.1,[::1]", "evil.example:8000", "403");
        check("localhost,127.0.0.1,[::1]", "localhost.evil.example", "403");
    }
}
