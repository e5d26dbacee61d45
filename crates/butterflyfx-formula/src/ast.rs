//! The accepted part of Python's expression syntax as our own tree.
//!
//! Only `parse` makes it, so nothing behind it knows the parser library, and nothing refused
//! gets here.

use crate::operate::{BinaryOp, UnaryOp};
use crate::value::Value;

/// Byte offsets into the text, end exclusive.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bytes {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

/// An expression and where it stands.
#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) at: Bytes,
}

/// The kinds of expression.
#[derive(Debug)]
pub(crate) enum ExprKind {
    /// `None`, a bool, int, float or str literal.
    Constant(Value),
    Name(Box<str>),
    Unary(UnaryOp, Box<Expr>),
    Not(Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// Two or more operands.
    And(Vec<Expr>),
    Or(Vec<Expr>),
    /// `first op operand op operand ...`
    Compare(Box<Expr>, Vec<(CompareOp, Expr)>),
    Conditional {
        test: Box<Expr>,
        then: Box<Expr>,
        otherwise: Box<Expr>,
    },
    List(Vec<Element>),
    Tuple(Vec<Element>),
    /// `None` as key: `**value`.
    Dict(Vec<(Option<Expr>, Expr)>),
    ListComprehension(Box<Expr>, Vec<Clause>),
    DictComprehension(Box<(Expr, Expr)>, Vec<Clause>),
    Generator(Box<Expr>, Vec<Clause>),
    Subscript(Box<Expr>, Box<Expr>),
    /// `value[start:stop:step]`
    Slice(Box<Expr>, [Option<Box<Expr>>; 3]),
    Attribute(Box<Expr>, Box<str>),
    Call(Box<Expr>, Vec<Argument>),
    Lambda(Box<Lambda>),
    Formatted(Vec<FormatPart>),
}

/// An element of a list or tuple display.
#[derive(Debug)]
pub(crate) struct Element {
    pub(crate) value: Expr,
    /// `*value`
    pub(crate) unpack: bool,
}

/// A comparison operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `in`
    In,
    /// `not in`
    NotIn,
    /// `is`
    Is,
    /// `is not`
    IsNot,
}

/// `for target in iterable if condition ...`
#[derive(Debug)]
pub(crate) struct Clause {
    pub(crate) target: Target,
    pub(crate) iterable: Expr,
    pub(crate) conditions: Vec<Expr>,
}

/// What a `for` binds.
#[derive(Debug)]
pub(crate) enum Target {
    Name(Box<str>, Bytes),
    /// Targets, and which of them has the star.
    Tuple(Vec<Target>, Option<usize>, Bytes),
}

/// An argument of a call, in source order.
#[derive(Debug)]
pub(crate) enum Argument {
    Positional(Expr),
    Unpack(Expr),
    Keyword(Box<str>, Expr),
    UnpackKeywords(Expr),
}

/// A lambda.
#[derive(Debug)]
pub(crate) struct Lambda {
    pub(crate) parameters: Vec<Parameter>,
    /// The name of `**kw`.
    pub(crate) rest: Option<Box<str>>,
    pub(crate) body: Expr,
}

/// A parameter of a lambda.
#[derive(Debug)]
pub(crate) struct Parameter {
    pub(crate) name: Box<str>,
    pub(crate) default: Option<Expr>,
    /// Behind `*`.
    pub(crate) keyword_only: bool,
}

/// A piece of an f-string.
#[derive(Debug)]
pub(crate) enum FormatPart {
    Text(Box<str>),
    Field {
        value: Expr,
        conversion: Conversion,
        /// The spec's own pieces; empty when there is none.
        spec: Vec<FormatPart>,
    },
}

/// `!s`, `!r`, `!a`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// None given.
    None,
    /// `!s`
    Str,
    /// `!r`
    Repr,
    /// `!a`
    Ascii,
}
