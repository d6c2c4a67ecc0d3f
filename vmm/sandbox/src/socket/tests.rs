//! Messages and descriptors over a pair of sockets.

#![allow(clippy::unwrap_used)]

use std::fs::{File, read_dir};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::{FdFlags, fcntl_getfd};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use super::{MAX_DESCRIPTORS, MAX_MESSAGE_BYTES, ReceiveError, SendError, Socket};

/// Descriptors of this process that are memory files of this name.
fn open_files(name: &str) -> usize {
    let targets = read_dir("/proc/self/fd").unwrap();
    let is_it = |entry: std::io::Result<std::fs::DirEntry>| {
        let target = std::fs::read_link(entry.ok()?.path()).ok()?;
        target.to_string_lossy().contains(name).then_some(())
    };
    targets.filter_map(is_it).count()
}

fn borrow(all: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    all.iter().map(AsFd::as_fd).collect()
}

/// Sends past the checks of [`Socket::send`], as a hostile peer does.
fn send_unchecked(socket: &Socket, bytes: &[u8], descriptors: &[BorrowedFd<'_>]) {
    let mut space = vec![std::mem::MaybeUninit::uninit(); 4096];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        assert!(control.push(SendAncillaryMessage::ScmRights(descriptors)));
    }
    let parts = [std::io::IoSlice::new(bytes)];
    sendmsg(socket, &parts, &mut control, SendFlags::NOSIGNAL).unwrap();
}

#[test]
fn a_message_arrives_whole_with_descriptors_that_work_and_close_on_exec() {
    let (near, far) = Socket::pair().unwrap();
    let pipes = (0..MAX_DESCRIPTORS).map(|_| rustix::pipe::pipe().unwrap());
    let (readers, writers): (Vec<_>, Vec<_>) = pipes.unzip();
    near.send(b"hello", &borrow(&readers)).unwrap();
    drop(readers);
    let message = far.recv().unwrap();
    assert_eq!(message.bytes, b"hello");
    assert_eq!(message.descriptors.len(), MAX_DESCRIPTORS);
    for (i, (reader, writer)) in message.descriptors.into_iter().zip(writers).enumerate() {
        assert!(fcntl_getfd(&reader).unwrap().contains(FdFlags::CLOEXEC));
        rustix::io::write(&writer, &[i as u8]).unwrap();
        drop(writer);
        let mut bytes = Vec::new();
        File::from(reader).read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [i as u8]);
    }
}

#[test]
fn the_longest_message_passes_and_a_longer_one_does_not() {
    let (near, far) = Socket::pair().unwrap();
    let longest = vec![7; MAX_MESSAGE_BYTES];
    near.send(&longest, &[]).unwrap();
    assert_eq!(far.recv().unwrap().bytes, longest);
    let longer = vec![7; MAX_MESSAGE_BYTES + 1];
    assert!(matches!(near.send(&longer, &[]), Err(SendError::TooLong { .. })));
    assert!(matches!(near.send(&[], &[]), Err(SendError::Empty)));
}

#[test]
fn what_a_hostile_peer_sends_is_refused_and_leaks_no_descriptor() {
    const NAME: &str = "sent-by-a-hostile-peer";
    let (near, far) = Socket::pair().unwrap();
    let file = || memfd_create(NAME, MemfdFlags::CLOEXEC).unwrap();
    let files: Vec<OwnedFd> = (0..MAX_DESCRIPTORS * 4).map(|_| file()).collect();
    let before = open_files(NAME);
    assert_eq!(before, files.len());

    for count in [MAX_DESCRIPTORS + 1, files.len()] {
        send_unchecked(&near, b"many", &borrow(&files[..count]));
        assert!(matches!(far.recv(), Err(ReceiveError::TooManyDescriptors)), "{count}");
        assert_eq!(open_files(NAME), before, "descriptors of a message with {count}");
    }

    send_unchecked(&near, &vec![0; MAX_MESSAGE_BYTES + 1], &borrow(&files[..3]));
    assert!(matches!(far.recv(), Err(ReceiveError::TooLong)));
    assert_eq!(open_files(NAME), before, "descriptors of a message that was too long");

    send_unchecked(&near, b"", &borrow(&files[..3]));
    assert!(matches!(far.recv(), Err(ReceiveError::Closed)));
    assert_eq!(open_files(NAME), before, "descriptors of an empty message");

    near.send(b"after", &[]).unwrap();
    assert_eq!(far.recv().unwrap().bytes, b"after", "the socket works on");
}

#[test]
fn a_closed_end_is_told_from_an_empty_queue() {
    let (near, far) = Socket::pair().unwrap();
    far.set_nonblocking(true).unwrap();
    assert!(matches!(far.recv(), Err(ReceiveError::WouldBlock)));
    near.send(b"last", &[]).unwrap();
    drop(near);
    assert_eq!(far.recv().unwrap().bytes, b"last");
    assert!(matches!(far.recv(), Err(ReceiveError::Closed)));
    assert!(matches!(far.send(b"x", &[]), Err(SendError::Closed)));
}

#[test]
fn a_full_queue_does_not_block_a_nonblocking_sender() {
    /// More messages of this size than any queue holds.
    const TRIES: usize = 10_000;
    let (near, _far) = Socket::pair().unwrap();
    near.set_nonblocking(true).unwrap();
    let refused = (0..TRIES).find_map(|_| near.send(&[0; 4096], &[]).err());
    assert!(matches!(refused, Some(SendError::WouldBlock)));
}
