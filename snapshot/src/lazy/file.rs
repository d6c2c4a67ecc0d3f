//! The file of an image on this host as a source.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use crate::image::layout::CHUNK_BYTES;
use crate::source::{Deliver, Request, Source, SourceError};

/// Reads chunks from an image's file, in the order in which they are asked for.
pub struct FileSource {
    file: File,
    name: String,
}

impl FileSource {
    /// A source that messages call `name`.
    pub fn new(file: File, name: impl Into<String>) -> Self {
        Self { file, name: name.into() }
    }
}

impl Source for FileSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn fetch(&self, request: &Request<'_>, deliver: &mut Deliver<'_>) -> Result<(), SourceError> {
        let mut buffer = vec![0; CHUNK_BYTES];
        for wanted in request.chunks {
            if Instant::now() >= request.deadline {
                return Err(SourceError::Late);
            }
            let bytes = buffer.get_mut(..wanted.bytes as usize);
            let bytes = bytes.ok_or(SourceError::NotHere)?;
            let read = self.file.read_exact_at(bytes, wanted.offset);
            read.map_err(|error| SourceError::Unreachable(error.to_string()))?;
            if deliver(wanted.chunk, bytes).is_break() {
                break;
            }
        }
        Ok(())
    }
}
