//! The builder: a cell that bakes.
//!
//! It takes a module as its author uploaded it and gives back a rewritten module's plan, an
//! artefact and an image; or an image and what it is to hold more, and gives back the image of both.
//! Malformed and hostile modules meet it, under limits, never the monitor.

mod bake;
mod extend;
mod in_process;
mod inputs;
mod oven;
pub mod process;

pub use bake::{BAKE_VERSION, BakeError, BakeLimits, Baked, Phase, Recipe, bake, bake_beside};
pub use extend::{Base, extend};
pub use in_process::baked_function;
#[cfg(test)]
pub(crate) use oven::drive;

#[cfg(test)]
mod tests;
