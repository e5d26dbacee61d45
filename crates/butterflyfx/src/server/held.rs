//! The memory that request bodies take together. One body is bounded by its own limit; thousands of
//! them at once, each within it, would still use up the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Bodies that announce no more than this are not counted: connections are, and bound them.
const SMALL_BYTES_MAX: u64 = 64 * 1024;

/// Bodies of the greatest size that may be held at once. What they are read into takes many times
/// as much, so there must be few.
const LARGEST_MAX: u64 = 16;

/// What all bodies share.
#[derive(Debug)]
pub(crate) struct Bodies {
    /// Bytes that may still be held.
    left: AtomicU64,
    /// Bytes of one body that a handler holds at most; streamed ones pass by piece by piece.
    each_max: u64,
}

impl Bodies {
    /// Room for a number of bodies of this size.
    pub(crate) fn new(body_max: u64) -> Arc<Bodies> {
        let left = AtomicU64::new(body_max.saturating_mul(LARGEST_MAX));
        Arc::new(Bodies { left, each_max: body_max })
    }

    /// The account of a body that announces this many bytes, or nothing; `None` if it is small.
    pub(crate) fn open(self: &Arc<Bodies>, announced: Option<u64>) -> Option<Arc<Held>> {
        let is_small = announced.is_some_and(|bytes| bytes <= SMALL_BYTES_MAX);
        (!is_small).then(|| {
            Arc::new(Held {
                bodies: Arc::clone(self),
                bytes: AtomicU64::new(0),
                is_refused: AtomicBool::new(false),
            })
        })
    }
}

/// What one body holds until its request has been answered.
#[derive(Debug)]
pub(crate) struct Held {
    bodies: Arc<Bodies>,
    bytes: AtomicU64,
    is_refused: AtomicBool,
}

impl Held {
    /// Pays for a body of which this much has come; `false` where there is no room for it.
    pub(crate) fn grow_to(&self, received: u64) -> bool {
        let wanted = received.min(self.bodies.each_max);
        let more = wanted.saturating_sub(self.bytes.load(Ordering::Relaxed));
        let taken = self
            .bodies
            .left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(more));
        match taken {
            Ok(_) => {
                self.bytes.fetch_add(more, Ordering::Relaxed);
                true
            }
            Err(_) => {
                self.is_refused.store(true, Ordering::Relaxed);
                false
            }
        }
    }

    /// Whether there was no room.
    pub(crate) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.bodies.left.fetch_add(self.bytes.load(Ordering::Relaxed), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_their_room() {
        let bodies = Bodies::new(1 << 20);
        assert!(bodies.open(Some(1_000)).is_none());
        let open = || bodies.open(None).expect("is counted");
        let mut held: Vec<_> = (0..16).map(|_| open()).collect();
        for one in &held {
            // Piece by piece, and more than a handler holds of it.
            assert!(one.grow_to(1_000) && one.grow_to(1 << 20) && one.grow_to(1 << 30));
        }
        let late = open();
        assert!(!late.grow_to(1) && late.is_refused());
        held.pop();
        assert!(open().grow_to(1 << 20));
        drop((held, late));
        assert_eq!(bodies.left.load(Ordering::Relaxed), 16 << 20);
    }
}
