//! A child process killed at each call that changes files, one call further each time.
//!
//! `strace` counts the calls and kills. Where it is not there or may not trace, these tests have
//! nothing to say. The unit tests of the crate use this file, too.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};

/// What the child is to do, and in which folder.
const OPERATION_VARIABLE: &str = "BUTTERFLYFX_TEST_STEPS_OPERATION";
const FOLDER_VARIABLE: &str = "BUTTERFLYFX_TEST_STEPS_FOLDER";

/// Calls that change what a crash leaves, in so far as the system has them. A file that is made shows at the
/// next of them.
const CALLS: [&str; 11] = [
    "write",
    "pwrite64",
    "fsync",
    "fdatasync",
    "ftruncate",
    "rename",
    "renameat",
    "renameat2",
    "unlink",
    "unlinkat",
    "mkdir",
];

/// Steps tried of each call, spread over all of them.
const STEPS_MAX: usize = 14;

/// In the child: the operation and the folder. `None` in a usual run of the tests.
pub(crate) fn asked() -> Option<(String, PathBuf)> {
    Some((std::env::var(OPERATION_VARIABLE).ok()?, std::env::var_os(FOLDER_VARIABLE)?.into()))
}

/// Runs the test `child` of this binary; answers how it ended, `None` where it cannot be run.
fn run(child: &str, operation: &str, folder: &Path, options: &[&str]) -> Option<ExitStatus> {
    let ended = Command::new("strace")
        .args(["-f", "-qq"])
        .args(options)
        .arg(std::env::current_exe().ok()?)
        .args(["--exact", child, "--nocapture"])
        .env(OPERATION_VARIABLE, operation)
        .env(FOLDER_VARIABLE, folder)
        .output()
        .ok()?;
    Some(ended.status)
}

/// How often the operation makes each call, in the thread that makes it most often: `strace` counts by thread.
fn count(child: &str, operation: &str, folder: &Path, calls: &str) -> Option<BTreeMap<String, usize>> {
    let listing = tempfile::NamedTempFile::new().ok()?;
    let trace = format!("trace={calls}");
    let ended = run(child, operation, folder, &["-o", listing.path().to_str()?, "-e", &trace])?;
    let text = fs::read_to_string(listing.path()).ok()?;
    let mut by_thread: BTreeMap<(&str, &str), usize> = BTreeMap::new();
    for line in text.lines() {
        let call =
            line.split_once(' ').and_then(|(thread, rest)| Some((thread, rest.trim().split_once('(')?.0)));
        if let Some((thread, call)) = call.filter(|(_, call)| CALLS.contains(call)) {
            *by_thread.entry((thread, call)).or_default() += 1;
        }
    }
    if by_thread.is_empty() {
        return None;
    }
    assert!(ended.success(), "{operation} left alone: {ended}");
    let mut most: BTreeMap<String, usize> = BTreeMap::new();
    for ((_, call), times) in by_thread {
        let known = most.entry(call.to_owned()).or_default();
        *known = times.max(*known);
    }
    Some(most)
}

/// Runs an operation as often as it has steps, killed at another one each time, in a folder that `prepare` has
/// filled. `look` judges what the dead child left.
pub(crate) fn check(child: &str, operation: &str, prepare: impl Fn(&Path), look: impl Fn(&Path, &str)) {
    let fresh = || {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        folder
    };
    let calls = CALLS.map(|call| format!("?{call}")).join(",");
    let folder = fresh();
    let Some(counts) = count(child, operation, folder.path(), &calls) else {
        println!("{operation}: skipped, strace is not there or may not trace");
        return;
    };
    look(folder.path(), &format!("{operation}, not killed"));
    let (mut killed, mut tried) = (0, 0);
    for (call, times) in &counts {
        let steps = (*times).min(STEPS_MAX);
        for step in 1..=steps {
            // The first and the last are among them.
            let at = if steps == 1 { 1 } else { 1 + (step - 1) * (times - 1) / (steps - 1) };
            let folder = fresh();
            let inject = format!("inject={call}:signal=SIGKILL:when={at}");
            let trace = format!("trace={call}");
            let ended =
                run(child, operation, folder.path(), &["-o", "/dev/null", "-e", &trace, "-e", &inject]);
            let ended = ended.unwrap();
            killed += usize::from(ended.signal() == Some(9));
            tried += 1;
            look(folder.path(), &format!("{operation}, killed at {call} {at} of {times}"));
        }
    }
    println!("{operation}: killed at {killed} steps of {tried}; it makes these calls: {counts:?}");
    // A thread may write to the terminal once less, no more than that.
    assert!(tried > 0 && killed + 2 >= tried, "{operation}: {killed} of {tried}");
}
