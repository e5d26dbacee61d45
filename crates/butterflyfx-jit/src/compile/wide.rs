//! Formulas over floats alone, several rows at once in the lanes of a register and without a branch.
//!
//! Both ways of a condition are computed, and the lanes choose. A formula is followed to its results once for each way, so
//! that conditions behind one another double the code; [`INSTRUCTIONS_MAX`] bounds it, and what is more, or is not plain
//! arithmetic of floats, is left to the loop over rows. So is a whole piece in which a lane divided by zero.

use super::{CONSTANT_BYTES, FLOAT_AT, RECIPROCAL_AT, Refusal, constants};
use crate::kind::{Facts, Kind, Signature};
use butterflyfx_formula::builtins::Builtin;
use butterflyfx_formula::code::{Code, CompareOp, Op};
use butterflyfx_formula::math::MathFunction;
use butterflyfx_formula::operate::{BinaryOp, UnaryOp};
use cranelift_codegen::ir::condcodes::{FloatCC, IntCC};
use cranelift_codegen::ir::types::{F64, F64X2, I64, I64X2};
use cranelift_codegen::ir::{self, AbiParam, BlockArg, Function, InstBuilder, MemFlagsData};
use cranelift_codegen::isa::{CallConv, TargetFrontendConfig};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};

/// Lanes of a register.
const LANES: usize = 2;

/// Registers that are computed in one turn of the loop, so that the processor has something to do while it waits.
const REGISTERS: usize = 4;

/// Rows are taken in multiples of so many.
pub const WIDE_ROWS: usize = LANES * REGISTERS;

/// Instructions of the formula that are followed, each as often as it is met.
const INSTRUCTIONS_MAX: usize = 400;

/// `fn(columns, constants, results, rows) -> (steps, failures)`
pub(super) fn signature() -> ir::Signature {
    let mut signature = ir::Signature::new(CallConv::SystemV);
    signature.params.extend([AbiParam::new(I64); 4]);
    signature.returns.extend([AbiParam::new(I64); 2]);
    signature
}

/// A value in all lanes.
#[derive(Clone, Copy)]
enum Lanes {
    Floats(ir::Value),
    /// A constant, an int or not, as a float; exact. And its number.
    Constant(ir::Value, u16),
    /// All ones where it holds.
    Mask(ir::Value),
}

/// What a way through the formula gives.
struct Outcome {
    floats: ir::Value,
    /// Steps of each lane.
    steps: Steps,
    /// All ones where a lane failed, if one can.
    failures: Option<ir::Value>,
}

/// Steps of all lanes, and what some lanes take more.
#[derive(Clone, Copy, Default)]
struct Steps {
    all: i64,
    more: More,
}

#[derive(Clone, Copy, Default)]
enum More {
    #[default]
    Nothing,
    /// So many in the lanes of a mask: these are counted, and multiplied when all rows are done.
    Each(ir::Value, i64),
    /// A number in each lane.
    Lanes(ir::Value),
}

struct Wide<'a, 'b, 'c> {
    builder: &'c mut FunctionBuilder<'b>,
    code: Code<'a>,
    signature: Signature,
    facts: &'a [Facts],
    columns: &'c [Option<ir::Value>],
    constants: ir::Value,
    /// Bytes from a column's begin to these lanes.
    offset: ir::Value,
    instructions: usize,
}

/// Emits the function; gives the most steps of a row.
pub(super) fn emit(
    function: &mut Function,
    buffers: &mut FunctionBuilderContext,
    config: TargetFrontendConfig,
    code: Code<'_>,
    signature: Signature,
    facts: &[Facts],
) -> Result<u64, Refusal> {
    let inputs = code.parameters.len() + code.names.len();
    let is_float = |at| matches!(signature.kind(at), Kind::Float | Kind::Absent);
    if !(0..inputs).all(is_float) {
        return Err(Refusal::NotCovered);
    }
    let mut builder = FunctionBuilder::new(function, buffers);
    let entry = builder.create_block();
    builder.append_block_params_for_function_params(entry);
    builder.switch_to_block(entry);
    let [columns_at, constants, results, rows] = {
        let given = builder.block_params(entry);
        [given[0], given[1], given[2], given[3]]
    };
    let columns: Vec<Option<ir::Value>> = (0..inputs)
        .map(|at| {
            let flags = MemFlagsData::trusted().with_readonly();
            (signature.kind(at) == Kind::Float)
                .then(|| builder.ins().load(I64, flags, columns_at, at as i32 * 8))
        })
        .collect();
    let zero = builder.ins().iconst(I64, 0);
    let none = builder.ins().splat(I64X2, zero);
    let bytes = builder.ins().ishl_imm_u(rows, 3);
    let (body, end) = (builder.create_block(), builder.create_block());
    let start = [BlockArg::Value(zero), BlockArg::Value(none), BlockArg::Value(none)];
    let has_any = builder.ins().icmp(IntCC::NotEqual, bytes, zero);
    builder.ins().brif(has_any, body, &start, end, &start[1..]);

    builder.switch_to_block(body);
    let offset = builder.append_block_param(body, I64);
    let steps = builder.append_block_param(body, I64X2);
    let failures = builder.append_block_param(body, I64X2);
    let (mut all_steps, mut all_failures) = (steps, failures);
    let (mut instructions, mut steps_of_all, mut steps_of_each) = (0, 0, 1);
    for register in 0..REGISTERS {
        let offset = builder.ins().iadd_imm_s(offset, (register * LANES * 8) as i64);
        let mut wide = Wide {
            builder: &mut builder,
            code,
            signature,
            facts,
            columns: &columns,
            constants,
            offset,
            instructions: 0,
        };
        let outcome = wide.follow(0, Vec::new())?;
        (instructions, steps_of_all) = (wide.instructions, outcome.steps.all);
        let to = builder.ins().iadd(results, offset);
        builder.ins().store(unaligned(), outcome.floats, to, 0);
        // The same in each register, which all follow the same code.
        match outcome.steps.more {
            More::Nothing => {}
            More::Each(mask, more) => {
                // A lane where it holds is -1.
                all_steps = builder.ins().isub(all_steps, mask);
                steps_of_each = more;
            }
            More::Lanes(more) => all_steps = builder.ins().iadd(all_steps, more),
        }
        if let Some(failed) = outcome.failures {
            all_failures = builder.ins().bor(all_failures, failed);
        }
    }
    let next = builder.ins().iadd_imm_s(offset, (WIDE_ROWS * 8) as i64);
    let has_more = builder.ins().icmp(IntCC::UnsignedLessThan, next, bytes);
    let again = [BlockArg::Value(next), BlockArg::Value(all_steps), BlockArg::Value(all_failures)];
    builder.ins().brif(has_more, body, &again, end, &again[1..]);

    builder.switch_to_block(end);
    let steps = builder.append_block_param(end, I64X2);
    let failures = builder.append_block_param(end, I64X2);
    let both = |builder: &mut FunctionBuilder<'_>, lanes| {
        (builder.ins().extractlane(lanes, 0), builder.ins().extractlane(lanes, 1))
    };
    let (a, b) = both(&mut builder, steps);
    let more = builder.ins().iadd(a, b);
    let more = builder.ins().imul_imm_s(more, steps_of_each);
    let each = builder.ins().imul_imm_s(rows, steps_of_all);
    let steps = builder.ins().iadd(each, more);
    let (a, b) = both(&mut builder, failures);
    let failures = builder.ins().bor(a, b);
    builder.ins().return_(&[steps, failures]);
    builder.seal_all_blocks();
    builder.finalize(config);
    Ok(instructions as u64 + 8)
}

/// Columns begin where they begin.
fn unaligned() -> MemFlagsData {
    MemFlagsData::new().with_notrap()
}

impl Wide<'_, '_, '_> {
    /// Follows the code from an instruction to the result.
    fn follow(&mut self, from: u32, mut stack: Vec<Lanes>) -> Result<Outcome, Refusal> {
        let mut at = from;
        let mut steps = 0_i64;
        let mut failures: Option<ir::Value> = None;
        loop {
            self.instructions += 1;
            if self.instructions > INSTRUCTIONS_MAX {
                return Err(Refusal::TooLarge);
            }
            let &op = self.code.ops.get(at as usize).ok_or(Refusal::NotCovered)?;
            at += 1;
            steps += 1;
            match op {
                Op::Constant(index) => stack.push(self.constant(index)?),
                Op::Local(slot) if usize::from(slot) < self.code.parameters.len() => {
                    stack.push(self.input(usize::from(slot)).ok_or(Refusal::NotCovered)?);
                }
                Op::KeywordOrConstant { name, constant } => {
                    let input = self.input(self.code.parameters.len() + usize::from(name));
                    stack.push(match input {
                        Some(input) => input,
                        None => self.constant(constant)?,
                    });
                }
                Op::Keyword(name) => {
                    let input = self.input(self.code.parameters.len() + usize::from(name));
                    stack.push(input.ok_or(Refusal::NotCovered)?);
                }
                Op::Unary(UnaryOp::Negate) => {
                    let value = match pop(&mut stack)? {
                        Lanes::Floats(x) => Lanes::Floats(self.builder.ins().fneg(x)),
                        // The negative of the int 0 is 0, not -0.0.
                        _ => return Err(Refusal::NotCovered),
                    };
                    stack.push(value);
                }
                Op::Binary(op) => {
                    let (b, a) = (pop(&mut stack)?, pop(&mut stack)?);
                    let (value, failed) = self.binary(op, a, b)?;
                    failures = self.either(failures, failed);
                    stack.push(value);
                }
                Op::Compare(op) => {
                    let (b, a) = (pop(&mut stack)?, pop(&mut stack)?);
                    stack.push(self.compare(op, a, b)?);
                }
                Op::Not => match pop(&mut stack)? {
                    Lanes::Mask(mask) => stack.push(Lanes::Mask(self.builder.ins().bnot(mask))),
                    _ => return Err(Refusal::NotCovered),
                },
                Op::CallBuiltin(Builtin::Abs, 1) | Op::CallMath(MathFunction::Fabs, 1) => {
                    let x = self.floats(pop(&mut stack)?)?;
                    stack.push(Lanes::Floats(self.builder.ins().fabs(x)));
                    // What is not finite may be an exception of `math`.
                    if matches!(op, Op::CallMath(..)) {
                        let failed = self.not_finite(x);
                        failures = self.either(failures, Some(failed));
                    }
                }
                Op::CallMath(MathFunction::Sqrt, 1) => {
                    let x = self.floats(pop(&mut stack)?)?;
                    let root = self.builder.ins().sqrt(x);
                    let failed = self.not_finite(root);
                    failures = self.either(failures, Some(failed));
                    stack.push(Lanes::Floats(root));
                }
                Op::CallBuiltin(builtin @ (Builtin::Min | Builtin::Max), 2) => {
                    steps += 3;
                    let (b, a) = (pop(&mut stack)?, pop(&mut stack)?);
                    let (Lanes::Floats(a), Lanes::Floats(b)) = (a, b) else {
                        return Err(Refusal::NotCovered);
                    };
                    let condition =
                        if builtin == Builtin::Max { FloatCC::GreaterThan } else { FloatCC::LessThan };
                    let is_better = self.builder.ins().fcmp(condition, b, a);
                    stack.push(Lanes::Floats(self.choose(is_better, b, a)));
                }
                Op::Jump(target) => at = target,
                Op::JumpIfFalse(target) => {
                    let Lanes::Mask(mask) = pop(&mut stack)? else { return Err(Refusal::NotCovered) };
                    let then = self.follow(at, stack.clone())?;
                    let otherwise = self.follow(target, stack)?;
                    let outcome = self.merge(mask, &then, &otherwise);
                    return Ok(self.after(outcome, steps, failures));
                }
                Op::Return => {
                    // The result's kind must not depend on the row: an int is none of a float's.
                    let value = pop(&mut stack)?;
                    let floats = self.floats(value)?;
                    let outcome = Outcome { floats, steps: Steps::default(), failures: None };
                    return Ok(self.after(outcome, steps, failures));
                }
                _ => return Err(Refusal::NotCovered),
            }
        }
    }

    /// An outcome with what came before it.
    fn after(&mut self, outcome: Outcome, steps: i64, failures: Option<ir::Value>) -> Outcome {
        let steps = Steps { all: outcome.steps.all + steps, ..outcome.steps };
        Outcome { floats: outcome.floats, steps, failures: self.either(failures, outcome.failures) }
    }

    /// Of two ways each lane takes the one that its condition says.
    fn merge(&mut self, mask: ir::Value, then: &Outcome, otherwise: &Outcome) -> Outcome {
        let floats = self.choose(mask, then.floats, otherwise.floats);
        let steps = self.merge_steps(mask, then.steps, otherwise.steps);
        let on = then.failures.map(|failed| self.builder.ins().band(mask, failed));
        let off = otherwise.failures.map(|failed| self.builder.ins().band_not(failed, mask));
        Outcome { floats, steps, failures: self.either(on, off) }
    }

    fn merge_steps(&mut self, mask: ir::Value, then: Steps, otherwise: Steps) -> Steps {
        let difference = then.all - otherwise.all;
        let on = self.lanes(then.more).map(|more| self.builder.ins().band(mask, more));
        let off = self.lanes(otherwise.more).map(|more| self.builder.ins().band_not(more, mask));
        let more = match (on, off) {
            (None, None) if difference == 0 => More::Nothing,
            (None, None) => More::Each(mask, difference),
            (on, off) => {
                let difference = match difference {
                    0 => None,
                    _ => self.lanes(More::Each(mask, difference)),
                };
                let all = [on, off, difference].into_iter().flatten();
                all.reduce(|a, b| self.builder.ins().iadd(a, b)).map_or(More::Nothing, More::Lanes)
            }
        };
        Steps { all: otherwise.all, more }
    }

    fn lanes(&mut self, more: More) -> Option<ir::Value> {
        match more {
            More::Nothing => None,
            More::Each(mask, each) => {
                let each = self.builder.ins().iconst(I64, each);
                let lanes = self.builder.ins().splat(I64X2, each);
                Some(self.builder.ins().band(mask, lanes))
            }
            More::Lanes(lanes) => Some(lanes),
        }
    }

    fn either(&mut self, a: Option<ir::Value>, b: Option<ir::Value>) -> Option<ir::Value> {
        match (a, b) {
            (Some(a), Some(b)) => Some(self.builder.ins().bor(a, b)),
            (a, b) => a.or(b),
        }
    }

    /// Bits of `a` where the mask is set, else of `b`.
    fn choose(&mut self, mask: ir::Value, a: ir::Value, b: ir::Value) -> ir::Value {
        let flags = MemFlagsData::new().with_endianness(ir::Endianness::Little);
        let (a, b) =
            (self.builder.ins().bitcast(I64X2, flags, a), self.builder.ins().bitcast(I64X2, flags, b));
        let chosen = self.builder.ins().bitselect(mask, a, b);
        self.builder.ins().bitcast(F64X2, flags, chosen)
    }

    fn input(&mut self, at: usize) -> Option<Lanes> {
        debug_assert!(matches!(self.signature.kind(at), Kind::Float | Kind::Absent));
        let column = *self.columns.get(at)?.as_ref()?;
        let address = self.builder.ins().iadd(column, self.offset);
        Some(Lanes::Floats(self.builder.ins().load(F64X2, unaligned().with_readonly(), address, 0)))
    }

    fn constant(&mut self, index: u16) -> Result<Lanes, Refusal> {
        let facts = self.facts.get(usize::from(index)).ok_or(Refusal::NotCovered)?;
        match facts.kind {
            Some(Kind::Float) => {}
            Some(Kind::Int) if facts.is_small => {}
            _ => return Err(Refusal::NotCovered),
        }
        Ok(Lanes::Constant(self.splat(index, FLOAT_AT), index))
    }

    /// A word of a constant in all lanes.
    fn splat(&mut self, index: u16, at: i32) -> ir::Value {
        let at = i32::from(index) * CONSTANT_BYTES + at;
        let value = self.builder.ins().load(F64, constants(), self.constants, at);
        self.builder.ins().splat(F64X2, value)
    }

    fn floats(&self, value: Lanes) -> Result<ir::Value, Refusal> {
        match value {
            Lanes::Floats(floats) => Ok(floats),
            Lanes::Constant(floats, index) if self.fact(index).kind == Some(Kind::Float) => Ok(floats),
            _ => Err(Refusal::NotCovered),
        }
    }

    /// What is known of a constant that was loaded.
    fn fact(&self, index: u16) -> Facts {
        self.facts[usize::from(index)]
    }

    /// Two operands of which at least one is a float.
    fn operands(&self, a: Lanes, b: Lanes) -> Result<(ir::Value, ir::Value), Refusal> {
        match (a, b) {
            (Lanes::Floats(a), Lanes::Floats(b) | Lanes::Constant(b, _))
            | (Lanes::Constant(a, _), Lanes::Floats(b)) => Ok((a, b)),
            _ => Err(Refusal::NotCovered),
        }
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        left: Lanes,
        right: Lanes,
    ) -> Result<(Lanes, Option<ir::Value>), Refusal> {
        let (a, b) = self.operands(left, right)?;
        let ins = self.builder.ins();
        let value = match op {
            BinaryOp::Add => ins.fadd(a, b),
            BinaryOp::Subtract => ins.fsub(a, b),
            BinaryOp::Multiply => ins.fmul(a, b),
            BinaryOp::Divide => {
                if let Lanes::Constant(_, index) = right {
                    let facts = self.fact(index);
                    if facts.is_power_of_two {
                        let reciprocal = self.splat(index, RECIPROCAL_AT);
                        return Ok((Lanes::Floats(self.builder.ins().fmul(a, reciprocal)), None));
                    }
                    if facts.is_nonzero {
                        return Ok((Lanes::Floats(self.builder.ins().fdiv(a, b)), None));
                    }
                }
                let zero = self.builder.ins().f64const(0.0);
                let zeros = self.builder.ins().splat(F64X2, zero);
                let failed = self.builder.ins().fcmp(FloatCC::Equal, b, zeros);
                return Ok((Lanes::Floats(self.builder.ins().fdiv(a, b)), Some(failed)));
            }
            _ => return Err(Refusal::NotCovered),
        };
        Ok((Lanes::Floats(value), None))
    }

    fn compare(&mut self, op: CompareOp, a: Lanes, b: Lanes) -> Result<Lanes, Refusal> {
        let (a, b) = self.operands(a, b)?;
        let condition = match op {
            CompareOp::Equal => FloatCC::Equal,
            CompareOp::NotEqual => FloatCC::NotEqual,
            CompareOp::Less => FloatCC::LessThan,
            CompareOp::LessOrEqual => FloatCC::LessThanOrEqual,
            CompareOp::Greater => FloatCC::GreaterThan,
            CompareOp::GreaterOrEqual => FloatCC::GreaterThanOrEqual,
            _ => return Err(Refusal::NotCovered),
        };
        Ok(Lanes::Mask(self.builder.ins().fcmp(condition, a, b)))
    }

    /// Where lanes are infinite or NaN.
    fn not_finite(&mut self, value: ir::Value) -> ir::Value {
        // An infinity less itself is NaN.
        let difference = self.builder.ins().fsub(value, value);
        self.builder.ins().fcmp(FloatCC::NotEqual, difference, difference)
    }
}

fn pop(stack: &mut Vec<Lanes>) -> Result<Lanes, Refusal> {
    stack.pop().ok_or(Refusal::NotCovered)
}
