//! Parcels over a pair of sockets, and what a hostile end may send.
#![allow(clippy::unwrap_used)]

use rustix::event::{EventfdFlags, eventfd};

use super::*;

/// A pair whose one end sends from a thread, as its messages may be more than the queue holds.
fn carried(bytes: &[u8], count: usize) -> Message {
    let (near, far) = Socket::pair().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let files: Vec<_> = (0..count)
                .map(|n| OwnedFd::from(memory::sealed("test", &[n as u8]).unwrap()))
                .collect();
            let files: Vec<_> = files.iter().map(AsFd::as_fd).collect();
            near.send_parcel(bytes, &files).unwrap();
        });
        far.recv_parcel(ANY).unwrap()
    })
}

#[test]
fn every_length_and_every_number_of_descriptors_arrives_whole_and_in_order() {
    let most = MAX_INLINE_BYTES;
    for length in [0, 1, most - 1, most, most + 1, MAX_MESSAGE_BYTES, 1 << 20] {
        for count in [0, 1, 15, 16, 17, 31, 32, 33, MAX_PARCEL_DESCRIPTORS] {
            let bytes: Vec<_> = (0..length).map(|n| n as u8).collect();
            let message = carried(&bytes, count);
            assert!(message.bytes == bytes, "{length} {count}");
            assert_eq!(message.descriptors.len(), count, "{length}");
            for (n, file) in message.descriptors.into_iter().enumerate() {
                assert_eq!(memory::read_sealed(&File::from(file), 1).unwrap(), [n as u8]);
            }
        }
    }
}

#[test]
fn the_longest_arrives_and_more_is_refused_by_both_sides() {
    assert_eq!(carried(&vec![7; MAX_PARCEL_BYTES], 0).bytes.len(), MAX_PARCEL_BYTES);
    let (near, far) = Socket::pair().unwrap();
    let error = near.send_parcel(&vec![7; MAX_PARCEL_BYTES + 1], &[]).unwrap_err();
    assert!(matches!(error, ParcelError::TooLong { .. }), "{error}");
    let many = vec![near.as_fd(); MAX_PARCEL_DESCRIPTORS + 1];
    let error = near.send_parcel(b"x", &many).unwrap_err();
    assert!(matches!(error, ParcelError::TooManyDescriptors { .. }), "{error}");
    near.send_parcel(&[7; 11], &[]).unwrap();
    let error = far.recv_parcel(Most { bytes: 10, descriptors: 0 }).unwrap_err();
    assert!(matches!(error, ParcelError::TooLong { found: 11, limit: 10 }), "{error}");
    near.send_parcel(b"x", &[near.as_fd()]).unwrap();
    let error = far.recv_parcel(Most { bytes: 10, descriptors: 0 }).unwrap_err();
    assert!(matches!(error, ParcelError::TooManyDescriptors { found: 1, limit: 0 }), "{error}");
}

/// Messages as a hostile end sends them.
type Sent<'a> = &'a [(Vec<u8>, Vec<BorrowedFd<'a>>)];

/// A head as a hostile end writes it.
fn head(length: usize, descriptors: usize) -> Vec<u8> {
    [(length as u32).to_le_bytes(), (descriptors as u32).to_le_bytes()].concat()
}

#[test]
fn a_parcel_that_is_not_what_it_says_is_an_error_and_is_not_waited_for() {
    let counter = eventfd(0, EventfdFlags::CLOEXEC).unwrap();
    let short = memory::sealed("test", b"short").unwrap();
    let long = MAX_INLINE_BYTES + 1;
    let (counter, short) = (counter.as_fd(), short.as_fd());
    let cases: [Sent<'_>; 7] = [
        &[(b"1234567".to_vec(), vec![])],
        &[(head(3, 0), vec![])],
        &[([head(1, 0), b"ab".to_vec()].concat(), vec![])],
        &[([head(1, 0), b"a".to_vec()].concat(), vec![short])],
        &[([head(1, 2), b"a".to_vec()].concat(), vec![short]), (MORE.to_vec(), vec![])],
        &[(head(long, 0), vec![short])],
        // A read of this one would never return.
        &[(head(long, 0), vec![counter])],
    ];
    for (number, messages) in cases.into_iter().enumerate() {
        let (near, far) = Socket::pair().unwrap();
        for (bytes, descriptors) in messages {
            near.send(bytes, descriptors).unwrap();
        }
        let error = far.recv_parcel(ANY).unwrap_err();
        let expected = matches!(error, ParcelError::Malformed { .. } | ParcelError::Memory(_));
        assert!(expected, "{number}: {error}");
    }
}
