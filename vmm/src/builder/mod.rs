//! The builder: a cell that bakes.
//!
//! It takes a module as its author uploaded it and gives back a rewritten module's plan, an
//! artefact and an image. Malformed and hostile modules meet it, under limits, never the monitor.

mod bake;
mod in_process;
mod inputs;
pub mod process;

#[cfg(test)]
pub(crate) use bake::drive;
pub use bake::{BAKE_VERSION, BakeError, BakeLimits, Baked, Phase, Recipe, bake, bake_beside};
pub use in_process::baked_function;

#[cfg(test)]
mod tests;
