//! The deterministic account of one invocation: steps, bytes, and the clock behind them.

use crate::error::{Raise, Result};
use crate::limits::{Limit, Limits};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// What an invocation cost. The same each time for the same formula and parameters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// Operations, elements, copied 64-byte blocks and big-integer limbs.
    pub steps: u64,
    /// Bytes allocated, added up.
    pub bytes: u64,
}

/// What ends an evaluation before its limits do. Looked at where the clock is, so that it costs a
/// step nothing; what is stopped ends with [`RaiseKind::Interrupted`](crate::error::RaiseKind::Interrupted).
#[derive(Clone, Debug, Default)]
pub enum Interrupt {
    /// Nothing.
    #[default]
    Never,
    /// It turns out to be long: it gets as far as the first look at the clock.
    WhenLong,
    /// Somebody sets the flag.
    When(Arc<AtomicBool>),
}

impl Interrupt {
    fn is_due(&self) -> bool {
        match self {
            Interrupt::Never => false,
            Interrupt::WhenLong => true,
            Interrupt::When(flag) => flag.load(Ordering::Relaxed),
        }
    }
}

/// Counts down what an invocation may still use. Charge before the work, never after.
#[derive(Debug)]
pub struct Meter {
    limits: Limits,
    /// Steps until the clock is looked at or the limit is reached: one comparison a step.
    fuel: u64,
    /// Steps left beyond `fuel`.
    reserve: u64,
    bytes_left: u64,
    /// Set at the first look at the clock, so that short invocations never read it.
    deadline: Option<Instant>,
    /// How many times the wall clock the stretch at hand may take.
    patience: u32,
    calls: usize,
    nesting: usize,
    interrupt: Interrupt,
}

/// Levels of native recursion over nested values and lazy iterators, calls aside.
/// Bounds the thread's stack; values nested deeper can only be made by deep recursion.
const NATIVE_NESTING_MAX: usize = 200;

/// Steps between two looks at the clock: about a millisecond of work.
const CLOCK_INTERVAL_STEPS: u64 = 16_384;

impl Meter {
    /// A full meter.
    pub fn new(limits: &Limits) -> Meter {
        Meter {
            fuel: limits.steps.min(CLOCK_INTERVAL_STEPS),
            reserve: limits.steps.saturating_sub(CLOCK_INTERVAL_STEPS),
            bytes_left: limits.memory_bytes,
            deadline: None,
            patience: 1,
            calls: 0,
            nesting: 0,
            interrupt: Interrupt::Never,
            limits: limits.clone(),
        }
    }

    /// Fills the meter again for the next invocation.
    pub fn reset(&mut self) {
        self.fuel = self.limits.steps.min(CLOCK_INTERVAL_STEPS);
        self.reserve = self.limits.steps.saturating_sub(CLOCK_INTERVAL_STEPS);
        self.bytes_left = self.limits.memory_bytes;
        self.calls = 0;
        self.nesting = 0;
        self.restart_clock(1);
    }

    /// Gives what comes next a clock of its own, `patience` times the limit; steps and bytes go
    /// on. For a stretch that is known to be bounded by those two, and should be refused by them.
    pub fn restart_clock(&mut self, patience: u32) {
        self.deadline = None;
        self.patience = patience;
    }

    /// Says what may end the evaluations to come; a reset leaves it as it is.
    pub fn set_interrupt(&mut self, interrupt: Interrupt) {
        self.interrupt = interrupt;
    }

    /// The bounds in force.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Pays for `n` steps.
    #[inline]
    pub fn steps(&mut self, n: u64) -> Result<()> {
        match self.fuel.checked_sub(n) {
            Some(fuel) => {
                self.fuel = fuel;
                Ok(())
            }
            None => self.refuel(n),
        }
    }

    /// Whether `n` steps can be paid for without a look at the clock, which may end the evaluation:
    /// who cannot stop half way asks before.
    #[inline]
    pub fn has_steps(&self, n: u64) -> bool {
        self.fuel >= n
    }

    /// Pays for `n` bytes about to be allocated.
    #[inline]
    pub fn bytes(&mut self, n: u64) -> Result<()> {
        if n > self.bytes_left {
            self.bytes_left = 0;
            return Err(self.out_of_bytes());
        }
        self.bytes_left -= n;
        Ok(())
    }

    /// Pays for a copy of `n` bytes into new memory: the bytes, and a step for each 64 of them.
    #[inline]
    pub fn copy(&mut self, n: usize) -> Result<()> {
        self.bytes(n as u64)?;
        self.steps(n as u64 / 64)
    }

    /// Checks a string's length in UTF-8 bytes, then pays for it: one copy of the text.
    #[inline]
    pub fn string(&mut self, utf8_bytes: usize) -> Result<()> {
        if utf8_bytes > self.limits.string_bytes {
            return Err(Raise::limit(
                Limit::StringLength,
                format!("a string may have at most {} bytes", self.limits.string_bytes),
            ));
        }
        self.copy(utf8_bytes + 32)
    }

    /// Checks a list's or tuple's length, then pays its memory: 16 bytes an element.
    /// Steps per element are charged by the loop that fills it.
    #[inline]
    pub fn list(&mut self, elements: usize) -> Result<()> {
        self.list_length(elements)?;
        self.bytes(elements as u64 * 16 + 40)
    }

    /// Checks a list's or tuple's length without paying.
    #[inline]
    pub fn list_length(&self, elements: usize) -> Result<()> {
        if elements > self.limits.elements {
            return Err(Raise::limit(
                Limit::ListLength,
                format!("a list may have at most {} elements", self.limits.elements),
            ));
        }
        Ok(())
    }

    /// Checks a dict's length, then pays for one more entry (72 bytes).
    #[inline]
    pub fn dict_entry(&mut self, entries_after: usize) -> Result<()> {
        if entries_after > self.limits.elements {
            return Err(Raise::limit(
                Limit::DictLength,
                format!("a dict may have at most {} entries", self.limits.elements),
            ));
        }
        self.bytes(72)
    }

    /// Checks the bits of an integer about to be computed, then pays for it:
    /// a step and 8 bytes for each 64-bit limb. Free for what fits in 64 bits.
    #[inline]
    pub fn integer(&mut self, bits: u64) -> Result<()> {
        if bits < 64 { Ok(()) } else { self.big_integer(bits) }
    }

    #[cold]
    fn big_integer(&mut self, bits: u64) -> Result<()> {
        if bits > self.limits.integer_bits {
            return Err(Raise::limit(
                Limit::IntegerSize,
                format!("an integer may have at most {} bits", self.limits.integer_bits),
            ));
        }
        let limbs = bits.div_ceil(64);
        self.bytes(limbs * 8 + 40)?;
        self.steps(limbs)
    }

    /// Enters a call of an inner lambda; pair with [`Meter::leave_call`] on success and error.
    #[inline]
    pub fn enter_call(&mut self) -> Result<()> {
        if self.calls >= self.limits.call_depth {
            return Err(Raise::limit(
                Limit::CallDepth,
                format!("calls may be at most {} deep", self.limits.call_depth),
            ));
        }
        self.calls += 1;
        Ok(())
    }

    /// Leaves what [`Meter::enter_call`] entered.
    #[inline]
    pub fn leave_call(&mut self) {
        self.calls -= 1;
    }

    /// Enters a level of native recursion: a nested value, a lazy iterator that asks another.
    /// Pair with [`Meter::leave_nested`] on success and error.
    #[inline]
    pub fn enter_nested(&mut self) -> Result<()> {
        if self.nesting >= NATIVE_NESTING_MAX {
            return Err(Raise::limit(
                Limit::CallDepth,
                format!("values and iterators may be nested at most {NATIVE_NESTING_MAX} deep"),
            ));
        }
        self.nesting += 1;
        Ok(())
    }

    /// Leaves what [`Meter::enter_nested`] entered.
    #[inline]
    pub fn leave_nested(&mut self) {
        self.nesting -= 1;
    }

    /// What was used so far.
    pub fn cost(&self) -> Cost {
        Cost {
            steps: self.limits.steps - self.fuel - self.reserve,
            bytes: self.limits.memory_bytes - self.bytes_left,
        }
    }

    #[cold]
    fn out_of_bytes(&self) -> Box<Raise> {
        Raise::limit(
            Limit::Memory,
            format!("the formula needs more than {} bytes of memory", self.limits.memory_bytes),
        )
    }

    /// Pays for `n` steps that `fuel` does not cover, and looks at the clock.
    #[cold]
    fn refuel(&mut self, n: u64) -> Result<()> {
        let left = self.fuel + self.reserve;
        let Some(left) = left.checked_sub(n) else {
            self.fuel = 0;
            self.reserve = 0;
            return Err(Raise::limit(
                Limit::Steps,
                format!("the formula needs more than {} steps", self.limits.steps),
            ));
        };
        self.fuel = left.min(CLOCK_INTERVAL_STEPS);
        self.reserve = left - self.fuel;
        if self.interrupt.is_due() {
            return Err(Raise::interrupted());
        }
        let now = Instant::now();
        let allowed_ms = self.limits.wall_clock_ms.saturating_mul(u64::from(self.patience));
        let deadline = *self.deadline.get_or_insert(now + Duration::from_millis(allowed_ms));
        if now > deadline {
            return Err(Raise::limit(
                Limit::WallClock,
                format!("the formula ran longer than {allowed_ms} ms"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::RaiseKind;

    #[test]
    fn an_evaluation_can_be_interrupted_where_the_clock_is_looked_at() {
        let check = |interrupt: Interrupt, expected: Option<RaiseKind>| {
            let mut meter = Meter::new(&Limits { wall_clock_ms: 60_000, ..Limits::default() });
            meter.set_interrupt(interrupt);
            meter.reset();
            assert!(meter.steps(CLOCK_INTERVAL_STEPS).is_ok());
            assert_eq!(meter.steps(1).err().map(|raise| raise.kind), expected);
        };
        check(Interrupt::Never, None);
        check(Interrupt::WhenLong, Some(RaiseKind::Interrupted));
        check(Interrupt::When(Arc::new(AtomicBool::new(false))), None);
        check(Interrupt::When(Arc::new(AtomicBool::new(true))), Some(RaiseKind::Interrupted));
    }

    #[test]
    fn a_limit_that_is_met_is_told_before_an_interruption() {
        let mut meter = Meter::new(&Limits { steps: CLOCK_INTERVAL_STEPS, ..Limits::default() });
        meter.set_interrupt(Interrupt::WhenLong);
        let refusal = meter.steps(CLOCK_INTERVAL_STEPS + 1).expect_err("too many");
        assert_eq!(refusal.kind, RaiseKind::Limit(Limit::Steps));
    }

    #[test]
    fn a_clock_can_be_given_patience() {
        let mut meter = Meter::new(&Limits { wall_clock_ms: 1, ..Limits::default() });
        let runs = |meter: &mut Meter| {
            // Each pays for more than one look at the clock.
            let first = meter.steps(CLOCK_INTERVAL_STEPS + 1);
            std::thread::sleep(Duration::from_millis(3));
            first.and_then(|()| meter.steps(CLOCK_INTERVAL_STEPS + 1))
        };
        meter.restart_clock(u32::MAX);
        assert!(runs(&mut meter).is_ok());
        meter.restart_clock(1);
        let refusal = runs(&mut meter).expect_err("the time is up");
        assert_eq!(refusal.message, "the formula ran longer than 1 ms");
        meter.reset();
        assert!(meter.steps(CLOCK_INTERVAL_STEPS + 1).is_ok());
    }
}
