//! A value of the language. 16 bytes; cheap to clone; immutable but for iterators.
//!
//! No construct of the language changes a list or dict, so they are shared, never copied, and
//! identity shows in two places only: NaN (see [`Value::float`]) and functions.

use crate::builtins::Builtin;
use crate::dict::Dict;
use crate::interpret::{Function, Iter};
use crate::math::MathFunction;
use crate::methods::Method;
use crate::teardown::drop_children;
use crate::text::Text;
use num_bigint::BigInt;
use num_traits::ToPrimitive;
use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// A value.
#[derive(Clone, Debug)]
pub enum Value {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// An int that fits in 64 bits; always this variant when it fits.
    Int(i64),
    /// An int beyond 64 bits; never one that fits. Make with [`Value::big`].
    BigInt(Arc<BigInt>),
    /// A float. Make possible NaNs with [`Value::float`].
    Float(f64),
    /// A str: Unicode scalar values only, no surrogates.
    Str(Text),
    /// A list.
    List(Arc<Items>),
    /// A tuple.
    Tuple(Arc<Items>),
    /// A dict.
    Dict(Arc<Dict>),
    /// A range.
    Range(Arc<Range>),
    /// `d.keys()`, `d.values()`, `d.items()`
    View(Arc<View>),
    /// An inner lambda.
    Function(Arc<Function>),
    /// A built-in function or type.
    Builtin(Builtin),
    /// A function of `math`.
    Math(MathFunction),
    /// A method bound to its value, as in `key=d.get`.
    BoundMethod(Arc<BoundMethod>),
    /// A generator, `map`, `zip`, ...: the only values with a state. The lock is held while the
    /// iterator runs, so a generator that asks itself finds it taken.
    Iterator(Arc<Mutex<Iter>>),
}

/// The elements of a list or tuple; a slice by [`Deref`]. Never changed once shared.
#[derive(Debug, Default)]
pub struct Items(pub Vec<Value>);

impl Deref for Items {
    type Target = [Value];

    #[inline]
    fn deref(&self) -> &[Value] {
        &self.0
    }
}

impl Drop for Items {
    fn drop(&mut self) {
        let holds_values = |value: &Value| !matches!(value, Value::Int(_) | Value::Float(_) | Value::Str(_));
        if self.0.iter().any(holds_values) {
            drop_children(std::mem::take(&mut self.0));
        }
    }
}

/// A range with bounds that fit in 64 bits. Larger bounds are refused (`limit_exceeded`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// First element.
    pub start: i64,
    /// Bound, exclusive.
    pub stop: i64,
    /// Distance; never 0.
    pub step: i64,
}

impl Range {
    /// The number of elements.
    pub fn len(&self) -> u64 {
        let (low, high, step) = if self.step > 0 {
            (self.start as i128, self.stop as i128, self.step as i128)
        } else {
            (self.stop as i128, self.start as i128, -(self.step as i128))
        };
        if low >= high { 0 } else { ((high - low - 1) / step + 1) as u64 }
    }

    /// Whether it has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `index`; the caller has checked `index < len`.
    pub fn element(&self, index: u64) -> i64 {
        (self.start as i128 + index as i128 * self.step as i128) as i64
    }
}

/// Which part of a dict a view shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ViewKind {
    /// `dict_keys`
    Keys,
    /// `dict_values`
    Values,
    /// `dict_items`
    Items,
}

/// A live view of a dict.
#[derive(Clone, Debug)]
pub struct View {
    /// Which part.
    pub kind: ViewKind,
    /// Of which dict.
    pub dict: Arc<Dict>,
}

/// A method with the value it was taken from.
#[derive(Clone, Debug)]
pub struct BoundMethod {
    /// The value before the dot.
    pub receiver: Value,
    /// The method.
    pub method: Method,
}

/// Counts NaNs made, see [`Value::float`].
static NANS: AtomicU64 = AtomicU64::new(1);

impl Drop for BoundMethod {
    fn drop(&mut self) {
        drop_children(vec![std::mem::replace(&mut self.receiver, Value::None)]);
    }
}

impl Value {
    /// A float result. In CPython each NaN is an object of its own, and `in`, `==` of lists and
    /// dict keys compare by identity first, so `nan in [nan]` is true only for the same object.
    /// A fresh payload in the NaN's bits is that identity here; [`same_object`](Value::same_object)
    /// compares it. The sign is kept, as `math.copysign` shows it.
    #[inline]
    pub fn float(x: f64) -> Value {
        if x.is_nan() { Value::Float(fresh_nan(x)) } else { Value::Float(x) }
    }

    /// An int of any size, in its one right variant.
    pub fn big(x: BigInt) -> Value {
        match x.to_i64() {
            Some(small) => Value::Int(small),
            None => Value::BigInt(Arc::new(x)),
        }
    }

    /// A str. The caller has paid for it (`Meter::string`).
    pub fn str(text: impl Into<String>) -> Value {
        Value::Str(Text::new(text.into()))
    }

    /// A list. The caller has paid for it (`Meter::list`).
    pub fn list(items: Vec<Value>) -> Value {
        Value::List(Arc::new(Items(items)))
    }

    /// A tuple. The caller has paid for it (`Meter::list`).
    pub fn tuple(items: Vec<Value>) -> Value {
        Value::Tuple(Arc::new(Items(items)))
    }

    /// Python's `is`, for values whose identity shows: true where CPython's comparison of
    /// containers takes its identity shortcut and the values are not equal anyhow.
    pub fn same_object(&self, other: &Value) -> bool {
        match (self, other) {
            (Value::Float(a), Value::Float(b)) => a.to_bits() == b.to_bits(),
            (Value::Function(a), Value::Function(b)) => Arc::ptr_eq(a, b),
            (Value::Iterator(a), Value::Iterator(b)) => Arc::ptr_eq(a, b),
            (Value::View(a), Value::View(b)) => Arc::ptr_eq(a, b),
            (Value::List(a), Value::List(b)) | (Value::Tuple(a), Value::Tuple(b)) => Arc::ptr_eq(a, b),
            (Value::Dict(a), Value::Dict(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }

    /// The name of the value's type, as CPython's messages show it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::None => "NoneType",
            Value::Bool(_) => "bool",
            Value::Int(_) | Value::BigInt(_) => "int",
            Value::Float(_) => "float",
            Value::Str(_) => "str",
            Value::List(_) => "list",
            Value::Tuple(_) => "tuple",
            Value::Dict(_) => "dict",
            Value::Range(_) => "range",
            Value::View(view) => match view.kind {
                ViewKind::Keys => "dict_keys",
                ViewKind::Values => "dict_values",
                ViewKind::Items => "dict_items",
            },
            Value::Function(_) => "function",
            Value::Builtin(builtin) => builtin.type_name(),
            Value::Math(_) => "builtin_function_or_method",
            Value::BoundMethod(_) => "builtin_function_or_method",
            Value::Iterator(iterator) => match iterator.try_lock() {
                Ok(iterator) => iterator.type_name(),
                Err(_) => "generator",
            },
        }
    }

    /// Python's truth of a value.
    pub fn truth(&self) -> bool {
        match self {
            Value::None => false,
            Value::Bool(b) => *b,
            Value::Int(i) => *i != 0,
            Value::Float(f) => *f != 0.0,
            Value::Str(s) => !s.as_str().is_empty(),
            Value::List(items) | Value::Tuple(items) => !items.is_empty(),
            Value::Dict(dict) => !dict.is_empty(),
            Value::Range(range) => !range.is_empty(),
            Value::View(view) => !view.dict.is_empty(),
            Value::BigInt(_)
            | Value::Function(_)
            | Value::Builtin(_)
            | Value::Math(_)
            | Value::BoundMethod(_)
            | Value::Iterator(_) => true,
        }
    }
}

#[cold]
fn fresh_nan(x: f64) -> f64 {
    let payload = NANS.fetch_add(1, Ordering::Relaxed) & 0x0007_FFFF_FFFF_FFFF;
    f64::from_bits((x.to_bits() & 0x8000_0000_0000_0000) | 0x7FF8_0000_0000_0000 | payload)
}
