//! Which substrates a search looks at: the smallest set that is sure to hold all matches.

use super::check::{Check, Test};
use crate::identity::SubstrateId;
use crate::model::Field;
use crate::read::{Slices, Stop};
use crate::state::State;
use crate::state::index::{Index, KeyRange};
use crate::state::key::{Key, KeyRef};
use std::cmp::Ordering;
use std::ops::Bound;

/// Candidates out of an index are collected and put in order of creation; more than this are not
/// worth it, and all substrates are looked at one after the other instead.
const COLLECTED_MAX: usize = 50_000;

/// Where the candidates come from.
enum Source {
    /// All slots in a range.
    Slots(u32, u32),
    /// Named identities.
    Ids(Vec<SubstrateId>),
    /// One value of an index: metadata key, value.
    Value(String, Key),
    /// Ranges of an index: metadata key, ranges.
    Ranges(String, Vec<KeyRange>),
}

/// A source and about how many candidates it has.
pub(crate) struct Plan {
    source: Source,
    count: usize,
}

impl Plan {
    pub(crate) fn new(state: &State, checks: &[Check]) -> Plan {
        let (first, end) = slots_by_age(state, checks);
        let count = ((end - first) as usize).min(state.substrates.alive() as usize);
        let mut best = Plan { source: Source::Slots(first, end), count };
        for check in checks {
            let plan = match (&check.field, &check.test) {
                (Field::SubstrateId, Test::Equal(key)) => named(std::slice::from_ref(key)),
                (Field::SubstrateId, Test::In(keys)) => named(keys),
                (Field::Metadata(metadata_key), test) => {
                    match state.indexes.get(metadata_key).filter(|index| index.ready) {
                        Some(index) => indexed(metadata_key, index, checks, check, test),
                        None => continue,
                    }
                }
                _ => continue,
            };
            if let Some(plan) = plan
                && plan.count < best.count
            {
                best = plan;
            }
        }
        best
    }

    pub(crate) fn count(&self) -> usize {
        self.count
    }

    /// The candidates, collected where an index gives them by value.
    pub(crate) fn candidates(self, state: &mut Slices<'_>) -> Result<Candidates, Stop> {
        let mut slots = Vec::new();
        match self.source {
            Source::Slots(first, end) => return Ok(Candidates::Slots(first, end)),
            Source::Ids(ids) => slots.extend(ids.into_iter().filter_map(|id| state.substrates.find(id))),
            Source::Value(metadata_key, key) => return Ok(Candidates::Value(metadata_key, key)),
            Source::Ranges(metadata_key, ranges) => {
                for range in ranges {
                    let mut walk = IndexWalk::new(range, false, None);
                    loop {
                        let Some(index) = state.indexes.get(&metadata_key) else {
                            return Err(Stop::Changed);
                        };
                        let step = walk.step(index, super::STEP);
                        if step.is_empty() {
                            break;
                        }
                        slots.extend_from_slice(&step);
                        state.pay(step.len() * 2)?;
                    }
                }
            }
        }
        slots.sort_unstable();
        slots.dedup();
        Ok(Candidates::Listed(slots))
    }
}

/// Candidates in order of creation.
pub(crate) enum Candidates {
    /// All slots in a range, dead ones too.
    Slots(u32, u32),
    /// Ascending.
    Listed(Vec<u32>),
    /// Those with one value of an index: metadata key, value.
    Value(String, Key),
}

impl Candidates {
    /// Up to `most` candidates from slot `first` on.
    pub(crate) fn next(&self, state: &State, first: u32, most: usize) -> Vec<u32> {
        match self {
            Candidates::Slots(start, end) => {
                // Slots that came meanwhile belong to a search without an upper bound of age.
                let first = first.max(*start);
                (first..(*end).min(state.substrates.slots())).take(most).collect()
            }
            Candidates::Listed(slots) => {
                let at = slots.partition_point(|&slot| slot < first);
                slots[at..slots.len().min(at + most)].to_vec()
            }
            Candidates::Value(metadata_key, key) => {
                let postings = state.indexes.get(metadata_key).and_then(|index| index.get(key));
                postings.map_or_else(Vec::new, |postings| postings.from(first).take(most).collect())
            }
        }
    }
}

/// The metadata key whose index would make a search cheap: that of the sort, else that of a
/// condition, else the field that no index can help with.
pub(crate) fn key_to_declare(state: &State, checks: &[Check], sort: &Field) -> String {
    let undeclared = |field: &Field| match field {
        Field::Metadata(key) if !state.indexes.contains_key(key) => Some(key.clone()),
        _ => None,
    };
    let name = match sort {
        Field::ExpressionType => "expression_type",
        Field::ExpressionCode => "expression_code",
        Field::CreatedAt => "created_at",
        Field::UpdatedAt => "updated_at",
        Field::Version => "version",
        Field::SubstrateId => "substrate_id",
        Field::Metadata(key) => key,
    };
    undeclared(sort)
        .or_else(|| checks.iter().find_map(|check| undeclared(&check.field)))
        .unwrap_or_else(|| name.to_owned())
}

/// The range of keys that the conditions on a field leave; `None` where they do not bound it and
/// a missing field may match.
pub(crate) fn range_of(checks: &[Check], field: &Field) -> Option<KeyRange> {
    let mut range = KeyRange::ALL;
    let mut bounded = false;
    for check in checks.iter().filter(|check| check.field == *field) {
        bounded |= !matches!(check.test, Test::NotEqual(_) | Test::Exists(false));
        match &check.test {
            Test::Equal(key) => range.narrow(Bound::Included(key.clone()), Bound::Included(key.clone())),
            Test::Ordered(orders, key) => {
                let (low, high) = kind_bounds(key.borrow());
                let own = |orders: &[Ordering]| {
                    if orders.contains(&Ordering::Equal) {
                        Bound::Included(key.clone())
                    } else {
                        Bound::Excluded(key.clone())
                    }
                };
                if orders.contains(&Ordering::Greater) {
                    range.narrow(own(orders), high);
                } else {
                    range.narrow(low, own(orders));
                }
            }
            Test::In(keys) => {
                if let (Some(first), Some(last)) = (keys.first(), keys.last()) {
                    range.narrow(Bound::Included(first.clone()), Bound::Included(last.clone()));
                } else {
                    range.narrow(Bound::Excluded(Key::Null), Bound::Excluded(Key::Null));
                }
            }
            Test::Prefix(prefix) => {
                range.narrow(Bound::Included(Key::Text(prefix.as_str().into())), after_prefix(prefix));
            }
            Test::NotEqual(_) | Test::Exists(_) => {}
        }
    }
    bounded.then_some(range)
}

/// Reads an index in order, some slots at a time; between two steps it may change.
pub(crate) struct IndexWalk {
    range: KeyRange,
    descending: bool,
    /// The value that was reached, and the slot to go on with among its substrates.
    at: Option<(Key, u32)>,
}

impl IndexWalk {
    pub(crate) fn new(range: KeyRange, descending: bool, at: Option<(Key, u32)>) -> IndexWalk {
        IndexWalk { range, descending, at }
    }

    /// The next slots, up to `most`; none at the end.
    pub(crate) fn step(&mut self, index: &Index, most: usize) -> Vec<u32> {
        let mut range = self.range.clone();
        if let Some((key, _)) = &self.at {
            let here = Bound::Included(key.clone());
            if self.descending {
                range.narrow(Bound::Unbounded, here);
            } else {
                range.narrow(here, Bound::Unbounded);
            }
        }
        let mut slots = Vec::new();
        let mut values = index.range(&range);
        let mut reached = None;
        while slots.len() < most {
            let value = if self.descending { values.next_back() } else { values.next() };
            let Some((key, postings)) = value else { break };
            let first = match &self.at {
                Some((at, next)) if at == key => *next,
                _ => 0,
            };
            let before = slots.len();
            slots.extend(postings.from(first).take(most - before));
            if slots.len() > before {
                reached = Some(key);
            }
        }
        if let (Some(key), Some(&last)) = (reached, slots.last()) {
            self.at = Some((key.clone(), last + 1));
        }
        slots
    }
}

fn named(keys: &[Key]) -> Option<Plan> {
    let ids: Vec<SubstrateId> = keys
        .iter()
        .filter_map(|key| match key {
            Key::Text(text) => SubstrateId::parse(text),
            _ => None,
        })
        .collect();
    Some(Plan { count: ids.len(), source: Source::Ids(ids) })
}

fn indexed(metadata_key: &str, index: &Index, checks: &[Check], check: &Check, test: &Test) -> Option<Plan> {
    let ranges = match test {
        Test::NotEqual(_) | Test::Exists(false) => return None,
        Test::Equal(key) => {
            let count = index.get(key).map_or(0, |postings| postings.len());
            return Some(Plan { count, source: Source::Value(metadata_key.to_owned(), key.clone()) });
        }
        Test::In(keys) => {
            let point = |key: &Key| KeyRange {
                low: Bound::Included(key.clone()),
                high: Bound::Included(key.clone()),
            };
            keys.iter().map(point).collect()
        }
        _ => vec![range_of(checks, &check.field)?],
    };
    let mut count = 0;
    for range in &ranges {
        count += index.count(range, COLLECTED_MAX - count);
        if count > COLLECTED_MAX {
            return None;
        }
    }
    Some(Plan { count, source: Source::Ranges(metadata_key.to_owned(), ranges) })
}

/// The slots that conditions on the time of creation leave, where times ascend.
fn slots_by_age(state: &State, checks: &[Check]) -> (u32, u32) {
    let (mut first, mut end) = (0, u32::MAX);
    if state.substrates.created_in_order()
        && let Some(range) = range_of(checks, &Field::CreatedAt)
    {
        let slots = state.substrates.slots();
        if let Bound::Included(Key::Int(time)) = range.low {
            first = super::first_created(state, slots, |created_at| created_at >= time);
        } else if let Bound::Excluded(Key::Int(time)) = range.low {
            first = super::first_created(state, slots, |created_at| created_at > time);
        }
        if let Bound::Included(Key::Int(time)) = range.high {
            end = super::first_created(state, slots, |created_at| created_at > time);
        } else if let Bound::Excluded(Key::Int(time)) = range.high {
            end = super::first_created(state, slots, |created_at| created_at >= time);
        }
    }
    // Without an upper bound the end stays open: what is created meanwhile belongs to it.
    (first, end.max(first))
}

/// Where the kind of a key begins and ends among all keys. Nothing is in order with a list.
fn kind_bounds(key: KeyRef<'_>) -> (Bound<Key>, Bound<Key>) {
    let before_text = || Key::Text(Box::default());
    let before_composite = || Key::Composite(Box::default());
    match key.kind() {
        0 => (Bound::Included(Key::Null), Bound::Included(Key::Null)),
        1 => (Bound::Included(Key::Bool(false)), Bound::Included(Key::Bool(true))),
        2 => (Bound::Excluded(Key::Bool(true)), Bound::Excluded(before_text())),
        3 => (Bound::Included(before_text()), Bound::Excluded(before_composite())),
        _ => (Bound::Excluded(Key::Null), Bound::Excluded(Key::Null)),
    }
}

/// The first key after all texts with a prefix.
fn after_prefix(prefix: &str) -> Bound<Key> {
    let mut next = prefix.to_owned();
    while let Some(last) = next.pop() {
        // The code point after it, over the gap of surrogates; none after the last.
        if let Some(after) = (last..=char::MAX).nth(1) {
            next.push(after);
            return Bound::Excluded(Key::Text(next.into()));
        }
    }
    Bound::Excluded(Key::Composite(Box::default()))
}
