//! A growing list of numbers that change slowly, such as times: in blocks of 128, each number as its
//! distance from the block's least, in as many bits as the largest distance takes. What was created
//! in one batch, at one time, takes no bits at all.

use crate::state::column::Column;

/// Numbers of a block.
const BLOCK: usize = 128;

/// A full block: its least number, where its words begin, and how many bits each distance takes.
#[derive(Clone, Copy, Debug)]
struct Head {
    least: i64,
    start: u32,
    width: u32,
}

/// The numbers.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    heads: Column<Head>,
    words: Column<u64>,
    /// What has not filled a block yet.
    open: Vec<i64>,
}

impl Numbers {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.heads.len() * BLOCK + self.open.len()
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> i64 {
        let block = at as usize / BLOCK;
        if block >= self.heads.len() {
            return self.open[at as usize % BLOCK];
        }
        let Head { least, start, width } = self.heads.get(block as u32);
        if width == 0 {
            return least;
        }
        let bit = at as usize % BLOCK * width as usize;
        let (word, shift) = (start + (bit / 64) as u32, bit as u32 % 64);
        let mut distance = self.words.get(word) >> shift;
        if shift + width > 64 {
            distance |= self.words.get(word + 1) << (64 - shift);
        }
        least.wrapping_add((distance & (u64::MAX >> (64 - width))) as i64)
    }

    pub(crate) fn push(&mut self, number: i64) {
        self.open.push(number);
        if self.open.len() == BLOCK {
            self.seal();
        }
    }

    fn seal(&mut self) {
        let least = self.open.iter().copied().min().unwrap_or(0);
        let distances = || self.open.iter().map(|number| number.wrapping_sub(least) as u64);
        let width = u64::BITS - distances().max().unwrap_or(0).leading_zeros();
        self.heads.push(Head { least, start: self.words.len() as u32, width });
        let (mut word, mut filled) = (0_u64, 0);
        for distance in distances().filter(|_| width > 0) {
            word |= distance << filled;
            filled += width;
            if filled >= 64 {
                self.words.push(word);
                filled -= 64;
                // What of the distance did not fit.
                word = distance.checked_shr(width - filled).unwrap_or(0);
            }
        }
        self.open.clear();
    }

    /// How many numbers of an ascending list, all different, are at most `bound`. Each is at least one more than the
    /// one before, so that one look bounds where the others are: where few are left out, a few looks are enough.
    pub(crate) fn count_up_to(&self, bound: i64) -> u32 {
        let (mut low, mut high) = (0, self.len() as i64);
        let mut looks = 0;
        while low < high {
            let at = match looks {
                0 => high - 1,
                1 => low,
                _ => low + (high - low) / 2,
            };
            looks += 1;
            let number = self.get(at as u32);
            // How many there would be if none were left out between this one and the bound.
            let dense = bound.saturating_sub(number).saturating_add(at + 1);
            if number <= bound {
                low = at + 1;
                high = high.min(dense.max(low));
            } else {
                high = at;
                low = low.max(dense.min(high));
            }
        }
        low as u32
    }

    pub(crate) fn fit(&mut self) {
        self.heads.fit();
        self.words.fit();
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        self.heads.allocated_bytes() + self.words.allocated_bytes() + (self.open.capacity() * 8) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_come_back(numbers in prop::collection::vec(any::<i64>(), 0..600), shift in 0u32..64) {
            let mut packed = Numbers::default();
            let numbers: Vec<i64> = numbers.into_iter().map(|number| number >> shift).collect();
            for (at, &number) in numbers.iter().enumerate() {
                prop_assert_eq!(packed.len(), at);
                packed.push(number);
            }
            let read: Vec<i64> = (0..packed.len() as u32).map(|at| packed.get(at)).collect();
            prop_assert_eq!(read, numbers);
        }

        #[test]
        fn distinct_numbers_are_found(
            steps in prop::collection::vec((1i64..20, 1u32..60), 0..30),
            first in prop_oneof![Just(0), 0i64..50, Just(i64::MAX - 30_000)],
            bounds in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        ) {
            // Runs without gaps, with gaps between them.
            let mut numbers = Vec::new();
            let mut next = first;
            for (gap, run) in steps {
                numbers.extend((0..i64::from(run)).map(|one| next + one));
                next += i64::from(run) + gap;
            }
            let mut packed = Numbers::default();
            numbers.iter().for_each(|&number| packed.push(number));
            let all: Vec<i64> =
                (first.saturating_sub(3)..next + 3).chain([i64::MIN, -1, 0, i64::MAX]).collect();
            for bound in bounds {
                let bound = *bound.get(&all);
                let expected = numbers.partition_point(|&number| number <= bound);
                prop_assert_eq!(packed.count_up_to(bound) as usize, expected, "{}", bound);
            }
        }
    }

    #[test]
    fn equal_and_close_numbers_take_few_bits() {
        let mut packed = Numbers::default();
        (0..128_000).for_each(|at| packed.push(1_700_000_000_000_000 + at / 1000));
        assert!(packed.allocated_bytes() < 128_000 / 2, "{}", packed.allocated_bytes());
    }
}
