//! Getting a function into its tenant's cell: the cell is started when there is none, and is given
//! code, image and folders by descriptor.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Instant;

use faaslet_sandbox::cgroup;
use faaslet_sandbox::folder::{Access, DetachError, detach};
use faaslet_snapshot::image::{Head, Image, OpenError, base_of};
use faaslet_store::{BlobKind, Code, Hash, Name};
use memfd::MemfdOptions;

use super::bases::RestError;
use super::filling::Filling;
use super::functions::{Deployed, ImageHere, TenantCell};
use super::link::{CellError, CellEvents, CellLink, CellSpec};
use super::lock::lock;
use super::{Events, Monitor, StoreError};
use crate::control::{FolderHead, FunctionHead, Order, SettingsHead};

/// Part of a cell's memory that its values may take on this host.
const STATE_PART: u64 = 2;
/// Processes and threads of one cell.
const CELL_PIDS: u32 = 256;

/// Thousandths of a processor in a percent of one.
const MILLIS_A_PERCENT: u32 = 10;

/// Why a function is not in its cell.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The cell.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image.
    #[error("the image of {name} does not open: {error}; deploy the function again")]
    Image {
        /// The function.
        name: String,
        /// Why.
        error: OpenError,
    },
    /// The image's file, or that of its base.
    #[error(transparent)]
    Rest(#[from] RestError),
    /// A folder. Callers are not told where it is on the host; the monitor's log says so.
    #[error(
        "a folder that was granted cannot be opened; the operator finds why in the monitor's log"
    )]
    Folder(#[from] DetachError),
    /// A folder that the operator has taken back.
    #[error(
        "expected the folder {0} to be granted to the tenant; it is not; ask the operator for `faaslet tenant grant`"
    )]
    NotGranted(String),
    /// Compiling for this processor again failed.
    #[error("cannot compile {name} for this processor: {message}")]
    Recompile {
        /// The function.
        name: String,
        /// Why.
        message: String,
    },
    /// A system call.
    #[error("cannot hand a function to its cell: {0}")]
    System(#[from] std::io::Error),
}

impl LoadError {
    /// Whether the cell is to blame, and another one may do better.
    pub(super) fn is_of_the_cell(&self) -> bool {
        matches!(self, Self::Cell(CellError::Start(_) | CellError::Gone(_)))
    }
}

/// The cell that has `deployed`, and its number there.
pub(super) async fn loaded(
    monitor: &Arc<Monitor>,
    deployed: &Arc<Deployed>,
) -> Result<(Arc<CellLink>, u32), LoadError> {
    let mut cell = deployed.tenant.cell.lock().await;
    if let Some(loaded) = deployed.loaded() {
        return Ok(loaded);
    }
    let link = match cell.take() {
        Some(link) if link.takes_calls() => link,
        ending => {
            if let Some(ending) = ending {
                ending.wait_ended().await;
            }
            let link = start(monitor, &deployed.tenant).await?;
            deployed.tenant.set_current(Some(Arc::clone(&link)));
            link
        }
    };
    *cell = Some(Arc::clone(&link));
    let number = deployed.tenant.number(&deployed.log);
    let given = give(monitor, deployed, &link, number).await;
    if let Err(LoadError::Cell(CellError::Gone(_))) = given {
        // What it has and has not is not known any more.
        link.kill();
    }
    given?;
    deployed.set_loaded(&link, number);
    Ok((link, number))
}

async fn start(monitor: &Arc<Monitor>, of: &Arc<TenantCell>) -> Result<Arc<CellLink>, LoadError> {
    let tenant = of.name.as_str();
    let name = Name::new(tenant).map_err(StoreError::from)?;
    let limits = monitor.store.tenant(&name).map_err(StoreError::from)?.limits;
    let spec = CellSpec {
        tenant: tenant.to_owned(),
        workers: monitor.config.workers,
        slots: monitor.config.slots,
        strictness: monitor.config.sandbox,
        group: monitor.groups.cell(tenant),
        state: monitor.states.begin(tenant),
        state_bytes: monitor.config.cell_memory_bytes / STATE_PART,
        cgroup: cgroup::Limits {
            cpu_weight: None,
            cpu_quota_millis: limits.cpu_percent.map(|percent| percent * MILLIS_A_PERCENT),
            memory_max_bytes: Some(limits.memory_bytes.min(monitor.config.cell_memory_bytes)),
            pids_max: Some(CELL_PIDS),
        },
    };
    let events: Arc<dyn CellEvents> = Arc::new(Events::new(monitor, of));
    let link = CellLink::start(&spec, &monitor.groups.cgroups, events).await?;
    for missing in link.missing() {
        tracing::warn!(tenant, missing, "cell without a fence");
    }
    tracing::info!(tenant, pid = link.pid(), "cell started");
    Ok(link)
}

/// Hands everything that belongs to a version over.
async fn give(
    monitor: &Arc<Monitor>,
    deployed: &Arc<Deployed>,
    link: &Arc<CellLink>,
    number: u32,
) -> Result<(), LoadError> {
    let begun = Instant::now();
    let code = monitor.code(deployed).await?;
    let (blocking, version) = (Arc::clone(monitor), Arc::clone(deployed));
    let lazy = link.paging().can();
    let open = move || Parts::open(&blocking, &version, &code, lazy);
    let parts = tokio::task::spawn_blocking(open);
    let parts = parts.await.map_err(std::io::Error::other)??;
    let order = Order::Function(Box::new(FunctionHead {
        number,
        name: deployed.name().to_owned(),
        version: deployed.version.version,
        limits: deployed.limits(),
        mode: deployed.mode(),
        settings: parts.settings.clone(),
        plan_bytes: parts.plan_bytes,
        image: parts.image.is_some(),
        filling: matches!(parts.image, Some(ImageHere::Filling(_))),
    }));
    let (opened, begun) = (begun.elapsed(), Instant::now());
    if let Some(ImageHere::Filling(filling)) = &parts.image {
        link.paging().add(number, filling.image())?;
    }
    link.order(&order, &parts.fds()).await?;
    if let Some(ImageHere::Filling(filling)) = &parts.image {
        monitor.tell_when_whole(deployed, Arc::clone(filling), link, number);
    }
    let [open_us, given_us] = [opened, begun.elapsed()].map(|time| time.as_micros() as u64);
    tracing::debug!(function = deployed.name(), open_us, given_us, "function is in its cell");
    Ok(())
}

/// What a cell needs of a version, opened.
pub(super) struct Parts {
    artefact: File,
    module: File,
    /// Plan and image head.
    blob: File,
    pub(super) plan_bytes: usize,
    image: Option<ImageHere>,
    settings: SettingsHead,
    folders: Vec<OwnedFd>,
}

impl Parts {
    pub(super) fn open(
        monitor: &Monitor,
        deployed: &Deployed,
        code: &Code,
        lazy: bool,
    ) -> Result<Self, LoadError> {
        let deployment = deployed.deployment();
        let open =
            |kind, hash| monitor.store.open_blob_checked(kind, hash).map_err(StoreError::from);
        let mut plan = Vec::new();
        open(BlobKind::Plan, code.plan)?.read_to_end(&mut plan)?;
        let image = image(monitor, deployed, lazy)?;
        let head = image.as_ref().map_or(&[][..], |image| image.head().as_bytes());
        let (settings, folders) = settings(monitor, deployed)?;
        Ok(Self {
            artefact: open(BlobKind::Artefact, code.artefact)?,
            module: open(BlobKind::Module, deployment.module)?,
            blob: memory_file(&[&plan, head])?,
            plan_bytes: plan.len(),
            image,
            settings,
            folders,
        })
    }

    fn fds(&self) -> Vec<BorrowedFd<'_>> {
        let mut fds = self.code_and_image();
        fds.extend(self.folders.iter().map(AsFd::as_fd));
        fds
    }

    /// Artefact, module, blob, and the image's memory.
    pub(super) fn code_and_image(&self) -> Vec<BorrowedFd<'_>> {
        let mut fds = vec![self.artefact.as_fd(), self.module.as_fd(), self.blob.as_fd()];
        fds.extend(self.image.as_ref().map(ImageHere::fd));
        fds
    }
}

/// The image of a version, opened once; a large one may be called before it is whole.
fn image(
    monitor: &Monitor,
    deployed: &Deployed,
    lazy: bool,
) -> Result<Option<ImageHere>, LoadError> {
    let Some(image) = deployed.deployment().image else { return Ok(None) };
    let mut kept = lock(&deployed.image);
    match kept.as_ref() {
        Some(image @ ImageHere::Whole(_)) => return Ok(Some(image.clone())),
        Some(image) if lazy => return Ok(Some(image.clone())),
        _ => {}
    }
    let failed = |error| LoadError::Image { name: deployed.name().to_owned(), error };
    let here = match large(monitor, image.blob, lazy)? {
        Some(file) => {
            let head = Head::read(&file).map_err(failed)?;
            let id = head.id();
            let likely = monitor.working_set(&head).chunks();
            let filling = Filling::from_file(&monitor.runtime, head, file, likely);
            ImageHere::Filling(filling.map_err(|source| failed(OpenError::Memory { id, source }))?)
        }
        None => {
            let bytes = monitor.at_rest(image.blob, deployed.deployment().base.as_ref())?;
            ImageHere::Whole(Arc::new(Image::open(&*bytes).map_err(failed)?))
        }
    };
    *kept = Some(here.clone());
    Ok(Some(here))
}

/// The file of an image that may be called before it is here: large enough, and all of it in one
/// file; a layer is put together first.
fn large(monitor: &Monitor, blob: Hash, lazy: bool) -> Result<Option<File>, LoadError> {
    if !lazy {
        return Ok(None);
    }
    let file = monitor.store.open_blob(BlobKind::Image, blob).map_err(StoreError::from)?;
    let large = file.metadata()?.len() > monitor.config.lazy_above_bytes;
    Ok((large && base_of(&file).map_err(RestError::from)?.is_none()).then_some(file))
}

/// A memory file for what is too large for a message.
pub(super) fn memory_file(parts: &[&[u8]]) -> Result<File, LoadError> {
    let options = MemfdOptions::default().close_on_exec(true);
    let memory = options.create("faaslet-function").map_err(std::io::Error::other)?;
    let mut file = memory.into_file();
    for part in parts {
        file.write_all(part)?;
    }
    Ok(file)
}

/// Environment and folders of a version, as they are now.
pub(super) fn settings(
    monitor: &Monitor,
    deployed: &Deployed,
) -> Result<(SettingsHead, Vec<OwnedFd>), LoadError> {
    let env = monitor.environment(&deployed.function)?;
    let named = &deployed.deployment().folders;
    let (mut heads, mut opened) = (Vec::new(), Vec::new());
    if let Some(base) = &deployed.deployment().base {
        (heads, opened) = folders(monitor, &base.function.tenant, &base.folders)?;
    }
    let (own, granted) = folders(monitor, &deployed.function.tenant, named)?;
    heads.extend(own);
    opened.extend(granted);
    let mut args = vec![deployed.name().to_owned()];
    args.extend(deployed.deployment().args.iter().cloned());
    Ok((SettingsHead { args, env, folders: heads }, opened))
}

/// Folders that were granted to a tenant, by the names that a guest sees.
pub(super) fn folders(
    monitor: &Monitor,
    tenant: &Name,
    named: &[String],
) -> Result<(Vec<FolderHead>, Vec<OwnedFd>), LoadError> {
    let tenant = monitor.store.tenant(tenant).map_err(StoreError::from)?;
    let (mut heads, mut folders) = (Vec::new(), Vec::new());
    for guest in named {
        let grant = tenant.grants.iter().find(|grant| grant.guest == *guest);
        let grant = grant.ok_or_else(|| LoadError::NotGranted(guest.clone()))?;
        let access = if grant.read_only { Access::ReadOnly } else { Access::ReadWrite };
        let folder = detach(&grant.host, access);
        folders.push(folder.inspect_err(|error| tracing::warn!(%error, "a granted folder"))?);
        heads.push(FolderHead { guest: guest.clone(), read_only: grant.read_only });
    }
    Ok((heads, folders))
}
