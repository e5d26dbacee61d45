//! A new database that is written record by record, from memory or from what is left of another one.
//!
//! It has a temporary name until it is whole, verified and synced; dropped before that, it is gone.

use crate::backup::sound;
use crate::digest::Hasher;
use crate::error::StoreError;
use crate::folder::{self, beside};
use crate::kept::KeptAnswer;
use crate::meta::{Meta, Next};
use crate::store::{make_empty, mark_as_logged, now};
use crate::verify::{Report, verify};
use crate::write::{Sql, Writer};
use butterflyfx_engine::record::Change;
use rusqlite::Connection;
use std::path::{Path, PathBuf};

/// See the module.
pub(crate) struct Fresh {
    connection: Connection,
    temporary: Temporary,
    place: PathBuf,
    meta: Meta,
    sql: Sql,
    hasher: Hasher,
    text: String,
}

/// What a database is made for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To be kept: one file, which is read without anything beside it.
    Copy,
    /// To be a server's.
    Folder,
}

/// A file that is removed unless it got another name.
struct Temporary(PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        folder::remove_with_companions(&self.0);
    }
}

impl Fresh {
    /// Begins one that will be at `place`, where nothing may be.
    pub(crate) fn begin(place: &Path) -> Result<Fresh, StoreError> {
        if place.exists() {
            return Err(StoreError::Exists { path: place.to_path_buf() });
        }
        let temporary = Temporary(beside(place, ".new"));
        folder::remove_with_companions(&temporary.0);
        let begin = || -> rusqlite::Result<(Connection, Meta)> {
            let connection = Connection::open(&temporary.0)?;
            // It is synced once, when it is whole, and begun anew where that fails: nothing is ever taken back.
            connection.pragma_update(None, "synchronous", "OFF")?;
            connection.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
            let meta = make_empty(&connection, now())?;
            connection.execute_batch("BEGIN")?;
            Ok((connection, meta))
        };
        let (connection, meta) =
            begin().map_err(|error| StoreError::of_sqlite(&error, &temporary.0, "making the database"))?;
        Ok(Fresh {
            connection,
            temporary,
            place: place.to_path_buf(),
            meta,
            sql: Sql::new(),
            hasher: Hasher::default(),
            text: String::new(),
        })
    }

    /// Adds to it. The caller gives up where this fails.
    pub(crate) fn write(&mut self, changes: &[Change], answers: &[KeptAnswer]) -> Result<(), StoreError> {
        let mut writer = Writer {
            connection: &self.connection,
            path: &self.temporary.0,
            sql: &self.sql,
            hasher: &mut self.hasher,
            text: &mut self.text,
            meta: &mut self.meta,
        };
        writer.write(changes, answers)
    }

    /// What it says of itself so far.
    pub(crate) fn meta(&self) -> &Meta {
        &self.meta
    }

    /// Raises the numbers to go on with to these, verifies what was written, and gives it its name.
    pub(crate) fn finish(self, next: Next, purpose: Purpose) -> Result<Report, StoreError> {
        let Fresh { connection, temporary, place, mut meta, .. } = self;
        let failed = |error: rusqlite::Error| StoreError::of_sqlite(&error, &temporary.0, "writing");
        meta.next.substrate = meta.next.substrate.max(next.substrate);
        meta.next.relationship = meta.next.relationship.max(next.relationship);
        meta.transactions += 1;
        meta.save(&connection).map_err(failed)?;
        connection.execute_batch("COMMIT").map_err(failed)?;
        connection.close().map_err(|(_, error)| failed(error))?;
        let report = sound(verify(&temporary.0)?)?;
        if purpose == Purpose::Folder {
            mark_as_logged(&temporary.0)?;
        }
        folder::put_in_place(&temporary.0, &place)?;
        Ok(report)
    }
}
