//! Who a request comes from, as far as a server can tell without asking: its address and its
//! connection. For taking turns, never for trust.

use std::net::IpAddr;
use tokio::task::futures::TaskLocalFuture;

tokio::task_local! {
    static CLIENT: Client;
}

/// Whose request it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Client {
    /// Where it comes from.
    pub(crate) address: Address,
    /// Which of the connections from there; no two of a process have the same number.
    pub(crate) connection: u64,
}

/// What counts as one address: an IPv4 address, or the first 64 bits of an IPv6 address, since whoever
/// has one of those has them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Address(u128);

impl From<IpAddr> for Address {
    fn from(ip: IpAddr) -> Address {
        match ip.to_canonical() {
            IpAddr::V4(v4) => Address(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Address(v6.to_bits() >> 64 << 64),
        }
    }
}

/// Lets `work` be done for a client: [`of_this_request`] will name it.
pub(crate) fn serving<F: Future>(client: Client, work: F) -> TaskLocalFuture<Client, F> {
    CLIENT.scope(client, work)
}

/// Whose request is being answered here; nobody's in particular outside of requests. Known to the
/// task alone, so that the many who only pass work on need not carry it.
pub(crate) fn of_this_request() -> Client {
    CLIENT.try_with(|client| *client).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_customer_is_one_address() {
        let check = |one: &str, other: &str, is_same: bool| {
            let of = |text: &str| Address::from(text.parse::<IpAddr>().expect("an address"));
            assert_eq!(of(one) == of(other), is_same, "{one} {other}");
        };
        check("192.0.2.1", "192.0.2.1", true);
        check("192.0.2.1", "192.0.2.2", false);
        check("192.0.2.1", "::ffff:192.0.2.1", true);
        check("2001:db8::1", "2001:db8::ffff:1", true);
        check("2001:db8::1", "2001:db8:0:1::1", false);
        check("::1", "127.0.0.1", false);
    }
}
