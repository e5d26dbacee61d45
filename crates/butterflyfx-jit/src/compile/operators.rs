//! Operators and comparisons of the kinds that machine code knows, as the interpreter has them.

use super::{Emitted, Emitter, Entry, FLOAT_AT, HandOver, RECIPROCAL_AT, Truth};
use crate::kind::{EXACT_AS_FLOAT_MAX, Kind};
use crate::support;
use butterflyfx_formula::code::CompareOp;
use butterflyfx_formula::operate::{BinaryOp, UnaryOp};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, I64};
use cranelift_codegen::ir::{self, InstBuilder};

/// A division of ints, cut off.
struct Division {
    quotient: ir::Value,
    rest: ir::Value,
    /// Whether there is a rest.
    is_inexact: ir::Value,
}

impl Emitter<'_, '_> {
    pub(super) fn is_nonzero(&mut self, kind: Kind, value: ir::Value) -> ir::Value {
        if kind == Kind::Float {
            let zero = self.builder.ins().f64const(0.0);
            // Not equal or not comparable: NaN is true.
            self.builder.ins().fcmp(FloatCC::NotEqual, value, zero)
        } else {
            self.builder.ins().icmp_imm_s(IntCC::NotEqual, value, 0)
        }
    }

    /// A bool or int as an `I64`.
    pub(super) fn as_int(&self, entry: Entry) -> Emitted<ir::Value> {
        match entry.kind {
            Kind::Bool | Kind::Int => entry.value.ok_or(HandOver),
            _ => Err(HandOver),
        }
    }

    /// A number as an `F64`, rounded as Python's `float(x)` does.
    pub(super) fn as_float(&mut self, entry: Entry) -> Emitted<ir::Value> {
        let value = entry.value.ok_or(HandOver)?;
        Ok(match (entry.kind, entry.constant) {
            (Kind::Float, _) => value,
            (_, Some(index)) => self.load_constant(Kind::Float, index, FLOAT_AT),
            _ => self.builder.ins().fcvt_from_sint(F64, value),
        })
    }

    /// What to multiply with instead of dividing, where that is the same to the last bit.
    fn reciprocal(&mut self, divisor: Entry) -> Option<ir::Value> {
        let index = divisor.constant?;
        let facts = self.facts.get(usize::from(index))?;
        facts.is_power_of_two.then(|| self.load_constant(Kind::Float, index, RECIPROCAL_AT))
    }

    /// Hands over where an int is not exact as a float.
    fn require_small(&mut self, entry: Entry) -> Emitted<()> {
        if entry.is_small {
            return Ok(());
        }
        let value = self.as_int(entry)?;
        let shifted = self.builder.ins().iadd_imm_s(value, EXACT_AS_FLOAT_MAX);
        let beyond =
            self.builder.ins().icmp_imm_s(IntCC::UnsignedGreaterThan, shifted, 2 * EXACT_AS_FLOAT_MAX);
        self.hand_over_if(beyond);
        Ok(())
    }

    fn require_nonzero(&mut self, entry: Entry) -> Emitted<()> {
        if entry.is_nonzero {
            return Ok(());
        }
        let value = entry.value.ok_or(HandOver)?;
        let is_zero = if entry.kind == Kind::Float {
            let zero = self.builder.ins().f64const(0.0);
            self.builder.ins().fcmp(FloatCC::Equal, value, zero)
        } else {
            self.builder.ins().icmp_imm_s(IntCC::Equal, value, 0)
        };
        self.hand_over_if(is_zero);
        Ok(())
    }

    /// A float that a helper computed: NaN where it does not know the answer.
    pub(super) fn known(&mut self, value: ir::Value) -> Entry {
        let is_nan = self.builder.ins().fcmp(FloatCC::Unordered, value, value);
        self.hand_over_if(is_nan);
        Entry::new(Kind::Float, value)
    }

    pub(super) fn unary(&mut self, op: UnaryOp, operand: Entry) -> Emitted<Entry> {
        let value = operand.value.ok_or(HandOver)?;
        let is_float = operand.kind == Kind::Float;
        Ok(match op {
            UnaryOp::Negate if is_float => {
                let negated = self.builder.ins().fneg(value);
                Entry { is_nonzero: operand.is_nonzero, ..Entry::new(Kind::Float, negated) }
            }
            UnaryOp::Plus if is_float => operand,
            UnaryOp::Invert if is_float => return Err(HandOver),
            UnaryOp::Negate => {
                if !operand.is_small {
                    let is_least = self.builder.ins().icmp_imm_s(IntCC::Equal, value, i64::MIN);
                    self.hand_over_if(is_least);
                }
                let negated = self.builder.ins().ineg(value);
                let Entry { is_small, is_nonzero, .. } = operand;
                Entry { is_small, is_nonzero, ..Entry::new(Kind::Int, negated) }
            }
            UnaryOp::Plus => Entry { kind: Kind::Int, truth: None, ..operand },
            UnaryOp::Invert => Entry::new(Kind::Int, self.builder.ins().bnot(value)),
        })
    }

    pub(super) fn binary(&mut self, op: BinaryOp, a: Entry, b: Entry) -> Emitted<Entry> {
        match (a.kind, b.kind) {
            (Kind::None | Kind::Absent, _) | (_, Kind::None | Kind::Absent) => Err(HandOver),
            (Kind::Float, _) | (_, Kind::Float) => self.binary_float(op, a, b),
            _ => self.binary_int(op, a, b),
        }
    }

    fn binary_float(&mut self, op: BinaryOp, left: Entry, right: Entry) -> Emitted<Entry> {
        let (a, b) = (self.as_float(left)?, self.as_float(right)?);
        let value = match op {
            BinaryOp::Add => self.builder.ins().fadd(a, b),
            BinaryOp::Subtract => self.builder.ins().fsub(a, b),
            BinaryOp::Multiply => self.builder.ins().fmul(a, b),
            BinaryOp::Divide => match self.reciprocal(right) {
                Some(reciprocal) => self.builder.ins().fmul(a, reciprocal),
                None => {
                    self.require_nonzero(right)?;
                    self.builder.ins().fdiv(a, b)
                }
            },
            _ => {
                let helper = support::float_operator(op).ok_or(HandOver)?;
                let result = self.call(helper, &[a, b]);
                return Ok(self.known(result[0]));
            }
        };
        Ok(Entry::new(Kind::Float, value))
    }

    fn binary_int(&mut self, op: BinaryOp, left: Entry, right: Entry) -> Emitted<Entry> {
        let (a, b) = (self.as_int(left)?, self.as_int(right)?);
        let value = match op {
            BinaryOp::Add | BinaryOp::Subtract | BinaryOp::Multiply => {
                let ins = self.builder.ins();
                let (value, overflows) = match op {
                    BinaryOp::Add => ins.sadd_overflow(a, b),
                    BinaryOp::Subtract => ins.ssub_overflow(a, b),
                    _ => ins.smul_overflow(a, b),
                };
                self.hand_over_if(overflows);
                value
            }
            BinaryOp::Divide => {
                self.require_small(left)?;
                if let Some(reciprocal) = self.reciprocal(right) {
                    let a = self.as_float(left)?;
                    return Ok(Entry::new(Kind::Float, self.builder.ins().fmul(a, reciprocal)));
                }
                self.require_small(right)?;
                self.require_nonzero(right)?;
                let (a, b) = (self.as_float(left)?, self.as_float(right)?);
                return Ok(Entry::new(Kind::Float, self.builder.ins().fdiv(a, b)));
            }
            BinaryOp::FloorDivide => {
                let Division { quotient, is_inexact, .. } = self.division(left, right)?;
                let signs = self.builder.ins().bxor(a, b);
                let is_negative = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, signs, 0);
                let rounds_down = self.builder.ins().band(is_inexact, is_negative);
                let one = self.builder.ins().uextend(I64, rounds_down);
                self.builder.ins().isub(quotient, one)
            }
            BinaryOp::Modulo => {
                let Division { rest, is_inexact, .. } = self.division(left, right)?;
                let signs = self.builder.ins().bxor(rest, b);
                let is_negative = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, signs, 0);
                let moves = self.builder.ins().band(is_inexact, is_negative);
                let moved = self.builder.ins().iadd(rest, b);
                self.builder.ins().select(moves, moved, rest)
            }
            BinaryOp::Power => self.call_for_int(support::power_of_ints(), a, b),
            BinaryOp::BitAnd => self.builder.ins().band(a, b),
            BinaryOp::BitOr => self.builder.ins().bor(a, b),
            BinaryOp::BitXor => self.builder.ins().bxor(a, b),
            BinaryOp::ShiftLeft => {
                let beyond = self.builder.ins().icmp_imm_s(IntCC::UnsignedGreaterThan, b, 63);
                self.hand_over_if(beyond);
                let shifted = self.builder.ins().ishl(a, b);
                let back = self.builder.ins().sshr(shifted, b);
                let loses = self.builder.ins().icmp(IntCC::NotEqual, back, a);
                self.hand_over_if(loses);
                shifted
            }
            BinaryOp::ShiftRight => {
                let is_negative = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, b, 0);
                self.hand_over_if(is_negative);
                let most = self.builder.ins().iconst(I64, 63);
                let count = self.builder.ins().umin(b, most);
                self.builder.ins().sshr(a, count)
            }
        };
        let is_bit_operator = matches!(op, BinaryOp::BitAnd | BinaryOp::BitOr | BinaryOp::BitXor);
        let are_bools = left.kind == Kind::Bool && right.kind == Kind::Bool;
        Ok(Entry::new(if is_bit_operator && are_bools { Kind::Bool } else { Kind::Int }, value))
    }

    /// Calls a function of ints, which may not know the answer.
    pub(super) fn call_for_int(&mut self, helper: support::Helper, a: ir::Value, b: ir::Value) -> ir::Value {
        let result = self.call(helper, &[a, b]);
        let fails = self.builder.ins().icmp_imm_s(IntCC::Equal, result[1], 0);
        self.hand_over_if(fails);
        result[0]
    }

    fn division(&mut self, left: Entry, right: Entry) -> Emitted<Division> {
        let (a, b) = (self.as_int(left)?, self.as_int(right)?);
        // The processor traps for what is handed over here.
        self.require_nonzero(right)?;
        if !left.is_small {
            let is_least = self.builder.ins().icmp_imm_s(IntCC::Equal, a, i64::MIN);
            let is_minus_one = self.builder.ins().icmp_imm_s(IntCC::Equal, b, -1);
            let overflows = self.builder.ins().band(is_least, is_minus_one);
            self.hand_over_if(overflows);
        }
        let quotient = self.builder.ins().sdiv(a, b);
        let whole = self.builder.ins().imul(quotient, b);
        let rest = self.builder.ins().isub(a, whole);
        let is_inexact = self.builder.ins().icmp_imm_s(IntCC::NotEqual, rest, 0);
        Ok(Division { quotient, rest, is_inexact })
    }

    pub(super) fn compare(&mut self, op: CompareOp, a: Entry, b: Entry) -> Emitted<Truth> {
        let (on_ints, on_floats) = match op {
            CompareOp::Equal => (IntCC::Equal, FloatCC::Equal),
            CompareOp::NotEqual => (IntCC::NotEqual, FloatCC::NotEqual),
            CompareOp::Less => (IntCC::SignedLessThan, FloatCC::LessThan),
            CompareOp::LessOrEqual => (IntCC::SignedLessThanOrEqual, FloatCC::LessThanOrEqual),
            CompareOp::Greater => (IntCC::SignedGreaterThan, FloatCC::GreaterThan),
            CompareOp::GreaterOrEqual => (IntCC::SignedGreaterThanOrEqual, FloatCC::GreaterThanOrEqual),
            CompareOp::Is | CompareOp::IsNot => return Ok(self.is_same(op == CompareOp::Is, a, b)),
            CompareOp::In | CompareOp::NotIn => return Err(HandOver),
        };
        let (Some(left), Some(right)) = (a.value, b.value) else {
            let are_none = a.value.is_none() && b.value.is_none();
            return match op {
                CompareOp::Equal => Ok(Truth::Known(are_none)),
                CompareOp::NotEqual => Ok(Truth::Known(!are_none)),
                // A TypeError.
                _ => Err(HandOver),
            };
        };
        Ok(Truth::Computed(match (a.kind, b.kind) {
            (Kind::Float, Kind::Float) => self.builder.ins().fcmp(on_floats, left, right),
            (Kind::Float, _) | (_, Kind::Float) => {
                // Python compares exactly; so does rounding first where the int is small.
                self.require_small(if a.kind == Kind::Float { b } else { a })?;
                let (left, right) = (self.as_float(a)?, self.as_float(b)?);
                self.builder.ins().fcmp(on_floats, left, right)
            }
            _ => self.builder.ins().icmp(on_ints, left, right),
        }))
    }

    /// `is` tells `None`, `True` and `False` apart, and nothing else is the same.
    fn is_same(&mut self, expected: bool, a: Entry, b: Entry) -> Truth {
        match (a.kind, b.kind, a.value, b.value) {
            (Kind::None, Kind::None, ..) => Truth::Known(expected),
            (Kind::Bool, Kind::Bool, Some(a), Some(b)) => {
                let condition = if expected { IntCC::Equal } else { IntCC::NotEqual };
                Truth::Computed(self.builder.ins().icmp(condition, a, b))
            }
            _ => Truth::Known(!expected),
        }
    }
}
