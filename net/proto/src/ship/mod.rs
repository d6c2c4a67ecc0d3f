//! What hosts ask each other so that a function runs where it was not deployed: its record, and the
//! bytes of its files.
//!
//! What it is: requests and replies as heads for [`crate::peer`], written by rkyv, checked by
//! bytecheck, within bounds that are checked before a request is answered. What it is not: it knows
//! files by a number for their kind and a hash, and of a record only what choosing needs; what a
//! function is made of is the layer above's.
//!
//! | request | reply | payload of the reply |
//! | --- | --- | --- |
//! | `Find` | `Found` or `Nothing` | a [`Record`] |
//! | `Outline` | `Bytes` | 32 bytes for each piece of a file, by which each can be checked alone |
//! | `Read` | `Bytes` | the ranges, one after the other |
//! | `Warm` | `Warmth` | |
//! | `List` | `Listed` | rows, in the layer above's own form |
//!
//! Nothing of it changes what the asked host has, but for `Warm`, which may be asked again: so a
//! request whose answer was lost is simply sent anew.
//!
//! Rules that an asked host keeps: it answers in the name of a tenant that it has, about functions
//! and files of that tenant alone; and a `Read` that somebody stands still for goes ahead of the
//! others.

mod message;

pub use message::{
    ArchivedAsk, ArchivedBody, ArchivedUrgency, Ask, Body, Counts, Failure, FileId, Listing, Range,
    Record, RecordFile, Reply, Span, Stage, Urgency, Warmth,
};

use crate::peer::Service;

/// The service of a host that answers these requests.
pub const SERVICE: Service = Service(1);
/// Version of the messages: an ask of another one is refused by name.
pub const VERSION: u16 = 1;

/// Most ranges in one `Read`; as many chunks fit into a head.
pub const MAX_RANGES: usize = 256;
/// Most bytes of all ranges of one `Read`.
pub const MAX_READ_BYTES: u64 = 4 << 20;
/// Longest record.
pub const MAX_RECORD_BYTES: usize = 1 << 20;
/// Most files in a record.
pub const MAX_FILES: usize = 8;
/// Longest name of a tenant, function or host.
pub const MAX_NAME_BYTES: usize = 128;
/// Most reset slots that one `Warm` asks for.
pub const MAX_WARM_SLOTS: u32 = 16_384;
/// Longest sentence in a reply.
pub const MAX_SENTENCE_BYTES: usize = 1024;
