//! The decimal digits of floats and where point and exponent stand among them.

use super::push_fill;

/// How an exponent that is not negative begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exponent {
    /// `1e16`: numbers in answers.
    Plain,
    /// `1e+16`: Python's repr.
    Signed,
}

/// Whole numbers below this are their own shortest digits.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends a finite float: the fewest digits that read back as `x`, and of those the nearest,
/// always with a fraction or an exponent.
pub(crate) fn push_float(x: f64, exponent: Exponent, out: &mut String) {
    debug_assert!(x.is_finite());
    if x.is_sign_negative() {
        out.push('-');
    }
    let x = x.abs();
    if x < WHOLE_MAX && x.trunc() == x {
        out.push_str(itoa::Buffer::new().format(x as u64));
        out.push_str(".0");
    } else if (1e-4..1e16).contains(&x) {
        out.push_str(zmij::Buffer::new().format_finite(x));
    } else {
        let digits = Digits::shortest(x);
        Layout { exponent, ..Layout::REPR }.push(digits.as_str(), digits.point, out);
    }
}

/// Decimal digits of a finite float that is not negative.
pub(super) struct Digits {
    /// ASCII digits, of which the first is not 0 unless the number is. No zeros at the end.
    digits: [u8; 24],
    count: usize,
    /// Digits before the point: `0.0123` has -1.
    pub(super) point: i32,
}

impl Digits {
    /// The fewest digits that read back as `x`, and of those the nearest, an even one at a tie.
    pub(super) fn shortest(x: f64) -> Digits {
        Digits::read(zmij::Buffer::new().format_finite(x))
    }

    /// Reads `12.5`, `0.00125` or `1.25e-9`; no more than 24 digits that count.
    fn read(text: &str) -> Digits {
        let (mantissa, exponent) = split_exponent(text.as_bytes());
        let mut read = Digits { digits: [b'0'; 24], count: 0, point: exponent };
        let mut after_point = false;
        for &byte in mantissa {
            match read.digits.get_mut(read.count) {
                _ if byte == b'.' => after_point = true,
                _ if byte == b'0' && read.count == 0 => read.point -= i32::from(after_point),
                Some(place) => {
                    *place = byte;
                    read.count += 1;
                    read.point += i32::from(!after_point);
                }
                None => {}
            }
        }
        while read.count > 0 && read.digits[read.count - 1] == b'0' {
            read.count -= 1;
        }
        if read.count == 0 { Digits { digits: [b'0'; 24], count: 1, point: 1 } } else { read }
    }

    pub(super) fn as_str(&self) -> &str {
        self.digits.get(..self.count).and_then(|digits| std::str::from_utf8(digits).ok()).unwrap_or_default()
    }
}

/// Mantissa and exponent of `d.ddde-dd`.
pub(super) fn split_exponent(text: &[u8]) -> (&[u8], i32) {
    let at = text.iter().position(|&byte| byte == b'e').unwrap_or(text.len());
    let exponent = text.get(at + 1..).and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok());
    (&text[..at], exponent.unwrap_or(0))
}

/// How digits are laid out where C's `%g` decides: with an exponent where the point would stand
/// before the fourth zero of a fraction or after more than `point_max` digits.
pub(super) struct Layout {
    pub(super) point_max: i32,
    /// `.0` after whole numbers without exponent.
    pub(super) dot_zero: bool,
    /// A point after whole numbers.
    pub(super) alternate: bool,
    pub(super) exponent: Exponent,
}

impl Layout {
    pub(super) const REPR: Layout =
        Layout { point_max: 16, dot_zero: true, alternate: false, exponent: Exponent::Signed };

    pub(super) fn push(&self, digits: &str, point: i32, out: &mut String) {
        if point <= -4 || point > self.point_max {
            let (first, fraction) = digits.split_at(1.min(digits.len()));
            out.push_str(first);
            if self.alternate || !fraction.is_empty() {
                out.push('.');
            }
            out.push_str(fraction);
            push_exponent(point - 1, self.exponent, out);
        } else if point <= 0 {
            out.push_str("0.");
            push_fill(out, '0', point.unsigned_abs() as usize);
            out.push_str(digits);
        } else {
            let before = point.unsigned_abs() as usize;
            let (whole, fraction) = digits.split_at(before.min(digits.len()));
            out.push_str(whole);
            push_fill(out, '0', before - whole.len());
            if !fraction.is_empty() {
                out.push('.');
                out.push_str(fraction);
            } else if self.dot_zero {
                out.push_str(".0");
            } else if self.alternate {
                out.push('.');
            }
        }
    }
}

/// `e`, sign and at least two digits.
pub(super) fn push_exponent(exponent: i32, style: Exponent, out: &mut String) {
    out.push('e');
    if exponent < 0 {
        out.push('-');
    } else if style == Exponent::Signed {
        out.push('+');
    }
    if exponent.abs() < 10 {
        out.push('0');
    }
    out.push_str(itoa::Buffer::new().format(exponent.unsigned_abs()));
}
