//! Thousands of histories in virtual time: sessions and owners, a network that loses, delays,
//! reorders and doubles, clients that are cut off or freeze, owners that crash, or sleep through
//! their lease and wake when another has taken over, disks that refuse.
//!
//! `FAASLET_SEEDS` says how many (`FAASLET_SEED` the first of them); each failure prints its seed.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a run begins at some moment, from some seed")]

mod client;
mod history;
mod last;
mod network;
mod seat;
mod store;
mod world;

use std::collections::BTreeSet;
use std::hash::Hasher;

use client::{APPENDED, REGISTERS, SUM};
use faaslet_state::owner::Fault;
use history::Op;
use world::World;

/// Seeds of an ordinary run.
const SEEDS: u64 = 300;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

/// What a run came to.
struct Run {
    hash: u64,
    ops: usize,
    overlap: usize,
    faults: usize,
    failures: std::collections::BTreeMap<String, usize>,
}

fn run(seed: u64, fault: Option<Fault>) -> Result<Run, String> {
    let mut world = World::new(seed, fault);
    world.run()?;
    for register in REGISTERS {
        let bytes = world.read(register);
        let found = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let begun = world.log.tick();
        world.log.record(register, Op::Read(found), begun, true);
    }
    check_sum(&mut world)?;
    check_appended(&mut world)?;
    world.log.check_abandoned()?;
    history::check(&world.log.histories)?;
    let ops = world.log.histories.values().map(Vec::len).sum();
    let overlap = history::overlap(&world.log.histories);
    let log = &world.log;
    Ok(Run {
        hash: log.hash.finish(),
        ops,
        overlap,
        faults: log.faults,
        failures: log.failures.clone(),
    })
}

fn check_sum(world: &mut World) -> Result<(), String> {
    let bytes = world.read(SUM);
    let found = bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let (least, most) = (world.log.added, world.log.added + world.log.maybe_added);
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(format!("sum: expected {least} to {most}, found {found}"))
    }
}

fn check_appended(world: &mut World) -> Result<(), String> {
    let bytes = world.read(APPENDED);
    let found: Vec<u64> =
        bytes.as_chunks().0.iter().map(|entry| u64::from_le_bytes(*entry)).collect();
    let once: BTreeSet<u64> = found.iter().copied().collect();
    if once.len() != found.len() {
        return Err("log: an entry was appended twice".into());
    }
    let mut known = BTreeSet::new();
    for (number, at) in &world.log.appended {
        known.insert(*number);
        if at.is_some_and(|at| found.get(at as usize / 8) != Some(number)) {
            return Err(format!("log: entry {number} is not at {at:?}"));
        }
    }
    if once.is_subset(&known) {
        Ok(())
    } else {
        Err("log: an entry was refused, and is there".into())
    }
}

#[test]
fn what_clients_see_is_explained_by_one_order() {
    let seeds = number("FAASLET_SEEDS").unwrap_or(SEEDS);
    let first = number("FAASLET_SEED").unwrap_or(0);
    let (mut ops, mut overlap, mut faults) = (0, 0, 0);
    let mut failures = std::collections::BTreeMap::<String, usize>::new();
    for seed in first..first + seeds {
        let run = run(seed, None).unwrap_or_else(|why| panic!("FAASLET_SEED={seed}: {why}"));
        assert!(run.faults > 0);
        ops += run.ops;
        overlap += run.overlap;
        faults += run.faults;
        for (name, count) in run.failures {
            *failures.entry(name).or_default() += count;
        }
    }
    println!(
        "{seeds} histories: {ops} operations on registers, {overlap} pairs at once, {faults} faults"
    );
    println!("ended otherwise: {failures:?}");
    assert!(overlap as u64 > seeds * 10, "the clients hardly met");
}

#[test]
fn a_seed_is_one_history() {
    for seed in 0..10 {
        let hash = || run(seed, None).map(|run| run.hash);
        assert_eq!(hash(), hash(), "FAASLET_SEED={seed}");
    }
}

/// Whether the checks notice a fault within some seeds.
fn is_noticed(fault: Fault) -> bool {
    let noticed = (0..SEEDS).find_map(|seed| {
        let run = std::panic::catch_unwind(|| run(seed, Some(fault)).map(|_| ()));
        run.unwrap_or_else(|_| Err("a client noticed".into()))
            .err()
            .map(|why| (seed, why.lines().next().map(str::to_owned)))
    });
    println!("{fault:?}: {noticed:?}");
    noticed.is_some()
}

#[test]
fn an_owner_that_ignores_the_fence_is_noticed() {
    assert!(is_noticed(Fault::IgnoreFence));
}

#[test]
fn an_owner_that_applies_a_retry_again_is_noticed() {
    assert!(is_noticed(Fault::IgnoreDedup));
}

#[test]
fn an_owner_that_answers_before_the_disk_is_noticed() {
    assert!(is_noticed(Fault::IgnoreStorage));
}

#[test]
fn an_owner_that_answers_after_its_lease_is_noticed() {
    assert!(is_noticed(Fault::IgnoreLease));
}

#[test]
fn an_owner_that_merges_into_another_value_of_the_name_is_noticed() {
    assert!(is_noticed(Fault::IgnoreMade));
}
