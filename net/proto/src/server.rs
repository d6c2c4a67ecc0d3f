//! The server's end of one connection.
//!
//! ```text
//!            hello               welcome()              go_away()
//!  Greeting ───────► Judging ───────────────► Open ───────────────► Leaving
//!     │ too late        │ the owner ends           │ idle, stalled       │ no call in flight:
//!     ▼                 ▼ the connection           ▼                     ▼ `is_drained`
//!  Close             Close                      Close                 Close
//! ```
//!
//! A call is *in flight* from its call frame to its reply. It counts against the limits from its
//! first frame, so a call whose input was admitted can always be completed: the budget is never
//! held by calls that wait for one another.

use crate::assembly::Assembly;
use crate::call::{Call, Mode, Name, Outcome, Refusal, Reply};
use crate::close::{Close, CloseCode, violation};
use crate::deadlines::Deadlines;
use crate::head::{self, ArchivedCallHead, ArchivedHelloHead, ArchivedIdHead, ArchivedStateHead};
use crate::head::{ReplyHead, StateReplyHead, WelcomeHead};
use crate::limits::{
    Limits, MAX_FRAGMENT_BYTES, MAX_KEY_BYTES, MAX_REASON_BYTES, MAX_TOKEN_BYTES, Patience,
};
use crate::outgoing::Outgoing;
use crate::state::{StateReply, StateRequest};
use crate::wire::{Decoder, Frame, Kind};
use crate::{NEWEST_VERSION, OLDEST_VERSION, STATE_VERSION};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Nothing more is read from a connection that has this many bytes of small replies to read.
pub const PAUSE_READING_BYTES: usize = 1 << 20;
/// What a caller is told to wait when the connection's own limits are reached.
pub const RETRY_AFTER_MS: u32 = 10;

/// What a server session is set up with.
#[derive(Clone, Copy, Debug, Default)]
pub struct ServerSettings {
    /// What the connection may use.
    pub limits: Limits,
    /// How long the other end may take.
    pub patience: Patience,
}

/// What happened on a connection.
#[derive(Debug)]
pub enum ServerEvent {
    /// The client said hello: answer with [`ServerSession::welcome`], or end the connection with
    /// [`CloseCode::Unauthorised`].
    Hello {
        /// Its credential.
        token: Bytes,
    },
    /// A call is complete: answer it with [`ServerSession::reply`].
    Call {
        /// Its id on this connection.
        id: u64,
        /// The call.
        call: Call,
    },
    /// A request for state is complete: answer it with [`ServerSession::state_reply`].
    State {
        /// Its id among the calls of this connection.
        id: u64,
        /// The request.
        request: StateRequest,
    },
    /// A call that was given out has been answered already; a reply to it is dropped.
    Cancelled {
        /// Its id on this connection.
        id: u64,
        /// Why.
        why: CancelReason,
    },
}

/// Why nobody waits for a call any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CancelReason {
    /// The caller said so.
    Caller,
    /// Its deadline passed.
    Deadline,
    /// The connection ended.
    Disconnected,
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Greeting { until: Instant },
    Judging,
    Open,
    Leaving,
}

#[derive(Debug)]
struct InFlight {
    deadline: Option<Instant>,
    input_bytes: u64,
    /// The input that is still arriving, and the call that it belongs to.
    arriving: Option<(Assembly, Asked)>,
}

/// What a caller asks for.
#[derive(Debug)]
enum Asked {
    Call(Call),
    State(StateRequest),
}

impl Asked {
    fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Call(call) => call.deadline,
            Self::State(request) => request.deadline,
        }
    }

    /// With its payload, which is whole.
    fn complete(self, id: u64, payload: Bytes) -> ServerEvent {
        match self {
            Self::Call(call) => ServerEvent::Call { id, call: Call { input: payload, ..call } },
            Self::State(request) => {
                ServerEvent::State { id, request: StateRequest { payload, ..request } }
            }
        }
    }
}

/// The server's end of one connection. See the module.
#[derive(Debug)]
pub struct ServerSession {
    settings: ServerSettings,
    /// What both speak, once the client has said hello.
    version: u16,
    stage: Stage,
    decoder: Decoder,
    outgoing: Outgoing,
    events: VecDeque<ServerEvent>,
    in_flight: HashMap<u64, InFlight>,
    deadlines: Deadlines,
    /// Invariant: every id seen so far is at most this.
    last_id: u64,
    /// Invariant: sum of `input_bytes` over `in_flight`.
    inputs_bytes: u64,
    /// Invariant: how many of `in_flight` are still arriving.
    arriving: usize,
    last_received: Instant,
    last_sent: Instant,
}

impl ServerSession {
    /// The server's end of a connection that was made at `now`.
    pub fn new(now: Instant, settings: ServerSettings) -> Self {
        Self {
            settings,
            version: NEWEST_VERSION,
            stage: Stage::Greeting { until: now + settings.patience.greeting },
            decoder: Decoder::default(),
            outgoing: Outgoing::default(),
            events: VecDeque::new(),
            in_flight: HashMap::new(),
            deadlines: Deadlines::default(),
            last_id: 0,
            inputs_bytes: 0,
            arriving: 0,
            last_received: now,
            last_sent: now,
        }
    }

    /// Takes received bytes. After an error, end the connection with it.
    pub fn handle_bytes(&mut self, now: Instant, chunk: Bytes) -> Result<(), Close> {
        self.last_received = now;
        self.decoder.push(chunk);
        while let Some(frame) = self.decoder.next_frame()? {
            self.handle_frame(now, frame)?;
        }
        Ok(())
    }

    /// False while the client must read replies before more is read from it.
    pub fn wants_bytes(&self) -> bool {
        self.outgoing.gathered_bytes() < PAUSE_READING_BYTES
            && self.outgoing.queued_bytes() < self.settings.limits.max_unread_bytes
    }

    /// The next bytes to send, if there are any.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        let bytes = self.outgoing.poll()?;
        self.last_sent = now;
        Some(bytes)
    }

    /// What happened and was not told yet.
    pub fn poll_event(&mut self) -> Option<ServerEvent> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due; it may be called earlier.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let patience = &self.settings.patience;
        if let Stage::Greeting { until } = self.stage {
            return Some(until);
        }
        let idle = self.is_idle().then(|| self.last_received + patience.idle);
        let receiving = self.is_mid_receive().then(|| self.last_received + patience.stall);
        let sending = (!self.outgoing.is_empty()).then(|| self.last_sent + patience.stall);
        [idle, receiving, sending, self.deadlines.next()].into_iter().flatten().min()
    }

    /// Does what is due. After an error, end the connection with it.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Close> {
        let patience = self.settings.patience;
        while let Some(id) = self.deadlines.pop_expired(now) {
            self.expire(now, id);
        }
        if let Stage::Greeting { until } = self.stage
            && until <= now
        {
            let reason = format!("expected a hello within {:?}, found none", patience.greeting);
            return Err(Close::new(CloseCode::Stalled, reason));
        }
        if self.is_mid_receive() && self.last_received + patience.stall <= now {
            let reason = format!("expected the rest of a call within {:?}", patience.stall);
            return Err(Close::new(CloseCode::Stalled, reason));
        }
        if !self.outgoing.is_empty() && self.last_sent + patience.stall <= now {
            let reason = format!("expected replies to be read within {:?}", patience.stall);
            return Err(Close::new(CloseCode::Stalled, reason));
        }
        if self.is_idle() && self.last_received + patience.idle <= now {
            let reason = format!("no call for {:?}; connect again when needed", patience.idle);
            return Err(Close::new(CloseCode::Idle, reason));
        }
        Ok(())
    }

    /// Lets the client in as `tenant`, after [`ServerEvent::Hello`].
    pub fn welcome(&mut self, now: Instant, tenant: &str) {
        debug_assert_eq!(self.stage, Stage::Judging, "welcome answers a hello");
        self.stage = Stage::Open;
        let limits = &self.settings.limits;
        let head = WelcomeHead {
            version: self.version,
            max_in_flight: limits.max_in_flight,
            max_input_bytes: limits.max_input_bytes,
            max_output_bytes: limits.max_output_bytes,
            max_inputs_bytes: limits.max_inputs_bytes,
            max_unread_bytes: limits.max_unread_bytes,
            tenant,
        };
        self.mark_sending(now);
        self.outgoing.push(Kind::Welcome, &head, 0, Bytes::new());
    }

    /// Answers a call. False if it was answered before (cancelled, or its deadline passed).
    pub fn reply(&mut self, now: Instant, id: u64, reply: Reply) -> bool {
        if !self.forget(id) {
            return false;
        }
        self.send_reply(now, id, reply);
        true
    }

    /// Answers a request for state. False if it was answered before.
    pub fn state_reply(&mut self, now: Instant, id: u64, reply: StateReply) -> bool {
        if !self.forget(id) {
            return false;
        }
        let payload_bytes = reply.payload.len() as u64;
        if let Some(message) = self.over_limits(payload_bytes) {
            self.send_reply(now, id, Reply::new(Outcome::Lost, message));
            return true;
        }
        let head = StateReplyHead { id, payload_bytes, answer: reply.answer };
        self.mark_sending(now);
        self.outgoing.push(Kind::StateReply, &head, id, reply.payload);
        true
    }

    /// Tells a client that was welcomed to take new calls elsewhere; those in flight are still
    /// answered.
    pub fn go_away(&mut self, now: Instant, reason: &str) {
        if self.stage == Stage::Open {
            let reason = &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)];
            self.mark_sending(now);
            self.outgoing.push_bare(Kind::GoAway, reason.as_bytes());
            self.stage = Stage::Leaving;
        }
    }

    /// Calls that have no reply yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// True when it was told to go away, and nothing is in flight or left to send.
    pub fn is_drained(&self) -> bool {
        self.stage == Stage::Leaving && self.in_flight.is_empty() && self.outgoing.is_empty()
    }

    /// Ids of the calls that were given out and have no reply, for when the connection is lost.
    pub fn given_out(&self) -> impl Iterator<Item = u64> {
        self.in_flight.iter().filter(|(_, call)| call.arriving.is_none()).map(|(id, _)| *id)
    }

    fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.outgoing.is_empty()
    }

    fn is_mid_receive(&self) -> bool {
        self.decoder.is_mid_frame() || self.arriving > 0
    }

    fn mark_sending(&mut self, now: Instant) {
        if self.outgoing.is_empty() {
            self.last_sent = now;
        }
    }

    fn handle_frame(&mut self, now: Instant, frame: Frame) -> Result<(), Close> {
        match (&self.stage, frame.kind) {
            (Stage::Greeting { .. }, Kind::Hello) => self.handle_hello(frame),
            (Stage::Open | Stage::Leaving, Kind::Call) => self.handle_call(now, &frame),
            (Stage::Open | Stage::Leaving, Kind::State) if self.version >= STATE_VERSION => {
                self.handle_state(now, &frame)
            }
            (Stage::Open | Stage::Leaving, Kind::Data) => self.handle_data(&frame),
            (Stage::Open | Stage::Leaving, Kind::Cancel) => self.handle_cancel(now, &frame),
            (Stage::Greeting { .. }, kind) => violation!("expected a hello, found {kind:?}"),
            (Stage::Judging, kind) => violation!("expected to wait for the welcome: {kind:?}"),
            (_, kind) => violation!("expected a call, data or cancel frame, found {kind:?}"),
        }
    }

    fn handle_hello(&mut self, frame: Frame) -> Result<(), Close> {
        let hello = head::read::<ArchivedHelloHead>(frame.kind, &frame.head)?;
        let (oldest, newest) = (hello.oldest_version.to_native(), hello.newest_version.to_native());
        if newest < OLDEST_VERSION || oldest > NEWEST_VERSION {
            let reason = format!(
                "this server speaks protocol versions {OLDEST_VERSION} to {NEWEST_VERSION}, the \
                 client {oldest} to {newest}: upgrade the older one"
            );
            return Err(Close::new(CloseCode::Version, reason));
        }
        if frame.payload.len() > MAX_TOKEN_BYTES {
            let found = frame.payload.len();
            return violation!("expected a token of at most {MAX_TOKEN_BYTES} bytes: {found}");
        }
        self.version = newest.min(NEWEST_VERSION);
        self.stage = Stage::Judging;
        self.events.push_back(ServerEvent::Hello { token: frame.payload });
        Ok(())
    }

    fn handle_call(&mut self, now: Instant, frame: &Frame) -> Result<(), Close> {
        let head = head::read::<ArchivedCallHead<'_>>(frame.kind, &frame.head)?;
        let (id, input_bytes) = (head.id.to_native(), head.input_bytes.to_native());
        let Some(mode) = Mode::from_u8(head.mode) else {
            return violation!("expected mode 0, 1 or 2, found {}", head.mode);
        };
        let function = Name::new(frame.head.slice_ref(head.function.as_bytes()))
            .map_err(|error| Close::new(CloseCode::Protocol, error.to_string()))?;
        let deadline = deadline(now, head.deadline_us.to_native());
        let (input, attempt) = (Bytes::new(), head.attempt.to_native());
        let call = Call { function, input, mode, attempt, deadline };
        self.admit(now, id, input_bytes, frame, Asked::Call(call))
    }

    fn handle_state(&mut self, now: Instant, frame: &Frame) -> Result<(), Close> {
        let head = head::read::<ArchivedStateHead<'_>>(frame.kind, &frame.head)?;
        let (id, payload_bytes) = (head.id.to_native(), head.payload_bytes.to_native());
        if head.key.len() > MAX_KEY_BYTES {
            let found = head.key.len();
            return violation!("expected a key of at most {MAX_KEY_BYTES} bytes, found {found}");
        }
        let request = StateRequest {
            key: head.key.to_string(),
            op: head::owned(frame.kind, &head.op)?,
            payload: Bytes::new(),
            deadline: deadline(now, head.deadline_us.to_native()),
        };
        self.admit(now, id, payload_bytes, frame, Asked::State(request))
    }

    fn admit(
        &mut self,
        now: Instant,
        id: u64,
        input_bytes: u64,
        frame: &Frame,
        asked: Asked,
    ) -> Result<(), Close> {
        if id <= self.last_id {
            return violation!("expected a call id over {}, found {id}", self.last_id);
        }
        let whole = check_announced(id, input_bytes, &frame.payload)?;
        self.last_id = id;
        if let Some(refusal) = self.refusal(input_bytes) {
            self.send_reply(now, id, Reply::refused(refusal, Bytes::new()));
            return Ok(());
        }
        let deadline = asked.deadline();
        self.deadlines.insert(deadline, id);
        self.inputs_bytes += input_bytes;
        let arriving = if whole {
            self.events.push_back(asked.complete(id, frame.payload.clone()));
            None
        } else {
            self.arriving += 1;
            Some((Assembly::new(input_bytes), asked))
        };
        self.in_flight.insert(id, InFlight { deadline, input_bytes, arriving });
        Ok(())
    }

    /// Why a call with this input is not admitted.
    fn refusal(&self, input_bytes: u64) -> Option<Refusal> {
        let limits = &self.settings.limits;
        if self.stage == Stage::Leaving {
            Some(Refusal::ShuttingDown)
        } else if input_bytes > limits.max_input_bytes {
            Some(Refusal::TooLarge { limit_bytes: limits.max_input_bytes })
        } else if self.in_flight.len() >= limits.max_in_flight as usize
            || self.inputs_bytes + input_bytes > limits.max_inputs_bytes
        {
            Some(Refusal::Overloaded { retry_after_ms: RETRY_AFTER_MS })
        } else {
            None
        }
    }

    fn handle_data(&mut self, frame: &Frame) -> Result<(), Close> {
        let id = head::read::<ArchivedIdHead>(frame.kind, &frame.head)?.id.to_native();
        if id > self.last_id {
            return violation!("expected data of a call, found it for call {id} that never began");
        }
        // A call that was refused, cancelled or timed out may have data under way: dropped.
        let Some(in_flight) = self.in_flight.get_mut(&id) else { return Ok(()) };
        let Some((assembly, _)) = &mut in_flight.arriving else {
            return violation!("expected no more data for call {id}, whose input is whole");
        };
        if let Some(payload) = assembly.push(id, &frame.payload)?
            && let Some((_, asked)) = in_flight.arriving.take()
        {
            self.arriving -= 1;
            self.events.push_back(asked.complete(id, payload));
        }
        Ok(())
    }

    fn handle_cancel(&mut self, now: Instant, frame: &Frame) -> Result<(), Close> {
        let id = head::read::<ArchivedIdHead>(frame.kind, &frame.head)?.id.to_native();
        if id > self.last_id {
            return violation!("expected to cancel a call, found call {id} that never began");
        }
        self.end_early(now, id, CancelReason::Caller, Outcome::Refused(Refusal::Cancelled));
        Ok(())
    }

    fn expire(&mut self, now: Instant, id: u64) {
        let arriving = self.in_flight.get(&id).is_some_and(|call| call.arriving.is_some());
        let outcome =
            if arriving { Outcome::Refused(Refusal::Deadline) } else { Outcome::TimedOut };
        self.end_early(now, id, CancelReason::Deadline, outcome);
    }

    /// Answers a call in the owner's place, and tells the owner if it knows the call.
    fn end_early(&mut self, now: Instant, id: u64, why: CancelReason, outcome: Outcome) {
        let Some(in_flight) = self.in_flight.get(&id) else { return };
        if in_flight.arriving.is_none() {
            self.events.push_back(ServerEvent::Cancelled { id, why });
        }
        self.forget(id);
        self.send_reply(now, id, Reply::new(outcome, Bytes::new()));
    }

    fn forget(&mut self, id: u64) -> bool {
        let Some(in_flight) = self.in_flight.remove(&id) else { return false };
        self.deadlines.remove(in_flight.deadline, id);
        self.inputs_bytes -= in_flight.input_bytes;
        self.arriving -= usize::from(in_flight.arriving.is_some());
        true
    }

    fn send_reply(&mut self, now: Instant, id: u64, reply: Reply) {
        let reply = self.within_limits(reply);
        let (outcome, refusal, detail) = head::outcome_to_wire(reply.outcome);
        let head = ReplyHead {
            id,
            payload_bytes: reply.payload.len() as u64,
            queue_ns: reply.timings.queue.as_nanos() as u64,
            run_ns: reply.timings.run.as_nanos() as u64,
            outcome,
            refusal,
            detail,
        };
        self.mark_sending(now);
        self.outgoing.push(Kind::Reply, &head, id, reply.payload);
    }

    /// The reply, or what is said in its place when it cannot be kept.
    fn within_limits(&self, reply: Reply) -> Reply {
        match self.over_limits(reply.payload.len() as u64) {
            None => reply,
            Some(message) => {
                Reply { outcome: Outcome::Lost, payload: message.into(), timings: reply.timings }
            }
        }
    }

    /// Why so many bytes of an answer cannot be kept.
    fn over_limits(&self, bytes: u64) -> Option<String> {
        let limits = &self.settings.limits;
        let queued = self.outgoing.queued_bytes();
        if bytes > limits.max_output_bytes {
            let limit = limits.max_output_bytes;
            return Some(format!("the output has {bytes} bytes, the limit is {limit}"));
        }
        let unread = bytes > MAX_FRAGMENT_BYTES as u64 && queued + bytes > limits.max_unread_bytes;
        unread.then(|| {
            format!(
                "the output of {bytes} bytes was dropped: {queued} bytes of replies were not read \
                 yet and the limit is {}; read faster or have fewer calls in flight",
                limits.max_unread_bytes
            )
        })
    }
}

/// When the time that a caller has left is over; 0 is no deadline.
fn deadline(now: Instant, left_us: u64) -> Option<Instant> {
    (left_us > 0).then(|| now.checked_add(Duration::from_micros(left_us)))?
}

/// True if the payload is whole; false if it follows in data frames.
pub(crate) fn check_announced(id: u64, announced: u64, payload: &Bytes) -> Result<bool, Close> {
    let found = payload.len() as u64;
    if announced == found {
        return Ok(true);
    }
    if found == 0 && announced > MAX_FRAGMENT_BYTES as u64 {
        return Ok(false);
    }
    violation!("expected {announced} bytes with call {id}, as its head says, found {found}")
}
