//! What few slots have, by slot: a small table for each run of slots, so that growing, shrinking and renumbering never
//! touch more than one of them at a time, where one large table would stop everybody while it is made anew.

use foldhash::fast::RandomState;
use hashbrown::HashMap;

/// Slots of a run; few in tests, so that tests have many.
const RUN_BITS: u32 = if cfg!(test) { 8 } else { 16 };

/// Smaller tables are not worth shrinking.
const SMALL: usize = if cfg!(test) { 4 } else { 64 };

/// Things by slot.
#[derive(Debug)]
pub(crate) struct Sparse<T> {
    runs: Vec<HashMap<u16, T, RandomState>>,
    length: usize,
}

impl<T> Default for Sparse<T> {
    fn default() -> Self {
        Sparse { runs: Vec::new(), length: 0 }
    }
}

/// The run of a slot, and the slot in it.
#[inline]
fn place(slot: u32) -> (usize, u16) {
    ((slot >> RUN_BITS) as usize, (slot & ((1 << RUN_BITS) - 1)) as u16)
}

impl<T> Sparse<T> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.length == 0
    }

    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Option<&T> {
        let (run, at) = place(slot);
        self.runs.get(run)?.get(&at)
    }

    pub(crate) fn get_mut(&mut self, slot: u32) -> Option<&mut T> {
        let (run, at) = place(slot);
        self.runs.get_mut(run)?.get_mut(&at)
    }

    /// Sets what a slot has.
    pub(crate) fn insert(&mut self, slot: u32, thing: T) {
        let (run, at) = place(slot);
        if self.runs.len() <= run {
            self.runs.resize_with(run + 1, HashMap::default);
        }
        self.length += usize::from(self.runs[run].insert(at, thing).is_none());
    }

    /// Takes what a slot has.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<T> {
        let (number, at) = place(slot);
        let run = self.runs.get_mut(number)?;
        let thing = run.remove(&at)?;
        self.length -= 1;
        if run.len().max(SMALL) * 8 < run.capacity() || run.is_empty() {
            run.shrink_to(run.len() * 2);
        }
        if number + 1 == self.runs.len() {
            let used = self.runs.iter().rposition(|run| !run.is_empty()).map_or(0, |last| last + 1);
            self.runs.truncate(used);
            if used * 4 < self.runs.capacity() {
                self.runs.shrink_to(used * 2);
            }
        }
        Some(thing)
    }

    pub(crate) fn values(&self) -> impl Iterator<Item = &T> {
        self.runs.iter().flat_map(HashMap::values)
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        let runs: usize = self.runs.iter().map(HashMap::allocation_size).sum();
        (runs + self.runs.capacity() * size_of::<HashMap<u16, T, RandomState>>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn equals_a_map(steps in prop::collection::vec((0u32..1200, any::<Option<u8>>()), 0..600)) {
            let mut sparse = Sparse::default();
            let mut model = BTreeMap::new();
            for (slot, thing) in steps {
                match thing {
                    Some(thing) => {
                        sparse.insert(slot, thing);
                        model.insert(slot, thing);
                    }
                    None => prop_assert_eq!(sparse.remove(slot), model.remove(&slot)),
                }
                prop_assert_eq!(sparse.is_empty(), model.is_empty());
            }
            for slot in 0..1210 {
                prop_assert_eq!(sparse.get(slot), model.get(&slot));
                prop_assert_eq!(sparse.get_mut(slot).copied(), model.get(&slot).copied());
            }
            let mut values: Vec<u8> = sparse.values().copied().collect();
            let mut expected: Vec<u8> = model.into_values().collect();
            values.sort_unstable();
            expected.sort_unstable();
            prop_assert_eq!(values, expected);
        }
    }

    #[test]
    fn memory_comes_back() {
        let mut sparse = Sparse::default();
        (0..10_000).for_each(|slot| sparse.insert(slot, slot));
        let full = sparse.allocated_bytes();
        (0..10_000).filter(|slot| slot % 10 > 0).for_each(|slot| _ = sparse.remove(slot));
        assert!(sparse.allocated_bytes() < full / 2, "{} of {full}", sparse.allocated_bytes());
        (0..10_000).for_each(|slot| _ = sparse.remove(slot));
        assert!(sparse.is_empty() && sparse.allocated_bytes() == 0, "{}", sparse.allocated_bytes());
    }
}
