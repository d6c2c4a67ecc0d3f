//! Bytes that no honest end sends.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a run begins at some moment, from some seed")]

#[path = "../../../tests/fuzz/oracles/wire.rs"]
#[allow(unreachable_pub)]
mod oracle;
mod pair;

use bytes::{Bytes, BytesMut};
use faaslet_proto::{Close, CloseCode, limits::MAX_FRAGMENT_BYTES, limits::MAX_HEAD_BYTES};
use pair::{Pair, frame, rng, seed};
use rand::{Rng, RngExt};

fn to_server(pair: &mut Pair, bytes: impl Into<Bytes>) -> Result<(), Close> {
    pair.server.handle_bytes(pair.now, bytes.into())
}

/// What an honest client sends for this call.
fn call_bytes(input: &[u8]) -> BytesMut {
    let mut pair = Pair::open(seed());
    pair.call("function", input.to_vec()).unwrap();
    while pair.client_sends() {}
    pair.to_server
}

fn violated(result: Result<(), Close>, about: &str) {
    let close = result.unwrap_err();
    assert_eq!(close.code, CloseCode::Protocol);
    assert!(close.reason.contains(about), "{:?} does not speak of {about:?}", close.reason);
}

#[test]
fn frames_out_of_place_are_named() {
    violated(to_server(&mut Pair::new(0), call_bytes(b"")), "expected a hello, found Call");
    violated(to_server(&mut Pair::open(0), frame(1, &[1, 0, 1, 0], b"")), "found Hello");
    violated(to_server(&mut Pair::open(0), frame(4, &[], b"")), "found Reply");
    violated(to_server(&mut Pair::open(0), frame(0, &[], b"")), "kind 1 to 7, found 0");
    violated(to_server(&mut Pair::open(0), frame(255, &[], b"")), "kind 1 to 7, found 255");
}

#[test]
fn sizes_over_the_limits_are_refused_before_anything_is_kept() {
    let mut header = frame(3, &[], b"").to_vec();
    header[..4].copy_from_slice(&(MAX_FRAGMENT_BYTES as u32 + 1).to_le_bytes());
    violated(to_server(&mut Pair::open(0), header.clone()), "at most 32768 payload bytes");
    header[..4].copy_from_slice(&u32::MAX.to_le_bytes());
    violated(to_server(&mut Pair::open(0), header), "found 4294967295");
    let long = vec![0; MAX_HEAD_BYTES + 1];
    violated(to_server(&mut Pair::open(0), frame(3, &long, b"")), "head of at most 1024");
    let mut flags = frame(3, &[], b"").to_vec();
    flags[7] = 0x80;
    violated(to_server(&mut Pair::open(0), flags), "no flags in version 1, found 0x80");
    let token = vec![0; 513];
    violated(to_server(&mut Pair::new(0), frame(1, &[1, 0, 1, 0], &token)), "token of at most 512");
}

#[test]
fn heads_that_do_not_check_are_refused() {
    for length in 0..64 {
        for fill in [0, 0x7f, 0xff] {
            let result = to_server(&mut Pair::open(0), frame(3, &vec![fill; length], b""));
            assert_eq!(result.unwrap_err().code, CloseCode::Protocol, "{length} of {fill}");
        }
    }
}

#[test]
fn ids_only_go_up() {
    let mut pair = Pair::open(seed());
    let call = call_bytes(b"input").freeze();
    to_server(&mut pair, call.clone()).unwrap();
    violated(to_server(&mut pair, call), "expected a call id over 1, found 1");
}

#[test]
fn data_and_cancel_need_a_call() {
    let id = 5u64.to_le_bytes();
    violated(to_server(&mut Pair::open(0), frame(5, &id, b"data")), "call 5 that never began");
    violated(to_server(&mut Pair::open(0), frame(6, &id, b"")), "call 5 that never began");
    let mut pair = Pair::open(0);
    to_server(&mut pair, call_bytes(b"input")).unwrap();
    let one = 1u64.to_le_bytes();
    violated(to_server(&mut pair, frame(5, &one, b"more")), "no more data for call 1");
}

#[test]
fn more_than_was_announced_is_refused() {
    let bytes = call_bytes(&vec![0; MAX_FRAGMENT_BYTES + 10]);
    let one = 1u64.to_le_bytes();
    // The call frame and its first piece, but then a piece that is too long, and an empty one.
    let first = bytes.len() - 10 - 16;
    for piece in [&[0; 11][..], &[]] {
        let mut pair = Pair::open(0);
        to_server(&mut pair, bytes.clone().freeze().slice(..first)).unwrap();
        violated(to_server(&mut pair, frame(5, &one, piece)), "expected 32778 bytes for call 1");
    }
}

#[test]
fn a_reply_to_nothing_is_refused() {
    let mut pair = Pair::open(seed());
    let id = pair.call("f", "").unwrap();
    pair.settle().unwrap();
    pair.answer(id, faaslet_proto::Reply::returned("output"));
    while pair.server_sends() {}
    let reply = pair.to_client.clone().freeze();
    pair.client.handle_bytes(pair.now, reply.clone()).unwrap();
    let close = pair.client.handle_bytes(pair.now, reply).unwrap_err();
    assert!(close.reason.contains("expected a reply to a call in flight"), "{close}");
}

#[test]
fn bytes_cut_anywhere_mean_the_same() {
    let bytes = call_bytes(b"input").freeze();
    for cut in 1..bytes.len() {
        let mut pair = Pair::open(0);
        to_server(&mut pair, bytes.slice(..cut)).unwrap();
        assert!(pair.server.poll_event().is_none(), "half a call is no call");
        to_server(&mut pair, bytes.slice(cut..)).unwrap();
        assert!(pair.server.poll_event().is_some(), "cut at {cut}");
    }
    let mut pair = Pair::open(0);
    for at in 0..bytes.len() {
        to_server(&mut pair, bytes.slice(at..=at)).unwrap();
    }
    assert!(pair.server.poll_event().is_some());
}

#[test]
fn noise_ends_the_connection_or_does_nothing() {
    let mut rng = rng(seed());
    for _ in 0..20_000 {
        let mut noise = vec![0; rng.random_range(0..300)];
        rng.fill_bytes(&mut noise);
        let mut pair = if rng.random() { Pair::open(0) } else { Pair::new(0) };
        let _ = pair.server.handle_bytes(pair.now, noise.clone().into());
        let _ = pair.client.handle_bytes(pair.now, noise.into());
    }
}

/// Honest traffic with a few bits flipped: bytecheck and the limits meet nearly valid frames.
#[test]
fn flipped_bits_never_panic() {
    let seed = seed();
    for round in 0..3_000 {
        let mut pair = Pair::open(seed.wrapping_add(round));
        for length in [0, 10, 40_000] {
            pair.call("function", vec![7; length]).unwrap();
        }
        while pair.client_sends() {}
        for _ in 0..pair.rng.random_range(1..4) {
            let at = pair.rng.random_range(0..pair.to_server.len());
            // Heads are at the front, payloads fill the rest: flip where it matters.
            let at = if pair.rng.random_bool(0.8) { at % 300 } else { at };
            pair.to_server[at] ^= 1 << pair.rng.random_range(0..8);
        }
        while pair.server_gets(4_000) == Ok(true) {}
        for id in pair.given.keys().copied().collect::<Vec<_>>() {
            pair.answer(id, faaslet_proto::Reply::returned(vec![9; 50]));
        }
        while pair.server_sends() {}
        let at = pair.rng.random_range(0..pair.to_client.len().max(1));
        if let Some(byte) = pair.to_client.get_mut(at) {
            *byte ^= 1 << (at % 8);
        }
        while pair.client_gets(4_000) == Ok(true) {}
    }
}

/// The oracle of the fuzz target `wire`, on honest traffic with a few bytes changed.
#[test]
fn any_bytes_mean_the_same_however_they_are_cut() {
    let mut rng = rng(seed());
    let mut honest = call_bytes(b"").to_vec();
    for length in [10, 600, 40_000] {
        honest.extend_from_slice(&call_bytes(&vec![7; length]));
    }
    for _ in 0..1_000 {
        let mut bytes = honest[..rng.random_range(0..honest.len().min(2_000))].to_vec();
        for _ in 0..rng.random_range(0..6) {
            if !bytes.is_empty() {
                let at = rng.random_range(0..bytes.len());
                bytes[at] = rng.random();
            }
        }
        oracle::check(&bytes);
    }
}
