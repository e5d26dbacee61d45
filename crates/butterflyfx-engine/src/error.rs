//! Why the engine refuses. Status codes are the program's business.

use crate::identity::{RelationshipId, SubstrateId};
use butterflyfx_formula::error::{FormulaError, Raise, RaiseKind, Span};

/// A refusal.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum EngineError {
    /// No such substrate.
    SubstrateNotFound(SubstrateId),
    /// No such relationship.
    RelationshipNotFound(RelationshipId),
    /// The formula is there already, under this identity.
    SubstrateExists(SubstrateId),
    /// The identity holds another formula.
    IdentityInUse(SubstrateId),
    /// The identity is the hash of its formula, so the formula cannot change.
    IdentityIsContent(SubstrateId),
    /// The relationship is there already.
    RelationshipExists(RelationshipId),
    /// `mode=restrict`, and there are relationships: how many.
    HasRelationships(SubstrateId, u64),
    /// `If-Match` named another revision, or there is no substrate to match.
    PreconditionFailed(SubstrateId),
    /// The text is no formula.
    Formula(FormulaError),
    /// An evaluation stopped.
    Evaluation(Box<EvaluationError>),
    /// The substrates of a cycle of bindings, in order.
    DependencyCycle(Vec<SubstrateId>),
    /// No path between two substrates.
    NoPath,
    /// A search that needs an index: the metadata key to declare, and how many were looked at.
    ScanTooLarge(String, u64),
    /// A field, operator or value of a search that makes no sense: JSON Pointer below the body, sentence.
    InvalidQuery(String, String),
    /// A cursor that this engine did not make.
    InvalidCursor,
    /// Relationship constraints whose `parameter` is no name or list of names: sentence.
    InvalidConstraints(String),
    /// An atomic batch failed: index of the first bad item, its error.
    Batch(usize, Box<EngineError>),
    /// Records from which no state can be built: sentence.
    Records(String),
    /// A capacity of the engine (2^32 - 1 slots, an index count) is used up: sentence.
    Full(String),
}

impl EngineError {
    /// Whether it only says that the evaluation was stopped from outside
    /// ([`Engine::evaluate_until`](crate::Engine::evaluate_until)), and nothing of the formula.
    pub fn is_interrupted(&self) -> bool {
        matches!(self, EngineError::Evaluation(error) if error.raise.kind == RaiseKind::Interrupted)
    }
}

/// A stopped evaluation, and where.
#[derive(Clone, Debug, PartialEq)]
pub struct EvaluationError {
    /// Whose formula raised: the invoked substrate or one of its inputs.
    pub substrate_id: SubstrateId,
    /// What.
    pub raise: Raise,
    /// The sub-expression, where it is known.
    pub span: Option<Span>,
}
