//! Which shards this host owns, in which epoch, and the numbers of their versions.

use crate::host::{HostId, Route};
use crate::key::SHARDS;
use crate::message::Failure;
use crate::version::{Epoch, Version};

/// See the module's documentation.
#[derive(Debug)]
pub(super) struct Shards {
    host: HostId,
    shards: Vec<Shard>,
}

#[derive(Clone, Copy, Debug)]
struct Shard {
    route: Route,
    /// The last number in this epoch: of versions and fencing tokens of all its keys.
    n: u64,
}

impl Shards {
    pub(super) fn new(host: HostId) -> Self {
        let route = Route { owner: HostId::UNKNOWN, epoch: Epoch(0) };
        Self { host, shards: vec![Shard { route, n: 0 }; usize::from(SHARDS)] }
    }

    pub(super) fn set(&mut self, shard: u16, route: Route) {
        let shard = &mut self.shards[usize::from(shard % SHARDS)];
        if route.epoch >= shard.route.epoch && route != shard.route {
            *shard = Shard { route, n: 0 };
        }
    }

    pub(super) fn owns(&self, shard: u16) -> bool {
        self.shards[usize::from(shard % SHARDS)].route.owner == self.host
    }

    pub(super) fn check(&self, shard: u16, epoch: Epoch) -> Result<(), Failure> {
        let Route { owner, epoch: known } = self.shards[usize::from(shard % SHARDS)].route;
        if owner == self.host && epoch == known {
            Ok(())
        } else {
            Err(Failure::NotOwner { owner: owner.0, epoch: known })
        }
    }

    /// The next version of the shard.
    pub(super) fn next(&mut self, shard: u16) -> Version {
        let shard = &mut self.shards[usize::from(shard % SHARDS)];
        shard.n += 1;
        Version::new(shard.route.epoch, shard.n)
    }
}
