//! What an acknowledged change outlives. The real program runs on a data folder and is attacked: killed,
//! stopped, given a disk that fails or is full, a damaged file, a second process. One module for a promise.
//!
//! `BUTTERFLYFX_KILL_ROUNDS` sets how often the servers of `kill` die, `BUTTERFLYFX_KILL_SEED` repeats a run.

mod client;
mod copies;
mod full;
mod kill;
mod linear;
mod model;
pub(crate) mod process;
mod refusal;
mod stop;
mod sync_failure;
pub(crate) mod wire;

/// A stream of numbers that a seed repeats (SplitMix64).
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// One of `0..end`.
    fn below(&mut self, end: u64) -> u64 {
        self.next() % end.max(1)
    }

    /// True once in so many times.
    fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}

/// The seed of this run: from the environment, or from the clock. A failure prints it with what it captured.
fn seed() -> u64 {
    let given = std::env::var("BUTTERFLYFX_KILL_SEED").ok().and_then(|text| text.parse().ok());
    let seed = given.unwrap_or_else(|| {
        std::time::UNIX_EPOCH.elapsed().map_or(1, |elapsed| u64::from(elapsed.subsec_nanos()))
    });
    println!("BUTTERFLYFX_KILL_SEED={seed}");
    seed
}
