//! Finding substrates by their fields.
//!
//! A search reads candidates and checks each: the smallest set that a declared index gives for
//! one of the conditions, else all substrates. It looks at [`LOOKS_MAX`] at most: in the order of
//! creation or of an index it then answers what it has, with a cursor to go on; any other order
//! needs all candidates at once and is refused where there are more.

mod check;
mod plan;

use crate::cursor::{CursorKind, SortedPosition, by_creation, read_sorted, sorted};
use crate::engine::{Engine, Result};
use crate::error::EngineError;
use crate::lists::{PAGE_BYTES_MAX, position};
use crate::model::{Cursor, Field, Page, PageRequest, Search, Substrate};
use crate::read::{Slices, Stop, read};
use crate::state::State;
use crate::state::index::Index;
use crate::state::key::{Key, KeyRef};
use check::{Check, key_of, matches, with_key};
use plan::{Candidates, IndexWalk, Plan};
use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// Substrates that one request looks at.
pub(crate) const LOOKS_MAX: usize = if cfg!(test) { 16 } else { 1_000_000 };

/// Candidates read in one piece.
const STEP: usize = if cfg!(test) { 3 } else { 1024 };

/// Units of work (see [`crate::read`]) of one look.
const LOOK_WORK: usize = 6;

/// With fewer candidates than this, sorting them beats walking an index.
const SORTED_AT_ONCE: usize = if cfg!(test) { 4 } else { 10_000 };

/// The order of a sorted search.
struct Order<'a> {
    field: &'a Field,
    descending: bool,
    /// Tells it apart from others in cursors.
    number: u32,
}

impl Order<'_> {
    /// The order of two sort keys. What has none comes last either way.
    fn compare(&self, a: Option<KeyRef<'_>>, b: Option<KeyRef<'_>>) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) if self.descending => b.cmp(&a),
            (Some(a), Some(b)) => a.cmp(&b),
            (a, b) => a.is_none().cmp(&b.is_none()),
        }
    }
}

impl Engine {
    pub(crate) fn find(&self, search: &Search, page: &PageRequest) -> Result<Page<Substrate>> {
        let checks: Vec<Check> = search.conditions.iter().map(Check::new).collect();
        let Some((field, descending)) = &search.sort else {
            let after = position(page, CursorKind::Substrates)?;
            return read(&self.state, |state| by_age(state, &checks, page.limit.max(1), after));
        };
        let order = Order { field, descending: *descending, number: number_of(field, *descending) };
        let after = page.after.as_ref().map(|cursor| read_sorted(cursor, order.number)).transpose()?;
        read(&self.state, |state| {
            let after = after.clone().map(|position| whole(state, position, field));
            by_order(state, &checks, &order, page.limit.max(1), after)
        })
    }
}

/// In the order of creation.
fn by_age(
    state: &mut Slices<'_>,
    checks: &[Check],
    limit: usize,
    after: Option<u64>,
) -> std::result::Result<Page<Substrate>, Stop> {
    let candidates = Plan::new(state, checks).candidates(state)?;
    let first = after.map_or(0, |sequence| state.substrates.ages.first_after(sequence));
    let cursor =
        |state: &State, slot| by_creation(CursorKind::Substrates, state.substrates.ages.sequence(slot));
    in_slot_order(state, checks, limit, first, &candidates, cursor)
}

/// Candidates as they come, oldest first.
fn in_slot_order(
    state: &mut Slices<'_>,
    checks: &[Check],
    limit: usize,
    mut first: u32,
    candidates: &Candidates,
    cursor: impl Fn(&State, u32) -> Cursor,
) -> std::result::Result<Page<Substrate>, Stop> {
    let mut filling = Filling::new(limit);
    loop {
        let slots = candidates.next(state, first, STEP);
        let Some(&last) = slots.last() else { return Ok(filling.page(None)) };
        for &slot in &slots {
            if let Some(next) = filling.look(state, checks, slot, &cursor) {
                return Ok(filling.page(Some(next)));
            }
        }
        first = last + 1;
        state.pay(slots.len() * LOOK_WORK)?;
    }
}

/// In the order of a field.
fn by_order(
    state: &mut Slices<'_>,
    checks: &[Check],
    order: &Order<'_>,
    limit: usize,
    after: Option<SortedPosition>,
) -> std::result::Result<Page<Substrate>, Stop> {
    let plan = Plan::new(state, checks);
    if *order.field == Field::CreatedAt && state.substrates.created_in_order() {
        if !order.descending {
            let candidates = plan.candidates(state)?;
            let first = after.map_or(0, |position| state.substrates.ages.first_after(position.sequence));
            let cursor = |state: &State, slot| cursor_at(state, order, slot);
            return in_slot_order(state, checks, limit, first, &candidates, cursor);
        }
        if plan.count() > SORTED_AT_ONCE {
            return newest_first(state, checks, order, limit, after);
        }
    }
    if let Field::Metadata(metadata_key) = order.field
        && plan.count() > SORTED_AT_ONCE
        && state.indexes.get(metadata_key).is_some_and(|index| index.ready)
    {
        return along_index(state, checks, order, metadata_key, limit, after);
    }
    if plan.count() > LOOKS_MAX {
        let declare = plan::key_to_declare(state, checks, order.field);
        return Err(Stop::Refused(EngineError::ScanTooLarge(declare, plan.count() as u64)));
    }
    let candidates = plan.candidates(state)?;
    sorted_at_once(state, checks, order, limit, after, &candidates)
}

/// Creation times descend, but what was created at the same time comes oldest first.
fn newest_first(
    state: &mut Slices<'_>,
    checks: &[Check],
    order: &Order<'_>,
    limit: usize,
    after: Option<SortedPosition>,
) -> std::result::Result<Page<Substrate>, Stop> {
    let cursor = |state: &State, slot| cursor_at(state, order, slot);
    let mut filling = Filling::new(limit);
    // The group of slots of one time goes up from `group_start` to `end`; groups go down.
    let slots = state.substrates.slots();
    let (mut first, mut group_start, mut end) = match after {
        None => (slots, slots, slots),
        Some(SortedPosition { key: Some(Key::Int(time)), sequence, .. }) => {
            let group_start = first_created(state, slots, |created_at| created_at >= time);
            let end = first_created(state, slots, |created_at| created_at > time);
            let first = state.substrates.ages.first_after(sequence).clamp(group_start, end);
            (first, group_start, end)
        }
        Some(_) => return Err(Stop::Refused(EngineError::InvalidCursor)),
    };
    loop {
        while first < end {
            let step_end = end.min(first.saturating_add(STEP as u32));
            for slot in first..step_end {
                if let Some(next) = filling.look(state, checks, slot, cursor) {
                    return Ok(filling.page(Some(next)));
                }
            }
            let work = (step_end - first) as usize * LOOK_WORK;
            first = step_end;
            state.pay(work)?;
        }
        end = group_start;
        let Some(last) = end.checked_sub(1) else { return Ok(filling.page(None)) };
        group_start = start_of_group(state, last);
        first = group_start;
        state.pay(1)?;
    }
}

/// The first slot created at the same time as this one.
fn start_of_group(state: &State, last: u32) -> u32 {
    let time = state.substrates.created_at(last);
    // Most times are their own.
    match last.checked_sub(1) {
        Some(before) if state.substrates.created_at(before) == time => {
            first_created(state, last, |created_at| created_at >= time)
        }
        _ => last,
    }
}

/// The first slot below `end` whose time of creation passes; times ascend.
fn first_created(state: &State, end: u32, passes: impl Fn(i64) -> bool) -> u32 {
    let (mut low, mut high) = (0, end);
    while low < high {
        let middle = low + (high - low) / 2;
        if passes(state.substrates.created_at(middle)) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// In the order of an index over the sort key, then what lacks the key.
fn along_index(
    state: &mut Slices<'_>,
    checks: &[Check],
    order: &Order<'_>,
    metadata_key: &str,
    limit: usize,
    after: Option<SortedPosition>,
) -> std::result::Result<Page<Substrate>, Stop> {
    let cursor = |state: &State, slot| cursor_at(state, order, slot);
    let mut filling = Filling::new(limit);
    let range = plan::range_of(checks, order.field);
    let (mut at, mut first_without) = (None, 0);
    let mut has_walked = false;
    if let Some(position) = after {
        let next = state.substrates.ages.first_after(position.sequence);
        match position.key {
            Some(key) => at = Some((key, next)),
            None => (has_walked, first_without) = (true, next),
        }
    }
    let mut walk = IndexWalk::new(range.clone().unwrap_or_default(), order.descending, at);
    while !has_walked {
        let Some(index) = state.indexes.get(metadata_key) else { return Err(Stop::Changed) };
        let slots = walk.step(index, STEP);
        has_walked = slots.is_empty();
        for &slot in &slots {
            if let Some(next) = filling.look(state, checks, slot, cursor) {
                return Ok(filling.page(Some(next)));
            }
        }
        state.pay(slots.len() * LOOK_WORK)?;
    }
    // A condition on the key itself leaves nothing without it.
    let all_have_it =
        state.indexes.get(metadata_key).map(Index::entries) == Some(u64::from(state.substrates.alive()));
    if range.is_some() || all_have_it {
        return Ok(filling.page(None));
    }
    loop {
        let end = state.substrates.slots().min(first_without.saturating_add(STEP as u32));
        if first_without >= end {
            return Ok(filling.page(None));
        }
        for slot in first_without..end {
            if !state.substrates.is_alive(slot) || with_key(state, slot, order.field, |key| key.is_some()) {
                continue;
            }
            if let Some(next) = filling.look(state, checks, slot, cursor) {
                return Ok(filling.page(Some(next)));
            }
        }
        // Those with the key are passed over; that is work, too.
        filling.looks += (end - first_without) as usize;
        let work = (end - first_without) as usize * LOOK_WORK;
        if filling.looks >= LOOKS_MAX && end < state.substrates.slots() {
            let next = sorted(order.number, state.substrates.ages.sequence(end - 1), None);
            return Ok(filling.page(Some(next)));
        }
        first_without = end;
        state.pay(work)?;
    }
}

/// Reads all candidates and keeps the first of them in the order.
fn sorted_at_once(
    state: &mut Slices<'_>,
    checks: &[Check],
    order: &Order<'_>,
    limit: usize,
    after: Option<SortedPosition>,
    candidates: &Candidates,
) -> std::result::Result<Page<Substrate>, Stop> {
    /// A match and its place; the heap's top is the last in the order.
    struct Match<'a> {
        order: &'a Order<'a>,
        key: Option<Key>,
        slot: u32,
    }
    impl Match<'_> {
        fn place(&self) -> (Option<KeyRef<'_>>, u32) {
            (self.key.as_ref().map(Key::borrow), self.slot)
        }
    }
    impl Ord for Match<'_> {
        fn cmp(&self, other: &Self) -> Ordering {
            let ((a, a_slot), (b, b_slot)) = (self.place(), other.place());
            self.order.compare(a, b).then(a_slot.cmp(&b_slot))
        }
    }
    impl PartialOrd for Match<'_> {
        fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
            Some(self.cmp(other))
        }
    }
    impl PartialEq for Match<'_> {
        fn eq(&self, other: &Self) -> bool {
            self.cmp(other) == Ordering::Equal
        }
    }
    impl Eq for Match<'_> {}

    let after = after.map(|position| {
        let next = state.substrates.ages.first_after(position.sequence);
        (position.key, next)
    });
    let mut heap: BinaryHeap<Match<'_>> = BinaryHeap::new();
    let mut first = 0;
    loop {
        let slots = candidates.next(state, first, STEP);
        let Some(&last) = slots.last() else { break };
        for &slot in &slots {
            if !state.substrates.is_alive(slot) || !matches(state, slot, checks) {
                continue;
            }
            let key = with_key(state, slot, order.field, |key| {
                let is_after = after.as_ref().is_none_or(|(after, next)| {
                    let compared = order.compare(key, after.as_ref().map(Key::borrow));
                    compared.then(slot.cmp(next)) != Ordering::Less
                });
                let is_before_worst = heap.len() <= limit
                    || heap.peek().is_some_and(|worst| {
                        let (worst_key, worst_slot) = worst.place();
                        order.compare(key, worst_key).then(slot.cmp(&worst_slot)) == Ordering::Less
                    });
                (is_after && is_before_worst).then(|| key.map(KeyRef::to_key))
            });
            if let Some(key) = key {
                heap.push(Match { order, key, slot });
                if heap.len() > limit + 1 {
                    heap.pop();
                }
            }
        }
        first = last + 1;
        state.pay(slots.len() * LOOK_WORK)?;
    }
    let mut found = heap.into_sorted_vec();
    let (mut fitting, mut bytes) = (0, 0);
    for one in found.iter().take(limit) {
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
        fitting += 1;
        if state.substrates.is_alive(one.slot) {
            bytes += state.substrates.stored_bytes(one.slot);
        }
    }
    let has_more = found.len() > fitting;
    found.truncate(fitting);
    let next = found
        .last()
        .filter(|_| has_more)
        .map(|last| sorted(order.number, state.substrates.ages.sequence(last.slot), last.key.as_ref()));
    // The last yield may have let a writer delete some of them.
    let alive = found.iter().filter(|one| state.substrates.is_alive(one.slot));
    Ok(Page { items: alive.map(|one| state.substrate(one.slot)).collect(), next })
}

/// A page that is being filled.
struct Filling {
    items: Vec<Substrate>,
    bytes: usize,
    limit: usize,
    looks: usize,
    /// Behind the last item of a full page.
    next: Option<Cursor>,
}

impl Filling {
    fn new(limit: usize) -> Filling {
        Filling { items: Vec::new(), bytes: 0, limit, looks: 0, next: None }
    }

    fn is_full(&self) -> bool {
        self.items.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX
    }

    /// Takes a candidate that matches. Where the page was full, or the request has looked enough,
    /// answers the position to go on from.
    fn look(
        &mut self,
        state: &State,
        checks: &[Check],
        slot: u32,
        cursor: impl Fn(&State, u32) -> Cursor,
    ) -> Option<Cursor> {
        self.looks += 1;
        if state.substrates.is_alive(slot) && matches(state, slot, checks) {
            if self.is_full() {
                return self.next.take();
            }
            self.bytes += state.substrates.stored_bytes(slot);
            self.items.push(state.substrate(slot));
            if self.is_full() {
                // Now, while it is certainly there.
                self.next = Some(cursor(state, slot));
            }
        }
        (self.looks >= LOOKS_MAX).then(|| cursor(state, slot))
    }

    fn page(self, next: Option<Cursor>) -> Page<Substrate> {
        Page { items: self.items, next }
    }
}

/// The position behind a slot. Dead ones have no key any more; they are looked at only in the order
/// of creation, which outlives them.
fn cursor_at(state: &State, order: &Order<'_>, slot: u32) -> Cursor {
    let key = match order.field {
        Field::CreatedAt => Some(Key::Int(state.substrates.created_at(slot))),
        field => key_of(state, slot, field),
    };
    sorted(order.number, state.substrates.ages.sequence(slot), key.as_ref())
}

/// A position whose key was cut to fit the cursor takes the key from its substrate again. If that
/// is gone, the cut key is near enough: among texts with the same long beginning some may come twice.
fn whole(state: &State, position: SortedPosition, field: &Field) -> SortedPosition {
    if !position.is_cut {
        return position;
    }
    let slot = match position.sequence.checked_sub(1) {
        Some(before) => state.substrates.ages.first_after(before),
        None => 0,
    };
    let is_it = slot < state.substrates.slots()
        && state.substrates.ages.sequence(slot) == position.sequence
        && state.substrates.is_alive(slot);
    let key = if is_it { key_of(state, slot, field) } else { None };
    let fits = match (&key, &position.key) {
        (Some(Key::Text(key)), Some(Key::Text(cut))) => key.starts_with(&**cut),
        (Some(Key::BigInt(key)), Some(Key::BigInt(cut))) => key.starts_with(&**cut),
        (Some(Key::Composite(_)), Some(Key::Composite(_))) => true,
        _ => false,
    };
    if fits { SortedPosition { key, ..position } } else { position }
}

/// A number that differs between orders, so that a cursor of another sort is refused.
fn number_of(field: &Field, descending: bool) -> u32 {
    let (tag, name) = match field {
        Field::ExpressionType => (0, ""),
        Field::ExpressionCode => (1, ""),
        Field::CreatedAt => (2, ""),
        Field::UpdatedAt => (3, ""),
        Field::Version => (4, ""),
        Field::SubstrateId => (5, ""),
        Field::Metadata(key) => (6, key.as_str()),
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[tag, u8::from(descending)]);
    hasher.update(name.as_bytes());
    let hash = hasher.finalize();
    let bytes = hash.as_bytes();
    u32::from_be_bytes([bytes[0], bytes[1], bytes[2], bytes[3]])
}
