//! An iterative look at formula text before any recursive parser sees it.
//!
//! It splits the text into just enough tokens (names, numbers, strings with their f-string
//! fields, brackets, operators) to bound two things that make a parser recurse: open brackets,
//! and open prefixes (`-`, `+`, `~`, `not`, `**`, inner `lambda`). Chains of left-associative
//! operators, of `and`/`or`, of comparisons and of `else` are loops in the parser or, for `else`,
//! bounded by the text's length; they count as one level. What the scan does not understand it
//! passes over: the parser gives the error.

use crate::error::{FormulaError, FormulaErrorKind, Span};
use crate::limits::{Limit, Limits};

/// One open bracket or replacement field, and what is open inside it.
#[derive(Clone, Copy)]
struct Level {
    /// Unary operators, `not` and `**` whose operand is still to come.
    prefixes: usize,
    /// Lambdas whose body is still open.
    lambdas: usize,
    /// Lambdas whose parameter list is still open.
    lambda_heads: usize,
    /// Whether an operand has just ended, so that `-` is binary.
    after_operand: bool,
    /// The f-string whose field this is, if it is one.
    field_of: Option<FString>,
}

/// The quoting of an f-string around a replacement field.
#[derive(Clone, Copy)]
struct FString {
    quote: u8,
    triple: bool,
    /// Whether the scan is behind the field's `:`, in its format spec.
    in_spec: bool,
}

const OPEN: Level = Level { prefixes: 0, lambdas: 0, lambda_heads: 0, after_operand: false, field_of: None };

/// Checks length, NUL bytes and nesting.
///
/// # Errors
/// `SourceText` or `Nesting` limits; a syntax error for NUL.
pub(crate) fn check(text: &str, limits: &Limits) -> Result<(), FormulaError> {
    if text.len() > limits.source_bytes {
        return Err(FormulaError {
            kind: FormulaErrorKind::Limit(Limit::SourceText),
            message: format!(
                "the formula text has {} bytes; at most {} are accepted",
                text.len(),
                limits.source_bytes
            ),
            span: None,
        });
    }
    let mut scanner = Scanner { text: text.as_bytes(), at: 0, levels: vec![OPEN], limit: limits.nesting };
    match scanner.run() {
        Ok(()) => Ok(()),
        Err(at) => Err(FormulaError {
            kind: FormulaErrorKind::Limit(Limit::Nesting),
            message: format!(
                "the formula is nested more than {} levels deep; name parts of it in substrates of their own and link them",
                limits.nesting
            ),
            span: Some(span_at(text, at)),
        }),
    }
}

/// The one-character span at a byte offset.
pub(crate) fn span_at(text: &str, at: usize) -> Span {
    let start = at.min(text.len());
    let end = text[start..].chars().next().map_or(start, |c| start + c.len_utf8());
    span_between(text, start, end)
}

/// The span between two byte offsets; both are moved to the boundary at or before them.
pub(crate) fn span_between(text: &str, start: usize, end: usize) -> Span {
    let (line, column) = position(text, start);
    let (end_line, end_column) = position(text, end);
    Span { line, column, end_line, end_column }
}

/// Line and column, from 1, of a byte offset. `\n`, `\r` and `\r\n` end lines, as in Python.
fn position(text: &str, at: usize) -> (u32, u32) {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    let (mut line, mut column) = (1, 1);
    let mut before = text[..at].chars().peekable();
    while let Some(c) = before.next() {
        let ends_line = c == '\n' || (c == '\r' && before.peek() != Some(&'\n'));
        if ends_line {
            line += 1;
            column = 1;
        } else {
            column += 1;
        }
    }
    (line, column)
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    levels: Vec<Level>,
    limit: usize,
}

impl Scanner<'_> {
    /// Scans everything; an error is the offset where nesting went too far.
    fn run(&mut self) -> Result<(), usize> {
        while let Some(&byte) = self.text.get(self.at) {
            let start = self.at;
            match byte {
                b' ' | b'\t' | b'\n' | b'\r' | b'\x0c' | b'\\' => self.at += 1,
                b'#' => self.skip_comment(),
                b'"' | b'\'' => self.string(false),
                b'0'..=b'9' => self.number(),
                b'.' if self.peek(1).is_some_and(|next| next.is_ascii_digit()) => self.number(),
                b'A'..=b'Z' | b'a'..=b'z' | b'_' | 0x80.. => self.word(),
                b'(' | b'[' | b'{' => {
                    self.at += 1;
                    self.levels.push(OPEN);
                }
                b')' | b']' | b'}' => self.close(byte),
                b'*' if self.peek(1) == Some(b'*') => {
                    self.at += 2;
                    // As an operator it nests to the right; before a name in a call it does not.
                    let level = self.level();
                    if level.after_operand {
                        level.prefixes += 1;
                    }
                    level.after_operand = false;
                }
                b'-' | b'+' | b'~' => {
                    self.at += 1;
                    let level = self.level();
                    if level.after_operand && byte != b'~' {
                        level.prefixes = 0;
                    } else {
                        level.prefixes += 1;
                    }
                    level.after_operand = false;
                }
                b',' => {
                    self.at += 1;
                    let level = self.level();
                    if level.lambda_heads == 0 {
                        level.lambdas = 0;
                    }
                    level.prefixes = 0;
                    level.after_operand = false;
                }
                b':' => self.colon(),
                b'!' if self.is_conversion() => self.at += 2,
                b'.' => self.at += 1,
                _ => {
                    self.at += 1;
                    let level = self.level();
                    level.prefixes = 0;
                    level.after_operand = false;
                }
            }
            debug_assert!(self.at > start);
            self.check_depth(start)?;
        }
        Ok(())
    }

    fn check_depth(&self, at: usize) -> Result<(), usize> {
        let brackets = self.levels.len() - 1;
        let level = &self.levels[brackets];
        // A formula of type lambda starts with one; it is the form, not a level.
        let open: usize = level.prefixes + level.lambdas.saturating_sub(usize::from(brackets == 0));
        if brackets > self.limit || open > self.limit { Err(at) } else { Ok(()) }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.text.get(self.at + ahead).copied()
    }

    fn level(&mut self) -> &mut Level {
        if self.levels.is_empty() {
            self.levels.push(OPEN);
        }
        let last = self.levels.len() - 1;
        &mut self.levels[last]
    }

    fn skip_comment(&mut self) {
        while self.peek(0).is_some_and(|byte| byte != b'\n' && byte != b'\r') {
            self.at += 1;
        }
    }

    fn number(&mut self) {
        let mut previous = 0;
        while let Some(byte) = self.peek(0) {
            let sign_of_exponent = matches!(byte, b'+' | b'-') && matches!(previous, b'e' | b'E');
            if !(byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.' || sign_of_exponent) {
                break;
            }
            // In a hexadecimal number `e` is a digit, and a sign after it an operator.
            if sign_of_exponent && self.is_hexadecimal() {
                break;
            }
            previous = byte;
            self.at += 1;
        }
        self.level().after_operand = true;
    }

    /// Whether the number that ends here began with `0x`.
    fn is_hexadecimal(&self) -> bool {
        let digits = self.text[..self.at]
            .iter()
            .rposition(|byte| !(byte.is_ascii_alphanumeric() || *byte == b'_'))
            .map_or(0, |before| before + 1);
        matches!(self.text.get(digits..digits + 2), Some([b'0', b'x' | b'X']))
    }

    fn word(&mut self) {
        let start = self.at;
        while self.peek(0).is_some_and(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80) {
            self.at += 1;
        }
        let word = &self.text[start..self.at];
        if matches!(self.peek(0), Some(b'"' | b'\'')) && is_string_prefix(word) {
            let formatted = word.iter().any(|byte| matches!(byte, b'f' | b'F' | b't' | b'T'));
            return self.string(formatted);
        }
        let level = self.level();
        match word {
            b"not" => {
                if !level.after_operand {
                    level.prefixes += 1;
                }
                level.after_operand = false;
            }
            b"lambda" => {
                level.lambdas += 1;
                level.lambda_heads += 1;
                level.prefixes = 0;
                level.after_operand = false;
            }
            b"and" | b"or" | b"if" | b"else" | b"in" | b"is" | b"for" => {
                level.prefixes = 0;
                level.after_operand = false;
            }
            b"await" | b"yield" | b"async" | b"from" => {
                level.prefixes += 1;
                level.after_operand = false;
            }
            _ => level.after_operand = true,
        }
    }

    /// A string at its opening quote. A formatted one is scanned up to its first field, which
    /// becomes a level; its closing brace comes back here.
    fn string(&mut self, formatted: bool) {
        let quote = self.text[self.at];
        let triple = self.peek(1) == Some(quote) && self.peek(2) == Some(quote);
        self.at += if triple { 3 } else { 1 };
        self.level().after_operand = true;
        if formatted {
            self.formatted_part(FString { quote, triple, in_spec: false });
        } else {
            while let Some(byte) = self.peek(0) {
                if byte == b'\\' {
                    self.at += 2;
                } else if self.ends_string(quote, triple) {
                    self.at += if triple { 3 } else { 1 };
                    return;
                } else {
                    self.at += 1;
                }
            }
        }
        self.at = self.at.min(self.text.len());
    }

    fn ends_string(&self, quote: u8, triple: bool) -> bool {
        let closes = self.peek(0) == Some(quote);
        let line_ends = !triple && matches!(self.peek(0), Some(b'\n' | b'\r'));
        (closes && (!triple || (self.peek(1) == Some(quote) && self.peek(2) == Some(quote)))) || line_ends
    }

    /// Literal text of an f-string, or of a format spec inside one.
    fn formatted_part(&mut self, string: FString) {
        while let Some(byte) = self.peek(0) {
            if self.ends_string(string.quote, string.triple) {
                self.at += if string.triple { 3 } else { 1 };
                if string.in_spec && self.levels.len() > 1 {
                    self.levels.pop();
                }
                return;
            }
            match byte {
                b'\\' if !matches!(self.peek(1), Some(b'{' | b'}')) => self.at += 2,
                b'{' if !string.in_spec && self.peek(1) == Some(b'{') => self.at += 2,
                b'{' => {
                    self.at += 1;
                    let string = FString { in_spec: string.in_spec, ..string };
                    self.levels.push(Level { field_of: Some(string), ..OPEN });
                    return;
                }
                b'}' if string.in_spec => return,
                _ => self.at += 1,
            }
        }
        self.at = self.at.min(self.text.len());
    }

    fn colon(&mut self) {
        self.at += 1;
        let level = self.level();
        level.after_operand = false;
        level.prefixes = 0;
        // The colon of a lambda belongs to it, even directly in a field (where it is refused).
        if level.lambda_heads > 0 {
            level.lambda_heads -= 1;
        } else if let Some(string) = level.field_of {
            self.formatted_part(FString { in_spec: true, ..string });
        }
    }

    /// `!r`, `!s`, `!a` directly in a field.
    fn is_conversion(&self) -> bool {
        self.levels.last().is_some_and(|level| level.field_of.is_some())
            && matches!(self.peek(1), Some(b'r' | b's' | b'a'))
    }

    fn close(&mut self, byte: u8) {
        self.at += 1;
        let closed = if self.levels.len() > 1 { self.levels.pop() } else { None };
        self.level().after_operand = true;
        if let (Some(Level { field_of: Some(string), .. }), b'}') = (closed, byte) {
            self.formatted_part(string);
        }
    }
}

fn is_string_prefix(word: &[u8]) -> bool {
    word.len() <= 2 && word.iter().all(|byte| b"rRbBuUfFtT".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, accepted: bool) {
        let result = super::check(text, &Limits::default());
        assert_eq!(result.is_ok(), accepted, "{text:.80}: {result:?}");
    }

    #[test]
    fn nesting() {
        let tower = |open: &str, n: usize, close: &str| format!("{}1{}", open.repeat(n), close.repeat(n));
        check(&tower("(", 64, ")"), true);
        check(&format!("lambda **kw: {}", tower("(", 64, ")")), true);
        check(&tower("(", 65, ")"), false);
        check(&tower("[", 65, "]"), false);
        check(&tower("f(", 65, ")"), false);
        check(&tower("-", 64, ""), true);
        check(&tower("-", 65, ""), false);
        check(&tower("not ", 65, ""), false);
        check(&tower("2**", 64, ""), true);
        check(&tower("2**", 65, ""), false);
        check(&tower("2**-", 33, ""), false);
        check(&tower("lambda:", 65, ""), true);
        check(&tower("lambda:", 66, ""), false);
        check(&tower("lambda a,b:", 66, ""), false);
        check(&tower("(lambda:", 65, ")"), false);
        check(&tower("~-", 33, ""), false);
        check(&tower("f'{", 65, "}'"), false);
        check(&tower("f'{1:{", 65, "}}'"), false);
        check(&"(".repeat(8000), false);
    }

    #[test]
    fn chains_are_one_level() {
        check(&"1+".repeat(1000), true);
        check(&"-1+".repeat(1000), true);
        check(&"x if x else ".repeat(600), true);
        check(&"not a and ".repeat(700), true);
        check(&"not a in b or ".repeat(500), true);
        check(&"1<".repeat(1000), true);
        check(&"[-1,+1,~1,not 1],".repeat(400), true);
        check(&"lambda: 1,".repeat(400), true);
        check(&"2**3*".repeat(1000), true);
        check(&"f(**a,**b),".repeat(600), true);
        check(&"a.b".repeat(2000), true);
        check(&"f()".repeat(2000), true);
        check(&"1e-5-0xe-1-".repeat(600), true);
        check(&"x[1:-1]".repeat(1000), true);
    }

    #[test]
    fn brackets_in_text_are_no_nesting() {
        check(&format!("'{}'", "(".repeat(100)), true);
        check(&format!("# {}\n1", "(".repeat(100)), true);
        check(&format!("'\\'{}'", "(".repeat(100)), true);
        check(&format!("'''\"'{}'''", "(".repeat(100)), true);
        check(&format!("rb'{}'", "(".repeat(100)), true);
        check(&format!("f'{}'", "{{".repeat(100)), true);
        check(&format!("f'{}'", "(".repeat(100)), true);
        check(&"f'{x!r:>{w}}' + ".repeat(100), true);
        check(&"f'{x:%}' + f'{d[\"a\"]}' + ".repeat(100), true);
    }

    #[test]
    fn length() {
        check(&format!("{}1", " ".repeat(8191)), true);
        check(&format!("{}1", " ".repeat(8192)), false);
    }

    #[test]
    fn positions_count_code_points() {
        assert_eq!(position("é\nñx", 5), (2, 2));
        assert_eq!(position("a\r\nb\rc", 6), (3, 2));
    }
}
