//! What must hold for any bytes that either end of a connection between monitors receives; the fuzz
//! target `peer_wire` and a bounded test of the protocol's crate both feed it.
//!
//! 1. Bytes end in events or in the end of the connection with a reason; never in a panic.
//! 2. How the bytes are cut into chunks changes nothing.
//! 3. Requests in flight and unfinished payloads stay within the limits, and each request that was
//!    given out can be answered.

use bytes::Bytes;
use faaslet_proto::Close;
use faaslet_proto::peer::{
    HostId, PeerEvent, PeerLimits, PeerRequest, PeerResponse, PeerSession, PeerSettings, Service,
};
use std::time::{Duration, Instant};

const LIMITS: PeerLimits =
    PeerLimits { max_in_flight: 4, max_requests_bytes: 256 << 10, max_assembly_bytes: 64 << 10 };
/// Requests that the opener under test has in flight.
const ASKED: u64 = 2;

/// Checks the bytes at an acceptor that waits for a hello, and at both ends when they have greeted.
pub fn check(bytes: &[u8]) {
    for open in [accept as fn(Instant) -> Option<PeerSession<u64>>, opener, acceptor] {
        let whole = run(bytes, open, bytes.len().max(1));
        for size in [1, 7, 64] {
            assert_eq!(whole, run(bytes, open, size), "cut into pieces of {size}");
        }
    }
}

fn settings() -> PeerSettings {
    PeerSettings { limits: LIMITS, ..PeerSettings::default() }
}

fn accept(now: Instant) -> Option<PeerSession<u64>> {
    Some(PeerSession::accept(now, settings(), HostId::new("b").ok()?))
}

/// An opener that was let in and has asked.
fn opener(now: Instant) -> Option<PeerSession<u64>> {
    let (mut opener, _) = greeted(now)?;
    for tag in 1..=ASKED {
        let deadline = now + Duration::from_secs(1);
        let (service, head) = (Service::default(), Bytes::new());
        let request = PeerRequest { service, head, payload: Bytes::new(), deadline };
        opener.request(now, request, tag).ok()?;
    }
    while opener.poll_transmit(now).is_some() {}
    Some(opener)
}

/// An acceptor that has let an opener in.
fn acceptor(now: Instant) -> Option<PeerSession<u64>> {
    greeted(now).map(|(_, acceptor)| acceptor)
}

fn greeted(now: Instant) -> Option<(PeerSession<u64>, PeerSession<u64>)> {
    let mut opener = PeerSession::open(now, settings(), HostId::new("a").ok()?);
    let mut acceptor = accept(now)?;
    acceptor.handle_bytes(now, opener.poll_transmit(now)?).ok()?;
    acceptor.welcome(now);
    opener.handle_bytes(now, acceptor.poll_transmit(now)?).ok()?;
    opener.poll_event()?;
    acceptor.poll_event()?;
    Some((opener, acceptor))
}

/// What an end makes of the bytes: its events as text, and how it ended.
fn run(
    bytes: &[u8],
    open: fn(Instant) -> Option<PeerSession<u64>>,
    size: usize,
) -> (Vec<String>, Option<Close>) {
    let now = Instant::now();
    let mut told = Vec::new();
    let Some(mut session) = open(now) else { panic!("the greeting failed") };
    for chunk in bytes.chunks(size) {
        let end = session.handle_bytes(now, Bytes::copy_from_slice(chunk)).err();
        assert!(session.serving() <= LIMITS.max_in_flight as usize);
        assert!(session.assembled_bytes() <= LIMITS.max_assembly_bytes);
        tell(&mut session, &mut told);
        if let Some(close) = end {
            assert!(!close.reason.is_empty());
            return (told, Some(close));
        }
    }
    let given: Vec<u64> = session.given_out().collect();
    for id in given {
        let response = PeerResponse { head: Bytes::new(), payload: Bytes::from_static(b"well") };
        assert!(session.respond(now, id, response));
    }
    (told, None)
}

fn tell(session: &mut PeerSession<u64>, told: &mut Vec<String>) {
    while let Some(event) = session.poll_event() {
        match event {
            // Not its deadline, which is counted from now.
            PeerEvent::Request { id, request } => {
                told.push(format!("request {id} {:?} {:?}", request.head, request.payload));
            }
            PeerEvent::Response { tag, result, .. } => told.push(format!("{tag} {result:?}")),
            other => told.push(format!("{other:?}")),
        }
    }
}
