//! From open descriptors to what an image holds of them.

use std::sync::Arc;

use cap_std::fs::Metadata;

use crate::Wasi;
use crate::config::Config;
use crate::console::Console;
use crate::host::{self, Entry};
use crate::memory::MAX_PATH_BYTES;
use crate::open_files::{Mode, NotSnapshottable, OpenFile, OpenFiles, Opened};
use crate::table::{Descriptor, Place};

impl<C: Console> Wasi<C> {
    /// What is open, for the image, at the end of a bake. The path of each file is tried again
    /// and must lead to the same file, so that a fork will find it.
    pub fn snapshot_files(&mut self) -> Result<OpenFiles, NotSnapshottable> {
        if self.table.is_none() && self.config.preopens.is_empty() {
            return Ok(self.config.open_files.clone().unwrap_or_default());
        }
        let config = Arc::clone(&self.config);
        let table = self.table();
        let numbers = table.numbers();
        let files = table.iter().filter_map(|(number, descriptor)| {
            let what = opened(&config, number, descriptor).transpose()?;
            Some(what.map(|what| OpenFile { number, what }))
        });
        Ok(OpenFiles { numbers, files: files.collect::<Result<_, _>>()? })
    }
}

/// What `descriptor` stands for by name; `None` if it was lost long ago.
fn opened(
    config: &Config,
    number: u32,
    descriptor: &Descriptor,
) -> Result<Option<Opened>, NotSnapshottable> {
    match descriptor {
        Descriptor::Stdio(stream) => Ok(Some(Opened::Stdio(*stream))),
        Descriptor::Folder { index, .. } => {
            let folder = config.preopens.get(*index as usize);
            Ok(folder.map(|folder| Opened::Folder(folder.guest_path.clone())))
        }
        Descriptor::Dir(open) => {
            let meta = open.dir.dir_metadata();
            beneath(config, number, &open.place, (open.mode, true, 0), meta).map(Some)
        }
        Descriptor::File(open) => {
            let meta = Metadata::from_file(&open.file);
            beneath(config, number, &open.place, (open.mode, false, open.offset), meta).map(Some)
        }
        Descriptor::Pending(index) => {
            let files = config.open_files.as_ref();
            Ok(files.and_then(|it| it.files.get(*index as usize)).map(|file| file.what.clone()))
        }
        Descriptor::Lost => Ok(None),
    }
}

fn beneath(
    config: &Config,
    number: u32,
    place: &Place,
    (mode, directory, offset): (Mode, bool, u64),
    meta: std::io::Result<Metadata>,
) -> Result<Opened, NotSnapshottable> {
    let granted = &config.preopens[place.folder as usize];
    let folder = granted.guest_path.clone();
    let Some(path) = place.path.clone() else {
        return Err(NotSnapshottable::PathTooLong { number, folder, max: MAX_PATH_BYTES });
    };
    let shown = format!("{folder}/{path}");
    let gone = |reason: String| NotSnapshottable::Gone { number, path: shown.clone(), reason };
    let open = meta.map_err(|error| gone(error.to_string()))?;
    let entry = host::again(&granted.dir, &path, mode).map_err(|it| gone(format!("{it:?}")))?;
    let again = match &entry {
        Entry::Dir(dir) => dir.dir_metadata(),
        Entry::File(file, _) => Metadata::from_file(file),
    };
    if host::inode(&again.map_err(|error| gone(error.to_string()))?) != host::inode(&open) {
        return Err(NotSnapshottable::Changed { number, path: shown });
    }
    Ok(Opened::Beneath { folder, path, mode, directory, offset })
}
