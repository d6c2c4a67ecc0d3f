//! Artefacts: compiled modules, kept by what they were compiled from and for.
//!
//! An artefact is native code. It is loaded only when its key is the one that this engine would
//! give it, and only from bytes whose hash the monitor's store vouches for; a Wasmtime of another
//! version, other settings or another processor gives another key, and the module is compiled
//! again.

use std::fs::File;
use std::hash::{Hash, Hasher};

use wasmtime::{Engine, Module};

use super::sys;

/// What shapes compiled code beside the module: Wasmtime's version, its settings, and this
/// processor, as one text.
///
/// # Errors
/// When this machine's processor lacks what Cranelift needs.
pub fn fingerprint() -> wasmtime::Result<String> {
    let engine = super::engine()?;
    let mut hasher = KeyHasher(blake3::Hasher::new_derive_key("faaslet engine v1"));
    engine.precompile_compatibility_hash().hash(&mut hasher);
    Ok(hasher.0.finalize().to_hex().to_string())
}

/// Lets the engine's own description of itself run into a BLAKE3 hash.
struct KeyHasher(blake3::Hasher);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        0
    }
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }
}

/// Why an artefact could not be made or loaded.
#[derive(Debug, thiserror::Error)]
pub enum ArtefactError {
    /// Cranelift refused the module.
    #[error(
        "expected a module that compiles; {0:#}; build it with a newer toolchain or fewer features"
    )]
    Compile(wasmtime::Error),
    /// The bytes are not an artefact of this engine.
    #[error(
        "expected an artefact of this Wasmtime and this processor; {0:#}; deploy the function again to recompile it"
    )]
    Load(wasmtime::Error),
}

/// Compiles a rewritten module; the result is the artefact's bytes.
///
/// # Errors
/// [`ArtefactError::Compile`] when Cranelift refuses the module.
pub fn compile(engine: &Engine, wasm: &[u8]) -> Result<Vec<u8>, ArtefactError> {
    engine.precompile_module(wasm).map_err(ArtefactError::Compile)
}

/// Loads an artefact that our own builder made and the store vouches for.
///
/// # Errors
/// [`ArtefactError::Load`] when it is of another engine.
pub fn load(engine: &Engine, file: File) -> Result<Module, ArtefactError> {
    sys::load(engine, file).map_err(ArtefactError::Load)
}

/// Loads what this process has just compiled.
///
/// # Errors
/// [`ArtefactError::Load`], as [`load`].
pub(crate) fn load_bytes(engine: &Engine, bytes: &[u8]) -> Result<Module, ArtefactError> {
    sys::load_bytes(engine, bytes).map_err(ArtefactError::Load)
}
