//! A backup is one state that was committed, whole; a restore makes it a data folder and never
//! writes over one.

use crate::records::{open, relationships, reopen, substrates};
use butterflyfx_store::{
    DATABASE_FILE, Digest, Options, Progress, Store, StoreError, Tell, backup, backup_with, restore,
    restore_with, verify, verify_with,
};
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

#[test]
fn backups_while_writing_are_states_that_were_committed() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut store = open(&data);
    store.commit(&substrates(0, 20_000), &[]).unwrap();
    let committed: Mutex<Vec<Digest>> = Mutex::new(vec![store.digest()]);
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let mut at = 0;
            while !done.load(Ordering::Relaxed) {
                // Noted before and after: the backup may see it as soon as it is committed.
                store.commit(&relationships(at, 50, 20_000), &[]).unwrap();
                committed.lock().unwrap().push(store.digest());
                at += 50;
                if at % 1_000 == 0 {
                    store.checkpoint().unwrap();
                }
            }
            at
        });
        for round in 0..4 {
            // Each round sees other states than the one before.
            let seen = committed.lock().unwrap().len();
            while committed.lock().unwrap().len() < seen + 5 {
                thread::yield_now();
            }
            let file = folder.path().join(format!("backup-{round}"));
            let made = backup(&data, &file).unwrap();
            let restored = folder.path().join(format!("restored-{round}"));
            let again = restore(&file, &restored).unwrap();
            assert_eq!((again.digest, again.counts), (made.digest, made.counts));
            let (model, recovered) = reopen(&restored).unwrap();
            assert_eq!(recovered.digest, made.digest);
            assert_eq!(model.relationships.len() as u64, made.counts.relationships);
            // The commit is noted at the latest when the next one is.
            let noted = || committed.lock().unwrap().contains(&made.digest);
            let end = committed.lock().unwrap().len() + 2;
            while !noted() && committed.lock().unwrap().len() < end {
                thread::yield_now();
            }
            assert!(noted(), "round {round}");
        }
        done.store(true, Ordering::Relaxed);
        assert!(writer.join().unwrap() > 0);
    });
    let digest = store.digest();
    store.close().unwrap();
    assert_eq!(reopen(&data).unwrap().1.digest, digest);
}

#[test]
fn a_backup_is_one_file_that_can_be_read_only() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let mut store = open(&data);
    store.commit(&substrates(0, 100), &[]).unwrap();
    let file = folder.path().join("backup");
    let made = backup(&data, &file).unwrap();
    assert_eq!((made.digest, made.bytes), (store.digest(), fs::metadata(&file).unwrap().len()));
    let mut permissions = fs::metadata(&file).unwrap().permissions();
    permissions.set_readonly(true);
    fs::set_permissions(&file, permissions).unwrap();
    assert!(verify(&file).unwrap().is_sound());
    let mut names: Vec<String> = fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    assert_eq!(names, ["backup", "data"]);
    assert!(matches!(backup(&data, &file), Err(StoreError::Exists { .. })));
    // Of a folder that nobody uses, too, and of a backup; a folder of a folder.
    store.close().unwrap();
    assert_eq!(backup(&data, &folder.path().join("second")).unwrap().digest, made.digest);
    assert_eq!(backup(&file, &folder.path().join("third")).unwrap().digest, made.digest);
    assert_eq!(restore(&data, &folder.path().join("deep/er")).unwrap().digest, made.digest);
}

#[test]
fn what_restore_refuses() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file, fresh) =
        (folder.path().join("data"), folder.path().join("backup"), folder.path().join("fresh"));
    let mut store = open(&data);
    store.commit(&substrates(0, 1_000), &[]).unwrap();
    backup(&data, &file).unwrap();
    assert!(matches!(restore(&file, &data), Err(StoreError::Locked { .. })));
    store.close().unwrap();
    let digest = reopen(&data).unwrap().1.digest;
    assert!(matches!(restore(&file, &data), Err(StoreError::Exists { .. })));
    assert_eq!(reopen(&data).unwrap().1.digest, digest);
    assert!(matches!(restore(&folder.path().join("none"), &fresh), Err(StoreError::Missing { .. })));
    assert!(matches!(backup(&fresh, &folder.path().join("x")), Err(StoreError::Missing { .. })));

    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x40;
    let flipped = folder.path().join("flipped");
    fs::write(&flipped, &bytes).unwrap();
    assert!(!verify(&flipped).unwrap().is_sound());
    let error = restore(&flipped, &fresh).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    // It was looked at before anything was made.
    assert!(!fresh.exists());
    let error = backup(&flipped, &folder.path().join("y")).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    assert!(!folder.path().join("y").exists() && !folder.path().join("y.new").exists());

    // What was refused is no obstacle to what is good.
    restore(&file, &fresh).unwrap();
    let mut store = Store::open(&fresh, &Options::default()).unwrap();
    store.commit(&substrates(1_000, 10), &[]).unwrap();
}

/// SQLite applies a log or a journal to whatever file has the name before it.
#[test]
fn what_is_left_of_another_database_is_no_place_for_a_copy() {
    let folder = tempfile::tempdir().unwrap();
    let (data, file) = (folder.path().join("data"), folder.path().join("backup"));
    let mut store = open(&data);
    store.commit(&substrates(0, 100), &[]).unwrap();
    store.close().unwrap();
    backup(&data, &file).unwrap();
    for suffix in ["-wal", "-journal"] {
        let fresh = folder.path().join(format!("fresh{suffix}"));
        fs::create_dir(&fresh).unwrap();
        let left = fresh.join(format!("{DATABASE_FILE}{suffix}"));
        fs::write(&left, b"something").unwrap();
        for outcome in [restore(&file, &fresh), backup(&data, &fresh.join(DATABASE_FILE))] {
            assert!(matches!(outcome, Err(StoreError::Exists { .. })), "{suffix}: {outcome:?}");
        }
        match Store::open(&fresh, &Options::default()) {
            Err(StoreError::Damaged { check, .. }) => {
                assert!(check.contains(&left.display().to_string()), "{check}");
            }
            other => panic!("{suffix}: {other:?}"),
        }
        fs::remove_file(&left).unwrap();
        restore(&file, &fresh).unwrap();
    }
}

/// Each part of the work is told of to its end.
#[test]
fn work_tells_how_far_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    let mut store = open(&path("data"));
    store.commit(&substrates(0, 3_000), &[]).unwrap();
    let check = |parts: &[&str], work: &dyn Fn(&mut Tell<'_>)| {
        let mut told: Vec<Progress> = Vec::new();
        work(&mut |progress| told.push(progress));
        let mut last = told.clone();
        last.reverse();
        last.dedup_by_key(|one| one.doing);
        last.reverse();
        assert_eq!(last.iter().map(|one| one.doing).collect::<Vec<_>>(), parts);
        for one in last {
            assert!(one.done == one.of && (one.of > 0 || one.doing == "checking pages"), "{one:?}");
        }
    };
    let verifying = ["checking pages", "reading records"];
    check(&verifying, &|tell| drop(verify_with(&path("data"), tell).unwrap()));
    let copying = ["copying pages", "checking pages", "reading records"];
    check(&copying, &|tell| drop(backup_with(&path("data"), &path("copy"), tell).unwrap()));
    check(&[&verifying[..], &copying].concat(), &|tell| {
        drop(restore_with(&path("copy"), &path("new"), tell).unwrap());
    });
}
