//! A native process for each call: spawned, and waited for until it has exited.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
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

/// The program, built for this run.
pub(crate) struct Native {
    path: PathBuf,
    _folder: TempDir,
}

impl Native {
    /// Builds it, statically linked: nothing starts faster.
    pub(crate) fn build() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let (source, path) = (folder.path().join("native.c"), folder.path().join("native"));
        std::fs::write(&source, SOURCE)?;
        let status =
            Command::new("cc").args(["-O2", "-static", "-o"]).arg(&path).arg(&source).status();
        let status = status.context("cc is missing; install a C compiler")?;
        ensure!(status.success(), "cc could not build the native program");
        Ok(Self { path, _folder: folder })
    }

    /// One process.
    pub(crate) fn call(&self, pages: u32) -> Result<()> {
        let mut command = Command::new(&self.path);
        command.arg(pages.to_string()).stdin(Stdio::null()).env_clear();
        let status = command.status()?;
        ensure!(status.success(), "the native program ended {status}");
        Ok(())
    }
}
