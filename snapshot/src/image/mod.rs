//! An image: a Faaslet that has finished its initialisation, at rest.
//!
//! What it is: the file format (`snapshot/FORMAT.md`), its writer, and its reader, which checks
//! every byte and puts the memory into a sealed memory file that slots map. What it is not: the
//! bake that fills it, the slots that fork it, or the store that keeps it.
//!
//! Start at [`ImageContents`] and [`ImageWriter`] to write one, at [`Image`] to open one, at
//! [`Head`] to list one without its memory, at [`Layered`] for one that rests on another. The format's numbers are in [`layout`].

mod contents;
mod cursor;
mod decode;
mod digest;
mod encode;
mod error;
mod head;
mod inspect;
mod layer;
pub mod layout;
mod open;
mod source;
mod write;

pub use contents::{Global, GlobalValue, Identity, ImageContents, TableElement, TableImage};
pub use digest::{ChunkHash, ImageId, ModuleHash, ParseDigestError, RecipeId};
pub use error::{OpenError, WriteError};
pub use head::Head;
pub use inspect::{SectionSummary, Summary};
pub use layer::{
    LAYER_HEADER_BYTES, LAYER_MAGIC, LAYER_VERSION, LayerError, Layered, base_of, head_of,
    write_layer,
};
pub use open::{Image, verify};
pub use source::{Chunk, ChunkRead, ImageBytes, MemorySource};
pub use write::ImageWriter;
