//! A module's sections, checked as they are read.
//!
//! What it is: one pass that validates everything but the function bodies (see [`crate::scan`])
//! and keeps the facts that the rewrite needs. What it is not: a copy of the module; sections
//! stay where they are and are known by their range.

use std::ops::Range;

use wasmparser::{
    BinaryReader, Chunk, DataKind, ElementItems, ElementKind, ExternalKind, FuncToValidate,
    FuncType, FunctionBody, GlobalType, Import, MemoryType, Operator, Parser, Payload, TableInit,
    TableType, TypeRef, ValType, ValidPayload, Validator, ValidatorResources, WasmFeatures,
};

use crate::error::RewriteError;
use crate::limits::Limits;
use crate::plan::{Entry, Hook};
use crate::reserved::{HEAP_MAX_PAGES, PREFIX};
use crate::{Contract, imports, names};

mod entry;

/// The features of WebAssembly that a module may use: those that the host compiles and whose
/// state an image can hold.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::MUTABLE_GLOBAL
    .union(WasmFeatures::SATURATING_FLOAT_TO_INT)
    .union(WasmFeatures::SIGN_EXTENSION)
    .union(WasmFeatures::MULTI_VALUE)
    .union(WasmFeatures::BULK_MEMORY)
    .union(WasmFeatures::REFERENCE_TYPES)
    .union(WasmFeatures::GC_TYPES) // only so that externref is a type
    .union(WasmFeatures::SIMD)
    .union(WasmFeatures::RELAXED_SIMD)
    .union(WasmFeatures::THREADS)
    .union(WasmFeatures::TAIL_CALL)
    .union(WasmFeatures::EXTENDED_CONST)
    .union(WasmFeatures::EXCEPTIONS)
    .union(WasmFeatures::FLOATS);

/// Ids of the sections that the rewrite handles.
pub(crate) mod id {
    pub(crate) const CUSTOM: u8 = 0;
    pub(crate) const TYPE: u8 = 1;
    pub(crate) const IMPORT: u8 = 2;
    pub(crate) const FUNCTION: u8 = 3;
    pub(crate) const TABLE: u8 = 4;
    pub(crate) const MEMORY: u8 = 5;
    pub(crate) const GLOBAL: u8 = 6;
    pub(crate) const EXPORT: u8 = 7;
    pub(crate) const ELEMENT: u8 = 9;
    pub(crate) const CODE: u8 = 10;
    pub(crate) const DATA: u8 = 11;
    pub(crate) const DATA_COUNT: u8 = 12;
    pub(crate) const TAG: u8 = 13;
    pub(crate) const COUNT: usize = 14;
}

/// A function body with what its validation needs.
pub(crate) type Body<'a> = (FuncToValidate<ValidatorResources>, FunctionBody<'a>);

/// A data segment.
pub(crate) struct Segment<'a> {
    /// The offset expression without its `end`, when the segment is active.
    pub(crate) active: Option<&'a [u8]>,
    pub(crate) data: &'a [u8],
}

/// The facts of one module.
#[derive(Default)]
pub(crate) struct Module<'a> {
    pub(crate) bytes: &'a [u8],
    /// Contents of each section that is there, by id, without id and length.
    pub(crate) sections: [Option<Range<usize>>; id::COUNT],
    pub(crate) types: Vec<FuncType>,
    pub(crate) imports: Vec<Import<'a>>,
    /// Type index of each function, the imported ones first.
    pub(crate) functions: Vec<u32>,
    pub(crate) imported_functions: u32,
    pub(crate) tables: Vec<TableType>,
    pub(crate) memory: Option<MemoryType>,
    /// All globals, imported ones first.
    pub(crate) globals: Vec<GlobalType>,
    pub(crate) start: Option<u32>,
    /// For each element segment whether it is passive.
    pub(crate) passive_elements: Vec<bool>,
    /// Functions that element segments and initial values refer to.
    pub(crate) referenced: Vec<u32>,
    pub(crate) segments: Vec<Segment<'a>>,
    /// Where each defined function's body lies, its length prefix not included.
    pub(crate) body_ranges: Vec<Range<usize>>,
    /// Taken by the scan.
    pub(crate) bodies: Vec<Body<'a>>,
    /// Contents of the name section.
    pub(crate) names: Option<&'a [u8]>,
    pub(crate) abi: Option<u32>,
    pub(crate) entry: Entry,
    pub(crate) hooks: Vec<Hook>,
}

impl<'a> Module<'a> {
    /// Pages at the start; 0 for a module without memory.
    pub(crate) fn min_pages(&self) -> u32 {
        self.memory.map_or(0, |memory| memory.initial as u32)
    }

    /// Contents of a section.
    pub(crate) fn section(&self, id: u8) -> Option<&'a [u8]> {
        self.sections[id as usize].clone().map(|range| &self.bytes[range])
    }

    /// The type of a function.
    pub(crate) fn function_type(&self, index: u32) -> Option<&FuncType> {
        self.types.get(*self.functions.get(index as usize)? as usize)
    }
}

/// Reads and checks a module.
pub(crate) fn parse<'a>(
    bytes: &'a [u8],
    limits: &Limits,
    contract: Contract,
) -> Result<Module<'a>, RewriteError> {
    check_header(bytes, limits)?;
    let module = Module { bytes, ..Module::default() };
    let mut reader = Reader { module, limits, contract, exports: Vec::new() };
    let mut validator = Validator::new_with_features(FEATURES);
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    let mut at = 0;
    loop {
        let chunk = parser.parse(&bytes[at..], at == bytes.len())?;
        let Chunk::Parsed { consumed, payload } = chunk else {
            let Chunk::NeedMoreData(missing) = chunk else { unreachable!("two variants") };
            return Err(RewriteError::Truncated { length: bytes.len(), missing });
        };
        at += consumed;
        reader.payload(&payload)?;
        match validator.payload(&payload)? {
            ValidPayload::Func(to_validate, body) => {
                reader.module.body_ranges.push(body.range());
                reader.module.bodies.push((to_validate, body));
            }
            ValidPayload::End(_) => break,
            ValidPayload::Ok | ValidPayload::Parser(_) => {}
        }
    }
    reader.finish()
}

/// The cheap checks that need no parser.
fn check_header(bytes: &[u8], limits: &Limits) -> Result<(), RewriteError> {
    const MAGIC: &[u8] = b"\0asm";
    over("bytes in a module", bytes.len(), limits.module_bytes, "strip debug information")?;
    let start = &bytes[..bytes.len().min(MAGIC.len())];
    if !MAGIC.starts_with(start) || bytes.is_empty() {
        let found = match start {
            [] => "no bytes".to_owned(),
            start => start.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" "),
        };
        return Err(RewriteError::NotWasm { found });
    }
    if Parser::is_component(bytes) {
        return Err(RewriteError::Component);
    }
    Ok(())
}

/// Refuses `found` of something when `limit` is the most.
fn over<N: TryInto<u64>, M: TryInto<u64>>(
    what: &'static str,
    found: N,
    limit: M,
    advice: &'static str,
) -> Result<(), RewriteError> {
    let found = found.try_into().unwrap_or(u64::MAX);
    let limit = limit.try_into().unwrap_or(u64::MAX);
    if found > limit {
        return Err(RewriteError::OverLimit { what, found, limit, advice });
    }
    Ok(())
}

/// Refuses what an image cannot hold: a table or global of exceptions, which live in a heap of the
/// engine's.
fn holds(ty: ValType, offset: usize) -> Result<(), RewriteError> {
    match ty {
        ValType::Ref(ty) if !ty.is_func_ref() && !ty.is_extern_ref() => {
            let message = format!("a table or global of {ty}, which no image can hold");
            Err(RewriteError::Invalid { offset, message })
        }
        _ => Ok(()),
    }
}

const ASK: &str = "make the module smaller, or ask the operator to raise the limit";

struct Reader<'a, 'l> {
    module: Module<'a>,
    limits: &'l Limits,
    contract: Contract,
    /// Functions exported under any name.
    exports: Vec<(&'a str, u32)>,
}

impl<'a> Reader<'a, '_> {
    /// Takes the facts of one section. It runs before the validator sees the section, so that
    /// what we refuse by name is named; everything that is read here is checked again there.
    fn payload(&mut self, payload: &Payload<'a>) -> Result<(), RewriteError> {
        if let Some((id, range)) = payload.as_section()
            && let Some(slot) = self.module.sections.get_mut(id as usize)
        {
            *slot = Some(range);
        }
        match payload {
            Payload::TypeSection(s) => {
                over("types", s.count(), self.limits.types, ASK)?;
                for ty in s.clone().into_iter_err_on_gc_types() {
                    self.module.types.push(ty?);
                }
                Ok(())
            }
            Payload::ImportSection(s) => {
                over("imports", s.count(), self.limits.imports, ASK)?;
                s.clone().into_imports().try_for_each(|import| self.import(import?))
            }
            Payload::FunctionSection(s) => self.functions(s),
            Payload::TableSection(s) => self.tables(s),
            Payload::MemorySection(s) => self.memories(s),
            Payload::GlobalSection(s) => self.globals(s),
            Payload::ExportSection(s) => self.exports(s),
            Payload::StartSection { func, .. } => {
                self.module.start = Some(*func);
                Ok(())
            }
            Payload::ElementSection(s) => self.elements(s),
            Payload::DataCountSection { count, .. } => {
                over("data segments", *count, self.limits.data_segments, ASK)
            }
            Payload::DataSection(s) => self.data(s),
            Payload::CustomSection(s) if s.name() == names::SECTION => {
                self.module.names = Some(s.data());
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn import(&mut self, import: Import<'a>) -> Result<(), RewriteError> {
        let kind = match import.ty {
            TypeRef::Func(ty) | TypeRef::FuncExact(ty) => {
                if self.contract == Contract::Function {
                    let ty = self.module.types.get(ty as usize);
                    let abi = imports::check(import.module, import.name, ty)?;
                    self.module.abi = self.module.abi.or(abi);
                }
                self.module.functions.push(ty);
                self.module.imported_functions += 1;
                self.module.imports.push(import);
                return Ok(());
            }
            TypeRef::Global(ty) if self.contract == Contract::Open => {
                self.module.globals.push(ty);
                return Ok(());
            }
            TypeRef::Memory(_) => "memory",
            TypeRef::Table(_) => "table",
            TypeRef::Global(_) => "global",
            TypeRef::Tag(_) => "tag",
        };
        let (module, name) = (import.module.to_owned(), import.name.to_owned());
        Err(RewriteError::ImportKind { kind, module, name })
    }

    fn functions(&mut self, s: &wasmparser::FunctionSectionReader<'a>) -> Result<(), RewriteError> {
        let count = u64::from(self.module.imported_functions) + u64::from(s.count());
        over("functions", count, self.limits.functions, ASK)?;
        for ty in s.clone() {
            self.module.functions.push(ty?);
        }
        Ok(())
    }

    fn tables(&mut self, s: &wasmparser::TableSectionReader<'a>) -> Result<(), RewriteError> {
        over("tables", s.count(), self.limits.tables, ASK)?;
        let mut elements = 0_u64;
        for table in s.clone() {
            let table = table?;
            elements = elements.saturating_add(table.ty.initial);
            over("elements of all tables at the start", elements, self.limits.table_elements, ASK)?;
            if let TableInit::Expr(init) = &table.init {
                self.references(init)?;
            }
            holds(ValType::Ref(table.ty.element_type), s.range().start)?;
            self.module.tables.push(table.ty);
        }
        Ok(())
    }

    fn memories(&mut self, s: &wasmparser::MemorySectionReader<'a>) -> Result<(), RewriteError> {
        let refuse = |found, advice| Err(RewriteError::Memory { found, advice });
        if s.count() > 1 {
            return refuse("more than one", "build without the multi-memory feature");
        }
        for memory in s.clone() {
            let memory = memory?;
            if memory.memory64 {
                return refuse("a 64-bit memory", "build for wasm32 rather than wasm64");
            }
            if memory.shared {
                return refuse(
                    "a shared memory",
                    "build without threads (no -pthread, no wasm32-wasip1-threads target)",
                );
            }
            let limit = self.limits.memory_pages.min(HEAP_MAX_PAGES);
            let advice = "link with a smaller --initial-memory, or ask the operator for more";
            over("pages of memory at the start", memory.initial, limit, advice)?;
            self.module.memory = Some(memory);
        }
        Ok(())
    }

    fn globals(&mut self, s: &wasmparser::GlobalSectionReader<'a>) -> Result<(), RewriteError> {
        over("globals", s.count(), self.limits.globals, ASK)?;
        for global in s.clone() {
            let global = global?;
            self.references(&global.init_expr)?;
            holds(global.ty.content_type, s.range().start)?;
            self.module.globals.push(global.ty);
        }
        Ok(())
    }

    fn exports(&mut self, s: &wasmparser::ExportSectionReader<'a>) -> Result<(), RewriteError> {
        over("exports", s.count(), self.limits.exports, ASK)?;
        for export in s.clone() {
            let export = export?;
            if export.name.starts_with(PREFIX) {
                return Err(RewriteError::ReservedExport { name: export.name.to_owned() });
            }
            if matches!(export.kind, ExternalKind::Func | ExternalKind::FuncExact) {
                self.exports.push((export.name, export.index));
            }
        }
        Ok(())
    }

    fn elements(&mut self, s: &wasmparser::ElementSectionReader<'a>) -> Result<(), RewriteError> {
        over("element segments", s.count(), self.limits.element_segments, ASK)?;
        for element in s.clone() {
            let element = element?;
            let passive = matches!(element.kind, ElementKind::Passive);
            self.module.passive_elements.push(passive);
            match element.items {
                ElementItems::Functions(functions) => {
                    for function in functions {
                        self.module.referenced.push(function?);
                    }
                }
                ElementItems::Expressions(_, items) => {
                    for item in items {
                        self.references(&item?)?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes the functions that a constant expression refers to.
    fn references(&mut self, init: &wasmparser::ConstExpr<'a>) -> Result<(), RewriteError> {
        for op in init.get_operators_reader() {
            if let Operator::RefFunc { function_index } = op? {
                self.module.referenced.push(function_index);
            }
        }
        Ok(())
    }

    fn data(&mut self, s: &wasmparser::DataSectionReader<'a>) -> Result<(), RewriteError> {
        over("data segments", s.count(), self.limits.data_segments, ASK)?;
        for data in s.clone() {
            let data = data?;
            let active = match &data.kind {
                DataKind::Passive => None,
                DataKind::Active { offset_expr, .. } => {
                    let mut expr = offset_expr.get_binary_reader();
                    let without_end = expr.bytes_remaining().saturating_sub(1);
                    Some(expr.read_bytes(without_end)?)
                }
            };
            self.module.segments.push(Segment { active, data: data.data });
        }
        Ok(())
    }

    /// The checks over the whole module.
    fn finish(mut self) -> Result<Module<'a>, RewriteError> {
        let found = entry::find(&self.module, &self.exports, self.contract)?;
        (self.module.entry, self.module.hooks) = found;
        Ok(self.module)
    }
}

/// The body that lies at `range`.
pub(crate) fn body_at<'a>(module: &Module<'a>, range: Range<usize>) -> FunctionBody<'a> {
    let mut reader = BinaryReader::new(&module.bytes[range.clone()], range.start);
    reader.set_features(FEATURES);
    FunctionBody::new(reader)
}
