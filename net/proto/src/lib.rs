//! The call protocol between a caller and a monitor, without sockets and without a clock.
//!
//! What it is: frames and their codec, the limits both ends keep, and two state machines,
//! [`ServerSession`] and [`ClientSession`]. Bytes go in by `handle_bytes`, bytes come out by
//! `poll_transmit`, what happened comes out by `poll_event`, and time is an argument.
//!
//! What it is not: a transport. It runs over one reliable, ordered, encrypted stream of bytes whose
//! end can carry a code and a reason ([`Close`]); `faaslet-net` gives it a QUIC stream.
//!
//! Where to start: [`wire`] draws a frame; [`server`] and [`client`] tell a session's life.
//!
//! Rules that both ends keep:
//!
//! 1. A call id is larger than every one before it on its connection.
//! 2. Each call gets exactly one reply, also when it was refused or cancelled.
//! 3. Nothing is allocated for what the other end merely announces.
//! 4. Whatever breaks the protocol ends the connection with a code and a sentence that says what
//!    was expected and what came.

mod assembly;
mod call;
pub mod client;
mod close;
mod deadlines;
mod head;
pub mod limits;
mod outgoing;
pub mod peer;
pub mod server;
pub mod ship;
pub mod state;
pub mod wire;

pub use call::{Call, InvalidName, Mode, Name, Outcome, Refusal, Reply, Timings};
pub use client::{ClientEvent, ClientSession, ClientSettings, NotSent, Request, StateAsk};
pub use close::{Close, CloseCode};
pub use limits::Limits;
pub use server::{CancelReason, ServerEvent, ServerSession, ServerSettings};
pub use state::{StateAnswer, StateFailure, StateOp, StateReply, StateRequest};

/// Oldest protocol version that this crate speaks.
pub const OLDEST_VERSION: u16 = 1;
/// Newest protocol version that this crate speaks.
pub const NEWEST_VERSION: u16 = 2;
/// First protocol version with requests for state.
pub const STATE_VERSION: u16 = 2;
