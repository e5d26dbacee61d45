//! Relationships: create, read, delete, and lists by end, type and neighbourhood.

use super::idempotency::Keeping;
use super::problem::{Fault, Outcome, Problem};
use super::substrates::{link, missing_everything, read, run};
use super::wire::{self, Accepts, At, Faults, Object, Query, decode, write};
use super::{Answer, Shared, paging, schema};
use crate::evaluation::offload;
use crate::writing::{self, WriteFailure};
use axum::extract::{Request, State};
use axum::response::Response;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{
    Created, Direction, NewRelationship, Relationship, RelationshipFilter, RelationshipType, Traverse,
};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::json::Pull;
use http::HeaderValue;
use http::header::LOCATION;

/// Where relationships are.
pub(super) const PATH: &str = "/api/v1/relationships";

/// Pages up to this long are read on the network thread.
const INLINE_ITEMS_MAX: usize = 500;

/// How many nodes a drawing has when nobody asks, and at most.
const GRAPH_LIMIT_DEFAULT: u64 = 1_000;
const GRAPH_LIMIT_MAX: u64 = 10_000;

const FIELDS: [&str; 6] = ["rel_type", "source_id", "target_id", "bidirectional", "constraints", "lineage"];

/// Create a relationship
///
/// There is one for each type, source and target. `constraints` with `{"parameter": "price"}` bind the
/// target's value to that parameter of the source.
#[utoipa::path(post, path = "/api/v1/relationships", tag = "relationships", operation_id = "create_relationship",
    params(schema::OnConflictQuery), request_body = schema::NewRelationship,
    responses(
        (status = 201, description = "Created.", body = schema::Relationship,
            headers(("Location" = String, description = "Its path."))),
        (status = 200, description = "It was there; answered unchanged (`on_conflict=return`).", body = schema::Relationship,
            headers(("Location" = String, description = "Its path."))),
    ))]
pub(super) async fn create(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let mut query = Query::read(&head.uri, &["on_conflict"]);
    let on_conflict = query.on_conflict();
    query.finish()?;
    let new = decode_new(read(&api, &head.headers, Accepts::Json, body).await?)?;
    let (source, target) = (new.source, new.target);
    let new = api.app.engine.prepare_relationship(new)?;
    let keep = Keeping::of(&head.extensions, answer_created);
    let created = writing::create_relationship(&api.app, new, on_conflict, keep).await.map_err(
        |failure| match failure {
            WriteFailure::Engine(error) => of_create(error, source, target),
            failure => failure.into(),
        },
    )?;
    Ok(answer_created(&created))
}

fn answer_created(created: &Created<Relationship>) -> Response {
    let mut response = wire::created(created.is_new, json_of(&created.item));
    if let Ok(location) = HeaderValue::try_from(format!("{PATH}/{}", created.item.id)) {
        response.headers_mut().insert(LOCATION, location);
    }
    response
}

/// The problem of a refused relationship: a missing end is named by its field.
pub(super) fn of_create(error: EngineError, source: SubstrateId, target: SubstrateId) -> Box<Problem> {
    let field = match error {
        EngineError::SubstrateNotFound(id) if id == source => "source_id",
        EngineError::SubstrateNotFound(id) if id == target => "target_id",
        _ => return error.into(),
    };
    let mut problem = Box::<Problem>::from(error);
    problem.detail = format!("{field}: {}", problem.detail);
    let message = problem.detail.clone();
    problem.with_fault(Fault { pointer: Some(format!("/{field}")), message, ..Fault::default() })
}

/// Read a relationship
#[utoipa::path(get, path = "/api/v1/relationships/{relationship_id}", tag = "relationships", operation_id = "get_relationship",
    params(schema::RelationshipPath),
    responses((status = 200, description = "The relationship.", body = schema::Relationship)))]
pub(super) async fn get(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    let relationship = api.app.engine.relationship(wire::relationship_id(request.uri(), 3)?)?;
    Ok(wire::ok(json_of(&relationship)))
}

/// Delete a relationship
#[utoipa::path(delete, path = "/api/v1/relationships/{relationship_id}", tag = "relationships", operation_id = "delete_relationship",
    params(schema::RelationshipPath), responses((status = 204, description = "Deleted.")))]
pub(super) async fn delete(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    writing::delete_relationship(&api.app, wire::relationship_id(request.uri(), 3)?).await?;
    Ok(wire::no_content())
}

/// List relationships
///
/// By stored source, target and type, oldest first.
#[utoipa::path(get, path = "/api/v1/relationships", tag = "relationships", operation_id = "list_relationships",
    params(schema::RelationshipQuery, schema::TypeQuery, schema::PageQuery),
    responses((status = 200, description = "A page.", body = schema::RelationshipPage,
        headers(("Link" = String, description = "`rel=\"next\"`: the next page, where there is one.")))))]
pub(super) async fn list(State(api): State<Shared>, request: Request) -> Answer {
    let mut query = Query::read(request.uri(), &["source_id", "target_id", "type", "limit", "cursor"]);
    let filter = RelationshipFilter {
        source: query.substrate_id("source_id"),
        target: query.substrate_id("target_id"),
        types: query.types(),
    };
    let page = paging::of_query(&mut query);
    query.finish()?;
    let page = page?;
    let uri = request.uri().clone();
    // A filter may let few of many through.
    offload(&api.app, move |app| {
        let found = app.engine.relationships(&filter, &page)?;
        let mut out = String::with_capacity(64 + 280 * found.items.len());
        out.push_str("{\"relationships\":");
        write::list(&found.items, &mut out, write::relationship);
        out.push(',');
        write::next_cursor(found.next.as_ref(), &mut out);
        out.push('}');
        let mut response = wire::ok(out);
        link(&mut response, &uri, found.next.as_ref().map(paging::encode));
        Ok(response)
    })
    .await?
}

/// List the outgoing relationships of a substrate
///
/// Those that start there, and bidirectional ones that end there; oldest first. `count` is their
/// total number under the filter.
#[utoipa::path(get, path = "/api/v1/relationships/outgoing/{substrate_id}", tag = "relationships", operation_id = "list_outgoing",
    params(schema::SubstratePath, schema::TypeQuery, schema::PageQuery),
    responses((status = 200, description = "A page.", body = schema::NeighbourPage,
        headers(("Link" = String, description = "`rel=\"next\"`: the next page, where there is one.")))))]
pub(super) async fn outgoing(State(api): State<Shared>, request: Request) -> Answer {
    neighbours(api, request, Direction::Outgoing).await
}

/// List the incoming relationships of a substrate
///
/// Those that end there, and bidirectional ones that start there; oldest first. `count` is their
/// total number under the filter.
#[utoipa::path(get, path = "/api/v1/relationships/incoming/{substrate_id}", tag = "relationships", operation_id = "list_incoming",
    params(schema::SubstratePath, schema::TypeQuery, schema::PageQuery),
    responses((status = 200, description = "A page.", body = schema::NeighbourPage,
        headers(("Link" = String, description = "`rel=\"next\"`: the next page, where there is one.")))))]
pub(super) async fn incoming(State(api): State<Shared>, request: Request) -> Answer {
    neighbours(api, request, Direction::Incoming).await
}

async fn neighbours(api: Shared, request: Request, direction: Direction) -> Answer {
    let mut query = Query::read(request.uri(), &["type", "limit", "cursor"]);
    let types = query.types();
    let page = paging::of_query(&mut query);
    query.finish()?;
    let page = page?;
    let id = wire::substrate_id(request.uri(), 4)?;
    let uri = request.uri().clone();
    run(&api, page.limit > INLINE_ITEMS_MAX, move |app| {
        let (found, count) = app.engine.relationships_of(id, direction, types, &page)?;
        let mut out = String::with_capacity(80 + 280 * found.items.len());
        out.push_str("{\"relationships\":");
        write::list(&found.items, &mut out, write::relationship);
        out.push_str(",\"count\":");
        write::unsigned(count, &mut out);
        out.push(',');
        write::next_cursor(found.next.as_ref(), &mut out);
        out.push('}');
        let mut response = wire::ok(out);
        link(&mut response, &uri, found.next.as_ref().map(paging::encode));
        Ok(response)
    })
    .await?
}

/// The neighbourhood of a substrate, for drawing
///
/// The substrates within `depth` steps of `root` in both directions, and the relationships among them.
#[utoipa::path(get, path = "/api/v1/relationships/graph", tag = "relationships", operation_id = "get_graph",
    params(schema::GraphQuery, schema::TypeQuery),
    responses((status = 200, description = "Nodes and edges.", body = schema::Graph)))]
pub(super) async fn graph(State(api): State<Shared>, request: Request) -> Answer {
    let mut query = Query::read(request.uri(), &["root", "depth", "type", "limit"]);
    let root = query.substrate_id("root");
    if query.text("root").is_none() {
        query.missing("root", "the identity of the substrate in the middle");
    }
    let depth_max = query.unsigned("depth", 1, 0, u64::MAX);
    let types = query.types();
    let limit = query.unsigned("limit", GRAPH_LIMIT_DEFAULT, 1, GRAPH_LIMIT_MAX) as usize;
    query.finish()?;
    let start = root.ok_or_else(missing_everything)?;
    let traverse =
        Traverse { start, direction: Direction::Both, depth_max, types, limit, include_substrates: true };
    offload(&api.app, move |app| {
        let found = app.engine.traverse(&traverse)?;
        let mut out = String::with_capacity(64 + 320 * found.nodes.len() + 280 * found.edges.len());
        out.push_str("{\"nodes\":[");
        for (index, substrate) in found.nodes.iter().filter_map(|node| node.substrate.as_ref()).enumerate() {
            if index > 0 {
                out.push(',');
            }
            write::substrate(substrate, &mut out);
        }
        out.push_str("],\"edges\":");
        write::list(&found.edges, &mut out, write::relationship);
        out.push_str(",\"truncated\":");
        out.push_str(if found.truncated { "true}" } else { "false}" });
        Ok(wire::ok(out))
    })
    .await?
}

/// Decodes the body of POST, or an item of a batch.
pub(super) fn decode_new(document: Document) -> Outcome<NewRelationship> {
    let mut faults = Faults::default();
    let new = decode_fields(document, &mut faults);
    faults.finish()?;
    new.ok_or_else(missing_everything)
}

/// [`decode_new`] for a text where all is as it should be.
pub(super) fn decode_quickly(mut text: Pull<'_>) -> Option<NewRelationship> {
    let (mut rel_type, mut source, mut target) = (None, None, None);
    let (mut bidirectional, mut constraints, mut lineage) = (None, None, None);
    let mut members = text.object()?;
    let names = ["rel_type", "source_id", "target_id", "bidirectional", "constraints", "lineage"];
    while let Some(member) = text.member(&mut members, names)? {
        let is_new = match member {
            0 => rel_type.replace(RelationshipType::from_name(&text.text()?)?).is_none(),
            1 => source.replace(SubstrateId::parse(&text.text()?)?).is_none(),
            2 => target.replace(SubstrateId::parse(&text.text()?)?).is_none(),
            3 => bidirectional.replace(text.boolean()?).is_none(),
            4 => constraints.replace(text.map()?).is_none(),
            _ => lineage.replace(text.document()?).is_none(),
        };
        if !is_new {
            return None;
        }
    }
    let new = NewRelationship {
        rel_type: rel_type?,
        source: source?,
        target: target?,
        bidirectional: bidirectional.unwrap_or(false),
        constraints: constraints.unwrap_or(Document::Map(Vec::new())),
        lineage: lineage.unwrap_or(Document::Null),
    };
    text.is_at_end().then_some(new)
}

fn decode_fields(document: Document, faults: &mut Faults) -> Option<NewRelationship> {
    let at = At::Root;
    let mut object = Object::open(document, &at, faults)?;
    let rel_type =
        object.required("rel_type", "a type such as \"DEPENDENCY\"", &at, faults, decode::rel_type);
    let source = object.required("source_id", "where it starts", &at, faults, decode::substrate_id);
    let target = object.required("target_id", "where it ends", &at, faults, decode::substrate_id);
    let bidirectional = object.optional("bidirectional", &at, faults, decode::boolean);
    let constraints = object.optional("constraints", &at, faults, decode::map);
    let lineage = object.optional("lineage", &at, faults, decode::any);
    object.close(&FIELDS, &at, faults);
    Some(NewRelationship {
        rel_type: rel_type?,
        source: source?,
        target: target?,
        bidirectional: bidirectional.unwrap_or(false),
        constraints: constraints.unwrap_or(Document::Map(Vec::new())),
        lineage: lineage.unwrap_or(Document::Null),
    })
}

fn json_of(relationship: &Relationship) -> String {
    let mut out = String::with_capacity(320);
    write::relationship(relationship, &mut out);
    out
}
