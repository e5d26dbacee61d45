//! Which route a path belongs to, for labels: a path's identities would make a metric each.
//!
//! The router knows too, but tells by a heap allocation per request; this is a few comparisons.
//! A test holds the table against the OpenAPI document.

/// Segments a path may have to be one of ours.
const SEGMENTS_MAX: usize = 6;

macro_rules! routes {
    ($($variant:ident $pattern:pat => $template:literal,)*) => {
        /// A route of the server, as an index into the counters.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(u8)]
        pub(crate) enum Route {
            $($variant,)*
            /// None of ours.
            Other,
        }

        /// The routes' templates by index.
        pub(crate) static TEMPLATES: &[&str] = &[$($template,)* "other"];

        fn of_segments(segments: &[&str]) -> Route {
            match segments {
                $($pattern => Route::$variant,)*
                _ => Route::Other,
            }
        }
    };
}

// `_` stands for any segment, so fixed words come before it.
routes! {
    BatchInvoke ["api", "v1", "substrates", "batch", "invoke"] => "/api/v1/substrates/batch/invoke",
    Invoke ["api", "v1", "substrates", _, "invoke"] => "/api/v1/substrates/{id}/invoke",
    InvokeBatch ["api", "v1", "substrates", _, "invoke", "batch"] => "/api/v1/substrates/{id}/invoke/batch",
    Substrates ["api", "v1", "substrates"] => "/api/v1/substrates",
    SubstratesBatch ["api", "v1", "substrates", "batch"] => "/api/v1/substrates/batch",
    Multiply ["api", "v1", "substrates", "multiply"] => "/api/v1/substrates/multiply",
    Substrate ["api", "v1", "substrates", _] => "/api/v1/substrates/{id}",
    Value ["api", "v1", "substrates", _, "value"] => "/api/v1/substrates/{id}/value",
    Divide ["api", "v1", "substrates", _, "divide"] => "/api/v1/substrates/{id}/divide",
    Relationships ["api", "v1", "relationships"] => "/api/v1/relationships",
    RelationshipsBatch ["api", "v1", "relationships", "batch"] => "/api/v1/relationships/batch",
    RelationshipsGraph ["api", "v1", "relationships", "graph"] => "/api/v1/relationships/graph",
    Relationship ["api", "v1", "relationships", _] => "/api/v1/relationships/{id}",
    Outgoing ["api", "v1", "relationships", "outgoing", _] => "/api/v1/relationships/outgoing/{substrate_id}",
    Incoming ["api", "v1", "relationships", "incoming", _] => "/api/v1/relationships/incoming/{substrate_id}",
    Jobs ["api", "v1", "jobs"] => "/api/v1/jobs",
    Job ["api", "v1", "jobs", _] => "/api/v1/jobs/{job_id}",
    Backup ["api", "v1", "admin", "backup"] => "/api/v1/admin/backup",
    Search ["api", "v1", "query", "search"] => "/api/v1/query/search",
    Traverse ["api", "v1", "query", "traverse"] => "/api/v1/query/traverse",
    Path ["api", "v1", "query", "path"] => "/api/v1/query/path",
    Stats ["api", "v1", "query", "stats"] => "/api/v1/query/stats",
    Indexes ["api", "v1", "indexes"] => "/api/v1/indexes",
    Index ["api", "v1", "indexes", _] => "/api/v1/indexes/{metadata_key}",
    Health ["api", "v1", "health"] => "/api/v1/health",
    ApiMetrics ["api", "v1", "metrics"] => "/api/v1/metrics",
    Openapi ["api", "v1", "openapi.json"] => "/api/v1/openapi.json",
    Docs ["api", "v1", "docs", ..] => "/api/v1/docs",
    Redoc ["api", "v1", "redoc", ..] => "/api/v1/redoc",
    RootOpenapi ["openapi.json"] => "/openapi.json",
    Metrics ["metrics"] => "/metrics",
    Livez ["livez"] => "/livez",
    Readyz ["readyz"] => "/readyz",
    Healthz ["healthz"] => "/healthz",
    Problems ["problems"] => "/problems",
    Problem ["problems", _] => "/problems/{code}",
    Root [""] => "/",
}

/// The number of routes, `Other` included.
pub(crate) const ROUTES: usize = Route::Other as usize + 1;

impl Route {
    /// The route of a path.
    pub(crate) fn of_path(path: &str) -> Route {
        let mut segments = [""; SEGMENTS_MAX];
        let mut count = 0;
        for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
            let Some(slot) = segments.get_mut(count) else { return Route::Other };
            *slot = segment;
            count += 1;
        }
        of_segments(&segments[..count])
    }

    /// Its template.
    pub(crate) fn template(self) -> &'static str {
        TEMPLATES[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_find_their_templates() {
        let check =
            |path: &str, template: &str| assert_eq!(Route::of_path(path).template(), template, "{path}");
        check("/", "/");
        check("/api/v1/substrates", "/api/v1/substrates");
        check("/api/v1/substrates/", "/api/v1/substrates/{id}");
        check("/api/v1/substrates/0xAB", "/api/v1/substrates/{id}");
        check("/api/v1/substrates/batch", "/api/v1/substrates/batch");
        check("/api/v1/substrates/0xAB/invoke", "/api/v1/substrates/{id}/invoke");
        check("/api/v1/substrates/batch/invoke", "/api/v1/substrates/batch/invoke");
        check("/api/v1/substrates/0xAB/invoke/batch", "/api/v1/substrates/{id}/invoke/batch");
        check("/api/v1/relationships/outgoing/1", "/api/v1/relationships/outgoing/{substrate_id}");
        check("/api/v1/docs/swagger-ui.css", "/api/v1/docs");
        check("/nothing", "other");
        check("", "/");
        check("/a/b/c/d/e/f/g/h", "other");
        check("//", "other");
    }

    #[test]
    fn each_path_of_the_api_has_its_template() {
        let mut missing = Vec::new();
        for path in crate::http::openapi().paths.paths.keys() {
            let segments = |path: &str| {
                let name = |one: &str| if one.starts_with('{') { "{}".to_owned() } else { one.to_owned() };
                path.split('/').map(name).collect::<Vec<_>>().join("/")
            };
            let template = Route::of_path(path).template();
            if segments(template) != segments(path) {
                missing.push(path.clone());
            }
        }
        assert!(missing.is_empty(), "add to the table of routes: {missing:?}");
    }
}
