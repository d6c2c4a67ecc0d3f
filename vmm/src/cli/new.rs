//! New projects: what `faaslet new` writes.
//!
//! This program carries the templates and the sources of the SDK, so that a new project builds and
//! deploys as it is, wherever it is made. The files themselves are in `guest-sdk`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Longest name of a function, and so of a project.
const MAX_NAME_BYTES: usize = 63;

/// What stands in a template for the project's name.
const NAME: &str = "{{name}}";

/// Names that a Rust project's own dependencies have.
const TAKEN: &[&str] = &["faaslet", "faaslet-abi", "faaslet-macros", "serde", "serde_json"];

/// The languages that a project can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Lang {
    /// Rust, with typed input and output
    Rust,
    /// C, with one header
    C,
    /// Python, on a runtime with numpy, scipy, pandas and scikit-learn
    Python,
}

impl Lang {
    /// Input that the function of its template takes.
    pub fn example_input(self) -> &'static str {
        match self {
            Self::Rust | Self::Python => r#"{"name": "Ada"}"#,
            Self::C => "Ada",
        }
    }
}

/// Why there is no new project.
#[derive(Debug, thiserror::Error)]
pub enum NewError {
    /// The name is not one for a function and a package.
    #[error(
        "{0:?} is no name for a project: expected 1 to {MAX_NAME_BYTES} letters, digits, '-' and \
         '_', beginning with a letter"
    )]
    Name(String),
    /// A dependency has this name.
    #[error("{0:?} is the name of a package that the project depends on: choose another")]
    Taken(String),
    /// Something is there already.
    #[error("{} is there already: choose another name, or move it away", .0.display())]
    Exists(PathBuf),
    /// The folder or a file in it cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A file of a project: its place in the folder, and its text.
type File = (&'static str, &'static str);

macro_rules! files {
    ($from:literal: $($to:literal = $path:literal),+ $(,)?) => {
        &[$(($to, include_str!(concat!("../../../guest-sdk/", $from, $path)))),+]
    };
}

const RUST: &[File] = files!("templates/rust/":
    "Cargo.toml" = "Cargo.toml",
    "README.md" = "README.md",
    "faaslet.toml" = "faaslet.toml",
    ".gitignore" = "gitignore",
    "src/lib.rs" = "src/lib.rs",
);

const C: &[File] = files!("templates/c/":
    "README.md" = "README.md",
    "compile_flags.txt" = "compile_flags.txt",
    "faaslet.toml" = "faaslet.toml",
    "function.c" = "function.c",
);

/// The SDK for Rust: written as it is.
const RUST_SDK: &[File] = files!("":
    ".faaslet-sdk/Cargo.toml" = "templates/sdk/Cargo.toml",
    ".faaslet-sdk/abi/Cargo.toml" = "abi/Cargo.toml",
    ".faaslet-sdk/abi/src/carrier.rs" = "abi/src/carrier.rs",
    ".faaslet-sdk/abi/src/lib.rs" = "abi/src/lib.rs",
    ".faaslet-sdk/abi/src/state.rs" = "abi/src/state.rs",
    ".faaslet-sdk/rust/Cargo.toml" = "rust/Cargo.toml",
    ".faaslet-sdk/rust/src/chain.rs" = "rust/src/chain.rs",
    ".faaslet-sdk/rust/src/codec.rs" = "rust/src/codec.rs",
    ".faaslet-sdk/rust/src/entry.rs" = "rust/src/entry.rs",
    ".faaslet-sdk/rust/src/error.rs" = "rust/src/error.rs",
    ".faaslet-sdk/rust/src/http.rs" = "rust/src/http.rs",
    ".faaslet-sdk/rust/src/http/tests.rs" = "rust/src/http/tests.rs",
    ".faaslet-sdk/rust/src/identity.rs" = "rust/src/identity.rs",
    ".faaslet-sdk/rust/src/lib.rs" = "rust/src/lib.rs",
    ".faaslet-sdk/rust/src/log.rs" = "rust/src/log.rs",
    ".faaslet-sdk/rust/src/state/bytes.rs" = "rust/src/state/bytes.rs",
    ".faaslet-sdk/rust/src/state/cell.rs" = "rust/src/state/cell.rs",
    ".faaslet-sdk/rust/src/state/counter.rs" = "rust/src/state/counter.rs",
    ".faaslet-sdk/rust/src/state/error.rs" = "rust/src/state/error.rs",
    ".faaslet-sdk/rust/src/state/guard.rs" = "rust/src/state/guard.rs",
    ".faaslet-sdk/rust/src/state/log.rs" = "rust/src/state/log.rs",
    ".faaslet-sdk/rust/src/state/map.rs" = "rust/src/state/map.rs",
    ".faaslet-sdk/rust/src/state/mapped.rs" = "rust/src/state/mapped.rs",
    ".faaslet-sdk/rust/src/state/matrix.rs" = "rust/src/state/matrix.rs",
    ".faaslet-sdk/rust/src/state/mod.rs" = "rust/src/state/mod.rs",
    ".faaslet-sdk/rust/src/state/options.rs" = "rust/src/state/options.rs",
    ".faaslet-sdk/rust/src/state/sparse.rs" = "rust/src/state/sparse.rs",
    ".faaslet-sdk/rust/src/state/value.rs" = "rust/src/state/value.rs",
    ".faaslet-sdk/rust/src/state/vector.rs" = "rust/src/state/vector.rs",
    ".faaslet-sdk/rust/src/sys/element.rs" = "rust/src/sys/element.rs",
    ".faaslet-sdk/rust/src/sys/mod.rs" = "rust/src/sys/mod.rs",
    ".faaslet-sdk/rust/src/sys/native.rs" = "rust/src/sys/native.rs",
    ".faaslet-sdk/rust/src/sys/native/state.rs" = "rust/src/sys/native/state.rs",
    ".faaslet-sdk/rust/src/sys/wasm.rs" = "rust/src/sys/wasm.rs",
    ".faaslet-sdk/rust/src/sys/wasm/state.rs" = "rust/src/sys/wasm/state.rs",
    ".faaslet-sdk/rust/src/test.rs" = "rust/src/test.rs",
    ".faaslet-sdk/rust/macros/Cargo.toml" = "rust/macros/Cargo.toml",
    ".faaslet-sdk/rust/macros/src/expand.rs" = "rust/macros/src/expand.rs",
    ".faaslet-sdk/rust/macros/src/lib.rs" = "rust/macros/src/lib.rs",
    ".faaslet-sdk/rust/macros/src/options.rs" = "rust/macros/src/options.rs",
    ".faaslet-sdk/rust/macros/src/signature.rs" = "rust/macros/src/signature.rs",
    ".faaslet-sdk/rust/macros/src/tests.rs" = "rust/macros/src/tests.rs",
);

const PYTHON: &[File] = files!("templates/python/":
    "README.md" = "README.md",
    "app.py" = "app.py",
    "faaslet.toml" = "faaslet.toml",
    "requirements.txt" = "requirements.txt",
    ".gitignore" = "gitignore",
);

/// The package for Python, for an editor to look into: the runtime has its own.
const PYTHON_SDK: &[File] = files!("":
    ".faaslet-sdk/faaslet/__init__.py" = "python/faaslet/__init__.py",
    ".faaslet-sdk/faaslet/_chain.py" = "python/faaslet/_chain.py",
    ".faaslet-sdk/faaslet/_context.py" = "python/faaslet/_context.py",
    ".faaslet-sdk/faaslet/_errors.py" = "python/faaslet/_errors.py",
    ".faaslet-sdk/faaslet/_layer.py" = "python/faaslet/_layer.py",
    ".faaslet-sdk/faaslet/_log.py" = "python/faaslet/_log.py",
    ".faaslet-sdk/faaslet/_restore.py" = "python/faaslet/_restore.py",
    ".faaslet-sdk/faaslet/state.py" = "python/faaslet/state.py",
);

/// The SDK for C: written as it is.
const C_SDK: &[File] = files!("":
    ".faaslet-sdk/c/faaslet.h" = "c/faaslet.h",
    ".faaslet-sdk/c/faaslet_state.h" = "c/faaslet_state.h",
    ".faaslet-sdk/c/faaslet_state.hpp" = "c/faaslet_state.hpp",
);

/// Makes the project `name` in `parent` and returns its folder.
///
/// # Errors
/// When the name is not one, something of this name is there, or a file cannot be written; then
/// nothing of it is left.
pub fn create(lang: Lang, name: &str, parent: &Path) -> Result<PathBuf, NewError> {
    check(name)?;
    let project = parent.join(name);
    fs::create_dir(&project).map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => NewError::Exists(project.clone()),
        _ => NewError::Write { path: project.clone(), source },
    })?;
    let (template, sdk) = match lang {
        Lang::Rust => (RUST, RUST_SDK),
        Lang::C => (C, C_SDK),
        Lang::Python => (PYTHON, PYTHON_SDK),
    };
    let named = template.iter().map(|(path, text)| (*path, text.replace(NAME, name)));
    let whole = sdk.iter().map(|(path, text)| (*path, (*text).to_owned()));
    for (path, text) in named.chain(whole) {
        let path = project.join(path);
        if let Err(source) = write(&path, &text) {
            // The first error is the one to tell.
            let _ = fs::remove_dir_all(&project);
            return Err(NewError::Write { path, source });
        }
    }
    Ok(project)
}

fn check(name: &str) -> Result<(), NewError> {
    let first = name.starts_with(|c: char| c.is_ascii_alphabetic());
    let rest = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if !first || !rest || name.len() > MAX_NAME_BYTES {
        return Err(NewError::Name(name.chars().take(MAX_NAME_BYTES + 1).collect()));
    }
    if TAKEN.contains(&name) {
        return Err(NewError::Taken(name.to_owned()));
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::write(path, text)
}

#[cfg(test)]
mod tests;
