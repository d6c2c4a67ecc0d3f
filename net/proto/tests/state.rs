//! Both ends together: requests for state.
#![allow(clippy::unwrap_used)]

mod pair;

use faaslet_proto::limits::{MAX_FRAGMENT_BYTES, MAX_KEY_BYTES};
use faaslet_proto::state::{
    StateCondition, StateSpec, StateStat, StateVersion, names_from_bytes, names_to_bytes,
};
use faaslet_proto::{
    ClientSettings, CloseCode, Limits, NotSent, Outcome, Refusal, Reply, ServerSettings,
    StateAnswer, StateFailure, StateOp, StateReply,
};
use pair::{Pair, TOKEN, frame, seed};

const VERSION: StateVersion = StateVersion { epoch: 7, n: u64::MAX };
const STAT: StateStat = StateStat { spec: SPEC, len: 1 << 40, version: VERSION, made: VERSION };
const SPEC: StateSpec = StateSpec {
    element: 9,
    rule: 1,
    durable: true,
    quota_bytes: 1 << 40,
    keep_versions: 3,
    keep_age_s: 60,
};

#[test]
fn every_request_and_every_answer_arrives_as_it_was_sent() {
    let mut pair = Pair::open(seed());
    let (at, condition) = (Some(u64::MAX), StateCondition::Is(VERSION));
    let ops = [
        StateOp::Get { at: Some(VERSION), from: 3, bytes: u64::MAX },
        StateOp::Get { at: None, from: 0, bytes: 0 },
        StateOp::Stat,
        StateOp::Watch { known: VERSION, wait_ms: 17 },
        StateOp::Put { at, spec: SPEC, condition },
        StateOp::Put { at: None, spec: SPEC, condition: StateCondition::Absent },
        StateOp::Append { spec: Some(SPEC) },
        StateOp::Append { spec: None },
        StateOp::Remove { expected: Some(VERSION) },
        StateOp::List { limit: 9 },
    ];
    let answers = [
        StateAnswer::Value(STAT),
        StateAnswer::Appended { at: 1, len: 2, version: VERSION },
        StateAnswer::Removed,
        StateAnswer::Listed { more: true },
        StateAnswer::Failed(StateFailure::Conflict),
    ];
    let key = "k".repeat(MAX_KEY_BYTES);
    for (number, op) in ops.into_iter().enumerate() {
        let payload = vec![7; number * MAX_FRAGMENT_BYTES / 2];
        let id = pair.ask(&key, op, payload.clone()).unwrap();
        pair.settle().unwrap();
        let asked = &pair.asked[&id];
        assert_eq!((&asked.key, asked.op, &asked.payload[..]), (&key, op, &payload[..]));
        let reply = StateReply { answer: answers[number % answers.len()], payload: payload.into() };
        assert!(pair.answer_state(id, reply.clone()));
        pair.settle().unwrap();
        assert_eq!(pair.states[&id], reply);
    }
    assert_eq!((pair.client.in_flight(), pair.server.in_flight()), (0, 0));
}

#[test]
fn a_request_for_state_is_a_call_to_every_limit() {
    let limits = Limits { max_in_flight: 2, max_output_bytes: 10, ..Limits::default() };
    let settings = ServerSettings { limits, ..ServerSettings::default() };
    let mut pair = Pair::opened(Pair::with(seed(), ClientSettings::default(), settings));
    let call = pair.call("f", "").unwrap();
    let ask = pair.ask("k", StateOp::Stat, "").unwrap();
    assert_eq!(pair.ask("k", StateOp::Stat, ""), Err(NotSent::Full));
    let found = MAX_KEY_BYTES + 1;
    let long = pair.ask(&"k".repeat(found), StateOp::Stat, "");
    assert_eq!(long, Err(NotSent::KeyTooLong { found }));
    pair.settle().unwrap();
    let reply = StateReply { answer: StateAnswer::Removed, payload: vec![0; 11].into() };
    assert!(pair.answer_state(ask, reply));
    assert!(pair.answer(call, Reply::returned("x")));
    pair.settle().unwrap();
    assert_eq!(pair.replies[&ask].outcome, Outcome::Lost, "over the limit of an output");

    let ask = pair.ask("k", StateOp::Stat, "").unwrap();
    pair.settle().unwrap();
    pair.client.cancel(ask);
    pair.settle().unwrap();
    assert_eq!(pair.cancelled, [ask]);
    assert!(!pair.answer_state(ask, StateReply::new(StateAnswer::Removed)));
    pair.server.go_away(pair.now, "for an upgrade");
    let crossing = pair.ask("k", StateOp::Stat, "").unwrap();
    pair.settle().unwrap();
    assert_eq!(pair.replies[&crossing].outcome, Outcome::Refused(Refusal::ShuttingDown));
}

#[test]
fn an_end_of_the_first_version_is_asked_for_no_state() {
    let mut pair = Pair::new(seed());
    // Oldest 1, newest 1.
    pair.server.handle_bytes(pair.now, frame(1, &[1, 0, 1, 0], TOKEN)).unwrap();
    assert!(pair.server.poll_event().is_some());
    pair.server.welcome(pair.now, "the tenant");
    pair.server_sends();
    while pair.client_gets(usize::MAX).unwrap() {}
    assert_eq!(pair.ask("k", StateOp::Stat, ""), Err(NotSent::NoState { version: 1 }));
    let mut other = Pair::open(seed());
    other.ask("k", StateOp::Stat, "").unwrap();
    other.client_sends();
    let close = pair.server.handle_bytes(pair.now, other.to_server.freeze()).unwrap_err();
    assert_eq!(close.code, CloseCode::Protocol);
}

#[test]
fn an_answer_of_the_wrong_kind_ends_the_connection() {
    let mut pair = Pair::open(seed());
    let mut other = Pair::open(seed());
    let (call, ask) = (pair.call("f", "").unwrap(), other.ask("k", StateOp::Stat, "").unwrap());
    assert_eq!(call, ask);
    pair.settle().unwrap();
    other.settle().unwrap();
    other.answer_state(ask, StateReply::new(StateAnswer::Removed));
    other.server_sends();
    let close = pair.client.handle_bytes(pair.now, other.to_client.freeze()).unwrap_err();
    assert!(close.reason.contains("request for state"), "{close}");
}

#[test]
fn names_read_back_and_what_is_cut_off_is_none() {
    let names = ["", "a", "b/ü"];
    let bytes = names_to_bytes(names);
    assert_eq!(names_from_bytes(&bytes).unwrap(), names);
    assert_eq!(names_from_bytes(&bytes[..bytes.len() - 1]), None);
    assert_eq!(names_from_bytes(&[1, 0, 0xff]), None);
    assert_eq!(names_from_bytes(&[]).unwrap(), Vec::<String>::new());
}
