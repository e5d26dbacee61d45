//! A client that changes things at random, knows what the server must answer, and writes down what was
//! acknowledged. Each has identities of its own, so what it expects is exact.

use super::Random;
use super::model::{Change, Item, Model, Step, holds, key_of};
use super::process::Server;
use super::wire::{Answer, Connection};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

const TYPES: [&str; 3] = ["PART_TO_WHOLE", "DEPENDENCY", "LINEAGE"];
const NDJSON: &str = "application/x-ndjson";
/// So many identities are created, changed and deleted one at a time; batches create behind them.
const SLOTS: u64 = 40;
const BATCH_SLOTS: u64 = 400;
/// No large batches beyond.
const ITEMS_MAX: usize = 3000;

/// A client.
#[derive(Debug)]
pub(crate) struct Client {
    number: u64,
    random: Random,
    count: u64,
    pub(crate) model: Model,
    /// What was asked for and not answered.
    pub(crate) pending: Option<Change>,
}

/// A request, what it changes, and how it must be answered.
struct Operation {
    request: String,
    headers: Vec<(&'static str, String)>,
    body: String,
    change: Change,
    expect: Expect,
}

enum Expect {
    /// With this status, and nothing changes.
    Refused(u16),
    /// With this item.
    Found(String),
    /// With this status and the item of the first step, but for deletions.
    Done(u16),
    /// With a result for each item: what its step makes, or a problem.
    Each(Vec<bool>),
    /// With these numbers of items created and refused.
    Counts(u64, u64),
}

impl Client {
    pub(crate) fn new(number: u64, seed: u64) -> Client {
        let mut random = Random(seed ^ (number << 32));
        random.next();
        Client { number, random, count: 0, model: Model::new(), pending: None }
    }

    /// Whether an item is this client's.
    pub(crate) fn owns(&self, key: &str) -> bool {
        key.contains(&self.prefix())
    }

    fn prefix(&self) -> String {
        format!("0x{:04X}", self.number + 1)
    }

    fn identity(&self, slot: u64) -> String {
        format!("{}{slot:012X}", self.prefix())
    }

    /// Asks until the connection breaks or `enough` says so; counts what was acknowledged.
    pub(crate) fn work(&mut self, server: &Server, acknowledged: &AtomicU64, enough: impl Fn() -> bool) {
        let mut connection = server.connection();
        while !enough() {
            if !self.step(&mut connection) {
                return;
            }
            acknowledged.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One request. `false`: it was not answered.
    pub(crate) fn step(&mut self, connection: &mut Connection) -> bool {
        assert!(self.pending.is_none(), "what came of the last change must be found out first");
        let Operation { request, headers, body, change, expect } = self.choose();
        let headers: Vec<(&str, &str)> =
            headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        match connection.ask(&request, &headers, &body) {
            Some(answer) => {
                self.acknowledge(&request, &answer, change, &expect);
                true
            }
            None => {
                self.pending = Some(change);
                false
            }
        }
    }

    /// Every item whose tag is known is answered as it was acknowledged, on its own.
    #[track_caller]
    pub(crate) fn read_back(&self, connection: &mut Connection, items_max: usize) {
        let tagged = self.model.iter().filter(|(_, item)| item.etag.is_some());
        for (id, item) in tagged.take(items_max) {
            let answer = connection.ask(&format!("GET /api/v1/substrates/{id}"), &[], "").expect("an answer");
            assert_eq!((answer.status, &answer.json(), &answer.etag), (200, &item.body, &item.etag));
        }
    }

    #[track_caller]
    fn acknowledge(&mut self, request: &str, answer: &Answer, change: Change, expect: &Expect) {
        let context = || format!("{request}: {} {}", answer.status, answer.body);
        match expect {
            Expect::Refused(status) => assert_eq!(answer.status, *status, "{}", context()),
            Expect::Found(key) => {
                assert_eq!(answer.status, 200, "{}", context());
                let item = self.model.get_mut(key).expect("known");
                let body = answer.json();
                let is_same = if item.whole { item.body == body } else { holds(&item.body, &body) };
                assert!(is_same, "{} is not {item:?}", context());
                assert!(item.etag.is_none() || item.etag == answer.etag, "{:?} is not {item:?}", answer.etag);
                *item = Item { body, etag: answer.etag.clone(), whole: true };
            }
            Expect::Done(status) => {
                assert_eq!(answer.status, *status, "{}", context());
                for step in change.steps {
                    let Some(part) = step.after else {
                        self.model.remove(&step.key);
                        continue;
                    };
                    self.keep(step.key, &part, answer.json(), answer.etag.clone());
                }
            }
            Expect::Each(made) => {
                assert_eq!(answer.status, 200, "{}", context());
                let results = answer.json()["results"].as_array().expect("results").clone();
                assert_eq!(results.len(), made.len(), "{}", context());
                let mut steps = change.steps.into_iter();
                for (body, is_made) in results.into_iter().zip(made) {
                    if *is_made {
                        let step = steps.next().expect("a step");
                        self.keep(step.key, &step.after.unwrap_or_default(), body, None);
                    } else {
                        assert!(body.get("code").is_some(), "{body} is no refusal");
                    }
                }
            }
            Expect::Counts(created, failed) => {
                assert_eq!(answer.status, 200, "{}", context());
                assert_eq!(answer.json(), json!({"created": created, "failed": failed}), "{request}");
                for step in change.steps {
                    let body = step.after.unwrap_or_default();
                    self.model.insert(step.key, Item { body, etag: None, whole: false });
                }
            }
        }
    }

    #[track_caller]
    fn keep(&mut self, key: String, part: &Value, mut body: Value, etag: Option<String>) {
        assert_eq!(key_of(&mut body), key, "{body}");
        assert!(holds(part, &body), "{body} does not hold {part}");
        if let Some(before) = self.model.get(&key)
            && before.whole
        {
            assert_eq!(before.body["created_at"], body["created_at"], "{key} was made anew");
        }
        self.model.insert(key, Item { body, etag, whole: true });
    }

    fn choose(&mut self) -> Operation {
        self.count += 1;
        match self.random.below(100) {
            0..20 => self.create(),
            20..35 => self.put(),
            35..50 => self.patch(),
            50..60 => self.delete(),
            60..72 => self.relate(),
            72..77 => self.unrelate(),
            77..85 => self.substrates(),
            85..89 => self.relationships(),
            89..92 => self.index(),
            _ => self.get(),
        }
    }

    fn slot(&mut self) -> String {
        let slot = self.random.below(SLOTS);
        self.identity(slot)
    }

    /// A substrate's new content, never the same twice.
    fn content(&mut self, text_max: u64) -> Value {
        let length = self.random.below(text_max) as usize;
        let count = self.count;
        json!({
            "expression_type": "lambda",
            "expression_code": format!("lambda x, y: x * {count} + y"),
            "metadata": {"n": count, "client": self.number, "text": "wörter ".repeat(length / 7), "f": 0.1},
        })
    }

    fn change_one(&self, request: String, key: &str, status: u16, body: &Value, after: Value) -> Operation {
        Operation {
            request,
            headers: Vec::new(),
            body: if body.is_null() { String::new() } else { body.to_string() },
            change: Change { steps: vec![Step { key: key.to_owned(), after: Some(after) }], atomic: true },
            expect: Expect::Done(status),
        }
    }

    fn refused(mut operation: Operation, status: u16) -> Operation {
        operation.change = Change::default();
        operation.expect = Expect::Refused(status);
        operation
    }

    fn create(&mut self) -> Operation {
        let id = self.slot();
        let mut body = self.content(2000);
        let after = with(&body, json!({"substrate_id": id, "version": 1}));
        body["identity"] = json!(id);
        let operation = self.change_one("POST /api/v1/substrates".into(), &id, 201, &body, after);
        if self.model.contains_key(&id) { Client::refused(operation, 409) } else { operation }
    }

    fn put(&mut self) -> Operation {
        let id = self.slot();
        let body = self.content(2000);
        let before = self.model.get(&id);
        let version = before.map_or(1, |item| item.body["version"].as_u64().unwrap_or_default() + 1);
        let after = with(&body, json!({"substrate_id": id, "version": version}));
        let status = if before.is_some() { 200 } else { 201 };
        let etag = before.and_then(|item| item.etag.clone());
        let mut operation =
            self.change_one(format!("PUT /api/v1/substrates/{id}"), &id, status, &body, after);
        if self.random.once_in(3) {
            if status == 201 {
                operation.headers.push(("if-none-match", "*".into()));
            } else if let Some(etag) = etag {
                let is_right = self.random.once_in(2);
                operation.headers.push(("if-match", if is_right { etag } else { "\"1-1\"".into() }));
                if !is_right {
                    return Client::refused(operation, 412);
                }
            }
        }
        operation
    }

    fn patch(&mut self) -> Operation {
        let id = self.slot();
        let content = self.content(500);
        let mut body = json!({"metadata": {"n": content["metadata"]["n"], "f": null, "patched": [1, 2]}});
        if self.random.once_in(2) {
            body["expression_code"] = content["expression_code"].clone();
        }
        let request = format!("PATCH /api/v1/substrates/{id}");
        let Some(before) = self.model.get(&id) else {
            return Client::refused(self.change_one(request, &id, 200, &body, Value::Null), 404);
        };
        let mut after =
            with(&before.body, json!({"version": before.body["version"].as_u64().unwrap_or_default() + 1}));
        after["metadata"] =
            with(&after["metadata"], json!({"n": content["metadata"]["n"], "patched": [1, 2]}));
        if let Some(members) = after["metadata"].as_object_mut() {
            members.remove("f");
        }
        if let Some(members) = after.as_object_mut() {
            members.remove("updated_at");
        }
        if let Some(code) = body.get("expression_code") {
            after["expression_code"] = code.clone();
        }
        self.change_one(request, &id, 200, &body, after)
    }

    fn delete(&mut self) -> Operation {
        // Now and then one that a batch made.
        let end = if self.random.once_in(3) { BATCH_SLOTS } else { SLOTS };
        let slot = self.random.below(end);
        let id = self.identity(slot);
        let mut operation =
            self.change_one(format!("DELETE /api/v1/substrates/{id}"), &id, 204, &Value::Null, Value::Null);
        if !self.model.contains_key(&id) {
            return Client::refused(operation, 404);
        }
        // Its relationships go with it.
        let gone = self.model.keys().filter(|key| key.contains(&id));
        operation.change.steps = gone.map(|key| Step { key: key.clone(), after: None }).collect();
        operation
    }

    fn new_relationship(&mut self) -> (String, Value) {
        let kind = TYPES[self.random.below(TYPES.len() as u64) as usize];
        let (source, target) = (self.slot(), self.slot());
        let body = json!({
            "rel_type": kind,
            "source_id": source,
            "target_id": target,
            "bidirectional": self.random.once_in(2),
            "constraints": {"n": self.count, "parameter": "x"},
            "lineage": if self.random.once_in(2) { json!(["a", self.count]) } else { Value::Null },
        });
        (format!("{kind} {source} {target}"), body)
    }

    /// Whether the ends of a new relationship are there; whether it is there itself.
    fn relationship_fits(&self, key: &str, body: &Value) -> (bool, bool) {
        let is_there = |name: &str| body[name].as_str().is_some_and(|id| self.model.contains_key(id));
        (is_there("source_id") && is_there("target_id"), self.model.contains_key(key))
    }

    fn relate(&mut self) -> Operation {
        let (key, body) = self.new_relationship();
        let operation = self.change_one("POST /api/v1/relationships".into(), &key, 201, &body, body.clone());
        match self.relationship_fits(&key, &body) {
            (false, _) => Client::refused(operation, 404),
            (true, true) => Client::refused(operation, 409),
            (true, false) => operation,
        }
    }

    fn unrelate(&mut self) -> Operation {
        let related: Vec<_> =
            self.model.iter().filter(|(_, item)| item.body.get("rel_type").is_some()).collect();
        let chosen = self.random.below(related.len() as u64) as usize;
        // One that is known by what was asked for only has no identity yet.
        let found = related.get(chosen).and_then(|(key, item)| {
            Some(((*key).clone(), item.body["relationship_id"].as_str()?.to_owned()))
        });
        let (key, id) = found.unwrap_or_default();
        let mut operation = self.change_one(
            format!("DELETE /api/v1/relationships/{id}"),
            &key,
            204,
            &Value::Null,
            Value::Null,
        );
        if id.is_empty() {
            return self.get();
        }
        operation.change.steps = vec![Step { key, after: None }];
        operation
    }

    fn substrates(&mut self) -> Operation {
        let is_large = self.random.once_in(8) && self.model.len() < ITEMS_MAX;
        let (count, text_max) = if is_large { (600, 1500) } else { (1 + self.random.below(20), 300) };
        let atomic = self.random.once_in(2);
        let (mut items, mut steps, mut made) = (Vec::new(), Vec::<Step>::new(), Vec::new());
        for index in 0..count {
            let slot = if is_large { self.count * 1000 + index } else { self.random.below(BATCH_SLOTS) };
            let id = self.identity(slot);
            let is_taken = self.model.contains_key(&id) || steps.iter().any(|step| step.key == id);
            // An atomic batch with one that is taken is refused as a whole: seldom wanted.
            if atomic && is_taken && !self.random.once_in(50) {
                continue;
            }
            let mut body = self.content(text_max);
            if !is_taken {
                let after = with(&body, json!({"substrate_id": id, "version": 1}));
                steps.push(Step { key: id.clone(), after: Some(after) });
            }
            body["identity"] = json!(id);
            items.push(body);
            made.push(!is_taken);
        }
        self.batch("substrates", items, steps, made, atomic)
    }

    fn relationships(&mut self) -> Operation {
        let atomic = self.random.once_in(2);
        let (mut items, mut steps, mut made) = (Vec::new(), Vec::<Step>::new(), Vec::new());
        for _ in 0..1 + self.random.below(10) {
            let (key, body) = self.new_relationship();
            let (has_ends, is_there) = self.relationship_fits(&key, &body);
            let is_made = has_ends && !is_there && !steps.iter().any(|step| step.key == key);
            if atomic && !is_made && !self.random.once_in(50) {
                continue;
            }
            if is_made {
                steps.push(Step { key, after: Some(body.clone()) });
            }
            items.push(body);
            made.push(is_made);
        }
        self.batch("relationships", items, steps, made, atomic)
    }

    fn batch(
        &mut self,
        what: &str,
        items: Vec<Value>,
        steps: Vec<Step>,
        made: Vec<bool>,
        atomic: bool,
    ) -> Operation {
        let as_lines = self.random.once_in(2);
        let counts_only = self.random.once_in(3);
        let (mut body, mut headers) = (String::new(), Vec::new());
        if as_lines {
            headers.push(("content-type", NDJSON.to_owned()));
            for item in &items {
                let _ = writeln!(body, "{item}");
            }
        }
        // An empty body has no type.
        if body.is_empty() {
            headers.clear();
            body = json!({what: items}).to_string();
        }
        let results = if counts_only { "none" } else { "all" };
        let failed = made.iter().filter(|is_made| !**is_made).count() as u64;
        let expect = match counts_only {
            true => Expect::Counts(steps.len() as u64, failed),
            false => Expect::Each(made),
        };
        let operation = Operation {
            request: format!("POST /api/v1/{what}/batch?atomic={atomic}&results={results}"),
            headers,
            body,
            change: Change { steps, atomic },
            expect,
        };
        if atomic && failed > 0 {
            return Client::refused(operation, 422);
        }
        operation
    }

    fn index(&mut self) -> Operation {
        let name = format!("{}-{}", self.prefix(), self.random.below(3));
        let key = format!("index {name}");
        let is_there = self.model.contains_key(&key);
        let after = json!({"metadata_key": name});
        if self.random.once_in(2) {
            let status = if is_there { 200 } else { 201 };
            return self.change_one(format!("PUT /api/v1/indexes/{name}"), &key, status, &Value::Null, after);
        }
        let mut operation =
            self.change_one(format!("DELETE /api/v1/indexes/{name}"), &key, 204, &Value::Null, after);
        if !is_there {
            return Client::refused(operation, 404);
        }
        operation.change.steps = vec![Step { key, after: None }];
        operation
    }

    fn get(&mut self) -> Operation {
        let slot = self.random.below(BATCH_SLOTS / 2);
        let id = self.identity(slot);
        let is_there = self.model.contains_key(&id);
        Operation {
            request: format!("GET /api/v1/substrates/{id}"),
            headers: Vec::new(),
            body: String::new(),
            change: Change::default(),
            expect: if is_there { Expect::Found(id) } else { Expect::Refused(404) },
        }
    }
}

/// An object with the members of another, which win.
fn with(object: &Value, others: Value) -> Value {
    let mut object = object.clone();
    if let (Some(members), Value::Object(others)) = (object.as_object_mut(), others) {
        members.extend(others);
    }
    object
}
