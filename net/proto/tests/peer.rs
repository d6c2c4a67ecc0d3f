//! Both ends of a connection between monitors on virtual time, with a stream between them that cuts
//! what it carries, and may be lost, at places chosen by a seed.
#![allow(clippy::unwrap_used)]

mod peers;

use bytes::Bytes;
use faaslet_proto::CloseCode;
use faaslet_proto::peer::limits::{MAX_FRAGMENT_BYTES, MAX_HEAD_BYTES, MAX_PAYLOAD_BYTES};
use faaslet_proto::peer::{Failure, NotAsked, PeerLimits, PeerSettings};
use peers::{LONG, Peers, content, seed, settings};
use rand::RngExt;
use std::time::Duration;

const A: usize = 0;
const B: usize = 1;
/// Connections of the randomised tests, each with its own seed; `FAASLET_MODEL_STEPS` multiplies.
const SHORT_FORM: u64 = 200;

fn histories() -> u64 {
    let steps = std::env::var("FAASLET_MODEL_STEPS").ok().and_then(|text| text.parse().ok());
    steps.unwrap_or(SHORT_FORM)
}

#[test]
fn both_ends_ask_and_answer() {
    let mut pair = Peers::open(seed());
    let there = pair.ask(A, 10, LONG).unwrap();
    let back = pair.ask(B, 3 * MAX_FRAGMENT_BYTES, LONG).unwrap();
    pair.settle().unwrap();
    assert_eq!(pair.ends[B].given[&there].payload, content(there, 10));
    assert_eq!(pair.ends[A].given[&back].payload.len(), 3 * MAX_FRAGMENT_BYTES);
    pair.respond(B, there, 2 * MAX_FRAGMENT_BYTES + 1);
    pair.respond(A, back, 0);
    pair.settle().unwrap();
    let response = pair.ends[A].results[&there].clone().unwrap();
    assert_eq!(response.payload, content(there, 2 * MAX_FRAGMENT_BYTES + 1));
    assert!(pair.ends[B].results[&back].clone().unwrap().payload.is_empty());
    pair.assert_quiet();
}

#[test]
fn any_load_ends_and_both_counts_agree() {
    let first = seed();
    for seed in first..first.wrapping_add(histories()) {
        let mut pair = Peers::open_with(seed, [settings(seed), settings(seed ^ 1)]);
        for _ in 0..300 {
            pair.step().unwrap_or_else(|close| panic!("FAASLET_SEED={seed}: {close}"));
        }
        pair.finish(seed);
        pair.assert_quiet();
    }
}

#[test]
fn a_lost_connection_says_what_was_certainly_not_executed() {
    let first = seed();
    let (mut certain, mut unknown) = (0, 0);
    for seed in first..first.wrapping_add(histories()) {
        let mut pair = Peers::open_with(seed, [settings(seed), settings(seed ^ 1)]);
        for _ in 0..pair.rng.random_range(0..200) {
            pair.step().unwrap();
        }
        let [a, b] = pair.ends;
        for (asker, answerer) in [(&a, &b), (&b, &a)] {
            for (tag, result) in &asker.results {
                if matches!(result, Err(Failure::TimedOut { may_have_run: false })) {
                    assert!(!answerer.ever_given.contains(tag), "FAASLET_SEED={seed}: {tag} ran");
                }
            }
        }
        let (given_to_a, given_to_b) = (a.ever_given, b.ever_given);
        for (session, ran) in [(a.session, given_to_b), (b.session, given_to_a)] {
            for (tag, may_have_run) in session.into_unanswered() {
                assert!(may_have_run || !ran.contains(&tag), "FAASLET_SEED={seed}: {tag} ran");
                *if may_have_run { &mut unknown } else { &mut certain } += 1;
            }
        }
    }
    assert!(certain > 0 && unknown > 0, "both happen: {certain}, {unknown}");
}

#[test]
fn a_small_request_overtakes_a_large_one() {
    let mut pair = Peers::open(seed());
    let large = pair.ask(A, MAX_PAYLOAD_BYTES, LONG).unwrap();
    pair.sends(A);
    pair.sends(A);
    let small = pair.ask(A, 10, LONG).unwrap();
    let mut carried = 0;
    while !pair.ends[B].given.contains_key(&small) {
        assert!(pair.sends(A) | pair.gets(B, usize::MAX).unwrap());
        carried = pair.ends[B].received_bytes;
    }
    assert!(carried <= 3 * MAX_FRAGMENT_BYTES, "{carried} bytes came before a small request");
    assert!(!pair.ends[B].given.contains_key(&large));
    pair.settle().unwrap();
    assert_eq!(pair.ends[B].given[&large].payload, content(large, MAX_PAYLOAD_BYTES));
}

#[test]
fn a_large_request_has_its_turn_among_small_ones() {
    let mut pair = Peers::open(seed());
    let large = pair.ask(A, 4 * MAX_FRAGMENT_BYTES, LONG).unwrap();
    for _ in 0..1000 {
        let small = pair.ask(A, 4 << 10, LONG).unwrap();
        // One piece less than was queued leaves: small ones always wait.
        pair.sends(A);
        pair.gets(B, usize::MAX).unwrap();
        if pair.ends[B].given.contains_key(&small) {
            pair.respond(B, small, 0);
        }
        for tag in
            pair.ends[B].given.keys().copied().filter(|tag| *tag != large).collect::<Vec<_>>()
        {
            pair.respond(B, tag, 0);
        }
        while pair.sends(B) {}
        pair.gets(A, usize::MAX).unwrap();
        if pair.ends[B].given.contains_key(&large) {
            return;
        }
    }
    panic!("a large request never arrived");
}

#[test]
fn what_a_peer_does_not_read_is_bounded() {
    let mut pair = Peers::open(seed());
    let limits = PeerLimits::default();
    let mut taken = 0;
    loop {
        match pair.ask(A, 1 << 20, LONG) {
            Ok(_) => taken += 1,
            Err(error) => {
                assert_eq!(error, NotAsked::Busy);
                break;
            }
        }
    }
    assert!(taken > 0 && taken < limits.max_requests_bytes >> 20);
    assert!(pair.ends[A].session.queued_bytes() <= limits.max_requests_bytes + (64 << 10));
    let close = pair.advance(Duration::from_secs(31)).unwrap_err();
    assert_eq!(close.code, CloseCode::Stalled);
}

#[test]
fn responses_that_nobody_reads_are_dropped_and_counted_until_they_leave() {
    let mut pair = Peers::open(seed());
    let tags: Vec<_> = (0..8).map(|_| pair.ask(A, 0, LONG).unwrap()).collect();
    while pair.sends(A) {}
    while pair.gets(B, 5000).unwrap() {}
    for tag in &tags {
        pair.respond(B, *tag, MAX_PAYLOAD_BYTES);
    }
    assert!(pair.ends[B].session.queued_bytes() <= 64 << 20);
    assert_eq!(pair.ends[B].session.serving(), tags.len());
    pair.settle().unwrap();
    let dropped = pair.ends[A].results.values().filter(|result| result.is_err()).count();
    assert_eq!(dropped, 5, "three of 16 MiB fit beside their heads");
    pair.assert_quiet();
}

#[test]
fn cancelled_and_late_requests_end_at_both_ends() {
    let mut pair = Peers::open(seed());
    let (cancelled, late) =
        (pair.ask(A, 10, LONG).unwrap(), pair.ask(A, 10, Duration::from_secs(1)).unwrap());
    pair.settle().unwrap();
    pair.cancel(A, cancelled);
    pair.settle().unwrap();
    assert!(!pair.ends[B].given.contains_key(&cancelled));
    pair.advance(Duration::from_secs(2)).unwrap();
    pair.settle().unwrap();
    let result = pair.ends[A].results[&late].clone();
    assert_eq!(result, Err(Failure::TimedOut { may_have_run: true }));
    assert!(!pair.ends[A].results.contains_key(&cancelled));
    assert!(pair.ends[B].given.is_empty());
    pair.assert_quiet();
}

#[test]
fn a_cancelled_payload_is_given_up_in_the_middle() {
    let mut pair = Peers::open(seed());
    let tag = pair.ask(A, 8 * MAX_FRAGMENT_BYTES, LONG).unwrap();
    for _ in 0..5 {
        pair.sends(A);
    }
    while pair.gets(B, 5000).unwrap() {}
    assert!(pair.ends[B].session.assembled_bytes() > 0);
    pair.cancel(A, tag);
    pair.settle().unwrap();
    assert!(pair.ends[B].ever_given.is_empty());
    pair.assert_quiet();
}

#[test]
fn what_is_too_large_is_refused_before_it_is_sent() {
    let limits = PeerLimits { max_assembly_bytes: 100 << 10, ..PeerLimits::default() };
    let tight = PeerSettings { limits, ..PeerSettings::default() };
    let mut pair = Peers::open_with(seed(), [PeerSettings::default(), tight]);
    let error = pair.ask(A, (100 << 10) + 1, LONG).unwrap_err();
    assert!(matches!(error, NotAsked::TooLarge { what: "payload", .. }), "{error}");
    let head = Bytes::from(vec![0; MAX_HEAD_BYTES + 1]);
    let error = pair.ask_with(A, head, Bytes::new(), LONG).unwrap_err();
    assert!(matches!(error, NotAsked::TooLarge { what: "head", .. }), "{error}");
    assert_eq!(pair.ask(A, 0, Duration::ZERO).unwrap_err(), NotAsked::Deadline);
    // A response over what the asking end assembles is not sent either.
    let tag = pair.ask(B, 0, LONG).unwrap();
    pair.settle().unwrap();
    pair.respond(A, tag, (100 << 10) + 1);
    pair.settle().unwrap();
    assert!(matches!(pair.ends[B].results[&tag], Err(Failure::NoResponse { .. })));
}

#[test]
fn hosts_with_different_lists_of_hosts_do_not_talk() {
    let of = |hosts| PeerSettings { hosts, ..PeerSettings::default() };
    let refused = |ours, theirs| Peers::try_open(seed(), [of(ours), of(theirs)]).err();
    assert_eq!(refused(7, 8).map(|close| close.code), Some(CloseCode::OtherHosts));
    for (ours, theirs) in [(7, 7), (0, 7), (7, 0)] {
        assert!(refused(ours, theirs).is_none());
    }
}

#[test]
fn who_leaves_finishes_what_is_in_flight() {
    let mut pair = Peers::open(seed());
    let before = pair.ask(A, 10, LONG).unwrap();
    pair.settle().unwrap();
    let crossing = pair.ask(A, 10, LONG).unwrap();
    let now = pair.now;
    pair.ends[B].session.go_away(now, "an upgrade");
    pair.settle().unwrap();
    assert!(matches!(pair.ends[A].results[&crossing], Err(Failure::Refused { .. })));
    assert_eq!(pair.ask(A, 10, LONG).unwrap_err(), NotAsked::Closed);
    assert!(!pair.ends[B].session.is_drained());
    pair.respond(B, before, 5);
    pair.settle().unwrap();
    assert!(pair.ends[A].results[&before].is_ok());
    assert!(pair.ends[B].session.is_drained() && !pair.ends[A].session.is_drained());
}
