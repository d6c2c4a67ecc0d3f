//! Resource limits of a jailed process. What is counted over several processes is the cgroup's.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::{JailError, step};

/// Added to a child's standing when the machine runs out of memory, of 1000: a cell goes before
/// the monitor, which would take every cell with it.
const OOM_SCORE: &str = "500";

/// What a jailed process may use. A limit that the machine has set lower already stays lower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most open descriptors.
    pub open_files: u64,
    /// Longest file that it may write, in bytes.
    pub file_bytes: u64,
    /// Most threads. Not counted for root outside a user namespace: the cgroup's process limit
    /// holds there.
    pub threads: u64,
    /// Longest stack of the main thread, in bytes.
    pub stack_bytes: u64,
    /// Most memory locked in place, in bytes.
    pub locked_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            open_files: 4096,
            file_bytes: 16 << 30,
            threads: 512,
            stack_bytes: 8 << 20,
            locked_bytes: 0,
        }
    }
}

impl Limits {
    pub(super) fn apply(&self) -> Result<(), JailError> {
        let limits = [
            (Resource::Core, 0),
            (Resource::Nofile, self.open_files),
            (Resource::Fsize, self.file_bytes),
            (Resource::Nproc, self.threads),
            (Resource::Stack, self.stack_bytes),
            (Resource::Memlock, self.locked_bytes),
            (Resource::Msgqueue, 0),
        ];
        for (resource, wanted) in limits {
            let most = getrlimit(resource).maximum.unwrap_or(u64::MAX).min(wanted);
            let limit = Rlimit { current: Some(most), maximum: Some(most) };
            setrlimit(resource, limit).map_err(step("set its resource limits"))?;
        }
        Ok(())
    }
}

/// Before the root is empty.
pub(super) fn go_first_without_memory() -> Result<(), JailError> {
    std::fs::write("/proc/self/oom_score_adj", OOM_SCORE).map_err(step("set its OOM score"))
}
