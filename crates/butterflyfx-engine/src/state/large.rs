//! Numbers in one piece of memory for which the system is asked to use large pages.
//!
//! Reading at random in 40 MB of pages of 4 KiB waits for the translation of addresses, too: the ends of 25 million
//! relationships took twice the processor time (1.8 s where it is 0.8 s now). The state's own columns grow by segments and give memory back, which large pages are too coarse for; this is for a copy
//! that is read fifty million times and then thrown away.

use memmap2::MmapMut;

const BYTES: usize = size_of::<u64>();

/// A copy of numbers, by place.
#[derive(Debug)]
pub(crate) struct LargeCopy {
    bytes: MmapMut,
}

impl LargeCopy {
    /// `None` where the system has no room.
    pub(crate) fn of(numbers: impl ExactSizeIterator<Item = u64>) -> Option<LargeCopy> {
        let mut bytes = MmapMut::map_anon(numbers.len().checked_mul(BYTES)?).ok()?;
        // It is advice: small pages hold the same.
        #[cfg(target_os = "linux")]
        let _ = bytes.advise(memmap2::Advice::HugePage);
        for (place, number) in bytes.chunks_exact_mut(BYTES).zip(numbers) {
            place.copy_from_slice(&number.to_ne_bytes());
        }
        Some(LargeCopy { bytes })
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> u64 {
        let start = at as usize * BYTES;
        let mut number = [0; BYTES];
        number.copy_from_slice(&self.bytes[start..start + BYTES]);
        u64::from_ne_bytes(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_what_it_was_given() {
        let numbers = |at: u32| u64::from(at).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        let count = 600_000;
        let copy = LargeCopy::of((0..count).map(numbers)).unwrap();
        assert!((0..count).all(|at| copy.get(at) == numbers(at)));
    }
}
