//! Queries: search by fields and metadata, traversal, shortest paths, statistics.

use super::problem::Outcome;
use super::substrates::{missing_everything, read};
use super::wire::{self, Accepts, At, Faults, Object, decode, write};
use super::{Answer, Shared, kept, paging, schema, time};
use crate::app::App;
use crate::evaluation::offload;
use axum::extract::{Request, State};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{
    Condition, Direction, Field, PageRequest, RelationshipType, Search, Traverse, TypeSet,
};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::json;

/// How many nodes a traversal gives when nobody asks, and at most.
const NODES_DEFAULT: u64 = 1_000;
const NODES_MAX: u64 = 1_000_000;

/// How far a traversal goes when nobody says.
const DEPTH_DEFAULT: u64 = 3;

const OPERATORS: &str = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $exists, $prefix";
const FIELDS: &str =
    "expression_type, expression_code, created_at, updated_at, version, substrate_id, metadata.<key>";

/// Search substrates
///
/// Conditions on fields are and-ed. A condition is a value, or an object of operators: `$eq $ne $gt $gte
/// $lt $lte $in $exists $prefix`. `sort` is a field, with `-` in front for descending.
#[utoipa::path(post, path = "/api/v1/query/search", tag = "query", operation_id = "search_substrates",
    request_body = schema::SearchRequest,
    responses((status = 200, description = "A page of what was found.", body = schema::SubstratePage)))]
pub(super) async fn search(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    wire::no_query(&head.uri)?;
    let document = read(&api, &head.headers, Accepts::Json, body).await?;
    let (search, limit, cursor) = decode_search(document)?;
    let after = cursor.as_deref().map(paging::decode).transpose()?;
    let page = PageRequest { limit, after };
    offload(&api.app, move |app| {
        let found = app.engine.search(&search, &page)?;
        let mut out = String::with_capacity(64 + 320 * found.items.len());
        out.push_str("{\"substrates\":");
        write::list(&found.items, &mut out, write::substrate);
        out.push(',');
        write::next_cursor(found.next.as_ref(), &mut out);
        out.push('}');
        Ok(wire::ok(out))
    })
    .await?
}

fn decode_search(document: Document) -> Outcome<(Search, usize, Option<String>)> {
    let at = At::Root;
    let mut faults = Faults::default();
    let mut search = Search { conditions: Vec::new(), sort: None };
    let mut limit = None;
    let mut cursor = None;
    if let Some(mut object) = Object::open(document, &at, &mut faults) {
        let filter = object.optional("filter", &at, &mut faults, |filter, at, faults| {
            Some(decode_filter(filter, at, faults))
        });
        search.conditions = filter.unwrap_or_default();
        search.sort = object.optional("sort", &at, &mut faults, decode_sort);
        limit = object.optional("limit", &at, &mut faults, |value, at, faults| {
            decode::unsigned(value, 1, paging::LIMIT_MAX, at, faults)
        });
        cursor = object.optional("cursor", &at, &mut faults, decode::text);
        object.close(&["filter", "sort", "limit", "cursor"], &at, &mut faults);
    }
    faults.finish()?;
    Ok((search, limit.unwrap_or(paging::LIMIT_DEFAULT) as usize, cursor))
}

fn decode_sort(document: Document, at: &At<'_>, faults: &mut Faults) -> Option<(Field, bool)> {
    let text = decode::text(document, at, faults)?;
    let (name, descending) = match text.strip_prefix('-') {
        Some(name) => (name, true),
        None => (text.as_str(), false),
    };
    match field_of(name) {
        Some(field) => Some((field, descending)),
        None => {
            let name = super::problem::clip(name, 64);
            faults.at(at, format!("{name:?} is no field to sort by; the fields are {FIELDS}"));
            None
        }
    }
}

fn field_of(name: &str) -> Option<Field> {
    Some(match name {
        "expression_type" => Field::ExpressionType,
        "expression_code" => Field::ExpressionCode,
        "created_at" => Field::CreatedAt,
        "updated_at" => Field::UpdatedAt,
        "version" => Field::Version,
        "substrate_id" => Field::SubstrateId,
        _ => match name.strip_prefix("metadata.") {
            None | Some("") => return None,
            Some(key) => Field::Metadata(key.to_owned()),
        },
    })
}

fn decode_filter(document: Document, at: &At<'_>, faults: &mut Faults) -> Vec<(Field, Condition)> {
    let mut conditions = Vec::new();
    let members = match document {
        Document::Map(members) => members,
        other => {
            Object::open(other, at, faults);
            return conditions;
        }
    };
    for (name, value) in members {
        let at = At::Member(at, &name);
        let Some(field) = field_of(&name) else {
            let name = super::problem::clip(&name, 64);
            faults.at(&at, format!("unknown field {name:?}; the fields are {FIELDS}"));
            continue;
        };
        match value {
            Document::Map(operators) if operators.is_empty() => {
                faults.at(&at, format!("a condition needs a value or operators: {OPERATORS}"));
            }
            Document::Map(operators) => {
                for (operator, operand) in operators {
                    let at = At::Member(&at, &operator);
                    if let Some(condition) = decode_condition(&field, &operator, operand, &at, faults) {
                        conditions.push((field.clone(), condition));
                    }
                }
            }
            value => {
                if let Some(value) = operand(&field, value, &at, faults) {
                    conditions.push((field, Condition::Equal(value)));
                }
            }
        }
    }
    conditions
}

fn decode_condition(
    field: &Field,
    operator: &str,
    value: Document,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<Condition> {
    Some(match operator {
        "$eq" => Condition::Equal(operand(field, value, at, faults)?),
        "$ne" => Condition::NotEqual(operand(field, value, at, faults)?),
        "$gt" => Condition::Greater(operand(field, value, at, faults)?),
        "$gte" => Condition::GreaterOrEqual(operand(field, value, at, faults)?),
        "$lt" => Condition::Less(operand(field, value, at, faults)?),
        "$lte" => Condition::LessOrEqual(operand(field, value, at, faults)?),
        "$in" => {
            let mut values = Vec::new();
            for (index, item) in decode::list(value, at, faults)?.into_iter().enumerate() {
                values.push(operand(field, item, &At::Element(at, index), faults)?);
            }
            Condition::In(values)
        }
        "$exists" => Condition::Exists(decode::boolean(value, at, faults)?),
        "$prefix" => match field {
            Field::Metadata(_) | Field::ExpressionCode | Field::ExpressionType => {
                Condition::Prefix(decode::text(value, at, faults)?)
            }
            _ => {
                faults.at(at, "$prefix works on expression_code, expression_type and metadata");
                return None;
            }
        },
        _ => {
            let operator = super::problem::clip(operator, 64);
            let message = if operator.starts_with('$') {
                format!("unknown operator {operator:?}; the operators are {OPERATORS}")
            } else {
                format!("{operator:?} is no operator; to compare with an object write {{\"$eq\": {{...}}}}")
            };
            faults.at(at, message);
            return None;
        }
    })
}

/// The value to compare with, as the engine wants it: times as microseconds, identities canonical.
fn operand(field: &Field, value: Document, at: &At<'_>, faults: &mut Faults) -> Option<Document> {
    match field {
        Field::CreatedAt | Field::UpdatedAt => {
            let text = decode::text(value, at, faults)?;
            match time::parse(&text) {
                Some(time) => Some(Document::Int(time.0)),
                None => {
                    let text = super::problem::clip(&text, 64);
                    faults
                        .at(at, format!("{text:?} is no time; write RFC 3339 such as 2026-11-23T13:06:57Z"));
                    None
                }
            }
        }
        Field::SubstrateId => {
            let id = decode::substrate_id(value, at, faults)?;
            Some(Document::Text(id.to_string().into()))
        }
        _ => Some(value),
    }
}

/// Traverse the graph
///
/// Breadth first from a substrate; each node once, by depth, then by creation. `edges` are the
/// relationships among the nodes. `truncated` says that the limit bit.
#[utoipa::path(post, path = "/api/v1/query/traverse", tag = "query", operation_id = "traverse",
    request_body = schema::TraverseRequest,
    responses((status = 200, description = "What was reached.", body = schema::Traversal)))]
pub(super) async fn traverse(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    wire::no_query(&head.uri)?;
    let traverse = decode_traverse(read(&api, &head.headers, Accepts::Json, body).await?)?;
    offload(&api.app, move |app| {
        let found = app.engine.traverse(&traverse)?;
        let mut out = String::with_capacity(64 + 96 * found.nodes.len() + 280 * found.edges.len());
        out.push_str("{\"nodes\":");
        write::list(&found.nodes, &mut out, |node, out| {
            out.push_str("{\"substrate_id\":");
            write::substrate_id(node.id, out);
            out.push_str(",\"depth\":");
            write::unsigned(node.depth, out);
            out.push_str(",\"via\":");
            match node.via {
                None => out.push_str("null"),
                Some(via) => write::relationship_id(via, out),
            }
            if let Some(substrate) = &node.substrate {
                out.push_str(",\"substrate\":");
                write::substrate(substrate, out);
            }
            out.push('}');
        });
        out.push_str(",\"edges\":");
        write::list(&found.edges, &mut out, write::relationship);
        out.push_str(",\"truncated\":");
        out.push_str(if found.truncated { "true}" } else { "false}" });
        Ok(wire::ok(out))
    })
    .await?
}

fn decode_traverse(document: Document) -> Outcome<Traverse> {
    let at = At::Root;
    let mut faults = Faults::default();
    let mut traverse = None;
    if let Some(mut object) = Object::open(document, &at, &mut faults) {
        let start = object.required("start_id", "where to start", &at, &mut faults, decode::substrate_id);
        let direction = object.optional("direction", &at, &mut faults, decode::direction);
        let depth_max = object.optional("max_depth", &at, &mut faults, |value, at, faults| {
            decode::unsigned(value, 0, u64::MAX, at, faults)
        });
        let types = object.optional("rel_types", &at, &mut faults, decode::rel_types);
        let include_substrates = object.optional("include_substrates", &at, &mut faults, decode::boolean);
        let limit = object.optional("limit", &at, &mut faults, |value, at, faults| {
            decode::unsigned(value, 1, NODES_MAX, at, faults)
        });
        object.close(
            &["start_id", "direction", "max_depth", "rel_types", "include_substrates", "limit"],
            &at,
            &mut faults,
        );
        traverse = start.map(|start| Traverse {
            start,
            direction: direction.unwrap_or_default(),
            depth_max: depth_max.unwrap_or(DEPTH_DEFAULT),
            types: types.unwrap_or_default(),
            limit: limit.unwrap_or(NODES_DEFAULT) as usize,
            include_substrates: include_substrates.unwrap_or(false),
        });
    }
    faults.finish()?;
    traverse.ok_or_else(missing_everything)
}

/// Find a shortest path
///
/// Between two substrates, along relationships of the asked types and direction.
#[utoipa::path(post, path = "/api/v1/query/path", tag = "query", operation_id = "find_path",
    request_body = schema::PathRequest,
    responses((status = 200, description = "A shortest path.", body = schema::PathAnswer)))]
pub(super) async fn path(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    wire::no_query(&head.uri)?;
    let (source, target, types, direction) =
        decode_path(read(&api, &head.headers, Accepts::Json, body).await?)?;
    offload(&api.app, move |app| {
        let found = app.engine.path(source, target, types, direction)?;
        let mut out = String::with_capacity(64 + 24 * found.nodes.len() + 280 * found.edges.len());
        out.push_str("{\"nodes\":");
        write::list(&found.nodes, &mut out, |id, out| write::substrate_id(*id, out));
        out.push_str(",\"edges\":");
        write::list(&found.edges, &mut out, write::relationship);
        out.push_str(",\"length\":");
        write::unsigned(found.edges.len() as u64, &mut out);
        out.push('}');
        Ok(wire::ok(out))
    })
    .await?
}

fn decode_path(document: Document) -> Outcome<(SubstrateId, SubstrateId, TypeSet, Direction)> {
    let at = At::Root;
    let mut faults = Faults::default();
    let mut ends = None;
    let mut types = None;
    let mut direction = None;
    if let Some(mut object) = Object::open(document, &at, &mut faults) {
        let source = object.required("source_id", "where to start", &at, &mut faults, decode::substrate_id);
        let target = object.required("target_id", "where to arrive", &at, &mut faults, decode::substrate_id);
        types = object.optional("rel_types", &at, &mut faults, decode::rel_types);
        direction = object.optional("direction", &at, &mut faults, decode::direction);
        object.close(&["source_id", "target_id", "rel_types", "direction"], &at, &mut faults);
        ends = source.zip(target);
    }
    faults.finish()?;
    let (source, target) = ends.ok_or_else(missing_everything)?;
    Ok((source, target, types.unwrap_or_default(), direction.unwrap_or_default()))
}

/// Read statistics of the graph
///
/// Counts by type, degree distributions, and memory by part.
#[utoipa::path(get, path = "/api/v1/query/stats", tag = "query", operation_id = "get_stats",
    responses((status = 200, description = "Statistics.", body = schema::Stats)))]
pub(super) async fn stats(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    Ok(wire::ok(offload(&api.app, |app| write_stats(app)).await?))
}

fn write_stats(app: &App) -> String {
    let stats = app.engine.stats();
    let mut out = String::with_capacity(2_048);
    let member = |name: &str, number: u64, out: &mut String| {
        out.push('"');
        out.push_str(name);
        out.push_str("\":");
        write::unsigned(number, out);
    };
    out.push('{');
    member("total_substrates", stats.substrates, &mut out);
    out.push(',');
    member("total_relationships", stats.relationships, &mut out);
    out.push_str(",\"substrates_by_type\":{");
    for (index, (name, count)) in
        ["lambda", "formula", "constant"].iter().zip(stats.substrates_by_type).enumerate()
    {
        if index > 0 {
            out.push(',');
        }
        member(name, count, &mut out);
    }
    out.push_str("},\"relationships_by_type\":{");
    for (index, (rel_type, count)) in
        RelationshipType::ALL.iter().zip(stats.relationships_by_type).enumerate()
    {
        if index > 0 {
            out.push(',');
        }
        member(rel_type.name(), count, &mut out);
    }
    out.push_str("},\"degrees\":{\"outgoing\":");
    write_degrees(&stats.out_degrees, stats.out_degree_max, &mut out);
    out.push_str(",\"incoming\":");
    write_degrees(&stats.in_degrees, stats.in_degree_max, &mut out);
    out.push_str("},\"memory\":{");
    let mut total = 0_u64;
    for (name, bytes) in &stats.memory {
        json::write_text(name, &mut out);
        out.push(':');
        write::unsigned(*bytes, &mut out);
        out.push(',');
        total = total.saturating_add(*bytes);
    }
    member("total", total, &mut out);
    out.push_str("},");
    member("templates", stats.templates, &mut out);
    out.push(',');
    member("indexes", stats.indexes, &mut out);
    out.push_str(",\"cache\":");
    kept::write_stats(app, &mut out);
    out.push_str(",\"storage\":{\"kind\":\"memory\",\"durable\":false}}");
    out
}

/// A distribution of degrees: `from` and `to`, both included, and how many substrates lie there.
fn write_degrees(counts: &[u64], max: u64, out: &mut String) {
    out.push_str("{\"max\":");
    write::unsigned(max, out);
    out.push_str(",\"distribution\":[");
    for (index, count) in counts.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let high = 1_u64.checked_shl(index as u32).map_or(u64::MAX, |bound| bound - 1);
        let low = high / 2 + u64::from(index > 0);
        out.push_str("{\"from\":");
        write::unsigned(low, out);
        out.push_str(",\"to\":");
        write::unsigned(high, out);
        out.push_str(",\"substrates\":");
        write::unsigned(*count, out);
        out.push('}');
    }
    out.push_str("]}");
}
