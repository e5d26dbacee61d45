//! Machine code, and the memory that it runs from.
//!
//! Each formula's code has pages of its own: written first, then made executable and never written again, and given back when
//! the last owner drops it. The type that owns the pages is the one that calls them.

use crate::compile::{Assembled, STEPS_SHIFT, WIDE_ROWS};
use crate::kind::{CONSTANT_WORDS, Facts, INPUTS_MAX, Kind, Signature};
use memchr::memchr;
use memmap2::{Mmap, MmapMut};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub use crate::compile::HANDED_OVER;

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

/// Pages with one function in them.
#[derive(Debug)]
struct Executable {
    memory: Mmap,
    gauge: Arc<Gauge>,
}

impl Executable {
    fn new(assembled: &Assembled, gauge: &Arc<Gauge>) -> io::Result<Executable> {
        let mut memory = MmapMut::map_anon(assembled.bytes.len().max(1))?;
        memory[..assembled.bytes.len()].copy_from_slice(&assembled.bytes);
        let memory = memory.make_exec()?;
        gauge.bytes.fetch_add(mapped_bytes(memory.len()), Ordering::Relaxed);
        gauge.codes.fetch_add(1, Ordering::Relaxed);
        Ok(Executable { memory, gauge: Arc::clone(gauge) })
    }
}

impl Drop for Executable {
    fn drop(&mut self) {
        self.gauge.bytes.fetch_sub(mapped_bytes(self.memory.len()), Ordering::Relaxed);
        self.gauge.codes.fetch_sub(1, Ordering::Relaxed);
    }
}

fn mapped_bytes(len: usize) -> u64 {
    (len.div_ceil(PAGE_BYTES) * PAGE_BYTES) as u64
}

/// The code of a template for one signature.
#[derive(Debug)]
pub struct MachineCode {
    code: Executable,
    signature: Signature,
    facts: Box<[Facts]>,
    inputs: usize,
    steps_max: u64,
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
        let code = Executable::new(assembled, gauge)?;
        Ok(MachineCode { code, signature, facts, inputs, steps_max: assembled.steps_max })
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
        assert!(inputs.len() >= self.inputs && constants.len() >= CONSTANT_WORDS * self.facts.len());
        // SAFETY: the memory holds the whole of one function, which Cranelift compiled for this processor with this signature
        // and the System V convention (`Compiler::new` refuses others), and which has nothing to relocate. It stays mapped and
        // unchanged while `self` is borrowed.
        let entry = unsafe { std::mem::transmute::<*const u8, Entry>(self.code.memory.as_ptr()) };
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

/// A column of values of one kind.
#[derive(Clone, Copy, Debug)]
pub enum Payloads<'a> {
    /// Ints.
    Ints(&'a [i64]),
    /// Floats.
    Floats(&'a [f64]),
    /// Bools as 0 and 1.
    Bools(&'a [u64]),
}

impl Payloads<'_> {
    /// The kind of all its values.
    pub fn kind(&self) -> Kind {
        match self {
            Payloads::Ints(_) => Kind::Int,
            Payloads::Floats(_) => Kind::Float,
            Payloads::Bools(_) => Kind::Bool,
        }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Payloads::Ints(values) => values.len(),
            Payloads::Floats(values) => values.len(),
            Payloads::Bools(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn address_of(&self, row: usize) -> *const u64 {
        match self {
            Payloads::Ints(values) => values[row..].as_ptr().cast(),
            Payloads::Floats(values) => values[row..].as_ptr().cast(),
            Payloads::Bools(values) => values[row..].as_ptr(),
        }
    }
}

/// What an input is in many rows.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Its value in each row.
    Column(Payloads<'a>),
    /// The same in all rows: a kind and its payload, say a default.
    Same(Kind, u64),
}

impl Input<'_> {
    fn kind(&self) -> Kind {
        match self {
            Input::Column(column) => column.kind(),
            Input::Same(kind, _) => *kind,
        }
    }
}

/// The code of a template over many rows, for one signature.
#[derive(Debug)]
pub struct RowCode {
    rows: Executable,
    /// For several rows at once, where the formula is plain arithmetic of floats.
    wide: Option<Executable>,
    signature: Signature,
    facts: Box<[Facts]>,
    inputs: usize,
    steps_max: u64,
}

type RowsEntry = unsafe extern "C" fn(
    columns: *const *const u64,
    constants: *const u64,
    payloads: *mut u64,
    kinds: *mut u8,
    rows: u64,
) -> u64;

type WideEntry = unsafe extern "C" fn(
    columns: *const *const u64,
    constants: *const u64,
    results: *mut u64,
    rows: u64,
) -> WideReturned;

/// What the code for several rows at once returns.
#[repr(C)]
struct WideReturned {
    steps: u64,
    failures: u64,
}

/// Rows that are done together. While they are, the next ones are on their way into the cache; and one row that fails makes only
/// few others slow.
const BLOCK_ROWS: usize = 128;

/// Bytes that come into a cache together.
const LINE_BYTES: usize = 64;

/// Kinds of a block of floats.
static FLOATS: [u8; BLOCK_ROWS] = [Kind::Float as u8; BLOCK_ROWS];

const _: () = assert!(BLOCK_ROWS.is_multiple_of(WIDE_ROWS));

/// What a run over rows gave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ran {
    /// Steps of all rows that have results.
    pub steps: u64,
    /// Whether all rows have.
    pub is_complete: bool,
}

impl RowCode {
    /// Puts code into executable memory; as [`MachineCode::new`].
    ///
    /// # Errors
    /// The system gives no memory, or none that may be executed.
    pub fn new(
        rows: &Assembled,
        wide: Option<&Assembled>,
        inputs: usize,
        signature: Signature,
        facts: Box<[Facts]>,
        gauge: &Arc<Gauge>,
    ) -> io::Result<RowCode> {
        Ok(RowCode {
            rows: Executable::new(rows, gauge)?,
            wide: wide.map(|wide| Executable::new(wide, gauge)).transpose()?,
            signature,
            facts,
            inputs,
            steps_max: rows.steps_max,
        })
    }

    /// The kinds of inputs that it is for.
    pub fn signature(&self) -> Signature {
        self.signature
    }

    /// What it takes for granted of the constants.
    pub fn facts(&self) -> &[Facts] {
        &self.facts
    }

    /// No row's result costs more steps.
    pub fn steps_max(&self) -> u64 {
        self.steps_max
    }

    /// Whether it does several rows at once.
    pub fn is_wide(&self) -> bool {
        self.wide.is_some()
    }

    /// Runs over as many rows as there are `kinds`, from row `first` of the columns of all inputs; those that are not there are `None`. Each
    /// row gets a payload and the [`Kind`] of it, or [`HANDED_OVER`] where the interpreter has to do it.
    ///
    /// # Panics
    /// Where an input is missing, a column is shorter, or one is of another kind than the signature says.
    #[allow(unsafe_code)]
    pub fn run(
        &self,
        inputs: &[Option<Input<'_>>],
        constants: &[u64],
        first: usize,
        payloads: &mut [u64],
        kinds: &mut [u8],
    ) -> Ran {
        let rows = kinds.len();
        assert!(inputs.len() >= self.inputs && constants.len() >= CONSTANT_WORDS * self.facts.len());
        assert!(payloads.len() >= rows);
        let inputs = &inputs[..self.inputs];
        let is_same = |input: &Option<Input<'_>>| matches!(input, Some(Input::Same(..)));
        // The code reads a value for each row of a block; that of each block is the same here.
        let mut same = vec![[0; BLOCK_ROWS]; inputs.iter().filter(|input| is_same(input)).count()];
        let mut blocks_of_same = same.iter_mut();
        let mut addresses = [std::ptr::null(); INPUTS_MAX];
        for (at, (address, input)) in addresses.iter_mut().zip(inputs).enumerate() {
            match (self.signature.kind(at), input) {
                (Kind::Absent | Kind::None, _) => {}
                (kind, Some(input)) => {
                    assert!(input.kind() == kind);
                    match input {
                        Input::Column(column) => {
                            assert!(column.len().checked_sub(first).is_some_and(|left| left >= rows));
                            *address = column.address_of(first);
                        }
                        Input::Same(_, payload) => {
                            let Some(block) = blocks_of_same.next() else { unreachable!("one for each") };
                            block.fill(*payload);
                            *address = block.as_ptr();
                        }
                    }
                }
                (_, None) => unreachable!("the signature has an input that is not there"),
            }
        }
        let addresses = &mut addresses[..self.inputs];
        let advance = |addresses: &mut [*const u64], rows: usize| {
            for (address, input) in addresses.iter_mut().zip(inputs) {
                if !address.is_null() && !is_same(input) {
                    *address = address.wrapping_add(rows);
                }
            }
        };
        let mut ran = Ran { steps: 0, is_complete: true };
        let blocks = payloads[..rows].chunks_mut(BLOCK_ROWS).zip(kinds.chunks_mut(BLOCK_ROWS));
        for (payloads, kinds) in blocks {
            for (address, _) in addresses.iter().zip(inputs).filter(|(_, input)| !is_same(input)) {
                fetch(address.wrapping_add(BLOCK_ROWS), BLOCK_ROWS);
            }
            let mut done = 0;
            if let Some(wide) = &self.wide
                && kinds.len() >= WIDE_ROWS
            {
                let wide_rows = kinds.len() / WIDE_ROWS * WIDE_ROWS;
                // SAFETY: as in `MachineCode::call`, with the signature of `Compiler::compile_wide`.
                let entry = unsafe { std::mem::transmute::<*const u8, WideEntry>(wide.memory.as_ptr()) };
                // SAFETY: every input that the code reads was checked above to have as many rows behind its address as the
                // block has (one that is the same in all has those of any block), and `payloads` takes them; the code writes
                // nothing else, and its loop ends with the last row.
                let WideReturned { steps, failures } = unsafe {
                    entry(addresses.as_ptr(), constants.as_ptr(), payloads.as_mut_ptr(), wide_rows as u64)
                };
                if failures == 0 {
                    // Often they are floats since the last time, and reading takes half of the memory's time.
                    if kinds[..wide_rows] != FLOATS[..wide_rows] {
                        kinds[..wide_rows].fill(Kind::Float as u8);
                    }
                    ran.steps += steps;
                    done = wide_rows;
                }
            }
            advance(addresses, done);
            if done == kinds.len() {
                continue;
            }
            // SAFETY: as in `MachineCode::call`, with the signature of `Compiler::compile_rows`.
            let entry = unsafe { std::mem::transmute::<*const u8, RowsEntry>(self.rows.memory.as_ptr()) };
            let (payloads, kinds) = (&mut payloads[done..], &mut kinds[done..]);
            // SAFETY: every input that the code reads was checked above to have as many rows behind its address as are left of
            // the block, and `payloads` and `kinds` take them; the code writes nothing else, and its loop ends with the last row.
            ran.steps += unsafe {
                entry(
                    addresses.as_ptr(),
                    constants.as_ptr(),
                    payloads.as_mut_ptr(),
                    kinds.as_mut_ptr(),
                    kinds.len() as u64,
                )
            };
            ran.is_complete &= memchr(HANDED_OVER, kinds).is_none();
            advance(addresses, kinds.len());
        }
        ran
    }
}

/// Has the processor bring words into its cache, which it may do or not. They need not be there.
#[allow(unsafe_code)]
fn fetch(from: *const u64, words: usize) {
    #[cfg(target_arch = "x86_64")]
    for line in 0..(words * 8).div_ceil(LINE_BYTES) {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let at = from.cast::<i8>().wrapping_add(line * LINE_BYTES);
        // SAFETY: nothing is read that could be seen, and an address where there is no memory is passed over.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(at) }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = (from, words);
}
