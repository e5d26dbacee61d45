//! What CPython 3.13 gave for each case, we give: the same number, text, or exception.

use crate::support::{Outcome, evaluate};
use butterflyfx_formula::document::Document;
use butterflyfx_formula::error::RaiseKind;
use butterflyfx_formula::formula::ExpressionType;
use butterflyfx_formula::json;

fn text(document: &Document) -> String {
    let mut out = String::new();
    json::write_document(document, &mut out);
    out
}

/// `None` where a case comes out as in CPython, else what came out.
fn difference(case: &Document) -> Option<String> {
    let Some(Document::Text(code)) = case.get("code") else { return Some("no code".to_owned()) };
    let parameters = case.get("parameters").map_or_else(|| "{}".to_owned(), text);
    let outcome = evaluate(ExpressionType::Lambda, code, &parameters);
    let same = match (&outcome, case.get("result"), case.get("exception"), case.get("not_json")) {
        (Outcome::Result(ours, _), Some(expected), None, None) => *ours == text(expected),
        (Outcome::Raised(RaiseKind::Exception(kind), _), None, Some(Document::Text(expected)), None) => {
            kind.name() == &**expected
        }
        // CPython has one exception for these; the API has a code for each.
        (
            Outcome::Raised(RaiseKind::MissingParameter(_) | RaiseKind::UnexpectedParameter(_), _),
            None,
            Some(Document::Text(expected)),
            None,
        ) => &**expected == "TypeError",
        (Outcome::Raised(RaiseKind::ResultNotJson, _), None, None, Some(_)) => true,
        _ => false,
    };
    (!same).then(|| format!("{}\n    ours: {outcome:?}", text(case)))
}

#[test]
fn all_cases_equal_cpython() {
    let data = include_bytes!("../data/python-cases.json");
    let cases = match json::read_document(data, 64) {
        Ok(Document::List(cases)) => cases,
        other => panic!("the cases are a JSON array, not {other:?}"),
    };
    assert!(cases.len() >= 1_492, "only {} cases", cases.len());
    let differences: Vec<String> = cases.iter().filter_map(difference).collect();
    assert!(
        differences.is_empty(),
        "{} of {} differ:\n{}",
        differences.len(),
        cases.len(),
        differences.join("\n")
    );
}
