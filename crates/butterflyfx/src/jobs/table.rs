//! The table of jobs, and its bounds: how many there are, how many bytes their requests and results
//! take, and how long those that have ended are kept.
//!
//! Each client's share is counted, so that the bounds are fair. Of what has not ended a client may
//! have as much as there is room left ([`may_wait`]). Where a new job or a result needs the room of one that has
//! ended, the oldest of the client that keeps most is forgotten.

use super::{Ending, JobId, JobRefusal, Operation, State, Ticket, View};
use crate::client::Address;
use crate::clock;
use crate::evaluation::may_wait;
use butterflyfx_engine::model::Timestamp;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// Bytes that a job takes beside its request and its result, roughly.
const JOB_BYTES: usize = 1_024;

/// What may be kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    /// Jobs.
    pub(crate) jobs_max: usize,
    /// Bytes of requests and results; requests may have half of it.
    pub(crate) bytes_max: usize,
    /// How long what has ended is kept.
    pub(crate) keep: Duration,
}

impl Room {
    fn request_bytes_max(&self) -> usize {
        self.bytes_max / 2
    }
}

/// How many jobs there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) queued: usize,
    pub(crate) running: usize,
    pub(crate) ended: usize,
    pub(crate) bytes: usize,
}

/// What [`Table::cancel_or_forget`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cancelled {
    /// Its work waits with the workers.
    Queued {
        address: Address,
        number: u64,
    },
    Running,
    /// It had ended, and is forgotten now.
    Ended,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Table {
    room: Room,
    /// By number, which is the order of creation.
    jobs: BTreeMap<u64, Job>,
    numbers: HashMap<JobId, u64>,
    shares: HashMap<Address, Share>,
    /// Jobs that have ended, by when.
    ended: BTreeSet<(Instant, u64)>,
    next: u64,
    running: usize,
    /// Bytes of requests, and of all.
    request_bytes: usize,
    bytes: usize,
    pushed_out: u64,
    closed: bool,
}

#[derive(Debug)]
struct Job {
    id: JobId,
    address: Address,
    operation: Operation,
    ticket: Arc<Ticket>,
    submitted: Instant,
    created_at: Timestamp,
    started_at: Option<Timestamp>,
    finished_at: Option<Timestamp>,
    /// What it counts for: its request until it has ended, then its result.
    bytes: usize,
    end: Option<(Instant, Ending)>,
}

impl Job {
    fn state(&self) -> State {
        match (&self.end, self.started_at) {
            (Some((_, ending)), _) => ending.state(),
            (None, Some(_)) => State::Running,
            (None, None) => State::Queued,
        }
    }

    fn view(&self, number: u64, keep: Duration) -> View {
        let (done, total) = self.ticket.progress();
        let keep_us = i64::try_from(keep.as_micros()).unwrap_or(i64::MAX);
        View {
            id: self.id,
            number,
            operation: self.operation,
            state: self.state(),
            created_at: self.created_at,
            started_at: self.started_at,
            finished_at: self.finished_at,
            expires_at: self.finished_at.map(|at| Timestamp(at.0.saturating_add(keep_us))),
            done,
            total,
            ending: self.end.as_ref().map(|(_, ending)| ending.clone()),
        }
    }
}

/// What one client has.
#[derive(Debug, Default)]
struct Share {
    /// Jobs that have not ended, and the bytes of their requests.
    waiting: usize,
    request_bytes: usize,
    /// Jobs that have ended, by when, and the bytes of their results.
    ended: BTreeSet<(Instant, u64)>,
    result_bytes: usize,
}

impl Table {
    pub(super) fn new(room: Room) -> Table {
        Table {
            room,
            jobs: BTreeMap::new(),
            numbers: HashMap::new(),
            shares: HashMap::new(),
            ended: BTreeSet::new(),
            next: 1,
            running: 0,
            request_bytes: 0,
            bytes: 0,
            pushed_out: 0,
            closed: false,
        }
    }

    /// Adds a job whose request has so many bytes.
    pub(super) fn add(
        &mut self,
        now: Instant,
        id: JobId,
        address: Address,
        operation: Operation,
        request_bytes: usize,
    ) -> Result<(u64, Arc<Ticket>, View), JobRefusal> {
        if self.closed {
            return Err(JobRefusal::Stopping);
        }
        self.forget_old(now);
        let bytes = request_bytes.saturating_add(JOB_BYTES);
        let request_bytes_max = self.room.request_bytes_max();
        if bytes > request_bytes_max {
            return Err(JobRefusal::TooLarge(request_bytes_max.saturating_sub(JOB_BYTES) as u64));
        }
        let (own, own_bytes) =
            self.shares.get(&address).map_or((0, 0), |share| (share.waiting, share.request_bytes));
        // All of its bytes but the last have found room where the last may wait.
        let has_room = may_wait(own, self.waiting(), self.room.jobs_max)
            && may_wait(own_bytes + bytes - 1, self.request_bytes, request_bytes_max);
        if !has_room || !self.make_room(bytes, 1) {
            return Err(JobRefusal::Full);
        }
        let number = self.next;
        self.next += 1;
        let share = self.shares.entry(address).or_default();
        share.waiting += 1;
        share.request_bytes += bytes;
        self.request_bytes += bytes;
        self.bytes += bytes;
        let ticket = Arc::new(Ticket::new());
        if matches!(operation, Operation::Substrate(_)) {
            ticket.set_total(1);
        }
        let job = Job {
            id,
            address,
            operation,
            ticket: Arc::clone(&ticket),
            submitted: now,
            created_at: clock::now(),
            started_at: None,
            finished_at: None,
            bytes,
            end: None,
        };
        let view = job.view(number, self.room.keep);
        self.numbers.insert(id, number);
        self.jobs.insert(number, job);
        Ok((number, ticket, view))
    }

    /// A worker begins with a job: how long it has waited; `None` where nobody wants it any more.
    pub(super) fn begin(&mut self, number: u64) -> Option<Duration> {
        let job = self.jobs.get_mut(&number)?;
        if job.state() != State::Queued {
            return None;
        }
        job.started_at = Some(clock::now());
        self.running += 1;
        Some(job.submitted.elapsed())
    }

    /// A job ends, and how; `None` where it had ended before.
    pub(super) fn end(&mut self, now: Instant, number: u64, mut ending: Ending) -> Option<State> {
        let job = self.jobs.get_mut(&number)?;
        match job.state() {
            State::Queued => {}
            State::Running => self.running -= 1,
            State::Succeeded | State::Failed | State::Cancelled => return None,
        }
        let (address, request_bytes) = (job.address, std::mem::take(&mut job.bytes));
        if let Some(share) = self.shares.get_mut(&address) {
            share.waiting -= 1;
            share.request_bytes -= request_bytes;
        }
        self.request_bytes -= request_bytes;
        self.bytes -= request_bytes;
        let mut bytes = JOB_BYTES + ending.bytes();
        if !self.make_room(bytes, 0) {
            ending = Ending::TooLarge;
            bytes = JOB_BYTES;
        }
        let share = self.shares.entry(address).or_default();
        share.ended.insert((now, number));
        share.result_bytes += bytes;
        self.bytes += bytes;
        self.ended.insert((now, number));
        let state = ending.state();
        if let Some(job) = self.jobs.get_mut(&number) {
            job.bytes = bytes;
            job.finished_at = Some(clock::now());
            job.end = Some((now, ending));
            job.ticket.ended.notify_waiters();
        }
        Some(state)
    }

    /// Cancels a job that has not ended, forgets one that has; `None` where there is none.
    pub(super) fn cancel_or_forget(&mut self, now: Instant, id: JobId) -> Option<Cancelled> {
        let number = *self.numbers.get(&id)?;
        let job = self.jobs.get(&number)?;
        let cancelled = match job.state() {
            State::Queued => Cancelled::Queued { address: job.address, number },
            State::Running => Cancelled::Running,
            State::Succeeded | State::Failed | State::Cancelled => {
                self.remove(number);
                return Some(Cancelled::Ended);
            }
        };
        job.ticket.stop.store(true, Ordering::Relaxed);
        self.end(now, number, Ending::Cancelled);
        Some(cancelled)
    }

    /// Takes no more jobs; those that have not ended.
    pub(super) fn close(&mut self) -> Vec<JobId> {
        self.closed = true;
        self.jobs.values().filter(|job| job.end.is_none()).map(|job| job.id).collect()
    }

    pub(super) fn view(&self, id: JobId) -> Option<View> {
        let number = *self.numbers.get(&id)?;
        Some(self.jobs.get(&number)?.view(number, self.room.keep))
    }

    pub(super) fn ticket(&self, id: JobId) -> Option<Arc<Ticket>> {
        let job = self.jobs.get(self.numbers.get(&id)?)?;
        Some(Arc::clone(&job.ticket))
    }

    pub(super) fn list(&self, after: u64, limit: usize) -> (Vec<View>, bool) {
        let mut rest = self.jobs.range(after.saturating_add(1)..);
        let views = rest.by_ref().take(limit).map(|(number, job)| job.view(*number, self.room.keep));
        (views.collect(), rest.next().is_some())
    }

    pub(super) fn counts(&self) -> Counts {
        let ended = self.ended.len();
        Counts { queued: self.waiting() - self.running, running: self.running, ended, bytes: self.bytes }
    }

    /// How many were forgotten before their time.
    pub(super) fn pushed_out(&self) -> u64 {
        self.pushed_out
    }

    /// Forgets what has been kept for long enough.
    pub(super) fn forget_old(&mut self, now: Instant) {
        while let Some(&(at, number)) = self.ended.first()
            && now.saturating_duration_since(at) >= self.room.keep
        {
            self.remove(number);
        }
    }

    /// Forgets a job altogether.
    pub(super) fn remove(&mut self, number: u64) {
        let Some(job) = self.jobs.remove(&number) else { return };
        self.numbers.remove(&job.id);
        self.bytes -= job.bytes;
        let Some(share) = self.shares.get_mut(&job.address) else { return };
        match job.end {
            Some((at, _)) => {
                self.ended.remove(&(at, number));
                share.ended.remove(&(at, number));
                share.result_bytes -= job.bytes;
            }
            None => {
                if job.started_at.is_some() {
                    self.running -= 1;
                }
                self.request_bytes -= job.bytes;
                share.waiting -= 1;
                share.request_bytes -= job.bytes;
            }
        }
        if share.waiting == 0 && share.ended.is_empty() {
            self.shares.remove(&job.address);
        }
    }

    /// Jobs that have not ended.
    fn waiting(&self) -> usize {
        self.jobs.len() - self.ended.len()
    }

    /// Forgets what has ended until so much more fits; `false` where it cannot.
    fn make_room(&mut self, bytes: usize, jobs: usize) -> bool {
        // What has not ended stays. Where that leaves no room, nothing is forgotten in vain.
        if self.request_bytes.saturating_add(bytes) > self.room.bytes_max
            || self.waiting() + jobs > self.room.jobs_max
        {
            return false;
        }
        loop {
            let by_bytes = self.bytes.saturating_add(bytes) > self.room.bytes_max;
            if !by_bytes && self.jobs.len() + jobs <= self.room.jobs_max {
                return true;
            }
            let size = |share: &Share| if by_bytes { share.result_bytes } else { share.ended.len() };
            // Only when there is no room, and there are no more clients than jobs.
            let most =
                self.shares.values().filter(|share| !share.ended.is_empty()).max_by_key(|one| size(one));
            let Some(&(_, number)) = most.and_then(|share| share.ended.first()) else { return false };
            self.remove(number);
            self.pushed_out += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::net::IpAddr;

    const KIB: usize = 1_024;

    fn address(last: u8) -> Address {
        IpAddr::from([192, 0, 2, last]).into()
    }

    fn table(jobs_max: usize, bytes_max: usize) -> Table {
        Table::new(Room { jobs_max, bytes_max, keep: Duration::from_secs(60) })
    }

    fn add(table: &mut Table, now: Instant, client: u8, bytes: usize) -> Result<(u64, JobId), JobRefusal> {
        let id = JobId::new().expect("random bits");
        let added = table.add(now, id, address(client), Operation::Many, bytes);
        added.map(|(number, _, _)| (number, id))
    }

    fn succeed(table: &mut Table, now: Instant, number: u64, bytes: usize) -> Option<State> {
        assert!(table.begin(number).is_some());
        table.end(now, number, Ending::Succeeded(vec![0; bytes].into()))
    }

    /// What the sums say when all is forgotten.
    #[track_caller]
    fn check_empty(table: &Table) {
        assert_eq!(table.counts(), Counts { queued: 0, running: 0, ended: 0, bytes: 0 });
        assert!(table.shares.is_empty() && table.numbers.is_empty() && table.request_bytes == 0);
    }

    #[test]
    fn a_job_goes_through_its_states() {
        let (mut table, now) = (table(10, 100 * KIB), Instant::now());
        let (number, id) = add(&mut table, now, 1, 10).expect("room");
        let state = |table: &Table| table.view(id).map(|view| view.state);
        assert_eq!(state(&table), Some(State::Queued));
        assert!(table.begin(number).is_some());
        assert_eq!(table.begin(number), None, "once");
        assert_eq!(state(&table), Some(State::Running));
        let text = Bytes::from_static(b"{}");
        assert_eq!(table.end(now, number, Ending::Succeeded(text.clone())), Some(State::Succeeded));
        assert_eq!(table.end(now, number, Ending::Panicked), None, "once");
        let view = table.view(id).expect("kept");
        assert_eq!(view.ending, Some(Ending::Succeeded(text)));
        assert_eq!(view.expires_at.map(|at| at.0), view.finished_at.map(|at| at.0 + 60_000_000));
        table.forget_old(now + Duration::from_secs(59));
        assert_eq!(state(&table), Some(State::Succeeded));
        table.forget_old(now + Duration::from_secs(60));
        assert_eq!(state(&table), None);
        check_empty(&table);
    }

    #[test]
    fn a_job_is_cancelled_and_then_forgotten() {
        let now = Instant::now();
        for is_running in [false, true] {
            let mut table = table(10, 100 * KIB);
            let (number, id) = add(&mut table, now, 1, 10).expect("room");
            let expected = if is_running {
                assert!(table.begin(number).is_some());
                Cancelled::Running
            } else {
                Cancelled::Queued { address: address(1), number }
            };
            let ticket = table.ticket(id).expect("known");
            assert_eq!(table.cancel_or_forget(now, id), Some(expected));
            assert!(ticket.stop.load(Ordering::Relaxed));
            assert_eq!(table.view(id).map(|view| view.state), Some(State::Cancelled));
            assert_eq!(table.begin(number), None);
            assert_eq!(table.end(now, number, Ending::Panicked), None, "the worker comes too late");
            assert_eq!(table.cancel_or_forget(now, id), Some(Cancelled::Ended));
            assert_eq!(table.cancel_or_forget(now, id), None);
            check_empty(&table);
        }
    }

    #[test]
    fn a_client_leaves_room_for_jobs_of_others() {
        let (mut table, now) = (table(8, 1_000 * KIB), Instant::now());
        let mut taken = |client| (0..).take_while(|_| add(&mut table, now, client, 0).is_ok()).count();
        assert_eq!([taken(1), taken(2), taken(3), taken(4)], [4, 2, 1, 1]);
        assert_eq!(add(&mut table, now, 5, 0), Err(JobRefusal::Full));
    }

    #[test]
    fn a_client_leaves_room_for_requests_of_others() {
        let (mut table, now) = (table(1_000, 64 * KIB), Instant::now());
        let mut taken = |client| (0..).take_while(|_| add(&mut table, now, client, KIB).is_ok()).count();
        // 2 KiB each, of 32.
        assert_eq!([taken(1), taken(2), taken(3)], [8, 4, 2]);
        let limit = (31 * KIB) as u64;
        assert_eq!(add(&mut table, now, 9, 31 * KIB + 1), Err(JobRefusal::TooLarge(limit)));
        let mut table = self::table(1_000, 64 * KIB);
        assert!(add(&mut table, now, 9, 31 * KIB).is_ok());
    }

    #[test]
    fn who_keeps_most_makes_room() {
        let (mut table, mut now) = (table(6, 1_000 * KIB), Instant::now());
        let mut kept = Vec::new();
        for client in [2, 1, 1, 1, 1, 1] {
            let (number, id) = add(&mut table, now, client, 0).expect("room");
            now += Duration::from_secs(1);
            succeed(&mut table, now, number, 0);
            kept.push(id);
        }
        let is_there = |table: &Table| kept.iter().map(|id| table.view(*id).is_some()).collect::<Vec<_>>();
        add(&mut table, now, 3, 0).expect("room is made");
        // The oldest is the other client's only one, and stays.
        assert_eq!(is_there(&table), [true, false, true, true, true, true]);
        assert_eq!(table.pushed_out(), 1);
    }

    #[test]
    fn results_are_bounded_in_bytes() {
        let (mut table, mut now) = (table(100, 64 * KIB), Instant::now());
        let mut ended = Vec::new();
        // 15 KiB and what a job takes itself: four fit.
        for _ in 0..6 {
            let (number, id) = add(&mut table, now, 1, 0).expect("room");
            now += Duration::from_secs(1);
            assert_eq!(succeed(&mut table, now, number, 15 * KIB), Some(State::Succeeded));
            assert!(table.counts().bytes <= 64 * KIB);
            ended.push(id);
        }
        let there: Vec<bool> = ended.iter().map(|id| table.view(*id).is_some()).collect();
        assert_eq!(there, [false, false, true, true, true, true]);
        let (number, id) = add(&mut table, now, 1, 0).expect("room");
        assert_eq!(succeed(&mut table, now, number, 64 * KIB), Some(State::Failed));
        assert_eq!(table.view(id).and_then(|view| view.ending), Some(Ending::TooLarge));
        assert_eq!(table.counts().ended, 4, "nothing was forgotten in vain");
        table.forget_old(now + Duration::from_secs(60));
        check_empty(&table);
    }

    #[test]
    fn a_closed_table_takes_nothing() {
        let (mut table, now) = (table(10, 100 * KIB), Instant::now());
        let (_, id) = add(&mut table, now, 1, 0).expect("room");
        assert_eq!(table.close(), [id]);
        assert_eq!(add(&mut table, now, 1, 0), Err(JobRefusal::Stopping));
    }

    /// The sums are those of the jobs, and no bound is passed.
    #[track_caller]
    fn check_sums(table: &Table) {
        let of = |is_wanted: &dyn Fn(&Job) -> bool| {
            let jobs = table.jobs.values().filter(|job| is_wanted(job));
            jobs.fold((0, 0), |(count, bytes), job| (count + 1, bytes + job.bytes))
        };
        let (all, bytes) = of(&|_| true);
        assert_eq!((table.numbers.len(), table.bytes), (all, bytes));
        let (waiting, request_bytes) = of(&|job| job.end.is_none());
        assert_eq!((table.waiting(), table.request_bytes), (waiting, request_bytes));
        assert_eq!(table.running, of(&|job| job.state() == State::Running).0);
        for (address, share) in &table.shares {
            let waiting = of(&|job| job.address == *address && job.end.is_none());
            assert_eq!((share.waiting, share.request_bytes), waiting);
            let ended = of(&|job| job.address == *address && job.end.is_some());
            assert_eq!((share.ended.len(), share.result_bytes), ended);
            assert!(waiting.0 + ended.0 > 0, "a share of nothing is kept");
        }
        let shared: usize = table.shares.values().map(|share| share.waiting + share.ended.len()).sum();
        assert_eq!(shared, all);
        assert!(all <= table.room.jobs_max && bytes <= table.room.bytes_max);
        assert!(request_bytes <= table.room.request_bytes_max());
    }

    proptest::proptest! {
        #[test]
        fn whatever_happens_the_sums_are_right(
            steps in proptest::collection::vec((0..6_u8, 0..12_usize, 0..4_u8, 0..20_usize), 0..200),
        ) {
            let (mut table, mut now) = (table(8, 64 * KIB), Instant::now());
            let mut known = Vec::new();
            for (step, which, client, kib) in steps {
                now += Duration::from_secs(which as u64);
                let one: Option<(u64, JobId)> = known.get(which % known.len().max(1)).copied();
                match (step, one) {
                    (0 | 1, _) => known.extend(add(&mut table, now, client, kib * KIB).ok()),
                    (2, Some((number, _))) => {
                        table.begin(number);
                    }
                    (3, Some((number, _))) => {
                        let text = vec![0; kib * 4 * KIB].into();
                        table.end(now, number, Ending::Succeeded(text));
                    }
                    (4, Some((_, id))) => {
                        table.cancel_or_forget(now, id);
                    }
                    _ => table.forget_old(now),
                }
                check_sums(&table);
            }
            for id in table.close() {
                table.cancel_or_forget(now, id);
            }
            table.forget_old(now + Duration::from_secs(60));
            check_empty(&table);
        }
    }
}
