//! An orderly stop under load: what was acknowledged is there, no log is left, the code is 0.

use super::client::Client;
use super::kill::look;
use super::process::Server;
use super::seed;
use rustix::process::Signal;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

#[test]
fn stopped_under_load() {
    let seed = seed();
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let mut clients: Vec<Client> = (0..4).map(|number| Client::new(number, seed)).collect();
    for round in 0..5 {
        let mut server = Server::start(&data, &[]);
        look(&server, &mut clients);
        let acknowledged = AtomicU64::new(0);
        thread::scope(|scope| {
            for client in &mut clients {
                scope.spawn(|| client.work(&server, &acknowledged, || false));
            }
            while acknowledged.load(Ordering::Relaxed) < 20 + 40 * round {
                thread::yield_now();
            }
            server.signal(Signal::TERM);
        });
        assert_eq!(server.wait(), Some(0), "{}", server.said());
        assert!(!data.join("butterflyfx.db-wal").exists(), "a log is left");
    }
    let server = Server::start(&data, &[]);
    look(&server, &mut clients);
}
