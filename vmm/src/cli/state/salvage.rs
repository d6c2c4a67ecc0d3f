//! `state check` and `state salvage`: what can be read of the file of state of a monitor that does
//! not run, and files of it that `state import` takes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use faaslet_state::CHUNK_BYTES;
use faaslet_state::message::Stat;
use serde_json::json;

use super::super::Context;
use super::super::exit::{Code, Failure};
use super::backup::Archive;
use crate::api::StateInfo;
use crate::monitor::state::{STATE_FILE, Salvage as Found, Salvaged, salvage};

/// Look whether the file of state is whole.
#[derive(Debug, clap::Args)]
pub struct Check {}

/// Write what is whole of a damaged file of state to files, one for each tenant.
#[derive(Debug, clap::Args)]
pub struct Salvage {
    /// The folder for the files
    #[arg(value_name = "FOLDER")]
    into: PathBuf,
    /// Move the damaged file away then, so that the monitor starts without it
    #[arg(long)]
    move_aside: bool,
}

/// Reads the file while no monitor has it.
fn read(context: &Context) -> Result<(PathBuf, Found, fs::File), Failure> {
    let folder = context.target.folder()?;
    let lock = faaslet_store::lock(&folder);
    let lock = lock.map_err(|error| Failure::local("the monitor must not run", error))?;
    let path = folder.join(STATE_FILE);
    let found = salvage(&path);
    let found = found.map_err(|error| Failure::new(Code::Function, error.to_string()))?;
    Ok((path, found, lock))
}

fn damages(found: &Found) -> Vec<String> {
    found.damages.iter().map(ToString::to_string).collect()
}

impl Check {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let Self {} = self;
        let (path, found, _lock) = read(context)?;
        let (whole, damages) = (found.values.len(), damages(&found));
        if damages.is_empty() {
            return context.output.show(&json!({ "whole": whole, "damages": [] }), || {
                format!("{} is whole: {whole} values", path.display())
            });
        }
        let what = format!(
            "{} is damaged: {whole} values are whole\n{}\n`faaslet state salvage FOLDER` writes \
             them to files",
            path.display(),
            damages.join("\n")
        );
        Err(Failure::new(Code::Function, what))
    }
}

impl Salvage {
    pub fn run(&self, context: &Context) -> Result<(), Failure> {
        let (path, found, _lock) = read(context)?;
        let damages = damages(&found);
        let files = self.write(found.values)?;
        let aside = self.move_aside.then(|| move_aside(&path)).transpose()?;
        let told = json!({ "files": files, "damages": damages, "moved_to": aside });
        context.output.show(&told, || {
            let mut lines = damages;
            for (tenant, file) in &files {
                let file = file.display();
                lines.push(format!("{tenant}: faaslet --tenant {tenant} state import {file}"));
            }
            if let Some(aside) = &aside {
                lines.push(format!("the damaged file is {} now", aside.display()));
            }
            lines.push("values may be older than what was acknowledged last".to_owned());
            lines.join("\n")
        })
    }

    fn write(&self, values: Vec<Salvaged>) -> Result<BTreeMap<String, PathBuf>, Failure> {
        let failed =
            |error| Failure::local(format!("cannot write to {}", self.into.display()), error);
        fs::create_dir_all(&self.into).map_err(failed)?;
        let mut tenants: BTreeMap<String, Vec<Salvaged>> = BTreeMap::new();
        for value in values {
            tenants.entry(value.id.tenant.to_string()).or_default().push(value);
        }
        let mut files = BTreeMap::new();
        for (tenant, values) in tenants {
            let path = self.into.join(format!("{tenant}.state"));
            Archive::make(&path, |archive| {
                values.iter().try_for_each(|value| put(archive, value))
            })?;
            files.insert(tenant, path);
        }
        Ok(files)
    }
}

fn put(archive: &mut Archive<'_>, value: &Salvaged) -> Result<(), Failure> {
    let head = value.head;
    let (spec, len, version, made) = (head.spec, head.len, head.version, head.made);
    let info = StateInfo::of(value.id.key.to_string(), &Stat { spec, len, version, made });
    let mut chunks = (0..).map(faaslet_state::Chunk);
    archive.value(&info, || {
        let mut part = vec![0; CHUNK_BYTES as usize];
        if let Some(bytes) = chunks.next().and_then(|chunk| value.chunks.get(&chunk)) {
            part[..bytes.len()].copy_from_slice(bytes);
        }
        Ok(part)
    })
}

/// The damaged file under another name.
fn move_aside(path: &Path) -> Result<PathBuf, Failure> {
    let names = (1..).map(|number| path.with_extension(format!("damaged-{number}")));
    let Some(free) = names.take(1 << 16).find(|name| !name.exists()) else {
        return Err(Failure::new(Code::Local, "there are too many damaged files; remove some"));
    };
    let moved = fs::rename(path, &free);
    moved.map_err(|error| Failure::local(format!("cannot move {}", path.display()), error))?;
    Ok(free)
}
