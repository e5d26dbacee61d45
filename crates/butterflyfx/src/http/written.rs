//! What an invocation is answered with, as text.

use super::problem::{Outcome, of_raise};
use super::wire::write;
use crate::app::App;
use crate::results::Kept;
use butterflyfx_engine::identity::SubstrateId;
use butterflyfx_formula::json;
use butterflyfx_formula::meter::{Cost, Meter};
use butterflyfx_formula::value::Value;
use std::time::Duration;

/// The longest text of a float: `-2.2250738585072014e-308`.
const FLOAT_BYTES_MAX: usize = 24;

/// Writes the answer to an invocation that took so long.
pub(super) fn write_invocation(
    app: &App,
    id: SubstrateId,
    value: &Value,
    cost: Cost,
    elapsed: Duration,
    out: &mut String,
) -> Outcome<()> {
    begin_invocation(id, out);
    write_result(app, id, value, out)?;
    end_invocation(elapsed, cost, false, out);
    Ok(())
}

/// Writes the answer to an invocation out of the cache; it took so long to find.
pub(super) fn write_kept(id: SubstrateId, kept: &Kept, elapsed: Duration, out: &mut String) {
    begin_invocation(id, out);
    out.push_str(&kept.text);
    end_invocation(elapsed, kept.cost, true, out);
}

/// What stands before the result.
pub(super) fn begin_invocation(id: SubstrateId, out: &mut String) {
    let mut line = write::Line::<64>::default();
    line.put(b"{\"substrate_id\":\"0x");
    line.hex(id.0);
    line.put(b"\",\"result\":");
    line.append_to(out);
}

/// What stands after it.
pub(super) fn end_invocation(elapsed: Duration, cost: Cost, is_cached: bool, out: &mut String) {
    let mut line = write::Line::<192>::default();
    line.put(b",\"invocation_time_ms\":");
    line.milliseconds(elapsed);
    line.put(b",\"cost\":{\"steps\":");
    line.unsigned(cost.steps);
    line.put(b",\"bytes\":");
    line.unsigned(cost.bytes);
    if is_cached {
        line.put(b"},\"cached\":true}")
    } else {
        line.put(b"},\"cached\":false}")
    }
    line.append_to(out);
}

/// Appends a result. On a refusal what was written is taken back.
pub(super) fn write_result(app: &App, id: SubstrateId, value: &Value, out: &mut String) -> Outcome<()> {
    match value {
        // What most formulas give needs no account.
        Value::Int(number) => out.push_str(itoa::Buffer::new().format(*number)),
        Value::Bool(true) => out.push_str("true"),
        Value::Bool(false) => out.push_str("false"),
        Value::None => out.push_str("null"),
        Value::Float(x) if x.is_finite() && app.engine.limits().result_json_bytes >= FLOAT_BYTES_MAX => {
            json::write_float(*x, out);
        }
        value => {
            let before = out.len();
            let mut meter = Meter::new(app.engine.limits());
            if let Err(raise) = json::write_value(&mut meter, value, out) {
                out.truncate(before);
                return Err(of_raise(*raise, id, None));
            }
        }
    }
    Ok(())
}
