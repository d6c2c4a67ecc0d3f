//! What must hold for any bytes that either end of a call connection receives; the fuzz target
//! `wire` and a bounded test of the protocol's crate both feed it.
//!
//! 1. Bytes end in events or in the end of the connection with a reason; never in a panic.
//! 2. How the bytes are cut into chunks changes nothing.
//! 3. Calls in flight stay within the limit, and each that was given out can be answered.

use bytes::Bytes;
use faaslet_proto::{
    ClientSession, ClientSettings, Close, Limits, Reply, ServerEvent, ServerSession, ServerSettings,
};
use std::time::Instant;

const MAX_IN_FLIGHT: u32 = 4;

/// Checks the bytes at a server that waits for a hello, at one that has had it, and at a client.
pub fn check(bytes: &[u8]) {
    for greeted in [false, true] {
        let whole = serve(bytes, greeted, bytes.len().max(1));
        for size in [1, 7, 64] {
            assert_eq!(whole, serve(bytes, greeted, size), "cut into pieces of {size}");
        }
    }
    let now = Instant::now();
    let mut client = ClientSession::new(now, ClientSettings::default(), b"token");
    let _ = client.handle_bytes(now, Bytes::copy_from_slice(bytes));
}

/// What a server makes of the bytes: its events as text, and how it ended.
fn serve(bytes: &[u8], greeted: bool, size: usize) -> (Vec<String>, Option<Close>) {
    let now = Instant::now();
    let limits = Limits { max_in_flight: MAX_IN_FLIGHT, ..Limits::default() };
    let settings = ServerSettings { limits, ..ServerSettings::default() };
    let mut server = ServerSession::new(now, settings);
    let mut told = Vec::new();
    if greeted {
        // Hello: no payload, a head of 4 bytes, versions 1 to 2.
        let hello = [0, 0, 0, 0, 4, 0, 1, 0, 1, 0, 2, 0];
        assert!(server.handle_bytes(now, Bytes::copy_from_slice(&hello)).is_ok());
        tell(&mut server, &mut told);
        server.welcome(now, "tenant");
    }
    for chunk in bytes.chunks(size) {
        let end = server.handle_bytes(now, Bytes::copy_from_slice(chunk)).err();
        assert!(server.in_flight() <= MAX_IN_FLIGHT as usize);
        tell(&mut server, &mut told);
        if let Some(close) = end {
            assert!(!close.reason.is_empty());
            return (told, Some(close));
        }
    }
    let given: Vec<u64> = server.given_out().collect();
    for id in given {
        assert!(server.reply(now, id, Reply::returned("output")));
    }
    (told, None)
}

fn tell(server: &mut ServerSession, told: &mut Vec<String>) {
    while let Some(event) = server.poll_event() {
        match event {
            // Not welcomed here: how much came with the hello is a matter of how bytes are cut.
            ServerEvent::Hello { token } => told.push(format!("hello {token:?}")),
            // Not its deadline, which is counted from now.
            ServerEvent::Call { id, call } => told.push(format!(
                "call {id} {} {:?} {:?} {}",
                call.function, call.input, call.mode, call.attempt
            )),
            ServerEvent::State { id, request } => told
                .push(format!("state {id} {} {:?} {:?}", request.key, request.op, request.payload)),
            ServerEvent::Cancelled { id, why } => told.push(format!("cancelled {id} {why:?}")),
        }
    }
}
