//! The program under test, and what a run of it came to.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The `faaslet` that was built beside the tests.
///
/// # Panics
/// When it is missing; the message has the command that builds it.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().unwrap();
    let folder = test.parent().and_then(Path::parent).unwrap();
    let program = folder.join("faaslet");
    assert!(
        program.is_file(),
        "expected the program at {}; build it with `cargo build --release --workspace`",
        program.display()
    );
    program
}

/// A command that has ended.
#[derive(Debug)]
pub struct Ran {
    /// Its status; `None` when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote to standard output.
    pub out: Vec<u8>,
    /// What it wrote to standard error.
    pub err: String,
}

impl Ran {
    /// Runs a command with the given standard input and a bare environment.
    pub(crate) fn of(command: &mut Command, input: &[u8]) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let input = input.to_vec();
        let writer = std::thread::spawn(move || {
            // A command that reads nothing closes the pipe.
            let _ = stdin.write_all(&input);
        });
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap();
        Self {
            code: output.status.code(),
            out: output.stdout,
            err: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Its output, when it worked.
    ///
    /// # Panics
    /// When it ended with another status than 0.
    #[track_caller]
    pub fn ok(self) -> Vec<u8> {
        assert_eq!(self.code, Some(0), "expected status 0; standard error: {}", self.err);
        self.out
    }

    /// As [`Ran::ok`], as text.
    ///
    /// # Panics
    /// As [`Ran::ok`], and when it is not UTF-8.
    #[must_use]
    #[track_caller]
    pub fn text(self) -> String {
        String::from_utf8(self.ok()).unwrap()
    }

    /// Its output as JSON.
    ///
    /// # Panics
    /// As [`Ran::ok`], and when it is no JSON.
    #[must_use]
    #[track_caller]
    pub fn json(self) -> serde_json::Value {
        serde_json::from_slice(&self.ok()).unwrap()
    }

    /// What it said when it ended with `code`.
    ///
    /// # Panics
    /// When it ended with another status.
    #[track_caller]
    pub fn failed(self, code: i32) -> String {
        let found = (self.code, String::from_utf8_lossy(&self.out), &self.err);
        assert_eq!(self.code, Some(code), "expected status {code}; found {found:?}");
        self.err
    }
}
