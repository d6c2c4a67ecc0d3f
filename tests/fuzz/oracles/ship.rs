//! What must hold for any bytes that a host receives as a request for a function or its files, as a
//! reply, or as a record; the fuzz target `ship` and a bounded test of the protocol's crate feed it.
//!
//! 1. Bytes are a message within the bounds, or a typed failure; never a panic.
//! 2. What is a message is the same when it is written and read again.
//! 3. A read is taken exactly if its ranges are within the bounds.

use faaslet_proto::ship::{
    ArchivedBody, Ask, Body, FileId, MAX_RANGES, MAX_READ_BYTES, Range, Record, Reply, Urgency,
};

/// Checks the bytes as each of them.
pub fn check(bytes: &[u8]) {
    ask(bytes);
    if let Ok(reply) = Reply::from_bytes(bytes) {
        let again = reply.to_bytes().and_then(|bytes| Reply::from_bytes(&bytes));
        // Sentences may have been cut.
        assert!(again.is_ok_and(|again| again.to_bytes() == reply.to_bytes()));
    }
    if let Ok(record) = Record::from_bytes(bytes)
        && let Ok(again) = record.to_bytes()
    {
        assert_eq!(Record::from_bytes(&again), Ok(record));
    }
    made(bytes);
}

fn ask(bytes: &[u8]) {
    let Ok(ask) = Ask::access(bytes) else { return };
    if let ArchivedBody::Read { ranges, .. } = &ask.body {
        let total: u64 = ranges.iter().map(|range| u64::from(range.bytes.to_native())).sum();
        assert!(ranges.len() <= MAX_RANGES && total <= MAX_READ_BYTES);
    }
}

/// A read whose numbers are the bytes': taken exactly if it is within the bounds.
fn made(bytes: &[u8]) {
    let number = |at: usize| u64::from(bytes.get(at).copied().unwrap_or(0));
    let count = (number(0) << 1 | number(1) & 1) as usize;
    let range = |at: usize| Range { at: number(at) << 40, bytes: (number(at) << 16) as u32 };
    let ranges: Vec<Range> = (0..count).map(range).collect();
    let total: u64 = ranges.iter().map(|range| u64::from(range.bytes)).sum();
    let within = count <= MAX_RANGES && total <= MAX_READ_BYTES;
    let file = FileId { kind: 1, hash: [7; 32] };
    let ask = Ask::new("t", Body::Read { file, ranges, urgency: Urgency::Fault });
    let Ok(head) = ask.to_bytes() else { return };
    assert_eq!(Ask::access(&head).is_ok(), within, "{count} ranges of {total} bytes");
}
