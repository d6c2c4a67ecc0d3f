//! WASI preview 1, bound to Wasmtime: every import of `faaslet-wasi` in a few lines.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Instant;

use faaslet_wasi::{Errno, Exit, Fault, GuestMemory, Step, Trap, settle};
use wasmtime::{Caller, Linker};

use super::Host;
use crate::cell::exchange::{Exchange, Phase};
use crate::cell::stop::Stop;

/// Import module of WASI preview 1.
const WASI: &str = "wasi_snapshot_preview1";

/// The slot's memory as WASI sees it.
pub(crate) struct Memory<'a>(pub(crate) &'a faaslet_snapshot::guest::GuestMemory);

impl GuestMemory for Memory<'_> {
    fn check(&self, addr: u32, len: u32) -> Result<(), Fault> {
        self.0.range(addr, len).map(|_| ()).map_err(|_| Fault { addr, len })
    }
    fn read(&self, addr: u32, buf: &mut [u8]) -> Result<(), Fault> {
        let len = buf.len() as u32;
        self.0.read(addr, buf).map_err(|_| Fault { addr, len })
    }
    fn write(&self, addr: u32, bytes: &[u8]) -> Result<(), Fault> {
        let len = bytes.len() as u32;
        self.0.write(addr, bytes).map_err(|_| Fault { addr, len })
    }
}

macro_rules! bind_import {
    (call $linker:ident $name:ident($($param:ident: $ty:ty),*)) => {
        $linker.func_wrap(
            WASI,
            stringify!($name),
            |mut caller: Caller<'_, Host>, $($param: $ty),*| -> wasmtime::Result<i32> {
                caller.data().refuse_lost()?;
                let Host { wasi, memory, .. } = caller.data_mut();
                settle(wasi.$name(&Memory(memory), $($param),*)).map_err(trap)
            },
        )?;
    };
    (wait $linker:ident $name:ident($($param:ident: $ty:ty),*)) => {
        $linker.func_wrap_async(
            WASI,
            stringify!($name),
            |mut caller: Caller<'_, Host>, ($($param,)*): ($($ty,)*)| {
                Box::new(async move {
                    caller.data().refuse_lost()?;
                    let Host { wasi, memory, exchange, running, .. } = caller.data_mut();
                    let step = wasi.$name(&Memory(memory), $($param),*);
                    wait(step, exchange.clone(), running.call.deadline).await
                })
            },
        )?;
    };
    (exit $linker:ident $name:ident($($param:ident: $ty:ty),*)) => {
        $linker.func_wrap(
            WASI,
            stringify!($name),
            |mut caller: Caller<'_, Host>, $($param: $ty),*| -> wasmtime::Result<()> {
                caller.data().refuse_lost()?;
                let Host { wasi, memory, .. } = caller.data_mut();
                let Exit(status) = wasi.$name(&Memory(memory), $($param),*).map_err(trap)?;
                Err(Stop::Exit(status).into())
            },
        )?;
    };
}

macro_rules! bind_imports {
    ([$linker:ident] $($kind:ident $name:ident($($param:ident: $ty:ty),*);)*) => {
        $(bind_import!($kind $linker $name($($param: $ty),*));)*
    };
}

pub(super) fn bind(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    faaslet_wasi::for_each_import!(bind_imports, linker);
    Ok(())
}

fn trap(trap: Trap) -> wasmtime::Error {
    wasmtime::Error::new(trap)
}

/// Lets time or others pass without holding the thread.
async fn wait(
    step: Result<Step, Trap>,
    exchange: Exchange,
    deadline: Instant,
) -> wasmtime::Result<i32> {
    let until = match step.map_err(trap)? {
        Step::Done(errno) => return Ok(i32::from(errno.number())),
        Step::Yield => Instant::now(),
        Step::Sleep(time) => Instant::now().checked_add(time).map_or(deadline, |t| t.min(deadline)),
    };
    let mut passed = false;
    poll_fn(move |_| {
        let now = Instant::now();
        let mut desk = exchange.desk();
        if desk.cancelled {
            return Poll::Ready(Err(Stop::Cancelled.into()));
        }
        if now >= deadline {
            return Poll::Ready(Err(Stop::Deadline.into()));
        }
        if now >= until && std::mem::replace(&mut passed, true) {
            return Poll::Ready(Ok(i32::from(Errno::Success.number())));
        }
        passed = true;
        desk.phase = if now >= until { Phase::Runnable } else { Phase::Sleeping(until) };
        Poll::Pending
    })
    .await
}
