//! The standard graph that all scenarios measure on, the same each time.

use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{NewRelationship, NewSubstrate, RelationshipType};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use std::collections::HashSet;

/// Random numbers from a fixed seed (SplitMix64).
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The numbers of this seed.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn next_number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ mixed >> 31
    }

    /// A number below `bound`; 0 where that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next_number()) * u128::from(bound)) >> 64) as u64
    }
}

/// Substrate `i` of the standard graph.
pub fn substrate(i: u64) -> NewSubstrate {
    let text = |text: String| Document::Text(text.into_boxed_str());
    NewSubstrate {
        identity: None,
        expression_type: ExpressionType::Lambda,
        expression_code: format!("lambda **kw: kw.get('x', 0) * {i} + kw.get('y', 0)"),
        metadata: Document::Map(vec![
            ("name".into(), text(format!("substrate_{i}"))),
            ("description".into(), text(format!("multiplies x by {i}"))),
        ]),
    }
}

/// Distinct relationships between random substrates. Fewer where there are not so many pairs.
pub fn relationships(ids: &[SubstrateId], count: u64) -> Vec<NewRelationship> {
    let mut random = Random::new(42);
    let n = ids.len() as u64;
    let count = count.min(n.saturating_mul(n) / 2);
    let mut taken = HashSet::new();
    let mut relationships = Vec::new();
    while (relationships.len() as u64) < count {
        let (source, target) = (random.below(n), random.below(n));
        if !taken.insert((source, target)) {
            continue;
        }
        relationships.push(dependency(ids[source as usize], ids[target as usize]));
    }
    relationships
}

/// The next relationship of the same list, which may have come before.
pub fn relationship(ids: &[u64], random: &mut Random) -> NewRelationship {
    let n = ids.len() as u64;
    let (source, target) = (random.below(n), random.below(n));
    dependency(SubstrateId(ids[source as usize]), SubstrateId(ids[target as usize]))
}

fn dependency(source: SubstrateId, target: SubstrateId) -> NewRelationship {
    NewRelationship {
        rel_type: RelationshipType::Dependency,
        source,
        target,
        bidirectional: false,
        constraints: Document::Map(Vec::new()),
        lineage: Document::Null,
    }
}
