//! Declared indexes over metadata keys.

use super::problem::{Code, Problem};
use super::wire::{self, write};
use super::{Answer, Shared, schema, time};
use crate::writing;
use axum::extract::{Request, State};
use butterflyfx_engine::model::IndexInfo;
use butterflyfx_formula::json;
use http::HeaderValue;
use http::header::LOCATION;

/// A longer key is refused.
const KEY_BYTES_MAX: usize = 255;

/// List the declared indexes
#[utoipa::path(get, path = "/api/v1/indexes", tag = "indexes", operation_id = "list_indexes",
    responses((status = 200, description = "All indexes, by key.", body = schema::IndexList)))]
pub(super) async fn list(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    let mut out = String::from("{\"indexes\":");
    write::list(&api.app.engine.indexes(), &mut out, index);
    out.push('}');
    Ok(wire::ok(out))
}

/// Read one declared index
#[utoipa::path(get, path = "/api/v1/indexes/{metadata_key}", tag = "indexes", operation_id = "get_index",
    params(schema::IndexPath), responses((status = 200, description = "The index.", body = schema::Index)))]
pub(super) async fn get(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    let key = wire::segment(request.uri(), 3);
    let found = find(&api, &key).ok_or_else(|| not_found(&key))?;
    Ok(wire::ok(json_of(&found)))
}

/// Declare an index
///
/// Over a metadata key, named as in a search after `metadata.`; filled with what is stored.
#[utoipa::path(put, path = "/api/v1/indexes/{metadata_key}", tag = "indexes", operation_id = "put_index",
    params(schema::IndexPath),
    responses(
        (status = 201, description = "Declared.", body = schema::Index,
            headers(("Location" = String, description = "Its path."))),
        (status = 200, description = "It was declared already.", body = schema::Index),
    ))]
pub(super) async fn put(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    let key = wire::segment(request.uri(), 3).into_owned();
    if key.is_empty() || key.len() > KEY_BYTES_MAX {
        let message = format!("a metadata key must have 1 to {KEY_BYTES_MAX} bytes");
        return Err(Problem::invalid_parameter("metadata_key", message));
    }
    let wanted = key.clone();
    let is_new = writing::create_index(&api.app, wanted).await?;
    let found = find(&api, &key).ok_or_else(|| not_found(&key))?;
    let mut response = wire::created(is_new, json_of(&found));
    if let (true, Ok(location)) = (is_new, HeaderValue::try_from(request.uri().path())) {
        response.headers_mut().insert(LOCATION, location);
    }
    Ok(response)
}

/// Drop an index
#[utoipa::path(delete, path = "/api/v1/indexes/{metadata_key}", tag = "indexes", operation_id = "delete_index",
    params(schema::IndexPath), responses((status = 204, description = "Dropped.")))]
pub(super) async fn delete(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    let key = wire::segment(request.uri(), 3);
    let was_there = writing::drop_index(&api.app, key.clone().into_owned()).await?;
    if was_there { Ok(wire::no_content()) } else { Err(not_found(&key)) }
}

fn find(api: &Shared, key: &str) -> Option<IndexInfo> {
    api.app.engine.indexes().into_iter().find(|index| index.metadata_key == key)
}

#[cold]
fn not_found(key: &str) -> Box<Problem> {
    let key = super::problem::clip(key, 64);
    Problem::new(Code::IndexNotFound, format!("no index is declared over metadata.{key}"))
}

fn json_of(info: &IndexInfo) -> String {
    let mut out = String::new();
    index(info, &mut out);
    out
}

fn index(info: &IndexInfo, out: &mut String) {
    out.push_str("{\"metadata_key\":");
    json::write_text(&info.metadata_key, out);
    out.push_str(",\"entries\":");
    write::unsigned(info.entries, out);
    out.push_str(",\"distinct_values\":");
    write::unsigned(info.distinct_values, out);
    out.push_str(",\"created_at\":\"");
    time::write(info.created_at, out);
    out.push_str("\"}");
}
