//! Functions of floats that CPython computes itself, or that the standard library does not take
//! from the C library.
//!
//! `gamma`, `lgamma`, `remainder` and the vector norm follow the algorithms that CPython
//! publishes. `cbrt`, `erf`, `erfc` and the inverse hyperbolic functions (Sun's fdlibm) are done
//! in the GNU C library's order of operations, on top of its own `exp`, `log` and `log1p`; each
//! operation is one IEEE 754 operation, so the bits agree. Releases of that library that round
//! them correctly instead differ from this in the last bit.

// Constants stand as published, or as the shortest digits of the same float.
#![allow(clippy::excessive_precision)]

use super::{domain_error, range_error};
use crate::error::Result;
use std::f64::consts::{LN_2, PI};

/// `math.fmod(x, y)`
pub(super) fn fmod(x: f64, y: f64) -> Result<f64> {
    if y.is_infinite() && x.is_finite() {
        return Ok(x);
    }
    let result = x % y;
    if result.is_nan() && !x.is_nan() && !y.is_nan() { Err(domain_error()) } else { Ok(result) }
}

/// `math.pow(x, y)`
pub(super) fn pow(x: f64, y: f64) -> Result<f64> {
    if x.is_finite() && y.is_finite() {
        let result = x.powf(y);
        if result.is_nan() || (result.is_infinite() && x == 0.0) {
            return Err(domain_error());
        }
        return if result.is_infinite() { Err(range_error()) } else { Ok(result) };
    }
    Ok(if x.is_nan() {
        if y == 0.0 { 1.0 } else { x }
    } else if y.is_nan() {
        if x == 1.0 { 1.0 } else { y }
    } else if x.is_infinite() {
        let odd = y.is_finite() && y.abs() % 2.0 == 1.0;
        match (y > 0.0, y == 0.0) {
            (true, _) => {
                if odd {
                    x
                } else {
                    x.abs()
                }
            }
            (_, true) => 1.0,
            _ => {
                if odd {
                    0.0_f64.copysign(x)
                } else {
                    0.0
                }
            }
        }
    } else if x.abs() == 1.0 {
        1.0
    } else if (y > 0.0) == (x.abs() > 1.0) {
        f64::INFINITY
    } else {
        0.0
    })
}

/// `math.atan2(y, x)`: special cases by CPython, the rest by the C library.
pub(super) fn atan2(y: f64, x: f64) -> f64 {
    if x.is_nan() || y.is_nan() {
        return f64::NAN;
    }
    let right = x.is_sign_positive();
    if y.is_infinite() {
        let angle = match (x.is_infinite(), right) {
            (false, _) => 0.5 * PI,
            (true, true) => 0.25 * PI,
            (true, false) => 0.75 * PI,
        };
        return angle.copysign(y);
    }
    if x.is_infinite() || y == 0.0 {
        let angle: f64 = if right { 0.0 } else { PI };
        return angle.copysign(y);
    }
    y.atan2(x)
}

/// `math.remainder(x, y)`: the difference to the nearest multiple, ties to the even one. Exact.
pub(super) fn remainder(x: f64, y: f64) -> f64 {
    if x.is_finite() && y.is_finite() {
        if y == 0.0 {
            return f64::NAN;
        }
        let (size, step) = (x.abs(), y.abs());
        let below = size % step;
        let above = step - below;
        let rest = if below < above {
            below
        } else if below > above {
            -above
        } else {
            // In the middle: `size` is n steps and a half; half of the n steps, modulo the
            // step, tells whether n is even (0) or odd (half a step).
            below - 2.0 * ((0.5 * (size - below)) % step)
        };
        return 1.0_f64.copysign(x) * rest;
    }
    if x.is_nan() {
        x
    } else if y.is_nan() {
        y
    } else if x.is_infinite() {
        f64::NAN
    } else {
        x
    }
}

/// A product or sum, and what rounding left out.
#[derive(Clone, Copy)]
struct Exact {
    high: f64,
    low: f64,
}

/// `x * y` and its rounding error.
fn exact_product(x: f64, y: f64) -> Exact {
    let high = x * y;
    Exact { high, low: x.mul_add(y, -high) }
}

/// `a + b` and its rounding error, for `|a| >= |b|`.
fn exact_sum(a: f64, b: f64) -> Exact {
    let high = a + b;
    Exact { high, low: (a - high) + b }
}

/// The Euclidean norm of non-negative magnitudes, which are scaled in place: squares without
/// rounding, a compensated sum, and one correction of the square root.
pub(super) fn vector_norm(magnitudes: &mut [f64]) -> f64 {
    let mut largest = 0.0;
    let mut has_nan = false;
    for &magnitude in magnitudes.iter() {
        has_nan |= magnitude.is_nan();
        if magnitude > largest {
            largest = magnitude;
        }
    }
    if largest == f64::INFINITY {
        return largest;
    }
    if has_nan {
        return f64::NAN;
    }
    if largest == 0.0 || magnitudes.len() <= 1 {
        return largest;
    }
    if exponent(largest) < -1023 {
        // The scale would overflow: make normal numbers of subnormal ones first.
        for magnitude in magnitudes.iter_mut() {
            *magnitude /= f64::MIN_POSITIVE;
        }
        return f64::MIN_POSITIVE * scaled_norm(magnitudes, largest / f64::MIN_POSITIVE);
    }
    scaled_norm(magnitudes, largest)
}

fn scaled_norm(magnitudes: &[f64], largest: f64) -> f64 {
    let scale = power_of_two(-exponent(largest));
    // The sum starts at 1, so that it is larger than each square added to it.
    let mut sum = 1.0;
    let (mut product_rest, mut sum_rest) = (0.0, 0.0);
    for &magnitude in magnitudes {
        let x = magnitude * scale;
        let square = exact_product(x, x);
        let next = exact_sum(sum, square.high);
        sum = next.high;
        product_rest += square.low;
        sum_rest += next.low;
    }
    let root = (sum - 1.0 + (product_rest + sum_rest)).sqrt();
    let square = exact_product(-root, root);
    let next = exact_sum(sum, square.high);
    sum = next.high;
    product_rest += square.low;
    sum_rest += next.low;
    let error = sum - 1.0 + (product_rest + sum_rest);
    (root + error / (2.0 * root)) / scale
}

/// The exponent `e` for which a positive finite float lies from `2**(e-1)` up to `2**e`.
fn exponent(x: f64) -> i32 {
    let biased = (x.to_bits() >> 52 & 0x7FF) as i32;
    if biased == 0 { exponent(x * 18_014_398_509_481_984.0) - 54 } else { biased - 1022 }
}

/// `2.0**power` for -1074 to 1023.
fn power_of_two(power: i32) -> f64 {
    if power >= -1022 {
        f64::from_bits(((power + 1023) as u64) << 52)
    } else {
        f64::from_bits(1 << (power + 1074).max(0))
    }
}

/// `sin(pi * x)` for finite `x`, accurate near whole numbers.
fn sin_pi(x: f64) -> f64 {
    let y = x.abs() % 2.0;
    let quarter = (2.0 * y).round() as i32;
    let sine = match quarter {
        0 => (PI * y).sin(),
        1 => (PI * (y - 0.5)).cos(),
        2 => (PI * (1.0 - y)).sin(),
        3 => -(PI * (y - 1.5)).cos(),
        _ => (PI * (y - 2.0)).sin(),
    };
    1.0_f64.copysign(x) * sine
}

/// Lanczos' parameter g, and g - 1/2.
const LANCZOS_G: f64 = 6.024_680_040_776_729_583_740_234_375;
const LANCZOS_G_MINUS_HALF: f64 = 5.524_680_040_776_729_583_740_234_375;

/// Numerator of Lanczos' sum for N = 13, lowest power first.
const LANCZOS_NUMERATOR: [f64; 13] = [
    23531376880.410759688572007674451636754734846804940,
    42919803642.649098768957899047001988850926355848959,
    35711959237.355668049440185451547166705960488635843,
    17921034426.037209699919755754458931112671403265390,
    6039542586.3520280050642916443072979210699388420708,
    1439720407.3117216736632230727949123939715485786772,
    248874557.86205415651146038641322942321632125127801,
    31426415.585400194380614231628318205362874684987640,
    2876370.6289353724412254090516208496135991145378768,
    186056.26539522349504029498971604569928220784236328,
    8071.6720023658162106380029022722506138218516325024,
    210.82427775157934587250973392071336271166969580291,
    2.5066282746310002701649081771338373386264310793408,
];

/// Its denominator, x * (x+1) * ... * (x+11).
const LANCZOS_DENOMINATOR: [f64; 13] = [
    0.0,
    39916800.0,
    120543840.0,
    150917976.0,
    105258076.0,
    45995730.0,
    13339535.0,
    2637558.0,
    357423.0,
    32670.0,
    1925.0,
    66.0,
    1.0,
];

/// Lanczos' sum for positive x; as a function of 1/x from 5 on, where x**12 is large.
fn lanczos_sum(x: f64) -> f64 {
    let pairs = LANCZOS_NUMERATOR.iter().zip(&LANCZOS_DENOMINATOR);
    let (numerator, denominator) = if x < 5.0 {
        pairs.rev().fold((0.0, 0.0), |(n, d), (a, b)| (n * x + a, d * x + b))
    } else {
        pairs.fold((0.0, 0.0), |(n, d), (a, b)| (n / x + a, d / x + b))
    };
    numerator / denominator
}

/// `(n-1)!` for n from 1 to 23, all exact floats.
const FACTORIALS: [f64; 23] = {
    let mut table = [1.0; 23];
    let mut n = 1;
    while n < 23 {
        table[n] = table[n - 1] * n as f64;
        n += 1;
    }
    table
};

/// `math.gamma(x)`
pub(super) fn gamma(x: f64) -> Result<f64> {
    if x.is_nan() || x == f64::INFINITY {
        return Ok(x);
    }
    if x == f64::NEG_INFINITY || x == 0.0 {
        return Err(domain_error());
    }
    if x == x.floor() {
        if x < 0.0 {
            return Err(domain_error());
        }
        if let Some(&factorial) = FACTORIALS.get(x as usize - 1) {
            return Ok(factorial);
        }
    }
    let size = x.abs();
    let result = if size < 1e-20 {
        1.0 / x
    } else if size > 200.0 {
        if x < 0.0 { 0.0 / sin_pi(x) } else { f64::INFINITY }
    } else {
        let y = size + LANCZOS_G_MINUS_HALF;
        // What the rounding of that sum left out, from the larger operand down.
        let left_out = if size > LANCZOS_G_MINUS_HALF {
            (y - size) - LANCZOS_G_MINUS_HALF
        } else {
            (y - LANCZOS_G_MINUS_HALF) - size
        };
        let correction = left_out * LANCZOS_G / y;
        if x < 0.0 {
            let mut r = -PI / sin_pi(size) / size * y.exp() / lanczos_sum(size);
            r -= correction * r;
            if size < 140.0 {
                r / y.powf(size - 0.5)
            } else {
                let root = y.powf(size / 2.0 - 0.25);
                r / root / root
            }
        } else {
            let mut r = lanczos_sum(size) / y.exp();
            r += correction * r;
            if size < 140.0 {
                r * y.powf(size - 0.5)
            } else {
                let root = y.powf(size / 2.0 - 0.25);
                r * root * root
            }
        }
    };
    if result.is_infinite() { Err(range_error()) } else { Ok(result) }
}

/// `math.lgamma(x)`
pub(super) fn lgamma(x: f64) -> Result<f64> {
    /// log(pi)
    const LOG_PI: f64 = 1.144_729_885_849_400_2;
    if !x.is_finite() {
        return Ok(if x.is_nan() { x } else { f64::INFINITY });
    }
    if x == x.floor() && x <= 2.0 {
        return if x <= 0.0 { Err(domain_error()) } else { Ok(0.0) };
    }
    let size = x.abs();
    if size < 1e-20 {
        return Ok(-size.ln());
    }
    let mut result = lanczos_sum(size).ln() - LANCZOS_G;
    result += (size - 0.5) * ((size + LANCZOS_G - 0.5).ln() - 1.0);
    if x < 0.0 {
        result = LOG_PI - sin_pi(size).abs().ln() - size.ln() - result;
    }
    if result.is_infinite() { Err(range_error()) } else { Ok(result) }
}

/// `math.cbrt(x)`. The standard library's is not the C library's: it rounds correctly, which the
/// GNU C library's does not.
pub(super) fn cbrt(x: f64) -> f64 {
    const ROOT_OF_2: f64 = 1.259_921_049_894_873_2;
    const ROOT_OF_4: f64 = 1.587_401_051_968_199_6;
    if x == 0.0 || !x.is_finite() {
        return x + x;
    }
    let power = exponent(x.abs());
    // From 0.5 up to 1; in two factors, as one may overflow.
    let m = x.abs() * power_of_two(-power / 2) * power_of_two(-power - -power / 2);
    // A polynomial for the root, then one step of Halley's method.
    let u = 0.784_932_344_976_639_2 - 0.145_263_899_385_486_38 * m;
    let u = -1.834_692_774_836_130_9 + u * m;
    let u = 2.446_931_225_635_344_3 + u * m;
    let u = -2.114_994_941_673_713 + u * m;
    let u = 1.508_191_937_815_849 + u * m;
    let u = 0.354_895_765_043_919_86 + u * m;
    let cube = u * u * u;
    let scale = match power % 3 {
        -2 => 1.0 / ROOT_OF_4,
        -1 => 1.0 / ROOT_OF_2,
        1 => ROOT_OF_2,
        2 => ROOT_OF_4,
        _ => 1.0,
    };
    let root = u * (cube + 2.0 * m) / (2.0 * cube + m) * scale;
    (root * power_of_two(power / 3)).copysign(x)
}

/// `math.asinh(x)`
pub(super) fn asinh(x: f64) -> f64 {
    let size = x.abs();
    // Compared by the upper half of the bits, as the algorithm does: 2**28 and what shares its
    // upper half is not large.
    let high = high_word(size);
    if high < 0x3E30_0000 {
        return x;
    }
    let result = if high > 0x41B0_0000 {
        if high >= 0x7FF0_0000 {
            return x + x;
        }
        size.ln() + LN_2
    } else if high > 0x4000_0000 {
        (2.0 * size + 1.0 / ((size * size + 1.0).sqrt() + size)).ln()
    } else {
        let square = size * size;
        (size + square / (1.0 + (1.0 + square).sqrt())).ln_1p()
    };
    result.copysign(x)
}

/// `math.acosh(x)`
pub(super) fn acosh(x: f64) -> f64 {
    if x > 2.0 {
        if x >= 268_435_456.0 {
            return if x.is_finite() { x.ln() + LN_2 } else { x };
        }
        let square = x * x;
        (2.0 * x - 1.0 / (x + (square - 1.0).sqrt())).ln()
    } else if x > 1.0 {
        let above = x - 1.0;
        (above + (2.0 * above + above * above).sqrt()).ln_1p()
    } else if x == 1.0 {
        0.0
    } else if x.is_nan() {
        x
    } else {
        f64::NAN
    }
}

/// `math.atanh(x)`
pub(super) fn atanh(x: f64) -> f64 {
    let size = x.abs();
    let result = if size < 0.5 {
        if size < 3.725_290_298_461_914_e-9 {
            return x;
        }
        let twice = size + size;
        0.5 * (twice + twice * size / (1.0 - size)).ln_1p()
    } else if size < 1.0 {
        0.5 * ((size + size) / (1.0 - size)).ln_1p()
    } else if size == 1.0 {
        f64::INFINITY
    } else {
        return if x.is_nan() { x } else { f64::NAN };
    };
    result.copysign(x)
}

/// The upper half of a float's bits, without the sign.
fn high_word(x: f64) -> u32 {
    (x.to_bits() >> 32) as u32 & 0x7FFF_FFFF
}

/// `erf(1)` rounded to 24 bits.
const ERF_ONE: f64 = 8.450_629_115_104_675e-1;
/// `2/sqrt(pi) - 1`
const ERF_SLOPE: f64 = 1.283_791_670_955_125_9e-1;

/// `(erf(x) - x) / x` in powers of x**2, |x| < 0.84375: numerator and denominator.
const ERF_SMALL: ([f64; 5], [f64; 6]) = (
    [
        1.283_791_670_955_125_6e-1,
        -3.250_421_072_470_015e-1,
        -2.848_174_957_559_851e-2,
        -5.770_270_296_489_442e-3,
        -2.376_301_665_665_016_3e-5,
    ],
    [
        1.0,
        3.979_172_239_591_553_5e-1,
        6.502_224_998_876_729e-2,
        5.081_306_281_875_766e-3,
        1.324_947_380_043_216_4e-4,
        -3.960_228_278_775_368e-6,
    ],
);
/// `erf(1 + s) - ERF_ONE` in powers of s, 0.84375 <= |x| < 1.25.
const ERF_MIDDLE: ([f64; 7], [f64; 7]) = (
    [
        -2.362_118_560_752_659_4e-3,
        4.148_561_186_837_483_3e-1,
        -3.722_078_760_357_013e-1,
        3.183_466_199_011_617_5e-1,
        -1.108_946_942_823_966_8e-1,
        3.547_830_432_561_823_6e-2,
        -2.166_375_594_868_790_8e-3,
    ],
    [
        1.0,
        1.064_208_804_008_442_3e-1,
        5.403_979_177_021_71e-1,
        7.182_865_441_419_627e-2,
        1.261_712_198_087_616_4e-1,
        1.363_708_391_202_905e-2,
        1.198_449_984_679_910_7e-2,
    ],
);
/// The exponent of `erfc(x) * x` in powers of 1/x**2, 1.25 <= |x| < 1/0.35.
const ERFC_NEAR: ([f64; 8], [f64; 9]) = (
    [
        -9.864_944_034_847_148e-3,
        -6.938_585_727_071_818e-1,
        -1.055_862_622_532_329_1e1,
        -6.237_533_245_032_600_6e1,
        -1.623_966_694_625_734_7e2,
        -1.846_050_929_067_110_4e2,
        -8.128_743_550_630_66e1,
        -9.814_329_344_169_145,
    ],
    [
        1.0,
        1.965_127_166_743_925_7e1,
        1.376_577_541_435_190_4e2,
        4.345_658_774_752_292_3e2,
        6.453_872_717_332_679e2,
        4.290_081_400_275_678_3e2,
        1.086_350_055_417_794_4e2,
        6.570_249_770_319_282,
        -6.042_441_521_485_81e-2,
    ],
);
/// The same from 1/0.35 on.
const ERFC_FAR: ([f64; 7], [f64; 8]) = (
    [
        -9.864_942_924_700_1e-3,
        -7.992_832_376_805_23e-1,
        -1.775_795_491_775_475_2e1,
        -1.606_363_848_558_219_2e2,
        -6.375_664_433_683_896e2,
        -1.025_095_131_611_077_2e3,
        -4.835_191_916_086_514e2,
    ],
    [
        1.0,
        3.033_806_074_348_245_8e1,
        3.257_925_129_965_739e2,
        1.536_729_586_084_437e3,
        3.199_858_219_508_595_5e3,
        2.553_050_406_433_164_4e3,
        4.745_285_412_069_553_7e2,
        -2.244_095_244_658_582e1,
    ],
);

/// A polynomial in the order of operations of the C library: pairs of terms first, each times
/// an even power, added from the lowest on.
fn paired<const N: usize>(x: f64, coefficients: &[f64; N]) -> f64 {
    let x2 = x * x;
    let x4 = x2 * x2;
    let powers = [1.0, x2, x4, x4 * x2, x4 * x4];
    let mut sum = 0.0;
    for (at, (pair, power)) in coefficients.chunks(2).zip(powers).enumerate() {
        let term = match *pair {
            [low, high] => low + x * high,
            [last] => last,
            _ => 0.0,
        };
        sum = if at == 0 { term } else { sum + power * term };
    }
    sum
}

/// `(erf(x) - x) / x` for |x| < 0.84375.
fn erf_small_ratio(x: f64) -> f64 {
    let square = x * x;
    paired(square, &ERF_SMALL.0) / paired(square, &ERF_SMALL.1)
}

/// `erf(|x|) - ERF_ONE` for |x| near 1.
fn erf_middle(x: f64) -> f64 {
    let s = x.abs() - 1.0;
    paired(s, &ERF_MIDDLE.0) / paired(s, &ERF_MIDDLE.1)
}

/// `erfc(x) * x` for x from 1.25 on; `near` says which approximation.
fn erfc_times_x(x: f64, near: bool) -> f64 {
    let s = 1.0 / (x * x);
    let ratio = if near {
        paired(s, &ERFC_NEAR.0) / paired(s, &ERFC_NEAR.1)
    } else {
        paired(s, &ERFC_FAR.0) / paired(s, &ERFC_FAR.1)
    };
    // x**2 without its rounding error: z holds the upper half of x, so z**2 is exact.
    let z = f64::from_bits(x.to_bits() & 0xFFFF_FFFF_0000_0000);
    (-z * z - 0.5625).exp() * ((z - x) * (z + x) + ratio).exp()
}

/// `math.erf(x)`
pub(super) fn erf(x: f64) -> f64 {
    let high = high_word(x);
    if high >= 0x7FF0_0000 {
        return if x.is_nan() { x } else { 1.0_f64.copysign(x) };
    }
    if high < 0x3FEB_0000 {
        if high < 0x0080_0000 {
            // Sixteen times larger in between, so that the result is rounded once.
            return 0.0625 * (16.0 * x + (16.0 * ERF_SLOPE) * x);
        }
        return if high < 0x3E30_0000 { x + ERF_SLOPE * x } else { x + x * erf_small_ratio(x) };
    }
    let result = if high < 0x3FF4_0000 {
        ERF_ONE + erf_middle(x)
    } else if high >= 0x4018_0000 {
        1.0
    } else {
        let size = x.abs();
        1.0 - erfc_times_x(size, high < 0x4006_DB6E) / size
    };
    result.copysign(x)
}

/// `math.erfc(x)`
pub(super) fn erfc(x: f64) -> f64 {
    let high = high_word(x);
    let negative = x.is_sign_negative();
    if high >= 0x7FF0_0000 {
        return match (x.is_nan(), negative) {
            (true, _) => x,
            (false, true) => 2.0,
            (false, false) => 0.0,
        };
    }
    if high < 0x3FEB_0000 {
        if high < 0x3C70_0000 {
            return 1.0 - x;
        }
        let y = erf_small_ratio(x);
        return if negative || high < 0x3FD0_0000 { 1.0 - (x + x * y) } else { 0.5 - (x * y + (x - 0.5)) };
    }
    if high < 0x3FF4_0000 {
        let middle = erf_middle(x);
        return if negative { 1.0 + (ERF_ONE + middle) } else { (1.0 - ERF_ONE) - middle };
    }
    if high >= 0x403C_0000 || (negative && high >= 0x4018_0000) {
        return if negative { 2.0 } else { 0.0 };
    }
    let size = x.abs();
    let result = erfc_times_x(size, high < 0x4006_DB6D) / size;
    if negative { 2.0 - result } else { result }
}
