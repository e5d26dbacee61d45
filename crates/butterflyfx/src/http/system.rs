//! The server itself: health, metrics, its own description, and the pages about problems.

use super::problem::{self, Code, Problem};
use super::wire;
use super::{Answer, Shared, openapi, schema, time};
use crate::app::{App, Readiness};
use crate::clock;
use crate::metrics::OPENMETRICS_TYPE;
use axum::extract::{Request, State};
use axum::response::Response;
use butterflyfx_formula::json;
use http::header::{ACCEPT, HeaderMap, VARY};
use http::{HeaderValue, Method};

/// Say that the server is healthy
#[utoipa::path(get, path = "/api/v1/health", tag = "system", operation_id = "get_health",
    responses((status = 200, description = "It is.", body = schema::Health)))]
pub(super) async fn health(State(api): State<Shared>) -> Answer {
    Ok(healthy(&api.app))
}

/// Say that the server is healthy (the name that orchestrators expect)
#[utoipa::path(get, path = "/healthz", tag = "system", operation_id = "get_healthz",
    responses((status = 200, description = "It is.", body = schema::Health)))]
pub(super) async fn healthz(State(api): State<Shared>) -> Answer {
    Ok(healthy(&api.app))
}

/// Say that the process is alive
#[utoipa::path(get, path = "/livez", tag = "system", operation_id = "get_livez",
    responses((status = 200, description = "It is.", body = schema::Health)))]
pub(super) async fn livez(State(api): State<Shared>) -> Answer {
    Ok(healthy(&api.app))
}

/// Say whether the server takes work
#[utoipa::path(get, path = "/readyz", tag = "system", operation_id = "get_readyz",
    responses((status = 200, description = "It does.", body = schema::Health)))]
pub(super) async fn readyz(State(api): State<Shared>) -> Answer {
    match api.app.readiness() {
        // A store that failed: reads are answered all the same, but nobody should send changes here.
        Readiness::Ready if api.app.queue.read_only().is_some() => Err(Problem::new(
            Code::ReadOnly,
            "writing to the database failed, so the server only answers reads until an operator restarts it",
        )),
        Readiness::Ready => Ok(healthy(&api.app)),
        Readiness::Starting => Err(Problem::new(Code::Overloaded, "the server is starting")),
        Readiness::Stopping => Err(Problem::new(Code::Overloaded, "the server is stopping")),
    }
}

fn healthy(app: &App) -> Response {
    let mut out = String::from("{\"status\":\"healthy\",\"timestamp\":\"");
    time::write(clock::now(), &mut out);
    out.push_str("\",\"version\":");
    json::write_text(app.version, &mut out);
    out.push('}');
    wire::ok(out)
}

/// Read the metrics
///
/// JSON, or OpenMetrics text where `Accept` prefers it.
#[utoipa::path(get, path = "/api/v1/metrics", tag = "system", operation_id = "get_metrics",
    responses((status = 200, description = "The metrics.", content(
        (crate::metrics::MetricsSummary = "application/json"),
        (String = "application/openmetrics-text")))))]
pub(super) async fn metrics(State(api): State<Shared>, request: Request) -> Answer {
    wire::no_query(request.uri())?;
    let mut response = if prefers_openmetrics(request.headers()) {
        openmetrics(&api.app)
    } else {
        let summary = api.app.metrics.summary(&api.app);
        wire::ok(serde_json::to_string(&summary).map_err(|error| {
            Problem::new(Code::Internal, format!("the metrics could not be written: {error}"))
        })?)
    };
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept"));
    Ok(response)
}

/// Read the metrics as OpenMetrics
#[utoipa::path(get, path = "/metrics", tag = "system", operation_id = "get_openmetrics",
    responses((status = 200, description = "OpenMetrics text.", body = String, content_type = "application/openmetrics-text")))]
pub(super) async fn scrape(State(api): State<Shared>) -> Answer {
    Ok(openmetrics(&api.app))
}

fn openmetrics(app: &App) -> Response {
    wire::text(OPENMETRICS_TYPE, app.metrics.render_openmetrics(app))
}

/// Whether `Accept` likes text better than JSON.
fn prefers_openmetrics(headers: &HeaderMap) -> bool {
    let (mut text, mut json) = (0, 0);
    for value in headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()) {
        for range in value.split(',') {
            let mut parts = range.split(';');
            let name = parts.next().unwrap_or_default().trim().to_ascii_lowercase();
            let quality = parts
                .filter_map(|parameter| parameter.trim().strip_prefix("q="))
                .find_map(|quality| quality.parse::<f32>().ok())
                .map_or(1_000, |quality| (quality.clamp(0.0, 1.0) * 1_000.0) as i32);
            match name.as_str() {
                "application/openmetrics-text" | "text/plain" | "text/*" => text = text.max(quality),
                "application/json" | "application/*" => json = json.max(quality),
                _ => {}
            }
        }
    }
    text > json
}

/// Read the OpenAPI document
#[utoipa::path(get, path = "/api/v1/openapi.json", tag = "system", operation_id = "get_openapi",
    responses((status = 200, description = "The OpenAPI 3.1 document of this API.", body = Object)))]
pub(super) async fn openapi_v1() -> Answer {
    Ok(wire::text("application/json", openapi::text()))
}

/// Read the OpenAPI document (the path that tools try first)
#[utoipa::path(get, path = "/openapi.json", tag = "system", operation_id = "get_openapi_root",
    responses((status = 200, description = "The OpenAPI 3.1 document of this API.", body = Object)))]
pub(super) async fn openapi_root() -> Answer {
    Ok(wire::text("application/json", openapi::text()))
}

/// Read about all problems
///
/// Every error code with its status and what to do, as Markdown.
#[utoipa::path(get, path = "/problems", tag = "system", operation_id = "list_problems",
    responses((status = 200, description = "All codes.", body = String, content_type = "text/markdown")))]
pub(super) async fn problems() -> Answer {
    Ok(wire::text("text/markdown; charset=utf-8", problem::markdown()))
}

/// Read about a problem
///
/// The page behind a problem's `type`.
#[utoipa::path(get, path = "/problems/{code}", tag = "system", operation_id = "get_problem",
    params(schema::ProblemPath),
    responses((status = 200, description = "One code.", body = String, content_type = "text/markdown")))]
pub(super) async fn problem_page(request: Request) -> Answer {
    let name = wire::segment(request.uri(), 1);
    match Code::from_name(&name) {
        Some(code) => Ok(wire::text("text/markdown; charset=utf-8", problem::markdown_of(code))),
        None => Err(Problem::new(
            Code::RouteNotFound,
            format!("there is no problem {:?}; /problems lists all", problem::clip(&name, 64)),
        )),
    }
}

/// Answers what no route takes.
pub(super) async fn not_found(request: Request) -> Answer {
    // A query has no part in it; the path may be anything.
    let path = problem::clip(request.uri().path(), 200);
    Err(Problem::new(
        Code::RouteNotFound,
        format!("there is no endpoint {path:?}; /openapi.json lists all of them"),
    ))
}

/// Answers a path that exists, asked with another method. The router adds `Allow`.
pub(super) async fn method_not_allowed(request: Request) -> Answer {
    if request.method() == Method::OPTIONS {
        return Ok(wire::no_content());
    }
    Err(Problem::method_not_allowed(request.method().as_str(), ""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_chooses_the_metrics() {
        for (accept, expected) in [
            ("", false),
            ("*/*", false),
            ("application/json", false),
            ("application/openmetrics-text; version=1.0.0", true),
            (
                "application/openmetrics-text;version=1.0.0;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                true,
            ),
            ("text/plain;q=0.5, application/json", false),
            ("text/html,application/xhtml+xml", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            assert_eq!(prefers_openmetrics(&headers), expected, "{accept}");
        }
    }
}
