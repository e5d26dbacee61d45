//! Both ends and the kind of each relationship, by slot: six bytes for the ends while substrates
//! number less than 2^24, and next to nothing for the kind where neighbours are of one kind.

use crate::model::{RelationshipType, TypeSet};
use crate::state::column::push_within;
use std::ops::Range;

/// Edges of a segment of ends, and of a segment of kinds.
const ENDS: usize = 1 << 16;
const KINDS: usize = 1 << 12;

/// Marks a dead edge in place of its source, at either width.
const DEAD: u32 = u32::MAX;
const NARROW_DEAD: u32 = (1 << 24) - 1;

/// A relationship without its documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Edge {
    pub(crate) kind: Kind,
    pub(crate) source: u32,
    pub(crate) target: u32,
}

/// Type and flags in a byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kind(u8);

const TYPE: u8 = 0x0F;
const BIDIRECTIONAL: u8 = 0x10;
const DOCUMENTED: u8 = 0x20;
const BINDING: u8 = 0x40;

impl Kind {
    /// Without documents or binding yet.
    #[inline]
    pub(crate) fn new(rel_type: RelationshipType, bidirectional: bool) -> Kind {
        Kind(rel_type as u8 | if bidirectional { BIDIRECTIONAL } else { 0 })
    }

    #[inline]
    pub(crate) fn is_bidirectional(self) -> bool {
        self.0 & BIDIRECTIONAL != 0
    }

    /// Whether constraints or lineage are stored.
    #[inline]
    pub(crate) fn is_documented(self) -> bool {
        self.0 & DOCUMENTED != 0
    }

    /// Whether it binds parameters.
    #[inline]
    pub(crate) fn is_binding(self) -> bool {
        self.0 & BINDING != 0
    }

    pub(crate) fn documented(self) -> Kind {
        Kind(self.0 | DOCUMENTED)
    }

    pub(crate) fn binding(self) -> Kind {
        Kind(self.0 | BINDING)
    }

    #[inline]
    pub(crate) fn rel_type(self) -> RelationshipType {
        RelationshipType::ALL[usize::from(self.0 & TYPE) % RelationshipType::ALL.len()]
    }

    /// Of an asked type.
    #[inline]
    pub(crate) fn is_among(self, types: TypeSet) -> bool {
        types.0 == 0 || types.0 & (1 << (self.0 & TYPE)) != 0
    }
}

#[derive(Debug)]
enum Ends {
    Narrow(Vec<[u8; 6]>),
    Wide(Vec<[u32; 2]>),
}

#[derive(Debug)]
enum Kinds {
    /// All of one kind.
    Same(Kind),
    Each(Box<[Kind]>),
}

/// All edges.
#[derive(Debug, Default)]
pub(crate) struct Edges {
    ends: Vec<Ends>,
    kinds: Vec<Kinds>,
    length: u32,
}

#[inline]
fn narrow(source: u32, target: u32) -> [u8; 6] {
    let ([a, b, c, _], [d, e, f, _]) = (source.to_le_bytes(), target.to_le_bytes());
    [a, b, c, d, e, f]
}

#[inline]
fn fits(source: u32, target: u32) -> bool {
    (source < NARROW_DEAD || source == DEAD) && target < NARROW_DEAD
}

impl Edges {
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.length
    }

    /// Source and target; the source is [`DEAD`] for a dead edge.
    #[inline]
    fn ends(&self, slot: u32) -> (u32, u32) {
        let at = slot as usize % ENDS;
        match &self.ends[slot as usize / ENDS] {
            Ends::Narrow(ends) => {
                let [a, b, c, d, e, f] = ends[at];
                let source = u32::from_le_bytes([a, b, c, 0]);
                let source = if source == NARROW_DEAD { DEAD } else { source };
                (source, u32::from_le_bytes([d, e, f, 0]))
            }
            Ends::Wide(ends) => ends[at].into(),
        }
    }

    #[inline]
    pub(crate) fn is_alive(&self, slot: u32) -> bool {
        self.ends(slot).0 != DEAD
    }

    /// The kind of an edge that is alive.
    #[inline]
    pub(crate) fn kind(&self, slot: u32) -> Kind {
        match &self.kinds[slot as usize / KINDS] {
            Kinds::Same(kind) => *kind,
            Kinds::Each(kinds) => kinds[slot as usize % KINDS],
        }
    }

    /// An edge that is alive.
    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Edge {
        let (source, target) = self.ends(slot);
        Edge { kind: self.kind(slot), source, target }
    }

    /// Hands each edge of a run, all alive, to `take`, in order: less work for each than to get them one by one.
    #[inline]
    pub(crate) fn each(&self, run: Range<u32>, mut take: impl FnMut(u32, Edge)) {
        let mut slot = run.start;
        while slot < run.end {
            // As far as one segment of kinds reaches, which lies in one of ends.
            let end = run.end.min((slot / KINDS as u32 + 1) * KINDS as u32);
            let kinds = &self.kinds[slot as usize / KINDS];
            let kind = |slot: u32| match kinds {
                Kinds::Same(kind) => *kind,
                Kinds::Each(kinds) => kinds[slot as usize % KINDS],
            };
            let here = slot as usize % ENDS..slot as usize % ENDS + (end - slot) as usize;
            match &self.ends[slot as usize / ENDS] {
                Ends::Narrow(ends) => {
                    for (slot, [a, b, c, d, e, f]) in (slot..end).zip(&ends[here]) {
                        let source = u32::from_le_bytes([*a, *b, *c, 0]);
                        let target = u32::from_le_bytes([*d, *e, *f, 0]);
                        take(slot, Edge { kind: kind(slot), source, target });
                    }
                }
                Ends::Wide(ends) => {
                    for (slot, &[source, target]) in (slot..end).zip(&ends[here]) {
                        take(slot, Edge { kind: kind(slot), source, target });
                    }
                }
            }
            slot = end;
        }
    }

    pub(crate) fn push(&mut self, edge: Edge) {
        let slot = self.length;
        self.length += 1;
        if (slot as usize).is_multiple_of(ENDS) {
            // The first segment grows by doubling, so that a small engine is small.
            let room = if slot == 0 { 0 } else { ENDS };
            self.ends.push(Ends::Narrow(Vec::with_capacity(room)));
        }
        if (slot as usize).is_multiple_of(KINDS) {
            self.kinds.push(Kinds::Same(edge.kind));
        }
        let segment = self.ends.len() - 1;
        let is_of_a_kind =
            matches!(&self.kinds[slot as usize / KINDS], Kinds::Same(kind) if *kind == edge.kind);
        match &mut self.ends[segment] {
            // Nearly always.
            Ends::Narrow(ends) if is_of_a_kind && fits(edge.source, edge.target) => {
                push_within(ends, narrow(edge.source, edge.target), ENDS);
                return;
            }
            Ends::Narrow(ends) => push_within(ends, [0; 6], ENDS),
            Ends::Wide(ends) => push_within(ends, [0; 2], ENDS),
        }
        self.set(slot, edge);
    }

    /// Replaces an edge.
    pub(crate) fn set(&mut self, slot: u32, edge: Edge) {
        self.set_ends(slot, edge.source, edge.target);
        let segment = &mut self.kinds[slot as usize / KINDS];
        match segment {
            Kinds::Same(kind) if *kind == edge.kind => {}
            Kinds::Same(kind) => {
                let mut kinds = vec![*kind; KINDS];
                kinds[slot as usize % KINDS] = edge.kind;
                *segment = Kinds::Each(kinds.into());
            }
            Kinds::Each(kinds) => kinds[slot as usize % KINDS] = edge.kind,
        }
    }

    /// Replaces the ends of an edge.
    pub(crate) fn set_ends(&mut self, slot: u32, source: u32, target: u32) {
        let at = slot as usize % ENDS;
        let segment = &mut self.ends[slot as usize / ENDS];
        if let Ends::Narrow(ends) = segment {
            if fits(source, target) {
                ends[at] = narrow(source, target);
                return;
            }
            let widen = |[a, b, c, d, e, f]: &[u8; 6]| {
                let source = u32::from_le_bytes([*a, *b, *c, 0]);
                let source = if source == NARROW_DEAD { DEAD } else { source };
                [source, u32::from_le_bytes([*d, *e, *f, 0])]
            };
            let mut wide = Vec::with_capacity(if slot as usize / ENDS == 0 { ends.len() } else { ENDS });
            wide.extend(ends.iter().map(widen));
            *segment = Ends::Wide(wide);
        }
        if let Ends::Wide(ends) = segment {
            ends[at] = [source, target];
        }
    }

    /// Marks an edge as dead.
    pub(crate) fn kill(&mut self, slot: u32) {
        self.set_ends(slot, DEAD, 0);
    }

    /// Packs kinds that have become one kind, after the last of their segment was set.
    pub(crate) fn pack(&mut self, slot: u32) {
        if (slot as usize + 1).is_multiple_of(KINDS) {
            self.pack_segment(slot as usize / KINDS, KINDS);
        }
    }

    fn pack_segment(&mut self, at: usize, used: usize) {
        if let Some(Kinds::Each(kinds)) = self.kinds.get(at)
            && let [first, rest @ ..] = &kinds[..used]
            && rest.iter().all(|kind| kind == first)
        {
            self.kinds[at] = Kinds::Same(*first);
        }
    }

    /// Forgets everything from a slot on.
    pub(crate) fn truncate(&mut self, length: u32) {
        self.length = length;
        let length = length as usize;
        self.ends.truncate(length.div_ceil(ENDS));
        let in_last = length - length.saturating_sub(1) / ENDS * ENDS;
        match self.ends.last_mut() {
            Some(Ends::Narrow(ends)) => ends.truncate(in_last),
            Some(Ends::Wide(ends)) => ends.truncate(in_last),
            None => {}
        }
        self.kinds.truncate(length.div_ceil(KINDS));
        if let Some(last) = self.kinds.len().checked_sub(1) {
            self.pack_segment(last, length - last * KINDS);
        }
    }

    pub(crate) fn fit(&mut self) {
        match self.ends.last_mut() {
            Some(Ends::Narrow(ends)) => ends.shrink_to_fit(),
            Some(Ends::Wide(ends)) => ends.shrink_to_fit(),
            None => {}
        }
        self.ends.shrink_to_fit();
        self.kinds.shrink_to_fit();
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        let ends = |ends: &Ends| match ends {
            Ends::Narrow(ends) => ends.capacity() * 6,
            Ends::Wide(ends) => ends.capacity() * 8,
        };
        let kinds = |kinds: &Kinds| match kinds {
            Kinds::Same(_) => 0,
            Kinds::Each(kinds) => kinds.len(),
        };
        let inner: usize =
            self.ends.iter().map(ends).sum::<usize>() + self.kinds.iter().map(kinds).sum::<usize>();
        let outer = self.ends.capacity() * size_of::<Ends>() + self.kinds.capacity() * size_of::<Kinds>();
        (inner + outer) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn slots() -> impl Strategy<Value = u32> {
        prop_oneof![0u32..1000, NARROW_DEAD - 2..NARROW_DEAD + 3, 0u32..(1 << 28)]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
        #[test]
        fn equals_a_vector(
            run in 1usize..9000,
            steps in prop::collection::vec((any::<usize>(), slots(), slots(), 0u8..0x7F, 0u8..10), 0..60),
            keep in any::<usize>(),
        ) {
            let plain = Edge { kind: Kind(6), source: 1, target: 2 };
            let mut edges = Edges::default();
            let mut model: Vec<Option<Edge>> = Vec::new();
            (0..run).for_each(|_| { edges.push(plain); model.push(Some(plain)); });
            for (pick, source, target, kind, what) in steps {
                let edge = Edge { kind: Kind(kind), source, target };
                let at = pick % model.len();
                match what {
                    0..3 => { edges.push(edge); model.push(Some(edge)); }
                    3..5 => { edges.kill(at as u32); model[at] = None; }
                    5..9 => { edges.set(at as u32, edge); model[at] = Some(edge); }
                    _ => { edges.truncate(at as u32 + 1); model.truncate(at + 1); }
                }
            }
            let last = keep % model.len() + 1;
            edges.truncate(last as u32);
            model.truncate(last);
            prop_assert_eq!(edges.len() as usize, model.len());
            let first = model.iter().rposition(Option::is_none).map_or(0, |dead| dead + 1);
            let mut alive = Vec::new();
            edges.each(first as u32..last as u32, |slot, edge| alive.push((slot as usize, Some(edge))));
            prop_assert_eq!(alive, model.iter().copied().enumerate().skip(first).collect::<Vec<_>>());
            for (slot, edge) in model.iter().enumerate() {
                let slot = slot as u32;
                prop_assert_eq!(edges.is_alive(slot), edge.is_some());
                if let Some(edge) = edge { prop_assert_eq!(edges.get(slot), *edge); }
            }
        }
    }

    #[test]
    fn a_plain_edge_takes_six_bytes() {
        let mut edges = Edges::default();
        let plain = Edge { kind: Kind(6), source: 1, target: 2 };
        (0..ENDS * 3).for_each(|_| edges.push(plain));
        assert!(edges.allocated_bytes() < ENDS as u64 * 3 * 6 + 5000, "{}", edges.allocated_bytes());
    }
}
