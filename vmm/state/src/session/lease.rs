//! What a session holds for as long as it says so: locks and open versions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use super::{Session, Target, request};
use crate::key::Key;
use crate::message::{Body, Reply};
use crate::version::Version;

/// Leases are renewed so often in their time.
const RENEWALS: u32 = 3;
/// Before an owner has told how long a lease is.
const FIRST_LEASE: Duration = Duration::from_secs(3);

/// What is held, by its value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Lock(u64),
    Version(Version),
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: BTreeMap<(String, String), BTreeSet<Held>>,
    lease: Option<Duration>,
    next: Option<Instant>,
}

impl Leases {
    fn hold(&mut self, now: Instant, tenant: &str, key: &str, held: Held, lease: Option<Duration>) {
        self.lease = lease.or(self.lease);
        self.held.entry((tenant.to_owned(), key.to_owned())).or_default().insert(held);
        let next = now + self.lease() / RENEWALS;
        self.next = Some(self.next.map_or(next, |known| known.min(next)));
    }

    fn lease(&self) -> Duration {
        self.lease.unwrap_or(FIRST_LEASE)
    }

    /// What is given back is not renewed.
    pub(super) fn submitted(&mut self, tenant: &str, key: &str, body: &Body) {
        let held = match body {
            Body::Unlock { stamp, .. } => Held::Lock(stamp.sequence),
            Body::Close { version, .. } => Held::Version(*version),
            _ => return,
        };
        let name = (tenant.to_owned(), key.to_owned());
        if let Some(all) = self.held.get_mut(&name) {
            all.remove(&held);
            if all.is_empty() {
                self.held.remove(&name);
            }
        }
    }

    /// What has been granted is renewed from now on.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        (tenant, key): (&str, &str),
        body: &Body,
        reply: &Reply,
    ) {
        match (body, reply) {
            (Body::Lock { stamp, .. }, Reply::Granted { lease_ms, .. }) => {
                let lease = Duration::from_millis(*lease_ms);
                self.hold(now, tenant, key, Held::Lock(stamp.sequence), Some(lease));
            }
            (Body::Open { .. }, Reply::Value(stat)) => {
                self.hold(now, tenant, key, Held::Version(stat.version), None);
            }
            _ => {}
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.next
    }
}

impl<P: Clone + Default> Session<P> {
    /// Tells the owners of what is held that this session is alive.
    pub(super) fn renew(&mut self, now: Instant) {
        if self.leases.next.is_none_or(|next| next > now) {
            return;
        }
        let pause = self.leases.lease() / RENEWALS;
        let owner = |(tenant, key): &(String, String)| {
            let shard = Key::new(key.as_bytes()).ok()?.shard(tenant);
            self.routes.of(shard).map(|route| route.owner)
        };
        let hosts: BTreeSet<_> = self.leases.held.keys().filter_map(owner).collect();
        self.leases.next = (!hosts.is_empty()).then_some(now + pause);
        for host in hosts {
            let body = Body::Renew { sessions: vec![self.id] };
            let target = Target::Host(host);
            // Full of requests: they tell as well that it is alive.
            let _ = self.add(now, request("", "", body), P::default(), target, now + pause, true);
        }
    }

    /// Gives back a lock of which it is not known whether it was granted.
    pub(super) fn give_back(&mut self, now: Instant, tenant: &str, key: &str, body: &Body) {
        let Body::Lock { stamp, .. } = body else { return };
        let Ok(valid) = Key::new(key.as_bytes()) else { return };
        let target = Target::Shard(valid.shard(tenant));
        let body = Body::Unlock { stamp: *stamp, fence: Version::NONE, abandoned: false };
        let deadline = now + self.leases.lease() * RENEWALS;
        let _ = self.add(now, request(tenant, key, body), P::default(), target, deadline, true);
    }
}
