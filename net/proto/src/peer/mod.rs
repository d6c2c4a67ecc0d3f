//! The protocol between two monitors, without sockets and without a clock.
//!
//! What it is: requests and responses, each an opaque *head* and a *payload*, many in flight both
//! ways over one stream of bytes. One end opens the connection; from then on both are alike: either
//! asks, either answers. Bytes go in by [`PeerSession::handle_bytes`], come out by
//! [`PeerSession::poll_transmit`], and what happened comes out by [`PeerSession::poll_event`].
//!
//! What it is not: it knows nothing of what is asked, and nothing of certificates. Whoever drives a
//! session checks that the name in a hello is the name in the certificate.
//!
//! Where to start: `wire` draws a frame, `session` tells a session's life.
//!
//! Rules that both ends keep, beside those of the crate:
//!
//! 1. Each end says in the greeting what it takes: requests in flight, their bytes together, bytes
//!    of unfinished payloads. The sender counts, so that it refuses at once (`Busy`) where the
//!    receiver would have to; a receiver that is sent more ends the connection.
//! 2. Both counts agree: a request counts at its sender until its response has arrived, and at its
//!    receiver until its response has left. So nobody has to stop reading to keep memory bounded,
//!    and two ends can never wait for each other to read.
//! 3. Every request has a deadline. It travels as the time that is left.
//! 4. An error says whether the request may have been executed.

mod asked;
mod greeting;
mod host;
pub mod limits;
mod outgoing;
mod served;
mod session;
mod wire;

pub use asked::{Failure, NotAsked, PeerResponse};
pub use host::{HostId, InvalidHostId};
pub use limits::PeerLimits;
pub use served::{PeerRequest, Service};
pub use session::{PeerEvent, PeerSession, PeerSettings};
pub use wire::{Decoder, Frame, HEADER_BYTES, Kind};

/// Oldest version of the peer protocol that this crate speaks.
pub const OLDEST_VERSION: u16 = 1;
/// Newest version of the peer protocol that this crate speaks.
pub const NEWEST_VERSION: u16 = 1;
