//! The `Prefer` header (RFC 7240): what a client would like, and may go without.

use http::{HeaderMap, HeaderName, HeaderValue};

static PREFER: HeaderName = HeaderName::from_static("prefer");

/// Says which preference was followed.
pub(super) static PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");

/// The preference for an answer at once, with the result later.
pub(super) const RESPOND_ASYNC: &str = "respond-async";

/// Whether the client prefers to be answered before the work is done.
pub(super) fn is_async(headers: &HeaderMap) -> bool {
    headers.get_all(&PREFER).iter().any(names_async)
}

fn names_async(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    parts(text, ',').any(|preference| {
        // Parameters mean nothing to this preference, and a value it has none.
        let named = parts(preference, ';').next().unwrap_or_default();
        let (name, value) = named.split_once('=').unwrap_or((named, ""));
        name.trim().eq_ignore_ascii_case(RESPOND_ASYNC) && matches!(value.trim(), "" | "\"\"")
    })
}

/// The parts of a text between separators that do not stand in a quoted string.
fn parts(text: &str, separator: char) -> impl Iterator<Item = &str> {
    let (mut is_quoted, mut is_escaped) = (false, false);
    text.split(move |one: char| {
        match one {
            _ if is_escaped => is_escaped = false,
            '\\' if is_quoted => is_escaped = true,
            '"' => is_quoted = !is_quoted,
            _ => return one == separator && !is_quoted,
        }
        false
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preferences() {
        let check = |values: &[&'static str], expected: bool| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(&PREFER, HeaderValue::from_static(value));
            }
            assert_eq!(is_async(&headers), expected, "{values:?}");
        };
        check(&[], false);
        check(&["respond-async"], true);
        check(&["Respond-Async"], true);
        check(&["respond-async, wait=10"], true);
        check(&["wait=10,respond-async;foo=bar"], true);
        check(&["return=minimal", "respond-async"], true);
        check(&["respond-async=\"\""], true);
        check(&["respond-async="], true);
        check(&["respond-async=no"], false);
        check(&["respond-asynchronously"], false);
        check(&["return=respond-async"], false);
        check(&["note=\"a, respond-async, b\""], false);
        check(&["note=\"a\\\", respond-async\""], false);
        check(&["note=\"a\", respond-async"], true);
        check(&[", ,respond-async"], true);
        check(&[""], false);
    }
}
