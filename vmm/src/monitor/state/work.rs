//! What a step leads to, done one after the other with no lock held.
//!
//! Invariant: on one thread, work that comes up while work is done (a callback that asks again)
//! waits for its turn in the same queue; so the stack stays as deep as it is.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use faaslet_net::peer::PeerReply;
use faaslet_state::HostId;
use faaslet_state::message::{Body, Failure, Reply};
use faaslet_state::payload::{Payload, Piece};
use faaslet_state::session::{AttemptId, Session, SessionError, Transmit};

use super::counts::Asked;
use super::live::{Live, stamped};
use super::{Answered, States, counts, peers};

/// How long owners are told that a session has ended; then its lease runs out.
const END_WITHIN: Duration = Duration::from_secs(20);

/// Where an answer of this host's owner goes.
#[derive(Debug)]
pub(super) enum Waiter {
    /// To a session of this host.
    Session(Arc<Live>, AttemptId),
    /// To another host.
    Peer(PeerReply),
}

/// One thing to do.
pub(super) enum Work {
    /// Carry a request to its host.
    Send(Arc<Live>, Transmit<Bytes>),
    /// Bring the owner's answer to who asked; `None` when there is none to be had.
    Answer(Waiter, Option<(Reply, Payload)>),
    /// Call back.
    Tell(Answered, Result<(Reply, Bytes), SessionError>),
}

/// Things to do, in order.
pub(super) type Works = Vec<Work>;

/// Work of this thread, while it is being done.
type Queue = RefCell<Option<VecDeque<(Arc<States>, Work)>>>;

thread_local! {
    static QUEUE: Queue = const { RefCell::new(None) };
}

impl States {
    /// Asks the owner of a key; a change that is `numbered` gets the session's next number.
    pub(super) fn submit(
        self: &Arc<Self>,
        live: &Arc<Live>,
        numbered: bool,
        (key, body, payload): (&str, Body, Bytes),
        deadline: Instant,
        answered: Answered,
    ) {
        let mut body = stamped(body, live.id());
        live.counts().asked(&body, &payload);
        let asked = Asked { kind: counts::kind(&body), at: Instant::now() };
        let works = live.step(|inner, works| {
            if inner.is_closed() {
                return works.push(Work::Tell(answered, Err(Failure::Ended.into())));
            }
            if numbered {
                number(&mut body, &mut inner.session);
            }
            let name = (live.tenant(), key);
            let submitted = inner.session.submit(asked.at, name, body, payload, deadline);
            inner.expect(submitted, asked, answered, works);
        });
        self.run(works);
        self.timers.before(live.timeout());
    }

    /// Asks one host, and takes it also from a session that is closed.
    pub(super) fn submit_to(
        self: &Arc<Self>,
        live: &Arc<Live>,
        host: HostId,
        key: &str,
        body: Body,
        deadline: Instant,
        answered: Answered,
    ) {
        let body = stamped(body, live.id());
        live.counts().asked(&body, &[]);
        let asked = Asked { kind: counts::kind(&body), at: Instant::now() };
        let works = live.step(|inner, works| {
            let name = (live.tenant(), key);
            let submitted = inner.session.submit_to(asked.at, host, name, body, deadline);
            inner.expect(submitted, asked, answered, works);
        });
        self.run(works);
        self.timers.before(live.timeout());
    }

    /// Tells the owners that a session has ended.
    pub(super) fn end(self: &Arc<Self>, live: &Arc<Live>) {
        let Some(hosts) = live.close() else { return };
        let deadline = Instant::now() + END_WITHIN;
        let left = Arc::new(AtomicUsize::new(hosts.len() + 1));
        let told = |states: &Arc<Self>| {
            let (states, id, left) = (Arc::clone(states), live.id(), Arc::clone(&left));
            move || {
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    states.lives().remove(&id);
                }
            }
        };
        for host in hosts {
            let told = told(self);
            let body = Body::End { session: live.id() };
            self.submit_to(live, host, "", body, deadline, Box::new(move |_| told()));
        }
        told(self)();
    }

    /// Does the work, and what comes of it.
    pub(super) fn run(self: &Arc<Self>, works: Works) {
        if works.is_empty() {
            return;
        }
        let works = works.into_iter().map(|work| (Arc::clone(self), work));
        let is_outermost = QUEUE.with_borrow_mut(|queue| match queue {
            Some(queue) => {
                queue.extend(works);
                false
            }
            None => {
                *queue = Some(works.collect());
                true
            }
        });
        if !is_outermost {
            return;
        }
        // Also when a callback panics, the next work on this thread begins with an empty queue.
        let _clear = ClearQueue;
        while let Some((states, work)) =
            QUEUE.with_borrow_mut(|queue| queue.as_mut().and_then(VecDeque::pop_front))
        {
            states.work(work);
        }
    }

    fn work(self: &Arc<Self>, work: Work) {
        match work {
            Work::Send(live, transmit) if transmit.to == self.host => {
                let waiter = Waiter::Session(live, transmit.attempt);
                self.run(self.owner.request(waiter, &transmit.head, &transmit.payload));
                self.timers.before(self.owner.timeout());
            }
            Work::Send(live, transmit) => self.send(&live, transmit),
            Work::Answer(Waiter::Session(live, attempt), answer) => match answer {
                Some((reply, payload)) => self.answered(&live, attempt, reply, in_one(payload)),
                None => self.unheard(&live, attempt, true),
            },
            Work::Answer(Waiter::Peer(reply), answer) => peers::respond(reply, answer),
            Work::Tell(answered, result) => answered(result),
        }
    }

    /// Brings an answer to its session.
    pub(super) fn answered(
        self: &Arc<Self>,
        live: &Arc<Live>,
        attempt: AttemptId,
        reply: Reply,
        payload: Bytes,
    ) {
        let now = Instant::now();
        let works = live.step(|inner, _| inner.session.handle_reply(now, attempt, reply, payload));
        self.run(works);
        self.timers.before(live.timeout());
    }

    /// An attempt has no answer, and ran or did not.
    pub(super) fn unheard(
        self: &Arc<Self>,
        live: &Arc<Live>,
        attempt: AttemptId,
        may_have_run: bool,
    ) {
        let now = Instant::now();
        let works = live.step(|inner, _| {
            if may_have_run {
                inner.session.handle_dropped(now, attempt);
            } else {
                inner.session.handle_unheard(now, attempt);
            }
        });
        self.run(works);
        self.timers.before(live.timeout());
    }
}

/// Puts the session's next number into a change.
fn number(body: &mut Body, session: &mut Session<Bytes>) {
    if body.change().is_some()
        && let Some(stamp) = body.stamp_mut()
    {
        *stamp = session.stamp();
    }
}

struct ClearQueue;

impl Drop for ClearQueue {
    fn drop(&mut self) {
        QUEUE.with_borrow_mut(Option::take);
    }
}

/// A payload in one piece: copied only where it has several.
pub(super) fn in_one(payload: Payload) -> Bytes {
    let mut pieces = payload.into_pieces();
    match pieces.len() {
        0 => Bytes::new(),
        1 => match pieces.remove(0) {
            Piece::Copied(bytes) => bytes.into(),
            Piece::Shared(bytes) => Bytes::from_owner(bytes),
        },
        _ => {
            let pieces: Vec<&[u8]> = pieces.iter().map(Piece::bytes).collect();
            pieces.concat().into()
        }
    }
}
