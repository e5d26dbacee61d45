//! One process at a time has a data folder.

use crate::records::{open, reopen, substrates};
use butterflyfx_store::{LOCK_FILE, Options, Store, StoreError, free_bytes, holds_database};
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// Which folder the child process is to try.
const FOLDER_VARIABLE: &str = "BUTTERFLYFX_TEST_LOCKED_FOLDER";

#[test]
fn a_second_open_names_the_first_process() {
    let folder = tempfile::tempdir().unwrap();
    let mut store = open(folder.path());
    store.commit(&substrates(0, 10), &[]).unwrap();
    let pid = std::process::id();
    match Store::open(folder.path(), &Options::default()) {
        Err(error @ StoreError::Locked { .. }) => {
            assert!(error.to_string().contains(&format!("process {pid} has this data folder")), "{error}");
        }
        other => panic!("{other:?}"),
    }
    let text = fs::read_to_string(folder.path().join(LOCK_FILE)).unwrap();
    assert!(text.starts_with(&format!("pid {pid}\nstarted ")), "{text}");

    let child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "lock::in_a_child_process", "--nocapture"])
        .env(FOLDER_VARIABLE, folder.path())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(said.contains(&format!("locked by Some({pid})")), "{said}");

    // The store is as it was, and the lock ends with it.
    store.commit(&substrates(10, 10), &[]).unwrap();
    drop(store);
    assert_eq!(reopen(folder.path()).unwrap().0.substrates.len(), 20);
}

/// Does nothing but in the child process of the test above.
#[test]
fn in_a_child_process() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from) else { return };
    match Store::open(&folder, &Options::default()) {
        Err(StoreError::Locked { pid, .. }) => println!("locked by {pid:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_folder_is_made_and_its_space_known() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b/c");
    assert!(!holds_database(&inner));
    assert!(free_bytes(&inner).is_err());
    drop(open(&inner));
    assert!(holds_database(&inner));
    assert!(free_bytes(&inner).unwrap() > 0);
}
