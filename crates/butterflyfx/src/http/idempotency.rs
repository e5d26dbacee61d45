//! `Idempotency-Key`: a POST that is sent twice is done once, and answered twice.
//!
//! Answers are kept by path and key, for a time and within a bound of memory; the oldest go
//! first. What was asked is kept as a hash, so that a key cannot be used for something else. With a store
//! they outlive a restart: an answer is written down before it is given, that to the creation of one substrate or
//! relationship in the transaction that creates it.

use super::problem::{Code, Outcome, Problem};
use crate::app::App;
use crate::{client, clock, writing};
use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use butterflyfx_engine::model::Timestamp;
use butterflyfx_store::KeptAnswer;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Extensions, StatusCode, Uri};
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

/// The request header.
pub(super) const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const IDEMPOTENCY_REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// A longer key is refused.
const KEY_BYTES_MAX: usize = 255;
/// A longer answer is not kept.
const ANSWER_BYTES_MAX: u64 = 8 * 1024 * 1024;
/// What an entry costs beside its texts.
const ENTRY_BYTES: usize = 256;

/// A hash of a request: query, media type and body.
type RequestHash = [u8; 32];

/// The answers kept.
#[derive(Debug)]
pub(super) struct Idempotency {
    table: Mutex<Table>,
    keep: Duration,
    bytes_max: usize,
    /// Where answers are written down, if anywhere.
    app: Weak<App>,
}

#[derive(Debug, Default)]
struct Table {
    entries: HashMap<Arc<str>, Entry>,
    /// Kept answers, oldest first.
    order: VecDeque<(Instant, Arc<str>)>,
    bytes: usize,
}

#[derive(Debug)]
enum Entry {
    Running,
    Done(RequestHash, Arc<Kept>),
}

/// An answer.
#[derive(Debug)]
struct Kept {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Kept {
    fn new(status: StatusCode, mut headers: HeaderMap, body: Bytes) -> Kept {
        headers.remove(CONTENT_LENGTH);
        Kept { status, headers, body }
    }

    /// As the store had it; `None` where it is no answer.
    fn of(answer: &KeptAnswer) -> Option<Kept> {
        let mut headers = HeaderMap::new();
        for (name, value) in &answer.headers {
            let name = HeaderName::from_bytes(name.as_bytes()).ok()?;
            headers.append(name, HeaderValue::from_str(value).ok()?);
        }
        let status = StatusCode::from_u16(answer.status).ok()?;
        Some(Kept { status, headers, body: answer.body.clone() })
    }

    fn as_stored(&self, name: &str, request_hash: RequestHash, expires_at: Timestamp) -> KeptAnswer {
        let headers = self
            .headers
            .iter()
            .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
        KeptAnswer {
            name: name.to_owned(),
            expires_at,
            request_hash,
            status: self.status.as_u16(),
            headers: headers.collect(),
            body: self.body.clone(),
        }
    }

    fn replay(&self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response.headers_mut().insert(IDEMPOTENCY_REPLAYED, HeaderValue::from_static("true"));
        response
    }
}

impl Table {
    fn forget_old(&mut self, now: Instant, keep: Duration) {
        while self.order.front().is_some_and(|(at, _)| now.duration_since(*at) >= keep) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) -> Option<Arc<str>> {
        let (_, name) = self.order.pop_front()?;
        if let Some(Entry::Done(_, kept)) = self.entries.remove(&name) {
            self.bytes = self.bytes.saturating_sub(size(&name, &kept));
        }
        Some(name)
    }
}

fn later(time: Timestamp, by: Duration) -> Timestamp {
    Timestamp(time.0.saturating_add(i64::try_from(by.as_micros()).unwrap_or(i64::MAX)))
}

fn size(name: &str, kept: &Kept) -> usize {
    let headers: usize = kept.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    ENTRY_BYTES + name.len() + headers + kept.body.len()
}

/// What a handler needs to have its answer kept together with what it changed; among the extensions of the request.
#[derive(Clone)]
pub(super) struct Keeping {
    name: Arc<str>,
    hash: RequestHash,
    keep: Duration,
    bytes_max: usize,
    /// Whether a handler did so.
    is_kept: Arc<AtomicBool>,
}

impl Keeping {
    /// Makes the answer to keep, by what makes the answer to give; none where the request has no key.
    pub(super) fn of<T>(
        extensions: &Extensions,
        answer: impl Fn(&T) -> Response + Send + 'static,
    ) -> impl writing::Keep<T> {
        let keeping = extensions.get::<Keeping>().cloned();
        move |created: &T| {
            let keeping = keeping.as_ref()?;
            let (head, body) = answer(created).into_parts();
            // It is at hand, so nothing is waited for.
            let body = body.collect().now_or_never()?.ok()?.to_bytes();
            let kept = Kept::new(head.status, head.headers, body);
            if size(&keeping.name, &kept) > keeping.bytes_max {
                return None;
            }
            keeping.is_kept.store(true, Ordering::Relaxed);
            Some(kept.as_stored(&keeping.name, keeping.hash, later(clock::now(), keeping.keep)))
        }
    }
}

/// A claim on a key while its request runs; given up on drop.
#[derive(Debug)]
pub(super) struct Claim {
    idempotency: Arc<Idempotency>,
    name: Arc<str>,
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut table = self.idempotency.table.lock();
        if matches!(table.entries.get(&self.name), Some(Entry::Running)) {
            table.entries.remove(&self.name);
        }
    }
}

/// What is known of a key.
enum Known {
    New(Claim),
    Done(RequestHash, Arc<Kept>),
}

impl Idempotency {
    /// Keeps answers for a time, and so many bytes of them, in memory only.
    #[cfg(test)]
    fn new(keep: Duration, bytes_max: u64) -> Arc<Idempotency> {
        let bytes_max = usize::try_from(bytes_max).unwrap_or(usize::MAX);
        Arc::new(Idempotency { table: Mutex::default(), keep, bytes_max, app: Weak::new() })
    }

    /// As the settings say, with what the store had kept.
    pub(super) fn of(app: &Arc<App>) -> Arc<Idempotency> {
        let bytes_max = usize::try_from(app.config.idempotency_memory).unwrap_or(usize::MAX);
        let idempotency = Idempotency {
            table: Mutex::default(),
            keep: app.config.idempotency_keep,
            bytes_max,
            app: Arc::downgrade(app),
        };
        let (now, today) = (Instant::now(), clock::now());
        for answer in std::mem::take(&mut *app.kept_answers.lock()) {
            let left = Duration::from_micros(answer.expires_at.0.saturating_sub(today.0).max(0) as u64);
            // An instant before the machine's start cannot be told; such an answer is kept for longer.
            let kept_at = now.checked_sub(idempotency.keep.saturating_sub(left)).unwrap_or(now);
            if let Some(kept) = Kept::of(&answer) {
                idempotency.insert(answer.name.into(), answer.request_hash, kept, kept_at);
            }
        }
        Arc::new(idempotency)
    }

    fn claim(self: &Arc<Self>, name: Arc<str>, now: Instant) -> Outcome<Known> {
        let mut table = self.table.lock();
        table.forget_old(now, self.keep);
        match table.entries.get(&name) {
            None => {
                table.entries.insert(Arc::clone(&name), Entry::Running);
                Ok(Known::New(Claim { idempotency: Arc::clone(self), name }))
            }
            Some(Entry::Running) => Err(Problem::new(
                Code::IdempotencyKeyInFlight,
                "a request with this Idempotency-Key is being answered; send it again in a moment",
            )),
            Some(Entry::Done(hash, kept)) => Ok(Known::Done(*hash, Arc::clone(kept))),
        }
    }

    /// Keeps an answer; `false` where it is too long. Answers that others had to make room for are
    /// forgotten by the store, too.
    fn insert(&self, name: Arc<str>, hash: RequestHash, kept: Kept, now: Instant) -> bool {
        let size = size(&name, &kept);
        if size > self.bytes_max {
            return false;
        }
        let mut table = self.table.lock();
        table.forget_old(now, self.keep);
        let mut forgotten = Vec::new();
        while table.bytes + size > self.bytes_max && !table.order.is_empty() {
            forgotten.extend(table.forget_oldest());
        }
        table.bytes += size;
        table.order.push_back((now, Arc::clone(&name)));
        table.entries.insert(name, Entry::Done(hash, Arc::new(kept)));
        drop(table);
        if !forgotten.is_empty()
            && let Some(app) = self.app.upgrade()
        {
            app.queue.run_errand(move |store| {
                let names: Vec<&str> = forgotten.iter().map(|name| &**name).collect();
                // A failure shows at the next commit; what stays expires by itself.
                let _ = store.forget_answers(&names);
            });
        }
        true
    }

    /// What is kept now, as the store would have it.
    pub(super) fn kept_answers(&self) -> Vec<KeptAnswer> {
        let (now, today) = (Instant::now(), clock::now());
        let mut table = self.table.lock();
        table.forget_old(now, self.keep);
        let answers = table.order.iter().filter_map(|(at, name)| match table.entries.get(name)? {
            Entry::Running => None,
            Entry::Done(hash, kept) => {
                let left = self.keep.saturating_sub(now.duration_since(*at));
                Some(kept.as_stored(name, *hash, later(today, left)))
            }
        });
        answers.collect()
    }

    /// Keeps the answer to a claimed request, in the store before anyone is given it, unless it is there already.
    async fn keep(&self, claim: &Claim, hash: RequestHash, kept: Kept, is_stored: bool) {
        if size(&claim.name, &kept) > self.bytes_max {
            return;
        }
        if let Some(app) = self.app.upgrade()
            && app.queue.is_durable()
            && !is_stored
        {
            let answer = kept.as_stored(&claim.name, hash, later(clock::now(), self.keep));
            if let Err(failure) = writing::keep_answer(&app, answer).await {
                // What the answer speaks of has taken effect, so it is given all the same.
                tracing::warn!(?failure, "an answer is kept in memory only");
            }
        }
        self.insert(Arc::clone(&claim.name), hash, kept, Instant::now());
    }

    /// Answers a POST that has the header: from what is kept, or by asking `inner` once.
    ///
    /// `body_max` bounds a body that is held, `stream_max` one that is read as it comes.
    pub(super) async fn answer<F>(
        self: &Arc<Self>,
        request: Request,
        body_max: u64,
        stream_max: u64,
        inner: impl FnOnce(Request) -> F + Send + 'static,
    ) -> Outcome<Response>
    where
        F: Future<Output = Response> + Send + 'static,
    {
        let key = key_of(request.headers())?;
        let name: Arc<str> = format!("{}\n{key}", request.uri().path()).into();
        let known = self.claim(name, Instant::now())?;
        let hasher = begin(request.uri(), request.headers());
        match known {
            Known::Done(hash, kept) => {
                let bytes_max = if is_ndjson(request.headers()) { stream_max } else { body_max };
                let sent = hash_all(hasher, request.into_body(), bytes_max).await?;
                if sent != hash {
                    return Err(Problem::new(
                        Code::IdempotencyKeyReused,
                        "this Idempotency-Key was used for another request; use a new one",
                    ));
                }
                Ok(kept.replay())
            }
            Known::New(claim) if is_ndjson(request.headers()) => {
                // Too long to hold: hashed as it passes by.
                let (head, body) = request.into_parts();
                let hashed = Arc::new(Mutex::new((hasher, false)));
                let body = HashedBody { body, hashed: Arc::clone(&hashed) };
                let response = inner(Request::from_parts(head, Body::new(body))).await;
                let hash = {
                    let hashed = hashed.lock();
                    hashed.1.then(|| *hashed.0.finalize().as_bytes())
                };
                Ok(keep_answer(&claim, hash, response, false).await)
            }
            Known::New(claim) => {
                let (head, body) = request.into_parts();
                let text = super::wire::body(body, body_max).await?;
                let mut hasher = hasher;
                hasher.update(&text);
                let hash = *hasher.finalize().as_bytes();
                let mut request = Request::from_parts(head, Body::from(text));
                let is_kept = Arc::new(AtomicBool::new(false));
                request.extensions_mut().insert(Keeping {
                    name: Arc::clone(&claim.name),
                    hash,
                    keep: self.keep,
                    bytes_max: self.bytes_max,
                    is_kept: Arc::clone(&is_kept),
                });
                // A task of its own: what was begun is finished and kept though the client goes
                // away, for that is when it will ask again.
                let answering = async move {
                    let response = inner(request).await;
                    keep_answer(&claim, Some(hash), response, is_kept.load(Ordering::Relaxed)).await
                };
                let task = tokio::spawn(client::serving(client::of_this_request(), answering));
                task.await.map_err(|_| {
                    Problem::new(Code::Internal, "the server failed on this request; the log says more")
                })
            }
        }
    }
}

fn key_of(headers: &HeaderMap) -> Outcome<String> {
    let mut values = headers.get_all(IDEMPOTENCY_KEY).iter();
    let key = values.next().and_then(|value| value.to_str().ok()).unwrap_or_default();
    if key.is_empty() || key.len() > KEY_BYTES_MAX || values.next().is_some() {
        return Err(Problem::invalid_parameter(
            "Idempotency-Key",
            format!("Idempotency-Key must be given once, with 1 to {KEY_BYTES_MAX} ASCII characters"),
        ));
    }
    Ok(key.to_owned())
}

fn is_ndjson(headers: &HeaderMap) -> bool {
    headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|text| text.to_ascii_lowercase().contains("ndjson"))
}

fn begin(uri: &Uri, headers: &HeaderMap) -> blake3::Hasher {
    let mut hasher = blake3::Hasher::new();
    hasher.update(uri.query().unwrap_or_default().as_bytes());
    hasher.update(b"\n");
    hasher.update(headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default());
    hasher.update(b"\n");
    hasher
}

async fn hash_all(mut hasher: blake3::Hasher, mut body: Body, bytes_max: u64) -> Outcome<RequestHash> {
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(|error| super::wire::broken_body(&error))?.into_data() {
            bytes += data.len() as u64;
            if bytes > bytes_max {
                return Err(Problem::body_too_large("the body", bytes_max));
            }
            hasher.update(&data);
        }
    }
    Ok(*hasher.finalize().as_bytes())
}

/// Keeps an answer whose request was read to its end, unless the server failed or the answer is
/// too long.
async fn keep_answer(
    claim: &Claim,
    hash: Option<RequestHash>,
    response: Response,
    is_stored: bool,
) -> Response {
    let (Some(hash), Some(0..=ANSWER_BYTES_MAX)) = (hash, response.body().size_hint().exact()) else {
        return response;
    };
    if response.status().is_server_error() {
        return response;
    }
    let (head, body) = response.into_parts();
    let Ok(body) = body.collect().await.map(http_body_util::Collected::to_bytes) else {
        return Response::from_parts(head, Body::empty());
    };
    let kept = Kept::new(head.status, head.headers.clone(), body.clone());
    claim.idempotency.keep(claim, hash, kept, is_stored).await;
    Response::from_parts(head, Body::from(body))
}

/// A body that is hashed as it is read.
struct HashedBody {
    body: Body,
    /// The hash so far, and whether the end was reached.
    hashed: Arc<Mutex<(blake3::Hasher, bool)>>,
}

impl http_body::Body for HashedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let mut hashed = self.hashed.lock();
        match &frame {
            None => hashed.1 = true,
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    hashed.0.update(data);
                }
            }
            Some(Err(_)) => {}
        }
        drop(hashed);
        Poll::Ready(frame)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(bytes: usize) -> Kept {
        Kept { status: StatusCode::OK, headers: HeaderMap::new(), body: vec![0; bytes].into() }
    }

    fn claim(store: &Arc<Idempotency>, name: &str, now: Instant) -> Option<Claim> {
        match store.claim(name.into(), now) {
            Ok(Known::New(claim)) => Some(claim),
            _ => None,
        }
    }

    #[test]
    fn a_claim_given_up_can_be_taken_again() {
        let store = Idempotency::new(Duration::from_secs(60), 10_000);
        let now = Instant::now();
        let first = claim(&store, "a", now);
        assert!(first.is_some());
        assert!(claim(&store, "a", now).is_none());
        drop(first);
        assert!(claim(&store, "a", now).is_some());
    }

    #[test]
    fn the_oldest_answers_go_first() {
        let store = Idempotency::new(Duration::from_secs(60), 3_000);
        let now = Instant::now();
        for name in ["a", "b", "c", "d"] {
            let claim = claim(&store, name, now).expect("a new key");
            store.insert(Arc::clone(&claim.name), [0; 32], kept(700), now);
        }
        let there = |name: &str| matches!(store.claim(name.into(), now), Ok(Known::Done(..)));
        assert_eq!(["a", "b", "c", "d"].map(there), [false, true, true, true]);
        assert!(store.table.lock().bytes <= 3_000);
        let claim = claim(&store, "huge", now).expect("a new key");
        assert!(!store.insert(Arc::clone(&claim.name), [0; 32], kept(5_000), now));
        drop(claim);
        assert!(!there("huge") && there("d"));
    }

    #[test]
    fn answers_are_forgotten_in_time() {
        let store = Idempotency::new(Duration::from_secs(60), 3_000);
        let now = Instant::now();
        let first = claim(&store, "a", now).expect("a new key");
        store.insert(Arc::clone(&first.name), [0; 32], kept(10), now);
        drop(first);
        assert!(claim(&store, "a", now + Duration::from_secs(59)).is_none());
        assert!(claim(&store, "a", now + Duration::from_secs(60)).is_some());
        assert_eq!(store.table.lock().bytes, 0);
    }
}
