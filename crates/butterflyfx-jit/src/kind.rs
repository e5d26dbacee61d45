//! What machine code is specialised to: the kinds of a formula's inputs and constants.

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
}

/// Ints up to here, and down to its negative, are exact as floats.
pub const EXACT_AS_FLOAT_MAX: i64 = 1 << 53;

impl Facts {
    /// What is known of a value.
    pub fn of(value: &Value) -> Facts {
        let kind = Kind::of(value).map(|(kind, _)| kind);
        let (is_small, is_nonzero) = match value {
            Value::Int(x) => (x.unsigned_abs() <= EXACT_AS_FLOAT_MAX.cast_unsigned(), *x != 0),
            Value::Float(x) => (false, *x != 0.0),
            Value::Bool(x) => (true, *x),
            _ => (false, false),
        };
        Facts { kind, is_small, is_nonzero }
    }
}

/// A formula's constants as machine code loads them: the payload of each, and behind it the same number as a float.
pub fn payloads(constants: &[Value]) -> Box<[u64]> {
    let both = constants.iter().flat_map(|constant| {
        let (_, payload) = Kind::of(constant).unwrap_or((Kind::None, 0));
        let float = match constant {
            Value::Int(x) => *x as f64,
            Value::Float(x) => *x,
            Value::Bool(x) => f64::from(u8::from(*x)),
            _ => 0.0,
        };
        [payload, float.to_bits()]
    });
    both.collect()
}
