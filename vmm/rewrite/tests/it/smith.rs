//! Modules that nobody would write: same results, traps, memory and globals, rewritten or not.

use faaslet_rewrite::{Contract, Limits, RewriteError, rewrite_under};
use wasm_smith::{Config, MemoryOffsetChoices, Module};
use wasmtime::{Extern, Instance, OptLevel, Val, ValType};

use crate::random::{Random, number, seed};
use crate::world::{Engines, World};

/// Modules in one run; `FAASLET_SMITH_MODULES` sets another number.
const MODULES: u64 = 300;
/// Bytes of randomness that a module is made from.
const SEED_BYTES: usize = 4096;
/// Rounds of calls to all exports.
const ROUNDS: usize = 2;
const FUEL: u32 = 1000;

fn config(random: &mut Random) -> Config {
    Config {
        allow_start_export: true,
        bulk_memory_enabled: true,
        exceptions_enabled: false,
        export_everything: true,
        gc_enabled: false,
        max_imports: 0,
        max_instructions: 300,
        max_memory32_bytes: 20 << 16,
        max_table_elements: 1000,
        max_tables: 3,
        memory64_enabled: false,
        memory_offset_choices: MemoryOffsetChoices(80, 15, 5),
        min_data_segments: (random.next() % 3) as usize,
        min_element_segments: (random.next() % 3) as usize,
        min_funcs: 8,
        min_memories: u32::from(!random.next().is_multiple_of(8)),
        min_tables: (random.next() % 2) as u32,
        reference_types_enabled: true,
        relaxed_simd_enabled: true,
        shared_everything_threads_enabled: false,
        simd_enabled: true,
        tail_call_enabled: true,
        threads_enabled: random.next().is_multiple_of(4),
        ..Config::default()
    }
}

fn default_value(ty: &ValType, random: &mut Random) -> Val {
    match ty {
        ValType::I32 if random.next().is_multiple_of(2) => {
            Val::I32((random.next() % 70_000) as i32)
        }
        ValType::I32 => Val::I32(random.next() as i32),
        ValType::I64 => Val::I64(random.next() as i64),
        ValType::F32 => Val::F32((random.next() as f32).to_bits()),
        ValType::F64 => Val::F64((random.next() as f64).to_bits()),
        ValType::V128 => Val::V128(u128::from(random.next()).into()),
        ValType::Ref(ty) => Val::null_ref(ty.heap_type()),
    }
}

/// Everything that a module exports, which is everything that it has.
fn compare(seed: u64, plain: (&mut World, Instance), rewritten: (&mut World, Instance)) {
    let (plain, original) = plain;
    let (rewritten, instance) = rewritten;
    for (name, export) in plain.exports(original) {
        match export {
            Extern::Memory(_) => assert!(
                plain.bytes(original, &name) == rewritten.bytes(instance, &name),
                "seed {seed}: memory {name}"
            ),
            Extern::Global(_) => assert_eq!(
                plain.global(original, &name),
                rewritten.global(instance, &name),
                "seed {seed}: global {name}"
            ),
            Extern::Table(_) => assert_eq!(
                elements(plain, original, &name),
                elements(rewritten, instance, &name),
                "seed {seed}: table {name}"
            ),
            _ => {}
        }
    }
}

fn elements(world: &mut World, instance: Instance, name: &str) -> Vec<bool> {
    let table = instance.get_table(&mut world.store, name).expect("exported");
    let size = table.size(&world.store);
    (0..size).map(|i| table.get(&mut world.store, i).expect("in bounds").is_null()).collect()
}

/// What became of a module.
enum Fate {
    Compared { calls: usize },
    TrappedAtStart,
    Refused,
}

fn run(engines: &Engines, seed: u64) -> Fate {
    let mut random = Random(seed);
    let config = config(&mut random);
    let bytes = random.bytes(SEED_BYTES);
    let module = Module::new(config, &mut arbitrary::Unstructured::new(&bytes));
    let Ok(mut module) = module else { return Fate::Refused };
    if module.ensure_termination(FUEL).is_err() {
        return Fate::Refused;
    }
    let wasm = module.to_bytes();
    let of = match rewrite_under(&wasm, &Limits::default(), Contract::Open) {
        Ok(of) => of,
        Err(RewriteError::Memory { .. } | RewriteError::OverLimit { .. }) => return Fate::Refused,
        Err(error) => panic!("seed {seed}: {error}"),
    };
    let (mut plain, mut rewritten) = (engines.plain(), engines.rewritten());
    let original = plain.instantiate_plain(&wasm);
    let instance = rewritten.instantiate_rewritten(&of);
    let (original, instance) = match (original, instance) {
        (Ok(original), Ok(instance)) => (original, instance),
        (Err(original), Err(rewritten)) => {
            assert_eq!(original, rewritten, "seed {seed}: start");
            return Fate::TrappedAtStart;
        }
        (original, rewritten) => panic!("seed {seed}: {original:?}, rewritten {rewritten:?}"),
    };
    let mut calls = 0;
    for _ in 0..ROUNDS {
        for (name, export) in plain.exports(original) {
            let Extern::Func(func) = export else { continue };
            let params: Vec<_> = func.ty(&plain.store).params().collect();
            let args: Vec<_> = params.iter().map(|ty| default_value(ty, &mut random)).collect();
            let expected = plain.call(original, &name, &args);
            let found = rewritten.call(instance, &name, &args);
            assert_eq!(expected, found, "seed {seed}: {name}{args:?}");
            calls += 1;
        }
        compare(seed, (&mut plain, original), (&mut rewritten, instance));
    }
    Fate::Compared { calls }
}

#[test]
fn generated_modules_run_as_without_the_rewrite() {
    let first = seed();
    let modules = number("FAASLET_SMITH_MODULES").unwrap_or(MODULES);
    println!("FAASLET_SEED={first} FAASLET_SMITH_MODULES={modules}");
    let engines = Engines::new(OptLevel::Speed);
    let (mut compared, mut calls, mut at_start, mut refused) = (0, 0, 0, 0);
    for seed in first..first + modules {
        match run(&engines, seed) {
            Fate::Compared { calls: made } => {
                compared += 1;
                calls += made;
            }
            Fate::TrappedAtStart => at_start += 1,
            Fate::Refused => refused += 1,
        }
    }
    println!("{compared} compared, {calls} calls, {at_start} trapped at start, {refused} refused");
    assert!(compared * 3 > modules, "too few modules were compared: {compared} of {modules}");
}
