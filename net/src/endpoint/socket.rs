//! A UDP socket with offloads, read in batches and without a system call that finds nothing.

use super::sys;
use quinn_udp::{BATCH_SIZE, RecvMeta, Transmit, UdpSocketState};
use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::task::{Context, Poll, ready};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Largest receive: as many datagrams as the kernel joins into one.
const RECEIVE_BYTES: usize = 64 << 10;
/// Receives per system call.
const RECEIVES: usize = 16;
const _: () = assert!(RECEIVES <= BATCH_SIZE);
/// Kernel's buffers, if the system allows as much: by default they hold a tenth of a burst.
const SOCKET_BUFFER_BYTES: usize = 4 << 20;

pub(crate) struct Socket {
    udp: AsyncFd<UdpSocket>,
    /// The same socket, watched for room to send while there is none.
    full: Option<AsyncFd<UdpSocket>>,
    state: UdpSocketState,
}

/// Where received datagrams lie until they are handled.
pub(crate) struct Received {
    /// Zeroed, so that pages which are never received into take no memory.
    buffer: Vec<u8>,
    metas: [RecvMeta; RECEIVES],
    count: usize,
}

impl Received {
    pub(crate) fn new() -> Self {
        let buffer = vec![0; RECEIVES * RECEIVE_BYTES];
        Self { buffer, metas: [RecvMeta::default(); RECEIVES], count: 0 }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RecvMeta, &[u8])> {
        let buffers = self.buffer.chunks(RECEIVE_BYTES);
        let received = self.metas.iter().zip(buffers).take(self.count);
        received.map(|(meta, buffer)| (meta, &buffer[..meta.len]))
    }
}

impl Socket {
    /// Binds to `addr`. Must be called where a tokio runtime is entered.
    pub(crate) fn bind(addr: SocketAddr) -> io::Result<Self> {
        let socket = UdpSocket::bind(addr)?;
        let reference = socket2::SockRef::from(&socket);
        // Best effort: the system's own limit may be lower.
        let _ = reference.set_recv_buffer_size(SOCKET_BUFFER_BYTES);
        let _ = reference.set_send_buffer_size(SOCKET_BUFFER_BYTES);
        // This makes it non-blocking too.
        let state = UdpSocketState::new((&socket).into())?;
        Ok(Self { udp: sys::watch(socket, Interest::READABLE)?, full: None, state })
    }

    pub(crate) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.udp.get_ref().local_addr()
    }

    pub(crate) fn may_fragment(&self) -> bool {
        self.state.may_fragment()
    }

    /// Most datagrams of one transmit.
    pub(crate) fn max_segments(&self) -> usize {
        self.state.max_gso_segments()
    }

    /// Receives what is there.
    pub(crate) fn poll_receive(
        &self,
        cx: &mut Context<'_>,
        received: &mut Received,
    ) -> Poll<io::Result<()>> {
        loop {
            let mut guard = ready!(self.udp.poll_read_ready(cx))?;
            received.count = 0;
            match self.receive(&mut received.buffer, &mut received.metas) {
                Ok(count) => {
                    received.count = count;
                    if count < RECEIVES {
                        // Fewer than asked for: the queue was empty, and what arrives after that
                        // makes the socket ready again. Saves the call that would find out.
                        guard.clear_ready();
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => guard.clear_ready(),
                // Reports of what became of earlier datagrams.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn receive(&self, buffer: &mut [u8], metas: &mut [RecvMeta; RECEIVES]) -> io::Result<usize> {
        let mut buffers = buffer.chunks_mut(RECEIVE_BYTES);
        let mut slices: [IoSliceMut<'_>; RECEIVES] =
            std::array::from_fn(|_| IoSliceMut::new(buffers.next().unwrap_or_default()));
        self.state.recv(self.udp.get_ref().into(), &mut slices, metas)
    }

    /// Sends a transmit; pending when the kernel's buffer is full.
    pub(crate) fn poll_send(
        &mut self,
        cx: &mut Context<'_>,
        transmit: &quinn_proto::Transmit,
        contents: &[u8],
    ) -> Poll<io::Result<()>> {
        let transmit = Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.and_then(|ecn| quinn_udp::EcnCodepoint::from_bits(ecn as u8)),
            contents: &contents[..transmit.size],
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        loop {
            match self.state.send(self.udp.get_ref().into(), &transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    self.full = None;
                    return Poll::Ready(result);
                }
            }
            if self.full.is_none() {
                let socket = self.udp.get_ref().try_clone()?;
                self.full = Some(sys::watch(socket, Interest::WRITABLE)?);
            }
            if let Some(full) = &self.full {
                ready!(full.poll_write_ready(cx))?.clear_ready();
            }
        }
    }
}
