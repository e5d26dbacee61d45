//! What the database says of itself: counts, digest, next numbers. One row each in table `meta`.
//!
//! The rows change in the transaction of the changes they speak of. The last row, `check`, is a hash
//! over all others, so that damage is found here too, where no digest reaches.

use crate::digest::Digest;
use butterflyfx_engine::model::Timestamp;
use rusqlite::Connection;
use rusqlite::types::{Value, ValueRef};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use xxhash_rust::xxh3::xxh3_128;

/// How many records there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Substrates.
    pub substrates: u64,
    /// Relationships.
    pub relationships: u64,
    /// Declared indexes.
    pub indexes: u64,
    /// Kept answers, expired ones that are not removed yet included.
    pub answers: u64,
}

/// The smallest creation numbers that were never used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Next {
    /// Among substrates.
    pub substrate: u64,
    /// Among relationships.
    pub relationship: u64,
}

/// The content of table `meta`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meta {
    /// 32 hex digits, random; a restored copy keeps it.
    pub(crate) database_id: String,
    pub(crate) created_at: Timestamp,
    /// Transactions so far.
    pub(crate) transactions: u64,
    pub(crate) counts: Counts,
    /// Over substrates, relationships and indexes.
    pub(crate) digest: Digest,
    /// Over kept answers.
    pub(crate) answers_digest: Digest,
    pub(crate) next: Next,
}

/// Writes all rows that may change, in one statement.
pub(crate) const SAVE_SQL: &str = "INSERT INTO meta (key, value) VALUES \
    ('transactions', ?1), ('substrates', ?2), ('relationships', ?3), ('indexes', ?4), ('answers', ?5), \
    ('digest', ?6), ('answers_digest', ?7), ('next_substrate', ?8), ('next_relationship', ?9), ('check', ?10) \
    ON CONFLICT (key) DO UPDATE SET value = excluded.value";

impl Meta {
    /// Of a new database.
    pub(crate) fn new(database_id: String, created_at: Timestamp) -> Meta {
        Meta {
            database_id,
            created_at,
            transactions: 0,
            counts: Counts::default(),
            digest: Digest::default(),
            answers_digest: Digest::default(),
            next: Next::default(),
        }
    }

    /// The hash in row `check`: over `key=value` lines of all others, in this order.
    fn check(&self) -> String {
        let mut text = String::with_capacity(400);
        let Meta { database_id, created_at, transactions, counts, digest, answers_digest, next } = self;
        let Counts { substrates, relationships, indexes, answers } = counts;
        let _ = write!(
            text,
            "database_id={database_id}\ncreated_at={}\ntransactions={transactions}\nsubstrates={substrates}\n\
             relationships={relationships}\nindexes={indexes}\nanswers={answers}\ndigest={digest}\n\
             answers_digest={answers_digest}\nnext_substrate={}\nnext_relationship={}\n",
            created_at.0, next.substrate, next.relationship
        );
        format!("{:032x}", xxh3_128(text.as_bytes()))
    }

    /// Writes the two rows that never change.
    pub(crate) fn save_new(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.execute(
            "INSERT INTO meta (key, value) VALUES ('database_id', ?1), ('created_at', ?2)",
            (&self.database_id, self.created_at.0),
        )?;
        self.save(connection)
    }

    /// Writes all rows that may change.
    pub(crate) fn save(&self, connection: &Connection) -> rusqlite::Result<()> {
        let mut statement = connection.prepare_cached(SAVE_SQL)?;
        let number = |number: u64| Value::Integer(number.cast_signed());
        statement.execute((
            number(self.transactions),
            number(self.counts.substrates),
            number(self.counts.relationships),
            number(self.counts.indexes),
            number(self.counts.answers),
            self.digest.to_string(),
            self.answers_digest.to_string(),
            number(self.next.substrate),
            number(self.next.relationship),
            self.check(),
        ))?;
        Ok(())
    }

    /// Reads it back; a sentence in the inner error where it is not what was written.
    pub(crate) fn load(connection: &Connection) -> rusqlite::Result<Result<Meta, String>> {
        let mut statement = connection.prepare_cached("SELECT key, value FROM meta")?;
        let mut rows = statement.query([])?;
        let mut found: BTreeMap<String, Value> = BTreeMap::new();
        while let Some(row) = rows.next()? {
            let value = match row.get_ref(1)? {
                ValueRef::Integer(number) => Value::Integer(number),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                _ => Value::Null,
            };
            found.insert(row.get(0)?, value);
        }
        Ok(Meta::of_rows(&found))
    }

    fn of_rows(found: &BTreeMap<String, Value>) -> Result<Meta, String> {
        let missing = |key: &str| format!("table meta has no proper row `{key}`");
        let number = |key: &str| match found.get(key) {
            Some(Value::Integer(number)) => Ok(*number),
            _ => Err(missing(key)),
        };
        let text = |key: &str| match found.get(key) {
            Some(Value::Text(text)) => Ok(text.as_str()),
            _ => Err(missing(key)),
        };
        let count = |key: &str| number(key).map(i64::cast_unsigned);
        let digest = |key: &str| Digest::parse(text(key)?).ok_or_else(|| missing(key));
        let meta = Meta {
            database_id: text("database_id")?.to_owned(),
            created_at: Timestamp(number("created_at")?),
            transactions: count("transactions")?,
            counts: Counts {
                substrates: count("substrates")?,
                relationships: count("relationships")?,
                indexes: count("indexes")?,
                answers: count("answers")?,
            },
            digest: digest("digest")?,
            answers_digest: digest("answers_digest")?,
            next: Next { substrate: count("next_substrate")?, relationship: count("next_relationship")? },
        };
        if text("check")? == meta.check() {
            Ok(meta)
        } else {
            Err("the rows of table meta do not fit its row `check`".to_owned())
        }
    }
}
