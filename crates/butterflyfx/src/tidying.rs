//! Gives back what deletes have left behind, when there is time: a thread that looks now and then,
//! and works in pieces of a millisecond with as long a rest after each. It also looks whether there is
//! room for more, and forgets jobs that have been kept for long enough.

use crate::app::App;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// Between two looks while there is nothing to do.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// After each piece of work, for others.
const REST: Duration = Duration::from_millis(1);

/// Starts the thread. It ends with the program's last use of `app`.
pub(crate) fn start(app: &Arc<App>) {
    let app = Arc::downgrade(app);
    let started = std::thread::Builder::new().name("tidying".to_owned()).spawn(move || work(&app));
    if let Err(error) = started {
        tracing::warn!(%error, "no thread for tidying: memory of what is deleted comes back later");
    }
}

fn work(app: &Weak<App>) {
    crate::evaluation::yield_to_short_work();
    let mut has_more = false;
    let mut looked = Instant::now();
    loop {
        std::thread::sleep(if has_more { REST } else { LOOK_INTERVAL });
        let Some(app) = app.upgrade() else { return };
        if looked.elapsed() >= LOOK_INTERVAL {
            app.room.look(&app);
            app.jobs.forget_old();
            looked = Instant::now();
        }
        has_more = (has_more || app.engine.wants_tidying()) && app.engine.tidy();
    }
}
