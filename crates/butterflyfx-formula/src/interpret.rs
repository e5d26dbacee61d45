//! The reference interpreter: a stack machine over templates.
//!
//! The cost of one evaluation: a step, a bounds check and a match for each instruction; values
//! are 16 bytes and move, shared ones count a reference. `kw.get('x', 0) * kw.get('y', 0)` is four
//! instructions and allocates nothing.
//!
//! Native recursion happens only where a built-in calls back (`sorted(key=..)`), a lazy iterator
//! asks another, or an inner lambda is called; the meter bounds all of it.

mod call;
mod frame;
mod iterate;

pub use call::{Arguments, Function};
pub use iterate::{Generator, Iter};

use crate::dict::Dict;
use crate::error::{Raise, RaiseKind, Result};
use crate::formula::Binding;
use crate::limits::Limits;
use crate::meter::Meter;
use crate::template::Template;
use crate::value::Value;
use frame::Frame;
use std::cell::OnceCell;
use std::sync::{Arc, Mutex, PoisonError};

/// A variable that inner functions see: unbound until stored.
pub(crate) type Cell = Arc<Mutex<Option<Value>>>;

/// The value marking a local that is not bound: a signaling NaN, which no operation makes.
pub(crate) const UNBOUND: Value = Value::Float(f64::from_bits(0x7FF0_0000_0000_0001));

/// Whether a local is [`UNBOUND`].
pub(crate) fn is_unbound(value: &Value) -> bool {
    matches!(value, Value::Float(x) if x.to_bits() == 0x7FF0_0000_0000_0001)
}

/// A template with the constants of one formula.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Program<'a> {
    pub(crate) template: &'a Arc<Template>,
    pub(crate) constants: &'a [Value],
    /// The constants again, shared, once an inner function had to keep them.
    pub(crate) shared: &'a OnceCell<Arc<[Value]>>,
}

impl Program<'_> {
    fn shared_constants(&self) -> Arc<[Value]> {
        self.shared.get_or_init(|| self.constants.into()).clone()
    }
}

/// A list or dict being built.
#[derive(Debug)]
pub(crate) enum Builder {
    List(Vec<Value>),
    Dict(Dict),
}

/// Runs templates. Holds the stacks and the meter, so one per thread is kept and used again.
#[derive(Debug)]
pub struct Interpreter {
    /// The account of the running invocation.
    pub meter: Meter,
    /// Locals and operands of all frames.
    stack: Vec<Value>,
    /// Iterators of running `for` loops.
    loops: Vec<Iter>,
    /// Lists and dicts being built.
    builders: Vec<Builder>,
    /// Cells made by this invocation. A function kept in the cell it captured would never be
    /// freed; emptying the cells at the end breaks such rings.
    cells: Vec<Cell>,
}

impl Interpreter {
    /// An interpreter with a full meter.
    pub fn new(limits: &Limits) -> Interpreter {
        Interpreter {
            meter: Meter::new(limits),
            stack: Vec::with_capacity(64),
            loops: Vec::new(),
            builders: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// Evaluates a template with a formula's constants, default values and parameters by name.
    /// The meter goes on from where it stands.
    ///
    /// # Errors
    /// What the formula raised, a missing parameter, a limit. Unexpected parameters are the
    /// caller's to check: which names are taken may depend on other formulas.
    pub(crate) fn evaluate(
        &mut self,
        template: &Arc<Template>,
        constants: &[Value],
        defaults: &[Value],
        parameters: &Arc<Dict>,
    ) -> Result<Value> {
        let result = self.bind_parameters(template, defaults, parameters).and_then(|()| {
            let shared = OnceCell::new();
            let keywords = template.units[0].parameters.is_empty().then_some(&**parameters);
            self.run_unit(Program { template, constants, shared: &shared }, 0, keywords)
        });
        self.clean_up();
        result
    }

    /// As [`Interpreter::evaluate`], where it is known where in the parameters those of the
    /// formula stand.
    pub(crate) fn evaluate_bound(
        &mut self,
        template: &Arc<Template>,
        constants: &[Value],
        defaults: &[Value],
        parameters: &Arc<Dict>,
        binding: &Binding,
    ) -> Result<Value> {
        let unit = &template.units[0];
        let mut keywords = None;
        let mut defaults = defaults.iter();
        for (parameter, &place) in unit.parameters.iter().zip(binding.parameters()) {
            let default = if parameter.has_default { defaults.next() } else { None };
            // A binding is made only where each of them has a value.
            let value = parameters.value_at(place as usize).or(default).unwrap_or(&Value::None);
            self.stack.push(frame::copy(value));
        }
        if unit.has_rest {
            keywords = Some(&**parameters);
            self.stack.push(if template.reads_rest { Value::Dict(parameters.clone()) } else { Value::None });
        }
        let shared = OnceCell::new();
        let program = Program { template, constants, shared: &shared };
        let mut frame = Frame::new(&program, 0, 0, &[]);
        frame.keywords = keywords;
        frame.places = Some(binding.names());
        let result = self.enter(&mut frame).and_then(|()| self.run(&mut frame));
        self.clean_up();
        result
    }

    /// Evaluates one default of a formula; its unit takes no parameter.
    pub(crate) fn evaluate_default(
        &mut self,
        template: &Arc<Template>,
        constants: &[Value],
        unit: u16,
    ) -> Result<Value> {
        let shared = OnceCell::new();
        let result = self.run_unit(Program { template, constants, shared: &shared }, unit, None);
        self.clean_up();
        result
    }

    /// Runs a unit whose parameters are on an otherwise empty stack.
    fn run_unit(&mut self, program: Program<'_>, unit: u16, keywords: Option<&Dict>) -> Result<Value> {
        let mut frame = Frame::new(&program, unit, 0, &[]);
        frame.keywords = keywords;
        self.enter(&mut frame)?;
        self.run(&mut frame)
    }

    fn clean_up(&mut self) {
        self.stack.clear();
        self.loops.clear();
        self.builders.clear();
        if !self.cells.is_empty() {
            for cell in std::mem::take(&mut self.cells) {
                let value = cell.lock().unwrap_or_else(PoisonError::into_inner).take();
                drop(value);
            }
        }
    }

    /// Puts the parameters on the empty stack in the signature's order, `**kw` last.
    fn bind_parameters(&mut self, template: &Template, defaults: &[Value], given: &Arc<Dict>) -> Result<()> {
        let unit = &template.units[0];
        if unit.parameters.is_empty() {
            if unit.has_rest {
                // Where only single names are read of it, they are found in the frame.
                self.stack.push(if template.reads_rest { Value::Dict(given.clone()) } else { Value::None });
            }
            return Ok(());
        }
        let mut defaults = defaults.iter();
        for parameter in &unit.parameters {
            let default = if parameter.has_default { defaults.next() } else { None };
            match given.get_str(&parameter.name).or(default) {
                Some(value) => self.stack.push(value.clone()),
                None => {
                    return Err(Box::new(Raise {
                        kind: RaiseKind::MissingParameter(parameter.name.to_string()),
                        message: format!("the parameter '{}' has no value", parameter.name),
                        at: None,
                    }));
                }
            }
        }
        if unit.has_rest {
            let mut rest = Dict::new();
            for (key, value) in given.iter() {
                if let Value::Str(name) = key
                    && !unit.parameters.iter().any(|parameter| *parameter.name == *name.as_str())
                {
                    rest.insert_str(name.clone(), value.clone());
                }
            }
            self.stack.push(Value::Dict(Arc::new(rest)));
        }
        Ok(())
    }
}
