//! An array of a JSON text as a column: numbers of one kind side by side, anything else as values.

use super::pull::Pull;
use crate::value::Value;

/// An array.
#[derive(Clone, Debug)]
pub struct Column {
    /// Its values.
    pub values: ColumnValues,
    /// Which of them are null, whatever stands there; empty where none is, or they stand among values of any kind.
    pub is_null: Vec<bool>,
    /// Whether there was nothing but nulls: then they are values of any kind, until one comes that is not.
    has_only_nulls: bool,
}

/// The values of an array.
#[derive(Clone, Debug)]
pub enum ColumnValues {
    /// All are ints that fit in 64 bits, or null.
    Ints(Vec<i64>),
    /// All are floats, or null.
    Floats(Vec<f64>),
    /// All are bools, as 0 and 1, or null.
    Bools(Vec<u64>),
    /// Any; also where all are null, or there is none.
    Any(Vec<Value>),
}

impl Column {
    /// How many values there are.
    pub fn len(&self) -> usize {
        match &self.values {
            ColumnValues::Ints(values) => values.len(),
            ColumnValues::Floats(values) => values.len(),
            ColumnValues::Bools(values) => values.len(),
            ColumnValues::Any(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn push(&mut self, value: Value) {
        match (&mut self.values, value) {
            (ColumnValues::Ints(values), Value::Int(x)) => values.push(x),
            (ColumnValues::Floats(values), Value::Float(x)) => values.push(x),
            (ColumnValues::Bools(values), Value::Bool(x)) => values.push(u64::from(x)),
            (ColumnValues::Any(values), value) if !self.has_only_nulls => return values.push(value),
            (_, value) => return self.push_another(value),
        }
        if !self.is_null.is_empty() {
            self.is_null.push(false);
        }
    }

    /// A null, or a value of another kind than those before.
    #[cold]
    fn push_another(&mut self, value: Value) {
        match (&mut self.values, value) {
            (ColumnValues::Any(values), Value::None) => values.push(Value::None),
            (ColumnValues::Ints(values), Value::None) => {
                values.push(0);
                self.push_null();
            }
            (ColumnValues::Floats(values), Value::None) => {
                values.push(0.0);
                self.push_null();
            }
            (ColumnValues::Bools(values), Value::None) => {
                values.push(0);
                self.push_null();
            }
            // The first that is not null.
            (ColumnValues::Any(nulls), value) => {
                self.has_only_nulls = false;
                let count = nulls.len();
                self.values = match value {
                    Value::Int(x) => ColumnValues::Ints(after(0, count, x)),
                    Value::Float(x) => ColumnValues::Floats(after(0.0, count, x)),
                    Value::Bool(x) => ColumnValues::Bools(after(0, count, u64::from(x))),
                    other => return nulls.push(other),
                };
                if count > 0 {
                    self.is_null = after(true, count, false);
                }
            }
            // From here on it is a column of any.
            (_, value) => {
                let mut values =
                    std::mem::replace(&mut self.values, ColumnValues::Any(Vec::new())).into_any();
                for (value, _) in values.iter_mut().zip(&self.is_null).filter(|(_, is_null)| **is_null) {
                    *value = Value::None;
                }
                self.is_null = Vec::new();
                values.push(value);
                self.values = ColumnValues::Any(values);
            }
        }
    }

    /// Marks the value that came last.
    fn push_null(&mut self) {
        let before = self.len() - 1;
        self.is_null.resize(before, false);
        self.is_null.push(true);
    }
}

impl ColumnValues {
    fn into_any(self) -> Vec<Value> {
        match self {
            ColumnValues::Ints(values) => values.into_iter().map(Value::Int).collect(),
            ColumnValues::Floats(values) => values.into_iter().map(Value::Float).collect(),
            ColumnValues::Bools(values) => values.into_iter().map(|x| Value::Bool(x != 0)).collect(),
            ColumnValues::Any(values) => values,
        }
    }
}

/// The same value some times, and another after them.
fn after<T: Clone>(same: T, count: usize, other: T) -> Vec<T> {
    let mut values = vec![same; count];
    values.push(other);
    values
}

impl Pull<'_> {
    /// An array as a column; `None` where it is none, or no JSON.
    pub fn column(&mut self) -> Option<Column> {
        let mut members = self.array()?;
        let values = ColumnValues::Any(Vec::new());
        let mut column = Column { values, is_null: Vec::new(), has_only_nulls: true };
        while self.element(&mut members)? {
            let value = self.element_value()?;
            column.push(value);
        }
        Some(column)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::read_value;

    #[track_caller]
    fn check(text: &str, kind: &str) {
        let mut pull = Pull::new(text.as_bytes(), 8, 4096).expect("UTF-8");
        let column = pull.column();
        let read = read_value(text.as_bytes(), 8, 4096);
        let Some(column) = column.filter(|_| pull.is_at_end()) else {
            assert_eq!(kind, "none", "{text}");
            return;
        };
        let found = match &column.values {
            ColumnValues::Ints(_) => "ints",
            ColumnValues::Floats(_) => "floats",
            ColumnValues::Bools(_) => "bools",
            ColumnValues::Any(_) => "any",
        };
        assert!(column.is_null.is_empty() || column.is_null.len() == column.len(), "{text}");
        let mut values = column.values.into_any();
        for (value, _) in values.iter_mut().zip(&column.is_null).filter(|(_, is_null)| **is_null) {
            assert!(found != "any", "{text}");
            *value = Value::None;
        }
        assert_eq!(found, kind, "{text}");
        let Ok(Value::List(items)) = read else { panic!("only one way takes {text}") };
        assert_eq!(format!("{values:?}"), format!("{:?}", &**items), "{text}");
    }

    #[test]
    fn columns() {
        check("[1, 2,3]", "ints");
        check("[-1, 9223372036854775807, -9223372036854775808, 0]", "ints");
        check("[1.5, -0.0, 1e16, 0.1234567890123456789]", "floats");
        check("[true,false]", "bools");
        check("[]", "any");
        check("[1, 2.0]", "any");
        check("[1.0, null, 2.5, null]", "floats");
        check("[null, null, 7]", "ints");
        check("[null, true, null, null]", "bools");
        check("[null, null]", "any");
        check("[1.0, 2, null]", "any");
        check("[1.0, null, 2, null, 3.0]", "any");
        check("[null, \"a\", null, 1]", "any");
        check("[null, 1, null, \"a\", null]", "any");
        check("[true, 1]", "any");
        check("[1, 9223372036854775808]", "any");
        check("[\"a\", [1], {\"b\": 2}]", "any");
        check("[1, 01]", "none");
        check("[1, 2,]", "none");
        check("[1 2]", "none");
        check("[1.5, 1e400]", "none");
        check("[1, 2", "none");
        check("{}", "none");
    }
}
