//! Older formats become the present one at the first open, step by step, with a copy kept.
//!
//! There is one format so far, so the table is empty. A step that is added here runs in the
//! transaction that also sets the new `user_version`: a crash leaves the old format or the new one.

use crate::error::StoreError;
use crate::folder::{beside, put_in_place, remove_with_companions};
use crate::schema::FORMAT_VERSION;
use rusqlite::Connection;
use std::path::Path;

/// Turns a database of one format into the next.
pub(crate) type Step = fn(&Connection) -> rusqlite::Result<()>;

/// `STEPS[n]` leads from format n + 1 to n + 2.
pub(crate) const STEPS: [Step; (FORMAT_VERSION - 1) as usize] = [];

/// Leads a database of format `found` (at least 1) to the end of `steps`. Before the first step the file
/// as it was is kept beside it as `<name>.format-<found>`.
pub(crate) fn migrate(
    connection: &mut Connection,
    path: &Path,
    found: u32,
    steps: &[Step],
) -> Result<(), StoreError> {
    let done = found.saturating_sub(1) as usize;
    let Some(steps) = steps.get(done..).filter(|steps| !steps.is_empty()) else { return Ok(()) };
    let kept = beside(path, &format!(".format-{found}"));
    if !kept.exists() {
        let temporary = beside(&kept, ".new");
        remove_with_companions(&temporary);
        connection.execute("VACUUM INTO ?1", [temporary.to_string_lossy()]).map_err(|error| {
            StoreError::of_sqlite(&error, &temporary, "keeping a copy before a migration")
        })?;
        put_in_place(&temporary, &kept)?;
    }
    for (step, format) in steps.iter().zip(found + 1..) {
        let failed = |error: rusqlite::Error| {
            StoreError::of_sqlite(&error, path, &format!("migrating to format {format}"))
        };
        let transaction = connection.transaction().map_err(failed)?;
        step(&transaction).map_err(failed)?;
        transaction.pragma_update(None, "user_version", format).map_err(failed)?;
        transaction.commit().map_err(failed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(connection: &Connection, sql: &str) -> i64 {
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }

    #[test]
    fn steps_run_in_order_from_the_format_found_and_a_copy_is_kept() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let mut connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1); PRAGMA user_version = 2")
            .unwrap();
        let steps: [Step; 3] = [
            |db| db.execute_batch("UPDATE t SET x = x * 1000"),
            |db| db.execute_batch("UPDATE t SET x = x + 1"),
            |db| db.execute_batch("UPDATE t SET x = x * 10"),
        ];
        migrate(&mut connection, &path, 2, &steps).unwrap();
        assert_eq!(column(&connection, "SELECT x FROM t"), 20);
        assert_eq!(column(&connection, "PRAGMA user_version"), 4);
        let kept = Connection::open(folder.path().join("x.db.format-2")).unwrap();
        assert_eq!(column(&kept, "SELECT x FROM t"), 1);
        assert_eq!(column(&kept, "PRAGMA user_version"), 2);
        // Nothing is left to do.
        migrate(&mut connection, &path, 4, &steps).unwrap();
        assert_eq!(column(&connection, "SELECT x FROM t"), 20);
    }

    #[test]
    fn a_failed_step_leaves_the_format_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.db");
        let mut connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1); PRAGMA user_version = 1")
            .unwrap();
        let steps: [Step; 1] = [|db| db.execute_batch("UPDATE t SET x = 2; UPDATE nothing SET x = 2")];
        assert!(migrate(&mut connection, &path, 1, &steps).is_err());
        assert_eq!(column(&connection, "SELECT x FROM t"), 1);
        assert_eq!(column(&connection, "PRAGMA user_version"), 1);
    }
}
