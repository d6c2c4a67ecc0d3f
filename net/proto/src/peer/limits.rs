//! Every bound of the peer protocol, by name.

use std::time::Duration;

/// Largest head of a request or response; a list of changed runs should fit.
pub const MAX_HEAD_BYTES: usize = 4 << 10;
/// Largest payload of a request or response.
pub const MAX_PAYLOAD_BYTES: usize = 16 << 20;
/// Largest piece of a payload in one frame; a small request waits behind one piece of a large one.
pub const MAX_FRAGMENT_BYTES: usize = 32 << 10;
/// Longest deadline that can be sent; a longer one is sent as this.
pub const MAX_DEADLINE: Duration = Duration::from_micros(u32::MAX as u64);
/// Responses that the other end has not read yet, together. The payload of one that would be over
/// it is dropped, and the other end is told so.
pub const MAX_UNREAD_BYTES: u64 = 64 << 20;
/// Bytes of small frames after which a large payload has its turn, if one waits.
pub(super) const SMALL_TURN_BYTES: usize = 128 << 10;

/// What one end takes from the other; said in the greeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PeerLimits {
    /// Requests that have no response yet.
    pub max_in_flight: u32,
    /// Heads and payloads of the requests that have no response yet, together.
    pub max_requests_bytes: u64,
    /// Payloads that have arrived in part, together.
    pub max_assembly_bytes: u64,
}

impl Default for PeerLimits {
    fn default() -> Self {
        Self { max_in_flight: 1024, max_requests_bytes: 64 << 20, max_assembly_bytes: 32 << 20 }
    }
}

impl PeerLimits {
    /// Largest payload of a request or response under these limits.
    #[must_use]
    pub fn max_payload_bytes(&self) -> u64 {
        (MAX_PAYLOAD_BYTES as u64).min(self.max_requests_bytes).min(self.max_assembly_bytes)
    }
}
