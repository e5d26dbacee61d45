//! `math.fsum`: the sum of floats, rounded once at the end.
//!
//! Shewchuk's algorithm: the sum so far is kept exactly, as floats that do not overlap.

use crate::error::{Raise, Result};

/// A sum that has not been rounded yet.
#[derive(Debug, Default)]
pub(super) struct ExactSum {
    /// Non-zero, non-overlapping, growing in magnitude; a few dozen at most.
    partials: Vec<f64>,
    /// The sum of what was not finite.
    special: f64,
    /// The sum of the infinities alone: NaN once both signs were there.
    infinities: f64,
}

/// `a + b` rounded, and the rounding error, exact when `|a| >= |b|`.
fn fast_two_sum(a: f64, b: f64) -> (f64, f64) {
    let high = a + b;
    (high, b - (high - a))
}

impl ExactSum {
    /// How many floats hold the sum now.
    pub(super) fn partials(&self) -> usize {
        self.partials.len()
    }

    /// Adds a float.
    pub(super) fn add(&mut self, summand: f64) -> Result<()> {
        let mut rest = summand;
        let mut kept = 0;
        for at in 0..self.partials.len() {
            let Some(&partial) = self.partials.get(at) else { break };
            let (large, small) = if rest.abs() < partial.abs() { (partial, rest) } else { (rest, partial) };
            let (high, low) = fast_two_sum(large, small);
            if low != 0.0 {
                if let Some(place) = self.partials.get_mut(kept) {
                    *place = low;
                }
                kept += 1;
            }
            rest = high;
        }
        self.partials.truncate(kept);
        if rest == 0.0 {
            return Ok(());
        }
        if rest.is_finite() {
            self.partials.push(rest);
            return Ok(());
        }
        if summand.is_finite() {
            return Err(Raise::overflow_error("intermediate overflow in fsum"));
        }
        if summand.is_infinite() {
            self.infinities += summand;
        }
        self.special += summand;
        self.partials.clear();
        Ok(())
    }

    /// The sum, rounded half to even.
    pub(super) fn total(mut self) -> Result<f64> {
        if self.special != 0.0 {
            return if self.infinities.is_nan() {
                Err(Raise::value_error("-inf + inf in fsum"))
            } else {
                Ok(self.special)
            };
        }
        let Some(mut high) = self.partials.pop() else { return Ok(0.0) };
        let mut low = 0.0;
        while let Some(partial) = self.partials.pop() {
            (high, low) = fast_two_sum(high, partial);
            if low != 0.0 {
                break;
            }
        }
        // `low` alone may be exactly half a unit; what lies below decides which way it rounds.
        if let Some(&below) = self.partials.last()
            && ((low < 0.0 && below < 0.0) || (low > 0.0 && below > 0.0))
        {
            let twice = low * 2.0;
            let rounded = high + twice;
            if rounded - high == twice {
                high = rounded;
            }
        }
        Ok(high)
    }
}
