//! A folder of its own for each test.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

use nix::unistd::Uid;

use crate::monitor::Monitor;
use crate::program::{Ran, program};
use crate::{groups, guests, tree};

/// A user without any right.
const NOBODY: u32 = 65534;

/// A temporary folder: a monitor's data, modules, a log. It goes with the value.
#[derive(Debug)]
pub struct Site {
    folder: tempfile::TempDir,
    program: PathBuf,
    /// Whom the program runs as, if not as whoever runs the tests.
    user: Option<u32>,
    /// Cgroups of monitors that were killed: the last of a folder is followed by none that would
    /// remove them.
    groups: Mutex<BTreeSet<String>>,
}

impl Default for Site {
    fn default() -> Self {
        Self::new()
    }
}

impl Site {
    /// An empty one.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    pub fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("faaslet-test-").tempdir().unwrap();
        Self { folder, program: program(), user: None, groups: Mutex::default() }
    }

    /// An empty one of a user who is not root, with a copy of the program: where it was built may
    /// be out of that user's reach.
    ///
    /// # Panics
    /// When there is no room for it.
    #[must_use]
    pub fn without_root() -> Self {
        let mut site = Self::new();
        if Uid::effective().is_root() {
            let copy = site.path("faaslet");
            // By another process: a file that this one has open for writing cannot be run, and a
            // child that another thread starts meanwhile has it open too.
            let copied = Command::new("cp").arg(&site.program).arg(&copy).status().unwrap();
            assert!(copied.success(), "cp ended with {copied}");
            chown(site.folder.path(), Some(NOBODY), Some(NOBODY)).unwrap();
            (site.program, site.user) = (copy, Some(NOBODY));
        }
        site
    }

    /// The monitor's folder.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Where the monitor's log goes.
    #[must_use]
    pub fn log(&self) -> PathBuf {
        self.folder.path().join("monitor.log")
    }

    pub(crate) fn keep_groups(&self, names: BTreeSet<String>) {
        self.groups.lock().unwrap().extend(names);
    }

    /// Folders of cgroups that were in use when a monitor of this site was killed.
    ///
    /// # Panics
    /// When a thread that killed one panicked.
    #[must_use]
    pub fn groups_left(&self) -> Vec<PathBuf> {
        groups::folders(&self.groups.lock().unwrap())
    }

    /// A path for something of the test's own.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A file of the test's own.
    ///
    /// # Panics
    /// When it cannot be written.
    #[must_use]
    pub fn file(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The module of a guest of `tests/guests/wat`, such as `echo` or `refused/no-entry`.
    ///
    /// # Panics
    /// When there is none of this name.
    #[must_use]
    pub fn wat(&self, name: &str) -> PathBuf {
        let text = tree::root().join("tests/guests/wat").join(format!("{name}.wat"));
        let module = self.path(&format!("{}.wasm", name.replace('/', "-")));
        guests::compile(&text, &module);
        module
    }

    /// A module from text.
    ///
    /// # Panics
    /// When the text is wrong.
    #[must_use]
    pub fn module(&self, name: &str, text: &str) -> PathBuf {
        self.file(name, &wat::parse_str(text).unwrap_or_else(|error| panic!("{error}")))
    }

    /// The program, with this site's folder and nothing from the environment.
    #[must_use]
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env_clear().env("PATH", "/usr/bin:/bin").env("HOME", self.folder.path());
        command.current_dir(self.folder.path());
        command.arg("--dir").arg(self.data()).args(args);
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Runs a command of the program with an empty standard input.
    #[must_use]
    pub fn run(&self, args: &[&str]) -> Ran {
        self.run_with(args, b"")
    }

    /// Runs a command of the program.
    #[must_use]
    pub fn run_with(&self, args: &[&str], input: &[u8]) -> Ran {
        Ran::of(&mut self.command(args), input)
    }

    /// Starts a monitor here.
    #[must_use]
    pub fn up(&self) -> Monitor<'_> {
        self.up_with(&[])
    }

    /// Starts a monitor here with more flags, and variables in its environment.
    #[must_use]
    pub fn up_within(&self, flags: &[&str], environment: &[(&str, &str)]) -> Monitor<'_> {
        Monitor::start(self, flags, environment)
    }

    /// Starts a monitor here with more flags.
    #[must_use]
    pub fn up_with(&self, flags: &[&str]) -> Monitor<'_> {
        Monitor::start(self, flags, &[])
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        for group in self.groups_left() {
            // Left, if a process of it has still not ended: then another check fails.
            let _ = fs::remove_dir(group);
        }
    }
}

/// A path as an argument.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().expect("temporary folders have plain names")
}
