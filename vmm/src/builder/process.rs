//! The process of a builder: enters the jail, bakes one module or one layer, and ends.

use std::fs::File;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use faaslet_sandbox::filter::Role;
use faaslet_sandbox::jail::{self, Policy};
use faaslet_sandbox::{Socket, Strictness, memory, parcel};
use faaslet_snapshot::image::Image;
use faaslet_wasi::Preopen;
use serde::{Deserialize, Serialize};

use super::bake::{Baked, Phase, Recipe, bake_beside};
use super::extend::{Base, extend};
use crate::cell::{Ticker, read_all};
use crate::control::FolderHead;
use crate::engine;

/// First argument of a builder's process.
pub const ROLE: &str = "__builder";

/// Most bytes of lines that the initialisation printed which are told; the rest is cut off.
const MAX_LOG_BYTES: usize = 1 << 20;
/// Longest report: the lines, escaped as JSON escapes at worst.
pub const MAX_REPORT_BYTES: usize = 8 * MAX_LOG_BYTES;
/// Longest reason of a refusal that is told.
const MAX_REASON_BYTES: usize = 64 << 10;

/// What to bake. Descriptors: the module, or what a base is to take in; what is said at
/// [`BaseHead`] where there is a base; then a folder for each that the recipe names where an image
/// is wanted.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// All that the image depends on beside the module.
    pub recipe: Recipe,
    /// Whether an image is wanted.
    pub image: bool,
    /// What it is baked from, if that is another image.
    pub base: Option<BaseHead>,
}

/// What an image is baked from. Descriptors: artefact, module as uploaded, a blob of plan and image
/// head, the image's memory.
#[derive(Debug, Serialize, Deserialize)]
pub struct BaseHead {
    /// Length of the plan in the blob; the rest is the image's head.
    pub plan_bytes: usize,
}

/// What a builder tells.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// A step begins.
    Phase(Phase),
    /// It is done. Descriptors: plan and artefact, unless those of a base serve; and the image if
    /// one was wanted.
    Done {
        /// How long each step took.
        phases: Vec<(Phase, Duration)>,
        /// What the function printed meanwhile.
        log: Vec<String>,
    },
    /// The module is refused, or its initialisation failed.
    Refused(String),
}

/// Runs a builder to its end.
#[must_use]
pub fn main(limits: jail::Limits) -> ExitCode {
    match run(limits) {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => {
            eprintln!("builder: {message}");
            ExitCode::FAILURE
        }
    }
}

fn run(limits: jail::Limits) -> Result<(), String> {
    let policy = Policy::of(Role::Builder, Strictness::inherited(), limits, &[]);
    let socket = Socket::inherited().ok_or("no socket to the monitor")?;
    jail::enter(&socket, &policy).map_err(|error| error.to_string())?;
    let message = socket.recv_parcel(parcel::ANY).map_err(|error| error.to_string())?;
    let order: Order = serde_json::from_slice(&message.bytes).map_err(|error| error.to_string())?;
    let mut descriptors = message.descriptors.into_iter();
    let mut next = || descriptors.next().map(File::from).ok_or("a descriptor is missing");
    let module = next()?;
    let base = match &order.base {
        Some(head) => Some(base(head, next()?, &next()?, &next()?, next()?)?),
        None => None,
    };
    let heads = if order.image { &order.recipe.folders[..] } else { &[] };
    if heads.len() != descriptors.len() {
        return Err(format!("expected {} folders; found {}", heads.len(), descriptors.len()));
    }
    let folder =
        |(head, folder): (&FolderHead, _)| Preopen::new(&*head.guest, folder, head.read_only);
    let folders = heads.iter().zip(descriptors).map(folder).collect();
    let module = read_all(&module).map_err(|error| error.to_string())?;
    let engine = engine::engine().map_err(|error| format!("{error:#}"))?;
    let ticker = Ticker::start(&engine).map_err(|error| error.to_string())?;
    ticker.begin();
    let progress = |phase| {
        // A monitor that has gone is noticed at the end.
        let _ = tell(&socket, &Report::Phase(phase), &[]);
    };
    let layered = base.is_some();
    let baked = match base {
        Some(base) => extend(&engine, base, module, &order.recipe, folders, progress),
        None => bake_beside(&engine, &module, &order.recipe, folders, order.image, progress),
    };
    match baked {
        Ok(baked) => done(&socket, baked, layered),
        Err(error) => {
            let mut reason = error.to_string();
            reason.truncate(reason.floor_char_boundary(MAX_REASON_BYTES));
            tell(&socket, &Report::Refused(reason), &[])
        }
    }
}

fn base(
    head: &BaseHead,
    artefact: File,
    original: &File,
    blob: &File,
    memory: File,
) -> Result<Base, String> {
    let blob = read_all(blob).map_err(|error| error.to_string())?;
    let (plan, image) = blob.split_at_checked(head.plan_bytes).ok_or("the plan is cut short")?;
    let image = Image::from_parts(memory.into(), image).map_err(|error| error.to_string())?;
    Ok(Base {
        plan: serde_json::from_slice(plan).map_err(|error| error.to_string())?,
        artefact,
        original: read_all(original).map_err(|error| error.to_string())?,
        image: Arc::new(image),
    })
}

fn done(socket: &Socket, baked: Baked, layered: bool) -> Result<(), String> {
    let mut files = Vec::new();
    if !layered {
        let plan = serde_json::to_vec(&baked.plan).map_err(|error| error.to_string())?;
        files.extend([sealed("plan", &plan)?, sealed("artefact", &baked.artefact)?]);
    }
    if let Some(image) = &baked.image {
        files.push(sealed("image", image)?);
    }
    let log = within(baked.log, MAX_LOG_BYTES);
    tell(socket, &Report::Done { phases: baked.phases, log }, &files)
}

/// The first lines, up to so many bytes, and a line that says how many are missing.
fn within(mut lines: Vec<String>, bytes: usize) -> Vec<String> {
    let mut left = bytes;
    let mut fits = |line: &String| {
        let fits = line.len() <= left;
        left = left.saturating_sub(line.len());
        fits
    };
    let kept = lines.iter().take_while(|line| fits(line)).count();
    let missing = lines.len() - kept;
    if missing > 0 {
        lines.truncate(kept);
        lines.push(format!("({missing} more lines: a bake tells {bytes} bytes of them)"));
    }
    lines
}

fn tell(socket: &Socket, report: &Report, files: &[File]) -> Result<(), String> {
    let bytes = serde_json::to_vec(report).map_err(|error| error.to_string())?;
    let descriptors: Vec<_> = files.iter().map(AsFd::as_fd).collect();
    socket.send_parcel(&bytes, &descriptors).map_err(|error| error.to_string())
}

/// A memory file that nobody changes any more.
fn sealed(name: &str, bytes: &[u8]) -> Result<File, String> {
    memory::sealed(name, bytes).map_err(|error| format!("no memory file for the {name}: {error}"))
}
