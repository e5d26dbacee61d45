//! Machine code, and the memory that it runs from.
//!
//! Each formula's code has pages of its own: written first, then made executable and never written again, and given back when
//! the last owner drops it. The type that owns the pages is the one that calls them.

use crate::compile::{Assembled, HANDED_OVER, STEPS_SHIFT};
use crate::kind::{Facts, Kind, Signature};
use memmap2::{Mmap, MmapMut};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that are mapped at once.
const PAGE_BYTES: usize = 4096;

/// Counts the code that is alive.
#[derive(Debug, Default)]
pub struct Gauge {
    bytes: AtomicU64,
    codes: AtomicU64,
}

impl Gauge {
    /// Bytes mapped for code.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// How many codes there are.
    pub fn codes(&self) -> u64 {
        self.codes.load(Ordering::Relaxed)
    }
}

/// The code of a template for one signature.
#[derive(Debug)]
pub struct MachineCode {
    memory: Mmap,
    signature: Signature,
    facts: Box<[Facts]>,
    inputs: usize,
    steps_max: u64,
    gauge: Arc<Gauge>,
}

/// A result of machine code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Computed {
    /// What kind of value it is.
    pub kind: Kind,
    /// Its bits.
    pub payload: u64,
    /// What it cost.
    pub steps: u64,
}

/// What the code returns: two registers.
#[repr(C)]
struct Returned {
    payload: u64,
    told: u64,
}

type Entry = unsafe extern "C" fn(inputs: *const u64, constants: *const u64) -> Returned;

impl MachineCode {
    /// Puts code into executable memory, for so many inputs of this signature and constants of which this is known.
    ///
    /// # Errors
    /// The system gives no memory, or none that may be executed.
    pub fn new(
        assembled: &Assembled,
        inputs: usize,
        signature: Signature,
        facts: Box<[Facts]>,
        gauge: &Arc<Gauge>,
    ) -> io::Result<MachineCode> {
        let mut memory = MmapMut::map_anon(assembled.bytes.len().max(1))?;
        memory[..assembled.bytes.len()].copy_from_slice(&assembled.bytes);
        let memory = memory.make_exec()?;
        gauge.bytes.fetch_add(mapped_bytes(memory.len()), Ordering::Relaxed);
        gauge.codes.fetch_add(1, Ordering::Relaxed);
        let steps_max = assembled.steps_max;
        Ok(MachineCode { memory, signature, facts, inputs, steps_max, gauge: Arc::clone(gauge) })
    }

    /// The kinds of inputs that it is for.
    #[inline]
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// What it takes for granted of the constants.
    pub fn facts(&self) -> &[Facts] {
        &self.facts
    }

    /// No result costs more steps.
    #[inline]
    pub fn steps_max(&self) -> u64 {
        self.steps_max
    }

    /// Runs it over the payloads of inputs and constants ([`crate::kind::payloads`]), of the kinds that it is for. `None` where the
    /// interpreter has to do it: an exception, a big int, what is not covered.
    ///
    /// With payloads of other kinds the answer is wrong, but nothing else happens.
    ///
    /// # Panics
    /// Where there are fewer payloads than the code reads.
    #[inline]
    #[allow(unsafe_code)]
    pub fn call(&self, inputs: &[u64], constants: &[u64]) -> Option<Computed> {
        assert!(inputs.len() >= self.inputs && constants.len() >= 2 * self.facts.len());
        // SAFETY: the memory holds the whole of one function, which Cranelift compiled for this processor with this signature
        // and the System V convention (`Compiler::new` refuses others), and which has nothing to relocate. It stays mapped and
        // unchanged while `self` is borrowed.
        let entry = unsafe { std::mem::transmute::<*const u8, Entry>(self.memory.as_ptr()) };
        // SAFETY: the function reads payloads below the lengths that were compared above and nothing else, writes no
        // memory but its stack frame, divides only by what it has compared with zero, calls only the functions of
        // `support`, which do not unwind, and has no loop.
        let Returned { payload, told } = unsafe { entry(inputs.as_ptr(), constants.as_ptr()) };
        let kind = match told as u8 {
            1 => Kind::None,
            2 => Kind::Bool,
            3 => Kind::Int,
            4 => Kind::Float,
            other => {
                debug_assert_eq!(other, HANDED_OVER);
                return None;
            }
        };
        Some(Computed { kind, payload, steps: told >> STEPS_SHIFT })
    }
}

impl Drop for MachineCode {
    fn drop(&mut self) {
        self.gauge.bytes.fetch_sub(mapped_bytes(self.memory.len()), Ordering::Relaxed);
        self.gauge.codes.fetch_sub(1, Ordering::Relaxed);
    }
}

fn mapped_bytes(len: usize) -> u64 {
    (len.div_ceil(PAGE_BYTES) * PAGE_BYTES) as u64
}
