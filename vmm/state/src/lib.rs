//! Two-tier state without sockets, disk or clock.
//!
//! What it is: the words of the state protocol ([`message`]), what a value is ([`Spec`], [`Key`],
//! [`Version`], chunks), how a change is found and merged, the *owner* of a shard as a state
//! machine, and the *session* of a host with owners. Time is an argument, messages go in by
//! `handle_*` and come out by `poll_*`, so that thousands of histories run in virtual time.
//!
//! What it is not: the local tier (memory that functions map, `vmm/tier`), the monitor's
//! persistence and connections, or the host interface. See `README.md` for the semantics.

pub mod chunk;
pub mod delta;
pub mod host;
pub mod key;
pub mod message;
pub mod owner;
pub mod payload;
pub mod session;
pub mod spec;
pub mod version;
pub mod wire;

pub use chunk::{CHUNK_BYTES, Chunk, ChunkRange};
pub use host::{HostId, Route};
pub use key::{Key, KeyError};
pub use owner::{Owner, OwnerConfig};
pub use session::{Routes, Session, SessionConfig, SessionError};
pub use spec::{Durability, Element, Retention, Rule, Spec, SpecError};
pub use version::{Epoch, Version};
