//! The templates that substrates use, by number, counted, so that a substrate keeps four bytes.

use butterflyfx_formula::formula::Template;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

#[derive(Debug)]
struct Entry {
    template: Arc<Template>,
    uses: u32,
}

/// Templates in use.
#[derive(Debug, Default)]
pub(crate) struct TemplateTable {
    entries: Vec<Option<Entry>>,
    vacant: Vec<u32>,
    /// By address: equal code is one template already.
    numbers: HashMap<usize, u32, RandomState>,
}

impl TemplateTable {
    /// Counts one more use; gives the template's number.
    pub(crate) fn add(&mut self, template: &Arc<Template>) -> u32 {
        let address = Arc::as_ptr(template).addr();
        if let Some(&number) = self.numbers.get(&address) {
            if let Some(Some(entry)) = self.entries.get_mut(number as usize) {
                entry.uses += 1;
            }
            return number;
        }
        let entry = Some(Entry { template: Arc::clone(template), uses: 1 });
        let number = match self.vacant.pop() {
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
        number
    }

    /// Counts one use less; the last lets the template go.
    pub(crate) fn release(&mut self, number: u32) {
        let Some(slot) = self.entries.get_mut(number as usize) else { return };
        let Some(entry) = slot else { return };
        entry.uses -= 1;
        if entry.uses == 0 {
            self.numbers.remove(&Arc::as_ptr(&entry.template).addr());
            *slot = None;
            self.vacant.push(number);
        }
    }

    /// The template with this number, which a substrate holds.
    #[inline]
    pub(crate) fn get(&self, number: u32) -> Option<&Arc<Template>> {
        self.entries.get(number as usize)?.as_ref().map(|entry| &entry.template)
    }

    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The table alone; the templates themselves belong to the formula crate.
    pub(crate) fn allocated_bytes(&self) -> u64 {
        (self.entries.capacity() * size_of::<Option<Entry>>()
            + self.vacant.capacity() * size_of::<u32>()
            + self.numbers.allocation_size()) as u64
    }
}
