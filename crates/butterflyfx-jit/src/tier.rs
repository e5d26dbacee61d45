//! What is worth compiling, when, and for how long it is kept.
//!
//! A formula runs interpreted until its template is hot. Then a thread compiles it for the kinds of values at hand, and whoever
//! invokes a formula of that template from then on with such values runs the code. Code hangs on its template, so that formulas share
//! it and it goes when the last of them is deleted; there is a bound on all of it together.

use crate::code::{Gauge, MachineCode, RowCode};
use crate::compile::{Compiler, Refusal};
use crate::kind::{CONSTANT_WORDS, Facts, INPUTS_MAX, Kind, Signature, payloads, words_of};
use butterflyfx_formula::code::Code;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::error::Result;
use butterflyfx_formula::formula::{Binding, Formula, Template};
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::shape::Shape;
use butterflyfx_formula::value::Value;
use parking_lot::{Mutex, RwLock};
use smallvec::SmallVec;
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;

/// Invocations of a template after which it is compiled: some microseconds of interpreting, against a hundred of
/// compiling that pay off when it goes on like this.
const HOT: u32 = 200;

/// Codes of one template: kinds of its inputs, and what is known of constants.
const CODES_PER_TEMPLATE_MAX: usize = 8;

/// Templates that may wait for the compiler. Those that find no room ask again later.
const WAITING_MAX: usize = 256;

/// Bytes of executable memory for all templates together: some four thousand codes of one page.
pub const CODE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// Times in a row that code may hand over before a thread leaves it alone for this formula.
const HAND_OVERS_MAX: u32 = 64;

/// When formulas are compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Never.
    Off,
    /// On a thread of its own, once a template is hot.
    WhenHot,
    /// At once, on the thread that asks: for tests and measurements.
    AtOnce,
}

/// The compiler of one engine.
#[derive(Clone, Debug)]
pub struct Jit {
    mode: Mode,
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    gauge: Arc<Gauge>,
    compiled: AtomicU64,
    refused: AtomicU64,
    /// A compiler that nobody uses at the moment, so that not each template has one made.
    compiler: Mutex<Option<Compiler>>,
    /// Made with the first template that is hot.
    queue: OnceLock<Option<SyncSender<Request>>>,
    /// All tiers that have code, for whoever looks for some to drop.
    tiers: Mutex<Vec<Weak<Tier>>>,
}

/// What there is, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Codes alive.
    pub codes: u64,
    /// Bytes of executable memory.
    pub bytes: u64,
    /// Codes ever made.
    pub compiled: u64,
    /// Templates and signatures for which none could be made.
    pub refused: u64,
}

struct Request {
    template: Weak<Template>,
    tier: Weak<Tier>,
    signature: Signature,
    facts: Box<[Facts]>,
}

/// What hangs on a template.
#[derive(Debug, Default)]
struct Tier {
    heat: AtomicU32,
    /// Grows with each change of `codes`.
    generation: AtomicU32,
    /// Whether code ran since somebody looked for code to drop.
    is_used: AtomicBool,
    /// Whether one of `codes` can run.
    is_ready: AtomicBool,
    codes: RwLock<SmallVec<[Slot; 1]>>,
    /// For many rows together.
    row_codes: Mutex<Vec<RowSlot>>,
    /// Whether it stands in [`Shared::tiers`].
    is_listed: AtomicBool,
}

/// Code for many rows, or that there can be none.
#[derive(Debug)]
struct RowSlot {
    signature: Signature,
    facts: Box<[Facts]>,
    code: Option<Arc<RowCode>>,
}

#[derive(Debug)]
struct Slot {
    signature: Signature,
    facts: Box<[Facts]>,
    state: State,
}

#[derive(Debug)]
enum State {
    Waiting,
    Ready(Arc<MachineCode>),
    Refused,
}

impl Jit {
    /// A compiler; it costs nothing before the first template is hot.
    pub fn new(mode: Mode) -> Jit {
        Jit { mode, shared: Arc::default() }
    }

    /// When it compiles.
    pub fn mode(&self) -> Mode {
        self.mode
    }

    /// What there is.
    pub fn stats(&self) -> Stats {
        Stats {
            codes: self.shared.gauge.codes(),
            bytes: self.shared.gauge.bytes(),
            compiled: self.shared.compiled.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
        }
    }

    /// Asks for code, once for each signature.
    #[cold]
    fn request(&self, template: &Arc<Template>, tier: &Arc<Tier>, signature: Signature, facts: &[Facts]) {
        {
            let mut codes = tier.codes.write();
            let is_there = codes.iter().any(|slot| slot.signature == signature && *slot.facts == *facts);
            if is_there || codes.len() >= CODES_PER_TEMPLATE_MAX {
                return;
            }
            codes.push(Slot { signature, facts: facts.into(), state: State::Waiting });
        }
        let request = Request {
            template: Arc::downgrade(template),
            tier: Arc::downgrade(tier),
            signature,
            facts: facts.into(),
        };
        if self.mode == Mode::AtOnce {
            return self.shared.compile(&request);
        }
        let shared = &self.shared;
        let queue = shared.queue.get_or_init(|| {
            let (sender, requests) = sync_channel(WAITING_MAX);
            // The thread must not keep alive what ends it.
            let weak = Arc::downgrade(shared);
            let thread = thread::Builder::new().name("compiler".into());
            thread.spawn(move || compile_all(&weak, &requests)).ok().map(|_| sender)
        });
        let is_queued = queue.as_ref().is_some_and(|queue| queue.try_send(request).is_ok());
        if !is_queued {
            tier.take_back(signature, facts);
        }
    }
}

impl Jit {
    fn row_code(
        &self,
        template: &Template,
        tier: &Arc<Tier>,
        signature: Signature,
        facts: &[Facts],
    ) -> Option<Arc<RowCode>> {
        let find = |slots: &[RowSlot]| {
            let same = |slot: &&RowSlot| slot.signature == signature && *slot.facts == *facts;
            slots.iter().find(same).map(|slot| slot.code.clone())
        };
        // Not held while compiling: whoever makes room empties what others have.
        if let Some(known) = find(&tier.row_codes.lock()) {
            tier.is_used.store(true, Ordering::Relaxed);
            return known;
        }
        let shared = &self.shared;
        if shared.gauge.bytes() >= CODE_BYTES_MAX && !shared.make_room() {
            return None;
        }
        let made = shared.with_compiler(|compiler| shared.rows(compiler, template, signature, facts));
        let code = made.ok().map(Arc::new);
        let mut slots = tier.row_codes.lock();
        if slots.len() < CODES_PER_TEMPLATE_MAX && find(&slots).is_none() {
            slots.push(RowSlot { signature, facts: facts.into(), code: code.clone() });
        }
        drop(slots);
        shared.list(tier);
        code
    }
}

fn compile_all(shared: &Weak<Shared>, requests: &Receiver<Request>) {
    while let Ok(request) = requests.recv() {
        let Some(shared) = shared.upgrade() else { break };
        shared.compile(&request);
    }
}

impl Shared {
    /// Has a compiler make something, and counts it.
    fn with_compiler<T>(
        &self,
        make: impl FnOnce(&mut Compiler) -> std::result::Result<T, Refusal>,
    ) -> std::result::Result<T, Refusal> {
        let kept = self.compiler.lock().take();
        let made = catch_unwind(AssertUnwindSafe(|| {
            let mut compiler = kept.map_or_else(Compiler::new, Ok)?;
            let made = make(&mut compiler)?;
            // One that refused, or worse, is not trusted with another formula.
            *self.compiler.lock() = Some(compiler);
            Ok(made)
        }));
        let made = made.unwrap_or_else(|_| Err(Refusal::Generator("the code generator failed".into())));
        let counter = if made.is_ok() { &self.compiled } else { &self.refused };
        counter.fetch_add(1, Ordering::Relaxed);
        made
    }

    /// Compiles what was asked for.
    fn compile(&self, request: &Request) {
        let (Some(template), Some(tier)) = (request.template.upgrade(), request.tier.upgrade()) else {
            return;
        };
        if self.gauge.bytes() >= CODE_BYTES_MAX && !self.make_room() {
            // Hot ones ask again.
            return tier.take_back(request.signature, &request.facts);
        }
        let made = self.with_compiler(|compiler| self.machine_code(compiler, &template, request));
        tier.settle(request, made.ok());
        self.list(&tier);
    }

    /// Lets a tier be found by whoever makes room.
    fn list(&self, tier: &Arc<Tier>) {
        if tier.is_listed.swap(true, Ordering::Relaxed) {
            return;
        }
        let mut tiers = self.tiers.lock();
        if tiers.len() == tiers.capacity() {
            tiers.retain(|tier| tier.strong_count() > 0);
        }
        tiers.push(Arc::downgrade(tier));
    }

    fn machine_code(
        &self,
        compiler: &mut Compiler,
        template: &Template,
        request: &Request,
    ) -> std::result::Result<MachineCode, Refusal> {
        let code = template.code().ok_or(Refusal::NotCovered)?;
        let assembled = compiler.compile(code, request.signature, &request.facts)?;
        let inputs = code.parameters.len() + code.names.len();
        MachineCode::new(&assembled, inputs, request.signature, request.facts.clone(), &self.gauge)
            .map_err(|error| Refusal::Generator(error.to_string()))
    }

    fn rows(
        &self,
        compiler: &mut Compiler,
        template: &Template,
        signature: Signature,
        facts: &[Facts],
    ) -> std::result::Result<RowCode, Refusal> {
        let code = template.code().ok_or(Refusal::NotCovered)?;
        let rows = compiler.compile_rows(code, signature, facts)?;
        let wide = compiler.compile_wide(code, signature, facts).ok();
        let inputs = code.parameters.len() + code.names.len();
        RowCode::new(&rows, wide.as_ref(), inputs, signature, facts.into(), &self.gauge)
            .map_err(|error| Refusal::Generator(error.to_string()))
    }

    /// Drops code that did not run since the last time; whether that made room.
    fn make_room(&self) -> bool {
        self.tiers.lock().retain(|tier| {
            let Some(tier) = tier.upgrade() else { return false };
            tier.is_used.swap(false, Ordering::Relaxed) || {
                tier.is_listed.store(false, Ordering::Relaxed);
                tier.codes.write().clear();
                tier.is_ready.store(false, Ordering::Relaxed);
                tier.row_codes.lock().clear();
                tier.heat.store(0, Ordering::Relaxed);
                tier.generation.fetch_add(1, Ordering::Release);
                false
            }
        });
        self.gauge.bytes() < CODE_BYTES_MAX
    }
}

impl Tier {
    fn attached(template: &Template) -> &Arc<dyn Any + Send + Sync> {
        template.attachment().get_or_init(|| Arc::new(Tier::default()))
    }

    fn of(template: &Template) -> Option<Arc<Tier>> {
        Arc::clone(Tier::attached(template)).downcast().ok()
    }

    /// Counts an invocation that found no code; whether it is time to ask for some.
    fn heat_up(&self, mode: Mode) -> bool {
        if mode == Mode::AtOnce {
            return true;
        }
        // Between threads a count may be lost; it is no count of anything but warmth.
        let before = self.heat.load(Ordering::Relaxed);
        let is_hot = before + 1 >= HOT;
        // It begins anew, for a formula with other constants, or where this invocation's values are no numbers.
        self.heat.store(if is_hot { 0 } else { before + 1 }, Ordering::Relaxed);
        is_hot
    }

    /// Forgets that code was asked for.
    fn take_back(&self, signature: Signature, facts: &[Facts]) {
        self.codes.write().retain(|slot| {
            !(slot.signature == signature && *slot.facts == *facts && matches!(slot.state, State::Waiting))
        });
        self.heat.store(0, Ordering::Relaxed);
    }

    /// Puts code where it was asked for.
    fn settle(&self, request: &Request, code: Option<MachineCode>) {
        let mut codes = self.codes.write();
        let asked =
            codes.iter_mut().find(|slot| slot.signature == request.signature && slot.facts == request.facts);
        if let Some(slot) = asked {
            self.is_ready.fetch_or(code.is_some(), Ordering::Relaxed);
            slot.state = code.map_or(State::Refused, |code| State::Ready(Arc::new(code)));
        }
        self.generation.fetch_add(1, Ordering::Release);
    }
}

/// An input of a formula: where its value is found.
#[derive(Clone, Debug)]
enum Input {
    /// A parameter, and its default.
    Parameter(Arc<str>, Option<Value>),
    /// A name that is read from `**kw`.
    Keyword(Arc<str>),
    /// A name that can never be in `**kw`, as a parameter has it.
    Nothing,
}

/// A formula as one thread invokes it, with the machine code that it may run.
#[derive(Clone, Debug)]
pub struct Tiered {
    formula: Formula,
    preparation: Preparation,
}

/// What there is to run code with. It takes some allocations, which one short run does not pay for, so that it is
/// made when code is there or asked for, and not for the first invocation.
#[derive(Clone, Debug)]
enum Preparation {
    /// Nothing is compiled.
    Never,
    /// Nothing yet.
    Waiting { jit: Jit, has_run: bool },
    /// All of it.
    Done(Box<Prepared>),
}

#[derive(Clone, Debug)]
struct Prepared {
    jit: Jit,
    tier: Arc<Tier>,
    inputs: Box<[Input]>,
    accepts_any: bool,
    constants: Box<[u64]>,
    facts: Box<[Facts]>,
    /// Of which constants it matters whether they are zero or a power of two.
    is_divisor: Box<[bool]>,
    /// The inputs of the invocation at hand.
    payloads: Box<[u64]>,
    generation: u32,
    codes: SmallVec<[Arc<MachineCode>; 1]>,
    /// Times in a row that code handed over.
    handed_over: u32,
    /// Invocations with values that no code is for.
    unmatched: u32,
}

/// An input of a formula, for whoever looks for its column.
pub(crate) struct InputName<'a> {
    /// `None` where nothing can be given for it.
    pub(crate) name: Option<&'a str>,
    /// What it is where it is not given.
    pub(crate) otherwise: Otherwise<'a>,
}

/// What an input is that is not given.
pub(crate) enum Otherwise<'a> {
    /// An error.
    Missing,
    /// Its default.
    Default(&'a Value),
    /// Not in `**kw`, which need not have a name.
    Absent,
}

impl Tiered {
    /// A formula that may be compiled by `jit`.
    pub fn new(formula: Formula, jit: &Jit) -> Tiered {
        let preparation = if Prepared::is_worth_it(&formula.template, jit) {
            Preparation::Waiting { jit: jit.clone(), has_run: false }
        } else {
            Preparation::Never
        };
        Tiered { formula, preparation }
    }

    /// Makes it the formula of the same shape with other numbers, and keeps the code that is for those, too. `false` where
    /// it has to be made anew; then it is as it was.
    pub fn refill(&mut self, shape: &Shape, numbers: &[u64]) -> bool {
        let is_refilled = shape.refill(numbers, &mut self.formula);
        if is_refilled && let Preparation::Done(prepared) = &mut self.preparation {
            prepared.refill(&self.formula.constants);
        }
        is_refilled
    }

    /// The formula.
    pub fn formula(&self) -> &Formula {
        &self.formula
    }

    /// As [`Formula::evaluate`]: same value, same error, same cost.
    ///
    /// # Errors
    /// What the formula raised, a missing or unexpected parameter, a limit.
    #[inline]
    pub fn evaluate(&mut self, vm: &mut Interpreter, parameters: &Arc<Dict>) -> Result<Value> {
        match self.compute(vm, parameters) {
            Some(value) => Ok(value),
            None => self.formula.evaluate(vm, parameters),
        }
    }

    /// What machine code answers; `None` where the interpreter has to.
    #[inline]
    pub fn compute(&mut self, vm: &mut Interpreter, parameters: &Dict) -> Option<Value> {
        let prepared = self.preparation.warm(&self.formula)?;
        let (signature, found) = prepared.gather(|name| parameters.get_str(name))?;
        if found < parameters.len() && !prepared.accepts_any {
            return None;
        }
        prepared.run(&self.formula.template, vm, signature)
    }

    /// What machine code answers for parameters that are found by name, wherever they are; those that the formula does not
    /// take are not asked for. `None` where the interpreter has to do it.
    #[inline]
    pub fn compute_with<'v>(
        &mut self,
        vm: &mut Interpreter,
        find: impl Fn(&str) -> Option<&'v Value>,
    ) -> Option<Value> {
        let prepared = self.preparation.warm(&self.formula)?;
        let (signature, _) = prepared.gather(find)?;
        prepared.run(&self.formula.template, vm, signature)
    }

    /// Whether it is compiled without waiting until it is hot.
    pub(crate) fn compiles_at_once(&self) -> bool {
        match &self.preparation {
            Preparation::Never => false,
            Preparation::Waiting { jit, .. } => jit.mode == Mode::AtOnce,
            Preparation::Done(prepared) => prepared.jit.mode == Mode::AtOnce,
        }
    }

    /// The inputs in the order of signatures; `None` where nothing is ever compiled.
    pub(crate) fn input_names(&mut self) -> Option<impl Iterator<Item = InputName<'_>>> {
        let prepared = self.preparation.done(&self.formula)?;
        Some(prepared.inputs.iter().map(|input| match input {
            Input::Parameter(name, default) => {
                let otherwise = default.as_ref().map_or(Otherwise::Missing, Otherwise::Default);
                InputName { name: Some(name), otherwise }
            }
            Input::Keyword(name) => InputName { name: Some(name), otherwise: Otherwise::Absent },
            Input::Nothing => InputName { name: None, otherwise: Otherwise::Absent },
        }))
    }

    /// The payloads of its constants; none before it was asked for code.
    pub(crate) fn constants(&self) -> &[u64] {
        match &self.preparation {
            Preparation::Done(prepared) => &prepared.constants,
            _ => &[],
        }
    }

    /// Code for many rows of a signature, compiled now where there is none yet.
    pub(crate) fn row_code(&mut self, signature: Signature) -> Option<Arc<RowCode>> {
        let prepared = self.preparation.done(&self.formula)?;
        prepared.jit.row_code(&self.formula.template, &prepared.tier, signature, &prepared.facts)
    }

    /// As [`Formula::evaluate_bound`]: same value, same error, same cost.
    ///
    /// # Errors
    /// What the formula raised, a limit.
    #[inline]
    pub fn evaluate_bound(
        &mut self,
        vm: &mut Interpreter,
        row: &Arc<Dict>,
        binding: &Binding,
    ) -> Result<Value> {
        if let Some(prepared) = self.preparation.warm(&self.formula)
            && let Some(signature) = prepared.gather_bound(row, binding)
            && let Some(value) = prepared.run(&self.formula.template, vm, signature)
        {
            return Ok(value);
        }
        self.formula.evaluate_bound(vm, row, binding)
    }
}

impl Preparation {
    /// Where there is code to run, or it is time to ask for some.
    #[inline]
    fn warm(&mut self, formula: &Formula) -> Option<&mut Prepared> {
        match *self {
            Preparation::Done(ref mut prepared) => prepared.is_warm().then_some(prepared),
            Preparation::Waiting { .. } => self.warm_up(formula),
            Preparation::Never => None,
        }
    }

    #[inline(never)]
    fn warm_up(&mut self, formula: &Formula) -> Option<&mut Prepared> {
        let Preparation::Waiting { jit, has_run } = self else { return None };
        let tier = Tier::attached(&formula.template).downcast_ref::<Tier>()?;
        let is_time = tier.heat_up(jit.mode);
        let pays_off = std::mem::replace(has_run, true) && tier.is_ready.load(Ordering::Relaxed);
        if !is_time && !pays_off {
            return None;
        }
        let prepared = self.done(formula)?;
        prepared.refresh();
        (is_time || !prepared.codes.is_empty()).then_some(prepared)
    }

    /// With all that is needed.
    fn done(&mut self, formula: &Formula) -> Option<&mut Prepared> {
        if let Preparation::Waiting { jit, .. } = self {
            *self = match Prepared::new(formula, jit) {
                Some(prepared) => Preparation::Done(Box::new(prepared)),
                None => Preparation::Never,
            };
        }
        match self {
            Preparation::Done(prepared) => Some(prepared),
            _ => None,
        }
    }
}

impl Prepared {
    /// Whether formulas of a template can be compiled at all.
    fn is_worth_it(template: &Template, jit: &Jit) -> bool {
        let is_small = |code: Code<'_>| code.parameters.len() + code.names.len() <= INPUTS_MAX;
        jit.mode != Mode::Off && !template.is_constant() && template.code().is_some_and(is_small)
    }

    fn new(formula: &Formula, jit: &Jit) -> Option<Prepared> {
        let template = &formula.template;
        let code = template.code()?;
        let mut defaults = formula.defaults.iter();
        let parameters = code.parameters.iter().enumerate().map(|(at, name)| {
            let default = if template.has_default(at) { defaults.next().cloned() } else { None };
            Input::Parameter(Arc::clone(name), default)
        });
        let names = code.names.iter().map(|name| {
            if code.parameters.contains(name) { Input::Nothing } else { Input::Keyword(Arc::clone(name)) }
        });
        Some(Prepared {
            jit: jit.clone(),
            tier: Tier::of(template)?,
            inputs: parameters.chain(names).collect(),
            accepts_any: template.accepts_any(),
            constants: payloads(&formula.constants),
            facts: Facts::of_constants(code, &formula.constants),
            is_divisor: Facts::divisors(code, formula.constants.len()),
            payloads: vec![0; code.parameters.len() + code.names.len()].into(),
            generation: 0,
            codes: SmallVec::new(),
            handed_over: 0,
            unmatched: 0,
        })
    }

    /// Takes other constants, as many as there were.
    fn refill(&mut self, constants: &[Value]) {
        let mut is_same = true;
        let own = self.constants.chunks_exact_mut(CONSTANT_WORDS).zip(&mut self.facts).zip(&self.is_divisor);
        for (((words, facts), &is_divisor), constant) in own.zip(constants) {
            let new = Facts::of(constant, is_divisor);
            is_same &= new == *facts;
            *facts = new;
            words.copy_from_slice(&words_of(constant));
        }
        if !is_same {
            self.refresh();
        }
    }

    /// Whether there is code to run, or it is time to ask for some.
    #[inline]
    fn is_warm(&mut self) -> bool {
        if self.tier.generation.load(Ordering::Acquire) != self.generation {
            self.refresh();
        }
        !self.codes.is_empty() || self.tier.heat_up(self.jit.mode)
    }

    #[cold]
    fn refresh(&mut self) {
        let codes = self.tier.codes.read();
        self.generation = self.tier.generation.load(Ordering::Acquire);
        self.codes.clear();
        self.codes.extend(codes.iter().filter(|slot| slot.facts == self.facts).filter_map(|slot| {
            match &slot.state {
                State::Ready(code) => Some(Arc::clone(code)),
                State::Waiting | State::Refused => None,
            }
        }));
        self.handed_over = 0;
        self.unmatched = 0;
    }

    /// The inputs by name, and how many are given; `None` where a name is missing, or a value is of no kind that code knows.
    #[inline]
    fn gather<'v>(&mut self, find: impl Fn(&str) -> Option<&'v Value>) -> Option<(Signature, usize)> {
        let mut signature = Signature::default();
        let mut found = 0;
        for (at, (input, to)) in self.inputs.iter().zip(&mut self.payloads).enumerate() {
            let (kind, payload) = match input {
                Input::Parameter(name, default) => match find(name) {
                    Some(value) => {
                        found += 1;
                        Kind::of(value)?
                    }
                    None => Kind::of(default.as_ref()?)?,
                },
                Input::Keyword(name) => match find(name) {
                    Some(value) => Kind::of(value)?,
                    None => continue,
                },
                Input::Nothing => continue,
            };
            signature = signature.with(at, kind);
            *to = payload;
        }
        Some((signature, found))
    }

    /// The inputs of a row whose places are known.
    #[inline]
    fn gather_bound(&mut self, row: &Dict, binding: &Binding) -> Option<Signature> {
        let mut signature = Signature::default();
        let inputs = self.inputs.iter().zip(&mut self.payloads).zip(binding.places());
        for (at, ((input, to), &place)) in inputs.enumerate() {
            let value = match (input, row.value_at(place as usize)) {
                (Input::Nothing, _) | (Input::Keyword(_), None) => continue,
                (_, Some(value)) => value,
                (Input::Parameter(_, default), None) => default.as_ref()?,
            };
            let (kind, payload) = Kind::of(value)?;
            signature = signature.with(at, kind);
            *to = payload;
        }
        Some(signature)
    }

    /// Runs code for these inputs, if there is some and the budget allows for the longest way through it.
    #[inline]
    fn run(&mut self, template: &Arc<Template>, vm: &mut Interpreter, signature: Signature) -> Option<Value> {
        let Some(code) = self.codes.iter().find(|code| code.signature() == signature) else {
            self.ask(template, signature);
            // What was compiled at once may run at once.
            return (self.jit.mode == Mode::AtOnce && self.has_refreshed(signature))
                .then(|| self.run(template, vm, signature))?;
        };
        if !vm.meter.has_steps(code.steps_max()) {
            return None;
        }
        if !self.tier.is_used.load(Ordering::Relaxed) {
            self.tier.is_used.store(true, Ordering::Relaxed);
        }
        match code.call(&self.payloads, &self.constants) {
            Some(computed) => {
                self.handed_over = 0;
                vm.meter.steps(computed.steps).ok()?;
                Some(match computed.kind {
                    // A NaN is an object of its own.
                    Kind::Float => Value::float(f64::from_bits(computed.payload)),
                    kind => kind.value(computed.payload),
                })
            }
            None => {
                self.handed_over += 1;
                if self.handed_over > HAND_OVERS_MAX {
                    self.codes.clear();
                }
                None
            }
        }
    }

    #[cold]
    fn ask(&mut self, template: &Arc<Template>, signature: Signature) {
        self.unmatched = self.unmatched.saturating_add(1);
        // The first code is asked for when the template is hot; for others these values must keep coming.
        if self.codes.is_empty() || self.jit.mode == Mode::AtOnce || self.unmatched == HOT {
            self.jit.request(template, &self.tier, signature, &self.facts);
        }
    }

    fn has_refreshed(&mut self, signature: Signature) -> bool {
        self.refresh();
        self.codes.iter().any(|code| code.signature() == signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use butterflyfx_formula::formula::{ExpressionType, Templates};
    use butterflyfx_formula::limits::Limits;
    use std::time::{Duration, Instant};

    #[test]
    fn what_runs_once_is_not_prepared() {
        let (templates, jit) = (Templates::default(), Jit::new(Mode::WhenHot));
        let limits = Limits::default();
        let new = || {
            let formula = Formula::new(ExpressionType::Formula, "x * 2", &limits, &templates);
            Tiered::new(formula.expect("a formula"), &jit)
        };
        let mut parameters = Dict::new();
        parameters.insert_str("x".into(), Value::Int(21));
        let mut vm = Interpreter::new(&limits);
        let mut run = |tiered: &mut Tiered| tiered.compute(&mut vm, &parameters).is_some();
        // The template heats up, whichever of its formulas runs.
        let mut hot = new();
        for _ in 1..HOT {
            assert!(!run(&mut hot) && matches!(hot.preparation, Preparation::Waiting { .. }));
        }
        let patience = Instant::now() + Duration::from_secs(60);
        while !run(&mut hot) {
            assert!(Instant::now() < patience, "code within a minute");
        }
        let mut other = new();
        assert!(!run(&mut other) && matches!(other.preparation, Preparation::Waiting { .. }));
        assert!(run(&mut other) && matches!(other.preparation, Preparation::Done(_)));
    }
}
