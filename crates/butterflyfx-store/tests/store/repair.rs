//! What is salvaged of a damaged database is sound, is a part of what was committed, and what is missing was near the
//! damage.

use crate::records::{Model, index, open, relationships, reopen, substrates};
use butterflyfx_engine::model::Timestamp;
use butterflyfx_engine::record::Change;
use butterflyfx_store::{Counts, DATABASE_FILE, KeptAnswer, Repaired, StoreError, repair, verify};
use std::fs;
use std::path::Path;

const PAGE: usize = 8192;

fn answer(number: usize) -> KeptAnswer {
    KeptAnswer {
        name: format!("/a\nkey {number}"),
        expires_at: Timestamp(i64::MAX),
        request_hash: [3; 32],
        status: 200,
        headers: Vec::new(),
        body: vec![b'x'; 500].into(),
    }
}

/// A closed database of many pages for each table, its bytes, and what it holds.
fn filled() -> (Model, Vec<u8>) {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    let answers: Vec<KeptAnswer> = (0..150).map(answer).collect();
    let indexes: Vec<Change> =
        (0..400).map(|number| Change::IndexDeclared(index(&format!("{number:050}")))).collect();
    store.commit(&substrates(0, 999), &answers).unwrap();
    store.commit(&relationships(0, 3_000, 999), &[]).unwrap();
    store.commit(&indexes, &[]).unwrap();
    store.close().unwrap();
    let (model, _) = reopen(folder.path()).unwrap();
    (model, fs::read(folder.path().join(DATABASE_FILE)).unwrap())
}

/// What is salvaged of these bytes, and what it says.
fn salvage(bytes: &[u8]) -> (Model, Repaired) {
    let folder = tempfile::tempdir().unwrap();
    let (damaged, into) = (folder.path().join("damaged"), folder.path().join("into"));
    fs::write(&damaged, bytes).unwrap();
    let repaired = repair(&damaged, &into, &mut |_| {}).unwrap();
    assert!(fs::read(&damaged).unwrap() == bytes, "the damaged file was changed");
    let report = verify(&into).unwrap();
    assert!(report.is_sound(), "{:?}", report.problems);
    let (model, recovered) = reopen(&into).unwrap();
    assert_eq!((recovered.counts, recovered.digest), (repaired.salvaged, repaired.digest));
    assert_eq!(repaired.path, into.join(DATABASE_FILE));
    (model, repaired)
}

/// How many of each kind there are of the one and not, exactly so, of the other.
fn missing(of: &Model, from: &Model) -> Counts {
    let substrates = of.substrates.iter().filter(|(number, one)| from.substrates.get(number) != Some(one));
    let relationships =
        of.relationships.iter().filter(|(number, one)| from.relationships.get(number) != Some(one));
    Counts {
        substrates: substrates.count() as u64,
        relationships: relationships.count() as u64,
        indexes: of.indexes.iter().filter(|one| !from.indexes.contains(one)).count() as u64,
        answers: of.answers.iter().filter(|one| !from.answers.contains(one)).count() as u64,
    }
}

/// Of bytes damaged like this, no more is missing than this, and at most `changed` rows are not as they were.
/// Gives what is missing.
#[track_caller]
fn check(
    what: &str,
    (model, bytes): &(Model, Vec<u8>),
    most: Counts,
    changed: u64,
    damage: impl FnOnce(&mut Vec<u8>),
) -> Counts {
    let mut damaged = bytes.clone();
    damage(&mut damaged);
    let (found, repaired) = salvage(&damaged);
    let lost = missing(model, &found);
    let all = |counts: Counts| counts.substrates + counts.relationships + counts.indexes + counts.answers;
    assert!(
        lost.substrates <= most.substrates
            && lost.relationships <= most.relationships
            && lost.indexes <= most.indexes
            && lost.answers <= most.answers,
        "{what}: {lost:?} is missing: {repaired:?}"
    );
    let strange = missing(&found, model);
    assert!(all(strange) <= changed, "{what}: {strange:?} was never there: {repaired:?}");
    assert_eq!(repaired.is_whole, found == *model, "{what}: {repaired:?}");
    assert!(repaired.is_whole || !repaired.complaints.is_empty() || all(lost) > 0, "{what}: {repaired:?}");
    assert!(repaired.complaints.len() <= 20);
    lost
}

/// The kinds of the records on a leaf page of a table, if it is one.
fn kind(page: &[u8]) -> Option<&'static str> {
    let has = |text: &str| page.windows(text.len()).any(|some| some == text.as_bytes());
    match page.first()? {
        0x0D if has("lambda x: x * ") => Some("substrate"),
        0x0D if has("00000000000000000000000000000000000000000") => Some("metadata_index"),
        0x0D if has("xxxxxxxxxxxx") => Some("idempotency"),
        0x0D if !has("CREATE TABLE") => Some("relationship"),
        _ => None,
    }
}

/// Leaf pages of a table.
fn leaves(bytes: &[u8], table: &str) -> Vec<usize> {
    let pages = bytes.chunks(PAGE).enumerate().skip(1);
    pages.filter(|(_, page)| kind(page) == Some(table)).map(|(at, _)| at).collect()
}

/// More rows than a page of each table has. A substrate takes its relationships along, six here.
fn a_page(table: &str) -> Counts {
    let none = Counts::default();
    match table {
        "substrate" => Counts { substrates: 120, relationships: 800, ..none },
        "relationship" => Counts { relationships: 420, ..none },
        "metadata_index" => Counts { indexes: 150, ..none },
        _ => Counts { answers: 16, ..none },
    }
}

const TABLES: [&str; 4] = ["substrate", "relationship", "metadata_index", "idempotency"];

#[test]
fn an_undamaged_file_is_salvaged_whole() {
    let filled = filled();
    check("nothing", &filled, Counts::default(), 0, |_| {});
}

#[test]
fn a_page_that_is_zeros_or_has_a_broken_head() {
    let filled = filled();
    for table in TABLES {
        let leaves = leaves(&filled.1, table);
        assert!(leaves.len() >= 3, "{table}: {leaves:?}");
        for at in [0, leaves.len() / 2, leaves.len() - 1] {
            let page = leaves[at] * PAGE;
            let what = format!("{table}, leaf {at}");
            let lost = check(&what, &filled, a_page(table), 0, |bytes| bytes[page..page + PAGE].fill(0));
            assert_ne!(lost, Counts::default(), "{what}");
            check(&what, &filled, a_page(table), 0, |bytes| bytes[page] ^= 0xFF);
        }
    }
}

#[test]
fn a_flipped_byte_in_a_leaf() {
    let filled = filled();
    for table in TABLES {
        let leaves = leaves(&filled.1, table);
        let leaf = leaves[leaves.len() / 2] * PAGE;
        for (at, place) in (0..PAGE).step_by(601).enumerate() {
            let what = format!("{table}, byte {place}");
            // No row has a check of its own: one may come back changed, which the digest tells. A substrate whose
            // number was changed misses twice.
            check(&what, &filled, a_page(table), 2, |bytes| {
                bytes[leaf + place] ^= [0xFF, 0x01, 0x80, 0x20][at % 4];
            });
        }
    }
}

#[test]
fn two_broken_pages_with_a_good_one_between() {
    let filled = filled();
    let leaves = leaves(&filled.1, "relationship");
    let most = Counts { relationships: 2 * a_page("relationship").relationships, ..Counts::default() };
    check("two pages", &filled, most, 0, |bytes| {
        for at in [leaves[3], leaves[5]] {
            bytes[at * PAGE..(at + 1) * PAGE].fill(0);
        }
    });
}

#[test]
fn a_file_that_is_cut_short() {
    let filled = filled();
    let all = filled.1.len();
    let everything = Counts { substrates: 999, relationships: 3_000, indexes: 400, answers: 150 };
    for length in [all - 1, all - PAGE, all * 3 / 4, all / 2 + 100, all / 4] {
        let lost =
            check(&format!("{length} of {all}"), &filled, everything, 0, |bytes| bytes.truncate(length));
        if length >= all / 2 {
            assert!(lost.substrates < 999, "{lost:?}");
        }
    }
}

#[test]
fn what_the_database_says_of_itself_is_damaged() {
    let filled = filled();
    let key = b"next_substrate";
    let at = filled.1.windows(key.len()).position(|some| some == key).unwrap();
    let (found, repaired) = salvage(&{
        let mut bytes = filled.1.clone();
        bytes[at] ^= 1;
        bytes
    });
    assert!(found == filled.0);
    assert!(repaired.committed.is_none() && !repaired.is_whole, "{repaired:?}");
}

#[track_caller]
fn check_refused(damaged: &Path, into: &Path, wanted: fn(&StoreError) -> bool) {
    let error = repair(damaged, into, &mut |_| {}).unwrap_err();
    assert!(wanted(&error), "{error}");
}

#[test]
fn what_repair_refuses() {
    let (_, bytes) = filled();
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::write(path("good"), &bytes).unwrap();
    fs::write(path("text"), b"Dear database, how are you? ".repeat(1000)).unwrap();
    fs::write(path("empty"), b"").unwrap();
    let new = path("new");
    check_refused(&path("none"), &new, |error| matches!(error, StoreError::Missing { .. }));
    for name in ["text", "empty"] {
        check_refused(&path(name), &new, |error| matches!(error, StoreError::Damaged { .. }));
    }
    assert!(!new.exists());
    repair(&path("good"), &new, &mut |_| {}).unwrap();
    check_refused(&path("good"), &new, |error| matches!(error, StoreError::Exists { .. }));
    // A folder is repaired, too, and is not repaired into itself.
    check_refused(&new, &new, |error| matches!(error, StoreError::Exists { .. }));
    repair(&new, &path("other"), &mut |_| {}).unwrap();
    let store = open(&path("other"));
    check_refused(&new, &path("other"), |error| matches!(error, StoreError::Locked { .. }));
    drop(store);
}
