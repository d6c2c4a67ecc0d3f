//! What the rewrite adds to a module: types, a table, globals and two functions, each behind
//! the guest's own, so that no index of the guest's moves.

use std::collections::BTreeMap;

use wasm_encoder::{BlockType, InstructionSink, MemArg};
use wasmparser::ValType;

use crate::parse::Module;
use crate::plan::GlobalPlan;
use crate::reserved::WINDOW_BASE;
use crate::scan::Uses;

/// How `memory.init` knows that its segment was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Drop {
    /// It always is: the segment was active.
    Always,
    /// When this global is not 0.
    Flag(u32),
}

/// Indices and lists of what is added.
#[derive(Debug)]
pub(crate) struct Additions {
    /// Type `(i32, i32) -> ()`.
    pub(crate) check_type: u32,
    /// Type `() -> ()`.
    pub(crate) boot_type: u32,
    /// Type `(i32) -> i32`.
    pub(crate) grow_type: u32,
    /// Traps unless the range `(address, length)` may be touched by host code.
    pub(crate) check: u32,
    /// Writes the active segments and runs the start function.
    pub(crate) boot: u32,
    /// The last table, if the code grows memory.
    pub(crate) calls: u32,
    /// The virtual size in bytes.
    pub(crate) size: u32,
    /// The end of the used state window.
    pub(crate) window: u32,
    /// Added globals that say whether a segment was dropped.
    pub(crate) flags: u32,
    /// Data segments that `memory.init` must treat as dropped, always or at times.
    pub(crate) data: BTreeMap<u32, Drop>,
    /// Element segments that are both dropped and used in code, with their flag.
    pub(crate) elements: BTreeMap<u32, u32>,
    pub(crate) exported_globals: Vec<GlobalPlan>,
    /// Tables that code changes, and the first one if the guest calls functions by its indices.
    pub(crate) exported_tables: Vec<u32>,
    pub(crate) exported_functions: Vec<u32>,
}

impl Additions {
    pub(crate) fn new(module: &Module<'_>, uses: &Uses) -> Self {
        let (types, functions) = (module.types.len() as u32, module.functions.len() as u32);
        let globals = module.globals.len() as u32;
        let mut additions = Self {
            check_type: types,
            boot_type: types + 1,
            grow_type: types + 2,
            check: functions,
            boot: functions + 1,
            calls: module.tables.len() as u32,
            size: globals,
            window: globals + 1,
            flags: 0,
            data: BTreeMap::new(),
            elements: BTreeMap::new(),
            exported_globals: mutable_globals(module),
            exported_tables: exported_tables(module, uses),
            exported_functions: Vec::new(),
        };
        additions.plan_data(module, uses);
        additions.plan_elements(module, uses);
        if holds_functions(module, uses) {
            let mut functions = module.referenced.clone();
            functions.extend(&uses.references);
            functions.sort_unstable();
            functions.dedup();
            additions.exported_functions = functions;
        }
        additions
    }

    fn plan_data(&mut self, module: &Module<'_>, uses: &Uses) {
        for &index in &uses.data_inits {
            let active = module.segments.get(index as usize).is_some_and(|s| s.active.is_some());
            if active {
                self.data.insert(index, Drop::Always);
            } else if uses.data_drops.contains(&index) {
                let flag = self.flag();
                self.data.insert(index, Drop::Flag(flag));
            }
        }
    }

    /// An active or declared element segment is dropped for good at instantiation, in a fork as
    /// in a fresh instance, so only passive ones need a flag.
    fn plan_elements(&mut self, module: &Module<'_>, uses: &Uses) {
        for &index in uses.elem_inits.intersection(&uses.elem_drops) {
            if module.passive_elements.get(index as usize) == Some(&true) {
                let flag = self.flag();
                self.elements.insert(index, flag);
            }
        }
    }

    fn flag(&mut self) -> u32 {
        let index = self.window + 1 + self.flags;
        self.flags += 1;
        self.exported_globals.push(GlobalPlan { index, ty: ValType::I32.into() });
        index
    }
}

fn mutable_globals(module: &Module<'_>) -> Vec<GlobalPlan> {
    let mutable = module.globals.iter().enumerate().filter(|(_, global)| global.mutable);
    mutable
        .map(|(index, global)| GlobalPlan { index: index as u32, ty: global.content_type.into() })
        .collect()
}

fn exported_tables(module: &Module<'_>, uses: &Uses) -> Vec<u32> {
    let calls = |import: &wasmparser::Import<'_>| {
        import.module == faaslet_abi::IMPORT_MODULE
            && import.name == faaslet_abi::import::CALL_TABLE
    };
    let mut tables: Vec<u32> = uses.table_changes.keys().copied().collect();
    if !module.tables.is_empty() && !tables.contains(&0) && module.imports.iter().any(calls) {
        tables.insert(0, 0);
    }
    tables
}

/// Whether an image of the module has to name functions.
fn holds_functions(module: &Module<'_>, uses: &Uses) -> bool {
    let global = |g: &wasmparser::GlobalType| {
        g.mutable && matches!(g.content_type, ValType::Ref(ty) if ty.is_func_ref())
    };
    !uses.table_changes.is_empty() || module.globals.iter().any(global)
}

/// An access that is out of bounds whatever the size of the memory, so that the trap is the one
/// that WebAssembly asks for. The byte is the highest address plus the highest offset.
pub(crate) fn trap_memory(code: &mut InstructionSink<'_>) {
    let memarg = MemArg { offset: u64::from(u32::MAX), align: 0, memory_index: 0 };
    code.i32_const(-1).i32_load8_u(memarg).drop();
}

/// As [`trap_memory`], for a table: no table has this many elements.
pub(crate) fn trap_table(code: &mut InstructionSink<'_>, table: u32) {
    code.i32_const(-1).table_get(table).drop();
}

/// Body of the check `(address, length)`: the range must lie below the virtual size or within
/// the used part of the window.
pub(crate) fn check_body(additions: &Additions) -> Vec<u8> {
    const ADDRESS: u32 = 0;
    const LENGTH: u32 = 1;
    const END: u32 = 2;
    let mut body = vec![1, 1, 0x7e]; // one group of locals: one i64
    let mut code = InstructionSink::new(&mut body);
    code.local_get(ADDRESS).i64_extend_i32_u().local_get(LENGTH).i64_extend_i32_u().i64_add();
    code.local_tee(END).global_get(additions.size).i64_gt_u().if_(BlockType::Empty);
    code.local_get(ADDRESS).i32_const(WINDOW_BASE as u32 as i32).i32_lt_u();
    code.local_get(END).global_get(additions.window).i64_gt_u().i32_or().if_(BlockType::Empty);
    trap_memory(&mut code);
    code.end().end().end();
    body
}

/// Body of the boot function. The segments are written in order, each checked as WebAssembly
/// checks it at instantiation; then the start function runs.
pub(crate) fn boot_body(module: &Module<'_>, additions: &Additions) -> Vec<u8> {
    const ADDRESS: u32 = 0;
    let mut body = vec![1, 1, 0x7f]; // one group of locals: one i32
    for (index, segment) in module.segments.iter().enumerate() {
        let Some(offset) = segment.active else { continue };
        let length = segment.data.len() as u32 as i32;
        body.extend_from_slice(offset);
        let mut code = InstructionSink::new(&mut body);
        code.local_tee(ADDRESS).i32_const(length).call(additions.check);
        code.local_get(ADDRESS).i32_const(0).i32_const(length).memory_init(0, index as u32);
    }
    let mut code = InstructionSink::new(&mut body);
    if let Some(start) = module.start {
        code.call(start);
    }
    code.end();
    body
}
