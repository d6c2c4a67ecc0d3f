//! A store in which modules run as they are, or rewritten.

use faaslet_rewrite::{Rewritten, reserved};
use wasmtime::{
    Caller, Config, Engine, Extern, ExternRef, Func, Global, Instance, Linker, Memory, Module,
    OptLevel, Ref, ResourceLimiter, Rooted, Store, Trap, Val,
};

use crate::sys;

/// Pages that either side can grow to.
const HEAP_PAGES: u64 = reserved::HEAP_MAX_PAGES as u64;

/// What can be seen of a call or an instantiation.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    Returned(Vec<Seen>),
    Trapped(Trap),
    /// Not a trap: it did not link, or it has no such export.
    Failed(String),
}

/// A value, comparable.
#[derive(Debug, Clone, PartialEq)]
pub enum Seen {
    I32(i32),
    I64(i64),
    F32(u32),
    F64(u64),
    V128(u128),
    Func { null: bool },
    Extern(Option<u32>),
    Other,
}

/// What limits the plain side as the host limits the other.
pub struct Ceiling;

impl ResourceLimiter for Ceiling {
    fn memory_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired as u64 <= reserved::WINDOW_BASE)
    }

    fn table_growing(
        &mut self,
        _: usize,
        desired: usize,
        _: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(desired <= 10_000_000)
    }
}

/// The engines of both sides.
pub struct Engines {
    plain: Engine,
    rewritten: Engine,
}

impl Engines {
    pub fn new(level: OptLevel) -> Self {
        let plain = config(level);
        let mut rewritten = config(level);
        rewritten.with_host_memory(sys::Fixed::shared());
        rewritten.memory_init_cow(false);
        let engine = |config| Engine::new(config).expect("this configuration is supported");
        Self { plain: engine(&plain), rewritten: engine(&rewritten) }
    }

    pub fn plain(&self) -> World {
        World::new(&self.plain)
    }

    pub fn rewritten(&self) -> World {
        World::new(&self.rewritten)
    }
}

fn config(level: OptLevel) -> Config {
    let mut config = Config::new();
    config.cranelift_opt_level(level);
    config.parallel_compilation(false);
    config.memory_reservation(sys::FIXED_BYTES as u64);
    config.memory_guard_size(32 << 20);
    config.memory_may_move(false);
    config.gc_heap_reservation(1 << 20);
    config.gc_heap_guard_size(1 << 16);
    config.gc_heap_may_move(false);
    config.wasm_tail_call(true);
    config.wasm_relaxed_simd(true);
    config.relaxed_simd_deterministic(true);
    config.cranelift_nan_canonicalization(true);
    config.wasm_threads(true);
    config
}

/// One side: a store, and the instances that others can import from.
pub struct World {
    pub store: Store<Ceiling>,
    pub linker: Linker<Ceiling>,
}

impl World {
    fn new(engine: &Engine) -> Self {
        let mut store = Store::new(engine, Ceiling);
        store.limiter(|ceiling| ceiling);
        let mut linker = Linker::new(engine);
        linker.allow_shadowing(true);
        Self { store, linker }
    }

    /// Instantiates a module as it is.
    pub fn instantiate_plain(&mut self, wasm: &[u8]) -> Result<Instance, Outcome> {
        let module = Module::new(self.store.engine(), wasm).map_err(failed)?;
        self.linker.instantiate(&mut self.store, &module).map_err(failed)
    }

    /// Instantiates a rewritten module and boots it, as the host does.
    pub fn instantiate_rewritten(&mut self, of: &Rewritten) -> Result<Instance, Outcome> {
        let instance = self.instantiate_unbooted(of)?;
        let boot = instance
            .get_typed_func::<(), ()>(&mut self.store, reserved::BOOT)
            .expect("every rewritten module has a boot function");
        boot.call(&mut self.store, ()).map_err(failed)?;
        Ok(instance)
    }

    /// As a fork is instantiated: no boot.
    pub fn instantiate_unbooted(&mut self, of: &Rewritten) -> Result<Instance, Outcome> {
        let module = Module::new(self.store.engine(), &of.wasm).unwrap_or_else(|error| {
            panic!("a rewritten module must compile, found {error:?}");
        });
        let instance = self.linker.instantiate(&mut self.store, &module).map_err(failed)?;
        if of.plan.memory.grows {
            let max = of.plan.memory.max_pages.map_or(HEAP_PAGES, u64::from).min(HEAP_PAGES);
            let grow = self.grow_function(instance, max);
            let calls = instance.get_table(&mut self.store, reserved::CALLS).expect("grows");
            calls.set(&mut self.store, 0, Ref::Func(Some(grow))).expect("its one element");
        }
        Ok(instance)
    }

    fn grow_function(&mut self, instance: Instance, max_pages: u64) -> Func {
        let (memory, size) = (self.memory(instance), self.size_global(instance));
        Func::wrap(&mut self.store, move |mut caller: Caller<'_, Ceiling>, pages: u32| {
            let old = size.get(&mut caller).unwrap_i64() as u64;
            let new = old + u64::from(pages) * reserved::PAGE_BYTES;
            if new > max_pages * reserved::PAGE_BYTES {
                return u32::MAX;
            }
            sys::open(memory.data_ptr(&caller), old, new - old);
            size.set(&mut caller, Val::I64(new as i64)).expect("a mutable i64");
            (old / reserved::PAGE_BYTES) as u32
        })
    }

    /// The memory of a rewritten module.
    pub fn memory(&mut self, instance: Instance) -> Memory {
        instance.get_memory(&mut self.store, reserved::MEMORY).expect("always exported")
    }

    /// The virtual size of a rewritten module.
    pub fn size_global(&mut self, instance: Instance) -> Global {
        instance.get_global(&mut self.store, reserved::SIZE).expect("always exported")
    }

    pub fn call(&mut self, instance: Instance, name: &str, args: &[Val]) -> Outcome {
        let Some(func) = instance.get_func(&mut self.store, name) else {
            return Outcome::Failed(format!("no export {name}"));
        };
        let mut results = vec![Val::I32(0); func.ty(&self.store).results().len()];
        match func.call(&mut self.store, args, &mut results) {
            Ok(()) => Outcome::Returned(results.iter().map(|v| self.seen(v)).collect()),
            Err(error) => failed(error),
        }
    }

    pub fn global(&mut self, instance: Instance, name: &str) -> Outcome {
        match instance.get_global(&mut self.store, name) {
            Some(global) => {
                let value = global.get(&mut self.store);
                Outcome::Returned(vec![self.seen(&value)])
            }
            None => Outcome::Failed(format!("no global {name}")),
        }
    }

    pub fn seen(&self, value: &Val) -> Seen {
        match value {
            Val::I32(v) => Seen::I32(*v),
            Val::I64(v) => Seen::I64(*v),
            Val::F32(v) => Seen::F32(*v),
            Val::F64(v) => Seen::F64(*v),
            Val::V128(v) => Seen::V128(v.as_u128()),
            Val::FuncRef(v) => Seen::Func { null: v.is_none() },
            Val::ExternRef(v) => Seen::Extern(v.as_ref().map(|v| self.host_number(v))),
            _ => Seen::Other,
        }
    }

    fn host_number(&self, value: &Rooted<ExternRef>) -> u32 {
        let data = value.data(&self.store).expect("rooted").expect("made by a test");
        *data.downcast_ref::<u32>().expect("a number")
    }

    /// Bytes of a memory that a module exports under its own name.
    pub fn bytes(&mut self, instance: Instance, name: &str) -> Option<Vec<u8>> {
        let memory = instance.get_memory(&mut self.store, name)?;
        let length = match instance.get_global(&mut self.store, reserved::SIZE) {
            Some(size) => size.get(&mut self.store).unwrap_i64() as u64,
            None => memory.data_size(&self.store) as u64,
        };
        Some(sys::read(memory.data_ptr(&self.store), 0, length))
    }

    /// What a module exports under names of its own.
    pub fn exports(&mut self, instance: Instance) -> Vec<(String, Extern)> {
        let exports = instance.exports(&mut self.store);
        let own = exports.map(|export| (export.name().to_owned(), export.into_extern()));
        own.filter(|(name, _)| !name.starts_with(reserved::PREFIX)).collect()
    }
}

#[allow(clippy::needless_pass_by_value)] // as `map_err` hands it over
fn failed(error: wasmtime::Error) -> Outcome {
    match error.downcast_ref::<Trap>() {
        Some(trap) => Outcome::Trapped(*trap),
        None => Outcome::Failed(format!("{error:#}")),
    }
}
