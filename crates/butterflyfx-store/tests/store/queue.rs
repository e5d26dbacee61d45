//! The one writer: what a command was told holds, also where it needed more than one group and one was not stored.

use crate::records::{json, open, reopen};
use butterflyfx_engine::Engine;
use butterflyfx_engine::decide::PreparedSubstrate;
use butterflyfx_engine::draft::Draft;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{NewSubstrate, OnConflict};
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_store::{Attempt, CommitFailure, CommitQueue};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

type Told = Result<(), CommitFailure>;

fn start(folder: &Path) -> (Arc<Engine>, Arc<CommitQueue>) {
    let engine = Arc::new(Engine::new(Default::default()));
    let queue = CommitQueue::start(Arc::clone(&engine), Some(open(folder)), Box::new(|_| {})).unwrap();
    (engine, Arc::new(queue))
}

fn prepared(engine: &Engine, id: u64, bytes: usize) -> PreparedSubstrate {
    let new = NewSubstrate {
        identity: Some(SubstrateId(id)),
        expression_type: ExpressionType::Constant,
        expression_code: "1".to_owned(),
        metadata: json(&format!(r#"{{"text": "{}"}}"#, "x".repeat(bytes))),
    };
    engine.prepare_substrate(new).unwrap()
}

fn create(draft: &mut Draft<'_>, new: PreparedSubstrate) {
    let planned = draft.create_substrate(&mut Some(new), OnConflict::Refuse);
    assert!(matches!(planned, Ok(Some(Ok(_)))), "{planned:?}");
}

/// Submits a command that creates one substrate in each of two groups, and makes room between them.
fn in_two_groups(engine: &Engine, queue: &Arc<CommitQueue>, ids: [u64; 2], bytes: usize) -> Receiver<Told> {
    let (tell, told): (Sender<Told>, _) = channel();
    let mut parts: Vec<_> = ids.into_iter().rev().map(|id| prepared(engine, id, bytes)).collect();
    let between = Arc::downgrade(queue);
    queue.submit(Box::new(move |draft| {
        create(draft, parts.pop().unwrap());
        let tell = tell.clone();
        if parts.is_empty() {
            return Attempt::Done(Box::new(move |outcome| tell.send(outcome).unwrap()));
        }
        if let Some(queue) = between.upgrade() {
            queue.run_errand(|store| store.limit_bytes(u64::MAX).unwrap());
        }
        Attempt::Later(Box::new(move |failure| tell.send(Err(failure)).unwrap()))
    }));
    told
}

#[test]
fn a_command_whose_first_part_was_not_stored_is_not_told_that_all_is_well() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, queue) = start(folder.path());
    assert_eq!(in_two_groups(&engine, &queue, [1, 2], 10).recv().unwrap(), Ok(()));
    queue.run_errand(|store| store.limit_bytes(0).unwrap());
    let told = in_two_groups(&engine, &queue, [3, 4], 500_000).recv().unwrap();
    assert!(matches!(told, Err(CommitFailure::Full(_))), "{told:?}");
    // What is not stored is not seen either.
    assert_eq!([1, 2, 3, 4].map(|id| engine.substrate(SubstrateId(id)).is_ok()), [true, true, false, false]);
    assert_eq!(in_two_groups(&engine, &queue, [5, 6], 500_000).recv().unwrap(), Ok(()));
    queue.close();
    let mut found: Vec<u64> =
        reopen(folder.path()).unwrap().0.substrates.values().map(|one| one.substrate.id.0).collect();
    found.sort_unstable();
    assert_eq!(found, [1, 2, 5, 6]);
}

#[test]
fn a_command_that_shared_a_group_with_a_panic_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, queue) = start(folder.path());
    // The writer waits here until both others wait behind it. It must be here before they come, or else it may take the
    // first of them along with this errand, and not the second.
    let ((arrive, arrived), (go, gone)) = (channel::<()>(), channel::<()>());
    queue.run_errand(move |_| {
        arrive.send(()).unwrap();
        gone.recv().unwrap();
    });
    arrived.recv().unwrap();
    let told = in_two_groups(&engine, &queue, [1, 2], 10);
    queue.submit(Box::new(|_| panic!("on purpose")));
    go.send(()).unwrap();
    assert!(matches!(told.recv().unwrap(), Err(CommitFailure::Internal(_))));
    assert_eq!(in_two_groups(&engine, &queue, [1, 2], 10).recv().unwrap(), Ok(()));
}
