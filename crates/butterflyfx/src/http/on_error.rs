//! What a request over many rows wants of those that fail.

use super::problem::Outcome;
use super::wire::Query;
use http::Uri;
use serde::Serialize;
use utoipa::{IntoParams, ToSchema};

/// What becomes of rows that fail.
#[derive(IntoParams)]
#[expect(dead_code, reason = "it only describes")]
#[into_params(parameter_in = Query)]
pub(super) struct ErrorsQuery {
    /// `report` tells them row by row, `null` leaves them out, `fail` refuses the request for the first of them.
    #[param(inline)]
    errors: Option<OnError>,
}

/// What becomes of a row that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ToSchema, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum OnError {
    /// It has no result, and its error is told.
    Report,
    /// It has no result.
    Null,
    /// It ends the request.
    Fail,
}

impl OnError {
    /// `errors`, the only parameter of the query.
    pub(super) fn of_query(uri: &Uri) -> Outcome<OnError> {
        let mut query = Query::read(uri, &["errors"]);
        let on_error = match query.one_of("errors", &["report", "null", "fail"]) {
            1 => OnError::Null,
            2 => OnError::Fail,
            _ => OnError::Report,
        };
        query.finish()?;
        Ok(on_error)
    }
}
