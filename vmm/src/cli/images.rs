//! Images and what is kept on disk: `images`, `image`, `gc`.

mod working_set;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use clap::Subcommand;
use faaslet_snapshot::image::layout::MAX_HEAD_BYTES;
use faaslet_snapshot::image::{Head, Summary, verify};
use serde_json::{Value, json};
use ureq::http::Method;

use super::Context;
use super::client::{At, Client, Right, at_host};
use super::exit::{Code, Failure};
use super::output::{bytes, short};
use crate::api::{GcInfo, ImageInfo};
use crate::cell::image::kept;

/// Longest image that is fetched to be looked at.
const MAX_IMAGE_BYTES: u64 = 8 << 30;
/// Images that one is compared with.
const MAX_OTHERS: usize = 256;
/// Longest name of an image in hex.
const ID_DIGITS: usize = 64;

/// Images: list, look at, copy.
#[derive(Debug, Subcommand)]
pub enum Image {
    /// List the images of your functions
    Ls(At<List>),
    /// Show what is in an image: sections, sizes, pages
    Inspect(At<Source>),
    /// Check every byte of an image
    Verify(At<Source>),
    /// Show which parts of an image its calls touch first
    #[command(name = "workingset")]
    WorkingSet(At<working_set::Asked>),
    /// Write an image to a file
    Export(At<Export>),
    /// Take an image from a file, for deployments of the same recipe (operator)
    Import(At<Import>),
    /// Remove an image that no version needs (operator)
    Rm(At<Removal>),
}

/// An image in a file, or on the monitor.
#[derive(Debug, clap::Args)]
pub struct Source {
    /// A file, or the beginning of an image's id
    image: String,
}

/// Write an image to a file.
#[derive(Debug, clap::Args)]
pub struct Export {
    /// The beginning of the image's id
    id: String,
    /// The file, which must not be there yet
    file: PathBuf,
}

/// Take an image from a file.
#[derive(Debug, clap::Args)]
pub struct Import {
    /// The file
    file: PathBuf,
}

/// Remove an image.
#[derive(Debug, clap::Args)]
pub struct Removal {
    /// The beginning of the image's id
    id: String,
}

/// Remove what no version needs: old versions beyond those kept (`up --keep-versions`), files that
/// nobody has named for an hour, and, over `up --disk-budget`, more old versions, the oldest first.
/// The monitor does this by itself after each deployment and every ten minutes.
#[derive(Debug, clap::Args)]
pub struct Gc {
    /// Only say what would go
    #[arg(long)]
    dry_run: bool,
}

/// List the images of your functions.
#[derive(Debug, clap::Args)]
pub struct List {
    /// Of another host of the list
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
}

impl List {
    pub fn run(self, context: &Context, right: Right) -> Result<(), Failure> {
        list(context, right, self.host.as_deref())
    }
}

fn list(context: &Context, right: Right, host: Option<&str>) -> Result<(), Failure> {
    let images: Vec<ImageInfo> = context.target.http(right)?.get(&at_host("/v1/images", host))?;
    context.output.list(&images, &["IMAGE", "FUNCTION", "VERSION", "SIZE", "MEMORY"], || {
        images
            .iter()
            .map(|image| {
                vec![
                    short(&image.id),
                    if image.function.is_empty() { "-".to_owned() } else { image.function.clone() },
                    if image.version == 0 { "-".to_owned() } else { image.version.to_string() },
                    bytes(image.bytes),
                    bytes(image.memory_bytes),
                ]
            })
            .collect()
    })
}

impl Image {
    pub fn run(self, mut context: Context) -> Result<(), Failure> {
        let target = &mut context.target;
        match self {
            Self::Ls(at) => at.into_command(target).run(&context, Right::Tenant),
            Self::Inspect(at) => at.into_command(target).inspect(&context),
            Self::Verify(at) => at.into_command(target).verify(&context),
            Self::WorkingSet(at) => at.into_command(target).run(&context),
            Self::Export(at) => at.into_command(target).run(&context),
            Self::Import(at) => at.into_command(target).run(&context),
            Self::Rm(at) => at.into_command(target).run(&context),
        }
    }
}

impl Source {
    /// The image in a file of this machine, fetched if it is on the monitor.
    fn open(&self, context: &Context) -> Result<Fetched, Failure> {
        let path = PathBuf::from(&self.image);
        if path.is_file() {
            let file = File::open(&path).map_err(|error| {
                Failure::local(format!("cannot read {}", path.display()), error)
            })?;
            return Ok(Fetched { file, path, temporary: false });
        }
        let id = full_id(context, &self.image, Right::Tenant)?;
        let path = std::env::temp_dir().join(format!("faaslet-{}-{id}.image", std::process::id()));
        fetch(context, &id, &path)?;
        let file = File::open(&path)
            .map_err(|error| Failure::local(format!("cannot read {}", path.display()), error))?;
        Ok(Fetched { file, path, temporary: true })
    }

    fn inspect(&self, context: &Context) -> Result<(), Failure> {
        let image = self.open(context)?;
        let head = Head::read(&image.file).map_err(|error| damaged(&image.path, &error))?;
        let others = other_heads(context);
        let summary = head.inspect(&others.iter().collect::<Vec<_>>());
        let value = described(&summary, &head);
        context.output.show(&value, || text(&value))
    }

    fn verify(&self, context: &Context) -> Result<(), Failure> {
        let image = self.open(context)?;
        let head = verify(&image.file).map_err(|error| damaged(&image.path, &error))?;
        let value = json!({ "id": head.id().to_string(), "whole": true });
        context.output.show(&value, || format!("image {} is whole", head.id()))
    }
}

/// An image's file; one that was fetched goes when this is dropped.
struct Fetched {
    file: File,
    path: PathBuf,
    temporary: bool,
}

impl Drop for Fetched {
    fn drop(&mut self) {
        if self.temporary {
            // It is in the folder for such files, which is cleaned anyway.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// Heads of the images on the monitor, which pages may be shared with; none without a monitor.
fn other_heads(context: &Context) -> Vec<Head> {
    let Ok(client) = context.target.http(Right::Tenant) else { return Vec::new() };
    let images: Vec<ImageInfo> = client.get("/v1/images").unwrap_or_default();
    let ids: BTreeSet<String> = images.into_iter().map(|image| image.id).collect();
    let head = |id: &String| head_of(&client, id).ok();
    ids.iter().take(MAX_OTHERS).filter_map(head).collect()
}

/// The head of an image on the monitor.
fn head_of(client: &Client, id: &str) -> Result<Head, Failure> {
    let path = format!("/v1/images/{id}?head=true");
    let bytes = download(client, &path, MAX_HEAD_BYTES as u64)?;
    Head::from_bytes(bytes).map_err(|error| damaged(Path::new(id), &error))
}

/// What the monitor answers, at most so many bytes of it.
fn download(client: &Client, path: &str, most: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    let stream = client.stream(Method::GET, path, None::<&()>)?;
    let read = stream.take(most).read_to_end(&mut bytes);
    read.map_err(|error| Failure::local(format!("cannot read {path}"), error))?;
    Ok(bytes)
}

fn damaged(path: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(Code::Function, format!("{}: {error}", path.display()))
}

fn described(summary: &Summary, head: &Head) -> Value {
    let sections: Vec<Value> = summary
        .sections
        .iter()
        .map(|section| {
            json!({
                "section": format!("{:?}", section.section).to_lowercase(),
                "offset": section.offset,
                "bytes": section.bytes,
                "entries": section.entries,
            })
        })
        .collect();
    let (identity, kept) = (head.identity(), kept(head));
    json!({
        "id": summary.id.to_string(),
        "recipe": identity.recipe.to_string(),
        "module": identity.module.to_string(),
        "abi_version": identity.abi_version,
        "format_version": summary.format_version,
        "file_bytes": summary.file_bytes,
        "head_bytes": summary.head_bytes,
        "memory_bytes": summary.memory_bytes,
        "memory_max_bytes": summary.memory_max_bytes,
        "zero_pages": summary.zero_pages,
        "stored_pages": summary.stored_pages,
        "shared_pages": summary.shared_pages,
        "instance_kept": kept.as_ref().map(Result::is_ok),
        "instance_kept_why_not": kept.and_then(Result::err),
        "sections": sections,
    })
}

/// The same for people: a line for each value, then the sections.
fn text(value: &Value) -> String {
    let mut lines = Vec::new();
    for (name, value) in value.as_object().into_iter().flatten() {
        let shown = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) if name.ends_with("_bytes") => {
                format!("{} ({number})", bytes(number.as_u64().unwrap_or_default()))
            }
            Value::Null | Value::Array(_) => continue,
            other => other.to_string(),
        };
        lines.push(format!("{:22} {shown}", name.replace('_', " ")));
    }
    for section in value["sections"].as_array().into_iter().flatten() {
        lines.push(format!(
            "section {:14} {} entries, {} bytes at {}",
            section["section"].as_str().unwrap_or_default(),
            section["entries"],
            section["bytes"],
            section["offset"]
        ));
    }
    lines.join("\n")
}

/// The one image whose id begins like this.
fn full_id(context: &Context, beginning: &str, right: Right) -> Result<String, Failure> {
    let hex = beginning.len() <= ID_DIGITS && beginning.bytes().all(|b| b.is_ascii_hexdigit());
    if !hex || beginning.is_empty() {
        let what = format!(
            "expected a file or the beginning of an image's id; found {beginning:?}; see `faaslet images`"
        );
        return Err(Failure::new(Code::Refused, what));
    }
    let images: Vec<ImageInfo> = context.target.http(right)?.get("/v1/images")?;
    let mut ids: Vec<String> =
        images.into_iter().map(|image| image.id).filter(|id| id.starts_with(beginning)).collect();
    ids.sort();
    ids.dedup();
    match ids.as_slice() {
        [id] => Ok(id.clone()),
        [] => Err(Failure::new(
            Code::Refused,
            format!("no image begins with {beginning}; see `faaslet images`"),
        )),
        _ => Err(Failure::new(
            Code::Refused,
            format!("{} images begin with {beginning}; give more of the id", ids.len()),
        )),
    }
}

fn fetch(context: &Context, id: &str, path: &Path) -> Result<u64, Failure> {
    let failed = |error| Failure::local(format!("cannot write {}", path.display()), error);
    let client = context.target.http(Right::Tenant)?;
    let stream = client.stream(Method::GET, &format!("/v1/images/{id}"), None::<&()>)?;
    let mut file = File::create_new(path).map_err(failed)?;
    let written = std::io::copy(&mut stream.take(MAX_IMAGE_BYTES), &mut file).and_then(|length| {
        file.flush()?;
        file.sync_all()?;
        Ok(length)
    });
    written.map_err(|error| {
        // Half an image is none.
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}

impl Export {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let id = full_id(context, &self.id, Right::Tenant)?;
        let length = fetch(context, &id, &self.file)?;
        let value = json!({ "id": id, "bytes": length });
        context.output.show(&value, || format!("{} in {}", bytes(length), self.file.display()))
    }
}

impl Import {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let failed = |error| Failure::local(format!("cannot read {}", self.file.display()), error);
        let mut file = File::open(&self.file).map_err(failed)?;
        let client = context.target.http(Right::Operator)?;
        let info: ImageInfo = client.upload("/v1/images", &mut file)?;
        context.output.show(&info, || format!("image {} is here", info.id))
    }
}

impl Removal {
    fn run(self, context: &Context) -> Result<(), Failure> {
        let id = full_id(context, &self.id, Right::Operator)?;
        let client = context.target.http(Right::Operator)?;
        let path = format!("/v1/images/{id}");
        let answer: Value = client.json(Method::DELETE, &path, None::<&()>)?;
        context.output.show(&answer, || format!("image {} is removed", short(&id)))
    }
}

impl Gc {
    pub fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Operator)?;
        let path = format!("/v1/gc?dry_run={}", self.dry_run);
        let info: GcInfo = client.json(Method::POST, &path, None::<&()>)?;
        context.output.show(&info, || {
            let did = if info.dry_run { "would remove" } else { "removed" };
            format!(
                "{did} {} old versions and {} files, {}",
                info.versions,
                info.files,
                bytes(info.bytes)
            )
        })
    }
}
