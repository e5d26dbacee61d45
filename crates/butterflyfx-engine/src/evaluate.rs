//! Evaluating: the hot path, and parameters that flow along relationships.
//!
//! The cost of one evaluation without bound parameters: the read lock (two atomic operations),
//! one look at the identity table and two at columns (cache misses once the state outgrows the
//! caches), one comparison where the thread has the formula at hand (else its constants are read
//! out of their bytes, some 20 ns each), and the formula itself, as machine code once it is hot. The
//! lock is let go before the formula runs.
//!
//! With bound parameters the formulas of everything that flows in are collected first, under the
//! lock, inputs before what reads them; then each is evaluated once, on one budget, those that are
//! hot as machine code, which takes its parameters from where they are. Nothing is recursive but for
//! the tree of `explain`, whose depth is bounded.

use crate::engine::{Engine, Result};
use crate::error::{EngineError, EvaluationError};
use crate::identity::SubstrateId;
use crate::model::{Edition, Evaluation, Input, InputSource};
use crate::read::{Slices, Stop, read};
use crate::state::State;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::error::{Raise, RaiseKind};
use butterflyfx_formula::formula::{self, ExpressionType, Formula, Template};
use butterflyfx_formula::interpret::Interpreter;
use butterflyfx_formula::json;
use butterflyfx_formula::limits::{Limit, Limits};
use butterflyfx_formula::meter::{Interrupt, Meter};
use butterflyfx_formula::text::Text;
use butterflyfx_formula::value::Value;
use butterflyfx_jit::tier::{Jit, Tiered};
use foldhash::fast::RandomState;
use hashbrown::{HashMap, HashSet};
use std::cell::Cell;
use std::ops::Range;
use std::sync::Arc;

/// Formulas that a thread keeps at hand.
const CACHED_FORMULAS: usize = 4096;

/// Entries in the answer to `explain`: inputs that many formulas share appear many times in it.
const EXPLAINED_MAX: u64 = 10_000;

/// Bytes charged for an input before it is collected, about what it takes until the answer.
const INPUT_BYTES: u64 = 64;

/// How many times the wall clock of an invocation the collecting of its inputs may take. Steps and
/// bytes bound it already, at some 100,000 inputs, and a long cycle should be called a cycle also
/// on a busy machine.
const COLLECTING_PATIENCE: u32 = 20;

thread_local! {
    /// Taken while in use, so that a panic leaves nothing half done behind.
    static WORKER: Cell<Option<Box<Worker>>> = const { Cell::new(None) };
}

/// What a thread keeps between evaluations.
struct Worker {
    engine: u64,
    vm: Interpreter,
    formulas: Vec<Option<Cached>>,
}

/// A formula at hand. Creation number and version say whose it is, and no other ever has both.
struct Cached {
    sequence: u64,
    version: u32,
    formula: Tiered,
}

impl Cached {
    fn new(state: &State, slot: u32, sequence: u64, version: u32, jit: &Jit) -> Result<Cached> {
        // A living substrate has a template.
        let formula = state.substrates.formula(slot);
        let formula = formula.ok_or_else(|| EngineError::SubstrateNotFound(state.substrates.id(slot)))?;
        Ok(Cached { sequence, version, formula: Tiered::new(formula, jit) })
    }

    fn is_of(&self, sequence: u64, version: u32) -> bool {
        self.sequence == sequence && self.version == version
    }
}

impl Worker {
    fn take(engine: u64, limits: &Limits) -> Box<Worker> {
        match WORKER.take() {
            Some(worker) if worker.engine == engine => worker,
            _ => Box::new(Worker { engine, vm: Interpreter::new(limits), formulas: Vec::new() }),
        }
    }

    /// The formula of a substrate where it is kept, and what evaluates it: moving it out and back takes longer than
    /// some formulas do.
    fn at_hand(&mut self, state: &State, slot: u32, jit: &Jit) -> Result<(&mut Interpreter, &mut Cached)> {
        let (place, sequence, version) = place_of(&mut self.formulas, state, slot);
        if !place.as_ref().is_some_and(|cached| cached.is_of(sequence, version)) {
            *place = Some(Cached::new(state, slot, sequence, version, jit)?);
        }
        let place = &mut self.formulas[sequence as usize % CACHED_FORMULAS];
        let cached =
            place.as_mut().ok_or_else(|| EngineError::SubstrateNotFound(state.substrates.id(slot)))?;
        Ok((&mut self.vm, cached))
    }

    /// The formula of a substrate, lent out for a plan of several; [`Worker::keep`] puts it back.
    fn formula(&mut self, state: &State, slot: u32, jit: &Jit) -> Result<Cached> {
        let (place, sequence, version) = place_of(&mut self.formulas, state, slot);
        // What is of another substrate stays until something is put there: a plan may have more
        // formulas than there are places.
        match place.take_if(|cached| cached.is_of(sequence, version)) {
            Some(cached) => Ok(cached),
            None => Cached::new(state, slot, sequence, version, jit),
        }
    }

    fn keep(&mut self, cached: Cached) {
        let place = cached.sequence as usize % CACHED_FORMULAS;
        self.formulas[place] = Some(cached);
    }
}

/// Where the formula of a substrate is kept, its creation number and its version.
fn place_of<'a>(
    formulas: &'a mut Vec<Option<Cached>>,
    state: &State,
    slot: u32,
) -> (&'a mut Option<Cached>, u64, u32) {
    if formulas.is_empty() {
        formulas.resize_with(CACHED_FORMULAS, || None);
    }
    let sequence = state.substrates.ages.sequence(slot);
    (&mut formulas[sequence as usize % CACHED_FORMULAS], sequence, state.substrates.version(slot))
}

/// Everything that one invocation evaluates; the invoked substrate comes first.
#[derive(Default)]
struct Plan {
    nodes: Vec<PlanNode>,
    /// Those of the nodes, lent out by the worker.
    formulas: Vec<Cached>,
    inputs: Vec<PlanInput>,
    /// Bound targets: slots while they are collected, then positions in `nodes`.
    sources: Vec<u32>,
    /// Positions in `nodes`, inputs before what reads them.
    order: Vec<u32>,
    /// Of the node that is being added.
    bound: Bound,
}

struct PlanNode {
    id: SubstrateId,
    kind: ExpressionType,
    /// In [`Plan::inputs`].
    inputs: Range<u32>,
}

struct PlanInput {
    name: Arc<str>,
    as_list: bool,
    /// In [`Plan::sources`].
    sources: Range<u32>,
}

impl Plan {
    fn inputs_of(&self, node: u32) -> &[PlanInput] {
        let range = &self.nodes[node as usize].inputs;
        &self.inputs[range.start as usize..range.end as usize]
    }

    fn sources_of(&self, input: &PlanInput) -> &[u32] {
        &self.sources[input.sources.start as usize..input.sources.end as usize]
    }

    /// All sources of a node: those of its inputs, which follow one another.
    fn all_sources_of(&self, node: u32) -> Range<u32> {
        match self.inputs_of(node) {
            [] => 0..0,
            [first, .., last] => first.sources.start..last.sources.end,
            [only] => only.sources.clone(),
        }
    }

    /// Makes inputs of what is bound to the node that is being added.
    fn take_bound(&mut self) {
        let Bound { names, places, sources } = &mut self.bound;
        // Those of one name together, still the oldest first.
        sources.sort_by_key(|&(place, _)| place);
        let mut sources = sources.drain(..).peekable();
        for (place, (name, collect)) in names.drain(..).enumerate() {
            let start = self.sources.len();
            while let Some((_, target)) = sources.next_if(|&(of, _)| of as usize == place) {
                self.sources.push(target);
            }
            let end = self.sources.len();
            let as_list = collect || end - start > 1;
            self.inputs.push(PlanInput { name, as_list, sources: start as u32..end as u32 });
        }
        if places.len() > BOUND_NAMES_KEPT {
            *places = HashMap::default();
        }
        places.clear();
    }

    /// Gives the worker its formulas back.
    fn clear(&mut self, worker: &mut Worker) {
        for cached in self.formulas.drain(..) {
            worker.keep(cached);
        }
        self.nodes.clear();
        self.inputs.clear();
        self.sources.clear();
        self.order.clear();
        self.bound = Bound::default();
    }
}

impl Engine {
    pub(crate) fn invoke(
        &self,
        id: SubstrateId,
        parameters: &Arc<Dict>,
        explain: bool,
    ) -> Result<Evaluation> {
        let mut worker = Worker::take(self.number, self.limits());
        let result = self.invoke_with(&mut worker, id, parameters, explain);
        WORKER.set(Some(worker));
        result
    }

    pub(crate) fn invoke_until(
        &self,
        id: SubstrateId,
        parameters: &Arc<Dict>,
        explain: bool,
        interrupt: Interrupt,
    ) -> Result<Evaluation> {
        let mut worker = Worker::take(self.number, self.limits());
        worker.vm.meter.set_interrupt(interrupt);
        let result = self.invoke_with(&mut worker, id, parameters, explain);
        worker.vm.meter.set_interrupt(Interrupt::Never);
        WORKER.set(Some(worker));
        result
    }

    fn invoke_with(
        &self,
        worker: &mut Worker,
        id: SubstrateId,
        parameters: &Arc<Dict>,
        explain: bool,
    ) -> Result<Evaluation> {
        {
            let state = self.state.read();
            let slot = state.substrates.require(id)?;
            if !state.substrates.is_bound(slot) {
                let (vm, cached) = worker.at_hand(&state, slot, &self.jit)?;
                drop(state);
                vm.meter.reset();
                let result = cached.formula.evaluate(vm, parameters);
                let value = result.map_err(|raise| self.stopped(id, cached.formula.formula(), raise))?;
                let edition = Some(Edition { sequence: cached.sequence, version: cached.version });
                let inputs = explain.then(Vec::new);
                return Ok(Evaluation { value, cost: vm.meter.cost(), inputs, edition });
            }
        }
        let mut plan = Plan::default();
        let result = self.invoke_bound(worker, &mut plan, id, parameters, explain);
        plan.clear(worker);
        result
    }

    fn invoke_bound(
        &self,
        worker: &mut Worker,
        plan: &mut Plan,
        id: SubstrateId,
        parameters: &Arc<Dict>,
        explain: bool,
    ) -> Result<Evaluation> {
        read(&self.state, |state| {
            plan.clear(worker);
            worker.vm.meter.reset();
            worker.vm.meter.restart_clock(COLLECTING_PATIENCE);
            collect(state, worker, &self.jit, plan, id, parameters)
        })?;
        worker.vm.meter.restart_clock(1);
        check_parameters(plan, id, parameters)?;
        let values = self.evaluate_plan(&mut worker.vm, plan, parameters)?;
        let inputs = if explain { Some(explained(plan, &values, self.limits())?) } else { None };
        let cost = worker.vm.meter.cost();
        let value = values.into_iter().next().unwrap_or(Value::None);
        Ok(Evaluation { value, cost, inputs, edition: None })
    }

    fn evaluate_plan(
        &self,
        vm: &mut Interpreter,
        plan: &mut Plan,
        parameters: &Arc<Dict>,
    ) -> Result<Vec<Value>> {
        let mut values = vec![Value::None; plan.nodes.len()];
        let mut formulas = std::mem::take(&mut plan.formulas);
        let mut evaluate_all =
            || {
                for &at in &plan.order {
                    let tiered = &mut formulas[at as usize].formula;
                    let value = evaluate_node(vm, plan, at, tiered, &values, parameters);
                    // What flows on is what JSON would bring back, however it flows.
                    let value = value.and_then(|value| {
                        if at == 0 { Ok(value) } else { json::normalize(&mut vm.meter, &value) }
                    });
                    let id = plan.nodes[at as usize].id;
                    values[at as usize] = value.map_err(|raise| self.stopped(id, tiered.formula(), raise))?;
                }
                Ok(())
            };
        let result = evaluate_all();
        plan.formulas = formulas;
        result.map(|()| values)
    }

    /// What a formula of a substrate raised, for whoever evaluated it himself: as [`Engine::evaluate`] tells it, with its place
    /// in the text where the substrate still has this formula.
    #[cold]
    pub fn stopped(&self, id: SubstrateId, formula: &Formula, raise: Box<Raise>) -> EngineError {
        let text = raise.at.filter(|_| raise.kind != RaiseKind::Interrupted).and_then(|_| {
            let state = self.state.read();
            let slot = state.substrates.find(id)?;
            let is_same = std::ptr::eq(state.substrates.template(slot)?, &*formula.template);
            is_same.then(|| (state.substrates.kind(slot), state.substrates.code(slot).into_owned()))
        });
        let span = text.and_then(|(kind, code)| Formula::span_of(kind, &code, &raise, self.limits()));
        stopped_at(id, *raise, span)
    }
}

fn stopped_at(
    substrate_id: SubstrateId,
    raise: Raise,
    span: Option<butterflyfx_formula::error::Span>,
) -> EngineError {
    EngineError::Evaluation(Box::new(EvaluationError { substrate_id, raise, span }))
}

/// Collects what the invocation evaluates: depth first, without recursion.
fn collect(
    state: &mut Slices<'_>,
    worker: &mut Worker,
    jit: &Jit,
    plan: &mut Plan,
    id: SubstrateId,
    parameters: &Dict,
) -> std::result::Result<(), Stop> {
    /// A node whose sources are being visited, the next of them, and their end.
    struct Open {
        slot: u32,
        node: u32,
        next: u32,
        end: u32,
    }
    // The position of each slot in the plan, and whether it is still open.
    let mut places: HashMap<u32, (u32, bool), RandomState> = HashMap::default();
    let mut open: Vec<Open> = Vec::new();
    let mut arriving = Some(state.substrates.require(id)?);
    loop {
        if let Some(slot) = arriving.take() {
            if !state.substrates.is_alive(slot) {
                // Deleted between two slices, with the relationship that led here.
                return Err(Stop::Changed);
            }
            let node = plan.nodes.len() as u32;
            let work = add_node(state, worker, jit, plan, slot, id, parameters)?;
            places.insert(slot, (node, true));
            let Range { start, end } = plan.all_sources_of(node);
            open.push(Open { slot, node, next: start, end });
            state.pay(work)?;
        }
        let Some(top) = open.last_mut() else { break };
        if top.next == top.end {
            plan.order.push(top.node);
            places.insert(top.slot, (top.node, false));
            open.pop();
            continue;
        }
        let slot = plan.sources[top.next as usize];
        top.next += 1;
        match places.get(&slot) {
            None => arriving = Some(slot),
            Some(&(_, false)) => {}
            Some(&(node, true)) => {
                let cycle = open.iter().skip_while(|one| one.node != node);
                let ids = cycle.map(|one| plan.nodes[one.node as usize].id).collect();
                return Err(Stop::Refused(EngineError::DependencyCycle(ids)));
            }
        }
    }
    for source in &mut plan.sources {
        *source = places.get(source).map_or(0, |&(node, _)| node);
    }
    Ok(())
}

/// What is bound to one formula while that is found out; its room is used for the next one again.
#[derive(Default)]
struct Bound {
    /// Names in the order they were bound, and whether they ask for a list.
    names: Vec<(Arc<str>, bool)>,
    /// The place of each name.
    places: HashMap<Arc<str>, u32, RandomState>,
    /// Sources, oldest first, each with the place of its name.
    sources: Vec<(u32, u32)>,
}

/// Names for which room is kept: clearing it takes time with its size.
const BOUND_NAMES_KEPT: usize = 64;

impl Bound {
    fn add(&mut self, name: &Arc<str>, collect: bool, target: u32) {
        let place = *self.places.entry_ref(name).or_insert_with(|| {
            self.names.push((Arc::clone(name), false));
            self.names.len() as u32 - 1
        });
        self.names[place as usize].1 |= collect;
        self.sources.push((place, target));
    }
}

/// Adds a substrate with the inputs that its formula reads and the caller did not give; answers
/// how much work that was.
fn add_node(
    state: &State,
    worker: &mut Worker,
    jit: &Jit,
    plan: &mut Plan,
    slot: u32,
    invoked: SubstrateId,
    parameters: &Dict,
) -> Result<usize> {
    let refuse = |raise: Box<Raise>| stopped_at(invoked, *raise, None);
    if !plan.nodes.is_empty() {
        let meter = &mut worker.vm.meter;
        meter.steps(1).and_then(|()| meter.bytes(INPUT_BYTES)).map_err(refuse)?;
    }
    let cached = worker.formula(state, slot, jit)?;
    let template = Arc::clone(&cached.formula.formula().template);
    plan.formulas.push(cached);
    let kind = state.substrates.kind(slot);
    let first = plan.inputs.len();
    let mut work = 1;
    if state.substrates.is_bound(slot) && kind != ExpressionType::Constant {
        let named = template.parameters();
        let any = template.accepts_any();
        for &relationship in state.relationships.bindings_of(slot) {
            let Some(binding) = state.relationships.binding(relationship) else { continue };
            let target = state.relationships.edge(relationship).target;
            for name in &binding.names {
                work += 1;
                let meter = &mut worker.vm.meter;
                meter.steps(1).map_err(refuse)?;
                let is_read = any || named.iter().any(|one| **one == **name);
                if !is_read || parameters.get_str(name).is_some() {
                    continue;
                }
                meter.bytes(INPUT_BYTES).map_err(refuse)?;
                plan.bound.add(name, binding.collect, target);
            }
        }
        plan.take_bound();
    }
    let inputs = first as u32..plan.inputs.len() as u32;
    plan.nodes.push(PlanNode { id: state.substrates.id(slot), kind, inputs });
    Ok(work)
}

/// A caller's parameter must be taken by some formula that is evaluated; a constant takes none,
/// but invoked by itself it ignores them.
fn check_parameters(plan: &Plan, id: SubstrateId, parameters: &Dict) -> Result<()> {
    let mut unclaimed: HashSet<&str, RandomState> = HashSet::default();
    unclaimed.extend(parameters.iter().filter_map(|(name, _)| match name {
        Value::Str(name) => Some(name.as_str()),
        _ => None,
    }));
    let is_constant = plan.nodes.first().is_some_and(|root| root.kind == ExpressionType::Constant);
    for (node, cached) in plan.nodes.iter().zip(&plan.formulas) {
        if node.kind == ExpressionType::Constant {
            continue;
        }
        let template = &cached.formula.formula().template;
        if unclaimed.is_empty() || template.accepts_any() {
            return Ok(());
        }
        for name in template.parameters() {
            unclaimed.remove(&**name);
        }
    }
    // The first in the caller's order.
    let unexpected = parameters.iter().find_map(|(name, _)| match name {
        Value::Str(name) if unclaimed.contains(name.as_str()) => Some(name.as_str().to_owned()),
        _ => None,
    });
    match unexpected {
        Some(name) if !is_constant => {
            let message = format!("no formula that is evaluated takes a parameter '{name}'");
            let kind = RaiseKind::UnexpectedParameter(name);
            Err(stopped_at(id, Raise { kind, message, at: None }, None))
        }
        _ => Ok(()),
    }
}

/// Evaluates one node, whose inputs have their values.
fn evaluate_node(
    vm: &mut Interpreter,
    plan: &Plan,
    node: u32,
    tiered: &mut Tiered,
    values: &[Value],
    parameters: &Arc<Dict>,
) -> std::result::Result<Value, Box<Raise>> {
    let inputs = plan.inputs_of(node);
    pay_for_arguments(&mut vm.meter, inputs, &tiered.formula().template, parameters)?;
    // Machine code knows no lists.
    if !inputs.iter().any(|input| input.as_list) {
        let find = |name: &str| {
            let flows_in = |input: &&PlanInput| *input.name == *name;
            let source = inputs.iter().find(flows_in).and_then(|input| plan.sources_of(input).first());
            source.map_or_else(|| parameters.get_str(name), |&source| values.get(source as usize))
        };
        if let Some(value) = tiered.compute_with(vm, find) {
            return Ok(value);
        }
    }
    let Formula { template, constants, defaults } = tiered.formula();
    let arguments = arguments(plan, inputs, template, values, parameters);
    formula::evaluate(template, constants, defaults, vm, &arguments)
}

/// Pays for the parameters of one node, whether they are put together or found where they are.
fn pay_for_arguments(
    meter: &mut Meter,
    inputs: &[PlanInput],
    template: &Template,
    parameters: &Dict,
) -> std::result::Result<(), Box<Raise>> {
    if inputs.is_empty() {
        return Ok(());
    }
    let mut entries = 0;
    if template.accepts_any() {
        for (name, _) in parameters.iter() {
            meter.steps(1)?;
            meter.dict_entry(entries + 1)?;
            entries += usize::from(matches!(name, Value::Str(_)));
        }
    } else {
        for _ in template.parameters().iter().filter(|name| parameters.get_str(name).is_some()) {
            meter.dict_entry(entries + 1)?;
            entries += 1;
        }
    }
    for input in inputs {
        if input.as_list {
            meter.steps(input.sources.len() as u64)?;
            meter.list(input.sources.len())?;
        }
        meter.string(input.name.len())?;
        meter.dict_entry(entries + 1)?;
        entries += 1;
    }
    Ok(())
}

/// The parameters of one node: the caller's, and what flows in for those the caller did not give.
fn arguments(
    plan: &Plan,
    inputs: &[PlanInput],
    template: &Template,
    values: &[Value],
    parameters: &Arc<Dict>,
) -> Arc<Dict> {
    if inputs.is_empty() {
        // What the formula does not take, it does not see.
        return Arc::clone(parameters);
    }
    let mut all = Dict::new();
    if template.accepts_any() {
        for (name, value) in parameters.iter() {
            if let Value::Str(name) = name {
                all.insert_str(name.clone(), value.clone());
            }
        }
    } else {
        for name in template.parameters() {
            if let Some(value) = parameters.get_str(name) {
                all.insert_str(Text::from(&**name), value.clone());
            }
        }
    }
    for input in inputs {
        let sources = plan.sources_of(input);
        let value = match sources {
            [only] if !input.as_list => values[*only as usize].clone(),
            _ => Value::list(sources.iter().map(|&source| values[source as usize].clone()).collect()),
        };
        all.insert_str(Text::from(&*input.name), value);
    }
    Arc::new(all)
}

/// The tree behind the answer. An input that several formulas read stands in it several times, so
/// its size is counted before it is built.
fn explained(plan: &Plan, values: &[Value], limits: &Limits) -> Result<Vec<Input>> {
    let mut sizes = vec![(0u64, 0usize); plan.nodes.len()];
    for &node in &plan.order {
        let mut size = 0u64;
        let mut depth = 0;
        for at in plan.all_sources_of(node) {
            let (below, levels) = sizes[plan.sources[at as usize] as usize];
            size = size.saturating_add(below.saturating_add(1));
            depth = depth.max(levels + 1);
        }
        sizes[node as usize] = (size, depth);
    }
    let (size, depth) = sizes.first().copied().unwrap_or_default();
    let refusal = if size > EXPLAINED_MAX {
        Raise::limit(Limit::ResultSize, format!("the tree of inputs has more than {EXPLAINED_MAX} entries"))
    } else if depth > limits.json_depth {
        let levels = limits.json_depth;
        Raise::limit(Limit::JsonDepth, format!("the tree of inputs is more than {levels} levels deep"))
    } else {
        return Ok(explained_at(plan, values, 0));
    };
    let id = plan.nodes.first().map_or(SubstrateId(0), |root| root.id);
    Err(stopped_at(id, *refusal, None))
}

fn explained_at(plan: &Plan, values: &[Value], node: u32) -> Vec<Input> {
    let sources_of = |input: &PlanInput| {
        let sources = plan.sources_of(input).iter().map(|&source| InputSource {
            substrate_id: plan.nodes[source as usize].id,
            value: values[source as usize].clone(),
            inputs: explained_at(plan, values, source),
        });
        sources.collect()
    };
    let inputs = plan.inputs_of(node).iter();
    inputs.map(|input| Input { name: Arc::clone(&input.name), sources: sources_of(input) }).collect()
}
