//! The state that outlives the process: an embedded SQLite database.
//!
//! The engine keeps everything in memory and answers from there; this crate writes down what it
//! accepted, and gives it back at the next start. It knows records and changes of them
//! ([`butterflyfx_engine::record`]) and nothing of HTTP.
//!
//! [`Store::commit`] writes changes in one transaction, with an order-independent [`Digest`] of all
//! records. [`Store::recover`] reads everything back and refuses where the digest differs, so that
//! "what came back is what was committed" is checked at each start. [`verify()`], [`backup()`],
//! [`restore()`], [`rescue()`] and [`repair()`] are for the operator. `docs/storage.md` describes the file for a person with `sqlite3`.

mod backup;
mod digest;
mod error;
mod folder;
mod fresh;
mod kept;
mod meta;
mod migrate;
mod pages;
mod queue;
mod recover;
mod repair;
mod rescue;
mod rows;
mod scan;
mod schema;
#[cfg(test)]
#[path = "../tests/store/steps.rs"]
mod steps;
mod store;
mod verify;
mod wal;
mod write;

pub use backup::{Backup, backup, backup_with, restore, restore_with};
pub use digest::Digest;
pub use error::StoreError;
pub use folder::{DATABASE_FILE, LOCK_FILE, free_bytes, holds_database};
pub use kept::KeptAnswer;
pub use meta::{Counts, Next};
pub use queue::{Abandon, Attempt, Commit, CommitFailure, CommitQueue, Completion, Job, Observer, Status};
pub use recover::{Receive, Recovered, read};
pub use repair::{Repaired, repair};
pub use rescue::rescue;
pub use schema::FORMAT_VERSION;
pub use store::{Checkpoint, Checkpointer, Durability, Options, Store};
pub use verify::{Progress, Report, Tell, verify, verify_with};
