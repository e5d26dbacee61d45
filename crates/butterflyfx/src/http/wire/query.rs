//! Query strings: every parameter is known and in range, or the request is refused.

use super::decode::Faults;
use crate::http::problem::{Fault, Outcome, clip};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{OnConflict, RelationshipType, TypeSet};
use http::Uri;
use std::borrow::Cow;

/// More pairs than this are refused unread.
const PAIRS_MAX: usize = 100;

/// The parameters of a request, checked as they are taken. Ends with [`Query::finish`].
#[derive(Debug)]
pub(in crate::http) struct Query<'a> {
    pairs: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    faults: Faults,
}

impl<'a> Query<'a> {
    /// Reads the query string; names that are not `known` are faults, and so are repeated ones
    /// (`type` aside, which is a set).
    pub(in crate::http) fn read(uri: &'a Uri, known: &[&str]) -> Query<'a> {
        let mut query = Query { pairs: Vec::new(), faults: Faults::default() };
        let text = uri.query().unwrap_or_default();
        for (count, pair) in text.split('&').filter(|pair| !pair.is_empty()).enumerate() {
            if count == PAIRS_MAX {
                query.fault("", format!("a query may have at most {PAIRS_MAX} parameters"));
                break;
            }
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let (Some(name), Some(value)) = (percent_decode(name, true), percent_decode(value, true)) else {
                query.fault(&clip(name, 64), "must be percent-encoded UTF-8".to_owned());
                continue;
            };
            if !known.contains(&&*name) {
                let advice = if known.is_empty() {
                    "this endpoint takes none".to_owned()
                } else {
                    format!("this endpoint takes {}", known.join(", "))
                };
                let message = format!("unknown query parameter {:?}; {advice}", clip(&name, 64));
                query.fault(&clip(&name, 64), message);
            } else if name != "type" && query.pairs.iter().any(|(other, _)| *other == name) {
                query.fault(&name, format!("{name} is given twice"));
            } else {
                query.pairs.push((name, value));
            }
        }
        query
    }

    /// The value of a parameter.
    pub(in crate::http) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(other, _)| other == name).map(|(_, value)| &**value)
    }

    /// A number in a range.
    pub(in crate::http) fn unsigned(&mut self, name: &str, default: u64, low: u64, high: u64) -> u64 {
        let Some(text) = self.text(name) else {
            return default;
        };
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // A number too long for 64 bits is beyond every bound; where there is none it is the most.
        let number = digits.then(|| text.parse::<u64>().unwrap_or(u64::MAX));
        match number {
            Some(number) if (low..=high).contains(&number) => number,
            _ => {
                let message = if high == u64::MAX {
                    format!("{name} must be a whole number, at least {low}")
                } else {
                    format!("{name} must be a whole number from {low} to {high}")
                };
                self.fault(name, message);
                default
            }
        }
    }

    /// `true` or `false`, in any case because clients in Python write `True`; false where absent.
    pub(in crate::http) fn flag(&mut self, name: &str) -> bool {
        match self.text(name) {
            Some(text) if text.eq_ignore_ascii_case("true") => true,
            Some(text) if text.eq_ignore_ascii_case("false") => false,
            _ => self.one_of(name, &["false", "true"]) == 1,
        }
    }

    /// The position of the value among those allowed; 0 where absent.
    pub(in crate::http) fn one_of(&mut self, name: &str, allowed: &[&str]) -> usize {
        let Some(text) = self.text(name) else {
            return 0;
        };
        match allowed.iter().position(|one| *one == text) {
            Some(position) => position,
            None => {
                let message = format!("{name} must be {}", allowed.join(" or "));
                self.fault(name, message);
                0
            }
        }
    }

    /// `on_conflict`.
    pub(in crate::http) fn on_conflict(&mut self) -> OnConflict {
        match self.one_of("on_conflict", &["refuse", "return"]) {
            1 => OnConflict::Return,
            _ => OnConflict::Refuse,
        }
    }

    /// An identity.
    pub(in crate::http) fn substrate_id(&mut self, name: &str) -> Option<SubstrateId> {
        let text = self.text(name)?;
        let id = SubstrateId::parse(text);
        if id.is_none() {
            let text = text.to_owned();
            self.faults.identity(&text, Fault { parameter: Some(name.to_owned()), ..Fault::default() });
        }
        id
    }

    /// `type`: relationship types, repeated or separated by commas.
    pub(in crate::http) fn types(&mut self) -> TypeSet {
        let mut types = TypeSet::default();
        let mut unknown = None;
        for (_, text) in self.pairs.iter().filter(|(name, _)| name == "type") {
            for name in text.split(',') {
                match RelationshipType::from_name(name.trim()) {
                    Some(rel_type) => types.insert(rel_type),
                    None => unknown = Some(clip(name, 64)),
                }
            }
        }
        if let Some(name) = unknown {
            self.fault("type", super::decode::unknown_rel_type(&name));
        }
        types
    }

    /// Says that a parameter is missing.
    pub(in crate::http) fn missing(&mut self, name: &str, what: &str) {
        self.fault(name, format!("the query parameter {name} is missing: {what}"));
    }

    fn fault(&mut self, name: &str, message: String) {
        self.faults.add(Fault { parameter: Some(name.to_owned()), message, ..Fault::default() });
    }

    /// Refuses the request where anything was wrong.
    pub(in crate::http) fn finish(self) -> Outcome<()> {
        self.faults.finish()
    }
}

/// Decodes `%41`, and `+` as a blank in a query. `None` where the bytes are no UTF-8 or a `%` is
/// not followed by two digits.
pub(in crate::http) fn percent_decode(text: &str, plus_is_blank: bool) -> Option<Cow<'_, str>> {
    if !text.bytes().any(|byte| byte == b'%' || (byte == b'+' && plus_is_blank)) {
        return Some(Cow::Borrowed(text));
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let high = char::from(rest.next()?).to_digit(16)?;
                let low = char::from(rest.next()?).to_digit(16)?;
                (high * 16 + low) as u8
            }
            b'+' if plus_is_blank => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok().map(Cow::Owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::problem::Code;

    #[test]
    fn percent_encoding() {
        for (text, plus, expected) in [
            ("abc", true, Some("abc")),
            ("a+b%20c", true, Some("a b c")),
            ("a+b", false, Some("a+b")),
            ("%E2%82%AC", true, Some("\u{20ac}")),
            ("%e2%82", true, None),
            ("%", true, None),
            ("%4", true, None),
            ("%+1", true, None),
            ("%zz", true, None),
        ] {
            assert_eq!(percent_decode(text, plus).as_deref(), expected, "{text}");
        }
    }

    fn check(query: &str, expected: Result<(u64, bool, u16), Code>) {
        let uri: Uri = format!("/x?{query}").parse().expect("a URI");
        let mut query = Query::read(&uri, &["limit", "atomic", "type", "id"]);
        let limit = query.unsigned("limit", 5, 1, 10);
        let atomic = query.flag("atomic");
        let types = query.types();
        query.substrate_id("id");
        let outcome = query.finish().map(|()| (limit, atomic, types.0)).map_err(|problem| problem.code);
        assert_eq!(outcome, expected, "{uri}");
    }

    #[test]
    fn parameters() {
        check("", Ok((5, false, 0)));
        check("&&", Ok((5, false, 0)));
        check("limit=10&atomic=true", Ok((10, true, 0)));
        check("type=cycle&type=Part_To_Whole,SIBLING", Ok((5, false, 0b10_0000_0101)));
        check("id=0xff", Ok((5, false, 0)));
        for bad in [
            "limit=0",
            "limit=11",
            "limit=-1",
            "limit=+1",
            "limit=1.0",
            "limit=",
            "limit=99999999999999999999999",
            "limit=1&limit=1",
            "atomic=1",
            "atomic",
            "type=NOPE",
            "type=",
            "unknown=1",
            "li%6Dit=x",
            "limit=%ff",
            "id=zz&limit=0",
        ] {
            check(bad, Err(Code::ValidationFailed));
        }
        check("id=zz", Err(Code::InvalidIdentity));
        check("id=", Err(Code::InvalidIdentity));
    }
}
