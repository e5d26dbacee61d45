//! A histogram of latencies with bounded error: exact below 128 us, then 64 buckets to each doubling, so that
//! a value is told to within one part in 64 whatever its size. It holds counts only, grows with the largest
//! value it has met, and two can be added.

/// Buckets to each doubling, as a power of two.
const PRECISION_BITS: u32 = 6;
const BUCKETS: u64 = 1 << PRECISION_BITS;
/// Larger values count as this one: 12 days in microseconds.
const VALUE_MAX: u64 = 1 << 40;

/// Counts of values, here microseconds.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    counts: Vec<u32>,
    total: u64,
    max: u64,
}

impl Histogram {
    /// Takes in a value.
    pub fn add(&mut self, value: u64) {
        let bucket = bucket_of(value);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] = self.counts[bucket].saturating_add(1);
        self.total += 1;
        self.max = self.max.max(value);
    }

    /// Takes in all values of another.
    pub fn add_all(&mut self, other: &Histogram) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count = count.saturating_add(*more);
        }
        self.total += other.total;
        self.max = self.max.max(other.max);
    }

    /// How many values there are.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// The largest value, exactly; 0 where there is none.
    pub fn max(&self) -> u64 {
        self.max
    }

    /// The smallest value that this share of all values does not exceed, or up to one part in 64 more.
    pub fn percentile(&self, share: f64) -> u64 {
        let wanted = ((self.total as f64 * share).ceil() as u64).clamp(1, self.total.max(1));
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= wanted {
                return top_of(bucket).min(self.max);
            }
        }
        self.max
    }
}

/// The bucket that counts a value.
fn bucket_of(value: u64) -> usize {
    let value = value.min(VALUE_MAX);
    if value < 2 * BUCKETS {
        return value as usize;
    }
    let shift = value.ilog2() - PRECISION_BITS;
    (u64::from(shift) * BUCKETS + (value >> shift)) as usize
}

/// The largest value that a bucket counts.
fn top_of(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    if bucket < 2 * BUCKETS {
        return bucket;
    }
    let shift = bucket / BUCKETS - 1;
    ((BUCKETS + bucket % BUCKETS + 1) << shift) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::load::random::Random;

    const SHARES: [f64; 7] = [0.0, 0.01, 0.5, 0.95, 0.99, 0.999, 1.0];

    /// Against a sorted list: never below the true value, and above it by one part in 64 at most.
    fn check(values: &[u64]) {
        let mut histogram = Histogram::default();
        let (mut left, mut right) = (Histogram::default(), Histogram::default());
        for (at, value) in values.iter().enumerate() {
            histogram.add(*value);
            if at % 3 == 0 { left.add(*value) } else { right.add(*value) }
        }
        left.add_all(&right);
        let mut sorted = values.to_vec();
        sorted.sort_unstable();
        assert_eq!(histogram.total(), values.len() as u64);
        assert_eq!(histogram.max(), *sorted.last().expect("not empty"));
        for share in SHARES {
            let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
            let (truth, told) = (sorted[at], histogram.percentile(share));
            assert!(told >= truth && told <= truth + truth / 64, "{share}: {told}, not {truth}");
            assert_eq!(left.percentile(share), told, "added up");
        }
    }

    #[test]
    fn percentiles_are_those_of_a_sorted_list() {
        check(&[0]);
        check(&[5]);
        check(&[127, 128, 129, 255, 256, 257, 1_000_000_000]);
        check(&(0..10_000).collect::<Vec<_>>());
        let mut random = Random::new(7);
        for bits in [4, 8, 16, 30, 39] {
            let values: Vec<u64> = (0..5_000).map(|_| random.draw() >> (64 - bits)).collect();
            check(&values);
        }
    }

    #[test]
    fn buckets_follow_each_other_without_a_gap() {
        for bucket in 1..2_000 {
            let below = top_of(bucket - 1);
            assert_eq!(bucket_of(below), bucket - 1);
            assert_eq!(bucket_of(below + 1), bucket);
        }
    }

    #[test]
    fn an_empty_one_answers_and_a_huge_value_costs_little() {
        assert_eq!(Histogram::default().percentile(0.99), 0);
        let mut histogram = Histogram::default();
        histogram.add(u64::MAX);
        assert_eq!(histogram.max(), u64::MAX);
        assert!(histogram.counts.len() < 3_000);
    }
}
