//! A result that was kept never differs from one that is evaluated, and what is kept is bounded.

use crate::support::{TestServer, read_answer};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A server of which no slow machine meets the clock.
fn server(settings: &[(&str, &str)]) -> TestServer {
    TestServer::api(&[&[("wall-clock-max", "60s")], settings].concat())
}

/// A client on a connection of its own, that stays open: plain requests take the short way.
struct Client(TcpStream);

impl Client {
    fn new(server: &TestServer) -> Client {
        Client(server.connect())
    }

    /// Status and body of the answer to `METHOD path`.
    #[track_caller]
    fn send(&mut self, line: &str, headers: &str, body: &str) -> (u16, String) {
        let length = body.len();
        let text = format!("{line} HTTP/1.1\r\nHost: a\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        self.0.write_all(text.as_bytes()).expect("send");
        let (head, body) = read_answer(&mut self.0);
        let status = head.split(' ').nth(1).and_then(|text| text.parse().ok()).expect("a status");
        (status, body)
    }

    #[track_caller]
    fn put(&mut self, id: &str, kind: &str, code: &str) {
        let body = json!({"expression_type": kind, "expression_code": code}).to_string();
        let (status, body) = self.send(&format!("PUT /api/v1/substrates/{id}"), "", &body);
        assert!(matches!(status, 200 | 201), "{body}");
    }

    #[track_caller]
    fn invoke(&mut self, id: &str, headers: &str, parameters: &str) -> (u16, String) {
        let body = format!("{{\"parameters\":{parameters}}}");
        self.send(&format!("POST /api/v1/substrates/{id}/invoke"), headers, &body)
    }

    /// The result, and whether it was kept.
    #[track_caller]
    fn result(&mut self, id: &str, headers: &str, parameters: &str) -> (Value, bool) {
        let (status, body) = self.invoke(id, headers, parameters);
        assert_eq!(status, 200, "{body}");
        let answer: Value = serde_json::from_str(&body).expect("JSON");
        (answer["result"].clone(), answer["cached"] == json!(true))
    }

    #[track_caller]
    fn stats(&mut self) -> Value {
        let (_, body) = self.send("GET /api/v1/query/stats", "", "");
        serde_json::from_str::<Value>(&body).expect("JSON")["cache"].clone()
    }
}

/// An answer without what may differ: the time, and whether it was kept. The second: whether it was.
fn without_time(body: &str) -> (String, bool) {
    let was_kept = body.ends_with(",\"cached\":true}");
    let (before, after) = body.split_once("\"invocation_time_ms\":").unwrap_or((body, ""));
    let after = after.split_once(',').map_or("", |(_, rest)| rest);
    let after = after.rsplit_once(",\"cached\":").map_or(after, |(rest, _)| rest);
    (format!("{before}{after}"), was_kept)
}

#[test]
fn the_second_answer_is_kept_from_the_first() {
    let server = server(&[]);
    let mut client = Client::new(&server);
    client.put("0x1", "formula", "sum(xs) * 1.5");
    client.put("0x2", "formula", "x * 1.5");
    client.put("0x3", "formula", "sum(range(100))");
    for (id, parameters, expected, is_kept) in [
        ("0x1", r#"{"xs":[1,2]}"#, json!(4.5), false),
        ("0x1", r#"{"xs":[1,2]}"#, json!(4.5), true),
        ("0x1", r#"{ "xs": [ 1, 2 ] }"#, json!(4.5), true),
        ("0x1", r#"{"xs":[1,2.0]}"#, json!(4.5), false),
        ("0x1", r#"{"xs":[true,2]}"#, json!(4.5), false),
        // Short by its form: it is not looked up.
        ("0x2", r#"{"x":2}"#, json!(3.0), false),
        ("0x2", r#"{"x":2}"#, json!(3.0), false),
    ] {
        assert_eq!(client.result(id, "", parameters), (expected, is_kept), "{id} {parameters}");
    }
    // A value is looked up as an invocation is.
    let value = "GET /api/v1/substrates/0x3/value";
    let expected = r#"{"substrate_id":"0x0000000000000003","value":4950}"#;
    for _ in 0..2 {
        assert_eq!(client.send(value, "", ""), (200, expected.to_owned()));
    }
    assert_eq!(client.result("0x3", "", "{}"), (json!(4950), true));
    let (_, explained) = client.send(&format!("{value}?explain=true"), "", "");
    assert_eq!(explained, expected.replace('}', r#","inputs":{}}"#));
    let stats = client.stats();
    assert_eq!((&stats["kind"], &stats["hits"]), (&json!("results"), &json!(4)));
    assert_eq!((&stats["misses"], &stats["entries"]), (&json!(4), &json!(4)));
    let (_, metrics) = client.send("GET /metrics", "", "");
    for line in [
        "butterflyfx_result_cache_hits_total 4",
        "butterflyfx_result_cache_misses_total 4",
        "butterflyfx_result_cache_evictions_total 0",
        "butterflyfx_result_cache_entries 4",
        "butterflyfx_result_cache_bytes 2048",
    ] {
        assert!(metrics.lines().any(|other| other == line), "{line}");
    }
}

#[test]
fn a_request_may_leave_the_cache_out() {
    let server = server(&[]);
    let mut client = Client::new(&server);
    client.put("0x1", "formula", "sum(xs)");
    let mut check = |headers: &str, xs: &str, is_kept: bool| {
        let (_, was_kept) = client.result("0x1", headers, &format!("{{\"xs\":{xs}}}"));
        assert_eq!(was_kept, is_kept, "{headers} {xs}");
    };
    let (no_cache, no_store) = ("Cache-Control: no-cache\r\n", "cache-control: no-store\r\n");
    check(no_store, "[1]", false);
    check("", "[1]", false);
    check("", "[1]", true);
    check(no_store, "[1]", false);
    check(no_cache, "[1]", false);
    check("Cache-Control: max-age=60\r\n", "[1]", true);
    // It is kept all the same.
    check(no_cache, "[2]", false);
    check("", "[2]", true);
}

#[test]
fn there_may_be_no_cache() {
    let server = server(&[("result-cache", "0")]);
    let mut client = Client::new(&server);
    client.put("0x1", "formula", "sum(xs)");
    for _ in 0..3 {
        assert_eq!(client.result("0x1", "", r#"{"xs":[1,2]}"#), (json!(3), false));
    }
    assert_eq!(client.stats()["kind"], json!("none"));
    let (_, metrics) = client.send("GET /metrics", "", "");
    assert!(!metrics.contains("result_cache"));
}

#[test]
fn errors_and_results_that_json_cannot_hold_are_not_kept() {
    let server = server(&[]);
    let mut client = Client::new(&server);
    for (code, parameters) in [
        ("sum(xs)", r#"{"xs":["a"]}"#),
        ("sum(xs)", "{}"),
        ("sum(xs)", r#"{"xs":[],"y":1}"#),
        ("[1 for i in range(10000000)]", "{}"),
        ("[float('nan') for i in [1]]", "{}"),
        ("(i for i in xs)", r#"{"xs":[1]}"#),
    ] {
        client.put("0x1", "formula", code);
        let first = client.invoke("0x1", "", parameters);
        assert_eq!(first.0, 422, "{code}");
        assert_eq!(client.invoke("0x1", "", parameters), first);
    }
    assert_eq!(client.stats()["entries"], json!(0));
}

#[test]
fn another_formula_is_seen_at_once() {
    let server = server(&[]);
    let mut client = Client::new(&server);
    // What is kept is found as long as someone has code of the shape.
    client.put("0x8", "formula", "sum(xs) + 9");
    client.put("0x9", "formula", "sorted(xs)[1]");
    for round in 0..3 {
        for n in 0..5 {
            client.put("0x1", "formula", &format!("sum(xs) + {n}"));
            // The second time around all of them are kept.
            let expected = (json!(3 + n), round > 0);
            assert_eq!(client.result("0x1", "", r#"{"xs":[1,2]}"#), expected);
        }
        let patch = json!({"expression_code": "sorted(xs)[1]"}).to_string();
        assert_eq!(client.send("PATCH /api/v1/substrates/0x1", "", &patch).0, 200);
        assert_eq!(client.result("0x1", "", r#"{"xs":[1,2]}"#), (json!(2), round > 0));
        assert_eq!(client.send("DELETE /api/v1/substrates/0x1", "", "").0, 204);
        assert_eq!(client.invoke("0x1", "", r#"{"xs":[1,2]}"#).0, 404);
    }
    // One formula is one question, whoever has it.
    client.put("0x2", "formula", "sum( xs )+4");
    assert_eq!(client.result("0x2", "", r#"{"xs":[1,2]}"#), (json!(7), true));
}

#[test]
fn what_reads_other_substrates_is_not_kept() {
    let server = server(&[]);
    let mut client = Client::new(&server);
    client.put("0x1", "lambda", "lambda xs, k=1: sum(xs) * k");
    client.put("0x2", "constant", "10");
    let asked = r#"{"xs":[1,2]}"#;
    assert_eq!(client.result("0x1", "", asked), (json!(3), false));
    assert_eq!(client.result("0x1", "", asked), (json!(3), true));
    let body = json!({
        "rel_type": "ATTRIBUTE", "source_id": "0x1", "target_id": "0x2", "constraints": {"parameter": "k"},
    });
    let (status, related) = client.send("POST /api/v1/relationships", "", &body.to_string());
    assert_eq!(status, 201, "{related}");
    for n in 10..13 {
        client.put("0x2", "constant", &n.to_string());
        for _ in 0..2 {
            assert_eq!(client.result("0x1", "", asked), (json!(3 * n), false));
        }
    }
    let related: Value = serde_json::from_str(&related).expect("JSON");
    let id = related["relationship_id"].as_str().expect("an identity");
    assert_eq!(client.send(&format!("DELETE /api/v1/relationships/{id}"), "", "").0, 204);
    assert_eq!(client.result("0x1", "", asked), (json!(3), true));
}

/// Numbers from a seed.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }

    fn one_of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    /// A JSON value of few, so that some come again.
    fn value(&mut self, levels: usize) -> String {
        let scalars = [
            "0",
            "0.0",
            "-0.0",
            "1",
            "1.0",
            "true",
            "false",
            "null",
            "-3",
            "2.5",
            "18446744073709551616",
            "18446744073709551616.0",
            "\"a\"",
            "\"1\"",
        ];
        match self.below(if levels == 0 { 3 } else { 5 }) {
            0..3 => self.one_of(&scalars).to_owned(),
            3 => {
                let items: Vec<String> = (0..self.below(3)).map(|_| self.value(levels - 1)).collect();
                format!("[{}]", items.join(","))
            }
            _ => self.dict(&["a", "b"], levels - 1),
        }
    }

    /// A dict of some of these names, in any order.
    fn dict(&mut self, names: &[&str], levels: usize) -> String {
        let mut names = names.to_vec();
        let mut out = "{".to_owned();
        for _ in 0..self.below(names.len() + 1) {
            let name = names.swap_remove(self.below(names.len()));
            let comma = if out.len() > 1 { "," } else { "" };
            let value = self.value(levels);
            let _ = write!(out, "{comma}\"{name}\":{value}");
        }
        out + "}"
    }
}

/// Formulas that are not short, most of which show what exactly they were given.
const FORMULAS: &[&str] = &[
    "lambda **kw: [[k, v] for k, v in kw.items()]",
    "lambda **kw: {k: v for k, v in kw.items()}",
    "lambda x=1: [str(v) for v in [x]]",
    "lambda x=1.0: [str(v) for v in [x]]",
    "lambda x=True: [str(v) for v in [x]]",
    "lambda x=0, y=-0.0: [str([x, y]), sorted([x, y])]",
    "lambda x=0, y=0.0: [str([x, y]), sorted([x, y])]",
    "lambda x=0, **kw: [x, list(kw), [v is None for v in kw.values()]]",
    "lambda x=3: [x * i for i in range(3)]",
    "lambda x=3: [x * i for i in range(4)]",
    "lambda x, y: [x == y, [x] == [y], str((x, y))]",
    "lambda x=2, y=7: [x // v for v in [y]]",
    "lambda x=(1, 2): [str(x) for i in range(2)]",
    "lambda x=[1, 2]: [str(x) for i in range(2)]",
    "lambda x=1, key=lambda v: str(v): [key(v) for v in [x]]",
    "lambda x=2, y=1: [2 ** 64 + v if v == v else v for v in [x, y]]",
];

#[test]
fn kept_and_evaluated_answers_are_the_same() {
    let (keeping, plain) = (server(&[]), server(&[("result-cache", "0")]));
    let mut keeping = Client::new(&keeping);
    let mut plain = Client::new(&plain);
    let ids = ["0x1", "0x2", "0x3", "0x4"];
    let mut random = Random(15);
    let (mut kept, mut failed) = (0, 0);
    for round in 0..4_000 {
        let id = random.one_of(&ids);
        if round < ids.len() || random.below(10) == 0 {
            let id = ids.get(round).unwrap_or(&id);
            let code = random.one_of(FORMULAS);
            keeping.put(id, "lambda", code);
            plain.put(id, "lambda", code);
        } else if random.below(10) == 0 {
            // Another version of the same.
            let patch = r#"{"metadata":{"n":1}}"#;
            keeping.send(&format!("PATCH /api/v1/substrates/{id}"), "", patch);
            plain.send(&format!("PATCH /api/v1/substrates/{id}"), "", patch);
        }
        let parameters = random.dict(&["x", "y"], 1);
        // The long way in a third of the cases.
        let headers = random.one_of(&["", "", "TE: trailers\r\n"]);
        let id = random.one_of(&ids);
        if round < ids.len() {
            continue;
        }
        let (status, body) = keeping.invoke(id, headers, &parameters);
        let (expected_status, expected) = plain.invoke(id, headers, &parameters);
        let (body, was_kept) = without_time(&body);
        let (expected, was_never_kept) = without_time(&expected);
        assert_eq!((status, body), (expected_status, expected), "{id} {parameters}");
        assert!(!was_never_kept);
        kept += u32::from(was_kept);
        failed += u32::from(status != 200);
    }
    assert!(kept > 1_000 && failed > 100, "{kept} kept, {failed} failed");
}

/// Formulas change while they are evaluated: what is kept belongs to the formula that gave it.
#[test]
fn changes_between_question_and_answer_leave_nothing_wrong_behind() {
    let server = server(&[]);
    let code = |n: usize| format!("sum([i * 0 for i in range(200)]) + len(str(xs)) * 0 + {n}");
    Client::new(&server).put("0x1", "formula", &code(0));
    let done = AtomicBool::new(false);
    let answers = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = Client::new(&server);
                let mut n = 0;
                while !done.load(Ordering::Relaxed) {
                    n = (n + 1) % 50;
                    client.result("0x1", "", &format!("{{\"xs\":{n}}}"));
                    answers.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut client = Client::new(&server);
        let mut round = 0;
        while round < 400 || answers.load(Ordering::Relaxed) < 400 {
            client.put("0x1", "formula", &code(round % 4));
            round += 1;
        }
        done.store(true, Ordering::Relaxed);
    });
    let mut client = Client::new(&server);
    let mut kept = 0;
    for formula in 0..4 {
        client.put("0x1", "formula", &code(formula));
        for n in 0..50 {
            let (result, was_kept) = client.result("0x1", "", &format!("{{\"xs\":{n}}}"));
            assert_eq!(result, json!(formula));
            kept += u32::from(was_kept);
        }
    }
    assert!(kept > 0);
}

#[test]
fn a_flood_of_results_stays_within_the_bound() {
    let server = server(&[("result-cache", "1MiB")]);
    let mut client = Client::new(&server);
    client.put("0x1", "formula", "(str(x) * 50000)[:50000]");
    for n in 0..100 {
        let (result, _) = client.result("0x1", "", &format!("{{\"x\":{n}}}"));
        assert_eq!(result.as_str().map(str::len), Some(50_000));
        let stats = client.stats();
        assert!(stats["bytes"].as_u64() <= Some(1024 * 1024), "{stats}");
    }
    let stats = client.stats();
    assert_eq!(stats["bytes_max"], json!(1024 * 1024));
    let count = |name: &str| stats[name].as_u64().expect("a count");
    assert!(count("entries") > 5 && count("evictions") > 50, "{stats}");
    assert_eq!(count("entries") + count("evictions"), 100);
}
