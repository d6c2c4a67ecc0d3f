//! Runs a guest under our calls, in a plain Wasmtime store.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use faaslet_wasi::abi::IMPORT_MODULE;
use faaslet_wasi::{
    Captured, Clock, Config, Console, Errno, Exit, Preopen, Random, Stdio, Step, Wasi,
    for_each_import, settle,
};
use rustix::fs::{Mode, OFlags};
use wasmtime::{Caller, Engine, Error, Extern, Linker, Module, Store};

use super::fixture::Fixture;
use super::memory::Memory;
use super::{ENVIRONMENT, Outcome, PROGRAM, Run};

const MAX_OUTPUT_BYTES: usize = 16 << 20;

/// What the store holds.
struct Host {
    wasi: Option<Wasi<Streams>>,
    exit: Option<u32>,
}

/// Output kept, errors kept as they are.
struct Streams {
    kept: Captured,
    errors: Vec<u8>,
}

impl Console for Streams {
    fn read_input(&mut self, buf: &mut [u8]) -> Result<usize, Errno> {
        self.kept.read_input(buf)
    }

    fn print(&mut self, stream: Stdio, bytes: &[u8]) -> Result<(), Errno> {
        if stream == Stdio::Output {
            return self.kept.print(stream, bytes);
        }
        self.errors.extend_from_slice(bytes);
        Ok(())
    }

    fn note(&mut self, line: &str) {
        self.errors.extend_from_slice(line.as_bytes());
    }
}

/// Runs `body` over the guest's memory.
fn with<T>(
    caller: &mut Caller<'_, Host>,
    body: impl FnOnce(&mut Wasi<Streams>, &Memory<&mut [u8]>) -> T,
) -> T {
    let mut wasi = caller.data_mut().wasi.take().expect("no call is under way");
    let Some(Extern::Memory(memory)) = caller.get_export("memory") else { panic!("no memory") };
    let done = body(&mut wasi, &Memory::over(memory.data_mut(&mut *caller)));
    caller.data_mut().wasi = Some(wasi);
    done
}

/// Lets the time pass that the guest wants to sleep.
fn wait(time: Duration) {
    let end = Instant::now() + time;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|it| !it.is_zero()) {
        std::thread::park_timeout(left);
    }
}

macro_rules! bind_one {
    (call $linker:ident $name:ident $($param:ident: $ty:ty),*) => {
        $linker.func_wrap(
            IMPORT_MODULE,
            stringify!($name),
            |mut caller: Caller<'_, Host>, $($param: $ty),*| -> wasmtime::Result<i32> {
                let call = with(&mut caller, |wasi, mem| wasi.$name(mem, $($param),*));
                settle(call).map_err(Error::new)
            },
        )
    };
    (wait $linker:ident $name:ident $($param:ident: $ty:ty),*) => {
        $linker.func_wrap(
            IMPORT_MODULE,
            stringify!($name),
            |mut caller: Caller<'_, Host>, $($param: $ty),*| -> wasmtime::Result<i32> {
                match with(&mut caller, |wasi, mem| wasi.$name(mem, $($param),*)) {
                    Ok(Step::Done(errno)) => return Ok(i32::from(errno.number())),
                    Ok(Step::Sleep(time)) => wait(time),
                    Ok(Step::Yield) => std::thread::yield_now(),
                    Err(trap) => return Err(Error::new(trap)),
                }
                Ok(0)
            },
        )
    };
    (exit $linker:ident $name:ident $($param:ident: $ty:ty),*) => {
        $linker.func_wrap(
            IMPORT_MODULE,
            stringify!($name),
            |mut caller: Caller<'_, Host>, $($param: $ty),*| -> wasmtime::Result<()> {
                let Exit(status) = with(&mut caller, |wasi, mem| wasi.$name(mem, $($param),*))
                    .map_err(Error::new)?;
                caller.data_mut().exit = Some(status);
                Err(Error::msg("the guest ended itself"))
            },
        )
    };
}

macro_rules! bind {
    ([$linker:ident] $($kind:ident $name:ident($($param:ident: $ty:ty),*);)*) => {
        $(bind_one!($kind $linker $name $($param: $ty),*).expect("a new import");)*
    };
}

/// A guest, compiled once.
pub(crate) struct Guest {
    module: Module,
    linker: Linker<Host>,
}

impl Guest {
    /// Compiles `module`.
    pub(crate) fn new(module: &Path) -> Self {
        let engine = Engine::default();
        let module = Module::from_file(&engine, module).expect("a module");
        let mut linker = Linker::new(&engine);
        for_each_import!(bind, linker);
        Self { module, linker }
    }

    /// Runs it as a command.
    pub(crate) fn run(&self, fixture: &Fixture, run: Run<'_>) -> Outcome {
        let wasi = wasi(fixture, run);
        let mut store = Store::new(self.module.engine(), Host { wasi: Some(wasi), exit: None });
        let started = self.linker.instantiate(&mut store, &self.module).and_then(|instance| {
            instance.get_typed_func::<(), ()>(&mut store, "_start")?.call(&mut store, ())
        });
        let mut host = store.into_data();
        let end = match (started, host.exit) {
            (_, Some(status)) => Ok(status),
            (Ok(()), None) => Ok(0),
            (Err(error), None) => Err(format!("{error:?}")),
        };
        let streams = host.wasi.as_mut().expect("no call is under way").console();
        Outcome {
            output: String::from_utf8_lossy(streams.kept.output()).into_owned(),
            errors: String::from_utf8_lossy(&streams.errors).into_owned(),
            end,
        }
    }
}

fn wasi(fixture: &Fixture, run: Run<'_>) -> Wasi<Streams> {
    let args: Vec<String> =
        std::iter::once(PROGRAM).chain(run.args.iter().copied()).map(str::to_owned).collect();
    let env = ENVIRONMENT.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let folders = [("/data", fixture.data()), ("/other", fixture.other())];
    let folders = folders.map(|(guest, host)| {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = rustix::fs::open(host, flags, Mode::empty()).expect("a folder");
        Preopen::new(guest, folder, false)
    });
    let config = Config::new(&args, &env, folders.into()).expect("a configuration");
    let kept = Captured::new(run.input.into(), MAX_OUTPUT_BYTES);
    let streams = Streams { kept, errors: Vec::new() };
    Wasi::new(Arc::new(config), Clock::live(), Random::live(), streams)
}
