//! What an operator asks of a running server.

use super::problem::{Code, Problem};
use super::{Answer, Shared, time, wire};
use crate::clock;
use axum::extract::{Request, State};
use butterflyfx_formula::json;
use butterflyfx_store::StoreError;
use std::sync::Arc;
use utoipa::ToSchema;

/// What a backup was written from.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the answer, which is written by hand")]
#[schema(rename_all = "lowercase")]
pub(super) enum Source {
    Database,
    Memory,
}

/// A backup that was made.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the answer, which is written by hand")]
pub(super) struct Backup {
    /// Below the data folder.
    #[schema(example = "backups/20261127T030000000000Z.db")]
    file: String,
    /// `memory` where the database can no longer be written, and so need not hold what the server answers.
    source: Source,
    bytes: u64,
    substrates: u64,
    relationships: u64,
    /// Of all records in it, 32 hex digits; `butterflyfx restore` and `verify` print it, too.
    digest: String,
    /// How long it took, verification included.
    seconds: f64,
}

/// Back up the database
///
/// Copies the database into a new file of the folder `backups` in the data folder, while changes go on, and verifies the
/// copy. Comes back when it is done. The copy is the state at one moment; `butterflyfx restore` makes a data folder of it.
///
/// Where the server is `read_only`, because a write or sync failed, the copy is written from memory instead: it holds all
/// that the server answers, which is all that was acknowledged.
#[utoipa::path(post, path = "/api/v1/admin/backup", tag = "system", operation_id = "create_backup",
    responses((status = 201, description = "Made, and verified.", body = Backup)))]
pub(super) async fn backup(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    if !api.app.queue.is_durable() {
        let sentence = "this server keeps nothing on disk: it was started with --in-memory";
        return Err(Problem::new(Code::NotDurable, sentence));
    }
    let folder = api.app.config.data_dir.clone();
    // It never becomes writable again, so what is in memory stays as it is.
    let from_memory = api.app.queue.read_only().is_some();
    let shared = Arc::clone(&api);
    // Seconds of work that is mostly waiting for the disk: not on a worker, which others need.
    let copied = tokio::task::spawn_blocking(move || {
        let mut name = String::new();
        time::write(clock::now(), &mut name);
        name.retain(|one| one.is_ascii_alphanumeric());
        let backups = folder.join("backups");
        std::fs::create_dir_all(&backups).map_err(|error| StoreError::Io {
            path: backups.clone(),
            detail: format!("making the folder: {error}"),
        })?;
        let file = backups.join(format!("{name}.db"));
        if from_memory {
            butterflyfx_store::rescue(&shared.app.engine, &shared.idempotency.kept_answers(), &file)
        } else {
            butterflyfx_store::backup(&folder, &file)
        }
    });
    let copy = match copied.await {
        Ok(Ok(copy)) => copy,
        Ok(Err(error)) => {
            tracing::error!(%error, "a backup failed");
            return Err(match error {
                StoreError::Full { .. } => {
                    Problem::new(Code::OutOfStorage, "the disk has no room for a backup; there is none")
                }
                _ => Problem::new(Code::Internal, "the backup failed and is not there; the log says more"),
            });
        }
        Err(_) => return Err(Problem::new(Code::Internal, "the backup failed; the log says more")),
    };
    api.app.metrics.backed_up(clock::now());
    let source = if from_memory { "memory" } else { "database" };
    tracing::info!(file = %copy.path.display(), source, digest = %copy.digest, "a backup is made");
    let mut out = String::from("{\"file\":");
    let name = copy.path.file_name().unwrap_or_default().to_string_lossy();
    json::write_text(&format!("backups/{name}"), &mut out);
    out.push_str(&format!(
        ",\"source\":\"{source}\",\"bytes\":{},\"substrates\":{},\"relationships\":{},\"digest\":\"{}\",\"seconds\":{:.3}}}",
        copy.bytes, copy.counts.substrates, copy.counts.relationships, copy.digest, copy.seconds
    ));
    Ok(wire::created(true, out))
}
