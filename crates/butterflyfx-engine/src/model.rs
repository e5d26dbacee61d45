//! What goes in and comes out: plain owned types, no trace of how the state is packed.

use crate::identity::{RelationshipId, SubstrateId};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::meter::Cost;
use butterflyfx_formula::value::Value;
use std::sync::Arc;

pub use crate::relationship_type::{RelationshipType, TypeSet};

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// A stored substrate.
#[derive(Clone, Debug, PartialEq)]
pub struct Substrate {
    /// Identity.
    pub id: SubstrateId,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// 1 at first, one more with each accepted PUT or PATCH.
    pub version: u32,
    /// How its text is read.
    pub expression_type: ExpressionType,
    /// The exact text.
    pub expression_code: String,
    /// A `Document::Map`.
    pub metadata: Document,
}

impl Substrate {
    /// What an ETag stands for.
    pub fn revision(&self) -> Revision {
        Revision { version: self.version, updated_at: self.updated_at }
    }
}

/// One state of one substrate; differs between a substrate and its successor of the same identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revision {
    /// [`Substrate::version`]
    pub version: u32,
    /// [`Substrate::updated_at`]
    pub updated_at: Timestamp,
}

/// `If-Match`, or `If-None-Match: *`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Precondition {
    /// None given.
    #[default]
    None,
    /// `*`: it must exist.
    Exists,
    /// It must be one of these (none of them may be readable: an empty list never matches).
    OneOf(Vec<Revision>),
    /// It must not exist.
    Absent,
}

/// A stored relationship.
#[derive(Clone, Debug, PartialEq)]
pub struct Relationship {
    /// Identity.
    pub id: RelationshipId,
    /// Type.
    pub rel_type: RelationshipType,
    /// Where it starts.
    pub source: SubstrateId,
    /// Where it ends.
    pub target: SubstrateId,
    /// Whether it is outgoing and incoming at both ends.
    pub bidirectional: bool,
    /// A `Document::Map`.
    pub constraints: Document,
    /// Any document; `Document::Null` when absent.
    pub lineage: Document,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A substrate to create or put.
#[derive(Clone, Debug, PartialEq)]
pub struct NewSubstrate {
    /// Chosen identity; the hash of the formula where `None`.
    pub identity: Option<SubstrateId>,
    /// How the text is read.
    pub expression_type: ExpressionType,
    /// The text.
    pub expression_code: String,
    /// A `Document::Map`.
    pub metadata: Document,
}

/// A relationship to create.
#[derive(Clone, Debug, PartialEq)]
pub struct NewRelationship {
    /// Type.
    pub rel_type: RelationshipType,
    /// Where it starts.
    pub source: SubstrateId,
    /// Where it ends.
    pub target: SubstrateId,
    /// Whether it runs both ways.
    pub bidirectional: bool,
    /// A `Document::Map`.
    pub constraints: Document,
    /// Any document.
    pub lineage: Document,
}

/// A change of a substrate; absent parts stay.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SubstratePatch {
    /// A JSON merge patch (RFC 7396) of the metadata.
    pub metadata: Option<Document>,
    /// Another formula text.
    pub expression_code: Option<String>,
    /// Another reading of the text.
    pub expression_type: Option<ExpressionType>,
}

/// What to do when the thing to create is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnConflict {
    /// Refuse.
    #[default]
    Refuse,
    /// Answer the one that is there, unchanged.
    Return,
}

/// Something created, or found in its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Created<T> {
    /// As it is stored now.
    pub item: T,
    /// `false` where `OnConflict::Return` found it, or PUT replaced it.
    pub is_new: bool,
}

/// Which way relationships are followed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Direction {
    /// From source to target.
    #[default]
    Outgoing,
    /// From target to source.
    Incoming,
    /// Either way.
    Both,
}

/// A part of a list. `next` goes into the next call's `after`.
#[derive(Clone, Debug, PartialEq)]
pub struct Page<T> {
    /// The items, in the list's order.
    pub items: Vec<T>,
    /// Where to go on; `None` at the end. Opaque bytes that the program encodes as text.
    pub next: Option<Cursor>,
}

/// A position in a list, stable while things are created and deleted around it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(pub Vec<u8>);

/// A page request.
#[derive(Clone, Debug, Default)]
pub struct PageRequest {
    /// At most this many items.
    pub limit: usize,
    /// After this position; from the start where `None`.
    pub after: Option<Cursor>,
}

/// Which relationships to list; absent parts do not filter.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RelationshipFilter {
    /// Stored source.
    pub source: Option<SubstrateId>,
    /// Stored target.
    pub target: Option<SubstrateId>,
    /// Types.
    pub types: TypeSet,
}

/// A field of a substrate that a search can name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Field {
    /// `expression_type`
    ExpressionType,
    /// `expression_code`
    ExpressionCode,
    /// `created_at`
    CreatedAt,
    /// `updated_at`
    UpdatedAt,
    /// `version`
    Version,
    /// `substrate_id`
    SubstrateId,
    /// `metadata.<key>`; dots go into nested maps where no key of that whole name is there.
    Metadata(String),
}

/// One condition of a search.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// `$eq`
    Equal(Document),
    /// `$ne`
    NotEqual(Document),
    /// `$gt`
    Greater(Document),
    /// `$gte`
    GreaterOrEqual(Document),
    /// `$lt`
    Less(Document),
    /// `$lte`
    LessOrEqual(Document),
    /// `$in`
    In(Vec<Document>),
    /// `$exists`
    Exists(bool),
    /// `$prefix`
    Prefix(String),
}

/// A search. Times compare as RFC 3339 texts that the program has turned into
/// `Document::Int` microseconds; identities as `Document::Text` in canonical form.
#[derive(Clone, Debug, PartialEq)]
pub struct Search {
    /// All must hold.
    pub conditions: Vec<(Field, Condition)>,
    /// By which field, and whether descending; creation order where `None`.
    pub sort: Option<(Field, bool)>,
}

/// A traversal, breadth first.
#[derive(Clone, Debug, PartialEq)]
pub struct Traverse {
    /// Where to start, at depth 0.
    pub start: SubstrateId,
    /// Which way.
    pub direction: Direction,
    /// How far.
    pub depth_max: u64,
    /// Along which types.
    pub types: TypeSet,
    /// At most this many nodes.
    pub limit: usize,
    /// Whether to answer the substrates too.
    pub include_substrates: bool,
}

/// A node that a traversal reached.
#[derive(Clone, Debug, PartialEq)]
pub struct Reached {
    /// Which.
    pub id: SubstrateId,
    /// Steps from the start.
    pub depth: u64,
    /// The relationship that reached it; `None` for the start.
    pub via: Option<RelationshipId>,
    /// The substrate, where it was asked for.
    pub substrate: Option<Substrate>,
}

/// What a traversal found.
#[derive(Clone, Debug, PartialEq)]
pub struct Traversal {
    /// Each node once: by depth, then by creation.
    pub nodes: Vec<Reached>,
    /// All relationships of the asked types among the nodes, oldest first.
    pub edges: Vec<Relationship>,
    /// Whether the limit bit.
    pub truncated: bool,
}

/// A shortest path.
#[derive(Clone, Debug, PartialEq)]
pub struct Path {
    /// Substrates in order, both ends included.
    pub nodes: Vec<SubstrateId>,
    /// The relationship between each pair of neighbours.
    pub edges: Vec<Relationship>,
}

/// The outcome of an evaluation.
#[derive(Clone, Debug)]
pub struct Evaluation {
    /// The result.
    pub value: Value,
    /// What it cost, inputs included.
    pub cost: Cost,
    /// The tree behind it, where it was asked for.
    pub inputs: Option<Vec<Input>>,
    /// Whose formula gave it from the parameters alone; `None` where it is not certain that
    /// nothing flowed in.
    pub edition: Option<Edition>,
}

/// A substrate as it is between two changes, by its creation number and version: nothing else ever
/// has both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edition {
    /// The creation number.
    pub sequence: u64,
    /// The version.
    pub version: u32,
}

/// One parameter that came along relationships, for `explain`.
#[derive(Clone, Debug)]
pub struct Input {
    /// The parameter.
    pub name: Arc<str>,
    /// One entry for each bound target, oldest relationship first.
    pub sources: Vec<InputSource>,
}

/// A bound target, its value, and what lies behind it.
#[derive(Clone, Debug)]
pub struct InputSource {
    /// The target.
    pub substrate_id: SubstrateId,
    /// Its value.
    pub value: Value,
    /// Its own inputs.
    pub inputs: Vec<Input>,
}

/// A declared index over a metadata key.
#[derive(Clone, Debug, PartialEq)]
pub struct IndexInfo {
    /// The key, as in `metadata.<key>`.
    pub metadata_key: String,
    /// Substrates that have the key.
    pub entries: u64,
    /// Different values.
    pub distinct_values: u64,
    /// When it was declared.
    pub created_at: Timestamp,
}

/// Counts, for `query/stats` and metrics.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stats {
    /// Substrates.
    pub substrates: u64,
    /// Relationships.
    pub relationships: u64,
    /// Relationships of each type, in the order of [`RelationshipType::ALL`].
    pub relationships_by_type: [u64; 15],
    /// Substrates by expression type: lambda, formula, constant.
    pub substrates_by_type: [u64; 3],
    /// `[n]` counts the substrates whose out-degree lies in `[2^(n-1), 2^n)`; `[0]` those with none.
    pub out_degrees: Vec<u64>,
    /// The same for in-degree.
    pub in_degrees: Vec<u64>,
    /// Largest out-degree.
    pub out_degree_max: u64,
    /// Largest in-degree.
    pub in_degree_max: u64,
    /// Templates in use.
    pub templates: u64,
    /// Declared indexes.
    pub indexes: u64,
    /// Bytes by part (name, bytes), allocated capacity included.
    pub memory: Vec<(&'static str, u64)>,
}
