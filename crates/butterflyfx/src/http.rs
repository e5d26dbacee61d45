//! The HTTP API: endpoints, wire types, problems, and the OpenAPI document made from them.
//!
//! A request goes through [`Service`]: an invocation takes a short way of its own, a POST with an
//! `Idempotency-Key` passes [`idempotency`], everything else is routed by axum to a handler. A
//! refusal is a [`problem::Problem`] on every way, and gets its body here, where the path is known.

mod admin;
mod batch;
mod budget;
mod columns;
pub(crate) mod etag;
pub(crate) mod http_date;
mod idempotency;
mod indexes;
mod invocations;
mod invoke;
mod jobs;
mod json_columns;
mod kept;
mod on_error;
pub mod openapi;
mod paging;
mod prefer;
pub mod problem;
mod query;
mod quick;
mod relationships;
mod rows;
mod schema;
mod substrates;
mod system;
pub(crate) mod time;
mod wire;
mod written;

use crate::app::App;
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use butterflyfx_engine::identity::SubstrateId;
use http::Method;
use idempotency::{IDEMPOTENCY_KEY, Idempotency};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tower::ServiceExt;

/// What handlers share.
#[derive(Debug)]
struct Api {
    app: Arc<App>,
    idempotency: Arc<Idempotency>,
}

type Shared = Arc<Api>;

/// What a handler gives.
type Answer = problem::Outcome<Response>;

/// Answers requests. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Service {
    api: Shared,
    routes: axum::Router,
}

impl Service {
    /// The whole API over this program.
    pub fn new(app: Arc<App>) -> Service {
        let idempotency = Idempotency::of(&app);
        let api = Arc::new(Api { app, idempotency });
        let (routes, _) = openapi::routes().split_for_parts();
        let routes = routes
            .fallback(system::not_found)
            .method_not_allowed_fallback(system::method_not_allowed)
            .with_state(Arc::clone(&api));
        Service { api, routes }
    }

    /// Answers one request.
    ///
    /// The ways other than an invocation's are boxed: each connection keeps room for this future,
    /// and each request moves it.
    pub async fn answer(&self, request: Request) -> Response {
        if request.method() == Method::POST {
            if request.headers().contains_key(&IDEMPOTENCY_KEY) {
                return Box::pin(self.answer_once(request)).await;
            }
            if let Some(id) = invoked(request.uri()) {
                let (head, body) = request.into_parts();
                return match invoke::answer(&self.api, id, &head.headers, body).await {
                    Ok(response) => response,
                    Err(problem) => problem.response(Some(head.uri.path())),
                };
            }
        }
        Box::pin(route(self.routes.clone(), request)).await
    }

    async fn answer_once(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        let routes = self.routes.clone();
        let settings = &self.api.app.config.http;
        let answered = self
            .api
            .idempotency
            .answer(request, settings.body_max, settings.batch_body_max, move |request| {
                route(routes, request)
            })
            .await;
        answered.unwrap_or_else(|problem| problem.response(Some(&path)))
    }
}

/// The substrate of `/api/v1/substrates/{substrate_id}/invoke`, written plainly and without a query.
fn invoked(uri: &http::Uri) -> Option<SubstrateId> {
    if uri.query().is_some() {
        return None;
    }
    let id = uri.path().strip_prefix("/api/v1/substrates/")?.strip_suffix("/invoke")?;
    SubstrateId::parse(id)
}

async fn route(routes: axum::Router, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let response = match routes.oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    };
    problem::finish(response, &path)
}

impl tower::Service<Request<Body>> for Service {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move { Ok(service.answer(request).await) })
    }
}

/// The API as an axum router, for those who want to add to it.
pub fn router(app: Arc<App>) -> axum::Router {
    axum::Router::new().fallback_service(Service::new(app))
}

/// The OpenAPI document of the routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    openapi::document()
}
