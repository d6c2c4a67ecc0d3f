//! The client's end of one connection.
//!
//! ```text
//!            welcome            goaway
//!  Greeting ─────────► Open ─────────────► Leaving
//!     │ too late         │ stalled            │ no call in flight: `is_drained`
//!     ▼                  ▼                    ▼
//!  Close              Close                Close
//! ```
//!
//! [`ClientSession::call`] refuses what the server would refuse (limits are told in the welcome),
//! so that waiting happens at the caller. A call stays in flight until its reply has come, also
//! after it was cancelled or its deadline has passed here: the count of both ends is the same.

use crate::assembly::Assembly;
use crate::call::{InvalidName, Mode, Outcome, Reply, Timings};
use crate::close::{Close, CloseCode, violation};
use crate::deadlines::Deadlines;
use crate::head::{self, ArchivedIdHead, ArchivedReplyHead, ArchivedStateReplyHead};
use crate::head::{ArchivedWelcomeHead, CallHead, HelloHead, IdHead, StateHead};
use crate::limits::{Limits, MAX_KEY_BYTES, MAX_NAME_BYTES, Patience};
use crate::outgoing::Outgoing;
use crate::server::check_announced;
use crate::state::{StateOp, StateReply};
use crate::wire::{Decoder, Frame, Kind};
use crate::{NEWEST_VERSION, OLDEST_VERSION, STATE_VERSION};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// What a client session is set up with.
#[derive(Clone, Copy, Debug)]
pub struct ClientSettings {
    /// Most calls in flight, if the server grants as many.
    pub max_in_flight: u32,
    /// Largest output taken.
    pub max_output_bytes: u64,
    /// How long the server may take for its half of the greeting and for the rest of a reply.
    pub patience: Patience,
}

impl Default for ClientSettings {
    fn default() -> Self {
        let limits = Limits::default();
        Self {
            max_in_flight: limits.max_in_flight,
            max_output_bytes: limits.max_output_bytes,
            patience: Patience::default(),
        }
    }
}

/// A call to send.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Which function of the tenant.
    pub function: &'a str,
    /// What it gets.
    pub input: Bytes,
    /// The way in.
    pub mode: Mode,
    /// 1 for the first attempt.
    pub attempt: u32,
    /// When nobody waits any more.
    pub deadline: Option<Instant>,
}

/// A request for state to send.
#[derive(Clone, Debug)]
pub struct StateAsk<'a> {
    /// Of which value.
    pub key: &'a str,
    /// What is asked.
    pub op: StateOp,
    /// What goes with it.
    pub payload: Bytes,
    /// When nobody waits any more.
    pub deadline: Option<Instant>,
}

/// Why a call was not sent. Nothing of it has left.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The connection takes no calls now: not welcomed yet, or told to go away.
    #[error("the connection takes no calls now")]
    Closed,
    /// As many calls or bytes are in flight as may be; wait for a reply.
    #[error("as many calls or input bytes are in flight as the connection allows")]
    Full,
    /// The input is over the server's limit.
    #[error("the input has {found_bytes} bytes, the server takes {limit_bytes}")]
    InputTooLarge {
        /// The server's limit.
        limit_bytes: u64,
        /// The input's length.
        found_bytes: u64,
    },
    /// Longer than a key may be.
    #[error("expected a key of at most {MAX_KEY_BYTES} bytes, found one of {found}")]
    KeyTooLong {
        /// Its length.
        found: usize,
    },
    /// The server is of a release that knows no requests for state.
    #[error(
        "the server speaks protocol version {version}, requests for state begin with {STATE_VERSION}: upgrade it"
    )]
    NoState {
        /// What it speaks.
        version: u16,
    },
    /// Not a name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// The deadline has passed already.
    #[error("the deadline had passed before the call was sent")]
    Deadline,
}

/// What happened on a connection.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEvent {
    /// The server lets us in: calls can be sent.
    Welcome {
        /// Protocol version that both speak.
        version: u16,
        /// Who we are by our credential.
        tenant: String,
        /// What the server grants.
        limits: Limits,
    },
    /// A call has its answer. Cancelled calls have none.
    Reply {
        /// The id that [`ClientSession::call`] gave.
        id: u64,
        /// The answer.
        reply: Reply,
    },
    /// A request for state has its answer; one that was not run has a [`ClientEvent::Reply`].
    State {
        /// The id that [`ClientSession::state`] gave.
        id: u64,
        /// The answer.
        reply: StateReply,
    },
    /// The server takes no new calls; those in flight will still be answered.
    GoAway {
        /// Why.
        reason: String,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Greeting { until: Instant },
    Open,
    Leaving,
}

#[derive(Debug)]
struct InFlight {
    deadline: Option<Instant>,
    input_bytes: u64,
    /// False when its answer, if it comes, is for nobody.
    wanted: bool,
    /// The payload that is still arriving, and the reply that it belongs to.
    arriving: Option<(Assembly, Answer)>,
    is_state: bool,
}

/// An answer of either kind.
#[derive(Debug)]
enum Answer {
    Call(Reply),
    State(StateReply),
}

impl Answer {
    fn with_payload(self, payload: Bytes) -> Self {
        match self {
            Self::Call(reply) => Self::Call(Reply { payload, ..reply }),
            Self::State(reply) => Self::State(StateReply { payload, ..reply }),
        }
    }

    fn event(self, id: u64) -> ClientEvent {
        match self {
            Self::Call(reply) => ClientEvent::Reply { id, reply },
            Self::State(reply) => ClientEvent::State { id, reply },
        }
    }
}

/// The client's end of one connection. See the module.
#[derive(Debug)]
pub struct ClientSession {
    settings: ClientSettings,
    /// What the server grants, once it has said so.
    limits: Limits,
    /// What both speak, once the server has said so.
    version: u16,
    stage: Stage,
    decoder: Decoder,
    outgoing: Outgoing,
    events: VecDeque<ClientEvent>,
    in_flight: HashMap<u64, InFlight>,
    /// Invariant: deadlines of the wanted calls in flight.
    deadlines: Deadlines,
    last_id: u64,
    /// Invariant: sum of `input_bytes` over `in_flight`.
    inputs_bytes: u64,
    /// Invariant: how many of `in_flight` are still arriving.
    arriving: usize,
    last_received: Instant,
}

impl ClientSession {
    /// The client's end of a connection that was made at `now`; it says hello with `token`.
    pub fn new(now: Instant, settings: ClientSettings, token: &[u8]) -> Self {
        let mut outgoing = Outgoing::default();
        let hello = HelloHead { oldest_version: OLDEST_VERSION, newest_version: NEWEST_VERSION };
        outgoing.push(Kind::Hello, &hello, 0, Bytes::copy_from_slice(token));
        Self {
            settings,
            limits: Limits::default(),
            version: NEWEST_VERSION,
            stage: Stage::Greeting { until: now + settings.patience.greeting },
            decoder: Decoder::default(),
            outgoing,
            events: VecDeque::new(),
            in_flight: HashMap::new(),
            deadlines: Deadlines::default(),
            last_id: 0,
            inputs_bytes: 0,
            arriving: 0,
            last_received: now,
        }
    }

    /// Sends a call and gives its id, or says why it was not sent.
    pub fn call(&mut self, now: Instant, request: Request<'_>) -> Result<u64, NotSent> {
        let found = request.function.len();
        if found == 0 || found > MAX_NAME_BYTES {
            return Err(InvalidName { found }.into());
        }
        let input_bytes = request.input.len() as u64;
        let deadline_us = self.check(now, input_bytes, request.deadline)?;
        let id = self.begin(input_bytes, request.deadline, false);
        let Request { function, input, mode, attempt, .. } = request;
        let head = CallHead { id, input_bytes, deadline_us, attempt, mode: mode as u8, function };
        self.outgoing.push(Kind::Call, &head, id, input);
        Ok(id)
    }

    /// Sends a request for state and gives its id, or says why it was not sent.
    pub fn state(&mut self, now: Instant, ask: StateAsk<'_>) -> Result<u64, NotSent> {
        let StateAsk { key, op, payload, deadline } = ask;
        if key.len() > MAX_KEY_BYTES {
            return Err(NotSent::KeyTooLong { found: key.len() });
        }
        let payload_bytes = payload.len() as u64;
        let deadline_us = self.check(now, payload_bytes, deadline)?;
        if self.version < STATE_VERSION {
            return Err(NotSent::NoState { version: self.version });
        }
        let id = self.begin(payload_bytes, deadline, true);
        let head = StateHead { id, payload_bytes, deadline_us, op, key };
        self.outgoing.push(Kind::State, &head, id, payload);
        Ok(id)
    }

    /// Counts a call as in flight; its id.
    fn begin(&mut self, input_bytes: u64, deadline: Option<Instant>, is_state: bool) -> u64 {
        self.last_id += 1;
        self.deadlines.insert(deadline, self.last_id);
        self.inputs_bytes += input_bytes;
        let arriving = None;
        let in_flight = InFlight { deadline, input_bytes, wanted: true, arriving, is_state };
        self.in_flight.insert(self.last_id, in_flight);
        self.last_id
    }

    /// True when a call with an input of this size would be sent now.
    pub fn has_room(&self, input_bytes: u64) -> bool {
        let max_in_flight = self.settings.max_in_flight.min(self.limits.max_in_flight);
        self.stage == Stage::Open
            && self.in_flight.len() < max_in_flight as usize
            && self.inputs_bytes + input_bytes <= self.limits.max_inputs_bytes
    }

    /// Takes a call back: its answer will not be told.
    pub fn cancel(&mut self, id: u64) {
        let Some(in_flight) = self.in_flight.get_mut(&id) else { return };
        if !std::mem::take(&mut in_flight.wanted) {
            return;
        }
        self.deadlines.remove(in_flight.deadline, id);
        if let Some((assembly, _)) = &mut in_flight.arriving {
            // The answer is under way: nothing is left to take back.
            assembly.discard();
            return;
        }
        self.outgoing.drop_bulk(id);
        self.outgoing.push(Kind::Cancel, &IdHead { id }, id, Bytes::new());
    }

    /// Takes received bytes. After an error, end the connection with it.
    pub fn handle_bytes(&mut self, now: Instant, chunk: Bytes) -> Result<(), Close> {
        self.last_received = now;
        self.decoder.push(chunk);
        while let Some(frame) = self.decoder.next_frame()? {
            self.handle_frame(&frame)?;
        }
        Ok(())
    }

    /// A client always reads: what it reads it has asked for.
    #[allow(clippy::unused_self)] // As the server's.
    pub fn wants_bytes(&self) -> bool {
        true
    }

    /// The next bytes to send, if there are any.
    pub fn poll_transmit(&mut self, _now: Instant) -> Option<Bytes> {
        self.outgoing.poll()
    }

    /// What happened and was not told yet.
    pub fn poll_event(&mut self) -> Option<ClientEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due; it may be called earlier.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let Stage::Greeting { until } = self.stage {
            return Some(until);
        }
        let stall = self.settings.patience.stall;
        let receiving = self.is_mid_receive().then(|| self.last_received + stall);
        [receiving, self.deadlines.next()].into_iter().flatten().min()
    }

    /// Does what is due. After an error, end the connection with it.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Close> {
        let patience = self.settings.patience;
        if let Stage::Greeting { until } = self.stage
            && until <= now
        {
            let reason = format!("expected a welcome within {:?}, found none", patience.greeting);
            return Err(Close::new(CloseCode::Stalled, reason));
        }
        while let Some(id) = self.deadlines.pop_expired(now) {
            self.cancel(id);
            let reply = Reply::new(Outcome::TimedOut, Bytes::new());
            self.events.push_back(ClientEvent::Reply { id, reply });
        }
        if self.is_mid_receive() && self.last_received + patience.stall <= now {
            let reason = format!("expected the rest of a reply within {:?}", patience.stall);
            return Err(Close::new(CloseCode::Stalled, reason));
        }
        Ok(())
    }

    /// Calls that have no reply yet, cancelled ones among them.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// True when the server told us to go away and nothing is in flight.
    pub fn is_drained(&self) -> bool {
        self.stage == Stage::Leaving && self.in_flight.is_empty() && self.outgoing.is_empty()
    }

    fn is_mid_receive(&self) -> bool {
        self.decoder.is_mid_frame() || self.arriving > 0
    }

    /// Microseconds left to the deadline, 0 for none, or why the call is not sent.
    fn check(
        &self,
        now: Instant,
        found_bytes: u64,
        deadline: Option<Instant>,
    ) -> Result<u64, NotSent> {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(now));
        if left.is_some_and(|left| left.is_zero()) {
            return Err(NotSent::Deadline);
        }
        if self.stage != Stage::Open {
            return Err(NotSent::Closed);
        }
        if found_bytes > self.limits.max_input_bytes {
            let limit_bytes = self.limits.max_input_bytes;
            return Err(NotSent::InputTooLarge { limit_bytes, found_bytes });
        }
        if !self.has_room(found_bytes) {
            return Err(NotSent::Full);
        }
        Ok(left.map_or(0, |left| (left.as_micros() as u64).max(1)))
    }

    fn handle_frame(&mut self, frame: &Frame) -> Result<(), Close> {
        match (&self.stage, frame.kind) {
            (Stage::Greeting { .. }, Kind::Welcome) => self.handle_welcome(frame),
            (Stage::Open | Stage::Leaving, Kind::Reply) => self.handle_reply(frame),
            (Stage::Open | Stage::Leaving, Kind::StateReply) => self.handle_state_reply(frame),
            (Stage::Open | Stage::Leaving, Kind::Data) => self.handle_data(frame),
            (Stage::Open | Stage::Leaving, Kind::GoAway) => {
                self.stage = Stage::Leaving;
                let reason = String::from_utf8_lossy(&frame.payload).into_owned();
                self.events.push_back(ClientEvent::GoAway { reason });
                Ok(())
            }
            (Stage::Greeting { .. }, kind) => violation!("expected a welcome, found {kind:?}"),
            (_, kind) => violation!("expected a reply, data or goaway frame, found {kind:?}"),
        }
    }

    fn handle_welcome(&mut self, frame: &Frame) -> Result<(), Close> {
        let head = head::read::<ArchivedWelcomeHead<'_>>(frame.kind, &frame.head)?;
        let version = head.version.to_native();
        if !(OLDEST_VERSION..=NEWEST_VERSION).contains(&version) {
            let reason = format!(
                "this client speaks protocol versions {OLDEST_VERSION} to {NEWEST_VERSION}, the \
                 server chose {version}: upgrade the older one"
            );
            return Err(Close::new(CloseCode::Version, reason));
        }
        self.limits = Limits {
            max_in_flight: head.max_in_flight.to_native(),
            max_input_bytes: head.max_input_bytes.to_native(),
            max_output_bytes: head.max_output_bytes.to_native(),
            max_inputs_bytes: head.max_inputs_bytes.to_native(),
            max_unread_bytes: head.max_unread_bytes.to_native(),
        };
        (self.version, self.stage) = (version, Stage::Open);
        let (tenant, limits) = (head.tenant.to_string(), self.limits);
        self.events.push_back(ClientEvent::Welcome { version, tenant, limits });
        Ok(())
    }

    fn handle_reply(&mut self, frame: &Frame) -> Result<(), Close> {
        let head = head::read::<ArchivedReplyHead>(frame.kind, &frame.head)?;
        let (id, payload_bytes) = (head.id.to_native(), head.payload_bytes.to_native());
        let (outcome, refusal, detail) = (head.outcome, head.refusal, head.detail.to_native());
        let Some(outcome) = head::outcome_from_wire(outcome, refusal, detail) else {
            return violation!("expected an outcome, found {outcome} {refusal} {detail}");
        };
        let timings = Timings {
            queue: Duration::from_nanos(head.queue_ns.to_native()),
            run: Duration::from_nanos(head.run_ns.to_native()),
        };
        let reply = Reply { outcome, payload: Bytes::new(), timings };
        self.take_reply(id, payload_bytes, frame, Answer::Call(reply))
    }

    fn handle_state_reply(&mut self, frame: &Frame) -> Result<(), Close> {
        let head = head::read::<ArchivedStateReplyHead>(frame.kind, &frame.head)?;
        let (id, payload_bytes) = (head.id.to_native(), head.payload_bytes.to_native());
        if !self.in_flight.get(&id).is_some_and(|call| call.is_state) {
            return violation!("expected a reply to a request for state, found one to {id}");
        }
        let reply = StateReply::new(head::owned(frame.kind, &head.answer)?);
        self.take_reply(id, payload_bytes, frame, Answer::State(reply))
    }

    fn take_reply(
        &mut self,
        id: u64,
        payload_bytes: u64,
        frame: &Frame,
        answer: Answer,
    ) -> Result<(), Close> {
        if payload_bytes > self.settings.max_output_bytes {
            let limit = self.settings.max_output_bytes;
            return violation!("expected at most {limit} bytes of output, found {payload_bytes}");
        }
        let whole = check_announced(id, payload_bytes, &frame.payload)?;
        self.outgoing.drop_bulk(id);
        let Some(in_flight) = self.in_flight.get_mut(&id).filter(|call| call.arriving.is_none())
        else {
            return violation!("expected a reply to a call in flight, found one to {id}");
        };
        if whole {
            self.finish(id, answer.with_payload(frame.payload.clone()));
            return Ok(());
        }
        let mut assembly = Assembly::new(payload_bytes);
        if !in_flight.wanted {
            assembly.discard();
        }
        in_flight.arriving = Some((assembly, answer));
        self.arriving += 1;
        Ok(())
    }

    fn handle_data(&mut self, frame: &Frame) -> Result<(), Close> {
        let id = head::read::<ArchivedIdHead>(frame.kind, &frame.head)?.id.to_native();
        let in_flight = self.in_flight.get_mut(&id).filter(|call| call.arriving.is_some());
        let Some(InFlight { arriving, .. }) = in_flight else {
            return violation!("expected data of a reply, found it for call {id}");
        };
        let whole = match arriving {
            Some((assembly, _)) => assembly.push(id, &frame.payload)?,
            None => None,
        };
        if let Some(payload) = whole
            && let Some((_, answer)) = arriving.take()
        {
            self.arriving -= 1;
            self.finish(id, answer.with_payload(payload));
        }
        Ok(())
    }

    fn finish(&mut self, id: u64, answer: Answer) {
        let Some(in_flight) = self.in_flight.remove(&id) else { return };
        self.inputs_bytes -= in_flight.input_bytes;
        if in_flight.wanted {
            self.deadlines.remove(in_flight.deadline, id);
            self.events.push_back(answer.event(id));
        }
    }
}
