//! What is committed comes back exactly, in order, after closing as after dropping.

use crate::records::{
    Model, index, json, open, read_back, relationship, relationships, reopen, substrate, substrates,
};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::Timestamp;
use butterflyfx_engine::record::Change;
use butterflyfx_store::{Counts, Durability, Next, Options, Store, StoreError, verify};
use std::time::Duration;

/// Commits batches; what is read back at once and after reopening is what the model says.
#[track_caller]
fn check(batches: &[Vec<Change>]) {
    let folder = tempfile::tempdir().unwrap();
    let mut model = Model::default();
    let mut store = open(folder.path());
    for batch in batches {
        store.commit(batch, &[]).unwrap();
        model.apply(batch);
        let (found, recovered) = read_back(&mut store).unwrap();
        assert_eq!(found, model);
        assert_eq!(recovered.digest, store.digest());
        assert_eq!(recovered.next, store.next());
        assert_eq!(recovered.counts, store.counts());
    }
    let digest = store.digest();
    drop(store);
    let (found, recovered) = reopen(folder.path()).unwrap();
    assert_eq!((found, recovered.digest), (model, digest));
    assert_eq!(verify(folder.path()).unwrap().problems, Vec::<String>::new());
}

#[test]
fn every_kind_of_change() {
    let (mut other, before) = (substrate(3), substrate(3));
    other.substrate.version = 2;
    other.substrate.expression_code = "lambda x: x".to_owned();
    check(&[
        substrates(0, 100),
        relationships(0, 200, 100),
        vec![Change::IndexDeclared(index("name")), Change::IndexDeclared(index("layer"))],
        vec![Change::SubstrateReplaced { before, after: other.clone() }],
        vec![Change::RelationshipDeleted(relationship(5, 5, 36)), Change::IndexDropped(index("name"))],
        vec![Change::IndexDeclared(index("name"))],
        substrates(100, 1)
            .into_iter()
            .chain([Change::SubstrateDeleted(substrate(100))])
            .chain(substrates(101, 3))
            .collect(),
    ]);
}

/// Several threads read blocks of a thousand numbers or so; what they hand over comes in order all the same.
#[test]
fn many_rows_and_wide_gaps() {
    let far = 1_000_000_000_000_000;
    check(&[
        substrates(0, 3_000),
        substrates(100_000, 2_500),
        substrates(far, 3),
        relationships(7, 5_000, 3_000),
        relationships(far, 2_000, 3_000),
        relationships(1_000 * far, 2_000, 3_000),
    ]);
}

#[test]
fn changes_of_what_the_same_batch_creates() {
    let (mut one, mut two) = (substrate(1), substrate(1));
    one.substrate.version = 2;
    two.substrate.version = 3;
    check(&[vec![
        Change::SubstrateCreated(substrate(0)),
        Change::SubstrateCreated(substrate(1)),
        Change::RelationshipCreated(relationship(0, 0, 1)),
        Change::SubstrateReplaced { before: substrate(1), after: one.clone() },
        Change::RelationshipCreated(relationship(1, 1, 0)),
        Change::RelationshipDeleted(relationship(0, 0, 1)),
        Change::SubstrateReplaced { before: one, after: two },
        Change::RelationshipDeleted(relationship(1, 1, 0)),
        Change::SubstrateDeleted(substrate(0)),
    ]]);
}

#[test]
fn batches_around_the_size_of_a_statement_and_of_a_part() {
    for count in [1, 31, 32, 33, 64, 1_023, 1_024, 1_025, 3_000] {
        check(&[substrates(0, count), relationships(0, count, count)]);
    }
}

#[test]
fn values_at_their_limits() {
    let mut batch = Vec::new();
    let texts = [
        "",
        "a\0b",
        "\0",
        "\u{1}\t\n\r\"\\/",
        "naïve 日本語 🦋",
        "'; DROP TABLE substrate; --",
        "\u{feff}bom",
        "\u{10ffff}",
    ];
    let metadata = [
        "{}".to_owned(),
        r#"{"": null, "a\u0000b": "c\u0000", "🦋": [true, false, {}, [], ""]}"#.to_owned(),
        format!(
            r#"{{"i": [{}, {}, 0, -1], "big": [{}, -{}]}}"#,
            i64::MAX,
            i64::MIN,
            "9".repeat(400),
            "1".repeat(20)
        ),
        r#"{"f": [0.0, -0.0, 1e308, 5e-324, 0.1, 1e16, 1.0, 123456789.125]}"#.to_owned(),
        format!("{{\"deep\": {}1{}}}", "[".repeat(498), "]".repeat(498)),
        format!("{{\"long\": \"{}\"}}", "é".repeat(100_000)),
        r#"{"b": 1, "a": 2, "c": {"z": 1, "y": 2}}"#.to_owned(),
    ];
    let numbers = [0, 1, u64::MAX, 1 << 63, (1 << 63) - 1, 0xDEAD_BEEF_DEAD_BEEF];
    let times = [0, -1, i64::MIN, i64::MAX, 1_790_000_000_123_456];
    for at in 0..64_usize {
        let mut record = substrate(at as u64 * 3);
        record.substrate.id = SubstrateId(numbers[at % numbers.len()]);
        record.substrate.created_at = Timestamp(times[at % times.len()]);
        record.substrate.updated_at = Timestamp(times[(at + 1) % times.len()]);
        record.substrate.version = [0, 1, u32::MAX][at % 3];
        record.substrate.expression_code = texts[at % texts.len()].repeat(1 + at % 2);
        record.substrate.metadata = json(&metadata[at % metadata.len()]);
        batch.push(Change::SubstrateCreated(record));
    }
    for at in 0..15 {
        let mut record = relationship(at, at * 3, 0);
        record.constraints = json(&metadata[at as usize % metadata.len()]);
        record.lineage = json(["null", "1", "\"\"", "[]", "{}", "0.5", "false"][at as usize % 7]);
        record.created_at = Timestamp(times[at as usize % times.len()]);
        batch.push(Change::RelationshipCreated(record));
    }
    let last = i64::MAX.cast_unsigned() - 1;
    batch.push(Change::SubstrateCreated(substrate(last)));
    batch.push(Change::RelationshipCreated(relationship(last, last, last)));
    batch.extend(["a\0b", "", "🦋"].map(|key| Change::IndexDeclared(index(key))));
    check(&[batch]);
}

#[test]
fn numbers_are_never_used_twice() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    assert_eq!(store.next(), Next { substrate: 0, relationship: 0 });
    store.commit(&substrates(5, 2), &[]).unwrap();
    store.commit(&[Change::RelationshipCreated(relationship(9, 5, 6))], &[]).unwrap();
    store.commit(&[Change::RelationshipDeleted(relationship(9, 5, 6))], &[]).unwrap();
    store.commit(&[Change::SubstrateDeleted(substrate(6))], &[]).unwrap();
    store.raise_next(Next { substrate: 0, relationship: 20 }).unwrap();
    store.close().unwrap();
    let (_, recovered) = reopen(folder.path()).unwrap();
    assert_eq!(recovered.next, Next { substrate: 7, relationship: 20 });
    assert_eq!(recovered.counts, Counts { substrates: 1, ..Counts::default() });
}

#[test]
fn each_durability() {
    for durability in [Durability::Always, Durability::Interval(Duration::from_secs(1)), Durability::Never] {
        let folder = tempfile::tempdir().unwrap();
        let options = Options { durability, ..Options::default() };
        let mut store = Store::open(folder.path(), &options).unwrap();
        store.sync().unwrap();
        store.commit(&substrates(0, 100), &[]).unwrap();
        store.sync().unwrap();
        let mut checkpointer = store.checkpointer().unwrap();
        checkpointer.sync().unwrap();
        let done = checkpointer.run().unwrap();
        assert!(done.pages > 0 && done.copied == done.pages, "{done:?}");
        store.commit(&substrates(100, 100), &[]).unwrap();
        drop(checkpointer);
        store.close().unwrap();
        assert_eq!(reopen(folder.path()).unwrap().0.substrates.len(), 200);
    }
}

#[test]
fn a_closed_folder_holds_one_file_and_the_lock() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.commit(&substrates(0, 100), &[]).unwrap();
    assert!(store.wal_bytes() > 0 && store.file_bytes() > store.wal_bytes());
    store.close().unwrap();
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["butterflyfx.db", "lock"]);
}

#[test]
fn a_receiver_that_refuses_is_quoted() {
    struct Refuses;
    impl butterflyfx_store::Receive for Refuses {
        fn begin_again(&mut self) -> Result<(), String> {
            Ok(())
        }
        fn substrates(&mut self, _: Vec<butterflyfx_engine::record::SubstrateRecord>) -> Result<(), String> {
            Err("no room".to_owned())
        }
        fn relationships(
            &mut self,
            _: Vec<butterflyfx_engine::record::RelationshipRecord>,
        ) -> Result<(), String> {
            Ok(())
        }
        fn index(&mut self, _: butterflyfx_engine::record::IndexRecord) -> Result<(), String> {
            Ok(())
        }
        fn kept_answers(&mut self, _: Vec<butterflyfx_store::KeptAnswer>) -> Result<(), String> {
            Ok(())
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.commit(&substrates(0, 20_000), &[]).unwrap();
    match store.recover(&mut Refuses) {
        Err(StoreError::Refused(sentence)) => assert_eq!(sentence, "no room"),
        other => panic!("{other:?}"),
    }
    assert_eq!(read_back(&mut store).unwrap().0.substrates.len(), 20_000);
}

/// The server's writer is a thread of its own.
#[test]
fn a_store_can_move_to_another_thread() {
    fn moves<T: Send + 'static>() {}
    moves::<Store>();
    moves::<butterflyfx_store::Checkpointer>();
    moves::<StoreError>();
}
