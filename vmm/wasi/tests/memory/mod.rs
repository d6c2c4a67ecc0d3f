//! Guest memory that is plain bytes of ours, for tests and measurements without slots.

use std::cell::RefCell;

use faaslet_wasi::{Fault, GuestMemory};

/// Memory over a vector, or over a slice that nobody else sees meanwhile.
pub(crate) struct Memory<T>(pub(crate) RefCell<T>);

impl<T> Memory<T> {
    pub(crate) fn over(bytes: T) -> Self {
        Self(RefCell::new(bytes))
    }
}

impl<T: AsRef<[u8]> + AsMut<[u8]>> GuestMemory for Memory<T> {
    fn check(&self, addr: u32, len: u32) -> Result<(), Fault> {
        let end = u64::from(addr) + u64::from(len);
        let size = self.0.borrow().as_ref().len();
        let inside = usize::try_from(end).is_ok_and(|end| end <= size);
        if inside { Ok(()) } else { Err(Fault { addr, len }) }
    }

    fn read(&self, addr: u32, buf: &mut [u8]) -> Result<(), Fault> {
        self.check(addr, buf.len() as u32)?;
        buf.copy_from_slice(&self.0.borrow().as_ref()[addr as usize..][..buf.len()]);
        Ok(())
    }

    fn write(&self, addr: u32, bytes: &[u8]) -> Result<(), Fault> {
        self.check(addr, bytes.len() as u32)?;
        self.0.borrow_mut().as_mut()[addr as usize..][..bytes.len()].copy_from_slice(bytes);
        Ok(())
    }
}
