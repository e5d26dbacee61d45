//! Results of long evaluations, kept within a bound of bytes, so that the same question is not
//! evaluated twice. `docs/decisions/0015-results-cache.md` says why it is so.
//!
//! What is kept is the text of the result as the answer shows it, and the cost. A question is a
//! formula (its template and its constants) with the exact parameters, as bytes; they are kept
//! whole and compared whole, so that what is found is what was asked, whatever hashes say. No
//! identity is in it: a substrate that gets another formula asks another question at once.
//!
//! Short formulas are not looked up: they take less time than looking. Nor is what reads other
//! substrates along relationships: the question would have to hold all of them.

mod key;

use butterflyfx_engine::model::{Edition, Evaluation};
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::formula::{Formula, Template};
use butterflyfx_formula::meter::Cost;
use foldhash::fast::RandomState;
use quick_cache::sync::Cache;
use quick_cache::{Equivalent, Lifecycle, OptionsBuilder, Weighter};
use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

/// An entry counts as at least this much. What the cache's own tables take grows with the number
/// of entries and is never given back, so that number is bounded by this.
const ENTRY_BYTES_MIN: u64 = 512;

/// This part of the bytes is left to those tables: a fifth. At most 8 entries in 5 KiB have places
/// there, of some 50 bytes, doubled as tables grow; and an eighth more that remember what is gone.
const TABLES_PART: u64 = 5;

/// A part of the cache with a lock of its own has at least this much room.
const SHARD_BYTES_MIN: u64 = 4 * 1024 * 1024;

const SHARDS_MAX: u64 = 16;

/// An entry takes at most this part of a shard's room.
const ENTRY_PART_MAX: u64 = 4;

/// A result is kept where it took a step for each so many bytes of its entry, so that a long
/// parameter that is hardly looked at puts nothing out.
const BYTES_PER_STEP: u64 = 256;

/// What was asked: which formula, with which parameters.
#[derive(Debug)]
pub(crate) struct Question {
    edition: Edition,
    template: Arc<Template>,
    key: Vec<u8>,
    hash: u64,
}

/// A result that was kept.
#[derive(Debug)]
pub(crate) struct Kept {
    /// As JSON.
    pub(crate) text: Box<str>,
    /// What the evaluation cost.
    pub(crate) cost: Cost,
    /// Equal formulas share one template while any of them lives. Held so, its address belongs to
    /// nothing else, and its code is dropped all the same.
    template: Weak<Template>,
    key: Box<[u8]>,
    hash: u64,
    weight: u64,
}

/// An entry as the table's key.
struct Entry(Arc<Kept>);

impl Hash for Entry {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Entry) -> bool {
        let (one, other) = (&*self.0, &*other.0);
        one.hash == other.hash && Weak::ptr_eq(&one.template, &other.template) && one.key == other.key
    }
}

impl Eq for Entry {}

impl Hash for Question {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.hash);
    }
}

impl Equivalent<Entry> for Question {
    fn equivalent(&self, entry: &Entry) -> bool {
        let kept = &*entry.0;
        self.hash == kept.hash
            && std::ptr::eq(Arc::as_ptr(&self.template), kept.template.as_ptr())
            && *self.key == *kept.key
    }
}

#[derive(Clone, Debug)]
struct Weigh;

impl Weighter<Entry, Arc<Kept>> for Weigh {
    fn weight(&self, _: &Entry, kept: &Arc<Kept>) -> u64 {
        kept.weight
    }
}

/// Hands what has to go to whoever inserts, who lets it go after the lock.
#[derive(Clone, Debug)]
struct HandOut;

impl Lifecycle<Entry, Arc<Kept>> for HandOut {
    type RequestState = Vec<Entry>;

    fn on_evict(&self, gone: &mut Vec<Entry>, entry: Entry, _: Arc<Kept>) {
        gone.push(entry);
    }
}

/// The results kept.
#[derive(Debug)]
pub(crate) struct ResultCache {
    cache: Cache<Entry, Arc<Kept>, Weigh, RandomState, HandOut>,
    hasher: RandomState,
    evictions: AtomicU64,
    entry_bytes_max: u64,
    bytes_max: u64,
}

impl ResultCache {
    /// A cache that takes at most so many bytes, tables included; `None` for none at all.
    pub(crate) fn new(bytes_max: u64) -> Option<ResultCache> {
        let room = bytes_max - bytes_max / TABLES_PART;
        let shards = (room / SHARD_BYTES_MIN).clamp(1, SHARDS_MAX).ilog2();
        // What is remembered of entries that are gone is a half of this.
        let items = (room / ENTRY_BYTES_MIN / 4).max(1);
        let options = OptionsBuilder::new()
            .shards(1 << shards)
            .estimated_items_capacity(usize::try_from(items).ok()?)
            .weight_capacity(room)
            .build()
            .ok()?;
        let cache = Cache::with_options(options, Weigh, RandomState::default(), HandOut);
        let entry_bytes_max = cache.shard_capacity() / ENTRY_PART_MAX;
        (entry_bytes_max >= ENTRY_BYTES_MIN).then_some(ResultCache {
            cache,
            hasher: RandomState::default(),
            evictions: AtomicU64::new(0),
            entry_bytes_max,
            bytes_max,
        })
    }

    /// The question that an invocation asks; `None` where it is too long, or has no exact form.
    pub(crate) fn question(
        &self,
        edition: Edition,
        formula: &Formula,
        parameters: &Dict,
    ) -> Option<Question> {
        let bytes_max = usize::try_from(self.entry_bytes_max).unwrap_or(usize::MAX);
        let key = key::key(&formula.constants, parameters, bytes_max)?;
        let template = Arc::clone(&formula.template);
        let hash = self.hasher.hash_one((Arc::as_ptr(&template), &*key));
        Some(Question { edition, template, key, hash })
    }

    /// The result that was kept for a question.
    pub(crate) fn find(&self, question: &Question) -> Option<Arc<Kept>> {
        self.cache.get(question)
    }

    /// Keeps the result of an evaluation, as its text, unless the substrate was given another formula
    /// or inputs between the question and the evaluation, or the result is not worth its bytes.
    pub(crate) fn keep(&self, question: Question, evaluation: &Evaluation, text: &str) {
        let Question { edition, template, key, hash } = question;
        let weight = weight(key.len(), text.len());
        if evaluation.edition != Some(edition)
            || weight > self.entry_bytes_max
            || weight / BYTES_PER_STEP > evaluation.cost.steps
        {
            return;
        }
        let kept = Arc::new(Kept {
            text: text.into(),
            cost: evaluation.cost,
            template: Arc::downgrade(&template),
            key: key.into(),
            hash,
            weight,
        });
        let mut gone = Vec::new();
        self.cache.insert_with_lifecycle(Entry(Arc::clone(&kept)), Arc::clone(&kept), &mut gone);
        // The same result, where someone kept it meanwhile, has not gone for another.
        let new = Entry(kept);
        let evictions = gone.iter().filter(|entry| **entry != new).count();
        self.evictions.fetch_add(evictions as u64, Ordering::Relaxed);
    }

    /// Entries now.
    pub(crate) fn entries(&self) -> u64 {
        self.cache.len() as u64
    }

    /// Bytes that they take.
    pub(crate) fn bytes(&self) -> u64 {
        self.cache.weight()
    }

    /// Bytes that all may take.
    pub(crate) fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Entries that had to go for others.
    pub(crate) fn evictions(&self) -> u64 {
        self.evictions.load(Ordering::Relaxed)
    }
}

/// What an entry with so long a key and text takes. Of a template that nobody else uses any more
/// the outermost part stays.
fn weight(key: usize, text: usize) -> u64 {
    const COUNTS: usize = 2 * size_of::<usize>();
    let parts = [size_of::<Kept>() + COUNTS, size_of::<Template>() + COUNTS, key, text];
    parts.into_iter().map(allocated).sum::<u64>().max(ENTRY_BYTES_MIN)
}

/// The bytes that an allocator spends on so many: there are about four sizes from one power of two
/// to the next.
fn allocated(bytes: usize) -> u64 {
    let bytes = bytes.max(16) as u64;
    bytes.next_multiple_of((bytes.next_power_of_two() / 8).max(16))
}

#[cfg(test)]
mod tests;
