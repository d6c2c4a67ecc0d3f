//! Sockets and children for tokio: the same calls, waiting without a thread.

use std::os::fd::BorrowedFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use crate::parcel::{Assembly, Cut, Most, ParcelError};
use crate::{Child, Exit, Message, ReceiveError, SendError, Socket, WaitError, sys};

/// A [`Socket`] whose calls wait in a task.
#[derive(Debug)]
pub struct AsyncSocket(AsyncFd<Socket>);

impl AsyncSocket {
    /// Wraps `socket` and makes it non-blocking. Call it within a runtime.
    pub fn new(socket: Socket) -> std::io::Result<Self> {
        socket.set_nonblocking(true)?;
        Ok(Self(sys::register(socket, Interest::READABLE | Interest::WRITABLE)?))
    }

    /// Sends one message, whole. Dropped before it is done, it has sent nothing.
    pub async fn send(
        &self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), SendError> {
        loop {
            let mut ready = self.0.writable().await.map_err(SendError::Os)?;
            match ready.get_inner().send(bytes, descriptors) {
                Err(SendError::WouldBlock) => ready.clear_ready(),
                result => return result,
            }
        }
    }

    /// Receives one message, whole. Dropped before it is done, it has taken nothing.
    pub async fn recv(&self) -> Result<Message, ReceiveError> {
        loop {
            let mut ready = self.0.readable().await.map_err(ReceiveError::Os)?;
            match ready.get_inner().recv() {
                Err(ReceiveError::WouldBlock) => ready.clear_ready(),
                result => return result,
            }
        }
    }

    /// Sends one parcel. Dropped before it is done, it may have sent a part, and the socket is
    /// good for nothing any more.
    pub async fn send_parcel(
        &self,
        bytes: &[u8],
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<(), ParcelError> {
        let cut = Cut::new(bytes, descriptors)?;
        for (bytes, descriptors) in cut.messages() {
            self.send(bytes, &descriptors).await?;
        }
        Ok(())
    }

    /// Receives one parcel. Dropped before it is done, it may have taken a part, and the socket is
    /// good for nothing any more.
    pub async fn recv_parcel(&self, most: Most) -> Result<Message, ParcelError> {
        let mut assembly = Assembly::new(most);
        loop {
            if let Some(parcel) = assembly.take(self.recv().await?)? {
                return Ok(parcel);
            }
        }
    }
}

/// A [`Child`] whose end a task can wait for. Dropping it kills and reaps the child.
#[derive(Debug)]
pub struct AsyncChild(AsyncFd<Child>);

impl AsyncChild {
    /// Wraps `child`. Call it within a runtime.
    pub fn new(child: Child) -> std::io::Result<Self> {
        Ok(Self(sys::register(child, Interest::READABLE)?))
    }

    /// The child.
    pub fn get(&self) -> &Child {
        self.0.get_ref()
    }

    /// Waits until it has ended.
    pub async fn wait(&mut self) -> Result<Exit, WaitError> {
        // Readable means ended; a failing poller leaves the blocking wait.
        let _ = self.0.readable().await;
        self.0.get_mut().wait()
    }
}
