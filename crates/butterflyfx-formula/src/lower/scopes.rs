//! Names: where each is bound, and how a unit reaches what an outer unit bound.

use super::{Lowered, Lowerer, did_you_mean};
use crate::ast::Bytes;
use crate::builtins::Builtin;
use crate::code::Op;
use crate::expression_type::ExpressionType;
use crate::parse::Parsed;
use crate::template::*;

/// The names bound together: by a lambda's parameters or by one comprehension.
#[derive(Debug)]
pub(super) struct Scope {
    /// The unit whose frame holds them.
    unit: usize,
    variables: Vec<(Box<str>, usize)>,
}

impl Scope {
    pub(super) fn new(unit: usize) -> Scope {
        Scope { unit, variables: Vec::new() }
    }

    pub(super) fn get(&self, name: &str) -> Option<usize> {
        self.variables.iter().find(|(other, _)| &**other == name).map(|(_, variable)| *variable)
    }
}

/// A variable while its unit is lowered.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) unit: usize,
    /// Its local.
    pub(super) slot: u16,
    /// Its cell, once an inner unit was seen to use it.
    pub(super) cell: Option<u16>,
    pub(super) is_parameter: bool,
    /// Whether code from here on finds it bound for sure.
    pub(super) is_bound: bool,
    /// Instructions of its own unit that name its local; they turn to the cell if it gets one.
    pub(super) uses: Vec<usize>,
}

/// Where a name leads.
#[derive(Debug)]
pub(super) enum Place {
    /// A variable of the current unit.
    Here(usize),
    /// A capture of the current unit.
    Captured(u16),
}

impl Lowerer<'_> {
    /// Declares a variable in the innermost scope and the current unit.
    pub(super) fn declare(&mut self, name: &str, is_parameter: bool) -> usize {
        let unit = &mut self.units[self.unit].unit;
        let slot = unit.locals;
        unit.locals += 1;
        unit.local_names.push(name.into());
        self.variables.push(Variable {
            unit: self.unit,
            slot,
            cell: None,
            is_parameter,
            is_bound: is_parameter,
            uses: Vec::new(),
        });
        let variable = self.variables.len() - 1;
        if let Some(scope) = self.scopes.last_mut() {
            scope.variables.push((name.into(), variable));
        }
        variable
    }

    /// Whether a name is bound by the formula itself, and so hides a built-in.
    pub(super) fn is_bound(&self, name: &str) -> bool {
        self.find(name).is_some()
    }

    /// Whether a name means the formula's own `**kw` parameter, read in the formula's own unit.
    pub(super) fn is_keywords(&self, name: &str) -> bool {
        let main = &self.units[0].unit;
        self.unit == 0
            && main.has_rest
            && self.find(name).is_some_and(|variable| {
                let variable = &self.variables[variable];
                variable.unit == 0 && usize::from(variable.slot) == main.parameters.len()
            })
    }

    fn find(&self, name: &str) -> Option<usize> {
        // A default of the formula is lowered in a unit of its own that sees nothing outside.
        self.scopes.iter().rev().find_map(|scope| scope.get(name))
    }

    /// Where a name leads, making cells and captures on the way.
    pub(super) fn resolve(&mut self, name: &str) -> Option<Place> {
        let variable = self.find(name)?;
        if self.variables[variable].unit == self.unit {
            return Some(Place::Here(variable));
        }
        self.capture(self.unit, variable).map(Place::Captured)
    }

    /// The capture of `unit` that holds a variable of an outer unit. Units between pass it on.
    fn capture(&mut self, unit: usize, variable: usize) -> Option<u16> {
        let known = self.units[unit].capture_variables.iter().position(|other| *other == variable);
        if let Some(index) = known {
            return Some(index as u16);
        }
        let around = self.unit_around(unit)?;
        let source = if self.variables[variable].unit == around {
            Capture::Cell(self.cell(variable))
        } else {
            Capture::Captured(self.capture(around, variable)?)
        };
        let owner = &self.variables[variable];
        let name = self.units[owner.unit].unit.local_names[usize::from(owner.slot)].clone();
        let builder = &mut self.units[unit];
        builder.capture_variables.push(variable);
        builder.unit.captures.push(source);
        builder.unit.captured_names.push(name);
        Some((builder.unit.captures.len() - 1) as u16)
    }

    /// The unit in whose code a unit is made: that of the next scope outwards.
    fn unit_around(&self, unit: usize) -> Option<usize> {
        let innermost = self.scopes.iter().position(|scope| scope.unit == unit)?;
        Some(self.scopes[innermost.checked_sub(1)?].unit)
    }

    fn cell(&mut self, variable: usize) -> u16 {
        if let Some(cell) = self.variables[variable].cell {
            return cell;
        }
        let unit = &mut self.units[self.variables[variable].unit].unit;
        let cell = unit.cells;
        unit.cells += 1;
        self.variables[variable].cell = Some(cell);
        cell
    }

    /// Emits the reading of a name.
    pub(super) fn load(&mut self, name: &str, at: Bytes) -> Parsed<()> {
        let op = match self.resolve(name) {
            Some(Place::Captured(index)) => Op::Captured(index),
            Some(Place::Here(variable)) => {
                let Variable { slot, is_bound, .. } = self.variables[variable];
                let op = self.emit(if is_bound { Op::Local(slot) } else { Op::LocalChecked(slot) }, at);
                self.variables[variable].uses.push(op);
                return Ok(());
            }
            None if name == "math" => {
                return Err(
                    self.refuse(at, "`math` is a module; write one of its members, as in `math.sqrt(x)`")
                );
            }
            None => match Builtin::from_name(name) {
                Some(builtin) => Op::Builtin(builtin),
                None if self.kind == ExpressionType::Formula => {
                    self.count_name(name, at)?;
                    return self.free_parameter(name, at);
                }
                None => return Err(self.unknown_name(name, at)),
            },
        };
        self.emit(op, at);
        Ok(())
    }

    /// A free name of a formula is a parameter of it, in order of first use.
    fn free_parameter(&mut self, name: &str, at: Bytes) -> Parsed<()> {
        // It belongs to the outermost scope, wherever it is first read. Its local is moved to
        // the front when the formula is finished.
        let unit = &mut self.units[0].unit;
        let slot = unit.locals;
        unit.locals += 1;
        unit.local_names.push(name.into());
        unit.parameters.push(UnitParameter { name: name.into(), has_default: false, keyword_only: false });
        let variable =
            Variable { unit: 0, slot, cell: None, is_parameter: true, is_bound: true, uses: Vec::new() };
        self.variables.push(variable);
        let variable = self.variables.len() - 1;
        self.scopes[0].variables.push((name.into(), variable));
        self.load(name, at)
    }

    #[cold]
    pub(super) fn unknown_name(&self, name: &str, at: Bytes) -> crate::error::FormulaError {
        let advice = match name {
            "set" | "frozenset" => "; use a list or a dict".to_owned(),
            "bytes" | "bytearray" => "; use a str".to_owned(),
            "print" | "input" | "open" | "exec" | "eval" | "compile" | "__import__" | "globals"
            | "locals" => "; a formula reaches nothing outside".to_owned(),
            "isinstance" | "type" | "issubclass" => "; types cannot be asked for".to_owned(),
            "iter" | "next" => "; use a comprehension, or index a list".to_owned(),
            "format" => "; use an f-string: f'{x:.2f}'".to_owned(),
            _ => {
                let known = self.scopes.iter().flat_map(|scope| &scope.variables).map(|(name, _)| &**name);
                match known.filter(|known| super::distance(known, name) <= 1 && name.len() > 2).min() {
                    Some(known) => format!("; did you mean `{known}`?"),
                    None => did_you_mean(name, Builtin::names(), ""),
                }
            }
        };
        let role = match self.kind {
            ExpressionType::Lambda => "is no parameter, variable or accepted built-in",
            _ => "is no accepted built-in",
        };
        self.refuse(at, format!("the name `{name}` {role}{advice}"))
    }

    /// Puts everything together: cells in place of locals, parameters first.
    pub(super) fn finish(mut self) -> Lowered {
        for index in 0..self.variables.len() {
            let variable = &self.variables[index];
            let Some(cell) = variable.cell else { continue };
            let (unit, slot, is_parameter) = (variable.unit, variable.slot, variable.is_parameter);
            let unit = &mut self.units[unit].unit;
            if is_parameter {
                // A parameter never changes: its own unit goes on reading the local.
                unit.parameter_cells.push((slot, cell));
                continue;
            }
            for &op in &self.variables[index].uses {
                let op = &mut unit.ops[op];
                *op = match *op {
                    Op::Local(_) | Op::LocalChecked(_) => Op::Cell(cell),
                    Op::StoreLocal(_) => Op::StoreCell(cell),
                    Op::ClearLocal(_) => Op::MakeCell(cell),
                    other => other,
                };
            }
        }
        if self.kind == ExpressionType::Formula {
            self.move_parameters_first();
        }
        let constants = self.constants.len() as u16;
        let (units, spans) = self.units.into_iter().map(|builder| (builder.unit, builder.spans)).unzip();
        Lowered {
            template: Template::new(
                units,
                self.default_units,
                self.names,
                self.keyword_lists,
                false,
                constants,
            ),
            constants: self.constants,
            spans,
        }
    }

    /// Renumbers the locals of the formula's own unit so that its parameters, found while
    /// lowering, are the first.
    fn move_parameters_first(&mut self) {
        let unit = &mut self.units[0].unit;
        let is_parameter = |slot: u16| {
            self.variables
                .iter()
                .any(|variable| variable.unit == 0 && variable.slot == slot && variable.is_parameter)
        };
        let (parameters, others): (Vec<u16>, Vec<u16>) =
            (0..unit.locals).partition(|slot| is_parameter(*slot));
        let order: Vec<u16> = parameters.into_iter().chain(others).collect();
        let mut renumbered = vec![0; order.len()];
        for (new, &old) in order.iter().enumerate() {
            renumbered[usize::from(old)] = new as u16;
        }
        for op in &mut unit.ops {
            if let Op::Local(slot) | Op::LocalChecked(slot) | Op::StoreLocal(slot) | Op::ClearLocal(slot) = op
            {
                *slot = renumbered[usize::from(*slot)];
            }
        }
        for (slot, _) in &mut unit.parameter_cells {
            *slot = renumbered[usize::from(*slot)];
        }
        unit.local_names = order.iter().map(|&old| unit.local_names[usize::from(old)].clone()).collect();
    }
}
