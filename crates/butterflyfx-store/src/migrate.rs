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
    use crate::steps;
    use std::fs;

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

    /// What [`STEPS_OF_TEST`] make of the 500 rows of format 1, by format. Each row is 1 at first.
    const SUMS: [i64; 3] = [500, 1_000, 10_000];

    const STEPS_OF_TEST: [Step; 2] = [
        |db| db.execute_batch("UPDATE t SET x = x + 1; CREATE TABLE second (x)"),
        |db| db.execute_batch("UPDATE t SET x = x * 10; DROP TABLE second"),
    ];

    /// As the store opens it: with a log.
    fn opened(path: &Path) -> Connection {
        let connection = Connection::open(path).unwrap();
        connection.pragma_update(None, "journal_mode", "WAL").unwrap();
        connection.pragma_update(None, "synchronous", "FULL").unwrap();
        connection
    }

    /// Does nothing but in the child process of the test below.
    #[test]
    fn in_a_child_process() {
        let Some((_, folder)) = steps::asked() else { return };
        let path = folder.join("x.db");
        migrate(&mut opened(&path), &path, 1, &STEPS_OF_TEST).unwrap();
    }

    /// A whole database of some format: its rows are those of it.
    #[track_caller]
    fn check_whole(connection: &Connection, step: &str) -> u32 {
        let check: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
        assert_eq!(check, "ok", "{step}");
        let format = column(connection, "PRAGMA user_version");
        assert_eq!(column(connection, "SELECT sum(x) FROM t"), SUMS[format as usize - 1], "{step}");
        let second = column(connection, "SELECT count(*) FROM sqlite_schema WHERE name = 'second'");
        assert_eq!(second, i64::from(format == 2), "{step}");
        format as u32
    }

    #[test]
    fn a_crash_leaves_one_format_or_the_next() {
        let prepare = |folder: &Path| {
            let connection = opened(&folder.join("x.db"));
            connection
                .execute_batch(
                    "CREATE TABLE t (x, filler); PRAGMA user_version = 1; \
                     WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < 500) \
                     INSERT INTO t SELECT 1, hex(zeroblob(50)) FROM n",
                )
                .unwrap();
        };
        let look = |folder: &Path, step: &str| {
            let path = folder.join("x.db");
            let kept = folder.join("x.db.format-1");
            let mut connection = opened(&path);
            let found = check_whole(&connection, step);
            // Before the first step is committed there is a copy, and what has its name is whole.
            assert!(found == 1 || kept.exists(), "{step}");
            if kept.exists() {
                assert_eq!(check_whole(&Connection::open(&kept).unwrap(), step), 1, "{step}");
            }
            migrate(&mut connection, &path, found, &STEPS_OF_TEST).unwrap();
            assert_eq!(check_whole(&connection, step), 3, "{step}");
            assert!(kept.exists(), "{step}");
            drop(connection);
            for entry in fs::read_dir(folder).unwrap() {
                let name = entry.unwrap().file_name().into_string().unwrap();
                assert!(!name.contains(".new"), "{step}: {name}");
            }
        };
        steps::check("migrate::tests::in_a_child_process", "migration", prepare, look);
    }
}
