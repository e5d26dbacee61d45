//! From a 64-bit identity to its slot.

use foldhash::fast::RandomState;
use hashbrown::HashTable;
use std::hash::BuildHasher;

/// A table doubles in one go; 64 small ones double at different times, each 64 times as fast.
const SHARDS: usize = 64;

/// Slots by identity. Identities stay in their column; the table holds slots alone. The seed is
/// random, so nobody can choose identities that collide; it shows nowhere.
#[derive(Debug)]
pub(crate) struct Identities {
    shards: Vec<HashTable<u32>>,
    seed: RandomState,
}

impl Default for Identities {
    fn default() -> Self {
        Identities { shards: (0..SHARDS).map(|_| HashTable::new()).collect(), seed: RandomState::default() }
    }
}

impl Identities {
    /// The table uses the lowest bits and the highest seven; the shard, bits in between.
    #[inline]
    fn place(&self, identity: u64) -> (usize, u64) {
        let hash = self.seed.hash_one(identity);
        ((hash >> 40) as usize % SHARDS, hash)
    }

    #[inline]
    pub(crate) fn find(&self, identity: u64, identity_of: impl Fn(u32) -> u64) -> Option<u32> {
        let (shard, hash) = self.place(identity);
        self.shards[shard].find(hash, |&slot| identity_of(slot) == identity).copied()
    }

    /// Adds an identity that is not there.
    pub(crate) fn insert(&mut self, identity: u64, slot: u32, identity_of: impl Fn(u32) -> u64) {
        let (shard, hash) = self.place(identity);
        let seed = &self.seed;
        self.shards[shard].insert_unique(hash, slot, |&slot| seed.hash_one(identity_of(slot)));
    }

    pub(crate) fn remove(&mut self, identity: u64, identity_of: impl Fn(u32) -> u64) {
        let (shard, hash) = self.place(identity);
        if let Ok(entry) = self.shards[shard].find_entry(hash, |&slot| identity_of(slot) == identity) {
            entry.remove();
        }
    }

    /// Forgets everything and takes `slots` instead, each alive, with their identities.
    pub(crate) fn refill(&mut self, slots: u32, identity_of: impl Fn(u32) -> u64) {
        for shard in &mut self.shards {
            *shard = HashTable::with_capacity((slots as usize / SHARDS) * 17 / 16);
        }
        for slot in 0..slots {
            self.insert(identity_of(slot), slot, &identity_of);
        }
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        self.shards.iter().map(|shard| (shard.allocation_size() + size_of::<HashTable<u32>>()) as u64).sum()
    }
}
