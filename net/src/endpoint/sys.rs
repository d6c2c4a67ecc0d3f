//! The one thing here that the compiler cannot check: handing descriptors to the runtime.
#![allow(unsafe_code)]

use std::io;
use std::net::UdpSocket;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Has the runtime watch `socket` for `interest` alone.
///
/// Why not tokio's own `UdpSocket`: it watches for writability too, and the kernel says so each time
/// that a datagram which was sent has been read, which wakes the thread once more in every round
/// trip.
pub(super) fn watch(socket: UdpSocket, interest: Interest) -> io::Result<AsyncFd<UdpSocket>> {
    // SAFETY: a std socket has one descriptor, the same for its whole life, and closes it when it
    // is dropped, which AsyncFd does after it has taken it off the watch list.
    let watched = unsafe { AsyncFd::register_with_interest(socket, interest) };
    watched.map_err(io::Error::from)
}
