//! Calls and requests for state to a monitor over QUIC: [`server`], [`client`], [`tls`].
//!
//! What it is: sockets, clock and threads around the state machines of `faaslet-proto`. One
//! connection carries one long-lived stream of frames, on which many calls are in flight.
//!
//! What it is not: it knows bytes, tenants by name and calls; it never knows what a function is.
//! Administration (deploying, logs) goes over HTTP and is not here.
//!
//! ```text
//!  Client ──mailbox──► driver ══QUIC══ driver ──Handler::call──► monitor
//!     ▲                 │                 ▲                        │
//!     └────oneshot──────┘                 └──mailbox──ReplySink────┘
//! ```
//!
//! A *driver* (`endpoint`) is one task that owns a UDP socket, the QUIC state of all its
//! connections and their sessions. Others send it posts through a mailbox; nobody else touches that
//! state. A call costs no task and no lock that is held while anything waits. QUIC itself is
//! `quinn-proto`, the state machine inside `quinn`, without the tasks around it: what it saves is
//! hops between tasks and, by a socket that is watched for reading alone, two wake-ups a call.

pub mod client;
mod endpoint;
mod mailbox;
pub mod peer;
pub mod server;
pub mod strangers;
pub mod tls;

pub use faaslet_proto::ship;
pub use faaslet_proto::{
    Call, CancelReason, Close, CloseCode, Limits, Mode, Name, Outcome, Refusal, Reply, Timings,
    limits, limits::Patience, state,
};
