//! The modules that are measured.

use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::results::home;

/// A function of the text guests, as bytes.
pub(crate) fn text(name: &str) -> Result<Vec<u8>> {
    let path = home().join(format!("../tests/guests/wat/{name}.wat"));
    wat::parse_file(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// A guest of this crate.
pub(crate) fn own(name: &str) -> Result<Vec<u8>> {
    let path = home().join(format!("guests/{name}.wat"));
    wat::parse_file(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// Where the compiled guests are kept.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")));
    Ok(base.context("neither XDG_CACHE_HOME nor HOME is set; set one")?.join("faaslet"))
}

/// A guest that was compiled by `make guests`.
pub(crate) fn compiled(name: &str) -> Result<Vec<u8>> {
    let path = cache()?.join("guests").join(format!("{name}.wasm"));
    std::fs::read(&path)
        .with_context(|| format!("cannot read {}; run `make guests`", path.display()))
}

/// What one call does: a guest and its input.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Work {
    /// Its name in the results.
    pub(crate) name: &'static str,
    /// The guest.
    pub(crate) guest: &'static str,
    /// Pages of 4 KiB that it writes.
    pub(crate) pages: u32,
}

/// The work of the fork group.
pub(crate) const WORK: [Work; 3] = [
    Work { name: "noop", guest: "noop", pages: 0 },
    Work { name: "dirty3", guest: "dirty", pages: 3 },
    Work { name: "dirty16", guest: "dirty", pages: 16 },
];

impl Work {
    /// The input of a call.
    pub(crate) fn input(self) -> Vec<u8> {
        if self.pages == 0 { Vec::new() } else { self.pages.to_le_bytes().to_vec() }
    }
}
