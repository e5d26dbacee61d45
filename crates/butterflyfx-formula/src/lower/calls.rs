//! Calls: the direct forms that need no function value, and the general one.

use super::Lowerer;
use crate::ast::{Argument, Bytes, Expr, ExprKind};
use crate::builtins::Builtin;
use crate::code::Op;
use crate::expression_type::ExpressionType;
use crate::parse::Parsed;
use crate::value::Value;

impl Lowerer<'_> {
    pub(super) fn call(&mut self, function: &Expr, arguments: &[Argument], at: Bytes) -> Parsed<()> {
        if self.keywords_get(function, arguments, at)? {
            return Ok(());
        }
        if let ExprKind::Name(name) = &function.kind {
            self.check_callable(name, function.at)?;
        }
        let all_positional = arguments.iter().all(|argument| matches!(argument, Argument::Positional(_)));
        if all_positional {
            return self.positional_call(function, arguments, at);
        }
        self.expression(function)?;
        let unpacks = arguments
            .iter()
            .any(|argument| matches!(argument, Argument::Unpack(_) | Argument::UnpackKeywords(_)));
        if unpacks { self.unpacked_call(arguments, at) } else { self.keyword_call(arguments, at) }
    }

    /// `kw.get('x')`, `kw.get('x', default)` of the formula's own `**kw`: one instruction.
    fn keywords_get(&mut self, function: &Expr, arguments: &[Argument], at: Bytes) -> Parsed<bool> {
        let ExprKind::Attribute(owner, method) = &function.kind else { return Ok(false) };
        let ExprKind::Name(owner) = &owner.kind else { return Ok(false) };
        if &**method != "get" || !self.is_keywords(owner) {
            return Ok(false);
        }
        let (key, default) = match arguments {
            [Argument::Positional(key)] => (key, None),
            [Argument::Positional(key), Argument::Positional(default)] => (key, Some(default)),
            _ => return Ok(false),
        };
        let ExprKind::Constant(Value::Str(key)) = &key.kind else { return Ok(false) };
        let name = self.name(key.as_str(), at)?;
        let op = match default {
            None => Op::KeywordOrNone(name),
            Some(Expr { kind: ExprKind::Constant(default), at: default_at }) => {
                Op::KeywordOrConstant { name, constant: self.constant(default, *default_at)? }
            }
            Some(default) => {
                self.expression(default)?;
                Op::KeywordOr(name)
            }
        };
        self.emit(op, at);
        Ok(true)
    }

    /// In a formula of free names a called name must be a built-in: parameters are values.
    fn check_callable(&self, name: &str, at: Bytes) -> Parsed<()> {
        let is_parameter = self.units[0].unit.parameters.iter().any(|parameter| &*parameter.name == name);
        let is_free = !self.is_bound(name) || is_parameter && !self.is_inner(name);
        if self.kind == ExpressionType::Formula && is_free && Builtin::from_name(name).is_none() {
            let mut error = self.unknown_name(name, at);
            if is_parameter {
                error.message =
                    format!("the parameter `{name}` is called; parameters are values, not functions");
            }
            return Err(error);
        }
        Ok(())
    }

    /// Whether the innermost binding of a name is not the outermost scope's.
    fn is_inner(&self, name: &str) -> bool {
        self.scopes[1..].iter().any(|scope| scope.get(name).is_some())
    }

    fn positional_call(&mut self, function: &Expr, arguments: &[Argument], at: Bytes) -> Parsed<()> {
        let count = arguments.len() as u16;
        let op = match &function.kind {
            ExprKind::Name(name) if !self.is_bound(name) => match Builtin::from_name(name) {
                Some(builtin) => Op::CallBuiltin(builtin, count),
                None => return Err(self.unknown_name(name, function.at)),
            },
            ExprKind::Attribute(owner, name) => match self.math_member(owner, name, function.at)? {
                Some(Op::Math(function)) => Op::CallMath(function, count),
                Some(constant) => {
                    self.emit(constant, function.at);
                    Op::Call(count)
                }
                None => {
                    let method = self.method(owner, name, function.at)?;
                    self.expression(owner)?;
                    // Python looks the method up before it evaluates the arguments.
                    if !arguments.iter().all(is_plain) {
                        self.emit(Op::CheckMethod(method), function.at);
                    }
                    Op::CallMethod(method, count)
                }
            },
            _ => {
                self.expression(function)?;
                Op::Call(count)
            }
        };
        for argument in arguments {
            if let Argument::Positional(value) = argument {
                self.expression(value)?;
            }
        }
        self.emit(op, at);
        Ok(())
    }

    fn keyword_call(&mut self, arguments: &[Argument], at: Bytes) -> Parsed<()> {
        let mut positional = 0;
        for argument in arguments {
            if let Argument::Positional(value) = argument {
                self.expression(value)?;
                positional += 1;
            }
        }
        let mut names = Vec::new();
        for argument in arguments {
            if let Argument::Keyword(name, value) = argument {
                names.push(self.name(name, at)?);
                self.expression(value)?;
            }
        }
        self.keyword_lists.push(names);
        let names = (self.keyword_lists.len() - 1) as u16;
        self.emit(Op::CallKeywords { positional, names }, at);
        Ok(())
    }

    /// As Python, positional arguments and `*` first, wherever they stand; then keywords and `**`.
    fn unpacked_call(&mut self, arguments: &[Argument], at: Bytes) -> Parsed<()> {
        self.emit(Op::NewList, at);
        for argument in arguments {
            match argument {
                Argument::Positional(value) => {
                    self.expression(value)?;
                    self.emit(Op::Append, value.at);
                }
                Argument::Unpack(value) => {
                    self.expression(value)?;
                    self.emit(Op::Extend, value.at);
                }
                _ => {}
            }
        }
        self.emit(Op::FinishTuple, at);
        self.emit(Op::NewDict, at);
        for argument in arguments {
            match argument {
                Argument::Keyword(name, value) => {
                    let name = self.name(name, at)?;
                    self.expression(value)?;
                    self.emit(Op::InsertKeyword(name), value.at);
                }
                Argument::UnpackKeywords(value) => {
                    self.expression(value)?;
                    self.emit(Op::UpdateKeywords, value.at);
                }
                _ => {}
            }
        }
        self.emit(Op::FinishDict, at);
        self.emit(Op::CallUnpacked, at);
        Ok(())
    }
}

/// Whether evaluating an argument cannot raise.
fn is_plain(argument: &Argument) -> bool {
    matches!(argument, Argument::Positional(Expr { kind: ExprKind::Constant(_) | ExprKind::Name(_), .. }))
}
