//! One formula over tables: Arrow IPC streams and CSV, in and out, of any number of rows.
//!
//! A body is read a record batch or some thousand lines at a time; each is evaluated on a worker and its answer written, so
//! that memory stays flat whatever comes. The answer is held up to a bound, so that what is found wrong until then is a refusal
//! with a status; beyond it the answer begins while the rest of the request is still being read, by a task of its own (see
//! [`backlog`]), and a refusal can only cut it short. A client that leaves takes the work with it.

mod arrow_in;
mod arrow_out;
mod backlog;
mod csv_in;
mod evaluate;
mod incoming;
mod sink;
mod table;

use self::arrow_in::ArrowReader;
use self::backlog::{Giver, backlog};
use self::csv_in::CsvReader;
use self::evaluate::Evaluator;
use self::incoming::Incoming;
use self::sink::{Form, Sink};
use self::table::Table;
use super::budget::{Budget, check_answer};
use super::on_error::OnError;
use super::problem::{Outcome, Problem};
use super::wire::Media;
use super::{Answer, Shared};
use crate::client;
use crate::evaluation::{OffloadFailure, offload_bulk};
use crate::server::activity::Excuse;
use axum::body::Body;
use axum::response::Response;
use butterflyfx_engine::identity::SubstrateId;
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap};
use http::request::Parts;
use http_body::Body as _;
use parking_lot::Mutex;
use std::sync::Arc;
use std::time::Duration;

/// An answer longer than this begins before the request has ended.
const HELD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How often, and how far apart, work is offered to a full queue once some of it is done.
const OFFERS: u32 = 500;
const OFFER_INTERVAL: Duration = Duration::from_millis(10);

/// Answers a table with the results of its rows.
pub(super) async fn answer(
    api: &Shared,
    id: SubstrateId,
    head: &Parts,
    body: Body,
    media: Media,
    on_error: OnError,
) -> Answer {
    let settings = &api.app.config.http;
    if body.size_hint().lower() > settings.batch_body_max {
        return Err(Problem::body_too_large("a table", settings.batch_body_max));
    }
    let (reader, form) = match media {
        Media::Arrow => (Reader::Arrow(Box::default()), Form::Arrow),
        _ => (Reader::Csv(CsvReader::new(settings.body_max, api.app.engine.limits())), Form::Csv),
    };
    let form = wanted(&head.headers).unwrap_or(form);
    let work = Work {
        reader,
        table: None,
        text_bytes_max: api.app.engine.limits().parameters_json_bytes,
        evaluator: Evaluator::new(&api.app, id),
        sink: Sink::new(Arc::clone(&api.app), id, form, on_error),
    };
    let stream = Stream {
        api: Arc::clone(api),
        incoming: Incoming::new(body, settings.batch_body_max),
        excuse: head.extensions.get().cloned(),
        data: Bytes::new(),
        is_done: false,
        has_begun: false,
        work: Arc::new(Mutex::new(work)),
    };
    let body = stream.answer(on_error).await?;
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(form.media()));
    Ok(response)
}

/// The first form in `Accept` that there is.
fn wanted(headers: &HeaderMap) -> Option<Form> {
    let lists = headers.get_all(ACCEPT).into_iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).find_map(|one| {
        let essence = one.split(';').next()?.trim();
        [
            ("application/json", Form::Json),
            ("application/vnd.apache.arrow.stream", Form::Arrow),
            ("text/csv", Form::Csv),
        ]
        .into_iter()
        .find_map(|(name, form)| essence.eq_ignore_ascii_case(name).then_some(form))
    })
}

enum Reader {
    Arrow(Box<ArrowReader>),
    Csv(CsvReader),
}

impl Reader {
    fn feed(&mut self, data: &mut Bytes) -> Outcome<()> {
        match self {
            Reader::Arrow(reader) => reader.feed(data),
            Reader::Csv(reader) => {
                reader.feed(data);
                Ok(())
            }
        }
    }

    /// Whether there may be a table in what was read; `is_last` where nothing comes after it.
    fn is_ready(&self, is_last: bool) -> bool {
        match self {
            Reader::Arrow(reader) => reader.is_ready(),
            Reader::Csv(reader) => reader.is_ready() || (is_last && !reader.is_empty()),
        }
    }

    fn table(&mut self, is_last: bool) -> Outcome<Option<Table>> {
        match self {
            Reader::Arrow(reader) => reader.table(),
            Reader::Csv(reader) => reader.table(is_last),
        }
    }

    fn finish(&self) -> Outcome<()> {
        match self {
            Reader::Arrow(reader) => reader.finish(),
            Reader::Csv(reader) => reader.finish(),
        }
    }
}

/// What a worker needs of a request; it has it to itself while it works.
struct Work {
    reader: Reader,
    /// A table, and how many of its rows are done.
    table: Option<(Table, usize)>,
    text_bytes_max: usize,
    evaluator: Evaluator,
    sink: Sink,
}

impl Work {
    fn is_ready(&self, is_last: bool) -> bool {
        self.table.is_some() || self.reader.is_ready(is_last)
    }

    /// Evaluates the next piece and gives its answer.
    fn step(&mut self, is_last: bool, budget: &mut Budget) -> Outcome<Vec<u8>> {
        if self.table.is_none() {
            self.table = self.reader.table(is_last)?.map(|table| (table, 0));
        }
        if let Some((table, done)) = &mut self.table {
            let first = self.sink.rows() - *done as u64;
            let (piece, rows) = table.piece(*done, first, self.text_bytes_max)?;
            let known = first + table.rows as u64;
            *done += self.evaluator.piece(&piece, rows, known, &mut self.sink, budget)?;
            if *done == table.rows {
                self.table = None;
            }
        }
        self.sink.end_piece()?;
        Ok(self.sink.take())
    }

    fn finish(&mut self) -> Outcome<Vec<u8>> {
        self.reader.finish()?;
        self.sink.finish()?;
        Ok(self.sink.take())
    }
}

/// A request on its way.
struct Stream {
    api: Shared,
    incoming: Incoming,
    /// What keeps the transport from holding it against the client that it does not read yet.
    excuse: Option<Excuse>,
    /// Of the frame that came last, what is not taken.
    data: Bytes,
    /// Whether all is written.
    is_done: bool,
    /// Whether a worker has done any of it.
    has_begun: bool,
    work: Arc<Mutex<Work>>,
}

impl Stream {
    /// Reads until there is something to evaluate; `false` at the end.
    async fn fill(&mut self) -> Outcome<bool> {
        loop {
            let is_ready = {
                let mut work = self.work.lock();
                if !work.is_ready(false) {
                    work.reader.feed(&mut self.data)?;
                }
                work.is_ready(self.is_last())
            };
            if is_ready {
                return Ok(true);
            }
            if self.is_last() {
                return Ok(false);
            }
            if self.data.is_empty() {
                self.data = self.incoming.next().await?;
            }
        }
    }

    /// Whether nothing comes after what the reader has.
    fn is_last(&self) -> bool {
        self.incoming.is_over() && self.data.is_empty()
    }

    /// The next part of the answer; `None` at the end.
    async fn next(&mut self) -> Outcome<Option<Vec<u8>>> {
        while !self.is_done {
            let part = if self.fill().await? {
                self.step().await?
            } else {
                self.is_done = true;
                self.work.lock().finish()?
            };
            if !part.is_empty() {
                return Ok(Some(part));
            }
        }
        Ok(None)
    }

    /// Has a worker do the next piece.
    async fn step(&mut self) -> Outcome<Vec<u8>> {
        let is_last = self.is_last();
        let mut offers = 0;
        loop {
            // Each piece may take what a request may.
            let (mut budget, _cancel) = Budget::new(&self.api.app);
            let work = Arc::clone(&self.work);
            offers += 1;
            let step = offload_bulk(&self.api.app, move |_| work.lock().step(is_last, &mut budget));
            match self.incoming.read_during(step).await? {
                // A table that has begun should not fail because others are busy.
                Err(OffloadFailure::Overloaded) if self.has_begun && offers < OFFERS => {
                    tokio::time::sleep(OFFER_INTERVAL).await;
                }
                outcome => {
                    self.has_begun = true;
                    return outcome?;
                }
            }
        }
    }

    /// The whole answer, or its beginning and how to go on.
    async fn answer(mut self, on_error: OnError) -> Outcome<Body> {
        let mut held = Vec::new();
        while let Some(part) = self.next().await? {
            held.extend_from_slice(&part);
            match on_error {
                // Which row fails is known at the end.
                OnError::Fail => check_answer(held.len())?,
                _ if held.len() > HELD_BYTES_MAX => return Ok(self.rest(held)),
                _ => {}
            }
        }
        Ok(Body::from(held))
    }

    /// The answer from here on. A refusal can only cut it short.
    fn rest(mut self, held: Vec<u8>) -> Body {
        let (giver, taker) = backlog(held, &self.api.app.spool, self.excuse.take());
        let maker = tokio::spawn(client::serving(client::of_this_request(), self.make(giver)));
        let taker = taker.of_maker(maker.abort_handle());
        let parts = stream::try_unfold(taker, async |taker| {
            let part = taker.take().await?;
            Ok::<_, std::io::Error>(part.map(|part| (part, taker)))
        });
        Body::from_stream(parts)
    }

    /// Makes the rest of the answer.
    async fn make(mut self, mut giver: Giver) {
        loop {
            match self.next().await {
                Ok(Some(part)) => giver.give(part, self.incoming.is_awaited()).await,
                Ok(None) => return giver.end(Ok(())),
                Err(problem) => {
                    giver.end(Err(std::io::Error::other(problem.detail)));
                    // A client that sends all before it reads learns of it only then.
                    while !self.incoming.is_over() && self.incoming.next().await.is_ok() {}
                    return;
                }
            }
        }
    }
}
