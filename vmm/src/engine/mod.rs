//! Wasmtime, set up for images: one configuration for builder and cell, artefacts that are
//! loaded only where they fit, and linear memories that lie in slots of ours.
//!
//! It knows modules and artefacts. It knows nothing of calls, tenants or the host interface: those
//! are the cell's.

mod artefact;
mod config;
mod memory;
mod sys;

pub(crate) use artefact::load_bytes;
pub use artefact::{ArtefactError, compile, fingerprint, load};
pub use config::{EPOCH_TICK, FIBER_STACK_BYTES, engine};
pub use memory::{FULL_MEMORY_BYTES, HEAP_KEPT_BYTES, with_slot};
