//! How fast the store writes and reads back: `cargo run --release -p butterflyfx-store --example store_speed [folder]`.
//!
//! A million substrates and five times as many relationships like those of the standard graph, in
//! batches of 10,000; then single commits of one substrate; then everything read back.

use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{RelationshipType, Substrate, Timestamp};
use butterflyfx_engine::record::{Change, IndexRecord, RelationshipRecord, SubstrateRecord};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_store::{Durability, KeptAnswer, Options, Receive, Store, StoreError};
use std::path::{Path, PathBuf};
use std::time::Instant;

const SUBSTRATES: u64 = 1_000_000;
const RELATIONSHIPS: u64 = 5_000_000;
const BATCH: u64 = 10_000;
const SINGLES: u64 = 2_000;

fn substrate(sequence: u64) -> Change {
    let metadata = vec![
        ("name".into(), Document::Text(format!("node {sequence}").into())),
        ("layer".into(), Document::Int((sequence % 7).cast_signed())),
        ("weight".into(), Document::Float(sequence as f64 / 8.0)),
    ];
    Change::SubstrateCreated(SubstrateRecord {
        sequence,
        substrate: Substrate {
            id: SubstrateId(sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            created_at: Timestamp(1_790_000_000_000_000 + sequence.cast_signed()),
            updated_at: Timestamp(1_790_000_000_000_000 + sequence.cast_signed()),
            version: 1,
            expression_type: ExpressionType::Lambda,
            expression_code: format!("lambda **kw: kw.get(\"x\", 0) * {sequence} + kw.get(\"y\", 0)"),
            metadata: Document::Map(metadata),
        },
    })
}

fn relationship(sequence: u64) -> Change {
    Change::RelationshipCreated(RelationshipRecord {
        sequence,
        rel_type: RelationshipType::Dependency,
        bidirectional: false,
        source: sequence % SUBSTRATES,
        target: (sequence.wrapping_mul(2_654_435_761) ^ 77) % SUBSTRATES,
        constraints: Document::Map(Vec::new()),
        lineage: Document::Null,
        created_at: Timestamp(1_790_000_000_000_000 + sequence.cast_signed()),
    })
}

/// Seconds that passed, and seconds that this process computed: on a busy machine the latter say more.
#[derive(Clone, Copy)]
struct Seconds {
    passed: f64,
    computed: f64,
}

impl Seconds {
    const NONE: Seconds = Seconds { passed: 0.0, computed: 0.0 };

    /// Of a call, added.
    fn measure<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let started = (Instant::now(), computed());
        let answer = call();
        self.passed += started.0.elapsed().as_secs_f64();
        self.computed += computed() - started.1;
        answer
    }
}

fn computed() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

/// Commits `count` changes in batches and prints rows a second. Making the changes is not in the time.
fn load(
    store: &mut Store,
    what: &str,
    count: u64,
    batch: u64,
    make: fn(u64) -> Change,
    from: u64,
) -> Result<(), StoreError> {
    let (mut commits, mut checkpoints) = (Seconds::NONE, Seconds::NONE);
    let mut at = from;
    while at < from + count {
        let changes: Vec<Change> = (at..at + batch).map(make).collect();
        commits.measure(|| store.commit(&changes, &[]))?;
        if store.wal_bytes() > 128 * 1024 * 1024 {
            checkpoints.measure(|| store.checkpoint())?;
        }
        at += batch;
    }
    println!(
        "{what:26} {:>10.0} rows/s, computing alone {:>10.0}, {:>7.0} commits/s; checkpoints {:.2} s",
        count as f64 / commits.passed,
        count as f64 / commits.computed,
        count as f64 / batch as f64 / commits.passed,
        checkpoints.passed,
    );
    Ok(())
}

/// Takes everything and forgets it.
struct Nobody;

impl Receive for Nobody {
    fn begin_again(&mut self) -> Result<(), String> {
        Ok(())
    }

    fn substrates(&mut self, _: Vec<SubstrateRecord>) -> Result<(), String> {
        Ok(())
    }
    fn relationships(&mut self, _: Vec<RelationshipRecord>) -> Result<(), String> {
        Ok(())
    }
    fn index(&mut self, _: IndexRecord) -> Result<(), String> {
        Ok(())
    }
    fn kept_answers(&mut self, _: Vec<KeptAnswer>) -> Result<(), String> {
        Ok(())
    }
}

fn run(folder: &Path) -> Result<(), StoreError> {
    let mut store = Store::open(folder, &Options { durability: Durability::Always, ..Options::default() })?;
    load(&mut store, "substrates by 10,000", SUBSTRATES, BATCH, substrate, 0)?;
    load(&mut store, "relationships by 10,000", RELATIONSHIPS, BATCH, relationship, 0)?;
    let mut last = Seconds::NONE;
    last.measure(|| store.checkpoint())?;
    println!("last checkpoint {:.2} s, file {} bytes", last.passed, store.file_bytes());
    let mut reading = Seconds::NONE;
    let recovered = reading.measure(|| store.recover(&mut Nobody))?;
    let rows = (recovered.counts.substrates + recovered.counts.relationships) as f64;
    println!(
        "{:26} {:>10.0} rows/s, computing alone {:>10.0}; {:.2} s",
        "recovery",
        rows / reading.passed,
        rows / reading.computed,
        recovered.seconds
    );
    load(&mut store, "single commits, always", SINGLES, 1, substrate, SUBSTRATES)?;
    store.close()?;
    for (what, durability, from) in [
        ("single commits, interval", Durability::Interval(std::time::Duration::from_secs(1)), 1),
        ("single commits, never", Durability::Never, 2),
    ] {
        let mut store = Store::open(folder, &Options { durability, ..Options::default() })?;
        load(&mut store, what, SINGLES, 1, substrate, SUBSTRATES + from * SINGLES)?;
        store.close()?;
    }
    Ok(())
}

fn main() -> Result<(), StoreError> {
    let base = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = base.join(format!("butterflyfx-store-speed-{}", std::process::id()));
    let outcome = run(&folder);
    // What was measured is of no use afterwards.
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}
