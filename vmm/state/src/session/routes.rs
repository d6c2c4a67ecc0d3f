//! Who owns each shard, as far as a session knows.

use crate::host::{HostId, Route, rendezvous};
use crate::key::SHARDS;
use crate::version::Epoch;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct Routes {
    /// Empty where there is no host.
    routes: Vec<Route>,
}

impl Routes {
    /// The owners by a static list of hosts; epochs are learnt from the owners.
    pub fn of_hosts(hosts: &[HostId]) -> Self {
        let route = |shard| Some(Route { owner: rendezvous(hosts, shard)?, epoch: Epoch(0) });
        Self { routes: (0..SHARDS).map_while(route).collect() }
    }

    /// The owner of a shard.
    pub fn of(&self, shard: u16) -> Option<Route> {
        self.routes.get(usize::from(shard)).copied()
    }

    /// Takes what is at least as new as what is known; whether it is something else.
    pub fn learn(&mut self, shard: u16, route: Route) -> bool {
        match self.routes.get_mut(usize::from(shard)) {
            Some(known) if route.epoch >= known.epoch && route != *known => {
                *known = route;
                true
            }
            _ => false,
        }
    }
}
