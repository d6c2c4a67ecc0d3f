//! The process of a builder: enters the jail, bakes one module, and ends.

use std::fs::File;
use std::io::Write;
use std::os::fd::AsFd;
use std::process::ExitCode;
use std::time::Duration;

use faaslet_sandbox::filter::Role;
use faaslet_sandbox::jail::{self, Policy};
use faaslet_sandbox::{Socket, Strictness};
use memfd::{FileSeal, Memfd, MemfdOptions};
use serde::{Deserialize, Serialize};

use super::bake::{Baked, Phase, Recipe, bake};
use crate::cell::{Ticker, read_all};
use crate::engine;

/// First argument of a builder's process.
pub const ROLE: &str = "__builder";

/// What to bake. Descriptor: the module.
#[derive(Debug, Serialize, Deserialize)]
pub struct Order {
    /// All that the image depends on beside the module.
    pub recipe: Recipe,
    /// Whether an image is wanted.
    pub image: bool,
}

/// What a builder tells.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// A step begins.
    Phase(Phase),
    /// It is done. Descriptors: plan, artefact, and the image if one was wanted.
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
    let policy = Policy {
        role: Role::Builder,
        strictness: Strictness::Degrade,
        limits,
        run_as: None,
        keep: &[],
    };
    let socket = Socket::inherited().ok_or("no socket to the monitor")?;
    jail::enter(&socket, &policy).map_err(|error| error.to_string())?;
    let message = socket.recv().map_err(|error| error.to_string())?;
    let order: Order = serde_json::from_slice(&message.bytes).map_err(|error| error.to_string())?;
    let module = message.descriptors.into_iter().next().ok_or("no module")?;
    let module = read_all(&File::from(module)).map_err(|error| error.to_string())?;
    let engine = engine::engine().map_err(|error| format!("{error:#}"))?;
    let ticker = Ticker::start(&engine).map_err(|error| error.to_string())?;
    ticker.begin();
    let progress = |phase| {
        // A monitor that has gone is noticed at the end.
        let _ = tell(&socket, &Report::Phase(phase), &[]);
    };
    match bake(&engine, &module, &order.recipe, order.image, progress) {
        Ok(baked) => done(&socket, baked),
        Err(error) => tell(&socket, &Report::Refused(error.to_string()), &[]),
    }
}

fn done(socket: &Socket, baked: Baked) -> Result<(), String> {
    let plan = serde_json::to_vec(&baked.plan).map_err(|error| error.to_string())?;
    let mut files = vec![sealed("plan", &plan)?, sealed("artefact", &baked.artefact)?];
    if let Some(image) = &baked.image {
        files.push(sealed("image", image)?);
    }
    tell(socket, &Report::Done { phases: baked.phases, log: baked.log }, &files)
}

fn tell(socket: &Socket, report: &Report, files: &[Memfd]) -> Result<(), String> {
    let bytes = serde_json::to_vec(report).map_err(|error| error.to_string())?;
    let descriptors: Vec<_> = files.iter().map(|file| file.as_file().as_fd()).collect();
    socket.send(&bytes, &descriptors).map_err(|error| error.to_string())
}

/// A memory file that nobody changes any more.
fn sealed(name: &str, bytes: &[u8]) -> Result<Memfd, String> {
    let failed = |error: &dyn std::fmt::Display| format!("no memory file for the {name}: {error}");
    let options = MemfdOptions::default().allow_sealing(true).close_on_exec(true);
    let file = options.create(name).map_err(|error| failed(&error))?;
    file.as_file().write_all(bytes).map_err(|error| failed(&error))?;
    let seals = [FileSeal::SealShrink, FileSeal::SealGrow, FileSeal::SealWrite, FileSeal::SealSeal];
    file.add_seals(&seals).map_err(|error| failed(&error))?;
    Ok(file)
}
