//! A declared index over one metadata key: each value with the substrates that have it, in the
//! order of creation.

use crate::model::Timestamp;
use crate::state::key::Key;
use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::ops::Bound;

/// The substrates that have one value; most values of a key like `name` have one.
#[derive(Clone, Debug)]
pub(crate) enum Postings {
    /// One slot.
    One(u32),
    /// Several, ascending.
    Many(BTreeSet<u32>),
}

impl Postings {
    pub(crate) fn len(&self) -> usize {
        match self {
            Postings::One(_) => 1,
            Postings::Many(slots) => slots.len(),
        }
    }

    /// Slots from `first` on, ascending.
    pub(crate) fn from(&self, first: u32) -> impl Iterator<Item = u32> + '_ {
        let (one, many) = match self {
            Postings::One(slot) => (Some(*slot).filter(|&slot| slot >= first), None),
            Postings::Many(slots) => (None, Some(slots.range(first..).copied())),
        };
        one.into_iter().chain(many.into_iter().flatten())
    }
}

/// An ordered index.
#[derive(Debug)]
pub(crate) struct Index {
    /// When it was declared.
    pub(crate) created_at: Timestamp,
    /// Slots below this are in; the index is filled in slices after it is declared.
    pub(crate) filled: u32,
    /// Whether it may serve searches.
    pub(crate) ready: bool,
    values: BTreeMap<Key, Postings>,
    entries: u64,
    heap_bytes: u64,
}

/// What a node of the ordered map costs a value, about: key, postings and the slack of nodes.
const VALUE_BYTES: u64 = (size_of::<Key>() + size_of::<Postings>()) as u64 * 3 / 2;
/// The same for a slot among several.
const SLOT_BYTES: u64 = 8;

impl Index {
    pub(crate) fn new(created_at: Timestamp) -> Index {
        Index { created_at, filled: 0, ready: false, values: BTreeMap::new(), entries: 0, heap_bytes: 0 }
    }

    pub(crate) fn entries(&self) -> u64 {
        self.entries
    }

    pub(crate) fn distinct_values(&self) -> u64 {
        self.values.len() as u64
    }

    pub(crate) fn insert(&mut self, key: Key, slot: u32) {
        self.entries += 1;
        match self.values.entry(key) {
            Entry::Vacant(vacant) => {
                self.heap_bytes += vacant.key().heap_bytes() as u64;
                vacant.insert(Postings::One(slot));
            }
            Entry::Occupied(mut occupied) => match occupied.get_mut() {
                Postings::Many(slots) => {
                    slots.insert(slot);
                }
                one @ Postings::One(_) => {
                    let Postings::One(first) = *one else { return };
                    *one = Postings::Many(BTreeSet::from([first, slot]));
                }
            },
        }
    }

    pub(crate) fn remove(&mut self, key: &Key, slot: u32) {
        let Some(postings) = self.values.get_mut(key) else {
            debug_assert!(false, "{key:?} of slot {slot} is not in its index");
            return;
        };
        self.entries -= 1;
        let is_empty = match postings {
            Postings::One(_) => true,
            Postings::Many(slots) => {
                slots.remove(&slot);
                if let (1, Some(&last)) = (slots.len(), slots.first()) {
                    *postings = Postings::One(last);
                }
                false
            }
        };
        if is_empty {
            self.heap_bytes -= key.heap_bytes() as u64;
            self.values.remove(key);
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<&Postings> {
        self.values.get(key)
    }

    /// Values in a range, ascending from either end.
    pub(crate) fn range(&self, range: &KeyRange) -> impl DoubleEndedIterator<Item = (&Key, &Postings)> {
        let range = if range.is_empty() { None } else { Some((range.low.as_ref(), range.high.as_ref())) };
        range.map(|range| self.values.range::<Key, _>(range)).into_iter().flatten()
    }

    /// The number of slots in a range, counted up to about `most`.
    pub(crate) fn count(&self, range: &KeyRange, most: usize) -> usize {
        let mut count = 0;
        for (_, postings) in self.range(range) {
            count += postings.len();
            if count > most {
                break;
            }
        }
        count
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        self.heap_bytes + self.values.len() as u64 * VALUE_BYTES + self.entries * SLOT_BYTES
    }
}

/// A range of keys.
#[derive(Clone, Debug)]
pub(crate) struct KeyRange {
    pub(crate) low: Bound<Key>,
    pub(crate) high: Bound<Key>,
}

impl Default for KeyRange {
    fn default() -> Self {
        KeyRange::ALL
    }
}

impl KeyRange {
    pub(crate) const ALL: KeyRange = KeyRange { low: Bound::Unbounded, high: Bound::Unbounded };

    /// Keeps what lies between these bounds, too.
    pub(crate) fn narrow(&mut self, low: Bound<Key>, high: Bound<Key>) {
        let is_higher = match (&low, &self.low) {
            (Bound::Unbounded, _) => false,
            (_, Bound::Unbounded) => true,
            (Bound::Included(new), Bound::Included(old) | Bound::Excluded(old)) => new > old,
            (Bound::Excluded(new), Bound::Included(old) | Bound::Excluded(old)) => new >= old,
        };
        if is_higher {
            self.low = low;
        }
        let is_lower = match (&high, &self.high) {
            (Bound::Unbounded, _) => false,
            (_, Bound::Unbounded) => true,
            (Bound::Included(new), Bound::Included(old) | Bound::Excluded(old)) => new < old,
            (Bound::Excluded(new), Bound::Included(old) | Bound::Excluded(old)) => new <= old,
        };
        if is_lower {
            self.high = high;
        }
    }

    /// The ordered map refuses such bounds with a panic, so they are seen before.
    fn is_empty(&self) -> bool {
        match (&self.low, &self.high) {
            (Bound::Included(low), Bound::Included(high)) => low > high,
            (Bound::Included(low) | Bound::Excluded(low), Bound::Included(high) | Bound::Excluded(high)) => {
                low >= high
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn postings_and_counts() {
        let mut index = Index::new(Timestamp(0));
        let pairs = [(3, 10), (1, 11), (3, 12), (2, 13), (3, 5)];
        for (key, slot) in pairs {
            index.insert(Key::Int(key), slot);
        }
        assert_eq!((index.entries(), index.distinct_values()), (5, 3));
        let slots: Vec<u32> = index.get(&Key::Int(3)).unwrap().from(6).collect();
        assert_eq!(slots, [10, 12]);
        let range =
            |low: Bound<i64>, high: Bound<i64>| KeyRange { low: low.map(Key::Int), high: high.map(Key::Int) };
        let check = |low, high, expected: &[i64]| {
            let range = range(low, high);
            let keys: Vec<Key> = index.range(&range).map(|(key, _)| key.clone()).collect();
            assert_eq!(keys, expected.iter().map(|&key| Key::Int(key)).collect::<Vec<_>>());
        };
        check(Bound::Unbounded, Bound::Unbounded, &[1, 2, 3]);
        check(Bound::Excluded(1), Bound::Included(3), &[2, 3]);
        check(Bound::Included(3), Bound::Included(1), &[]);
        check(Bound::Excluded(2), Bound::Excluded(2), &[]);
        check(Bound::Included(2), Bound::Excluded(2), &[]);
        for (key, slot) in pairs {
            index.remove(&Key::Int(key), slot);
        }
        assert_eq!((index.entries(), index.distinct_values(), index.heap_bytes), (0, 0, 0));
    }
}
