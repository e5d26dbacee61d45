//! The checked form of a formula without its constants, shared by all formulas of one shape.
//!
//! A template is code for a stack machine in a few units: the formula's own, one for each
//! inner lambda and generator, one for each default that is evaluated at creation. Constants are
//! numbered in the order of the text and stand outside, so formulas that differ only in
//! constants lower to equal templates. No spans are kept: where an instruction came from is
//! found by lowering the text again. Types are not fixed by the code, so machine code and columns
//! can specialise it and fall back to it at any instruction.

use crate::code::{Attachment, Code, Op};
use crate::shape::Shapes;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Where a unit finds a variable of an outer unit when it is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Capture {
    /// A cell of the unit around.
    Cell(u16),
    /// What the unit around captured itself.
    Captured(u16),
}

/// A parameter of a unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct UnitParameter {
    pub(crate) name: Arc<str>,
    pub(crate) has_default: bool,
    pub(crate) keyword_only: bool,
}

/// The code of one function.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Unit {
    pub(crate) ops: Vec<Op>,
    /// Parameters; they are the first locals, in this order.
    pub(crate) parameters: Vec<UnitParameter>,
    /// Whether `**rest` is the local after the parameters.
    pub(crate) has_rest: bool,
    /// All locals, parameters included.
    pub(crate) locals: u16,
    /// Cells.
    pub(crate) cells: u16,
    /// Parameters (by local) that inner functions see, and their cells.
    pub(crate) parameter_cells: Vec<(u16, u16)>,
    pub(crate) captures: Vec<Capture>,
    /// Names of comprehension variables by local and by cell, for the message where unbound.
    pub(crate) local_names: Vec<Arc<str>>,
    pub(crate) captured_names: Vec<Arc<str>>,
}

/// Code shared by all formulas that differ only in constants.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Template {
    /// The formula's own code first.
    pub(crate) units: Vec<Unit>,
    /// For each parameter of the formula the unit of its default.
    pub(crate) default_units: Vec<Option<u16>>,
    /// Keys read from `**kw`, keyword names.
    pub(crate) names: Vec<Arc<str>>,
    pub(crate) keyword_lists: Vec<Vec<u16>>,
    /// A constant of the data language: takes any parameter and reads none.
    pub(crate) is_constant: bool,
    pub(crate) is_short: bool,
    /// Whether the formula's own unit uses its `**kw` as a value, not only by single names.
    pub(crate) reads_rest: bool,
    pub(crate) constants: u16,
    names_of_parameters: Vec<Arc<str>>,
    attachment: Attachment,
}

impl Template {
    pub(crate) fn new(
        units: Vec<Unit>,
        default_units: Vec<Option<u16>>,
        names: Vec<Arc<str>>,
        keyword_lists: Vec<Vec<u16>>,
        is_constant: bool,
        constants: u16,
    ) -> Template {
        let is_short =
            units.len() == 1 + default_units.iter().flatten().count() && units[0].ops.iter().all(is_short);
        let names_of_parameters =
            units[0].parameters.iter().map(|parameter| parameter.name.clone()).collect();
        let reads_rest = reads_rest(&units[0]);
        Template {
            units,
            default_units,
            names,
            keyword_lists,
            is_constant,
            is_short,
            reads_rest,
            constants,
            names_of_parameters,
            attachment: Attachment::default(),
        }
    }

    /// Names of the parameters in the signature's order, `**kw` aside.
    pub fn parameters(&self) -> &[Arc<str>] {
        &self.names_of_parameters
    }

    /// Whether parameter `index` has a default.
    pub fn has_default(&self, index: usize) -> bool {
        self.units[0].parameters.get(index).is_some_and(|parameter| parameter.has_default)
    }

    /// Whether any name is accepted: `**kw`, or a constant, which ignores them.
    pub fn accepts_any(&self) -> bool {
        self.is_constant || self.units[0].has_rest
    }

    /// Whether it is the template of constants, which read no parameter.
    pub fn is_constant(&self) -> bool {
        self.is_constant
    }

    /// Whether an evaluation is short by its form alone: no loop, no inner function, no built-in
    /// that walks its argument, so that it may run on a network thread.
    pub fn is_short(&self) -> bool {
        self.is_short
    }

    /// What can be compiled of it; `None` where it is more than one unit or needs its `**kw` as a value.
    pub fn code(&self) -> Option<Code<'_>> {
        let unit = &self.units[0];
        let is_one = self.units.len() == 1 + self.default_units.iter().flatten().count();
        (is_one && !self.reads_rest && unit.cells == 0).then(|| Code {
            ops: &unit.ops,
            parameters: &self.names_of_parameters,
            names: &self.names,
            constants: self.constant_count(),
        })
    }

    /// What another crate keeps with it.
    pub fn attachment(&self) -> &Attachment {
        &self.attachment
    }

    /// How many constants the code refers to.
    pub fn constant_count(&self) -> usize {
        usize::from(self.constants)
    }

    /// Bytes of memory, roughly: what a registry reports.
    pub fn memory_bytes(&self) -> usize {
        let unit =
            |unit: &Unit| unit.ops.len() * size_of::<Op>() + unit.parameters.len() * 48 + size_of::<Unit>();
        size_of::<Template>() + self.units.iter().map(unit).sum::<usize>() + self.names.len() * 32
    }
}

fn reads_rest(unit: &Unit) -> bool {
    let rest = unit.parameters.len() as u16;
    unit.has_rest
        && (unit.ops.contains(&Op::Local(rest))
            || unit.parameter_cells.iter().any(|(local, _)| *local == rest))
}

/// Whether an instruction takes bounded time whatever the values are (a big integer or a long
/// string aside, whose cost the limits keep within microseconds).
fn is_short(op: &Op) -> bool {
    match op {
        Op::CallBuiltin(builtin, _) => {
            matches!(
                builtin.name(),
                "abs" | "bool" | "divmod" | "float" | "int" | "len" | "max" | "min" | "round"
            )
        }
        Op::CallMath(function, _) => !matches!(
            function.name(),
            "fsum" | "prod" | "dist" | "factorial" | "comb" | "perm" | "gcd" | "lcm"
        ),
        Op::CallMethod(method, _) => method.name() == "get",
        Op::GetIter
        | Op::ForNext(_)
        | Op::Call(_)
        | Op::CallKeywords { .. }
        | Op::CallUnpacked
        | Op::Extend
        | Op::Update
        | Op::MakeFunction(_)
        | Op::MakeGenerator(_) => false,
        _ => true,
    }
}

/// The templates in use, so that equal code is shared. One per registry; safe to share.
#[derive(Debug, Default)]
pub struct Templates {
    inner: Mutex<Shelf>,
    shapes: Shapes,
}

#[derive(Debug, Default)]
struct Shelf {
    table: hashbrown::HashTable<(u64, Weak<Template>)>,
    hasher: foldhash::fast::RandomState,
    /// Templates no formula uses any more are swept out when the table has grown to this.
    sweep_at: usize,
}

impl Templates {
    /// The number of templates in use.
    pub fn len(&self) -> usize {
        let shelf = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        shelf.table.iter().filter(|(_, template)| template.strong_count() > 0).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn shapes(&self) -> &Shapes {
        &self.shapes
    }

    /// The shared template equal to this one.
    pub(crate) fn share(&self, template: Template) -> Arc<Template> {
        let mut shelf = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let shelf = &mut *shelf;
        let hash = shelf.hasher.hash_one(&template);
        let found = shelf.table.find(hash, |(other, weak)| {
            *other == hash && weak.upgrade().is_some_and(|shared| *shared == template)
        });
        if let Some(shared) = found.and_then(|(_, weak)| weak.upgrade()) {
            return shared;
        }
        if shelf.table.len() >= shelf.sweep_at {
            shelf.table.retain(|(_, weak)| weak.strong_count() > 0);
            shelf.sweep_at = (shelf.table.len() * 2).max(1024);
        }
        let shared = Arc::new(template);
        shelf.table.insert_unique(hash, (hash, Arc::downgrade(&shared)), |(hash, _)| *hash);
        shared
    }
}
