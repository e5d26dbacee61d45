//! The data plane: one invocation costs a route, the reading of its parameters, the evaluation
//! and the writing of its result. Batches run on a worker, one row after the other.

use super::budget::{Budget, check_answer};
use super::invocations::INVOCATIONS_LEVELS;
use super::kept::{CacheControl, CacheUse, Looked, look_up};
use super::on_error::{ErrorsQuery, OnError};
use super::problem::{Code, Fault, Outcome, Problem, clip};
use super::rows::ROWS_LEVELS;
use super::wire::{self, Accepts, At, Media, Query, write};
use super::written::{begin_invocation, end_invocation, write_invocation, write_kept, write_result};
use super::{Answer, Shared, columns, invocations, jobs, json_columns, prefer, rows, schema};
use crate::app::App;
use crate::evaluation::{evaluate, offload, offload_bulk};
use crate::jobs::Operation;
use crate::results::Question;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{Evaluation, Input};
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::json;
use butterflyfx_formula::text::Text;
use butterflyfx_formula::value::{Items, Value};
use bytes::Bytes;
use http::HeaderMap;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

/// Bytes of the tree behind a value.
const EXPLAIN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// `{"parameters":}`: what stands around the parameters at least.
pub(super) const ENVELOPE_BYTES: usize = 15;

static NO_PARAMETERS: LazyLock<Arc<Dict>> = LazyLock::new(Arc::default);

/// Invoke a substrate
///
/// Evaluates the formula with the parameters of the body and those that flow in along relationships.
#[utoipa::path(post, path = "/api/v1/substrates/{substrate_id}/invoke", tag = "evaluation", operation_id = "invoke_substrate",
    params(schema::SubstratePath, jobs::PreferHeader, CacheControl), request_body = Option<schema::Parameters>,
    responses(
        (status = 200, description = "The result.", body = schema::Invocation),
        (status = 202, description = "Accepted as a job.", body = jobs::Job, headers(
            ("Location" = String, description = "The path of the job."),
            ("Preference-Applied" = String, description = "`respond-async`"))),
    ))]
pub(super) async fn invoke(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    wire::no_query(&head.uri)?;
    let id = wire::substrate_id(&head.uri, 3)?;
    answer(&api, id, &head.headers, body).await
}

/// Answers an invocation; the way that all of them take.
pub(super) async fn answer(
    api: &Shared,
    id: SubstrateId,
    headers: &HeaderMap,
    body: Body,
) -> Outcome<Response> {
    let text = read_body(api, headers, body).await?;
    if prefer::is_async(headers) {
        return accept(api, id, text, CacheUse::of(headers));
    }
    let parameters = parameters_in(&api.app, &text)?;
    let started = Instant::now();
    let mut out = String::with_capacity(256);
    let question = match look_up(&api.app, id, &parameters, CacheUse::of(headers)) {
        Looked::Found(kept) => {
            write_kept(id, &kept, started.elapsed(), &mut out);
            return Ok(wire::ok(out));
        }
        Looked::Evaluate(question) => question,
    };
    let evaluation = evaluate(&api.app, id, parameters, false).await?;
    let elapsed = started.elapsed();
    begin_invocation(id, &mut out);
    write_and_keep(&api.app, id, &evaluation, question, &mut out)?;
    end_invocation(elapsed, evaluation.cost, false, &mut out);
    Ok(wire::ok(out))
}

/// Appends a result, and keeps its text where that is wanted.
fn write_and_keep(
    app: &App,
    id: SubstrateId,
    evaluation: &Evaluation,
    question: Option<Question>,
    out: &mut String,
) -> Outcome<()> {
    let start = out.len();
    write_result(app, id, &evaluation.value, out)?;
    if let (Some(results), Some(question)) = (&app.results, question) {
        results.keep(question, evaluation, &out[start..]);
    }
    Ok(())
}

/// Makes a job of an invocation. What can be told at once is refused at once.
fn accept(api: &Shared, id: SubstrateId, text: Bytes, cache_use: CacheUse) -> Outcome<Response> {
    if !api.app.engine.contains(id) {
        return Err(EngineError::SubstrateNotFound(id).into());
    }
    parameters_in(&api.app, &text)?;
    // As text it takes the bytes it is counted for, and none of the buffer that it came in.
    let text: Box<[u8]> = text.as_ref().into();
    jobs::accept(api, Operation::Substrate(id), text.len(), move |app, ticket| {
        let parameters = parameters_in(app, &text)?;
        let started = Instant::now();
        let mut out = String::with_capacity(256);
        let question = match look_up(app, id, &parameters, cache_use) {
            Looked::Found(kept) => {
                write_kept(id, &kept, started.elapsed(), &mut out);
                ticket.set_done(1);
                return Ok(out);
            }
            Looked::Evaluate(question) => question,
        };
        let outcome = app.engine.evaluate_until(id, &parameters, false, ticket.interrupt());
        match &outcome {
            Ok(evaluation) => app.metrics.evaluated(evaluation.cost.steps),
            Err(error) if error.is_interrupted() => {}
            Err(_) => app.metrics.evaluation_failed(),
        }
        let evaluation = outcome?;
        let elapsed = started.elapsed();
        begin_invocation(id, &mut out);
        write_and_keep(app, id, &evaluation, question, &mut out)?;
        end_invocation(elapsed, evaluation.cost, false, &mut out);
        ticket.set_done(1);
        Ok(out)
    })
}

/// Reads the body of an invocation; nothing where there is none.
async fn read_body(api: &Shared, headers: &HeaderMap, body: Body) -> Outcome<Bytes> {
    if wire::has_no_body(headers, &body) {
        return Ok(Bytes::new());
    }
    wire::media(headers, Accepts::Json)?;
    let limits = api.app.engine.limits();
    let text = wire::body(body, api.app.config.http.body_max).await?;
    if text.len() > limits.parameters_json_bytes + ENVELOPE_BYTES {
        return Err(Problem::limit(
            butterflyfx_formula::limits::Limit::ParametersSize.name(),
            format!("the parameters may have at most {} bytes as JSON", limits.parameters_json_bytes),
        ));
    }
    Ok(text)
}

/// The parameters in the body of an invocation.
fn parameters_in(app: &App, text: &[u8]) -> Outcome<Arc<Dict>> {
    let limits = app.engine.limits();
    if text.iter().all(u8::is_ascii_whitespace) {
        return Ok(Arc::clone(&NO_PARAMETERS));
    }
    let value = json::read_value(text, limits.json_depth + 1, limits.integer_bits)?;
    let members = members(&value, &At::Root, &["parameters"])?;
    parameters_of(members, &At::Root)
}

/// What JSON calls it.
fn kind(value: &Value) -> &'static str {
    match value {
        Value::None => "null",
        Value::Bool(_) => "a boolean",
        Value::Str(_) => "a string",
        Value::List(_) => "an array",
        Value::Dict(_) => "an object",
        _ => "a number",
    }
}

/// The members of an object that has no others than these.
fn members<'a>(value: &'a Value, at: &At<'_>, known: &[&str]) -> Outcome<&'a Arc<Dict>> {
    let Value::Dict(members) = value else {
        let what = if matches!(at, At::Root) { "the body".to_owned() } else { at.pointer() };
        return Err(Problem::invalid(at.pointer(), format!("{what} must be an object, not {}", kind(value))));
    };
    for (name, _) in members.iter() {
        if let Value::Str(name) = name
            && !known.contains(&name.as_str())
        {
            return Err(Problem::invalid(
                At::Member(at, name.as_str()).pointer(),
                format!("unknown field {:?}; the fields are {}", clip(name.as_str(), 64), known.join(", ")),
            ));
        }
    }
    Ok(members)
}

/// The member `parameters`: an object, or absent or null for none.
fn parameters_of(members: &Dict, at: &At<'_>) -> Outcome<Arc<Dict>> {
    match members.get_str("parameters") {
        Some(Value::Dict(parameters)) => Ok(Arc::clone(parameters)),
        None | Some(Value::None) => Ok(Arc::clone(&NO_PARAMETERS)),
        Some(_) => Err(Problem::invalid(
            At::Member(at, "parameters").pointer(),
            "parameters must be an object: a value for each name",
        )),
    }
}

/// Read the value of a substrate
///
/// The invocation without parameters. `explain=true` adds the tree of inputs behind it.
#[utoipa::path(get, path = "/api/v1/substrates/{substrate_id}/value", tag = "evaluation", operation_id = "get_value",
    params(schema::SubstratePath, schema::ExplainQuery, CacheControl),
    responses((status = 200, description = "The value.", body = schema::SubstrateValue)))]
pub(super) async fn value(State(api): State<Shared>, request: Request) -> Answer {
    let mut query = Query::read(request.uri(), &["explain"]);
    let explain = query.flag("explain");
    query.finish()?;
    let id = wire::substrate_id(request.uri(), 3)?;
    // The tree of inputs is not kept.
    let cache_use = if explain { CacheUse::None } else { CacheUse::of(request.headers()) };
    let mut out = String::with_capacity(128);
    out.push_str("{\"substrate_id\":");
    write::substrate_id(id, &mut out);
    out.push_str(",\"value\":");
    let question = match look_up(&api.app, id, &NO_PARAMETERS, cache_use) {
        Looked::Found(kept) => {
            out.push_str(&kept.text);
            out.push('}');
            return Ok(wire::ok(out));
        }
        Looked::Evaluate(question) => question,
    };
    let evaluation = evaluate(&api.app, id, Arc::clone(&NO_PARAMETERS), explain).await?;
    write_and_keep(&api.app, id, &evaluation, question, &mut out)?;
    if explain {
        out.push_str(",\"inputs\":");
        write_inputs(&api.app, evaluation.inputs.as_deref().unwrap_or_default(), &mut out)?;
    }
    out.push('}');
    Ok(wire::ok(out))
}

/// Writes the tree of inputs without recursion: a chain may be of any length.
fn write_inputs(app: &App, inputs: &[Input], out: &mut String) -> Outcome<()> {
    /// A level of the tree that is being written: its inputs, the next one and its next source.
    struct Level<'a> {
        inputs: &'a [Input],
        input: usize,
        source: usize,
    }
    out.push('{');
    let mut levels = vec![Level { inputs, input: 0, source: 0 }];
    while let Some(level) = levels.last_mut() {
        if out.len() > EXPLAIN_BYTES_MAX {
            return Err(Problem::limit(
                "explain_size",
                format!("the tree behind the value has more than {EXPLAIN_BYTES_MAX} bytes"),
            ));
        }
        let Some(input) = level.inputs.get(level.input) else {
            levels.pop();
            // Closes the map of inputs, and the source that it belongs to.
            out.push_str(if levels.is_empty() { "}" } else { "}}" });
            continue;
        };
        if level.source == 0 {
            if level.input > 0 {
                out.push(',');
            }
            json::write_text(&input.name, out);
            out.push_str(":[");
        }
        let Some(source) = input.sources.get(level.source) else {
            out.push(']');
            level.input += 1;
            level.source = 0;
            continue;
        };
        if level.source > 0 {
            out.push(',');
        }
        level.source += 1;
        out.push_str("{\"substrate_id\":");
        write::substrate_id(source.substrate_id, out);
        out.push_str(",\"value\":");
        write_result(app, source.substrate_id, &source.value, out)?;
        out.push_str(",\"inputs\":{");
        levels.push(Level { inputs: &source.inputs, input: 0, source: 0 });
    }
    Ok(())
}

/// Reads the whole body of a batch.
async fn read_batch(api: &Shared, headers: &HeaderMap, body: Body) -> Outcome<Bytes> {
    wire::media(headers, Accepts::Json)?;
    let text = wire::body(body, api.app.config.http.body_max).await?;
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(Problem::new(Code::InvalidJson, "the body is empty: send a JSON object"));
    }
    Ok(text)
}

/// A batch's text as values; `levels` stand around the parameters.
fn values_of(app: &App, text: &[u8], levels: usize) -> Outcome<Value> {
    let limits = app.engine.limits();
    Ok(json::read_value(text, limits.json_depth + levels, limits.integer_bits)?)
}

/// Invoke many substrates
///
/// Each item gives a result or a problem, in order.
#[utoipa::path(post, path = "/api/v1/substrates/batch/invoke", tag = "evaluation", operation_id = "invoke_batch",
    params(jobs::PreferHeader), request_body = schema::Invocations,
    responses(
        (status = 200, description = "A result or a problem for each item.", body = schema::InvocationResults),
        (status = 202, description = "Accepted as a job.", body = jobs::Job, headers(
            ("Location" = String, description = "The path of the job."),
            ("Preference-Applied" = String, description = "`respond-async`"))),
    ))]
pub(super) async fn invoke_many(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    wire::no_query(&head.uri)?;
    let text = read_batch(&api, &head.headers, body).await?;
    if prefer::is_async(&head.headers) {
        let text: Box<[u8]> = text.as_ref().into();
        return jobs::accept(&api, Operation::Many, text.len(), move |app, ticket| {
            answer_many(app, &text, Budget::of_job(app, ticket))
        });
    }
    let written = on_worker(&api, text, answer_many).await?;
    Ok(wire::ok(written))
}

/// A batch of so many bytes may turn out short.
const BRIEF_BODY_MAX: usize = 64 * 1024;

/// Has a worker answer a batch. A small one is tried among single invocations, or it would wait for the end of others' long
/// batches; one that turns out long is begun again among those.
async fn on_worker(
    api: &Shared,
    text: Bytes,
    answer: impl Fn(&App, &[u8], Budget) -> Outcome<String> + Clone + Send + 'static,
) -> Outcome<String> {
    let (budget, _stop) = Budget::new(&api.app);
    if text.len() <= BRIEF_BODY_MAX {
        let brief = budget.brief();
        let (text, may_use, answer) = (text.clone(), brief.clone(), answer.clone());
        let written = offload(&api.app, move |app| answer(app, &text, may_use)).await?;
        if !Budget::is_given_up(&written) {
            brief.settle(&api.app);
            return written;
        }
        api.app.metrics.turned_long();
    }
    offload_bulk(&api.app, move |app| answer(app, &text, budget)).await?
}

fn answer_many(app: &App, text: &[u8], budget: Budget) -> Outcome<String> {
    match invocations::invocations(app, text, &budget) {
        Some(written) => written,
        None => invoke_each(app, text, budget),
    }
}

/// The long way of [`invoke_many`].
fn invoke_each(app: &App, text: &[u8], mut budget: Budget) -> Outcome<String> {
    let value = values_of(app, text, INVOCATIONS_LEVELS)?;
    let top = members(&value, &At::Root, &["invocations"])?;
    let what = "an array of {substrate_id, parameters}";
    let items = match top.get_str("invocations") {
        Some(Value::List(items)) => items,
        Some(other) => {
            let message = format!("invocations must be {what}, not {}", kind(other));
            return Err(Problem::invalid("/invocations", message));
        }
        None => {
            return Err(Problem::invalid("/invocations", format!("invocations is missing: {what}")));
        }
    };
    budget.set_total(items.len());
    let mut out = String::with_capacity(64 + 160 * items.len().min(100_000));
    out.push_str("{\"results\":[");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        let before = out.len();
        let outcome = match decode_invocation(item) {
            Err(problem) => Err(problem),
            Ok((id, parameters)) => {
                let started = Instant::now();
                budget.evaluate(app, id, &parameters)?.and_then(|evaluation| {
                    let Evaluation { value, cost, .. } = &evaluation;
                    write_invocation(app, id, value, *cost, started.elapsed(), &mut out)
                })
            }
        };
        if let Err(problem) = outcome {
            out.truncate(before);
            problem.write(None, &mut out);
        }
        budget.advance();
        check_answer(out.len())?;
    }
    out.push_str("]}");
    Ok(out)
}

fn decode_invocation(item: &Value) -> Outcome<(SubstrateId, Arc<Dict>)> {
    let members = members(item, &At::Root, &["substrate_id", "parameters"])?;
    let id = match members.get_str("substrate_id") {
        Some(Value::Str(text)) => SubstrateId::parse(text.as_str()).ok_or_else(|| {
            let problem = Problem::invalid_identity(text.as_str());
            let message = problem.detail.clone();
            problem.with_fault(Fault {
                pointer: Some("/substrate_id".to_owned()),
                message,
                ..Fault::default()
            })
        })?,
        Some(_) => {
            return Err(Problem::invalid("/substrate_id", "substrate_id must be a string of hex digits"));
        }
        None => return Err(Problem::invalid("/substrate_id", "substrate_id is missing: whom to invoke")),
    };
    Ok((id, parameters_of(members, &At::Root)?))
}

/// The parameters of many evaluations of one formula.
enum Rows {
    Rows(Arc<Items>),
    Columns(Vec<(Text, Arc<Items>)>, usize),
}

impl Rows {
    fn decode(value: &Value) -> Outcome<Rows> {
        let top = members(value, &At::Root, &["rows", "columns"])?;
        // Null is absent: clients that write all their fields send it for the other one.
        let given = |name| top.get_str(name).filter(|value| !matches!(value, Value::None));
        match (given("rows"), given("columns")) {
            (Some(Value::List(rows)), None) => Ok(Rows::Rows(Arc::clone(rows))),
            (None, Some(Value::Dict(columns))) => Rows::of_columns(columns),
            (Some(_), None) => Err(Problem::invalid("/rows", "rows must be an array of objects")),
            (None, Some(_)) => Err(Problem::invalid("/columns", "columns must be an object of arrays")),
            (Some(_), Some(_)) => Err(Problem::invalid("", "give rows or columns, not both")),
            (None, None) => Err(Problem::invalid("", "rows or columns is missing")),
        }
    }

    fn of_columns(columns: &Dict) -> Outcome<Rows> {
        let mut all: Vec<(Text, Arc<Items>)> = Vec::with_capacity(columns.len());
        for (name, column) in columns.iter() {
            let Value::Str(name) = name else { continue };
            let root = At::Member(&At::Root, "columns");
            let at = At::Member(&root, name.as_str());
            let Value::List(items) = column else {
                return Err(Problem::invalid(at.pointer(), "a column must be an array"));
            };
            if let Some((first, other)) = all.first()
                && other.len() != items.len()
            {
                let message = format!(
                    "columns must be equally long: {} has {} values, {} has {}",
                    clip(first.as_str(), 64),
                    other.len(),
                    clip(name.as_str(), 64),
                    items.len()
                );
                return Err(Problem::invalid(at.pointer(), message));
            }
            all.push((name.clone(), Arc::clone(items)));
        }
        let rows = all.first().map_or(0, |(_, items)| items.len());
        Ok(Rows::Columns(all, rows))
    }

    fn len(&self) -> usize {
        match self {
            Rows::Rows(rows) => rows.len(),
            Rows::Columns(_, rows) => *rows,
        }
    }

    /// A row's parameters; `last` are those of the row before, whose room is used again. Answers
    /// whether the names are the same.
    fn row(&self, index: usize, last: &mut Arc<Dict>) -> Outcome<bool> {
        match self {
            Rows::Rows(rows) => match rows.get(index) {
                Some(Value::Dict(row)) => *last = Arc::clone(row),
                _ => {
                    let message = "a row must be an object: a value for each name";
                    return Err(Problem::invalid(format!("/rows/{index}"), message));
                }
            },
            Rows::Columns(columns, _) => {
                let values = columns.iter().filter_map(|(name, items)| Some((name, items.get(index)?)));
                match Arc::get_mut(last) {
                    // Each row has a value in each column, so the names stand where they stood.
                    Some(row) if row.len() == columns.len() => {
                        for (at, (_, value)) in values.enumerate() {
                            row.set_value_at(at, value.clone());
                        }
                        return Ok(true);
                    }
                    _ => {
                        let mut row = Dict::new();
                        for (name, value) in values {
                            row.insert_str(name.clone(), value.clone());
                        }
                        *last = Arc::new(row);
                    }
                }
            }
        }
        Ok(false)
    }
}

/// Invoke a substrate over many rows
///
/// The rows as objects, or as columns of equal length: in JSON, as an Arrow IPC stream, or as CSV with a header line. The
/// answer has the form of the request, or the one that `Accept` names. A row that fails is null in `results` and has a problem
/// in `errors`; in Arrow and CSV these are the columns `result` and `error`.
#[utoipa::path(post, path = "/api/v1/substrates/{substrate_id}/invoke/batch", tag = "evaluation", operation_id = "invoke_rows",
    params(schema::SubstratePath, ErrorsQuery, jobs::PreferHeader),
    request_body(content((schema::Rows = "application/json"), (String = "application/vnd.apache.arrow.stream"), (String = "text/csv"))),
    responses(
        (status = 200, description = "A result for each row.", content(
            (schema::RowResults = "application/json"), (String = "application/vnd.apache.arrow.stream"), (String = "text/csv"))),
        (status = 202, description = "Accepted as a job; JSON only.", body = jobs::Job, headers(
            ("Location" = String, description = "The path of the job."),
            ("Preference-Applied" = String, description = "`respond-async`"))),
    ))]
pub(super) async fn invoke_rows(State(api): State<Shared>, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let on_error = OnError::of_query(&head.uri)?;
    let id = wire::substrate_id(&head.uri, 3)?;
    if !api.app.engine.contains(id) {
        return Err(EngineError::SubstrateNotFound(id).into());
    }
    let media = wire::media(&head.headers, Accepts::JsonOrColumns)?;
    if media != Media::Json {
        return columns::answer(&api, id, &head, body, media, on_error).await;
    }
    let text = read_batch(&api, &head.headers, body).await?;
    if prefer::is_async(&head.headers) {
        let text: Box<[u8]> = text.as_ref().into();
        return jobs::accept(&api, Operation::Rows(id), text.len(), move |app, ticket| {
            answer_rows(app, id, &text, Budget::of_job(app, ticket), on_error)
        });
    }
    let answer = move |app: &App, text: &[u8], budget| answer_rows(app, id, text, budget, on_error);
    Ok(wire::ok(on_worker(&api, text, answer).await?))
}

fn answer_rows(
    app: &App,
    id: SubstrateId,
    text: &[u8],
    budget: Budget,
    on_error: OnError,
) -> Outcome<String> {
    let quickly = rows::rows(app, id, text, &budget, on_error)
        .or_else(|| json_columns::columns(app, id, text, &budget, on_error));
    quickly.unwrap_or_else(|| evaluate_rows(app, id, text, budget, on_error))
}

/// The long way of [`invoke_rows`].
fn evaluate_rows(
    app: &App,
    id: SubstrateId,
    text: &[u8],
    budget: Budget,
    on_error: OnError,
) -> Outcome<String> {
    let rows = Rows::decode(&values_of(app, text, ROWS_LEVELS)?)?;
    budget.set_total(rows.len());
    let mut all = rows::Rows::new(app, id, budget, on_error, 16 * rows.len().min(1_000_000));
    let mut row = Arc::default();
    let evaluated = (0..rows.len()).try_for_each(|index| match rows.row(index, &mut row) {
        Ok(is_same) => all.row(&row, is_same),
        Err(problem) => all.bad_row(problem),
    });
    match evaluated {
        Ok(()) => Ok(all.finish()),
        Err(problem) => {
            all.count();
            Err(problem)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use crate::config::Config;
    use butterflyfx_engine::model::{NewSubstrate, OnConflict, Precondition};
    use butterflyfx_formula::document::Document;
    use butterflyfx_formula::formula::ExpressionType;

    /// The two ways answer the same, times aside; `is_quick` where the fast one is taken.
    fn check(formula: &str, text: &str, is_quick: bool) {
        let app = App::new(Config::default()).expect("threads");
        let new = NewSubstrate {
            identity: Some(SubstrateId(1)),
            expression_type: ExpressionType::Lambda,
            expression_code: formula.to_owned(),
            metadata: Document::Map(Vec::new()),
        };
        app.engine.create_substrate(clock::now(), new, OnConflict::Refuse).expect("created");
        let mut budget = Budget::new(&app).0;
        let is_many = text.contains("invocations");
        for steps in [u64::MAX, 6] {
            budget.limit_to(steps);
            let (quick, long) = if is_many {
                let long = invoke_each(&app, text.as_bytes(), budget.clone());
                (invocations::invocations(&app, text.as_bytes(), &budget), long)
            } else {
                let (text, on_error) = (text.as_bytes(), OnError::Report);
                let long = evaluate_rows(&app, SubstrateId(1), text, budget.clone(), on_error);
                let quick = rows::rows(&app, SubstrateId(1), text, &budget, on_error);
                let by_columns = || json_columns::columns(&app, SubstrateId(1), text, &budget, on_error);
                (quick.or_else(by_columns), long)
            };
            assert_eq!(quick.is_some(), is_quick, "{text}");
            if let Some(quick) = quick {
                assert_eq!(told(quick), told(long), "{formula} {text}");
            }
        }
    }

    #[test]
    fn one_answer_is_of_one_formula() {
        let app = App::new(Config::default()).expect("threads");
        let id = SubstrateId(1);
        let new = |code: &str| NewSubstrate {
            identity: Some(id),
            expression_type: ExpressionType::Lambda,
            expression_code: code.to_owned(),
            metadata: Document::Map(Vec::new()),
        };
        let row = |x: &str| {
            let row = json::read_value(format!("{{\"x\":{x}}}").as_bytes(), 8, 64);
            if let Ok(Value::Dict(row)) = row { row } else { panic!("a row") }
        };
        app.engine
            .create_substrate(clock::now(), new("lambda x: 1 // x"), OnConflict::Refuse)
            .expect("created");
        let (budget, _stop) = Budget::new(&app);
        let mut all = rows::Rows::new(&app, id, budget, OnError::Report, 0);
        app.engine
            .put_substrate(clock::now(), id, new("lambda x: 100"), &Precondition::None)
            .expect("replaced");
        for x in ["1", "0", "\"a\""] {
            all.row(&row(x), false).expect("a row");
        }
        let answer = all.finish();
        assert!(answer.starts_with(r#"{"results":[1,null,null],"errors":["#), "{answer}");
        assert!(answer.contains("ZeroDivisionError") && answer.contains("TypeError"), "{answer}");
    }

    /// An answer without what differs from time to time.
    fn told(answer: Outcome<String>) -> String {
        match answer {
            Err(problem) => {
                let mut out = String::new();
                problem.write(None, &mut out);
                out
            }
            Ok(text) => {
                let mut parts = text.split("\"invocation_time_ms\":");
                let first = parts.next().unwrap_or_default().to_owned();
                parts.fold(first, |all, part| all + part.split_once(',').map_or("", |(_, rest)| rest))
            }
        }
    }

    #[test]
    fn both_ways_answer_the_same() {
        let product = "lambda x, y=2: x * y";
        check(product, r#"{"rows":[{"x":1,"y":2},{"x":3,"y":4},{"x":5.5,"y":-6}]}"#, true);
        check(product, r#"{"rows":[{"x":1},{"x":3,"y":4},{"y":1,"x":2},{"y":3,"x":4}, {}]}"#, true);
        check(product, r#"{"rows":[{"x":1},{"x":"a"},{"x":null},{"x":[1]},{"z":1},{"z":2}]}"#, true);
        check(product, r#"{ "rows" : [ ] }"#, true);
        check(product, r#"{"rows":[{"x":1},{"x":1,"x":2}]}"#, false);
        check(product, r#"{"rows":[{"x":1},7]}"#, false);
        check(product, r#"{"rows":[{"x":1}],"columns":null}"#, false);
        check(product, r#"{"rows":[{"x":1},{"x":2},{"x":3},{"x":4}] x}"#, false);
        check(product, r#"{"columns":{"x":[1,2,"a",4],"y":[1,null,3,4]}}"#, true);
        check(product, r#"{"columns":{"x":[1,2,3],"y":[1.5,-0.0,1e300]}}"#, true);
        check(product, r#"{"columns":{"x":[9223372036854775807,2],"y":[2,9223372036854775808]}}"#, true);
        check(product, r#"{"columns":{"x":[1.5,true]}}"#, true);
        check(product, r#"{"columns":{"x":[],"y":[]}}"#, true);
        check(product, r#"{ "columns" : {} }"#, true);
        check(product, r#"{"columns":{"x":[1],"y":[1,2]}}"#, false);
        check(product, r#"{"columns":{"x":[1],"x":[2]}}"#, false);
        check(product, r#"{"columns":{"x":[1],"z":[2]}}"#, true);
        check(product, r#"{"columns":{"y":[1]}}"#, true);
        check(product, r#"{"columns":{"x":[1]},"rows":null}"#, false);
        check(product, r#"{"columns":{"x":7}}"#, false);
        check("lambda x: 1 / x", r#"{"columns":{"x":[1,0,4,0.0]}}"#, true);
        check("lambda x: 1e308 * x", r#"{"columns":{"x":[1.0,10.0,4.5]}}"#, true);
        check("lambda **kw: kw", r#"{"columns":{"x":[1,2],"a":["b",[1]]}}"#, true);
        let keywords = "lambda **kw: [kw.get('x', 0), kw.get('y', 5), len(kw), kw['x']]";
        check(keywords, r#"{"rows":[{"x":1,"y":2},{"x":3,"y":4},{"y":4},{"y":4},{}]}"#, true);
        check("lambda **kw: kw", r#"{"rows":[{"x":1},{"x":3},{"x":4}]}"#, true);
        check("lambda x, **kw: [x, kw]", r#"{"rows":[{"x":1,"y":1},{"x":3,"y":2},{"x":4}]}"#, true);
        check("lambda x: (lambda: x)()", r#"{"rows":[{"x":1},{"x":3},{"x":4}]}"#, true);
        check("lambda x: 1 / x", r#"{"rows":[{"x":1},{"x":0},{"x":4},{"x":0}]}"#, true);
        let items = r#"{"substrate_id":"1","parameters":{"x":2}},{"substrate_id":"0x2"},{"parameters":{"x":0},"substrate_id":"1"}"#;
        check("lambda x: 1 / x", &format!("{{\"invocations\":[{items}]}}"), true);
        check("lambda x: 1 / x", &format!("{{\"invocations\":[{items},{{}}]}}"), false);
    }
}
