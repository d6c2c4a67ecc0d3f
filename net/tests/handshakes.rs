//! Many callers that come and go, in a process of its own so that what they leave can be counted.
//!
//! The long form is `FAASLET_HANDSHAKES=10000`.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Bench, LONG};

const SHORT_FORM: usize = 500;
/// After so many, what is allocated once is allocated.
const WARM_UP: usize = 100;
const MAX_GROWTH_BYTES: u64 = 16 << 20;

#[tokio::test]
async fn thousands_of_handshakes_leave_nothing_behind() {
    let count =
        std::env::var("FAASLET_HANDSHAKES").map_or(SHORT_FORM, |text| text.parse().unwrap());
    let bench = Bench::new();
    let (mut resident, mut descriptors) = (0, 0);
    for handshake in 0..count {
        let client = tokio::time::timeout(LONG, bench.client()).await.unwrap().unwrap();
        let reply = tokio::time::timeout(LONG, client.call("echo", "well")).await.unwrap();
        assert_eq!(reply.unwrap().payload, "well");
        drop(client);
        if handshake == WARM_UP {
            (resident, descriptors) = (resident_bytes(), open_descriptors());
        }
    }
    let growth = resident_bytes().saturating_sub(resident);
    assert!(growth < MAX_GROWTH_BYTES, "{count} handshakes left {growth} bytes");
    // The last client's socket may not be closed yet.
    let left = open_descriptors().saturating_sub(descriptors);
    assert!(left <= 2, "{count} handshakes left {left} descriptors");
}

fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
