//! The instructions of a template, for whoever runs or compiles them.
//!
//! The interpreter is the reference for what each of them does and costs. Whoever compiles a template gets
//! [`Code`], the part of it that can be compiled, and may leave the result with the template as its
//! [`Attachment`].

pub use crate::ast::{CompareOp, Conversion};

use crate::builtins::Builtin;
use crate::math::MathFunction;
use crate::methods::Method;
use crate::operate::{BinaryOp, UnaryOp};
use std::any::Any;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, OnceLock};

/// One instruction. Comments show the stack before and after, top at the right. Each costs one
/// step; what an operation does beyond that is charged by the operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
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
pub const MATH_CONSTANTS: [&str; 5] = ["pi", "e", "tau", "inf", "nan"];

/// A template that is one unit: no inner function, no generator, and of `**kw` single names only.
#[derive(Clone, Copy, Debug)]
pub struct Code<'a> {
    /// Its instructions. Jumps lead forward where there is no loop.
    pub ops: &'a [Op],
    /// Its parameters, which are its first locals; not `**kw`.
    pub parameters: &'a [Arc<str>],
    /// Names that instructions refer to, those read from `**kw` among them.
    pub names: &'a [Arc<str>],
    /// How many constants it refers to.
    pub constants: usize,
}

/// Something that another crate keeps with a template, as long as the template lives: its machine code. Takes no part in what
/// makes templates equal.
#[derive(Default)]
pub struct Attachment(OnceLock<Arc<dyn Any + Send + Sync>>);

impl Attachment {
    /// What is attached, made now where nothing is yet.
    pub fn get_or_init(
        &self,
        make: impl FnOnce() -> Arc<dyn Any + Send + Sync>,
    ) -> &Arc<dyn Any + Send + Sync> {
        self.0.get_or_init(make)
    }
}

impl fmt::Debug for Attachment {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(if self.0.get().is_some() { "Attachment(..)" } else { "Attachment" })
    }
}

impl Clone for Attachment {
    /// A copy of a template begins without.
    fn clone(&self) -> Attachment {
        Attachment::default()
    }
}

impl PartialEq for Attachment {
    fn eq(&self, _: &Attachment) -> bool {
        true
    }
}

impl Eq for Attachment {}

impl Hash for Attachment {
    fn hash<H: Hasher>(&self, _: &mut H) {}
}
