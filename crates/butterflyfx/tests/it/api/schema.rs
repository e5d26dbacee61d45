//! Holds answers against the OpenAPI document: the operation, its statuses, media types, schemas.

use super::client::Reply;
use serde_json::Value;
use std::sync::LazyLock;

pub(crate) static DOCUMENT: LazyLock<Value> =
    LazyLock::new(|| serde_json::from_str(butterflyfx::http::openapi::text()).expect("the document is JSON"));

/// The operation of the document that a request is for.
pub(crate) fn operation(method: &str, path: &str) -> Option<&'static Value> {
    let path = path.split('?').next().unwrap_or_default();
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_ascii_lowercase() };
    let paths = DOCUMENT["paths"].as_object().expect("paths");
    let fits = |template: &str| {
        let (template, path): (Vec<_>, Vec<_>) = (template.split('/').collect(), path.split('/').collect());
        template.len() == path.len()
            && template
                .iter()
                .zip(&path)
                .all(|(part, given)| part == given || (part.starts_with('{') && !given.is_empty()))
    };
    // A plain path goes before one with parameters.
    let mut templates: Vec<_> = paths.keys().filter(|template| fits(template)).collect();
    templates.sort_by_key(|template| template.matches('{').count());
    templates.first().and_then(|template| paths[*template].get(&method))
}

/// Panics where an answer is not as the document says.
#[track_caller]
pub(crate) fn check(method: &str, path: &str, reply: &Reply) {
    let context = || format!("{method} {path} -> {}\n{:?}\n{}", reply.status, reply.headers, reply.text());
    let Some(operation) = operation(method, path) else {
        assert!(matches!(reply.status, 204 | 404 | 405), "not documented: {}", context());
        return;
    };
    let responses = operation["responses"].as_object().expect("responses");
    // What the transport refuses is documented as the default.
    let transport = matches!(reply.status, 400 | 403 | 405 | 408 | 431);
    let response = match responses.get(&reply.status.to_string()) {
        Some(response) => response,
        None if transport => &responses["default"],
        None => panic!("the status is not documented: {}", context()),
    };
    assert!(reply.header("x-request-id").is_some(), "no request id: {}", context());
    if method == "HEAD" || matches!(reply.status, 204 | 304) {
        assert!(reply.body.is_empty(), "{}", context());
        return;
    }
    let media = reply.header("content-type").unwrap_or_default().split(';').next().unwrap_or_default();
    let Some(content) = response["content"].get(media) else {
        panic!("the media type {media:?} is not documented: {}", context());
    };
    if media.ends_with("json") {
        let mut path = String::new();
        if let Err(message) = validate(&content["schema"], &reply.json(), &mut path) {
            panic!("{path}: {message}: {}", context());
        }
    }
    if media == "application/problem+json" {
        let body = reply.json();
        assert_eq!(body["status"], u64::from(reply.status), "{}", context());
        let code = body["code"].as_str().unwrap_or_default();
        assert_eq!(body["type"], format!("/problems/{code}"), "{}", context());
        let described = response["description"].as_str().unwrap_or_default();
        assert!(
            transport || described.contains(&format!("`{code}`")) || path.contains("atomic=true"),
            "the code is not documented: {}",
            context()
        );
    }
}

/// The part of JSON Schema that the document uses.
fn validate(schema: &Value, value: &Value, path: &mut String) -> Result<(), String> {
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        let target = DOCUMENT.pointer(&reference[1..]).ok_or_else(|| format!("{reference} leads nowhere"))?;
        return validate(target, value, path);
    }
    if let Some(one_of) = schema.get("oneOf").and_then(Value::as_array) {
        let fitting = one_of.iter().filter(|one| validate(one, value, &mut path.clone()).is_ok()).count();
        if fitting != 1 {
            return Err(format!("{fitting} of oneOf fit"));
        }
    }
    match schema.get("type") {
        None => {}
        Some(Value::String(name)) if is_of_type(value, name) => {}
        Some(Value::Array(names))
            if names.iter().any(|name| is_of_type(value, name.as_str().unwrap_or(""))) => {}
        Some(expected) => return Err(format!("is not {expected}")),
    }
    if let Some(values) = schema.get("enum").and_then(Value::as_array)
        && !values.contains(value)
    {
        return Err(format!("{value} is not in the enum"));
    }
    if let Some(number) = value.as_f64() {
        let bound = |name: &str| schema.get(name).and_then(Value::as_f64);
        if bound("minimum").is_some_and(|low| number < low)
            || bound("maximum").is_some_and(|high| number > high)
        {
            return Err(format!("{number} is out of range"));
        }
    }
    if let Some(text) = value.as_str() {
        match schema.get("pattern").and_then(Value::as_str) {
            None | Some("^multiply$") => {}
            Some("^0x[0-9A-F]{16}$") => {
                let digits = text.strip_prefix("0x").unwrap_or_default();
                let good = |byte: u8| byte.is_ascii_digit() || (b'A'..=b'F').contains(&byte);
                if digits.len() != 16 || !digits.bytes().all(good) {
                    return Err(format!("{text} is no identity"));
                }
            }
            Some(other) => return Err(format!("the pattern {other} is not known here")),
        }
        if schema.get("format").and_then(Value::as_str) == Some("date-time")
            && (text.len() != 27 || !text.ends_with('Z'))
        {
            return Err(format!("{text} is no time"));
        }
    }
    if let Some(items) = value.as_array() {
        let bound = |name: &str| schema.get(name).and_then(Value::as_u64);
        if bound("minItems").is_some_and(|low| (items.len() as u64) < low)
            || bound("maxItems").is_some_and(|high| items.len() as u64 > high)
        {
            return Err(format!("has {} items", items.len()));
        }
        for (index, item) in items.iter().enumerate() {
            inside(&index.to_string(), schema.get("items"), item, path)?;
        }
    }
    if let Some(members) = value.as_object() {
        let properties = schema.get("properties").and_then(Value::as_object);
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten() {
            if !members.contains_key(name.as_str().unwrap_or_default()) {
                return Err(format!("{name} is missing"));
            }
        }
        for (name, member) in members {
            match properties.and_then(|properties| properties.get(name)) {
                Some(property) => inside(name, Some(property), member, path)?,
                None => match schema.get("additionalProperties") {
                    Some(Value::Bool(false)) => return Err(format!("{name} is not documented")),
                    additional => inside(name, additional, member, path)?,
                },
            }
        }
    }
    Ok(())
}

fn inside(name: &str, schema: Option<&Value>, value: &Value, path: &mut String) -> Result<(), String> {
    let Some(schema) = schema.filter(|schema| schema.is_object()) else {
        return Ok(());
    };
    let before = path.len();
    path.push('/');
    path.push_str(name);
    validate(schema, value, path)?;
    path.truncate(before);
    Ok(())
}

fn is_of_type(value: &Value, name: &str) -> bool {
    match name {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}
