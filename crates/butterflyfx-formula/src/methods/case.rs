//! `upper`, `lower`, `title`, `capitalize` with Unicode's full case mapping.
//!
//! The mappings of one code point are the compiler's, but for the few that Unicode gained after
//! 15.1, which CPython 3.13 follows. Titlecase is upper case but for the exceptions listed here.

use super::characters::{cased, pay_look_ups};
use crate::error::Result;
use crate::meter::Meter;
use crate::text::Text;
use crate::value::Value;
use std::iter::once;

/// Up to three code points that one becomes.
type Mapped = [char; 3];

/// Stands for no code point in [`Mapped`] beyond its first.
const NOTHING: char = '\0';

fn mapped(code_points: impl Iterator<Item = char>) -> Mapped {
    let mut mapped = [NOTHING; 3];
    for (place, c) in mapped.iter_mut().zip(code_points) {
        *place = c;
    }
    mapped
}

/// The full upper-case mapping of Unicode 15.1.
fn upper_of(c: char) -> Mapped {
    match c {
        // They got capitals in Unicode 16 and 17.
        '\u{19B}' | '\u{264}' | '\u{A7D3}' | '\u{A7D5}' => mapped(once(c)),
        _ => mapped(c.to_uppercase()),
    }
}

/// The full title-case mapping of Unicode 15.1: UnicodeData.txt and SpecialCasing.txt.
fn title_of(c: char) -> Mapped {
    let code = u32::from(c);
    let changed = |code: u32| mapped(char::from_u32(code).into_iter());
    let followed = |first: char, second: char| [first, second, NOTHING];
    match c {
        'ß' => followed('S', 's'),
        // Latin digraphs have a form with a big first letter only.
        '\u{1C4}'..='\u{1C6}' => changed(0x1C5),
        '\u{1C7}'..='\u{1C9}' => changed(0x1C8),
        '\u{1CA}'..='\u{1CC}' => changed(0x1CB),
        '\u{1F1}'..='\u{1F3}' => changed(0x1F2),
        // Armenian and Latin ligatures: the first letter becomes big.
        '\u{587}' => followed('\u{535}', '\u{582}'),
        '\u{FB00}' => followed('F', 'f'),
        '\u{FB01}' => followed('F', 'i'),
        '\u{FB02}' => followed('F', 'l'),
        '\u{FB03}' => ['F', 'f', 'i'],
        '\u{FB04}' => ['F', 'f', 'l'],
        '\u{FB05}' | '\u{FB06}' => followed('S', 't'),
        '\u{FB13}' => followed('\u{544}', '\u{576}'),
        '\u{FB14}' => followed('\u{544}', '\u{565}'),
        '\u{FB15}' => followed('\u{544}', '\u{56B}'),
        '\u{FB16}' => followed('\u{54E}', '\u{576}'),
        '\u{FB17}' => followed('\u{544}', '\u{56D}'),
        // Georgian has capitals for whole words only.
        '\u{10D0}'..='\u{10FA}' | '\u{10FD}'..='\u{10FF}' => mapped(once(c)),
        // Greek with iota subscript keeps the iota below or beside, not as a capital.
        '\u{1F80}'..='\u{1FAF}' => changed(code | 8),
        '\u{1FB3}' | '\u{1FBC}' => changed(0x1FBC),
        '\u{1FC3}' | '\u{1FCC}' => changed(0x1FCC),
        '\u{1FF3}' | '\u{1FFC}' => changed(0x1FFC),
        '\u{1FB2}' => followed('\u{1FBA}', '\u{345}'),
        '\u{1FB4}' => followed('\u{386}', '\u{345}'),
        '\u{1FB7}' => ['\u{391}', '\u{342}', '\u{345}'],
        '\u{1FC2}' => followed('\u{1FCA}', '\u{345}'),
        '\u{1FC4}' => followed('\u{389}', '\u{345}'),
        '\u{1FC7}' => ['\u{397}', '\u{342}', '\u{345}'],
        '\u{1FF2}' => followed('\u{1FFA}', '\u{345}'),
        '\u{1FF4}' => followed('\u{38F}', '\u{345}'),
        '\u{1FF7}' => ['\u{3A9}', '\u{342}', '\u{345}'],
        _ => upper_of(c),
    }
}

/// Which form each sigma of a text takes in lower case: the final one at the end of a word.
/// The rule looks at neighbours by properties that the standard library keeps to itself, so its
/// lower-casing of the whole text is asked, and read sigma by sigma.
struct Sigmas {
    forms: std::vec::IntoIter<char>,
}

impl Sigmas {
    const CAPITAL: char = 'Σ';

    /// Reads the forms of all sigmas, small ones as well; nothing where no capital is.
    fn new(meter: &mut Meter, text: &str) -> Result<Sigmas> {
        if !text.contains(Sigmas::CAPITAL) {
            return Ok(Sigmas { forms: Vec::new().into_iter() });
        }
        meter.steps(text.len() as u64)?;
        meter.bytes(text.len() as u64 * 4)?;
        // Two code points whose properties here changed after Unicode 15.1, each replaced by one
        // that still has what it had.
        let steady: String = text
            .chars()
            .map(|c| match c {
                '\u{295}' => '\u{296}',
                '\u{1171E}' => '\u{1171D}',
                c => c,
            })
            .collect();
        let lowered = steady.to_lowercase();
        let forms: Vec<char> = lowered.chars().filter(|c| matches!(c, 'σ' | 'ς')).collect();
        Ok(Sigmas { forms: forms.into_iter() })
    }

    /// The full lower-case mapping of the next code point. All code points of the text have to be
    /// shown in order, so that the forms stay in step: those not wanted in lower case, too.
    fn lower_of(&mut self, c: char) -> Mapped {
        match c {
            Sigmas::CAPITAL => mapped(once(self.forms.next().unwrap_or('σ'))),
            'σ' | 'ς' => {
                self.forms.next();
                mapped(once(c))
            }
            _ => mapped(c.to_lowercase()),
        }
    }
}

/// Maps a text that is not ASCII: once to know the length, which is paid, and once more.
fn map(meter: &mut Meter, text: &Text, map: impl Fn(Sigmas, &mut dyn FnMut(Mapped))) -> Result<Value> {
    let source = text.as_str();
    // Two walks.
    pay_look_ups(meter, text)?;
    pay_look_ups(meter, text)?;
    let mut len = 0;
    let first = Sigmas::new(meter, source)?;
    map(first, &mut |code_points| len += code_points_of(code_points).map(char::len_utf8).sum::<usize>());
    meter.string(len)?;
    let mut out = String::with_capacity(len);
    let second = Sigmas::new(meter, source)?;
    map(second, &mut |code_points| out.extend(code_points_of(code_points)));
    Ok(Value::str(out))
}

/// What is there: the first always, as a NUL maps to itself.
fn code_points_of(code_points: Mapped) -> impl Iterator<Item = char> {
    let [first, rest @ ..] = code_points;
    once(first).chain(rest.into_iter().take_while(|&c| c != NOTHING))
}

/// `str.upper()`
pub(super) fn upper(meter: &mut Meter, text: &Text) -> Result<Value> {
    if text.is_ascii() {
        meter.string(text.len())?;
        return Ok(Value::str(text.as_str().to_ascii_uppercase()));
    }
    map(meter, text, |_, out| text.as_str().chars().for_each(|c| out(upper_of(c))))
}

/// `str.lower()`
pub(super) fn lower(meter: &mut Meter, text: &Text) -> Result<Value> {
    if text.is_ascii() {
        meter.string(text.len())?;
        return Ok(Value::str(text.as_str().to_ascii_lowercase()));
    }
    map(meter, text, |mut sigmas, out| text.as_str().chars().for_each(|c| out(sigmas.lower_of(c))))
}

/// `str.capitalize()`
pub(super) fn capitalize(meter: &mut Meter, text: &Text) -> Result<Value> {
    if text.is_ascii() {
        meter.string(text.len())?;
        let mut out = text.as_str().to_ascii_lowercase();
        if let Some(first) = out.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        return Ok(Value::str(out));
    }
    map(meter, text, |mut sigmas, out| {
        for (at, c) in text.as_str().chars().enumerate() {
            let lower = sigmas.lower_of(c);
            out(if at == 0 { title_of(c) } else { lower });
        }
    })
}

/// `str.title()`
pub(super) fn title(meter: &mut Meter, text: &Text) -> Result<Value> {
    if text.is_ascii() {
        pay_look_ups(meter, text)?;
        meter.string(text.len())?;
        let mut in_word = false;
        let titled = text.as_str().chars().map(|c| {
            let c = if in_word { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() };
            in_word = c.is_ascii_alphabetic();
            c
        });
        return Ok(Value::str(titled.collect::<String>()));
    }
    map(meter, text, |mut sigmas, out| {
        let mut in_word = false;
        for c in text.as_str().chars() {
            let lower = sigmas.lower_of(c);
            out(if in_word { lower } else { title_of(c) });
            in_word = cased(c);
        }
    })
}
