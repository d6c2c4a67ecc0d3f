//! The way of a module: uploaded, baked in a builder, stored, and then called.
//!
//! ```text
//! upload ─► store (module) ─► bake once for each recipe ─► store (plan, artefact, image)
//!                                                            │ acknowledged from here on
//!                                            functions ◄─────┘
//! ```
//!
//! What an earlier bake of the same recipe made serves the same tenant again, also after a restart:
//! files are found by labels, which are hashes of all that they depend on and of the tenant's
//! secret. Nothing that a builder made for one tenant reaches another, as the guest's code could
//! have been in command of it. A bake with folders always runs: what is in them is in no label.

use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use faaslet_snapshot::image::OpenError;
use faaslet_store::{
    Base, BlobKind, Deployment, FunctionName, Hash, ImageRef, Mode as StoreMode, PutError, Secret,
    Settings,
};

use super::bakes::{Busy, Turn};
use super::builders::{self, Bake, BuildError, Built};
use super::config::{MAX_INITIALISE, MAX_TIMEOUT};
use super::disk::OverBudget;
use super::functions::Deployed;
use super::lock::lock;
use super::stats::Stats;
use super::{Monitor, StoreError, blocking, load};
use crate::api::{DeployEvent, DeployRequest, DeployedInfo};
use crate::builder::{BAKE_VERSION, BakeLimits, Phase, Recipe};
use crate::cell::{Limits, Mode};
use crate::control::FolderHead;

/// Bytes of all warm-up inputs of a deployment.
pub const MAX_WARM_BYTES: usize = 16 << 20;

/// Why a module was not taken.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The store.
    #[error(transparent)]
    Put(#[from] PutError),
    /// The tenant has uploaded too much that it does not use.
    #[error(
        "expected at most {quota} bytes of uploads that no function uses; this one is over that; \
         deploy what you upload, or wait until a collection has taken it"
    )]
    Quota {
        /// The limit.
        quota: u64,
    },
    /// The store is full.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
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
    /// The image's file, or that of its base.
    #[error(transparent)]
    Rest(#[from] super::bases::RestError),
    /// The request.
    #[error("{0}")]
    Request(String),
    /// A folder.
    #[error(transparent)]
    Folder(#[from] load::LoadError),
    /// Too many at once.
    #[error(transparent)]
    Busy(#[from] Busy),
    /// The store is full.
    #[error(transparent)]
    OverBudget(#[from] OverBudget),
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

impl Files {
    /// The code of a runtime, which is that of every version on it.
    fn of(runtime: &Deployed) -> Self {
        let Deployment { plan, artefact, .. } = *runtime.deployment();
        Self { plan, artefact, image: None, phases: Vec::new() }
    }
}

/// A deployment that was checked.
struct Order {
    function: FunctionName,
    request: DeployRequest,
    module: Hash,
    recipe: Recipe,
    folders: Vec<OwnedFd>,
    labels: Labels,
    /// What it is deployed on.
    runtime: Option<Arc<Deployed>>,
}

impl Order {
    fn image(&self) -> bool {
        self.request.mode == Mode::Fork
    }
}

/// What an earlier bake of a recipe left.
enum Earlier {
    All(Files),
    /// One that was imported, or outlived its code.
    Image(ImageRef),
    Nothing,
}

impl Monitor {
    /// A turn to deploy a function of this tenant, or the reason why there is none now.
    ///
    /// # Errors
    /// When too many deployments are under way.
    pub fn turn(&self, tenant: &str) -> Result<Turn, Busy> {
        self.bakes.turn(tenant, &self.groups.builders(tenant))
    }

    /// Bakes a module and lets calls reach it; an earlier version goes on with the calls that it
    /// has begun.
    ///
    /// # Errors
    /// See [`DeployError`].
    pub async fn deploy(
        self: &Arc<Self>,
        turn: Turn,
        function: FunctionName,
        request: DeployRequest,
        events: &(dyn Fn(DeployEvent) + Send + Sync),
    ) -> Result<DeployedInfo, DeployError> {
        let monitor = Arc::clone(self);
        let order = blocking(move || {
            monitor.make_room()?;
            monitor.order(function, request)
        });
        let order = Arc::new(order.await??);
        let files = self.files(&turn, &order, events).await?;
        events(DeployEvent::Store);
        let monitor = Arc::clone(self);
        let info = blocking(move || monitor.record(&order, &files)).await??;
        self.collect.notify_one();
        Ok(info)
    }

    /// Checks a request, and opens what it needs.
    fn order(&self, function: FunctionName, request: DeployRequest) -> Result<Order, DeployError> {
        let expected =
            format!("expected the hash of an uploaded module; found {:?}", request.module);
        let module: Hash = request.module.parse().map_err(|_| DeployError::Request(expected))?;
        self.check(&request)?;
        let runtime = request.base.as_deref().map(|name| self.runtime(name)).transpose()?;
        let base = runtime.as_deref().and_then(Self::base);
        let (heads, folders) = self.folders(&function, &request, base.as_ref())?;
        let secret = self.store.tenant_secret(&function.tenant).map_err(StoreError::from)?;
        let default = BakeLimits::default();
        let recipe = Recipe {
            tenant_secret: secret.0,
            args: request.args.clone(),
            warm: warm_inputs(&request.warm)?,
            folders: heads,
            base: base.as_ref().map(|base| base.image.id.0),
            limits: BakeLimits {
                initialise_ms: request.initialise_ms.unwrap_or(default.initialise_ms),
                function: Limits {
                    memory_bytes: self.memory_bytes(&request) as usize,
                    ..self.config.limits
                },
            },
        };
        let labels = self.labels(module, &recipe);
        Ok(Order { function, request, module, recipe, folders, labels, runtime })
    }

    /// The folders that a bake may open: those of its base, then its own.
    fn folders(
        &self,
        function: &FunctionName,
        request: &DeployRequest,
        base: Option<&Base>,
    ) -> Result<(Vec<FolderHead>, Vec<OwnedFd>), DeployError> {
        if request.mode == Mode::Fresh {
            return match base {
                None => Ok((Vec::new(), Vec::new())),
                Some(base) => Err(DeployError::Request(format!(
                    "expected mode fork for a function on {}; found fresh: it is a fork of that",
                    base.function
                ))),
            };
        }
        let (mut heads, mut folders) = match base {
            None => (Vec::new(), Vec::new()),
            Some(base) => load::folders(self, &base.function.tenant, &base.folders)?,
        };
        let (own, opened) = load::folders(self, &function.tenant, &request.folders)?;
        heads.extend(own);
        folders.extend(opened);
        Ok((heads, folders))
    }

    /// Checks numbers against what the operator allows.
    fn check(&self, request: &DeployRequest) -> Result<(), DeployError> {
        let config = &self.config;
        let most_memory = config.cell_memory_bytes.min(config.builder_memory_bytes);
        let milliseconds = |time: Duration| time.as_millis() as u64;
        let numbers = [
            ("bytes of memory", request.memory_bytes, most_memory),
            ("milliseconds of initialisation", request.initialise_ms, milliseconds(MAX_INITIALISE)),
            ("milliseconds of a call", request.timeout_ms, milliseconds(MAX_TIMEOUT)),
            ("calls at once", request.concurrency.map(u64::from), u64::from(u32::MAX)),
        ];
        for (what, found, most) in numbers {
            let Some(found) = found else { continue };
            if found == 0 || found > most {
                return Err(DeployError::Request(format!(
                    "expected 1 to {most} {what}; found {found}; ask for less, or the operator for \
                     more"
                )));
            }
        }
        Ok(())
    }

    fn memory_bytes(&self, request: &DeployRequest) -> u64 {
        request.memory_bytes.unwrap_or(self.config.limits.memory_bytes as u64)
    }

    /// Plan, artefact and image of a recipe, from an earlier bake or a new one.
    async fn files(
        self: &Arc<Self>,
        turn: &Turn,
        order: &Arc<Order>,
        events: &(dyn Fn(DeployEvent) + Send + Sync),
    ) -> Result<Files, DeployError> {
        let bake = self.bakes.recipe(order.labels.image);
        let _once = bake.lock().await;
        let (monitor, ordered) = (Arc::clone(self), Arc::clone(order));
        let image = match blocking(move || monitor.earlier(&ordered)).await?? {
            Earlier::All(files) => return Ok(files),
            Earlier::Image(image) => Some(image),
            Earlier::Nothing => None,
        };
        let module = self.open_blob(BlobKind::Module, order.module)?;
        let base = self.base_parts(order).await?;
        let bake = Bake {
            group: turn.group(),
            strictness: self.config.sandbox,
            module: &module,
            base: base.as_ref(),
            recipe: &order.recipe,
            image: order.image() && image.is_none(),
            folders: &order.folders,
        };
        let built = builders::build(&bake, |phase| events(DeployEvent::Phase { phase })).await?;
        for line in &built.log {
            events(DeployEvent::Log { line: line.clone() });
        }
        let (monitor, ordered) = (Arc::clone(self), Arc::clone(order));
        blocking(move || monitor.keep(built, image, &ordered)).await?
    }

    /// What a builder needs of the runtime that a version is deployed on.
    async fn base_parts(
        self: &Arc<Self>,
        order: &Order,
    ) -> Result<Option<load::Parts>, DeployError> {
        let Some(runtime) = &order.runtime else { return Ok(None) };
        let code = self.code(runtime).await?;
        let (monitor, runtime) = (Arc::clone(self), Arc::clone(runtime));
        let parts = blocking(move || load::Parts::open(&monitor, &runtime, &code, false)).await??;
        Ok(Some(parts))
    }

    /// What an earlier bake of this recipe made and is still there, whole.
    fn earlier(&self, order: &Order) -> Result<Earlier, DeployError> {
        if !order.request.folders.is_empty() {
            return Ok(Earlier::Nothing);
        }
        let find = |kind, label| -> Result<Option<Hash>, DeployError> {
            let blob = self.store.by_label(kind, label).map_err(StoreError::from)?;
            Ok(blob.filter(|blob| self.is_whole(kind, *blob)))
        };
        let image = match find(BlobKind::Image, order.labels.image)?.filter(|_| order.image()) {
            Some(blob) => Some(self.image_ref(blob)?),
            None => None,
        };
        if let Some(runtime) = &order.runtime {
            let phases = Vec::new();
            let all = |image| Files { image: Some(image), phases, ..Files::of(runtime) };
            return Ok(image.map_or(Earlier::Nothing, |image| Earlier::All(all(image))));
        }
        let plan = find(BlobKind::Plan, order.labels.plan)?;
        let artefact = find(BlobKind::Artefact, order.labels.artefact)?;
        Ok(match (plan, artefact, image) {
            (Some(plan), Some(artefact), image) if image.is_some() == order.image() => {
                Earlier::All(Files { plan, artefact, image, phases: Vec::new() })
            }
            (_, _, Some(image)) => Earlier::Image(image),
            _ => Earlier::Nothing,
        })
    }

    /// Whether a stored file is what its name says. One that is not is made anew and replaced.
    fn is_whole(&self, kind: BlobKind, blob: Hash) -> bool {
        let checked = self.store.open_blob_checked(kind, blob);
        checked.inspect_err(|error| tracing::warn!(%error, "not used again")).is_ok()
    }

    fn keep(
        &self,
        built: Built,
        image: Option<ImageRef>,
        order: &Order,
    ) -> Result<Files, DeployError> {
        let labels = &order.labels;
        let base = order.runtime.as_deref().and_then(Self::base);
        let put = |kind, label, file| -> Result<Hash, DeployError> {
            let hash = self.put_file(kind, file)?;
            self.store.set_label(kind, label, hash).map_err(StoreError::from)?;
            Ok(hash)
        };
        let image = match built.image {
            None => image,
            Some(file) => {
                let file = match &base {
                    None => file,
                    Some(base) => self.layer(&file, base.image)?,
                };
                Some(self.image_ref(put(BlobKind::Image, labels.image, file)?)?)
            }
        };
        let phases = built.phases;
        match (built.code, &order.runtime) {
            (Some((plan, artefact)), _) => {
                let plan = put(BlobKind::Plan, labels.plan, plan)?;
                let artefact = put(BlobKind::Artefact, labels.artefact, artefact)?;
                Ok(Files { plan, artefact, image, phases })
            }
            (None, Some(runtime)) => Ok(Files { image, phases, ..Files::of(runtime) }),
            (None, None) => Err(DeployError::Request("the builder gave no code".to_owned())),
        }
    }

    /// Stores a file of a builder, whatever its position.
    pub(super) fn put_file(&self, kind: BlobKind, mut file: File) -> Result<Hash, DeployError> {
        std::io::Seek::rewind(&mut file)?;
        Ok(self.store.put_blob(kind, None, &mut file)?)
    }

    /// Whether instances are kept, as the plan says: read once, so that no list has to. Only this
    /// is taken out of a plan, which may be long.
    fn kept(&self, plan: Hash) -> Result<Result<(), String>, DeployError> {
        #[derive(serde::Deserialize)]
        struct Verdict {
            keep: Result<(), faaslet_rewrite::Why>,
        }
        let plan = std::io::BufReader::new(self.open_blob(BlobKind::Plan, plan)?);
        let verdict: Verdict = serde_json::from_reader(plan).map_err(std::io::Error::from)?;
        Ok(verdict.keep.map_err(|why| why.to_string()))
    }

    fn deployment(&self, order: &Order, files: &Files) -> Result<Deployment, DeployError> {
        let (config, request) = (&self.config, &order.request);
        let runtime = order.runtime.as_deref().map(Deployed::deployment);
        Ok(Deployment {
            module: runtime.map_or(order.module, |runtime| runtime.module),
            artefact: files.artefact,
            plan: files.plan,
            engine: self.engine,
            image: files.image,
            base: order.runtime.as_deref().and_then(Self::base),
            kept: match runtime {
                Some(runtime) => runtime.kept.clone(),
                None => Some(self.kept(files.plan)?),
            },
            mode: match request.mode {
                Mode::Fork => StoreMode::Fork,
                Mode::Fresh => StoreMode::Fresh,
            },
            memory_bytes: self.memory_bytes(request),
            timeout_ms: request.timeout_ms.unwrap_or(config.timeout.as_millis() as u64),
            concurrency: request.concurrency.unwrap_or(config.limits.concurrency as u32),
            folders: request.folders.clone(),
            args: request.args.clone(),
        })
    }

    /// Makes the version durable and lets calls reach it.
    fn record(self: &Arc<Self>, order: &Order, files: &Files) -> Result<DeployedInfo, DeployError> {
        let (function, deployment) = (&order.function, self.deployment(order, files)?);
        let _change = lock(&self.changes);
        let settings = self.settings_after(function, &order.request)?;
        let version = self.store.deploy(function, &deployment, settings.as_ref())?;
        let version = self.store.version(function, version).map_err(StoreError::from)?;
        let info = self.info(order, version.version, files);
        self.activate(function.clone(), version);
        Ok(info)
    }

    /// The settings of a function after a deployment: environment or secrets, whichever is given,
    /// replace the ones before; what is not given stays.
    fn settings_after(
        &self,
        function: &FunctionName,
        request: &DeployRequest,
    ) -> Result<Option<Settings>, StoreError> {
        if request.env.is_empty() && request.secrets.is_empty() {
            return Ok(None);
        }
        let mut settings = self.store.settings(function)?;
        if !request.env.is_empty() {
            settings.env = request.env.iter().cloned().collect();
        }
        if !request.secrets.is_empty() {
            let secret =
                |(name, value): &(String, String)| (name.clone(), Secret::new(value.clone()));
            settings.secrets = request.secrets.iter().map(secret).collect();
        }
        Ok(Some(settings))
    }

    fn info(&self, order: &Order, version: u64, files: &Files) -> DeployedInfo {
        let size = |kind, hash| self.store.blob_path(kind, hash).metadata().map_or(0, |m| m.len());
        DeployedInfo {
            name: order.function.name.to_string(),
            version,
            image: files.image.map(|image| image.id.to_string()),
            artefact_bytes: size(BlobKind::Artefact, files.artefact),
            image_bytes: files.image.map_or(0, |image| size(BlobKind::Image, image.blob)),
            base: order.runtime.as_ref().map(|runtime| runtime.name().to_owned()),
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

    /// What files of this recipe and tenant are found by.
    fn labels(&self, module: Hash, recipe: &Recipe) -> Labels {
        let (id, secret) = (recipe.id(&module.0), &recipe.tenant_secret);
        Labels {
            plan: file_label("plan", &id, secret),
            artefact: label(&[
                &file_label("artefact", &id, secret).to_string(),
                &self.engine.to_string(),
            ]),
            image: file_label("image", &id, secret),
        }
    }
}

/// What the files of a recipe are found by.
struct Labels {
    plan: Hash,
    artefact: Hash,
    image: Hash,
}

/// What a tenant's file of a recipe is found by.
pub(super) fn file_label(kind: &str, recipe: &[u8; 32], tenant_secret: &[u8; 32]) -> Hash {
    let secret = blake3::derive_key("faaslet file label v2", tenant_secret);
    let hex = |bytes| blake3::Hash::from_bytes(bytes).to_hex();
    label(&[kind, &hex(*recipe), &hex(secret)])
}

/// What code is made by and for, on this host and by this release.
pub(super) fn engine_id(fingerprint: &str) -> Hash {
    label(&["engine", BAKE_VERSION, fingerprint])
}

fn label(parts: &[&str]) -> Hash {
    Hash::of(parts.join("\0").as_bytes())
}

fn warm_inputs(inputs: &[String]) -> Result<Vec<Vec<u8>>, DeployError> {
    let mut warm = Vec::with_capacity(inputs.len());
    for input in inputs {
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
    Ok(warm)
}
