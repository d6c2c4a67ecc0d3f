//! Growth of the guest's memory, which the rewrite sends here: the size is ours, so that a slot
//! can go back to its image without losing its instance.

use faaslet_snapshot::bytes::{Bytes, WASM_PAGE};
use wasmtime::{AsContextMut, Caller, Func, Val};

use super::Host;

/// What `memory.grow` returns when it refuses.
const REFUSED: i32 = -1;

/// The function that the rewrite's calls of `memory.grow` reach.
pub(crate) fn host_grow(store: impl AsContextMut<Data = Host>) -> Func {
    Func::wrap(store, |mut caller: Caller<'_, Host>, delta: i32| -> wasmtime::Result<i32> {
        match grow(caller.data_mut(), delta as u32) {
            None => Ok(REFUSED),
            Some(before) => {
                set_size(&mut caller)?;
                Ok(before as i32)
            }
        }
    })
}

/// Grows the slot by `delta` pages; `None` when a limit or the kernel refuses.
fn grow(host: &mut Host, delta: u32) -> Option<u32> {
    let before = host.slot.size();
    let after = before.checked_add(Bytes::wasm_pages(delta))?;
    if host.slot.grow_to(after).is_err() {
        host.running.grow_refused = true;
        return None;
    }
    u32::try_from(before.0 / WASM_PAGE.0).ok()
}

/// Writes the slot's size into the guest's global.
fn set_size(caller: &mut Caller<'_, Host>) -> wasmtime::Result<()> {
    let bytes = caller.data().slot.size().0 as i64;
    match caller.data().size {
        Some(global) => global.set(caller, Val::I64(bytes)),
        None => Ok(()),
    }
}

/// Tells the guest how far its window is in use.
pub(crate) fn bind_window(mut store: impl AsContextMut<Data = Host>) -> wasmtime::Result<()> {
    let mut store = store.as_context_mut();
    let Host { window, slot, .. } = store.data();
    let (base, end) = (slot.layout().window_base(), slot.window_end());
    let told = if end > base { end.0 } else { 0 };
    match *window {
        Some(window) => window.set(&mut store, Val::I64(told as i64)),
        None => Ok(()),
    }
}
