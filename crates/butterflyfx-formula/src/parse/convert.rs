//! The parser library's tree to ours, with the refusals.

use super::{Parsed, too_many};
use crate::ast::*;
use crate::error::{FormulaError, FormulaErrorKind};
use crate::limits::{Limit, Limits};
use crate::operate::{BinaryOp, UnaryOp};
use crate::scan::span_between;
use crate::value::Value;
use num_bigint::BigInt;
use num_traits::Num;
use ruff_python_ast as ruff;
use ruff_text_size::{Ranged, TextRange};

/// Walks the parser's tree. Recursion is bounded by the text's length; the caller gave it room.
pub(super) struct Converter<'a> {
    pub(super) text: &'a str,
    /// Byte offset in `text` at which the parsed source begins.
    pub(super) start: usize,
    pub(super) nodes: usize,
    pub(super) limits: &'a Limits,
}

impl Converter<'_> {
    fn at(&self, range: TextRange) -> Bytes {
        let offset = |size: ruff_text_size::TextSize| self.start as u32 + u32::from(size);
        Bytes { start: offset(range.start()), end: offset(range.end()) }
    }

    fn source(&self, range: TextRange) -> &str {
        let at = self.at(range);
        &self.text[at.start as usize..at.end as usize]
    }

    #[cold]
    fn error(&self, kind: FormulaErrorKind, range: TextRange, message: String) -> FormulaError {
        let at = self.at(range);
        FormulaError {
            kind,
            message,
            span: Some(span_between(self.text, at.start as usize, at.end as usize)),
        }
    }

    #[cold]
    fn refuse<T>(&self, node: &impl Ranged, message: &str) -> Parsed<T> {
        Err(self.error(FormulaErrorKind::NotSupported, node.range(), message.to_owned()))
    }

    #[cold]
    fn syntax<T>(&self, node: &impl Ranged, message: &str) -> Parsed<T> {
        Err(self.error(FormulaErrorKind::Syntax, node.range(), format!("invalid syntax: {message}")))
    }

    fn boxed(&mut self, expr: &ruff::Expr) -> Parsed<Box<Expr>> {
        self.expression(expr).map(Box::new)
    }

    fn all(&mut self, exprs: &[ruff::Expr]) -> Parsed<Vec<Expr>> {
        exprs.iter().map(|expr| self.expression(expr)).collect()
    }

    /// Counts a node, then turns it into ours.
    pub(super) fn expression(&mut self, expr: &ruff::Expr) -> Parsed<Expr> {
        let at = self.at(expr.range());
        self.nodes += 1;
        if self.nodes > self.limits.nodes {
            let bound = self.limits.nodes;
            return Err(too_many(Limit::SyntaxNodes, "syntax nodes", bound, self.text, at));
        }
        let kind = match expr {
            ruff::Expr::BoolOp(node) => {
                let operands = self.all(&node.values)?;
                match node.op {
                    ruff::BoolOp::And => ExprKind::And(operands),
                    ruff::BoolOp::Or => ExprKind::Or(operands),
                }
            }
            ruff::Expr::BinOp(node) => {
                let op = self.binary_op(node)?;
                ExprKind::Binary(op, self.boxed(&node.left)?, self.boxed(&node.right)?)
            }
            ruff::Expr::UnaryOp(node) => {
                let operand = self.boxed(&node.operand)?;
                match node.op {
                    ruff::UnaryOp::Not => ExprKind::Not(operand),
                    ruff::UnaryOp::Invert => ExprKind::Unary(UnaryOp::Invert, operand),
                    ruff::UnaryOp::UAdd => ExprKind::Unary(UnaryOp::Plus, operand),
                    ruff::UnaryOp::USub => ExprKind::Unary(UnaryOp::Negate, operand),
                }
            }
            ruff::Expr::Lambda(node) => ExprKind::Lambda(Box::new(self.lambda(node)?)),
            ruff::Expr::If(node) => ExprKind::Conditional {
                test: self.boxed(&node.test)?,
                then: self.boxed(&node.body)?,
                otherwise: self.boxed(&node.orelse)?,
            },
            ruff::Expr::Dict(node) => ExprKind::Dict(
                node.items
                    .iter()
                    .map(|item| {
                        let key = item.key.as_ref().map(|key| self.expression(key)).transpose()?;
                        Ok((key, self.expression(&item.value)?))
                    })
                    .collect::<Parsed<_>>()?,
            ),
            ruff::Expr::ListComp(node) => {
                let element = self.boxed(&node.elt)?;
                ExprKind::ListComprehension(element, self.clauses(&node.generators)?)
            }
            ruff::Expr::DictComp(node) => {
                let Some(key) = &node.key else {
                    return self.syntax(node, "dict unpacking cannot be used in a dict comprehension");
                };
                let pair = (self.expression(key)?, self.expression(&node.value)?);
                ExprKind::DictComprehension(Box::new(pair), self.clauses(&node.generators)?)
            }
            ruff::Expr::Generator(node) => {
                let element = self.boxed(&node.elt)?;
                ExprKind::Generator(element, self.clauses(&node.generators)?)
            }
            ruff::Expr::Compare(node) => {
                let first = self.boxed(&node.left)?;
                let rest = node
                    .ops
                    .iter()
                    .zip(&node.comparators)
                    .map(|(op, operand)| Ok((compare_op(*op), self.expression(operand)?)))
                    .collect::<Parsed<Vec<_>>>()?;
                self.check_identity_tests(node, &first, &rest)?;
                ExprKind::Compare(first, rest)
            }
            ruff::Expr::Call(node) => {
                ExprKind::Call(self.boxed(&node.func)?, self.arguments(&node.arguments)?)
            }
            ruff::Expr::FString(node) => self.f_string(node)?,
            ruff::Expr::StringLiteral(node) => {
                for part in &node.value {
                    self.check_surrogates(part.range, part.flags.prefix().is_raw())?;
                }
                ExprKind::Constant(Value::str(node.value.to_str()))
            }
            ruff::Expr::NumberLiteral(node) => ExprKind::Constant(match &node.value {
                ruff::Number::Int(int) => match int.as_i64() {
                    Some(small) => Value::Int(small),
                    None => self.big_integer(node)?,
                },
                ruff::Number::Float(float) => Value::Float(*float),
                ruff::Number::Complex { .. } => {
                    return self.refuse(node, "complex numbers are not supported");
                }
            }),
            ruff::Expr::BooleanLiteral(node) => ExprKind::Constant(Value::Bool(node.value)),
            ruff::Expr::NoneLiteral(_) => ExprKind::Constant(Value::None),
            ruff::Expr::Attribute(node) => {
                ExprKind::Attribute(self.boxed(&node.value)?, node.attr.as_str().into())
            }
            ruff::Expr::Subscript(node) => {
                let value = self.boxed(&node.value)?;
                match &*node.slice {
                    ruff::Expr::Slice(slice) => {
                        let mut bound = |part: &Option<Box<ruff::Expr>>| {
                            part.as_ref().map(|part| self.boxed(part)).transpose()
                        };
                        ExprKind::Slice(
                            value,
                            [bound(&slice.lower)?, bound(&slice.upper)?, bound(&slice.step)?],
                        )
                    }
                    index => ExprKind::Subscript(value, self.boxed(index)?),
                }
            }
            ruff::Expr::Name(node) => {
                self.check_name(node, node.id.as_str())?;
                ExprKind::Name(node.id.as_str().into())
            }
            ruff::Expr::List(node) => ExprKind::List(self.elements(&node.elts)?),
            ruff::Expr::Tuple(node) => ExprKind::Tuple(self.elements(&node.elts)?),
            ruff::Expr::Named(node) => {
                return self
                    .refuse(node, "`:=` is not supported; repeat the expression or call a lambda with it");
            }
            ruff::Expr::Set(node) => {
                return self.refuse(node, "sets are not supported; use a list or a dict");
            }
            ruff::Expr::SetComp(node) => {
                return self
                    .refuse(node, "set comprehensions are not supported; use a list or dict comprehension");
            }
            ruff::Expr::Await(node) => return self.refuse(node, "`await` is not supported"),
            ruff::Expr::Yield(node) => return self.refuse(node, "`yield` is not supported"),
            ruff::Expr::YieldFrom(node) => return self.refuse(node, "`yield from` is not supported"),
            ruff::Expr::TString(node) => {
                return self.refuse(node, "template strings are not supported; use an f-string");
            }
            ruff::Expr::BytesLiteral(node) => return self.refuse(node, "bytes are not supported; use a str"),
            ruff::Expr::EllipsisLiteral(node) => {
                return self.refuse(node, "`...` is not supported; use None");
            }
            ruff::Expr::Starred(node) => return self.syntax(node, "a starred expression cannot stand here"),
            ruff::Expr::Slice(node) => {
                return self.refuse(node, "slices inside a tuple subscript are not supported");
            }
            ruff::Expr::IpyEscapeCommand(node) => return self.syntax(node, "not a Python expression"),
        };
        Ok(Expr { kind, at })
    }

    fn binary_op(&self, node: &ruff::ExprBinOp) -> Parsed<BinaryOp> {
        Ok(match node.op {
            ruff::Operator::Add => BinaryOp::Add,
            ruff::Operator::Sub => BinaryOp::Subtract,
            ruff::Operator::Mult => BinaryOp::Multiply,
            ruff::Operator::Div => BinaryOp::Divide,
            ruff::Operator::Mod => {
                if matches!(&*node.left, ruff::Expr::StringLiteral(_) | ruff::Expr::FString(_)) {
                    return self.refuse(node, "`%` formatting is not supported; use an f-string: f'{x}'");
                }
                BinaryOp::Modulo
            }
            ruff::Operator::Pow => BinaryOp::Power,
            ruff::Operator::LShift => BinaryOp::ShiftLeft,
            ruff::Operator::RShift => BinaryOp::ShiftRight,
            ruff::Operator::BitOr => BinaryOp::BitOr,
            ruff::Operator::BitXor => BinaryOp::BitXor,
            ruff::Operator::BitAnd => BinaryOp::BitAnd,
            ruff::Operator::FloorDiv => BinaryOp::FloorDivide,
            ruff::Operator::MatMult => return self.refuse(node, "`@` is not supported"),
        })
    }

    /// `is` compares identities; only those of None, True and False mean something here.
    fn check_identity_tests(
        &self,
        node: &ruff::ExprCompare,
        first: &Expr,
        rest: &[(CompareOp, Expr)],
    ) -> Parsed<()> {
        let singleton = |expr: &Expr| matches!(expr.kind, ExprKind::Constant(Value::None | Value::Bool(_)));
        let mut left = first;
        for (op, right) in rest {
            if matches!(op, CompareOp::Is | CompareOp::IsNot) && !singleton(left) && !singleton(right) {
                return self.refuse(node, "`is` is supported with None, True and False only; use `==`");
            }
            left = right;
        }
        Ok(())
    }

    fn check_name(&self, node: &impl Ranged, name: &str) -> Parsed<()> {
        if name == "__debug__" {
            return self.refuse(node, "`__debug__` is not supported");
        }
        Ok(())
    }

    fn elements(&mut self, exprs: &[ruff::Expr]) -> Parsed<Vec<Element>> {
        exprs
            .iter()
            .map(|expr| match expr {
                ruff::Expr::Starred(node) => {
                    Ok(Element { value: self.expression(&node.value)?, unpack: true })
                }
                _ => Ok(Element { value: self.expression(expr)?, unpack: false }),
            })
            .collect()
    }

    fn arguments(&mut self, arguments: &ruff::Arguments) -> Parsed<Vec<Argument>> {
        let mut names: Vec<&str> = Vec::new();
        let mut converted = Vec::with_capacity(arguments.args.len() + arguments.keywords.len());
        for argument in arguments.iter_source_order() {
            converted.push(match argument {
                ruff::ArgOrKeyword::Arg(ruff::Expr::Starred(node)) => {
                    Argument::Unpack(self.expression(&node.value)?)
                }
                ruff::ArgOrKeyword::Arg(expr) => Argument::Positional(self.expression(expr)?),
                ruff::ArgOrKeyword::Keyword(keyword) => match &keyword.arg {
                    Some(name) => {
                        self.check_name(keyword, name.as_str())?;
                        if names.contains(&name.as_str()) {
                            return self.syntax(keyword, &format!("keyword argument repeated: {name}"));
                        }
                        names.push(name.as_str());
                        Argument::Keyword(name.as_str().into(), self.expression(&keyword.value)?)
                    }
                    None => Argument::UnpackKeywords(self.expression(&keyword.value)?),
                },
            });
        }
        Ok(converted)
    }

    fn clauses(&mut self, generators: &[ruff::Comprehension]) -> Parsed<Vec<Clause>> {
        generators
            .iter()
            .map(|clause| {
                if clause.is_async {
                    return self.refuse(clause, "`async for` is not supported");
                }
                Ok(Clause {
                    target: self.target(&clause.target)?,
                    iterable: self.expression(&clause.iter)?,
                    conditions: self.all(&clause.ifs)?,
                })
            })
            .collect()
    }

    fn target(&mut self, target: &ruff::Expr) -> Parsed<Target> {
        let at = self.at(target.range());
        match target {
            ruff::Expr::Name(node) => {
                self.check_name(node, node.id.as_str())?;
                Ok(Target::Name(node.id.as_str().into(), at))
            }
            ruff::Expr::Tuple(ruff::ExprTuple { elts, .. })
            | ruff::Expr::List(ruff::ExprList { elts, .. }) => {
                let mut star = None;
                let mut targets = Vec::with_capacity(elts.len());
                for (index, element) in elts.iter().enumerate() {
                    match element {
                        ruff::Expr::Starred(_) if star.is_some() => {
                            return self.syntax(element, "multiple starred expressions in assignment");
                        }
                        ruff::Expr::Starred(node) => {
                            star = Some(index);
                            targets.push(self.target(&node.value)?);
                        }
                        _ => targets.push(self.target(element)?),
                    }
                }
                Ok(Target::Tuple(targets, star, at))
            }
            ruff::Expr::Starred(_) => {
                self.syntax(target, "starred assignment target must be in a list or tuple")
            }
            _ => self.refuse(target, "a `for` binds names or tuples of names"),
        }
    }

    fn lambda(&mut self, node: &ruff::ExprLambda) -> Parsed<Lambda> {
        let mut parameters = Vec::new();
        let mut rest = None;
        if let Some(signature) = &node.parameters {
            if let Some(parameter) = signature.posonlyargs.first() {
                return self
                    .refuse(parameter, "positional-only parameters are not supported; leave out the `/`");
            }
            if let Some(parameter) = &signature.vararg {
                return self.refuse(
                    &**parameter,
                    "`*args` is not supported in a lambda's parameters; take a list as one parameter",
                );
            }
            let mut names: Vec<&str> = Vec::new();
            let plain = signature.args.iter().map(|parameter| (parameter, false));
            let keyword_only = signature.kwonlyargs.iter().map(|parameter| (parameter, true));
            let mut default_before = false;
            for (parameter, keyword_only) in plain.chain(keyword_only) {
                let name = parameter.parameter.name.as_str();
                self.check_name(parameter, name)?;
                if names.contains(&name) {
                    return self
                        .syntax(parameter, &format!("duplicate argument '{name}' in function definition"));
                }
                names.push(name);
                if !keyword_only {
                    if default_before && parameter.default.is_none() {
                        return self.syntax(
                            parameter,
                            "parameter without a default follows parameter with a default",
                        );
                    }
                    default_before = parameter.default.is_some();
                }
                let default =
                    parameter.default.as_ref().map(|default| self.expression(default)).transpose()?;
                parameters.push(Parameter { name: name.into(), default, keyword_only });
            }
            if let Some(parameter) = &signature.kwarg {
                let name = parameter.name.as_str();
                self.check_name(&**parameter, name)?;
                if names.contains(&name) {
                    return self.syntax(
                        &**parameter,
                        &format!("duplicate argument '{name}' in function definition"),
                    );
                }
                rest = Some(name.into());
            }
        }
        Ok(Lambda { parameters, rest, body: self.expression(&node.body)? })
    }

    fn f_string(&mut self, node: &ruff::ExprFString) -> Parsed<ExprKind> {
        let mut parts = Vec::new();
        for part in node.value.as_slice() {
            match part {
                ruff::FStringPart::Literal(literal) => {
                    self.check_surrogates(literal.range, literal.flags.prefix().is_raw())?;
                    push_text(&mut parts, &literal.value);
                }
                ruff::FStringPart::FString(string) => {
                    self.format_parts(&string.elements, string.flags.prefix().is_raw(), &mut parts)?;
                }
            }
        }
        Ok(ExprKind::Formatted(parts))
    }

    fn format_parts(
        &mut self,
        elements: &ruff::InterpolatedStringElements,
        raw: bool,
        parts: &mut Vec<FormatPart>,
    ) -> Parsed<()> {
        for element in elements {
            match element {
                ruff::InterpolatedStringElement::Literal(literal) => {
                    self.check_surrogates(literal.range, raw)?;
                    push_text(parts, &literal.value);
                }
                ruff::InterpolatedStringElement::Interpolation(field) => {
                    let mut conversion = match field.conversion {
                        ruff::ConversionFlag::None => Conversion::None,
                        ruff::ConversionFlag::Str => Conversion::Str,
                        ruff::ConversionFlag::Repr => Conversion::Repr,
                        ruff::ConversionFlag::Ascii => Conversion::Ascii,
                    };
                    if let Some(debug) = &field.debug_text {
                        push_text(parts, debug.as_str());
                        // As Python has it: `{x=}` shows the repr unless told otherwise.
                        if conversion == Conversion::None && field.format_spec.is_none() {
                            conversion = Conversion::Repr;
                        }
                    }
                    let value = self.expression(&field.expression)?;
                    let mut spec = Vec::new();
                    if let Some(format_spec) = &field.format_spec {
                        self.format_parts(&format_spec.elements, raw, &mut spec)?;
                    }
                    parts.push(FormatPart::Field { value, conversion, spec });
                }
            }
        }
        Ok(())
    }

    /// Refuses `\ud800` to `\udfff`: text here is Unicode scalar values only.
    fn check_surrogates(&self, range: TextRange, raw: bool) -> Parsed<()> {
        let source = self.source(range).as_bytes();
        if raw {
            return Ok(());
        }
        let mut at = 0;
        while at + 1 < source.len() {
            if source[at] != b'\\' {
                at += 1;
                continue;
            }
            let digits = match source[at + 1] {
                b'u' => source.get(at + 2..at + 6),
                b'U' => source.get(at + 2..at + 10),
                _ => None,
            };
            let code = digits
                .and_then(|digits| std::str::from_utf8(digits).ok())
                .and_then(|digits| u32::from_str_radix(digits, 16).ok());
            if matches!(code, Some(0xD800..=0xDFFF)) {
                return Err(self.error(
                    FormulaErrorKind::NotSupported,
                    range,
                    "surrogate code points (\\ud800 to \\udfff) are not supported in a str".to_owned(),
                ));
            }
            at += 2;
        }
        Ok(())
    }

    fn big_integer(&self, node: &ruff::ExprNumberLiteral) -> Parsed<Value> {
        let digits: String = self.source(node.range).chars().filter(|c| *c != '_').collect();
        let (digits, radix) = match digits.get(..2) {
            Some("0x" | "0X") => (&digits[2..], 16),
            Some("0o" | "0O") => (&digits[2..], 8),
            Some("0b" | "0B") => (&digits[2..], 2),
            _ => (&digits[..], 10),
        };
        let digits = digits.trim_start_matches('0');
        // Bits from digits, rounded down, before any digit is converted.
        let bits_of_digit = match radix {
            2 => 1,
            16 => 4,
            _ => 3,
        };
        let bits_at_least = digits.len().saturating_sub(1) as u64 * bits_of_digit;
        let too_large = || {
            let bound = self.limits.integer_bits;
            self.error(
                FormulaErrorKind::Limit(Limit::IntegerSize),
                node.range,
                format!("an integer may have at most {bound} bits"),
            )
        };
        if bits_at_least > self.limits.integer_bits {
            return Err(too_large());
        }
        match BigInt::from_str_radix(digits, radix) {
            Ok(value) if value.bits() <= self.limits.integer_bits => Ok(Value::big(value)),
            Ok(_) => Err(too_large()),
            Err(_) => self.syntax(node, "not an integer"),
        }
    }
}

fn push_text(parts: &mut Vec<FormatPart>, text: &str) {
    match parts.last_mut() {
        Some(FormatPart::Text(before)) => *before = format!("{before}{text}").into(),
        _ if text.is_empty() => {}
        _ => parts.push(FormatPart::Text(text.into())),
    }
}

fn compare_op(op: ruff::CmpOp) -> CompareOp {
    match op {
        ruff::CmpOp::Eq => CompareOp::Equal,
        ruff::CmpOp::NotEq => CompareOp::NotEqual,
        ruff::CmpOp::Lt => CompareOp::Less,
        ruff::CmpOp::LtE => CompareOp::LessOrEqual,
        ruff::CmpOp::Gt => CompareOp::Greater,
        ruff::CmpOp::GtE => CompareOp::GreaterOrEqual,
        ruff::CmpOp::Is => CompareOp::Is,
        ruff::CmpOp::IsNot => CompareOp::IsNot,
        ruff::CmpOp::In => CompareOp::In,
        ruff::CmpOp::NotIn => CompareOp::NotIn,
    }
}
