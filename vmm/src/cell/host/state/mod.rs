//! State: the tenant's values, as functions reach them.
//!
//! ```text
//!   open ─► read, write, merge, map ──────► local tier, at once when what they touch is here
//!             │ absent chunks
//!   pull, push, resize, append, lock ... ─► a request on the desk ─► worker ─► monitor ─► owner
//!                                             ▲ the Faaslet waits, and holds no thread
//! ```
//!
//! What it is: pointers, handles, statuses and their texts, and the order of steps that each call
//! is. What it is not: what a value is (`vmm/tier`), or who owns it (`vmm/state`). What a call has
//! of state is in [`Held`]; dropping it gives everything back, in whatever way the call ended.

mod access;
mod ask;
mod error;
mod held;
mod list;
mod lock;
mod locks;
mod map;
mod open;
mod pull;
mod push;
mod resize;
mod versions;
mod words;

use std::future::ready;

use faaslet_abi::{IMPORT_MODULE as FAASLET, Status, state::import};
use faaslet_snapshot::guest::GuestMemory;
use wasmtime::{Caller, Linker};

use super::{Host, fill};
use error::Refused;
pub(crate) use held::Held;

/// What a call for state comes to.
type Done = Result<i32, Refused>;

/// The future of a call that has to wait: what the call holds is out of the host meanwhile.
macro_rules! waiting {
    ($host:ident, $run:path, ($($p:ident),*)) => {
        Box::new(async move {
            let memory = $host.data().memory.clone();
            let mut held = match take($host.data_mut()) {
                Ok(held) => held,
                Err(refused) => return settle($host.data_mut(), Err(refused)),
            };
            let done = $run(&mut held, &memory, $($p),*).await;
            $host.data_mut().running.state = Some(held);
            settle($host.data_mut(), done)
        })
    };
}

/// Binds a call that may have to wait.
macro_rules! waits {
    ($linker:ident, $name:ident, $run:path, ($($p:ident: $t:ty),*)) => {
        $linker.func_wrap_async(
            FAASLET,
            import::$name,
            |mut host: Caller<'_, Host>, ($($p,)*): ($($t,)*)| waiting!(host, $run, ($($p),*)),
        )?;
    };
}

/// Binds a call that seldom has to wait: what can be done at once is done before there is a
/// future.
macro_rules! seldom_waits {
    ($linker:ident, $name:ident, $here:path, $run:path, ($($p:ident: $t:ty),*)) => {
        $linker.func_wrap_async(
            FAASLET,
            import::$name,
            |mut host: Caller<'_, Host>, ($($p,)*): ($($t,)*)| {
                let done = at_once(host.data_mut(), |held, memory| $here(held, memory, $($p),*));
                match done {
                    Some(done) => Box::new(ready(done)) as Box<dyn Future<Output = _> + Send>,
                    None => waiting!(host, $run, ($($p),*)),
                }
            },
        )?;
    };
}

pub(super) fn bind(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    values(linker)?;
    owners(linker)?;
    mappings(linker)?;
    linker.func_wrap(FAASLET, import::ERROR, |host: Caller<'_, Host>, ptr: u32, len: u32| {
        let Host { running, memory, .. } = host.data();
        let text = running.state_error.as_bytes();
        super::code(fill(memory, text, 0, ptr, len).and_then(|_| super::length(text.len())))
    })?;
    Ok(())
}

fn values(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    seldom_waits!(linker, OPEN, open::open_here, open::open, (key: u32, len: u32, spec: u32));
    seldom_waits!(linker, READ, access::read_here, access::read,
        (handle: u32, offset: i64, ptr: u32, len: u32));
    seldom_waits!(linker, WRITE, access::write_here, access::write,
        (handle: u32, offset: i64, ptr: u32, len: u32));
    seldom_waits!(linker, MERGE, access::merge_here, access::merge,
        (handle: u32, offset: i64, ptr: u32, len: u32));
    linker.func_wrap(FAASLET, import::CLOSE, |mut host: Caller<'_, Host>, handle: u32| {
        now(host.data_mut(), |held, _| open::close(held, handle))
    })?;
    linker.func_wrap(
        FAASLET,
        import::STAT,
        |mut host: Caller<'_, Host>, handle: u32, out: u32| {
            now(host.data_mut(), |held, memory| open::stat(held, memory, handle, out))
        },
    )?;
    Ok(())
}

fn owners(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    waits!(linker, PULL, pull::pull, (handle: u32, offset: i64, len: i64));
    waits!(linker, PUSH, push::push,
        (handle: u32, offset: i64, len: i64, expected: u32, out: u32));
    waits!(linker, RESIZE, resize::resize, (handle: u32, len: i64));
    waits!(linker, APPEND, resize::append, (handle: u32, ptr: u32, len: u32, out: u32));
    waits!(linker, DELETE, resize::delete, (key: u32, len: u32));
    seldom_waits!(linker, LOCK, lock::lock_here, lock::lock,
        (handle: u32, kind: i32, timeout_ms: i64));
    seldom_waits!(linker, UNLOCK, lock::unlock_here, lock::unlock, (handle: u32, kind: i32));
    waits!(linker, LIST, list::list,
        (prefix: u32, prefix_len: u32, after: u32, after_len: u32, ptr: u32, len: u32));
    waits!(linker, OPEN_VERSION, versions::open, (handle: u32, version: u32));
    waits!(linker, VERSIONS, versions::list, (handle: u32, ptr: u32, len: u32));
    Ok(())
}

fn mappings(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        FAASLET,
        import::MAP,
        |host: Caller<'_, Host>, (handle, offset, len, mode, out): (u32, i64, u32, i32, u32)| {
            Box::new(async move {
                let asked = map::Asked { handle, offset: offset as u64, len, mode, out };
                map::map(host, asked).await
            })
        },
    )?;
    linker.func_wrap(FAASLET, import::UNMAP, |mut host: Caller<'_, Host>, addr: u32| {
        let done = map::unmap(host.data_mut(), addr);
        settle(host.data_mut(), done)
    })?;
    waits!(linker, WAIT, words::wait, (addr: u32, expected: u32, timeout_ms: i64));
    linker.func_wrap(
        FAASLET,
        import::NOTIFY,
        |mut host: Caller<'_, Host>, addr: u32, count: u32| {
            now(host.data_mut(), |held, _| words::notify(held, addr, count))
        },
    )?;
    Ok(())
}

/// A call that never waits.
fn now(
    host: &mut Host,
    run: impl FnOnce(&mut Held, &GuestMemory) -> Done,
) -> wasmtime::Result<i32> {
    let done = held(host).and_then(|(held, memory)| run(held, memory));
    settle(host, done)
}

/// A call that need not wait, if it need not.
fn at_once(
    host: &mut Host,
    run: impl FnOnce(&mut Held, &GuestMemory) -> Option<Done>,
) -> Option<wasmtime::Result<i32>> {
    let done = match held(host) {
        Ok((held, memory)) => run(held, memory)?,
        Err(refused) => Err(refused),
    };
    Some(settle(host, done))
}

/// What the call has, made at its first call for state.
#[inline]
fn held(host: &mut Host) -> Result<(&mut Held, &GuestMemory), Refused> {
    host.refuse_lost().map_err(Refused::Stop)?;
    if host.running.state.is_none() {
        host.running.state = Some(make(host)?);
    }
    let Host { running, memory, .. } = host;
    running.state.as_deref_mut().map(|held| (held, &*memory)).ok_or_else(Refused::denied)
}

/// The same, taken out for as long as the call waits.
fn take(host: &mut Host) -> Result<Box<Held>, Refused> {
    held(host)?;
    host.running.state.take().ok_or_else(Refused::denied)
}

#[cold]
fn make(host: &Host) -> Result<Box<Held>, Refused> {
    let local = host.exchange.local().filter(|_| host.running.reaches_out);
    let local = local.ok_or_else(Refused::denied)?;
    Ok(Box::new(Held::new(&host.exchange, local, host.running.call.deadline)))
}

/// The status of a call for state; the text of a refusal is kept.
fn settle(host: &mut Host, done: Done) -> wasmtime::Result<i32> {
    match done {
        Ok(value) => Ok(value),
        Err(Refused::Stop(stop)) => Err(stop.into()),
        Err(Refused::Status(status, text)) => {
            host.running.state_error = text;
            Ok(status as i32)
        }
    }
}

/// That a range lies within the guest's memory.
fn check(memory: &GuestMemory, ptr: u32, len: u32) -> Result<(), Refused> {
    memory.range(ptr, len).map(|_| ()).map_err(|fault| Refused::new(Status::Fault, fault))
}

/// Copies a fixed number of bytes out of the guest's memory.
fn array<const N: usize>(memory: &GuestMemory, ptr: u32) -> Result<[u8; N], Refused> {
    let mut bytes = [0; N];
    memory.read(ptr, &mut bytes).map_err(|fault| Refused::new(Status::Fault, fault))?;
    Ok(bytes)
}

fn put(memory: &GuestMemory, ptr: u32, bytes: &[u8]) -> Result<(), Refused> {
    memory.write(ptr, bytes).map_err(|fault| Refused::new(Status::Fault, fault))
}
