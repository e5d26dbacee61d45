//! Long reads in slices: after about a millisecond of work a reader lets waiting writers in, and
//! then goes on with whatever they left.
//!
//! Work is counted, not timed, so that the same read does the same everywhere. Between two slices
//! things may be created and deleted: slots of deleted ones stay dead, and new ones come after, so
//! a reader may keep slots. Only tidying renumbers them, which waits for reads that keep some, though
//! not for ever; then the read begins again, and at the last try it does not yield, so it ends.

use crate::error::EngineError;
use crate::state::State;
use parking_lot::{RwLock, RwLockReadGuard};
use std::ops::Deref;
use std::sync::atomic::Ordering;

/// Units of work in a slice. A unit is a look at a slot or a list entry: 10 to 60 ns.
const SLICE: usize = if cfg!(test) { 40 } else { 20_000 };

/// Beginnings of a read that gives way to writers.
const TRIES: u32 = 3;

/// Why a read stops early.
#[derive(Debug)]
pub(crate) enum Stop {
    /// Slots were renumbered, or what was found is gone: begin again.
    Changed,
    /// The read is refused.
    Refused(EngineError),
}

impl From<EngineError> for Stop {
    fn from(error: EngineError) -> Stop {
        Stop::Refused(error)
    }
}

/// The state, under a read lock that yields.
#[derive(Debug)]
pub(crate) struct Slices<'a> {
    guard: RwLockReadGuard<'a, State>,
    left: usize,
    may_yield: bool,
}

impl Deref for Slices<'_> {
    type Target = State;

    #[inline]
    fn deref(&self) -> &State {
        &self.guard
    }
}

impl Slices<'_> {
    /// Counts work done; at the end of a slice lets writers in. No reference into the state
    /// lives across it.
    #[inline]
    pub(crate) fn pay(&mut self, work: usize) -> Result<(), Stop> {
        if work < self.left {
            self.left -= work;
            return Ok(());
        }
        self.yield_to_writers()
    }

    #[cold]
    fn yield_to_writers(&mut self) -> Result<(), Stop> {
        self.left = SLICE;
        if self.may_yield {
            let epoch = self.guard.epoch;
            self.guard.suspended_reads.fetch_add(1, Ordering::Relaxed);
            RwLockReadGuard::bump(&mut self.guard);
            self.guard.suspended_reads.fetch_sub(1, Ordering::Relaxed);
            if self.guard.epoch != epoch {
                return Err(Stop::Changed);
            }
        }
        Ok(())
    }
}

/// Runs a read, again from its beginning where slots were renumbered under it.
pub(crate) fn read<T>(
    lock: &RwLock<State>,
    mut run: impl FnMut(&mut Slices<'_>) -> Result<T, Stop>,
) -> Result<T, EngineError> {
    let mut tries_left = TRIES;
    loop {
        let mut slices = Slices { guard: lock.read(), left: SLICE, may_yield: tries_left > 0 };
        match run(&mut slices) {
            Ok(result) => return Ok(result),
            Err(Stop::Refused(error)) => return Err(error),
            Err(Stop::Changed) => tries_left = tries_left.saturating_sub(1),
        }
    }
}
