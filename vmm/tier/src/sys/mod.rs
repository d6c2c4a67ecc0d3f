//! Everything in this crate that the compiler cannot check: values' memory, and the kernel's
//! account of which pages were written.
//!
//! Two rules, which every `SAFETY` comment below rests on:
//!
//! 1. A [`Memory`] is the only owner of its segments' addresses; they stay mapped, readable and
//!    writable, until it is dropped. The file is sealed at its length, so that every page of a
//!    segment exists.
//! 2. No reference is ever formed into a segment: functions may store there at any moment, through
//!    mappings of their own. Bytes are moved by atomic accesses, each as wide as its alignment and
//!    length allow, so that no aligned element of up to 8 bytes is torn; guests' stores are, to
//!    this program, those of another agent.
#![allow(unsafe_code)]

mod memory;
mod populate;
mod view;

pub(crate) use memory::Memory;
pub(crate) use populate::{Access, populate};
pub(crate) use view::View;

/// Bytes of a page of the host.
pub(crate) const PAGE_BYTES: u64 = 4096;
/// Bytes of a word that can be waited on.
pub(crate) const WORD_BYTES: u64 = 4;
