//! A user of the server: data of its own, one request after the other, and for each answer whether it is right.
//!
//! Each user knows what it has put there, so that answers can be checked exactly: results, values after a
//! change, counts of relationships, lengths of paths. What it creates and deletes in the course of a run stays
//! between two bounds, so that a run of an hour holds no more than one of a minute.

use super::mix::{Mix, Operation};
use super::random::Random;
use super::wire::{Answer, Connection, Target};
use memchr::memmem;

/// Substrates that come and go, at least and at most.
const POOL_MIN: usize = 20;
const POOL_MAX: usize = 200;
/// Substrates of a batch.
const BATCH: u64 = 5;
/// Leaves of the standing hub.
const LEAVES: u64 = 5;
/// The metadata key by which a user finds its own; indexed.
pub const OWNER_KEY: &str = "load_owner";

/// A request that has been sent and what its answer must be.
#[derive(Clone, Debug, Default)]
struct Expected {
    /// Statuses, any of these.
    statuses: &'static [u16],
    /// Texts that the body must hold.
    texts: Vec<String>,
}

/// What a user does with an answer that is right.
#[derive(Clone, Copy, Debug)]
enum Then {
    Nothing,
    /// The answer names a new substrate that multiplies by this number.
    Created(u64),
    /// These, so many from this number on, exist now under identities of our choice.
    CreatedBatch(u64),
    /// The price is this now.
    Priced(u64),
}

/// A substrate that comes and goes: `x * factor + y`.
#[derive(Clone, Debug)]
struct Pooled {
    id: String,
    factor: u64,
}

/// One user.
#[derive(Debug)]
pub struct User {
    target: Target,
    random: Random,
    /// Distinguishes this user of this run from all others in identities and formulas.
    base: u64,
    owner: String,
    sequence: u64,
    pool: Vec<Pooled>,
    price: u64,
    /// A change of the price was not answered: it may or may not have taken effect.
    is_price_in_doubt: bool,
}

/// Why an answer is wrong: a short kind to count by, and one example.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Counted by this.
    pub kind: String,
    /// What came, shortened.
    pub example: String,
}

impl User {
    /// User number `number` of the run `run`.
    pub fn new(target: Target, run: u16, number: u64) -> User {
        User {
            target,
            random: Random::new((u64::from(run) << 32) | number),
            // 16 bits of run, then 10 of user, then 34 of sequence: products with small numbers stay below 2^63.
            base: u64::from(run) * 1_000_000_000_000 + number * 1_000_000_000,
            owner: format!("{run}-{number}"),
            sequence: 1_000,
            pool: Vec::new(),
            price: 1,
            is_price_in_doubt: false,
        }
    }

    /// Creates what stands during the whole run. The connection is not counted or measured.
    ///
    /// # Errors
    /// A sentence, where the server does not take it.
    pub fn set_up(&mut self, connection: &mut Connection) -> Result<(), String> {
        let mut lines: Vec<String> = vec![
            self.constant(0, "1"),
            self.constant(1, "3"),
            self.constant(2, "7"),
            self.line(3, "formula", "price * quantity + fee"),
        ];
        // 4, 5, 6 are a chain, 7 a hub and its leaves behind it.
        lines.extend((4..8 + LEAVES).map(|at| self.constant(at, &at.to_string())));
        let path = "/api/v1/substrates/batch?results=none&atomic=true";
        self.must(connection, "POST", path, &format!("[{}]", lines.join(",")))?;
        let id = |at| self.standing(at);
        let mut links: Vec<String> = (4..6).map(|at| link("LINEAGE", &id(at), &id(at + 1), "{}")).collect();
        links.extend((8..8 + LEAVES).map(|at| link("CONTAINMENT", &id(7), &id(at), "{}")));
        for (at, parameter) in [(0, "price"), (1, "quantity"), (2, "fee")] {
            let constraints = format!("{{\"parameter\":\"{parameter}\"}}");
            links.push(link("ATTRIBUTE", &id(3), &id(at), &constraints));
        }
        let path = "/api/v1/relationships/batch?results=none&atomic=true";
        self.must(connection, "POST", path, &format!("[{}]", links.join(",")))?;
        while self.pool.len() < 2 * POOL_MIN {
            self.run(Operation::CreateBatch, connection)
                .map_err(|wrong| format!("the server does not take a batch: {}", wrong.example))?;
        }
        Ok(())
    }

    /// One operation of the mix, and whether its answer was right.
    ///
    /// # Errors
    /// What was wrong with it.
    pub fn step(&mut self, mix: &Mix, connection: &mut Connection) -> (Operation, Result<(), Wrong>) {
        let drawn = mix.draw(&mut self.random);
        let operation = match drawn {
            Operation::Create | Operation::CreateBatch if self.pool.len() >= POOL_MAX => Operation::Delete,
            Operation::Delete if self.pool.len() <= POOL_MIN => Operation::Create,
            other => other,
        };
        (operation, self.run(operation, connection))
    }

    fn run(&mut self, operation: Operation, connection: &mut Connection) -> Result<(), Wrong> {
        let (request, expected, then) = self.prepare(operation);
        let answer = connection.exchange(&request).map_err(|broken| {
            self.is_price_in_doubt |= matches!(then, Then::Priced(_));
            Wrong { kind: broken.name().to_owned(), example: operation.name().to_owned() }
        })?;
        check(operation, &expected, &answer)?;
        match then {
            Then::Nothing => {}
            Then::Priced(price) => (self.price, self.is_price_in_doubt) = (price, false),
            Then::Created(factor) => {
                if let Some(id) = substrate_id(&answer.body) {
                    self.pool.push(Pooled { id, factor });
                }
            }
            Then::CreatedBatch(first) => {
                let new = (first..first + BATCH).map(|factor| Pooled { id: hex(factor), factor });
                self.pool.extend(new);
            }
        }
        Ok(())
    }

    /// The request of an operation, what its answer must be, and what follows.
    fn prepare(&mut self, operation: Operation) -> (Vec<u8>, Expected, Then) {
        let mut then = Then::Nothing;
        let (method, path, body, statuses, texts): (_, String, String, &'static [u16], Vec<String>) =
            match operation {
                Operation::Get => {
                    let one = self.any();
                    (
                        "GET",
                        format!("/api/v1/substrates/{}", one.id),
                        String::new(),
                        &[200],
                        vec![format!("\"substrate_id\":\"{}\"", one.id), format!("* {} + kw", one.factor)],
                    )
                }
                Operation::List => {
                    let path = "/api/v1/substrates?limit=20".to_owned();
                    ("GET", path, String::new(), &[200], vec!["{\"substrates\":[{".to_owned()])
                }
                Operation::Invoke => {
                    let one = self.any();
                    let (x, y) = (self.random.below(10), self.random.below(1_000));
                    let result = one.factor * x + y;
                    let body = format!("{{\"parameters\":{{\"x\":{x},\"y\":{y}}}}}");
                    let path = format!("/api/v1/substrates/{}/invoke", one.id);
                    ("POST", path, body, &[200], vec![format!("\"result\":{result},")])
                }
                Operation::BatchInvoke => {
                    let mut items = Vec::new();
                    let mut texts = Vec::new();
                    for _ in 0..BATCH {
                        let one = self.any();
                        let (x, y) = (self.random.below(10), self.random.below(1_000));
                        texts.push(format!("\"result\":{},", one.factor * x + y));
                        items.push(format!(
                            "{{\"substrate_id\":\"{}\",\"parameters\":{{\"x\":{x},\"y\":{y}}}}}",
                            one.id
                        ));
                    }
                    let body = format!("{{\"invocations\":[{}]}}", items.join(","));
                    ("POST", "/api/v1/substrates/batch/invoke".to_owned(), body, &[200], texts)
                }
                Operation::Value => {
                    let path = format!("/api/v1/substrates/{}/value", self.standing(3));
                    let value = self.price * 3 + 7;
                    let text = if self.is_price_in_doubt {
                        "\"value\":".into()
                    } else {
                        format!("\"value\":{value}}}")
                    };
                    ("GET", path, String::new(), &[200], vec![text])
                }
                Operation::Search => {
                    let body = format!(
                        "{{\"filter\":{{\"metadata.{OWNER_KEY}\":\"{}\",\"metadata.size\":{{\"$gte\":5}}}},\"limit\":10}}",
                        self.owner
                    );
                    let owner = format!("\"{OWNER_KEY}\":\"{}\"", self.owner);
                    ("POST", "/api/v1/query/search".to_owned(), body, &[200], vec![owner])
                }
                Operation::Outgoing => {
                    let path = format!("/api/v1/relationships/outgoing/{}", self.standing(7));
                    ("GET", path, String::new(), &[200], vec![format!("\"count\":{LEAVES}")])
                }
                Operation::Incoming => {
                    let path = format!("/api/v1/relationships/incoming/{}", self.any().id);
                    ("GET", path, String::new(), &[200], vec!["\"count\":".to_owned()])
                }
                Operation::Traverse => {
                    let start = self.standing(7);
                    let body = format!("{{\"start_id\":\"{start}\",\"max_depth\":3}}");
                    let last = format!("\"substrate_id\":\"{}\",\"depth\":1", self.standing(7 + LEAVES));
                    let texts = vec![last, "\"truncated\":false".to_owned()];
                    ("POST", "/api/v1/query/traverse".to_owned(), body, &[200], texts)
                }
                Operation::Path => {
                    let (source, target) = (self.standing(4), self.standing(6));
                    let body = format!("{{\"source_id\":\"{source}\",\"target_id\":\"{target}\"}}");
                    let length = "\"length\":2".to_owned();
                    ("POST", "/api/v1/query/path".to_owned(), body, &[200], vec![length])
                }
                Operation::Patch => {
                    let price = 1 + self.random.below(1_000_000);
                    then = Then::Priced(price);
                    let path = format!("/api/v1/substrates/{}", self.standing(0));
                    let body =
                        format!("{{\"expression_code\":\"{price}\",\"metadata\":{{\"last\":{price}}}}}");
                    ("PATCH", path, body, &[200], vec![format!("\"last\":{price}")])
                }
                Operation::Create => {
                    let factor = self.next_number();
                    then = Then::Created(factor);
                    let body = self.pooled(factor, false);
                    let text = format!("* {factor} + kw");
                    ("POST", "/api/v1/substrates".to_owned(), body, &[201], vec![text])
                }
                Operation::CreateBatch => {
                    let first = self.next_number();
                    self.sequence += BATCH - 1;
                    then = Then::CreatedBatch(first);
                    let items: Vec<String> =
                        (first..first + BATCH).map(|factor| self.pooled(factor, true)).collect();
                    let body = format!("{{\"substrates\":[{}]}}", items.join(","));
                    let text = format!("\"created\":{BATCH},\"failed\":0");
                    ("POST", "/api/v1/substrates/batch".to_owned(), body, &[200], vec![text])
                }
                Operation::CreateRelationship => {
                    let (source, target) = (self.any(), self.any());
                    let body = link("DEPENDENCY", &source.id, &target.id, "{}");
                    let path = "/api/v1/relationships?on_conflict=return".to_owned();
                    let text = format!("\"source_id\":\"{}\"", source.id);
                    ("POST", path, body, &[200, 201], vec![text])
                }
                Operation::Delete => {
                    let at = self.random.below(self.pool.len() as u64) as usize;
                    let id = if self.pool.is_empty() { hex(0) } else { self.pool.swap_remove(at).id };
                    ("DELETE", format!("/api/v1/substrates/{id}"), String::new(), &[204], Vec::new())
                }
            };
        (self.target.request(method, &path, &body), Expected { statuses, texts }, then)
    }

    /// One of the substrates that come and go.
    fn any(&mut self) -> Pooled {
        let at = self.random.below(self.pool.len() as u64) as usize;
        self.pool.get(at).cloned().unwrap_or(Pooled { id: hex(0), factor: 0 })
    }

    fn next_number(&mut self) -> u64 {
        self.sequence += 1;
        self.base + self.sequence
    }

    /// The identity of one that stands.
    fn standing(&self, at: u64) -> String {
        hex(self.base + at)
    }

    fn constant(&self, at: u64, text: &str) -> String {
        self.line(at, "constant", text)
    }

    /// One that stands, as JSON.
    fn line(&self, at: u64, kind: &str, code: &str) -> String {
        format!(
            "{{\"identity\":\"{}\",\"expression_type\":\"{kind}\",\"expression_code\":\"{code}\",\"metadata\":{{\"{OWNER_KEY}\":\"{}\",\"size\":{at}}}}}",
            self.standing(at),
            self.owner
        )
    }

    /// One that comes and goes, as JSON.
    fn pooled(&self, factor: u64, with_identity: bool) -> String {
        let identity =
            if with_identity { format!("\"identity\":\"{}\",", hex(factor)) } else { String::new() };
        format!(
            "{{{identity}\"expression_type\":\"lambda\",\"expression_code\":\"lambda **kw: kw.get('x', 0) * {factor} + kw.get('y', 0)\",\"metadata\":{{\"{OWNER_KEY}\":\"{}\",\"name\":\"substrate_{factor}\",\"size\":{}}}}}",
            self.owner,
            factor % 10
        )
    }

    fn must(&self, connection: &mut Connection, method: &str, path: &str, body: &str) -> Result<(), String> {
        let answer = connection.exchange(&self.target.request(method, path, body));
        match answer {
            Ok(answer) if answer.status < 300 => Ok(()),
            Ok(answer) => Err(format!("{method} {path}: {} {}", answer.status, shortened(&answer.body))),
            Err(broken) => Err(format!("{method} {path}: {}", broken.name())),
        }
    }
}

fn check(operation: Operation, expected: &Expected, answer: &Answer) -> Result<(), Wrong> {
    let wrong = |kind: String| Err(Wrong { kind, example: shortened(&answer.body) });
    if !expected.statuses.contains(&answer.status) {
        return wrong(format!("{}: status {}", operation.name(), answer.status));
    }
    match expected.texts.iter().find(|text| memmem::find(&answer.body, text.as_bytes()).is_none()) {
        None => Ok(()),
        Some(text) => {
            let example = format!("no {text} in {}", shortened(&answer.body));
            Err(Wrong { kind: format!("{}: wrong body", operation.name()), example })
        }
    }
}

/// The identity that a body names first.
fn substrate_id(body: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"\"substrate_id\":\"";
    let begin = memmem::find(body, NAME)? + NAME.len();
    let id = body.get(begin..begin + 18)?;
    std::str::from_utf8(id).ok().map(str::to_owned)
}

fn hex(number: u64) -> String {
    format!("0x{number:016X}")
}

fn link(rel_type: &str, source: &str, target: &str, constraints: &str) -> String {
    format!(
        "{{\"rel_type\":\"{rel_type}\",\"source_id\":\"{source}\",\"target_id\":\"{target}\",\"constraints\":{constraints}}}"
    )
}

fn shortened(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(300).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_of_different_users_have_nothing_in_common() {
        let target = Target::parse("http://127.0.0.1:1").expect("parses");
        let mut seen = std::collections::BTreeSet::new();
        for number in 0..50 {
            let mut user = User::new(target.clone(), 9, number);
            for _ in 0..50 {
                let (request, ..) = user.prepare(Operation::Create);
                assert!(seen.insert(request));
            }
        }
    }

    #[test]
    fn wrong_answers_are_told_apart() {
        let expected = Expected { statuses: &[200], texts: vec!["\"result\":42,".to_owned()] };
        let told = |status, body: &str| {
            let answer = Answer { status, body: body.as_bytes().to_vec() };
            check(Operation::Invoke, &expected, &answer).map_err(|wrong| wrong.kind)
        };
        assert_eq!(told(200, "{\"result\":42,"), Ok(()));
        assert_eq!(told(200, "{\"result\":421,"), Err("invoke: wrong body".to_owned()));
        assert_eq!(told(503, "{\"result\":42,"), Err("invoke: status 503".to_owned()));
        assert_eq!(substrate_id(b"{\"substrate_id\":\"0x00000000000000A2\"}"), Some(hex(0xA2)));
    }
}
