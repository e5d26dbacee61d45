//! The format specification mini-language: `[[fill]align][sign][z][#][0][width][grouping][.precision][type]`.

use crate::error::{Raise, Result};
use crate::meter::Meter;
use crate::number::decimal_digit;

/// Where padding goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Align {
    /// `<`
    Left,
    /// `>`
    Right,
    /// `^`
    Center,
    /// `=`: between sign and digits.
    AfterSign,
}

impl Align {
    fn of(c: char) -> Option<Align> {
        match c {
            '<' => Some(Align::Left),
            '>' => Some(Align::Right),
            '^' => Some(Align::Center),
            '=' => Some(Align::AfterSign),
            _ => None,
        }
    }
}

/// The type of a float's format where none is written: as `repr`.
pub(super) const NO_KIND: char = '\0';

/// A specification, read for a value of one type.
#[derive(Debug)]
pub(super) struct Spec {
    pub(super) fill: char,
    pub(super) align: Align,
    /// `+`, `-` or a space, where written.
    pub(super) sign: Option<char>,
    /// `z`
    pub(super) no_negative_zero: bool,
    /// `#`
    pub(super) alternate: bool,
    pub(super) width: Option<usize>,
    /// `,` or `_` and the digits in a group.
    pub(super) grouping: Option<(char, usize)>,
    pub(super) precision: Option<usize>,
    /// The presentation type.
    pub(super) kind: char,
    type_name: &'static str,
}

/// What is left of a specification.
struct Rest<'a>(&'a str);

impl Rest<'_> {
    fn peek(&self) -> Option<char> {
        self.0.chars().next()
    }

    fn take(&mut self, wanted: impl Fn(char) -> bool) -> Option<char> {
        let c = self.peek().filter(|&c| wanted(c))?;
        self.0 = &self.0[c.len_utf8()..];
        Some(c)
    }

    /// A decimal number, in digits of any script.
    fn number(&mut self) -> Result<Option<usize>> {
        let mut number = None;
        while let Some(digit) = self.peek().and_then(decimal_digit) {
            self.take(|_| true);
            // CPython's numbers here end where an index does, at 2**63.
            let next = number.unwrap_or(0_i64).checked_mul(10).and_then(|n| n.checked_add(i64::from(digit)));
            number =
                Some(next.ok_or_else(|| Raise::value_error("Too many decimal digits in format string"))?);
        }
        Ok(number.map(|number| usize::try_from(number).unwrap_or(usize::MAX)))
    }
}

impl Spec {
    /// Reads a specification. Type and alignment have defaults that depend on the value's type.
    pub(super) fn parse(
        meter: &mut Meter,
        text: &str,
        type_name: &'static str,
        default_kind: char,
        default_align: Align,
    ) -> Result<Spec> {
        meter.steps(text.len() as u64 / 16)?;
        let mut rest = Rest(text);
        let mut fill = None;
        let mut align = None;
        let mut start = text.chars();
        if let (Some(first), Some(second)) = (start.next(), start.next().and_then(Align::of)) {
            (fill, align) = (Some(first), Some(second));
            rest = Rest(start.as_str());
        } else if let Some(c) = rest.take(|c| Align::of(c).is_some()) {
            align = Align::of(c);
        }
        let sign = rest.take(|c| matches!(c, ' ' | '+' | '-'));
        let no_negative_zero = rest.take(|c| c == 'z').is_some();
        let alternate = rest.take(|c| c == '#').is_some();
        if fill.is_none() && rest.take(|c| c == '0').is_some() {
            fill = Some('0');
            if align.is_none() && default_align == Align::Right {
                align = Some(Align::AfterSign);
            }
        }
        let width = rest.number()?;
        let comma = rest.take(|c| c == ',');
        let underscore = rest.take(|c| c == '_');
        if underscore.is_some() && (comma.is_some() || rest.peek() == Some(',')) {
            return Err(Raise::value_error("Cannot specify both ',' and '_'."));
        }
        let precision = match rest.take(|c| c == '.') {
            None => None,
            Some(_) => match rest.number()? {
                None => return Err(Raise::value_error("Format specifier missing precision")),
                precision => precision,
            },
        };
        let kind = rest.take(|_| true).unwrap_or(default_kind);
        if !rest.0.is_empty() {
            // As far as a message should go; CPython shows all of it.
            let shown: String = text.chars().take(SPEC_SHOWN_MAX).collect();
            return Err(Raise::value_error(format!(
                "Invalid format specifier '{shown}' for object of type '{type_name}'"
            )));
        }
        let grouping = match comma.or(underscore) {
            None => None,
            Some(separator) => match kind {
                'd' | 'e' | 'f' | 'g' | 'E' | 'G' | '%' | 'F' | NO_KIND => Some((separator, 3)),
                'b' | 'o' | 'x' | 'X' if separator == '_' => Some((separator, 4)),
                _ => {
                    let kind = shown_kind(kind);
                    return Err(Raise::value_error(format!("Cannot specify '{separator}' with '{kind}'.")));
                }
            },
        };
        Ok(Spec {
            fill: fill.unwrap_or(' '),
            align: align.unwrap_or(default_align),
            sign,
            no_negative_zero,
            alternate,
            width,
            grouping,
            precision,
            kind,
            type_name,
        })
    }

    /// The `ValueError` for a type letter that the value's type does not have.
    pub(super) fn unknown_kind(&self) -> Box<Raise> {
        Raise::value_error(format!(
            "Unknown format code '{}' for object of type '{}'",
            shown_kind(self.kind),
            self.type_name
        ))
    }
}

/// Characters of a refused specification that a message shows.
const SPEC_SHOWN_MAX: usize = 1000;

/// A type letter as CPython's messages show it.
fn shown_kind(kind: char) -> String {
    if ('!'..='\x7f').contains(&kind) { kind.to_string() } else { format!("\\x{:x}", u32::from(kind)) }
}
