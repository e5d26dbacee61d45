//! Answers to idempotent requests are kept with their changes, and forgotten when they expire.

use crate::records::{open, read_back, reopen, substrates};
use butterflyfx_engine::model::Timestamp;
use butterflyfx_store::{KeptAnswer, verify};
use std::time::{SystemTime, UNIX_EPOCH};

fn now() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros()).unwrap()
}

fn answer(name: &str, expires_at: i64, body: &[u8]) -> KeptAnswer {
    KeptAnswer {
        name: name.to_owned(),
        expires_at: Timestamp(expires_at),
        request_hash: [7; 32],
        status: 201,
        headers: vec![
            ("content-type".to_owned(), "application/json".to_owned()),
            ("x-odd".to_owned(), "\"quoted\" \\ é".to_owned()),
        ],
        body: body.to_vec().into(),
    }
}

#[test]
fn answers_come_back_in_order_and_expired_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let later = now() + 3_600_000_000;
    let mut store = open(folder.path());
    let kept = [
        answer("/substrates\nkey-1", later, b"{}"),
        answer("/substrates\nkey-2", 1, b"gone"),
        answer("/a\nkey", later, &[0, 255, 128]),
        answer("/empty\nkey", i64::MAX, b""),
    ];
    store.commit(&substrates(0, 3), &kept).unwrap();
    drop(store);
    let (model, recovered) = reopen(folder.path()).unwrap();
    assert_eq!(model.answers, [kept[0].clone(), kept[2].clone(), kept[3].clone()]);
    assert_eq!((model.substrates.len(), recovered.counts.answers), (3, 4));
    assert!(verify(folder.path()).unwrap().is_sound());
}

#[test]
fn an_answer_replaces_one_of_its_name_and_can_be_forgotten() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let digest = store.digest();
    store.commit(&[], &[answer("a", i64::MAX, b"1"), answer("b", 10, b"2"), answer("c", 11, b"3")]).unwrap();
    store.commit(&[], &[answer("a", i64::MAX, b"4")]).unwrap();
    assert_eq!(store.counts().answers, 3);
    assert_eq!(store.forget_expired_answers(Timestamp(10)).unwrap(), 1);
    assert_eq!(store.forget_answers(&["c", "nothing"]).unwrap(), 1);
    let (model, recovered) = read_back(&mut store).unwrap();
    assert_eq!(model.answers, [answer("a", i64::MAX, b"4")]);
    assert_eq!(recovered.counts.answers, 1);
    // Answers are no part of the state.
    assert_eq!(store.digest(), digest);
}
