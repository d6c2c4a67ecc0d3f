//! One pass over the function bodies: validates them and notes what the rewrite must change.
//!
//! Bodies are independent, so they are shared out over a few threads; what is found is the same
//! whatever their number.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::resume_unwind;
use std::sync::{Mutex, PoisonError};
use std::thread;

use wasmparser::{
    FuncValidator, FuncValidatorAllocations, FunctionBody, Operator, ValidatorResources,
};

use crate::error::RewriteError;
use crate::parse::{Body, FEATURES};

/// More threads than this do not make it faster: the rest of the rewrite is serial.
const THREADS_MAX: usize = 4;
/// Less code than this is not worth a thread.
const THREAD_MIN_BYTES: usize = 1 << 20;

/// What the code of a module does that the rewrite or the plan depends on.
#[derive(Default, Debug)]
pub(crate) struct Uses {
    /// `memory.grow` occurs.
    pub(crate) grows: bool,
    /// Data segments in `memory.init`, and in `data.drop`.
    pub(crate) data_inits: BTreeSet<u32>,
    pub(crate) data_drops: BTreeSet<u32>,
    /// Element segments in `table.init`, and in `elem.drop`.
    pub(crate) elem_inits: BTreeSet<u32>,
    pub(crate) elem_drops: BTreeSet<u32>,
    /// Tables that code can change, with the first place.
    pub(crate) table_changes: BTreeMap<u32, TableChange>,
    /// Functions in `ref.func`.
    pub(crate) references: BTreeSet<u32>,
    /// Defined functions, by index, that hold an instruction which the rewrite may change; in
    /// order.
    pub(crate) touched: Vec<u32>,
}

/// An instruction that changes a table.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TableChange {
    pub(crate) function: u32,
    pub(crate) instruction: &'static str,
}

impl Uses {
    /// Notes an instruction; returns whether the rewrite may have to change it.
    fn note(&mut self, function: u32, op: &Operator<'_>) -> bool {
        let mut changes = |table: u32, instruction| {
            self.table_changes.entry(table).or_insert(TableChange { function, instruction });
        };
        match *op {
            Operator::TableSet { table } => changes(table, "table.set"),
            Operator::TableGrow { table } => changes(table, "table.grow"),
            Operator::TableFill { table } => changes(table, "table.fill"),
            Operator::TableCopy { dst_table, .. } => changes(dst_table, "table.copy"),
            Operator::RefFunc { function_index } => {
                self.references.insert(function_index);
            }
            Operator::TableInit { elem_index, table } => {
                changes(table, "table.init");
                self.elem_inits.insert(elem_index);
                return true;
            }
            Operator::ElemDrop { elem_index } => {
                self.elem_drops.insert(elem_index);
                return true;
            }
            Operator::MemoryInit { data_index, .. } => {
                self.data_inits.insert(data_index);
                return true;
            }
            Operator::DataDrop { data_index } => {
                self.data_drops.insert(data_index);
                return true;
            }
            Operator::MemoryGrow { .. } => {
                self.grows = true;
                return true;
            }
            Operator::MemorySize { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryAtomicNotify { .. }
            | Operator::MemoryAtomicWait32 { .. }
            | Operator::MemoryAtomicWait64 { .. } => return true,
            _ => {}
        }
        false
    }

    /// Adds what was found in functions that come after these.
    fn append(&mut self, mut later: Self) {
        self.grows |= later.grows;
        self.data_inits.append(&mut later.data_inits);
        self.data_drops.append(&mut later.data_drops);
        self.elem_inits.append(&mut later.elem_inits);
        self.elem_drops.append(&mut later.elem_drops);
        self.references.append(&mut later.references);
        self.touched.append(&mut later.touched);
        for (table, change) in later.table_changes {
            self.table_changes.entry(table).or_insert(change);
        }
    }
}

/// Validates the bodies and notes what is in them.
pub(crate) fn scan(bodies: Vec<Body<'_>>) -> Result<Uses, RewriteError> {
    let shares = share(bodies);
    let threads = shares.len();
    let queue = Mutex::new(shares.into_iter().enumerate());
    let work = || {
        let mut found = Vec::new();
        while let Some((place, share)) = next(&queue) {
            found.push((place, scan_share(share)));
        }
        found
    };
    let mut found = thread::scope(|scope| {
        // A thread that cannot be had is no loss: this one works through the queue as well.
        let start = |_| thread::Builder::new().spawn_scoped(scope, work).ok();
        let others: Vec<_> = (1..threads).map_while(start).collect();
        let mut found = work();
        for other in others {
            found.extend(other.join().unwrap_or_else(|panic| resume_unwind(panic)));
        }
        found
    });
    found.sort_by_key(|(place, _)| *place);
    let mut uses = Uses::default();
    for (_, part) in found {
        uses.append(part?);
    }
    Ok(uses)
}

fn next<T>(queue: &Mutex<impl Iterator<Item = T>>) -> Option<T> {
    queue.lock().unwrap_or_else(PoisonError::into_inner).next()
}

/// Cuts the bodies into runs of about equal length, one for each thread.
fn share(mut bodies: Vec<Body<'_>>) -> Vec<Vec<Body<'_>>> {
    let total: usize = bodies.iter().map(|(_, body)| body.range().len()).sum();
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_MAX));
    let threads = threads.min(total / THREAD_MIN_BYTES).max(1);
    let mut shares = Vec::with_capacity(threads);
    for _ in 1..threads {
        let mut length = 0;
        let last = bodies.iter().rev().take_while(|(_, body)| {
            length += body.range().len();
            length <= total / threads
        });
        let cut = bodies.len() - last.count();
        shares.push(bodies.split_off(cut));
    }
    shares.push(bodies);
    shares.reverse();
    shares
}

fn scan_share(bodies: Vec<Body<'_>>) -> Result<Uses, RewriteError> {
    let mut uses = Uses::default();
    let mut allocations = FuncValidatorAllocations::default();
    for (to_validate, body) in bodies {
        let index = to_validate.index;
        let mut validator = to_validate.into_validator(allocations);
        if scan_body(&mut validator, &body, &mut uses)? {
            uses.touched.push(index);
        }
        allocations = validator.into_allocations();
    }
    Ok(uses)
}

/// Validates one body; returns whether the rewrite may have to change it.
fn scan_body(
    validator: &mut FuncValidator<ValidatorResources>,
    body: &FunctionBody<'_>,
    uses: &mut Uses,
) -> Result<bool, RewriteError> {
    let index = validator.index();
    let mut reader = body.get_binary_reader();
    reader.set_features(FEATURES);
    validator.read_locals(&mut reader)?;
    let mut touched = false;
    while !reader.eof() {
        let offset = reader.original_position();
        let mut visitor = validator.visitor(offset);
        if may_matter(body.as_bytes()[offset - body.range().start]) {
            let op = reader.peek_operator(&visitor)?;
            touched |= uses.note(index, &op);
        }
        reader.visit_operator(&mut visitor)??;
    }
    reader.finish_expression(&validator.visitor(reader.original_position()))?;
    Ok(touched)
}

/// Whether an instruction that starts with this byte can be one that [`Uses::note`] looks for,
/// so that the others are decoded only once.
fn may_matter(opcode: u8) -> bool {
    const TABLE_SET: u8 = 0x26;
    const MEMORY_SIZE: u8 = 0x3f;
    const MEMORY_GROW: u8 = 0x40;
    const REF_FUNC: u8 = 0xd2;
    const BULK_PREFIX: u8 = 0xfc;
    const ATOMIC_PREFIX: u8 = 0xfe;
    matches!(opcode, TABLE_SET | MEMORY_SIZE | MEMORY_GROW | REF_FUNC | BULK_PREFIX | ATOMIC_PREFIX)
}
