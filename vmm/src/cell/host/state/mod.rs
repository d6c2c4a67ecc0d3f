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

use super::carrier::Arguments;
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

/// A call that seldom has to wait: what can be done at once is done before there is a future.
macro_rules! seldom_waiting {
    ($host:ident, $here:path, $run:path, ($($p:ident),*)) => {
        match at_once($host.data_mut(), |held, memory| $here(held, memory, $($p),*)) {
            Some(done) => Box::new(ready(done)) as Waiting<'_>,
            None => waiting!($host, $run, ($($p),*)),
        }
    };
}

/// What becomes of a call, in a while.
type Waiting<'a> = Box<dyn Future<Output = wasmtime::Result<i32>> + Send + 'a>;

/// Gives each call for state to a macro: name, how it is run, parameters.
macro_rules! each_call {
    ($apply:ident($($with:tt)*)) => {
        $apply! { ($($with)*)
            OPEN = seldom_waiting(open::open_here, open::open)(key: u32, len: u32, spec: u32);
            READ = seldom_waiting(access::read_here, access::read)
                (handle: u32, offset: i64, ptr: u32, len: u32);
            WRITE = seldom_waiting(access::write_here, access::write)
                (handle: u32, offset: i64, ptr: u32, len: u32);
            MERGE = seldom_waiting(access::merge_here, access::merge)
                (handle: u32, offset: i64, ptr: u32, len: u32);
            LOCK = seldom_waiting(lock::lock_here, lock::lock)
                (handle: u32, kind: i32, timeout_ms: i64);
            UNLOCK = seldom_waiting(lock::unlock_here, lock::unlock)(handle: u32, kind: i32);
            PULL = waiting(pull::pull)(handle: u32, offset: i64, len: i64);
            PUSH = waiting(push::push)
                (handle: u32, offset: i64, len: i64, expected: u32, out: u32);
            RESIZE = waiting(resize::resize)(handle: u32, len: i64);
            GROW = waiting(resize::grow)(handle: u32, len: i64);
            APPEND = waiting(resize::append)(handle: u32, ptr: u32, len: u32, out: u32);
            DELETE = waiting(resize::delete)(key: u32, len: u32);
            LIST = waiting(list::list)
                (prefix: u32, prefix_len: u32, after: u32, after_len: u32, ptr: u32, len: u32);
            OPEN_VERSION = waiting(versions::open)(handle: u32, version: u32);
            VERSIONS = waiting(versions::list)(handle: u32, ptr: u32, len: u32);
            WAIT = waiting(words::wait)(addr: u32, expected: u32, timeout_ms: i64);
        }
    };
}

macro_rules! bind_waiting {
    (($linker:ident) $($name:ident = $way:ident($($run:path),*)($($p:ident: $t:ty),*);)*) => {
        $($linker.func_wrap_async(
            FAASLET,
            import::$name,
            |mut host: Caller<'_, Host>, ($($p,)*): ($($t,)*)| $way!(host, $($run,)* ($($p),*)),
        )?;)*
    };
}

macro_rules! carry_waiting {
    (($host:ident, $call:ident, $arguments:ident)
        $($name:ident = $way:ident($($run:path),*)($($p:ident: $t:ty),*);)*) => {
        match $call {
            $(import::$name => {
                $(let $p = $arguments.next::<$t>();)*
                Some($way!($host, $($run,)* ($($p),*)))
            })*
            _ => None,
        }
    };
}

/// Gives each call that is done at once to a macro: name, function, parameters.
macro_rules! each_call_at_once {
    ($apply:ident($($with:tt)*)) => {
        $apply! { ($($with)*)
            CLOSE = close(handle: u32);
            STAT = stat(handle: u32, out: u32);
            UNMAP = unmap(addr: u32);
            NOTIFY = notify(addr: u32, count: u32);
            ERROR = error_text(ptr: u32, len: u32);
        }
    };
}

macro_rules! bind_at_once {
    (($linker:ident) $($name:ident = $run:ident($($p:ident: $t:ty),*);)*) => {
        $($linker.func_wrap(
            FAASLET,
            import::$name,
            |mut host: Caller<'_, Host>, $($p: $t),*| $run(host.data_mut(), $($p),*),
        )?;)*
    };
}

macro_rules! carry_at_once {
    (($host:ident, $call:ident, $arguments:ident)
        $($name:ident = $run:ident($($p:ident: $t:ty),*);)*) => {
        match $call {
            $(import::$name => {
                $(let $p = $arguments.next::<$t>();)*
                Some($run($host.data_mut(), $($p),*))
            })*
            _ => None,
        }
    };
}

pub(super) fn bind(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    each_call!(bind_waiting(linker));
    each_call_at_once!(bind_at_once(linker));
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
    Ok(())
}

/// A call for state that came over the carrier.
pub(super) fn carried<'a>(
    mut host: Caller<'a, Host>,
    call: &str,
    mut arguments: Arguments,
) -> Option<Waiting<'a>> {
    if call == import::MAP {
        let (handle, offset) = (arguments.next(), arguments.next::<i64>() as u64);
        let (len, mode, out) = (arguments.next(), arguments.next(), arguments.next());
        return Some(Box::new(map::map(host, map::Asked { handle, offset, len, mode, out })));
    }
    if let Some(done) = each_call_at_once!(carry_at_once(host, call, arguments)) {
        return Some(Box::new(ready(done)));
    }
    each_call!(carry_waiting(host, call, arguments))
}

fn close(host: &mut Host, handle: u32) -> wasmtime::Result<i32> {
    now(host, |held, _| open::close(held, handle))
}

fn stat(host: &mut Host, handle: u32, out: u32) -> wasmtime::Result<i32> {
    now(host, |held, memory| open::stat(held, memory, handle, out))
}

fn unmap(host: &mut Host, addr: u32) -> wasmtime::Result<i32> {
    let done = map::unmap(host, addr);
    settle(host, done)
}

fn notify(host: &mut Host, addr: u32, count: u32) -> wasmtime::Result<i32> {
    now(host, |held, _| words::notify(held, addr, count))
}

#[allow(clippy::unnecessary_wraps, reason = "as the other calls")]
fn error_text(host: &mut Host, ptr: u32, len: u32) -> wasmtime::Result<i32> {
    let Host { running, memory, .. } = host;
    let text = running.state_error.as_bytes();
    Ok(super::code(fill(memory, text, 0, ptr, len).and_then(|_| super::length(text.len()))))
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
