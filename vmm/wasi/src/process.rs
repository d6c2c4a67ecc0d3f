//! The calls that need no descriptor: arguments, environment, clocks, random bytes, exit.

use crate::abi::{ClockId, EXIT_STATUS_END, Errno, SIGNAL_MAX};
use crate::arguments::number_up_to;
use crate::config::Strings;
use crate::console::Console;
use crate::memory::{
    Call, GuestMemory, Trap, check_bytes, element, write_bytes, write_u32, write_u64,
};
use crate::{Exit, Step, Wasi};

/// Most random bytes that one call is given, as Wasmtime has it.
pub const MAX_RANDOM_BYTES: u32 = 64 << 20;
/// Random bytes made at once.
const RANDOM_CHUNK_BYTES: u32 = 1024;

#[allow(clippy::unused_self, reason = "every import is a method, so that one macro binds all")]
#[allow(unused_variables, reason = "parameters have the names of the standard")]
#[allow(missing_docs, reason = "the names are the standard's own")]
#[allow(clippy::too_many_arguments, reason = "the signatures are the standard's own")]
impl<C: Console> Wasi<C> {
    pub fn args_get<M: GuestMemory + ?Sized>(&mut self, mem: &M, argv: u32, argv_buf: u32) -> Call {
        write_strings(mem, &self.config.args, argv, argv_buf)
    }

    pub fn args_sizes_get<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        count: u32,
        bytes: u32,
    ) -> Call {
        write_sizes(mem, &self.config.args, count, bytes)
    }

    pub fn environ_get<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        environ: u32,
        environ_buf: u32,
    ) -> Call {
        write_strings(mem, &self.config.env, environ, environ_buf)
    }

    pub fn environ_sizes_get<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        count: u32,
        bytes: u32,
    ) -> Call {
        write_sizes(mem, &self.config.env, count, bytes)
    }

    pub fn clock_res_get<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        id: u32,
        resolution: u32,
    ) -> Call {
        write_u64(mem, resolution, self.clock.resolution_ns(clock(id)?)?)
    }

    pub fn clock_time_get<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        id: u32,
        precision: u64,
        time: u32,
    ) -> Call {
        write_u64(mem, time, self.clock.now_ns(clock(id)?)?)
    }

    pub fn random_get<M: GuestMemory + ?Sized>(&mut self, mem: &M, buf: u32, buf_len: u32) -> Call {
        if buf_len > MAX_RANDOM_BYTES {
            return Err(Trap::RandomTooLarge { len: buf_len, max: MAX_RANDOM_BYTES }.into());
        }
        check_bytes(mem, buf, buf_len)?;
        let mut chunk = [0; RANDOM_CHUNK_BYTES as usize];
        let mut done = 0;
        while done < buf_len {
            let many = (buf_len - done).min(RANDOM_CHUNK_BYTES);
            let bytes = &mut chunk[..many as usize];
            self.random.fill(bytes);
            mem.write(buf + done, bytes)?;
            done += many;
        }
        Ok(())
    }

    pub fn proc_exit<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        status: u32,
    ) -> Result<Exit, Trap> {
        if status < EXIT_STATUS_END { Ok(Exit(status)) } else { Err(Trap::ExitStatus(status)) }
    }

    pub fn proc_raise<M: GuestMemory + ?Sized>(&mut self, mem: &M, signal: u32) -> Call {
        number_up_to("signal", signal, SIGNAL_MAX)?;
        Err(Errno::Notsup.into())
    }

    pub fn sched_yield<M: GuestMemory + ?Sized>(&mut self, mem: &M) -> Result<Step, Trap> {
        Ok(Step::Yield)
    }

    pub fn sock_accept<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        flags: u32,
        accepted: u32,
    ) -> Call {
        Err(Errno::Notsup.into())
    }

    pub fn sock_recv<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        flags: u32,
        nread: u32,
        roflags: u32,
    ) -> Call {
        Err(Errno::Notsup.into())
    }

    pub fn sock_send<M: GuestMemory + ?Sized>(
        &mut self,
        mem: &M,
        fd: u32,
        iovs: u32,
        iovs_len: u32,
        flags: u32,
        nsent: u32,
    ) -> Call {
        Err(Errno::Notsup.into())
    }

    pub fn sock_shutdown<M: GuestMemory + ?Sized>(&mut self, mem: &M, fd: u32, how: u32) -> Call {
        Err(Errno::Notsup.into())
    }
}

fn clock(id: u32) -> Result<ClockId, Trap> {
    ClockId::from_number(id).ok_or(Trap::Argument { what: "clockid", value: u64::from(id) })
}

fn write_strings<M: GuestMemory + ?Sized>(
    mem: &M,
    strings: &Strings,
    pointers: u32,
    block: u32,
) -> Call {
    for (index, start) in (0..).zip(&strings.starts) {
        write_u32(mem, element(pointers, index, 4)?, block.wrapping_add(*start))?;
    }
    write_bytes(mem, block, &strings.block)
}

fn write_sizes<M: GuestMemory + ?Sized>(
    mem: &M,
    strings: &Strings,
    count: u32,
    bytes: u32,
) -> Call {
    write_u32(mem, count, strings.starts.len() as u32)?;
    write_u32(mem, bytes, strings.block.len() as u32)
}
