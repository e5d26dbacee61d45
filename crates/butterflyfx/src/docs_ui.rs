//! Pages about the API, served from the binary: Swagger UI, ReDoc, and the root.
//!
//! They contact no other host, and their content security policy would not let them.

use crate::http::problem::{Code, Problem};
use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse, Redirect};
use axum::routing::get;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG,
    IF_NONE_MATCH, REFERRER_POLICY, VARY,
};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::Write;
use std::sync::OnceLock;

/// What pages may load: only from here. Both programs style with inline styles; ReDoc searches in
/// a worker it makes itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; \
    img-src 'self' data:; font-src 'self' data:; connect-src 'self'; worker-src blob:; \
    base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Below this, compression saves nothing worth having.
const COMPRESSED_BYTES_MIN: usize = 1024;

const HTML: &str = "text/html; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";

/// ReDoc shows a picture from its maker's host. It hides a picture that cannot be shown, so it gets one.
const REDOC_PICTURE: &str = "https://cdn.redoc.ly/redoc/logo-mini.svg";
const EMPTY_PICTURE: &str = "data:,";

/// A file of the pages.
struct Asset {
    content_type: &'static str,
    load: fn() -> Bytes,
    loaded: OnceLock<Loaded>,
}

/// A file made ready, at its first use.
struct Loaded {
    plain: Bytes,
    gzip: Option<Bytes>,
    tag: u64,
}

/// Declares a file that lives as long as the program.
macro_rules! asset {
    ($content_type:expr, $load:expr) => {{
        static ASSET: Asset = Asset { content_type: $content_type, load: $load, loaded: OnceLock::new() };
        &ASSET
    }};
}

/// Whether a path is one of the pages'.
pub fn is_page(path: &str) -> bool {
    let below =
        |prefix: &str| path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    path == "/" || below("/api/v1/docs") || below("/api/v1/redoc")
}

/// The routes of the pages.
pub fn router() -> Router {
    let swagger = asset!(HTML, || Bytes::from_static(include_bytes!("../assets/docs/swagger.html")));
    let redoc = asset!(HTML, || Bytes::from_static(include_bytes!("../assets/docs/redoc.html")));
    Router::new()
        .route("/", get(root))
        .route("/api/v1/docs", serving(swagger))
        .route("/api/v1/docs/", serving(swagger))
        .route("/api/v1/docs/swagger-ui.css", serving(asset!(CSS, || swagger_file("swagger-ui.css"))))
        .route(
            "/api/v1/docs/swagger-ui-bundle.js",
            serving(asset!(JAVASCRIPT, || swagger_file("swagger-ui-bundle.js"))),
        )
        .route(
            "/api/v1/docs/favicon-32x32.png",
            serving(asset!("image/png", || swagger_file("favicon-32x32.png"))),
        )
        .route(
            "/api/v1/docs/start.js",
            serving(asset!(JAVASCRIPT, || Bytes::from_static(include_bytes!("../assets/docs/swagger.js")))),
        )
        .route("/api/v1/redoc", serving(redoc))
        .route("/api/v1/redoc/", serving(redoc))
        .route("/api/v1/redoc/redoc.standalone.js", serving(asset!(JAVASCRIPT, redoc_bundle)))
        .route(
            "/api/v1/redoc/start.js",
            serving(asset!(JAVASCRIPT, || Bytes::from_static(include_bytes!("../assets/docs/redoc.js")))),
        )
        .route(
            "/api/v1/redoc/page.css",
            serving(asset!(CSS, || Bytes::from_static(include_bytes!("../assets/docs/redoc.css")))),
        )
        .method_not_allowed_fallback(|method: http::Method, uri: http::Uri| async move {
            Problem::method_not_allowed(method.as_str(), "GET, HEAD").response(Some(uri.path()))
        })
        .fallback(|uri: http::Uri| async move {
            Problem::new(Code::RouteNotFound, "the docs have no such file").response(Some(uri.path()))
        })
}

/// Browsers get the docs, programs a list of what is here.
async fn root(headers: HeaderMap) -> axum::response::Response {
    let wants_page = headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"));
    if wants_page {
        return Redirect::temporary("/api/v1/docs").into_response();
    }
    let version = crate::app::VERSION;
    let text = format!(
        "{{\"name\":\"ButterflyFx\",\"version\":\"{version}\",\"docs\":\"/api/v1/docs\",\
         \"redoc\":\"/api/v1/redoc\",\"openapi\":\"/api/v1/openapi.json\",\"health\":\"/api/v1/health\"}}"
    );
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

fn serving(asset: &'static Asset) -> axum::routing::MethodRouter {
    get(move |headers: HeaderMap| async move { asset.answer(&headers).await })
}

impl Asset {
    async fn answer(&'static self, headers: &HeaderMap) -> Response<Body> {
        let loaded = match self.loaded.get() {
            Some(loaded) => loaded,
            None => {
                // The first use compresses: too long for a network thread.
                let load =
                    tokio::task::spawn_blocking(|| self.loaded.get_or_init(|| Loaded::new((self.load)())));
                match load.await {
                    Ok(loaded) => loaded,
                    Err(_) => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
                }
            }
        };
        let header = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let gzip = loaded.gzip.as_ref().filter(|_| takes_gzip(header(ACCEPT_ENCODING)));
        let tag = format!("\"{:016x}{}\"", loaded.tag, if gzip.is_some() { "-gzip" } else { "" });
        let is_known = header(IF_NONE_MATCH).split(',').any(|known| {
            let known = known.trim();
            known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag
        });

        let body = gzip.unwrap_or(&loaded.plain).clone();
        let mut response = Response::new(if is_known { Body::empty() } else { Body::from(body) });
        if is_known {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        }
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
        headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
        // Asked again each time, and answered 304 until the program changes.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        if let Ok(tag) = HeaderValue::try_from(tag) {
            headers.insert(ETAG, tag);
        }
        if gzip.is_some() {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

impl Loaded {
    fn new(plain: Bytes) -> Loaded {
        let mut hasher = DefaultHasher::new();
        plain.hash(&mut hasher);
        let gzip = if plain.len() < COMPRESSED_BYTES_MIN { None } else { compress(&plain) };
        Loaded { gzip: gzip.filter(|gzip| gzip.len() < plain.len()), tag: hasher.finish(), plain }
    }
}

fn compress(plain: &[u8]) -> Option<Bytes> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(plain.len() / 3), Compression::default());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().map(Bytes::from)
}

/// Whether an `Accept-Encoding` takes gzip.
fn takes_gzip(accepted: &str) -> bool {
    accepted.split(',').any(|one| {
        let (name, weight) = one.split_once(';').unwrap_or((one, ""));
        let refused = matches!(weight.trim().strip_prefix("q=").map(str::parse::<f32>), Some(Ok(0.0)));
        matches!(name.trim(), "gzip" | "*") && !refused
    })
}

/// A file of Swagger UI; empty where the library lacks it, which a test would see.
fn swagger_file(name: &str) -> Bytes {
    let config = utoipa_swagger_ui::Config::new(["/api/v1/openapi.json"]);
    match utoipa_swagger_ui::serve(name, std::sync::Arc::new(config)) {
        Ok(Some(file)) => Bytes::from(file.bytes.into_owned()),
        _ => Bytes::new(),
    }
}

fn redoc_bundle() -> Bytes {
    let bundle = include_str!("../assets/redoc/redoc.standalone.js");
    Bytes::from(bundle.replace(REDOC_PICTURE, EMPTY_PICTURE))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_sent_to_those_who_take_it() {
        for (accepted, expected) in [
            ("gzip", true),
            ("gzip, deflate, br", true),
            ("br;q=1.0, gzip;q=0.8", true),
            ("*", true),
            ("", false),
            ("br", false),
            ("gzip;q=0", false),
            ("x-gzip", false),
        ] {
            assert_eq!(takes_gzip(accepted), expected, "{accepted}");
        }
    }

    #[test]
    fn the_files_are_there_and_name_no_picture_elsewhere() {
        for name in ["swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"] {
            assert!(!swagger_file(name).is_empty(), "{name}");
        }
        let bundle = redoc_bundle();
        let bundle = std::str::from_utf8(&bundle).expect("text");
        assert!(bundle.contains(EMPTY_PICTURE) && !bundle.contains("cdn.redoc.ly"));
    }
}
