//! Hosts, and which of them owns a shard where the list of hosts is static.

use crate::version::Epoch;

/// A host's number in the list of hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostId(pub u64);

impl HostId {
    /// No host: where an owner is not known.
    pub const UNKNOWN: Self = Self(u64::MAX);
}

/// Who owns a shard, and since which epoch, as far as is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The owner.
    pub owner: HostId,
    /// Its epoch; 0 until the owner has told.
    pub epoch: Epoch,
}

/// The owner of `shard` among `hosts`, by rendezvous hashing: a host that comes or goes moves no
/// shard between others. The same on every host and in every release, whatever their order.
pub fn rendezvous(hosts: &[HostId], shard: u16) -> Option<HostId> {
    hosts.iter().copied().max_by_key(|host| (mix(host.0 ^ mix(u64::from(shard) + 1)), *host))
}

/// A bijection that spreads what is close (the finaliser of splitmix64).
fn mix(number: u64) -> u64 {
    let number = (number ^ number >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ number >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ number >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::SHARDS;

    #[test]
    fn shards_are_spread_and_move_to_a_new_host_alone() {
        let hosts: Vec<HostId> = (1..=4).map(HostId).collect();
        let mut count = [0; 5];
        for shard in 0..SHARDS {
            let owner = rendezvous(&hosts, shard).unwrap();
            count[owner.0 as usize] += 1;
            let without = rendezvous(&hosts[..3], shard).unwrap();
            assert!(owner == without || owner == HostId(4));
        }
        assert!(count[1..].iter().all(|count| (32..128).contains(count)), "{count:?}");
        assert_eq!(rendezvous(&[], 0), None);
    }
}
