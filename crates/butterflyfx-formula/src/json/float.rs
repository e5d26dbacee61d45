//! A float as text: the shortest digits that read back to the same float, laid out as Python
//! lays them out.

use std::fmt::{self, Write};

/// How an exponent that is not negative begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exponent {
    /// `1e16`: numbers in answers.
    Plain,
    /// `1e+16`: Python's repr, for dict keys as `json.dumps` writes them.
    Signed,
}

/// Whole numbers below this are their own shortest digits.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// Appends a finite float.
pub(super) fn push_float(x: f64, exponent: Exponent, out: &mut String) {
    debug_assert!(x.is_finite());
    if x.abs() < WHOLE_MAX && x.trunc() == x {
        if x == 0.0 && x.is_sign_negative() {
            out.push('-');
        }
        out.push_str(itoa::Buffer::new().format(x as i64));
        out.push_str(".0");
        return;
    }
    let mut text = Scratch::default();
    // Scratch holds the longest form, so this cannot fail.
    let _ = write!(text, "{x:e}");
    let text = text.as_str();
    let (mantissa, power) = text.split_once('e').unwrap_or((text, "0"));
    let power: i32 = power.parse().unwrap_or(0);
    let mantissa = match mantissa.strip_prefix('-') {
        Some(positive) => {
            out.push('-');
            positive
        }
        None => mantissa,
    };
    let (first, rest) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    match power {
        0..=15 => {
            let whole = power as usize;
            out.push_str(first);
            if rest.len() <= whole {
                out.push_str(rest);
                out.extend(std::iter::repeat_n('0', whole - rest.len()));
                out.push_str(".0");
            } else {
                let (whole, fraction) = rest.split_at_checked(whole).unwrap_or((rest, ""));
                out.push_str(whole);
                out.push('.');
                out.push_str(fraction);
            }
        }
        -4..0 => {
            out.push_str("0.");
            out.extend(std::iter::repeat_n('0', (-power - 1) as usize));
            out.push_str(first);
            out.push_str(rest);
        }
        _ => {
            out.push_str(first);
            if !rest.is_empty() {
                out.push('.');
                out.push_str(rest);
            }
            out.push('e');
            if power < 0 {
                out.push('-');
            } else if exponent == Exponent::Signed {
                out.push('+');
            }
            if power.abs() < 10 {
                out.push('0');
            }
            out.push_str(itoa::Buffer::new().format(power.abs()));
        }
    }
}

/// A small text on the stack: sign, 17 digits, point, `e-308`.
#[derive(Default)]
struct Scratch {
    bytes: [u8; 32],
    length: usize,
}

impl Scratch {
    fn as_str(&self) -> &str {
        self.bytes.get(..self.length).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

impl Write for Scratch {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        let room = self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}
