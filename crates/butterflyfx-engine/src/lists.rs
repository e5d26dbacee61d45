//! Lists of substrates and relationships, page by page, oldest first.

use crate::cursor::{CursorKind, by_creation, read_by_creation};
use crate::engine::{Engine, Result};
use crate::identity::SubstrateId;
use crate::identity::lanes::identify;
use crate::model::*;
use crate::read::{Slices, Stop, read};

/// Bytes of texts and documents, as they are stored, that fill a page whatever its limit: one item
/// may have megabytes, and a page is held in memory until its client has read it.
pub(crate) const PAGE_BYTES_MAX: usize = if cfg!(test) { 4096 } else { 8 * 1024 * 1024 };

/// Slots looked at in one piece.
const STEP: u32 = if cfg!(test) { 3 } else { 4096 };

impl Engine {
    pub(crate) fn list_substrates(&self, page: &PageRequest) -> Result<Page<Substrate>> {
        let after = position(page, CursorKind::Substrates)?;
        read(&self.state, |state| {
            let (mut items, mut bytes) = (Vec::new(), 0);
            let mut slot = after.map_or(0, |sequence| state.substrates.ages.first_after(sequence));
            while slot < state.substrates.slots() {
                let mut work = 0;
                let end = slot.saturating_add(STEP).min(state.substrates.slots());
                for slot in slot..end {
                    work += 1;
                    if !state.substrates.is_alive(slot) {
                        continue;
                    }
                    if items.len() >= page.limit.max(1) || bytes >= PAGE_BYTES_MAX {
                        let next =
                            items.last().map(|&(_, sequence)| by_creation(CursorKind::Substrates, sequence));
                        return Ok(Page { items: items.into_iter().map(|(item, _)| item).collect(), next });
                    }
                    work += 10;
                    bytes += state.substrates.stored_bytes(slot);
                    items.push((state.substrate(slot), state.substrates.ages.sequence(slot)));
                }
                slot = end;
                state.pay(work)?;
            }
            Ok(Page { items: items.into_iter().map(|(item, _)| item).collect(), next: None })
        })
    }

    pub(crate) fn list_relationships_of(
        &self,
        id: SubstrateId,
        direction: Direction,
        types: TypeSet,
        page: &PageRequest,
    ) -> Result<(Page<Relationship>, u64)> {
        let after = position(page, CursorKind::Relationships)?;
        let incoming = direction == Direction::Incoming;
        read(&self.state, |state| {
            let slot = state.substrates.require(id)?;
            let mut collector = Collector::new(state, page, after);
            if types.0 != 0 {
                // The total under a filter takes a look at all of them.
                let mut total = 0;
                let mut first = 0;
                loop {
                    let chunk = state.chunk(slot, incoming, first);
                    let Some(&last) = chunk.last() else { break };
                    for &one in &chunk {
                        if state.relationships.edge(one).kind.is_among(types) {
                            total += 1;
                            if one >= collector.first {
                                collector.take(state, one);
                            }
                        }
                    }
                    let work = chunk.len();
                    first = last + 1;
                    state.pay(work)?;
                }
                return Ok((collector.page(state), total));
            }
            let total = u64::from(state.degree(slot, incoming));
            collector.items.reserve(collector.limit.min(total as usize));
            let mut first = collector.first;
            'all: loop {
                let chunk = state.chunk(slot, incoming, first);
                let Some(&last) = chunk.last() else { break };
                for &one in &chunk {
                    if !collector.take(state, one) {
                        break 'all;
                    }
                }
                let work = chunk.len() * 4;
                first = last + 1;
                state.pay(work)?;
            }
            Ok((collector.page(state), total))
        })
    }

    pub(crate) fn list_relationships(
        &self,
        filter: &RelationshipFilter,
        page: &PageRequest,
    ) -> Result<Page<Relationship>> {
        let after = position(page, CursorKind::Relationships)?;
        read(&self.state, |state| {
            let mut collector = Collector::new(state, page, after);
            let ends = [(filter.source, false), (filter.target, true)];
            // An end that is not there has no relationships.
            let mut slots = [None; 2];
            for (at, &(id, incoming)) in ends.iter().enumerate() {
                if let Some(id) = id {
                    let Some(slot) = state.substrates.find(id) else { return Ok(collector.page(state)) };
                    slots[at] = Some((slot, incoming));
                }
            }
            let shortest =
                slots.into_iter().flatten().min_by_key(|&(slot, incoming)| state.degree(slot, incoming));
            let matches = |state: &Slices<'_>, one: u32| {
                let edge = state.relationships.edge(one);
                edge.kind.is_among(filter.types)
                    && slots[0].is_none_or(|(slot, _)| edge.source == slot)
                    && slots[1].is_none_or(|(slot, _)| edge.target == slot)
            };
            let Some((slot, incoming)) = shortest else {
                scan_relationships(state, &mut collector, matches)?;
                return Ok(collector.page(state));
            };
            let mut first = collector.first;
            'all: loop {
                let chunk = state.chunk(slot, incoming, first);
                let Some(&last) = chunk.last() else { break };
                for &one in &chunk {
                    if matches(state, one) && !collector.take(state, one) {
                        break 'all;
                    }
                }
                let work = chunk.len() * 2;
                first = last + 1;
                state.pay(work)?;
            }
            Ok(collector.page(state))
        })
    }
}

fn scan_relationships(
    state: &mut Slices<'_>,
    collector: &mut Collector,
    matches: impl Fn(&Slices<'_>, u32) -> bool,
) -> std::result::Result<(), Stop> {
    let mut slot = collector.first;
    while slot < state.relationships.slots() {
        let end = slot.saturating_add(STEP).min(state.relationships.slots());
        for one in slot..end {
            let is_match = state.relationships.is_alive(one) && matches(state, one);
            if is_match && !collector.take(state, one) {
                return Ok(());
            }
        }
        let work = (end - slot) as usize;
        slot = end;
        state.pay(work)?;
    }
    Ok(())
}

/// The position that a page request names.
pub(crate) fn position(page: &PageRequest, kind: CursorKind) -> Result<Option<u64>> {
    page.after.as_ref().map(|cursor| read_by_creation(cursor, kind)).transpose()
}

/// Fills a page with relationships.
struct Collector {
    items: Vec<Relationship>,
    bytes: usize,
    limit: usize,
    /// The first slot that belongs to the page.
    first: u32,
    last: u32,
    has_more: bool,
}

impl Collector {
    fn new(state: &Slices<'_>, page: &PageRequest, after: Option<u64>) -> Collector {
        Collector {
            items: Vec::new(),
            bytes: 0,
            limit: page.limit.max(1),
            first: after.map_or(0, |sequence| state.relationships.ages.first_after(sequence)),
            last: 0,
            has_more: false,
        }
    }

    /// Takes one more; `false` when the page was full already.
    #[inline]
    fn take(&mut self, state: &Slices<'_>, slot: u32) -> bool {
        if self.items.len() >= self.limit || self.bytes >= PAGE_BYTES_MAX {
            self.has_more = true;
            return false;
        }
        self.bytes += state.relationships.stored_bytes(slot);
        self.items.push(state.nameless_relationship(slot));
        self.last = slot;
        true
    }

    fn page(mut self, state: &Slices<'_>) -> Page<Relationship> {
        identify(&mut self.items);
        let sequence = || state.relationships.ages.sequence(self.last);
        let next = self.has_more.then(|| by_creation(CursorKind::Relationships, sequence()));
        Page { items: self.items, next }
    }
}
