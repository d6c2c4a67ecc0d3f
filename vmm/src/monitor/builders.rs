//! Builders as the monitor sees them: one child process for each bake.

use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

use faaslet_sandbox::aio::{AsyncChild, AsyncSocket};
use faaslet_sandbox::cgroup::Cgroup;
use faaslet_sandbox::parcel::{Most, ParcelError};
use faaslet_sandbox::{Child, SpawnError, Spec, Strictness, memory, spawn};
use faaslet_store::BlobKind;

use crate::builder::process::{MAX_REPORT_BYTES, Order, ROLE, Report};
use crate::builder::{Phase, Recipe};

/// Longest bake, compile included.
pub const BAKE_LIMIT: Duration = Duration::from_secs(900);
/// Reports that a builder may send; each step is told once.
const MAX_REPORTS: usize = 16;
/// Plan, artefact, image.
const MAX_FILES: usize = 3;

/// What is to be baked.
pub struct Bake<'a> {
    /// Where the builder is counted.
    pub group: Option<&'a Arc<Cgroup>>,
    /// As its author built it.
    pub module: &'a File,
    /// How.
    pub recipe: &'a Recipe,
    /// Whether an image is wanted.
    pub image: bool,
    /// The folders that the recipe names; only an image needs them.
    pub folders: &'a [OwnedFd],
}

/// What a builder made, in memory files that nobody changes any more.
#[derive(Debug)]
pub struct Built {
    /// The plan, as JSON.
    pub plan: File,
    /// Compiled code.
    pub artefact: File,
    /// The image, if one was wanted.
    pub image: Option<File>,
    /// How long each step took.
    pub phases: Vec<(Phase, Duration)>,
    /// What the function printed meanwhile.
    pub log: Vec<String>,
}

/// Why a bake gave nothing.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The builder could not be started, or its answer is none.
    #[error("cannot bake: {0}; see `faaslet doctor`")]
    Builder(String),
    /// The module was refused, or its initialisation failed.
    #[error("{0}")]
    Refused(String),
    /// The builder died over it.
    #[error(
        "expected the builder to survive this module; it ended by {0}; the module uses more memory or time than a bake may"
    )]
    Died(String),
    /// It took too long.
    #[error(
        "expected a bake within {BAKE_LIMIT:?}; it took longer; make the initialisation shorter"
    )]
    TooLong,
}

fn failed(error: impl std::fmt::Display) -> BuildError {
    BuildError::Builder(error.to_string())
}

/// Bakes a module in a child process of its own, telling `progress` each step as it begins.
///
/// # Errors
/// See [`BuildError`].
pub async fn build(bake: &Bake<'_>, progress: impl Fn(Phase)) -> Result<Built, BuildError> {
    let kills = || bake.group.map_or(0, |group| group.memory_kills());
    let before = kills();
    let mut child = start(bake.group.cloned()).await?;
    let socket = child.take_socket().ok_or_else(|| failed("the builder has no socket"))?;
    let socket = AsyncSocket::new(socket).map_err(failed)?;
    let mut child = AsyncChild::new(child).map_err(failed)?;
    let whole = tokio::time::timeout(BAKE_LIMIT, async {
        order(bake, &socket).await?;
        reports(&socket, bake.image, progress).await
    });
    match whole.await.map_err(|_| BuildError::TooLong)? {
        Ok(built) => Ok(built),
        Err(Some(error)) => Err(error),
        Err(None) => {
            let exit = child.wait().await.map_err(failed)?;
            let memory = if kills() > before { " for its memory" } else { "" };
            Err(BuildError::Died(format!("{exit:?}{memory}")))
        }
    }
}

/// Starts a builder, on a thread that may block.
async fn start(group: Option<Arc<Cgroup>>) -> Result<Child, BuildError> {
    let started = tokio::task::spawn_blocking(move || -> Result<Child, SpawnError> {
        spawn(&Spec {
            role: ROLE.into(),
            arguments: Vec::new(),
            log: None,
            cgroup: group.as_deref(),
            strictness: Strictness::Degrade,
        })
    });
    started.await.map_err(failed)?.map_err(failed)
}

async fn order(bake: &Bake<'_>, socket: &AsyncSocket) -> Result<(), Option<BuildError>> {
    let order = Order { recipe: bake.recipe.clone(), image: bake.image };
    let bytes = serde_json::to_vec(&order).map_err(|error| Some(failed(error)))?;
    let mut descriptors: Vec<BorrowedFd<'_>> = vec![bake.module.as_fd()];
    descriptors.extend(bake.folders.iter().filter(|_| bake.image).map(AsFd::as_fd));
    socket.send_parcel(&bytes, &descriptors).await.map_err(ended)
}

/// `None` where the builder has ended, so that its end can be told.
fn ended(error: ParcelError) -> Option<BuildError> {
    match error {
        ParcelError::Send(_) | ParcelError::Receive(_) => None,
        error => Some(failed(error)),
    }
}

/// Takes reports until the last; `Err(None)` when the builder ended before.
async fn reports(
    socket: &AsyncSocket,
    image: bool,
    progress: impl Fn(Phase),
) -> Result<Built, Option<BuildError>> {
    let most = Most { bytes: MAX_REPORT_BYTES, descriptors: MAX_FILES };
    for _ in 0..MAX_REPORTS {
        let message = socket.recv_parcel(most).await.map_err(ended)?;
        let report = serde_json::from_slice(&message.bytes).map_err(|error| Some(failed(error)))?;
        match report {
            Report::Phase(phase) => progress(phase),
            Report::Refused(message) => return Err(Some(BuildError::Refused(message))),
            Report::Done { phases, log } => {
                return built(message.descriptors, image, phases, log).map_err(Some);
            }
        }
    }
    Err(Some(failed("the builder said more than a builder has to say")))
}

/// Checks what a builder hands over before anything reads it: the guest's code may be in command
/// of the builder.
fn built(
    files: Vec<OwnedFd>,
    image: bool,
    phases: Vec<(Phase, Duration)>,
    log: Vec<String>,
) -> Result<Built, BuildError> {
    let kinds = [BlobKind::Plan, BlobKind::Artefact, BlobKind::Image];
    let expected = if image { &kinds[..] } else { &kinds[..2] };
    if files.len() != expected.len() {
        let found = files.len();
        return Err(failed(format!("expected plan, artefact and image; found {found} files")));
    }
    for (file, kind) in files.iter().zip(expected) {
        memory::check_sealed(file, kind.max_bytes())
            .map_err(|error| failed(format!("the builder's {kind}: {error}")))?;
    }
    let mut files = files.into_iter().map(File::from);
    match (files.next(), files.next(), files.next()) {
        (Some(plan), Some(artefact), image) => Ok(Built { plan, artefact, image, phases, log }),
        _ => Err(failed("expected plan and artefact; found fewer files")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> OwnedFd {
        memory::sealed("test", b"bytes").unwrap().into()
    }

    fn refusal(files: Vec<OwnedFd>, image: bool) -> String {
        built(files, image, Vec::new(), Vec::new()).unwrap_err().to_string()
    }

    #[test]
    fn what_a_builder_hands_over_is_checked_before_it_is_read() {
        assert!(built(vec![sealed(), sealed()], false, Vec::new(), Vec::new()).is_ok());
        assert!(refusal(vec![sealed(), sealed()], true).contains("found 2"));
        assert!(refusal(vec![sealed(), sealed(), sealed()], false).contains("found 3"));
        // Its read never returns.
        let (stream, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let message = refusal(vec![stream.into(), sealed()], false);
        assert!(message.contains("plan") && message.contains("another kind"), "{message}");
        // It could change between the check of an image and its way to the store.
        let open = memfd::MemfdOptions::default().allow_sealing(true).create("test").unwrap();
        let message = refusal(vec![sealed(), sealed(), open.into_file().into()], true);
        assert!(message.contains("image") && message.contains("can still change"), "{message}");
    }
}
