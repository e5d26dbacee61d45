//! A growing array in segments: no doubling copy of the whole (a pause and half of the memory
//! wasted), one more load for each access.

const SEGMENT_BITS: u32 = 16;
const SEGMENT: usize = 1 << SEGMENT_BITS;

/// A dense array of small plain values, indexed by slot.
#[derive(Debug)]
pub(crate) struct Column<T> {
    /// Each but the last is full. The first grows by doubling, so that a small engine is small.
    segments: Vec<Vec<T>>,
}

impl<T> Default for Column<T> {
    fn default() -> Self {
        Column { segments: Vec::new() }
    }
}

impl<T: Copy> Column<T> {
    #[inline]
    pub(crate) fn len(&self) -> usize {
        match self.segments.last() {
            Some(last) => (self.segments.len() - 1) * SEGMENT + last.len(),
            None => 0,
        }
    }

    #[inline]
    pub(crate) fn get(&self, at: u32) -> T {
        self.segments[(at >> SEGMENT_BITS) as usize][at as usize & (SEGMENT - 1)]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, at: u32) -> &mut T {
        &mut self.segments[(at >> SEGMENT_BITS) as usize][at as usize & (SEGMENT - 1)]
    }

    pub(crate) fn push(&mut self, value: T) {
        match self.segments.last_mut() {
            Some(last) if last.len() < SEGMENT => push_within(last, value, SEGMENT),
            Some(_) => {
                let mut segment = Vec::with_capacity(SEGMENT);
                segment.push(value);
                self.segments.push(segment);
            }
            None => self.segments.push(vec![value]),
        }
    }

    /// Forgets everything from an index on, and gives whole segments back.
    pub(crate) fn truncate(&mut self, length: u32) {
        let length = length as usize;
        self.segments.truncate(length.div_ceil(SEGMENT));
        if let Some(last) = self.segments.last_mut() {
            last.truncate(length - (length - 1) / SEGMENT * SEGMENT);
            // Not each time that a little is taken away: see `fit` for the rest.
            if last.len() <= last.capacity() / 4 {
                last.shrink_to(last.len() * 2);
            }
        }
        self.segments.shrink_to(self.segments.len() * 2);
    }

    /// Gives back what lies behind the end, which is resident where it has been written to.
    pub(crate) fn fit(&mut self) {
        if let Some(last) = self.segments.last_mut() {
            last.shrink_to_fit();
        }
        self.segments.shrink_to_fit();
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        let elements: usize = self.segments.iter().map(Vec::capacity).sum();
        (elements * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()) as u64
    }
}

/// Adds to a vector that will hold at most `most`: growing by doubling must not overshoot that, as it would after the
/// vector was shrunk.
#[inline]
pub(crate) fn push_within<T>(vector: &mut Vec<T>, value: T, most: usize) {
    if vector.len() == vector.capacity() {
        let target = (vector.len() * 2).clamp(4, most.max(4));
        vector.reserve_exact(target.saturating_sub(vector.len()).max(1));
    }
    vector.push(value);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_behave_as_one_array() {
        let mut column = Column::default();
        let count = SEGMENT as u32 * 2 + 7;
        for at in 0..count {
            assert_eq!(column.len(), at as usize);
            column.push(at * 3);
        }
        *column.get_mut(SEGMENT as u32) = 1;
        assert_eq!(
            (column.get(0), column.get(SEGMENT as u32), column.get(count - 1)),
            (0, 1, (count - 1) * 3)
        );
        for length in [count - 1, SEGMENT as u32 * 2 + 1, SEGMENT as u32 * 2, SEGMENT as u32 + 1, 5, 1, 0] {
            column.truncate(length);
            assert_eq!(column.len(), length as usize);
            assert!(column.allocated_bytes() >= 4 * column.len() as u64);
            if length > 0 {
                assert_eq!(
                    column.get(length - 1),
                    if length - 1 == SEGMENT as u32 { 1 } else { (length - 1) * 3 }
                );
            }
        }
        column.push(9);
        assert_eq!((column.len(), column.get(0)), (1, 9));
    }

    #[test]
    fn what_is_truncated_gives_its_memory_back() {
        let check = |length: u32| {
            let mut column = Column::default();
            (0..SEGMENT as u32 * 3).for_each(|at| column.push(at));
            column.truncate(length);
            column.fit();
            let bytes = 4 * u64::from(length) + 200;
            assert!(column.allocated_bytes() <= bytes, "{} for {length}", column.allocated_bytes());
            // And grows again within its segments.
            (length..SEGMENT as u32 * 2).for_each(|at| column.push(at));
            assert!(column.allocated_bytes() <= 4 * SEGMENT as u64 * 2 + 200);
            assert!((0..SEGMENT as u32 * 2).all(|at| column.get(at) == at));
        };
        [1, 100, SEGMENT as u32 - 1, SEGMENT as u32, SEGMENT as u32 + 1, SEGMENT as u32 + 40_000]
            .into_iter()
            .for_each(check);
    }
}
