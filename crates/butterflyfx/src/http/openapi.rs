//! The OpenAPI 3.1 document: routes and their descriptions come from one list of handlers; the
//! refusals of each operation from one table.

use super::problem::{Code, PROBLEM_TYPE};
use super::{Shared, admin, batch, indexes, invoke, jobs, query, relationships, schema, substrates, system};
use axum::routing::get;
use std::collections::BTreeMap;
use std::sync::LazyLock;
use utoipa::openapi::header::HeaderBuilder;
use utoipa::openapi::path::{Operation, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ObjectBuilder, Ref, Schema, Type};
use utoipa::openapi::{
    ContactBuilder, ContentBuilder, InfoBuilder, LicenseBuilder, OpenApi, OpenApiBuilder, RefOr,
    ResponseBuilder, tag::TagBuilder,
};
use utoipa::{PartialSchema, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// The routes with their descriptions.
pub(super) fn routes() -> OpenApiRouter<Shared> {
    OpenApiRouter::with_openapi(OpenApiBuilder::new().info(info()).tags(Some(tags())).build())
        .routes(routes!(substrates::create, substrates::list))
        .routes(routes!(batch::create_substrates))
        .routes(routes!(invoke::invoke_many))
        .routes(routes!(substrates::multiply))
        .routes(routes!(substrates::get, substrates::put, substrates::patch, substrates::delete))
        .routes(routes!(substrates::divide))
        .routes(routes!(invoke::invoke))
        .routes(routes!(invoke::invoke_rows))
        .routes(routes!(invoke::value))
        .routes(routes!(relationships::create, relationships::list))
        .routes(routes!(batch::create_relationships))
        .routes(routes!(relationships::graph))
        .routes(routes!(relationships::outgoing))
        .routes(routes!(relationships::incoming))
        .routes(routes!(relationships::get, relationships::delete))
        .routes(routes!(query::search))
        .routes(routes!(query::traverse))
        .routes(routes!(query::path))
        .routes(routes!(query::stats))
        .routes(routes!(indexes::list))
        .routes(routes!(indexes::get, indexes::put, indexes::delete))
        .routes(routes!(jobs::list))
        .routes(routes!(jobs::get, jobs::cancel))
        .routes(routes!(admin::backup))
        .routes(routes!(system::health))
        .routes(routes!(system::metrics))
        .routes(routes!(system::healthz))
        .routes(routes!(system::livez))
        .routes(routes!(system::readyz))
        .routes(routes!(system::scrape))
        .routes(routes!(system::openapi_v1))
        .routes(routes!(system::openapi_root))
        .routes(routes!(system::problems))
        .routes(routes!(system::problem_page))
        // The same page, for those who add a slash.
        .route("/problems/", get(system::problems))
}

/// What each operation refuses with, beside what all of them may: see [`COMMON`].
fn refusals(operation_id: &str) -> &'static [Code] {
    use Code::*;
    const CREATE: &[Code] = &[
        InvalidJson,
        InvalidIdentity,
        SubstrateExists,
        IdentityInUse,
        IdempotencyKeyInFlight,
        BodyTooLarge,
        UnsupportedMediaType,
        ValidationFailed,
        SyntaxError,
        NotSupported,
        EvaluationFailed,
        LimitExceeded,
        IdempotencyKeyReused,
        Overloaded,
        OutOfStorage,
    ];
    const EVALUATE: &[Code] = &[
        InvalidIdentity,
        SubstrateNotFound,
        ValidationFailed,
        MissingParameter,
        UnexpectedParameter,
        EvaluationFailed,
        LimitExceeded,
        ResultNotJson,
        DependencyCycle,
        Overloaded,
    ];
    match operation_id {
        "create_substrate" | "create_substrates" => CREATE,
        "list_substrates" => &[InvalidCursor, ValidationFailed, Overloaded],
        "get_substrate" => &[InvalidIdentity, SubstrateNotFound, ValidationFailed],
        "put_substrate" => &[
            InvalidJson,
            InvalidIdentity,
            IdentityInUse,
            IdentityIsContent,
            PreconditionFailed,
            BodyTooLarge,
            UnsupportedMediaType,
            ValidationFailed,
            SyntaxError,
            NotSupported,
            EvaluationFailed,
            LimitExceeded,
            Overloaded,
            OutOfStorage,
        ],
        "patch_substrate" => &[
            InvalidJson,
            InvalidIdentity,
            SubstrateNotFound,
            IdentityIsContent,
            PreconditionFailed,
            BodyTooLarge,
            UnsupportedMediaType,
            ValidationFailed,
            SyntaxError,
            NotSupported,
            EvaluationFailed,
            LimitExceeded,
            Overloaded,
            OutOfStorage,
        ],
        "delete_substrate" => &[
            InvalidIdentity,
            SubstrateNotFound,
            HasRelationships,
            PreconditionFailed,
            ValidationFailed,
            Overloaded,
        ],
        "divide_substrate" => &[
            InvalidIdentity,
            SubstrateNotFound,
            IdempotencyKeyInFlight,
            ValidationFailed,
            IdempotencyKeyReused,
        ],
        "multiply_dimensions" => &[
            InvalidJson,
            IdempotencyKeyInFlight,
            BodyTooLarge,
            UnsupportedMediaType,
            ValidationFailed,
            LimitExceeded,
            IdempotencyKeyReused,
        ],
        "invoke_substrate" | "invoke_batch" | "invoke_rows" => &[
            InvalidJson,
            InvalidIdentity,
            SubstrateNotFound,
            IdempotencyKeyInFlight,
            BodyTooLarge,
            UnsupportedMediaType,
            ValidationFailed,
            MissingParameter,
            UnexpectedParameter,
            EvaluationFailed,
            LimitExceeded,
            ResultNotJson,
            DependencyCycle,
            IdempotencyKeyReused,
            Overloaded,
        ],
        "get_value" => EVALUATE,
        "create_relationship" | "create_relationships" => &[
            InvalidJson,
            InvalidIdentity,
            SubstrateNotFound,
            RelationshipExists,
            IdempotencyKeyInFlight,
            BodyTooLarge,
            UnsupportedMediaType,
            ValidationFailed,
            LimitExceeded,
            IdempotencyKeyReused,
            Overloaded,
            OutOfStorage,
        ],
        "list_relationships" => &[InvalidIdentity, InvalidCursor, ValidationFailed, Overloaded],
        "list_outgoing" | "list_incoming" => {
            &[InvalidIdentity, InvalidCursor, SubstrateNotFound, ValidationFailed, Overloaded]
        }
        "get_graph" => &[InvalidIdentity, SubstrateNotFound, ValidationFailed, LimitExceeded, Overloaded],
        "get_relationship" | "delete_relationship" => {
            &[InvalidIdentity, RelationshipNotFound, ValidationFailed]
        }
        "search_substrates" => &[
            InvalidJson,
            InvalidIdentity,
            InvalidCursor,
            IdempotencyKeyInFlight,
            BodyTooLarge,
            UnsupportedMediaType,
            ValidationFailed,
            LimitExceeded,
            IdempotencyKeyReused,
            Overloaded,
        ],
        "traverse" => &[
            InvalidJson,
            InvalidIdentity,
            SubstrateNotFound,
            IdempotencyKeyInFlight,
            BodyTooLarge,
            UnsupportedMediaType,
            ValidationFailed,
            LimitExceeded,
            IdempotencyKeyReused,
            Overloaded,
        ],
        "find_path" => &[
            InvalidJson,
            InvalidIdentity,
            SubstrateNotFound,
            NoPath,
            IdempotencyKeyInFlight,
            BodyTooLarge,
            UnsupportedMediaType,
            ValidationFailed,
            LimitExceeded,
            IdempotencyKeyReused,
            Overloaded,
        ],
        "get_stats" => &[ValidationFailed, Overloaded],
        "list_indexes" | "get_metrics" => &[ValidationFailed],
        "get_index" | "delete_index" => &[IndexNotFound, ValidationFailed],
        "put_index" => &[ValidationFailed, Overloaded, OutOfStorage],
        "list_jobs" => &[InvalidCursor, ValidationFailed, Overloaded],
        "get_job" | "cancel_job" => &[JobNotFound, ValidationFailed],
        "create_backup" => {
            &[IdempotencyKeyInFlight, NotDurable, ValidationFailed, IdempotencyKeyReused, OutOfStorage]
        }
        "get_readyz" => &[Overloaded, ReadOnly],
        "get_problem" => &[RouteNotFound],
        _ => &[],
    }
}

/// What any operation may refuse with.
const COMMON: &[Code] = &[Code::Internal];

/// What whatever is written down may be refused with.
const WRITE: &[Code] = &[Code::Overloaded, Code::ReadOnly, Code::DurabilityUnknown, Code::OutOfStorage];

fn is_write(operation_id: &str) -> bool {
    ["create_substrate", "create_relationship", "put_", "patch_", "delete_"]
        .iter()
        .any(|start| operation_id.starts_with(start))
}

fn tags() -> Vec<utoipa::openapi::Tag> {
    [
        ("substrates", "Formulas with an identity: create, read, replace, change, delete."),
        ("evaluation", "Invoke formulas: one, many, over rows, or with what flows along relationships."),
        ("jobs", "Invocations that are done while nobody waits, with `Prefer: respond-async`."),
        ("relationships", "Typed links between substrates; those with a `parameter` feed formulas."),
        ("query", "Search by fields and metadata, walk the graph, find paths, count."),
        ("indexes", "Indexes over metadata keys, which make searches fast."),
        ("system", "Health, metrics, and what the server says about itself."),
    ]
    .into_iter()
    .map(|(name, description)| TagBuilder::new().name(name).description(Some(description)).build())
    .collect()
}

fn info() -> utoipa::openapi::Info {
    InfoBuilder::new()
        .title("ButterflyFx")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(
            "A server for graphs of live formulas. A *substrate* is a formula with a 64-bit identity; a \
             *relationship* is a typed link between two substrates; *invoking* a substrate evaluates its formula \
             with parameters that come from the caller or flow in along its relationships.\n\nRefusals are RFC 9457 \
             problems; every `code` is explained at `/problems`.",
        ))
        .license(Some(LicenseBuilder::new().name("MIT OR Apache-2.0").identifier(Some("MIT OR Apache-2.0")).build()))
        .contact(Some(ContactBuilder::new().name(Some("The ButterflyFx project")).build()))
        .build()
}

/// The whole document.
pub(super) fn document() -> OpenApi {
    let mut document = routes().into_openapi();
    let components = document.components.get_or_insert_default();
    components.schemas.insert("Problem".into(), schema::Problem::schema());
    let mut parts = Vec::new();
    schema::Problem::schemas(&mut parts);
    components.schemas.extend(parts);
    for item in document.paths.paths.values_mut() {
        for operation in
            [&mut item.get, &mut item.put, &mut item.patch, &mut item.delete].into_iter().flatten()
        {
            describe(operation);
        }
        if let Some(operation) = &mut item.post {
            describe(operation);
            operation.parameters.get_or_insert_default().push(RefOr::T(idempotency_key()));
        }
    }
    document
}

/// Adds the refusals of an operation.
fn describe(operation: &mut Operation) {
    let id = operation.operation_id.clone().unwrap_or_default();
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in refusals(&id).iter().chain(if is_write(&id) { WRITE } else { &[] }).chain(COMMON) {
        let codes = by_status.entry(code.status()).or_default();
        if !codes.contains(code) {
            codes.push(*code);
        }
    }
    // An atomic batch is refused with 422 whatever its item's code, so it lists its codes there.
    for (status, codes) in by_status {
        let names: Vec<String> =
            codes.iter().map(|code| format!("`{}`: {}.", code.name(), code.title())).collect();
        let mut response =
            ResponseBuilder::new().description(names.join(" ")).content(PROBLEM_TYPE, problem());
        if status == Code::Overloaded.status() {
            let seconds = ObjectBuilder::new().schema_type(Type::Integer).build();
            response = response.header(
                "Retry-After",
                HeaderBuilder::new().schema(Some(seconds)).description(Some("Seconds to wait.")).build(),
            );
        }
        operation.responses.responses.insert(status.to_string(), RefOr::T(response.build()));
    }
    let other = ResponseBuilder::new()
        .description("Any other refusal, such as a request that is too slow or that the transport refuses.")
        .content(PROBLEM_TYPE, problem());
    operation.responses.responses.insert("default".to_owned(), RefOr::T(other.build()));
}

fn problem() -> utoipa::openapi::Content {
    let name = schema::Problem::name();
    ContentBuilder::new().schema(Some(Ref::from_schema_name(name))).build()
}

fn idempotency_key() -> utoipa::openapi::path::Parameter {
    let text: Schema =
        ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).max_length(Some(255)).into();
    ParameterBuilder::new()
        .name("Idempotency-Key")
        .parameter_in(ParameterIn::Header)
        .required(utoipa::openapi::Required::False)
        .description(Some(
            "A text of your choice. The same request with the same key within 24 hours is done once and answered \
             again, with `Idempotency-Replayed: true`. Answers over 8 MiB and failures of the server are not kept.",
        ))
        .schema(Some(text))
        .build()
}

/// The document as JSON text.
pub fn text() -> &'static str {
    static TEXT: LazyLock<String> = LazyLock::new(|| {
        let mut text = document().to_pretty_json().unwrap_or_default();
        text.push('\n');
        text
    });
    &TEXT
}
