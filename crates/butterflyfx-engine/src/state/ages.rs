//! The creation number and the creation time of each slot, also while slots are renumbered.
//!
//! A creation number only grows and is never used twice, so a cursor that holds one stays good over
//! deletes and over renumbering. Slots are renumbered from the first to the last, in the order of
//! creation, a few at a time: those that moved are below `to`, those that will are from `from` on,
//! and what lies between is dead.

use crate::state::numbers::Numbers;

/// Slot to creation number and time, and back. Creation numbers cost nothing until slots are
/// renumbered for the first time: up to then the number is the slot.
#[derive(Debug, Default)]
pub(crate) struct Ages {
    /// By slot.
    times: Numbers,
    /// Creation numbers of the slots that lived through the last renumbering, ascending.
    kept: Numbers,
    /// The number of the first slot after those; the rest follow one by one.
    base: u64,
    pass: Option<Pass>,
}

/// A renumbering under way.
#[derive(Debug, Default)]
struct Pass {
    /// The next number to give.
    to: u32,
    /// The next slot to look at.
    from: u32,
    /// Of the slots that moved.
    times: Numbers,
    kept: Numbers,
}

impl Ages {
    /// Slots given out, dead ones included.
    #[inline]
    pub(crate) fn slots(&self) -> u32 {
        self.times.len() as u32
    }

    pub(crate) fn push(&mut self, created_at: i64) {
        self.times.push(created_at);
    }

    /// When a slot was created. Never earlier for a later slot, if nothing was created out of order:
    /// the dead ones between those that moved and those that will count as old as the next that will.
    #[inline]
    pub(crate) fn created_at(&self, slot: u32) -> i64 {
        match &self.pass {
            None => self.times.get(slot),
            Some(pass) if slot < pass.to => pass.times.get(slot),
            Some(pass) => self.times.get(slot.max(pass.from.min(self.slots() - 1))),
        }
    }

    /// The creation number of a slot; ascending over all slots, as creation times are.
    #[inline]
    pub(crate) fn sequence(&self, slot: u32) -> u64 {
        match &self.pass {
            None => self.old_sequence(slot),
            Some(pass) if slot < pass.to => pass.kept.get(slot) as u64,
            Some(pass) if slot < pass.from => self.old_sequence(pass.from).saturating_sub(1),
            Some(_) => self.old_sequence(slot),
        }
    }

    #[inline]
    fn old_sequence(&self, slot: u32) -> u64 {
        let kept = self.kept.len() as u32;
        if slot < kept { self.kept.get(slot) as u64 } else { self.base + u64::from(slot - kept) }
    }

    /// The number that the next slot will have.
    pub(crate) fn next_sequence(&self) -> u64 {
        self.old_sequence(self.slots())
    }

    /// The slot of something alive.
    #[inline]
    pub(crate) fn slot_of(&self, sequence: u64) -> u32 {
        if self.pass.is_none() && self.kept.len() == 0 {
            // They follow one by one: no need to search.
            return u32::try_from(sequence.saturating_sub(self.base)).unwrap_or(u32::MAX);
        }
        match sequence.checked_sub(1) {
            Some(before) => self.first_after(before),
            // Only the first slot can have it.
            None => 0,
        }
    }

    /// The next slot will have this number, where it is not less than [`Ages::next_sequence`]. Slots
    /// are not being renumbered.
    #[inline]
    pub(crate) fn go_on_from(&mut self, sequence: u64) {
        if sequence <= self.next_sequence() {
            return;
        }
        let first = self.kept.len() as u32;
        for slot in first..self.slots() {
            self.kept.push((self.base + u64::from(slot - first)) as i64);
        }
        self.base = sequence;
    }

    /// The first slot, there or yet to come, whose number is greater.
    pub(crate) fn first_after(&self, sequence: u64) -> u32 {
        let sequence = i64::try_from(sequence).unwrap_or(i64::MAX);
        if let Some(pass) = &self.pass {
            let moved = pass.kept.count_up_to(sequence);
            return if moved < pass.to { moved } else { self.old_first_after(sequence).max(pass.from) };
        }
        self.old_first_after(sequence)
    }

    fn old_first_after(&self, sequence: i64) -> u32 {
        let kept = self.kept.count_up_to(sequence);
        let sequence = sequence as u64;
        if (kept as usize) < self.kept.len() || sequence < self.base {
            return kept;
        }
        let slot = (sequence - self.base).saturating_add(1).saturating_add(self.kept.len() as u64);
        u32::try_from(slot).unwrap_or(u32::MAX)
    }

    /// The next number to give and the next slot to look at, while slots are renumbered.
    pub(crate) fn pass(&self) -> Option<(u32, u32)> {
        self.pass.as_ref().map(|pass| (pass.to, pass.from))
    }

    /// Begins to renumber.
    pub(crate) fn begin_pass(&mut self) {
        self.pass = Some(Pass::default());
    }

    /// The slot that was to be looked at is dead.
    pub(crate) fn skip(&mut self) {
        if let Some(pass) = &mut self.pass {
            pass.from += 1;
        }
    }

    /// The slot that was to be looked at has got the number that was to be given.
    pub(crate) fn advance(&mut self) {
        let Some((_, from)) = self.pass() else { return };
        let (time, sequence) = (self.times.get(from), self.old_sequence(from));
        if let Some(pass) = &mut self.pass {
            pass.times.push(time);
            pass.kept.push(sequence as i64);
            pass.to += 1;
            pass.from += 1;
        }
    }

    /// Ends a renumbering that has come to the last slot.
    pub(crate) fn end_pass(&mut self) {
        if let Some(pass) = self.pass.take() {
            debug_assert_eq!(pass.from, self.slots());
            self.base = self.old_sequence(self.slots());
            self.times = pass.times;
            self.kept = pass.kept;
        }
    }

    pub(crate) fn fit(&mut self) {
        self.times.fit();
        self.kept.fit();
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        let pass =
            self.pass.as_ref().map_or(0, |pass| pass.times.allocated_bytes() + pass.kept.allocated_bytes());
        self.times.allocated_bytes() + self.kept.allocated_bytes() + pass
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Against a plain list of (number, time) by slot, where renumbering takes the dead ones out.
        #[test]
        fn numbers_survive_renumbering(
            steps in prop::collection::vec((0u8..10, 1usize..60, any::<u64>()), 1..60),
            asked in prop::collection::vec(0u64..900, 20),
        ) {
            let mut ages = Ages::default();
            let mut slots: Vec<Option<(u64, i64)>> = Vec::new();
            let mut next = 0;
            for (kind, count, pick) in steps {
                for round in 0..count {
                    match kind {
                        0..4 => {
                            ages.push(next / 3);
                            slots.push(Some((next as u64, next / 3)));
                            next += 1;
                        }
                        4..7 => {
                            let at = pick.wrapping_mul(round as u64 + 1) as usize % slots.len().max(1);
                            if let Some(slot) = slots.get_mut(at) { *slot = None; }
                        }
                        _ => match ages.pass() {
                            None => { if round == 0 { ages.begin_pass(); } }
                            Some((to, from)) if (from as usize) < slots.len() => {
                                let one = slots[from as usize].take();
                                if one.is_some() {
                                    slots[to as usize] = one;
                                    ages.advance();
                                } else {
                                    ages.skip();
                                }
                            }
                            Some((to, _)) => {
                                ages.end_pass();
                                slots.truncate(to as usize);
                            }
                        },
                    }
                }
                prop_assert_eq!(ages.slots() as usize, slots.len());
                let times = (0..ages.slots()).map(|slot| ages.created_at(slot));
                prop_assert!(times.is_sorted());
                prop_assert!((1..ages.slots()).all(|slot| ages.sequence(slot - 1) <= ages.sequence(slot)));
                for (slot, one) in slots.iter().enumerate() {
                    if let Some((number, time)) = *one {
                        prop_assert_eq!((ages.sequence(slot as u32), ages.created_at(slot as u32)), (number, time));
                    }
                }
                for &sequence in &asked {
                    let first = ages.first_after(sequence) as usize;
                    let after = slots.iter().take(first).flatten().all(|&(number, _)| number <= sequence);
                    let from = slots.iter().skip(first).flatten().all(|&(number, _)| number > sequence);
                    prop_assert!(after && from, "{} {} {:?}", sequence, first, slots);
                }
            }
            prop_assert_eq!(ages.first_after(u64::MAX), u32::MAX);
            let mut restored = Ages::default();
            let alive: Vec<(u64, i64)> = slots.into_iter().flatten().collect();
            for &(number, time) in &alive {
                restored.go_on_from(number);
                restored.push(time);
            }
            restored.go_on_from(next as u64);
            prop_assert_eq!(restored.next_sequence(), ages.next_sequence());
            for (slot, &(number, time)) in alive.iter().enumerate() {
                let slot = slot as u32;
                prop_assert_eq!((restored.sequence(slot), restored.created_at(slot)), (number, time));
                prop_assert_eq!(restored.slot_of(number), slot);
            }
        }
    }
}
