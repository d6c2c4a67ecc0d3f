//! One end of a connection between two monitors.
//!
//! ```text
//!              opener's: hello sent ──── welcome ────┐
//!  Greeting ──┤                                      ├──► Open ──► no new requests
//!     │        acceptor's: hello ──► Judging ────────┘             (`go_away` of either end)
//!     │ too late                       │ the owner ends   │ stalled     │ nothing in flight:
//!     ▼                                ▼ the connection   ▼             ▼ `is_drained`
//!  Close                             Close              Close         Close
//! ```
//!
//! `T` is what the owner knows a request by, such as the callback that wants its response: it goes
//! in with the request and comes out with the response.

mod receive;

use super::asked::{Asked, Failure, NotAsked, PeerResponse, Waiting};
use super::greeting::Greeting;
use super::limits::{MAX_DEADLINE, MAX_HEAD_BYTES, MAX_UNREAD_BYTES, PeerLimits};
use super::outgoing::Outgoing;
use super::served::{PeerRequest, Served};
use super::wire::{Decoder, Header, Kind};
use super::{HostId, OLDEST_VERSION};
use crate::CancelReason;
use crate::close::{Close, CloseCode};
use crate::limits::{MAX_REASON_BYTES, Patience};
use bytes::Bytes;
pub(super) use receive::Assembly;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How a request ended, on the wire. The numbers are frozen.
mod status {
    pub(super) const ANSWERED: u8 = 0;
    pub(super) const REFUSED: u8 = 1;
    pub(super) const TIMED_OUT: u8 = 2;
    pub(super) const CANCELLED: u8 = 3;
    pub(super) const NO_RESPONSE: u8 = 4;
}

/// What a session is set up with.
#[derive(Clone, Copy, Debug, Default)]
pub struct PeerSettings {
    /// What this end takes.
    pub limits: PeerLimits,
    /// How long the other end may take. Nobody is told to go for being idle.
    pub patience: Patience,
    /// A digest of the list of hosts, which must be the same at both ends; 0 for none.
    pub hosts: u64,
}

/// What happened on a connection.
#[derive(Debug)]
pub enum PeerEvent<T> {
    /// For the acceptor: the other end says that it is this host. Check it, then answer with
    /// [`PeerSession::welcome`] or end the connection.
    Hello {
        /// Who it says it is.
        host: HostId,
    },
    /// For the opener: it was let in, requests can be sent.
    Welcome {
        /// Who the other end says it is; check it.
        host: HostId,
    },
    /// A request is complete: answer it with [`PeerSession::respond`] or one of its kind.
    Request {
        /// Its id on this connection.
        id: u64,
        /// The request.
        request: PeerRequest,
    },
    /// A request that was given out has been answered already; a response to it is dropped.
    Cancelled {
        /// Its id on this connection.
        id: u64,
        /// Why.
        why: CancelReason,
    },
    /// A request of ours has ended. One that was cancelled has no such event.
    Response {
        /// What came in with the request.
        tag: T,
        /// From the request to this.
        took: Duration,
        /// The response, or why there is none.
        result: Result<PeerResponse, Failure>,
    },
    /// The other end takes no new requests; those in flight will still be answered.
    GoAway {
        /// Why.
        reason: String,
    },
}

#[derive(Debug, PartialEq, Eq)]
enum Stage {
    Greeting { until: Instant },
    Judging,
    Open,
}

/// When this end said that it takes no new requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    First,
    InReturn,
}

/// One end of a connection. See the module.
#[derive(Debug)]
pub struct PeerSession<T> {
    host: HostId,
    settings: PeerSettings,
    /// What the other end takes, once it has said so.
    theirs: PeerLimits,
    opener: bool,
    stage: Stage,
    /// This end said, or was told, that there are no new requests.
    leaving: bool,
    /// This end has said that it takes no new requests; the first of both to say so ends it.
    said: Option<Said>,
    /// The other end has said so.
    told: bool,
    decoder: Decoder,
    outgoing: Outgoing,
    events: VecDeque<PeerEvent<T>>,
    asked: Asked<T>,
    served: Served,
    /// Invariant: bytes of all payloads that have arrived in part and are kept.
    assembled_bytes: u64,
    /// Invariant: payloads that have arrived in part, kept or not, and are waited for.
    arriving: usize,
    last_received: Instant,
    last_sent: Instant,
}

impl<T> PeerSession<T> {
    /// The end that opened a connection at `now`; it says hello as `host`.
    pub fn open(now: Instant, settings: PeerSettings, host: HostId) -> Self {
        let mut session = Self::new(now, settings, host, true);
        session.greet(Kind::Hello);
        session
    }

    /// The end that accepted a connection at `now`, as `host`.
    pub fn accept(now: Instant, settings: PeerSettings, host: HostId) -> Self {
        Self::new(now, settings, host, false)
    }

    fn new(now: Instant, settings: PeerSettings, host: HostId, opener: bool) -> Self {
        Self {
            host,
            settings,
            theirs: PeerLimits::default(),
            opener,
            stage: Stage::Greeting { until: now + settings.patience.greeting },
            leaving: false,
            said: None,
            told: false,
            decoder: Decoder::default(),
            outgoing: Outgoing::default(),
            events: VecDeque::new(),
            asked: Asked::default(),
            served: Served::default(),
            assembled_bytes: 0,
            arriving: 0,
            last_received: now,
            last_sent: now,
        }
    }

    /// Lets the other end in, after [`PeerEvent::Hello`].
    pub fn welcome(&mut self, now: Instant) {
        debug_assert_eq!(self.stage, Stage::Judging, "welcome answers a hello");
        self.stage = Stage::Open;
        self.mark_sending(now);
        self.greet(Kind::Welcome);
    }

    /// Sends a request and gives its id, or says why it was not sent and gives the tag back.
    pub fn request(
        &mut self,
        now: Instant,
        request: PeerRequest,
        tag: T,
    ) -> Result<u64, (NotAsked, T)> {
        let left = match self.check(now, &request) {
            Ok(left) => left,
            Err(error) => return Err((error, tag)),
        };
        let PeerRequest { service, head, payload, deadline } = request;
        let id = self.asked.insert(Waiting {
            tag: Some(tag),
            deadline,
            asked_at: now,
            bytes: (head.len() + payload.len()) as u64,
            is_bulk: payload.len() > super::limits::MAX_FRAGMENT_BYTES,
            arriving: None,
        });
        let left_us = (left.as_micros() as u32).max(1);
        self.mark_sending(now);
        let header = Header { status: service.0, left_us, ..Header::new(Kind::Request, id) };
        self.outgoing.push(header, &head, payload, 0);
        Ok(id)
    }

    /// True when a request of this size, head and payload, would be sent now.
    pub fn has_room(&self, bytes: u64) -> bool {
        self.stage == Stage::Open && !self.leaving && self.asked.has_room(&self.theirs, bytes)
    }

    /// Takes a request back and gives its tag; its response will not be told.
    pub fn cancel(&mut self, now: Instant, id: u64) -> Option<T> {
        let tag = self.asked.unwant(id)?;
        if let Some(waiting) = self.asked.waiting.get_mut(&id)
            && let Some((_, _, assembly)) = &mut waiting.arriving
        {
            // The response is under way: nothing is left to take back.
            self.assembled_bytes -= assembly.discard();
            return Some(tag);
        }
        self.outgoing.drop_bulk(Kind::RequestData, id);
        self.mark_sending(now);
        self.outgoing.push(Header::new(Kind::Cancel, id), &[], Bytes::new(), 0);
        Some(tag)
    }

    /// The id of the request with a tag like this. Looks at all of them.
    pub fn find(&self, mut like: impl FnMut(&T) -> bool) -> Option<u64> {
        let mut waiting = self.asked.waiting.iter();
        let found = waiting.find(|(_, waiting)| waiting.tag.as_ref().is_some_and(&mut like));
        found.map(|(id, _)| *id)
    }

    /// Answers a request. False if it was answered before (cancelled, or its deadline passed).
    pub fn respond(&mut self, now: Instant, id: u64, response: PeerResponse) -> bool {
        let PeerResponse { head, payload } = response;
        let (head_bytes, bytes) = (head.len(), payload.len() as u64);
        let limit_bytes = self.theirs.max_payload_bytes();
        let unread = self.outgoing.queued_bytes();
        if head_bytes > MAX_HEAD_BYTES || bytes > limit_bytes {
            let reason = format!(
                "the response has a head of {head_bytes} and a payload of {bytes} bytes, at most \
                 {MAX_HEAD_BYTES} and {limit_bytes} can be sent"
            );
            return self.no_response(now, id, &reason);
        }
        if unread + bytes > MAX_UNREAD_BYTES {
            let reason = format!(
                "the response of {bytes} bytes was dropped: {unread} bytes were not read yet, the \
                 limit is {MAX_UNREAD_BYTES}; read faster or have fewer requests in flight"
            );
            return self.no_response(now, id, &reason);
        }
        self.answer(now, id, status::ANSWERED, &head, payload)
    }

    /// The same, ahead of all large payloads that wait: somebody stands still for it.
    pub fn respond_ahead(&mut self, now: Instant, id: u64, response: PeerResponse) -> bool {
        self.outgoing.next_goes_ahead();
        let answered = self.respond(now, id, response);
        self.outgoing.next_goes_behind();
        answered
    }

    /// Says that a request was not executed. False if it was answered before.
    pub fn refuse(&mut self, now: Instant, id: u64, reason: &str) -> bool {
        self.answer(now, id, status::REFUSED, &[], sentence(reason))
    }

    /// Says that a request was taken and has no response. False if it was answered before.
    pub fn no_response(&mut self, now: Instant, id: u64, reason: &str) -> bool {
        self.answer(now, id, status::NO_RESPONSE, &[], sentence(reason))
    }

    /// Takes no new requests and sends none; those in flight are still answered.
    pub fn go_away(&mut self, now: Instant, reason: &str) {
        if self.stage == Stage::Open && !self.leaving {
            (self.leaving, self.said) = (true, Some(Said::First));
            self.mark_sending(now);
            let header = Header::new(Kind::GoAway, 0);
            self.outgoing.push(header, &[], sentence(reason), 0);
        }
    }

    /// True when this end was the first to leave and the other has nothing in flight either: it has
    /// said so behind its last response, so nothing is lost by ending the connection.
    pub fn is_drained(&self) -> bool {
        self.said == Some(Said::First) && self.told && self.is_idle()
    }

    /// True once both ends have greeted.
    pub fn is_open(&self) -> bool {
        self.stage == Stage::Open
    }

    /// True when one end takes no new requests.
    pub fn is_leaving(&self) -> bool {
        self.leaving
    }

    /// Requests of this end's that have no response yet, cancelled ones among them.
    pub fn in_flight(&self) -> usize {
        self.asked.waiting.len()
    }

    /// Requests of the other end's that have no response, or whose response has not left yet.
    pub fn serving(&self) -> usize {
        self.served.in_flight as usize
    }

    /// Bytes of unfinished payloads that are kept.
    pub fn assembled_bytes(&self) -> u64 {
        self.assembled_bytes
    }

    /// Bytes that wait to be sent.
    pub fn queued_bytes(&self) -> u64 {
        self.outgoing.queued_bytes()
    }

    /// Ids of the requests that were given out and have no response, for when the connection ends.
    pub fn given_out(&self) -> impl Iterator<Item = u64> {
        let serving = self.served.serving.iter();
        serving.filter(|(_, serving)| serving.arriving.is_none()).map(|(id, _)| *id)
    }

    /// After the connection has ended: who waits for a response, and whether the request may have
    /// been executed.
    pub fn into_unanswered(self) -> Vec<(T, bool)> {
        let (outgoing, sent_through) = (self.outgoing, self.asked.sent_through);
        // One that goes in pieces cannot be executed before its last one has left.
        let sent = |id: u64, is_bulk: bool| match is_bulk {
            true => !outgoing.has_bulk(Kind::RequestData, id),
            false => id <= sent_through,
        };
        let told = self.events.into_iter().filter_map(|event| match event {
            PeerEvent::Response { tag, .. } => Some((tag, true)),
            _ => None,
        });
        let waiting = self
            .asked
            .waiting
            .into_iter()
            .filter_map(|(id, waiting)| Some((waiting.tag?, sent(id, waiting.is_bulk))));
        told.chain(waiting).collect()
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

    /// The next bytes to send, if there are any.
    pub fn poll_transmit(&mut self, now: Instant) -> Option<Bytes> {
        if self.told && self.said.is_none() && self.is_idle() && self.outgoing.is_empty() {
            self.said = Some(Said::InReturn);
            self.mark_sending(now);
            self.outgoing.push(Header::new(Kind::GoAway, 0), &[], Bytes::new(), 0);
        }
        let (bytes, tally) = self.outgoing.poll(self.theirs.max_assembly_bytes)?;
        self.last_sent = now;
        self.asked.sent_through = self.asked.sent_through.max(tally.requests_through);
        self.served.count_out(tally.responses, tally.answered_bytes);
        Some(bytes)
    }

    /// What happened and was not told yet.
    pub fn poll_event(&mut self) -> Option<PeerEvent<T>> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] is due; it may be called earlier.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if let Stage::Greeting { until } = self.stage {
            return Some(until);
        }
        let stall = self.settings.patience.stall;
        let receiving = self.is_mid_receive().then(|| self.last_received + stall);
        let sending = (!self.outgoing.is_empty()).then(|| self.last_sent + stall);
        let deadlines = [self.asked.deadlines.next(), self.served.deadlines.next()];
        [receiving, sending].into_iter().chain(deadlines).flatten().min()
    }

    /// Does what is due. After an error, end the connection with it.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Close> {
        let stall = self.settings.patience.stall;
        self.expire_asked(now);
        self.expire_served(now);
        if let Stage::Greeting { until } = self.stage
            && until <= now
        {
            let greeting = self.settings.patience.greeting;
            let reason = format!("expected a greeting within {greeting:?}, found none");
            return Err(Close::new(CloseCode::Stalled, reason));
        }
        if self.is_mid_receive() && self.last_received + stall <= now {
            let reason = format!("expected the rest of a frame or payload within {stall:?}");
            return Err(Close::new(CloseCode::Stalled, reason));
        }
        if !self.outgoing.is_empty() && self.last_sent + stall <= now {
            let reason = format!("expected what was sent to be read within {stall:?}");
            return Err(Close::new(CloseCode::Stalled, reason));
        }
        Ok(())
    }

    fn greet(&mut self, kind: Kind) {
        let greeting = Greeting::hello(self.host, self.settings.limits, self.settings.hosts);
        let host = Bytes::copy_from_slice(self.host.as_str().as_bytes());
        self.outgoing.push(Header::new(kind, 0), &greeting.head(), host, 0);
    }

    /// Time left to the deadline, or why the request is not sent.
    fn check(&self, now: Instant, request: &PeerRequest) -> Result<Duration, NotAsked> {
        let (head_bytes, bytes) = (request.head.len() as u64, request.payload.len() as u64);
        for (what, limit_bytes, found_bytes) in [
            ("head", MAX_HEAD_BYTES as u64, head_bytes),
            ("payload", self.theirs.max_payload_bytes(), bytes),
        ] {
            if found_bytes > limit_bytes {
                return Err(NotAsked::TooLarge { what, limit_bytes, found_bytes });
            }
        }
        let left = request.deadline.saturating_duration_since(now);
        if left.is_zero() {
            return Err(NotAsked::Deadline);
        }
        if self.stage != Stage::Open || self.leaving {
            return Err(NotAsked::Closed);
        }
        if self.has_room(head_bytes + bytes) {
            Ok(left.min(MAX_DEADLINE))
        } else {
            Err(NotAsked::Busy)
        }
    }

    fn answer(&mut self, now: Instant, id: u64, status: u8, head: &[u8], payload: Bytes) -> bool {
        let Some(serving) = self.served.remove(id) else { return false };
        if let Some((_, _, mut assembly)) = serving.arriving {
            self.arriving -= 1;
            self.assembled_bytes -= assembly.discard();
        }
        self.mark_sending(now);
        let header = Header { status, ..Header::new(Kind::Response, id) };
        self.outgoing.push(header, head, payload, serving.bytes);
        true
    }

    fn expire_asked(&mut self, now: Instant) {
        while let Some(id) = self.asked.deadlines.pop_expired(now) {
            let Some(waiting) = self.asked.waiting.get(&id) else { continue };
            let took = now.saturating_duration_since(waiting.asked_at);
            // A small one that has not left will leave: the other end is told to forget it after.
            let may_have_run = !waiting.is_bulk || !self.outgoing.has_bulk(Kind::RequestData, id);
            if let Some(tag) = self.cancel(now, id) {
                let result = Err(Failure::TimedOut { may_have_run });
                self.events.push_back(PeerEvent::Response { tag, took, result });
            }
        }
    }

    fn expire_served(&mut self, now: Instant) {
        while let Some(id) = self.served.deadlines.pop_expired(now) {
            self.end_early(now, id, CancelReason::Deadline, status::TIMED_OUT);
        }
    }

    /// Answers a request in the owner's place, and tells the owner if it knows the request.
    fn end_early(&mut self, now: Instant, id: u64, why: CancelReason, status: u8) {
        let Some(serving) = self.served.serving.get(&id) else { return };
        if serving.arriving.is_none() {
            self.events.push_back(PeerEvent::Cancelled { id, why });
        }
        self.answer(now, id, status, &[], Bytes::new());
    }

    fn is_idle(&self) -> bool {
        self.asked.waiting.is_empty() && self.served.serving.is_empty()
    }

    fn is_mid_receive(&self) -> bool {
        self.decoder.is_mid_frame() || self.arriving > 0
    }

    fn mark_sending(&mut self, now: Instant) {
        if self.outgoing.is_empty() {
            self.last_sent = now;
        }
    }
}

fn sentence(reason: &str) -> Bytes {
    let reason = &reason[..reason.floor_char_boundary(MAX_REASON_BYTES)];
    Bytes::copy_from_slice(reason.as_bytes())
}

/// What a request's `left_us` says.
fn deadline(now: Instant, left_us: u32) -> Instant {
    now + Duration::from_micros(left_us.into())
}

const _: () = assert!(OLDEST_VERSION == 1, "a session speaks every version it says hello with");
