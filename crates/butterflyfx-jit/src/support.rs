//! Our own functions that machine code calls, where the processor has no instruction with Python's meaning.
//!
//! A function of floats that does not know the answer, or whose answer is an exception, gives NaN, and the caller
//! hands over. None of them unwinds.

use butterflyfx_formula::math::{self, MathFunction};
use butterflyfx_formula::number;
use butterflyfx_formula::operate::BinaryOp;
use cranelift_codegen::ir::Type;
use cranelift_codegen::ir::types::{F64, I64};

/// What a function takes and gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Form {
    Float,
    TwoFloats,
    TwoInts,
    FloatAndInt,
}

impl Form {
    pub(crate) fn types(self) -> (&'static [Type], &'static [Type]) {
        match self {
            Form::Float => (&[F64], &[F64]),
            Form::TwoFloats => (&[F64, F64], &[F64]),
            Form::TwoInts => (&[I64, I64], &[I64, I64]),
            Form::FloatAndInt => (&[F64, I64], &[F64, I64]),
        }
    }
}

/// A function as machine code calls it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Helper {
    pub(crate) form: Form,
    pub(crate) address: usize,
}

/// An int, and 1 where it is the answer.
#[repr(C)]
struct MaybeInt {
    value: i64,
    is_known: i64,
}

/// A float, and the steps that it costs.
#[repr(C)]
struct Rounded {
    value: f64,
    steps: i64,
}

extern "C" fn power(a: i64, b: i64) -> MaybeInt {
    maybe(u32::try_from(b).ok().and_then(|b| a.checked_pow(b)))
}

/// `a ** b` of ints.
pub(crate) fn power_of_ints() -> Helper {
    Helper { form: Form::TwoInts, address: power as *const () as usize }
}

/// More steps than any `round(x, digits)` costs.
pub(crate) const ROUND_STEPS_MAX: u64 = 512;

extern "C" fn round_to(x: f64, digits: i64) -> Rounded {
    let (value, steps) = number::round_to_digits(x, digits.unsigned_abs());
    Rounded { value, steps: steps.cast_signed() }
}

/// `round(x, digits)` of a float with `digits >= 0`.
pub(crate) fn round() -> Helper {
    Helper { form: Form::FloatAndInt, address: round_to as *const () as usize }
}

fn of_two(function: extern "C" fn(f64, f64) -> f64) -> Helper {
    Helper { form: Form::TwoFloats, address: function as *const () as usize }
}

/// `//`, `%` and `**` of floats.
pub(crate) fn float_operator(op: BinaryOp) -> Option<Helper> {
    extern "C" fn floor_divide(a: f64, b: f64) -> f64 {
        number::binary_float(BinaryOp::FloorDivide, a, b).unwrap_or(f64::NAN)
    }
    extern "C" fn modulo(a: f64, b: f64) -> f64 {
        number::binary_float(BinaryOp::Modulo, a, b).unwrap_or(f64::NAN)
    }
    extern "C" fn power(a: f64, b: f64) -> f64 {
        number::binary_float(BinaryOp::Power, a, b).unwrap_or(f64::NAN)
    }
    match op {
        BinaryOp::FloorDivide => Some(of_two(floor_divide)),
        BinaryOp::Modulo => Some(of_two(modulo)),
        BinaryOp::Power => Some(of_two(power)),
        _ => None,
    }
}

/// Makes of each function one that machine code can call, and finds the address of the given one.
macro_rules! address {
    ($given:expr, $computed:ident $takes:tt: $($function:ident)*) => {
        match $given {
            $(MathFunction::$function => {
                address!(@callable call, $takes, $computed, $function);
                Some(call as *const () as usize)
            })*
            _ => None,
        }
    };
    (@callable $name:ident, one, $computed:ident, $function:ident) => {
        extern "C" fn $name(x: f64) -> f64 {
            math::$computed(MathFunction::$function, x).unwrap_or(f64::NAN)
        }
    };
    (@callable $name:ident, two, $computed:ident, $function:ident) => {
        extern "C" fn $name(x: f64, y: f64) -> f64 {
            math::$computed(MathFunction::$function, x, y).unwrap_or(f64::NAN)
        }
    };
}

/// A function of `math` of one float.
pub(crate) fn math_of_one(function: MathFunction) -> Option<Helper> {
    let address = address!(function, of_one_float one:
        Acos Acosh Asin Asinh Atan Atanh Cbrt Cos Cosh Erf Erfc Exp Exp2 Expm1 Gamma Lgamma Log Log10 Log1p Log2
        Sin Sinh Tan Tanh
    );
    address.map(|address| Helper { form: Form::Float, address })
}

fn maybe(value: Option<i64>) -> MaybeInt {
    MaybeInt { value: value.unwrap_or(0), is_known: i64::from(value.is_some()) }
}

/// A function of `math` of one int, which comes twice, or of two.
pub(crate) fn math_of_ints(function: MathFunction) -> Option<Helper> {
    extern "C" fn gcd(a: i64, b: i64) -> MaybeInt {
        maybe(math::of_two_ints(MathFunction::Gcd, a, b))
    }
    extern "C" fn lcm(a: i64, b: i64) -> MaybeInt {
        maybe(math::of_two_ints(MathFunction::Lcm, a, b))
    }
    extern "C" fn isqrt(n: i64, _: i64) -> MaybeInt {
        maybe(math::of_one_int(MathFunction::Isqrt, n))
    }
    extern "C" fn factorial(n: i64, _: i64) -> MaybeInt {
        maybe(math::of_one_int(MathFunction::Factorial, n))
    }
    let function: extern "C" fn(i64, i64) -> MaybeInt = match function {
        MathFunction::Gcd => gcd,
        MathFunction::Lcm => lcm,
        MathFunction::Isqrt => isqrt,
        MathFunction::Factorial => factorial,
        _ => return None,
    };
    Some(Helper { form: Form::TwoInts, address: function as *const () as usize })
}

/// A function of `math` of two floats.
pub(crate) fn math_of_two(function: MathFunction) -> Option<Helper> {
    let address = address!(function, of_two_floats two: Atan2 Fmod Hypot Log Pow Remainder);
    address.map(|address| Helper { form: Form::TwoFloats, address })
}
