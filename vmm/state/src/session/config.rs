//! Times and bounds of a session.

use std::time::Duration;

use crate::message::Body;
use crate::owner::MAX_WATCH;

/// Most requests under way.
pub const MAX_REQUESTS: usize = 65_536;
/// Most hosts in a row that name another owner, before it is given up.
pub const MAX_HOPS: u32 = 16;

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub struct SessionConfig {
    /// An answer that comes later than this after its request counts as lost.
    pub margin: Duration,
    /// How long to wait for an answer before the request is sent again; doubled each time.
    pub first_pause: Duration,
    /// Up to this.
    pub longest_pause: Duration,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            margin: Duration::from_secs(2),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(4),
        }
    }
}

impl SessionConfig {
    /// The pause after so many tries.
    pub(super) fn pause(&self, tries: u32) -> Duration {
        self.first_pause.saturating_mul(1 << tries.min(16)).min(self.longest_pause)
    }

    /// How long an answer may take.
    pub(super) fn answer_within(&self, body: &Body, tries: u32) -> Duration {
        let wait = match body {
            Body::Lock { wait_us, .. } => Duration::from_micros(*wait_us),
            Body::Watch { wait_us, .. } => Duration::from_micros(*wait_us).min(MAX_WATCH),
            _ => Duration::ZERO,
        };
        self.pause(tries).saturating_add(wait)
    }
}
