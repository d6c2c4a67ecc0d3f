//! One bake: rewrite, compile, boot, initialise, warm up, take the image.
//!
//! The guest sees no clock and no entropy of this host while it initialises, so the same recipe
//! gives the same image on any host.

use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_rewrite::{Plan, RewriteError, rewrite};
use faaslet_snapshot::bytes::WASM_PAGE;
use faaslet_snapshot::image::{Identity, Image, ModuleHash, RecipeId, WriteError};
use faaslet_wasi::{Config, Preopen};
use serde::{Deserialize, Serialize};
use wasmtime::Engine;

use super::oven::Oven;
use crate::cell::image::CaptureError;
use crate::cell::{Limits, Mode, Source};
use crate::control::FolderHead;
use crate::engine::{ArtefactError, compile, load_bytes};

/// Changes when the rewrite or what an image holds changes, so that older files do not serve.
pub const BAKE_VERSION: &str = "3";
/// The engine, as far as it shapes what a guest computes.
pub(super) const ENGINE: &str = "wasmtime 48";
/// Name of the program while it is baked: an image serves functions of any name.
const PROGRAM: &str = "function";

/// Step of a bake, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// Validation and rewrite.
    Rewrite,
    /// Cranelift.
    Compile,
    /// Boot, constructors, `faaslet_init`.
    Initialise,
    /// `faaslet_warm` and the inputs given.
    Warm,
    /// Reading the image out of the slot.
    Image,
}

impl Phase {
    /// The word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rewrite => "rewrite",
            Self::Compile => "compile",
            Self::Initialise => "initialise",
            Self::Warm => "warm",
            Self::Image => "image",
        }
    }
}

/// Limits of a bake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BakeLimits {
    /// Time for boot, initialisation and warm-up, all together, in milliseconds.
    pub initialise_ms: u64,
    /// What the function may use, then and later.
    pub function: Limits,
}

impl Default for BakeLimits {
    fn default() -> Self {
        Self { initialise_ms: 60_000, function: Limits::default() }
    }
}

/// All that an image depends on beside the module.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Recipe {
    /// The tenant's secret, which the guest's random bytes are derived from.
    pub tenant_secret: [u8; 32],
    /// Arguments of a WASI command.
    pub args: Vec<String>,
    /// Inputs that run as calls of their own before the image is taken.
    #[serde(with = "super::inputs")]
    pub warm: Vec<Vec<u8>>,
    /// Folders that it may open, by name and access; what is in them is no part of the recipe.
    pub folders: Vec<FolderHead>,
    /// Id of the image that it is baked from; a bake of a module begins with nothing.
    #[serde(default)]
    pub base: Option<[u8; 32]>,
    /// Limits.
    pub limits: BakeLimits,
}

impl Recipe {
    /// The recipe's name: what it is made from, hashed.
    #[must_use]
    pub fn id(&self, module: &[u8; 32]) -> [u8; 32] {
        let mut hasher = blake3::Hasher::new_derive_key("faaslet recipe v2");
        hasher.update(module);
        hasher.update(&faaslet_abi::ABI_VERSION.to_le_bytes());
        hasher.update(&(self.limits.function.memory_bytes as u64).to_le_bytes());
        let access = |folder: &FolderHead| if folder.read_only { "ro" } else { "rw" };
        for list in [
            vec![BAKE_VERSION.as_bytes(), ENGINE.as_bytes()],
            self.args.iter().map(String::as_bytes).collect(),
            self.warm.iter().map(Vec::as_slice).collect(),
            self.folders.iter().map(|folder| folder.guest.as_bytes()).collect(),
            self.folders.iter().map(|folder| access(folder).as_bytes()).collect(),
        ] {
            hasher.update(&(list.len() as u64).to_le_bytes());
            for item in list {
                hasher.update(&(item.len() as u64).to_le_bytes());
                hasher.update(item);
            }
        }
        if let Some(base) = &self.base {
            hasher.update(base);
        }
        *hasher.finalize().as_bytes()
    }
}

/// What a bake makes.
pub struct Baked {
    /// How the module is driven and restored.
    pub plan: Plan,
    /// Compiled code.
    pub artefact: Vec<u8>,
    /// The image's bytes; absent where none was asked for.
    pub image: Option<Vec<u8>>,
    /// How long each step took.
    pub phases: Vec<(Phase, Duration)>,
    /// What the function printed meanwhile.
    pub log: Vec<String>,
}

/// Why a bake failed.
#[derive(Debug, thiserror::Error)]
pub enum BakeError {
    /// The module is refused.
    #[error(transparent)]
    Rewrite(#[from] RewriteError),
    /// It does not compile.
    #[error(transparent)]
    Artefact(#[from] ArtefactError),
    /// The base's image has no function that takes more in, or what it took was refused.
    #[error("expected the base to take what was deployed on it; {0}")]
    Extend(String),
    /// Its initialisation trapped, ran out of time, or ended the program.
    #[error("expected the initialisation to return; {0}; try it with `faaslet run`")]
    Initialise(String),
    /// A warm-up call failed.
    #[error(
        "expected warm-up call {number} to succeed; {message}; check the input given with --warm"
    )]
    Warm {
        /// Which, from 1.
        number: usize,
        /// How it failed.
        message: String,
    },
    /// It left what an image cannot hold.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// A descriptor that a fork could not open again.
    #[error(transparent)]
    Files(#[from] faaslet_wasi::NotSnapshottable),
    /// No slot, or no image of it.
    #[error("{0}")]
    Host(String),
}

impl From<WriteError> for BakeError {
    fn from(error: WriteError) -> Self {
        Self::Host(error.to_string())
    }
}

/// Bakes `module`, telling `progress` each step as it begins.
///
/// # Errors
/// See [`BakeError`].
pub fn bake(
    engine: &Engine,
    module: &[u8],
    recipe: &Recipe,
    with_image: bool,
    progress: impl FnMut(Phase),
) -> Result<Baked, BakeError> {
    bake_beside(engine, module, recipe, Vec::new(), with_image, progress)
}

/// Bakes `module` with the folders that its recipe names.
///
/// # Errors
/// See [`BakeError`].
pub fn bake_beside(
    engine: &Engine,
    module: &[u8],
    recipe: &Recipe,
    folders: Vec<Preopen>,
    with_image: bool,
    mut progress: impl FnMut(Phase),
) -> Result<Baked, BakeError> {
    let mut clock = Stopwatch::default();
    progress(Phase::Rewrite);
    let rewritten = clock.time(Phase::Rewrite, || rewrite(module, &form_limits(recipe)))?;
    progress(Phase::Compile);
    let artefact = clock.time(Phase::Compile, || compile(engine, &rewritten.wasm))?;
    let compiled = load_bytes(engine, &artefact)?;
    let mut baked =
        Baked { plan: rewritten.plan, artefact, image: None, phases: Vec::new(), log: Vec::new() };
    if with_image {
        let identity = Identity {
            recipe: RecipeId::from_bytes(recipe.id(blake3::hash(module).as_bytes())),
            module: ModuleHash::from_bytes(*blake3::hash(module).as_bytes()),
            abi_version: faaslet_abi::ABI_VERSION,
        };
        let source = source(&baked.plan, recipe, None, settings(recipe, folders)?);
        let oven = Oven::new(engine, source, (module, &compiled), recipe, identity)?;
        baked.image = Some(oven.image(&mut clock, &mut progress)?);
        baked.log = oven.log();
    }
    baked.phases = clock.0;
    Ok(baked)
}

/// What the guest is given while it is baked: no environment, which changes without a new bake.
pub(super) fn settings(recipe: &Recipe, folders: Vec<Preopen>) -> Result<Config, BakeError> {
    let mut args = vec![PROGRAM.to_owned()];
    args.extend(recipe.args.iter().cloned());
    Config::new(&args, &[], folders).map_err(|error| BakeError::Host(error.to_string()))
}

/// What the module may declare: its memory is bounded by what the function may use.
fn form_limits(recipe: &Recipe) -> faaslet_rewrite::Limits {
    let default = faaslet_rewrite::Limits::default();
    let pages = recipe.limits.function.memory_bytes as u64 / WASM_PAGE.0;
    let memory_pages = default.memory_pages.min(u32::try_from(pages).unwrap_or(u32::MAX));
    faaslet_rewrite::Limits { memory_pages, ..default }
}

/// The function that is baked, from an image or from nothing.
pub(super) fn source(
    plan: &Plan,
    recipe: &Recipe,
    image: Option<Arc<Image>>,
    settings: Config,
) -> Source {
    Source {
        number: 0,
        tenant: String::new(),
        name: String::new(),
        version: 0,
        plan: plan.clone(),
        original: None,
        mode: if image.is_some() { Mode::Fork } else { Mode::Fresh },
        image,
        limits: recipe.limits.function,
        settings: Arc::new(settings),
    }
}

/// How long each step took.
#[derive(Default)]
pub(super) struct Stopwatch(pub(super) Vec<(Phase, Duration)>);

impl Stopwatch {
    pub(super) fn time<T>(&mut self, phase: Phase, run: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let result = run();
        self.0.push((phase, started.elapsed()));
        result
    }
}
