//! Arguments, environment, random bytes, signals, exit.

use crate::raw::{NOTHING, at, to, wasi};
use crate::show;

pub fn run() {
    let (mut count, mut bytes) = (-1_i32, -1_i32);
    let errno = unsafe { wasi::args_sizes_get(to(&mut count), to(&mut bytes)) };
    show!("args_sizes_get", "sizes", errno, "{count} {bytes}");
    let (mut pointers, mut block) = (vec![0_i32; count as usize], vec![1_u8; bytes as usize]);
    let errno = unsafe { wasi::args_get(to(&mut pointers[..]), to(&mut block[..])) };
    show!("args_get", "texts", errno, "{:?} {:?}", text(&block), starts(&pointers, &block));

    let errno = unsafe { wasi::environ_sizes_get(to(&mut count), to(&mut bytes)) };
    show!("environ_sizes_get", "sizes", errno, "{count} {bytes}");
    let (mut pointers, mut block) = (vec![0_i32; count as usize], vec![1_u8; bytes as usize]);
    let errno = unsafe { wasi::environ_get(to(&mut pointers[..]), to(&mut block[..])) };
    show!("environ_get", "texts", errno, "{:?} {:?}", text(&block), starts(&pointers, &block));

    random();
    for signal in [0, 9, 30] {
        let errno = unsafe { wasi::proc_raise(signal) };
        show!("proc_raise", format!("signal {signal}"), errno);
    }
    show!("sched_yield", "yields", unsafe { wasi::sched_yield() });
    sockets();
}

/// The last call of the program.
pub fn exit() -> ! {
    unsafe { wasi::proc_exit(7) }
}

fn random() {
    let (mut first, mut second) = ([0_u8; 64], [0_u8; 64]);
    let errno = unsafe { wasi::random_get(to(&mut first), 64) };
    let again = unsafe { wasi::random_get(to(&mut second), 64) };
    show!("random_get", "two of 64 bytes", errno, "{again} differ {}", first != second);
    show!("random_get", "no bytes", unsafe { wasi::random_get(to(&mut first), 0) });
    let mut large = vec![0_u8; 70_001];
    let errno = unsafe { wasi::random_get(to(&mut large[..]), 70_001) };
    let set = large.iter().filter(|&&byte| byte != 0).count();
    show!("random_get", "70001 bytes", errno, "most are set {}", set > 69_000);
}

/// Answered by decision of the host, so only that they are refused is printed.
fn sockets() {
    let (mut a, mut b) = (0_i32, 0_i32);
    let accept = unsafe { wasi::sock_accept(NOTHING, 0, to(&mut a)) };
    show!("sock_accept", "refused", accept != 0);
    let recv = unsafe { wasi::sock_recv(0, at(&a), 0, 0, to(&mut a), to(&mut b)) };
    show!("sock_recv", "refused", recv != 0);
    show!("sock_send", "refused", unsafe { wasi::sock_send(1, at(&a), 0, 0, to(&mut a)) } != 0);
    show!("sock_shutdown", "refused", unsafe { wasi::sock_shutdown(3, 1) } != 0);
}

fn text(block: &[u8]) -> String {
    String::from_utf8_lossy(block).into_owned()
}

/// Where each text starts, from the start of the block.
fn starts(pointers: &[i32], block: &[u8]) -> Vec<i32> {
    pointers.iter().map(|pointer| pointer - at(block)).collect()
}
