//! Calls of values, and how arguments bind to an inner lambda's parameters.

use super::frame::Frame;
use super::{Cell, Interpreter, Program};
use crate::dict::Dict;
use crate::error::{Raise, Result};
use crate::teardown::drop_children;
use crate::template::{Template, Unit};
use crate::text::Text;
use crate::value::Value;
use crate::{builtins, math, methods};
use std::cell::OnceCell;
use std::sync::Arc;

/// What a call is given.
#[derive(Clone, Copy, Debug)]
pub struct Arguments<'a> {
    /// In order.
    pub positional: &'a [Value],
    /// By name, in order, each name once.
    pub keywords: &'a [(Text, Value)],
}

impl<'a> Arguments<'a> {
    /// Arguments without names.
    pub fn positional(positional: &'a [Value]) -> Arguments<'a> {
        Arguments { positional, keywords: &[] }
    }
}

/// An inner lambda with what it captured.
#[derive(Debug)]
pub struct Function {
    pub(super) template: Arc<Template>,
    pub(super) constants: Arc<[Value]>,
    pub(super) unit: u16,
    pub(super) captured: Box<[Cell]>,
    pub(super) defaults: Vec<Value>,
}

impl Function {
    /// Whether it sees variables around it. Their values live only as long as the invocation.
    pub(crate) fn captures(&self) -> bool {
        !self.captured.is_empty()
    }

    /// The values of its parameters' defaults.
    pub(crate) fn defaults(&self) -> &[Value] {
        &self.defaults
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let mut children = std::mem::take(&mut self.defaults);
        for cell in std::mem::take(&mut self.captured) {
            // Only the last owner of a cell drops what is in it.
            if let Some(cell) = Arc::into_inner(cell)
                && let Ok(Some(value)) = cell.into_inner()
            {
                children.push(value);
            }
        }
        drop_children(children);
    }
}

impl Interpreter {
    /// Calls any callable value.
    ///
    /// # Errors
    /// `TypeError` ("'int' object is not callable"), or what the function raises.
    pub fn call(&mut self, function: &Value, arguments: Arguments<'_>) -> Result<Value> {
        match function {
            Value::Function(function) => self.call_function(function, arguments),
            Value::Builtin(builtin) => builtins::call(self, *builtin, arguments),
            Value::Math(function) => math::call(self, *function, arguments),
            Value::BoundMethod(bound) => methods::call(self, &bound.receiver, bound.method, arguments),
            other => Err(Raise::type_error(format!("'{}' object is not callable", other.type_name()))),
        }
    }

    /// `function(*positional, **keywords)` with both already built.
    pub(super) fn call_unpacked(
        &mut self,
        function: &Value,
        positional: &Value,
        keywords: &Value,
    ) -> Result<Value> {
        let positional: &[Value] = if let Value::Tuple(items) = positional { items } else { &[] };
        let keywords: Vec<(Text, Value)> = match keywords {
            Value::Dict(dict) => dict
                .iter()
                .filter_map(|(key, value)| match key {
                    Value::Str(name) => Some((name.clone(), value.clone())),
                    _ => None,
                })
                .collect(),
            _ => Vec::new(),
        };
        self.call(function, Arguments { positional, keywords: &keywords })
    }

    fn call_function(&mut self, function: &Function, arguments: Arguments<'_>) -> Result<Value> {
        self.meter.enter_call()?;
        let base = self.stack.len();
        let result = self.run_function(function, arguments, base);
        self.stack.truncate(base);
        self.meter.leave_call();
        result
    }

    fn run_function(&mut self, function: &Function, arguments: Arguments<'_>, base: usize) -> Result<Value> {
        let unit = &function.template.units[usize::from(function.unit)];
        self.bind_arguments(unit, &function.defaults, arguments)?;
        let shared = OnceCell::from(function.constants.clone());
        let program =
            Program { template: &function.template, constants: &function.constants, shared: &shared };
        let mut frame = Frame::new(&program, function.unit, base, &function.captured);
        self.enter(&mut frame)?;
        self.run(&mut frame)
    }

    /// Pushes the values of a lambda's parameters, `**rest` last, as CPython binds them.
    fn bind_arguments(&mut self, unit: &Unit, defaults: &[Value], arguments: Arguments<'_>) -> Result<()> {
        let parameters = &unit.parameters;
        let takes_positional = parameters.iter().filter(|parameter| !parameter.keyword_only).count();
        let mut rest = Dict::new();
        for (name, value) in arguments.keywords {
            match parameters.iter().position(|parameter| *parameter.name == *name.as_str()) {
                Some(index) if !parameters[index].keyword_only && index < arguments.positional.len() => {
                    return Err(Raise::type_error(format!(
                        "<lambda>() got multiple values for argument '{}'",
                        name.as_str()
                    )));
                }
                Some(_) => {}
                None if unit.has_rest => {
                    self.meter.dict_entry(rest.len() + 1)?;
                    rest.insert_str(name.clone(), value.clone());
                }
                None => {
                    return Err(Raise::type_error(format!(
                        "<lambda>() got an unexpected keyword argument '{}'",
                        name.as_str()
                    )));
                }
            }
        }
        if arguments.positional.len() > takes_positional {
            return Err(too_many_positional(unit, takes_positional, arguments));
        }
        let mut defaults = defaults.iter();
        let mut missing: [Vec<&str>; 2] = [Vec::new(), Vec::new()];
        for (index, parameter) in parameters.iter().enumerate() {
            let default = if parameter.has_default { defaults.next() } else { None };
            let positional = if parameter.keyword_only { None } else { arguments.positional.get(index) };
            let by_name = || {
                let named = arguments.keywords.iter().find(|(name, _)| *name.as_str() == *parameter.name);
                named.map(|(_, value)| value)
            };
            match positional.or_else(by_name).or(default) {
                Some(value) => self.stack.push(value.clone()),
                None => missing[usize::from(parameter.keyword_only)].push(&parameter.name),
            }
        }
        for (names, kind) in missing.iter().zip(["positional", "keyword-only"]) {
            if !names.is_empty() {
                return Err(missing_arguments(names, kind));
            }
        }
        if unit.has_rest {
            self.stack.push(Value::Dict(Arc::new(rest)));
        }
        Ok(())
    }
}

#[cold]
fn too_many_positional(unit: &Unit, takes: usize, arguments: Arguments<'_>) -> Box<Raise> {
    let positional = unit.parameters.iter().filter(|parameter| !parameter.keyword_only);
    let optional = positional.filter(|parameter| parameter.has_default).count();
    let given = arguments.positional.len();
    let keyword_only_given = arguments
        .keywords
        .iter()
        .filter(|(name, _)| {
            unit.parameters
                .iter()
                .any(|parameter| parameter.keyword_only && *parameter.name == *name.as_str())
        })
        .count();
    let takes_text =
        if optional == 0 { takes.to_string() } else { format!("from {} to {takes}", takes - optional) };
    let plural = if takes == 1 && optional == 0 { "" } else { "s" };
    let was = if given == 1 && keyword_only_given == 0 { "was" } else { "were" };
    let given_text = if keyword_only_given > 0 {
        format!(
            "{given} positional argument{} (and {keyword_only_given} keyword-only argument{})",
            if given == 1 { "" } else { "s" },
            if keyword_only_given == 1 { "" } else { "s" }
        )
    } else {
        given.to_string()
    };
    Raise::type_error(format!(
        "<lambda>() takes {takes_text} positional argument{plural} but {given_text} {was} given"
    ))
}

#[cold]
fn missing_arguments(names: &[&str], kind: &str) -> Box<Raise> {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    let listed = match quoted.as_slice() {
        [one] => one.clone(),
        [first, second] => format!("{first} and {second}"),
        [most @ .., last] => format!("{}, and {last}", most.join(", ")),
        [] => String::new(),
    };
    let plural = if names.len() == 1 { "" } else { "s" };
    Raise::type_error(format!(
        "<lambda>() missing {} required {kind} argument{plural}: {listed}",
        names.len()
    ))
}
