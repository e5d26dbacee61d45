//! What a server must hold: the items that were acknowledged, and the one change that may or may not have
//! happened.

use super::wire::Connection;
use serde_json::Value;
use std::collections::BTreeMap;

/// Items by their key: a substrate's identity, a relationship's type and ends, `index` and a metadata key.
pub(crate) type Model = BTreeMap<String, Item>;

/// What is known of an item.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    pub(crate) body: Value,
    pub(crate) etag: Option<String>,
    /// The body is as the server gave it. Else it was answered with counts only, and holds what was asked for.
    pub(crate) whole: bool,
}

/// What a change does to one item.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) key: String,
    /// Some of its members afterwards; `None` where it is gone.
    pub(crate) after: Option<Value>,
}

/// Steps that are made in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Change {
    pub(crate) steps: Vec<Step>,
    /// All of them or none. Else some of them, from the first.
    pub(crate) atomic: bool,
}

/// Whether all members of `part` are in `whole`, with equal values.
pub(crate) fn holds(part: &Value, whole: &Value) -> bool {
    let members = part.as_object().into_iter().flatten();
    members.into_iter().all(|(name, value)| whole.get(name) == Some(value))
}

impl Item {
    /// Whether this is what was found.
    fn is(&self, found: &Value) -> bool {
        if self.whole { self.body == *found } else { holds(&self.body, found) }
    }
}

/// The key of an item as the server gives it. What an index counts is not part of the item.
pub(crate) fn key_of(body: &mut Value) -> String {
    let text = |name: &str| body[name].as_str().unwrap_or_default();
    if body.get("substrate_id").is_some() {
        return text("substrate_id").to_owned();
    }
    if body.get("relationship_id").is_some() {
        return format!("{} {} {}", text("rel_type"), text("source_id"), text("target_id"));
    }
    let key = format!("index {}", text("metadata_key"));
    if let Some(members) = body.as_object_mut() {
        members.remove("entries");
        members.remove("distinct_values");
    }
    key
}

/// Everything that a server holds.
#[track_caller]
pub(crate) fn everything(connection: &mut Connection) -> BTreeMap<String, Value> {
    let mut all = BTreeMap::new();
    for list in ["substrates", "relationships", "indexes"] {
        let limit = if list == "indexes" { "" } else { "?limit=5000" };
        let mut request = format!("GET /api/v1/{list}{limit}");
        loop {
            let answer = connection.ask(&request, &[], "").expect("an answer");
            assert_eq!(answer.status, 200, "{request}: {}", answer.body);
            let mut page = answer.json();
            for mut body in page[list].as_array_mut().expect("a list").drain(..) {
                let key = key_of(&mut body);
                assert!(all.insert(key.clone(), body).is_none(), "{key} is there twice");
            }
            let Some(cursor) = page["next_cursor"].as_str() else { break };
            request = format!("GET /api/v1/{list}{limit}&cursor={cursor}");
        }
    }
    all
}

/// Holds what was found against the model, in which `pending` is the change that was not answered, and takes
/// over what came of that.
#[track_caller]
pub(crate) fn reconcile(model: &mut Model, pending: Option<&Change>, mut found: BTreeMap<String, Value>) {
    let empty = Change::default();
    let pending = pending.unwrap_or(&empty);
    // For each step whether the item is as before, and as after it.
    let seen: Vec<(bool, bool)> = pending
        .steps
        .iter()
        .map(|step| {
            let now = found.get(&step.key);
            let before = match (model.get(&step.key), now) {
                (None, None) => true,
                (Some(item), Some(now)) => item.is(now),
                _ => false,
            };
            let after = match (&step.after, now) {
                (None, None) => true,
                (Some(part), Some(now)) => holds(part, now),
                _ => false,
            };
            (before, after)
        })
        .collect();
    let count = seen.len();
    let is_cut_at =
        |at: usize| seen.iter().enumerate().all(|(index, (b, a))| if index < at { *a } else { *b });
    let cut = (0..=count).find(|at| is_cut_at(*at) && (!pending.atomic || *at == 0 || *at == count));
    assert!(
        cut.is_some(),
        "of {count} steps, atomic: {}, these are as before and as after: {seen:?}\n{:?}",
        pending.atomic,
        pending.steps.iter().take(3).collect::<Vec<_>>()
    );
    for step in &pending.steps {
        match found.remove(&step.key) {
            Some(body) => {
                // Its tag is only the same where it is as before.
                let before = model.get(&step.key).filter(|item| item.is(&body));
                let etag = before.and_then(|item| item.etag.clone());
                model.insert(step.key.clone(), Item { body, etag, whole: true });
            }
            None => {
                model.remove(&step.key);
            }
        }
    }
    for (key, item) in model.iter_mut() {
        if pending.steps.iter().any(|step| step.key == *key) {
            continue;
        }
        let Some(body) = found.remove(key) else { panic!("{key} was acknowledged, and is gone: {item:?}") };
        assert!(item.is(&body), "{key} was acknowledged as {item:?}\nand is {body}");
        *item = Item { body, etag: item.etag.clone(), whole: true };
    }
    assert!(found.is_empty(), "nobody made these, or they were deleted: {found:?}");
}
