//! The rewrite of one function body.
//!
//! Bytes are copied up to an instruction that must change, then come the instructions that
//! stand for it. Operands that are needed twice go through locals appended to the function's
//! own. A constant length is taken from the instruction before and put back behind the check,
//! so that the compiler still sees a constant and can inline a short copy.

use wasm_encoder::{BlockType, Encode, InstructionSink, MemArg};
use wasmparser::{BinaryReader, FunctionBody, Operator};

use crate::error::RewriteError;
use crate::offsets::Kind;
use crate::synth::{Additions, Drop, trap_memory, trap_table};

/// Implementation limit of WebAssembly on the locals of a function, parameters included.
const LOCALS_MAX: u64 = 50_000;
/// Implementation limit of WebAssembly on a function body.
const BODY_MAX_BYTES: usize = 7_654_321;

/// A rewritten body, without its length prefix, and where its parts come from.
pub(crate) struct Rewrite {
    pub(crate) bytes: Vec<u8>,
    /// Offset in `bytes`, offset in the original module, and how they relate.
    pub(crate) runs: Vec<(u32, u32, Kind)>,
}

/// The most locals that one instruction needs.
const SCRATCH: u32 = 3;

/// The operand of a length, which may be known.
#[derive(Clone, Copy)]
enum Length {
    Constant(i32),
    Local(u32),
}

impl Length {
    fn push(self, code: &mut InstructionSink<'_>) {
        match self {
            Self::Constant(value) => code.i32_const(value),
            Self::Local(index) => code.local_get(index),
        };
    }

    /// As an unsigned 64-bit number.
    fn push_wide(self, code: &mut InstructionSink<'_>) {
        match self {
            Self::Constant(value) => code.i64_const(i64::from(value as u32)),
            Self::Local(index) => code.local_get(index).i64_extend_i32_u(),
        };
    }
}

/// Rewrites a body; `params` is how many parameters its function has.
pub(crate) fn rewrite(
    body: &FunctionBody<'_>,
    params: u32,
    additions: &Additions,
) -> Result<Rewrite, RewriteError> {
    let mut locals = body.get_locals_reader()?;
    let (mut count, groups) = (u64::from(params), locals.get_count());
    let declarations_start = locals.original_position();
    for _ in 0..groups {
        count += u64::from(locals.read()?.0);
    }
    over("locals in a function", count + u64::from(SCRATCH), LOCALS_MAX)?;
    let whole = body.as_bytes();
    let start = body.range().start;
    let declarations = &whole[declarations_start - start..locals.original_position() - start];

    let mut bytes = Vec::with_capacity(whole.len() + whole.len() / 8 + 16);
    (groups + 1).encode(&mut bytes);
    bytes.extend_from_slice(declarations);
    SCRATCH.encode(&mut bytes);
    bytes.push(0x7f); // i32

    let code_start = locals.original_position();
    let mut writer = Writer {
        original: whole,
        original_start: start,
        copied_to: code_start,
        rewrite: Rewrite { bytes, runs: vec![(0, start as u32, Kind::StandsFor)] },
        first_local: count as u32,
        additions,
    };
    writer.mark(code_start, Kind::Copied);
    writer.instructions(locals.get_binary_reader())?;
    over("bytes in a function", writer.rewrite.bytes.len() as u64, BODY_MAX_BYTES as u64)?;
    Ok(writer.rewrite)
}

fn over(what: &'static str, found: u64, limit: u64) -> Result<(), RewriteError> {
    if found <= limit {
        return Ok(());
    }
    let advice = "the rewrite adds a few; split the function";
    Err(RewriteError::OverLimit { what, found, limit, advice })
}

struct Writer<'b> {
    original: &'b [u8],
    /// Offset of `original` in the module.
    original_start: usize,
    /// Invariant: everything before this offset in the module is in `rewrite`.
    copied_to: usize,
    rewrite: Rewrite,
    first_local: u32,
    additions: &'b Additions,
}

impl Writer<'_> {
    fn instructions(&mut self, reader: BinaryReader<'_>) -> Result<(), RewriteError> {
        let mut ops = wasmparser::OperatorsReader::new(reader);
        let mut constant = None;
        while !ops.eof() {
            let (op, at) = ops.read_with_offset()?;
            if self.changes(&op) {
                let from = constant.filter(|_| takes_length(&op));
                self.copy_to(from.map_or(at, |(from, _)| from));
                self.mark(at, Kind::StandsFor);
                self.replace(&op, from.map(|(_, value)| value));
                self.copied_to = ops.original_position();
                self.mark(self.copied_to, Kind::Copied);
            }
            constant = match op {
                Operator::I32Const { value } => Some((at, value)),
                _ => None,
            };
        }
        self.copy_to(self.original_start + self.original.len());
        Ok(())
    }

    fn mark(&mut self, original: usize, kind: Kind) {
        let at = self.rewrite.bytes.len() as u32;
        self.rewrite.runs.push((at, original as u32, kind));
    }

    fn copy_to(&mut self, end: usize) {
        let part = self.copied_to - self.original_start..end - self.original_start;
        self.rewrite.bytes.extend_from_slice(&self.original[part]);
        self.copied_to = end;
    }

    fn changes(&self, op: &Operator<'_>) -> bool {
        match op {
            Operator::MemorySize { .. }
            | Operator::MemoryGrow { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryInit { .. }
            | Operator::MemoryAtomicNotify { .. }
            | Operator::MemoryAtomicWait32 { .. }
            | Operator::MemoryAtomicWait64 { .. } => true,
            Operator::DataDrop { data_index } => self.additions.data.contains_key(data_index),
            Operator::TableInit { elem_index, .. } | Operator::ElemDrop { elem_index } => {
                self.additions.elements.contains_key(elem_index)
            }
            _ => false,
        }
    }

    fn replace(&mut self, op: &Operator<'_>, constant: Option<i32>) {
        let additions = self.additions;
        let scratch = [self.first_local, self.first_local + 1, self.first_local + 2];
        let mut code = InstructionSink::new(&mut self.rewrite.bytes);
        match *op {
            Operator::MemorySize { .. } => {
                code.global_get(additions.size).i64_const(16).i64_shr_u().i32_wrap_i64();
            }
            Operator::MemoryGrow { .. } => {
                code.i32_const(0).call_indirect(additions.calls, additions.grow_type);
            }
            Operator::MemoryCopy { .. } => {
                copy(&mut code, scratch, constant, additions);
            }
            Operator::MemoryFill { .. } => {
                fill(&mut code, scratch, constant, additions);
            }
            Operator::MemoryInit { data_index, .. } => {
                init(&mut code, scratch, constant, additions, data_index);
            }
            Operator::TableInit { elem_index, table } => {
                table_init(&mut code, scratch, additions, elem_index, table);
            }
            Operator::DataDrop { data_index } => {
                if let Some(Drop::Flag(flag)) = additions.data.get(&data_index) {
                    code.i32_const(1).global_set(*flag);
                }
            }
            Operator::ElemDrop { elem_index } => {
                if let Some(flag) = additions.elements.get(&elem_index) {
                    code.i32_const(1).global_set(*flag);
                }
            }
            Operator::MemoryAtomicNotify { memarg } => notify(&mut code, scratch, &memarg),
            Operator::MemoryAtomicWait32 { memarg } => {
                let memarg = encoded(&memarg);
                probe(&mut code, scratch);
                code.i32_atomic_load(memarg).drop().local_get(scratch[0]);
                code.i32_const(0).i64_const(0).memory_atomic_wait32(memarg);
            }
            Operator::MemoryAtomicWait64 { memarg } => {
                let memarg = encoded(&memarg);
                probe(&mut code, scratch);
                code.i64_atomic_load(memarg).drop().local_get(scratch[0]);
                code.i64_const(0).i64_const(0).memory_atomic_wait64(memarg);
            }
            _ => {}
        }
    }
}

/// Whether the last operand is the length of a range of memory.
fn takes_length(op: &Operator<'_>) -> bool {
    matches!(
        op,
        Operator::MemoryCopy { .. } | Operator::MemoryFill { .. } | Operator::MemoryInit { .. }
    )
}

/// Takes the length off the stack, unless it was never put there.
fn take_length(code: &mut InstructionSink<'_>, constant: Option<i32>, local: u32) -> Length {
    if let Some(value) = constant {
        return Length::Constant(value);
    }
    code.local_set(local);
    Length::Local(local)
}

/// Pushes whether `[address, address + length)` ends above the virtual size.
fn ends_above(code: &mut InstructionSink<'_>, address: u32, length: Length, size: u32) {
    code.local_get(address).i64_extend_i32_u();
    length.push_wide(code);
    code.i64_add().global_get(size).i64_gt_u();
}

/// The full check, which knows of the window and traps.
fn call_check(code: &mut InstructionSink<'_>, address: u32, length: Length, check: u32) {
    code.local_get(address);
    length.push(code);
    code.call(check);
}

/// `memory.copy`: `(to, from, length)`.
fn copy(
    code: &mut InstructionSink<'_>,
    [to, from, spare]: [u32; 3],
    constant: Option<i32>,
    additions: &Additions,
) {
    let length = take_length(code, constant, spare);
    code.local_set(from).local_set(to);
    ends_above(code, to, length, additions.size);
    ends_above(code, from, length, additions.size);
    code.i32_or().if_(BlockType::Empty);
    call_check(code, to, length, additions.check);
    call_check(code, from, length, additions.check);
    code.end().local_get(to).local_get(from);
    length.push(code);
    code.memory_copy(0, 0);
}

/// The check of one range, behind a test that needs no call.
fn check_range(
    code: &mut InstructionSink<'_>,
    address: u32,
    length: Length,
    additions: &Additions,
) {
    ends_above(code, address, length, additions.size);
    code.if_(BlockType::Empty);
    call_check(code, address, length, additions.check);
    code.end();
}

/// `memory.fill`: `(to, value, length)`.
fn fill(
    code: &mut InstructionSink<'_>,
    [to, value, spare]: [u32; 3],
    constant: Option<i32>,
    additions: &Additions,
) {
    let length = take_length(code, constant, spare);
    code.local_set(value).local_set(to);
    check_range(code, to, length, additions);
    code.local_get(to).local_get(value);
    length.push(code);
    code.memory_fill(0);
}

/// `memory.init`: `(to, from, length)`. A dropped segment is empty: only a range of length 0
/// at 0 is within it.
fn init(
    code: &mut InstructionSink<'_>,
    [to, from, spare]: [u32; 3],
    constant: Option<i32>,
    additions: &Additions,
    segment: u32,
) {
    let length = take_length(code, constant, spare);
    code.local_set(from).local_set(to);
    check_range(code, to, length, additions);
    if let Some(drop) = additions.data.get(&segment) {
        if let Drop::Flag(flag) = drop {
            code.global_get(*flag).if_(BlockType::Empty);
        }
        code.local_get(from);
        length.push(code);
        code.i32_or().if_(BlockType::Empty);
        trap_memory(code);
        code.end();
        if let Drop::Flag(_) = drop {
            code.end();
        }
    }
    code.local_get(to).local_get(from);
    length.push(code);
    code.memory_init(0, segment);
}

/// `table.init`: `(to, from, length)`, of a segment that may be dropped.
fn table_init(
    code: &mut InstructionSink<'_>,
    [to, from, length]: [u32; 3],
    additions: &Additions,
    segment: u32,
    table: u32,
) {
    code.local_set(length).local_set(from).local_set(to);
    if let Some(flag) = additions.elements.get(&segment) {
        code.global_get(*flag).if_(BlockType::Empty);
        code.local_get(from).local_get(length).i32_or().if_(BlockType::Empty);
        trap_table(code, table);
        code.end().end();
    }
    code.local_get(to).local_get(from).local_get(length).table_init(table, segment);
}

fn encoded(memarg: &wasmparser::MemArg) -> MemArg {
    MemArg { offset: memarg.offset, align: u32::from(memarg.align), memory_index: 0 }
}

/// `memory.atomic.notify`: `(address, count)`. Host code checks the address against the real
/// size only, so a load traps first where it must.
fn notify(code: &mut InstructionSink<'_>, scratch: [u32; 3], memarg: &wasmparser::MemArg) {
    let memarg = encoded(memarg);
    let [address, count, _] = scratch;
    code.local_set(count).local_tee(address).i32_atomic_load(memarg).drop();
    code.local_get(address).local_get(count).memory_atomic_notify(memarg);
}

/// `memory.atomic.wait`: `(address, expected, timeout)`. It always traps, on memory that is not
/// shared, but an address out of bounds comes first: keeps the address for a load, and for the
/// wait itself in the first scratch local.
fn probe(code: &mut InstructionSink<'_>, [address, ..]: [u32; 3]) {
    code.drop().drop().local_tee(address);
}
