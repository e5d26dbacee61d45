//! An array of a JSON text as a column: numbers of one kind side by side, anything else as values.

use super::pull::Pull;
use crate::value::Value;

/// The values of an array.
#[derive(Clone, Debug)]
pub enum Column {
    /// All are ints that fit in 64 bits.
    Ints(Vec<i64>),
    /// All are floats.
    Floats(Vec<f64>),
    /// All are bools, as 0 and 1.
    Bools(Vec<u64>),
    /// Any; also where there is none.
    Any(Vec<Value>),
}

impl Column {
    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Column::Ints(values) => values.len(),
            Column::Floats(values) => values.len(),
            Column::Bools(values) => values.len(),
            Column::Any(values) => values.len(),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Begins with a first value, by its kind.
    fn beginning_with(value: Value) -> Column {
        match value {
            Value::Int(x) => Column::Ints(vec![x]),
            Value::Float(x) => Column::Floats(vec![x]),
            Value::Bool(x) => Column::Bools(vec![u64::from(x)]),
            other => Column::Any(vec![other]),
        }
    }

    #[inline]
    fn push(&mut self, value: Value) {
        match (&mut *self, value) {
            (Column::Ints(values), Value::Int(x)) => values.push(x),
            (Column::Floats(values), Value::Float(x)) => values.push(x),
            (Column::Bools(values), Value::Bool(x)) => values.push(u64::from(x)),
            (Column::Any(values), value) => values.push(value),
            (_, value) => self.push_another(value),
        }
    }

    /// A value of another kind than those before: from here on it is a column of any.
    #[cold]
    fn push_another(&mut self, value: Value) {
        let mut values: Vec<Value> = match std::mem::replace(self, Column::Any(Vec::new())) {
            Column::Ints(values) => values.into_iter().map(Value::Int).collect(),
            Column::Floats(values) => values.into_iter().map(Value::Float).collect(),
            Column::Bools(values) => values.into_iter().map(|x| Value::Bool(x != 0)).collect(),
            Column::Any(values) => values,
        };
        values.push(value);
        *self = Column::Any(values);
    }
}

impl Pull<'_> {
    /// An array as a column; `None` where it is none, or no JSON.
    pub fn column(&mut self) -> Option<Column> {
        let mut members = self.array()?;
        if !self.element(&mut members)? {
            return Some(Column::Any(Vec::new()));
        }
        let mut column = Column::beginning_with(self.element_value()?);
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
        let (found, values): (&str, Vec<Value>) = match column {
            Column::Ints(values) => ("ints", values.into_iter().map(Value::Int).collect()),
            Column::Floats(values) => ("floats", values.into_iter().map(Value::Float).collect()),
            Column::Bools(values) => ("bools", values.into_iter().map(|x| Value::Bool(x != 0)).collect()),
            Column::Any(values) => ("any", values),
        };
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
        check("[1.0, 2, null]", "any");
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
