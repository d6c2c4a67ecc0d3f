//! `poll_oneoff`: wait until a clock or a descriptor is ready.
//!
//! Every descriptor here is ready at once (files and input bytes never make a guest wait), so a
//! call waits only when it asks for nothing but clocks, and then until the earliest of them. The
//! events are written before the wait, since nothing that happens meanwhile can change them.
//!
//! ```text
//! subscription (48 bytes)                    event (32 bytes)
//!  0 u64 userdata                             0 u64 userdata
//!  8 u8  0 clock, 1 read, 2 write             8 u16 errno
//! 16 u32 clock id | descriptor               10 u8  as in the subscription
//! 24 u64 timeout                             16 u64 bytes ready
//! 32 u64 precision                           24 u16 1: the end was reached
//! 40 u16 1: the timeout is a point in time
//! ```

use std::time::Duration;

use cap_std::fs::Metadata;

use crate::abi::{ClockId, EVENT_BYTES, Errno, SUBSCRIPTION_BYTES};
use crate::clock::Clock;
use crate::console::{Console, Stdio};
use crate::memory::{
    Call, Failure, GuestMemory, Trap, element, le_u32, le_u64, read_record, write_record, write_u32,
};
use crate::table::Kind;
use crate::{Step, Wasi};

/// Most subscriptions of one call.
pub const MAX_SUBSCRIPTIONS: u32 = 4096;

const ABSOLUTE: u16 = 1;
const HANG_UP: u16 = 1;

const CLOCK: u8 = 0;
const READ: u8 = 1;
const WRITE: u8 = 2;

/// What one subscription waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Awaited {
    /// This much time.
    Clock { ns: u64 },
    /// A descriptor, which is ready.
    Ready { kind: u8, end: bool },
}

/// One subscription, as read once from guest memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Subscription {
    userdata: u64,
    awaited: Awaited,
}

#[allow(missing_docs, reason = "the names are the standard's own")]
impl<C: Console> Wasi<C> {
    pub fn poll_oneoff<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        subscriptions: u32,
        events: u32,
        count: u32,
        nevents: u32,
    ) -> Result<Step, Trap> {
        match self.poll(mem, subscriptions, events, count, nevents) {
            Ok(Some(wait)) => Ok(Step::Sleep(wait)),
            Ok(None) => Ok(Step::Done(Errno::Success)),
            Err(Failure::Errno(errno)) => Ok(Step::Done(errno)),
            Err(Failure::Trap(trap)) => Err(trap),
        }
    }

    fn poll<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        subscriptions: u32,
        events: u32,
        count: u32,
        nevents: u32,
    ) -> Call<Option<Duration>> {
        if count == 0 {
            return Err(Errno::Inval.into());
        }
        if count > MAX_SUBSCRIPTIONS {
            return Err(Errno::Nomem.into());
        }
        let mut awaited = Vec::with_capacity(count as usize);
        for index in 0..count {
            let addr = element(subscriptions, index, SUBSCRIPTION_BYTES as u32)?;
            awaited.push(self.subscription(&read_record(mem, addr, 8)?)?);
        }
        let wait_ns = awaited.iter().map(Subscription::wait_ns).min().unwrap_or(0);
        let ready = awaited.iter().filter(|it| it.wait_ns() <= wait_ns);
        let mut written = 0;
        for subscription in ready {
            let addr = element(events, written, EVENT_BYTES as u32)?;
            write_record(mem, addr, 8, &subscription.event())?;
            written += 1;
        }
        write_u32(mem, nevents, written)?;
        Ok(self.clock.sleep(wait_ns))
    }

    fn subscription(&mut self, bytes: &[u8; SUBSCRIPTION_BYTES]) -> Result<Subscription, Errno> {
        let awaited = match bytes[8] {
            CLOCK => clock_wait(&self.clock, bytes)?,
            READ => Awaited::Ready { kind: READ, end: self.poll_read(le_u32(bytes, 16))? },
            WRITE => {
                self.poll_write(le_u32(bytes, 16))?;
                Awaited::Ready { kind: WRITE, end: false }
            }
            _ => return Err(Errno::Inval),
        };
        Ok(Subscription { userdata: le_u64(bytes, 0), awaited })
    }

    /// Whether a file stands at its end.
    fn poll_read(&mut self, fd: u32) -> Result<bool, Errno> {
        match self.kind(fd)? {
            Kind::Stdio(Stdio::Input) => Ok(false),
            Kind::File => {
                let file = self.file(fd)?;
                let meta = Metadata::from_file(&file.file);
                Ok(meta.map_err(|error| crate::errno::from_io(&error))?.len() <= file.offset)
            }
            _ => Err(Errno::Badf),
        }
    }

    fn poll_write(&mut self, fd: u32) -> Result<(), Errno> {
        match self.kind(fd)? {
            Kind::Stdio(Stdio::Output | Stdio::Error) | Kind::File => Ok(()),
            _ => Err(Errno::Badf),
        }
    }
}

fn clock_wait(clock: &Clock, bytes: &[u8; SUBSCRIPTION_BYTES]) -> Result<Awaited, Errno> {
    let id = ClockId::from_number(le_u32(bytes, 16)).ok_or(Errno::Inval)?;
    let timeout = le_u64(bytes, 24);
    let flags = u16::from_le_bytes([bytes[40], bytes[41]]);
    if id == ClockId::CpuTime || flags & !ABSOLUTE != 0 {
        return Err(Errno::Inval);
    }
    let ns =
        if flags & ABSOLUTE == 0 { timeout } else { timeout.saturating_sub(clock.now_ns(id)?) };
    Ok(Awaited::Clock { ns })
}

impl Subscription {
    fn wait_ns(&self) -> u64 {
        match self.awaited {
            Awaited::Clock { ns } => ns,
            Awaited::Ready { .. } => 0,
        }
    }

    fn event(&self) -> [u8; EVENT_BYTES] {
        let (kind, ready_bytes, flags) = match self.awaited {
            Awaited::Clock { .. } => (CLOCK, 0_u64, 0),
            Awaited::Ready { kind, end } => (kind, 1, if end { HANG_UP } else { 0 }),
        };
        let mut bytes = [0; EVENT_BYTES];
        bytes[0..8].copy_from_slice(&self.userdata.to_le_bytes());
        bytes[10] = kind;
        bytes[16..24].copy_from_slice(&ready_bytes.to_le_bytes());
        bytes[24..26].copy_from_slice(&flags.to_le_bytes());
        bytes
    }
}
