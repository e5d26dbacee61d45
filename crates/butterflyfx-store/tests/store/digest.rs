//! The digest is that of the records, whatever led to them, and is the same for ever.

use crate::records::{Model, index, json, open, read_back, relationship, reopen, substrate};
use butterflyfx_engine::record::{Change, RelationshipRecord, SubstrateRecord};
use butterflyfx_formula::document::Document;
use butterflyfx_store::{Digest, Store};
use proptest::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

/// The canonical encoding once more, written from its description in `docs/storage.md`.
fn encode(document: &Document, out: &mut Vec<u8>) {
    let text = |text: &str, out: &mut Vec<u8>| {
        out.extend((text.len() as u64).to_le_bytes());
        out.extend(text.bytes());
    };
    match document {
        Document::Null => out.push(0),
        Document::Bool(false) => out.push(1),
        Document::Bool(true) => out.push(2),
        Document::Int(number) => {
            out.push(3);
            out.extend(number.to_le_bytes());
        }
        Document::BigInt(digits) => {
            out.push(4);
            text(digits, out);
        }
        Document::Float(number) => {
            out.push(5);
            out.extend(number.to_bits().to_le_bytes());
        }
        Document::Text(content) => {
            out.push(6);
            text(content, out);
        }
        Document::List(items) => {
            out.push(7);
            out.extend((items.len() as u64).to_le_bytes());
            items.iter().for_each(|item| encode(item, out));
        }
        Document::Map(members) => {
            out.push(8);
            out.extend((members.len() as u64).to_le_bytes());
            for (key, value) in members {
                text(key, out);
                encode(value, out);
            }
        }
    }
}

fn substrate_hash(record: &SubstrateRecord) -> u128 {
    let one = &record.substrate;
    let mut out = vec![1];
    out.extend(record.sequence.to_le_bytes());
    out.extend(one.id.0.to_le_bytes());
    out.push(one.expression_type as u8);
    out.extend(one.version.to_le_bytes());
    out.extend(one.created_at.0.to_le_bytes());
    out.extend(one.updated_at.0.to_le_bytes());
    out.extend((one.expression_code.len() as u64).to_le_bytes());
    out.extend(one.expression_code.bytes());
    encode(&one.metadata, &mut out);
    xxh3_128(&out)
}

fn relationship_hash(record: &RelationshipRecord) -> u128 {
    let mut out = vec![2];
    out.extend(record.sequence.to_le_bytes());
    out.push(record.rel_type as u8);
    out.push(u8::from(record.bidirectional));
    out.extend(record.source.to_le_bytes());
    out.extend(record.target.to_le_bytes());
    out.extend(record.created_at.0.to_le_bytes());
    encode(&record.constraints, &mut out);
    encode(&record.lineage, &mut out);
    xxh3_128(&out)
}

fn digest_of(model: &Model) -> Digest {
    let mut digest = Digest::default();
    model.substrates.values().for_each(|record| digest.add(substrate_hash(record)));
    model.relationships.values().for_each(|record| digest.add(relationship_hash(record)));
    for record in &model.indexes {
        let mut out = vec![3];
        out.extend(record.created_at.0.to_le_bytes());
        out.extend((record.metadata_key.len() as u64).to_le_bytes());
        out.extend(record.metadata_key.bytes());
        digest.add(xxh3_128(&out));
    }
    digest
}

/// What a random step does; numbers choose among what is there.
#[derive(Clone, Debug)]
enum Step {
    Create { id: u64, code: String, metadata: String },
    Replace { which: usize, code: String },
    Delete { which: usize },
    Link { from: usize, to: usize, id: u64 },
    Unlink { which: usize },
    Index { key: usize },
}

fn step() -> impl Strategy<Value = Step> {
    let metadata = prop_oneof![
        Just("{}".to_owned()),
        any::<i64>().prop_map(|number| format!("{{\"n\": {number}}}")),
        any::<f64>()
            .prop_filter("finite", |x| x.is_finite())
            .prop_map(|x| format!("{{\"f\": [{x:e}, -0.0]}}")),
        "[a-zé🦋]{0,20}".prop_map(|text| format!("{{\"{text}\": {{\"x\": [null, true, \"{text}\"]}}}}")),
        "[1-9][0-9]{20,60}".prop_map(|digits| format!("{{\"big\": {digits}}}")),
    ];
    prop_oneof![
        4 => (any::<u64>(), any::<String>(), metadata)
            .prop_map(|(id, code, metadata)| Step::Create { id, code, metadata }),
        2 => (any::<usize>(), any::<String>()).prop_map(|(which, code)| Step::Replace { which, code }),
        1 => any::<usize>().prop_map(|which| Step::Delete { which }),
        4 => (any::<usize>(), any::<usize>(), any::<u64>())
            .prop_map(|(from, to, id)| Step::Link { from, to, id }),
        1 => any::<usize>().prop_map(|which| Step::Unlink { which }),
        1 => (0..4_usize).prop_map(|key| Step::Index { key }),
    ]
}

/// The changes of a step, as the engine would give them.
fn changes_of(step: Step, model: &Model, next: &mut [u64; 2]) -> Vec<Change> {
    fn nth<V: Clone>(map: &std::collections::BTreeMap<u64, V>, which: usize) -> Option<V> {
        map.values().nth(which.checked_rem(map.len())?).cloned()
    }
    let number = |next: &mut u64, gap: u64| {
        *next += 1 + gap;
        *next - 1
    };
    match step {
        Step::Create { id, code, metadata } => {
            let mut record = substrate(number(&mut next[0], id % 3));
            record.substrate.id.0 = id;
            record.substrate.expression_code = code;
            record.substrate.metadata = json(&metadata);
            vec![Change::SubstrateCreated(record)]
        }
        Step::Replace { which, code } => {
            let Some(before) = nth(&model.substrates, which) else { return Vec::new() };
            let mut after = before.clone();
            after.substrate.version += 1;
            after.substrate.expression_code = code;
            vec![Change::SubstrateReplaced { before, after }]
        }
        Step::Delete { which } => {
            let Some(record) = nth(&model.substrates, which) else { return Vec::new() };
            let ends = |one: &&RelationshipRecord| [one.source, one.target].contains(&record.sequence);
            let links = model.relationships.values().filter(ends).cloned();
            links.map(Change::RelationshipDeleted).chain([Change::SubstrateDeleted(record.clone())]).collect()
        }
        Step::Link { from, to, id } => {
            let (Some(source), Some(target)) = (nth(&model.substrates, from), nth(&model.substrates, to))
            else {
                return Vec::new();
            };
            let record = relationship(number(&mut next[1], id % 3), source.sequence, target.sequence);
            vec![Change::RelationshipCreated(record)]
        }
        Step::Unlink { which } => {
            nth(&model.relationships, which).map(Change::RelationshipDeleted).into_iter().collect()
        }
        Step::Index { key } => {
            let record = index(["a", "b", "c.d", "🦋"][key]);
            let there = model.indexes.contains(&record);
            vec![if there { Change::IndexDropped(record) } else { Change::IndexDeclared(record) }]
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn random_changes_in_random_batches(
        steps in prop::collection::vec((step(), 0..6_u8), 1..120),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let mut store = open(folder.path());
        let (mut model, mut next, mut batch) = (Model::default(), [0, 0], Vec::new());
        for (step, end) in steps {
            let changes = changes_of(step, &model, &mut next);
            model.apply(&changes);
            batch.extend(changes);
            if end == 0 {
                store.commit(&batch, &[]).unwrap();
                batch.clear();
                prop_assert_eq!(store.digest(), digest_of(&model));
            }
        }
        store.commit(&batch, &[]).unwrap();
        let (found, recovered) = read_back(&mut store).unwrap();
        prop_assert_eq!(&found, &model);
        prop_assert_eq!(recovered.digest, digest_of(&model));
        drop(store);
        prop_assert_eq!(&reopen(folder.path()).unwrap().0, &model);
    }
}

/// Digests are written into files: a change of this one is a change of the format.
#[test]
fn a_pinned_example() {
    let folder = tempfile::tempdir().unwrap();
    let mut store: Store = open(folder.path());
    assert_eq!(store.digest().to_string(), "0".repeat(32));
    store
        .commit(
            &[
                Change::SubstrateCreated(substrate(1)),
                Change::SubstrateCreated(substrate(2)),
                Change::RelationshipCreated(relationship(12, 1, 2)),
                Change::IndexDeclared(index("layer")),
            ],
            &[],
        )
        .unwrap();
    assert_eq!(store.digest().to_string(), "25c518847ae54bbb47b3594c922a3cd1");
    assert_eq!(Digest::parse(&store.digest().to_string()), Some(store.digest()));
    for wrong in ["", "0", "g", &"G".repeat(32), &"0".repeat(33)] {
        assert_eq!(Digest::parse(wrong), None, "{wrong}");
    }
}
