//! Full tables: who is refused, who gets no answer, and what makes room.

use super::*;
use crate::owner::config::{MAX_GONE, MAX_REFUSED_PER_VALUE, MAX_SESSIONS, SILENT};

fn append(session: usize, sequence: u64) -> Body {
    let stamp = Stamp { session: SessionId(1000 + session as u128), sequence };
    Body::Append { stamp, made: Version::NONE, fence: None }
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
    let (reply, _) =
        desk.ask(Body::Append { stamp, made: Version::NONE, fence: Some(fence) }, b"z");
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
            _ => Body::Resize { stamp, made: Version::NONE, expected: None, fence: None, len: 1 },
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
        let body = Body::Delete { stamp, made: Version::NONE, expected: None, fence: None };
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

/// Asks about another key than the usual one; the first answer.
fn ask_of(desk: &mut Desk, key: &str, body: Body, payload: &[u8]) -> Option<Reply> {
    let request = Request { tenant: "t".into(), key: key.into(), epoch: desk.epoch, body };
    desk.owner.handle_request(desk.now, &Asked::from(&request), payload, 9);
    desk.outputs().pop().map(|(_, reply, _)| reply)
}

fn create_of(desk: &mut Desk, key: &str, spec: Spec) {
    let stamp = desk.stamp(SESSION);
    let reply = ask_of(desk, key, Body::Create { spec, renew: false, stamp }, &[]);
    assert!(matches!(reply, Some(Reply::Value(_))), "{reply:?}");
}

#[test]
fn one_tenant_does_not_fill_the_queues_of_all() {
    let mut desk = Desk::of(1);
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 1 << 20).unwrap();
    let keys = MAX_WAITING_PER_TENANT / MAX_WAITING + 1;
    let lock = |stamp| Body::Lock { stamp, holder: 1, mode: LockMode::Write, wait_us: 1_000_000 };
    let mut waiting = Vec::new();
    for key in (0..keys).map(|key| key.to_string()) {
        create_of(&mut desk, &key, spec);
        for _ in 0..=MAX_WAITING {
            let stamp = desk.stamp(SESSION);
            match ask_of(&mut desk, &key, lock(stamp), &[]) {
                None => waiting.push((key.clone(), stamp)),
                Some(Reply::Granted { .. }) => {}
                Some(reply) => assert!(is_limit(&reply), "{reply:?}"),
            }
        }
    }
    assert_eq!(waiting.len(), MAX_WAITING_PER_TENANT);
    let (key, stamp) = waiting.swap_remove(0);
    let unlock = Body::Unlock { stamp, fence: Version::NONE, abandoned: false };
    ask_of(&mut desk, &key, unlock, &[]);
    let stamp = desk.stamp(OTHER);
    let last = (keys - 1).to_string();
    assert_eq!(ask_of(&mut desk, &last, lock(stamp), &[]), None, "one has gone, so one may wait");
}

#[test]
fn versions_that_are_kept_for_their_age_have_a_bound() {
    let mut desk = Desk::of(1);
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 1 << 20).unwrap();
    let spec = spec.retaining(Retention { versions: 1, age_s: 3600 });
    let stamp = desk.stamp(SESSION);
    desk.ask(Body::Create { spec, renew: false, stamp }, &[]);
    let at = version(&desk.append(b"a"));
    let stamp = desk.stamp(SESSION);
    desk.ask(Body::Open { stamp, at: None }, &[]);
    for _ in 0..2 * MAX_VERSIONS_PER_VALUE {
        desk.append(b"b");
    }
    let there = |desk: &Desk| {
        let value = desk.owner.tenants.entry("t", "k").unwrap().value().unwrap();
        value.versions(desk.now).count()
    };
    // The newest, and the one that is open.
    assert_eq!(there(&desk), MAX_VERSIONS_PER_VALUE + 2);
    assert_eq!(desk.pull(Some(at)).1.last(), Some(&b'a'));
    let stamp = Stamp { session: SESSION, sequence: stamp.sequence };
    desk.ask(Body::Close { stamp }, &[]);
    desk.now += Duration::from_secs(3600);
    desk.append(b"c");
    assert_eq!(there(&desk), 2);
}

/// A byte at the end of each of many chunks is little to send, and much to keep.
#[test]
fn a_push_without_room_is_refused_before_anything_of_it_is_made() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Memory, false);
    let id = Id { tenant: "t".into(), key: Key::new(b"k").unwrap() };
    let value = desk.owner.tenants.get(&id).unwrap().value().unwrap();
    let spec = value.spec;
    let mut changes = Vec::new();
    for chunk in 0..16 {
        let mut copy = vec![0; 65_536];
        copy[65_535] = 1;
        crate::delta::diff(
            &spec,
            crate::chunk::Chunk(chunk),
            &vec![0; 65_536],
            &copy,
            &mut changes,
        );
    }
    let asked = std::cell::Cell::new(0);
    let refuse = |cost| {
        asked.set(cost);
        Err(Failure::Limit { what: "bytes".into(), limit: 0 })
    };
    let next = Version::new(Epoch(1), 99);
    let refused = crate::owner::change::push(value, next, &changes, 1 << 20, refuse);
    assert!(refused.is_err());
    let asked = asked.get();
    assert!(asked >= 1 << 20, "{asked}");
    // The same, when there is room: what it cost is no more than what was asked for.
    let stamp = desk.stamp(SESSION);
    let (made, expected, fence) = (Version::NONE, None, None);
    let before = desk.owner.usage("t").bytes;
    desk.ask(Body::Push { stamp, made, expected, fence, len: 1 << 20 }, &changes);
    let cost = desk.owner.usage("t").bytes - before;
    assert!((1 << 20..=asked + 32 * 96).contains(&cost), "{cost} of {asked}");
}

#[test]
fn keys_that_are_gone_are_forgotten_also_when_they_were_locked_for_long() {
    let mut desk = Desk::of(1);
    let spec = Spec::new(Element::U8, Rule::Replace, Durability::Memory, 1 << 20).unwrap();
    let mut locks = Vec::new();
    for key in (0..MAX_GONE + 100).map(|key| key.to_string()) {
        create_of(&mut desk, &key, spec);
        let stamp = desk.stamp(SESSION);
        let lock = Body::Lock { stamp, holder: 1, mode: LockMode::Write, wait_us: 0 };
        let Some(Reply::Granted { fence, .. }) = ask_of(&mut desk, &key, lock, &[]) else {
            panic!("it is free");
        };
        locks.push((key.clone(), stamp, fence));
        let stamp = desk.stamp(SESSION);
        let (made, expected, fence) = (Version::NONE, None, Some(fence));
        ask_of(&mut desk, &key, Body::Delete { stamp, made, expected, fence }, &[]);
    }
    for (key, stamp, fence) in locks {
        ask_of(&mut desk, &key, Body::Unlock { stamp, fence, abandoned: false }, &[]);
    }
    for _ in 0..100 {
        desk.ask(Body::Stat, &[]);
    }
    let left = desk.owner.tenants.iter().count();
    assert!(left <= MAX_GONE + 1, "{left}");
}
