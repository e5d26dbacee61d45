//! Instructions of a template to machine code, for one signature.
//!
//! The kinds of all values on the stack are known at every instruction, because those of inputs and constants are. Where ways
//! meet with different kinds (`x if x > 0 else 0` with a float `x`), what follows is compiled once for each: a
//! [`Version`] is an instruction with the kinds on the stack before it. Formulas without loops only jump forward, so this
//! ends; [`VERSIONS_MAX`] bounds it.
//!
//! Each way to a result carries the steps that it costs. What is not covered is compiled as handing over to the
//! interpreter, so that `x * 2 if x > 0 else str(x)` is fast where it can be.

mod calls;
mod operators;
mod rows;
mod wide;

use crate::kind::{CONSTANT_WORDS, Facts, INPUTS_MAX, Kind, Signature};
use crate::support;
use butterflyfx_formula::code::{Code, MATH_CONSTANTS, Op};
use butterflyfx_formula::math;
use cranelift_codegen::Context;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F64, I64};
use cranelift_codegen::ir::{
    self, AbiParam, Block, BlockArg, Function, InstBuilder, MemFlagsData, SigRef, UserFuncName,
};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa, TargetFrontendConfig};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext};
use smallvec::SmallVec;
use std::collections::HashMap;
use std::fmt;

/// Versions of instructions that a formula may be compiled to. Each is a block of a few instructions.
const VERSIONS_MAX: usize = 256;

/// Bytes of machine code a formula may have.
pub const CODE_BYTES_MAX: usize = 64 * 1024;

/// In the low byte of the second result: the interpreter has to do it. Else the [`Kind`] of the first.
pub const HANDED_OVER: u8 = 0xFF;

/// How far the steps are shifted in the second result.
pub(crate) const STEPS_SHIFT: u32 = 8;

/// Bytes of a constant, and where in them its float and its reciprocal are.
const CONSTANT_BYTES: i32 = 8 * CONSTANT_WORDS as i32;
const FLOAT_AT: i32 = 8;
const RECIPROCAL_AT: i32 = 16;

pub use wide::WIDE_ROWS;

/// Why there is no machine code.
#[derive(Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Every way through the formula meets something that is not covered.
    NotCovered,
    /// It would be more code than a formula may have.
    TooLarge,
    /// The machine or the code generator.
    Generator(String),
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::NotCovered => out.write_str("machine code does not cover this formula"),
            Refusal::TooLarge => out.write_str("the formula would be too much machine code"),
            Refusal::Generator(why) => write!(out, "no machine code: {why}"),
        }
    }
}

impl std::error::Error for Refusal {}

/// Position-independent code with nothing to relocate, and the most steps that it may count.
#[derive(Debug)]
pub struct Assembled {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// No way through it takes more steps.
    pub steps_max: u64,
}

/// Compiles; keeps its buffers between formulas.
pub struct Compiler {
    isa: OwnedTargetIsa,
    context: Context,
    buffers: FunctionBuilderContext,
    control: ControlPlane,
}

impl fmt::Debug for Compiler {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Compiler").finish_non_exhaustive()
    }
}

impl Compiler {
    /// A compiler for the machine that it runs on.
    ///
    /// # Errors
    /// [`Refusal::Generator`] where there is no code generator for it.
    pub fn new() -> Result<Compiler, Refusal> {
        let generator = |error: &dyn fmt::Display| Refusal::Generator(error.to_string());
        let mut flags = settings::builder();
        // What is compiled runs unchecked, so that it is worth thirty microseconds to have it verified.
        for (name, value) in [("opt_level", "speed"), ("enable_verifier", "true")] {
            flags.set(name, value).map_err(|error| generator(&error))?;
        }
        let isa = cranelift_native::builder()
            .map_err(|error| generator(&error))?
            .finish(settings::Flags::new(flags))
            .map_err(|error| generator(&error))?;
        if isa.pointer_type() != I64 || isa.default_call_conv() != CallConv::SystemV {
            return Err(Refusal::Generator(
                "only 64-bit systems with the System V convention are covered".into(),
            ));
        }
        Ok(Compiler {
            isa,
            context: Context::new(),
            buffers: FunctionBuilderContext::new(),
            control: ControlPlane::default(),
        })
    }

    /// Compiles `fn(inputs, constants) -> (payload, kind | steps << 8)`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn compile(
        &mut self,
        code: Code<'_>,
        signature: Signature,
        facts: &[Facts],
    ) -> Result<Assembled, Refusal> {
        self.function(entry_signature(), code, facts, |function, buffers, config| {
            Emitter::single(function, buffers, code, signature, facts).emit(config)
        })
    }

    /// Compiles the same for many rows: `fn(columns, constants, payloads, kinds, rows) -> steps`. A row that is handed over
    /// has [`HANDED_OVER`] for its kind.
    ///
    /// # Errors
    /// Why there is none.
    pub fn compile_rows(
        &mut self,
        code: Code<'_>,
        signature: Signature,
        facts: &[Facts],
    ) -> Result<Assembled, Refusal> {
        self.function(rows::signature(), code, facts, |function, buffers, config| {
            Emitter::rows(function, buffers, code, signature, facts).emit(config)
        })
    }

    /// Compiles the same for floats alone, several rows at once without a branch: `fn(columns, constants, results, rows) -> (steps,
    /// failures)`, where rows are a multiple of [`WIDE_ROWS`] and all results are floats. Where something failed, some
    /// rows have to be handed over.
    ///
    /// # Errors
    /// Why there is none.
    pub fn compile_wide(
        &mut self,
        code: Code<'_>,
        signature: Signature,
        facts: &[Facts],
    ) -> Result<Assembled, Refusal> {
        self.function(wide::signature(), code, facts, |function, buffers, config| {
            wide::emit(function, buffers, config, code, signature, facts)
        })
    }

    /// Compiles what `emit` makes of a function of a form; it gives the most steps.
    fn function(
        &mut self,
        form: ir::Signature,
        code: Code<'_>,
        facts: &[Facts],
        emit: impl FnOnce(
            &mut Function,
            &mut FunctionBuilderContext,
            TargetFrontendConfig,
        ) -> Result<u64, Refusal>,
    ) -> Result<Assembled, Refusal> {
        if code.parameters.len() + code.names.len() > INPUTS_MAX || facts.len() != code.constants {
            return Err(Refusal::NotCovered);
        }
        let mut function = Function::with_name_signature(UserFuncName::default(), form);
        // A refusal leaves them with half a function, which would become part of the next one.
        let mut buffers = std::mem::take(&mut self.buffers);
        let steps_max = emit(&mut function, &mut buffers, self.isa.frontend_config())?;
        self.buffers = buffers;
        self.context.clear();
        self.context.func = function;
        let compiled = self
            .context
            .compile(&*self.isa, &mut self.control)
            .map_err(|error| Refusal::Generator(error.inner.to_string()))?;
        if !compiled.buffer.relocs().is_empty() {
            // An instruction that this processor lacks would call a function of a library.
            return Err(Refusal::Generator("the processor lacks an instruction".into()));
        }
        let bytes = compiled.code_buffer().to_vec();
        if bytes.len() > CODE_BYTES_MAX { Err(Refusal::TooLarge) } else { Ok(Assembled { bytes, steps_max }) }
    }
}

fn entry_signature() -> ir::Signature {
    let mut signature = ir::Signature::new(CallConv::SystemV);
    signature.params.extend([AbiParam::new(I64), AbiParam::new(I64)]);
    signature.returns.extend([AbiParam::new(I64), AbiParam::new(I64)]);
    signature
}

/// How constants are loaded: all of them are there from the beginning to the end, so that it may be done before a loop, and once.
fn constants() -> MemFlagsData {
    MemFlagsData::trusted().with_readonly().with_can_move()
}

/// An instruction with the kinds of the stack before it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Version {
    at: u32,
    kinds: SmallVec<[Kind; 8]>,
}

/// What the code knows of a value on the stack.
#[derive(Clone, Copy, Debug)]
struct Entry {
    kind: Kind,
    /// An `I64` or `F64` by its kind; nothing for `None`.
    value: Option<ir::Value>,
    /// Where it is a bool that was just computed: 0 or not, in the form that branches take.
    truth: Option<ir::Value>,
    /// Where it is a constant: its number.
    constant: Option<u16>,
    is_small: bool,
    is_nonzero: bool,
}

impl Entry {
    fn new(kind: Kind, value: ir::Value) -> Entry {
        Entry {
            kind,
            value: Some(value),
            truth: None,
            constant: None,
            is_small: kind == Kind::Bool,
            is_nonzero: false,
        }
    }

    const NONE: Entry = Entry {
        kind: Kind::None,
        value: None,
        truth: None,
        constant: None,
        is_small: false,
        is_nonzero: false,
    };
}

/// The way ends here: the interpreter has to do it.
struct HandOver;

type Emitted<T> = Result<T, HandOver>;

/// What is known of a condition.
#[derive(Clone, Copy)]
enum Truth {
    Known(bool),
    Computed(ir::Value),
}

struct Emitter<'a, 'b> {
    builder: FunctionBuilder<'b>,
    code: Code<'a>,
    signature: Signature,
    facts: &'a [Facts],
    place: Place,
    constants: ir::Value,
    hand_over: Block,
    versions: HashMap<Version, Block>,
    waiting: Vec<Version>,
    signatures: HashMap<support::Form, SigRef>,
    stack: Vec<Entry>,
    /// Steps of the way so far, and those since that were not added yet.
    steps: ir::Value,
    steps_pending: i64,
    /// The sum of all instructions' steps: no way takes more.
    steps_max: u64,
    results: usize,
}

/// Where inputs come from and where results go.
enum Place {
    /// One invocation: payloads one behind the other, and two registers.
    Single { inputs: ir::Value },
    /// A loop over rows.
    Rows(rows::Loop),
}

impl<'a, 'b> Emitter<'a, 'b> {
    fn single(
        function: &'b mut Function,
        buffers: &'b mut FunctionBuilderContext,
        code: Code<'a>,
        signature: Signature,
        facts: &'a [Facts],
    ) -> Emitter<'a, 'b> {
        let mut builder = FunctionBuilder::new(function, buffers);
        let entry = builder.create_block();
        builder.append_block_params_for_function_params(entry);
        builder.switch_to_block(entry);
        let (inputs, constants) = (builder.block_params(entry)[0], builder.block_params(entry)[1]);
        let steps = builder.ins().iconst(I64, 0);
        Emitter::new(builder, code, signature, facts, Place::Single { inputs }, constants, steps)
    }

    fn new(
        mut builder: FunctionBuilder<'b>,
        code: Code<'a>,
        signature: Signature,
        facts: &'a [Facts],
        place: Place,
        constants: ir::Value,
        steps: ir::Value,
    ) -> Emitter<'a, 'b> {
        let hand_over = builder.create_block();
        builder.set_cold_block(hand_over);
        Emitter {
            builder,
            code,
            signature,
            facts,
            place,
            constants,
            hand_over,
            versions: HashMap::new(),
            waiting: Vec::new(),
            signatures: HashMap::new(),
            stack: Vec::new(),
            steps,
            steps_pending: 0,
            steps_max: 0,
            results: 0,
        }
    }

    /// Emits all that can be reached; gives the most steps.
    fn emit(mut self, config: TargetFrontendConfig) -> Result<u64, Refusal> {
        // The first version goes on in the entry block.
        self.version(0);
        while let Some(version) = self.waiting.pop() {
            if self.versions.len() > VERSIONS_MAX {
                return Err(Refusal::TooLarge);
            }
            let block = self.versions[&version];
            self.builder.switch_to_block(block);
            let parameters: SmallVec<[ir::Value; 8]> = self.builder.block_params(block).into();
            let mut values = parameters.into_iter();
            self.stack.clear();
            for kind in &version.kinds {
                self.stack.push(match kind {
                    Kind::None | Kind::Absent => Entry::NONE,
                    kind => Entry::new(*kind, values.next().unwrap_or(self.steps)),
                });
            }
            self.steps = values.next().unwrap_or(self.steps);
            self.steps_pending = 0;
            self.version(version.at as usize);
        }
        if self.results == 0 {
            return Err(Refusal::NotCovered);
        }
        self.builder.switch_to_block(self.hand_over);
        let nothing = self.builder.ins().iconst(I64, 0);
        let handed_over = self.builder.ins().iconst(I64, i64::from(HANDED_OVER));
        self.put(nothing, handed_over, nothing);
        self.builder.seal_all_blocks();
        self.builder.finalize(config);
        Ok(self.steps_max)
    }

    /// Emits from an instruction to where the way ends or divides.
    fn version(&mut self, from: usize) {
        let mut at = from;
        loop {
            let Some(&op) = self.code.ops.get(at) else { break self.end() };
            self.pay(1);
            match self.instruction(op, at) {
                Ok(true) => at += 1,
                Ok(false) => break,
                Err(HandOver) => break self.end(),
            }
        }
    }

    fn end(&mut self) {
        self.builder.ins().jump(self.hand_over, &[]);
    }

    fn pay(&mut self, steps: i64) {
        self.steps_pending += steps;
        self.steps_max += steps.unsigned_abs();
    }

    /// Emits one instruction; whether the next one follows.
    fn instruction(&mut self, op: Op, at: usize) -> Emitted<bool> {
        let next = at as u32 + 1;
        match op {
            Op::Constant(index) => {
                let entry = self.constant(index)?;
                self.stack.push(entry);
            }
            Op::Nothing => self.stack.push(Entry::NONE),
            Op::MathConstant(index) => {
                let name = MATH_CONSTANTS.get(usize::from(index)).copied().unwrap_or_default();
                let constant = math::constant(name).filter(|x| !x.is_nan()).ok_or(HandOver)?;
                let value = self.builder.ins().f64const(constant);
                self.stack.push(Entry { is_nonzero: true, ..Entry::new(Kind::Float, value) });
            }
            Op::Local(slot) if usize::from(slot) < self.code.parameters.len() => {
                let entry = self.input(usize::from(slot));
                self.stack.push(entry.ok_or(HandOver)?);
            }
            Op::KeywordOrConstant { name, constant } => {
                let entry = match self.keyword(name) {
                    Some(entry) => entry,
                    None => self.constant(constant)?,
                };
                self.stack.push(entry);
            }
            Op::KeywordOr(name) => {
                if let Some(entry) = self.keyword(name) {
                    self.pop()?;
                    self.stack.push(entry);
                }
            }
            Op::KeywordOrNone(name) => {
                let entry = self.keyword(name).unwrap_or(Entry::NONE);
                self.stack.push(entry);
            }
            Op::Keyword(name) => {
                let entry = self.keyword(name).ok_or(HandOver)?;
                self.stack.push(entry);
            }
            Op::Unary(op) => {
                let operand = self.pop()?;
                let entry = self.unary(op, operand)?;
                self.stack.push(entry);
            }
            Op::Not => {
                let operand = self.pop()?;
                let truth = match self.truth(operand) {
                    Truth::Known(holds) => Truth::Known(!holds),
                    Truth::Computed(value) => {
                        Truth::Computed(self.builder.ins().icmp_imm_s(IntCC::Equal, value, 0))
                    }
                };
                let entry = self.bool(truth);
                self.stack.push(entry);
            }
            Op::Binary(op) => {
                let (right, left) = (self.pop()?, self.pop()?);
                let entry = self.binary(op, left, right)?;
                self.stack.push(entry);
            }
            Op::Compare(op) => {
                let (right, left) = (self.pop()?, self.pop()?);
                let truth = self.compare(op, left, right)?;
                let entry = self.bool(truth);
                self.stack.push(entry);
            }
            Op::CompareChain(op, target) => {
                let (right, left) = (self.pop()?, self.pop()?);
                let truth = self.compare(op, left, right)?;
                self.divide(truth, (next, right), (target, Truth::Known(false)));
                return Ok(false);
            }
            Op::Jump(target) => {
                self.go(target);
                return Ok(false);
            }
            Op::JumpIfFalse(target) => {
                let condition = self.pop()?;
                match self.truth(condition) {
                    Truth::Known(holds) => self.go(if holds { next } else { target }),
                    Truth::Computed(value) => {
                        let (then, arguments) = self.block(next);
                        let (otherwise, others) = self.block(target);
                        self.builder.ins().brif(value, then, &arguments, otherwise, &others);
                    }
                }
                return Ok(false);
            }
            Op::JumpIfFalseOrPop(target) | Op::JumpIfTrueOrPop(target) => {
                let jumps_if = matches!(op, Op::JumpIfTrueOrPop(_));
                let value = self.pop()?;
                match self.truth(value) {
                    Truth::Known(holds) if holds == jumps_if => {
                        self.stack.push(value);
                        self.go(target);
                    }
                    Truth::Known(_) => self.go(next),
                    Truth::Computed(condition) => {
                        let (on, arguments) = self.block(next);
                        self.stack.push(value);
                        let (away, others) = self.block(target);
                        let ins = self.builder.ins();
                        if jumps_if {
                            ins.brif(condition, away, &others, on, &arguments);
                        } else {
                            ins.brif(condition, on, &arguments, away, &others);
                        }
                    }
                }
                return Ok(false);
            }
            Op::CallBuiltin(builtin, count) => return self.call_builtin(builtin, usize::from(count), next),
            Op::CallMath(function, count) => self.call_math(function, usize::from(count))?,
            Op::Return => {
                let result = self.pop()?;
                self.result(result);
                return Ok(false);
            }
            _ => return Err(HandOver),
        }
        Ok(true)
    }

    fn pop(&mut self) -> Emitted<Entry> {
        self.stack.pop().ok_or(HandOver)
    }

    /// Goes to two instructions: to one with a value on top, to the other with a known bool.
    fn divide(&mut self, truth: Truth, (on, value): (u32, Entry), (away, known): (u32, Truth)) {
        let known = self.bool(known);
        match truth {
            Truth::Known(holds) => {
                self.stack.push(if holds { value } else { known });
                self.go(if holds { on } else { away });
            }
            Truth::Computed(condition) => {
                self.stack.push(value);
                let (on, arguments) = self.block(on);
                self.stack.pop();
                self.stack.push(known);
                let (away, others) = self.block(away);
                self.builder.ins().brif(condition, on, &arguments, away, &others);
            }
        }
    }

    fn go(&mut self, target: u32) {
        let (block, arguments) = self.block(target);
        self.builder.ins().jump(block, &arguments);
    }

    /// The block of an instruction with the stack as it is, and what to hand to it.
    fn block(&mut self, at: u32) -> (Block, SmallVec<[BlockArg; 8]>) {
        let version = Version { at, kinds: self.stack.iter().map(|entry| entry.kind).collect() };
        let mut arguments: SmallVec<[BlockArg; 8]> =
            self.stack.iter().filter_map(|entry| entry.value).map(BlockArg::Value).collect();
        let steps = self.steps_so_far();
        arguments.push(BlockArg::Value(steps));
        if let Some(&block) = self.versions.get(&version) {
            return (block, arguments);
        }
        let block = self.builder.create_block();
        for kind in &version.kinds {
            match kind {
                Kind::None | Kind::Absent => {}
                Kind::Float => drop(self.builder.append_block_param(block, F64)),
                Kind::Bool | Kind::Int => drop(self.builder.append_block_param(block, I64)),
            }
        }
        self.builder.append_block_param(block, I64);
        self.versions.insert(version.clone(), block);
        self.waiting.push(version);
        (block, arguments)
    }

    fn steps_so_far(&mut self) -> ir::Value {
        self.builder.ins().iadd_imm_s(self.steps, self.steps_pending)
    }

    fn result(&mut self, entry: Entry) {
        self.results += 1;
        let steps = self.steps_so_far();
        let kind = self.builder.ins().iconst(I64, entry.kind as i64);
        let payload = match (entry.kind, entry.value) {
            (Kind::Float, Some(value)) => self.builder.ins().bitcast(I64, MemFlagsData::new(), value),
            (_, Some(value)) => value,
            (_, None) => self.builder.ins().iconst(I64, 0),
        };
        self.put(payload, kind, steps);
    }

    /// Hands a result out; the way ends here.
    fn put(&mut self, payload: ir::Value, kind: ir::Value, steps: ir::Value) {
        match &self.place {
            Place::Single { .. } => {
                let steps = self.builder.ins().ishl_imm_u(steps, i64::from(STEPS_SHIFT));
                let told = self.builder.ins().bor(steps, kind);
                self.builder.ins().return_(&[payload, told]);
            }
            Place::Rows(rows) => rows.put(&mut self.builder, payload, kind, steps),
        }
    }

    /// Ends the way where a condition holds.
    fn hand_over_if(&mut self, condition: ir::Value) {
        let on = self.builder.create_block();
        self.builder.ins().brif(condition, self.hand_over, &[], on, &[]);
        self.builder.switch_to_block(on);
    }

    /// An input; `None` where it is not given.
    fn input(&mut self, at: usize) -> Option<Entry> {
        let kind = self.signature.kind(at);
        match kind {
            Kind::Absent => None,
            Kind::None => Some(Entry::NONE),
            _ => {
                let value = match &self.place {
                    Place::Single { inputs } => self.load(kind, *inputs, at as i32 * 8),
                    Place::Rows(rows) => {
                        let address = rows.address(&mut self.builder, at)?;
                        self.load(kind, address, 0)
                    }
                };
                Some(Entry::new(kind, value))
            }
        }
    }

    /// The parameter of `**kw` with a name; `None` where it is not given.
    fn keyword(&mut self, name: u16) -> Option<Entry> {
        self.input(self.code.parameters.len() + usize::from(name))
    }

    fn constant(&mut self, index: u16) -> Emitted<Entry> {
        let facts = self.facts.get(usize::from(index)).ok_or(HandOver)?;
        let kind = facts.kind.ok_or(HandOver)?;
        if kind == Kind::None {
            return Ok(Entry::NONE);
        }
        let value = self.load_constant(kind, index, 0);
        Ok(Entry {
            constant: Some(index),
            is_small: facts.is_small,
            is_nonzero: facts.is_nonzero,
            ..Entry::new(kind, value)
        })
    }

    /// A word of a constant.
    fn load_constant(&mut self, kind: Kind, index: u16, at: i32) -> ir::Value {
        let of = if kind == Kind::Float { F64 } else { I64 };
        let at = i32::from(index) * CONSTANT_BYTES + at;
        self.builder.ins().load(of, constants(), self.constants, at)
    }

    /// A payload out of memory that nobody changes meanwhile.
    fn load(&mut self, kind: Kind, from: ir::Value, offset: i32) -> ir::Value {
        let of = if kind == Kind::Float { F64 } else { I64 };
        self.builder.ins().load(of, MemFlagsData::trusted().with_readonly(), from, offset)
    }

    /// Whether Python takes a value for true.
    fn truth(&mut self, entry: Entry) -> Truth {
        let Some(value) = entry.value else { return Truth::Known(false) };
        if let Some(truth) = entry.truth {
            return Truth::Computed(truth);
        }
        Truth::Computed(self.is_nonzero(entry.kind, value))
    }

    /// A bool as a value.
    fn bool(&mut self, truth: Truth) -> Entry {
        match truth {
            Truth::Known(holds) => {
                let value = self.builder.ins().iconst(I64, i64::from(holds));
                Entry { is_nonzero: holds, ..Entry::new(Kind::Bool, value) }
            }
            Truth::Computed(condition) => {
                let value = self.builder.ins().uextend(I64, condition);
                Entry { truth: Some(condition), ..Entry::new(Kind::Bool, value) }
            }
        }
    }

    /// Calls one of our own functions.
    fn call(&mut self, helper: support::Helper, arguments: &[ir::Value]) -> SmallVec<[ir::Value; 2]> {
        let form = helper.form;
        let signature = match self.signatures.get(&form) {
            Some(&signature) => signature,
            None => {
                let mut signature = ir::Signature::new(CallConv::SystemV);
                let (takes, gives) = form.types();
                signature.params.extend(takes.iter().map(|one| AbiParam::new(*one)));
                signature.returns.extend(gives.iter().map(|one| AbiParam::new(*one)));
                let signature = self.builder.import_signature(signature);
                self.signatures.insert(form, signature);
                signature
            }
        };
        let address = self.builder.ins().iconst(I64, helper.address as i64);
        let call = self.builder.ins().call_indirect(signature, address, arguments);
        self.builder.inst_results(call).into()
    }
}
