//! What the store reads back into an engine: formulas are recognised on the thread that takes records from the readers, and
//! records put into the state on another, so that neither waits for the other's work.

use butterflyfx_engine::Engine;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::record::{IndexRecord, RelationshipRecord, SubstrateRecord};
use butterflyfx_engine::restore::CheckedRecords;
use butterflyfx_store::{KeptAnswer, Receive, Recovered, Store, StoreError};
use std::panic::resume_unwind;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Steps that may wait to be done.
const STEPS_WAITING_MAX: usize = 8;

/// Reads everything from a store into an engine, which is empty.
///
/// # Errors
/// As [`Store::recover`]; the engine is of no use then.
pub(crate) fn restore(
    store: &mut Store,
    engine: &Engine,
) -> Result<(Recovered, Vec<KeptAnswer>), StoreError> {
    engine.begin_restoring();
    let (recovered, answers, restored) = thread::scope(|scope| {
        let (steps, waiting) = sync_channel(STEPS_WAITING_MAX);
        let restoring = scope.spawn(move || take(engine, &waiting));
        let mut taker = Taker { engine, steps, answers: Vec::new() };
        let recovered = store.recover(&mut taker);
        let Taker { steps, answers, .. } = taker;
        drop(steps);
        (recovered, answers, restoring.join().unwrap_or_else(|panic| resume_unwind(panic)))
    });
    // What the store says of its file comes first.
    let recovered = recovered?;
    restored.and_then(|()| engine.end_restoring()).map_err(|error| StoreError::Refused(sentence(error)))?;
    engine.restore_sequences(recovered.next.substrate, recovered.next.relationship);
    Ok((recovered, answers))
}

/// What is done in order.
enum Step {
    Again,
    Substrates(CheckedRecords),
    Relationships(Vec<RelationshipRecord>),
    Index(IndexRecord),
}

/// Puts what comes into the engine. After a refusal the rest is passed over, unless all comes again.
fn take(engine: &Engine, steps: &Receiver<Step>) -> Result<(), EngineError> {
    let mut outcome = Ok(());
    for step in steps {
        match step {
            Step::Again => {
                engine.begin_restoring();
                outcome = Ok(());
            }
            _ if outcome.is_err() => {}
            Step::Substrates(records) => outcome = engine.restore_checked(&records),
            Step::Relationships(records) => outcome = engine.restore_relationships(&records),
            Step::Index(record) => engine.restore_index(&record),
        }
    }
    outcome
}

/// Takes what is read back.
struct Taker<'a> {
    engine: &'a Engine,
    steps: SyncSender<Step>,
    answers: Vec<KeptAnswer>,
}

impl Taker<'_> {
    fn send(&self, step: Step) -> Result<(), String> {
        self.steps.send(step).map_err(|_| "nobody restores any more".to_owned())
    }
}

impl Receive for Taker<'_> {
    fn begin_again(&mut self) -> Result<(), String> {
        self.answers.clear();
        self.send(Step::Again)
    }

    fn substrates(&mut self, records: Vec<SubstrateRecord>) -> Result<(), String> {
        let checked = self.engine.check_records(records).map_err(sentence)?;
        self.send(Step::Substrates(checked))
    }

    fn relationships(&mut self, records: Vec<RelationshipRecord>) -> Result<(), String> {
        self.send(Step::Relationships(records))
    }

    fn index(&mut self, record: IndexRecord) -> Result<(), String> {
        self.send(Step::Index(record))
    }

    fn kept_answers(&mut self, answers: Vec<KeptAnswer>) -> Result<(), String> {
        self.answers.extend(answers);
        Ok(())
    }
}

fn sentence(error: EngineError) -> String {
    match error {
        EngineError::Records(sentence) | EngineError::Full(sentence) => sentence,
        other => format!("{other:?}"),
    }
}
