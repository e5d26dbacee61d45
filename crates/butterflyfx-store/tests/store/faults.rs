//! A disk that fails: every commit that was acknowledged is there afterwards, and after a failed sync
//! nothing more is written.
//!
//! `strace` makes the calls of a child process fail. Where it is not there or may not trace, these
//! tests have nothing to say.

use crate::records::{open, reopen, substrates};
use butterflyfx_store::{StoreError, verify};
use std::path::PathBuf;
use std::process::Command;

/// Which folder the child process is to write to.
const FOLDER_VARIABLE: &str = "BUTTERFLYFX_TEST_FAILING_FOLDER";

/// Runs the child with a fault; answers what it said, `None` where there is no tracing.
fn run(folder: &std::path::Path, fault: &str) -> Option<String> {
    let child = Command::new("strace")
        .args(["-f", "-o", "/dev/null", "-e", &format!("trace={}", fault.split(':').next()?)])
        .args(["-e", &format!("inject={fault}")])
        .arg(std::env::current_exe().ok()?)
        .args(["--exact", "faults::in_a_child_process", "--nocapture"])
        .env(FOLDER_VARIABLE, folder)
        .output()
        .ok()?;
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    said.contains("begun").then_some(said)
}

/// With this fault, the child acknowledges some commits and ends as is expected.
#[track_caller]
fn check(fault: &str, end: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    open(folder.path()).commit(&substrates(0, 100), &[]).unwrap();
    let Some(said) = run(folder.path(), fault) else { return };
    let number = |key: &str| said.lines().find_map(|line| line.strip_prefix(key)?.parse::<usize>().ok());
    let acknowledged = number("acknowledged ").unwrap_or_else(|| panic!("{fault}: {said}"));
    let ended = said.lines().find_map(|line| line.strip_prefix("ended: ")).unwrap_or_default();
    assert!(end.contains(&ended), "{fault}: {said}");
    let (model, _) = reopen(folder.path()).unwrap();
    let found = model.substrates.len() - 100;
    // The one whose sync failed may be there or not; all or nothing of it.
    let unknown = usize::from(ended == "io") * 10;
    assert!(found == acknowledged || found == acknowledged + unknown, "{fault}: {found} of {said}");
    assert!(verify(folder.path()).unwrap().is_sound());
}

#[test]
fn syncs_and_writes_that_fail() {
    for at in [4, 5, 9, 15] {
        // Once or for ever.
        check(&format!("fsync,fdatasync:error=EIO:when={at}"), &["io"]);
        check(&format!("fsync,fdatasync:error=EIO:when={at}+"), &["io"]);
    }
    for at in [10, 11, 12, 13, 40, 41] {
        check(&format!("pwrite64:error=EIO:when={at}+"), &["io"]);
        check(&format!("pwrite64:error=ENOSPC:when={at}+"), &["full"]);
        check(&format!("pwrite64:error=ENOSPC:when={at}"), &["full", "well"]);
        check(&format!("pwrite64:error=EDQUOT:when={at}+"), &["full"]);
    }
}

#[test]
fn death_in_the_middle_of_a_call() {
    for at in 8..40 {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path()).commit(&substrates(0, 100), &[]).unwrap();
        let Some(said) = run(folder.path(), &format!("pwrite64:signal=KILL:when={at}")) else { return };
        let acknowledged = said.lines().filter(|line| line.starts_with("committed")).count() * 10;
        let found = reopen(folder.path()).unwrap().0.substrates.len() - 100;
        assert!(found == acknowledged || found == acknowledged + 10, "{at}: {found}, {said}");
        assert!(verify(folder.path()).unwrap().is_sound());
    }
}

/// Does nothing but in the child process of the tests above: twenty commits of ten substrates, until one fails.
#[test]
fn in_a_child_process() {
    let Some(folder) = std::env::var_os(FOLDER_VARIABLE).map(PathBuf::from) else { return };
    println!("\nbegun");
    let mut store = open(&folder);
    let mut acknowledged = 0;
    let mut ended = "well";
    for round in 0..20 {
        match store.commit(&substrates(100 + round * 10, 10), &[]) {
            Ok(()) => {
                println!("committed");
                acknowledged += 10;
            }
            Err(error @ StoreError::Full { .. }) => {
                assert!(error.is_certainly_not_stored() && store.poisoned().is_none());
                ended = "full";
                break;
            }
            Err(error) => {
                assert!(matches!(error, StoreError::Io { .. }), "{error}");
                assert!(!error.is_certainly_not_stored());
                let refused = store.commit(&substrates(100 + round * 10, 10), &[]);
                assert!(matches!(refused, Err(StoreError::Poisoned { .. })));
                ended = "io";
                break;
            }
        }
    }
    println!("acknowledged {acknowledged}\nended: {ended}");
}
