//! A call and its reply through both sessions: encoded, taken apart, checked and encoded again,
//! without a socket between them.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a measurement reads the clock")]

use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::Criterion;
use faaslet_proto::{
    ClientEvent, ClientSession, ClientSettings, Mode, Outcome, Reply, Request, ServerEvent,
    ServerSession, ServerSettings, Timings,
};

const INPUT_BYTES: [usize; 3] = [0, 1024, 64 * 1024];

/// Both ends. Time stands still.
struct Pair {
    now: Instant,
    client: ClientSession,
    server: ServerSession,
}

impl Pair {
    /// A pair that has greeted.
    fn open() -> Self {
        let now = Instant::now();
        let client = ClientSession::new(now, ClientSettings::default(), b"a token");
        let server = ServerSession::new(now, ServerSettings::default());
        let mut pair = Self { now, client, server };
        pair.reach_server();
        assert!(matches!(pair.server.poll_event(), Some(ServerEvent::Hello { .. })));
        pair.server.welcome(now, "the tenant");
        pair.reach_client();
        assert!(matches!(pair.client.poll_event(), Some(ClientEvent::Welcome { .. })));
        pair
    }

    fn reach_server(&mut self) {
        while let Some(bytes) = self.client.poll_transmit(self.now) {
            self.server.handle_bytes(self.now, bytes).unwrap();
        }
    }

    fn reach_client(&mut self) {
        while let Some(bytes) = self.server.poll_transmit(self.now) {
            self.client.handle_bytes(self.now, bytes).unwrap();
        }
    }

    /// A call that is answered with its input.
    fn echo(&mut self, input: Bytes) -> Bytes {
        let request =
            Request { function: "noop", input, mode: Mode::Default, attempt: 1, deadline: None };
        let called = self.client.call(self.now, request).unwrap();
        self.reach_server();
        let Some(ServerEvent::Call { id, call }) = self.server.poll_event() else {
            panic!("the call did not arrive")
        };
        let reply =
            Reply { outcome: Outcome::Returned, payload: call.input, timings: Timings::default() };
        assert!(self.server.reply(self.now, id, reply));
        self.reach_client();
        match self.client.poll_event() {
            Some(ClientEvent::Reply { id, reply }) if id == called => reply.payload,
            other => panic!("expected the reply to {called}; found {other:?}"),
        }
    }
}

fn main() {
    let mut criterion = Criterion::default()
        .without_plots()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    let mut group = criterion.benchmark_group("session");
    for bytes in INPUT_BYTES {
        let (mut pair, input) = (Pair::open(), Bytes::from(vec![7; bytes]));
        group.bench_function(format!("call_{bytes}B"), |bencher| {
            bencher.iter(|| assert_eq!(pair.echo(input.clone()).len(), bytes));
        });
    }
    group.finish();
    criterion.final_summary();
}
