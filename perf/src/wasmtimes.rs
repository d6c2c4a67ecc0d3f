//! Wasmtime's own ways to make an instance for each call: its pooling allocator, tuned by its own
//! guide, and on demand. The module is the one of its author, without our rewrite; no fibers and
//! no epochs, which is cheaper than what we run under.

use anyhow::anyhow;
use wasmtime::{
    Caller, Config, Enabled, Engine, Extern, InstanceAllocationStrategy, InstancePre, Linker,
    Memory, Module, ModuleExport, PoolingAllocationConfig, Result, Store, format_err,
};

/// The settings of the pooling allocator that are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pool {
    /// Bytes of a memory that are written over rather than given back.
    pub(crate) keep_bytes: usize,
    /// Find the pages that were written with `PAGEMAP_SCAN`.
    pub(crate) scan: bool,
    /// Memories given back at a time.
    pub(crate) batch: usize,
}

impl Pool {
    /// As it is shown.
    pub(crate) fn name(self) -> String {
        let Self { keep_bytes, scan, batch } = self;
        format!(
            "keep={}K scan={} batch={batch}",
            keep_bytes / 1024,
            if scan { "yes" } else { "no" }
        )
    }

    /// All that are tried.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for keep_bytes in [0, 64 << 10, 256 << 10, 1 << 20, 8 << 20] {
            for scan in [false, true] {
                for batch in [1, 16] {
                    all.push(Self { keep_bytes, scan, batch });
                }
            }
        }
        all
    }
}

/// The settings of memories that are mapped for each instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mapping {
    /// Initial contents are mapped from a file rather than written.
    pub(crate) cow: bool,
    /// Address space of a memory; with less than 4 GiB, code checks its bounds.
    pub(crate) reserve_bytes: u64,
    /// Address space behind it that is never mapped.
    pub(crate) guard_bytes: u64,
}

impl Mapping {
    /// As it is shown.
    pub(crate) fn name(self) -> String {
        let Self { cow, reserve_bytes, guard_bytes } = self;
        let (reserve, guard) = (reserve_bytes >> 20, guard_bytes >> 20);
        format!("cow={} reserve={reserve}M guard={guard}M", if cow { "yes" } else { "no" })
    }

    /// All that are tried.
    pub(crate) fn all() -> Vec<Self> {
        let mut all = Vec::new();
        for cow in [true, false] {
            for reserve_bytes in [4 << 30, 64 << 20, 0] {
                for guard_bytes in [32 << 20, 0] {
                    all.push(Self { cow, reserve_bytes, guard_bytes });
                }
            }
        }
        all
    }
}

/// A module, made anew for each call.
pub(crate) struct Peer {
    engine: Engine,
    pre: InstancePre<Guest>,
    main: ModuleExport,
    input: Vec<u8>,
}

/// What the functions that it imports need.
struct Guest {
    input: Vec<u8>,
    memory: Option<Memory>,
}

impl Peer {
    /// Over the pooling allocator.
    pub(crate) fn pooling(pool: Pool, module: &[u8], input: Vec<u8>) -> anyhow::Result<Self> {
        let mut pooling = PoolingAllocationConfig::new();
        pooling
            .linear_memory_keep_resident(pool.keep_bytes)
            .table_keep_resident(64 << 10)
            .decommit_batch_size(pool.batch)
            .pagemap_scan(if pool.scan { Enabled::Yes } else { Enabled::No })
            .total_core_instances(100)
            .total_memories(100)
            .total_tables(100)
            .max_memory_size(256 << 20);
        let mut config = Config::new();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pooling));
        Self::new(&config, module, input).map_err(|error| anyhow!("{error:#}"))
    }

    /// Mapped and unmapped for each instance.
    pub(crate) fn on_demand(
        mapping: Mapping,
        module: &[u8],
        input: Vec<u8>,
    ) -> anyhow::Result<Self> {
        let mut config = Config::new();
        config
            .memory_init_cow(mapping.cow)
            .memory_reservation(mapping.reserve_bytes)
            .memory_reservation_for_growth(0)
            .memory_guard_size(mapping.guard_bytes)
            .guard_before_linear_memory(mapping.guard_bytes > 0);
        Self::new(&config, module, input).map_err(|error| anyhow!("{error:#}"))
    }

    fn new(config: &Config, module: &[u8], input: Vec<u8>) -> Result<Self> {
        let engine = Engine::new(config)?;
        let module = Module::new(&engine, module)?;
        let main = module.get_export_index("faaslet_main");
        let main = main.ok_or_else(|| format_err!("the guest has no faaslet_main"))?;
        let pre = linker(&engine)?.instantiate_pre(&module)?;
        Ok(Self { engine, pre, main, input })
    }

    /// One call: instantiate, run, drop; the status must be 0.
    pub(crate) fn call(&self) -> anyhow::Result<()> {
        let status = self.status().map_err(|error| anyhow!("{error:#}"))?;
        anyhow::ensure!(status == 0, "the guest returned {status}: a page was not as it should be");
        Ok(())
    }

    fn status(&self) -> Result<i32> {
        let mut store = Store::new(&self.engine, Guest { input: self.input.clone(), memory: None });
        let instance = self.pre.instantiate(&mut store)?;
        let main = instance.get_module_export(&mut store, &self.main).and_then(Extern::into_func);
        let main = main.ok_or_else(|| format_err!("faaslet_main is no function"))?;
        main.typed::<(), i32>(&store)?.call(&mut store, ())
    }
}

/// What the guests of the fork group import.
fn linker(engine: &Engine) -> Result<Linker<Guest>> {
    let mut linker = Linker::new(engine);
    linker.func_wrap("faaslet_v1", "input_len", |caller: Caller<'_, Guest>| {
        caller.data().input.len() as i32
    })?;
    linker.func_wrap("faaslet_v1", "input_read", input_read)?;
    linker.func_wrap("faaslet_v1", "error_set", |_: Caller<'_, Guest>, _: i32, _: i32| 0_i32)?;
    Ok(linker)
}

fn input_read(mut caller: Caller<'_, Guest>, offset: i32, ptr: i32, len: i32) -> Result<i32> {
    let memory = match caller.data().memory {
        Some(memory) => memory,
        None => {
            let memory = caller.get_export("memory").and_then(Extern::into_memory);
            let memory = memory.ok_or_else(|| format_err!("the guest has no memory"))?;
            caller.data_mut().memory = Some(memory);
            memory
        }
    };
    let (bytes, guest) = memory.data_and_store_mut(&mut caller);
    let rest = guest.input.get(offset as usize..).unwrap_or_default();
    let part = &rest[..rest.len().min(len as usize)];
    let to = bytes.get_mut(ptr as usize..ptr as usize + part.len());
    to.ok_or_else(|| format_err!("out of bounds"))?.copy_from_slice(part);
    Ok(part.len() as i32)
}
