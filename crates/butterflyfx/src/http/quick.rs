//! The API's part of the short way (see [`crate::server::quick`]): reading a substrate, and
//! invoking one whose formula is short, or whose result is kept. What is not answered with 200 is
//! not answered here.

use super::wire::write;
use super::{Service, etag, invoke, written};
use crate::evaluation::evaluate_quickly;
use crate::metrics::routes::Route;
use crate::server::quick::{QuickAnswer, QuickRequest};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::json::Pull;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

/// A result is looked for where the body is no longer than this: where it is not kept, the body is
/// read twice.
const KEPT_BODY_BYTES_MAX: usize = 1024;

thread_local! {
    /// The parameters of the last invocation: the next one often has the same names. Taken while
    /// in use, so that a panic leaves nothing half done behind.
    static PARAMETERS: Cell<Option<Arc<Dict>>> = const { Cell::new(None) };
}

impl Service {
    /// Answers a plain request where that takes no waiting.
    pub(crate) fn quick(&self, request: &QuickRequest<'_>, body: &mut String) -> Option<QuickAnswer> {
        let rest = request.path.strip_prefix("/api/v1/substrates/")?;
        if !request.is_post {
            return self.quick_get(SubstrateId::parse(rest)?, body);
        }
        let id = SubstrateId::parse(rest.strip_suffix("/invoke")?)?;
        let mut parameters = PARAMETERS.take().unwrap_or_default();
        let answer = self.quick_invoke(id, request, &mut parameters, body);
        PARAMETERS.set(Some(parameters));
        answer
    }

    fn quick_get(&self, id: SubstrateId, body: &mut String) -> Option<QuickAnswer> {
        let substrate = self.api.app.engine.substrate(id).ok()?;
        let etag = etag::text(substrate.revision());
        write::substrate(&substrate, body);
        Some(QuickAnswer { route: Route::Substrate, etag: Some(etag), answered: Instant::now() })
    }

    fn quick_invoke(
        &self,
        id: SubstrateId,
        request: &QuickRequest<'_>,
        parameters: &mut Arc<Dict>,
        body: &mut String,
    ) -> Option<QuickAnswer> {
        let app = &self.api.app;
        // Before the body is read in vain.
        if !app.engine.is_short(id).ok()? {
            return self.quick_kept(id, request, parameters, body);
        }
        read_parameters(app.engine.limits(), request.body, parameters)?;
        let started = Instant::now();
        let evaluation = evaluate_quickly(app, id, parameters)?;
        let answered = Instant::now();
        written::write_invocation(app, id, &evaluation.value, evaluation.cost, answered - started, body)
            .ok()?;
        app.metrics.evaluated(evaluation.cost.steps);
        Some(QuickAnswer { route: Route::Invoke, etag: None, answered })
    }

    /// Answers with a result that is kept; where it is not, the long way counts the miss.
    fn quick_kept(
        &self,
        id: SubstrateId,
        request: &QuickRequest<'_>,
        parameters: &mut Arc<Dict>,
        body: &mut String,
    ) -> Option<QuickAnswer> {
        let app = &self.api.app;
        let results = app.results.as_ref()?;
        if request.has_cache_control || request.body.len() > KEPT_BODY_BYTES_MAX {
            return None;
        }
        let started = Instant::now();
        let (edition, formula) = app.engine.long_formula(id).ok()??;
        read_parameters(app.engine.limits(), request.body, parameters)?;
        let kept = results.find(&results.question(edition, &formula, parameters)?)?;
        let answered = Instant::now();
        written::write_kept(id, &kept, answered - started, body);
        app.metrics.result_looked_up(true);
        Some(QuickAnswer { route: Route::Invoke, etag: None, answered })
    }
}

/// Reads `{"parameters": {...}}`, or nothing at all; `None` leaves the words to the long way.
fn read_parameters(
    limits: &butterflyfx_formula::limits::Limits,
    text: &[u8],
    parameters: &mut Arc<Dict>,
) -> Option<()> {
    if text.is_empty() {
        *parameters = Arc::default();
        return Some(());
    }
    if text.len() > limits.parameters_json_bytes + invoke::ENVELOPE_BYTES {
        return None;
    }
    let mut pull = Pull::new(text, limits.json_depth + 1, limits.integer_bits)?;
    let mut members = pull.object()?;
    if pull.key(&mut members)?? != "parameters" {
        return None;
    }
    pull.dict(parameters)?;
    (pull.key(&mut members)?.is_none() && pull.is_at_end()).then_some(())
}
