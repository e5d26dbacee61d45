//! A set of slots: a bitmap in pages that are made when first needed, so that a small walk over a
//! large graph stays small, and a large one takes a bit for each slot.

/// Bits in a page.
const PAGE_BITS: usize = 4096;

/// A set of slots.
#[derive(Debug, Default)]
pub(crate) struct SlotSet {
    pages: Vec<Option<Box<[u64; PAGE_BITS / 64]>>>,
}

impl SlotSet {
    /// Whether the slot is in it.
    #[inline]
    pub(crate) fn contains(&self, slot: u32) -> bool {
        let slot = slot as usize;
        match self.pages.get(slot / PAGE_BITS) {
            Some(Some(page)) => page[slot % PAGE_BITS / 64] & (1 << (slot % 64)) != 0,
            _ => false,
        }
    }

    /// Adds a slot; whether it is new.
    pub(crate) fn insert(&mut self, slot: u32) -> bool {
        let slot = slot as usize;
        if self.pages.len() <= slot / PAGE_BITS {
            self.pages.resize(slot / PAGE_BITS + 1, None);
        }
        let page = self.pages[slot / PAGE_BITS].get_or_insert_with(|| Box::new([0; PAGE_BITS / 64]));
        let word = &mut page[slot % PAGE_BITS / 64];
        let is_new = *word & (1 << (slot % 64)) == 0;
        *word |= 1 << (slot % 64);
        is_new
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn equals_a_plain_set(slots in prop::collection::vec(0u32..20_000, 0..300), asked in 0u32..30_000) {
            let mut set = SlotSet::default();
            let mut model = BTreeSet::new();
            for slot in slots {
                prop_assert_eq!(set.insert(slot), model.insert(slot));
            }
            for slot in model.iter().copied().chain([asked, u32::MAX]) {
                prop_assert_eq!(set.contains(slot), model.contains(&slot));
            }
        }
    }
}
