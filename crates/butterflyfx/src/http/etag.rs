//! Entity tags: a substrate's revision as a strong tag, and the conditions that name them.

use super::problem::{Code, Outcome, Problem};
use butterflyfx_engine::model::{Precondition, Revision, Timestamp};
use http::HeaderValue;
use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_NONE_MATCH};

/// The tag of a revision: `"<version>-<updated_at in microseconds>"`, both hexadecimal.
pub(super) fn of(revision: Revision) -> HeaderValue {
    let tag = text(revision);
    HeaderValue::from_bytes(tag.as_bytes()).unwrap_or(HeaderValue::from_static("\"\""))
}

/// The text of a tag, quotes included.
#[derive(Clone, Copy, Debug)]
pub(crate) struct TagText {
    bytes: [u8; TAG_BYTES_MAX],
    length: usize,
}

/// Two numbers of 8 and 16 digits, a dash, and quotes.
const TAG_BYTES_MAX: usize = 27;

impl TagText {
    /// Its bytes.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.length]
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    fn push_hex(&mut self, number: u64) {
        let digits = (16 - number.leading_zeros() / 4).max(1);
        for position in (0..digits).rev() {
            self.push(b"0123456789abcdef"[(number >> (4 * position) & 15) as usize]);
        }
    }
}

/// The text behind [`of`].
pub(super) fn text(revision: Revision) -> TagText {
    let mut tag = TagText { bytes: [0; TAG_BYTES_MAX], length: 0 };
    tag.push(b'"');
    tag.push_hex(u64::from(revision.version));
    tag.push(b'-');
    tag.push_hex(revision.updated_at.0.cast_unsigned());
    tag.push(b'"');
    tag
}

/// The revision behind an opaque tag, quotes removed; `None` for a tag of somebody else.
fn revision_of(opaque: &str) -> Option<Revision> {
    let (version, updated_at) = opaque.split_once('-')?;
    let revision = Revision {
        version: u32::from_str_radix(version, 16).ok()?,
        updated_at: Timestamp(u64::from_str_radix(updated_at, 16).ok()?.cast_signed()),
    };
    // Only the one spelling that we give out is the tag.
    (text(revision).as_bytes() == format!("\"{opaque}\"").as_bytes()).then_some(revision)
}

/// One member of a list of tags.
#[derive(Debug, PartialEq, Eq)]
struct Tag<'a> {
    weak: bool,
    opaque: &'a str,
}

/// `*` or a list.
#[derive(Debug, PartialEq, Eq)]
enum Tags<'a> {
    Any,
    List(Vec<Tag<'a>>),
}

/// Reads the value of `If-Match` or `If-None-Match`; `None` where it breaks the grammar.
fn parse(text: &str) -> Option<Tags<'_>> {
    let mut rest = text.trim();
    if rest == "*" {
        return Some(Tags::Any);
    }
    let mut tags = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(Tags::List(tags));
        }
        let (weak, quoted) = match rest.strip_prefix("W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let (opaque, after) = quoted.strip_prefix('"')?.split_once('"')?;
        tags.push(Tag { weak, opaque });
        rest = after.trim_start_matches([' ', '\t']);
        if !rest.is_empty() && !rest.starts_with(',') {
            return None;
        }
    }
}

/// All lines of a header as one list.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let mut joined: Option<String> = None;
    for value in headers.get_all(name) {
        // Bytes that are no text become a text that no tag equals.
        let text = String::from_utf8_lossy(value.as_bytes());
        match &mut joined {
            None => joined = Some(text.into_owned()),
            Some(joined) => {
                joined.push(',');
                joined.push_str(&text);
            }
        }
    }
    joined
}

/// The condition of `If-Match`. Weak tags never match. Neither does a malformed value: whoever
/// sends one wants a condition, so nothing is changed.
pub(super) fn precondition(headers: &HeaderMap) -> Outcome<Precondition> {
    let Some(text) = joined(headers, &IF_MATCH) else {
        return Ok(Precondition::None);
    };
    let tags = parse(&text).ok_or_else(|| {
        Problem::new(
            Code::PreconditionFailed,
            "If-Match names no state: it must be * or a list of ETags, each in its double quotes",
        )
    })?;
    Ok(match tags {
        Tags::Any => Precondition::Exists,
        Tags::List(tags) => Precondition::OneOf(
            tags.iter().filter(|tag| !tag.weak).filter_map(|tag| revision_of(tag.opaque)).collect(),
        ),
    })
}

/// The condition of a PUT, which may be `If-None-Match: *`: create, never replace.
pub(super) fn put_precondition(headers: &HeaderMap) -> Outcome<Precondition> {
    let if_match = precondition(headers)?;
    let creates = joined(headers, &IF_NONE_MATCH).is_some_and(|text| parse(&text) == Some(Tags::Any));
    Ok(match (creates, if_match) {
        (false, if_match) => if_match,
        (true, Precondition::None) => Precondition::Absent,
        // To be and not to be.
        (true, _) => Precondition::OneOf(Vec::new()),
    })
}

/// Whether `If-None-Match` names this revision, so that a GET is answered 304. A malformed
/// header is no reason to refuse a GET.
pub(super) fn is_not_modified(headers: &HeaderMap, revision: Revision) -> bool {
    let Some(text) = joined(headers, &IF_NONE_MATCH) else {
        return false;
    };
    match parse(&text) {
        None => false,
        Some(Tags::Any) => true,
        Some(Tags::List(tags)) => tags.iter().any(|tag| revision_of(tag.opaque) == Some(revision)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REVISION: Revision = Revision { version: 31, updated_at: Timestamp(255) };

    fn headers(name: HeaderName, values: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(name.clone(), HeaderValue::from_str(value).expect("a header value"));
        }
        headers
    }

    #[test]
    fn if_match() {
        for (values, expected) in [
            (&[][..], Ok(Precondition::None)),
            (&["*"], Ok(Precondition::Exists)),
            (&["\"1f-ff\""], Ok(Precondition::OneOf(vec![REVISION]))),
            (&["\"a\", \"1f-ff\" ,W/\"1f-ff\""], Ok(Precondition::OneOf(vec![REVISION]))),
            (&["\"a\"", "\"1f-ff\""], Ok(Precondition::OneOf(vec![REVISION]))),
            (&["W/\"1f-ff\""], Ok(Precondition::OneOf(vec![]))),
            (&["\"1F-FF\", \"01f-ff\", \"+1f-ff\""], Ok(Precondition::OneOf(vec![]))),
            (&["\"\""], Ok(Precondition::OneOf(vec![]))),
            (&["1f-ff"], Err(())),
            (&["\"1f-ff"], Err(())),
            (&["\"a\" \"b\""], Err(())),
            (&["*, \"a\""], Err(())),
        ] {
            assert_eq!(precondition(&headers(IF_MATCH, values)).map_err(|_| ()), expected, "{values:?}");
        }
    }

    #[test]
    fn put_conditions() {
        for (if_match, if_none_match, expected) in [
            (None, None, Precondition::None),
            (Some("*"), None, Precondition::Exists),
            (None, Some("*"), Precondition::Absent),
            (None, Some("\"*\""), Precondition::None),
            (None, Some("junk"), Precondition::None),
            (Some("*"), Some("*"), Precondition::OneOf(vec![])),
        ] {
            let mut all = headers(IF_MATCH, if_match.as_slice());
            all.extend(headers(IF_NONE_MATCH, if_none_match.as_slice()));
            assert_eq!(put_precondition(&all).ok(), Some(expected), "{if_match:?} {if_none_match:?}");
        }
    }

    #[test]
    fn if_none_match() {
        for (values, expected) in [
            (&[][..], false),
            (&["*"], true),
            (&["\"1f-ff\""], true),
            (&["W/\"1f-ff\""], true),
            (&["\"1f-fe\""], false),
            (&["junk"], false),
        ] {
            assert_eq!(is_not_modified(&headers(IF_NONE_MATCH, values), REVISION), expected, "{values:?}");
        }
    }

    #[test]
    fn times_before_1970_have_tags() {
        let revision = Revision { version: 1, updated_at: Timestamp(-5) };
        let tag = of(revision);
        let opaque = tag.to_str().expect("ASCII").trim_matches('"').to_owned();
        assert_eq!(revision_of(&opaque), Some(revision));
    }
}
