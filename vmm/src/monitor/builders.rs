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

use super::load::Parts;
use crate::builder::process::{BaseHead, MAX_REPORT_BYTES, Order, ROLE, Report};
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
    /// Whether the builder runs without a fence that this machine cannot put up.
    pub strictness: Strictness,
    /// As its author built it; or what a base is to take in.
    pub module: &'a File,
    /// The image that it is baked from, and its code, if there is one.
    pub base: Option<&'a Parts>,
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
    /// The plan, as JSON, and compiled code, unless those of a base serve.
    pub code: Option<(File, File)>,
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
    let mut child = start(bake.group.cloned(), bake.strictness).await?;
    let socket = child.take_socket().ok_or_else(|| failed("the builder has no socket"))?;
    let socket = AsyncSocket::new(socket).map_err(failed)?;
    let mut child = AsyncChild::new(child).map_err(failed)?;
    let whole = tokio::time::timeout(BAKE_LIMIT, async {
        order(bake, &socket).await?;
        let expected = Expected { code: bake.base.is_none(), image: bake.image };
        reports(&socket, expected, progress).await
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
async fn start(group: Option<Arc<Cgroup>>, strictness: Strictness) -> Result<Child, BuildError> {
    let started = tokio::task::spawn_blocking(move || -> Result<Child, SpawnError> {
        spawn(&Spec {
            role: ROLE.into(),
            arguments: vec![strictness.word().into()],
            log: None,
            cgroup: group.as_deref(),
            strictness,
        })
    });
    started.await.map_err(failed)?.map_err(failed)
}

async fn order(bake: &Bake<'_>, socket: &AsyncSocket) -> Result<(), Option<BuildError>> {
    let base = bake.base.map(|base| BaseHead { plan_bytes: base.plan_bytes });
    let order = Order { recipe: bake.recipe.clone(), image: bake.image, base };
    let bytes = serde_json::to_vec(&order).map_err(|error| Some(failed(error)))?;
    let mut descriptors: Vec<BorrowedFd<'_>> = vec![bake.module.as_fd()];
    descriptors.extend(bake.base.iter().flat_map(|base| base.code_and_image()));
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
    expected: Expected,
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
                return built(message.descriptors, expected, phases, log).map_err(Some);
            }
        }
    }
    Err(Some(failed("the builder said more than a builder has to say")))
}

/// What a builder hands over.
#[derive(Clone, Copy)]
struct Expected {
    /// Plan and artefact.
    code: bool,
    image: bool,
}

impl Expected {
    fn kinds(self) -> impl Iterator<Item = BlobKind> + Clone {
        let code = [BlobKind::Plan, BlobKind::Artefact].into_iter().filter(move |_| self.code);
        code.chain(self.image.then_some(BlobKind::Image))
    }
}

/// Checks what a builder hands over before anything reads it: the guest's code may be in command
/// of the builder.
fn built(
    files: Vec<OwnedFd>,
    expected: Expected,
    phases: Vec<(Phase, Duration)>,
    log: Vec<String>,
) -> Result<Built, BuildError> {
    let kinds = expected.kinds();
    if files.len() != kinds.clone().count() {
        let names: Vec<_> = kinds.map(|kind| kind.to_string()).collect();
        let (names, found) = (names.join(", "), files.len());
        return Err(failed(format!("expected {names}; found {found} files")));
    }
    for (file, kind) in files.iter().zip(kinds) {
        memory::check_sealed(file, kind.max_bytes())
            .map_err(|error| failed(format!("the builder's {kind}: {error}")))?;
    }
    let mut files = files.into_iter().map(File::from);
    let code = if expected.code { files.next().zip(files.next()) } else { None };
    Ok(Built { code, image: files.next(), phases, log })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sealed() -> OwnedFd {
        memory::sealed("test", b"bytes").unwrap().into()
    }

    fn refusal(files: Vec<OwnedFd>, image: bool) -> String {
        let expected = Expected { code: true, image };
        built(files, expected, Vec::new(), Vec::new()).unwrap_err().to_string()
    }

    #[test]
    fn what_a_builder_hands_over_is_checked_before_it_is_read() {
        let expected = |code, image| Expected { code, image };
        let taken = built(vec![sealed(), sealed()], expected(true, false), Vec::new(), Vec::new());
        assert!(taken.unwrap().code.is_some());
        let layer = built(vec![sealed()], expected(false, true), Vec::new(), Vec::new()).unwrap();
        assert!(layer.code.is_none() && layer.image.is_some());
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
