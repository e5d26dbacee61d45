//! A Python dict: insertion order, keys compared as Python compares them (`1 == 1.0 == True`).

use crate::error::Result;
use crate::meter::Meter;
use crate::operate;
use crate::teardown::drop_children;
use crate::text::Text;
use crate::value::Value;
use hashbrown::HashTable;

/// One pair, with its key's hash.
#[derive(Clone, Debug)]
struct Entry {
    hash: u64,
    key: Value,
    value: Value,
}

/// Up to this many entries are searched one by one, without a table.
const SCANNED_ENTRIES_MAX: usize = 8;

/// An ordered map. Built once, then shared and never changed.
#[derive(Clone, Debug, Default)]
pub struct Dict {
    entries: Vec<Entry>,
    /// Positions in `entries`; empty while there are few.
    table: HashTable<u32>,
}

impl Drop for Dict {
    fn drop(&mut self) {
        // Keys nest only as tuples, which see to themselves.
        if self
            .entries
            .iter()
            .all(|entry| matches!(entry.value, Value::Int(_) | Value::Float(_) | Value::Str(_)))
        {
            return;
        }
        drop_children(self.entries.drain(..).map(|entry| entry.value).collect());
    }
}

impl Dict {
    /// An empty dict.
    pub fn new() -> Dict {
        Dict::default()
    }

    /// The number of entries.
    #[inline]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Sets `key`; a key that is there keeps its place and its first form, as in Python.
    /// Pays one step and, for a new key, its memory.
    ///
    /// # Errors
    /// `TypeError` for an unhashable key; a limit.
    pub fn insert(&mut self, meter: &mut Meter, key: Value, value: Value) -> Result<()> {
        meter.steps(1)?;
        let hash = operate::hash(meter, &key)?;
        match self.find(meter, hash, &key)? {
            Some(at) => self.entries[at].value = value,
            None => {
                meter.dict_entry(self.entries.len() + 1)?;
                self.push(hash, key, value);
            }
        }
        Ok(())
    }

    /// Sets a string key without a meter: for input whose size was bounded before.
    /// Gives back whether the key is new.
    pub fn insert_str(&mut self, key: Text, value: Value) -> bool {
        let hash = operate::hash_text(key.as_str());
        match self.find_str(hash, key.as_str()) {
            Some(at) => {
                self.entries[at].value = value;
                false
            }
            None => {
                self.push(hash, Value::Str(key), value);
                true
            }
        }
    }

    /// The position of a string key.
    pub fn position(&self, key: &str) -> Option<usize> {
        self.find_str(operate::hash_text(key), key)
    }

    /// The value at a position in insertion order.
    #[inline]
    pub fn value_at(&self, at: usize) -> Option<&Value> {
        self.entries.get(at).map(|entry| &entry.value)
    }

    /// The key at a position, where it is a string.
    #[inline]
    pub(crate) fn key_at(&self, at: usize) -> Option<&str> {
        match &self.entries.get(at)?.key {
            Value::Str(text) => Some(text.as_str()),
            _ => None,
        }
    }

    /// Sets the value at a position, where there is one: rows with the same keys are read into one
    /// dict so, without a search or an allocation.
    #[inline]
    pub fn set_value_at(&mut self, at: usize, value: Value) {
        let Some(entry) = self.entries.get_mut(at) else { return };
        match (&mut entry.value, value) {
            // Nothing is dropped here.
            (Value::Int(old), Value::Int(new)) => *old = new,
            (Value::Float(old), Value::Float(new)) => *old = new,
            (old, new) => *old = new,
        }
    }

    /// Drops the entries from a position on.
    pub fn truncate(&mut self, length: usize) {
        if length >= self.entries.len() {
            return;
        }
        let entries: Vec<Entry> = self.entries.drain(..length).collect();
        // What is left of it is dropped as a dict is.
        *self = Dict::new();
        for entry in entries {
            self.push(entry.hash, entry.key, entry.value);
        }
    }

    /// The value of `key`.
    ///
    /// # Errors
    /// `TypeError` for an unhashable key; a limit.
    pub fn get(&self, meter: &mut Meter, key: &Value) -> Result<Option<&Value>> {
        let hash = operate::hash(meter, key)?;
        Ok(self.find(meter, hash, key)?.map(|at| &self.entries[at].value))
    }

    /// The value of a string key.
    #[inline]
    pub fn get_str(&self, key: &str) -> Option<&Value> {
        if self.entries.len() <= SCANNED_ENTRIES_MAX {
            return self.entries.iter().find_map(|entry| match &entry.key {
                Value::Str(text) if text.as_str() == key => Some(&entry.value),
                _ => None,
            });
        }
        self.find_str(operate::hash_text(key), key).map(|at| &self.entries[at].value)
    }

    /// Pairs in insertion order.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (&Value, &Value)> + ExactSizeIterator {
        self.entries.iter().map(|entry| (&entry.key, &entry.value))
    }

    /// The pair at a position in insertion order.
    pub fn entry(&self, at: usize) -> Option<(&Value, &Value)> {
        self.entries.get(at).map(|entry| (&entry.key, &entry.value))
    }

    fn push(&mut self, hash: u64, key: Value, value: Value) {
        self.entries.push(Entry { hash, key, value });
        let entries = &self.entries;
        if entries.len() == SCANNED_ENTRIES_MAX + 1 {
            for (at, entry) in entries.iter().enumerate() {
                self.table.insert_unique(entry.hash, at as u32, |&other| entries[other as usize].hash);
            }
        } else if entries.len() > SCANNED_ENTRIES_MAX {
            let at = entries.len() as u32 - 1;
            self.table.insert_unique(hash, at, |&other| entries[other as usize].hash);
        }
    }

    fn find(&self, meter: &mut Meter, hash: u64, key: &Value) -> Result<Option<usize>> {
        if let Value::Str(text) = key {
            return Ok(self.find_str(hash, text.as_str()));
        }
        if self.entries.len() <= SCANNED_ENTRIES_MAX {
            for (at, entry) in self.entries.iter().enumerate() {
                if entry.hash == hash && operate::same_or_equal(meter, &entry.key, key)? {
                    return Ok(Some(at));
                }
            }
            return Ok(None);
        }
        // The table wants a plain predicate; an error inside it is kept and raised after.
        let mut raised = None;
        let found = self.table.find(hash, |&at| {
            let entry = &self.entries[at as usize];
            entry.hash == hash
                && operate::same_or_equal(meter, &entry.key, key).unwrap_or_else(|raise| {
                    raised = Some(raise);
                    true
                })
        });
        match raised {
            Some(raise) => Err(raise),
            None => Ok(found.map(|&at| at as usize)),
        }
    }

    fn find_str(&self, hash: u64, key: &str) -> Option<usize> {
        let is_key = |entry: &Entry| matches!(&entry.key, Value::Str(text) if text.as_str() == key);
        if self.entries.len() <= SCANNED_ENTRIES_MAX {
            return self.entries.iter().position(is_key);
        }
        self.table
            .find(hash, |&at| self.entries[at as usize].hash == hash && is_key(&self.entries[at as usize]))
            .map(|&at| at as usize)
    }
}
