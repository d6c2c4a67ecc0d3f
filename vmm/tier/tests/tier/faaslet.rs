//! A Faaslet as the tier sees one: a slot, into whose window values are mapped.

use faaslet_snapshot::bytes::Bytes;
use faaslet_snapshot::guest::GuestMemory;
use faaslet_snapshot::layout::Layout;
use faaslet_snapshot::slot::{Sharing, Slot};
use faaslet_tier::{MapId, MapMode, Task, TierError, Value, Wake};

const PAGE: u64 = 4096;

pub struct Faaslet {
    slot: Slot,
    pub task: Task,
}

/// A mapping: its place in the window, and its name.
#[derive(Clone, Copy)]
pub struct Mapped {
    pub addr: u32,
    page: u32,
    id: MapId,
}

impl Faaslet {
    pub fn new(number: u128) -> Self {
        let mut slot = Slot::reserve(&Layout::default()).unwrap();
        slot.map_empty(Bytes::ZERO).unwrap();
        Self { slot, task: Task(number) }
    }

    pub fn map(&mut self, value: &Value, offset: u64, len: u64, mode: MapMode) -> Mapped {
        self.try_map(value, offset, len, mode).unwrap()
    }

    pub fn try_map(
        &mut self,
        value: &Value,
        offset: u64,
        len: u64,
        mode: MapMode,
    ) -> Result<Mapped, TierError> {
        let id = value.map(self.task, offset, len, mode)?;
        let sharing = match mode {
            MapMode::Read => Sharing::PrivateCopy,
            MapMode::Write => Sharing::Shared,
        };
        let (at, whole) = (Bytes(offset - offset % PAGE), Bytes(len + offset % PAGE));
        let page = self.slot.map_window(value.file(), at, whole, sharing).unwrap();
        value.placed(id, self.slot.base().addr().get() + page as usize);
        Ok(Mapped { addr: page + (offset % PAGE) as u32, page, id })
    }

    pub fn unmap(&mut self, value: &Value, mapped: Mapped) -> Wake {
        let wake = value.unmapped(mapped.id);
        self.slot.unmap_window(mapped.page).unwrap();
        wake
    }

    pub fn memory(&self) -> GuestMemory {
        self.slot.memory()
    }

    pub fn store(&self, addr: u32, bytes: &[u8]) {
        self.memory().write(addr, bytes).unwrap();
    }

    pub fn load(&self, addr: u32, len: usize) -> Vec<u8> {
        let mut bytes = vec![0; len];
        self.memory().read(addr, &mut bytes).unwrap();
        bytes
    }
}
