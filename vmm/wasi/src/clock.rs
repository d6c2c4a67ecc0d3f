//! Where a Faaslet's time comes from.
//!
//! Host clocks are read through libc, which finds the kernel's fast way by itself; rustix would
//! look for it in `/proc` or by a system call that a sandbox refuses, and fall back to slow reads.

use std::time::Duration;

use nix::sys::time::TimeSpec;
use nix::time::{ClockId as HostClock, clock_getres, clock_gettime};

use crate::abi::{ClockId, Errno};

/// Wall clock time at which every bake starts: 2026-01-01T00:00:00Z.
pub const BAKE_START_UNIX_S: u64 = 1_767_225_600;

/// Resolution that the clocks of a bake state.
const BAKE_RESOLUTION_NS: u64 = 1;
const NS_PER_S: u64 = 1_000_000_000;

/// The clocks that one Faaslet sees.
#[derive(Clone, Debug)]
pub struct Clock(Source);

#[derive(Clone, Debug)]
enum Source {
    /// The host's clocks; the monotonic one goes on from where the bake left it.
    Live { after_ns: u64 },
    /// Starts at a fixed time and moves only by what is slept.
    Bake { slept_ns: u64 },
}

impl Clock {
    /// The host's clocks.
    #[must_use]
    pub fn live() -> Self {
        Self::live_after(0)
    }

    /// The host's clocks, in a fork of an image whose bake ended at [`Clock::monotonic_ns`]: the
    /// guest never sees its monotonic clock go back.
    #[must_use]
    pub fn live_after(monotonic_ns: u64) -> Self {
        Self(Source::Live { after_ns: monotonic_ns })
    }

    /// The clocks of a bake: the same in every run.
    #[must_use]
    pub fn bake() -> Self {
        Self(Source::Bake { slept_ns: 0 })
    }

    /// The clocks of a bake that goes on from an image whose own bake ended there.
    #[must_use]
    pub fn bake_after(monotonic_ns: u64) -> Self {
        Self(Source::Bake { slept_ns: monotonic_ns })
    }

    /// What the monotonic clock shows.
    #[must_use]
    pub fn monotonic_ns(&self) -> u64 {
        match self.0 {
            Source::Live { after_ns } => {
                host_ns(HostClock::CLOCK_MONOTONIC).saturating_add(after_ns)
            }
            Source::Bake { slept_ns } => slept_ns,
        }
    }

    /// What the wall clock shows, since 1970.
    #[must_use]
    pub fn realtime_ns(&self) -> u64 {
        match self.0 {
            Source::Live { .. } => host_ns(HostClock::CLOCK_REALTIME),
            Source::Bake { slept_ns } => (BAKE_START_UNIX_S * NS_PER_S).saturating_add(slept_ns),
        }
    }

    pub(crate) fn now_ns(&self, id: ClockId) -> Result<u64, Errno> {
        match id {
            ClockId::Realtime => Ok(self.realtime_ns()),
            ClockId::Monotonic => Ok(self.monotonic_ns()),
            ClockId::CpuTime => Err(Errno::Badf),
        }
    }

    pub(crate) fn resolution_ns(&self, id: ClockId) -> Result<u64, Errno> {
        let host = match id {
            ClockId::Realtime => HostClock::CLOCK_REALTIME,
            ClockId::Monotonic => HostClock::CLOCK_MONOTONIC,
            ClockId::CpuTime => return Err(Errno::Badf),
        };
        match self.0 {
            Source::Live { .. } => {
                clock_getres(host).map(to_ns).map_err(|error| crate::errno::from_io(&error.into()))
            }
            Source::Bake { .. } => Ok(BAKE_RESOLUTION_NS),
        }
    }

    /// How long the Faaslet has to wait to have slept `ns`: not at all at a bake, whose clock
    /// moves instead.
    pub(crate) fn sleep(&mut self, ns: u64) -> Option<Duration> {
        match &mut self.0 {
            Source::Live { .. } => (ns > 0).then(|| Duration::from_nanos(ns)),
            Source::Bake { slept_ns } => {
                *slept_ns = slept_ns.saturating_add(ns);
                None
            }
        }
    }
}

fn host_ns(clock: HostClock) -> u64 {
    // These two clocks exist on every Linux; 0 stands for what cannot happen.
    clock_gettime(clock).map_or(0, to_ns)
}

/// A host clock never shows a time before 1970 here; if it did, that would be 0.
fn to_ns(time: TimeSpec) -> u64 {
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    seconds.saturating_mul(NS_PER_S).saturating_add(u64::try_from(time.tv_nsec()).unwrap_or(0))
}
