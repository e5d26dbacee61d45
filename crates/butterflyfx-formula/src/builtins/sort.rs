//! The order that `sorted` gives: CPython's list sort, comparison by comparison.
//!
//! Where `<` is a proper order any stable sort gives the same result. Where it is not (NaN), the
//! result depends on which pairs are compared, so the algorithm has to be CPython's: a merge sort
//! that finds runs in the input, lengthens short ones by binary insertion, chooses what to merge
//! by powersort and gallops through a merge while one side keeps winning. Its published
//! description is `Objects/listsort.txt` in CPython's sources. No input, however inconsistent its
//! order, leads outside the list: all loops are bounded by positions, not by what `<` says.

use crate::error::Result;
use crate::meter::Meter;
use crate::operate;
use crate::value::Value;
use std::cmp::Ordering;
use std::ops::Range;

/// The positions of the keys in sorted order; equal keys keep theirs, also where `reverse`d.
///
/// # Errors
/// What a comparison raises; limits.
pub(super) fn order(meter: &mut Meter, keys: &[Value], reverse: bool) -> Result<Vec<u32>> {
    // The positions, and room for the smaller side of a merge.
    meter.bytes(keys.len() as u64 * 6)?;
    let less = |meter: &mut Meter, a: u32, b: u32| {
        meter.steps(1)?;
        match (keys.get(a as usize), keys.get(b as usize)) {
            (Some(a), Some(b)) => Ok(operate::order(meter, a, b, "<")? == Some(Ordering::Less)),
            _ => Ok(false),
        }
    };
    let mut order: Vec<u32> = (0..keys.len() as u32).collect();
    // Reversed before and after, so that equal keys come out in their first order.
    if reverse {
        order.reverse();
    }
    Sorter { meter, less, min_gallop: MIN_GALLOP, room: Vec::new() }.sort(&mut order)?;
    if reverse {
        order.reverse();
    }
    Ok(order)
}

/// Wins in a row of one side before a merge gallops.
const MIN_GALLOP: usize = 7;

/// Lists shorter than this are sorted by insertion alone; runs are at least half as long.
const MIN_RUN_MAX: usize = 64;

struct Sorter<'a, Less> {
    meter: &'a mut Meter,
    less: Less,
    /// [`MIN_GALLOP`], adapted to how galloping fares with this list.
    min_gallop: usize,
    /// The smaller side of the merge at hand.
    room: Vec<u32>,
}

/// A sorted stretch that waits to be merged.
#[derive(Clone, Copy)]
struct Run {
    start: usize,
    len: usize,
    /// How deep in powersort's tree of merges the border to the next run lies.
    power: u32,
}

impl<Less: FnMut(&mut Meter, u32, u32) -> Result<bool>> Sorter<'_, Less> {
    fn less(&mut self, a: u32, b: u32) -> Result<bool> {
        (self.less)(self.meter, a, b)
    }

    fn sort(&mut self, list: &mut [u32]) -> Result<()> {
        if list.len() < 2 {
            return Ok(());
        }
        let min_run = min_run(list.len());
        let mut runs: Vec<Run> = Vec::new();
        let mut start = 0;
        while start < list.len() {
            let rest = &mut list[start..];
            let mut len = self.find_run(rest)?;
            if len < min_run {
                let forced = min_run.min(rest.len());
                self.insert(&mut rest[..forced], len)?;
                len = forced;
            }
            self.merge_deeper(list, &mut runs, len)?;
            runs.push(Run { start, len, power: 0 });
            start += len;
        }
        while runs.len() > 1 {
            let mut at = runs.len() - 2;
            if at > 0 && runs[at - 1].len < runs[at + 1].len {
                at -= 1;
            }
            self.merge_runs(list, &mut runs, at)?;
        }
        Ok(())
    }

    /// The length of the run at the start of the list; one that goes down is turned round. Equal
    /// elements inside one that goes down keep their order.
    fn find_run(&mut self, list: &mut [u32]) -> Result<usize> {
        let mut len = 1;
        while len < list.len() && !self.less(list[len], list[len - 1])? {
            len += 1;
        }
        if len == list.len() {
            return Ok(len);
        }
        // So far it does not go down; it can still become a falling run if it is all equal.
        if len > 1 {
            if self.less(list[0], list[len - 1])? {
                return Ok(len);
            }
            list[..len].reverse();
        }
        len += 1;
        // Elements at the end that are equal to the one before them.
        let mut equal = 0;
        while len < list.len() {
            if self.less(list[len], list[len - 1])? {
                reverse_equal(&mut list[..len], &mut equal);
            } else if self.less(list[len - 1], list[len])? {
                break;
            } else {
                equal += 1;
            }
            len += 1;
        }
        reverse_equal(&mut list[..len], &mut equal);
        list[..len].reverse();
        // Now it goes up and may go on doing so.
        while len < list.len() && !self.less(list[len], list[len - 1])? {
            len += 1;
        }
        Ok(len)
    }

    /// Binary insertion of what follows the first `sorted` elements.
    fn insert(&mut self, list: &mut [u32], sorted: usize) -> Result<()> {
        for at in sorted.max(1)..list.len() {
            let pivot = list[at];
            let (mut left, mut right) = (0, at);
            while left < right {
                let middle = (left + right) / 2;
                if self.less(pivot, list[middle])? {
                    right = middle;
                } else {
                    left = middle + 1;
                }
            }
            list[left..=at].rotate_right(1);
        }
        Ok(())
    }

    /// Before a run of `len` is added: merges the runs whose border lies deeper than the new one.
    fn merge_deeper(&mut self, list: &mut [u32], runs: &mut Vec<Run>, len: usize) -> Result<()> {
        let Some(last) = runs.last() else { return Ok(()) };
        let power = power(last.start, last.len, len, list.len());
        while runs.len() > 1 && runs[runs.len() - 2].power > power {
            self.merge_runs(list, runs, runs.len() - 2)?;
        }
        if let Some(last) = runs.last_mut() {
            last.power = power;
        }
        Ok(())
    }

    /// Merges run `at` with the one after it.
    fn merge_runs(&mut self, list: &mut [u32], runs: &mut Vec<Run>, at: usize) -> Result<()> {
        let Run { start, len: left_len, .. } = runs[at];
        let right = runs.remove(at + 1);
        runs[at].len += right.len;
        let border = right.start;
        // Where the right side starts in the left: what lies before is in its place.
        let first = self.gallop_right(list[border], &list[start..border], 0)?;
        let left_len = left_len - first;
        if left_len == 0 {
            return Ok(());
        }
        // Where the left side ends in the right: what lies behind is in its place.
        let right_len =
            self.gallop_left(list[border - 1], &list[border..border + right.len], right.len - 1)?;
        if right_len == 0 {
            return Ok(());
        }
        let part = &mut list[start + first..border + right_len];
        if left_len <= right_len { self.merge_up(part, left_len) } else { self.merge_down(part, left_len) }
    }

    /// How many elements of the sorted list are less than `key`, looked for from `hint` on:
    /// in steps that double, then by halves.
    fn gallop_left(&mut self, key: u32, list: &[u32], hint: usize) -> Result<usize> {
        let between = if self.less(list[hint], key)? {
            let most = list.len() - hint;
            let (mut last, mut offset) = (0, 1);
            while offset < most && self.less(list[hint + offset], key)? {
                last = offset;
                offset = offset * 2 + 1;
            }
            hint + last + 1..hint + offset.min(most)
        } else {
            let most = hint + 1;
            let (mut last, mut offset) = (0, 1);
            while offset < most && !self.less(list[hint - offset], key)? {
                last = offset;
                offset = offset * 2 + 1;
            }
            hint + 1 - offset.min(most)..hint - last
        };
        self.halve(between, |sorter, middle| sorter.less(list[middle], key))
    }

    /// How many elements of the sorted list are not greater than `key`, looked for from `hint` on.
    fn gallop_right(&mut self, key: u32, list: &[u32], hint: usize) -> Result<usize> {
        let between = if self.less(key, list[hint])? {
            let most = hint + 1;
            let (mut last, mut offset) = (0, 1);
            while offset < most && self.less(key, list[hint - offset])? {
                last = offset;
                offset = offset * 2 + 1;
            }
            hint + 1 - offset.min(most)..hint - last
        } else {
            let most = list.len() - hint;
            let (mut last, mut offset) = (0, 1);
            while offset < most && !self.less(key, list[hint + offset])? {
                last = offset;
                offset = offset * 2 + 1;
            }
            hint + last + 1..hint + offset.min(most)
        };
        self.halve(between, |sorter, middle| Ok(!sorter.less(key, list[middle])?))
    }

    /// The first place in the range that is not `before`.
    fn halve(
        &mut self,
        between: Range<usize>,
        mut before: impl FnMut(&mut Self, usize) -> Result<bool>,
    ) -> Result<usize> {
        let Range { start: mut low, end: mut high } = between;
        while low < high {
            let middle = low + (high - low) / 2;
            if before(self, middle)? {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        Ok(low)
    }

    /// Merges the first `left_len` elements with the others from the front; the left side is the
    /// smaller one, its first element comes after the right side's first, and the left side's last
    /// after the right side's last.
    fn merge_up(&mut self, list: &mut [u32], left_len: usize) -> Result<()> {
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        room.extend_from_slice(&list[..left_len]);
        let result = self.merge_up_from(list, &room);
        self.room = room;
        result
    }

    fn merge_up_from(&mut self, list: &mut [u32], room: &[u32]) -> Result<()> {
        // `left` is the next of `room`, `right` the next of the right side, `to` the next place.
        let (mut left, mut right, mut to) = (0, room.len(), 0);
        list[to] = list[right];
        to += 1;
        right += 1;
        'merge: {
            if right == list.len() || room.len() - left == 1 {
                break 'merge;
            }
            loop {
                // One by one, until a side seems to win all the time.
                let (mut left_wins, mut right_wins) = (0, 0);
                while left_wins < self.min_gallop && right_wins < self.min_gallop {
                    if self.less(list[right], room[left])? {
                        list[to] = list[right];
                        to += 1;
                        right += 1;
                        (left_wins, right_wins) = (0, right_wins + 1);
                        if right == list.len() {
                            break 'merge;
                        }
                    } else {
                        list[to] = room[left];
                        to += 1;
                        left += 1;
                        (left_wins, right_wins) = (left_wins + 1, 0);
                        if room.len() - left == 1 {
                            break 'merge;
                        }
                    }
                }
                // Galloping, until neither side wins often. It starts easier the longer it lasts.
                self.min_gallop += 1;
                loop {
                    self.min_gallop = self.min_gallop.saturating_sub(1).max(1);
                    left_wins = self.gallop_right(list[right], &room[left..], 0)?;
                    for _ in 0..left_wins {
                        list[to] = room[left];
                        to += 1;
                        left += 1;
                    }
                    // None can be left only where `<` is inconsistent.
                    if room.len() - left <= 1 {
                        break 'merge;
                    }
                    list[to] = list[right];
                    to += 1;
                    right += 1;
                    if right == list.len() {
                        break 'merge;
                    }
                    right_wins = self.gallop_left(room[left], &list[right..], 0)?;
                    for _ in 0..right_wins {
                        list[to] = list[right];
                        to += 1;
                        right += 1;
                    }
                    if right == list.len() {
                        break 'merge;
                    }
                    list[to] = room[left];
                    to += 1;
                    left += 1;
                    if room.len() - left == 1 {
                        break 'merge;
                    }
                    if left_wins < MIN_GALLOP && right_wins < MIN_GALLOP {
                        break;
                    }
                }
                // Leaving costs, so that a list without pattern gallops ever less.
                self.min_gallop += 1;
            }
        }
        // The rest: of the right side, then the last of the left, or the left where the right ended.
        if room.len() - left == 1 {
            while right < list.len() {
                list[to] = list[right];
                to += 1;
                right += 1;
            }
        }
        for &value in &room[left..] {
            list[to] = value;
            to += 1;
        }
        Ok(())
    }

    /// [`merge_up`](Sorter::merge_up) from the back, for a smaller right side.
    fn merge_down(&mut self, list: &mut [u32], left_len: usize) -> Result<()> {
        let mut room = std::mem::take(&mut self.room);
        room.clear();
        room.extend_from_slice(&list[left_len..]);
        let result = self.merge_down_from(list, left_len, &room);
        self.room = room;
        result
    }

    fn merge_down_from(&mut self, list: &mut [u32], left_len: usize, room: &[u32]) -> Result<()> {
        // How many are left to place of the left side, of `room`, and of all.
        let (mut left, mut right, mut to) = (left_len, room.len(), list.len());
        to -= 1;
        list[to] = list[left - 1];
        left -= 1;
        'merge: {
            if left == 0 || right == 1 {
                break 'merge;
            }
            loop {
                let (mut left_wins, mut right_wins) = (0, 0);
                while left_wins < self.min_gallop && right_wins < self.min_gallop {
                    if self.less(room[right - 1], list[left - 1])? {
                        to -= 1;
                        list[to] = list[left - 1];
                        left -= 1;
                        (left_wins, right_wins) = (left_wins + 1, 0);
                        if left == 0 {
                            break 'merge;
                        }
                    } else {
                        to -= 1;
                        list[to] = room[right - 1];
                        right -= 1;
                        (left_wins, right_wins) = (0, right_wins + 1);
                        if right == 1 {
                            break 'merge;
                        }
                    }
                }
                self.min_gallop += 1;
                loop {
                    self.min_gallop = self.min_gallop.saturating_sub(1).max(1);
                    left_wins = left - self.gallop_right(room[right - 1], &list[..left], left - 1)?;
                    for _ in 0..left_wins {
                        to -= 1;
                        list[to] = list[left - 1];
                        left -= 1;
                    }
                    if left == 0 {
                        break 'merge;
                    }
                    to -= 1;
                    list[to] = room[right - 1];
                    right -= 1;
                    if right == 1 {
                        break 'merge;
                    }
                    right_wins = right - self.gallop_left(list[left - 1], &room[..right], right - 1)?;
                    for _ in 0..right_wins {
                        to -= 1;
                        list[to] = room[right - 1];
                        right -= 1;
                    }
                    // None can be left only where `<` is inconsistent.
                    if right <= 1 {
                        break 'merge;
                    }
                    to -= 1;
                    list[to] = list[left - 1];
                    left -= 1;
                    if left == 0 {
                        break 'merge;
                    }
                    if left_wins < MIN_GALLOP && right_wins < MIN_GALLOP {
                        break;
                    }
                }
                self.min_gallop += 1;
            }
        }
        // The rest: of the left side, then the first of the right, or the right where the left ended.
        if right == 1 {
            while left > 0 {
                to -= 1;
                list[to] = list[left - 1];
                left -= 1;
            }
        }
        for &value in room[..right].iter().rev() {
            to -= 1;
            list[to] = value;
        }
        Ok(())
    }
}

/// Turns round the last elements, those equal to the one before them and that one.
fn reverse_equal(list: &mut [u32], equal: &mut usize) {
    if *equal > 0 {
        let first = list.len() - *equal - 1;
        list[first..].reverse();
        *equal = 0;
    }
}

/// The least length of a run: such that their number is a power of two or a little less.
fn min_run(mut len: usize) -> usize {
    let mut rest = 0;
    while len >= MIN_RUN_MAX {
        rest |= len & 1;
        len >>= 1;
    }
    len + rest
}

/// Powersort: how many halvings of the list it takes until the middles of two neighbouring runs
/// lie in different parts.
fn power(start: usize, left_len: usize, right_len: usize, len: usize) -> u32 {
    // Twice the middles, as fractions of twice `len`.
    let mut left = 2 * start + left_len;
    let mut right = left + left_len + right_len;
    let mut power = 0;
    loop {
        power += 1;
        if left >= len {
            left -= len;
            right -= len;
        } else if right >= len {
            return power;
        }
        left *= 2;
        right *= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::Limits;
    use proptest::prelude::*;

    /// Sorts positions by what `less` says.
    fn sorted(len: u32, less: impl FnMut(&mut Meter, u32, u32) -> Result<bool>) -> Vec<u32> {
        let mut meter = Meter::new(&Limits::default());
        let mut order: Vec<u32> = (0..len).collect();
        let mut sorter = Sorter { meter: &mut meter, less, min_gallop: MIN_GALLOP, room: Vec::new() };
        sorter.sort(&mut order).unwrap();
        order
    }

    /// Lists with runs and repetitions, on which all parts of the algorithm get to work.
    fn keys() -> impl Strategy<Value = Vec<i64>> {
        let stretch = (0i64..50, -3i64..4, 1usize..150)
            .prop_map(|(first, step, len)| (0..len as i64).map(|at| first + at * step).collect::<Vec<_>>());
        prop::collection::vec(prop_oneof![stretch, prop::collection::vec(0i64..40, 0..100)], 0..12)
            .prop_map(|parts| parts.concat())
    }

    proptest! {
        /// A proper order has one stable result.
        #[test]
        fn stable(keys in keys(), reverse: bool) {
            let values: Vec<Value> = keys.iter().map(|&key| Value::Int(key)).collect();
            let mut meter = Meter::new(&Limits::default());
            let mut expected: Vec<u32> = (0..keys.len() as u32).collect();
            expected.sort_by(|&a, &b| {
                let order = keys[a as usize].cmp(&keys[b as usize]);
                if reverse { order.reverse() } else { order }
            });
            prop_assert_eq!(order(&mut meter, &values, reverse).unwrap(), expected);
        }

        /// Whatever `<` says, the result is a permutation.
        #[test]
        fn inconsistent(keys in keys(), noise in 1u32..9) {
            let mut asked = 0u32;
            let mut order = sorted(keys.len() as u32, |_, a, b| {
                asked = asked.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                Ok((asked >> 24) % 9 < noise && keys[a as usize] < keys[b as usize] || (asked >> 16).is_multiple_of(17))
            });
            order.sort_unstable();
            prop_assert_eq!(order, (0..keys.len() as u32).collect::<Vec<_>>());
        }
    }

    /// A comparison that raises ends the sort.
    #[test]
    fn raised() {
        let keys = [Value::Int(1), Value::Str("a".into()), Value::Int(0)];
        let raise = order(&mut Meter::new(&Limits::default()), &keys, false).unwrap_err();
        assert_eq!(raise.message, "'<' not supported between instances of 'str' and 'int'");
    }
}
