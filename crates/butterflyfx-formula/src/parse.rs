//! Text to syntax tree. The only module that knows the parser library.
//!
//! What Python accepts and the language leaves out is refused here, each construct by its name
//! and, where there is one, with the accepted way. Names are left to `lower`.

mod convert;

use crate::ast::{Bytes, Expr};
use crate::error::{FormulaError, FormulaErrorKind};
use crate::limits::{Limit, Limits};
use crate::scan::{span_at, span_between};
use ruff_python_ast::{Mod, PythonVersion, Stmt};
use ruff_python_parser::{Mode, ParseError, ParseOptions, parse_unchecked};
use ruff_text_size::{Ranged, TextRange};

/// The result of reading text.
pub(crate) type Parsed<T> = Result<T, FormulaError>;

/// Reads one expression. The caller has scanned the text and given the thread room.
///
/// # Errors
/// `Syntax`, `NotSupported`, and the limits on nodes and integer size.
pub(crate) fn expression(text: &str, limits: &Limits) -> Parsed<Expr> {
    if let Some(at) = text.find('\0') {
        return Err(syntax(text, at, "the text holds a NUL character"));
    }
    if text.starts_with('\u{feff}') {
        return Err(syntax(text, 0, "the text begins with a byte order mark; leave it out"));
    }
    // As CPython's `eval`: blanks before the expression are no indentation.
    let start = text.len() - text.trim_start_matches([' ', '\t', '\x0c']).len();
    let source = &text[start..];
    let options = ParseOptions::from(Mode::Expression).with_target_version(PythonVersion::PY313);
    let parsed = parse_unchecked(source, options);
    if let Some(error) = parsed.errors().iter().min_by_key(|error| error.location.start()) {
        return Err(explain(text, start, source, error));
    }
    let Mod::Expression(expression) = parsed.syntax() else {
        return Err(syntax(text, start, "a formula is one expression"));
    };
    let mut converter = convert::Converter { text, start, nodes: 0, limits };
    let converted = converter.expression(&expression.body)?;
    // Newer syntax that is not refused by name.
    match parsed.unsupported_syntax_errors().first() {
        Some(error) => Err(syntax(text, start + usize::from(error.range.start()), &error.to_string())),
        None => Ok(converted),
    }
}

/// A syntax error of one character.
fn syntax(text: &str, at: usize, message: &str) -> FormulaError {
    FormulaError {
        kind: FormulaErrorKind::Syntax,
        message: message.to_owned(),
        span: Some(span_at(text, at)),
    }
}

/// What to say where the text is no expression. A statement is named; the parser's own words
/// serve for the rest.
fn explain(text: &str, start: usize, source: &str, error: &ParseError) -> FormulaError {
    let options = ParseOptions::from(Mode::Module).with_target_version(PythonVersion::PY313);
    let as_module = parse_unchecked(source, options);
    if as_module.errors().is_empty()
        && let Mod::Module(module) = as_module.syntax()
    {
        let statement = module.body.iter().find(|statement| !matches!(statement, Stmt::Expr(_)));
        return match (statement.or(module.body.get(1)), module.body.is_empty()) {
            (Some(statement), _) => FormulaError {
                kind: FormulaErrorKind::NotSupported,
                message: format!(
                    "{} is not supported: a formula is one expression",
                    statement_name(statement)
                ),
                span: Some(range_span(text, start, statement.range())),
            },
            (None, true) => syntax(text, start, "there is no expression"),
            (None, false) => parser_error(text, start, error),
        };
    }
    parser_error(text, start, error)
}

fn parser_error(text: &str, start: usize, error: &ParseError) -> FormulaError {
    let said = error.error.to_string();
    let mut letters = said.chars();
    let said = match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => said,
    };
    FormulaError {
        kind: FormulaErrorKind::Syntax,
        message: format!("invalid syntax: {said}"),
        span: Some(range_span(text, start, error.location)),
    }
}

/// A parser range in the source as a span of the text. An empty range shows one character.
fn range_span(text: &str, start: usize, range: TextRange) -> crate::error::Span {
    let (from, to) = (start + usize::from(range.start()), start + usize::from(range.end()));
    if from == to { span_at(text, from) } else { span_between(text, from, to) }
}

fn statement_name(statement: &Stmt) -> &'static str {
    match statement {
        Stmt::FunctionDef(_) => "a `def` statement",
        Stmt::ClassDef(_) => "a `class` statement",
        Stmt::Return(_) => "a `return` statement",
        Stmt::Delete(_) => "a `del` statement",
        Stmt::Assign(_) | Stmt::AugAssign(_) | Stmt::AnnAssign(_) => "an assignment",
        Stmt::TypeAlias(_) => "a `type` statement",
        Stmt::For(_) => "a `for` statement",
        Stmt::While(_) => "a `while` statement",
        Stmt::If(_) => "an `if` statement",
        Stmt::With(_) => "a `with` statement",
        Stmt::Match(_) => "a `match` statement",
        Stmt::Raise(_) => "a `raise` statement",
        Stmt::Try(_) => "a `try` statement",
        Stmt::Assert(_) => "an `assert` statement",
        Stmt::Import(_) | Stmt::ImportFrom(_) => "an `import` statement",
        Stmt::Global(_) => "a `global` statement",
        Stmt::Nonlocal(_) => "a `nonlocal` statement",
        Stmt::Pass(_) => "a `pass` statement",
        Stmt::Break(_) => "a `break` statement",
        Stmt::Continue(_) => "a `continue` statement",
        Stmt::Expr(_) => "a second expression",
        Stmt::IpyEscapeCommand(_) => "a shell command",
    }
}

/// A limit on the formula's size.
pub(crate) fn too_many(limit: Limit, what: &str, bound: usize, text: &str, at: Bytes) -> FormulaError {
    FormulaError {
        kind: FormulaErrorKind::Limit(limit),
        message: format!(
            "the formula has more than {bound} {what}; split it into substrates of their own and link them"
        ),
        span: Some(span_between(text, at.start as usize, at.end as usize)),
    }
}
