//! Bytes of any length without a heap object for each: texts, constants, metadata.
//!
//! Blobs are appended to segments of 1 MiB. A segment of which a quarter is freed is emptied into the current one and
//! given back, a little for each blob that is freed, so that creating and deleting for ever keeps memory flat and nobody
//! waits; when there is time, segments with fewer holes are, too. To find the owner of a blob on the move, each begins
//! with its owner's slot.

use crate::state::encoding::{Reader, put_length};

/// Bytes of a segment; small in tests, so that tests empty many.
const SEGMENT: usize = if cfg!(test) { 256 } else { 1 << 20 };

/// Work on sparse segments that each freed byte pays for: a segment is emptied before as many more are sparse.
const WORK_PER_FREED: usize = 12;

/// What looking at a blob costs, in bytes that could be copied instead.
const LOOK: usize = 16;

/// Work is done when so much is owed, and not more than so much at once: some fifty microseconds.
const OWED_MIN: usize = if cfg!(test) { 1 } else { 1 << 12 };
const OWED_MAX: usize = if cfg!(test) { 1 << 12 } else { 1 << 15 };

/// When there is time, holes are mended once they are more than this share of all bytes; then segments are
/// emptied of which half of this share is freed.
const HOLES: usize = 16;

/// Where a blob lies. Changes when its segment is emptied; only its owner keeps one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Blob {
    segment: u32,
    offset: u32,
}

#[derive(Debug, Default)]
struct Segment {
    bytes: Vec<u8>,
    freed: usize,
    /// Whether it stands in `sparse` already.
    listed: bool,
}

/// The store of blobs.
#[derive(Debug, Default)]
pub(crate) struct Arena {
    segments: Vec<Segment>,
    /// Appended to; `None` before the first blob.
    current: Option<u32>,
    /// Segments without memory, to use again.
    vacant: Vec<u32>,
    /// Segments worth emptying.
    sparse: Vec<u32>,
    /// The segment that is being emptied, and how far.
    emptying: Option<(u32, usize)>,
    /// Work that freed blobs have not paid yet.
    owed: usize,
    /// Bytes that were put into the segments there are, and those of them that are freed or moved.
    put: usize,
    freed: usize,
}

/// Bits of an offset: a blob in a segment with others begins below its end, a large one at 0.
const OFFSET_BITS: u32 = 20;

impl Blob {
    /// The place in 52 bits.
    #[inline]
    pub(crate) fn to_bits(self) -> u64 {
        u64::from(self.segment) << OFFSET_BITS | u64::from(self.offset)
    }

    /// What [`Blob::to_bits`] gave.
    #[inline]
    pub(crate) fn from_bits(bits: u64) -> Blob {
        Blob { segment: (bits >> OFFSET_BITS) as u32, offset: bits as u32 & ((1 << OFFSET_BITS) - 1) }
    }
}

/// Bytes of a blob's owner, which stands first; its length follows, seven bits a byte.
const OWNER: usize = 4;

/// Bytes before a blob of a length.
fn header_bytes(length: usize) -> usize {
    let bits = (usize::BITS - length.leading_zeros()).max(1);
    OWNER + bits.div_ceil(7) as usize
}

impl Arena {
    /// Stores the parts one after the other. Their sum must be below `u32::MAX`.
    pub(crate) fn put(&mut self, owner: u32, parts: &[&[u8]]) -> Blob {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        let segment = self.segment_for(header_bytes(length) + length);
        let bytes = &mut self.segments[segment as usize].bytes;
        let offset = bytes.len() as u32;
        bytes.extend_from_slice(&owner.to_le_bytes());
        put_length(length as u64, bytes);
        for part in parts {
            bytes.extend_from_slice(part);
        }
        self.put += bytes.len() - offset as usize;
        Blob { segment, offset }
    }

    #[inline]
    pub(crate) fn get(&self, blob: Blob) -> &[u8] {
        let bytes = &self.segments[blob.segment as usize].bytes[blob.offset as usize..];
        let (_, start, length) = header(bytes);
        &bytes[start..start + length]
    }

    pub(crate) fn free(&mut self, blob: Blob) {
        let segment = &mut self.segments[blob.segment as usize];
        let (_, start, length) = header(&segment.bytes[blob.offset as usize..]);
        segment.freed += start + length;
        self.freed += start + length;
        self.owed += (start + length) * WORK_PER_FREED;
        self.list_if_sparse(blob.segment);
    }

    /// After a compaction of slots.
    pub(crate) fn set_owner(&mut self, blob: Blob, owner: u32) {
        let at = blob.offset as usize;
        self.segments[blob.segment as usize].bytes[at..at + 4].copy_from_slice(&owner.to_le_bytes());
    }

    /// The work that freed blobs owe, to be done by [`Arena::empty`]; 0 while it is not worth a step.
    pub(crate) fn owed(&mut self) -> usize {
        if self.emptying.is_none() && self.sparse.is_empty() {
            self.owed = 0;
        }
        if self.owed < OWED_MIN {
            return 0;
        }
        let work = self.owed.min(OWED_MAX);
        self.owed -= work;
        work
    }

    /// Whether there are holes to mend when there is time.
    pub(crate) fn wants_mending(&self) -> bool {
        self.emptying.is_some() || !self.sparse.is_empty() || self.freed > self.put / HOLES + SEGMENT / HOLES
    }

    /// Names all segments whose holes are worth it, where none is sparse by itself.
    pub(crate) fn begin_mending(&mut self) {
        if self.emptying.is_some() || !self.sparse.is_empty() {
            return;
        }
        for (at, segment) in self.segments.iter_mut().enumerate() {
            if segment.freed * HOLES * 2 > segment.bytes.len() {
                segment.listed = true;
                if self.current == Some(at as u32) {
                    self.current = None;
                }
                self.sparse.push(at as u32);
            }
        }
    }

    /// Moves some of what is alive out of sparse segments (`holds` says whether an owner still keeps the blob at this
    /// place), and gives the memory of those that are empty back. Owners take their new places from the answer.
    #[must_use]
    pub(crate) fn empty(&mut self, work: usize, holds: impl Fn(u32, Blob) -> bool) -> Vec<(u32, Blob)> {
        let mut moved = Vec::new();
        let mut left = work;
        // Not on to the next once something has moved: that may be there, and its owner does not know yet.
        while left > 0 && moved.is_empty() {
            let next = self.emptying.take().or_else(|| Some((self.sparse.pop()?, 0)));
            let Some((segment, mut at)) = next else { break };
            let bytes = std::mem::take(&mut self.segments[segment as usize].bytes);
            let mut moved_bytes = 0;
            while at < bytes.len() && left > 0 {
                let (owner, start, length) = header(&bytes[at..]);
                left = left.saturating_sub(LOOK);
                if holds(owner, Blob { segment, offset: at as u32 }) {
                    moved.push((owner, self.put(owner, &[&bytes[at + start..at + start + length]])));
                    left = left.saturating_sub(start + length);
                    moved_bytes += start + length;
                }
                at += start + length;
            }
            self.freed += moved_bytes;
            let old = &mut self.segments[segment as usize];
            old.freed += moved_bytes;
            if at < bytes.len() {
                old.bytes = bytes;
                self.emptying = Some((segment, at));
            } else {
                self.freed -= old.freed;
                self.put -= bytes.len();
                *old = Segment::default();
                self.vacant.push(segment);
            }
        }
        self.owed += left;
        moved
    }

    /// Gives back what lies behind the last blob of each segment.
    pub(crate) fn fit(&mut self) {
        self.segments.iter_mut().for_each(|segment| segment.bytes.shrink_to_fit());
        let used =
            |(at, segment): (usize, &Segment)| !segment.bytes.is_empty() || self.current == Some(at as u32);
        let end = self.segments.len()
            - self.segments.iter().enumerate().rev().take_while(|&one| !used(one)).count();
        self.segments.truncate(end);
        self.segments.shrink_to_fit();
        self.vacant.retain(|&segment| (segment as usize) < end);
        // The first is used again first.
        self.vacant.sort_unstable_by(|a, b| b.cmp(a));
        self.vacant.shrink_to_fit();
    }

    pub(crate) fn allocated_bytes(&self) -> u64 {
        let bytes: usize = self.segments.iter().map(|segment| segment.bytes.capacity()).sum();
        (bytes + self.segments.capacity() * size_of::<Segment>()) as u64
    }

    fn segment_for(&mut self, length: usize) -> u32 {
        if length > SEGMENT / 4 {
            return self.add_segment(Vec::with_capacity(length));
        }
        if let Some(current) = self.current {
            let bytes = &mut self.segments[current as usize].bytes;
            if bytes.len() + length <= SEGMENT {
                // Doubling must not overshoot the segment.
                if bytes.capacity() < bytes.len() + length {
                    let target = (bytes.capacity() * 2).clamp(bytes.len() + length, SEGMENT);
                    bytes.reserve_exact(target - bytes.len());
                }
                return current;
            }
            self.current = None;
            self.list_if_sparse(current);
        }
        // The first segment grows, so that a small engine is small.
        let first = if self.put == 0 { 0 } else { SEGMENT };
        let segment = self.add_segment(Vec::with_capacity(first));
        self.current = Some(segment);
        segment
    }

    fn add_segment(&mut self, bytes: Vec<u8>) -> u32 {
        let segment = Segment { bytes, freed: 0, listed: false };
        match self.vacant.pop() {
            Some(at) => {
                self.segments[at as usize] = segment;
                at
            }
            None => {
                self.segments.push(segment);
                self.segments.len() as u32 - 1
            }
        }
    }

    fn list_if_sparse(&mut self, at: u32) {
        let segment = &mut self.segments[at as usize];
        if !segment.listed && segment.freed * 4 > segment.bytes.len() && self.current != Some(at) {
            segment.listed = true;
            self.sparse.push(at);
        }
    }
}

#[inline]
fn header(bytes: &[u8]) -> (u32, usize, usize) {
    let (owner, rest) = bytes.split_at(OWNER);
    let mut reader = Reader::new(rest);
    let length = reader.length() as usize;
    (u32::from_le_bytes([owner[0], owner[1], owner[2], owner[3]]), bytes.len() - reader.rest().len(), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Does some work on sparse segments, for owners whose places are these.
    fn empty(arena: &mut Arena, work: usize, places: &mut [Blob]) {
        let moved = arena.empty(work, |owner, blob| places[owner as usize] == blob);
        assert!(moved.len() * LOOK < work + LOOK, "{} blobs for {work}", moved.len());
        let bytes: usize = moved.iter().map(|(_, blob)| arena.get(*blob).len()).sum();
        assert!(bytes <= work + SEGMENT / 4, "{bytes} for {work}");
        for (owner, blob) in moved {
            places[owner as usize] = blob;
        }
    }

    /// Keeps 100 blobs alive while thousands come and go.
    #[test]
    fn memory_stays_flat_under_create_and_delete() {
        let mut arena = Arena::default();
        let mut places: Vec<Blob> = (0..100).map(|owner| arena.put(owner, &[b"first"])).collect();
        for round in 0..60_000u32 {
            let owner = round % 100;
            arena.free(places[owner as usize]);
            let text = vec![owner as u8; 100 + round as usize % 1000];
            places[owner as usize] = arena.put(owner, &[&text[..7], &text[7..]]);
            let work = arena.owed();
            assert!(work <= OWED_MAX);
            empty(&mut arena, work, &mut places);
        }
        for (owner, &blob) in places.iter().enumerate() {
            assert!(arena.get(blob).len() >= 100 && arena.get(blob).iter().all(|&byte| byte == owner as u8));
        }
        let bytes = |&place: &Blob| header_bytes(arena.get(place).len()) + arena.get(place).len();
        let alive: usize = places.iter().map(bytes).sum();
        assert!(arena.allocated_bytes() < 2 * alive as u64 + 20_000, "{}", arena.allocated_bytes());
    }

    #[test]
    fn a_large_blob_has_its_own_segment() {
        let mut arena = Arena::default();
        let small = arena.put(1, &[b"a"]);
        let large = arena.put(2, &[&vec![7; 3 * SEGMENT]]);
        let after = arena.put(3, &[b"b"]);
        assert_eq!((arena.get(small), arena.get(after)), (&b"a"[..], &b"b"[..]));
        assert_eq!(arena.get(large).len(), 3 * SEGMENT);
        arena.free(large);
        assert!(arena.empty(1, |_, _| false).is_empty());
        assert!(arena.allocated_bytes() < 2000);
    }

    /// Few holes wait until there is time, and are then mended in steps; what is freed meanwhile stays freed.
    #[test]
    fn holes_are_mended_when_there_is_time() {
        let mut arena = Arena::default();
        let mut places: Vec<Blob> =
            (0..4000_u32).map(|owner| arena.put(owner, &[&owner.to_le_bytes()])).collect();
        let full = arena.allocated_bytes();
        let is_freed = |owner: usize| owner % 6 == 1 || owner % 100 == 2;
        let none = Blob { segment: u32::MAX, offset: 0 };
        for owner in (0..places.len()).filter(|owner| owner % 6 == 1) {
            arena.free(places[owner]);
            places[owner] = none;
        }
        assert_eq!(arena.owed(), 0);
        let mut steps = 0;
        while arena.wants_mending() {
            arena.begin_mending();
            empty(&mut arena, 100, &mut places);
            if let Some(place) = places.get_mut(steps).filter(|place| steps % 100 == 2 && **place != none) {
                arena.free(*place);
                *place = none;
            }
            steps += 1;
        }
        assert!(
            steps > 100 && arena.allocated_bytes() < full * 9 / 10,
            "{} of {full}",
            arena.allocated_bytes()
        );
        for (owner, &place) in places.iter().enumerate() {
            assert_eq!(place == none, is_freed(owner) && (owner % 6 == 1 || owner < steps), "{owner}");
            if place != none {
                assert_eq!(arena.get(place), (owner as u32).to_le_bytes());
            }
        }
        assert_eq!(arena.put - arena.freed, places.iter().filter(|&&place| place != none).count() * 9);
    }
}
