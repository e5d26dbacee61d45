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
use tokio::sync::oneshot;

/// Why a change did not take effect.
#[derive(Clone, Debug, PartialEq)]
pub enum WriteFailure {
    /// The engine refused.
    Engine(EngineError),
    /// It could not be written down.
    Commit(CommitFailure),
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
    mut plan: impl FnMut(&mut Draft<'_>) -> Result<T, Later> + Send + 'static,
) -> Result<T, WriteFailure> {
    let (answer, answered) = oneshot::channel();
    let answer = Arc::new(Mutex::new(Some(answer)));
    let job = Box::new(move |draft: &mut Draft<'_>| {
        let answer = Arc::clone(&answer);
        let tell = move |outcome: Result<T, CommitFailure>| {
            if let Some(answer) = answer.lock().take() {
                // Whoever asked may have gone; the change has taken effect all the same.
                let _ = answer.send(outcome);
            }
        };
        match plan(draft) {
            Err(Later) => Attempt::Later(Box::new(move |failure| tell(Err(failure)))),
            Ok(planned) => Attempt::Done(Box::new(move |outcome| tell(outcome.map(|()| planned)))),
        }
    });
    if !app.queue.submit(job) {
        return Err(WriteFailure::Stopping);
    }
    match answered.await {
        Ok(outcome) => outcome.map_err(WriteFailure::Commit),
        Err(_) => Err(WriteFailure::Panicked),
    }
}

/// As [`write`], for a plan that takes its input once.
async fn write_once<T: Send + 'static>(
    app: &App,
    plan: impl FnMut(&mut Draft<'_>) -> Result<Option<Result<T, EngineError>>, Later> + Send + 'static,
) -> Result<T, WriteFailure> {
    match write(app, plan).await? {
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
    let (done, told) = oneshot::channel();
    let mut work = Some((answer, done));
    let job = Box::new(move |_: &mut Draft<'_>| match work.take() {
        Some((answer, done)) => Attempt::Keep(
            answer,
            Box::new(move |outcome| {
                let _ = done.send(outcome);
            }),
        ),
        None => Attempt::Done(Box::new(|_| {})),
    });
    if !app.queue.submit(job) {
        return Err(WriteFailure::Stopping);
    }
    match told.await {
        Ok(outcome) => outcome.map_err(WriteFailure::Commit),
        Err(_) => Err(WriteFailure::Panicked),
    }
}

/// Creates a substrate.
///
/// # Errors
/// The engine's refusal; a failure to write.
pub async fn create_substrate(
    app: &App,
    new: PreparedSubstrate,
    on_conflict: OnConflict,
) -> Result<Created<Substrate>, WriteFailure> {
    app.room.check()?;
    let mut new = Some(new);
    write_once(app, move |draft| draft.create_substrate(&mut new, on_conflict)).await
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
    write_once(app, move |draft| draft.put_substrate(&mut new, &precondition)).await
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
    let plan = move |draft: &mut Draft<'_>| draft.delete_substrate(id, restrict, &precondition, &mut begun);
    Ok(write(app, plan).await??)
}

/// Creates a relationship.
///
/// # Errors
/// As [`create_substrate`].
pub async fn create_relationship(
    app: &App,
    new: PreparedRelationship,
    on_conflict: OnConflict,
) -> Result<Created<Relationship>, WriteFailure> {
    app.room.check()?;
    let mut new = Some(new);
    write_once(app, move |draft| draft.create_relationship(&mut new, on_conflict)).await
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
