//! Records that do not belong together are refused, whether they are restored one by one or at once.

use super::engine;
use crate::error::EngineError;
use crate::identity::SubstrateId;
use crate::model::*;
use crate::record::{RelationshipRecord, SubstrateRecord};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;

fn substrate(sequence: u64, id: u64, code: &str) -> SubstrateRecord {
    let (created_at, updated_at) = (Timestamp(5), Timestamp(5));
    let (expression_type, metadata) = (ExpressionType::Constant, Document::Map(Vec::new()));
    let expression_code = code.to_owned();
    let id = SubstrateId(id);
    let substrate =
        Substrate { id, created_at, updated_at, version: 1, expression_type, expression_code, metadata };
    SubstrateRecord { sequence, substrate }
}

fn relationship(sequence: u64, source: u64, target: u64) -> RelationshipRecord {
    RelationshipRecord {
        sequence,
        rel_type: RelationshipType::Dependency,
        bidirectional: false,
        source,
        target,
        constraints: Document::Map(Vec::new()),
        lineage: Document::Null,
        created_at: Timestamp(5),
    }
}

fn restore(
    at_once: bool,
    substrates: &[SubstrateRecord],
    relationships: &[RelationshipRecord],
) -> Result<(), EngineError> {
    let engine = engine();
    if at_once {
        engine.begin_restoring();
    }
    engine.restore_substrates(substrates)?;
    engine.restore_relationships(relationships)?;
    engine.end_restoring()
}

fn check(substrates: &[SubstrateRecord], relationships: &[RelationshipRecord], expected: &str) {
    for at_once in [false, true] {
        let outcome = restore(at_once, substrates, relationships);
        let found = match outcome {
            Ok(()) => String::new(),
            Err(EngineError::Records(sentence)) => sentence,
            Err(other) => format!("{other:?}"),
        };
        assert!(
            found.contains(expected) && found.is_empty() == expected.is_empty(),
            "{found}; at once: {at_once}"
        );
    }
}

#[test]
fn what_does_not_fit_together_is_refused() {
    let two = [substrate(3, 10, "1"), substrate(7, 20, "2")];
    check(&two, &[relationship(0, 3, 7), relationship(1, 7, 3), relationship(9, 3, 3)], "");
    check(&[], &[], "");
    check(
        &[substrate(3, 10, "1"), substrate(4, 10, "2")],
        &[],
        "substrate 0x000000000000000A is there twice",
    );
    check(&[substrate(3, 10, "1"), substrate(3, 11, "2")], &[], "has number 3, out of order");
    check(&[substrate(3, 10, "1 +")], &[], "the formula of substrate 0x000000000000000A is refused");
    check(&two, &[relationship(0, 3, 7), relationship(5, 3, 7)], "is there twice");
    check(&two, &[relationship(2, 3, 7), relationship(2, 7, 3)], "has number 2, out of order");
    check(&two, &[relationship(2, 4, 7)], "relationship number 2 has no end number 4");
    check(&two, &[relationship(2, 3, 8)], "relationship number 2 has no end number 8");
}

#[test]
fn twins_are_found_among_many() {
    let substrates: Vec<_> = (0..2000).map(|one| substrate(one, one * 7 + 1, "1")).collect();
    let mut relationships: Vec<_> =
        (0..6000).map(|one| relationship(one, one % 2000, (one * 7 + one / 2000) % 2000)).collect();
    check(&substrates, &relationships, "");
    relationships.push(RelationshipRecord { sequence: 9000, ..relationships[4321].clone() });
    check(&substrates, &relationships, "is there twice");
    let mut substrates = substrates;
    substrates.push(substrate(2500, 700 * 7 + 1, "1"));
    check(&substrates, &[], "is there twice");
}
