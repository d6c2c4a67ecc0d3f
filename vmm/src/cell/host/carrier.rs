//! The carrier: all host calls through one import, for a guest that was linked before this host
//! existed and cannot import them by name, as an interpreter whose scripts name the call.
//!
//! What it is: a frame in guest memory is read, the call that it names is made with the arguments
//! that it holds, and the result is written into it. What it is not: another interface. Names,
//! arguments and results are those of the ABI, see `faaslet_abi::carrier` for the layout.

use faaslet_abi::{carrier, import};
use faaslet_snapshot::guest::GuestMemory;
use wasmtime::{Caller, Linker};

use super::{Host, chain, code, io, state};

/// Binds calls that need the host alone.
macro_rules! bind_each {
    (($linker:ident) $($name:ident = $run:ident($($p:ident: $t:ty),*);)*) => {
        $($linker.func_wrap(
            FAASLET,
            import::$name,
            |mut host: Caller<'_, Host>, $($p: $t),*| code($run(host.data_mut(), $($p),*)),
        )?;)*
    };
}

/// Makes one of these calls, with arguments that were carried.
macro_rules! carry_each {
    (($host:ident, $call:ident, $arguments:ident)
        $($name:ident = $run:ident($($p:ident: $t:ty),*);)*) => {{
        #[allow(unused_mut)]
        let mut arguments = $arguments;
        match $call {
            $(import::$name => {
                $(let $p = arguments.next::<$t>();)*
                Some($run($host, $($p),*))
            })*
            _ => None,
        }
    }};
}

pub(super) use {bind_each, carry_each};

/// The arguments of a carried call, taken in order.
#[derive(Clone, Copy)]
pub(super) struct Arguments {
    values: [i64; carrier::MAX_ARGUMENTS],
    taken: usize,
}

impl Arguments {
    /// The next one; zero behind the last.
    pub(super) fn next<T: Argument>(&mut self) -> T {
        let value = self.values.get(self.taken).copied().unwrap_or_default();
        self.taken += 1;
        T::of(value)
    }
}

/// A type of argument.
pub(super) trait Argument {
    /// The value, cut to the type as WebAssembly cuts it.
    fn of(value: i64) -> Self;
}

impl Argument for u32 {
    fn of(value: i64) -> Self {
        value as Self
    }
}

impl Argument for i32 {
    fn of(value: i64) -> Self {
        value as Self
    }
}

impl Argument for i64 {
    fn of(value: i64) -> Self {
        value
    }
}

pub(super) fn bind(linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    linker.func_wrap_async(
        carrier::MODULE,
        carrier::CALL,
        |host: Caller<'_, Host>, (frame, len, _, _): (u32, u32, u32, u32)| {
            Box::new(carry(host, frame, len))
        },
    )?;
    Ok(())
}

async fn carry(host: Caller<'_, Host>, frame: u32, len: u32) -> wasmtime::Result<i32> {
    let memory = host.data().memory.clone();
    let Some((call, arguments)) = read(&memory, frame, len) else { return Ok(carrier::REFUSED) };
    let result = dispatch(host, call, arguments).await?;
    // Whether the guest gave it back meanwhile is checked again.
    let written = memory.write(frame.wrapping_add(carrier::RESULT_AT), &result.to_le_bytes());
    Ok(if written.is_ok() { carrier::CARRIED } else { carrier::REFUSED })
}

/// The call that a frame names, and its arguments; nothing for one that is no frame.
fn read(memory: &GuestMemory, frame: u32, len: u32) -> Option<(&'static str, Arguments)> {
    if (len as usize) < carrier::HEAD_BYTES {
        return None;
    }
    memory.range(frame, len).ok()?;
    let mut head = [0; carrier::HEAD_BYTES];
    memory.read(frame, &mut head).ok()?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let call = carrier::name(word(0))?;
    let relative = word(4);
    let mut values = [0; carrier::MAX_ARGUMENTS];
    let (_, words) = head.split_at(carrier::ARGUMENTS_AT);
    for (n, (value, bytes)) in values.iter_mut().zip(words.chunks_exact(8)).enumerate() {
        let mut wide = [0; 8];
        wide.copy_from_slice(bytes);
        let base = if relative >> n & 1 == 1 { i64::from(frame) } else { 0 };
        *value = i64::from_le_bytes(wide).wrapping_add(base);
    }
    Some((call, Arguments { values, taken: 0 }))
}

async fn dispatch(
    mut host: Caller<'_, Host>,
    call: &'static str,
    mut arguments: Arguments,
) -> wasmtime::Result<i32> {
    if let Some(done) = io::carried(host.data_mut(), call, arguments) {
        return Ok(code(done));
    }
    if let Some(done) = chain::carried(host.data_mut(), call, arguments) {
        return Ok(code(done));
    }
    if call == import::AWAIT {
        let (handle, timeout_ms) = (arguments.next(), arguments.next());
        return chain::await_result(host, handle, timeout_ms).await;
    }
    match state::carried(host, call, arguments) {
        Some(waiting) => Box::into_pin(waiting).await,
        None => Ok(faaslet_abi::Status::NotFound as i32),
    }
}
