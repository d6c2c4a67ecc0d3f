//! What must hold for any bytes that an owner takes for a request with its payload; the fuzz
//! target `state_message` and a bounded test of the state's crate both feed it.
//!
//! 1. Bytes are a request that gets at most one answer now, or are refused; never a panic.
//! 2. Within the bounds of the owner: a tenant's values never take more than they may.

use std::time::Instant;

use faaslet_state::message::{Asked, Reply, Request};
use faaslet_state::owner::{Output, Owner, OwnerConfig};
use faaslet_state::{Epoch, HostId, key::SHARDS};

const BYTES_PER_TENANT: u64 = 1 << 16;

/// The first two bytes are the length of the head; what is behind it is the payload. All of it
/// comes twice.
pub fn check(bytes: &[u8]) {
    let Some((len, bytes)) = bytes.split_first_chunk() else { return };
    let (head, payload) = bytes.split_at(bytes.len().min(u16::from_le_bytes(*len).into()));
    let _ = Reply::from_bytes(head);
    let Ok(request) = Request::access(head) else { return };
    let Ok(asked) = Asked::try_from(request) else { return };
    let config = OwnerConfig { bytes_per_tenant: BYTES_PER_TENANT, ..OwnerConfig::of(HostId(1)) };
    let mut owner = Owner::new(config);
    (0..SHARDS).for_each(|shard| owner.own(shard, Epoch(asked.epoch.0)));
    let now = Instant::now();
    for token in 0..2 {
        owner.handle_request(now, &asked, payload, token);
    }
    let mut answers = 0;
    while let Some(output) = owner.poll_output(now) {
        match output {
            Output::Persist { ticket, .. } => owner.persisted(ticket),
            Output::Reply { .. } | Output::Dropped { .. } => answers += 1,
        }
    }
    assert!(answers <= 2 && owner.usage(asked.tenant).bytes <= BYTES_PER_TENANT);
}
