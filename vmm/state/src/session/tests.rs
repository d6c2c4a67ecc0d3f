#![allow(clippy::disallowed_methods, reason = "a run begins at some moment, from some seed")]
use std::time::Duration;

use super::*;
use crate::host::Route;
use crate::message::{Asked, LockMode, PullRange};
use crate::version::Version;

const ONE: HostId = HostId(1);
const TWO: HostId = HostId(2);
const NAME: (&str, &str) = ("t", "k");
const DEADLINE: Duration = Duration::from_secs(30);

/// A session of which each thing that it sends is looked at.
struct Desk {
    session: Session<Vec<u8>>,
    now: Instant,
}

impl Desk {
    fn new() -> Self {
        let routes = Routes::of_hosts(&[ONE]);
        let session = Session::new(SessionId(7), routes, SessionConfig::default());
        Self { session, now: Instant::now() }
    }

    fn submit(&mut self, body: Body) -> RequestId {
        self.session.submit(self.now, NAME, body, Vec::new(), self.now + DEADLINE).unwrap()
    }

    fn append(&mut self) -> RequestId {
        let stamp = self.session.stamp();
        self.submit(Body::Append { stamp, made: Version::NONE, fence: None })
    }

    fn lock(&mut self, wait_us: u64) -> Stamp {
        let stamp = self.session.stamp();
        self.submit(Body::Lock { stamp, holder: 1, mode: LockMode::Write, wait_us });
        stamp
    }

    /// All that is sent now: to whom, which attempt, in which epoch, and what.
    fn sent(&mut self) -> Vec<(HostId, AttemptId, Epoch, Body)> {
        let sent = std::iter::from_fn(|| self.session.poll_transmit(self.now));
        let read = |transmit: Transmit<Vec<u8>>| {
            let request = Request::access(&transmit.head).unwrap();
            let asked = Asked::try_from(request).unwrap();
            (transmit.to, transmit.attempt, asked.epoch, asked.body.into_owned())
        };
        sent.map(read).collect()
    }

    fn attempt(&mut self) -> AttemptId {
        let sent = self.sent();
        assert_eq!(sent.len(), 1, "{sent:?}");
        sent[0].1
    }

    fn reply(&mut self, attempt: AttemptId, reply: Reply) {
        self.session.handle_reply(self.now, attempt, reply, Vec::new());
    }

    fn not_owner(&mut self, attempt: AttemptId, owner: HostId, epoch: u64) {
        let epoch = Epoch(epoch);
        self.reply(attempt, Reply::Failed(Failure::NotOwner { owner: owner.0, epoch }));
    }

    /// Goes on to the next time at which something is to be done.
    fn wait(&mut self) {
        self.now = self.session.poll_timeout().unwrap();
        self.session.handle_timeout(self.now);
    }

    fn ended(&mut self) -> Option<(RequestId, Result<Reply, SessionError>)> {
        let event = self.session.poll_event()?;
        Some((event.request, event.result.map(|(reply, _)| reply)))
    }

    fn learn(&mut self, owner: HostId, epoch: u64) {
        for shard in 0..crate::key::SHARDS {
            self.session.routes_mut().learn(shard, Route { owner, epoch: Epoch(epoch) });
        }
    }
}

fn appended() -> Reply {
    Reply::Appended { version: Version::new(Epoch(1), 1), at: 0, len: 1 }
}

fn granted() -> Reply {
    let (fence, version) = (Version::new(Epoch(1), 3), Version::NONE);
    Reply::Granted { fence, abandoned: false, lease_ms: 9000, version }
}

#[test]
fn what_is_not_answered_is_sent_again_with_its_stamp() {
    let mut desk = Desk::new();
    let request = desk.append();
    let first = desk.sent().remove(0);
    let begun = desk.now;
    desk.wait();
    assert_eq!(desk.now - begun, SessionConfig::default().first_pause);
    let second = desk.sent().remove(0);
    assert_eq!((first.3, first.0), (second.3, second.0));
    desk.reply(first.1, appended());
    assert_eq!(desk.ended(), Some((request, Ok(appended()))));
    desk.reply(second.1, appended());
    assert_eq!(desk.ended(), None, "an event for a request");
    assert_eq!(desk.session.poll_timeout(), None);
}

#[test]
fn pauses_grow_to_a_bound_and_the_deadline_leaves_a_change_unknown() {
    let mut desk = Desk::new();
    let (request, begun) = (desk.append(), desk.now);
    let mut pauses = Vec::new();
    let ended = loop {
        desk.sent();
        let before = desk.now;
        desk.wait();
        pauses.push(desk.now - before);
        if let Some(ended) = desk.ended() {
            break ended;
        }
    };
    assert_eq!(ended, (request, Err(SessionError::Unknown)));
    assert_eq!(desk.now - begun, DEADLINE);
    assert_eq!(pauses[..3], [500, 1000, 2000].map(Duration::from_millis));
    assert!(pauses.iter().all(|pause| *pause <= SessionConfig::default().longest_pause));
}

#[test]
fn what_changes_nothing_or_was_not_sent_ends_by_its_deadline() {
    let mut desk = Desk::new();
    desk.submit(Body::Stat);
    desk.sent();
    desk.append();
    desk.now += DEADLINE;
    desk.session.handle_timeout(desk.now);
    for _ in 0..2 {
        assert_eq!(desk.ended().unwrap().1, Err(SessionError::Deadline));
    }
}

#[test]
fn an_answer_that_is_late_counts_as_lost() {
    let mut desk = Desk::new();
    desk.append();
    let attempt = desk.attempt();
    desk.now += SessionConfig::default().margin + Duration::from_millis(1);
    desk.reply(attempt, appended());
    assert_eq!(desk.ended(), None, "its owner may have been deposed");
    let again = desk.attempt();
    desk.reply(again, appended());
    assert!(desk.ended().unwrap().1.is_ok());
}

#[test]
fn a_stream_or_a_connection_that_ends_is_asked_again_after_a_pause() {
    let mut desk = Desk::new();
    desk.append();
    let attempt = desk.attempt();
    desk.session.handle_dropped(desk.now, attempt);
    assert!(desk.sent().is_empty());
    desk.wait();
    desk.attempt();
    desk.session.handle_lost(desk.now, TWO);
    let unmoved = desk.session.poll_timeout();
    desk.session.handle_lost(desk.now, ONE);
    assert!(desk.session.poll_timeout() < unmoved, "only what was sent to the host that is lost");
    desk.wait();
    desk.attempt();
}

#[test]
fn a_host_that_is_not_the_owner_names_it() {
    let mut desk = Desk::new();
    desk.append();
    let attempt = desk.attempt();
    desk.not_owner(attempt, TWO, 4);
    let (to, attempt, epoch, _) = desk.sent().remove(0);
    assert_eq!((to, epoch), (TWO, Epoch(4)));
    desk.not_owner(attempt, ONE, 3);
    assert!(desk.sent().is_empty(), "older news is not followed, and is asked about later");
    desk.wait();
    let (to, attempt, ..) = desk.sent().remove(0);
    assert_eq!(to, TWO);
    desk.reply(attempt, appended());
    assert!(desk.ended().unwrap().1.is_ok());
}

#[test]
fn hosts_that_name_each_other_are_given_up() {
    let mut desk = Desk::new();
    let request = desk.append();
    for hop in 0..=u64::from(MAX_HOPS) {
        let attempt = desk.attempt();
        desk.not_owner(attempt, [TWO, ONE][hop as usize % 2], hop + 1);
    }
    let hops = MAX_HOPS + 1;
    assert_eq!(desk.ended(), Some((request, Err(SessionError::NoOwner { hops }))));
}

#[test]
fn changes_of_one_value_go_one_after_the_other() {
    let mut desk = Desk::new();
    let requests: Vec<RequestId> = (0..3).map(|_| desk.append()).collect();
    for request in requests {
        let attempt = desk.attempt();
        desk.reply(attempt, appended());
        assert_eq!(desk.ended().unwrap().0, request);
    }
    desk.append();
    let stamp = desk.session.stamp();
    let other = Body::Append { stamp, made: Version::NONE, fence: None };
    desk.session.submit(desk.now, ("t", "other"), other, Vec::new(), desk.now + DEADLINE).unwrap();
    desk.submit(Body::Stat);
    assert_eq!(desk.sent().len(), 3, "others do not wait");
}

#[test]
fn a_refusal_is_final_unless_a_later_owner_was_asked_too() {
    let mut desk = Desk::new();
    let conflict = Reply::Failed(Failure::Locked { holder: 3 });
    desk.append();
    let first = desk.attempt();
    desk.reply(first, conflict.clone());
    assert!(desk.ended().unwrap().1.is_err());

    desk.append();
    let first = desk.attempt();
    desk.wait();
    desk.learn(ONE, 2);
    let second = desk.attempt();
    desk.reply(first, conflict);
    assert_eq!(desk.ended(), None, "refusals do not survive a restart of the owner");
    desk.reply(second, appended());
    assert_eq!(desk.ended().unwrap().1, Ok(appended()));
}

#[test]
fn what_is_held_is_renewed_until_it_is_given_back() {
    let mut desk = Desk::new();
    let stamp = desk.lock(0);
    let attempt = desk.attempt();
    desk.reply(attempt, granted());
    assert!(desk.ended().unwrap().1.is_ok());
    for _ in 0..3 {
        let begun = desk.now;
        desk.wait();
        assert_eq!(desk.now - begun, Duration::from_secs(3), "a third of the lease");
        let (to, attempt, _, body) = desk.sent().remove(0);
        assert_eq!((to, body), (ONE, Body::Renew { sessions: vec![SessionId(7)] }));
        desk.reply(attempt, Reply::Done);
        assert_eq!(desk.ended(), None, "nobody asked for it");
    }
    let fence = Version::new(Epoch(1), 3);
    desk.submit(Body::Unlock { stamp, fence, abandoned: false });
    let attempt = desk.attempt();
    desk.reply(attempt, Reply::Done);
    while desk.session.poll_timeout().is_some() {
        desk.wait();
        assert!(desk.sent().is_empty());
    }
}

#[test]
fn a_lock_of_which_nothing_was_heard_is_given_back() {
    let mut desk = Desk::new();
    let stamp = desk.lock(60_000_000);
    desk.sent();
    while desk.ended().is_none() {
        desk.wait();
    }
    let (.., body) = desk.sent().remove(0);
    assert_eq!(body, Body::Unlock { stamp, fence: Version::NONE, abandoned: false });
}

#[test]
fn a_lock_that_was_refused_once_of_twice_is_given_back() {
    let mut desk = Desk::new();
    let stamp = desk.lock(0);
    desk.sent();
    desk.wait();
    let second = desk.attempt();
    desk.reply(second, Reply::Failed(Failure::NotFound));
    let (.., body) = desk.sent().remove(0);
    assert_eq!(body, Body::Unlock { stamp, fence: Version::NONE, abandoned: false });
}

#[test]
fn requests_under_way_have_a_bound_and_no_key_is_refused() {
    let mut desk = Desk::new();
    let bad = desk.session.submit(desk.now, ("t", ""), Body::Stat, Vec::new(), desk.now + DEADLINE);
    assert!(matches!(bad, Err(SessionError::Refused(Failure::Malformed { .. }))));
    for _ in 0..MAX_REQUESTS {
        desk.submit(Body::Stat);
    }
    let more = desk.session.submit(desk.now, NAME, Body::Stat, Vec::new(), desk.now + DEADLINE);
    assert_eq!(more, Err(SessionError::Full { limit: MAX_REQUESTS }));
}

/// What a stack of the usual size would not take, were it done one within the other.
#[test]
fn all_changes_of_one_value_may_give_up_at_once() {
    let mut desk = Desk::new();
    for _ in 0..MAX_REQUESTS {
        desk.append();
    }
    desk.sent();
    desk.now += DEADLINE;
    desk.session.handle_timeout(desk.now);
    assert_eq!(desk.ended().unwrap().1, Err(SessionError::Unknown), "the one that was sent");
    let ended = std::iter::from_fn(|| desk.ended());
    assert_eq!(ended.filter(|(_, end)| *end == Err(SessionError::Deadline)).count(), 65_535);
    assert_eq!(desk.session.poll_timeout(), None);
}

#[test]
fn a_lease_of_nothing_is_renewed_now_and_then() {
    let mut desk = Desk::new();
    desk.lock(0);
    let attempt = desk.attempt();
    let (fence, version) = (Version::new(Epoch(1), 3), Version::NONE);
    desk.reply(attempt, Reply::Granted { fence, abandoned: false, lease_ms: 0, version });
    for _ in 0..3 {
        let before = desk.now;
        desk.wait();
        assert!(desk.now > before);
        desk.attempt();
    }
}

#[test]
fn what_gives_a_lock_back_is_said_until_it_was_heard() {
    let mut desk = Desk::new();
    let stamp = desk.lock(0);
    let attempt = desk.attempt();
    desk.reply(attempt, granted());
    desk.ended();
    let fence = Version::new(Epoch(1), 3);
    let unlock = Body::Unlock { stamp, fence, abandoned: false };
    let soon = desk.now + Duration::from_millis(1);
    desk.session.submit(desk.now, NAME, unlock.clone(), Vec::new(), soon).unwrap();
    desk.sent();
    while desk.ended().is_none() {
        desk.wait();
    }
    let (_, attempt, _, body) = desk.sent().remove(0);
    assert_eq!(body, unlock, "its caller has gone, and the lock is held");
    let what = "requests that wait".to_owned();
    desk.reply(attempt, Reply::Failed(Failure::Limit { what, limit: 1 }));
    desk.wait();
    let (_, attempt, _, body) = desk.sent().remove(0);
    assert_eq!(body, unlock, "an owner without room has not heard it");
    desk.reply(attempt, Reply::Done);
    while desk.session.poll_timeout().is_some() {
        desk.wait();
        assert!(desk.sent().is_empty());
    }
}

#[test]
fn what_gives_something_back_has_room_of_its_own() {
    let mut desk = Desk::new();
    for _ in 0..MAX_REQUESTS {
        desk.submit(Body::Stat);
    }
    let stamp = desk.session.stamp();
    desk.submit(Body::Close { stamp });
}

#[test]
fn a_version_that_nobody_waits_for_any_more_is_closed() {
    let mut desk = Desk::new();
    let stamp = desk.session.stamp();
    let open = Body::Open { stamp, at: None };
    let soon = desk.now + Duration::from_millis(1);
    desk.session.submit(desk.now, NAME, open, Vec::new(), soon).unwrap();
    desk.sent();
    while desk.ended().is_none() {
        desk.wait();
    }
    let (_, attempt, _, body) = desk.sent().remove(0);
    assert_eq!(body, Body::Close { stamp });
    desk.reply(attempt, Reply::Done);
    assert_eq!(desk.session.poll_timeout(), None);
}

#[test]
fn what_was_given_back_before_it_was_granted_is_not_renewed() {
    let mut desk = Desk::new();
    let stamp = desk.lock(60_000_000);
    let lock = desk.attempt();
    desk.submit(Body::Unlock { stamp, fence: Version::NONE, abandoned: false });
    let unlock = desk.attempt();
    desk.reply(lock, granted());
    desk.reply(unlock, Reply::Done);
    assert_eq!(desk.session.poll_timeout(), None);
}

/// Eight megabytes are not through in two seconds everywhere, nor twice in one.
#[test]
fn large_payloads_have_time_by_their_size_where_owners_last() {
    let mut desk = Desk::new();
    let config = SessionConfig { owners_last: true, ..SessionConfig::default() };
    desk.session = Session::new(SessionId(7), Routes::of_hosts(&[ONE]), config);
    let stamp = desk.session.stamp();
    let push = Body::Append { stamp, made: Version::NONE, fence: None };
    let payload = vec![0; 8 << 20];
    desk.session.submit(desk.now, NAME, push, payload, desk.now + DEADLINE).unwrap();
    let attempt = desk.attempt();
    desk.now += Duration::from_secs(15);
    desk.session.handle_timeout(desk.now);
    assert!(desk.sent().is_empty(), "no second copy while the first may be on its way");
    desk.reply(attempt, appended());
    assert!(desk.ended().unwrap().1.is_ok(), "and it is not late");

    let ranges = vec![PullRange { first: 0, count: 126, since: Version::NONE }];
    desk.submit(Body::Pull { ranges, at: None });
    let attempt = desk.attempt();
    desk.now += Duration::from_secs(15);
    desk.session.handle_timeout(desk.now);
    assert!(desk.sent().is_empty());
    let (version, made) = (Version::NONE, Version::NONE);
    desk.reply(attempt, Reply::Pulled { version, made, len: 0 });
    assert!(desk.ended().unwrap().1.is_ok());
}
