#![allow(clippy::disallowed_methods, reason = "a run begins at some moment, from some seed")]
use std::sync::atomic::{AtomicU8, Ordering};

use rand::rngs::StdRng;
use rand::{Rng, RngExt, SeedableRng};

use super::*;
use crate::chunk::Chunk;
use crate::payload::Changes;
use crate::spec::{Durability, Element, Rule, Spec};

const ROUNDS: usize = 60;

/// Memory that nobody else writes, as the local tier would give access to it.
struct Memory(Vec<AtomicU8>);

impl Memory {
    fn new(bytes: &[u8]) -> Self {
        Self(bytes.iter().map(|byte| AtomicU8::new(*byte)).collect())
    }

    fn bytes(&self) -> Vec<u8> {
        self.0.iter().map(|byte| byte.load(Ordering::Relaxed)).collect()
    }
}

impl Elements for Memory {
    fn load(&self, width: usize, at: usize) -> u64 {
        assert_eq!(at % width, 0, "elements are aligned");
        let bytes = self.0[at..at + width].iter().rev();
        bytes.fold(0, |number, byte| number << 8 | u64::from(byte.load(Ordering::Relaxed)))
    }

    fn compare_exchange(&self, width: usize, at: usize, current: u64, new: u64) -> Result<(), u64> {
        let found = self.load(width, at);
        if found != current {
            return Err(found);
        }
        for (byte, new) in self.0[at..at + width].iter().zip(new.to_le_bytes()) {
            byte.store(new, Ordering::Relaxed);
        }
        Ok(())
    }
}

/// One element, computed the slow way: by its rule, in numbers of its own kind.
fn model(spec: &Spec, old: &[u8], new: &[u8]) -> Vec<u8> {
    macro_rules! integer {
        ($number:ident) => {{
            let (a, b) = (
                $number::from_le_bytes(old.try_into().unwrap()),
                $number::from_le_bytes(new.try_into().unwrap()),
            );
            let merged = match spec.rule() {
                Rule::Replace => b,
                Rule::Sum => a.wrapping_add(b),
                Rule::Min => std::cmp::min(a, b),
                Rule::Max => std::cmp::max(a, b),
                Rule::And => a & b,
                Rule::Or => a | b,
                Rule::Xor => a ^ b,
            };
            merged.to_le_bytes().to_vec()
        }};
    }
    macro_rules! float {
        ($number:ident) => {{
            let (a, b) = (
                $number::from_le_bytes(old.try_into().unwrap()),
                $number::from_le_bytes(new.try_into().unwrap()),
            );
            let merged = match spec.rule() {
                Rule::Sum => a + b,
                Rule::Min if b < a => b,
                Rule::Max if b > a => b,
                Rule::Min | Rule::Max => a,
                _ => b,
            };
            merged.to_le_bytes().to_vec()
        }};
    }
    match spec.element() {
        Element::U8 => integer!(u8),
        Element::U16 => integer!(u16),
        Element::U32 => integer!(u32),
        Element::U64 => integer!(u64),
        Element::I8 => integer!(i8),
        Element::I16 => integer!(i16),
        Element::I32 => integer!(i32),
        Element::I64 => integer!(i64),
        Element::F32 => float!(f32),
        Element::F64 => float!(f64),
    }
}

fn specs() -> impl Iterator<Item = Spec> {
    let pairs = Element::ALL.into_iter().flat_map(|e| Rule::ALL.into_iter().map(move |r| (e, r)));
    pairs.filter_map(|(element, rule)| Spec::new(element, rule, Durability::Memory, 1 << 20).ok())
}

fn seeded() -> StdRng {
    let seed = std::env::var("FAASLET_SEED").ok().and_then(|text| text.parse().ok());
    let seed = seed.unwrap_or_else(rand::random);
    println!("FAASLET_SEED={seed}");
    StdRng::seed_from_u64(seed)
}

/// An element: whole numbers where they are floats, which add up exactly.
fn element(rng: &mut StdRng, spec: &Spec) -> Vec<u8> {
    let small = f32::from(rng.random_range(-1000_i16..1000));
    match spec.element() {
        Element::F32 => small.to_le_bytes().to_vec(),
        Element::F64 => f64::from(small).to_le_bytes().to_vec(),
        other => rng.random::<u64>().to_le_bytes()[..other.width() as usize].to_vec(),
    }
}

fn chunk(rng: &mut StdRng, spec: &Spec) -> Vec<u8> {
    let width = spec.element().width() as usize;
    let longest = [3, 40, 3000][rng.random_range(0..3)];
    let count = rng.random_range(0..longest);
    let mut bytes: Vec<u8> = (0..count).flat_map(|_| element(rng, spec)).collect();
    if spec.rule() == Rule::Replace {
        bytes.extend((0..rng.random_range(0..width)).map(|number| number as u8));
    }
    bytes
}

/// The same with some elements, or bytes of the last, changed.
fn changed(rng: &mut StdRng, spec: &Spec, old: &[u8]) -> Vec<u8> {
    let width = spec.element().width() as usize;
    let mut new = old.to_vec();
    let one_in = [1, 2, 50][rng.random_range(0..3)];
    for part in new.chunks_mut(width) {
        if rng.random_range(0..one_in) > 0 {
            continue;
        }
        if part.len() == width {
            part.copy_from_slice(&element(rng, spec));
        } else {
            rng.fill_bytes(part);
        }
    }
    new
}

/// Merges element by element what changed from `base` to `copy`; tails byte by byte.
fn merged(spec: &Spec, owner: &[u8], base: &[u8], copy: &[u8]) -> Vec<u8> {
    let width = spec.element().width() as usize;
    let mut result = owner.to_vec();
    let whole = owner.len() / width * width;
    for at in (0..whole).step_by(width) {
        let range = at..at + width;
        let (b, c) = (&base[range.clone()], &copy[range.clone()]);
        if b == c {
            continue;
        }
        let sent = match spec.rule() {
            Rule::Sum => difference(spec, b, c),
            Rule::Xor => b.iter().zip(c).map(|(b, c)| b ^ c).collect(),
            _ => c.to_vec(),
        };
        result[range.clone()].copy_from_slice(&model(spec, &owner[range], &sent));
    }
    for at in whole..owner.len() {
        if base[at] != copy[at] {
            result[at] = copy[at];
        }
    }
    result
}

fn difference(spec: &Spec, base: &[u8], copy: &[u8]) -> Vec<u8> {
    match spec.element() {
        Element::F32 => {
            let number = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().unwrap());
            (number(copy) - number(base)).to_le_bytes().to_vec()
        }
        Element::F64 => {
            let number = |bytes: &[u8]| f64::from_le_bytes(bytes.try_into().unwrap());
            (number(copy) - number(base)).to_le_bytes().to_vec()
        }
        other => {
            let number = |bytes: &[u8]| {
                bytes.iter().rev().fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
            };
            let difference = number(copy).wrapping_sub(number(base));
            difference.to_le_bytes()[..other.width() as usize].to_vec()
        }
    }
}

#[test]
fn what_is_sent_and_merged_is_what_the_model_merges() {
    let mut rng = seeded();
    for spec in specs() {
        for _ in 0..ROUNDS {
            let base = chunk(&mut rng, &spec);
            let copy = changed(&mut rng, &spec, &base);
            let mut owner = changed(&mut rng, &spec, &base);
            let expected = merged(&spec, &owner, &base, &copy);
            let mut out = Vec::new();
            let found = diff(&spec, Chunk(3), &base, &copy, &mut out);
            assert_eq!(found, base != copy, "{spec:?}");
            let changes = Changes::parse(&out, spec.element().width()).unwrap();
            for entry in changes.iter() {
                assert_eq!(entry.chunk(), Chunk(3));
                assert!(entry.end() <= base.len());
                apply(&spec, &mut owner, &entry);
            }
            assert_eq!(owner, expected, "{spec:?}");
        }
    }
}

#[test]
fn after_an_acknowledged_push_nothing_is_left_to_send() {
    let mut rng = seeded();
    for spec in specs() {
        for _ in 0..ROUNDS {
            let mut base = chunk(&mut rng, &spec);
            let copy = changed(&mut rng, &spec, &base);
            let owner = merged(&spec, &base, &base, &copy);
            let mut out = Vec::new();
            diff(&spec, Chunk(0), &base, &copy, &mut out);
            let changes = Changes::parse(&out, spec.element().width()).unwrap();
            for entry in changes.iter() {
                let exact = acknowledge(&spec, &mut base, &entry);
                assert_eq!(exact, base == owner, "{spec:?}");
            }
            assert_eq!(base, copy, "{spec:?}");
            out.clear();
            assert!(!diff(&spec, Chunk(0), &base, &copy, &mut out) && out.is_empty());
        }
    }
}

#[test]
fn what_is_newer_is_laid_under_what_changed_here() {
    let mut rng = seeded();
    for spec in specs() {
        for _ in 0..ROUNDS {
            let mut base = chunk(&mut rng, &spec);
            let local = changed(&mut rng, &spec, &base);
            let newer = changed(&mut rng, &spec, &base);
            // A change of the owner's reaches what is here; for `replace` the change here stays.
            let expected = match spec.rule() {
                Rule::Replace => merged(&spec, &newer, &base, &local),
                _ => merged(&spec, &local, &base, &newer),
            };
            let unchanged = |at: usize| local[at] == base[at];
            let memory = Memory::new(&local);
            lay_under(&spec, &memory, &mut base.clone(), &newer);
            let found = memory.bytes();
            let width = spec.element().width() as usize;
            for at in (0..local.len() / width * width).step_by(width) {
                let range = at..at + width;
                let fresh = range.clone().all(unchanged);
                let wanted = if fresh { &newer[range.clone()] } else { &expected[range.clone()] };
                assert_eq!(&found[range], wanted, "{spec:?} at {at}");
            }
            lay_under(&spec, &memory, &mut base, &newer);
            assert_eq!(base, newer);
        }
    }
}

#[test]
fn a_store_that_comes_between_wins() {
    struct Racing(Memory);
    impl Elements for Racing {
        fn load(&self, width: usize, at: usize) -> u64 {
            self.0.load(width, at)
        }
        fn compare_exchange(&self, width: usize, at: usize, was: u64, new: u64) -> Result<(), u64> {
            if was == 5 {
                self.0.compare_exchange(width, at, 5, 7)?;
            }
            self.0.compare_exchange(width, at, was, new)
        }
    }
    for (rule, expected) in [(Rule::Replace, 7_u64), (Rule::Sum, 7 + 4), (Rule::Max, 9)] {
        let spec = Spec::new(Element::U64, rule, Durability::Memory, 8).unwrap();
        let local = Racing(Memory::new(&5_u64.to_le_bytes()));
        lay_under(&spec, &local, &mut 5_u64.to_le_bytes(), &9_u64.to_le_bytes());
        assert_eq!(local.load(8, 0), expected, "{rule:?}");
    }
}

#[test]
fn floats_that_add_nothing_are_no_change() {
    let spec = Spec::new(Element::F64, Rule::Sum, Durability::Memory, 8).unwrap();
    let differs = |base: f64, copy: f64| {
        diff(&spec, Chunk(0), &base.to_le_bytes(), &copy.to_le_bytes(), &mut Vec::new())
    };
    assert!(!differs(0.0, -0.0) && !differs(f64::NAN, 1.0) && !differs(f64::NAN, f64::NAN));
    assert!(differs(1.0, f64::NAN) && differs(1.0, 1.5));
}

#[test]
fn a_pull_tells_what_the_chunk_is() {
    let mut rng = seeded();
    for spec in specs() {
        let old = chunk(&mut rng, &spec);
        let new = changed(&mut rng, &spec, &old);
        let mut out = Vec::new();
        if absolute(&spec, Chunk(0), &old, &new, &mut out) {
            let changes = Changes::parse(&out, spec.element().width()).unwrap();
            let entry = changes.iter().next().unwrap();
            assert_eq!(newer(&old, crate::payload::Body::Changes(entry), new.len()), new);
        }
        assert_eq!(newer(&old, crate::payload::Body::Whole(&new), new.len()), new);
        assert_eq!(newer(&old, crate::payload::Body::Zeros, 9), [0; 9]);
    }
}
