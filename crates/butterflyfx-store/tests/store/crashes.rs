//! A process that dies in the middle of something leaves what was there, and what it was making is not there or
//! whole. To do it again is all that is needed.

use crate::records::{Model, open, relationships, reopen, substrates};
use crate::steps;
use butterflyfx_store::{DATABASE_FILE, Digest, Options, Store, StoreError, backup, restore, verify};
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// What the child does in the folder that [`check`] prepares.
fn run(operation: &str, folder: &Path) -> Result<(), StoreError> {
    let open_and_close = |name| Store::open(&folder.join(name), &Options::default())?.close();
    match operation {
        "backup" => backup(&folder.join("data"), &folder.join("made")).map(drop),
        "restore" => restore(&folder.join("copy"), &folder.join("made")).map(drop),
        "create" => open_and_close("made"),
        "open restored" => open_and_close("restored"),
        "checkpoint" => {
            let mut store = Store::open(&folder.join("data"), &Options::default())?;
            store.checkpoint()?;
            // Cuts the log off, too.
            store.recover(&mut Model::default())?;
            store.close()
        }
        other => panic!("{other}"),
    }
}

/// Does nothing but in the child process of the tests below.
#[test]
fn in_a_child_process() {
    let Some((operation, folder)) = steps::asked() else { return };
    run(&operation, &folder).unwrap();
}

/// Tries again while a folder is locked: a child that another test is starting has the files of this process, locks
/// too, until it becomes another program.
fn patiently<T>(act: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
    for _ in 0..100 {
        match act() {
            Err(StoreError::Locked { .. }) => {
                println!("locked for a moment");
                thread::sleep(Duration::from_millis(20));
            }
            other => return other,
        }
    }
    act()
}

/// What an operation makes: its name, and the digest.
type Made = Option<(&'static str, fn(Digest) -> Digest)>;

/// Kills an operation at each step. The folder holds `data` with a log as a crash leaves it, the backup `copy` of it, and
/// `restored`, a data folder of that which was never opened; all of them stay what they are.
fn check(operation: &str, made: Made) {
    let template = tempfile::tempdir().unwrap();
    let data = template.path().join("data");
    let mut store = open(&template.path().join("running"));
    let mut model = Model::default();
    for batch in [substrates(0, 300), relationships(0, 200, 300), substrates(300, 100)] {
        store.commit(&batch, &[]).unwrap();
        model.apply(&batch);
        // The first is in the database, the others only in the log.
        if model.relationships.is_empty() {
            store.checkpoint().unwrap();
        }
    }
    let digest = store.digest();
    copy(&template.path().join("running"), &data);
    backup(&data, &template.path().join("copy")).unwrap();
    restore(&template.path().join("copy"), &template.path().join("restored")).unwrap();
    drop(store);
    fs::remove_dir_all(template.path().join("running")).unwrap();

    let look = |folder: &Path, step: &str| {
        for source in ["data", "copy", "restored"] {
            let report = verify(&folder.join(source)).unwrap_or_else(|error| panic!("{step}: {error}"));
            assert!(report.is_sound() && report.digest == digest, "{step}: {source}: {report:?}");
        }
        if let Some((name, digest_made)) = made {
            let place = folder.join(name);
            let was_there = place.exists();
            match patiently(|| run(operation, folder)) {
                Ok(()) => {}
                Err(StoreError::Exists { .. }) if was_there => {}
                other => panic!("{step}: again: {other:?}"),
            }
            let report = verify(&place).unwrap();
            assert!(report.is_sound() && report.digest == digest_made(digest), "{step}: {report:?}");
            let leftover = fs::read_dir(place.parent().unwrap())
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .find(|name| name.contains(".new"));
            assert_eq!(leftover, None, "{step}");
        } else {
            patiently(|| run(operation, folder)).unwrap_or_else(|error| panic!("{step}: again: {error}"));
        }
        for source in ["data", "restored"] {
            let (found, recovered) = patiently(|| reopen(&folder.join(source)))
                .unwrap_or_else(|error| panic!("{step}: {source}: {error}"));
            assert_eq!((found == model, recovered.digest), (true, digest), "{step}: {source}");
        }
    };
    steps::check("crashes::in_a_child_process", operation, |folder| copy(template.path(), folder), look);
}

/// Copies a folder with all that is in it, but not what SQLite makes anew.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let (from, to) = (entry.path(), to.join(entry.file_name()));
        if from.is_dir() {
            copy(&from, &to);
        } else if !from.to_string_lossy().ends_with("-shm") {
            fs::copy(from, to).unwrap();
        }
    }
}

#[test]
fn in_a_backup() {
    check("backup", Some(("made", |digest| digest)));
}

#[test]
fn in_a_restore() {
    check("restore", Some(("made/butterflyfx.db", |digest| digest)));
}

#[test]
fn in_a_checkpoint() {
    check("checkpoint", None);
}

/// Where nothing is, an empty database is made; the log comes after that.
#[test]
fn in_the_first_open() {
    check("create", Some(("made/butterflyfx.db", |_| Digest::default())));
}

/// A restored folder gets its log at the first open.
#[test]
fn in_the_first_open_of_a_restored_folder() {
    assert_eq!(DATABASE_FILE, "butterflyfx.db");
    check("open restored", None);
}
