//! Calls from function to function. The host interface only writes down what is wanted; the
//! worker's queue runs it.

use std::future::poll_fn;
use std::task::Poll;
use std::time::{Duration, Instant};

use faaslet_abi::{IMPORT_MODULE as FAASLET, Status, import};
use faaslet_rewrite::reserved;
use wasmtime::{Caller, Extern, Func, Linker, Ref};

use super::carrier::{Arguments, bind_each, carry_each};
use super::{Host, HostResult, code, fill, length};
use crate::cell::exchange::{Chain, Phase, Target};
use crate::cell::limits::{MAX_NAME_BYTES, MAX_OPEN_CHAINS};
use crate::cell::stop::Stop;

/// Gives each call of this file that needs the host alone to a macro: name, function, parameters.
macro_rules! each_call {
    ($apply:ident($($with:tt)*)) => {
        $apply! { ($($with)*)
            CALL = call(name: u32, name_len: u32, input: u32, input_len: u32);
            RESULT_LEN = result_len(handle: u32);
            RESULT_READ = result_read(handle: u32, offset: u32, ptr: u32, len: u32);
            RELEASE = release(handle: u32);
        }
    };
}

pub(super) fn bind(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    each_call!(bind_each(linker));
    within_module(linker)?;
    linker.func_wrap_async(
        FAASLET,
        import::AWAIT,
        |host: Caller<'_, Host>, (handle, timeout_ms): (u32, i64)| {
            Box::new(async move { await_result(host, handle, timeout_ms).await })
        },
    )?;
    Ok(())
}

/// A call of this file that came over the carrier; those within a module do not.
pub(super) fn carried(host: &mut Host, call: &str, arguments: Arguments) -> Option<HostResult> {
    each_call!(carry_each(host, call, arguments))
}

fn within_module(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap(
        FAASLET,
        import::CALL_EXPORT,
        |mut host: Caller<'_, Host>, name: u32, name_len: u32, input: u32, input_len: u32| {
            let name = host.data().text(name, name_len, MAX_NAME_BYTES);
            let target = name.and_then(|name| export(&mut host, name));
            code(target.and_then(|target| chain(host.data_mut(), target, input, input_len)))
        },
    )?;
    linker.func_wrap(
        FAASLET,
        import::CALL_TABLE,
        |mut host: Caller<'_, Host>, index: u32, input: u32, input_len: u32| {
            let range = host.data().memory.range(input, input_len).map_err(|_| Status::Fault);
            let target = range.and_then(|_| element(&mut host, index));
            code(target.and_then(|target| chain(host.data_mut(), target, input, input_len)))
        },
    )?;
    Ok(())
}

fn call(host: &mut Host, name: u32, name_len: u32, input: u32, input_len: u32) -> HostResult {
    let name = host.text(name, name_len, MAX_NAME_BYTES)?;
    chain(host, Target::Function(name), input, input_len)
}

fn result_len(host: &mut Host, handle: u32) -> HostResult {
    with_result(host, handle, length_of)
}

fn result_read(host: &mut Host, handle: u32, offset: u32, ptr: u32, len: u32) -> HostResult {
    with_result(host, handle, |body| fill(&host.memory, body, offset, ptr, len))
}

fn length_of(body: &[u8]) -> HostResult {
    length(body.len())
}

/// A function of this module that can be an entry.
fn export(caller: &mut Caller<'_, Host>, name: String) -> Result<Target, Status> {
    if name.starts_with(reserved::PREFIX) {
        return Err(Status::NotFound);
    }
    let func = caller.get_export(&name).and_then(Extern::into_func);
    if func.is_some_and(|func| is_entry(caller, &func)) {
        return Ok(Target::Export(name));
    }
    Err(Status::NotFound)
}

/// A function in this module's first table that can be an entry.
fn element(caller: &mut Caller<'_, Host>, index: u32) -> Result<Target, Status> {
    let table = caller.get_export(&reserved::table(0)).and_then(Extern::into_table);
    let element = table.and_then(|table| table.get(&mut *caller, u64::from(index)));
    match element {
        Some(Ref::Func(Some(func))) if is_entry(caller, &func) => Ok(Target::Table(index)),
        _ => Err(Status::NotFound),
    }
}

fn is_entry(caller: &Caller<'_, Host>, func: &Func) -> bool {
    func.typed::<(), i32>(caller).is_ok() || func.typed::<(), ()>(caller).is_ok()
}

/// Writes a call down for the worker and returns its handle.
fn chain(host: &mut Host, target: Target, ptr: u32, len: u32) -> HostResult {
    if !host.running.reaches_out {
        return Err(Status::Denied);
    }
    host.memory.range(ptr, len).map_err(|_| Status::Fault)?;
    if len as usize > host.function.limits.output_bytes {
        return Err(Status::TooLarge);
    }
    if host.running.call.depth + 1 >= host.function.limits.depth {
        return Err(Status::TooDeep);
    }
    let input = host.bytes(ptr, len)?;
    let handle = host.running.next_handle;
    let mut desk = host.exchange.desk();
    // A call leaves the desk when this Faaslet gives way; until then it holds its input here.
    let bytes: usize = desk.chains.iter().map(|chain| chain.input.len()).sum();
    if desk.results.len() >= MAX_OPEN_CHAINS
        || desk.chains.len() >= MAX_OPEN_CHAINS
        || bytes.saturating_add(input.len()) > host.function.limits.output_bytes
    {
        return Err(Status::Busy);
    }
    host.running.next_handle += 1;
    desk.results.expect(handle);
    desk.chains.push(Chain { handle, target, input });
    length(handle as usize)
}

/// Gives the body of an awaited call to `read`.
fn with_result(host: &Host, handle: u32, read: impl FnOnce(&[u8]) -> HostResult) -> HostResult {
    let desk = host.exchange.desk();
    match desk.results.get(handle) {
        None => Err(Status::BadHandle),
        Some(None) => Err(Status::Pending),
        Some(Some(answer)) => read(&answer.body),
    }
}

fn release(host: &mut Host, handle: u32) -> HostResult {
    // One that has not left the desk yet is made all the same: releasing forgets, it does not stop.
    let mut desk = host.exchange.desk();
    if desk.results.release(handle) { Ok(0) } else { Err(Status::BadHandle) }
}

/// Suspends the Faaslet until the call has ended, and holds no thread meanwhile.
pub(super) async fn await_result(
    host: Caller<'_, Host>,
    handle: u32,
    timeout_ms: i64,
) -> wasmtime::Result<i32> {
    host.data().refuse_lost()?;
    let deadline = host.data().running.call.deadline;
    let until = u64::try_from(timeout_ms)
        .ok()
        .and_then(|ms| Instant::now().checked_add(Duration::from_millis(ms)))
        .map_or(deadline, |until| until.min(deadline));
    let exchange = host.data().exchange.clone();
    poll_fn(move |_| {
        let now = Instant::now();
        let mut desk = exchange.desk();
        if desk.cancelled {
            return Poll::Ready(Err(Stop::Cancelled.into()));
        }
        match desk.results.get(handle) {
            None => Poll::Ready(Ok(Status::BadHandle as i32)),
            Some(Some(answer)) => Poll::Ready(Ok(answer.outcome as i32)),
            Some(None) if now >= deadline => Poll::Ready(Err(Stop::Deadline.into())),
            Some(None) if now >= until => Poll::Ready(Ok(Status::TimedOut as i32)),
            Some(None) => {
                desk.phase = Phase::Awaiting(handle, until);
                Poll::Pending
            }
        }
    })
    .await
}
