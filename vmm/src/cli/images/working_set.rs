//! `image workingset`: which parts of an image its calls touch first, as numbers and as a picture.

use std::path::PathBuf;

use faaslet_snapshot::working_set::WorkingSet;
use serde_json::json;

use super::{damaged, download, full_id, head_of};
use crate::api::FunctionInfo;
use crate::cli::Context;
use crate::cli::client::Right;
use crate::cli::exit::Failure;
use crate::cli::output::bytes;

/// Longest file of a working set.
const MAX_BYTES: u64 = 1 << 20;
const CHUNK_BYTES: u64 = 64 << 10;

/// Show which parts of an image its calls touch first.
#[derive(Debug, clap::Args)]
pub struct Asked {
    /// A function, or the beginning of an image's id
    name: String,
    /// Draw a map of the memory to this file: stored pages, and those that were touched
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

impl Asked {
    pub(super) fn run(self, context: &Context) -> Result<(), Failure> {
        let client = context.target.http(Right::Tenant)?;
        let functions: Vec<FunctionInfo> = client.get("/v1/functions")?;
        let named = functions.into_iter().find(|function| function.name == self.name);
        let id = match named.and_then(|function| function.image) {
            Some(id) => id,
            None => full_id(context, &self.name, Right::Tenant)?,
        };
        let head = head_of(&client, &id)?;
        let set = download(&client, &format!("/v1/images/{id}?workingset=true"), MAX_BYTES)?;
        let set = WorkingSet::decode(&set, &head).map_err(|error| damaged(id.as_ref(), &error))?;
        if let Some(path) = &self.svg {
            std::fs::write(path, set.svg(&head)).map_err(|error| {
                Failure::local(format!("cannot write {}", path.display()), error)
            })?;
        }
        let touched: Vec<_> = set.touched().iter().map(|touched| {
            json!({ "chunk": touched.chunk, "pages": touched.pages, "runs": touched.runs })
        }).collect();
        let value = json!({
            "image": id,
            "runs": set.runs(),
            "bytes": touched.len() as u64 * CHUNK_BYTES,
            "memory_bytes": head.memory_bytes(),
            "touched": touched,
        });
        context.output.show(&value, || {
            format!(
                "{} of {} in {} chunks, met in {} runs",
                bytes(touched.len() as u64 * CHUNK_BYTES),
                bytes(head.memory_bytes()),
                touched.len(),
                set.runs(),
            )
        })
    }
}
