//! What the tables of one Faaslet may hold together. They lie outside of its memory and so outside
//! of its memory limit.

use wasmtime::ResourceLimiter;

/// Elements of all tables of a Faaslet together; each takes 8 bytes of the cell.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 2_000_000;

/// Elements that may still be added.
#[derive(Debug)]
pub(crate) struct TableRoom(usize);

impl Default for TableRoom {
    fn default() -> Self {
        Self(MAX_TABLE_ELEMENTS)
    }
}

impl ResourceLimiter for TableRoom {
    /// Memories lie in slots, which have limits of their own.
    fn memory_growing(&mut self, _: usize, _: usize, _: Option<usize>) -> wasmtime::Result<bool> {
        Ok(true)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let Some(left) = self.0.checked_sub(desired.saturating_sub(current)) else {
            return Ok(false);
        };
        self.0 = left;
        Ok(true)
    }
}
