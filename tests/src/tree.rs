//! The source tree that the tests were built from.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Its root.
///
/// # Panics
/// Never: the tests lie in a folder of it.
#[must_use]
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace")
}

/// All files that belong to it: what git tracks and what it would track.
///
/// # Panics
/// When there is no git, or this is none of its folders.
#[must_use]
pub fn files() -> Vec<PathBuf> {
    let listed = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root())
        .output()
        .expect("git is installed");
    assert!(listed.status.success(), "expected a git working tree at {}", root().display());
    let names = String::from_utf8(listed.stdout).expect("names are plain");
    let paths = names.split('\0').filter(|name| !name.is_empty()).map(PathBuf::from);
    // One that was removed and not committed yet is still listed.
    paths.filter(|path| root().join(path).is_file()).collect()
}

/// The Rust files of it, with their text.
///
/// # Panics
/// When one cannot be read.
#[must_use]
pub fn rust() -> Vec<(PathBuf, String)> {
    let rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(root().join(&path)).expect("sources are UTF-8");
        (path, text)
    };
    files().into_iter().filter(rust).map(read).collect()
}
