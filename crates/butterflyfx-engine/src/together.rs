//! Many invocations of many substrates: looked up together, and evaluated one by one.
//!
//! On a graph that has outgrown the caches an invocation by itself waits for memory some five times, one read after the
//! other: a bucket of identities, the identity, its place, its record, and what is at hand of its formula. Together the
//! reads of each step run side by side. Formulas are kept at hand by shape, not by substrate: those that differ only in
//! numbers take turns in one, which stays in the caches with the machine code that all of them run.

use crate::engine::{Engine, Result};
use crate::identity::SubstrateId;
use crate::state::State;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::meter::{Cost, Interrupt};
use butterflyfx_formula::shape::{Numbers, Shape};
use butterflyfx_formula::value::Value;
use butterflyfx_jit::tier::Tiered;
use std::cell::Cell;
use std::sync::Arc;

/// Invocations that are looked up together at most, and should be.
pub const TOGETHER: usize = 64;

/// Formulas that a thread keeps at hand.
const KEPT_MAX: usize = 1024;

thread_local! {
    /// Taken while in use, so that a panic leaves nothing half done behind.
    static KEPT: Cell<Option<Box<Kept>>> = const { Cell::new(None) };
}

/// What a thread keeps between batches.
struct Kept {
    engine: u64,
    vm: Interpreter,
    formulas: Vec<Option<AtHand>>,
}

/// A formula at hand. Creation number and version say whose it is, and no other ever has both.
struct AtHand {
    sequence: u64,
    version: u32,
    /// What it is of, where it is one of many that differ in numbers.
    shape: Option<Arc<Shape>>,
    formula: Tiered,
}

/// What was found of a substrate.
enum Found {
    /// All that its evaluation needs: its place among those at hand, where others may have come since.
    Formula { place: usize, sequence: u64, version: u32, shape: *const Shape, numbers: Numbers },
    /// It is not there, or something flows in: the way of single invocations.
    Other,
}

/// Evaluates many invocations; see [`Engine::together`].
pub struct Together<'a> {
    engine: &'a Engine,
    interrupt: Interrupt,
    /// There until this is dropped.
    kept: Option<Box<Kept>>,
    ids: Vec<SubstrateId>,
    found: Vec<Found>,
}

impl std::fmt::Debug for Together<'_> {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Together").field("ids", &self.ids.len()).finish_non_exhaustive()
    }
}

impl Engine {
    /// For whoever evaluates many invocations, which `interrupt` may end early. Each gives what
    /// [`Engine::evaluate_until`] would.
    ///
    /// ```
    /// use butterflyfx_engine::{Engine, model::*};
    /// use butterflyfx_formula::{document::Document, formula::ExpressionType, limits::Limits};
    /// use butterflyfx_formula::{meter::Interrupt, value::Value};
    /// use std::sync::Arc;
    ///
    /// let engine = Engine::new(Limits::default());
    /// let ids = ["1 + 1", "2 + 2", "3 + 3"].map(|code| {
    ///     let new = NewSubstrate {
    ///         identity: None,
    ///         expression_type: ExpressionType::Formula,
    ///         expression_code: code.into(),
    ///         metadata: Document::Map(vec![]),
    ///     };
    ///     engine.create_substrate(Timestamp(1), new, OnConflict::Refuse).unwrap().item.id
    /// });
    /// let mut together = engine.together(Interrupt::Never);
    /// together.look_up(&ids);
    /// let (value, _) = together.evaluate(2, &Arc::default()).unwrap();
    /// assert!(matches!(value, Value::Int(6)));
    /// ```
    pub fn together(&self, interrupt: Interrupt) -> Together<'_> {
        let mut kept = match KEPT.take() {
            Some(kept) if kept.engine == self.number => kept,
            _ => Box::new(Kept {
                engine: self.number,
                vm: Interpreter::new(self.limits()),
                formulas: Vec::new(),
            }),
        };
        kept.formulas.resize_with(KEPT_MAX, || None);
        kept.vm.meter.set_interrupt(interrupt.clone());
        Together { engine: self, interrupt, kept: Some(kept), ids: Vec::new(), found: Vec::new() }
    }
}

impl Together<'_> {
    /// Looks up the substrates of the invocations to come, at most [`TOGETHER`]; those beyond are found one by one.
    pub fn look_up(&mut self, ids: &[SubstrateId]) {
        self.ids.clear();
        self.ids.extend_from_slice(ids);
        self.found.clear();
        let Some(kept) = &mut self.kept else { return };
        let state = &*self.engine.state.read();
        let slots = state.substrates.find_each(ids.iter().take(TOGETHER).copied());
        state.substrates.touch_records(slots.iter().flatten().copied());
        self.found.extend(slots.into_iter().map(|slot| match slot {
            Some(slot) if !state.substrates.is_bound(slot) => kept.prepare(self.engine, state, slot),
            _ => Found::Other,
        }));
    }

    /// Evaluates an invocation of the substrate that stood at this place of those that were looked up.
    ///
    /// # Errors
    /// As [`Engine::evaluate_until`].
    pub fn evaluate(&mut self, at: usize, parameters: &Arc<Dict>) -> Result<(Value, Cost)> {
        let id = self.ids.get(at).copied().unwrap_or(SubstrateId(0));
        if let Some(kept) = &mut self.kept
            && let Some(found) = self.found.get(at)
            && let Some((vm, formula)) = kept.formula(self.engine, found)
        {
            vm.meter.reset();
            return match formula.evaluate(vm, parameters) {
                Ok(value) => Ok((value, vm.meter.cost())),
                Err(raise) => Err(self.engine.stopped(id, formula.formula(), raise)),
            };
        }
        let evaluation = self.engine.evaluate_until(id, parameters, false, self.interrupt.clone())?;
        Ok((evaluation.value, evaluation.cost))
    }
}

impl Kept {
    /// Finds the formula of a substrate into which nothing flows, and makes it if no other of its shape is at hand.
    fn prepare(&mut self, engine: &Engine, state: &State, slot: u32) -> Found {
        let sequence = state.substrates.ages.sequence(slot);
        let version = state.substrates.version(slot);
        let shaped = state.substrates.shaped(slot);
        let shape = shaped.as_ref().map(|(shape, _)| *shape);
        let place = shape.map_or(sequence as usize % KEPT_MAX, place_of);
        let Some(at_hand) = self.formulas.get_mut(place) else { return Found::Other };
        let is_at_hand = at_hand.as_ref().is_some_and(|one| match (&one.shape, shape) {
            (Some(own), Some(shape)) => Arc::ptr_eq(own, shape),
            (None, None) => (one.sequence, one.version) == (sequence, version),
            _ => false,
        });
        if !is_at_hand {
            let Some(formula) = state.substrates.formula(slot) else { return Found::Other };
            let formula = Tiered::new(formula, &engine.jit);
            *at_hand = Some(AtHand { sequence, version, shape: shape.cloned(), formula });
        }
        let shape = shape.map_or(std::ptr::null(), Arc::as_ptr);
        Found::Formula {
            place,
            sequence,
            version,
            shape,
            numbers: shaped.map(|(_, numbers)| numbers).unwrap_or_default(),
        }
    }

    /// What was found, with its own numbers; `None` where another has taken its place meanwhile.
    #[inline]
    fn formula(&mut self, engine: &Engine, found: &Found) -> Option<(&mut Interpreter, &mut Tiered)> {
        let Found::Formula { place, sequence, version, shape: wanted, numbers } = found else { return None };
        let one = self.formulas.get_mut(*place)?.as_mut()?;
        if (one.sequence, one.version) != (*sequence, *version) {
            let shape = one.shape.as_ref().filter(|shape| Arc::as_ptr(shape) == *wanted)?;
            if !one.formula.refill(shape, numbers) {
                one.formula = Tiered::new(shape.formula(numbers), &engine.jit);
            }
            (one.sequence, one.version) = (*sequence, *version);
        }
        Some((&mut self.vm, &mut one.formula))
    }
}

/// Where a shape's formula is kept: by where the shape stands in memory.
fn place_of(shape: &Arc<Shape>) -> usize {
    const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
    ((Arc::as_ptr(shape).addr() as u64).wrapping_mul(GOLDEN) >> (u64::BITS - KEPT_MAX.ilog2())) as usize
}

impl Drop for Together<'_> {
    fn drop(&mut self) {
        if let Some(mut kept) = self.kept.take() {
            kept.vm.meter.set_interrupt(Interrupt::Never);
            KEPT.set(Some(kept));
        }
    }
}
