//! Everything in this crate that the compiler cannot check: mappings, guest memory, the page map, faults.
//!
//! Two rules, which every `SAFETY` comment below rests on:
//!
//! 1. A [`Reservation`] is the only owner of its address range, and every change to what is
//!    mapped there goes through its methods, which refuse a range that is not wholly inside it.
//! 2. No reference (`&`, `&mut`) is ever formed into a mapping: the guest, and through a shared
//!    mapping other processes, may write it at any moment. Bytes are copied in and out through
//!    raw pointers.
#![allow(unsafe_code)]

mod copy;
mod mapping;
mod pagemap;
mod probe;
mod userfault;
mod words;
mod written;

pub(crate) use mapping::{FileMapping, ImageView, Reservation, ViewPage};
pub use pagemap::{MAX_SCAN_REGIONS, PageRegion, ScanStop, scan_written};
pub(crate) use pagemap::{entry_is_private, scan_private};
pub(crate) use probe::is_readable;
pub(crate) use userfault::Userfault;
pub(crate) use words::{WORDS, Words};
pub use written::WriteWatch;

#[cfg(test)]
mod tests;
