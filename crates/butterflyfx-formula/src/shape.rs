//! Texts that differ only in their numbers: recognised by a scan, without parsing.
//!
//! A text's *skeleton* is the text with its plain numbers taken out. The first text of a skeleton is
//! parsed; the second one, too, and makes a [`Shape`]: from then on a text with that skeleton is the
//! shape and its numbers, some hundred nanoseconds of work, and as many bytes as the numbers take.
//!
//! Why this is sound: parsing and lowering never look at a number's value, only at where it stands;
//! each literal is a constant of its own; and a template holds none. So texts of one skeleton lower to
//! equal templates, with the same constants but for the numbers. The
//! making of a shape does not take that on trust: it lowers the skeleton once more with other
//! numbers, and where anything but the expected constants differs there is no shape. What the scan is
//! not sure about (prefixed, escaped or triple-quoted strings, comments, exponents, line breaks,
//! letters beyond ASCII) has no skeleton, and numbers in any but the plainest form stay part of it.

use crate::code::Op;
use crate::error::FormulaError;
use crate::expression_type::ExpressionType;
use crate::formula::{Formula, Template, Templates, lowered};
use crate::limits::Limits;
use crate::value::Value;
use smallvec::SmallVec;
use std::hash::BuildHasher;
use std::sync::{Arc, PoisonError, RwLock, Weak};

/// Numbers that were taken out of a text, in its order.
pub type Numbers = SmallVec<[u64; 6]>;

/// Bytes of a text, and numbers in it, that may have a skeleton.
const TEXT_BYTES_MAX: usize = 1024;
const NUMBERS_MAX: usize = 32;
/// Digits of a whole number that is taken out: it fits 64 bits.
const INT_DIGITS_MAX: usize = 18;
/// Digits of a decimal that is taken out: as whole number and as power of ten both are exact floats,
/// so their quotient is the float nearest to the decimal (W. D. Clinger, 1990).
const DECIMAL_DIGITS_MAX: usize = 15;

/// Stands for a whole number in a skeleton.
const INT: u8 = 0x01;
/// Stands for a decimal; the number of its fraction digits, from 1 on, is added.
const DECIMAL: u8 = 0x10;

/// Skeletons that were seen once; a later one takes an earlier one's place.
const SEEN: usize = 4096;

type Skeleton = SmallVec<[u8; 256]>;

/// A place in the text where a number stands.
#[derive(Clone, Copy, Debug)]
struct Hole {
    /// Where in [`Shape::text`].
    at: u32,
    /// Digits after the point; 0 for a whole number.
    fraction: u8,
    /// The constant that it is.
    constant: u16,
}

/// A text with its numbers apart: all formulas that differ only in plain numbers share one.
#[derive(Debug)]
pub struct Shape {
    kind: ExpressionType,
    skeleton: Box<[u8]>,
    /// The text without the numbers.
    text: Box<str>,
    holes: Box<[Hole]>,
    template: Arc<Template>,
    /// With some number in place of each that was taken out.
    constants: Box<[Value]>,
    /// The constants that the defaults are.
    defaults: Box<[u16]>,
}

impl Shape {
    /// How texts of this shape are read.
    pub fn kind(&self) -> ExpressionType {
        self.kind
    }

    /// The code of all formulas of this shape.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// How many numbers a text has.
    pub fn number_count(&self) -> usize {
        self.holes.len()
    }

    fn each_piece<'a>(&'a self, numbers: &'a [u64], mut put: impl FnMut(&str)) {
        let mut from = 0;
        for (hole, &number) in self.holes.iter().zip(numbers) {
            put(&self.text[from..hole.at as usize]);
            from = hole.at as usize;
            let mut digits = [0; 24];
            put(decimal(number, hole.fraction, &mut digits));
        }
        put(&self.text[from..]);
    }

    /// Appends the text with these numbers, byte for byte what they came from.
    pub fn write_text(&self, numbers: &[u64], out: &mut String) {
        self.each_piece(numbers, |piece| out.push_str(piece));
    }

    /// Bytes of the text with these numbers.
    pub fn text_len(&self, numbers: &[u64]) -> usize {
        let mut length = 0;
        self.each_piece(numbers, |piece| length += piece.len());
        length
    }

    /// Whether the text with these numbers is this one.
    pub fn is_text(&self, numbers: &[u64], text: &str) -> bool {
        let mut rest = Some(text);
        self.each_piece(numbers, |piece| rest = rest.and_then(|rest| rest.strip_prefix(piece)));
        rest == Some("")
    }

    /// The formula with these numbers.
    pub fn formula(&self, numbers: &[u64]) -> Formula {
        let mut constants: SmallVec<[Value; 8]> = self.constants.iter().cloned().collect();
        for (hole, &number) in self.holes.iter().zip(numbers) {
            constants[usize::from(hole.constant)] = value(number, hole.fraction);
        }
        let defaults = self.defaults.iter().map(|&at| constants[usize::from(at)].clone()).collect();
        Formula { template: Arc::clone(&self.template), constants: constants.into_iter().collect(), defaults }
    }
}

impl Shape {
    /// Puts these numbers into a formula that this shape gave, in place of those that are there. `false` where somebody
    /// else holds its constants, too, or its defaults would change: then it is as it was.
    pub fn refill(&self, numbers: &[u64], formula: &mut Formula) -> bool {
        if !self.defaults.is_empty() || !Arc::ptr_eq(&self.template, &formula.template) {
            return false;
        }
        let Some(constants) = Arc::get_mut(&mut formula.constants) else { return false };
        for (hole, &number) in self.holes.iter().zip(numbers) {
            if let Some(constant) = constants.get_mut(usize::from(hole.constant)) {
                *constant = value(number, hole.fraction);
            }
        }
        true
    }
}

/// What checking a text gives.
#[derive(Clone, Debug)]
pub enum Checked {
    /// A text of a known shape, and its numbers.
    Shaped(Arc<Shape>, Numbers),
    /// Any other.
    Whole(Formula),
}

impl Checked {
    /// The formula.
    pub fn into_formula(self) -> Formula {
        match self {
            Checked::Shaped(shape, numbers) => shape.formula(&numbers),
            Checked::Whole(formula) => formula,
        }
    }

    /// Its code.
    pub fn template(&self) -> &Arc<Template> {
        match self {
            Checked::Shaped(shape, _) => shape.template(),
            Checked::Whole(formula) => &formula.template,
        }
    }
}

/// The shapes in use.
#[derive(Debug, Default)]
pub(crate) struct Shapes {
    inner: RwLock<Shelf>,
    hasher: foldhash::fast::RandomState,
}

#[derive(Debug, Default)]
struct Shelf {
    table: hashbrown::HashTable<(u64, Weak<Shape>)>,
    /// Hashes of skeletons that were seen once, or of which no shape could be made.
    seen: Vec<u64>,
    /// Shapes that no formula has any more are swept out when the table has grown to this.
    sweep_at: usize,
}

impl Shelf {
    fn find(&self, hash: u64, skeleton: &[u8]) -> Option<Arc<Shape>> {
        let mut found = None;
        self.table.find(hash, |(other, shape)| {
            if *other == hash {
                found = shape.upgrade().filter(|shape| *shape.skeleton == *skeleton);
            }
            found.is_some()
        });
        found
    }

    /// Whether the skeleton was seen before; from now on it was.
    fn was_seen(&mut self, hash: u64) -> bool {
        self.seen.resize(SEEN, 0);
        let seen = &mut self.seen[hash as usize % SEEN];
        std::mem::replace(seen, hash) == hash
    }
}

impl Templates {
    /// Reads and checks a text, or recognises its shape. It means what [`Formula::new`] gives.
    ///
    /// ```
    /// use butterflyfx_formula::formula::{ExpressionType, Templates};
    /// use butterflyfx_formula::{limits::Limits, shape::Checked};
    ///
    /// let (limits, templates) = (Limits::default(), Templates::default());
    /// let check = |text| templates.check(ExpressionType::Formula, text, &limits).unwrap();
    /// let (first, second) = (check("price * 0.95 + 3"), check("price * 0.90 + 12"));
    /// assert!(matches!(first, Checked::Whole(_)));
    /// let Checked::Shaped(shape, numbers) = second else { panic!() };
    /// assert_eq!(numbers[..], [90, 12]);
    /// assert!(shape.is_text(&numbers, "price * 0.90 + 12"));
    /// ```
    ///
    /// # Errors
    /// As [`Formula::new`].
    pub fn check(&self, kind: ExpressionType, text: &str, limits: &Limits) -> Result<Checked, FormulaError> {
        let mut numbers = Numbers::new();
        let skeleton =
            if text.len() <= limits.source_bytes { skeleton(kind, text, &mut numbers) } else { None };
        let Some(skeleton) = skeleton else {
            return Formula::new(kind, text, limits, self).map(Checked::Whole);
        };
        let hash = self.shapes().hasher.hash_one(&*skeleton);
        let shelf = || self.shapes().inner.read().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = shelf().find(hash, &skeleton) {
            return Ok(Checked::Shaped(shape, numbers));
        }
        let formula = Formula::new(kind, text, limits, self)?;
        let mut shelf = self.shapes().inner.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(shape) = shelf.find(hash, &skeleton) {
            return Ok(Checked::Shaped(shape, numbers));
        }
        if !shelf.was_seen(hash) {
            return Ok(Checked::Whole(formula));
        }
        let Some(shape) = make(kind, &skeleton, &numbers, &formula, limits) else {
            return Ok(Checked::Whole(formula));
        };
        if shelf.table.len() >= shelf.sweep_at {
            shelf.table.retain(|(_, shape)| shape.strong_count() > 0);
            shelf.sweep_at = (shelf.table.len() * 2).max(1024);
        }
        let shape = Arc::new(shape);
        shelf.table.insert_unique(hash, (hash, Arc::downgrade(&shape)), |(hash, _)| *hash);
        Ok(Checked::Shaped(shape, numbers))
    }
}

/// What a byte means where a token begins.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Neither of these: the parser is to look.
    Odd,
    /// A letter or an underscore.
    Word,
    Digit,
    Point,
    Quote,
    /// An operator, a bracket, a space.
    Other,
}

/// By byte: one look instead of some ten comparisons.
const CLASSES: [Class; 256] = {
    let mut classes = [Class::Odd; 256];
    let mut byte = b' ';
    while byte < 0x7F {
        classes[byte as usize] = match byte {
            b'0'..=b'9' => Class::Digit,
            b'.' => Class::Point,
            b'A'..=b'Z' | b'a'..=b'z' | b'_' => Class::Word,
            b'"' | b'\'' => Class::Quote,
            b'#' | b'\\' => Class::Odd,
            _ => Class::Other,
        };
        byte += 1;
    }
    classes
};

#[inline]
fn class(byte: u8) -> Class {
    CLASSES[usize::from(byte)]
}

#[inline]
fn is_word(byte: u8) -> bool {
    matches!(class(byte), Class::Word | Class::Digit)
}

/// The skeleton of a text, its kind first, with the numbers taken out of it.
fn skeleton(kind: ExpressionType, text: &str, numbers: &mut Numbers) -> Option<Skeleton> {
    let text = text.as_bytes();
    if text.len() > TEXT_BYTES_MAX {
        return None;
    }
    let mut skeleton = Skeleton::with_capacity(text.len() + 1);
    skeleton.push(b'0' + kind as u8);
    // What stands before `kept_to` is in the skeleton; the rest up to `at` goes there in one piece.
    let (mut at, mut kept_to) = (0, 0);
    while let Some(&byte) = text.get(at) {
        match class(byte) {
            Class::Digit | Class::Point => {
                let end = at + text[at..].iter().take_while(|&&byte| is_word(byte) || byte == b'.').count();
                // A sign may follow an exponent.
                let is_exponent = matches!(text[end - 1], b'e' | b'E') && byte != b'.';
                if is_exponent && matches!(text.get(end), Some(b'+' | b'-')) {
                    return None;
                }
                if let Some((hole, number)) = number(&text[at..end]) {
                    if numbers.len() == NUMBERS_MAX {
                        return None;
                    }
                    skeleton.extend_from_slice(&text[kept_to..at]);
                    skeleton.push(hole);
                    numbers.push(number);
                    kept_to = end;
                }
                at = end;
            }
            Class::Word => {
                at += text[at..].iter().take_while(|&&byte| is_word(byte)).count();
                // It would be the string's prefix.
                if matches!(text.get(at), Some(b'"' | b'\'')) {
                    return None;
                }
            }
            Class::Quote => at = string_end(text, at)?,
            Class::Other => at += 1,
            Class::Odd => return None,
        }
    }
    skeleton.extend_from_slice(&text[kept_to..]);
    (kind != ExpressionType::Constant || skeleton.len() == 2 && numbers.len() == 1).then_some(skeleton)
}

/// Where a plain string ends: on this line, without escapes, not of three quotes.
fn string_end(text: &[u8], start: usize) -> Option<usize> {
    let quote = text[start];
    let mut at = start + 1;
    loop {
        match *text.get(at)? {
            byte if byte == quote => break,
            b'\\' | 0..b' ' | 0x7F => return None,
            _ => at += 1,
        }
    }
    // `""` before a third quote is the beginning of a longer string.
    let is_long = at == start + 1 && text.get(at + 1) == Some(&quote);
    if is_long { None } else { Some(at + 1) }
}

/// A plain number: what stands for it, and its digits without the point.
fn number(token: &[u8]) -> Option<(u8, u64)> {
    let read = |digits: &[u8], before| {
        digits.iter().fold(before, |value, digit| value * 10 + u64::from(digit - b'0'))
    };
    if token.iter().all(u8::is_ascii_digit) {
        let is_plain = token.len() <= INT_DIGITS_MAX && !matches!(token, [b'0', _, ..]);
        return is_plain.then(|| (INT, read(token, 0)));
    }
    let point = token.iter().position(|&byte| byte == b'.')?;
    let (whole, fraction) = (&token[..point], &token[point + 1..]);
    let digits = whole.len() + fraction.len();
    let is_plain = !whole.is_empty()
        && !fraction.is_empty()
        && !matches!(whole, [b'0', _, ..])
        && digits <= DECIMAL_DIGITS_MAX
        && whole.iter().chain(fraction).all(u8::is_ascii_digit);
    is_plain.then(|| (DECIMAL + fraction.len() as u8, read(fraction, read(whole, 0))))
}

/// A number as text.
fn decimal(mut number: u64, fraction: u8, digits: &mut [u8; 24]) -> &str {
    let mut at = digits.len();
    let mut put = |byte: u8| {
        at -= 1;
        digits[at] = byte;
    };
    for _ in 0..fraction {
        put(b'0' + (number % 10) as u8);
        number /= 10;
    }
    if fraction > 0 {
        put(b'.');
    }
    loop {
        put(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    std::str::from_utf8(&digits[at..]).unwrap_or_default()
}

/// Exact powers of ten.
const POWERS: [f64; 16] =
    [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];

fn value(number: u64, fraction: u8) -> Value {
    if fraction == 0 {
        Value::Int(number as i64)
    } else {
        Value::Float(number as f64 / POWERS[usize::from(fraction) % POWERS.len()])
    }
}

/// Makes the shape of a skeleton, out of the formula that a text of it with these numbers gave.
fn make(
    kind: ExpressionType,
    skeleton: &[u8],
    numbers: &[u64],
    formula: &Formula,
    limits: &Limits,
) -> Option<Shape> {
    let (mut text, mut holes) = (String::new(), Vec::new());
    for piece in skeleton[1..].chunk_by(|a, b| *a >= b' ' && *b >= b' ') {
        match *piece {
            [hole] if hole < b' ' => {
                let fraction = if hole == INT { 0 } else { hole - DECIMAL };
                holes.push(Hole { at: text.len() as u32, fraction, constant: 0 });
            }
            _ => text.push_str(std::str::from_utf8(piece).ok()?),
        }
    }
    let mut shape = Shape {
        kind,
        skeleton: skeleton.into(),
        text: text.into(),
        holes: holes.into(),
        template: Arc::clone(&formula.template),
        constants: formula.constants.to_vec().into(),
        defaults: Box::default(),
    };
    // The same with other numbers, all different.
    let others: Numbers = (0..numbers.len() as u64).map(|at| 700_001 + 2 * at).collect();
    let mut other_text = String::new();
    shape.write_text(&others, &mut other_text);
    let (other_template, other_constants) = lowered(kind, &other_text, limits).ok()?;
    if other_template != *formula.template || other_constants.len() != formula.constants.len() {
        return None;
    }
    // Which constant is which number; the rest stays what it is.
    let is_same = |a: &Value, b: &Value| format!("{a:?}") == format!("{b:?}");
    let mut is_taken = vec![false; other_constants.len()];
    for (at, hole) in shape.holes.iter_mut().enumerate() {
        let other = value(others[at], hole.fraction);
        let place =
            other_constants.iter().zip(&is_taken).position(|(one, taken)| !taken && is_same(one, &other))?;
        if !is_same(&formula.constants[place], &value(numbers[at], hole.fraction)) {
            return None;
        }
        is_taken[place] = true;
        hole.constant = place as u16;
    }
    let rest = formula.constants.iter().zip(&other_constants).zip(&is_taken).filter(|(_, taken)| !**taken);
    for ((own, other), _) in rest {
        if !is_same(own, other) {
            return None;
        }
    }
    let defaults = formula.template.default_units.iter().flatten().map(|&unit| {
        match formula.template.units.get(usize::from(unit))?.ops[..] {
            [Op::Constant(at), Op::Return] => Some(at),
            _ => None,
        }
    });
    shape.defaults = defaults.collect::<Option<_>>()?;
    Some(shape)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The text checked three times, after others that prime its shape, means what the parser makes
    /// of it each time. Whether the last was recognised.
    #[track_caller]
    fn check(kind: ExpressionType, primes: &[&str], text: &str) -> bool {
        let (limits, templates) = (Limits::default(), Templates::default());
        // Held, as substrates hold them.
        let _held: Vec<_> = primes.iter().map(|prime| templates.check(kind, prime, &limits)).collect();
        let expected = Formula::new(kind, text, &limits, &Templates::default());
        let mut recognised = false;
        let mut held = Vec::new();
        for _ in 0..3 {
            match (templates.check(kind, text, &limits), &expected) {
                (Ok(checked), Ok(expected)) => {
                    recognised = false;
                    if let Checked::Shaped(shape, numbers) = &checked {
                        let mut back = String::new();
                        shape.write_text(numbers, &mut back);
                        assert_eq!(back, text);
                        assert!(shape.is_text(numbers, text) && !shape.is_text(numbers, &format!("{text} ")));
                        assert_eq!((shape.text_len(numbers), shape.kind()), (text.len(), kind));
                        recognised = true;
                    }
                    let formula = checked.clone().into_formula();
                    assert_eq!(formula.template, expected.template, "{text}");
                    let values =
                        |formula: &Formula| format!("{:?} {:?}", formula.constants, formula.defaults);
                    assert_eq!(values(&formula), values(expected), "{text}");
                    held.push(checked);
                }
                (Err(error), Err(expected)) => assert_eq!(format!("{error:?}"), format!("{expected:?}")),
                (result, expected) => panic!("{text}: {result:?}, not {expected:?}"),
            }
        }
        recognised
    }

    #[test]
    fn plain_numbers_are_taken_out() {
        let lambda = |text| check(ExpressionType::Lambda, &[], text);
        assert!(lambda("lambda **kw: kw.get('x', 0) * 12345 + kw.get('y', 0)"));
        assert!(lambda("lambda x, y=2.50, z='a1': x[1:2] * 0.05 + y if x > 100.0 else -3"));
        assert!(lambda("lambda x: x + 999999999999999999 - 0.00000000000001 + 12345678901234.5"));
        assert!(!lambda("lambda x, y=-2: x + y"));
        let formula = |text| check(ExpressionType::Formula, &[], text);
        assert!(formula("x ** 2 // 3 << 4"));
        assert!(formula("math.sqrt(2) + round(x, 2) + max(1, 2.5, x)"));
        assert!(formula("[1, 2.5, (3,), {'a': 4}]"));
        assert!(formula("x1 + y_2 if 1 else \"it's 3\""));
        let constant = |text| check(ExpressionType::Constant, &[], text);
        assert!(constant("42") && constant("0.5"));
        assert!(!constant("-42") && !constant("[1, 2]") && !constant("\"a1\"") && !constant(" 1"));
    }

    /// Near misses: each must stay what the parser makes of it, also where a likeness is known.
    #[test]
    fn what_only_looks_like_a_number_is_left_to_the_parser() {
        let primes = [
            "x + 1",
            "x + 2",
            "x + 1.5",
            "x + 2.5",
            "'1'",
            "'2'",
            "1if x else 2",
            "3if x else 4",
            "x[1]",
            "x[2]",
        ];
        for text in [
            "x + 007",
            "x + 00",
            "x + 1_0",
            "x + 0x1F",
            "x + 1e5",
            "x + 1e-5",
            "x + 1E+5",
            "x + 1j",
            "x + 1.",
            "x + .5",
            "x + .5e-3",
            "x + 1..real",
            "x + 1.0.is_integer()",
            "x + 1 .bit_length()",
            "1if x else 2",
            "'1' '2'",
            "'\\61'",
            "f'{1}'",
            "f'{x:.2f}'",
            "b'1'",
            "r'1'",
            "'''1'''",
            "''",
            "'' '1'",
            "x # 1",
            "x + 1000000000000000000",
            "x + 123456789012345678901234567890",
            "x + 0.1234567890123456",
            "x + 1 2",
            "x + 1 +",
            "é + 1",
            "x\n+ 1",
            "x + 1\t",
            "x + \u{1}",
            "x+1e",
            "x.e-3",
            "x.e1-3",
            "1.5.5",
            "x if 1else 2",
            "x if 1.5else 2",
            "(x).a1",
            "x[1:2:3]",
            "x[-1]",
            "0.5 .is_integer()",
            "1e400",
            "1.7e-3+2",
            "x is 1",
            "-0.0",
            "-5 ** 2",
            "'a' 'b1'",
            "x.1",
            "1x",
            "x + 0b1",
            "x + 0o7",
            "x + 0_0",
            "'é1'",
        ] {
            check(ExpressionType::Formula, &primes, text);
            check(ExpressionType::Lambda, &primes, &format!("lambda x: {text}"));
            check(ExpressionType::Constant, &["1", "2", "1.5", "2.5"], text);
        }
    }

    proptest! {
        #[test]
        fn numbers_come_back(
            whole in 0u64..1_000_000,
            fraction in "[0-9]{1,9}",
            int in 0u64..1_000_000_000_000_000_000,
        ) {
            let text = format!("x * {whole}.{fraction} - {int}");
            prop_assert!(check(ExpressionType::Formula, &[], &text));
        }

        /// Any soup of tokens, after soups like it.
        #[test]
        fn soups_mean_what_the_parser_makes_of_them(
            soup in prop::collection::vec(
                prop_oneof![
                    Just("x"), Just("1"), Just("2.5"), Just("0"), Just("e"), Just("."), Just("'"), Just("''"),
                    Just(" "), Just("+"), Just("-"), Just("("), Just(")"), Just("if "), Just("else "),
                    Just("lambda "), Just(":"), Just("_"), Just("\""), Just("f'"), Just("{"), Just("}"), Just("["),
                    Just("]"), Just(","), Just("="), Just("9"), Just("\\"),
                ],
                1..14,
            ),
        ) {
            let text = soup.concat();
            let prime = text.replace('1', "7").replace('9', "3");
            for kind in [ExpressionType::Formula, ExpressionType::Lambda] {
                check(kind, &[&prime, &prime], &text);
            }
        }
    }

    #[test]
    fn unused_shapes_go_and_unique_texts_leave_nothing() {
        let (limits, templates) = (Limits::default(), Templates::default());
        for at in 0..3000 {
            let name: String = format!("{at}").bytes().map(|digit| char::from(digit - b'0' + b'a')).collect();
            let text = format!("v{name} + 1");
            for _ in 0..2 {
                drop(templates.check(ExpressionType::Formula, &text, &limits).unwrap());
            }
        }
        let shelf = templates.shapes().inner.read().unwrap();
        assert!(shelf.table.len() <= 1024, "{}", shelf.table.len());
    }
}
