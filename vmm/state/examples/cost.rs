//! What the parts cost on one core: `cargo run --release --example cost`.
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use faaslet_state::delta::{self, Elements};
use faaslet_state::message::{Asked, Body, PullRange, Request, SessionId, Stamp};
use faaslet_state::owner::{Output, Owner, OwnerConfig};
use faaslet_state::payload::Changes;
use faaslet_state::{CHUNK_BYTES, Chunk, Durability, Element, Epoch, HostId, Rule, Spec, Version};
use faaslet_state::{key::SHARDS, message::Reply};

const CHUNKS: usize = 64;
const CHUNK: usize = CHUNK_BYTES as usize;
const PAGE: usize = 4096;
const FOR: Duration = Duration::from_millis(300);

/// Words that a chunk is laid under, as shared memory would be.
struct Words(Vec<AtomicU64>);

impl Elements for Words {
    fn load(&self, _: usize, at: usize) -> u64 {
        self.0[at / 8].load(Ordering::Relaxed)
    }

    fn compare_exchange(&self, _: usize, at: usize, was: u64, new: u64) -> Result<(), u64> {
        let word = &self.0[at / 8];
        word.compare_exchange(was, new, Ordering::Relaxed, Ordering::Relaxed).map(|_| ())
    }
}

fn measure(what: &str, mut once: impl FnMut()) {
    let begun = Instant::now();
    let mut times = 0_u32;
    while begun.elapsed() < FOR {
        once();
        times += 1;
    }
    println!("{:>10.2} µs  {what}", begun.elapsed().as_secs_f64() * 1e6 / f64::from(times));
}

fn spec(rule: Rule) -> Spec {
    Spec::new(Element::U64, rule, Durability::Memory, 1 << 30).expect("a valid spec")
}

fn find(spec: &Spec, base: &[u8], copy: &[u8], out: &mut Vec<u8>) {
    out.clear();
    for (number, (base, copy)) in base.chunks(CHUNK).zip(copy.chunks(CHUNK)).enumerate() {
        delta::diff(spec, Chunk(number as u32), base, copy, out);
    }
}

fn deltas() {
    let spec = spec(Rule::Replace);
    let base = vec![1_u8; CHUNKS * CHUNK];
    let mut copy = base.clone();
    let mut out = Vec::new();
    let (one, same) = (base[..CHUNK].to_vec(), copy[..CHUNK].to_vec());
    measure("diff of 64 KiB, equal", || find(&spec, &one, &same, &mut out));
    measure("diff of 4 MiB, equal", || find(&spec, &base, &copy, &mut out));
    for page in 0..16 {
        copy[page * 16 * PAGE..][..PAGE].fill(2);
    }
    measure("diff of 4 MiB, 16 pages changed", || find(&spec, &base, &copy, &mut out));
    let changes = Changes::parse(&out, 8).expect("what is written can be read");
    let mut owner = base.clone();
    for rule in [Rule::Replace, Rule::Sum] {
        let spec = self::spec(rule);
        measure(&format!("apply of 16 pages, {rule:?}"), || {
            for entry in changes.iter() {
                delta::apply(&spec, &mut owner[entry.chunk().start() as usize..][..CHUNK], &entry);
            }
        });
    }
    let words = Words((0..CHUNK / 8).map(|_| AtomicU64::new(0x0101_0101_0101_0101)).collect());
    let mut under = base[..CHUNK].to_vec();
    let newer = copy[..CHUNK].to_vec();
    measure("lay_under of 64 KiB, a page newer, there and back", || {
        delta::lay_under(&spec, &words, &mut under, &newer);
        delta::lay_under(&spec, &words, &mut under, &base[..CHUNK]);
    });
}

/// Asks, and takes all that comes of it.
fn ask(owner: &mut Owner, body: Body, payload: &[u8]) -> usize {
    let now = Instant::now();
    let request = Request { tenant: "t".into(), key: "k".into(), epoch: Epoch(1), body };
    owner.handle_request(now, &Asked::from(&request), payload, 0);
    let mut bytes = 0;
    while let Some(output) = owner.poll_output(now) {
        match output {
            Output::Reply { reply: Reply::Failed(failure), .. } => println!("failed: {failure}"),
            Output::Reply { payload, .. } => bytes += payload.len(),
            Output::Persist { ticket, .. } => owner.persisted(ticket),
            Output::Dropped { .. } => {}
        }
    }
    bytes
}

fn owners(len: usize) {
    let mut owner = Owner::new(OwnerConfig::of(HostId(1)));
    (0..SHARDS).for_each(|shard| owner.own(shard, Epoch(1)));
    let mut sequence = 0;
    let mut stamp = || {
        sequence += 1;
        Stamp { session: SessionId(1), sequence }
    };
    ask(&mut owner, Body::Create { spec: spec(Rule::Sum), renew: false, stamp: stamp() }, &[]);
    let mut changes = Vec::new();
    delta::diff(&spec(Rule::Sum), Chunk(0), &vec![0; len], &vec![1; len], &mut changes);
    measure(&format!("owner: push of {len} bytes"), || {
        let (expected, fence) = (None, None);
        let push =
            Body::Push { stamp: stamp(), made: Version::NONE, expected, fence, len: len as u64 };
        ask(&mut owner, push, &changes);
    });
    measure(&format!("owner: pull of {len} bytes"), || {
        let ranges = vec![PullRange { first: 0, count: 1, since: Version::NONE }];
        ask(&mut owner, Body::Pull { ranges, at: None }, &[]);
    });
}

/// A small push and a small pull as a host carries them: heads written, checked, read, answered.
fn wire() {
    let mut owner = Owner::new(OwnerConfig::of(HostId(1)));
    (0..SHARDS).for_each(|shard| owner.own(shard, Epoch(1)));
    for durability in [Durability::Memory, Durability::Durable] {
        let key = format!("{durability:?}");
        let spec = Spec::new(Element::U64, Rule::Sum, durability, 1 << 20).expect("a valid spec");
        let mut sequence = 0;
        let mut stamp = || {
            sequence += 1;
            Stamp { session: SessionId(1), sequence }
        };
        let mut changes = Vec::new();
        delta::diff(&spec, Chunk(0), &[0; 8], &1_u64.to_le_bytes(), &mut changes);
        carry(&mut owner, &key, Body::Create { spec, renew: false, stamp: stamp() }, &[]);
        measure(&format!("wire and owner: push of 8 bytes, {key}"), || {
            let push = Body::Push {
                stamp: stamp(),
                made: Version::NONE,
                expected: None,
                fence: None,
                len: 8,
            };
            carry(&mut owner, &key, push, &changes);
        });
        measure(&format!("wire and owner: pull of 8 bytes, {key}"), || {
            let ranges = vec![PullRange { first: 0, count: 1, since: Version::NONE }];
            carry(&mut owner, &key, Body::Pull { ranges, at: None }, &[]);
        });
    }
}

/// Asks by bytes, and reads the answer from bytes.
fn carry(owner: &mut Owner, key: &str, body: Body, payload: &[u8]) {
    let now = Instant::now();
    let request = Request { tenant: "t".into(), key: key.into(), epoch: Epoch(1), body };
    let head = request.to_bytes().expect("a request can be written");
    let read = Request::access(&head).and_then(Asked::try_from).expect("and read");
    owner.handle_request(now, &read, payload, 0);
    while let Some(output) = owner.poll_output(now) {
        match output {
            Output::Reply { reply, .. } => {
                let head = reply.to_bytes().expect("a reply can be written");
                let reply = Reply::from_bytes(&head).expect("and read");
                assert!(!matches!(reply, Reply::Failed(_)), "{reply:?}");
            }
            Output::Persist { ticket, .. } => owner.persisted(ticket),
            Output::Dropped { .. } => {}
        }
    }
}

fn main() {
    deltas();
    wire();
    for len in [8, 4096, CHUNK] {
        owners(len);
    }
}
