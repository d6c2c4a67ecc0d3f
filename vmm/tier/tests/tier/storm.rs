//! Threads that never stop storing while pushes run: whatever the element and the rule, the owner
//! ends up with exactly what was written last, and never sees a torn element.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use faaslet_snapshot::guest::GuestMemory;
use faaslet_state::{CHUNK_BYTES, Durability, Element, Rule, Spec};
use faaslet_tier::{MapMode, Task, Tier, Tracker, Tracking, Value};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng};

use crate::faaslet::Faaslet;
use crate::owner::Owner;

const BUDGET_BYTES: u64 = 64 << 20;
/// Two chunks, and a page and some of a third.
const VALUE_BYTES: u64 = 2 * CHUNK_BYTES + 4096 + 64;
const LONG_VALUES_BYTES: [u64; 2] = [1 << 20, 2 << 20];
const PUSHES: usize = 12;
/// Steps that an element goes through, each one further by its rule.
const STEPS: u8 = 100;

/// The element at a step. Its bytes are all the same, for floats it is a whole number, so that a
/// mixture of two steps is seen.
fn element(spec: &Spec, step: u8) -> Vec<u8> {
    let width = spec.element().width() as usize;
    let number = match spec.rule() {
        Rule::Min => STEPS - step,
        Rule::And => 0xff << (step / 15),
        Rule::Or => !(0xff << (step / 15)),
        _ => step,
    };
    match spec.element() {
        Element::F32 => f32::from(number).to_le_bytes().to_vec(),
        Element::F64 => f64::from(number).to_le_bytes().to_vec(),
        _ => vec![number; width],
    }
}

/// Whether no mixture of two steps is in it.
fn is_whole(spec: &Spec, bytes: &[u8]) -> bool {
    let number = match spec.element() {
        Element::F32 => f64::from(f32::from_le_bytes(bytes.try_into().unwrap())),
        Element::F64 => f64::from_le_bytes(bytes.try_into().unwrap()),
        _ => return bytes.iter().all(|byte| *byte == bytes[0]),
    };
    number.fract() == 0.0 && (0.0..=f64::from(STEPS)).contains(&number)
}

/// Stores to the elements of a range, in no order, until told to stop; what it stored last.
fn store_on(
    memory: &GuestMemory,
    (addr, elements): (u32, Range<usize>),
    spec: &Spec,
    seed: u64,
    stop: &AtomicBool,
) -> Vec<u8> {
    let width = spec.element().width() as usize;
    let mut random = StdRng::seed_from_u64(seed);
    let mut steps = vec![0; elements.len()];
    while !stop.load(Ordering::Relaxed) {
        // Now here and there, now one after the other.
        let first = random.random_range(0..steps.len());
        let run = if random.random_bool(0.1) { 512 } else { 1 };
        for number in first..(first + run).min(steps.len()) {
            steps[number] = STEPS.min(steps[number] + 1);
            let at = addr + ((elements.start + number) * width) as u32;
            memory.write(at, &element(spec, steps[number])).unwrap();
        }
    }
    steps.iter().flat_map(|step| element(spec, *step)).collect()
}

/// Pushes while three threads store to one value, two through one mapping and one through another.
fn storm(spec: &Spec, tracker: Tracker, seed: u64) {
    let len = spec.quota_bytes();
    let width = spec.element().width() as usize;
    let count = len as usize / width;
    let start: Vec<u8> = (0..count).flat_map(|_| element(spec, 0)).collect();
    let (mut owner, tier) = (Owner::new(*spec, &start), Tier::new(BUDGET_BYTES, tracker));
    let value = owner.open(&tier);
    owner.fetch(&value);
    let (mut one, mut other) = (Faaslet::new(1), Faaslet::new(2));
    let maps = [&mut one, &mut other]
        .map(|faaslet| (faaslet.map(&value, 0, len, MapMode::Write), faaslet.memory()));
    let parts = [0..count / 3, count / 3..count / 2, count / 2..count];
    let stop = AtomicBool::new(false);
    let last: Vec<u8> = std::thread::scope(|scope| {
        let threads: Vec<_> = parts
            .into_iter()
            .enumerate()
            .map(|(number, part)| {
                let (mapped, memory) = &maps[number % 2];
                let (place, stop) = ((mapped.addr, part), &stop);
                scope.spawn(move || store_on(memory, place, spec, seed + number as u64, stop))
            })
            .collect();
        for _ in 0..PUSHES {
            push_once(&mut owner, &value);
            let torn = owner.bytes().chunks(width).position(|bytes| !is_whole(spec, bytes));
            assert_eq!(torn, None, "{spec:?} tore an element, seed {seed}");
        }
        stop.store(true, Ordering::Relaxed);
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    owner.flush(&value, Task(3));
    assert!(owner.bytes() == last, "{spec:?} skipped a store, seed {seed}");
    for (faaslet, (mapped, _)) in [&mut one, &mut other].into_iter().zip(maps) {
        let _ = faaslet.unmap(&value, mapped);
    }
    assert_eq!(owner.flush(&value, Task(3)), 0, "{spec:?}: nothing was left, seed {seed}");
}

/// One push that is refused every third time, as if the owner had not been there.
fn push_once(owner: &mut Owner, value: &Value) {
    let prepared = value.prepare_push(Task(3), 0, u64::MAX).unwrap();
    if prepared.chunks() % 3 == 2 {
        return value.push_failed(prepared).unwrap();
    }
    let (version, before) = owner.push(&prepared);
    value.acknowledged(prepared, version, owner.len, &before).unwrap();
}

fn every_spec(tracker: impl Fn() -> Tracker) {
    let seed = rand::random();
    println!("seed {seed}");
    for element in Element::ALL {
        for rule in Rule::ALL {
            if let Ok(spec) = Spec::new(element, rule, Durability::Memory, VALUE_BYTES) {
                storm(&spec, tracker(), seed);
            }
        }
    }
}

#[test]
fn stores_during_pushes_all_arrive_when_everything_is_compared() {
    every_spec(Tracker::comparing);
}

#[test]
fn stores_during_pushes_all_arrive_when_pages_are_protected() {
    if Tracker::open().tracking() == Tracking::Compare {
        return println!("no write protection by the kernel here: not tested");
    }
    every_spec(|| Tracker::open().insisting());
}

/// Long enough to be watched, once they are pushed or at once, and stored to all over: now the one,
/// now the other.
#[test]
fn stores_during_pushes_all_arrive_while_the_way_of_finding_them_changes() {
    let seed = rand::random();
    println!("seed {seed}");
    for (element, rule) in [(Element::U64, Rule::Replace), (Element::F32, Rule::Sum)] {
        for len in LONG_VALUES_BYTES {
            let spec = Spec::new(element, rule, Durability::Memory, len).unwrap();
            storm(&spec, Tracker::open(), seed);
        }
    }
}
