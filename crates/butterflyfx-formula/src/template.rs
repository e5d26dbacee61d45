//! The checked form of a formula without its constants, shared by all formulas of one shape.
//!
//! A template is code for a stack machine in a few units: the formula's own, one for each
//! inner lambda and generator, one for each default that is evaluated at creation. Constants are
//! numbered in the order of the text and stand outside, so formulas that differ only in
//! constants lower to equal templates. No spans are kept: where an instruction came from is
//! found by lowering the text again. Types are not fixed by the code, so machine code and columns
//! can specialise it and fall back to it at any instruction.

use crate::ast::{CompareOp, Conversion};
use crate::builtins::Builtin;
use crate::math::MathFunction;
use crate::methods::Method;
use crate::operate::{BinaryOp, UnaryOp};
use crate::shape::Shapes;
use std::hash::{BuildHasher, Hash};
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// One instruction. Comments show the stack before and after, top at the right. Each costs one
/// step; what an operation does beyond that is charged by the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    /// `-> constant`
    Constant(u16),
    /// `-> None` where the text leaves a value out.
    Nothing,
    /// `-> pi`, `e`, `tau`, `inf`, `nan`: an index into [`MATH_CONSTANTS`].
    MathConstant(u8),
    /// `-> function`
    Builtin(Builtin),
    /// `-> function`
    Math(MathFunction),
    /// `-> value` of a variable of this unit that is bound for sure.
    Local(u16),
    /// `-> value` of a comprehension's variable that may not be bound yet.
    LocalChecked(u16),
    /// `-> value` of a variable of this unit that inner functions see.
    Cell(u16),
    /// `-> value` of a variable of an outer unit.
    Captured(u16),
    /// `value ->`
    StoreLocal(u16),
    /// `value ->`
    StoreCell(u16),
    /// Makes a variable unbound: a comprehension begins.
    ClearLocal(u16),
    /// Makes a fresh cell for a variable: a comprehension begins.
    MakeCell(u16),
    /// `-> kw.get(name, constant)` where `kw` is the formula's `**` parameter.
    KeywordOrConstant {
        /// Index into the template's names.
        name: u16,
        /// Index into the constants.
        constant: u16,
    },
    /// `default -> kw.get(name, default)`
    KeywordOr(u16),
    /// `-> kw.get(name)`
    KeywordOrNone(u16),
    /// `-> kw[name]`
    Keyword(u16),
    /// `a -> op a`
    Unary(UnaryOp),
    /// `a -> not a`
    Not,
    /// `a b -> a op b`
    Binary(BinaryOp),
    /// `a b -> a op b`
    Compare(CompareOp),
    /// `a b -> b` where the comparison holds; else `-> False` and jumps: a chain goes on or ends.
    CompareChain(CompareOp, u32),
    /// Goes to an instruction.
    Jump(u32),
    /// `a ->`, jumps where `a` is false.
    JumpIfFalse(u32),
    /// `a -> a` and jumps where `a` is false, else `a ->`.
    JumpIfFalseOrPop(u32),
    /// `a -> a` and jumps where `a` is true, else `a ->`.
    JumpIfTrueOrPop(u32),
    /// `a1 .. an -> [a1, .., an]`
    BuildList(u16),
    /// `a1 .. an -> (a1, .., an)`
    BuildTuple(u16),
    /// Begins a list on the builder stack.
    NewList,
    /// `a ->`, appended to the top builder.
    Append,
    /// `iterable ->`, its elements appended to the top builder.
    Extend,
    /// `-> list` from the top builder.
    FinishList,
    /// `-> tuple` from the top builder.
    FinishTuple,
    /// Begins a dict on the builder stack.
    NewDict,
    /// `k1 v1 .. kn vn ->`, set in the top builder.
    Insert(u16),
    /// `mapping ->`, merged into the top builder.
    Update,
    /// `mapping ->`, merged as keyword arguments: string keys, none twice.
    UpdateKeywords,
    /// `value ->`, a keyword argument with this name, not there yet.
    InsertKeyword(u16),
    /// `-> dict` from the top builder.
    FinishDict,
    /// `iterable ->`, an iterator on the loop stack.
    GetIter,
    /// `-> element` of the top loop; at its end drops the loop and jumps.
    ForNext(u32),
    /// `iterable -> vn .. v1`, exactly n elements, the first on top.
    Unpack(u16),
    /// `iterable -> .. starred list ..`: so many before and after the star, the first on top.
    UnpackStar(u16, u16),
    /// `value index -> value[index]`
    Subscript,
    /// `value start stop step -> value[start:stop:step]`
    Slice,
    /// `value -> value.method`
    BindMethod(Method),
    /// `value -> value`, or the `AttributeError`, before arguments are evaluated.
    CheckMethod(Method),
    /// `value a1 .. an -> value.method(a1, .., an)`
    CallMethod(Method, u16),
    /// `a1 .. an -> builtin(a1, .., an)`
    CallBuiltin(Builtin, u16),
    /// `a1 .. an -> math.function(a1, .., an)`
    CallMath(MathFunction, u16),
    /// `f a1 .. an -> f(a1, .., an)`
    Call(u16),
    /// `f a1 .. an k1 .. km -> f(a1, .., an, name1=k1, ..)`; the names are a keyword list.
    CallKeywords {
        /// Positional arguments.
        positional: u16,
        /// Index into the template's keyword lists.
        names: u16,
    },
    /// `f tuple dict -> f(*tuple, **dict)`
    CallUnpacked,
    /// `d1 .. dn -> function` of a unit, with its defaults.
    MakeFunction(u16),
    /// `-> generator` of a unit, over the top loop.
    MakeGenerator(u16),
    /// `value -> text`
    Format(Conversion),
    /// `value spec -> text`
    FormatSpec(Conversion),
    /// `t1 .. tn -> text`
    BuildText(u16),
    /// `value ->`, hands it out of a generator.
    Yield,
    /// `value ->`, the unit's result.
    Return,
}

/// The constants of `math`, by the index in [`Op::MathConstant`].
pub(crate) const MATH_CONSTANTS: [&str; 5] = ["pi", "e", "tau", "inf", "nan"];

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
    hasher: foldhash::fast::RandomState,
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

    pub(crate) fn hash_of(&self, bytes: &[u8]) -> u64 {
        self.hasher.hash_one(bytes)
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
