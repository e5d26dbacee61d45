//! Counts and memory, for operators.

use crate::engine::Engine;
use crate::model::Stats;
use crate::read::read;

/// Substrates looked at in one piece.
const STEP: u32 = 4096;

impl Engine {
    pub(crate) fn count_all(&self) -> Stats {
        let counted = read(&self.state, |state| {
            let mut stats = Stats {
                substrates: u64::from(state.substrates.alive()),
                relationships: u64::from(state.relationships.alive()),
                relationships_by_type: state.relationships.by_type(),
                substrates_by_type: state.substrates.by_type(),
                templates: state.substrates.templates(),
                indexes: state.indexes.len() as u64,
                ..Stats::default()
            };
            stats.memory = state.memory();
            let mut slot = 0;
            while slot < state.substrates.slots() {
                let end = slot.saturating_add(STEP).min(state.substrates.slots());
                for slot in (slot..end).filter(|&slot| state.substrates.is_alive(slot)) {
                    let (out, into) = (state.degree(slot, false), state.degree(slot, true));
                    count(&mut stats.out_degrees, out);
                    count(&mut stats.in_degrees, into);
                    stats.out_degree_max = stats.out_degree_max.max(u64::from(out));
                    stats.in_degree_max = stats.in_degree_max.max(u64::from(into));
                }
                let work = (end - slot) as usize;
                slot = end;
                state.pay(work)?;
            }
            Ok(stats)
        });
        // Counting refuses nothing.
        counted.unwrap_or_default()
    }
}

/// Counts a degree in its bucket `[2^(n-1), 2^n)`.
fn count(buckets: &mut Vec<u64>, degree: u32) {
    let bucket = (u32::BITS - degree.leading_zeros()) as usize;
    if buckets.len() <= bucket {
        buckets.resize(bucket + 1, 0);
    }
    buckets[bucket] += 1;
}
