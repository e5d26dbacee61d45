//! The HTTP API: endpoints, wire types, problems, and the OpenAPI document made from them.

pub mod problem;

use crate::app::App;
use std::sync::Arc;

/// The routes of the API.
pub fn router(_app: Arc<App>) -> axum::Router {
    axum::Router::new()
}

/// The OpenAPI document of the routes.
pub fn openapi() -> utoipa::openapi::OpenApi {
    utoipa::openapi::OpenApiBuilder::new().build()
}
