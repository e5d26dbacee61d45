//! Health, metrics, documents and the pages about problems.

use super::{Api, check};
use butterflyfx::http::problem::Code;
use serde_json::json;

#[test]
fn health_and_metrics() {
    let api = Api::new();
    let version = env!("CARGO_PKG_VERSION");
    for path in ["/api/v1/health", "/healthz", "/livez", "/readyz", "/livez?probe=1"] {
        check(&api, &[(&format!("GET {path}"), "", 200, json!({"status": "healthy", "version": version}))]);
    }
    check(
        &api,
        &[
            (
                "GET /api/v1/metrics",
                "",
                200,
                json!({"total_substrates": 0, "total_relationships": 0, "version": version}),
            ),
            ("GET /api/v1/metrics?x=1", "", 422, json!("validation_failed")),
        ],
    );
    for (path, accept) in
        [("/metrics", "*/*"), ("/api/v1/metrics", "application/openmetrics-text; version=1.0.0")]
    {
        let reply = api.send_with(&format!("GET {path}"), &[("accept", accept)], b"");
        assert!(
            reply.header("content-type").is_some_and(|kind| kind.starts_with("application/openmetrics-text"))
        );
        assert!(reply.text().ends_with("# EOF\n"));
    }
}

#[test]
fn pages_about_problems() {
    let api = Api::new();
    let all = api.send("GET /problems", "").text();
    for code in Code::ALL {
        let page = api.send(&format!("GET /problems/{}", code.name()), "");
        assert_eq!(page.status, 200);
        assert!(page.text().contains(code.explanation()) && all.contains(code.explanation()));
    }
    check(&api, &[("GET /problems/nonsense", "", 404, json!("route_not_found"))]);
}
