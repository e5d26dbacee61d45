//! From bytes to typed requests and back: bodies and their media types, query strings, path
//! segments, and answers written by hand. What is refused is refused with its exact place.

pub(super) mod decode;
pub(super) mod query;
pub(super) mod write;

pub(super) use decode::{At, Faults, Object};
pub(super) use query::Query;

use super::problem::{Code, Outcome, Problem, clip};
use axum::body::Body;
use axum::response::Response;
use butterflyfx_engine::identity::{RelationshipId, SubstrateId};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::json;
use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap};
use http::{HeaderValue, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

/// Levels that a body may be nested beyond what its parameters or metadata may.
const ENVELOPE_LEVELS: usize = 4;

/// Bytes made ready for a body before any have come, whatever length it announces.
const RESERVE_BYTES_MAX: usize = 64 * 1024;

/// What a body is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Media {
    /// One JSON text.
    Json,
    /// A JSON text a line.
    NdJson,
    /// An Arrow IPC stream.
    Arrow,
    /// CSV with a header line.
    Csv,
}

/// Which media types an endpoint reads beside JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Accepts {
    Json,
    JsonOrMergePatch,
    JsonOrNdJson,
    JsonOrColumns,
}

impl Accepts {
    fn names(self) -> &'static str {
        match self {
            Accepts::Json => "application/json",
            Accepts::JsonOrMergePatch => "application/json or application/merge-patch+json",
            Accepts::JsonOrNdJson => "application/json or application/x-ndjson",
            Accepts::JsonOrColumns => "application/json, application/vnd.apache.arrow.stream or text/csv",
        }
    }
}

/// Checks the media type of a body. None given means JSON.
pub(super) fn media(headers: &HeaderMap, accepts: Accepts) -> Outcome<Media> {
    if let Some(coding) = headers.get(CONTENT_ENCODING)
        && !coding.as_bytes().eq_ignore_ascii_case(b"identity")
    {
        let detail = format!(
            "the body's Content-Encoding {:?} is not supported; send the body uncompressed, without this header",
            clip(&String::from_utf8_lossy(coding.as_bytes()), 64)
        );
        return Err(Problem::new(Code::UnsupportedMediaType, detail));
    }
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(Media::Json);
    };
    if value == "application/json" {
        return Ok(Media::Json);
    }
    let text = value.to_str().unwrap_or_default();
    media_of(text, accepts).map_err(|misfit| {
        let detail = misfit.detail(accepts, text, &clip(&String::from_utf8_lossy(value.as_bytes()), 64));
        Problem::new(Code::UnsupportedMediaType, detail)
    })
}

/// Why a body is not read.
enum Misfit {
    /// Its type is not one of the endpoint's.
    Type,
    /// It says that it is not in UTF-8.
    Charset,
    /// CSV that says that it has no header line.
    NoHeader,
}

impl Misfit {
    #[cold]
    fn detail(&self, accepts: Accepts, text: &str, shown: &str) -> String {
        let names = accepts.names();
        match self {
            Misfit::Charset if accepts == Accepts::JsonOrColumns => format!(
                "this endpoint reads {names} in UTF-8, not {shown:?}; send the body in UTF-8, and Content-Type without a \
                 charset or with charset=utf-8"
            ),
            Misfit::Type if accepts == Accepts::JsonOrColumns => format!(
                "this endpoint reads {names}, in UTF-8, not {shown:?}; send the header Content-Type with the one that the \
                 body is{}",
                curl_hint(text)
            ),
            Misfit::Type | Misfit::Charset => format!(
                "this endpoint reads {names} in UTF-8, not {shown:?}; send the header Content-Type: application/json{}",
                curl_hint(text)
            ),
            Misfit::NoHeader => format!(
                "this endpoint reads text/csv with a header line that names the parameters, not {shown:?}; put one before \
                 the values, and leave the header parameter out"
            ),
        }
    }
}

/// What curl's -d sends unless told otherwise: the first mistake of many.
fn curl_hint(text: &str) -> &'static str {
    match text.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded") {
        true => " (curl: --json in place of -d)",
        false => "",
    }
}

fn media_of(text: &str, accepts: Accepts) -> Result<Media, Misfit> {
    let mut parts = text.split(';');
    let essence = parts.next().unwrap_or_default().trim();
    let is = |name: &str| essence.eq_ignore_ascii_case(name);
    let media = match accepts {
        _ if is("application/json") => Media::Json,
        Accepts::JsonOrMergePatch if is("application/merge-patch+json") => Media::Json,
        Accepts::JsonOrNdJson if is("application/x-ndjson") || is("application/ndjson") => Media::NdJson,
        Accepts::JsonOrColumns if is("application/vnd.apache.arrow.stream") => Media::Arrow,
        Accepts::JsonOrColumns if is("text/csv") => Media::Csv,
        _ => return Err(Misfit::Type),
    };
    for parameter in parts {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let (name, value) = (name.trim(), value.trim().trim_matches('"'));
        let is_value = |expected: &str| value.eq_ignore_ascii_case(expected);
        if name.eq_ignore_ascii_case("charset") && !is_value("utf-8") && !is_value("utf8") {
            return Err(Misfit::Charset);
        }
        if media == Media::Csv && name.eq_ignore_ascii_case("header") && is_value("absent") {
            return Err(Misfit::NoHeader);
        }
    }
    Ok(media)
}

/// Reads a whole body of bounded size.
pub(super) async fn body(mut body: Body, bytes_max: u64) -> Outcome<Bytes> {
    if body.size_hint().lower() > bytes_max {
        return Err(Problem::body_too_large("the body", bytes_max));
    }
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|error| broken_body(&error))?.into_data() else {
            continue;
        };
        if (first.len() + all.len() + data.len()) as u64 > bytes_max {
            return Err(Problem::body_too_large("the body", bytes_max));
        }
        // Most bodies come in one piece, which is used where it lies.
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            all.reserve(usize::try_from(body.size_hint().lower()).unwrap_or(0).min(RESERVE_BYTES_MAX));
            all.extend_from_slice(&first);
            first = Bytes::new();
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// The problem of a body that could not be read to its end.
#[cold]
pub(super) fn broken_body(error: &axum::Error) -> Box<Problem> {
    Problem::new(Code::InvalidJson, format!("the body could not be read: {error}"))
}

/// Whether the request announces no body at all.
pub(super) fn has_no_body(headers: &HeaderMap, body: &Body) -> bool {
    body.is_end_stream() || headers.get(CONTENT_LENGTH).is_some_and(|length| length == "0")
}

/// Reads a body's JSON.
pub(super) fn document(text: &[u8], depth_max: usize) -> Outcome<Document> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::new(Code::InvalidJson, "the body is empty: send a JSON value"));
    }
    Ok(json::read_document(text, depth_max + ENVELOPE_LEVELS)?)
}

/// The decoded segment at a position of the path, counted from 0 after the first slash.
pub(super) fn segment(uri: &Uri, position: usize) -> Cow<'_, str> {
    let raw = uri.path().split('/').nth(position + 1).unwrap_or_default();
    query::percent_decode(raw, false).unwrap_or(Cow::Borrowed(raw))
}

/// The substrate that the path names at a position.
pub(super) fn substrate_id(uri: &Uri, position: usize) -> Outcome<SubstrateId> {
    let text = segment(uri, position);
    SubstrateId::parse(&text).ok_or_else(|| Problem::invalid_identity(&text))
}

/// The relationship that the path names at a position.
pub(super) fn relationship_id(uri: &Uri, position: usize) -> Outcome<RelationshipId> {
    let text = segment(uri, position);
    RelationshipId::parse(&text).ok_or_else(|| Problem::invalid_identity(&text))
}

/// Refuses any query string.
pub(super) fn no_query(uri: &Uri) -> Outcome<()> {
    match uri.query() {
        None | Some("") => Ok(()),
        Some(_) => Query::read(uri, &[]).finish(),
    }
}

/// 200 with a JSON body.
pub(super) fn ok(body: String) -> Response {
    json_response(StatusCode::OK, body)
}

/// 201 or 200 with a JSON body.
pub(super) fn created(is_new: bool, body: String) -> Response {
    json_response(if is_new { StatusCode::CREATED } else { StatusCode::OK }, body)
}

/// 200 with a JSON body that is made as it is taken.
pub(super) fn streamed(body: Body) -> Response {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// 200 with a JSON body that lies in pieces.
pub(super) fn ok_in_pieces(pieces: impl Into<VecDeque<Bytes>>) -> Response {
    streamed(Body::new(Pieces(pieces.into())))
}

/// A body that lies in pieces, none of which is copied.
struct Pieces(VecDeque<Bytes>);

impl http_body::Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.0.pop_front().map(|piece| Ok(Frame::data(piece))))
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.0.iter().map(|piece| piece.len() as u64).sum())
    }
}

/// 204.
pub(super) fn no_content() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}

/// 304; the caller adds the ETag.
pub(super) fn not_modified() -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    response
}

/// 200 with a text of another type.
pub(super) fn text(content_type: &'static str, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

fn json_response(status: StatusCode, body: String) -> Response {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        for (text, accepts, expected) in [
            ("application/json", Accepts::Json, Some(Media::Json)),
            ("Application/JSON; charset=UTF-8", Accepts::Json, Some(Media::Json)),
            ("application/json;charset=\"utf8\"; v=1", Accepts::Json, Some(Media::Json)),
            ("application/json; charset=latin-1", Accepts::Json, None),
            ("application/json; charset", Accepts::Json, None),
            ("text/json", Accepts::Json, None),
            ("application/x-www-form-urlencoded", Accepts::Json, None),
            ("", Accepts::Json, None),
            ("application/merge-patch+json", Accepts::Json, None),
            ("application/merge-patch+json", Accepts::JsonOrMergePatch, Some(Media::Json)),
            ("application/x-ndjson", Accepts::Json, None),
            ("application/x-ndjson", Accepts::JsonOrNdJson, Some(Media::NdJson)),
            ("application/x-ndjson; charset=utf-16", Accepts::JsonOrNdJson, None),
            ("application/vnd.apache.arrow.stream", Accepts::JsonOrNdJson, None),
            ("application/vnd.apache.arrow.stream", Accepts::JsonOrColumns, Some(Media::Arrow)),
            ("Text/CSV; header=present; charset=utf-8", Accepts::JsonOrColumns, Some(Media::Csv)),
            ("text/csv; charset=latin-1", Accepts::JsonOrColumns, None),
            ("text/csv; header=absent", Accepts::JsonOrColumns, None),
            ("application/json; header=absent", Accepts::JsonOrColumns, Some(Media::Json)),
        ] {
            assert_eq!(media_of(text, accepts).ok(), expected, "{text}");
        }
    }
}
