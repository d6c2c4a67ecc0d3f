//! Builders as the monitor sees them: one child process for each bake.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

use faaslet_sandbox::aio::{AsyncChild, AsyncSocket};
use faaslet_sandbox::cgroup::{self, Cgroups};
use faaslet_sandbox::{Spec, Strictness, spawn};

use crate::builder::process::{Order, ROLE, Report};
use crate::builder::{Phase, Recipe};

/// Longest bake, compile included.
const BAKE_LIMIT: Duration = Duration::from_secs(900);
/// Reports that a builder may send; each step is told once.
const MAX_REPORTS: usize = 16;

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
pub async fn build(
    name: &str,
    cgroups: &Cgroups,
    limits: &cgroup::Limits,
    module: &File,
    recipe: &Recipe,
    image: bool,
    progress: impl Fn(Phase),
) -> Result<Built, BuildError> {
    let group = cgroups.create(name, limits).ok();
    let spec = Spec {
        role: ROLE.into(),
        arguments: Vec::new(),
        log: None,
        cgroup: group.as_ref(),
        strictness: Strictness::Degrade,
    };
    let mut child = spawn(&spec).map_err(failed)?;
    let socket = child.take_socket().ok_or_else(|| failed("the builder has no socket"))?;
    let socket = AsyncSocket::new(socket).map_err(failed)?;
    let mut child = AsyncChild::new(child).map_err(failed)?;
    let order = Order { recipe: recipe.clone(), image };
    let bytes = serde_json::to_vec(&order).map_err(failed)?;
    socket.send(&bytes, &[module.as_fd()]).await.map_err(failed)?;
    let reports = tokio::time::timeout(BAKE_LIMIT, reports(&socket, image, progress));
    match reports.await.map_err(|_| BuildError::TooLong)? {
        Ok(built) => Ok(built),
        Err(Some(error)) => Err(error),
        Err(None) => {
            let kills = group.as_ref().map_or(0, cgroup::Cgroup::memory_kills);
            let exit = child.wait().await.map_err(failed)?;
            let memory = if kills > 0 { " for its memory" } else { "" };
            Err(BuildError::Died(format!("{exit:?}{memory}")))
        }
    }
}

/// Takes reports until the last; `Err(None)` when the builder ended before.
async fn reports(
    socket: &AsyncSocket,
    image: bool,
    progress: impl Fn(Phase),
) -> Result<Built, Option<BuildError>> {
    for _ in 0..MAX_REPORTS {
        let message = socket.recv().await.map_err(|_| None)?;
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

fn built(
    files: Vec<OwnedFd>,
    image: bool,
    phases: Vec<(Phase, Duration)>,
    log: Vec<String>,
) -> Result<Built, BuildError> {
    let found = files.len();
    let mut files = files.into_iter().map(File::from);
    match (files.next(), files.next(), files.next()) {
        (Some(plan), Some(artefact), last) if last.is_some() == image && found <= 3 => {
            Ok(Built { plan, artefact, image: last, phases, log })
        }
        _ => Err(failed(format!("expected plan, artefact and image; found {found} files"))),
    }
}
