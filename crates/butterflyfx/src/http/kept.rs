//! Answers out of the cache of results (see [`crate::results`]), and what a request says of it.

use super::wire::write;
use crate::app::App;
use crate::results::{Kept, Question};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_formula::dict::Dict;
use http::HeaderMap;
use http::header::CACHE_CONTROL;
use std::sync::Arc;
use utoipa::{IntoParams, ToSchema};

/// What an invocation asks of the cache.
#[derive(IntoParams)]
#[expect(dead_code, reason = "it only describes")]
#[into_params(parameter_in = Header)]
pub(super) struct CacheControl {
    /// `no-cache`: evaluate, whatever is kept. `no-store`: do not keep the result either.
    #[param(rename = "Cache-Control", example = "no-cache")]
    cache_control: Option<String>,
}

/// The cache of results.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it only describes")]
pub(super) struct CacheStats {
    /// `results`, or `none`.
    kind: String,
    /// Invocations answered out of it.
    #[schema(minimum = 0)]
    hits: u64,
    /// Invocations looked up in vain.
    #[schema(minimum = 0)]
    misses: u64,
    /// Results that had to go for others.
    #[schema(minimum = 0)]
    evictions: u64,
    #[schema(minimum = 0)]
    entries: u64,
    #[schema(minimum = 0)]
    bytes: u64,
    /// The bound, tables included.
    #[schema(minimum = 0)]
    bytes_max: u64,
}

/// What a request lets the cache do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CacheUse {
    /// Answer, and keep the result.
    Full,
    /// Keep the result: `no-cache`.
    KeepOnly,
    /// `no-store`
    None,
}

impl CacheUse {
    /// What `Cache-Control` says; other directives mean nothing here, since a result is never old.
    pub(super) fn of(headers: &HeaderMap) -> CacheUse {
        let mut found = CacheUse::Full;
        for value in headers.get_all(CACHE_CONTROL) {
            for directive in value.as_bytes().split(|byte| *byte == b',') {
                let directive = directive.trim_ascii();
                if directive.eq_ignore_ascii_case(b"no-store") {
                    return CacheUse::None;
                }
                if directive.eq_ignore_ascii_case(b"no-cache") {
                    found = CacheUse::KeepOnly;
                }
            }
        }
        found
    }
}

/// What the cache says to an invocation.
pub(super) enum Looked {
    /// The result.
    Found(Arc<Kept>),
    /// Evaluate, and keep the result for this question, if there is one.
    Evaluate(Option<Question>),
}

/// Looks an invocation up.
pub(super) fn look_up(app: &App, id: SubstrateId, parameters: &Dict, cache_use: CacheUse) -> Looked {
    let (Some(results), true) = (&app.results, cache_use != CacheUse::None) else {
        return Looked::Evaluate(None);
    };
    // What is wrong with the substrate its evaluation tells.
    let formula = app.engine.long_formula(id).unwrap_or_default();
    let question = formula.and_then(|(edition, formula)| results.question(edition, &formula, parameters));
    let Some(asked) = question.as_ref().filter(|_| cache_use == CacheUse::Full) else {
        return Looked::Evaluate(question);
    };
    let found = results.find(asked);
    app.metrics.result_looked_up(found.is_some());
    found.map_or(Looked::Evaluate(question), Looked::Found)
}

/// The cache's part of `GET /api/v1/query/stats`.
pub(super) fn write_stats(app: &App, out: &mut String) {
    let (hits, misses) = app.metrics.results_looked_up();
    let (kind, evictions, entries, bytes, bytes_max) = match &app.results {
        Some(all) => ("results", all.evictions(), all.entries(), all.bytes(), all.bytes_max()),
        None => ("none", 0, 0, 0, 0),
    };
    out.push_str("{\"kind\":\"");
    out.push_str(kind);
    out.push('"');
    for (name, number) in [
        ("hits", hits),
        ("misses", misses),
        ("evictions", evictions),
        ("entries", entries),
        ("bytes", bytes),
        ("bytes_max", bytes_max),
    ] {
        out.push_str(",\"");
        out.push_str(name);
        out.push_str("\":");
        write::unsigned(number, out);
    }
    out.push('}');
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn cache_control_is_read() {
        for (values, expected) in [
            (&[][..], CacheUse::Full),
            (&["no-cache"], CacheUse::KeepOnly),
            (&["No-Cache"], CacheUse::KeepOnly),
            (&["max-age=0 ,\tno-cache"], CacheUse::KeepOnly),
            (&["no-store"], CacheUse::None),
            (&["no-store, no-cache"], CacheUse::None),
            (&["no-cache", "no-store"], CacheUse::None),
            (&["max-age=0"], CacheUse::Full),
            (&["no-cached"], CacheUse::Full),
            (&["", ",,"], CacheUse::Full),
        ] {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(CACHE_CONTROL, HeaderValue::from_static(value));
            }
            assert_eq!(CacheUse::of(&headers), expected, "{values:?}");
        }
    }
}
