//! Rows of a table straight from the pages of a database file at rest.
//!
//! A start reads every row once, in order, and needs nothing of what SQLite does besides: most of SQLite's time
//! for a row goes into its virtual machine, its cache of pages and a value object for each column. This reads what a start
//! needs and no more: tables with a number as their key, texts in UTF-8. Whatever is not as expected is [`Odd`], upon which
//! the caller asks SQLite instead; and what was read is believed only when counts and digest are as committed.
//!
//! The format is SQLite's "Database File Format" (<https://www.sqlite.org/fileformat2.html>), sections 1.3 to 1.6 and 2.1.

use crate::rows::{COLUMNS_MAX, Values};
use rusqlite::types::ValueRef;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Why pages were not read to the end: a sentence.
#[derive(Debug)]
pub(crate) struct Odd(pub(crate) String);

/// Bytes of the header of a database file, which begin its first page.
const HEADER_BYTES: usize = 100;

/// Levels of a tree of pages at most; SQLite has the same bound.
const LEVELS_MAX: usize = 20;

/// Leaves that a reader reads together: enough that handing over what they hold costs little, few enough for the second cache.
pub(crate) const LEAVES: usize = 64;

/// Types of pages.
const INTERIOR: u8 = 0x05;
const LEAF: u8 = 0x0D;

/// A database file that nobody writes meanwhile, without a log.
#[derive(Debug)]
pub(crate) struct Pages {
    file: File,
    /// Bytes of a page, and those that hold something.
    page_bytes: usize,
    usable_bytes: usize,
    count: u32,
}

impl Pages {
    /// # Errors
    /// The file cannot be read, or its header says something unexpected.
    pub(crate) fn open(path: &Path) -> Result<Pages, Odd> {
        let file = File::open(path).map_err(|error| Odd(format!("opening it: {error}")))?;
        let length = file.metadata().map_err(|error| Odd(format!("its size: {error}")))?.len();
        let mut header = [0; HEADER_BYTES];
        file.read_exact_at(&mut header, 0).map_err(|error| Odd(format!("its header: {error}")))?;
        let page_bytes = match half(&header, 16) {
            Some(1) => 65_536,
            Some(bytes) if bytes >= 512 && bytes.is_power_of_two() => bytes,
            _ => return Err(Odd("its header has no size of pages".to_owned())),
        };
        let usable_bytes = page_bytes - usize::from(header[20]);
        let is_utf8 = word(&header, 56) == Some(1);
        if usable_bytes < 480 || !is_utf8 {
            return Err(Odd("its header has an unexpected form".to_owned()));
        }
        let count =
            u32::try_from(length / page_bytes as u64).map_err(|_| Odd("it is too long".to_owned()))?;
        Ok(Pages { file, page_bytes, usable_bytes, count })
    }

    /// The leaves of the tree at a root, in the order of their keys.
    ///
    /// # Errors
    /// A page cannot be read or is none of such a tree.
    pub(crate) fn leaves(&self, root: u32) -> Result<Vec<u32>, Odd> {
        let mut level = vec![root];
        let mut page = vec![0; self.page_bytes];
        let mut left = self.count;
        for _ in 0..LEVELS_MAX {
            let Some(&first) = level.first() else { break };
            self.read(first, &mut page)?;
            // All leaves of a tree are equally deep.
            if page.first() == Some(&LEAF) {
                return Ok(level);
            }
            let mut below = Vec::new();
            for &number in &level {
                self.read(number, &mut page)?;
                children(&page, &mut below).ok_or_else(|| odd_page(number))?;
            }
            left = u32::try_from(below.len())
                .ok()
                .and_then(|more| left.checked_sub(more))
                .ok_or_else(|| odd_page(root))?;
            level = below;
        }
        Err(odd_page(root))
    }

    /// Hands each row of some leaves to `each`, in order. `buffers` are reused from call to call.
    ///
    /// # Errors
    /// A page cannot be read or is no such leaf; what `each` answers.
    pub(crate) fn rows<E: From<Odd>>(
        &self,
        leaves: &[u32],
        buffers: &mut Buffers,
        mut each: impl FnMut(&Values<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        // Leaves that follow each other in the file, which is most of them, are read at once.
        for run in leaves.chunk_by(|one, next| one.checked_add(1) == Some(*next)) {
            let Some(&first) = run.first() else { continue };
            buffers.pages.resize(run.len() * self.page_bytes, 0);
            self.read(first, &mut buffers.pages)?;
            for (page, number) in buffers.pages.chunks_exact(self.page_bytes).zip(first..) {
                self.leaf(page, number, &mut buffers.long, &mut each)?;
            }
        }
        Ok(())
    }

    /// The rows of one leaf.
    fn leaf<E: From<Odd>>(
        &self,
        page: &[u8],
        number: u32,
        long: &mut Vec<u8>,
        each: &mut impl FnMut(&Values<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let odd = || odd_page(number);
        let (kind, cells) = (page.first(), half(page, 3).ok_or_else(odd)?);
        let places = page.get(8..8 + cells * 2).filter(|_| kind == Some(&LEAF)).ok_or_else(odd)?;
        let page = page.get(..self.usable_bytes).ok_or_else(odd)?;
        for place in places.chunks_exact(2) {
            let cell = half(place, 0).and_then(|at| page.get(at..)).ok_or_else(odd)?;
            let (length, after) = varint(cell).ok_or_else(odd)?;
            let (key, payload) = varint(after).ok_or_else(odd)?;
            let length = usize::try_from(length).map_err(|_| odd())?;
            let here = self.bytes_here(length);
            let payload = if here == length {
                payload.get(..length).ok_or_else(odd)?
            } else {
                self.overflow(payload, here, length, long)?;
                &*long
            };
            let mut values = Values::default();
            columns(payload, &mut values.0).ok_or_else(odd)?;
            // A number that is the key of its row is not stored again.
            values.0[0] = ValueRef::Integer(key.cast_signed());
            each(&values)?;
        }
        Ok(())
    }

    /// How much of a payload stands in its leaf.
    fn bytes_here(&self, length: usize) -> usize {
        let usable = self.usable_bytes;
        if length <= usable - 35 {
            return length;
        }
        let least = (usable - 12) * 32 / 255 - 23;
        let most_fitting = least + (length - least) % (usable - 4);
        if most_fitting <= usable - 35 { most_fitting } else { least }
    }

    /// Gathers a payload that goes on in other pages.
    fn overflow(&self, payload: &[u8], here: usize, length: usize, long: &mut Vec<u8>) -> Result<(), Odd> {
        let odd = || Odd("a long row is cut off".to_owned());
        if length as u64 > u64::from(self.count) * self.page_bytes as u64 {
            return Err(odd());
        }
        long.clear();
        long.extend_from_slice(payload.get(..here).ok_or_else(odd)?);
        let mut next = word(payload, here).ok_or_else(odd)?;
        let mut page = vec![0; self.page_bytes];
        while long.len() < length {
            self.read(next, &mut page)?;
            next = word(&page, 0).ok_or_else(odd)?;
            let more = (length - long.len()).min(self.usable_bytes - 4);
            long.extend_from_slice(page.get(4..4 + more).ok_or_else(odd)?);
        }
        Ok(())
    }

    /// Reads pages from one on, as many as the buffer holds. The first page of a file is no page of a table.
    fn read(&self, page: u32, buffer: &mut [u8]) -> Result<(), Odd> {
        let last = (buffer.len() / self.page_bytes) as u64 + u64::from(page) - 1;
        if page < 2 || last > u64::from(self.count) {
            return Err(odd_page(page));
        }
        self.file
            .read_exact_at(buffer, u64::from(page - 1) * self.page_bytes as u64)
            .map_err(|error| Odd(format!("page {page}: {error}")))
    }
}

/// What a reader of pages keeps from call to call.
#[derive(Debug, Default)]
pub(crate) struct Buffers {
    pages: Vec<u8>,
    /// A row that is longer than a leaf holds.
    long: Vec<u8>,
}

fn odd_page(number: u32) -> Odd {
    Odd(format!("page {number} is not as it should be"))
}

/// The big-endian half word at an offset.
#[inline]
fn half(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_be_bytes(*bytes.get(at..)?.first_chunk()?)))
}

/// The big-endian word at an offset.
#[inline]
fn word(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// A number of one to nine bytes, seven bits in each but the ninth; and what follows.
#[inline]
fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    match bytes {
        [only, rest @ ..] if *only < 0x80 => Some((u64::from(*only), rest)),
        _ => long_varint(bytes),
    }
}

fn long_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0;
    for (at, &byte) in bytes.iter().enumerate().take(9) {
        if at == 8 {
            return Some((number << 8 | u64::from(byte), bytes.get(9..)?));
        }
        number = number << 7 | u64::from(byte & 0x7F);
        if byte < 0x80 {
            return Some((number, bytes.get(at + 1..)?));
        }
    }
    None
}

/// The pages below an interior page, in order.
fn children(page: &[u8], below: &mut Vec<u32>) -> Option<()> {
    if page.first() != Some(&INTERIOR) {
        return None;
    }
    let cells = half(page, 3)?;
    for place in page.get(12..12 + cells * 2)?.chunks_exact(2) {
        below.push(word(page, half(place, 0)?)?);
    }
    below.push(word(page, 8)?);
    Some(())
}

/// Bytes of a value of a kind; `None` for kinds that no database file has.
#[inline]
fn value_bytes(kind: u64) -> Option<usize> {
    const SMALL: [u8; 10] = [0, 1, 2, 3, 4, 6, 8, 8, 0, 0];
    match SMALL.get(kind as usize) {
        Some(&bytes) => Some(usize::from(bytes)),
        None if kind >= 12 => usize::try_from((kind - 12) / 2).ok(),
        None => None,
    }
}

/// Reads the values of a record; there may be more of them than are asked for, but not fewer.
#[inline]
fn columns<'r>(record: &'r [u8], values: &mut [ValueRef<'r>; COLUMNS_MAX]) -> Option<()> {
    let (header_bytes, types) = varint(record)?;
    let mut end = usize::try_from(header_bytes).ok()?;
    let mut types = types.get(..end.checked_sub(record.len() - types.len())?)?;
    for value in values {
        let (kind, rest) = varint(types)?;
        types = rest;
        let start = end;
        end = start.checked_add(value_bytes(kind)?)?;
        let bytes = record.get(start..end)?;
        *value = match kind {
            0 => ValueRef::Null,
            1..=6 => ValueRef::Integer(integer(record, end, bytes.len())?),
            7 => ValueRef::Real(f64::from_bits(integer(record, end, 8)?.cast_unsigned())),
            8 | 9 => ValueRef::Integer(i64::from(kind == 9)),
            _ if kind % 2 == 1 => ValueRef::Text(bytes),
            _ => ValueRef::Blob(bytes),
        };
    }
    Some(())
}

/// The big-endian integer of some bytes that ends at an offset, with its sign. The bytes before it belong to the header, which is
/// long enough to read eight at once.
#[inline]
fn integer(record: &[u8], end: usize, bytes: usize) -> Option<i64> {
    let eight = i64::from_be_bytes(*record.get(..end)?.last_chunk()?);
    let unused = 64 - 8 * bytes as u32;
    Some(eight << unused >> unused)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::types::Value;
    use rusqlite::{Connection, params_from_iter};
    use std::fs;
    use std::path::PathBuf;

    /// A database with one table of rows under these keys, after some of them were deleted again.
    fn database(
        page_bytes: u32,
        rows: &[(i64, Vec<Value>)],
        deleted: &[i64],
    ) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("some.db");
        let mut connection = Connection::open(&path).unwrap();
        connection.pragma_update(None, "page_size", page_bytes).unwrap();
        connection
            .execute_batch(
                "CREATE TABLE other (x); CREATE TABLE t (k INTEGER PRIMARY KEY, a, b, c, d, e, f, g, h)",
            )
            .unwrap();
        let transaction = connection.transaction().unwrap();
        for (key, values) in rows {
            let all = std::iter::once(Value::Integer(*key)).chain(values.iter().cloned());
            let sql = "INSERT OR REPLACE INTO t VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, 'more')";
            transaction.prepare_cached(sql).unwrap().execute(params_from_iter(all)).unwrap();
        }
        for key in deleted {
            transaction.execute("DELETE FROM t WHERE k = ?1", [key]).unwrap();
        }
        transaction.commit().unwrap();
        (folder, path)
    }

    fn root(connection: &Connection) -> u32 {
        connection
            .query_row("SELECT rootpage FROM sqlite_schema WHERE name = 't'", [], |row| row.get(0))
            .unwrap()
    }

    fn by_sqlite(connection: &Connection) -> Vec<String> {
        let mut statement = connection.prepare("SELECT * FROM t ORDER BY k").unwrap();
        let mut rows = statement.query([]).unwrap();
        let mut found = Vec::new();
        while let Some(row) = rows.next().unwrap() {
            found.push(format!("{:?}", Values::of(row)));
        }
        found
    }

    fn by_pages(path: &Path, root: u32) -> Result<Vec<String>, Odd> {
        let pages = Pages::open(path)?;
        let (mut found, mut buffers) = (Vec::new(), Buffers::default());
        for leaves in pages.leaves(root)?.chunks(3) {
            pages.rows(leaves, &mut buffers, |row| {
                found.push(format!("{row:?}"));
                Ok::<(), Odd>(())
            })?;
        }
        Ok(found)
    }

    fn value() -> impl Strategy<Value = Value> {
        let integers = prop_oneof![any::<i64>(), -3_i64..3, (0_u32..63).prop_map(|bit| 1 << bit)];
        prop_oneof![
            Just(Value::Null),
            integers.prop_map(Value::Integer),
            any::<f64>().prop_filter("NaN is null", |number| !number.is_nan()).prop_map(Value::Real),
            (0_usize..80).prop_map(|length| Value::Text("é".repeat(length))),
            (0_usize..40_000).prop_map(|length| Value::Text("x".repeat(length))),
            (0_usize..600).prop_map(|length| Value::Blob(vec![7; length])),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
        /// Every kind of value, rows longer than a page, keys of all sizes, holes.
        #[test]
        fn reads_what_sqlite_reads(
            page_bits in 9_u32..=16,
            rows in prop::collection::vec((any::<i64>(), prop::collection::vec(value(), 7)), 0..60),
            deleted in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
        ) {
            let deleted: Vec<i64> =
                if rows.is_empty() { Vec::new() } else { deleted.iter().map(|at| at.get(&rows).0).collect() };
            let (_folder, path) = database(1 << page_bits, &rows, &deleted);
            let connection = Connection::open(&path).unwrap();
            prop_assert_eq!(by_pages(&path, root(&connection)).unwrap(), by_sqlite(&connection));
        }
    }

    /// Small rows in trees of several levels.
    #[test]
    fn reads_deep_trees() {
        let rows: Vec<(i64, Vec<Value>)> =
            (0..20_000).map(|key| (key * 3, vec![Value::Integer(key); 7])).collect();
        let (_folder, path) = database(512, &rows, &[]);
        let connection = Connection::open(&path).unwrap();
        assert_eq!(by_pages(&path, root(&connection)).unwrap(), by_sqlite(&connection));
    }

    /// Whatever byte is wrong, it ends, with rows or a sentence.
    #[test]
    fn ends_whatever_is_wrong() {
        let rows: Vec<(i64, Vec<Value>)> =
            (0..120).map(|key| (key, vec![Value::Text("x".repeat(key as usize)); 7])).collect();
        let (folder, path) = database(512, &rows, &[]);
        let connection = Connection::open(&path).unwrap();
        let (root, expected) = (root(&connection), by_sqlite(&connection));
        drop(connection);
        let bytes = fs::read(&path).unwrap();
        let (mut odd, mut same) = (0, 0);
        for place in (0..200).chain((200..bytes.len()).step_by(211)) {
            let mut damaged = bytes.clone();
            damaged[place] ^= 0xFF;
            let path = folder.path().join("damaged.db");
            fs::write(&path, &damaged).unwrap();
            match by_pages(&path, root) {
                Ok(found) => same += usize::from(found == expected),
                Err(_) => odd += 1,
            }
        }
        assert!(odd > 10 && same > 10, "{odd} {same}");
        for length in [0, 99, 100, 511, 512, 5_000, bytes.len() - 512] {
            let path = folder.path().join("short.db");
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(by_pages(&path, root).is_err(), "{length}");
        }
        // A page that is its own child.
        let mut damaged = bytes.clone();
        let at = (root as usize - 1) * 512;
        damaged[at + 8..at + 12].copy_from_slice(&root.to_be_bytes());
        let path = folder.path().join("round.db");
        fs::write(&path, &damaged).unwrap();
        assert!(by_pages(&path, root).is_err());
        assert!(by_pages(&path, 1).is_err() && by_pages(&path, u32::MAX).is_err());
    }
}
