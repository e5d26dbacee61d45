//! When requests are due: a rate that goes in straight lines from phase to phase, and from it the moment of
//! each arrival. Nothing here waits for an answer; that is what makes the loop open.

use std::time::Duration;

/// A stretch of time in which the rate goes evenly from one value to another.
#[derive(Clone, Debug)]
pub struct Phase {
    /// What it is called in the report.
    pub name: &'static str,
    /// Its length.
    pub seconds: f64,
    /// Requests a second at its beginning.
    pub from: f64,
    /// Requests a second at its end.
    pub to: f64,
}

impl Phase {
    /// How many requests are due in its first seconds.
    fn due_after(&self, seconds: f64) -> f64 {
        let slope = (self.to - self.from) / self.seconds;
        self.from * seconds + slope * seconds * seconds / 2.0
    }

    /// After how many seconds so many requests are due: the inverse of `due_after`.
    fn moment_of(&self, requests: f64) -> f64 {
        let slope = (self.to - self.from) / self.seconds;
        // The larger root of a quadratic, written so that it also holds for slope 0.
        let root = (self.from * self.from + 2.0 * slope * requests).max(0.0).sqrt();
        (2.0 * requests / (self.from + root).max(f64::MIN_POSITIVE)).min(self.seconds)
    }
}

/// Phases one after the other.
#[derive(Clone, Debug)]
pub struct Schedule {
    phases: Vec<Phase>,
    /// For each phase, when it begins and how many requests are due before it; and the same for the end.
    begins: Vec<(f64, f64)>,
}

impl Schedule {
    /// One of these phases.
    pub fn new(phases: Vec<Phase>) -> Schedule {
        let mut begins = vec![(0.0, 0.0)];
        let (mut seconds, mut requests) = (0.0, 0.0);
        for phase in &phases {
            seconds += phase.seconds;
            requests += phase.due_after(phase.seconds);
            begins.push((seconds, requests));
        }
        Schedule { phases, begins }
    }

    /// The same rate for so long.
    pub fn steady(rate: f64, seconds: f64) -> Schedule {
        Schedule::new(vec![Phase { name: "steady", seconds, from: rate, to: rate }])
    }

    /// Calm at a tenth of the peak, from nothing to the peak, the peak held, down again, calm again. For 70
    /// seconds the parts take 10, 30, 10, 10 and 10.
    pub fn spike(peak: f64, seconds: f64) -> Schedule {
        let part = seconds / 7.0;
        let calm = peak / 10.0;
        let phase = |name, seconds, from, to| Phase { name, seconds, from, to };
        Schedule::new(vec![
            phase("before", part, calm, calm),
            phase("ramp up", 3.0 * part, 0.0, peak),
            phase("peak", part, peak, peak),
            phase("ramp down", part, peak, calm),
            phase("after", part, calm, calm),
        ])
    }

    /// The length of it all.
    pub fn seconds(&self) -> f64 {
        self.begins.last().map_or(0.0, |(seconds, _)| *seconds)
    }

    /// How many requests are due in all.
    pub fn requests(&self) -> u64 {
        // The small addend keeps a whole number whole that arithmetic has made a little less.
        self.begins.last().map_or(0, |(_, requests)| (*requests + 1e-6) as u64)
    }

    /// When a request, counted from 0, is due; `None` after the last.
    pub fn moment(&self, request: u64) -> Option<Duration> {
        if request >= self.requests() {
            return None;
        }
        let request = request as f64;
        let at = self.begins.partition_point(|(_, due)| *due <= request).saturating_sub(1);
        let at = at.min(self.phases.len() - 1);
        let (begin, due) = self.begins[at];
        Some(Duration::from_secs_f64(begin + self.phases[at].moment_of(request - due)))
    }

    /// Requests due before this moment, with fractions.
    pub fn due_before(&self, seconds: f64) -> f64 {
        let at = self.begins.partition_point(|(begin, _)| *begin <= seconds).saturating_sub(1);
        let (begin, due) = self.begins[at];
        self.phases.get(at).map_or(due, |phase| due + phase.due_after(seconds - begin))
    }

    /// The phases with the seconds at which each begins and ends.
    pub fn phases(&self) -> impl Iterator<Item = (&'static str, f64, f64)> {
        self.phases.iter().zip(self.begins.windows(2)).map(|(phase, ends)| (phase.name, ends[0].0, ends[1].0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(schedule: &Schedule) -> Vec<f64> {
        (0..).map_while(|request| schedule.moment(request)).map(|at| at.as_secs_f64()).collect()
    }

    #[test]
    fn a_steady_rate_has_even_gaps() {
        let schedule = Schedule::steady(1_000.0, 2.0);
        let all = moments(&schedule);
        assert_eq!(all.len(), 2_000);
        for (request, moment) in all.iter().enumerate() {
            assert!((moment - request as f64 / 1_000.0).abs() < 1e-6, "{request}: {moment}");
        }
        assert_eq!(schedule.due_before(0.5), 500.0);
        assert_eq!(schedule.due_before(9.0), 2_000.0);
    }

    #[test]
    fn a_spike_rises_holds_and_falls() {
        let schedule = Schedule::spike(5_000.0, 70.0);
        assert_eq!(schedule.seconds(), 70.0);
        let all = moments(&schedule);
        assert_eq!(all.len() as u64, schedule.requests());
        assert_eq!(all.len(), 5_000 + 75_000 + 50_000 + 27_500 + 5_000);
        assert!(all.is_sorted());
        let in_second = |second: f64| all.iter().filter(|at| **at >= second && **at < second + 1.0).count();
        for (second, wanted) in [(5.0, 500.0), (10.0, 83.3), (25.0, 2_583.3), (45.0, 5_000.0), (65.0, 500.0)]
        {
            assert!((in_second(second) as f64 - wanted).abs() < 2.0, "{second}: {}", in_second(second));
            let due = schedule.due_before(second + 1.0) - schedule.due_before(second);
            assert!((due - wanted).abs() < 1.0, "{second}: {due}");
        }
        let names: Vec<_> = schedule.phases().map(|(name, ..)| name).collect();
        assert_eq!(names, ["before", "ramp up", "peak", "ramp down", "after"]);
    }

    #[test]
    fn a_rate_of_nothing_has_no_arrivals() {
        assert_eq!(moments(&Schedule::steady(0.0, 5.0)), [0.0; 0]);
    }
}
