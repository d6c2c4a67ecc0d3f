//! Images of Faaslets at rest, and the slots that fork and reset them.
//!
//! What it is: the image file ([`image`]), its memory ([`memory`]), and the address ranges that
//! calls run in ([`slot`]), which go back to their image after each ([`reset`]). What it is not:
//! anything that knows WebAssembly instances; the engine puts one over a slot's [`guest`] memory.

pub mod board;
pub mod bytes;
pub mod dirty;
pub mod guest;
pub mod image;
pub mod layout;
pub mod lazy;
pub mod memory;
pub mod pagemap;
pub mod pager;
pub mod reset;
pub mod slot;
pub mod source;
mod sys;
pub mod verify;
pub mod window;
pub mod working_set;
