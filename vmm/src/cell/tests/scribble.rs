//! A guest that does what its input says, to memory, globals, tables and the host: one text, made
//! with other sizes and contents for each module.

use std::fmt::Write;

use super::Random;

/// Bytes of one step of a program: four words.
const STEP_BYTES: usize = 16;
/// Steps are read to here, so nothing else may rely on it.
pub(crate) const SCRATCH_BYTES: u32 = 64;
/// Host pages that a "wide" step touches, at least.
const WIDE_PAGES: u64 = 17;

/// What the initialisation adds to a global.
const INIT_ADDS: i64 = 5;

/// What a module is made with.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Shape {
    /// Pages of 64 KiB; at least 2.
    pub(crate) pages: u32,
    /// Pages it may grow by.
    pub(crate) growth: u32,
    /// It changes its table, so its instance is not kept.
    pub(crate) tables: bool,
    /// It keeps a function in a global.
    pub(crate) functions: bool,
}

/// The module's text, and what its globals add to its sums; `random` chooses its data.
pub(crate) fn module(shape: Shape, random: &mut Random) -> (String, u64) {
    let Shape { pages, growth, tables, functions } = shape;
    let mut data = String::new();
    for _ in 0..random.below(6) {
        let at = 1024 + random.below(u64::from(pages) * 65536 - 2048);
        let _ = write!(data, "(data (i32.const {at}) \"");
        for byte in random.bytes(200) {
            let _ = write!(data, "\\{byte:02x}");
        }
        data.push_str("\")\n");
    }
    let max = pages + growth;
    let table_step = if tables { TABLE_STEP } else { "" };
    let function_step = if functions { "(global.set $callee (ref.func $two))" } else { "" };
    let start = random.next() as i32;
    let globals = u64::from(start as u32) ^ (i64::from(start) + INIT_ADDS) as u64;
    let values = [
        ("{pages}", pages.to_string()),
        ("{max}", max.to_string()),
        ("{start}", start.to_string()),
        ("{INIT_ADDS}", INIT_ADDS.to_string()),
        ("{data}", data),
        ("{table_step}", table_step.to_owned()),
        ("{function_step}", function_step.to_owned()),
    ];
    let text = values.iter().fold(TEXT.to_owned(), |text, (name, value)| text.replace(name, value));
    (text, globals)
}

/// The module; what stands in braces is filled in.
const TEXT: &str = r#"(module
  (import "faaslet_v1" "input_len" (func $input_len (result i32)))
  (import "faaslet_v1" "input_read" (func $input_read (param i32 i32 i32) (result i32)))
  (import "faaslet_v1" "output_append" (func $output_append (param i32 i32) (result i32)))
  (import "faaslet_v1" "call_export" (func $call_export (param i32 i32 i32 i32) (result i32)))
  (import "faaslet_v1" "await" (func $await (param i32 i64) (result i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $random_get (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "clock_time_get" (func $clock (param i32 i64 i32) (result i32)))
  (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
  (memory (export "memory") {pages} {max})
  (table $table 6 40 funcref)
  (elem (table $table) (i32.const 0) func $one $two)
  (elem $spare func $two $one)
  {data}
  (data $late "0123456789abcdef0123456789abcdef")
  (data (i32.const 256) "child")
  (global $g32 (mut i32) (i32.const {start}))
  (global $g64 (mut i64) (i64.const {start}))
  (global $f32 (mut f32) (f32.const nan:0x200001))
  (global $f64 (mut f64) (f64.const -0.0))
  (global $v (mut v128) (v128.const i64x2 1 {start}))
  (global $callee (mut funcref) (ref.func $one))
  (func $one (result i32) i32.const 1)
  (func $two (result i32) i32.const 2)
  (func (export "faaslet_init")
    (i64.store (i32.const 4096) (i64.const 0x696e6974))
    (global.set $g64 (i64.add (global.get $g64) (i64.const {INIT_ADDS})))
    (drop (memory.grow (i32.const 0))))
  (func (export "child") (result i32)
    (drop (call $input_read (i32.const 0) (i32.const 70000) (i32.const 64)))
    (global.set $g32 (i32.const 99))
    i32.const 0)
  (func $wide (param $at i32) (param $count i32) (param $value i32)
    (loop $next
      (i64.store (local.get $at) (i64.extend_i32_u (local.get $value)))
      (local.set $at (i32.add (local.get $at) (i32.const 4096)))
      (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
  (func $grow (param $delta i32) (param $value i32)
    (if (i32.ne (memory.grow (local.get $delta)) (i32.const -1))
      (then (i64.store
        (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 8))
        (i64.extend_i32_s (local.get $value))))))
  (func $globals (param $value i32)
    (global.set $g32 (local.get $value))
    (global.set $g64 (i64.extend_i32_s (local.get $value)))
    (global.set $f32 (f32.reinterpret_i32 (local.get $value)))
    (global.set $f64 (f64.convert_i32_s (local.get $value)))
    (global.set $v (i32x4.splat (local.get $value)))
    {function_step})
  (func $sum (param $at i32) (param $count i32)
    (local $sum i64)
    (local.set $sum (i64.xor (i64.extend_i32_u (global.get $g32)) (global.get $g64)))
    (loop $next
      (local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.load (local.get $at))))
      (local.set $at (i32.add (local.get $at) (i32.const 8)))
      (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1)))))
    (i64.store (i32.const 32) (local.get $sum))
    (drop (call $output_append (i32.const 32) (i32.const 8))))
  (func $tables (param $a i32) (param $b i32)
    {table_step})
  (func $chain
    (drop (call $await
      (call $call_export (i32.const 256) (i32.const 5) (i32.const 512) (i32.const 64))
      (i64.const -1))))
  (func $step (param $op i32) (param $a i32) (param $b i32) (param $c i32)
    (block $15 (block $14 (block $13 (block $12 (block $11 (block $10 (block $9 (block $8 (block $7 (block $6
    (block $5 (block $4 (block $3 (block $2 (block $1 (block $0
      (br_table $0 $1 $2 $3 $4 $5 $6 $7 $8 $9 $10 $11 $12 $13 $14 $15 (local.get $op)))
      ;; 0: what is there at the start
      (call $sum (local.get $a) (local.get $b)) return)
      (i32.store (local.get $a) (local.get $c)) return)
      (memory.fill (local.get $a) (local.get $c) (local.get $b)) return)
      (memory.copy (local.get $a) (local.get $c) (local.get $b)) return)
      (call $wide (local.get $a) (local.get $b) (local.get $c)) return)
      (call $grow (local.get $a) (local.get $c)) return)
      (call $globals (local.get $c)) return)
      (drop (call $input_read (i32.const 0) (local.get $a) (local.get $b))) return)
      (drop (call $random_get (local.get $a) (local.get $b))) return)
      (memory.init $late (local.get $a) (i32.const 0) (i32.const 32)) (data.drop $late) return)
      (drop (call $clock (i32.const 1) (i64.const 1) (local.get $a))) return)
      (drop (call $yield)) return)
      (drop (i32.atomic.rmw.add (local.get $a) (local.get $c))) return)
      (call $chain) return)
      (call $tables (local.get $a) (local.get $b)) return)
    unreachable)
  (func (export "faaslet_main") (result i32)
    (local $at i32)
    (loop $next
      (drop (call $input_read (local.get $at) (i32.const 0) (i32.const 16)))
      (call $step (i32.load (i32.const 0)) (i32.load (i32.const 4)) (i32.load (i32.const 8))
        (i32.load (i32.const 12)))
      (br_if $next (i32.lt_u
        (local.tee $at (i32.add (local.get $at) (i32.const 16)))
        (call $input_len))))
    i32.const 0))"#;

const TABLE_STEP: &str = r"
    (table.set $table (i32.rem_u (local.get $a) (i32.const 6)) (ref.func $one))
    (drop (table.grow $table (ref.func $two) (i32.rem_u (local.get $b) (i32.const 9))))
    (table.fill $table (i32.const 3) (ref.null func) (i32.const 2))
    (table.copy $table $table (i32.const 2) (i32.const 0) (i32.const 3))
    (table.init $table $spare (i32.const 4) (i32.const 0) (i32.const 2))";

/// What a call will do.
#[derive(Debug)]
#[allow(clippy::struct_excessive_bools, reason = "independent facts that a run counts")]
pub(crate) struct Program {
    pub(crate) input: Vec<u8>,
    /// It writes over 16 pages of 4 KiB.
    pub(crate) wide: bool,
    /// It ends in a trap.
    pub(crate) traps: bool,
    /// It grows the memory.
    pub(crate) grows: bool,
    /// The host writes into its memory.
    pub(crate) host_writes: bool,
    /// It changes its table.
    pub(crate) tables: bool,
    /// First address and words of the sum that it answers.
    pub(crate) sum: (u32, u32),
    /// It has dropped its data segment.
    dropped: bool,
}

/// A program for a module of this shape.
pub(crate) fn program(shape: Shape, random: &mut Random) -> Program {
    let bytes = u64::from(shape.pages) * 65536;
    let sum = ((SCRATCH_BYTES + 8 * random.below(bytes / 16) as u32), 1 + random.below(200) as u32);
    let mut program = Program {
        input: Vec::new(),
        wide: false,
        traps: false,
        grows: false,
        host_writes: false,
        tables: false,
        sum,
        dropped: false,
    };
    program.step(0, u64::from(sum.0), u64::from(sum.1), 0);
    for _ in 0..=random.below(5) {
        program.push(shape, bytes, random);
    }
    if random.below(25) == 0 {
        program.traps = true;
        if random.below(2) == 0 {
            program.step(15, 0, 0, 0);
        } else {
            program.step(1, 0x7fff_0000, 0, 0);
        }
    }
    program
}

impl Program {
    fn step(&mut self, op: u32, a: u64, b: u64, c: u64) {
        for word in [op, a as u32, b as u32, c as u32] {
            self.input.extend_from_slice(&word.to_le_bytes());
        }
        debug_assert_eq!(self.input.len() % STEP_BYTES, 0);
    }

    fn push(&mut self, shape: Shape, bytes: u64, random: &mut Random) {
        let value = random.next();
        let length = 1 + random.below(6000);
        let at = u64::from(SCRATCH_BYTES) + random.below(bytes - length - 128);
        match random.below(18) {
            0 => self.step(1, at, 0, value),
            1 => self.step(2, at, length, value),
            2 => self.step(3, at, length, random.below(bytes - length)),
            3 | 4 | 16 | 17 => {
                let pages = WIDE_PAGES + random.below(bytes / 4096 - WIDE_PAGES - 1);
                let at = u64::from(SCRATCH_BYTES) + random.below(4000);
                self.wide = true;
                self.step(4, at, pages, value);
            }
            5 => {
                self.grows |= shape.growth > 0;
                self.step(5, 1 + random.below(u64::from(shape.growth) + 1), 0, value);
            }
            6 | 7 => self.step(6, 0, 0, value),
            8 => self.host(7, at, length),
            9 => self.host(8, at, length),
            10 if !self.dropped => {
                self.dropped = true;
                self.step(9, at, 0, 0);
            }
            11 => self.host(10, at & !7, 0),
            12 => self.step(11, 0, 0, 0),
            13 => self.step(12, at & !3, 0, value),
            10 | 14 => self.step(13, 0, 0, 0),
            _ => {
                self.tables |= shape.tables;
                self.step(14, value, value >> 8, 0);
            }
        }
    }

    fn host(&mut self, op: u32, at: u64, length: u64) {
        self.host_writes = true;
        self.step(op, at, length, 0);
    }
}
