//! Hostile bytes: what the fuzz targets check, for a bounded number of seeded inputs that are
//! almost right. `FAASLET_SEED` repeats a run.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a run begins at some moment, from some seed")]

#[path = "../../../tests/fuzz/oracles/state_changes.rs"]
mod changes;
#[path = "../../../tests/fuzz/oracles/state_message.rs"]
mod message;

use faaslet_state::message::{Body, PullRange, Request, SessionId, Stamp};
use faaslet_state::{Chunk, Durability, Element, Epoch, Rule, Spec, Version, delta};
use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

const INPUTS: usize = 3000;

fn seeded() -> StdRng {
    let seed = std::env::var("FAASLET_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("FAASLET_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// Bytes of which a few have been overwritten, or that were cut.
fn damaged(rng: &mut StdRng, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..rng.random_range(0..4) {
        let at = rng.random_range(0..bytes.len());
        bytes[at] = rng.random();
    }
    if rng.random_range(0..4) == 0 {
        bytes.truncate(rng.random_range(0..bytes.len()));
    }
    bytes
}

#[test]
fn bytes_that_are_almost_changes() {
    let mut rng = seeded();
    for _ in 0..INPUTS {
        let element = rng.random_range(0..Element::ALL.len());
        let spec = Spec::new(Element::ALL[element], Rule::Replace, Durability::Memory, 1 << 20);
        let mut base = vec![0; rng.random_range(1..300)];
        rng.fill_bytes(&mut base);
        let mut copy = base.clone();
        for _ in 0..rng.random_range(1..9) {
            let at = rng.random_range(0..copy.len());
            copy[at] = rng.random();
        }
        let mut bytes = vec![element as u8];
        delta::diff(&spec.unwrap(), Chunk(1), &base, &copy, &mut bytes);
        changes::check(&damaged(&mut rng, bytes));
    }
}

fn bodies() -> Vec<Body> {
    let stamp = Stamp { session: SessionId(1), sequence: 1 };
    let spec = Spec::new(Element::U64, Rule::Sum, Durability::Durable, 1 << 20).unwrap();
    let (expected, fence, at) = (None, Some(Version::NONE), None);
    let ranges = vec![PullRange { first: 0, count: 9, since: Version::NONE }];
    vec![
        Body::Create { spec, renew: false, stamp },
        Body::Pull { ranges, at },
        Body::Push { stamp, made: Version::NONE, expected, fence, len: 8 },
        Body::Append { stamp, made: Version::NONE, fence: None },
        Body::Renew { sessions: vec![SessionId(1)] },
        Body::End { session: SessionId(2) },
        Body::List { after: "a".into(), limit: 3 },
    ]
}

#[test]
fn bytes_that_are_almost_requests() {
    let mut rng = seeded();
    for number in 0..INPUTS {
        let body = bodies().swap_remove(number % bodies().len());
        let request = Request { tenant: "t".into(), key: "k".into(), epoch: Epoch(1), body };
        let head = damaged(&mut rng, request.to_bytes().unwrap());
        let mut bytes = (head.len() as u16).to_le_bytes().to_vec();
        bytes.extend_from_slice(&head);
        bytes.extend_from_slice(&[0; 40]);
        message::check(&bytes);
    }
}
