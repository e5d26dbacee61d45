//! The engine through its public face: against a plain model, and table by table.

mod evaluation;
mod hands;
mod model;
mod random;
mod restore;
mod rules;
mod scale;
mod together;

use crate::engine::Engine;
use crate::identity::SubstrateId;
use crate::model::*;
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::Limits;
use butterflyfx_jit::tier::Mode;

/// The clock is for slow formulas, not for a slow machine that tests.
fn engine() -> Engine {
    engine_with(Mode::WhenHot)
}

fn engine_with(mode: Mode) -> Engine {
    Engine::with_jit(Limits { wall_clock_ms: 60_000, ..Limits::default() }, mode)
}

fn document(text: &str) -> Document {
    json::read_document(text.as_bytes(), 64).expect("test data is JSON")
}

fn new_substrate(identity: Option<u64>, kind: ExpressionType, code: &str, metadata: &str) -> NewSubstrate {
    NewSubstrate {
        identity: identity.map(SubstrateId),
        expression_type: kind,
        expression_code: code.to_owned(),
        metadata: document(metadata),
    }
}

/// A constant under a chosen identity.
fn add(engine: &Engine, id: u64, metadata: &str) -> SubstrateId {
    let new = new_substrate(Some(id), ExpressionType::Constant, "1", metadata);
    engine.create_substrate(Timestamp(id as i64), new, OnConflict::Refuse).expect("is created").item.id
}

fn new_relationship(rel_type: RelationshipType, source: u64, target: u64) -> NewRelationship {
    NewRelationship {
        rel_type,
        source: SubstrateId(source),
        target: SubstrateId(target),
        bidirectional: false,
        constraints: Document::Map(Vec::new()),
        lineage: Document::Null,
    }
}

/// All pages of a list, one after the other.
fn all_pages<T>(
    limit: usize,
    mut page: impl FnMut(&PageRequest) -> crate::engine::Result<Page<T>>,
) -> crate::engine::Result<Vec<T>> {
    let mut request = PageRequest { limit, after: None };
    let mut all = Vec::new();
    for _ in 0..100_000 {
        let Page { items, next } = page(&request)?;
        assert!(items.len() <= limit);
        all.extend(items);
        match next {
            Some(next) => request.after = Some(next),
            None => return Ok(all),
        }
    }
    panic!("the list has no end");
}
