//! One condition against one substrate.

use crate::model::{Condition, Field};
use crate::state::State;
use crate::state::encoding::Reader;
use crate::state::key::{Key, KeyRef};
use crate::state::metadata::{self, Shallow, read_shallow};
use std::cmp::Ordering;

/// A condition with its operands as keys.
#[derive(Debug)]
pub(crate) struct Check {
    pub(crate) field: Field,
    pub(crate) test: Test,
}

/// What is asked of a field's key.
#[derive(Debug)]
pub(crate) enum Test {
    /// `$eq`
    Equal(Key),
    /// `$ne`
    NotEqual(Key),
    /// `$gt`, `$gte`, `$lt`, `$lte`: the orders that pass.
    Ordered(&'static [Ordering], Key),
    /// `$in`, ascending.
    In(Vec<Key>),
    /// `$exists`
    Exists(bool),
    /// `$prefix`
    Prefix(String),
}

impl Check {
    pub(crate) fn new((field, condition): &(Field, Condition)) -> Check {
        let test = match condition {
            Condition::Equal(operand) => Test::Equal(Key::of(operand)),
            Condition::NotEqual(operand) => Test::NotEqual(Key::of(operand)),
            Condition::Greater(operand) => Test::Ordered(&[Ordering::Greater], Key::of(operand)),
            Condition::GreaterOrEqual(operand) => {
                Test::Ordered(&[Ordering::Greater, Ordering::Equal], Key::of(operand))
            }
            Condition::Less(operand) => Test::Ordered(&[Ordering::Less], Key::of(operand)),
            Condition::LessOrEqual(operand) => {
                Test::Ordered(&[Ordering::Less, Ordering::Equal], Key::of(operand))
            }
            Condition::In(operands) => {
                let mut keys: Vec<Key> = operands.iter().map(Key::of).collect();
                keys.sort();
                keys.dedup();
                Test::In(keys)
            }
            Condition::Exists(exists) => Test::Exists(*exists),
            Condition::Prefix(prefix) => Test::Prefix(prefix.clone()),
        };
        Check { field: field.clone(), test }
    }

    /// A missing field matches only `$ne` and `$exists: false`; values of other kinds never
    /// compare, so they are never equal and never in order.
    fn passes(&self, key: Option<KeyRef<'_>>) -> bool {
        let Some(key) = key else { return matches!(self.test, Test::NotEqual(_) | Test::Exists(false)) };
        match &self.test {
            Test::Equal(operand) => key == operand.borrow(),
            Test::NotEqual(operand) => key != operand.borrow(),
            Test::Ordered(orders, operand) => {
                key.compare(operand.borrow()).is_some_and(|order| orders.contains(&order))
            }
            Test::In(operands) => operands.binary_search_by(|operand| operand.borrow().cmp(&key)).is_ok(),
            Test::Exists(exists) => *exists,
            Test::Prefix(prefix) => matches!(key, KeyRef::Text(text) if text.starts_with(prefix.as_str())),
        }
    }
}

/// Whether a living substrate passes all checks.
pub(crate) fn matches(state: &State, slot: u32, checks: &[Check]) -> bool {
    checks.iter().all(|check| with_key(state, slot, &check.field, |key| check.passes(key)))
}

/// Hands the key of a field to `look`, borrowed where it can be.
pub(crate) fn with_key<T>(
    state: &State,
    slot: u32,
    field: &Field,
    look: impl FnOnce(Option<KeyRef<'_>>) -> T,
) -> T {
    let metadata_key = match field {
        Field::ExpressionType => return look(Some(KeyRef::Text(state.substrates.kind(slot).name()))),
        Field::ExpressionCode => return look(Some(KeyRef::Text(&state.substrates.code(slot)))),
        Field::CreatedAt => return look(Some(KeyRef::Int(state.substrates.created_at(slot)))),
        Field::UpdatedAt => return look(Some(KeyRef::Int(state.substrates.revision(slot).updated_at.0))),
        Field::Version => return look(Some(KeyRef::Int(i64::from(state.substrates.revision(slot).version)))),
        Field::SubstrateId => return look(Some(KeyRef::Text(&state.substrates.id(slot).to_string()))),
        Field::Metadata(key) => key,
    };
    let Some(value) = metadata::find(state.substrates.metadata(slot), metadata_key, &state.vocabulary) else {
        return look(None);
    };
    match read_shallow(&mut Reader::new(value), &state.vocabulary) {
        Shallow::Null => look(Some(KeyRef::Null)),
        Shallow::Bool(b) => look(Some(KeyRef::Bool(b))),
        Shallow::Int(i) => look(Some(KeyRef::Int(i))),
        Shallow::Text(text) => look(Some(KeyRef::Text(&text))),
        _ => look(Some(Key::of_encoded(value, &state.vocabulary).borrow())),
    }
}

/// The key of a field, owned.
pub(crate) fn key_of(state: &State, slot: u32, field: &Field) -> Option<Key> {
    if state.substrates.is_alive(slot) {
        with_key(state, slot, field, |key| key.map(KeyRef::to_key))
    } else {
        None
    }
}
