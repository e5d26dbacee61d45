//! Substrates in dense slots, in the order of creation.
//!
//! A slot has its identity, the place of its *record*, and its age. The record is a blob of bytes:
//! version and time of the last change where there was one, then the formula (the number of its
//! shape and the numbers that its text has in place of the shape's holes, or else its whole text),
//! then metadata. `docs/decisions/0008-dense-state.md` counts the bytes.

use crate::error::EngineError;
use crate::identity::SubstrateId;
use crate::model::{Revision, Substrate, Timestamp};
use crate::state::ages::Ages;
use crate::state::arena::{Arena, Blob};
use crate::state::column::Column;
use crate::state::counted::Counted;
use crate::state::encoding::{Reader, put_int, put_length};
use crate::state::identities::Identities;
use crate::state::metadata;
use crate::state::sparse::Sparse;
use crate::state::vocabulary::Vocabulary;
use crate::state::{SUBSTRATE_BITS, SUBSTRATES_MAX, constants};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::{ExpressionType, Formula, Template};
use butterflyfx_formula::shape::{Checked, Numbers, Shape};
use butterflyfx_formula::value::Value;
use std::borrow::Cow;
use std::sync::Arc;

/// Where a record lies, and what is asked most often about it, in 64 bits.
#[derive(Clone, Copy, Debug)]
struct Place(u64);

const KIND_SHIFT: u32 = 60;
/// The fourth type marks a substrate that was deleted.
const DEAD: u64 = 3 << KIND_SHIFT;
/// Relationships bind parameters here.
const BOUND: u64 = 1 << 62;
/// It was changed since it was created.
const CHANGED: u64 = 1 << 63;
const FLAGS: u64 = 0xF << KIND_SHIFT;
const TYPES: [ExpressionType; 3] =
    [ExpressionType::Lambda, ExpressionType::Formula, ExpressionType::Constant];

impl Place {
    fn new(kind: ExpressionType, blob: Blob, flags: u64) -> Place {
        Place((kind as u64) << KIND_SHIFT | blob.to_bits() | flags & (BOUND | CHANGED))
    }

    #[inline]
    fn kind(self) -> ExpressionType {
        TYPES[(self.0 >> KIND_SHIFT) as usize % 4 % 3]
    }

    #[inline]
    fn is_alive(self) -> bool {
        self.0 & DEAD != DEAD
    }

    #[inline]
    fn blob(self) -> Blob {
        Blob::from_bits(self.0 & !FLAGS)
    }
}

/// Constants and defaults that have no encoded form.
#[derive(Clone, Debug)]
struct Values {
    constants: Arc<[Value]>,
    defaults: Arc<[Value]>,
}

/// A substrate to store, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NewRecord<'a> {
    pub(crate) id: SubstrateId,
    pub(crate) kind: ExpressionType,
    pub(crate) code: &'a str,
    pub(crate) checked: &'a Checked,
    pub(crate) metadata: &'a Document,
}

/// A record, read.
struct Record<'a> {
    /// Version and time of the last change, where there was one.
    changed: Option<(u32, i64)>,
    text: StoredText<'a>,
    /// An encoded object.
    metadata: &'a [u8],
    /// What stands before metadata and after the last change.
    formula: &'a [u8],
}

/// A formula as it is stored.
enum StoredText<'a> {
    Shaped(u32, &'a Arc<Shape>, Numbers),
    Whole { template: u32, code: &'a str, constants: &'a [u8] },
}

/// All substrates.
#[derive(Debug)]
pub(crate) struct Substrates {
    ids: Column<u64>,
    places: Column<Place>,
    pub(crate) ages: Ages,
    identities: Identities,
    arena: Arena,
    shapes: Counted<Shape>,
    templates: Counted<Template>,
    /// By slot.
    values: Sparse<Values>,
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
        Substrates {
            ids: Column::default(),
            places: Column::default(),
            ages: Ages::default(),
            identities: Identities::new(SUBSTRATE_BITS),
            arena: Arena::default(),
            shapes: Counted::default(),
            templates: Counted::default(),
            values: Sparse::default(),
            alive: 0,
            by_type: [0; 3],
            created_in_order: true,
            last_created_at: i64::MIN,
            buffer: Vec::new(),
        }
    }

    /// Slots given out, dead ones included.
    #[inline]
    pub(crate) fn slots(&self) -> u32 {
        self.ages.slots()
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
        self.identities.find(id.0, |slot| self.ids.get(slot))
    }

    #[inline]
    pub(crate) fn require(&self, id: SubstrateId) -> Result<u32, EngineError> {
        self.find(id).ok_or(EngineError::SubstrateNotFound(id))
    }

    /// See [`Identities::touch`].
    pub(crate) fn touch(&self, ids: impl Iterator<Item = SubstrateId>) {
        self.identities.touch(ids.map(|id| id.0));
    }

    /// The slots of many, in order; see [`Identities::find_each`].
    pub(crate) fn find_each(&self, ids: impl Iterator<Item = SubstrateId> + Clone) -> Vec<Option<u32>> {
        let mut found = Vec::with_capacity(ids.size_hint().0);
        self.identities.find_each(ids.map(|id| id.0), |slot| self.ids.get(slot), &mut found);
        found
    }

    #[inline]
    pub(crate) fn id(&self, slot: u32) -> SubstrateId {
        SubstrateId(self.ids.get(slot))
    }

    /// Loads the identities of many slots.
    pub(crate) fn touch_ids(&self, slots: impl Iterator<Item = u32>) {
        std::hint::black_box(slots.fold(0, |sum, slot| sum ^ self.ids.get(slot)));
    }

    #[inline]
    pub(crate) fn created_at(&self, slot: u32) -> i64 {
        self.ages.created_at(slot)
    }

    #[inline]
    pub(crate) fn is_alive(&self, slot: u32) -> bool {
        self.places.get(slot).is_alive()
    }

    #[inline]
    pub(crate) fn kind(&self, slot: u32) -> ExpressionType {
        self.places.get(slot).kind()
    }

    /// The text of its formula.
    pub(crate) fn code(&self, slot: u32) -> Cow<'_, str> {
        match self.record(slot).text {
            StoredText::Shaped(_, shape, numbers) => {
                let mut code = String::with_capacity(shape.text_len(&numbers));
                shape.write_text(&numbers, &mut code);
                Cow::Owned(code)
            }
            StoredText::Whole { code, .. } => Cow::Borrowed(code),
        }
    }

    /// An encoded object.
    pub(crate) fn metadata(&self, slot: u32) -> &[u8] {
        self.record(slot).metadata
    }

    pub(crate) fn holds_formula(&self, slot: u32, kind: ExpressionType, code: &str) -> bool {
        self.kind(slot) == kind
            && match self.record(slot).text {
                StoredText::Shaped(_, shape, numbers) => shape.is_text(&numbers, code),
                StoredText::Whole { code: stored, .. } => stored == code,
            }
    }

    /// Whether its identity is the hash of its formula.
    pub(crate) fn is_content_addressed(&self, slot: u32) -> bool {
        SubstrateId::of_formula(self.kind(slot), &self.code(slot)) == self.id(slot)
    }

    pub(crate) fn revision(&self, slot: u32) -> Revision {
        let (version, updated_at) = self.changed(slot).unwrap_or_else(|| (1, self.created_at(slot)));
        Revision { version, updated_at: Timestamp(updated_at) }
    }

    #[inline]
    pub(crate) fn version(&self, slot: u32) -> u32 {
        self.changed(slot).map_or(1, |(version, _)| version)
    }

    #[inline]
    fn changed(&self, slot: u32) -> Option<(u32, i64)> {
        if self.places.get(slot).0 & CHANGED == 0 { None } else { self.record(slot).changed }
    }

    /// Whether relationships bind parameters of its formula.
    #[inline]
    pub(crate) fn is_bound(&self, slot: u32) -> bool {
        self.places.get(slot).0 & BOUND != 0
    }

    pub(crate) fn set_bound(&mut self, slot: u32, bound: bool) {
        let Place(place) = self.places.get_mut(slot);
        *place = if bound { *place | BOUND } else { *place & !BOUND };
    }

    /// The formula, put together from its pieces.
    pub(crate) fn formula(&self, slot: u32) -> Option<Formula> {
        match self.record(slot).text {
            StoredText::Shaped(_, shape, numbers) => Some(shape.formula(&numbers)),
            StoredText::Whole { template, constants, .. } => {
                let template = Arc::clone(self.templates.get(template)?);
                if constants.is_empty()
                    && !self.values.is_empty()
                    && let Some(values) = self.values.get(slot)
                {
                    let Values { constants, defaults } = values.clone();
                    return Some(Formula { template, constants, defaults });
                }
                let (constants, defaults) = constants::decode(constants);
                Some(Formula { template, constants, defaults })
            }
        }
    }

    /// The shape of its formula and its numbers, where it has one.
    pub(crate) fn shaped(&self, slot: u32) -> Option<(&Arc<Shape>, Numbers)> {
        match self.record(slot).text {
            StoredText::Shaped(_, shape, numbers) => Some((shape, numbers)),
            StoredText::Whole { .. } => None,
        }
    }

    /// Loads what stands about many slots: places first, then the records that they lead to.
    pub(crate) fn touch_records(&self, slots: impl Iterator<Item = u32> + Clone) {
        let sum = slots.clone().fold(0, |sum, slot| sum ^ self.places.get(slot).0);
        let first = |slot| self.arena.get(self.places.get(slot).blob()).first().copied().unwrap_or_default();
        std::hint::black_box((sum, slots.fold(0, |sum, slot| sum ^ first(slot))));
    }

    /// The template alone.
    pub(crate) fn template(&self, slot: u32) -> Option<&Template> {
        match self.record(slot).text {
            StoredText::Shaped(_, shape, _) => Some(&**shape.template()),
            StoredText::Whole { template, .. } => self.templates.get(template).map(|template| &**template),
        }
    }

    pub(crate) fn substrate(&self, slot: u32, vocabulary: &Vocabulary) -> Substrate {
        let revision = self.revision(slot);
        Substrate {
            id: self.id(slot),
            created_at: Timestamp(self.created_at(slot)),
            updated_at: revision.updated_at,
            version: revision.version,
            expression_type: self.kind(slot),
            expression_code: self.code(slot).into_owned(),
            metadata: metadata::decode(self.metadata(slot), vocabulary),
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
    pub(crate) fn push(&mut self, now: Timestamp, new: NewRecord<'_>, vocabulary: &mut Vocabulary) -> u32 {
        let slot = self.push_nameless(now, new, vocabulary);
        let ids = &self.ids;
        self.identities.insert(new.id.0, slot, |slots, into| {
            into.extend(slots.iter().map(|&slot| ids.get(slot)));
        });
        slot
    }

    /// As [`Substrates::push`], but it is not found by its identity until [`Substrates::build_identities`].
    pub(crate) fn push_nameless(
        &mut self,
        now: Timestamp,
        new: NewRecord<'_>,
        vocabulary: &mut Vocabulary,
    ) -> u32 {
        let slot = self.slots();
        let mut record = std::mem::take(&mut self.buffer);
        record.clear();
        self.adopt(slot, new, &mut record);
        metadata::encode(new.metadata, vocabulary, &mut record);
        let blob = self.arena.put(slot, &[&record]);
        self.keep_buffer(record);
        self.ids.push(new.id.0);
        self.places.push(Place::new(new.kind, blob, 0));
        self.ages.push(now.0);
        self.alive += 1;
        self.created_in_order &= self.last_created_at <= now.0;
        self.last_created_at = self.last_created_at.max(now.0);
        slot
    }

    /// Makes all substrates known by their identities, where none is yet and all are alive.
    ///
    /// # Errors
    /// The slot of one that is there twice.
    pub(crate) fn build_identities(&mut self) -> Result<(), u32> {
        let ids = &self.ids;
        self.identities.build(self.ages.slots(), |slots, into| into.extend(slots.map(|slot| ids.get(slot))))
    }

    /// Gives a substrate that has just been pushed the version and the time that it had.
    pub(crate) fn restore_change(&mut self, slot: u32, version: u32, updated_at: Timestamp) {
        let mut record = std::mem::take(&mut self.buffer);
        record.clear();
        put_length(u64::from(version), &mut record);
        put_int(updated_at.0.wrapping_sub(self.created_at(slot)), &mut record);
        let pushed = self.record(slot);
        record.extend_from_slice(pushed.formula);
        record.extend_from_slice(pushed.metadata);
        self.end_change(slot, self.kind(slot), record);
    }

    /// Replaces formula and metadata.
    pub(crate) fn replace(
        &mut self,
        slot: u32,
        now: Timestamp,
        new: NewRecord<'_>,
        vocabulary: &mut Vocabulary,
    ) {
        let mut record = self.begin_change(slot, now);
        self.disown(slot);
        self.adopt(slot, new, &mut record);
        metadata::encode(new.metadata, vocabulary, &mut record);
        self.end_change(slot, new.kind, record);
    }

    /// Replaces metadata alone.
    pub(crate) fn replace_metadata(
        &mut self,
        slot: u32,
        now: Timestamp,
        metadata: &Document,
        vocabulary: &mut Vocabulary,
    ) {
        let mut record = self.begin_change(slot, now);
        record.extend_from_slice(self.record(slot).formula);
        metadata::encode(metadata, vocabulary, &mut record);
        self.end_change(slot, self.kind(slot), record);
    }

    /// Counts a change that changes nothing.
    pub(crate) fn touch_time(&mut self, slot: u32, now: Timestamp) {
        let mut record = self.begin_change(slot, now);
        let old = self.record(slot);
        record.extend_from_slice(old.formula);
        record.extend_from_slice(old.metadata);
        self.end_change(slot, self.kind(slot), record);
    }

    /// The beginning of the record after a change.
    fn begin_change(&mut self, slot: u32, now: Timestamp) -> Vec<u8> {
        let mut record = std::mem::take(&mut self.buffer);
        record.clear();
        put_length(u64::from(self.version(slot).saturating_add(1)), &mut record);
        put_int(now.0.wrapping_sub(self.created_at(slot)), &mut record);
        record
    }

    fn end_change(&mut self, slot: u32, kind: ExpressionType, record: Vec<u8>) {
        let old = self.places.get(slot);
        self.arena.free(old.blob());
        let blob = self.arena.put(slot, &[&record]);
        self.keep_buffer(record);
        *self.places.get_mut(slot) = Place::new(kind, blob, old.0 | CHANGED);
        self.settle();
    }

    /// Deletes a substrate that has no relationships any more.
    pub(crate) fn remove(&mut self, slot: u32) {
        let ids = &self.ids;
        self.identities.remove(ids.get(slot), |slot| ids.get(slot));
        self.disown(slot);
        self.values.remove(slot);
        self.arena.free(self.places.get(slot).blob());
        *self.places.get_mut(slot) = Place(DEAD);
        self.alive -= 1;
        self.settle();
    }

    /// Gives the slot `from` the lower number `to`, which is free.
    pub(crate) fn renumber(&mut self, from: u32, to: u32) {
        let (id, place) = (self.ids.get(from), self.places.get(from));
        *self.ids.get_mut(to) = id;
        *self.places.get_mut(to) = place;
        *self.places.get_mut(from) = Place(DEAD);
        self.identities.renumber(id, from, to);
        self.arena.set_owner(place.blob(), to);
        if let Some(values) = self.values.remove(from) {
            self.values.insert(to, values);
        }
    }

    /// Forgets the slots from `length` on, which are dead.
    pub(crate) fn truncate(&mut self, length: u32) {
        self.ids.truncate(length);
        self.places.truncate(length);
    }

    /// Gives back what is kept for more.
    pub(crate) fn fit(&mut self) {
        self.ids.fit();
        self.places.fit();
        self.ages.fit();
        self.identities.fit();
        self.arena.fit();
        self.buffer = Vec::new();
    }

    pub(crate) fn identities_mut(&mut self) -> &mut Identities {
        &mut self.identities
    }

    pub(crate) fn wants_draining(&self) -> bool {
        self.identities.wants_draining()
    }

    pub(crate) fn memory(&self) -> [(&'static str, u64); 5] {
        [
            ("substrates", self.ids.allocated_bytes() + self.places.allocated_bytes()),
            ("substrate_identities", self.identities.allocated_bytes()),
            ("substrate_ages", self.ages.allocated_bytes()),
            ("texts_and_metadata", self.arena.allocated_bytes() + self.buffer.capacity() as u64),
            (
                "formulas",
                self.templates.allocated_bytes()
                    + self.shapes.allocated_bytes()
                    + self.values.allocated_bytes()
                    + self.values.values().map(values_bytes).sum::<u64>(),
            ),
        ]
    }

    /// Bytes of the text and, as it is stored, the metadata of a living substrate.
    pub(crate) fn stored_bytes(&self, slot: u32) -> usize {
        let record = self.record(slot);
        let text = match record.text {
            StoredText::Shaped(_, shape, numbers) => shape.text_len(&numbers),
            StoredText::Whole { code, .. } => code.len(),
        };
        text + record.metadata.len()
    }

    fn record(&self, slot: u32) -> Record<'_> {
        let place = self.places.get(slot);
        let mut reader = Reader::new(self.arena.get(place.blob()));
        let changed = (place.0 & CHANGED != 0).then(|| {
            let version = u32::try_from(reader.length()).unwrap_or(u32::MAX);
            (version, self.created_at(slot).wrapping_add(reader.int()))
        });
        let start = reader.rest();
        let shape = reader.length().checked_sub(1).map(|number| number as u32);
        let text = match shape.and_then(|number| Some((number, self.shapes.get(number)?))) {
            Some((number, shape)) => {
                let numbers = (0..shape.number_count()).map(|_| reader.length()).collect();
                StoredText::Shaped(number, shape, numbers)
            }
            None => {
                let template = reader.length() as u32;
                let code = reader.text();
                let constants = reader.length() as usize;
                StoredText::Whole { template, code, constants: reader.bytes(constants) }
            }
        };
        let metadata = reader.rest();
        Record { changed, text, metadata, formula: &start[..start.len() - metadata.len()] }
    }

    /// Writes the formula, counts what it shares, and keeps the values that do not encode.
    fn adopt(&mut self, slot: u32, new: NewRecord<'_>, record: &mut Vec<u8>) {
        self.by_type[new.kind as usize] += 1;
        match new.checked {
            Checked::Shaped(shape, numbers) => {
                let (number, is_first) = self.shapes.add(shape);
                if is_first {
                    self.templates.add(shape.template());
                }
                put_length(u64::from(number) + 1, record);
                numbers.iter().for_each(|&number| put_length(number, record));
            }
            Checked::Whole(formula) => {
                put_length(0, record);
                put_length(u64::from(self.templates.add(&formula.template).0), record);
                put_length(new.code.len() as u64, record);
                record.extend_from_slice(new.code.as_bytes());
                let mut encoded = Vec::new();
                if !constants::encode(&formula.constants, &formula.defaults, &mut encoded) {
                    let constants = Arc::clone(&formula.constants);
                    let values = Values { constants, defaults: Arc::clone(&formula.defaults) };
                    self.values.insert(slot, values);
                }
                put_length(encoded.len() as u64, record);
                record.extend_from_slice(&encoded);
            }
        }
    }

    /// Undoes what [`Substrates::adopt`] counted.
    fn disown(&mut self, slot: u32) {
        self.by_type[self.kind(slot) as usize] -= 1;
        self.values.remove(slot);
        let (shape, mut template) = match self.record(slot).text {
            StoredText::Shaped(number, ..) => (Some(number), None),
            StoredText::Whole { template, .. } => (None, Some(template)),
        };
        if let Some(shape) = shape.and_then(|shape| self.shapes.release(shape)) {
            template = self.templates.number(shape.template());
        }
        if let Some(template) = template {
            self.templates.release(template);
        }
    }

    /// Keeps the buffer for the next record; one large substrate shall not leave a large one.
    fn keep_buffer(&mut self, buffer: Vec<u8>) {
        if buffer.capacity() <= 1 << 16 {
            self.buffer = buffer;
        }
    }

    /// Empties segments of the arena that have become sparse, as far as freed records pay for it.
    fn settle(&mut self) {
        let work = self.arena.owed();
        if work > 0 {
            self.empty(work);
        }
    }

    pub(crate) fn wants_mending(&self) -> bool {
        self.arena.wants_mending()
    }

    /// Mends holes between records, a piece of work in bytes.
    pub(crate) fn mend(&mut self, work: usize) {
        self.arena.begin_mending();
        self.empty(work);
    }

    fn empty(&mut self, work: usize) {
        let places = &self.places;
        let moved = self.arena.empty(work, |owner, blob| {
            (owner as usize) < places.len() && {
                let place = places.get(owner);
                place.is_alive() && place.blob() == blob
            }
        });
        for (owner, blob) in moved {
            let place = self.places.get_mut(owner);
            *place = Place(place.0 & FLAGS | blob.to_bits());
        }
    }
}

/// About: what the values are made of is shared with running evaluations.
fn values_bytes(values: &Values) -> u64 {
    ((values.constants.len() + values.defaults.len()) * size_of::<Value>()) as u64
}
