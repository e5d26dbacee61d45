//! Substrates in dense slots, in the order of creation: what is read together lies together.

use crate::error::EngineError;
use crate::identity::SubstrateId;
use crate::model::{Revision, Substrate, Timestamp};
use crate::state::adjacency::List;
use crate::state::arena::{Arena, Blob};
use crate::state::column::Column;
use crate::state::encoding::{Reader, put_length};
use crate::state::identities::Identities;
use crate::state::metadata::{self, Keys};
use crate::state::sequences::Sequences;
use crate::state::templates::TemplateTable;
use crate::state::{SUBSTRATES_MAX, constants};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::{ExpressionType, Formula};
use butterflyfx_formula::value::Value;
use foldhash::fast::RandomState;
use hashbrown::HashMap;
use std::sync::Arc;

/// What a walk over the graph reads: 24 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Node {
    pub(crate) id: u64,
    pub(crate) outgoing: List,
    pub(crate) incoming: List,
}

/// What an answer or an evaluation reads: 32 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record {
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
    blob: Blob,
    /// 0 for a substrate that was deleted.
    pub(crate) version: u32,
    code: Code,
}

/// Expression type, template number, and whether relationships bind parameters here, in 32 bits.
#[derive(Clone, Copy, Debug)]
struct Code(u32);

const BOUND: u32 = 1 << 29;
const TEMPLATE: u32 = BOUND - 1;
const TYPES: [ExpressionType; 3] =
    [ExpressionType::Lambda, ExpressionType::Formula, ExpressionType::Constant];

impl Code {
    fn new(kind: ExpressionType, template: u32) -> Code {
        Code((kind as u32) << 30 | template)
    }

    fn kind(self) -> ExpressionType {
        TYPES[(self.0 >> 30) as usize % 3]
    }

    fn template(self) -> u32 {
        self.0 & TEMPLATE
    }
}

/// Constants and defaults that have no encoded form.
#[derive(Clone, Debug)]
struct Values {
    constants: Arc<[Value]>,
    defaults: Arc<[Value]>,
}

/// A substrate to store, checked.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) id: SubstrateId,
    pub(crate) kind: ExpressionType,
    pub(crate) code: String,
    pub(crate) formula: Formula,
    pub(crate) metadata: Document,
}

/// All substrates.
#[derive(Debug, Default)]
pub(crate) struct Substrates {
    pub(crate) nodes: Column<Node>,
    records: Column<Record>,
    pub(crate) sequences: Sequences,
    identities: Identities,
    arena: Arena,
    templates: TemplateTable,
    /// By slot.
    values: HashMap<u32, Values, RandomState>,
    alive: u32,
    by_type: [u64; 3],
    /// Whether each was created no earlier than the one before; then creation time needs no sort.
    created_in_order: bool,
    last_created_at: i64,
    /// Reused for what is being encoded.
    buffer: Vec<u8>,
}

impl Substrates {
    pub(crate) fn new() -> Substrates {
        Substrates { created_in_order: true, last_created_at: i64::MIN, ..Substrates::default() }
    }

    /// Slots given out, dead ones included.
    pub(crate) fn slots(&self) -> u32 {
        self.nodes.len() as u32
    }

    pub(crate) fn alive(&self) -> u32 {
        self.alive
    }

    pub(crate) fn by_type(&self) -> [u64; 3] {
        self.by_type
    }

    pub(crate) fn templates(&self) -> u64 {
        self.templates.len() as u64
    }

    pub(crate) fn created_in_order(&self) -> bool {
        self.created_in_order
    }

    #[inline]
    pub(crate) fn find(&self, id: SubstrateId) -> Option<u32> {
        self.identities.find(id.0, |slot| self.nodes.get(slot).id)
    }

    #[inline]
    pub(crate) fn require(&self, id: SubstrateId) -> Result<u32, EngineError> {
        self.find(id).ok_or(EngineError::SubstrateNotFound(id))
    }

    #[inline]
    pub(crate) fn id(&self, slot: u32) -> SubstrateId {
        SubstrateId(self.nodes.get(slot).id)
    }

    #[inline]
    pub(crate) fn record(&self, slot: u32) -> Record {
        self.records.get(slot)
    }

    #[inline]
    pub(crate) fn is_alive(&self, slot: u32) -> bool {
        self.records.get(slot).version != 0
    }

    #[inline]
    pub(crate) fn kind(&self, slot: u32) -> ExpressionType {
        self.records.get(slot).code.kind()
    }

    pub(crate) fn code(&self, slot: u32) -> &str {
        self.parts(slot).0
    }

    /// An encoded object.
    pub(crate) fn metadata(&self, slot: u32) -> &[u8] {
        self.parts(slot).2
    }

    pub(crate) fn holds_formula(&self, slot: u32, kind: ExpressionType, code: &str) -> bool {
        self.kind(slot) == kind && self.code(slot) == code
    }

    /// Whether its identity is the hash of its formula.
    pub(crate) fn is_content_addressed(&self, slot: u32) -> bool {
        SubstrateId::of_formula(self.kind(slot), self.code(slot)) == self.id(slot)
    }

    pub(crate) fn revision(&self, slot: u32) -> Revision {
        let record = self.records.get(slot);
        Revision { version: record.version, updated_at: Timestamp(record.updated_at) }
    }

    /// Whether relationships bind parameters of its formula.
    #[inline]
    pub(crate) fn is_bound(&self, slot: u32) -> bool {
        self.records.get(slot).code.0 & BOUND != 0
    }

    pub(crate) fn set_bound(&mut self, slot: u32, bound: bool) {
        let code = &mut self.records.get_mut(slot).code;
        code.0 = if bound { code.0 | BOUND } else { code.0 & !BOUND };
    }

    /// The formula, put together from its pieces.
    pub(crate) fn formula(&self, slot: u32) -> Option<Formula> {
        let template = Arc::clone(self.templates.get(self.records.get(slot).code.template())?);
        let (_, encoded, _) = self.parts(slot);
        if encoded.is_empty()
            && !self.values.is_empty()
            && let Some(values) = self.values.get(&slot)
        {
            let Values { constants, defaults } = values.clone();
            return Some(Formula { template, constants, defaults });
        }
        let (constants, defaults) = constants::decode(encoded);
        Some(Formula { template, constants, defaults })
    }

    /// The template alone.
    pub(crate) fn template(&self, slot: u32) -> Option<&butterflyfx_formula::formula::Template> {
        self.templates.get(self.records.get(slot).code.template()).map(|template| &**template)
    }

    pub(crate) fn substrate(&self, slot: u32, keys: &Keys) -> Substrate {
        let record = self.records.get(slot);
        let (code, _, encoded) = self.parts(slot);
        Substrate {
            id: self.id(slot),
            created_at: Timestamp(record.created_at),
            updated_at: Timestamp(record.updated_at),
            version: record.version,
            expression_type: record.code.kind(),
            expression_code: code.to_owned(),
            metadata: metadata::decode(encoded, keys),
        }
    }

    /// Room for `more` substrates, or a refusal.
    pub(crate) fn check_room(&self, more: usize) -> Result<(), EngineError> {
        if more > (SUBSTRATES_MAX - self.slots()) as usize {
            return Err(EngineError::Full(format!("the engine holds at most {SUBSTRATES_MAX} substrates")));
        }
        Ok(())
    }

    /// Stores a new substrate in the next slot. Its identity is not in use and there is room.
    pub(crate) fn push(&mut self, now: Timestamp, new: &Prepared, keys: &mut Keys) -> u32 {
        let slot = self.slots();
        let code = self.adopt(slot, new.kind, &new.formula);
        let blob = self.store(slot, new, keys);
        self.nodes.push(Node { id: new.id.0, outgoing: List::default(), incoming: List::default() });
        self.records.push(Record { created_at: now.0, updated_at: now.0, blob, version: 1, code });
        let nodes = &self.nodes;
        self.identities.insert(new.id.0, slot, |slot| nodes.get(slot).id);
        self.alive += 1;
        self.created_in_order &= self.last_created_at <= now.0;
        self.last_created_at = self.last_created_at.max(now.0);
        slot
    }

    /// Replaces formula and metadata.
    pub(crate) fn replace(&mut self, slot: u32, now: Timestamp, new: &Prepared, keys: &mut Keys) {
        let bound = self.is_bound(slot);
        let old = self.records.get(slot);
        let code = self.adopt(slot, new.kind, &new.formula);
        self.disown(old.code);
        self.arena.free(old.blob);
        let blob = self.store(slot, new, keys);
        let record = self.records.get_mut(slot);
        record.blob = blob;
        record.code = code;
        record.updated_at = now.0;
        record.version = record.version.saturating_add(1);
        self.set_bound(slot, bound);
        self.settle();
    }

    /// Replaces metadata alone.
    pub(crate) fn replace_metadata(
        &mut self,
        slot: u32,
        now: Timestamp,
        metadata: &Document,
        keys: &mut Keys,
    ) {
        let old = self.records.get(slot).blob;
        let mut kept = std::mem::take(&mut self.buffer);
        kept.clear();
        let bytes = self.arena.get(old);
        let tail = self.parts(slot).2.len();
        kept.extend_from_slice(&bytes[..bytes.len() - tail]);
        metadata::encode(metadata, keys, &mut kept);
        self.arena.free(old);
        let blob = self.arena.put(slot, &[&kept]);
        self.buffer = kept;
        self.bound_buffer();
        let record = self.records.get_mut(slot);
        record.blob = blob;
        record.updated_at = now.0;
        record.version = record.version.saturating_add(1);
        self.settle();
    }

    /// Counts a change that changes nothing.
    pub(crate) fn touch(&mut self, slot: u32, now: Timestamp) {
        let record = self.records.get_mut(slot);
        record.updated_at = now.0;
        record.version = record.version.saturating_add(1);
    }

    /// Deletes a substrate that has no relationships any more.
    pub(crate) fn remove(&mut self, slot: u32) {
        let record = self.records.get(slot);
        let nodes = &self.nodes;
        self.identities.remove(nodes.get(slot).id, |slot| nodes.get(slot).id);
        self.disown(record.code);
        self.values.remove(&slot);
        self.arena.free(record.blob);
        self.records.get_mut(slot).version = 0;
        self.alive -= 1;
        self.settle();
    }

    /// Whether more than half of the slots, and enough to be worth it, are dead.
    pub(crate) fn wants_compaction(&self) -> bool {
        let dead = self.slots() - self.alive;
        dead > self.alive && dead >= super::COMPACTION_SLOTS_MIN
    }

    /// Takes the dead slots out; `slot_after` gives each living slot's new number, else `u32::MAX`.
    pub(crate) fn compact(&mut self, slot_after: &[u32]) {
        let keep = |slot: u32| slot_after[slot as usize] != u32::MAX;
        self.sequences.compact(self.slots(), keep);
        self.nodes.retain_marked(keep);
        self.records.retain_marked(keep);
        let nodes = &self.nodes;
        self.identities.refill(nodes.len() as u32, |slot| nodes.get(slot).id);
        self.values = self.values.drain().map(|(slot, values)| (slot_after[slot as usize], values)).collect();
        for slot in 0..self.slots() {
            self.arena.set_owner(self.records.get(slot).blob, slot);
        }
    }

    pub(crate) fn memory(&self) -> [(&'static str, u64); 4] {
        [
            ("substrates", self.nodes.allocated_bytes() + self.records.allocated_bytes()),
            ("substrate_identities", self.identities.allocated_bytes() + self.sequences.allocated_bytes()),
            ("texts_and_metadata", self.arena.allocated_bytes() + self.buffer.capacity() as u64),
            (
                "formulas",
                self.templates.allocated_bytes()
                    + self.values.allocation_size() as u64
                    + self.values.values().map(values_bytes).sum::<u64>(),
            ),
        ]
    }

    /// Bytes of what is stored for a living substrate besides its record.
    #[inline]
    pub(crate) fn stored_bytes(&self, slot: u32) -> usize {
        self.arena.get(self.records.get(slot).blob).len()
    }

    /// Text, encoded constants, encoded metadata.
    #[inline]
    fn parts(&self, slot: u32) -> (&str, &[u8], &[u8]) {
        let mut reader = Reader::new(self.arena.get(self.records.get(slot).blob));
        let code = reader.length() as usize;
        let constants = reader.length() as usize;
        (reader.text_of(code), reader.bytes(constants), reader.rest())
    }

    /// Counts the template and keeps the values that do not encode.
    fn adopt(&mut self, slot: u32, kind: ExpressionType, formula: &Formula) -> Code {
        self.by_type[kind as usize] += 1;
        self.buffer.clear();
        if constants::encode(&formula.constants, &formula.defaults, &mut self.buffer) {
            self.values.remove(&slot);
        } else {
            let values =
                Values { constants: Arc::clone(&formula.constants), defaults: Arc::clone(&formula.defaults) };
            self.values.insert(slot, values);
        }
        Code::new(kind, self.templates.add(&formula.template))
    }

    fn disown(&mut self, code: Code) {
        self.by_type[code.kind() as usize] -= 1;
        self.templates.release(code.template());
    }

    /// Stores text, the constants that [`Substrates::adopt`] left in the buffer, and metadata.
    fn store(&mut self, slot: u32, new: &Prepared, keys: &mut Keys) -> Blob {
        let constants = self.buffer.len();
        metadata::encode(&new.metadata, keys, &mut self.buffer);
        let mut lengths = Vec::with_capacity(10);
        put_length(new.code.len() as u64, &mut lengths);
        put_length(constants as u64, &mut lengths);
        let blob = self.arena.put(slot, &[&lengths, new.code.as_bytes(), &self.buffer]);
        self.bound_buffer();
        blob
    }

    /// One large substrate shall not leave a large buffer.
    fn bound_buffer(&mut self) {
        if self.buffer.capacity() > 1 << 16 {
            self.buffer = Vec::new();
        }
    }

    /// Empties segments of the arena that have become sparse.
    fn settle(&mut self) {
        while let Some(segment) = self.arena.next_sparse() {
            let records = &self.records;
            let moved = self.arena.empty(segment, |owner, blob| {
                (owner as usize) < records.len()
                    && records.get(owner).version != 0
                    && records.get(owner).blob == blob
            });
            for (owner, blob) in moved {
                self.records.get_mut(owner).blob = blob;
            }
        }
    }
}

/// About: what the values are made of is shared with running evaluations.
fn values_bytes(values: &Values) -> u64 {
    ((values.constants.len() + values.defaults.len()) * size_of::<Value>()) as u64
}
