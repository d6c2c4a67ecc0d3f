//! What the frequent calls cost, without an engine: nanoseconds, the best of several rounds.
//!
//! `cargo run --release -p faaslet-wasi --example call_cost`

#![allow(clippy::unwrap_used, missing_docs)]

use std::fs::File;
use std::hint::black_box;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Instant;

use faaslet_wasi::{
    Captured, Clock, Config, Console, Errno, GuestMemory, Preopen, Random, Stdio, Wasi,
};

use memory::Memory;

#[path = "../tests/memory/mod.rs"]
mod memory;

const ROUNDS: u32 = 20;
const CALLS: u32 = 20_000;

/// Takes prints and keeps nothing.
#[derive(Default)]
struct Nowhere(u64);

impl Console for Nowhere {
    fn read_input(&mut self, _: &mut [u8]) -> Result<usize, Errno> {
        Ok(0)
    }

    fn print(&mut self, _: Stdio, bytes: &[u8]) -> Result<(), Errno> {
        self.0 += bytes.len() as u64;
        Ok(())
    }

    fn note(&mut self, _: &str) {}
}

fn measure(name: &str, mut call: impl FnMut()) {
    let best = (0..ROUNDS).map(|_| {
        let start = Instant::now();
        (0..CALLS).for_each(|_| call());
        start.elapsed().as_nanos() / u128::from(CALLS)
    });
    println!("{name:<44}{:>8} ns", best.min().unwrap());
}

fn main() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("file"), vec![7; 65_536]).unwrap();
    let descriptor = OwnedFd::from(File::open(folder.path()).unwrap());
    let folders = vec![Preopen::new("/data", descriptor, false)];
    let config = Arc::new(Config::new(&["program".into()], &[], folders).unwrap());
    let make = || Wasi::new(Arc::clone(&config), Clock::live(), Random::live(), Nowhere::default());
    let mem = Memory::over(vec![0; 1 << 20]);
    mem.write(64, &[0, 16, 0, 0, 40, 0, 0, 0]).unwrap();
    mem.write(72, &[0, 16, 0, 0, 0, 16, 0, 0]).unwrap();
    mem.write(256, b"file").unwrap();
    let mut wasi = make();
    measure("a Faaslet's WASI made and dropped", || drop(black_box(make())));
    measure("with console of Captured", || {
        let console = Captured::new(Vec::new(), 0);
        drop(black_box(Wasi::new(Arc::clone(&config), Clock::live(), Random::live(), console)));
    });
    measure("clock_time_get", || wasi.clock_time_get(&mem, 0, 0, 8).unwrap());
    measure("random_get of 16 bytes", || wasi.random_get(&mem, 4096, 16).unwrap());
    measure("random_get of 4 KiB", || wasi.random_get(&mem, 4096, 4096).unwrap());
    measure("fd_write of 40 bytes to the output", || wasi.fd_write(&mem, 1, 64, 1, 8).unwrap());
    measure("path_open and fd_close", || {
        wasi.path_open(&mem, 3, 0, 256, 4, 0, 2, 2, 0, 8).unwrap();
        wasi.fd_close(&mem, 4).unwrap();
    });
    wasi.path_open(&mem, 3, 0, 256, 4, 0, 2, 2, 0, 8).unwrap();
    measure("fd_pread of 40 bytes", || wasi.fd_pread(&mem, 4, 64, 1, 0, 8).unwrap());
    measure("fd_pread of 4 KiB", || wasi.fd_pread(&mem, 4, 72, 1, 0, 8).unwrap());
    measure("fd_filestat_get", || wasi.fd_filestat_get(&mem, 4, 512).unwrap());
}
