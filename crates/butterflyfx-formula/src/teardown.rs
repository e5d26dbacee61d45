//! Dropping values that are nested very deep, without deep recursion.
//!
//! A formula can nest a value once per loop step
//! (`[a for a in [[]] for _ in range(10**5) for a in [[a]]]`), so the plain recursive drop could
//! exhaust any stack. Every type that holds values counts how deep the running drop is and, past
//! a bound, hands its children to a list that the outermost drop works off.

use crate::value::Value;
use std::cell::{Cell, RefCell};

/// Drops inside drops before children are put off.
const DEPTH_MAX: u32 = 64;

thread_local! {
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    static DEFERRED: RefCell<Vec<Value>> = const { RefCell::new(Vec::new()) };
}

/// Drops `children` now, or later where this drop runs deep inside others.
/// A thread whose locals are gone (it is ending) drops them plainly.
pub(crate) fn drop_children(children: Vec<Value>) {
    if children.is_empty() {
        return;
    }
    let Ok(depth) = DEPTH.try_with(Cell::get) else { return };
    if depth >= DEPTH_MAX {
        let _ = DEFERRED.try_with(|deferred| deferred.borrow_mut().extend(children));
        return;
    }
    let _ = DEPTH.try_with(|cell| cell.set(depth + 1));
    drop(children);
    if depth == 0 {
        // The lock on the list is let go before each drop, since that drop may add to it.
        while let Ok(Some(value)) = DEFERRED.try_with(|deferred| deferred.borrow_mut().pop()) {
            drop(value);
        }
    }
    let _ = DEPTH.try_with(|cell| cell.set(depth));
}
