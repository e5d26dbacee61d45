//! The relationships at each substrate, outgoing or incoming: lists of relationship slots,
//! oldest first, packed into one pool.
//!
//! A list of up to 1,024 lies in a block of its size class; the blocks of a class that fell free
//! are used again. A longer list (a hub) is a vector of its own. Removing from a short list moves
//! what follows; removing from a long one only counts, and when half of it is dead it is packed:
//! so emptying a hub of a million costs a million steps, not a million times a million. Slots
//! ascend in every list, so an entry is found by bisection.

const WORDS_BITS: u32 = 16;
/// Words in a segment of the pool; blocks do not cross segments.
const WORDS: usize = 1 << WORDS_BITS;

/// Capacities of blocks: steps of about 1.4, a fifth of the words unused on average.
const CAPACITIES: [u32; 20] =
    [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];

/// Longer lists are hubs. (Some bounds are small in tests, so that tests meet both sides.)
const PACKED_MAX: u32 = if cfg!(test) { 24 } else { 1024 };
/// Hubs that shrink to this move back into the pool.
const PACKED_AGAIN: u32 = PACKED_MAX / 2;
/// Marks a hub in [`List::length`].
const HUB: u32 = 1 << 31;

/// A list: where its block starts and how many entries it holds, or which hub it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct List {
    start: u32,
    length: u32,
}

#[derive(Debug, Default)]
struct Hub {
    /// Ascending; some may be dead.
    entries: Vec<u32>,
    alive: u32,
}

/// The lists of one direction or both.
#[derive(Debug, Default)]
pub(crate) struct Adjacency {
    segments: Vec<Vec<u32>>,
    /// Start of free blocks, by class.
    vacant: [Vec<u32>; CAPACITIES.len()],
    hubs: Vec<Hub>,
    vacant_hubs: Vec<u32>,
}

impl Adjacency {
    /// The entries, oldest first. Those of a hub may contain dead relationships.
    #[inline]
    pub(crate) fn entries(&self, list: List) -> &[u32] {
        if list.length == 0 {
            return &[];
        }
        if list.length & HUB != 0 {
            return &self.hubs[list.start as usize].entries;
        }
        let at = list.start as usize & (WORDS - 1);
        &self.segments[(list.start >> WORDS_BITS) as usize][at..at + list.length as usize]
    }

    /// How many relationships are alive in it.
    #[inline]
    pub(crate) fn count(&self, list: List) -> u32 {
        if list.length & HUB == 0 { list.length } else { self.hubs[list.start as usize].alive }
    }

    /// Adds the newest relationship.
    pub(crate) fn push(&mut self, list: &mut List, relationship: u32) {
        if list.length & HUB != 0 {
            let hub = &mut self.hubs[list.start as usize];
            hub.entries.push(relationship);
            hub.alive += 1;
            return;
        }
        let class = class_of(list.length);
        if list.length < PACKED_MAX && CAPACITIES[class] > list.length && list.length > 0 {
            let word = self.word(list.start + list.length);
            *word = relationship;
            list.length += 1;
            return;
        }
        let mut entries: smallvec::SmallVec<[u32; 32]> = smallvec::SmallVec::from_slice(self.entries(*list));
        entries.push(relationship);
        self.store(list, &entries);
    }

    /// Takes a relationship out. `is_alive` is asked about other entries of a hub; the one that
    /// goes is dead already.
    pub(crate) fn remove(&mut self, list: &mut List, relationship: u32, is_alive: impl Fn(u32) -> bool) {
        if list.length & HUB != 0 {
            let hub = &mut self.hubs[list.start as usize];
            hub.alive -= 1;
            if hub.alive as usize * 2 < hub.entries.len() {
                hub.entries.retain(|&one| is_alive(one));
                debug_assert_eq!(hub.entries.len(), hub.alive as usize);
                if hub.entries.len() <= PACKED_AGAIN as usize {
                    let entries = std::mem::take(&mut hub.entries);
                    self.store(list, &entries);
                } else {
                    hub.entries.shrink_to(hub.entries.len() * 2);
                }
            }
            return;
        }
        let Ok(at) = self.entries(*list).binary_search(&relationship) else {
            debug_assert!(false, "relationship {relationship} is not in the list");
            return;
        };
        if list.length > 1 && class_of(list.length - 1) == class_of(list.length) {
            let start = list.start as usize & (WORDS - 1);
            let end = start + list.length as usize;
            self.segments[(list.start >> WORDS_BITS) as usize].copy_within(start + at + 1..end, start + at);
            list.length -= 1;
        } else {
            let mut entries: smallvec::SmallVec<[u32; 32]> =
                smallvec::SmallVec::from_slice(self.entries(*list));
            entries.remove(at);
            self.store(list, &entries);
        }
    }

    /// Forgets the dead relationships at the end of a hub.
    pub(crate) fn trim(&mut self, list: List, is_alive: impl Fn(u32) -> bool) {
        if list.length & HUB != 0 {
            let entries = &mut self.hubs[list.start as usize].entries;
            while entries.last().is_some_and(|&last| !is_alive(last)) {
                entries.pop();
            }
        }
    }

    /// Empties a list.
    pub(crate) fn clear(&mut self, list: &mut List) {
        self.store(list, &[]);
    }

    /// Replaces a list by other entries, ascending and alive.
    pub(crate) fn store(&mut self, list: &mut List, entries: &[u32]) {
        self.release(*list);
        let length = entries.len() as u32;
        *list = if entries.is_empty() {
            List::default()
        } else if length > PACKED_MAX {
            let hub = Hub { entries: entries.to_vec(), alive: length };
            let start = match self.vacant_hubs.pop() {
                Some(at) => {
                    self.hubs[at as usize] = hub;
                    at
                }
                None => {
                    self.hubs.push(hub);
                    self.hubs.len() as u32 - 1
                }
            };
            List { start, length: HUB }
        } else {
            let start = self.block(class_of(length));
            let at = start as usize & (WORDS - 1);
            self.segments[(start >> WORDS_BITS) as usize][at..at + entries.len()].copy_from_slice(entries);
            List { start, length }
        };
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        let words: usize = self.segments.iter().map(Vec::capacity).sum::<usize>()
            + self.vacant.iter().map(Vec::capacity).sum::<usize>()
            + self.hubs.iter().map(|hub| hub.entries.capacity()).sum::<usize>()
            + self.vacant_hubs.capacity();
        (words * size_of::<u32>()
            + self.segments.capacity() * size_of::<Vec<u32>>()
            + self.hubs.capacity() * size_of::<Hub>()) as u64
    }

    fn word(&mut self, at: u32) -> &mut u32 {
        &mut self.segments[(at >> WORDS_BITS) as usize][at as usize & (WORDS - 1)]
    }

    fn release(&mut self, list: List) {
        if list.length & HUB != 0 {
            self.hubs[list.start as usize] = Hub::default();
            self.vacant_hubs.push(list.start);
        } else if list.length > 0 {
            self.vacant[class_of(list.length)].push(list.start);
        }
    }

    /// A block of a class: one that fell free, else the next of the pool.
    fn block(&mut self, class: usize) -> u32 {
        if let Some(start) = self.vacant[class].pop() {
            return start;
        }
        let capacity = CAPACITIES[class] as usize;
        let fits = self.segments.last().is_some_and(|last| last.len() + capacity <= WORDS);
        if !fits {
            // The first segment grows by doubling, so that a small engine is small.
            let first = if self.segments.is_empty() { 0 } else { WORDS };
            self.segments.push(Vec::with_capacity(first));
        }
        let segment = self.segments.len() - 1;
        let last = &mut self.segments[segment];
        let at = last.len();
        last.resize(at + capacity, 0);
        ((segment << WORDS_BITS) + at) as u32
    }
}

/// The smallest class with room for `length`.
#[inline]
fn class_of(length: u32) -> usize {
    CAPACITIES.partition_point(|&capacity| capacity < length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::cell::RefCell;
    use std::collections::BTreeSet;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
        /// Two lists side by side against sets, over the border between blocks and hubs.
        #[test]
        fn lists_equal_a_model(steps in prop::collection::vec((0usize..2, 0u32..100, 1u32..400, any::<u64>()), 1..60)) {
            let mut adjacency = Adjacency::default();
            let mut lists = [List::default(); 2];
            let model = RefCell::new([BTreeSet::new(), BTreeSet::new()]);
            let mut next = 0;
            for (which, kind, count, pick) in steps {
                for round in 0..count {
                    if kind < 60 {
                        adjacency.push(&mut lists[which], next);
                        model.borrow_mut()[which].insert(next);
                        next += 1;
                    } else if kind < 97 {
                        let at = (pick.wrapping_add(u64::from(round)).wrapping_mul(0x9E37_79B9)) as usize;
                        let length = model.borrow()[which].len();
                        if length == 0 { break; }
                        let one = model.borrow()[which].iter().nth(at % length).copied();
                        let Some(one) = one else { break };
                        model.borrow_mut()[which].remove(&one);
                        adjacency.remove(&mut lists[which], one, |one| model.borrow()[which].contains(&one));
                    } else {
                        adjacency.clear(&mut lists[which]);
                        model.borrow_mut()[which].clear();
                    }
                }
                for (list, model) in lists.iter().zip(&*model.borrow()) {
                    let alive: Vec<u32> =
                        adjacency.entries(*list).iter().copied().filter(|one| model.contains(one)).collect();
                    prop_assert_eq!(&alive, &model.iter().copied().collect::<Vec<_>>());
                    prop_assert_eq!(adjacency.count(*list) as usize, model.len());
                    if list.length & HUB == 0 {
                        prop_assert_eq!(adjacency.entries(*list).len(), model.len());
                    }
                }
            }
        }
    }

    #[test]
    fn blocks_are_used_again() {
        let mut adjacency = Adjacency::default();
        let mut size = 0;
        for round in 0..50 {
            let mut lists = vec![List::default(); 100];
            for one in 0..1000 {
                adjacency.push(&mut lists[one as usize % 100], one);
            }
            lists.iter_mut().for_each(|list| adjacency.clear(list));
            if round == 1 {
                size = adjacency.allocated_bytes();
            }
        }
        assert_eq!(adjacency.allocated_bytes(), size);
    }
}
