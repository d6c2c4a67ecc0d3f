//! Full tables: who is refused, who gets no answer, and what makes room.

use super::*;
use crate::owner::config::{MAX_GONE, MAX_REFUSED_PER_VALUE, MAX_SESSIONS, SILENT};

fn append(session: usize, sequence: u64) -> Body {
    let stamp = Stamp { session: SessionId(1000 + session as u128), sequence };
    Body::Append { stamp, fence: None }
}

fn is_limit(reply: &Reply) -> bool {
    matches!(reply, Reply::Failed(Failure::Limit { .. }))
}

/// A value that as many sessions changed as may.
fn full() -> Desk {
    let mut desk = Desk::of(1);
    desk.create(Durability::Durable, false);
    for session in 1..MAX_SESSIONS_PER_VALUE {
        assert!(matches!(desk.ask(append(session, 1), b"x").0, Reply::Appended { .. }));
    }
    desk
}

#[test]
fn a_session_without_room_is_refused_once_and_for_all() {
    let mut desk = full();
    let late = MAX_SESSIONS_PER_VALUE;
    assert!(is_limit(&desk.ask(append(late, 5), b"y").0));
    assert!(matches!(desk.ask(append(1, 2), b"z").0, Reply::Appended { .. }), "others go on");
    desk.now += SILENT;
    assert!(is_limit(&desk.ask(append(late, 5), b"y").0), "what comes late is not applied");
    assert_eq!(desk.ask(append(late, 4), b"y").0, Reply::Failed(Failure::Stale));
    assert!(matches!(desk.ask(append(late, 6), b"y").0, Reply::Appended { .. }));
}

#[test]
fn who_cannot_even_be_refused_gets_no_answer() {
    let mut desk = full();
    for session in 0..MAX_REFUSED_PER_VALUE {
        assert!(is_limit(&desk.ask(append(MAX_SESSIONS_PER_VALUE + session, 1), b"y").0));
    }
    let beyond = MAX_SESSIONS_PER_VALUE + MAX_REFUSED_PER_VALUE;
    let outputs = desk.outputs_unstored(append(beyond, 1), b"y", 9);
    assert!(matches!(outputs[..], [Output::Dropped { token: 9 }]), "{outputs:?}");
    let kept = desk.owner.tenants.entry("t", "k").unwrap().done.len();
    assert_eq!(kept, beyond, "nothing grows");
}

#[test]
fn silent_sessions_make_room_and_lose_their_locks_as_before() {
    let mut desk = full();
    let stamp = Stamp { session: SessionId(1001), sequence: 9 };
    desk.lock(stamp, LockMode::Write, 1);
    let Reply::Granted { fence, .. } = desk.outputs()[0].1 else { panic!() };
    let lease = OwnerConfig::of(HostId(1)).lease;
    for _ in 0..2 * SILENT.as_secs() / lease.as_secs() {
        desk.now += lease / 2;
        desk.ask(Body::Renew { sessions: vec![stamp.session] }, &[]);
    }
    for session in [5000, 5001] {
        let locked = desk.ask(append(session, 1), b"y").0;
        assert_eq!(locked, Reply::Failed(Failure::Locked { holder: 1 }), "there is room");
    }
    assert!(!desk.owner.tenants.entry("t", "k").unwrap().done.contains_key(&stamp.session));
    desk.now += lease;
    desk.owner.handle_timeout(desk.now);
    let stamp = Stamp { session: SessionId(1001), sequence: 10 };
    let (reply, _) = desk.ask(Body::Append { stamp, fence: Some(fence) }, b"z");
    assert_eq!(reply, Reply::Failed(Failure::LockLost { fence }));
}

#[test]
fn an_owner_knows_so_many_sessions_and_forgets_the_silent_ones() {
    let mut desk = Desk::of(1);
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 8).unwrap();
    let create = |desk: &mut Desk, session: usize| {
        let stamp = Stamp { session: SessionId(1000 + session as u128), sequence: 1 };
        let key = (session / MAX_SESSIONS_PER_VALUE).to_string();
        let body = match session % MAX_SESSIONS_PER_VALUE {
            0 => Body::Create { spec, renew: false, stamp },
            _ => Body::Resize { stamp, expected: None, fence: None, len: 1 },
        };
        let request = Request { tenant: "t".into(), key, epoch: desk.epoch, body };
        desk.owner.handle_request(desk.now, &Asked::from(&request), &[], 7);
        let outputs: Vec<_> = std::iter::from_fn(|| desk.owner.poll_output(desk.now)).collect();
        outputs.iter().any(|output| matches!(output, Output::Dropped { .. }))
    };
    for session in 0..MAX_SESSIONS {
        assert!(!create(&mut desk, session));
    }
    assert!(create(&mut desk, MAX_SESSIONS), "it cannot be kept that it was refused");
    desk.now += SILENT;
    assert!(!create(&mut desk, MAX_SESSIONS));
}

#[test]
fn keys_without_a_value_are_forgotten_with_all_that_is_kept_for_them() {
    let mut desk = Desk::of(1);
    for number in 0..MAX_GONE + 10 {
        let key = format!("key/{number}");
        let stamp = desk.stamp(SESSION);
        let body = Body::Delete { stamp, expected: None, fence: None };
        let request = Request { tenant: "t".into(), key, epoch: desk.epoch, body };
        desk.owner.handle_request(desk.now, &Asked::from(&request), &[], 7);
        assert_eq!(desk.outputs()[0].1, Reply::Failed(Failure::NotFound));
    }
    assert!(desk.owner.tenants.entry("t", "key/9").is_none());
    assert!(desk.owner.tenants.entry("t", "key/10").is_some());
    let removed = |record: &&Record| matches!(record, Record::Done(_, SESSION, None));
    assert_eq!(desk.stored.iter().filter(removed).count(), 10);
    assert_eq!(desk.owner.sessions.get_mut(SESSION).unwrap().at.len(), MAX_GONE);
}
