//! Batches: many substrates or relationships in one request, as a JSON array or as NDJSON that is
//! read, applied and answered piece by piece, so that memory stays flat whatever comes.
//!
//! The answer is collected up to a bound. Beyond it the answer begins while the rest of the
//! request is still being read; a client that sends so much must read meanwhile or ask for
//! `results=none`.

use super::problem::{Code, Outcome, Problem};
use super::wire::{self, Accepts, At, Faults, Media, Object, Query, decode, write};
use super::{Answer, Shared, relationships, schema, substrates};
use crate::app::App;
use crate::evaluation::{OffloadFailure, offload};
use crate::writing::{self, Sequence, WriteFailure, Writing};
use axum::body::Body;
use axum::extract::{Request, State};
use butterflyfx_engine::Engine;
use butterflyfx_engine::decide::{PreparedRelationship, PreparedSubstrate};
use butterflyfx_engine::draft::{Draft, Later};
use butterflyfx_engine::engine::ItemResult;
use butterflyfx_engine::error::EngineError;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{
    Created, NewRelationship, NewSubstrate, OnConflict, Relationship, Substrate,
};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::json::{self, Pull};
use bytes::{Bytes, BytesMut};
use futures_util::stream;
use http_body::Body as _;
use http_body_util::BodyExt;
use std::collections::VecDeque;
use std::iter::Peekable;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

/// Bytes of NDJSON that are applied at a time.
const PIECE_BYTES: usize = 256 * 1024;
/// Items of a JSON array that are applied at a time.
const PIECE_ITEMS: usize = 1_000;
/// Bytes that a network thread reads before it sees to others.
const READ_STEP: usize = 64 * 1024;
/// Items that are prepared together.
const TOGETHER: usize = 64;

/// Lines that are decoded before short requests get a turn on this processor.
const DECODE_STEP: u32 = 64;
/// An answer longer than this begins before the request has ended.
const BUFFERED_BYTES_MAX: usize = 32 * 1024 * 1024;
/// All items of an atomic batch are held until its end.
const ATOMIC_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Pieces of a batch that are written at a time: enough that a group of the writer takes several, and the next wait
/// when it is stored.
const IN_FLIGHT_MAX: usize = 6;
/// How often, and how far apart, a piece is offered to a full queue.
const OFFERS: u32 = 500;
const OFFER_INTERVAL: Duration = Duration::from_millis(10);

/// What a batch is made of.
pub(super) trait Kind: Send + 'static {
    /// To create.
    type New: Send + 'static;
    /// The same, read as far as it can be without the state.
    type Prepared: Send + 'static;
    /// Created.
    type Item: Send + 'static;
    /// What an error needs to know of what was to be created.
    type Hint: Send + 'static;
    /// The member that holds the array.
    const FIELD: &'static str;
    fn decode(document: Document) -> Outcome<Self::New>;
    /// Decodes a text where all is as it should be; `None` leaves it to [`Kind::decode`], which has the
    /// words for what is wrong.
    fn decode_quickly(text: Pull<'_>) -> Option<Self::New>;
    fn hint(new: &Self::New) -> Self::Hint;
    fn prepare(engine: &Engine, new: Vec<Self::New>) -> Vec<Result<Self::Prepared, EngineError>>;
    /// Plans what comes next, as far as it can be done in this draft. Items only where they are wanted.
    fn plan(
        draft: &mut Draft<'_>,
        new: &mut Waiting<Self>,
        options: Options,
        results: &mut Results<Self>,
    ) -> Result<(), Later>;
    /// Plans all or nothing.
    #[allow(clippy::type_complexity, reason = "three ways to end: later, refused, done")]
    fn plan_all(
        draft: &mut Draft<'_>,
        new: &mut Vec<Self::Prepared>,
        options: Options,
    ) -> Result<Result<Vec<Created<Option<Box<Self::Item>>>>, EngineError>, Later>;
    fn refuse(error: EngineError, hint: &Self::Hint) -> Box<Problem>;
    fn write(item: &Self::Item, out: &mut String);
}

/// Items that are not planned yet.
type Waiting<K> = Peekable<std::vec::IntoIter<Result<<K as Kind>::Prepared, EngineError>>>;

/// What became of items. Those that are not wanted take no room, and the others are not moved about.
type Results<K> = Vec<ItemResult<Option<Box<<K as Kind>::Item>>>>;

/// Substrates.
pub(super) struct Substrates;

impl Kind for Substrates {
    type New = NewSubstrate;
    type Prepared = PreparedSubstrate;
    type Item = Substrate;
    type Hint = ();
    const FIELD: &'static str = "substrates";

    fn decode(document: Document) -> Outcome<NewSubstrate> {
        substrates::decode_new(document)
    }

    fn decode_quickly(text: Pull<'_>) -> Option<NewSubstrate> {
        substrates::decode_quickly(text)
    }

    fn hint(_: &NewSubstrate) {}

    fn prepare(engine: &Engine, new: Vec<NewSubstrate>) -> Vec<Result<PreparedSubstrate, EngineError>> {
        new.into_iter().map(|one| engine.prepare_substrate(one)).collect()
    }

    fn plan(
        draft: &mut Draft<'_>,
        new: &mut Waiting<Substrates>,
        options: Options,
        results: &mut Results<Substrates>,
    ) -> Result<(), Later> {
        let keep = |one: &Substrate| (!options.counts_only).then(|| Box::new(one.clone()));
        draft.create_substrates(new, options.on_conflict, keep, results)
    }

    fn plan_all(
        draft: &mut Draft<'_>,
        new: &mut Vec<PreparedSubstrate>,
        options: Options,
    ) -> Result<Result<Vec<Created<Option<Box<Substrate>>>>, EngineError>, Later> {
        let keep = |one: &Substrate| (!options.counts_only).then(|| Box::new(one.clone()));
        draft.create_all_substrates(new, options.on_conflict, keep)
    }

    fn refuse(error: EngineError, (): &()) -> Box<Problem> {
        error.into()
    }

    fn write(item: &Substrate, out: &mut String) {
        write::substrate(item, out);
    }
}

/// Relationships.
pub(super) struct Relationships;

impl Kind for Relationships {
    type New = NewRelationship;
    type Prepared = PreparedRelationship;
    type Item = Relationship;
    type Hint = (SubstrateId, SubstrateId);
    const FIELD: &'static str = "relationships";

    fn decode(document: Document) -> Outcome<NewRelationship> {
        relationships::decode_new(document)
    }

    fn decode_quickly(text: Pull<'_>) -> Option<NewRelationship> {
        relationships::decode_quickly(text)
    }

    fn hint(new: &NewRelationship) -> (SubstrateId, SubstrateId) {
        (new.source, new.target)
    }

    fn prepare(engine: &Engine, new: Vec<NewRelationship>) -> Vec<Result<PreparedRelationship, EngineError>> {
        engine.prepare_relationships(new)
    }

    fn plan(
        draft: &mut Draft<'_>,
        new: &mut Waiting<Relationships>,
        options: Options,
        results: &mut Results<Relationships>,
    ) -> Result<(), Later> {
        let keep = |one: Relationship| (!options.counts_only).then(|| Box::new(one));
        draft.create_relationships(new, options.on_conflict, keep, results)
    }

    fn plan_all(
        draft: &mut Draft<'_>,
        new: &mut Vec<PreparedRelationship>,
        options: Options,
    ) -> Result<Result<Vec<Created<Option<Box<Relationship>>>>, EngineError>, Later> {
        let keep = |one: Relationship| (!options.counts_only).then(|| Box::new(one));
        draft.create_all_relationships(new, options.on_conflict, keep)
    }

    fn refuse(error: EngineError, (source, target): &(SubstrateId, SubstrateId)) -> Box<Problem> {
        relationships::of_create(error, *source, *target)
    }

    fn write(item: &Relationship, out: &mut String) {
        write::relationship(item, out);
    }
}

/// Create many substrates
///
/// An array, `{"substrates": [...]}`, or NDJSON with one substrate a line. Each item gives the substrate
/// or a problem, in order; `atomic=true` creates all or none; `results=none` answers the counts only.
#[utoipa::path(post, path = "/api/v1/substrates/batch", tag = "substrates", operation_id = "create_substrates",
    params(schema::BatchQuery, schema::OnConflictQuery),
    request_body(content((schema::SubstrateBatch = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "A substrate or a problem for each item.", body = schema::SubstrateResults)))]
pub(super) async fn create_substrates(State(api): State<Shared>, request: Request) -> Answer {
    create::<Substrates>(api, request).await
}

/// Create many relationships
///
/// An array, `{"relationships": [...]}`, or NDJSON with one relationship a line. Each item gives the
/// relationship or a problem, in order; `atomic=true` creates all or none; `results=none` answers the
/// counts only.
#[utoipa::path(post, path = "/api/v1/relationships/batch", tag = "relationships", operation_id = "create_relationships",
    params(schema::BatchQuery, schema::OnConflictQuery),
    request_body(content((schema::RelationshipBatch = "application/json"), (String = "application/x-ndjson"))),
    responses((status = 200, description = "A relationship or a problem for each item.", body = schema::RelationshipResults)))]
pub(super) async fn create_relationships(State(api): State<Shared>, request: Request) -> Answer {
    create::<Relationships>(api, request).await
}

/// What the query string asks for.
#[derive(Clone, Copy)]
pub(super) struct Options {
    on_conflict: OnConflict,
    atomic: bool,
    counts_only: bool,
    /// Levels that a document may be nested.
    depth_max: usize,
}

/// Decodes a line of NDJSON.
fn decode_line<K: Kind>(line: &[u8], number: u32, depth_max: usize) -> Outcome<K::New> {
    // No number is read as a formula reads it, so the bits of an integer do not matter.
    if let Some(new) = Pull::new(line, depth_max + 1, u64::MAX).and_then(K::decode_quickly) {
        return Ok(new);
    }
    let document = json::read_document(line, depth_max + 1).map_err(|mut error| {
        error.line = number;
        Box::<Problem>::from(error)
    })?;
    K::decode(document)
}

async fn create<K: Kind>(api: Shared, request: Request) -> Answer {
    let (head, body) = request.into_parts();
    let mut query = Query::read(&head.uri, &["atomic", "results", "on_conflict"]);
    let options = Options {
        on_conflict: query.on_conflict(),
        atomic: query.flag("atomic"),
        counts_only: query.one_of("results", &["all", "none"]) == 1,
        depth_max: api.app.engine.limits().json_depth,
    };
    query.finish()?;
    let source = match wire::media(&head.headers, Accepts::JsonOrNdJson)? {
        // `media` gives what the endpoint reads.
        Media::Json | Media::Arrow | Media::Csv => {
            let text = wire::body(body, api.app.config.http.body_max).await?;
            let items = offload(&api.app, move |_| read_items::<K>(&text, options.depth_max)).await??;
            Source::Items(items.into_iter())
        }
        Media::NdJson => {
            let settings = &api.app.config.http;
            let (what, bytes_max) = if options.atomic {
                ("an atomic batch", settings.batch_body_max.min(ATOMIC_BYTES_MAX))
            } else {
                ("a batch", settings.batch_body_max)
            };
            if body.size_hint().lower() > bytes_max {
                return Err(Problem::body_too_large(what, bytes_max));
            }
            Source::Lines(Lines {
                body,
                pending: BytesMut::new(),
                whole: 0,
                line: 1,
                bytes: 0,
                what,
                bytes_max,
                line_bytes_max: settings.body_max,
                ended: false,
                unyielded: 0,
            })
        }
    };
    let batch = Batch::<K> {
        api,
        options,
        source,
        in_flight: VecDeque::new(),
        sequence: Sequence::default(),
        end: None,
        items: 0,
        created: 0,
        failed: 0,
        any: false,
        kind: PhantomData,
    };
    if options.atomic { batch.create_all_or_none().await } else { batch.create_each().await }
}

/// The items of a JSON body.
fn read_items<K: Kind>(text: &[u8], depth_max: usize) -> Outcome<Vec<Document>> {
    let document = match wire::document(text, depth_max)? {
        Document::List(items) => return Ok(items),
        document @ Document::Map(_) => document,
        other => {
            let message = format!(
                "the body must be an array, or an object with the array {}, not {}",
                K::FIELD,
                decode::kind(&other)
            );
            return Err(Problem::invalid("", message));
        }
    };
    let mut faults = Faults::default();
    let items = Object::open(document, &At::Root, &mut faults).and_then(|mut object| {
        let items = object.required(K::FIELD, "an array", &At::Root, &mut faults, decode::list);
        object.close(&[K::FIELD], &At::Root, &mut faults);
        items
    });
    faults.finish()?;
    Ok(items.unwrap_or_default())
}

/// Where items come from.
enum Source {
    Items(std::vec::IntoIter<Document>),
    Lines(Lines),
}

/// An NDJSON body that is being read.
struct Lines {
    body: Body,
    /// Read, and not yet applied.
    pending: BytesMut,
    /// After the last line break in `pending`.
    whole: usize,
    /// The number of the line at the start of `pending`.
    line: u32,
    bytes: u64,
    what: &'static str,
    bytes_max: u64,
    line_bytes_max: u64,
    ended: bool,
    /// Bytes read since others had their turn on this network thread.
    unyielded: usize,
}

/// Some of the items.
#[derive(Clone)]
enum Piece {
    Items(Arc<Vec<Document>>),
    /// Whole lines, how many, and the number of the first.
    Lines(Bytes, usize, u32),
}

impl Source {
    /// The next items; `None` at the end.
    async fn next(&mut self) -> Outcome<Option<Piece>> {
        match self {
            Source::Items(items) => {
                let some: Vec<Document> = items.by_ref().take(PIECE_ITEMS).collect();
                Ok((!some.is_empty()).then(|| Piece::Items(Arc::new(some))))
            }
            Source::Lines(lines) => lines.next().await,
        }
    }

    /// Reads what is left, so that the client gets to read the answer.
    async fn drain(&mut self) {
        if let Source::Lines(lines) = self {
            while !lines.ended && lines.bytes <= lines.bytes_max && lines.fill().await.is_ok() {
                lines.pending.clear();
            }
        }
    }
}

impl Lines {
    async fn next(&mut self) -> Outcome<Option<Piece>> {
        while !self.ended && self.pending.len() < PIECE_BYTES {
            self.fill().await?;
        }
        // One long line.
        while !self.ended && self.whole == 0 {
            if self.pending.len() as u64 > self.line_bytes_max {
                return Err(Problem::body_too_large("a line", self.line_bytes_max));
            }
            self.fill().await?;
        }
        let whole = if self.ended { self.pending.len() } else { self.whole };
        if whole == 0 {
            return Ok(None);
        }
        self.whole = 0;
        let piece = self.pending.split_to(whole).freeze();
        let first = self.line;
        let lines = memchr::memchr_iter(b'\n', &piece).count();
        self.line = self.line.saturating_add(u32::try_from(lines).unwrap_or(u32::MAX));
        // The last one may have no break.
        Ok(Some(Piece::Lines(piece, lines + 1, first)))
    }

    /// Reads one frame.
    async fn fill(&mut self) -> Outcome<()> {
        let Some(frame) = self.body.frame().await else {
            self.ended = true;
            return Ok(());
        };
        if let Ok(data) = frame.map_err(|error| wire::broken_body(&error))?.into_data() {
            self.bytes += data.len() as u64;
            if self.bytes > self.bytes_max {
                return Err(Problem::body_too_large(self.what, self.bytes_max));
            }
            if let Some(position) = memchr::memrchr(b'\n', &data) {
                self.whole = self.pending.len() + position + 1;
            }
            self.pending.extend_from_slice(&data);
            self.unyielded += data.len();
            if self.unyielded >= READ_STEP {
                // A fast client always has more: a network thread would go on for a millisecond and let others wait.
                self.unyielded = 0;
                tokio::task::yield_now().await;
            }
        }
        Ok(())
    }
}

impl Piece {
    /// How many items there are at most.
    fn len(&self) -> usize {
        match self {
            Piece::Items(items) => items.len(),
            Piece::Lines(_, lines, _) => *lines,
        }
    }

    /// Decodes each item, good or bad.
    fn decode<K: Kind>(self, depth_max: usize, mut each: impl FnMut(Outcome<K::New>)) {
        match self {
            Piece::Items(items) => {
                // The piece is shared only while it waits for a worker.
                let items = Arc::try_unwrap(items).unwrap_or_else(|shared| (*shared).clone());
                for item in items {
                    each(K::decode(item));
                }
            }
            Piece::Lines(text, _, first) => {
                let mut number = first;
                let mut start = 0;
                for end in memchr::memchr_iter(b'\n', &text).chain([text.len()]) {
                    let line = &text[start..end];
                    if !line.iter().all(u8::is_ascii_whitespace) {
                        each(decode_line::<K>(line, number, depth_max));
                    }
                    if number % DECODE_STEP == 0 {
                        std::thread::yield_now();
                    }
                    start = end + 1;
                    number = number.saturating_add(1);
                }
            }
        }
    }
}

/// A piece, read as far as it can be without the state.
struct Prepared<K: Kind> {
    new: Vec<Result<K::Prepared, EngineError>>,
    /// For each item its hint, or its problem; the engine answers for those with a hint, in order.
    slots: Vec<Outcome<K::Hint>>,
}

/// Decodes and prepares a piece; on a worker.
fn prepare<K: Kind>(app: &App, piece: Piece, options: Options) -> Prepared<K> {
    let items = piece.len();
    let mut prepared = Prepared::<K> { new: Vec::with_capacity(items), slots: Vec::with_capacity(items) };
    let mut together = Vec::with_capacity(TOGETHER.min(items));
    piece.decode::<K>(options.depth_max, |outcome| match outcome {
        Ok(one) => {
            prepared.slots.push(Ok(K::hint(&one)));
            together.push(one);
            if together.len() == TOGETHER {
                let next = Vec::with_capacity(TOGETHER);
                prepared.new.extend(K::prepare(&app.engine, std::mem::replace(&mut together, next)));
            }
        }
        Err(problem) => prepared.slots.push(Err(problem)),
    });
    prepared.new.extend(K::prepare(&app.engine, together));
    prepared
}

/// What became of a piece.
struct Applied {
    created: u64,
    failed: u64,
    /// The results, separated by commas.
    text: String,
}

/// Counts and writes what became of a piece.
fn conclude<K: Kind>(slots: Vec<Outcome<K::Hint>>, results: Results<K>, counts_only: bool) -> Applied {
    let mut applied = Applied { created: 0, failed: 0, text: String::new() };
    let mut results = results.into_iter();
    for slot in slots {
        let outcome = slot.and_then(|hint| match results.next() {
            Some(Ok(created)) => Ok(created),
            Some(Err(error)) => Err(K::refuse(error, &hint)),
            None => Err(Problem::new(Code::Internal, "the engine gave no result for this item")),
        });
        match &outcome {
            Ok(Created { is_new: true, .. }) => applied.created += 1,
            Ok(_) => {}
            Err(_) => applied.failed += 1,
        }
        if counts_only {
            continue;
        }
        if !applied.text.is_empty() {
            applied.text.push(',');
        }
        match outcome {
            Ok(Created { item: Some(item), .. }) => K::write(&item, &mut applied.text),
            Ok(_) => applied.text.push_str("null"),
            Err(problem) => problem.write(None, &mut applied.text),
        }
    }
    applied
}

/// A piece that is being written.
struct InFlight<K: Kind> {
    slots: Vec<Outcome<K::Hint>>,
    writing: Writing<Results<K>>,
}

/// A batch on its way.
struct Batch<K: Kind> {
    api: Shared,
    options: Options,
    source: Source,
    /// Pieces that are being written, oldest first.
    in_flight: VecDeque<InFlight<K>>,
    sequence: Sequence,
    /// What ended the reading.
    end: Option<Outcome<()>>,
    /// Items that are dealt with.
    items: u64,
    created: u64,
    failed: u64,
    /// Whether any result was written.
    any: bool,
    kind: PhantomData<fn() -> K>,
}

impl<K: Kind> Batch<K> {
    /// Applies the next piece and gives its part of the answer; `None` at the end.
    async fn step(&mut self) -> Outcome<Option<String>> {
        // Where the client only waits for the end, pieces are written while more are made ready.
        let most = if self.options.counts_only { IN_FLIGHT_MAX } else { 1 };
        while self.end.is_none() && self.in_flight.len() < most {
            match self.begin().await {
                Ok(true) => {}
                Ok(false) => self.end = Some(Ok(())),
                Err(problem) => self.end = Some(Err(problem)),
            }
        }
        let Some(InFlight { slots, writing }) = self.in_flight.pop_front() else {
            return match self.end.take() {
                Some(Err(problem)) => Err(problem),
                _ => Ok(None),
            };
        };
        let results = writing.outcome().await.map_err(|failure| Self::refused(failure, self.items))?;
        self.items += slots.len() as u64;
        let applied = if self.options.counts_only {
            conclude::<K>(slots, results, true)
        } else {
            offload(&self.api.app, move |_| conclude::<K>(slots, results, false)).await?
        };
        self.created += applied.created;
        self.failed += applied.failed;
        let mut text = applied.text;
        if self.any && !text.is_empty() {
            text.insert(0, ',');
        }
        self.any |= !text.is_empty();
        Ok(Some(text))
    }

    /// The problem of a batch that ends early, after so many items.
    fn refused(failure: WriteFailure, items: u64) -> Box<Problem> {
        match items {
            0 => failure.into(),
            1 => Problem::of_write(failure, "the first item of the batch was dealt with, and no other"),
            _ => Problem::of_write(
                failure,
                &format!("the first {items} items of the batch were dealt with, and no others"),
            ),
        }
    }

    /// Makes the next piece ready and hands it to the writer; `false` at the end.
    async fn begin(&mut self) -> Outcome<bool> {
        let options = self.options;
        let Some(Prepared { new, slots }) = Self::next(&self.api, &mut self.source, options).await? else {
            return Ok(false);
        };
        // Those that are still on their way take effect first.
        let before = self.items + self.in_flight.iter().map(|piece| piece.slots.len() as u64).sum::<u64>();
        self.api.app.room.check().map_err(|shortage| Self::refused(shortage.into(), before))?;
        let mut results = Vec::with_capacity(new.len());
        let mut new = new.into_iter().peekable();
        let writing = self.sequence.submit(&self.api.app, move |draft| {
            K::plan(draft, &mut new, options, &mut results)?;
            Ok(std::mem::take(&mut results))
        });
        let writing = writing.map_err(|failure| Self::refused(failure, before))?;
        self.in_flight.push_back(InFlight { slots, writing });
        Ok(true)
    }

    /// The next piece, prepared; `None` at the end.
    async fn next(api: &Shared, source: &mut Source, options: Options) -> Outcome<Option<Prepared<K>>> {
        match source.next().await? {
            Some(piece) => {
                Ok(Some(offer(api, piece, move |app, piece| prepare::<K>(app, piece, options)).await?))
            }
            None => Ok(None),
        }
    }

    fn head(&self) -> &'static str {
        if self.options.counts_only { "{" } else { "{\"results\":[" }
    }

    fn tail(&self) -> String {
        let comma = if self.options.counts_only { "" } else { "]," };
        format!("{comma}\"created\":{},\"failed\":{}}}", self.created, self.failed)
    }

    async fn create_each(mut self) -> Answer {
        let mut out = String::from(self.head());
        while let Some(text) = self.step().await? {
            out.push_str(&text);
            if out.len() > BUFFERED_BYTES_MAX {
                return Ok(wire::streamed(self.rest(out)));
            }
        }
        out.push_str(&self.tail());
        Ok(wire::ok(out))
    }

    /// The answer from here on, made as it is taken. A refusal can only cut it short.
    fn rest(self, begun: String) -> Body {
        let pieces = stream::try_unfold((Some(self), Some(begun)), async |(batch, begun)| {
            if let Some(begun) = begun {
                return Ok(Some((Bytes::from(begun), (batch, None))));
            }
            let Some(mut batch) = batch else {
                return Ok(None);
            };
            match batch.step().await {
                Ok(Some(text)) => Ok(Some((Bytes::from(text), (Some(batch), None)))),
                Ok(None) => Ok(Some((Bytes::from(batch.tail()), (None, None)))),
                Err(problem) => Err(std::io::Error::other(problem.detail)),
            }
        });
        Body::from_stream(pieces)
    }

    async fn create_all_or_none(mut self) -> Answer {
        let (mut all, mut hints) = (Vec::new(), Vec::new());
        let options = self.options;
        while let Some(Prepared { new, slots }) = Self::next(&self.api, &mut self.source, options).await? {
            let mut new = new.into_iter();
            for slot in slots {
                let problem = match slot {
                    Ok(hint) => match new.next() {
                        Some(Ok(one)) => {
                            all.push(one);
                            hints.push(hint);
                            continue;
                        }
                        Some(Err(error)) => K::refuse(error, &hint),
                        None => Problem::new(Code::Internal, "an item was lost"),
                    },
                    Err(problem) => problem,
                };
                self.source.drain().await;
                return Err(problem.of_atomic_batch(all.len()));
            }
        }
        self.api.app.room.check().map_err(WriteFailure::from)?;
        let planned =
            writing::write(&self.api.app, move |draft| K::plan_all(draft, &mut all, options)).await?;
        let results = planned.map_err(|error| match error {
            EngineError::Batch(index, error) => match hints.get(index) {
                Some(hint) => K::refuse(*error, hint).of_atomic_batch(index),
                None => Box::<Problem>::from(*error).of_atomic_batch(index),
            },
            error => error.into(),
        })?;
        let slots = hints.into_iter().map(Ok).collect();
        let applied = offload(&self.api.app, move |_| {
            conclude::<K>(slots, results.into_iter().map(Ok).collect(), options.counts_only)
        })
        .await?;
        let (text, created) = (applied.text, applied.created);
        self.created = created;
        let mut out = String::with_capacity(text.len() + 64);
        out.push_str(self.head());
        out.push_str(&text);
        out.push_str(&self.tail());
        Ok(wire::ok(out))
    }
}

/// Offers a piece to the workers until there is room in the queue: a batch that has begun should
/// not fail because others are busy.
async fn offer<T, F>(api: &Shared, piece: Piece, work: F) -> Outcome<T>
where
    T: Send + 'static,
    F: FnOnce(&App, Piece) -> T + Clone + Send + 'static,
{
    let mut offers = 0;
    loop {
        let (work, again) = (work.clone(), piece.clone());
        offers += 1;
        match offload(&api.app, move |app| work(app, again)).await {
            Err(OffloadFailure::Overloaded) if offers < OFFERS => tokio::time::sleep(OFFER_INTERVAL).await,
            outcome => return Ok(outcome?),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fmt::Debug;

    /// What the fast way takes, the other way takes too, and as the same.
    fn check<K: Kind<New: Debug + PartialEq>>(line: &[u8]) {
        for depth_max in [2, 64] {
            let quick = Pull::new(line, depth_max + 1, u64::MAX).and_then(K::decode_quickly);
            if let Some(quick) = quick {
                let document = json::read_document(line, depth_max + 1).expect("it is JSON");
                assert_eq!(K::decode(document).expect("it is acceptable"), quick);
            }
        }
    }

    #[test]
    fn usual_lines_take_the_fast_way() {
        let substrate = br#"{"identity":"0x1","expression_type":"lambda","expression_code":"lambda x: x","metadata":{"a":[1,2.5,"b"]}}"#;
        let relationship = br#" {"rel_type": "DEPENDENCY", "source_id": "0x1", "target_id": "2", "constraints": {"parameter": "x"}, "lineage": null}"#;
        assert!(Pull::new(substrate, 64, u64::MAX).and_then(Substrates::decode_quickly).is_some());
        assert!(Pull::new(relationship, 64, u64::MAX).and_then(Relationships::decode_quickly).is_some());
    }

    const MEMBERS: &[&str] = &[
        r#""identity":"0xAB""#,
        r#""identity":null"#,
        r#""expression_type":"lambda""#,
        r#""expression_type":"constant""#,
        r#""expression_type":"function""#,
        r#""expression_code":"lambda x: x""#,
        r#""expression\u005fcode": "\"\u00e9\\""#,
        r#""metadata":{"a":{"b":[1,-2.50,1e3,{"c":null}]},"big":123456789012345678901234567890}"#,
        r#""metadata" : { }"#,
        r#""metadata":[]"#,
        r#""rel_type":"dependency""#,
        r#""rel_type":"NONE""#,
        r#""source_id":"0x0000000000000001""#,
        r#""target_id":"fF""#,
        r#""target_id":"0x""#,
        r#""bidirectional":true"#,
        r#""bidirectional":null"#,
        r#""constraints":{"parameter":"x"}"#,
        r#""lineage":"free""#,
        r#""lineage":null"#,
        r#""other":1"#,
    ];

    proptest! {
        #[test]
        fn both_ways_agree(
            members in proptest::collection::vec(proptest::sample::select(MEMBERS), 0..7),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..4_u8), 0..3),
        ) {
            let mut line = format!("{{{}}}", members.join(",")).into_bytes();
            for (at, byte, what) in changes {
                let at = at.index(line.len());
                match what {
                    0 => line[at] = byte,
                    1 => line.insert(at, byte),
                    2 => line.insert(at, b"\"{}[],: \\01\t"[usize::from(byte) % 11]),
                    _ => {
                        line.remove(at);
                    }
                }
                if line.is_empty() {
                    break;
                }
            }
            check::<Substrates>(&line);
            check::<Relationships>(&line);
        }
    }
}
