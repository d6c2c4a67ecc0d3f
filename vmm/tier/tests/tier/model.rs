//! Random histories of two hosts and an owner, against a model that says what each element is.

use faaslet_state::{CHUNK_BYTES, Durability, Element, Rule, Spec, Version};
use faaslet_tier::{Copied, MapMode, Prepared, Tier, Tracker, Value};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};
use std::sync::Arc;

use crate::faaslet::{Faaslet, Mapped};
use crate::owner::Owner;

const HISTORIES: u64 = 60;
const STEPS: usize = 120;
const ELEMENTS: usize = (2 * CHUNK_BYTES as usize + 40) / 4;
/// Elements that are used, so that hosts meet: the first and the last of every chunk.
const USED: [usize; 7] = [0, 1, 1024, 16383, 16384, 32767, ELEMENTS - 1];

/// A host as the semantics have it: nothing but two arrays.
struct Model {
    local: Vec<u32>,
    base: Vec<u32>,
}

struct Host {
    value: Arc<Value>,
    faaslet: Faaslet,
    mapped: Option<Mapped>,
    model: Model,
    /// A push under way: what was copied.
    pushing: Option<(Prepared, Vec<u32>)>,
    _tier: Tier,
}

fn merged(rule: Rule, old: u32, new: u32) -> u32 {
    match rule {
        Rule::Replace => new,
        Rule::Sum => old.wrapping_add(new),
        Rule::Min => old.min(new),
        Rule::Max => old.max(new),
        Rule::And => old & new,
        Rule::Or => old | new,
        Rule::Xor => old ^ new,
    }
}

/// What is sent for an element that changed.
fn sent(rule: Rule, base: u32, copy: u32) -> u32 {
    match rule {
        Rule::Sum => copy.wrapping_sub(base),
        Rule::Xor => copy ^ base,
        _ => copy,
    }
}

impl Model {
    fn acknowledge(&mut self, copy: &[u32]) {
        // By every rule the base comes to the copy's element: that was sent, or the difference.
        self.base.copy_from_slice(copy);
    }

    fn pull(&mut self, rule: Rule, newer: &[u32]) {
        for ((local, base), newer) in self.local.iter_mut().zip(&mut self.base).zip(newer) {
            let changed = *local != *base;
            if *newer != *base {
                *local = match rule {
                    _ if !changed => *newer,
                    Rule::Replace => *local,
                    _ => merged(rule, *local, sent(rule, *base, *newer)),
                };
            }
            *base = *newer;
        }
    }
}

fn numbers(bytes: &[u8]) -> Vec<u32> {
    bytes.chunks_exact(4).map(|bytes| u32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

impl Host {
    fn new(owner: &Owner, number: u128, tracker: Tracker) -> Self {
        let tier = Tier::new(16 << 20, tracker);
        let value = owner.open(&tier);
        owner.fetch(&value);
        let bytes = numbers(&owner.bytes());
        let model = Model { local: bytes.clone(), base: bytes };
        let faaslet = Faaslet::new(number);
        Self { value, faaslet, mapped: None, model, pushing: None, _tier: tier }
    }

    fn write(&mut self, random: &mut StdRng) {
        let at = USED[random.random_range(0..USED.len())];
        let number: u32 = if random.random_bool(0.3) { 0 } else { random.random_range(0..1000) };
        self.model.local[at] = number;
        let bytes = number.to_le_bytes();
        match self.mapped {
            Some(mapped) if random.random_bool(0.7) => {
                self.faaslet.store(mapped.addr + at as u32 * 4, &bytes);
            }
            _ => {
                let copied = self.value.write(self.faaslet.task, at as u64 * 4, &bytes).unwrap();
                assert_eq!(copied, Copied::Bytes(4));
            }
        }
    }

    fn toggle_map(&mut self) {
        match self.mapped.take() {
            Some(mapped) => assert!(self.faaslet.unmap(&self.value, mapped).0.is_empty()),
            None => {
                let len = ELEMENTS as u64 * 4;
                self.mapped = Some(self.faaslet.map(&self.value, 0, len, MapMode::Write));
            }
        }
    }

    fn prepare(&mut self) {
        if self.pushing.is_none() {
            let prepared = self.value.prepare_push(self.faaslet.task, 0, u64::MAX).unwrap();
            self.pushing = Some((prepared, self.model.local.clone()));
        }
    }

    fn end_push(&mut self, owner: &mut Owner, succeeds: bool) {
        match self.pushing.take() {
            Some((prepared, copy)) if succeeds => {
                let (version, before) = owner.push(&prepared);
                self.value.acknowledged(prepared, version, owner.len, &before).unwrap();
                self.model.acknowledge(&copy);
            }
            Some((prepared, _)) => self.value.push_failed(prepared).unwrap(),
            None => {}
        }
    }

    fn pull(&mut self, owner: &Owner, changes: bool) {
        if self.pushing.is_none() {
            owner.refresh(&self.value, changes);
            self.model.pull(owner.spec.rule(), &numbers(&owner.bytes()));
        }
    }

    fn revert(&mut self) {
        if self.pushing.is_none() {
            self.value.revert().unwrap();
            self.model.local.copy_from_slice(&self.model.base);
        }
    }

    fn check(&self, what: &str) {
        let mut bytes = vec![0; ELEMENTS * 4];
        assert_eq!(self.value.read(0, &mut bytes).unwrap(), Copied::Bytes(bytes.len()));
        let found = numbers(&bytes);
        let differs = (0..ELEMENTS).find(|at| found[*at] != self.model.local[*at]);
        if let Some(at) = differs {
            let (found, expected) = (found[at], self.model.local[at]);
            panic!("{what}: element {at} is {found}, not {expected}");
        }
    }
}

fn history(rule: Rule, seed: u64, tracker: &impl Fn() -> Tracker) {
    let mut random = StdRng::seed_from_u64(seed);
    let spec = Spec::new(Element::U32, rule, Durability::Memory, ELEMENTS as u64 * 4).unwrap();
    let start: Vec<u8> = (0..ELEMENTS as u32).flat_map(u32::to_le_bytes).collect();
    let mut owner = Owner::new(spec, &start);
    let mut hosts = [1, 2].map(|number| Host::new(&owner, number, tracker()));
    for step in 0..STEPS {
        let host = &mut hosts[random.random_range(0..2)];
        let kind = random.random_range(0..20);
        match kind {
            0..8 => host.write(&mut random),
            8..10 => host.toggle_map(),
            10..13 => host.prepare(),
            13..16 => host.end_push(&mut owner, random.random_bool(0.8)),
            16..19 => host.pull(&owner, random.random_bool(0.5)),
            _ => host.revert(),
        }
        host.check(&format!("{rule:?}, seed {seed}, step {step}, kind {kind}"));
    }
    settle(&mut hosts, &mut owner, &format!("{rule:?}, seed {seed}"));
}

/// All push and pull: then all have the same, whatever went before. With `min` and its like the
/// owner keeps what the rule says, so each pulls after its push.
fn settle(hosts: &mut [Host], owner: &mut Owner, what: &str) {
    for host in hosts.iter_mut() {
        host.end_push(owner, true);
        host.prepare();
        host.end_push(owner, true);
    }
    for host in hosts.iter_mut() {
        host.pull(owner, false);
        host.check(what);
        assert!(host.model.local == numbers(&owner.bytes()), "{what}: the model differs");
        assert_ne!(host.value.stat().version, Version::NONE);
    }
}

#[test]
fn random_histories_are_those_of_the_model() {
    let first: u64 = rand::random_range(0..u64::MAX / 2);
    println!("seeds from {first}");
    for seed in first..first + HISTORIES {
        let rule = Rule::ALL[(seed % 7) as usize];
        history(rule, seed, &|| Tracker::open().insisting());
        history(rule, seed, &Tracker::comparing);
    }
}
