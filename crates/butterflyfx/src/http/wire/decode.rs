//! Request bodies: from a JSON document to typed fields, with a fault for each thing that is
//! missing, unknown or of the wrong type. All faults of a body are found, not only the first.

use crate::http::problem::{Code, Fault, Outcome, Problem, clip, invalid_identity_detail};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_engine::model::{Direction, RelationshipType, TypeSet};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::formula::ExpressionType;

/// Faults kept; the rest are counted.
const FAULTS_MAX: usize = 100;

/// Where a value stands in the body.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) enum At<'a> {
    /// The body itself.
    Root,
    /// A member of an object.
    Member(&'a At<'a>, &'a str),
    /// An element of an array.
    Element(&'a At<'a>, usize),
}

impl At<'_> {
    /// The JSON Pointer.
    pub(in crate::http) fn pointer(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) {
        match self {
            At::Root => {}
            At::Member(parent, name) => {
                parent.write(out);
                out.push('/');
                out.push_str(&clip(name, 200).replace('~', "~0").replace('/', "~1"));
            }
            At::Element(parent, index) => {
                parent.write(out);
                out.push('/');
                out.push_str(&index.to_string());
            }
        }
    }

    /// What a sentence calls it.
    fn name(&self) -> String {
        match self {
            At::Root => "the body".to_owned(),
            At::Member(_, name) => clip(name, 64),
            At::Element(..) => self.pointer(),
        }
    }
}

/// What was found wrong so far.
#[derive(Debug, Default)]
pub(in crate::http) struct Faults {
    faults: Vec<Fault>,
    count: usize,
    /// Faults that are identities of the wrong form, which have a code of their own.
    identities: usize,
    /// A refusal with another code than `validation_failed`, such as a formula type to come.
    special: Option<Box<Problem>>,
}

impl Faults {
    /// Adds a fault.
    #[cold]
    pub(in crate::http) fn add(&mut self, fault: Fault) {
        self.count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(fault);
        }
    }

    /// Adds a fault at a place.
    #[cold]
    pub(in crate::http) fn at(&mut self, at: &At<'_>, message: impl Into<String>) {
        self.add(Fault { pointer: Some(at.pointer()), message: message.into(), ..Fault::default() });
    }

    /// Adds an identity that is none.
    #[cold]
    pub(in crate::http) fn identity(&mut self, text: &str, place: Fault) {
        self.identities += 1;
        self.add(Fault { message: invalid_identity_detail(text), ..place });
    }

    /// Refuses with another code, unless there are plain faults too.
    #[cold]
    pub(in crate::http) fn special(&mut self, problem: Box<Problem>) {
        self.special.get_or_insert(problem);
    }

    /// Whether nothing was wrong.
    pub(in crate::http) fn is_empty(&self) -> bool {
        self.count == 0 && self.special.is_none()
    }

    /// Refuses where anything was wrong.
    pub(in crate::http) fn finish(self) -> Outcome<()> {
        if self.is_empty() { Ok(()) } else { Err(self.into_problem()) }
    }

    #[cold]
    fn into_problem(self) -> Box<Problem> {
        let Some(first) = self.faults.first() else {
            return self.special.unwrap_or_else(|| Problem::new(Code::ValidationFailed, "not acceptable"));
        };
        let code = if self.identities == self.count { Code::InvalidIdentity } else { Code::ValidationFailed };
        let detail = match self.count {
            1 => first.message.clone(),
            count => format!("{} ({} more in errors)", first.message, count - 1),
        };
        let mut problem = Problem::new(code, detail);
        for fault in self.faults {
            problem = problem.with_fault(fault);
        }
        problem
    }
}

/// The members of an object that nobody has taken yet.
#[derive(Debug, Default)]
pub(in crate::http) struct Object {
    members: Vec<(Box<str>, Document)>,
}

impl Object {
    /// Opens an object.
    pub(in crate::http) fn open(document: Document, at: &At<'_>, faults: &mut Faults) -> Option<Object> {
        match document {
            Document::Map(members) => Some(Object { members }),
            other => {
                faults.at(at, format!("{} must be an object, not {}", at.name(), kind(&other)));
                None
            }
        }
    }

    /// Takes a member out.
    pub(in crate::http) fn take(&mut self, name: &str) -> Option<Document> {
        let position = self.members.iter().position(|(other, _)| &**other == name)?;
        Some(self.members.remove(position).1)
    }

    /// Takes a member that may be absent or null.
    pub(in crate::http) fn optional<T>(
        &mut self,
        name: &str,
        at: &At<'_>,
        faults: &mut Faults,
        read: impl FnOnce(Document, &At<'_>, &mut Faults) -> Option<T>,
    ) -> Option<T> {
        match self.take(name)? {
            Document::Null => None,
            value => read(value, &At::Member(at, name), faults),
        }
    }

    /// Takes a member that must be there.
    pub(in crate::http) fn required<T>(
        &mut self,
        name: &str,
        what: &str,
        at: &At<'_>,
        faults: &mut Faults,
        read: impl FnOnce(Document, &At<'_>, &mut Faults) -> Option<T>,
    ) -> Option<T> {
        match self.take(name) {
            Some(value) => read(value, &At::Member(at, name), faults),
            None => {
                faults.at(&At::Member(at, name), format!("{name} is missing: {what}"));
                None
            }
        }
    }

    /// Refuses the members that nobody took.
    pub(in crate::http) fn close(self, known: &[&str], at: &At<'_>, faults: &mut Faults) {
        for (name, _) in &self.members {
            faults.at(
                &At::Member(at, name),
                format!("unknown field {:?}; the fields are {}", clip(name, 64), known.join(", ")),
            );
        }
    }
}

/// What a value is called in a sentence.
pub(in crate::http) fn kind(document: &Document) -> &'static str {
    match document {
        Document::Null => "null",
        Document::Bool(_) => "a boolean",
        Document::Int(_) | Document::BigInt(_) | Document::Float(_) => "a number",
        Document::Text(_) => "a string",
        Document::List(_) => "an array",
        Document::Map(_) => "an object",
    }
}

#[cold]
fn wrong<T>(document: &Document, expected: &str, at: &At<'_>, faults: &mut Faults) -> Option<T> {
    faults.at(at, format!("{} must be {expected}, not {}", at.name(), kind(document)));
    None
}

/// A string.
pub(in crate::http) fn text(document: Document, at: &At<'_>, faults: &mut Faults) -> Option<String> {
    match document {
        Document::Text(text) => Some(text.into()),
        other => wrong(&other, "a string", at, faults),
    }
}

/// A boolean.
pub(in crate::http) fn boolean(document: Document, at: &At<'_>, faults: &mut Faults) -> Option<bool> {
    match document {
        Document::Bool(truth) => Some(truth),
        other => wrong(&other, "true or false", at, faults),
    }
}

/// An object, kept whole.
pub(in crate::http) fn map(document: Document, at: &At<'_>, faults: &mut Faults) -> Option<Document> {
    match document {
        Document::Map(_) => Some(document),
        other => wrong(&other, "an object", at, faults),
    }
}

/// Anything.
pub(in crate::http) fn any(document: Document, _: &At<'_>, _: &mut Faults) -> Option<Document> {
    Some(document)
}

/// An array.
pub(in crate::http) fn list(document: Document, at: &At<'_>, faults: &mut Faults) -> Option<Vec<Document>> {
    match document {
        Document::List(items) => Some(items),
        other => wrong(&other, "an array", at, faults),
    }
}

/// A whole number in a range. `high` of `u64::MAX` means no bound: larger numbers count as it.
pub(in crate::http) fn unsigned(
    document: Document,
    low: u64,
    high: u64,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<u64> {
    let number = match &document {
        Document::Int(number) => u64::try_from(*number).ok(),
        Document::BigInt(digits) if digits.starts_with('-') => None,
        Document::BigInt(digits) => Some(digits.parse().unwrap_or(u64::MAX)),
        _ => None,
    };
    match number {
        Some(number) if (low..=high).contains(&number) => Some(number),
        _ => {
            let expected = if high == u64::MAX {
                format!("a whole number, at least {low}")
            } else {
                format!("a whole number from {low} to {high}")
            };
            faults.at(at, format!("{} must be {expected}", at.name()));
            None
        }
    }
}

/// An integer from 0 to 2^64-1, exactly.
pub(in crate::http) fn exact_u64(document: &Document) -> Option<u64> {
    match document {
        Document::Int(number) => u64::try_from(*number).ok(),
        Document::BigInt(digits) => digits.parse().ok(),
        _ => None,
    }
}

/// The text of an identity.
pub(in crate::http) fn substrate_id(
    document: Document,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<SubstrateId> {
    let Document::Text(text) = &document else {
        return wrong(&document, "a string of hex digits such as \"0xA114047D0E9FBBF9\"", at, faults);
    };
    let id = SubstrateId::parse(text);
    if id.is_none() {
        faults.identity(text, Fault { pointer: Some(at.pointer()), ..Fault::default() });
    }
    id
}

/// `expression_type`.
pub(in crate::http) fn expression_type(
    document: Document,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<ExpressionType> {
    const EXPECTED: &str = "\"lambda\", \"formula\" or \"constant\"";
    let Document::Text(text) = &document else {
        return wrong(&document, EXPECTED, at, faults);
    };
    let kind = ExpressionType::from_name(text);
    if kind.is_none() {
        if &**text == "function" {
            let message =
                "functions (def with statements) come in a later version; write a lambda or a formula";
            faults.special(Problem::new(Code::NotSupported, message).with_fault(Fault {
                pointer: Some(at.pointer()),
                message: message.to_owned(),
                ..Fault::default()
            }));
        } else {
            faults.at(at, format!("{} must be {EXPECTED}, not {:?}", at.name(), clip(text, 64)));
        }
    }
    kind
}

/// The sentence about a relationship type that is none.
pub(in crate::http) fn unknown_rel_type(name: &str) -> String {
    let names = RelationshipType::ALL.map(RelationshipType::name);
    format!("{:?} is no relationship type; the types are {}", clip(name, 64), names.join(", "))
}

/// `rel_type`.
pub(in crate::http) fn rel_type(
    document: Document,
    at: &At<'_>,
    faults: &mut Faults,
) -> Option<RelationshipType> {
    let Document::Text(text) = &document else {
        return wrong(&document, "a string such as \"DEPENDENCY\"", at, faults);
    };
    let rel_type = RelationshipType::from_name(text);
    if rel_type.is_none() {
        faults.at(at, unknown_rel_type(text));
    }
    rel_type
}

/// `rel_types`: a filter.
pub(in crate::http) fn rel_types(document: Document, at: &At<'_>, faults: &mut Faults) -> Option<TypeSet> {
    let mut types = TypeSet::default();
    for (index, item) in list(document, at, faults)?.into_iter().enumerate() {
        types.insert(rel_type(item, &At::Element(at, index), faults)?);
    }
    Some(types)
}

/// `direction`.
pub(in crate::http) fn direction(document: Document, at: &At<'_>, faults: &mut Faults) -> Option<Direction> {
    match &document {
        Document::Text(text) if &**text == "outgoing" => Some(Direction::Outgoing),
        Document::Text(text) if &**text == "incoming" => Some(Direction::Incoming),
        Document::Text(text) if &**text == "both" => Some(Direction::Both),
        other => wrong(other, "\"outgoing\", \"incoming\" or \"both\"", at, faults),
    }
}
