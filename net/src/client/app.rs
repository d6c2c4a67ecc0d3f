//! The client's side of the driver: connecting, submitting, answering.
//!
//! ```text
//!             submission                       welcome
//!   Idle ───────────────► Connecting ───────────────────────────► Open
//!    ▲                     │      ▲                                │ lost, or sent away
//!    │ attempts used up,   ▼      │ the pause is over              │ and drained
//!    └──── or denied ── Pausing ──┘ ◄──── calls wait ──────────────┤
//!    ▲                                                             │
//!    └──────────────────────── no call waits ──────────────────────┘
//! ```

use super::{CallError, ClientConfig, ConnectError};
use crate::endpoint::{Admission, App, End, Hub, LinkKey, transport};
use crate::mailbox::Mailbox;
use crate::tls::SERVER_NAME;
use bytes::Bytes;
use faaslet_proto::{
    ClientEvent, ClientSession, ClientSettings, Close, CloseCode, Mode, NotSent, Reply, Request,
    StateAsk, StateOp, StateReply,
};
use quinn_proto::Incoming;
use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

pub(super) type Answer = oneshot::Sender<Result<Answered, CallError>>;
type Welcomed = oneshot::Sender<Result<String, ConnectError>>;

/// A call that its caller waits for.
#[derive(Debug)]
pub(super) struct Submission {
    /// What the caller cancels it by.
    pub(super) ticket: u64,
    pub(super) what: What,
    /// The function or the key.
    pub(super) name: Box<str>,
    pub(super) input: Bytes,
    pub(super) deadline: Option<Instant>,
    pub(super) answer: Answer,
}

/// What a caller waits for.
#[derive(Clone, Copy, Debug)]
pub(super) enum What {
    Call { mode: Mode, attempt: u32 },
    State(StateOp),
}

/// An answer that came.
#[derive(Debug)]
pub(super) enum Answered {
    Call(Reply),
    State(StateReply),
}

impl Submission {
    fn send(&self, now: Instant, session: &mut ClientSession) -> Result<u64, NotSent> {
        let (name, input, deadline) = (&*self.name, self.input.clone(), self.deadline);
        match self.what {
            What::Call { mode, attempt } => {
                session.call(now, Request { function: name, input, mode, attempt, deadline })
            }
            What::State(op) => {
                session.state(now, StateAsk { key: name, op, payload: input, deadline })
            }
        }
    }
}

#[derive(Debug)]
pub(super) enum Post {
    Submit(Submission),
    Cancel(u64),
    Close,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Connecting { key: LinkKey, attempt: u32 },
    Pausing { until: Instant, attempt: u32 },
    Open { key: LinkKey },
    Closed,
}

struct Sent {
    ticket: u64,
    answer: Answer,
}

pub(super) struct ClientApp {
    config: ClientConfig,
    mailbox: Arc<Mailbox<Post>>,
    stage: Stage,
    /// Calls that were not sent yet. Bounded by the client's permits.
    waiting: VecDeque<Submission>,
    /// Calls on the connection by id. Invariant: empty unless the stage is `Open`.
    sent: HashMap<u64, Sent>,
    /// Ids of `sent` by ticket.
    tickets: HashMap<u64, u64>,
    /// Who waits for the first welcome.
    welcomed: Option<Welcomed>,
}

impl ClientApp {
    pub(super) fn new(
        config: ClientConfig,
        mailbox: Arc<Mailbox<Post>>,
        welcomed: Welcomed,
    ) -> Self {
        Self {
            config,
            mailbox,
            // The first attempt begins with the driver.
            stage: Stage::Pausing { until: Instant::now(), attempt: 0 },
            waiting: VecDeque::new(),
            sent: HashMap::new(),
            tickets: HashMap::new(),
            welcomed: Some(welcomed),
        }
    }

    fn connect(&mut self, now: Instant, attempt: u32, hub: &mut Hub<ClientSession>) {
        let settings = ClientSettings {
            max_in_flight: self.config.max_in_flight.try_into().unwrap_or(u32::MAX),
            patience: self.config.patience,
            ..ClientSettings::default()
        };
        let session = ClientSession::new(now, settings, &self.config.token);
        let config = transport::client(&self.config.tls);
        match hub.connect(now, config, self.config.addr, SERVER_NAME, session) {
            Ok(key) => self.stage = Stage::Connecting { key, attempt: attempt + 1 },
            Err(error) => self.give_up(&ConnectError::Local(error.to_string())),
        }
    }

    /// After a failed attempt: pauses for the next one, or gives up.
    fn after_failure(&mut self, now: Instant, attempt: u32, end: &End) {
        let addr = self.config.addr;
        let last = attempt >= self.config.max_attempts;
        if let End::Theirs(close) = end
            && (matches!(close.code, CloseCode::Unauthorised | CloseCode::Version)
                || (last && close.code == CloseCode::Full))
        {
            let (code, reason) = (close.code, close.reason.clone());
            return self.give_up(&ConnectError::Denied { addr, code, reason });
        }
        if last {
            let reason = end.reason();
            return self.give_up(&ConnectError::Unreachable { addr, attempts: attempt, reason });
        }
        let until = now + pause(self.config.first_pause, self.config.max_pause, attempt);
        self.stage = Stage::Pausing { until, attempt };
    }

    fn give_up(&mut self, error: &ConnectError) {
        self.stage = Stage::Idle;
        if let Some(welcomed) = self.welcomed.take() {
            let _ = welcomed.send(Err(error.clone()));
        }
        for submission in self.waiting.drain(..) {
            let _ = submission.answer.send(Err(error.clone().into()));
        }
    }

    /// Sends what waits, as far as the connection has room.
    fn feed(&mut self, now: Instant, session: &mut ClientSession) {
        let Stage::Open { .. } = self.stage else { return };
        while let Some(submission) = self.waiting.pop_front() {
            match submission.send(now, session) {
                Ok(id) => {
                    let Submission { ticket, answer, .. } = submission;
                    self.tickets.insert(ticket, id);
                    self.sent.insert(id, Sent { ticket, answer });
                }
                Err(NotSent::Full | NotSent::Closed) => {
                    self.waiting.push_front(submission);
                    return;
                }
                Err(error) => {
                    let _ = submission.answer.send(Err(error.into()));
                }
            }
        }
    }

    fn submit(&mut self, now: Instant, submission: Submission, hub: &mut Hub<ClientSession>) {
        self.waiting.push_back(submission);
        match self.stage {
            Stage::Idle => self.connect(now, 0, hub),
            Stage::Open { key } => {
                if let Some(session) = hub.session(key) {
                    self.feed(now, session);
                }
            }
            Stage::Closed => self.waiting.clear(),
            Stage::Connecting { .. } | Stage::Pausing { .. } => {}
        }
    }

    fn cancel(&mut self, ticket: u64, hub: &mut Hub<ClientSession>) {
        if let Some(id) = self.tickets.remove(&ticket) {
            self.sent.remove(&id);
            if let Stage::Open { key } = self.stage
                && let Some(session) = hub.session(key)
            {
                session.cancel(id);
            }
        } else {
            self.waiting.retain(|submission| submission.ticket != ticket);
        }
    }

    fn answer(&mut self, id: u64, answer: Answered) {
        if let Some(sent) = self.sent.remove(&id) {
            self.tickets.remove(&sent.ticket);
            let _ = sent.answer.send(Ok(answer));
        }
    }

    /// The connection on which calls were sent is gone.
    fn after_open(&mut self, now: Instant, end: &End, hub: &mut Hub<ClientSession>) {
        self.tickets.clear();
        for (_, sent) in self.sent.drain() {
            let _ = sent.answer.send(Err(CallError::Unknown { reason: end.reason() }));
        }
        self.stage = Stage::Idle;
        if !self.waiting.is_empty() {
            self.connect(now, 0, hub);
        }
    }

    fn expire_waiting(&mut self, now: Instant) {
        let expired = |submission: &mut Submission| {
            submission.deadline.is_some_and(|deadline| deadline <= now)
        };
        while let Some(at) = self.waiting.iter_mut().position(expired) {
            if let Some(submission) = self.waiting.remove(at) {
                let _ = submission.answer.send(Err(NotSent::Deadline.into()));
            }
        }
    }
}

impl App for ClientApp {
    type Session = ClientSession;
    type Post = Post;

    fn mailbox(&self) -> &Mailbox<Post> {
        &self.mailbox
    }

    fn handle_post(&mut self, now: Instant, post: Post, hub: &mut Hub<ClientSession>) {
        match post {
            Post::Submit(submission) => self.submit(now, submission, hub),
            Post::Cancel(ticket) => self.cancel(ticket, hub),
            Post::Close => {
                self.stage = Stage::Closed;
                self.waiting.clear();
                self.sent.clear();
                for key in hub.keys() {
                    let _ = hub.close(now, key, Close::new(CloseCode::Done, "no calls left"));
                }
            }
        }
    }

    fn handle_events(
        &mut self,
        now: Instant,
        key: LinkKey,
        _remote: SocketAddr,
        session: &mut ClientSession,
    ) -> Result<(), Close> {
        while let Some(event) = session.poll_event() {
            match event {
                ClientEvent::Welcome { tenant, .. } => {
                    self.stage = Stage::Open { key };
                    if let Some(welcomed) = self.welcomed.take() {
                        let _ = welcomed.send(Ok(tenant));
                    }
                }
                ClientEvent::Reply { id, reply } => self.answer(id, Answered::Call(reply)),
                ClientEvent::State { id, reply } => self.answer(id, Answered::State(reply)),
                ClientEvent::GoAway { reason } => tracing::debug!(reason, "sent away"),
            }
        }
        if session.is_drained() {
            return Err(Close::new(CloseCode::Done, "sent away, and nothing is in flight"));
        }
        self.feed(now, session);
        Ok(())
    }

    fn handle_end(
        &mut self,
        now: Instant,
        key: LinkKey,
        _session: Option<ClientSession>,
        end: &End,
        hub: &mut Hub<ClientSession>,
    ) {
        match self.stage {
            Stage::Connecting { key: current, attempt } if current == key => {
                self.after_failure(now, attempt, end);
            }
            Stage::Open { key: current } if current == key => self.after_open(now, end, hub),
            _ => {}
        }
    }

    fn admit(&mut self, _: Instant, _: &Incoming, _: usize) -> Admission<ClientSession> {
        Admission::Refuse
    }

    fn poll_timeout(&self) -> Option<Instant> {
        let pause = match self.stage {
            Stage::Pausing { until, .. } => Some(until),
            _ => None,
        };
        let deadline = self.waiting.iter().filter_map(|submission| submission.deadline).min();
        [pause, deadline].into_iter().flatten().min()
    }

    fn handle_timeout(&mut self, now: Instant, hub: &mut Hub<ClientSession>) {
        self.expire_waiting(now);
        if let Stage::Pausing { until, attempt } = self.stage
            && until <= now
        {
            self.connect(now, attempt, hub);
        }
    }

    fn is_done(&self, _hub: &Hub<ClientSession>) -> bool {
        self.stage == Stage::Closed
    }
}

/// The pause after attempt number `attempt`: doubling, bounded, and up to half of it shorter at
/// random, so that many clients do not come back at the same moment.
pub(crate) fn pause(first: Duration, longest: Duration, attempt: u32) -> Duration {
    let doubled = first.saturating_mul(1 << attempt.saturating_sub(1).min(16)).min(longest);
    let random = RandomState::new().hash_one(attempt);
    doubled.mul_f64(1.0 - (random as f64 / u64::MAX as f64) / 2.0)
}
