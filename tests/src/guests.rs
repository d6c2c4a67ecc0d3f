//! Functions to deploy: text form, and what `tests/guests/build.sh` builds.

use std::fs;
use std::path::{Path, PathBuf};

use crate::tree;

/// A guest that needs a compiler, or an example, as `tests/guests/build.sh` left it.
///
/// # Panics
/// When it was not built; the message has the command.
#[must_use]
pub fn built(name: &str) -> PathBuf {
    let path = cache().join("guests").join(format!("{name}.wasm"));
    assert!(
        path.is_file(),
        "expected the guest {}; build it with `tests/guests/build.sh`",
        path.display()
    );
    path
}

/// A sample picture of the image recognition example: `person` or `no-person`.
///
/// # Panics
/// When it is missing; the message has the command that fetches it.
#[must_use]
pub fn picture(name: &str) -> PathBuf {
    let folders = fs::read_dir(cache().join("recognise")).into_iter().flatten().flatten();
    let mut pictures = folders.map(|folder| folder.path().join(format!("{name}.pgm")));
    pictures.find(|picture| picture.is_file()).unwrap_or_else(|| {
        panic!("expected the picture {name}.pgm; fetch it with `tests/guests/build.sh`")
    })
}

/// The names of all guests in text form in a folder of `tests/guests/wat`, with their text.
///
/// # Panics
/// When the folder cannot be read.
#[must_use]
pub fn wat_files(folder: &str) -> Vec<(String, PathBuf)> {
    let folder = tree::root().join("tests/guests/wat").join(folder);
    let files = fs::read_dir(&folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files
        .filter(|file| file.extension().is_some_and(|extension| extension == "wat"))
        .map(|file| (file.file_stem().unwrap().to_string_lossy().into_owned(), file))
        .collect();
    files.sort();
    files
}

/// Compiles a text into a module.
pub(crate) fn compile(text: &Path, module: &Path) {
    let bytes = wat::parse_file(text).unwrap_or_else(|error| panic!("{error}"));
    fs::write(module, bytes).unwrap();
}

fn cache() -> PathBuf {
    let cache = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let cache = cache.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    cache.expect("HOME is set").join("faaslet")
}
