//! What a request for state costs through the monitor, on one host: in memory, and durable, one at
//! a time and 64 at once. Prints medians; no test, as times differ between machines.
#![allow(clippy::unwrap_used)]

use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faaslet_state::message::{Body, PullRange, Reply, SessionId, Stamp};
use faaslet_state::{Durability, Element, Rule, Spec, Version};
use faaslet_vmm::monitor::state::{StateSession, States, StatesConfig};

const WITHIN: Duration = Duration::from_secs(60);
const TURNS: usize = 20_000;
const DURABLE_TURNS: usize = 300;
const WRITERS: usize = 64;

fn ask(session: &StateSession, key: &str, body: Body, payload: Bytes) -> Reply {
    let (tell, told) = sync_channel(1);
    let answered = Box::new(move |answer| tell.send(answer).unwrap());
    session.ask(key, body, payload, Instant::now() + WITHIN, answered);
    let (reply, _) = told.recv().unwrap().unwrap();
    reply
}

fn make(session: &StateSession, key: &str, durability: Durability) {
    let spec = Spec::new(Element::U8, Rule::Replace, durability, 1 << 20).unwrap();
    let stamp = Stamp { session: SessionId(0), sequence: 1 };
    ask(session, key, Body::Create { spec, renew: true, stamp }, Bytes::new());
}

fn push(session: &StateSession, key: &str, turn: usize, payload: &Bytes) {
    let stamp = Stamp { session: SessionId(0), sequence: turn as u64 + 2 };
    let body = Body::Push { stamp, made: Version::NONE, expected: None, fence: None, len: 4096 };
    ask(session, key, body, payload.clone());
}

fn pull(session: &StateSession, key: &str) {
    let range = PullRange { first: 0, count: 1, since: Version::NONE };
    ask(session, key, Body::Pull { ranges: vec![range], at: None }, Bytes::new());
}

/// One run of 4 KiB at the start of the value.
fn payload() -> Bytes {
    let mut bytes = vec![0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0xff, 0x0f];
    bytes.resize(bytes.len() + 4096, 7);
    bytes.into()
}

fn median(turns: usize, mut turn: impl FnMut(usize)) -> Duration {
    let mut times: Vec<Duration> = (0..turns)
        .map(|number| {
            let start = Instant::now();
            turn(number);
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

fn main() {
    let dir = tempfile::tempdir_in(".").unwrap();
    let states = States::open(&StatesConfig::new(dir.path().to_owned())).unwrap();
    let session = states.begin("tenant");
    let bytes = payload();
    make(&session, "memory", Durability::Memory);
    println!(
        "push 4 KiB, memory: {:?}",
        median(TURNS, |turn| push(&session, "memory", turn, &bytes))
    );
    println!("pull 4 KiB, memory: {:?}", median(TURNS, |_| pull(&session, "memory")));
    make(&session, "durable", Durability::Durable);
    let start = Instant::now();
    let one = median(DURABLE_TURNS, |turn| push(&session, "durable", turn, &bytes));
    let rate = DURABLE_TURNS as f64 / start.elapsed().as_secs_f64();
    println!("push 4 KiB, durable, one at a time: {one:?}, {rate:.0} a second");
    let start = Instant::now();
    std::thread::scope(|scope| {
        for number in 0..WRITERS {
            let (session, bytes) = (states.begin("tenant"), &bytes);
            scope.spawn(move || {
                let key = format!("durable/{number}");
                make(&session, &key, Durability::Durable);
                for turn in 0..DURABLE_TURNS {
                    push(&session, &key, turn, bytes);
                }
            });
        }
    });
    let many = (WRITERS * DURABLE_TURNS) as f64 / start.elapsed().as_secs_f64();
    println!("push 4 KiB, durable, {WRITERS} at once: {many:.0} a second, {:.1}x", many / rate);
    println!("{:?}", states.disk_count());
}
