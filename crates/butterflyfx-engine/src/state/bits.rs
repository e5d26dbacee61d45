//! Numbers of equal width, one after the other in words: reading one, making room for one, taking
//! one out.

/// Bits that a number takes, at least one.
#[inline]
pub(crate) fn width_of(number: u32) -> u32 {
    (u32::BITS - number.leading_zeros()).max(1)
}

#[inline]
fn mask(width: u32) -> u64 {
    (1 << width) - 1
}

/// Two words as one, zeros past the end.
#[inline]
fn pair(words: &[u32], at: usize) -> u64 {
    let high = words.get(at + 1).copied().unwrap_or(0);
    u64::from(words[at]) | u64::from(high) << 32
}

/// The number at a place.
#[inline]
pub(crate) fn read(words: &[u32], bit: usize, width: u32) -> u32 {
    (pair(words, bit / 32) >> (bit % 32) & mask(width)) as u32
}

/// Sets the number at a place.
#[inline]
pub(crate) fn write(words: &mut [u32], bit: usize, width: u32, number: u32) {
    let (at, shift) = (bit / 32, bit % 32);
    let word = pair(words, at) & !(mask(width) << shift) | u64::from(number) << shift;
    words[at] = word as u32;
    if let Some(high) = words.get_mut(at + 1) {
        *high = (word >> 32) as u32;
    }
}

/// Puts a number before what stands at a place; `length` bits are in use, and there is room.
pub(crate) fn insert(words: &mut [u32], length: usize, bit: usize, width: u32, number: u32) {
    let (first, below) = (bit / 32, (1_u32 << (bit % 32)) - 1);
    let last = (length + width as usize - 1) / 32;
    let words = &mut words[first..=last];
    let kept = words[0] & below;
    words[0] &= !below;
    if width < u32::BITS {
        // From the end, eight words at a time from copies, which the compiler turns into vectors.
        let mut end = words.len();
        while end > 8 {
            let old: [u32; 9] = std::array::from_fn(|at| words[end - 9 + at]);
            let new: [u32; 8] = std::array::from_fn(|at| old[at + 1] << width | old[at] >> (32 - width));
            words[end - 8..end].copy_from_slice(&new);
            end -= 8;
        }
        for at in (1..end).rev() {
            words[at] = words[at] << width | words[at - 1] >> (32 - width);
        }
    } else {
        words.copy_within(..words.len() - 1, 1);
    }
    words[0] = (u64::from(words[0]) << width) as u32 | kept;
    write(words, bit % 32, width, number);
}

/// Takes the number at a place out; `length` bits are in use.
pub(crate) fn remove(words: &mut [u32], length: usize, bit: usize, width: u32) {
    let (first, below) = (bit / 32, (1_u32 << (bit % 32)) - 1);
    let last = (length - 1) / 32;
    let kept = words[first] & below;
    for at in first..=last {
        words[at] = (pair(words, at) >> width) as u32;
    }
    words[first] = words[first] & !below | kept;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn equals_a_vector(width in 1u32..=32, steps in prop::collection::vec((any::<u32>(), any::<usize>(), 0u8..10), 1..200)) {
            let mut words = vec![0xDEAD_BEEF_u32; 256];
            let mut model: Vec<u32> = Vec::new();
            for (number, pick, kind) in steps {
                let number = (u64::from(number) & mask(width)) as u32;
                let length = model.len() * width as usize;
                if kind < 6 || model.is_empty() {
                    let at = pick % (model.len() + 1);
                    insert(&mut words, length, at * width as usize, width, number);
                    model.insert(at, number);
                } else if kind < 8 {
                    let at = pick % model.len();
                    remove(&mut words, length, at * width as usize, width);
                    model.remove(at);
                } else {
                    let at = pick % model.len();
                    write(&mut words, at * width as usize, width, number);
                    model[at] = number;
                }
                let all: Vec<u32> = (0..model.len()).map(|at| read(&words, at * width as usize, width)).collect();
                prop_assert_eq!(&all, &model);
            }
        }
    }

    #[test]
    fn widths() {
        for (number, width) in [(0, 1), (1, 1), (2, 2), (255, 8), (256, 9), (u32::MAX, 32)] {
            assert_eq!(width_of(number), width);
        }
    }
}
