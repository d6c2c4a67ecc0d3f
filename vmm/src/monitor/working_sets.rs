//! Working sets on disk: a small file beside each image that was called before it was whole.
//!
//! What it is: read when an image begins to arrive, written when it has. What it is not: needed; a
//! file that is lost or damaged is made anew.

use std::fs;
use std::io;
use std::path::PathBuf;

use faaslet_snapshot::image::{Head, ImageId};
use faaslet_snapshot::working_set::WorkingSet;

use super::Monitor;

/// Folder of the files, in the monitor's.
const FOLDER: &str = "working-sets";
/// Most files; the oldest goes when there is another.
const MAX_FILES: usize = 4096;
/// Longest file: 65,536 chunks of 8 bytes, and what is around them.
const MAX_FILE_BYTES: u64 = 1 << 20;

impl Monitor {
    /// What is known of an image.
    pub(super) fn working_set(&self, head: &Head) -> WorkingSet {
        let unknown = WorkingSet::new(head.id());
        let Some(bytes) = self.working_set_file(head.id()) else { return unknown };
        WorkingSet::decode(&bytes, head).unwrap_or_else(|error| {
            tracing::warn!(image = %head.id(), %error, "a working set is not used");
            unknown
        })
    }

    /// The bytes of its file, as they are.
    pub fn working_set_file(&self, image: ImageId) -> Option<Vec<u8>> {
        let path = self.working_set_path(image);
        let short = fs::metadata(&path).is_ok_and(|file| file.len() <= MAX_FILE_BYTES);
        fs::read(path).ok().filter(|_| short)
    }

    /// Keeps what a run has met.
    pub(super) fn keep_working_set(&self, head: &Head, run: &[(u32, u16)]) {
        let mut set = self.working_set(head);
        if set.merge(run)
            && let Err(error) = self.write_working_set(&set, head.id())
        {
            tracing::warn!(image = %head.id(), %error, "a working set cannot be kept");
        }
    }

    /// Takes one that came with its image from elsewhere, if none is known here.
    ///
    /// # Errors
    /// When it is no working set of the image, or cannot be written.
    pub fn put_working_set(&self, head: &Head, bytes: &[u8]) -> io::Result<()> {
        let set = WorkingSet::decode(bytes, head).map_err(io::Error::other)?;
        if self.working_set(head).runs() > 0 {
            return Ok(());
        }
        self.write_working_set(&set, head.id())
    }

    fn write_working_set(&self, set: &WorkingSet, image: ImageId) -> io::Result<()> {
        let path = self.working_set_path(image);
        let folder = self.config.dir.join(FOLDER);
        fs::create_dir_all(&folder)?;
        // One writer for an image at a time, and a torn file is no working set.
        let draft = path.with_extension("new");
        fs::write(&draft, set.encode())?;
        fs::rename(draft, path)?;
        drop_oldest(&folder)
    }

    fn working_set_path(&self, image: ImageId) -> PathBuf {
        self.config.dir.join(FOLDER).join(image.to_string())
    }
}

fn drop_oldest(folder: &std::path::Path) -> io::Result<()> {
    let mut files: Vec<_> = fs::read_dir(folder)?
        .flatten()
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
        .collect();
    if files.len() > MAX_FILES {
        files.sort();
        fs::remove_file(&files[0].1)?;
    }
    Ok(())
}
