//! Things that many substrates share, by number, counted, so that a substrate keeps a byte or two
//! for its shape.

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

/// Fewer are not worth giving back.
const SMALL: usize = 64;

#[derive(Debug)]
struct Entry<T> {
    thing: Arc<T>,
    uses: u32,
}

/// Shared things in use.
#[derive(Debug)]
pub(crate) struct Counted<T> {
    entries: Vec<Option<Entry<T>>>,
    vacant: Vec<u32>,
    /// By address: equal things are one already.
    numbers: HashMap<usize, u32, RandomState>,
}

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Counted { entries: Vec::new(), vacant: Vec::new(), numbers: HashMap::default() }
    }
}

impl<T> Counted<T> {
    /// Counts one more use; gives the thing's number, and whether this is its first use.
    pub(crate) fn add(&mut self, thing: &Arc<T>) -> (u32, bool) {
        let address = Arc::as_ptr(thing).addr();
        if let Some(&number) = self.numbers.get(&address) {
            if let Some(Some(entry)) = self.entries.get_mut(number as usize) {
                entry.uses += 1;
            }
            return (number, false);
        }
        let entry = Some(Entry { thing: Arc::clone(thing), uses: 1 });
        // Vacant numbers at the end were forgotten with it.
        let vacant =
            std::iter::from_fn(|| self.vacant.pop()).find(|&number| (number as usize) < self.entries.len());
        let number = match vacant {
            Some(number) => {
                self.entries[number as usize] = entry;
                number
            }
            None => {
                self.entries.push(entry);
                self.entries.len() as u32 - 1
            }
        };
        self.numbers.insert(address, number);
        (number, true)
    }

    /// Counts one use less; the last one gives the thing back.
    pub(crate) fn release(&mut self, number: u32) -> Option<Arc<T>> {
        let slot = self.entries.get_mut(number as usize)?;
        let entry = slot.as_mut()?;
        entry.uses -= 1;
        if entry.uses > 0 {
            return None;
        }
        let thing = slot.take()?.thing;
        self.numbers.remove(&Arc::as_ptr(&thing).addr());
        self.vacant.push(number);
        self.shrink();
        Some(thing)
    }

    /// Gives memory back once three quarters are not in use.
    fn shrink(&mut self) {
        while let Some(None) = self.entries.last() {
            self.entries.pop();
        }
        let length = self.entries.len();
        if length.max(SMALL) * 4 < self.entries.capacity() {
            self.entries.shrink_to(length * 2);
            self.vacant.retain(|&number| (number as usize) < length);
            self.vacant.shrink_to(self.vacant.len() * 2);
        }
        if self.numbers.len().max(SMALL) * 4 < self.numbers.capacity() {
            self.numbers.shrink_to(self.numbers.len() * 2);
        }
    }

    /// The thing with this number, which a substrate holds.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&Arc<T>> {
        self.entries.get(number as usize)?.as_ref().map(|entry| &entry.thing)
    }

    /// The number of a thing in use.
    pub(crate) fn number(&self, thing: &Arc<T>) -> Option<u32> {
        self.numbers.get(&Arc::as_ptr(thing).addr()).copied()
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The table alone; what it holds belongs to the formula crate.
    pub(crate) fn allocated_bytes(&self) -> u64 {
        (self.entries.capacity() * size_of::<Option<Entry<T>>>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.numbers.allocation_size()) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_use_gives_the_thing_back() {
        let mut counted = Counted::default();
        let (a, b) = (Arc::new("a"), Arc::new("b"));
        assert_eq!((counted.add(&a), counted.add(&b), counted.add(&a)), ((0, true), (1, true), (0, false)));
        assert_eq!((counted.number(&b), counted.get(0), counted.len()), (Some(1), Some(&a), 2));
        assert_eq!(counted.release(0), None);
        assert_eq!(counted.release(0), Some(a));
        assert_eq!((counted.get(0), counted.len()), (None, 1));
        assert_eq!(counted.add(&Arc::new("c")), (0, true));
    }

    #[test]
    fn memory_comes_back() {
        let mut counted = Counted::default();
        let things: Vec<Arc<u32>> = (0..20_000).map(Arc::new).collect();
        let numbers: Vec<u32> = things.iter().map(|thing| counted.add(thing).0).collect();
        let full = counted.allocated_bytes();
        let stays = |at: usize| at == 7 || at == 1000;
        for at in (0..things.len()).filter(|&at| !stays(at)) {
            assert!(counted.release(numbers[at]).is_some());
        }
        assert!(counted.allocated_bytes() < full / 10, "{} of {full}", counted.allocated_bytes());
        // Numbers are given again, each once.
        let again: std::collections::BTreeSet<u32> =
            things.iter().map(|thing| counted.add(thing).0).collect();
        assert_eq!((again.len(), counted.len()), (things.len(), things.len()));
        assert!(
            (0..things.len()).filter(|&at| stays(at)).all(|at| counted.get(numbers[at]) == Some(&things[at]))
        );
    }
}
