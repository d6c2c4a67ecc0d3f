//! Modules that nobody would write: the same results, memory, globals, tables and traps fresh,
//! forked, and forked again after a reset.

use std::collections::HashMap;

use faaslet_rewrite::reserved;
use faaslet_snapshot::slot::Slot;
use wasm_smith::{Config, MemoryOffsetChoices, Module};
use wasmtime::{Ref, Trap, Val, ValType};

use super::{Bench, Limits, Random, call, number, scanner, seed};
use crate::builder::drive;
use crate::cell::{Exchange, Faaslet};

/// Modules in one run; `FAASLET_SMITH_MODULES` sets another number.
const MODULES: u64 = 200;
/// Bytes of randomness that a module is made from.
const SEED_BYTES: usize = 4096;
/// Loop turns and calls after which a module traps.
const FUEL: u32 = 1000;
/// What each module exports; the bodies are random.
const EXPORTS: &str = r#"(module
  (func (export "faaslet_main") (result i32) unreachable)
  (func (export "faaslet_init"))
  (func (export "a") (param i32) (result i32) unreachable)
  (func (export "b") (param i64 i32) (result i64) unreachable)
  (func (export "c") (param f64 f32) (result f64) unreachable)
  (func (export "d") (param v128 i32) (result v128) unreachable)
  (func (export "e") (param funcref i32) (result funcref) unreachable))"#;
const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];

/// A module that can be a function, if this seed gives one.
pub(crate) fn module(seed: u64) -> Option<Vec<u8>> {
    let mut random = Random(seed);
    let config = Config {
        exports: Some(wat::parse_str(EXPORTS).unwrap()),
        allow_start_export: true,
        bulk_memory_enabled: true,
        exceptions_enabled: false,
        gc_enabled: false,
        max_imports: 0,
        max_instructions: 300,
        max_memory32_bytes: 20 << 16,
        max_table_elements: 1000,
        max_tables: 3,
        memory64_enabled: false,
        memory_offset_choices: MemoryOffsetChoices(80, 15, 5),
        min_data_segments: random.below(3) as usize,
        min_element_segments: random.below(3) as usize,
        min_funcs: 8,
        min_globals: 2,
        min_memories: 1,
        min_tables: random.below(2) as u32,
        reference_types_enabled: true,
        relaxed_simd_enabled: true,
        shared_everything_threads_enabled: false,
        simd_enabled: true,
        tail_call_enabled: true,
        threads_enabled: random.below(4) == 0,
        ..Config::default()
    };
    let bytes = random.bytes(SEED_BYTES);
    let mut module = Module::new(config, &mut arbitrary::Unstructured::new(&bytes)).ok()?;
    module.ensure_termination(FUEL).ok()?;
    Some(module.to_bytes())
}

/// All that a call can change, comparable over instances.
#[derive(Debug, PartialEq)]
struct State {
    memory: Vec<u8>,
    globals: Vec<String>,
    tables: Vec<Vec<String>>,
}

fn state(faaslet: &mut Faaslet) -> State {
    let memory = faaslet.memory();
    let (store, instance) = faaslet.parts();
    let plan = store.data().function.plan.clone();
    let mut names = HashMap::new();
    for index in &plan.functions {
        if let Some(func) = instance.get_func(&mut *store, &reserved::function(*index)) {
            names.insert(func.to_raw(&mut *store) as usize, *index);
        }
    }
    let mut globals = Vec::new();
    for global in &plan.globals {
        let global = instance.get_global(&mut *store, &global.export_name()).unwrap();
        let value = global.get(&mut *store);
        globals.push(shown(store, &names, &value));
    }
    let mut tables = Vec::new();
    for name in plan.tables.iter().filter_map(faaslet_rewrite::TablePlan::export_name) {
        let table = instance.get_table(&mut *store, &name).unwrap();
        let mut elements = Vec::new();
        for at in 0..table.size(&*store) {
            let element = table.get(&mut *store, at).unwrap();
            elements.push(match element {
                Ref::Func(func) => shown(store, &names, &Val::FuncRef(func)),
                element => format!("null {}", element.is_null()),
            });
        }
        tables.push(elements);
    }
    State { memory, globals, tables }
}

/// A value as it would be seen in every instance: functions by their index.
fn shown<T: 'static>(
    store: &mut wasmtime::Store<T>,
    names: &HashMap<usize, u32>,
    value: &Val,
) -> String {
    match value {
        Val::FuncRef(Some(func)) => {
            let address = func.to_raw(&mut *store) as usize;
            names.get(&address).map_or("function".into(), |index| format!("function {index}"))
        }
        Val::FuncRef(None) | Val::ExternRef(None) => "null".into(),
        Val::V128(value) => format!("{:032x}", value.as_u128()),
        value => format!("{value:?}"),
    }
}

fn argument(ty: &ValType, random: &mut Random) -> Val {
    match ty {
        ValType::I32 if random.below(2) == 0 => Val::I32(random.below(70_000) as i32),
        ValType::I32 => Val::I32(random.next() as i32),
        ValType::I64 => Val::I64(random.next() as i64),
        ValType::F32 => Val::F32((random.next() as f32).to_bits()),
        ValType::F64 => Val::F64((random.next() as f64).to_bits()),
        ValType::V128 => Val::V128(u128::from(random.next()).into()),
        ValType::Ref(ty) => Val::null_ref(ty.heap_type()),
    }
}

/// What one call gave.
fn result(faaslet: &mut Faaslet, name: &str, random: &mut Random) -> String {
    let (store, instance) = faaslet.parts();
    let func = instance.get_func(&mut *store, name).unwrap();
    let args: Vec<_> = func.ty(&*store).params().map(|ty| argument(&ty, random)).collect();
    let mut results = vec![Val::I32(0); func.ty(&*store).results().len()];
    match drive(func.call_async(&mut *store, &args, &mut results)) {
        Ok(()) => results.iter().map(|value| shown(store, &HashMap::new(), value)).collect(),
        Err(error) => match error.downcast_ref::<Trap>() {
            Some(trap) => format!("{trap:?}"),
            None => format!("{error:#}"),
        },
    }
}

/// Results and states of the same calls, the state at the start first.
fn history(faaslet: &mut Faaslet, seed: u64) -> Vec<(String, State)> {
    let mut random = Random(seed);
    let mut history = vec![("start".to_owned(), state(faaslet))];
    for name in NAMES.iter().chain(&NAMES) {
        let result = result(faaslet, name, &mut random);
        history.push((format!("{name}: {result}"), state(faaslet)));
    }
    history
}

#[track_caller]
fn assert_same(seed: u64, what: &str, one: &[(String, State)], other: &[(String, State)]) {
    for ((result, state), (found, after)) in one.iter().zip(other) {
        assert_eq!(result, found, "seed {seed}, {what}");
        assert!(state.memory == after.memory, "seed {seed}, {what}: memory after {result}");
        assert_eq!(state.globals, after.globals, "seed {seed}, {what}: globals after {result}");
        assert_eq!(state.tables, after.tables, "seed {seed}, {what}: tables after {result}");
    }
}

/// A fork in the same slot, once the instance over it was used.
fn again(bench: &Bench, number: u32, mut faaslet: Faaslet) -> Faaslet {
    let scanner = scanner();
    if faaslet.kept() {
        faaslet.reset(&scanner).unwrap();
        return faaslet;
    }
    let mut slot: Slot = faaslet.into_slot();
    slot.poison();
    slot.remap().unwrap();
    let function = &bench.functions[number as usize];
    drive(Faaslet::fork(slot, function, &Exchange::default(), call(b"").deadline)).unwrap()
}

#[test]
fn generated_modules_are_the_same_fresh_forked_and_forked_again() {
    let (first, modules) = (seed(), number("FAASLET_SMITH_MODULES").unwrap_or(MODULES));
    println!("FAASLET_SEED={first} FAASLET_SMITH_MODULES={modules}");
    let (mut compared, mut kept, mut refused) = (0, 0, HashMap::<String, u64>::new());
    let mut bench = Bench::new(1);
    for seed in first..first + modules {
        let Some(module) = module(seed) else { continue };
        let limits = Limits::default();
        let number = match bench.try_add(&format!("smith-{seed}"), &module, limits) {
            Ok(number) => number,
            Err(error) => {
                let text = error.to_string();
                let why = text.split([';', ':']).take(2).collect::<String>();
                *refused.entry(why.chars().take(90).collect()).or_default() += 1;
                continue;
            }
        };
        let fresh = history(&mut bench.fresh(number), seed);
        let mut fork = bench.fork(number);
        let forked = history(&mut fork, seed);
        assert_same(seed, "fresh and forked", &fresh, &forked);
        kept += u64::from(fork.kept());
        let mut fork = again(&bench, number, fork);
        fork.verify(&scanner()).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_same(seed, "forked again", &fresh, &history(&mut fork, seed));
        compared += 1;
    }
    println!("{compared} compared, {kept} of them kept their instance; refused: {refused:#?}");
    assert!(compared * 4 > modules, "too few modules were compared: {compared} of {modules}");
}
