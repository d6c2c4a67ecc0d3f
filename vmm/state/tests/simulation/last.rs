//! A last look at what is stored, by an owner that starts once more.

use std::time::Instant;

use faaslet_state::message::{Asked, Body, PullRange, Reply, Request};
use faaslet_state::owner::{Fault, Output};
use faaslet_state::{Epoch, HostId, Version};

use crate::client::{TENANT, pulled};
use crate::seat::Seat;
use crate::store::Store;

/// The bytes of the first chunk of a key.
pub fn read(now: Instant, store: &mut Store, fault: Option<Fault>, key: &str) -> Vec<u8> {
    let mut seat = Seat::start(now, HostId(9), store, fault);
    let ranges = vec![PullRange { first: 0, count: 1, since: Version::NONE }];
    let body = Body::Pull { ranges, at: None };
    let epoch = Epoch(store.epoch);
    let request = Request { tenant: TENANT.into(), key: key.into(), epoch, body };
    seat.owner.handle_request(now, &Asked::from(&request), &[], 0);
    match seat.owner.poll_output(now) {
        Some(Output::Reply { reply: Reply::Pulled { len, .. }, payload, .. }) => {
            pulled(&payload.to_vec(), len)
        }
        other => panic!("{key}: expected what was stored; found {other:?}"),
    }
}
