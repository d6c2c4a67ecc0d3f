//! Where the parts of a slot lie.
//!
//! ```text
//! 0          image length     size      heap limit  window base   window end    4 GiB    + guard
//! ├───────────────┼─────────────┼ ─ ─ ─ ─ ─ ─ ┼ ─ ─ ─ ─ ┼───────────────┼ ─ ─ ─ ─ ─ ┼ ─ ─ ─ ─ ┤
//! │  heap image   │    grown    │        inaccessible   │ state window  │ inaccessible │  guard  │
//! │ memfd, private│  anonymous  │                       │ files, zeros  │              │         │
//! └───────────────┴─────────────┴ ─ ─ ─ ─ ─ ─ ┴ ─ ─ ─ ─ ┴───────────────┴ ─ ─ ─ ─ ─ ┴ ─ ─ ─ ─ ┘
//! ```
//!
//! Guest addresses are offsets from the slot's base. The guest sees a memory that is `size` long
//! and a window that is filled from its base; a load or store elsewhere traps. One page of
//! WebAssembly between the heap limit and the window is never accessible, so that no access can
//! straddle a full heap and a window.

use crate::bytes::{Bytes, WASM_PAGE};

/// Where the window starts unless said otherwise; the rewrite of modules has the same constant.
pub const WINDOW_BASE: Bytes = Bytes::gib(3);
/// What a 32-bit guest can address.
pub const ADDRESSABLE: Bytes = Bytes::gib(4);
/// Inaccessible bytes after that: Wasmtime's own default, on which its elided checks rest.
pub const GUARD: Bytes = Bytes::mib(32);

/// Why numbers do not make a layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// A number is not whole pages of WebAssembly.
    #[error("{name} is {found}: expected a multiple of 64 KiB")]
    Unaligned {
        /// Which number.
        name: &'static str,
        /// Its value.
        found: Bytes,
    },
    /// The window does not fit between heap and guard.
    #[error("window base is {found}: expected at least 128 KiB and less than 4 GiB")]
    WindowBase {
        /// Its value.
        found: Bytes,
    },
    /// The guard is larger than any use of it.
    #[error("guard is {found}: expected at most 4 GiB")]
    Guard {
        /// Its value.
        found: Bytes,
    },
}

/// Where the parts of a slot lie; one that exists is consistent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    window_base: Bytes,
    guard: Bytes,
}

impl Default for Layout {
    /// 3 GiB for the heap, 1 GiB for the window, 32 MiB of guard.
    fn default() -> Self {
        Self { window_base: WINDOW_BASE, guard: GUARD }
    }
}

impl Layout {
    /// A layout with another window base or guard.
    pub fn new(window_base: Bytes, guard: Bytes) -> Result<Self, LayoutError> {
        for (name, found) in [("window base", window_base), ("guard", guard)] {
            if !found.is_multiple_of(WASM_PAGE) {
                return Err(LayoutError::Unaligned { name, found });
            }
        }
        if window_base < Bytes(2 * WASM_PAGE.0) || window_base >= ADDRESSABLE {
            return Err(LayoutError::WindowBase { found: window_base });
        }
        if guard > ADDRESSABLE {
            return Err(LayoutError::Guard { found: guard });
        }
        Ok(Self { window_base, guard })
    }

    /// The most that a heap can grow to.
    pub fn heap_limit(&self) -> Bytes {
        self.window_base.saturating_sub(WASM_PAGE)
    }

    /// Guest address at which the window starts.
    pub fn window_base(&self) -> Bytes {
        self.window_base
    }

    /// Guest address at which the window must end.
    pub fn window_limit(&self) -> Bytes {
        ADDRESSABLE
    }

    /// Inaccessible bytes after the addressable ones.
    pub fn guard(&self) -> Bytes {
        self.guard
    }

    /// Everything that a slot reserves.
    pub fn reservation(&self) -> Bytes {
        Bytes(ADDRESSABLE.0 + self.guard.0)
    }
}
