//! A function baked and loaded in this very process: for `faaslet run`, tests and benches. The
//! monitor never does this.

use std::sync::Arc;

use faaslet_snapshot::image::Image;
use faaslet_wasi::Config;
use wasmtime::Engine;

use super::bake::{BakeError, Recipe, bake};
use crate::cell::{Function, Mode, Source, linker};
use crate::engine::load_bytes;

/// Bakes `module` and binds it to the host interface, as the function `number` called `name`.
///
/// # Errors
/// As [`bake`].
pub fn baked_function(
    engine: &Engine,
    number: u32,
    name: &str,
    module: &[u8],
    recipe: &Recipe,
    settings: Arc<Config>,
) -> Result<Arc<Function>, BakeError> {
    let host = |error: &dyn std::fmt::Display| BakeError::Host(error.to_string());
    let baked = bake(engine, module, recipe, true, |_| {})?;
    let image = baked.image.as_deref().map(Image::open).transpose().map_err(|e| host(&e))?;
    let compiled = load_bytes(engine, &baked.artefact)?;
    let source = Source {
        number,
        tenant: "local".into(),
        name: name.into(),
        version: 1,
        plan: baked.plan,
        original: None,
        image: image.map(Arc::new),
        limits: recipe.limits.function,
        mode: Mode::Fork,
        settings,
    };
    let linker = linker(engine).map_err(|error| host(&format!("{error:#}")))?;
    let function = Function::new(source, &compiled, &linker);
    Ok(Arc::new(function.map_err(|error| host(&format!("{error:#}")))?))
}
