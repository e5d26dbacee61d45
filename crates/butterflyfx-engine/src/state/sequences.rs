//! The creation number of each slot. It only grows and is never used twice, so a cursor that
//! holds one stays good over deletes and over compaction, which renumbers slots.

/// Slot to creation number and back. Costs nothing until the first compaction: up to then the
/// number is the slot.
#[derive(Debug, Default)]
pub(crate) struct Sequences {
    /// Numbers of the slots that lived through the last compaction, ascending.
    kept: Vec<u64>,
    /// The number of the first slot after those; the rest follow one by one.
    base: u64,
}

impl Sequences {
    #[inline]
    pub(crate) fn of(&self, slot: u32) -> u64 {
        match self.kept.get(slot as usize) {
            Some(&sequence) => sequence,
            None => self.base + (slot as u64 - self.kept.len() as u64),
        }
    }

    /// The first slot, there or yet to come, whose number is greater.
    pub(crate) fn first_after(&self, sequence: u64) -> u32 {
        let kept = self.kept.partition_point(|&one| one <= sequence);
        if kept < self.kept.len() || sequence < self.base {
            return kept as u32;
        }
        let slot = (sequence - self.base).saturating_add(1).saturating_add(self.kept.len() as u64);
        u32::try_from(slot).unwrap_or(u32::MAX)
    }

    /// Follows a compaction of `total` slots that keeps what `keep` marks.
    pub(crate) fn compact(&mut self, total: u32, keep: impl Fn(u32) -> bool) {
        let kept: Vec<u64> = (0..total).filter(|&slot| keep(slot)).map(|slot| self.of(slot)).collect();
        self.base = self.of(total);
        self.kept = kept;
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        (self.kept.capacity() * size_of::<u64>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_compaction() {
        let mut sequences = Sequences::default();
        assert_eq!(
            (sequences.of(5), sequences.first_after(5), sequences.first_after(u64::MAX)),
            (5, 6, u32::MAX)
        );
        // 0..10 with the even ones kept: slots 0..5 are 0 2 4 6 8, the next is 10.
        sequences.compact(10, |slot| slot % 2 == 0);
        assert_eq!((0..7).map(|slot| sequences.of(slot)).collect::<Vec<_>>(), [0, 2, 4, 6, 8, 10, 11]);
        for (sequence, slot) in [(0, 1), (1, 1), (2, 2), (7, 4), (8, 5), (9, 5), (10, 6), (11, 7)] {
            assert_eq!(sequences.first_after(sequence), slot, "after {sequence}");
        }
        sequences.compact(7, |slot| slot == 4 || slot == 6);
        assert_eq!((0..3).map(|slot| sequences.of(slot)).collect::<Vec<_>>(), [8, 11, 12]);
    }
}
