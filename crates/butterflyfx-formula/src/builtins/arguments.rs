//! Binds what a call is given to the parameters of a built-in, with CPython's refusals.
//!
//! CPython has four manners, each with messages of its own: no argument at all, exactly one,
//! positional ones only, and parameters with names. There is a function for each. The name of
//! a function is given as `len`, that of a method or module function with its owner, `str.find`.

use crate::error::{Raise, Result};
use crate::interpret::Arguments;
use crate::value::Value;

/// No argument at all.
///
/// # Errors
/// `TypeError`: "str.upper() takes no arguments (1 given)".
#[inline]
pub fn none(name: &str, arguments: Arguments<'_>) -> Result<()> {
    no_keywords(name, arguments)?;
    match arguments.positional.len() {
        0 => Ok(()),
        given => Err(Raise::type_error(format!("{name}() takes no arguments ({given} given)"))),
    }
}

/// Exactly one argument, by position.
///
/// # Errors
/// `TypeError`: "len() takes exactly one argument (2 given)".
#[inline]
pub fn one<'a>(name: &str, arguments: Arguments<'a>) -> Result<&'a Value> {
    no_keywords(name, arguments)?;
    match arguments.positional {
        [value] => Ok(value),
        other => {
            Err(Raise::type_error(format!("{name}() takes exactly one argument ({} given)", other.len())))
        }
    }
}

/// From `required` to `N` arguments, by position.
///
/// # Errors
/// `TypeError`: "divmod expected 2 arguments, got 1".
#[inline]
pub fn positional<'a, const N: usize>(
    name: &str,
    arguments: Arguments<'a>,
    required: usize,
) -> Result<[Option<&'a Value>; N]> {
    no_keywords(name, arguments)?;
    positional_count(name, arguments.positional.len(), required, N)?;
    Ok(std::array::from_fn(|at| arguments.positional.get(at)))
}

/// Whether `given` is from `required` to `most`.
///
/// # Errors
/// `TypeError`: "range expected at most 3 arguments, got 4".
#[inline]
pub fn positional_count(name: &str, given: usize, required: usize, most: usize) -> Result<()> {
    if (required..=most).contains(&given) {
        return Ok(());
    }
    let (quantity, bound) = match (required == most, given < required) {
        (true, _) => ("", required),
        (false, true) => ("at least ", required),
        (false, false) => ("at most ", most),
    };
    let short = short_name(name);
    let plural = plural(bound);
    Err(Raise::type_error(format!("{short} expected {quantity}{bound} argument{plural}, got {given}")))
}

/// No argument by name.
///
/// # Errors
/// `TypeError`: "len() takes no keyword arguments".
#[inline]
pub fn no_keywords(name: &str, arguments: Arguments<'_>) -> Result<()> {
    if arguments.keywords.is_empty() {
        Ok(())
    } else {
        Err(Raise::type_error(format!("{name}() takes no keyword arguments")))
    }
}

/// The parameters of a built-in some of which can be given by name.
#[derive(Clone, Copy, Debug)]
pub struct Signature<const N: usize> {
    /// The function's name without its owner: `sum`, `split`.
    pub name: &'static str,
    /// The parameters in order; the name of one that is positional only is never matched.
    pub parameters: [&'static str; N],
    /// The first so many can be given by position only.
    pub positional_only: usize,
    /// The first so many can be given by position; those after them by name only.
    pub positional: usize,
    /// The first so many have to be given.
    pub required: usize,
}

impl<const N: usize> Signature<N> {
    /// The argument for each parameter, `None` where it was left out.
    ///
    /// # Errors
    /// `TypeError`: too many, too few, an unknown name, one given twice.
    pub fn bind<'a>(&self, arguments: Arguments<'a>) -> Result<[Option<&'a Value>; N]> {
        let Signature { name, parameters, positional_only, positional, required } = *self;
        let given = arguments.positional.len();
        let all_given = given + arguments.keywords.len();
        if all_given > N {
            let quality = if given == 0 { "keyword " } else { "" };
            let plural = plural(N);
            return Err(Raise::type_error(format!(
                "{name}() takes at most {N} {quality}argument{plural} ({all_given} given)"
            )));
        }
        let least = required.min(positional);
        if given > positional {
            return Err(Raise::type_error(match positional {
                0 => format!("{name}() takes no positional arguments"),
                most => {
                    let quantity = if least < most { "at most" } else { "exactly" };
                    let plural = plural(most);
                    format!("{name}() takes {quantity} {most} positional argument{plural} ({given} given)")
                }
            }));
        }
        let least_by_position = positional_only.min(least);
        if given < least_by_position {
            let quantity = if least_by_position < positional { "at least" } else { "exactly" };
            let plural = plural(least_by_position);
            return Err(Raise::type_error(format!(
                "{name}() takes {quantity} {least_by_position} positional argument{plural} ({given} given)"
            )));
        }
        let mut bound: [Option<&'a Value>; N] = std::array::from_fn(|at| arguments.positional.get(at));
        let mut matched = 0;
        for (at, parameter) in parameters.iter().enumerate().skip(given.max(positional_only)) {
            if let Some((_, value)) = arguments.keywords.iter().find(|(name, _)| name.as_str() == *parameter)
            {
                bound[at] = Some(value);
                matched += 1;
            } else if at < required {
                return Err(Raise::type_error(format!(
                    "{name}() missing required argument '{parameter}' (pos {})",
                    at + 1
                )));
            }
        }
        if matched < arguments.keywords.len() {
            return Err(self.stray_keyword(arguments));
        }
        Ok(bound)
    }

    /// The refusal of a keyword that matches no parameter left to fill.
    #[cold]
    fn stray_keyword(&self, arguments: Arguments<'_>) -> Box<Raise> {
        let name = self.name;
        let by_name = |keyword: &str| {
            (self.positional_only..N).find(|&parameter| self.parameters[parameter] == keyword)
        };
        let given = arguments.positional.len();
        let twice = (self.positional_only..given)
            .find(|&at| arguments.keywords.iter().any(|(keyword, _)| by_name(keyword.as_str()) == Some(at)));
        if let Some(at) = twice {
            return Raise::type_error(format!(
                "argument for {name}() given by name ('{}') and position ({})",
                self.parameters[at],
                at + 1
            ));
        }
        let stray = arguments.keywords.iter().find(|(keyword, _)| by_name(keyword.as_str()).is_none());
        let stray = stray.map_or("", |(keyword, _)| keyword.as_str());
        Raise::type_error(format!("{name}() got an unexpected keyword argument '{stray}'"))
    }
}

/// The type of an argument that has the wrong one: here CPython calls `None` by its value.
pub fn kind(value: &Value) -> &'static str {
    if matches!(value, Value::None) { "None" } else { value.type_name() }
}

/// The name without its owner: `find` of `str.find`.
fn short_name(name: &str) -> &str {
    name.rsplit('.').next().unwrap_or(name)
}

fn plural(count: usize) -> &'static str {
    if count == 1 { "" } else { "s" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::Text;

    /// Calls `bind` with values 0, 1, ... and shows what each parameter got.
    fn check<const N: usize>(
        cases: &[(usize, &[&str], &str)],
        bind: impl Fn(Arguments<'_>) -> Result<[Option<Value>; N]>,
    ) {
        for (positional, keywords, expected) in cases {
            let positional: Vec<Value> = (0..*positional).map(|at| Value::Int(at as i64)).collect();
            let keywords: Vec<(Text, Value)> = keywords
                .iter()
                .enumerate()
                .map(|(at, name)| (Text::from(*name), Value::Int((positional.len() + at) as i64)))
                .collect();
            let shown = match bind(Arguments { positional: &positional, keywords: &keywords }) {
                Err(raise) => raise.message,
                Ok(bound) => bound
                    .iter()
                    .map(|value| match value {
                        Some(Value::Int(value)) => value.to_string(),
                        _ => "-".to_owned(),
                    })
                    .collect::<Vec<_>>()
                    .join(" "),
            };
            assert_eq!(&shown, expected, "{positional:?} {keywords:?}");
        }
    }

    fn owned<const N: usize>(bound: [Option<&Value>; N]) -> [Option<Value>; N] {
        bound.map(|value| value.cloned())
    }

    #[test]
    fn without_names() {
        check::<1>(
            &[
                (1, &[], "0"),
                (0, &[], "abs() takes exactly one argument (0 given)"),
                (2, &[], "abs() takes exactly one argument (2 given)"),
                (0, &["x"], "abs() takes no keyword arguments"),
            ],
            |arguments| one("abs", arguments).map(|value| [Some(value.clone())]),
        );
        check::<0>(
            &[
                (0, &[], ""),
                (1, &[], "str.upper() takes no arguments (1 given)"),
                (0, &["x"], "str.upper() takes no keyword arguments"),
            ],
            |arguments| none("str.upper", arguments).map(|()| []),
        );
        check::<2>(
            &[
                (2, &[], "0 1"),
                (1, &[], "divmod expected 2 arguments, got 1"),
                (3, &[], "divmod expected 2 arguments, got 3"),
                (0, &["a", "b"], "divmod() takes no keyword arguments"),
            ],
            |arguments| positional("divmod", arguments, 2).map(owned),
        );
        check::<3>(
            &[
                (1, &[], "0 - -"),
                (0, &[], "find expected at least 1 argument, got 0"),
                (4, &[], "find expected at most 3 arguments, got 4"),
                (1, &["start"], "str.find() takes no keyword arguments"),
            ],
            |arguments| positional("str.find", arguments, 1).map(owned),
        );
    }

    #[test]
    fn with_names() {
        let signature = Signature {
            name: "sum",
            parameters: ["", "start"],
            positional_only: 1,
            positional: 2,
            required: 1,
        };
        check(
            &[
                (1, &[], "0 -"),
                (2, &[], "0 1"),
                (1, &["start"], "0 1"),
                (0, &[], "sum() takes at least 1 positional argument (0 given)"),
                (0, &["iterable"], "sum() takes at least 1 positional argument (0 given)"),
                (3, &[], "sum() takes at most 2 arguments (3 given)"),
                (1, &["start", "x"], "sum() takes at most 2 arguments (3 given)"),
                (1, &["x"], "sum() got an unexpected keyword argument 'x'"),
            ],
            |arguments| signature.bind(arguments).map(owned),
        );
        let signature = Signature {
            name: "pow",
            parameters: ["base", "exp", "mod"],
            positional_only: 0,
            positional: 3,
            required: 2,
        };
        check(
            &[
                (2, &[], "0 1 -"),
                (0, &["exp", "base"], "1 0 -"),
                (1, &[], "pow() missing required argument 'exp' (pos 2)"),
                (1, &["mod"], "pow() missing required argument 'exp' (pos 2)"),
                (1, &["exp", "x"], "pow() got an unexpected keyword argument 'x'"),
                (2, &["base"], "argument for pow() given by name ('base') and position (1)"),
                (0, &["base", "exp", "mod", "x"], "pow() takes at most 3 keyword arguments (4 given)"),
            ],
            |arguments| signature.bind(arguments).map(owned),
        );
        let signature = Signature {
            name: "isclose",
            parameters: ["a", "b", "rel_tol", "abs_tol"],
            positional_only: 0,
            positional: 2,
            required: 2,
        };
        check(
            &[
                (2, &["abs_tol"], "0 1 - 2"),
                (3, &[], "isclose() takes exactly 2 positional arguments (3 given)"),
                (0, &[], "isclose() missing required argument 'a' (pos 1)"),
            ],
            |arguments| signature.bind(arguments).map(owned),
        );
    }
}
