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
            Some(last) if last.len() < SEGMENT => last.push(value),
            Some(_) => {
                let mut segment = Vec::with_capacity(SEGMENT);
                segment.push(value);
                self.segments.push(segment);
            }
            None => self.segments.push(vec![value]),
        }
    }

    /// Keeps what `keep` marks, in order, and gives memory back.
    pub(crate) fn retain_marked(&mut self, keep: impl Fn(u32) -> bool) {
        let mut kept = Column::default();
        let mut at = 0;
        for segment in std::mem::take(&mut self.segments) {
            for value in segment {
                if keep(at) {
                    kept.push(value);
                }
                at += 1;
            }
        }
        *self = kept;
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        let elements: usize = self.segments.iter().map(Vec::capacity).sum();
        (elements * size_of::<T>() + self.segments.capacity() * size_of::<Vec<T>>()) as u64
    }
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
        column.retain_marked(|at| at % 2 == 0);
        assert_eq!(column.len(), count.div_ceil(2) as usize);
        assert_eq!(column.get(3), 18);
        assert!(column.allocated_bytes() >= 4 * column.len() as u64);
    }
}
