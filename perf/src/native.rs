//! A native process for each call: started, and waited for until it has exited.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use nix::unistd::getgid;
use tempfile::TempDir;

/// Writes one word on each of the pages that its argument names, as the guest `dirty` does.
const SOURCE: &str = "
static volatile char pages[1024 * 4096];
int main(int count, char **arguments) {
  int n = 0;
  if (count > 1) for (char *c = arguments[1]; *c; c++) n = n * 10 + *c - '0';
  for (int i = 0; i < n && i < 1024; i++) {
    if (pages[i * 4096]) return 1;
    pages[i * 4096] = 1;
  }
  return 0;
}
";

/// How a process is started.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Start {
    /// Copies the page tables of this process first; otherwise shares them until `exec`, as
    /// `posix_spawn` does.
    forks: bool,
    /// Carries its libraries within itself.
    linked: bool,
}

impl Start {
    /// What has been the best on every machine so far.
    pub(crate) const BEST: Self = Self { forks: false, linked: true };
    /// All that are tried.
    pub(crate) const ALL: [Self; 4] = [
        Self::BEST,
        Self { forks: false, linked: false },
        Self { forks: true, linked: true },
        Self { forks: true, linked: false },
    ];

    /// As it is shown.
    pub(crate) fn name(self) -> String {
        let start = if self.forks { "fork+exec" } else { "posix_spawn" };
        format!("start={start} libraries={}", if self.linked { "static" } else { "dynamic" })
    }
}

/// The program, built for this run.
pub(crate) struct Native {
    linked: PathBuf,
    dynamic: PathBuf,
    _folder: TempDir,
}

impl Native {
    /// Builds it.
    pub(crate) fn build() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let source = folder.path().join("native.c");
        std::fs::write(&source, SOURCE)?;
        let build = |name: &str, flag: &str| {
            let path = folder.path().join(name);
            let cc = Command::new("cc").args(["-O2", flag, "-o"]).arg(&path).arg(&source).status();
            let status = cc.context("cc is missing; install a C compiler")?;
            ensure!(status.success(), "cc could not build the native program");
            Ok(path)
        };
        let (linked, dynamic) = (build("static", "-static")?, build("dynamic", "-pie")?);
        Ok(Self { linked, dynamic, _folder: folder })
    }

    /// One process.
    pub(crate) fn call(&self, start: Start, pages: u32) -> Result<()> {
        let mut command = Command::new(if start.linked { &self.linked } else { &self.dynamic });
        command.arg(pages.to_string()).stdin(Stdio::null()).env_clear();
        if start.forks {
            // A group to set, here the one that it has, is what posix_spawn cannot do.
            command.gid(getgid().as_raw());
        }
        let status = command.status()?;
        ensure!(status.success(), "the native program ended {status}");
        Ok(())
    }
}
