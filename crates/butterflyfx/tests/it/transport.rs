//! What the transport promises: limits, timeouts, and never two answers to one request.

mod framing;
mod http2;
mod limits;
mod quick;
mod requests;
mod shutdown;
mod slow;
mod unread;
