//! What becomes of a request when something is heard of it, or nothing.

use std::time::Instant;

use super::{Attempt, AttemptId, Event, MAX_HOPS, RequestId, Session, SessionError, Target};
use crate::host::{HostId, Route};
use crate::message::{Failure, Reply};
use crate::version::Epoch;

impl<P: Clone + Default + AsRef<[u8]>> Session<P> {
    /// An answer has come. Of attempts that are not known any more it is left aside.
    pub fn handle_reply(&mut self, now: Instant, attempt: AttemptId, reply: Reply, payload: P) {
        self.replied(now, attempt, reply, payload);
        self.handle_timeout(now);
    }

    fn replied(&mut self, now: Instant, attempt: AttemptId, reply: Reply, payload: P) {
        let Some(Attempt { request, to, late, epoch: asked_in }) = self.attempts.remove(&attempt)
        else {
            return;
        };
        if let Reply::Failed(Failure::NotOwner { owner, epoch }) = reply {
            let asked = Route { owner: to, epoch: asked_in };
            return self.follow(now, request, asked, Route { owner: HostId(owner), epoch });
        }
        if now > late {
            return self.wake(request, now);
        }
        if self.is_put_off(request, &reply) {
            return self.pause(now, request);
        }
        if matches!(reply, Reply::Failed(_)) && self.is_overtaken(request, asked_in) {
            return;
        }
        let result = match reply {
            Reply::Failed(failure) => Err(failure.into()),
            reply => Ok((reply, payload)),
        };
        self.finish(now, request, result);
    }

    /// Whether a change was sent in a later epoch too. A refusal of an earlier one says nothing
    /// then: refusals are not stored, so the later owner may apply it.
    fn is_overtaken(&self, id: RequestId, epoch: Epoch) -> bool {
        let pending = self.requests.get(&id);
        pending.is_some_and(|pending| {
            pending.request.body.change().is_some() && pending.request.epoch > epoch
        })
    }

    /// Whether the owner had no room for what gives something back, which is said until it has.
    fn is_put_off(&self, id: RequestId, reply: &Reply) -> bool {
        matches!(reply, Reply::Failed(Failure::Limit { .. }))
            && self.requests.get(&id).is_some_and(|pending| pending.request.body.gives_back())
    }

    /// The stream of an attempt has ended without an answer.
    pub fn handle_dropped(&mut self, now: Instant, attempt: AttemptId) {
        if let Some(Attempt { request, .. }) = self.attempts.remove(&attempt) {
            self.pause(now, request);
        }
    }

    /// An attempt was certainly not executed, and will not be: nothing has changed by it.
    pub fn handle_unheard(&mut self, now: Instant, attempt: AttemptId) {
        let Some(Attempt { request, .. }) = self.attempts.remove(&attempt) else { return };
        if let Some(pending) = self.requests.get_mut(&request) {
            pending.unanswered -= 1;
        }
        self.pause(now, request);
    }

    /// The connection to a host is lost: what was sent there may have been heard or not.
    pub fn handle_lost(&mut self, now: Instant, host: HostId) {
        let lost = self.attempts.iter().filter(|(_, attempt)| attempt.to == host);
        let lost: Vec<AttemptId> = lost.map(|(id, _)| *id).collect();
        for attempt in lost {
            self.handle_dropped(now, attempt);
        }
    }

    /// A host that does not own the shard has named another, or a later epoch of its own.
    fn follow(&mut self, now: Instant, id: RequestId, asked: Route, told: Route) {
        let Some(pending) = self.requests.get_mut(&id) else { return };
        pending.unanswered -= 1;
        pending.hops += 1;
        let hops = pending.hops;
        let Target::Shard(shard) = pending.target else { return self.pause(now, id) };
        if told.owner == HostId::UNKNOWN {
            return self.pause(now, id);
        }
        if hops > MAX_HOPS {
            let error = if pending.unanswered == 0 || pending.request.body.change().is_none() {
                SessionError::NoOwner { hops }
            } else {
                SessionError::Unknown
            };
            return self.finish(now, id, Err(error));
        }
        let learnt = self.routes.learn(shard, told);
        // What was asked before more was known is asked again at once.
        let stale = self.routes.of(shard).is_some_and(|known| known != asked);
        if learnt || stale { self.wake(id, now) } else { self.pause(now, id) }
    }

    fn pause(&mut self, now: Instant, id: RequestId) {
        let Some(pending) = self.requests.get(&id) else { return };
        let pause = self.config.pause(pending.tries.saturating_sub(1)) / 2;
        self.wake(id, now + pause);
    }

    /// The deadline is over.
    pub(super) fn give_up(&mut self, now: Instant, id: RequestId) {
        let Some(pending) = self.requests.get(&id) else { return };
        let changes = pending.request.body.change().is_some();
        let error = if changes && pending.unanswered > 0 {
            SessionError::Unknown
        } else {
            SessionError::Deadline
        };
        self.finish(now, id, Err(error));
    }

    fn finish(&mut self, now: Instant, id: RequestId, result: Result<(Reply, P), SessionError>) {
        let Some(pending) = self.requests.remove(&id) else { return };
        self.timers.remove(&(pending.wake, id));
        for attempt in &pending.attempts {
            self.attempts.remove(attempt);
        }
        let request = &pending.request;
        let (tenant, key) = (request.tenant.as_str(), request.key.as_str());
        let answered = matches!(result, Ok(_) | Err(SessionError::Refused(_)));
        // What was sent before the attempt that was refused may still be granted.
        let may_hold = pending.unanswered > usize::from(answered) as u32;
        match &result {
            Ok((reply, _)) => self.leases.answered(now, (tenant, key), &request.body, reply),
            Err(_) => {
                self.leases.refused((tenant, key), &request.body);
                if may_hold {
                    self.give_back(now, tenant, key, &request.body);
                }
            }
        }
        if !answered && !pending.silent && request.body.gives_back() {
            self.say_again(now, tenant, key, request.body.clone());
        }
        if !pending.silent {
            self.events.push_back(Event { request: id, result });
        }
        if request.body.change().is_some()
            && let Some(next) = self.queues.leave(request, id)
        {
            self.wake(next, now);
        }
    }
}
