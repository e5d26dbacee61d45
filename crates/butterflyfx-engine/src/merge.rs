//! JSON merge patch, RFC 7396.

use butterflyfx_formula::document::Document;

/// Applies a patch: `null` removes a member, objects merge, anything else replaces. Members that
/// stay keep their place; new ones come last. Nesting is bounded by whoever read the patch.
pub(crate) fn merge(target: Document, patch: Document) -> Document {
    let Document::Map(changes) = patch else { return patch };
    let mut members = match target {
        Document::Map(members) => members,
        _ => Vec::new(),
    };
    // Few changes are searched one by one; for many, a table keeps it from being quadratic.
    let places: Option<std::collections::HashMap<Box<str>, usize>> = (changes.len() > 16)
        .then(|| members.iter().enumerate().map(|(at, (key, _))| (key.clone(), at)).collect());
    let mut removed = vec![false; members.len()];
    for (key, change) in changes {
        let place = match &places {
            Some(places) => places.get(&key).copied(),
            None => members.iter().take(removed.len()).position(|(name, _)| *name == key),
        };
        match (place, change) {
            (Some(at), Document::Null) => removed[at] = true,
            (Some(at), change) => {
                let old = std::mem::replace(&mut members[at].1, Document::Null);
                members[at].1 = merge(old, change);
            }
            (None, Document::Null) => {}
            (None, change) => members.push((key, merge(Document::Null, change))),
        }
    }
    let mut at = 0;
    members.retain(|_| {
        at += 1;
        !removed.get(at - 1).copied().unwrap_or(false)
    });
    Document::Map(members)
}

#[cfg(test)]
mod tests {
    use super::*;
    use butterflyfx_formula::json::{read_document, write_document};

    fn check(target: &str, patch: &str, expected: &str) {
        let read = |text: &str| read_document(text.as_bytes(), 64).unwrap();
        let mut out = String::new();
        write_document(&merge(read(target), read(patch)), &mut out);
        assert_eq!(out, expected, "{target} + {patch}");
    }

    /// The table of RFC 7396, appendix A, where the target is an object; and order.
    #[test]
    fn merges_as_the_rfc_says() {
        check(r#"{"a":"b"}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
        check(r#"{"a":"b"}"#, r#"{"b":"c"}"#, r#"{"a":"b","b":"c"}"#);
        check(r#"{"a":"b"}"#, r#"{"a":null}"#, r#"{}"#);
        check(r#"{"a":"b","b":"c"}"#, r#"{"a":null}"#, r#"{"b":"c"}"#);
        check(r#"{"a":["b"]}"#, r#"{"a":"c"}"#, r#"{"a":"c"}"#);
        check(r#"{"a":"c"}"#, r#"{"a":["b"]}"#, r#"{"a":["b"]}"#);
        check(r#"{"a":{"b":"c"}}"#, r#"{"a":{"b":"d","c":null}}"#, r#"{"a":{"b":"d"}}"#);
        check(r#"{"a":[{"b":"c"}]}"#, r#"{"a":[1]}"#, r#"{"a":[1]}"#);
        check(r#"{"a":"foo"}"#, r#"null"#, r#"null"#);
        check(r#"{"e":null}"#, r#"{"a":1}"#, r#"{"e":null,"a":1}"#);
        check(r#"[1,2]"#, r#"{"a":"b","c":null}"#, r#"{"a":"b"}"#);
        check(r#"{}"#, r#"{"a":{"bb":{"ccc":null}}}"#, r#"{"a":{"bb":{}}}"#);
        check(r#"{"x":1,"y":2,"z":3}"#, r#"{"w":0,"y":null,"x":9}"#, r#"{"x":9,"z":3,"w":0}"#);
    }

    #[test]
    fn many_changes_merge_too() {
        let object = |range: std::ops::Range<i64>, value: Option<i64>| {
            let members = range.map(|i| (i.to_string().into(), value.map_or(Document::Null, Document::Int)));
            Document::Map(members.collect())
        };
        let merged = merge(object(0..100, Some(1)), object(50..150, Some(2)));
        assert_eq!(merged.get("49"), Some(&Document::Int(1)));
        assert_eq!(merged.get("50"), Some(&Document::Int(2)));
        assert_eq!(merged.get("149"), Some(&Document::Int(2)));
        assert_eq!(merge(merged, object(0..150, None)), Document::Map(vec![]));
    }
}
