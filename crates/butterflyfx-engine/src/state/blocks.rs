//! Blocks of words of many sizes, without a heap object for each and with little slack.
//!
//! A block belongs to a size class; a slab of 1 MiB holds blocks of one class, and is so large that
//! the allocator gives it back to the system as a whole. Classes lie so close
//! together that three in a hundred words are unused, where a general allocator's would waste ten.
//! A slab whose last block is freed gives its memory back. What fragmentation leaves (slabs that are
//! mostly holes) is *drained*: nothing new goes into such slabs, and whoever owns blocks there moves
//! them, a few at a time.

/// Words of a slab; small in tests, so that tests fill many.
const SLAB_WORDS: usize = if cfg!(test) { 1 << 12 } else { 1 << 18 };

/// Blocks begin at even words, so that an offset in a slab takes 17 bits.
const OFFSET_BITS: u32 = 17;

/// Words of a cache line, and how many lines of a block are loaded ahead at most.
const LINE_WORDS: usize = 16;
const LINES_MAX: usize = 8;

/// No block.
pub(crate) const NONE: u32 = u32::MAX;

/// Words of the largest block.
pub(crate) const BLOCK_WORDS_MAX: usize = 3072;

/// Steps of capacities: up to so many words, in steps of so many. An eighth at most, mostly far less.
const STEPS: [(usize, usize); 4] = [(128, 2), (512, 8), (1024, 32), (BLOCK_WORDS_MAX, 128)];

/// Marks the end of a slab's list of free blocks.
const END: u32 = u32::MAX;

#[derive(Debug, Default)]
struct Slab {
    /// Empty for a vacant slab.
    words: Vec<u32>,
    /// Words of each block.
    block: u32,
    /// The first free block, whose first word names the next.
    free: u32,
    used: u32,
    /// Whether it stands in the list of its class.
    open: bool,
    draining: bool,
}

impl Slab {
    fn has_room(&self) -> bool {
        self.free != END || self.words.len() + self.block as usize <= SLAB_WORDS
    }
}

/// A store of blocks.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    slabs: Vec<Slab>,
    /// For each class, slabs that may have room.
    open: Vec<Vec<u32>>,
    /// How many slabs each class has, but for those that are drained.
    in_class: Vec<u32>,
    /// Slabs without memory, to use again.
    vacant: Vec<u32>,
    /// Words that slabs have begun to use, and those of them in blocks in use.
    begun_words: usize,
    used_words: usize,
    /// The same when slabs were drained last.
    drained_at: usize,
}

/// The class with room for so many words, and its capacity.
#[inline]
fn class_of(words: usize) -> (usize, usize) {
    let mut class = 0;
    let mut low = 0;
    for (end, step) in STEPS {
        if words <= end {
            let steps = (words.max(low + 1) - low).div_ceil(step);
            return (class + steps - 1, low + steps * step);
        }
        class += (end - low) / step;
        low = end;
    }
    (class, words)
}

impl Blocks {
    /// A block with room for `words`, at most [`BLOCK_WORDS_MAX`]; what it holds is anything.
    pub(crate) fn allocate(&mut self, words: usize) -> u32 {
        let (class, capacity) = class_of(words);
        if self.open.len() <= class {
            self.open.resize_with(class + 1, Vec::new);
            self.in_class.resize(class + 1, 0);
        }
        self.used_words += capacity;
        let (number, is_first) = loop {
            match self.open[class].last() {
                Some(&number) => {
                    let slab = &mut self.slabs[number as usize];
                    if slab.block as usize == capacity && !slab.draining && slab.has_room() {
                        break (number, false);
                    }
                    slab.open &= slab.block as usize != capacity;
                    self.open[class].pop();
                }
                None => break (self.new_slab(class, capacity), true),
            }
        };
        let slab = &mut self.slabs[number as usize];
        slab.used += 1;
        let offset = if slab.free == END {
            let offset = slab.words.len();
            let end = offset + capacity;
            if is_first && self.in_class[class] > 1 {
                // But for the first of a class, memory comes at once: no copies while it fills. The first grows by
                // doubling, for it may stay nearly empty.
                slab.words.reserve_exact(SLAB_WORDS);
            } else if slab.words.capacity() < end {
                // Not beyond what a slab holds, as it would after it was fitted.
                slab.words
                    .reserve_exact((slab.words.capacity() * 2).clamp(end, SLAB_WORDS.max(end)) - offset);
            }
            slab.words.resize(end, 0);
            self.begun_words += capacity;
            offset
        } else {
            let offset = slab.free as usize;
            slab.free = slab.words[offset];
            offset
        };
        number << OFFSET_BITS | (offset / 2) as u32
    }

    fn new_slab(&mut self, class: usize, capacity: usize) -> u32 {
        let slab = Slab {
            block: capacity as u32,
            free: END,
            open: true,
            words: Vec::new(),
            used: 0,
            draining: false,
        };
        let number = match self.vacant.pop() {
            Some(number) => {
                self.slabs[number as usize] = slab;
                number
            }
            None => {
                self.slabs.push(slab);
                self.slabs.len() as u32 - 1
            }
        };
        self.open[class].push(number);
        self.in_class[class] += 1;
        number
    }

    /// Gives a block back.
    pub(crate) fn free(&mut self, block: u32) {
        let (number, offset) = place(block);
        let slab = &mut self.slabs[number];
        slab.used -= 1;
        self.used_words -= slab.block as usize;
        if slab.used == 0 {
            if !slab.draining {
                self.in_class[class_of(slab.block as usize).0] -= 1;
            }
            self.begun_words -= slab.words.len();
            // Its entry in the list of its class is dropped when that is met.
            *slab = Slab { free: END, ..Slab::default() };
            self.vacant.push(number as u32);
            return;
        }
        slab.words[offset] = slab.free;
        slab.free = offset as u32;
        if !slab.open && !slab.draining {
            slab.open = true;
            let (class, _) = class_of(slab.block as usize);
            self.open[class].push(number as u32);
        }
    }

    /// The words of a block, its whole capacity.
    #[inline]
    pub(crate) fn get(&self, block: u32) -> &[u32] {
        let (number, offset) = place(block);
        let slab = &self.slabs[number];
        &slab.words[offset..offset + slab.block as usize]
    }

    /// Loads every cache line of a block. In a loop over many blocks the loads run side by side, where
    /// one look-up after the other would wait for memory each time. The answer means nothing.
    #[inline]
    pub(crate) fn touch(&self, block: u32) -> u32 {
        if block == NONE {
            return 0;
        }
        let words = self.get(block);
        let mut sum = words[words.len() - 1];
        let mut at = 0;
        while at < words.len().min(LINE_WORDS * LINES_MAX) {
            sum ^= words[at];
            at += LINE_WORDS;
        }
        sum
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, block: u32) -> &mut [u32] {
        let (number, offset) = place(block);
        let slab = &mut self.slabs[number];
        &mut slab.words[offset..offset + slab.block as usize]
    }

    /// A block with room for `words` that begins with the first `keep` words of this one; this one
    /// if it has the right size.
    pub(crate) fn resized(&mut self, block: u32, words: usize, keep: usize) -> u32 {
        let (_, capacity) = class_of(words);
        if block == NONE {
            return self.allocate(words);
        }
        let (number, offset) = place(block);
        if self.slabs[number].block as usize == capacity && !self.slabs[number].draining {
            return block;
        }
        let new = self.allocate(words);
        let (to, to_offset) = place(new);
        if let Ok([from, to]) = self.slabs.get_disjoint_mut([number, to]) {
            to.words[to_offset..to_offset + keep].copy_from_slice(&from.words[offset..offset + keep]);
        }
        self.free(block);
        new
    }

    /// Whether holes are worth draining: over a sixteenth of all, and more than a little; and whether
    /// there has been a change since it was tried last.
    pub(crate) fn wants_draining(&self) -> bool {
        let spare = SLAB_WORDS / 32;
        let changed = self.used_words.abs_diff(self.drained_at);
        self.begun_words > self.used_words + self.used_words / 16 + spare && changed > self.used_words / 16
    }

    /// Marks the slabs that are worth emptying; `false` if there are none. Then the owner of the
    /// blocks passes each once through [`Blocks::moved`], and ends with [`Blocks::stop_draining`].
    pub(crate) fn start_draining(&mut self) -> bool {
        let mut found = false;
        for slab in &mut self.slabs {
            let begun = slab.words.len().checked_div(slab.block as usize).unwrap_or(0) as u32;
            let is_sparse = slab.used > 0 && slab.used * 8 < begun * 7;
            if is_sparse && !slab.draining {
                self.in_class[class_of(slab.block as usize).0] -= 1;
            }
            slab.draining |= is_sparse;
            found |= is_sparse;
        }
        found
    }

    /// The block, out of the way if its slab is being drained.
    #[inline]
    pub(crate) fn moved(&mut self, block: u32) -> u32 {
        if block == NONE || !self.slabs[place(block).0].draining {
            return block;
        }
        let words = self.get(block).len();
        self.resized(block, words, words)
    }

    pub(crate) fn stop_draining(&mut self) {
        self.drained_at = self.used_words;
        for slab in &mut self.slabs {
            if std::mem::take(&mut slab.draining) {
                self.in_class[class_of(slab.block as usize).0] += 1;
            }
        }
        // Slabs that were closed while they were drained open again.
        self.open.iter_mut().for_each(Vec::clear);
        for (number, slab) in self.slabs.iter_mut().enumerate() {
            slab.open = slab.used > 0 && slab.has_room();
            if slab.open {
                self.open[class_of(slab.block as usize).0].push(number as u32);
            }
        }
    }

    /// Gives back what lies behind the last block of each slab: it is resident where the allocator had it from
    /// something that was freed.
    pub(crate) fn fit(&mut self) {
        self.slabs.iter_mut().for_each(|slab| slab.words.shrink_to_fit());
        self.open.iter_mut().for_each(Vec::shrink_to_fit);
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        let words: usize = self.slabs.iter().map(|slab| slab.words.capacity()).sum();
        let lists: usize = self.open.iter().map(Vec::capacity).sum::<usize>()
            + self.in_class.capacity()
            + self.vacant.capacity();
        ((words + lists) * size_of::<u32>() + self.slabs.capacity() * size_of::<Slab>()) as u64
    }
}

/// The slab of a block and its offset there.
#[inline]
fn place(block: u32) -> (usize, usize) {
    ((block >> OFFSET_BITS) as usize, (block as usize & ((1 << OFFSET_BITS) - 1)) * 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    #[test]
    fn classes_are_close_and_in_order() {
        let mut last = (0, 0);
        for words in 1..=BLOCK_WORDS_MAX {
            let (class, capacity) = class_of(words);
            assert!(capacity >= words && capacity < words + 2 + words / 4, "{words}: {capacity}");
            assert!(capacity.is_multiple_of(2));
            assert_eq!(class_of(capacity), (class, capacity));
            assert!((class, capacity) == last || (class == last.0 + 1 || last.1 == 0) && capacity > last.1);
            last = (class, capacity);
        }
    }

    fn fill(blocks: &mut Blocks, block: u32, words: usize, mark: u32) {
        blocks.get_mut(block)[..words].fill(mark);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
        #[test]
        fn blocks_keep_what_they_hold(steps in prop::collection::vec((0u32..100, 1usize..400, any::<u32>()), 1..600)) {
            let mut blocks = Blocks::default();
            // By mark: the block and its length.
            let mut model: BTreeMap<u32, (u32, usize)> = BTreeMap::new();
            for (mark, (kind, words, pick)) in steps.into_iter().enumerate() {
                let mark = mark as u32;
                let one = model.keys().nth(pick as usize % model.len().max(1)).copied();
                match (kind, one) {
                    (0..60, _) | (_, None) => {
                        let block = blocks.allocate(words);
                        fill(&mut blocks, block, words, mark);
                        model.insert(mark, (block, words));
                    }
                    (60..85, Some(one)) => {
                        blocks.free(model[&one].0);
                        model.remove(&one);
                    }
                    (85..97, Some(one)) => {
                        let (block, old) = model[&one];
                        let block = blocks.resized(block, words, old.min(words));
                        if words > old { blocks.get_mut(block)[old..words].fill(one); }
                        model.insert(one, (block, words));
                    }
                    (_, Some(_)) => {
                        if blocks.start_draining() {
                            for (block, _) in model.values_mut() {
                                *block = blocks.moved(*block);
                            }
                        }
                        blocks.stop_draining();
                    }
                }
                for (mark, &(block, words)) in &model {
                    prop_assert!(blocks.get(block)[..words].iter().all(|word| word == mark));
                }
            }
        }
    }

    #[test]
    fn draining_gives_memory_back() {
        let mut blocks = Blocks::default();
        let mut held: Vec<u32> = (0..20_000).map(|n| blocks.allocate(10 + n % 30)).collect();
        let full = blocks.allocated_bytes();
        let mut at = 0;
        held.retain(|&block| {
            at += 1;
            if at % 10 != 0 {
                blocks.free(block);
            }
            at % 10 == 0
        });
        assert!(blocks.wants_draining());
        assert!(blocks.start_draining());
        for block in &mut held {
            *block = blocks.moved(*block);
        }
        blocks.stop_draining();
        assert!(!blocks.wants_draining());
        blocks.fit();
        let held_bytes: usize = held.iter().map(|&block| blocks.get(block).len() * 4).sum();
        assert!(
            blocks.allocated_bytes() < held_bytes as u64 + 20_000,
            "{} for {held_bytes}",
            blocks.allocated_bytes()
        );
        // A few slabs of each class stay half full.
        assert!(blocks.allocated_bytes() < full / 10 + 600_000, "{} of {full}", blocks.allocated_bytes());
        held.into_iter().for_each(|block| blocks.free(block));
        assert!(blocks.allocated_bytes() < 40_000);
    }
}
