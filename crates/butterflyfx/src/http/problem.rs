//! Problems: RFC 9457 bodies, and the one table that ties every error code to a status, a title
//! and an explanation. No other file knows which status an error has.

use crate::evaluation::{EvaluateFailure, OffloadFailure};
use crate::jobs::JobRefusal;
use crate::room::Shortage;
use crate::writing::WriteFailure;
use axum::body::Body;
use axum::response::{IntoResponse, Response};
use butterflyfx_engine::error::{EngineError, EvaluationError};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_formula::error::{FormulaError, FormulaErrorKind, Raise, RaiseKind, Span};
use butterflyfx_formula::json::{self, JsonError, JsonErrorKind};
use butterflyfx_formula::limits::Limit;
use butterflyfx_store::CommitFailure;
use http::header::{ALLOW, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use std::fmt::Write as _;

/// The media type of a problem.
pub const PROBLEM_TYPE: &str = "application/problem+json";

/// Where the pages about codes are.
pub const PROBLEMS_PATH: &str = "/problems/";

/// At most this many entries of `errors` are kept: more help nobody, and a hostile body could
/// ask for millions. Only a cycle lists all its substrates, which the limits of an invocation bound.
pub(super) const ERRORS_MAX: usize = 100;

/// A longer path is not repeated as `instance`.
const INSTANCE_BYTES_MAX: usize = 1024;

/// Seconds after which a refused client may try again.
const RETRY_AFTER_SECONDS: u32 = 1;

macro_rules! codes {
    ($($variant:ident $name:literal $status:literal $title:literal $explanation:literal;)*) => {
        /// An error code. The names are part of the contract.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Code {
            $(#[doc = $explanation] $variant,)*
        }

        impl Code {
            /// Every code, by status.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The stable name.
            pub fn name(self) -> &'static str {
                match self { $(Code::$variant => $name,)* }
            }

            /// The HTTP status.
            pub fn status(self) -> u16 {
                match self { $(Code::$variant => $status,)* }
            }

            /// A short summary that is the same for each occurrence.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }

            /// What it means and what to do, for the page behind `type`.
            pub fn explanation(self) -> &'static str {
                match self { $(Code::$variant => $explanation,)* }
            }
        }
    };
}

codes! {
    InvalidJson "invalid_json" 400 "The body is not valid JSON"
        "The body could not be read as JSON: a syntax error, a key twice in one object, `NaN` or `Infinity`, or bytes that are not UTF-8. `errors[0]` has the line and column, counted from 1 in code points. A body that ended before its announced length is refused with this code too.";
    InvalidIdentity "invalid_identity" 400 "The identity is not valid"
        "An identity is 1 to 16 hexadecimal digits of either case, with or without `0x`, for example `0xA114047D0E9FBBF9`. Use the `substrate_id` or `relationship_id` of an earlier answer as it is.";
    InvalidCursor "invalid_cursor" 400 "The cursor is not valid"
        "A cursor is the `next_cursor` of an earlier answer to the same list with the same filter, unchanged. Start again without a cursor.";
    InvalidRequest "invalid_request" 400 "The request is malformed"
        "The request breaks a rule of HTTP itself: its target, its `Host` header or its framing. Ordinary clients and proxies never send this; look at what builds the request.";
    Unauthorized "unauthorized" 401 "The request has no valid credentials"
        "Send the credentials that the server asks for.";
    Forbidden "forbidden" 403 "The credentials do not allow this"
        "The credentials are known, but they do not allow this operation.";
    SubstrateNotFound "substrate_not_found" 404 "There is no such substrate"
        "No substrate has this identity. `substrate_id` is the identity that was looked for; when a relationship is created it is the missing end, and `errors[0].pointer` names the field.";
    RelationshipNotFound "relationship_not_found" 404 "There is no such relationship"
        "No relationship has this identity. Relationships go when one of their substrates is deleted.";
    NoPath "no_path" 404 "There is no path"
        "Both substrates exist, but no chain of relationships of the asked types and direction leads from one to the other.";
    IndexNotFound "index_not_found" 404 "There is no such index"
        "No index is declared over this metadata key. `PUT /api/v1/indexes/{metadata_key}` declares one.";
    JobNotFound "job_not_found" 404 "There is no such job"
        "No job has this id, or not any more: a job is forgotten some time after its end (`expires_at`), earlier where newer ones need the room, when it is deleted after its end, and when the server stops. Send the invocation again.";
    RouteNotFound "route_not_found" 404 "There is no such endpoint"
        "The path is none of the API's. `GET /openapi.json` lists all endpoints; `/api/v1/docs` shows them.";
    MethodNotAllowed "method_not_allowed" 405 "The endpoint does not take this method"
        "The path exists, but not for this method. The `Allow` header lists the methods it takes.";
    RequestTimeout "request_timeout" 408 "The request body came too slowly"
        "The body paused for too long, or came at too low a rate. Send it again over a better connection, or in smaller parts.";
    SubstrateExists "substrate_exists" 409 "The formula exists already"
        "A substrate with this formula is there; `substrate_id` is its identity. Use it, or add `?on_conflict=return` to get the existing one with status 200. Metadata makes no difference.";
    IdentityInUse "identity_in_use" 409 "The identity holds another formula"
        "The identity, chosen or computed, belongs to a substrate with another formula. POST never overwrites: choose another identity, or replace with PUT.";
    IdentityIsContent "identity_is_content" 409 "The identity is the hash of the formula"
        "This substrate's identity is the hash of its formula, so the formula cannot be replaced under it. Create the new formula as a substrate of its own, or choose an identity yourself.";
    RelationshipExists "relationship_exists" 409 "The relationship exists already"
        "There is one relationship for each type, source and target, whatever its constraints. `relationship_id` is the existing one; `?on_conflict=return` answers it with status 200.";
    HasRelationships "has_relationships" 409 "The substrate has relationships"
        "With `mode=restrict` a substrate is deleted only when it has no relationships. Delete them first, or delete without `mode=restrict`: then they go with it.";
    IdempotencyKeyInFlight "idempotency_key_in_flight" 409 "A request with this idempotency key is running"
        "Another request with the same `Idempotency-Key` on this path has not been answered yet. Wait and send it again: the answer will be replayed.";
    NotDurable "not_durable" 409 "The server keeps nothing on disk"
        "The server was started with `--in-memory`, so there is no database. Start it with `--data-dir`.";
    PreconditionFailed "precondition_failed" 412 "The substrate is not in the expected state"
        "`If-Match` names another state than the present one, or there is no substrate. GET it, look at what changed, and send the change with the new ETag. Or `If-None-Match: *` asks a PUT to create only, and there is a substrate.";
    BodyTooLarge "body_too_large" 413 "The body is too large"
        "The body, or one line of an NDJSON body, is larger than the server takes; `limit_bytes` says how much that is. Send several smaller requests; for many items use NDJSON, which is read line by line.";
    UnsupportedMediaType "unsupported_media_type" 415 "The body has an unsupported media type"
        "`Content-Type` names a type that this endpoint does not read. Send JSON as `application/json` in UTF-8 (`curl` needs `-H 'Content-Type: application/json'`); batches also take `application/x-ndjson`, rows `application/vnd.apache.arrow.stream` and `text/csv`, PATCH also `application/merge-patch+json`.";
    ValidationFailed "validation_failed" 422 "The request is well-formed but not acceptable"
        "A field or parameter is missing, unknown, of the wrong type or out of range. Each entry of `errors` has a JSON Pointer to the place in the body (or the name of the query parameter or header) and a sentence.";
    SyntaxError "syntax_error" 422 "The formula is not valid Python"
        "The text is not a Python expression of the asked kind. `errors[0]` has line and column in `expression_code`, counted from 1 in code points.";
    NotSupported "not_supported" 422 "The formula uses something that the language leaves out"
        "The text is Python, but uses a construct, name, attribute or method that formulas cannot use. `detail` says which and what to write instead; `errors[0]` says where.";
    MissingParameter "missing_parameter" 422 "A parameter has no value"
        "The formula reads a parameter that neither the caller nor a relationship gives and that has no default. `parameter` is its name.";
    UnexpectedParameter "unexpected_parameter" 422 "No formula takes this parameter"
        "A parameter was given that no evaluated formula takes. `parameter` is its name. A formula with `**kw` takes any.";
    EvaluationFailed "evaluation_error" 422 "The formula raised an exception"
        "The evaluation ended in a Python exception; `exception` is its type, `detail` its message, `substrate_id` whose formula raised it, and `errors[0]` the sub-expression where it is known.";
    LimitExceeded "limit_exceeded" 422 "A limit was exceeded"
        "The formula, its evaluation or the request needs more than a limit allows; `limit` names it and `detail` says its value. The limits are settings of the server.";
    ResultNotJson "result_not_json" 422 "The result has no JSON form"
        "The formula gave a value that JSON cannot hold: NaN, an infinity, a range, a function, or a dict whose keys become equal as text. Convert it in the formula, for example with `list(...)`.";
    DependencyCycle "dependency_cycle" 422 "The inputs of the formula form a cycle"
        "Following the relationships that bind parameters leads back to a substrate whose value is being computed. `errors` lists the substrates of the cycle in order.";
    IdempotencyKeyReused "idempotency_key_reused" 422 "The idempotency key was used for another request"
        "An `Idempotency-Key` belongs to one request for 24 hours on its path. Use a new key for a new request.";
    RateLimited "rate_limited" 429 "Too many requests"
        "The client sent more requests than its quota. `Retry-After` says when to try again.";
    HeadersTooLarge "headers_too_large" 431 "The request has too many headers"
        "The request line and headers are larger, or more, than the server takes. Send fewer or shorter headers; cookies are not needed.";
    Internal "internal" 500 "The server failed"
        "A fault of the server, not of the request. The log has the details under the request's id (`X-Request-Id`).";
    Overloaded "overloaded" 503 "The server is overloaded"
        "All workers are busy and the queue is full, or has no room left for this client, or the server is stopping. Try again after the seconds in `Retry-After`.";
    ReadOnly "read_only" 503 "The server is read-only"
        "Writing to the database failed earlier, so the server only answers reads; nothing of this change was stored. An operator has to look at the disk and restart it, then send the change again.";
    DurabilityUnknown "durability_unknown" 503 "It is not known whether the change is durable"
        "Writing or syncing failed while the change was written, so it shows only after a restart whether it is stored. The server answers reads until then. After the restart read it back, or send it again with the same `Idempotency-Key`.";
    OutOfStorage "out_of_storage" 507 "There is no room left"
        "A capacity is used up: memory (`max-memory`), disk (`disk-free-min`, or all of it), or the number of things that can be stored. Nothing of this change was stored. Delete something, or give the server more; writing goes on by itself.";
}

impl Code {
    /// The code with this name.
    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.name() == name)
    }
}

/// One entry of `errors`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fault {
    /// JSON Pointer into the body.
    pub pointer: Option<String>,
    /// Name of a query parameter or header instead of a pointer.
    pub parameter: Option<String>,
    /// Place in the text: of the body, or of the formula at `pointer`.
    pub span: Option<Place>,
    /// A substrate of a cycle.
    pub substrate_id: Option<SubstrateId>,
    /// One sentence.
    pub message: String,
}

/// A place in a text, from 1, in code points; the end, exclusive, where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    line: u32,
    column: u32,
    end: Option<(u32, u32)>,
}

impl From<Span> for Place {
    fn from(span: Span) -> Place {
        Place { line: span.line, column: span.column, end: Some((span.end_line, span.end_column)) }
    }
}

/// A member of a problem beside the standard ones.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Extension {
    Text(&'static str, String),
    Number(&'static str, u64),
}

/// A refusal on its way out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub code: Code,
    /// One sentence a person can act on.
    pub detail: String,
    /// Places and causes.
    pub errors: Vec<Fault>,
    extensions: Vec<Extension>,
    /// Another status than the code's own: an atomic batch is 422 whatever its item's code.
    status: Option<u16>,
    allow: &'static str,
}

/// The result of everything that can be refused.
pub type Outcome<T> = Result<T, Box<Problem>>;

impl Problem {
    /// A problem with its detail.
    #[cold]
    pub fn new(code: Code, detail: impl Into<String>) -> Box<Problem> {
        Box::new(Problem {
            code,
            detail: detail.into(),
            errors: Vec::new(),
            extensions: Vec::new(),
            status: None,
            allow: "",
        })
    }

    /// `validation_failed` at one place in the body.
    #[cold]
    pub fn invalid(pointer: impl Into<String>, message: impl Into<String>) -> Box<Problem> {
        let message = message.into();
        let mut problem = Problem::new(Code::ValidationFailed, message.clone());
        problem.errors.push(Fault { pointer: Some(pointer.into()), message, ..Fault::default() });
        problem
    }

    /// `validation_failed` of a query parameter or a header.
    #[cold]
    pub fn invalid_parameter(name: &str, message: impl Into<String>) -> Box<Problem> {
        let message = message.into();
        let mut problem = Problem::new(Code::ValidationFailed, message.clone());
        problem.errors.push(Fault { parameter: Some(name.to_owned()), message, ..Fault::default() });
        problem
    }

    /// `invalid_identity`.
    #[cold]
    pub fn invalid_identity(text: &str) -> Box<Problem> {
        Problem::new(Code::InvalidIdentity, invalid_identity_detail(text))
    }

    /// `body_too_large`.
    #[cold]
    pub fn body_too_large(what: &str, limit_bytes: u64) -> Box<Problem> {
        Problem::new(Code::BodyTooLarge, format!("{what} may have at most {limit_bytes} bytes"))
            .with_number("limit_bytes", limit_bytes)
    }

    /// `limit_exceeded` of a named limit.
    #[cold]
    pub fn limit(name: &str, detail: impl Into<String>) -> Box<Problem> {
        Problem::new(Code::LimitExceeded, detail).with_text("limit", name)
    }

    /// `method_not_allowed`, with the methods that are; where they are not known here (an empty text)
    /// the router adds the header.
    #[cold]
    pub fn method_not_allowed(method: &str, allow: &'static str) -> Box<Problem> {
        let mut problem = Problem::new(
            Code::MethodNotAllowed,
            format!("this endpoint does not take {}; the Allow header lists what it takes", clip(method, 32)),
        );
        problem.allow = allow;
        problem
    }

    /// Adds a member.
    #[must_use]
    pub fn with_text(mut self: Box<Self>, name: &'static str, value: impl Into<String>) -> Box<Problem> {
        self.extensions.push(Extension::Text(name, value.into()));
        self
    }

    /// Adds a member.
    #[must_use]
    pub fn with_number(mut self: Box<Self>, name: &'static str, value: u64) -> Box<Problem> {
        self.extensions.push(Extension::Number(name, value));
        self
    }

    /// Says which row ends the request: to a program in a member, to a person in the detail.
    #[must_use]
    pub fn ends_at_row(mut self: Box<Self>, row: u64) -> Box<Problem> {
        self.detail.insert_str(0, &format!("row {row}: "));
        self.with_number("row", row)
    }

    /// Adds an entry of `errors`, up to a bound.
    #[must_use]
    pub fn with_fault(mut self: Box<Self>, fault: Fault) -> Box<Problem> {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(fault);
        }
        self
    }

    /// Moves the pointers of all errors below `base`.
    #[must_use]
    pub fn below(mut self: Box<Self>, base: &str) -> Box<Problem> {
        for fault in &mut self.errors {
            if let Some(pointer) = &mut fault.pointer {
                pointer.insert_str(0, base);
            }
        }
        self
    }

    /// The problem of an atomic batch whose item `index` is bad: its code and detail, status 422.
    /// The first of `errors` points at the item, the others into it.
    #[must_use]
    pub fn of_atomic_batch(mut self: Box<Self>, index: usize) -> Box<Problem> {
        self.status = Some(Code::ValidationFailed.status());
        let span = self.errors.first().and_then(|fault| fault.span);
        let message = self.errors.first().map_or_else(|| self.detail.clone(), |fault| fault.message.clone());
        let item = Fault { pointer: Some(format!("/{index}")), span, message, ..Fault::default() };
        let others = std::mem::take(&mut self.errors).into_iter().skip(1).map(|fault| {
            let pointer = format!("/{index}{}", fault.pointer.as_deref().unwrap_or_default());
            Fault { pointer: Some(pointer), ..fault }
        });
        self.errors = std::iter::once(item).chain(others).collect();
        self
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status.unwrap_or(self.code.status())
    }

    /// Writes the JSON object. `instance` is the path of the request, left out inside a batch.
    pub fn write(&self, instance: Option<&str>, out: &mut String) {
        out.push_str("{\"type\":\"");
        out.push_str(PROBLEMS_PATH);
        out.push_str(self.code.name());
        out.push_str("\",\"title\":\"");
        out.push_str(self.code.title());
        let _ = write!(out, "\",\"status\":{},\"detail\":", self.status());
        json::write_text(&self.detail, out);
        if let Some(instance) = instance.filter(|path| path.len() <= INSTANCE_BYTES_MAX) {
            out.push_str(",\"instance\":");
            json::write_text(instance, out);
        }
        out.push_str(",\"code\":\"");
        out.push_str(self.code.name());
        out.push('"');
        for extension in &self.extensions {
            match extension {
                Extension::Text(name, text) => {
                    let _ = write!(out, ",\"{name}\":");
                    json::write_text(text, out);
                }
                Extension::Number(name, number) => {
                    let _ = write!(out, ",\"{name}\":{number}");
                }
            }
        }
        if !self.errors.is_empty() {
            out.push_str(",\"errors\":[");
            for (index, fault) in self.errors.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                fault.write(out);
            }
            out.push(']');
        }
        out.push('}');
    }

    /// The whole answer.
    pub fn response(&self, instance: Option<&str>) -> Response {
        let mut body = String::with_capacity(384);
        self.write(instance, &mut body);
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM_TYPE));
        if matches!(self.code.status(), 429 | 503) || self.code == Code::IdempotencyKeyInFlight {
            headers.insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
        }
        if !self.allow.is_empty() {
            headers.insert(ALLOW, HeaderValue::from_static(self.allow));
        }
        response
    }
}

impl Fault {
    fn write(&self, out: &mut String) {
        out.push('{');
        if let Some(pointer) = &self.pointer {
            out.push_str("\"pointer\":");
            json::write_text(pointer, out);
            out.push(',');
        }
        if let Some(parameter) = &self.parameter {
            out.push_str("\"parameter\":");
            json::write_text(parameter, out);
            out.push(',');
        }
        if let Some(span) = &self.span {
            let _ = write!(out, "\"line\":{},\"column\":{},", span.line, span.column);
            if let Some((line, column)) = span.end {
                let _ = write!(out, "\"end_line\":{line},\"end_column\":{column},");
            }
        }
        if let Some(id) = self.substrate_id {
            let _ = write!(out, "\"substrate_id\":\"{id}\",");
        }
        out.push_str("\"message\":");
        json::write_text(&self.message, out);
        out.push('}');
    }
}

/// The problem travels as an extension of an empty answer; the outermost layer, which knows the
/// request's path, writes the body.
impl IntoResponse for Box<Problem> {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() =
            StatusCode::from_u16(self.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.extensions_mut().insert(self);
        response
    }
}

/// Writes the body of a problem that a handler gave as its answer.
pub(super) fn finish(mut response: Response, instance: &str) -> Response {
    match response.extensions_mut().remove::<Box<Problem>>() {
        None => response,
        Some(problem) => {
            let mut full = problem.response(Some(instance));
            // What layers in between have set, as axum sets `Allow`, stays.
            for (name, value) in response.headers() {
                if !full.headers().contains_key(name) && name != http::header::CONTENT_LENGTH {
                    full.headers_mut().insert(name, value.clone());
                }
            }
            full
        }
    }
}

/// The sentence of `invalid_identity`.
pub(super) fn invalid_identity_detail(text: &str) -> String {
    format!("{:?} is no identity: write 1 to 16 hex digits, with or without 0x", clip(text, 64))
}

/// The first characters of a text that came from outside.
pub(super) fn clip(text: &str, characters_max: usize) -> String {
    match text.char_indices().nth(characters_max) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
    }
}

impl From<EngineError> for Box<Problem> {
    #[cold]
    fn from(error: EngineError) -> Box<Problem> {
        match error {
            EngineError::SubstrateNotFound(id) => {
                Problem::new(Code::SubstrateNotFound, format!("there is no substrate {id}"))
                    .with_text("substrate_id", id.to_string())
            }
            EngineError::RelationshipNotFound(id) => {
                Problem::new(Code::RelationshipNotFound, format!("there is no relationship {id}"))
                    .with_text("relationship_id", id.to_string())
            }
            EngineError::SubstrateExists(id) => Problem::new(
                Code::SubstrateExists,
                format!("the formula is there already as {id}; ?on_conflict=return answers it"),
            )
            .with_text("substrate_id", id.to_string()),
            EngineError::IdentityInUse(id) => Problem::new(
                Code::IdentityInUse,
                format!("{id} holds another formula; nothing was overwritten"),
            )
            .with_text("substrate_id", id.to_string()),
            EngineError::IdentityIsContent(id) => Problem::new(
                Code::IdentityIsContent,
                format!("{id} is the hash of its formula; create the new formula as a substrate of its own"),
            )
            .with_text("substrate_id", id.to_string()),
            EngineError::RelationshipExists(id) => Problem::new(
                Code::RelationshipExists,
                format!("this type, source and target are related already as {id}"),
            )
            .with_text("relationship_id", id.to_string()),
            EngineError::HasRelationships(id, count) => Problem::new(
                Code::HasRelationships,
                format!("{id} has {count} relationships; delete them first, or leave out mode=restrict"),
            )
            .with_text("substrate_id", id.to_string())
            .with_number("relationships", count),
            EngineError::PreconditionFailed(id) => Problem::new(
                Code::PreconditionFailed,
                format!("If-Match does not name the present state of {id}; read it again"),
            )
            .with_text("substrate_id", id.to_string()),
            EngineError::Formula(error) => error.into(),
            EngineError::Evaluation(error) => (*error).into(),
            EngineError::DependencyCycle(ids) => {
                let mut problem = Problem::new(
                    Code::DependencyCycle,
                    format!("{} substrates feed each other's parameters in a circle", ids.len()),
                );
                problem.errors.extend(ids.into_iter().map(|id| Fault {
                    substrate_id: Some(id),
                    message: format!("{id} waits for the next"),
                    ..Fault::default()
                }));
                problem
            }
            EngineError::NoPath => {
                Problem::new(Code::NoPath, "no chain of such relationships connects the two")
            }
            EngineError::ScanTooLarge(key, count) => Problem::limit(
                "scan",
                format!(
                    "the search would have to look at {count} substrates; narrow its filter, or declare an \
                     index over the metadata key that it sorts or filters by (PUT /api/v1/indexes/{})",
                    clip(&key, 100)
                ),
            )
            .with_text("metadata_key", key),
            EngineError::InvalidQuery(pointer, message) => Problem::invalid(pointer, message),
            EngineError::InvalidCursor => Problem::new(
                Code::InvalidCursor,
                "the cursor is not one that this list gave out; start again without it",
            ),
            EngineError::InvalidConstraints(message) => Problem::invalid("/constraints/parameter", message),
            EngineError::Batch(index, error) => Box::<Problem>::from(*error).of_atomic_batch(index),
            EngineError::Records(_) => OffloadFailure::Panicked.into(),
            EngineError::Full(message) => Problem::new(Code::OutOfStorage, message),
            // The engine's enum may grow; a refusal that nobody mapped is our fault, not the client's.
            other => {
                tracing::error!(?other, "an engine error has no problem");
                Problem::new(Code::Internal, "the server has no words for what went wrong")
            }
        }
    }
}

impl From<FormulaError> for Box<Problem> {
    #[cold]
    fn from(error: FormulaError) -> Box<Problem> {
        let fault = Fault {
            pointer: Some("/expression_code".to_owned()),
            span: error.span.map(Place::from),
            message: error.message.clone(),
            ..Fault::default()
        };
        let problem = match error.kind {
            FormulaErrorKind::Syntax => Problem::new(Code::SyntaxError, error.message),
            FormulaErrorKind::NotSupported => Problem::new(Code::NotSupported, error.message),
            FormulaErrorKind::Limit(limit) => Problem::limit(limit.name(), error.message),
            FormulaErrorKind::Evaluation(exception) => Problem::new(
                Code::EvaluationFailed,
                format!("a default raised {}: {}", exception.name(), error.message),
            )
            .with_text("exception", exception.name()),
        };
        problem.with_fault(fault)
    }
}

impl From<EvaluationError> for Box<Problem> {
    #[cold]
    fn from(error: EvaluationError) -> Box<Problem> {
        of_raise(error.raise, error.substrate_id, error.span)
    }
}

/// The problem of a stopped evaluation, or of a result that JSON cannot hold.
#[cold]
pub(super) fn of_raise(raise: Raise, substrate_id: SubstrateId, span: Option<Span>) -> Box<Problem> {
    // No pointer: the text is the substrate's, not the request's.
    let fault = span.map(|span| Fault {
        span: Some(span.into()),
        message: raise.message.clone(),
        ..Fault::default()
    });
    let problem = match raise.kind {
        RaiseKind::Exception(exception) => {
            let detail = if raise.message.is_empty() {
                exception.name().to_owned()
            } else {
                format!("{}: {}", exception.name(), raise.message)
            };
            Problem::new(Code::EvaluationFailed, detail).with_text("exception", exception.name())
        }
        RaiseKind::Limit(limit) => Problem::limit(limit.name(), raise.message),
        RaiseKind::MissingParameter(name) => {
            Problem::new(Code::MissingParameter, raise.message).with_text("parameter", name)
        }
        RaiseKind::UnexpectedParameter(name) => {
            Problem::new(Code::UnexpectedParameter, raise.message).with_text("parameter", name)
        }
        RaiseKind::ResultNotJson => Problem::new(Code::ResultNotJson, raise.message),
        // Who stopped it does not wait for this.
        RaiseKind::Interrupted => Problem::new(Code::Overloaded, raise.message),
    };
    let problem = problem.with_text("substrate_id", substrate_id.to_string());
    match fault {
        Some(fault) => problem.with_fault(fault),
        None => problem,
    }
}

impl From<JsonError> for Box<Problem> {
    #[cold]
    fn from(error: JsonError) -> Box<Problem> {
        let problem = match error.kind {
            JsonErrorKind::Syntax | JsonErrorKind::DuplicateKey(_) => {
                Problem::new(Code::InvalidJson, error.to_string())
            }
            JsonErrorKind::TooDeep => Problem::limit(Limit::JsonDepth.name(), error.to_string()),
            JsonErrorKind::IntegerSize => Problem::limit(Limit::IntegerSize.name(), error.to_string()),
            JsonErrorKind::NumberRange => Problem::new(Code::ValidationFailed, error.to_string()),
        };
        let span = (error.line > 0).then_some(Place { line: error.line, column: error.column, end: None });
        let pointer = (!error.pointer.is_empty()).then_some(error.pointer);
        problem.with_fault(Fault { pointer, span, message: error.message, ..Fault::default() })
    }
}

impl From<OffloadFailure> for Box<Problem> {
    #[cold]
    fn from(failure: OffloadFailure) -> Box<Problem> {
        match failure {
            OffloadFailure::Overloaded => Problem::new(
                Code::Overloaded,
                "all workers are busy and the queue is full; try again in a moment",
            ),
            OffloadFailure::Panicked => {
                Problem::new(Code::Internal, "the server failed on this request; the log says more")
            }
        }
    }
}

impl From<JobRefusal> for Box<Problem> {
    #[cold]
    fn from(refusal: JobRefusal) -> Box<Problem> {
        match refusal {
            JobRefusal::Full => Problem::new(
                Code::Overloaded,
                "too many jobs wait, of this client or of all (settings jobs-max and jobs-memory); try again in a moment",
            ),
            JobRefusal::TooLarge(bytes_max) => Problem::body_too_large("the request of a job", bytes_max),
            JobRefusal::Stopping => Problem::new(Code::Overloaded, "the server is stopping"),
            JobRefusal::NoId => Problem::of_panic(),
        }
    }
}

impl Problem {
    /// Work that ended in a fault of ours, which the log tells of.
    #[cold]
    pub(super) fn of_panic() -> Box<Problem> {
        OffloadFailure::Panicked.into()
    }

    /// A job whose result has no room.
    #[cold]
    pub(super) fn of_unkept_result() -> Box<Problem> {
        Problem::limit(
            "jobs_memory",
            "the result is larger than what the server may keep of jobs (setting jobs-memory); ask for less at once, \
             or without Prefer: respond-async",
        )
    }
}

impl From<WriteFailure> for Box<Problem> {
    #[cold]
    fn from(failure: WriteFailure) -> Box<Problem> {
        Problem::of_write(failure, "nothing was stored")
    }
}

impl Problem {
    /// A change that did not take effect. `stored` says what did.
    #[cold]
    pub(super) fn of_write(failure: WriteFailure, stored: &str) -> Box<Problem> {
        match failure {
            WriteFailure::Engine(error) => error.into(),
            WriteFailure::Commit(failure) => Problem::of_commit(failure, stored),
            WriteFailure::Begun(failure) => Problem::of_commit(
                failure,
                "some of its relationships are deleted, the others and the substrate itself are still there. Send the request again for the rest",
            ),
            WriteFailure::Short(shortage) => {
                let cause = match shortage {
                    Shortage::Memory => "the server holds as much memory as `max-memory` lets it",
                    Shortage::Disk => "the disk that holds the database has less free than `disk-free-min`",
                };
                let then = "Reading and deleting go on, and creating when there is room again";
                Problem::new(Code::OutOfStorage, format!("{cause}; {stored}. {then}"))
            }
            WriteFailure::Stopping => {
                Problem::new(Code::Overloaded, format!("the server is stopping; {stored}"))
            }
            WriteFailure::Panicked => OffloadFailure::Panicked.into(),
        }
    }

    // The causes name files, which are the operator's business: they are logged, not answered.
    fn of_commit(failure: CommitFailure, stored: &str) -> Box<Problem> {
        let (code, detail, cause) = match failure {
            CommitFailure::Full(cause) => (
                Code::OutOfStorage,
                format!(
                    "the disk that holds the database has no room; {stored}. Reading and deleting go on, and writing when there is room again"
                ),
                cause,
            ),
            CommitFailure::Busy(cause) => (
                Code::Overloaded,
                format!("another program is writing to the database; {stored}. Try again in a moment"),
                cause,
            ),
            CommitFailure::Unknown(cause) => (
                Code::DurabilityUnknown,
                "writing to the database failed, so it is not known whether this change survives a restart. The server only answers reads from now on; an operator has to restart it".to_owned(),
                cause,
            ),
            CommitFailure::ReadOnly(cause) => (
                Code::ReadOnly,
                format!(
                    "writing to the database failed earlier, so the server only answers reads until an operator restarts it; {stored}"
                ),
                cause,
            ),
            CommitFailure::Internal(cause) => {
                (Code::Internal, "the server failed on this request; the log says more".to_owned(), cause)
            }
        };
        match code {
            Code::ReadOnly => tracing::debug!(%cause, "a change was refused"),
            _ => tracing::error!(%cause, "a change could not be written down"),
        }
        Problem::new(code, detail)
    }
}

impl From<EvaluateFailure> for Box<Problem> {
    #[cold]
    fn from(failure: EvaluateFailure) -> Box<Problem> {
        match failure {
            EvaluateFailure::Engine(error) => error.into(),
            EvaluateFailure::Overloaded => OffloadFailure::Overloaded.into(),
            EvaluateFailure::Panicked => OffloadFailure::Panicked.into(),
        }
    }
}

/// The page about all codes, as `docs/problems.md` and `GET /problems` have it.
pub fn markdown() -> String {
    let mut out = String::from(
        "# Problems\n\n\
         Every refusal is an RFC 9457 object, `application/problem+json`, with `type`, `title`, `status`, \
         `detail`, `instance`,\n`code`, and where it helps `errors` and members of its own. Programs look at \
         `code`: it is stable. People read `detail`.\nThis page is generated from the table that the \
         server answers from.\n\n| code | status | meaning |\n|---|---|---|\n",
    );
    for code in Code::ALL {
        let _ = writeln!(
            out,
            "| [`{name}`](#{name}) | {} | {} |",
            code.status(),
            code.title(),
            name = code.name()
        );
    }
    for code in Code::ALL {
        let _ = write!(
            out,
            "\n## {}\n\nStatus {}. {}.\n\n{}\n",
            code.name(),
            code.status(),
            code.title(),
            code.explanation()
        );
    }
    out
}

/// The page about one code.
pub fn markdown_of(code: Code) -> String {
    format!("# {}\n\nStatus {}. {}.\n\n{}\n", code.name(), code.status(), code.title(), code.explanation())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_snake_case_and_sorted_by_status() {
        let mut last = 0;
        for (index, code) in Code::ALL.iter().enumerate() {
            assert!(code.name().bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'));
            assert!(Code::ALL[..index].iter().all(|other| other.name() != code.name()));
            assert!(code.status() >= last, "{} is out of order", code.name());
            last = code.status();
            assert_eq!(Code::from_name(code.name()), Some(*code));
            assert!(!code.title().ends_with('.') && code.explanation().ends_with('.'));
            assert!(!code.title().contains('"'));
        }
    }

    #[test]
    fn a_problem_is_written_with_all_its_parts() {
        let problem = Problem::invalid("/a~1b/0", "must be a \"string\"")
            .with_number("limit_bytes", 7)
            .with_fault(Fault {
                span: Some(Place { line: 1, column: 2, end: Some((1, 4)) }),
                substrate_id: Some(SubstrateId(1)),
                message: "here".into(),
                ..Fault::default()
            });
        let mut out = String::new();
        problem.write(Some("/api/v1/x"), &mut out);
        assert_eq!(
            out,
            "{\"type\":\"/problems/validation_failed\",\"title\":\"The request is well-formed but not \
             acceptable\",\"status\":422,\"detail\":\"must be a \\\"string\\\"\",\"instance\":\"/api/v1/x\",\
             \"code\":\"validation_failed\",\"limit_bytes\":7,\"errors\":[{\"pointer\":\"/a~1b/0\",\
             \"message\":\"must be a \\\"string\\\"\"},{\"line\":1,\"column\":2,\"end_line\":1,\
             \"end_column\":4,\"substrate_id\":\"0x0000000000000001\",\"message\":\"here\"}]}"
        );
    }

    #[test]
    fn errors_are_bounded() {
        let mut problem = Problem::new(Code::ValidationFailed, "many");
        for _ in 0..10_000 {
            problem = problem.with_fault(Fault::default());
        }
        assert_eq!(problem.errors.len(), ERRORS_MAX);
    }
}
