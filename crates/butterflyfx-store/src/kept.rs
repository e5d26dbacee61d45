//! Answers that are kept for requests with an `Idempotency-Key`.
//!
//! An answer is committed together with the changes it speaks of, so that a client that asks again
//! after a crash gets the answer if and only if the change is there.

use butterflyfx_engine::model::Timestamp;
use bytes::Bytes;

/// An answer to give again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptAnswer {
    /// Path and key; an answer replaces one of the same name.
    pub name: String,
    /// From when on it is forgotten.
    pub expires_at: Timestamp,
    /// A hash of the request, so that the key cannot be used for another.
    pub request_hash: [u8; 32],
    /// HTTP status.
    pub status: u16,
    /// Header names and values, in order.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}
