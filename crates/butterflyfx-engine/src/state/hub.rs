//! A long ascending list of relationships, in pieces, so that taking one out of a million moves a
//! few hundred at most.

/// Entries of a piece.
const PIECE: usize = if cfg!(test) { 8 } else { 512 };

/// A long list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hub {
    /// None is empty; ascending within and from one to the next.
    pieces: Vec<Vec<u32>>,
    count: u32,
}

impl Hub {
    pub(crate) fn new(entries: &[u32]) -> Hub {
        Hub { pieces: entries.chunks(PIECE).map(<[u32]>::to_vec).collect(), count: entries.len() as u32 }
    }

    pub(crate) fn count(&self) -> u32 {
        self.count
    }

    /// The last entries, at most `most`, ascending.
    pub(crate) fn end(&self, most: usize) -> Vec<u32> {
        let mut entries: Vec<u32> =
            self.pieces.iter().rev().flat_map(|piece| piece.iter().rev()).take(most).copied().collect();
        entries.reverse();
        entries
    }

    /// Adds one that is greater than all.
    pub(crate) fn push(&mut self, relationship: u32) {
        match self.pieces.last_mut() {
            Some(last) if last.len() < PIECE => {
                if last.len() == last.capacity() {
                    last.reserve_exact((last.len() / 2).clamp(8, PIECE));
                }
                last.push(relationship);
            }
            _ => self.pieces.push(vec![relationship]),
        }
        self.count += 1;
    }

    /// The piece that holds the first entry from `first` on, and its place there.
    fn find(&self, first: u32) -> (usize, usize) {
        let piece = self.pieces.partition_point(|piece| piece.last().is_some_and(|&last| last < first));
        let at = self.pieces.get(piece).map_or(0, |piece| piece.partition_point(|&one| one < first));
        (piece, at)
    }

    pub(crate) fn remove(&mut self, relationship: u32) -> bool {
        let (number, at) = self.find(relationship);
        let Some(piece) = self.pieces.get_mut(number).filter(|piece| piece.get(at) == Some(&relationship))
        else {
            return false;
        };
        piece.remove(at);
        self.count -= 1;
        let left = piece.len();
        if left == 0 {
            self.pieces.remove(number);
        } else if left < PIECE / 4 && number > 0 && self.pieces[number - 1].len() + left <= PIECE {
            let piece = self.pieces.remove(number);
            self.pieces[number - 1].extend_from_slice(&piece);
        } else if left * 2 < self.pieces[number].capacity() {
            self.pieces[number].shrink_to(left + left / 4);
        }
        true
    }

    /// Gives an entry another number, between the same neighbours.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) -> bool {
        let (piece, at) = self.find(from);
        match self.pieces.get_mut(piece).and_then(|piece| piece.get_mut(at)) {
            Some(entry) if *entry == from => {
                *entry = to;
                true
            }
            _ => false,
        }
    }

    /// Entries from `first` on, ascending.
    pub(crate) fn from(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let (piece, at) = self.find(first);
        let rest = self.pieces.get(piece..).unwrap_or_default();
        rest.iter().flatten().copied().skip(at)
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        let entries: usize = self.pieces.iter().map(Vec::capacity).sum();
        (entries * size_of::<u32>() + self.pieces.capacity() * size_of::<Vec<u32>>()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn equals_a_set(steps in prop::collection::vec((any::<bool>(), any::<usize>()), 1..300), first in 0u32..700) {
            let mut hub = Hub::new(&[]);
            let mut model = BTreeSet::new();
            let mut next = 0;
            for (is_push, pick) in steps {
                if is_push || model.is_empty() {
                    hub.push(next);
                    model.insert(next);
                    next += 2;
                } else {
                    let one = model.iter().nth(pick % model.len()).copied().unwrap_or(0);
                    if pick % 3 == 0 && one % 2 == 0 {
                        prop_assert!(hub.renumber(one, one + 1));
                        model.remove(&one);
                        model.insert(one + 1);
                    } else {
                        prop_assert!(hub.remove(one));
                        model.remove(&one);
                    }
                }
                prop_assert!(!hub.remove(next + 10));
            }
            prop_assert_eq!(hub.from(first).collect::<Vec<_>>(), model.range(first..).copied().collect::<Vec<_>>());
            prop_assert_eq!(hub.count() as usize, model.len());
            let end: Vec<u32> = model.iter().rev().take(11).rev().copied().collect();
            prop_assert_eq!(hub.end(11), end);
        }
    }
}
