//! Clients that change the same few substrates see one order of events, also across a kill: each request takes
//! effect at one moment between its beginning and its answer, and one that was never answered before
//! the kill, or not at all. What anybody has read is never taken back.

use super::process::{Server, with_fault};
use super::wire::{Answer, Connection};
use super::{Random, seed};
use rustix::process::Signal;
use serde_json::json;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const CLIENTS: u64 = 4;
const SUBSTRATES: u64 = 3;

/// A substrate: its version, and the number of the request that wrote its content. `None`: not there.
type State = Option<(u64, u64)>;

/// What was asked.
#[derive(Clone, Copy, Debug)]
enum Ask {
    Put(u64),
    /// Write, if it is as this number wrote it (the tag of that was sent).
    PatchIf(u64, u64),
    DeleteIf(u64),
    Delete,
    Get,
}

/// What was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answered {
    /// This state, made or read.
    Is(u64, u64),
    Gone,
    Missing,
    OtherState,
}

#[derive(Clone)]
struct Event {
    ask: Ask,
    answered: Option<Answered>,
    begun: Instant,
    /// When it was answered, or when it was certain that it never would be.
    ended: Instant,
}

impl Event {
    /// In microseconds since a moment.
    fn text(&self, since: Instant) -> String {
        let at = |moment: Instant| moment.saturating_duration_since(since).as_micros();
        format!("{:>8} to {:>8}: {:?} -> {:?}", at(self.begun), at(self.ended), self.ask, self.answered)
    }
}

/// The state and the answer after a request.
fn apply(state: State, ask: Ask) -> (State, Answered) {
    match (ask, state) {
        (Ask::Put(number), state) => {
            let version = state.map_or(1, |(version, _)| version + 1);
            (Some((version, number)), Answered::Is(version, number))
        }
        // A condition does not hold of what is not there.
        (Ask::PatchIf(..) | Ask::DeleteIf(_), None) => (None, Answered::OtherState),
        (Ask::Delete | Ask::Get, None) => (None, Answered::Missing),
        (Ask::PatchIf(condition, number), Some((version, now))) if condition == now => {
            (Some((version + 1, number)), Answered::Is(version + 1, number))
        }
        (Ask::DeleteIf(condition), Some((_, now))) if condition == now => (None, Answered::Gone),
        (Ask::PatchIf(..) | Ask::DeleteIf(_), state) => (state, Answered::OtherState),
        (Ask::Delete, Some(_)) => (None, Answered::Gone),
        (Ask::Get, Some((version, now))) => (state, Answered::Is(version, now)),
    }
}

/// Looks for an order that explains all answers (Wing and Gong, with what failed once remembered). Gives how many
/// events the longest attempt explained.
fn explain(events: &mut [Event]) -> usize {
    events.sort_by_key(|event| event.begun);
    let mut tried: HashSet<(usize, Vec<usize>, State)> = HashSet::new();
    // A node: all before `low` are done; of those behind, these are; the state.
    let mut open = vec![(0, Vec::<usize>::new(), None::<(u64, u64)>)];
    let mut longest = 0;
    while let Some((low, done, state)) = open.pop() {
        longest = longest.max(low);
        if low == events.len() {
            return low;
        }
        if !tried.insert((low, done.clone(), state)) {
            continue;
        }
        // Any may be next that began before all others ended.
        let left = || (low..events.len()).filter(|index| !done.contains(index));
        let first_end = left().map(|index| events[index].ended).min().expect("one is left");
        for index in left().take_while(|index| events[*index].begun <= first_end) {
            let event = &events[index];
            let (after, answer) = apply(state, event.ask);
            let mut followers = Vec::new();
            match event.answered {
                Some(answered) if answered != answer => {}
                Some(_) => followers.push(after),
                None => followers.extend([state, after]),
            }
            for after in followers {
                let mut done = done.clone();
                done.push(index);
                done.sort_unstable();
                let mut low = low;
                while done.first() == Some(&low) {
                    done.remove(0);
                    low += 1;
                }
                open.push((low, done, after));
            }
        }
    }
    longest
}

/// What one client did, for each substrate.
struct Client {
    number: u64,
    random: Random,
    count: u64,
    events: Vec<Vec<Event>>,
    /// The last tag seen of each substrate, and who wrote what it names.
    seen: Vec<Option<(String, u64)>>,
    /// Every tag seen, by substrate, and who wrote what it names.
    tags: HashMap<(u64, String), u64>,
}

impl Client {
    fn new(number: u64, seed: u64) -> Client {
        Client {
            number,
            random: Random(seed ^ (number << 40)),
            count: 0,
            events: vec![Vec::new(); SUBSTRATES as usize],
            seen: vec![None; SUBSTRATES as usize],
            tags: HashMap::new(),
        }
    }

    /// One request. `false`: it was not answered.
    fn step(&mut self, connection: &mut Connection, answered: &AtomicU64) -> bool {
        self.count += 1;
        let number = self.count * CLIENTS + self.number;
        let which = self.random.below(SUBSTRATES);
        let seen = self.seen[which as usize].clone();
        let path = format!("/api/v1/substrates/0x{:016X}", which + 1);
        let put = json!({"expression_type": "constant", "expression_code": "1", "metadata": {"n": number}})
            .to_string();
        let patch = json!({"metadata": {"n": number}}).to_string();
        let (ask, method, condition, body) = match (self.random.below(20), seen) {
            (0..5, _) => (Ask::Put(number), "PUT", None, put),
            (5..11, Some((tag, writer))) => (Ask::PatchIf(writer, number), "PATCH", Some(tag), patch),
            (11, Some((tag, writer))) => (Ask::DeleteIf(writer), "DELETE", Some(tag), String::new()),
            (12, _) => (Ask::Delete, "DELETE", None, String::new()),
            _ => (Ask::Get, "GET", None, String::new()),
        };
        let headers: Vec<(&str, &str)> = condition.iter().map(|tag| ("if-match", tag.as_str())).collect();
        let begun = Instant::now();
        let answer = connection.ask(&format!("{method} {path}"), &headers, &body);
        let ended = Instant::now();
        let outcome = answer.as_ref().map(|answer| self.read(which, answer));
        self.events[which as usize].push(Event { ask, answered: outcome, begun, ended });
        answered.fetch_add(1, Ordering::Relaxed);
        answer.is_some()
    }

    fn read(&mut self, which: u64, answer: &Answer) -> Answered {
        match answer.status {
            200 | 201 => {
                let body = answer.json();
                let number = |name: &serde_json::Value| name.as_u64().expect("a number");
                let (version, writer) = (number(&body["version"]), number(&body["metadata"]["n"]));
                let tag = answer.etag.clone().expect("a tag");
                let other = self.tags.insert((which, tag.clone()), writer);
                assert!(other.is_none_or(|other| other == writer), "{tag} names two states");
                self.seen[which as usize] = Some((tag, writer));
                Answered::Is(version, writer)
            }
            204 => Answered::Gone,
            404 => Answered::Missing,
            412 => Answered::OtherState,
            _ => panic!("{} {}", answer.status, answer.body),
        }
    }
}

/// Clients share substrates of a server that dies and comes back this often.
fn check(wrapper: &[&str], flags: &[&str], rounds: u64) {
    let seed = seed();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut clients: Vec<Client> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
    for _ in 0..rounds {
        let server = Server::start_below(wrapper, &data, flags);
        let started = Instant::now();
        let answered = AtomicU64::new(0);
        thread::scope(|scope| {
            for client in &mut clients {
                let (mut connection, answered) = (server.connection(), &answered);
                scope.spawn(move || while client.step(&mut connection, answered) {});
            }
            while answered.load(Ordering::Relaxed) < 400 {
                thread::sleep(Duration::from_millis(1));
            }
            server.signal(Signal::KILL);
        });
        server.kill();
        // What this server did not answer may have taken effect until it was gone.
        let gone = Instant::now();
        let events = clients.iter_mut().flat_map(|client| &mut client.events).flatten();
        let lost = events.filter(|event| event.answered.is_none() && event.begun > started);
        lost.for_each(|event| event.ended = event.ended.max(gone));
    }
    let server = Server::start(&data, flags);
    let mut last = Client::new(CLIENTS, seed);
    for which in 0..SUBSTRATES {
        let begun = Instant::now();
        let answer = server.ask(&format!("GET /api/v1/substrates/0x{:016X}", which + 1), "");
        let answered = Some(last.read(which, &answer));
        last.events[which as usize].push(Event { ask: Ask::Get, answered, begun, ended: Instant::now() });
    }
    clients.push(last);
    let mut tags: HashMap<(u64, String), u64> = HashMap::new();
    for (tag, writer) in clients.iter().flat_map(|client| &client.tags) {
        let other = tags.insert(tag.clone(), *writer);
        assert!(other.is_none_or(|other| other == *writer), "{tag:?} names what two requests wrote");
    }
    for which in 0..SUBSTRATES as usize {
        let mut events: Vec<Event> = clients.iter().flat_map(|client| client.events[which].clone()).collect();
        let explained = explain(&mut events);
        let near = &events[explained.saturating_sub(10)..events.len().min(explained + 10)];
        let texts: Vec<String> = near.iter().map(|event| event.text(near[0].begun)).collect();
        assert_eq!(explained, events.len(), "no order explains\n{}", texts.join("\n"));
    }
}

#[test]
fn one_order_of_events() {
    check(&[], &[], 4);
}

/// What is not written yet, though planned, is nobody's to see: here it takes long to write.
#[test]
fn one_order_of_events_with_a_slow_disk() {
    let Some(wrapper) = with_fault("pwrite64:delay_enter=500") else { return };
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    check(&wrapper, &[], 4);
}

#[test]
fn one_order_of_events_with_syncs_at_intervals() {
    check(&[], &["--durability=interval"], 3);
}

/// The search itself: it finds orders where there are some, and none where there are none.
#[test]
fn the_search_tells_right_from_wrong() {
    let start = Instant::now();
    let event = |ask, answered, begun: u64, ended: u64| Event {
        ask,
        answered,
        begun: start + std::time::Duration::from_secs(begun),
        ended: start + std::time::Duration::from_secs(ended),
    };
    let (is, missing) = (|version, number| Some(Answered::Is(version, number)), Some(Answered::Missing));
    for (at, (is_right, mut events)) in [
        // One after the other.
        (true, vec![event(Ask::Put(1), is(1, 1), 0, 1), event(Ask::Get, is(1, 1), 2, 3)]),
        (false, vec![event(Ask::Put(1), is(1, 1), 0, 1), event(Ask::Get, missing, 2, 3)]),
        // At the same time: either.
        (true, vec![event(Ask::Put(1), is(1, 1), 0, 3), event(Ask::Get, missing, 1, 2)]),
        (true, vec![event(Ask::Put(1), is(1, 1), 0, 3), event(Ask::Get, is(1, 1), 1, 2)]),
        // What was read is not taken back.
        (
            false,
            vec![
                event(Ask::Put(1), is(1, 1), 0, 9),
                event(Ask::Get, is(1, 1), 1, 2),
                event(Ask::Get, missing, 3, 4),
            ],
        ),
        // Never answered: it happened or not, but not both, and not after it was impossible.
        (true, vec![event(Ask::Put(1), None, 0, 1), event(Ask::Get, missing, 2, 3)]),
        (true, vec![event(Ask::Put(1), None, 0, 1), event(Ask::Get, is(1, 1), 2, 3)]),
        (
            false,
            vec![
                event(Ask::Put(1), None, 0, 1),
                event(Ask::Get, missing, 2, 3),
                event(Ask::Get, is(1, 1), 4, 5),
            ],
        ),
        // Of two conditional changes of one state, one wins.
        (
            false,
            vec![
                event(Ask::Put(1), is(1, 1), 0, 1),
                event(Ask::PatchIf(1, 2), is(2, 2), 2, 5),
                event(Ask::PatchIf(1, 3), is(2, 3), 2, 5),
            ],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        assert_eq!(explain(&mut events) == events.len(), is_right, "case {at}");
    }
}
