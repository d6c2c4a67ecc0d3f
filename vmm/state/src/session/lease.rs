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

/// A lease is taken for no shorter than this, and no longer than that, whatever an owner says.
const MIN_LEASE: Duration = Duration::from_millis(300);
const MAX_LEASE: Duration = Duration::from_secs(3600);

/// What is held, by the number of the request that asked for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Held {
    Lock(u64),
    Version(u64),
}

impl Held {
    /// What a request asks for.
    fn asked(body: &Body) -> Option<Self> {
        match body {
            Body::Lock { stamp, .. } => Some(Self::Lock(stamp.sequence)),
            Body::Open { stamp, .. } => Some(Self::Version(stamp.sequence)),
            _ => None,
        }
    }

    /// What a request gives back.
    fn given_back(body: &Body) -> Option<Self> {
        match body {
            Body::Unlock { stamp, .. } => Some(Self::Lock(stamp.sequence)),
            Body::Close { stamp } => Some(Self::Version(stamp.sequence)),
            _ => None,
        }
    }
}

/// Things of one value.
type ByValue = BTreeMap<(String, String), BTreeSet<Held>>;

fn remove(all: &mut ByValue, (tenant, key): (&str, &str), held: Held) -> bool {
    let name = (tenant.to_owned(), key.to_owned());
    let Some(of_value) = all.get_mut(&name) else { return false };
    let was_there = of_value.remove(&held);
    if of_value.is_empty() {
        all.remove(&name);
    }
    was_there
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Leases {
    held: ByValue,
    /// What was asked for, has no answer, and was not given back meanwhile.
    asked: ByValue,
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

    /// What is given back is not renewed, even if it is granted only then.
    pub(super) fn submitted(&mut self, (tenant, key): (&str, &str), body: &Body) {
        if let Some(held) = Held::asked(body) {
            self.asked.entry((tenant.to_owned(), key.to_owned())).or_default().insert(held);
        }
        if let Some(held) = Held::given_back(body) {
            remove(&mut self.held, (tenant, key), held);
            remove(&mut self.asked, (tenant, key), held);
        }
    }

    /// What has been granted is renewed from now on.
    pub(super) fn answered(
        &mut self,
        now: Instant,
        name: (&str, &str),
        body: &Body,
        reply: &Reply,
    ) {
        let lease = match reply {
            Reply::Granted { lease_ms, .. } => Some(Duration::from_millis(*lease_ms)),
            _ => None,
        };
        if let Some(held) = Held::asked(body)
            && remove(&mut self.asked, name, held)
        {
            let lease = lease.map(|lease| lease.clamp(MIN_LEASE, MAX_LEASE));
            self.hold(now, name.0, name.1, held, lease);
        }
    }

    /// It was not granted, as far as is known.
    pub(super) fn refused(&mut self, name: (&str, &str), body: &Body) {
        if let Some(held) = Held::asked(body) {
            remove(&mut self.asked, name, held);
        }
    }

    pub(super) fn next_timeout(&self) -> Option<Instant> {
        self.next
    }
}

impl<P: Clone + Default + AsRef<[u8]>> Session<P> {
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

    /// Gives back a lock or a version of which it is not known whether it was granted.
    pub(super) fn give_back(&mut self, now: Instant, tenant: &str, key: &str, body: &Body) {
        let body = match body {
            Body::Lock { stamp, .. } => {
                Body::Unlock { stamp: *stamp, fence: Version::NONE, abandoned: false }
            }
            Body::Open { stamp, .. } => Body::Close { stamp: *stamp },
            _ => return,
        };
        self.say_again(now, tenant, key, body);
    }

    /// Says what gives something back until the owner has answered, or has not heard of this
    /// session for so long that its lease has run out.
    pub(super) fn say_again(&mut self, now: Instant, tenant: &str, key: &str, body: Body) {
        let Ok(valid) = Key::new(key.as_bytes()) else { return };
        let target = Target::Shard(valid.shard(tenant));
        let deadline = now + self.leases.lease() * RENEWALS;
        let _ = self.add(now, request(tenant, key, body), P::default(), target, deadline, true);
    }
}
