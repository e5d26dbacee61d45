//! Operators over all types: numbers first, then sequences and dicts, then the `TypeError`.

use crate::error::Result;
use crate::meter::Meter;
use crate::value::Value;
use std::cmp::Ordering;

/// A binary arithmetic or bit operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `//`
    FloorDivide,
    /// `%`
    Modulo,
    /// `**`
    Power,
    /// `&`
    BitAnd,
    /// `|`
    BitOr,
    /// `^`
    BitXor,
    /// `<<`
    ShiftLeft,
    /// `>>`
    ShiftRight,
}

impl BinaryOp {
    /// The operator's text; `** or pow()` for power, as CPython's messages have it.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Subtract => "-",
            BinaryOp::Multiply => "*",
            BinaryOp::Divide => "/",
            BinaryOp::FloorDivide => "//",
            BinaryOp::Modulo => "%",
            BinaryOp::Power => "** or pow()",
            BinaryOp::BitAnd => "&",
            BinaryOp::BitOr => "|",
            BinaryOp::BitXor => "^",
            BinaryOp::ShiftLeft => "<<",
            BinaryOp::ShiftRight => ">>",
        }
    }
}

/// A unary operator but `not`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UnaryOp {
    /// `-`
    Negate,
    /// `+`
    Plus,
    /// `~`
    Invert,
}

/// `hash(value)`, for use inside this process only. Pays a step for each 64 bytes of text.
///
/// # Errors
/// `TypeError`: unhashable type.
pub fn hash(_meter: &mut Meter, _value: &Value) -> Result<u64> {
    todo!()
}

/// [`hash`] of a str.
pub fn hash_text(_text: &str) -> u64 {
    todo!()
}

/// `a == b`. Pays a step for each pair of elements looked at.
pub fn equal(_meter: &mut Meter, _a: &Value, _b: &Value) -> Result<bool> {
    todo!()
}

/// `a is b or a == b`: how CPython compares elements of containers and keys.
pub fn same_or_equal(_meter: &mut Meter, _a: &Value, _b: &Value) -> Result<bool> {
    todo!()
}

/// Ordering for `<` and friends, with the operator's text for the `TypeError`.
/// `None` where neither is true (NaN).
pub fn order(_meter: &mut Meter, _a: &Value, _b: &Value, _symbol: &str) -> Result<Option<Ordering>> {
    todo!()
}

/// `a op b`.
pub fn binary(_meter: &mut Meter, _op: BinaryOp, _a: &Value, _b: &Value) -> Result<Value> {
    todo!()
}

/// `-a`, `+a`, `~a`.
pub fn unary(_meter: &mut Meter, _op: UnaryOp, _a: &Value) -> Result<Value> {
    todo!()
}
