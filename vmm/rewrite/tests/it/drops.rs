//! Segments, the boot function and dropping: as WebAssembly says, and undone by setting globals.

use faaslet_rewrite::reserved::BOOT;
use faaslet_rewrite::{Contract, GlobalPlan, Limits, Rewritten, rewrite_under};
use wasmtime::{Instance, OptLevel, Trap, Val};

use crate::world::{Engines, Outcome, Seen, World};

fn rewritten(text: &str) -> Rewritten {
    let wasm = wat::parse_str(text).expect("valid text");
    rewrite_under(&wasm, &Limits::default(), Contract::Open).expect("accepted")
}

fn start(of: &Rewritten) -> (World, Instance) {
    let mut world = Engines::new(OptLevel::Speed).rewritten();
    let instance = world.instantiate_rewritten(of).expect("boots");
    (world, instance)
}

fn call(world: &mut World, instance: Instance, name: &str, args: &[i32]) -> Outcome {
    let args: Vec<_> = args.iter().map(|a| Val::I32(*a)).collect();
    world.call(instance, name, &args)
}

const DONE: Outcome = Outcome::Returned(Vec::new());
const OUT_OF_MEMORY: Outcome = Outcome::Trapped(Trap::MemoryOutOfBounds);
const OUT_OF_TABLE: Outcome = Outcome::Trapped(Trap::TableOutOfBounds);

#[test]
fn boot_writes_segments_in_order_then_runs_the_start_function() {
    let of = rewritten(
        r#"(module (memory (export "memory") 1)
        (global $seen (export "seen") (mut i32) (i32.const 0))
        (data (i32.const 4) "abcd") (data "passive") (data (i32.const 6) "XY")
        (data (offset (i32.add (i32.const 4) (i32.const 3))) "Z")
        (func $start (global.set $seen (i32.load (i32.const 4))))
        (start $start))"#,
    );
    let (mut world, instance) = start(&of);
    assert_eq!(world.bytes(instance, "memory").expect("exported")[3..9], *b"\0abXZ\0");
    let expected = i32::from_le_bytes(*b"abXZ");
    assert_eq!(world.global(instance, "seen"), Outcome::Returned(vec![Seen::I32(expected)]));
}

#[test]
fn a_segment_that_does_not_fit_traps_at_boot_and_the_earlier_ones_stay() {
    let of = rewritten(
        r#"(module (memory (export "memory") 1) (data (i32.const 0) "first")
        (data (i32.const 65535) "too long"))"#,
    );
    let mut world = Engines::new(OptLevel::Speed).rewritten();
    let instance = world.instantiate_unbooted(&of).expect("instantiates");
    assert_eq!(world.bytes(instance, "memory").expect("exported")[..5], [0; 5]);
    assert_eq!(call(&mut world, instance, BOOT, &[]), OUT_OF_MEMORY);
    assert_eq!(world.bytes(instance, "memory").expect("exported")[..5], *b"first");
    let of = rewritten(r#"(module (memory 1) (data (i32.const 65537) ""))"#);
    let instance = world.instantiate_unbooted(&of).expect("instantiates");
    assert_eq!(call(&mut world, instance, BOOT, &[]), OUT_OF_MEMORY, "even when empty");
}

#[test]
fn a_fork_needs_no_boot_and_finds_no_segment_of_its_own() {
    let of = rewritten(r#"(module (memory (export "memory") 1) (data (i32.const 0) "data"))"#);
    let mut world = Engines::new(OptLevel::Speed).rewritten();
    let instance = world.instantiate_unbooted(&of).expect("instantiates");
    assert_eq!(world.bytes(instance, "memory").expect("exported")[..4], [0; 4]);
}

/// Puts back the globals that the plan lists to what they are at the start.
fn reset(world: &mut World, instance: Instance, globals: &[GlobalPlan]) {
    for plan in globals {
        let global = instance.get_global(&mut world.store, &plan.export_name()).expect("listed");
        global.set(&mut world.store, Val::I32(0)).expect("all of these tests' are i32");
    }
}

#[test]
fn a_dropped_data_segment_is_empty_until_its_global_is_put_back() {
    let of = rewritten(
        r#"(module (memory 1) (data $d "0123456789")
        (func (export "init") (param i32 i32 i32)
            (memory.init $d (local.get 0) (local.get 1) (local.get 2)))
        (func (export "init_4") (memory.init $d (i32.const 0) (i32.const 0) (i32.const 4)))
        (func (export "drop") (data.drop $d)))"#,
    );
    assert_eq!(of.plan.globals.len(), 1);
    assert_eq!(of.plan.keep, Ok(()));
    let (mut world, at) = start(&of);
    for _ in 0..2 {
        assert_eq!(call(&mut world, at, "init", &[0, 2, 8]), DONE);
        assert_eq!(call(&mut world, at, "init", &[0, 2, 9]), OUT_OF_MEMORY);
        assert_eq!(call(&mut world, at, "init_4", &[]), DONE);
        assert_eq!(call(&mut world, at, "drop", &[]), DONE);
        assert_eq!(call(&mut world, at, "drop", &[]), DONE);
        assert_eq!(call(&mut world, at, "init", &[0, 2, 8]), OUT_OF_MEMORY);
        assert_eq!(call(&mut world, at, "init_4", &[]), OUT_OF_MEMORY);
        assert_eq!(call(&mut world, at, "init", &[0, 0, 0]), DONE);
        assert_eq!(call(&mut world, at, "init", &[65536, 0, 0]), DONE);
        assert_eq!(call(&mut world, at, "init", &[65537, 0, 0]), OUT_OF_MEMORY);
        assert_eq!(call(&mut world, at, "init", &[0, 1, 0]), OUT_OF_MEMORY);
        reset(&mut world, at, &of.plan.globals);
    }
}

#[test]
fn an_active_segment_is_dropped_for_code_from_the_start() {
    let of = rewritten(
        r#"(module (memory 1) (data $d (i32.const 0) "0123456789")
        (func (export "init") (param i32 i32 i32)
            (memory.init $d (local.get 0) (local.get 1) (local.get 2)))
        (func (export "drop") (data.drop $d)))"#,
    );
    assert_eq!(of.plan.globals, [], "a flag that never changes is none");
    let (mut world, at) = start(&of);
    assert_eq!(call(&mut world, at, "init", &[0, 0, 1]), OUT_OF_MEMORY);
    assert_eq!(call(&mut world, at, "init", &[0, 0, 0]), DONE);
    assert_eq!(call(&mut world, at, "drop", &[]), DONE);
    assert_eq!(call(&mut world, at, "init", &[0, 0, 0]), DONE);
}

#[test]
fn a_dropped_element_segment_is_empty_until_its_global_is_put_back() {
    let of = rewritten(
        r#"(module (table $t 8 funcref) (elem $e func $f $f) (func $f)
        (func (export "init") (param i32 i32 i32)
            (table.init $t $e (local.get 0) (local.get 1) (local.get 2)))
        (func (export "drop") (elem.drop $e)))"#,
    );
    assert_eq!(of.plan.globals.len(), 1);
    let (mut world, at) = start(&of);
    for _ in 0..2 {
        assert_eq!(call(&mut world, at, "init", &[6, 0, 2]), DONE);
        assert_eq!(call(&mut world, at, "drop", &[]), DONE);
        assert_eq!(call(&mut world, at, "init", &[6, 0, 2]), OUT_OF_TABLE);
        assert_eq!(call(&mut world, at, "init", &[8, 0, 0]), DONE);
        assert_eq!(call(&mut world, at, "init", &[9, 0, 0]), OUT_OF_TABLE);
        assert_eq!(call(&mut world, at, "init", &[0, 1, 0]), OUT_OF_TABLE);
        reset(&mut world, at, &of.plan.globals);
    }
}

#[test]
fn a_module_without_memory_gets_an_empty_one() {
    let of = rewritten(r#"(module (func (export "one") (result i32) (i32.const 1)))"#);
    assert!(!of.plan.memory.defined && of.plan.memory.min_pages == 0);
    let (mut world, at) = start(&of);
    assert_eq!(world.size_global(at).get(&mut world.store).unwrap_i64(), 0);
    assert_eq!(call(&mut world, at, "one", &[]), Outcome::Returned(vec![Seen::I32(1)]));
}
