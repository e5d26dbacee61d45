//! Jobs over HTTP: `Prefer: respond-async` makes one of an invocation, and `/api/v1/jobs` tells
//! what has become of it.

use super::problem::{Code, Outcome, Problem};
use super::substrates::{link, run};
use super::wire::{self, Query, write};
use super::{Answer, Shared, paging, prefer, schema, time};
use crate::app::App;
use crate::client;
use crate::jobs::{Ending, JobId, Jobs, Operation, State, Ticket, View};
use axum::extract::{Request, State as Extracted};
use axum::response::Response;
use butterflyfx_engine::model::{Cursor, Timestamp};
use bytes::Bytes;
use http::header::LOCATION;
use http::{HeaderValue, StatusCode, Uri};
use serde::Serialize;
use serde_json::{Map, Value};
use std::sync::Arc;
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};

/// Where jobs are.
const PATH: &str = "/api/v1/jobs";

/// Pages up to this long are written on the network thread.
const INLINE_ITEMS_MAX: usize = 500;

/// Seconds that one request may wait for the end of a job.
const WAIT_SECONDS_MAX: u64 = 60;

/// What a job does: the `operationId` of the request that asked for it.
#[derive(ToSchema, Serialize)]
#[allow(dead_code, reason = "it describes the answer, which is written by hand")]
pub(super) enum JobOperation {
    #[serde(rename = "invoke_substrate")]
    Substrate,
    #[serde(rename = "invoke_batch")]
    Many,
    #[serde(rename = "invoke_rows")]
    Rows,
}

/// Where a job is.
#[derive(ToSchema, Serialize)]
#[allow(dead_code, reason = "it describes the answer, which is written by hand")]
#[serde(rename_all = "lowercase")]
pub(super) enum JobState {
    Queued,
    Running,
    Succeeded,
    Failed,
    Cancelled,
}

/// How far a job is.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the answer, which is written by hand")]
pub(super) struct JobProgress {
    /// Evaluations done.
    #[schema(minimum = 0)]
    done: u64,
    /// Evaluations in all; null while it is not known.
    #[schema(required, minimum = 0)]
    total: Option<u64>,
}

/// An invocation that is done while nobody waits.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the answer, which is written by hand")]
pub(super) struct Job {
    /// 128 random bits. Whoever has it may read the job and cancel it.
    #[schema(example = "5f0c1e0a9d3b4c2f8e7a6b5c4d3e2f10")]
    job_id: String,
    operation: JobOperation,
    /// The invoked substrate; absent where there are many.
    #[schema(nullable = false, pattern = "^0x[0-9A-F]{16}$", example = "0xA114047D0E9FBBF9")]
    substrate_id: Option<String>,
    state: JobState,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(required, format = DateTime)]
    started_at: Option<String>,
    #[schema(required, format = DateTime)]
    finished_at: Option<String>,
    /// When it will be forgotten; earlier where others need the room.
    #[schema(required, format = DateTime)]
    expires_at: Option<String>,
    progress: JobProgress,
    /// Once it has succeeded what the request would have been answered with. Not in lists.
    #[schema(nullable = false)]
    result: Option<Map<String, Value>>,
    /// Once it has failed what the request would have been refused with. Not in lists.
    #[schema(nullable = false)]
    problem: Option<schema::Problem>,
}

/// A page of jobs.
#[derive(ToSchema)]
#[allow(dead_code, reason = "it describes the answer, which is written by hand")]
pub(super) struct JobPage {
    jobs: Vec<Job>,
    /// Goes into the next request's `cursor`; null at the end.
    #[schema(required)]
    next_cursor: Option<String>,
}

/// `job_id` in a path.
#[derive(IntoParams)]
#[allow(dead_code, reason = "it only describes")]
#[into_params(parameter_in = Path)]
pub(super) struct JobPath {
    /// The `job_id` of an answer.
    #[param(example = "5f0c1e0a9d3b4c2f8e7a6b5c4d3e2f10")]
    job_id: String,
}

/// `wait`.
#[derive(IntoParams)]
#[allow(dead_code, reason = "it only describes")]
#[into_params(parameter_in = Query)]
pub(super) struct WaitQuery {
    /// Seconds to wait for the end of the job before it is answered as it is; 0 where absent.
    #[param(nullable = false, minimum = 0, maximum = 60)]
    wait: Option<u64>,
}

/// `Prefer`.
#[derive(IntoParams)]
#[allow(dead_code, reason = "it only describes")]
#[into_params(parameter_in = Header)]
pub(super) struct PreferHeader {
    /// `respond-async` (RFC 7240) makes a job of the request, which is answered 202 at once.
    #[param(rename = "Prefer", nullable = false, example = "respond-async")]
    prefer: Option<String>,
}

/// Makes a job of a request that has so many bytes, and answers 202.
pub(super) fn accept(
    api: &Shared,
    operation: Operation,
    bytes: usize,
    work: impl FnOnce(&Arc<App>, &Arc<Ticket>) -> Outcome<String> + Send + 'static,
) -> Answer {
    let path = path_of(operation);
    let work = move |app: &Arc<App>, ticket: &Arc<Ticket>| match work(app, ticket) {
        // No more than is counted.
        Ok(text) => Ending::Succeeded(text.into_boxed_str().into_boxed_bytes().into()),
        Err(problem) => {
            let mut out = String::with_capacity(384);
            problem.write(Some(&path), &mut out);
            Ending::Failed(out.into_boxed_str().into_boxed_bytes().into())
        }
    };
    let view = Jobs::submit(&api.app, client::of_this_request(), operation, bytes, work)?;
    let mut response = answer(&view);
    *response.status_mut() = StatusCode::ACCEPTED;
    let headers = response.headers_mut();
    headers.insert(&prefer::PREFERENCE_APPLIED, HeaderValue::from_static(prefer::RESPOND_ASYNC));
    if let Ok(location) = HeaderValue::try_from(format!("{PATH}/{}", view.id)) {
        headers.insert(LOCATION, location);
    }
    Ok(response)
}

/// The path of the request that asked for a job: the `instance` of its problem.
fn path_of(operation: Operation) -> String {
    match operation {
        Operation::Substrate(id) => format!("/api/v1/substrates/{id}/invoke"),
        Operation::Many => "/api/v1/substrates/batch/invoke".to_owned(),
        Operation::Rows(id) => format!("/api/v1/substrates/{id}/invoke/batch"),
    }
}

/// Read a job
///
/// Its state, how far it is, and once it has ended its result or its problem. `wait` waits for the end.
#[utoipa::path(get, path = "/api/v1/jobs/{job_id}", tag = "jobs", operation_id = "get_job",
    params(JobPath, WaitQuery),
    responses((status = 200, description = "The job.", body = Job)))]
pub(super) async fn get(Extracted(api): Extracted<Shared>, request: Request) -> Answer {
    let mut query = Query::read(request.uri(), &["wait"]);
    let seconds = query.unsigned("wait", 0, 0, WAIT_SECONDS_MAX);
    query.finish()?;
    let id = job_id(request.uri()).ok_or_else(not_found)?;
    let jobs = &api.app.jobs;
    let view = match seconds {
        0 => jobs.view(id),
        seconds => jobs.view_at_end(id, Duration::from_secs(seconds)).await,
    };
    Ok(answer(&view.ok_or_else(not_found)?))
}

/// List jobs
///
/// Oldest first, without results and problems.
#[utoipa::path(get, path = "/api/v1/jobs", tag = "jobs", operation_id = "list_jobs",
    params(schema::PageQuery),
    responses((status = 200, description = "A page.", body = JobPage,
        headers(("Link" = String, description = "`rel=\"next\"`: the next page, where there is one.")))))]
pub(super) async fn list(Extracted(api): Extracted<Shared>, request: Request) -> Answer {
    let mut query = Query::read(request.uri(), &["limit", "cursor"]);
    let page = paging::of_query(&mut query);
    query.finish()?;
    let page = page?;
    let after = page.after.as_ref().map_or(Ok(0), number_of)?;
    let uri = request.uri().clone();
    run(&api, page.limit > INLINE_ITEMS_MAX, move |app| {
        let (views, has_more) = app.jobs.list(after, page.limit);
        let next = views.last().filter(|_| has_more).map(|view| cursor_of(view.number));
        let mut out = String::with_capacity(64 + 360 * views.len());
        out.push_str("{\"jobs\":");
        write::list(&views, &mut out, |view, out| {
            write_members(view, out);
            out.push('}');
        });
        out.push(',');
        write::next_cursor(next.as_ref(), &mut out);
        out.push('}');
        let mut response = wire::ok(out);
        link(&mut response, &uri, next.as_ref().map(paging::encode));
        response
    })
    .await
}

/// Cancel or forget a job
///
/// One that has not ended is cancelled, and stays to be read as such; one that has ended is forgotten.
#[utoipa::path(delete, path = "/api/v1/jobs/{job_id}", tag = "jobs", operation_id = "cancel_job",
    params(JobPath), responses((status = 204, description = "Cancelled, or forgotten.")))]
pub(super) async fn cancel(Extracted(api): Extracted<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    let id = job_id(request.uri()).ok_or_else(not_found)?;
    if Jobs::cancel_or_forget(&api.app, id) { Ok(wire::no_content()) } else { Err(not_found()) }
}

/// The job that the path names; a text that is no id names none.
fn job_id(uri: &Uri) -> Option<JobId> {
    JobId::parse(&wire::segment(uri, 3))
}

#[cold]
fn not_found() -> Box<Problem> {
    Problem::new(
        Code::JobNotFound,
        "there is no such job, or not any more: jobs are forgotten some time after their end, and when the server stops",
    )
}

fn cursor_of(number: u64) -> Cursor {
    Cursor(number.to_be_bytes().to_vec())
}

fn number_of(cursor: &Cursor) -> Outcome<u64> {
    <[u8; 8]>::try_from(cursor.0.as_slice()).map(u64::from_be_bytes).map_err(|_| {
        Problem::new(
            Code::InvalidCursor,
            "the cursor is not one that this list gave out; start again without it",
        )
    })
}

/// 200 with all of a job. Its result may be long and is not copied.
fn answer(view: &View) -> Response {
    let mut out = String::with_capacity(512);
    write_members(view, &mut out);
    let problem = |problem: Box<Problem>| {
        let mut out = String::with_capacity(384);
        problem.write(Some(&path_of(view.operation)), &mut out);
        Bytes::from(out)
    };
    let text = match &view.ending {
        None | Some(Ending::Cancelled) => None,
        Some(Ending::Succeeded(text)) => Some(("result", text.clone())),
        Some(Ending::Failed(text)) => Some(("problem", text.clone())),
        Some(Ending::Panicked) => Some(("problem", problem(Problem::of_panic()))),
        Some(Ending::TooLarge) => Some(("problem", problem(Problem::of_unkept_result()))),
    };
    match text {
        None => {
            out.push('}');
            wire::ok(out)
        }
        Some((name, text)) => {
            out.push_str(",\"");
            out.push_str(name);
            out.push_str("\":");
            wire::ok_in_pieces([Bytes::from(out), text, Bytes::from_static(b"}")])
        }
    }
}

/// Appends a job without its end.
fn write_members(view: &View, out: &mut String) {
    out.push_str("{\"job_id\":\"");
    out.push_str(&view.id.to_string());
    out.push_str("\",\"operation\":\"");
    let (name, substrate_id) = match view.operation {
        Operation::Substrate(id) => ("invoke_substrate", Some(id)),
        Operation::Many => ("invoke_batch", None),
        Operation::Rows(id) => ("invoke_rows", Some(id)),
    };
    out.push_str(name);
    if let Some(id) = substrate_id {
        out.push_str("\",\"substrate_id\":");
        write::substrate_id(id, out);
        out.push_str(",\"state\":\"");
    } else {
        out.push_str("\",\"state\":\"");
    }
    out.push_str(name_of(view.state));
    out.push('"');
    write_time("created_at", Some(view.created_at), out);
    write_time("started_at", view.started_at, out);
    write_time("finished_at", view.finished_at, out);
    write_time("expires_at", view.expires_at, out);
    out.push_str(",\"progress\":{\"done\":");
    write::unsigned(view.done, out);
    out.push_str(",\"total\":");
    match view.total {
        Some(total) => write::unsigned(total, out),
        None => out.push_str("null"),
    }
    out.push('}');
}

fn name_of(state: State) -> &'static str {
    match state {
        State::Queued => "queued",
        State::Running => "running",
        State::Succeeded => "succeeded",
        State::Failed => "failed",
        State::Cancelled => "cancelled",
    }
}

fn write_time(name: &str, at: Option<Timestamp>, out: &mut String) {
    out.push_str(",\"");
    out.push_str(name);
    out.push_str("\":");
    match at {
        None => out.push_str("null"),
        Some(at) => {
            out.push('"');
            time::write(at, out);
            out.push('"');
        }
    }
}
