//! What an owner is told when it begins, and the bounds that it keeps.

use std::time::Duration;

use crate::host::HostId;

/// Most sessions whose last answers are kept for one value.
pub const MAX_SESSIONS_PER_VALUE: usize = 1024;
/// And of how many more it is remembered that they were refused; others get no answer.
pub const MAX_REFUSED_PER_VALUE: usize = 1024;
/// Most sessions that an owner knows.
pub const MAX_SESSIONS: usize = 65_536;
/// How many sessions that ended are remembered, to refuse what comes late.
pub const MAX_ENDED_SESSIONS: usize = 4096;
/// Most that wait for the locks of one value.
pub const MAX_WAITING: usize = 1024;
/// Most that wait for the locks of all values of one tenant.
pub const MAX_WAITING_PER_TENANT: usize = 8192;
/// Most versions of one value that are kept for their count or age; open ones are beside them.
pub const MAX_VERSIONS_PER_VALUE: usize = 1024;
/// Most that hold a read lock of one value.
pub const MAX_READERS: usize = 4096;
/// How many locks of a session and value that ended are remembered.
pub const MAX_ENDED_LOCKS: usize = 64;
/// How many answers may be owed to one wait, sent again and again.
pub const MAX_RETRIES_WAITING: usize = 8;
/// How many deleted or refused keys are remembered for retries.
pub const MAX_GONE: usize = 16_384;
/// How many of these are looked at, in one go, for one that may be forgotten.
pub(super) const LOOK_AT_GONE: usize = 16;
/// Most bytes of changes that are handed out to be stored and are not yet.
pub const MAX_UNSTORED_BYTES: u64 = 256 * 1024 * 1024;
/// Most versions that one session keeps open at one owner.
pub const MAX_OPEN_PER_SESSION: usize = 1024;
/// Most that wait for another version of one value.
pub const MAX_WATCHES: usize = 1024;
/// Longest of these waits: shorter than the margin, after which an answer counts as lost.
pub const MAX_WATCH: Duration = Duration::from_secs(1);
/// Of how many that it closed the numbers are remembered, to refuse what opens them late.
pub const MAX_CLOSED: usize = 1024;
/// Longest wait for a lock.
pub const MAX_WAIT: Duration = Duration::from_secs(3600);
/// The answer to a session that was silent for so long may go, where room is needed.
pub const SILENT: Duration = Duration::from_secs(600);
/// How long silent sessions are not looked for again, when there is no room for another.
pub(super) const LOOK_AGAIN: Duration = Duration::from_secs(10);

/// See the module's documentation.
#[derive(Clone, Copy, Debug)]
pub struct OwnerConfig {
    /// The host that this is.
    pub host: HostId,
    /// How long a session's locks and open versions hold without a word of it.
    pub lease: Duration,
    /// How much of the owner's own lease must be left when an answer goes out.
    pub margin: Duration,
    /// What one tenant may have here.
    pub values_per_tenant: u64,
    /// And the bytes of its values, old versions included.
    pub bytes_per_tenant: u64,
    /// Bytes of all tenants.
    pub bytes: u64,
    /// Nothing, but in tests of the tests.
    #[doc(hidden)]
    pub fault: Option<Fault>,
}

impl OwnerConfig {
    /// What holds where nothing else is said.
    pub fn of(host: HostId) -> Self {
        Self {
            host,
            lease: Duration::from_secs(10),
            margin: Duration::from_secs(2),
            values_per_tenant: 1 << 20,
            bytes_per_tenant: 1 << 30,
            bytes: 4 << 30,
            fault: None,
        }
    }

    pub(super) fn leaves_out(&self, check: Fault) -> bool {
        self.fault == Some(check)
    }
}

/// A check that is left out, so that tests can show that they would notice.
#[doc(hidden)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Take any push for one under the current lock.
    IgnoreFence,
    /// Take any request for a new one.
    IgnoreDedup,
    /// Answer before the batch is stored.
    IgnoreStorage,
    /// Answer after the owner's own lease.
    IgnoreLease,
    /// Take any value of the name for the one that is meant.
    IgnoreMade,
}
