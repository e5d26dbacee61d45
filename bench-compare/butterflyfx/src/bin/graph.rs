//! `compare-graph SUBSTRATES RELATIONSHIPS QUERIES DIRECTORY`: writes the standard graph's files.
//!
//! The same numbers as `butterflyfx bench` draws: SplitMix64, seed 42 for relationships and 7 for
//! queries. Identities are the ones that the server gives, hashes of the content.

use bench_compare_shared::code;
use butterflyfx_engine::identity::{RelationshipId, SubstrateId};
use butterflyfx_engine::model::RelationshipType;
use butterflyfx_formula::formula::ExpressionType;
use std::collections::HashSet;
use std::error::Error;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

/// Random numbers from a fixed seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((u128::from(mixed ^ mixed >> 31) * u128::from(bound)) >> 64) as u64
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [substrates, relationships, queries, directory] = arguments.as_slice() else {
        return Err("compare-graph SUBSTRATES RELATIONSHIPS QUERIES DIRECTORY".into());
    };
    let (n, m, queries): (u64, u64, u64) = (substrates.parse()?, relationships.parse()?, queries.parse()?);
    if n == 0 || n > u64::from(u32::MAX) || m > n.saturating_mul(n) / 2 {
        return Err(
            "at least one substrate, and at most half as many relationships as there are pairs".into()
        );
    }
    let directory = PathBuf::from(directory);
    let file = |name: &str| File::create(directory.join(name)).map(BufWriter::new);

    let ids: Vec<SubstrateId> =
        (0..n).map(|i| SubstrateId::of_formula(ExpressionType::Lambda, &code(i))).collect();
    let mut out = file("substrates")?;
    ids.iter().try_for_each(|id| out.write_all(&id.0.to_le_bytes()))?;
    out.flush()?;

    let mut out = file("relationships")?;
    let mut random = Random(42);
    let mut taken = HashSet::new();
    while (taken.len() as u64) < m {
        let (source, target) = (random.below(n), random.below(n));
        if taken.insert((source as u32, target as u32)) {
            let ends = (ids[source as usize], ids[target as usize]);
            let id = RelationshipId::of(RelationshipType::Dependency, ends.0, ends.1);
            out.write_all(&(source as u32).to_le_bytes())?;
            out.write_all(&(target as u32).to_le_bytes())?;
            out.write_all(&id.0.to_le_bytes())?;
        }
    }
    out.flush()?;

    let mut out = file("queries")?;
    let mut random = Random(7);
    for _ in 0..queries {
        out.write_all(&(random.below(n) as u32).to_le_bytes())?;
    }
    out.flush()?;
    Ok(())
}
