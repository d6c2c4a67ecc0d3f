//! The short form of the fuzz target `rewrite`: damaged modules.

use wasm_smith::{Config, Module};

use crate::random::{Random, number, seed};

#[path = "../../../../tests/fuzz/oracles/rewrite.rs"]
mod oracle;

/// Damaged modules in one run; `FAASLET_FUZZ_MODULES` sets another number.
const MODULES: u64 = 20_000;
/// How many damaged modules are made of one that is whole.
const EACH: u64 = 50;
const SEED_BYTES: usize = 1024;
/// The most bytes that are changed in one.
const CHANGES_MAX: u64 = 4;

fn whole(random: &mut Random) -> Vec<u8> {
    let config = Config {
        bulk_memory_enabled: true,
        exceptions_enabled: false,
        gc_enabled: false,
        memory64_enabled: false,
        max_imports: (random.next() % 4) as usize,
        min_funcs: 2,
        ..Config::default()
    };
    let bytes = random.bytes(SEED_BYTES);
    let module = Module::new(config, &mut arbitrary::Unstructured::new(&bytes));
    module.map(|module| module.to_bytes()).unwrap_or_default()
}

fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.next() % CHANGES_MAX {
        if bytes.is_empty() {
            return;
        }
        let at = random.next() as usize % bytes.len();
        match random.next() % 8 {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, random.next() as u8),
            2 => drop(bytes.remove(at)),
            3 => bytes[at] = 0xff,
            4 => bytes[at] ^= 1 << (random.next() % 8),
            5 => bytes[at] = bytes[at].wrapping_add(1),
            _ => bytes[at] = random.next() as u8,
        }
    }
}

#[test]
fn damaged_modules_are_rewritten_or_refused() {
    let first = seed();
    let modules = number("FAASLET_FUZZ_MODULES").unwrap_or(MODULES);
    println!("FAASLET_SEED={first} FAASLET_FUZZ_MODULES={modules}");
    for seed in first..first + modules / EACH {
        let mut random = Random(seed);
        let module = whole(&mut random);
        oracle::check(&module);
        for _ in 0..EACH {
            let mut damaged = module.clone();
            damage(&mut damaged, &mut random);
            oracle::check(&damaged);
        }
    }
}
