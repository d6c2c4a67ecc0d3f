//! A host alone, in memory.

mod disk;

use std::sync::mpsc::sync_channel;
use std::time::Duration;

use faaslet_state::message::{LockMode, Stamp};
use faaslet_state::version::Version;
use faaslet_state::{Durability, Element, Rule, Spec};

use super::*;

const WITHIN: Duration = Duration::from_secs(20);

fn states() -> Arc<States> {
    States::in_memory().unwrap()
}

fn ask_with(
    session: &StateSession,
    key: &str,
    body: Body,
    payload: impl Into<Bytes>,
) -> Result<(Reply, Bytes), SessionError> {
    let (tell, told) = sync_channel(1);
    let deadline = Instant::now() + WITHIN;
    let answered = Box::new(move |result| tell.send(result).unwrap());
    session.ask(key, body, payload.into(), deadline, answered);
    told.recv_timeout(2 * WITHIN).unwrap()
}

fn ask(session: &StateSession, key: &str, body: Body) -> Result<Reply, SessionError> {
    ask_with(session, key, body, Bytes::new()).map(|(reply, _)| reply)
}

fn stamp(sequence: u64) -> Stamp {
    Stamp { session: SessionId(0), sequence }
}

fn make(session: &StateSession, key: &str) {
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 1 << 20).unwrap();
    let body = Body::Create { spec, renew: false, stamp: stamp(1) };
    assert!(matches!(ask(session, key, body), Ok(Reply::Value(_))));
}

fn append(session: &StateSession, key: &str, sequence: u64, bytes: &'static [u8]) -> u64 {
    let body = Body::Append { stamp: stamp(sequence), made: Version::NONE, fence: None };
    match ask_with(session, key, body, bytes) {
        Ok((Reply::Appended { at, .. }, _)) => at,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_change_is_seen_by_another_session_of_the_tenant_and_by_no_other_tenant() {
    let states = states();
    let (one, two, other) = (states.begin("a"), states.begin("a"), states.begin("b"));
    make(&one, "log");
    assert_eq!(append(&one, "log", 2, b"abc"), 0);
    assert_eq!(append(&two, "log", 1, b"de"), 3);
    assert!(matches!(ask(&one, "log", Body::Stat), Ok(Reply::Value(stat)) if stat.len == 5));
    let refused = ask(&other, "log", Body::Stat);
    assert_eq!(refused.unwrap_err(), SessionError::Refused(Failure::NotFound));
}

#[test]
fn a_session_cannot_pass_for_another() {
    let states = states();
    let (one, two) = (states.begin("a"), states.begin("a"));
    make(&one, "v");
    let id = one.0.live.id();
    let body = Body::Append {
        stamp: Stamp { session: id, sequence: 9 },
        made: Version::NONE,
        fence: None,
    };
    ask_with(&two, "v", body, "x").unwrap();
    // Were it taken for the first session's, this would be an older change of that one.
    assert_eq!(append(&one, "v", 2, b"y"), 1);
    for body in [Body::Renew { sessions: vec![id] }, Body::End { session: id }] {
        let refused = ask(&two, "v", body).unwrap_err();
        assert!(matches!(refused, SessionError::Refused(Failure::Malformed { .. })));
    }
}

#[test]
fn the_lock_of_a_session_that_ends_goes_to_who_waits() {
    let states = states();
    let (one, two) = (states.begin("a"), states.begin("a"));
    make(&one, "v");
    let lock = |wait_us| Body::Lock { stamp: stamp(5), holder: 7, mode: LockMode::Write, wait_us };
    let granted = ask(&one, "v", lock(0)).unwrap();
    assert!(matches!(granted, Reply::Granted { abandoned: false, .. }));
    let (tell, told) = sync_channel(1);
    let answered = Box::new(move |result| tell.send(result).unwrap());
    two.ask("v", lock(10_000_000), Bytes::new(), Instant::now() + WITHIN, answered);
    assert!(told.try_recv().is_err(), "it is held");
    one.end();
    let (reply, _) = told.recv_timeout(WITHIN).unwrap().unwrap();
    assert!(matches!(reply, Reply::Granted { abandoned: true, .. }));
    assert_eq!(ask(&one, "v", Body::Stat).unwrap_err(), SessionError::Refused(Failure::Ended));
    assert_eq!(states.lives().len(), 1, "the ended one is forgotten");
}

#[test]
fn a_wait_for_a_lock_ends_by_the_timers() {
    let states = states();
    let (one, two) = (states.begin("a"), states.begin("a"));
    make(&one, "v");
    let lock = |wait_us| Body::Lock { stamp: stamp(5), holder: 7, mode: LockMode::Write, wait_us };
    ask(&one, "v", lock(0)).unwrap();
    let refused = ask(&two, "v", lock(30_000)).unwrap_err();
    let SessionError::Refused(Failure::LockTimeout { holder: 7, .. }) = refused else {
        panic!("{refused:?}");
    };
}

#[test]
fn a_callback_may_ask_again_as_often_as_it_likes() {
    fn again(session: &StateSession, left: u32, done: std::sync::mpsc::SyncSender<()>) {
        let next = session.clone();
        let answered: Answered = Box::new(move |result| {
            result.unwrap();
            match left {
                0 => done.send(()).unwrap(),
                left => again(&next, left - 1, done),
            }
        });
        session.ask("v", Body::Stat, Bytes::new(), Instant::now() + WITHIN, answered);
    }
    let states = states();
    let session = states.begin("a");
    make(&session, "v");
    let (tell, told) = sync_channel(1);
    again(&session, 100_000, tell);
    told.recv_timeout(WITHIN).unwrap();
}

#[test]
fn names_are_listed_in_order_and_in_parts() {
    let states = states();
    let session = states.begin("a");
    for key in ["b", "a/2", "a/1", "a/3"] {
        make(&session, key);
    }
    let list = |after: &str, limit| {
        let body = Body::List { after: after.to_owned(), limit };
        let (reply, names) = ask_with(&session, "a/", body, Bytes::new()).unwrap();
        let names = faaslet_state::payload::names(&names).map(|name| name.unwrap().to_owned());
        (reply, names.collect::<Vec<_>>())
    };
    assert_eq!(list("", 2), (Reply::Listed { more: true }, vec!["a/1".into(), "a/2".into()]));
    assert_eq!(list("a/2", 2), (Reply::Listed { more: false }, vec!["a/3".into()]));
    let long = ask(&session, &"k".repeat(600), Body::List { after: String::new(), limit: 1 });
    assert!(matches!(long, Err(SessionError::Refused(Failure::Malformed { .. }))));
}

#[test]
fn a_key_that_is_none_and_a_version_that_is_none_are_refused_by_name() {
    let states = states();
    let session = states.begin("a");
    let refused = ask(&session, "", Body::Stat).unwrap_err().to_string();
    assert!(refused.contains("1 to 512 bytes"), "{refused}");
    make(&session, "v");
    let at = Version::NONE;
    let body = Body::Open { stamp: stamp(1), at: Some(at) };
    let refused = ask(&session, "v", body).unwrap_err();
    assert_eq!(refused, SessionError::Refused(Failure::Collected { version: at }));
}

#[test]
fn waits_for_locks_leave_places_for_others_and_nothing_stands_before_what_gives_back() {
    use faaslet_state::session::TransmitKind::{Asks, GivesBack, Waits};
    let states = states();
    let (one, two) = (states.begin("a"), states.begin("b"));
    let host = HostId(2);
    let places = places::Places::of([host].into_iter());
    let take = |session: &StateSession, kind| places.take(host, kind, &session.0.live);
    let mut held = Vec::new();
    while let Ok(place) = take(&one, Waits) {
        held.push(place);
    }
    assert_eq!(held.len(), places::MAX_WAITS_PER_SESSION);
    assert!(take(&two, Waits).is_ok());
    while let Ok(place) = take(&one, Asks) {
        held.push(place);
    }
    assert_eq!(held.len(), places::MAX_ASKED);
    assert!(take(&two, Asks).is_err());
    assert!(matches!(take(&two, GivesBack), Ok(None)));
    held.clear();
    assert!(take(&one, Waits).is_ok(), "what was answered makes room");
}

#[test]
fn a_list_of_hosts_is_the_same_in_any_order_and_another_with_one_more() {
    let digest = |names: &[&str]| {
        let name = |name: &&str| faaslet_net::peer::HostId::new(name).unwrap();
        config::digest(names.iter().map(name))
    };
    assert_eq!(digest(&["a", "b"]), digest(&["b", "a"]));
    assert_ne!(digest(&["a", "b"]), digest(&["a", "b", "c"]));
    assert_ne!(digest(&["a", "b"]), digest(&["ab"]));
}
