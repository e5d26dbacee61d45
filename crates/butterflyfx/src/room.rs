//! Whether there is room for more: memory below `max-memory`, and disk above `disk-free-min`.
//!
//! Both are looked at a few times a second by the thread that tidies. Where one is short, what
//! creates or changes is refused before it is tried, so that the kernel does not end the process and
//! deletes keep the last of the disk. Reading and deleting go on, and so does writing once there is room.

use crate::app::App;
use crate::metrics::resident_bytes;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// The process holds as much memory as it may.
    Memory,
    /// The disk has less free than it should keep.
    Disk,
}

/// What was seen last.
#[derive(Debug, Default)]
pub struct Room {
    memory_is_short: AtomicBool,
    disk_is_short: AtomicBool,
}

impl Room {
    /// Refuses where something is short.
    ///
    /// # Errors
    /// What is short.
    #[inline]
    pub fn check(&self) -> Result<(), Shortage> {
        if self.memory_is_short.load(Ordering::Relaxed) {
            return Err(Shortage::Memory);
        }
        if self.disk_is_short.load(Ordering::Relaxed) { Err(Shortage::Disk) } else { Ok(()) }
    }

    /// Looks again.
    pub(crate) fn look(&self, app: &App) {
        let memory_max = app.config.max_memory;
        let is_short = memory_max > 0 && resident_bytes().is_some_and(|bytes| bytes >= memory_max);
        turn(&self.memory_is_short, is_short, "memory: creating and changing is refused", "memory");
        if app.queue.is_durable() {
            // The log has to fit into the database one day.
            let wanted = app.config.disk_free_min.saturating_add(app.queue.status().log_bytes);
            let is_short = app.config.disk_free_min > 0
                && butterflyfx_store::free_bytes(&app.config.data_dir).is_ok_and(|free| free < wanted);
            turn(&self.disk_is_short, is_short, "disk: creating and changing is refused", "disk");
        }
    }
}

/// Sets a flag; a turn is worth a line in the log.
fn turn(flag: &AtomicBool, is_short: bool, short: &str, name: &str) {
    if flag.swap(is_short, Ordering::Relaxed) != is_short {
        if is_short {
            tracing::error!("too little {short}");
        } else {
            tracing::info!("enough {name} again: creating and changing goes on");
        }
    }
}
