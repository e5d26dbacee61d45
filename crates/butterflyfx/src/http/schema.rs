//! The shapes of requests and answers for the OpenAPI document. Nothing is read or written with
//! these types: requests are decoded and answers written by hand, and the tests hold every answer
//! against what stands here.
#![allow(dead_code, reason = "these types only describe")]

use super::kept::CacheStats;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};

/// How the text of a formula is read: `lambda` is a Python lambda; `formula` is its body alone, whose
/// free names are the parameters; `constant` is the text of a JSON value.
#[derive(ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum ExpressionType {
    Lambda,
    Formula,
    Constant,
}

/// A substrate: a formula with a 64-bit identity.
#[derive(ToSchema)]
pub(super) struct Substrate {
    /// The identity.
    #[schema(pattern = "^0x[0-9A-F]{16}$", example = "0xA114047D0E9FBBF9")]
    substrate_id: String,
    /// The identity as an exact integer, for old clients; use `substrate_id`.
    #[schema(format = "uint64", minimum = 0, maximum = 18446744073709551615_u64)]
    identity: u64,
    /// When it was created.
    #[schema(format = DateTime, example = "2026-11-23T13:06:57.000001Z")]
    created_at: String,
    /// When it was last changed.
    #[schema(format = DateTime, example = "2026-11-23T13:06:57.000001Z")]
    updated_at: String,
    /// 1 at first, one more with each accepted PUT or PATCH.
    #[schema(minimum = 1)]
    version: u32,
    expression_type: ExpressionType,
    /// The exact text.
    #[schema(example = "lambda x, y: x * y")]
    expression_code: String,
    /// Whatever the creator wants to say.
    metadata: Map<String, Value>,
}

/// A substrate to create.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"expression_type": "lambda", "expression_code": "lambda x, y: x * y", "metadata": {"category": "math"}}))]
pub(super) struct NewSubstrate {
    expression_type: ExpressionType,
    /// The text of the formula.
    #[schema(example = "lambda x, y: x * y")]
    expression_code: String,
    /// Whatever you want to say; `{}` where absent.
    metadata: Option<Map<String, Value>>,
    /// An identity of your choice; the hash of the formula where absent.
    #[schema(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$", example = "0x00000000000000AB")]
    identity: Option<String>,
}

/// A substrate to put under a chosen identity.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"expression_type": "formula", "expression_code": "price * quantity"}))]
pub(super) struct PutSubstrate {
    expression_type: ExpressionType,
    /// The text of the formula.
    #[schema(example = "price * quantity")]
    expression_code: String,
    /// Whatever you want to say; `{}` where absent.
    metadata: Option<Map<String, Value>>,
}

/// A change of a substrate; absent parts stay.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"metadata": {"category": "finance", "draft": null}}))]
pub(super) struct SubstratePatch {
    /// A JSON merge patch (RFC 7396): null removes a member.
    #[schema(nullable = false)]
    metadata: Option<Map<String, Value>>,
    /// Another formula text, where the identity was chosen by the client.
    #[schema(nullable = false)]
    expression_code: Option<String>,
    #[schema(nullable = false)]
    expression_type: Option<ExpressionType>,
}

/// A page of substrates.
#[derive(ToSchema)]
pub(super) struct SubstratePage {
    substrates: Vec<Substrate>,
    /// Goes into the next request's `cursor`; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A dimension of a substrate.
#[derive(ToSchema)]
pub(super) struct Dimension {
    #[schema(minimum = 0)]
    level: u32,
    name: String,
    description: String,
}

/// The nine Fibonacci dimensions of a substrate.
#[derive(ToSchema)]
pub(super) struct Division {
    #[schema(pattern = "^0x[0-9A-F]{16}$")]
    substrate_id: String,
    #[schema(min_items = 9, max_items = 9)]
    dimensions: Vec<Dimension>,
    #[schema(example = json!([0, 1, 1, 2, 3, 5, 8, 13, 21]))]
    fibonacci_sequence: Vec<u32>,
}

/// Dimension values to multiply.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"dimension_values": [1, 2, 3]}))]
pub(super) struct Multiplication {
    /// Integers from 0 to 2^64-1.
    #[schema(schema_with = exact_integers)]
    dimension_values: Vec<u64>,
}

/// An array of integers from 0 to 2^64-1.
fn exact_integers() -> utoipa::openapi::schema::Schema {
    use utoipa::openapi::schema::{Array, ObjectBuilder, SchemaFormat, Type};
    let item = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .format(Some(SchemaFormat::Custom("uint64".to_owned())))
        .minimum(Some(0_u64))
        .maximum(Some(u64::MAX))
        .build();
    Array::new(item).into()
}

/// A product.
#[derive(ToSchema)]
pub(super) struct Product {
    /// The product of each value plus one, modulo 2^64.
    #[schema(format = "uint64", minimum = 0, maximum = 18446744073709551615_u64, example = 24)]
    unity_value: u64,
    #[schema(pattern = "^multiply$", example = "multiply")]
    operation: String,
    /// How many values there were.
    #[schema(minimum = 0, example = 3)]
    dimensions_collapsed: u64,
}

/// What to invoke with. May be absent altogether.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"parameters": {"x": 6, "y": 7}}))]
pub(super) struct Parameters {
    /// A value for each name.
    parameters: Option<Map<String, Value>>,
}

/// What an evaluation cost: the same each time.
#[derive(ToSchema)]
pub(super) struct Cost {
    /// Operations, elements, copied 64-byte blocks and big-integer limbs.
    #[schema(minimum = 0)]
    steps: u64,
    /// Bytes allocated, added up.
    #[schema(minimum = 0)]
    bytes: u64,
}

/// The outcome of an invocation.
#[derive(ToSchema)]
pub(super) struct Invocation {
    #[schema(pattern = "^0x[0-9A-F]{16}$", example = "0xA114047D0E9FBBF9")]
    substrate_id: String,
    /// The result: any JSON value.
    result: Value,
    /// How long the evaluation took.
    #[schema(minimum = 0, example = 0.00125)]
    invocation_time_ms: f64,
    cost: Cost,
    /// Whether the result was kept from an earlier invocation.
    cached: bool,
}

/// An item of a batch of invocations.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct InvocationItem {
    #[schema(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$", example = "0xA114047D0E9FBBF9")]
    substrate_id: String,
    /// A value for each name.
    parameters: Option<Map<String, Value>>,
}

/// Substrates to invoke.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Invocations {
    invocations: Vec<InvocationItem>,
}

/// A result or a problem.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
pub(super) enum InvocationResult {
    Invocation(Invocation),
    Problem(Problem),
}

impl Serialize for Invocation {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("only describes"))
    }
}

/// What each invocation gave, in order.
#[derive(ToSchema)]
pub(super) struct InvocationResults {
    results: Vec<InvocationResult>,
}

/// One formula over many rows: `rows` as objects, or `columns` of equal length, not both.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"columns": {"x": [1, 2], "y": [10, 20]}}))]
pub(super) struct Rows {
    /// The parameters of each row.
    #[schema(nullable = false)]
    rows: Option<Vec<Map<String, Value>>>,
    /// The values of each parameter.
    #[schema(nullable = false)]
    columns: Option<std::collections::BTreeMap<String, Vec<Value>>>,
}

/// The result of each row.
#[derive(ToSchema)]
pub(super) struct RowResults {
    /// In order; null where the row failed.
    results: Vec<Value>,
    /// The failed rows; absent where there is none. `row` counts from 0.
    #[schema(nullable = false)]
    errors: Option<Vec<Problem>>,
}

/// The value of a substrate.
#[derive(ToSchema)]
pub(super) struct SubstrateValue {
    #[schema(pattern = "^0x[0-9A-F]{16}$", example = "0xA114047D0E9FBBF9")]
    substrate_id: String,
    /// Any JSON value.
    value: Value,
    /// With `explain=true`: for each parameter that came along relationships what is bound to it.
    #[schema(nullable = false, value_type = Option<std::collections::BTreeMap<String, Vec<InputSource>>>)]
    inputs: Option<Value>,
}

/// A substrate that is bound to a parameter, with its value and its own inputs.
#[derive(ToSchema)]
pub(super) struct InputSource {
    #[schema(pattern = "^0x[0-9A-F]{16}$")]
    substrate_id: String,
    /// Any JSON value.
    value: Value,
    #[schema(no_recursion, value_type = std::collections::BTreeMap<String, Vec<InputSource>>)]
    inputs: Value,
}

/// Substrates to create: an array, or an object with the array.
#[derive(ToSchema, Deserialize)]
#[serde(untagged)]
pub(super) enum SubstrateBatch {
    Array(Vec<NewSubstrate>),
    Object(SubstrateBatchObject),
}

/// Substrates to create.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubstrateBatchObject {
    substrates: Vec<NewSubstrate>,
}

/// A substrate or a problem.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
pub(super) enum SubstrateResult {
    Substrate(Substrate),
    Problem(Problem),
}

impl Serialize for Substrate {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("only describes"))
    }
}

/// What became of each item.
#[derive(ToSchema)]
pub(super) struct SubstrateResults {
    /// In order; absent with `results=none`.
    #[schema(nullable = false)]
    results: Option<Vec<SubstrateResult>>,
    /// How many were created.
    #[schema(minimum = 0)]
    created: u64,
    /// How many were refused.
    #[schema(minimum = 0)]
    failed: u64,
}

/// The type of a relationship. Input in any case.
#[derive(ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum RelationshipType {
    PartToWhole,
    WholeToPart,
    Sibling,
    Containment,
    Attribute,
    Dependency,
    Adjacency,
    Aggregation,
    Boundary,
    Cycle,
    Recursion,
    Lineage,
    Embedding,
    Extraction,
    Orthogonal,
}

/// A typed link between two substrates.
#[derive(ToSchema)]
pub(super) struct Relationship {
    #[schema(pattern = "^0x[0-9A-F]{16}$", example = "0x5F7D2A9C13E0B846")]
    relationship_id: String,
    rel_type: RelationshipType,
    /// Where it starts.
    #[schema(pattern = "^0x[0-9A-F]{16}$")]
    source_id: String,
    /// Where it ends.
    #[schema(pattern = "^0x[0-9A-F]{16}$")]
    target_id: String,
    /// Whether it is outgoing and incoming at both ends.
    bidirectional: bool,
    constraints: Map<String, Value>,
    /// Any JSON value.
    lineage: Value,
    #[schema(format = DateTime)]
    created_at: String,
}

/// A relationship to create.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"rel_type": "DEPENDENCY", "source_id": "0x00000000000000AB", "target_id": "0x00000000000000AC", "constraints": {"parameter": "price"}}))]
pub(super) struct NewRelationship {
    rel_type: RelationshipType,
    /// Where it starts.
    #[schema(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$")]
    source_id: String,
    /// Where it ends.
    #[schema(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$")]
    target_id: String,
    /// False where absent.
    bidirectional: Option<bool>,
    /// `{"parameter": "price"}` binds the target's value to that parameter of the source.
    constraints: Option<Constraints>,
    /// Where it comes from: any JSON value.
    lineage: Option<Value>,
}

/// What a relationship demands. Members of your own are kept.
#[derive(ToSchema, Deserialize)]
pub(super) struct Constraints {
    /// The parameter of the source, or several, that the target's value is bound to.
    #[schema(nullable = false)]
    parameter: Option<ParameterNames>,
    /// Whether the parameter is a list even when only one target is bound to it.
    #[schema(nullable = false)]
    collect: Option<bool>,
}

/// A name or several.
#[derive(ToSchema, Deserialize)]
#[serde(untagged)]
pub(super) enum ParameterNames {
    One(String),
    Several(Vec<String>),
}

/// Relationships to create: an array, or an object with the array.
#[derive(ToSchema, Deserialize)]
#[serde(untagged)]
pub(super) enum RelationshipBatch {
    Array(Vec<NewRelationship>),
    Object(RelationshipBatchObject),
}

/// Relationships to create.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RelationshipBatchObject {
    relationships: Vec<NewRelationship>,
}

/// A relationship or a problem.
#[derive(ToSchema, Serialize)]
#[serde(untagged)]
pub(super) enum RelationshipResult {
    Relationship(Relationship),
    Problem(Problem),
}

impl Serialize for Relationship {
    fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
        Err(serde::ser::Error::custom("only describes"))
    }
}

/// What became of each item.
#[derive(ToSchema)]
pub(super) struct RelationshipResults {
    /// In order; absent with `results=none`.
    #[schema(nullable = false)]
    results: Option<Vec<RelationshipResult>>,
    /// How many were created.
    #[schema(minimum = 0)]
    created: u64,
    /// How many were refused.
    #[schema(minimum = 0)]
    failed: u64,
}

/// A page of relationships.
#[derive(ToSchema)]
pub(super) struct RelationshipPage {
    relationships: Vec<Relationship>,
    /// Goes into the next request's `cursor`; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A page of the relationships at a substrate.
#[derive(ToSchema)]
pub(super) struct NeighbourPage {
    relationships: Vec<Relationship>,
    /// The total number under the filter.
    #[schema(minimum = 0)]
    count: u64,
    /// Goes into the next request's `cursor`; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// A part of the graph.
#[derive(ToSchema)]
pub(super) struct Graph {
    nodes: Vec<Substrate>,
    /// The relationships among the nodes.
    edges: Vec<Relationship>,
    /// Whether the limit cut something off.
    truncated: bool,
}

/// A search.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"filter": {"expression_type": "lambda", "metadata.size": {"$gte": 3}}, "sort": "-metadata.size", "limit": 10}))]
pub(super) struct SearchRequest {
    /// Conditions by field: `expression_type`, `expression_code`, `created_at`, `updated_at`, `version`,
    /// `substrate_id`, or `metadata.<key>`. A condition is a value, or an object of operators.
    filter: Option<Map<String, Value>>,
    /// A field; with `-` in front descending.
    sort: Option<String>,
    #[schema(minimum = 1, maximum = 10000, default = 100)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which way relationships are followed.
#[derive(ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Direction {
    Outgoing,
    Incoming,
    Both,
}

/// A traversal.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"start_id": "0x00000000000000AB", "direction": "outgoing", "max_depth": 3}))]
pub(super) struct TraverseRequest {
    #[schema(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$")]
    start_id: String,
    /// `outgoing` where absent.
    direction: Option<Direction>,
    /// How far; 3 where absent.
    #[schema(format = "uint64", minimum = 0, maximum = 18446744073709551615_u64)]
    max_depth: Option<u64>,
    /// Only along these types; along all where absent or empty.
    rel_types: Option<Vec<RelationshipType>>,
    /// Whether each node carries its substrate.
    include_substrates: Option<bool>,
    /// At most this many nodes; 1,000 where absent.
    #[schema(minimum = 1, maximum = 1000000)]
    limit: Option<u32>,
}

/// A node that a traversal reached.
#[derive(ToSchema)]
pub(super) struct Node {
    #[schema(pattern = "^0x[0-9A-F]{16}$")]
    substrate_id: String,
    /// Steps from the start.
    #[schema(minimum = 0)]
    depth: u64,
    /// The relationship that reached it; null for the start.
    #[schema(required, pattern = "^0x[0-9A-F]{16}$")]
    via: Option<String>,
    /// With `include_substrates`.
    #[schema(nullable = false)]
    substrate: Option<Substrate>,
}

/// What a traversal found.
#[derive(ToSchema)]
pub(super) struct Traversal {
    nodes: Vec<Node>,
    /// The relationships among the nodes.
    edges: Vec<Relationship>,
    /// Whether the limit cut something off.
    truncated: bool,
}

/// A question for a path.
#[derive(ToSchema, Deserialize)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({"source_id": "0x00000000000000AB", "target_id": "0x00000000000000AC"}))]
pub(super) struct PathRequest {
    #[schema(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$")]
    source_id: String,
    #[schema(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$")]
    target_id: String,
    /// Only along these types; along all where absent or empty.
    rel_types: Option<Vec<RelationshipType>>,
    /// `outgoing` where absent.
    direction: Option<Direction>,
}

/// A shortest path.
#[derive(ToSchema)]
pub(super) struct PathAnswer {
    /// Substrates in order, both ends included.
    nodes: Vec<String>,
    /// The relationship between each pair of neighbours.
    edges: Vec<Relationship>,
    /// How many relationships.
    #[schema(minimum = 0)]
    length: u64,
}

/// A declared index.
#[derive(ToSchema)]
pub(super) struct Index {
    metadata_key: String,
    /// Substrates that have the key.
    #[schema(minimum = 0)]
    entries: u64,
    /// Different values.
    #[schema(minimum = 0)]
    distinct_values: u64,
    #[schema(format = DateTime)]
    created_at: String,
}

/// The declared indexes.
#[derive(ToSchema)]
pub(super) struct IndexList {
    indexes: Vec<Index>,
}

/// How many substrates have so many relationships.
#[derive(ToSchema)]
pub(super) struct DegreeBucket {
    /// The least number of relationships.
    #[schema(minimum = 0)]
    from: u64,
    /// The greatest.
    #[schema(minimum = 0)]
    to: u64,
    #[schema(minimum = 0)]
    substrates: u64,
}

/// A distribution of degrees.
#[derive(ToSchema)]
pub(super) struct Degrees {
    /// The greatest degree.
    #[schema(minimum = 0)]
    max: u64,
    distribution: Vec<DegreeBucket>,
}

/// Degrees by direction.
#[derive(ToSchema)]
pub(super) struct DegreesByDirection {
    outgoing: Degrees,
    incoming: Degrees,
}

/// Where things are kept.
#[derive(ToSchema)]
pub(super) struct StorageStats {
    kind: String,
    /// Whether what is acknowledged outlives the process.
    durable: bool,
}

/// Statistics of the graph.
#[derive(ToSchema)]
pub(super) struct Stats {
    #[schema(minimum = 0)]
    total_substrates: u64,
    #[schema(minimum = 0)]
    total_relationships: u64,
    substrates_by_type: std::collections::BTreeMap<String, u64>,
    relationships_by_type: std::collections::BTreeMap<String, u64>,
    degrees: DegreesByDirection,
    /// Bytes by part.
    memory: std::collections::BTreeMap<String, u64>,
    /// Templates in use: formulas that differ only in constants share one.
    #[schema(minimum = 0)]
    templates: u64,
    /// Declared indexes.
    #[schema(minimum = 0)]
    indexes: u64,
    cache: CacheStats,
    storage: StorageStats,
}

/// The server is healthy.
#[derive(ToSchema)]
pub(super) struct Health {
    #[schema(example = "healthy")]
    status: String,
    #[schema(format = DateTime)]
    timestamp: String,
    version: String,
}

/// One cause of a problem.
#[derive(ToSchema, Serialize)]
pub(super) struct ProblemError {
    /// JSON Pointer into the body.
    #[schema(nullable = false)]
    pointer: Option<String>,
    /// Query parameter or header.
    #[schema(nullable = false)]
    parameter: Option<String>,
    /// Line in the text, from 1.
    #[schema(nullable = false, minimum = 1)]
    line: Option<u32>,
    /// Column in code points, from 1.
    #[schema(nullable = false, minimum = 1)]
    column: Option<u32>,
    #[schema(nullable = false, minimum = 1)]
    end_line: Option<u32>,
    #[schema(nullable = false, minimum = 1)]
    end_column: Option<u32>,
    /// A substrate of a cycle.
    #[schema(nullable = false)]
    substrate_id: Option<String>,
    message: String,
}

/// A refusal (RFC 9457). Members of single codes stand beside the common ones.
#[derive(ToSchema, Serialize)]
pub(super) struct Problem {
    /// Where the code is explained.
    #[serde(rename = "type")]
    #[schema(format = "uri-reference", example = "/problems/substrate_not_found")]
    kind: String,
    title: String,
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// One sentence a person can act on.
    detail: String,
    /// The path of the request; absent inside a batch.
    #[schema(nullable = false)]
    instance: Option<String>,
    #[schema(schema_with = code)]
    code: String,
    /// The substrate it is about.
    #[schema(nullable = false)]
    substrate_id: Option<String>,
    /// The relationship it is about.
    #[schema(nullable = false)]
    relationship_id: Option<String>,
    /// The type of the Python exception (`evaluation_error`).
    #[schema(nullable = false)]
    exception: Option<String>,
    /// The name of the limit (`limit_exceeded`).
    #[schema(nullable = false)]
    limit: Option<String>,
    /// The name of the parameter (`missing_parameter`, `unexpected_parameter`).
    #[schema(nullable = false)]
    parameter: Option<String>,
    /// The row of a batch, from 0.
    #[schema(nullable = false)]
    row: Option<u64>,
    /// Places and causes.
    #[schema(nullable = false)]
    errors: Option<Vec<ProblemError>>,
}

/// All codes.
fn code() -> utoipa::openapi::schema::Object {
    use super::problem::Code;
    utoipa::openapi::schema::ObjectBuilder::new()
        .schema_type(utoipa::openapi::schema::Type::String)
        .description(Some("Stable; explained at `/problems/{code}`."))
        .enum_values(Some(Code::ALL.iter().map(|code| code.name())))
        .build()
}

/// `substrate_id` in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct SubstratePath {
    /// 1 to 16 hex digits of either case, with or without `0x`.
    #[param(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$", example = "0xA114047D0E9FBBF9")]
    substrate_id: String,
}

/// `relationship_id` in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct RelationshipPath {
    /// 1 to 16 hex digits of either case, with or without `0x`.
    #[param(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$", example = "0x5F7D2A9C13E0B846")]
    relationship_id: String,
}

/// `metadata_key` in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct IndexPath {
    /// The key, as after `metadata.` in a search.
    #[param(min_length = 1, max_length = 255, example = "category")]
    metadata_key: String,
}

/// `code` in a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct ProblemPath {
    #[param(example = "validation_failed")]
    code: String,
}

/// `on_conflict`.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct OnConflictQuery {
    /// What to do when it is there already: `refuse` (409) or `return` it with 200.
    #[param(inline)]
    on_conflict: Option<OnConflict>,
}

#[derive(ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnConflict {
    Refuse,
    Return,
}

/// A page.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct PageQuery {
    /// At most this many items; 100 where absent.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A filter of types.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct TypeQuery {
    /// Only this type; repeat it, or separate with commas, for several.
    #[param(inline, rename = "type", example = "DEPENDENCY")]
    rel_type: Option<Vec<RelationshipType>>,
}

/// Ends of relationships.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct RelationshipQuery {
    /// Only with this stored source.
    #[param(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$")]
    source_id: Option<String>,
    /// Only with this stored target.
    #[param(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$")]
    target_id: Option<String>,
}

/// A neighbourhood.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct GraphQuery {
    /// The substrate in the middle.
    #[param(pattern = "^(0[xX])?[0-9A-Fa-f]{1,16}$")]
    root: String,
    /// How far; 1 where absent.
    #[param(format = "uint64", minimum = 0, maximum = 18446744073709551615_u64)]
    depth: Option<u64>,
    /// At most this many nodes; 1,000 where absent.
    #[param(minimum = 1, maximum = 10000)]
    limit: Option<u32>,
}

/// How to delete.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct DeleteQuery {
    /// `cascade`: relationships go too. `restrict`: refuse where there are any.
    #[param(inline)]
    mode: Option<DeleteMode>,
}

#[derive(ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum DeleteMode {
    Cascade,
    Restrict,
}

/// How to explain.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct ExplainQuery {
    /// Whether to add the tree of inputs.
    explain: Option<bool>,
}

/// How to run a batch.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(super) struct BatchQuery {
    /// All or none.
    atomic: Option<bool>,
    /// `all` results, or `none`: the counts only.
    #[param(inline)]
    results: Option<BatchResults>,
}

#[derive(ToSchema, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum BatchResults {
    All,
    None,
}

/// A condition on the present state.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct IfMatch {
    /// `*`, or ETags of which the present state must be one. Weak tags never match.
    #[param(rename = "If-Match", example = "*")]
    if_match: Option<String>,
}

/// A condition on the present state.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(super) struct IfNoneMatch {
    /// ETags: a GET is answered 304 where one is the present state. `*`: a PUT creates, never replaces.
    #[param(rename = "If-None-Match")]
    if_none_match: Option<String>,
}
