//! Changes of the state: handed to the one writer, and answered when they have taken effect, which with
//! a store means when they are written down. See [`butterflyfx_store::CommitQueue`].

use crate::app::App;
use crate::room::Shortage;
use butterflyfx_engine::decide::{PreparedRelationship, PreparedSubstrate};
use butterflyfx_engine::draft::{Draft, Later};
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::{RelationshipId, SubstrateId};
use butterflyfx_engine::model::{Created, OnConflict, Precondition, Relationship, Substrate, SubstratePatch};
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::shape::Checked;
use butterflyfx_store::{Attempt, CommitFailure, KeptAnswer};
use parking_lot::Mutex;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::oneshot;

/// Why a change did not take effect.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteFailure {
    /// The engine refused.
    Engine(EngineError),
    /// It could not be written down.
    Commit(CommitFailure),
    /// A part of it was, and the rest could not be: a delete of a substrate with very many relationships, which
    /// go before it.
    Begun(CommitFailure),
    /// There is no room for more.
    Short(Shortage),
    /// The server is stopping.
    Stopping,
    /// The writer panicked on it; nothing was stored. The log says more.
    Panicked,
}

impl From<Shortage> for WriteFailure {
    fn from(shortage: Shortage) -> WriteFailure {
        WriteFailure::Short(shortage)
    }
}

impl From<EngineError> for WriteFailure {
    fn from(error: EngineError) -> WriteFailure {
        WriteFailure::Engine(error)
    }
}

/// Has a change planned, written down and applied; gives what planning it gave. `plan` is called again
/// with the next draft for as long as it answers `Later`.
///
/// # Errors
/// It could not be written down.
pub async fn write<T: Send + 'static>(
    app: &App,
    plan: impl FnMut(&mut Draft<'_>) -> Result<T, Later> + Send + 'static,
) -> Result<T, WriteFailure> {
    Sequence::default().submit(app, plan)?.outcome().await
}

/// Changes that take effect in the order in which they are submitted, and none after one that failed, although they are
/// submitted without waiting for each other.
#[derive(Default)]
pub struct Sequence {
    submitted: u64,
    progress: Arc<Progress>,
}

#[derive(Default)]
struct Progress {
    /// Changes that were planned to their end.
    planned: AtomicU64,
    /// Why one was not written down, which holds for all that follow.
    failure: Mutex<Option<CommitFailure>>,
}

impl Progress {
    /// Keeps the first failure.
    fn fail(&self, failure: &CommitFailure) {
        self.failure.lock().get_or_insert_with(|| failure.clone());
    }
}

/// The place of a change in its sequence. Where it is dropped before its time, as when planning it panics, those that
/// follow must not wait for it.
struct Turn {
    number: u64,
    progress: Arc<Progress>,
}

impl Turn {
    fn has_come(&self) -> bool {
        self.progress.planned.load(Ordering::Relaxed) == self.number
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if self.has_come() {
            self.progress.fail(&CommitFailure::Internal("the part before was dropped".to_owned()));
        }
    }
}

/// A change on its way.
pub struct Writing<T>(oneshot::Receiver<Result<T, CommitFailure>>);

impl Sequence {
    /// Hands a change to the writer, as [`write()`] does, and does not wait for it.
    ///
    /// # Errors
    /// The server is stopping.
    pub fn submit<T: Send + 'static>(
        &mut self,
        app: &App,
        mut plan: impl FnMut(&mut Draft<'_>) -> Result<T, Later> + Send + 'static,
    ) -> Result<Writing<T>, WriteFailure> {
        self.submit_with_answer(app, move |draft| plan(draft).map(|planned| (planned, None)))
    }

    /// As [`Sequence::submit`]; an answer that planning gives is kept in the transaction of the change.
    fn submit_with_answer<T: Send + 'static>(
        &mut self,
        app: &App,
        mut plan: impl FnMut(&mut Draft<'_>) -> Result<(T, Option<KeptAnswer>), Later> + Send + 'static,
    ) -> Result<Writing<T>, WriteFailure> {
        let (answer, answered) = oneshot::channel();
        let answer = Arc::new(Mutex::new(Some(answer)));
        let turn = Turn { number: self.submitted, progress: Arc::clone(&self.progress) };
        let job = Box::new(move |draft: &mut Draft<'_>| {
            let (answer, progress) = (Arc::clone(&answer), Arc::clone(&turn.progress));
            let tell = move |outcome: Result<T, CommitFailure>| {
                if let Err(failure) = &outcome {
                    progress.fail(failure);
                }
                if let Some(answer) = answer.lock().take() {
                    // Whoever asked may have gone; the change has taken effect all the same.
                    let _ = answer.send(outcome);
                }
            };
            if let Some(failure) = turn.progress.failure.lock().clone() {
                return Attempt::Done(Box::new(move |_| tell(Err(failure))));
            }
            match if turn.has_come() { plan(draft) } else { Err(Later) } {
                Err(Later) => Attempt::Later(Box::new(move |failure| tell(Err(failure)))),
                Ok((planned, answer)) => {
                    turn.progress.planned.store(turn.number + 1, Ordering::Relaxed);
                    let completion = Box::new(move |outcome: Result<(), _>| tell(outcome.map(|()| planned)));
                    match answer {
                        Some(answer) => Attempt::Keep(answer, completion),
                        None => Attempt::Done(completion),
                    }
                }
            }
        });
        if !app.queue.submit(job) {
            return Err(WriteFailure::Stopping);
        }
        self.submitted += 1;
        Ok(Writing(answered))
    }
}

impl<T> Writing<T> {
    /// Waits until it has taken effect; gives what planning it gave.
    ///
    /// # Errors
    /// It could not be written down, or one before it in its sequence could not.
    pub async fn outcome(self) -> Result<T, WriteFailure> {
        match self.0.await {
            Ok(outcome) => outcome.map_err(WriteFailure::Commit),
            Err(_) => Err(WriteFailure::Panicked),
        }
    }
}

/// Makes, of what a change gave, the answer that is kept with it, where one is.
pub trait Keep<T>: FnMut(&T) -> Option<KeptAnswer> + Send + 'static {}

impl<T, F: FnMut(&T) -> Option<KeptAnswer> + Send + 'static> Keep<T> for F {}

/// As [`write()`], for a plan that takes its input once, and with an answer.
async fn write_once<T: Send + 'static>(
    app: &App,
    mut plan: impl FnMut(&mut Draft<'_>) -> Result<Option<Result<T, EngineError>>, Later> + Send + 'static,
    mut keep: impl Keep<T>,
) -> Result<T, WriteFailure> {
    let with_answer = move |draft: &mut Draft<'_>| {
        let planned = plan(draft)?;
        let answer = planned.as_ref().and_then(|outcome| keep(outcome.as_ref().ok()?));
        Ok((planned, answer))
    };
    match Sequence::default().submit_with_answer(app, with_answer)?.outcome().await? {
        Some(planned) => Ok(planned?),
        // Its input was taken by an earlier attempt that failed.
        None => Err(WriteFailure::Panicked),
    }
}

/// Has an answer kept in the store, so that it can be given again after a restart.
///
/// # Errors
/// It could not be written down.
pub async fn keep_answer(app: &App, answer: KeptAnswer) -> Result<(), WriteFailure> {
    let mut answer = Some(answer);
    Sequence::default().submit_with_answer(app, move |_| Ok(((), answer.take())))?.outcome().await
}

/// Creates a substrate, and has an answer kept with it.
///
/// # Errors
/// The engine's refusal; a failure to write.
pub async fn create_substrate(
    app: &App,
    new: PreparedSubstrate,
    on_conflict: OnConflict,
    keep: impl Keep<Created<Substrate>>,
) -> Result<Created<Substrate>, WriteFailure> {
    app.room.check()?;
    let mut new = Some(new);
    write_once(app, move |draft| draft.create_substrate(&mut new, on_conflict), keep).await
}

/// Creates or replaces a substrate.
///
/// # Errors
/// As [`create_substrate`].
pub async fn put_substrate(
    app: &App,
    new: PreparedSubstrate,
    precondition: Precondition,
) -> Result<Created<Substrate>, WriteFailure> {
    app.room.check()?;
    let mut new = Some(new);
    write_once(app, move |draft| draft.put_substrate(&mut new, &precondition), |_| None).await
}

/// Changes parts of a substrate; `checked` is its new text as it was read for a type.
///
/// # Errors
/// As [`create_substrate`].
pub async fn patch_substrate(
    app: &App,
    id: SubstrateId,
    patch: SubstratePatch,
    checked: Option<(ExpressionType, Checked)>,
    precondition: Precondition,
) -> Result<Substrate, WriteFailure> {
    app.room.check()?;
    let plan =
        move |draft: &mut Draft<'_>| draft.patch_substrate(id, &patch, checked.as_ref(), &precondition);
    Ok(write(app, plan).await??)
}

/// Deletes a substrate and its relationships.
///
/// # Errors
/// As [`create_substrate`].
pub async fn delete_substrate(
    app: &App,
    id: SubstrateId,
    restrict: bool,
    precondition: Precondition,
) -> Result<(), WriteFailure> {
    let mut begun = None;
    let parts = Arc::new(AtomicU64::new(0));
    let planned = Arc::clone(&parts);
    let plan = move |draft: &mut Draft<'_>| {
        let was_begun = begun.is_some();
        let outcome = draft.delete_substrate(id, restrict, &precondition, &mut begun);
        // The first part is stored when the second is planned.
        planned.fetch_add(u64::from(was_begun), Ordering::Relaxed);
        outcome
    };
    match write(app, plan).await {
        Ok(outcome) => Ok(outcome?),
        Err(WriteFailure::Commit(failure)) if parts.load(Ordering::Relaxed) > 0 => {
            Err(WriteFailure::Begun(failure))
        }
        Err(failure) => Err(failure),
    }
}

/// Creates a relationship, and has an answer kept with it.
///
/// # Errors
/// As [`create_substrate`].
pub async fn create_relationship(
    app: &App,
    new: PreparedRelationship,
    on_conflict: OnConflict,
    keep: impl Keep<Created<Relationship>>,
) -> Result<Created<Relationship>, WriteFailure> {
    app.room.check()?;
    let mut new = Some(new);
    write_once(app, move |draft| draft.create_relationship(&mut new, on_conflict), keep).await
}

/// Deletes a relationship.
///
/// # Errors
/// As [`create_substrate`].
pub async fn delete_relationship(app: &App, id: RelationshipId) -> Result<(), WriteFailure> {
    Ok(write(app, move |draft| draft.delete_relationship(id)).await??)
}

/// Declares an index. `false`: it was there.
///
/// # Errors
/// As [`create_substrate`].
pub async fn create_index(app: &App, metadata_key: String) -> Result<bool, WriteFailure> {
    app.room.check()?;
    Ok(write(app, move |draft| draft.create_index(&metadata_key)).await??)
}

/// Drops an index. `false`: there was none.
///
/// # Errors
/// As [`create_substrate`].
pub async fn drop_index(app: &App, metadata_key: String) -> Result<bool, WriteFailure> {
    write(app, move |draft| draft.drop_index(&metadata_key)).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    /// Submits changes that count how often they are planned before they are done; gives what became of
    /// each, and the order in which they were planned to their end. `None` panics.
    async fn check(often: &[Option<u32>], expected: &[Result<(), &str>], order: &[usize]) {
        let app = App::new(Config { in_memory: true, ..Config::default() }).expect("threads start");
        let mut sequence = Sequence::default();
        let planned = Arc::new(Mutex::new(Vec::new()));
        let mut writings = Vec::new();
        for (number, often) in often.iter().copied().enumerate() {
            let (mut left, planned) = (often, Arc::clone(&planned));
            let plan = move |_: &mut Draft<'_>| match &mut left {
                None => panic!("a plan that panics"),
                Some(0) => {
                    planned.lock().push(number);
                    Ok(())
                }
                Some(left) => {
                    *left -= 1;
                    Err(Later)
                }
            };
            writings.push(sequence.submit(&app, plan).expect("the queue is open"));
        }
        for (writing, expected) in writings.into_iter().zip(expected) {
            match (writing.outcome().await, expected) {
                (Ok(()), Ok(())) => {}
                (Err(failure), Err(part)) if format!("{failure:?}").contains(part) => {}
                (outcome, expected) => panic!("{outcome:?} where {expected:?} was expected"),
            }
        }
        assert_eq!(*planned.lock(), order);
    }

    #[tokio::test]
    async fn a_sequence_takes_effect_in_order() {
        check(&[Some(0), Some(0), Some(0)], &[Ok(()), Ok(()), Ok(())], &[0, 1, 2]).await;
        check(&[Some(3), Some(0), Some(2), Some(1)], &[Ok(()); 4], &[0, 1, 2, 3]).await;
    }

    #[tokio::test]
    async fn nothing_of_a_sequence_follows_a_panic() {
        let before = Err("Internal(\"the part before was dropped\")");
        check(&[None, Some(0), Some(1)], &[Err("Panicked"), before, before], &[]).await;
    }
}
