//! The way of a module: uploaded, baked in a builder, stored, and then called.
//!
//! ```text
//! upload ─► store (module) ─► bake once for each recipe ─► store (plan, artefact, image)
//!                                                            │ acknowledged from here on
//!                                            functions ◄─────┘
//! ```
//!
//! What an earlier bake of the same recipe made serves again, also after a restart: files are
//! found by labels, which are hashes of all that they depend on.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use faaslet_sandbox::cgroup;
use faaslet_snapshot::image::{Head, OpenError};
use faaslet_store::{
    BlobKind, Deployment, FunctionName, Hash, ImageRef, Mode as StoreMode, PutError, Secret,
    Settings,
};
use tokio::sync::Mutex as AsyncMutex;

use super::builders::{self, BuildError, Built};
use super::functions::Deployed;
use super::load::LoadError;
use super::lock::lock;
use super::stats::Stats;
use super::{Monitor, StoreError};
use crate::api::{DeployEvent, DeployRequest, DeployedInfo};
use crate::builder::{BakeLimits, Phase, Recipe};
use crate::cell::{Limits, Mode};

/// Changes when the rewrite or the image contents change, so that older files do not serve.
const BAKE_VERSION: &str = "1";
/// Processes and threads of a builder.
const BUILDER_PIDS: u32 = 64;
/// Bytes of all warm-up inputs of a deployment.
pub const MAX_WARM_BYTES: usize = 16 << 20;

/// Recipes that are being baked now; held while it lasts.
#[derive(Default)]
pub(super) struct Bakes(Mutex<HashMap<Hash, Weak<AsyncMutex<()>>>>);

impl Bakes {
    /// The lock of a recipe.
    fn of(&self, recipe: Hash) -> Arc<AsyncMutex<()>> {
        let mut bakes = lock(&self.0);
        bakes.retain(|_, bake| bake.strong_count() > 0);
        if let Some(bake) = bakes.get(&recipe).and_then(Weak::upgrade) {
            return bake;
        }
        let bake = Arc::new(AsyncMutex::new(()));
        bakes.insert(recipe, Arc::downgrade(&bake));
        bake
    }
}

/// Why a module was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The store.
    #[error(transparent)]
    Put(#[from] PutError),
    /// It is too large.
    #[error("expected a module of at most {limit} bytes; found more; leave unused code out")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
}

/// Why a deployment failed; nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The bake.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of it.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The record.
    #[error(transparent)]
    Record(#[from] faaslet_store::DeployError),
    /// The image that the builder made.
    #[error("the builder made an image that does not open: {0}")]
    Image(#[from] OpenError),
    /// The request.
    #[error("{0}")]
    Request(String),
    /// A system call.
    #[error("cannot deploy: {0}")]
    System(#[from] std::io::Error),
}

/// Files of a version.
struct Files {
    plan: Hash,
    artefact: Hash,
    image: Option<ImageRef>,
    phases: Vec<(Phase, Duration)>,
}

impl Monitor {
    /// Keeps an uploaded module; it is collected unless it is deployed.
    ///
    /// # Errors
    /// See [`ModuleError`].
    pub fn put_module(&self, module: &mut dyn Read) -> Result<Hash, ModuleError> {
        Ok(self.store.put_blob(BlobKind::Module, None, module)?)
    }

    /// Bakes a module and lets calls reach it; an earlier version goes on with the calls that it
    /// has begun. Call it from a task of a runtime that may block.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub async fn deploy(
        self: &Arc<Self>,
        function: FunctionName,
        request: DeployRequest,
        events: &(dyn Fn(DeployEvent) + Send + Sync),
    ) -> Result<DeployedInfo, DeployError> {
        let module: Hash = request.module.parse().map_err(|_| {
            DeployError::Request(format!(
                "expected the hash of an uploaded module; found {:?}",
                request.module
            ))
        })?;
        let recipe = self.recipe(&function, &request)?;
        let image = request.mode == Mode::Fork;
        let files = self.files(module, &recipe, image, events).await?;
        events(DeployEvent::Store);
        let deployment = self.deployment(module, &request, &files);
        let version = self.record(&function, &deployment, &request)?;
        let info = self.info(&function, version.version, &files);
        self.activate(function, version);
        Ok(info)
    }

    fn recipe(
        &self,
        function: &FunctionName,
        request: &DeployRequest,
    ) -> Result<Recipe, DeployError> {
        let secret = self.store.tenant_secret(&function.tenant).map_err(StoreError::from)?;
        let mut warm = Vec::with_capacity(request.warm.len());
        for input in &request.warm {
            let bytes = BASE64_STANDARD.decode(input).map_err(|error| {
                DeployError::Request(format!("expected warm-up inputs in base64; {error}"))
            })?;
            warm.push(bytes);
        }
        if warm.iter().map(Vec::len).sum::<usize>() > MAX_WARM_BYTES {
            return Err(DeployError::Request(format!(
                "expected at most {MAX_WARM_BYTES} bytes of warm-up inputs; found more; give fewer"
            )));
        }
        let memory_bytes =
            request.memory_bytes.map_or(self.config.limits.memory_bytes, |b| b as usize);
        let function = Limits { memory_bytes, ..self.config.limits };
        let limits = BakeLimits { function, ..BakeLimits::default() };
        let initialise_ms = request.initialise_ms.unwrap_or(limits.initialise_ms);
        Ok(Recipe {
            tenant_secret: secret.0,
            args: request.args.clone(),
            warm,
            limits: BakeLimits { initialise_ms, ..limits },
        })
    }

    /// Plan, artefact and image of a recipe, from an earlier bake or a new one.
    async fn files(
        self: &Arc<Self>,
        module: Hash,
        recipe: &Recipe,
        image: bool,
        events: &(dyn Fn(DeployEvent) + Send + Sync),
    ) -> Result<Files, DeployError> {
        let labels = self.labels(module, recipe);
        let bake = self.bakes.of(labels.image);
        let _once = bake.lock().await;
        if let Some(files) = self.earlier(&labels, image)? {
            return Ok(files);
        }
        let progress = |phase| events(DeployEvent::Phase { phase });
        let built = self.build(module, recipe, image, progress).await?;
        for line in &built.log {
            events(DeployEvent::Log { line: line.clone() });
        }
        let monitor = Arc::clone(self);
        let stored = tokio::task::spawn_blocking(move || monitor.keep(built, &labels));
        stored.await.map_err(std::io::Error::other)?
    }

    async fn build(
        &self,
        module: Hash,
        recipe: &Recipe,
        image: bool,
        progress: impl Fn(Phase),
    ) -> Result<Built, DeployError> {
        let file = self.open_blob(BlobKind::Module, module)?;
        let limits = cgroup::Limits {
            cpu_weight: None,
            cpu_quota_millis: None,
            memory_max_bytes: Some(self.config.builder_memory_bytes),
            pids_max: Some(BUILDER_PIDS),
        };
        let group = self.groups.builder();
        let (name, cgroups) = (&group.name, &self.groups.cgroups);
        Ok(builders::build(name, cgroups, &limits, &file, recipe, image, progress).await?)
    }

    /// What an earlier bake of this recipe made, if all of it is still there.
    fn earlier(&self, labels: &Labels, image: bool) -> Result<Option<Files>, DeployError> {
        let find = |kind, label| self.store.by_label(kind, label).map_err(StoreError::from);
        let plan = find(BlobKind::Plan, labels.plan)?;
        let artefact = find(BlobKind::Artefact, labels.artefact)?;
        let (Some(plan), Some(artefact)) = (plan, artefact) else { return Ok(None) };
        let image = match image {
            false => None,
            true => match find(BlobKind::Image, labels.image)? {
                None => return Ok(None),
                Some(blob) => {
                    let file = self.open_blob(BlobKind::Image, blob)?;
                    Some(ImageRef { id: image_id(&file)?, blob })
                }
            },
        };
        Ok(Some(Files { plan, artefact, image, phases: Vec::new() }))
    }

    fn keep(&self, built: Built, labels: &Labels) -> Result<Files, DeployError> {
        let put = |kind, label, mut file: File| -> Result<Hash, DeployError> {
            std::io::Seek::rewind(&mut file)?;
            let hash = self.store.put_blob(kind, None, &mut file)?;
            self.store.set_label(kind, label, hash).map_err(StoreError::from)?;
            Ok(hash)
        };
        let image = match built.image {
            None => None,
            Some(file) => {
                let id = image_id(&file)?;
                Some(ImageRef { id, blob: put(BlobKind::Image, labels.image, file)? })
            }
        };
        Ok(Files {
            plan: put(BlobKind::Plan, labels.plan, built.plan)?,
            artefact: put(BlobKind::Artefact, labels.artefact, built.artefact)?,
            image,
            phases: built.phases,
        })
    }

    fn deployment(&self, module: Hash, request: &DeployRequest, files: &Files) -> Deployment {
        let config = &self.config;
        Deployment {
            module,
            artefact: files.artefact,
            plan: files.plan,
            image: files.image,
            mode: match request.mode {
                Mode::Fork => StoreMode::Fork,
                Mode::Fresh => StoreMode::Fresh,
            },
            memory_bytes: request.memory_bytes.unwrap_or(config.limits.memory_bytes as u64),
            timeout_ms: request.timeout_ms.unwrap_or(config.timeout.as_millis() as u64),
            concurrency: request.concurrency.unwrap_or(config.limits.concurrency as u32),
            folders: request.folders.clone(),
            args: request.args.clone(),
        }
    }

    fn record(
        &self,
        function: &FunctionName,
        deployment: &Deployment,
        request: &DeployRequest,
    ) -> Result<faaslet_store::VersionInfo, DeployError> {
        let settings = (!request.env.is_empty() || !request.secrets.is_empty()).then(|| Settings {
            env: request.env.iter().cloned().collect(),
            secrets: request
                .secrets
                .iter()
                .map(|(k, v)| (k.clone(), Secret::new(v.clone())))
                .collect(),
        });
        let version = self.store.deploy(function, deployment, settings.as_ref())?;
        Ok(self.store.version(function, version).map_err(StoreError::from)?)
    }

    fn info(&self, function: &FunctionName, version: u64, files: &Files) -> DeployedInfo {
        let size = |kind, hash| self.store.blob_path(kind, hash).metadata().map_or(0, |m| m.len());
        DeployedInfo {
            name: function.name.to_string(),
            version,
            image: files.image.map(|image| image.id.to_string()),
            artefact_bytes: size(BlobKind::Artefact, files.artefact),
            image_bytes: files.image.map_or(0, |image| size(BlobKind::Image, image.blob)),
            phases: files
                .phases
                .iter()
                .map(|(phase, took)| (*phase, took.as_micros() as u64))
                .collect(),
        }
    }

    /// Lets new calls reach a version; the cell forgets the one that it replaces.
    pub(super) fn activate(
        self: &Arc<Self>,
        function: FunctionName,
        version: faaslet_store::VersionInfo,
    ) {
        let tenant = self.functions.tenant(function.tenant.as_str());
        let before = self.functions.get(function.tenant.as_str(), function.name.as_str());
        let stats =
            before.map_or_else(|| Arc::new(Stats::default()), |before| Arc::clone(&before.stats));
        let deployed = Arc::new(Deployed::new(tenant, function, version, stats));
        if let Some(before) = self.functions.put(deployed) {
            self.forget(&before);
        }
    }

    /// Tells the cell that no new calls of a version will come.
    pub(super) fn forget(self: &Arc<Self>, deployed: &Deployed) {
        let Some((link, number)) = deployed.loaded() else { return };
        self.runtime.spawn(async move {
            // A cell that cannot be told has ended, and the version with it.
            let _ = link.order(&crate::control::Order::Remove { number }, &[]).await;
        });
    }

    /// Sees to it that code for this processor is there.
    pub(super) async fn fit_artefact(
        self: &Arc<Self>,
        deployed: &Deployed,
    ) -> Result<(), LoadError> {
        let module = deployed.deployment().module;
        let label = self.artefact_label(module);
        let there = self.store.by_label(BlobKind::Artefact, label).map_err(StoreError::from)?;
        if there.is_some_and(|hash| self.store.has_blob(BlobKind::Artefact, hash)) {
            return Ok(());
        }
        let failed = |error: &dyn std::fmt::Display| LoadError::Recompile {
            name: deployed.name().to_owned(),
            message: error.to_string(),
        };
        tracing::info!(function = %deployed.function, "compiling for this processor");
        let built = self.build(module, &Recipe::default(), false, |_| {}).await;
        let mut built = built.map_err(|error| failed(&error))?;
        std::io::Seek::rewind(&mut built.artefact)?;
        let monitor = Arc::clone(self);
        let put = tokio::task::spawn_blocking(move || {
            monitor.store.put_blob(BlobKind::Artefact, None, &mut built.artefact)
        });
        let hash = put.await.map_err(std::io::Error::other)?.map_err(|error| failed(&error))?;
        Ok(self.store.set_label(BlobKind::Artefact, label, hash).map_err(StoreError::from)?)
    }

    /// What an artefact for this engine and processor is found by.
    pub(super) fn artefact_label(&self, module: Hash) -> Hash {
        label(&["artefact", BAKE_VERSION, &self.engine, &module.to_string()])
    }

    fn labels(&self, module: Hash, recipe: &Recipe) -> Labels {
        let text = module.to_string();
        Labels {
            plan: label(&["plan", BAKE_VERSION, &text]),
            artefact: self.artefact_label(module),
            image: image_label(&recipe.id(&module.0), &recipe.tenant_secret),
        }
    }
}

/// What the files of a recipe are found by.
#[derive(Clone, Copy)]
struct Labels {
    plan: Hash,
    artefact: Hash,
    image: Hash,
}

/// What a tenant's image of a recipe is found by.
pub(super) fn image_label(recipe: &[u8; 32], tenant_secret: &[u8; 32]) -> Hash {
    let secret = blake3::derive_key("faaslet image label v1", tenant_secret);
    let hex = |bytes| blake3::Hash::from_bytes(bytes).to_hex();
    label(&["image", BAKE_VERSION, &hex(*recipe), &hex(secret)])
}

fn label(parts: &[&str]) -> Hash {
    Hash::of(parts.join("\0").as_bytes())
}

fn image_id(file: &File) -> Result<Hash, DeployError> {
    Ok(Hash(*Head::read(file)?.id().as_bytes()))
}
