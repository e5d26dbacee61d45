//! Killed at any moment, a server comes back with every change that it acknowledged, whole, and no other but
//! the last of each client that was not answered.

use super::client::Client;
use super::model::{everything, reconcile};
use super::process::{Server, with_fault};
use super::{Random, seed};
use rustix::process::Signal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

const CLIENTS: u64 = 4;

/// How many times a server dies; `usual` where the environment does not say.
fn rounds(usual: u64) -> u64 {
    std::env::var("BUTTERFLYFX_KILL_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Servers with these flags, below these programs, die under load, one after the other on the same folder.
fn check(wrapper: &[&str], flags: &[&str], rounds: u64) {
    let seed = seed();
    let mut random = Random(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut clients: Vec<Client> = (0..CLIENTS).map(|number| Client::new(number, seed)).collect();
    for round in 0..rounds {
        let server = Server::start_below(wrapper, &data, flags);
        look(&server, &mut clients);
        let acknowledged = AtomicU64::new(0);
        let enough = 1 + random.below(if round % 4 == 0 { 5 } else { 300 });
        let more = Duration::from_micros(random.below(3000));
        thread::scope(|scope| {
            let working: Vec<_> = clients
                .iter_mut()
                .map(|client| scope.spawn(|| client.work(&server, &acknowledged, || false)))
                .collect();
            let is_over = || working.iter().any(thread::ScopedJoinHandle::is_finished);
            while acknowledged.load(Ordering::Relaxed) < enough && !is_over() {
                thread::yield_now();
            }
            // Not always just behind an answer: in the middle of what follows.
            thread::sleep(more);
            let is_early = is_over();
            server.signal(Signal::KILL);
            for thread in working {
                thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            }
            assert!(!is_early, "the server stopped to answer: {}", server.said());
        });
    }
    let server = Server::start(&data, flags);
    look(&server, &mut clients);
    assert_eq!(server.stop(), Some(0));
}

/// All that the server holds is what the clients know.
#[track_caller]
pub(crate) fn look(server: &Server, clients: &mut [Client]) {
    let mut connection = server.connection();
    let mut all = everything(&mut connection);
    for client in clients.iter_mut() {
        let (own, others) = all.into_iter().partition(|(key, _)| client.owns(key));
        all = others;
        reconcile(&mut client.model, client.pending.take().as_ref(), own);
        client.read_back(&mut connection, 100);
    }
    assert!(all.is_empty(), "nobody made these: {all:?}");
}

#[test]
fn killed_under_load() {
    check(&[], &[], rounds(20));
}

/// Nearly all of the time something is being written.
#[test]
fn killed_with_a_slow_disk() {
    let Some(wrapper) = with_fault("pwrite64:delay_enter=500") else { return };
    let wrapper: Vec<&str> = wrapper.iter().map(String::as_str).collect();
    check(&wrapper, &[], rounds(5));
}

#[test]
fn killed_with_syncs_at_intervals() {
    check(&[], &["--durability=interval", "--durability-interval=20ms"], rounds(5));
}

#[test]
fn killed_without_syncs() {
    check(&[], &["--durability=never"], rounds(5));
}
