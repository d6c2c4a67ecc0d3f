//! Times and bounds of a session.

use std::time::Duration;

use super::TransmitKind;
use crate::chunk::CHUNK_BYTES;
use crate::message::{Body, MAX_PAYLOAD_BYTES};
use crate::owner::MAX_WATCH;

/// Most requests under way.
pub const MAX_REQUESTS: usize = 65_536;
/// And of what gives something back, so many more.
pub const MAX_GIVEN_BACK: usize = 16_384;
/// Bytes of payloads come through at least so fast, or are not worth waiting for. Several large
/// ones share a connection, so this is much less than what a network gives one of them.
pub const LEAST_BYTES_PER_S: u64 = 512 * 1024;
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
    /// Owners stay what they are, as where the list of hosts is static: then large payloads have
    /// time by their size. Where an owner can be deposed, an answer is of use for the margin, no
    /// matter what it carries.
    pub owners_last: bool,
}

impl Default for SessionConfig {
    fn default() -> Self {
        Self {
            margin: Duration::from_secs(2),
            first_pause: Duration::from_millis(500),
            longest_pause: Duration::from_secs(4),
            owners_last: false,
        }
    }
}

impl SessionConfig {
    /// The pause after so many tries.
    pub(super) fn pause(&self, tries: u32) -> Duration {
        self.first_pause.saturating_mul(1 << tries.min(16)).min(self.longest_pause)
    }

    /// How long to wait for an answer before the request is sent again.
    pub(super) fn resend_after(&self, body: &Body, sent: usize, tries: u32) -> Duration {
        self.pause(tries).saturating_add(wait(body)).saturating_add(self.transfer(body, sent))
    }

    /// After how long an answer counts as lost.
    pub(super) fn late_after(&self, body: &Body, sent: usize) -> Duration {
        self.margin.saturating_add(self.transfer(body, sent))
    }

    /// How long an attempt is worth waiting for.
    pub(super) fn answer_within(&self, body: &Body, sent: usize) -> Duration {
        self.late_after(body, sent).saturating_add(wait(body))
    }

    /// What room a request needs on its way.
    pub(super) fn kind(body: &Body) -> TransmitKind {
        if body.gives_back() {
            TransmitKind::GivesBack
        } else if wait(body).is_zero() {
            TransmitKind::Asks
        } else {
            TransmitKind::Waits
        }
    }

    /// How long the payloads of a request and its answer may take on their way.
    fn transfer(&self, body: &Body, sent: usize) -> Duration {
        if !self.owners_last {
            return Duration::ZERO;
        }
        let answered = match body {
            Body::Pull { ranges, .. } => {
                let chunks: u64 = ranges.iter().map(|range| u64::from(range.count)).sum();
                chunks.saturating_mul(CHUNK_BYTES).min(MAX_PAYLOAD_BYTES as u64)
            }
            _ => 0,
        };
        Duration::from_millis((sent as u64 + answered) * 1000 / LEAST_BYTES_PER_S)
    }
}

/// How long the owner may wait before it answers.
fn wait(body: &Body) -> Duration {
    match body {
        Body::Lock { wait_us, .. } => Duration::from_micros(*wait_us),
        Body::Watch { wait_us, .. } => Duration::from_micros(*wait_us).min(MAX_WATCH),
        _ => Duration::ZERO,
    }
}
