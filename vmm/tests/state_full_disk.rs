//! Durable state on a small disk of its own that fills: changes are refused by a typed error and
//! taken back, values can still be deleted, what deleting frees can be used again, and what was
//! acknowledged is there after a restart.
//!
//! The disk is a tmpfs in a mount namespace of this process, which needs root, or a kernel that
//! lets users have namespaces; where neither is given, the test says so and does nothing.
#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use bytes::Bytes;
use faaslet_state::message::{Body, Failure, PullRange, Reply, SessionId, Stamp};
use faaslet_state::payload::{Body as ChunkBody, pulled_chunks};
use faaslet_state::session::SessionError;
use faaslet_state::{ChunkRange, Durability, Element, Rule, Spec, Version};
use faaslet_vmm::monitor::state::{StateSession, States, StatesConfig};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, unshare};

const DISK: &str = "size=24m";
const PART_BYTES: u64 = 256 << 10;
const WITHIN: Duration = Duration::from_secs(60);

fn main() {
    let namespace = unshare(CloneFlags::CLONE_NEWNS)
        .or_else(|_| unshare(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS));
    if let Err(error) = namespace {
        println!("skipped: no mount namespace for this user ({error})");
        return;
    }
    let private = MsFlags::MS_REC | MsFlags::MS_PRIVATE;
    mount(None::<&str>, "/", None::<&str>, private, None::<&str>).unwrap();
    let disk = tempfile::tempdir().unwrap();
    mount(Some("tmpfs"), disk.path(), Some("tmpfs"), MsFlags::empty(), Some(DISK)).unwrap();
    fills_and_empties(disk.path());
    umount2(disk.path(), MntFlags::MNT_DETACH).unwrap();
    println!("a disk that fills refuses changes and keeps what it has: ok");
}

fn ask(
    session: &StateSession,
    key: &str,
    body: Body,
    payload: Vec<u8>,
) -> Result<Reply, SessionError> {
    ask_for(session, key, body, payload).map(|(reply, _)| reply)
}

fn ask_for(
    session: &StateSession,
    key: &str,
    body: Body,
    payload: Vec<u8>,
) -> Result<(Reply, Bytes), SessionError> {
    let (tell, told) = sync_channel(1);
    let answered = Box::new(move |answer| tell.send(answer).unwrap());
    session.ask(key, body, payload.into(), Instant::now() + WITHIN, answered);
    told.recv().unwrap()
}

fn stamp(sequence: u64) -> Stamp {
    Stamp { session: SessionId(0), sequence }
}

fn make(session: &StateSession, key: &str) {
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Durable, 1 << 30).unwrap();
    ask(session, key, Body::Create { spec, renew: false, stamp: stamp(1) }, Vec::new()).unwrap();
}

/// Appends until the disk is full; how many bytes were acknowledged.
fn fill(session: &StateSession, key: &str, from: u64) -> u64 {
    for turn in from.. {
        let body = Body::Append { stamp: stamp(turn), made: Version::NONE, fence: None };
        match ask(session, key, body, vec![turn as u8; PART_BYTES as usize]) {
            Ok(Reply::Appended { .. }) => {}
            Err(SessionError::Refused(Failure::Storage { why })) => {
                assert!(why.contains("full: expected at least 4194304 bytes free"), "{why}");
                return (turn - from) * PART_BYTES;
            }
            other => panic!("{other:?}"),
        }
    }
    0
}

fn len(session: &StateSession, key: &str) -> u64 {
    match ask(session, key, Body::Stat, Vec::new()) {
        Ok(Reply::Value(stat)) => stat.len,
        other => panic!("{other:?}"),
    }
}

fn big(turn: u32) -> String {
    format!("big/{turn}")
}

fn delete(session: &StateSession, key: &str) {
    let delete =
        Body::Delete { stamp: stamp(1_000), made: Version::NONE, expected: None, fence: None };
    ask(session, key, delete, Vec::new()).unwrap();
}

/// The one byte that a part is full of.
fn read(session: &StateSession, key: &str, at: u64) -> u8 {
    let chunks = ChunkRange::covering(at, PART_BYTES).unwrap();
    let range = PullRange { first: chunks.first.0, count: chunks.count, since: Version::NONE };
    let body = Body::Pull { ranges: vec![range], at: None };
    let (_, payload) = ask_for(session, key, body, Vec::new()).unwrap();
    let mut bytes = pulled_chunks(&payload, 1).flat_map(|chunk| match chunk.unwrap().body {
        ChunkBody::Whole(bytes) => bytes.to_vec(),
        other => panic!("{other:?}"),
    });
    let first = bytes.next().unwrap();
    assert!(bytes.all(|byte| byte == first));
    first
}

fn fills_and_empties(disk: &Path) {
    let config = StatesConfig::new(disk.to_owned());
    let states = States::open(&config).unwrap();
    let session = states.begin("tenant");
    make(&session, "kept");
    let first = Body::Append { stamp: stamp(2), made: Version::NONE, fence: None };
    ask(&session, "kept", first, vec![1; 1000]).unwrap();
    make(&session, &big(0));
    let stored = fill(&session, &big(0), 2);
    assert!(stored > 0);
    assert_eq!(len(&session, &big(0)), stored, "what was refused is taken back");
    assert_eq!(len(&session, "kept"), 1000);

    let mut again = stored;
    for turn in 1..4 {
        delete(&session, &big(turn - 1));
        make(&session, &big(turn));
        again = fill(&session, &big(turn), 2);
        assert!(again * 10 >= stored * 8, "turn {turn}: {again} bytes after {stored}");
    }
    states.stop().unwrap();
    drop((session, states));

    let states = States::open(&config).unwrap();
    let session = states.begin("tenant");
    assert_eq!((len(&session, "kept"), len(&session, &big(3))), (1000, again));
    for part in 0..again / PART_BYTES {
        let bytes = read(&session, &big(3), part * PART_BYTES);
        assert!(bytes == (part + 2) as u8, "part {part} of what was acknowledged");
    }
    delete(&session, &big(3));
    make(&session, "last");
    assert!(fill(&session, "last", 2) * 10 >= stored * 8, "also after a restart");
    states.stop().unwrap();
}
