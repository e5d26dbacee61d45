//! The API's part of the short way (see [`crate::server::quick`]): reading a substrate, and
//! invoking one whose formula is short. What is not answered with 200 is not answered here.

use super::wire::write;
use super::{Service, etag, invoke};
use crate::evaluation::evaluate_quickly;
use crate::metrics::routes::Route;
use crate::server::quick::{QuickAnswer, QuickRequest};
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_formula::dict::Dict;
use butterflyfx_formula::json::Pull;
use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

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
        let answer = self.quick_invoke(id, request.body, &mut parameters, body);
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
        text: &[u8],
        parameters: &mut Arc<Dict>,
        body: &mut String,
    ) -> Option<QuickAnswer> {
        let app = &self.api.app;
        // Before the body is read in vain.
        if !app.engine.is_short(id).ok()? {
            return None;
        }
        read_parameters(app.engine.limits(), text, parameters)?;
        let started = Instant::now();
        let evaluation = evaluate_quickly(app, id, parameters)?;
        let answered = Instant::now();
        invoke::write_invocation(app, id, &evaluation, answered - started, body).ok()?;
        app.metrics.evaluated(evaluation.cost.steps);
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
