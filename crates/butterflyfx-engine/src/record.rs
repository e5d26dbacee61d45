//! What must be written down so that the same state can be built again: records, and changes of them.
//!
//! A record is named by its *creation number*, which grows with each creation and is never used
//! twice. Lists and cursors follow it, so it has to come back as it was; and a store that keys its
//! rows by it only ever appends. A change carries what it replaces or deletes, so that whoever keeps
//! a sum over all records can keep it without reading anything.

use crate::model::{RelationshipType, Substrate, Timestamp};
use butterflyfx_formula::document::Document;

/// A substrate and its creation number.
#[derive(Clone, Debug, PartialEq)]
pub struct SubstrateRecord {
    /// Creation number among substrates.
    pub sequence: u64,
    /// All that is known of it.
    pub substrate: Substrate,
}

/// A relationship, its ends named by their creation numbers; its identity follows from both and the type.
#[derive(Clone, Debug, PartialEq)]
pub struct RelationshipRecord {
    /// Creation number among relationships.
    pub sequence: u64,
    /// Type.
    pub rel_type: RelationshipType,
    /// Whether it is outgoing and incoming at both ends.
    pub bidirectional: bool,
    /// Creation number of the substrate where it starts.
    pub source: u64,
    /// Creation number of the substrate where it ends.
    pub target: u64,
    /// A `Document::Map`.
    pub constraints: Document,
    /// Any document; `Document::Null` when absent.
    pub lineage: Document,
    /// When it was created.
    pub created_at: Timestamp,
}

/// A declared index on a metadata key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexRecord {
    /// The key.
    pub metadata_key: String,
    /// When it was declared.
    pub created_at: Timestamp,
}

/// One step from a state to the next.
#[derive(Clone, Debug, PartialEq)]
pub enum Change {
    /// A new substrate.
    SubstrateCreated(SubstrateRecord),
    /// Another formula or metadata under the same creation number.
    SubstrateReplaced {
        /// As it was.
        before: SubstrateRecord,
        /// As it is from now on.
        after: SubstrateRecord,
    },
    /// A substrate, by now without relationships, is gone.
    SubstrateDeleted(SubstrateRecord),
    /// A new relationship.
    RelationshipCreated(RelationshipRecord),
    /// A relationship is gone.
    RelationshipDeleted(RelationshipRecord),
    /// A new index.
    IndexDeclared(IndexRecord),
    /// An index is gone.
    IndexDropped(IndexRecord),
}
