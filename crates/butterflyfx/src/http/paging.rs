//! Pages of a list: `limit` and `cursor` in, `next_cursor` and `Link: rel="next"` out.

use super::problem::{Code, Outcome, Problem};
use super::wire::Query;
use butterflyfx_engine::model::{Cursor, PageRequest};
use http::{HeaderValue, Uri};

/// How many items a page has when nobody asks.
pub(super) const LIMIT_DEFAULT: u64 = 100;
/// How many items a page has at most.
pub(super) const LIMIT_MAX: u64 = 10_000;

/// A cursor's text is never longer; the engine's cursors are far shorter.
const CURSOR_BYTES_MAX: usize = 1_024;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The page that a query string asks for.
pub(super) fn of_query(query: &mut Query<'_>) -> Outcome<PageRequest> {
    let limit = query.unsigned("limit", LIMIT_DEFAULT, 1, LIMIT_MAX);
    let after = query.text("cursor").map(decode).transpose()?;
    Ok(PageRequest { limit: limit as usize, after })
}

/// Base64url without padding.
pub(super) fn encode(cursor: &Cursor) -> String {
    let mut out = String::with_capacity(cursor.0.len().div_ceil(3) * 4);
    for chunk in cursor.0.chunks(3) {
        let mut bits = 0_u32;
        for position in 0..3 {
            bits = bits << 8 | u32::from(chunk.get(position).copied().unwrap_or(0));
        }
        for position in 0..=chunk.len() {
            let index = (bits >> (18 - 6 * position) & 63) as usize;
            out.push(char::from(ALPHABET.get(index).copied().unwrap_or(b'A')));
        }
    }
    out
}

/// Reads the text of a cursor.
pub(super) fn decode(text: &str) -> Outcome<Cursor> {
    decode_bytes(text).map(Cursor).ok_or_else(|| {
        Problem::new(
            Code::InvalidCursor,
            "the cursor is not one that this server gave out; use next_cursor unchanged, or start without it",
        )
    })
}

fn decode_bytes(text: &str) -> Option<Vec<u8>> {
    if text.is_empty() || text.len() > CURSOR_BYTES_MAX || text.len() % 4 == 1 {
        return None;
    }
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 2);
    for chunk in text.as_bytes().chunks(4) {
        let mut bits = 0_u32;
        for position in 0..4 {
            let value = match chunk.get(position) {
                Some(byte) => ALPHABET.iter().position(|letter| letter == byte)?,
                None => 0,
            };
            bits = bits << 6 | value as u32;
        }
        let [_, bytes @ ..] = bits.to_be_bytes();
        let (used, unused) = bytes.split_at_checked(chunk.len().saturating_sub(1))?;
        // Bits that no byte uses must be 0, so that a cursor has one spelling.
        if unused.iter().any(|byte| *byte != 0) {
            return None;
        }
        out.extend_from_slice(used);
    }
    Some(out)
}

/// The `Link` header to the next page: this request with another cursor.
pub(super) fn link(uri: &Uri, next: &str) -> Option<HeaderValue> {
    let mut link = String::from("<");
    link.push_str(uri.path());
    link.push('?');
    for pair in uri.query().unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
        if pair.split('=').next() != Some("cursor") {
            link.push_str(pair);
            link.push('&');
        }
    }
    link.push_str("cursor=");
    link.push_str(next);
    link.push_str(">; rel=\"next\"");
    HeaderValue::try_from(link).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn cursors_are_base64url() {
        // Expected: base64.urlsafe_b64encode(...).rstrip(b'=') of CPython.
        for (bytes, text) in [
            (&b"\xfb\xff\xfe"[..], "-__-"),
            (b"f", "Zg"),
            (b"fo", "Zm8"),
            (b"foo", "Zm9v"),
            (b"foobar\x00", "Zm9vYmFyAA"),
        ] {
            assert_eq!(encode(&Cursor(bytes.to_vec())), text);
            assert_eq!(decode(text).ok(), Some(Cursor(bytes.to_vec())));
        }
        for bad in ["", "A", "AAAAA", "Zg==", "Zh", "Zm9", "Z+", "Z/8", "é", "Zm8\n"] {
            assert_eq!(decode(bad).map_err(|problem| problem.code), Err(Code::InvalidCursor), "{bad}");
        }
    }

    #[test]
    fn links_keep_the_rest_of_the_query() {
        for (uri, expected) in [
            ("/a", "</a?cursor=N>; rel=\"next\""),
            ("/a?limit=2&cursor=old&type=CYCLE", "</a?limit=2&type=CYCLE&cursor=N>; rel=\"next\""),
            ("/a?cursor=old", "</a?cursor=N>; rel=\"next\""),
        ] {
            let link = link(&uri.parse().expect("a URI"), "N");
            assert_eq!(link.as_ref().map(|value| value.as_bytes()), Some(expected.as_bytes()));
        }
    }

    proptest! {
        #[test]
        fn any_bytes_come_back(bytes in proptest::collection::vec(any::<u8>(), 1..100)) {
            let cursor = Cursor(bytes);
            prop_assert_eq!(decode(&encode(&cursor)).ok(), Some(cursor));
        }

        #[test]
        fn one_spelling(text in "[A-Za-z0-9_-]{1,12}") {
            if let Ok(cursor) = decode(&text) {
                prop_assert_eq!(encode(&cursor), text);
            }
        }
    }
}
