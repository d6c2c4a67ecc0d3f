//! A bake from another image: fork it, let it take more in, take the image of that. Nothing is
//! compiled; the code is the base's.

use std::fs::File;
use std::sync::Arc;

use faaslet_rewrite::Plan;
use faaslet_snapshot::image::{Identity, Image, RecipeId};
use faaslet_wasi::{OpenFiles, Preopen};
use wasmtime::Engine;

use super::bake::{BakeError, Baked, Phase, Recipe, Stopwatch, settings, source};
use super::oven::Oven;
use crate::engine::load;

/// What an image is baked from.
pub struct Base {
    /// How the module is driven and restored.
    pub plan: Plan,
    /// Compiled code.
    pub artefact: File,
    /// The module as its author built it, for backtraces.
    pub original: Vec<u8>,
    /// The image.
    pub image: Arc<Image>,
}

/// Bakes an image from another one, which takes `input` in.
///
/// # Errors
/// See [`BakeError`].
pub fn extend(
    engine: &Engine,
    base: Base,
    input: Vec<u8>,
    recipe: &Recipe,
    folders: Vec<Preopen>,
    mut progress: impl FnMut(Phase),
) -> Result<Baked, BakeError> {
    let mut clock = Stopwatch::default();
    let identity = Identity {
        recipe: RecipeId::from_bytes(recipe.id(blake3::hash(&input).as_bytes())),
        ..*base.image.head().identity()
    };
    let module = load(engine, base.artefact)?;
    let files = OpenFiles::decode(base.image.head().files());
    let files = files.map_err(|error| BakeError::Host(error.to_string()))?;
    let settings = settings(recipe, folders)?.with_open_files(files);
    let source = source(&base.plan, recipe, Some(base.image), settings);
    let oven = Oven::new(engine, source, (&base.original, &module), recipe, identity)?;
    let image = oven.extended(input, &mut clock, &mut progress)?;
    let log = oven.log();
    let artefact = Vec::new();
    Ok(Baked { plan: base.plan, artefact, image: Some(image), phases: clock.0, log })
}
