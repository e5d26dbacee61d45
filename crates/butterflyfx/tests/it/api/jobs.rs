//! Jobs: invocations that are done while nobody waits, and what happens to them in between.

use super::{Api, Reply, assert_part, check, create};
use crate::support::until;
use serde_json::{Value, json};
use std::net::TcpStream;

const ASYNC: (&str, &str) = ("prefer", "respond-async");

/// Takes longer than any test, unless it is stopped.
const ENDLESS: &str =
    "lambda: [0 for a in range(90000) for b in range(90000) for c in range(90000) if a < 0]";

/// So that only what is stopped ends.
const PATIENT: [(&str, &str); 3] =
    [("steps-max", "1000000000000"), ("wall-clock-max", "1h"), ("evaluation-threads", "1")];

fn patient(settings: &[(&'static str, &'static str)]) -> Api {
    Api::with(&[&PATIENT, settings].concat())
}

/// The job that a request was made, checked for what all such answers have.
#[track_caller]
fn job_of(reply: &Reply) -> String {
    assert_eq!(reply.status, 202, "{}", reply.text());
    let id = reply.json()["job_id"].as_str().expect("an id").to_owned();
    assert!(id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
    assert_eq!(reply.header("location"), Some(format!("/api/v1/jobs/{id}").as_str()));
    assert_eq!(reply.header("preference-applied"), Some("respond-async"));
    id
}

#[track_caller]
fn submit(api: &Api, request: &str, body: &str) -> String {
    job_of(&api.send_with(request, &[ASYNC], body.as_bytes()))
}

#[track_caller]
fn submit_over(api: &Api, stream: TcpStream, request: &str) -> String {
    job_of(&api.send_over(stream, request, &[ASYNC], b""))
}

#[track_caller]
fn ended(api: &Api, id: &str) -> Value {
    let reply = api.send(&format!("GET /api/v1/jobs/{id}?wait=20"), "");
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply.json()
}

fn state(api: &Api, id: &str) -> Value {
    api.send(&format!("GET /api/v1/jobs/{id}"), "").json()["state"].clone()
}

fn running(api: &Api, id: &str) {
    until("the job runs", || state(api, id) == "running");
}

#[track_caller]
fn metric(api: &Api, line: &str) {
    let text = api.send("GET /metrics", "").text();
    assert!(text.lines().any(|one| one == line), "no {line} in {text}");
}

#[track_caller]
fn number_in(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|number| number.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// How often a worker has begun with the work of a request.
fn waits(api: &Api) -> u64 {
    number_in(&api.send("GET /metrics", "").text(), "butterflyfx_evaluation_wait_seconds_count")
}

#[test]
fn an_invocation_is_a_job() {
    let api = Api::new();
    let id = create(&api, "lambda", "lambda x, y=2: x * y", json!({}));
    let invoke = format!("POST /api/v1/substrates/{id}/invoke");
    let job = submit(&api, &invoke, r#"{"parameters":{"x":21}}"#);
    let answer = ended(&api, &job);
    let expected = json!({
        "job_id": job, "operation": "invoke_substrate", "substrate_id": id, "state": "succeeded",
        "progress": {"done": 1, "total": 1},
        "result": {"substrate_id": id, "result": 42, "cost": {"steps": 4, "bytes": 0}, "cached": false},
    });
    assert_part(&expected, &answer, "a job");
    let times: Vec<&str> = ["created_at", "started_at", "finished_at", "expires_at"]
        .map(|name| answer[name].as_str().expect("a time"))
        .to_vec();
    assert!(times.is_sorted() && answer.get("problem").is_none(), "{answer}");
    let path = format!("/api/v1/jobs/{job}");
    assert_eq!(api.send(&format!("GET {path}"), "").json(), answer);
    assert_eq!(api.send(&format!("HEAD {path}"), "").status, 200);
    check(
        &api,
        &[
            (&format!("DELETE {path}"), "", 204, Value::Null),
            (&format!("GET {path}"), "", 404, json!({"code": "job_not_found", "instance": path})),
            (&format!("DELETE {path}"), "", 404, json!("job_not_found")),
            ("GET /api/v1/jobs/nope", "", 404, json!("job_not_found")),
            (&format!("GET {path}?wait=61"), "", 422, json!({"errors": [{"parameter": "wait"}]})),
            (&format!("GET {path}?x=1"), "", 422, json!("validation_failed")),
            (&format!("DELETE {path}?x=1"), "", 422, json!("validation_failed")),
            (&format!("POST {path}"), "", 405, json!("method_not_allowed")),
        ],
    );
    metric(&api, "butterflyfx_jobs_submitted_total 1");
    metric(&api, "butterflyfx_jobs_ended_total{state=\"succeeded\"} 1");
    metric(&api, "butterflyfx_jobs_wait_seconds_count 1");
    metric(&api, "butterflyfx_jobs_kept_bytes 0");
    // Without the preference, or with others, nothing has changed.
    for other in ["return=minimal", "wait=10", "x=\"respond-async\""] {
        let reply = api.send_with(&invoke, &[("prefer", other)], br#"{"parameters":{"x":21}}"#);
        assert_eq!((reply.status, reply.header("preference-applied")), (200, None));
    }
}

#[test]
fn what_can_be_told_at_once_is_refused_at_once() {
    let api = Api::new();
    let id = create(&api, "lambda", "lambda x: 10 // x", json!({}));
    let check = |path: &str, body: &str, status: u16, code: &str| {
        let reply = api.send_with(&format!("POST /api/v1/substrates/{path}"), &[ASYNC], body.as_bytes());
        assert_eq!((reply.status, &reply.json()["code"]), (status, &json!(code)), "{path} {body}");
        assert_eq!(reply.header("preference-applied"), None);
    };
    check("0x1/invoke", "", 404, "substrate_not_found");
    check("zz/invoke", "", 400, "invalid_identity");
    check(&format!("{id}/invoke"), "{", 400, "invalid_json");
    check(&format!("{id}/invoke"), "[]", 422, "validation_failed");
    check(&format!("{id}/invoke?x=1"), "", 422, "validation_failed");
    check("0x1/invoke/batch", r#"{"rows":[]}"#, 404, "substrate_not_found");
    check("batch/invoke", "", 400, "invalid_json");
    // What only the work can tell is in the job.
    let fails = |path: &str, body: &str, problem: Value| {
        let job = ended(&api, &submit(&api, &format!("POST /api/v1/substrates/{path}"), body));
        assert_part(&json!({"state": "failed", "problem": problem}), &job, "a job that fails");
        assert_eq!(job.get("result"), None);
    };
    let path = format!("{id}/invoke");
    let instance = format!("/api/v1/substrates/{path}");
    let expected = json!({"status": 422, "code": "evaluation_error", "exception": "ZeroDivisionError",
        "instance": instance, "substrate_id": id});
    fails(&path, r#"{"parameters":{"x":0}}"#, expected);
    fails(&path, "", json!({"status": 422, "code": "missing_parameter"}));
    fails(&format!("{id}/invoke/batch"), "{", json!({"status": 400, "code": "invalid_json"}));
    fails(
        "batch/invoke",
        "{}",
        json!({"code": "validation_failed", "errors": [{"pointer": "/invocations"}]}),
    );
}

#[test]
fn batches_are_jobs_that_say_how_far_they_are() {
    let api = Api::new();
    let id = create(&api, "lambda", "lambda x: 10 // x", json!({}));
    let check = |path: &str, body: &str, total: u64, operation: &str| {
        let request = format!("POST /api/v1/substrates/{path}");
        let job = ended(&api, &submit(&api, &request, body));
        let expected = json!({"state": "succeeded", "operation": operation,
            "progress": {"done": total, "total": total}});
        assert_part(&expected, &job, body);
        // What the request would have been answered with.
        let (mut result, mut answer) = (job["result"].clone(), api.send(&request, body).json());
        for one in [&mut result, &mut answer] {
            for item in one["results"].as_array_mut().into_iter().flatten() {
                item.as_object_mut().map(|item| item.remove("invocation_time_ms"));
            }
        }
        assert_eq!(result, answer);
    };
    let rows = format!("{id}/invoke/batch");
    check(&rows, r#"{"rows":[{"x":1},{"x":0},{"x":3}]}"#, 3, "invoke_rows");
    check(&rows, r#"{"rows":[{"x":1},7]}"#, 2, "invoke_rows");
    check(&rows, r#"{"columns":{"x":[1,2,0,4]}}"#, 4, "invoke_rows");
    check(&rows, r#"{"rows":[]}"#, 0, "invoke_rows");
    let item = format!(r#"{{"substrate_id":"{id}","parameters":{{"x":5}}}}"#);
    check("batch/invoke", &format!(r#"{{"invocations":[{item},{item}]}}"#), 2, "invoke_batch");
    check("batch/invoke", &format!(r#"{{"invocations":[{item},5]}}"#), 2, "invoke_batch");
}

#[test]
fn progress_is_seen_while_a_job_runs() {
    let api = patient(&[]);
    let code = "lambda n: [0 for a in range(n) for b in range(n) for c in range(n) if a < 0]";
    let id = create(&api, "lambda", code, json!({}));
    let item = |n: u64| format!(r#"{{"substrate_id":"{id}","parameters":{{"n":{n}}}}}"#);
    let (one, endless) = (item(1), item(90_000));
    for (path, body) in [
        (format!("{id}/invoke/batch"), r#"{"rows":[{"n":1},{"n":90000},{"n":1}]}"#.to_owned()),
        (format!("{id}/invoke/batch"), r#"{"columns":{"n":[1,90000,1]}}"#.to_owned()),
        ("batch/invoke".to_owned(), format!(r#"{{"invocations":[{one},{endless},{one}]}}"#)),
    ] {
        let job = submit(&api, &format!("POST /api/v1/substrates/{path}"), &body);
        let path = format!("/api/v1/jobs/{job}");
        let expected = json!({"done": 1, "total": 3});
        until("one is done", || api.send(&format!("GET {path}"), "").json()["progress"] == expected);
        assert_eq!(api.send(&format!("DELETE {path}"), "").status, 204);
    }
}

/// Of two threads one at most runs long batches; a small one is answered by the other, and if it turns out long, it waits.
#[test]
fn a_small_batch_does_not_wait_for_the_end_of_a_long_one() {
    let api = patient(&[("evaluation-threads", "2")]);
    let endless = "lambda n: [0 for a in range(n) for b in range(n) for c in range(n) if a < 0]";
    let endless = create(&api, "lambda", endless, json!({}));
    let plain = create(&api, "lambda", "lambda x: sum([v for v in range(x)])", json!({}));
    let rows = format!("POST /api/v1/substrates/{endless}/invoke/batch");
    let path = format!("/api/v1/jobs/{}", submit(&api, &rows, r#"{"rows":[{"n":1},{"n":90000}]}"#));
    let progress = || api.send(&format!("GET {path}"), "").json()["progress"]["done"].clone();
    until("it is in the long row", || progress() == json!(1));
    let item = |x: u64| format!(r#"{{"substrate_id":"{plain}","parameters":{{"x":{x}}}}}"#);
    for (request, body, expected) in [
        (format!("{plain}/invoke/batch"), r#"{"rows":[{"x":3},{"x":4}]}"#.to_owned(), json!([3, 6])),
        (format!("{plain}/invoke/batch"), r#"{"columns":{"x":[3,4]}}"#.to_owned(), json!([3, 6])),
        ("batch/invoke".to_owned(), format!(r#"{{"invocations":[{}]}}"#, item(3)), json!([{"result": 3}])),
    ] {
        let answer = api.send(&format!("POST /api/v1/substrates/{request}"), &body).json();
        assert_part(&expected, &answer["results"], &body);
    }
    assert_eq!(progress(), json!(1), "the long one still runs");
    assert_eq!(api.send(&format!("DELETE {path}"), "").status, 204);
}

/// What turns out long is begun again, and is evaluated once as far as anybody can see.
#[test]
fn what_is_begun_again_is_counted_once() {
    let api = patient(&[("evaluation-threads", "2")]);
    let plain = create(&api, "lambda", "lambda x: sum([v for v in range(x)])", json!({}));
    let item = |x: u64| format!(r#"{{"substrate_id":"{plain}","parameters":{{"x":{x}}}}}"#);
    // Long in one row, and in all of them together.
    let long = |xs: &[u64]| json!({"columns": {"x": xs}}).to_string();
    let request = format!("POST /api/v1/substrates/{plain}/invoke/batch");
    for xs in [&[3, 50_000, 2][..], &[9_000; 40]] {
        let expected: Vec<u64> = xs.iter().map(|x| x * (x - 1) / 2).collect();
        assert_eq!(api.send(&request, &long(xs)).json(), json!({"results": expected}));
    }
    let rows = json!({"rows": [{"x": 3}, {"x": 50_000}]}).to_string();
    assert_eq!(api.send(&request, &rows).json(), json!({"results": [3, 1_249_975_000]}));
    let answer =
        api.send("POST /api/v1/substrates/batch/invoke", &format!(r#"{{"invocations":[{}]}}"#, item(50_000)));
    assert_part(&json!([{"result": 1_249_975_000}]), &answer.json()["results"], "one long one");
    let metrics = api.send("GET /metrics", "").text();
    for expected in [
        "butterflyfx_evaluations_turned_long_total 4",
        "butterflyfx_evaluations_total 46",
        "butterflyfx_evaluation_errors_total 0",
    ] {
        assert!(metrics.lines().any(|line| line == expected), "{expected}: {metrics}");
    }
}

#[test]
fn jobs_are_listed_in_pages() {
    let api = Api::new();
    let id = create(&api, "constant", "1", json!({}));
    let invoke = format!("POST /api/v1/substrates/{id}/invoke");
    let jobs: Vec<String> = (0..5).map(|_| submit(&api, &invoke, "")).collect();
    for job in &jobs {
        ended(&api, job);
    }
    let mut seen = Vec::new();
    let mut request = "GET /api/v1/jobs?limit=2".to_owned();
    loop {
        let reply = api.send(&request, "");
        let page = reply.json();
        for job in page["jobs"].as_array().expect("jobs") {
            assert!(job.get("result").is_none() && job["state"] == "succeeded", "{job}");
            seen.push(job["job_id"].as_str().expect("an id").to_owned());
        }
        let Some(cursor) = page["next_cursor"].as_str() else {
            assert_eq!(reply.header("link"), None);
            break;
        };
        let next = format!("/api/v1/jobs?limit=2&cursor={cursor}");
        assert_eq!(reply.header("link"), Some(format!("<{next}>; rel=\"next\"").as_str()));
        request = format!("GET {next}");
    }
    assert_eq!(seen, jobs);
    check(
        &api,
        &[
            ("GET /api/v1/jobs?limit=1000", "", 200, json!({"next_cursor": null})),
            ("GET /api/v1/jobs?limit=0", "", 422, json!("validation_failed")),
            ("GET /api/v1/jobs?cursor=AAAA", "", 400, json!("invalid_cursor")),
            ("GET /api/v1/jobs?state=queued", "", 422, json!("validation_failed")),
        ],
    );
}

#[test]
fn jobs_are_cancelled() {
    let api = patient(&[]);
    let endless = create(&api, "lambda", ENDLESS, json!({}));
    let short = create(&api, "constant", "1", json!({}));
    let rows = format!("POST /api/v1/substrates/{endless}/invoke/batch");
    for (request, body) in [
        (format!("POST /api/v1/substrates/{endless}/invoke"), ""),
        // The one way of reading rows, and the other.
        (rows.clone(), r#"{"rows":[{},{}]}"#),
        (rows, r#"{"rows":[{},{}],"columns":null}"#),
        (
            "POST /api/v1/substrates/batch/invoke".to_owned(),
            &*format!(r#"{{"invocations":[{{"substrate_id":"{endless}"}}]}}"#),
        ),
    ] {
        let busy = submit(&api, &request, body);
        running(&api, &busy);
        let waiting = submit(&api, &format!("POST /api/v1/substrates/{short}/invoke"), "");
        let wanted = submit(&api, &format!("POST /api/v1/substrates/{short}/invoke"), "");
        assert_eq!(api.send(&format!("DELETE /api/v1/jobs/{waiting}"), "").status, 204);
        assert_eq!([state(&api, &waiting), state(&api, &wanted)], ["cancelled", "queued"]);
        assert_eq!(api.send(&format!("DELETE /api/v1/jobs/{busy}"), "").status, 204);
        let job = ended(&api, &busy);
        assert_eq!((&job["state"], job.get("result"), job.get("problem")), (&json!("cancelled"), None, None));
        // The only worker is free again.
        assert_eq!(ended(&api, &wanted)["state"], "succeeded", "{request}");
        assert_eq!(ended(&api, &waiting)["started_at"], Value::Null);
        assert_eq!(api.send(&format!("DELETE /api/v1/jobs/{waiting}"), "").status, 204);
        assert_eq!(api.send(&format!("GET /api/v1/jobs/{waiting}"), "").status, 404);
    }
    metric(&api, "butterflyfx_jobs_ended_total{state=\"cancelled\"} 8");
    metric(&api, "butterflyfx_jobs_queued 0");
    metric(&api, "butterflyfx_jobs_running 0");
}

#[test]
fn a_client_that_is_gone_does_not_keep_a_worker() {
    let api = patient(&[]);
    let endless = create(&api, "lambda", ENDLESS, json!({}));
    let short = create(&api, "lambda", "lambda: sum([1, 2])", json!({}));
    for path in ["invoke", "invoke/batch"] {
        let before = waits(&api);
        let mut stream = api.server.connect();
        let body = if path == "invoke" { "" } else { r#"{"rows":[{}]}"# };
        let length = body.len();
        let head = format!(
            "POST /api/v1/substrates/{endless}/{path} HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n"
        );
        std::io::Write::write_all(&mut stream, format!("{head}{body}").as_bytes()).expect("send");
        until("it runs", || waits(&api) > before);
        drop(stream);
        let request = format!("POST /api/v1/substrates/{short}/invoke");
        check(&api, &[(&request, "", 200, json!({"result": 3}))]);
    }
}

#[test]
fn one_address_does_not_keep_another_waiting() {
    let api = patient(&[("jobs-max", "16")]);
    let endless = create(&api, "lambda", ENDLESS, json!({}));
    let short = create(&api, "constant", "1", json!({}));
    let invoke = format!("POST /api/v1/substrates/{short}/invoke");
    let busy = submit(&api, &format!("POST /api/v1/substrates/{endless}/invoke"), "");
    running(&api, &busy);
    // All that one address may have: half of all, the one that runs included. A key makes no difference.
    let mut many = Vec::new();
    let refused = loop {
        let key = many.len().to_string();
        let reply = api.send_with(&invoke, &[ASYNC, ("idempotency-key", &key)], b"");
        if reply.status == 503 {
            break reply;
        }
        many.push(job_of(&reply));
    };
    assert_eq!(many.len(), 7);
    assert_eq!((&refused.json()["code"], refused.header("retry-after")), (&json!("overloaded"), Some("1")));
    let other = submit_over(&api, api.server.connect_from("127.0.0.2"), &invoke);
    assert_eq!(api.send(&format!("DELETE /api/v1/jobs/{busy}"), "").status, 204);
    let started = |id: &str| ended(&api, id)["started_at"].as_str().expect("a time").to_owned();
    let other = started(&other);
    let later = many.iter().filter(|id| started(id) > other).count();
    // All but the first; the clock may not tell each from the next.
    assert!(later >= 4, "only {later} of 7 that were there before come after it");
}

#[test]
fn jobs_are_forgotten_in_time() {
    let api = Api::with(&[("jobs-keep", "20ms")]);
    let id = create(&api, "constant", "1", json!({}));
    let job = submit(&api, &format!("POST /api/v1/substrates/{id}/invoke"), "");
    let path = format!("GET /api/v1/jobs/{job}");
    until("it is forgotten", || api.send(&path, "").status == 404);
    // Also where nobody asks.
    submit(&api, &format!("POST /api/v1/substrates/{id}/invoke"), "");
    let none = |text: String| {
        ["queued", "running", "kept"]
            .iter()
            .all(|name| text.contains(&format!("butterflyfx_jobs_{name} 0\n")))
    };
    until("all are forgotten", || none(api.send("GET /metrics", "").text()));
}

#[test]
fn requests_and_results_have_bounded_room() {
    let api = Api::with(&[("jobs-memory", "64KiB"), ("evaluation-threads", "1")]);
    let long = create(&api, "lambda", "lambda n: 'a' * n", json!({}));
    let invoke = format!("POST /api/v1/substrates/{long}/invoke");
    let job = ended(&api, &submit(&api, &invoke, r#"{"parameters":{"n":70000}}"#));
    let expected = json!({"state": "failed", "problem": {"code": "limit_exceeded", "limit": "jobs_memory"}});
    assert_part(&expected, &job, "a long result");
    // Each takes the room of those before.
    let jobs: Vec<String> = (0..5).map(|_| submit(&api, &invoke, r#"{"parameters":{"n":25000}}"#)).collect();
    until("all have ended", || {
        jobs.iter().all(|id| !["queued", "running"].iter().any(|one| state(&api, id) == *one))
    });
    let there: Vec<bool> = jobs.iter().map(|id| state(&api, id) == "succeeded").collect();
    assert_eq!(there, [false, false, false, true, true]);
    metric(&api, "butterflyfx_jobs_pushed_out_total 4");
    let rows = format!(r#"{{"rows":[{{"n":"{}"}}]}}"#, "a".repeat(40_000));
    let reply = api.send_with(&format!("{invoke}/batch"), &[ASYNC], rows.as_bytes());
    assert_eq!((reply.status, &reply.json()["code"]), (413, &json!("body_too_large")));
    assert_eq!(reply.json()["limit_bytes"], 31 * 1_024);
}

#[test]
fn a_key_makes_one_job() {
    let api = Api::new();
    let id = create(&api, "constant", "1", json!({}));
    let request = format!("POST /api/v1/substrates/{id}/invoke");
    let headers = [ASYNC, ("idempotency-key", "once")];
    let first = job_of(&api.send_with(&request, &headers, b""));
    let again = api.send_with(&request, &headers, b"");
    assert_eq!((job_of(&again), again.header("idempotency-replayed")), (first, Some("true")));
    metric(&api, "butterflyfx_jobs_submitted_total 1");
}

#[test]
fn a_job_asks_the_cache_of_results() {
    let api = Api::new();
    let id = create(&api, "lambda", "lambda n: sum([x for x in range(n)])", json!({}));
    let request = format!("POST /api/v1/substrates/{id}/invoke");
    let body = r#"{"parameters":{"n":1000}}"#;
    let check = |headers: &[(&str, &str)], is_cached: bool| {
        let job = job_of(&api.send_with(&request, &[&[ASYNC], headers].concat(), body.as_bytes()));
        let expected = json!({"progress": {"done": 1}, "result": {"result": 499500, "cached": is_cached}});
        assert_part(&expected, &ended(&api, &job), &format!("{headers:?}"));
    };
    check(&[], false);
    check(&[], true);
    check(&[("cache-control", "no-cache")], false);
}

#[test]
fn what_is_long_by_its_values_is_begun_again_elsewhere() {
    let api = Api::new();
    // Short by its form: no loop, no function.
    let id = create(&api, "lambda", "lambda x: x + x == x + x", json!({}));
    let turned = || {
        let text = api.send("GET /metrics", "").text();
        number_in(&text, "butterflyfx_evaluations_turned_long_total")
    };
    let check = |zeros: usize, turns: u64| {
        let before = (turned(), waits(&api));
        let request = format!("POST /api/v1/substrates/{id}/invoke");
        let body = json!({"parameters": {"x": vec![0; zeros]}}).to_string();
        check(&api, &[(&request, &body, 200, json!({"result": true}))]);
        assert_eq!((turned(), waits(&api)), (before.0 + turns, before.1 + turns), "{zeros}");
    };
    check(10, 0);
    // So short that the short way tries it first, and longer.
    check(7_000, 1);
    check(30_000, 1);
    metric(&api, "butterflyfx_evaluations_total 3");
}

#[test]
fn stopping_cancels_jobs_and_answers_who_waits() {
    let mut api = patient(&[]);
    let endless = create(&api, "lambda", ENDLESS, json!({}));
    let job = submit(&api, &format!("POST /api/v1/substrates/{endless}/invoke"), "");
    running(&api, &job);
    let mut stream = api.server.connect();
    let head = format!("GET /api/v1/jobs/{job}?wait=60 HTTP/1.1\r\nhost: a\r\n\r\n");
    std::io::Write::write_all(&mut stream, head.as_bytes()).expect("send");
    until("it waits", || api.server.app.metrics.requests_in_flight() == 1);
    api.server.stop(Default::default());
    let (_, body) = crate::support::read_answer(&mut stream);
    assert!(body.contains("\"state\":\"cancelled\""), "{body}");
    api.server.join();
}
