//! How busy others kept the machine while a group was measured: its figures say less for it.

use std::time::{Duration, Instant};

use anyhow::Result;
use nix::sys::resource::{Usage, UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::book::Book;
use crate::machine;

/// The machine at the beginning of a group.
pub(crate) struct Load {
    average: f64,
    begun: Instant,
    busy: Duration,
    own: Duration,
}

impl Load {
    /// From now on.
    pub(crate) fn begin() -> Result<Self> {
        let (average, begun) = (machine::load(), Instant::now());
        Ok(Self { average, begun, busy: machine::busy()?, own: own()? })
    }

    /// Writes down the load before the group, and the cores that others took during it.
    pub(crate) fn put(&self, book: &mut Book, group: &str) -> Result<()> {
        let busy = machine::busy()?.saturating_sub(self.busy);
        let others = busy.saturating_sub(own()?.saturating_sub(self.own));
        let cores = others.as_secs_f64() / self.begun.elapsed().as_secs_f64();
        book.put(&format!("load.{group}"), self.average, "");
        book.put(&format!("load.{group}.others"), cores, "cores");
        Ok(())
    }
}

/// Time on a core of this process, and of its children that have ended and theirs.
fn own() -> Result<Duration> {
    let of = |usage: Usage| time(usage.user_time()) + time(usage.system_time());
    Ok(of(getrusage(UsageWho::RUSAGE_SELF)?) + of(getrusage(UsageWho::RUSAGE_CHILDREN)?))
}

fn time(value: TimeVal) -> Duration {
    Duration::from_secs(value.tv_sec() as u64) + Duration::from_micros(value.tv_usec() as u64)
}
