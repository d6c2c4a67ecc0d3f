//! The unix socket between the monitor and a child: whole messages, with descriptors.
//!
//! It carries what rings cannot: descriptors, and the few messages that go with them. A message is
//! whole or an error, never a part; a message that was cut leaves no descriptor behind. Both ends
//! treat the other as hostile, so what arrives is bounded here and checked by its receiver. What is
//! too much for a message travels as a [`crate::parcel`].

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg,
    sendmsg, socketpair, sockopt::socket_type,
};

use crate::sys;

/// Longest message, without its descriptors.
pub const MAX_MESSAGE_BYTES: usize = 64 * 1024;

/// Most descriptors that one message carries.
pub const MAX_DESCRIPTORS: usize = 16;

/// Number under which a child finds its end of the socket.
pub const SOCKET_FD: i32 = 3;

/// Room for the control part of one message.
const CONTROL_BYTES: usize = rustix::cmsg_space!(ScmRights(MAX_DESCRIPTORS));

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Nothing to send: the other end would take it for the end of the stream.
    #[error("a message needs at least one byte: an empty one reads as the end of the stream")]
    Empty,
    /// Over [`MAX_MESSAGE_BYTES`].
    #[error("message of {found} bytes is over the limit of {MAX_MESSAGE_BYTES}: send it in parts")]
    TooLong {
        /// Length of the message.
        found: usize,
    },
    /// Over [`MAX_DESCRIPTORS`].
    #[error(
        "{found} descriptors are over the limit of {MAX_DESCRIPTORS} a message: send several messages"
    )]
    TooManyDescriptors {
        /// How many were given.
        found: usize,
    },
    /// The other end is gone.
    #[error("the other end of the socket is closed: its process has ended")]
    Closed,
    /// The socket is non-blocking and its queue is full.
    #[error("the socket's queue is full: wait until it is writable and send again")]
    WouldBlock,
    /// Anything else.
    #[error("sendmsg failed: {0}")]
    Os(#[source] std::io::Error),
}

/// Why no message was received.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The other end is gone, and every message that it sent has been read.
    #[error("the other end of the socket is closed: its process has ended")]
    Closed,
    /// The peer sent more than [`MAX_MESSAGE_BYTES`]; the message is dropped.
    #[error("a message over the limit of {MAX_MESSAGE_BYTES} bytes arrived and was dropped")]
    TooLong,
    /// The peer sent more than [`MAX_DESCRIPTORS`]; message and descriptors are dropped.
    #[error(
        "a message with over {MAX_DESCRIPTORS} descriptors (or more than this process may hold) \
         arrived and was dropped; see the limit of open files"
    )]
    TooManyDescriptors,
    /// The socket is non-blocking and nothing has arrived.
    #[error("no message has arrived: wait until the socket is readable")]
    WouldBlock,
    /// Anything else.
    #[error("recvmsg failed: {0}")]
    Os(#[source] std::io::Error),
}

/// What arrived.
#[derive(Debug)]
pub struct Message {
    /// Never empty, never over [`MAX_MESSAGE_BYTES`].
    pub bytes: Vec<u8>,
    /// At most [`MAX_DESCRIPTORS`], each closed on exec.
    pub descriptors: Vec<OwnedFd>,
}

/// One end of a seqpacket socket pair. Blocking unless told otherwise.
#[derive(Debug)]
pub struct Socket(OwnedFd);

impl Socket {
    /// Two connected ends, both closed on exec.
    pub fn pair() -> std::io::Result<(Self, Self)> {
        let (one, other) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        Ok((Self(one), Self(other)))
    }

    /// The end that [`crate::spawn`] left at [`SOCKET_FD`] in this process; `None` if there is no
    /// such socket there, or if it was taken before. For before the jail, whose filter refuses
    /// the question.
    pub fn inherited() -> Option<Self> {
        let fd = sys::take_inherited(SOCKET_FD)?;
        (socket_type(&fd) == Ok(SocketType::SEQPACKET)).then_some(Self(fd))
    }

    /// Sends one message, whole.
    pub fn send(&self, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), SendError> {
        check(bytes, descriptors)?;
        let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !descriptors.is_empty() && !control.push(SendAncillaryMessage::ScmRights(descriptors)) {
            return Err(SendError::TooManyDescriptors { found: descriptors.len() });
        }
        let sent = rustix::io::retry_on_intr(|| {
            sendmsg(&self.0, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
        });
        match sent {
            Ok(_) => Ok(()),
            Err(Errno::PIPE | Errno::CONNRESET) => Err(SendError::Closed),
            Err(Errno::AGAIN) => Err(SendError::WouldBlock),
            Err(e) => Err(SendError::Os(e.into())),
        }
    }

    /// Receives one message, whole.
    pub fn recv(&self) -> Result<Message, ReceiveError> {
        let mut bytes = vec![0; MAX_MESSAGE_BYTES];
        let mut space = [MaybeUninit::uninit(); CONTROL_BYTES];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let received = rustix::io::retry_on_intr(|| {
            let parts = &mut [IoSliceMut::new(&mut bytes)];
            recvmsg(&self.0, parts, &mut control, RecvFlags::CMSG_CLOEXEC)
        });
        let received = match received {
            Ok(received) => received,
            Err(Errno::CONNRESET) => return Err(ReceiveError::Closed),
            Err(Errno::AGAIN) => return Err(ReceiveError::WouldBlock),
            Err(e) => return Err(ReceiveError::Os(e.into())),
        };
        // Owned from here on: every early return below closes what arrived.
        let descriptors = owned(&mut control);
        if received.flags.contains(ReturnFlags::TRUNC) {
            return Err(ReceiveError::TooLong);
        }
        if received.flags.contains(ReturnFlags::CTRUNC) || descriptors.len() > MAX_DESCRIPTORS {
            return Err(ReceiveError::TooManyDescriptors);
        }
        if received.bytes == 0 {
            return Err(ReceiveError::Closed);
        }
        bytes.truncate(received.bytes);
        Ok(Message { bytes, descriptors })
    }

    /// Makes [`Socket::send`] and [`Socket::recv`] return at once, for use with a poller. It is a
    /// property of this end only.
    pub fn set_nonblocking(&self, on: bool) -> std::io::Result<()> {
        let mut flags = fcntl_getfl(&self.0)?;
        flags.set(OFlags::NONBLOCK, on);
        Ok(fcntl_setfl(&self.0, flags)?)
    }
}

fn check(bytes: &[u8], descriptors: &[BorrowedFd<'_>]) -> Result<(), SendError> {
    if bytes.is_empty() {
        return Err(SendError::Empty);
    }
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(SendError::TooLong { found: bytes.len() });
    }
    if descriptors.len() > MAX_DESCRIPTORS {
        return Err(SendError::TooManyDescriptors { found: descriptors.len() });
    }
    Ok(())
}

fn owned(control: &mut RecvAncillaryBuffer<'_>) -> Vec<OwnedFd> {
    let mut all = Vec::new();
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(rights) = part {
            all.extend(rights);
        }
    }
    all
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

impl From<Socket> for OwnedFd {
    fn from(socket: Socket) -> Self {
        socket.0
    }
}

#[cfg(test)]
mod tests;
