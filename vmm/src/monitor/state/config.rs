//! What state is started with, checked.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;

use faaslet_net::peer::HostId as PeerName;
use faaslet_net::peer::tls::PeerTls;
use faaslet_state::{HostId, OwnerConfig};

use super::disk::DiskError;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub struct StatesConfig {
    /// The monitor's folder, in which `state.redb` lies.
    pub dir: PathBuf,
    /// What this host may hold.
    pub bounds: StateBounds,
    /// The other hosts.
    pub peers: Option<PeersConfig>,
}

/// What a host keeps of state, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateBounds {
    /// Bytes of all values, old versions included.
    pub bytes: u64,
    /// Of one tenant's.
    pub bytes_per_tenant: u64,
    /// Values of one tenant.
    pub values_per_tenant: u64,
}

impl Default for StateBounds {
    fn default() -> Self {
        let OwnerConfig { bytes, bytes_per_tenant, values_per_tenant, .. } =
            OwnerConfig::of(HostId(0));
        Self { bytes, bytes_per_tenant, values_per_tenant }
    }
}

/// The list of hosts, and this one among them.
#[derive(Clone, Debug)]
pub struct PeersConfig {
    /// All hosts: names, and where they listen for each other.
    pub table: Vec<(PeerName, SocketAddr)>,
    /// Where this host listens.
    pub listen: SocketAddr,
    /// Its name, keys and certificate.
    pub tls: PeerTls,
}

/// Why there is no state.
#[derive(Debug, thiserror::Error)]
pub enum StatesError {
    /// The disk.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// No thread.
    #[error("cannot start a thread for state: {0}; raise the limit on threads of this user")]
    Thread(#[from] std::io::Error),
    /// The address for other hosts.
    #[error("cannot listen for other hosts: {0}; choose another --peer-listen")]
    Peers(#[from] faaslet_net::server::BindError),
    /// This host is not in the list.
    #[error("expected host {host} in the list of hosts; it is not there: add it to the file")]
    NotListed {
        /// This host.
        host: PeerName,
    },
    /// Two names that no shard can tell apart.
    #[error("hosts {one} and {other} have the same number; rename one of them")]
    SameNumber {
        /// One.
        one: PeerName,
        /// The other.
        other: PeerName,
    },
}

/// A host's number among owners, made of its name: FNV-1a. The same in every release, as ownership
/// depends on it.
pub(super) fn number(name: PeerName) -> HostId {
    let hash = fnv(name.as_str().bytes());
    // Of 63 bits, so that it is never `HostId::UNKNOWN`.
    HostId(hash >> 1)
}

/// Of the names in a list: the same in whatever order; never 0.
pub(super) fn digest(names: impl Iterator<Item = PeerName>) -> u64 {
    let names: BTreeSet<String> = names.map(|name| name.as_str().to_owned()).collect();
    fnv(names.iter().flat_map(|name| name.bytes().chain([b'\n']))).max(1)
}

fn fnv(bytes: impl Iterator<Item = u8>) -> u64 {
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl StatesConfig {
    /// State of a single host with everything at its default.
    pub fn new(dir: PathBuf) -> Self {
        Self { dir, bounds: StateBounds::default(), peers: None }
    }

    pub(super) fn owner(&self, host: HostId) -> OwnerConfig {
        let StateBounds { bytes, bytes_per_tenant, values_per_tenant } = self.bounds;
        OwnerConfig { bytes, bytes_per_tenant, values_per_tenant, ..OwnerConfig::of(host) }
    }
}

impl PeersConfig {
    /// This host's number.
    pub(super) fn own(&self) -> HostId {
        number(self.tls.host())
    }

    /// Numbers and names of all hosts.
    pub(super) fn hosts(&self) -> Result<Vec<(HostId, PeerName)>, StatesError> {
        let mut hosts: Vec<(HostId, PeerName)> = Vec::new();
        for (name, _) in &self.table {
            let host = number(*name);
            match hosts.iter().find(|(other, _)| *other == host) {
                Some((_, other)) if other != name => {
                    return Err(StatesError::SameNumber { one: *other, other: *name });
                }
                Some(_) => {}
                None => hosts.push((host, *name)),
            }
        }
        let host = self.tls.host();
        if hosts.iter().any(|(_, name)| *name == host) {
            Ok(hosts)
        } else {
            Err(StatesError::NotListed { host })
        }
    }
}
