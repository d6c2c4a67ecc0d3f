//! How state begins and ends on a host.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use faaslet_state::key::SHARDS;
use faaslet_state::owner::{Batch, Usage};
use faaslet_state::session::Routes;
use faaslet_state::{Epoch, HostId, Owner, OwnerConfig, Route};

use super::super::lock::lock;
use super::committer::{Committer, Queue};
use super::config::{StatesConfig, StatesError};
use super::counts::Counts;
use super::disk::{Damage, Disk, STATE_FILE};
use super::owner::OwnerCell;
use super::peers::Ways;
use super::timers::Timers;
use super::{DiskCount, DiskError, States, TenantCount};

/// What differs between the ways in which states are made.
struct Parts {
    host: HostId,
    hosts: Vec<HostId>,
    routes: Routes,
    owner: OwnerCell,
    ways: Option<Ways>,
    damages: Vec<Damage>,
}

impl States {
    /// State of a single host that keeps everything in memory: a durable change is acknowledged
    /// without having been stored. For tests.
    ///
    /// # Errors
    /// When there is no thread for its timers.
    pub fn in_memory() -> std::io::Result<Arc<Self>> {
        let host = HostId(0);
        let mut owner = Owner::new(OwnerConfig::of(host));
        let epochs: Vec<_> = (0..SHARDS).map(|shard| (shard, Epoch(1))).collect();
        let routes = divide(&[host], host, &epochs, &mut owner);
        let owner = OwnerCell::new(owner, None);
        let parts = Parts { host, hosts: vec![host], routes, owner, ways: None, damages: vec![] };
        let states = Self::of(parts);
        states.start_timers()?;
        Ok(states)
    }

    /// Reads what rests on the disk, listens for other hosts, and takes requests.
    ///
    /// # Errors
    /// See [`StatesError`].
    pub fn open(config: &StatesConfig) -> Result<Arc<Self>, StatesError> {
        let (host, hosts) = match &config.peers {
            Some(peers) => {
                let hosts = peers.hosts()?.into_iter().map(|(host, _)| host).collect();
                (peers.own(), hosts)
            }
            None => (HostId(0), vec![HostId(0)]),
        };
        let mut owner = Owner::new(config.owner(host));
        let (disk, epochs, damages) = Disk::open(&config.dir.join(STATE_FILE), &mut owner)?;
        for damage in &damages {
            tracing::error!(%damage, "state is damaged");
        }
        let routes = divide(&hosts, host, &epochs, &mut owner);
        let (ways, opening) = config.peers.as_ref().map(Ways::bind).transpose()?.unzip();
        let queue = Arc::new(Queue::default());
        let owner = OwnerCell::new(owner, Some(Arc::clone(&queue)));
        let states = Self::of(Parts { host, hosts, routes, owner, ways, damages });
        states.start_timers()?;
        let committer = Committer::start(Arc::downgrade(&states), queue, disk)?;
        // Set once, here.
        let _ = states.committer.set(committer);
        states.run(states.owner.start());
        if let Some(opening) = opening {
            opening.open(&states);
        }
        Ok(states)
    }

    fn of(parts: Parts) -> Arc<Self> {
        let Parts { host, hosts, routes, owner, ways, damages } = parts;
        Arc::new(Self {
            host,
            hosts,
            routes,
            owner,
            lives: Mutex::new(HashMap::new()),
            timers: Timers::default(),
            counts: Counts::default(),
            outsides: Mutex::default(),
            committer: OnceLock::new(),
            ways,
            damages,
        })
    }

    /// Takes no more requests of any host, stores what waits, and saves what is in memory alone:
    /// it is there at the next start.
    ///
    /// # Errors
    /// When it could not be saved: the values in memory are lost then.
    pub fn stop(&self) -> Result<(), DiskError> {
        // Each holds on to these states.
        drop(std::mem::take(&mut *lock(&self.outsides)));
        let saved: Batch = self.owner.close(|owner| owner.save().collect());
        let saved = self.committer.get().and_then(|committer| committer.finish(&saved));
        if let Some(ways) = &self.ways {
            ways.drain();
        }
        self.timers.stop();
        saved.unwrap_or(Ok(()))
    }

    /// What was not as it was stored when the disk was read.
    pub fn damages(&self) -> &[Damage] {
        &self.damages
    }

    /// Where this host listens for others.
    pub fn peer_address(&self) -> Option<std::net::SocketAddr> {
        self.ways.as_ref().map(Ways::address)
    }

    /// The connections to other hosts, if there are any.
    pub fn peers(&self) -> Option<&faaslet_net::peer::Peers> {
        self.ways.as_ref().map(Ways::peers)
    }

    /// Has `handler` answer what other hosts ask that is not about state.
    pub fn serve(&self, handler: Arc<dyn faaslet_net::peer::PeerHandler>) {
        if let Some(ways) = &self.ways {
            ways.serve(handler);
        }
    }

    /// What a tenant has at this host's owner.
    pub fn usage(&self, tenant: &str) -> Usage {
        self.owner.usage(tenant)
    }

    /// What was counted for each tenant that used state here.
    pub fn tenant_counts(&self) -> Vec<(Arc<str>, TenantCount)> {
        self.counts.tenants()
    }

    /// What was counted of the disk.
    pub fn disk_count(&self) -> DiskCount {
        self.counts.disk()
    }

    /// What happened between this host and each other one.
    pub fn peer_counters(
        &self,
    ) -> Vec<(faaslet_net::peer::HostId, faaslet_net::peer::PeerCounters)> {
        self.ways.as_ref().map(Ways::counters).unwrap_or_default()
    }
}

/// Tells the owner which shards it has; what sessions of this host know of all.
fn divide(hosts: &[HostId], host: HostId, epochs: &[(u16, Epoch)], owner: &mut Owner) -> Routes {
    let mut routes = Routes::of_hosts(hosts);
    for (shard, epoch) in epochs {
        let Some(route) = routes.of(*shard) else { continue };
        if route.owner == host {
            owner.own(*shard, *epoch);
            routes.learn(*shard, Route { owner: host, epoch: *epoch });
        } else {
            owner.disown(*shard, route.owner, Epoch(0));
        }
    }
    routes
}
