//! Which ranges may be touched: below the virtual size, or within the used state window.
//!
//! A rule that is missing would not fail politely here: host code that meets an inaccessible
//! page ends the process.

use faaslet_rewrite::reserved::{PAGE_BYTES, WINDOW, WINDOW_BASE};
use faaslet_rewrite::{Contract, Limits, Rewritten, rewrite_under};
use wasmtime::{Instance, OptLevel, Trap, Val};

use crate::sys;
use crate::world::{Engines, Outcome, Seen, World};

const SIZE: u64 = 2 * PAGE_BYTES;
const WINDOW_END: u64 = WINDOW_BASE + 2 * PAGE_BYTES;
const SEGMENT_BYTES: usize = 300;
/// Lengths known to the compiler: none, inlined (up to 128), and not inlined.
const CONSTANT_LENGTHS: [u64; 6] = [0, 1, 16, 128, 129, 256];
const LENGTHS: [u64; 9] = [0, 1, 16, 128, 129, 256, PAGE_BYTES, SIZE, u32::MAX as u64];
/// Offsets in a load or store that are known to the compiler.
const OFFSETS: [u64; 4] = [0, SIZE, WINDOW_BASE, WINDOW_END];

fn addresses() -> Vec<u64> {
    let edges = [0, SIZE, WINDOW_BASE, WINDOW_END, 1 << 32];
    let mut all = vec![1 << 31];
    for edge in edges {
        for distance in [0, 1, 3, 4, 16, 128, 129, 256, PAGE_BYTES] {
            all.extend([edge.wrapping_sub(distance), edge + distance]);
        }
    }
    all.retain(|address| u32::try_from(*address).is_ok());
    all.sort_unstable();
    all.dedup();
    all
}

/// The rule, as a model.
fn allowed(address: u64, length: u64, window_end: u64) -> bool {
    let end = address + length;
    end <= SIZE || (address >= WINDOW_BASE && end <= window_end)
}

fn module() -> Rewritten {
    use std::fmt::Write as _;
    let mut text = String::from(
        r#"(module (memory (export "memory") 2 2)
        (func (export "fill") (param i32 i32) (memory.fill (local.get 0) (i32.const 7) (local.get 1)))
        (func (export "copy") (param i32 i32 i32)
            (memory.copy (local.get 0) (local.get 1) (local.get 2)))
        (func (export "init") (param i32 i32) (memory.init $d (local.get 0) (i32.const 0) (local.get 1)))
        (func (export "notify") (param i32) (result i32)
            (memory.atomic.notify (local.get 0) (i32.const 1)))
        (func (export "wait32") (param i32) (result i32)
            (memory.atomic.wait32 (local.get 0) (i32.const 1) (i64.const 0)))
        (func (export "wait64") (param i32) (result i32)
            (memory.atomic.wait64 (local.get 0) (i64.const 1) (i64.const 0)))
        (func (export "size") (result i32) (memory.size))
        "#,
    );
    for offset in OFFSETS {
        write!(
            text,
            r#"(func (export "load_{offset}") (param i32) (result i32)
                (i32.load offset={offset} (local.get 0)))
            (func (export "store_{offset}") (param i32)
                (i32.store offset={offset} (local.get 0) (i32.const 0)))"#
        )
        .expect("text");
    }
    for length in CONSTANT_LENGTHS {
        write!(
            text,
            r#"(func (export "fill_{length}") (param i32)
                (memory.fill (local.get 0) (i32.const 7) (i32.const {length})))
            (func (export "copy_{length}") (param i32 i32)
                (memory.copy (local.get 0) (local.get 1) (i32.const {length})))
            (func (export "init_{length}") (param i32)
                (memory.init $d (local.get 0) (i32.const 0) (i32.const {length})))"#
        )
        .expect("text");
    }
    writeln!(text, r#"(data $d "{}"))"#, "x".repeat(SEGMENT_BYTES)).expect("text");
    let wasm = wat::parse_str(&text).expect("valid text");
    rewrite_under(&wasm, &Limits::default(), Contract::Open).expect("accepted")
}

struct Guest {
    world: World,
    instance: Instance,
    window_end: u64,
    cases: usize,
}

impl Guest {
    fn new(level: OptLevel, window_end: u64) -> Self {
        let mut world = Engines::new(level).rewritten();
        let instance = world.instantiate_rewritten(&module()).expect("boots");
        let base = world.memory(instance).data_ptr(&world.store);
        if window_end > 0 {
            sys::open(base, WINDOW_BASE, window_end - WINDOW_BASE);
            let window = instance.get_global(&mut world.store, WINDOW).expect("exported");
            window.set(&mut world.store, Val::I64(window_end as i64)).expect("mutable i64");
        }
        Self { world, instance, window_end, cases: 0 }
    }

    /// Calls and compares with what the model says of all ranges and of the segment.
    fn expect(&mut self, name: &str, args: &[u64], ranges: &[(u64, u64)], else_trap: Trap) {
        self.cases += 1;
        let values: Vec<_> = args.iter().map(|a| Val::I32(*a as u32 as i32)).collect();
        let found = self.world.call(self.instance, name, &values);
        let fine = ranges.iter().all(|(a, n)| allowed(*a, *n, self.window_end));
        match found {
            Outcome::Returned(_) if fine => {}
            Outcome::Trapped(trap) if !fine && trap == else_trap => {}
            found => panic!("{name}{args:x?}, window to {:x}: {found:?}", self.window_end),
        }
    }

    fn bulk(&mut self, address: u64) {
        for length in LENGTHS {
            let range = (address, length);
            self.expect("fill", &[address, length], &[range], Trap::MemoryOutOfBounds);
            for source in [0, SIZE - 128, SIZE, WINDOW_BASE, WINDOW_END - 128] {
                let (args, ranges) = ([address, source, length], [range, (source, length)]);
                self.expect("copy", &args, &ranges, Trap::MemoryOutOfBounds);
            }
            if length <= SEGMENT_BYTES as u64 {
                self.expect("init", &[address, length], &[range], Trap::MemoryOutOfBounds);
            }
        }
        for length in CONSTANT_LENGTHS {
            let range = (address, length);
            self.expect(&format!("fill_{length}"), &[address], &[range], Trap::MemoryOutOfBounds);
            self.expect(&format!("init_{length}"), &[address], &[range], Trap::MemoryOutOfBounds);
            for other in [0, SIZE - 1, WINDOW_BASE] {
                let name = format!("copy_{length}");
                let ranges = [range, (other, length)];
                self.expect(&name, &[address, other], &ranges, Trap::MemoryOutOfBounds);
                self.expect(&name, &[other, address], &ranges, Trap::MemoryOutOfBounds);
            }
        }
    }

    fn single(&mut self, address: u64) {
        for offset in OFFSETS {
            let range = (address + offset, 4);
            self.expect(&format!("load_{offset}"), &[address], &[range], Trap::MemoryOutOfBounds);
            self.expect(&format!("store_{offset}"), &[address], &[range], Trap::MemoryOutOfBounds);
        }
        let never = [(u64::MAX / 2, 1)];
        let wait = |width: u64, end| match (address % width, allowed(address, width, end)) {
            (0, false) => Trap::MemoryOutOfBounds,
            (0, true) => Trap::AtomicWaitNonSharedMemory,
            _ => Trap::HeapMisaligned,
        };
        self.expect("wait32", &[address], &never, wait(4, self.window_end));
        self.expect("wait64", &[address], &never, wait(8, self.window_end));
        if address.is_multiple_of(4) {
            self.expect("notify", &[address], &[(address, 4)], Trap::MemoryOutOfBounds);
        } else {
            self.expect("notify", &[address], &never, Trap::HeapMisaligned);
        }
    }
}

fn every_access(level: OptLevel) -> usize {
    let mut cases = 0;
    for window_end in [0, WINDOW_END] {
        let mut guest = Guest::new(level, window_end);
        for address in addresses() {
            guest.bulk(address);
            guest.single(address);
        }
        cases += guest.cases;
    }
    cases
}

#[test]
fn every_access_passes_or_traps_as_the_model_says() {
    let cases = every_access(OptLevel::Speed);
    println!("{cases} accesses");
    assert!(cases > 10_000, "the matrix has shrunk to {cases}");
}

#[test]
fn so_it_does_unoptimised() {
    every_access(OptLevel::None);
}

#[test]
fn bulk_operations_move_the_right_bytes() {
    let mut guest = Guest::new(OptLevel::Speed, WINDOW_END);
    let base = guest.world.memory(guest.instance).data_ptr(&guest.world.store);
    let mut call = |name: &str, args: &[u64]| {
        let args: Vec<_> = args.iter().map(|a| Val::I32(*a as u32 as i32)).collect();
        assert_eq!(guest.world.call(guest.instance, name, &args), Outcome::Returned(vec![]));
    };
    call("fill", &[WINDOW_BASE + 8, 16]);
    assert_eq!(sys::read(base, WINDOW_BASE + 7, 18), [&[0][..], &[7; 16], &[0]].concat());
    call("copy_128", &[SIZE - 128, WINDOW_BASE]);
    assert_eq!(sys::read(base, SIZE - 120, 17), [&[7; 16][..], &[0]].concat());
    call("init_16", &[WINDOW_END - 16]);
    assert_eq!(sys::read(base, WINDOW_END - 17, 17), [&[0][..], &[b'x'; 16]].concat());
    call("copy", &[4, WINDOW_END - 16, 16]);
    assert_eq!(sys::read(base, 3, 18), [&[0][..], &[b'x'; 16], &[0]].concat());
    sys::write(base, 21, 9);
    call("copy", &[5, 4, 17]); // overlapping
    assert_eq!(sys::read(base, 4, 18), [&[b'x'; 17][..], &[0]].concat());
}

#[test]
fn a_memory_grows_and_shrinks_again() {
    let text = r#"(module (memory 1 5)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0)))
        (func (export "size") (result i32) (memory.size))
        (func (export "load") (param i32) (result i32) (i32.load8_u (local.get 0)))
        (func (export "fill") (param i32 i32)
            (memory.fill (local.get 0) (i32.const 7) (local.get 1))))"#;
    let wasm = wat::parse_str(text).expect("valid text");
    let of = rewrite_under(&wasm, &Limits::default(), Contract::Open).expect("accepted");
    let mut world = Engines::new(OptLevel::Speed).rewritten();
    let instance = world.instantiate_rewritten(&of).expect("boots");
    let base = world.memory(instance).data_ptr(&world.store);
    let call = |world: &mut World, name: &str, args: &[i32]| {
        let args: Vec<_> = args.iter().map(|a| Val::I32(*a)).collect();
        world.call(instance, name, &args)
    };
    let returned = |value| Outcome::Returned(vec![Seen::I32(value)]);
    let out_of_bounds = Outcome::Trapped(Trap::MemoryOutOfBounds);
    let page = PAGE_BYTES as i32;

    assert_eq!(call(&mut world, "grow", &[3]), returned(1));
    assert_eq!(call(&mut world, "size", &[]), returned(4));
    assert_eq!(call(&mut world, "grow", &[2]), returned(-1), "the declared maximum holds");
    assert_eq!(call(&mut world, "fill", &[3 * page, page]), Outcome::Returned(vec![]));
    assert_eq!(call(&mut world, "load", &[4 * page - 1]), returned(7));

    let size = world.size_global(instance);
    size.set(&mut world.store, Val::I64(PAGE_BYTES as i64)).expect("a mutable i64");
    sys::close(base, PAGE_BYTES, 3 * PAGE_BYTES);
    assert_eq!(call(&mut world, "size", &[]), returned(1));
    assert_eq!(call(&mut world, "load", &[page]), out_of_bounds);
    assert_eq!(call(&mut world, "fill", &[page - 1, 2]), out_of_bounds);
    assert_eq!(call(&mut world, "grow", &[4]), returned(1));
    assert_eq!(call(&mut world, "size", &[]), returned(5));
}
