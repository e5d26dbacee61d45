//! Slices: bounds brought into the sequence as CPython does it, then the copy.

use super::{copied, pay_search, range_too_big};
use crate::error::{Raise, Result};
use crate::meter::Meter;
use crate::text::Text;
use crate::value::{Items, Range, Value};
use num_traits::{Signed, ToPrimitive};
use std::sync::Arc;

/// Ints of a slice are clamped to this magnitude: far beyond the length of any sequence, and
/// small enough that sums of a few stay in 128 bits.
const BOUND_MAX: i128 = 1 << 100;

/// A slice of a sequence of known length: `count` elements from `start`, each `step` further.
/// Where `count` is not 0, all of them lie in the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct SliceBounds {
    start: i128,
    /// Exclusive; before the start where the step is negative.
    stop: i128,
    /// Never 0.
    step: i128,
    count: u64,
}

impl SliceBounds {
    /// The slice `[start:stop:step]` of `len` elements.
    ///
    /// # Errors
    /// `TypeError` for a bound that is no int, `ValueError` for step 0.
    fn new(len: u64, start: &Value, stop: &Value, step: &Value) -> Result<SliceBounds> {
        const ALLOWED: &str = "integers or None or have an __index__ method";
        let len = i128::from(len);
        let step = match step {
            Value::None => 1,
            step => slice_bound(step, ALLOWED)?,
        };
        if step == 0 {
            return Err(Raise::value_error("slice step cannot be zero"));
        }
        // Backwards, the place before the first element is a bound, too.
        let (low, high) = if step < 0 { (-1, len - 1) } else { (0, len) };
        let bound = |bound: &Value, absent: i128| -> Result<i128> {
            match bound {
                Value::None => Ok(absent),
                bound => {
                    let bound = slice_bound(bound, ALLOWED)?;
                    Ok(if bound < 0 { (bound + len).max(low) } else { bound.min(high) })
                }
            }
        };
        let start = bound(start, if step < 0 { high } else { low })?;
        let stop = bound(stop, if step < 0 { low } else { high })?;
        let span = if step < 0 { start - stop } else { stop - start };
        let count = match step {
            _ if span <= 0 => 0,
            1 | -1 => span,
            step => (span - 1) / step.abs() + 1,
        };
        Ok(SliceBounds { start, stop, step, count: u64::try_from(count).unwrap_or(0) })
    }
}

/// An int that bounds a slice or a search, clamped.
///
/// # Errors
/// `TypeError`: "slice indices must be ..." with what is `allowed`.
pub(crate) fn slice_bound(value: &Value, allowed: &str) -> Result<i128> {
    match value {
        Value::Int(bound) => Ok(i128::from(*bound)),
        Value::Bool(bound) => Ok(i128::from(*bound)),
        Value::BigInt(bound) => {
            let beyond = if bound.is_negative() { -BOUND_MAX } else { BOUND_MAX };
            Ok(bound.to_i128().map_or(beyond, |bound| bound.clamp(-BOUND_MAX, BOUND_MAX)))
        }
        _ => Err(Raise::type_error(format!("slice indices must be {allowed}"))),
    }
}

/// A part of a list or tuple; `None` for the whole, which needs no copy.
pub(super) fn items(
    meter: &mut Meter,
    items: &Items,
    start: &Value,
    stop: &Value,
    step: &Value,
) -> Result<Option<Vec<Value>>> {
    let SliceBounds { start, step, count, .. } = SliceBounds::new(items.len() as u64, start, stop, step)?;
    let count = count as usize;
    if count == items.len() && step > 0 {
        return Ok(None);
    }
    meter.list(count)?;
    meter.steps(count as u64)?;
    if step == 1 {
        let part = usize::try_from(start).ok().and_then(|start| items.get(start..)?.get(..count));
        return Ok(Some(part.unwrap_or_default().to_vec()));
    }
    let mut part = Vec::with_capacity(count);
    let mut at = start;
    for _ in 0..count {
        part.extend(usize::try_from(at).ok().and_then(|at| items.get(at)).cloned());
        at += step;
    }
    Ok(Some(part))
}

/// A part of a str.
pub(super) fn text(
    meter: &mut Meter,
    text: &Text,
    start: &Value,
    stop: &Value,
    step: &Value,
) -> Result<Value> {
    let SliceBounds { start, step, count, .. } = SliceBounds::new(text.len() as u64, start, stop, step)?;
    let count = count as usize;
    if count == text.len() && step > 0 {
        return Ok(Value::Str(text.clone()));
    }
    if count == 0 {
        return copied(meter, "");
    }
    // What lies between the first and the last element, both included.
    let last = start + step * (count as i128 - 1);
    let (low, high) = (start.min(last) as usize, start.max(last) as usize);
    let span = text.code_points(low, high + 1);
    if step == 1 {
        return copied(meter, span);
    }
    let distance = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    pay_search(meter, span.len())?;
    meter.steps(count as u64)?;
    meter.string(count.saturating_mul(char::MAX.len_utf8()).min(span.len()))?;
    let part: String = match (text.is_ascii(), step < 0) {
        (true, false) => span.bytes().step_by(distance).map(char::from).collect(),
        (true, true) => span.bytes().rev().step_by(distance).map(char::from).collect(),
        (false, false) => span.chars().step_by(distance).collect(),
        (false, true) => span.chars().rev().step_by(distance).collect(),
    };
    Ok(Value::str(part))
}

/// A part of a range: a range again. Its stop and step can exceed 64 bits where its elements
/// do not; that is refused, as for every range.
pub(super) fn range(range: &Range, start: &Value, stop: &Value, step: &Value) -> Result<Value> {
    let bounds = SliceBounds::new(range.len(), start, stop, step)?;
    let step = bounds.step.checked_mul(i128::from(range.step)).and_then(|step| i64::try_from(step).ok());
    let place = |at: i128| {
        let offset = at.checked_mul(i128::from(range.step))?;
        i64::try_from(offset.checked_add(i128::from(range.start))?).ok()
    };
    match (place(bounds.start), place(bounds.stop), step) {
        (Some(start), Some(stop), Some(step)) => Ok(Value::Range(Arc::new(Range { start, stop, step }))),
        _ => Err(range_too_big()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use crate::sequence;
    use num_bigint::BigInt;
    use proptest::prelude::*;

    /// A bound near the sequence, near the edge of 64 bits, beyond it, or absent.
    fn bound() -> impl Strategy<Value = Option<i128>> {
        prop_oneof![
            Just(None),
            (-12i128..12).prop_map(Some),
            (-3i128..3).prop_map(|near| Some(i128::from(i64::MAX) + near)),
            (-3i128..3).prop_map(|near| Some(i128::from(i64::MIN) + near)),
            any::<i128>().prop_map(Some),
        ]
    }

    fn value(bound: Option<i128>) -> Value {
        bound.map_or(Value::None, |bound| Value::big(BigInt::from(bound)))
    }

    /// Slicing as the language reference words it: the positions `start`, `start + step`, ... up
    /// to `stop`, with absent and outside bounds replaced by the ends; here by trying them all.
    fn model(len: i128, start: Option<i128>, stop: Option<i128>, step: i128) -> Vec<i128> {
        let inside = |bound: i128| if bound < 0 { bound.saturating_add(len) } else { bound };
        let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
        let start = start.map_or(if step > 0 { low } else { high }, |at| inside(at).clamp(low, high));
        let stop = stop.map_or(if step > 0 { high } else { low }, |at| inside(at).clamp(low, high));
        let mut positions: Vec<i128> = (0..len)
            .filter(|at| if step > 0 { (start..stop).contains(at) } else { stop < *at && *at <= start })
            .filter(|at| (at - start) % step == 0)
            .collect();
        if step < 0 {
            positions.reverse();
        }
        positions
    }

    proptest! {
        /// Lists, strs and ranges agree with the model, and single subscripts with the plain ones.
        #[test]
        fn slices(len in 0usize..20, start in bound(), stop in bound(), step in bound(), ascii: bool) {
            let meter = &mut Meter::new(&Limits::default());
            let bounds = [value(start), value(stop), value(step)];
            let slice = |meter: &mut Meter, sequence: &Value| {
                sequence::slice(meter, sequence, &bounds[0], &bounds[1], &bounds[2])
            };
            let list = Value::list((0..len as i64).map(Value::Int).collect());
            let first = if ascii { 'a' } else { 'é' };
            let code_points: Vec<char> = (first..).take(len).collect();
            let text = Value::str(code_points.iter().collect::<String>());
            let range = Value::Range(Arc::new(Range { start: 5, stop: 5 + 3 * len as i64, step: 3 }));
            if step == Some(0) {
                for sequence in [&list, &text, &range] {
                    prop_assert_eq!(slice(meter, sequence).unwrap_err().message, "slice step cannot be zero");
                }
                return Ok(());
            }
            let expected = model(len as i128, start, stop, step.unwrap_or(1));
            let Value::List(part) = slice(meter, &list).unwrap() else { panic!("no list") };
            let part: Vec<i128> =
                part.iter().map(|item| if let Value::Int(at) = item { i128::from(*at) } else { -1 }).collect();
            prop_assert_eq!(&part, &expected);
            let Value::Str(part) = slice(meter, &text).unwrap() else { panic!("no str") };
            let shown: String = expected.iter().map(|&at| code_points[at as usize]).collect();
            prop_assert_eq!(part.as_str(), shown);
            // A range whose step leaves 64 bits is refused.
            if let Ok(Value::Range(part)) = slice(meter, &range) {
                let part: Vec<i128> =
                    (0..part.len()).map(|at| (i128::from(part.element(at)) - 5) / 3).collect();
                prop_assert_eq!(&part, &expected);
            } else {
                prop_assert!(step.is_some_and(|step| step.unsigned_abs() > i64::MAX as u128 / 3));
            }
            if let Some(at) = start {
                let inside = if at < 0 { at.saturating_add(len as i128) } else { at };
                let expected = usize::try_from(inside).ok().and_then(|at| code_points.get(at));
                let found = sequence::subscript(meter, &text, &bounds[0]);
                match (found, expected) {
                    (Ok(Value::Str(found)), Some(expected)) => prop_assert_eq!(found.as_str(), expected.to_string()),
                    (found, expected) => prop_assert!(found.is_err() && expected.is_none()),
                }
            }
        }
    }
}
