//! Giving memory back, a little at a time, so that nothing ever waits for it.
//!
//! Deleting leaves dead slots and, in the stores of blocks, holes. Both are mended in small steps:
//! slots are renumbered from the first to the last, in the order of creation, each living one moving
//! down to the lowest free number; then blocks are moved out of slabs that are mostly holes. Deletes
//! pay for steps as they go, once more than a third of the slots is dead; and whoever has time may
//! call for more, which mends all but the last few per cent, holes between records too, and ends with giving back what
//! vectors keep for more.
//!
//! A slot that moves is followed by all that names it: its entry in the table of identities, the ends
//! of its relationships or its entries in two lists, indexes, bindings. Long reads that have let the
//! lock go keep slots, so nothing moves while there are any, until far too much has waited.

use crate::state::State;
use crate::state::adjacency::List;
use crate::state::adjacency::each_list_of;

/// Fewer dead slots are not worth a renumbering.
const DEAD_MIN: u32 = if cfg!(test) { 8 } else { 1024 };

/// Slots that are looked at for each slot that a delete leaves dead: a renumbering that began with a
/// third of them dead has ended before the rest is.
const SLOTS_PER_DELETE: u32 = 8;

/// Work is done when so much is owed, and not more than so much at once: half a millisecond.
const OWED_MIN: u32 = if cfg!(test) { 1 } else { 64 };
const OWED_MAX: u32 = 1024;

/// Slots of work that may be put off for the sake of long reads.
const PUT_OFF_MAX: u64 = if cfg!(test) { 500 } else { 16_000_000 };

/// Bytes of records or documents that are moved in the time of a slot.
const MEND_PER_SLOT: usize = 64;

/// What is being tidied.
#[derive(Debug, Default)]
pub(crate) struct Tidying {
    /// Work that deletes have not paid yet.
    owed: u32,
    /// Work put off since the last step.
    put_off: u64,
    /// Where a walk over blocks goes on, and over which.
    drain: Option<(Drain, u32)>,
    /// Whether renumbering has left numbers that may be packed closer.
    repack: bool,
    /// What has spare room to give back, once all else is done.
    unfit: Option<Part>,
}

/// What is fitted in one step: some dozens of its vectors shrink where they are, or move when they are small.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Substrates,
    Relationships,
    Adjacency,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Drain {
    Adjacency,
    SubstrateIdentities,
    RelationshipIdentities,
}

/// Whether so many dead slots call for renumbering.
fn is_worth_it(slots: u32, alive: u32, is_idle: bool) -> bool {
    let dead = slots - alive;
    // In so many, one may be dead.
    let share = if is_idle { 32 } else { 3 };
    dead >= DEAD_MIN && dead > slots / share
}

impl State {
    /// Counts a slot that a delete has left dead.
    pub(super) fn owe(&mut self) {
        self.tidying.owed = self.tidying.owed.saturating_add(SLOTS_PER_DELETE);
    }

    /// Does the work that the last deletes owe.
    pub(crate) fn tidy_owed(&mut self) {
        // A step of some size costs less than many tiny ones.
        if self.tidying.owed >= OWED_MIN {
            let work = std::mem::take(&mut self.tidying.owed).min(OWED_MAX);
            self.tidy(work, false);
        }
    }

    /// Whether there is something to tidy when there is time.
    pub(crate) fn wants_tidying(&self) -> bool {
        self.next(true).is_some()
    }

    /// Does a piece of work, in slots looked at; whether there is more.
    pub(crate) fn tidy(&mut self, work: u32, is_idle: bool) -> bool {
        if *self.suspended_reads.get_mut() > 0 && self.tidying.put_off < PUT_OFF_MAX {
            self.tidying.put_off += u64::from(work);
            return self.next(is_idle).is_some();
        }
        self.tidying.put_off = 0;
        let next = self.next(is_idle);
        if !matches!(next, None | Some(Next::Fit)) {
            self.tidying.unfit = Some(Part::Substrates);
        }
        match next {
            Some(Next::Relationships) => self.renumber_relationships(work),
            Some(Next::Substrates) => self.renumber_substrates(work),
            Some(Next::Drain(drain, from)) => self.drain(drain, from, work),
            Some(Next::MendRecords) => self.substrates.mend(work as usize * MEND_PER_SLOT),
            Some(Next::MendDocuments) => self.relationships.mend(work as usize * MEND_PER_SLOT),
            Some(Next::Fit) => self.fit(),
            None => return false,
        }
        self.next(is_idle).is_some()
    }

    fn next(&self, is_idle: bool) -> Option<Next> {
        let (substrates, relationships) = (&self.substrates, &self.relationships);
        if relationships.ages.pass().is_some() {
            return Some(Next::Relationships);
        }
        if substrates.ages.pass().is_some() {
            return Some(Next::Substrates);
        }
        if let Some((drain, from)) = self.tidying.drain {
            return Some(Next::Drain(drain, from));
        }
        if is_worth_it(relationships.slots(), relationships.alive(), is_idle) {
            return Some(Next::Relationships);
        }
        if is_worth_it(substrates.slots(), substrates.alive(), is_idle) {
            return Some(Next::Substrates);
        }
        if self.tidying.repack || self.adjacency.wants_draining() {
            return Some(Next::Drain(Drain::Adjacency, 0));
        }
        if relationships.wants_draining() {
            return Some(Next::Drain(Drain::RelationshipIdentities, 0));
        }
        if substrates.wants_draining() {
            return Some(Next::Drain(Drain::SubstrateIdentities, 0));
        }
        // Deletes mend the larger holes as they go.
        if is_idle && substrates.wants_mending() {
            return Some(Next::MendRecords);
        }
        if is_idle && relationships.wants_mending() {
            return Some(Next::MendDocuments);
        }
        if is_idle && self.tidying.unfit.is_some() {
            return Some(Next::Fit);
        }
        None
    }

    fn renumber_relationships(&mut self, work: u32) {
        let mut left = work;
        if self.relationships.ages.pass().is_none() {
            self.relationships.ages.begin_pass();
        }
        while let Some((to, from)) = self.relationships.ages.pass() {
            if from == self.relationships.slots() {
                self.relationships.ages.end_pass();
                self.relationships.truncate(to);
                self.tidying.repack = true;
                self.epoch += 1;
                return;
            }
            if left == 0 {
                return;
            }
            left -= 1;
            if !self.relationships.is_alive(from) {
                self.relationships.ages.skip();
                continue;
            }
            if to < from {
                let edge = self.relationships.edge(from);
                each_list_of(edge, |list| self.adjacency.renumber(list, from, to));
                self.relationships.renumber(from, to, |slot| self.substrates.id(slot));
                self.epoch += 1;
            }
            self.relationships.ages.advance();
        }
    }

    fn renumber_substrates(&mut self, work: u32) {
        let mut left = i64::from(work);
        if self.substrates.ages.pass().is_none() {
            self.substrates.ages.begin_pass();
        }
        while let Some((to, from)) = self.substrates.ages.pass() {
            if from == self.substrates.slots() {
                self.substrates.ages.end_pass();
                self.substrates.truncate(to);
                self.adjacency.truncate(to);
                for index in self.indexes.values_mut().filter(|index| !index.ready) {
                    index.filled = index.filled.min(to);
                }
                self.epoch += 1;
                return;
            }
            if left <= 0 {
                return;
            }
            left -= 1;
            if !self.substrates.is_alive(from) {
                self.substrates.ages.skip();
                continue;
            }
            if to == from {
                self.substrates.ages.advance();
                continue;
            }
            left -= i64::from(self.move_substrate(from, to));
            self.substrates.ages.advance();
            // An index that is being filled takes those that have moved below its mark, too.
            self.index(to);
            self.epoch += 1;
        }
    }

    /// Gives a substrate the lower number `to`, out of the indexes; answers the number of its
    /// relationships.
    fn move_substrate(&mut self, from: u32, to: u32) -> u32 {
        self.unindex(from);
        let mut moved = 0;
        for incoming in [false, true] {
            let list = List::of(from, incoming);
            let relationships = &mut self.relationships;
            self.adjacency.each(list, |one| {
                relationships.renumber_end(one, from, to);
                moved += 1;
            });
            self.adjacency.relocate(list, List::of(to, incoming));
        }
        if self.substrates.is_bound(from) {
            self.relationships.renumber_bindings(from, to);
        }
        self.substrates.renumber(from, to);
        moved
    }

    /// Gives back the room that is kept for more in one part. Mostly it is resident then, since the allocator had it
    /// from something that was freed.
    fn fit(&mut self) {
        self.tidying.unfit = match self.tidying.unfit {
            Some(Part::Substrates) => {
                self.substrates.fit();
                Some(Part::Relationships)
            }
            Some(Part::Relationships) => {
                self.relationships.fit();
                Some(Part::Adjacency)
            }
            Some(Part::Adjacency) => {
                self.adjacency.fit();
                None
            }
            None => None,
        };
    }

    fn drain(&mut self, drain: Drain, from: u32, work: u32) {
        if drain == Drain::Adjacency {
            self.tidying.repack = false;
        }
        let next = match drain {
            Drain::Adjacency => self.adjacency.drain(from, work),
            Drain::SubstrateIdentities => self.substrates.identities_mut().drain(from, work),
            Drain::RelationshipIdentities => self.relationships.identities_mut().drain(from, work),
        };
        self.tidying.drain = next.map(|from| (drain, from));
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug)]
enum Next {
    Relationships,
    Substrates,
    Drain(Drain, u32),
    MendRecords,
    MendDocuments,
    Fit,
}
