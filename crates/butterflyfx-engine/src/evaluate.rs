//! Evaluating: the hot path, and parameters that flow along relationships.
//!
//! The cost of one evaluation without bound parameters: the read lock (two atomic operations),
//! one look at the identity table and two at columns (cache misses once the state outgrows the
//! caches), one comparison where the thread has the formula at hand (else its constants are read
//! out of their bytes, some 20 ns each), and the formula itself, as machine code once it is hot. The
//! lock is let go before the formula runs.
//!
//! With bound parameters the formulas of everything that flows in are collected first, under the
//! lock, inputs before what reads them; then each is evaluated once, on one budget. Nothing is
//! recursive but for the tree of `explain`, whose depth is bounded.

use crate::engine::{Engine, Result};
use crate::error::{EngineError, EvaluationError};
use crate::identity::SubstrateId;
use crate::model::{Edition, Evaluation, Input, InputSource};
use crate::read::{Slices, Stop, read};
use crate::state::State;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::error::{Raise, RaiseKind};
use butterflyfx_formula::formula::{self, ExpressionType, Formula};
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

impl Worker {
    fn take(engine: u64, limits: &Limits) -> Box<Worker> {
        match WORKER.take() {
            Some(worker) if worker.engine == engine => worker,
            _ => Box::new(Worker { engine, vm: Interpreter::new(limits), formulas: Vec::new() }),
        }
    }

    /// The formula of a substrate, from at hand if it is. [`Worker::keep`] puts it back: lending
    /// it out whole saves counting its shared parts up and down.
    fn formula(&mut self, state: &State, slot: u32, jit: &Jit) -> Result<Cached> {
        if self.formulas.is_empty() {
            self.formulas.resize_with(CACHED_FORMULAS, || None);
        }
        let sequence = state.substrates.ages.sequence(slot);
        let version = state.substrates.version(slot);
        match self.formulas[sequence as usize % CACHED_FORMULAS].take() {
            Some(cached) if cached.sequence == sequence && cached.version == version => Ok(cached),
            _ => match state.substrates.formula(slot) {
                Some(formula) => Ok(Cached { sequence, version, formula: Tiered::new(formula, jit) }),
                // A living substrate has a template.
                None => Err(EngineError::SubstrateNotFound(state.substrates.id(slot))),
            },
        }
    }

    fn keep(&mut self, cached: Cached) {
        let place = cached.sequence as usize % CACHED_FORMULAS;
        self.formulas[place] = Some(cached);
    }
}

/// Everything that one invocation evaluates; the invoked substrate comes first.
#[derive(Default)]
struct Plan {
    nodes: Vec<PlanNode>,
    inputs: Vec<PlanInput>,
    /// Bound targets: slots while they are collected, then positions in `nodes`.
    sources: Vec<u32>,
    /// Positions in `nodes`, inputs before what reads them.
    order: Vec<u32>,
}

struct PlanNode {
    id: SubstrateId,
    kind: ExpressionType,
    formula: Formula,
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
                let mut cached = worker.formula(&state, slot, &self.jit)?;
                drop(state);
                worker.vm.meter.reset();
                let result = cached.formula.evaluate(&mut worker.vm, parameters);
                let result = result.map_err(|raise| self.stopped(id, cached.formula.formula(), raise));
                let edition = Some(Edition { sequence: cached.sequence, version: cached.version });
                worker.keep(cached);
                let value = result?;
                let cost = worker.vm.meter.cost();
                return Ok(Evaluation { value, cost, inputs: explain.then(Vec::new), edition });
            }
        }
        let plan = read(&self.state, |state| {
            worker.vm.meter.reset();
            worker.vm.meter.restart_clock(COLLECTING_PATIENCE);
            collect(state, worker, &self.jit, id, parameters)
        })?;
        worker.vm.meter.restart_clock(1);
        check_parameters(&plan, id, parameters)?;
        let values = self.evaluate_plan(&mut worker.vm, &plan, parameters)?;
        let inputs = if explain { Some(explained(&plan, &values, self.limits())?) } else { None };
        let cost = worker.vm.meter.cost();
        let value = values.into_iter().next().unwrap_or(Value::None);
        Ok(Evaluation { value, cost, inputs, edition: None })
    }

    fn evaluate_plan(&self, vm: &mut Interpreter, plan: &Plan, parameters: &Arc<Dict>) -> Result<Vec<Value>> {
        let mut values = vec![Value::None; plan.nodes.len()];
        for &at in &plan.order {
            let node = &plan.nodes[at as usize];
            let value = arguments(&mut vm.meter, plan, at, &values, parameters).and_then(|arguments| {
                let Formula { template, constants, defaults } = &node.formula;
                let value = formula::evaluate(template, constants, defaults, vm, &arguments)?;
                // What flows on is what JSON would bring back, however it flows.
                if at == 0 { Ok(value) } else { json::normalize(&mut vm.meter, &value) }
            });
            values[at as usize] = value.map_err(|raise| self.stopped(node.id, &node.formula, raise))?;
        }
        Ok(values)
    }

    /// A raise, with its place in the text where the substrate still has this formula.
    #[cold]
    fn stopped(&self, id: SubstrateId, formula: &Formula, raise: Box<Raise>) -> EngineError {
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
    id: SubstrateId,
    parameters: &Dict,
) -> std::result::Result<Plan, Stop> {
    /// A node whose sources are being visited, the next of them, and their end.
    struct Open {
        slot: u32,
        node: u32,
        next: u32,
        end: u32,
    }
    let mut plan = Plan::default();
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
            let work = add_node(state, worker, jit, &mut plan, slot, id, parameters)?;
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
    Ok(plan)
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
    let formula = cached.formula.formula().clone();
    worker.keep(cached);
    let kind = state.substrates.kind(slot);
    let first = plan.inputs.len();
    let mut work = 1;
    if state.substrates.is_bound(slot) && kind != ExpressionType::Constant {
        let named = formula.template.parameters();
        let any = formula.template.accepts_any();
        // The sources of each name that is read, oldest first; names in the order they were bound.
        let mut groups: Vec<(Arc<str>, bool, Vec<u32>)> = Vec::new();
        let mut group_of: HashMap<Arc<str>, usize, RandomState> = HashMap::default();
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
                let group = *group_of.entry(Arc::clone(name)).or_insert_with(|| {
                    groups.push((Arc::clone(name), false, Vec::new()));
                    groups.len() - 1
                });
                groups[group].1 |= binding.collect;
                groups[group].2.push(target);
            }
        }
        for (name, collect, targets) in groups {
            let start = plan.sources.len() as u32;
            let as_list = collect || targets.len() > 1;
            plan.sources.extend(targets);
            plan.inputs.push(PlanInput { name, as_list, sources: start..plan.sources.len() as u32 });
        }
    }
    let inputs = first as u32..plan.inputs.len() as u32;
    plan.nodes.push(PlanNode { id: state.substrates.id(slot), kind, formula, inputs });
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
    for node in plan.nodes.iter().filter(|node| node.kind != ExpressionType::Constant) {
        if unclaimed.is_empty() || node.formula.template.accepts_any() {
            return Ok(());
        }
        for name in node.formula.template.parameters() {
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

/// The parameters of one node: the caller's, and what flows in for those the caller did not give.
fn arguments(
    meter: &mut Meter,
    plan: &Plan,
    node: u32,
    values: &[Value],
    parameters: &Arc<Dict>,
) -> std::result::Result<Arc<Dict>, Box<Raise>> {
    let inputs = plan.inputs_of(node);
    if inputs.is_empty() {
        // What the formula does not take, it does not see.
        return Ok(Arc::clone(parameters));
    }
    let template = &plan.nodes[node as usize].formula.template;
    let mut all = Dict::new();
    if template.accepts_any() {
        for (name, value) in parameters.iter() {
            meter.steps(1)?;
            meter.dict_entry(all.len() + 1)?;
            if let Value::Str(name) = name {
                all.insert_str(name.clone(), value.clone());
            }
        }
    } else {
        for name in template.parameters() {
            if let Some(value) = parameters.get_str(name) {
                meter.dict_entry(all.len() + 1)?;
                all.insert_str(Text::from(&**name), value.clone());
            }
        }
    }
    for input in inputs {
        let sources = plan.sources_of(input);
        let value = match sources {
            [only] if !input.as_list => values[*only as usize].clone(),
            _ => {
                meter.steps(sources.len() as u64)?;
                meter.list(sources.len())?;
                Value::list(sources.iter().map(|&source| values[source as usize].clone()).collect())
            }
        };
        meter.string(input.name.len())?;
        meter.dict_entry(all.len() + 1)?;
        all.insert_str(Text::from(&*input.name), value);
    }
    Ok(Arc::new(all))
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
