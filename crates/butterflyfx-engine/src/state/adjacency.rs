//! The relationships at each substrate, outgoing and incoming: lists of relationship slots, oldest
//! first, that is ascending.
//!
//! The eight lists of four neighbouring substrates share a *page*: one block with the width of its
//! numbers, the length of each list, and the lists themselves, one after the other, as numbers of
//! just that many bits. For five million substrates with ten entries each a page has some 140 bytes,
//! so that adding one means shifting sixty bytes on average, which costs less than the slack of
//! lists that grow by themselves. A long list is a [`Hub`] of its own.

use crate::state::bits;
use crate::state::blocks::{Blocks, NONE};
use crate::state::column::Column;
use crate::state::edges::{Edge, Edges};
use crate::state::hub::Hub;
use crate::state::in_runs;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use smallvec::SmallVec;
use std::collections::BTreeMap;
use std::hint::black_box;
use std::ops::Range;
use std::sync::mpsc::sync_channel;
use std::thread;

/// Lists of a page: two for each of four substrates.
const LISTS: usize = 8;

/// Words before the numbers: their width, then a byte for the length of each list.
const HEADER: usize = 1 + LISTS / 4;

/// Words that a growing page gets beyond what it needs, so that it moves half as often.
const SPARE: usize = 2;

/// Longer lists are hubs. (Some bounds are small in tests, so that tests meet both sides.)
const PACKED_MAX: usize = if cfg!(test) { 12 } else { 96 };

/// Hubs that shrink to this move back into their page.
const PACKED_AGAIN: u32 = PACKED_MAX as u32 / 2;

/// Marks a hub where the length of its list would stand.
const HUB: u8 = u8::MAX;

/// Lists whose entries are gathered in one pass over the relationships, so that what is sorted stays small beside the
/// result, and those among them that are sorted at a time, within the second cache.
const PASS_LISTS: usize = if cfg!(test) { 32 } else { 1 << 21 };
const PART_LISTS: usize = if cfg!(test) { 16 } else { 1 << 14 };

/// Sorted parts that may wait to be packed.
const SORTED_WAITING_MAX: usize = 4;

/// Entries of a list that are read at once.
const CHUNK: usize = if cfg!(test) { 3 } else { 4096 };

/// Some entries of a list.
pub(crate) type Chunk = SmallVec<[u32; 32]>;

/// The list of a substrate's outgoing or incoming relationships.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct List(u32);

impl List {
    #[inline]
    pub(crate) fn of(substrate: u32, incoming: bool) -> List {
        List(substrate << 1 | u32::from(incoming))
    }

    #[inline]
    fn page(self) -> u32 {
        self.0 / LISTS as u32
    }

    #[inline]
    fn at(self) -> usize {
        self.0 as usize % LISTS
    }
}

/// All lists.
#[derive(Debug, Default)]
pub(crate) struct Adjacency {
    /// The block of each page, which is none while all of its lists are empty.
    pages: Column<u32>,
    blocks: Blocks,
    hubs: HashMap<u32, Hub, RandomState>,
}

/// The width of a page's numbers.
#[inline]
fn width(words: &[u32]) -> u32 {
    words[0]
}

/// The lengths of its lists, a hub's being none.
#[inline]
fn length(words: &[u32], at: usize) -> usize {
    let byte = (words[1 + at / 4] >> (at % 4 * 8)) as u8;
    if byte == HUB { 0 } else { usize::from(byte) }
}

#[inline]
fn is_hub(words: &[u32], at: usize) -> bool {
    (words[1 + at / 4] >> (at % 4 * 8)) as u8 == HUB
}

fn set_length(words: &mut [u32], at: usize, length: u8) {
    let shift = at % 4 * 8;
    let word = &mut words[1 + at / 4];
    *word = *word & !(0xFF << shift) | u32::from(length) << shift;
}

/// Sums the lengths in one word. Hubs count as none.
#[inline]
fn sum(word: u32) -> usize {
    let hubs = word & 0x8080_8080;
    // Lengths are below 128, so a high bit says hub; such bytes become zero.
    let word = word & !((hubs >> 7) * 0xFF);
    ((word & 0x00FF_00FF) + (word >> 8 & 0x00FF_00FF)).wrapping_mul(0x0001_0001) as usize >> 16
}

/// Numbers before a list.
#[inline]
fn before(words: &[u32], at: usize) -> usize {
    let whole: usize = words[1..1 + at / 4].iter().map(|&word| sum(word)).sum();
    let part = words[1 + at / 4] & ((1_u32 << (at % 4 * 8)) - 1);
    whole + sum(part)
}

/// Numbers of a page.
#[inline]
fn total(words: &[u32]) -> usize {
    sum(words[1]) + sum(words[2])
}

#[inline]
fn words_for(numbers: usize, width: u32) -> usize {
    HEADER + (numbers * width as usize).div_ceil(32)
}

/// The lists from `first` on: where each begins among the entries, and with the last where they end.
struct Sorted {
    first: usize,
    starts: Vec<u32>,
    entries: Vec<u32>,
}

/// Calls a function with each list that a relationship stands in.
#[inline]
pub(crate) fn each_list_of(edge: Edge, mut visit: impl FnMut(List)) {
    visit(List::of(edge.source, false));
    visit(List::of(edge.target, true));
    if edge.kind.is_bidirectional() && edge.source != edge.target {
        visit(List::of(edge.target, false));
        visit(List::of(edge.source, true));
    }
}

/// How many entries each part has in a run of relationships.
fn count(parts: usize, run: Range<u32>, edges: &Edges) -> Vec<u32> {
    let mut counts = vec![0; parts];
    edges.each(run, |_, edge| each_list_of(edge, |list| counts[list.0 as usize / PART_LISTS] += 1));
    counts
}

/// The entries of some parts from a run of relationships: a list's place in its part, and the relationship.
struct Gathered {
    /// Where each part begins, and where the last ends.
    starts: Vec<u32>,
    entries: Vec<u64>,
}

impl Gathered {
    fn part(&self, at: usize) -> &[u64] {
        &self.entries[self.starts[at] as usize..self.starts[at + 1] as usize]
    }
}

/// Gathers the entries of the lists from `first` on, in parts of which so many entries are known.
fn gather(first: usize, counts: &[u32], run: Range<u32>, edges: &Edges) -> Gathered {
    let mut starts = vec![0];
    starts.extend(counts.iter().scan(0, |sum, count| {
        *sum += count;
        Some(*sum)
    }));
    // One more place, for what belongs to other lists: most does, at random, and a branch would be guessed wrong.
    let mut next = starts.clone();
    let mut entries = vec![0; starts[counts.len()] as usize + 1];
    edges.each(run, |relationship, edge| {
        each_list_of(edge, |list| {
            let at = (list.0 as usize).wrapping_sub(first);
            let part = (at / PART_LISTS).min(counts.len());
            let next = &mut next[part];
            entries[*next as usize] = ((at % PART_LISTS) as u64) << 32 | u64::from(relationship);
            *next += u32::from(part < counts.len());
        });
    });
    Gathered { starts, entries }
}

/// Sorts the entries of `count` lists, gathered from runs that follow each other.
fn sort(first: usize, count: usize, runs: &[&[u64]]) -> Sorted {
    let all = || runs.iter().copied().flatten();
    let mut starts = vec![0_u32; count + 1];
    for one in all() {
        starts[(one >> 32) as usize + 1] += 1;
    }
    for at in 0..count {
        starts[at + 1] += starts[at];
    }
    let mut next = starts.clone();
    let mut entries = vec![0; starts[count] as usize];
    for &one in all() {
        let next = &mut next[(one >> 32) as usize];
        entries[*next as usize] = one as u32;
        *next += 1;
    }
    Sorted { first, starts, entries }
}

impl Adjacency {
    /// The words of a list's page, where it has one.
    #[inline]
    fn words(&self, list: List) -> Option<&[u32]> {
        if list.page() as usize >= self.pages.len() {
            return None;
        }
        let block = self.pages.get(list.page());
        if block == NONE { None } else { Some(self.blocks.get(block)) }
    }

    /// How many relationships it holds.
    #[inline]
    pub(crate) fn count(&self, list: List) -> u32 {
        match self.words(list) {
            Some(words) if is_hub(words, list.at()) => self.hubs.get(&list.0).map_or(0, Hub::count),
            Some(words) => length(words, list.at()) as u32,
            None => 0,
        }
    }

    /// Hands each relationship to `visit`, oldest first.
    #[inline]
    pub(crate) fn each(&self, list: List, mut visit: impl FnMut(u32)) {
        let Some(words) = self.words(list) else { return };
        let (at, width) = (list.at(), width(words) as usize);
        if is_hub(words, at) {
            self.hubs.get(&list.0).into_iter().flat_map(|hub| hub.from(0)).for_each(visit);
            return;
        }
        let (numbers, start) = (&words[HEADER..], before(words, at));
        for one in start..start + length(words, at) {
            visit(bits::read(numbers, one * width, width as u32));
        }
    }

    /// Some relationships from slot `first` on, oldest first; empty at the end.
    pub(crate) fn chunk(&self, list: List, first: u32) -> Chunk {
        let mut chunk = Chunk::new();
        let Some(words) = self.words(list) else { return chunk };
        if is_hub(words, list.at()) {
            chunk.extend(self.hubs.get(&list.0).into_iter().flat_map(|hub| hub.from(first)).take(CHUNK));
            return chunk;
        }
        self.each(list, |one| {
            if one >= first && chunk.len() < CHUNK {
                chunk.push(one);
            }
        });
        chunk
    }

    /// The newest relationships, newest first, at most `most`.
    pub(crate) fn newest(&self, list: List, most: usize) -> Vec<u32> {
        let mut entries = Vec::new();
        match self.hubs.get(&list.0) {
            Some(hub) => entries = hub.end(most),
            None => self.each(list, |one| entries.push(one)),
        }
        entries.reverse();
        entries.truncate(most);
        entries
    }

    /// Loads the pages of many lists, for what will be done with each soon after.
    pub(crate) fn touch(&self, lists: impl Iterator<Item = List>) {
        let pages = self.pages.len() as u32;
        let blocks: SmallVec<[u32; 512]> =
            lists.filter(|list| list.page() < pages).map(|list| self.pages.get(list.page())).collect();
        black_box(blocks.iter().fold(0, |sum, &block| sum ^ self.blocks.touch(block)));
    }

    /// The page as a block with room for one more number of a width; makes it if need be.
    fn page_with_room(&mut self, list: List, number: u32) -> &mut [u32] {
        while self.pages.len() <= list.page() as usize {
            self.pages.push(NONE);
        }
        let block = self.pages.get(list.page());
        let needed = bits::width_of(number);
        let block = if block == NONE {
            let block = self.blocks.allocate(words_for(1, needed));
            let words = self.blocks.get_mut(block);
            words.fill(0);
            words[0] = needed;
            block
        } else {
            let words = self.blocks.get(block);
            let (old, total) = (width(words), total(words));
            if needed > old {
                self.repacked(block, needed, 1)
            } else if words_for(total + 1, old) > words.len() {
                self.blocks.resized(block, words_for(total + 1, old) + SPARE, words.len())
            } else {
                block
            }
        };
        *self.pages.get_mut(list.page()) = block;
        self.blocks.get_mut(block)
    }

    /// A page with its numbers in another width, and room for `more`.
    fn repacked(&mut self, block: u32, width_after: u32, more: usize) -> u32 {
        let words = self.blocks.get(block);
        let (old, total) = (width(words), total(words));
        let header: [u32; HEADER] = std::array::from_fn(|at| words[at]);
        let numbers: SmallVec<[u32; 128]> =
            (0..total).map(|at| bits::read(&words[HEADER..], at * old as usize, old)).collect();
        self.blocks.free(block);
        let block = self.blocks.allocate(words_for(total + more, width_after));
        let words = self.blocks.get_mut(block);
        words[..HEADER].copy_from_slice(&header);
        words[0] = width_after;
        for (at, &number) in numbers.iter().enumerate() {
            let bit = at * width_after as usize;
            bits::write(&mut words[HEADER..], bit, width_after, number);
        }
        block
    }

    /// Adds the newest relationship.
    pub(crate) fn push(&mut self, list: List, relationship: u32) {
        if !self.push_where_there_is_room(list, relationship) {
            self.push_with_more_room(list, relationship);
        }
    }

    /// What nearly every push is: the page has room.
    #[inline]
    fn push_where_there_is_room(&mut self, list: List, relationship: u32) -> bool {
        if list.page() as usize >= self.pages.len() {
            return false;
        }
        let block = self.pages.get(list.page());
        if block == NONE {
            return false;
        }
        let words = self.blocks.get_mut(block);
        let (width, at) = (width(words), list.at());
        let old = (words[1 + at / 4] >> (at % 4 * 8)) as u8;
        let numbers = total(words);
        let has_room = words_for(numbers + 1, width) <= words.len()
            && usize::from(old) < PACKED_MAX
            && bits::width_of(relationship) <= width;
        if has_room {
            let place = before(words, at) + usize::from(old);
            words[1 + at / 4] += 1 << (at % 4 * 8);
            let bits_of = |numbers: usize| numbers * width as usize;
            bits::insert(&mut words[HEADER..], bits_of(numbers), bits_of(place), width, relationship);
        }
        has_room
    }

    #[cold]
    fn push_with_more_room(&mut self, list: List, relationship: u32) {
        if let Some(hub) = self.hub_mut(list) {
            hub.push(relationship);
            return;
        }
        if self.words(list).is_some_and(|words| length(words, list.at()) == PACKED_MAX) {
            let mut entries = self.take(list);
            entries.push(relationship);
            self.set(list, &entries);
            return;
        }
        self.page_with_room(list, relationship);
        let pushed = self.push_where_there_is_room(list, relationship);
        debug_assert!(pushed);
    }

    #[inline]
    fn hub_mut(&mut self, list: List) -> Option<&mut Hub> {
        let is_hub = self.words(list).is_some_and(|words| is_hub(words, list.at()));
        if is_hub { self.hubs.get_mut(&list.0) } else { None }
    }

    /// Where in its page a relationship of a short list stands.
    fn place_of(words: &[u32], at: usize, relationship: u32) -> Option<usize> {
        let width = width(words);
        let start = before(words, at);
        (start..start + length(words, at))
            .find(|one| bits::read(&words[HEADER..], one * width as usize, width) == relationship)
    }

    /// Takes a relationship out.
    pub(crate) fn remove(&mut self, list: List, relationship: u32) {
        if let Some(hub) = self.hub_mut(list) {
            let was_there = hub.remove(relationship);
            debug_assert!(was_there, "relationship {relationship} is not in hub {list:?}");
            if hub.count() <= PACKED_AGAIN {
                let entries: Vec<u32> = hub.from(0).collect();
                self.take(list);
                self.set(list, &entries);
            }
            return;
        }
        let Some(place) = self.words(list).and_then(|words| Self::place_of(words, list.at(), relationship))
        else {
            debug_assert!(false, "relationship {relationship} is not in {list:?}");
            return;
        };
        self.remove_at(list, place);
    }

    fn remove_at(&mut self, list: List, place: usize) {
        let block = self.pages.get(list.page());
        let words = self.blocks.get_mut(block);
        let (width, total, at) = (width(words), total(words), list.at());
        let bits_of = |numbers: usize| numbers * width as usize;
        bits::remove(&mut words[HEADER..], bits_of(total), bits_of(place), width);
        let left = length(words, at) - 1;
        set_length(words, at, left as u8);
        self.shrink(list.page(), total - 1, width);
    }

    /// Gives words of a page back, all of them where its lists are empty.
    fn shrink(&mut self, page: u32, total: usize, width: u32) {
        let block = self.pages.get(page);
        let words = self.blocks.get(block);
        let is_empty = words[1..HEADER].iter().all(|&word| word == 0);
        let block = if is_empty {
            self.blocks.free(block);
            NONE
        } else {
            let needed = words_for(total, width);
            self.blocks.resized(block, needed, needed)
        };
        *self.pages.get_mut(page) = block;
    }

    /// A relationship got another number, between the same neighbours.
    pub(crate) fn renumber(&mut self, list: List, from: u32, to: u32) {
        if let Some(hub) = self.hub_mut(list) {
            let was_there = hub.renumber(from, to);
            debug_assert!(was_there, "relationship {from} is not in hub {list:?}");
            return;
        }
        let place = self.words(list).and_then(|words| Self::place_of(words, list.at(), from));
        debug_assert!(place.is_some(), "relationship {from} is not in {list:?}");
        let Some(place) = place else { return };
        let words = self.blocks.get_mut(self.pages.get(list.page()));
        let width = width(words);
        bits::write(&mut words[HEADER..], place * width as usize, width, to);
    }

    /// Empties a list.
    fn take(&mut self, list: List) -> Vec<u32> {
        let mut entries = Vec::new();
        let Some(words) = self.words(list) else { return entries };
        if is_hub(words, list.at()) {
            let block = self.pages.get(list.page());
            set_length(self.blocks.get_mut(block), list.at(), 0);
            let (width, total) = (width(self.blocks.get(block)), total(self.blocks.get(block)));
            self.shrink(list.page(), total, width);
            let hub = self.hubs.remove(&list.0).unwrap_or_default();
            if self.hubs.capacity() > 64 && self.hubs.len() * 4 < self.hubs.capacity() {
                self.hubs.shrink_to_fit();
            }
            return hub.from(0).collect();
        }
        self.each(list, |one| entries.push(one));
        if entries.is_empty() {
            return entries;
        }
        // The rest of the page moves up to where the list began.
        let (start, end) = (before(words, list.at()), before(words, list.at()) + entries.len());
        let (width, total) = (width(words), total(words));
        let words = self.blocks.get_mut(self.pages.get(list.page()));
        for (to, from) in (start..).zip(end..total) {
            let number = bits::read(&words[HEADER..], from * width as usize, width);
            bits::write(&mut words[HEADER..], to * width as usize, width, number);
        }
        set_length(words, list.at(), 0);
        self.shrink(list.page(), total - entries.len(), width);
        entries
    }

    /// Fills an empty list.
    fn set(&mut self, list: List, entries: &[u32]) {
        if entries.len() <= PACKED_MAX {
            entries.iter().for_each(|&one| self.push(list, one));
            return;
        }
        let words = self.page_with_room(list, 0);
        set_length(words, list.at(), HUB);
        self.hubs.insert(list.0, Hub::new(entries));
    }

    /// Moves a list to an empty place.
    pub(crate) fn relocate(&mut self, from: List, to: List) {
        let is_hub = self.words(from).is_some_and(|words| is_hub(words, from.at()));
        if is_hub {
            // The pieces stay where they are.
            let hub = self.hubs.remove(&from.0).unwrap_or_default();
            self.take(from);
            let words = self.page_with_room(to, 0);
            set_length(words, to.at(), HUB);
            self.hubs.insert(to.0, hub);
            return;
        }
        let entries = self.take(from);
        self.set(to, &entries);
    }

    /// Makes the lists of all relationships at once, where there are none yet. Many lists are gathered in one pass over
    /// the relationships, in which all processors take part; then one thread sorts part after part while this one packs.
    pub(crate) fn build(&mut self, substrates: u32, edges: &Edges) {
        let lists = substrates as usize * 2;
        let parts = lists.div_ceil(PART_LISTS);
        // By the first relationship of a run.
        let counts: BTreeMap<u32, Vec<u32>> =
            in_runs(edges.len(), |run| (run.start, count(parts, run, edges))).into_iter().collect();
        for first in (0..lists).step_by(PASS_LISTS) {
            let pass = first..lists.min(first + PASS_LISTS);
            let parts = first / PART_LISTS..pass.end.div_ceil(PART_LISTS);
            let runs = in_runs(edges.len(), |run| {
                let counts = counts.get(&run.start).map_or(&[][..], |counts| &counts[parts.clone()]);
                gather(first, counts, run, edges)
            });
            thread::scope(|scope| {
                let (sender, sorted) = sync_channel(SORTED_WAITING_MAX);
                scope.spawn(move || {
                    for (at, first) in pass.clone().step_by(PART_LISTS).enumerate() {
                        let part: Vec<&[u64]> = runs.iter().map(|run| run.part(at)).collect();
                        if sender.send(sort(first, PART_LISTS.min(pass.end - first), &part)).is_err() {
                            return;
                        }
                    }
                });
                for Sorted { first, starts, entries } in sorted {
                    let here = starts.len() - 1;
                    for page in (0..here).step_by(LISTS) {
                        let count = LISTS.min(here - page);
                        let list =
                            |at: usize| &entries[starts[page + at] as usize..starts[page + at + 1] as usize];
                        self.build_page((first + page) as u32, count, list);
                    }
                }
            });
        }
    }

    /// Makes a page from its lists, the first of which is `first`.
    fn build_page<'a>(&mut self, first: u32, count: usize, list: impl Fn(usize) -> &'a [u32]) {
        let page = first / LISTS as u32;
        while self.pages.len() <= page as usize {
            self.pages.push(NONE);
        }
        let packed = |at: usize| if list(at).len() > PACKED_MAX { &[][..] } else { list(at) };
        let total: usize = (0..count).map(|at| packed(at).len()).sum();
        let greatest = (0..count).filter_map(|at| packed(at).last()).max();
        if (0..count).all(|at| list(at).is_empty()) {
            return;
        }
        let width = bits::width_of(greatest.copied().unwrap_or(0));
        let block = self.blocks.allocate(words_for(total, width));
        let words = self.blocks.get_mut(block);
        words.fill(0);
        words[0] = width;
        let mut bit = 0;
        for at in 0..count {
            let is_hub = list(at).len() > PACKED_MAX;
            set_length(words, at, if is_hub { HUB } else { list(at).len() as u8 });
            for &number in packed(at) {
                bits::write(&mut words[HEADER..], bit, width, number);
                bit += width as usize;
            }
            if is_hub {
                self.hubs.insert(first + at as u32, Hub::new(list(at)));
            }
        }
        *self.pages.get_mut(page) = block;
    }

    /// Forgets the places of substrates from a slot on; their lists are empty.
    pub(crate) fn truncate(&mut self, substrates: u32) {
        let pages = (substrates * 2).div_ceil(LISTS as u32);
        if (pages as usize) < self.pages.len() {
            self.pages.truncate(pages);
        }
    }

    pub(crate) fn wants_draining(&self) -> bool {
        self.blocks.wants_draining()
    }

    /// Moves pages out of sparse slabs and into numbers as narrow as they may be, from a page on, as
    /// many as `work`; where to go on, or `None` at the end.
    pub(crate) fn drain(&mut self, from: u32, work: u32) -> Option<u32> {
        if from == 0 {
            self.blocks.start_draining();
        }
        let pages = self.pages.len() as u32;
        let end = from.saturating_add(work).min(pages);
        for page in from..end {
            let block = self.pages.get(page);
            if block == NONE {
                continue;
            }
            let words = self.blocks.get(block);
            let (width, total) = (width(words), total(words));
            let numbers = (0..total).map(|at| bits::read(&words[HEADER..], at * width as usize, width));
            let needed = bits::width_of(numbers.max().unwrap_or(0));
            let moved =
                if needed < width { self.repacked(block, needed, 0) } else { self.blocks.moved(block) };
            *self.pages.get_mut(page) = moved;
        }
        if end == pages {
            self.blocks.stop_draining();
            return None;
        }
        Some(end)
    }

    pub(crate) fn fit(&mut self) {
        self.pages.fit();
        self.blocks.fit();
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        self.pages.allocated_bytes()
            + self.blocks.allocated_bytes()
            + self.hubs.allocation_size() as u64
            + self.hubs.values().map(Hub::allocated_bytes).sum::<u64>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    /// Lists in one page and in two, in use.
    const USED: [u32; 4] = [0, 5, 7, 14];

    proptest! {
        #![proptest_config(ProptestConfig { cases: 80, ..ProptestConfig::default() })]
        /// Lists side by side against sets, over the border between pages and hubs.
        #[test]
        fn lists_equal_a_model(steps in prop::collection::vec((0usize..4, 0u32..100, 1u32..60, any::<u64>()), 1..60)) {
            let mut adjacency = Adjacency::default();
            let mut places = USED;
            let mut model: [BTreeSet<u32>; 4] = Default::default();
            let mut next = 1;
            for (which, kind, count, pick) in steps {
                let list = List(places[which]);
                for round in 0..count {
                    let at = pick.wrapping_add(u64::from(round)).wrapping_mul(0x9E37_79B9) as usize;
                    let one = model[which].iter().nth(at % model[which].len().max(1)).copied();
                    match (kind, one) {
                        (0..50, _) => {
                            adjacency.push(list, next);
                            model[which].insert(next);
                            next += 1 + (pick % 300) as u32 * 2;
                        }
                        (_, None) => break,
                        (50..85, Some(one)) => {
                            model[which].remove(&one);
                            adjacency.remove(list, one);
                        }
                        (85..92, Some(one)) => {
                            // Down by one, if that is free.
                            if one > 0 && !model[which].contains(&(one - 1)) {
                                adjacency.renumber(list, one, one - 1);
                                model[which].remove(&one);
                                model[which].insert(one - 1);
                            }
                        }
                        (92..96, Some(_)) => {
                            let free = List(places[which] ^ 1 << (pick % 3));
                            if !places.contains(&free.0) {
                                adjacency.relocate(list, free);
                                places[which] = free.0;
                            }
                            break;
                        }
                        _ => {
                            let mut from = 0;
                            while let Some(next) = adjacency.drain(from, 1) { from = next; }
                            break;
                        }
                    }
                }
                for (place, model) in places.iter().zip(&model) {
                    let list = List(*place);
                    let expected: Vec<u32> = model.iter().copied().collect();
                    let mut entries = Vec::new();
                    adjacency.each(list, |one| entries.push(one));
                    prop_assert_eq!(&entries, &expected);
                    prop_assert_eq!(adjacency.count(list) as usize, model.len());
                    let middle = (next / 2).min(5000);
                    let chunk: Vec<u32> = model.range(middle..).take(CHUNK).copied().collect();
                    prop_assert_eq!(&adjacency.chunk(list, middle)[..], &chunk[..]);
                    let newest: Vec<u32> = model.iter().rev().take(5).copied().collect();
                    prop_assert_eq!(adjacency.newest(list, 5), newest);
                }
            }
        }
    }

    #[test]
    fn lengths_add_up() {
        for (word, expected) in
            [(0, 0), (0x0102_0304, 10), (0xFF01_FF02, 3), (0x7F7F_7F7F, 508), (u32::MAX, 0)]
        {
            assert_eq!(sum(word), expected, "{word:x}");
        }
    }

    #[test]
    fn memory_comes_back() {
        let mut adjacency = Adjacency::default();
        let mut size = 0;
        for round in 0..20 {
            for one in 0..20_000 {
                adjacency.push(List(one * 7 % 1000), one);
            }
            if round == 1 {
                size = adjacency.allocated_bytes();
            }
            for one in 0..20_000 {
                adjacency.remove(List(one * 7 % 1000), one);
            }
        }
        assert!(adjacency.allocated_bytes() < size / 4, "{} of {size}", adjacency.allocated_bytes());
        adjacency.truncate(0);
        assert!(adjacency.allocated_bytes() < size / 8);
    }
}
