//! Built-in functions and those of `math`, for the kinds of arguments that machine code knows.

use super::{Emitted, Emitter, Entry, HandOver, Truth};
use crate::kind::Kind;
use crate::support;
use butterflyfx_formula::builtins::Builtin;
use butterflyfx_formula::code::CompareOp;
use butterflyfx_formula::math::MathFunction;
use butterflyfx_formula::operate::BinaryOp;
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::I64;
use cranelift_codegen::ir::{self, InstBuilder};
use smallvec::SmallVec;

/// 2**63, where floats leave the range of ints of 64 bits.
const TWO_TO_63: f64 = 9_223_372_036_854_775_808.0;

type Arguments = SmallVec<[Entry; 4]>;

/// Where a float is cut off.
#[derive(Clone, Copy)]
enum Rounding {
    Down,
    Up,
    TowardZero,
    ToEven,
}

impl Emitter<'_, '_> {
    fn arguments(&mut self, count: usize) -> Emitted<Arguments> {
        let from = self.stack.len().checked_sub(count).ok_or(HandOver)?;
        Ok(self.stack.drain(from..).collect())
    }

    /// Emits a call; whether the next instruction follows.
    pub(super) fn call_builtin(&mut self, builtin: Builtin, count: usize, next: u32) -> Emitted<bool> {
        let arguments = self.arguments(count)?;
        let result = match (builtin, arguments.as_slice()) {
            (Builtin::Min | Builtin::Max, [_, _, ..]) => return self.extreme(builtin, &arguments, next),
            (Builtin::Abs, &[x]) => self.absolute(x)?,
            (Builtin::Bool, &[x]) => {
                let truth = self.truth(x);
                self.bool(truth)
            }
            (Builtin::Int, &[x]) => self.whole(x, Rounding::TowardZero)?,
            (Builtin::Round, &[x]) => self.whole(x, Rounding::ToEven)?,
            (Builtin::Round, &[x, digits]) => self.round(x, digits)?,
            (Builtin::Float, &[x]) => Entry::new(Kind::Float, self.as_float(x)?),
            (Builtin::Pow, &[base, exponent]) => self.binary(BinaryOp::Power, base, exponent)?,
            _ => return Err(HandOver),
        };
        self.stack.push(result);
        Ok(true)
    }

    fn absolute(&mut self, x: Entry) -> Emitted<Entry> {
        let value = x.value.ok_or(HandOver)?;
        Ok(match x.kind {
            Kind::Float => Entry::new(Kind::Float, self.builder.ins().fabs(value)),
            Kind::Bool => Entry { kind: Kind::Int, truth: None, ..x },
            _ => {
                let is_least = self.builder.ins().icmp_imm_s(IntCC::Equal, value, i64::MIN);
                self.hand_over_if(is_least);
                Entry::new(Kind::Int, self.builder.ins().iabs(value))
            }
        })
    }

    /// A number as an int.
    fn whole(&mut self, x: Entry, rounding: Rounding) -> Emitted<Entry> {
        let value = x.value.ok_or(HandOver)?;
        if x.kind != Kind::Float {
            return Ok(Entry { kind: Kind::Int, truth: None, ..x });
        }
        let ins = self.builder.ins();
        let whole = match rounding {
            Rounding::Down => ins.floor(value),
            Rounding::Up => ins.ceil(value),
            Rounding::TowardZero => ins.trunc(value),
            Rounding::ToEven => ins.nearest(value),
        };
        let (low, high) = (self.builder.ins().f64const(-TWO_TO_63), self.builder.ins().f64const(TWO_TO_63));
        // Not in range or not comparable.
        let is_low = self.builder.ins().fcmp(FloatCC::UnorderedOrLessThan, whole, low);
        let is_high = self.builder.ins().fcmp(FloatCC::UnorderedOrGreaterThanOrEqual, whole, high);
        let beyond = self.builder.ins().bor(is_low, is_high);
        self.hand_over_if(beyond);
        Ok(Entry::new(Kind::Int, self.builder.ins().fcvt_to_sint_sat(I64, whole)))
    }

    /// `round(x, digits)`
    fn round(&mut self, x: Entry, digits: Entry) -> Emitted<Entry> {
        if digits.kind == Kind::None {
            return self.whole(x, Rounding::ToEven);
        }
        let places = self.as_int(digits)?;
        let is_negative = self.builder.ins().icmp_imm_s(IntCC::SignedLessThan, places, 0);
        self.hand_over_if(is_negative);
        if x.kind != Kind::Float {
            return Ok(Entry { kind: Kind::Int, value: Some(self.as_int(x)?), truth: None, ..x });
        }
        let value = self.as_float(x)?;
        let result = self.call(support::round(), &[value, places]);
        // What it costs depends on the value.
        self.steps = self.builder.ins().iadd(self.steps, result[1]);
        self.steps_max += support::ROUND_STEPS_MAX;
        Ok(Entry::new(Kind::Float, result[0]))
    }

    /// `min` and `max` of several: of equals the first stays, and of kinds that differ each goes its own way.
    fn extreme(&mut self, builtin: Builtin, arguments: &[Entry], next: u32) -> Emitted<bool> {
        // A step for each candidate, and one for finding that there are no more.
        self.pay(arguments.len() as i64 + 1);
        let op = if builtin == Builtin::Max { CompareOp::Greater } else { CompareOp::Less };
        let Some((&first, others)) = arguments.split_first() else { return Err(HandOver) };
        if others.iter().all(|other| other.kind == first.kind) {
            let mut best = first;
            for &other in others {
                let Truth::Computed(is_better) = self.compare(op, other, best)? else { return Err(HandOver) };
                let (Some(a), Some(b)) = (other.value, best.value) else { return Err(HandOver) };
                best = Entry::new(first.kind, self.builder.ins().select(is_better, a, b));
            }
            self.stack.push(best);
            return Ok(true);
        }
        let &[other] = others else { return Err(HandOver) };
        let Truth::Computed(is_better) = self.compare(op, other, first)? else { return Err(HandOver) };
        self.stack.push(other);
        let (to_other, others) = self.block(next);
        self.stack.pop();
        self.stack.push(first);
        let (to_first, firsts) = self.block(next);
        self.builder.ins().brif(is_better, to_other, &others, to_first, &firsts);
        Ok(false)
    }

    pub(super) fn call_math(&mut self, function: MathFunction, count: usize) -> Emitted<()> {
        let arguments = self.arguments(count)?;
        let result = match *arguments.as_slice() {
            [x] => self.math_of_one(function, x)?,
            [x, y] => self.math_of_two(function, x, y)?,
            _ => return Err(HandOver),
        };
        self.stack.push(result);
        Ok(())
    }

    fn math_of_one(&mut self, function: MathFunction, x: Entry) -> Emitted<Entry> {
        match function {
            MathFunction::Floor => return self.whole(x, Rounding::Down),
            MathFunction::Ceil => return self.whole(x, Rounding::Up),
            MathFunction::Trunc => return self.whole(x, Rounding::TowardZero),
            MathFunction::Isqrt | MathFunction::Factorial => return self.math_of_ints(function, x, x),
            _ => {}
        }
        let value = self.as_float(x)?;
        let result = match function {
            MathFunction::Fabs => self.builder.ins().fabs(value),
            MathFunction::Sqrt => self.builder.ins().sqrt(value),
            MathFunction::Degrees | MathFunction::Radians => {
                let half_turn = std::f64::consts::PI;
                let factor =
                    if function == MathFunction::Degrees { 180.0 / half_turn } else { half_turn / 180.0 };
                let factor = self.builder.ins().f64const(factor);
                let value = self.builder.ins().fmul(value, factor);
                return Ok(Entry::new(Kind::Float, value));
            }
            MathFunction::Isnan => {
                let truth = self.builder.ins().fcmp(FloatCC::Unordered, value, value);
                return Ok(self.bool(Truth::Computed(truth)));
            }
            MathFunction::Isfinite | MathFunction::Isinf => {
                let size = self.builder.ins().fabs(value);
                let infinity = self.builder.ins().f64const(f64::INFINITY);
                let condition =
                    if function == MathFunction::Isinf { FloatCC::Equal } else { FloatCC::LessThan };
                let truth = self.builder.ins().fcmp(condition, size, infinity);
                return Ok(self.bool(Truth::Computed(truth)));
            }
            _ => {
                let helper = support::math_of_one(function).ok_or(HandOver)?;
                self.call(helper, &[value])[0]
            }
        };
        Ok(self.finite(result))
    }

    fn math_of_two(&mut self, function: MathFunction, x: Entry, y: Entry) -> Emitted<Entry> {
        match function {
            MathFunction::Gcd | MathFunction::Lcm => {
                // A step for each.
                self.pay(2);
                return self.math_of_ints(function, x, y);
            }
            MathFunction::Hypot => self.pay(2),
            _ => {}
        }
        let (x, y) = (self.as_float(x)?, self.as_float(y)?);
        if function == MathFunction::Isclose {
            let truth = self.is_close(x, y);
            return Ok(self.bool(Truth::Computed(truth)));
        }
        if function == MathFunction::Copysign {
            // The sign of a NaN shows here only; the interpreter knows it best.
            let y = self.known(y);
            let value = self.builder.ins().fcopysign(x, y.value.ok_or(HandOver)?);
            return Ok(self.finite(value));
        }
        let helper = support::math_of_two(function).ok_or(HandOver)?;
        let result = self.call(helper, &[x, y]);
        Ok(self.finite(result[0]))
    }

    fn math_of_ints(&mut self, function: MathFunction, x: Entry, y: Entry) -> Emitted<Entry> {
        let helper = support::math_of_ints(function).ok_or(HandOver)?;
        let (x, y) = (self.as_int(x)?, self.as_int(y)?);
        Ok(Entry::new(Kind::Int, self.call_for_int(helper, x, y)))
    }

    /// `math.isclose(x, y)` with the tolerances that it has by itself.
    fn is_close(&mut self, x: ir::Value, y: ir::Value) -> ir::Value {
        let is_same = self.builder.ins().fcmp(FloatCC::Equal, x, y);
        let difference = self.builder.ins().fsub(y, x);
        let difference = self.builder.ins().fabs(difference);
        let relative = self.builder.ins().f64const(1e-9);
        let infinity = self.builder.ins().f64const(f64::INFINITY);
        let [of_x, of_y] = [x, y].map(|one| {
            let tolerance = self.builder.ins().fmul(relative, one);
            let tolerance = self.builder.ins().fabs(tolerance);
            let size = self.builder.ins().fabs(one);
            let is_near = self.builder.ins().fcmp(FloatCC::LessThanOrEqual, difference, tolerance);
            (is_near, self.builder.ins().fcmp(FloatCC::LessThan, size, infinity))
        });
        let is_near = self.builder.ins().bor(of_x.0, of_y.0);
        let are_finite = self.builder.ins().band(of_x.1, of_y.1);
        let is_close = self.builder.ins().band(is_near, are_finite);
        self.builder.ins().bor(is_same, is_close)
    }

    /// A result that may be an exception where it is not finite: the interpreter knows.
    fn finite(&mut self, value: ir::Value) -> Entry {
        let size = self.builder.ins().fabs(value);
        let infinity = self.builder.ins().f64const(f64::INFINITY);
        let beyond = self.builder.ins().fcmp(FloatCC::UnorderedOrGreaterThanOrEqual, size, infinity);
        self.hand_over_if(beyond);
        Entry::new(Kind::Float, value)
    }
}
