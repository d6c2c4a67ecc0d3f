//! What an end makes of bytes that no honest peer sends.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a run begins at some moment, from some seed")]

#[path = "../../../tests/fuzz/oracles/peer_wire.rs"]
mod oracle;
mod peers;

use bytes::{Bytes, BytesMut};
use faaslet_proto::peer::limits::{MAX_FRAGMENT_BYTES, MAX_HEAD_BYTES, MAX_PAYLOAD_BYTES};
use faaslet_proto::peer::{HostId, PeerLimits, PeerSession, PeerSettings};
use faaslet_proto::{Close, CloseCode};
use peers::{frame, seed};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::time::{Duration, Instant};

const HELLO: u8 = 1;
const REQUEST: u8 = 3;
const RESPONSE: u8 = 4;
const REQUEST_DATA: u8 = 5;
const RESPONSE_DATA: u8 = 6;
const CANCEL: u8 = 7;

fn greeting(oldest: u16, newest: u16) -> Vec<u8> {
    let mut head = [oldest.to_le_bytes(), newest.to_le_bytes()].concat();
    head.extend_from_slice(&16u32.to_le_bytes());
    head.extend_from_slice(&(1u64 << 20).to_le_bytes());
    head.extend_from_slice(&(1u64 << 20).to_le_bytes());
    head.extend_from_slice(&PeerSettings::default().hosts.to_le_bytes());
    head
}

fn acceptor(now: Instant, limits: PeerLimits) -> PeerSession<()> {
    let settings = PeerSettings { limits, ..PeerSettings::default() };
    PeerSession::accept(now, settings, HostId::new("b").unwrap())
}

/// An acceptor that has greeted gets these frames; how it ends.
fn after_hello(frames: &[Bytes]) -> Result<(), Close> {
    let limits = PeerLimits {
        max_in_flight: 4,
        max_requests_bytes: 256 << 10,
        max_assembly_bytes: 128 << 10,
    };
    let now = Instant::now();
    let mut session = acceptor(now, limits);
    session.handle_bytes(now, frame(HELLO, 0, 0, &greeting(1, 1), b"a")).unwrap();
    while session.poll_event().is_some() {}
    session.welcome(now);
    for frame in frames {
        session.handle_bytes(now, frame.clone())?;
        assert!(session.assembled_bytes() <= limits.max_assembly_bytes);
        assert!(session.serving() <= limits.max_in_flight as usize);
    }
    Ok(())
}

#[test]
fn each_way_to_break_the_protocol_has_its_sentence() {
    let announced = |id, bytes| frame(REQUEST, id, bytes, b"head", b"");
    let data = |id, bytes| frame(REQUEST_DATA, id, 0, b"", &vec![0; bytes]);
    let piece = MAX_FRAGMENT_BYTES;
    let cases: Vec<(Vec<Bytes>, &str)> = vec![
        (vec![frame(99, 0, 0, b"", b"")], "kind 1 to 8, found 99"),
        (vec![frame(REQUEST, 1, 0, b"", &vec![0; piece + 1])], "at most 32768 payload bytes"),
        (vec![frame(REQUEST, 1, 0, &vec![0; MAX_HEAD_BYTES + 1], b"")], "a head of at most 4096"),
        (vec![announced(1, MAX_PAYLOAD_BYTES as u32 + 1)], "a payload of at most 16777216"),
        (vec![announced(1, 5)], "expected 5 bytes with Request 1"),
        (vec![frame(REQUEST, 1, 2, b"", b"abc")], "expected 2 bytes with Request 1"),
        (vec![announced(1, 200 << 10), announced(2, 100 << 10)], "requests of 262144 bytes"),
        ((1..6).map(|id| announced(id, 0)).collect(), "at most 4 requests"),
        (vec![announced(2, 0), announced(2, 0)], "a request id over 2, found 2"),
        (vec![announced(2, 0), announced(1, 0)], "a request id over 2, found 1"),
        (vec![data(1, 5)], "request, found it for 1 that never began"),
        (vec![announced(1, 0), data(1, 5)], "no more data for request 1"),
        (vec![announced(1, 33000), data(1, piece), data(1, 300)], "33000 bytes for request 1"),
        (vec![frame(REQUEST_DATA, 1, 0, b"", b"")], "a piece that is not empty"),
        (vec![frame(REQUEST_DATA, 1, 0, b"head", b"x")], "no head in a RequestData"),
        (vec![frame(CANCEL, 7, 0, b"", b"")], "found 7 that never began"),
        (vec![frame(RESPONSE, 7, 0, b"", b"")], "in flight, found one to 7"),
        (vec![frame(RESPONSE_DATA, 7, 0, b"", b"x")], "data of a response, found it for request 7"),
        (vec![frame(HELLO, 0, 0, &greeting(1, 1), b"a")], "no second greeting"),
        (
            std::iter::once(announced(1, 250 << 10))
                .chain((0..8).map(|_| data(1, piece)))
                .collect(),
            "131072 bytes of unfinished payloads",
        ),
    ];
    for (frames, sentence) in cases {
        let close = after_hello(&frames).expect_err(sentence);
        assert_eq!(close.code, CloseCode::Protocol);
        assert!(close.reason.contains(sentence), "{} instead of: {sentence}", close.reason);
    }
}

#[test]
fn greetings_are_checked() {
    let now = Instant::now();
    let greet = |head: &[u8], name: &[u8]| {
        let mut session = acceptor(now, PeerLimits::default());
        session.handle_bytes(now, frame(HELLO, 0, 0, head, name)).unwrap_err()
    };
    let close = greet(&greeting(2, 3), b"a");
    assert_eq!(close.code, CloseCode::Version);
    assert!(close.reason.contains("versions 1 to 1, the other 2 to 3"), "{close}");
    assert!(greet(&greeting(1, 1)[..10], b"a").reason.contains("a greeting of 32 bytes"));
    for name in [&b""[..], b"A", b"-a", b"a_b", &[b'a'; 32], b"\xff"] {
        assert!(greet(&greeting(1, 1), name).reason.contains("a host's name"), "{name:?}");
    }
    let mut session = acceptor(now, PeerLimits::default());
    let close = session.handle_bytes(now, frame(REQUEST, 1, 0, b"", b"")).unwrap_err();
    assert!(close.reason.contains("expected a greeting, found Request"), "{close}");
}

#[test]
fn who_falls_silent_in_the_middle_is_let_go() {
    let stall = PeerSettings::default().patience.stall;
    let whole = frame(REQUEST, 1, 100_000, b"head", b"");
    let piece = frame(REQUEST_DATA, 1, 0, b"", &[1; 100]);
    for bytes in [&whole[..5], &whole[..], &[&whole[..], &piece[..60]].concat()] {
        let now = Instant::now();
        let mut session = acceptor(now, PeerLimits::default());
        session.handle_bytes(now, frame(HELLO, 0, 0, &greeting(1, 1), b"a")).unwrap();
        session.welcome(now);
        while session.poll_transmit(now).is_some() {}
        session.handle_bytes(now, Bytes::copy_from_slice(bytes)).unwrap();
        assert!(session.poll_timeout().is_some_and(|due| due <= now + stall));
        // Its deadline ends a request first; its silence ends the connection.
        let later = now + stall + Duration::from_secs(1);
        if bytes.len() < whole.len() || bytes.len() > whole.len() {
            let close = session.handle_timeout(later).unwrap_err();
            assert_eq!(close.code, CloseCode::Stalled);
        } else {
            session.handle_timeout(later).unwrap();
            assert_eq!(session.assembled_bytes(), 0);
        }
    }
    let now = Instant::now();
    let mut silent = acceptor(now, PeerLimits::default());
    let close = silent.handle_timeout(now + Duration::from_secs(6)).unwrap_err();
    assert_eq!(close.code, CloseCode::Stalled);
}

#[test]
fn a_flood_of_requests_and_cancellations_is_bounded() {
    let now = Instant::now();
    let mut session = acceptor(now, PeerLimits::default());
    session.handle_bytes(now, frame(HELLO, 0, 0, &greeting(1, 1), b"a")).unwrap();
    session.welcome(now);
    // Nothing that it says is read.
    let end = (1..).find_map(|id| {
        let mut both = BytesMut::new();
        both.extend_from_slice(&frame(REQUEST, id, 0, b"head", b""));
        both.extend_from_slice(&frame(CANCEL, id, 0, b"", b""));
        let result = session.handle_bytes(now, both.freeze());
        while session.poll_event().is_some() {}
        result.err()
    });
    assert!(end.unwrap().reason.contains("at most 1024 requests"));
    assert!(session.queued_bytes() < 64 << 10);
}

#[test]
fn any_bytes_end_in_events_or_in_a_reason() {
    let mut rng = SmallRng::seed_from_u64(seed());
    let head = greeting(1, 1);
    for _ in 0..20_000 {
        let mut bytes = BytesMut::new();
        for _ in 0..rng.random_range(0..8) {
            let (kind, id) = (rng.random_range(0..10), rng.random_range(0..4));
            let length = rng.random_range(0..80);
            let payload: Vec<u8> = (0..length).map(|_| rng.random()).collect();
            let whole = match rng.random_range(0..4) {
                0 => MAX_FRAGMENT_BYTES as u32 + rng.random_range(0..100),
                1 => rng.random(),
                _ => length as u32,
            };
            let payload = if whole == length as u32 || kind > 4 { &payload[..] } else { b"" };
            let head = if kind == HELLO { &head[..] } else { b"" };
            bytes.extend_from_slice(&frame(kind, id, whole, head, payload));
        }
        let length = bytes.len();
        if length > 0 && rng.random_bool(0.5) {
            let at = rng.random_range(0..length);
            bytes[at] ^= 1 << rng.random_range(0..8);
        }
        if rng.random_bool(0.3) {
            bytes.truncate(rng.random_range(0..=length));
        }
        oracle::check(&bytes);
    }
}
