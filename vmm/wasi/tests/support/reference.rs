//! Wasmtime's own command, if this machine has it, and what it was recorded to say.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::fixture::Fixture;
use super::guest::repository;
use super::{ENVIRONMENT, Outcome, PROGRAM, Run};

/// Exit statuses from here on are not the guest's: Wasmtime's own failure, or a signal.
const TRAPPED: i32 = 128;

/// Where the command is: `FAASLET_WASMTIME`, or where `tests/guests/wasi/reference.sh` puts it.
pub(crate) fn command() -> Option<PathBuf> {
    let cache = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    let fetched = cache.map(|cache| cache.join("faaslet/wasi-reference/wasmtime"));
    let given = std::env::var_os("FAASLET_WASMTIME").map(PathBuf::from);
    given.or(fetched).filter(|path| path.is_file())
}

/// Compiles `module` for [`run`], once for all runs.
pub(crate) fn compile(wasmtime: &Path, module: &Path) -> PathBuf {
    let compiled = module.with_extension("cwasm");
    let mut command = Command::new(wasmtime);
    command.arg("compile").arg("-o").arg(&compiled).arg(module);
    assert!(command.status().expect("wasmtime starts").success(), "wasmtime compiles");
    compiled
}

/// Runs `module` under Wasmtime.
pub(crate) fn run(wasmtime: &Path, module: &Path, fixture: &Fixture, run: Run<'_>) -> Outcome {
    let mut command = Command::new(wasmtime);
    command.args(["run", "--argv0", PROGRAM, "--allow-precompiled"]);
    command.arg("--dir").arg(format!("{}::/data", fixture.data().display()));
    command.arg("--dir").arg(format!("{}::/other", fixture.other().display()));
    for (name, value) in ENVIRONMENT {
        command.arg("--env").arg(format!("{name}={value}"));
    }
    command.arg(module).args(run.args);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("wasmtime starts");
    // A guest that reads nothing closes the pipe; that is no failure of the test.
    let _ = child.stdin.take().expect("a pipe").write_all(run.input.as_bytes());
    let done = child.wait_with_output().expect("wasmtime ends");
    let errors = String::from_utf8_lossy(&done.stderr).into_owned();
    let failed = errors.contains("failed to run main module");
    let end = match done.status.code() {
        Some(status) if status < TRAPPED && !failed => Ok(status.unsigned_abs()),
        _ => Err(errors.clone()),
    };
    Outcome { output: String::from_utf8_lossy(&done.stdout).into_owned(), errors, end }
}

/// What `name` was recorded to be, from Wasmtime.
pub(crate) fn recorded(name: &str) -> String {
    let path = path(name);
    fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{} cannot be read ({error}): record it with FAASLET_RECORD=1", path.display())
    })
}

/// Checks `text` against the record, or records it when `FAASLET_RECORD` is set.
pub(crate) fn check_record(name: &str, text: &str) {
    if std::env::var_os("FAASLET_RECORD").is_some() {
        fs::write(path(name), text).expect("the record can be written");
    }
    assert!(recorded(name) == text, "Wasmtime no longer says what was recorded as {name}");
}

fn path(name: &str) -> PathBuf {
    repository().join("tests/guests/wasi/recorded").join(name)
}
