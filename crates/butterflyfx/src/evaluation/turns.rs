//! Who goes next: queues that take turns, so that whoever asks for much waits behind themselves.
//!
//! Addresses take turns with each other, and behind an address its connections, all its jobs
//! being one of them.

use crate::client::{Address, Client};
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// What stands in one queue behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Flow {
    /// What is asked over one connection.
    Connection(u64),
    /// All jobs.
    Jobs,
}

/// Things that wait, each queue of them with a turn of its own.
#[derive(Debug)]
pub(super) struct Waiting<T> {
    addresses: Turns<Address, Turns<Flow, VecDeque<T>>>,
    len: usize,
}

impl<T> Default for Waiting<T> {
    fn default() -> Waiting<T> {
        Waiting { addresses: Turns::default(), len: 0 }
    }
}

impl<T> Waiting<T> {
    /// How many wait.
    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Whether none waits.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Puts one at the end of its queue.
    pub(super) fn push(&mut self, client: Client, flow: Flow, item: T) {
        self.addresses.queue(client.address).queue(flow).push_back(item);
        self.len += 1;
    }

    /// Takes the one whose turn it is.
    pub(super) fn pop(&mut self) -> Option<T> {
        let item = self.addresses.next(|flows| flows.next(VecDeque::pop_front))?;
        self.len -= 1;
        Some(item)
    }

    /// Takes one out of its queue before its turn.
    pub(super) fn remove(
        &mut self,
        address: Address,
        flow: Flow,
        is_wanted: impl Fn(&T) -> bool,
    ) -> Option<T> {
        let item = self.addresses.change(&address, |flows| {
            flows.change(&flow, |queue| queue.iter().position(is_wanted).and_then(|at| queue.remove(at)))
        })?;
        self.len -= 1;
        Some(item)
    }
}

/// Queues by name, in the order of their turns. None of them is empty.
#[derive(Debug)]
struct Turns<K, Q> {
    order: VecDeque<K>,
    queues: HashMap<K, Q>,
}

/// What can be used up.
trait Queue: Default {
    fn is_used_up(&self) -> bool;
}

impl<T> Queue for VecDeque<T> {
    fn is_used_up(&self) -> bool {
        self.is_empty()
    }
}

impl<K, Q> Queue for Turns<K, Q> {
    fn is_used_up(&self) -> bool {
        self.order.is_empty()
    }
}

impl<K, Q> Default for Turns<K, Q> {
    fn default() -> Turns<K, Q> {
        Turns { order: VecDeque::new(), queues: HashMap::new() }
    }
}

impl<K: Copy + Eq + Hash, Q: Queue> Turns<K, Q> {
    /// The queue of this name, to put something in; a new one has its turn last.
    fn queue(&mut self, name: K) -> &mut Q {
        self.queues.entry(name).or_insert_with(|| {
            self.order.push_back(name);
            Q::default()
        })
    }

    /// Takes something out of the queue whose turn it is.
    fn next<T>(&mut self, take: impl FnOnce(&mut Q) -> Option<T>) -> Option<T> {
        let name = self.order.pop_front()?;
        let queue = self.queues.get_mut(&name)?;
        let item = take(queue);
        if queue.is_used_up() {
            self.queues.remove(&name);
        } else {
            self.order.push_back(name);
        }
        item
    }

    /// Takes something out of the queue of this name.
    fn change<T>(&mut self, name: &K, take: impl FnOnce(&mut Q) -> Option<T>) -> Option<T> {
        let queue = self.queues.get_mut(name)?;
        let item = take(queue);
        if queue.is_used_up() {
            self.queues.remove(name);
            self.order.retain(|other| other != name);
        }
        item
    }
}

/// Whether one who has so many waiting may let one more wait, where so many wait in all: as long as
/// they have fewer than there is room left, so that there is room for others as well.
pub(crate) fn may_wait(of_client: usize, of_all: usize, max: usize) -> bool {
    of_client < max.saturating_sub(of_all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn client(last: u8, connection: u64) -> Client {
        Client { address: IpAddr::from([192, 0, 2, last]).into(), connection }
    }

    /// Those who push, in order, `address:connection`, or `address:j` for a job; and who goes when.
    #[track_caller]
    fn check(pushes: &str, expected: &str) {
        let mut waiting = Waiting::default();
        for one in pushes.split(' ') {
            let (address, flow) = one.split_once(':').expect("address:flow");
            let address = address.parse().expect("a number");
            let (connection, flow) = match flow.parse() {
                Ok(number) => (number, Flow::Connection(number)),
                Err(_) => (0, Flow::Jobs),
            };
            waiting.push(client(address, connection), flow, one);
        }
        let mut order = Vec::new();
        while let Some(one) = waiting.pop() {
            order.push(one);
        }
        assert_eq!(order.join(" "), expected);
        assert!(waiting.is_empty() && waiting.addresses.order.is_empty());
        assert!(waiting.addresses.queues.is_empty());
    }

    #[test]
    fn addresses_take_turns_and_connections_behind_them() {
        check("1:1 1:1 1:1 2:1", "1:1 2:1 1:1 1:1");
        check("1:1 1:2 1:3 2:1 2:1", "1:1 2:1 1:2 2:1 1:3");
        check("1:1 1:1 1:1 1:2", "1:1 1:2 1:1 1:1");
        check("1:j 1:j 1:j 1:5 1:6", "1:j 1:5 1:6 1:j 1:j");
        check("1:1 2:1 3:1", "1:1 2:1 3:1");
    }

    #[test]
    fn one_may_be_taken_out_before_its_turn() {
        let mut waiting = Waiting::default();
        for (address, number) in [(1, 10), (1, 11), (2, 20)] {
            waiting.push(client(address, 0), Flow::Jobs, number);
        }
        let mut remove = |address: u8, number: u32| {
            waiting.remove(client(address, 0).address, Flow::Jobs, |one| *one == number)
        };
        assert_eq!(
            [remove(2, 10), remove(3, 10), remove(2, 20), remove(1, 10)],
            [None, None, Some(20), Some(10)]
        );
        assert_eq!((waiting.pop(), waiting.pop(), waiting.len()), (Some(11), None, 0));
    }

    #[test]
    fn there_is_always_room_for_another() {
        // Each takes all it may, one after the other.
        let max = 1_000;
        let mut all = 0;
        let mut shares = Vec::new();
        for _ in 0..4 {
            let mut own = 0;
            while may_wait(own, all, max) {
                own += 1;
                all += 1;
            }
            shares.push(own);
        }
        assert_eq!(shares, [500, 250, 125, 63]);
        assert!(may_wait(0, 0, 1) && !may_wait(0, 1, 1) && !may_wait(0, 2, 1));
    }
}
