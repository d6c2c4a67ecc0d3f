//! Random histories of a value that grows and shrinks by two hosts: a host that has pulled has
//! exactly what the owner has, and what it uses of its budget is what is there.

use std::sync::Arc;

use faaslet_state::{CHUNK_BYTES, Durability, Element, Rule, Spec};
use faaslet_tier::{Copied, MapMode, Tier, Tracker, Value};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};

use crate::faaslet::{Faaslet, Mapped};
use crate::owner::Owner;

const HISTORIES: u64 = 150;
const STEPS: usize = 40;
const QUOTA: u64 = 3 * CHUNK_BYTES;
/// Lengths that are used: ends within pages and chunks, at them, and none at all.
const LENGTHS: [u64; 8] =
    [0, 100, 1000, 60_000, CHUNK_BYTES, CHUNK_BYTES + 5000, 2 * CHUNK_BYTES + 7, QUOTA];

struct Host {
    tier: Tier,
    value: Arc<Value>,
    faaslet: Faaslet,
    mapped: Option<Mapped>,
}

impl Host {
    fn new(owner: &Owner, number: u128) -> Self {
        let tier = Tier::new(4 * QUOTA, Tracker::comparing());
        let value = owner.open(&tier);
        Self { tier, value, faaslet: Faaslet::new(number), mapped: None }
    }

    fn resize(&self, owner: &mut Owner, len: u64) {
        let version = owner.resize(len);
        self.value.resized(version, len).unwrap();
    }

    /// Writes what stood there before, mostly: what comes back is no change in the owner's eyes.
    fn grow(&self, owner: &mut Owner, random: &mut StdRng, to: u64) {
        owner.refresh(&self.value, true);
        let salt = u64::from(random.random_bool(0.2));
        let from = self.value.stat().len;
        let bytes: Vec<u8> = (from..to).map(|at| ((at * 31 + salt) % 251) as u8 + 1).collect();
        let written = self.value.write(self.faaslet.task, from, &bytes).unwrap();
        assert_eq!(written, Copied::Bytes(bytes.len()));
        owner.flush(&self.value, self.faaslet.task);
    }

    fn toggle_map(&mut self) {
        match self.mapped.take() {
            Some(mapped) => assert!(self.faaslet.unmap(&self.value, mapped).0.is_empty()),
            None if self.value.stat().len > 0 => {
                let len = self.value.stat().len;
                self.mapped = Some(self.faaslet.map(&self.value, 0, len, MapMode::Write));
            }
            None => {}
        }
    }

    /// Learns of a new length sometimes from the answer to a pull, and sometimes before.
    fn refresh(&self, owner: &Owner, random: &mut StdRng) {
        let changes = random.random_bool(0.7);
        if random.random_bool(0.5) {
            let ranges = self.value.newer(0, u64::MAX).unwrap();
            let (pulled, payload) = owner.pull(&ranges, changes);
            self.value.install(&ranges, pulled, &payload).unwrap();
        }
        owner.refresh(&self.value, changes);
    }

    fn check(&self, owner: &Owner, what: &str) {
        let mut bytes = vec![0; self.value.stat().len as usize];
        assert_eq!(self.value.read(0, &mut bytes).unwrap(), Copied::Bytes(bytes.len()), "{what}");
        let expected = owner.bytes();
        assert_eq!(bytes.len(), expected.len(), "{what}: lengths");
        let differs = (0..bytes.len()).find(|at| bytes[*at] != expected[*at]);
        assert_eq!(differs, None, "{what}: the first byte that differs");
    }
}

fn history(seed: u64) {
    let mut random = StdRng::seed_from_u64(seed);
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, QUOTA).unwrap();
    let mut owner = Owner::new(spec, b"");
    let mut hosts = [1, 2].map(|number| Host::new(&owner, number));
    for step in 0..STEPS {
        let what = format!("seed {seed}, step {step}");
        let host = &mut hosts[random.random_range(0..2)];
        let len = LENGTHS[random.random_range(0..LENGTHS.len())];
        match random.random_range(0..10) {
            0..3 => host.resize(&mut owner, len),
            3..6 if len > owner.len => host.grow(&mut owner, &mut random, len),
            6 => {
                owner.refresh(&host.value, true);
                host.toggle_map();
            }
            _ => {}
        }
        host.refresh(&owner, &mut random);
        host.check(&owner, &what);
        let most = 2 * QUOTA;
        let used = host.tier.usage().bytes;
        assert!(used <= most, "{what}: {used} bytes of a value and its bases, of {most}");
    }
    for mut host in hosts {
        owner.refresh(&host.value, true);
        if host.mapped.is_some() {
            host.toggle_map();
        }
        // What was cut off while it was mapped stays until somebody needs the room, or it is cut again.
        host.resize(&mut owner, QUOTA);
        host.resize(&mut owner, 0);
        assert_eq!(host.tier.usage().bytes, 0, "seed {seed}: nothing is left, and nothing used");
    }
}

#[test]
fn who_has_pulled_has_what_the_owner_has() {
    let first: u64 = rand::random_range(0..u64::MAX / 2);
    println!("seeds from {first}");
    (first..first + HISTORIES).for_each(history);
}
