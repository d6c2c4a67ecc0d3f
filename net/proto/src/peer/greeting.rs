//! What both ends say of themselves first. Its layout is the same in every version.
//!
//! ```text
//!  0                2                4               8                  16                 24
//!  ├────────────────┼────────────────┼───────────────┼──────────────────┼──────────────────┤
//!  │ oldest version │ newest version │ in flight u32 │ requests' b. u64 │ assembly b. u64  │
//!  └────────────────┴────────────────┴───────────────┴──────────────────┴──────────────────┘
//!  24               32
//!  ├────────────────┤
//!  │ hosts u64      │
//!  └────────────────┘
//! ```
//!
//! `hosts` is a digest of the list of hosts that an end was started with, 0 where it has none to
//! agree on: ends with different lists would not agree on who owns what, and do not talk.
//!
//! A hello says which versions its end speaks; a welcome says twice which one was chosen.

use super::limits::PeerLimits;
use super::wire::Frame;
use super::{HostId, NEWEST_VERSION, OLDEST_VERSION};
use crate::close::{Close, CloseCode, violation};
use bytes::{Buf, BufMut};

const GREETING_BYTES: usize = 32;

/// A hello or welcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Greeting {
    pub(super) oldest_version: u16,
    pub(super) newest_version: u16,
    pub(super) limits: PeerLimits,
    pub(super) hosts: u64,
    pub(super) host: HostId,
}

impl Greeting {
    /// What this crate says as `host`.
    pub(super) fn hello(host: HostId, limits: PeerLimits, hosts: u64) -> Self {
        let (oldest_version, newest_version) = (OLDEST_VERSION, NEWEST_VERSION);
        Self { oldest_version, newest_version, limits, hosts, host }
    }

    /// The head; the payload is the host's name.
    pub(super) fn head(&self) -> [u8; GREETING_BYTES] {
        let mut bytes = [0; GREETING_BYTES];
        let mut out = &mut bytes[..];
        out.put_u16_le(self.oldest_version);
        out.put_u16_le(self.newest_version);
        out.put_u32_le(self.limits.max_in_flight);
        out.put_u64_le(self.limits.max_requests_bytes);
        out.put_u64_le(self.limits.max_assembly_bytes);
        out.put_u64_le(self.hosts);
        bytes
    }

    /// Reads a greeting; an error unless both ends speak one version, and have one list of hosts.
    pub(super) fn read(frame: &Frame, ours: u64) -> Result<Self, Close> {
        let mut head = &frame.head[..];
        // A later version may say more, behind what this one knows.
        if head.len() < GREETING_BYTES {
            let found = head.len();
            return violation!("expected a greeting of {GREETING_BYTES} bytes, found {found}");
        }
        let (oldest_version, newest_version) = (head.get_u16_le(), head.get_u16_le());
        if newest_version < OLDEST_VERSION || oldest_version > NEWEST_VERSION {
            let reason = format!(
                "this host speaks peer protocol versions {OLDEST_VERSION} to {NEWEST_VERSION}, \
                 the other {oldest_version} to {newest_version}: upgrade the older one"
            );
            return Err(Close::new(CloseCode::Version, reason));
        }
        let limits = PeerLimits {
            max_in_flight: head.get_u32_le(),
            max_requests_bytes: head.get_u64_le(),
            max_assembly_bytes: head.get_u64_le(),
        };
        let hosts = head.get_u64_le();
        if ours != 0 && hosts != 0 && hosts != ours {
            let reason = "expected the same list of hosts on both; found another: give every host \
                          the same file of peers, and restart those that have an older one";
            return Err(Close::new(CloseCode::OtherHosts, reason));
        }
        let host = HostId::from_bytes(&frame.payload)
            .map_err(|error| Close::new(CloseCode::Protocol, error.to_string()))?;
        Ok(Self { oldest_version, newest_version, limits, hosts, host })
    }
}
