//! Places for requests that another host has not answered yet, so that no tenant's waits for locks
//! stand in the way of what others ask, and nothing in the way of what gives a lock back.
//!
//! ```text
//! places of a connection   ├──── waits ────┤── what is answered soon ──┤─ what gives back ─┤
//!                          0             512                         960               1024
//! ```
//!
//! What finds no place pauses, as if its host did not answer, and asks again until its deadline.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use faaslet_state::HostId;
use faaslet_state::session::TransmitKind;

use super::live::Live;

/// Most requests to one host that have no answer, beside those that give something back; those
/// have the rest of what a connection takes.
pub const MAX_ASKED: usize = 960;
/// Most of them that wait for locks.
pub const MAX_WAITS: usize = 512;
/// Most of these, to all hosts, of one session.
pub const MAX_WAITS_PER_SESSION: usize = 128;

/// The places of each host.
#[derive(Debug)]
pub(super) struct Places(HashMap<HostId, Arc<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    asked: AtomicUsize,
    waits: AtomicUsize,
}

/// One place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    counts: Arc<Counts>,
    /// The session that waits, if it does.
    waits: Option<Arc<Live>>,
}

impl Places {
    pub(super) fn of(hosts: impl Iterator<Item = HostId>) -> Self {
        Self(hosts.map(|host| (host, Arc::default())).collect())
    }

    /// A place, which what gives something back does not need; an error where there is none.
    pub(super) fn take(
        &self,
        host: HostId,
        kind: TransmitKind,
        live: &Arc<Live>,
    ) -> Result<Option<Place>, NoPlace> {
        if kind == TransmitKind::GivesBack {
            return Ok(None);
        }
        let counts = Arc::clone(self.0.get(&host).ok_or(NoPlace)?);
        one_more(&counts.asked, MAX_ASKED)?;
        let mut place = Place { counts, waits: None };
        if kind == TransmitKind::Waits {
            one_more(&place.counts.waits, MAX_WAITS)?;
            place.waits = Some(Arc::clone(live));
            if live.waits().fetch_add(1, Ordering::Relaxed) >= MAX_WAITS_PER_SESSION {
                return Err(NoPlace);
            }
        }
        Ok(Some(place))
    }
}

/// There is no place now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NoPlace;

fn one_more(count: &AtomicUsize, limit: usize) -> Result<(), NoPlace> {
    let more = |count: usize| (count < limit).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|_| NoPlace)?;
    Ok(())
}

impl Drop for Place {
    fn drop(&mut self) {
        self.counts.asked.fetch_sub(1, Ordering::Relaxed);
        if let Some(live) = &self.waits {
            self.counts.waits.fetch_sub(1, Ordering::Relaxed);
            live.waits().fetch_sub(1, Ordering::Relaxed);
        }
    }
}
