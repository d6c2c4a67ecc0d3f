//! Deployments and builders under way: how many there may be at once, which of them share a bake,
//! and the cgroup of a tenant's builders.
//!
//! A deployment that finds no room is refused at once: it holds its module and its inputs while it
//! waits, and its caller knows better when to try again.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use faaslet_sandbox::cgroup::{self, Cgroup, Cgroups};
use faaslet_store::Hash;
use tokio::sync::{Mutex as AsyncMutex, OwnedSemaphorePermit, Semaphore};

use super::lock::lock;
use super::once::Once;

/// Deployments under way on a host.
pub const MAX_DEPLOYS: usize = 32;
/// Deployments of one tenant under way.
pub const MAX_DEPLOYS_OF_TENANT: usize = 4;

/// Too many deployments are under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "expected at most {limit} deployments at once {whose}; as many are under way; try again when \
     one of them has ended"
)]
pub struct Busy {
    limit: usize,
    whose: &'static str,
}

/// See the module's documentation.
pub(super) struct Bakes {
    room: Arc<Semaphore>,
    cgroups: Cgroups,
    limits: cgroup::Limits,
    /// Recipes that are being baked now; held while it lasts.
    recipes: Once,
    /// Invariant: a tenant is here while a turn of it lasts.
    shares: Mutex<HashMap<String, Share>>,
}

/// What the deployments of a tenant have in common.
struct Share {
    turns: usize,
    deploys: usize,
    /// Of its builders, all together; none where the machine has no cgroups.
    group: Option<Arc<Cgroup>>,
}

/// One deployment, or one compilation for another processor, from its beginning to its end.
pub struct Turn {
    bakes: Arc<Bakes>,
    tenant: String,
    deploys: usize,
    group: Option<Arc<Cgroup>>,
    _room: OwnedSemaphorePermit,
}

impl Bakes {
    /// None under way; every tenant's builders may use `limits` together.
    pub(super) fn new(cgroups: Cgroups, limits: cgroup::Limits) -> Self {
        Self {
            room: Arc::new(Semaphore::new(MAX_DEPLOYS)),
            cgroups,
            limits,
            recipes: Once::default(),
            shares: Mutex::default(),
        }
    }

    /// A turn to deploy, or the reason why there is none now. `group` names the cgroup of the
    /// tenant's builders.
    pub(super) fn turn(self: &Arc<Self>, tenant: &str, group: &str) -> Result<Turn, Busy> {
        let busy = |limit, whose| Busy { limit, whose };
        let room = Arc::clone(&self.room).try_acquire_owned();
        let room = room.map_err(|_| busy(MAX_DEPLOYS, "on this host"))?;
        let of_tenant = busy(MAX_DEPLOYS_OF_TENANT, "of a tenant");
        self.begin(tenant, group, room, 1).ok_or(of_tenant)
    }

    /// A turn to compile something again, as soon as there is room on the host. A tenant has one
    /// at a time, as it holds the lock of its cell.
    pub(super) async fn recompile(self: &Arc<Self>, tenant: &str, group: &str) -> Option<Turn> {
        // The semaphore is never closed.
        let room = Arc::clone(&self.room).acquire_owned().await.ok()?;
        self.begin(tenant, group, room, 0)
    }

    fn begin(
        self: &Arc<Self>,
        tenant: &str,
        group: &str,
        room: OwnedSemaphorePermit,
        deploys: usize,
    ) -> Option<Turn> {
        let mut shares = lock(&self.shares);
        let share = shares.entry(tenant.to_owned()).or_insert_with(|| self.share(group));
        if share.deploys + deploys > MAX_DEPLOYS_OF_TENANT {
            return None;
        }
        share.turns += 1;
        share.deploys += deploys;
        let (bakes, group) = (Arc::clone(self), share.group.clone());
        Some(Turn { bakes, tenant: tenant.to_owned(), deploys, group, _room: room })
    }

    fn share(&self, group: &str) -> Share {
        let made = self.cgroups.create(group, &self.limits);
        if let Err(error) = &made {
            tracing::debug!(group, %error, "builders without a cgroup");
        }
        Share { turns: 0, deploys: 0, group: made.ok().map(Arc::new) }
    }

    /// The lock of a recipe.
    pub(super) fn recipe(&self, recipe: Hash) -> Arc<AsyncMutex<()>> {
        self.recipes.of(recipe)
    }
}

impl Turn {
    /// The cgroup of the tenant's builders.
    pub(super) fn group(&self) -> Option<&Arc<Cgroup>> {
        self.group.as_ref()
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Under the lock, so that the group goes before another one of its name is made.
        let mut shares = lock(&self.bakes.shares);
        self.group = None;
        if let Some(share) = shares.get_mut(&self.tenant) {
            share.turns -= 1;
            share.deploys -= self.deploys;
            if share.turns == 0 {
                shares.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bakes() -> Arc<Bakes> {
        let none = Cgroups::None { reason: "a test".to_owned() };
        Arc::new(Bakes::new(none, cgroup::Limits::default()))
    }

    #[test]
    fn a_tenant_has_its_share_and_no_more_and_gets_it_back() {
        let bakes = bakes();
        let turn = |tenant: &str| bakes.turn(tenant, "group");
        let mut turns: Vec<_> = (0..MAX_DEPLOYS_OF_TENANT)
            .map(|_| turn("a").map_err(|busy| busy.to_string()))
            .collect();
        assert!(turns.iter().all(Result::is_ok));
        let busy = turn("a").err().unwrap();
        assert!(busy.to_string().contains("4 deployments at once of a tenant"), "{busy}");
        let other = turn("b");
        assert!(other.is_ok(), "others go on");
        turns.pop();
        assert!(turn("a").is_ok());
        drop((turns, other));
        assert!(lock(&bakes.shares).is_empty(), "nothing is kept");
    }

    #[tokio::test]
    async fn a_host_has_its_room_and_no_more() {
        let bakes = bakes();
        let mut turns = Vec::new();
        for n in 0..MAX_DEPLOYS {
            turns.push(bakes.turn(&format!("tenant {n}"), "group").ok().unwrap());
        }
        let busy = bakes.turn("one more", "group").err().unwrap();
        assert!(busy.to_string().contains("on this host"), "{busy}");
        assert!(!lock(&bakes.shares).contains_key("one more"));
        turns.pop();
        // What calls wait for waits, and does not count as a deployment.
        let again = bakes.recompile("tenant 0", "group").await.unwrap();
        assert!(bakes.turn("one more", "group").is_err());
        drop(again);
        assert!(bakes.turn("one more", "group").is_ok());
    }
}
