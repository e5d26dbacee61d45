//! What machine code is specialised to: the kinds of a formula's inputs and constants.

use butterflyfx_formula::code::{Code, Op};
use butterflyfx_formula::operate::BinaryOp;
use butterflyfx_formula::value::Value;

/// The kind of a value that machine code knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Not given: a name that is read from `**kw` and is not there.
    Absent = 0,
    /// `None`
    None = 1,
    /// `True`, `False`
    Bool = 2,
    /// An int that fits in 64 bits.
    Int = 3,
    /// A float.
    Float = 4,
}

/// Inputs that a [`Signature`] has room for. A formula with more runs interpreted.
pub const INPUTS_MAX: usize = 21;

/// Bits of a kind in a signature.
const KIND_BITS: usize = 3;

impl Kind {
    /// Kind and payload of a value; `None` where machine code does not know such values.
    #[inline]
    pub fn of(value: &Value) -> Option<(Kind, u64)> {
        match value {
            Value::Int(x) => Some((Kind::Int, x.cast_unsigned())),
            Value::Float(x) => Some((Kind::Float, x.to_bits())),
            Value::Bool(x) => Some((Kind::Bool, u64::from(*x))),
            Value::None => Some((Kind::None, 0)),
            _ => None,
        }
    }

    /// The value of this kind with that payload.
    #[inline]
    pub fn value(self, payload: u64) -> Value {
        match self {
            Kind::Absent | Kind::None => Value::None,
            Kind::Bool => Value::Bool(payload != 0),
            Kind::Int => Value::Int(payload.cast_signed()),
            Kind::Float => Value::Float(f64::from_bits(payload)),
        }
    }
}

/// The kinds of all inputs: parameters in the signature's order, then names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Signature(u64);

impl Signature {
    /// With input `at` of a kind; each is set once. `at` is below [`INPUTS_MAX`].
    #[inline]
    pub fn with(self, at: usize, kind: Kind) -> Signature {
        Signature(self.0 | (kind as u64) << (at * KIND_BITS))
    }

    /// The kind of input `at`.
    pub fn kind(self, at: usize) -> Kind {
        match self.0 >> (at * KIND_BITS) & 7 {
            1 => Kind::None,
            2 => Kind::Bool,
            3 => Kind::Int,
            4 => Kind::Float,
            _ => Kind::Absent,
        }
    }
}

/// What is known of a constant before it is loaded. Formulas of one template may differ in it, and then have
/// code of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Facts {
    /// Its kind; `None` where it is none of those, say a str.
    pub kind: Option<Kind>,
    /// An int of at most 53 bits: exact as a float.
    pub is_small: bool,
    /// Not zero.
    pub is_nonzero: bool,
    /// A power of two whose reciprocal is a float, too: dividing by it is multiplying, to the last bit.
    pub is_power_of_two: bool,
}

/// Ints up to here, and down to its negative, are exact as floats.
pub const EXACT_AS_FLOAT_MAX: i64 = 1 << 53;

impl Facts {
    /// What is known of a formula's constants. Whether one is zero or a power of two is told only where something is divided
    /// by it, so that formulas whose other constants differ share their code.
    pub fn of_constants(code: Code<'_>, constants: &[Value]) -> Box<[Facts]> {
        let is_divisor = Facts::divisors(code, constants.len());
        constants
            .iter()
            .zip(is_divisor)
            .map(|(constant, is_divisor)| Facts::of(constant, is_divisor))
            .collect()
    }

    /// For each constant, whether something is divided by it.
    pub fn divisors(code: Code<'_>, constants: usize) -> Box<[bool]> {
        let mut is_divisor = vec![false; constants];
        for pair in code.ops.windows(2) {
            let (&[Op::Constant(index), next] | &[Op::KeywordOrConstant { constant: index, .. }, next]) =
                pair
            else {
                continue;
            };
            let divides =
                matches!(next, Op::Binary(BinaryOp::Divide | BinaryOp::FloorDivide | BinaryOp::Modulo));
            if let Some(is_divisor) = is_divisor.get_mut(usize::from(index)) {
                *is_divisor |= divides;
            }
        }
        is_divisor.into()
    }

    /// What is known of a constant.
    pub fn of(value: &Value, is_divisor: bool) -> Facts {
        let kind = Kind::of(value).map(|(kind, _)| kind);
        let (is_small, is_nonzero) = match value {
            Value::Int(x) => (x.unsigned_abs() <= EXACT_AS_FLOAT_MAX.cast_unsigned(), *x != 0),
            Value::Float(x) => (false, *x != 0.0),
            Value::Bool(x) => (true, *x),
            _ => (false, false),
        };
        if !is_divisor {
            return Facts { kind, is_small, is_nonzero: false, is_power_of_two: false };
        }
        let is_power_of_two = is_small || kind == Some(Kind::Float);
        let is_power_of_two = is_power_of_two && has_exact_reciprocal(as_float(value));
        Facts { kind, is_small, is_nonzero, is_power_of_two }
    }
}

/// Whether a float is a power of two, and so is its reciprocal, both of full precision.
fn has_exact_reciprocal(x: f64) -> bool {
    const FRACTION_BITS: u32 = f64::MANTISSA_DIGITS - 1;
    x.is_normal() && x.recip().is_normal() && x.to_bits() << (u64::BITS - FRACTION_BITS) == 0
}

/// A number as a float; 0 for what is none.
fn as_float(value: &Value) -> f64 {
    match value {
        Value::Int(x) => *x as f64,
        Value::Float(x) => *x,
        Value::Bool(x) => f64::from(u8::from(*x)),
        _ => 0.0,
    }
}

/// Words of a constant as machine code loads it.
pub const CONSTANT_WORDS: usize = 3;

/// A formula's constants as machine code loads them: the payload of each, the same number as a float, and its
/// reciprocal.
pub fn payloads(constants: &[Value]) -> Box<[u64]> {
    constants.iter().flat_map(words_of).collect()
}

/// The words of one constant.
pub fn words_of(constant: &Value) -> [u64; CONSTANT_WORDS] {
    let (_, payload) = Kind::of(constant).unwrap_or((Kind::None, 0));
    let float = as_float(constant);
    [payload, float.to_bits(), float.recip().to_bits()]
}
