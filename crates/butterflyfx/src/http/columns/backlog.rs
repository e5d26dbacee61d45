//! What is made of an answer and not taken yet: a little in memory, and the rest, where the request is still on its way and
//! the client takes nothing, in a temporary file.
//!
//! Many clients send all of a request before they read anything. If the request were read no further because its answer is
//! not taken, both sides would wait for each other. So the answer is made by a task of its own, whose [`Giver`] is held up
//! only where nothing of the request is left to read or no file can be had; the response has the [`Taker`]. What is in memory
//! stands before what is in the file, and nothing goes to memory while there is a file.

use crate::server::activity::{Excuse, Excused};
use crate::spool::{Spool, SpoolFile};
use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tokio::task::{AbortHandle, spawn_blocking};

/// Bytes in memory from which on no more part is put there.
const MEMORY_BYTES_MAX: usize = 1024 * 1024;

/// Bytes that are taken at once.
const PIECE_BYTES_MAX: usize = 256 * 1024;

/// A client that takes no piece for this long does not read, and gets a file. One that reads does not wait for a disk.
const STALL: Duration = Duration::from_millis(100);

/// How long after a file was refused it is asked for again.
const RETRY: Duration = Duration::from_secs(1);

/// Both ends of an answer that has begun with these bytes.
pub(super) fn backlog(held: Vec<u8>, spool: &Arc<Spool>, excuse: Option<Excuse>) -> (Giver, Taker) {
    let backlog = Arc::new(Backlog::default());
    backlog.state.lock().push(Bytes::from(held));
    let giver = Giver {
        backlog: Arc::clone(&backlog),
        spool: Arc::clone(spool),
        excused: excuse.as_ref().map(Excuse::hold),
        excuse,
        refused_at: None,
    };
    (giver, Taker { backlog, maker: None })
}

#[derive(Debug, Default)]
struct Backlog {
    state: Mutex<State>,
    /// There is something to take.
    given: Notify,
    /// Something was taken.
    taken: Notify,
}

#[derive(Debug, Default)]
struct State {
    memory: VecDeque<Bytes>,
    memory_bytes: usize,
    file: Option<Overflow>,
    /// What comes behind all this.
    end: Option<io::Result<()>>,
}

/// A file, and what of it is of use.
#[derive(Debug)]
struct Overflow {
    file: Arc<SpoolFile>,
    taken: u64,
    written: u64,
    /// Where it will end once what is being written is written.
    promised: u64,
}

impl State {
    fn push(&mut self, part: Bytes) {
        self.memory_bytes += part.len();
        self.memory.push_back(part);
    }

    /// A piece of what is in memory.
    fn pop(&mut self) -> Option<Bytes> {
        let first = self.memory.front_mut()?;
        let piece = first.split_to(first.len().min(PIECE_BYTES_MAX));
        if first.is_empty() {
            self.memory.pop_front();
        }
        self.memory_bytes -= piece.len();
        Some(piece)
    }

    /// Goes back to memory where nothing is left in the file.
    fn leave_empty_file(&mut self) {
        self.file.take_if(|file| file.taken == file.promised);
    }
}

/// The end where an answer is made.
pub(super) struct Giver {
    backlog: Arc<Backlog>,
    spool: Arc<Spool>,
    excuse: Option<Excuse>,
    /// There while the client need not take anything.
    excused: Option<Excused>,
    /// When a file was refused last.
    refused_at: Option<Instant>,
}

impl Giver {
    /// Hands on a part of the answer. Where the client does not take what there is this waits for it, unless the rest of the
    /// request `is_awaited`, and there is a file to be had.
    pub(super) async fn give(&mut self, part: Vec<u8>, is_awaited: bool) {
        let part = Bytes::from(part);
        let has_file = is_awaited && self.spool.is_on();
        let mut is_stalled = false;
        while !self.remember(&part) {
            if has_file && (is_stalled || self.is_filing()) && self.file(&part).await {
                break;
            }
            if !has_file || self.refused_at.is_some() {
                // From here on it is the client that is waited for.
                self.excused = None;
            }
            let taken = self.backlog.taken.notified();
            match has_file {
                true => is_stalled = tokio::time::timeout(STALL, taken).await.is_err(),
                false => taken.await,
            }
        }
        self.backlog.given.notify_one();
        if is_awaited && self.excused.is_none() {
            self.excused = self.excuse.as_ref().map(Excuse::hold);
        }
    }

    /// The answer ends here, well or not. Whoever keeps this longer goes on reading the request.
    pub(super) fn end(&self, end: io::Result<()>) {
        self.backlog.state.lock().end.get_or_insert(end);
        self.backlog.given.notify_one();
    }

    fn remember(&self, part: &Bytes) -> bool {
        let mut state = self.backlog.state.lock();
        let is_room = state.file.is_none() && state.memory_bytes < MEMORY_BYTES_MAX;
        if is_room {
            state.push(part.clone());
        }
        is_room
    }

    fn is_filing(&self) -> bool {
        self.backlog.state.lock().file.is_some()
    }

    /// Writes a part to the file; `false` where that cannot be.
    async fn file(&mut self, part: &Bytes) -> bool {
        if self.refused_at.is_some_and(|at| at.elapsed() < RETRY) {
            return false;
        }
        let more = part.len() as u64;
        let promise = |state: &mut State| {
            let file = state.file.as_mut()?;
            file.promised += more;
            Some((Arc::clone(&file.file), file.written))
        };
        let promised = promise(&mut self.backlog.state.lock());
        let (file, at) = match promised {
            Some(promised) => promised,
            None => {
                let spool = Arc::clone(&self.spool);
                let Ok(Some(file)) = spawn_blocking(move || spool.open()).await else {
                    self.refused_at = Some(Instant::now());
                    return false;
                };
                let file = Arc::new(file);
                let overflow = Overflow { file: Arc::clone(&file), taken: 0, written: 0, promised: more };
                self.backlog.state.lock().file = Some(overflow);
                (file, 0)
            }
        };
        let bytes = part.clone();
        let is_written = spawn_blocking(move || file.append(at, &bytes)).await.unwrap_or(false);
        let mut state = self.backlog.state.lock();
        if let Some(file) = &mut state.file {
            match is_written {
                true => file.written += more,
                false => file.promised -= more,
            }
        }
        state.leave_empty_file();
        self.refused_at = (!is_written).then(Instant::now);
        is_written
    }
}

impl Drop for Giver {
    fn drop(&mut self) {
        // Only where making it unwound.
        self.end(Err(io::Error::other("the answer has no end")));
    }
}

/// The end where an answer is taken. Who drops it takes the making of the answer along.
pub(super) struct Taker {
    backlog: Arc<Backlog>,
    maker: Option<AbortHandle>,
}

impl Taker {
    /// Says which task makes the answer.
    pub(super) fn of_maker(mut self, maker: AbortHandle) -> Taker {
        self.maker = Some(maker);
        self
    }

    /// The next piece; `None` at the end.
    pub(super) async fn take(&self) -> io::Result<Option<Bytes>> {
        loop {
            if let Some(piece) = self.look().await? {
                self.backlog.taken.notify_one();
                return Ok(piece);
            }
            self.backlog.given.notified().await;
        }
    }

    /// The next piece, or the end, if it is there.
    async fn look(&self) -> io::Result<Option<Option<Bytes>>> {
        let (file, at, length) = {
            let mut state = self.backlog.state.lock();
            if let Some(piece) = state.pop() {
                return Ok(Some(Some(piece)));
            }
            match &state.file {
                Some(file) if file.taken < file.written => {
                    let length = (file.written - file.taken).min(PIECE_BYTES_MAX as u64);
                    (Arc::clone(&file.file), file.taken, length)
                }
                Some(_) => return Ok(None),
                None => return state.end.take().transpose().map(|end| end.map(|()| None)),
            }
        };
        let reading = spawn_blocking(move || file.read(at, length as usize));
        let piece = reading.await.map_err(io::Error::other).flatten();
        if let Err(error) = &piece {
            tracing::error!(%error, "cannot read what waits of an answer");
        }
        let mut state = self.backlog.state.lock();
        if let Some(file) = &mut state.file {
            file.taken += length;
        }
        state.leave_empty_file();
        Ok(Some(Some(Bytes::from(piece?))))
    }
}

impl Drop for Taker {
    fn drop(&mut self) {
        if let Some(maker) = &self.maker {
            maker.abort();
        }
    }
}
