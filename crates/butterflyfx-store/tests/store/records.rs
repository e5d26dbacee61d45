//! Records to write, a plain model of the state, and a receiver that rebuilds it.

use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{RelationshipType, Substrate, Timestamp};
use butterflyfx_engine::record::{Change, IndexRecord, RelationshipRecord, SubstrateRecord};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_store::{KeptAnswer, Options, Receive, Recovered, Store, StoreError};
use std::collections::BTreeMap;
use std::path::Path;

/// A document of a JSON text.
pub(crate) fn json(text: &str) -> Document {
    butterflyfx_formula::json::read_document(text.as_bytes(), 500).unwrap()
}

pub(crate) fn substrate(sequence: u64) -> SubstrateRecord {
    SubstrateRecord {
        sequence,
        substrate: Substrate {
            id: SubstrateId(sequence.wrapping_mul(0x9E37_79B9_7F4A_7C15)),
            created_at: Timestamp(sequence.wrapping_add(1_790_000_000_000_000).cast_signed()),
            updated_at: Timestamp(sequence.wrapping_add(1_790_000_000_000_001).cast_signed()),
            version: 1,
            expression_type: ExpressionType::ALL[sequence as usize % 3],
            expression_code: format!("lambda x: x * {sequence}"),
            metadata: json(&format!(r#"{{"name": "node {sequence}", "layer": {}}}"#, sequence % 5)),
        },
    }
}

pub(crate) fn relationship(sequence: u64, source: u64, target: u64) -> RelationshipRecord {
    RelationshipRecord {
        sequence,
        rel_type: RelationshipType::ALL[sequence as usize % 15],
        bidirectional: sequence.is_multiple_of(2),
        source,
        target,
        constraints: if sequence.is_multiple_of(3) { json(r#"{"parameter": "x"}"#) } else { json("{}") },
        lineage: if sequence.is_multiple_of(4) { json(r#"[1, "two"]"#) } else { Document::Null },
        created_at: Timestamp(1_790_000_000_000_000 - sequence.cast_signed()),
    }
}

pub(crate) fn index(key: &str) -> IndexRecord {
    IndexRecord { metadata_key: key.to_owned(), created_at: Timestamp(5) }
}

/// Substrates from a number on.
pub(crate) fn substrates(from: u64, count: u64) -> Vec<Change> {
    (from..from + count).map(|sequence| Change::SubstrateCreated(substrate(sequence))).collect()
}

/// Relationships from a number on, among the first `ends` substrates.
pub(crate) fn relationships(from: u64, count: u64, ends: u64) -> Vec<Change> {
    let one = |sequence: u64| {
        Change::RelationshipCreated(relationship(sequence, sequence % ends, (sequence * 7 + 1) % ends))
    };
    (from..from + count).map(one).collect()
}

/// The state as plain maps.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Model {
    pub(crate) substrates: BTreeMap<u64, SubstrateRecord>,
    pub(crate) relationships: BTreeMap<u64, RelationshipRecord>,
    pub(crate) indexes: Vec<IndexRecord>,
    pub(crate) answers: Vec<KeptAnswer>,
}

impl Model {
    pub(crate) fn apply(&mut self, changes: &[Change]) {
        for change in changes.iter().cloned() {
            match change {
                Change::SubstrateCreated(record) => drop(self.substrates.insert(record.sequence, record)),
                Change::SubstrateReplaced { after, .. } => {
                    drop(self.substrates.insert(after.sequence, after));
                }
                Change::SubstrateDeleted(record) => drop(self.substrates.remove(&record.sequence)),
                Change::RelationshipCreated(record) => {
                    drop(self.relationships.insert(record.sequence, record));
                }
                Change::RelationshipDeleted(record) => drop(self.relationships.remove(&record.sequence)),
                Change::IndexDeclared(record) => self.indexes.push(record),
                Change::IndexDropped(record) => self.indexes.retain(|one| *one != record),
            }
        }
    }
}

impl Receive for Model {
    fn begin_again(&mut self) -> Result<(), String> {
        *self = Model::default();
        Ok(())
    }

    fn substrates(&mut self, records: Vec<SubstrateRecord>) -> Result<(), String> {
        for record in records {
            let last = self.substrates.last_key_value().map(|(sequence, _)| *sequence);
            assert!(last < Some(record.sequence), "in order of creation");
            self.substrates.insert(record.sequence, record);
        }
        Ok(())
    }

    fn relationships(&mut self, records: Vec<RelationshipRecord>) -> Result<(), String> {
        for record in records {
            let last = self.relationships.last_key_value().map(|(sequence, _)| *sequence);
            assert!(last < Some(record.sequence), "in order of creation");
            self.relationships.insert(record.sequence, record);
        }
        Ok(())
    }

    fn index(&mut self, record: IndexRecord) -> Result<(), String> {
        self.indexes.push(record);
        Ok(())
    }

    fn kept_answers(&mut self, answers: Vec<KeptAnswer>) -> Result<(), String> {
        self.answers.extend(answers);
        Ok(())
    }
}

pub(crate) fn open(folder: &Path) -> Store {
    Store::open(folder, &Options::default()).unwrap()
}

/// What a store gives back.
pub(crate) fn read_back(store: &mut Store) -> Result<(Model, Recovered), StoreError> {
    let mut model = Model::default();
    let recovered = store.recover(&mut model)?;
    Ok((model, recovered))
}

/// Opens a folder and reads it back.
pub(crate) fn reopen(folder: &Path) -> Result<(Model, Recovered), StoreError> {
    read_back(&mut Store::open(folder, &Options::default())?)
}
