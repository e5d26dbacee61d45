//! From a 64-bit identity to its slot: linear hashing (W. Litwin, 1980), which grows and shrinks by
//! one bucket at a time, so that no insertion ever pauses for the whole table.
//!
//! A bucket is a block of some twenty entries of 40 bits: the slot, and above it a tag out of the
//! identity's hash, so that identities, which for relationships are hashed again from their ends,
//! are compared only where they most likely match. The tag's lowest bit is the hash bit that decides
//! the next split; bits are consumed as the table grows, and every fourth doubling they are taken
//! anew from the identities.

use crate::state::blocks::{Blocks, NONE};
use crate::state::column::Column;
use crate::state::in_runs;
use foldhash::fast::RandomState;
use smallvec::SmallVec;
use std::hash::BuildHasher;
use std::hint::black_box;
use std::ops::Range;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Entries of a bucket on average; small in tests, so that tests split often.
const BUCKET: u64 = if cfg!(test) { 4 } else { 20 };

/// Doublings between two times that tags are taken anew.
const TAGGED_LEVELS: u32 = 4;

/// Buckets that are made together: as many as have their entries in the second cache. A power of two of at most
/// 12 bits.
const PART: usize = if cfg!(test) { 4 } else { 1 << 12 };

/// Ordered parts that may wait for their buckets.
const PARTS_WAITING_MAX: usize = 4;

/// Slots whose identities are asked for together.
const RUN: u32 = if cfg!(test) { 3 } else { 128 };

/// What else is kept of a hash while entries are sorted.
const SORTED_HASH: u64 = 0xFFF << 52;

/// Entries stand in groups of four: one word with the highest eight bits of each, then their low words.
const GROUP: usize = 5;

/// All identities of one kind.
#[derive(Debug)]
pub(crate) struct Identities {
    blocks: Blocks,
    /// The block of each bucket.
    directory: Column<u32>,
    count: u64,
    slot_bits: u32,
    /// Random, so that nobody can choose identities that collide; it shows nowhere.
    seed: RandomState,
}

/// An entry apart: slot and tag.
#[derive(Clone, Copy)]
struct Entry(u64);

/// The entries of neighbouring buckets, by bucket.
struct Part {
    /// Where each bucket begins, and where the last ends.
    starts: [u32; PART + 1],
    entries: Vec<Entry>,
}

impl Part {
    /// Orders the sorted entries of some runs.
    ///
    /// # Errors
    /// A slot whose identity another has, too.
    fn order(runs: &[Vec<u64>], vacant: u64, is_same: impl Fn(u32, u32) -> bool) -> Result<Part, u32> {
        let place = |one: u64| (one >> 40) as usize % PART;
        let mut starts = [0_u32; PART + 1];
        for &one in runs.iter().flatten() {
            starts[place(one) + 1] += 1;
        }
        for at in 0..PART {
            starts[at + 1] += starts[at];
        }
        let mut next = starts;
        let mut entries = vec![0; starts[PART] as usize];
        for &one in runs.iter().flatten() {
            let next = &mut next[place(one)];
            entries[*next as usize] = one;
            *next += 1;
        }
        for bucket in starts.windows(2) {
            let here = &entries[bucket[0] as usize..bucket[1] as usize];
            for (count, &one) in here.iter().enumerate() {
                let slot = |entry: u64| (entry & vacant) as u32;
                let alike = here[..count].iter().filter(|&&other| (one ^ other) & !vacant == 0);
                if alike.into_iter().any(|&other| is_same(slot(one), slot(other))) {
                    return Err(slot(one));
                }
            }
        }
        let entries = entries.into_iter().map(|one| Entry(one & ((1 << 40) - 1))).collect();
        Ok(Part { starts, entries })
    }
}

/// Entries that fit so many words.
#[inline]
fn room(words: usize) -> usize {
    words / GROUP * 4 + (words % GROUP).saturating_sub(1)
}

/// Words for so many entries.
#[inline]
fn words_for(entries: usize) -> usize {
    entries / 4 * GROUP + if entries.is_multiple_of(4) { 0 } else { entries % 4 + 1 }
}

#[inline]
fn read(words: &[u32], at: usize) -> Entry {
    let group = at / 4 * GROUP;
    let high = words[group] >> (at % 4 * 8) & 0xFF;
    Entry(u64::from(words[group + 1 + at % 4]) | u64::from(high) << 32)
}

#[inline]
fn write(words: &mut [u32], at: usize, Entry(entry): Entry) {
    let group = at / 4 * GROUP;
    let shift = at % 4 * 8;
    words[group] = words[group] & !(0xFF << shift) | ((entry >> 32) as u32) << shift;
    words[group + 1 + at % 4] = entry as u32;
}

impl Identities {
    /// For slots below `2^slot_bits - 1`.
    pub(crate) fn new(slot_bits: u32) -> Identities {
        let mut directory = Column::default();
        directory.push(NONE);
        Identities { blocks: Blocks::default(), directory, count: 0, slot_bits, seed: RandomState::default() }
    }

    fn vacant(&self) -> u64 {
        (1 << self.slot_bits) - 1
    }

    #[inline]
    fn slot_of(&self, Entry(entry): Entry) -> u32 {
        (entry & self.vacant()) as u32
    }

    /// The number of hash bits that choose a bucket.
    #[inline]
    fn depth(&self, bucket: u32) -> u32 {
        let buckets = self.directory.len() as u32;
        let level = u32::BITS - 1 - buckets.leading_zeros();
        let split = buckets - (1 << level);
        // Those below the split have been split in this round, and those from 2^level on come of it.
        if bucket < split || bucket >= 1 << level { level + 1 } else { level }
    }

    /// The hash bit where tags begin in buckets of a depth: with an offset, so that the round in which
    /// tags are taken anew falls between round numbers of entries.
    #[inline]
    fn base(depth: u32) -> u32 {
        ((depth + 2) / TAGGED_LEVELS * TAGGED_LEVELS).saturating_sub(2)
    }

    #[inline]
    fn bucket(&self, hash: u64) -> u32 {
        let buckets = self.directory.len() as u32;
        let level = u32::BITS - 1 - buckets.leading_zeros();
        let wide = hash as u32 & ((2 << level) - 1);
        if wide < buckets { wide } else { wide & ((1 << level) - 1) }
    }

    #[inline]
    fn tag(&self, hash: u64, depth: u32) -> u64 {
        hash >> Self::base(depth) & ((1 << (40 - self.slot_bits)) - 1)
    }

    /// Bucket, and where in it the entry stands whose slot passes.
    #[inline]
    fn locate(&self, hash: u64, passes: impl Fn(u32) -> bool) -> Option<(u32, usize)> {
        let bucket = self.bucket(hash);
        let block = self.directory.get(bucket);
        if block == NONE {
            return None;
        }
        let words = self.blocks.get(block);
        let wanted = self.tag(hash, self.depth(bucket)) << self.slot_bits;
        let pattern = (wanted >> 32) as u32 * 0x0101_0101;
        let low = wanted as u32 & !(self.vacant() as u32);
        let slot_mask = self.vacant() as u32;
        for (number, group) in words.chunks(GROUP).enumerate() {
            let differs = group[0] ^ pattern;
            // The bytes that are zero, and now and then one above such a byte.
            let mut same = differs.wrapping_sub(0x0101_0101) & !differs & 0x8080_8080;
            while same != 0 {
                let at = same.trailing_zeros() as usize / 8;
                same &= same - 1;
                if let Some(&word) = group.get(1 + at)
                    && word & !slot_mask == low
                    && word & slot_mask != slot_mask
                    && passes(word & slot_mask)
                {
                    return Some((bucket, number * 4 + at));
                }
            }
        }
        None
    }

    #[inline]
    fn hash(&self, identity: u64) -> u64 {
        self.seed.hash_one(identity)
    }

    #[inline]
    pub(crate) fn find(&self, identity: u64, identity_of: impl Fn(u32) -> u64) -> Option<u32> {
        let (bucket, at) = self.locate(self.hash(identity), |slot| identity_of(slot) == identity)?;
        Some(self.slot_of(read(self.blocks.get(self.directory.get(bucket)), at)))
    }

    /// The slot of each identity, in order, as [`Identities::find`] gives it. Memory is read step by
    /// step for all of them, so that the reads of each step run side by side.
    pub(crate) fn find_each(
        &self,
        identities: impl Iterator<Item = u64> + Clone,
        identity_of: impl Fn(u32) -> u64,
        found: &mut Vec<Option<u32>>,
    ) {
        let hashes: SmallVec<[u64; 512]> = identities.clone().map(|identity| self.hash(identity)).collect();
        self.touch_hashes(&hashes);
        let start = found.len();
        // The first that may be it; nearly always it is.
        found.extend(hashes.iter().map(|&hash| {
            let (bucket, at) = self.locate(hash, |_| true)?;
            Some(self.slot_of(read(self.blocks.get(self.directory.get(bucket)), at)))
        }));
        for (slot, identity) in found[start..].iter_mut().zip(identities) {
            if slot.is_some_and(|slot| identity_of(slot) != identity) {
                *slot = self.find(identity, &identity_of);
            }
        }
    }

    /// Loads the buckets of many identities, for what will be done with each soon after.
    pub(crate) fn touch(&self, identities: impl Iterator<Item = u64>) {
        let hashes: SmallVec<[u64; 512]> = identities.map(|identity| self.hash(identity)).collect();
        self.touch_hashes(&hashes);
    }

    fn touch_hashes(&self, hashes: &[u64]) {
        let mut sum = 0;
        for hashes in hashes.chunks(64) {
            let mut blocks = [NONE; 64];
            for (block, &hash) in blocks.iter_mut().zip(hashes) {
                *block = self.directory.get(self.bucket(hash));
            }
            sum = blocks.iter().fold(sum, |sum, &block| sum ^ self.blocks.touch(block));
        }
        black_box(sum);
    }

    /// Fills the empty table with all slots below `slots` at once: entries are sorted by bucket, so that
    /// each bucket is made in one go and at its final size. `identities_of` appends the identity of each slot
    /// of a run.
    ///
    /// # Errors
    /// A slot whose identity another has, too.
    pub(crate) fn build(
        &mut self,
        slots: u32,
        identities_of: impl Fn(Range<u32>, &mut Vec<u64>) + Sync,
    ) -> Result<(), u32> {
        debug_assert_eq!(self.count, 0);
        while (self.directory.len() as u64) * BUCKET < u64::from(slots) {
            self.directory.push(NONE);
        }
        self.count = u64::from(slots);
        let (table, identities_of) = (&*self, &identities_of);
        let mut sorted = in_runs(slots, |run| table.sort(run, identities_of).into_iter());
        let is_same = |one: u32, other: u32| {
            let mut both = Vec::with_capacity(2);
            identities_of(one..one + 1, &mut both);
            identities_of(other..other + 1, &mut both);
            both[0] == both[1]
        };
        let (buckets, vacant) = (self.directory.len() as u32, self.vacant());
        // One thread orders part after part while this one makes its buckets.
        thread::scope(|scope| {
            let (sender, parts) = sync_channel(PARTS_WAITING_MAX);
            scope.spawn(move || {
                for first in (0..buckets).step_by(PART) {
                    let part: Vec<Vec<u64>> = sorted.iter_mut().filter_map(Iterator::next).collect();
                    let ordered = Part::order(&part, vacant, is_same).map(|part| (first, part));
                    let was_the_last = ordered.is_err();
                    if sender.send(ordered).is_err() || was_the_last {
                        return;
                    }
                }
            });
            for part in parts {
                let (first, Part { starts, entries }) = part?;
                for (bucket, here) in (first..).zip(starts.windows(2)) {
                    self.put(bucket, &entries[here[0] as usize..here[1] as usize]);
                }
            }
            Ok(())
        })
    }

    /// The entries of a run of slots, by the part that their bucket is in: 12 more bits of the hash, the
    /// bucket in the part, the entry.
    fn sort(&self, slots: Range<u32>, identities_of: &impl Fn(Range<u32>, &mut Vec<u64>)) -> Vec<Vec<u64>> {
        let parts = self.directory.len().div_ceil(PART);
        let expected = slots.len() / parts;
        // Parts are of nearly the same size, but for the last.
        let room = expected + expected / 32 + 16;
        let mut sorted: Vec<Vec<u64>> = (0..parts).map(|_| Vec::with_capacity(room)).collect();
        let mut identities = Vec::with_capacity(RUN as usize);
        for first in slots.clone().step_by(RUN as usize) {
            let run = first..first.saturating_add(RUN).min(slots.end);
            identities.clear();
            identities_of(run.clone(), &mut identities);
            for (slot, &identity) in run.zip(&identities) {
                let hash = self.hash(identity);
                let bucket = self.bucket(hash);
                let entry = u64::from(slot) | self.tag(hash, self.depth(bucket)) << self.slot_bits;
                let (part, place) = (bucket as usize / PART, (bucket as usize % PART) as u64);
                sorted[part].push(hash & SORTED_HASH | place << 40 | entry);
            }
        }
        sorted
    }

    /// Adds an identity that is not there. `identities_of` appends the identity of each of some slots.
    pub(crate) fn insert(&mut self, identity: u64, slot: u32, identities_of: impl Fn(&[u32], &mut Vec<u64>)) {
        let hash = self.hash(identity);
        let bucket = self.bucket(hash);
        let entry = Entry(u64::from(slot) | self.tag(hash, self.depth(bucket)) << self.slot_bits);
        self.append(bucket, entry);
        self.count += 1;
        if self.count > self.directory.len() as u64 * BUCKET {
            self.split(identities_of);
        }
    }

    /// Entries in a block: those in use come first.
    fn length(&self, words: &[u32]) -> usize {
        let mut length = room(words.len());
        while length > 0 && u64::from(self.slot_of(read(words, length - 1))) == self.vacant() {
            length -= 1;
        }
        length
    }

    fn append(&mut self, bucket: u32, entry: Entry) {
        let mut block = self.directory.get(bucket);
        let length = if block == NONE { 0 } else { self.length(self.blocks.get(block)) };
        let capacity = if block == NONE { 0 } else { self.blocks.get(block).len() };
        if length == room(capacity) {
            block = self.blocks.resized(block, words_for(length + 1), capacity);
            self.blocks.get_mut(block)[capacity..].fill(u32::MAX);
            *self.directory.get_mut(bucket) = block;
        }
        write(self.blocks.get_mut(block), length, entry);
    }

    /// All entries of a bucket; frees its block.
    fn take(&mut self, bucket: u32) -> SmallVec<[Entry; 64]> {
        let block = self.directory.get(bucket);
        if block == NONE {
            return SmallVec::new();
        }
        let words = self.blocks.get(block);
        let entries = (0..self.length(words)).map(|at| read(words, at)).collect();
        self.blocks.free(block);
        *self.directory.get_mut(bucket) = NONE;
        entries
    }

    fn put(&mut self, bucket: u32, entries: &[Entry]) {
        if entries.is_empty() {
            return;
        }
        let block = self.blocks.allocate(words_for(entries.len()));
        let words = self.blocks.get_mut(block);
        words.fill(u32::MAX);
        for (at, &entry) in entries.iter().enumerate() {
            write(words, at, entry);
        }
        *self.directory.get_mut(bucket) = block;
    }

    /// Splits the next bucket in two.
    fn split(&mut self, identities_of: impl Fn(&[u32], &mut Vec<u64>)) {
        let buckets = self.directory.len() as u32;
        let level = u32::BITS - 1 - buckets.leading_zeros();
        let bucket = buckets - (1 << level);
        let entries = self.take(bucket);
        self.directory.push(NONE);
        let anew = Self::base(level + 1) != Self::base(level);
        let (mut low, mut high) = (SmallVec::<[Entry; 64]>::new(), SmallVec::<[Entry; 64]>::new());
        let mut place = |bit: u64, entry| if bit == 0 { low.push(entry) } else { high.push(entry) };
        if anew {
            let slots: SmallVec<[u32; 64]> = entries.iter().map(|&entry| self.slot_of(entry)).collect();
            let mut identities = Vec::with_capacity(slots.len());
            identities_of(&slots, &mut identities);
            for (slot, identity) in slots.into_iter().zip(identities) {
                let hash = self.hash(identity);
                let entry = u64::from(slot) | self.tag(hash, level + 1) << self.slot_bits;
                place(hash >> level & 1, Entry(entry));
            }
        } else {
            let shift = self.slot_bits + level - Self::base(level);
            entries.into_iter().for_each(|entry| place(entry.0 >> shift & 1, entry));
        }
        self.put(bucket, &low);
        self.put(buckets, &high);
    }

    /// Unites the last bucket with the one that it was split from.
    fn unite(&mut self) {
        let last = self.directory.len() as u32 - 1;
        let level = u32::BITS - 1 - last.leading_zeros();
        let bucket = last - (1 << level);
        let mut united = SmallVec::<[Entry; 64]>::new();
        let shift = Self::base(level + 1) - Self::base(level);
        let tag_mask = (1 << (40 - self.slot_bits)) - 1;
        for number in [bucket, last] {
            // Hash bits below the tag are those of the bucket's number.
            let below = u64::from(number) >> Self::base(level) & ((1 << shift) - 1);
            for entry in self.take(number) {
                let slot = u64::from(self.slot_of(entry));
                let tag = (entry.0 >> self.slot_bits) << shift | below;
                united.push(Entry(slot | (tag & tag_mask) << self.slot_bits));
            }
        }
        self.directory.truncate(last);
        self.put(bucket, &united);
    }

    pub(crate) fn remove(&mut self, identity: u64, identity_of: impl Fn(u32) -> u64) {
        let found = self.locate(self.hash(identity), |slot| identity_of(slot) == identity);
        let Some((bucket, at)) = found else {
            debug_assert!(false, "identity {identity:x} is not in the table");
            return;
        };
        let block = self.directory.get(bucket);
        let length = self.length(self.blocks.get(block));
        let vacant = Entry(u64::from(u32::MAX) | 0xFF << 32);
        let words = self.blocks.get_mut(block);
        let last = read(words, length - 1);
        write(words, at, last);
        write(words, length - 1, vacant);
        if length == 1 {
            self.blocks.free(block);
            *self.directory.get_mut(bucket) = NONE;
        } else if length + 3 < room(words.len()) {
            let words = words_for(length - 1);
            *self.directory.get_mut(bucket) = self.blocks.resized(block, words, words);
            self.vacate_from(bucket, length - 1);
        }
        self.count -= 1;
        let buckets = self.directory.len() as u64;
        if buckets > 1 && self.count < (buckets - 1) * BUCKET * 7 / 8 {
            self.unite();
        }
    }

    /// Marks what follows the first entries of a bucket as vacant: a class may have words to spare.
    fn vacate_from(&mut self, bucket: u32, length: usize) {
        let words = self.blocks.get_mut(self.directory.get(bucket));
        for at in length..room(words.len()) {
            write(words, at, Entry(u64::from(u32::MAX) | 0xFF << 32));
        }
    }

    /// An identity's slot got another number.
    pub(crate) fn renumber(&mut self, identity: u64, from: u32, to: u32) {
        let Some((bucket, at)) = self.locate(self.hash(identity), |slot| slot == from) else {
            debug_assert!(false, "identity {identity:x} at slot {from} is not in the table");
            return;
        };
        let mask = self.vacant();
        let words = self.blocks.get_mut(self.directory.get(bucket));
        let Entry(entry) = read(words, at);
        write(words, at, Entry(entry & !mask | u64::from(to)));
    }

    pub(crate) fn wants_draining(&self) -> bool {
        self.blocks.wants_draining()
    }

    /// Moves blocks out of sparse slabs, from a bucket on, as many as `work`; where to go on, or
    /// `None` at the end.
    pub(crate) fn drain(&mut self, from: u32, work: u32) -> Option<u32> {
        if from == 0 && !self.blocks.start_draining() {
            self.blocks.stop_draining();
            return None;
        }
        let buckets = self.directory.len() as u32;
        let end = from.saturating_add(work).min(buckets);
        for bucket in from..end {
            let block = self.directory.get(bucket);
            if block == NONE {
                continue;
            }
            // Deletes leave some room in a bucket, so that not each of them moves it.
            let length = self.length(self.blocks.get(block));
            let words = words_for(length);
            let moved = self.blocks.resized(block, words, words);
            if moved != block {
                *self.directory.get_mut(bucket) = moved;
                self.vacate_from(bucket, length);
            }
        }
        if end == buckets {
            self.blocks.stop_draining();
            return None;
        }
        Some(end)
    }

    pub(crate) fn fit(&mut self) {
        self.blocks.fit();
        self.directory.fit();
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        self.blocks.allocated_bytes() + self.directory.allocated_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
        /// Against a map, growing and shrinking over many splits; identities are close together
        /// or far apart.
        #[test]
        fn equals_a_map(
            steps in prop::collection::vec((0u32..100, 1u32..300, any::<u64>()), 1..40),
            spread in prop_oneof![Just(1u64), Just(0x9E37_79B9_7F4A_7C15)],
            slot_bits in 20u32..31,
            at_once in prop_oneof![Just(0), 0u32..2000],
        ) {
            let mut table = Identities::new(slot_bits);
            let mut identities: Vec<u64> =
                (0..at_once).map(|slot| u64::from(slot).wrapping_mul(spread)).collect();
            let mut model: BTreeMap<u64, u32> = identities.iter().copied().zip(0..).collect();
            let some = |slots: Range<u32>, into: &mut Vec<u64>| {
                into.extend(slots.map(|slot| identities[slot as usize]));
            };
            prop_assert_eq!(table.build(at_once, some), Ok(()));
            for (kind, count, pick) in steps {
                for round in 0..count {
                    if kind < 55 {
                        let slot = identities.len() as u32;
                        let identity = u64::from(slot).wrapping_mul(spread);
                        identities.push(identity);
                        table.insert(identity, slot, |slots, into| {
                            into.extend(slots.iter().map(|&slot| identities[slot as usize]));
                        });
                        model.insert(identity, slot);
                    } else if kind < 97 {
                        let at = pick.wrapping_add(u64::from(round).wrapping_mul(7919)) as usize;
                        let Some(&identity) = model.keys().nth(at % model.len().max(1)) else { break };
                        model.remove(&identity);
                        table.remove(identity, |slot| identities[slot as usize]);
                    } else {
                        let mut from = 0;
                        while let Some(next) = table.drain(from, 3) { from = next; }
                        break;
                    }
                }
                prop_assert_eq!(table.count as usize, model.len());
                for (at, &identity) in identities.iter().enumerate().step_by(1 + identities.len() / 200) {
                    let expected = model.get(&identity).copied();
                    prop_assert_eq!(table.find(identity, |slot| identities[slot as usize]), expected, "{}", at);
                }
                prop_assert_eq!(table.find(u64::MAX - 5, |slot| identities[slot as usize]), None);
            }
            // Renumbering: slot n becomes 2 * n.
            for (&identity, &slot) in model.iter().rev() {
                table.renumber(identity, slot, slot * 2);
            }
            for (&identity, &slot) in &model {
                prop_assert_eq!(table.find(identity, |slot| identities[slot as usize / 2]), Some(slot * 2));
            }
        }
    }

    #[test]
    fn an_entry_takes_some_five_bytes_and_gives_them_back() {
        let identity = |slot: u32| u64::from(slot).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let mut table = Identities::new(28);
        for slot in 0..100_000 {
            table
                .insert(identity(slot), slot, |slots, into| into.extend(slots.iter().copied().map(identity)));
        }
        let mut from = 0;
        while let Some(next) = table.drain(from, 100) {
            from = next;
        }
        // Buckets are small in tests, which costs.
        assert!(table.allocated_bytes() < 1_200_000, "{}", table.allocated_bytes());
        for slot in 0..99_000 {
            table.remove(identity(slot), identity);
        }
        let mut from = 0;
        while let Some(next) = table.drain(from, 100) {
            from = next;
        }
        assert!(table.allocated_bytes() < 350_000, "{}", table.allocated_bytes());
        assert_eq!(table.find(identity(99_500), identity), Some(99_500));
    }
}
