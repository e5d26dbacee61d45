//! Substrates: create, read, replace, change, delete, and the two operations of the old server.

use super::idempotency::Keeping;
use super::problem::{Code, Outcome, Problem};
use super::wire::{self, Accepts, At, Faults, Object, Query, decode, write};
use super::{Answer, Shared, etag, paging, schema};
use crate::app::App;
use crate::evaluation::offload;
use crate::writing::{self, WriteFailure};
use axum::extract::{Request, State};
use axum::response::Response;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{Created, NewSubstrate, Precondition, Substrate, SubstratePatch};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::json::Pull;
use http::header::{ETAG, LINK, LOCATION};
use http::{HeaderValue, Uri};
use std::sync::Arc;

/// Where substrates are.
pub(super) const PATH: &str = "/api/v1/substrates";

/// Pages up to this long are read on the network thread.
const INLINE_ITEMS_MAX: usize = 200;

/// Bodies longer than this are parsed on a worker: megabytes would hold up all that the network
/// thread serves.
const SHORT_BODY_BYTES: usize = 64 * 1024;

const POST_FIELDS: [&str; 4] = ["expression_type", "expression_code", "metadata", "identity"];
const PUT_FIELDS: [&str; 3] = ["expression_type", "expression_code", "metadata"];
const PATCH_FIELDS: [&str; 3] = ["metadata", "expression_code", "expression_type"];

/// What `expression_type` may be, for a sentence.
const TYPE_IS: &str = "\"lambda\", \"formula\" or \"constant\"";
const CODE_IS: &str = "the text of the formula";

/// Create a substrate
///
/// Stores a formula under its identity: the hash of type and text, or one of your choice. A formula
/// that exists already is refused with `substrate_exists`, or answered with `?on_conflict=return`.
#[utoipa::path(post, path = "/api/v1/substrates", tag = "substrates", operation_id = "create_substrate",
    params(schema::OnConflictQuery), request_body = schema::NewSubstrate,
    responses(
        (status = 201, description = "Created.", body = schema::Substrate,
            headers(("Location" = String, description = "Its path."), ("ETag" = String, description = "Its state."))),
        (status = 200, description = "It was there; answered unchanged (`on_conflict=return`).", body = schema::Substrate,
            headers(("Location" = String, description = "Its path."), ("ETag" = String, description = "Its state."))),
    ))]
pub(super) async fn create(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let mut query = Query::read(&head.uri, &["on_conflict"]);
    let on_conflict = query.on_conflict();
    query.finish()?;
    let new = decode_new(read(&api, &head.headers, Accepts::Json, body).await?)?;
    let defaults = may_have_defaults(&new.expression_code, Some(new.expression_type));
    let new = run(&api, defaults, move |app| app.engine.prepare_substrate(new)).await??;
    let keep = Keeping::of(&head.extensions, answer_created);
    let created = writing::create_substrate(&api.app, new, on_conflict, keep).await?;
    Ok(answer_created(&created))
}

fn answer_created(created: &Created<Substrate>) -> Response {
    let mut response = wire::created(created.is_new, json_of(&created.item));
    tag(&mut response, &created.item);
    locate(&mut response, &created.item);
    response
}

/// List substrates
///
/// All substrates, oldest first, a page at a time.
#[utoipa::path(get, path = "/api/v1/substrates", tag = "substrates", operation_id = "list_substrates",
    params(schema::PageQuery),
    responses((status = 200, description = "A page.", body = schema::SubstratePage,
        headers(("Link" = String, description = "`rel=\"next\"`: the next page, where there is one.")))))]
pub(super) async fn list(State(api): State<Shared>, request: Request) -> Answer {
    let mut query = Query::read(request.uri(), &["limit", "cursor"]);
    let page = paging::of_query(&mut query);
    query.finish()?;
    let page = page?;
    let uri = request.uri().clone();
    run(&api, page.limit > INLINE_ITEMS_MAX, move |app| {
        let found = app.engine.substrates(&page)?;
        let mut out = String::with_capacity(64 + 320 * found.items.len());
        out.push_str("{\"substrates\":");
        write::list(&found.items, &mut out, write::substrate);
        out.push(',');
        write::next_cursor(found.next.as_ref(), &mut out);
        out.push('}');
        let mut response = wire::ok(out);
        link(&mut response, &uri, found.next.as_ref().map(paging::encode));
        Ok(response)
    })
    .await?
}

/// Read a substrate
///
/// Answers with its ETag; with `If-None-Match` naming the present state, 304 without a body.
#[utoipa::path(get, path = "/api/v1/substrates/{substrate_id}", tag = "substrates", operation_id = "get_substrate",
    params(schema::SubstratePath, schema::IfNoneMatch),
    responses(
        (status = 200, description = "The substrate.", body = schema::Substrate,
            headers(("ETag" = String, description = "Its state."))),
        (status = 304, description = "It is in the state that `If-None-Match` names."),
    ))]
pub(super) async fn get(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    let substrate = api.app.engine.substrate(wire::substrate_id(request.uri(), 3)?)?;
    let mut response = if etag::is_not_modified(request.headers(), substrate.revision()) {
        wire::not_modified()
    } else {
        wire::ok(json_of(&substrate))
    };
    tag(&mut response, &substrate);
    Ok(response)
}

/// Create or replace a substrate
///
/// Under an identity that the client chooses. Replaces everything but `created_at`; absent metadata
/// becomes `{}`. Where the identity is the hash of its formula, only the metadata can change.
#[utoipa::path(put, path = "/api/v1/substrates/{substrate_id}", tag = "substrates", operation_id = "put_substrate",
    params(schema::SubstratePath, schema::IfMatch, schema::IfNoneMatch), request_body = schema::PutSubstrate,
    responses(
        (status = 200, description = "Replaced.", body = schema::Substrate,
            headers(("ETag" = String, description = "Its new state."))),
        (status = 201, description = "Created.", body = schema::Substrate,
            headers(("Location" = String, description = "Its path."), ("ETag" = String, description = "Its state."))),
    ))]
pub(super) async fn put(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    wire::no_query(&head.uri)?;
    let id = wire::substrate_id(&head.uri, 3)?;
    let document = read(&api, &head.headers, Accepts::Json, body).await?;
    let mut faults = Faults::default();
    let new = decode_fields(document, &PUT_FIELDS, &mut faults);
    faults.finish()?;
    let new = new.ok_or_else(missing_everything)?;
    // After the body: what is malformed is told before what does not hold.
    let precondition = etag::put_precondition(&head.headers)?;
    let creates_only = precondition == Precondition::Absent;
    let defaults = may_have_defaults(&new.expression_code, Some(new.expression_type));
    let new = NewSubstrate { identity: Some(id), ..new };
    let new = run(&api, defaults, move |app| app.engine.prepare_substrate(new)).await??;
    let put = match writing::put_substrate(&api.app, new, precondition).await {
        Err(WriteFailure::Engine(EngineError::PreconditionFailed(id))) if creates_only => {
            let detail = format!("{id} exists, and If-None-Match: * asks to create only");
            let problem = Problem::new(Code::PreconditionFailed, detail);
            return Err(problem.with_text("substrate_id", id.to_string()));
        }
        put => put?,
    };
    let mut response = wire::created(put.is_new, json_of(&put.item));
    tag(&mut response, &put.item);
    if put.is_new {
        locate(&mut response, &put.item);
    }
    Ok(response)
}

/// Change parts of a substrate
///
/// `metadata` is a JSON merge patch (RFC 7396): members that are null are removed. The formula can
/// change where the identity was chosen by the client.
#[utoipa::path(patch, path = "/api/v1/substrates/{substrate_id}", tag = "substrates", operation_id = "patch_substrate",
    params(schema::SubstratePath, schema::IfMatch),
    request_body(content((schema::SubstratePatch = "application/json"), (schema::SubstratePatch = "application/merge-patch+json"))),
    responses((status = 200, description = "Changed.", body = schema::Substrate,
        headers(("ETag" = String, description = "Its new state.")))))]
pub(super) async fn patch(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    wire::no_query(&head.uri)?;
    let id = wire::substrate_id(&head.uri, 3)?;
    let document = read(&api, &head.headers, Accepts::JsonOrMergePatch, body).await?;
    let patch = decode_patch(document)?;
    let precondition = etag::precondition(&head.headers)?;
    let defaults = patch.expression_type.is_some()
        || patch.expression_code.as_deref().is_some_and(|code| may_have_defaults(code, None));
    // A new text is read here, not while others wait to write. Of which type it will be is only sure
    // then; if another type was patched in meanwhile, it is read again.
    let (patch, checked) = run(&api, defaults, move |app| -> Outcome<_> {
        let Some(code) = &patch.expression_code else { return Ok((patch, None)) };
        let kind = match patch.expression_type {
            Some(kind) => kind,
            None => app.engine.substrate(id)?.expression_type,
        };
        let checked = app.engine.check(kind, code);
        // What comes before a bad formula (no such substrate, another revision) is told before it.
        Ok((patch, checked.ok().map(|checked| (kind, checked))))
    })
    .await??;
    let patched = writing::patch_substrate(&api.app, id, patch, checked, precondition).await?;
    let mut response = wire::ok(json_of(&patched));
    tag(&mut response, &patched);
    Ok(response)
}

/// Delete a substrate
///
/// Its relationships go with it, unless `mode=restrict` asks to refuse then.
#[utoipa::path(delete, path = "/api/v1/substrates/{substrate_id}", tag = "substrates", operation_id = "delete_substrate",
    params(schema::SubstratePath, schema::DeleteQuery, schema::IfMatch),
    responses((status = 204, description = "Deleted.")))]
pub(super) async fn delete(State(api): State<Shared>, request: Request) -> Answer {
    let mut query = Query::read(request.uri(), &["mode"]);
    let restrict = query.one_of("mode", &["cascade", "restrict"]) == 1;
    query.finish()?;
    let id = wire::substrate_id(request.uri(), 3)?;
    let precondition = etag::precondition(request.headers())?;
    writing::delete_substrate(&api.app, id, restrict, precondition).await?;
    Ok(wire::no_content())
}

/// Divide a substrate into its dimensions
///
/// The nine Fibonacci dimensions, the same for each substrate.
#[utoipa::path(post, path = "/api/v1/substrates/{substrate_id}/divide", tag = "substrates", operation_id = "divide_substrate",
    params(schema::SubstratePath),
    responses((status = 200, description = "The dimensions.", body = schema::Division)))]
pub(super) async fn divide(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    let id = wire::substrate_id(request.uri(), 3)?;
    if !api.app.engine.contains(id) {
        return Err(EngineError::SubstrateNotFound(id).into());
    }
    let mut out = String::with_capacity(1024);
    out.push_str("{\"substrate_id\":");
    write::substrate_id(id, &mut out);
    out.push_str(",\"dimensions\":");
    write::list(&DIMENSIONS, &mut out, |(level, name, description), out| {
        out.push_str("{\"level\":");
        write::unsigned(*level, out);
        out.push_str(",\"name\":\"");
        out.push_str(name);
        out.push_str("\",\"description\":\"");
        out.push_str(description);
        out.push_str("\"}");
    });
    out.push_str(",\"fibonacci_sequence\":");
    write::list(&DIMENSIONS, &mut out, |(level, _, _), out| write::unsigned(*level, out));
    out.push('}');
    Ok(wire::ok(out))
}

/// Level, name and description of each dimension.
const DIMENSIONS: [(u64, &str, &str); 9] = [
    (0, "Void", "Potential"),
    (1, "Identity", "Who"),
    (1, "Domain", "What type"),
    (2, "Length", "Attributes"),
    (3, "Area", "Relationships"),
    (5, "Volume", "State + change"),
    (8, "Frequency", "Temporal patterns"),
    (13, "System", "Behaviors"),
    (21, "Complete", "Whole object"),
];

/// Multiply dimension values into one
///
/// The product of each value plus one, modulo 2^64.
#[utoipa::path(post, path = "/api/v1/substrates/multiply", tag = "substrates", operation_id = "multiply_dimensions",
    request_body = schema::Multiplication,
    responses((status = 200, description = "The product.", body = schema::Product)))]
pub(super) async fn multiply(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    wire::no_query(&head.uri)?;
    let document = read(&api, &head.headers, Accepts::Json, body).await?;
    let mut faults = Faults::default();
    let values = Object::open(document, &At::Root, &mut faults).and_then(|mut object| {
        let what = "an array of integers from 0 to 18446744073709551615";
        let values = object.required("dimension_values", what, &At::Root, &mut faults, decode::list);
        object.close(&["dimension_values"], &At::Root, &mut faults);
        values
    });
    let values = values.unwrap_or_default();
    let mut product = 1_u64;
    for (index, value) in values.iter().enumerate() {
        match decode::exact_u64(value) {
            Some(value) => product = product.wrapping_mul(value.wrapping_add(1)),
            None => faults.at(
                &At::Element(&At::Member(&At::Root, "dimension_values"), index),
                "a dimension value must be an integer from 0 to 18446744073709551615",
            ),
        }
    }
    faults.finish()?;
    let mut out = String::from("{\"unity_value\":");
    write::unsigned(product, &mut out);
    out.push_str(",\"operation\":\"multiply\",\"dimensions_collapsed\":");
    write::unsigned(values.len() as u64, &mut out);
    out.push('}');
    Ok(wire::ok(out))
}

/// Runs engine work here, or on a worker where it may take long.
pub(super) async fn run<T, F>(api: &Shared, long: bool, work: F) -> Outcome<T>
where
    T: Send + 'static,
    F: FnOnce(&Arc<App>) -> T + Send + 'static,
{
    if long { Ok(offload(&api.app, work).await?) } else { Ok(work(&api.app)) }
}

/// Reads the JSON of a body.
pub(super) async fn read(
    api: &Shared,
    headers: &http::HeaderMap,
    accepts: Accepts,
    body: axum::body::Body,
) -> Outcome<Document> {
    wire::media(headers, accepts)?;
    let text = wire::body(body, api.app.config.http.body_max).await?;
    let depth_max = api.app.engine.limits().json_depth;
    if text.len() > SHORT_BODY_BYTES {
        return offload(&api.app, move |_| wire::document(&text, depth_max)).await?;
    }
    wire::document(&text, depth_max)
}

/// Decodes the body of POST, or an item of a batch.
pub(super) fn decode_new(document: Document) -> Outcome<NewSubstrate> {
    let mut faults = Faults::default();
    let new = decode_fields(document, &POST_FIELDS, &mut faults);
    faults.finish()?;
    new.ok_or_else(missing_everything)
}

/// [`decode_new`] for a text where all is as it should be.
pub(super) fn decode_quickly(mut text: Pull<'_>) -> Option<NewSubstrate> {
    let (mut kind, mut code, mut metadata, mut identity) = (None, None, None, None);
    let mut members = text.object()?;
    let names = ["identity", "expression_type", "expression_code", "metadata"];
    while let Some(member) = text.member(&mut members, names)? {
        let is_new = match member {
            0 => identity.replace(SubstrateId::parse(&text.text()?)?).is_none(),
            1 => kind.replace(ExpressionType::from_name(&text.text()?)?).is_none(),
            2 => code.replace(text.text()?.into_owned()).is_none(),
            _ => metadata.replace(text.map()?).is_none(),
        };
        if !is_new {
            return None;
        }
    }
    let metadata = metadata.unwrap_or(Document::Map(Vec::new()));
    let new = NewSubstrate { identity, expression_type: kind?, expression_code: code?, metadata };
    text.is_at_end().then_some(new)
}

fn decode_fields(document: Document, fields: &[&str], faults: &mut Faults) -> Option<NewSubstrate> {
    let at = At::Root;
    let mut object = Object::open(document, &at, faults)?;
    let expression_type = object.required("expression_type", TYPE_IS, &at, faults, decode::expression_type);
    let expression_code = object.required("expression_code", CODE_IS, &at, faults, decode::text);
    let metadata = object.optional("metadata", &at, faults, decode::map);
    let identity = if fields.contains(&"identity") {
        object.optional("identity", &at, faults, decode::substrate_id)
    } else {
        None
    };
    object.close(fields, &at, faults);
    Some(NewSubstrate {
        identity,
        expression_type: expression_type?,
        expression_code: expression_code?,
        metadata: metadata.unwrap_or(Document::Map(Vec::new())),
    })
}

/// Decoding gave neither a value nor a fault, which cannot be.
#[cold]
pub(super) fn missing_everything() -> Box<Problem> {
    Problem::invalid("", "the body is not acceptable")
}

fn decode_patch(document: Document) -> Outcome<SubstratePatch> {
    let mut faults = Faults::default();
    let at = At::Root;
    let mut patch = SubstratePatch::default();
    if let Some(mut object) = Object::open(document, &at, &mut faults) {
        // Null is refused here: a merge patch removes what is null, and these cannot be removed.
        let mut take = |name: &'static str| object.take(name).map(|value| (value, name));
        let metadata = take("metadata");
        let code = take("expression_code");
        let kind = take("expression_type");
        patch.metadata =
            metadata.and_then(|(value, name)| decode::map(value, &At::Member(&at, name), &mut faults));
        patch.expression_code =
            code.and_then(|(value, name)| decode::text(value, &At::Member(&at, name), &mut faults));
        patch.expression_type = kind
            .and_then(|(value, name)| decode::expression_type(value, &At::Member(&at, name), &mut faults));
        object.close(&PATCH_FIELDS, &at, &mut faults);
    }
    faults.finish()?;
    Ok(patch)
}

/// Whether creating may evaluate defaults, which takes as long as an evaluation may.
fn may_have_defaults(code: &str, kind: Option<ExpressionType>) -> bool {
    kind.is_none_or(|kind| kind == ExpressionType::Lambda) && code.contains('=')
}

pub(super) fn json_of(substrate: &Substrate) -> String {
    let mut out = String::with_capacity(320 + substrate.expression_code.len());
    write::substrate(substrate, &mut out);
    out
}

fn tag(response: &mut Response, substrate: &Substrate) {
    response.headers_mut().insert(ETAG, etag::of(substrate.revision()));
}

fn locate(response: &mut Response, substrate: &Substrate) {
    if let Ok(location) = HeaderValue::try_from(format!("{PATH}/{}", substrate.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
}

/// Adds `Link: rel="next"` where there is a next page.
pub(super) fn link(response: &mut Response, uri: &Uri, next: Option<String>) {
    if let Some(link) = next.and_then(|next| paging::link(uri, &next)) {
        response.headers_mut().insert(LINK, link);
    }
}
