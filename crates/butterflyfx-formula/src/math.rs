//! The functions and constants of `math`, as CPython 3.13 computes them: bit for bit.
//!
//! Most are the C library's, which CPython calls too; around them stand CPython's rules for
//! domain and range errors. What CPython computes itself is computed here the same way:
//! [`float`] (gamma, hypot, remainder, ...), [`integer`] (comb, isqrt, ...), [`sum`] (fsum).

mod float;
mod integer;
mod sum;

use crate::builtins::arguments::{self, Signature};
use crate::error::{Raise, Result};
use crate::interpret::{Arguments, Interpreter};
use crate::meter::Meter;
use crate::number;
use crate::operate::{self, BinaryOp};
use crate::value::Value;
use num_bigint::BigInt;
use num_traits::{FromPrimitive, Signed};
use std::f64::consts::PI;

/// Declares the functions once: variant and name.
macro_rules! functions {
    ($($variant:ident $name:literal,)*) => {
        /// A function of `math`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum MathFunction {
            $(#[doc = concat!("`math.", $name, "`")] $variant,)*
        }

        impl MathFunction {
            /// The function with this name, if the language has it.
            pub fn from_name(name: &str) -> Option<MathFunction> {
                match name {
                    $($name => Some(MathFunction::$variant),)*
                    _ => None,
                }
            }

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(MathFunction::$variant => $name,)*
                }
            }

            /// Its name with the module's, as messages about arguments have it.
            fn full_name(self) -> &'static str {
                match self {
                    $(MathFunction::$variant => concat!("math.", $name),)*
                }
            }

            /// The names of all functions, for advice in refusals.
            pub fn names() -> impl Iterator<Item = &'static str> {
                [$($name,)*].into_iter()
            }
        }
    };
}

functions! {
    Acos "acos",
    Acosh "acosh",
    Asin "asin",
    Asinh "asinh",
    Atan "atan",
    Atan2 "atan2",
    Atanh "atanh",
    Cbrt "cbrt",
    Ceil "ceil",
    Comb "comb",
    Copysign "copysign",
    Cos "cos",
    Cosh "cosh",
    Degrees "degrees",
    Dist "dist",
    Erf "erf",
    Erfc "erfc",
    Exp "exp",
    Exp2 "exp2",
    Expm1 "expm1",
    Fabs "fabs",
    Factorial "factorial",
    Floor "floor",
    Fmod "fmod",
    Fsum "fsum",
    Gamma "gamma",
    Gcd "gcd",
    Hypot "hypot",
    Isclose "isclose",
    Isfinite "isfinite",
    Isinf "isinf",
    Isnan "isnan",
    Isqrt "isqrt",
    Lcm "lcm",
    Lgamma "lgamma",
    Log "log",
    Log10 "log10",
    Log1p "log1p",
    Log2 "log2",
    Perm "perm",
    Pow "pow",
    Prod "prod",
    Radians "radians",
    Remainder "remainder",
    Sin "sin",
    Sinh "sinh",
    Sqrt "sqrt",
    Tan "tan",
    Tanh "tanh",
    Trunc "trunc",
}

/// The constant with this name: `pi e tau inf nan`. `nan` has the same bits each time, as
/// `math.nan` is one object in CPython, so do not pass it through [`Value::float`].
pub fn constant(name: &str) -> Option<f64> {
    match name {
        "pi" => Some(PI),
        "e" => Some(std::f64::consts::E),
        "tau" => Some(std::f64::consts::TAU),
        "inf" => Some(f64::INFINITY),
        "nan" => Some(f64::from_bits(0x7FF8_0000_0000_0000)),
        _ => None,
    }
}

/// What an infinite result of a finite argument means.
#[derive(Clone, Copy)]
enum Infinite {
    /// The function grew beyond a float: `OverflowError`.
    Overflow,
    /// The argument is a pole: `ValueError`.
    Pole,
}

/// What an infinite result means, and the computation.
type Elementary = (Infinite, fn(f64) -> f64);

/// Functions of one float that are one computation.
#[inline]
fn elementary(function: MathFunction) -> Option<Elementary> {
    use Infinite::{Overflow, Pole};
    use MathFunction as F;
    Some(match function {
        F::Acos => (Pole, f64::acos),
        F::Acosh => (Pole, float::acosh),
        F::Asin => (Pole, f64::asin),
        F::Asinh => (Pole, float::asinh),
        F::Atan => (Pole, f64::atan),
        F::Atanh => (Pole, float::atanh),
        F::Cbrt => (Pole, float::cbrt),
        F::Cos => (Pole, f64::cos),
        F::Cosh => (Overflow, f64::cosh),
        F::Erf => (Overflow, float::erf),
        F::Erfc => (Overflow, float::erfc),
        F::Exp => (Overflow, f64::exp),
        F::Exp2 => (Overflow, f64::exp2),
        F::Expm1 => (Overflow, f64::exp_m1),
        F::Fabs => (Pole, f64::abs),
        F::Log1p => (Pole, log1p),
        F::Sin => (Pole, f64::sin),
        F::Sinh => (Overflow, f64::sinh),
        F::Sqrt => (Pole, f64::sqrt),
        F::Tan => (Pole, f64::tan),
        F::Tanh => (Pole, f64::tanh),
        _ => return None,
    })
}

/// The C library's log1p loses the sign of zero on some systems.
fn log1p(x: f64) -> f64 {
    if x == 0.0 { x } else { x.ln_1p() }
}

/// A function of `math` of one float, for machine code: what it computes where it is finite. Not finite or `None` may also
/// be an exception, or not covered.
#[inline]
pub fn of_one_float(function: MathFunction, x: f64) -> Option<f64> {
    use MathFunction as F;
    let logarithm = |log: fn(f64) -> f64| (x > 0.0 && x.is_finite()).then(|| log(x));
    match function {
        F::Gamma => float::gamma(x).ok(),
        F::Lgamma => float::lgamma(x).ok(),
        F::Log => logarithm(f64::ln),
        F::Log2 => logarithm(f64::log2),
        F::Log10 => logarithm(f64::log10),
        _ => elementary(function).map(|(_, compute)| compute(x)),
    }
}

/// A function of `math` of two floats, as [`of_one_float`].
#[inline]
pub fn of_two_floats(function: MathFunction, x: f64, y: f64) -> Option<f64> {
    use MathFunction as F;
    match function {
        F::Atan2 => Some(float::atan2(x, y)),
        F::Fmod => float::fmod(x, y).ok(),
        F::Pow => float::pow(x, y).ok(),
        F::Remainder => Some(float::remainder(x, y)),
        F::Hypot => Some(float::vector_norm(&mut [x.abs(), y.abs()])),
        F::Log => {
            let (log, base) = (of_one_float(F::Log, x)?, of_one_float(F::Log, y)?);
            (base != 0.0).then(|| log / base)
        }
        _ => None,
    }
}

/// A function of `math` of one int, for machine code; `None` where it is an exception, too large, charged beyond its
/// call, or not covered.
#[inline]
pub fn of_one_int(function: MathFunction, n: i64) -> Option<i64> {
    match function {
        MathFunction::Isqrt => n.checked_isqrt(),
        MathFunction::Factorial => integer::small_factorial(n.try_into().ok()?),
        _ => None,
    }
}

/// A function of `math` of two ints, as [`of_one_int`]. Both charge a step for each.
#[inline]
pub fn of_two_ints(function: MathFunction, a: i64, b: i64) -> Option<i64> {
    match function {
        MathFunction::Gcd => integer::small_gcd(a, b),
        MathFunction::Lcm => integer::small_lcm(a, b),
        _ => None,
    }
}

/// Calls a function of `math`.
///
/// # Errors
/// CPython's exceptions for wrong arguments; a limit.
pub fn call(vm: &mut Interpreter, function: MathFunction, arguments: Arguments<'_>) -> Result<Value> {
    use MathFunction as F;
    let meter = &mut vm.meter;
    match function {
        F::Degrees => Ok(Value::float(only_float(function, arguments)? * (180.0 / PI))),
        F::Radians => Ok(Value::float(only_float(function, arguments)? * (PI / 180.0))),
        F::Isfinite => Ok(Value::Bool(only_float(function, arguments)?.is_finite())),
        F::Isinf => Ok(Value::Bool(only_float(function, arguments)?.is_infinite())),
        F::Isnan => Ok(Value::Bool(only_float(function, arguments)?.is_nan())),
        F::Gamma => float::gamma(only_float(function, arguments)?).map(Value::float),
        F::Lgamma => float::lgamma(only_float(function, arguments)?).map(Value::float),
        F::Atan2 => binary(function, arguments, float::atan2),
        F::Copysign => binary(function, arguments, f64::copysign),
        F::Remainder => binary(function, arguments, float::remainder),
        F::Fmod => {
            let [x, y] = two_floats(function, arguments)?;
            float::fmod(x, y).map(Value::float)
        }
        F::Pow => {
            let [x, y] = two_floats(function, arguments)?;
            float::pow(x, y).map(Value::float)
        }
        F::Log => log(arguments),
        F::Log2 => log_of(arguments::one(function.full_name(), arguments)?, f64::log2).map(Value::float),
        F::Log10 => log_of(arguments::one(function.full_name(), arguments)?, f64::log10).map(Value::float),
        F::Floor => whole(meter, function, arguments, f64::floor),
        F::Ceil => whole(meter, function, arguments, f64::ceil),
        F::Trunc => trunc(meter, arguments),
        F::Isclose => isclose(arguments),
        F::Hypot => hypot(meter, arguments),
        F::Dist => dist(vm, arguments),
        F::Fsum => fsum(vm, arguments),
        F::Prod => prod(vm, arguments),
        F::Gcd | F::Lcm => {
            arguments::no_keywords(function.full_name(), arguments)?;
            let numbers = arguments.positional;
            if function == F::Gcd { integer::gcd(meter, numbers) } else { integer::lcm(meter, numbers) }
        }
        F::Isqrt => integer::isqrt(meter, arguments::one(function.full_name(), arguments)?),
        F::Factorial => integer::factorial(meter, arguments::one(function.full_name(), arguments)?),
        F::Comb => {
            let [n, k] = arguments::positional(function.full_name(), arguments, 2)?;
            integer::comb(meter, n.unwrap_or(&Value::None), k.unwrap_or(&Value::None))
        }
        F::Perm => {
            let [n, k] = arguments::positional(function.full_name(), arguments, 1)?;
            integer::perm(meter, n.unwrap_or(&Value::None), k.unwrap_or(&Value::None))
        }
        _ => {
            // All others are: a name without a computation is found by the first test that calls it.
            let (infinite, compute) = elementary(function).ok_or_else(domain_error)?;
            unary(function, arguments, infinite, compute)
        }
    }
}

/// `ValueError`: math domain error.
#[cold]
fn domain_error() -> Box<Raise> {
    Raise::value_error("math domain error")
}

/// `OverflowError`: math range error.
#[cold]
fn range_error() -> Box<Raise> {
    Raise::overflow_error("math range error")
}

/// The argument as a float, as functions of `math` take it.
#[inline]
fn float_of(value: &Value) -> Result<f64> {
    match value {
        Value::Float(x) => Ok(*x),
        Value::Int(i) => Ok(*i as f64),
        _ => match number::to_f64(value)? {
            Some(x) => Ok(x),
            None => Err(not_real(value)),
        },
    }
}

#[cold]
fn not_real(value: &Value) -> Box<Raise> {
    Raise::type_error(format!("must be real number, not {}", value.type_name()))
}

#[inline]
fn only_float(function: MathFunction, arguments: Arguments<'_>) -> Result<f64> {
    float_of(arguments::one(function.full_name(), arguments)?)
}

#[inline]
fn two_floats(function: MathFunction, arguments: Arguments<'_>) -> Result<[f64; 2]> {
    match arguments {
        Arguments { positional: [x, y], keywords: [] } => Ok([float_of(x)?, float_of(y)?]),
        _ => {
            // Refuses, as there are not two.
            let _: [Option<&Value>; 2] = arguments::positional(function.full_name(), arguments, 2)?;
            Err(Raise::type_error(format!("{} expected 2 arguments", function.name())))
        }
    }
}

/// A function of one float: NaN out of a number is a domain error.
#[inline]
fn unary(
    function: MathFunction,
    arguments: Arguments<'_>,
    infinite: Infinite,
    compute: fn(f64) -> f64,
) -> Result<Value> {
    let x = only_float(function, arguments)?;
    let result = compute(x);
    if result.is_finite() {
        return Ok(Value::Float(result));
    }
    if result.is_nan() && !x.is_nan() {
        return Err(domain_error());
    }
    if result.is_infinite() && x.is_finite() {
        return Err(match infinite {
            Infinite::Overflow => range_error(),
            Infinite::Pole => domain_error(),
        });
    }
    Ok(Value::float(result))
}

/// A function of two floats: NaN out of numbers is a domain error, infinity out of finite
/// numbers a range error.
#[inline]
fn binary(function: MathFunction, arguments: Arguments<'_>, compute: fn(f64, f64) -> f64) -> Result<Value> {
    let [x, y] = two_floats(function, arguments)?;
    let result = compute(x, y);
    if result.is_nan() && !x.is_nan() && !y.is_nan() {
        return Err(domain_error());
    }
    if result.is_infinite() && x.is_finite() && y.is_finite() {
        return Err(range_error());
    }
    Ok(Value::float(result))
}

/// `math.log(x)`, `math.log(x, base)`
fn log(arguments: Arguments<'_>) -> Result<Value> {
    let [x, base] = arguments::positional("math.log", arguments, 1)?;
    let x = log_of(x.unwrap_or(&Value::None), f64::ln)?;
    let Some(base) = base else { return Ok(Value::float(x)) };
    let base = log_of(base, f64::ln)?;
    if base == 0.0 {
        return Err(Raise::zero_division("float division by zero"));
    }
    Ok(Value::float(x / base))
}

/// A logarithm of any number; integers beyond the range of a float have one too.
fn log_of(value: &Value, log: fn(f64) -> f64) -> Result<f64> {
    let x = match value {
        Value::BigInt(big) if big.is_negative() => return Err(domain_error()),
        Value::BigInt(big) => match number::to_f64(value) {
            Ok(Some(x)) => x,
            _ => {
                // x = mantissa * 2**exponent, so log(x) is about log(mantissa) + log(2) * exponent.
                let (mantissa, exponent) = integer::mantissa_and_exponent(big);
                return Ok(log(mantissa) + log(2.0) * exponent as f64);
            }
        },
        _ => float_of(value)?,
    };
    if x > 0.0 && x.is_finite() {
        Ok(log(x))
    } else if x.is_nan() || x == f64::INFINITY {
        Ok(x)
    } else {
        Err(domain_error())
    }
}

/// `math.floor(x)`, `math.ceil(x)`
fn whole(
    meter: &mut Meter,
    function: MathFunction,
    arguments: Arguments<'_>,
    round: fn(f64) -> f64,
) -> Result<Value> {
    match arguments::one(function.full_name(), arguments)? {
        Value::Float(x) => int_of_whole(meter, round(*x)),
        Value::Bool(b) => Ok(Value::Int(i64::from(*b))),
        int @ (Value::Int(_) | Value::BigInt(_)) => Ok(int.clone()),
        other => Err(not_real(other)),
    }
}

/// `math.trunc(x)`
fn trunc(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    match arguments::one("math.trunc", arguments)? {
        Value::Float(x) => int_of_whole(meter, x.trunc()),
        Value::Bool(b) => Ok(Value::Int(i64::from(*b))),
        int @ (Value::Int(_) | Value::BigInt(_)) => Ok(int.clone()),
        other => {
            Err(Raise::type_error(format!("type {} doesn't define __trunc__ method", other.type_name())))
        }
    }
}

/// The int equal to a float without fraction.
fn int_of_whole(meter: &mut Meter, x: f64) -> Result<Value> {
    const BEYOND_I64: f64 = 9_223_372_036_854_775_808.0;
    if (-BEYOND_I64..BEYOND_I64).contains(&x) {
        return Ok(Value::Int(x as i64));
    }
    if x.is_nan() {
        return Err(Raise::value_error("cannot convert float NaN to integer"));
    }
    match BigInt::from_f64(x) {
        Some(big) => {
            meter.integer(big.bits())?;
            Ok(Value::big(big))
        }
        None => Err(Raise::overflow_error("cannot convert float infinity to integer")),
    }
}

/// `math.isclose(a, b, *, rel_tol=1e-09, abs_tol=0.0)`
fn isclose(arguments: Arguments<'_>) -> Result<Value> {
    const SIGNATURE: Signature<4> = Signature {
        name: "isclose",
        parameters: ["a", "b", "rel_tol", "abs_tol"],
        positional_only: 0,
        positional: 2,
        required: 2,
    };
    let [a, b, relative, absolute] = SIGNATURE.bind(arguments)?;
    let given = |value: Option<&Value>, default: f64| value.map_or(Ok(default), float_of);
    let (a, b) = (given(a, 0.0)?, given(b, 0.0)?);
    let (relative, absolute) = (given(relative, 1e-9)?, given(absolute, 0.0)?);
    if relative < 0.0 || absolute < 0.0 {
        return Err(Raise::value_error("tolerances must be non-negative"));
    }
    if a == b {
        return Ok(Value::Bool(true));
    }
    if a.is_infinite() || b.is_infinite() {
        return Ok(Value::Bool(false));
    }
    let difference = (b - a).abs();
    Ok(Value::Bool(
        difference <= (relative * b).abs() || difference <= (relative * a).abs() || difference <= absolute,
    ))
}

/// `math.hypot(*coordinates)`. Two of them, as nearly always, need no memory.
fn hypot(meter: &mut Meter, arguments: Arguments<'_>) -> Result<Value> {
    arguments::no_keywords("math.hypot", arguments)?;
    let coordinates = arguments.positional;
    meter.steps(coordinates.len() as u64)?;
    if let [x, y] = coordinates {
        return Ok(Value::float(float::vector_norm(&mut [float_of(x)?.abs(), float_of(y)?.abs()])));
    }
    meter.bytes(coordinates.len() as u64 * 8)?;
    let mut magnitudes = Vec::with_capacity(coordinates.len());
    for coordinate in coordinates {
        magnitudes.push(float_of(coordinate)?.abs());
    }
    Ok(Value::float(float::vector_norm(&mut magnitudes)))
}

/// `math.dist(p, q)`
fn dist(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    let [p, q] = arguments::positional("math.dist", arguments, 2)?;
    let p = vm.collect(p.unwrap_or(&Value::None))?;
    let q = vm.collect(q.unwrap_or(&Value::None))?;
    if p.len() != q.len() {
        return Err(Raise::value_error("both points must have the same number of dimensions"));
    }
    vm.meter.steps(p.len() as u64)?;
    vm.meter.bytes(p.len() as u64 * 8)?;
    let mut differences = Vec::with_capacity(p.len());
    for (p, q) in p.iter().zip(&q) {
        differences.push((float_of(p)? - float_of(q)?).abs());
    }
    Ok(Value::float(float::vector_norm(&mut differences)))
}

/// `math.fsum(iterable)`
fn fsum(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    let mut iter = vm.iterate(arguments::one("math.fsum", arguments)?)?;
    let mut sum = sum::ExactSum::default();
    while let Some(item) = vm.next(&mut iter)? {
        vm.meter.steps(sum.partials() as u64 / 4)?;
        sum.add(float_of(&item)?)?;
    }
    sum.total().map(Value::float)
}

/// `math.prod(iterable, /, *, start=1)`
fn prod(vm: &mut Interpreter, arguments: Arguments<'_>) -> Result<Value> {
    const SIGNATURE: Signature<2> = Signature {
        name: "prod",
        parameters: ["iterable", "start"],
        positional_only: 1,
        positional: 1,
        required: 1,
    };
    let [iterable, start] = SIGNATURE.bind(arguments)?;
    let mut iter = vm.iterate(iterable.unwrap_or(&Value::None))?;
    let mut product = start.cloned().unwrap_or(Value::Int(1));
    while let Some(item) = vm.next(&mut iter)? {
        product = operate::binary(&mut vm.meter, BinaryOp::Multiply, &product, &item)?;
    }
    Ok(product)
}

#[cfg(test)]
mod tests;
