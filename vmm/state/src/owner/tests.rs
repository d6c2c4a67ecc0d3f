#![allow(clippy::disallowed_methods, reason = "a run begins at some moment, from some seed")]
mod changes;
mod rooms;
mod storage;
mod versions;
mod watches;

use std::time::{Duration, Instant};

use super::*;
use crate::key::SHARDS;
use crate::message::{LockMode, PullRange, Request, Stamp};
use crate::spec::{Durability, Element, Retention, Rule, Spec};
use crate::version::Version;

const SESSION: SessionId = SessionId(1);
const OTHER: SessionId = SessionId(2);

/// An owner with a disk that stores at once, asked one thing at a time.
struct Desk {
    owner: Owner,
    now: Instant,
    epoch: Epoch,
    sequence: u64,
    stored: Vec<Record>,
}

impl Desk {
    fn new(epoch: u64, config: OwnerConfig) -> Self {
        let mut owner = Owner::new(config);
        (0..SHARDS).for_each(|shard| owner.own(shard, Epoch(epoch)));
        let (now, stored) = (Instant::now(), Vec::new());
        Self { owner, now, epoch: Epoch(epoch), sequence: 0, stored }
    }

    fn of(epoch: u64) -> Self {
        Self::new(epoch, OwnerConfig::of(HostId(1)))
    }

    fn stamp(&mut self, session: SessionId) -> Stamp {
        self.sequence += 1;
        Stamp { session, sequence: self.sequence }
    }

    fn send(&mut self, body: Body, payload: &[u8], token: u64) {
        let request = Request { tenant: "t".into(), key: "k".into(), epoch: self.epoch, body };
        self.owner.handle_request(self.now, &Asked::from(&request), payload, token);
    }

    fn outputs(&mut self) -> Vec<(u64, Reply, Payload)> {
        let mut replies = Vec::new();
        while let Some(output) = self.owner.poll_output(self.now) {
            match output {
                Output::Reply { token, reply, payload } => replies.push((token, reply, payload)),
                Output::Dropped { token } => panic!("{token} was dropped"),
                Output::Persist { ticket, batch } => {
                    self.stored.extend(batch);
                    self.owner.persisted(ticket);
                }
            }
        }
        replies
    }

    fn ask(&mut self, body: Body, payload: &[u8]) -> (Reply, Payload) {
        self.send(body, payload, 0);
        let mut replies = self.outputs();
        assert_eq!(replies.len(), 1, "{replies:?}");
        let (_, reply, payload) = replies.remove(0);
        (reply, payload)
    }

    /// What comes of a request while the disk does not answer.
    fn outputs_unstored(&mut self, body: Body, payload: &[u8], token: u64) -> Vec<Output> {
        self.send(body, payload, token);
        std::iter::from_fn(|| self.owner.poll_output(self.now)).collect()
    }

    fn create(&mut self, durability: Durability, renew: bool) -> Reply {
        let spec = Spec::new(Element::U8, Rule::Replace, durability, 1 << 20).unwrap();
        let spec = spec.retaining(Retention { versions: 2, age_s: 0 });
        let stamp = self.stamp(SESSION);
        self.ask(Body::Create { spec, renew, stamp }, &[]).0
    }

    fn append(&mut self, bytes: &[u8]) -> Reply {
        let stamp = self.stamp(SESSION);
        self.ask(Body::Append { stamp, made: Version::NONE, fence: None }, bytes).0
    }

    fn pull(&mut self, at: Option<Version>) -> (Reply, Vec<u8>) {
        let ranges = vec![PullRange { first: 0, count: 1, since: Version::NONE }];
        let (reply, payload) = self.ask(Body::Pull { ranges, at }, &[]);
        (reply, payload.to_vec())
    }

    fn lock(&mut self, stamp: Stamp, mode: LockMode, token: u64) {
        let wait_us = 5_000_000;
        self.send(Body::Lock { stamp, holder: token, mode, wait_us }, &[], token);
    }
}

fn version(reply: &Reply) -> Version {
    match reply {
        Reply::Appended { version, .. } => *version,
        Reply::Value(stat) => stat.version,
        reply => panic!("{reply:?}"),
    }
}

#[test]
fn a_value_in_memory_is_lost_by_name_or_saved() {
    let mut first = Desk::of(1);
    first.create(Durability::Memory, false);
    first.append(b"abc");
    let restart = |records: Vec<Record>, epoch| {
        let mut desk = Desk::of(epoch);
        for record in records {
            desk.owner.restore(desk.now, record).unwrap();
        }
        desk.owner.start();
        desk.sequence = 100;
        desk
    };
    let saved: Vec<Record> = first.owner.save().collect();
    let mut second = restart(saved, 2);
    assert!(second.pull(None).1.ends_with(b"abc"));
    assert!(
        second
            .stored
            .iter()
            .any(|record| matches!(record, Record::Head(_, Some(head)) if !head.whole))
    );

    let mut lost = restart(first.stored, 3);
    let lost_reply = Reply::Failed(Failure::Lost);
    assert_eq!(lost.pull(None).0, lost_reply);
    assert_eq!(lost.append(b"d"), lost_reply);
    assert_eq!(lost.create(Durability::Memory, false), lost_reply);
    assert!(matches!(lost.create(Durability::Memory, true), Reply::Value(stat) if stat.len == 0));
}

#[test]
fn locks_go_to_those_who_come_first_and_readers_go_together() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Memory, false);
    let stamps: Vec<Stamp> = (0..5).map(|_| desk.stamp(SESSION)).collect();
    for (token, mode) in
        [LockMode::Write, LockMode::Read, LockMode::Read, LockMode::Write, LockMode::Read]
            .into_iter()
            .enumerate()
    {
        desk.lock(stamps[token], mode, token as u64);
    }
    let tokens = |replies: Vec<(u64, Reply, Payload)>| -> Vec<u64> {
        let granted =
            replies.into_iter().filter(|(_, reply, _)| matches!(reply, Reply::Granted { .. }));
        granted.map(|(token, ..)| token).collect()
    };
    assert_eq!(tokens(desk.outputs()), [0]);
    let mut unlock = |number: usize| {
        let fence = Version::NONE;
        desk.send(Body::Unlock { stamp: stamps[number], fence, abandoned: false }, &[], 99);
        tokens(desk.outputs())
    };
    assert_eq!(unlock(0), [1, 2]);
    assert!(unlock(1).is_empty());
    assert_eq!(unlock(2), [3]);
    assert_eq!(unlock(3), [4]);
    desk.lock(stamps[0], LockMode::Write, 7);
    assert!(matches!(desk.outputs()[0].1, Reply::Failed(Failure::NotLocked)), "a late copy");
}

#[test]
fn a_silent_writer_loses_its_lock_and_the_next_is_told() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Memory, false);
    let (first, second) = (desk.stamp(SESSION), desk.stamp(OTHER));
    desk.lock(first, LockMode::Write, 1);
    let Reply::Granted { fence, abandoned: false, .. } = desk.outputs()[0].1 else { panic!() };
    let stamp = desk.stamp(OTHER);
    let (reply, _) = desk.ask(Body::Append { stamp, made: Version::NONE, fence: None }, b"x");
    assert_eq!(reply, Reply::Failed(Failure::Locked { holder: 1 }));
    desk.now += Duration::from_secs(6);
    desk.lock(second, LockMode::Write, 2);
    desk.now += Duration::from_secs(4);
    desk.owner.handle_timeout(desk.now);
    assert!(matches!(desk.outputs()[0].1, Reply::Granted { abandoned: true, .. }));
    let stamp = desk.stamp(SESSION);
    let (reply, _) =
        desk.ask(Body::Append { stamp, made: Version::NONE, fence: Some(fence) }, b"x");
    assert_eq!(reply, Reply::Failed(Failure::LockLost { fence }));
}

#[test]
fn a_wait_that_is_over_names_the_holder() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Memory, false);
    let (first, second) = (desk.stamp(SESSION), desk.stamp(OTHER));
    desk.lock(first, LockMode::Read, 1);
    desk.lock(second, LockMode::Write, 2);
    desk.outputs();
    desk.now = desk.owner.poll_timeout().unwrap();
    desk.owner.handle_timeout(desk.now);
    let failure = Failure::LockTimeout { waited_ms: 5000, holder: 1 };
    assert_eq!(desk.outputs()[0].1, Reply::Failed(failure));
}

#[test]
fn old_versions_stay_as_long_as_they_are_kept_or_open() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Memory, false);
    let versions: Vec<Version> = (0..3).map(|_| version(&desk.append(b"x"))).collect();
    let opening = desk.stamp(SESSION);
    desk.ask(Body::Open { stamp: opening, at: Some(versions[0]) }, &[]);
    let bytes = desk.owner.usage("t").bytes;
    for _ in 0..20 {
        desk.append(b"y");
    }
    assert!(matches!(desk.pull(Some(versions[0])).0, Reply::Pulled { len: 1, .. }));
    assert!(matches!(desk.pull(Some(versions[2])).0, Reply::Failed(Failure::Collected { .. })));
    assert!(desk.owner.usage("t").bytes < bytes + 500, "what is between goes");
    desk.ask(Body::Close { stamp: opening }, &[]);
    desk.append(b"z");
    assert!(matches!(desk.pull(Some(versions[0])).0, Reply::Failed(Failure::Collected { .. })));
    let stamp = desk.stamp(SESSION);
    desk.ask(Body::Delete { stamp, made: Version::NONE, expected: None, fence: None }, &[]);
    assert_eq!(desk.owner.usage("t"), Usage::default());
}

#[test]
fn what_is_too_much_is_a_typed_refusal() {
    let config = OwnerConfig { bytes_per_tenant: 1000, ..OwnerConfig::of(HostId(1)) };
    let mut desk = Desk::new(1, config);
    desk.create(Durability::Memory, false);
    let limit = Failure::Limit { what: "bytes of the tenant's values".into(), limit: 1000 };
    assert_eq!(desk.append(&[1; 2000]), Reply::Failed(limit));
    let found = (1 << 20) + 1;
    let stamp = desk.stamp(SESSION);
    let (reply, _) = desk.ask(
        Body::Resize { stamp, made: Version::NONE, expected: None, fence: None, len: found },
        &[],
    );
    assert_eq!(reply, Reply::Failed(Failure::Length { limit: 1 << 20, found }));
    desk.epoch = Epoch(0);
    let (reply, _) = desk.ask(Body::Stat, &[]);
    assert_eq!(reply, Reply::Failed(Failure::NotOwner { owner: 1, epoch: Epoch(1) }));
}

#[test]
fn what_was_cut_off_does_not_come_back() {
    let mut desk = Desk::of(1);
    desk.create(Durability::Durable, false);
    desk.append(b"abcdef");
    for len in [2, 6] {
        let stamp = desk.stamp(SESSION);
        desk.ask(
            Body::Resize { stamp, made: Version::NONE, expected: None, fence: None, len },
            &[],
        );
    }
    let (reply, payload) = desk.pull(None);
    assert!(matches!(reply, Reply::Pulled { len: 6, .. }) && payload.ends_with(b"ab"));
}
