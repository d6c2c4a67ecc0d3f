//! What hosts ask each other of functions: any bytes, and each bound.
#![allow(clippy::unwrap_used)]
#![allow(clippy::disallowed_methods, reason = "a run begins at some moment, from some seed")]

#[path = "../../../tests/fuzz/oracles/ship.rs"]
mod oracle;

use faaslet_proto::ship::{
    Ask, Body, Counts, Failure, FileId, MAX_RANGES, MAX_READ_BYTES, MAX_WARM_SLOTS, Range, Record,
    RecordFile, Reply, Span, Stage, Urgency, VERSION, Warmth,
};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

const FILE: FileId = FileId { kind: 2, hash: [9; 32] };

fn asks() -> Vec<Ask> {
    let range = |at| Range { at, bytes: 1 << 10 };
    let (file, function) = (FILE, "f".to_owned());
    let (order, slots, span) = (7, 4, Span::Whole);
    [
        Body::Find { function: function.clone() },
        Body::Outline { file },
        Body::Read { file, ranges: (0..9).map(range).collect(), urgency: Urgency::Fault },
        Body::Warm { function, order, slots, span },
    ]
    .map(|body| Ask::new("tenant", body))
    .into()
}

fn record() -> Record {
    Record {
        origin: "a".to_owned(),
        version: 3,
        created_ms: 4,
        files: vec![RecordFile { file: FILE, bytes: 5 }],
        about: vec![1; 300],
        settings: vec![2; 20],
    }
}

/// The seed of a randomised test: given by `FAASLET_SEED`, else new; printed either way.
fn seed() -> u64 {
    let given = std::env::var("FAASLET_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(rand::random);
    eprintln!("FAASLET_SEED={seed}");
    seed
}

#[test]
fn messages_are_read_as_they_were_written() {
    for ask in asks() {
        assert_eq!(Ask::from_bytes(&ask.to_bytes().unwrap()), Ok(ask));
    }
    let counts = Counts { slots: 3, first_call_us: Some(9), ..Counts::default() };
    let warmth = Warmth { stage: Stage::Done, counts, failure: String::new() };
    for reply in [Reply::Found, Reply::Warmth(warmth), Reply::Failed(Failure::NoTenant)] {
        assert_eq!(Reply::from_bytes(&reply.to_bytes().unwrap()), Ok(reply));
    }
    assert_eq!(Record::from_bytes(&record().to_bytes().unwrap()), Ok(record()));
}

#[test]
fn each_bound_has_its_failure() {
    let read = |count, bytes| {
        let ranges = vec![Range { at: 0, bytes }; count];
        Body::Read { file: FILE, ranges, urgency: Urgency::Ahead }
    };
    let warm = |slots| Body::Warm { function: "f".into(), order: 1, slots, span: Span::Whole };
    for (body, limit) in [
        (Body::Find { function: "f".repeat(129) }, 128),
        (read(MAX_RANGES + 1, 1), MAX_RANGES as u64),
        (read(2, MAX_READ_BYTES as u32), MAX_READ_BYTES),
        (warm(MAX_WARM_SLOTS + 1), MAX_WARM_SLOTS.into()),
    ] {
        let head = Ask::new("t", body.clone()).to_bytes().unwrap();
        match Ask::access(&head) {
            Err(Failure::Limit { limit: found, .. }) => assert_eq!(found, limit),
            other => panic!("{body:?}: {other:?}"),
        }
    }
    let old = Ask { version: VERSION + 1, ..Ask::new("t", Body::Outline { file: FILE }) };
    let refused = Ask::access(&old.to_bytes().unwrap()).unwrap_err();
    assert!(refused.to_string().contains("upgrade"), "{refused}");
    let long = Record { about: vec![0; 1 << 20], ..record() };
    assert!(matches!(long.to_bytes(), Err(Failure::Limit { .. })));
    let files = vec![RecordFile { file: FILE, bytes: 1 }; 9];
    let many = Record { files, ..record() }.to_bytes().unwrap();
    assert!(matches!(Record::from_bytes(&many), Err(Failure::Limit { .. })));
}

#[test]
fn the_largest_read_fits_into_a_head() {
    let ranges = vec![Range { at: u64::MAX, bytes: 1 << 10 }; MAX_RANGES];
    let body = Body::Read { file: FILE, ranges, urgency: Urgency::Ahead };
    let head = Ask::new(&"t".repeat(128), body).to_bytes().unwrap();
    assert!(Ask::access(&head).is_ok());
    assert!(head.len() <= faaslet_proto::peer::limits::MAX_HEAD_BYTES, "{}", head.len());
}

#[test]
fn any_bytes_are_a_message_or_a_failure() {
    let mut random = SmallRng::seed_from_u64(seed());
    let mut right: Vec<Vec<u8>> = asks().iter().map(|ask| ask.to_bytes().unwrap()).collect();
    right.push(record().to_bytes().unwrap());
    right.push(Reply::Failed(Failure::Broken { why: "w".repeat(40) }).to_bytes().unwrap());
    for round in 0..20_000 {
        let mut bytes = right[round % right.len()].clone();
        for _ in 0..random.random_range(0..4) {
            let at = random.random_range(0..bytes.len());
            bytes[at] = random.random();
        }
        bytes.truncate(random.random_range(0..=bytes.len()));
        oracle::check(&bytes);
    }
}
